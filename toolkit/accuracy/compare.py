"""Is one thing better than another, or is it chance?

:func:`mcnemar` compares two maps on the same ground; :func:`size_summary` and
:func:`size_class_test` compare the errors of settlements of different size.
"""

import warnings
from itertools import combinations
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from toolkit.accuracy.counting import IGNORE, _codes, _flat, _named, _prepare, _valid
from toolkit.accuracy.estimate import block_of

_FEW = 25  # discordant pairs below which the test is exact


class McNemar(NamedTuple):
    """What :func:`mcnemar` returns: `table` of right and wrong, and `test`."""

    table: pd.DataFrame
    test: pd.Series


def mcnemar(truth, a, b, blocks=None, classes=None, ignore=IGNORE, confidence=0.95):
    """Test whether two maps of the same ground differ in overall accuracy.

    Only places where one map is right and the other wrong speak about the difference.

    McNemar's test takes places as independent. Neighbouring pixels err together, so with every
    pixel of a map it is far too sure of itself. Give it check points that lie apart, as from
    :func:`grid_points`, or `blocks`.

    Parameters
    ----------
    truth, a, b : xarray.DataArray (y, x), array-like or pandas.Series of points
        Reference and the two maps, as in :func:`confusion`. They are loaded.
    blocks : int or array-like, optional
        As in :func:`bootstrap`: blocks across which errors are not alike. The places of a block
        then count as one look; 20 blocks or more make sense.
    classes, ignore
        As in :func:`confusion`. A place is left out where any of the three has no class.
    confidence : float
        Level of the interval.

    Returns
    -------
    McNemar
        ``table``: places by ``a right``, ``a wrong`` (rows) and ``b right``, ``b wrong``
        (columns). ``test``: ``n``; ``discordant``, the places where just one is right;
        ``overall_a``, ``overall_b``; ``difference`` a - b with ``low`` and ``high``;
        ``method``; ``statistic``; ``p`` (two-sided); ``blocks`` (NaN without).

    Raises
    ------
    ValueError
        Different grids or lengths, values that are no class codes, nothing to compare, fewer than
        two blocks with data, a confidence outside 0 to 1.

    Notes
    -----
    Below 25 discordant places the exact binomial test, whose statistic is the number of places
    where only a is right; else chi-square with continuity correction,
    ``(|n10 - n01| - 1)^2 / (n10 + n01)``. Foody (2004), Thematic map comparison, Photogrammetric
    Engineering & Remote Sensing 70:627-633. Interval of the difference: Bonett & Price (2012),
    adjusted Wald interval for paired proportions, Journal of Educational and Behavioral Statistics
    37:479-488.

    With `blocks`: the difference as a ratio over blocks drawn as clusters, its standard error and
    Student's t with one degree of freedom less than there are blocks. Cochran (1977), Sampling
    Techniques, section 9A.

    Examples
    --------
    >>> truth = [1] * 40
    >>> result = mcnemar(truth, [1] * 36 + [0] * 4, [1] * 24 + [0] * 12 + [1] * 4)
    >>> result.table.to_numpy().tolist()
    [[24, 12], [4, 0]]
    >>> result.test["method"], round(result.test["p"], 4)
    ('exact binomial', 0.0768)
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is a share between 0 and 1, such as 0.95; got {confidence}")
    right, block = _right(truth, a, b, blocks, classes, ignore)
    table = pd.DataFrame(
        [[int((x & y).sum()) for y in (right[1], ~right[1])] for x in (right[0], ~right[0])],
        pd.Index(["a right", "a wrong"], name="a"),
        pd.Index(["b right", "b wrong"], name="b"),
    )
    only_a, only_b, n = int(table.iat[0, 1]), int(table.iat[1, 0]), right[0].size
    test = {
        "n": n,
        "discordant": only_a + only_b,
        "overall_a": float(right[0].mean()),
        "overall_b": float(right[1].mean()),
        "difference": (only_a - only_b) / n,
    }
    if block is None:
        test |= _unblocked(only_a, only_b, n, confidence)
    else:
        test |= _blocked(right[0].astype(int) - right[1], block, confidence)
    return McNemar(table, pd.Series(test, name="mcnemar", dtype=object))


def _right(truth, a, b, blocks, classes, ignore):
    """Where each map is right, at the places where all three have a class; and their blocks."""
    truth, a, b = (_flat(m) if isinstance(m, xr.DataArray) else m for m in (truth, a, b))
    maps = {}
    for which, each in (("a", a), ("b", b)):
        try:
            pair, names, left_out = _prepare(truth, each, classes, ignore)
            maps[which] = [np.asarray(values) for values in pair], names, left_out
        except ValueError as error:
            raise ValueError(f"map {which} (here called predicted): {error}") from None
    t = maps["a"][0][0]
    keep = np.ones(t.shape, dtype=bool)
    for values, _, left_out in maps.values():
        keep &= _valid(values[0], left_out[0]) & _valid(values[1], left_out[1])
    right = []
    for which, ((_, values), names, _) in maps.items():
        try:
            true, mapped, _ = _codes(t[keep], values[keep], ([], []))
            _named(names, pd.unique(true), pd.unique(mapped))
        except ValueError as error:
            raise ValueError(f"map {which} (here called predicted): {error}") from None
        right.append(true == mapped)
    return right, None if blocks is None else block_of(t.shape, blocks)[keep]


def _unblocked(only_a, only_b, n, confidence):
    discordant = only_a + only_b
    if discordant < _FEW:
        method, statistic = "exact binomial", only_a
        p = stats.binomtest(only_a, discordant).pvalue if discordant else 1.0
    else:
        method = "chi-square, continuity-corrected"
        statistic = max(abs(only_a - only_b) - 1, 0) ** 2 / discordant
        p = stats.chi2.sf(statistic, 1)
    x, y = (only_a + 1) / (n + 2), (only_b + 1) / (n + 2)
    half = NormalDist().inv_cdf(0.5 + confidence / 2) * np.sqrt((x + y - (x - y) ** 2) / (n + 2))
    return {
        "low": float(max(x - y - half, -1)),
        "high": float(min(x - y + half, 1)),
        "method": method,
        "statistic": float(statistic),
        "p": float(p),
        "blocks": np.nan,
    }


def _blocked(gain, block, confidence):
    """Difference as a ratio over clusters: gain of a over b against places, block by block."""
    number, found = pd.factorize(block)
    if (number < 0).any():
        raise ValueError(f"{(number < 0).sum()} places have no block (NaN); leave them out first")
    if len(found) < 2:
        raise ValueError(
            f"{len(found)} block with data: the test compares blocks and needs many (20 or more). "
            "Use a smaller block, as long as errors are not alike across it."
        )
    gains, places = np.bincount(number, gain), np.bincount(number)
    difference = gains.sum() / places.sum()
    k = len(found)
    spread = ((gains - difference * places) ** 2).sum()
    se = np.sqrt(k / (k - 1) * spread) / places.sum()
    # Blocks that all differ alike leave no spread: certain, or without any difference.
    t = difference / se if se > 0 else np.inf * np.sign(difference) if difference else 0.0
    half = stats.t.ppf(0.5 + confidence / 2, k - 1) * se
    return {
        "low": float(difference - half),
        "high": float(difference + half),
        "method": "blocks as clusters, t",
        "statistic": float(t),
        "p": float(2 * stats.t.sf(abs(t), k - 1)),
        "blocks": k,
    }


def size_summary(table, by="size", measures=("SID", "TED"), classes=None, name="name"):
    """Average the shape errors of each size class, with and without the worst settlement.

    One settlement can carry a mean: without Lushui, the mean TED of the small cities of Yin et al.
    (2022), Table 3, is 18.56 % and not 39.91 %.

    Parameters
    ----------
    table : pandas.DataFrame
        A row for each settlement, as from :func:`compare_shapes`.
    by : str
        Column with the size class.
    measures : sequence of str
        Columns with errors: the larger, the worse.
    classes : sequence, optional
        The size classes to list, in this order; by default all, in order of their category or of
        appearance.
    name : str
        Column with the name of a settlement; without it the index serves.

    Returns
    -------
    pandas.DataFrame
        Index ``measure``, `by`; columns ``n`` (settlements with a value), ``undefined``
        (without), ``mean``, ``median``, ``mean_without_worst``, ``median_without_worst``,
        ``worst`` (its name, empty where none has a value) and ``worst_value``. The worst is that
        of its class and measure.

    Raises
    ------
    KeyError
        A column that is not there.
    ValueError
        No row, or no such size class.

    Examples
    --------
    >>> from toolkit import papers
    >>> summary = size_summary(papers.published("ifcn")["table_3"])
    >>> summary.loc[("TED", "small"), ["mean", "mean_without_worst"]].round(1).tolist()
    [39.9, 18.6]
    """
    groups = _size_classes(table, by, measures, classes)
    label = table[name] if name in table else table.index.to_series()
    rows = {}
    for measure in measures:
        for size, inside in groups.items():
            values = pd.Series(table.loc[inside, measure].to_numpy(dtype=float))
            names = label[inside].to_numpy()
            known = values.dropna()
            worst = known.idxmax() if len(known) else None
            rest = known.drop(worst) if len(known) else known
            rows[measure, size] = {
                "n": len(known),
                "undefined": int(values.isna().sum()),
                "mean": known.mean(),
                "median": known.median(),
                "mean_without_worst": rest.mean(),
                "median_without_worst": rest.median(),
                "worst": "" if worst is None else names[worst],
                "worst_value": np.nan if worst is None else known[worst],
            }
    summary = pd.DataFrame.from_dict(rows, orient="index")
    summary.index = summary.index.set_names(["measure", by])
    return summary


def size_class_test(
    table, by="size", measures=("SID", "TED"), classes=None, n=9999, seed=0, confidence=0.95
):
    """Test whether the shape errors of settlements depend on their size class.

    Parameters
    ----------
    table, by, measures, classes
        As in :func:`size_summary`. Settlements without a value are left out. Measures with a sign
        are tested by their size: ``|value|``.
    n : int
        Resamples of the bootstrap.
    seed : int
        Of the random numbers.
    confidence : float
        Level of the interval.

    Returns
    -------
    pandas.DataFrame
        Index ``measure``, ``comparison``: a row for each pair of classes, ``medium - small``, and
        above them, with three classes or more, one for ``all``. Columns: ``test``; ``n`` (of each
        class); ``statistic``; ``p`` (two-sided; of pairs among three classes or more multiplied by
        the number of pairs, after Bonferroni); ``effect``; ``difference`` of the means (first -
        second) with ``low`` and ``high``. ``attrs["undefined"]`` counts the values left out.

    Raises
    ------
    KeyError
        A column that is not there.
    ValueError
        Fewer than two classes, or a class with fewer than two values.

    Notes
    -----
    Pairs: Mann-Whitney U; effect is Cliff's delta, the share of pairs of settlements in which the
    first class errs more less the share in which the second does (-1 to 1). All: Kruskal-Wallis H;
    effect is epsilon squared, H / (n - 1) (0 to 1; Tomczak & Tomczak 2014). Both compare ranks, so
    one outlier does little; the means do not share this, hence their interval, BCa bootstrap
    (Efron 1987), NaN where the values do not vary.

    A large p does not say that the classes are alike: look at the interval.

    Examples
    --------
    >>> from toolkit import papers
    >>> tests = size_class_test(papers.published("ifcn")["table_3"])
    >>> tests["p"].round(3).tolist()  # shape differs between the classes, edge may not
    [0.022, 0.164]
    """
    groups = _size_classes(table, by, measures, classes)
    if len(groups) < 2:
        raise ValueError(f"one size class only, {list(groups)}: there is nothing to compare")
    rows, undefined = {}, 0
    for measure in measures:
        values = {
            size: np.abs(table.loc[inside, measure].to_numpy(dtype=float))
            for size, inside in groups.items()
        }
        undefined += sum(int(np.isnan(each).sum()) for each in values.values())
        values = {size: each[~np.isnan(each)] for size, each in values.items()}
        for size, each in values.items():
            if len(each) < 2:
                raise ValueError(
                    f"size class {size!r} has {len(each)} settlement with a {measure}; a test "
                    "needs two or more. Name the classes to compare with classes=[...]."
                )
        pairs = list(combinations(values, 2))
        if len(values) > 2:
            rows[measure, "all"] = _all_classes(list(values.values()))
        for one, other in pairs:
            row = _two_classes(values[one], values[other], n, seed, confidence)
            rows[measure, f"{one} - {other}"] = row | {"p": min(row["p"] * len(pairs), 1.0)}
    result = pd.DataFrame.from_dict(rows, orient="index")
    result.index = result.index.set_names(["measure", "comparison"])
    result.attrs["undefined"] = undefined
    return result


def _two_classes(one, other, n, seed, confidence):
    u, p = stats.mannwhitneyu(one, other)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # values that do not vary: the interval is NaN
        with np.errstate(all="ignore"):
            interval = stats.bootstrap(
                (one, other),
                lambda x, y, axis: x.mean(axis=axis) - y.mean(axis=axis),
                n_resamples=n,
                confidence_level=confidence,
                rng=np.random.default_rng(seed),
            ).confidence_interval
    return {
        "test": "Mann-Whitney U",
        "n": f"{len(one)}, {len(other)}",
        "statistic": float(u),
        "p": float(p),
        "effect": float(2 * u / (len(one) * len(other)) - 1),
        "difference": float(one.mean() - other.mean()),
        "low": float(interval.low),
        "high": float(interval.high),
    }


def _all_classes(values):
    count = sum(map(len, values))
    if len(np.unique(np.concatenate(values))) == 1:
        h, p = 0.0, 1.0  # scipy has no ranks to compare
    else:
        h, p = stats.kruskal(*values)
    return {
        "test": "Kruskal-Wallis H",
        "n": ", ".join(str(len(each)) for each in values),
        "statistic": float(h),
        "p": float(p),
        "effect": float(h / (count - 1)),
        "difference": np.nan,
        "low": np.nan,
        "high": np.nan,
    }


def _size_classes(table, by, measures, classes):
    """``{size class: rows}``, in the order asked for."""
    if isinstance(measures, str):
        raise TypeError(f"measures is a list of columns, such as [{measures!r}]")
    if missing := [each for each in (by, *measures) if each not in table]:
        raise KeyError(f"no column {missing}; the table has {list(table.columns)}")
    if not len(table):
        raise ValueError("the table has no row")
    found = table[by].dropna()
    if classes is None:
        ordered = isinstance(table[by].dtype, pd.CategoricalDtype)
        classes = found.cat.remove_unused_categories().cat.categories if ordered else found.unique()
    groups = {size: (table[by] == size).to_numpy() for size in classes}
    if empty := [size for size, rows in groups.items() if not rows.any()] or not groups:
        raise ValueError(f"no settlement of size class {empty}; {by!r} has {list(found.unique())}")
    return groups
