"""The comparisons: four papers on the same ground, all networks, and labels of every quality.

Notebooks 05, 06 and 07 tell it with these functions; sweeps call `run_city`, `run_network` and
`run_labels`.
"""

from toolkit.experiments.comparisons.faults import ERRORS, age, disturbed
from toolkit.experiments.comparisons.figures import COLORS, fronts, plain_ticks, rank_diagram
from toolkit.experiments.comparisons.labels import REMEDIES, remedied, run_labels
from toolkit.experiments.comparisons.maps import class_map, class_map_of, probability, scored
from toolkit.experiments.comparisons.networks import (
    NETWORKS,
    RATES,
    best_rate,
    network_of,
    pruned,
    run_network,
    train,
)
from toolkit.experiments.comparisons.one_city import (
    METHODS,
    STRIP,
    City,
    city,
    mapped,
    own_scores,
    shares,
    trained,
)
from toolkit.experiments.comparisons.questions import (
    answers,
    apart,
    area,
    by_district,
    edge,
    gradient,
    half,
    looked_up,
    run_city,
    seen_as_built,
    things,
    villages,
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
    "COLORS",
    "ERRORS",
    "METHODS",
    "NETWORKS",
    "RATES",
    "REMEDIES",
    "STRIP",
    "TASKS",
    "City",
    "Ground",
    "age",
    "answers",
    "apart",
    "area",
    "best_rate",
    "by_district",
    "city",
    "class_map",
    "class_map_of",
    "disturbed",
    "edge",
    "fronts",
    "gradient",
    "ground",
    "half",
    "loaders",
    "looked_up",
    "mapped",
    "measured",
    "network_of",
    "own_scores",
    "pareto",
    "plain_ticks",
    "probability",
    "pruned",
    "rank_diagram",
    "ranks",
    "relabelled",
    "remedied",
    "run_city",
    "run_labels",
    "run_network",
    "samples",
    "scored",
    "seen_as_built",
    "shares",
    "things",
    "train",
    "trained",
    "villages",
]
