"""What does a check say? Printed tables go in, a verdict with its numbers comes out."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from .rounding import VERDICTS, Range, exactly, flat, half_unit, join, judge

COUNTS = {
    "arc minutes", "chips", "cities", "classes", "continents", "GPUs", "indexes", "layers",
    "methods", "municipalities", "networks", "number of the pooling layer",
    "number of the reference", "parameters", "parts", "parts of 25", "pixels", "provinces",
    "rank", "roofs", "sample units", "sub-regions",
}  # fmt: skip
"""Units of what is counted: these numbers are not rounded."""
FEW = 8  # more numbers than this are summed up in the table of claims


class Finding(NamedTuple):
    """What a check found.

    Attributes
    ----------
    published, recomputed : str
        For the reader.
    verdict : str
        One of `rounding.VERDICTS`.
    difference, allowed : float
        Of the number that fits least, and how far rounding could move it; NaN where the claim is
        not about the size of a number.
    """

    published: str
    recomputed: str
    verdict: str
    difference: float = np.nan
    allowed: float = np.nan


class Tables:
    """The printed tables of one paper, read as Ranges.

    Parameters
    ----------
    texts : dict of pandas.DataFrame
        As `papers.printed` returns them.

    Attributes
    ----------
    seen : set of str
        Names of the tables that were asked for; of numbers in the text, ``"numbers, NAME"``.
    """

    def __init__(self, texts):
        self._texts, self._read, self.seen = texts, {}, set()

    def __call__(self, table, rows=slice(None), columns=slice(None)):
        """Return numbers of a table: one, a Series or a DataFrame, as pandas' ``loc`` would."""
        if table != "numbers":
            self.seen.add(table)
        else:
            self.seen |= {f"numbers, {name}" for name in np.atleast_1d(np.array(rows))}
        if table not in self._read:
            self._read[table] = _numbers(self._texts[table])
        return self._read[table].map(lambda each: each.loc[rows, columns])

    def number(self, *names):
        """Return a number of the running text, or several as a Range of Series."""
        found = {name: self("numbers", name, "value") for name in names}
        return found[names[0]] if len(names) == 1 else join(**found)

    def texts(self, table):
        """Return a table as printed."""
        self.seen.add(table)
        return self._texts[table]


def _numbers(texts):
    """Value, low and high of every cell; NaN for words and empty cells."""
    unit = texts.attrs.get("unit")
    if texts.index.nlevels > 1:
        texts = texts.sort_index()  # pandas finds parts of such an index only in order
    value = texts.apply(pd.to_numeric, errors="coerce").astype(float)
    half = texts.map(half_unit, na_action="ignore").astype(float)
    if unit is None:  # numbers in the text have their unit beside them
        half = half.mask(texts["unit"].isin(COUNTS), 0.0)
    for column in texts:
        if (unit.get(column) if isinstance(unit, dict) else unit) in COUNTS:
            half[column] = 0.0
    return Range(value, value - half, value + half)


def same(published, recomputed):
    """Compare printed numbers with recomputed ones.

    Parameters
    ----------
    published, recomputed : Range
        `recomputed` may also be a plain number, Series or DataFrame: then it has no width.

    Returns
    -------
    Finding

    Examples
    --------
    >>> same(Range(0.82, 0.815, 0.825), 0.8215).verdict
    'consistent'
    """
    recomputed = recomputed if isinstance(recomputed, Range) else exactly(recomputed)
    verdict, difference, allowed = judge(published, recomputed)
    digits = _digits(published)
    return Finding(
        numbers(published, digits), numbers(recomputed, digits + 2), verdict, difference, allowed
    )


def more(found, limit, published):
    """Check "more than": every number is above a limit.

    Parameters
    ----------
    found : Range
        One number or several; empty cells are passed over.
    limit : Range or float
        A plain number is meant exactly.
    published : str
        The claim in words.

    Returns
    -------
    Finding
        "rounding" where a number is not above the limit as printed, and could be before rounding.
    """
    limit = limit if isinstance(limit, Range) else exactly(limit)
    value, _, high = flat(found)
    bound, bound_low, _ = flat(limit)
    missing = np.isnan(value)
    above, could = (value > bound) | missing, (high > bound_low) | missing
    verdict = VERDICTS[0 if above.all() else 1 if could.all() else 2]
    at = int(np.nanargmin(value - bound))
    against = (bound + 0 * value)[at]
    text = f"{numbers(exactly(value[at]), 4)} against {numbers(exactly(against), 4)}"
    return Finding(published, text if len(value) == 1 else f"least lead: {text}", verdict)


def holds(published, truth, recomputed=""):
    """Check a statement that is true or not: an order, a count of names, a word."""
    return Finding(published, str(recomputed), VERDICTS[0 if truth else 2])


def unknown(published, missing, recomputed=""):
    """Say that a number cannot be recomputed, what is missing, and what comes nearest."""
    near = f"{recomputed}; " if recomputed else ""
    return Finding(published, f"{near}missing: {missing}", VERDICTS[3])


def both(*findings, published=None, recomputed=None):
    """Join checks of one claim: the worst verdict counts, and the numbers of the check it is of."""
    worst = max(findings, key=lambda each: VERDICTS.index(each.verdict))
    return worst._replace(
        published=published or "; ".join(dict.fromkeys(f.published for f in findings)),
        recomputed=recomputed or "; ".join(dict.fromkeys(f.recomputed for f in findings)),
    )


def _digits(printed):
    """How many digits behind the point a printed number shows."""
    _, low, high = flat(printed)
    width = (high - low)[np.isfinite(high - low)]
    width = width[width > 0]
    return round(-np.log10(width.min())) if width.size and width.min() < 1 else 0


def numbers(these, digits=2):
    """Write numbers for a reader, few of them one by one.

    Parameters
    ----------
    these : Range
        One number or several; empty cells are left out.
    digits : int
        Behind the point, at most.

    Returns
    -------
    str

    Examples
    --------
    >>> numbers(exactly(0.61294), 4), numbers(exactly(13237.0), 2)
    ('0.6129', '13,237')
    """
    value = flat(these)[0]
    value = value[~np.isnan(value)]
    if len(value) > FEW:
        return (
            f"{len(value)} numbers, {_write(value.min(), digits)} to {_write(value.max(), digits)}"
        )
    return ", ".join(_write(each, digits) for each in value)


def _write(number, digits):
    text = f"{number:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if float(number).is_integer() and digits else text


def span(low, high, digits=3):
    """Write an interval for a reader."""
    return f"{low:,.{digits}f} to {high:,.{digits}f}"
