"""Which four tasks? Their ground, chips, and the ground that nobody trains on.

All four lie in the scene's region or in a city of its kind, and are cut to a size that a laptop
trains on in a minute. Data come from the chapters' own functions, in their form.
"""

import warnings
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from toolkit import buildings, catalog, chips
from toolkit._checks import choice
from toolkit.experiments import land_cover, night_lights, roof_greening, settlements

TASKS = {
    "night lights": dict(
        resolution=500, chip=64, stride=32, block=128, guard=16, batch_size=8,
        train=128, least=0.03, built=1, before=0,
    ),
    "land cover": dict(
        resolution=3, chip=64, stride=48, block=256, guard=64, batch_size=8,
        train=256, least=0.0, built=5, before=1,
    ),
    "buildings": dict(
        resolution=0.8, chip=96, stride=64, block=192, guard=32, batch_size=4,
        train=128, least=0.0, built=1, before=0,
    ),
    "settlement": dict(
        resolution=20, chip=64, stride=16, block=128, guard=16, batch_size=8,
        train=256, least=0.0, built=1, before=0,
    ),
}  # fmt: skip
"""Metres of a cell of each task's map, and its chips: side, stride, side of the
blocks that nobody trains on and what lies between them and a training chip (pixels of the image);
chips in a batch (about 35,000 pixels) and at most to train on; the least share of built-up land in
such a chip (half of the region's have none, and with these most networks learn nothing in 128
steps); the code of built-up land, and of what most of it was before."""

TEST, VALID, WATCHED = 0.25, 0.2, 32
"""Share of the ground that nobody trains on, share of the other chips that validate, and how many
of these are used."""


@dataclass(frozen=True)
class Ground:
    """The ground of a task.

    Attributes
    ----------
    task : str
        Key of `TASKS`.
    image : xarray.DataArray
        (band, y, x), what networks see.
    label : xarray.DataArray
        (y, x) what they learn from, on its own grid, 255 unknown.
    truth : xarray.DataArray
        (y, x) what maps are scored against; a cell is one pixel of the image or 2 x 2 of them.
    perfect : xarray.DataArray
        (y, x) the truth on the grid that labels have: what stated errors are put into.
    product : xarray.DataArray
        (y, x) labels as a map product has them, with errors of its own.
    origin : object
        The chapter's own ground.
    """

    task: str
    image: xr.DataArray
    label: xr.DataArray
    truth: xr.DataArray
    perfect: xr.DataArray
    product: xr.DataArray
    origin: object = None

    @property
    def classes(self):
        """Classes of label and truth: a list of dicts with value, name and color."""
        return self.truth.attrs["classes"]

    @property
    def cell(self):
        """Pixels of the image along one side of a cell of the truth."""
        return self.image.sizes["x"] // self.truth.sizes["x"]

    @property
    def label_on_image(self):
        """The labels on the pixels that networks see: (y, x), by nearest neighbour."""
        return chips.align(self.label, self.image)

    @property
    def label_on_truth(self):
        """The labels in the cells that maps are scored in: (y, x), by nearest neighbour."""
        return chips.align(self.label, self.truth.expand_dims(band=["truth"]))

    @property
    def about(self):
        """What `TASKS` says."""
        return TASKS[self.task]


def ground(task="night lights"):
    """Open the ground of a task.

    Parameters
    ----------
    task : {"night lights", "land cover", "buildings", "settlement"}
        Night lights: 300 km of the region with most towns, enlarged twice as in chapter 1; labels
        of a FROM-GLC30-like product. Land cover: the middle 6 km of the city at 3 m; labels of a
        FROM-GLC10-like product at 10 m. Buildings: the middle 1.6 km at 0.8 m; the mask itself,
        as somebody would sketch it. Settlement: 6 km of an East Asian city by Sentinel-2 in one
        season; labels are cells of 20 m with any imperviousness.

    Returns
    -------
    Ground

    Raises
    ------
    ValueError
        An unknown task.

    Examples
    --------
    >>> place = ground("settlement")  # doctest: +SKIP
    >>> place.image.shape, place.truth.shape  # doctest: +SKIP
    ((10, 600, 600), (300, 300))
    """
    return _OPEN[choice(task, TASKS, "task")]()


def _night_lights():
    place = night_lights.ground("scene")
    window = {"y": slice(300, 900), "x": slice(400, 1000)}
    cut = {name: getattr(place, name).isel(window) for name in ("lights", "image", "label")}
    place = replace(place, **cut, truth=place.truth.isel(window))
    image = night_lights.zoomed(place, 2.0).image
    return Ground("night lights", image, place.label, place.truth, place.truth, place.label, place)


def _land_cover():
    place, n = land_cover.ground("scene"), 2000
    first = (place.image.sizes["x"] - n) // 2
    image = place.image.isel(y=slice(first, first + n), x=slice(first, first + n))
    west, south, east, north = image.rio.bounds()
    window = {"x": slice(west, east), "y": slice(north, south)}
    truth, product = place.truth.sel(window), place.product.sel(window)
    perfect = catalog.open("scene/land_cover").sel(window)
    truth, product, perfect = (
        each.assign_attrs(each.attrs | {"classes": place.classes})
        for each in (truth, product, perfect)
    )
    return Ground("land cover", image, product, truth, perfect, product, place)


def _buildings():
    place = roof_greening.ground(side=1600)
    image, mask = place.image.sel(band=list(roof_greening.BANDS)), place.label
    drawn = buildings.rasterise(catalog.open("scene/osm_buildings"), image)
    return Ground("buildings", image, mask, mask, mask, drawn, place)


def _settlement():
    place = settlements.ground("sim East Asian 1", "summer", 6000)
    return Ground(
        "settlement", place.image, place.label, place.truth, place.truth, place.label, place
    )


_OPEN = dict(zip(TASKS, (_night_lights, _land_cover, _buildings, _settlement), strict=True))


def samples(place, split="blocks", seed=0):
    """Set ground apart for the test, and cut chips to train on and to validate from the rest.

    Test ground and chips depend on the truth and the seed alone: they are the same for every
    network, and for labels of every quality.

    Parameters
    ----------
    place : Ground
        From `ground`.
    split : {"blocks", "random"}
        Chips validate by blocks of ground, or drawn one by one; they overlap, so that a random
        draw shares ground between the two parts. The test ground is the same for both.
    seed : int
        Of both draws.

    Returns
    -------
    geopandas.GeoDataFrame
        Chip table with split "train" and "valid": as many of each as `TASKS` and `WATCHED` say.
    geopandas.GeoDataFrame
        The test ground: blocks with row, col and size in pixels of the image.

    Raises
    ------
    ValueError
        An unknown split, or too few chips.

    Examples
    --------
    >>> table, test = samples(ground("settlement"))  # doctest: +SKIP
    """
    choice(split, ("blocks", "random"), "split")
    about = place.about
    parts = chips.grid(place.image, place.perfect, size=about["block"], max_nodata=0.5)
    parts = chips.split(parts, valid=TEST, block=about["block"], stratify=True, seed=seed)
    test = parts[parts["split"] == "valid"].reset_index(drop=True)
    table = chips.grid(
        place.image, place.perfect, size=about["chip"], stride=about["stride"], max_nodata=0.5
    )
    pixel = abs(place.image.rio.resolution()[0])
    near = test.geometry.union_all().buffer((about["guard"] - 0.5) * pixel, join_style="mitre")
    own = table.attrs
    table = table[~table.intersects(near) & (table["labelled"] > 0)].reset_index(drop=True)
    table.attrs = own
    table = chips.split(table, by=split, valid=VALID, stratify=split == "blocks", seed=seed)
    built = next(c["name"] for c in place.classes if c["value"] == about["built"])
    poor = (table["split"] == "train") & ~(table[f"share_{built}"] >= about["least"])
    table = table[~poor].reset_index(drop=True)
    keep = []
    for part, count in (("train", about["train"]), ("valid", WATCHED)):
        found = table.index[table["split"] == part]
        if len(found) < about["batch_size"]:
            raise ValueError(
                f"{place.task}: {len(found)} chips are left to {part}, a batch has "
                f"{about['batch_size']}. Use smaller chips, a smaller stride or guard."
            )
        keep += list(np.random.default_rng(seed).permutation(found)[:count])
    kept = table.loc[sorted(keep)].reset_index(drop=True)
    kept.attrs = table.attrs
    return kept, test


def loaders(place, table, output_scale=1.0, seed=0):
    """Make fastai DataLoaders of a task's chips.

    Parameters
    ----------
    place : Ground
        From `ground`.
    table : geopandas.GeoDataFrame
        From `samples`.
    output_scale : float
        Of the network: cells per pixel along one side, 1 or 1/2.
    seed : int
        Of order and turns.

    Returns
    -------
    fastai.data.core.DataLoaders
    """
    with warnings.catch_warnings():
        # Snow lies nowhere in the city: networks have an output for it, as in the paper.
        warnings.filterwarnings("ignore", "no training chip holds")
        return chips.dataloaders(
            place.image,
            place.label,
            table,
            batch_size=place.about["batch_size"],
            target_scale=output_scale,
            classes=place.classes,
            display=[str(place.image["band"].values[0])],
            seed=seed,
        )


def relabelled(place, label):
    """The same ground with other labels, (y, x) class codes on any grid."""
    return replace(place, label=label.assign_attrs(label.attrs | {"classes": place.classes}))
