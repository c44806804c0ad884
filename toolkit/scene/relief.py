"""The region's natural ground: mountains, a basin, folds, rivers that run downhill, lakes.

The plan follows the ground around 104 E 30.7 N: high mountains in the west, a
low basin in the middle, parallel folds in its east, hills elsewhere, and one great
river that enters in the south-west, takes in every other, and leaves in the east.
All of it is drawn from noise; no real elevation is used.

Simplified: no erosion in time (valleys are cut into the noise once, along the
rivers), no groundwater, rainfall alike everywhere, river channels drawn by smoothing.
"""

from __future__ import annotations

import heapq

import geopandas as gpd
import numpy as np
import rasterio.features
import shapely
from scipy import ndimage
from skimage import graph

from toolkit.scene import noise

RUNOFF = 0.02
"""m3/s from a square kilometre: the Yangtze carries 0.9e12 m3 a year from 1.8e6 km2, 0.016."""


def step(value, low, high):
    """Smooth step from 0 at `low` to 1 at `high`."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def trough(seed, shape):
    """Course of the great river over the region, (row, column) of cells, west to east.

    A least-cost path over noise, which meanders as a river on a plain does.
    """
    draw = noise.rng(seed, "region great river")
    rows, cols = shape
    cost = np.exp(1.1 * noise.fractal(shape, draw, 2.6, scale=rows / 8).astype(float))
    v = np.arange(rows)[:, None] / rows
    cost = cost * (1 + 5 * np.abs(v - draw.uniform(0.66, 0.74)) ** 1.5)
    start = (int(rows * draw.uniform(0.72, 0.88)), 0)
    end = (int(rows * draw.uniform(0.5, 0.66)), cols - 1)
    path, _ = graph.route_through_array(cost, start, end, geometric=True)
    return np.array(path)


def elevation(seed, shape, course):
    """Ground before the valleys are cut, in whole millimetres, float64 (m).

    Parameters
    ----------
    seed : int
        Seed of the scene.
    shape : tuple of int
        Rows and columns.
    course : numpy.ndarray
        Cells of the great river, from `trough`.
    """
    draw = noise.rng(seed, "region terrain")
    rows, cols = shape
    v, u = np.mgrid[0:rows, 0:cols] / max(shape)
    wander = noise.fractal(shape, draw, 3.4, scale=cols / 3)
    detail = noise.fractal(shape, draw, 2.7, scale=cols / 12)
    ridged = 1 - np.abs(noise.warped(shape, draw, 3.2, scale=cols / 8, strength=cols / 50))
    cx, cy = draw.uniform(0.53, 0.60), draw.uniform(0.46, 0.54)
    # The great river's bed falls to the east; the plains fall towards it, 1.1 m a km.
    channel = np.ones(shape, bool)
    channel[course[:, 0], course[:, 1]] = False
    far, (_, near_col) = ndimage.distance_transform_edt(channel, return_indices=True)
    far = far * (600 / cols)
    bed = ndimage.gaussian_filter(190 + 700 * (1 - near_col / cols) ** 3, cols / 60)
    out = np.hypot((u - cx) / 0.33, (v - cy) / 0.36) + 0.11 * wander
    rim = step(out, 0.86, 1.5)
    west = step(0.27 - u + 0.035 * wander + 0.10 * (v - 0.5), -0.05, 0.13)
    # Low hills of some tens of metres cover the basin, save for an alluvial plain in its west.
    alluvial = step(np.hypot((u - 0.41) / 0.11, (v - 0.40) / 0.17) + 0.16 * wander, 1.1, 0.7)
    plain = bed + 1.1 * far + (1 - 0.85 * alluvial) * (32 * detail + 26 * ridged) + 25 * wander
    hills = 1 + 0.5 * wander + 0.45 * ridged + 0.07 * detail
    high = 2450 + 420 * wander + 620 * ridged + 110 * detail
    # Parallel anticlines: long narrow ridges that trend NNE, as in the east of the basin.
    angle = np.deg2rad(draw.uniform(22, 34))
    across = (u * np.cos(angle) + v * np.sin(angle)) + 0.012 * wander
    crest = np.maximum(np.sin(2 * np.pi * across / 0.047) - 0.35, 0) / 0.65
    extent = step(u + 0.04 * wander, cx + 0.06, cx + 0.16) * (1 - 0.6 * west)
    along = np.clip(0.6 + 0.5 * noise.fractal(shape, draw, 3.0, scale=cols / 9), 0, 1)
    ground = plain + 760 * rim * np.maximum(hills, 0.15) + high * west
    ground += 430 * crest**1.3 * extent * along
    # Where it crosses mountains it has cut a gorge.
    gorge = bed + (12 + 110 * np.maximum(west, 0.5 * rim)) * far**1.05
    ground = np.where(ground > gorge, gorge + 0.15 * (ground - gorge), ground)
    ground = np.where(ground > 4300, 4300 + 0.35 * (ground - 4300), ground)
    # Whole millimetres: a last digit that differs between machines must not turn a stream.
    return np.round(np.maximum(ground, bed + 4), 3)


def drain(ground, course):
    """Flow over the ground by priority-flood (Barnes et al. 2014, doi:10.1016/j.cageo.2013.04.024).

    Every cell drains to the border of the raster, hollows are filled on the way.

    Returns
    -------
    order : list of int
        Flat cell numbers from the outlets upward.
    parent : numpy.ndarray
        The cell each one flows to; itself at the border.
    filled : numpy.ndarray
        Level of the ground once hollows are filled, in metres.
    """
    rows, cols = ground.shape
    width = cols + 2
    level = np.full((rows + 2, width), np.inf)
    level[1:-1, 1:-1] = ground
    path = (course[:, 0] + 1) * width + course[:, 1] + 1
    level = level.ravel()
    # The great river's bed falls all the way: nothing may dam it.
    level[path] = np.minimum.accumulate(level[path]) - 30 - 0.02 * np.arange(len(path))
    level = level.tolist()
    closed = bytearray(len(level))
    for cell in range(len(level)):
        row, col = divmod(cell, width)
        closed[cell] = row in (0, rows + 1) or col in (0, width - 1)
    inside = np.arange(len(level)).reshape(rows + 2, width)[1:-1, 1:-1]
    rim = np.unique(np.r_[inside[0], inside[-1], inside[:, 0], inside[:, -1]])
    parent = list(range(len(level)))
    heap = [(level[cell], cell) for cell in rim.tolist()]
    for _, cell in heap:
        closed[cell] = 1
    heapq.heapify(heap)
    order = []
    around = (-1, 1, -width, width, -width - 1, -width + 1, width - 1, width + 1)
    pop, push = heapq.heappop, heapq.heappush
    while heap:
        low, cell = pop(heap)
        order.append(cell)
        for shift in around:
            other = cell + shift
            if not closed[other]:
                closed[other] = 1
                parent[other] = cell
                if level[other] < low:
                    level[other] = low + 1e-4
                push(heap, (level[other], other))
    row, col = np.divmod(np.array(order), width)
    order = ((row - 1) * cols + col - 1).tolist()
    parent = np.array(parent).reshape(rows + 2, width)[1:-1, 1:-1]
    parent = ((parent // width - 1) * cols + parent % width - 1).ravel()
    filled = np.array(level).reshape(rows + 2, width)[1:-1, 1:-1]
    return order, parent, filled


def catchment(order, parent, cell_km2, entering):
    """Area that drains through each cell, in km2; `entering` maps cells to what flows in there."""
    area = np.full(len(parent), cell_km2)
    for cell, amount in entering.items():
        area[cell] += amount
    area, parent = area.tolist(), parent.tolist()
    for cell in reversed(order):
        if parent[cell] != cell:
            area[parent[cell]] += area[cell]
    return np.array(area)


def carve(ground, filled, area, channel_km2=25, scale=1.0):
    """Cut valleys into the ground along every stream; steeper in high country."""
    dry = area.reshape(ground.shape) < channel_km2
    far, (row, col) = ndimage.distance_transform_edt(dry, return_indices=True)
    bed = np.minimum(filled, ground)[row, col]
    high = step(ground, 700, 2600)
    # Valley sides of 3 % in the basin to 30 % in the mountains.
    side = (30 + 270 * high) * scale
    valley = bed + side * far**0.9
    return np.where(valley < ground, valley + 0.18 * (ground - valley), ground)


def lines(order, parent, area, least, shape, transform):
    """Rivers with a catchment above `least` km2: one LineString a river, from source to mouth.

    The longest stream keeps its name down to the sea: at each junction the larger
    one goes on and the smaller ends there.

    Returns
    -------
    geopandas.GeoDataFrame
        geometry, catchment_km2 (at the mouth), width (m, at the mouth), width_source.
    """
    cols = shape[1]
    main = {}
    for cell in reversed(order):
        down = parent[cell]
        if area[cell] >= least and down != cell and area[cell] > main.get(down, (0, 0))[0]:
            main[down] = (area[cell], cell)
    follows = {up: down for down, (_, up) in main.items()}
    sources = [c for c in order if area[c] >= least and c not in main]
    records = []
    for source in sources:
        path = [source]
        while path[-1] in follows:
            path.append(follows[path[-1]])
        mouth = parent[path[-1]]
        if mouth != path[-1]:
            path.append(mouth)
        if len(path) >= 8:
            records.append(path)
    # The larger first, so that each tributary can end on the line of the river it joins.
    records.sort(key=lambda path: (-area[path[-2]], path[0]))
    geometry, reach, owner = [], [], {}
    for path in records:
        row, col = np.divmod(np.array(path), cols)
        xy = np.column_stack(transform * (col + 0.5, row + 0.5))
        into = owner.get(path[-1])
        if into is not None:
            mouth = geometry[into].project(shapely.Point(xy[-1]))
            xy[-1] = shapely.get_coordinates(geometry[into].interpolate(mouth))[0]
        owner |= dict.fromkeys([cell for cell in path if cell not in owner], len(geometry))
        geometry.append(smooth(xy))
        reach.append((area[path[-2]], area[path[0]]))
    reach = np.array(reach)
    table = gpd.GeoDataFrame({"catchment_km2": reach[:, 0].round(1)}, geometry=geometry)
    table["width"] = width(reach[:, 0]).round(1)
    table["width_source"] = width(reach[:, 1]).round(1)
    return table


def width(catchment_km2):
    """Width of a river in metres from its catchment: w = 7.2 Q**0.5, Q in m3/s.

    The law is Andreadis et al. (2013, doi:10.1002/wrcr.20440), after Leopold and Maddock (1953).
    """
    return 7.2 * np.sqrt(RUNOFF * np.asarray(catchment_km2, float))


def smooth(xy, sigma=2.2, spacing=None):
    """LineString through points, smoothed, its two ends kept; coordinates to 1 cm."""
    xy = np.asarray(xy, float)
    if len(xy) > 3:
        ends = xy[[0, -1]]
        # Reflecting about the ends keeps the line from shrinking away from them.
        pad = min(len(xy) - 1, int(4 * sigma))
        ahead = 2 * ends[0] - xy[pad:0:-1]
        behind = 2 * ends[1] - xy[-2 : -pad - 2 : -1]
        xy = ndimage.gaussian_filter1d(np.vstack([ahead, xy, behind]), sigma, axis=0)
        xy = xy[pad:-pad]
        xy[[0, -1]] = ends
    line = shapely.LineString(xy)
    if spacing:
        count = max(int(line.length / spacing), 2)
        line = shapely.LineString(
            shapely.get_coordinates(
                shapely.line_interpolate_point(line, np.linspace(0, line.length, count))
            )
        )
    return shapely.LineString(np.round(shapely.get_coordinates(line), 2))


def lakes(seed, ground, rivers, transform, count=16):
    """Reservoirs in river valleys and a few round lakes on the plains, as polygons.

    A reservoir fills the ground around a point of a river up to a level 20 to 60 m
    above the bed, as far as a few kilometres.

    Returns
    -------
    geopandas.GeoDataFrame
        geometry, area_km2.
    """
    draw = noise.rng(seed, "region lakes")
    shape = ground.shape
    blob = noise.fractal(shape, draw, 2.8, scale=24).astype(float)
    rows, cols = np.indices(shape)
    middle = rivers[rivers["width"].between(25, 130)]
    picks = draw.permutation(len(middle))
    found = []
    for pick in picks:
        if len(found) == count:
            break
        where = middle.geometry.iloc[pick].interpolate(draw.uniform(0.25, 0.75), normalized=True)
        col, row = (int(n) for n in ~transform * (where.x, where.y))
        if not (12 < row < shape[0] - 12 and 12 < col < shape[1] - 12) or ground[row, col] > 2600:
            continue
        window = np.s_[max(row - 24, 0) : row + 25, max(col - 24, 0) : col + 25]
        far = np.hypot(rows[window] - row, cols[window] - col) + 1.6 * blob[window]
        rise = ground[window] - ground[row, col]
        wet = (far < draw.uniform(5, 13)) & (rise < draw.uniform(12, 45))
        if len(found) < 4:
            wet = far < draw.uniform(3.5, 7.5)
        label, _ = ndimage.label(wet)
        inside = label == label[row - window[0].start, col - window[1].start]
        if not wet[row - window[0].start, col - window[1].start] or inside.sum() < 10:
            continue
        shift = transform * transform.translation(window[1].start, window[0].start)
        shapes = rasterio.features.shapes(inside.astype(np.uint8), inside, transform=shift)
        outline = shapely.union_all([shapely.geometry.shape(s) for s, _ in shapes])
        outline = outline.buffer(-150).buffer(420).buffer(-330).simplify(30)
        if outline.is_empty or any(outline.distance(o) < 15_000 for o in found):
            continue
        found.append(outline)
    found = shapely.set_precision(np.array(found, object), 0.01)
    table = gpd.GeoDataFrame({"area_km2": np.round(shapely.area(found) / 1e6, 2)}, geometry=found)
    return table.sort_values("area_km2", ascending=False, ignore_index=True)
