"""Maps that others made of the same ground, with their known faults.

Each product imitates how its model goes wrong, not only how often: a classifier errs along edges,
on thin objects, on materials that look alike, and in patches where its image was poor. So every
error here gets a score (what else lies in the pixel and around it, likeness of the material, chance
by patch and by parcel), and the highest scores become errors until the wanted number is reached.
The truth that they are held against is that of `truth`.

Simplified: no geometric distortion beyond that of `osm_buildings`; no missing tiles; the products
do not share errors that come from the same satellite image.
"""

import geopandas as gpd
import numpy as np
import shapely
from rasterio.features import rasterize
from rasterio.transform import from_origin
from scipy import ndimage

from toolkit.scene import materials, optical, truth
from toolkit.scene.confusion import ALIKE, departures, expected_table
from toolkit.scene.noise import VERSION, fractal, rng

SETTLEMENT = (
    {"value": 0, "name": "Other", "color": "#999999"},
    {"value": 1, "name": "Settlement", "color": "#d55e00"},
)


def _ground(city, ground):
    return optical.ground(city, 2.5) if ground is None else ground


def _mean(fine, factor):
    rows, cols = (n // factor for n in fine.shape)
    fine = fine[: rows * factor, : cols * factor]
    return fine.reshape(rows, factor, cols, factor).mean(axis=(1, 3), dtype=np.float32)


def _factor(ground, resolution):
    factor = round(resolution / ground.resolution)
    if factor < 1 or abs(factor * ground.resolution - resolution) > 1e-6:
        raise ValueError(
            f"{resolution} m is not a multiple of the ground's pixels of {ground.resolution} m; "
            "make it with optical.ground(city, 2.5)."
        )
    return factor


def _class_shares(city, ground, resolution):
    """Share of each of the seven classes in each pixel: (class, y, x)."""
    factor = _factor(ground, resolution)
    cover = city.surfaces["material"].map(materials.COVER).to_numpy("uint8")[ground.objects]
    return np.stack([_mean(cover == c["value"], factor) for c in materials.CLASSES])


def _blur(field, metres, resolution):
    return ndimage.gaussian_filter(
        np.asarray(field, np.float32), metres / resolution, mode="nearest"
    )


def _highest(score, candidates, count):
    """Indices, among flat candidates, of the highest scores; ties in order."""
    order = np.argsort(-score[candidates], kind="stable")
    return candidates[order[: max(int(count), 0)]]


def _wrap(data, ground, resolution, city, title, classes=None, **attrs):
    if classes is not None:
        attrs |= {"classes": [dict(c) for c in classes], "units": ""}
    return optical.georeference(
        data,
        None,
        (ground.bounds[0], ground.bounds[3] - data.shape[0] * resolution,
         ground.bounds[0] + data.shape[1] * resolution, ground.bounds[3]),
        resolution,
        city,
        255,
        title=f"{title} (simulated)",
        licence="MIT",
        **attrs,
    )  # fmt: skip


def from_glc10(city, ground=None, seed=None, match="overall"):
    """FROM-GLC10-like land cover: the truth with the errors of Table 2 of `land_cover_3m`.

    Of each true class, `expected_table` says how many pixels go to which map class; scores say
    which: mixed pixels, thin objects and edges first (roads and lone houses vanish into fields,
    narrow water is lost), materials that look alike, then patches and single parcels by chance.

    Parameters
    ----------
    city : City
        As `toolkit.scene.cities.make` returns it.
    ground : optical.Ground, optional
        ``optical.ground(city, 2.5)``, made once for several layers.
    seed : int, optional
        Of the errors; the city's where left out.
    match : {"overall", "columns"}
        What of Table 2 to keep, see `expected_table`.

    Returns
    -------
    xarray.DataArray
        uint8, classes 1 to 7, nodata 255, 10 m, dims (y, x). ``attrs["expected"]`` has the joint
        table (map in rows, truth in columns, shares of the area), and
        ``attrs["departs_from_table_2"]`` says where this city's shares of the classes do not allow
        the paper's accuracies.

    Examples
    --------
    >>> from toolkit.scene import cities, products
    >>> product = products.from_glc10(cities.make(seed=1, style="arid", size=2400))
    >>> product.shape, product.attrs["title"]
    ((240, 240), 'FROM-GLC10-like (simulated)')
    """
    ground = _ground(city, ground)
    draw = rng(city.seed if seed is None else seed, "from_glc10")
    shares = _class_shares(city, ground, 10)
    true = shares.argmax(0) + 1  # as truth.land_cover: the lowest class wins a tie
    shape = true.shape
    counts = np.bincount(true.ravel(), minlength=8)[1:]
    table = expected_table(counts / counts.sum(), match)

    step = _factor(ground, 10)
    middle = ground.objects[step // 2 :: step, step // 2 :: step][: shape[0], : shape[1]]
    parcel = draw.standard_normal(len(city.surfaces)).astype(np.float32)[middle]
    parcel[true == 5] *= 0.4  # houses are smaller than what a classifier sees as one
    parcel = ndimage.gaussian_filter(parcel, 0.7)
    code, names = city.surfaces["material"].astype(str).factorize()
    code = code.astype("uint8")[middle]
    near = [_blur(s, 12, 10) for s in shares]
    far = [_blur(s, 60, 10) for s in shares]
    patch = [
        0.55 * fractal(shape, draw, 2.6, scale=14, smallest=3) + 0.45 * fractal(shape, draw, 3, 90)
        for _ in shares
    ]
    result = true.astype("uint8").ravel()
    for j in np.flatnonzero(counts):
        left = np.flatnonzero(true.ravel() == j + 1)
        wanted = np.rint(table[:, j] / table[:, j].sum() * counts[j]).astype(int)
        for i in np.argsort(wanted, kind="stable"):
            if i == j or not wanted[i]:
                continue
            alike = np.array([ALIKE.get(m, {}).get(i + 1, 0) for m in names], np.float32)[code]
            score = 2.2 * shares[i] + 3.0 * near[i] + 1.5 * far[i] - 1.5 * near[j] - 0.8 * far[j]
            score += (
                0.9 * alike + 1.1 * patch[i] - 0.5 * patch[j] + (0.5 if i % 2 else -0.5) * parcel
            )
            chosen = _highest(ndimage.gaussian_filter(score, 0.6).ravel(), left, wanted[i])
            result[chosen] = i + 1
            left = np.setdiff1d(left, chosen, assume_unique=True)
    return _wrap(
        result.reshape(shape), ground, 10, city, "FROM-GLC10-like", materials.CLASSES,
        long_name="land cover", date="2017", expected=table.round(6).tolist(),
        departs_from_table_2="; ".join(departures(table)) or "no, within the stated limits",
    )  # fmt: skip


def from_glc30(region, seed=None):
    """Construction land as a 30 m predecessor gives it at 500 m: labels for night lights.

    The share of built-up pixels is wrong in patches, as scenes of different dates and quality are;
    scattered villages are missed, since a 30 m pixel rarely is all roof, and bare ground and dry
    river beds look built up here and there.

    Parameters
    ----------
    region : region.Region
        As `toolkit.scene.region.make` returns it.
    seed : int, optional
        Of the errors; the region's where left out.

    Returns
    -------
    xarray.DataArray
        uint8, 1 where more than half of a cell is mapped as built up, nodata 255, 500 m.
        Omission and commission are what the faults lead to, not set: 8 to 10 % of all cells, three
        quarters of the smallest villages.
    """
    seed = region.seed if seed is None else seed
    draw = rng(seed, "from_glc30")
    share = region.built_share.to_numpy().astype(np.float32)
    scene = fractal(share.shape, draw, 3.0, scale=160)
    patch = fractal(share.shape, draw, 2.2, scale=10)
    around = ndimage.gaussian_filter(share, 2)
    mapped = share * np.clip(0.5 + 1.1 * around, 0.5, 1.1)
    mapped = mapped * np.exp(0.16 * scene + 0.24 * patch)
    bare = np.clip(fractal(share.shape, draw, 1.8, scale=8) - 2.4, 0, None)
    bed = rasterize(
        region.rivers.geometry[region.rivers["width"] > 120],
        share.shape,
        transform=region.transform,
    )
    bare = bare * (0.35 + share) + 0.7 * bed * (patch > 1.0)  # gravel banks
    mapped = mapped + bare + 0.5 * around * np.clip(patch + 0.2, 0, 1)
    result = (mapped > 0.5).astype("uint8")
    like = region.construction_land
    out = like.copy(data=result)
    out.attrs |= {
        "title": "FROM-GLC30-like construction land (simulated)", "seed": int(seed),
        "date": "2015", "licence": "MIT",
    }  # fmt: skip
    return out


def _new_share(city, ground, year, resolution):
    """Share of each pixel under buildings that were not there in a year, and under any."""
    west, _, _, north = ground.bounds
    houses = city.buildings
    shape = [n * ground.resolution / 5 for n in ground.objects.shape]
    shape = tuple(int(n) for n in shape)
    new = houses["year"].to_numpy() > year
    burnt = rasterize(
        zip(houses.geometry.values, np.where(new, 2, 1).tolist(), strict=True),
        out_shape=shape, transform=from_origin(west, north, 5, 5), dtype="uint8",
    ) if len(houses) else np.zeros(shape, "uint8")  # fmt: skip
    factor = round(resolution / 5)
    return _mean(burnt == 2, factor), _mean(burnt > 0, factor)


def _unfinished(city, ground, year, resolution):
    """How far the land was still a site in a year, 0 to 1: where most of what stands is newer."""
    new, all_of_it = (_blur(s, 25, resolution) for s in _new_share(city, ground, year, resolution))
    return np.clip(2.5 * new / (all_of_it + 0.02) - 1, 0, 1)


def imperviousness(city, date=2017, ground=None, settlement=None, seed=None, errors=0.1):
    """High-resolution-layer-like imperviousness: sealed per cent, two years older than the images.

    What was built since is missing; crowns hide what they cover; faintly sealed cells are lost and
    bare or gravelled ones near buildings gained, until a tenth of each side is wrong.

    Parameters
    ----------
    city, ground, seed
        As in `from_glc10`.
    date : int
        Year of the images; the product shows two years before.
    settlement : xarray.DataArray, optional
        ``truth.settlement(city, 20)``, made once for several layers.
    errors : float
        Omission and commission of what is above 0 %, against `settlement`.

    Returns
    -------
    xarray.DataArray
        uint8, per cent, 0 to 100, nodata 255, 20 m, dims (y, x).
    """
    if not 0 <= errors < 0.5:
        raise ValueError(f"errors is {errors}; give a share from 0 to 0.5.")
    ground = _ground(city, ground)
    draw = rng(city.seed if seed is None else seed, "imperviousness")
    true = (truth.settlement(city, 20) if settlement is None else settlement).to_numpy() == 1
    shares = _class_shares(city, ground, 20)
    shape = shares.shape[1:]
    true = true[: shape[0], : shape[1]]
    sealed = shares[4] * (1 - 0.9 * _unfinished(city, ground, int(date) - 2, 20))
    seen = sealed + 0.04 * fractal(shape, draw, 1.5, 10) + 0.03 * fractal(shape, draw, 3, 120)
    score = (seen + 0.35 * _blur(sealed, 20, 20) + 0.10 * fractal(shape, draw, 2.6, 12)).ravel()
    gain = score + (0.9 * shares[5] + 0.25 * _blur(shares[5], 30, 20)).ravel()
    inside, outside = np.flatnonzero(true.ravel()), np.flatnonzero(~true.ravel())
    kept = _highest(score, inside, round((1 - errors) * inside.size))
    added = _highest(gain, outside, round(errors / (1 - errors) * kept.size))
    result = np.zeros(true.size, np.float32)
    result[kept] = np.clip(108 * seen.ravel()[kept], 1, 100)
    result[added] = np.clip(90 * gain[added], 1, 60)
    return _wrap(
        np.rint(result).astype("uint8").reshape(shape), ground, 20, city,
        "HRL-imperviousness-like", long_name="imperviousness", units="%", date=str(int(date) - 2),
    )  # fmt: skip


def guf(city, ground=None, seed=None):
    """GUF-like settlement: only what stands up, as radar sees it; no roads, no paved ground.

    Built at 12 m from the echo of walls, filled within blocks, and brought to 20 m by the nearest
    pixel. Low lone houses return too little; rows of trees sometimes enough.

    Parameters
    ----------
    city, ground, seed
        As in `from_glc10`.

    Returns
    -------
    xarray.DataArray
        uint8, 1 settlement, 0 other, nodata 255, 20 m, dims (y, x).
    """
    ground = _ground(city, ground)
    draw = rng(city.seed if seed is None else seed, "guf")
    roof = city.surfaces["material"].str.startswith("roof_").to_numpy()[ground.objects]
    tall = np.where(roof, np.clip(ground.height / 9, 0.35, 1.5), 0).astype(np.float32)
    tree = np.where(roof, 0, np.clip(ground.height / 80, 0, 0.2)).astype(np.float32)
    echo, clutter = (_mean(a, _factor(ground, 5)) for a in (tall, tree))
    echo = _blur(echo, 9, 5) + 0.4 * _blur(clutter, 9, 5)
    rows, cols = (int(n * 5 / 12) for n in echo.shape)
    echo = echo[_nearest(rows, 12, 5, echo.shape[0])][:, _nearest(cols, 12, 5, echo.shape[1])]
    shape = echo.shape
    speckle = 0.05 * fractal(shape, draw, 1.0, 4) + 0.04 * fractal(shape, draw, 2.6, 25)
    mask = echo + speckle > 0.13
    mask = ndimage.binary_closing(mask, np.ones((3, 3)), border_value=0) | mask
    mask = _sieve(mask, 4)
    rows, cols = (n // _factor(ground, 20) for n in ground.objects.shape)
    mask = mask[_nearest(rows, 20, 12, shape[0])][:, _nearest(cols, 20, 12, shape[1])]
    return _wrap(
        mask.astype("uint8"), ground, 20, city, "GUF-like", SETTLEMENT,
        long_name="settlement", date="2011-2014",
    )  # fmt: skip


def _nearest(count, coarse, fine, limit):
    """Index of the fine pixel under the centre of each coarse one."""
    return np.minimum(((np.arange(count) + 0.5) * coarse / fine).astype(int), limit - 1)


def _sieve(mask, smallest):
    """The mask without patches of fewer pixels."""
    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    return (np.bincount(labels.ravel()) >= smallest)[labels] & mask


def ghsl(city, ground=None, seed=None):
    """GHSL-like settlement: from Landsat of 2014; misses villages, adds bare soil and water edges.

    Parameters
    ----------
    city, ground, seed
        As in `from_glc10`.

    Returns
    -------
    xarray.DataArray
        uint8, 1 settlement, 0 other, nodata 255, 20 m, dims (y, x).
    """
    ground = _ground(city, ground)
    draw = rng(city.seed if seed is None else seed, "ghsl")
    shares = _class_shares(city, ground, 20)
    shape = shares.shape[1:]
    sealed = _blur(shares[4] * (1 - 0.9 * _unfinished(city, ground, 2014, 20)), 17, 20)
    town = _blur(sealed, 300, 20)  # the learner knows towns, and little else
    trust = 1 / (1 + np.exp(-(town - 0.22) / 0.05 - 0.8 * fractal(shape, draw, 3, 60)))
    bare = _blur(shares[5], 14, 20)
    water = shares[3] > 0.5
    bank = (ndimage.binary_dilation(water, iterations=2) & ~water) * (1 - shares[3])
    patch = fractal(shape, draw, 2.4, 14)
    value = sealed * (0.35 + 0.9 * trust) + 0.8 * bare * (patch > -0.6) + 0.03 * patch
    value += 0.9 * _blur(bank, 10, 20) * (fractal(shape, draw, 2.2, 30) > 0)
    half = ndimage.zoom(value, 0.5, order=1, grid_mode=True, mode="nearest")  # 38 m pixels
    mask = (half > 0.27).repeat(2, 0).repeat(2, 1)[: shape[0], : shape[1]]
    mask = np.pad(mask, [(0, n - m) for n, m in zip(shape, mask.shape, strict=True)], "edge")
    return _wrap(
        _sieve(mask, 8).astype("uint8"), ground, 20, city, "GHSL-like", SETTLEMENT,
        long_name="settlement", date="2014",
    )  # fmt: skip


def hmgul(city, ground=None, seed=None):
    """HMGUL-like urban land: coarse; towns as smooth patches, holes filled, small places dropped.

    Parameters
    ----------
    city, ground, seed
        As in `from_glc10`.

    Returns
    -------
    xarray.DataArray
        uint8, 1 settlement, 0 other, nodata 255, 20 m, dims (y, x).
    """
    ground = _ground(city, ground)
    draw = rng(city.seed if seed is None else seed, "hmgul")
    shares = _class_shares(city, ground, 20)
    sealed = shares[4] * (1 - 0.9 * _unfinished(city, ground, 2015, 20))
    shape = sealed.shape
    field = _blur(sealed, 30, 20) + 0.07 * fractal(shape, draw, 2.6, 20, smallest=3)
    field += 0.05 * fractal(shape, draw, 3, 120)
    rows, cols = (int(n * 20 / 30) for n in shape)
    coarse = field[_nearest(rows, 30, 20, shape[0])][:, _nearest(cols, 30, 20, shape[1])] > 0.42
    coarse = ndimage.binary_opening(
        ndimage.binary_closing(coarse, np.ones((3, 3))), np.ones((2, 2))
    )
    coarse = _sieve(coarse, 60)  # 5 ha
    coarse = ~_sieve(~coarse, 60)
    mask = coarse[_nearest(shape[0], 20, 30, rows)][:, _nearest(shape[1], 20, 30, cols)]
    return _wrap(
        mask.astype("uint8"), ground, 20, city, "HMGUL-like", SETTLEMENT,
        long_name="urban land", date="2015",
    )  # fmt: skip


def osm_buildings(city, seed=None):
    """OpenStreetMap-like buildings: complete in the centre, patchy outside, a little displaced.

    Outside, whole patches are mapped or not, as volunteers and imports leave them; small houses are
    missed more often. Footprints of a patch are displaced together by some 2 m, as the image that
    they were drawn from was, and each by some decimetres more (Fan et al. 2014, Int. J. Geogr. Inf.
    Sci. 28, 700, measure 4 m on average in Munich and a high completeness).

    Parameters
    ----------
    city, seed
        As in `from_glc10`.

    Returns
    -------
    geopandas.GeoDataFrame
        ``geometry`` and, for a third of the buildings, ``levels``; the index is that of
        ``city.buildings``, for scoring.
    """
    draw = rng(city.seed if seed is None else seed, "osm_buildings")
    houses = city.buildings
    west, south, east, north = city.bounds
    cell = 50.0
    shape = (max(4, int((north - south) / cell)), max(4, int((east - west) / cell)))
    at = shapely.get_coordinates(shapely.centroid(houses.geometry.values))
    row = np.clip(((north - at[:, 1]) / cell).astype(int), 0, shape[0] - 1)
    col = np.clip(((at[:, 0] - west) / cell).astype(int), 0, shape[1] - 1)
    area = houses.area.to_numpy()
    centre = np.array([city.place.get("x") or (west + east) / 2,
                       city.place.get("y") or (south + north) / 2])  # fmt: skip
    radius = city.place.get("radius_m") or 0.36 * (east - west)
    out = np.hypot(*(at - centre).T) / radius
    patch = fractal(shape, draw, 2.6, 1200 / cell)[row, col]
    # the field has mean 0 and deviation 1: nearly all at the centre, a third beyond the edge
    mapped = patch > -2.6 + 3.0 * np.clip(out, 0, 1) ** 1.5 - 0.25 * np.log(area / 150)
    mapped &= draw.random(len(houses)) > 0.03 + 0.07 * np.clip(out, 0, 1)
    shift = [2.0 * fractal(shape, draw, 3.0, 1500 / cell)[row, col] for _ in range(2)]
    shift = np.stack(shift, 1) + 0.4 * draw.standard_normal((len(houses), 2))
    keep = np.flatnonzero(mapped)
    points, owner = shapely.get_coordinates(houses.geometry.values[keep], return_index=True)
    geometry = shapely.set_coordinates(
        houses.geometry.values[keep].copy(), np.round(points + shift[keep][owner], 2)
    )
    levels = houses["storeys"].where(draw.random(len(houses)) < 0.33).iloc[keep]
    result = gpd.GeoDataFrame({"levels": levels}, geometry=geometry, crs=houses.crs)
    result.index = houses.index[keep]
    result.attrs = {
        "simulated": True, "seed": int(city.seed), "scene_version": VERSION,
        "title": "OpenStreetMap-like buildings (simulated)", "date": "2019", "licence": "MIT",
    }  # fmt: skip
    return result
