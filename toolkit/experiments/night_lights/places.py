"""Which place: its lights, labels and truth on one grid, its chips and halves."""

from dataclasses import dataclass, replace

import geopandas as gpd
import numpy as np
import xarray as xr
from rasterio.features import rasterize

from toolkit import _checks, catalog, chips, labels

DARK = 0.02
"""nW/cm2/sr, about the noise of the day/night band: keeps the logarithm finite in the dark."""

CLASSES = [
    {"value": 0, "name": "background", "color": "#ffffff"},
    {"value": 1, "name": "urban", "color": "#d55e00"},
]

SOURCES = {
    "scene": dict(rows=20, cols=20, coverage=0.9, per_cell=(2, 8), epochs=8, zoom=2.0),
    "burundi": dict(rows=12, cols=10, coverage=0.5, per_cell=(2, 8), epochs=32, zoom=2.0),
}
"""The fishnet of each source; passes over its chips, and how much they are enlarged, in `quick`.

Burundi is much smaller than the Yangtze belt: in a net of 20 x 20 a cell would be smaller than a
chip, so it gets 12 x 10 cells, kept where half of them is image.
"""


APART = [1, 5, 10, 20]
"""Burundi: ranks by population, from 0, of the towns that no chip comes near."""


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
    """

    source: str
    lights: xr.DataArray
    image: xr.DataArray
    label: xr.DataArray
    truth: xr.DataArray
    settlements: gpd.GeoDataFrame

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
        settlements = catalog.open("scene/settlements", seed=scene_seed)
        label = _binary(catalog.open("scene/from_glc30", seed=scene_seed), [1], "Label: product")
        truth = _binary(catalog.open("scene/construction_land", seed=scene_seed), [1], "Truth")
    else:
        lights, population = catalog.open("burundi/lights"), catalog.open("burundi/population")
        degree = labels.degree_of_urbanisation(population)
        codes = [2] if target == "urban centre" else [1, 2]
        truth = label = _binary(chips.align(degree, lights), codes, f"Reference: {target}")
        settlements = _towns(degree, codes, population)
    return Ground(source, lights, image_of(lights), label, truth, settlements)


def own(lights, label, truth=None, settlements=None, urban=(1,)):
    """Bring lights and labels of your own into the form that this chapter works on.

    Parameters
    ----------
    lights : xarray.DataArray
        (band, y, x) or (y, x), nW/cm2/sr, NaN where there is no data; see `image_of`.
    label : xarray.DataArray
        (y, x) class codes on any grid and in any CRS; brought to that of the lights by nearest
        neighbour, 255 where it does not reach.
    truth : xarray.DataArray, optional
        As `label`, if something better is known to score against.
    settlements : geopandas.GeoDataFrame, optional
        Points with name, size, population, radius_m (metres) and role ("generalisation" keeps
        training chips away); empty by default.
    urban : sequence of int
        Codes that count as urban.

    Returns
    -------
    Ground

    Raises
    ------
    ValueError
        No CRS, no ground in common, no urban pixel, a column of the settlements that is missing.

    Examples
    --------
    >>> place = own(lights, land_cover, urban=[5])  # doctest: +SKIP
    >>> table = sample(place)  # doctest: +SKIP
    """
    image = image_of(lights)
    given = [label, label if truth is None else truth]
    codes = [chips.align(_checks.raster(each, "label", ("y", "x")), image) for each in given]
    label, truth = (_binary(each, list(urban), "Urban land") for each in codes)
    if not (label == 1).any():
        found = sorted(set(np.unique(codes[0])) - {chips.IGNORE})
        raise ValueError(f"label: no pixel has a code of urban={list(urban)}; there are {found}")
    columns = ["name", "size", "population", "radius_m", "role"]
    if settlements is None:
        settlements = gpd.GeoDataFrame(columns=[*columns, "geometry"], crs=image.rio.crs)
    if missing := [name for name in columns if name not in settlements]:
        raise ValueError(f"settlements: the column {', '.join(missing)} is missing")
    if "band" not in lights.dims:
        lights = lights.expand_dims(band=["radiance"])
    return Ground("own", lights, image, label, truth, settlements)


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
    towns["role"] = "train"
    towns.loc[towns.index.intersection(APART), "role"] = "generalisation"
    return towns.assign(radius_m=3000.0)


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
        lights = lights.expand_dims(band=["radiance"])
    _checks.raster(lights, "lights")
    if lights.sizes["band"] != 1:
        raise ValueError(f"lights: expected one band, got {lights.sizes['band']}; choose one")
    lowest = float(lights.min())
    if not np.isfinite(lowest):
        raise ValueError("lights: no pixel has data. Is the nodata value right?")
    if lowest < -10:
        raise ValueError(
            f"lights: the lowest value is {lowest:.4g} nW/cm2/sr, which no noise explains. Mask "
            "the fill value (lights.where(lights > -1)) or check the unit."
        )
    image = np.log10(lights.clip(min=0) + DARK).astype("float32").assign_attrs(lights.attrs)
    image = image.assign_coords(band=["radiance"])  # one name, so that a model may travel
    image.attrs |= {"long_name": "log10 of night-time radiance", "units": "log10 nW/cm2/sr"}
    return image


def _net(place):
    """The fishnet of a source; that of the paper for ground of one's own."""
    return SOURCES.get(place.source, SOURCES["scene"])


def sample(place, seed=0, kept=0, keep_out=1.5):
    """Cut chips of 36 x 36 pixels from the cells of a fishnet, as in section 3.2.1.

    Parameters
    ----------
    place : Ground
        From `ground`.
    seed : int
        Of the chips' positions.
    kept : int
        Chips drawn from those of the fishnet, 1,017 in the paper; 0 takes all.
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
    net = {key: _net(place)[key] for key in ("rows", "cols", "coverage", "per_cell")}
    table = chips.fishnet(place.image, place.label, size=36, seed=seed, **net)
    zones = _apart(place, keep_out)
    out = table if zones.empty else table[~table.intersects(zones.union_all())]
    if kept:
        out = out.sample(min(kept, len(out)), random_state=seed).sort_index()
    out = out.reset_index(drop=True)
    out.attrs = table.attrs
    return out


def _apart(place, keep_out=1.5):
    """Ground around the settlements set apart for generalisation, in the image's CRS."""
    apart = place.settlements[place.settlements["role"] == "generalisation"]
    metres = apart.to_crs(apart.estimate_utm_crs()) if len(apart) else apart
    zones = metres.geometry.buffer(keep_out * apart["radius_m"].astype(float))
    return zones.to_crs(place.image.rio.crs)


def free(place, keep_out=1.5):
    """Mark the ground that lies away from the settlements set apart for generalisation.

    Parameters
    ----------
    place : Ground
        From `ground`.
    keep_out : float
        As for `sample`.

    Returns
    -------
    xarray.DataArray
        (y, x), bool: what may be used to train, and to choose a cut.
    """
    zones = _apart(place, keep_out)
    shape, transform = place.truth.shape, place.image.rio.transform()
    inside = np.zeros(shape, bool)
    if len(zones):
        inside = rasterize(zones, shape, transform=transform, all_touched=True).astype(bool)
    return place.truth.copy(data=~inside)


def halves(place, table, seed=0):
    """Split the cells of the fishnet in two halves, A and B, alike in class shares.

    Parameters
    ----------
    place : Ground
        From `ground`.
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
    net = _net(place)
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
