"""What do chips hold, part by part of a split, and where do they lie?

Use it through `toolkit.chips`.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from toolkit import _checks
from toolkit.chips.grids import display_bands, geobox, has_data
from toolkit.chips.windows import class_shares, names, same_crs, several, training, windows

# Okabe-Ito, chosen to stay apart from each other and from a grey image.
_COLOURS = {"train": "#56B4E9", "valid": "#D55E00", "guard": "#F0E442", "chips": "#56B4E9"}
_WORDS = {"train": "training", "valid": "validation", "guard": "guard (unused)"}


def balance(table):
    """Return number of chips and class shares of each part of a split.

    Parameters
    ----------
    table : geopandas.GeoDataFrame
        A chip table made with a label; without the column split it is taken as one part.

    Returns
    -------
    pandas.DataFrame
        One row per part, with chips (number) and, per class, its share of the labelled pixels.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from toolkit import chips
    >>> image = xr.DataArray(
    ...     np.ones((1, 8, 8), "float32"), dims=("band", "y", "x"),
    ...     coords={"band": ["lights"], "y": np.arange(8)[::-1], "x": np.arange(8)},
    ... ).rio.write_crs("EPSG:32735")
    >>> label = image[0].astype("uint8").where(image.x > 1, 0).drop_vars("band")
    >>> table = chips.split(chips.grid(image, label, size=2, classes=["country", "town"]), block=4)
    >>> chips.balance(table).round(2)  # doctest: +NORMALIZE_WHITESPACE
           chips  country  town
    split
    train     12     0.17  0.83
    valid      4     0.50  0.50
    """
    shares = class_shares(table)
    if shares.empty:
        raise ValueError("the table has no class shares; make it with a label")
    pixels = table["labelled"] * table["size"] ** 2
    parts = table["split"] if "split" in table else pd.Series("all", table.index, name="split")
    known = shares.mul(pixels, axis=0).groupby(parts).sum().div(pixels.groupby(parts).sum(), axis=0)
    known.insert(0, "chips", parts.value_counts())
    order = [part for part in ("train", "valid", "guard", "all") if part in known.index]
    return known.loc[order]


def statistics(image, table):
    """Return mean and standard deviation of each band over the training chips alone.

    A pixel counts once for every training chip it lies in, as the network meets it. Pixels that
    miss in any band do not count. Sums run in float64 over two passes.

    Parameters
    ----------
    image : xarray.DataArray, or a list of them
        Dims (band, y, x), in physical units. Several places: lists of images and of tables.
    table : geopandas.GeoDataFrame, or a list of them
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
    given = several(image=image, table=table)
    found = []
    for image, table in given:
        windows(table, image)
        times = np.zeros(image.shape[1:])
        for row, col, size in training(table)[["row", "col", "size"]].to_numpy():
            times[row : row + size, col : col + size] += 1
        times[~has_data(image)] = 0
        found.append((image, times > 0, times[times > 0]))
    weight = np.concatenate([times for *_, times in found])
    if not weight.size:
        raise ValueError("the training chips hold nothing but nodata: no statistics")
    records = []
    for position, name in enumerate(names(found[0][0])):
        values = [image.isel(band=position).values[seen] for image, seen, _ in found]
        values = np.concatenate(values).astype(np.float64)
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
        stretched from the 2nd to the 98th percentile; nodata is white.

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
    same_crs(table, image)
    box = geobox(image)
    left, bottom, right, top = box.boundingbox.bbox
    aspect = 1 / np.cos(np.radians((top + bottom) / 2)) if box.crs.geographic else 1
    tall = (top - bottom) * aspect / (right - left)
    width = min(7.5, 7.5 / tall)
    figure, axes = plt.subplots(figsize=(width + 0.8, width * tall + 0.9), layout="compressed")
    step = max(1, max(box.shape) // 1500)
    shown = image[display_bands(names(image)), ::step, ::step].values
    shown = np.where(np.isfinite(shown), shown, np.nan)
    low, high = np.nanpercentile(shown, (2, 98), axis=(1, 2), keepdims=True)
    shown = np.nan_to_num((shown - low) / np.where(high > low, high - low, 1), nan=1).clip(0, 1)
    rgb = np.broadcast_to(shown, (3, *shown.shape[1:])).transpose(1, 2, 0)
    axes.imshow(rgb, extent=(left, right, bottom, top), interpolation="nearest")
    if "split" in table:
        parts = table["split"]
    elif "kept" in table:
        parts = table["kept"].map({True: "kept cells", False: "left out"})
    else:
        parts = pd.Series("chips", table.index)
    handles = []
    for part in [p for p in (*_COLOURS, "left out", "kept cells") if (parts == p).any()]:
        chosen, colour = table[parts == part], _COLOURS.get(part, "#999999")
        colour = _COLOURS["train"] if part == "kept cells" else colour
        chosen.plot(ax=axes, facecolor=colour, alpha=0.12, linewidth=0, aspect=None)
        chosen.boundary.plot(ax=axes, color=colour, linewidth=1.1, aspect=None)
        words = f"{_WORDS.get(part, part)}: {len(chosen):,}"
        handles.append(plt.Rectangle((0, 0), 1, 1, facecolor=colour, alpha=0.8, label=words))
    axes.set(xlim=(left, right), ylim=(bottom, top), aspect=aspect)
    words = ("longitude (°)", "latitude (°)")
    if not box.crs.geographic:
        unit = box.crs.proj.axis_info[0].unit_name
        words = (f"easting ({unit})", f"northing ({unit})")
    axes.set(xlabel=words[0], ylabel=words[1])
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False)
    plt.close(figure)  # else a notebook shows it twice
    return figure
