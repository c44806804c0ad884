"""Checks that several modules make of their input, with errors for the person who meets them."""

import rioxarray  # noqa: F401  (registers the .rio accessor)
import xarray as xr


def raster(array, what="image", dims=("band", "y", "x")):
    """Return `array` if it is a georeferenced raster with the dims asked for, else explain.

    Parameters
    ----------
    array : xarray.DataArray
        The raster to check.
    what : str
        What the caller calls it; it appears in the message.
    dims : tuple of str
        The dimensions, in order.

    Raises
    ------
    TypeError
        `array` is not a DataArray.
    ValueError
        Wrong dimensions, no pixel, no CRS, or a grid that is not regular.
    """
    if not isinstance(array, xr.DataArray):
        raise TypeError(
            f"{what}: expected an xarray.DataArray with dims {dims}, got {type(array).__name__}"
        )
    if array.dims != tuple(dims):
        raise ValueError(
            f"{what}: expected dims {tuple(dims)}, got {array.dims}. "
            "Use .transpose() to reorder or .expand_dims('band') to add a band."
        )
    if 0 in array.shape:
        raise ValueError(f"{what}: the raster is empty, its shape is {array.shape}")
    if array.rio.crs is None:
        raise ValueError(
            f"{what}: the raster has no CRS. Set the one it was made in with "
            ".rio.write_crs('EPSG:...') before going on; guessing would misplace it."
        )
    return array
