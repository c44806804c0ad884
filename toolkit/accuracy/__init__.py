"""How good is a map, and how sure are we?

A :class:`ConfusionMatrix` holds the counts, :func:`confusion` makes one from rasters or points,
:func:`area_adjusted` turns a sample into areas with confidence intervals, :func:`bootstrap` puts
intervals around scores of spatially correlated pixels, :func:`grid_points` lays out check points.

Rows are the map, columns the reference, as the papers print it. A score that is not defined, such
as the user's accuracy of a class that was never mapped, is NaN and never 0; means over classes
leave it out.
"""

from toolkit.accuracy.counting import IGNORE, confusion
from toolkit.accuracy.estimate import (
    AreaEstimate,
    area_adjusted,
    bootstrap,
    grid_points,
    optimal_threshold,
)
from toolkit.accuracy.matrix import ConfusionMatrix

__all__ = [
    "IGNORE",
    "AreaEstimate",
    "ConfusionMatrix",
    "area_adjusted",
    "bootstrap",
    "confusion",
    "grid_points",
    "optimal_threshold",
]
