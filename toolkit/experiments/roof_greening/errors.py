"""How far does the error of each link travel, up to the grades?"""

import pandas as pd

from toolkit import buildings
from toolkit.experiments.roof_greening import chain

GRADES = ("low", "medium", "high")
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
    here = truth[truth.representative_point().within(within)]
    reference = fates(here, next(iter(rated.values())))
    rows = {}
    for name, layer in rated.items():
        own = layer[layer.representative_point().within(within)]
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


def variants(place, layers_of, footprints, kinds, weights, limits="equal", links=None):
    """Run the end of the chain once for each of `LINKS`.

    Parameters
    ----------
    place : Ground
        See `places.ground`.
    layers_of : callable
        ``layers_of(footprints, temperature)`` gives the scaled layers of a layer of buildings.
    footprints : dict of str to geopandas.GeoDataFrame
        "truth", "network" and "corrected", from `chain.low`.
    kinds : dict of str to pandas.Series
        By the same names, kind by building from the forest.
    weights : AHP
        See `chain.weights`.
    limits : str
        Between the grades.
    links : dict, optional
        Instead of `LINKS`.

    Returns
    -------
    dict of str to geopandas.GeoDataFrame
        From `chain.rate`.
    """
    out, known = {}, {}
    for name, link in (links or LINKS).items():
        own, heat = link["footprints"], link["temperature"]
        if (own, heat) not in known:
            known[own, heat] = layers_of(footprints[own], heat)
        layer = footprints[own]
        kind = kinds[own] if link["kinds"] == "forest" else chain.interpreted(layer, place.truth)
        out[name] = chain.rate(layer.assign(kind=kind), known[own, heat], weights, limits)
    return out
