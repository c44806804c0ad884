"""Which experiments: Table 1, Table 2, and a model that goes abroad."""

import pandas as pd

from toolkit import _checks, accuracy, chips
from toolkit.experiments.night_lights.places import ground, halves, sample, zoomed
from toolkit.experiments.night_lights.scores import (
    cut_at,
    held_out,
    probability,
    setting,
    svm,
    threshold,
    train,
)


def scores_of(matrix):
    """Row of Table 2 of a two-class matrix: counts, precision, recall, F1, IoU and kappa."""
    tp, fp, fn, _ = matrix.counts("urban")
    return {
        "TP": tp, "FP": fp, "FN": fn,
        "precision": matrix.users["urban"], "recall": matrix.producers["urban"],
        "F1": matrix.f1["urban"], "IoU": matrix.iou["urban"], "kappa": matrix.kappa,
        "overall": matrix.overall,
    }  # fmt: skip


def methods(networks=("IFCN", "FCN8s", "U-Net"), source="scene", seed=0, **changes):
    """Score networks, SVM and threshold on held-out ground, as in Table 2.

    Parameters
    ----------
    networks : sequence of str
        Keys of `NETWORKS`.
    source : {"scene", "burundi"}
        See `ground`.
    seed : int
        Of chips, halves and training.
    **changes
        Changes to the profile quick, see `setting`; alignment is "same" if not given, so
        that FCN8s here is mode 2 of Table 1.

    Returns
    -------
    pandas.DataFrame
        One row per method: TP, FP, FN (pixels), precision, recall, F1, IoU, kappa, overall.

    Examples
    --------
    >>> methods(["IFCN"], source="burundi", epochs=1)  # doctest: +SKIP
    """
    chosen = setting("quick", source, **{"alignment": "same"} | changes)
    place = ground(source)
    parts, where = halves(place, sample(place, seed), seed)
    fine = zoomed(place, chosen["zoom"])
    scores = {
        name: {
            half: probability(train(name, fine, part, seed, **chosen).model, fine, place)
            for half, part in parts.items()
        }
        for name in networks
    }
    scores["SVM"] = {half: svm(place, where == half, seed) for half in parts}
    scores["Threshold"] = dict.fromkeys(parts, place.lights.isel(band=0, drop=True))
    rows = {
        name: scores_of(accuracy.confusion(place.truth, held_out(place, where, by_half)))
        for name, by_half in scores.items()
    }
    return pd.DataFrame(rows).T.rename_axis("method").reset_index()


def run(
    network="IFCN", source="scene", split="cells", iterations=400, seed=0, chips_kept=0, **changes
):
    """Train one network for a number of iterations and score it along the way, as in Table 1.

    Parameters
    ----------
    network : str
        Key of `NETWORKS`, each with the alignment that the paper gives it.
    source : {"scene", "burundi"}
        See `ground`.
    split : {"cells", "random"}
        21:4 by cells of the fishnet, or chip by chip as in the paper.
    iterations : int
        Batches; rounded up to whole passes over the training chips.
    seed : int
        Of split and training; the chips are the same for every seed.
    chips_kept : int
        Chips drawn from those of the fishnet, 1,017 in the paper; 0 takes all.
    **changes
        Changes to the profile quick, see `setting`; batch_size is 8 if not given.

    Returns
    -------
    pandas.DataFrame
        One row per pass: iteration, loss (cross entropy summed over 224 x 224 pixels),
        loss_per_pixel, OA, mean_IU, F1 and kappa on the validation chips against the labels; leak
        (share of their ground that training chips cover).

    Examples
    --------
    >>> run("FCN8s", iterations=50, width=1 / 16)  # doctest: +SKIP
    """
    _checks.choice(split, ("cells", "random"), "split")
    metrics = ("overall", "mean_iou", "f1", "kappa", "loss_sum")
    chosen = {"batch_size": 8, "iterations": iterations, "metrics": metrics}
    chosen = setting("quick", source, **chosen | changes)
    place = ground(source)
    table = sample(place, kept=chips_kept)
    part = chips.split(table, by=split, valid=4 / 25, stratify=split == "cells", seed=seed)
    learn = train(network, zoomed(place, chosen["zoom"]), part, seed, **chosen)
    history = learn.history
    return pd.DataFrame({
        "iteration": history["epoch"] * len(learn.dls.train),
        "loss": history["loss_sum"],
        "loss_per_pixel": history["valid_loss"],
        "OA": history["overall"],
        "mean_IU": history["mean_iou"],
        "F1": history["f1"],
        "kappa": history["kappa"],
        "leak": float(chips.leak(part).mean()),
    })  # fmt: skip


def transfer(train_on="scene", apply_to="burundi", network="IFCN", seed=0, **changes):
    """Train at one place and map another, beside a threshold that travels the same way.

    Parameters
    ----------
    train_on, apply_to : {"scene", "burundi"}
        See `ground`.
    network : str
        Key of `NETWORKS`.
    seed : int
        Of chips, halves and training.
    **changes
        Changes to the profile quick, see `setting`.

    Returns
    -------
    pandas.DataFrame
        One row per method (the network, threshold) and cut ("from home", "best there", which
        knows the answers and only bounds what is possible): scores as in `methods`.

    Examples
    --------
    >>> transfer("burundi", "scene", epochs=1)  # doctest: +SKIP
    """
    chosen = setting("quick", train_on, **{"alignment": "same"} | changes)
    home, away = ground(train_on), ground(apply_to)
    parts, where = halves(home, sample(home, seed), seed)
    fine, there = zoomed(home, chosen["zoom"]), zoomed(away, chosen["zoom"])
    model = train(network, fine, parts["A"], seed, **chosen).model
    return compare_abroad(model, network, home, fine, where == "A", away, there)


def compare_abroad(model, name, home, fine, known, away, there):
    """Score a model, and a threshold, on ground of another place; see `transfer`.

    Parameters
    ----------
    model : toolkit.models.Network
        Trained.
    name : str
        What to call it.
    home, fine : Ground
        Where it was trained, and the same enlarged.
    known : xarray.DataArray
        (y, x), true on its training ground.
    away, there : Ground
        Where it is applied, and the same enlarged.
    """
    here = {
        name: (probability(model, fine, home), probability(model, there, away)),
        "Threshold": tuple(p.lights.isel(band=0, drop=True) for p in (home, away)),
    }
    rows = []
    for method, (own, abroad) in here.items():
        _, cut = threshold(home, own, known)
        best = accuracy.optimal_threshold(away.truth, abroad)
        for which, value in (("from home", cut), ("best there", best)):
            matrix = accuracy.confusion(away.truth, cut_at(away, abroad, value))
            rows.append({"method": method, "cut": which} | scores_of(matrix))
    return pd.DataFrame(rows)
