"""How good are settlement maps at check points, and on buildings?

The assessment of section 3.2 of the settlement paper (key ``sen2hse``). Nothing here knows how a
map was made: functions take class rasters, 1 settlement, 0 other, 255 unknown, on one grid.
"""

import warnings

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from rasterio.features import rasterize

from toolkit import accuracy, chips
from toolkit.accuracy import estimate
from toolkit.accuracy.counting import _check_grid
from toolkit.accuracy.matrix import _scores
from toolkit.chips.grids import as_label

SPACING = 2000.0
"""Metres between check points, in the paper."""

ERROR = 0.05
"""Share of check points that our interpreter gets wrong. The paper does not give its own."""

SCORES = ("kappa", "average", "commission", "recall", "f1")
"""The five scores of the paper's Table 3, all as shares of 1; the last three of settlement."""


def codes(raster, what="map"):
    """Return the class codes of a settlement map: uint8 (y, x), 1, 0 and 255 alone.

    Parameters
    ----------
    raster : xarray.DataArray
        (y, x); NaN, 255 and the nodata value that it declares become 255.
    what : str
        What the caller calls it; it appears in the message.

    Raises
    ------
    ValueError
        Other codes, or fractions.
    """
    try:
        values = as_label(raster).values
    except ValueError as error:
        raise ValueError(f"{what} is no settlement map: {error}") from None
    odd = sorted(set(np.unique(values).tolist()) - {0, 1, chips.IGNORE})
    if odd:
        raise ValueError(
            f"{what} holds the codes {odd}; a settlement map has 1 (settlement), 0 (other) and "
            "255 (unknown). products.binary() makes one of a map with more classes."
        )
    return values


def known_by_all(maps):
    """Codes of several maps, and where all of them are known.

    Parameters
    ----------
    maps : dict of str to xarray.DataArray
        (y, x) settlement maps.

    Returns
    -------
    dict of str to numpy.ndarray
        uint8 (y, x), as `codes` gives them.
    numpy.ndarray
        bool (y, x).

    Raises
    ------
    ValueError
        Different grids, other codes, or no cell that all maps know; the message names two maps
        that share none, where there are such.
    """
    (first, grid), *others = maps.items()
    for name, each in others:
        try:
            _check_grid(grid, each)
        except ValueError as error:
            raise ValueError(f"{first} (here truth) and {name} (predicted): {error}") from None
    values = {name: codes(each, name) for name, each in maps.items()}
    known = {name: each != chips.IGNORE for name, each in values.items()}
    together = np.all(list(known.values()), axis=0)
    if not together.any():
        names = list(known)
        apart = [
            f"{one} and {other} do not overlap"
            for i, one in enumerate(names)
            for other in names[i + 1 :]
            if not (known[one] & known[other]).any()
        ]
        shares = ", ".join(f"{name} {each.mean():.0%}" for name, each in known.items())
        raise ValueError(
            f"{'; '.join(apart) or 'no cell is known to all maps'} (known of the grid: {shares}). "
            "Leave one out, or compare on other ground."
        )
    return values, together


def check_points(truth, spacing=SPACING, error=ERROR, area=None, start=None, seed=0):
    """Lay a grid of check points over a city and let an interpreter label them.

    Parameters
    ----------
    truth : xarray.DataArray
        (y, x), the settlement truth; a check point is one of its pixels (20 m x 20 m).
    spacing : float
        Metres between neighbours. The paper's 2000 m leaves 36 points on 12 km x 12 km; with
        500 m there are 576, about as many as the paper has for a city of 2300 km2.
    error : float or pair of float
        Share of points that the interpreter labels wrongly. A pair (missed, false) for settled
        and for other cells, where they differ.
    area : tuple of float, optional
        West, south, east, north of the ground to check, CRS units; all of it where left out. The
        paper checks the city's centre.
    start : int, optional
        Seed of a random start of the grid; centred where left out, and the same for ever.
    seed : int
        Of the interpreter's errors.

    Returns
    -------
    geopandas.GeoDataFrame
        Squares of one pixel with x, y (centre), truth and reference (0 other, 1 settlement), the
        interpreter's label, against which maps are scored. Points without a truth are left out.

    Raises
    ------
    ValueError
        A spacing finer than the pixels, an error outside 0 to 0.5, no point on the ground, or a
        truth with other codes.

    Notes
    -----
    The paper's reference is labelled by hand, with errors that nobody knows. Ours are known: each
    point is wrong independently of the others and of the map, equally often on either side
    unless told otherwise. Real interpreters err more where a cell is hardly sealed, and alike in
    neighbouring points. What a perfect map would score, the ceiling, is the row of ``"truth"``
    in `city_scores`.

    Examples
    --------
    >>> points = check_points(truth, spacing=500)  # doctest: +SKIP
    >>> len(points)  # doctest: +SKIP
    576
    """
    values = codes(truth, "truth")
    step = max(abs(each) for each in truth.rio.resolution())
    if not spacing >= step:
        raise ValueError(
            f"spacing={spacing:g} is finer than the pixels of the truth ({step:g} m): two check "
            "points would be the same cell. Give a wider spacing or a finer truth."
        )
    missed, false = np.broadcast_to(np.asarray(error, float), 2)
    if not (0 <= missed < 0.5 and 0 <= false < 0.5):
        raise ValueError(
            f"error={error}: give a share from 0 to 0.5, or a pair (missed, false) of such"
        )
    crs = truth.rio.crs
    found = accuracy.grid_points(area or truth.rio.bounds(), spacing, crs=crs, seed=start)
    transform = truth.rio.transform(recalc=True)
    row, col, inside = _pixel(transform, values.shape, found.geometry.x, found.geometry.y)
    row, col = row[inside], col[inside]
    row, col = (each[values[row, col] != chips.IGNORE] for each in (row, col))
    if not len(row):
        raise ValueError(
            f"no check point of a grid of {spacing:g} m falls on ground with a truth; the truth "
            f"covers {tuple(round(v) for v in truth.rio.bounds())} (left, bottom, right, top)"
        )
    true = values[row, col]
    wrong = np.random.default_rng([seed, 2000]).random(len(true)) < np.where(true, missed, false)
    x, y = transform * (col + 0.5, row + 0.5)
    half = np.abs(truth.rio.resolution()) / 2
    out = gpd.GeoDataFrame(
        {"x": x, "y": y, "truth": true, "reference": np.where(wrong, 1 - true, true)},
        geometry=shapely.box(x - half[0], y - half[1], x + half[0], y + half[1]),
        crs=crs,
    )
    out.attrs = {
        "title": "Check points",
        "simulated": bool(truth.attrs.get("simulated", False)),
        "spacing": float(spacing),
        "error": (float(missed), float(false)),
    }
    return out


def _pixel(transform, shape, x, y):
    """Row and column of places, and which of them lie on the grid."""
    col, row = ~transform * (np.asarray(x), np.asarray(y))
    # A place on the line between two pixels belongs to the right or lower one, whatever rounding.
    row, col = (np.floor(np.round(each, 6)).astype(int) for each in (row, col))
    return row, col, (row >= 0) & (col >= 0) & (row < shape[0]) & (col < shape[1])


def read(points, **maps):
    """Read maps at check points: one more column of codes for each.

    Parameters
    ----------
    points : geopandas.GeoDataFrame
        From `check_points`.
    **maps : xarray.DataArray
        (y, x) settlement maps whose pixels are those of the check points.

    Returns
    -------
    geopandas.GeoDataFrame
        Without the points that some map does not know: all maps are scored on the same ones.

    Raises
    ------
    ValueError
        Another CRS or pixel size, a shifted grid, other codes, or no point left.
    """
    out, know = points.copy(), np.ones(len(points), bool)
    west, south, east, north = points.geometry.iloc[0].bounds
    for name, found in maps.items():
        values, transform = codes(found, name), found.rio.transform(recalc=True)
        corner = np.array(~transform * (west, north))
        size = np.abs([transform.a, transform.e]), (east - west, north - south)
        if (
            found.rio.crs != points.crs
            or not np.allclose(*size, rtol=1e-3)
            or np.abs(corner - np.round(corner)).max() > 0.01
        ):
            raise ValueError(
                f"the pixels of {name} ({size[0][0]:g} m) are not those of the check points "
                f"({east - west:g} m): bring it to the truth's grid with products.on_grid()"
            )
        row, col, inside = _pixel(transform, values.shape, points["x"], points["y"])
        out[name] = chips.IGNORE
        out.loc[inside, name] = values[row[inside], col[inside]]
        know &= (out[name] != chips.IGNORE).to_numpy()
    if not know.any():
        raise ValueError(f"no check point is known to all of {', '.join(maps)}: do they overlap?")
    out = out[know].reset_index(drop=True)
    out.attrs = points.attrs
    return out


def five(matrices):
    """The five scores of `SCORES` for matrices (..., map, reference) of other and settlement."""
    found = _scores(matrices)
    own = {"commission": "commission", "recall": "producers", "f1": "f1"}
    whole = [found["kappa"], found["average"]]
    return np.stack([*whole, *(found[name][..., 1] for name in own.values())], axis=-1)


def resampled(mapped, reference, unit, n=1000, seed=0):
    """The five scores of maps, of all their cells and of resamples of units of ground.

    Parameters
    ----------
    mapped : array-like (map, cell)
        0 and 1.
    reference : array-like (cell,)
        0 and 1.
    unit : array-like (cell,)
        What is drawn together, with replacement: every check point by itself, or blocks of cells.
    n : int
        Resamples. The same for all maps, so that they can be compared.
    seed : int
        Of the draw.

    Returns
    -------
    numpy.ndarray
        (map, 1 + n, 5); the first of the second axis is the estimate.

    Raises
    ------
    ValueError
        Fewer than two units: use a finer spacing, or smaller blocks.
    """
    found = [estimate.resamples(reference, each, unit, 2, n, seed)[0] for each in mapped]
    return np.stack([five(matrices) for matrices in found])


def interval(samples, confidence=0.95):
    """Percentile interval along the second axis of what `resampled` gives: low and high."""
    tail = (1 - confidence) / 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a score that no resample has
        # Resamples without one of the classes have no kappa: they are left out, as in accuracy.
        return np.nanquantile(samples[:, 1:], [tail, 1 - tail], axis=1)


def ordered(**levels):
    """Index of all combinations, in the order given, which ``unstack`` keeps."""
    levels = {name: list(each) for name, each in levels.items()}
    at = np.indices([len(each) for each in levels.values()]).reshape(len(levels), -1)
    return pd.MultiIndex(levels=list(levels.values()), codes=at, names=list(levels))


def city_scores(cities, maps, n=1000, seed=0, confidence=0.95):
    """Score maps at the check points of several cities: a table like Table 3, with intervals.

    Parameters
    ----------
    cities : dict of str to geopandas.GeoDataFrame
        Check points by city, from `read`.
    maps : sequence of str
        Columns to score. Add ``"truth"`` for what a perfect map scores against the interpreter.
    n : int
        Resamples of the points of each city.
    seed : int
        Of the resamples.
    confidence : float
        Level of the percentile intervals.

    Returns
    -------
    pandas.DataFrame
        Index score (see `SCORES`), map, city; columns estimate, low, high, points. City
        ``"mean"`` is the unweighted mean over cities where the score is defined; its interval
        comes from resampling within every city, so it tells of points and not of other cities.
        ``table["estimate"].unstack("city")`` is the layout of Table 3.

    Raises
    ------
    KeyError
        A city without one of the maps.
    ValueError
        No city, a city called "mean", or one with fewer than two points.

    Notes
    -----
    Average accuracy is the mean of the recalls of settlement and other, commission the share of
    mapped cells that are not settled. The bootstrap takes points as independent: at 2000 m nearly
    true, at a few hundred metres the intervals are somewhat too narrow.

    Examples
    --------
    >>> table = city_scores({"Simulated": read(points, ours=found)}, ["ours"])  # doctest: +SKIP
    """
    if not cities or "mean" in cities:
        raise ValueError("city_scores: give a dict of cities, none of them called 'mean'")
    samples, points = {}, {}
    for number, (city, table) in enumerate(cities.items()):
        missing = [name for name in maps if name not in table]
        if missing:
            raise KeyError(f"{city} has no column {missing}: read(points, {missing[0]}=...)")
        if len(table) < 2:
            raise ValueError(
                f"{city}: {len(table)} check point; intervals need two, and mean something from 20 "
                "on. Use a finer spacing."
            )
        samples[city] = resampled(
            table[list(maps)].to_numpy().T, table["reference"], range(len(table)), n, [seed, number]
        )
        points[city] = len(table)
    every = np.stack(list(samples.values()))
    defined = np.isfinite(every)
    with np.errstate(invalid="ignore"):
        samples["mean"] = np.where(defined, every, 0).sum(axis=0) / defined.sum(axis=0)
    points["mean"] = sum(points.values())
    every = np.stack(list(samples.values()), axis=2)  # (map, 1 + n, city, score)
    low, high = interval(every, confidence)
    table = {"estimate": every[:, 0], "low": low, "high": high}
    table = {name: np.moveaxis(values, -1, 0).ravel() for name, values in table.items()}
    table["points"] = np.tile(list(points.values()), len(SCORES) * len(maps))
    return pd.DataFrame(table, ordered(score=SCORES, map=maps, city=samples))


def building_recall(buildings, maps, touched=True, block=500.0, n=1000, seed=0):
    """Ask how many of the cells with a building each map has found: N1 / N0.

    Parameters
    ----------
    buildings : geopandas.GeoDataFrame
        Footprints, such as those of OpenStreetMap; they need not be complete.
    maps : dict of str to xarray.DataArray
        (y, x) settlement maps on one grid.
    touched : bool
        Whether every cell that a footprint touches counts (as settlement counts from 0 % on), or
        only those whose centre it covers. The paper does not say.
    block : float
        Side of the blocks of ground that are resampled for the interval, metres.
    n, seed : int
        Number of resamples, and their seed.

    Returns
    -------
    pandas.DataFrame
        Index map; columns N0, N1, recall, low, high (95 %). N0 counts cells that all maps know.

    Raises
    ------
    ValueError
        No CRS, no building on the ground of the maps, all of them in one block, or maps without
        common ground.

    Notes
    -----
    Recall alone: settlement is more than buildings, so a cell without one is no error.

    Examples
    --------
    >>> building_recall(catalog.open("scene/osm_buildings"), {"ours": found})  # doctest: +SKIP
    """
    values, known = known_by_all(maps)
    grid = next(iter(maps.values()))
    if buildings.crs is None:
        raise ValueError("the buildings have no CRS; set it with .set_crs('EPSG:...')")
    shapes = buildings.to_crs(grid.rio.crs).geometry
    shapes = shapes[shapes.notna() & ~shapes.is_empty]
    transform = grid.rio.transform(recalc=True)
    there = np.zeros(known.shape, bool)
    if len(shapes):
        there = rasterize(shapes, known.shape, transform=transform, all_touched=touched) == 1
    there &= known
    if not there.any():
        raise ValueError(
            f"none of {len(buildings)} buildings lies on ground that the maps know: check that "
            "both cover the same place"
        )
    unit = estimate.block_of(there.shape, max(round(block / abs(transform.a)), 1))[there]
    found = np.stack([each[there] for each in values.values()])
    drawn = resampled(found, np.ones(there.sum(), int), unit, n, seed)[..., SCORES.index("recall")]
    low, high = interval(drawn)
    return pd.DataFrame(
        {
            "N0": there.sum(),
            "N1": found.sum(axis=1),
            "recall": drawn[:, 0],
            "low": low,
            "high": high,
        },
        index=pd.Index(list(maps), name="map"),
    )
