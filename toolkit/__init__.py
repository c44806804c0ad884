"""Reading Cities from Space: the helper package that carries the notebooks.

Modules load when they are first used, so that ``import toolkit`` stays light:
no torch, no leafmap and no geopandas until a notebook asks for them.

Examples
--------
>>> import toolkit
>>> lights = toolkit.catalog.open("burundi/lights")
"""

from importlib import import_module

__version__ = "0.1.0"

__all__ = [
    "accuracy",
    "audit",
    "book",
    "buildings",
    "catalog",
    "chips",
    "experiments",
    "fingerprint",
    "heatmaps",
    "labels",
    "mapping",
    "maps",
    "models",
    "papers",
    "pruning",
    "refine",
    "runs",
    "scene",
    "suitability",
    "training",
]


def __getattr__(name):
    if name in __all__:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module 'toolkit' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__():
    return [*globals(), *__all__]
