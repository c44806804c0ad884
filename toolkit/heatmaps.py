"""What do the layers look at?

Feature maps of named layers as rasters that lie where their cells lie on the ground, a figure of
the strongest channels, the share of channels that are alive, and Grad-CAM for segmentation.

Examples
--------
>>> from toolkit import heatmaps
>>> features = heatmaps.features(model, image, ["pool3", "pool5"])    # doctest: +SKIP
>>> heatmaps.gallery(features, n=8)                                   # doctest: +SKIP
>>> heatmaps.gradcam(model, image, target="town", layer="pool5")      # doctest: +SKIP
"""

from toolkit import _torchvision  # noqa: F401, I001  (before anything that imports torchvision)

import difflib
import math
from contextlib import contextmanager

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scipy.ndimage
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
        size in pixels of the image.

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
    x = _prepared(model, image, wanted, limit)
    caught = {}

    def keep(name):
        # A copy at once: a later in-place layer (ReLU) would change what is caught.
        def hook(_module, _inputs, output):
            caught[name] = output[0].float().cpu().numpy().copy()

        return hook

    hooks = {name: keep(name) for name in wanted}
    with _evaluating(model), _hooked(model, hooks), torch.inference_mode():
        model(x)
    return {name: _placed(caught.pop(name), model, name, image) for name in wanted}


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
    shares = {
        name: float((np.nan_to_num(array.values) != 0).any(axis=(1, 2)).mean())
        for name, array in features.items()
    }
    return pd.Series(shares, name="live channels", dtype=float).rename_axis("layer")


def gallery(features, n=16, layer=None):
    """Draw the strongest channels of one layer or several.

    Strongest means the largest standard deviation over the image. All channels of a layer share
    one colour scale, from its least value to the 99.5th percentile of what is drawn: how
    bright a channel is says how strong it is beside the others of its layer. Layers have scales
    of their own, as their units differ.

    Parameters
    ----------
    features : dict of str to xarray.DataArray, or xarray.DataArray
        From :func:`features`, or one of its values.
    n : int
        Channels per layer.
    layer : str, optional
        Only this layer.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    KeyError, ValueError
        There is no such layer, or `n` is not positive.

    Examples
    --------
    >>> gallery(features(model, image, ["pool3"]), n=8).savefig("pool3.png")  # doctest: +SKIP
    """
    if isinstance(features, xr.DataArray):
        features = {features.name or "layer": features}
    if layer is not None:
        if layer not in features:
            raise KeyError(f"no layer {layer!r} among these features: {', '.join(features)}")
        features = {layer: features[layer]}
    if not features:
        raise ValueError("no features: ask for at least one layer")
    if n < 1:
        raise ValueError(f"n={n}: draw at least one channel")
    columns = min(n, 4 if len(features) == 1 and n % 4 == 0 else 8)
    rows = [math.ceil(min(n, array.sizes["channel"]) / columns) for array in features.values()]
    first = next(iter(features.values()))
    aspect = first.sizes["y"] / first.sizes["x"]
    panel = 1.9 if columns <= 4 else 1.25
    figure = plt.figure(
        figsize=(columns * panel + 1.1, sum(rows) * (panel * aspect + 0.28) + 0.4 * len(rows)),
        layout="constrained",
    )
    parts = figure.subfigures(len(rows), 1, height_ratios=rows, squeeze=False)[:, 0]
    for part, count, (name, array) in zip(parts, rows, features.items(), strict=True):
        _panels(part, count, columns, n, name, array)
    figure.draw_without_rendering()  # subfigures need a second pass, or titles overlap
    plt.close(figure)  # the notebook shows the returned figure, once
    return figure


def gradcam(model, image, target, layer, mask=None, limit=LIMIT):
    """Show which places speak for a class, by Grad-CAM for segmentation.

    The scores of the target class are summed over the pixels of `mask`; the gradient of this sum,
    averaged over the cells of each channel, weighs the channels; the positive part of the weighted
    sum of channels is the map:
    ``a_k = mean_ij(d sum_M(y^c) / d A_ij^k)``, ``L = ReLU(sum_k a_k A^k)``.

    Vinogradova, Dibrov and Myers (2020), `Towards Interpretable Semantic Segmentation via
    Gradient-weighted Class Activation Mapping`, AAAI 34, eqs. 1 and 2, after Selvaraju et al.
    (2017).

    Parameters
    ----------
    model : toolkit.models.Network
        The network; it is used in evaluation mode and left in the mode it was in.
    image : xarray.DataArray
        Dims (band, y, x), physical units, NaN = no data.
    target : int or str
        Position of the class, or its name where the model knows names (``class_names``).
    layer : str
        A name from :func:`layers`; late layers with wide view are the usual choice.
    mask : array_like of bool, optional
        Pixels (y, x) whose scores are explained; by default all with data.
    limit : int
        Most pixels of an image.

    Returns
    -------
    xarray.DataArray
        Dims (y, x), float32, 0 to 1 on the image's grid (bilinear between the layer's cells),
        divided by its maximum; all 0 where nothing speaks for the class. NaN = no data.

    Raises
    ------
    KeyError, ValueError
        Unknown layer or class, or a mask that is empty or does not fit the image.

    Examples
    --------
    >>> gradcam(model, image, target=1, layer="pool4").plot()  # doctest: +SKIP
    """
    x = _prepared(model, image, [layer], limit)
    index, label = _target(model, target)
    valid = ~torch.isnan(x[0]).all(dim=0).cpu().numpy()
    caught = []

    def keep(_module, _inputs, output):
        if not output.requires_grad:  # a frozen network
            output = output.detach().requires_grad_()
        caught.append(output)
        return output

    with _evaluating(model), _hooked(model, {layer: keep}), torch.enable_grad():
        scores = model(x)[0, index]
        chosen = _pixels(mask, valid, scores.shape)
        (gradient,) = torch.autograd.grad(
            scores[torch.from_numpy(chosen).to(scores.device)].sum(), caught[-1], allow_unused=True
        )
    if gradient is None:
        raise ValueError(f"the scores do not depend on layer {layer!r}; choose one before them")
    activation = caught[-1].detach()[0]
    weights = gradient[0].mean(dim=(1, 2))
    cam = torch.relu((weights[:, None, None] * activation).sum(dim=0)).float().cpu().numpy()
    stride, offset = model.placement(layer)
    # Pixel p has its centre at (p + 0.5 - offset) / stride - 0.5, counted in cells.
    heat = scipy.ndimage.affine_transform(
        cam,
        [1 / stride] * 2,
        offset=(0.5 - offset) / stride - 0.5,
        output_shape=valid.shape,
        order=1,
        mode="nearest",
    )
    peak = heat[valid].max()
    heat = np.where(valid, heat / peak if peak > 0 else 0, np.nan).astype(np.float32)
    attrs = _carried(image) | {
        "long_name": f"Grad-CAM of {label} at {layer}",
        "units": "1",
        "layer": layer,
        "target": label,
        "peak": float(peak),
    }
    coords = {"y": image.y.values, "x": image.x.values}
    array = xr.DataArray(heat, coords, ("y", "x"), "gradcam", attrs)
    return array.rio.write_crs(image.rio.crs)


def _carried(image):
    return {key: image.attrs[key] for key in _CARRIED if key in image.attrs}


def _prepared(model, image, wanted, limit):
    """Check layers and image; return the image as a batch of one on the model's device."""
    if not hasattr(model, "placement"):
        raise TypeError(
            f"{type(model).__name__} cannot tell where its layers lie (no method placement); "
            "use a network of toolkit.models"
        )
    known = layers(model)
    for name in wanted:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.4)
            hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise KeyError(f"no layer {name!r}.{hint} The layers: {', '.join(known)}")
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
def _evaluating(model):
    """Put the model into evaluation mode for a while; every part gets its own mode back."""
    modes = {module: module.training for module in model.modules()}
    try:
        model.eval()
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@contextmanager
def _hooked(model, hooks):
    handles = [model.get_submodule(k).register_forward_hook(hook) for k, hook in hooks.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _placed(values, model, layer, image):
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
    valid = ~np.isnan(image.values).all(axis=0)
    for axis in (0, 1):
        edges = offset + stride * (start[axis] + np.arange(values.shape[1 + axis]))
        edges = np.clip(edges.astype(int), 0, valid.shape[axis] - 1)
        valid = np.logical_or.reduceat(valid, edges, axis=axis)
    attrs = _carried(image) | {
        "long_name": f"activation of {layer}",
        "units": "1",
        "layer": layer,
        "stride": stride,
    }
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


def _target(model, target):
    """Return position and name of a class."""
    names = getattr(model, "class_names", None) or (getattr(model, "metadata", None) or {}).get(
        "classes", []
    )
    names = [entry["name"] if isinstance(entry, dict) else str(entry) for entry in names]
    if isinstance(target, str):
        if target not in names:
            known = ", ".join(names) if names else "the model knows no names, pass a position"
            raise KeyError(f"no class {target!r}: {known}")
        return names.index(target), target
    if not 0 <= target < model.classes:
        raise ValueError(f"target={target}: the model has the classes 0 to {model.classes - 1}")
    return int(target), names[target] if names else f"class {target}"


def _pixels(mask, valid, shape):
    """Return the cells of the output whose scores are summed."""
    chosen = valid
    if mask is not None:
        mask = np.asarray(mask).astype(bool)
        if mask.shape != valid.shape:
            raise ValueError(f"mask: expected the image's shape {valid.shape}, got {mask.shape}")
        chosen = mask & valid
        if not chosen.any():
            raise ValueError("mask: it selects no pixel that holds data")
    cell = valid.shape[0] // shape[0]
    chosen = chosen[: shape[0] * cell, : shape[1] * cell]
    return chosen.reshape(shape[0], cell, shape[1], cell).any(axis=(1, 3))


def _panels(figure, rows, columns, n, name, array):
    """Draw one layer: its strongest channels and one colour bar for all of them."""
    spread = np.nan_to_num(np.nanstd(array.values, axis=(1, 2)))
    strongest = np.argsort(-spread, kind="stable")[:n]
    drawn = array.values[strongest]
    low, high = np.nanmin(drawn), np.nanpercentile(drawn, 99.5)
    high = high if high > low else low + 1
    # Grey is nodata: black would look like a channel that is silent there.
    colours = plt.get_cmap("magma").with_extremes(bad="#dddddd")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, channel, values in zip(axes.flat, strongest, drawn, strict=False):
        picture = axis.imshow(values, cmap=colours, vmin=low, vmax=high, interpolation="nearest")
        title = f"channel {array.channel.values[channel]}"
        axis.set_title(title, fontsize=8, loc="center", fontweight="normal", pad=3)
    cell = array.attrs.get("stride")
    size = f", cells of {cell} × {cell} pixels" if cell else ""
    alive = float((np.nan_to_num(array.values) != 0).any(axis=(1, 2)).mean())
    simulated = ", simulated data" if array.attrs.get("simulated") else ""
    figure.suptitle(
        f"{name}: the {len(strongest)} strongest of {len(spread)} channels{size}, "
        f"{alive:.0%} alive{simulated}",
        fontsize=10,
        x=0.01,
        ha="left",
    )
    bar = figure.colorbar(picture, ax=axes, pad=0.015, extend="max", aspect=10 + 14 * rows)
    bar.set_label("activation (unitless)", fontsize=7.5)
    bar.ax.tick_params(labelsize=7.5)
