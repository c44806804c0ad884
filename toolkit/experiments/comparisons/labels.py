"""What do wrong labels cost, what helps, and who notices? Errors, remedies and splits."""

from types import SimpleNamespace

import numpy as np
import pandas as pd

from toolkit import chips
from toolkit._checks import choice
from toolkit.chips.grids import positions
from toolkit.experiments import land_cover
from toolkit.experiments.comparisons import faults, maps
from toolkit.experiments.comparisons.networks import NETWORKS, network_of, train
from toolkit.experiments.comparisons.tasks import TASKS, ground, relabelled, samples

REMEDIES = ("none", "filter", "weights", "cleanlab")

FIRST = 3
"""A preliminary model is trained for one part in so many of the steps."""

HEAVY = 3.0
"""How often built-up land counts in the loss of the remedy "weights", as in land_cover_3m."""


def remedied(place, table, remedy="none", network="U-Net", seed=0, steps=128, rate=5e-3):
    """Do something about labels that may be wrong, without looking at the truth.

    Parameters
    ----------
    place : Ground
        With labels of any quality.
    table : geopandas.GeoDataFrame
        From `samples`.
    remedy : {"none", "filter", "weights", "cleanlab"}
        "filter": the rule of land_cover_3m; a preliminary model is trained, and chips on which it
        agrees with less than 20 % of the labels are dropped. "weights": an error on built-up land
        counts three times in the loss, as there. "cleanlab": confident learning; two preliminary
        models, each trained on half of the ground, judge the labels of the other half pixel by
        pixel, and what the library doubts becomes unknown.
    network, seed, steps, rate
        Of the training that follows; a preliminary model takes a third of the steps.

    Returns
    -------
    Ground
        With the labels to train on.
    geopandas.GeoDataFrame
        The chips to train on.
    list of float or None
        Weights of the classes in the loss.
    int
        Steps of preliminary training.

    Raises
    ------
    ValueError
        An unknown remedy, a filter that drops every chip, or a filter for a network that maps at
        half the resolution (the judgement of chapter 2 looks at single pixels).
    """
    choice(remedy, REMEDIES, "remedy")
    first = max(1, steps // FIRST)
    if remedy == "filter":
        model = network_of(network, place, seed)
        if model.output_scale != 1:
            raise ValueError(
                f"remedy='filter' judges labels pixel by pixel, and {network} maps at half the "
                "resolution: use a network that maps every pixel, such as U-Net"
            )
        label = place.label_on_image
        seen = SimpleNamespace(
            image=place.image, label=label, truth=label, classes=place.classes, scored=False
        )
        learn = train(model, place, table, seed, first, rate)
        judged = land_cover.judge(learn.model, seen, table, methods=("similarity",))
        return place, land_cover.drop(judged), None, learn.train_iter
    if remedy == "weights":
        built = place.about["built"]
        weights = [HEAVY if item["value"] == built else 1.0 for item in place.classes]
        return place, table, weights, 0
    if remedy == "cleanlab":
        doubted, steps = _doubted(place, table, network, seed, first, rate)
        label = place.label_on_image
        values = np.where(doubted, chips.IGNORE, label.values).astype(np.uint8)
        return relabelled(place, label.copy(data=values)), table, None, steps
    return place, table, None, 0


def _doubted(place, table, network, seed, steps, rate):
    """Which pixels' labels are doubted, (y, x) of the image; and the steps that it took."""
    train_chips = table[table["split"] == "train"].reset_index(drop=True)
    train_chips.attrs = table.attrs
    halves = chips.split(train_chips, by="blocks", valid=0.5, seed=seed)
    shape = place.image.shape[1:]
    odds = np.full((len(place.classes), *shape), np.nan, np.float32)
    one, spent = (halves["split"] == "valid").to_numpy(), 0
    guard = (halves["split"] == "guard").to_numpy()  # between the halves: neither learns from it
    for held in (one, ~one):
        part = halves.assign(split=np.where(held, "valid", "train"))[~guard].reset_index(drop=True)
        part.attrs = table.attrs
        learn = train(network_of(network, place, seed), place, part, seed, steps, rate)
        spent += learn.train_iter
        found = maps.probability(learn.model, place, part[part["split"] == "valid"], cell=1)
        found[:, chips.ground(part, place.image, "train").values] = np.nan  # it has seen these
        odds = np.where(np.isnan(found), odds, found)
    label = positions(place.label_on_image.values, place.classes)
    known = (label != chips.IGNORE) & np.isfinite(odds).all(axis=0)
    out = np.zeros(shape, bool)
    out[known] = land_cover.doubted(label[known], odds[:, known].T)
    return out, spent


def run_labels(
    task="settlement",
    kind="none",
    strength=0.3,
    remedy="none",
    split="blocks",
    seed=0,
    network="U-Net",
    steps=128,
    rate=5e-3,
):
    """Train on labels with errors of a kind, with or without a remedy, and see who notices.

    Parameters
    ----------
    task : str
        Key of `TASKS`.
    kind, strength : str, float
        Of the errors, see `disturbed`.
    remedy : str
        See `remedied`.
    split : {"blocks", "random"}
        Of training and validation chips, see `samples`. The test ground is the same for both.
    seed : int
        Of test ground, chips, errors, first weights and training.
    network : str
        Key of `NETWORKS`.
    steps, rate : int, float
        See `train`.

    Returns
    -------
    pandas.DataFrame
        One row: reached, wrong and setting (of the errors, see `disturbed`); chips (to train
        on), dropped (by the filter), ignored (share of the training labels that cleanlab made
        unknown), trained (steps, with preliminary models); overall, kappa, f1 and iou on the test
        ground against the truth; labels_kappa (of the labels everywhere, in the cells that maps
        are scored in); valid_kappa (on the validation chips against their labels, what a user
        would see), valid_truth (there, against the truth), flatters (valid_kappa - kappa)
        and leak (share of the validation ground that training chips cover). So flatters is
        valid_kappa - valid_truth, what wrong labels do, plus valid_truth - kappa, what the ground
        does.

    Raises
    ------
    ValueError
        An unknown name, or a strength that the error cannot reach.

    Examples
    --------
    >>> run_labels("settlement", "patches", 0.5, "cleanlab", steps=20)  # doctest: +SKIP
    """
    for value, known, name in (
        (task, TASKS, "task"),
        (kind, faults.ERRORS, "kind"),
        (remedy, REMEDIES, "remedy"),
        (network, NETWORKS, "network"),
    ):
        choice(value, known, name)
    if steps < 1 or not rate > 0:
        raise ValueError(f"steps={steps}, rate={rate}: give one step at least and a positive rate")
    place = ground(task)
    table, test = samples(place, split, seed)
    worse, about = faults.disturbed(place, kind, strength, seed)
    learnt, kept, weights, before = remedied(worse, table, remedy, network, seed, steps, rate)
    model = network_of(network, place, seed)
    learn = train(model, learnt, kept, seed, steps, rate, weights)
    valid = table[table["split"] == "valid"]
    tested, held = (maps.class_map_of(learn.model, place, part) for part in (test, valid))
    label = worse.label_on_truth
    scores = maps.scored(tested, place.truth, place)
    seen = maps.scored(held, label, place)["kappa"]
    row = about | {
        "chips": int((kept["split"] == "train").sum()),
        "dropped": int((kept["split"] == "dropped").sum()),
        "ignored": _ignored(worse, learnt, table),
        "trained": learn.train_iter + before,
        **scores,
        "valid_kappa": seen,
        "labels_kappa": maps.scored(label, place.truth, place)["kappa"],
        "valid_truth": maps.scored(held, place.truth, place)["kappa"],
        "flatters": seen - scores["kappa"],
        "leak": float(chips.leak(table).mean()),
    }
    return pd.DataFrame([row])


def _ignored(before, after, table):
    """Share of the labels of the training chips that a remedy made unknown."""
    where = chips.ground(table, before.image, "train").values
    known = [(place.label_on_image.values != chips.IGNORE) & where for place in (before, after)]
    return float(1 - known[1].sum() / known[0].sum())
