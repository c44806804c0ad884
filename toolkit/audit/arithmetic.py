"""Which published numbers follow from which? The formulas, over plain numbers or pandas tables."""

from functools import lru_cache
from itertools import product

import numpy as np
import pandas as pd

from ..accuracy import ConfusionMatrix
from ..suitability import SAATY
from ..suitability.judgements import weigh

UPPER = np.triu_indices(4, 1)  # where judgements in pairs stand in a matrix; the rest is reciprocal


def scores(tp, fp, fn):
    """Return precision, recall and F1 of counts, as a Series of shares of 1.

    Examples
    --------
    >>> scores(12625, 2744, 612).round(4).tolist()
    [0.8215, 0.9538, 0.8827]
    """
    matrix = ConfusionMatrix.from_counts(tp, fp, fn)
    each = {"precision": matrix.users, "recall": matrix.producers, "F1": matrix.f1}
    return pd.Series({name: series["positive"] for name, series in each.items()})


def matrix(counts):
    """Return the ConfusionMatrix of a printed table: rows the map, columns the reference."""
    return ConfusionMatrix(counts)


def kappa(tp, fp, fn, n):
    """Return Cohen's kappa of a two-class matrix of n pixels."""
    return ConfusionMatrix.from_counts(tp, fp, fn, n - tp - fp - fn).kappa


def pixels(tp, fp, fn, kappa):
    """Return how many pixels there must be for counts to have this kappa.

    Kappa is 2 (TP TN - FP FN) / (a + b TN) with a = (TP + FP) FP + (TP + FN) FN and
    b = 2 TP + FP + FN; solved for TN.

    Parameters
    ----------
    tp, fp, fn : float
        Counts.
    kappa : float
        Cohen's kappa.

    Returns
    -------
    float
        Infinity where kappa is above F1, its limit for ever more true negatives.

    Examples
    --------
    >>> round(pixels(11933, 12927, 1304, 0.48))
    61339
    """
    a = (tp + fp) * fp + (tp + fn) * fn
    room = 2 * tp - kappa * (2 * tp + fp + fn)
    return tp + fp + fn + (kappa * a + 2 * fp * fn) / room if room > 0 else np.inf


def f1(precision, recall):
    """Return the harmonic mean of precision and recall."""
    return 2 * precision * recall / (precision + recall)


def precision_of(f1, recall):
    """Return the precision that gives this F1 with this recall."""
    return f1 * recall / (2 * recall - f1)


def implied_share(average, recall, precision):
    """Return the share of the positive class that three scores of one map fix.

    Average accuracy A and recall R give the share of the other points that are right,
    S = 2 A - R. Of all positives the map finds R; what it adds wrongly is (1 - S) of the rest;
    precision P then leaves one share p = (1 - S) P / ((1 - S) P + (1 - P) R).

    Parameters
    ----------
    average, recall, precision : float, pandas.Series or pandas.DataFrame
        Shares of 1.

    Returns
    -------
    float, pandas.Series or pandas.DataFrame
        Share of 1.

    Examples
    --------
    >>> round(implied_share(0.876, 0.936, 1 - 0.174), 3)  # sen2hse, Table 3, Beijing
    0.483
    """
    wrong = 1 - (2 * average - recall)
    return wrong * precision / (wrong * precision + (1 - precision) * recall)


def implied_kappa(average, recall, precision):
    """Return the kappa that average accuracy, recall and precision of one map fix.

    Examples
    --------
    >>> round(implied_kappa(0.876, 0.936, 1 - 0.174), 2)  # printed: 0.75
    0.75
    """
    share, right = implied_share(average, recall, precision), 2 * average - recall
    overall = share * recall + (1 - share) * right
    mapped = share * recall + (1 - share) * (1 - right)
    chance = share * mapped + (1 - share) * (1 - mapped)
    return (overall - chance) / (1 - chance)


def possible_shares(overall, mean_iou, steps=500):
    """Return the shares of the rarer of two classes for which two scores are both possible.

    Errors are misses or false alarms. For each share all ways of dividing them are tried; the
    mean IoU then spans an interval, which must hold the given one.

    Parameters
    ----------
    overall, mean_iou : float
        Shares of 1.
    steps : int
        How finely shares from 0 to 0.5 are tried.

    Returns
    -------
    low, high : float
        NaN where no share is possible.

    Examples
    --------
    >>> [round(x, 2) for x in possible_shares(0.9799, 0.9175)]  # ifcn, Table 1, IFCN
    [0.12, 0.14]
    """
    share = np.linspace(0.5 / steps, 0.5, steps)
    missed = np.linspace(0, 1 - overall, 60)[:, None]
    false = 1 - overall - missed
    hits = share - missed
    iou = (hits / (share + false) + (1 - share - false) / (1 - share + missed)) / 2
    low = np.where(hits >= 0, iou, np.inf).min(0)
    high = np.where(hits >= 0, iou, -np.inf).max(0)
    possible = share[(low <= mean_iou) & (mean_iou <= high)]
    return (float(possible.min()), float(possible.max())) if possible.size else (np.nan, np.nan)


def mean_and_weighted_iou(overall, average, share):
    """Return mean IoU and frequency-weighted IoU that two scores and a class share fix.

    Overall and average accuracy fix how much of each of the two classes is missed.

    Parameters
    ----------
    overall, average : float
        Overall accuracy and mean of the two producer's accuracies, shares of 1.
    share : float or array
        Share of the first class.

    Returns
    -------
    mean_iou, weighted_iou : float or array

    Examples
    --------
    >>> [round(x, 3) for x in mean_and_weighted_iou(0.9948, 0.9892, 0.12)]  # ifcn, 3.3
    [0.976, 0.99]
    """
    both = 2 * (1 - average)
    missed = ((1 - overall) - (1 - share) * both) / (2 * share - 1)
    rest = both - missed
    first = share * (1 - missed) / (share + (1 - share) * rest)
    second = (1 - share) * (1 - rest) / (1 - share + share * missed)
    return (first + second) / 2, share * first + (1 - share) * second


def hits(percent, n):
    """Return the nearest whole number of hits of n that a percentage stands for."""
    return np.round(np.asarray(percent, dtype=float) / 100 * n)


def consistency(lambda_max, n):
    """Return the consistency index (lambda_max - n) / (n - 1) of judgements in pairs."""
    return (lambda_max - n) / (n - 1)


@lru_cache
def judgements(weights, tolerance):
    """Search all matrices of judgements of four criteria for those with given weights.

    Parameters
    ----------
    weights : tuple of four floats
        As `suitability.ahp` gives them with ``method="column"``: the columns divided by their
        sums, and each row averaged.
    tolerance : float
        How far each weight may be off.

    Returns
    -------
    numpy.ndarray (n, 4, 4)
        Those of the 24,137,569 matrices of Saaty's scale (17 values for each of six pairs).

    Notes
    -----
    The search takes a second or two and is done once for the same weights.

    Examples
    --------
    >>> found = judgements((0.3763, 0.3207, 0.1881, 0.1149), 0.00005)
    >>> len(found), found[0][0].tolist()
    (1, [1.0, 1.0, 2.0, 4.0])
    """
    wanted, found = np.array(weights), []
    # The other five judgements of all matrices; the first is taken one value after another.
    b, c, d, e, f = (axis.ravel() for axis in np.meshgrid(*[np.array(SAATY)] * 5, indexing="ij"))
    sums = 1 + 1 / b + 1 / c, 1 + 1 / d + 1 / e, b + d + 1 + 1 / f, c + e + f + 1
    for a in SAATY:
        columns = sums[0] + 1 / a, sums[1] + a, sums[2], sums[3]
        first = (1 / columns[0] + a / columns[1] + b / columns[2] + c / columns[3]) / 4
        at = np.flatnonzero(np.abs(first - wanted[0]) <= tolerance)
        upper = np.stack([np.full(len(at), a), *(judged[at] for judged in (b, c, d, e, f))], 1)
        matrices = np.ones((len(at), 4, 4))
        matrices[(slice(None), *UPPER)] = upper
        matrices[(slice(None), *UPPER[::-1])] = 1 / upper
        far = np.abs(weigh(matrices, "column")[0] - wanted).max(axis=1)
        found.append(matrices[far <= tolerance])
    return np.concatenate(found)


def orders(fits):
    """List the orders in which things can be put into places that they fit.

    Parameters
    ----------
    fits : pandas.DataFrame of bool
        Whether the thing of a row fits the place of a column.

    Returns
    -------
    list of dict
        Each leads from every thing to a place of its own.

    Examples
    --------
    >>> table = pd.DataFrame([[True, True], [True, False]], ["a", "b"], ["first", "second"])
    >>> orders(table)
    [{'b': 'first', 'a': 'second'}]
    """
    if fits.empty:
        return [{}]
    thing = fits.sum(axis=1).idxmin()  # the pickiest first: few branches
    places = fits.columns[fits.loc[thing]]
    return [
        {thing: place, **rest}
        for place in places
        for rest in orders(fits.drop(index=thing, columns=place))
    ]


def pairs_meet(one, other):
    """Say for each pair of intervals whether they meet.

    Parameters
    ----------
    one, other : Range of Series
        Low and high limits under their names.

    Returns
    -------
    pandas.DataFrame of bool
        Rows as `one`, columns as `other`.
    """
    pairs = product(one.value.index, other.value.index)
    met = [one.low[i] <= other.high[j] and other.low[j] <= one.high[i] for i, j in pairs]
    shape = (len(one.value), len(other.value))
    return pd.DataFrame(np.reshape(met, shape), one.value.index, other.value.index)
