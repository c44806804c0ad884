"""How is a lazy raster written, resumably, as a cloud-optimised GeoTIFF?

Use this through `toolkit.mapping`; the underscore says that the module is not an address to rely
on. Finished blocks are small GeoTIFFs in a folder of their own. At the end a GDAL virtual raster
joins them, and GDAL's COG driver copies that into tiles and overviews: no array of the scene's
size ever exists.
"""

import json
import math
import os
import shutil
import warnings
from contextlib import contextmanager
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import dask
import numpy as np
import rasterio
import rasterio.env
import rasterio.shutil
import rioxarray
from affine import Affine
from dask.base import tokenize
from rasterio.io import MemoryFile
from tqdm import tqdm

from toolkit import _checks

_COG = {
    "driver": "COG",
    "blocksize": 512,
    "compress": "DEFLATE",
    "predictor": "YES",
    "bigtiff": "IF_SAFER",
    "num_threads": "ALL_CPUS",
}
_TAG = "TOOLKIT_FINGERPRINT"


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
    blocks = {
        index: folder / "{}-{}.tif".format(*index) for index in np.ndindex(data.numblocks[1:])
    }
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
    """Open what :func:`write` wrote, lazily, with class names and attributes as they were.

    Parameters
    ----------
    path : str or pathlib.Path
        The file.
    chunks : int
        Side of a lazy block in pixels.

    Returns
    -------
    xarray.DataArray
        Dims as they were: (class, y, x), (band, y, x) or (y, x).

    Raises
    ------
    FileNotFoundError, ValueError
        There is no such file, or it is not one of ours.

    Examples
    --------
    >>> probability = read("probability.tif")  # doctest: +SKIP
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"{path}: no such file; mapping.write(array, path) makes one")
    array = rioxarray.open_rasterio(path, chunks={"band": -1, "y": chunks, "x": chunks})
    if "toolkit" not in array.attrs:
        raise ValueError(f"{path} was not written by mapping.write; use rioxarray.open_rasterio")
    about, nodata = json.loads(array.attrs["toolkit"]), array.rio.nodata
    array.attrs = about["attrs"]
    if about["dim"]:
        array = array.rename(band=about["dim"]).assign_coords({about["dim"]: about["names"]})
    else:
        array = array.squeeze("band", drop=True)
    return array if nodata is None else array.rio.write_nodata(nodata)


def _described(array):
    """Return the values as a lazy (band, y, x) array and all that the file is to say of them."""
    dims = getattr(array, "dims", ("y", "x"))
    if len(dims) not in (2, 3) or dims[-2:] != ("y", "x"):
        raise ValueError(f"expected dims (class, y, x), (band, y, x) or (y, x), got {dims}")
    _checks.raster(array, "array", dims)
    dim = dims[0] if len(dims) == 3 else None
    names = [str(v) for v in array[dim].values] if dim else [str(array.name or "value")]
    if array.chunks is None:
        array = array.chunk({"y": 1024, "x": 1024})
    data = array.data.rechunk({0: -1}) if dim else array.data[np.newaxis]
    data = data.astype(np.uint8) if data.dtype == bool else data
    if not rasterio.dtypes.check_dtype(data.dtype.name):
        raise TypeError(f"GeoTIFF has no {data.dtype}: cast it, e.g. array.astype('float32')")
    nodata = array.rio.nodata if array.rio.encoded_nodata is None else array.rio.encoded_nodata
    if nodata is None and data.dtype.kind == "f":
        nodata = math.nan
    attrs = {k: v for k, v in array.attrs.items() if k not in ("_FillValue", "grid_mapping")}
    about = json.dumps({"dim": dim, "names": names, "attrs": attrs}, default=str)
    tags = {k: str(v) for k, v in attrs.items() if isinstance(v, str | int | float | bool)}
    meta = {
        "names": names,
        "crs": array.rio.crs,
        "transform": array.rio.transform(recalc=True),
        "dtype": data.dtype.name,
        "nodata": nodata,
        "classes": attrs.get("classes", []) if data.dtype == np.uint8 and not dim else [],
        "tags": {**tags, "toolkit": about},
    }
    identity = tokenize(data.name, data.chunks, {**meta, "crs": meta["crs"].to_wkt()})
    meta["tags"][_TAG] = identity
    return data, meta


def _tag(path):
    """Return the fingerprint in a file, None if it has none or is no raster."""
    try:
        with rasterio.open(path) as file:
            return file.tags().get(_TAG)
    except rasterio.errors.RasterioIOError:
        return None


def _prepare(folder, fingerprint, resume, path):
    """Make the folder of parts, without parts of another array."""
    note = folder / "fingerprint"
    if folder.exists():
        same = note.exists() and note.read_text() == fingerprint
        if resume and not same:
            warnings.warn(
                f"{path.name}: the unfinished blocks in {folder.name} belong to another model, "
                "image or option; starting anew",
                stacklevel=3,
            )
        if not (resume and same):
            shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    note.write_text(fingerprint)


@contextmanager
def _disk_trouble(path, folder, blocks):
    """Say what a failed write leaves behind and what to do."""
    try:
        yield
    except (OSError, rasterio.errors.RasterioError, rasterio._err.CPLE_BaseError) as error:
        done = sum(part.exists() for part in blocks.values())
        raise OSError(
            f"{path} could not be written: {error}. {done} of {len(blocks)} blocks are finished "
            f"and kept in {folder}. Free the disk or choose a folder you may write to; the same "
            "call goes on from there."
        ) from error


def _save_part(values, part, meta, offset):
    """Keep one block as a small GeoTIFF; it is there whole or not at all."""
    options = {key: meta[key] for key in ("crs", "dtype", "nodata")}
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            count=values.shape[0],
            height=values.shape[1],
            width=values.shape[2],
            transform=meta["transform"] * Affine.translation(*map(int, offset)),
            tiled=True,
            compress="DEFLATE",
            zlevel=1,
            **options,
        ) as file:
            file.write(values)
        # Python tells of a full disk at once, GDAL only in its log.
        unfinished = part.with_suffix(".unfinished")
        unfinished.write_bytes(memory.getbuffer())
    os.replace(unfinished, part)


def _mosaic(data, blocks, meta):
    """Return a GDAL virtual raster that joins the parts and carries all metadata."""
    gdal_type = "Byte" if meta["dtype"] == "uint8" else meta["dtype"].capitalize()
    rows, columns = (np.cumsum([0, *sizes]) for sizes in data.chunks[1:])
    tags = "".join(f"<MDI key={quoteattr(k)}>{escape(v)}</MDI>" for k, v in meta["tags"].items())
    legend = ""
    if meta["classes"]:
        by_value = {entry["value"]: entry for entry in meta["classes"]}
        categories, colours = "", ""
        for value in range(max(by_value) + 1):
            entry = by_value.get(value, {"name": "", "color": "#000000"})
            red, green, blue = bytes.fromhex(entry["color"].lstrip("#"))
            categories += f"<Category>{escape(entry['name'])}</Category>"
            colours += f'<Entry c1="{red}" c2="{green}" c3="{blue}" c4="255"/>'
        legend = (
            f"<CategoryNames>{categories}</CategoryNames><ColorInterp>Palette</ColorInterp>"
            f"<ColorTable>{colours}</ColorTable>"
        )
    bands = ""
    for band, name in enumerate(meta["names"], 1):
        sources = ""
        for (i, j), part in blocks.items():
            size = f'xSize="{data.chunks[2][j]}" ySize="{data.chunks[1][i]}"'
            sources += (
                f'<SimpleSource><SourceFilename relativeToVRT="1">{part.name}</SourceFilename>'
                f'<SourceBand>{band}</SourceBand><SrcRect xOff="0" yOff="0" {size}/>'
                f'<DstRect xOff="{columns[j]}" yOff="{rows[i]}" {size}/></SimpleSource>'
            )
        nodata = "" if meta["nodata"] is None else f"<NoDataValue>{meta['nodata']}</NoDataValue>"
        bands += (
            f'<VRTRasterBand dataType="{gdal_type.replace("Uint", "UInt")}" band="{band}">'
            f"<Description>{escape(name)}</Description>{nodata}{legend}{sources}</VRTRasterBand>"
        )
    place = ", ".join(map(repr, meta["transform"].to_gdal()))
    return (
        f'<VRTDataset rasterXSize="{data.shape[2]}" rasterYSize="{data.shape[1]}">'
        f"<SRS>{escape(meta['crs'].to_wkt())}</SRS><GeoTransform>{place}</GeoTransform>"
        f"<Metadata>{tags}</Metadata>{bands}</VRTDataset>"
    )


def _join(folder, path, meta):
    """Turn the parts into one cloud-optimised GeoTIFF and put it in its place."""
    joined = folder / path.name
    cache = rasterio.env.get_gdal_config("GDAL_CACHEMAX")
    try:
        # Both would grow with the scene: the cache up to a twentieth of the machine's memory, the
        # parts that a virtual raster keeps open up to 450.
        with rasterio.Env(GDAL_CACHEMAX=32_000_000, GDAL_MAX_DATASET_POOL_SIZE="8"):
            average = "MODE" if meta["dtype"] == "uint8" else "AVERAGE"
            rasterio.shutil.copy(folder / "mosaic.vrt", joined, overview_resampling=average, **_COG)
    except SystemError as error:  # rasterio's word for a failure that GDAL gave no reason for
        raise OSError("GDAL could not write the joined file, is the disk full?") from error
    finally:
        rasterio.env.set_gdal_config("GDAL_CACHEMAX", cache)
    with rasterio.open(joined) as file:
        # The last pixels of the full resolution stand at the end: a cut file fails here.
        file.read(window=((file.height - 1, file.height), (file.width - 1, file.width)))
    names, old = (Path(f"{file}.aux.xml") for file in (joined, path))
    old.unlink(missing_ok=True)
    if names.exists():
        os.replace(names, old)
    os.replace(joined, path)
