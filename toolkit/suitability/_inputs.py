"""What every step asks of vectors, grids and layers, with errors for the person who meets them."""

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
import xarray as xr

from toolkit import _checks

AREAS = ("Polygon", "MultiPolygon")
LINES = ("LineString", "MultiLineString")


def vectors(table, what, kinds=AREAS, crs=None, columns=()):
    """Return `table` if its geometries are fit for measuring, else explain.

    Parameters
    ----------
    table : geopandas.GeoDataFrame
        To check.
    what : str
        What the caller calls it; it appears in the message.
    kinds : tuple of str, or None
        Geometry types allowed; None leaves the geometries unchecked.
    crs : CRS, optional
        That of the grid or other table it has to match.
    columns : iterable of str
        That it must have.

    Raises
    ------
    TypeError
        Not a GeoDataFrame.
    KeyError
        A column is missing.
    ValueError
        No row, no CRS, degrees, another CRS, an empty, invalid or repeated geometry, or one of
        another type.
    """
    if not isinstance(table, gpd.GeoDataFrame):
        raise TypeError(f"{what}: expected a GeoDataFrame, got {type(table).__name__}")
    if not len(table):
        raise ValueError(f"{what}: the table has no rows; was everything filtered away?")
    if table.crs is None:
        raise ValueError(
            f"{what}: the table has no CRS. Set the one it was made in with "
            ".set_crs('EPSG:...') before going on; guessing would misplace it."
        )
    wanted = crs
    if wanted is None and table.crs.is_geographic:
        wanted = table.estimate_utm_crs()
    if wanted is not None and table.crs != wanted:
        unit = " (degrees)" if table.crs.is_geographic else ""
        raise ValueError(
            f"{what}: the CRS is {_name(table.crs)}{unit}, but metres in {_name(wanted)} are "
            f"needed here. Use .to_crs({_name(wanted)!r})."
        )
    for column in columns:
        if column not in table.columns:
            have = [name for name in table.columns if name != table.geometry.name]
            raise KeyError(f"{what}: there is no column {column!r}; it has {have}")
    if kinds is not None:
        _geometries(table, what, kinds)
    return table


def _name(crs):
    try:
        return crs.to_string() if crs.to_epsg() is None else f"EPSG:{crs.to_epsg()}"
    except AttributeError:
        return str(crs)


def _geometries(table, what, kinds):
    shapes = table.geometry
    missing = shapes.isna() | shapes.is_empty
    problems = {
        "no geometry": (missing, "leave them out"),
        f"a geometry other than {' or '.join(kinds)}": (
            ~missing & ~shapes.geom_type.isin(kinds),
            "leave them out, or take the right layer",
        ),
        "an invalid geometry": (
            ~missing & ~shapes.is_valid,
            f"repair them with {what}.geometry.make_valid() and look at the result",
        ),
        "the geometry of an earlier row": (
            ~missing & repeated(shapes),
            "each would count twice; keep the first with "
            f"{what}[~{what}.geometry.normalize().to_wkb().duplicated()]",
        ),
    }
    for problem, (rows, advice) in problems.items():
        if rows.any():
            first = list(table.index[rows][:5])
            raise ValueError(
                f"{what}: {int(rows.sum())} of {len(table)} rows have {problem} "
                f"(rows {first}{'...' if rows.sum() > 5 else ''}): {advice}"
            )


def repeated(shapes):
    """Rows whose geometry is that of an earlier row, wherever its ring starts."""
    known = shapely.to_wkb(shapely.normalize(shapes.to_numpy()))
    return pd.Series(known, shapes.index).duplicated()


def apart(districts, what):
    """Return `districts` if none overlap by more than a sliver, else explain."""
    total, covered = districts.area.sum(), districts.union_all().area
    if total - covered > 1e-3 * covered:
        raise ValueError(
            f"{what}: they overlap by {(total - covered) / 1e6:.3f} km2, so that people and roofs "
            "would count twice. Cut the overlaps (GeoDataFrame.overlay) first."
        )
    return districts


def plain(raster, what):
    """Return a raster with dims (y, x); of an image with a single band, that band."""
    if isinstance(raster, xr.DataArray) and raster.dims == ("band", "y", "x") and len(raster) == 1:
        raster = raster.isel(band=0, drop=True)
    return _checks.raster(raster, what, ("y", "x"))


def template(raster, what="grid"):
    """Return the first band of a raster if its grid is north up and in metres, else explain."""
    if isinstance(raster, xr.DataArray) and "band" in raster.dims:
        raster = raster.isel(band=0, drop=True)
    _checks.raster(raster, what, ("y", "x"))
    crs, cell = raster.rio.crs, raster.rio.transform(recalc=True)
    if crs.is_geographic:
        raise ValueError(
            f"{what}: the CRS is {crs} (degrees); areas and distances need metres. Reproject it "
            "first, or make a grid from a table in metres with suitability.grid."
        )
    if min(raster.shape) < 2:
        raise ValueError(
            f"{what}: a grid needs two rows and columns at least; it has {raster.shape}"
        )
    if cell.b or cell.d or cell.a <= 0 or cell.e >= 0:
        raise ValueError(
            f"{what}: the raster must be north up, with x rising and y falling; its transform is "
            f"{tuple(cell)[:6]}"
        )
    return raster


def layers(given):
    """Return checked layers by name, all on the grid of the first, as float with NaN.

    Raises
    ------
    TypeError, ValueError
        No layer, a layer that is no raster, lies on another grid or has no value.
    """
    if not isinstance(given, dict) or not given:
        raise TypeError(
            'layers: expected a dict of rasters by name, as {"temperature": ..., "roads": ...}'
        )
    result, first = {}, None
    for name, layer in given.items():
        layer = plain(layer, f"layer {name!r}")
        if first is None:
            first, origin = layer, name
        elif other := difference(layer, first):
            raise ValueError(
                f"layer {name!r} has another {other} than layer {origin!r}. Align it first: "
                f"suitability.to_grid(layers[{name!r}], layers[{origin!r}])"
            )
        values = filled(layer)
        if not np.isfinite(values).any():
            raise ValueError(
                f"layer {name!r} has no value at all (only NaN or nodata): was it masked away, or "
                "does it lie elsewhere?"
            )
        result[name] = layer.copy(data=values)
    return result


def filled(layer):
    """Values as float32 (float64 where that would round them), NaN where there is no data."""
    values = layer.values.astype(np.result_type(layer.dtype, np.float32))
    nodata = layer.rio.nodata
    if nodata is not None and not np.isnan(nodata):
        values = np.where(layer.values == nodata, values.dtype.type(np.nan), values)
    return values


def difference(layer, first):
    """What about the grid of a layer is not that of another, or None."""
    if layer.rio.crs != first.rio.crs:
        return f"CRS ({layer.rio.crs})"
    if layer.shape != first.shape:
        return f"shape ({layer.shape})"
    here, there = (r.rio.transform(recalc=True) for r in (layer, first))
    if not here.almost_equals(there, precision=1e-3 * here.a):
        return f"grid (its corner is {here.c:.1f}, {here.f:.1f} and its cell {here.a:g} m)"
    return None
