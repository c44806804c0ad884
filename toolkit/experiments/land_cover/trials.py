"""Which experiments: Table 4, label quality, the filter, radiometry, pruning, and Raleigh."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pandas as pd

from toolkit import catalog, chips, models, pruning
from toolkit._checks import choice
from toolkit.chips.windows import class_shares
from toolkit.experiments.land_cover import doubts, faults, points, scores
from toolkit.experiments.land_cover.places import SOURCES, gaofen, ground, hazy, held_out, sample


def prepared(source="scene", labels="product", seed=0, scene_seed=0, network="HRNet", **changes):
    """Open a ground with labels of a kind, its chips and its held-out pixels.

    Parameters
    ----------
    source : {"scene", "raleigh"}
        See `places.ground`.
    labels : {"product", "perfect"}
        What is learnt from: the imperfect product, or (scene) the truth at the product's 10 m.
    seed : int
        Of the split.
    scene_seed : int
        Of the scene.
    network : str
        Key of `scores.NETWORKS`.
    **changes
        See `scores.setting`; also profile.

    Returns
    -------
    Ground, geopandas.GeoDataFrame, xarray.DataArray, dict
        The ground, its chips with split, where it is scored, and the setting.
    """
    choice(labels, ("product", "perfect"), "labels")
    chosen = scores.setting(changes.pop("profile", "quick"), source, network, **changes)
    place = ground(source, scene_seed)
    if labels == "perfect":
        if source != "scene":
            raise ValueError(f"labels='perfect': nobody knows the truth of {source}")
        place = relabelled(place, catalog.open("scene/land_cover", seed=scene_seed))
    table = sample(place, chosen["chip"], chosen["stride"], block=chosen["block"], seed=seed)
    return place, table, held_out(place, table, chosen["guard"]), chosen


def relabelled(place, product):
    """The same ground with other labels, brought to the image's grid by nearest neighbour."""
    label = chips.align(product, place.image)
    return replace(
        place, product=product, label=label.assign_attrs(product.attrs | {"classes": place.classes})
    )


def fitted(network, place, table, seed=0, filter=False, least=doubts.LEAST, **chosen):
    """Train once, or as the paper does: preliminary model, filter of the labels, final model.

    Parameters
    ----------
    network : str
        Key of `scores.NETWORKS`.
    place : Ground
        From `places.ground`.
    table : geopandas.GeoDataFrame
        From `places.sample`.
    seed : int
        Of both trainings.
    filter : bool
        Drop chips on which a preliminary model agrees with too few labels. The final model starts
        anew.
    least : float
        The smallest similarity that is kept.
    **chosen
        From `scores.setting`.

    Returns
    -------
    toolkit.models.Network
    geopandas.GeoDataFrame
        The chips that the network was trained on, with the filter's columns.
    """
    if filter:
        first = scores.train(network, place, table, seed, **chosen | {"epochs": chosen["first"]})
        table = doubts.drop(doubts.judge(first.model, place, table), least)
    return scores.train(network, place, table, seed, **chosen).model, table


def run(
    network="HRNet",
    norm="instance",
    labels="product",
    filter=False,
    clahe=False,
    abroad=False,
    seed=0,
    source="scene",
    scene_seed=0,
    **changes,
):
    """Train one network as a row of Table 4, and score it beside the labels it learnt from.

    Parameters
    ----------
    network : str
        Key of `scores.NETWORKS`.
    norm : {"instance", "batch"}
        HRNet's first normalisation.
    labels : {"product", "perfect"}
        See `prepared`.
    filter : bool
        See `fitted`.
    clahe : bool
        One more row: the same network with `toolkit.refine.clahe_reweight`.
    abroad : bool
        Scene only: also how it does where another day or sensor looks, see `elsewhere`.
    seed : int
        Of split, training and check points.
    source : {"scene", "raleigh"}
        See `places.ground`.
    scene_seed : int
        Of the scene.
    **changes
        See `scores.setting`; also profile.

    Returns
    -------
    pandas.DataFrame
        One row a map ("labels", "map", "map, CLAHE"): points, overall and kappa at the check
        points, PA and UA of each class there (%), overall_all (all held-out pixels), gain (over
        the labels, points of per cent) and p (McNemar) at the check points, and on the scene the
        recall and breaks per km of narrow roads and the recall of thin water. With `abroad`, the
        overall accuracies of `elsewhere`.

    Examples
    --------
    >>> run("U-Net", epochs=1)  # doctest: +SKIP
    """
    place, table, where, chosen = prepared(
        source, labels, seed, scene_seed, network, norm=norm, **changes
    )
    model, table = fitted(network, place, table, seed, filter, **chosen)
    found = scores.probability(model, place)
    sealed = SOURCES[source]["sealed"]
    maps = {"labels": place.label, "map": scores.class_map(found)}
    if clahe:
        maps["map, CLAHE"] = scores.class_map(found, True, sealed)
    out = scored(place, where, maps, seed)
    out["dropped"] = int((table["split"] == "dropped").sum())
    if abroad:
        for name, value in elsewhere(model, place, where, scene_seed).items():
            out[name] = np.where(out["map"] == "map", value, np.nan)
    return out


def elsewhere(model, place, where, scene_seed=0):
    """Map the core of the scene as other days and sensors show it.

    Parameters
    ----------
    model : toolkit.models.Network
        Trained on the scene's Planet-like image.
    place : Ground
        The scene's city.
    where : xarray.DataArray
        (y, x), true where to score: from `places.held_out`.
    scene_seed : int
        Of the scene.

    Returns
    -------
    dict of str to float
        Overall accuracy (%) on the same held-out pixels of the core: "core" (the image of the
        training), "core, hazy" (its bands times a gain, plus an offset) and "core, Gaofen-2".

    Notes
    -----
    Section 5.2 and Fig. 8 show one Gaofen-2 image by eye, of another place.
    """
    other = gaofen(place, scene_seed)
    window = {"x": other.image.x, "y": other.image.y}
    here = where.sel(window) & other.image.notnull().all("band")
    if not here.any():
        raise ValueError("no held-out ground lies in the core; choose another seed of the split")
    same = replace(other, image=place.image.sel(window))
    seen = {"core": same, "core, hazy": hazy(same), "core, Gaofen-2": other}
    maps = {name: scores.class_map(scores.probability(model, each)) for name, each in seen.items()}
    return {name: scores.agreement(other, m, here).overall * 100 for name, m in maps.items()}


def scored(place, where, maps, seed=0):
    """Score maps on the same check points and held-out pixels; the first one is the labels."""
    check = points.read(points.check_points(place, where, seed=seed), **maps)
    first = next(iter(maps))
    rows = []
    for name, found in maps.items():
        at_points, everywhere = points.table(check, name), scores.agreement(place, found, where)
        row = {
            "map": name,
            "points": len(check),
            "overall": at_points.overall * 100,
            "kappa": at_points.kappa,
            "overall_all": everywhere.overall * 100,
            "kappa_all": everywhere.kappa,
        }
        if name != first:
            test = points.compared(check, first, name)[1].test
            row |= {"gain": test["difference"] * 100, "p": test["p"]}
        for short, score in (("PA", "producers"), ("UA", "users")):
            values = getattr(at_points, score) * 100
            row |= {f"{short} {item}": values[item] for item in place.names}
        rows.append(row)
    out = pd.DataFrame(rows)
    if place.roads is not None:
        lines = points.roads(place, where, maps).loc[next(iter(points.CLASSES_OF_ROADS))]
        out["road recall"] = lines["recall"].reindex(list(maps)).to_numpy() * 100
        out["road breaks"] = lines["breaks per km"].reindex(list(maps)).to_numpy()
    if place.scored and "Water" in place.names:
        thin = points.small(place, where, maps).loc["thin or small", "recall"]
        out["thin water recall"] = thin.reindex(list(maps)).to_numpy() * 100
    return out


def label_quality(quality=1.0, kind="patches", network="U-Net", seed=0, scene_seed=0, **changes):
    """Train on labels of a stated quality: how does the gain depend on it?

    Parameters
    ----------
    quality : float
        Share of the 10 m labels that is right, see `faults.degrade`.
    kind : str
        Of the errors, see `faults.degrade`.
    network : str
        Key of `scores.NETWORKS`; the U-Net by default, which learns quickest on a laptop.
    seed : int
        Of errors, split, training and check points.
    scene_seed : int
        Of the scene.
    **changes
        See `scores.setting`; also profile.

    Returns
    -------
    pandas.DataFrame
        As from `run`, with reached (share of 10 m labels that is right).

    Examples
    --------
    >>> label_quality(0.8, epochs=1)  # doctest: +SKIP
    """
    place, table, where, chosen = prepared("scene", "product", seed, scene_seed, network, **changes)
    worse = faults.degrade(catalog.open("scene/land_cover", seed=scene_seed), quality, kind, seed)
    place = relabelled(place, worse)
    model, _ = fitted(network, place, table, seed, **chosen)
    maps = {"labels": place.label, "map": scores.class_map(scores.probability(model, place))}
    out = scored(place, where, maps, seed)
    out["reached"] = worse.attrs["quality"]
    return out


def filters(spoilt=0.1, least=doubts.LEAST, network="U-Net", seed=0, scene_seed=0, **changes):
    """Spoil the labels of some chips: does the filter find them, and does dropping them help?

    Parameters
    ----------
    spoilt : float
        Share of the chips that get the labels of another place, see `faults.spoil`.
    least : float
        Smallest similarity that is kept, 0.2 in the paper.
    network, seed, scene_seed, **changes
        As in `label_quality`.

    Returns
    -------
    pandas.DataFrame
        One row a way of dropping chips: bad (spoilt training chips), dropped, precision, recall,
        auc (of the ranking) and overall_all (%, on all held-out pixels) of the network trained
        without them. "threshold" drops what is below `least`, as the paper does; "similarity",
        "loss" and "issues" drop as many chips as were spoilt, the worst first; "oracle" drops
        those that were, "none" none.
    """
    place, table, where, chosen = prepared("scene", "product", seed, scene_seed, network, **changes)
    place, where_bad = faults.spoil(place, spoilt, chosen["chip"], seed)
    bad = _covered(where_bad, table)
    first = scores.train(network, place, table, seed, **chosen | {"epochs": chosen["first"]})
    judged = doubts.judge(first.model, place, table)
    train = (judged["split"] == "train").to_numpy()
    ranked = doubts.detection(judged[train], bad[train]) if bad[train].any() else pd.DataFrame()
    number = int(bad[train].sum())
    worst = {
        "none": np.zeros(len(table), bool),
        "threshold": train & (judged["similarity"] < least).to_numpy(),
        "oracle": train & bad,
    }
    for name in doubts.METHODS:
        order = judged[name].where(train).sort_values(ascending=name == "similarity")
        worst[name] = judged.index.isin(order.index[:number]) & train
    rows, trained = [], {}
    for name, dropped in worst.items():
        part = table.assign(split=table["split"].where(~dropped, "dropped"))
        part.attrs = table.attrs
        if (again := dropped.tobytes()) not in trained:
            model = scores.train(network, place, part, seed, **chosen).model
            found = scores.class_map(scores.probability(model, place))
            trained[again] = scores.agreement(place, found, where).overall * 100
        hit = (dropped & bad).sum()
        rows.append({
            "method": name,
            "bad": number,
            "dropped": int(dropped.sum()),
            "precision": hit / dropped.sum() if dropped.any() else np.nan,
            "recall": hit / number if number else np.nan,
            "auc": ranked["auc"].get(name, np.nan) if len(ranked) else np.nan,
            "overall_all": trained[again],
        })  # fmt: skip
    return pd.DataFrame(rows)


def _covered(mask, table):
    """Which chips a mask covers by more than half."""
    values = np.asarray(mask)
    places = table[["row", "col", "size"]].to_numpy()
    return np.array([values[r : r + s, c : c + s].mean() > 0.5 for r, c, s in places])


def pruned(rates=(0.4, 0.6), network="HRNet", seed=0, scene_seed=0, extra=3, **changes):
    """Train a network, prune it as Algorithm 1 does at several rates, and score what is left.

    Parameters
    ----------
    rates : sequence of float
        Shares of the filters of a layer that are zeroed after every epoch; each starts from the
        same trained network.
    network : str
        Key of `scores.NETWORKS`.
    extra : int
        Epochs of pruning after the training: the same schedule again, of that length.
    seed, scene_seed, **changes
        As in `run`.

    Returns
    -------
    pandas.DataFrame
        One row a network: "trained", "trained on" (as long as the others, without pruning),
        "compact" (what is left of each rate) and "compact, one more epoch", which gives
        normalisation the means of the smaller network and is not in the paper. Columns: rate,
        parameters, macs (multiply-adds per pixel) and overall_all (%, all held-out pixels).
    """
    place, table, where, chosen = prepared("scene", "product", seed, scene_seed, network, **changes)
    model, _ = fitted(network, place, table, seed, **chosen)
    again = chosen | {"epochs": extra}
    rows = [_size("trained", 0.0, model, place, where)]
    on = scores.train(deepcopy(model), place, table, seed, **again).model
    rows.append(_size("trained on", 0.0, on, place, where))
    for rate in rates:
        # The loss is lowest before anything is gone: the last epoch counts, not the best one.
        learn = scores.train(
            deepcopy(model),
            place,
            table,
            seed,
            callbacks=[pruning.FPGM(rate)],
            monitor="last",
            **again,
        )
        small = pruning.compact(learn.model)
        rows.append(_size("compact", rate, small, place, where))
        once = chosen | {"epochs": 1, "rate": chosen["rate"] / 10}
        small = scores.train(small, place, table, seed, **once).model
        rows.append(_size("compact, one more epoch", rate, small, place, where))
    return pd.DataFrame(rows)


def _size(name, rate, model, place, where):
    found = scores.class_map(scores.probability(model, place))
    return {
        "network": name,
        "rate": rate,
        "parameters": models.count_parameters(model),
        "macs": models.macs(model, (512, 512)) / 512**2,
        "overall_all": scores.agreement(place, found, where).overall * 100,
    }


def raleigh(seed=0, networks=("HRNet", "U-Net"), **changes):
    """Score networks and random forests on held-out ground of Raleigh, against its own labels.

    Parameters
    ----------
    seed : int
        Of split, training and forest.
    networks : sequence of str
        Keys of `scores.NETWORKS`.
    **changes
        See `scores.setting`; also profile.

    Returns
    -------
    pandas.DataFrame
        One row a method: pixels, overall, kappa, F1 of developed land, mean F1. The labels are of
        1996 and coarser than the image of 2000: all scores are agreement with them.
    """
    profile = changes.pop("profile", "quick")
    place, table, where, _ = prepared("raleigh", seed=seed, profile=profile, **changes)
    maps = {
        "most frequent class": place.label.copy(data=_constant(place, table)),
        "forest, pixel": scores.forest(place, table, where, seed, window=1),
        "forest, 5 x 5": scores.forest(place, table, where, seed, window=5),
    }
    for network in networks:
        chosen = scores.setting(profile, "raleigh", network, **changes)
        model, _ = fitted(network, place, table, seed, **chosen)
        maps[network] = scores.class_map(scores.probability(model, place, tile=512, halo=0))
    rows = []
    for name, found in maps.items():
        matrix = scores.agreement(place, found, where)
        rows.append({
            "method": name,
            "pixels": int(matrix.n),
            "overall": matrix.overall * 100,
            "kappa": matrix.kappa,
            "F1 developed": matrix.f1["developed"],
            "mean F1": float(matrix.f1.mean()),
        })  # fmt: skip
    return pd.DataFrame(rows)


def _constant(place, table):
    name = class_shares(table[table["split"] == "train"]).mean().idxmax()
    code = {item["name"]: item["value"] for item in place.classes}[name]
    return np.where(place.label.values == chips.IGNORE, chips.IGNORE, code).astype("uint8")
