"""The checks of ``roof_greening`` (Luo et al. 2022): judgements, weights, grades and districts."""

import numpy as np
import pandas as pd

from ..suitability.judgements import weigh
from . import arithmetic as sums
from .findings import both, holds, numbers, same, unknown
from .rounding import exactly, worst

NEAR = 0.01  # of each weight: how far the search for an eigenvector looks around


def _order(tables):
    return list(tables("section_2_4_2", slice(None), "rank").value.sort_values().index)


def matrices(tables, tolerance=None):
    """Return all matrices of judgements that give the printed weights by normalised columns.

    Parameters
    ----------
    tables : Tables
        Of ``roof_greening``.
    tolerance : float, optional
        Of each weight; half a unit of the last printed digit by default.

    Returns
    -------
    list of pandas.DataFrame
        Rows and columns are the indicators, the most important first.
    """
    order = _order(tables)
    weights = tables("table_6", order, "weight")
    half = float((weights.high - weights.low).max()) / 2 if tolerance is None else tolerance
    found = sums.judgements(tuple(weights.value), half)
    return [pd.DataFrame(each, order, order) for each in found]


def index(tables):
    """The consistency index follows from lambda_max."""
    n = len(tables.texts("table_6"))
    found = worst(lambda x: sums.consistency(x, n), tables("table_5", "lambda_max", "value"))
    return same(tables("table_5", "CI", "value"), found)


def ratio(tables):
    """The consistency ratio is CI by RI."""
    n = len(tables.texts("table_6"))
    found = worst(
        lambda x, random: sums.consistency(x, n) / random,
        tables("table_5", "lambda_max", "value"),
        tables("table_5", "RI", "value"),
    )
    return same(tables("table_5", "CR", "value"), found)


def random_index(tables):
    """RI is that of four criteria in Table 4."""
    order = len(tables.texts("table_6"))
    return same(tables("table_5", "RI", "value"), tables("table_4", order, "RI"))


def weights_order(tables):
    """The weights have the order that the text gives to the indicators."""
    order = _order(tables)
    found = list(tables("table_6", slice(None), "weight").value.sort_values().index[::-1])
    return holds(" > ".join(order), found == order, " > ".join(found))


def one_matrix(tables):
    """One matrix of judgements gives the printed weights and lambda_max."""
    found = matrices(tables)
    published = numbers(tables("table_6", _order(tables), "weight"), 4)
    if len(found) != 1:
        return holds(published, False, f"{len(found)} matrices of Saaty's scale")
    weights, lambda_max = weigh(found[0].to_numpy(), "column")
    finding = same(tables("table_5", "lambda_max", "value"), float(lambda_max))
    text = f"one matrix: {numbers(exactly(weights), 4)}, lambda_max {lambda_max:.4f}"
    return finding._replace(
        published=f"{published}, lambda_max {finding.published}", recomputed=text
    )


def eigenvector(tables):
    """The weights are the eigenvector of some matrix of judgements."""
    order = _order(tables)
    printed = tables("table_6", order, "weight")
    near = matrices(tables, NEAR)
    if not near:
        return holds(numbers(printed, 4), False, "no matrix of Saaty's scale comes near")
    weights, _ = weigh(np.stack([each.to_numpy() for each in near]), "eigen")
    best = weights[np.abs(weights - printed.value.to_numpy()).max(axis=1).argmin()]
    finding = same(printed, pd.Series(best, order))
    text = f"{numbers(exactly(best), 4)} at best, of {len(near)} matrices within {NEAR}"
    return finding._replace(recomputed=text)


def first_judgement(tables):
    """In the matrix the first indicator is judged more important than the second."""
    first, second, *_ = _order(tables)
    found = matrices(tables)
    text = ", ".join(f"{each.loc[first, second]:g}" for each in found) or "no matrix"
    truth = bool(found) and all(each.loc[first, second] > 1 for each in found)
    return holds(f"{first} > {second}", truth, f"judged {text} to 1")


def chance(tables):
    """Overall accuracy and kappa fix the agreement by chance; no matrix is printed."""
    overall, kappa = tables.number("overall").value / 100, tables.number("kappa").value
    text = f"possible with chance agreement {(overall - kappa) / (1 - kappa):.4f}"
    published = f"{overall:.2%}, {kappa}"
    return unknown(published, "a confusion matrix", text)


def districts(tables):
    """Counts of the districts add up to all suitable roofs, and their shares are those printed."""
    counts = tables("districts", slice(None), "roofs").value
    finding = same(tables("districts", slice(None), "share"), counts / counts.sum() * 100)
    total = same(tables.number("suitable"), float(counts.sum()))
    text = f"{finding.recomputed}; sum {counts.sum():,.0f}"
    return both(finding, total, published=finding.published, recomputed=text)
