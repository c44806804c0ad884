"""What do the layers look at?

Feature maps of named layers as rasters that lie where their cells lie on the ground, the share of
channels that are alive, Grad-CAM for segmentation, and four ways to look at them: a figure of the
strongest channels (:func:`gallery`), of several networks (:func:`compare`), layers of a map
(:func:`on_map`), and a widget to leaf through networks, layers and channels that needs no kernel
(:func:`explorer`).

Files: ``activations`` (feature maps), ``choice`` (which layers and channels), ``cam`` (Grad-CAM),
``figures``, ``explore`` (the widget).

Examples
--------
>>> from toolkit import heatmaps, maps
>>> features = heatmaps.features(model, image, ["pool3", "pool5"])    # doctest: +SKIP
>>> heatmaps.gallery(features, n=8)                                   # doctest: +SKIP
>>> maps.show(*heatmaps.on_map(features))                             # doctest: +SKIP
>>> heatmaps.explorer({"FCN8s": fcn8s, "IFCN": ifcn}, image)          # doctest: +SKIP
>>> heatmaps.gradcam(model, image, target="town", layer="pool5")      # doctest: +SKIP
"""

from toolkit.heatmaps.activations import features, layers, live_channels
from toolkit.heatmaps.cam import gradcam
from toolkit.heatmaps.choice import on_map, telling
from toolkit.heatmaps.explore import explorer
from toolkit.heatmaps.figures import compare, gallery

__all__ = [
    "compare",
    "explorer",
    "features",
    "gallery",
    "gradcam",
    "layers",
    "live_channels",
    "on_map",
    "telling",
]
