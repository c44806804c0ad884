"""How do judgements in pairs become weights, and do they agree with each other?

The Analytic Hierarchy Process (Saaty 1980, The Analytic Hierarchy Process, McGraw-Hill).
"""

import warnings
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from toolkit import _checks

LIMIT = 0.1
"""Consistency ratio from which judgements contradict each other too much (roof_greening 2.4.2)."""
SAATY = tuple(1 / k for k in range(9, 1, -1)) + tuple(float(k) for k in range(1, 10))
"""The 17 values of Saaty's scale, from 1/9 over 1 (equal) to 9 (extremely more important)."""
RANDOM_INDEX = {
    1: 0.0, 2: 0.0, 3: 0.52, 4: 0.89, 5: 1.12, 6: 1.26, 7: 1.36, 8: 1.41, 9: 1.46, 10: 1.49,
}  # fmt: skip
"""Mean CI of random matrices by order: 3 to 7 from roof_greening, Table 4."""
ROUNDED = 0.03  # 1/3 written as 0.33, 1/6 as 0.17: their products with 3 and 6 are 0.99 and 1.02


class AHP(NamedTuple):
    """What :func:`ahp` returns.

    Attributes
    ----------
    weights : pandas.Series
        By criterion, sum 1.
    lambda_max : float
        Principal eigenvalue; the number of criteria if all judgements agree.
    ci, ri, cr : float
        Consistency index, random index, and their ratio.
    matrix : pandas.DataFrame
        The judgements, exactly reciprocal.
    method : str
    worst : dict or None
        The judgement that fits least: ``pair``, its ``value``, the value on Saaty's scale that
        would ``fit`` and the ``cr`` after it; None where nothing can be mended.
    """

    weights: pd.Series
    lambda_max: float
    ci: float
    ri: float
    cr: float
    matrix: pd.DataFrame
    method: str
    worst: dict | None

    @property
    def consistent(self):
        """Whether the consistency ratio is below 0.1."""
        return self.cr < LIMIT

    @property
    def advice(self):
        """One sentence for the person who judged."""
        if self.consistent:
            return f"The judgements agree: CR is {self.cr:.3f}, below {LIMIT}."
        if self.worst is None:
            return f"CR is {self.cr:.3f}, {LIMIT} or more, and no single change lowers it."
        a, b = self.worst["pair"]
        fit, after = written(self.worst["fit"]), self.worst["cr"]
        text = (
            f"The judgements contradict each other: CR is {self.cr:.3f}, {LIMIT} or more. The one "
            f"that fits least is {a!r} against {b!r}: {written(self.worst['value'])}. With {fit} "
            f"CR would be {after:.3f}"
        )
        if after >= LIMIT:
            text += ", still too much: then look at the next"
        if len(self.weights) == 3:
            text += ". Among three, any of the judgements may be the wrong one; this is one way out"
        return text + "."


def ahp(matrix, method="column", names=None):
    """Turn judgements in pairs into weights, and say how well they agree.

    Parameters
    ----------
    matrix : array-like (n, n) or pandas.DataFrame
        ``matrix[i, j]``: how many times more important criterion i is than criterion j. Saaty's
        scale has 1 (equal), 3 (moderately), 5 (strongly), 7 (very strongly), 9 (extremely) and
        values between; ``matrix[j, i]`` is the reciprocal, rounded to two digits at worst.
    method : {"column", "eigen"}
        ``"column"``: divide every column by its sum and take the mean of each row; lambda_max is
        the mean of (A w) / w. The published weights are these. ``"eigen"``: Saaty's principal
        eigenvector, which the paper names but did not use (differences up to 0.0009).
    names : sequence of str, optional
        Of the criteria; taken from a DataFrame, else ``"1"``, ``"2"``...

    Returns
    -------
    AHP
        CI = (lambda_max - n) / (n - 1) and CR = CI / RI (roof_greening, equations 1 and 2).

    Raises
    ------
    ValueError
        A matrix that is not square, has an entry that is missing, zero or negative, a diagonal
        other than 1, or a pair that is not reciprocal; more than ten criteria.

    Warns
    -----
    UserWarning
        CR >= 0.1, with the judgement that fits least and the value that would fit. `overlay` and
        `sensitivity` refuse such weights.

    Notes
    -----
    RI for 3 to 7 criteria is the paper's (Table 4). One or two criteria cannot contradict: RI and
    CR are 0. For 8, 9 and 10 the paper has none; 1.41, 1.46 and 1.49 continue its series. Judge
    more than ten in groups: nobody keeps more apart (Saaty and Ozdemir 2003, Mathematical and
    Computer Modelling 38:233).

    The judgement that fits least: each is left out in turn, the others say what it should be
    (eigenvector of the incomplete matrix; Harker 1987, Mathematical Modelling 9:353), and the one
    whose replacement lowers CR most is named.

    Examples
    --------
    The matrix behind the published weights (order B1, A1, B2, B3), recovered by search:

    >>> found = ahp([[1, 1, 2, 4], [1, 1, 2, 2], [1/2, 1/2, 1, 2], [1/4, 1/2, 1/2, 1]])
    >>> found.weights.round(4).tolist()
    [0.3763, 0.3207, 0.1881, 0.1149]
    >>> round(found.lambda_max, 3), round(found.ci, 3), found.ri, round(found.cr, 3)
    (4.061, 0.02, 0.89, 0.023)
    """
    _checks.choice(method, ("column", "eigen"), "method")
    values, names = _judged(matrix, names)
    weights, lambda_max = weigh(values, method)
    n = len(values)
    ri = RANDOM_INDEX[n]
    cr = float(ratio(lambda_max, n))
    ci = cr * ri
    result = AHP(
        pd.Series(weights, pd.Index(names, name="criterion"), name="weight"),
        float(lambda_max),
        ci,
        ri,
        cr,
        pd.DataFrame(values, names, names),
        method,
        _worst(values, names, method, cr),
    )
    if not result.consistent:
        warnings.warn(result.advice, stacklevel=2)
    return result


def from_judgements(judgements, names=None):
    """Write judgements, one for every pair, as a matrix.

    Parameters
    ----------
    judgements : dict of (str, str) to float
        ``{("population", "roads"): 4}``: population is four times as important as roads. Each
        pair once, either way round.
    names : sequence of str, optional
        Criteria in the order wanted; else as they appear.

    Returns
    -------
    pandas.DataFrame
        For :func:`ahp`.

    Raises
    ------
    ValueError
        A pair that is missing or given twice, a criterion against itself, a name that is not
        among `names`, a value that is not above 0.

    Examples
    --------
    >>> from_judgements({("a", "b"): 2, ("c", "a"): 4, ("b", "c"): 1 / 8}).loc["a"].tolist()
    [1.0, 2.0, 0.25]
    """
    found = list(dict.fromkeys(name for pair in judgements for name in pair))
    names = found if names is None else list(names)
    strange = [name for name in found if name not in names]
    if strange:
        raise ValueError(f"judgements name {strange}, which are not among the names {names}")
    matrix = pd.DataFrame(np.eye(len(names)), names, names)
    seen = set()
    for (a, b), value in judgements.items():
        if a == b:
            raise ValueError(f"judgement of {a!r} against itself: leave it out, it is always 1")
        if frozenset((a, b)) in seen:
            raise ValueError(f"the pair {a!r} and {b!r} is judged twice; give it once")
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"{a!r} against {b!r} is {value}: {_POSITIVE}")
        seen.add(frozenset((a, b)))
        matrix.loc[a, b], matrix.loc[b, a] = value, 1 / value
    for a, b in combinations(names, 2):
        if frozenset((a, b)) not in seen:
            raise ValueError(f"no judgement of {a!r} against {b!r}: every pair needs one")
    return matrix


_POSITIVE = (
    "a judgement is a number above 0, such as 3, or 1/3 for the reverse; "
    "1 says that both are equally important"
)


def weigh(matrices, method):
    """Weights and principal eigenvalue of one or many matrices, dims (..., n, n)."""
    if method == "column":
        weights = (matrices / matrices.sum(axis=-2, keepdims=True)).mean(axis=-1)
        return weights, ((matrices @ weights[..., None])[..., 0] / weights).mean(axis=-1)
    values, vectors = np.linalg.eig(matrices)
    first = values.real.argmax(axis=-1)[..., None]
    vector = np.take_along_axis(vectors, first[..., None], axis=-1)[..., 0].real
    lambda_max = np.take_along_axis(values.real, first, axis=-1)[..., 0]
    return vector / vector.sum(axis=-1, keepdims=True), lambda_max


def ratio(lambda_max, n):
    """Consistency ratio of an eigenvalue, or of many."""
    if n < 3:
        return np.zeros(np.shape(lambda_max))
    # never below 0, but for the last digits of the sum
    return np.maximum(lambda_max - n, 0) / (n - 1) / RANDOM_INDEX[n]


def on_scale(value):
    """Position of the nearest value of Saaty's scale, 0 to 16, by ratio."""
    return np.abs(np.log(np.asarray(value)[..., None]) - np.log(SAATY)).argmin(axis=-1)


def written(value):
    """Write a judgement as people do: 1/4, not 0.25."""
    if value >= 1 or abs(1 / value - round(1 / value)) > 0.02 / value:
        return f"{value:g}"
    return f"1/{round(1 / value)}"


def _judged(matrix, names):
    """The matrix, exactly reciprocal, and the names of its criteria."""
    if names is None and isinstance(matrix, pd.DataFrame):
        names = list(matrix.index)
        if list(matrix.columns) != names:
            raise ValueError(
                f"the matrix has rows {names} but columns {list(matrix.columns)}: "
                "give the same criteria in the same order"
            )
    try:
        values = np.asarray(matrix, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(
            "the matrix has an entry that is not a number, or rows of different length"
        ) from None
    if values.ndim != 2 or values.shape[0] != values.shape[1] or not values.size:
        raise ValueError(
            f"the matrix has shape {values.shape}: judgements in pairs need as many rows as columns"
        )
    n = len(values)
    names = [str(k + 1) for k in range(n)] if names is None else [str(name) for name in names]
    if len(names) != n or len(set(names)) != n:
        raise ValueError(f"{n} criteria need {n} different names; got {names}")
    if n not in RANDOM_INDEX:
        raise ValueError(
            f"{n} criteria: there is a random index for up to {max(RANDOM_INDEX)}. Judge them in "
            "groups, then the groups against each other, and multiply the weights."
        )
    for i, j in np.argwhere(~(np.isfinite(values) & (values > 0))):
        raise ValueError(f"{names[i]!r} against {names[j]!r} is {values[i, j]}: {_POSITIVE}")
    for i in np.flatnonzero(np.abs(np.diag(values) - 1) > 1e-9):
        raise ValueError(f"{names[i]!r} against itself is {values[i, i]:g}; it must be 1")
    off = np.abs(np.log(values * values.T))
    i, j = np.unravel_index(np.triu(off).argmax(), off.shape)
    if off[i, j] > ROUNDED:
        raise ValueError(
            f"the matrix is not reciprocal: {names[i]!r} against {names[j]!r} is "
            f"{values[i, j]:g}, but the reverse is {values[j, i]:g} and should be "
            f"{written(1 / values[i, j])}"
        )
    # the larger of both is the one written without rounding
    upper = np.where(values >= 1, values, 1 / values.T)
    exact = np.triu(upper, 1)
    exact += np.tril(1 / np.where(exact.T > 0, exact.T, 1), -1) + np.eye(n)
    return exact, names


def _worst(values, names, method, cr):
    """The judgement whose replacement by what the others imply lowers CR most."""
    n = len(values)
    if n < 3 or cr < 1e-9:
        return None
    best = None
    for i, j in combinations(range(n), 2):
        without = values.copy()
        without[[i, j], [j, i]] = 0
        without[[i, j], [i, j]] = 2  # Harker: 1 + the number of judgements missing in the row
        weights, _ = weigh(without, "eigen")
        fit = SAATY[on_scale(weights[i] / weights[j])]
        mended = values.copy()
        mended[i, j], mended[j, i] = fit, 1 / fit
        after = float(ratio(weigh(mended, method)[1], n))
        if best is None or after < best["cr"] - 1e-12:
            pair = (names[i], names[j])
            best = {"pair": pair, "value": float(values[i, j]), "fit": float(fit), "cr": after}
    return best if best["cr"] < cr - 1e-12 else None
