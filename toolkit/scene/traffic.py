"""What moves and what is painted on the roads, as far as 0.8 m shows it?

Simplified: cars drive in straight lanes and never turn; nothing is painted at crossings.
"""

import numpy as np
import shapely

from toolkit.scene import materials
from toolkit.scene.details import WHITE, stamp
from toolkit.scene.noise import rng

# Reflectance in blue, green, red, near infrared. Car colours and their shares: Axalta, Global
# Automotive Color Popularity Report 2017; paints after Kotthaus et al. 2014 (coated metal).
_CARS = (
    (0.39, (0.46, 0.47, 0.48, 0.48)),
    (0.16, (0.04, 0.04, 0.04, 0.05)),
    (0.22, (0.33, 0.34, 0.34, 0.34)),
    (0.10, (0.14, 0.14, 0.14, 0.15)),
    (0.07, (0.16, 0.08, 0.05, 0.14)),
    (0.06, (0.04, 0.04, 0.30, 0.36)),
)
_YELLOW = (0.12, 0.30, 0.38, 0.42)


def _along(lines, spacing, draw, shift=0.5):
    """Points every so often along lines: x, y, direction, which line."""
    length = shapely.length(lines)
    count = np.floor(length / spacing).astype(int)
    line = np.repeat(np.arange(len(lines)), count)
    number = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    spacing = np.broadcast_to(spacing, len(lines))[line]
    at = (
        number + shift + (0 if draw is None else draw.uniform(-0.45, 0.45, len(number)))
    ) * spacing
    first = shapely.get_coordinates(shapely.line_interpolate_point(lines[line], at - 0.5))
    last = shapely.get_coordinates(shapely.line_interpolate_point(lines[line], at + 0.5))
    way = last - first
    return (first + last) / 2, np.arctan2(way[:, 1], way[:, 0]), line


def roads(city, page):
    """Lane lines, and cars on the roads and along their edges."""
    seed = city.seed
    near = shapely.box(*page.ground.bounds)
    roads = city.roads[shapely.intersects(city.roads.geometry.to_numpy(), near)]
    if not len(roads):
        return
    lines = shapely.intersection(roads.geometry.to_numpy(), near)
    parts, whole = shapely.get_parts(lines, return_index=True)
    keep = shapely.length(parts) > 5
    parts, whole = parts[keep], whole[keep]
    kind = roads["kind"].astype(str).to_numpy()[whole]
    wide = roads["width"].to_numpy(float)[whole]
    main = np.isin(kind, ("motorway", "ring", "arterial"))
    lanes = np.clip(np.floor((wide - 1) / 3.5), 1, 10).astype(int)
    lanes = np.where(lanes > 2, lanes // 2 * 2, lanes)

    def beside(points, angle, offset):
        return points[:, 0] - np.sin(angle) * offset, points[:, 1] + np.cos(angle) * offset

    # lines between lanes: 6 m long, 9 m gaps, the middle one yellow and unbroken (GB 5768.3-2009)
    for gap in range(-4, 5):
        some = np.flatnonzero((lanes >= 2) & (np.abs(gap) < lanes / 2) & (kind != "track"))
        if not len(some):
            continue
        each = 4.0 if gap == 0 else 15.0
        at, angle, line = _along(parts[some], each, None)
        n = len(line)
        colour = np.tile(_YELLOW if gap == 0 else WHITE, (n, 1))
        size = np.full(n, 4.0 if gap == 0 else 6.0), np.full(n, 0.3 if gap == 0 else 0.2)
        stamp(page, *beside(at, angle, gap * 3.5), *size, angle, colour)
    # cars: further apart where they drive fast, close together where they park
    table = np.array([c for _, c in _CARS])
    share = np.cumsum([s for s, _ in _CARS])
    for lane in range(-5, 6):
        if lane == 0:
            continue
        for parked in (False, True):
            draw = rng(seed, f"cars {lane} {parked}")
            edge = np.abs(lane) == np.maximum(lanes // 2, 1)
            if parked:
                some = np.flatnonzero(edge & np.isin(kind, ("street", "lane")) & (wide > 6))
                spacing, busy = 6.2, 0.22
            else:
                some = np.flatnonzero((np.abs(lane) <= lanes / 2) & (kind != "track"))
                spacing, busy = np.where(main, 38.0, 48.0)[some], 0.5
            if not len(some):
                continue
            at, angle, line = _along(parts[some], spacing, draw)
            there = draw.random(len(line)) < busy
            chance = draw.random((len(line), 2))[there]
            at, angle, line = at[there], angle[there], some[line[there]]
            side = np.sign(lane) * ((np.abs(lane) - 0.5) * 3.5)
            side = np.sign(lane) * (wide[line] / 2 - 1.1) if parked else np.full(len(line), side)
            bus = (chance[:, 1] < 0.07) & (not parked)
            colour = table[np.minimum(np.searchsorted(share, chance[:, 0]), len(table) - 1)]
            x, y = beside(at, angle, side)
            _park(page, x, y, angle, colour, bus)


def _park(page, x, y, angle, colour, bus):
    """Cars and buses, where the ground is sealed and nothing hangs over it."""
    sealed = np.zeros(256, bool)
    sealed[[materials.CODES[n] for n in materials.NAMES if materials.KINDS[n] == "sealed"]] = True
    flat, inside = page.pixel(x, y)
    inside &= sealed[page.material.reshape(-1)[np.where(inside, flat, 0)]]
    x, y, angle, colour, bus = (a[inside] for a in (x, y, angle, colour, bus))
    length, width = np.where(bus, 11.0, 4.6), np.where(bus, 2.5, 1.9)
    stamp(page, x, y, length, width, angle, colour, np.where(bus, 3.0, 1.4))


def car_parks(city, page):
    """Rows of parked cars on small asphalt yards."""
    kind = city.surfaces["material"].astype(str).to_numpy()
    geometry = city.surfaces.geometry.to_numpy()
    area = shapely.area(geometry)
    yards = np.flatnonzero((kind == "asphalt") & (area > 800) & (area < 120000))
    yards = yards[shapely.intersects(geometry[yards], shapely.box(*page.ground.bounds))]
    roads = shapely.STRtree(city.roads.geometry.to_numpy())
    roads = roads.query(geometry[yards], predicate="intersects")[0]
    yards = np.delete(yards, np.unique(roads))
    draw = rng(city.seed, "car parks")
    table, share = np.array([c for _, c in _CARS]), np.cumsum([s for s, _ in _CARS])
    for yard in yards:
        box = shapely.get_coordinates(shapely.oriented_envelope(geometry[yard]))[:4]
        one, two = box[1] - box[0], box[3] - box[0]
        size = np.hypot(*one), np.hypot(*two)
        # stalls of 2.5 m side by side, rows in pairs with an aisle between them
        i = np.arange(4, size[0] - 4, 2.6)
        j = np.arange(5, size[1] - 5, 16.0)
        j = np.sort(np.concatenate([j, j + 5.2]))
        i, j = (a.ravel() for a in np.meshgrid(i, j))
        busy = draw.random(len(i)) < draw.uniform(0.2, 0.75)
        colour = table[np.minimum(np.searchsorted(share, draw.random(len(i))), len(table) - 1)]
        at = box[0] + one / size[0] * i[:, None] + two / size[1] * j[:, None]
        angle = np.full(len(i), np.arctan2(two[1], two[0]))
        inside = busy & shapely.contains_xy(shapely.buffer(geometry[yard], -3), *at.T)
        _park(page, *at[inside].T, angle[inside], colour[inside], np.zeros(inside.sum(), bool))
