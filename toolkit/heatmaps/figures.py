"""How do feature maps become figures: channels of one layer, or layers of several networks?"""

import math
import textwrap

import matplotlib.pyplot as plt
import xarray as xr

from toolkit.heatmaps import choice
from toolkit.heatmaps.activations import LIMIT, alive, features

NODATA = "#dddddd"  # grey: black would look like a channel that is silent there


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


def _panels(figure, rows, columns, n, name, array):
    """Draw one layer: its strongest channels and one colour bar for all of them."""
    strongest = choice.ranked(array)[:n]
    drawn = array.values[strongest]
    low, high = choice.scale(drawn)
    colours = plt.get_cmap("magma").with_extremes(bad=NODATA)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, channel, values in zip(axes.flat, strongest, drawn, strict=False):
        picture = axis.imshow(values, cmap=colours, vmin=low, vmax=high, interpolation="nearest")
        title = f"channel {array.channel.values[channel]}"
        axis.set_title(title, fontsize=8, loc="center", fontweight="normal", pad=3)
    cell = array.attrs.get("stride")
    size = f", cells of {cell} × {cell} pixels" if cell else ""
    simulated = ", simulated data" if array.attrs.get("simulated") else ""
    figure.suptitle(
        f"{name}: the {len(strongest)} strongest of {array.sizes['channel']} channels{size}, "
        f"{alive(array):.0%} alive{simulated}",
        fontsize=10,
        x=0.01,
        ha="left",
    )
    bar = figure.colorbar(picture, ax=axes, pad=0.015, extend="max", aspect=10 + 14 * rows)
    bar.set_label("activation (unitless)", fontsize=7.5)
    bar.ax.tick_params(labelsize=7.5)


def _panel(axis, image, one, words):
    """Draw one feature map, or words in its place, on the ground of the image."""
    left, bottom, right, top = image.rio.bounds(recalc=True)
    axis.set(xticks=[], yticks=[], aspect="equal")
    axis.spines[:].set_visible(False)
    if one is None:
        axis.text(
            (left + right) / 2, (bottom + top) / 2, words, ha="center", va="center",
            fontsize=7.5, color="#555555",
        )  # fmt: skip
    else:
        low, high = choice.scale(one.values)
        west, south, east, north = one.rio.bounds()
        colours = plt.get_cmap("magma").with_extremes(bad=NODATA)
        axis.imshow(
            one.values, cmap=colours, vmin=low, vmax=high, interpolation="nearest",
            extent=(west, east, south, north),
        )  # fmt: skip
        axis.set_xlabel(f"{words}\n{low:.2g} to {high:.2g}", fontsize=7.5)
    axis.set(xlim=(left, right), ylim=(bottom, top))


def compare(models, image, layers=None, channel=None, label=None, limit=LIMIT):
    """Draw the same layers of several networks: networks in rows, layers in columns.

    The figure of the night-lights paper's Figs. 10 (the end of the front-end, pool5) and 11 (the
    upsampling steps). One colour rule for all panels: from the least value of the panel (dark) to
    its 99.5th percentile (bright); both ends stand under it. So a panel says where its channel
    reacts, and the numbers say how strongly. The units of two networks are not the same. Every
    panel shows exactly the ground of the image.

    Parameters
    ----------
    models : dict of str to toolkit.models.Network, or one network
        Name of each row, and its network.
    image : xarray.DataArray
        Dims (band, y, x), physical units, NaN = no data.
    layers : str or sequence of str, optional
        The columns. By default pooling layers, scores and upsampling steps of all networks. A
        network that lacks one gets an empty panel. Up to six columns are easy to read in a page:
        draw the poolings and the upsampling steps apart.
    channel, label
        Which channel is drawn; see :func:`on_map`. By default the one that varies most.
    limit : int
        Most pixels of an image.

    Returns
    -------
    matplotlib.figure.Figure
        For ``maps.figure(figure, alt=...)``.

    Raises
    ------
    KeyError
        None of the networks has such a layer.
    ValueError, TypeError
        An image that does not fit, no network, no such channel.

    Examples
    --------
    >>> ups = ["upscore2", "upscore_pool4", "upscore_pool3", "upscore"]
    >>> figure = heatmaps.compare({"FCN8s": fcn8s, "IFCN": ifcn}, image, ups)  # doctest: +SKIP
    >>> maps.figure(figure, alt="IFCN keeps small towns apart, FCN8s ...")     # doctest: +SKIP
    """
    models = choice.networks(models)
    shown = choice.wanted_layers(models, layers)
    choice.of(channel, None, shown)  # a misspelt layer is found before the networks run
    drawn = {}
    for name, model in models.items():
        found = features(model, image, choice.present(model, shown), limit)
        for layer, array in found.items():
            one, words = choice.pick(array, choice.of(channel, layer, shown), label)
            drawn[name, layer] = one, f"{words.replace('channel', 'ch.')}, {alive(array):.0%} alive"
    which = "mean of all channels" if channel == "mean" else "one channel of each layer"
    simulated = ", simulated data" if image.attrs.get("simulated") else ""
    rule = (
        f"{which}, activation (unitless); dark: least value, bright: 99.5th percentile{simulated}"
    )
    width = 1.3 * len(shown) + 0.5
    rule = textwrap.fill(rule, int(14 * width))  # letters of 8 points, 14 to an inch
    panel = 1.3 * image.sizes["y"] / image.sizes["x"] + 0.5
    height = panel * len(models) + 0.15 * rule.count("\n") + 0.5
    figure, axes = plt.subplots(
        len(models), len(shown), figsize=(width, height), squeeze=False, layout="constrained"
    )
    for row, name in zip(axes, models, strict=True):
        row[0].set_ylabel(name, fontsize=9, fontweight="bold")
        for axis, layer in zip(row, shown, strict=True):
            _panel(axis, image, *drawn.get((name, layer), (None, "no such\nlayer")))
    for axis, layer in zip(axes[0], shown, strict=True):
        axis.set_title(layer, fontsize=9, fontweight="bold", loc="center")
    figure.supxlabel(rule, fontsize=8)
    figure.draw_without_rendering()  # panels of equal scale need a second pass, or texts overlap
    plt.close(figure)
    return figure
