"""How does a reader see this on a map?

One vocabulary of layers (:func:`image`, :func:`heatmap`, :func:`classes`, :func:`vector`) and three
ways to look at them: :func:`show` (an interactive map), :func:`compare` (two rasters under a
swipe) and :func:`panels` (a figure). All three hold their pixels themselves, so that a saved
notebook and a page of the book show them without a kernel, a tile server or the internet.

There is no base map unless one is asked for: its tiles come from another host, and a page of the
book must be complete without. Lines of latitude and longitude take its place.

Files: ``layers`` (what is drawn), ``pictures`` (values to pixels and legend), and one for each way
to look: ``interactive``, ``swipe``, ``figures``; ``judge`` has sliders for
judgements in pairs.
"""

from toolkit.maps.edit import edit
from toolkit.maps.editor import Editor
from toolkit.maps.figures import figure, panels, use_style
from toolkit.maps.interactive import show
from toolkit.maps.judge import judge
from toolkit.maps.layers import Layer, classes, heatmap, image, vector
from toolkit.maps.swipe import compare

__all__ = [
    "Editor",
    "Layer",
    "classes",
    "compare",
    "edit",
    "figure",
    "heatmap",
    "image",
    "judge",
    "panels",
    "show",
    "use_style",
    "vector",
]
