"""The teaching region: 600 km x 600 km of invented land, with its vectors and rasters.

Vectors come first, rasters are made from them. Nothing in it is real: the ground is noise,
the names are invented, and the numbers are those of such a region (see `relief`,
`settlements`, `highways` and `builtup` for the sources and for what is simplified).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio.features
import rioxarray  # noqa: F401  (registers the .rio accessor)
import shapely
import shapely.ops
import xarray as xr
from affine import Affine
from scipy import ndimage

from toolkit.scene import builtup, highways, noise, relief
from toolkit.scene import settlements as towns

CRS = "EPSG:32648"
BOUNDS = (104_000, 3_097_000, 704_000, 3_697_000)
"""West, south, east, north in metres: around 104 E 30.7 N."""
CELL = 500
CLASSES = (
    {"value": 0, "name": "other land", "color": "#F0E442"},
    {"value": 1, "name": "construction land", "color": "#D55E00"},
)
UPSTREAM = 450_000
"""Catchment of the great river above the region, km2: the Yangtze's where it enters the basin."""


@dataclass(frozen=True)
class Region:
    """A simulated region; `make` builds it.

    Attributes
    ----------
    seed : int
    crs : str
    bounds : tuple of float
        West, south, east, north.
    elevation : xarray.DataArray
        (y, x) metres, 500 m.
    rivers : geopandas.GeoDataFrame
        LineStrings downstream: name, catchment_km2, width (m at the mouth), width_source.
    lakes : geopandas.GeoDataFrame
        Polygons: area_km2.
    settlements : geopandas.GeoDataFrame
        Points, largest first: name, size, population, form, radius_m, role, elevation, dim.
    roads : geopandas.GeoDataFrame
        LineStrings: start, end, kind (motorway, national, provincial), width (m).
    built : geopandas.GeoDataFrame
        Built-up land: settlement (name, or "" in villages), kind (urban, hamlet, market village).
    built_share : xarray.DataArray
        (y, x) share of each cell that is built up, 0 to 1.
    construction_land : xarray.DataArray
        (y, x) uint8: 1 where more than half of the cell is built up, 0 elsewhere.
    population : xarray.DataArray
        (y, x) people in each cell.
    flares, greenhouses : geopandas.GeoDataFrame
        Points: lights that are no settlement; radiance (nW/cm2/sr over a cell).
    """

    seed: int
    crs: str
    bounds: tuple
    elevation: xr.DataArray
    rivers: gpd.GeoDataFrame
    lakes: gpd.GeoDataFrame
    settlements: gpd.GeoDataFrame
    roads: gpd.GeoDataFrame
    built: gpd.GeoDataFrame
    built_share: xr.DataArray
    construction_land: xr.DataArray
    population: xr.DataArray
    flares: gpd.GeoDataFrame
    greenhouses: gpd.GeoDataFrame

    @property
    def transform(self):
        """Affine transform of the 500 m rasters."""
        return Affine(CELL, 0, self.bounds[0], 0, -CELL, self.bounds[3])

    @property
    def shape(self):
        """Rows and columns of the 500 m rasters."""
        return self.elevation.shape


def raster(values, name, seed, cell=CELL, bounds=BOUNDS, crs=CRS, **attrs):
    """A DataArray (y, x) of the region that says what it is and that it is simulated."""
    rows, cols = values.shape
    array = xr.DataArray(
        values,
        dims=("y", "x"),
        coords={
            "y": bounds[3] - cell * (np.arange(rows) + 0.5),
            "x": bounds[0] + cell * (np.arange(cols) + 0.5),
        },
        name=name,
        attrs={**attrs, **told(seed)},
    )
    array = array.rio.write_crs(crs)
    return array.rio.write_nodata(255 if values.dtype == np.uint8 else np.nan)


def told(seed):
    """Attributes that every layer of the scene carries."""
    return {"simulated": True, "seed": int(seed), "scene_version": noise.VERSION}


def make(seed=0):
    """Make the region of a seed: ground, water, settlements, roads, land and people.

    Parameters
    ----------
    seed : int
        0 or more; another seed gives another region on the same bounds.

    Returns
    -------
    Region

    Examples
    --------
    >>> region = make(0)  # doctest: +SKIP
    >>> region.settlements[["name", "size", "population"]].head(3)  # doctest: +SKIP
    """
    noise.rng(seed, "check")
    return _make(int(seed))


@lru_cache(maxsize=2)
def _make(seed):
    west, south, east, north = BOUNDS
    fine_shape = ((north - south) // builtup.FINE, (east - west) // builtup.FINE)
    fine = Affine(builtup.FINE, 0, west, 0, -builtup.FINE, north)
    half = Affine(CELL, 0, west, 0, -CELL, north)
    # Relief and drainage at 1 km, which is fine enough for a region and takes seconds.
    coarse = Affine(1000, 0, west, 0, -1000, north)
    shape = ((north - south) // 1000, (east - west) // 1000)
    course = relief.trough(seed, shape)
    ground = relief.elevation(seed, shape, course)
    order, parent, filled = relief.drain(ground, course)
    first = course[np.flatnonzero(course[:, 1] == 0)[-1] + 1]  # the first cell off the border
    enters = int(first[0] * shape[1] + first[1])
    area = relief.catchment(order, parent, 1.0, {enters: UPSTREAM})
    ground = relief.carve(ground, filled, area)
    rivers = relief.lines(order, parent, area, 300, shape, coarse)
    lakes = relief.lakes(seed, ground, rivers, coarse)
    water = rasterio.features.rasterize(
        [*rivers.geometry, *lakes.geometry], shape, transform=coarse
    )
    broad = rasterio.features.rasterize(
        list(rivers.geometry[rivers["width"] > 90]), shape, transform=coarse
    )
    water_km, river_km = (ndimage.distance_transform_edt(mask == 0) for mask in (water, broad))
    places = towns.place(seed, ground, water_km, river_km, coarse)
    bridged = rasterio.features.rasterize(
        [*rivers.geometry[rivers["width"] > 150], *lakes.geometry], shape, transform=coarse
    )
    roads = highways.route(places, ground, bridged.astype(float), coarse)

    elevation = refine(seed, ground)
    wet = rasterio.features.rasterize(
        [*channel(rivers).geometry, *lakes.geometry], fine_shape, transform=fine
    ).astype(bool)
    taken = builtup.shape_settlements(seed, places, roads, rivers, wet, elevation, fine)
    low = ndimage.gaussian_filter(ground, 1.5)
    fit = towns.suitability(ground, np.hypot(*np.gradient(low, 1000)), water_km)
    hamlets = builtup.villages(seed, places, fit, taken, wet, roads, fine)
    urban = builtup.polygons(taken, places, fine)
    built = pd.concat([urban, hamlets.assign(settlement="")], ignore_index=True)
    share, village_share = builtup.shares(built, fine_shape, fine)
    people = builtup.people(seed, places, taken, village_share, fit, half)

    draw = noise.rng(seed, "region dim towns")
    little = places["size"].isin(["small", "town"]) & (places["role"] == "train")
    places["dim"] = little & (draw.random(len(places)) < 0.12)
    flares, greenhouses = odd_lights(seed, places, ground, coarse)
    river_names = towns.names(seed, len(places) + len(rivers))[len(places) :]
    rivers.insert(0, "name", river_names)
    tables = {"rivers": rivers, "lakes": lakes, "settlements": places, "roads": roads}
    tables |= {"built": built, "flares": flares, "greenhouses": greenhouses}
    for name, table in tables.items():
        tables[name] = table.set_crs(CRS, allow_override=True)
        tables[name].attrs = {"title": f"Simulated region: {name}", **told(seed)}
    title = "Simulated region: "
    return Region(
        seed=seed,
        crs=CRS,
        bounds=BOUNDS,
        elevation=raster(
            elevation,
            "elevation",
            seed,
            title=title + "elevation",
            long_name="elevation",
            units="m",
        ),
        built_share=raster(
            share,
            "built_share",
            seed,
            title=title + "built-up share",
            long_name="built-up share",
            units="1",
        ),
        construction_land=raster(
            (share > 0.5).astype(np.uint8),
            "construction_land",
            seed,
            title=title + "construction land",
            long_name="construction land (more than half built up)",
            units="class",
            classes=[dict(entry) for entry in CLASSES],
        ),
        population=raster(
            people,
            "population",
            seed,
            title=title + "population",
            long_name="people in each cell",
            units="people",
        ),
        **tables,
    )


def refine(seed, ground):
    """Elevation at 500 m from 1 km: interpolated, with detail where the ground is rough."""
    zoomed = ndimage.zoom(ground, 2, order=1, mode="nearest", grid_mode=True)
    span = ndimage.maximum_filter(zoomed, 7) - ndimage.minimum_filter(zoomed, 7)
    draw = noise.rng(seed, "region fine relief")
    detail = noise.fractal(zoomed.shape, draw, 2.4, scale=8)
    return (zoomed + 0.07 * ndimage.gaussian_filter(span, 3) * detail).astype(np.float32)


def channel(rivers):
    """Water surface of the rivers at least 40 m wide, as polygons that widen downstream."""
    wide = rivers[rivers["width"] >= 40]
    pieces = []
    for line, start, end in zip(wide.geometry, wide["width_source"], wide["width"], strict=True):
        parts = np.linspace(0, 1, 7)
        for low, high in pairwise(parts):
            width = start + (end - start) * (low + high) / 2
            if width >= 40:
                cut = shapely.ops.substring(line, low, high, normalized=True)
                pieces.append(cut.buffer(max(width, 60) / 2))
    return gpd.GeoDataFrame(geometry=pieces, crs=rivers.crs)


def odd_lights(seed, places, ground, transform, flares=6, greenhouses=70):
    """Gas flares far from every town, and lit greenhouses on the plains around the cities.

    A flare fills a cell with tens to hundreds of nW/cm2/sr (Elvidge et al. 2016,
    doi:10.3390/en9010014, map flares by their heat for that very reason); lit greenhouses
    with some tens.
    """
    draw = noise.rng(seed, "region odd lights")
    rows, cols = ground.shape
    xy = shapely.get_coordinates(places.geometry.to_numpy())
    reach = places["radius_m"].to_numpy()
    slope = np.hypot(*np.gradient(ground, transform.a))

    def sites(count, accept, apart):
        found = []
        for _ in range(200_000):
            row, col = draw.integers(20, rows - 20), draw.integers(20, cols - 20)
            point = np.array(transform * (col + draw.random(), row + draw.random()))
            edge = np.hypot(*(xy - point).T) - 1.8 * reach
            if accept(edge, ground[row, col], slope[row, col]) and all(
                np.hypot(*(point - other)) > apart for other in found
            ):
                found.append(point)
            if len(found) == count:
                break
        return np.round(np.array(found).reshape(-1, 2), 2)

    big = places["size"].isin(["mega", "large"]).to_numpy()
    remote = sites(flares, lambda edge, high, rise: edge.min() > 9000 and high < 2500, 25_000)
    belt = sites(
        greenhouses,
        lambda edge, high, rise: edge.min() > 2500 and edge[big].min() < 22_000 and rise < 0.015,
        2500,
    )
    tables = []
    for points, low, high in ((remote, 70, 420), (belt, 6, 45)):
        table = gpd.GeoDataFrame(geometry=gpd.points_from_xy(*points.T))
        table["radiance"] = np.exp(draw.uniform(np.log(low), np.log(high), len(points))).round(1)
        tables.append(table)
    return tables


def place(region, role="city", size=12_000):
    """What `city.make` needs to know of a settlement, so that city and region agree.

    Parameters
    ----------
    region : Region
        From `make`.
    role : str
        Role of the settlement ("city"), or its name.
    size : float
        Side of the square around it, in metres, that the river and roads are cut to.

    Returns
    -------
    dict
        name, x, y, population, radius_m, form, elevation, river (LineString in the region's CRS,
        or None; the widest that crosses the square), river_width (m), roads (GeoDataFrame cut to
        the square), built (MultiPolygon of its built-up land), terrain (DataArray of elevation,
        the square and 4 km around it), crs and seed.

    Examples
    --------
    >>> place(make(0), "city")["population"]  # doctest: +SKIP
    """
    table = region.settlements
    match = table[(table["role"] == role) | (table["name"] == role)]
    if match.empty:
        raise KeyError(
            f"{role!r} is neither a role (city, generalisation, train) nor a settlement; "
            f"the largest are {', '.join(table['name'].head(5))}."
        )
    record = match.iloc[0]
    x, y = record.geometry.x, record.geometry.y
    square = shapely.box(x - size / 2, y - size / 2, x + size / 2, y + size / 2)
    river, width = None, 0.0
    crossing = region.rivers[region.rivers.intersects(square)].sort_values("width")
    if len(crossing):
        part = crossing.geometry.iloc[-1].intersection(square.buffer(1000))
        river = max(shapely.get_parts(part), key=shapely.length)
        start, end = crossing[["width_source", "width"]].iloc[-1]
        width = local_width(crossing.geometry.iloc[-1], start, end, (x, y))
    near = size / 2 + 4000
    own = region.built[region.built["settlement"] == record["name"]]
    return {
        "name": record["name"],
        "x": float(x),
        "y": float(y),
        "population": int(record["population"]),
        "radius_m": float(record["radius_m"]),
        "form": record["form"],
        "elevation": float(record["elevation"]),
        "river": river,
        "river_width": width,
        "roads": region.roads.clip(square),
        "built": own.geometry.union_all(),
        "terrain": region.elevation.sel(x=slice(x - near, x + near), y=slice(y + near, y - near)),
        "crs": region.crs,
        "seed": region.seed,
    }


def local_width(line, start, end, point):
    """Width of a river, in metres, where it passes a point; it widens along its line."""
    along = line.project(shapely.Point(point), normalized=True)
    return round(float(start + (end - start) * along), 1)
