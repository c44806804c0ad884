"""What is true at a pixel? Rasters of the city's own vectors, at any resolution.

A pixel has the material at its centre; coarser truth is counted from a finer raster, so that it
agrees with the shares of materials below the pixel.
"""

from __future__ import annotations

import numpy as np
import rioxarray  # noqa: F401  (registers the .rio accessor)
import shapely
import xarray as xr
from rasterio import features
from rasterio.transform import from_origin

from toolkit.scene import buildings, materials, optical
from toolkit.scene.cities import attributes

ROOFS = ("none", "flat concrete", "metal sheet", "sloped tile", "glass")
"""Classes of `roof_type`, by value."""

_ROOF_COLOURS = ("#ffffff", "#999999", "#0072b2", "#d55e00", "#56b4e9")


def _window(city, resolution, bounds):
    """Bounds in order, shape and transform of a raster."""
    west, south, east, north = city.bounds if bounds is None else bounds
    if not resolution > 0:
        raise ValueError(f"resolution is {resolution!r}; give a pixel size in metres above 0.")
    if not (west < east and south < north):
        raise ValueError(f"bounds are {bounds}; give (west, south, east, north) in metres.")
    cols, rows = (round((b - a) / resolution) for a, b in ((west, east), (south, north)))
    if cols < 1 or rows < 1:
        raise ValueError(
            f"no pixel of {resolution} m fits into bounds {bounds}; use a finer resolution."
        )
    bounds = (west, north - rows * resolution, west + cols * resolution, north)
    return bounds, (rows, cols), from_origin(west, north, resolution, resolution)


def _array(data, city, resolution, bounds, title, long_name, units="", nodata=None, classes=None):
    west, _, _, north = bounds
    rows, cols = data.shape[-2:]
    coords = {
        "y": north - (np.arange(rows) + 0.5) * resolution,
        "x": west + (np.arange(cols) + 0.5) * resolution,
    }
    dims = ("y", "x") if data.ndim == 2 else ("class", "y", "x")
    out = xr.DataArray(data, dims=dims, coords=coords).rio.write_crs(city.crs)
    if nodata is not None:
        out = out.rio.write_nodata(nodata)
    out.attrs |= attributes(city) | {"title": title, "long_name": long_name, "units": units}
    if classes is not None:
        out.attrs["classes"] = list(classes)
    return out


def _within(table, bounds):
    """Rows of a table that reach into the bounds, in order."""
    box = shapely.bounds(table.geometry.values)
    west, south, east, north = bounds
    hit = (box[:, 0] < east) & (box[:, 2] > west) & (box[:, 1] < north) & (box[:, 3] > south)
    return table[hit]


def _burn(geometry, values, shape, transform, dtype):
    """Rasterise polygons by the centres of pixels, later ones over earlier ones."""
    out = np.zeros(shape, dtype)
    if not len(values):
        return out
    with optical.no_garbage():
        pairs = optical.shapes(np.asarray(geometry), np.asarray(values))
        return features.rasterize(pairs, out=out, transform=transform)


def objects(city, resolution, bounds=None):
    """Which surface lies on top of each pixel; every other raster here is looked up from it.

    Parameters
    ----------
    city : cities.City
        The city.
    resolution : float
        Pixel size, metres.
    bounds : tuple of float, optional
        West, south, east, north, metres; the city's where left out.

    Returns
    -------
    xarray.DataArray
        int32, the row of ``city.surfaces``, dims (y, x). The last two are kept in memory.
    """
    bounds, shape, transform = _window(city, resolution, bounds)
    kept = vars(city).setdefault("_objects", {})
    key = (shape, *bounds)
    if key not in kept:
        table = _within(city.surfaces, bounds)
        while len(kept) > 1:
            kept.pop(next(iter(kept)))
        kept[key] = _burn(table.geometry.values, table.index, shape, transform, "int32")
    return _array(kept[key], city, resolution, bounds, "Surfaces (simulated)", "row of surfaces")


def materials_raster(city, resolution, bounds=None):
    """Material of each pixel.

    Parameters
    ----------
    city : cities.City
        The city.
    resolution : float
        Pixel size, metres.
    bounds : tuple of float, optional
        West, south, east, north, metres; the city's where left out.

    Returns
    -------
    xarray.DataArray
        uint8 codes, see `materials.CODES`, dims (y, x).

    Examples
    --------
    >>> from toolkit.scene import cities
    >>> town = cities.make(seed=1, style="arid", size=2400)
    >>> materials_raster(town, 10).shape
    (240, 240)
    """
    material = city.surfaces["material"]
    codes = np.array([materials.CODES[c] for c in material.cat.categories], "uint8")
    data = codes[material.cat.codes.to_numpy()][objects(city, resolution, bounds).to_numpy()]
    bounds, _, _ = _window(city, resolution, bounds)
    return _array(data, city, resolution, bounds, "Materials (simulated)", "material code")


def _counted(city, resolution, bounds, oversample):
    """Fine raster of materials cut into blocks of one coarse pixel: (rows, cols, n)."""
    bounds, (rows, cols), _ = _window(city, resolution, bounds)
    fine = materials_raster(city, resolution / oversample, bounds).to_numpy()
    fine = fine[: rows * oversample, : cols * oversample]
    blocks = fine.reshape(rows, oversample, cols, oversample).swapaxes(1, 2)
    return bounds, blocks.reshape(rows, cols, oversample**2)


def _oversample(resolution, oversample):
    """Cells per pixel side: about 2.5 m, and no more than 12."""
    return int(np.clip(round(resolution / 2.5), 1, 12)) if oversample is None else int(oversample)


def fractions(city, resolution, oversample=None, bounds=None):
    """Share of each land cover class in each pixel.

    Parameters
    ----------
    city : cities.City
        The city.
    resolution : float
        Pixel size, metres.
    oversample : int, optional
        How many finer pixels along one side are counted; to about 2.5 m where left out.
    bounds : tuple of float, optional
        West, south, east, north, metres; the city's where left out.

    Returns
    -------
    xarray.DataArray
        float32, dims (class, y, x), summing to 1; ``class`` holds the names.
    """
    n = _oversample(resolution, oversample)
    bounds, cells = _counted(city, resolution, bounds, n)
    cover = _cover_table()[cells]
    data = np.stack([(cover == c["value"]).mean(-1, dtype="float32") for c in materials.CLASSES])
    out = _array(data, city, resolution, bounds, "Land cover shares (simulated)", "share", "1")
    return out.assign_coords({"class": [c["name"] for c in materials.CLASSES]})


def _cover_table():
    table = np.zeros(256, "uint8")
    for name, code in materials.CODES.items():
        table[code] = materials.COVER[name]
    return table


def land_cover(city, resolution, bounds=None, oversample=None):
    """Land cover in the seven classes of `land_cover_3m`: the class that covers most of a pixel.

    Parameters
    ----------
    city : cities.City
        The city.
    resolution : float
        Pixel size, metres.
    bounds : tuple of float, optional
        West, south, east, north, metres; the city's where left out.
    oversample : int, optional
        As in `fractions`.

    Returns
    -------
    xarray.DataArray
        uint8, 1 to 7, nodata 255, dims (y, x); ``attrs["classes"]`` names them.

    Examples
    --------
    >>> from toolkit.scene import cities
    >>> town = cities.make(seed=1, style="arid", size=2400)
    >>> int(land_cover(town, 30).max()) <= 7
    True
    """
    n = _oversample(resolution, oversample)
    if n == 1:
        codes = materials_raster(city, resolution, bounds)
        bounds, _, _ = _window(city, resolution, bounds)
        data = _cover_table()[codes.to_numpy()]
    else:
        bounds, (rows, cols), _ = _window(city, resolution, bounds)
        codes = materials_raster(city, resolution / n, bounds).to_numpy()
        cover = _cover_table()[codes[: rows * n, : cols * n]].reshape(rows, n, cols * n)
        count = [(cover == v).sum(1, dtype="uint8").reshape(rows, cols, n) for v in range(1, 8)]
        count = np.stack([part.sum(-1, dtype="uint16") for part in count])
        data = (count.argmax(0) + 1).astype("uint8")
    return _array(
        data, city, resolution, bounds, "Land cover (simulated truth)", "land cover", "",
        255, materials.CLASSES,
    )  # fmt: skip


def settlement(city, resolution=20.0, bounds=None):
    """Settlement: any building, road or sealed surface in the cell.

    Parameters
    ----------
    city : cities.City
        The city.
    resolution : float
        Pixel size, metres.
    bounds : tuple of float, optional
        West, south, east, north, metres; the city's where left out.

    Returns
    -------
    xarray.DataArray
        uint8, 1 settlement, 0 other, nodata 255, dims (y, x).

    Notes
    -----
    Trees that hang over a road do not hide it. Tracks across fields, 3 m of soil, do not count
    as roads. A surface counts where it holds at least one of the 2.5 m pixels of the cell.
    """
    n = _oversample(resolution, None)
    bounds, (rows, cols), _ = _window(city, resolution, bounds)
    _, shape, transform = _window(city, resolution / n, bounds)
    ground = _within(city.surfaces[~city.surfaces["order"].between(70, 79)], bounds)
    sealed = ground["material"].isin([m for m, c in materials.COVER.items() if c == 5])
    data = _burn(ground.geometry.values, sealed.astype("uint8"), shape, transform, "uint8")
    data = data[: rows * n, : cols * n].reshape(rows, n, cols, n).max((1, 3))
    classes = [
        {"value": 0, "name": "Other", "color": "#999999"},
        {"value": 1, "name": "Settlement", "color": "#d55e00"},
    ]
    return _array(
        data, city, resolution, bounds, "Settlement (simulated truth)", "settlement", "", 255,
        classes,
    )  # fmt: skip


def height(city, resolution, bounds=None, trees=True):
    """Height of roofs and canopies above the ground, metres.

    Parameters
    ----------
    city : cities.City
        The city.
    resolution : float
        Pixel size, metres.
    bounds : tuple of float, optional
        West, south, east, north, metres; the city's where left out.
    trees : bool
        Whether canopies count.

    Returns
    -------
    xarray.DataArray
        float32, metres, 0 on the ground, dims (y, x).
    """
    table = city.surfaces
    value = table["height"].to_numpy()
    value = value if trees else np.where(table["order"] >= 80, value, np.float32(0))
    data = value[objects(city, resolution, bounds).to_numpy()]
    bounds, _, _ = _window(city, resolution, bounds)
    return _array(data, city, resolution, bounds, "Height (simulated truth)", "height", "m")


def building_mask(city, resolution, bounds=None):
    """Whether the centre of a pixel lies in a building: uint8, 1 or 0, nodata 255.

    Parameters
    ----------
    city : cities.City
        The city.
    resolution : float
        Pixel size, metres.
    bounds : tuple of float, optional
        West, south, east, north, metres; the city's where left out.

    Returns
    -------
    xarray.DataArray
        dims (y, x).
    """
    roof = (city.surfaces["order"] >= 80).to_numpy().astype("uint8")
    data = roof[objects(city, resolution, bounds).to_numpy()]
    bounds, _, _ = _window(city, resolution, bounds)
    classes = [
        {"value": 0, "name": "Other", "color": "#999999"},
        {"value": 1, "name": "Building", "color": "#d55e00"},
    ]
    return _array(
        data, city, resolution, bounds, "Buildings (simulated truth)", "building", "", 255, classes
    )


def roof_type(city, resolution, bounds=None):
    """Roof type: uint8, 0 none, then the values of `ROOFS`, nodata 255.

    Parameters
    ----------
    city : cities.City
        The city.
    resolution : float
        Pixel size, metres.
    bounds : tuple of float, optional
        West, south, east, north, metres; the city's where left out.

    Returns
    -------
    xarray.DataArray
        dims (y, x).
    """
    table = city.surfaces
    roof = (
        table["material"]
        .map(buildings.ROOF)
        .astype(object)
        .map({r: k for k, r in enumerate(ROOFS)})
    )
    value = roof.fillna(0).to_numpy("uint8") * (table["order"] >= 80).to_numpy("uint8")
    data = value[objects(city, resolution, bounds).to_numpy()]
    bounds, _, _ = _window(city, resolution, bounds)
    classes = [
        {"value": k, "name": name, "color": c}
        for k, (name, c) in enumerate(zip(ROOFS, _ROOF_COLOURS, strict=True))
    ]
    return _array(
        data, city, resolution, bounds, "Roof types (simulated truth)", "roof type", "", 255,
        classes,
    )  # fmt: skip


def population(city, resolution=100.0, bounds=None):
    """Residents in each pixel: a district's population shared over its housing by floor area.

    Parameters
    ----------
    city : cities.City
        The city.
    resolution : float
        Pixel size, metres.
    bounds : tuple of float, optional
        West, south, east, north, metres; the city's where left out.

    Returns
    -------
    xarray.DataArray
        float32, persons, dims (y, x). A building counts where its centre lies.
    """
    bounds, (rows, cols), _ = _window(city, resolution, bounds)
    houses = city.buildings
    floor = houses.area.to_numpy() * houses["storeys"] * ~houses["use"].isin(buildings.NO_HOMES)
    total = floor.groupby(houses["district"]).transform("sum")
    people = houses["district"].map(city.districts.set_index("name")["population"])
    share = (people * floor / total.where(total > 0, 1)).to_numpy()
    at = shapely.get_coordinates(shapely.centroid(houses.geometry.values))
    col = np.floor((at[:, 0] - bounds[0]) / resolution).astype(int)
    row = np.floor((bounds[3] - at[:, 1]) / resolution).astype(int)
    good = (row >= 0) & (row < rows) & (col >= 0) & (col < cols)
    data = np.zeros((rows, cols))
    np.add.at(data, (row[good], col[good]), share[good])
    return _array(
        data.astype("float32"), city, resolution, bounds, "Population (simulated truth)",
        "residents", "persons",
    )  # fmt: skip
