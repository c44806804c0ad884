"""How far may a printed number lie from the one that was computed?

A printed number stands for every number within half a unit of its last digit. We carry these
limits through each calculation as its worst case: the calculation is done at every corner of the
box that the inputs span, and the smallest and the largest result are kept. For sums, means, ratios
and scores, which rise or fall steadily with each input, that is exact. It is also generous:
rounding errors of a long sum cancel in practice, and we do not count on it.
"""

from dataclasses import dataclass
from functools import reduce
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

VERDICTS = ("consistent", "rounding", "inconsistent", "not recomputable")
"""From harmless to worse; the last is no judgement at all."""
TINY = 1e-9  # relative; what floating point adds to a limit


@dataclass(frozen=True)
class Range:
    """A number, or several with labels, and the limits that rounding sets.

    Attributes
    ----------
    value, low, high : float, pandas.Series or pandas.DataFrame
        The number as printed or computed, and the least and the most that it may be.
    """

    value: Any
    low: Any
    high: Any

    def map(self, function):
        """Apply a function that keeps the order of low and high, such as a choice of rows."""
        return Range(function(self.value), function(self.low), function(self.high))

    def __mul__(self, factor):
        """Change the unit: all three times a positive factor."""
        return self.map(lambda each: each * factor)


def exactly(value):
    """Return a Range without any width: a count, or a number that was not printed.

    Parameters
    ----------
    value : float, pandas.Series or pandas.DataFrame
        The number, or several.

    Returns
    -------
    Range
    """
    return Range(value, value, value)


def half_unit(text):
    """Return half a unit of the last printed digit.

    Parameters
    ----------
    text : str
        As printed.

    Returns
    -------
    float

    Examples
    --------
    >>> half_unit("0.90"), half_unit("2817"), half_unit("81.2")
    (0.005, 0.5, 0.05)
    """
    _, _, behind = str(text).partition(".")
    return 0.5 * 10.0 ** -len(behind)


def read(text, exact=False):
    """Read a printed number.

    Parameters
    ----------
    text : str
        As printed, such as ``"0.90"``.
    exact : bool
        A count, which nobody rounded.

    Returns
    -------
    Range

    Examples
    --------
    >>> read("0.90")
    Range(value=0.9, low=0.895, high=0.905)
    """
    value = float(text)
    half = 0.0 if exact else half_unit(text)
    return Range(value, value - half, value + half)


def worst(function, *inputs):
    """Carry the limits of rounding through a calculation.

    Parameters
    ----------
    function : callable
        Of as many numbers (or Series, or DataFrames) as there are inputs. It should rise or fall
        steadily with each of them.
    *inputs : Range
        An input with several numbers is moved as a whole, to all of its low or all of its high
        limits; that is right where the result at a label depends on that label alone, and for
        sums and means.

    Returns
    -------
    Range
        The result for the numbers as printed, the least and the most at the corners.

    Examples
    --------
    >>> ratio = worst(lambda a, b: a / b, read("1.0"), read("2.0"))
    >>> [float(side.round(3)) for side in (ratio.low, ratio.high)]
    [0.463, 0.538]
    """
    value = function(*(each.value for each in inputs))
    sides = product(*((each.low, each.high) for each in inputs))
    corners = [function(*corner) for corner in sides]
    return Range(value, reduce(np.fmin, corners), reduce(np.fmax, corners))


def join(**parts):
    """Put single numbers together under their names, as a Range of Series."""
    sides = ({n: getattr(r, side) for n, r in parts.items()} for side in ("value", "low", "high"))
    return Range(*(pd.Series(each, dtype=float) for each in sides))


def flat(one):
    """Return value, low and high of a Range as one-dimensional arrays, in one order."""
    return tuple(np.asarray(side, dtype=float).ravel() for side in (one.value, one.low, one.high))


def judge(published, recomputed):
    """Say whether printed numbers follow from others.

    Parameters
    ----------
    published, recomputed : Range
        As many numbers on both sides, in the same order. Cells that the paper leaves empty (NaN)
        are passed over.

    Returns
    -------
    verdict : str
        ``"consistent"``: the limits overlap. ``"rounding"``: they do not, by one unit of the last
        printed digit at most, as after truncation. ``"inconsistent"``: they are farther apart.
        The worst of all numbers counts.
    difference, allowed : float
        How far printed and recomputed are apart and how far rounding could move them, for the
        number that fits least.

    Raises
    ------
    ValueError
        Unequal counts of numbers, or nothing to compare.

    Examples
    --------
    >>> judge(read("0.98"), exactly(0.9866))[0]
    'rounding'
    >>> judge(read("0.48"), exactly(0.6129))[0]
    'inconsistent'
    """
    (a, a_low, a_high), (b, b_low, b_high) = flat(published), flat(recomputed)
    if len(a) != len(b):
        raise ValueError(f"{len(a)} published numbers and {len(b)} recomputed ones")
    there = ~np.isnan(a) & ~np.isnan(b)
    if not there.any():
        raise ValueError("nothing to compare: every number is missing on one side")
    gap = np.maximum(a_low, b_low) - np.minimum(a_high, b_high)  # negative where they overlap
    scale = TINY * np.maximum(np.abs(a), np.abs(b)).clip(1e-6)
    # Limits that only touch mean that both numbers lay on the border: that is not believable,
    # except for a number without width, which may be rounded either way.
    point = (a_high - a_low <= scale) | (b_high - b_low <= scale)
    overlap = np.where(point, gap <= scale, gap < -scale)
    unit = a_high - a_low  # one unit of the last printed digit; none for a count
    near = (gap <= unit + scale) & (unit > scale)
    grades = np.where(overlap, 0, np.where(near, 1, 2))
    allowed = (a_high - a_low) / 2 + (b_high - b_low) / 2
    at = int(np.argmax(np.where(there, np.abs(a - b) - allowed, -np.inf)))
    verdict = VERDICTS[int(grades[there].max())]
    return verdict, float(abs(a[at] - b[at])), float(allowed[at])


def common(*ranges):
    """Return what several Ranges of the same quantity have in common.

    Parameters
    ----------
    *ranges : Range
        Of one number each.

    Returns
    -------
    low, high : float
        With `low` above `high` there is nothing in common.

    Examples
    --------
    >>> common(read("0.5"), read("0.54"))
    (0.535, 0.545)
    """
    return max(float(r.low) for r in ranges), min(float(r.high) for r in ranges)
