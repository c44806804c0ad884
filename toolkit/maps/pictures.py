"""How do the values of a raster become a picture with a legend?"""

import base64
import io
from dataclasses import dataclass
from html import escape

import numpy as np
import odc.geo.xr  # noqa: F401  (registers the .odc accessor)
from matplotlib import colormaps
from matplotlib.colors import to_hex, to_rgba_array
from PIL import Image

MAX_PIXELS = 1024
LARGE = 150_000  # bytes from which a picture is worth compressing with loss


@dataclass(frozen=True)
class Picture:
    """A raster as a reader sees it: PNG data URI, bounds in degrees, legend, values' range."""

    uri: str
    bounds: tuple
    legend: str
    shape: tuple


def picture(layer, max_pixels=MAX_PIXELS, grid=None):
    """Warp a raster layer to Web Mercator and paint it.

    Parameters
    ----------
    layer : Layer
        A raster layer.
    max_pixels : int
        Longest side, in pixels.
    grid : odc.geo.geobox.GeoBox, optional
        The Web Mercator grid to warp to, if not the layer's own.

    Returns
    -------
    Picture
        The picture, its bounds (west, south, east, north) in degrees, and its legend.
    """
    grid = grid or web_grid(layer.data, max_pixels)
    values = values_on(layer, grid)
    pixels, low, high = paint(layer, values)
    corners = grid.extent.to_crs("EPSG:4326").boundingbox
    bounds = tuple(round(edge, 6) for edge in corners.bbox)
    return Picture(uri(compressed(png(pixels))), bounds, legend(layer, low, high), grid.shape)


def values_on(layer, grid):
    """Values of a raster layer on another grid: float32, NaN where there is no data."""
    data = layer.data.astype("float32")
    nodata = layer.data.rio.nodata
    if layer.kind == "classes" and nodata is None:
        nodata = 255
    if nodata is not None and not np.isnan(nodata):
        data = data.where(data != nodata)
    # A class stays a class. A quantity is averaged where several pixels become one; elsewhere
    # the nearest pixel is kept, so that readers see the true size of the data's pixels.
    source = layer.data.odc.geobox.extent.to_crs(grid.crs).area / np.prod(layer.data.shape[-2:])
    coarser = abs(grid.resolution.x * grid.resolution.y) > 1.5 * source
    how = "average" if coarser and layer.kind != "classes" else "nearest"
    data = data.rio.write_nodata(np.nan)
    values = data.odc.reproject(grid, resampling=how, dst_nodata=np.nan).to_numpy()
    if not np.isfinite(values).any():
        raise ValueError(f"layer {layer.name!r} has no valid pixel here: everything is nodata")
    return values


def paint(layer, values):
    """Pixels of a layer: RGBA, or (index, palette) where 256 colours are enough; and the range."""
    if layer.kind == "image":
        low, high = np.nanpercentile(values, layer.options["stretch"], axis=(1, 2))
        span = np.where(high > low, high - low, 1)[:, None, None]
        seen = np.isfinite(values).all(axis=0)
        grey = np.nan_to_num((values - low[:, None, None]) / span)
        if len(values) == 1:
            index = (np.clip(grey[0], 0, 1) * 254).round().astype("uint8")
            index[~seen] = 255
            return (index, np.arange(256, dtype="uint8")[:, None].repeat(3, axis=1)), None, None
        rgb = (np.clip(grey, 0, 1) * 255).astype("uint8")
        return np.dstack([*rgb, seen.astype("uint8") * 255]), None, None
    seen = np.isfinite(values)
    palette = np.zeros((256, 3), "uint8")
    if layer.kind == "heatmap":
        low, high = layer.options["vmin"], layer.options["vmax"]
        low = float(np.nanmin(values)) if low is None else low
        high = float(np.nanmax(values)) if high is None else high
        scaled = np.nan_to_num((values - low) / (high - low if high > low else 1))
        index = (np.clip(scaled, 0, 1) * 254).round().astype("uint8")
        palette[:255] = colormaps[layer.options["cmap"]](np.linspace(0, 1, 255), bytes=True)[:, :3]
    else:
        low = high = None
        index = np.zeros(values.shape, "uint8")
        known = np.zeros(values.shape, bool)
        for number, entry in enumerate(layer.data.attrs["classes"]):
            here = values == entry["value"]
            known |= here
            palette[number] = to_rgba_array(entry["color"])[0, :3] * 255
            index[here] = 255 if is_hidden(entry, layer) else number
        strange = np.unique(values[seen & ~known])
        if strange.size:
            raise ValueError(
                f"layer {layer.name!r}: attrs['classes'] does not name {strange[:5].tolist()}; "
                "add them, or mark them as nodata with .rio.write_nodata"
            )
    index[~seen] = 255
    return (index, palette), low, high


def legend(layer, low=None, high=None):
    """Legend of one layer in HTML: its name and patches, a colour bar, or a line."""
    parts = [f"<b>{escape(layer.name)}</b>"]
    if layer.kind == "classes":
        for entry in layer.data.attrs["classes"]:
            if not is_hidden(entry, layer):
                parts.append(patch(to_hex(entry["color"]), entry["name"]))
    elif layer.kind == "heatmap":
        stops = colormaps[layer.options["cmap"]](np.linspace(0, 1, 9))
        ramp = ",".join(to_hex(stop) for stop in stops)
        label = escape(layer.options["label"])
        parts.append(
            f"<div>{label}</div><div role='img' aria-label='Colour bar, {label}, {low:.3g} to "
            f"{high:.3g}' style='height:10px;background:linear-gradient(to right,{ramp})'></div>"
            f"<div style='display:flex;justify-content:space-between'><span>{low:.3g}</span>"
            f"<span>{high:.3g}</span></div>"
        )
    elif layer.kind == "vector":
        parts = [patch(layer.options["fill"] or "transparent", layer.name, layer.options["color"])]
    elif layer.data.sizes["band"] == 3 and "band" in layer.data.coords:
        bands = ", ".join(str(value) for value in layer.data.band.values)
        parts.append(f"<div>red, green, blue: {escape(bands)}</div>")
    return "".join(parts)


def notes(layers):
    """Say once where the data come from and what of it is simulated, in HTML."""
    lines = []
    fake = [layer.name for layer in layers if layer.data.attrs.get("simulated")]
    if fake:
        lines.append(f"<b>Simulated data:</b> {escape(', '.join(fake))}.")
    for layer in layers:
        attrs = layer.data.attrs
        source = attrs.get("source") or attrs.get("title")
        if source and source != layer.name:
            facts = [source, attrs.get("sensor"), attrs.get("date"), attrs.get("licence")]
            line = "Source: " + escape(", ".join(str(fact) for fact in facts if fact))
            lines += [line] if line not in lines else []
    return "<br>".join(lines)


def is_hidden(entry, layer):
    """Tell whether a class map leaves a class transparent and out of its legend."""
    return entry["name"] in layer.options.get("hide", ("background",))


def web_grid(data, max_pixels=MAX_PIXELS):
    """Grid in Web Mercator for a raster: at most `max_pixels` on its longer side.

    A small raster gets up to four pixels for each of its own, so that its pixels keep their
    shape when they are turned into the map's projection.
    """
    grid = data.odc.output_geobox("EPSG:3857", resolution="fit")
    return grid.zoom_out(max(max(grid.shape) / max_pixels, 0.25))


def patch(color, name, edge="#888"):
    """One line of a legend: a patch of colour and a name, in HTML."""
    style = (
        f"display:inline-block;width:11px;height:11px;background:{color};border:2px solid {edge}"
    )
    return f"<div><span style='{style};margin-right:6px'></span>{escape(str(name))}</div>"


def png(pixels):
    """Compress RGBA pixels, or an (index, palette) pair whose index 255 is transparent."""
    buffer = io.BytesIO()
    if isinstance(pixels, tuple):
        index, palette = pixels
        paletted = Image.fromarray(index, "L")
        paletted.putpalette(palette.ravel().tolist())
        paletted.save(buffer, "png", optimize=True, transparency=255)
    else:
        Image.fromarray(pixels).save(buffer, "png", optimize=True)
    return buffer.getvalue()


def compressed(content):
    """Turn a large PNG into a WebP a few times smaller: photographs, whose noise PNG keeps."""
    if len(content) < LARGE:
        return content
    buffer = io.BytesIO()
    Image.open(io.BytesIO(content)).convert("RGBA").save(buffer, "webp", quality=85, method=4)
    return min(content, buffer.getvalue(), key=len)


def uri(content):
    """Write a PNG or WebP as a data URI."""
    kind = "png" if content.startswith(b"\x89PNG") else "webp"
    return f"data:image/{kind};base64," + base64.b64encode(content).decode()
