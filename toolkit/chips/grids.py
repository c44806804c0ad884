"""How do two rasters come onto one pixel grid?

Use it through `toolkit.chips`.
"""

import math

import numpy as np
import odc.geo.xr  # noqa: F401  (registers the .odc accessor)
import rasterio.warp
from odc.geo.geobox import GeoBox
from rasterio import Affine

from toolkit import _checks
from toolkit._checks import choice

IGNORE = 255
"""Code of pixels without a label: kept out of the loss, the metrics and the class shares."""

OKABE_ITO = (
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
    "#000000",
)
CODES = ("nearest", "mode")
QUANTITIES = ("average", "bilinear", "sum")
# Names under which sensors and papers list what the eye sees as red, green and blue.
_RGB = (("red", "b4", "b04"), ("green", "b3", "b03"), ("blue", "b2", "b02"))


def geobox(raster, what="image"):
    """Return the GeoBox (shape, transform, CRS) of a raster, or explain why it has none."""
    box = raster.odc.geobox
    # odc looks at the ends of the coordinates alone; pixels in between may lie elsewhere.
    even = box is not None and all(
        np.abs(at - np.linspace(at[0], at[-1], len(at))).max() <= 0.1 * abs(step)
        for at, step in ((raster.x.values, box.affine.a), (raster.y.values, box.affine.e))
    )
    if not even:
        raise ValueError(
            f"{what}: the x and y coordinates are not evenly spaced, so the pixels have no grid. "
            "Resample the raster to a regular grid first."
        )
    if box.affine.b or box.affine.d:
        raise ValueError(f"{what}: the grid is rotated. Warp it to an upright grid first.")
    return box


def same_grid(one, other):
    """Say whether two geoboxes share CRS, shape and (to 1/1000 pixel) transform."""
    if one.shape != other.shape or one.crs != other.crs:
        return False
    step = abs(one.affine.a), abs(one.affine.e)
    ends = ((0, 0), one.shape.xy)
    return all(
        abs(a - b) <= 1e-3 * s
        for end in ends
        for a, b, s in zip(one.affine * end, other.affine * end, step, strict=True)
    )


def has_data(image):
    """Return a boolean array (y, x): True where every band of the image holds a finite value."""
    return np.isfinite(np.asarray(image.values)).all(axis=0)


def as_label(label):
    """Return a class raster as uint8 (y, x) with nodata 255, whatever nodata it came with."""
    if getattr(label, "dims", ()) == ("band", "y", "x") and label.sizes["band"] == 1:
        label = label.squeeze("band", drop=True)
    _checks.raster(label, "label", ("y", "x"))
    values = np.asarray(label.values)
    empty = ~np.isfinite(values)
    nodata = label.rio.encoded_nodata if label.rio.nodata is None else label.rio.nodata
    if nodata is not None and not np.isnan(nodata):
        empty |= values == nodata
    codes = np.where(empty, IGNORE, values)
    if codes.dtype.kind == "f" and (codes != np.floor(codes)).any():
        raise ValueError(
            "label: it holds fractions, so it is a quantity and not a map of class codes. "
            "Threshold it first, or use resampling='average' to bring it to the image's grid."
        )
    if codes.min() < 0 or codes.max() > IGNORE:
        raise ValueError(
            f"label: class codes must lie in 0 to 254 (255 is 'no label'), "
            f"found {codes.min():g} to {codes.max():g}"
        )
    out = label.copy(data=codes.astype(np.uint8))
    return _with_nodata(out, IGNORE)


def classes_of(label, classes=None):
    """Return the classes as a list of dicts with value, name and color.

    `classes` may be such a list, or a list of names for the codes 0, 1, 2, ...; by default it is
    read from ``label.attrs["classes"]``, and failing that from the codes that occur.
    """
    classes = label.attrs.get("classes") if classes is None else classes
    if not classes:
        found = np.unique(label.values)
        classes = [{"value": int(v), "name": str(v)} for v in found[found != IGNORE]]
    out = []
    for position, item in enumerate(classes):
        item = {"value": position, "name": item} if isinstance(item, str) else dict(item)
        item.setdefault("color", OKABE_ITO[position % len(OKABE_ITO)])
        out.append(item)
    for key in ("value", "name"):
        seen = [item[key] for item in out]
        twice = sorted({s for s in seen if seen.count(s) > 1})
        if twice:
            raise ValueError(f"classes: the {key} {twice[0]!r} is given to more than one class")
    found = set(np.unique(label.values).tolist()) - {IGNORE}
    unknown = sorted(found - {item["value"] for item in out})
    if unknown:
        listed = ", ".join(f"{item['value']} {item['name']}" for item in out)
        raise ValueError(
            f"label: it holds the codes {unknown}, which are not among its classes ({listed}). "
            "Add them to attrs['classes'], or set those pixels to 255 to ignore them."
        )
    return out


def positions(codes, classes):
    """Turn class codes into positions in the list of classes; IGNORE for all others."""
    index = np.full(256, IGNORE, np.uint8)
    for position, item in enumerate(classes):
        index[item["value"]] = position
    return index[codes]


def display_bands(names, display=None):
    """Return the positions of the bands to show: red, green, blue, or one band in grey."""
    names = [str(name) for name in names]
    if display is not None:
        chosen = [choice(str(name), names, "display") for name in np.atleast_1d(display)]
        if len(chosen) not in (1, 3):
            raise ValueError(f"display: name one band or three, not {len(chosen)}")
        return [names.index(name) for name in chosen]
    if len(names) < 3:
        return [0]
    low = [name.lower() for name in names]
    found = [[i for i, name in enumerate(low) if name in words] for words in _RGB]
    return [hits[0] for hits in found] if all(found) else [0, 1, 2]


def zoom(array, factor, resampling=None):
    """Resample a raster to finer or coarser pixels over the same ground.

    Parameters
    ----------
    array : xarray.DataArray
        An image (band, y, x) or a single layer (y, x); a class raster is one of integers.
    factor : float
        Pixels of the result per pixel of `array`, along each axis: 2 halves the pixel size,
        ``224 / 36`` turns 36 x 36 pixels into 224 x 224.
    resampling : {"bilinear", "average", "sum", "nearest", "mode"}, optional
        By default "bilinear" for floats and "nearest" for integers.

    Returns
    -------
    xarray.DataArray
        Same upper left corner, CRS, bands and attributes. A pixel whose centre falls on nodata
        stays nodata; next to nodata, "bilinear" and "average" weigh only the valid neighbours.

    Raises
    ------
    ValueError
        `factor` is not positive, or class codes would be interpolated.

    Notes
    -----
    Where the shape times the factor is not whole, a last partly covered row and column is added.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from toolkit import chips
    >>> image = xr.DataArray(
    ...     np.float32([[[0, 1], [2, 3]]]), dims=("band", "y", "x"),
    ...     coords={"band": ["lights"], "y": [1.5, 0.5], "x": [0.5, 1.5]},
    ... ).rio.write_crs("EPSG:32735")
    >>> chips.zoom(image, 2).shape
    (1, 4, 4)
    """
    dims = ("y", "x") if getattr(array, "ndim", 3) == 2 else ("band", "y", "x")
    _checks.raster(array, "array", dims)
    if not (np.isfinite(factor) and factor > 0):
        raise ValueError(f"factor={factor}: give a positive number of new pixels per old pixel")
    codes = array.dtype.kind in "uib"
    if resampling is None:
        resampling = "nearest" if codes else "bilinear"
    choice(resampling, (*CODES, *QUANTITIES), "resampling")
    if codes and resampling in QUANTITIES:
        raise ValueError(
            f"resampling={resampling!r} would mix class codes ({array.dtype}) into codes of other "
            "classes. Use 'nearest' or 'mode', or turn the raster into floats if it is a quantity."
        )
    old = geobox(array, "array")
    # odc's own zoom_out takes the ceiling of 224.00000000000003 and adds an empty row.
    shape = [math.ceil(n * factor - 1e-6) for n in old.shape]
    return _warp(array, GeoBox(shape, old.affine * Affine.scale(1 / factor), old.crs), resampling)


def align(label, image, resampling="nearest"):
    """Bring a label raster onto the pixel grid of an image.

    Parameters
    ----------
    label : xarray.DataArray
        Dims (y, x), any CRS and resolution: class codes, or a quantity such as a share.
    image : xarray.DataArray
        Dims (band, y, x); it gives the grid.
    resampling : {"nearest", "mode", "average", "bilinear", "sum"}
        "nearest" or "mode" (majority) for class codes, the others for quantities. "average" of a
        two-class label (codes 0 and 1) is the share of class 1.

    Returns
    -------
    xarray.DataArray
        Dims (y, x) on the image's grid. Class codes: uint8, 255 where there is no label or the
        image has no data in some band. Quantities: float32, NaN there.

    Raises
    ------
    ValueError
        Label and image do not overlap (the message gives both bounds), the label holds nothing
        there, or codes of more than two classes would be averaged.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from toolkit import chips
    >>> def raster(values, step):
    ...     n = len(values)
    ...     at = (np.arange(n) + 0.5) * step
    ...     return xr.DataArray(values, dims=("y", "x"), coords={"y": at[::-1], "x": at}
    ...     ).rio.write_crs("EPSG:32735")
    >>> image = raster(np.ones((2, 2), "float32"), 20).expand_dims(band=["lights"])
    >>> label = raster(np.uint8(np.eye(4)), 10)
    >>> chips.align(label, image, "average").values
    array([[0.5, 0. ],
           [0. , 0.5]], dtype=float32)
    """
    _checks.raster(image, "image")
    choice(resampling, (*CODES, *QUANTITIES), "resampling")
    codes = resampling in CODES
    if not codes and len(label.attrs.get("classes", ())) > 2:
        raise ValueError(
            f"resampling={resampling!r}: the codes of {len(label.attrs['classes'])} classes have "
            "no average. Use 'nearest' or 'mode', or one class: (label == code).astype(float)."
        )
    source = _as_quantity(label) if not codes else as_label(label)
    empty = (source.values == IGNORE) if codes else np.isnan(source.values)
    if empty.all():
        raise ValueError("label: every pixel is nodata")
    target, own = geobox(image, "image"), geobox(source, "label")
    out = source
    if not same_grid(own, target):
        _overlap(own, target)
        out = _warp(source, target, resampling)
    # Coordinates of the image, to the last bit: xarray joins rasters on them.
    out = out.assign_coords(x=image.x, y=image.y)
    out = out.where(has_data(image), IGNORE if codes else np.nan).astype(source.dtype)
    if ((out.values == IGNORE) if codes else np.isnan(out.values)).all():
        raise ValueError("label: it holds no data where the image has data; " + _both(own, target))
    return _with_nodata(out, IGNORE if codes else np.nan)


def _as_quantity(label):
    if getattr(label, "dims", ()) == ("band", "y", "x") and label.sizes["band"] == 1:
        label = label.squeeze("band", drop=True)
    _checks.raster(label, "label", ("y", "x"))
    out = label.astype(np.float32)
    nodata = label.rio.nodata
    if nodata is None and "classes" in label.attrs:
        nodata = IGNORE
    if nodata is not None and not np.isnan(nodata):
        out = out.where(label.values != nodata)
    return _with_nodata(out, np.nan)


def _warp(array, box, resampling):
    if array.dtype.kind == "b":
        array = array.astype(np.uint8)
    nodata = np.nan if array.dtype.kind == "f" else array.rio.nodata
    if nodata is None:
        nodata = IGNORE
    out = array.odc.reproject(
        box, resampling=resampling, src_nodata=nodata, dst_nodata=nodata, always_yx=True
    )
    out.attrs = dict(array.attrs)
    return _with_nodata(out, nodata)


def _with_nodata(array, nodata):
    array.attrs = {k: v for k, v in array.attrs.items() if k not in ("nodata", "_FillValue")}
    array.encoding.pop("_FillValue", None)
    return array.rio.write_nodata(nodata)


def _bounds(box, crs):
    return rasterio.warp.transform_bounds(str(box.crs), str(crs), *box.boundingbox.bbox)


def _both(label, image):
    def words(bounds):
        return "({:.6g}, {:.6g}) to ({:.6g}, {:.6g})".format(*bounds)

    return (
        f"in {image.crs.proj.name} the label covers {words(_bounds(label, image.crs))} and the "
        f"image {words(image.boundingbox.bbox)} (left, bottom to right, top). "
        "Check that both carry the CRS they were made in."
    )


def _overlap(label, image):
    left, bottom, right, top = _bounds(label, image.crs)
    inner = image.boundingbox
    apart = left >= inner.right or right <= inner.left or bottom >= inner.top or top <= inner.bottom
    if apart:
        raise ValueError("label and image do not overlap: " + _both(label, image))
