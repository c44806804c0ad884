"""Where is the sun, what lies in shadow, and what does the air do to the light?

Simplified: no light is reflected from one surface to another (a constant share of it is added to
the light in shadows); air scatters once; light from neighbouring pixels (adjacency) is left out;
clouds are flat sheets at one height; a hill throws no shadow, though its slopes are dimmer.
"""

from datetime import date as Date
from typing import NamedTuple

import numpy as np
from rasterio.warp import transform as warp_points
from scipy import ndimage

from toolkit.scene import materials, styles
from toolkit.scene.noise import fractal


def _per_band(*values):
    return dict(zip(materials.BANDS, values, strict=True))


# Share of the light that comes from the sky and from walls, so that a shadow is dark but not
# black, and bluer than the sunlit ground: clear-sky diffuse share for a visibility of about 25 km
# (6S; Vermote et al. 1997, IEEE Trans. Geosci. Remote Sens. 35, 675) plus 0.05 from walls.
DIFFUSE = _per_band(0.32, 0.26, 0.21, 0.19, 0.18, 0.17, 0.16, 0.16, 0.08, 0.07)

# Two-way transmission of gases (ozone 300 DU, 2 g/cm2 of water vapour, air mass 2.2), from the
# absorption coefficients in Vermote et al. 1997 and the band positions; rounded.
GASES = _per_band(0.99, 0.94, 0.97, 0.96, 0.95, 0.97, 0.95, 0.98, 0.97, 0.95)

# Thick cloud: bright and white, darker where water and ice absorb (King et al. 2013, IEEE Trans.
# Geosci. Remote Sens. 51, 3826: cloud reflectances in these windows); rounded.
CLOUD = _per_band(0.74, 0.74, 0.75, 0.75, 0.75, 0.75, 0.75, 0.75, 0.5, 0.35)


class Sun(NamedTuple):
    """Where the sun stands: degrees clockwise from north, degrees above the horizon."""

    azimuth: float
    elevation: float


def sun(city, date, hour=10.5):
    """Sun over the middle of a city at a local solar time.

    Parameters
    ----------
    city : City
        The city, as `city.make` returns it.
    date : str
        As ``"2017-04-15"``.
    hour : float
        Local solar time; Sentinel-2 crosses at 10:30 (ESA, User Handbook, 2015).

    Returns
    -------
    Sun
    """
    west, south, east, north = city.bounds
    middle = [(west + east) / 2], [(south + north) / 2]
    _, (latitude,) = warp_points(city.crs, "EPSG:4326", *middle)
    place = styles.sun(latitude, Date.fromisoformat(date), hour)
    return Sun(*(round(degrees, 2) for degrees in place))


def shadow(height, sun, resolution):
    """Where tall things keep the sun off.

    The upper edge of the shadow is the highest of all shifted and lowered copies of the height
    raster (Ratti and Richens 2004, Environment and Planning B 31, 297); doubling the shift each
    time takes a handful of passes.

    Parameters
    ----------
    height : array (y, x)
        Heights above the ground, m; rows run south.
    sun : Sun
        Where the sun stands.
    resolution : float
        Pixel size, m.

    Returns
    -------
    numpy.ndarray
        bool (y, x), True in shadow.
    """
    azimuth, fall = np.radians(sun.azimuth), np.tan(np.radians(sun.elevation))
    # decimetres as small integers: half the memory, twice the speed
    height = np.rint(np.asarray(height) * 10).astype(np.int16)
    edge = height.copy()
    top, step = 0.1 * float(edge.max()), 1
    while step * resolution * fall < top and step < min(edge.shape):
        down, right = round(step * np.cos(azimuth)), round(-step * np.sin(azimuth))
        to_y, at_y = _shifted(down)
        to_x, at_x = _shifted(right)
        lower = np.int16(round(10 * np.hypot(down, right) * resolution * fall))
        np.maximum(edge[to_y, to_x], edge[at_y, at_x] - lower, out=edge[to_y, to_x])
        step *= 2
    return edge > height + np.int16(3)


def _shifted(n):
    """Slices of a raster and of its copy shifted by n pixels."""
    return (
        (slice(n, None), slice(None, -n or None)) if n >= 0 else (slice(None, n), slice(-n, None))
    )


def resample(coarse, shape):
    """Stretch a coarse field over a raster of another shape, bilinearly.

    Parameters
    ----------
    coarse : array (y, x)
        The field.
    shape : tuple of int
        Rows and columns.

    Returns
    -------
    numpy.ndarray
        float32, of that shape.
    """
    result = np.asarray(coarse, np.float32)
    for axis, n in enumerate(shape):
        m = result.shape[axis]
        at = np.clip((np.arange(n) + 0.5) * m / n - 0.5, 0, m - 1)
        low = np.minimum(at.astype(int), max(m - 2, 0))
        part = (at - low).astype(np.float32)
        part = part[:, None] if axis == 0 else part
        first = result.take(low, axis)
        result = first + part * (result.take(np.minimum(low + 1, m - 1), axis) - first)
    return result


def slope_light(city, sun, bounds, shape):
    """Direct light on the slope relative to level ground, cos(incidence) / cos(zenith).

    Parameters
    ----------
    city : City
        The city, as `city.make` returns it.
    sun : Sun
        Where the sun stands.
    bounds : tuple of float
        West, south, east, north.
    shape : tuple of int
        Of the result.

    Returns
    -------
    numpy.ndarray
        float32 (y, x), 1 where level, between 0.2 and 1.8.
    """
    west, south, east, north = bounds
    land = city.elevation.sortby("y", ascending=False).sortby("x")
    y, x = land["y"].to_numpy(), land["x"].to_numpy()
    step = abs(float(x[1] - x[0]))
    southward, eastward = np.gradient(land.to_numpy().astype(np.float64), step)
    azimuth, up = np.radians(sun.azimuth), np.radians(sun.elevation)
    uphill = np.sin(azimuth) * eastward - np.cos(azimuth) * southward  # towards the sun
    light = (np.sin(up) - np.cos(up) * uphill) / np.sqrt(1 + eastward**2 + southward**2)
    rows, cols = max(2, round((north - south) / step)), max(2, round((east - west) / step))
    at_y = (y[0] - north + (np.arange(rows) + 0.5) * (north - south) / rows) / step
    at_x = (west - x[0] + (np.arange(cols) + 0.5) * (east - west) / cols) / step
    light = ndimage.map_coordinates(
        light / np.sin(up), np.meshgrid(at_y, at_x, indexing="ij"), order=1, mode="nearest"
    )
    return np.clip(resample(light, shape), 0.2, 1.8)


def atmosphere(band, sun, depth):
    """What the air adds and what it lets through, for a surface seen from straight above.

    Path reflectance by single scattering, and two-way transmission (Vermote et al. 1997); of the
    light that is scattered, air sends 0.5 forward and aerosol 0.84.

    Parameters
    ----------
    band : str
        Name as in `materials.BANDS`.
    sun : Sun
        Where the sun stands.
    depth : float or array
        Aerosol optical depth at 550 nm: 0.05 is very clear, 0.3 hazy, 0.8 a polluted basin.

    Returns
    -------
    path : float or array
        Reflectance that the air adds.
    transmission : float or array
        Share of the surface's reflectance that arrives: ``toa = path + transmission * surface``.

    Examples
    --------
    >>> from toolkit.scene import light
    >>> path, transmission = light.atmosphere("B2", light.Sun(130.0, 55.0), 0.2)
    >>> bool(0.05 < path < 0.1), bool(0.7 < transmission < 0.9)
    (True, True)
    """
    wave = materials.WAVELENGTH[band] / 1000
    # optical depth of air (Hansen and Travis 1974, Space Sci. Rev. 16, 527, eq. 2.30)
    air = 0.008569 * wave**-4 * (1 + 0.0113 * wave**-2 + 0.00013 * wave**-4)
    # Angstrom's law with the exponent 1.2 of continental aerosol (Eck et al. 1999, J. Geophys.
    # Res. 104, 31333)
    aerosol = np.asarray(depth) * (wave / 0.55) ** -1.2
    into = float(np.sin(np.radians(sun.elevation)))
    cosine = -into  # of the angle by which sunlight turns towards the sensor
    by_air = 0.75 * (1 + cosine**2)
    g = 0.65  # Henyey-Greenstein asymmetry of continental aerosol
    by_aerosol = (1 - g**2) / (1 + g**2 - 2 * g * cosine) ** 1.5
    path = GASES[band] * (air * by_air + 0.93 * aerosol * by_aerosol) / (4 * into)
    lost = 0.5 * air + (1 - 0.84) * aerosol
    return path, GASES[band] * np.exp(-lost * (1 + 1 / into))


def clouds(shape, resolution, cover, sun, generator, size=1500.0, base=1200.0, thick=0.9):
    """Clouds and their shadows.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    resolution : float
        Pixel size, m.
    cover : float
        Share of the area under cloud, 0 to 0.5.
    sun : Sun
        Where the sun stands.
    generator : numpy.random.Generator
        Source of randomness, as `noise.rng` gives it.
    size : float
        Of a cloud, m.
    base : float
        Height above the ground, m; the shadow lies ``base / tan(elevation)`` away.
    thick : float
        Opacity in the middle, 0 to 1.

    Returns
    -------
    cloud, shade : numpy.ndarray
        float32 (y, x), opacity of the cloud and share of sunlight that it takes away below.
    """
    if not 0 <= cover <= 0.5:
        raise ValueError(f"cover is {cover}; give a share from 0 to 0.5")
    if cover == 0:
        return np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    # on a coarse grid that reaches beyond the image, where some of the shadows come from
    grid = max(resolution, 15.0)
    azimuth, away = np.radians(sun.azimuth), base / np.tan(np.radians(sun.elevation)) / grid
    small = [max(2, round(n * resolution / grid)) for n in shape]
    pad = int(away) + 2
    large = [n + 2 * pad for n in small]
    field = fractal(large, generator, beta=3.5, scale=3 * size / grid, smallest=0.1 * size / grid)
    field += 0.16 * fractal(large, generator, beta=2.2, scale=0.4 * size / grid, smallest=1.5)
    inside = field[pad:-pad, pad:-pad]
    edge = np.quantile(inside, 1 - cover)
    field = np.clip((field - edge + 0.08) / 0.7, 0, 1)
    field = thick * field * (2 - field)
    rows, cols = np.indices(small, dtype=np.float32) + pad
    at = [rows - np.float32(away * np.cos(azimuth)), cols + np.float32(away * np.sin(azimuth))]
    shade = 0.85 * ndimage.map_coordinates(field, at, order=1)
    return resample(field[pad:-pad, pad:-pad], shape), resample(shade, shape)


def observe(image, bands, city, bounds, sun, depth, generator, cover=0.0, **cloud_options):
    """Light the surface and look at it through the air.

    Parameters
    ----------
    image : array (band, y, x)
        Reflectance of the surface; changed in place.
    bands : sequence of str
        Names as in `materials.BANDS`.
    city : City
        For its slopes.
    bounds : tuple of float
        Of the image: west, south, east, north.
    sun : Sun
        Where the sun stands.
    depth : float
        Aerosol optical depth at 550 nm, on average: it varies by a fifth over some kilometres.
    generator : numpy.random.Generator
        Source of randomness, as `noise.rng` gives it.
    cover : float
        Share of the image under cloud.
    **cloud_options
        For `clouds`.

    Returns
    -------
    image, cloud, shade : numpy.ndarray
        Reflectance at the top of the atmosphere, opacity of clouds, light that they take away.
    """
    shape = image.shape[1:]
    resolution = (bounds[2] - bounds[0]) / shape[1]
    coarse = [max(2, round(n * resolution / 60)) for n in shape]
    haze = fractal(coarse, generator, beta=3.2, scale=4000 / 60, smallest=4)
    depth = resample(depth * np.exp(np.float32(0.2) * haze), shape)
    direct = slope_light(city, sun, bounds, shape)
    cloud, shade = clouds(shape, resolution, cover, sun, generator, **cloud_options)
    direct *= 1 - shade
    for i, band in enumerate(bands):
        path, through = atmosphere(band, sun, depth)
        image[i] *= through * (DIFFUSE[band] + (1 - DIFFUSE[band]) * direct)
        image[i] += path
        image[i] += cloud * (CLOUD[band] - image[i])
    return image, cloud, shade
