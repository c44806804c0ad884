"""Which place: its image, its imperfect labels and its truth on one grid, and its chips."""

import warnings
from dataclasses import dataclass, replace
from types import SimpleNamespace

import geopandas as gpd
import numpy as np
import xarray as xr
from scipy import ndimage

from toolkit import _checks, catalog, chips
from toolkit._checks import choice
from toolkit.chips.grids import classes_of

SOURCES = {
    "scene": dict(
        bands=("blue", "green", "red", "nir"), ceiling=6.5535, sealed="Impervious", weight=3.0
    ),
    "raleigh": dict(
        bands=("blue", "green", "red", "nir", "swir1", "swir2"),
        ceiling=255,
        sealed="developed",
        weight=1.0,
    ),
}
"""Bands of each source; what a saturated pixel holds; its class of sealed land, and the weight of
that class in the loss: three in the paper, one where every error counts the same (Raleigh)."""

FROM_GLC10 = {
    10: 1, 20: 2, 30: 3, 40: 2, 50: 255, 60: 4, 70: 255, 80: 5, 90: 6, 100: 7,
}  # fmt: skip
"""Code of FROM-GLC10 -> class of the paper (section 2.2): forest and shrubland are woodland,
wetland and tundra are left out."""

HAZE = {"gain": (0.80, 0.84, 0.88, 0.94), "offset": (0.045, 0.030, 0.020, 0.008)}
"""A hazy day, by band: contrast falls and air light is added, most in blue."""


@dataclass(frozen=True)
class Ground:
    """An image with labels to learn from and a truth to be scored against, on one grid.

    Attributes
    ----------
    source : str
    image : xarray.DataArray
        (band, y, x); NaN under clouds, where a pixel is saturated and where there is no data.
    label : xarray.DataArray
        (y, x) imperfect labels by nearest neighbour on the grid of the image, 255 unknown.
    truth : xarray.DataArray
        (y, x) what maps are scored against; the label itself where nothing better is known.
    product : xarray.DataArray
        (y, x) the labels on their own grid, as opened.
    roads : geopandas.GeoDataFrame or None
        Centre lines with width (m), where known.
    """

    source: str
    image: xr.DataArray
    label: xr.DataArray
    truth: xr.DataArray
    product: xr.DataArray
    roads: gpd.GeoDataFrame | None = None

    @property
    def classes(self):
        """Classes of label and truth: a list of dicts with value, name and color."""
        return self.label.attrs["classes"]

    @property
    def names(self):
        """Names of the classes, in the order of the network's outputs."""
        return [item["name"] for item in self.classes]

    @property
    def simulated(self):
        """Whether the image comes from the teaching scene."""
        return bool(self.image.attrs.get("simulated"))

    @property
    def scored(self):
        """Whether a truth better than the labels is known."""
        return self.truth is not self.label


def ground(source="scene", scene_seed=0, clouds="mask", style=None, size=None):
    """Open an image, its imperfect labels and what is known of the truth.

    Parameters
    ----------
    source : {"scene", "raleigh"}
        The scene's city: a Planet-like mosaic at 3 m, labels of a FROM-GLC10-like product at
        10 m, the true land cover at 3 m. Raleigh, real: Landsat 7 of 2000 at 28.5 m, labelled by
        a land-cover map of 1996, of which no better version is known.
    scene_seed : int
        Of the scene; another seed is another city.
    clouds : {"mask", "keep"}
        Scene only: leave out what the mosaic's mask calls cloud or shadow, or keep it as the
        paper does.
    style, size : str, int, optional
        Scene only: kind of city and its side in metres, see `toolkit.scene.open`.

    Returns
    -------
    Ground

    Raises
    ------
    ValueError
        An unknown source or way with clouds, and what `assemble` refuses.

    Examples
    --------
    >>> place = ground("raleigh")  # doctest: +SKIP
    >>> place.image.shape, place.names[0]  # doctest: +SKIP
    ((6, 443, 489), 'developed')
    """
    choice(source, tuple(SOURCES), "source")
    choice(clouds, ("mask", "keep"), "clouds")
    if source == "raleigh":
        return assemble(
            catalog.open("raleigh/image"), catalog.open("raleigh/land_cover"), source=source
        )
    own = {"seed": scene_seed, "style": style, "size": size}
    own = {name: value for name, value in own.items() if value is not None}
    image = catalog.open("scene/planet", **own)
    if clouds == "mask":
        clear = catalog.open("scene/planet_mask", **own) == 0
        image = image.where(clear).assign_attrs(image.attrs)
    return assemble(
        image,
        catalog.open("scene/from_glc10", **own),
        catalog.open("scene/land_cover", resolution=3, **own),
        catalog.open("scene/roads", **own),
        source,
    )


def assemble(image, product, truth=None, roads=None, source="own", bands=None, ceiling=None):
    """Bring an image, labels and a truth onto one grid, and check that they fit each other.

    Parameters
    ----------
    image : xarray.DataArray
        (band, y, x) in physical units or digital numbers.
    product : xarray.DataArray
        (y, x) class codes on any grid, in any CRS; with ``attrs["classes"]``, or the codes of
        FROM-GLC10 (10, 20 ... 100; see `seven`).
    truth : xarray.DataArray, optional
        (y, x) codes of the same classes.
    roads : geopandas.GeoDataFrame, optional
        Centre lines with the column width (m).
    source : str
        A key of `SOURCES`, whose bands and ceiling are then the defaults, or any other name.
    bands : sequence of str, optional
        Which bands, in which order.
    ceiling : float, optional
        A pixel with this value or more is saturated; all its bands become NaN, since its colour
        is no longer the ground's.

    Returns
    -------
    Ground
        ``image.attrs["saturated"]`` is the share of pixels that were.

    Raises
    ------
    ValueError
        A band is missing; label and image do not overlap; label or truth hold codes that are no
        class; no pixel is left.

    Warns
    -----
    UserWarning
        More than a tenth of the pixels is saturated.

    Examples
    --------
    >>> place = assemble(image, product, ceiling=255)  # doctest: +SKIP
    """
    _checks.raster(image, "image")
    known = SOURCES.get(source, {})
    bands = list(bands or known.get("bands") or [str(name) for name in image["band"].values])
    found = [str(name) for name in image["band"].values]
    if len(set(found)) < len(found):
        raise ValueError(
            f"image: two bands have the same name ({', '.join(found)}). Rename them with "
            "image.assign_coords(band=[...])."
        )
    missing = [name for name in bands if name not in found]
    if missing:
        raise ValueError(
            f"image: the band {', '.join(missing)} is missing; it has {', '.join(found)}. Rename "
            "with image.assign_coords(band=[...]), or say which bands to use with bands=[...]."
        )
    image = _usable(image.sel(band=bands), ceiling or known.get("ceiling"))
    product = seven(product)
    label = _labelled(product, image, product.attrs.get("classes"), "label")
    reference = label
    if truth is not None:
        reference = _labelled(truth, image, label.attrs["classes"], "truth")
    return Ground(source, image, label, reference, product, roads)


def _usable(image, ceiling):
    """The image with NaN where it is infinite or saturated."""
    values = image.values.astype("float32")
    if image.rio.nodata is not None:
        values[image.values == image.rio.nodata] = np.nan
    values[~np.isfinite(values)] = np.nan
    saturated = np.zeros(values.shape[1:], bool)
    if ceiling is not None:
        with np.errstate(invalid="ignore"):
            saturated = (values >= ceiling).any(axis=0)
        values[:, saturated] = np.nan
    share = float(saturated.mean())
    if share > 0.1:
        warnings.warn(
            f"image: {share:.0%} of the pixels are saturated (a band holds {ceiling:g} or more) "
            "and are left out. Is the ceiling right?",
            stacklevel=4,
        )
    if np.isnan(values).any(axis=0).all():
        raise ValueError(
            "image: no pixel has data in every band. Look at each band's share of NaN: "
            f"{np.isnan(values).mean(axis=(1, 2)).round(2).tolist()}; leave an empty one out with "
            "bands=[...]."
        )
    out = image.copy(data=values).assign_attrs(image.attrs | {"saturated": round(share, 5)})
    return out.rio.write_crs(image.rio.crs).rio.write_nodata(np.nan)


def _labelled(codes, image, classes, what):
    """Class codes on the grid of the image, checked against the classes."""
    try:
        out = chips.align(codes, image)
        classes = classes_of(out, classes)
    except ValueError as error:
        raise ValueError(str(error).replace("label:", f"{what}:")) from None
    return out.assign_attrs(codes.attrs | {"classes": classes, "_FillValue": chips.IGNORE})


def seven(product):
    """Turn the ten codes of FROM-GLC10 into the paper's seven classes; others stay as they are.

    Parameters
    ----------
    product : xarray.DataArray
        (y, x) class codes. If ``attrs["classes"]`` says what they mean, nothing is changed.

    Returns
    -------
    xarray.DataArray
        uint8, 1 cropland to 7 snow and ice, 255 for wetland, tundra and nodata.

    Raises
    ------
    ValueError
        No classes are given and a code is none of FROM-GLC10.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> codes = xr.DataArray(np.uint8([[10, 40], [50, 80]]), dims=("y", "x"))
    >>> seven(codes).values.tolist()
    [[1, 2], [255, 5]]
    """
    if product.attrs.get("classes"):
        return product
    from toolkit.scene import materials

    values = product.values
    nodata = [n for n in (0, chips.IGNORE, product.rio.nodata) if n is not None]
    empty = ~np.isfinite(values) | np.isin(values, nodata)
    codes = np.where(empty, 0, values).astype(np.int64)
    unknown = sorted({int(v) for v in np.unique(codes)} - {0} - set(FROM_GLC10))
    if unknown:
        raise ValueError(
            f"label: the codes {unknown} are none of FROM-GLC10's ({sorted(FROM_GLC10)}). If the "
            "map is another one, say what its codes mean in attrs['classes'], as "
            "[{'value': 1, 'name': 'Cropland'}, ...], and set what to ignore to 255."
        )
    table = np.full(256, chips.IGNORE, np.uint8)
    table[list(FROM_GLC10)] = list(FROM_GLC10.values())
    out = product.copy(data=table[codes])
    out.attrs = product.attrs | {"classes": [dict(item) for item in materials.CLASSES]}
    out.attrs.pop("_FillValue", None)
    return out.rio.write_nodata(chips.IGNORE)


def sample(place, chip=128, stride=None, valid=0.3, block=None, seed=0):
    """Cut chips side by side and split them by blocks of ground.

    Parameters
    ----------
    place : Ground
        From `ground`.
    chip : int
        Side of a chip in pixels; 1024 in the paper.
    stride : int, optional
        Pixels from one chip to the next, `chip` by default.
    valid : float
        Share of the chips that is held out. The paper draws 2 % at random; here the check points
        lie on that ground as well.
    block : int, optional
        Side of a block in pixels, see `toolkit.chips.split`.
    seed : int
        Of the split.

    Returns
    -------
    geopandas.GeoDataFrame
        Chip table with the column split.

    Examples
    --------
    >>> sample(place)["split"].value_counts()  # doctest: +SKIP
    """
    table = chips.grid(place.image, place.label, size=chip, stride=stride)
    table = table[table["labelled"] > 0].reset_index(drop=True)
    return chips.split(table, by="blocks", valid=valid, block=block, stratify=True, seed=seed)


def held_out(place, table, guard=64):
    """Mark the ground on which maps are scored: held-out chips, away from training chips.

    Parameters
    ----------
    place : Ground
        From `ground`.
    table : geopandas.GeoDataFrame
        From `sample`.
    guard : int
        Pixels that must lie between a scored pixel and the nearest training chip, along rows and
        columns. Fields and houses reach over the border of a block, and what a network saw of
        them in training would help it beyond.

    Returns
    -------
    xarray.DataArray
        (y, x), bool.

    Raises
    ------
    ValueError
        The guard leaves nothing.
    """
    if guard < 0:
        raise ValueError(f"guard={guard}: give a number of pixels, 0 or more")
    out = chips.ground(table, place.image, "valid")
    near = chips.ground(table, place.image, "train").values
    if guard:
        # Two passes along the axes grow a square, much faster than a large structure.
        for axis in (0, 1):
            near = ndimage.maximum_filter1d(near, 2 * int(guard) + 1, axis=axis)
    values = out.values & ~near
    if not values.any():
        raise ValueError(
            f"guard={guard}: no held-out pixel is so far from every training chip. Use a smaller "
            "guard or larger blocks."
        )
    return out.copy(data=values).rio.write_crs(place.image.rio.crs)


def hazy(place, gain=HAZE["gain"], offset=HAZE["offset"]):
    """The same ground on a hazy day: each band times a gain plus an offset.

    Parameters
    ----------
    place : Ground
        With four bands, in reflectance.
    gain, offset : sequence of float
        One of each band.

    Returns
    -------
    Ground
    """
    if not len(gain) == len(offset) == place.image.sizes["band"]:
        raise ValueError(
            f"{len(gain)} gains and {len(offset)} offsets for {place.image.sizes['band']} bands"
        )
    gain, offset = (np.float32(v)[:, None, None] for v in (gain, offset))
    image = place.image * gain + offset
    title = f"{place.image.attrs.get('title', 'image')}, on a hazy day"
    return replace(place, image=image.assign_attrs(place.image.attrs | {"title": title}))


def gaofen(place, scene_seed=0):
    """The scene's core as Gaofen-2 sees it, averaged to the 3 m grid: another sensor, another day.

    Parameters
    ----------
    place : Ground
        The scene's city.
    scene_seed : int
        Of the scene.

    Returns
    -------
    Ground
        On the part of the grid that Gaofen-2 covers.
    """
    if place.source != "scene":
        raise ValueError(f"Gaofen-2 sees the scene alone, this ground is {place.source!r}")
    fine = catalog.open("scene/gaofen2", seed=scene_seed)
    fine = fine.sel(band=list(place.image["band"].values))
    west, south, east, north = fine.rio.bounds()
    window = {"x": slice(west, east), "y": slice(north, south)}
    target = place.image.sel(window)
    layers = [chips.align(band, target, "average") for band in fine]
    image = xr.concat([layer.drop_vars("band", errors="ignore") for layer in layers], "band")
    image = image.assign_coords(band=place.image["band"].values).assign_attrs(fine.attrs)
    image = image.rio.write_crs(place.image.rio.crs).rio.write_nodata(np.nan)
    return replace(place, image=image, label=place.label.sel(window), truth=place.truth.sel(window))


def dates(place, scene_seed=0):
    """Which date of the scene's mosaic each pixel comes from.

    Parameters
    ----------
    place : Ground
        The scene's city.
    scene_seed : int
        Of the scene.

    Returns
    -------
    xarray.DataArray
        (y, x) uint8, 0 to 3, with the dates as classes.
    """
    if place.source != "scene":
        raise ValueError(f"only the scene's mosaic has dates, this ground is {place.source!r}")
    from toolkit.scene import planet

    codes = planet.seams(SimpleNamespace(seed=scene_seed), place.label.shape)
    colors = ("#0072b2", "#e69f00", "#56b4e9", "#cc79a7")
    classes = [
        {"value": number, "name": tile.date, "color": color}
        for number, (tile, color) in enumerate(zip(planet.TILES, colors, strict=True))
    ]
    kept = ("sensor", "simulated", "source", "licence", "citation")
    about = {name: place.image.attrs[name] for name in kept if name in place.image.attrs}
    out = place.label.copy(data=codes)
    out.attrs = about | {"title": "Dates of the mosaic", "classes": classes}
    return out.rio.write_nodata(chips.IGNORE)
