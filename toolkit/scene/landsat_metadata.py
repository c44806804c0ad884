"""How does the metadata file of a Landsat 8 scene read?

The layout of Collection 1's ``*_MTL.txt`` (USGS, Landsat 8 Data Users Handbook, LSDS-1574, appendix
B), with what a temperature needs: scaling, thermal constants, sun, place and time.
"""

from datetime import date as Date

import numpy as np
from rasterio.warp import transform as warp_points

CONSTANTS = {10: (774.8853, 1321.0789), 11: (480.8883, 1201.1442)}
"""K1 (W m-2 sr-1 um-1) and K2 (K) of both thermal bands, from the metadata of every scene."""
RADIANCE = (3.3420e-04, 0.1)
"""Radiance of a count, and of count 0."""
REFLECTANCE = (2.0e-05, -0.1)
"""Reflectance of a count, and of count 0, before it is divided by the sine of the sun's height."""

_GROUPS = {
    "METADATA_FILE_INFO": ("ORIGIN",),
    "PRODUCT_METADATA": (
        "DATA_TYPE", "SPACECRAFT", "SENSOR", "DATE", "SCENE", "CORNER", "REFLECTIVE", "THERMAL",
    ),
    "IMAGE_ATTRIBUTES": ("CLOUD", "SUN", "EARTH"),
    "RADIOMETRIC_RESCALING": ("RADIANCE", "REFLECTANCE_MULT", "REFLECTANCE_ADD"),
    "TIRS_THERMAL_CONSTANTS": ("K1", "K2"),
    "PROJECTION_PARAMETERS": ("MAP", "DATUM", "ELLIPSOID", "UTM", "GRID"),
}  # fmt: skip


def metadata(city, date, hour, sun, bounds, shape):
    """Metadata of a simulated scene, by the agency's names.

    Parameters
    ----------
    city : City
        For its coordinate system.
    date : str
        Of the pass.
    hour : float
        Local solar time of the pass.
    sun : light.Sun
        Where it stands.
    bounds : tuple of float
        West, south, east, north, metres.
    shape : tuple of int
        Rows and columns.

    Returns
    -------
    dict
    """
    west, south, east, north = bounds
    day = Date.fromisoformat(date).timetuple().tm_yday
    (longitude,), _ = warp_points(city.crs, "EPSG:4326", [(west + east) / 2], [(south + north) / 2])
    hour = (hour - longitude / 15) % 24
    clock = f"{int(hour):02d}:{int(hour % 1 * 60):02d}:00.0000000Z"
    table = {
        "ORIGIN": "Simulated: not an image of the U.S. Geological Survey", "DATA_TYPE": "L1TP",
        "SPACECRAFT_ID": "LANDSAT_8", "SENSOR_ID": "OLI_TIRS",
        "DATE_ACQUIRED": date,        "SCENE_CENTER_TIME": clock,
    }  # fmt: skip
    corners = {"UL": (west, north), "UR": (east, north), "LL": (west, south), "LR": (east, south)}
    for corner, (x, y) in corners.items():
        # the centre of the corner pixel, as the agency writes it
        x, y = x + (15 if corner[1] == "L" else -15), y + (15 if corner[0] == "L" else -15)
        table[f"CORNER_{corner}_PROJECTION_X_PRODUCT"] = float(x)
        table[f"CORNER_{corner}_PROJECTION_Y_PRODUCT"] = float(y)
    for kind in ("REFLECTIVE", "THERMAL"):
        table |= {f"{kind}_LINES": int(shape[0]), f"{kind}_SAMPLES": int(shape[1])}
    table |= {
        "CLOUD_COVER": 0.0,
        "SUN_AZIMUTH": sun.azimuth,
        "SUN_ELEVATION": sun.elevation,
    }
    table["EARTH_SUN_DISTANCE"] = round(
        1 - 0.01672 * float(np.cos(2 * np.pi * (day - 4) / 365.25)), 7
    )
    for name, number in (("MULT", 0), ("ADD", 1)):
        table |= {f"RADIANCE_{name}_BAND_{b}": RADIANCE[number] for b in (10, 11)}
    for name, number in (("MULT", 0), ("ADD", 1)):
        table |= {f"REFLECTANCE_{name}_BAND_{b}": REFLECTANCE[number] for b in (4, 5)}
    for band, pair in CONSTANTS.items():
        table |= {f"K{k + 1}_CONSTANT_BAND_{band}": value for k, value in enumerate(pair)}
    zone = int(str(city.crs).split(":")[-1]) % 100
    table |= {"MAP_PROJECTION": "UTM", "DATUM": "WGS84", "ELLIPSOID": "WGS84", "UTM_ZONE": zone}
    table |= {"GRID_CELL_SIZE_REFLECTIVE": 30.0, "GRID_CELL_SIZE_THERMAL": 30.0}
    return table


def mtl_text(image):
    """Metadata of a `landsat8` image in the layout of the agency's ``*_MTL.txt``.

    Parameters
    ----------
    image : xarray.DataArray
        From `landsat8`.

    Returns
    -------
    str

    Raises
    ------
    KeyError
        The image carries no metadata.
    """
    if "mtl" not in image.attrs:
        raise KeyError("the image has no attrs['mtl']; take it from thermal.landsat8 unchanged")
    lines, left = ["GROUP = L1_METADATA_FILE"], dict(image.attrs["mtl"])
    for group, starts in _GROUPS.items():
        lines.append(f"  GROUP = {group}")
        for key in [k for k in left if k.startswith(starts)]:
            lines.append(f"    {key} = {_printed(key, left.pop(key))}")
        lines.append(f"  END_GROUP = {group}")
    return "\n".join([*lines, "END_GROUP = L1_METADATA_FILE", "END", ""])


def _printed(key, value):
    if key.startswith(("RADIANCE_MULT", "REFLECTANCE_MULT")):
        return f"{value:.4E}"
    if key.startswith("RADIANCE_ADD"):
        return f"{value:.5f}"
    if key.startswith("REFLECTANCE_ADD"):
        return f"{value:.6f}"
    if isinstance(value, str) and not key.startswith("DATE_"):
        return f'"{value}"'
    return f"{value:.3f}" if key.startswith("CORNER") else str(value)
