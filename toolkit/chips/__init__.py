"""How do scenes become training samples, split honestly?

A chip table is a GeoDataFrame with one row per chip: its footprint, its window in pixels of the
image (``row`` and ``col`` of the upper left pixel, ``size``), the share of nodata, the share of
each class, and after `split` the part it plays. Make it with `grid` or `fishnet`, divide it with
`split`, look at it with `plot`, `balance` and `leak`, and hand it to `dataloaders`.
"""

from toolkit.chips.contents import balance, plot, statistics
from toolkit.chips.grids import IGNORE, align, zoom
from toolkit.chips.sampling import fishnet, fishnet_cells, grid, regrid
from toolkit.chips.splits import ground, leak, split

__all__ = [
    "IGNORE",
    "align",
    "balance",
    "dataloaders",
    "fishnet",
    "fishnet_cells",
    "grid",
    "ground",
    "leak",
    "plot",
    "regrid",
    "split",
    "statistics",
    "zoom",
]


def __getattr__(name):
    # fastai takes seconds to import, and only the loaders need it.
    if name == "dataloaders":
        from toolkit.chips.batches import dataloaders

        return dataloaders
    raise AttributeError(f"module 'toolkit.chips' has no attribute {name!r}; it has {__all__}")


def __dir__():
    return sorted({*globals(), *__all__})
