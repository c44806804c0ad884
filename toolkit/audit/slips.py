"""Would the audit notice a slip of the pen, theirs or ours? One digit is changed, and we look."""

import re

import numpy as np
import pandas as pd

from .. import papers
from .findings import Tables
from .register import entries, finding

NUMBER = re.compile(r"\d+(\.\d+)?")


def slips(number=None, paper="all", seed=0):
    """Change one digit of a printed number, and say whether a verdict changes.

    Parameters
    ----------
    number : int, optional
        How many numbers, drawn at random from all papers asked for; all of them by default.
    paper : str
        A key of `papers.keys`, or ``"all"``.
    seed : int
        Of the draw, of the digit and of what it becomes.

    Returns
    -------
    pandas.DataFrame
        One row a slip: paper, table, row, column, printed, changed, read (whether any claim looks
        at that table, or at that number of the text), noticed (whether any verdict is another one
        than without the slip, or a check finds its input impossible), by (which claims).

    Raises
    ------
    KeyError
        No such paper; the message names the nearest.

    Notes
    -----
    Each number is changed alone, in our table of the paper. A misprint of the authors and a slip
    of ours look alike from here: to tell them apart takes the paper.

    Examples
    --------
    >>> slips(3, "roof_greening")["noticed"].dtype
    dtype('bool')
    """
    random = np.random.default_rng(seed)
    keys = papers.keys() if paper == "all" else [paper]
    texts = {key: papers.printed(key) for key in keys}
    cells = [cell for key in keys for cell in _cells(key, texts[key])]
    if number is not None and number < len(cells):
        cells = [cells[i] for i in sorted(random.choice(len(cells), number, replace=False))]
    usual = {key: _usual(key, texts[key]) for key in {cell[0] for cell in cells}}
    rows = []
    for key, table, i, j, printed in cells:
        changed = _slip(printed, random)
        cut = texts[key][table].copy()
        cut.iloc[i, j] = changed
        row, column = cut.index[i], cut.columns[j]
        row = ", ".join(map(str, row)) if isinstance(row, tuple) else str(row)
        name = f"numbers, {row}" if table == "numbers" else table
        readers = [(entry, verdict) for entry, verdict, seen in usual[key] if name in seen]
        by = _notice(key, readers, {**texts[key], table: cut})
        rows.append((key, table, row, column, printed, changed, bool(readers), bool(by), by))
    columns = ["paper", "table", "row", "column", "printed", "changed", "read", "noticed", "by"]
    return pd.DataFrame(rows, columns=columns)


def _cells(key, texts):
    """Every printed number: paper, table, position, characters."""
    for name, table in texts.items():
        columns = ["value"] if name == "numbers" else list(table)
        for column in columns:
            j = table.columns.get_loc(column)
            for i, text in enumerate(table[column]):
                if isinstance(text, str) and NUMBER.fullmatch(text):
                    yield key, name, i, j, text


def _slip(text, random):
    """One digit becomes another one."""
    at = random.choice([i for i, letter in enumerate(text) if letter.isdigit()])
    other = (int(text[at]) + random.integers(1, 10)) % 10
    return f"{text[:at]}{other}{text[at + 1 :]}"


def _usual(key, texts):
    """Each claim with its verdict without a slip and the tables that it looks at."""
    found = []
    for entry in entries(key):
        tables = Tables(texts)
        verdict = finding(key, entry, tables).verdict
        found.append((entry, verdict, tables.seen))
    return found


def _notice(key, readers, texts):
    """Which of the claims that look there come to another verdict."""
    tables, by = Tables(texts), []
    for entry, usual in readers:
        try:
            verdict = finding(key, entry, tables).verdict
        except (ValueError, ArithmeticError, LookupError):
            verdict = "impossible"
        if verdict != usual:
            by.append(entry["id"])
    return ", ".join(by)
