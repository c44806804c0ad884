"""What does a mosaic of small satellites see of a city, at 3 m?"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from toolkit.scene import light, optical
from toolkit.scene.noise import fractal, rng

BANDS = {"blue": "B2", "green": "B3", "red": "B4", "nir": "B8"}
"""Planet's bands, and Sentinel-2's that stand for them."""


class Tile(NamedTuple):
    """One date of the mosaic: local solar hour, aerosol depth at 550 nm, share under cloud."""

    date: str
    hour: float
    haze: float
    cover: float


# PlanetScope crosses between 9:30 and 11:30 (Planet, Imagery Product Specification, 2018). A
# season's mosaic takes the clearest scene of each place, so dates, sun and haze differ.
TILES = (
    Tile("2017-08-05", 10.4, 0.18, 0.01),
    Tile("2017-07-12", 9.8, 0.42, 0.04),
    Tile("2017-09-16", 11.1, 0.22, 0.0),
    Tile("2017-06-08", 10.2, 0.30, 0.02),
)

# Doves differ from one another by 5-6 % in a band (Leach et al. 2019, Remote Sens. 11, 1024, before
# normalisation to Sentinel-2); with the season and the air this makes the steps between tiles.
GAIN = 0.05
# Blur beyond the pixel's own box: the ground sample is 3.7 m, resampled to 3 m, and the modulation
# at the Nyquist frequency about 0.1 = 0.64 x 0.17.
BLUR = 0.6
NOISE = 0.0025  # reflectance; signal to noise about 60 at a reflectance of 0.15

MASK = (
    {"value": 0, "name": "Clear", "color": "#009e73"},
    {"value": 1, "name": "Cloud", "color": "#56b4e9"},
    {"value": 2, "name": "Cloud shadow", "color": "#0072b2"},
)


def seams(city, shape):
    """Which tile each pixel comes from: two strips, each cut once.

    Parameters
    ----------
    city : City
        The city, as `city.make` returns it.
    shape : tuple of int
        Rows and columns.

    Returns
    -------
    numpy.ndarray
        uint8 (y, x), 0 to 3: position in `TILES`.
    """
    draw = rng(city.seed, "planet seams")
    rows = np.linspace(0, 1, shape[0], dtype=np.float32)[:, None]
    cols = np.linspace(0, 1, shape[1], dtype=np.float32)[None]
    # a sun-synchronous track leans some ten degrees west on its way south
    lean = np.tan(np.radians(draw.uniform(8, 12)))
    middle, left, right = 0.5 + 0.08 * draw.uniform(-1, 1, 3) + (0.0, -0.14, 0.14)
    east = cols + lean * (rows - 0.5) > middle
    below = rows - lean * cols > np.where(east, right, left) - lean / 2
    return (2 * east + below).astype(np.uint8)


def mosaic(city, tiles=TILES, seed=None):
    """Four-band mosaic at 3 m, from tiles of different dates, with its cloud mask.

    Parameters
    ----------
    city : City
        As `toolkit.scene.cities.make` returns it.
    tiles : sequence of Tile
        Four of them.
    seed : int, optional
        Of air, clouds, gains and noise; the city's by default.

    Returns
    -------
    image : xarray.DataArray
        (band, y, x) uint16, top-of-atmosphere reflectance x 10000, nodata 0.
    mask : xarray.DataArray
        (y, x) uint8: 0 clear, 1 cloud, 2 cloud shadow, 255 nodata.

    Raises
    ------
    ValueError
        Not four tiles.

    Examples
    --------
    >>> from toolkit.scene import cities, planet
    >>> image, mask = planet.mosaic(cities.make(seed=1))  # doctest: +SKIP
    """
    if len(tiles) != 4:
        raise ValueError(f"the mosaic has four tiles, got {len(tiles)}")
    seed = city.seed if seed is None else seed
    west, south, east, north = city.bounds
    shape = round((north - south) / 3), round((east - west) / 3)
    origin = seams(city, shape)
    image = np.zeros((4, *shape), np.uint16)
    mask = np.full(shape, 255, np.uint8)
    for number, tile in enumerate(tiles):
        where = origin == number
        part = ndimage.find_objects(where.astype(np.uint8))[0]
        bounds = (
            west + 3 * part[1].start,
            north - 3 * part[0].stop,
            west + 3 * part[1].stop,
            north - 3 * part[0].start,
        )
        draw = rng(seed, f"planet tile {number}")
        seen, flags = _tile(city, bounds, tile, draw)
        image[(slice(None), *part)] = np.where(where[part], seen, image[(slice(None), *part)])
        mask[part] = np.where(where[part], flags, mask[part])
    about = {
        "sensor": "PlanetScope (simulated)",
        "date": f"{min(t.date for t in tiles)} to {max(t.date for t in tiles)}",
        "dates": ", ".join(t.date for t in tiles),
        "licence": "MIT",
    }
    image = optical.georeference(
        image,
        list(BANDS),
        city.bounds,
        3.0,
        city,
        title="Planet-like mosaic of four dates (simulated)",
        long_name="top-of-atmosphere reflectance",
        units="reflectance x 10000",
        cloudy=round(float((mask > 0).mean()), 4),
        **about,
    )
    mask = optical.georeference(
        mask,
        None,
        city.bounds,
        3.0,
        city,
        nodata=255,
        title="Clouds in the Planet-like mosaic (simulated)",
        long_name="cloud mask",
        units="class",
        classes=[dict(c) for c in MASK],
        **about,
    )
    return image, mask


def _tile(city, bounds, tile, draw):
    """One date of a part of the city: digital numbers and cloud mask."""
    bands = list(BANDS.values())
    sun = light.sun(city, tile.date, tile.hour)
    fine = optical.ground(city, 1.5, bounds)
    shade = light.shadow(fine.height, sun, 1.5)
    image = optical.mix(fine, shade, optical.signatures(city, tile.date, bands), 2, bands)
    shape = image.shape[1:]
    patches = optical.texture(city, fine, 2)
    del fine, shade
    image *= 1 + patches * fractal(shape, draw, beta=1.0, scale=20)
    np.clip(image, 0.001, None, out=image)
    image, cloud, dim = light.observe(
        image, bands, city, bounds, sun, tile.haze, draw, tile.cover, size=1400
    )
    gain = 1 + GAIN * draw.standard_normal() + 0.02 * draw.standard_normal(len(bands))
    image *= gain.astype(np.float32)[:, None, None]
    image = ndimage.gaussian_filter(image, (0, BLUR, BLUR), mode="nearest")
    image += np.float32(NOISE) * draw.standard_normal(image.shape, dtype=np.float32)
    flags = np.where(cloud > 0.1, 1, np.where(dim > 0.15, 2, 0)).astype(np.uint8)
    return optical.digital(image), flags
