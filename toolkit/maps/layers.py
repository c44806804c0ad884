"""What is a layer: which data, called what, drawn how?"""

from dataclasses import dataclass, field

import geopandas as gpd
import numpy as np
import odc.geo.xr  # noqa: F401  (registers the .odc accessor)
import xarray as xr
from matplotlib import colormaps

from toolkit import _checks

MAX_POPUPS = 200


@dataclass(frozen=True)
class Layer:
    """One thing on a map: the data, its name, and how it is drawn. Made by the four functions."""

    kind: str
    data: xr.DataArray | gpd.GeoDataFrame
    name: str
    options: dict = field(default_factory=dict)

    @property
    def alt(self):
        """A sentence for readers who cannot see the layer."""
        attrs = self.data.attrs
        what = attrs.get("long_name") or attrs.get("title") or self.kind
        if self.kind == "classes":
            names = ", ".join(entry["name"] for entry in attrs["classes"])
            return f"Map layer {self.name}: {what}, with the classes {names}"
        units = f" in {attrs['units']}" if attrs.get("units") else ""
        return f"Map layer {self.name}: {what}{units}"

    @property
    def bounds(self):
        """West, south, east and north in degrees."""
        if self.kind == "vector":
            return tuple(self.data.to_crs("EPSG:4326").total_bounds)
        return self.data.odc.geobox.extent.to_crs("EPSG:4326").boundingbox.bbox


def image(array, name=None, bands=None, stretch=(2, 98)):
    """Picture of an image: three of its bands as red, green and blue, or one band in grey.

    Parameters
    ----------
    array : xarray.DataArray
        Dims (band, y, x) or (y, x), with a CRS; NaN is transparent.
    name : str, optional
        What the layer control calls it; by default the title, long name or name of the array.
    bands : list, optional
        One or three values of the ``band`` coordinate. By default the bands called red, green
        and blue, else the first three, else the only one.
    stretch : tuple of float
        The percentiles that become black and white, band by band.

    Returns
    -------
    Layer

    Raises
    ------
    ValueError
        No CRS, no such band, or neither one nor three bands.

    Examples
    --------
    >>> scene = catalog.open("raleigh/image")
    >>> maps.show(maps.image(scene, "False colour", bands=["nir", "red", "green"]))
    """
    array = _raster(array, "maps.image", extra="band")
    if "band" in array.dims:
        have = [str(value) for value in array.band.values] if "band" in array.coords else []
        if bands is None:
            rgb = ["red", "green", "blue"]
            lower = [value.lower() for value in have]
            pick = [lower.index(c) for c in rgb] if set(rgb) <= set(lower) else [0, 1, 2]
            pick = pick if array.sizes["band"] >= 3 else [0]
        else:
            missing = [str(band) for band in bands if str(band) not in have]
            if missing:
                raise ValueError(f"maps.image: no band {missing}; the image has {have}")
            pick = [have.index(str(band)) for band in bands]
        if len(pick) not in (1, 3):
            raise ValueError(f"maps.image: choose one band or three, not {len(pick)}")
        array = array.isel(band=pick)
    else:
        array = array.expand_dims("band")
    return Layer("image", array, _name(array, name), {"stretch": stretch})


def heatmap(array, name=None, cmap="viridis", vmin=None, vmax=None, label=None):
    """Colours for one continuous quantity, with a colour bar: a probability, lights, temperature.

    Parameters
    ----------
    array : xarray.DataArray
        Dims (y, x), or (band, y, x) with one band; with a CRS; NaN is transparent.
    name : str, optional
        What the layer control calls it.
    cmap : str
        A matplotlib colour map; viridis, cividis and magma are safe for colour-blind readers.
    vmin, vmax : float, optional
        The ends of the colour bar; by default the smallest and the largest value.
    label : str, optional
        Title of the colour bar; by default the long name and units of the array.

    Returns
    -------
    Layer

    Examples
    --------
    >>> maps.show(maps.heatmap(probability.sel({"class": "urban"}), "P(urban)", vmin=0, vmax=1))
    """
    array = _raster(array, "maps.heatmap")
    if cmap not in colormaps:
        raise ValueError(f"maps.heatmap: matplotlib has no colour map {cmap!r}; try 'viridis'")
    if label is None:
        label = str(array.attrs.get("long_name") or _name(array, name))
        label += f" ({array.attrs['units']})" if array.attrs.get("units") else ""
    options = {"cmap": cmap, "vmin": vmin, "vmax": vmax, "label": label}
    return Layer("heatmap", array, _name(array, name), options)


def classes(array, name=None, opacity=0.8, hide=("background",)):
    """Colours and names of a class map, taken from ``attrs["classes"]``.

    Parameters
    ----------
    array : xarray.DataArray
        Dims (y, x), whole numbers, with a CRS. Nodata (255 by default) is transparent.
    name : str, optional
        What the layer control calls it.
    opacity : float
        Opacity to start with, 0 to 1.
    hide : sequence of str
        Names of classes that stay transparent and out of the legend.

    Returns
    -------
    Layer

    Raises
    ------
    ValueError
        ``attrs["classes"]`` is missing or does not name every value.

    Examples
    --------
    >>> urban.attrs["classes"] = [{"value": 0, "name": "background", "color": "#ffffff"},
    ...                           {"value": 1, "name": "urban", "color": "#D55E00"}]
    >>> maps.show(maps.classes(urban, "Reference"))
    """
    array = _raster(array, "maps.classes")
    entries = array.attrs.get("classes")
    if not entries:
        raise ValueError(
            "maps.classes: the raster does not say what its values mean. Set attrs['classes'] = "
            "[{'value': 1, 'name': 'urban', 'color': '#D55E00'}, ...]"
        )
    return Layer(
        "classes", array, _name(array, name), {"opacity": float(opacity), "hide": tuple(hide)}
    )


def vector(gdf, name=None, popup=None, color="#D55E00", fill=None):
    """Points, lines or polygons, with a popup for each feature if columns are named.

    Parameters
    ----------
    gdf : geopandas.GeoDataFrame
        With a CRS. Outlines are simplified by less than a screen pixel to keep the page small.
    name : str, optional
        What the layer control calls it.
    popup : list of str, optional
        Columns shown when a feature is clicked; for at most 200 features.
    color, fill : str, optional
        Colour of the outline, and of the inside (none by default).

    Returns
    -------
    Layer

    Examples
    --------
    >>> maps.show(maps.image(lights), maps.vector(towns, "Towns", popup=["name", "people"]))
    """
    if not isinstance(gdf, gpd.GeoDataFrame):
        raise TypeError(f"maps.vector: expected a GeoDataFrame, got {type(gdf).__name__}")
    if gdf.crs is None:
        raise ValueError("maps.vector: the table has no CRS; set it with .set_crs('EPSG:...')")
    shapes = gdf[gdf.geometry.notna() & ~gdf.geometry.is_empty]
    if shapes.empty:
        raise ValueError("maps.vector: there is no geometry to draw")
    missing = [column for column in popup or [] if column not in gdf]
    if missing:
        raise KeyError(f"maps.vector: no column {missing}; the table has {list(gdf.columns)}")
    if popup and len(shapes) > MAX_POPUPS:
        raise ValueError(
            f"maps.vector: {len(shapes)} popups would swell the page; at most {MAX_POPUPS} "
            "features may have one. Leave out popup=, or pick or dissolve features first."
        )
    options = {"popup": popup, "color": color, "fill": fill}
    return Layer("vector", shapes, _name(gdf, name), options)


def infer(item):
    """Return a layer for whatever `item` is: itself, a table, a class map, one band or an image."""
    if isinstance(item, Layer):
        return item
    if isinstance(item, gpd.GeoDataFrame):
        return vector(item)
    if not isinstance(item, xr.DataArray):
        raise TypeError(
            f"maps: cannot draw a {type(item).__name__}. Give an xarray.DataArray, a GeoDataFrame, "
            "or a layer from maps.image, maps.heatmap, maps.classes or maps.vector."
        )
    if item.attrs.get("classes") and item.ndim == 2:
        return classes(item)
    if item.ndim == 2 or (item.ndim == 3 and item.dims[0] == "band" and item.sizes["band"] == 1):
        return heatmap(item)
    return image(item)


def _raster(array, what, extra=None):
    """Check a raster; squeeze a single band away unless bands are welcome."""
    if isinstance(array, xr.DataArray) and array.ndim == 3 and extra is None:
        if array.dims[0] == "class":
            names = [str(value) for value in array["class"].values]
            raise ValueError(f"{what}: choose one class first, .sel({{'class': ...}}) of {names}")
        if array.dims[0] == "band" and array.sizes["band"] == 1:
            array = array.isel(band=0, drop=True)
    dims = ("y", "x")
    if extra and isinstance(array, xr.DataArray) and array.ndim == 3:
        dims = (extra, *dims)
    _checks.raster(array, what, dims)
    if array.dtype.kind not in "buif":
        raise TypeError(f"{what}: the raster holds {array.dtype}, not numbers")
    if array.odc.geobox is None:
        raise ValueError(f"{what}: x and y are not evenly spaced; .odc.reproject gives a grid")
    if array.odc.geobox.crs.geographic and np.abs(array.y).max() > 85:
        # Web Mercator ends there: the poles would be infinitely far away.
        array = array.sel(y=np.abs(array.y) <= 85)
    return array


def _name(data, name):
    own = data.attrs.get("title") or data.attrs.get("long_name")
    if isinstance(data, xr.DataArray):  # a table's .name may be one of its columns
        own = own or data.name
    return str(name or own or "Layer")
