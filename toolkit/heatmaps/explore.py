"""How does a reader leaf through networks, layers and channels without a kernel?

All pictures are painted beforehand. The selectors move stacks of them through links that live in
the browser (``jsdlink``), so the same widget works in JupyterLab and in a static page.
"""

import math
from html import escape

import ipywidgets
import numpy as np
from matplotlib import colormaps

from toolkit import maps
from toolkit.heatmaps import choice
from toolkit.heatmaps.activations import LIMIT, alive, features
from toolkit.maps import pictures

CELLS = 128  # cells of a picture's longer side to begin with, and
FEWEST = 24  # the least that is worth looking at
OVERHEAD = 1000  # bytes of the own state of a widget, beside what it shows, about
WIDTH, TALLEST = 320, 480  # CSS pixels of a picture: two fit into a page's text column
# White in every theme, as the pictures' colours are read against it.
STYLE = """<style>
.heatmap-explorer{background:#fff;padding:8px;overflow:hidden}
.heatmap-explorer,.heatmap-explorer .widget-label,.heatmap-explorer .widget-readout,
.heatmap-explorer .widget-html-content{color:#222}
.heatmap-explorer .text{font:13px/1.45 system-ui,sans-serif;white-space:normal;max-width:100%}
.heatmap-explorer .text>b[title]{display:block;overflow:hidden;white-space:nowrap;
text-overflow:ellipsis}
.heatmap-explorer .ground{position:relative;overflow:hidden;background:#ddd}
.heatmap-explorer .ground img{position:absolute;max-width:none;margin:0;background:#ddd!important;
image-rendering:pixelated}
</style>"""


def explorer(models, image, layers=None, channels=12, max_bytes=1_500_000, cmap="magma",
             limit=LIMIT):  # fmt: skip
    """Pick network, layer and channel, and see the feature map beside the image.

    A widget that needs neither a kernel nor the internet: every picture is made beforehand. The
    channels of a layer are in the order of their standard deviation over the image and share one
    colour scale, from the least value to the 99.5th percentile of those shown. Layer and channel
    stay chosen when the network changes, and all pictures show the same ground.

    Parameters
    ----------
    models : toolkit.models.Network or dict of str to Network
        One network, or several by name.
    image : xarray.DataArray
        Dims (band, y, x), physical units, NaN = no data.
    layers : str or sequence of str, optional
        Names from :func:`layers`. By default pooling layers, scores and upsampling steps.
    channels : int
        Channels per layer.
    max_bytes : int
        What the widget may add to a page, about. To keep to it, pictures get coarser: cells are
        averaged in blocks, and the caption says so.
    cmap : str
        A matplotlib colour map; magma, viridis and cividis are safe for colour-blind readers.
    limit : int
        Most pixels of an image.

    Returns
    -------
    ipywidgets.VBox
        Its attribute ``bytes`` is the estimate of what it adds to a page.

    Raises
    ------
    KeyError
        None of the networks has such a layer; the message names similar ones.
    ValueError, TypeError
        An image that does not fit, no network, or more pictures than `max_bytes` can hold.

    Examples
    --------
    >>> heatmaps.explorer({"FCN8s": fcn8s, "IFCN": ifcn}, image, channels=8)  # doctest: +SKIP
    """
    whole = isinstance(channels, int | np.integer) and not isinstance(channels, bool)
    if not whole or channels < 1:
        raise ValueError(f"channels={channels!r}: a whole number, at least 1")
    if cmap not in colormaps:
        raise ValueError(f"matplotlib has no colour map {cmap!r}; try 'magma'")
    models = choice.networks(models)
    shown = choice.wanted_layers(models, layers)
    found = {}
    for name, model in models.items():
        own = features(model, image, choice.present(model, shown), limit)
        found |= {(name, layer): _ranked(array, channels) for layer, array in own.items()}
    picture = _input(image)
    drawn, total = _within(found, image, max_bytes, cmap, len(picture))
    widget = _assemble(list(models), shown, drawn, picture)
    widget.bytes = total
    return widget


def _ranked(array, channels):
    """Keep the channels that vary most, in this order, and what is known of the others."""
    order = choice.ranked(array)
    if "class_names" in array.attrs:  # scores of classes: the last class first, in every network
        order = np.arange(len(order))[::-1]
    kept = array.isel(channel=order[:channels])
    kept.attrs = array.attrs | {"channels": array.sizes["channel"], "alive": alive(array)}
    return kept


def _within(found, image, max_bytes, cmap, spent):
    """Paint everything as fine as the limit allows: pictures and caption by key, and the bytes."""
    cells = CELLS
    while True:
        drawn = {key: _painted(key, array, image, cells, cmap) for key, array in found.items()}
        texts = [text for pictures_, caption in drawn.values() for text in (*pictures_, caption)]
        # Beside pictures and captions there are two containers and a link for each layer, and the
        # selectors, which weigh about as much as twenty others.
        others = 3 * len(drawn) + 20
        total = spent + sum(map(len, texts)) + OVERHEAD * (len(texts) + others)
        if total <= max_bytes:
            return drawn, total
        if cells == FEWEST:
            raise ValueError(
                f"the widget would add {total:,} bytes to a page even with pictures of at most "
                f"{FEWEST} x {FEWEST} cells, max_bytes is {max_bytes:,}. Show fewer channels= or "
                f"layers= (now {len(texts) - len(drawn)} pictures), or raise max_bytes=."
            )
        cells = max(FEWEST, min(cells - 4, int(cells * math.sqrt(max_bytes / total))))


def _painted(key, array, image, cells, cmap):
    """HTML of each channel of one layer of one network, and of the caption that they share."""
    name, layer = key
    height, width = array.shape[1:]
    block = math.ceil(max(height, width) / cells)
    values = _blocks(array.values, block)
    low, high = choice.scale(values)
    title = f"Colours of all channels of {layer}"
    first = array.isel(channel=0, drop=True)
    look = maps.heatmap(first, title, cmap, low, high, choice.LABEL)
    # From cells to pixels of the image: the cells of some layers begin outside.
    to_pixels = ~image.rio.transform(recalc=True) * array.rio.transform()
    place = (to_pixels.c, to_pixels.f, *(block * to_pixels.a * n for n in values.shape[:0:-1]))
    drawn, count, stride = [], array.attrs["channels"], array.attrs["stride"]
    for rank, (number, one) in enumerate(zip(array.channel.values, values, strict=True), 1):
        what = choice.called(array, int(number))
        line = f"Number {rank} of {count} by variance"
        if "class_names" in array.attrs:
            line = f"Score of this class, one of {count}"
        alt = (
            f"Feature map: {what} of {layer} of {name}. {line}; "
            f"activation from {np.nanmin(one):.3g} to {np.nanmax(one):.3g}"
        )
        pixels = pictures.paint(look, one)[0]
        drawn.append(_frame(pixels, alt, f"{name}, {layer}, {what}", image, place, f"{line}."))
    each = f"{stride} × {stride} pixels" if stride != 1 else "one pixel"
    facts = [
        f"{count} channel{'s' * (count != 1)} of {height} × {width} cells",
        f"a cell is {each} of the image",
        f"{array.attrs['alive']:.0%} of the channels are alive (not zero everywhere)",
    ]
    if block > 1:
        facts.append(f"drawn as means of {block} × {block} cells")
    if np.isnan(values).any():
        facts.append("grey: no data")
    if image.attrs.get("simulated"):
        facts.append("<b>simulated data</b>")
    legend = pictures.legend(look, low, high)
    return (
        drawn,
        f"<div class='text' style='width:{_width(image)}px'>{legend}{'; '.join(facts)}.</div>",
    )


def _blocks(values, block):
    """Means of blocks of cells, NaN aside."""
    if block == 1:
        return values
    channels, height, width = values.shape
    padding = ((0, 0), (0, -height % block), (0, -width % block))
    values = np.pad(values, padding, constant_values=np.nan)
    values = values.reshape(channels, values.shape[1] // block, block, -1, block)
    seen = np.isfinite(values).sum(axis=(2, 4))
    total = np.nansum(values, axis=(2, 4))
    return np.divide(total, seen, out=np.full(total.shape, np.nan, "float32"), where=seen > 0)


def _width(image):
    return round(min(WIDTH, TALLEST * image.sizes["x"] / image.sizes["y"]))


def _frame(pixels, alt, head, image, place, line=""):
    """HTML of one picture in a window that shows the ground of the image, no more and no less."""
    width, height = image.sizes["x"], image.sizes["y"]
    left, top, right, low = (
        f"{100 * at / side:.6g}%" for at, side in zip(place, (width, height) * 2, strict=True)
    )
    head = escape(head)
    return (
        f"<div class='text' style='width:{_width(image)}px'><b title='{head}'>{head}"
        f"</b><div class='ground' style='aspect-ratio:{width}/{height}'><img alt='{escape(alt)}' "
        f"src='{pictures.uri(pictures.png(pixels))}' style='left:{left};top:{top};width:{right};"
        f"height:{low}'></div>{escape(line)}</div>"
    )


def _input(image):
    """HTML of the image itself, to compare with."""
    layer = maps.image(image)
    values = _blocks(layer.data.values, math.ceil(max(image.shape[1:]) / (2 * CELLS)))
    nodata = image.rio.nodata
    if nodata is not None and not np.isnan(nodata):
        values = np.where(values == nodata, np.nan, values)
    bands = ", ".join(str(band) for band in np.atleast_1d(layer.data.band.values))
    name = image.attrs.get("title") or image.name or "image"
    head = f"Input: {name} ({bands})" if "band" in image.coords else f"Input: {name}"
    place = (0, 0, image.sizes["x"], image.sizes["y"])
    alt = f"The image that the networks see: {name}"
    return _frame(pictures.paint(layer, values)[0], alt, head, image, place)


def _assemble(names, shown, drawn, picture):
    """Nest the stacks (network, layer, channel) and link them to their selectors."""
    box, look = ipywidgets.Layout(margin="0"), ipywidgets.HTML().style

    def html(text):
        return ipywidgets.HTML(text, layout=box, style=look)

    most = max(len(parts) for parts, _ in drawn.values())
    selectors = {
        "Network": ipywidgets.ToggleButtons(options=names),
        "Layer": ipywidgets.ToggleButtons(options=shown),
        "Channel": ipywidgets.SelectionSlider(options=[str(i + 1) for i in range(most)]),
    }
    selectors["Channel"].tooltip = "Number of the channel by variance"

    def stack(children, what):
        made = ipywidgets.Stack(children, selected_index=0, layout=box)
        ipywidgets.jsdlink((selectors[what], "index"), (made, "selected_index"))
        return made

    def layer_of(name, layer):
        if (name, layer) not in drawn:
            return html(f"<div class='text'>{escape(name)} has no layer {escape(layer)}.</div>")
        parts, caption = drawn[name, layer]
        children = [html(text) for text in parts]
        if len(parts) < most:
            few = f"{escape(layer)} has only {len(parts)} channel{'s' * (len(parts) > 1)}."
            few = ipywidgets.VBox([children[0], html(f"<div class='text'>{few}</div>")], layout=box)
            children += [few] * (most - len(parts))
        return ipywidgets.VBox([stack(children, "Channel"), html(caption)], layout=box)

    view = stack(
        [stack([layer_of(name, layer) for layer in shown], "Layer") for name in names], "Network"
    )
    rows = [html(STYLE)]
    for what, selector in selectors.items():
        if len(selector.options) == 1:
            continue
        name = ipywidgets.Label(what, layout=ipywidgets.Layout(width="64px", flex="0 0 auto"))
        selector.layout = ipywidgets.Layout(width="auto" if what != "Channel" else "280px")
        if what != "Channel":
            selector.style.button_width = "auto"
        rows.append(ipywidgets.HBox([name, selector], layout=box))
    both = ipywidgets.Layout(flex_flow="row wrap", margin="6px 0 0 0", grid_gap="0 14px")
    rows.append(ipywidgets.Box([html(picture), view], layout=both))
    whole = ipywidgets.VBox(rows)
    whole.add_class("heatmap-explorer")
    return whole
