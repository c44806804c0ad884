"""What lies beyond the edge of the city: fields, villages, woods on hills, ponds, quarries."""

from __future__ import annotations

import numpy as np
import pandas as pd
import rasterio.features
import rioxarray  # noqa: F401  (registers the .rio accessor)
import shapely
import xarray as xr
from rasterio.transform import from_origin
from scipy import ndimage

from toolkit.scene import noise, shapes


def elevation(place, bounds, plan, style, seed, step=30.0):
    """Ground elevation in metres on a 30 m grid, from the place's terrain or hills of our own.

    Our own hills rise away from the centre on one side, 60 to 150 m, so that the city
    stands on flat ground as most large cities do. A style's ridge comes on top of the terrain:
    a chain of hills that the region's grid of 500 m is too coarse to show.
    """
    x = np.arange(bounds[0] + step / 2, bounds[2], step)
    y = np.arange(bounds[3] - step / 2, bounds[1], -step)
    xx, yy = np.meshgrid(x, y)
    terrain = place.get("terrain")
    if callable(terrain):
        base = np.asarray(terrain(xx, yy), float)
    elif terrain is not None:
        grid = terrain.interp(x=xr.DataArray(x, dims="x"), y=xr.DataArray(y, dims="y"))
        base = np.nan_to_num(grid.to_numpy().astype(float), nan=float(grid.mean()))
    else:
        generator = noise.rng(seed, "city elevation")
        turn = generator.uniform(0, 2 * np.pi)
        away = (xx - plan.centre[0]) * np.cos(turn) + (yy - plan.centre[1]) * np.sin(turn)
        rise = np.clip(away / plan.radius - 0.55, 0, 1.2) * (style.ridge == 0)
        relief = noise.fractal(xx.shape, generator, 3.0, 90)
        base = 480 + 3 * relief + rise * (70 + 42 * relief)
    if style.ridge:
        base = base + _ridge(style, bounds, plan, xx, yy, base, noise.rng(seed, "city ridge"))
    data = xr.DataArray(
        base.astype("float32"), dims=("y", "x"), coords={"y": y, "x": x}, name="elevation"
    )
    return data.assign_attrs(long_name="ground elevation", units="m")


def _ridge(style, bounds, plan, xx, yy, base, generator):
    """Hills along the side of the square that is highest and clear of river and airport, metres."""
    half = (bounds[2] - bounds[0]) / 2
    east, north = (xx - bounds[0]) / half - 1, (yy - bounds[1]) / half - 1
    coarse = (slice(None, None, 6),) * 2
    at = shapely.points(xx[coarse], yy[coarse])
    flat = [*plan.lakes, *(p for p in (plan.bank, plan.airport) if p is not None)]
    clear = shapely.distance(at, shapely.union_all(flat)) if flat else np.full(at.shape, 9e9)
    best = None
    for turn in generator.uniform(-0.2, 0.2) + np.arange(4) * np.pi / 2:
        out = east * np.cos(turn) + north * np.sin(turn)
        strip = out[coarse] > 0.7
        score = base[coarse][strip].mean() / max(float(base.std()), 1.0)
        score -= 8 * (clear[strip] < 50).mean() + generator.uniform(0, 0.1)
        if best is None or score > best[0]:
            best = (score, out)
    rough = noise.fractal(xx.shape, generator, 2.4, 70)
    up = np.clip((best[1] - 0.66 + 0.07 * rough) / 0.2, 0, 1)
    relief = 1 + 0.4 * noise.fractal(xx.shape, generator, 2.6, 36, smallest=3)
    room = np.clip((clear - 60) / 400, 0, 1)
    room = ndimage.zoom(room, np.divide(xx.shape, room.shape), order=1, grid_mode=True,
                        mode="nearest")  # fmt: skip
    return style.ridge * up**2 * (3 - 2 * up) * np.clip(relief, 0.3, 1.9) * room


def _sample(grid, points):
    col = np.clip(
        ((points[:, 0] - float(grid.x[0])) / 30).round().astype(int), 0, grid.sizes["x"] - 1
    )
    row = np.clip(
        ((float(grid.y[0]) - points[:, 1]) / 30).round().astype(int), 0, grid.sizes["y"] - 1
    )
    return grid.to_numpy()[row, col]


def woodland(style, bounds, plan, ground, seed):
    """Woods with ragged edges: where noise, height and slope are high, outside the town.

    Returns
    -------
    wooded : numpy.ndarray of Polygon
    kind : numpy.ndarray of str
        Material of each: the style's own wood, broken by patches of other trees and shrub.
    """
    generator = noise.rng(seed, "city woods")
    step = 12.0
    n = round((bounds[2] - bounds[0]) / step)
    value = noise.fractal((n, n), generator, 2.0, 50)
    other = noise.fractal((n, n), generator, 1.9, 40)
    z = ground.to_numpy().astype(float)
    slope = np.hypot(*np.gradient(z, 30.0))
    x = bounds[0] + (np.arange(n) + 0.5) * step
    y = bounds[3] - (np.arange(n) + 0.5) * step
    points = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
    rise = np.clip((z - np.median(z)) / max(float(z.std()), 8.0), -1, 2.5)
    hilly = ground.copy(data=(0.8 * rise + np.clip(slope / 0.18, 0, 1.3)).astype("float32"))
    value = value + _sample(hilly, points).reshape(n, n)
    coarse = plan.density(np.stack(np.meshgrid(x[2::5], y[2::5]), -1))
    edge = np.kron(coarse.reshape(len(y[2::5]), -1), np.ones((5, 5)))
    edge = np.pad(edge, ((0, 5), (0, 5)), mode="edge")[:n, :n]
    open_land = edge <= -0.04
    if not open_land.any() or style.wooded <= 0:
        return np.empty(0, object), np.empty(0, object)
    cut = np.quantile(value[open_land], 1 - style.wooded)
    kind = 1 + (other > 0.85) + 2 * (other < -1.1)
    grid = np.where((value > cut) & open_land, kind, 0).astype("uint8")
    grid = rasterio.features.sieve(grid, 9)
    transform = from_origin(bounds[0], bounds[3], step, step)
    found = [
        (shapely.geometry.shape(g), int(v))
        for g, v in rasterio.features.shapes(grid, mask=grid > 0, transform=transform)
    ]
    wooded = np.array([f[0] for f in found], object)
    second = "tree_conifer" if style.wood == "tree_broadleaf" else style.tree
    names = np.array(["", style.wood, second, "shrub"], object)
    # Stairs of the raster become a ragged edge.
    wooded = shapely.buffer(shapely.simplify(wooded, 9), 4, quad_segs=2)
    turn = generator.normal(0, 0.25, (2, 2))
    wooded = shapely.make_valid(shapely.transform(wooded, lambda p: p + 3.0 * np.sin(p @ turn)))
    return wooded, names[[f[1] for f in found]]


def lay_out(country, style, bounds, plan, ground, canvas, seed):
    """Paint the open country, and return its villages and roads.

    Returns
    -------
    villages : pandas.DataFrame
        Columns ``block``, ``use``, ``density``, as for the town.
    lines, gaps : numpy.ndarray
        Lanes and tracks.
    """
    generator = noise.rng(seed, "city country")
    cells, blocks = country
    field = style.field_area

    def track(area, _):
        return np.where(area > 160_000, 7.0, 4.0) * style.wide

    open_country = max(45_000.0, 3.2 * field)
    plot, _, lines, gaps, whole = shapes.divide(
        cells, open_country, generator, track, blocks, 0.1, 0.1, max(style.bend, 0.04)
    )
    middle = shapely.get_coordinates(shapely.centroid(plot))
    plan.density(middle)
    size = bounds[2] - bounds[0]
    seeds = generator.uniform(
        bounds[:2], bounds[2:], (int(90 * style.villages * (size / 12e3) ** 2), 2)
    )
    away = np.full(len(middle), 9e9)
    if len(seeds):
        reach = generator.uniform(90, 290, len(seeds)) * np.where(
            generator.random(len(seeds)) < 0.2, 1.6, 1
        )
        distance = np.hypot(*(middle[:, None] - seeds[None]).transpose(2, 0, 1)) / reach
        away = distance.min(1) + generator.normal(0, 0.15, len(middle))
    wooded, kind = woodland(style, bounds, plan, ground, seed)
    tree = shapely.STRtree(wooded)
    in_wood = np.zeros(len(middle), bool)
    in_wood[tree.query(shapely.points(middle), predicate="intersects")[0]] = True
    near = (away < 1.5) & ~in_wood & (shapely.area(plot) > 800)
    # Fields end at the wood, and their tracks with them.
    thirds = shapely.line_interpolate_point(lines, [[0.2], [0.5], [0.8]], normalized=True)
    hit = np.zeros(thirds.size, bool)
    hit[tree.query(thirds.ravel(), predicate="intersects")[0]] = True
    wild = hit.reshape(3, -1).all(0) & (gaps < 6 * style.wide)
    lines, gaps = lines[~wild], gaps[~wild]
    rows = lines[generator.random(len(lines)) < style.belts]
    out, rest = [], [(whole[~near], plot[~near])]
    if near.any():
        block, _, l2, g2, cell = shapes.divide(
            whole[near], np.where(style.field_area > 2e4, 8000, 4200), generator,
            lambda a, _: np.full(len(a), 5.0) * style.wide, plot[near], 0.1, 0.08, 0.08,
        )  # fmt: skip
        at = shapely.get_coordinates(shapely.centroid(block))
        away = (np.hypot(*(at[:, None] - seeds[None]).transpose(2, 0, 1)) / reach).min(1)
        frayed = shapes.field(bounds, noise.rng(seed, "city villages"), 500.0, 2.0)(at)
        settled = away * (1 + 0.3 * frayed) + generator.normal(0, 0.12, len(at)) < 0.85
        # Lanes reach the houses and end there; what is not built on stays field.
        beside = shapely.STRtree(block[settled]).query(l2, predicate="dwithin", distance=9.0)[0]
        kept = np.isin(np.arange(len(l2)), beside)
        lines, gaps = np.concatenate([lines, l2[kept]]), np.concatenate([gaps, g2[kept]])
        out.append((block[settled], plan.density(at[settled])))
        rest.append((cell[~settled], block[~settled]))
    whole, plot = (np.concatenate(c) for c in zip(*rest, strict=True))
    plots, _, ditch, _, _ = shapes.divide(
        whole, field, generator, lambda a, _: np.full(len(a), 1.2), plot, 0.11, 0.07,
        smallest=150, along=style.hedges > 0,
    )  # fmt: skip
    at = shapely.get_coordinates(shapely.centroid(plots))
    crops = _crops(style, at, bounds, generator, seed)
    area = shapely.area(plots)
    hamlet = (generator.random(len(plots)) < 0.032 * style.hamlets) & (area > 700) & (area < 9000)
    hamlet[tree.query(shapely.points(at), predicate="intersects")[0]] = False
    wet = shapes.field(bounds, noise.rng(seed, "city wet"), 1500.0)(at) > 1.35 - 0.25 * style.ponds
    pond = wet & (generator.random(len(plots)) < 0.35 * style.ponds) & (area < 12_000) & ~hamlet
    close = plan.density(at) > -0.42
    covered = shapes.field(bounds, noise.rng(seed, "city greenhouse"), 900.0, 2.0)(at)
    glass = (
        close
        & (covered > 1.9 - 0.75 * style.greenhouses)
        & (style.greenhouses > 0)
        & ~hamlet
        & ~pond
    )
    crops[hamlet] = style.wild
    tilled = crops != style.wild
    canvas.paint(plots[tilled], crops[tilled], 4)
    canvas.paint(shapely.buffer(plots[pond], -2), "water_pond", 5)
    _greenhouses(plots[glass], canvas, generator)
    _orchards(plots[crops == "orchard"], canvas, style, generator)
    if style.hedges:
        pick = generator.random(len(ditch)) < 0.62 * style.hedges
        canvas.paint(shapely.buffer(ditch[pick], generator.uniform(1.2, 3.2, pick.sum()),
                                    quad_segs=1), "hedge", 6, 4.0)  # fmt: skip
    side = shapely.buffer(rows, generator.uniform(7, 13, len(rows)), quad_segs=1)
    canvas.paint(side, style.tree, 6, 11.0)
    canvas.paint(wooded, kind, 7, 11.0)
    _hamlets(plots[hamlet], canvas, style, generator)
    if hamlet.any():
        out.append((shapely.buffer(plots[hamlet], -4), plan.density(at[hamlet])))
    _quarries(bounds, plan, ground, canvas, generator)
    blocks = np.concatenate([o[0] for o in out]) if out else np.empty(0, object)
    density = np.concatenate([o[1] for o in out]) if out else np.zeros(0)
    blocks, index = shapes.parts(blocks, 200)
    # Houses do not stand on the steep: what the woods took stays wood.
    table = pd.DataFrame({"block": blocks, "use": "village", "density": density[index]})
    return table, lines, gaps


def _crops(style, at, bounds, generator, seed):
    """Crop of each field: shares as the style has them, neighbours often alike."""
    names = [c for c, share in style.crops.items() if share > 0]
    score = np.empty((len(at), len(names)))
    for k, name in enumerate(names):
        clump = shapes.field(bounds, noise.rng(seed, f"city crop {name}"), 1100.0, 2.0)(at)
        score[:, k] = (
            np.log(style.crops[name]) + 0.8 * clump + 0.75 * generator.gumbel(size=len(at))
        )
    crops = np.array(names, object)[score.argmax(1)] if len(names) else np.full(len(at), style.wild)
    if style.name == "arid":  # irrigated land clings to the valley and the wells
        oasis = shapes.field(bounds, noise.rng(seed, "city oasis"), 2600.0)(at) > 0.75
        crops = np.where(oasis, crops, style.wild)
    return crops.astype(object)


def _greenhouses(plots, canvas, generator):
    """Plastic tunnels, 8 m wide with 1 m between them."""
    if not len(plots):
        return
    _, length, _width, angle = shapes.frame(plots)
    canvas.paint(plots, "soil_bright", 5)
    inner = shapely.buffer(plots, -1.5)
    points, index, _ = shapes.array_of(inner, (np.maximum(length, 1), 9.0), angle, generator)
    tunnel = shapes.stamp(shapes.RECTANGLE, points, length[index], 7.8, angle[index])
    tunnel, _ = shapes.parts(shapely.intersection(tunnel, inner[index]), 40)
    canvas.paint(tunnel, "plastic_greenhouse", 6, 3.0)


def _orchards(plots, canvas, style, generator):
    """Trees in rows on the largest orchards; the rest are left to the texture of the sensor."""
    plots = plots[np.argsort(-shapely.area(plots), kind="stable")[:150]]
    if not len(plots) or style.field_area > 2e4:
        return
    _, _, _, angle = shapes.frame(plots)
    points, index, _ = shapes.array_of(plots, (9.0, 9.0), angle, generator, 0.4)
    shapely.prepare(plots)
    good = shapely.contains_xy(plots[index], points[:, 0], points[:, 1])
    canvas.plant(points[good], 2.1, generator, "orchard", 0.12)


def _hamlets(plots, canvas, style, generator):
    """Farmsteads in a ring of trees and bamboo, as on the plain of the upper Yangtze."""
    if not len(plots):
        return
    radius = np.sqrt(shapely.area(plots)) * generator.uniform(0.62, 0.95, len(plots))
    centre = shapely.get_coordinates(shapely.centroid(plots))
    ring = shapes.blobs(centre, radius, generator, 20, 0.25, 1.3)
    canvas.paint(ring, style.tree, 8, 8.0)
    yard = np.where(generator.random(len(plots)) < 0.6, "concrete_paving", style.bare)
    canvas.paint(shapely.buffer(plots, -9), yard, 9)
    points, _ = shapes.scatter(ring, np.ceil(shapely.area(ring) / 130).astype(int), generator)
    canvas.plant(points, 3.0, generator, style.tree)


def _quarries(bounds, plan, ground, canvas, generator, count=3):
    """Open pits where the ground is high, with a bench, a floor and water in it."""
    z = ground.to_numpy()[::6, ::6]
    x, y = np.meshgrid(ground.x.to_numpy()[::6], ground.y.to_numpy()[::6])
    rim = plan.density(np.stack([x, y], -1)).reshape(z.shape)
    score = np.where(rim < -0.2, z, -1e9)
    score[:3], score[-3:], score[:, :3], score[:, -3:] = (-1e9,) * 4
    at = []
    for _ in range(max(round(count * (bounds[2] - bounds[0]) / 12e3), 1)):
        row, col = np.unravel_index(np.argmax(score), z.shape)
        at.append((x[row, col], y[row, col]))
        score = np.where(np.hypot(x - at[-1][0], y - at[-1][1]) < 1400, -1e9, score)
    at = np.array(at)
    radius = generator.uniform(120, 210, len(at))
    pit = shapes.blobs(at, radius, generator, 28, 0.16, 1.5)
    canvas.paint(shapely.buffer(pit, 18), "gravel", 10)
    canvas.paint(pit, "rock", 11)
    canvas.paint(shapely.buffer(pit, -0.3 * radius), "soil_bright", 12)
    canvas.paint(shapes.blobs(at + 30, 22.0, generator, 16), "water_pond", 13)
