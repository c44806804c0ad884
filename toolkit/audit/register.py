"""The table of claims, and what each of them comes to."""

from functools import cache
from importlib import import_module
from importlib.resources import files

import pandas as pd
import yaml

from .. import papers
from . import checks
from .findings import Tables


def claims(paper="all", printed=None):
    """Recompute every claim from the printed numbers.

    Parameters
    ----------
    paper : str
        A key of `papers.keys`, or ``"all"``.
    printed : dict of dict of pandas.DataFrame, optional
        Tables by paper, as `papers.printed` returns them, to be read instead: to see what a
        changed number does.

    Returns
    -------
    pandas.DataFrame
        One row a claim, index ``id``: paper, where, statement, published and recomputed (as text),
        difference and allowed (by rounding; of the number that fits least, in its printed unit;
        NaN where the claim is not about a size), verdict, note.

    Raises
    ------
    KeyError
        No such paper; the message names the nearest.

    Notes
    -----
    Verdicts come from the numbers: ``"consistent"`` where printed and recomputed number agree
    within half a unit of the last digit of all numbers involved, in the worst case;
    ``"rounding"`` where they miss that by at most one unit of the last digit;
    ``"inconsistent"``; ``"not recomputable"`` where the paper does not print what it would take.

    Examples
    --------
    >>> found = claims("roof_greening").loc["roof_greening-levels-pct"]
    >>> found["published"], found["recomputed"], found["verdict"]
    ('45.32, 38.95, 15.73', '39.1530, 33.6493, 27.1977', 'inconsistent')
    """
    rows = []
    for key in papers.keys() if paper == "all" else [paper]:
        tables = Tables((printed or {}).get(key) or papers.printed(key))
        for entry in entries(key):
            found = finding(key, entry, tables)._asdict()
            words = {name: entry.get(name, "") for name in ("where", "statement", "note")}
            rows.append({"id": f"{key}-{entry['id']}", "paper": key, **words, **found})
    columns = ["paper", "where", "statement", "published", "recomputed", "difference", "allowed",
               "verdict", "note"]  # fmt: skip
    return pd.DataFrame(rows).set_index("id")[columns]


def entries(paper):
    """List the claims of a paper as ``claims.yaml`` has them.

    Parameters
    ----------
    paper : str
        A key of `papers.keys`.

    Returns
    -------
    list of dict
    """
    return _load()[paper]


def finding(paper, entry, tables):
    """Run the check of one claim.

    Parameters
    ----------
    paper : str
        A key of `papers.keys`.
    entry : dict
        One of `entries`: ``check`` and what it is applied to, ``of``.
    tables : Tables
        Of the paper.

    Returns
    -------
    Finding
    """
    own = import_module(f".{paper}", __package__)
    check = getattr(own, entry["check"], None) or getattr(checks, entry["check"])
    return check(tables, *entry.get("of", []))


@cache
def _load():
    text = files(__package__).joinpath("claims.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)
