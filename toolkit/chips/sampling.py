"""Where are chips cut from a scene: regular grids and the fishnet of the IFCN paper.

Use it through `toolkit.chips`.
"""

import itertools
import warnings

import geopandas as gpd
import numpy as np
import pandas as pd

from toolkit import _checks
from toolkit.chips.grids import IGNORE, choice, geobox, has_data
from toolkit.chips.windows import boxes, columns, make, on_grid, provenance, same_crs, share, whole


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
    size, stride = whole(size, "size"), whole(size if stride is None else stride, "stride")
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
    return make(image, label, rows.ravel(), cols.ravel(), size, max_nodata, classes)


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
    rows, cols = whole(rows, "rows"), whole(cols, "cols")
    few, many = per_cell
    if not (0 < few <= many and int(few) == few and int(many) == many):
        raise ValueError(f"per_cell={per_cell}: give the fewest and the most samples, as (2, 8)")
    share(coverage, "coverage")
    height, width = image.shape[1:]
    if rows > height or cols > width:
        raise ValueError(f"a {rows} x {cols} fishnet is finer than the {height} x {width} pixels")
    down = np.linspace(0, height, rows + 1).round().astype(int)
    across = np.linspace(0, width, cols + 1).round().astype(int)
    valid = has_data(image)
    texture = on_grid(label, image).values if label is not None else _standardised(image)
    records = []
    for top, bottom in itertools.pairwise(down):
        for left, right in itertools.pairwise(across):
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
        cells,
        geometry=boxes(image, *cells[["row", "col", "height", "width"]].to_numpy().T),
        crs=image.rio.crs,
    )
    table.attrs = provenance(image)
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
    size = whole(size, "size")
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
    table = make(image, label, drawn[:, 1], drawn[:, 2], size, 1, classes)
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
    columns(table)
    same_crs(table, image)
    left, bottom, right, top = table.geometry.bounds.to_numpy().T
    inverse = ~geobox(image).affine
    (col, row), (end, last) = inverse * (left, top), inverse * (right, bottom)
    width = float(np.median(end - col))
    row = np.minimum(row, last)  # y may run either way
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
    out = out.set_geometry(boxes(image, out["row"], out["col"], size, size), crs=image.rio.crs)
    moved = np.abs(out.geometry.bounds.to_numpy() - table.geometry.bounds.to_numpy()).max()
    if moved > 1.01 * abs(geobox(image).affine.a) or (row < 0).any() or (col < 0).any():
        raise ValueError("the chips lie outside this image: it does not cover the table's ground")
    return out


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
