"""Which network does which task how well, and at what cost? All of them under one budget."""

import time
from copy import deepcopy

import pandas as pd

from toolkit import models, pruning, training
from toolkit._checks import choice
from toolkit.experiments.comparisons import maps, speed
from toolkit.experiments.comparisons.tasks import TASKS, ground, loaders, samples

_FCN = dict(home="night lights", width=1 / 8, fc_width=1024, fc_kernel=3, alignment="same")

NETWORKS = {
    "FCN32s": dict(name="fcn32s", **_FCN),
    "FCN16s": dict(name="fcn16s", **_FCN),
    "FCN8s": dict(name="fcn8s", **_FCN),
    "IFCN": dict(name="ifcn", **_FCN),
    "U-Net, 5 poolings": dict(name="unet", home="night lights", width=1 / 8, poolings=5),
    "HRNet": dict(name="hrnet_w24", home="land cover", width=1 / 4),
    "FC-DenseNet": dict(name="fc_densenet64", home="land cover", width=1 / 8),
    "U-Net": dict(name="unet", home="land cover", width=1 / 8, batch_norm=True),
    "D-LinkNet": dict(name="dlinknet34", home="buildings", width=1 / 4),
    "Sen2HSE": dict(name="sen2hse", home="settlement", width=1 / 4),
    "U-Net, half": dict(name="unet_half", home="settlement", width=1 / 8),
    "ResNet-PSPNet": dict(name="pspnet_resnet50", home="settlement", width=1 / 4),
    "ResNet-FCN-8": dict(name="fcn8_resnet50", home="settlement", width=1 / 4),
    "FCN + dual attention": dict(name="fcn_dual_attention", home="settlement", width=1 / 8),
}
"""All networks of all chapters with the task that their paper has, at the widths of the chapters'
laptop profiles, FC-DenseNet at half of it. All FCNs have exact alignment, which makes FCN8s the
mode 2 of chapter 1 (its other modes are steps to IFCN, and stay there): the 100 pixels that Caffe
pads around a chip of 64 would cost seven times as much as the chip."""

RATES = (1e-3, 4e-3, 1.6e-2)
"""Peak learning rates that are tried, see `best_rate`."""

TRIAL = 5
"""A trial of a rate, and a round of pruning, is one part in so many of the training."""


def network_of(network, place, seed=0, width=0.0):
    """Create a network for the bands and classes of a ground.

    Parameters
    ----------
    network : str
        Key of `NETWORKS`.
    place : Ground
        From `ground`.
    seed : int
        Of the first weights.
    width : float
        Factor on the channels of the published network; 0 for that of `NETWORKS`.

    Returns
    -------
    toolkit.models.Network

    Raises
    ------
    ValueError
        An unknown network, or a negative width.
    """
    options = dict(NETWORKS[choice(network, NETWORKS, "network")])
    if width < 0:
        raise ValueError(f"width={width}: give a positive factor, or 0 for the chapter's")
    del options["home"]
    name = options.pop("name")
    options["width"] = width or options["width"]
    return models.create(
        name,
        in_channels=place.image.sizes["band"],
        classes=len(place.classes),
        seed=seed,
        **options,
    )


def train(model, place, table, seed=0, steps=128, rate=3e-3, weights=None, callbacks=()):
    """Train one network on the chips of a task, as all others are trained.

    Cross entropy, Adam, one cycle with a peak rate, turns and mirrors; the last weights are kept.
    No paper's own loss or optimiser is used: the networks are compared, not the recipes.

    Parameters
    ----------
    model : toolkit.models.Network
        New, or to go on with; it is changed.
    place : Ground
        From `ground`.
    table : geopandas.GeoDataFrame
        From `samples`.
    seed : int
        Of order, turns and dropout.
    steps : int
        Batches; rounded up to whole passes over the training chips.
    rate : float
        Peak learning rate.
    weights : sequence of float, optional
        Of each class in the loss.
    callbacks : sequence
        Further fastai callbacks.

    Returns
    -------
    fastai.learner.Learner
        Fitted; ``learn.best`` has the scores of the validation chips against their labels.
    """
    recipe = training.Recipe(
        lr=float(rate),
        schedule="one_cycle",
        iterations=int(steps),
        batch_size=place.about["batch_size"],
        class_weights=None if weights is None else tuple(weights),
        metrics=("kappa",),
        monitor="last",
        seed=seed,
    )
    learn = training.learner(loaders(place, table, model.output_scale, seed), model, recipe)
    learn.add_cbs(list(callbacks))
    with learn.no_logging(), learn.no_bar():
        return training.fit(learn)


def best_rate(network, place, table, seed=0, steps=128, width=0.0, rates=RATES):
    """Choose the learning rate of a network by one rule for all.

    Each rate trains a new network for a fifth of the steps, rounded up to whole passes; the one
    with the lowest loss on the validation chips, against their labels, is taken. A rate at which
    the loss is no number loses.

    Parameters
    ----------
    network, place, table, seed, width
        As in `network_of` and `train`.
    steps : int
        Of the training that the rate is for.
    rates : sequence of float
        What is tried.

    Returns
    -------
    float

    Raises
    ------
    FloatingPointError
        No rate works.
    """
    losses = {}
    for rate in rates:
        model = network_of(network, place, seed, width)
        try:
            learn = train(model, place, table, seed, max(1, steps // TRIAL), rate)
        except FloatingPointError:
            continue
        losses[rate] = learn.best["valid_loss"]
    losses = {rate: loss for rate, loss in losses.items() if loss == loss}
    if not losses:
        raise FloatingPointError(f"{network} diverges at every rate of {list(rates)}")
    return min(losses, key=losses.get)


def pruned(model, place, table, seed=0, steps=128, rate=3e-3, share=0.4):
    """Prune a trained network as chapter 2 does, and let it settle.

    Parameters
    ----------
    model : toolkit.models.Network
        Trained; it stays as it is.
    place, table, seed
        As in `train`.
    steps, rate : int, float
        Of its training. A fifth of these steps prunes after every pass, and as many again let the
        small network settle; both are one cycle with the same peak rate. (With a tenth of it, a
        U-Net on land cover kept a kappa of 0.3 instead of 0.5.)
    share : float
        Of the filters of a layer that go.

    Returns
    -------
    toolkit.models.Network or None
        None where nothing can be taken out of this network.
    """
    try:
        if pruning.filters(model).empty:
            return None
    except ValueError:  # it cannot be followed layer by layer
        return None
    extra = max(1, steps // TRIAL)
    learn = train(deepcopy(model), place, table, seed, extra, rate, callbacks=[pruning.FPGM(share)])
    small = pruning.compact(learn.model)
    return train(small, place, table, seed, extra, rate).model


def run_network(
    task="night lights",
    network="IFCN",
    seed=0,
    steps=128,
    width=0.0,
    rate=0.0,
    share=0.4,
    side=256,
):
    """Train one network on one task, and measure what it is worth and what it costs.

    Parameters
    ----------
    task : str
        Key of `TASKS`.
    network : str
        Key of `NETWORKS`.
    seed : int
        Of test ground, chips, first weights and training: the same for all networks.
    steps : int
        Batches of the training, equal for all; see `train`.
    width : float
        See `network_of`.
    rate : float
        Learning rate; 0 chooses it, see `best_rate`.
    share : float
        Of the filters that `pruned` takes out; 0 leaves the pruned network out.
    side : int
        Of the image that speed is measured with, pixels; 0 measures no speed.

    Returns
    -------
    pandas.DataFrame
        A row for the network ("whole") and one for what is left of it ("pruned"), if it can be
        pruned: variant, home (task of its paper), lr (rate used), trained (steps, with those of
        pruning, without trials of rates), parameters, macs (multiply-adds per pixel), torch_seconds
        and fast_seconds (per megapixel on one core, by torch and OpenVINO; see `speed.measured`),
        overall, kappa, f1 and iou on the test ground against the truth (see `maps.scored`),
        valid_kappa (on the validation chips against their labels) and train_seconds.

    Raises
    ------
    ValueError
        An unknown task or network, or numbers out of range.

    Examples
    --------
    >>> run_network("settlement", "Sen2HSE", steps=20)  # doctest: +SKIP
    """
    choice(task, TASKS, "task")
    choice(network, NETWORKS, "network")
    if steps < 1 or not 0 <= share < 1 or rate < 0 or side < 0:
        raise ValueError(
            f"steps={steps}, share={share}, rate={rate}, side={side}: give at least one step, a "
            "share from 0 to below 1, and no negative number"
        )
    place = ground(task)
    table, test = samples(place, seed=seed)
    lr = rate or best_rate(network, place, table, seed, steps, width)
    begun = time.perf_counter()
    learn = train(network_of(network, place, seed, width), place, table, seed, steps, lr)
    spent = time.perf_counter() - begun
    batches = len(learn.dls.train)
    found = {"whole": learn.model}
    small = pruned(learn.model, place, table, seed, steps, lr, share) if share else None
    if small is not None:
        found["pruned"] = small
    cost = speed.measured(found, side) if side else None
    valid = table[table["split"] == "valid"]
    label = place.label_on_truth
    rows = []
    for name, model in found.items():
        mapped = maps.class_map_of(model, place, test)
        held = maps.class_map_of(model, place, valid)
        extra = 0 if name == "whole" else 2 * _whole(max(1, steps // TRIAL), batches)
        chip = place.about["chip"]
        rows.append({
            "variant": name,
            "home": NETWORKS[network]["home"],
            "lr": lr,
            "trained": _whole(steps, batches) + extra,
            "parameters": models.count_parameters(model),
            "macs": models.macs(model, (2 * chip, 2 * chip)) / (2 * chip) ** 2,
            **(cost.loc[name].to_dict() if side else {}),
            **maps.scored(mapped, place.truth, place),
            "valid_kappa": maps.scored(held, label, place)["kappa"],
            "train_seconds": spent,
        })  # fmt: skip
    return pd.DataFrame(rows)


def _whole(steps, batches):
    """Steps rounded up to whole passes of so many batches."""
    return -(-steps // batches) * batches
