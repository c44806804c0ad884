"""How good is a map, and how sure are we?

A :class:`ConfusionMatrix` holds the counts, :func:`confusion` makes one from rasters or points,
:func:`area_adjusted` turns a sample into areas with confidence intervals, :func:`bootstrap` puts
intervals around scores of spatially correlated pixels, :func:`grid_points` lays out check points.
:func:`mcnemar` tests whether one map is better than another. :func:`landscape_metrics` describes
the patches of a map; :func:`compare_shapes` compares their shape with the truth, settlement by
settlement, and :func:`size_summary` and :func:`size_class_test` do so for size classes.

Rows are the map, columns the reference, as the papers print it. A score that is not defined, such
as the user's accuracy of a class that was never mapped, is NaN and never 0; means over classes
leave it out.
"""

from toolkit.accuracy.compare import McNemar, mcnemar, size_class_test, size_summary
from toolkit.accuracy.counting import IGNORE, confusion
from toolkit.accuracy.estimate import (
    AreaEstimate,
    area_adjusted,
    bootstrap,
    grid_points,
    optimal_threshold,
    pixel_area,
)
from toolkit.accuracy.landscape import compare_shapes, landscape_metrics, settlement_zones
from toolkit.accuracy.matrix import ConfusionMatrix

__all__ = [
    "IGNORE",
    "AreaEstimate",
    "ConfusionMatrix",
    "McNemar",
    "area_adjusted",
    "bootstrap",
    "compare_shapes",
    "confusion",
    "grid_points",
    "landscape_metrics",
    "mcnemar",
    "optimal_threshold",
    "pixel_area",
    "settlement_zones",
    "size_class_test",
    "size_summary",
]
