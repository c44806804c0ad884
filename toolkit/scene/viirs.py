"""Night lights of the region as the VIIRS day/night band would record them in a year.

The lights are built from the ground up: what each cell sends upward, how the sensor and
the air spread it, and what the composite adds. The numbers and where they come from:

- Light grows about in proportion to people. Light per head rises with the size of cities in
  the United States and falls with it in Germany (Kyba et al. 2015, doi:10.3390/rs70100001), so
  that totals follow a power law of population with an exponent on either side of 1; we take 1
  within a settlement's class and a scatter of 30 % between settlements (Levin and Zhang 2017,
  doi:10.1016/j.rse.2017.01.006, find that between countries income changes it by far more).
- Radiances of 30 to over 100 nW/cm2/sr in centres, 5 to 20 in suburbs, under 1 in the
  country are the orders of magnitude that published composites and maps show (Elvidge et al.
  2017, doi:10.1080/01431161.2017.1342050; Levin et al. 2020, doi:10.1016/j.rse.2019.111443).
  `PER_PERSON`, `ROADS` and the shares in `SPREAD` are our choices that give such values.
- The footprint is 742 m across the whole scan (Miller et al. 2013, doi:10.3390/rs5126717).
  Passes of a year fall anywhere on the 500 m grid, so a composite's spread is wider than one
  footprint: two boxes of 742 m give a standard deviation of 300 m, and the optics and the
  resampling some 200 m more.
- Light scattered in the air and by haze reaches further (overglow): a tenth of the energy over
  some kilometres; more where fog lies, in valleys and over water, which also mirrors it.
- Background: a composite of Burundi that we distribute (`catalog.open("burundi/lights")`) has
  in the dark a mean of 0.04, slow changes of 0.03 and noise of 0.02, negative values included.
  Under the clouds of a basin there are fewer clear nights: we let the noise grow to 0.06 there.

Simplified: no seasons, no view angles (the light of high buildings to the side is lost), one
lamp spectrum, no moonlight, no saturation, and lights of traffic follow road class alone.
"""

from __future__ import annotations

import numpy as np
import rasterio.features
import shapely
from affine import Affine
from scipy import ndimage

from toolkit.scene import noise
from toolkit.scene.region import raster

PER_PERSON = 0.0030
"""Radiance in nW/cm2/sr of one person to the square kilometre: 10,000 a km2 give 30."""
ROADS = {"motorway": 1.6, "national": 0.7, "provincial": 0.25}
"""Radiance a road adds to the cells it crosses, far from towns."""
SPREAD = ((0.86, 0.72), (0.09, 2.4), (0.05, 8.0))
"""Share of the energy and standard deviation (in 500 m cells) of each part of the spread."""


def emission(region):
    """Light that leaves the ground in each cell, before any spread; float32, nW/cm2/sr."""
    draw = noise.rng(region.seed, "viirs emission")
    shape, transform = region.shape, region.transform
    table = region.settlements
    share = region.built_share.values
    people = region.population.values / (transform.a / 1000) ** 2
    # Economy: each settlement is brighter or dimmer as a whole.
    luck = np.exp(0.28 * draw.standard_normal(len(table)))
    luck = np.where(table["dim"], luck * draw.uniform(0.12, 0.35, len(table)), luck)
    number = {name: index + 1 for index, name in enumerate(table["name"])}
    urban = region.built[region.built["kind"] == "urban"]
    owner = rasterio.features.rasterize(
        zip(urban.geometry, urban["settlement"].map(number), strict=True),
        shape,
        transform=transform,
        all_touched=True,
        dtype="uint16",
    )
    factor = np.append(0.45, luck)[owner]  # country people light less
    # Streets, shops and works are lit unevenly; brightest are centres and a few large sites.
    texture = np.exp(0.36 * noise.fractal(shape, draw, 1.2, scale=14) - 0.065)
    light = PER_PERSON * people * factor * texture
    works = (noise.fractal(shape, draw, 1.0, scale=6) > 2.1) & (share > 0.4) & (owner > 0)
    light += works * share * np.exp(draw.normal(np.log(18), 0.7, shape))
    light += shine(region, draw)
    return light.astype(np.float32)


def shine(region, draw):
    """Light of the roads: more near large places, where there is traffic and lamps."""
    shape, fine = region.shape, region.transform * Affine.scale(0.2)
    crowd = ndimage.gaussian_filter(region.population.values, 16)
    busy = np.clip(crowd / np.percentile(crowd, 95), 0.05, 2.5) ** 0.6
    light = np.zeros(shape)
    for kind, radiance in ROADS.items():
        lines = region.roads.geometry[region.roads["kind"] == kind]
        burnt = rasterio.features.rasterize(
            lines, (shape[0] * 5, shape[1] * 5), transform=fine, dtype="uint8"
        )
        # 500 m of road, five fine cells, fill a cell's measure.
        length = burnt.reshape(shape[0], 5, shape[1], 5).sum(axis=(1, 3)) / 5
        light += radiance * np.minimum(length, 1.5) * busy
    # Junctions, toll gates and service areas on the motorways.
    lines = region.roads.geometry[region.roads["kind"] == "motorway"].to_numpy()
    for line in lines:
        stops = np.arange(draw.uniform(5e3, 2e4), line.length, 24_000)
        points = shapely.get_coordinates(shapely.line_interpolate_point(line, stops))
        points += draw.normal(0, 300, points.shape)
        cells = np.array(~region.transform * points.T).astype(int).clip(0, shape[0] - 1)
        light[cells[1], cells[0]] += draw.uniform(2, 9, len(points))
    return light * np.exp(0.35 * noise.fractal(shape, draw, 1.2, scale=10))


def moisture(region):
    """Where fog and water spread light: 0 on dry slopes to 1 in wet valleys and over water."""
    ground = region.elevation.values
    relative = ground - ndimage.gaussian_filter(ground, 12)
    valley = 1 / (1 + np.exp((relative + 15) / 40)) * (ground < 1500)
    wide = region.rivers[region.rivers["width"] > 90]
    wet = rasterio.features.rasterize(
        [*wide.geometry, *region.lakes.geometry],
        region.shape,
        transform=region.transform,
        all_touched=True,
    )
    near = ndimage.gaussian_filter(wet.astype(np.float32), 1.5)
    return np.clip(0.6 * valley + 1.6 * near, 0, 1).astype(np.float32)


def points(light, table, transform):
    """Add point sources, each to the four cells around it in proportion to nearness."""
    xy = shapely.get_coordinates(table.geometry.to_numpy())
    col, row = np.array(~transform * xy.T) - 0.5
    left, top = np.floor(col).astype(int), np.floor(row).astype(int)
    for down in (0, 1):
        for right in (0, 1):
            part = np.abs(1 - down - (row - top)) * np.abs(1 - right - (col - left))
            np.add.at(light, (top + down, left + right), part * table["radiance"].to_numpy())


def lights(region):
    """Annual composite of the day/night band over the region.

    Parameters
    ----------
    region : toolkit.scene.region.Region
        From `region.make`.

    Returns
    -------
    xarray.DataArray
        (band, y, x), one band "radiance", float32, nW/cm2/sr, 500 m; dark cells may be a little
        below zero, as in the real composites.

    Examples
    --------
    >>> from toolkit.scene import region
    >>> lights(region.make(0)).sizes["band"]  # doctest: +SKIP
    1
    """
    light = emission(region)
    points(light, region.greenhouses, region.transform)
    points(light, region.flares, region.transform)
    damp = moisture(region)
    (core, near), *far = SPREAD
    seen = core * ndimage.gaussian_filter(light, near, truncate=4)
    for part, sigma in far:
        # Fog does not make light, but sends more of it up again: up to twice the dry overglow.
        seen += part * (0.7 + 1.3 * damp) * ndimage.gaussian_filter(light, sigma, truncate=4)
    draw = noise.rng(region.seed, "viirs background")
    shape = light.shape
    cloudy = np.clip((1400 - ndimage.gaussian_filter(region.elevation.values, 30)) / 1000, 0, 1)
    slow = 0.05 + 0.05 * cloudy + 0.03 * noise.fractal(shape, draw, 3.0, scale=300)
    grain = ndimage.gaussian_filter(draw.standard_normal(shape), 0.45)
    grain *= (0.02 + 0.04 * cloudy) / grain.std()
    # Nights differ: the mean of a year keeps 2 % of a light's own strength as noise.
    flicker = 1 + 0.02 * draw.standard_normal(shape)
    values = (seen * flicker + slow + grain).astype(np.float32)
    array = raster(
        values,
        "radiance",
        region.seed,
        title="Simulated night lights (VIIRS day/night band, annual composite)",
        long_name="radiance at night",
        units="nW/cm2/sr",
        sensor="VIIRS day/night band, simulated",
        date="2017",
        bounds=region.bounds,
        crs=region.crs,
    )
    return array.expand_dims(band=["radiance"])
