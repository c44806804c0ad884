"""Chapter 1: urban land from night lights, by networks and by simpler methods.

Notebook 01 tells it step by step with these functions; sweeps call `run`, `methods` and `transfer`.
"""

from toolkit.experiments.night_lights.places import (
    CLASSES,
    SOURCES,
    Ground,
    free,
    ground,
    halves,
    image_of,
    own,
    sample,
    zoomed,
)
from toolkit.experiments.night_lights.scores import (
    NETWORKS,
    PROFILES,
    cut_at,
    held_out,
    network_of,
    probability,
    setting,
    svm,
    threshold,
    train,
)
from toolkit.experiments.night_lights.trials import (
    compare_abroad,
    methods,
    run,
    scores_of,
    transfer,
)

__all__ = [
    "CLASSES",
    "NETWORKS",
    "PROFILES",
    "SOURCES",
    "Ground",
    "compare_abroad",
    "cut_at",
    "free",
    "ground",
    "halves",
    "held_out",
    "image_of",
    "methods",
    "network_of",
    "own",
    "probability",
    "run",
    "sample",
    "scores_of",
    "setting",
    "svm",
    "threshold",
    "train",
    "transfer",
    "zoomed",
]
