"""From rasters or points to a confusion matrix, block by block."""

from collections.abc import Mapping
from functools import reduce

import numpy as np
import pandas as pd
import rioxarray  # noqa: F401  (registers the .rio accessor)
import xarray as xr

from toolkit.accuracy.matrix import ConfusionMatrix

IGNORE = 255
_PIECE = 1 << 22  # pixels counted at once: bounds the memory, not the result


def confusion(truth, predicted, classes=None, ignore=IGNORE):
    """Count the classes of a map against those of a reference.

    Parameters
    ----------
    truth, predicted : xarray.DataArray (y, x), array-like or pandas.Series of points
        Class codes, or class names for points. Rasters must lie on one grid. Dask-backed rasters
        are counted block by block and never loaded as a whole.
    classes : sequence of str, sequence of int, dict or list of dict, optional
        Names of the codes 0, 1, 2, ...; the codes themselves; ``{code: name}``; or
        ``[{"value": 1, "name": "urban"}, ...]``. By default what ``attrs["classes"]`` of either
        raster says, else the codes that occur.
    ignore : int, optional
        Code left out where either has it, as are NaN and the nodata value that a raster declares
        (unless `classes` lists it).

    Returns
    -------
    ConfusionMatrix
        Rows `predicted`, columns `truth`.

    Raises
    ------
    ValueError
        Different grids or lengths, values that are not class codes, a class that is not in
        `classes`, or nothing to compare.

    Examples
    --------
    >>> truth = np.array([[0, 0, 1], [1, 1, 255]], "uint8")
    >>> predicted = np.array([[0, 1, 1], [1, 1, 0]], "uint8")
    >>> confusion(truth, predicted, classes=["rest", "urban"]).array
    array([[1., 0.],
           [1., 3.]])
    """
    pairs, names, left_out = _prepare(truth, predicted, classes, ignore)
    tables = _tables(*pairs, left_out)
    total = reduce(lambda a, b: a.add(b, fill_value=0), tables)
    names = _named(names, total.index, total.columns)
    total = total.reindex(index=list(names), columns=list(names)).fillna(0)
    return ConfusionMatrix(total.to_numpy(), list(names.values()))


def _flat(array):
    """A map as (y, x), without the nodata NaN that ``lights > 20`` inherits from the lights."""
    array = array.squeeze("band", drop=True) if array.sizes.get("band") == 1 else array
    fill = array.attrs.get("_FillValue")
    if array.dtype.kind in "biu" and isinstance(fill, float | np.floating) and np.isnan(fill):
        array = array.assign_attrs()  # a copy of the attributes, not of the pixels
        del array.attrs["_FillValue"]
    return array


def _prepare(truth, predicted, classes, ignore):
    """Arrays on one grid, ``{code: name}`` or None, and the codes that each of them leaves out."""
    both = [_flat(a) if isinstance(a, xr.DataArray) else a for a in (truth, predicted)]
    _check_grid(*both)
    if classes is None:
        said = (a.attrs.get("classes") for a in both if isinstance(a, xr.DataArray))
        classes = next((each for each in said if each is not None and len(each)), None)
    names = _class_names(classes, ignore)
    left_out = [_left_out(a, ignore, names) for a in both]
    arrays = [a.data if isinstance(a, xr.DataArray) else a for a in both]
    for i, a in enumerate(arrays):
        if isinstance(a, pd.Series) and pd.api.types.is_numeric_dtype(a):
            arrays[i] = a.to_numpy(dtype=float)  # nullable integers, too
        elif not hasattr(a, "dask"):
            arrays[i] = np.asarray(a)
    chunked = next((a for a in reversed(arrays) if hasattr(a, "dask")), None)
    if chunked is not None:
        import dask.array as da

        arrays = [da.asarray(a).rechunk(chunked.chunks) for a in arrays]
    return arrays, names, left_out


def _check_grid(truth, predicted):
    shapes = [np.shape(a) for a in (truth, predicted)]
    remedy = "Bring one onto the grid of the other first, for example with chips.align()."
    if all(isinstance(a, xr.DataArray) for a in (truth, predicted)):
        crs = [a.rio.crs or "no CRS" for a in (truth, predicted)]
        if crs[0] != crs[1]:
            raise ValueError(f"truth is in {crs[0]}, predicted in {crs[1]}. {remedy}")
        if truth.dims != predicted.dims:
            raise ValueError(f"truth has dims {truth.dims}, predicted {predicted.dims}. {remedy}")
        for dim in truth.coords.keys() & predicted.coords.keys() & set(truth.dims):
            a, b = truth[dim].to_numpy(), predicted[dim].to_numpy()
            if a.size != b.size or a.size < 2 or a.dtype.kind not in "fiu":
                continue
            if np.abs(a - b).max() > 0.01 * abs(a[1] - a[0]):  # a hundredth of a pixel
                raise ValueError(
                    f"truth spans {dim} {a[0]:g} to {a[-1]:g}, predicted {b[0]:g} to {b[-1]:g}: "
                    f"same shape, other ground. {remedy}"
                )
    if shapes[0] != shapes[1]:
        raise ValueError(f"truth has shape {shapes[0]}, predicted {shapes[1]}. {remedy}")
    if all(isinstance(a, pd.Series) for a in (truth, predicted)) and not truth.index.equals(
        predicted.index
    ):
        raise ValueError("the two Series list different points; .reindex() one like the other")


def _class_names(classes, ignore):
    if classes is None:
        return None
    if isinstance(classes, Mapping):
        names = dict(classes)
    elif all(isinstance(each, Mapping) for each in classes):
        names = {each["value"]: each["name"] for each in classes}
    elif all(isinstance(each, str) for each in classes):
        names = dict(enumerate(classes))
    else:
        names = {each: each for each in classes}
    return {code: name for code, name in names.items() if code != ignore}


def _left_out(array, ignore, names):
    """Codes without a class: `ignore`, and the nodata that a raster declares."""
    nodata = array.rio.nodata if isinstance(array, xr.DataArray) else None
    listed = nodata is None or (names is not None and nodata in names)
    return [code for code in (ignore, None if listed else nodata) if code is not None]


def _valid(values, left_out):
    keep = ~pd.isna(values)
    if values.dtype.kind in "biuf":  # names of points have no such code
        for code in left_out:
            keep &= values != code
    return keep


def _codes(truth, predicted, left_out):
    """Codes (or names) where both have one, and where that is."""
    keep = _valid(truth, left_out[0]) & _valid(predicted, left_out[1])
    both = []
    for what, values in (("truth", truth[keep]), ("predicted", predicted[keep])):
        if values.dtype.kind == "f":
            if (values != np.round(values)).any():
                odd = values[values != np.round(values)][0]
                raise ValueError(
                    f"{what} holds {odd:g}, which is no class code. Turn probabilities into "
                    "classes with mapping.classes(), and resample class maps by nearest."
                )
            values = values.astype("int64")
        both.append(values.astype("uint8") if values.dtype.kind == "b" else values)
    return *both, keep


def _count(truth, predicted, left_out):
    t, p, _ = _codes(truth, predicted, left_out)
    (t, columns), (p, rows) = pd.factorize(t), pd.factorize(p)
    shape = len(rows), len(columns)
    table = np.bincount(p * shape[1] + t, minlength=shape[0] * shape[1]).reshape(shape)
    return pd.DataFrame(table, rows, columns)


def _tables(truth, predicted, left_out):
    """One small table of counts for each block, so that nothing large is ever held."""
    if isinstance(truth, np.ndarray):
        t, p = truth.ravel(), predicted.ravel()
        cuts = (slice(i, i + _PIECE) for i in range(0, max(t.size, 1), _PIECE))
        return (_count(t[cut], p[cut], left_out) for cut in cuts)
    import dask

    count = dask.delayed(_count)
    blocks = zip(truth.to_delayed().ravel(), predicted.to_delayed().ravel(), strict=True)
    return dask.compute(*(count(t, p, left_out) for t, p in blocks))


def _named(names, *seen):
    """``{code: name}`` of every class, checked against the codes that occur."""
    seen = {each.item() if hasattr(each, "item") else each for found in seen for each in found}
    if not seen:
        raise ValueError("nothing to compare: no place has a class in both map and reference")
    texts = {isinstance(each, str) for each in seen}
    if len(texts) > 1:
        raise ValueError(f"truth and predicted mix class names and codes: {sorted(map(str, seen))}")
    if names is None:
        return {each: each for each in sorted(seen)}
    if texts == {True}:
        names = {name: name for name in names.values()}
    if unknown := sorted(seen - set(names)):
        raise ValueError(f"class {unknown} occurs, but the classes are {names}")
    return names
