"""How dense are people, buildings and roads around a place, on one grid?"""

import numpy as np
import pandas as pd
import shapely
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_zeros
from rasterio.enums import Resampling
from rasterio.features import rasterize
from scipy.signal import fftconvolve

from toolkit import _checks
from toolkit.suitability import _inputs

KERNELS = {
    "quartic": lambda u: (1 - u**2) ** 2,
    "epanechnikov": lambda u: 1 - u**2,
    "uniform": lambda u: np.ones_like(u),
}
"""Weight by distance as a share u of the radius; 0 beyond it."""
MEASURES = {
    "area": ("covered by buildings", "1"),
    "count": ("number of buildings", "km-2"),
    "length": ("length of roads", "km km-2"),
}


def grid(area, resolution=30.0):
    """Lay an empty grid over an area.

    Parameters
    ----------
    area : geopandas.GeoDataFrame
        Districts, say, in metres.
    resolution : float
        Cell side, metres; edges lie on its multiples. The paper works at 30 m, Landsat's pixel.

    Returns
    -------
    xarray.DataArray
        Zeros, float32, dims (y, x).

    Raises
    ------
    ValueError
        No row, no CRS, degrees; a resolution not above 0.

    Examples
    --------
    >>> import geopandas as gpd
    >>> town = gpd.GeoDataFrame(geometry=[shapely.box(10, 10, 100, 50)], crs="EPSG:32648")
    >>> grid(town).shape
    (2, 4)
    """
    _inputs.vectors(area, "area", None)
    if not resolution > 0:
        raise ValueError(f"resolution={resolution}: the cell side in metres must be above 0")
    box = GeoBox.from_bbox(tuple(area.total_bounds), crs=area.crs, resolution=resolution)
    empty = xr_zeros(box, dtype="float32").rename("grid")
    # the names that other readers use
    return xr.DataArray(
        empty.values,
        {name: np.asarray(empty[old]) for name, old in zip("yx", empty.dims, strict=True)},
        ("y", "x"),
        name="grid",
    ).rio.write_crs(area.crs)


def to_grid(raster, grid, resampling="bilinear"):
    """Bring a raster onto a grid of another resolution, extent or CRS.

    Parameters
    ----------
    raster : xarray.DataArray
        Dims (y, x); no data stays out of the means.
    grid : xarray.DataArray
        The grid wanted, as from `grid` or any layer.
    resampling : str
        ``"bilinear"`` for a finer grid, ``"average"`` for a coarser, ``"nearest"`` for classes.

    Returns
    -------
    xarray.DataArray
        Dims (y, x), float32, NaN where the raster has no data or ends; attributes stay.

    Raises
    ------
    ValueError
        A raster without CRS, or one that does not meet the grid at all.

    Examples
    --------
    >>> import geopandas as gpd
    >>> town = gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 240, 120)], crs="EPSG:32648")
    >>> coarse = grid(town, 60).copy(data=[[1, 1, 3, 3], [1, 1, 3, 3]])
    >>> to_grid(coarse, grid(town), "nearest")[0].values.tolist()
    [1.0, 1.0, 1.0, 1.0, 3.0, 3.0, 3.0, 3.0]
    """
    _checks.choice(resampling, [method.name for method in Resampling], "resampling")
    raster = _inputs.plain(raster, "raster")
    grid = _inputs.template(grid)
    source = raster.copy(data=_inputs.filled(raster)).drop_attrs(deep=False)
    source.encoding = {}
    source = source.rio.write_crs(raster.rio.crs).rio.write_nodata(np.nan)
    result = source.rio.reproject_match(grid, resampling=Resampling[resampling])
    if not np.isfinite(result.values).any():
        raise ValueError(
            "raster: none of its data fall on the grid. Do both lie in the same place, and is its "
            f"CRS ({raster.rio.crs}) the one it was made in?"
        )
    attrs = {k: v for k, v in raster.attrs.items() if k != "_FillValue"}
    result = result.assign_coords(y=grid["y"], x=grid["x"])
    return result.assign_attrs(attrs).rename(raster.name)


def density(features, grid, radius, measure=None, kernel="quartic", edge="correct"):
    """Kernel density of buildings or roads.

    Parameters
    ----------
    features : geopandas.GeoDataFrame
        Polygons of buildings or lines of roads, in the CRS of the grid. Features outside it
        within the radius count.
    grid : xarray.DataArray
        Dims (y, x), as from `grid`.
    radius : float
        Reach of the kernel, metres, at least one cell. The paper does not give its own.
    measure : {"area", "count", "length"}, optional
        ``"area"``: share of the ground that buildings cover (default for polygons); ``"count"``:
        buildings per km2, each at its centroid; ``"length"``: km of road per km2 (default for
        lines).
    kernel : {"quartic", "epanechnikov", "uniform"}
        Weight at a share u of the radius: ``(1 - u^2)^2``, ``1 - u^2``, or 1.
    edge : {"correct", "none"}
        ``"correct"``: features end where the grid ends, so divide by the part of the kernel that
        lies on it, and leave out features beyond. ``"none"``: the table goes on beyond the grid
        (or nothing is there), so use it all.

    Returns
    -------
    xarray.DataArray
        Dims (y, x), float32; ``attrs`` state units, kernel and radius.

    Raises
    ------
    TypeError, ValueError
        Not a GeoDataFrame; no CRS, degrees, another CRS than the grid; geometries that are
        empty, invalid, repeated or of the wrong type; a radius below one cell.

    Notes
    -----
    Silverman (1986), Density Estimation for Statistics and Data Analysis, section 4.2 (quartic:
    his K2, as in GIS packages); edge: Jones (1993), Simple boundary correction for kernel density
    estimation, Statistics and Computing 3:135. Every feature is first shared out to the cells: the
    area of a polygon exactly, a line in pieces of at most a quarter of a cell. The kernel, cut
    into cells, adds up to 1.

    Examples
    --------
    >>> import geopandas as gpd
    >>> houses = gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 30, 30)], crs="EPSG:32648")
    >>> place = gpd.GeoDataFrame(geometry=[shapely.box(-300, -300, 330, 330)], crs="EPSG:32648")
    >>> found = density(houses, grid(place), radius=100)
    >>> float(found.sum().round(3))  # all of one cell, spread
    1.0
    """
    grid = _inputs.template(grid)
    kinds = _inputs.AREAS + _inputs.LINES
    _inputs.vectors(features, "features", kinds, grid.rio.crs)
    lines = features.geom_type.isin(_inputs.LINES)
    if lines.any() and not lines.all():
        raise ValueError("features mix polygons and lines; take buildings and roads one by one")
    measure = measure or ("length" if lines.all() else "area")
    _checks.choice(measure, ("length",) if lines.all() else ("area", "count"), "measure")
    _checks.choice(kernel, tuple(KERNELS), "kernel")
    _checks.choice(edge, ("correct", "none"), "edge")
    cell = grid.rio.transform(recalc=True)
    if not radius >= max(cell.a, -cell.e):
        raise ValueError(
            f"radius={radius} m is below the cell side of {cell.a:g} m: a kernel needs at least "
            "one cell. Use a larger radius or a finer grid."
        )
    weights = _kernel(kernel, radius, cell)
    pad = (0, 0) if edge == "correct" else tuple(n // 2 for n in weights.shape)
    amount = _amounts(features, grid, measure, pad)
    result = _spread(amount, weights)
    rows, cols = grid.shape
    result = result[pad[0] : pad[0] + rows, pad[1] : pad[1] + cols]
    if edge == "correct":
        result = result / _spread(np.ones(grid.shape), weights)
    square = abs(cell.a * cell.e)
    result = result / square * {"area": 1, "count": 1e6, "length": 1e3}[measure]
    text, units = MEASURES[measure]
    return _layer(result, grid, features, f"{measure}_density", f"{text} within {radius:g} m", units
                  ).assign_attrs(kernel=kernel, radius=float(radius), edge=edge)  # fmt: skip


def population(districts, column, grid, per_km2=False):
    """Population density of districts, on a grid.

    Parameters
    ----------
    districts : geopandas.GeoDataFrame
        Polygons that do not overlap, in the CRS of the grid.
    column : str
        Persons in the district; persons per km2 with ``per_km2=True``, as in the paper's Table 1.
    grid : xarray.DataArray
        Dims (y, x), as from `grid`.
    per_km2 : bool
        Whether the column holds densities.

    Returns
    -------
    xarray.DataArray
        Persons per km2 (persons over the whole area of the district, built or not), dims (y, x),
        float32, NaN outside. A cell belongs to the district that holds its centre.

    Raises
    ------
    KeyError
        No such column.
    TypeError, ValueError
        As `density`; districts that overlap or lie off the grid, numbers that are missing or
        negative.

    Examples
    --------
    >>> import geopandas as gpd
    >>> town = gpd.GeoDataFrame({"persons": [900]}, geometry=[shapely.box(0, 0, 300, 300)],
    ...                         crs="EPSG:32648")
    >>> float(population(town, "persons", grid(town)).mean())
    10000.0
    """
    grid = _inputs.template(grid)
    _inputs.vectors(districts, "districts", _inputs.AREAS, grid.rio.crs, [column])
    persons = pd.to_numeric(districts[column], errors="coerce").to_numpy(float)
    bad = ~(np.isfinite(persons) & (persons >= 0))
    if bad.any():
        raise ValueError(
            f"districts: {column!r} is missing, negative or no number in rows "
            f"{list(districts.index[bad])}"
        )
    _inputs.apart(districts, "districts")
    values = persons if per_km2 else persons / (districts.area.to_numpy() / 1e6)
    result = rasterize(
        zip(districts.geometry, values, strict=True),
        out_shape=grid.shape,
        transform=grid.rio.transform(recalc=True),
        fill=np.nan,
        dtype="float64",
    )
    if not np.isfinite(result).any():
        raise ValueError("districts: none of them lies on the grid")
    return _layer(result, grid, districts, "population_density", "population density", "km-2")


def shares(shapes, grid, pad=(0, 0)):
    """Area of every polygon in every cell that it meets.

    Parameters
    ----------
    shapes : geopandas.GeoSeries
        Polygons in the CRS of the grid.
    grid : xarray.DataArray
        North up.
    pad : tuple of int
        Rows and columns added on each side.

    Returns
    -------
    tuple of numpy.ndarray
        Position of the polygon, row, column (of the padded grid), and area in square metres.
    """
    cell = grid.rio.transform(recalc=True)
    left, top = cell.c - pad[1] * cell.a, cell.f - pad[0] * cell.e
    rows, cols = (n + 2 * p for n, p in zip(grid.shape, pad, strict=True))
    shapes = shapes.to_numpy()
    bounds = shapely.bounds(shapes)
    # cells that each bounding box meets, first and one past the last
    cols_at = [np.floor((bounds[:, 0] - left) / cell.a), np.ceil((bounds[:, 2] - left) / cell.a)]
    rows_at = [np.floor((bounds[:, 3] - top) / cell.e), np.ceil((bounds[:, 1] - top) / cell.e)]
    in_one = (np.diff(cols_at, axis=0) <= 1)[0] & (np.diff(rows_at, axis=0) <= 1)[0]
    first_col, last_col = (at.clip(0, cols).astype(int) for at in cols_at)
    first_row, last_row = (at.clip(0, rows).astype(int) for at in rows_at)
    wide, high = last_col - first_col, last_row - first_row
    which = np.repeat(np.arange(len(shapes)), wide * high)
    order = np.arange(len(which)) - np.repeat(np.cumsum(wide * high) - wide * high, wide * high)
    row = first_row[which] + order // np.maximum(wide[which], 1)
    col = first_col[which] + order % np.maximum(wide[which], 1)
    area = shapely.area(shapes)[which]
    cut = ~in_one[which]
    x, y = left + col[cut] * cell.a, top + row[cut] * cell.e
    boxes = shapely.box(x, y + cell.e, x + cell.a, y)
    area[cut] = shapely.area(shapely.intersection(shapes[which[cut]], boxes))
    met = area > 0
    return which[met], row[met], col[met], area[met]


def _amounts(features, grid, measure, pad):
    """What lies in each cell of the padded grid: square metres, number, or metres."""
    shape = tuple(n + 2 * p for n, p in zip(grid.shape, pad, strict=True))
    if measure == "area":
        _, row, col, amount = shares(features.geometry, grid, pad)
    else:
        cell = grid.rio.transform(recalc=True)
        if measure == "count":
            points = shapely.centroid(features.geometry.to_numpy())
            amount = np.ones(len(points))
        else:
            points, amount = _pieces(features.geometry.to_numpy(), cell.a / 4)
        x, y = shapely.get_x(points), shapely.get_y(points)
        col = np.floor((x - cell.c) / cell.a).astype(int) + pad[1]
        row = np.floor((y - cell.f) / cell.e).astype(int) + pad[0]
        inside = (row >= 0) & (row < shape[0]) & (col >= 0) & (col < shape[1])
        row, col, amount = row[inside], col[inside], amount[inside]
    result = np.zeros(shape)
    np.add.at(result, (row, col), amount)
    return result


def _pieces(lines, longest):
    """Middles and lengths of the pieces of lines, none longer than this."""
    parts = shapely.segmentize(shapely.get_parts(lines), longest)
    xy, line = shapely.get_coordinates(parts, return_index=True)
    same = line[1:] == line[:-1]
    start, end = xy[:-1][same], xy[1:][same]
    return shapely.points((start + end) / 2), np.hypot(*(end - start).T)


def _kernel(name, radius, cell):
    rows, cols = int(radius // -cell.e), int(radius // cell.a)
    y = np.arange(-rows, rows + 1)[:, None] * cell.e
    x = np.arange(-cols, cols + 1)[None, :] * cell.a
    share = np.hypot(y, x) / radius
    weights = np.where(share <= 1, KERNELS[name](np.minimum(share, 1)), 0)
    return weights / weights.sum()


def _spread(amount, weights):
    result = fftconvolve(amount, weights, mode="same")
    # the transform leaves dust where there is nothing
    return np.where(result < 1e-9 * max(result.max(), 1e-300), 0, result)


def _layer(values, grid, table, name, long_name, units):
    kept = {
        key: table.attrs[key]
        for key in ("date", "licence", "citation", "source", "simulated")
        if key in table.attrs
    }
    layer = grid.drop_attrs(deep=False).copy(data=values.astype(np.float32)).rename(name)
    layer.encoding = {}
    layer = layer.rio.write_crs(grid.rio.crs).rio.write_nodata(np.nan)
    return layer.assign_attrs(**kept, long_name=long_name, units=units)
