"""How does a file become a DataArray, a GeoDataFrame or a DataFrame?"""

import difflib
import json

RASTER_OPTIONS = ("bands", "resolution", "chunks")


def read(name, entry, paths, options):
    """Open the files of an entry.

    Parameters
    ----------
    name : str
        The entry's name; it becomes the attribute `source`.
    entry : Entry
        What the catalogue says.
    paths : dict of str to Path
        Where each member lies.
    options : dict
        What the caller asked for.

    Returns
    -------
    xarray.DataArray, geopandas.GeoDataFrame or pandas.DataFrame
    """
    allowed = {"image": RASTER_OPTIONS, "classes": ("chunks",)}.get(entry.kind, ())
    for option in options:
        if option not in allowed:
            near = difflib.get_close_matches(option, allowed, n=1)
            raise TypeError(
                f"{name}: unknown option {option!r}"
                + (f"; did you mean {near[0]!r}?" if near else ".")
                + f" This entry takes {', '.join(allowed) if allowed else 'no options'}."
            )
    read_kind = {"image": _image, "classes": _classes, "vector": _vector, "table": _table}
    data = read_kind[entry.kind](name, entry, paths, **options)
    data.attrs |= _attributes(name, entry)
    return data


def read_scene(name, entry, options):
    """Open a layer of the teaching scene; what the layer says of itself counts before the entry."""
    from toolkit import scene

    data = scene.open(entry.driver.layer, **options)
    data.attrs = _attributes(name, entry) | data.attrs
    if entry.kind != "vector":
        data.attrs["resolution"] = f"{abs(data.rio.resolution()[0]):g} m"
    return data


def _attributes(name, entry):
    described = {
        field: getattr(entry, field)
        for field in ("title", "sensor", "date", "licence", "citation", "simulated")
    }
    return {**described, "source": name, "resolution": entry.resolution}


def _load(name, entry, path, chunks):
    """One file as (band, y, x) with the right CRS; nodata not yet touched."""
    import rasterio
    import rioxarray

    try:
        array = rioxarray.open_rasterio(path, chunks=chunks, masked=entry.nodata == "file")
    except rasterio.errors.RasterioIOError as error:
        raise ValueError(f"{name}: {path} cannot be read as a raster: {error}") from error
    declared = rasterio.crs.CRS.from_user_input(entry.crs)
    if array.rio.crs is not None and array.rio.crs != declared and not entry.override_crs:
        raise ValueError(
            f"{name}: the catalogue says {entry.crs}, the file {path.name} says "
            f"{array.rio.crs.to_string()}. Correct the entry, or set `override_crs: true` if the "
            "file is known to be wrong."
        )
    if chunks is None:
        array = array.load()
        array.close()
    return array.rio.write_crs(declared)


def _image(name, entry, paths, bands=None, resolution=None, chunks=None):
    import numpy as np
    import xarray as xr

    known = {band.name: band for band in entry.bands}
    bands = chosen(name, list(known), bands)
    parts = {}
    for member in entry.files:
        if not set(member.bands) & set(bands):
            continue
        stack = _load(name, entry, paths[member.path], chunks)
        if stack.sizes["band"] != len(member.bands):
            raise ValueError(
                f"{name}: {member.path} has {stack.sizes['band']} bands, the catalogue names "
                f"{len(member.bands)}: {member.bands}"
            )
        if isinstance(entry.nodata, float):
            stack = stack.where(stack != entry.nodata)
        for position, band in enumerate(member.bands):
            if band in bands:
                one = stack.isel(band=[position])
                about = known[band]
                if (about.scale, about.offset) != (1.0, 0.0):
                    one = one * about.scale + about.offset
                parts[band] = one.astype("float32").assign_coords(band=[band])
    grid = _grid(name, entry, parts, resolution)
    parts = [_onto(parts[band], grid, known[band].resampling) for band in bands]
    image = xr.concat(
        parts, "band", join="override", coords="minimal", compat="override", combine_attrs="drop"
    )
    if chunks is not None:
        image = image.chunk(chunks if isinstance(chunks, dict) else {})
    image = image.rio.write_crs(entry.crs)
    if entry.outline is not None:
        image = _inside(image, paths[entry.outline.path])
    image.attrs = {"bands": [known[b].model_dump(include=_SHOWN) for b in bands]}
    for field in ("long_name", "units"):
        values = {getattr(known[band], field) for band in bands}
        if len(values) == 1:
            image.attrs[field] = values.pop()
    image.attrs.setdefault("long_name", entry.title)
    image.encoding = {}
    return image.rename(name).rio.write_nodata(np.nan, encoded=False)


_SHOWN = {"name", "long_name", "units"}


def chosen(name, known, bands):
    """Return the bands asked for, in that order; all of them by default."""
    if bands is None:
        return known
    bands = [bands] if isinstance(bands, str) else list(bands)
    for band in bands:
        if band not in known:
            near = difflib.get_close_matches(str(band), known, n=1, cutoff=0.4)
            raise ValueError(
                f"{name} has no band {band!r}"
                + (f"; did you mean {near[0]!r}?" if near else ".")
                + f" It has {', '.join(known)}."
            )
    if not bands or len(set(bands)) != len(bands):
        raise ValueError(f"{name}: choose at least one band, and each once; got {bands}")
    return bands


def _grid(name, entry, parts, resolution):
    """The grid that all bands are brought onto: that of a band with the resolution asked for."""
    import odc.geo.xr  # noqa: F401  (registers the .odc accessor)

    grids = {}
    for part in parts.values():
        # half a promille: pixel sizes such as 0.49999 count as 0.5
        grids.setdefault(float(f"{abs(part.rio.resolution()[0]):.3g}"), part.odc.geobox)
    if resolution is None:
        size = entry.grid if entry.grid in grids else min(grids)
        return grids[size]
    for size, grid in grids.items():
        if abs(size - resolution) <= 1e-3 * size:
            return grid
    raise ValueError(
        f"{name}: the bands chosen come at {', '.join(f'{size:g}' for size in sorted(grids))} "
        f"(units of {entry.crs}), not at {resolution}. chips.zoom makes other resolutions."
    )


def _onto(part, grid, resampling):
    """Bring a band onto a grid by coordinates, never by index."""
    if part.odc.geobox == grid:
        return part
    coarser = abs(grid.resolution.x) > 1.5 * abs(part.rio.resolution()[0])
    if coarser and resampling != "nearest":
        resampling = "average"
    part = part.rio.write_nodata(float("nan"), encoded=False)
    moved = part.odc.reproject(grid, resampling=resampling)
    return moved.rename(dict(zip(moved.dims[-2:], ("y", "x"), strict=True)))


def _inside(image, path):
    """Pixels whose centre lies outside the outline become nodata."""
    import geopandas

    outline = geopandas.read_file(path).to_crs(image.rio.crs)
    image = image.rio.write_nodata(float("nan"), encoded=False)
    return image.rio.clip(outline.geometry, drop=False)


def _classes(name, entry, paths, chunks=None):
    stack = _load(name, entry, paths[entry.files[0].path], chunks)
    if stack.sizes["band"] != 1:
        raise ValueError(f"{name}: a class map has one band, this one {stack.sizes['band']}")
    labels = stack.isel(band=0, drop=True)
    if isinstance(entry.nodata, float):
        labels = labels.where(labels != entry.nodata)
    known = [each.value for each in entry.classes]
    # Only what is listed is a class: anything else is nodata (255), the tagged nodata included.
    labels = labels.where(labels.isin(known), 255).astype("uint8")
    labels.attrs = {
        "long_name": entry.bands[0].long_name if entry.bands else entry.title,
        "units": "class",
        "classes": [each.model_dump() for each in entry.classes],
    }
    labels.encoding = {}
    return labels.rename(name).rio.write_nodata(255, encoded=False)


def _vector(name, entry, paths):
    import warnings

    import geopandas
    import pyogrio

    path = paths[entry.files[0].path]
    if path.suffix == ".parquet":
        table = geopandas.read_parquet(path)
    else:
        layer = {"layer": entry.layer} if entry.layer else {}
        try:
            with warnings.catch_warnings():
                # OpenStreetMap extracts cut areas at their rim; GDAL says so once per area.
                warnings.filterwarnings("ignore", message=".*(ring|organizePolygons).*")
                table = geopandas.read_file(
                    path, where=entry.where, on_invalid="ignore", engine="pyogrio", **layer
                )
        except pyogrio.errors.DataSourceError as error:
            raise ValueError(f"{name}: {path} cannot be read as vectors: {error}") from error
    if entry.columns:
        table = table[[*entry.columns, table.geometry.name]]
    table = table[table.geometry.notna()].reset_index(drop=True)
    if table.crs is None or entry.override_crs:
        table = table.set_crs(entry.crs, allow_override=True)
    if table.crs != entry.crs:
        raise ValueError(
            f"{name}: the catalogue says {entry.crs}, the file {path.name} says {table.crs}. "
            "Correct the entry, or set `override_crs: true` if the file is known to be wrong."
        )
    table.attrs = {"bands": [band.model_dump(include=_SHOWN) for band in entry.bands]}
    return table


def _table(name, entry, paths):
    import pandas

    path = paths[entry.files[0].path]
    try:
        if path.suffix == ".csv":
            table = pandas.read_csv(path)
        else:
            table = pandas.DataFrame(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ValueError(f"{name}: {path} cannot be read as a table: {error}") from error
    table.attrs = {"bands": [band.model_dump(include=_SHOWN) for band in entry.bands]}
    return table
