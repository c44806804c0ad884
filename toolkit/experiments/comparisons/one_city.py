"""One city, four papers: who maps it, after training elsewhere, and at what cost?"""

import time
from dataclasses import dataclass
from types import SimpleNamespace

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
import xarray as xr

from toolkit import accuracy, buildings, catalog, chips, models
from toolkit._checks import choice
from toolkit.chips.grids import geobox
from toolkit.experiments import land_cover, night_lights, roof_greening, settlements
from toolkit.experiments.roof_greening import hand

METHODS = {
    "night lights": dict(network="IFCN", resolution=500, bands=1, asks="construction land"),
    "settlement": dict(network="Sen2HSE", resolution=20, bands=10, asks="any sealed ground in it"),
    "land cover": dict(network="HRNet", resolution=3, bands=4, asks="impervious ground"),
    "buildings": dict(network="D-LinkNet", resolution=0.8, bands=3, asks="roofs"),
}
"""Each chapter's best model by its own paper: metres of a cell of its map, bands that it sees, and
what it calls built-up."""

BUILT = [
    {"value": 0, "name": "Other", "color": "#999999"},
    {"value": 1, "name": "Built-up", "color": "#d55e00"},
]
"""Classes of all four maps and truths."""

HOME = dict(style="east_asian", seed=39, size=6000)
"""The city where three of them learn, chapter 4's "sim East Asian 2": the style of the city that is
mapped, another seed."""

STRIP = (414_000.0, 3_404_200.0, 426_000.0, 3_405_800.0)
"""Left, bottom, right, top of what is mapped at 0.8 m: 12 km x 1.6 km through the centre. All of
the city would be 225 million pixels."""

PROFILES = {
    "smoke": dict(lights=1, settlement=1, cover=1, buildings=1, width=1 / 16),
    "quick": dict(lights=8, settlement=12, cover=8, buildings=10, width=0.0),
}
"""Passes over the training chips of each method, and width of all networks; 0 is the chapters',
and a quarter for D-LinkNet, half of chapter 3's."""


@dataclass(frozen=True)
class City:
    """The city that four models map, and what is known of it.

    Attributes
    ----------
    grounds : dict of str to object
        By method, the ground of its chapter (night lights also "fine", enlarged as in training;
        buildings: an object with image and label).
    truth : dict of str to xarray.DataArray
        By method, (y, x) what it asks for, on the grid of its own map: 1 built-up, 0 other.
    grid : xarray.DataArray
        (y, x) cells of 20 m that everything is compared on.
    centre : shapely.Point
        The middle of the city.
    districts, roads, houses : geopandas.GeoDataFrame
        As the scene has them.
    """

    grounds: dict
    truth: dict
    grid: xr.DataArray
    centre: shapely.Point
    districts: gpd.GeoDataFrame
    roads: gpd.GeoDataFrame
    houses: gpd.GeoDataFrame

    @property
    def strip(self):
        """(y, x), bool, on the grid: what all four methods have mapped."""
        west, south, east, north = STRIP
        x, y = self.grid.x, self.grid.y
        return ((x > west) & (x < east) & (y > south) & (y < north)).transpose("y", "x")


def city():
    """Open the scene's city as four sensors see it.

    Returns
    -------
    City
        12 km x 12 km; at 0.8 m `STRIP` of it.

    Examples
    --------
    >>> city().grid.shape  # doctest: +SKIP
    (600, 600)
    """
    towns = catalog.open("scene/settlements")
    lights = night_lights.ground("scene")
    sentinel = settlements.ground("sim East Asian 1", "summer", 12_000)
    cover = land_cover.ground("scene", clouds="keep")
    houses = catalog.open("scene/buildings")
    image = catalog.open("scene/gaofen2", bounds=STRIP)
    roofs = SimpleNamespace(
        image=image.sel(band=list(roof_greening.BANDS)), label=_roofs(houses, image)
    )
    west, south, east, north = sentinel.truth.rio.bounds()
    around = {"x": slice(west, east), "y": slice(north, south)}
    truth = {
        "night lights": _built(lights.truth.sel(around), 1),
        "settlement": _built(sentinel.truth, 1),
        "land cover": _built(cover.truth, 5),
        "buildings": _built(roofs.label, 1),
    }
    return City(
        grounds={
            "night lights": lights,
            "fine": night_lights.zoomed(lights, 2.0),
            "settlement": sentinel,
            "land cover": cover,
            "buildings": roofs,
        },
        truth=truth,
        grid=sentinel.truth,
        centre=towns.geometry[towns["role"] == "city"].iloc[0],
        districts=catalog.open("scene/districts"),
        roads=catalog.open("scene/roads"),
        houses=houses,
    )


def _built(codes, code):
    """1 where a class is, 0 elsewhere, 255 unknown."""
    values = np.where(codes.values == chips.IGNORE, chips.IGNORE, codes.values == code)
    out = codes.copy(data=values.astype(np.uint8))
    return out.assign_attrs(codes.attrs | {"classes": BUILT})


def _roofs(houses, image):
    west, south, east, north = image.rio.bounds()
    return buildings.rasterise(houses.cx[west:east, south:north], image)


def trained(place, profile="quick", seed=0, methods=tuple(METHODS)):
    """Train each chapter's model where the city is not.

    The night lights learn from the region around the city, the other three from a city of the same
    style: from a season of Sentinel-2 and an imperviousness layer, from a mosaic at 3 m and a
    product at 10 m, and from 1.6 km x 1.6 km at 0.8 m with buildings drawn by hand.

    Parameters
    ----------
    place : City
        From `city`.
    profile : {"smoke", "quick"}
        See `PROFILES`.
    seed : int
        Of chips, splits, first weights and training.
    methods : sequence of str
        Which of `METHODS`.

    Returns
    -------
    dict of str to toolkit.models.Network
        By method.
    pandas.DataFrame
        By method: train_seconds, train_km2 (ground with labels), objects and hours (drawn by hand;
        0 where the labels are a product that exists).
    """
    passes = PROFILES[choice(profile, PROFILES, "profile")]
    found, rows = {}, {}
    for method in methods:
        begun = time.perf_counter()
        found[method], about = _TRAIN[choice(method, METHODS, "method")](place, passes, seed)
        rows[method] = {"train_seconds": time.perf_counter() - begun} | about
    return found, pd.DataFrame(rows).T.rename_axis("method")


def _train_lights(place, passes, seed):
    lights = place.grounds["night lights"]
    table = night_lights.sample(lights, seed)
    own = table.attrs
    # No chip comes nearer than 3 km to the city.
    apart = shapely.box(*place.grid.rio.bounds()).buffer(3000)
    table = table[~table.intersects(apart)].reset_index(drop=True)
    table.attrs = own
    table = chips.split(table, by="cells", valid=0.2, stratify=True, seed=seed)
    options = {"width": passes["width"], "alignment": "same", "epochs": passes["lights"]}
    chosen = night_lights.setting("quick", "scene", **options)
    learn = night_lights.train("IFCN", place.grounds["fine"], table, seed, **chosen)
    return learn.model, _drawn(table)


def _train_settlement(place, passes, seed):
    home = settlements.ground("sim East Asian 2", "summer", HOME["size"])
    options = {"width": passes["width"], "epochs": passes["settlement"]}
    chosen = settlements.setting("quick", "Sen2HSE", **options)
    table = settlements.sample(home, chosen["chip"], chosen["chip"] // 4, seed=seed)
    learn = settlements.train("Sen2HSE", [home], [table], seed, **chosen)
    return learn.model, _drawn(table)


def _train_cover(place, passes, seed):
    home = land_cover.ground("scene", HOME["seed"], style=HOME["style"], size=HOME["size"])
    options = {"width": passes["width"], "epochs": passes["cover"]}
    chosen = land_cover.setting("quick", "scene", "HRNet", **options)
    table = land_cover.sample(home, chosen["chip"], block=chosen["block"], seed=seed)
    model = land_cover.train("HRNet", home, table, seed, **chosen).model
    return model, _drawn(table)


def _train_buildings(place, passes, seed):
    houses = catalog.open("scene/buildings", **HOME)
    west, south, east, north = catalog.open("scene/districts", **HOME).total_bounds
    x, y = (west + east) / 2, (south + north) / 2
    bounds = (x - 800, y - 800, x + 800, y + 800)
    image = catalog.open("scene/gaofen2", bounds=bounds, **HOME)
    home = SimpleNamespace(image=image, label=_roofs(houses, image))
    table = chips.grid(image, home.label, size=250)
    table = chips.split(table, by="blocks", valid=0.2, block=500, stratify=True, seed=seed)
    table["sample"] = 1
    chosen = roof_greening.setting(
        "quick", rounds=(1,), epochs=passes["buildings"], width=passes["width"] or 1 / 4
    )
    model = roof_greening.train(home, table, seed, 1.0, **chosen)[0].model
    inside = houses.cx[bounds[0] : bounds[2], bounds[1] : bounds[3]]
    corners = buildings.layers.vertices(inside.geometry.to_numpy()).sum()
    return model, _drawn(table, len(inside), corners * hand.SECONDS["draw"] / 3600)


def _drawn(table, objects=0, hours=0.0):
    used = table[table["split"].isin(["train", "valid"])]
    return {
        "train_km2": used.geometry.union_all().area / 1e6, "objects": objects, "hours": hours
    }  # fmt: skip


_TRAIN = dict(zip(
    METHODS, (_train_lights, _train_settlement, _train_cover, _train_buildings), strict=True
))  # fmt: skip


def mapped(place, networks):
    """Map the city with all four models.

    Parameters
    ----------
    place : City
        From `city`.
    networks : dict of str to toolkit.models.Network
        From `trained`.

    Returns
    -------
    dict of str to xarray.DataArray
        By method, (y, x) on the grid of its truth: 1 built-up, 0 other, 255 unknown.
    pandas.DataFrame
        By method: km2 (mapped ground), seconds_per_km2 (on this machine), macs_per_km2
        (multiply-adds) and mb_per_km2 (of the image, two bytes a pixel and band).
    """
    found, rows = {}, {}
    for method, network in networks.items():
        begun = time.perf_counter()
        values, pixels, side, factor = _MAP[method](place, network)
        spent = time.perf_counter() - begun
        truth = place.truth[method]
        found[method] = values.assign_attrs(
            simulated=True, classes=BUILT, title=f"Built-up land by {method}"
        )
        size = abs(truth.rio.resolution()[0])
        ground_km2 = pixels * (size / factor) ** 2 / 1e6
        per_pixel = models.macs(network, (side, side)) / side**2
        rows[method] = {
            "km2": truth.size * size**2 / 1e6,
            "seconds_per_km2": spent / ground_km2,
            "macs_per_km2": per_pixel * pixels / ground_km2,
            "mb_per_km2": METHODS[method]["bands"] * 2 / _pixel(method) ** 2,
        }
    return found, pd.DataFrame(rows).T.rename_axis("method")


def _pixel(method):
    """Metres of a pixel of the image, which for Sentinel-2 is half a cell of the map."""
    return {"settlement": 10}.get(method, METHODS[method]["resolution"])


def _map_lights(place, network):
    lights, fine = place.grounds["night lights"], place.grounds["fine"]
    found = night_lights.probability(network, fine, lights)
    built = _classes(found > 0.5, found.isnull()).sel(x=place.truth["night lights"].x)
    return built.sel(y=place.truth["night lights"].y), fine.image[0].size, 256, 2


def _map_settlement(place, network):
    ground = place.grounds["settlement"]
    found = settlements.class_map(settlements.probability(network, ground))
    return found, ground.image[0].size, 256, 2


def _map_cover(place, network):
    ground = place.grounds["land cover"]
    found = land_cover.class_map(land_cover.probability(network, ground))
    return _built(found, 5), ground.image[0].size, 256, 1


def _map_buildings(place, network):
    image = place.grounds["buildings"].image
    found = roof_greening.probability(network, image)[0]
    return _classes(found > 0.5, found.isnull()), image[0].size, 256, 1


_MAP = dict(zip(
    METHODS, (_map_lights, _map_settlement, _map_cover, _map_buildings), strict=True
))  # fmt: skip


def _classes(built, unknown):
    out = xr.where(unknown, chips.IGNORE, built).astype("uint8")
    return out.rio.write_crs(built.rio.crs).rio.write_nodata(chips.IGNORE)


def shares(place, maps):
    """Bring maps of any resolution to one grid: the built-up share of each cell of 20 m.

    Parameters
    ----------
    place : City
        Gives the grid.
    maps : dict of str to xarray.DataArray
        (y, x) 1 built-up, 0 other, 255 unknown, such as those of `mapped` or ``place.truth``.

    Returns
    -------
    dict of str to xarray.DataArray
        (y, x), 0 to 1; NaN where a map does not reach or says nothing.
    """
    return {name: _share(each, place.grid) for name, each in maps.items()}


def _share(built, grid):
    values = built.where(built != chips.IGNORE).astype("float32").rio.write_crs(built.rio.crs)
    coarse = abs(built.rio.resolution()[0]) >= abs(grid.rio.resolution()[0])
    out = values.odc.reproject(
        geobox(grid), resampling="nearest" if coarse else "average", dst_nodata=np.nan
    )
    return out.assign_coords(x=grid.x, y=grid.y).assign_attrs(simulated=True, units="share")


def own_scores(place, found):
    """Score each map against what it asks for, cell by cell on its own grid.

    Parameters
    ----------
    place : City
        From `city`.
    found : dict of str to xarray.DataArray
        From `mapped`.

    Returns
    -------
    pandas.DataFrame
        By method: overall, kappa, f1, iou; built_km2 (mapped) and true_km2 (of what it asks for).
    """
    rows = {}
    for method, each in found.items():
        truth = place.truth[method]
        each = each.assign_coords(x=truth.x, y=truth.y)
        matrix = accuracy.confusion(truth, each, BUILT)
        cell = abs(truth.rio.resolution()[0]) ** 2 / 1e6
        rows[method] = {
            "overall": matrix.overall,
            "kappa": matrix.kappa,
            "f1": float(matrix.f1.iloc[1]),
            "iou": float(matrix.iou.iloc[1]),
            "built_km2": float((each == 1).sum()) * cell,
            "true_km2": float((truth == 1).sum()) * cell,
        }
    return pd.DataFrame(rows).T.rename_axis("method")
