"""How sure are we: areas with confidence intervals, the block bootstrap, check points."""

from collections.abc import Mapping
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from toolkit import _checks
from toolkit.accuracy.counting import IGNORE, _codes, _flat, _left_out, _named, _prepare, _valid
from toolkit.accuracy.matrix import _scores


class AreaEstimate(NamedTuple):
    """What :func:`area_adjusted` returns: `table` by class, `overall` and `proportions`."""

    table: pd.DataFrame
    overall: pd.Series
    proportions: pd.DataFrame


def area_adjusted(matrix, mapped_area, confidence=0.95, total=None):
    """Estimate class areas and accuracies from a sample stratified by map class.

    The mapped area of a class is biased wherever the map errs. The sample says how much of each
    mapped class is really what, and so gives an unbiased area, and how uncertain it is.

    Parameters
    ----------
    matrix : ConfusionMatrix
        Counts of sample units. Each row is a stratum: units drawn at random from one map class
        (a simple random or systematic sample counts as stratified afterwards).
    mapped_area : Series or dict by class name, or sequence in the order of classes
        Mapped area of each class in any one unit (ha, km2, pixels, shares of 1).
    confidence : float
        Level of the intervals, which are estimate +- z * standard error. They are not cut off at
        0: one that reaches below says that the sample is too small.
    total : float, optional
        Area of the region, checked against the sum of `mapped_area`.

    Returns
    -------
    AreaEstimate
        ``table``: a row for each class, columns (``mapped``, ``area``, ``users``, ``producers``)
        x (``estimate``, ``se``, ``low``, ``high``), areas in the unit given, accuracies as shares
        of 1. ``overall``: the same four numbers for overall accuracy. ``proportions``: estimated
        share of the region in each cell of the matrix.

    Raises
    ------
    ValueError
        Areas that are missing, negative, zero in all or do not add up to `total`; a mapped class
        with fewer than two sample units; unknown counts.

    Notes
    -----
    Olofsson et al. (2014), Good practices for estimating area and assessing accuracy of land
    change, Remote Sensing of Environment 148:42-57: the stratified estimators. The example below
    is that of their Table 8 and page 54; its 235,086 pixels of 30 m are 21,158 ha.

    Examples
    --------
    >>> from toolkit.accuracy import ConfusionMatrix
    >>> sample = [[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]]
    >>> matrix = ConfusionMatrix(sample, ["loss", "gain", "forest", "rest"])
    >>> estimate = area_adjusted(matrix, [200_000, 150_000, 3_200_000, 6_450_000])
    >>> estimate.table["area"].round().loc["loss", ["estimate", "se"]].tolist()
    [235086.0, 34907.0]
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is a share between 0 and 1, such as 0.95; got {confidence}")
    area = _strata(matrix, mapped_area, total)
    n = matrix.array
    units = n.sum(axis=1)
    if np.isnan(n).any():
        raise ValueError("area_adjusted needs every count; the matrix has unknown ones (NaN)")
    for name, size, mapped in zip(matrix.classes, units, area, strict=True):
        if mapped > 0 and size < 2:
            raise ValueError(
                f"stratum {name!r} has {size:.0f} sample units but {mapped:g} mapped area: the "
                "estimator needs two or more in each. Draw more there, or merge it with another."
            )
        if mapped == 0 and size:
            raise ValueError(f"stratum {name!r} has {size:.0f} sample units but no mapped area")

    region = area.sum()
    weight = area / region
    with np.errstate(divide="ignore", invalid="ignore"):
        within = np.nan_to_num(n / units[:, None])  # share of each reference class in a stratum
        cell = weight[:, None] * within
        variance = np.nan_to_num(within * (1 - within) / (units - 1)[:, None])
        users = np.diag(cell) / cell.sum(axis=1)
        producers = np.diag(cell) / cell.sum(axis=0)
        own = np.diag(variance)
        spread = weight[:, None] ** 2 * variance
        others = spread.sum(axis=0) - np.diag(spread)
        producers_variance = (
            np.diag(spread) * (1 - producers) ** 2 + producers**2 * others
        ) / cell.sum(axis=0) ** 2
    z = NormalDist().inv_cdf(0.5 + confidence / 2)

    def interval(estimate, variance):
        se = np.sqrt(variance)
        return {"estimate": estimate, "se": se, "low": estimate - z * se, "high": estimate + z * se}

    parts = {
        "area": interval(cell.sum(axis=0) * region, spread.sum(axis=0) * region**2),
        "users": interval(users, np.where(np.isnan(users), np.nan, own)),
        "producers": interval(producers, producers_variance),
    }
    columns = {("mapped", "estimate"): area} | {
        (part, key): values for part, four in parts.items() for key, values in four.items()
    }
    overall = interval(np.trace(cell), np.trace(spread))
    return AreaEstimate(
        pd.DataFrame(columns, index=pd.Index(matrix.classes, name="class")),
        pd.Series(overall, name="overall"),
        pd.DataFrame(cell, matrix.classes, matrix.classes).rename_axis("map"),
    )


def bootstrap(
    truth, predicted, blocks, n=500, seed=0, classes=None, ignore=IGNORE, confidence=0.95
):
    """Put intervals around the scores of a map by resampling blocks of ground.

    Neighbouring pixels err together, so a million of them are far fewer independent looks than a
    million. Drawing whole blocks, with replacement, keeps that correlation inside the blocks.

    Parameters
    ----------
    truth, predicted
        As in :func:`confusion`: two-dimensional, or points. They are loaded.
    blocks : int or array-like
        Side of square blocks in pixels, at least the distance over which errors are alike; or the
        block of each pixel or point, as an array of the same shape.
    n : int
        Number of resamples.
    seed : int
        Of the random numbers.
    classes, ignore
        As in :func:`confusion`.
    confidence : float
        Level of the percentile intervals.

    Returns
    -------
    pandas.DataFrame
        Index ``score`` (overall, kappa, average, mean_iou, ``f1 <class>``, ``iou <class>``),
        columns ``estimate``, ``low``, ``high``; ``attrs["blocks"]`` is their number. Resamples
        in which a score is not defined are left out of its interval.

    Raises
    ------
    ValueError
        Fewer than two blocks with data, and what :func:`confusion` refuses.

    Notes
    -----
    Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapters 8 and 13; blocks after
    Hall (1985), Resampling a coverage pattern, Stochastic Processes and their Applications 20.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> truth = rng.integers(0, 2, (64, 64))
    >>> predicted = np.where(rng.random((64, 64)) < 0.9, truth, 1 - truth)
    >>> scores = bootstrap(truth, predicted, blocks=8, n=200)
    >>> bool(scores.low["kappa"] < scores.estimate["kappa"] < scores.high["kappa"])
    True
    """
    pairs, names, left_out = _prepare(truth, predicted, classes, ignore)
    truth, predicted = (np.asarray(values) for values in pairs)
    block = block_of(truth.shape, blocks)
    t, p, keep = _codes(truth, predicted, left_out)
    names = _named(names, pd.unique(t), pd.unique(p))
    t, p = (pd.Index(list(names)).get_indexer(values) for values in (t, p))
    k = len(names)
    matrices, found = resamples(t, p, block[keep], k, n, seed)
    wanted = ["overall", "kappa", "average", "mean_iou", "f1", "iou"]

    def columns(matrices):
        scores = _scores(matrices)
        return np.column_stack([scores[name] for name in wanted])

    estimate, *samples = columns(matrices)
    samples = pd.DataFrame(samples)
    tail = (1 - confidence) / 2
    table = pd.DataFrame(
        {"estimate": estimate, "low": samples.quantile(tail), "high": samples.quantile(1 - tail)}
    )
    by_class = [f"{name} {each}" for name in wanted[4:] for each in names.values()]
    table.index = pd.Index([*wanted[:4], *by_class], name="score")
    table.attrs["blocks"] = found
    return table


def resamples(truth, predicted, block, classes, n=500, seed=0):
    """Count confusion matrices of all pixels, and of `n` resamples of their blocks.

    Parameters
    ----------
    truth, predicted, block : array-like (pixel,)
        Numbers of classes, 0 to below `classes`; the block of each pixel, of any name.
    classes, n, seed : int
        Number of classes and of resamples; with one seed and the same blocks all maps get the
        same resamples, so that they can be compared.

    Returns
    -------
    numpy.ndarray
        float (1 + n, predicted, truth); the first is that of all pixels.
    int
        Number of blocks.

    Raises
    ------
    ValueError
        Fewer than two blocks.
    """
    block, found = pd.factorize(np.asarray(block))
    if len(found) < 2:
        raise ValueError(
            f"{len(found)} block with data: the bootstrap resamples blocks and needs many (20 or "
            "more). Use a smaller block, as long as errors are not alike across it."
        )
    cell = (block * classes + np.asarray(predicted, int)) * classes + np.asarray(truth, int)
    counts = np.bincount(cell, minlength=len(found) * classes**2)
    counts = counts.reshape(len(found), classes**2).astype(float)
    drawn = np.random.default_rng(seed).multinomial(len(found), [1 / len(found)] * len(found), n)
    drawn = np.vstack([np.ones((1, len(found)), int), drawn])
    return (drawn @ counts).reshape(-1, classes, classes), len(found)


def optimal_threshold(truth, score):
    """Find where to cut a score so that F1, and with it IoU, is best.

    Choose it on training ground and apply it elsewhere: chosen on the ground that is scored, it
    flatters.

    Parameters
    ----------
    truth : xarray.DataArray or array
        1 where the class is, 0 where not, 255 where unknown.
    score : xarray.DataArray or array
        Of the same shape: the higher, the more likely. NaN is left out.

    Returns
    -------
    float
        Pixels with a score of at least this are mapped.

    Raises
    ------
    ValueError
        Another shape, or no pixel of the class among those known.

    Notes
    -----
    The "optimal threshold" of the IFCN paper, section 4.1. IoU = F1 / (2 - F1) rises with F1, so
    one cut is best for both.

    Examples
    --------
    >>> optimal_threshold(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
    0.35
    """
    from sklearn.metrics import precision_recall_curve

    truth, score = np.asarray(truth), np.asarray(score)
    if truth.shape != score.shape:
        raise ValueError(f"truth has shape {truth.shape}, the score {score.shape}")
    known = (truth != IGNORE) & np.isfinite(score)
    if not (truth[known] == 1).any():
        raise ValueError("no known pixel is 1: there is nothing to choose a threshold by")
    precision, recall, cuts = precision_recall_curve(truth[known] == 1, score[known])
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return float(cuts[f1[:-1].argmax()])


def grid_points(area, spacing, crs=None, seed=None):
    """Lay out a regular grid of check points, to be labelled by eye.

    Parameters
    ----------
    area : xarray.DataArray (y, x), geopandas.GeoDataFrame or (left, bottom, right, top)
        A class map, the outlines of the ground to check, or bounds.
    spacing : float
        Distance between neighbours in the unit of the CRS (metres, mostly).
    crs : any CRS, optional
        Of the bounds; a raster and outlines bring their own.
    seed : int, optional
        Starts the grid at a random place, which makes it a systematic sample; centred by default.

    Returns
    -------
    geopandas.GeoDataFrame
        Points, north-west first. From a class map also ``mapped``, the code below the point;
        points without data are left out. Add a column ``reference`` and score with
        ``confusion(points.reference, points.mapped)``.

    Raises
    ------
    ValueError
        No CRS, a spacing that is not positive, or no point inside.

    Notes
    -----
    Qiu et al. (2020), section 3.2, check settlement maps on a grid of 2000 m.

    Examples
    --------
    >>> len(grid_points((0, 0, 4000, 6000), 2000, crs="EPSG:32736"))
    6
    """
    import geopandas as gpd

    class_map = _flat(area) if isinstance(area, xr.DataArray) else None
    outlines = area if hasattr(area, "total_bounds") else None
    if class_map is not None:
        area, crs = class_map.rio.bounds(), class_map.rio.crs
    elif outlines is not None:
        area, crs = outlines.total_bounds, outlines.crs
    if crs is None:
        raise ValueError("grid_points: no CRS. Give crs=, or .rio.write_crs() / .set_crs() first.")
    low, high = np.reshape(np.asarray(area, dtype=float), (2, 2))
    if not spacing > 0 or not (low < high).all():
        raise ValueError(
            f"grid_points: the spacing must be positive, got {spacing}, and the bounds go left, "
            f"bottom, right, top, got {area}"
        )
    count = np.maximum((high - low) // spacing, 1)
    first = low + (high - low - (count - 1) * spacing) / 2
    if seed is not None:
        first = low + np.random.default_rng(seed).random(2) * spacing
    xs, ys = (np.arange(a, b, spacing) for a, b in zip(first, high, strict=True))
    x, y = (values.ravel() for values in np.meshgrid(xs, ys[::-1]))
    points = gpd.GeoDataFrame(geometry=gpd.points_from_xy(x, y), crs=crs)
    if outlines is not None:
        points = points[points.within(outlines.union_all())]
    if class_map is not None:
        place = {class_map.rio.x_dim: xr.DataArray(x), class_map.rio.y_dim: xr.DataArray(y)}
        points["mapped"] = class_map.sel(place, method="nearest").to_numpy()
        points = points[_valid(points["mapped"].to_numpy(), _left_out(class_map, IGNORE, None))]
    if points.empty:
        raise ValueError(
            f"grid_points: no point of a grid of {spacing:g} falls on data in {area}; the spacing "
            "counts in the unit of the CRS"
        )
    return points.reset_index(drop=True)


def pixel_area(raster):
    """True area of the pixels of a raster, row by row.

    Parameters
    ----------
    raster : xarray.DataArray
        With dims y and x, on an upright grid in any CRS.

    Returns
    -------
    xarray.DataArray
        (y,) area of one pixel of each row in km2, measured on an equal-area projection
        (EPSG:6933) at the middle column; multiply a mask with it and sum.

    Raises
    ------
    ValueError
        No CRS.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> degrees = xr.DataArray(
    ...     np.ones((2, 2)), dims=("y", "x"), coords={"y": [60.5, 59.5], "x": [10.5, 11.5]}
    ... ).rio.write_crs("EPSG:4326")
    >>> pixel_area(degrees).round(-1).values.tolist()
    [6120.0, 6310.0]
    """
    import geopandas as gpd
    import shapely

    raster = _flat(raster)
    _checks.raster(raster, "raster", ("y", "x"))
    affine = raster.rio.transform(recalc=True)
    column, rows = raster.sizes["x"] // 2, np.arange(raster.sizes["y"])
    west, east = affine.c + affine.a * column, affine.c + affine.a * (column + 1)
    edge = affine.f + affine.e * rows
    cells = gpd.GeoSeries(shapely.box(west, edge + affine.e, east, edge), crs=raster.rio.crs)
    area = cells.to_crs(6933).area.to_numpy() / 1e6
    found = xr.DataArray(area, dims="y", attrs={"long_name": "area of a pixel", "units": "km2"})
    return found.assign_coords(y=raster.y) if "y" in raster.coords else found


def block_of(shape, blocks):
    """Number the square block of ground that each pixel lies in, or check blocks that are given."""
    if np.ndim(blocks) == 0:
        if len(shape) != 2 or int(blocks) != blocks or blocks < 1:
            raise ValueError(
                f"blocks={blocks!r} is the side of square blocks of a two-dimensional raster, in "
                f"pixels; here the shape is {shape}. For points give the block of each."
            )
        rows, columns = (np.arange(size) // int(blocks) for size in shape)
        return rows[:, None] * (columns[-1] + 1) + columns
    blocks = np.asarray(blocks)
    if blocks.shape != shape:
        raise ValueError(f"blocks has shape {blocks.shape}, the map {shape}")
    return blocks


def _strata(matrix, mapped_area, total):
    if isinstance(mapped_area, (Mapping, pd.Series)):
        given = dict(mapped_area)
        if set(given) != set(matrix.classes):
            raise ValueError(
                f"mapped_area names {list(given)}, the matrix has {matrix.classes}; give one area "
                "for each class"
            )
        mapped_area = [given[name] for name in matrix.classes]
    area = np.asarray(mapped_area, dtype=float)
    if area.shape != (len(matrix.classes),):
        raise ValueError(
            f"mapped_area has shape {area.shape}; give one area for each of {matrix.classes}"
        )
    if not np.isfinite(area).all() or (area < 0).any() or area.sum() <= 0:
        raise ValueError(f"mapped areas must be finite, not negative and not all 0: {area}")
    if total is not None and not np.isclose(area.sum(), total, rtol=1e-3):
        raise ValueError(
            f"the mapped areas add up to {area.sum():g}, not to the total {total:g}: is a class "
            "missing, or are the units different?"
        )
    return area
