"""What becomes of every roof? From footprints to grades, and how far an error travels."""

import pandas as pd

from toolkit import buildings, suitability
from toolkit.experiments.roof_greening.places import CODES, JUDGEMENTS, inside
from toolkit.suitability.layers import GRADES

OUTCOMES = (
    "not found", "height unknown", "too tall", "kind unknown", *buildings.KINDS[1:], "no data",
    *GRADES,
)  # fmt: skip
"""What can become of a roof, from the first link that stops it to the best grade."""

COLORS = dict(zip(
    OUTCOMES,
    ("#bbbbbb", "#dddddd", "#555555", "#8c510a", "#0072b2", "#56b4e9", "#e69f00", "#999999",
     "#cc79a7", "#f0e442", "#009e73"),
    strict=True,
))  # fmt: skip
"""Grades as in `toolkit.suitability`; what is not rated in others."""


def interpreted(footprints, truth, column="kind", least=0.5):
    """What an interpreter says of each footprint: the kind of the true building under most of it.

    Parameters
    ----------
    footprints, truth : geopandas.GeoDataFrame
        Of one place; `truth` with `column`.
    column : str
        What to read.
    least : float
        Share of a footprint that must lie on that building.

    Returns
    -------
    pandas.Series
        By footprint, NaN where there is no building.
    """
    buildings.layers.footprints(footprints, "footprints", like=truth)
    first, second = truth.sindex.query(footprints.geometry.values, predicate="intersects")
    common = footprints.geometry.values[first].intersection(truth.geometry.values[second]).area
    pairs = pd.DataFrame({"found": footprints.index[first], "row": truth.index[second],
                          "share": common / footprints.area.values[first]})  # fmt: skip
    best = pairs[pairs["share"] >= least].sort_values("share").groupby("found")["row"].last()
    return best.map(truth[column]).reindex(footprints.index)


def low(place, footprints, metres=45.0, storeys=15):
    """Join heights by place and say which buildings are low enough.

    Parameters
    ----------
    place : Ground
        See `places.ground`.
    footprints : geopandas.GeoDataFrame
        Buildings of the area.
    metres, storeys : float or None
        The rule, see `toolkit.buildings.low_enough`.

    Returns
    -------
    geopandas.GeoDataFrame
        The footprints with height, storeys and low_enough.
    """
    own = footprints.drop(columns=["height", "storeys", "low_enough"], errors="ignore")
    joined = buildings.join_heights(own, place.heights, statistic="max")
    return joined.assign(low_enough=buildings.low_enough(joined, metres, storeys))


def _surely_low(footprints):
    """Known to be low enough; an unknown height is not."""
    return footprints["low_enough"].fillna(False).astype(bool)


def roofs(place, footprints, within=None, seed=0, samples=342, trees=200, repeats=1):
    """Tell kinds of roofs apart by their look, on the low buildings of a layer.

    Parameters
    ----------
    place : Ground
        See `places.ground`.
    footprints : geopandas.GeoDataFrame
        From `low`.
    within : shapely geometry, optional
        Look only at roofs whose middle lies in it.
    seed : int
        Of the 342 objects that are looked at, and of the forest.
    samples, trees, repeats : int
        See `toolkit.buildings.classify_roofs`.

    Returns
    -------
    toolkit.buildings.Roofs or None
        ``roofs["kind"]`` by building, and the scores on roofs that were not trained on. None
        where fewer than two kinds have ten roofs that an interpreter could name, as on a layer of
        few and blurred outlines: there is nothing to learn from.
    """
    chosen = footprints[_surely_low(footprints)]
    if within is not None:
        chosen = inside(chosen, within)
    seen = interpreted(chosen, place.truth).dropna()
    if (seen.value_counts() >= 10).sum() < 2:
        return None
    features = buildings.roof_features(place.image, chosen)
    return buildings.classify_roofs(features, seen, trees, samples, seed, repeats)


def weights(judgements=None, method="column"):
    """Weights of the four criteria, by name; the paper's judgements where none are given."""
    judgements = JUDGEMENTS if judgements is None else judgements
    return suitability.ahp(judgements, method, list(CODES))


def scale(found, breaks="quantile", classes=5):
    """Put every layer on the scale of 1 to `classes`; higher always asks more for a roof garden.

    A layer with one value everywhere (people, where the area lies in one district) tells no place
    from another and gets the class in the middle.
    """
    out = {}
    for name, layer in found.items():
        low, high = float(layer.min()), float(layer.max())
        around = [low + i - (classes - 2) / 2 for i in range(classes - 1)]
        out[name] = suitability.reclassify(layer, breaks if low < high else around, classes)
    return out


def rate(footprints, scaled, weights, limits="equal"):
    """Grade the roofs that are low enough and of a suitable kind, and say what became of the rest.

    Parameters
    ----------
    footprints : geopandas.GeoDataFrame
        With low_enough and kind.
    scaled : dict of str to xarray.DataArray
        From `scale`.
    weights : AHP, pandas.Series or dict
        By layer.
    limits : str or sequence of float
        Between the grades, see `toolkit.suitability.grade`.

    Returns
    -------
    geopandas.GeoDataFrame
        All footprints; score, grade, part_<layer>, covered and why of the rated ones, and
        ``outcome``, one of `OUTCOMES`.
    """
    fit = _surely_low(footprints) & (footprints["kind"] == "suitable")
    if fit.any():
        rated = suitability.to_roofs(scaled, footprints[fit], weights, limits)
    else:  # nothing to grade is an answer, too
        grade = pd.Categorical([], list(GRADES), ordered=True)
        rated = footprints[fit].assign(score=[], grade=grade, why=[])
    new = rated.columns.difference(footprints.columns)
    out = footprints.join(pd.DataFrame(rated[new]))
    outcome = out["grade"].astype("object").where(out["grade"].notna(), out["kind"])
    # Suitable, but a layer is silent here: clouds, or ground of no district.
    outcome = outcome.mask(outcome == "suitable", "no data")
    outcome = outcome.mask(out["low_enough"].eq(False).fillna(False).astype(bool), "too tall")
    outcome = outcome.mask(out["low_enough"].isna(), "height unknown")
    # Fewer pixels than an object may have: nobody could say what it is.
    out["outcome"] = pd.Categorical(outcome.fillna("kind unknown"), OUTCOMES)
    out.attrs = footprints.attrs | rated.attrs
    return out
