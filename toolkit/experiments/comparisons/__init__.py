"""The comparisons: four tasks of four papers, all networks, and labels of every quality.

Notebooks 06 and 07 tell it with these functions; sweeps call `run_network` and `run_labels`.
"""

from toolkit.experiments.comparisons.faults import ERRORS, age, disturbed
from toolkit.experiments.comparisons.labels import REMEDIES, remedied, run_labels
from toolkit.experiments.comparisons.maps import class_map, probability, scored
from toolkit.experiments.comparisons.networks import (
    NETWORKS,
    RATES,
    best_rate,
    network_of,
    pruned,
    run_network,
    train,
)
from toolkit.experiments.comparisons.ranking import pareto, ranks
from toolkit.experiments.comparisons.speed import measured
from toolkit.experiments.comparisons.tasks import (
    TASKS,
    Ground,
    ground,
    loaders,
    relabelled,
    samples,
)

__all__ = [
    "ERRORS",
    "NETWORKS",
    "RATES",
    "REMEDIES",
    "TASKS",
    "Ground",
    "age",
    "best_rate",
    "class_map",
    "disturbed",
    "ground",
    "loaders",
    "measured",
    "network_of",
    "pareto",
    "probability",
    "pruned",
    "ranks",
    "relabelled",
    "remedied",
    "run_labels",
    "run_network",
    "samples",
    "scored",
    "train",
]
