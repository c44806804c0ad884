"""How does a layer of the scene lie on disk?

Rasters as GeoTIFF (deflate), vectors as GeoParquet; both carry the layer's attributes with them.
Reflectance is kept in 16 bits and becomes floating point when it is read.
"""

import contextlib
import json
import os
import tempfile
from pathlib import Path

import geopandas
import numpy as np
import rasterio
import rioxarray
import xarray as xr

from toolkit.catalog import cache
from toolkit.catalog.reading import chosen

TAG = "toolkit_attributes"
COUNTED = "reflectance x 10000"


def lock(where):
    """Hold the lock of one layer; other processes that want it wait."""
    return cache.lock(f"scene-{where.parent.name}-{where.stem}")


def write(data, where, title):
    """Write a layer so that it appears complete or not at all.

    Parameters
    ----------
    data : xarray.DataArray or geopandas.GeoDataFrame
        The layer; rasters (y, x) or (band, y, x).
    where : Path
        Its place in the cache.
    title : str
        Title, where `data` has none of its own.
    """
    attrs = {k: v for k, v in data.attrs.items() if k not in ("_FillValue", "bounds", "crs")}
    # That it is simulated is said by attrs["simulated"], and by every map and figure.
    attrs["title"] = str(attrs.get("title", title)).removesuffix(" (simulated)")
    if attrs["title"].startswith("Simulated"):
        attrs["title"] = title
    attrs["title"] = attrs["title"].replace(" (simulated truth)", ", truth")
    attrs = json.loads(json.dumps(attrs | {"simulated": True}, default=_plain))
    with _appearing(where) as part:
        if isinstance(data, xr.DataArray):
            _write_raster(data, part, attrs)
        else:
            table = data.reset_index(drop=True)
            table.attrs = attrs
            table.to_parquet(part, compression="zstd", index=False)


def _plain(value):
    """A numpy number, or anything else that JSON does not know."""
    return value.item() if hasattr(value, "item") else str(value)


@contextlib.contextmanager
def _appearing(where):
    with cache.explained(where):
        where.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".part-", suffix=where.suffix, dir=where.parent)
        os.close(handle)
        try:
            yield name
            os.replace(name, where)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def _write_raster(data, part, attrs):
    stack = data if data.ndim == 3 else data.expand_dims("band")
    names = [str(n) for n in stack["band"].values] if "band" in stack.coords else []
    about = {"attrs": attrs, "bands": names or None}
    profile = {
        "driver": "GTiff", "dtype": stack.dtype, "count": stack.sizes["band"],
        "height": stack.sizes["y"], "width": stack.sizes["x"], "crs": data.rio.crs,
        "transform": data.rio.transform(recalc=True), "nodata": data.rio.nodata,
        "tiled": True, "blockxsize": 256, "blockysize": 256, "interleave": "band",
        "compress": "deflate", "zlevel": 6, "predictor": 3 if stack.dtype.kind == "f" else 2,
        "num_threads": 2,
    }  # fmt: skip
    with rasterio.open(part, "w", **profile) as file:
        file.write(stack.to_numpy())
        file.update_tags(**{TAG: json.dumps(about)})
        if names:
            file.descriptions = names


def read_table(where):
    """Read a table with its attributes."""
    return geopandas.read_parquet(where)


def read_raster(where, name, kind, bands=None, chunks=None):
    """Read a raster as the catalogue gives them.

    Parameters
    ----------
    where : Path
        Its place in the cache.
    name : str
        Of the layer, and of the band of an image that has but one.
    kind : {"image", "classes"}
        What it becomes.
    bands, chunks
        As for `toolkit.scene.open`.

    Returns
    -------
    xarray.DataArray
    """
    array = rioxarray.open_rasterio(where, chunks=chunks)
    about = json.loads(array.attrs[TAG])
    attrs, nodata, crs = about["attrs"], array.rio.nodata, array.rio.crs
    if kind == "classes":
        array = array.isel(band=0, drop=True)
        array = array.load() if chunks is None else array
    else:
        known = about["bands"] or [name]
        array = array.assign_coords(band=known).sel(band=chosen(f"scene/{name}", known, bands))
        counted = attrs.get("units") == COUNTED
        if counted:
            attrs["units"] = "1"
            attrs.pop("scale_factor_reflectance", None)
        array = _physical(array, nodata, np.float32(10_000) if counted else None, chunks)
    array.attrs, array.encoding = attrs, {}
    array = array.rename(f"scene/{name}").rio.write_crs(crs)
    fill = 255 if kind == "classes" else np.nan
    return array.rio.write_nodata(fill, encoded=False)


def _physical(array, nodata, divisor, chunks):
    """Stored numbers as float32 in their unit, nodata as NaN."""
    if chunks is not None:
        values = array.where(array != nodata) if nodata == nodata else array
        values = values.astype("float32")
        return values / divisor if divisor else values
    stored = array.to_numpy()
    values = stored.astype("float32")  # by hand: a 0.8 m image in steps would need four copies
    if nodata == nodata:
        values[stored == nodata] = np.nan
    if divisor:
        values /= divisor
    return array.copy(data=values)
