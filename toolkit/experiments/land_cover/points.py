"""How good are the labels and the map, at the same check points and on what is thin?"""

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
import xarray as xr
from rasterio.features import rasterize
from scipy import ndimage

from toolkit import accuracy, chips
from toolkit.experiments.land_cover.places import SOURCES

RANDOM, EXTRA = 1692, 248
"""Check points of the paper (section 2.3): of a global sample, and added on water and sealed land.
The sum is the 1,940 of its Tables 1 to 3."""

CLASSES_OF_ROADS = {"narrow, up to 6 m": (0, 6), "6 to 15 m": (6, 15), "wide, over 15 m": (15, 999)}
"""Width of roads, metres: up to two pixels of the image, up to one and a half of the labels."""


def check_points(place, where, random=RANDOM, extra=EXTRA, seed=0):
    """Draw check points on held-out ground and read the truth there.

    Parameters
    ----------
    place : Ground
        From `places.ground`.
    where : xarray.DataArray
        (y, x), true where points may lie: from `places.held_out`.
    random : int
        Points anywhere, each pixel as likely as any other.
    extra : int
        Points on true water and sealed land, half of each, as the paper added some because its
        sample held few of these. They count in its tables, not in estimates of area.
    seed : int
        Of the draw.

    Returns
    -------
    geopandas.GeoDataFrame
        Points with row and col (pixels), part ("random", "extra") and reference (class code).

    Raises
    ------
    ValueError
        Fewer pixels than points.

    Examples
    --------
    >>> points = check_points(place, where)  # doctest: +SKIP
    >>> len(points)  # doctest: +SKIP
    1940
    """
    truth = place.truth.values
    free = np.asarray(where) & (truth != chips.IGNORE)
    if free.sum() < random + extra:
        raise ValueError(
            f"{free.sum():,} pixels of held-out ground with a truth, {random + extra:,} points "
            "asked for: hold out more ground or draw fewer"
        )
    rng = np.random.default_rng([seed, 1940])
    drawn = rng.choice(np.flatnonzero(free), random, replace=False)
    free.ravel()[drawn] = False
    chosen = [drawn]
    few = [item["value"] for item in place.classes if item["name"] in _few(place)]
    for number, code in enumerate(few):
        count = extra // len(few) + (number < extra % len(few))
        here = np.flatnonzero(free & (truth == code))
        chosen.append(rng.choice(here, min(count, len(here)), replace=False))
    index = np.concatenate(chosen)
    part = np.repeat(["random", "extra"], [random, len(index) - random])
    row, col = np.divmod(index, truth.shape[1])
    x, y = place.image.x.values[col], place.image.y.values[row]
    out = gpd.GeoDataFrame(
        {"row": row, "col": col, "part": part, "reference": truth.ravel()[index]},
        geometry=gpd.points_from_xy(x, y),
        crs=place.image.rio.crs,
    )
    out.attrs = {"classes": place.classes, "simulated": place.simulated}
    return out


def _few(place):
    sealed = SOURCES.get(place.source, {}).get("sealed")
    return [name for name in place.names if name.lower() == "water" or name == sealed]


def read(points, **maps):
    """Read maps at check points: one more column of class codes for each.

    Points where any map has no class are left out, so that all maps are scored on the same.
    """
    out = points.copy()
    for name, found in maps.items():
        out[name] = np.asarray(found.values)[points["row"], points["col"]]
    out = out[(out[list(maps)] != chips.IGNORE).all(axis=1)].reset_index(drop=True)
    out.attrs = points.attrs
    return out


def table(points, column):
    """Count a column of check points against the reference: a table like Tables 2 and 3."""
    return accuracy.confusion(points["reference"], points[column], points.attrs["classes"])


def compared(points, one="labels", other="map"):
    """Compare two maps class by class, with a test of the difference.

    Parameters
    ----------
    points : geopandas.GeoDataFrame
        From `read`, with the columns of both maps.
    one, other : str
        Their columns.

    Returns
    -------
    pandas.DataFrame
        One row a class and one for all: number of points, producer's and user's accuracy (%) of
        both and the gain (points of per cent), as in section 4.1; overall accuracy in the last.
    toolkit.accuracy.McNemar
        Whether the difference of the overall accuracies is more than chance; a is `other`.
    """
    matrices = {name: table(points, name) for name in (one, other)}
    out = pd.DataFrame({"points": matrices[one].array.sum(axis=0)}, matrices[one].classes)
    for short, score in (("PA", "producers"), ("UA", "users")):
        values = [getattr(matrices[name], score) * 100 for name in (one, other)]
        out[f"{short} {one}"], out[f"{short} {other}"] = values
        out[f"{short} gain"] = values[1] - values[0]
    whole = [matrices[name].overall * 100 for name in (one, other)]
    out.loc["overall"] = [len(points), *whole, whole[1] - whole[0], *[np.nan] * 3]
    test = accuracy.mcnemar(
        points["reference"], points[other], points[one], classes=points.attrs["classes"]
    )
    return out.rename_axis("class"), test


def areas(place, found, where, points=RANDOM, least=30, seed=0):
    """Estimate the areas of the classes from points stratified by map class.

    Parameters
    ----------
    place : Ground
        From `places.ground`.
    found : xarray.DataArray
        (y, x) the map.
    where : xarray.DataArray
        (y, x), true on the ground to estimate: from `places.held_out`.
    points : int
        Their number, shared over the mapped classes by area.
    least : int
        Points of a class at least, however small it is.
    seed : int
        Of the draw.

    Returns
    -------
    pandas.DataFrame
        One row a class that is mapped on two pixels or more, km2: mapped, estimate, low, high
        (95 %), true, and inside (whether the interval holds the truth, which only a simulated
        scene can tell).
    pandas.Series
        Overall accuracy with its interval.

    Notes
    -----
    `toolkit.accuracy.area_adjusted`, after Olofsson et al. (2014).
    """
    truth, codes = place.truth.values, found.values
    free = np.asarray(where) & (truth != chips.IGNORE) & (codes != chips.IGNORE)
    rng = np.random.default_rng([seed, 2014])
    strata = [np.flatnonzero(free & (codes == item["value"])) for item in place.classes]
    # The variance within a stratum needs two points; a class on one pixel is left out.
    strata = [each if len(each) > 1 else each[:0] for each in strata]
    drawn = []
    for each in strata:
        wanted = max(least, round(points * len(each) / free.sum()))
        drawn.append(rng.choice(each, min(wanted, len(each)), replace=False))
    index = np.concatenate(drawn)
    matrix = accuracy.confusion(truth.ravel()[index], codes.ravel()[index], place.classes)
    pixel = abs(np.prod(place.image.rio.resolution())) / 1e6
    mapped = {name: len(each) * pixel for name, each in zip(place.names, strata, strict=True)}
    estimate = accuracy.area_adjusted(matrix, mapped)
    out = estimate.table["area"][["estimate", "low", "high"]].copy()
    out.insert(0, "mapped", pd.Series(mapped))
    out["true"] = [
        np.count_nonzero(free & (truth == item["value"])) * pixel for item in place.classes
    ]
    out["inside"] = (out["low"] <= out["true"]) & (out["true"] <= out["high"])
    return out[(out["mapped"] > 0) | (out["true"] > 0)], estimate.overall


def roads(place, where, maps, sealed="Impervious"):
    """Score maps on roads alone: how much of them is found, and how often the line breaks.

    Parameters
    ----------
    place : Ground
        With roads.
    where : xarray.DataArray
        (y, x), true where to score.
    maps : dict of str to xarray.DataArray
        (y, x) class codes.
    sealed : str
        The class of roads.

    Returns
    -------
    pandas.DataFrame
        One row a map and class of width: pixels and recall (of pixels that are road and truly
        sealed: roads under crowns do not count), km of centre line, breaks (runs of missed
        pixels) per km, and unbroken (m), the mean length of what is found without a break.

    Raises
    ------
    ValueError
        The ground has no roads.
    """
    if place.roads is None or place.roads.empty:
        raise ValueError("this ground has no roads; give them to places.assemble(roads=...)")
    code = {item["name"]: item["value"] for item in place.classes}[sealed]
    free = np.asarray(where) & (place.truth.values == code)
    transform, step = place.image.rio.transform(), abs(place.image.rio.resolution()[0])
    rows = []
    for name, (low, high) in CLASSES_OF_ROADS.items():
        chosen = place.roads[(place.roads["width"] > low) & (place.roads["width"] <= high)]
        if chosen.empty:
            continue
        wide = np.maximum(chosen["width"], step) / 2
        on = rasterize(chosen.buffer(wide), free.shape, transform=transform).astype(bool) & free
        line, at = _along(chosen.geometry, step, ~transform, free)
        for which, found in maps.items():
            hit = found.values == code
            rows.append(
                {"map": which, "roads": name, "pixels": int(on.sum()), "recall": share(hit[on])}
                | _runs(line, hit[at], step)
            )
    return pd.DataFrame(rows).set_index(["roads", "map"])


def share(values):
    """Mean of true and false, NaN where there is nothing to count."""
    return float(values.mean()) if values.size else np.nan


def _along(lines, step, inverse, free):
    """Pixels under the centre lines, in order: number of the line, and (row, col)."""
    coords, number = shapely.get_coordinates(
        shapely.segmentize(lines.values, step), return_index=True
    )
    col, row = (np.floor(v).astype(int) for v in inverse * (coords[:, 0], coords[:, 1]))
    inside = (row >= 0) & (col >= 0) & (row < free.shape[0]) & (col < free.shape[1])
    number, row, col = number[inside], row[inside], col[inside]
    new = np.ones(len(row), bool)
    new[1:] = (np.diff(row) != 0) | (np.diff(col) != 0) | (np.diff(number) != 0)
    known = new & free[row, col]
    return number[known], (row[known], col[known])


def _runs(line, hit, step):
    """Length, breaks per km and mean unbroken length of hits along lines."""
    length = len(hit) * step / 1000
    if not len(hit):
        return {"km": 0.0, "breaks per km": np.nan, "unbroken m": np.nan}
    start = np.ones(len(hit), bool)
    start[1:] = (np.diff(line) != 0) | (hit[1:] != hit[:-1])
    found, missed = (start & hit).sum(), (start & ~hit).sum()
    return {
        "km": length,
        "breaks per km": missed / length,
        "unbroken m": hit.sum() * step / found if found else 0.0,
    }


def small(place, where, maps, name="Water", width=24):
    """Score maps on the thin and small parts of a class alone.

    Parameters
    ----------
    place : Ground
        From `places.ground`.
    where : xarray.DataArray
        (y, x), true where to score.
    maps : dict of str to xarray.DataArray
        (y, x) class codes.
    name : str
        The class.
    width : float
        Metres: what a square of this side does not fit into is thin or small.

    Returns
    -------
    pandas.DataFrame
        One row a map and part ("thin or small", "large"): pixels of the truth and recall.
    """
    code = {item["name"]: item["value"] for item in place.classes}[name]
    true = place.truth.values == code
    side = max(2, round(width / abs(place.image.rio.resolution()[0])))
    # A maximum of minima over squares: an opening, quick for large squares.
    large = ndimage.minimum_filter(true, side, mode="nearest")
    large = ndimage.maximum_filter(large, side, origin=-1 if side % 2 == 0 else 0) & true
    rows = []
    for part, mask in (("thin or small", true & ~large), ("large", large)):
        mask = mask & np.asarray(where)
        for which, found in maps.items():
            rows.append(
                {
                    "part": part,
                    "map": which,
                    "pixels": int(mask.sum()),
                    "recall": share(found.values[mask] == code),
                }
            )
    return pd.DataFrame(rows).set_index(["part", "map"])


def errors(place, one, other, where=None):
    """Map who is right: the labels, the map, both or neither.

    Parameters
    ----------
    place : Ground
        From `places.ground`.
    one, other : xarray.DataArray
        (y, x) labels and map.
    where : xarray.DataArray, optional
        (y, x), true where to show.

    Returns
    -------
    xarray.DataArray
        uint8: 0 both right, 1 map alone, 2 labels alone, 3 both wrong; 255 unknown.
    """
    truth = place.truth.values
    first, second = one.values == truth, other.values == truth
    codes = np.where(first & second, 0, np.where(second, 1, np.where(first, 2, 3)))
    unknown = (truth == chips.IGNORE) | (one.values == chips.IGNORE)
    unknown |= other.values == chips.IGNORE
    if where is not None:
        unknown |= ~np.asarray(where)
    out = xr.zeros_like(place.truth).copy(data=np.where(unknown, chips.IGNORE, codes).astype("u1"))
    classes = [
        {"value": 0, "name": "both right", "color": "#f0f0f0"},
        {"value": 1, "name": "map alone right", "color": "#0072b2"},
        {"value": 2, "name": "labels alone right", "color": "#e69f00"},
        {"value": 3, "name": "both wrong", "color": "#555555"},
    ]
    attrs = {"title": "Who is right", "long_name": "agreement with the truth", "classes": classes}
    return out.assign_attrs(place.truth.attrs | attrs)
