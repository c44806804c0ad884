"""Which networks, trained how: from chips of several cities to a map at 20 m and its scores."""

import time
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from toolkit import accuracy, chips, mapping, models, training
from toolkit._checks import changed, choice, not_negative
from toolkit._fitting import Score
from toolkit.experiments.settlements.places import CITIES, CLASSES, ROLES, SEASONS, ground

NETWORKS = {
    "Sen2HSE": "sen2hse",
    "U-Net": "unet_half",
    "ResNet-PSPNet": "pspnet_resnet50",
    "ResNet-FCN-8": "fcn8_resnet50",
    "FCN + dual attention": "fcn_dual_attention",
}
"""Name in Table 5 -> name in `toolkit.models`."""

WIDTHS = {
    "Sen2HSE": 1 / 4,
    "U-Net": 1 / 8,
    "ResNet-PSPNet": 1 / 4,
    "ResNet-FCN-8": 1 / 4,
    "FCN + dual attention": 1 / 8,
}
"""Channels relative to the published network, where the profile is not "paper"."""

PROFILES = {
    "smoke": dict(
        train=2, near=1, far=1, size=2400, seasons=("summer",), chip=64, stride=48,
        epochs=1, rate=2e-3, schedule="one_cycle", patience=None,
    ),
    "quick": dict(
        train=5, near=3, far=10, size=6000, seasons=SEASONS, chip=128, stride=96,
        epochs=6, rate=2e-3, schedule="one_cycle", patience=None,
    ),
    "paper": dict(
        train=5, near=3, far=10, size=12_000, seasons=SEASONS, chip=128, stride=96,
        epochs=100, rate=2e-4, schedule="constant", patience=10, width=1.0,
    ),
}  # fmt: skip
"""How much work is done: cities of each role, metres, seasons trained on, pixels, and the recipe.
"paper" has the published rate, length and widths; "quick" one cycle with a higher peak, since few
passes at 2e-4 leave a network half trained."""

TILE = 128
"""Side of a tile for networks that see the whole image at once: as large as in training."""


def setting(profile="quick", network="Sen2HSE", **changes):
    """Look up how much work a profile does.

    Parameters
    ----------
    profile : {"smoke", "quick", "paper"}
        Key of `PROFILES`.
    network : str
        Key of `NETWORKS`; gives the width.
    **changes
        Other values: train, near, far (numbers of cities), size (m), seasons, chip, stride
        (pixels), epochs, rate, schedule, patience, batch_size, width, depth, filters. None and
        zeros change nothing.

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        No such profile or network, or a negative number.
    TypeError
        No such value.

    Examples
    --------
    >>> setting("quick", epochs=2)["epochs"]
    2
    """
    choice(profile, tuple(PROFILES), "profile")
    choice(network, tuple(NETWORKS), "network")
    chosen = {"batch_size": 8, "width": WIDTHS[network], "depth": 2, "filters": 16}
    chosen |= PROFILES[profile]
    chosen = changed(chosen, changes)
    not_negative(chosen)
    return chosen


def grounds(role, size=6000, seasons=SEASONS, **numbers):
    """Open the cities of a role: training cities once for each season, others in their own.

    Parameters
    ----------
    role : {"train", "near", "far"}
        See `toolkit.experiments.settlements.places.CITIES`.
    size : int
        Side of each city in metres.
    seasons : sequence of str
        Of the training images.
    **numbers
        From `setting`; the one named like the role says how many cities, from the first on.

    Returns
    -------
    list of Ground
    """
    choice(role, ROLES, "role")
    names = CITIES.loc[CITIES["role"] == role, "city"][: numbers.get(role)]
    when = seasons if role == "train" else (None,)
    return [ground(name, season, size) for name in names for season in when]


def network_of(network="Sen2HSE", seed=0, width=None, depth=2, filters=16, **_):
    """Create a network of the chapter at the width of a setting, for ten bands and two classes."""
    choice(network, tuple(NETWORKS), "network")
    own = {"depth": depth, "filters": filters} if network == "Sen2HSE" else {}
    return models.create(
        NETWORKS[network],
        in_channels=10,
        classes=2,
        width=width or WIDTHS[network],
        seed=seed,
        **own,
    )


class Fraction:
    """Cross entropy with the sealed share as target; targets hold per cent, 255 is ignored.

    For two classes it equals the "binary_crossentropy" of the authors' code, whose labels are
    divided by 100.
    """

    def __call__(self, logits, percent, **_):
        """Mean over the cells that have a label."""
        known = percent != chips.IGNORE
        share = torch.where(known, percent, 0).float() / 100
        target = torch.stack([1 - share, share], dim=1)
        loss = F.cross_entropy(logits, target.to(logits.dtype), reduction="none")
        return (loss * known).sum() / known.sum().clamp(min=1)

    def activation(self, logits):
        """Softmax; fastai shows it."""
        return logits.softmax(dim=1)

    def decodes(self, logits):
        """Most probable class."""
        return logits.argmax(dim=1)


class SealedScore(Score):
    """A score of settlement (more than 0 % sealed) where the targets hold per cent."""

    def accumulate(self, learn):
        """Count one batch."""
        percent = learn.yb[0]
        codes = torch.where(percent == chips.IGNORE, percent, (percent > 0).long())
        super().accumulate(SimpleNamespace(pred=learn.pred, yb=[codes]))


def loaders(grounds, tables, target="binary", batch_size=8, seed=0):
    """Make fastai DataLoaders of chips of several cities, with targets of half their size.

    Parameters
    ----------
    grounds : list of Ground
        Of one or several cities and seasons.
    tables : list of GeoDataFrame
        From `toolkit.experiments.settlements.sample`, one for each.
    target : {"binary", "fractional"}
        Settlement or not, as the paper says; or the sealed per cent, as its code suggests.
    batch_size : int
        Chips in a batch.
    seed : int
        Of order and turns.

    Returns
    -------
    fastai.data.core.DataLoaders
    """
    choice(target, ("binary", "fractional"), "target")
    labels = [place.label if target == "binary" else place.impervious for place in grounds]
    classes = CLASSES
    if target == "fractional":
        classes = [{"value": n, "name": f"{n} %", "color": "#d55e00"} for n in range(101)]
        labels = [each.assign_attrs(classes=classes) for each in labels]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "no training chip holds '[0-9]+ %'")
        out = chips.dataloaders(
            [place.image for place in grounds],
            labels,
            tables,
            batch_size=batch_size,
            target_scale=1 / 2,
            classes=classes,
            display=["B4", "B3", "B2"],
            seed=seed,
        )
    out.classes, out.codes = ([item[key] for item in CLASSES] for key in ("name", "value"))
    return out


def train(network, grounds, tables, seed=0, target="binary", **setting):
    """Train one network on chips of several cities.

    The recipe is the paper's: NAdam, batches of 8, He's first weights, the best epoch by F1 of
    the validation chips (by their loss where shares are learnt). Rate, schedule, length and
    patience are the setting's.

    Parameters
    ----------
    network : str
        Key of `NETWORKS`.
    grounds : list of Ground
        Training cities, from `grounds`.
    tables : list of GeoDataFrame
        One for each, from `toolkit.experiments.settlements.sample`.
    seed : int
        Of first weights, order, turns and dropout.
    target : {"binary", "fractional"}
        See `loaders`.
    **setting
        See `setting`.

    Returns
    -------
    fastai.learner.Learner
        Fitted; ``learn.best["f1"]`` is against the labels of the validation chips.

    Examples
    --------
    >>> learn = train("Sen2HSE", grounds, tables, **setting("smoke"))  # doctest: +SKIP
    """
    names = ("overall", "f1", "kappa")
    batch = int(setting.get("batch_size", 8))
    recipe = training.recipe("sen2hse").replace(
        lr=float(setting.get("rate", 2e-4)),
        schedule=setting.get("schedule", "constant"),
        # At one half only cells that are mostly sealed are settlement: F1 there is no guide.
        monitor="valid_loss" if target == "fractional" else "f1",
        patience=setting.get("patience"),
        epochs=int(setting.get("epochs", 100)),
        batch_size=batch,
        metrics=names,
        seed=seed,
    )
    data = loaders(grounds, tables, target, batch, seed)
    model = network_of(network, seed, **setting)
    shares = [SealedScore(name, 2) for name in names] if target == "fractional" else None
    learn = training.learner(data, model, recipe, metrics=shares)
    if target == "fractional":
        learn.loss_func = Fraction()
    with learn.no_logging():
        return training.fit(learn)


def probability(model, place, tile=None, halo=None):
    """Map a ground: the probability of other land and of settlement, in cells of 20 m.

    Parameters
    ----------
    model : toolkit.models.Network
        Trained.
    place : Ground
        Any.
    tile, halo : int, optional
        Pixels; by default 1024 with the halo that leaves no seam, or 128 without halo for
        networks that see the whole image at once.

    Returns
    -------
    xarray.DataArray
        (class, y, x), computed; NaN where there is no data.
    """
    return _predicted(model, place.image, tile, halo).compute(scheduler="synchronous")


def _predicted(model, image, tile, halo):
    bounded = model.receptive_field is not None
    tile, batch = tile or (1024 if bounded else TILE), 1 if bounded and not tile else 8
    halo = halo if bounded or halo is not None else 0
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "halo=|the receptive field")  # said in the docstring
        return mapping.predict(
            model, image, tile=tile, halo=halo, batch_size=batch, classes=CLASSES
        )


def shifted(model, place, tile=TILE, shifts=(0, 32, 64, 96)):
    """Map a ground as the authors' code does: four shifted tilings, averaged.

    Each tiling starts so many pixels up and left of the image, which is mirrored there; its tiles
    do not see their neighbours.

    Parameters
    ----------
    model : toolkit.models.Network
        Trained.
    place : Ground
        Any, larger than the largest shift.
    tile : int
        Side of a tile, pixels.
    shifts : sequence of int
        Even numbers of pixels, smaller than a tile.

    Returns
    -------
    xarray.DataArray
        (class, y, x), the mean of the tilings, on the cells of the image. (The authors' file is
        shifted by half a pixel and holds the sum times 10,000.)

    Raises
    ------
    ValueError
        An odd shift, or one as large as a tile or the image.
    """
    limit = min(tile, *place.image.shape[1:])
    if any(shift % 2 or not 0 <= shift < limit for shift in shifts):
        raise ValueError(f"shifts={tuple(shifts)}: give even numbers from 0 to below {limit}")
    total = 0
    for shift in shifts:
        wide = _mirrored(place.image, shift)
        found = _predicted(model, wide, tile, 0).compute(scheduler="synchronous")
        total = total + found.values[:, shift // 2 :, shift // 2 :] / len(shifts)
    return _predicted(model, place.image, tile, 0).copy(data=total)


def _mirrored(image, shift):
    """The image with so many mirrored rows above and columns at the left."""
    if not shift:
        return image
    values = np.pad(image.values, ((0, 0), (shift, 0), (shift, 0)), mode="reflect")
    at = {}
    for axis in ("y", "x"):
        known = image[axis].values
        step = (known[-1] - known[0]) / (len(known) - 1)
        at[axis] = np.concatenate([known[0] + step * np.arange(-shift, 0), known])
    out = image.isel(y=0, x=0, drop=True).expand_dims(y=at["y"], x=at["x"])
    out = out.transpose("band", "y", "x").copy(data=values)
    return out.rio.write_crs(image.rio.crs).rio.write_nodata(np.nan)


def class_map(probability, cut=None):
    """Turn probabilities into settlement (1) and other (0), 255 where unknown.

    Parameters
    ----------
    probability : xarray.DataArray
        (class, y, x).
    cut : float, optional
        Settlement from this probability on; the more probable class where left out.
    """
    return mapping.classes(probability, cut).compute()


def scored(found, reference):
    """Scores of Table 3 of a map, pixel by pixel.

    Parameters
    ----------
    found, reference : xarray.DataArray
        (y, x) codes on one grid.

    Returns
    -------
    dict of str to float
        kappa, average (mean of both recalls), commission, recall and f1 of settlement, overall.

    Examples
    --------
    >>> scored(place.label, place.truth)["recall"]  # doctest: +SKIP
    0.9
    """
    matrix = accuracy.confusion(reference, found, CLASSES)
    return {
        "kappa": matrix.kappa,
        "average": matrix.average,
        "commission": matrix.commission["Settlement"],
        "recall": matrix.producers["Settlement"],
        "f1": matrix.f1["Settlement"],
        "overall": matrix.overall,
    }


def best_cut(model, grounds, tables):
    """Find the probability from which settlement scores best on validation chips' labels.

    Parameters
    ----------
    model : toolkit.models.Network
        Trained.
    grounds : list of Ground
        Training cities.
    tables : list of GeoDataFrame
        Their chips.

    Returns
    -------
    float
    """
    codes, score = [], []
    for place, table in zip(grounds, tables, strict=True):
        held = chips.ground(table, place.image, "valid").values[::2, ::2]
        codes.append(place.label.values[held])
        score.append(probability(model, place).values[1][held])
    return accuracy.optimal_threshold(np.concatenate(codes), np.concatenate(score))


def ways(model, grounds):
    """Compare ways to map a city: without seams, in plain tiles, and by four shifted tilings.

    Parameters
    ----------
    model : toolkit.models.Network
        Trained, with a finite receptive field or not.
    grounds : list of Ground
        With truth.

    Returns
    -------
    pandas.DataFrame
        One row a way: f1 and kappa (means over the cities) and seconds_per_megapixel (of 10 m),
        as measured here.
    """
    rows = []
    for name, way in (
        ("tiles with halo", probability),
        ("tiles of 128, no halo", lambda model, place: probability(model, place, TILE, 0)),
        ("four shifts, mean", shifted),
    ):
        begun, found = time.perf_counter(), [way(model, place) for place in grounds]
        pixels = sum(place.image[0].size for place in grounds)
        spent = time.perf_counter() - begun
        each = [scored(class_map(f), p.truth) for f, p in zip(found, grounds, strict=True)]
        mean = pd.DataFrame(each)[["f1", "kappa"]].mean()
        rows.append({"way": name, **mean, "seconds_per_megapixel": spent / pixels * 1e6})
    return pd.DataFrame(rows)
