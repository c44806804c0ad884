"""What stands on a block? Footprints, storeys and roofs by the use of the land.

Each builder takes blocks and returns footprints that do not touch one another, the block of each,
the number of storeys (NaN: by use and density) and a tier (main, podium or shed).
"""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import shapely

from toolkit.scene import noise, shapes, styles

STOREY = {"commercial": 3.9, "mall": 5.5, "industrial": 8.5, "school": 3.6, "stadium": 24.0}
"""Height of a storey, metres; 3 m where not named, the usual of housing."""

NO_HOMES = ("industrial", "commercial", "school", "mall", "stadium", "park", "construction")
"""Uses whose buildings nobody lives in."""

ROOF = {
    "roof_concrete": "flat concrete", "roof_white": "flat concrete",
    "roof_metal_blue": "metal sheet", "roof_metal_grey": "metal sheet", "roof_rust": "metal sheet",
    "roof_tile_red": "sloped tile", "roof_tile_grey": "sloped tile", "roof_glass": "glass",
}  # fmt: skip
"""Roof type of each roof material."""


def _out(geometry, block, storeys=np.nan, tier="main"):
    n = len(geometry)
    return (
        np.asarray(geometry, object), np.asarray(block, int),
        np.broadcast_to(np.asarray(storeys, float), n), np.broadcast_to(np.array(tier), n),
    )  # fmt: skip


def _within(blocks, index, geometry):
    """Which footprints lie within their block."""
    shapely.prepare(blocks)
    return shapely.contains_properly(blocks[index], geometry)


def fine(blocks, area, gap, coverage, generator, court=False):
    """Small houses lot by lot, wall to wall: old quarters, villages, informal settlement."""
    lots, block, _, _, _ = shapes.divide(
        blocks, area, generator, jitter=0.09, skew=0.06, smallest=22
    )
    keep = generator.random(len(lots)) < coverage
    lots, block = lots[keep], block[keep]
    house, index = shapes.inset(lots, gap * generator.uniform(0.35, 1.9, len(lots)), 16)
    block = block[index]
    # Half of the houses leave a yard: cut the lot across, keep one side.
    centre, length, width, angle = shapes.frame(house)
    yard = generator.random(len(house)) < 0.5
    share = generator.uniform(0.5, 0.85, len(house))
    quarter = generator.integers(0, 4, len(house))
    turn = angle + quarter * np.pi / 2
    along = np.where(quarter % 2 == 0, length, width)
    side = np.stack([np.cos(turn), np.sin(turn)], -1)
    start = centre + side * (along * (0.5 - share))[:, None]
    house = house.copy()
    house[yard] = shapes.clip(house[yard], start[yard], side[yard])
    if court:
        hole = shapes.stamp(shapes.RECTANGLE, centre, 0.36 * length, 0.34 * width, angle)
        pick = ~yard & (generator.random(len(house)) < 0.6)
        house[pick] = shapely.difference(house[pick], hole[pick])
    house, index = shapes.parts(house, 14)
    return _out(house, block[index])


def perimeter(blocks, area, depth, generator, sheds=0.3):
    """Closed blocks: houses side by side along the street round a courtyard."""
    lots, block, _, _, _ = shapes.divide(blocks, area, generator, jitter=0.08, skew=0.03)
    deep = np.clip(generator.normal(depth, depth * 0.12, len(blocks)), 7, 20)
    yard = shapely.buffer(blocks, -deep, join_style="mitre", mitre_limit=3)
    house = shapely.difference(lots, yard[block])
    keep = generator.random(len(lots)) < 0.95
    house, index = shapes.inset(house[keep], 0.15, 35)
    block_house = block[keep][index]
    inner = shapely.intersection(lots, shapely.buffer(yard[block], -1.5))
    keep = generator.random(len(lots)) < sheds
    shed, index = shapes.inset(inner[keep], generator.uniform(0.6, 4, keep.sum()), 30)
    shed_block = block[keep][index]
    return [_out(house, block_house), _out(shed, shed_block, 1, "shed")]


def houses(blocks, area, generator, setback=1.5, size=0.62):
    """Detached houses in gardens, with some outbuildings."""
    lots, block, _, _, _ = shapes.divide(
        blocks, area, generator, jitter=0.05, skew=0.03, smallest=120
    )
    centre, length, width, angle = shapes.frame(lots)
    n = len(lots)
    side = np.sqrt(shapely.area(lots))
    long = np.clip(side * size * generator.normal(1, 0.12, n), 8, 24)
    wide = long * generator.uniform(0.6, 0.85, n)
    centre = centre + shapes.rotate(
        np.stack([(length - long) * generator.uniform(-0.2, 0.2, n), 0 * length], -1), angle
    )
    fits = (length > width * 1.0) & (width > wide * 0.8)
    turn = angle + np.where((generator.random(n) < 0.3) | ~fits, np.pi / 2, 0)
    kind = generator.integers(0, 3, n)
    out = np.empty(n, object)
    for k, name in enumerate(("slab", "angle", "slab")):
        pick = kind == k
        flip = turn + np.pi * generator.integers(0, 2, n)
        out[pick] = shapes.stamp(
            shapes.OUTLINES[name], centre[pick], long[pick], wide[pick] * (1.3 if k == 1 else 1),
            flip[pick],
        )  # fmt: skip
    shapely.prepare(shrunk := shapely.buffer(lots, -setback))
    good = shapely.contains_properly(shrunk, out) & (generator.random(n) < 0.96)
    return _out(out[good], block[good]), (lots, block, good, out)


def slabs(blocks, density, low, high, generator, south=True):
    """Rows of slabs or point blocks, one spacing and height for each estate."""
    n = len(blocks)
    centre, _length, width, angle = shapes.frame(blocks)
    fold = (angle + np.pi / 4) % (np.pi / 2) - np.pi / 4
    # Slabs face south as far as the street grid allows (the sunlight rule of Chinese codes).
    angle = fold if south else fold + np.pi / 2 * generator.integers(0, 2, n)
    tall = generator.random(n) < np.clip(0.18 + 0.35 * density, 0, 0.6) * (high > 12)
    storeys = np.where(
        tall,
        generator.uniform(max(low, 0.5 * high), high, n),
        generator.uniform(low, min(low + 3, high), n),
    ).round()
    long = np.where(tall, generator.uniform(24, 40, n), generator.uniform(34, 66, n))
    deep = np.where(tall, generator.uniform(15, 22, n), generator.uniform(11, 14, n))
    # Clear distance between rows: about the height of low slabs, less for towers.
    clear = np.clip(np.where(tall, 0.45, 0.95) * storeys * 3, 14, 42)
    gap = np.where(tall, generator.uniform(16, 30, n), generator.uniform(7, 13, n))
    points, index, row = shapes.array_of(blocks, (long + gap, deep + clear), angle, generator)
    shift = ((row % 2) * generator.uniform(-0.5, 0.5, n)[index] * tall[index]) * long[index]
    points = points + shapes.rotate(np.stack([shift, 0 * shift], -1), angle[index])
    kind = np.where(tall, generator.choice(["bevelled", "cross", "stepped"], n), "slab")
    kind = np.where(~tall & (generator.random(n) < 0.55), "stepped", kind)
    size = generator.normal(1, 0.06, len(index)).clip(0.8, 1.12)
    out = np.empty(len(index), object)
    for name in np.unique(kind):
        p = kind[index] == name
        out[p] = shapes.stamp(
            shapes.OUTLINES[name], points[p], (long[index] * size)[p], deep[index][p],
            angle[index][p],
        )  # fmt: skip
    shrunk = shapely.buffer(blocks, -4)
    # Nothing in the middle of some estates: a garden.
    garden = np.hypot(*(points - centre[index]).T) < 0.2 * width[index]
    good = _within(shrunk, index, out) & ~(garden & (generator.random(n) < 0.5)[index])
    good &= generator.random(len(index)) < 0.96
    # What did not fit may as half a slab.
    short = ~good & ~garden
    half = shapes.stamp(
        shapes.RECTANGLE, points[short], long[index][short] * 0.5, deep[index][short],
        angle[index][short],
    )  # fmt: skip
    fits = _within(shrunk, index[short], half)
    block = np.concatenate([index[good], index[short][fits]])
    return _out(np.concatenate([out[good], half[fits]]), block, storeys[block])


def towers(blocks, density, low, high, generator):
    """Towers on podiums, plain towers on a plaza, department stores."""
    lots, block, _, _, _ = shapes.divide(
        blocks, generator.uniform(2200, 5200, len(blocks)), generator, jitter=0.06, skew=0.02,
        smallest=250,
    )  # fmt: skip
    base, index = shapes.inset(lots, generator.uniform(3.5, 9, len(lots)), 220)
    block = block[index]
    n = len(base)
    centre, length, width, angle = shapes.frame(base)
    kind = generator.random(n)
    long = np.clip(length * generator.uniform(0.4, 0.62, n), 18, 52)
    deep = np.clip(width * generator.uniform(0.45, 0.66, n), 16, 40)
    name = generator.choice(["slab", "bevelled", "cross", "slab"], n)
    tower = np.empty(n, object)
    for k in np.unique(name):
        p = name == k
        tower[p] = shapes.stamp(shapes.OUTLINES[k], centre[p], long[p], deep[p], angle[p])
    good = (kind < 0.75) & _within(shapely.buffer(base, -0.5), np.arange(n), tower)
    share = np.clip(density[block], 0, 1) ** 2
    storeys = low + (high - low) * share * generator.beta(1.3, 2.6, n)
    podium = kind > 0.3
    foot = base.copy()
    foot[good] = shapely.difference(
        base[good], shapely.buffer(tower[good], 0.2, join_style="mitre")
    )
    foot, index = shapes.parts(foot[podium], 60)
    return [
        _out(tower[good], block[good], storeys[good].round()),
        _out(foot, block[podium][index], generator.integers(2, 6, len(foot)), "podium"),
    ]


def sheds(blocks, generator, area=(2500, 16_000), apart=(5, 12)):
    """Industrial sheds and warehouses in yards, some of them rows of narrow halls."""
    lots, block, _, _, _ = shapes.divide(
        blocks, generator.uniform(*area, len(blocks)), generator, jitter=0.08, skew=0.0,
        smallest=300,
    )  # fmt: skip
    keep = generator.random(len(lots)) < 0.86
    hall, index = shapes.inset(lots[keep], generator.uniform(*apart, keep.sum()), 260)
    block = block[keep][index]
    # The box of what is left, pulled in until it fits: halls are rectangles.
    centre, length, width, angle = shapes.frame(hall)
    cut = generator.uniform(0.75, 0.98, len(hall))
    box = shapes.stamp(shapes.RECTANGLE, centre, length * cut, width * 0.96, angle)
    small = shapes.stamp(shapes.RECTANGLE, centre, length * 0.7 * cut, width * 0.72, angle)
    each = np.arange(len(hall))
    first, second = _within(hall, each, box), _within(hall, each, small)
    hall = np.where(first, box, np.where(second, small, hall))
    rows = (generator.random(len(hall)) < 0.3) & (shapely.area(hall) > 1500)
    narrow, origin, _, _, _ = shapes.divide(
        hall[rows], generator.uniform(500, 1300, rows.sum()), generator, jitter=0.0, skew=0.0
    )
    narrow, index = shapes.inset(narrow, 1.6, 120)
    geometry = np.concatenate([hall[~rows], narrow])
    return _out(geometry, np.concatenate([block[~rows], block[rows][origin[index]]]))


def attributes(style, parts, blocks, seed):
    """One table of all buildings with height, storeys, roof, year and use.

    Parameters
    ----------
    style : styles.Style
        Its style.
    parts : list of tuple
        Geometries, block, storeys and tier, as the builders give them; blocks as row numbers.
    blocks : pandas.DataFrame
        Columns ``use`` and ``density``.
    seed : int
        Seed of the city.

    Returns
    -------
    geopandas.GeoDataFrame
        Without ``district``, which the city adds.
    """
    generator = noise.rng(seed, "city buildings")
    geometry, block, storeys, tier = (np.concatenate(c) for c in zip(*parts, strict=True))
    use = blocks["use"].to_numpy(object)[block]
    density = np.clip(blocks["density"].to_numpy()[block], 0, 1.0)
    n = len(geometry)
    area = shapely.area(geometry)
    low, high = np.ones(n), np.ones(n)
    material = np.full(n, "roof_concrete", object)
    per_block = generator.random(len(blocks))
    uniform = np.isin(use, ["compound", "estate", "school"])
    draw = np.where(uniform, per_block[block], generator.random(n))
    for name in np.unique(use.astype(str)):
        pick = use == name
        if name != "stadium":
            low[pick], high[pick] = styles.storeys(style, name)
        palette = styles.roofs(style, name)
        weight = np.cumsum(list(palette.values())) / sum(palette.values())
        where = np.minimum(np.searchsorted(weight, draw[pick]), len(weight) - 1)
        material[pick] = np.array(list(palette), object)[where]
    rise = np.clip(0.25 + 0.75 * density, 0, 1) * generator.beta(1.6, 1.8, n) * 1.6
    storeys = np.where(np.isnan(storeys), low + (high - low) * np.clip(rise, 0, 1), storeys)
    storeys = np.maximum(np.round(storeys), 1).astype(int)
    outbuilding = (tier == "shed") | (area < 30)
    storeys = np.where(outbuilding, 1, storeys)
    each = np.array([STOREY.get(u, 3.0) for u in use])
    height = storeys * each * generator.normal(1, 0.04, n).clip(0.88, 1.12)
    sloped = np.char.startswith(material.astype(str), "roof_tile")
    height += np.where(sloped, 1.8, 0.8)
    # Glass belongs on towers; a tall block has no tiles.
    material[(material == "roof_glass") & ((storeys < 8) | (tier == "podium"))] = "roof_concrete"
    material[sloped & (storeys > 8)] = "roof_concrete"
    box = shapes.frame(geometry)
    regular = (area / np.maximum(box[1] * box[2], 1) > 0.82) & ~np.isin(use, ["informal"])
    year = _years(use, density, block, len(blocks), noise.rng(seed, "city years"))
    return gpd.GeoDataFrame(
        {
            "id": np.arange(1, n + 1), "height": np.round(height, 1), "storeys": storeys,
            "roof": np.array([ROOF[m] for m in material]), "regular": regular,
            "year": year, "use": use.astype(str),
            "material": material.astype(str), "block": block,
        },
        geometry=geometry,
    )  # fmt: skip


def _years(use, density, block, blocks, generator):
    """Year of each building: old cores, then the growth of the eighties to the 2000s outward.

    A block was built within a year or two, at a time about that of its ring; houses of old
    quarters and villages are replaced one by one. A few per cent are of the last two years, the
    images being of 2017, and what stands on building sites is of the last.
    """
    n = len(use)
    old = np.isin(use, ["old", "perimeter", "stadium"])
    slow = np.isin(use, ["informal", "urban_village", "village"])
    usual = np.select([old, slow], [1958.0, 1996.0], 2005.0) - 21 * density * ~slow
    together = generator.standard_normal(blocks)[block] * np.select([old, slow], [9.0, 4.0], 6.0)
    alone = generator.standard_normal(n) * np.select([old, slow], [13.0, 8.5], 1.2)
    year = usual + together + alone
    year = np.where(year > 2018, 4036 - year, year)  # not of the future: some years ago instead
    year[use == "construction"] = 2017
    return np.clip(year, 1890, 2017).astype(int)
