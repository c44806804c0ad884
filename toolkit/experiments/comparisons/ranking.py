"""Which networks are worth their cost, and are the differences between them more than chance?"""

from itertools import pairwise

import numpy as np
import pandas as pd
from scipy import stats


def pareto(table, cost="macs", score="kappa", by="task"):
    """Mark the rows that no other row beats in cost and score at once.

    Parameters
    ----------
    table : pandas.DataFrame
        One row a network and task: means over the seeds.
    cost : str
        Column of which less is better.
    score : str
        Column of which more is better.
    by : str or list of str or None
        A front for each value of these columns; None for one front of all rows.

    Returns
    -------
    pandas.Series
        bool, by the table's index: true where every row that scores more costs more, and every
        row that costs less scores less. Equal rows are both on the front; a row without cost or
        score is not.

    Raises
    ------
    KeyError
        No such column.

    Examples
    --------
    >>> table = pd.DataFrame({"macs": [1, 2, 3], "kappa": [0.5, 0.4, 0.7], "task": "roofs"})
    >>> pareto(table).tolist()
    [True, False, True]
    """
    by = [] if by is None else [by] if isinstance(by, str) else list(by)
    _columns(table, [cost, score, *by])
    front = np.zeros(len(table), bool)
    parts = table.groupby(by, sort=False).indices.values() if by else [np.arange(len(table))]
    for rows in parts:
        price, worth = (table[name].to_numpy(float)[rows] for name in (cost, score))
        # Row i is beaten if some j costs no more and scores no less, and one of the two strictly.
        no_dearer = price[None] <= price[:, None]
        no_worse = worth[None] >= worth[:, None]
        better = (price[None] < price[:, None]) | (worth[None] > worth[:, None])
        beaten = (no_dearer & no_worse & better).any(axis=1)
        front[rows] = ~beaten & np.isfinite(price) & np.isfinite(worth)
    return pd.Series(front, table.index, name="front")


def ranks(table, score="kappa", method="network", blocks=("task",), alpha=0.05):
    """Rank methods over several data sets, with the difference that chance alone may make.

    Friedman's test asks whether any method differs; Nemenyi's critical difference says how far
    apart two mean ranks must lie: CD = q * sqrt(k (k + 1) / (6 N)) for k methods and N blocks, with
    q the quantile of the studentised range over the square root of two.

    Parameters
    ----------
    table : pandas.DataFrame
        Scores; rows of the same method and block (seeds) are averaged.
    score : str
        Column of which more is better.
    method : str
        Column of what is ranked.
    blocks : str or sequence of str
        Columns whose values together are a block. Seeds of one task share its ground and are not
        independent: with ("task", "seed") the test finds differences too easily, with ("task",)
        four tasks seldom tell many networks apart. Show both.
    alpha : float
        Level of both tests.

    Returns
    -------
    pandas.DataFrame
        One row a method, best first: rank (mean over the blocks, 1 is best), score (mean), best
        and worst (rank in any block). ``attrs`` hold statistic and p (of Friedman's test), cd
        (critical difference), blocks and methods (how many), alpha, and groups: lists of methods
        between which there is no difference at this level, from the best on.

    Raises
    ------
    ValueError
        Fewer than three methods or two blocks, a method that is missing from a block, or `alpha`
        outside 0 to 1.
    KeyError
        No such column.

    References
    ----------
    Demšar (2006), Statistical comparisons of classifiers over multiple data sets. Journal of
    Machine Learning Research 7:1-30.

    Examples
    --------
    >>> table = pd.DataFrame(
    ...     {"network": list("abc") * 4, "task": list("wwwxxxyyyzzz"), "kappa": [0.9, 0.5, 0.1] * 4}
    ... )
    >>> found = ranks(table)
    >>> found["rank"].to_dict(), round(found.attrs["cd"], 2)
    ({'a': 1.0, 'b': 2.0, 'c': 3.0}, 1.66)
    """
    blocks = [blocks] if isinstance(blocks, str) else list(blocks)
    _columns(table, [score, method, *blocks])
    if not 0 < alpha < 1:
        raise ValueError(f"alpha={alpha}: give a level between 0 and 1, such as 0.05")
    wide = table.pivot_table(index=blocks, columns=method, values=score, aggfunc="mean")
    rows, columns = np.nonzero(wide.isna().to_numpy())
    if len(rows) or table[score].isna().any():
        pairs = zip(rows[:4], columns[:4], strict=True)
        some = "; ".join(f"{wide.columns[c]} in {wide.index[r]}" for r, c in pairs)
        raise ValueError(
            f"no {score} of {some or 'some rows'}: every method needs one in every block. Leave "
            "the method or the block out."
        )
    n, k = wide.shape
    if k < 3 or n < 2:
        raise ValueError(f"{k} methods in {n} blocks: ranks need three methods and two blocks")
    places = wide.rank(axis=1, ascending=False)
    test = stats.friedmanchisquare(*(wide[name] for name in wide))
    quantile = stats.studentized_range.ppf(1 - alpha, k, np.inf) / np.sqrt(2)
    critical = quantile * np.sqrt(k * (k + 1) / (6 * n))
    out = pd.DataFrame({
        "rank": places.mean(),
        "score": wide.mean(),
        "best": places.min(),
        "worst": places.max(),
    }).sort_values("rank", kind="stable")  # fmt: skip
    out.attrs = {
        "statistic": float(test.statistic),
        "p": float(test.pvalue),
        "cd": float(critical),
        "blocks": n,
        "methods": k,
        "alpha": alpha,
        "groups": _groups(out["rank"], critical),
    }
    return out


def _groups(rank, critical):
    """The longest runs of methods whose first and last mean rank are nearer than the difference."""
    values, names = rank.to_numpy(), list(rank.index)
    ends = [int(np.searchsorted(values, value + critical, side="right")) for value in values]
    runs = [(start, end) for start, end in enumerate(ends) if end - start > 1]
    first = runs[:1] + [after for before, after in pairwise(runs) if after[1] > before[1]]
    return [names[start:end] for start, end in first]


def _columns(table, names):
    missing = [name for name in names if name not in table]
    if missing:
        raise KeyError(f"the table has no column {missing[0]!r}; it has {', '.join(table)}")
