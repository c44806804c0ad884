"""Which confusion matrix can a map of this city have that errs as a published one does?"""

import numpy as np
from scipy import optimize

from toolkit import papers
from toolkit.scene import materials

# Which materials a classifier takes for which class, in standard deviations of the score: orchards
# for woodland, vegetables and fallow land for grass, greenhouses for roofs, gravel and concrete for
# each other, dark glass and ponds, parks for fields (the confusions that Gong et al. 2019, Sci.
# Bull. 64, 370, and Table 2 of `land_cover_3m` report).
ALIKE = {
    "orchard": {2: 1.6}, "fallow": {3: 1.3, 6: 1.2}, "vegetable": {3: 0.8, 5: 0.4},
    "plastic_greenhouse": {5: 2.2, 6: 0.8}, "cropland_rice": {4: 0.7, 3: 0.2},
    "cropland_maize": {2: 0.4}, "grass_wild": {1: 0.8, 2: 0.3}, "grass_park": {1: 0.4, 2: 0.4},
    "grass_dry": {6: 1.2, 1: 0.5}, "reed": {4: 0.8, 1: 0.6}, "shrub": {3: 1.2, 1: 0.5},
    "hedge": {1: 0.7, 3: 0.4}, "tree_palm": {1: 0.6}, "tree_broadleaf": {1: 0.2},
    "soil_dark": {1: 1.0, 5: 0.3}, "soil_bright": {1: 0.7, 5: 0.6}, "construction_site": {5: 1.3},
    "gravel": {5: 0.8}, "sand": {5: 0.3}, "rock": {5: 0.5, 3: 0.5},
    "asphalt": {4: 0.5, 1: 0.1}, "asphalt_old": {6: 0.3, 1: 0.4},
    "concrete_paving": {6: 0.6, 1: 0.3},
    "roof_glass": {4: 0.7}, "roof_tile_grey": {1: 0.5, 4: 0.2}, "roof_tile_red": {6: 0.4, 1: 0.3},
    "roof_rust": {6: 0.7}, "pitch_artificial": {3: 1.5}, "sports_red": {6: 1.0},
    "paving_stone": {6: 0.6}, "water_pond": {1: 1.0, 5: 0.4}, "water_river": {5: 0.3, 6: 0.3},
}  # fmt: skip
"""Material -> map class -> what is added to the score of that confusion."""


WITHIN = {"overall": 0.01, "class": 0.05}
"""How far overall accuracy, and accuracies of classes with over 3 % of the area, may depart."""

POINTS = 20_000
"""A sample of so many points should, as far as possible, stay within these limits as well."""


def _paper():
    table = papers.published("land_cover_3m")["table_2"].to_numpy(float)
    return table, np.trace(table) / table.sum(), np.diag(table) / table.sum(0), (
        np.diag(table) / table.sum(1))  # fmt: skip


def _limits(shares, rows, cols, margin, more=0.0):
    """Linear inequalities ``a @ x <= b`` on the cells of a table whose columns are given.

    `margin` is how many standard errors of a sample the table keeps inside `WITHIN`; `more` widens
    the limits of the classes. User's accuracies are linear too: hits are at most so many times the
    sum of their row.
    """
    _, overall, producers, users = _paper()
    right = (rows == cols).astype(float)
    slack = WITHIN["overall"] - margin * np.sqrt(overall * (1 - overall) / POINTS)
    a, b = [-right, right], [slack - overall, slack + overall]
    for k in np.flatnonzero(shares > 0.03):
        hit, row = ((rows == k) & (cols == k)).astype(float), (rows == k).astype(float)
        p, u = (
            WITHIN["class"] + more - margin * np.sqrt(v * (1 - v) / (POINTS * shares[k]))
            for v in (producers[k], users[k])
        )
        a += [hit, -hit, hit - (users[k] + u) * row, (users[k] - u) * row - hit]
        b += [(producers[k] + p) * shares[k], (p - producers[k]) * shares[k], 0, 0]
    return np.array(a), np.array(b)


def _feasible(shares, rows, cols, *limits):
    """Cells of some table within the limits, or None."""
    a, b = _limits(shares, rows, cols, *limits)
    here = np.unique(cols)
    sums = (cols == here[:, None]).astype(float)
    found = optimize.linprog(0 * rows, a, b, sums, shares[here], bounds=(0, 1))
    return found.x if found.status == 0 else None


def _largest(holds, low, high):
    """The largest number between two for which something holds that holds for the lower."""
    while high - low > 2e-3:
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def expected_table(shares, match="overall"):
    """Joint shares of map and truth that come closest to Table 2 of `land_cover_3m`.

    The table's columns, scaled to the city's own class shares, have another overall accuracy and
    other user's accuracies than the paper's: those depend on how much there is of each class. We
    hold the class shares exactly, the overall accuracy within one point, and producer's and user's
    accuracies of classes with more than 3 % of the area within five; among such tables we take the
    one nearest to the scaled table (Kullback-Leibler divergence). We stay as far inside these
    limits as the shares allow, since a sample of points scatters.

    Not all shares allow it: the paper's overall accuracy rests on woodland and bare land, half of
    its points, mapped at 85 and 93 %, while impervious land is mapped at 69 %. Four tenths of
    impervious land and a few per cent of woodland and bare land reach 79.3 % at most. There the
    overall accuracy is held within one point, and the others as near as that leaves them;
    `departures` says how near.

    Parameters
    ----------
    shares : array of shape (7,)
        Share of each class in the truth, summing to 1.
    match : {"overall", "columns"}
        With ``"columns"`` the scaled table itself: producer's accuracies are the paper's, and all
        of its table is found again by points drawn per class as in its Table 1.

    Returns
    -------
    numpy.ndarray
        (7, 7), rows are the map, columns the truth; the columns sum to `shares`.

    Examples
    --------
    >>> table = expected_table(np.array([0.4, 0.15, 0.1, 0.05, 0.25, 0.05, 0]))
    >>> bool(abs(np.trace(table) - 0.8124) < 0.01), departures(table)
    (True, [])
    """
    shares = np.asarray(shares, float)
    if shares.shape != (7,) or abs(shares.sum() - 1) > 1e-6 or (shares < 0).any():
        raise ValueError(f"shares are {shares}; give seven shares that sum to 1.")
    paper = _paper()[0]
    here = shares > 0
    start = np.where(np.outer(here, here), paper, 0)
    start = start / np.maximum(start.sum(0), 1e-12) * shares
    if match == "columns":
        return start
    if match != "overall":
        raise ValueError(f'match is {match!r}; choose "overall" or "columns".')
    rows, cols = np.nonzero(start + np.outer(here, here))
    first = np.maximum(start[rows, cols], 2e-5 * shares[cols])
    limits = shares, rows, cols, 2.0
    if _feasible(*limits) is None:
        # The widest margin that these shares allow; else none, and the least that it takes.
        if _feasible(shares, rows, cols, 0.2) is not None:
            margin = _largest(lambda m: _feasible(shares, rows, cols, m) is not None, 0.2, 2.0)
            limits = shares, rows, cols, margin - 0.05
        else:
            more = _largest(lambda m: _feasible(shares, rows, cols, 1.0, -m) is not None, -1, 0.0)
            limits = shares, rows, cols, 1.0, 0.002 - more
    inside, (a, b) = _feasible(*limits), _limits(*limits)
    by_class = (cols == np.flatnonzero(here)[:, None]).astype(float)
    found = optimize.minimize(
        lambda x: (100 * (x * np.log(x / first) - x + first).sum(), 100 * np.log(x / first)),
        np.clip(0.9 * inside + 0.1 * first, 1e-7, 1), jac=True, method="SLSQP",
        bounds=[(1e-7, 1)] * len(first),
        constraints=[
            {"type": "eq", "fun": lambda x: by_class @ x - shares[here], "jac": lambda _: by_class},
            {"type": "ineq", "fun": lambda x: b - a @ x, "jac": lambda _: -a},
        ],
        options={"maxiter": 300, "ftol": 1e-9},
    )  # fmt: skip
    table = np.zeros((7, 7))
    table[rows, cols] = np.clip(found.x, 0, None)
    return table / np.maximum(table.sum(0), 1e-12) * shares


def departures(table, names=None):
    """Where a table leaves Table 2 of `land_cover_3m` by more than `WITHIN` allows.

    Parameters
    ----------
    table : array of shape (7, 7)
        Counts or shares, rows are the map, columns the truth.
    names : sequence of str, optional
        Names of the classes; those of `materials.CLASSES` where left out.

    Returns
    -------
    list of str
        As ``"producer's accuracy of Impervious 0.78, 0.69 in the paper"``; empty where it holds.
    """
    names = [c["name"] for c in materials.CLASSES] if names is None else names
    table = np.asarray(table, float)
    table = table / table.sum()
    _, overall, producers, users = _paper()
    out = []
    if abs(np.trace(table) - overall) > WITHIN["overall"]:
        out.append(f"overall accuracy {np.trace(table):.3f}, {overall:.3f} in the paper")
    for k in np.flatnonzero(table.sum(0) > 0.03):
        for what, own, theirs in (
            ("producer's", table[k, k] / table[:, k].sum(), producers[k]),
            ("user's", table[k, k] / max(table[k].sum(), 1e-12), users[k]),
        ):
            if abs(own - theirs) > WITHIN["class"]:
                out.append(f"{what} accuracy of {names[k]} {own:.2f}, {theirs:.2f} in the paper")
    return out
