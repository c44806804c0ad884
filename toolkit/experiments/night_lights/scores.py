"""Which methods: networks, a support vector machine, a threshold; each gives a score per pixel."""

import numpy as np
import xarray as xr

from toolkit import _checks, accuracy, chips, mapping, models, training
from toolkit.experiments.night_lights.places import DARK, SOURCES

NETWORKS = {
    "FCN32s": "fcn32s", "FCN16s": "fcn16s", "FCN8s": "fcn8s", "mode 1": "fcn8s_front_lr",
    "mode 2": "fcn8s_crop", "mode 3": "fcn8s_bn", "mode 4": "fcn8s_pool2", "IFCN": "ifcn",
    "U-Net": "unet",
}  # fmt: skip
"""Name in the paper -> name in `toolkit.models`."""

PROFILES = {
    "smoke": dict(
        zoom=2.0, width=1 / 16, fc_width=1024, fc_kernel=3, epochs=1, rate=3e-3, chips=160
    ),
    "quick": dict(zoom=0, width=1 / 8, fc_width=1024, fc_kernel=3, epochs=0, rate=3e-3),
    "paper": dict(
        zoom=224 / 36,
        width=1.0,
        fc_width=4096,
        fc_kernel=7,
        iterations=20_000,
        rate=1e-4,
        schedule="constant",
    ),
}
"""How much work is done; a zoom of 0 and epochs of 0 are the source's own, see `setting`."""

WATCHED = 280
"""Validation chips that are scored after every pass over the training chips."""


def train(network, fine, table, seed=0, augment=True, **setting):
    """Train one network on the chips of a split.

    Parameters
    ----------
    network : str
        Key of `NETWORKS` or a name of `toolkit.models`.
    fine : Ground
        From `zoomed`.
    table : geopandas.GeoDataFrame
        Chips of the ground before it was enlarged, with the column split.
    seed : int
        Of first weights, order, augmentation and dropout.
    augment : bool
        Turn and mirror chips.
    **setting
        See `setting`. A U-Net, which costs three times as much per pass, gets half the epochs.

    Returns
    -------
    fastai.learner.Learner
        Fitted; the weights are those of the epoch with the lowest training loss, so that nothing
        is chosen by the validation chips.

    Examples
    --------
    >>> learn = train("IFCN", zoomed(place, 3), parts["A"], width=1 / 8, epochs=4)  # doctest: +SKIP
    """
    batch = int(setting.get("batch_size", 16))
    watched = table[table["split"] == "valid"]
    if len(watched) > WATCHED:  # enough for a curve; the maps are scored on all held-out ground
        kept = watched.sample(WATCHED, random_state=seed).index
        table = table[(table["split"] != "valid") | table.index.isin(kept)]
    loaders = chips.dataloaders(
        fine.image,
        fine.label,
        chips.regrid(table, fine.image),
        batch_size=batch,
        augment=augment,
        seed=seed,
    )
    epochs = setting.get("epochs", 0)
    if epochs and network == "U-Net":
        epochs = max(1, epochs // 2)
    recipe = training.recipe("ifcn").replace(
        lr=float(setting.get("rate", 3e-3)),
        schedule=setting.get("schedule", "one_cycle"),
        batch_size=batch,
        monitor="train_loss",
        metrics=setting.get("metrics", ("f1", "kappa")),
        seed=seed,
        **({"epochs": epochs} if epochs else {"iterations": setting.get("iterations", 20_000)}),
    )
    learn = training.learner(loaders, network_of(network, seed, **setting), recipe)
    with learn.no_logging():
        return training.fit(learn)


def setting(profile="quick", source="scene", **changes):
    """Look up how much work a profile does, and how much it enlarges the scene.

    Parameters
    ----------
    profile : str
        Key of `PROFILES`.
    source : {"scene", "burundi"}
        Gives zoom and epochs where the profile leaves them open (0).
    **changes
        Other values: zoom, width, fc_width, fc_kernel, alignment ("same", "caffe" or None for the
        network's own), epochs, iterations, rate, batch_size; zeros change nothing.

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        No such profile or source.
    TypeError
        No such value.

    Examples
    --------
    >>> setting("quick", "scene", width=1 / 4)["zoom"]
    2.0
    """
    _checks.choice(profile, PROFILES, "profile")
    _checks.choice(source, SOURCES, "source")
    chosen = {key: SOURCES[source][key] for key in ("zoom", "epochs")}
    chosen |= {key: value for key, value in PROFILES[profile].items() if value}
    known = {*PROFILES["smoke"], "alignment", "iterations", "batch_size", "metrics", "schedule"}
    chosen = _checks.changed(chosen, changes, known)
    if changes.get("epochs"):
        chosen.pop("iterations", None)
    elif chosen.get("iterations"):
        chosen.pop("epochs")
    return chosen


def network_of(network, seed=0, in_channels=1, **setting):
    """Create a network of the chapter at the width of a setting."""
    name = NETWORKS.get(network, network)
    options = {"width": setting.get("width", 1 / 8), "in_channels": in_channels}
    if name == "unet":
        options |= {"poolings": 5}
    else:
        options |= {key: setting[key] for key in ("fc_width", "fc_kernel") if key in setting}
        if setting.get("alignment"):
            options["alignment"] = setting["alignment"]
    return models.create(name, seed=seed, **options)


def probability(model, fine, place):
    """Probability of urban for a whole ground, brought back from the enlarged grid.

    Parameters
    ----------
    model : toolkit.models.Network
        Trained.
    fine : Ground
        Enlarged as in training; may be another place than the one of training.
    place : Ground
        The same ground on its own grid.

    Returns
    -------
    xarray.DataArray
        (y, x), NaN where there is no data.
    """
    found = mapping.predict(model, fine.image, tile=1024).compute()
    return chips.align(found.sel({"class": "urban"}, drop=True), place.image, "average")


def svm(place, where, seed=0, pixels=60_000):
    """Score every pixel with a linear support vector machine on its 3 x 3 neighbourhood.

    Parameters
    ----------
    place : Ground
        From `ground`.
    where : xarray.DataArray
        (y, x), true on the training ground.
    seed : int
        Of the draw of training pixels.
    pixels : int
        Training pixels drawn at most; classes weigh the same whatever their number.

    Returns
    -------
    xarray.DataArray
        (y, x) distance to the separating plane; NaN where there is no data.

    Raises
    ------
    ValueError
        The training ground holds one class only.

    Notes
    -----
    Section 4.1 has a linear kernel and does not say what the machine sees.
    """
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    night = np.log10(DARK)
    padded = np.pad(place.image.isel(band=0).fillna(night).values, 1, constant_values=night)
    seen = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    seen = seen.reshape(*place.label.shape, 9)
    known = np.flatnonzero((np.asarray(where) & (place.label != chips.IGNORE).values).ravel())
    if len(np.unique(place.label.values.ravel()[known])) < 2:
        raise ValueError("svm: the training ground holds one class only; give it more ground")
    rng = np.random.default_rng(seed)
    known = rng.choice(known, min(pixels, len(known)), replace=False)
    machine = make_pipeline(StandardScaler(), LinearSVC(class_weight="balanced", random_state=seed))
    machine.fit(seen.reshape(-1, 9)[known], place.label.values.ravel()[known])
    score = machine.decision_function(seen.reshape(-1, 9)).astype("float32")
    found = place.truth.astype("float32").copy(data=score.reshape(place.label.shape))
    found = found.where(place.image.isel(band=0, drop=True).notnull())
    return found.rio.write_crs(place.image.rio.crs).rio.write_nodata(np.nan)


def threshold(place, score, where, on="label"):
    """Cut a score where F1 is best on some ground, and map all of it.

    Parameters
    ----------
    place : Ground
        From `ground`.
    score : xarray.DataArray
        (y, x): a probability, a radiance, a distance.
    where : xarray.DataArray
        (y, x), true on the ground that may be used to choose: the training ground.
    on : {"label", "truth"}
        What the choice looks at.

    Returns
    -------
    xarray.DataArray
        (y, x) uint8: 0, 1, and 255 where the score has no data.
    float
        The cut.
    """
    known = getattr(place, on).where(where, chips.IGNORE).rio.write_nodata(chips.IGNORE)
    cut = accuracy.optimal_threshold(known, score)
    return cut_at(place, score, cut), float(cut)


def cut_at(place, score, cut):
    """Map a score: urban where it reaches the cut, unknown where it has no data."""
    found = xr.where(score.isnull(), chips.IGNORE, score >= cut).astype("uint8")
    found = found.rio.write_crs(place.image.rio.crs).rio.write_nodata(chips.IGNORE)
    return found.assign_attrs(place.truth.attrs | {"title": "Urban land, mapped"})


def held_out(place, where, scores, on="label"):
    """Join the maps of two halves, each scored by what was trained, and cut, on the other.

    Parameters
    ----------
    place : Ground
        From `ground`.
    where : xarray.DataArray
        From `halves`.
    scores : dict of str to DataArray
        By the half of training: the score (y, x) of the whole ground.
    on : {"label", "truth"}
        See `threshold`.

    Returns
    -------
    xarray.DataArray
        (y, x) uint8, 255 where the net gave no chip: no pixel was seen by what mapped it.
    """
    found = xr.full_like(place.truth, chips.IGNORE)
    for half, other in (("A", "B"), ("B", "A")):
        mapped, _ = threshold(place, scores[half], where == half, on)
        found = xr.where(where == other, mapped, found)
    found = found.rio.write_crs(place.image.rio.crs).rio.write_nodata(chips.IGNORE)
    return found.assign_attrs(
        place.truth.attrs | {"title": "Urban land, mapped on held-out ground"}
    )
