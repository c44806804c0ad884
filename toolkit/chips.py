"""How do scenes become training samples, split honestly?

A chip table is a GeoDataFrame with one row per chip: its footprint, its window in pixels of the
image (``row`` and ``col`` of the upper left pixel, ``size``), the share of nodata, the share of
each class, and after `split` the part it plays. Make it with `grid` or `fishnet`, divide it with
`split`, look at it with `plot`, `balance` and `leak`, and hand it to `dataloaders`.
"""

import warnings

import geopandas as gpd
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import shapely

from toolkit import _checks
from toolkit._grids import (
    IGNORE,
    align,
    as_label,
    choice,
    classes_of,
    display_bands,
    geobox,
    has_data,
    same_grid,
    zoom,
)
from toolkit._splits import balance, leak, split

__all__ = [
    "IGNORE",
    "align",
    "balance",
    "dataloaders",
    "fishnet",
    "fishnet_cells",
    "grid",
    "leak",
    "plot",
    "regrid",
    "split",
    "statistics",
    "zoom",
]

# Okabe-Ito, chosen to stay apart from each other and from a grey image.
_COLOURS = {"train": "#56B4E9", "valid": "#D55E00", "guard": "#F0E442", "chips": "#56B4E9"}
_WORDS = {"train": "training", "valid": "validation", "guard": "guard (unused)", "chips": "chips"}


def __getattr__(name):
    # fastai takes seconds to import, and only the loaders need it.
    if name == "dataloaders":
        from toolkit._batches import dataloaders

        return dataloaders
    raise AttributeError(f"module 'toolkit.chips' has no attribute {name!r}; it has {__all__}")


def __dir__():
    return sorted({*globals(), *__all__})


def grid(image, label=None, size=64, stride=None, cover=False, max_nodata=0.5, classes=None):
    """Cut an image into a regular grid of square chips.

    Parameters
    ----------
    image : xarray.DataArray
        Dims (band, y, x).
    label : xarray.DataArray, optional
        Class codes (y, x); brought to the image's grid with `align` where it has another one.
    size : int
        Edge of a chip in pixels.
    stride : int, optional
        Pixels from one chip to the next; `size` (chips side by side) by default.
    cover : bool
        Shift a last row and column inward so that chips reach the image's far borders; they
        overlap their neighbours then. Without it, what does not fill a chip is left out.
    max_nodata : float
        Chips with a larger share of nodata are dropped; 1 keeps all. A pixel counts as nodata
        when any band misses there.
    classes : list, optional
        Classes of the label, where ``label.attrs["classes"]`` does not hold them.

    Returns
    -------
    geopandas.GeoDataFrame
        One row per chip: row, col, size (pixels), nodata (share of the chip), with a label also
        labelled (share) and share_<class> (of the labelled pixels; NaN where there are none),
        and the footprint in the image's CRS. ``attrs["classes"]`` holds the classes.

    Raises
    ------
    ValueError
        The image is smaller than a chip, or no chip has enough data.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from toolkit import chips
    >>> image = xr.DataArray(
    ...     np.ones((1, 10, 10), "float32"), dims=("band", "y", "x"),
    ...     coords={"band": ["lights"], "y": np.arange(10)[::-1], "x": np.arange(10)},
    ... ).rio.write_crs("EPSG:32735")
    >>> len(chips.grid(image, size=4)), len(chips.grid(image, size=4, cover=True))
    (4, 9)
    """
    _checks.raster(image, "image")
    size, stride = _whole(size, "size"), _whole(size if stride is None else stride, "stride")
    height, width = image.shape[1:]
    if size > min(height, width):
        raise ValueError(
            f"size={size}: a chip is larger than the image of {height} x {width} pixels. "
            "Use a smaller size, or a finer image (chips.zoom)."
        )

    def starts(length):
        out = list(range(0, length - size + 1, stride))
        return [*out, length - size] if cover and out[-1] < length - size else out

    rows, cols = np.meshgrid(starts(height), starts(width), indexing="ij")
    return _table(image, label, rows.ravel(), cols.ravel(), size, max_nodata, classes)


def fishnet_cells(image, rows=20, cols=20, label=None, per_cell=(2, 8), coverage=0.9):
    """Divide an image into a fishnet and say how many samples each cell gives.

    Parameters
    ----------
    image : xarray.DataArray
        Dims (band, y, x).
    rows, cols : int
        Cells down and across; 20 x 20 in the paper.
    label : xarray.DataArray, optional
        Class codes (y, x), on any grid.
    per_cell : (int, int)
        Fewest and most samples of a cell.
    coverage : float
        A cell is kept when more than this share of it has data.

    Returns
    -------
    geopandas.GeoDataFrame
        One row per cell: cell (number, row by row), row, col, height, width (pixels), coverage
        (share with data), kept, form, samples (0 where not kept) and the footprint.

    Notes
    -----
    The paper takes "2-8 samples" from each cell so that all urban forms are included, without a
    rule. Ours: the ``form`` of a cell is the share of neighbouring pixels that differ in class,
    so that it grows with the length of the edge between town and country; without a label it is
    the mean absolute difference of neighbouring pixels (bands standardised). A cell without any
    edge gives the fewest samples. The others are ranked by form, and the ranks spread evenly
    over the numbers up to the most.

    References
    ----------
    Section 3.2.1 and Fig. 2 of the IFCN paper on night lights.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from toolkit import chips
    >>> values = np.ones((1, 40, 40), "float32")
    >>> values[0, :20, :20] = np.nan
    >>> image = xr.DataArray(
    ...     values, dims=("band", "y", "x"),
    ...     coords={"band": ["lights"], "y": np.arange(40)[::-1], "x": np.arange(40)},
    ... ).rio.write_crs("EPSG:32735")
    >>> chips.fishnet_cells(image, 2, 2)[["coverage", "kept", "samples"]]
       coverage   kept  samples
    0       0.0  False        0
    1       1.0   True        2
    2       1.0   True        2
    3       1.0   True        2
    """
    _checks.raster(image, "image")
    rows, cols = _whole(rows, "rows"), _whole(cols, "cols")
    few, many = per_cell
    if not (0 < few <= many and int(few) == few and int(many) == many):
        raise ValueError(f"per_cell={per_cell}: give the fewest and the most samples, as (2, 8)")
    _share(coverage, "coverage")
    height, width = image.shape[1:]
    if rows > height or cols > width:
        raise ValueError(f"a {rows} x {cols} fishnet is finer than the {height} x {width} pixels")
    lines = [np.linspace(0, n, k + 1).round().astype(int) for n, k in ((height, rows), (width, cols))]
    valid = has_data(image)
    texture = _on_grid(label, image).values if label is not None else _standardised(image)
    records = []
    for top, bottom in zip(lines[0][:-1], lines[0][1:], strict=True):
        for left, right in zip(lines[1][:-1], lines[1][1:], strict=True):
            window = (slice(top, bottom), slice(left, right))
            records.append(
                {
                    "cell": len(records),
                    "row": top,
                    "col": left,
                    "height": bottom - top,
                    "width": right - left,
                    "coverage": valid[window].mean(),
                    "form": _form(texture[(..., *window)]),
                }
            )
    cells = pd.DataFrame(records)
    cells.insert(6, "kept", cells["coverage"] > coverage)
    edged = cells["kept"] & (cells["form"] > 0)
    rank = cells.loc[edged, "form"].rank(pct=True)
    cells["samples"] = np.where(cells["kept"], few, 0)
    cells.loc[edged, "samples"] = few + np.ceil(rank * (many - few) - 1e-9).astype(int)
    table = gpd.GeoDataFrame(
        cells, geometry=_boxes(image, *cells[["row", "col", "height", "width"]].to_numpy().T),
        crs=image.rio.crs,
    )
    table.attrs = _provenance(image)
    return table


def fishnet(
    image,
    label=None,
    rows=20,
    cols=20,
    size=36,
    per_cell=(2, 8),
    coverage=0.9,
    seed=0,
    inside="chip",
    max_nodata=0.5,
    classes=None,
):
    """Sample chips at random positions inside the cells of a fishnet.

    Parameters
    ----------
    image, label, rows, cols, per_cell, coverage
        As in `fishnet_cells`, which decides how many samples a cell gives.
    size : int
        Edge of a chip in pixels; 36 in the paper.
    seed : int
        The same seed draws the same positions.
    inside : {"chip", "centre"}
        What must lie in the cell: the whole chip, or only its centre, for cells that are smaller
        than a chip (20 x 20 cells of a small country). Chips never leave the image.
    max_nodata, classes
        As in `grid`.

    Returns
    -------
    geopandas.GeoDataFrame
        As from `grid`, with the column cell. Chips of one cell may overlap, never coincide.

    Raises
    ------
    ValueError
        No cell has enough data, or all are smaller than a chip.

    Warns
    -----
    UserWarning
        Some cells could not give a chip.

    References
    ----------
    Section 3.2.1 of the IFCN paper on night lights: 228 of 400 cells, 1,017 samples.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from toolkit import chips
    >>> image = xr.DataArray(
    ...     np.ones((1, 80, 80), "float32"), dims=("band", "y", "x"),
    ...     coords={"band": ["lights"], "y": np.arange(80)[::-1], "x": np.arange(80)},
    ... ).rio.write_crs("EPSG:32735")
    >>> table = chips.fishnet(image, rows=2, cols=2)
    >>> table.groupby("cell").size().tolist()
    [2, 2, 2, 2]
    """
    choice(inside, ("chip", "centre"), "inside")
    size = _whole(size, "size")
    cells = fishnet_cells(image, rows, cols, label, per_cell, coverage)
    if not cells["kept"].any():
        raise ValueError(
            f"no cell has more than {coverage:.0%} image: the best has "
            f"{cells['coverage'].max():.0%}. Lower coverage, or crop the image to its data."
        )
    if inside == "chip" and size > min(cells["height"].max(), cells["width"].max()):
        height, width = image.shape[1:]
        raise ValueError(
            f"the {rows} x {cols} cells of about {height / rows:.0f} x {width / cols:.0f} pixels "
            f"are smaller than a chip of {size} pixels. Use at most rows={height // size}, "
            f"cols={width // size}, smaller chips, or inside='centre'."
        )
    rng = np.random.default_rng(seed)
    empty = _sums(~has_data(image), size) / size**2
    drawn = []
    for cell in cells[cells["kept"]].itertuples():
        window = [
            _starts(first, length, size, extent, inside)
            for first, length, extent in (
                (cell.row, cell.height, empty.shape[0]),
                (cell.col, cell.width, empty.shape[1]),
            )
        ]
        free = np.argwhere(empty[window[0], window[1]] <= max_nodata)
        chosen = rng.permutation(len(free))[: cell.samples]
        origin = [w.start for w in window]
        drawn += [(cell.cell, *(free[i] + origin)) for i in chosen]
    lacking = cells["kept"].sum() - len({number for number, *_ in drawn})
    if not drawn:
        raise ValueError(
            f"no chip of {size} pixels with at most {max_nodata:.0%} nodata fits into any cell"
        )
    if lacking:
        warnings.warn(
            f"{lacking} of {cells['kept'].sum()} kept cells hold no chip of {size} pixels with at "
            f"most {max_nodata:.0%} nodata and give no sample",
            stacklevel=2,
        )
    drawn = np.array(drawn)
    table = _table(image, label, drawn[:, 1], drawn[:, 2], size, 1, classes)
    table.insert(0, "cell", drawn[:, 0])
    return table


def regrid(table, image):
    """Carry a chip table over to a zoomed version of its image.

    Sampling 36 x 36 pixels and training on 224 x 224 goes: a table on the image, ``zoom`` of image
    and label by 224 / 36, then this.

    Parameters
    ----------
    table : geopandas.GeoDataFrame
        A chip table.
    image : xarray.DataArray
        What `zoom` made of the table's image: same upper left corner, other pixel size.

    Returns
    -------
    geopandas.GeoDataFrame
        The same chips with windows on `image`, shifted by at most half a new pixel. Shares,
        splits and cells are kept.

    Raises
    ------
    ValueError
        Another CRS or ground, or chips that are no whole number of new pixels.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from toolkit import chips
    >>> image = xr.DataArray(
    ...     np.ones((1, 80, 80), "float32"), dims=("band", "y", "x"),
    ...     coords={"band": ["lights"], "y": np.arange(80)[::-1], "x": np.arange(80)},
    ... ).rio.write_crs("EPSG:32735")
    >>> table = chips.fishnet(image, rows=2, cols=2, size=36)
    >>> chips.regrid(table, chips.zoom(image, 224 / 36))["size"].unique().tolist()
    [224]
    """
    _columns(table)
    _same_crs(table, image)
    left, bottom, right, top = table.geometry.bounds.to_numpy().T
    inverse = ~geobox(image).affine
    (col, row), (end, _) = inverse * (left, top), inverse * (right, bottom)
    width = float(np.median(end - col))
    size = round(width)
    if abs(width - size) > 1e-3:
        raise ValueError(
            f"a chip would be {width:.2f} pixels wide on this image. Choose the zoom so that chips "
            f"stay whole, such as {size} / {table['size'].iloc[0]} on the table's image."
        )
    out = table.copy()
    # Half up, for all alike: the distances between chips must not change by rounding.
    row, col = (np.floor(v + 0.5 - 1e-6).astype(int) for v in (row, col))
    out["row"] = np.minimum(row, image.sizes["y"] - size)
    out["col"] = np.minimum(col, image.sizes["x"] - size)
    out["size"] = size
    out = out.set_geometry(_boxes(image, out["row"], out["col"], size, size), crs=image.rio.crs)
    moved = np.abs(out.geometry.bounds.to_numpy() - table.geometry.bounds.to_numpy()).max()
    if moved > 1.01 * abs(geobox(image).affine.a) or (row < 0).any() or (col < 0).any():
        raise ValueError("the chips lie outside this image: it does not cover the table's ground")
    return out


def statistics(image, table):
    """Return mean and standard deviation of each band over the training chips alone.

    A pixel counts once for every training chip it lies in, as the network meets it. Pixels that
    miss in any band do not count. Sums run in float64 over two passes.

    Parameters
    ----------
    image : xarray.DataArray
        Dims (band, y, x), in physical units.
    table : geopandas.GeoDataFrame
        A chip table of this image with the column split (see `split`).

    Returns
    -------
    pandas.DataFrame
        Columns band, mean, std (population standard deviation), in the units of the image.

    Raises
    ------
    ValueError
        No training chip, no data in them, or a table of another image.

    Warns
    -----
    UserWarning
        A band is constant; its standard deviation is then given as 1.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from toolkit import chips
    >>> image = xr.DataArray(
    ...     np.arange(64, dtype="float32").reshape(1, 8, 8), dims=("band", "y", "x"),
    ...     coords={"band": ["lights"], "y": np.arange(8)[::-1], "x": np.arange(8)},
    ... ).rio.write_crs("EPSG:32735")
    >>> table = chips.grid(image, size=4)
    >>> table["split"] = ["train", "train", "valid", "valid"]
    >>> chips.statistics(image, table).round(3)
         band  mean    std
    0  lights  15.5  9.233
    """
    windows(table, image)
    train = training(table)
    times = np.zeros(image.shape[1:])
    for row, col, size in train[["row", "col", "size"]].to_numpy():
        times[row : row + size, col : col + size] += 1
    times[~has_data(image)] = 0
    seen = times > 0
    if not seen.any():
        raise ValueError("the training chips hold nothing but nodata: no statistics")
    weight = times[seen]
    records = []
    for position, name in enumerate(_names(image)):
        values = image.isel(band=position).values[seen].astype(np.float64)
        mean = np.average(values, weights=weight)
        std = np.sqrt(np.average((values - mean) ** 2, weights=weight))
        if std <= 1e-7 * max(abs(mean), np.finfo(np.float32).tiny):
            warnings.warn(
                f"band {name!r} is constant ({mean:g}) in the training chips: it tells a network "
                "nothing. Its standard deviation is set to 1.",
                stacklevel=2,
            )
            std = 1.0
        records.append({"band": name, "mean": mean, "std": std})
    return pd.DataFrame(records)


def plot(table, image):
    """Draw chips on their image, coloured by split.

    Parameters
    ----------
    table : geopandas.GeoDataFrame
        A chip table, with or without the column split; or the cells of `fishnet_cells`.
    image : xarray.DataArray
        Dims (band, y, x), in the table's CRS. One band is shown in grey, three as colours,
        stretched from the 2nd to the 98th percentile.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from toolkit import chips
    >>> image = xr.DataArray(
    ...     np.ones((1, 8, 8), "float32"), dims=("band", "y", "x"),
    ...     coords={"band": ["lights"], "y": np.arange(8)[::-1], "x": np.arange(8)},
    ... ).rio.write_crs("EPSG:32735")
    >>> chips.plot(chips.grid(image, size=4), image).axes[0].get_xlabel()
    'easting (metre)'
    """
    _checks.raster(image, "image")
    _same_crs(table, image)
    box = geobox(image)
    left, bottom, right, top = box.boundingbox.bbox
    aspect = 1 / np.cos(np.radians((top + bottom) / 2)) if box.crs.geographic else 1
    tall = (top - bottom) * aspect / (right - left)
    width = min(7.5, 7.5 / tall)
    figure, axes = plt.subplots(figsize=(width + 0.8, width * tall + 0.9), layout="constrained")
    step = max(1, max(box.shape) // 1500)
    shown = image[display_bands(_names(image)), ::step, ::step].values
    low, high = np.nanpercentile(np.where(np.isfinite(shown), shown, np.nan), (2, 98), axis=(1, 2))
    scaled = (shown - low[:, None, None]) / np.where(high > low, high - low, 1)[:, None, None]
    scaled = np.where(np.isfinite(shown), scaled.clip(0, 1), 1)
    rgb = np.broadcast_to(scaled, (3, *scaled.shape[1:])).transpose(1, 2, 0)
    axes.imshow(rgb, extent=(left, right, bottom, top), interpolation="nearest")
    parts = table["split"] if "split" in table else pd.Series("chips", table.index)
    if "kept" in table and "split" not in table:
        parts = parts.where(table["kept"], "left out")
    handles = []
    for part in [*_COLOURS, "left out"]:
        chosen = table[parts == part]
        if chosen.empty:
            continue
        colour = _COLOURS.get(part, "#999999")
        chosen.plot(ax=axes, facecolor=colour, alpha=0.12, linewidth=0, aspect=None)
        chosen.boundary.plot(ax=axes, color=colour, linewidth=1.1, aspect=None)
        words = f"{_WORDS.get(part, part)}: {len(chosen):,}"
        handles.append(plt.Rectangle((0, 0), 1, 1, facecolor="none", edgecolor=colour, label=words))
    axes.set(xlim=(left, right), ylim=(bottom, top), aspect=aspect)
    names = ("longitude (°)", "latitude (°)")
    if not box.crs.geographic:
        names = tuple(f"{word} ({box.crs.units[0]})" for word in ("easting", "northing"))
    axes.set(xlabel=names[0], ylabel=names[1])
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False)
    plt.close(figure)  # else a notebook shows it twice
    return figure


def windows(table, image):
    """Check that a chip table belongs to an image; return its windows (row, col, size)."""
    _checks.raster(image, "image")
    _columns(table)
    _same_crs(table, image)
    row, col, size = out = table[["row", "col", "size"]].to_numpy().T
    height, width = image.shape[1:]
    beyond = (row < 0) | (col < 0) | (row + size > height) | (col + size > width)
    if beyond.any():
        first = int(np.flatnonzero(beyond)[0])
        raise ValueError(
            f"{beyond.sum()} chip windows reach beyond the image of {height} x {width} pixels, the "
            f"first at row {row[first]}, col {col[first]}, size {size[first]}. The table was made "
            "on another image; use chips.regrid(table, image) if this one is a zoom of it."
        )
    box = geobox(image)
    here = shapely.bounds(_boxes(image, row, col, size, size))
    there = table.geometry.bounds.to_numpy()
    off = np.abs(here - there).max() / abs(box.affine.a)
    if off > 0.01:
        raise ValueError(
            f"the footprints of the table lie up to {off:.1f} pixels away from its windows on this "
            "image: it was made on another grid. Make it from this image, or use "
            "chips.regrid(table, image) if this image is a zoom of the table's."
        )
    return out.T


def training(table):
    """Return the training chips of a table, or explain why there are none."""
    if "split" not in table:
        raise ValueError("the table has no column 'split'; make it with chips.split(table)")
    train = table[table["split"] == "train"]
    if train.empty:
        found = table["split"].value_counts().to_dict()
        raise ValueError(f"the table has no training chips (split == 'train'); it has {found}")
    return train


def _table(image, label, rows, cols, size, max_nodata, classes):
    _share(max_nodata, "max_nodata")
    valid = has_data(image)
    if not valid.any():
        raise ValueError("image: there is no pixel with data in every band")
    pick = [(slice(r, r + size), slice(c, c + size)) for r, c in zip(rows, cols, strict=True)]
    data = {"row": rows, "col": cols, "size": size, "nodata": [1 - valid[w].mean() for w in pick]}
    attrs = _provenance(image)
    if label is not None:
        label = _on_grid(label, image)
        known = classes_of(label, classes)
        counts = np.array([np.bincount(label.values[w].ravel(), minlength=256) for w in pick])
        labelled = counts[:, :IGNORE].sum(axis=1)
        data["labelled"] = labelled / size**2
        for item in known:
            with np.errstate(invalid="ignore"):
                data[f"share_{item['name']}"] = counts[:, item["value"]] / labelled
        attrs["classes"] = known
    table = gpd.GeoDataFrame(
        data, geometry=_boxes(image, rows, cols, size, size), crs=image.rio.crs
    )
    table = table[table["nodata"] <= max_nodata].reset_index(drop=True)
    if table.empty:
        raise ValueError(
            f"every chip has more than {max_nodata:.0%} nodata (the best {min(data['nodata']):.0%})"
            ". Use smaller chips, or raise max_nodata."
        )
    table.attrs = attrs
    return table


def _on_grid(label, image):
    """Class codes on the image's grid; untouched where `align` has been at work already."""
    return align(as_label(label), image)


def _boxes(image, rows, cols, height, width):
    affine = geobox(image).affine
    x0, y0 = affine * (np.asarray(cols), np.asarray(rows))
    x1, y1 = affine * (np.asarray(cols) + width, np.asarray(rows) + height)
    return shapely.box(np.minimum(x0, x1), np.minimum(y0, y1), np.maximum(x0, x1), np.maximum(y0, y1))


def _sums(mask, size):
    """Count the True pixels of the size x size window at every position."""
    total = np.pad(mask.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    return total[size:, size:] - total[:-size, size:] - total[size:, :-size] + total[:-size, :-size]


def _starts(first, length, size, extent, inside):
    """Return the slice of window starts that keep the chip, or its centre, in a cell."""
    low, high = first, first + length - size + 1
    if inside == "centre":
        low, high = first - size // 2, first + length - size // 2
        low, high = min(max(low, 0), extent - 1), max(min(high, extent), 1)
    return slice(low, max(high, low))


def _standardised(image):
    values = np.where(np.isfinite(image.values), image.values, np.nan)
    spread = np.nanstd(values, axis=(1, 2), keepdims=True)
    return values / np.where(spread > 0, spread, 1)


def _form(cell):
    """Share of neighbouring pixels of other class, or mean difference of neighbours (bands)."""
    differences = []
    for axis in (-2, -1):
        one = np.take(cell, range(cell.shape[axis] - 1), axis)
        other = np.take(cell, range(1, cell.shape[axis]), axis)
        if cell.dtype == np.uint8:
            known = (one != IGNORE) & (other != IGNORE)
            differences.append((one != other)[known])
        else:
            gap = np.abs(one - other)
            differences.append(gap[np.isfinite(gap)])
    joined = np.concatenate(differences)
    return float(joined.mean()) if joined.size else 0.0


def _columns(table):
    missing = {"row", "col", "size"} - set(table.columns)
    if missing or not isinstance(table, gpd.GeoDataFrame):
        raise ValueError(
            f"this is no chip table: it lacks {sorted(missing) or 'a geometry'}. "
            "Make one with chips.grid or chips.fishnet."
        )
    if table.empty:
        raise ValueError("the chip table is empty")


def _same_crs(table, image):
    if table.crs != image.rio.crs:
        raise ValueError(
            f"the table is in {table.crs and table.crs.name} and the image in "
            f"{geobox(image).crs.proj.name}: chips belong to the image they were made on"
        )


def _names(image):
    if "band" in image.coords:
        return [str(name) for name in image["band"].values]
    return [f"band {i + 1}" for i in range(image.sizes["band"])]


def _provenance(image):
    keys = ("title", "sensor", "date", "source", "simulated")
    return {key: image.attrs[key] for key in keys if key in image.attrs}


def _whole(value, what):
    if isinstance(value, bool) or int(value) != value or value < 1:
        raise ValueError(f"{what}={value}: give a whole number of at least 1")
    return int(value)


def _share(value, what):
    if not 0 <= value <= 1:
        raise ValueError(f"{what}={value}: give a share between 0 and 1")
    return value
