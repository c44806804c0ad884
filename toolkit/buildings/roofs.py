"""Which roofs are unsuitable for greening, by what they look like?"""

from typing import NamedTuple

import geopandas as gpd
import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.inspection import permutation_importance

from toolkit.accuracy import ConfusionMatrix, bootstrap, confusion

KINDS = ("suitable", "irregular shape", "material mismatch", "sloping roof")
"""Roofs after Table 2 of the paper: what it removes, and the rest."""


class Roofs(NamedTuple):
    """What :func:`classify_roofs` returns."""

    objects: gpd.GeoDataFrame
    roofs: pd.DataFrame
    matrix: ConfusionMatrix
    object_matrix: ConfusionMatrix
    scores: pd.DataFrame
    importance: pd.DataFrame
    forest: RandomForestClassifier


def classify_roofs(
    features, labels, trees=500, samples=342, seed=0, repeats=10, features_used=None
):
    """Tell the kinds of roofs apart with a random forest trained on few of them.

    Whole buildings are kept for training or for testing, so that no roof is scored by a forest
    that saw another part of it. Training buildings are drawn kind by kind in turn, so that rare
    kinds are among them, until they hold `samples` objects; half of the buildings of each kind
    are never drawn, so that every kind is tested.

    Parameters
    ----------
    features : geopandas.GeoDataFrame
        From `roof_features`: a row for each object, with the column ``building``.
    labels : pandas.Series or dict
        Kind of roof by building, such as `KINDS`. Buildings without a label (or NaN) are
        classified and not scored.
    trees : int
        Trees of the forest.
    samples : int
        Objects to train on; 342 in the paper.
    seed : int
        Of the drawing, the forest, the permutations and the bootstrap.
    repeats : int
        Permutations of each feature.
    features_used : sequence of str, optional
        By default all that ``features.attrs["features"]`` lists.

    Returns
    -------
    Roofs
        ``objects``: `features` with ``kind``, ``certainty`` (share of the forest's votes) and
        ``part`` ("train", "test" or "unlabelled"). ``roofs``: by building, the kind that covers
        most of it by votes weighted with area, ``certainty``, ``truth`` and ``part``.
        ``matrix``: ConfusionMatrix of held-out roofs; ``object_matrix``: of their objects.
        ``scores``: of held-out roofs with bootstrap intervals, see
        `toolkit.accuracy.bootstrap`. ``importance``: by feature, the loss of held-out object
        accuracy when its values are shuffled, ``importance`` and ``std``, greatest first.
        ``forest``: the fitted scikit-learn classifier.

    Raises
    ------
    ValueError, KeyError
        No label for any building, one kind only, too few labelled buildings to hold any out, a
        feature that is not there.

    Notes
    -----
    Luo et al. (2022), section 2.4.1, trained on 342 building vectors that are not suitable and give
    neither classifier nor test set. Random forest: Breiman (2001), Machine Learning 45:5-32;
    importance by permutation: section 10 there.

    Examples
    --------
    >>> result = classify_roofs(features, kinds)              # doctest: +SKIP
    >>> result.matrix.overall, result.matrix.kappa            # doctest: +SKIP
    >>> buildings.join(result.roofs)                          # doctest: +SKIP
    """
    if "building" not in features:
        raise KeyError("features: there is no column 'building'; make them with roof_features")
    used = list(features.attrs.get("features", []) if features_used is None else features_used)
    if not used or (missing := [name for name in used if name not in features]):
        raise KeyError(f"features: no column {missing if used else 'named'}; pass features_used=")
    labels = pd.Series(labels).dropna()
    if not labels.index.is_unique:
        raise ValueError("labels: a building occurs twice; give one kind to each")
    if not set(features["building"]) & set(labels.index):
        raise ValueError(
            "labels: none belongs to a building of the features. They are looked up by the label "
            f"of the building, such as {features['building'].iloc[0]!r}."
        )
    features = features.reset_index(drop=True)
    truth = features["building"].map(labels)
    rng = np.random.default_rng(seed)
    train = _drawn(features["building"], truth, samples, rng)
    seen = features["building"].isin(features["building"][train]).to_numpy()
    test = truth.notna().to_numpy() & ~seen
    if truth[train].nunique() < 2 or not test.any():
        raise ValueError(
            f"{truth.nunique()} kind(s) in {truth.notna().sum()} labelled objects, {train.sum()} "
            f"of them for training and {test.sum()} to test: label more buildings, of two kinds "
            "or more, or train on fewer with samples="
        )
    x = features[used].astype(float).replace([np.inf, -np.inf], np.nan)
    forest = RandomForestClassifier(trees, random_state=seed, n_jobs=-1)
    forest.fit(x[train], truth[train].astype(str))
    votes = forest.predict_proba(x)
    objects = features.copy()
    objects["kind"] = forest.classes_[votes.argmax(axis=1)]
    objects["certainty"] = votes.max(axis=1)
    objects["part"] = np.select([seen, test], ["train", "test"], "unlabelled")
    objects.attrs = dict(features.attrs)
    roofs = _by_building(features, votes, forest.classes_, truth, objects["part"])
    kinds = sorted({*forest.classes_, *truth.dropna().astype(str)}, key=_order)
    held = roofs[roofs["part"] == "test"]
    matrix = confusion(held["truth"], held["kind"], kinds)
    object_matrix = confusion(truth[test].astype(str), objects["kind"][test], kinds)
    scores = bootstrap(held["truth"], held["kind"], np.arange(len(held)), seed=seed, classes=kinds)
    shuffled = permutation_importance(
        forest, x[test], truth[test].astype(str), n_repeats=repeats, random_state=seed, n_jobs=1
    )
    importance = pd.DataFrame(
        {"importance": shuffled.importances_mean, "std": shuffled.importances_std},
        index=pd.Index(used, name="feature"),
    ).sort_values("importance", ascending=False, kind="stable")
    return Roofs(objects, roofs, matrix, object_matrix, scores, importance, forest)


def _order(kind):
    return (KINDS.index(kind), "") if kind in KINDS else (len(KINDS), kind)


def _drawn(building, truth, samples, rng):
    """Objects to train on: whole buildings, kind by kind in turn, until there are enough."""
    known = pd.DataFrame({"building": building, "kind": truth}).dropna()
    sizes = known.groupby("building").size()
    kinds = known.drop_duplicates("building").set_index("building")["kind"]
    queues = [rng.permutation(kinds.index[kinds == kind]) for kind in sorted(kinds.unique())]
    # Half of each kind stays for the test: drawn in turn, rare kinds would all go into training.
    queues = [queue[: (len(queue) + 1) // 2] for queue in queues]
    turns = max(map(len, queues), default=0)
    order = [queue[i] for i in range(turns) for queue in queues if i < len(queue)]
    total = np.cumsum(sizes.reindex(order).to_numpy())
    chosen = order[: int(np.searchsorted(total, samples)) + 1]
    train = building.isin(chosen).to_numpy() & truth.notna().to_numpy()
    surplus = train.sum() - samples
    if surplus > 0:  # of the last building
        train[np.flatnonzero(train & (building == chosen[-1]).to_numpy())[-surplus:]] = False
    return train


def _by_building(features, votes, classes, truth, part):
    """The kind of each building: votes of its objects, weighted with their area."""
    weighted = pd.DataFrame(votes * features[["pixels"]].to_numpy(), columns=classes)
    total = weighted.groupby(features["building"], sort=False).sum()
    share = total.div(total.sum(axis=1), axis=0)
    first = ~features["building"].duplicated()
    about = pd.DataFrame({"truth": truth, "part": part})[first].set_index(
        features["building"][first]
    )
    return pd.DataFrame(
        {
            "kind": share.idxmax(axis=1),
            "certainty": share.max(axis=1),
            "truth": about["truth"],
            "part": about["part"],
        }
    )
