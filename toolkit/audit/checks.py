"""Checks that claims of several papers share: they read printed tables and return a Finding.

An address is a list of table, rows and columns, such as ``["table_2", "IFCN", "kappa"]``; a number
of the running text is ``["numbers", "kappa", "value"]``.
"""

import pandas as pd

from . import arithmetic as sums
from .findings import both, holds, same, unknown
from .rounding import exactly, worst

COUNTS, SCORES = ["TP", "FP", "FN"], ["precision", "recall", "F1"]


def repeats(tables, one, other, factor=1):
    """The number of one address is that of the other, times a factor (100 from shares to %)."""
    return same(tables(*one), tables(*other) * factor)


def scores(tables, table, row, factor=1):
    """Precision, recall and F1 of a row follow from its counts."""
    return same(tables(table, row, SCORES), sums.scores(*tables(table, row, COUNTS).value) * factor)


def rows(tables, number, table, less=0):
    """A number in the text is that of a table's rows, but for some (such as the paper's own)."""
    return same(tables.number(number), float(len(tables.texts(table)) - less))


def share(tables, part, whole, percent):
    """A percentage is that of two counts: addresses of part, whole, and what is printed."""
    found = worst(lambda a, b: a / b * 100, tables(*part), tables(*whole))
    return same(tables(*percent), found)


def shares(tables, table, counts, percent, replace=None):
    """Percentages in a table are those of its counts; a count may be replaced, {row: count}."""
    found = tables(table, slice(None), counts).value.copy()
    for row, count in (replace or {}).items():
        found[row] = count
    return same(tables(table, slice(None), percent), found / found.sum() * 100)


def total(tables, addresses, whole):
    """Several numbers add up to one."""
    parts = [tables(*address).map(lambda each: pd.Series(each).sum()) for address in addresses]
    return same(tables(*whole), worst(lambda *each: sum(each), *parts))


def margins(tables, table, accuracy):
    """Row and column sums of a confusion matrix are those in its margins."""
    matrix = tables(table).value
    printed = tables(accuracy)
    finding = both(
        same(printed.map(lambda t: t["mapped"]), matrix.sum(axis=1)),
        same(printed.map(lambda t: t["reference"]), matrix.sum(axis=0)),
    )
    text = f"{matrix.sum().sum():,.0f} sample units"
    return finding._replace(published=text, recomputed=text)


def users(tables, table, accuracy):
    """User's accuracies in the margin are diagonal by row sum."""
    return same(tables(accuracy, slice(None), "UA"), sums.matrix(tables(table).value).users * 100)


def producers(tables, table, accuracy):
    """Producer's accuracies in the margin are diagonal by column sum."""
    found = sums.matrix(tables(table).value).producers * 100
    return same(tables(accuracy, slice(None), "PA"), found)


def overall(tables, table, number):
    """Overall accuracy is the diagonal by all."""
    return same(tables.number(number), sums.matrix(tables(table).value).overall * 100)


def kappa_of(tables, table):
    """What kappa would be; nothing to compare it with."""
    kappa = sums.matrix(tables(table).value).kappa
    return unknown("not printed", "a printed kappa", f"{kappa:.4f}")


def column_best(tables, table, marked):
    """What the paper marks as best in each column is the largest there."""
    cells = tables(table).value
    best = tables.texts(marked)["model"]
    wrong = [name for name in cells if cells.loc[best[name], name] < cells[name].max()]
    return holds(f"{len(best)} marks", not wrong, f"{len(wrong)} not the largest of their column")


def sums_to_one(tables, table, column):
    """Weights add up to one."""
    cells = tables(table, slice(None), column)
    found = worst(lambda s: s.sum(), cells)
    finding = same(exactly(1.0), found)
    return finding._replace(published="1", recomputed=f"{found.value:.4f}")


def not_printed(tables, published, missing, recomputed=""):
    """A statement that no printed number can test."""
    return unknown(published, missing, recomputed)
