"""What does Gaofen-2 see of a city's core, pan-sharpened to 0.8 m?"""

import numpy as np
from scipy import ndimage

from toolkit.scene import details, light, materials, optical, traffic
from toolkit.scene.noise import fractal, rng

BANDS = {"blue": "B2", "green": "B3", "red": "B4", "nir": "B8"}
"""Gaofen-2's bands, and Sentinel-2's that stand for them."""

RESOLUTION = 0.8
DATE, HOUR = "2017-08-05", 10.8
# Gaofen-2: 0.8 m panchromatic, 3.2 m multispectral at nadir (CRESDA); modulation at the Nyquist
# frequency about 0.15 panchromatic = 0.64 x 0.23.
BLUR = 0.55
NOISE = 0.002
HAZE = 0.25
# Share of each band in the panchromatic one (0.45-0.90 micrometres).
PAN = (0.18, 0.24, 0.26, 0.32)


def core(city, size=4000.0):
    """Bounds of a square around the middle of a city, whole pixels of 0.8 m.

    Parameters
    ----------
    city : City
        The city, as `city.make` returns it.
    size : float
        Side, m.

    Returns
    -------
    tuple of float
        West, south, east, north.
    """
    west, south, east, north = city.bounds
    x, y = city.place.get("x", (west + east) / 2), city.place.get("y", (south + north) / 2)
    left = west + round(float(np.clip(x - size / 2 - west, 0, east - west - size)) / 4) * 4
    low = south + round(float(np.clip(y - size / 2 - south, 0, north - south - size)) / 4) * 4
    return left, low, left + size, low + size


def image(city, bounds=None, date=DATE, seed=None):
    """Pan-sharpened four-band image at 0.8 m.

    Roofs get ridges, panels, parapets and equipment; roads get lines and cars; trees get crowns;
    fields get rows. Heights cast shadows. The panchromatic band is then sharpened into the
    four bands of 3.2 m, so that colours bleed a little over edges as they do in the real product.

    Parameters
    ----------
    city : City
        As `toolkit.scene.cities.make` returns it.
    bounds : tuple of float, optional
        West, south, east, north, a multiple of 3.2 m; the inner 4 km x 4 km by default.
    date : str
        Decides sun and leaves.
    seed : int, optional
        Of air and noise; the city's by default.

    Returns
    -------
    xarray.DataArray
        (band, y, x) uint16, top-of-atmosphere reflectance x 10000, nodata 0.

    Raises
    ------
    ValueError
        The bounds reach beyond the city, or are not a multiple of 3.2 m.

    Examples
    --------
    >>> from toolkit.scene import cities, gaofen2
    >>> patch = gaofen2.image(cities.make(seed=1))  # doctest: +SKIP
    """
    seed = city.seed if seed is None else seed
    bounds = core(city) if bounds is None else tuple(bounds)
    west, south, east, north = bounds
    if any(abs(n / 3.2 - round(n / 3.2)) > 1e-6 for n in (east - west, north - south)):
        raise ValueError(
            f"bounds {bounds} are {east - west:g} m x {north - south:g} m: give a multiple of "
            "3.2 m, the pixel of the four bands before sharpening"
        )
    draw = rng(seed, f"gaofen2 {west:.0f} {south:.0f}")
    sun = light.sun(city, date, HOUR)
    ground = optical.ground(city, RESOLUTION, bounds)
    page = details.canvas(city, ground, sun)
    for add in (
        details.roofs,
        details.crowns,
        details.fields,
        traffic.roads,
        traffic.car_parks,
    ):
        add(city, page)
    seen = _surface(city, page, date, draw)
    del page, ground  # 1 GB
    light.observe(seen, list(BANDS.values()), city, bounds, sun, HAZE, draw)
    ndimage.gaussian_filter(seen, (0, BLUR, BLUR), output=seen, mode="nearest", truncate=3)
    _sharpen(seen)
    for band in seen:
        band += np.float32(NOISE) * draw.standard_normal(band.shape, dtype=np.float32)
    return optical.georeference(
        optical.digital(seen),
        list(BANDS),
        bounds,
        RESOLUTION,
        city,
        title="Gaofen-2-like, pan-sharpened (simulated)",
        long_name="top-of-atmosphere reflectance",
        units="reflectance x 10000",
        sensor="Gaofen-2 PMS (simulated)",
        date=date,
        sun_azimuth=sun.azimuth,
        sun_elevation=sun.elevation,
        licence="MIT",
    )


def _surface(city, page, date, draw):
    """Reflectance of everything on the page, in sunlight and shadow."""
    bands = list(BANDS.values())
    objects, shape = page.ground.objects, page.ground.objects.shape
    spectra = optical.signatures(city, date, bands)
    shade = light.shadow(page.height, page.sun, RESOLUTION)
    # the edge of a shadow is soft: the sun is half a degree wide, and walls reflect
    shade = ndimage.uniform_filter(shade.astype(np.float32), 3, mode="nearest")
    rough = fractal(shape, draw, beta=1.4, scale=60)
    tone = page.tone * (1 + np.float32(1.1) * optical.texture(city, page.ground) * rough)
    del rough
    np.clip(tone, 0.15, 3.0, out=tone)
    cover = np.minimum(page.cover, 1)
    full = np.maximum(page.cover, 1)
    surface = np.empty((4, *shape), np.float32)
    for i, band in enumerate(bands):
        bare = spectra[:, i][objects] * tone
        lit = 1 - shade * (1 - optical.DIFFUSE[band])
        surface[i] = (bare * (1 - cover) + page.paint[i] / full) * lit
    water = np.zeros(256, bool)
    water[[materials.CODES[n] for n in materials.NAMES if materials.KINDS[n] == "water"]] = True
    # sun glint on ripples, a few thousandths (Cox and Munk 1954, J. Opt. Soc. Am. 44, 838)
    wet = water[page.material]
    surface[:, wet] += np.float32(0.004) * np.abs(draw.standard_normal(int(wet.sum()))).astype(
        np.float32
    )
    return np.clip(surface, 0.002, 0.95, out=surface)


def _sharpen(image):
    """Pan-sharpen in place: colour from 3.2 m, detail from the panchromatic band (Brovey)."""
    pan = np.tensordot(np.array(PAN, np.float32), image, axes=1)
    shape = pan.shape
    small = shape[0] // 4, shape[1] // 4

    def coarse(band):
        blocks = band.reshape(small[0], 4, small[1], 4).mean(axis=(1, 3))
        return light.resample(blocks, shape)

    pan /= np.maximum(coarse(pan), 1e-3)
    for band in image:
        np.multiply(coarse(band), pan, out=band)
