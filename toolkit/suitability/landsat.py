"""What do the counts of a Landsat 8 scene mean: radiance, temperature, plants, clouds?"""

import re
from pathlib import Path

import numpy as np
import xarray as xr

from toolkit import _checks
from toolkit.scene.landsat_metadata import CONSTANTS, RADIANCE, REFLECTANCE

STANDARD_CONSTANTS = {
    **{f"RADIANCE_MULT_BAND_{b}": RADIANCE[0] for b in (10, 11)},
    **{f"RADIANCE_ADD_BAND_{b}": RADIANCE[1] for b in (10, 11)},
    **{f"REFLECTANCE_MULT_BAND_{b}": REFLECTANCE[0] for b in (4, 5)},
    **{f"REFLECTANCE_ADD_BAND_{b}": REFLECTANCE[1] for b in (4, 5)},
    **{f"K{k}_CONSTANT_BAND_{b}": pair[k - 1] for b, pair in CONSTANTS.items() for k in (1, 2)},
}
"""Constants that every Landsat 8 level-1 scene has had so far, for a scene that lost its MTL."""

BANDS = {
    "red": ("red", "B4", "B04", "SR_B4"),
    "nir": ("nir", "B5", "B05", "SR_B5"),
    "thermal1": ("thermal1", "B10"),
    "thermal2": ("thermal2", "B11"),
}
"""Names under which a band is looked for."""
NUMBER = {"red": 4, "nir": 5, "thermal1": 10, "thermal2": 11}

# First bit of the two-bit confidences, and single bits, by collection
QUALITY = {
    "pre": {"confidence": {"cloud": 14, "cirrus": 12}, "single": {"fill": 0}},
    1: {"confidence": {"cloud": 5, "shadow": 7, "cirrus": 11}, "single": {"fill": 0, "cloud": 4}},
    2: {
        "confidence": {"cloud": 8, "shadow": 10, "cirrus": 14},
        "single": {"fill": 0, "dilated cloud": 1, "cirrus": 2, "cloud": 3, "shadow": 4},
    },
}


def read_mtl(source):
    """Read the metadata file of a Landsat scene.

    Parameters
    ----------
    source : path, or str with the text
        ``*_MTL.txt`` of a level-1 scene, of any collection.

    Returns
    -------
    dict
        Value by name, numbers as int or float. Where a level-2 file names a constant twice, that
        of level 1 is kept: it belongs to the counts.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The text is not in this layout, or has no constants of a thermal band (another sensor).

    Notes
    -----
    USGS, Landsat 8 Data Users Handbook, LSDS-1574, appendix B.

    Examples
    --------
    >>> text = '''GROUP = L1_METADATA_FILE
    ...   GROUP = TIRS_THERMAL_CONSTANTS
    ...     K1_CONSTANT_BAND_10 = 774.8853
    ...   END_GROUP = TIRS_THERMAL_CONSTANTS
    ... END_GROUP = L1_METADATA_FILE
    ... END'''
    >>> read_mtl(text)["K1_CONSTANT_BAND_10"]
    774.8853
    """
    text = str(source)
    name = "the metadata"
    if "\n" not in text:
        path = Path(source)
        if not path.is_file():
            raise FileNotFoundError(
                f"there is no metadata file {path}; it ends in _MTL.txt and comes with the scene"
            )
        name, text = path.name, path.read_text(encoding="utf-8", errors="replace")
    result, group, firm = {}, "", set()
    for key, value in re.findall(r"^\s*(\w+) = (.*?)\s*$", text, re.MULTILINE):
        if key == "GROUP":
            group = value
        elif key != "END_GROUP" and key not in firm:
            result[key] = _number(value)
            if group.startswith("LEVEL1_"):
                firm.add(key)
    if not result:
        raise ValueError(f"{name} is not an MTL file: it has no line such as 'KEY = value'")
    if not any(key.startswith("K1_CONSTANT_BAND_1") for key in result):
        craft = result.get("SPACECRAFT_ID", "not stated")
        raise ValueError(
            f"{name} has no thermal constants of band 10 or 11 (spacecraft: {craft}). "
            "We read Landsat 8 and 9, level 1."
        )
    return result


def _number(value):
    value = value.strip('"')
    for kind in (int, float):
        # "01" and "2013-07-07" are no numbers
        if re.fullmatch(r"-?(0|[1-9]\d*)" if kind is int else r"-?\d+\.\d*(E[+-]?\d+)?", value):
            return kind(value)
    return value


def constants(image, mtl):
    """Metadata to use with an image: given, from a file, ``"standard"`` or its own attributes."""
    if mtl is None:
        mtl = image.attrs.get("mtl")
    if mtl is None:
        raise ValueError(
            "the image has thermal counts but no metadata (MTL), so they cannot become "
            "temperatures. Give mtl=<path of the scene's *_MTL.txt>, or, if it is lost, "
            'mtl="standard" for the constants that all Landsat 8 scenes share.'
        )
    if isinstance(mtl, str) and mtl == "standard":
        return STANDARD_CONSTANTS
    return mtl if isinstance(mtl, dict) else read_mtl(mtl)


def _constant(mtl, key):
    if key not in mtl:
        raise KeyError(
            f"the metadata have no {key}. Is it the MTL of a level-1 scene of Landsat 8? "
            'mtl="standard" gives the usual constants.'
        )
    return float(mtl[key])


def band(image, name):
    """One band by the name that we give it, as counts; fill (0) becomes NaN."""
    have = [str(value) for value in image["band"].values]
    found = [label for label in BANDS[name] if label in have]
    if not found:
        raise KeyError(
            f"the image has no band {' or '.join(BANDS[name])}; it has {', '.join(have)}. "
            "Rename with image.assign_coords(band=[...])."
        )
    counts = image.sel(band=found[0], drop=True)
    return counts.where(counts > 0).astype(np.float64)


def brightness_temperature(image, band_number, mtl=None):
    """Temperature of the black body that would send what a thermal band measured.

    Parameters
    ----------
    image : xarray.DataArray
        Counts, dims (band, y, x), with band ``B10`` (or ``thermal1``) or ``B11`` (``thermal2``);
        0 is no data.
    band_number : {10, 11}
        Which.
    mtl : dict, path or "standard", optional
        Metadata from `read_mtl`, their file, or the constants all Landsat 8 scenes share; left
        out, those in ``image.attrs["mtl"]``.

    Returns
    -------
    xarray.DataArray
        Kelvin at the top of the atmosphere, dims (y, x), float32, NaN where there is no data.
        With L = RADIANCE_MULT x count + RADIANCE_ADD (W m-2 sr-1 um-1): K2 / ln(K1 / L + 1).

    Raises
    ------
    KeyError
        The image lacks the band or the metadata a constant.
    ValueError
        There are no metadata.

    Notes
    -----
    USGS, Landsat 8 Data Users Handbook, LSDS-1574, section 5.

    Examples
    --------
    >>> image = xr.DataArray([[[30000]]], {"band": ["B10"]}, ("band", "y", "x"))
    >>> image = image.rio.write_crs("EPSG:32648")
    >>> round(float(brightness_temperature(image, 10, "standard")[0, 0]), 2)
    303.65
    """
    _checks.raster(image)
    _checks.choice(band_number, (10, 11), "band_number")
    mtl = constants(image, mtl)
    kelvin = _brightness(radiance(image, band_number, mtl), band_number, mtl)
    return finish(kelvin, image, f"brightness temperature, band {band_number}", "K")


def radiance(image, number, mtl):
    """Radiance of a thermal band, W m-2 sr-1 um-1, float64."""
    counts = band(image, {10: "thermal1", 11: "thermal2"}[number])
    scale, start = (_constant(mtl, f"RADIANCE_{k}_BAND_{number}") for k in ("MULT", "ADD"))
    return scale * counts + start


def _brightness(values, number, mtl):
    first, second = (_constant(mtl, f"K{k}_CONSTANT_BAND_{number}") for k in (1, 2))
    return second / np.log(first / values.where(values > 0) + 1)


def brightness(image, number, mtl):
    """`brightness_temperature` without the checks, float64."""
    return _brightness(radiance(image, number, mtl), number, mtl)


def ndvi(image, mtl=None):
    """Normalised difference vegetation index from the counts of red and near infrared.

    Parameters
    ----------
    image : xarray.DataArray
        Counts, dims (band, y, x), bands ``B4`` (or ``red``) and ``B5`` (``nir``); 0 is no data.
    mtl : dict, path or "standard", optional
        As in `brightness_temperature`.

    Returns
    -------
    xarray.DataArray
        -1 to 1, dims (y, x), float32, from reflectance above the atmosphere. The height of the
        sun cancels out.

    Raises
    ------
    KeyError, ValueError
        As `brightness_temperature`.
    """
    _checks.raster(image)
    mtl = constants(image, mtl)
    red, nir = (
        (
            band(image, name) * _constant(mtl, f"REFLECTANCE_MULT_BAND_{NUMBER[name]}")
            + _constant(mtl, f"REFLECTANCE_ADD_BAND_{NUMBER[name]}")
        ).clip(0)
        for name in ("red", "nir")
    )
    index = (nir - red) / (nir + red).where(nir + red > 0)
    return finish(index, image, "NDVI above the atmosphere", "1")


def clear_sky(qa, collection):
    """Where the quality band of Landsat 8 sees neither cloud, cirrus, shadow nor fill.

    Parameters
    ----------
    qa : xarray.DataArray
        Bit flags, dims (y, x), or (band, y, x) with the band ``qa``.
    collection : {"pre", 1, 2}
        Whose bits: BQA before the collections (2013 to 2016; values such as 20480), BQA of
        Collection 1 (2720) or QA_PIXEL of Collection 2 (21824): the value of clear land.

    Returns
    -------
    xarray.DataArray
        bool, dims (y, x). A pixel is not clear if the confidence in a cloud, cirrus or (in a
        collection) shadow is medium or high, or one of these flags is set; ``attrs["clear"]`` is
        the share of clear pixels.

    Raises
    ------
    KeyError
        No band ``qa``.
    ValueError
        Another collection, or values that are no bit flags.

    Notes
    -----
    USGS, Landsat Quality Assessment band pages; LSDS-1574 section 5.4 (Collection 1), LSDS-1619
    (Collection 2). Clouds are found by their cold and bright tops: thin ones and their edges stay.

    Examples
    --------
    >>> qa = xr.DataArray([[20480, 53248]], dims=("y", "x")).rio.write_crs("EPSG:32616")
    >>> clear_sky(qa, "pre").values.tolist()
    [[True, False]]
    """
    _checks.choice(collection, tuple(QUALITY), "collection")
    if isinstance(qa, xr.DataArray) and "band" in qa.dims:
        if "qa" not in qa["band"].values:
            raise KeyError(f"the image has no band 'qa'; it has {list(qa['band'].values)}")
        qa = qa.sel(band="qa", drop=True)
    _checks.raster(qa, "qa", ("y", "x"))
    values = np.nan_to_num(np.asarray(qa.values, float), nan=1)  # no flags: fill
    if (values < 0).any() or (values > 65535).any() or (values % 1).any():
        raise ValueError(
            "qa holds values that are no bit flags (whole numbers from 0 to 65535): was it "
            "resampled? Only nearest neighbour keeps flags."
        )
    bits = values.astype(np.uint16)
    clear = np.ones(bits.shape, bool)
    for first in QUALITY[collection]["confidence"].values():
        clear &= (bits >> first & 3) < 2
    for bit in QUALITY[collection]["single"].values():
        clear &= (bits >> bit & 1) == 0
    result = qa.copy(data=clear).rename("clear_sky").drop_attrs(deep=False)
    return result.assign_attrs(long_name="clear sky", clear=float(clear.mean()))


def finish(values, image, long_name, units):
    """Give a result float32, its own name and what is known of the image."""
    kept = {
        key: image.attrs[key]
        for key in ("sensor", "date", "licence", "citation", "source", "simulated")
        if key in image.attrs
    }
    values = values.astype(np.float32).drop_attrs(deep=False)
    values = values.rio.write_crs(image.rio.crs).rio.write_nodata(np.nan)
    return values.assign_attrs(**kept, long_name=long_name, units=units)
