"""How is a network fitted the way its paper says?

A `Recipe` is what a paper states about training, as data. `learner` makes a plain fastai Learner
of it: everything particular is an optimiser with Caffe's per-layer multipliers and three
callbacks, and ``learn.fit(n)``, ``learn.fit_one_cycle(n)`` and ``learn.lr_find()`` are fastai's.

Examples
--------
>>> from toolkit import training
>>> recipe = training.recipe("ifcn").replace(epochs=10, lr=1e-3)
>>> recipe.optimiser, recipe.lr
('adam', 0.001)
"""

from toolkit import _torchvision  # noqa: F401, I001  (before anything that may import torchvision)

import dataclasses
import difflib
import math
from numbers import Real

import matplotlib.pyplot as plt
import pandas as pd
from fastai.basics import Learner
from fastai.callback.schedule import ParamScheduler
from matplotlib.ticker import MaxNLocator

from toolkit import models
from toolkit._fitting import (
    BINARY,
    CHIP_PIXELS,
    LOSSES,
    OPTIMISERS,
    KeepBest,
    LossSum,
    Score,
    SeedFit,
    StopOnNaN,
    groups,
    loss_of,
    optimiser,
    take_statistics,
)

__all__ = ["RECIPES", "Recipe", "curves", "fit", "learner", "load", "recipe", "save"]

SCHEDULES = ("constant", "one_cycle", "poly")
METRICS = (
    "overall", "average", "mean_iou", "frequency_weighted_iou", "f1", "iou", "kappa", "loss_sum",
)  # fmt: skip
KNOWN = (*METRICS, *BINARY)
LABELS = {"overall": "overall accuracy", "mean_iou": "mean IoU", "f1": "F1", "iou": "IoU"}


def _unknown(what, name, known):
    near = difflib.get_close_matches(str(name), known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"there is no {what} {name!r}.{hint} There are: {', '.join(known)}"


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What a paper says about training.

    Parameters
    ----------
    optimiser : {"adam", "nadam", "sgd"}
        Weight decay is added to the gradient in all of them, as in Caffe (not AdamW's).
    lr : float
        Base learning rate. A layer's own rate is this times its multiplier
        (`Network.lr_multipliers`).
    momentum : float
        Of SGD.
    betas : (float, float)
        Of Adam and NAdam.
    eps : float
        Of Adam and NAdam.
    weight_decay : float
        Base weight decay, times each layer's multiplier.
    schedule : {"constant", "one_cycle", "poly"}
        Of the learning rate; poly is ``lr * (1 - t)**0.9``.
    batch_size : int
        For `toolkit.chips.dataloaders`.
    epochs, iterations : int or None
        Length of training, one of the two. An iteration is one batch.
    loss : {"cross_entropy", "bce_dice"}
        Mean over the pixels that have a label; bce_dice (binary cross entropy + Dice over the
        batch) is for networks with one logit, ``classes=1``.
    class_weights : tuple of float or None
        Weight of every class in the loss.
    metrics : tuple of str
        Any of `METRICS`, "precision" and "recall", once per epoch over all validation pixels.
    monitor : str
        Column whose best epoch is kept: a metric, "valid_loss" or "train_loss"; "last" keeps the
        last epoch, which pruning needs.
    patience : int or None
        Stop after so many epochs without a better `stop_on`. None never stops early.
    stop_on : str
        Column that `patience` watches.
    seed : int
        Of shuffling, augmentation and dropout; set whenever a fit starts.

    Raises
    ------
    ValueError
        A value is not one of those above.

    Examples
    --------
    >>> Recipe(lr=0.01, optimiser="sgd", iterations=None, epochs=3).replace(iterations=500).epochs
    """

    optimiser: str = "adam"
    lr: float = 1e-4
    momentum: float = 0.9
    betas: tuple = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    schedule: str = "constant"
    batch_size: int = 8
    epochs: int | None = None
    iterations: int | None = 20_000
    loss: str = "cross_entropy"
    class_weights: tuple | None = None
    metrics: tuple = METRICS
    monitor: str = "mean_iou"
    patience: int | None = None
    stop_on: str = "valid_loss"
    seed: int = 0

    def __post_init__(self):
        for field in ("betas", "class_weights", "metrics"):  # lists from JSON or YAML
            if isinstance(getattr(self, field), list):
                object.__setattr__(self, field, tuple(getattr(self, field)))
        for field, allowed in (
            ("optimiser", OPTIMISERS),
            ("schedule", SCHEDULES),
            ("loss", LOSSES),
        ):
            if getattr(self, field) not in allowed:
                raise ValueError(
                    f"recipe: {field} is one of {', '.join(allowed)}, got {getattr(self, field)!r}"
                )
        if not (isinstance(self.lr, Real) and 0 < self.lr < math.inf):
            raise ValueError(f"recipe: lr must be a positive number, got {self.lr!r}")
        if (self.epochs is None) == (self.iterations is None):
            raise ValueError(
                f"recipe: give epochs or iterations, got {self.epochs} and {self.iterations}"
            )
        for field in ("batch_size", "epochs", "iterations", "patience"):
            value = getattr(self, field)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ValueError(f"recipe: {field} must be a whole number >= 1, got {value!r}")
        for name in self.metrics:
            if name not in KNOWN:
                raise ValueError(_unknown("metric", name, KNOWN))

    def replace(self, **changes):
        """Return a copy with some values changed; epochs replace iterations and the reverse."""
        known = [field.name for field in dataclasses.fields(self)]
        for name in changes:
            if name not in known:
                raise TypeError(_unknown("value of a recipe", name, known))
        if ("epochs" in changes) != ("iterations" in changes):
            changes = {"epochs": None, "iterations": None} | changes
        return dataclasses.replace(self, **changes)


RECIPES = {
    # Night lights: Adam and the summed softmax loss (section 3.1); rate, batch and decay are not
    # given. 20,000 iterations for Table 1. The FCN authors' decay of 5e-4 on a loss summed over
    # 50,176 pixels would be 1e-8 on the mean that we use: none.
    "ifcn": Recipe(optimiser="adam", lr=1e-4, iterations=20_000),
    # 3 m land cover: SGD .01, momentum .9, 120 epochs, batch 32; impervious (fifth of seven
    # classes) counts three times. Schedule and decay are not given.
    "land_cover_3m": Recipe(
        optimiser="sgd",
        lr=0.01,
        momentum=0.9,
        batch_size=32,
        epochs=120,
        iterations=None,
        class_weights=(1, 1, 1, 1, 3, 1, 1),
        monitor="overall",
    ),
    # Roof greening: D-LinkNet, 5,000 iterations on 72 samples of 1000 x 1000 pixels (section 2.3).
    # Loss, Adam, 2e-4 and batches of 4 are those of D-LinkNet's authors (Zhou et al. 2018), who
    # also lower the rate three times by hand. 1000 is no multiple of 32: the network itself pads,
    # with zeros, at the right and the bottom (its strides round up), and cuts its output to 1000.
    "roof_greening": Recipe(
        lr=2e-4,
        batch_size=4,
        iterations=5000,
        loss="bce_dice",
        metrics=("overall", "f1", "iou", "precision", "recall", "kappa"),
        monitor="iou",
    ),
    # Sen2HSE: Nadam 2e-4 and batch 8, early stopping on the validation loss after 10 epochs; at
    # most 100 epochs and the best by F1 are in the authors' code, not in the paper.
    "sen2hse": Recipe(
        optimiser="nadam",
        lr=2e-4,
        eps=1e-7,
        epochs=100,
        iterations=None,
        monitor="f1",
        patience=10,
        stop_on="valid_loss",
    ),
}


def recipe(name):
    """Return the training recipe of a paper.

    Parameters
    ----------
    name : str
        A key of `RECIPES`: the paper's key, such as ``"ifcn"``.

    Returns
    -------
    Recipe

    Raises
    ------
    KeyError
        There is no such recipe.

    """
    if name not in RECIPES:
        raise KeyError(_unknown("recipe", name, RECIPES))
    return RECIPES[name]


def learner(dls, model, recipe, metrics=None):
    """Return a fastai Learner that trains a network as a recipe says.

    The model takes over the DataLoaders' band statistics and band names, so that it maps physical
    units to logits by itself from then on. Fit with fastai (``learn.fit(5)``) or with `fit`, which
    knows the recipe's length and schedule. Afterwards the weights are the best epoch's, with
    ``learn.history`` and ``learn.best``.

    Parameters
    ----------
    dls : fastai DataLoaders
        From `toolkit.chips.dataloaders`, with ``statistics`` (band, mean, std): batches of images
        (N, C, H, W) in physical units and labels (N, H, W) with 255 where there is none.
    model : toolkit.models.Network
        The network.
    recipe : Recipe or str
        What the paper says, or its name.
    metrics : sequence, optional
        Instead of the recipe's: names as `Recipe` takes them, or fastai metrics.

    Returns
    -------
    fastai.learner.Learner

    Raises
    ------
    ValueError
        The data, the network and the loss differ in bands or classes, or the statistics are not
        finite.

    Examples
    --------
    >>> dls = chips.dataloaders(image, label, table)  # doctest: +SKIP
    >>> learn = learner(dls, models.create("ifcn", width=0.125), "ifcn")  # doctest: +SKIP
    >>> learn.fit(5)  # doctest: +SKIP
    """
    if isinstance(recipe, str):
        recipe = RECIPES.get(recipe, recipe)
    if not isinstance(recipe, Recipe):
        raise TypeError(f"expected a Recipe or one of {', '.join(RECIPES)}, got {recipe!r}")
    take_statistics(dls, model)
    loss = loss_of(recipe, model, getattr(dls, "classes", None))
    chosen = recipe.metrics if metrics is None else metrics
    for name in chosen:
        if isinstance(name, str) and name not in KNOWN:
            raise ValueError(_unknown("metric", name, KNOWN))
    chosen = [
        (LossSum() if m == "loss_sum" else Score(m, model.classes)) if isinstance(m, str) else m
        for m in chosen
    ]
    learn = Learner(
        dls,
        model,
        loss_func=loss,
        opt_func=optimiser(recipe, groups(model)[1]),
        splitter=lambda model: groups(model)[0],
        lr=recipe.lr,
        wd_bn_bias=True,  # the multipliers say what decays
        metrics=chosen,
        cbs=[
            SeedFit(recipe.seed),
            StopOnNaN(),
            KeepBest(recipe.monitor, recipe.patience, recipe.stop_on),
        ],
    )
    learn.recipe, learn.history, learn.best = recipe, None, None
    return learn


def fit(learn, epochs=None):
    """Fit as long and with the schedule that the recipe says, in one call of fastai's fit.

    Parameters
    ----------
    learn : fastai Learner
        From `learner`.
    epochs : int, optional
        Instead of the recipe's length. Iterations are rounded up to whole epochs.

    Returns
    -------
    fastai.learner.Learner
    """
    recipe = learn.recipe
    if not len(learn.dls.train):
        raise ValueError(
            "the training DataLoader has no batch: fewer chips than one batch holds. Make more "
            "chips or the batch smaller."
        )
    epochs = epochs or recipe.epochs or math.ceil(recipe.iterations / len(learn.dls.train))
    if recipe.schedule == "one_cycle":
        learn.fit_one_cycle(epochs, recipe.lr)
    elif recipe.schedule == "poly":
        poly = ParamScheduler({"lr": lambda done: recipe.lr * (1 - done) ** 0.9})
        learn.fit(epochs, cbs=poly)
    else:
        learn.fit(epochs)
    return learn


def curves(learn, scores=("overall", "mean_iou", "f1")):
    """Draw the loss and some scores of a fit by epoch, with the epoch that was kept.

    Parameters
    ----------
    learn : fastai Learner
        From `learner`, fitted.
    scores : sequence of str
        Columns of ``learn.history``; the monitored one is always among them.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        The learner has not been fitted.
    """
    history = learn.history
    if history is None:
        raise ValueError("no epoch is finished yet: fit first, for example learn.fit(5)")
    monitor = learn.recipe.monitor
    scores = [name for name in dict.fromkeys((*scores, monitor)) if name in history]
    scores = [name for name in scores if "loss" not in name]
    blue, orange, green, purple, yellow = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"
    fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    plt.close(fig)  # the notebook shows the returned figure, once
    style = {"marker": "o", "markersize": 3.5}
    left.plot(history.epoch, history.train_loss, color=blue, label="training, smoothed", **style)
    left.plot(history.epoch, history.valid_loss, color=orange, ls="--", label="validation", **style)
    entropy = learn.recipe.loss == "cross_entropy"
    label = "cross entropy per pixel" if entropy else "cross entropy per pixel + Dice"
    left.set(xlabel="epoch", ylabel=label, title="Loss", ylim=(0, None))
    if entropy:
        summed = left.secondary_yaxis(
            "right", functions=(lambda y: y * CHIP_PIXELS, lambda y: y / CHIP_PIXELS)
        )
        summed.set_ylabel("summed over 224 × 224 pixels")
    for name, color, line in zip(
        scores, (green, purple, yellow, blue, orange), ("-", "--", "-.", ":", "-"), strict=False
    ):
        label = LABELS.get(name, name.replace("_", " "))
        right.plot(history.epoch, history[name], color=color, ls=line, label=label, **style)
    right.set(xlabel="epoch", ylabel="score on validation chips", title="Accuracy", ylim=(0, 1.02))
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if learn.best is not None:
            axes.axvline(learn.best["epoch"], color="0.4", lw=1, ls=":", label="epoch kept")
        axes.legend(frameon=False, fontsize="small")
    return fig


def save(learn, path):
    """Save the network with what it was trained on and how, as safetensors and JSON.

    Parameters
    ----------
    learn : fastai Learner
        From `learner`.
    path : str or Path
        Without ending.

    Returns
    -------
    Path
        The file of weights; `load` (or `toolkit.models.load`) reads it.
    """

    def plain(row):  # JSON knows no NaN
        return {k: None if pd.isna(v) else v for k, v in row.items()}

    history = [] if learn.history is None else learn.history.to_dict("records")
    statistics = learn.dls.statistics
    if "band" not in statistics:
        statistics = statistics.reset_index()
    return models.save(
        learn.model,
        path,
        recipe=dataclasses.asdict(learn.recipe),
        statistics=statistics.to_dict("records"),
        classes=learn.model.class_names,
        metrics=plain(learn.best or {}),
        history=[plain(row) for row in history],
    )


def load(path):
    """Load a network that `save` wrote, ready for `toolkit.mapping.predict`.

    Parameters
    ----------
    path : str or Path
        With or without ending.

    Returns
    -------
    toolkit.models.Network
        With ``.metadata``: recipe, statistics, classes, metrics, history.
    """
    return models.load(path)
