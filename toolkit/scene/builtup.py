"""The region's built-up land: the shape of each settlement, villages, and the people in them.

Each settlement gets a field over its surroundings that says which land is built on first;
the field depends on its form, the best land up to its area is taken, and parks, water and
steep ground are left out. The result is polygons; rasters are made from those.

Simplified: a settlement's area follows from its population alone, and all of its built-up
land is alike but for the density of people, which falls outward exponentially (Clark 1951,
doi:10.2307/2981088).
"""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio.features
import shapely
from affine import Affine
from scipy import ndimage

from toolkit.scene import noise

FINE = 100
"""Resolution in metres at which settlements are shaped."""
PARKS = {"mega": 0.10, "large": 0.09, "medium": 0.07, "small": 0.05, "town": 0.0}
"""Share of a settlement's surroundings that is park or otherwise green and left out: our choice,
for the parks large enough to be seen at 100 m."""
RURAL = 22e6
"""People outside the named settlements: some 60 on each km2, most in the basin."""


def grid(r, x, y, radius, line, draw, noisy):
    """Whole blocks on a turned chessboard, the outline roughly a rectangle."""
    angle, stretch = draw.uniform(-0.5, 0.5), draw.uniform(0.72, 1.0)
    a, b = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    block = np.clip(radius / 5, 450, 1500)
    u, v = np.floor(a / block).astype(int), np.floor(b / block).astype(int)
    luck = draw.standard_normal((130, 130))[np.clip(u + 64, 0, 129), np.clip(v + 64, 0, 129)]
    a, b = np.abs(u + 0.5) * block, np.abs(v + 0.5) * block
    return -np.maximum(a * stretch, b / stretch) / radius + 0.10 * luck - 0.03 * r / radius


def radial(r, x, y, radius, line, draw, noisy):
    """A star: a round core and fingers along the roads that leave it."""
    arms = np.full(x.shape, np.inf)
    for a in draw.uniform(0, 2 * np.pi, 3):
        ahead = x * np.cos(a) + y * np.sin(a) > 0
        arms = np.where(ahead, np.minimum(arms, np.abs(y * np.cos(a) - x * np.sin(a))), arms)
    width = 0.10 * radius + 180
    near = np.minimum(np.exp(-line / width) + 0.7 * np.exp(-arms / width), 1)
    return -r / radius + (0.75 + 0.3 * noisy) * near * np.exp(-r / (3.2 * radius)) + 0.15 * noisy


def clustered(r, x, y, radius, line, draw, noisy):
    """A core and several satellites, green land between them."""
    best = 1 - r / (0.66 * radius)
    count = int(draw.integers(4, 8))
    turn = draw.uniform(0, 2 * np.pi) + np.cumsum(draw.uniform(0.6, 1.4, count)) * 6.28 / count
    for angle in turn:
        far, own = draw.uniform(1.1, 2.3) * radius, draw.uniform(0.2, 0.42) * radius
        gap = np.hypot(x - far * np.cos(angle), y - far * np.sin(angle))
        best = np.maximum(best, 1 - gap / own - 0.1)
    return best + 0.22 * noisy


def ribbon(r, x, y, radius, line, draw, noisy):
    """A band along the valley: beside its river, or along a bent line."""
    if line is None:
        angle, bend = draw.uniform(0, np.pi), draw.uniform(-0.12, 0.12)
        a, b = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        line = np.abs(b - bend * a**2 / radius)
    return -((line / (0.30 * radius)) ** 1.2) - (r / (2.1 * radius)) ** 2 + 0.2 * noisy


FORMS = {"grid": grid, "radial": radial, "clustered": clustered, "ribbon": ribbon}


def zoomed(size, draw, beta, scale, factor=4):
    """Fractal noise made on a coarser grid and interpolated: much faster, as smooth as needed."""
    coarse = tuple(-(-n // factor) + 1 for n in size)
    field = noise.fractal(coarse, draw, beta, scale=max(scale / factor, 3)).astype(float)
    return ndimage.zoom(field, factor, order=1)[: size[0], : size[1]]


def shape_settlements(seed, settlements, roads, rivers, wet, ground, transform):
    """Raster of the settlements' built-up land at 100 m: 0, or 1 + position in the table.

    Parameters
    ----------
    seed : int
        Seed of the scene.
    settlements, roads, rivers : geopandas.GeoDataFrame
        Tables of the region.
    wet : numpy.ndarray
        Water at 100 m, bool.
    ground : numpy.ndarray
        Elevation at 500 m.
    transform : affine.Affine
        Of `wet`.
    """
    taken = np.zeros(wet.shape, np.uint16)
    steep = np.hypot(*np.gradient(ground, 5 * FINE))
    river_lines = rivers.geometry[rivers["width"] > 25].to_numpy()
    road_lines = roads.geometry.to_numpy()
    tree = shapely.STRtree(road_lines)
    spare = noise.rng(seed, "region built-up texture")
    grain = 0.05 * noise.fractal((1500, 1500), spare, 1.8, scale=10).astype(float)
    for index, place in enumerate(settlements.itertuples()):
        draw = noise.rng(seed, f"region built-up {place.name}")
        radius = place.radius_m
        half = int(np.ceil((2.6 * radius + 1200) / 500)) * 5
        col, row = (int(n) for n in ~transform * (place.geometry.x, place.geometry.y))
        top, left = max(row - half, 0) // 5 * 5, max(col - half, 0) // 5 * 5
        box = np.s_[top : min(row + half, wet.shape[0]) // 5 * 5, left : (col + half) // 5 * 5]
        size = taken[box].shape
        local = transform * Affine.translation(left, top)
        x = local.c + (np.arange(size[1]) + 0.5) * FINE - place.geometry.x
        y = local.f - (np.arange(size[0]) + 0.5) * FINE - place.geometry.y
        x, y = np.meshgrid(x, y)
        r = np.hypot(x, y)

        def distance(near, size=size, local=local):
            """Metres to the nearest of some lines."""
            burnt = rasterio.features.rasterize(near, size, transform=local, all_touched=True)
            return ndimage.distance_transform_edt(burnt == 0) * FINE

        line = None
        if place.form == "radial":
            frame = place.geometry.buffer(3.5 * radius)
            near = road_lines[np.sort(tree.query(frame, "intersects"))]
            line = distance(near) if len(near) else r
        elif place.form == "ribbon":
            far = shapely.distance(river_lines, place.geometry)
            if far.min() < 0.5 * radius + 500:
                line = distance([river_lines[far.argmin()]])
        noisy = zoomed(size, draw, 2.6, scale=max(0.7 * radius / FINE, 8))
        field = FORMS[place.form](r, x, y, radius, line, draw, noisy)
        start = draw.integers(0, 1500 - np.array(size))
        rough = grain[start[0] : start[0] + size[0], start[1] : start[1] + size[1]]
        field = field + (0.25 if place.form == "grid" else 1) * rough
        slope = np.kron(steep[top // 5 : top // 5 + size[0] // 5, left // 5 :], np.ones((5, 5)))
        field = field - 5 * np.maximum(slope[:, : size[1]] - 0.03, 0)
        green = zoomed(size, draw, 3.2, scale=np.clip(0.12 * radius / FINE, 8, 25), factor=2)
        limit = np.quantile(green, 1 - PARKS[place.size]) if PARKS[place.size] else np.inf
        other = ndimage.binary_dilation(taken[box] > 0, iterations=5)
        free = ~(wet[box] | other | ((green > limit) & (r > 500)))
        if place.role == "city":
            free &= r < 5400  # the detailed city's square shows its edge and the land beyond
        area = round(np.pi * radius**2 / FINE**2)
        candidates = np.where(free, field, -np.inf)
        cut = np.partition(candidates.ravel(), -area)[-area]
        built = candidates >= max(cut, -50)
        built = (ndimage.gaussian_filter(built.astype(np.float32), 0.8) > 0.5) & free
        label, _ = ndimage.label(built)
        count = np.bincount(label.ravel())
        built &= count[label] >= (6 if radius > 2500 else 3)
        taken[box][built] = index + 1
    return taken


def villages(
    seed,
    settlements,
    fit,
    taken,
    wet,
    roads,
    transform,
    hamlets=9_000,
    strips=3_000,
    markets=1_800,
    suburbs=900,
):
    """Hamlets over the farmland and along roads; market villages along roads and round cities.

    Parameters
    ----------
    seed : int
        Seed of the scene.
    settlements : geopandas.GeoDataFrame
        Their radii draw suburbs around them.
    fit : numpy.ndarray
        Suitability for settlement, at any resolution over the same bounds.
    taken, wet : numpy.ndarray
        Built-up land and water at 100 m.
    roads : geopandas.GeoDataFrame
        Villages lie along them.
    transform : affine.Affine
        Of `taken`.
    hamlets, strips, markets, suburbs : int
        How many over the land, how many hamlets and market villages along roads, and how many
        market villages round the settlements; a tenth falls on taken land and is dropped.

    Returns
    -------
    geopandas.GeoDataFrame
        geometry, kind ("hamlet" or "market village").
    """
    draw = noise.rng(seed, "region villages")
    ratio = taken.shape[0] // fit.shape[0]
    lumpy = noise.fractal(fit.shape, draw, 2.0, scale=fit.shape[0] / 8).astype(float)
    odds = fit**0.55 * np.exp(0.8 * lumpy)
    cell = draw.choice(odds.size, hamlets, p=(odds / odds.sum()).ravel())
    row, col = np.divmod(cell, fit.shape[1])
    col, row = (col + draw.random(hamlets)) * ratio, (row + draw.random(hamlets)) * ratio
    strewn = np.column_stack(transform * (col, row))
    # Along the roads, more in good country; around the large cities, more towards them.
    lines = roads.geometry.to_numpy()
    length = shapely.length(lines)
    lines = lines[draw.choice(len(lines), 5 * (markets + strips), p=length / length.sum())]
    along = shapely.line_interpolate_point(lines, draw.random(len(lines)), normalized=True)
    along = shapely.get_coordinates(along) + draw.normal(0, 250, (len(lines), 2))
    col, row = np.floor(np.array(~transform * along.T) / ratio).astype(int)
    inside = (row >= 0) & (col >= 0) & (row < fit.shape[0]) & (col < fit.shape[1])
    chance = np.zeros(len(lines))
    chance[inside] = 0.05 + np.minimum(odds[row[inside], col[inside]], 0.95)
    along = along[draw.random(len(lines)) < chance][: markets + strips]
    radius = settlements["radius_m"].to_numpy()
    home = draw.choice(len(radius), suburbs, p=radius**2 / (radius**2).sum())
    far = radius[home] * (1.0 + draw.exponential(0.55, suburbs))
    turn = draw.uniform(0, 2 * np.pi, suburbs)
    centre = shapely.get_coordinates(settlements.geometry.to_numpy())[home]
    ring = centre + far[:, None] * np.column_stack([np.cos(turn), np.sin(turn)])
    xy = np.vstack([strewn, along[markets:], along[:markets], ring])
    small = len(strewn) + len(along[markets:])
    kind = np.where(np.arange(len(xy)) < small, "hamlet", "market village")
    # Areas in hectares: log-normal, hamlets around 5, market villages around 28.
    hectares = np.where(kind == "hamlet", 5, 28) * np.exp(draw.normal(0, 0.6, len(xy)))
    col, row = np.array(~transform * xy.T).astype(int)
    blocks = taken.reshape(taken.shape[0] // 5, 5, taken.shape[1] // 5, 5).max(axis=(1, 3)) > 0
    apart = ndimage.binary_dilation(blocks)
    keep = (row > 5) & (col > 5) & (row < taken.shape[0] - 5) & (col < taken.shape[1] - 5)
    keep[keep] &= ~(apart[row[keep] // 5, col[keep] // 5] | wet[row[keep], col[keep]])
    xy, hectares, kind = xy[keep], hectares[keep], kind[keep]
    corners = 9
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False) + draw.random((len(xy), 1))
    far = np.sqrt(hectares[:, None] * 1e4 / np.pi) * np.exp(draw.normal(0, 0.28, angle.shape))
    squeeze = draw.uniform(0.55, 1.0, (len(xy), 1))
    turn = draw.uniform(0, np.pi, (len(xy), 1))
    a, b = far * np.cos(angle) / squeeze**0.5, far * np.sin(angle) * squeeze**0.5
    ring = np.stack(
        [
            xy[:, :1] + a * np.cos(turn) - b * np.sin(turn),
            xy[:, 1:] + a * np.sin(turn) + b * np.cos(turn),
        ],
        axis=-1,
    )
    return gpd.GeoDataFrame({"kind": kind}, geometry=shapely.polygons(np.round(ring, 2)))


def polygons(taken, settlements, transform):
    """Built-up land of the settlements, one row for each connected part.

    Returns
    -------
    geopandas.GeoDataFrame
        geometry, settlement (name), kind ("urban").
    """
    shapes = rasterio.features.shapes(
        taken.astype(np.int32), taken > 0, transform=transform, connectivity=4
    )
    parts = pd.DataFrame(
        [(int(number), shapely.geometry.shape(geometry)) for geometry, number in shapes],
        columns=["number", "geometry"],
    )
    # Chamfer the stairs of the raster: no vertex moves by more than a cell.
    outline = shapely.simplify(parts["geometry"].to_numpy(), 0.8 * FINE)
    names = settlements["name"].to_numpy()[parts["number"] - 1]
    table = gpd.GeoDataFrame({"settlement": names, "kind": "urban"}, geometry=outline)
    return table.iloc[np.argsort(parts["number"], kind="stable")].reset_index(drop=True)


def shares(built, shape, transform):
    """Shares of each 500 m cell that are built up, and that are villages, burnt at 100 m."""
    urban = (built["kind"] == "urban").to_numpy()
    order = np.argsort(urban, kind="stable")  # settlements cover villages
    pairs = zip(built.geometry.to_numpy()[order], 2 - urban[order].astype(int), strict=True)
    burnt = rasterio.features.rasterize(pairs, shape, transform=transform, dtype="uint8")
    burnt = burnt.reshape(shape[0] // 5, 5, shape[1] // 5, 5)
    return tuple(mask.mean(axis=(1, 3), dtype=np.float32) for mask in (burnt > 0, burnt == 2))


def people(seed, settlements, taken, village_share, fit, transform):
    """People in each 500 m cell: the settlements', the villages', and a thin rural rest.

    Returns
    -------
    numpy.ndarray
        float32; its sum is the settlements' population and `RURAL`.
    """
    rows, cols = taken.shape[0] // 5, taken.shape[1] // 5
    total = np.zeros((rows, cols))
    slices = ndimage.find_objects(taken)
    for index, place in enumerate(settlements.itertuples()):
        box = slices[index] if index < len(slices) else None
        if box is None:
            continue
        top, left = box[0].start // 5, box[1].start // 5
        low, right = -(-box[0].stop // 5), -(-box[1].stop // 5)
        part = taken[5 * top : 5 * low, 5 * left : 5 * right] == index + 1
        part = part.reshape(low - top, 5, right - left, 5).mean(axis=(1, 3))
        x = transform.c + (np.arange(left, right) + 0.5) * 500 - place.geometry.x
        y = transform.f - (np.arange(top, low) + 0.5) * 500 - place.geometry.y
        weight = part * np.exp(-np.hypot(x[None], y[:, None]) / (0.55 * place.radius_m + 300))
        total[top:low, left:right] += place.population * weight / weight.sum()
    ratio = rows // fit.shape[0]
    thin = np.kron(fit, np.ones((ratio, ratio))) ** 0.8
    draw = noise.rng(seed, "region people")
    village = village_share * np.exp(0.3 * noise.fractal((rows, cols), draw, 1.5, scale=60))
    total += RURAL * (0.4 * village / village.sum() + 0.6 * thin / thin.sum())
    return total.astype(np.float32)
