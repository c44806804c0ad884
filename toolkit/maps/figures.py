"""How do layers become a figure, and how does a figure get its alt text?"""

import io
from html import escape
from pathlib import Path

import numpy as np
from IPython.display import HTML
from matplotlib import pyplot as plt
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar
from PIL import Image

from toolkit.maps import layers as _layers
from toolkit.maps import pictures

HOUSE = Path(__file__).with_name("house.mplstyle")
CAPTION = "font:13px/1.5 system-ui,sans-serif;opacity:.85;text-align:left"


def panels(layers, ncols=3, size=3.4, max_pixels=pictures.MAX_PIXELS, compact=False):
    """Figure of maps side by side, each with title, legend, scale bar and axes.

    Parameters
    ----------
    layers : list
        One item per map: a layer, raw data, or a list of them, drawn from the bottom up on the
        grid of the first.
    ncols : int
        Maps per row.
    size : float
        Width of one map, in inches.
    max_pixels : int
        Longest side of a raster in the figure.
    compact : bool
        Many small maps: no axes, a scale bar on the first of each row, one legend
        for all and one colour bar for all heatmaps that share their colours.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> maps.figure(maps.panels([lights, urban, [lights, towns]]), alt="The lights, ...")
    """
    if not len(layers):
        raise ValueError("maps.panels: nothing to show; give it a list of layers")
    stacks = [[_layers.infer(one) for one in (x if isinstance(x, list) else [x])] for x in layers]
    use_style()
    ncols = min(ncols, len(stacks))
    nrows = -(-len(stacks) // ncols)
    tall = [np.divide(*_extent(stack[0])[1]) for stack in stacks]
    fig, axes = plt.subplots(
        nrows, ncols, figsize=(size * ncols, nrows * (size * min(max(tall), 2) + 0.5)),
        squeeze=False,
    )  # fmt: skip
    entries, bars = {}, {}
    for n, (ax, stack) in enumerate(zip(axes.flat, stacks, strict=False)):
        handles, scales = _panel(ax, stack, max_pixels)
        if not compact:
            _finish(ax, stack, handles, scales)
            continue
        entries |= {each.get_label(): each for each in handles}
        bars |= dict.fromkeys(scales)
        ax.set_title(stack[0].name, fontsize="medium")
        ax.set_axis_off()
        if n % ncols == 0:
            _scale_bar(ax, *_crs_and_bounds(stack[0]))
    for ax in axes.flat[len(stacks) :]:
        ax.set_visible(False)
    for bar in bars:
        _colorbar(fig, axes, *bar, shrink=0.4, aspect=40, pad=0.01)
    if entries:
        note = "Simulated" if any(_simulated(stack) for stack in stacks) else None
        columns = max(min(len(entries), int(size * ncols / 2)), 1)  # an entry takes two inches
        fig.legend(handles=entries.values(), loc="outside lower center", ncols=columns, title=note)
    return fig


def _simulated(stack):
    return any(layer.data.attrs.get("simulated") for layer in stack)


def _crs_and_bounds(layer):
    crs = layer.data.crs if layer.kind == "vector" else layer.data.rio.crs
    return crs, _extent(layer)[0]


def _finish(ax, stack, handles, scales):
    """Legend, colour bars, title and axes of a map that stands by itself."""
    for scale in scales:
        _colorbar(ax.figure, ax, *scale, shrink=0.8, aspect=30, pad=0.03)
    if handles:
        where = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.2)}
        ax.legend(handles=handles, ncols=2, **where)
    ax.set_title(stack[0].name + (" (simulated)" if _simulated(stack) else ""))
    _axes(ax, *_crs_and_bounds(stack[0]))


def _extent(layer):
    """Bounds of a layer in its own CRS, and its height and width there."""
    if layer.kind == "vector":
        west, south, east, north = layer.data.total_bounds
    else:
        west, south, east, north = layer.data.odc.geobox.boundingbox.bbox
    return (west, south, east, north), (north - south, east - west)


def _panel(ax, stack, max_pixels):
    """Draw a stack on the grid and in the CRS of its first layer; what legend and bars say."""
    base = stack[0]
    crs, (west, south, east, north) = _crs_and_bounds(base)
    grid = None if base.kind == "vector" else base.data.odc.geobox
    handles, scales = [], []
    for layer in stack:
        if layer.kind == "vector":
            fill = layer.options["fill"]
            look = {"facecolor": fill or "none", "edgecolor": layer.options["color"]}
            layer.data.to_crs(crs).plot(ax=ax, linewidth=0.9, **look)
            handles.append(Patch(**look, label=layer.name))
            continue
        if grid is None:
            raise ValueError("maps.panels: put rasters below vectors in a stack")
        seen = grid.zoom_out(max(max(grid.shape) / max_pixels, 1))
        values = pictures.values_on(layer, seen)
        pixels, low, high = pictures.paint(layer, values)
        if isinstance(pixels, tuple):
            index, palette = pixels
            alpha = np.where(index == 255, 0, 255)[..., None]
            pixels = np.concatenate([palette[index], alpha], axis=2).astype("uint8")
        ax.imshow(pixels, extent=(west, east, south, north), alpha=layer.options.get("opacity"))
        if layer.kind == "heatmap":
            scales.append((low, high, layer.options["cmap"], layer.options["label"]))
        elif layer.kind == "classes":
            for entry in layer.data.attrs["classes"]:
                if not pictures.is_hidden(entry, layer):
                    handles.append(Patch(facecolor=entry["color"], label=entry["name"]))
    ax.set_xlim(west, east)
    ax.set_ylim(south, north)
    return handles, scales


def _colorbar(fig, axes, low, high, cmap, label, **look):
    scale = ScalarMappable(Normalize(low, high), cmap)
    fig.colorbar(scale, ax=axes, label=label, orientation="horizontal", **look)


def _axes(ax, crs, bounds):
    """Degrees or kilometres on the axes, and a scale bar."""
    _, south, _, north = bounds
    if crs.is_geographic:
        ax.set_aspect(1 / np.cos(np.radians((south + north) / 2)))
        ax.set(xlabel="longitude (°)", ylabel="latitude (°)")
    else:
        ax.set_aspect("equal")
        kilometres = FuncFormatter(lambda value, _: f"{value / 1000:g}")
        ax.xaxis.set_major_formatter(kilometres)
        ax.yaxis.set_major_formatter(kilometres)
        ax.set(xlabel="easting (km)", ylabel="northing (km)")
    for label in (ax.xaxis.label, ax.yaxis.label):
        label.set_size(plt.rcParams["axes.labelsize"])  # geopandas shrinks them
    ax.xaxis.set_major_locator(MaxNLocator(3))
    ax.yaxis.set_major_locator(MaxNLocator(4))
    _scale_bar(ax, crs, bounds)


def _scale_bar(ax, crs, bounds):
    west, south, east, north = bounds
    metres = 111_320 * np.cos(np.radians((south + north) / 2)) if crs.is_geographic else 1.0
    room = (east - west) * metres * 0.3
    size = 10.0 ** np.floor(np.log10(room))
    length = max(factor * size for factor in (1, 2, 5) if factor * size <= room)
    text = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    bar = AnchoredSizeBar(
        ax.transData, length / metres, text, "lower right", frameon=True, borderpad=0.4, sep=3
    )
    bar.patch.set(alpha=0.75, linewidth=0)
    ax.add_artist(bar)


def figure(fig=None, alt=None, caption=None):
    """Show a matplotlib figure with the text that replaces it for readers who cannot see it.

    Parameters
    ----------
    fig : matplotlib.figure.Figure, optional
        By default the current figure, which helps after ``show_batch`` and the like.
    alt : str
        What the figure shows, in a sentence or two: its message, not its decoration.
    caption : str, optional
        Text under the figure. Say there what was simulated.

    Returns
    -------
    IPython.display.HTML

    Raises
    ------
    ValueError
        No alt text, or a figure without axes.

    Examples
    --------
    >>> fig, ax = plt.subplots()
    >>> ax.plot(losses)
    >>> maps.figure(fig, alt="The loss falls from 0.9 to 0.3 in five epochs.")
    """
    if not alt or not alt.strip():
        raise ValueError("maps.figure: say in alt='...' what the figure shows")
    if fig is None:
        fig = plt.gcf()
    if not fig.axes:
        raise ValueError("maps.figure: the figure is empty; pass the one you drew on")
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", pil_kwargs={"optimize": True})
    width = Image.open(buffer).width
    source = pictures.uri(pictures.compressed(buffer.getvalue()))
    plt.close(fig)  # or the notebook would show it a second time, without the alt text
    text = f"<figcaption style='{CAPTION}'>{escape(caption)}</figcaption>" if caption else ""
    return HTML(
        f'<figure style="margin:0.5em 0"><img alt="{escape(alt)}" '
        f'src="{source}" style="max-width:100%;width:{width}px;background:#fff">{text}</figure>'
    )


def use_style():
    """Use the book's matplotlib style (``toolkit/maps/house.mplstyle``) from here on."""
    plt.style.use(HOUSE)
