"""How well are buildings found? Training round by round, and scores by pixel and by building."""

import warnings

import pandas as pd

from toolkit import accuracy, buildings, chips, mapping, models, training
from toolkit._checks import changed, choice, not_negative
from toolkit.experiments.roof_greening.places import BANDS, SAMPLE, inside, mask

PROFILES = {
    "smoke": dict(
        side=1600, number=2, held_out=1, rounds=(1, 2), chip=125, epochs=4, width=1 / 8,
        batch_size=4, rate=1e-2, draws=20,
    ),
    "quick": dict(
        side=3200, number=5, held_out=1, rounds=(2, 5), chip=250, epochs=8, width=1 / 2,
        batch_size=4, rate=2e-3, draws=100,
    ),
    "paper": dict(
        side=12_000, number=72, held_out=8, rounds=(24, 48, 72), chip=1000, epochs=139, width=1.0,
        batch_size=4, rate=2e-4, draws=400,
    ),
}  # fmt: skip
"""How much work is done: side of the area (m), samples to train on and to look at, how many are
sketched by the end of each round, side of a chip (pixels), passes of a round over its chips (on
paper's samples: 5,004 steps in three rounds), learning rate, and how often judgements are drawn
anew."""


def setting(profile="quick", **changes):
    """Look up how much work a profile does.

    Parameters
    ----------
    profile : {"smoke", "quick", "paper"}
        See `PROFILES`.
    **changes
        Other values of these names. None and 0 change nothing.

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        No such profile, or a negative number.
    TypeError
        No such value.

    Examples
    --------
    >>> setting("quick", epochs=5)["epochs"]
    5
    """
    choice(profile, tuple(PROFILES), "profile")
    chosen = changed(PROFILES[profile], changes)
    not_negative(chosen)
    return chosen


def train(place, table, seed=0, enough=0.9, **setting):
    """Train D-LinkNet as section 2.3 does: sketch samples, train, look, sketch more, go on.

    Every round starts from the network of the one before and has more samples. It ends as soon as
    the precision on the held-out samples is enough, or all samples are used.

    Parameters
    ----------
    place : Ground
        See `places.ground`.
    table : geopandas.GeoDataFrame
        See `places.samples`.
    seed : int
        Of first weights, order and turns.
    enough : float
        Precision of building pixels on the held-out samples; 1 uses all samples.
    **setting
        See `setting`.

    Returns
    -------
    fastai.learner.Learner
        Of the last round, fitted; the epoch with the best IoU on held-out samples is kept.
    pandas.DataFrame
        One row a round: samples, chips, and the scores of the kept epoch.
    """
    image = place.image.sel(band=list(BANDS))
    size = setting["batch_size"]
    model = models.create(
        "dlinknet34", in_channels=len(BANDS), classes=1, width=setting["width"], seed=seed
    )
    rows = []
    for number in setting["rounds"]:
        part = table[(table["split"] == "valid") | table["sample"].between(1, number)]
        data = chips.dataloaders(
            image, place.label, part, batch_size=size, seed=seed + number, display=list(BANDS)
        )
        recipe = training.recipe("roof_greening").replace(
            lr=setting["rate"], epochs=setting["epochs"], batch_size=size, seed=seed,
            schedule="constant" if setting["chip"] == SAMPLE else "one_cycle",
        )  # fmt: skip
        learn = training.learner(data, model, recipe)
        with learn.no_logging():
            training.fit(learn)
        history = learn.history
        best = history.loc[history["iou"].idxmax(), ["precision", "recall", "f1", "iou", "kappa"]]
        size_of = {"samples": number, "chips": int((part["split"] == "train").sum())}
        rows.append(size_of | best.astype(float).to_dict())
        if rows[-1]["precision"] >= enough:
            break
    return learn, pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1, name="round"))


def probability(model, image, tile=1600, halo=64):
    """Map the probability of "building" over an image.

    Parameters
    ----------
    model : toolkit.models.Network
        With one logit.
    image : xarray.DataArray
        (band, y, x).
    tile, halo : int
        Side of a tile and what is read around it, pixels.

    Returns
    -------
    xarray.DataArray
        (class, y, x), one class; computed.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "halo=")  # the dilated centre sees the whole tile
        image = image.sel(band=list(BANDS))
        found = mapping.predict(model, image, tile=tile, batch_size=1, halo=halo)
        return found.compute(scheduler="synchronous")


def pixel_scores(place, footprints, where=None):
    """Score a layer of buildings by pixel, against the truth of the area.

    Parameters
    ----------
    place : Ground
        See `places.ground`.
    footprints : geopandas.GeoDataFrame
        Buildings of the area.
    where : xarray.DataArray, optional
        (y, x), true where to score.

    Returns
    -------
    toolkit.accuracy.ConfusionMatrix
        Rows are the map, columns the truth: other, building.
    """
    truth = place.label if where is None else place.label.where(where, accuracy.IGNORE)
    mask = buildings.rasterise(footprints, place.image)
    return accuracy.confusion(truth.astype("uint8"), mask, ["other", "building"])


def compared(place, within, **layers):
    """Set layers of buildings side by side, by pixel and by building.

    Parameters
    ----------
    place : Ground
        See `places.ground`.
    within : shapely geometry
        Ground to score on, from `places.scored`: by building, those whose middle lies in it.
    **layers : geopandas.GeoDataFrame
        Buildings of the area, by name; underscores are shown as blanks.

    Returns
    -------
    pandas.DataFrame
        One row a layer: buildings, pixel precision, recall, F1 and IoU, and of
        `toolkit.buildings.object_scores` precision, recall, F1 (of buildings with an IoU of 0.5),
        count and area error, and the mean PoLiS distance (m).
    """
    where, truth = mask(place, within), inside(place.truth, within)
    rows = {}
    for name, layer in layers.items():
        pixel = pixel_scores(place, layer, where)
        own = inside(layer, within)
        each = buildings.object_scores(truth, own)
        rows[name.replace("_", " ")] = {
            ("", "buildings"): len(own),
            ("pixel", "precision"): pixel.users["building"],
            ("pixel", "recall"): pixel.producers["building"],
            ("pixel", "F1"): pixel.f1["building"],
            ("pixel", "IoU"): pixel.iou["building"],
            ("building", "precision"): each["precision"],
            ("building", "recall"): each["recall"],
            ("building", "F1"): each["f1"],
            ("building", "count error"): each["count_error"],
            ("building", "area error"): each["area_error"],
            ("building", "PoLiS (m)"): each["polis"],
        }
    return pd.DataFrame(rows).T
