"""Which confusion matrix can a map of this city have that errs as a published one does?"""

import numpy as np
from scipy import optimize

from toolkit import papers

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


def expected_table(shares, match="overall", tolerance=0.035):
    """Joint shares of map and truth that come closest to Table 2 of `land_cover_3m`.

    The table's columns, scaled to the city's own class shares, have another overall accuracy and
    other user's accuracies than the paper's: those depend on how much there is of each class. No
    table of a city can match everything. We hold the class shares exactly, the overall accuracy
    within 0.1 points, which leaves room for the chance of a sample of points, then bring producer's
    and user's accuracies of classes with more than 3 % of the area within `tolerance` as far as
    that goes (squares of what is beyond), and among such tables take the one nearest to the scaled
    table (Kullback-Leibler divergence).

    The paper's overall accuracy rests on bare land: 29 % of its points, mapped at 93 %. A city has
    little of it, and much that is impervious, mapped at 69 %. With every producer's accuracy within
    5 points a city with 38 % impervious and 3 % bare land reaches at most 79.5 %, so that 81.2 %
    takes producer's accuracies of cropland and impervious land 7 to 8 points above the paper's.

    Parameters
    ----------
    shares : array of shape (7,)
        Share of each class in the truth, summing to 1.
    match : {"overall", "columns"}
        With ``"columns"`` the scaled table itself: producer's accuracies are the paper's, and all
        of its table is found again by points drawn per class as in its Table 1.
    tolerance : float
        Share of 1.

    Returns
    -------
    numpy.ndarray
        (7, 7), rows are the map, columns the truth; the columns sum to `shares`.

    Examples
    --------
    >>> table = expected_table(np.array([0.5, 0.1, 0.1, 0.05, 0.2, 0.05, 0]))
    >>> bool(abs(np.trace(table) - 0.8124) < 0.01)
    True
    """
    shares = np.asarray(shares, float)
    if shares.shape != (7,) or abs(shares.sum() - 1) > 1e-6 or (shares < 0).any():
        raise ValueError(f"shares are {shares}; give seven shares that sum to 1.")
    paper = papers.published("land_cover_3m")["table_2"].to_numpy(float)
    producers, users = np.diag(paper) / paper.sum(0), np.diag(paper) / paper.sum(1)
    overall = np.trace(paper) / paper.sum()
    lowest, highest = overall - 0.001, overall + 0.001
    here = shares > 0
    start = np.where(np.outer(here, here), paper, 0)
    start = start / np.maximum(start.sum(0), 1e-12) * shares
    if match == "columns":
        return start
    if match != "overall":
        raise ValueError(f'match is {match!r}; choose "overall" or "columns".')
    rows, cols = np.nonzero(start)
    first = start[rows, cols]
    correct = rows == cols
    common = np.flatnonzero(shares > 0.03)
    member = (rows == common[:, None]).astype(float)  # cells of a map class
    hit = member * correct

    def cost(x):
        mapped, right = member @ x, hit @ x
        gaps = (
            (right / shares[common] - producers[common], hit / shares[common][:, None]),
            (right / mapped - users[common],
             hit / mapped[:, None] - member * (right / mapped**2)[:, None]),
        )  # fmt: skip
        value, slope = (first * np.log(first / x) + x - first).sum(), 1 - first / x
        for gap, gradient in gaps:
            beyond = np.sign(gap) * np.maximum(np.abs(gap) - tolerance, 0)
            value, slope = value + 200 * (beyond**2).sum(), slope + 400 * beyond @ gradient
        return value, slope

    by_class = (cols == np.flatnonzero(here)[:, None]).astype(float)
    found = optimize.minimize(
        cost, first, jac=True, method="SLSQP", bounds=[(1e-6, 1)] * len(first),
        constraints=[
            optimize.LinearConstraint(by_class, shares[here], shares[here]),
            optimize.LinearConstraint(correct[None].astype(float), lowest, highest),
        ],
        options={"maxiter": 400, "ftol": 1e-10},
    )  # fmt: skip
    table = np.zeros((7, 7))
    table[rows, cols] = np.clip(found.x, 0, None)
    return table / np.maximum(table.sum(0), 1e-12) * shares
