"""How is each layer of the scene made?

What several layers need (region, city, its ground at 2.5 m) is made once and kept for the next:
one of each, since a city of 12 km takes half a gigabyte.
"""

from functools import lru_cache

from toolkit.scene import (
    LAYERS,
    STYLES,
    cities,
    gaofen2,
    optical,
    planet,
    products,
    region,
    sentinel2,
    thermal,
    truth,
    viirs,
)


def make(layer, seed, style=None, size=None, **options):
    """Make a layer, and those that come with it.

    Parameters
    ----------
    layer : str
        One of ``scene.LAYERS``.
    seed : int
        Of the region or city.
    style : str, optional
        Kind of city.
    size : int, optional
        Side of the city's square, metres.
    **options
        The layer's own.

    Returns
    -------
    dict of str to DataArray or GeoDataFrame
    """
    if LAYERS[layer].of == "region":
        made = _of_region(layer, seed)
    elif layer in ("planet", "planet_mask"):
        made = dict(zip(("planet", "planet_mask"), planet.mosaic(town(seed, style, size)),
                        strict=True))  # fmt: skip
    else:
        made = _of_city(layer, (seed, style, size), options)
    return made if isinstance(made, dict) else {layer: made}


def _of_region(layer, seed):
    whole = region.make(seed)
    if layer == "viirs":
        return viirs.lights(whole)
    if layer == "from_glc30":
        return products.from_glc30(whole)
    return getattr(whole, {"terrain": "elevation", "highways": "roads"}.get(layer, layer))


@lru_cache(maxsize=1)
def town(seed, style, size):
    """The city: in the region if it is of the region's style, else a place of its own."""
    place = region.place(region.make(seed), size=size) if style == STYLES[0] else None
    return cities.make(seed, style, place=place, size=size)


@lru_cache(maxsize=1)
def ground(seed, style, size):
    """The city's surfaces as a raster of 2.5 m."""
    here = town(seed, style, size)
    objects = truth.objects(here, 2.5).to_numpy()  # which the truth layers need as well
    return optical.ground(here, 2.5, objects=objects)


def _of_city(layer, which, options):
    here = town(*which)
    if layer in ("buildings", "roads", "districts", "trees"):
        return getattr(here, layer)
    if layer in ("land_cover", "settlement", "roof_type", "height"):
        return getattr(truth, layer)(here, options["resolution"])
    if layer == "residents":
        return truth.population(here, options["resolution"])
    if layer == "osm_buildings":
        return products.osm_buildings(here)
    if layer == "gaofen2":
        return gaofen2.image(here, options["bounds"] or core(here), options["date"])
    own = ground(*which)
    if layer == "sentinel2":
        return sentinel2.scene(here, ground=own, **options)
    if layer in ("landsat8", "surface_temperature"):
        return getattr(thermal, layer)(here, ground=own, **options)
    return getattr(products, layer)(here, ground=own)


def core(here):
    """Bounds of the 0.8 m image: the inner 4 km, or all of a small city."""
    side = min(4000, here.bounds[2] - here.bounds[0])
    return gaofen2.core(here, side // 16 * 16)  # whole pixels of 3.2 m
