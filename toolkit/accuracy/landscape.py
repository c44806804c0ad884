"""Does a map draw settlements in the right shape, not only in the right place?

Landscape metrics of class maps, and those of prediction and truth compared settlement by
settlement. The metrics come from pylandstats; here stands which definition each of them follows.
"""

import numpy as np
import pandas as pd
import shapely
import xarray as xr
from scipy import ndimage

from toolkit import _checks
from toolkit.accuracy.counting import IGNORE, _check_grid, _class_names, _flat, _left_out, _valid

_UNKNOWN = np.iinfo("int32").min
_RULE = (
    "SID, TED: |predicted - truth| / truth in per cent of shape index and total edge; "
    "SI_change, TE_change: the same with its sign"
)


def landscape_metrics(class_map, classes=None, neighbours=8):
    """Describe the patches of each class of a map by landscape metrics.

    Parameters
    ----------
    class_map : xarray.DataArray (y, x)
        Class codes or a boolean mask, in a projected CRS in metres with square pixels. 255, NaN
        and the nodata value that the raster declares are unknown ground.
    classes : sequence of str, sequence of int, dict or list of dict, optional
        As in :func:`confusion`; by default ``attrs["classes"]``, else the codes that occur.
    neighbours : {8, 4}
        Whether pixels that touch by a corner belong to one patch (8) or not (4).

    Returns
    -------
    pandas.DataFrame
        A row for each class: ``pixels``; ``area_km2``; ``share`` of the known ground; ``patches``;
        ``largest_patch``, its share of the known ground; ``total_edge`` in m; ``cut_edge``, the
        metres of it along the rim of the map or along unknown ground, where nobody knows whether
        there is an edge; ``shape_index``, NaN for a class without a pixel.

    Raises
    ------
    TypeError
        `class_map` is no raster.
    ValueError
        No CRS, one in degrees or feet, pixels that are not square, no known pixel, values that
        are no class codes, a class that is not in `classes`.

    Notes
    -----
    Total edge E is the length of all pixel sides between the class and anything else, rim and
    unknown ground included (``count_boundary=True`` in pylandstats; FRAGSTATS leaves the rim out
    unless asked).

    Shape index is the landscape shape index of FRAGSTATS 3 (McGarigal & Marks), as pylandstats
    computes it: E in pixel sides over the shortest edge that so many pixels can have, which is
    4 n for n x n pixels, 4 n + 2 up to n (n + 1) and 4 n + 4 above. It is 1 for the most compact
    form. The formula in the pylandstats manual, 0.25 E / sqrt(area), is the same for whole
    squares and slightly larger for other sizes; pylandstats itself uses it only for pixels that
    are not square.

    References
    ----------
    Bosch (2019), PyLandStats, PLoS ONE 14(12):e0225734.

    Examples
    --------
    >>> import numpy as np, xarray as xr, rioxarray
    >>> grid = {"y": 4750.0 - 500 * np.arange(8), "x": 250.0 + 500 * np.arange(8)}
    >>> urban = xr.DataArray(np.zeros((8, 8), "uint8"), grid, ("y", "x"))
    >>> urban[2:5, 2:5] = 1
    >>> table = landscape_metrics(urban.rio.write_crs("EPSG:32648"), ["rural", "urban"])
    >>> table.loc["urban", ["patches", "total_edge", "shape_index"]].tolist()
    [1.0, 6000.0, 1.0]
    """
    class_map = _checked(class_map, "class_map")
    names = _class_names(class_map.attrs.get("classes") if classes is None else classes, IGNORE)
    codes = _codes_of(class_map, "class_map", names)
    found = np.unique(codes[codes != _UNKNOWN]).tolist()
    if not found:
        raise ValueError("class_map: every pixel is nodata, there is nothing to describe")
    if names is None:
        names = {code: bool(code) if class_map.dtype == bool else code for code in found}
    if unknown := sorted(set(found) - set(names)):
        raise ValueError(f"class_map: class {unknown} occurs, but the classes are {names}")
    rows = _metrics(codes, list(names), _pixel(class_map, "class_map"), neighbours)
    return pd.DataFrame(rows, index=pd.Index(list(names.values()), name="class"))


def settlement_zones(grid, settlements, radius=None):
    """Give each settlement the ground nearest to it, so that no pixel belongs to two.

    A pixel goes to the nearest of the settlements whose radius reaches its centre.

    Parameters
    ----------
    grid : xarray.DataArray (y, x) or (band, y, x)
        A raster whose grid is used; projected CRS in metres, square pixels.
    settlements : geopandas.GeoDataFrame
        Points or polygons, in any CRS.
    radius : float, str or array-like, optional
        How far the ground of a settlement reaches beyond its geometry, in metres: one number, the
        name of a column, or one for each. Polygons need none: they end at their outline.

    Returns
    -------
    xarray.DataArray (y, x)
        int32: position of the settlement in the table (0 is the first row), -1 elsewhere.

    Raises
    ------
    TypeError
        `settlements` is no GeoDataFrame.
    ValueError
        No settlement, no CRS, a missing geometry, points without a radius, a radius that is
        negative or unknown.
    KeyError
        `radius` names no column.

    Examples
    --------
    >>> zones = settlement_zones(lights, towns, radius="radius_m")  # doctest: +SKIP
    """
    if isinstance(grid, xr.DataArray) and "band" in grid.dims:
        grid = grid.isel(band=0, drop=True)
    grid = _checked(grid, "grid")
    geometry, reach = _places(settlements, radius, grid.rio.crs)
    transform = grid.rio.transform(recalc="x" in grid.coords)
    x = transform.c + transform.a * (np.arange(grid.sizes["x"]) + 0.5)
    y = transform.f + transform.e * (np.arange(grid.sizes["y"]) + 0.5)
    nearest = np.full(grid.shape, np.inf)
    zones = np.full(grid.shape, -1, "int32")
    shapely.prepare(geometry)
    for number, (place, far) in enumerate(zip(geometry, reach, strict=True)):
        left, bottom, right, top = place.bounds
        rows = np.flatnonzero((y >= bottom - far) & (y <= top + far))
        columns = np.flatnonzero((x >= left - far) & (x <= right + far))
        if not (rows.size and columns.size):
            continue
        window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        centres = shapely.points(*np.meshgrid(x[window[1]], y[window[0]]))
        distance = np.full(centres.shape, np.inf)
        inside = shapely.dwithin(place, centres, far)
        distance[inside] = shapely.distance(place, centres[inside])
        closer = distance < nearest[window]
        nearest[window][closer] = distance[closer]
        zones[window][closer] = number
    result = xr.DataArray(zones, dims=("y", "x"), name="settlement")
    for dim in ("y", "x"):
        if dim in grid.coords:
            result = result.assign_coords({dim: grid[dim]})
    result.attrs = {"long_name": "position of the settlement in its table", "units": "1"}
    result = result.rio.write_crs(grid.rio.crs).rio.write_transform(transform)
    return result.rio.write_nodata(-1)


def compare_shapes(truth, predicted, settlements, radius=None, positive=1, neighbours=8):
    """Compare shape index and total edge of prediction and truth for each settlement.

    Parameters
    ----------
    truth, predicted : xarray.DataArray (y, x)
        Class maps or boolean masks on one grid, in a projected CRS in metres with square pixels.
        Ground that is unknown in either is left out of both.
    settlements : geopandas.GeoDataFrame
        Points or polygons, in any CRS.
    radius : float, str or array-like, optional
        See :func:`settlement_zones`, which gives each settlement its ground.
    positive : int, str or sequence of them
        Code or name of the class, or classes, whose shape is compared.
    neighbours : {8, 4}
        As in :func:`landscape_metrics`.

    Returns
    -------
    geopandas.GeoDataFrame
        `settlements` with these columns added (or replaced): ``ground`` and ``unknown`` (pixels of
        the zone with and without data), ``truth_pixels``, ``predicted_pixels``, ``SI_truth``,
        ``SI_predicted`` (shape index), ``TE_truth``, ``TE_predicted`` (total edge, m),
        ``cut_truth``, ``cut_predicted`` (metres of the total edge that only the border of the zone
        or unknown ground makes: where it is long, the radius is too small), ``SID``, ``TED`` (%),
        ``SI_change``, ``TE_change`` (%, with sign: positive where the prediction has more) and
        ``undefined``. A settlement without a true or a predicted pixel has no shape there and no
        differences: these are NaN, never 0 or 100 %, ``undefined`` says why (else it is empty),
        and ``attrs["undefined"]`` counts such settlements.

    Raises
    ------
    TypeError
        A raster that is none, or `settlements` is no GeoDataFrame.
    ValueError
        Rasters on different grids, a truth without the class, and what :func:`landscape_metrics`
        and :func:`settlement_zones` refuse.
    KeyError
        No class of the name `positive`, no column of the name `radius`.

    Notes
    -----
    Yin et al. (2022), section 4.2 and Table 3, give SID and TED in per cent and write down neither
    formula nor sign. We read them as ``|predicted - truth| / truth``: all 80 printed values are
    positive, and 445.53 % is more than any prediction can be too short. The factor in front of
    E / sqrt(area) differs between handbooks and cancels in SID. Counting the shortest edge in whole
    pixels, as here, does not: for settlements of few pixels SID moves by some percentage points.

    Examples
    --------
    >>> shapes = compare_shapes(truth, urban, towns, radius="radius_m")  # doctest: +SKIP
    >>> shapes[["name", "size", "SID", "TED"]].sort_values("TED")  # doctest: +SKIP
    """
    truth, predicted = _checked(truth, "truth"), _checked(predicted, "predicted")
    _check_grid(truth, predicted)
    side = _pixel(truth, "truth")
    t, p = (_mask(a, w, positive) for a, w in ((truth, "truth"), (predicted, "predicted")))
    known = (t != _UNKNOWN) & (p != _UNKNOWN)
    if not known.any():
        raise ValueError("no pixel has data in both truth and predicted: nothing to compare")
    if not (t == 1).any():
        raise ValueError(
            f"truth has no pixel of class {positive!r}, only {_seen(truth)}: is it the "
            "code of the class whose shape is wanted?"
        )
    zones = settlement_zones(truth, settlements, radius).to_numpy()
    windows = ndimage.find_objects(zones + 1, max_label=len(settlements))
    rows = []
    for number, window in enumerate(windows):
        window = window or (slice(0), slice(0))
        own = zones[window] == number
        ground = own & known[window]
        shapes = [
            _metrics(np.where(ground, mask[window], _UNKNOWN), [1], side, neighbours)[0]
            for mask in (t, p)
        ]
        rows.append(_row(*shapes, ground.sum(), own.sum() - ground.sum()))
    added = pd.DataFrame(rows)
    table = settlements.assign(**{name: added[name].to_numpy() for name in added})
    simulated = [
        each.attrs["simulated"] for each in (truth, predicted) if "simulated" in each.attrs
    ]
    table.attrs = {
        **settlements.attrs,
        "undefined": int((added["undefined"] != "").sum()),
        "definition": _RULE,
        **({"simulated": any(simulated)} if simulated else {}),
    }
    return table


def _row(truth, predicted, ground, unknown):
    """One settlement: both shapes, their differences, and why there are none."""
    missing = [w for w, each in (("true", truth), ("predicted", predicted)) if not each["pixels"]]
    reason = "" if not missing else f"no {' and no '.join(missing)} pixel"
    row = {
        "ground": int(ground),
        "unknown": int(unknown),
        "truth_pixels": truth["pixels"],
        "predicted_pixels": predicted["pixels"],
    }
    for name, metric in (("SI", "shape_index"), ("TE", "total_edge"), ("cut", "cut_edge")):
        for what, shape in (("truth", truth), ("predicted", predicted)):
            row[f"{name}_{what}"] = shape[metric] if shape["pixels"] else np.nan
    for name in ("SI", "TE"):
        reference = row[f"{name}_truth"]
        row[f"{name}_change"] = 100 * (row[f"{name}_predicted"] - reference) / reference
        row[f"{name}D"] = abs(row[f"{name}_change"])
    row["undefined"] = reason if ground else "no ground with data"
    return row


def _metrics(codes, classes, side, neighbours):
    """Landscape metrics of some classes of an array of codes with square pixels."""
    from pylandstats import Landscape  # imports a plotting stack: seconds

    if neighbours not in (4, 8):
        raise ValueError(f"neighbours is 8 (corners count) or 4 (edges only), got {neighbours!r}")
    found = Landscape(codes, res=(side, side), nodata=_UNKNOWN, neighborhood_rule=str(neighbours))
    rows = []
    for code in classes:
        pixels = int((codes == code).sum())
        row = {"pixels": pixels, "area_km2": pixels * side**2 / 1e6, "share": 0.0, "patches": 0}
        row |= {"largest_patch": 0.0, "total_edge": 0.0, "cut_edge": 0.0, "shape_index": np.nan}
        if pixels:
            edge = float(found.total_edge(class_val=code, count_boundary=True))
            row |= {
                "share": float(found.proportion_of_landscape(code, percent=False)),
                "patches": int(found.number_of_patches(class_val=code)),
                "largest_patch": float(found.largest_patch_index(class_val=code, percent=False)),
                "total_edge": edge,
                "cut_edge": edge - float(found.total_edge(class_val=code)),
                "shape_index": float(found.landscape_shape_index(class_val=code)),
            }
        rows.append(row)
    return rows


def _checked(array, what):
    if isinstance(array, xr.DataArray):
        array = _flat(array)
    array = _checks.raster(array, what, ("y", "x"))
    _pixel(array, what)
    return array


def _pixel(array, what):
    """Side of a pixel in metres, or what to do about a grid on which lengths are not metres."""
    from pyproj import CRS

    crs = CRS.from_user_input(array.rio.crs)
    remedy = (
        "Bring the class map onto a metric grid by nearest neighbour first: "
        f"{what}.rio.reproject({what}.rio.estimate_utm_crs(), resolution=500), or chips.align() it "
        "with an image that has one."
    )
    if not crs.is_projected or any(axis.unit_conversion_factor != 1 for axis in crs.axis_info):
        raise ValueError(
            f"{what}: the CRS {crs.name} counts in {crs.axis_info[0].unit_name}, but edges are "
            f"lengths in metres, alike in both directions. {remedy}"
        )
    transform = array.rio.transform(recalc="x" in array.coords)
    width, height = abs(transform.a), abs(transform.e)
    if transform.b or transform.d or abs(width - height) > 1e-3 * height:
        raise ValueError(
            f"{what}: the pixels are {width:g} m x {height:g} m, or rotated; shapes need square, "
            f"north-up ones. {remedy}"
        )
    return width


def _codes_of(array, what, names=None):
    """Codes as int32, with one code for unknown ground."""
    values = array.to_numpy()
    known = _valid(values, _left_out(array, IGNORE, names))
    if values.dtype.kind not in "biuf":
        raise ValueError(f"{what}: expected class codes, got values of type {values.dtype}")
    seen = values[known]
    if values.dtype.kind == "f" and (seen != np.round(seen)).any():
        raise ValueError(
            f"{what} holds {seen[seen != np.round(seen)][0]:g}, which is no class code. Turn "
            "probabilities into classes with mapping.classes(), and resample class maps by nearest."
        )
    codes = np.full(values.shape, _UNKNOWN, "int32")
    codes[known] = seen  # class codes, whatever their type
    return codes


def _seen(array):
    codes = np.unique(_codes_of(array, "truth"))
    return codes[codes != _UNKNOWN].tolist()


def _mask(array, what, positive):
    """1 inside the class or classes, 0 outside, `_UNKNOWN` where nobody knows."""
    wanted = list(positive) if isinstance(positive, list | tuple | set) else [positive]
    names = _class_names(array.attrs.get("classes"), IGNORE)
    by_name = {name: code for code, name in (names or {}).items()}
    for each in wanted:
        if isinstance(each, str) and each not in by_name:
            raise KeyError(
                f"{what}: no class {each!r}; its attrs name {list(by_name) or 'no classes'}. Give "
                "the code instead, such as positive=1."
            )
    codes = _codes_of(array, what, names)
    inside = np.isin(codes, [by_name[each] if isinstance(each, str) else each for each in wanted])
    return np.where(codes == _UNKNOWN, _UNKNOWN, inside).astype("int32")


def _places(settlements, radius, crs):
    """Geometries in `crs`, and how far the ground of each reaches."""
    if not hasattr(settlements, "to_crs"):
        raise TypeError(
            f"settlements: expected a GeoDataFrame, got {type(settlements).__name__}; "
            "geopandas.points_from_xy() makes points from columns"
        )
    if not len(settlements):
        raise ValueError("settlements: the table is empty")
    if settlements.crs is None:
        raise ValueError("settlements: no CRS. Set the one the coordinates are in with .set_crs()")
    geometry = settlements.geometry.to_crs(crs).to_numpy()
    if (bad := shapely.is_missing(geometry) | shapely.is_empty(geometry)).any():
        raise ValueError(f"settlements: no geometry in row {list(settlements.index[bad])}")
    if radius is None:
        if (shapely.get_dimensions(geometry) < 2).any():
            raise ValueError(
                "settlements: points have no extent; give radius= in metres, or the column with it"
            )
        radius = 0.0
    if isinstance(radius, str):
        if radius not in settlements:
            raise KeyError(f"settlements: no column {radius!r}; it has {list(settlements.columns)}")
        radius = settlements[radius]
    reach = np.asarray(radius, dtype=float)
    if reach.ndim and reach.shape != (len(settlements),):
        raise ValueError(f"radius: {reach.shape} values for {len(settlements)} settlements")
    reach = np.broadcast_to(reach, len(settlements))
    if (bad := ~(np.isfinite(reach) & (reach >= 0))).any():
        raise ValueError(
            f"radius: must be 0 m or more and known; row {list(settlements.index[bad])} has "
            f"{reach[bad].tolist()}"
        )
    return geometry, reach
