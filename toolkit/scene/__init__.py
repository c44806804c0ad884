"""The teaching scene: one simulated region and city, seen by five sensors, truth known.

`LAYERS` says what there is, `open` gives a layer: made on the first call, read from the cache
afterwards. `toolkit.catalog.open("scene/sentinel2")` is the same with licence and citation.

Files: ``makers`` (how each layer is made), ``store`` (how it lies on disk), and one file for each
question about the simulated place: start reading in ``region``, ``city`` and ``optical``.
"""

import difflib
import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

__all__ = ["LAYERS", "SIZE", "STYLES", "City", "Layer", "checksum", "city", "open", "path"]

SIZE = 12_000
"""Side of a city's square, metres, where not given."""

STYLES = (
    "east_asian", "temperate_european", "mediterranean", "arid", "tropical_informal",
    "suburban_grid",
)  # fmt: skip
"""Kinds of city. The first lies in the region; every other is a place of its own."""

SEASONS = ("spring", "summer", "autumn")


@dataclass(frozen=True)
class Layer:
    """One layer: its title, what it becomes, and of what it is made.

    Attributes
    ----------
    title : str
    kind : {"image", "classes", "vector"}
    of : {"region", "city"}
    options : dict
        Its own options and their defaults, besides seed (and style and size, for a city).
    """

    title: str
    kind: str
    of: str
    options: dict


def _layers(of, **layers):
    return {
        name: Layer(title, kind, of, own[0] if own else {})
        for name, (title, kind, *own) in layers.items()
    }


LAYERS = _layers(
    "region",
    terrain=("Elevation of the region, 500 m", "image"),
    settlements=("Settlements of the region", "vector"),
    highways=("Roads between the settlements", "vector"),
    rivers=("Rivers of the region", "vector"),
    built=("Built-up land of the region", "vector"),
    construction_land=("Construction land, 500 m", "classes"),
    population=("People, 500 m", "image"),
    viirs=("Night lights, VIIRS-like, 500 m", "image"),
    from_glc30=("Construction land, FROM-GLC30-like, 500 m", "classes"),
) | _layers(
    "city",
    buildings=("Buildings", "vector"),
    roads=("Roads of the city", "vector"),
    districts=("Districts", "vector"),
    trees=("Single trees", "vector"),
    land_cover=("Land cover, truth", "classes", {"resolution": 10}),
    settlement=("Settlement, truth", "classes", {"resolution": 20}),
    roof_type=("Roof types, truth", "classes", {"resolution": 2.5}),
    height=("Heights of roofs and crowns, truth", "image", {"resolution": 2.5}),
    residents=("Residents, truth", "image", {"resolution": 100}),
    surface_temperature=(
        "Surface temperature, truth", "image", {"resolution": 30, "date": "2019-08-11"},
    ),
    sentinel2=("Sentinel-2-like, ten bands", "image", {"season": "summer", "resolution": 10}),
    planet=("Planet-like mosaic, 3 m", "image"),
    planet_mask=("Clouds in the Planet-like mosaic", "classes"),
    gaofen2=("Gaofen-2-like, 0.8 m", "image", {"bounds": None, "date": "2017-08-05"}),
    landsat8=("Landsat-8-like, 30 m", "image", {"date": "2019-08-11"}),
    from_glc10=("FROM-GLC10-like land cover, 10 m", "classes"),
    imperviousness=("Imperviousness, HRL-like, 20 m", "image"),
    guf=("GUF-like settlement, 20 m", "classes"),
    ghsl=("GHSL-like settlement, 20 m", "classes"),
    hmgul=("HMGUL-like settlement, 20 m", "classes"),
    osm_buildings=("Buildings, OpenStreetMap-like", "vector"),
)  # fmt: skip
"""Every layer by name."""


@lru_cache(maxsize=1)
def _code():
    """Ten digits that change when the code of the scene does, and with it, perhaps, its layers."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.name.encode() + file.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()[:10]


def _near(name, known):
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else "."


def _checked(layer, options):
    """Every option of a layer, given or default, in the order of their definition."""
    if layer not in LAYERS:
        raise ValueError(
            f"the scene has no layer {layer!r}{_near(layer, LAYERS)} It has {', '.join(LAYERS)}."
        )
    about = LAYERS[layer]
    every = {"seed": 0}
    if about.of == "city":
        every |= {"style": STYLES[0], "size": SIZE}
    every |= about.options
    for name in options:
        if name not in every:
            raise TypeError(
                f"scene/{layer}: unknown option {name!r}{_near(name, every)} "
                f"This layer takes {', '.join(every)}."
            )
    every |= {name: value for name, value in options.items() if value is not None}
    for name, known in (("style", STYLES), ("season", SEASONS)):
        if name in every and every[name] not in known:
            raise ValueError(
                f"scene/{layer}: unknown {name} {every[name]!r}{_near(every[name], known)} "
                f"Choose one of {', '.join(known)}."
            )
    seed = every["seed"]
    if isinstance(seed, bool) or not hasattr(seed, "__index__") or seed < 0:
        raise ValueError(f"scene/{layer}: seed is {seed!r}; give a whole number, 0 or more.")
    every["seed"] = int(seed)
    if "size" in every:
        every["size"] = int(every["size"])
    if every.get("bounds") is not None:
        every["bounds"] = tuple(float(edge) for edge in every["bounds"])
    return every


def _written(value):
    """An option's value as a part of a file's name."""
    if isinstance(value, tuple):
        return "_".join(_written(each) for each in value)
    text = f"{value:g}" if isinstance(value, float) and value < 1e5 else str(value)
    return re.sub(r"[^A-Za-z0-9.]+", "-", text.removesuffix(".0"))


def _place(layer, options):
    """Where a layer lies, or will lie, in the cache."""
    from toolkit.catalog import cache
    from toolkit.scene.noise import VERSION

    about = LAYERS[layer]
    of = options["style"] if about.of == "city" else "region"
    folder = f"v{VERSION}-{_code()}-{of}-{options['seed']}"
    if options.get("size", SIZE) != SIZE:
        folder += f"-{options['size']}m"
    own = [
        f"-{name}-{_written(options[name])}"
        for name, default in about.options.items()
        if options[name] != default
    ]
    end = "parquet" if about.kind == "vector" else "tif"
    return cache.folder() / "scene" / folder / f"{layer}{''.join(own)}.{end}"


def path(layer, make=True, **options):
    """Return the file of a layer in the cache.

    Parameters
    ----------
    layer : str
        One of `LAYERS`.
    make : bool
        Make it if it is not there.
    **options
        As for `open`, without `bands` and `chunks`.

    Returns
    -------
    Path

    Examples
    --------
    >>> from toolkit import scene
    >>> scene.path("sentinel2", make=False, season="autumn").name
    'sentinel2-season-autumn.tif'
    """
    options = _checked(layer, options)
    where = _place(layer, options)
    if make and not where.is_file():
        from toolkit.scene import makers, store

        with store.lock(where):
            if not where.is_file():  # another process may have made it meanwhile
                for name, data in makers.make(layer, **options).items():
                    store.write(data, _place(name, options), LAYERS[name].title)
    return where


def open(layer, seed=0, style=None, bands=None, chunks=None, **options):
    """Open a layer of the scene; it is made on the first call, and kept in the cache.

    Parameters
    ----------
    layer : str
        One of `LAYERS`.
    seed : int
        Another seed gives another region and another city.
    style : str, optional
        Kind of city, one of `STYLES`. ``"east_asian"``, the default, is the city of the region;
        every other style is a place of its own.
    bands : str or list of str, optional
        Images: which bands; all by default.
    chunks : int, dict, bool or "auto", optional
        Rasters: as for `rioxarray.open_rasterio`, for a lazy, dask-backed result.
    **options
        The layer's own, see ``LAYERS[layer].options``; for a city also `size`, the side of its
        square in metres (a multiple of 600), for small and quick examples.

    Returns
    -------
    xarray.DataArray or geopandas.GeoDataFrame
        Images (band, y, x), float32, nodata NaN, in reflectance, radiance, kelvin, ... (Landsat
        in digital numbers, with ``attrs["mtl"]``); class maps (y, x), uint8, nodata 255,
        ``attrs["classes"]``. ``attrs`` say that it is simulated, with seed and version.

    Raises
    ------
    ValueError
        No such layer, style, season, band or seed.
    TypeError
        An option that the layer does not take.

    Examples
    --------
    >>> from toolkit import scene
    >>> cover = scene.open("land_cover", seed=1, style="arid", size=3000, resolution=30)
    >>> cover.shape
    (100, 100)
    """
    from toolkit.scene import store

    options = _checked(layer, {"seed": seed, "style": style, **options} if style else
                       {"seed": seed, **options})  # fmt: skip
    kind = LAYERS[layer].kind
    for name, value, takes in (("bands", bands, ("image",)), ("chunks", chunks, _RASTERS)):
        if value is not None and kind not in takes:
            raise TypeError(f"scene/{layer}: a layer of kind {kind!r} takes no option {name!r}.")
    where = path(layer, **options)
    if kind == "vector":
        return store.read_table(where)
    return store.read_raster(where, layer, kind, bands, chunks)


_RASTERS = ("image", "classes")


@dataclass(frozen=True)
class City:
    """One simulated city, as `city` gives it: its layers are made when they are asked for.

    Attributes
    ----------
    seed : int
    style : str
    size : int
        Side of its square, metres.
    """

    seed: int
    style: str
    size: int

    @property
    def layers(self):
        """Names of the layers that a city has."""
        return [name for name, layer in LAYERS.items() if layer.of == "city"]

    def open(self, layer, **options):
        """Open one of `layers`; options as for `toolkit.scene.open`."""
        if layer not in self.layers:
            raise ValueError(
                f"a city has no layer {layer!r}{_near(layer, self.layers)} "
                f"It has {', '.join(self.layers)}."
            )
        return open(layer, seed=self.seed, style=self.style, size=self.size, **options)


def city(seed=0, style=STYLES[0], size=SIZE):
    """Name a simulated city: of a seed, a style and a size. Nothing is made yet.

    Parameters
    ----------
    seed : int
        Another seed gives another place.
    style : str
        One of `STYLES`.
    size : int
        Side of its square in metres, a multiple of 600.

    Returns
    -------
    City
        ``city.open("sentinel2", season="autumn")`` makes that layer, and what it needs.

    Raises
    ------
    ValueError
        No such style, or a bad seed.

    Examples
    --------
    >>> from toolkit import scene
    >>> here = scene.city(seed=1, style="arid", size=3000)
    >>> here.open("land_cover", resolution=30).shape
    (100, 100)
    """
    known = _checked("buildings", {"seed": seed, "style": style, "size": size})
    return City(known["seed"], known["style"], known["size"])


def checksum(layer, **options):
    """Return the sha256 that identifies a layer: of version, code and options.

    It is known without making the layer, and changes with anything that may change its content.

    Parameters
    ----------
    layer : str
        One of `LAYERS`.
    **options
        As for `path`.

    Returns
    -------
    str

    Examples
    --------
    >>> from toolkit import scene
    >>> scene.checksum("viirs") == scene.checksum("viirs", seed=1)
    False
    """
    where = _place(layer, _checked(layer, options))
    return hashlib.sha256("/".join(where.parts[-2:]).encode()).hexdigest()
