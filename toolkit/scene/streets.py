"""Where do the river and the roads run, and what do they leave between them?

Main roads first (rings and radials, or a grid), bridges where they cross the river, roads along
its banks; then cells are cut in two along their boxes, each cut a street whose width follows from
the size of the cell it cuts. Simplified: crossings are level, no ramps, no tunnels.
"""

from __future__ import annotations

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import rasterio.features
import shapely
from rasterio.transform import from_origin
from scipy import ndimage

from toolkit.scene import noise, shapes

# gap between the blocks -> kind of road, width of its carriageway (m); the rest are pavements and
# verges. Widths: 3.5 m a lane on main roads, 3 m on others, as road design guides have them.
LEVELS = {
    52.0: ("ring", 34.0), 44.0: ("arterial", 28.0), 30.0: ("arterial", 18.0),
    22.0: ("street", 13.0), 15.0: ("street", 9.0), 12.0: ("street", 7.0), 9.0: ("lane", 6.0),
    7.0: ("lane", 5.0), 5.0: ("lane", 3.6), 4.0: ("track", 3.2), 3.0: ("lane", 2.4),
}  # fmt: skip

BANK = 32.0
"""Width of the embankment beside the river, metres."""


@dataclass
class Plan:
    """Main roads, water and what lies between: the skeleton of a city.

    Attributes
    ----------
    centre : numpy.ndarray (2,)
    radius : float
        Where the built-up area ends on average, metres.
    roads : geopandas.GeoDataFrame
        Main roads, see `cities.City`.
    faces : numpy.ndarray of Polygon
        Cells between them, without river and airport.
    water, bank, airport : Polygon or None
    lakes : numpy.ndarray of Polygon
    density : callable
        1 at the centre, 0 at the edge, negative beyond; of points (n, 2).
    """

    centre: np.ndarray
    radius: float
    roads: gpd.GeoDataFrame
    faces: np.ndarray
    water: object
    bank: object
    airport: object
    lakes: np.ndarray
    axis: float
    density: object


def _resample(line, step):
    n = max(int(line.length / step), 4)
    return shapely.get_coordinates(
        shapely.line_interpolate_point(line, np.linspace(0, line.length, n))
    )


def river(style, bounds, centre, radius, given, generator, usual=None):
    """Water surface of the river as a polygon, or None.

    The given line, or a line of our own, is smoothed and given meanders of about ten channel
    widths (Leopold and Wolman 1960, Geol. Soc. Am. Bull. 71, 769) and a width of 110 to 280 m
    about the `usual` one, which the region knows.
    """
    square = shapely.box(*bounds)
    if given is None:
        if style.river is None:
            return None
        turn = generator.uniform(0, np.pi)
        along = np.array([np.cos(turn), np.sin(turn)])
        side = np.array([-along[1], along[0]]) * generator.choice([-1, 1])
        reach = bounds[2] - bounds[0]
        s = np.linspace(-1.2, 1.2, 300)
        sway = ndimage.gaussian_filter1d(generator.normal(0, 1, 300), 26)
        off = generator.uniform(0.25, 0.5) * radius + sway / sway.std() * 0.09 * reach
        line = shapely.linestrings(centre + s[:, None] * reach * along + off[:, None] * side)
    else:
        line = shapely.intersection(given, square.buffer(3000))
        if line.geom_type != "LineString":
            line = shapely.line_merge(line)
            line = max(shapely.get_parts(line), key=shapely.length, default=None)
        if line is None or line.is_empty or line.length < 1500:
            return None
    points = _resample(line, 25)
    n = len(points)
    points = ndimage.gaussian_filter1d(points, 12, axis=0, mode="nearest")
    tangent = np.gradient(points, axis=0)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], -1) / np.hypot(*tangent.T)[:, None]
    wave = ndimage.gaussian_filter1d(generator.normal(0, 1, n), 22)
    points = points + normal * (110 * wave / wave.std())[:, None]
    swell = ndimage.gaussian_filter1d(generator.normal(0, 1, n), 18)
    width = np.clip((usual or 175) + 32 * swell / swell.std(), 110, 280)
    discs = shapely.buffer(shapely.points(points), width / 2, quad_segs=8)
    hulls = shapely.convex_hull(shapely.union(discs[:-1], discs[1:]))
    water = shapely.intersection(shapely.union_all(hulls), square.buffer(500))
    water = shapely.simplify(shapely.buffer(shapely.buffer(water, 40), -40), 1.0)
    return shapely.intersection(water, square)


def _lines(style, bounds, centre, radius, axis, generator):
    """Main roads as (kind, gap, line)."""
    out = []
    reach = 1.6 * (bounds[2] - bounds[0])
    turn = np.linspace(0, 2 * np.pi, 121)
    for i in range(style.rings):
        r0 = radius * np.linspace(0.3, 0.95, max(style.rings, 2))[i if style.rings > 1 else 1]
        r0 *= 1 + generator.uniform(-0.06, 0.06)
        # Rings were built piece by piece round what stood there: no circles.
        wobble = sum(
            generator.normal(0, 0.075 / k**0.6) * np.cos(k * turn + generator.uniform(0, 7))
            for k in (1, 2, 3, 5)
        )
        wobble = np.clip(wobble, -0.12, 0.12)
        ring = (r0 * (1 + wobble))[:, None] * np.stack([np.cos(turn), np.sin(turn)], -1)
        ring[-1] = ring[0]
        if style.form == "grid":  # a squarish belt road
            ring = ring / np.maximum(np.abs(ring / r0) ** 4, 1e-9).sum(1)[:, None] ** 0.25 * 0.92
            ring = shapes.rotate(ring, axis)
        kind = "motorway" if i == style.rings - 1 and style.rings > 1 else "ring"
        out.append((kind, 52.0, shapely.linestrings(ring + centre)))
    s = np.linspace(0, reach, 90)
    for i in range(style.radials if style.form == "radial" else 0):
        base = axis + 2 * np.pi * (i + generator.normal(0, 0.12)) / style.radials
        drift = ndimage.gaussian_filter1d(generator.normal(0, 1, 90), 14, mode="nearest")
        away = base + 0.16 * drift / drift.std() * np.clip(s / reach, 0, 1)
        start = 0.0 if i % 2 == 0 else 0.29 * radius
        r = s[s >= start]
        a = away[s >= start]
        line = shapely.linestrings(centre + r[:, None] * np.stack([np.cos(a), np.sin(a)], -1))
        out.append(("arterial", 44.0, line))
    if style.form == "grid":
        count = int(1.25 * radius / style.grid) + 1
        for side in (0, 1):
            for i in range(-count, count + 1):
                at = (i + 0.5 + generator.normal(0, 0.06)) * style.grid
                half = reach if i in (-1, 0) else radius * generator.uniform(0.85, 1.15)
                line = np.array([(-half, at), (half, at)])
                line = line if side == 0 else line[:, ::-1]
                line = shapely.linestrings(shapes.rotate(line, axis) + centre)
                out.append(("arterial", 44.0, line))
    return out


def _names(n, generator):
    """Invented street names."""
    head = (
        "Alder", "Bell", "Canal", "Cedar", "Dyer", "Ferry", "Garden", "Harbour", "Iron", "Jade",
        "Kiln", "Lantern", "Mill", "North", "Orchard", "Paper", "Quay", "River", "Silk", "Temple",
        "Upper", "Vine", "Willow", "Well",
    )  # fmt: skip
    tail = ("Road", "Avenue", "Street", "Way")
    return [
        f"{head[generator.integers(len(head))]} {tail[generator.integers(4)]}" for _ in range(n)
    ]


def plan(style, bounds, place, seed):
    """Lay out river, main roads and airport.

    Parameters
    ----------
    style : styles.Style
        Its style.
    bounds : tuple of float
        West, south, east, north, metres.
    place : dict
        ``x``, ``y``, ``radius_m``, ``river``; see `city.make`.
    seed : int
        Seed of the city.

    Returns
    -------
    Plan
    """
    generator = noise.rng(seed, "city plan")
    size = bounds[2] - bounds[0]
    centre = np.array([place["x"], place["y"]], float)
    radius = float(np.clip(place.get("radius_m") or 0.36 * size, 0.15 * size, 0.40 * size))
    axis = float(generator.uniform(-0.35, 0.35))
    square = shapely.box(*bounds)
    water = river(style, bounds, centre, radius, place.get("river"), noise.rng(seed, "city river"),
                  place.get("river_width"))  # fmt: skip
    bank = None if water is None else shapely.intersection(water.buffer(BANK).simplify(2), square)
    airport = None
    if size >= 10_000:
        airport = _airport(bounds, centre, radius, axis, bank, generator)
    pieces, main = [], _lines(style, bounds, centre, radius, axis, generator)
    taken = [shapely.union_all([m[2] for m in main]), bank, airport]
    lakes = _lakes(style, bounds, centre, radius, taken, noise.rng(seed, "city lakes"))
    for kind, gap, line in main:
        line = shapely.intersection(line, square)
        if airport is not None:
            line = shapely.difference(line, airport)
        if bank is not None:
            # A bridge where the crossing is short; else the road ends at the embankment.
            inside = shapely.get_parts(shapely.intersection(line, bank))
            long = inside[shapely.length(inside) > 620]
            if len(long):
                line = shapely.difference(line, shapely.union_all(shapely.buffer(long, 0.5)))
        for part in shapely.get_parts(shapely.line_merge(line)):
            if part.geom_type == "LineString" and part.length > 40:
                pieces.append((kind, gap, part))
    edges = [square.boundary]
    if bank is not None:
        edges.append(bank.boundary)
        shore = shapely.get_parts(shapely.difference(bank.boundary, square.boundary.buffer(1.0)))
        town = shapely.Point(centre).buffer(1.02 * radius)
        for gap, area in ((15.0, town), (5.0, shapely.difference(square, town))):
            for part in shapely.get_parts(
                shapely.intersection(shapely.MultiLineString([*shore]), area)
            ):
                pieces.append(("street" if gap > 10 else "track", gap, part))
    if airport is not None:
        pieces.append(("street", 15.0, airport.exterior))
    pieces += [("track", 5.0, lake.exterior) for lake in lakes]
    lines = np.array([p[2] for p in pieces])
    gaps = np.array([p[1] for p in pieces]) * style.wide
    net = shapely.union_all(np.concatenate([lines, edges]), grid_size=0.01)
    found, _, loose, _ = shapely.polygonize_full(shapely.get_parts(net))
    faces = shapely.get_parts(found)
    # Main roads that end in the open lead nowhere, and would cut a block but no cell: away.
    rest = shapely.difference(lines, shapely.buffer(loose, 0.2, cap_style="flat"))
    rest, index = shapely.get_parts(shapely.line_merge(rest), return_index=True)
    good = (shapely.get_type_id(rest) == 1) & (shapely.length(rest) > 5)
    lines, gaps = rest[good], gaps[index[good]]
    pieces = [pieces[i] for i in index[good]]
    faces = faces[shapely.area(faces) > 100]
    inside = shapely.get_coordinates(shapely.point_on_surface(faces))
    keep = np.ones(len(faces), bool)
    for taken in (bank, airport, *lakes):
        if taken is not None:
            keep &= ~shapely.contains_xy(taken, inside[:, 0], inside[:, 1])
    kinds = [p[0] for p in pieces]
    width = np.array([LEVELS[p[1]][1] for p in pieces]) * style.wide
    roads = gpd.GeoDataFrame(
        {"kind": kinds, "width": width, "gap": gaps, "name": _names(len(lines), generator)},
        geometry=lines,
        crs=place["crs"],
    )
    radial = lines[[k in ("arterial", "ring", "motorway") for k in kinds]]
    net_away = _distance(radial, bounds)
    angular = shapes.field((-4, -4, 4, 4), noise.rng(seed, "city outline"), 3.0)
    patch = shapes.field(bounds, noise.rng(seed, "city edge"), 1800.0, 2.0)

    def density(points):
        points = np.asarray(points, float).reshape(-1, 2)
        away = points - centre
        r = np.maximum(np.hypot(*away.T), 1.0)
        edge = radius * (1 + 0.13 * angular(3 * away / r[:, None]))
        near = np.exp(-net_away(points) / 300)
        return 1 - r / edge + 0.06 * patch(points) + 0.09 * near - 0.02

    return Plan(centre, radius, roads, faces[keep], water, bank, airport, lakes, axis, density)


def _distance(lines, bounds, step=20.0):
    """Distance to lines as a function of points, from a raster of it."""
    rows, cols = (int((bounds[k + 2] - bounds[k]) / step) + 1 for k in (1, 0))
    origin = from_origin(bounds[0] - step / 2, bounds[3] + step / 2, step, step)
    free = rasterio.features.rasterize(
        lines, (rows, cols), fill=1, default_value=0, transform=origin, all_touched=True
    )
    away = step * ndimage.distance_transform_edt(free)

    def sample(points):
        where = [(bounds[3] - points[:, 1]) / step, (points[:, 0] - bounds[0]) / step]
        return ndimage.map_coordinates(away, where, order=1, mode="nearest")

    return sample


def _lakes(style, bounds, centre, radius, taken, generator):
    """Lakes with bays, beyond the edge of the city, where no main road or river is in the way."""
    square = shapely.box(*bounds).buffer(-60)
    taken = shapely.union_all([t for t in taken if t is not None])
    scale = (bounds[2] - bounds[0]) / 12e3
    out = []
    for k in range(style.lakes):
        at = generator.uniform(bounds[:2], bounds[2:], (300, 2))
        away = np.hypot(*(at - centre).T) / radius
        room = np.minimum(
            shapely.distance(shapely.points(at), taken),
            shapely.distance(shapely.points(at), square.boundary),
        )
        room[(away < 1.16) | (away > 1.55)] = 0
        at = at[room.argmax()]
        reach = min(0.62 * room.max(), (520, 400, 300)[k % 3] * scale)
        if reach < 70:
            continue
        bays = at + generator.normal(0, 0.5, (4, 2)) * reach
        size = reach * np.array([0.75, 0.5, 0.5, 0.4])
        lake = shapely.union_all(shapes.blobs(bays, size, generator, 40, 0.22, 1.5))
        lake = shapely.intersection(lake.buffer(25).buffer(-25), square)
        lake = shapely.difference(lake, shapely.buffer(taken, 60))
        lake, _ = shapes.largest([lake], 1e4)
        if len(lake):
            out.append(shapely.Polygon(shapely.simplify(lake[0], 2).exterior))
            taken = shapely.union_all([taken, out[-1].buffer(300)])
    return np.array(out, object)


def _airport(bounds, centre, radius, axis, bank, generator):
    """A rectangle 3.2 km x 0.9 km beyond the edge of the city, where the river leaves room."""
    inner = shapely.box(bounds[0] + 350, bounds[1] + 350, bounds[2] - 350, bounds[3] - 350)
    best = None
    for _ in range(60):
        turn = generator.uniform(0, 2 * np.pi)
        at = centre + (radius * generator.uniform(0.95, 1.25)) * np.array(
            [np.cos(turn), np.sin(turn)]
        )
        angle = axis + generator.choice([0, np.pi / 2]) + generator.normal(0, 0.12)
        box = shapes.stamp(shapes.RECTANGLE, at, 3200, 900, angle)[0]
        if not shapely.contains(inner, box) or (bank is not None and box.distance(bank) < 150):
            continue
        away = box.distance(shapely.Point(centre))
        if best is None or away > best[0]:
            best = (away, box)
    return best[1] if best and best[0] > 0.6 * radius else None


def level(gap, wide):
    """Kind and carriageway width of streets, from the gap between their blocks."""
    keys = np.array(sorted(LEVELS))
    pick = np.abs(np.asarray(gap)[:, None] / wide - keys[None]).argmin(1)
    kind = np.array([LEVELS[k][0] for k in keys], object)[pick]
    return kind, np.array([LEVELS[k][1] for k in keys])[pick] * wide


def open_cells(plan):
    """The faces of a plan, less the main roads with their pavements."""
    gaps = shapely.buffer(plan.roads.geometry.values, plan.roads["gap"] / 2, cap_style="square")
    return shapely.difference(plan.faces, shapely.union_all(gaps))


def surfaces(roads):
    """Road polygons, and the narrow planted strips in the middle of wide roads."""
    lines = roads.geometry.values
    body = shapely.buffer(lines, roads["width"].to_numpy() / 2, quad_segs=2)
    wide = lines[(roads["width"] > 26).to_numpy()]
    strips = []
    for line in wide:
        start = np.arange(30, line.length - 60, 210.0)
        for a in start:
            strips.append(shapely.ops.substring(line, a, min(a + 165, line.length - 30)))
    strip = shapely.buffer(np.array(strips, object), 1.6, cap_style="flat") if strips else []
    return body, np.asarray(strip, object)


def beside(roads, spacing, generator, kinds=("ring", "arterial", "street")):
    """Points along both sides of roads, for street trees.

    Returns
    -------
    numpy.ndarray (n, 2)
    """
    chosen = roads[roads["kind"].isin(kinds)]
    points, index = shapely.get_coordinates(chosen.geometry.values, return_index=True)
    same = index[1:] == index[:-1]
    a, b = points[:-1][same], points[1:][same]
    width = chosen["width"].to_numpy()[index[:-1][same]]
    length = np.hypot(*(b - a).T)
    a, b, width, length = (v[length > spacing] for v in (a, b, width, length))
    count = (length / spacing).astype(int)
    k = np.repeat(np.arange(len(a)), count)
    step = (np.arange(len(k)) - np.repeat(np.cumsum(count) - count, count) + 0.5) * spacing
    along = (b - a) / length[:, None]
    normal = np.stack([-along[:, 1], along[:, 0]], -1)
    out = []
    for side in (-1, 1):
        shift = generator.normal(0, 0.8, (len(k), 1))
        off = side * (width[k] / 2 + 1.8)[:, None]
        out.append(a[k] + along[k] * (step[:, None] + shift) + normal[k] * off)
    return np.concatenate(out)
