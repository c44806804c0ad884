"""What does Sentinel-2 see of a city, in three seasons?"""

import numpy as np
from scipy import ndimage

from toolkit.scene import light, materials, optical
from toolkit.scene.noise import fractal, rng

BANDS_10M = ("B2", "B3", "B4", "B8")
BANDS_20M = ("B5", "B6", "B7", "B8A", "B11", "B12")

# The air on each date: aerosol optical depth at 550 nm and cloud cover. The Sichuan basin's haze
# has a yearly mean of 0.5-0.7 and clear days of 0.2-0.3 (Luo et al. 2014, Atmos. Environ. 95, 44);
# composites keep the clear days, so we take those.
HAZE = {"spring": 0.28, "summer": 0.22, "autumn": 0.34}
COVER = {"spring": 0.003, "summer": 0.006, "autumn": 0.004}

# Blur beyond the pixel's own box, so that the modulation at the Nyquist frequency is about 0.28
# in a 10 m band (0.15-0.30 required; ESA, Sentinel-2 User Handbook, 2015): 0.64 x 0.44.
BLUR = 0.41
# Noise: reference radiance over signal-to-noise ratio (142-174 at 10 m, Handbook table 1.2), as
# reflectance.
NOISE = 0.0011
# Radiometric gain differs from date to date; 3 % is the mission's goal, 5 % its requirement.
GAIN = 0.02


def scene(city, season="summer", seed=None, resolution=10, ground=None):
    """Top-of-atmosphere image of a city, ten bands.

    Materials are rasterised at 2.5 m and averaged, so that pixels mix; then come slopes, shadows,
    air, a few thin clouds with their shadows, the sensor's blur, gain and noise.

    Parameters
    ----------
    city : City
        As `toolkit.scene.cities.make` returns it.
    season : {"spring", "summer", "autumn"}
        2017-04-15, 2017-08-05, 2017-10-25.
    seed : int, optional
        Of the air, clouds and noise; the city's by default.
    resolution : {10, 20, "native"}
        10 repeats the six 20 m bands, 20 averages the four 10 m bands, ``"native"`` keeps both
        grids as a dictionary ``{10: ..., 20: ...}``.
    ground : Ground, optional
        ``optical.ground(city, 2.5)``, made once for several seasons.

    Returns
    -------
    xarray.DataArray or dict
        (band, y, x) uint16, reflectance x 10000, nodata 0.

    Raises
    ------
    KeyError
        Unknown season.
    ValueError
        Another resolution.

    Examples
    --------
    >>> from toolkit.scene import cities, sentinel2
    >>> image = sentinel2.scene(cities.make(seed=1), "summer")  # doctest: +SKIP
    """
    if season not in optical.DATES:
        raise KeyError(f"unknown season {season!r}; choose one of {', '.join(optical.DATES)}")
    if resolution not in (10, 20, "native"):
        raise ValueError(f'resolution is {resolution!r}; choose 10, 20 or "native"')
    seed = city.seed if seed is None else seed
    draw = rng(seed, f"sentinel2 {season}")
    date = optical.DATES[season]
    sun = light.sun(city, date)
    bands = materials.BANDS

    fine = optical.ground(city, 2.5) if ground is None else ground
    shade = light.shadow(fine.height, sun, 2.5)
    image = optical.mix(fine, shade, optical.signatures(city, season, bands), 4, bands)
    shape = image.shape[1:]
    # noise of single plants and slabs averages out within a pixel, patches of 20-60 m do not
    patches = optical.texture(city, fine, 4) * fractal(shape, draw, beta=1.2, scale=8)
    image *= 1 + patches + 0.025 * fractal(shape, draw, beta=2.0, scale=150)
    np.clip(image, 0.001, None, out=image)
    light.observe(
        image,
        bands,
        city,
        fine.bounds,
        sun,
        HAZE[season],
        draw,
        COVER[season],
        size=900,
        thick=0.45,
    )
    gain = 1 + GAIN * draw.standard_normal() + 0.005 * draw.standard_normal(len(bands))
    image *= gain.astype(np.float32)[:, None, None]

    pick = [bands.index(b) for b in BANDS_10M]
    sharp = _sense(image[pick], draw)
    pick = [bands.index(b) for b in BANDS_20M]
    broad = image[pick].reshape(len(pick), shape[0] // 2, 2, shape[1] // 2, 2).mean(axis=(2, 4))
    broad = _sense(broad, draw)

    def wrap(array, names, pixel):
        return optical.georeference(
            array,
            names,
            fine.bounds,
            pixel,
            city,
            title=f"Sentinel-2, {season} (simulated)",
            long_name="top-of-atmosphere reflectance",
            units="reflectance x 10000",
            scale_factor_reflectance=1e-4,
            sensor="Sentinel-2 MSI (simulated)",
            date=date,
            season=season,
            sun_azimuth=sun.azimuth,
            sun_elevation=sun.elevation,
            licence="MIT",
        )

    if resolution == "native":
        return {10: wrap(sharp, BANDS_10M, 10), 20: wrap(broad, BANDS_20M, 20)}
    if resolution == 10:
        broad = broad.repeat(2, axis=1).repeat(2, axis=2)
    else:
        blocks = sharp.reshape(4, shape[0] // 2, 2, shape[1] // 2, 2).astype(np.float32)
        sharp = np.rint(blocks.mean(axis=(2, 4))).astype(np.uint16)
    layers = dict(zip((*BANDS_10M, *BANDS_20M), (*sharp, *broad), strict=True))
    return wrap(np.stack([layers[b] for b in bands]), bands, resolution)


def _sense(image, draw):
    """Blur, add noise, count."""
    blurred = ndimage.gaussian_filter(image, (0, BLUR, BLUR), mode="nearest")
    noise = draw.standard_normal(image.shape, dtype=np.float32)
    return optical.digital(blurred + np.float32(NOISE) * noise)
