"""How warm is the ground, from the thermal bands of Landsat 8?"""

import numpy as np
import xarray as xr

from toolkit import _checks
from toolkit.suitability import _inputs, landsat

# Emissivity of soil and plants in bands 10 and 11 (Skokovic et al. 2014)
SOIL = (0.971, 0.977)
PLANTS = (0.987, 0.989)
WATER = (0.991, 0.986)
# Split window (Jimenez-Munoz et al. 2014, table I): c0 to c6
SPLIT_WINDOW = (-0.268, 1.378, 0.183, 54.300, -2.238, -129.200, 16.400)
# Single channel, band 10 (same, equation 4): psi1, psi2, psi3 by w squared, w and 1
SINGLE_CHANNEL = (
    (0.04019, 0.02916, 1.01523),
    (-0.38333, -1.50294, 0.20324),
    (0.00918, 1.36072, -0.27514),
)
B_GAMMA = 1324.0  # K, band 10
METHODS = ("split_window", "single_channel")


def emissivity(index, soil=0.2, plants=0.5):
    """Emissivity in bands 10 and 11 from the NDVI: the thresholds method.

    Parameters
    ----------
    index : xarray.DataArray
        NDVI, dims (y, x), as from `ndvi`.
    soil, plants : float
        NDVI up to which the ground counts as bare, and from which as fully covered.

    Returns
    -------
    xarray.DataArray
        0 to 1, float32, dims (band, y, x), bands ``B10`` and ``B11``. Bare: 0.971 and 0.977; full
        cover: 0.987 and 0.989; between them weighted by the cover ((NDVI - soil) / (plants -
        soil)) squared; below NDVI 0, as over water: 0.991 and 0.986.

    Raises
    ------
    ValueError
        Values outside -1 to 1, thresholds in the wrong order.

    Notes
    -----
    Sobrino et al. 2008 (IEEE Trans. Geosci. Remote Sens. 46:316) for the method, without the
    cavity term; Skokovic et al. 2014 (Calibration and validation of land surface temperature for
    Landsat8-TIRS sensor, ESA LPVE) for the numbers of soil and plants; Carlson and Ripley 1997
    (Remote Sens. Environ. 62:241) for the square. NDVI does not see materials: bare metal roofs,
    which emit far less, come out too cool, each 0.01 of emissivity by about half a kelvin.

    Examples
    --------
    >>> index = xr.DataArray([[0.1, 0.35, 0.8]], dims=("y", "x")).rio.write_crs("EPSG:32648")
    >>> emissivity(index).sel(band="B10").values.astype(float).round(3).tolist()
    [[0.971, 0.975, 0.987]]
    """
    _checks.raster(index, "ndvi", ("y", "x"))
    if not -1 < soil < plants < 1:
        raise ValueError(f"soil={soil} must be below plants={plants}, both between -1 and 1")
    if float(np.abs(index).max()) > 1:
        raise ValueError("ndvi has values outside -1 to 1: is it scaled?")
    cover = ((index - soil) / (plants - soil)).clip(0, 1) ** 2
    layers = [
        xr.where(index < 0, water, bare * (1 - cover) + full * cover).where(index.notnull())
        for bare, full, water in zip(SOIL, PLANTS, WATER, strict=True)
    ]
    result = xr.concat(layers, xr.Variable("band", ["B10", "B11"])).transpose("band", "y", "x")
    result = landsat.finish(result, index, "emissivity from NDVI thresholds", "1")
    return result.rename("emissivity")


def land_surface_temperature(
    image,
    water_vapour,
    mtl=None,
    method="split_window",
    clear=None,
    emissivity=None,
    units="K",
):
    """Temperature of the ground from the thermal bands of Landsat 8.

    Parameters
    ----------
    image : xarray.DataArray
        Counts of a level-1 scene, dims (band, y, x): ``B10`` and for the split window ``B11``,
        ``B4`` and ``B5`` unless `emissivity` is given (or ``thermal1``, ``thermal2``, ``red``,
        ``nir``). 0 is no data.
    water_vapour : float
        Column of water vapour in the air, g/cm2 (cm of water), from a radiosonde, a reanalysis or
        MODIS: about 1 in a dry winter, 2 to 3 in a mid-latitude summer, 4 and more in the tropics.
        An error of 1 g/cm2 makes some 0.1 K with the split window, several with one band.
    mtl : dict, path or "standard", optional
        Metadata from `read_mtl`, their file, or the constants all Landsat 8 scenes share; left
        out, those in ``image.attrs["mtl"]``.
    method : {"split_window", "single_channel"}
        ``"split_window"``: both bands; the air takes more of band 11, and the difference says how
        much. ``"single_channel"``: band 10 alone, for images before 2017, in whose band 11 stray
        light made errors of some kelvin (Barsi et al. 2014, Remote Sens. 6:11607), or without it.
    clear : xarray.DataArray, optional
        bool, dims (y, x), False where clouds hide the ground, as from `clear_sky`.
    emissivity : xarray.DataArray, optional
        Dims (band, y, x), bands ``B10`` and ``B11``; left out, `emissivity` of the NDVI.
    units : {"K", "degC"}
        Kelvin or degrees Celsius; stated in ``attrs["units"]``.

    Returns
    -------
    xarray.DataArray
        Dims (y, x), float32, NaN where there is no data or no clear sky. ``attrs`` state
        ``method``, ``water_vapour`` and ``clear``, the share of data under a clear sky.

    Raises
    ------
    KeyError
        A band or a constant is missing.
    ValueError
        No metadata, no pixel under a clear sky, a mask or emissivity on another grid, water
        vapour out of range.

    Notes
    -----
    Jimenez-Munoz et al. 2014, Land surface temperature retrieval methods from Landsat-8 thermal
    infrared sensor data, IEEE Geosci. Remote Sens. Lett. 11:1840; errors typically below 1.5 K.
    With brightness temperatures T10 and T11, their difference d, mean emissivity e, difference of
    emissivity g (10 - 11) and water vapour w the split window is::

        T10 + 1.378 d + 0.183 d^2 - 0.268 + (54.300 - 2.238 w)(1 - e) + (-129.200 + 16.400 w) g

    The single channel is ``G ((p1 L + p2) / e10 + p3) + D`` with radiance L, ``G = T^2 / (1324
    L)``, ``D = T - T^2 / 1324`` and ``p = a w^2 + b w + c``: p1 0.04019, 0.02916, 1.01523; p2
    -0.38333, -1.50294, 0.20324; p3 0.00918, 1.36072, -0.27514. The paper ``roof_greening`` names
    a split window without saying which.

    The thermal bands see 100 m, delivered in pixels of 30 m: a single roof is not resolved.

    Examples
    --------
    >>> from toolkit import catalog, suitability
    >>> image = catalog.open("gulf_coast/landsat8")                     # doctest: +SKIP
    >>> clear = suitability.clear_sky(image, "pre")                     # doctest: +SKIP
    >>> kelvin = suitability.land_surface_temperature(                  # doctest: +SKIP
    ...     image, water_vapour=3.0, mtl="standard", clear=clear
    ... )
    """
    _checks.raster(image)
    _checks.choice(method, METHODS, "method")
    _checks.choice(units, ("K", "degC"), "units")
    if not 0 <= water_vapour <= 7:
        raise ValueError(
            f"water_vapour={water_vapour}: a column of water vapour has 0 to 7 g/cm2. In kg/m2 "
            "(mm) divide by 10."
        )
    mtl = landsat.constants(image, mtl)
    if method == "split_window" and not _has(image, "thermal2"):
        raise KeyError(
            'the image has no band 11 (B11, thermal2), which method="split_window" needs; '
            'method="single_channel" works with band 10 alone'
        )
    ten, eleven = _emissivities(image, mtl, emissivity)
    kelvin = landsat.brightness(image, 10, mtl)
    if method == "split_window":
        kelvin = _split_window(
            kelvin, landsat.brightness(image, 11, mtl), ten, eleven, water_vapour
        )
    else:
        kelvin = _single_channel(kelvin, landsat.radiance(image, 10, mtl), ten, water_vapour)
    if not bool(kelvin.notnull().any()):
        raise ValueError("the image has no pixel with counts in the bands that are needed")
    share = 1.0
    if clear is not None:
        kelvin, share = _masked(kelvin, clear)
    if units == "degC":
        kelvin = kelvin - 273.15
    result = landsat.finish(kelvin, image, "land surface temperature", units)
    return result.rename("land_surface_temperature").assign_attrs(
        method=f"{method}, Jimenez-Munoz et al. 2014",
        water_vapour=float(water_vapour),
        clear=share,
    )


def _has(image, name):
    return any(label in image["band"].values for label in landsat.BANDS[name])


def _split_window(ten, eleven, e10, e11, water):
    c = SPLIT_WINDOW
    apart, mean, gap = ten - eleven, (e10 + e11) / 2, e10 - e11
    air = ten + c[1] * apart + c[2] * apart**2 + c[0]
    return air + (c[3] + c[4] * water) * (1 - mean) + (c[5] + c[6] * water) * gap


def _single_channel(kelvin, radiance, e10, water):
    one, two, three = (np.polyval(row, water) for row in SINGLE_CHANNEL)
    gamma = kelvin**2 / (B_GAMMA * radiance)
    return gamma * ((one * radiance + two) / e10 + three) + kelvin - kelvin**2 / B_GAMMA


def _emissivities(image, mtl, given):
    """Emissivity of both bands on the grid of the image, by position."""
    if given is None:
        if not (_has(image, "red") and _has(image, "nir")):
            raise KeyError(
                "the image has no red and near-infrared band (B4, B5), from which emissivity is "
                "estimated. Add them, or give emissivity=."
            )
        given = emissivity(landsat.ndvi(image, mtl))
    _checks.raster(given, "emissivity")
    if not {"B10", "B11"} <= set(given["band"].values.tolist()):
        raise KeyError(f"emissivity needs bands B10 and B11; it has {list(given['band'].values)}")
    _aligned(given, image, "emissivity")
    low, high = float(given.min()), float(given.max())
    if low <= 0.5 or high > 1:
        raise ValueError(f"emissivity goes from {low:.3g} to {high:.3g}; it lies between 0.5 and 1")
    return (given.sel(band=name).to_numpy().astype(np.float64) for name in ("B10", "B11"))


def _masked(kelvin, clear):
    _checks.raster(clear, "clear", ("y", "x"))
    _aligned(clear, kelvin, "clear")
    if clear.dtype != bool:
        raise ValueError(
            f"clear has dtype {clear.dtype}; it must be bool, True where the sky is clear "
            "(suitability.clear_sky makes it from the quality band)"
        )
    seen = kelvin.notnull().to_numpy() & clear.to_numpy()
    if not seen.any():
        raise ValueError(
            "no pixel of the scene is under a clear sky: the whole scene is cloud. Take another "
            "date; and check that clear_sky was told the right collection."
        )
    return kelvin.where(seen), float(seen.sum() / kelvin.notnull().sum())


def _aligned(layer, image, what):
    here, there = (r.isel(band=0) if "band" in r.dims else r for r in (layer, image))
    other = _inputs.difference(here, there)
    if other:
        raise ValueError(
            f"{what} has another {other} than the image; give it on the image's own grid"
        )
