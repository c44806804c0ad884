"""What does each layer make of an image, and where do its cells lie on the ground?"""

from toolkit import _torchvision  # noqa: F401, I001  (before anything that imports torchvision)

import difflib
import math
from contextlib import contextmanager

import numpy as np
import pandas as pd
import torch
import xarray as xr
from affine import Affine
from rioxarray.rioxarray import affine_to_coords

from toolkit import _checks

LIMIT = 2_000_000
_CARRIED = ("title", "sensor", "date", "licence", "citation", "source", "simulated")


def layers(model):
    """List the layers whose feature maps can be asked for, in the order of the network.

    Parameters
    ----------
    model : toolkit.models.Network
        The network.

    Returns
    -------
    list of str

    Examples
    --------
    >>> from toolkit import models
    >>> layers(models.create("ifcn", width=0.125))[:3]
    ['conv1_1', 'conv1_2', 'pool1']
    """
    found = []
    for name, _ in model.named_modules():
        try:
            model.placement(name)
        except (KeyError, ValueError):
            continue
        found.append(name)
    return found


def features(model, image, layers, limit=LIMIT):
    """Return the feature maps of some layers for an image, each on its own coarser grid.

    Parameters
    ----------
    model : toolkit.models.Network
        The network; it is used in evaluation mode and left in the mode it was in.
    image : xarray.DataArray
        Dims (band, y, x), physical units, NaN = no data.
    layers : str or sequence of str
        Names from :func:`layers`.
    limit : int
        Most pixels of an image: all channels of the first layers are held in memory at once.

    Returns
    -------
    dict of str to xarray.DataArray
        Dims (channel, y, x), float32, unitless activations. Cells that lie outside the image
        (padding) are left out, cells over nodata alone are NaN. ``attrs["stride"]`` is the cell
        size in pixels of the image; ``attrs["class_names"]`` names the channels of layers that
        hold the scores of the classes.

    Raises
    ------
    KeyError
        There is no such layer; the message names similar ones.
    ValueError
        The image is too large or does not fit the model.

    Examples
    --------
    >>> import numpy as np, xarray as xr, rioxarray
    >>> from toolkit import models
    >>> at = np.arange(64) + 0.5
    >>> image = xr.DataArray(
    ...     np.zeros((1, 64, 64), "float32"), dims=("band", "y", "x"),
    ...     coords={"band": ["lights"], "y": at[::-1], "x": at},
    ... ).rio.write_crs("EPSG:32735")
    >>> maps = features(models.create("ifcn", width=0.125), image, "pool3")
    >>> maps["pool3"].sizes["x"], maps["pool3"].rio.resolution()
    (8, (8.0, -8.0))
    """
    wanted = [layers] if isinstance(layers, str) else list(layers)
    x = prepared(model, image, wanted, limit)
    caught = {}

    def keep(name):
        # A copy at once: a later in-place layer (ReLU) would change what is caught.
        def hook(_module, _inputs, output):
            caught[name] = output[0].float().cpu().numpy().copy()

        return hook

    hooks = {name: keep(name) for name in wanted}
    with evaluating(model), hooked(model, hooks), torch.inference_mode():
        model(x)
    valid = ~torch.isnan(x[0]).all(dim=0).cpu().numpy()
    return {name: _placed(caught.pop(name), model, name, image, valid) for name in wanted}


def live_channels(features):
    """Return the share of channels per layer that are anything but zero somewhere.

    A channel that is zero in every cell (a dead ReLU) adds nothing to the result for this image.

    Parameters
    ----------
    features : dict of str to xarray.DataArray
        From :func:`features`.

    Returns
    -------
    pandas.Series
        Share from 0 to 1, indexed by layer.

    Examples
    --------
    >>> import xarray as xr
    >>> half = xr.DataArray([[[0.0, 1.0]], [[0.0, 0.0]]], dims=("channel", "y", "x"))
    >>> live_channels({"pool1": half}).to_dict()
    {'pool1': 0.5}
    """
    shares = {name: alive(array) for name, array in features.items()}
    return pd.Series(shares, name="live channels", dtype=float).rename_axis("layer")


def alive(array):
    """Return the share of the channels of one layer that are not zero everywhere."""
    return float((np.nan_to_num(array.values) != 0).any(axis=(1, 2)).mean())


def carried(image):
    """Take over what a result inherits from its image."""
    return {key: image.attrs[key] for key in _CARRIED if key in image.attrs}


def check_names(wanted, known):
    """Refuse layers that are not among the known ones, with suggestions."""
    for name in wanted:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.4)
            hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise KeyError(f"no layer {name!r}.{hint} The layers: {', '.join(known)}")


def prepared(model, image, wanted, limit):
    """Check layers and image; return the image as a batch of one on the model's device."""
    if not hasattr(model, "placement"):
        raise TypeError(
            f"{type(model).__name__} cannot tell where its layers lie (no method placement); "
            "use a network of toolkit.models"
        )
    known = layers(model)
    check_names(wanted, known)
    _checks.raster(image, "image")
    bands, height, width = image.shape
    if bands != model.in_channels:
        raise ValueError(f"the model takes {model.in_channels} band(s), the image has {bands}")
    if height * width > limit:
        raise ValueError(
            f"the image has {height} x {width} = {height * width:,} pixels, the limit is "
            f"{limit:,}: every channel is held in memory at once. Crop it first, for example "
            "image.isel(y=slice(0, 1000), x=slice(0, 1000)), or raise limit=."
        )
    values = image.values.astype(np.float32)
    nodata = image.rio.nodata
    if nodata is not None and not np.isnan(nodata):
        values[image.values == nodata] = np.nan
    if np.isnan(values).all():
        raise ValueError("the image holds no data: every pixel is NaN")
    device = next((p.device for p in model.parameters()), "cpu")
    return torch.from_numpy(values)[None].to(device)


@contextmanager
def evaluating(model):
    """Put the model into evaluation mode for a while; every part gets its own mode back."""
    modes = {module: module.training for module in model.modules()}
    try:
        model.eval()
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@contextmanager
def hooked(model, hooks):
    """Hang forward hooks on named layers for a while."""
    handles = [model.get_submodule(k).register_forward_hook(hook) for k, hook in hooks.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _placed(values, model, layer, image, valid):
    """Give a layer's cells their place on the ground, without those outside the image."""
    stride, offset = model.placement(layer)
    start, keep = [], []
    for cells, pixels in zip(values.shape[1:], image.shape[1:], strict=True):
        first = max(0, math.floor(-offset / stride))
        start.append(first)
        keep.append(slice(first, min(cells, math.ceil((pixels - offset) / stride))))
    values = values[:, keep[0], keep[1]]
    transform = (
        image.rio.transform(recalc=True)
        * Affine.translation(offset + start[1] * stride, offset + start[0] * stride)
        * Affine.scale(stride)
    )
    for axis in (0, 1):
        edges = offset + stride * (start[axis] + np.arange(values.shape[1 + axis]))
        edges = np.clip(edges.astype(int), 0, valid.shape[axis] - 1)
        valid = np.logical_or.reduceat(valid, edges, axis=axis)
    attrs = carried(image) | {
        "long_name": f"activation of {layer}",
        "units": "1",
        "layer": layer,
        "stride": stride,
    }
    # Deconvolutions of an FCN work on scores: one channel for each class, too.
    if layer.startswith(("score", "up")) and len(values) == model.classes:
        names = getattr(model, "class_names", None) or range(model.classes)
        attrs["class_names"] = [str(name) for name in names]
    array = xr.DataArray(
        np.where(valid, values, np.float32(np.nan)),
        dims=("channel", "y", "x"),
        coords={
            "channel": np.arange(len(values)),
            **affine_to_coords(transform, values.shape[2], values.shape[1]),
        },
        attrs=attrs,
        name=layer,
    )
    return array.rio.write_crs(image.rio.crs).rio.write_transform(transform)
