"""How do layers become an interactive map that needs no kernel?"""

import json
import math
import warnings
from html import escape

import geopandas as gpd
import ipyleaflet
import ipywidgets
import numpy as np
import xarray as xr
from shapely.geometry import LineString, MultiLineString, mapping
from traitlets import Unicode

from toolkit.maps import layers as _layers
from toolkit.maps import pictures

MAX_LAYERS = 6
MAX_VECTOR_BYTES = 2_000_000
PAGE_WIDTH, PANEL_WIDTH = 690, 190  # CSS pixels of the text column and of the legend's panel
STYLE = (
    "<style>.leaflet-container{background:#f3f2ee!important}"
    ".leaflet-image-layer.crisp{image-rendering:pixelated}"
    ".graticule-label{font:10px sans-serif;color:#666;white-space:nowrap;"
    "text-shadow:0 0 2px #fff,0 0 2px #fff}</style>"
)


class Text(ipyleaflet.DivIcon):
    """A label on the map, in a CSS class of its own instead of Leaflet's white box."""

    class_name = Unicode("graticule-label").tag(sync=True, o=True)


class Overlay(ipyleaflet.ImageOverlay):
    """An image overlay that also hands Leaflet its alternative text and a CSS class."""

    alt = Unicode().tag(sync=True, o=True)
    class_name = Unicode("crisp").tag(sync=True, o=True)


def show(
    *layers,
    height="480px",
    basemap=None,
    zoom_to=None,
    max_pixels=pictures.MAX_PIXELS,
    switch=False,
):
    """Interactive map of up to six layers, the same in JupyterLab, papermill output and the book.

    Rasters are warped to Web Mercator and travel as pictures inside the map. Legend, opacity
    sliders and layer control need no kernel.

    Parameters
    ----------
    *layers : Layer, xarray.DataArray or geopandas.GeoDataFrame
        From the bottom up. Raw data are drawn by what they are: class maps by their classes,
        one band as a heatmap, several as an image, tables as outlines.
    height : str
        Height of the map, in CSS units.
    basemap : str, optional
        ``"osm"`` puts OpenStreetMap's tiles below. They come from the internet, so published
        notebooks leave it out.
    zoom_to : str, DataArray, GeoDataFrame or (west, south, east, north), optional
        What to start with: a layer's name, some data, or degrees. By default all rasters.
    max_pixels : int
        Longest side of a raster on the map. More is sharper, and makes the page larger.
    switch : bool
        Rasters are alternatives: one at a time is seen, and an open list of names chooses which.
        The last one is on at first; give it no transparent parts. There are no opacity sliders.

    Returns
    -------
    leafmap.Map

    Raises
    ------
    ValueError
        No layer or more than six, a raster without CRS or without a valid pixel.
    TypeError
        Something that is neither a layer nor data.

    Examples
    --------
    >>> maps.show(lights, maps.heatmap(probability, "P(urban)", vmin=0, vmax=1), towns)
    """
    layers = [_layers.infer(item) for item in layers]
    if not layers:
        raise ValueError("maps.show: nothing to show; give it at least one layer")
    if len(layers) > MAX_LAYERS:
        raise ValueError(
            f"maps.show: {len(layers)} layers. A chapter's map has at most {MAX_LAYERS} (the form "
            "of a chapter, 'Maps'), so that its legend can be read. Make two maps, or use "
            "maps.compare or maps.panels."
        )
    if basemap not in (None, "osm"):
        raise ValueError(f"maps.show: basemap may be None or 'osm', not {basemap!r}")

    drawn, legend = [], []
    for layer in layers:
        if layer.kind == "vector":
            drawn.append(_shapes(layer))
            legend.append(_text(pictures.legend(layer)))
            continue
        seen = pictures.picture(layer, max_pixels)
        west, south, east, north = seen.bounds
        overlay = Overlay(
            url=seen.uri,
            bounds=[[south, west], [north, east]],
            name=layer.name,
            alt=layer.alt,
            opacity=1.0 if switch else layer.options.get("opacity", 1.0),
            base=switch,
        )
        drawn.append(overlay)
        legend += [_text(seen.legend)] if switch else [_text(seen.legend), _slider(layer, overlay)]
    bounds = _subject(zoom_to, layers)
    return _assemble(drawn, legend, layers, bounds, height, basemap, switch)


def _assemble(drawn, legend, layers, bounds, height, basemap, switch=False):
    import leafmap.leafmap as leafmap  # takes seconds: only those who make a map wait for it

    west, south, east, north = bounds
    zoom = _zoom(bounds, height)
    # Legend and buttons cover both sides: the subject goes to the middle of what is left.
    shift = (PANEL_WIDTH - 45) / 2 * 360 / (256 * 2**zoom)
    map_ = leafmap.Map(
        center=[(south + north) / 2, (west + east) / 2 + shift],
        zoom=zoom,
        zoom_snap=0.25,
        zoom_delta=0.5,
        height=height,
        scroll_wheel_zoom=False,  # or a reader who scrolls down the page gets caught in the map
        attribution_control=basemap is not None,
        draw_control=False,
        fullscreen_control=False,
        scale_control=False,
        toolbar_control=False,
    )
    # The traits are set directly: leafmap's add() builds a layer manager, which needs a kernel
    # and makes up most of a saved map.
    tiles = list(map_.layers)
    map_.layers = (*(tiles if basemap else [_graticule(bounds)]), *drawn)
    if not basemap:
        for layer in tiles:
            layer.close()
    notes = _text(STYLE + pictures.notes(layers))
    panel = ipywidgets.VBox([*legend, notes])
    panel.layout = ipywidgets.Layout(
        width=f"{PANEL_WIDTH}px",
        max_height=f"calc({height} - 40px)",
        padding="5px 8px",
        overflow="auto",
    )
    map_.controls = (
        *map_.controls,
        ipyleaflet.LayersControl(position="topleft", collapsed=not switch),
        ipyleaflet.ScaleControl(position="bottomleft", imperial=False),
        ipyleaflet.WidgetControl(widget=panel, position="topright"),
    )
    return map_


def _text(html):
    """A piece of the legend, with line height and colours that no theme overrules."""
    style = "font:12px/1.4 system-ui,sans-serif;color:#222;white-space:normal"
    box = ipywidgets.HTML(f"<div style='{style}'>{html}</div>")
    box.layout = ipywidgets.Layout(margin="0 0 3px 0")
    return box


def _slider(layer, overlay):
    """Opacity of one overlay; jslink ties the two in the browser, where no kernel is needed."""
    slider = ipywidgets.FloatSlider(
        value=overlay.opacity, min=0, max=1, step=0.05, description="opacity", readout=False
    )
    slider.layout = ipywidgets.Layout(width="165px", height="24px", margin="0 0 8px 0")
    slider.style.description_width = "48px"
    slider.tooltip = f"Opacity of {layer.name}"
    ipywidgets.jslink((slider, "value"), (overlay, "opacity"))
    return slider


def _shapes(layer):
    """GeoJSON of a vector layer; with popups, a group with one GeoJSON layer for each feature."""
    table = layer.data.to_crs("EPSG:4326")
    west, south, east, north = table.total_bounds
    span = max(east - west, north - south)
    table = table.set_geometry(table.geometry.simplify(span / 4000))
    digits = 6 if span == 0 else max(2, 4 - math.floor(math.log10(span)))
    table = table.set_geometry(table.geometry.set_precision(10.0**-digits, mode="pointwise"))
    color, fill = layer.options["color"], layer.options["fill"]
    style = {"color": color, "weight": 1.5, "fillOpacity": 0.35 if fill else 0.0}
    style["fillColor"] = fill or color
    looks = {"style": style, "point_style": {"radius": 4, "weight": 1.5}}
    features = [
        {"type": "Feature", "properties": {}, "geometry": _rounded(mapping(shape), digits)}
        for shape in table.geometry
        if not shape.is_empty
    ]
    size = len(json.dumps(features))
    if size > MAX_VECTOR_BYTES:
        warnings.warn(
            f"maps.vector: {layer.name!r} adds {size / 1e6:.1f} MB to the page; select, dissolve "
            "or simplify its features first",
            stacklevel=3,
        )
    columns = layer.options["popup"]
    if not columns:
        data = {"type": "FeatureCollection", "features": features}
        return ipyleaflet.GeoJSON(data=data, name=layer.name, **looks)
    layout, group = ipywidgets.Layout(), []
    for feature, (_, row) in zip(features, table.iterrows(), strict=True):
        text = "<br>".join(f"<b>{escape(str(c))}</b>: {escape(str(row[c]))}" for c in columns)
        box = ipywidgets.HTML(text, layout=layout)
        group.append(ipyleaflet.GeoJSON(data=feature, popup=box, **looks))
    return ipyleaflet.LayerGroup(layers=tuple(group), name=layer.name)


def _rounded(geometry, digits):
    """Round the coordinates of a GeoJSON geometry, which halves its size."""
    return json.loads(json.dumps(geometry), parse_float=lambda number: round(float(number), digits))


def _graticule(bounds):
    """Lines of latitude and longitude with labels: a background that needs no other host."""
    west, south, east, north = bounds
    step = max(east - west, north - south, 1e-4) / 3
    size = 10.0 ** math.floor(math.log10(step))
    step = next(factor * size for factor in (1, 2, 5, 10) if factor * size >= 0.7 * step)
    digits = max(0, -math.floor(math.log10(step)))
    span = 12 * step
    lines, labels = [], []

    def label(value, place, letters):
        text = f"{abs(value):.{digits}f}° {letters[int(value < 0)]}"
        icon = Text(html=text, icon_size=[60, 12], icon_anchor=[-3, 14])
        labels.append(ipyleaflet.Marker(location=place, icon=icon, draggable=False, keyboard=False))

    for lon in np.arange(math.ceil((west - span) / step), (east + span) / step) * step:
        if abs(lon) <= 180:
            lines.append(LineString([(lon, max(south - span, -85)), (lon, min(north + span, 85))]))
            if west <= lon <= east:
                label(lon, (south, lon), "EW")
    for lat in np.arange(math.ceil((south - span) / step), (north + span) / step) * step:
        if abs(lat) <= 85:
            lines.append(LineString([(max(west - span, -180), lat), (min(east + span, 180), lat)]))
            if south <= lat <= north:
                label(lat, (lat, west), "NS")
    net = _rounded(mapping(MultiLineString(lines)), digits + 3)
    net = ipyleaflet.GeoJSON(
        data={"type": "Feature", "properties": {}, "geometry": net},
        style={"color": "#bbb", "weight": 1, "dashArray": "2 4"},
    )
    return ipyleaflet.LayerGroup(layers=(net, *labels), name="Latitude and longitude")


def _subject(zoom_to, layers):
    """Bounds in degrees of what a map starts with: (west, south, east, north)."""
    if isinstance(zoom_to, str):
        chosen = [layer for layer in layers if layer.name == zoom_to]
        if not chosen:
            names = [layer.name for layer in layers]
            raise KeyError(f"maps.show: zoom_to={zoom_to!r} is not one of the layers {names}")
    elif isinstance(zoom_to, xr.DataArray | gpd.GeoDataFrame | _layers.Layer):
        chosen = [_layers.infer(zoom_to)]
    elif zoom_to is not None:
        west, south, east, north = (float(edge) for edge in zoom_to)
        if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
            raise ValueError(
                f"maps.show: zoom_to={tuple(zoom_to)} is not (west, south, east, north) in degrees"
            )
        return west, south, east, north
    else:
        chosen = [layer for layer in layers if layer.kind != "vector"] or layers
    boxes = [layer.bounds for layer in chosen]
    west, south = np.min(boxes, axis=0)[:2]
    east, north = np.max(boxes, axis=0)[2:]
    return float(west), float(south), float(east), float(north)


def _zoom(bounds, height):
    """Zoom at which `bounds` fill what the legend leaves of a map in a page's text column."""
    west, south, east, north = bounds

    def mercator(lat):
        return math.asinh(math.tan(math.radians(max(-85.0, min(85.0, lat))))) / (2 * math.pi)

    columns = PAGE_WIDTH - PANEL_WIDTH - 70  # the buttons on the left need room, too
    rows = float(height[:-2]) if height.endswith("px") else 480.0
    share = max((mercator(north) - mercator(south)) / rows, (east - west) / 360 / columns, 1e-9)
    return min(math.floor(4 * math.log2(1 / (256 * share))) / 4, 19)
