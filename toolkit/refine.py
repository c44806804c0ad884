"""How are probability maps cleaned before they become classes?

The land-cover paper (key ``land_cover_3m``, section 3.3) sharpens one class. A network trained on
coarse labels is sure of the dense city and unsure of a road among fields, so one threshold either
loses the road or fills the gaps between houses. Contrast-limited adaptive histogram equalisation
(CLAHE; Zuiderveld 1994) gives every part of the map the same contrast; a threshold then makes a
mask, and the probability of the class counts double on the mask and half off it.

Ours is the usual CLAHE for maps of any size: histograms of blocks, and for every pixel an
interpolation between the mappings of the four nearest blocks. It is OpenCV's without the rounding
in between, which makes two of 255 levels at most for blocks of 128 pixels or more. Two things are
our own. Pixels without data are in no histogram. And the blocks belong to the scene, not to a
tile or chunk, so no seam can depend on how the scene was cut. scikit-image's
``equalize_adapthist`` stretches every array that it is given between its own smallest and largest
value and knows no nodata: tile by tile it would leave a step at every border.

Examples
--------
>>> from toolkit import mapping, refine
>>> sharper = refine.clahe_reweight(probability, "Impervious")  # doctest: +SKIP
>>> mapping.write(mapping.classes(sharper), "classes.tif")      # doctest: +SKIP
"""

import difflib
import warnings
from functools import partial
from numbers import Real

import dask.array as da
import numpy as np
import xarray as xr

from toolkit import _checks

__all__ = ["clahe_reweight", "enhanced"]

LEVELS = 256
SMALLEST = 16  # pixels: a block then has as many pixels as there are levels


def enhanced(probability, name="Impervious", block=512, clip_limit=2.0):
    """Equalise the contrast of the probability of one class, part by part (CLAHE).

    With N pixels in a block and h(v) of them at level v of 0 to 255, the histogram is cut at
    c = clip_limit * N / 256, what was cut off is spread evenly over all levels (e each), and level
    v becomes the share of the histogram up to it: sum over u <= v of (min(h(u), c) + e) / N. So
    contrast grows at most about clip_limit + 1 times. A block with a single level has no
    contrast: it stays as it is.

    Parameters
    ----------
    probability : xarray.DataArray
        Dims (class, y, x), 0 to 1, NaN where there is no data; lazy (dask) or in memory.
    name : str
        The class.
    block : int
        Side in pixels of the blocks that have a histogram of their own, 16 at least. The scene is
        cut into equal blocks as near to it as possible: 16 x 16 of 500 for 8000 x 8000 pixels and
        the paper's 512.
    clip_limit : float
        1 leaves nearly everything as it is, 2 to 4 are usual; infinity does not limit contrast.
        The paper does not give its own.

    Returns
    -------
    xarray.DataArray
        Dims (y, x), float32, 0 to 1 (the paper's 0 to 255 divided by 255), NaN where the
        probability is NaN. Lazy where `probability` is.

    Raises
    ------
    KeyError
        There is no such class.
    ValueError
        No class dimension, a block too small, a clip limit below 1, or probabilities outside 0
        to 1 (lazy ones are checked when they are computed).

    Warns
    -----
    UserWarning
        The map is constant (told for maps in memory).

    Notes
    -----
    A block needs its eight neighbours, so a chunk of a lazy map is read with a rim of up to a
    block and a half, more than once if results are computed piece by piece. Write a prediction to
    a file first (`toolkit.mapping.write`), then enhance what `toolkit.mapping.read` opens.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> values = np.repeat(np.float32([[0.1, 0.2]]), 8, 1).repeat(16, 0)
    >>> probability = xr.DataArray(
    ...     np.stack([1 - values, values]),
    ...     dims=("class", "y", "x"),
    ...     coords={"class": ["other", "Impervious"]},
    ... ).rio.write_crs("EPSG:32650")
    >>> enhanced(probability, clip_limit=np.inf).values[0, [0, 15]].tolist()
    [0.5, 1.0]
    """
    index = _class(probability, name)
    _options(block, clip_limit)
    layer = probability.isel({"class": index}, drop=True)
    result = _clahe(_lazy(layer.data), block, clip_limit, str(name))
    if probability.chunks is None:
        _warn_constant(layer.values, name, "the map stays as it is")
        result = result.compute(scheduler="synchronous")
    else:
        result = result.rechunk(probability.chunks[1:])
    attrs = {key: value for key, value in layer.attrs.items() if key != "classes"}
    attrs |= {
        "long_name": f"probability of {name}, contrast equalised",
        "units": "1",
        "clahe": {"block": int(block), "clip_limit": float(clip_limit)},
    }
    return layer.copy(data=result).assign_attrs(attrs).rename("enhanced")


def clahe_reweight(
    probability, name="Impervious", block=512, clip_limit=2.0, threshold=0.5, up=2.0, down=0.5
):
    """Double the probability of a class where it stands out from its surroundings, else halve it.

    Where `enhanced` reaches the threshold, the probability of the class is multiplied by `up`,
    elsewhere by `down`; other classes keep theirs (land_cover_3m, section 3.3). The result is not
    brought back to a sum of 1, as in the paper: the most probable class, and so
    `toolkit.mapping.classes`, is the same with and without. For shares that add up divide by
    ``result.sum("class", skipna=False)``.

    Parameters
    ----------
    probability : xarray.DataArray
        Dims (class, y, x), 0 to 1, NaN where there is no data; lazy (dask) or in memory.
    name : str
        The class.
    block, clip_limit : int, float
        As in `enhanced`.
    threshold : float
        Of the enhanced probability, between 0 and 1 (0.5 is 127.5 of 255). The paper does not
        give its own; choose both on ground that is not used for testing.
    up, down : float
        Factors on and off the mask.

    Returns
    -------
    xarray.DataArray
        Like `probability`: weights from 0 to `up`, NaN where there was NaN. Lazy, in the same
        chunks, where `probability` is.

    Raises
    ------
    KeyError, ValueError
        As in `enhanced`; a threshold outside (0, 1), or factors that are not positive.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> values = np.repeat(np.float32([[0.1, 0.2]]), 8, 1).repeat(16, 0)
    >>> probability = xr.DataArray(
    ...     np.stack([1 - values, values]),
    ...     dims=("class", "y", "x"),
    ...     coords={"class": ["other", "Impervious"]},
    ... ).rio.write_crs("EPSG:32650")
    >>> sharper = clahe_reweight(probability, clip_limit=np.inf, threshold=0.75)
    >>> sharper.sel({"class": "Impervious"}).values[0, [0, 15]]
    array([0.05, 0.4 ], dtype=float32)
    """
    index = _class(probability, name)
    _options(block, clip_limit)
    if not isinstance(threshold, Real) or not 0 < threshold < 1:
        hint = " The paper's levels 0 to 255 are divided by 255 here." * (threshold > 1)
        raise ValueError(f"threshold must lie between 0 and 1, got {threshold!r}.{hint}")
    for what, factor in (("up", up), ("down", down)):
        if not isinstance(factor, Real) or not 0 < factor < np.inf:
            raise ValueError(f"{what} is a positive factor, got {factor!r}")
    data = _lazy(probability.data)
    mask = _clahe(data[index], block, clip_limit, str(name)).rechunk(data.chunks[1:]) >= threshold
    factor = da.where(mask, np.float32(up), np.float32(down))
    result = da.concatenate([data[:index], (data[index] * factor)[None], data[index + 1 :]])
    if probability.chunks is None:
        _warn_constant(
            probability.values[index], name, "one factor applies everywhere and may change classes"
        )
        result = result.compute(scheduler="synchronous")
    else:
        result = result.rechunk(data.chunks)
    settings = {
        "class": str(name),
        "block": int(block),
        "clip_limit": float(clip_limit),
        "threshold": float(threshold),
        "up": float(up),
        "down": float(down),
    }
    result = probability.copy(data=result).rename("reweighted")
    return result.assign_attrs(long_name="reweighted probability", clahe=settings)


def _class(probability, name):
    """Return the position of the class after all checks of the map."""
    if isinstance(probability, xr.DataArray) and "class" not in probability.dims:
        raise ValueError(
            f"probability: no dimension 'class', the dims are {probability.dims}. Pass what "
            "mapping.predict returns; of a map of one class make one with "
            ".expand_dims({'class': [NAME]})."
        )
    _checks.raster(probability, "probability", ("class", "y", "x"))
    if "class" not in probability.coords:
        raise ValueError(
            "probability: the classes have no names. Name them: "
            "probability.assign_coords({'class': [...]})"
        )
    if not np.issubdtype(probability.dtype, np.floating):
        raise ValueError(
            f"probability: expected floating-point numbers from 0 to 1, got {probability.dtype}. "
            "Bytes of 0 to 255 must be divided by 255 first."
        )
    names = [str(one) for one in probability["class"].values]
    if str(name) not in names:
        lower = {one.lower(): one for one in names}
        near = difflib.get_close_matches(str(name).lower(), lower, n=1)
        hint = f" Did you mean {lower[near[0]]!r}?" if near else ""
        raise KeyError(f"there is no class {name!r}.{hint} There are: {', '.join(names)}")
    return names.index(str(name))


def _options(block, clip_limit):
    if isinstance(block, bool) or not isinstance(block, int | np.integer) or block < SMALLEST:
        raise ValueError(
            f"block must be a whole number of at least {SMALLEST} pixels, got {block!r}: a smaller "
            f"one has fewer pixels than the {LEVELS} levels of its histogram"
        )
    if isinstance(clip_limit, bool) or not isinstance(clip_limit, Real) or not clip_limit >= 1:
        raise ValueError(
            f"clip_limit must be a number of at least 1, got {clip_limit!r}: it is how many times "
            "a level may exceed its even share of the pixels, as in OpenCV. (scikit-image counts "
            "in shares of a block: its 0.01 is 2.56 here.)"
        )


def _warn_constant(values, name, then):
    seen = values[~np.isnan(values)]
    if seen.size and np.ptp(_levels(seen)) == 0:
        warnings.warn(
            f"the probability of {name} is {float(seen.flat[0]):.3g} everywhere: there is no "
            f"contrast to enhance, {then}",
            stacklevel=3,
        )


def _lazy(data):
    return data if isinstance(data, da.Array) else da.from_array(data, chunks=-1)


def _sizes(length, block):
    """Cut a side into equal parts (up to one pixel) as near to `block` as possible."""
    edges = np.linspace(0, length, max(1, round(length / block)) + 1).round().astype(int)
    return tuple(np.diff(edges).tolist())


def _clahe(layer, block, clip_limit, name):
    """Return a lazy map with equalised contrast, in chunks of one block."""
    layer = layer.rechunk(tuple(_sizes(length, block) for length in layer.shape))
    rows, columns = layer.numblocks
    tables = layer.map_blocks(
        partial(_table, clip_limit=float(clip_limit), name=name),
        chunks=((1,) * rows, (1,) * columns, (LEVELS,)),
        new_axis=2,
        dtype=np.float32,
        meta=np.empty((0, 0, 0), np.float32),
    )
    # Beyond the rim of the scene the outermost mapping goes on.
    around = da.overlap.overlap(tables, depth={0: 1, 1: 1}, boundary={0: "nearest", 1: "nearest"})
    return da.blockwise(
        _interpolated,
        "yx",
        layer,
        "yx",
        around,
        "yxk",
        concatenate=True,
        align_arrays=False,
        dtype=np.float32,
        meta=np.empty((0, 0), np.float32),
    )


def _levels(values):
    return np.rint(values * (LEVELS - 1)).clip(0, LEVELS - 1).astype(np.uint8)


def _table(values, clip_limit, name):
    """Return what each level of a block becomes, (1, 1, 256); NaN where it has no data."""
    seen = values[~np.isnan(values)]
    if not seen.size:
        return np.full((1, 1, LEVELS), np.nan, np.float32)
    low, high = seen.min(), seen.max()
    if low < -1e-4 or high > 1 + 1e-4:  # sums of float32 shares may miss 1 by a little
        raise ValueError(
            f"the probability of {name} runs from {low:.4g} to {high:.4g}, expected 0 to 1. "
            "Logits? Pass activation='softmax' to mapping.predict. Reweighted before? Start from "
            "the network's own probability."
        )
    counts = np.bincount(_levels(seen), minlength=LEVELS)
    if counts.max() == seen.size:
        return np.linspace(0, 1, LEVELS, dtype=np.float32)[None, None]
    cut = np.minimum(counts, clip_limit * seen.size / LEVELS)
    cut = cut + (seen.size - cut.sum()) / LEVELS
    return (cut.cumsum() / seen.size).clip(0, 1).astype(np.float32)[None, None]


def _interpolated(values, tables):
    """Map a block by its own and its neighbours' tables, (3, 3, 256), bilinearly."""
    levels = _levels(np.nan_to_num(values))
    # Where pixels lie between the centres 0, 1 and 2 of the three blocks of a row.
    rows, columns = ((np.arange(n) + 0.5) / n + 0.5 for n in values.shape)
    total, weight = np.zeros(values.shape, np.float32), np.zeros(values.shape, np.float32)
    for i in range(3):
        for j in range(3):
            y, x = np.abs(rows - i) < 1, np.abs(columns - j) < 1
            table = tables[i, j]
            if np.isnan(table[0]) or not (y.any() and x.any()):
                continue  # a neighbour without data has no say
            ys, xs = np.flatnonzero(y), np.flatnonzero(x)
            part = np.s_[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1]
            share = (1 - np.abs(rows[part[0]] - i))[:, None] * (1 - np.abs(columns[part[1]] - j))
            share = share.astype(np.float32)
            total[part] += share * table[levels[part]]
            weight[part] += share
    missing = np.isnan(values)
    return np.where(missing, np.float32(np.nan), total / np.where(missing, 1, weight))
