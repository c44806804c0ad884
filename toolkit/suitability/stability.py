"""How far do the judgements decide which grade a roof gets?"""

from itertools import combinations, product
from typing import NamedTuple

import numpy as np
import pandas as pd

from toolkit.suitability import judgements
from toolkit.suitability import layers as _layers
from toolkit.suitability.judgements import LIMIT, SAATY
from toolkit.suitability.roofs import zonal

TRIES = 200  # draws thrown away for each one kept, before we say that there are hardly any


class Sensitivity(NamedTuple):
    """What :func:`sensitivity` returns.

    Attributes
    ----------
    table : pandas.DataFrame
        By roof: ``grade``, ``keeps`` (share of draws with that grade) and the share of draws in
        each grade; NaN without data.
    overall : pandas.Series
        ``roofs`` with data, ``draws``, ``ever_changed`` (roofs with another grade in any draw) and
        its share ``ever_changed_share``; over draws the number of changed roofs: ``mean_changed``,
        ``low`` and ``high`` (5 and 95 %), ``most``; ``mean_changed_share``.
    weights : pandas.DataFrame
        Weights of every draw by layer, ``cr`` and ``changed``, the number of roofs.
    """

    table: pd.DataFrame
    overall: pd.Series
    weights: pd.DataFrame


def sensitivity(
    layers,
    matrix,
    roofs,
    draws=200,
    seed=0,
    breaks="equal",
    names=_layers.GRADES,
    method="column",
):
    """Count the roofs whose grade changes when judgements move a little.

    Every judgement stays, rises or falls by one step on Saaty's scale (1/9, ..., 1/2, 1, 2, ...,
    9), independently and with equal chance; a draw whose judgements contradict each other
    (CR >= 0.1) is thrown away.

    Parameters
    ----------
    layers : dict of str to xarray.DataArray
        Reclassified layers, in the order of the matrix unless it is a DataFrame with their names.
    matrix : array-like or pandas.DataFrame
        Judgements, as in `ahp`.
    roofs : geopandas.GeoDataFrame
        Polygons in the CRS of the layers.
    draws : int
        Number kept. Where there are no more combinations than that (27 for three layers, 729 for
        four), each is taken once instead.
    seed : int
        Of the random numbers.
    breaks, names
        As in `grade`. Limits by ``"quantile"`` or ``"natural"`` are those of the judgements as
        given, and stay: what was high has to reach the same score.
    method : {"column", "eigen"}
        As in `ahp`.

    Returns
    -------
    Sensitivity
        ``table``, ``overall``, ``weights``.

    Raises
    ------
    ValueError
        A matrix that `ahp` refuses, is not consistent or has another number of criteria than
        there are layers; hardly any consistent draw; and what `to_roofs` refuses.

    Notes
    -----
    One-step moves around the judgements given, as in Saaty and Vargas (1987), Uncertainty and rank
    order in the analytic hierarchy process, European Journal of Operational Research 32:107, who
    take intervals. It says nothing about errors of the layers or of the footprints.

    Examples
    --------
    >>> result = sensitivity(layers, matrix, roofs, draws=200)  # doctest: +SKIP
    >>> result.overall["ever_changed_share"]                    # doctest: +SKIP
    """
    if not (isinstance(draws, int | np.integer) and draws > 0):
        raise ValueError(f"draws={draws!r}: give a whole number above 0")
    names_of = list(matrix.index) if isinstance(matrix, pd.DataFrame) else list(layers)
    base = judgements.ahp(matrix, method, names_of)
    weights = _layers.weights_for(layers, base)
    means = zonal(layers, roofs)
    values = means[list(weights.index)].to_numpy()
    scale = _layers.scale_of(layers, weights)
    limits = _layers.grade_breaks(values @ weights.to_numpy(), breaks, len(names), scale)
    drawn, cr = _draws(base.matrix.to_numpy(), draws, seed, method)
    # columns of the matrix in the order of the layers
    drawn = pd.DataFrame(drawn, columns=base.matrix.index)[list(weights.index)]
    known = np.isfinite(values).all(axis=1)
    own = _layers.placed(values[known] @ weights.to_numpy(), limits)
    places = _layers.placed(values[known] @ drawn.to_numpy().T, limits)
    changed = (places != own[:, None]).sum(axis=0)
    found = pd.DataFrame(np.nan, roofs.index, ["keeps", *names])
    found.loc[known, "keeps"] = (places == own[:, None]).mean(axis=1)
    for code, name in enumerate(names):
        found.loc[known, name] = (places == code).mean(axis=1)
    codes = np.full(len(roofs), -1)
    codes[known] = own
    found.insert(0, "grade", pd.Categorical.from_codes(codes, list(names), ordered=True))
    ever, count = int((found["keeps"] < 1).sum()), int(known.sum())
    low, high = np.quantile(changed, [0.05, 0.95])
    overall = pd.Series(
        {
            "roofs": count,
            "draws": len(drawn),
            "ever_changed": ever,
            "ever_changed_share": ever / count,
            "mean_changed": float(changed.mean()),
            "mean_changed_share": float(changed.mean()) / count,
            "low": float(low),
            "high": float(high),
            "most": int(changed.max()),
        },
        name="sensitivity",
    )
    table = drawn.assign(cr=cr, changed=changed).rename_axis("draw")
    return Sensitivity(found, overall, table)


def _draws(matrix, draws, seed, method):
    """Weights and consistency ratios of the matrices around one."""
    pairs = list(combinations(range(len(matrix)), 2))
    at = judgements.on_scale([matrix[i, j] for i, j in pairs])
    if 3 ** len(pairs) <= draws:
        steps = np.array(list(product((-1, 0, 1), repeat=len(pairs))))
        return _kept(matrix, pairs, at, steps, method)
    rng = np.random.default_rng(seed)
    weights, ratios = [], []
    for _ in range(TRIES):
        steps = rng.integers(-1, 2, (draws, len(pairs)))
        some, cr = _kept(matrix, pairs, at, steps, method)
        weights.append(some)
        ratios.append(cr)
        if sum(map(len, ratios)) >= draws:
            return np.concatenate(weights)[:draws], np.concatenate(ratios)[:draws]
    raise ValueError(
        f"of {TRIES * draws} sets of judgements around these hardly any is consistent "
        f"(CR < {LIMIT}): judge anew, more consistently"
    )


def _kept(matrix, pairs, at, steps, method):
    """Weights and ratios of those steps that leave the judgements consistent."""
    moved = (at + steps).clip(0, len(SAATY) - 1)
    matrices = np.repeat(np.eye(len(matrix))[None], len(steps), axis=0)
    for k, (i, j) in enumerate(pairs):
        # a judgement that stays keeps its value, on the scale or not
        value = np.where(steps[:, k] == 0, matrix[i, j], np.array(SAATY)[moved[:, k]])
        matrices[:, i, j], matrices[:, j, i] = value, 1 / value
    weights, lambda_max = judgements.weigh(matrices, method)
    cr = judgements.ratio(lambda_max, len(matrix))
    good = cr < LIMIT
    return weights[good], cr[good]
