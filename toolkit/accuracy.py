"""How good is a map, and how sure are we?

A :class:`ConfusionMatrix` holds the counts, :func:`confusion` makes one from rasters or points,
:func:`area_adjusted` turns a sample into areas with confidence intervals, :func:`bootstrap` puts
intervals around scores of spatially correlated pixels, :func:`grid_points` lays out check points.

Rows are the map, columns the reference, as the papers print it. A score that is not defined, such
as the user's accuracy of a class that was never mapped, is NaN and never 0; means over classes
leave it out.
"""

from collections.abc import Mapping
from functools import reduce
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

IGNORE = 255
_PIECE = 1 << 22  # pixels counted at once: bounds the memory, not the result


class ConfusionMatrix:
    """Counts of map class against reference class, and every score that follows from them.

    Parameters
    ----------
    array : array-like (class, class), pandas.DataFrame
        Counts (pixels, points): rows are the map, columns the reference. NaN on the diagonal
        stands for an unknown count, such as the true negatives of a published table; scores that
        need it become NaN.
    classes : sequence of str, optional
        Class names in the order of rows and columns. Taken from a DataFrame, else 0, 1, 2, ...

    Attributes
    ----------
    array : numpy.ndarray
    classes : list
    n : float
        All counts.
    overall, kappa, average, mean_iou, frequency_weighted_iou : float
        Overall accuracy, Cohen's kappa, mean producer's accuracy, mean IoU, IoU weighted by
        reference share.
    producers, users, f1, iou, omission, commission : pandas.Series
        By class. Producer's accuracy (recall) = diagonal / column sum, user's accuracy
        (precision) = diagonal / row sum, F1 = 2 diagonal / (row sum + column sum),
        IoU = diagonal / (row sum + column sum - diagonal), omission = 1 - producer's,
        commission = 1 - user's.

    Raises
    ------
    ValueError
        Not square, negative or non-finite counts, names that do not fit.

    Notes
    -----
    Definitions after Congalton (1991), Remote Sensing of Environment 37:35-46, and Cohen (1960).

    Examples
    --------
    >>> matrix = ConfusionMatrix([[50, 10], [5, 35]], classes=["urban", "rest"])
    >>> matrix.overall
    0.85
    >>> matrix.users.round(3).to_dict()
    {'urban': 0.833, 'rest': 0.875}
    """

    def __init__(self, array, classes=None):
        if isinstance(array, pd.DataFrame):
            if list(array.index) != list(array.columns):
                raise ValueError(
                    f"rows {list(array.index)} and columns {list(array.columns)} of a confusion "
                    "matrix must be the same classes in the same order; drop sums and accuracies."
                )
            classes = list(array.index) if classes is None else classes
        self.array = np.array(array, dtype=float)
        if self.array.ndim != 2 or self.array.shape[0] != self.array.shape[1] or not self.array.size:
            raise ValueError(f"a confusion matrix is square, got shape {self.array.shape}")
        self.classes = list(range(len(self.array))) if classes is None else list(classes)
        if len(self.classes) != len(self.array) or len(set(self.classes)) != len(self.classes):
            raise ValueError(
                f"{len(self.array)} rows need as many different class names, got {self.classes}"
            )
        known = np.where(np.eye(len(self.array), dtype=bool), np.nan_to_num(self.array), self.array)
        if not np.isfinite(known).all() or (known < 0).any():
            raise ValueError(f"counts must be finite and not negative, got\n{self.array}")

    @classmethod
    def from_counts(cls, tp, fp, fn, tn=None, classes=("positive", "rest")):
        """Build the two-class matrix from true and false positives and negatives.

        Parameters
        ----------
        tp, fp, fn : float
            True positives, false positives, false negatives.
        tn : float, optional
            True negatives. Papers often leave them out: overall accuracy, kappa and the scores
            of the second class are then NaN.
        classes : pair of str
            Names of the positive class and of the rest.

        Returns
        -------
        ConfusionMatrix

        Examples
        --------
        >>> matrix = ConfusionMatrix.from_counts(tp=12625, fp=2744, fn=612)
        >>> round(float(matrix.f1["positive"]), 4), matrix.kappa
        (0.8827, nan)
        """
        return cls([[tp, fp], [fn, np.nan if tn is None else tn]], classes)

    def counts(self, positive):
        """Return TP, FP, FN, TN of one class against all others, as a Series of counts."""
        if positive not in self.classes:
            raise KeyError(f"no class {positive!r}; the matrix has {self.classes}")
        i = self.classes.index(positive)
        tp = self.array[i, i]
        fp, fn = (np.delete(line, i).sum() for line in (self.array[i], self.array[:, i]))
        return pd.Series({"TP": tp, "FP": fp, "FN": fn, "TN": self.n - tp - fp - fn})

    def __getattr__(self, name):
        # The scores are one table of formulas, shared with the bootstrap.
        if name.startswith("_") or name not in _SCORES:
            raise AttributeError(f"ConfusionMatrix has no {name!r}; its scores: {list(_SCORES)}")
        value = _SCORES[name](self.array)
        return float(value) if np.ndim(value) == 0 else self._series(value, name)

    def __dir__(self):
        return [*super().__dir__(), *_SCORES]

    def _series(self, values, name):
        return pd.Series(values, index=pd.Index(self.classes, name="class"), name=name)

    def __add__(self, other):
        if not isinstance(other, ConfusionMatrix):
            return NotImplemented
        if self.classes != other.classes:
            raise ValueError(f"cannot add matrices of {self.classes} and {other.classes}")
        return ConfusionMatrix(self.array + other.array, self.classes)

    def __radd__(self, other):
        return self if other == 0 else NotImplemented  # so that sum() works

    def to_frame(self):
        """Return the matrix with sums, UA and PA in per cent, as papers print it; OA in the corner."""
        frame = pd.DataFrame(self.array, index=self.classes, columns=self.classes)
        frame["sum"] = self.array.sum(axis=1)
        frame.loc["sum"] = [*self.array.sum(axis=0), self.n]
        frame["UA (%)"] = [*self.users * 100, np.nan]
        frame.loc["PA (%)"] = [*self.producers * 100, np.nan, self.overall * 100]
        return frame.rename_axis(index="map", columns="reference")

    def table(self):
        """Return the scores by class: one row a class, counts first, then shares of 1."""
        names = ["producers", "users", "f1", "iou", "omission", "commission"]
        table = pd.concat([getattr(self, name) for name in names], axis=1)
        table.insert(0, "reference", self.array.sum(axis=0))
        table.insert(1, "mapped", self.array.sum(axis=1))
        return table

    def figure(self, title=None, ax=None):
        """Draw the matrix as a heat table: counts, and user's and producer's accuracy beside it.

        Parameters
        ----------
        title : str, optional
            Heading.
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        matplotlib.figure.Figure
        """
        import matplotlib.pyplot as plt

        k = len(self.classes)
        if ax is None:
            fig, ax = plt.subplots(figsize=(2.6 + 0.85 * k, 1.8 + 0.6 * k), layout="constrained")
            plt.close(fig)  # the notebook shows the returned figure, once
        with np.errstate(divide="ignore", invalid="ignore"):
            share = self.array / np.nansum(self.array, axis=0)
        cells = np.full((k + 1, k + 1), np.nan)
        cells[:k, :k] = share
        image = ax.imshow(cells, cmap="cividis", vmin=0, vmax=1, aspect="auto")
        frame = self.to_frame().drop(index="sum", columns="sum").to_numpy()
        for (i, j), value in np.ndenumerate(frame):
            margin = i == k or j == k
            text = f"{value:.1f} %" if margin else f"{value:,.0f}"
            dark = not margin and share[i, j] < 0.5
            ax.text(
                j, i, "–" if np.isnan(value) else text, ha="center", va="center",
                color="white" if dark else "black", fontsize=9,
            )  # fmt: skip
        names = [str(name) for name in self.classes]
        ax.set_xticks(range(k + 1), [*names, "user's\naccuracy"], rotation=30, ha="right")
        ax.set_yticks(range(k + 1), [*names, "producer's\naccuracy"])
        ax.set(xlabel="reference", ylabel="map", title=title or "")
        ax.spines[:].set_visible(False)
        ax.figure.colorbar(image, ax=ax, label="share of the reference class")
        return ax.figure

    def __repr__(self):
        return (
            f"ConfusionMatrix (rows map, columns reference), n = {self.n:,.0f}, "
            f"overall accuracy {self.overall:.4f}, kappa {self.kappa:.4f}\n{self.to_frame()}"
        )

    def _repr_html_(self):
        counts = (slice(None, "sum"), slice(None, "sum"))
        style = self.to_frame().style.format("{:.2f}", na_rep="")
        style = style.format("{:,.0f}", na_rep="–", subset=pd.IndexSlice[counts])
        return style.set_caption(
            f"Rows map, columns reference. Overall accuracy {self.overall:.4f}, "
            f"kappa {self.kappa:.4f}, mean IoU {self.mean_iou:.4f}, n = {self.n:,.0f}"
        ).to_html()


def confusion(truth, predicted, classes=None, ignore=IGNORE):
    """Count the classes of a map against those of a reference.

    Parameters
    ----------
    truth, predicted : xarray.DataArray (y, x), array-like or pandas.Series of points
        Class codes, or class names for points. Rasters must lie on one grid. Dask-backed rasters
        are counted block by block and never loaded as a whole.
    classes : sequence of str, sequence of int, dict or list of dict, optional
        Names of the codes 0, 1, 2, ...; the codes themselves; ``{code: name}``; or
        ``[{"value": 1, "name": "urban"}, ...]``. By default what ``attrs["classes"]`` of either
        raster says, else the codes that occur.
    ignore : int, optional
        Code left out where either has it, as are NaN and the nodata value that a raster declares
        (unless `classes` lists it).

    Returns
    -------
    ConfusionMatrix
        Rows `predicted`, columns `truth`.

    Raises
    ------
    ValueError
        Different grids or lengths, values that are not class codes, a class that is not in
        `classes`, or nothing to compare.

    Examples
    --------
    >>> truth = np.array([[0, 0, 1], [1, 1, 255]], "uint8")
    >>> predicted = np.array([[0, 1, 1], [1, 1, 0]], "uint8")
    >>> confusion(truth, predicted, classes=["rest", "urban"]).array
    array([[1., 0.],
           [1., 3.]])
    """
    truth, predicted = _aligned(truth, predicted)
    if classes is None:
        found = [a.attrs.get("classes") for a in (truth, predicted) if isinstance(a, xr.DataArray)]
        classes = next((each for each in found if each is not None and len(each)), None)
    names = _class_names(classes)
    dropped = [_left_out(a, ignore, names) for a in (truth, predicted)]
    total = reduce(
        lambda a, b: a.add(b, fill_value=0),
        (_count(t, p, *dropped) for t, p in _blocks(truth, predicted)),
    )
    seen = sorted(set(total.index) | set(total.columns))
    if not seen:
        raise ValueError("nothing to compare: no place has a class in both map and reference")
    names = _named(names, seen)
    total = total.reindex(index=list(names), columns=list(names)).fillna(0)
    return ConfusionMatrix(total.to_numpy(), list(names.values()))


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
    change, Remote Sensing of Environment 148:42-57, equations 1 to 11.

    Examples
    --------
    >>> matrix = ConfusionMatrix([[97, 0, 3], [3, 279, 18], [2, 1, 97]], ["loss", "forest", "rest"])
    >>> estimate = area_adjusted(matrix, [22353, 1122543, 610228])
    >>> estimate.table["area"].round().loc["loss", ["estimate", "se"]].tolist()
    [45112.0, 10751.0]
    """
    from scipy.stats import norm

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
    z = norm.ppf(0.5 + confidence / 2)

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
    truth, predicted : as in :func:`confusion`
        Two-dimensional rasters or arrays, or points. They are loaded.
    blocks : int or array-like
        Side of square blocks in pixels, at least the distance over which errors are alike; or the
        block of each pixel or point, as an array of the same shape.
    n : int
        Number of resamples.
    seed : int
        Of the random numbers.
    classes, ignore : as in :func:`confusion`
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
    matrix = confusion(truth, predicted, classes, ignore)
    truth, predicted = _aligned(truth, predicted)
    if classes is None:
        found = [a.attrs.get("classes") for a in (truth, predicted) if isinstance(a, xr.DataArray)]
        classes = next((each for each in found if each is not None and len(each)), None)
    names = _class_names(classes)
    dropped = [_left_out(a, ignore, names) for a in (truth, predicted)]
    return matrix, dropped
