"""Which object lies in which pixel, and how bright is it on a date?

What Sentinel-2, the Planet-like mosaic and the Gaofen-2-like image share; `light` has the sun,
the shadows and the air. Simplified: every surface is Lambertian and seen from straight above.
"""

import contextlib
import gc
from dataclasses import dataclass
from datetime import date as Date

import numpy as np
import rioxarray  # noqa: F401  (registers the .rio accessor)
import shapely
import xarray as xr
from rasterio.features import rasterize
from rasterio.transform import from_origin
from scipy import ndimage, sparse

from toolkit.scene import materials, styles
from toolkit.scene.light import DIFFUSE
from toolkit.scene.noise import VERSION, fractal, rng

DATES = {season: day.isoformat() for season, day in styles.DATES.items()}
"""Acquisition dates of the three seasons."""


@dataclass
class Ground:
    """A patch of a city as a fine raster.

    Attributes
    ----------
    bounds : tuple of float
        West, south, east, north.
    resolution : float
        Pixel size, m.
    objects : numpy.ndarray
        (y, x) int32: row of ``city.surfaces`` on top.
    height : numpy.ndarray
        (y, x) float32: height of that surface above the ground, m.
    tone : numpy.ndarray or None
        (y, x) float32: brightness within a body of water, relative to its mean; 1 elsewhere.
    """

    bounds: tuple
    resolution: float
    objects: np.ndarray
    height: np.ndarray
    tone: np.ndarray | None = None


def ground(city, resolution, bounds=None, objects=None):
    """Rasterise a city's surfaces in the order in which they cover each other.

    Parameters
    ----------
    city : City
        The city, as `city.make` returns it.
    resolution : float
        Pixel size, m.
    bounds : tuple of float, optional
        West, south, east, north; the whole city by default.
    objects : array (y, x), optional
        As `truth.objects` gives them for these bounds, where they are there already.

    Returns
    -------
    Ground

    Raises
    ------
    ValueError
        The bounds reach beyond the city, or hold no whole number of pixels.
    """
    bounds = tuple(city.bounds if bounds is None else bounds)
    west, south, east, north = bounds
    inside = tuple(city.bounds)
    if west < inside[0] or south < inside[1] or east > inside[2] or north > inside[3]:
        raise ValueError(f"bounds {bounds} reach beyond the city's {inside}")
    shape = ((north - south) / resolution, (east - west) / resolution)
    if min(shape) < 1 or any(abs(n - round(n)) > 1e-6 for n in shape):
        raise ValueError(
            f"bounds {bounds} are {east - west} m x {north - south} m, which is not a whole "
            f"number of pixels of {resolution} m"
        )
    surfaces = city.surfaces
    if objects is None:
        objects = _burnt(surfaces, bounds, shape, resolution)
    height = surfaces["height"].to_numpy(np.float32)[objects]
    return Ground(bounds, resolution, objects, height, waters(city, objects, resolution))


def _burnt(surfaces, bounds, shape, resolution):
    """Row of the uppermost surface of each pixel."""
    west, south, east, north = bounds
    box = surfaces.bounds.to_numpy()
    near = (box[:, 0] < east) & (box[:, 2] > west) & (box[:, 1] < north) & (box[:, 3] > south)
    rows = np.flatnonzero(near)
    rows = rows[np.argsort(surfaces["order"].to_numpy()[rows], kind="stable")]
    with no_garbage():
        return rasterize(
            shapes(surfaces.geometry.to_numpy()[rows], rows),
            out_shape=tuple(round(n) for n in shape),
            transform=from_origin(west, north, resolution, resolution),
            fill=rows[0],
            dtype="int32",
        )


def waters(city, objects, resolution):
    """Brightness of water within its body: shallows, suspended matter in streaks, sun glint.

    Near the bank the bed shows and waves stir it up: half as bright again, gone within 25 m; matter
    in suspension changes reflectance by a tenth or so along some hundred metres (Doxaran et al.
    2002, Remote Sens. Environ. 81, 149, for turbid water); facets of waves add noise of 5 %.

    Parameters
    ----------
    city : City
        The city, as `city.make` returns it.
    objects : array (y, x)
        Row of ``city.surfaces`` in each pixel.
    resolution : float
        Pixel size, m.

    Returns
    -------
    numpy.ndarray or None
        float32 (y, x), 1 outside water; None where there is no water.
    """
    wet = (city.surfaces["material"].map(materials.COVER) == 4).to_numpy(bool)
    body = wet[objects]
    if not body.any():
        return None
    draw = rng(city.seed, "water")
    step = max(round(7.5 / resolution), 1)  # far finer than what changes here
    coarse = body[::step, ::step]
    pixel = step * resolution
    depth = ndimage.distance_transform_edt(np.pad(coarse, 1, mode="edge"))[1:-1, 1:-1] * pixel
    streaks = fractal(coarse.shape, draw, 3.0, min(900 / pixel, max(coarse.shape)))
    # Whatever the body, its mean stays near that of its material.
    level = 0.94 + 0.5 * np.exp(-depth / 12) + 0.07 * np.clip(streaks, -2.5, 2.5)
    rows, cols = (np.minimum(np.arange(n) // step, m - 1) for n, m in
                  zip(objects.shape, coarse.shape, strict=True))  # fmt: skip
    glint = 0.05 * draw.standard_normal(int(body.sum()), dtype=np.float32)
    tone = np.ones(objects.shape, np.float32)
    at = np.nonzero(body)
    tone[at] = np.clip(level[rows[at[0]], cols[at[1]]] + glint, 0.5, 1.6)
    return tone


@contextlib.contextmanager
def no_garbage():
    """Millions of small lists: looking for garbage among them takes as long as all the rest."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def shapes(geometry, values):
    """Polygons as `rasterize` takes them, without a Python object for each ring's points."""
    parts, whole = shapely.get_parts(geometry, return_index=True)
    _, points, (rings, polygons) = shapely.to_ragged_array(parts)
    points, rings, polygons = points[:, :2].tolist(), rings.tolist(), polygons.tolist()
    for first, last, value in zip(polygons, polygons[1:], values[whole].tolist(), strict=False):
        outlines = [points[rings[i] : rings[i + 1]] for i in range(first, last)]
        yield {"type": "Polygon", "coordinates": outlines}, value


def _seasons(when):
    """Shares of the three seasons' spectra on a date."""
    if when in DATES:
        return {when: 1.0}
    try:
        day = Date.fromisoformat(when).timetuple().tm_yday
    except (TypeError, ValueError):
        known = ", ".join(DATES)
        raise KeyError(f"{when!r} is neither a date (2017-08-05) nor one of {known}") from None
    days = [Date.fromisoformat(d).timetuple().tm_yday for d in DATES.values()]
    weights = {s: float(np.interp(day, days, np.eye(3)[i])) for i, s in enumerate(DATES)}
    return {s: w for s, w in weights.items() if w > 0}


def signatures(city, when, bands, seed=None):
    """Reflectance of every object of a city on a date: material, crop calendar, and chance.

    Objects of one material differ in brightness (`materials.VARIATION`), a little in colour, and
    fields in how far they are: one in eight lags far behind, or is already harvested.

    Parameters
    ----------
    city : City
        The city, as `city.make` returns it.
    when : str
        A season, or a date such as ``"2017-09-10"``, which lies between two of them.
    bands : sequence of str
        Names as in `materials.BANDS`.
    seed : int, optional
        The city's by default.

    Returns
    -------
    numpy.ndarray
        float32 (objects, bands), reflectance, in the order of ``city.surfaces``.
    """
    seed = city.seed if seed is None else seed
    surfaces = city.surfaces
    material = surfaces["material"].to_numpy()
    parcel = np.maximum(surfaces["parcel"].to_numpy(int), 0)
    shared = rng(seed, "parcel tone").standard_normal((parcel.max() + 1, 2))[parcel]
    own = rng(seed, "object tone").standard_normal((len(surfaces), 2))
    tone, hue = np.clip(0.75 * shared + 0.66 * own, -2.5, 2.5).T
    late = rng(seed, "parcel leaf")
    ahead = np.exp(0.10 * late.standard_normal(parcel.max() + 1))
    ahead = np.where(late.random(len(ahead)) < 0.12, 0.4 * ahead, ahead)[parcel]
    pick = [materials.BANDS.index(b) for b in bands]
    waves = np.array([materials.WAVELENGTH[b] for b in bands], float)
    tilt = np.clip(np.log(waves / 700) / np.log(700 / 490), -1, 1.5)  # -1 blue, 1 infrared
    result = np.empty((len(surfaces), len(bands)), np.float32)
    for name in np.unique(material.astype(str)):
        rows = np.flatnonzero(material == name)
        spread = materials.VARIATION[name]["object"]
        field = materials.COVER[name] == 1
        leaf = ahead[rows] if field else 1 + 0.3 * (ahead[rows] - 1)
        base = sum(
            share * materials.spectrum(name, season, city.style, leaf)[:, pick]
            for season, share in _seasons(when).items()
        )
        factor = np.exp(spread * tone[rows])[:, None]
        factor = factor * np.exp(0.25 * spread * hue[rows][:, None] * tilt)
        result[rows] = np.clip(base * factor, 0.003, 0.95)
    return result


def mix(ground, shade, spectra, factor, bands):
    """Average fine pixels into coarse ones, all bands at once.

    Parameters
    ----------
    ground : Ground
        The fine raster.
    shade : array (y, x) of bool
        As from `light.shadow`.
    spectra : array (objects, bands)
        As from `signatures`.
    factor : int
        Fine pixels along one side of a coarse one.
    bands : sequence of str
        For the light that is left in the shadow.

    Returns
    -------
    numpy.ndarray
        float32 (band, y, x), what the sunlit and shaded parts reflect together.
    """
    rows, cols = (n // factor for n in ground.objects.shape)
    dark = np.array([DIFFUSE[b] for b in bands], np.float32)
    both = np.concatenate([spectra, spectra * dark]).astype(np.float32)
    which = ground.objects + np.where(shade, np.int32(len(spectra)), np.int32(0))
    which = which.reshape(rows, factor, cols, factor).transpose(0, 2, 1, 3).reshape(-1)
    # one row per coarse pixel, one entry per fine pixel in it
    share = np.full(which.size, 1 / factor**2, np.float32)
    if ground.tone is not None:
        share *= ground.tone.reshape(rows, factor, cols, factor).transpose(0, 2, 1, 3).reshape(-1)
    start = np.arange(0, which.size + 1, factor**2, dtype=np.int32)
    weights = sparse.csr_matrix((share, which, start), shape=(rows * cols, len(both)))
    return np.ascontiguousarray((weights @ both).T).reshape(len(bands), rows, cols)


def texture(city, ground, factor=1):
    """Relative standard deviation of brightness within objects, averaged as `mix` does.

    Parameters
    ----------
    city : City
        The city, as `city.make` returns it.
    ground : Ground
        The fine raster.
    factor : int
        Fine pixels along one side of a coarse one.

    Returns
    -------
    numpy.ndarray
        float32 (y, x).
    """
    spread = {name: v["texture"] for name, v in materials.VARIATION.items()}
    fine = city.surfaces["material"].map(spread).to_numpy(np.float32)[ground.objects]
    if factor == 1:
        return fine
    rows, cols = (n // factor for n in fine.shape)
    return fine.reshape(rows, factor, cols, factor).mean(axis=(1, 3), dtype=np.float32)


def digital(image, scale=10000):
    """Reflectance as unsigned 16-bit numbers; 0 stays free for nodata.

    Examples
    --------
    >>> import numpy as np
    >>> from toolkit.scene import optical
    >>> optical.digital(np.array([0.1234, -0.01]))
    array([1234,    1], dtype=uint16)
    """
    return np.clip(np.rint(image * scale), 1, 65535).astype(np.uint16)


def georeference(array, bands, bounds, resolution, city, nodata=0, **attrs):
    """Wrap a simulated raster as a DataArray that says what it is.

    Parameters
    ----------
    array : array (band, y, x) or (y, x)
        The pixels.
    bands : sequence of str or None
        Names of the bands; None for (y, x).
    bounds : tuple of float
        West, south, east, north.
    resolution : float
        Pixel size, m.
    city : City
        The city, as `city.make` returns it.
    nodata : int
        Value of pixels without data.
    **attrs
        Further attributes (title, sensor, date, units, ...).

    Returns
    -------
    xarray.DataArray
    """
    west, _, _, north = bounds
    rows, cols = array.shape[-2:]
    coords = {
        "y": north - (np.arange(rows) + 0.5) * resolution,
        "x": west + (np.arange(cols) + 0.5) * resolution,
    }
    if bands is not None:
        coords = {"band": list(bands), **coords}
    result = xr.DataArray(array, dims=tuple(coords), coords=coords)
    result = result.rio.write_crs(city.crs)
    result = result.rio.write_transform(from_origin(west, north, resolution, resolution))
    result = result.rio.write_nodata(nodata)
    style = getattr(city.style, "name", city.style)
    return result.assign_attrs(
        simulated=True, seed=int(city.seed), scene_version=VERSION, style=style, **attrs
    )
