"""Chapter 3: from an image to a planning map of roofs for greening.

Notebook 03 tells it step by step with these functions; sweeps call `run`.
"""

from toolkit.experiments.roof_greening.chain import (
    COLORS,
    OUTCOMES,
    interpreted,
    low,
    rate,
    roofs,
    scale,
    weights,
)
from toolkit.experiments.roof_greening.errors import (
    LINKS,
    fates,
    propagated,
    roof_scores,
    scorecard,
    variants,
)
from toolkit.experiments.roof_greening.figures import bars, hierarchy, outcome_map
from toolkit.experiments.roof_greening.hand import SECONDS, corrections
from toolkit.experiments.roof_greening.places import (
    BANDS,
    CODES,
    JUDGEMENTS,
    MEASURES,
    WATER_VAPOUR,
    Ground,
    ground,
    heat,
    inside,
    kind_of,
    layers,
    samples,
    scored,
    with_sketches,
)
from toolkit.experiments.roof_greening.real import atlanta, gothenburg, gulf_coast, helsinki
from toolkit.experiments.roof_greening.scores import (
    PROFILES,
    compared,
    pixel_scores,
    probability,
    setting,
    train,
)
from toolkit.experiments.roof_greening.trials import run

__all__ = [
    "BANDS",
    "CODES",
    "COLORS",
    "JUDGEMENTS",
    "LINKS",
    "MEASURES",
    "OUTCOMES",
    "PROFILES",
    "SECONDS",
    "WATER_VAPOUR",
    "Ground",
    "atlanta",
    "bars",
    "compared",
    "corrections",
    "fates",
    "gothenburg",
    "ground",
    "gulf_coast",
    "heat",
    "helsinki",
    "hierarchy",
    "inside",
    "interpreted",
    "kind_of",
    "layers",
    "low",
    "outcome_map",
    "pixel_scores",
    "probability",
    "propagated",
    "rate",
    "roof_scores",
    "roofs",
    "run",
    "samples",
    "scale",
    "scorecard",
    "scored",
    "setting",
    "train",
    "variants",
    "weights",
    "with_sketches",
]
