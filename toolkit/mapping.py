"""How is a whole scene predicted, however large?

The scene is cut into tiles, each read with a halo of real pixels around it. A network with a
finite receptive field then sees for every pixel what it would have seen in one pass over the
whole scene, and tiled equals untiled. A tile at the scene's border gets no halo on that side, so
the network pads there just as it does in one pass, and every tile starts at a multiple of the
network's total stride, so that its pooling grids coincide with those of one pass.

The tiles are explicit windows in a lazy dask array rather than ``dask.array.overlap``: a window
is read when its block is computed and dropped with it, which keeps the memory independent of the
scene's height *and* width (overlap keeps rows of neighbours alive), lets a block stack its tiles
into batches, and leaves blocks that can be computed one by one, as :func:`write` does to resume.
The price is that a pixel in a halo is read more than once; write an image that is dear to
compute to a file first.

Examples
--------
>>> from toolkit import mapping
>>> probability = mapping.predict(model, image)                             # doctest: +SKIP
>>> mapping.write(probability, "probability.tif")                           # doctest: +SKIP
>>> mapping.write(mapping.classes(probability, threshold=0.4), "towns.tif") # doctest: +SKIP
"""

import copy
import hashlib
import json
import math
import os
import shutil
import warnings
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import dask
import dask.array as da
import numpy as np
import rasterio
import rasterio.env
import rasterio.shutil
import rioxarray
import torch
import xarray as xr
from affine import Affine
from dask.base import tokenize
from dask.utils import SerializableLock
from rioxarray.rioxarray import affine_to_coords
from tqdm import tqdm

from toolkit import _checks

NODATA = 255
COLORS = ("#BBBBBB", "#D55E00", "#0072B2", "#009E73", "#E69F00", "#56B4E9", "#CC79A7", "#F0E442")
_ACTIVATIONS = {
    "softmax": partial(torch.softmax, dim=1),
    "sigmoid": torch.sigmoid,
    None: lambda logits: logits,
}
_CARRIED = ("sensor", "date", "licence", "citation", "source", "simulated")
_COG = {
    "driver": "COG",
    "blocksize": 512,
    "compress": "DEFLATE",
    "predictor": "YES",
    "bigtiff": "IF_SAFER",
    "num_threads": "ALL_CPUS",
}
_TAG = "TOOLKIT_FINGERPRINT"


def predict(
    model,
    image,
    tile=512,
    batch_size=4,
    halo=None,
    device=None,
    activation="softmax",
    classes=None,
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
    batch_size : int
        Tiles that pass the network together. A block of the result holds as many.
    halo : int, optional
        Pixels read around a tile, rounded up to a multiple of the total stride. By default half
        the receptive field, which makes tiled and untiled prediction equal (up to the rounding
        of float32 sums, below 1e-5).
    device : str or torch.device, optional
        Where the network runs; an accelerator where torch finds one, else the CPU.
    activation : {"softmax", "sigmoid", None} or callable
        What turns logits into the result; None keeps them.
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
    image = _masked(_fitting(model, image))
    stride, field, cell = _geometry(model)
    for name, value in {"tile": tile, "batch_size": batch_size}.items():
        if int(value) != value or value < 1:
            raise ValueError(f"{name}={value}: expected a whole number of at least 1")
    if not callable(activation) and activation not in _ACTIVATIONS:
        raise ValueError(f"activation={activation!r}: expected softmax, sigmoid, None or callable")
    classes = _class_list(model, classes)
    if len(classes) == 1 and activation == "softmax":
        raise ValueError("softmax of one class is 1 everywhere: pass activation='sigmoid'")
    height, width = image.shape[1:]
    if min(height, width) < cell:
        raise ValueError(f"the image has {height} x {width} pixels, the output cell {cell}")

    tile = _round_up(tile, stride)
    halo = _halo(halo, field, stride, tile, one_tile=max(height, width) <= tile)
    # Blocks of up to batch_size tiles, as wide as the scene allows, then as high.
    across = min(batch_size, math.ceil(width / tile))
    down = min(batch_size // across, math.ceil(height / tile))
    chunks = (
        (len(classes),),
        _chunk_sizes(height // cell, down * tile // cell),
        _chunk_sizes(width // cell, across * tile // cell),
    )
    options = (tile, batch_size, halo, cell, activation, classes)
    data = da.map_blocks(
        partial(
            _predict_block,
            image=image,
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
    entries = probability.attrs.get("classes") or _entries(probability["class"].values)
    if len(entries) != count + (count == 1):
        entries = _entries(probability["class"].values)
    if count == 1:
        threshold = 0.5 if threshold is None else threshold
        if len(entries) == 1:
            entries = _entries(["other", entries[0]["name"]])
    if threshold is not None and count > 2:
        raise ValueError(
            f"threshold={threshold} is for two classes, these are {count}: "
            f"{', '.join(map(str, probability['class'].values))}. Leave it out for the most "
            "probable class, or select the class: probability.sel({'class': [NAME]})."
        )
    if threshold is not None and not 0 <= threshold <= 1:
        raise ValueError(f"threshold={threshold}: expected a probability from 0 to 1")
    values = [entry["value"] for entry in entries]
    if max(values) >= NODATA or min(values) < 0:
        raise ValueError(f"class values must lie in 0 to 254 (255 is nodata), got {values}")
    decide = partial(_decide, threshold=threshold, values=values)
    data = probability.data
    if probability.chunks is None:
        data = decide(data)
    else:
        data = data.rechunk({0: -1}).map_blocks(
            decide, drop_axis=0, dtype=np.uint8, meta=np.empty((0, 0), np.uint8)
        )
    carried = {key: probability.attrs[key] for key in _CARRIED if key in probability.attrs}
    result = xr.DataArray(
        data,
        dims=("y", "x"),
        coords=probability.isel({"class": 0}, drop=True).coords,
        attrs={**carried, "long_name": "class", "classes": entries},
        name="class",
    )
    return result.rio.write_nodata(NODATA)


def write(array, path, resume=True, progress=True, overwrite=False, at_once=1):
    """Write a raster block by block as a cloud-optimised GeoTIFF; an interrupted run goes on.

    Each computed block is kept in a folder ``.NAME.parts`` beside the target. When all are there,
    GDAL's COG driver joins them, and the finished file takes its place in one step. Until then
    nothing is to be seen under `path`, or the file that was there before. Called again after an
    interruption with the same array, only the missing blocks are computed. Whether it is the
    same is told by a fingerprint: of the network's weights, the image and the options for what
    :func:`predict` returns, of the values for an array in memory.

    Parameters
    ----------
    array : xarray.DataArray
        Dims (class, y, x), (band, y, x) or (y, x), lazy or in memory, with CRS.
    path : str or pathlib.Path
        The target, ``.tif``. Missing folders are made.
    resume : bool
        Go on with the blocks of an interrupted run; False starts anew.
    progress : bool
        Show a bar with blocks done, elapsed and remaining time.
    overwrite : bool
        Replace another file at `path`. One that was written from the same array is returned as
        it is.
    at_once : int
        Blocks computed at the same time. Memory grows with it. On a dask.distributed cluster set
        it to the number of its workers.

    Returns
    -------
    pathlib.Path
        The file: tiled, with overviews, CRS, nodata, class or band names as band descriptions;
        for classes also their colours and, in ``NAME.tif.aux.xml``, their names. :func:`read`
        opens it again.

    Raises
    ------
    FileExistsError
        Another file is there and `overwrite` is not set.
    OSError
        The disk is full or the folder cannot be written; finished blocks are kept.

    Examples
    --------
    >>> write(predict(model, image), "probability.tif")  # doctest: +SKIP
    PosixPath('probability.tif')
    """
    path = Path(path).expanduser()
    if path.suffix.lower() not in {".tif", ".tiff"}:
        raise ValueError(f"{path}: the file is a GeoTIFF, name it {path.stem}.tif")
    data, meta = _described(array)
    if path.exists():
        if _tag(path) == meta["tags"][_TAG]:
            return path
        if not overwrite:
            raise FileExistsError(
                f"{path} exists and was not written from this array (another model, image or "
                "option). Choose another name, or pass overwrite=True to replace it."
            )
    folder = path.with_name(f".{path.name}.parts")
    blocks = {index: folder / "{}-{}.tif".format(*index) for index in np.ndindex(data.numblocks[1:])}
    with _disk_trouble(path, folder, blocks):
        _prepare(folder, meta["tags"][_TAG], resume, path)
    todo = [index for index, part in blocks.items() if not part.exists()]
    rows, columns = (np.cumsum([0, *sizes]) for sizes in data.chunks[1:])
    with tqdm(
        total=len(blocks),
        initial=len(blocks) - len(todo),
        desc=path.name,
        unit="block",
        disable=not progress,
    ) as bar:
        for start in range(0, len(todo), at_once):
            some = todo[start : start + at_once]
            for (i, j), values in zip(
                some, dask.compute(*[data.blocks[:, i, j] for i, j in some]), strict=True
            ):
                with _disk_trouble(path, folder, blocks):
                    _save_part(values, blocks[i, j], meta, (columns[j], rows[i]))
                bar.update()
    with _disk_trouble(path, folder, blocks):
        (folder / "mosaic.vrt").write_text(_mosaic(data, blocks, meta), encoding="utf-8")
        _join(folder, path, meta)
        shutil.rmtree(folder, ignore_errors=True)
    return path


def read(path, chunks=1024):
    """Open what :func:`write` wrote, with class names and attributes as they were.

    Parameters
    ----------
    path : str or pathlib.Path
        The file.
    chunks : int or None
        Pixels per side of a lazy block; None loads the file.

    Returns
    -------
    xarray.DataArray
        Dims (class, y, x), (band, y, x) or (y, x).

    Examples
    --------
    >>> probability = read("probability.tif")  # doctest: +SKIP
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"{path}: no such file; mapping.write(array, path) makes one")
    with rasterio.open(path) as source:
        tags, names, nodata = source.tags(), source.descriptions, source.nodata
    if "toolkit" not in tags:
        raise ValueError(f"{path} was not written by mapping.write; use rioxarray.open_rasterio")
    about = json.loads(tags["toolkit"])
    array = rioxarray.open_rasterio(path, chunks=chunks and {"band": -1, "y": chunks, "x": chunks})
    array = array.rename(band=about["dim"] or "band").reset_coords(drop=False)
    return array, about, names, nodata
