"""Which places: simulated cities to train and to test on, real ground, ten bands, and chips."""

import re
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import xarray as xr

from toolkit import _checks, catalog, chips
from toolkit._checks import choice
from toolkit.chips.grids import geobox
from toolkit.scene import styles

BANDS = ("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12")
"""The ten bands in the order of the authors' code."""

SHARP = ("B2", "B3", "B4", "B8")
"""Those that Sentinel-2 measures at 10 m; the other six come at 20 m."""

SEASONS = ("spring", "summer", "autumn")

CLASSES = [
    {"value": 0, "name": "Other", "color": "#999999"},
    {"value": 1, "name": "Settlement", "color": "#d55e00"},
]

CITIES = pd.DataFrame(
    [
        ("sim temperate 1", "train", "temperate_european", 11, "all"),
        ("sim temperate 2", "train", "temperate_european", 12, "all"),
        ("sim Mediterranean 1", "train", "mediterranean", 13, "all"),
        ("sim Mediterranean 2", "train", "mediterranean", 14, "all"),
        ("sim Mediterranean 3", "train", "mediterranean", 15, "all"),
        ("sim temperate 3", "near", "temperate_european", 21, "summer"),
        ("sim temperate 4", "near", "temperate_european", 22, "autumn"),
        ("sim Mediterranean 4", "near", "mediterranean", 23, "spring"),
        ("sim arid 1", "far", "arid", 31, "spring"),
        ("sim arid 2", "far", "arid", 32, "autumn"),
        ("sim tropical 1", "far", "tropical_informal", 33, "summer"),
        ("sim tropical 2", "far", "tropical_informal", 34, "spring"),
        ("sim tropical 3", "far", "tropical_informal", 35, "autumn"),
        ("sim suburban 1", "far", "suburban_grid", 36, "summer"),
        ("sim suburban 2", "far", "suburban_grid", 37, "autumn"),
        ("sim suburban 3", "far", "suburban_grid", 38, "spring"),
        ("sim East Asian 1", "far", "east_asian", 0, "summer"),
        ("sim East Asian 2", "far", "east_asian", 39, "spring"),
    ],
    columns=["city", "role", "style", "seed", "season"],
)
"""Five training cities, three near ones of the same two styles, ten far ones of four others. None
copies a real city. Training uses three seasons, a test city is mapped from one image."""

ROLES = ("train", "near", "far")


@dataclass(frozen=True)
class Ground:
    """A Sentinel-2 image of ten bands at 10 m, with labels and a truth at 20 m where known.

    Attributes
    ----------
    name : str
    role : {"train", "near", "far", "real", "own"}
    image : xarray.DataArray
        (band, y, x) top-of-atmosphere reflectance, `BANDS`, even height and width; NaN in all
        bands where one has no data.
    impervious : xarray.DataArray or None
        (y, x) sealed per cent, 0 to 100, 255 unknown, uint8, 20 m: what labels are made of.
    label : xarray.DataArray or None
        (y, x) settlement, 20 m: 1 where more than 0 % is sealed, 0 other, 255 unknown.
    truth : xarray.DataArray or None
        (y, x) codes as in `label`, on its grid: what maps are scored against.
    options : dict
        Of a simulated city: style, seed and size, which name it in the catalogue.
    """

    name: str
    role: str
    image: xr.DataArray
    impervious: xr.DataArray | None = None
    label: xr.DataArray | None = None
    truth: xr.DataArray | None = None
    options: dict = field(default_factory=dict)

    @property
    def simulated(self):
        """Whether the image comes from the teaching scene."""
        return bool(self.image.attrs.get("simulated"))

    def open(self, layer, **options):
        """Open another layer of a simulated city, such as ``"guf"`` or ``"osm_buildings"``."""
        if not self.options:
            raise ValueError(f"{self.name} is no simulated city: it has no layer {layer!r}")
        return catalog.open(f"scene/{layer}", **self.options, **options)


def cities(places=None):
    """List the cities as Table 1 does.

    Parameters
    ----------
    places : iterable of Ground, optional
        Opened cities: only they are listed, with what was measured of them.

    Returns
    -------
    pandas.DataFrame
        city, role, style, seed, season (of its image), latitude (degrees north) and sun
        (elevation, degrees; the lowest and highest for training cities); of opened ones also
        area_km2, settlement (true share of the cells), and the share of each land cover, in
        lower case.

    Examples
    --------
    >>> cities()["role"].value_counts().to_dict()
    {'far': 10, 'train': 5, 'near': 3}
    """
    out = CITIES.copy()
    out["latitude"] = [styles.get(style).latitude for style in out["style"]]
    out["sun"] = [_sun(row.latitude, row.season) for row in out.itertuples()]
    out["simulated"] = True
    if places is None:
        return out
    first = {place.name: place for place in reversed(list(places))}
    out = out[out["city"].isin(list(first))].reset_index(drop=True)
    known = [first[name].truth for name in out["city"]]
    out["area_km2"] = [truth.size * 4e-4 for truth in known]
    out["settlement"] = [float((truth == 1).sum() / (truth != 255).sum()) for truth in known]
    covers = [covers_of(first[name])[0].value_counts(normalize=True) for name in out["city"]]
    return out.join(pd.DataFrame([each.to_dict() for each in covers]).fillna(0))


def covers_of(place):
    """Land cover of each cell of a simulated city, by name, row by row; and all names."""
    cover = place.open("land_cover", resolution=20)
    names = {item["value"]: item["name"].lower() for item in cover.attrs["classes"]}
    return pd.Series(cover.values.ravel()).map(names), list(names.values())


def _sun(latitude, season):
    """Elevation of the sun, degrees, as text; lowest to highest of all seasons."""
    days = SEASONS if season == "all" else (season,)
    found = sorted(round(styles.sun(latitude, styles.DATES[day])[1]) for day in days)
    return " to ".join(str(each) for each in dict.fromkeys((found[0], found[-1])))


def ground(city, season=None, size=6000):
    """Open a simulated city in one season.

    Parameters
    ----------
    city : str
        One of ``CITIES["city"]``.
    season : {"spring", "summer", "autumn"}, optional
        That of `CITIES` where left out; summer for a training city.
    size : int
        Side of its square in metres, a multiple of 600.

    Returns
    -------
    Ground

    Raises
    ------
    ValueError
        An unknown city or season.

    Examples
    --------
    >>> ground("sim arid 1").image.shape  # doctest: +SKIP
    (10, 600, 600)
    """
    choice(city, tuple(CITIES["city"]), "city")
    about = CITIES.set_index("city").loc[city]
    season = season or {"all": "summer"}.get(about["season"], about["season"])
    choice(season, SEASONS, "season")
    options = {"style": about["style"], "seed": int(about["seed"]), "size": int(size)}
    broad = tuple(band for band in BANDS if band not in SHARP)
    seen = {
        step: catalog.open(
            "scene/sentinel2", season=season, resolution=step, bands=list(bands), **options
        )
        for step, bands in ((10, SHARP), (20, broad))
    }
    return assemble(
        compose(seen[10], seen[20]),
        catalog.open("scene/imperviousness", **options),
        catalog.open("scene/settlement", **options),
        city,
        about["role"],
        options,
    )


def accomack():
    """Open the real Sentinel-2 scene of Accomack County, Virginia: ten bands, no labels.

    Returns
    -------
    Ground
        Half of it is ocean. The 20 m grid starts 10 m further west than that of 10 m, so bands
        are put together by their coordinates.
    """
    broad = ["B05", "B06", "B07", "B8A", "B11", "B12"]
    sharp = catalog.open("accomack/sentinel2", bands=["B02", "B03", "B04", "B08"])
    image = compose(sharp, catalog.open("accomack/sentinel2", bands=broad, resolution=20))
    return assemble(image, name="Accomack", role="real")


def compose(sharp, broad):
    """Bring the 20 m bands onto the grid of the 10 m bands, as section 2.1 does.

    Parameters
    ----------
    sharp, broad : xarray.DataArray
        (band, y, x) reflectance at 10 m and 20 m, NaN where there is no data; named "B2" or
        "B02", in any order. Grids need not share a corner: coordinates decide.

    Returns
    -------
    xarray.DataArray
        (band, y, x), `BANDS` on the grid of `sharp`, by cubic resampling; what that makes
        negative is 0.

    Raises
    ------
    ValueError
        Another CRS, no ground in common, a missing or doubled band.
    """
    sharp = _named(_checks.raster(sharp, "10 m bands"))
    broad = _named(_checks.raster(broad, "20 m bands"))
    if sharp.rio.crs != broad.rio.crs:
        both = f"{sharp.rio.crs} and {broad.rio.crs}"
        raise ValueError(f"the 10 m and 20 m bands are not of one scene: they are in {both}")
    moved = broad.astype("float32").odc.reproject(
        geobox(sharp), resampling="cubic", src_nodata=np.nan, dst_nodata=np.nan
    )
    if not np.isfinite(moved.values).any():
        raise ValueError("the 10 m and 20 m bands have no ground in common")
    moved = moved.assign_coords(x=sharp.x, y=sharp.y).clip(min=0)
    out = xr.concat([sharp.astype("float32"), moved], "band", coords="minimal", compat="override")
    missing = [band for band in BANDS if band not in out["band"].values]
    if missing or len(set(out["band"].values)) < out.sizes["band"]:
        found = ", ".join(out["band"].values)
        raise ValueError(f"bands: expected {', '.join(BANDS)}, each once; there are {found}")
    out = out.sel(band=list(BANDS)).assign_attrs(sharp.attrs)
    out.attrs.pop("bands", None)
    return out.rio.write_crs(sharp.rio.crs).rio.write_nodata(np.nan)


def _named(image):
    names = [re.sub(r"^B0(\d)$", r"B\1", str(n).upper()) for n in image["band"].values]
    return image.assign_coords(band=names)


def assemble(image, impervious=None, truth=None, name="own", role="own", options=None):
    """Check an image and bring labels and truth onto its 20 m cells.

    Parameters
    ----------
    image : xarray.DataArray
        (band, y, x) at 10 m, reflectance from 0 to about 1, with the bands of `BANDS` in that
        order ("B02" is "B2"); others may lie between. An odd last row or column is left out:
        cells are 2 x 2 pixels.
    impervious : xarray.DataArray, optional
        (y, x) sealed per cent at 20 m, any grid and CRS; brought to the cells by nearest
        neighbour.
    truth : xarray.DataArray, optional
        (y, x) 1 settlement, 0 other, any grid and CRS.
    name, role : str
        See `Ground`.
    options : dict, optional
        See `Ground`.

    Returns
    -------
    Ground

    Raises
    ------
    ValueError
        A missing, doubled, unnamed or permuted band; pixels not of 10 m; values that are no
        reflectance; an image without data or smaller than one cell; labels elsewhere or outside
        0 to 100 %.

    Examples
    --------
    >>> place = assemble(image, imperviousness)  # doctest: +SKIP
    """
    image = _reflectance(image)
    rows, cols = (n - n % 2 for n in image.shape[1:])
    if min(rows, cols) < 2:
        raise ValueError(f"image: {image.shape[1:]} pixels hold no cell of 2 x 2")
    steps = [abs(float(step)) for step in image.rio.resolution(recalc=True)]
    if image.rio.crs.is_geographic or not np.allclose(steps, 10, rtol=0.02):
        unit = "degrees" if image.rio.crs.is_geographic else "m"
        raise ValueError(
            f"image: pixels of {steps[0]:.6g} x {steps[1]:.6g} {unit}; the networks read 10 m and "
            "draw 20 m. Bring it there: image.odc.reproject('utm', resolution=10)."
        )
    image = image.isel(y=slice(rows), x=slice(cols))
    # One band, NaN where all four pixels of a cell miss.
    cells = image.isel(band=slice(1)).coarsen(y=2, x=2).mean().rio.write_crs(image.rio.crs)
    cells = cells.rio.write_transform(cells.rio.transform(recalc=True))  # or it stays that of 10 m
    if impervious is not None:
        impervious = _onto(impervious, cells, "imperviousness")
        if (impervious.where(impervious != chips.IGNORE, 0) > 100).any():
            raise ValueError("imperviousness: give per cent, 0 to 100, and 255 where unknown")
    label = None if impervious is None else extent(impervious)
    if truth is not None:
        truth = _onto(truth, cells, "truth")
        if odd := sorted(set(np.unique(truth)) - {0, 1, chips.IGNORE}):
            raise ValueError(f"truth: it holds {odd}; give 1 settlement, 0 other, 255 unknown")
        truth = truth.assign_attrs(classes=CLASSES)
    return Ground(name, role, image, impervious, label, truth, dict(options or {}))


def _reflectance(image):
    """The ten bands, float32, NaN in all where one misses; or why they are none."""
    _checks.raster(image, "image")
    given = ", ".join(str(n) for n in image["band"].values)
    if "band" not in image.coords:
        raise ValueError(
            f"image: its bands have no names. Say which they are, "
            f"image.assign_coords(band=[...]); we need {', '.join(BANDS)}"
        )
    image = _named(image)
    found = list(image["band"].values)
    missing = [band for band in BANDS if band not in found]
    if missing:
        raise ValueError(
            f"image: the band {', '.join(missing)} is missing; it has {given}. Nothing else can "
            "stand in: the network was trained on all ten."
        )
    own = [band for band in found if band in BANDS]
    if own != list(BANDS):
        raise ValueError(
            f"image: expected the bands {', '.join(BANDS)} in this order, each once; it has "
            f"{given}. If the names are right: image.sel(band=[...])."
        )
    image = image.sel(band=list(BANDS))
    values = image.values.astype("float32")
    if image.rio.nodata is not None:
        values[image.values == image.rio.nodata] = np.nan
    values[:, ~np.isfinite(values).all(axis=0) | (values == 0).all(axis=0)] = np.nan
    middle = np.nanmedian(values) if np.isfinite(values).any() else np.nan
    if np.isnan(middle):
        raise ValueError("image: no pixel has data in all ten bands")
    if middle > 1.5:
        raise ValueError(
            f"image: half of its values are above {middle:.4g}: that is no reflectance. Stored "
            "numbers of Sentinel-2 are reflectance x 10000: divide by 10000."
        )
    if np.nanmax(values) < 0.01:
        raise ValueError(
            f"image: its highest value is {np.nanmax(values):.2g}, darker than water. Was it "
            "divided by 10000 twice?"
        )
    return image.copy(data=values).rio.write_crs(image.rio.crs).rio.write_nodata(np.nan)


def _onto(raster, cells, what):
    try:
        return chips.align(raster, cells)
    except ValueError as error:
        raise ValueError(str(error).replace("label", what, 1)) from None


def extent(impervious):
    """Turn imperviousness into settlement: more than 0 % sealed, as section 2 defines it.

    Parameters
    ----------
    impervious : xarray.DataArray
        (y, x) per cent, 255 unknown.

    Returns
    -------
    xarray.DataArray
        (y, x) uint8: 1, 0, and 255 where unknown.
    """
    unknown = impervious == chips.IGNORE
    out = xr.where(unknown, chips.IGNORE, impervious > 0).astype("uint8")
    out = out.rio.write_crs(impervious.rio.crs).rio.write_nodata(chips.IGNORE)
    attrs = {k: v for k, v in impervious.attrs.items() if k not in ("units", "_FillValue")}
    title = "Settlement extent: more than 0 % sealed"
    return out.assign_attrs(attrs | {"title": title, "long_name": "settlement", "classes": CLASSES})


def indices(place, sealed=-0.1, wet=0.0, water=0):
    """Mark built-up land by spectral indices alone: a rule to compare with, no truth.

    Parameters
    ----------
    place : Ground
        Any.
    sealed : float
        A cell is built up where NDBI - NDVI is above this (after Zha et al. 2003, Int. J. Remote
        Sens. 24, 583); the default was chosen on simulated training cities ...
    wet : float
        ... and MNDWI, which is high over water, is below this.
    water : {0, 255}
        Code of cells above it: other land, or 255 to leave them out of scores.

    Returns
    -------
    xarray.DataArray
        (y, x) uint8 at 20 m: 1, 0, and 255 where there is no data. Dry bare fields count as
        built up and shaded or leafy streets do not: read agreement with it, not accuracy.
    """
    mean = place.image.coarsen(y=2, x=2).mean()
    green, red, nir, swir = (mean.sel(band=b, drop=True) for b in ("B3", "B4", "B8", "B11"))

    def contrast(one, other):
        return (one - other) / (one + other)

    found = contrast(swir, nir) - contrast(nir, red) > sealed
    found = xr.where(contrast(green, swir) < wet, found, water)
    found = xr.where(swir.isnull(), chips.IGNORE, found).astype("uint8")
    found = found.rio.write_crs(place.image.rio.crs).rio.write_nodata(chips.IGNORE)
    attrs = {"title": "NDVI/NDBI rule, no truth", "long_name": "settlement", "classes": CLASSES}
    return found.assign_attrs(attrs | {"simulated": place.simulated})


def sample(place, chip=128, stride=96, split="corner", valid=0.25, seed=0):
    """Cut overlapping chips and split them by space or at random, as section 5.1.2 does.

    Parameters
    ----------
    place : Ground
        With labels.
    chip, stride : int
        Side of a chip and step to the next, pixels of 10 m; even numbers.
    split : {"corner", "random"}
        "corner": the square of chips in the upper left whose ground is nearest to `valid` of the
        city validates, and chips that overlap it are not used. "random": as many chips validate
        and as many train as there, drawn one by one, so that nothing else differs.
    valid : float
        Share of the ground for validation.
    seed : int
        Of the draw: another one for each city, the same one for its seasons.

    Returns
    -------
    geopandas.GeoDataFrame
        Chip table with the column split: "train", "valid", or "guard" (not used).

    Raises
    ------
    ValueError
        No labels, an odd chip or stride, an unknown split, an image too small for chips of both
        parts.
    """
    choice(split, ("corner", "random"), "split")
    if place.label is None:
        raise ValueError(f"{place.name} has no labels: it can be mapped, not learnt from")
    if chip % 2 or stride % 2:
        raise ValueError(f"chip={chip}, stride={stride}: both must be even, labels are 20 m cells")
    table = chips.grid(place.image, place.label, size=chip, stride=stride, cover=True)
    table = table[table["labelled"] > 0].reset_index(drop=True)
    # In the shape of the image: the part that is cut out looks like the whole.
    height, width = place.image.shape[1:]
    at = table[["row", "col"]] / [max(height - chip, 1), max(width - chip, 1)]
    reach = at.max(axis=1)

    def ground(limit):
        row, col = table.loc[reach <= limit, ["row", "col"]].max() + chip
        return row * col / (height * width)

    inside = reach <= min(reach.unique(), key=lambda limit: abs(ground(limit) - valid))
    if inside.all():
        raise ValueError(
            f"{place.name} is too small to split: its {len(table)} chips of {chip} pixels would "
            "all validate. Use smaller chips or a larger city."
        )
    table = chips.split(table, by="corner", valid=float(inside.mean()), seed=seed)
    if split == "random":
        rng = np.random.default_rng([seed, place.options.get("seed", 0)])
        table["split"] = rng.permutation(table["split"])
        table.attrs["split"]["by"] = "random"
    return table
