"""How tall is each building, and is it low enough for a green roof?"""

import warnings

import geopandas as gpd
import numpy as np
import pandas as pd
import rioxarray  # noqa: F401  (registers the .rio accessor)
import shapely
import xarray as xr
from rasterio.features import rasterize

from toolkit import _checks
from toolkit.accuracy.counting import _check_grid
from toolkit.buildings.layers import footprints, metres, same_crs

STATISTICS = {"median": np.median, "mean": np.mean, "max": np.max}


def join_heights(
    buildings,
    heights,
    ground=None,
    column="height",
    storeys="storeys",
    minimum_share=0.1,
    statistic="median",
):
    """Give each building its height, from a layer of heights or from a surface model.

    Parameters
    ----------
    buildings : geopandas.GeoDataFrame
        Footprints in a projected CRS; the table stays as it is.
    heights : geopandas.GeoDataFrame or xarray.DataArray
        Polygons or points in the same CRS with the columns `column` (m), `storeys` or both; or a
        raster (y, x) of heights above ground (m), or of the surface (DSM, m above the sea) with
        `ground`. NaN and the declared nodata are unknown.
    ground : xarray.DataArray, optional
        Terrain (DEM) on the grid of the surface model: height = DSM - DEM.
    column, storeys : str
        Columns of a layer of heights.
    minimum_share : float
        Least share of a footprint that must be covered, by the polygon whose height it takes or by
        pixels of known height. Points count whole.
    statistic : {"median", "mean", "max"}
        Of the pixels whose centre lies in the footprint, or of the points in it. The median
        forgives pixels of the street and of roof structures.

    Returns
    -------
    geopandas.GeoDataFrame
        `buildings` with ``height`` (m), ``storeys`` (NaN unless the layer says), ``height_share``
        (0 to 1) and ``height_source`` ("polygon", "point", "raster" or "unknown"). No row is
        dropped: where nothing is known both are NaN. ``attrs["height_unknown"]`` counts them.

    Raises
    ------
    TypeError, ValueError, KeyError
        Layers that `toolkit.buildings.clean` should see first, another CRS, no such column,
        negative heights in a table, rasters on different grids.

    Warns
    -----
    UserWarning
        Some buildings have neither height nor storeys.

    Notes
    -----
    A polygon's height goes to the buildings that it covers most ("largest overlap"), as a spatial
    join on intersection alone would take a neighbour's height across a shared wall. The paper joins
    storeys by location without saying how (section 2.4.1).

    Examples
    --------
    >>> import geopandas as gpd
    >>> from shapely import box
    >>> houses = gpd.GeoDataFrame(geometry=[box(0, 0, 10, 10)], crs="EPSG:32648")
    >>> known = gpd.GeoDataFrame({"height": [9.0, 40.0]}, crs="EPSG:32648",
    ...                          geometry=[box(1, 0, 10, 10), box(0, 0, 1, 10)])
    >>> join_heights(houses, known)[["height", "height_share"]].values.tolist()
    [[9.0, 0.9]]
    """
    footprints(buildings)
    _checks.choice(statistic, list(STATISTICS), "statistic")
    if isinstance(heights, xr.DataArray):
        found = _from_raster(buildings, heights, ground, statistic)
    elif isinstance(heights, gpd.GeoDataFrame):
        if ground is not None:
            raise TypeError("ground is for a surface model; this is a table of heights")
        found = _from_layer(buildings, heights, column, storeys, statistic)
    else:
        raise TypeError(
            f"heights: expected a GeoDataFrame or a raster, got {type(heights).__name__}"
        )
    low = found["height_share"].to_numpy() < minimum_share
    known = (found["height"].notna() | found["storeys"].notna()).to_numpy() & ~low
    found.loc[~known, ["height", "storeys"]] = np.nan
    found.loc[~known, "height_source"] = "unknown"
    out = buildings.drop(columns=[c for c in found if c in buildings]).join(found)
    out.attrs = buildings.attrs | {"height_unknown": int((~known).sum())}
    if not known.all():
        warnings.warn(
            f"{(~known).sum()} of {len(out)} buildings have no known height; they are kept, with "
            "NaN, and low_enough says <NA> of them",
            stacklevel=2,
        )
    return out


def _empty(buildings):
    return pd.DataFrame(
        {"height": np.nan, "storeys": np.nan, "height_share": 0.0, "height_source": "unknown"},
        index=buildings.index,
    )


def _from_layer(buildings, heights, column, storeys, statistic):
    metres(heights.crs, "heights")
    same_crs(heights, buildings, "heights")
    columns = {"height": column, "storeys": storeys}
    columns = {name: c for name, c in columns.items() if c in heights}
    if not columns:
        raise KeyError(
            f"heights: neither {column!r} nor {storeys!r} is a column; there are "
            f"{list(heights.columns)}. Name them with column= and storeys=."
        )
    values = pd.DataFrame(
        {n: pd.to_numeric(heights[c], errors="coerce") for n, c in columns.items()}
    ).astype(float)
    if (values < 0).any(axis=None):
        raise ValueError(
            "heights: there are negative numbers. Is a code for unknown, such as -9999, still in "
            "the table? Replace it by NaN first."
        )
    values = values.reset_index(drop=True)
    use = values.notna().any(axis=1).to_numpy() & ~shapely.is_missing(heights.geometry.to_numpy())
    values, geometry = values[use].reset_index(drop=True), heights.geometry.to_numpy()[use]
    bad = ~shapely.is_valid(geometry)
    if bad.any():
        raise ValueError(
            f"heights: {bad.sum()} geometries are invalid; repair them with buildings.clean(...)"
        )
    out = _empty(buildings)
    mine = buildings.geometry.to_numpy()
    row, other = shapely.STRtree(geometry).query(mine, predicate="intersects")
    pairs = pd.DataFrame({"row": row, "other": other})
    pairs["point"] = shapely.get_dimensions(geometry[other]) == 0
    pairs["share"] = shapely.area(shapely.intersection(mine[row], geometry[other]))
    pairs["share"] /= shapely.area(mine[row])
    # The first of equal shares, so that the order of rows decides and not chance.
    best = pairs[~pairs["point"] & (pairs["share"] > 0)].sort_values("share", kind="stable")
    best = best.iloc[::-1].drop_duplicates("row")
    points = pairs[pairs["point"]].join(values, on="other").groupby("row")[list(columns)]
    points = points.agg(STATISTICS[statistic])
    for name in columns:
        target = out[name].to_numpy().copy()
        target[points.index] = points[name]
        target[best["row"]] = values[name].to_numpy()[best["other"]]
        out[name] = target
    share, source = out["height_share"].to_numpy().copy(), np.array(["unknown"] * len(out), object)
    share[points.index], source[points.index] = 1.0, "point"
    share[best["row"]], source[best["row"]] = best["share"], "polygon"
    out["height_share"], out["height_source"] = share, source
    return out


def _plain(raster, what):
    """A raster (y, x) of floats with NaN where it has no data."""
    if getattr(raster, "dims", ()) == ("band", "y", "x") and raster.sizes["band"] == 1:
        raster = raster.squeeze("band", drop=True)
    _checks.raster(raster, what, ("y", "x"))
    values = raster.values.astype(float)
    nodata = raster.rio.nodata
    if nodata is not None and not np.isnan(nodata):
        values[values == nodata] = np.nan
    if not np.isfinite(values).any():
        raise ValueError(f"{what}: no pixel holds data")
    return raster, values


def _from_raster(buildings, surface, ground, statistic):
    surface, values = _plain(surface, "heights")
    same_crs(buildings, surface)
    if ground is not None:
        ground, below = _plain(ground, "ground")
        try:
            _check_grid(surface, ground)
        except ValueError as error:
            raise ValueError(f"heights (here truth) and ground (here predicted): {error}") from None
        values = values - below
    number = np.zeros(values.shape, "int32")
    if len(buildings):
        pairs = zip(buildings.geometry, range(1, len(buildings) + 1), strict=True)
        rasterize(list(pairs), out=number, transform=surface.rio.transform(recalc=True))
    flat = pd.Series(values.ravel()).groupby(number.ravel())
    table = pd.DataFrame({"height": flat.agg(statistic), "share": flat.count() / flat.size()})
    table = table[table.index > 0]
    out = _empty(buildings)
    rows = table.index.to_numpy() - 1
    height, share = out["height"].to_numpy().copy(), out["height_share"].to_numpy().copy()
    height[rows], share[rows] = table["height"], table["share"]
    out["height"], out["height_share"] = height, share
    out["height_source"] = np.where(np.isfinite(height), "raster", "unknown")
    return out


def low_enough(buildings, metres=45.0, storeys=15):
    """Say of each building whether it is low enough for a green roof.

    Parameters
    ----------
    buildings : pandas.DataFrame
        With the column ``height`` (m), ``storeys`` or both, as from `join_heights`.
    metres : float or None
        Greatest height. None ignores heights.
    storeys : float or None
        Most storeys. None ignores storeys.

    Returns
    -------
    pandas.Series
        ``low_enough``, boolean with <NA> where neither height nor storeys are known: unknown is
        not too tall, and somebody has to decide. Where both are known, both rules must hold.

    Raises
    ------
    ValueError
        No rule, a negative one, no such column, negative heights.

    Notes
    -----
    Luo et al. (2022): section 2.4.1 takes 15 storeys and 45 m, after the guideline of Chengdu;
    section 3 reports buildings "of less than or equal to 15 m". The latter is
    ``low_enough(buildings, metres=15, storeys=None)``.

    Examples
    --------
    >>> houses = pd.DataFrame({"height": [20.0, 50.0, np.nan], "storeys": [6, np.nan, np.nan]})
    >>> low_enough(houses).tolist()
    [True, False, <NA>]
    >>> low_enough(houses, metres=15, storeys=None).tolist()
    [False, False, <NA>]
    """
    rules = {"height": metres, "storeys": storeys}
    rules = {name: limit for name, limit in rules.items() if limit is not None}
    if not rules or any(not limit >= 0 for limit in rules.values()):
        raise ValueError(f"metres={metres}, storeys={storeys}: give at least one limit, 0 or more")
    here = [name for name in rules if name in buildings]
    if not here:
        raise ValueError(
            f"buildings: there is no column {' or '.join(rules)}; buildings.join_heights adds them"
        )
    known = pd.Series(False, index=buildings.index)
    low = pd.Series(True, index=buildings.index)
    for name in here:
        values = pd.to_numeric(buildings[name]).astype(float)
        if (values < 0).any() and name == "storeys":
            raise ValueError("storeys: there are negative numbers; unknown is NaN")
        known |= values.notna()
        low &= values.isna() | (values <= rules[name])
    return low.astype("boolean").where(known).rename("low_enough")
