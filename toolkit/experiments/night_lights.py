"""Chapter 1: urban land from night lights, by networks and by simpler methods.

Notebook 01 tells it step by step with these functions; sweeps call `run` and `transfer`.
"""

from dataclasses import dataclass, replace

import geopandas as gpd
import numpy as np
import pandas as pd
import xarray as xr
from rasterio.features import rasterize

from toolkit import _checks, accuracy, catalog, chips, labels, mapping, models, training

__all__ = [
    "NETWORKS", "PROFILES", "SOURCES", "Ground", "compare_abroad", "ground", "halves", "held_out",
    "image_of", "methods", "network_of", "probability", "run", "sample", "scores_of", "svm",
    "threshold", "train", "transfer", "zoomed",
]  # fmt: skip

DARK = 0.02
"""nW/cm2/sr, about the noise of the day/night band: keeps the logarithm finite in the dark."""

NETWORKS = {
    "FCN32s": "fcn32s", "FCN16s": "fcn16s", "FCN8s": "fcn8s", "mode 1": "fcn8s_front_lr",
    "mode 2": "fcn8s_crop", "mode 3": "fcn8s_bn", "mode 4": "fcn8s_pool2", "IFCN": "ifcn",
    "U-Net": "unet",
}  # fmt: skip
"""Name in the paper -> name in `toolkit.models`."""

PROFILES = {
    "smoke": dict(zoom=2.0, width=1 / 16, fc_width=1024, fc_kernel=3, epochs=1, rate=3e-3),
    "quick": dict(zoom=3.0, width=1 / 8, fc_width=1024, fc_kernel=3, epochs=0, rate=3e-3),
    "paper": dict(zoom=224 / 36, width=1.0, fc_width=4096, fc_kernel=7, epochs=0, rate=1e-4),
}
"""How much work is done; `epochs` 0 is the source's own number, or the paper's iterations."""

WATCHED = 280
"""Validation chips that are scored after every pass over the training chips."""

CLASSES = [
    {"value": 0, "name": "background", "color": "#ffffff"},
    {"value": 1, "name": "urban", "color": "#d55e00"},
]

SOURCES = {
    "scene": dict(rows=20, cols=20, coverage=0.9, per_cell=(2, 8), epochs=8),
    "burundi": dict(rows=12, cols=10, coverage=0.5, per_cell=(2, 8), epochs=32),
}
"""The fishnet of each source, and the passes over its chips in the profile quick.

Burundi is much smaller than the Yangtze belt: in a net of 20 x 20 a cell would be smaller than a
chip, so it gets 12 x 10 cells, kept where half of them is image.
"""


@dataclass(frozen=True)
class Ground:
    """Night lights of a place with its labels, all on one grid.

    Attributes
    ----------
    source : str
    lights : xarray.DataArray
        (band, y, x) radiance, nW/cm2/sr, as measured (or simulated).
    image : xarray.DataArray
        (band, y, x) its logarithm, what every method sees.
    label : xarray.DataArray
        (y, x) what methods learn from: 0 background, 1 urban, 255 unknown.
    truth : xarray.DataArray
        (y, x) what they are scored against; the same as `label` where nothing better is known.
    settlements : geopandas.GeoDataFrame
        name, size, population, radius_m, role; points (scene) or outlines (Burundi).
    population : xarray.DataArray
        People per cell, as opened.
    """

    source: str
    lights: xr.DataArray
    image: xr.DataArray
    label: xr.DataArray
    truth: xr.DataArray
    settlements: gpd.GeoDataFrame
    population: xr.DataArray

    @property
    def simulated(self):
        """Whether the lights come from the teaching scene."""
        return bool(self.lights.attrs.get("simulated"))


def ground(source="scene", target="urban centre", scene_seed=0):
    """Open the lights of a source with labels, truth and settlements on their grid.

    Parameters
    ----------
    source : {"scene", "burundi"}
        The scene's region: construction land of a FROM-GLC30-like product to learn from, as in
        the paper, and the true construction land to score against. Burundi, real: the degree of
        urbanisation of a population grid for both, as nothing better is known.
    target : {"urban centre", "urban cluster"}
        Burundi only: what counts as urban; "urban cluster" takes centres as well.
    scene_seed : int
        Of the scene; another seed is another region.

    Returns
    -------
    Ground

    Raises
    ------
    ValueError
        An unknown source or target.

    Examples
    --------
    >>> place = ground("burundi")  # doctest: +SKIP
    >>> place.image.shape, place.truth.shape  # doctest: +SKIP
    ((1, 557, 611), (557, 611))
    """
    _checks.choice(source, SOURCES, "source")
    _checks.choice(target, ("urban centre", "urban cluster"), "target")
    if source == "scene":
        lights = catalog.open("scene/viirs", seed=scene_seed)
        population = catalog.open("scene/population", seed=scene_seed)
        settlements = catalog.open("scene/settlements", seed=scene_seed)
        label = _binary(catalog.open("scene/from_glc30", seed=scene_seed), [1], "Label: product")
        truth = _binary(catalog.open("scene/construction_land", seed=scene_seed), [1], "Truth")
    else:
        lights, population = catalog.open("burundi/lights"), catalog.open("burundi/population")
        degree = labels.degree_of_urbanisation(population)
        codes = [2] if target == "urban centre" else [1, 2]
        truth = label = _binary(chips.align(degree, lights), codes, f"Reference: {target}")
        settlements = _towns(degree, codes, population)
    return Ground(source, lights, image_of(lights), label, truth, settlements, population)


def _binary(codes, urban, title):
    """Two classes of many: urban or not, unknown where it was."""
    mask = xr.where(codes == chips.IGNORE, chips.IGNORE, codes.isin(urban)).astype("uint8")
    mask = mask.rio.write_crs(codes.rio.crs).rio.write_nodata(chips.IGNORE)
    return mask.assign_attrs(codes.attrs | {"title": title, "classes": CLASSES})


def _towns(degree, codes, population):
    """Outlines of the towns with their people, in the size classes of the degree's own grid."""
    people = labels.kilometre_grid(population)
    towns = labels.outlines(degree, codes, corners=len(codes) > 1)
    towns["population"] = [int(people.rio.clip([shape]).sum()) for shape in towns.geometry]
    towns = towns.sort_values("population", ascending=False, ignore_index=True)
    towns.insert(0, "name", [f"town {number}" for number in range(1, len(towns) + 1)])
    towns["size"] = np.where(towns["population"] >= 100_000, "medium", "small")
    return towns.assign(role="train", radius_m=3000.0)


def image_of(lights):
    """What the methods see: the logarithm of the radiance.

    Parameters
    ----------
    lights : xarray.DataArray
        (band, y, x) or (y, x), nW/cm2/sr, NaN where there is no data. What a sensor reports as
        slightly below zero is noise around darkness and becomes zero.

    Returns
    -------
    xarray.DataArray
        (band, y, x), float32, log10 of radiance + 0.02; NaN stays NaN.

    Raises
    ------
    ValueError
        No CRS, no pixel with data, or values far below zero: then it is no radiance.

    Examples
    --------
    >>> image_of(catalog.open("burundi/lights")).attrs["units"]  # doctest: +SKIP
    'log10 nW/cm2/sr'
    """
    if "band" not in lights.dims:
        lights = lights.expand_dims(band=["lights"])
    _checks.raster(lights, "lights")
    lowest = float(lights.min())
    if not np.isfinite(lowest):
        raise ValueError("lights: no pixel has data. Is the nodata value right?")
    if lowest < -10:
        raise ValueError(
            f"lights: the lowest value is {lowest:.4g} nW/cm2/sr, which no noise explains. Mask "
            "the fill value (lights.where(lights > -1)) or check the unit."
        )
    image = np.log10(lights.clip(min=0) + DARK).astype("float32").assign_attrs(lights.attrs)
    image.attrs |= {"long_name": "log10 of night-time radiance", "units": "log10 nW/cm2/sr"}
    return image


def sample(place, seed=0, keep_out=1.5):
    """Cut chips of 36 x 36 pixels from the cells of a fishnet, as in section 3.2.1.

    Parameters
    ----------
    place : Ground
    seed : int
        Of the chips' positions.
    keep_out : float
        No chip comes nearer to a settlement with role "generalisation" than so many of its radii.

    Returns
    -------
    geopandas.GeoDataFrame
        Chip table; see `toolkit.chips.fishnet`.

    Examples
    --------
    >>> table = sample(ground("burundi"))  # doctest: +SKIP
    """
    net = {key: SOURCES[place.source][key] for key in ("rows", "cols", "coverage", "per_cell")}
    table = chips.fishnet(place.image, place.label, size=36, seed=seed, **net)
    apart = place.settlements[place.settlements["role"] == "generalisation"]
    if apart.empty:
        return table
    zones = apart.to_crs(table.crs).buffer(keep_out * apart["radius_m"]).union_all()
    out = table[~table.intersects(zones)].reset_index(drop=True)
    out.attrs = table.attrs
    return out


def halves(place, table, seed=0):
    """Split the cells of the fishnet in two halves, A and B, alike in class shares.

    Parameters
    ----------
    place : Ground
    table : geopandas.GeoDataFrame
        From `sample`.
    seed : int
        Of the draw.

    Returns
    -------
    dict of str to GeoDataFrame
        "A" trains on half A and validates on B, "B" the other way round.
    xarray.DataArray
        (y, x) of "A", "B" or "" (cells of the net that gave no chip), on the grid of the image.

    Examples
    --------
    >>> parts, where = halves(place, sample(place))  # doctest: +SKIP
    """
    a = chips.split(table, by="cells", valid=0.5, stratify=True, seed=seed)
    b = a.replace({"split": {"train": "valid", "valid": "train"}})
    b.attrs = a.attrs
    net = SOURCES[place.source]
    cells = chips.fishnet_cells(place.image, net["rows"], net["cols"]).set_index("cell")
    part = a.groupby("cell")["split"].first().map({"train": 1, "valid": 2})
    shapes = zip(cells.geometry.loc[part.index], part, strict=True)
    codes = rasterize(shapes, place.truth.shape, transform=place.image.rio.transform())
    where = place.truth.copy(data=np.array(["", "A", "B"])[codes])
    where.attrs, where.encoding = {"long_name": "half of the fishnet"}, {}
    return {"A": a, "B": b}, where


def zoomed(place, zoom):
    """The same ground with smaller pixels: bilinear for the lights, nearest for the labels.

    The paper brings each chip of 36 x 36 pixels to 224 x 224. Enlarging the scene once gives the
    same chips without borders between them.
    """
    return replace(
        place,
        image=chips.zoom(place.image, zoom),
        label=chips.zoom(place.label, zoom),
    )


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
        width, fc_width, fc_kernel, alignment ("same", "caffe" or None for the network's own),
        batch_size, rate, and epochs or iterations.

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
    recipe = training.recipe("ifcn").replace(
        lr=float(setting.get("rate", 3e-3)),
        schedule=setting.get("schedule", "one_cycle"),
        batch_size=batch,
        monitor="train_loss",
        metrics=setting.get("metrics", ("f1", "kappa")),
        seed=seed,
        **({"epochs": setting["epochs"]} if setting.get("epochs") else
           {"iterations": setting.get("iterations", 20_000)}),
    )  # fmt: skip
    learn = training.learner(loaders, network_of(network, seed, **setting), recipe)
    with learn.no_logging():
        return training.fit(learn)


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
    found = xr.where(score.isnull(), chips.IGNORE, score >= cut).astype("uint8")
    found = found.rio.write_crs(place.image.rio.crs).rio.write_nodata(chips.IGNORE)
    return found.assign_attrs(place.truth.attrs | {"title": "Urban land, mapped"}), float(cut)


def held_out(place, where, scores, on="label"):
    """Join the maps of two halves, each scored by what was trained, and cut, on the other.

    Parameters
    ----------
    place : Ground
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


def scores_of(matrix):
    """Row of Table 2 of a two-class matrix: counts, precision, recall, F1, IoU and kappa."""
    tp, fp, fn, _ = matrix.counts("urban")
    return {
        "TP": tp, "FP": fp, "FN": fn,
        "precision": matrix.users["urban"], "recall": matrix.producers["urban"],
        "F1": matrix.f1["urban"], "IoU": matrix.iou["urban"], "kappa": matrix.kappa,
        "overall": matrix.overall,
    }  # fmt: skip


def methods(networks=("IFCN", "FCN8s", "U-Net"), source="scene", seed=0, **setting):
    """Score networks, SVM and threshold on held-out ground, as in Table 2.

    Parameters
    ----------
    networks : sequence of str
        Keys of `NETWORKS`.
    source : {"scene", "burundi"}
    seed : int
        Of chips, halves and training.
    **setting
        Changes to ``PROFILES["quick"]``, see `train`; alignment is "same" if not given.

    Returns
    -------
    pandas.DataFrame
        One row per method: TP, FP, FN (pixels), precision, recall, F1, IoU, kappa, overall.

    Examples
    --------
    >>> methods(["IFCN"], source="burundi", epochs=1)  # doctest: +SKIP
    """
    setting = PROFILES["quick"] | {"alignment": "same"} | setting
    setting["epochs"] = setting["epochs"] or SOURCES[source]["epochs"]
    place = ground(source)
    parts, where = halves(place, sample(place, seed), seed)
    fine = zoomed(place, setting["zoom"])
    scores = {
        name: {
            half: probability(train(name, fine, part, seed, **setting).model, fine, place)
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


def run(network="IFCN", source="scene", split="cells", iterations=400, seed=0, **setting):
    """Train one network for a number of iterations and score it along the way, as in Table 1.

    Parameters
    ----------
    network : str
        Key of `NETWORKS`, each with the alignment that the paper gives it.
    source : {"scene", "burundi"}
    split : {"cells", "random"}
        21:4 by cells of the fishnet, or chip by chip as in the paper.
    iterations : int
        Batches; rounded up to whole passes over the training chips.
    seed : int
        Of split and training; the chips are the same for every seed.
    **setting
        Changes to ``PROFILES["quick"]``, see `train`; batch_size is 8 if not given.

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
    setting = PROFILES["quick"] | {"batch_size": 8} | setting
    setting |= {
        "epochs": 0, "iterations": iterations,
        "metrics": ("overall", "mean_iou", "f1", "kappa", "loss_sum"),
    }  # fmt: skip
    place = ground(source)
    table = sample(place)
    part = chips.split(table, by=split, valid=4 / 25, stratify=split == "cells", seed=seed)
    learn = train(network, zoomed(place, setting["zoom"]), part, seed, **setting)
    history = learn.history
    return pd.DataFrame({
        "iteration": (history["epoch"] + 1) * len(learn.dls.train),
        "loss": history["loss_sum"],
        "loss_per_pixel": history["valid_loss"],
        "OA": history["overall"],
        "mean_IU": history["mean_iou"],
        "F1": history["f1"],
        "kappa": history["kappa"],
        "leak": float(chips.leak(part).mean()),
    })  # fmt: skip


def transfer(train_on="scene", apply_to="burundi", network="IFCN", seed=0, **setting):
    """Train at one place and map another, beside a threshold that travels the same way.

    Parameters
    ----------
    train_on, apply_to : {"scene", "burundi"}
    network : str
        Key of `NETWORKS`.
    seed : int
    **setting
        Changes to ``PROFILES["quick"]``, see `train`.

    Returns
    -------
    pandas.DataFrame
        One row per method (the network, threshold) and cut ("from home", "best there", which
        knows the answers and only bounds what is possible): scores as in `methods`.

    Examples
    --------
    >>> transfer("burundi", "scene", epochs=1)  # doctest: +SKIP
    """
    setting = PROFILES["quick"] | {"alignment": "same"} | setting
    setting["epochs"] = setting["epochs"] or SOURCES[train_on]["epochs"]
    home, away = ground(train_on), ground(apply_to)
    parts, where = halves(home, sample(home, seed), seed)
    fine, there = zoomed(home, setting["zoom"]), zoomed(away, setting["zoom"])
    model = train(network, fine, parts["A"], seed, **setting).model
    return compare_abroad(model, network, home, fine, where == "A", away, there)


def compare_abroad(model, name, home, fine, known, away, there):
    """Score a model, and a threshold, on ground of another place; see `transfer`.

    Parameters
    ----------
    model : toolkit.models.Network
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
            mapped = xr.where(abroad.isnull(), chips.IGNORE, abroad >= value).astype("uint8")
            matrix = accuracy.confusion(away.truth, mapped.rio.write_nodata(chips.IGNORE))
            rows.append({"method": method, "cut": which} | scores_of(matrix))
    return pd.DataFrame(rows)
