"""Checks that several modules make of their input, with errors for the person who meets them."""

import difflib

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


def choice(value, options, what):
    """Return `value` if it is one of `options`, else name them and the nearest one.

    Parameters
    ----------
    value : object
        What was given.
    options : iterable
        What may be given.
    what : str
        What the caller calls it; it appears in the message.

    Raises
    ------
    ValueError
        `value` is none of the options.
    """
    if value in options:
        return value
    near = difflib.get_close_matches(str(value), [str(option) for option in options], n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{what}={value!r} is not known; choose one of {list(options)}.{hint}")


def changed(chosen, changes, known=None, zeros=()):
    """Return settings with what a caller changes; None, zeros and empty text change nothing.

    `known` has the names that may be changed, by default those of `chosen`; for names in `zeros`
    a 0 counts. Any other name is a TypeError.
    """
    known = chosen if known is None else known
    for name in changes:
        if name not in known:
            raise TypeError(f"setting: no value {name!r}; there are {', '.join(sorted(known))}")
    return chosen | {k: v for k, v in changes.items() if v or (k in zeros and v == 0)}


def not_negative(chosen):
    """Refuse settings that hold a negative number."""
    for name, value in chosen.items():
        if isinstance(value, int | float) and value < 0:
            raise ValueError(f"{name}={value}: give a positive number, or 0 for the profile's")
