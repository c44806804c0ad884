"""How warm is the ground at noon in August, and what does Landsat 8 measure of it?

Each object settles where what it takes in equals what it gives away: sun and sky against its own
radiation, heat stored in the ground, warmed air and evaporated water (Oke et al. 2017, Urban
Climates, chapters 6 and 7). Albedo follows from the spectra of `materials` by the weights of Liang
2001 (Remote Sens. Environ. 76, 213, Landsat bands), plant cover from the NDVI (Carlson and Ripley
1997, Remote Sens. Environ. 62, 241). The radiation then passes the air:

    L = t (e B(T) + (1 - e) L_down) + L_up,

and the sensor counts it. `invert` goes the way back, so that a retrieval can be scored.

Simplified: a steady state without the morning's history; walls do not radiate and are not seen;
shadows lower the sun's share and nothing else; one wind; a Landsat band sees one wavelength, that
of its two Planck constants; the air is the same over the whole city, clear, and of one temperature.
"""

from datetime import date as Date
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from toolkit.scene import light, materials, optical
from toolkit.scene.landsat_metadata import CONSTANTS, RADIANCE, REFLECTANCE, metadata
from toolkit.scene.landsat_metadata import mtl_text as mtl_text
from toolkit.scene.noise import fractal, rng

HOUR = 10.4  # local solar time of Landsat 8's pass (10:00 to 10:25 at the equator, USGS): near noon
NEDT = 0.05  # K at 300 K, both bands in orbit (Montanaro et al. 2014, Remote Sens. 6, 11753)
# The air over each style when the satellite passes: yearly mean and half range of its temperature
# (C; hottest in late July), relative humidity, water vapour in the column (g/cm2, clear day in
# August). Rounded from the climates of Chengdu, Paris, Riyadh, Lagos, Dallas and Rome.
CLIMATE = {
    "east_asian": (20.5, 9.5, 0.60, 2.9),
    "temperate_european": (14.5, 8.5, 0.50, 2.0),
    "arid": (30.0, 10.5, 0.12, 1.5),
    "tropical_informal": (29.5, 1.5, 0.70, 4.0),
    "suburban_grid": (23.0, 10.5, 0.45, 2.8),
    "mediterranean": (20.0, 9.0, 0.45, 2.2),
}

SIGMA = 5.67e-8
HEAT = 1200.0  # of a cubic metre of air, J/(m3 K)
PSYCHROMETER = 0.66  # hPa/K

# Share of the net radiation that goes into the ground at that hour (Grimmond and Oke 1999, J. Appl.
# Meteorol. 38, 922, table 4; sheet roofs store nothing, deep water mixes), resistance of the air
# (s/m: lower over rough ground in a light wind; Oke et al. 2017, section 6.4), share of the bare
# part that is wet, and resistance of leaves or wet ground (s/m: 70 is well-watered grass, FAO 56).
_KIND = {
    "roof": (0.28, 55, 0.0, 200), "sealed": (0.36, 72, 0.02, 200), "bare": (0.30, 72, 0.15, 250),
    "plant": (0.12, 55, 0.25, 75), "water": (0.74, 120, 1.0, 0), "other": (0.2, 80, 0.5, 0),
}  # fmt: skip
_OWN = {
    "roof_concrete": (0.36, 58, 0.0, 200), "roof_metal_blue": (0.08, 46, 0.0, 200),
    "roof_metal_grey": (0.08, 46, 0.0, 200), "roof_rust": (0.10, 48, 0.0, 200),
    "roof_white": (0.12, 48, 0.0, 200), "runway": (0.44, 66, 0.0, 200),
    "concrete_paving": (0.42, 70, 0.02, 200), "sand": (0.28, 72, 0.02, 250),
    "construction_site": (0.30, 66, 0.10, 250), "rock": (0.36, 60, 0.02, 250),
    "plastic_greenhouse": (0.12, 55, 0.30, 150), "pitch_artificial": (0.10, 75, 0.0, 200),
    "cropland_rice": (0.16, 50, 0.90, 60), "reed": (0.16, 40, 0.90, 60),
    "tree_broadleaf": (0.11, 26, 0.2, 95), "tree_conifer": (0.11, 24, 0.2, 110),
    "tree_palm": (0.12, 32, 0.15, 110), "orchard": (0.13, 36, 0.2, 90),
    "shrub": (0.13, 42, 0.15, 110), "hedge": (0.12, 36, 0.15, 95),
    "grass_park": (0.14, 66, 0.25, 80), "grass_dry": (0.25, 66, 0.05, 200),
}  # fmt: skip


class Weather(NamedTuple):
    """Air, vapour and light at the pass."""

    air: float
    vapour: float
    sun: light.Sun
    sunlight: float
    sky: float
    water: float


class Air(NamedTuple):
    """What the air does to one thermal band: share it passes, and what it sends up and down."""

    transmittance: float
    up: float
    down: float


def weather(city, date="2019-08-11"):
    """Weather over a city when Landsat passes.

    Parameters
    ----------
    city : City
        Gives style and place.
    date : str
        As ``"2019-08-11"``.

    Returns
    -------
    Weather
        Air temperature (K), vapour pressure (hPa), sun, sunlight on level ground and radiation of
        the sky (W/m2; Brutsaert 1975, Water Resour. Res. 11, 742), column water vapour (g/cm2).
    """
    mean, half, humidity, water = CLIMATE[city.style.name]
    sun = light.sun(city, date, HOUR)
    season = np.cos(2 * np.pi * (Date.fromisoformat(date).timetuple().tm_yday - 205) / 365)
    season = -season if city.style.latitude < 0 else season
    air = 273.15 + mean + half * season
    vapour = humidity * float(_saturation(air))
    height = np.sin(np.radians(sun.elevation))
    # 1361 W/m2 above the air; 0.72 of it arrive from overhead through a hazy, humid sky
    sunlight = 1361 * height * 0.72 ** (1 / height**0.7)
    sky = 1.24 * (vapour / air) ** (1 / 7) * SIGMA * air**4
    return Weather(air, vapour, sun, float(sunlight), float(sky), water)


def _saturation(kelvin):
    """Saturation vapour pressure, hPa (Magnus form, FAO 56 equation 11)."""
    celsius = kelvin - 273.15
    return 6.108 * np.exp(17.27 * celsius / (celsius + 237.3))


def balance(albedo, cover, emissivity, ground, air, wet, leaf, sunlight, sky, warm, vapour):
    """Temperature at which a surface gives away as much as it takes in.

    Parameters
    ----------
    albedo, cover, emissivity : array
        Of the surface; `cover` is the share under plants.
    ground : array
        Share of the net radiation that is stored.
    air, leaf : array
        Resistances, s/m.
    wet : array
        Share of the part without plants that evaporates.
    sunlight, sky : float
        W/m2.
    warm, vapour : float
        Air temperature (K) and vapour pressure (hPa).

    Returns
    -------
    numpy.ndarray
        Kelvin.

    Examples
    --------
    >>> dry = balance(0.1, 0.0, 0.95, 0.35, 70.0, 0.0, 200.0, 800.0, 420.0, 303.0, 25.0)
    >>> bool(15 < dry - 303 < 25)
    True
    """
    wet = cover + (1 - cover) * wet
    steam = wet * HEAT / PSYCHROMETER / (air + leaf)
    kelvin = np.full(np.broadcast(albedo, cover, emissivity).shape, warm + 5.0)
    for _ in range(8):  # Newton's method; the balance is almost straight
        net = (1 - albedo) * sunlight + emissivity * (sky - SIGMA * kelvin**4)
        full = _saturation(kelvin)
        excess = (1 - ground) * net - HEAT * (kelvin - warm) / air - steam * (full - vapour)
        slope = 4098 * full / (kelvin - 273.15 + 237.3) ** 2
        fall = (1 - ground) * 4 * emissivity * SIGMA * kelvin**3 + HEAT / air + steam * slope
        kelvin = kelvin + excess / fall
    return kelvin


def _properties(city, date):
    """Of each object: albedo, plant cover, emissivity, storage, resistances, wetness."""
    bands = ("B2", "B4", "B8A", "B11", "B12")
    spectra = optical.signatures(city, date, bands).astype(np.float64)
    albedo = spectra @ np.array([0.356, 0.130, 0.373, 0.085, 0.072]) - 0.0018
    red, infrared = spectra[:, 1], spectra[:, 2]
    ndvi = (infrared - red) / (infrared + red)
    material = city.surfaces["material"].astype(str)
    plant = material.map(materials.KINDS).eq("plant").to_numpy()
    cover = np.where(plant, np.clip((ndvi - 0.1) / (0.88 - 0.1), 0, 1) ** 2, 0)
    rows = {m: _OWN.get(m, _KIND[materials.KINDS[m]]) for m in material.unique()}
    ground, air, wet, leaf = (material.map({m: r[k] for m, r in rows.items()}) for k in range(4))
    emissivity = material.map({m: np.mean([*e.values()]) for m, e in materials.EMISSIVITY.items()})
    columns = (albedo, cover, emissivity, ground, air, wet, leaf)
    return [np.asarray(c, float) for c in columns]


def _ground(city, ground, resolution):
    """A fine raster cut to whole pixels of the resolution, and how many fit along their side."""
    ground = optical.ground(city, 5) if ground is None else ground
    factor = round(resolution / ground.resolution)
    if factor < 1 or abs(factor * ground.resolution - resolution) > 1e-6:
        raise ValueError(
            f"resolution is {resolution} m; give a multiple of {ground.resolution} m, the pixel "
            "size of the ground."
        )
    rows, cols = (n // factor * factor for n in ground.objects.shape)
    west, _, _, north = ground.bounds
    size = ground.resolution
    bounds = (west, north - rows * size, west + cols * size, north)
    cut = ground.objects[:rows, :cols], ground.height[:rows, :cols]
    return optical.Ground(bounds, size, *cut), factor


def _mean(fine, factor):
    rows, cols = (n // factor for n in fine.shape)
    return fine.reshape(rows, factor, cols, factor).mean(axis=(1, 3), dtype=np.float64)


def surface_temperature(city, date="2019-08-11", resolution=30, ground=None):
    """True temperature of the surface.

    Above the balance of each object lies the air: warmer over built-up land (daytime heat islands
    of the air reach 1 to 3 K; Oke et al. 2017, chapter 7), cooler over parks (0.9 K by day; Bowler
    et al. 2010, Landsc. Urban Plan. 97, 147) and water, 6.5 K cooler for each kilometre upwards,
    and uneven by some tenths of a kelvin.

    Parameters
    ----------
    city : City
        As `toolkit.scene.cities.make` returns it.
    date : str
        Sets sun, weather and crops.
    resolution : float
        Pixel size, metres; a multiple of the ground's.
    ground : optical.Ground, optional
        Made once for several layers; at 5 m where left out.

    Returns
    -------
    xarray.DataArray
        float32, kelvin, dims (y, x): fourth root of the mean fourth power over the pixel.

    Examples
    --------
    >>> from toolkit.scene import cities, thermal
    >>> town = cities.make(seed=1, size=2400)
    >>> bool(295 < thermal.surface_temperature(town).mean() < 325)
    True
    """
    ground, factor = _ground(city, ground, resolution)
    now = weather(city, date)
    own = _properties(city, date)
    shade = [
        balance(*own, now.sunlight * part, now.sky, now.air, now.vapour).astype(np.float32)
        for part in (0.22, 1.0)
    ]
    dark, bright = (table[ground.objects] for table in shade)
    lit = ~light.shadow(ground.height, now.sun, ground.resolution)
    slope = light.slope_light(city, now.sun, ground.bounds, ground.objects.shape)
    fine = dark + (bright - dark) * lit * slope
    mean = _mean(fine**4, factor) ** 0.25 + _air(city, ground, factor, resolution)
    return optical.georeference(
        mean.astype(np.float32),
        None,
        ground.bounds,
        resolution,
        city,
        np.nan,
        title="Surface temperature (simulated truth)",
        long_name="surface temperature",
        units="K",
        date=date,
        air_temperature=round(now.air, 2),
    )


def _air(city, ground, factor, resolution):
    """Departure of the air temperature from that of the place, kelvin."""
    cover = city.surfaces["material"].map(materials.COVER).to_numpy()

    def share(classes, metres):
        field = _mean(np.isin(cover, classes)[ground.objects], factor)
        return ndimage.gaussian_filter(field, metres / resolution, mode="nearest")

    warmth = 1.6 * share([5], 700) + 0.9 * share([5], 150)
    cool = 0.9 * share([2, 3], 160) + 1.0 * share([4], 120)
    shape = warmth.shape
    height = light.resample(city.elevation.sortby("y", ascending=False).to_numpy(), shape)
    draw = rng(city.seed, "surface temperature")
    uneven = 0.35 * fractal(shape, draw, 3, scale=1500 / resolution)
    uneven += 0.15 * fractal(shape, draw, 1.5, scale=200 / resolution)
    return warmth - cool - 0.0065 * (height - np.median(height)) + uneven


def emissivity(city, resolution=30, ground=None):
    """True emissivity in both thermal bands.

    Parameters
    ----------
    city, resolution, ground
        As in `surface_temperature`.

    Returns
    -------
    xarray.DataArray
        float32, dims (band, y, x), bands ``B10`` and ``B11``.
    """
    ground, factor = _ground(city, ground, resolution)
    tables = [
        city.surfaces["material"].map({m: e[b] for m, e in materials.EMISSIVITY.items()})
        for b in CONSTANTS
    ]
    layers = [_mean(t.to_numpy(np.float32)[ground.objects], factor) for t in tables]
    return optical.georeference(
        np.stack(layers).astype(np.float32),
        ["B10", "B11"],
        ground.bounds,
        resolution,
        city,
        np.nan,
        title="Emissivity (simulated truth)",
        long_name="emissivity",
        units="1",
    )


def planck(kelvin, band):
    """Radiance of a black body in band 10 or 11, W m-2 sr-1 um-1."""
    first, second = CONSTANTS[band]
    return first / np.expm1(second / kelvin)


def brightness(radiance, band):
    """Temperature of the black body that sends a radiance in band 10 or 11, kelvin.

    Examples
    --------
    >>> round(float(brightness(planck(300.0, 10), 10)), 6)
    300.0
    """
    first, second = CONSTANTS[band]
    return second / np.log(first / radiance + 1)


def atmosphere(city, date="2019-08-11"):
    """What the air does to both thermal bands.

    Transmittance falls with the water vapour in the column, by the linear fits of Rozenstein et al.
    2014 (Sensors 14, 5768) to MODTRAN's mid-latitude summer, which end at about 3 g/cm2 and are
    stretched to 4 for the tropics. The air sends what it takes, at its mean temperature (Qin et al.
    2001, Int. J. Remote Sens. 22, 3719, mid-latitude summer): upwards along the vertical, downwards
    along the slanted path that stands for all directions, 1.66 times as long.

    Parameters
    ----------
    city, date
        As in `weather`.

    Returns
    -------
    dict of int to Air
        For bands 10 and 11.
    """
    now = weather(city, date)
    mean = 16.0110 + 0.92621 * now.air
    result = {}
    for band, slope, start in ((10, -0.1146, 1.0286), (11, -0.1568, 1.0083)):
        passed = min(start + slope * now.water, 0.98)
        glow = float(planck(mean, band))
        result[band] = Air(passed, (1 - passed) * glow, (1 - passed**1.66) * glow)
    return result


def forward(kelvin, emissivity, air, band):
    """Radiance above the air of a surface, W m-2 sr-1 um-1."""
    leaving = emissivity * planck(kelvin, band) + (1 - emissivity) * air.down
    return air.transmittance * leaving + air.up


def invert(radiance, emissivity, air, band):
    """Surface temperature from the radiance above the air: `forward`, solved for it."""
    leaving = (radiance - air.up) / air.transmittance
    return brightness((leaving - (1 - emissivity) * air.down) / emissivity, band)


def landsat8(
    city, date="2019-08-11", noise=1.0, footprint=100.0, stray_light=0.0, ground=None, seed=None
):
    """Landsat 8 image of a city: red, near infrared and both thermal bands.

    Parameters
    ----------
    city, date
        As in `surface_temperature`.
    noise : float
        Multiplies the noise of all bands; 0 for a test that must close.
    footprint : float
        Width of what a thermal detector sees, metres: 100, delivered in pixels of 30. With 0 the
        thermal bands are as sharp as the truth.
    stray_light : float
        Radiance that reaches band 11 from outside the view, W m-2 sr-1 um-1. Before 2017 it was
        0.5 (4.4 K at 300 K; Barsi et al. 2014, Remote Sens. 6, 11607); it varies across the track.
    ground : optical.Ground, optional
        Made once for several layers.
    seed : int, optional
        Of air and noise; the city's where left out.

    Returns
    -------
    xarray.DataArray
        uint16 counts, dims (band, y, x), bands ``B4``, ``B5``, ``B10``, ``B11``, nodata 0.
        ``attrs["mtl"]`` has the metadata, which `mtl_text` prints; ``attrs["atmosphere"]`` the
        transmittance, upward and downward radiance of both bands, which a real scene lacks.

    Examples
    --------
    >>> from toolkit.scene import cities, thermal
    >>> image = thermal.landsat8(cities.make(seed=1, size=2400))
    >>> image.sizes["band"], image.attrs["mtl"]["K1_CONSTANT_BAND_10"]
    (4, 774.8853)
    """
    seed = city.seed if seed is None else seed
    draw = rng(seed, f"landsat8 {date}")
    ground, factor = _ground(city, ground, 30)
    now, air = weather(city, date), atmosphere(city, date)
    shade = light.shadow(ground.height, now.sun, ground.resolution)
    bands = ("B4", "B8A")  # of Sentinel-2, nearest to Landsat's red and near infrared
    image = optical.mix(ground, shade, optical.signatures(city, date, bands), factor, bands)
    light.observe(image, bands, city, ground.bounds, now.sun, 0.22, draw)
    grain = draw.standard_normal(image.shape, dtype=np.float32)
    image += 0.0007 * noise * grain  # SNR 230-260 (Morfitt et al. 2015, Remote Sens. 7, 2208)
    height = np.sin(np.radians(now.sun.elevation))
    layers = list((image * height - REFLECTANCE[1]) / REFLECTANCE[0])

    kelvin = surface_temperature(city, date, 30, ground).to_numpy().astype(np.float64)
    shine = emissivity(city, 30, ground).to_numpy().astype(np.float64)
    ramp = np.linspace(0.7, 1.3, kelvin.shape[1])
    for band, shining in zip(CONSTANTS, shine, strict=True):
        seen = forward(kelvin, shining, air[band], band)
        # a blur of this full width at half maximum
        seen = ndimage.gaussian_filter(seen, footprint / 30 / 2.355, mode="nearest")
        step = float(planck(300.5, band) - planck(299.5, band)) * NEDT
        seen += noise * step * draw.standard_normal(seen.shape)
        seen += stray_light * ramp * (band == 11)
        layers.append((seen - RADIANCE[1]) / RADIANCE[0])
    counts = np.clip(np.rint(layers), 1, 65535).astype(np.uint16)
    return optical.georeference(
        counts,
        ["B4", "B5", "B10", "B11"],
        ground.bounds,
        30,
        city,
        title="Landsat 8 (simulated)",
        long_name="digital number",
        units="count",
        sensor="Landsat 8 OLI/TIRS (simulated)",
        date=date,
        licence="MIT",
        mtl=metadata(city, date, HOUR, now.sun, ground.bounds, counts.shape[1:]),
        atmosphere={f"B{b}": dict(a._asdict()) for b, a in air.items()},
    )
