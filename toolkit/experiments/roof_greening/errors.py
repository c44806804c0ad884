"""How far does the error of each link travel, up to the grades?"""

import numpy as np
import pandas as pd

from toolkit import accuracy, buildings, suitability
from toolkit.experiments.roof_greening import chain
from toolkit.experiments.roof_greening.places import RADIUS, heat, inside, layers, mask
from toolkit.experiments.roof_greening.scores import pixel_scores
from toolkit.suitability.layers import GRADES

LINKS = {
    "truth": dict(footprints="truth", kinds="truth", temperature="truth"),
    "temperature from Landsat": dict(footprints="truth", kinds="truth", temperature="landsat"),
    "kinds from the forest": dict(footprints="truth", kinds="forest", temperature="truth"),
    "buildings from the network": dict(footprints="network", kinds="truth", temperature="truth"),
    "buildings, corrected": dict(footprints="corrected", kinds="truth", temperature="truth"),
    "whole chain, as predicted": dict(
        footprints="network", kinds="forest", temperature="landsat"
    ),
    "whole chain, corrected": dict(
        footprints="corrected", kinds="forest", temperature="landsat"
    ),
}  # fmt: skip
"""What each variant takes from where. The truth comes first: the others are held against it."""


def fates(truth, found, iou=0.5):
    """What becomes of each true building in a rated layer.

    Parameters
    ----------
    truth : geopandas.GeoDataFrame
        True buildings.
    found : geopandas.GeoDataFrame
        From `chain.rate`; of the truth itself or of another layer of the same ground.
    iou : float
        Least overlap at which a building is the same.

    Returns
    -------
    pandas.Series
        By true building, one of `chain.OUTCOMES`; "not found" where no building overlaps enough.
    """
    pairs = buildings.match(truth, found, iou)
    outcome = pairs.set_index("reference")["found"].map(found["outcome"].astype(object))
    outcome = outcome.reindex(truth.index).fillna("not found")
    return pd.Series(pd.Categorical(outcome, chain.OUTCOMES), truth.index, name="outcome")


def propagated(truth, rated, within):
    """Hold variants of the chain against the truth, link by link.

    Parameters
    ----------
    truth : geopandas.GeoDataFrame
        True buildings of the area.
    rated : dict of str to geopandas.GeoDataFrame
        From `variants`; the first is the reference.
    within : shapely geometry
        Ground to count on: buildings whose middle lies in it.

    Returns
    -------
    pandas.DataFrame
        By variant: ``same outcome`` (share of true buildings that come to the same end as in the
        reference), ``same grade`` (share of the roofs graded in both that keep their grade),
        ``graded roofs``, ``high roofs`` and ``high area`` (ha) of the variant, ``missed`` (share
        of the reference's high roofs that are not high here) and ``false`` (share of the high ones
        here that are no high roof of the reference).
    """
    here = inside(truth, within)
    reference = fates(here, next(iter(rated.values())))
    rows = {}
    for name, layer in rated.items():
        own = inside(layer, within)
        fate, grades = fates(here, layer), own["outcome"].isin(GRADES)
        both = reference.isin(GRADES) & fate.isin(GRADES)
        was, high = reference == "high", own["outcome"] == "high"
        hits = int((was & (fate == "high")).sum())
        rows[name] = {
            "same outcome": (fate == reference).mean(),
            "same grade": (fate == reference)[both].mean(),
            "graded roofs": int(grades.sum()),
            "high roofs": int(high.sum()),
            "high area": own.area[high].sum() / 1e4,
            "missed": 1 - hits / was.sum() if was.any() else float("nan"),
            "false": 1 - hits / high.sum() if high.any() else float("nan"),
        }
    return pd.DataFrame(rows).T


def variants(
    place,
    footprints,
    roofs,
    weights,
    within,
    limits="equal",
    links=None,
    method="split_window",
    **options,
):
    """Run the end of the chain once for each of `LINKS`.

    Parameters
    ----------
    place : Ground
        See `places.ground`.
    footprints : dict of str to geopandas.GeoDataFrame
        "truth", "network" and "corrected": all buildings of the area, from `chain.low`.
    roofs : dict of str to toolkit.buildings.Roofs
        By the same names, from `chain.roofs`; without one (None) no kind is known, and every low
        roof has the outcome "kind unknown".
    weights : AHP
        See `chain.weights`.
    within : shapely geometry
        Roofs are rated whose middle lies in it. Densities take all buildings.
    limits : str
        Between the grades.
    links : dict, optional
        Instead of `LINKS`.
    method : str
        Of the temperature, see `places.layers`.
    **options
        Of `chain.scale`.

    Returns
    -------
    dict of str to geopandas.GeoDataFrame
        From `chain.rate`.
    """
    out, known = {}, {}
    for name, link in (links or LINKS).items():
        own, warm = link["footprints"], link["temperature"]
        layer = footprints[own]
        if (own, warm) not in known:
            known[own, warm] = chain.scale(layers(place, layer, warm, method), **options)
        layer = inside(layer, within)
        if link["kinds"] == "truth":
            kind = chain.interpreted(layer, place.truth)
        else:
            kind = pd.Series(dtype=object) if roofs[own] is None else roofs[own].roofs["kind"]
        layer = layer.assign(kind=kind.reindex(layer.index))
        out[name] = chain.rate(layer, known[own, warm], weights, limits)
    return out


def roof_scores(found, footprints):
    """Score the kinds of roofs among some footprints, leaving out those that were trained on.

    Parameters
    ----------
    found : toolkit.buildings.Roofs
        From `chain.roofs`, perhaps of a larger area.
    footprints : geopandas.GeoDataFrame
        Where to score: a part of the layer that `found` was made of.

    Returns
    -------
    toolkit.accuracy.ConfusionMatrix
    pandas.DataFrame
        Scores with 95 % intervals, roofs drawn anew, see `toolkit.accuracy.bootstrap`.
    """
    held = found.roofs[(found.roofs["part"] == "test") & found.roofs.index.isin(footprints.index)]
    seen = {*held["truth"], *held["kind"]}
    kinds = [kind for kind in buildings.KINDS if kind in seen]
    args = held["truth"].astype(str), held["kind"].astype(str)
    scores = accuracy.bootstrap(*args, np.arange(len(held)), classes=kinds)
    return accuracy.confusion(*args, kinds), scores


def scorecard(place, footprints, found, rated, within):
    """Score every link of the chain on the ground that nobody sketched.

    Temperature and building density are scored on their whole grid, sketched squares included.

    Parameters
    ----------
    place : Ground
        See `places.ground`.
    footprints : dict of str to geopandas.GeoDataFrame
        "network" and "corrected", from `chain.low`.
    found : dict of str to toolkit.buildings.Roofs or None
        By the same names, from `chain.roofs`.
    rated : dict of str to geopandas.GeoDataFrame
        From `variants`.
    within : shapely geometry
        Ground to score on.

    Returns
    -------
    pandas.DataFrame
        Columns link, layer, measure and value; shares are 0 to 1.
    """
    rows = []

    def note(link, layer, **measures):
        rows.extend((link, layer, name.replace("_", " "), value)
                    for name, value in measures.items())  # fmt: skip

    truth, where = inside(place.truth, within), mask(place, within)
    for name in ("network", "corrected"):
        own = inside(footprints[name], within)
        pixel = pixel_scores(place, footprints[name], where)
        each = buildings.object_scores(truth, own)
        note("buildings", name, pixel_IoU=pixel.iou["building"], building_F1=each["f1"],
             building_recall=each["recall"], count_error=each["count_error"],
             PoLiS_m=each["polis"])  # fmt: skip
        pairs = buildings.match(truth, own)
        heights = own.loc[pairs["found"], "height"].to_numpy()
        exact = abs(heights - truth.loc[pairs["reference"], "height"].to_numpy()) < 0.1
        note("heights", name, known=own["height"].notna().mean(), right_where_matched=exact.mean())
        if found[name] is not None:
            matrix, _ = roof_scores(found[name], own)
            note("roofs", name, overall=matrix.overall, kappa=matrix.kappa)
    real = heat(place, "truth")
    for method in ("split_window", "single_channel"):
        gap = heat(place, method=method) - real
        note("temperature", method.replace("_", " "), bias_K=float(gap.mean()),
             RMSE_K=float((gap**2).mean() ** 0.5))  # fmt: skip
    right = suitability.density(place.truth, place.grid, RADIUS["buildings"])
    for name in ("network", "corrected"):
        gap = suitability.density(footprints[name], place.grid, RADIUS["buildings"]) - right
        note("building density", name, bias=float(gap.mean()),
             RMSE=float((gap**2).mean() ** 0.5))  # fmt: skip
    ends = propagated(place.truth, rated, within)
    for name, row in ends.iloc[1:].iterrows():
        note("grades", name, **{k.replace(" ", "_"): v for k, v in row.items()})
    return pd.DataFrame(rows, columns=["link", "layer", "measure", "value"])
