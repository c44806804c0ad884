"""Which place: the image, what a map office has of it, the samples and the four layers."""

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
import xarray as xr

from toolkit import buildings, catalog, chips, suitability
from toolkit._checks import choice

BANDS = ("red", "green", "blue")
"""What D-LinkNet sees: its published count is that of three bands."""

SAMPLE = 1000
"""Side of a sample in pixels (section 2.3)."""

STEP = SAMPLE * 0.8
"""The same in metres."""

WATER_VAPOUR = 2.9
"""g/cm2: exactly what the air of the scene holds that noon. A weather report would be a few tenths
off, which moves the split window by less than 0.1 K."""

MEASURES = {
    "population": "people per km²",
    "temperature": "K",
    "buildings": "share of the ground",
    "roads": "km per km²",
}
"""The four criteria in the order of the paper's matrix (B1, A1, B2, B3), and their units."""

RADIUS = {"buildings": 250.0, "roads": 500.0}
"""Reach of the kernels, metres; the paper does not give its own."""

CODES = {"population": "B1", "temperature": "A1", "buildings": "B2", "roads": "B3"}
"""Their names in the paper."""

JUDGEMENTS = [[1, 1, 2, 4], [1, 1, 2, 2], [1 / 2, 1 / 2, 1, 2], [1 / 4, 1 / 2, 1 / 2, 1]]
"""The matrix behind the paper's weights. It prints the weights alone; this one gives them."""


@dataclass(frozen=True)
class Ground:
    """An image of the planning area, and what a map office knows of the place.

    Attributes
    ----------
    image : xarray.DataArray
        (band, y, x): blue, green, red, nir, at 0.8 m.
    truth : geopandas.GeoDataFrame
        Every building of the area, cut at its edge: height (m), storeys, kind (of
        `toolkit.buildings.KINDS`). Samples are sketched after it, and scores taken against it.
    label : xarray.DataArray
        (y, x) mask of these buildings: 0 other, 1 building.
    heights : geopandas.GeoDataFrame
        Points of a web map with height (m) and storeys, to be joined by place.
    roads, districts : geopandas.GeoDataFrame
        Lines; polygons with name and population (persons).
    landsat : xarray.DataArray
        (band, y, x) counts of Landsat 8 with ``attrs["mtl"]``.
    temperature : xarray.DataArray
        (y, x) true surface temperature, K.
    """

    image: xr.DataArray
    truth: gpd.GeoDataFrame
    label: xr.DataArray
    heights: gpd.GeoDataFrame
    roads: gpd.GeoDataFrame
    districts: gpd.GeoDataFrame
    landsat: xr.DataArray
    temperature: xr.DataArray

    @property
    def area(self):
        """Outline of the planning area: a table of one box."""
        box = shapely.box(*self.image.rio.bounds())
        return gpd.GeoDataFrame(geometry=[box], crs=self.image.rio.crs)

    @property
    def grid(self):
        """The 30 m grid of the layers, as Landsat's pixels lie."""
        return suitability.grid(self.area)


def kind_of(roofs):
    """Say which kind of roof of the paper's Table 2 a simulated building has.

    Parameters
    ----------
    roofs : geopandas.GeoDataFrame
        With roof ("flat concrete", "metal sheet", "sloped tile" or "glass") and regular (bool).

    Returns
    -------
    pandas.Series
        One of `toolkit.buildings.KINDS`. The paper's table has three names and no definition: we
        take tiles for sloping, metal sheet and glass for a wrong material, and of the flat ones
        those whose outline the scene calls not regular for an irregular shape.
    """
    kind = np.select(
        [roofs["roof"] == "sloped tile", roofs["roof"] != "flat concrete", ~roofs["regular"]],
        ["sloping roof", "material mismatch", "irregular shape"],
        "suitable",
    )
    return pd.Series(kind, roofs.index, name="kind")


def ground(scene_seed=0, side=4000.0):
    """Open a planning area in the middle of the scene's city.

    Parameters
    ----------
    scene_seed : int
        Of the scene; another seed is another city.
    side : float
        Of the area in metres, whole samples of 800 m: 4000 is the city's core, 12000 all of it
        (4 GB).

    Returns
    -------
    Ground

    Raises
    ------
    ValueError
        An area that is no whole number of samples wide, or wider than the city.

    Examples
    --------
    >>> place = ground(side=1600)  # doctest: +SKIP
    >>> place.image.shape  # doctest: +SKIP
    (4, 2000, 2000)
    """
    districts = catalog.open("scene/districts", seed=scene_seed)
    city = districts.total_bounds
    if not STEP <= side <= city[2] - city[0] or side % STEP:
        raise ValueError(
            f"side={side:g}: an area is {STEP:g} m wide, or a multiple of it up to the city's "
            f"{city[2] - city[0]:g} m"
        )
    if side > 4000:
        low = [float(v) for v in np.round(((city[:2] + city[2:]) / 2 - side / 2) / 4) * 4]
        bounds = (low[0], low[1], low[0] + side, low[1] + side)
        image = catalog.open("scene/gaofen2", seed=scene_seed, bounds=bounds)
    else:
        image = catalog.open("scene/gaofen2", seed=scene_seed)
        n = int(side / 0.8)
        first = (image.sizes["y"] - n) // 2 // 4 * 4
        image = image.isel(y=slice(first, first + n), x=slice(first, first + n))
    houses = catalog.open("scene/buildings", seed=scene_seed)
    houses["kind"] = kind_of(houses)
    points = houses.set_geometry(houses.representative_point())
    truth = _cut(houses, image.rio.bounds())
    return Ground(
        image=image,
        truth=truth,
        label=buildings.rasterise(truth, image),
        heights=points[["height", "storeys", "geometry"]],
        roads=catalog.open("scene/roads", seed=scene_seed),
        districts=districts,
        landsat=catalog.open("scene/landsat8", seed=scene_seed),
        temperature=catalog.open("scene/surface_temperature", seed=scene_seed).squeeze("band"),
    )


def _cut(houses, bounds, least=10.0):
    """Buildings inside bounds; slivers under `least` m2 go, as they do in `buildings.vectorise`."""
    inside = gpd.clip(houses.cx[bounds[0] : bounds[2], bounds[1] : bounds[3]], bounds)
    inside = inside[inside.geom_type.isin(["Polygon", "MultiPolygon"]) & (inside.area >= least)]
    return inside.explode(ignore_index=True)[lambda t: t.area >= least].reset_index(drop=True)


def samples(place, number=8, held_out=2, chip=250, seed=0):
    """Draw the samples of 1000 x 1000 pixels that are sketched by hand, and cut them into chips.

    Parameters
    ----------
    place : Ground
        See `ground`.
    number : int
        Samples to train on, at most; the paper has 72.
    held_out : int
        Further ones that say when the precision suffices.
    chip : int
        Side of a chip in pixels, a divisor of 1000; the paper trains on whole samples.
    seed : int
        Which ones, and in which order they are sketched.

    Returns
    -------
    geopandas.GeoDataFrame
        A chip table of the whole area with split ("train", "valid", or "test", which nobody
        sketches: there the chain is scored) and sample (its number in the order of sketching,
        from 1; 0 elsewhere).

    Raises
    ------
    ValueError
        A chip that does not divide a sample, or no ground left to test on.
    """
    if chip < 1 or SAMPLE % chip:
        raise ValueError(f"chip={chip}: a sample of {SAMPLE} pixels is cut into equal chips")
    table = chips.grid(place.image, place.label, size=chip)
    columns = place.image.sizes["x"] // SAMPLE
    square = table["row"] // SAMPLE * columns + table["col"] // SAMPLE
    squares = int(square.max()) + 1
    if number < 1 or held_out < 1 or number + held_out >= squares:
        raise ValueError(
            f"number={number} and held_out={held_out} of {squares} squares: at least one of each, "
            "and one left to be scored"
        )
    place_in_line = np.empty(squares, int)
    place_in_line[np.random.default_rng(seed).permutation(squares)] = np.arange(1, squares + 1)
    line = place_in_line[square]
    table["split"] = np.select(
        [line <= number, line <= number + held_out], ["train", "valid"], "test"
    )
    table["sample"] = np.where(line <= number, line, 0)
    return table


def scored(table):
    """Outline of the ground that nobody sketched: a geometry, from a table of `samples`."""
    return shapely.union_all(table.geometry[table["split"] == "test"].values)


def inside(layer, within):
    """The buildings of a layer whose middle lies in a geometry, such as that of `scored`."""
    return layer[layer.representative_point().within(within)]


def mask(place, within):
    """Which pixels of the image lie in a geometry: (y, x), bool."""
    ground = gpd.GeoDataFrame(geometry=[within], crs=place.image.rio.crs)
    return buildings.rasterise(ground, place.image) == 1


def with_sketches(place, table, found):
    """Put the sketches of the samples into a layer: nobody predicts what has been drawn by hand.

    Parameters
    ----------
    place : Ground
        See `ground`.
    table : geopandas.GeoDataFrame
        See `samples`.
    found : geopandas.GeoDataFrame
        Buildings from the network, of the whole area.

    Returns
    -------
    geopandas.GeoDataFrame
        What was found outside the samples and does not lie on a sketch, and the sketches, with
        ``sketched`` (bool).
    """
    buildings.layers.footprints(found, "found", like=place.truth)
    free = scored(table)
    drawn = place.truth[~place.truth.representative_point().within(free)]
    rest = inside(found, free)
    on, under = rest.sindex.query(drawn.geometry.values, predicate="intersects")[::-1]
    one, other = rest.geometry.values[on], drawn.geometry.values[under]
    # Of the smaller one: what grew together may hold a whole sketch, and be ten times as large.
    hit = np.unique(on[one.intersection(other).area > 0.1 * np.minimum(one.area, other.area)])
    rest = rest.drop(index=rest.index[hit])
    both = [rest.assign(sketched=False), drawn[["geometry"]].assign(sketched=True)]
    out = gpd.GeoDataFrame(pd.concat(both, ignore_index=True), crs=found.crs)
    out.attrs = found.attrs
    return out


def heat(place, temperature="landsat", method="split_window"):
    """Surface temperature on the grid of the layers: (y, x), K; for the options see `layers`."""
    choice(temperature, ("landsat", "truth"), "temperature")
    kelvin = place.temperature
    if temperature == "landsat":
        kelvin = suitability.land_surface_temperature(place.landsat, WATER_VAPOUR, method=method)
    return suitability.to_grid(kelvin, place.grid)


def layers(place, footprints, temperature="landsat", method="split_window", radius=None):
    """Make the four layers that say how much a roof garden is needed, on one grid of 30 m.

    Parameters
    ----------
    place : Ground
        See `ground`.
    footprints : geopandas.GeoDataFrame
        The buildings of the area: the network's, corrected, or the truth.
    temperature : {"landsat", "truth"}
        Retrieved from the thermal bands, or the scene's own.
    method : {"split_window", "single_channel"}
        See `toolkit.suitability.land_surface_temperature`.
    radius : dict, optional
        Reach of the kernels in metres, of "buildings" and "roads"; by default that of `RADIUS`.

    Returns
    -------
    dict of str to xarray.DataArray
        Keys of `MEASURES`; (y, x).
    """
    radius = RADIUS | (radius or {})
    grid = place.grid
    people = suitability.population(place.districts, "population", grid)
    return {
        "population": people,
        "temperature": heat(place, temperature, method),
        # The image ends at the area's edge, the map of roads does not.
        "buildings": suitability.density(footprints, grid, radius["buildings"]),
        "roads": suitability.density(place.roads, grid, radius["roads"], edge="none"),
    }
