"""Which methods: networks trained on imperfect labels, and a random forest; each gives a map."""

import random
import warnings

import numpy as np
import xarray as xr
from scipy import ndimage

from toolkit import chips, mapping, models, training
from toolkit._checks import changed, choice, not_negative
from toolkit.chips.windows import class_shares
from toolkit.experiments.land_cover.places import SOURCES

NETWORKS = {"HRNet": "hrnet_w24", "FC-DenseNet": "fc_densenet64", "U-Net": "unet"}
"""Name in the paper -> name in `toolkit.models`."""

WIDTHS = {"HRNet": 1 / 4, "FC-DenseNet": 1 / 4, "U-Net": 1 / 8}
"""Channels relative to the published network, where the profile is not "paper"."""

PROFILES = {
    "smoke": dict(
        scene=dict(chip=256, crop=65, batch_size=4, epochs=1, first=1),
        raleigh=dict(chip=48, crop=33, batch_size=8, epochs=2, first=1),
        rate=0.1,
        schedule="one_cycle",
        guard=8,
    ),
    "quick": dict(
        scene=dict(chip=128, crop=64, batch_size=8, epochs=12, first=3, guard=64),
        raleigh=dict(chip=48, crop=33, batch_size=8, epochs=30, first=15, guard=12),
        rate=0.1,
        schedule="one_cycle",
    ),
    "paper": dict(
        scene=dict(chip=640, crop=513, guard=64),
        raleigh=dict(chip=96, crop=65, guard=12),
        rate=0.01,
        schedule="constant",
        batch_size=32,
        epochs=120,
        first=120,
        width=1.0,
    ),
}
"""How much work is done. `first` is the length of the preliminary training before the filter."""

WATCHED = 24
"""Held-out chips that are scored after every pass over the training chips."""


def setting(profile="quick", source="scene", network="HRNet", **changes):
    """Look up how much work a profile does at a source.

    Parameters
    ----------
    profile : {"smoke", "quick", "paper"}
        See `PROFILES`.
    source : {"scene", "raleigh"}
        See `places.SOURCES`.
    network : str
        Key of `NETWORKS`; gives the width.
    **changes
        Other values: chip, crop, stride, block, guard (pixels), batch_size, epochs, first, rate,
        schedule, width, weight (of the class of sealed land in the loss), norm, stem. None and
        empty text change nothing, zeros change the guard alone.

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        No such profile, source or network, a negative number, or a crop larger than a chip.
    TypeError
        No such value.

    Examples
    --------
    >>> setting("quick", "scene", epochs=2)["epochs"]
    2
    """
    choice(profile, tuple(PROFILES), "profile")
    choice(source, tuple(SOURCES), "source")
    choice(network, tuple(NETWORKS), "network")
    common = {k: v for k, v in PROFILES[profile].items() if k not in SOURCES}
    chosen = {"width": WIDTHS[network], "weight": SOURCES[source]["weight"], "stride": None}
    chosen |= {"block": None, "norm": "instance", "stem": "two"} | common
    chosen |= PROFILES[profile][source]
    chosen = changed(chosen, changes, zeros=("guard",))
    not_negative(chosen)
    choice(chosen["norm"], ("instance", "batch"), "norm")
    choice(chosen["stem"], ("two", "one"), "stem")
    if chosen["crop"] > chosen["chip"]:
        raise ValueError(f"crop={chosen['crop']} is larger than a chip of {chosen['chip']} pixels")
    return chosen


def network_of(network, place, seed=0, width=None, norm="instance", stem="two", **_):
    """Create a network of the chapter for the bands and classes of a ground.

    Parameters
    ----------
    network : str
        Key of `NETWORKS`.
    place : Ground
        See `places.ground`.
    seed : int
        Of the first weights.
    width : float, optional
        Relative to the published network; that of `WIDTHS` where left out.
    norm, stem : str
        HRNet's own, see `toolkit.models.hrnet`.

    Returns
    -------
    toolkit.models.Network
    """
    choice(network, tuple(NETWORKS), "network")
    # Batch normalisation lets the plain U-Net learn with the rate that the others learn with.
    own = {"HRNet": {"norm": norm, "stem": stem}, "U-Net": {"batch_norm": True}}.get(network, {})
    return models.create(
        NETWORKS[network],
        in_channels=place.image.sizes["band"],
        classes=len(place.classes),
        width=width or WIDTHS[network],
        seed=seed,
        **own,
    )


def _crop(size, seed):
    """A fastai transform that cuts a random square out of every training chip, anew each epoch."""
    from fastai.vision.all import ItemTransform

    class Crop(ItemTransform):
        split_idx = 0
        order = 5
        draw = random.Random(seed)

        def encodes(self, pair):
            image, mask = pair
            row, col = (self.draw.randint(0, n - size) for n in mask.shape[-2:])
            window = (..., slice(row, row + size), slice(col, col + size))
            return image[window], mask[window]

    return Crop()


def loaders(place, table, seed=0, batch_size=8, crop=None, **_):
    """Make fastai DataLoaders: random crops of training chips, whole held-out chips.

    Parameters
    ----------
    place : Ground
        From `places.ground`.
    table : geopandas.GeoDataFrame
        Chips with the column split.
    seed : int
        Of order, turns and crops.
    batch_size : int
        Chips in a batch.
    crop : int, optional
        Side of the squares in pixels, 513 of 1024 in the paper; whole chips where left out.

    Returns
    -------
    fastai.data.core.DataLoaders

    Raises
    ------
    ValueError
        The training chips hold one class only.
    """
    watched = table[table["split"] == "valid"]
    if len(watched) > WATCHED:  # for a curve; the maps are scored on all held-out ground
        kept = watched.sample(WATCHED, random_state=seed).index
        table = table[(table["split"] != "valid") | table.index.isin(kept)]
    seen = class_shares(table[table["split"] == "train"]).max() > 0
    if seen.sum() == 1:
        raise ValueError(
            f"the training chips hold one class only, {seen.idxmax()}: a "
            "network would learn to say it always. Give it more ground, or less of a filter."
        )
    with warnings.catch_warnings():
        # Snow lies nowhere in the city: the network has an output for it, as in the paper.
        warnings.filterwarnings("ignore", "no training chip holds")
        out = chips.dataloaders(
            place.image, place.label, table, batch_size=batch_size, augment=True, seed=seed
        )
    if crop and crop < int(table["size"].iloc[0]):
        out.train.after_item.add(_crop(int(crop), seed))
    return out


def train(
    network, place, table, seed=0, epochs=None, callbacks=(), monitor="train_loss", **setting
):
    """Train one network on the imperfect labels of the training chips.

    The recipe is the paper's: SGD with momentum 0.9, cross entropy in which sealed land counts
    more. Rate, schedule and length are the profile's.

    Parameters
    ----------
    network : str or toolkit.models.Network
        Key of `NETWORKS`, or a network to go on with.
    place : Ground
        From `places.ground`; the network sees image and label, never the truth.
    table : geopandas.GeoDataFrame
        Chips with the column split.
    seed : int
        Of first weights, order, turns and crops.
    epochs : int, optional
        Passes over the training chips, instead of the setting's.
    callbacks : sequence
        Further fastai callbacks, such as `toolkit.pruning.FPGM`.
    monitor : str
        Whose best epoch is kept; "last" for pruning, whose loss is lowest before anything is gone.
    **setting
        See `setting`.

    Returns
    -------
    fastai.learner.Learner
        Fitted. By default the weights are those of the epoch with the lowest training loss:
        nothing is chosen by held-out ground.

    Examples
    --------
    >>> learn = train("HRNet", place, sample(place), **setting("smoke"))  # doctest: +SKIP
    """
    data = loaders(place, table, seed, setting.get("batch_size", 8), setting.get("crop"))
    model = network_of(network, place, seed, **setting) if isinstance(network, str) else network
    sealed = SOURCES.get(place.source, {}).get("sealed")
    heavy = float(setting.get("weight", 1.0))
    weights = tuple(heavy if name == sealed else 1.0 for name in place.names)
    recipe = training.recipe("land_cover_3m").replace(
        lr=float(setting.get("rate", 0.01)),
        schedule=setting.get("schedule", "constant"),
        batch_size=int(setting.get("batch_size", 8)),
        epochs=int(epochs or setting.get("epochs", 120)),
        class_weights=weights,
        monitor=monitor,
        metrics=("overall", "mean_iou"),
        seed=seed,
    )
    learn = training.learner(data, model, recipe)
    learn.add_cbs(list(callbacks))
    with learn.no_logging():
        return training.fit(learn)


def probability(model, place, tile=1024, halo=64):
    """Map a whole ground: the probability of every class.

    Parameters
    ----------
    model : toolkit.models.Network
        Trained.
    place : Ground
        May be another place, or day, than that of training.
    tile, halo : int
        Side of a tile and what is read around it, pixels. See `borders` for what they change.

    Returns
    -------
    xarray.DataArray
        (class, y, x), NaN where there is no data; computed.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "halo=")  # chosen smaller than the field; see `borders`
        found = mapping.predict(
            model, place.image, tile=tile, batch_size=1, halo=halo, classes=place.classes
        )
        return found.compute(scheduler="synchronous")


def class_map(probability, clahe=False, sealed="Impervious"):
    """Turn probabilities into classes, with or without the paper's treatment of sealed land.

    Parameters
    ----------
    probability : xarray.DataArray
        (class, y, x), from `probability`.
    clahe : bool
        Reweight the class of sealed land first, see `toolkit.refine.clahe_reweight`.
    sealed : str
        Its name.

    Returns
    -------
    xarray.DataArray
        (y, x) uint8, 255 where there is no data.
    """
    if clahe:
        from toolkit import refine

        probability = refine.clahe_reweight(probability, sealed)
    return mapping.classes(probability).compute()


def _features(image, window):
    """Bands, and their means and standard deviations over a square: (band, y, x)."""
    values = image.values.astype(np.float32)
    if window == 1:
        return values
    known = np.isfinite(values)
    filled = np.where(known, values, np.nanmean(values, axis=(1, 2), keepdims=True))
    size = (0, window, window)
    mean = ndimage.uniform_filter(filled, [1, *size[1:]])
    square = ndimage.uniform_filter(filled**2, [1, *size[1:]])
    spread = np.sqrt(np.maximum(square - mean**2, 0))
    return np.concatenate([values, mean, spread])


def forest(place, table, where=None, seed=0, pixels=60_000, trees=100, window=5):
    """Map a ground with a random forest, from each pixel's bands and its neighbourhood.

    Parameters
    ----------
    place : Ground
        From `places.ground`.
    table : geopandas.GeoDataFrame
        Chips with the column split; the forest learns from the labels of training chips.
    where : xarray.DataArray, optional
        (y, x), true where to map; everywhere where left out, which is slow on a large scene.
    seed : int
        Of the draw of pixels and of the trees.
    pixels : int
        Training pixels drawn at most, without regard to class.
    trees : int
        Their number.
    window : int
        Side of the neighbourhood in pixels, of which the forest sees mean and standard deviation
        of every band; 1 for the pixel's own bands alone.

    Returns
    -------
    xarray.DataArray
        (y, x) uint8, 255 where there is no data in every band or `where` is false.

    Raises
    ------
    ValueError
        The training chips hold fewer than two classes.
    """
    from sklearn.ensemble import RandomForestClassifier

    known = chips.ground(table, place.image, "train").values & (place.label.values != chips.IGNORE)
    known = np.flatnonzero(known)
    if len(np.unique(place.label.values.ravel()[known])) < 2:
        raise ValueError("forest: the training chips hold fewer than two classes")
    rng = np.random.default_rng(seed)
    known = rng.choice(known, min(int(pixels), len(known)), replace=False)
    seen = _features(place.image, window)
    seen = seen.reshape(len(seen), -1).T
    machine = RandomForestClassifier(trees, min_samples_leaf=2, random_state=seed, n_jobs=-1)
    machine.fit(seen[known], place.label.values.ravel()[known])
    wanted = np.isfinite(place.image.values).all(axis=0)
    wanted = np.flatnonzero(wanted & (True if where is None else np.asarray(where)))
    out = np.full(place.label.size, chips.IGNORE, np.uint8)
    for part in np.array_split(wanted, max(1, len(wanted) // 1_000_000)):
        if len(part):
            out[part] = machine.predict(seen[part])
    attrs = place.truth.attrs | {"title": "Land cover, mapped by a random forest"}
    return place.truth.copy(data=out.reshape(place.label.shape)).assign_attrs(attrs)


def agreement(place, found, where=None):
    """Count a map against the truth of a ground.

    Parameters
    ----------
    place : Ground
        From `places.ground`.
    found : xarray.DataArray
        (y, x) class codes.
    where : xarray.DataArray, optional
        (y, x), true where to count.

    Returns
    -------
    toolkit.accuracy.ConfusionMatrix
    """
    from toolkit import accuracy

    truth = place.truth
    if where is not None:
        truth = xr.where(where, truth, chips.IGNORE).astype("uint8")
        truth = truth.rio.write_crs(place.image.rio.crs).rio.write_nodata(chips.IGNORE)
    return accuracy.confusion(truth, found, place.classes)
