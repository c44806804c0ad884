"""Which block is what, and what lies on its ground?

Uses compete for cells of about a tenth of a square kilometre by density, with smooth noise of
their own so that they form quarters; blocks, courts, paths, pitches and ponds follow.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import shapely

from toolkit.scene import buildings, noise, shapes, streets, styles

# Block area of a use over the style's usual block; bend of its streets over the style's.
_SIZE = {
    "old": (0.3, 1.3), "urban_village": (0.28, 2.0), "informal": (0.3, 1.5),
    "commercial": (0.6, 0.5),
    "compound": (1.15, 0.6), "estate": (1.2, 1.0), "perimeter": (0.85, 0.8), "terrace": (0.7, 1.6),
    "villas": (0.85, 2.2), "courtyard": (0.8, 0.5), "industrial": (2.6, 0.2), "park": (60.0, 1.0),
    "construction": (1.2, 0.5), "vacant": (1.6, 1.5), "mall": (3.0, 0.3), "stadium": (60.0, 1.0),
    "school": (60.0, 1.0),
}  # fmt: skip
_NARROW = {"old": 5.0, "urban_village": 3.0, "informal": 3.0}


class Canvas:
    """Collects surfaces in painter's order."""

    def __init__(self):
        self.rows = []
        self.trees = []

    def paint(self, geometry, material, order, height=0.0):
        """Add polygons of a material (one or one each) at an order."""
        geometry = np.asarray(geometry, object).reshape(-1)
        n = len(geometry)
        if n:
            self.rows.append(
                (geometry, np.broadcast_to(np.asarray(material, object), n),
                 np.full(n, order), np.broadcast_to(np.asarray(height, float), n))
            )  # fmt: skip

    def plant(self, points, radius, generator, material, spread=0.25):
        """Add trees of a mean canopy radius (m); heights follow."""
        n = len(points)
        if n:
            r = np.clip(radius * generator.normal(1, spread, n), 1.2, 7.5)
            self.trees.append((points, r, np.full(n, material, object)))


def cut(plan, style, seed):
    """Cut the faces of a plan into town blocks with a use, and open country.

    Returns
    -------
    town : pandas.DataFrame
        Columns ``block`` (Polygon), ``use``, ``density``.
    country : tuple of numpy.ndarray
        Cells beyond the edge without gaps, and what the roads leave of them.
    roads : tuple of numpy.ndarray
        Centre lines and gaps.
    pavement : numpy.ndarray of Polygon
        Town cells, roads included: what shows between carriageway and block.
    """
    generator = noise.rng(seed, "city blocks")
    wide = style.wide
    open_faces = streets.open_cells(plan)
    axis = np.nan if style.form == "radial" else plan.axis

    def big(area, centre):
        town = plan.density(centre) > 0
        return np.where(town, np.where(area > 0.9e6, 44.0, 30.0), 12.0) * wide

    block, _, line, gap, cell = shapes.divide(
        plan.faces, 0.4e6, generator, big, open_faces, style.jitter, style.skew, style.bend,
        np.full(len(plan.faces), axis), smallest=150,
    )  # fmt: skip
    middle = shapely.get_coordinates(shapely.centroid(cell))
    edge = plan.density(middle)
    fringe = edge > -0.12
    rural = [(cell[~fringe], block[~fringe])]
    bend = style.bend * np.where(edge[fringe] < 0.5, 1.6, 1.0)
    block, _, line2, gap2, cell = shapes.divide(
        cell[fringe], 0.1e6, generator, lambda area, _: np.where(area > 0.2e6, 22.0, 15.0) * wide,
        block[fringe], style.jitter, style.skew, bend, np.full(fringe.sum(), axis), smallest=150,
    )  # fmt: skip
    middle = shapely.get_coordinates(shapely.centroid(cell))
    density = plan.density(middle)
    town = density > 0
    rural.append((cell[~town], block[~town]))
    country = tuple(np.concatenate(c) for c in zip(*rural, strict=True))
    cell, block, middle, density = cell[town], block[town], middle[town], density[town]
    pavement = cell
    use = choose(style, plan, cell, density, seed)
    size = np.array([_SIZE[u] for u in use])
    narrow = np.array([_NARROW.get(u, 12.0) for u in use])
    angle = np.full(len(cell), axis)
    if style.name == "suburban_grid":  # beyond the first belt the estates wind
        angle[(use == "villas") & (density < 0.6)] = np.nan
    small = []
    for level in np.unique(narrow):  # one call for each width of lanes
        pick = np.flatnonzero(narrow == level)
        gap_of = lambda area, _, level=level: np.where(area > 45_000, max(level, 7.0), level) * wide  # noqa: E731
        bent = size[pick, 1] * style.bend
        if style.name == "suburban_grid":
            bent = np.where(np.isnan(angle[pick]), 0.22, 0.0)
        out = shapes.divide(
            cell[pick], size[pick, 0] * style.block, generator, gap_of, block[pick], style.jitter,
            style.skew, bent, angle[pick], smallest=60,
        )  # fmt: skip
        small.append((out[0], pick[out[1]], out[2], out[3]))
    block, root, line3, gap3 = (np.concatenate(c) for c in zip(*small, strict=True))
    use = use[root].copy()
    density = plan.density(shapely.get_coordinates(shapely.centroid(block)))
    # Schools and pocket parks take single blocks of housing.
    weight = {u[0]: u[3] for u in style.uses}
    area = shapely.area(block)
    living = np.isin(use, ["compound", "villas", "terrace", "estate", "courtyard", "perimeter"])
    draw = generator.random(len(block))
    _, length, width, _ = shapes.frame(block)
    full = area > 0.72 * length * width
    use[living & full & (area > 11_000) & (width > 80) & (draw < 0.3 * weight.get("school", 0))] = (
        "school"
    )
    use[living & (area > 2500) & (draw > 1 - 0.05 * style.tree_share)] = "park"
    lines = np.concatenate([line, line2, line3]), np.concatenate([gap, gap2, gap3])
    return (
        pd.DataFrame({"block": block, "use": use, "density": density}), country, lines, pavement
    )  # fmt: skip


def choose(style, plan, cell, density, seed):
    """Use of each cell: the highest of log weight + smooth noise of the use + a little chance."""
    generator = noise.rng(seed, "city uses")
    middle, area = shapely.get_coordinates(shapely.centroid(cell)), shapely.area(cell)
    _, length, width, _ = shapes.frame(cell)
    away = middle - plan.centre
    side = np.arctan2(away[:, 1], away[:, 0])
    works = generator.uniform(-np.pi, np.pi)  # industry keeps to one side of town
    bounds = (*(plan.centre - 8000), *(plan.centre + 8000))
    names = [u for u in style.uses if u[0] != "school"]
    score = np.full((len(middle), len(names)), -np.inf)
    for k, (name, low, high, weight) in enumerate(names):
        fits = (density >= low) & (density <= high)
        clump = shapes.field(bounds, noise.rng(seed, f"city use {name}"), 1300.0, 2.0)(middle)
        value = np.log(weight) + 1.15 * clump + 0.45 * generator.gumbel(size=len(middle))
        if name == "industrial":
            value = value + 1.8 * np.cos(side - works)
        score[fits, k] = value[fits]
    # Each use gets the area its weights ask for, whatever the noise of this seed.
    weights = np.where(np.isfinite(score), [n[3] for n in names], 0.0)
    share = weights / np.maximum(weights.sum(1, keepdims=True), 1e-9)
    wanted = (share * area[:, None]).sum(0) + 1
    for _ in range(12):
        got = np.bincount(score.argmax(1), weights=area, minlength=len(names)) + 0.05 * wanted
        score += 0.6 * np.log(wanted / got)
    use = np.array([n[0] for n in names], object)[score.argmax(1)]
    lost = ~np.isfinite(score.max(1))
    use[lost] = "vacant"
    square = (width > 230) & (area > 0.85 * length * width)
    roomy = np.flatnonzero(square & (area > 60_000) & (density > 0.2) & (density < 0.8))
    if len(roomy) > 5:
        for wanted in (0.75, 0.6, 0.45, 0.3):  # a few large parks whatever chance says
            use[roomy[np.argmin(np.abs(density[roomy] - wanted))]] = "park"
        use[roomy[np.argmin(np.abs(density[roomy] - 0.38))]] = "stadium"
    return use


def furnish(town, style, canvas, seed):
    """Paint the ground of every block, and return the parts of its buildings."""
    parts = []
    canvas.paint(town["block"], [styles.ground(style, u) for u in town["use"]], 20)
    for use, builder in _BUILDERS.items():
        pick = np.flatnonzero((town["use"] == use).to_numpy())
        if not len(pick):
            continue
        found = builder(
            town["block"].to_numpy()[pick], np.clip(town["density"].to_numpy()[pick], 0, 1), style,
            canvas, noise.rng(seed, f"city use {use} form"), use,
        )  # fmt: skip
        for geometry, block, storeys, tier in found:
            parts.append((geometry, pick[block], storeys, tier))
    return parts


def _green(blocks, canvas, style, generator, each, radius=2.8, order=None):
    """Trees at random on blocks: one for every `each` square metres."""
    count = generator.poisson(shapely.area(blocks) / each * style.tree_share)
    points, _ = shapes.scatter(blocks, count, generator)
    canvas.plant(points, radius, generator, style.tree)


def _fine(blocks, density, style, canvas, generator, use):
    gap, cover = {
        "old": (0.7, 0.93), "urban_village": (0.9, 0.95), "informal": (0.55, 0.92),
        "courtyard": (0.9, 0.9), "village": (2.0, 0.72),
    }[use]  # fmt: skip
    area = styles.lot(style, use)
    out = buildings.fine(blocks, area, gap, cover, generator, use == "courtyard")
    if use == "village" and style.hamlets:  # gardens and groves between the farms
        garden = generator.random(len(blocks)) < 0.42
        kind = generator.choice(["vegetable", style.wild, style.tree, style.bare], garden.sum(),
                                p=[0.42, 0.16, 0.3, 0.12])  # fmt: skip
        canvas.paint(blocks[garden], kind, 21)
        grove, _ = shapes.scatter(blocks, np.full(len(blocks), 2), generator)
        grove = shapes.blobs(grove, generator.uniform(6, 17, len(grove)), generator, 14, 0.25)
        canvas.paint(grove, style.tree, 22, 7.0)
    _green(blocks, canvas, style, generator, {"old": 520}.get(use, 800), 2.6)
    return [out]


def _perimeter(blocks, density, style, canvas, generator, use):
    depth, sheds = (12.5, 0.32) if use == "perimeter" else (9.0, 0.12)
    out = buildings.perimeter(blocks, styles.lot(style, use), depth, generator, sheds)
    yard, _ = shapes.inset(blocks, depth + 4, 60)
    if use == "perimeter":
        canvas.paint(yard, np.where(generator.random(len(yard)) < 0.45, style.grass,
                                    "concrete_paving"), 24)  # fmt: skip
    _green(yard, canvas, style, generator, 420, 3.0)
    return out


def _villas(blocks, density, style, canvas, generator, use):
    out, (lots, _block, good, _house) = buildings.houses(
        blocks, styles.lot(style, use), generator, size=0.56
    )
    lawn, _index = shapes.inset(lots, 0.6, 60)
    kind = generator.random(len(lawn))
    canvas.paint(
        lawn,
        np.select([kind < 0.72, kind < 0.86], [styles.ground(style, use), style.wild],
                  "paving_stone"), 23,
    )  # fmt: skip
    centre, length, width, angle = shapes.frame(lots[good])
    drive = shapes.stamp(shapes.RECTANGLE, centre, length * 0.95, 3.2, angle)
    canvas.paint(drive[generator.random(len(drive)) < 0.7], "concrete_paving", 24)
    pool = generator.random(len(centre)) < style.pools
    at = (
        centre[pool]
        + shapes.rotate(
            np.stack([0 * length, width * generator.choice([-0.36, 0.36], len(width))], -1), angle
        )[pool]
    )
    tub = shapes.stamp(shapes.OUTLINES["bevelled"], at, 9.0, 4.5, angle[pool])
    clear = shapely.distance(tub, out[0][pool]) > 1.0
    clear &= shapely.contains(lots[good][pool], tub)
    canvas.paint(shapely.buffer(tub[clear], 1.6), "paving_stone", 26)
    canvas.paint(tub[clear], "water_pool", 27)
    _green(blocks, canvas, style, generator, 300, 3.1)
    return [out]


def _slabs(blocks, density, style, canvas, generator, use):
    low, high = styles.storeys(style, use)
    paved = generator.random(len(blocks)) < 0.10
    canvas.paint(blocks[paved], "concrete_paving", 21)
    if style.name == "east_asian":
        planted = generator.random(len(blocks)) < 0.3  # ground cover instead of a lawn
        canvas.paint(blocks[planted & ~paved], "shrub", 21)
        # Gardens of trees and shrub take most of the open ground.
        at, _ = shapes.scatter(blocks, (shapely.area(blocks) / 700).astype(int), generator)
        grove = shapes.blobs(at, generator.uniform(7, 18, len(at)), generator, 12, 0.3, 1.5)
        kind = generator.choice([style.tree, style.tree, "shrub"], len(at))
        canvas.paint(grove, kind, 23, 5.0)
    centre, _length, width, _ = shapes.frame(blocks)
    ring, _ = shapes.inset(blocks, 5.0, 900)
    path = shapely.buffer(shapely.boundary(ring), 2.2, quad_segs=2)
    out = buildings.slabs(blocks, density, low, high, generator, use == "compound")
    base = shapely.buffer(out[0], 3.2, join_style="mitre")
    canvas.paint(path, "concrete_paving", 24)
    canvas.paint(shapely.intersection(base, blocks[out[1]]), "concrete_paving", 25)
    roomy = np.flatnonzero((width > 70) & (generator.random(len(blocks)) < 0.6))
    court = shapes.blobs(centre[roomy], 0.13 * width[roomy], generator, stretch=1.5)
    canvas.paint(court, np.where(generator.random(len(court)) < 0.35, "water_pond",
                                 "paving_stone"), 26)  # fmt: skip
    _green(blocks, canvas, style, generator, 300, 2.9)
    return [out]


def _towers(blocks, density, style, canvas, generator, use):
    low, high = styles.storeys(style, use)
    _setback(blocks, canvas, style, generator)
    _green(blocks, canvas, style, generator, 480, 2.6)
    return buildings.towers(blocks, density, low, high, generator)


def _setback(blocks, canvas, style, generator, deep=6.5):
    """A planted strip along the street, with gaps for entrances: lawn, hedge or trees.

    Plots of Chinese cities keep 20 to 35 % of their ground green (GB 50180 asks 30 % of housing).
    """
    if style.wild == "sand":
        return
    outer, _ = shapes.inset(blocks, 2.5, 900)
    strip = shapely.difference(outer, shapely.buffer(outer, -deep, join_style="mitre"))
    centre, length, width, angle = shapes.frame(outer)
    for turn in (0, np.pi / 2):
        gate = shapes.stamp(shapes.RECTANGLE, centre, length + width, 22.0, angle + turn)
        strip = shapely.difference(strip, gate)
    kind = generator.choice([style.grass, "shrub", style.tree], len(strip), p=[0.45, 0.2, 0.35])
    canvas.paint(strip, kind, 23, np.where(kind == style.tree, 6.0, 0.5))


def _sheds(blocks, density, style, canvas, generator, use):
    kind = generator.random(len(blocks))
    yard = np.select([kind < 0.3, kind < 0.42, kind < 0.55],
                     ["asphalt_old", "gravel", style.bare], "concrete_paving")  # fmt: skip
    canvas.paint(shapely.buffer(blocks, -4), yard, 22)
    size, apart = ((2500, 16_000), (5, 13)) if use == "industrial" else ((9000, 24_000), (16, 34))
    _setback(blocks, canvas, style, generator, 9.0)
    _green(blocks, canvas, style, generator, 900, 2.8)
    return [buildings.sheds(blocks, generator, size, apart)]


def _school(blocks, density, style, canvas, generator, use):
    centre, length, width, angle = shapes.frame(blocks)
    n = len(blocks)
    # A 400 m track is 176 m x 92 m; smaller grounds have 200 to 300 m tracks.
    scale = np.clip(np.minimum((length * 0.62) / 176, (width - 16) / 92), 0.42, 1.0)
    off = (length / 2 - 176 * scale / 2 - 9) * generator.choice([-1, 1], n)
    at = centre + shapes.rotate(np.stack([off, 0 * off], -1), angle)
    straight = 84 * scale[:, None] / 2 * np.stack([np.cos(angle), np.sin(angle)], -1)
    core = shapely.linestrings(np.stack([at - straight, at + straight], axis=1))
    track = shapely.buffer(core, 46 * scale)
    fits = shapely.contains(shapely.buffer(blocks, 2), track)
    infield = shapely.buffer(core, 36 * scale)
    pitch = shapes.stamp(shapes.RECTANGLE, at, 100 * scale, 60 * scale, angle)
    lawn = np.where(generator.random(n) < 0.5, "pitch_artificial", "grass_park")
    canvas.paint(track[fits], "sports_red", 26)
    canvas.paint(infield[fits], "grass_park", 27)
    canvas.paint(pitch[fits], lawn[fits], 28)
    court = shapes.stamp(shapes.RECTANGLE, centre - 0.8 * (at - centre), 30, 17, angle + np.pi / 2)
    canvas.paint(shapely.intersection(court, blocks), "sports_red", 26)
    taken = np.where(fits, shapely.buffer(track, 6), shapely.points(at))
    points, index, _ = shapes.array_of(blocks, (46, 30), angle, generator)
    turn = angle[index]
    shape = generator.choice(["slab", "court", "angle", "slab"], len(index))
    wing = np.empty(len(index), object)
    for name in np.unique(shape):
        p = shape == name
        deep = 13.0 if name == "slab" else 24.0
        wing[p] = shapes.stamp(shapes.OUTLINES[name], points[p], 38, deep, turn[p])
    good = shapely.contains(shapely.buffer(blocks, -3)[index], wing)
    good &= ~shapely.intersects(taken[index], wing) & (generator.random(len(index)) < 0.8)
    _green(blocks, canvas, style, generator, 420, 2.8)
    return [buildings._out(wing[good], index[good])]


def _park(blocks, density, style, canvas, generator, use):
    centre, _length, width, angle = shapes.frame(blocks)
    grove, index = shapes.scatter(
        blocks, np.ceil(shapely.area(blocks) / 1300).astype(int), generator
    )
    wood = shapes.blobs(grove, generator.uniform(9, 26, len(grove)), generator, 22, 0.3, 1.4)
    canvas.paint(shapely.intersection(wood, shapely.buffer(blocks[index], -3)), style.tree, 23, 9.0)
    big = np.flatnonzero((width > 60) & (generator.random(len(blocks)) < 0.85))
    pond = shapes.blobs(centre[big], 0.17 * width[big], generator, 26, 0.34, 1.6)
    walk, index = shapes.scatter(
        blocks, np.ceil(shapely.area(blocks) / 4500).astype(int), generator
    )
    # Paths join points of the park in their order round the centre: loops and spokes.
    lines = [
        np.stack([walk[k], walk[k + 1]]) for k in range(len(walk) - 1) if index[k] == index[k + 1]
    ]
    if lines:
        middle = np.array(lines)
        knee = middle.mean(1) + generator.normal(0, 14, (len(lines), 2))
        bent = shapely.linestrings(np.stack([middle[:, 0], knee, middle[:, 1]], axis=1))
        owner = index[:-1][index[:-1] == index[1:]]
        path = shapely.intersection(shapely.buffer(bent, 1.6, quad_segs=2), blocks[owner])
        canvas.paint(path, "paving_stone", 25)
    loop, _ = shapes.inset(blocks, 7, 1200)
    canvas.paint(shapely.buffer(shapely.boundary(loop), 1.5, quad_segs=2), "paving_stone", 25)
    canvas.paint(shapely.buffer(pond, 3), "paving_stone", 26)
    canvas.paint(pond, "water_pond", 27)
    square = centre + generator.normal(0, 0.18, centre.shape) * width[:, None]
    plaza = shapes.blobs(square, np.minimum(0.07 * width, 22), generator, 16, 0.1)
    canvas.paint(shapely.intersection(plaza, blocks), "paving_stone", 25)
    _green(blocks, canvas, style, generator, 200, 3.6)
    pavilion = shapes.stamp(shapes.OUTLINES["court"], square, 18, 12, angle)
    good = shapely.contains(blocks, pavilion) & ~shapely.intersects(
        shapely.union_all(shapely.buffer(pond, 3)), pavilion
    )
    return [buildings._out(pavilion[good], np.flatnonzero(good), 1)]


def _site(blocks, density, style, canvas, generator, use):
    heap, index = shapes.scatter(
        blocks, np.ceil(shapely.area(blocks) / 2500).astype(int), generator
    )
    stain = shapes.blobs(heap, generator.uniform(8, 30, len(heap)), generator, 18, 0.3)
    soils = ["soil_bright", "soil_dark", style.wild, "construction_site", "gravel"]
    if use == "vacant" and style.crops.get("vegetable", 0) > 0.1:  # tilled until it is built on
        plots, _, _, _, _ = shapes.divide(blocks, 500.0, generator, smallest=60)
        plots = plots[shapely.area(plots) < 4000]
        tilled = generator.random(len(plots)) < 0.6
        canvas.paint(plots[tilled], "vegetable", 22)
    if use == "vacant":
        soils = ["soil_bright", "soil_dark", style.wild, "shrub", "vegetable"]
    canvas.paint(
        shapely.intersection(stain, blocks[index]), generator.choice(soils, len(stain)), 23
    )
    if use == "vacant":
        _green(blocks, canvas, style, generator, 700, 2.4)
        return []
    out = buildings.slabs(blocks, density, 4, 18, generator)
    keep = generator.random(len(out[0])) < 0.35
    return [tuple(v[keep] for v in out)]


def _stadium(blocks, density, style, canvas, generator, use):
    centre, length, width, angle = shapes.frame(blocks)
    inner, _ = shapes.inset(blocks, 12, 500)
    canvas.paint(inner, "asphalt", 22)
    lawn, _ = shapes.inset(blocks, np.minimum(0.22 * width, 60), 500)
    canvas.paint(lawn, "paving_stone", 23)
    axis = np.stack([np.cos(angle), np.sin(angle)], -1)
    half = np.minimum(0.11 * length, 45.0)[:, None]
    core = shapely.linestrings(np.stack([centre - half * axis, centre + half * axis], axis=1))
    outer = np.minimum(0.3 * width, 92.0)
    stand = shapely.difference(shapely.buffer(core, outer), shapely.buffer(core, 0.52 * outer))
    canvas.paint(shapely.buffer(core, 0.52 * outer), "sports_red", 26)
    canvas.paint(shapely.buffer(core, 0.40 * outer), "grass_park", 27)
    _green(blocks, canvas, style, generator, 350, 3.0)
    good = shapely.contains(blocks, shapely.buffer(core, outer))
    return [buildings._out(stand[good], np.flatnonzero(good), 1)]


_BUILDERS = {
    "old": _fine, "urban_village": _fine, "informal": _fine, "courtyard": _fine, "village": _fine,
    "perimeter": _perimeter, "terrace": _perimeter, "villas": _villas, "compound": _slabs,
    "estate": _slabs, "commercial": _towers, "industrial": _sheds, "mall": _sheds,
    "school": _school, "park": _park, "construction": _site, "vacant": _site, "stadium": _stadium,
}  # fmt: skip
