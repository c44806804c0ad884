"""One simulated city as vectors: surfaces, buildings, roads, districts, trees, elevation.

Everything is drawn from a seed, in metres, and rounded to one centimetre; the rasters of
`truth` and of every sensor come from these vectors and from nothing else.

Simplified: no railway, no bridges above other roads, no power lines; terrain does not bend
streets; every house of a lot was built at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
import xarray as xr
from scipy import sparse

from toolkit.scene import blocks, countryside, noise, shapes, streets, styles

PAVEMENT = {"suburban_grid": "grass_park", "tropical_informal": "soil_dark", "arid": "soil_bright"}
"""What lies between carriageway and block; concrete slabs where not named."""


@dataclass
class City:
    """One simulated city.

    Attributes
    ----------
    seed : int
    style : styles.Style
    crs : str
    bounds : tuple of float
        West, south, east, north, metres.
    place : dict
        ``name``, ``x``, ``y``, ``population``, ``radius_m``.
    surfaces : geopandas.GeoDataFrame
        Painted in order: ``material``, ``order``, ``parcel``, ``height`` (m above ground).
    buildings : geopandas.GeoDataFrame
        ``id``, ``height`` (m), ``storeys``, ``roof``, ``regular``, ``year``, ``district``, ``use``,
        ``material``.
    roads : geopandas.GeoDataFrame
        Centre lines: ``kind``, ``width`` (m), ``name``.
    districts : geopandas.GeoDataFrame
        Six: ``name``, ``population``.
    trees : geopandas.GeoDataFrame
        Points: ``radius`` and ``height`` (m), ``material``.
    elevation : xarray.DataArray
        Metres, 30 m grid.
    """

    seed: int
    style: styles.Style
    crs: str
    bounds: tuple
    place: dict
    surfaces: gpd.GeoDataFrame
    buildings: gpd.GeoDataFrame
    roads: gpd.GeoDataFrame
    districts: gpd.GeoDataFrame
    trees: gpd.GeoDataFrame
    elevation: xr.DataArray


def make(seed=0, style="east_asian", bounds=None, place=None, size=12_000.0):
    """Make one city.

    Parameters
    ----------
    seed : int
        The same seed gives the same city; another gives another place.
    style : str or styles.Style
        See `styles.STYLES`.
    bounds : tuple of float, optional
        West, south, east, north, metres, in the CRS of `place`; `size` around its centre
        where left out.
    place : dict, optional
        A settlement of the region: ``x``, ``y`` and, as far as known, ``name``,
        ``population``, ``radius_m`` (of the built-up area), ``river`` (LineString), ``terrain``
        (callable of x and y, or a DataArray, metres), ``crs``.
    size : float
        Side of the square, metres.

    Returns
    -------
    City

    Raises
    ------
    KeyError
        Unknown style.
    ValueError
        A square too small to hold a city, or bounds that are not a square in order.

    Examples
    --------
    >>> town = make(seed=3, style="mediterranean", size=3000)
    >>> sorted(town.roads["kind"].unique())[:2]
    ['arterial', 'lane']
    """
    style = styles.get(style) if isinstance(style, str) else style
    given, seed = seed, int(noise.rng(seed, f"city {style.name}").integers(2**31))
    place = _place(style, bounds, place)
    bounds = _bounds(bounds, place, size)
    plan = streets.plan(style, bounds, place, seed)
    ground = countryside.elevation(place, bounds, plan, style, seed)
    ground = ground.rio.write_crs(place["crs"])
    canvas = blocks.Canvas()
    canvas.paint([shapely.box(*bounds)], style.wild, 0)

    town, country, (lines, gaps), pavement = blocks.cut(plan, style, seed)
    canvas.paint(pavement, PAVEMENT.get(style.name, "concrete_paving"), 15)
    villages, lines2, gaps2 = countryside.lay_out(
        country, style, bounds, plan, ground, canvas, seed
    )
    allotted = pd.concat([town, villages], ignore_index=True)
    parts = blocks.furnish(allotted, style, canvas, seed)
    parts.append(_airfield(plan, style, canvas, allotted))
    houses = blocks.buildings.attributes(style, parts, allotted, seed)
    houses = houses.set_crs(place["crs"])
    houses.geometry = _round(houses.geometry.values)

    roads = _roads(plan, style, np.concatenate([lines, lines2]), np.concatenate([gaps, gaps2]))
    roads = roads.set_crs(place["crs"])
    _pave(roads, plan, style, canvas, seed)
    trees = _trees(roads, plan, houses, style, canvas, seed)
    districts = _districts(plan, houses, style, bounds, place, seed)
    surfaces = _surfaces(canvas, houses, trees, place["crs"], bounds)
    houses = houses.drop(columns="block")
    city = City(
        given, style, place["crs"], bounds, place, surfaces, houses, roads, districts, trees, ground
    )
    for table in (surfaces, houses, roads, districts, trees, ground):
        table.attrs.update(attributes(city))
    return city


def attributes(city):
    """What every layer of a city says about itself."""
    return {
        "simulated": True, "seed": int(city.seed), "scene_version": noise.VERSION,
        "style": city.style.name, "place": city.place["name"],
    }  # fmt: skip


def _place(style, bounds, place):
    """The place with everything filled in that was not given."""
    out = {
        "name": style.title,
        "population": None,
        "radius_m": None,
        "river": None,
        "terrain": None,
    }
    out |= {"crs": style.crs, "x": 500_000.0, "y": styles.northing(style.latitude)}
    if bounds is not None:
        out |= {"x": (bounds[0] + bounds[2]) / 2, "y": (bounds[1] + bounds[3]) / 2}
    return out | dict(place or {})


def _bounds(bounds, place, size):
    if bounds is None:
        west, south = (round((place[k] - size / 2) / 600) * 600.0 for k in "xy")
        bounds = (west, south, west + size, south + size)
    west, south, east, north = (float(b) for b in bounds)
    if east - west < 2000 or abs((east - west) - (north - south)) > 1:
        raise ValueError(
            f"bounds are {tuple(bounds)}: a city needs a square of at least 2000 m, given as "
            "(west, south, east, north) in metres."
        )
    return west, south, east, north


def _round(geometry):
    """Coordinates to one centimetre; the few outlines that this tangles are mended."""
    out = np.asarray(shapely.set_precision(geometry, 0.01, mode="pointwise"), object)
    broken = ~shapely.is_valid(out)
    out[broken] = shapely.buffer(out[broken], 0)
    return out


def _roads(plan, style, lines, gaps):
    kind, width = streets.level(gaps, style.wide)
    cut = gpd.GeoDataFrame({"kind": kind, "width": width, "name": None}, geometry=lines)
    table = pd.concat([plan.roads.set_crs(None, allow_override=True), cut], ignore_index=True)
    table = gpd.GeoDataFrame(table.drop(columns="gap"))
    table.geometry = _round(table.geometry.values)
    # A lane that a river or an airport cut off from every other road leads nowhere: no lane.
    line = table.geometry.values
    a, b = shapely.STRtree(line).query(line, predicate="dwithin", distance=0.5)
    graph = sparse.coo_matrix((np.ones(len(a), bool), (a, b)), shape=(len(line),) * 2)
    _, part = sparse.csgraph.connected_components(graph, directed=False)
    length = np.bincount(part, weights=shapely.length(line))
    return table[part == length.argmax()].reset_index(drop=True)


def _pave(roads, plan, style, canvas, seed):
    """River, embankment, carriageways and what is planted between them."""
    generator = noise.rng(seed, "city river bank")
    if plan.water is not None:
        strip = shapely.difference(plan.bank, plan.water)
        canvas.paint([strip], style.wild, 30)
        town = shapely.Point(plan.centre).buffer(1.02 * plan.radius)
        if style.name == "east_asian":  # trees hold the bank, with gaps
            at, _ = shapes.scatter([strip], int(0.4 * strip.length), generator)
            patch = shapes.blobs(at, 16.0, generator, 12, 0.3, 2.5)
            canvas.paint(shapely.intersection(patch, strip), style.tree, 30, 8.0)
        quay = shapely.intersection(strip, town)
        canvas.paint([quay], style.grass, 31)
        canvas.paint([shapely.intersection(plan.water.buffer(4), town)], "paving_stone", 32)
        canvas.paint([plan.water], style.river, 33)
        shore = plan.water.boundary
        at = shapely.get_coordinates(
            shapely.line_interpolate_point(shore, generator.uniform(0, shore.length, 80))
        )
        bars = shapes.blobs(at, generator.uniform(22, 85, len(at)), generator, 20, 0.3, 3.2)
        bars = shapely.intersection(bars, plan.water.buffer(6))
        out_of_town = ~shapely.intersects(bars, town)
        canvas.paint(bars[out_of_town], generator.choice(["gravel", "reed", "sand"],
                                                         out_of_town.sum()), 34)  # fmt: skip
        ground, _ = shapes.parts([strip])
        count = (0.02 * shapely.area(shapely.envelope(ground)) ** 0.5).astype(int) * 30
        points, _ = shapes.scatter(ground, count, generator)
        canvas.plant(points, 2.9, generator, style.tree)
    main = plan.roads[plan.roads["kind"].isin(["arterial", "ring", "motorway"])]
    if style.tree_share > 0.5:  # a planted verge beside main roads, a green belt round the city
        verge = shapely.buffer(main.geometry.values, main["width"] / 2 + 5, cap_style="flat")
        green = style.name == "east_asian"
        canvas.paint(verge, style.tree if green else style.grass, 19, 5.0 * green)
        belt = main.geometry.values[(main["kind"] == "motorway").to_numpy()]
        if green:
            canvas.paint(shapely.buffer(belt, 60, cap_style="flat"), style.tree, 7, 9.0)
    canvas.paint(shapely.buffer(plan.lakes, 9), "reed", 30)
    canvas.paint(plan.lakes, "water_lake", 33)
    body, strip = streets.surfaces(roads)
    kind = roads["kind"].to_numpy()
    dirt = "soil_bright" if style.bare == "sand" else style.bare
    for order, names, material in (
        (40, ("track",), dirt), (42, ("lane",), None), (44, ("street",), "asphalt_old"),
        (46, ("arterial",), "asphalt"), (48, ("ring", "motorway"), "asphalt"),
    ):  # fmt: skip
        pick = np.isin(kind, names)
        if material is None:
            poor = style.name in ("tropical_informal",)
            choice = [dirt, dirt, "asphalt_old"] if poor else ["concrete_paving", "asphalt_old"]
            material = generator.choice(choice, pick.sum())
        canvas.paint(body[pick], material, order)
    if style.tree_share > 0.5:
        canvas.paint(strip, "hedge", 50, 1.0)


def _airfield(plan, style, canvas, allotted):
    """Runway, taxiway, apron, terminal and hangars, in the frame of the airport's rectangle."""
    if plan.airport is None:
        return blocks.buildings._out(np.empty(0, object), np.zeros(0, int))
    centre, _length, _width, angle = shapes.frame(np.array([plan.airport]))
    toward = plan.centre - centre[0]
    flip = np.sign(shapes.rotate(toward, -angle[0])[1]) or 1.0

    def box(x, y, long, wide):
        at = centre + shapes.rotate(np.array([[x, y * flip]]), angle)
        return shapes.stamp(shapes.RECTANGLE, at, long, wide, angle)

    field = [plan.airport]
    dry = style.wild == "sand"
    lawn, verge = ("sand", "soil_bright") if dry else (style.grass, "grass_wild")
    canvas.paint(field, verge, 16)
    canvas.paint(shapely.buffer(plan.airport, -40), lawn, 17)
    canvas.paint(box(0, -230, 2900, 120), verge, 18)
    for x, y, long, wide in (
        (0, -50, 2700, 24), (-1340, -140, 24, 190), (1340, -140, 24, 190), (-420, -140, 24, 190),
        (520, -140, 24, 190), (-200, 20, 24, 150), (240, 20, 24, 150),
    ):  # fmt: skip
        canvas.paint(box(x, y, long, wide), "asphalt_old", 20)
    canvas.paint(box(0, -230, 2800, 60), "asphalt_old", 21)
    canvas.paint(box(0, -230, 2800, 45), "runway", 22)
    canvas.paint(box(0, 150, 1100, 190), "concrete_paving", 22)
    canvas.paint(box(0, 350, 800, 130), "asphalt", 23)
    canvas.paint(box(0, 425, 1500, 9), "asphalt", 24)
    hall = [box(0, 255, 420, 52)[0], *(box(x, 205, 26, 60)[0] for x in (-160, -55, 55, 160))]
    hall[0] = shapely.difference(hall[0], shapely.union_all(hall[1:]).buffer(0.1))
    sheds = [box(x, 260, 74, 60)[0] for x in (-500, -400, -310, 320, 410, 500)]
    row = len(allotted)
    allotted.loc[row] = [plan.airport, "industrial", 0.3]
    geometry = np.array([*hall, *sheds], object)
    return blocks.buildings._out(geometry, np.full(len(geometry), row), 2)


def _trees(roads, plan, houses, style, canvas, seed):
    """All trees that stand clear of buildings, and off carriageways except at their edge."""
    generator = noise.rng(seed, "city trees")
    spacing = 15.0 / np.clip(style.tree_share, 0.4, 1.2)
    points = streets.beside(roads, spacing, generator)
    edge = plan.density(points)
    points = points[(generator.random(len(points)) < 0.8) & (edge > -0.25)]
    if plan.water is not None:
        points = points[~shapely.contains_xy(plan.water, *points.T)]
    canvas.plant(points, 2.9, generator, style.street_tree)
    if not canvas.trees:
        canvas.trees = [(np.zeros((0, 2)), np.zeros(0), np.zeros(0, object))]
    points, radius, material = (np.concatenate(c) for c in zip(*canvas.trees, strict=True))
    at = shapely.points(points)
    clear = np.ones(len(at), bool)
    body = shapely.buffer(roads.geometry.values, roads["width"] / 2 + 0.8, quad_segs=2)
    tree = shapely.STRtree(at)
    clear[tree.query(body, predicate="intersects")[1]] = False
    clear[tree.query(houses.geometry.values, predicate="dwithin", distance=1.2)[1]] = False
    height = np.clip(radius * generator.uniform(2.0, 3.4, len(radius)), 3, 22)
    return gpd.GeoDataFrame(
        {"radius": radius[clear].round(2), "height": height[clear].round(1),
         "material": material[clear].astype(str)},
        geometry=_round(at[clear]), crs=roads.crs,
    )  # fmt: skip


def _districts(plan, houses, style, bounds, place, seed):
    """Six districts: the centre and five sectors, along main roads where there are faces.

    Population follows the floor area of housing, and is the place's own where it is known.
    """
    generator = noise.rng(seed, "city districts")
    square = shapely.box(*bounds)
    start = plan.axis + generator.uniform(0, 0.4)
    core = shapely.intersection(shapely.Point(plan.centre).buffer(0.32 * plan.radius), square)
    reach = 3 * (bounds[2] - bounds[0])
    turn = start + 2 * np.pi * (np.arange(5) + generator.uniform(-0.12, 0.12, 5)) / 5
    ends = plan.centre + reach * np.stack([np.cos(turn), np.sin(turn)], -1)
    found = [core]
    for k in range(5):
        wedge = shapely.Polygon([plan.centre, ends[k], ends[(k + 1) % 5]])
        found.append(shapely.difference(shapely.intersection(wedge, square), core))
    names = ["Old Town", *_district_names(generator)]
    table = gpd.GeoDataFrame({"name": names}, geometry=_round(np.array(found)), crs=place["crs"])
    at = houses.geometry.representative_point()
    pairs = shapely.STRtree(table.geometry.values).query(at.values, predicate="intersects")
    owner = np.zeros(len(houses), int)
    owner[pairs[0][::-1]] = pairs[1][::-1]
    houses["district"] = np.array(names)[owner]
    living = ~houses["use"].isin(blocks.buildings.NO_HOMES)
    floor = houses.area * houses["storeys"] * living
    people = floor / style.population_floor
    if place.get("population"):
        people *= place["population"] / max(people.sum(), 1)
    table["population"] = [
        round(v) for v in people.groupby(owner).sum().reindex(range(6), fill_value=0)
    ]
    return table


def _district_names(generator):
    sides = ["Northgate", "Riverside", "Millfield", "Eastham", "Southbank", "Westhaven", "Hillfoot",
             "Lakeside", "Stonebridge"]  # fmt: skip
    return [sides[i] for i in generator.permutation(len(sides))[:5]]


def _surfaces(canvas, houses, trees, crs, bounds):
    """All painted surfaces as one table, canopies above streets, roofs last."""
    generator = noise.rng(0, "canopy outlines")
    at = shapely.get_coordinates(trees.geometry.values)
    crown = shapes.blobs(at, trees["radius"].to_numpy(), generator, 8, 0.12)
    for row, painted in enumerate(canvas.rows):
        canvas.rows[row] = (_round(painted[0]), *painted[1:])
    canvas.paint(crown, trees["material"].to_numpy(object), 70, trees["height"].to_numpy())
    canvas.paint(houses.geometry.values, houses["material"].to_numpy(object), 80,
                 houses["height"].to_numpy())  # fmt: skip
    geometry, material, order, height = (np.concatenate(c) for c in zip(*canvas.rows, strict=True))
    inside = ~(shapely.is_empty(geometry) | shapely.is_missing(geometry))
    geometry, material = geometry[inside], material[inside]
    order, height = order[inside], height[inside]
    sort = np.argsort(order, kind="stable")
    table = gpd.GeoDataFrame(
        {
            "material": pd.Categorical(material[sort]), "order": order[sort].astype("int16"),
            "parcel": np.arange(1, len(sort) + 1, dtype="int32"),
            "height": height[sort].astype("float32"),
        },
        geometry=geometry[sort], crs=crs,
    )  # fmt: skip
    return table
