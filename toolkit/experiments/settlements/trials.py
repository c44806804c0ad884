"""Which experiments: networks (Table 5), split (Table 6), depth and width (Table 7), targets."""

import time

import numpy as np
import pandas as pd
import torch

from toolkit import chips, models
from toolkit._checks import choice
from toolkit.experiments.settlements import scores
from toolkit.experiments.settlements.places import BANDS, covers_of, sample


def prepared(split="corner", seed=0, **chosen):
    """Open the training cities and cut their chips.

    Parameters
    ----------
    split : {"corner", "random"}
        See `toolkit.experiments.settlements.sample`.
    seed : int
        Of a random split.
    **chosen
        From `toolkit.experiments.settlements.setting`.

    Returns
    -------
    list of Ground
        Each city in each season.
    list of GeoDataFrame
        Their chips.
    """
    grounds = scores.grounds("train", **chosen)
    tables = [sample(each, chosen["chip"], chosen["stride"], split, seed=seed) for each in grounds]
    return grounds, tables


def assess(model, grounds, cut=None):
    """Map simulated cities and score the maps, cell by cell, against truth and labels.

    Parameters
    ----------
    model : toolkit.models.Network
        Trained elsewhere.
    grounds : list of Ground
        With truth and land cover.
    cut : float, optional
        See `toolkit.experiments.settlements.class_map`.

    Returns
    -------
    pandas.DataFrame
        One row a city, then the mean of each role ("mean"): city, role, kappa, average,
        commission, recall, f1, overall, f1_labels (against imperviousness, as validation is),
        ``mapped <cover>`` (see `false_alarms`) and seconds_per_megapixel (10 m pixels, on this
        machine).
    """
    rows = []
    with torch.inference_mode():  # the first pass of a model is slow: not on the clock
        model.eval()(torch.zeros(1, len(BANDS), scores.TILE, scores.TILE))
    for place in grounds:
        begun = time.perf_counter()
        found = scores.class_map(scores.probability(model, place), cut)
        spent = time.perf_counter() - begun
        rows.append({
            "city": place.name,
            "role": place.role,
            **scores.scored(found, place.truth),
            "f1_labels": scores.scored(found, place.label)["f1"],
            **false_alarms(found, place).add_prefix("mapped "),
            "seconds_per_megapixel": spent / place.image[0].size * 1e6,
        })  # fmt: skip
    out = pd.DataFrame(rows)
    means = out.drop(columns="city").groupby("role", sort=False).mean().reset_index()
    return pd.concat([out, means.assign(city="mean")], ignore_index=True)


def false_alarms(found, place, least=100):
    """Ask which land that is no settlement is mapped as settlement.

    Parameters
    ----------
    found : xarray.DataArray
        (y, x) map, 1 settlement.
    place : Ground
        A simulated city.
    least : int
        Covers with fewer cells than this (4 ha) are left empty.

    Returns
    -------
    pandas.Series
        By land cover in lower case: the share of its cells without settlement that are mapped as
        settlement; NaN where there are too few.

    Examples
    --------
    >>> false_alarms(found, place)["bare land"]  # doctest: +SKIP
    """
    cover, names = covers_of(place)
    other = ((place.truth.values == 0) & np.isin(found.values, (0, 1))).ravel()
    by = pd.Series(found.values.ravel() == 1)[other].groupby(cover[other])
    return by.mean().where(by.size() >= least).reindex(names)


def run(
    network="Sen2HSE",
    split="corner",
    depth=2,
    filters=16,
    target="binary",
    seed=0,
    profile="quick",
    **changes,
):
    """Train one network on the five training cities, and map and score near and far ones.

    Parameters
    ----------
    network : str
        Key of `toolkit.experiments.settlements.NETWORKS`.
    split : {"corner", "random"}
        Which chips validate: the upper left of each city, or any.
    depth, filters : int
        Of Sen2HSE: convolutions per block (2 to 5) and filters of the first one (16, 32).
    target : {"binary", "fractional"}
        What is learnt: settlement or not, or the sealed share.
    seed : int
        Of first weights, order, turns, dropout and a random split.
    profile : {"smoke", "quick", "paper"}
        See `toolkit.experiments.settlements.PROFILES`.
    **changes
        See `toolkit.experiments.settlements.setting`.

    Returns
    -------
    pandas.DataFrame
        As from `assess` for all test cities, with cut ("0.5"; for fractional targets also "best
        on validation"), parameters, macs (multiply-adds of all layers per pixel of 10 m; the
        products of pairs in dual attention are not among them), epochs (run),
        best_epoch, valid_f1 and valid_kappa (of that epoch, against the labels of the validation
        chips), leak (share of their ground that training chips cover) and train_seconds.

    Examples
    --------
    >>> run(profile="smoke").groupby("role")["f1"].mean()  # doctest: +SKIP
    """
    choice(target, ("binary", "fractional"), "target")
    chosen = scores.setting(profile, network, depth=depth, filters=filters, **changes)
    grounds, tables = prepared(split, seed, **chosen)
    begun = time.perf_counter()
    learn = scores.train(network, grounds, tables, seed, target, **chosen)
    spent = time.perf_counter() - begun
    test = [each for role in ("near", "far") for each in scores.grounds(role, **chosen)]
    cuts = {"0.5": None}
    if target == "fractional":
        cuts["best on validation"] = scores.best_cut(learn.model, grounds, tables)
    out = [assess(learn.model, test, cut).assign(cut=name) for name, cut in cuts.items()]
    side = chosen["chip"]
    return pd.concat(out, ignore_index=True).assign(
        parameters=models.count_parameters(learn.model),
        macs=models.macs(learn.model, (side, side)) / side**2,
        epochs=len(learn.history),
        best_epoch=int(learn.best["epoch"]),
        valid_f1=learn.best["f1"],
        valid_kappa=learn.best["kappa"],
        leak=float(pd.concat([chips.leak(table) for table in tables]).mean()),
        train_seconds=spent,
    )
