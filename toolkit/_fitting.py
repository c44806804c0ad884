"""What fastai lacks for training the papers' way: a loss, scores, layer rates and callbacks."""

import math
from functools import partial
from numbers import Real

import numpy as np
import pandas as pd
import torch
from fastai.basics import (
    Callback,
    CancelFitException,
    CrossEntropyLossFlat,
    Metric,
    OptimWrapper,
    set_seed,
)

from toolkit.accuracy import IGNORE, ConfusionMatrix

CHIP_PIXELS = 224 * 224  # Caffe's losses in the night-lights paper are sums over one such chip
BINARY = {"precision": "users", "recall": "producers"}  # as the papers on buildings name them
OPTIMISERS = {"adam": torch.optim.Adam, "nadam": torch.optim.NAdam, "sgd": torch.optim.SGD}


class CrossEntropy(CrossEntropyLossFlat):
    """Cross entropy over the pixels that have a label: softmax and log loss (ifcn, equation 5)."""

    def __init__(self, weight=None):
        weight = None if weight is None else torch.tensor(weight, dtype=torch.float32)
        super().__init__(axis=1, ignore_index=IGNORE, weight=weight)

    def __call__(self, inp, targ, **kwargs):
        """Compute the loss; a batch without any label costs nothing instead of NaN."""
        if inp.shape[:1] + inp.shape[2:] != targ.shape:
            raise ValueError(
                f"the network gives {tuple(inp.shape)} (batch, class, y, x) for labels of shape "
                f"{tuple(targ.shape)}. Labels must be (batch, y, x) on the network's output grid: "
                "for a network with output_scale 0.5 make the chips' labels half as large."
            )
        labelled = targ != IGNORE
        if not labelled.any() and self.reduction == "mean":
            return inp.sum() * 0
        values = targ[labelled]
        if len(values) and not 0 <= int(values.min()) <= int(values.max()) < inp.shape[1]:
            raise ValueError(
                f"labels run from {int(values.min())} to {int(values.max())}, but the network has "
                f"{inp.shape[1]} classes (0 to {inp.shape[1] - 1}; {IGNORE} = no label). "
                "Recode the labels or create the network with more classes."
            )
        return super().__call__(inp, targ, **kwargs)


class BinaryDice:
    """Binary cross entropy plus Dice, of one logit, over the pixels that have a label.

    ``mean(-y log p - (1 - y) log(1 - p)) + 1 - (2 sum(p y) + 1) / (sum(p) + sum(y) + 1)`` with the
    sums over the batch: what D-LinkNet was trained with (Zhou et al. 2018, section 3.2). The two
    ones keep the Dice of a batch without a building defined: they ask for no building there.
    """

    def __init__(self, reduction="mean"):
        self.reduction = reduction

    def __call__(self, inp, targ, **kwargs):
        """Compute the loss; a batch without any label costs nothing instead of NaN."""
        if inp.ndim != 4 or inp.shape[1] != 1 or inp.shape[:1] + inp.shape[2:] != targ.shape:
            raise ValueError(
                f"the network gives {tuple(inp.shape)} (batch, class, y, x) for labels of shape "
                f"{tuple(targ.shape)}; this loss takes one logit (classes=1) and labels (batch, y, "
                "x) on the network's output grid."
            )
        labelled = targ != IGNORE
        logit, truth = inp[:, 0][labelled], targ[labelled]
        if not len(truth):
            return inp.sum() * 0 if self.reduction != "none" else inp[:, 0] * 0
        if not 0 <= int(truth.min()) <= int(truth.max()) <= 1:
            raise ValueError(
                f"labels run from {int(truth.min())} to {int(truth.max())}; for one logit they are "
                f"0 or 1, and {IGNORE} where there is none."
            )
        truth, p = truth.to(logit.dtype), logit.sigmoid()
        entropy = torch.nn.functional.binary_cross_entropy_with_logits(
            logit, truth, reduction="none" if self.reduction == "none" else "mean"
        )
        dice = 1 - (2 * (p * truth).sum() + 1) / (p.sum() + truth.sum() + 1)
        if self.reduction != "none":
            return entropy + dice
        each = torch.zeros_like(inp[:, 0])  # a value per pixel, for fastai's plot_top_losses
        each[labelled] = entropy + dice
        return each

    def activation(self, logits):
        """Return the probability of the second class, as fastai's get_preds gives it."""
        return logits.sigmoid()

    def decodes(self, logits):
        """Return 1 where the second class is more probable, else 0; fastai shows it."""
        return (logits[:, 0] > 0).long()


LOSSES = {"cross_entropy": CrossEntropy, "bce_dice": BinaryDice}


def loss_of(recipe, model, classes):
    """Return the loss of a recipe for a network, after checking that they fit the data.

    One logit stands for the second of two classes; the network is named after it.
    """
    one = model.classes == 1
    if one != (recipe.loss == "bce_dice"):
        logits = "one logit" if one else f"{model.classes} logits"
        other = (
            "recipe.replace(loss='bce_dice'), or create it with classes=2"
            if one
            else "recipe.replace(loss='cross_entropy'), or create it with classes=1"
        )
        raise ValueError(f"loss {recipe.loss!r} does not fit a network with {logits}: {other}")
    wanted = 2 if one else model.classes
    if classes is not None and len(classes) != wanted:
        hint = "one logit tells two apart" if one else f"create it with classes={len(classes)}"
        raise ValueError(
            f"the data have {len(classes)} classes ({', '.join(map(str, classes))}), the network "
            f"{model.classes}: {hint}"
        )
    names = None if classes is None else [str(name) for name in classes]
    model.class_names = names[1:] if one and names else names
    if recipe.class_weights and (one or len(recipe.class_weights) != model.classes):
        raise ValueError(
            f"{len(recipe.class_weights)} class weights for a network of {model.classes} classes"
        )
    return BinaryDice() if one else CrossEntropy(recipe.class_weights)


def take_statistics(dls, model):
    """Copy the band statistics of the training chips into the model."""
    if not hasattr(dls, "statistics"):
        raise ValueError(
            "the DataLoaders carry no band statistics. Make them with chips.dataloaders, or set "
            "dls.statistics to a DataFrame with the columns band, mean and std."
        )
    table = dls.statistics.reset_index()
    if len(table) != model.in_channels:
        raise ValueError(
            f"the data have {len(table)} bands, the network expects {model.in_channels}: create "
            f"it with in_channels={len(table)}"
        )
    values = table[["mean", "std"]].to_numpy(dtype="float32", copy=True)
    if not np.isfinite(values).all() or (values[:, 1] <= 0).any():
        raise ValueError(
            f"the band statistics must be finite and std positive, got\n{table.to_string()}"
        )
    with torch.no_grad():
        model.mean.copy_(torch.from_numpy(values[:, 0]))
        model.std.copy_(torch.from_numpy(values[:, 1]))
    model.bands = [str(band) for band in table["band"]] if "band" in table else None


class Score(Metric):
    """A score of the confusion matrix of all validation pixels, not a mean over batches.

    f1, iou, precision (user's accuracy) and recall (producer's) are those of the second of two
    classes, which a single logit tells, and means over more than two.
    """

    def __init__(self, name, classes):
        self._name, self.classes = name, max(classes, 2)
        self.reset()

    @property
    def name(self):
        """Name of the score, as `toolkit.accuracy.ConfusionMatrix` has it, or of `BINARY`."""
        return self._name

    def reset(self):
        """Forget all pixels."""
        self.counts = torch.zeros(self.classes, self.classes, dtype=torch.long)

    def accumulate(self, learn):
        """Count one batch."""
        one, truth = learn.pred.shape[1] == 1, learn.yb[0].long()
        predicted = (learn.pred[:, 0] > 0).long() if one else learn.pred.argmax(1)
        labelled = truth != IGNORE
        cells = predicted[labelled] * self.classes + truth[labelled]
        counts = torch.bincount(cells.flatten(), minlength=self.classes**2).cpu()
        self.counts += counts.reshape(self.classes, self.classes)

    @property
    def value(self):
        """Score of all pixels so far, NaN where it is not defined."""
        score = getattr(ConfusionMatrix(self.counts.numpy()), BINARY.get(self.name, self.name))
        if isinstance(score, pd.Series):
            score = score.iloc[1] if self.classes == 2 else score.mean()
        return float(score)


class LossSum(Metric):
    """Loss summed over one 224 x 224 chip, as Caffe reports it: 50,176 times the mean per pixel."""

    name = "loss_sum"

    def __init__(self):
        self.reset()

    def reset(self):
        """Forget all pixels."""
        self.total, self.pixels = 0.0, 0

    def accumulate(self, learn):
        """Count one batch."""
        pixels = int((learn.yb[0] != IGNORE).sum())
        self.total += float(learn.loss) * pixels
        self.pixels += pixels

    @property
    def value(self):
        """Sum for a chip that is labelled everywhere, NaN before the first pixel."""
        return self.total / self.pixels * CHIP_PIXELS if self.pixels else math.nan


class LayerRates(OptimWrapper):
    """A torch optimiser whose groups keep their multipliers whatever rate is set.

    Caffe's rule: a layer's rate is base rate x lr_mult, its decay base decay x decay_mult. fastai
    sets one rate for all groups in ``fit(lr=...)`` and ``lr_find``; here that is the base rate.
    A list of rates, one per group, is taken as it is.
    """

    def __init__(self, params, lr, opt, multipliers, **settings):
        super().__init__(params, opt=opt, lr=lr, **settings)
        lrs, decays = zip(*multipliers, strict=True)
        self.multipliers = {"lr": lrs, "wd": decays}
        self.set_hypers(lr=lr, wd=settings["weight_decay"])

    def set_hyper(self, k, v):
        """Set a hyper-parameter of every group; rates and decays are multiplied."""
        if k in self.multipliers and isinstance(v, Real):
            v = [v * multiplier for multiplier in self.multipliers[k]]
        super().set_hyper(k, v)


def groups(model):
    """Return parameters grouped by multipliers, and the multipliers; the base group comes last."""
    pairs = model.lr_multipliers()
    # fastai's recorder and lr_find look at the last group.
    multipliers = sorted(set(pairs.values()), key=lambda pair: (pair == (1.0, 1.0), pair))
    named = dict(model.named_parameters())
    return [[named[n] for n, p in pairs.items() if p == m] for m in multipliers], multipliers


def optimiser(recipe, multipliers):
    """Return what builds the optimiser of a recipe over such groups."""
    settings = {"weight_decay": recipe.weight_decay}
    if recipe.optimiser == "sgd":
        settings["momentum"] = recipe.momentum
    else:
        settings |= {"betas": tuple(recipe.betas), "eps": recipe.eps}
    opt = OPTIMISERS[recipe.optimiser]
    return partial(LayerRates, opt=opt, multipliers=multipliers, **settings)


class SeedFit(Callback):
    """Makes a fit repeatable: the same seed, data and machine give the same weights on a CPU."""

    order = -20

    def __init__(self, seed):
        self.seed = seed

    def before_train(self):
        """Seed torch, NumPy, Python and the order of the chips when training starts."""
        if self.epoch == 0:
            set_seed(self.seed, reproducible=True)
            if hasattr(self.dls.train, "rng"):
                self.dls.train.rng.seed(self.seed)


class StopOnNaN(Callback):
    """Stops with advice when the loss is no longer a number; the best weights are put back."""

    order = -9

    def after_loss(self):
        """Look at the loss before it reaches the weights."""
        if self.training and not hasattr(self.learn, "lr_finder") and not self.loss.isfinite():
            if hasattr(self.learn, "keep_best"):
                self.learn.keep_best.restore()
            raise FloatingPointError(
                f"the loss became {self.loss.item()} in epoch {self.epoch}, batch {self.iter}, at "
                f"learning rate {self.opt.hypers[-1]['lr']:g}. Lower it (recipe.replace(lr=...), "
                "or look for one with learn.lr_find()), and check the image for infinite values "
                "and the statistics of its bands."
            )


LAST = "last"
"""What to monitor where the last epoch's weights are wanted, whatever they score."""


class KeepBest(Callback):
    """Keeps every epoch's numbers and the best epoch's weights, in memory, and stops in time.

    ``learn.history`` is a DataFrame with one row per epoch of the last fit; ``learn.best`` is the
    best row as a dict. When the fit ends the best weights are put back; after an interrupted one
    call ``learn.keep_best.restore()``.
    """

    order = 60  # after the Recorder

    def __init__(self, monitor, patience=None, stop_on="valid_loss"):
        self.monitor, self.patience, self.stop_on = monitor, patience, stop_on
        self.active, self.weights = False, None

    def before_fit(self):
        """Wait for training: validation alone calls this too."""
        self.active = False

    def before_train(self):
        """Start afresh with each fit, and check that the monitored column exists."""
        self.active = not hasattr(self.learn, "lr_finder")
        if self.active and self.epoch == 0:
            columns = [name for name in self.recorder.metric_names if name not in ("epoch", "time")]
            wanted = [] if self.monitor == LAST else [self.monitor]
            for column in (*wanted, *([self.stop_on] if self.patience else [])):
                if column not in columns:
                    raise ValueError(f"cannot monitor {column!r}: there are {', '.join(columns)}")
            self.columns, self.rows, self.weights = columns, [], None
            self.learn.best = None

    def after_epoch(self):
        """Record the epoch, keep its weights if they are the best, stop if nothing improves."""
        if not self.active:
            return
        values = dict(zip(self.columns, self.recorder.values[-1], strict=True))
        self.rows.append({"epoch": self.epoch + 1, **values})
        self.learn.history = pd.DataFrame(self.rows)
        if self.monitor == LAST or self._best(self.monitor) == self.epoch:
            self.learn.best = self.rows[-1]
            self.weights = {
                key: value.detach().cpu().clone() for key, value in self.model.state_dict().items()
            }
        if self.patience and self.epoch - self._best(self.stop_on) >= self.patience:
            print(f"Stopped: {self.stop_on} has not improved for {self.patience} epochs.")
            raise CancelFitException()

    def _best(self, column):
        """Index of the best row; of equal scores, that with the lower validation loss."""
        sign = -1 if "loss" in column else 1

        def rank(i):
            pair = sign * self.rows[i][column], -self.rows[i].get("valid_loss", math.nan)
            return [-math.inf if math.isnan(value) else value for value in pair]

        return max(range(len(self.rows)), key=rank)

    def restore(self):
        """Put the best weights back into the model."""
        if self.weights is not None:
            self.model.load_state_dict(self.weights)

    def after_fit(self):
        """Put the best weights back."""
        if self.active:
            self.restore()
