"""How do masks become footprints, and footprints get corrected?

`vectorise` turns a network's probability into polygons; `object_scores` counts how many buildings
were found. Corrections by hand are records (`record`, `save_edits`) that `apply_edits` replays on
any layer, `rasterise` brings back to a mask and `effort` weighs. `join_heights` and `low_enough`
say which roofs are too high; `roof_features` and `classify_roofs` what they are like.

Every function takes and returns GeoDataFrames in a projected CRS; areas and lengths are in metres.
A layer with invalid or repeated polygons is refused: `clean` repairs it and says what it did.
"""

from toolkit.buildings.edits import (
    OPERATIONS,
    effort,
    new_edits,
    read_edits,
    record,
    save_edits,
    undo,
)
from toolkit.buildings.heights import join_heights, low_enough
from toolkit.buildings.layers import clean
from toolkit.buildings.objects import roof_features, roof_shape
from toolkit.buildings.replay import Applied, apply_edits, rasterise
from toolkit.buildings.roofs import KINDS, Roofs, classify_roofs
from toolkit.buildings.scores import match, object_scores, polis
from toolkit.buildings.vectors import vectorise

__all__ = [
    "KINDS",
    "OPERATIONS",
    "Applied",
    "Roofs",
    "apply_edits",
    "classify_roofs",
    "clean",
    "effort",
    "join_heights",
    "low_enough",
    "match",
    "new_edits",
    "object_scores",
    "polis",
    "rasterise",
    "read_edits",
    "record",
    "roof_features",
    "roof_shape",
    "save_edits",
    "undo",
    "vectorise",
]
