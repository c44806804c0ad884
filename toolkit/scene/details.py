"""What does a city show at 0.8 m that is too small to be a surface of its own?

Roof relief and rooftop equipment, tree crowns, crop rows, lines of sports pitches and runways;
`traffic` adds cars and lane lines. Each function changes a `Canvas`: heights (which then cast
shadows), a brightness factor, and paint. None of it is truth: land cover and roof types stay.

Simplified: roofs take their ridge from the longer side of their bounding box.
"""

from dataclasses import dataclass

import numpy as np
import shapely

from toolkit.scene import materials
from toolkit.scene.light import Sun
from toolkit.scene.noise import rng
from toolkit.scene.optical import Ground

# Reflectance in blue, green, red, near infrared, after Kotthaus et al. 2014.
WHITE = (0.42, 0.44, 0.45, 0.46)  # worn road paint
_EQUIPMENT = (
    # share, length, width, height (m), reflectance
    (0.25, 5.5, 3.2, 2.8, (0.22, 0.24, 0.26, 0.28)),  # stair head
    (0.35, 2.0, 1.6, 1.3, (0.38, 0.39, 0.40, 0.40)),  # air conditioner, tank
    (0.30, 2.2, 1.8, 1.0, (0.06, 0.06, 0.06, 0.07)),  # solar water heater
    (0.10, 4.5, 3.0, 2.4, (0.28, 0.22, 0.14, 0.26)),  # blue sheet shelter
)
_TILT = {"roof_tile_red": 0.50, "roof_tile_grey": 0.55, "roof_rust": 0.16}  # tangent of the pitch
_SHEET = ("roof_metal_blue", "roof_metal_grey", "roof_white", "roof_rust")
_TREES = ("tree_broadleaf", "tree_conifer", "tree_palm", "orchard", "shrub", "hedge")


@dataclass
class Canvas:
    """A patch at fine resolution, on which details are drawn.

    Attributes
    ----------
    ground : Ground
    material : numpy.ndarray
        (y, x) uint8 codes.
    height, tone : numpy.ndarray
        (y, x) float32: height (m) and brightness factor.
    paint, cover : numpy.ndarray
        (4, y, x) and (y, x) float32: colour that covers a share of the pixel, times the share.
    sun : Sun
    """

    ground: Ground
    material: np.ndarray
    height: np.ndarray
    tone: np.ndarray
    paint: np.ndarray
    cover: np.ndarray
    sun: Sun

    def pixel(self, x, y):
        """Flat positions of map coordinates, and whether they lie inside."""
        west, _, _, north = self.ground.bounds
        rows, cols = self.height.shape
        row = np.floor((north - y) / self.ground.resolution).astype(np.int64)
        col = np.floor((x - west) / self.ground.resolution).astype(np.int64)
        inside = (row >= 0) & (row < rows) & (col >= 0) & (col < cols)
        return row * cols + col, inside

    def coordinates(self, flat):
        """Map coordinates of flat positions."""
        west, _, _, north = self.ground.bounds
        row, col = np.divmod(flat, self.height.shape[1])
        step = self.ground.resolution
        return west + (col + 0.5) * step, north - (row + 0.5) * step


def canvas(city, ground, sun):
    """Start with the surfaces alone.

    Parameters
    ----------
    city : City
        The city, as `city.make` returns it.
    ground : Ground
        The fine raster.
    sun : Sun
        Where the sun stands.

    Returns
    -------
    Canvas
    """
    codes = city.surfaces["material"].astype(str).map(materials.CODES).to_numpy(np.uint8)
    shape = ground.objects.shape
    return Canvas(
        ground,
        codes[ground.objects],
        ground.height.copy(),
        np.ones(shape, np.float32),
        np.zeros((4, *shape), np.float32),
        np.zeros(shape, np.float32),
        sun,
    )


def _select(page, names):
    """Flat positions of the pixels of some materials."""
    wanted = np.zeros(256, bool)
    wanted[[materials.CODES[n] for n in names]] = True
    return np.flatnonzero(wanted[page.material])


def _frames(city, page, flat):
    """Coordinates along and across each pixel's object, and half its length and width, m."""
    objects = page.ground.objects.reshape(-1)[flat]
    present = np.zeros(len(city.surfaces), bool)
    present[objects] = True
    rows, which = np.flatnonzero(present), (np.cumsum(present) - 1)[objects]
    box = shapely.oriented_envelope(city.surfaces.geometry.to_numpy()[rows])
    corners = shapely.get_coordinates(shapely.get_exterior_ring(box)).reshape(-1, 5, 2)
    side = np.diff(corners[:, :3], axis=1)
    size = np.hypot(side[..., 0], side[..., 1])
    long = np.argmax(size, axis=1)
    each = np.arange(len(rows))
    along = side[each, long] / np.maximum(size[each, long], 0.01)[:, None]
    centre = corners[:, :4].mean(axis=1)
    half = np.stack([size.max(axis=1), size.min(axis=1)], axis=1) / 2
    x, y = page.coordinates(flat)
    x, y = x - centre[which, 0], y - centre[which, 1]
    u = x * along[which, 0] + y * along[which, 1]
    v = y * along[which, 0] - x * along[which, 1]
    return rows, which, u, v, half, along


def _facet(sun, tilt, east, north):
    """Direct light on a tilted facet that looks towards (east, north), relative to level."""
    azimuth, up = np.radians(sun.azimuth), np.radians(sun.elevation)
    facing = np.sin(azimuth) * east + np.cos(azimuth) * north
    lit = np.sin(up) + tilt * np.cos(up) * facing
    return 0.2 + 0.8 * np.clip(lit, 0, None) / (np.sin(up) * np.sqrt(1 + tilt**2))


def stamp(page, x, y, length, width, angle, colour, height=0.0, only=None, opacity=1.0):
    """Draw boxes, each pixel by the share that they cover.

    Parameters
    ----------
    page : Canvas
        What to draw on; changed in place.
    x, y, length, width, angle : array (n,)
        Middles and sizes in m; angle of the length in radians from east.
    colour : array (n, 4)
        Reflectance.
    height : float or array (n,)
        Raises the ground there, m.
    only : array (n,), optional
        Object each box has to lie on; what hangs over is cut off.
    opacity : float
        Worn paint lets the ground through.
    """
    grain = page.ground.resolution / 2
    across = np.maximum(np.rint(width / grain), 1).astype(int)
    down = np.maximum(np.rint(length / grain), 1).astype(int)
    count = across * down
    box = np.repeat(np.arange(len(x)), count)
    number = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    i, j = np.divmod(number, across[box])
    u = ((i + 0.5) / down[box] - 0.5) * length[box]
    v = ((j + 0.5) / across[box] - 0.5) * width[box]
    cos, sin = np.cos(angle)[box], np.sin(angle)[box]
    flat, inside = page.pixel(x[box] + u * cos - v * sin, y[box] + u * sin + v * cos)
    if only is not None:
        on = page.ground.objects.reshape(-1)[np.where(inside, flat, 0)] == only[box]
        inside &= on
    flat, box = flat[inside], box[inside]
    share = (opacity * (length * width / count)[box] / page.ground.resolution**2).astype(np.float32)
    np.add.at(page.cover.reshape(-1), flat, share)
    for band in range(4):
        np.add.at(page.paint[band].reshape(-1), flat, share * colour[box, band].astype(np.float32))
    rise = np.broadcast_to(np.asarray(height, np.float32), len(x))[box]
    if rise.any():
        extra = np.zeros(page.height.size, np.float32)
        np.maximum.at(extra, flat, rise)
        page.height += extra.reshape(page.height.shape)


def roofs(city, page):
    """Ridges, facets, sheet panels, parapets and rooftop equipment."""
    seed, sun = city.seed, page.sun
    flat = _select(page, [n for n in materials.NAMES if materials.KINDS[n] == "roof"])
    if not len(flat):
        return
    rows, which, u, v, half, along = _frames(city, page, flat)
    names = city.surfaces["material"].astype(str).to_numpy()[rows]
    chance = rng(seed, "roof relief").random((len(city.surfaces), 3))[rows]
    tilt = np.array([_TILT.get(n, 0.09 if n in _SHEET else 0.0) for n in names])
    # a wide hall has several ridges, a house one
    span = np.where(np.isin(names, _SHEET), 24.0, 14.0)
    bays = np.maximum(np.ceil(2 * half[:, 1] / span), 1)
    bay = (2 * half[:, 1] / bays)[which]
    place = (v + half[which, 1]) % np.maximum(bay, 0.1) - bay / 2
    hip = (chance[:, 0] < 0.35) & ~np.isin(names, _SHEET) & (bays == 1)
    to_side, to_end = bay / 2 - np.abs(place), half[which, 0] - np.abs(u)
    on_end = hip[which] & (to_end < to_side)
    slope = tilt[which]
    down_x = np.where(on_end, np.sign(u) * along[which, 0], -np.sign(place) * along[which, 1])
    down_y = np.where(on_end, np.sign(u) * along[which, 1], np.sign(place) * along[which, 0])
    tone = _facet(sun, slope, down_x, down_y)
    rise = slope * np.maximum(np.where(on_end, to_end, to_side), 0)
    ridge = (slope > 0.3) & (np.abs(place) < 0.5) & ~on_end
    tone = tone * np.where(ridge, 1.15, 1.0)
    sheet = np.isin(names, _SHEET)[which]
    # panels of sheet differ, every seventh metre or so one is translucent, rust runs down
    panel = np.floor(u / 2.4).astype(np.int64) * 7919 + which * 104729 + (place > 0) * 31
    mottle = rng(seed, "sheet panels").standard_normal(4096)[panel % 4096]
    rusty = (names == "roof_rust")[which]
    tone = np.where(sheet, tone * (1 + np.where(rusty, 0.16, 0.035) * mottle), tone)
    strip = sheet & (chance[which, 1] < 0.5) & ((u % (7.2 + 4 * chance[which, 2])) < 0.9)
    tone = np.where(strip & (np.abs(place) > 1.5) & (to_side > 1.5), tone * 1.22, tone)
    glass = (names == "roof_glass")[which]
    pane = (np.floor(u / 4).astype(np.int64) * 31 + np.floor(v / 4).astype(np.int64)) * 7 + which
    sparkle = np.exp(0.3 * rng(seed, "panes").standard_normal(1024))[pane % 1024]
    tone = np.where(glass, tone * sparkle, tone)
    page.tone.reshape(-1)[flat] *= tone.astype(np.float32)
    page.height.reshape(-1)[flat] += rise.astype(np.float32)
    _parapets(page, flat, which, np.isin(names, ("roof_concrete", "roof_glass")))
    _equipment(city, page, rows[np.isin(names, ("roof_concrete", "roof_glass"))])


def _parapets(page, flat, which, flat_roof):
    """A low wall along the edge of flat roofs: a little brighter, and it throws a shadow."""
    objects = page.ground.objects
    edge = np.zeros(objects.shape, bool)
    differs = objects[1:] != objects[:-1]
    edge[1:] |= differs
    edge[:-1] |= differs
    differs = objects[:, 1:] != objects[:, :-1]
    edge[:, 1:] |= differs
    edge[:, :-1] |= differs
    wall = flat[edge.reshape(-1)[flat] & flat_roof[which]]
    page.height.reshape(-1)[wall] += 1.0
    page.tone.reshape(-1)[wall] *= 1.1


def _equipment(city, page, rows):
    """Stair heads, air conditioners, tanks, solar heaters and shelters on flat roofs."""
    draw = rng(city.seed, "rooftop equipment")
    geometry = city.surfaces.geometry.to_numpy()
    area = shapely.area(geometry)
    count = draw.poisson(np.minimum(area / 55, 30) * draw.gamma(2.0, 0.5, len(area)))
    wanted = np.zeros(len(area), bool)
    wanted[rows] = True
    object_id = np.repeat(np.arange(len(area)), count)
    chance = draw.random((len(object_id), 3))
    keep = wanted[object_id]
    object_id, chance = object_id[keep], chance[keep]
    box = shapely.oriented_envelope(geometry[object_id])
    corner = shapely.get_coordinates(shapely.get_exterior_ring(box)).reshape(-1, 5, 2)
    one, two = corner[:, 1] - corner[:, 0], corner[:, 3] - corner[:, 0]
    at = corner[:, 0] + one * (0.1 + 0.8 * chance[:, :1]) + two * (0.1 + 0.8 * chance[:, 1:2])
    table = np.array([[s, a, b, h, *c] for s, a, b, h, c in _EQUIPMENT])
    kind = np.minimum(np.searchsorted(np.cumsum(table[:, 0]), chance[:, 2]), len(table) - 1)
    angle = np.arctan2(one[:, 1], one[:, 0])
    _, length, width, height = table[kind, :4].T
    stamp(page, *at.T, length, width, angle, table[kind, 4:], height, object_id)


def crowns(city, page):
    """Round crowns, bright towards the sun and dark away from it, and gaps between them."""
    flat = _select(page, _TREES)
    if not len(flat):
        return
    x, y = page.coordinates(flat)
    objects = page.ground.objects.reshape(-1)[flat]
    area = shapely.area(city.surfaces.geometry.to_numpy())
    single = area[objects] < 220
    draw = rng(city.seed, "crowns")
    jitter = draw.random((512, 512, 3)).astype(np.float32)
    near = np.full(len(flat), np.inf)
    dx, dy, tint = (np.zeros(len(flat)) for _ in range(3))
    # in woods: crowns around the nodes of a shaken grid of 6 m, in orchards of 4.5 m, in rows
    orchard = page.material.reshape(-1)[flat] == materials.CODES["orchard"]
    step = np.where(orchard, 4.5, 6.0)
    shake = np.where(orchard, 0.15, 0.9)
    col, row = np.floor(x / step).astype(np.int64), np.floor(y / step).astype(np.int64)
    for i in (-1, 0, 1):
        for j in (-1, 0, 1):
            node = jitter[(row + i) % 512, (col + j) % 512]
            east = x - (col + j + 0.5 + shake * (node[:, 0] - 0.5)) * step
            north = y - (row + i + 0.5 + shake * (node[:, 1] - 0.5)) * step
            far = (east**2 + north**2) / (0.7 + 0.6 * node[:, 2]) ** 2
            closer = far < near
            near[closer] = far[closer]
            dx[closer], dy[closer], tint[closer] = east[closer], north[closer], node[closer, 2]
    radius = np.where(orchard, 2.0, 4.2)
    # a tree of its own: its polygon's middle and size
    middle = shapely.get_coordinates(
        shapely.centroid(city.surfaces.geometry.to_numpy()[objects[single]])
    )
    dx[single], dy[single] = x[single] - middle[:, 0], y[single] - middle[:, 1]
    radius[single] = 1.1 * np.sqrt(area[objects[single]] / np.pi)
    tint[single] = draw.random(len(area))[objects[single]]
    out = np.minimum(np.hypot(dx, dy) / radius, 1.0)
    azimuth, up = np.radians(page.sun.azimuth), np.radians(page.sun.elevation)
    # half a dome: leaves scatter, so the dark side is not black
    bend = 0.75
    toward = (np.sin(azimuth) * dx + np.cos(azimuth) * dy) / radius * bend
    lit = (np.sin(up) * np.sqrt(1 - (bend * out) ** 2) + np.cos(up) * toward) / np.sin(up)
    tone = (0.4 + 0.7 * np.clip(lit, 0.0, 1.5)) * np.exp(0.22 * (tint - 0.5))
    page.tone.reshape(-1)[flat] *= tone.astype(np.float32)
    tall = page.height.reshape(-1)[flat]
    drop = tall * np.where(single, 0.5, 0.35) * (1 - np.sqrt(1 - out**2))
    page.height.reshape(-1)[flat] -= drop.astype(np.float32)


def fields(city, page):
    """Crop rows, beds, greenhouse arches, lines on pitches and the runway."""
    look = {
        # material: spacing (m) and depth of the stripes; tramlines, beds, arches
        "cropland_rice": (3.2, 0.02),
        "cropland_wheat": (3.0, 0.05),
        "cropland_rape": (2.6, 0.05),
        "cropland_maize": (2.4, 0.06),
        "vegetable": (2.6, 0.14),
        "fallow": (3.4, 0.05),
        "plastic_greenhouse": (8.0, 0.16),
    }
    flat = _select(page, [*look, "pitch_artificial", "sports_red", "runway"])
    if not len(flat):
        return
    rows, which, u, v, half, _ = _frames(city, page, flat)
    names = city.surfaces["material"].astype(str).to_numpy()[rows]
    space = np.array([look.get(n, (1.0, 0.0))[0] for n in names])[which]
    depth = np.array([look.get(n, (1.0, 0.0))[1] for n in names])
    depth = (depth * rng(city.seed, "rows").uniform(0.3, 1.7, len(city.surfaces))[rows])[which]
    tone = 1 + depth * np.sin(2 * np.pi * v / space)
    to_end, to_side = half[which, 0] - np.abs(u), half[which, 1] - np.abs(v)
    pitch = (names == "pitch_artificial")[which]
    border = np.minimum(to_end, to_side)
    line = pitch & ((np.abs(border - 2) < 0.4) | (np.abs(u) < 0.4) & (border > 2))
    line |= pitch & (np.abs(np.hypot(u, v) - 9) < 0.4) & (half[which, 1] > 15)
    strip = (names == "runway")[which]
    line |= strip & (np.abs(v) < 0.6) & (u % 50 < 30) & (to_end > 60)
    line |= strip & (np.abs(to_end - 25) < 15) & (np.abs(v) % 3.6 < 1.8) & (to_side > 3)
    page.tone.reshape(-1)[flat] *= tone.astype(np.float32)
    marks = flat[line]
    page.cover.reshape(-1)[marks] = 0.6
    for band in range(4):
        page.paint[band].reshape(-1)[marks] = 0.6 * WHITE[band]
