"""How is a whole scene predicted, however large?

The scene is cut into tiles, each read with a halo of real pixels around it. A network with a
finite receptive field then sees for every pixel what it would have seen in one pass over the
whole scene, and tiled equals untiled. A tile at the scene's border gets no halo on that side, so
the network pads there just as it does in one pass, and every tile starts at a multiple of the
network's total stride, so that its pooling grids coincide with those of one pass.

The tiles are explicit windows in a lazy dask array rather than ``dask.array.overlap``: a window
is read with its block and dropped with it, so memory depends on neither side of the scene
(overlap keeps rows of neighbours alive), a block can stack its tiles into batches, and blocks can
be computed one by one, as :func:`write` does to resume. The price: a pixel in a halo is read more
than once, so write an image that is dear to compute to a file first.

Examples
--------
>>> from toolkit import mapping
>>> probability = mapping.predict(model, image)                             # doctest: +SKIP
>>> mapping.write(probability, "probability.tif")                           # doctest: +SKIP
>>> mapping.write(mapping.classes(probability, threshold=0.4), "towns.tif") # doctest: +SKIP
"""

from toolkit import _torchvision  # noqa: F401, I001  (before anything that imports torchvision)

import copy
import hashlib
import math
import warnings
from functools import partial

import dask
import dask.array as da
import numpy as np
import torch
import xarray as xr
from affine import Affine
from dask.base import tokenize
from dask.utils import SerializableLock
from rioxarray.rioxarray import affine_to_coords

from toolkit import _checks
from toolkit._cog import read, write
from toolkit.chips.grids import IGNORE, OKABE_ITO

__all__ = ["classes", "predict", "read", "write"]

_ACTIVATIONS = {
    "softmax": partial(torch.softmax, dim=1),
    "sigmoid": torch.sigmoid,
    None: lambda logits: logits,
}
_CARRIED = ("sensor", "date", "licence", "citation", "source", "simulated")


def predict(
    model, image, tile=512, batch_size=4, halo=None, device=None, activation="softmax", classes=None
):
    """Predict a whole scene with a network, lazily and tile by tile.

    Nothing is computed yet: the result is a dask array whose blocks are predicted when they are
    asked for, by ``.compute()`` for a small scene or by :func:`write` for a large one. It holds a
    copy of the network as it is now, so later training neither changes it nor is disturbed by it.

    Parameters
    ----------
    model : torch.nn.Module
        Takes (N, band, y, x) in physical units with NaN for nodata, returns logits. Its
        ``total_stride`` (pixels) is needed; ``receptive_field`` (pixels, None where unbounded),
        ``output_scale`` (1 or 1/n), ``in_channels``, ``classes`` and ``bands`` are used.
    image : xarray.DataArray
        Dims (band, y, x), numpy- or dask-backed, NaN (or ``.rio.nodata``) where there is no data.
    tile : int
        Side of a tile in pixels without its halo, rounded up to a multiple of the total stride.
        The network sees up to ``(1 + 2 * halo / tile) ** 2`` times the pixels of the scene: with
        the halo of 256 of an FCN, a tile of 1024 costs about half of what one of 512 costs.
    batch_size : int
        Tiles that pass the network together. A block of the result holds as many.
    halo : int, optional
        Pixels read around a tile, rounded up to a multiple of the total stride. By default half
        the receptive field, which makes tiled and untiled prediction equal (up to the rounding
        of float32 sums, below 1e-5).
    device : str or torch.device, optional
        Where the network runs; an accelerator where torch finds one, else the CPU.
    activation : {"softmax", "sigmoid", None} or callable
        Turns logits into the result (softmax of a single one is its sigmoid); None keeps them.
    classes : sequence of str or of dict, optional
        Class names, or entries ``{"value", "name", "color"}`` as in a label's
        ``attrs["classes"]``. By default the model's ``class_names``.

    Returns
    -------
    xarray.DataArray
        Dims (class, y, x), float32. NaN where every band of the input is nodata. A network with
        output scale 1/n gives cells of n x n pixels, NaN where all of them are; an incomplete
        last row or column of cells (the size is no multiple of n) is left out.

    Raises
    ------
    TypeError, ValueError
        The model and the image do not fit each other, or an option is out of range.

    Warns
    -----
    UserWarning
        The receptive field is unbounded (global pooling, instance normalisation) or larger than
        the halo allows for, so that tiled and untiled prediction differ.

    Examples
    --------
    >>> probability = predict(model, image, tile=1024)  # doctest: +SKIP
    >>> probability.sel({"class": "town"}).plot()       # doctest: +SKIP
    """
    _fitting(model, image)
    stride, field, cell = _geometry(model)
    for name, value in {"tile": tile, "batch_size": batch_size}.items():
        if int(value) != value or value < 1:
            raise ValueError(f"{name}={value}: expected a whole number of at least 1")
    if not callable(activation) and activation not in _ACTIVATIONS:
        raise ValueError(f"activation={activation!r}: expected softmax, sigmoid, None or callable")
    classes = _class_list(model, classes)
    if len(classes) == 1 and activation == "softmax":
        activation = "sigmoid"  # softmax of (0, logit): the class against the rest
    if min(image.shape[1:]) < cell:
        raise ValueError(f"the image has {image.shape[1:]} pixels (y, x), the output cell {cell}")
    height, width = (n // cell * cell for n in image.shape[1:])  # whole cells only
    image = image.isel(y=slice(height), x=slice(width))
    tile = _round_up(tile, stride)
    halo = _halo(halo, field, stride, tile, one_tile=max(height, width) <= tile)
    # Blocks of up to batch_size tiles, as wide as the scene allows, then as high.
    across = min(batch_size, math.ceil(width / tile))
    down = min(batch_size // across, math.ceil(height / tile))
    chunks = da.core.normalize_chunks(
        (len(classes), down * tile // cell, across * tile // cell),
        shape=(len(classes), height // cell, width // cell),
    )
    options = (tile, batch_size, halo, cell, activation, classes)
    data = da.map_blocks(
        partial(
            _predict_block,
            image=image,
            nodata=image.rio.nodata,
            model=copy.deepcopy(model).eval(),
            tile=tile,
            batch_size=batch_size,
            halo=halo,
            cell=cell,
            device=device,
            activate=_ACTIVATIONS.get(activation, activation),
            # One forward pass at a time, whatever the scheduler: torch itself uses all cores.
            lock=SerializableLock(),
        ),
        chunks=chunks,
        dtype=np.float32,
        meta=np.empty((0, 0, 0), np.float32),
        # The name is the identity of the result: write() recognises unfinished work by it.
        name=f"predict-{tokenize(_fingerprint(model), tokenize(image), options)}",
    )
    return _georeferenced(data, image, cell, classes, model, activation)


def classes(probability, threshold=None):
    """Turn probabilities into a class map, lazily.

    Parameters
    ----------
    probability : xarray.DataArray
        Dims (class, y, x), NaN where there is no data, as :func:`predict` returns it.
    threshold : float, optional
        For two classes (or one): the last class where its probability is at least this, else
        the first (for one class: 1 or 0). By default the most probable class.

    Returns
    -------
    xarray.DataArray
        Dims (y, x), uint8, 255 where there is no data, with ``attrs["classes"]``.

    Raises
    ------
    ValueError
        A threshold with more than two classes or outside 0 to 1, or more than 255 classes.

    Examples
    --------
    >>> import numpy as np, xarray as xr, rioxarray
    >>> probability = xr.DataArray(
    ...     np.float32([[[0.7, 0.2, np.nan]], [[0.3, 0.8, np.nan]]]),
    ...     dims=("class", "y", "x"),
    ...     coords={"class": ["other", "town"], "y": [0.5], "x": [0.5, 1.5, 2.5]},
    ... ).rio.write_crs("EPSG:32735")
    >>> classes(probability).values
    array([[  0,   1, 255]], dtype=uint8)
    >>> classes(probability, threshold=0.3).values
    array([[  1,   1, 255]], dtype=uint8)
    """
    _checks.raster(probability, "probability", ("class", "y", "x"))
    count = probability.sizes["class"]
    names = [str(name) for name in probability["class"].values]
    if count == 1:
        threshold = 0.5 if threshold is None else threshold
        entries = _entries(["other", *names])
    else:
        entries = probability.attrs.get("classes") or []
        if [entry["name"] for entry in entries] != names:
            entries = _entries(names)
    if threshold is not None and count > 2:
        raise ValueError(
            f"threshold={threshold} is for two classes, these are {count}: "
            f"{', '.join(names)}. Leave it out for the most "
            "probable class, or select the class: probability.sel({'class': [NAME]})."
        )
    if threshold is not None and not 0 <= threshold <= 1:
        raise ValueError(f"threshold={threshold}: expected a probability from 0 to 1")
    values = [entry["value"] for entry in entries]
    if max(values) >= IGNORE or min(values) < 0:
        raise ValueError(f"class values must lie in 0 to 254 (255 is nodata), got {values}")
    decide = partial(_decide, threshold=threshold, values=values)
    data = probability.data
    if probability.chunks is None:
        data = decide(data)
    else:
        data = data.rechunk({0: -1}).map_blocks(
            decide, drop_axis=0, dtype=np.uint8, meta=np.empty((0, 0), np.uint8)
        )
    attrs = {key: probability.attrs[key] for key in _CARRIED if key in probability.attrs}
    attrs |= {"long_name": "class", "classes": entries}
    coords = probability.isel({"class": 0}, drop=True).coords
    result = xr.DataArray(data, coords, ("y", "x"), "class", attrs)
    return result.rio.write_nodata(IGNORE)


def _round_up(value, step):
    return math.ceil(value / step) * step


def _fitting(model, image):
    """Explain why the image is none for this model, before anything is computed."""
    if not isinstance(model, torch.nn.Module):
        hint = "; pass learn.model" if hasattr(model, "model") else ""
        raise TypeError(f"model: expected a torch.nn.Module, got {type(model).__name__}{hint}")
    _checks.raster(image, "image")
    expected = getattr(model, "in_channels", None)
    found = [str(name) for name in image["band"].values]  # 0, 1, ... where bands have no names
    bands = [str(name) for name in getattr(model, "bands", None) or []]
    if expected not in (None, len(found)):
        names = f" ({', '.join(bands)})" if bands else ""
        raise ValueError(
            f"the model takes {expected} band(s){names}, the image has {len(found)} "
            f"({', '.join(found)}). Select them: image.sel(band=[...])."
        )
    if bands and bands != found:
        do = (
            f"Reorder them: image.sel(band={bands})."
            if set(bands) <= set(found)
            else f"If they are the same under other names: image.assign_coords(band={bands})."
        )
        raise ValueError(
            f"the model was trained with the bands {', '.join(bands)}, in this order; "
            f"the image has {', '.join(found)}. {do}"
        )


def _geometry(model):
    """Return the total stride, the receptive field (or None) and the pixels per output cell."""
    stride = getattr(model, "total_stride", None)
    if stride is None or int(stride) != stride or stride < 1:
        raise ValueError(
            f"{type(model).__name__}.total_stride is {stride}: tiles must start on multiples of "
            "the pixels per cell of the coarsest layer. Set model.total_stride (32 for most nets)."
        )
    scale = getattr(model, "output_scale", 1)
    cell = round(1 / scale)
    if cell < 1 or not math.isclose(cell * scale, 1) or stride % cell:
        raise ValueError(
            f"output_scale={scale}: expected 1 or 1/n with a total stride ({stride}) that is a "
            "multiple of n"
        )
    return int(stride), getattr(model, "receptive_field", None), cell


def _halo(halo, field, stride, tile, one_tile):
    """Return the halo in pixels, a multiple of the stride; warn where tiles will show."""
    enough = None if field is None else _round_up(math.ceil(field / 2), stride)
    if halo is not None:
        if int(halo) != halo or halo < 0:
            raise ValueError(f"halo={halo}: expected a whole number of pixels, 0 or more")
        halo = _round_up(halo, stride)
        if enough is not None and halo < enough and not one_tile:
            warnings.warn(
                f"halo={halo} is less than half the receptive field ({field} pixels): tiled and "
                f"untiled prediction differ along the tiles. {enough} makes them equal.",
                stacklevel=3,
            )
        return halo
    if enough is not None:
        return enough
    halo = _round_up(tile / 4, stride)
    if not one_tile:
        warnings.warn(
            "the receptive field of this network is unbounded (global pooling or instance "
            "normalisation): a tile is not predicted as the whole scene would be. We read a halo "
            f"of {halo} pixels; pass halo= to choose it, or a tile as large as the scene.",
            stacklevel=3,
        )
    return halo


def _class_list(model, classes):
    count = getattr(model, "classes", None)
    if classes is None:
        classes = getattr(model, "class_names", None)
    if classes is None:
        classes = (getattr(model, "metadata", None) or {}).get("classes")
    if classes is None:
        if not isinstance(count, int):
            raise ValueError("the model does not say how many classes it has: pass classes=[...]")
        classes = [f"class {i}" for i in range(count)]
    if isinstance(count, int) and len(classes) != count:
        raise ValueError(f"classes: the model has {count}, {len(classes)} were named: {classes}")
    return _entries(classes)


def _entries(classes):
    """Return names, or dicts, of classes as dicts with value, name and color."""
    entries = [dict(c) if isinstance(c, dict) else {"name": str(c)} for c in classes]
    return [
        {"value": i, "color": OKABE_ITO[i % len(OKABE_ITO)]} | entry
        for i, entry in enumerate(entries)
    ]


def _fingerprint(model):
    """Return a digest of the architecture, the plain settings and the weights of a model."""
    digest = hashlib.sha256(repr(model).encode())
    plain = (bool, int, float, str, tuple)
    for name, module in model.named_modules():
        settings = {k: v for k, v in vars(module).items() if isinstance(v, plain)}
        settings.pop("training", None)
        digest.update(repr((name, sorted(settings.items()))).encode())
    for name, tensor in sorted([*model.named_parameters(), *model.named_buffers()]):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _window(start, stop, halo, size):
    """Widen start..stop by the halo, within the scene."""
    return max(0, start - halo), min(size, stop + halo)


def _predict_block(
    *, image, nodata, model, tile, batch_size, halo, cell, device, activate, lock, block_info
):
    """Predict one block of the result: read its window, batch its tiles, keep their cores."""
    location = block_info[None]["array-location"]
    (y0, y1), (x0, x1) = ((a * cell, b * cell) for a, b in location[1:])
    height, width = image.shape[1:]
    top, bottom = _window(y0, y1, halo, height)
    left, right = _window(x0, x1, halo, width)
    # Synchronous: a scheduler already runs this task.
    with dask.config.set(scheduler="synchronous"):
        window = image.isel(y=slice(top, bottom), x=slice(left, right)).values
    values = window.astype(np.float32)
    if nodata is not None and not np.isnan(nodata):
        values[window == nodata] = np.nan
    valid = ~np.isnan(values[:, y0 - top : y1 - top, x0 - left : x1 - left]).all(axis=0)

    out = np.full([b - a for a, b in location], np.nan, np.float32)
    batches = {}
    for y in range(y0, y1, tile):
        for x in range(x0, x1, tile):
            y_stop, x_stop = min(y + tile, y1), min(x + tile, x1)
            if not valid[y - y0 : y_stop - y0, x - x0 : x_stop - x0].any():
                continue
            upper, lower = _window(y, y_stop, halo, height)
            west, east = _window(x, x_stop, halo, width)
            pixels = values[:, upper - top : lower - top, west - left : east - left]
            core = [
                slice((y - upper) // cell, (y_stop - upper) // cell),
                slice((x - west) // cell, (x_stop - west) // cell),
            ]
            rows = slice((y - y0) // cell, (y_stop - y0) // cell)
            target = out[:, rows, (x - x0) // cell : (x_stop - x0) // cell]
            batches.setdefault(pixels.shape, []).append((pixels, core, target))
    with lock:
        for members in batches.values():
            result = _forward(model, np.stack([m[0] for m in members]), device, activate)
            _expect(result.shape, len(out), members[0][0].shape, cell)
            for (_, core, target), tile_result in zip(members, result, strict=True):
                target[:] = tile_result[:, core[0], core[1]]
    cells = valid.reshape(valid.shape[0] // cell, cell, valid.shape[1] // cell, cell)
    out[:, ~cells.any(axis=(1, 3))] = np.nan
    return out


def _forward(model, pixels, device, activate):
    if device is None:
        accelerator = torch.accelerator.is_available()
        device = torch.accelerator.current_accelerator() if accelerator else "cpu"
    try:
        with torch.inference_mode():
            logits = model.to(device)(torch.from_numpy(pixels).to(device))
            return activate(logits).float().cpu().numpy()
    except torch.OutOfMemoryError as error:
        raise RuntimeError(
            f"{len(pixels)} tiles of {pixels.shape[-2]} x {pixels.shape[-1]} pixels (with halo) "
            f"do not fit into the memory of {device}: lower batch_size= or tile= in predict"
        ) from error


def _expect(shape, classes, pixels, cell):
    """Check that the model returned what its attributes promise."""
    _, height, width = pixels
    good = height // cell, width // cell
    if shape[1] != classes or shape[2] < good[0] or shape[3] < good[1]:
        raise ValueError(
            f"the model returned {shape[1]} classes of {shape[2]} x {shape[3]} cells for a window "
            f"of {height} x {width} pixels; expected {classes} of {good[0]} x {good[1]} "
            f"(1 cell = {cell} x {cell} pixels). Check its output_scale, minimum size and classes."
        )


def _georeferenced(data, image, cell, classes, model, activation):
    transform = image.rio.transform(recalc=True) * Affine.scale(cell)
    places = {"y": image.y.values, "x": image.x.values}
    if cell > 1:
        places = affine_to_coords(transform, data.shape[2], data.shape[1])
    names = {"softmax": "probability", "sigmoid": "probability", None: "logit"}
    attrs = {key: image.attrs[key] for key in _CARRIED if key in image.attrs} | {
        "long_name": names.get(activation, "prediction"),
        "units": "1",
        "model": getattr(model, "name", type(model).__name__),
        "classes": classes,
    }
    result = xr.DataArray(
        data,
        dims=("class", "y", "x"),
        coords={"class": [entry["name"] for entry in classes], **places},
        attrs=attrs,
        name=attrs["long_name"],
    )
    return result.rio.write_crs(image.rio.crs).rio.write_transform(transform)


def _decide(probability, threshold, values):
    unknown = np.isnan(probability).any(axis=0)
    if threshold is None:
        choice = np.where(unknown, 0, probability).argmax(axis=0)
    else:
        choice = (probability[-1] >= threshold).astype(np.intp)
    return np.where(unknown, IGNORE, np.asarray(values, np.uint8)[choice]).astype(np.uint8)
