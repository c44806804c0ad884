"""Which chips train, which validate, and what does each part hold?

Use it through `toolkit.chips`.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import shapely

from toolkit import _checks
from toolkit.chips.grids import choice, display_bands, geobox, has_data
from toolkit.chips.windows import columns, names, same_crs, training, windows

# Okabe-Ito, chosen to stay apart from each other and from a grey image.
_COLOURS = {"train": "#56B4E9", "valid": "#D55E00", "guard": "#F0E442", "chips": "#56B4E9"}
_WORDS = {"train": "training", "valid": "validation", "guard": "guard (unused)"}


def split(
    table,
    by="blocks",
    valid=0.2,
    guard=0,
    seed=0,
    block=None,
    stratify=False,
    corner="upper left",
):
    """Divide chips into training and validation, by ground or at random.

    Parameters
    ----------
    table : geopandas.GeoDataFrame
        A chip table.
    by : {"blocks", "cells", "corner", "random"}
        "blocks": square blocks of ground, drawn at random, go to validation with all chips whose
        centre they hold. "cells": the cells of a `fishnet` do; with whole chips inside their
        cells none is lost between the parts. "corner": one corner of the scene does. "random":
        chips are drawn one by one, as many papers do; overlapping chips then share ground, see
        `leak`.
    valid : float
        Share of the chips for validation. 21:4 of the IFCN paper is 0.16.
    guard : int
        Pixels of the image that must lie between a training and a validation chip, along rows or
        columns. Training chips that are nearer, or overlap one, become "guard" and are not used.
        0 keeps chips from sharing pixels. A random split takes no guard.
    seed : int
        The same seed gives the same split.
    block : int, optional
        Edge of a block in pixels; by default an eighth of the scene's shorter side, but at least
        three chips.
    stratify : bool
        Of 200 random draws of blocks or cells, keep the one whose validation part is nearest to
        the whole in class shares and size. Needs a table made with a label.
    corner : {"upper left", "upper right", "lower left", "lower right"}
        Which corner validates.

    Returns
    -------
    geopandas.GeoDataFrame
        A copy with the column split: "train", "valid" or "guard". ``attrs["split"]`` records how.

    Raises
    ------
    ValueError
        A misspelt option, or a split without training or without validation chips.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from toolkit import chips
    >>> image = xr.DataArray(
    ...     np.ones((1, 80, 80), "float32"), dims=("band", "y", "x"),
    ...     coords={"band": ["lights"], "y": np.arange(80)[::-1], "x": np.arange(80)},
    ... ).rio.write_crs("EPSG:32735")
    >>> table = chips.grid(image, size=8, stride=4)
    >>> chips.split(table, by="corner", valid=0.25)["split"].value_counts().to_dict()
    {'train': 240, 'valid': 100, 'guard': 21}
    """
    columns(table)
    choice(by, ("blocks", "cells", "corner", "random"), "by")
    if not 0 < valid < 1:
        raise ValueError(f"valid={valid}: give the share of chips for validation, such as 0.2")
    if guard < 0 or int(guard) != guard:
        raise ValueError(f"guard={guard}: give a distance in whole pixels of the image, 0 or more")
    if by == "random" and guard:
        raise ValueError("a random split has no guard: chips stay where they are drawn. Use blocks")
    rng = np.random.default_rng(seed)
    if by == "random":
        held = np.zeros(len(table), bool)
        held[rng.permutation(len(table))[: max(1, round(len(table) * valid))]] = True
    elif by == "corner":
        held = _corner(table, valid, corner)
    else:
        pieces = _cells(table) if by == "cells" else _blocks(table, block)
        held = _draw(table, pieces, valid, rng, stratify)
    parts = np.where(held, "valid", "train")
    if by != "random":
        near = _near(table, held, guard)
        parts[~held & near] = "guard"
    if not (parts == "train").any() or not held.any():
        raise ValueError(
            f"the split by={by!r} leaves {(parts == 'train').sum()} training and {held.sum()} "
            f"validation chips of {len(table)}. Use smaller blocks, a smaller guard, another "
            "share or more chips."
        )
    out = table.copy()
    out["split"] = parts
    out.attrs["split"] = {"by": by, "valid": valid, "guard": int(guard), "seed": seed}
    return out


def leak(table):
    """Measure how much of each validation chip was seen in training.

    Parameters
    ----------
    table : geopandas.GeoDataFrame
        A chip table with the column split.

    Returns
    -------
    pandas.Series
        One value per validation chip, by its index in the table: the share of its pixels that
        some training chip covers. 0 is honest; the mean is the leak of the whole split, and
        ``(leak(table) > 0).mean()`` the share of validation chips concerned.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from toolkit import chips
    >>> image = xr.DataArray(
    ...     np.ones((1, 80, 80), "float32"), dims=("band", "y", "x"),
    ...     coords={"band": ["lights"], "y": np.arange(80)[::-1], "x": np.arange(80)},
    ... ).rio.write_crs("EPSG:32735")
    >>> table = chips.grid(image, size=8, stride=4)
    >>> float(chips.leak(chips.split(table, by="random")).mean().round(2))
    0.98
    >>> float(chips.leak(chips.split(table, by="blocks")).mean())
    0.0
    """
    columns(table)
    train = training(table)
    row, col, size = table[["row", "col", "size"]].to_numpy().T
    seen = np.zeros(((row + size).max(), (col + size).max()), bool)
    for r, c, s in train[["row", "col", "size"]].to_numpy():
        seen[r : r + s, c : c + s] = True
    held = table[table["split"] == "valid"]
    shares = [
        seen[r : r + s, c : c + s].mean() for r, c, s in held[["row", "col", "size"]].to_numpy()
    ]
    return pd.Series(shares, index=held.index, name="leak", dtype=float)


def ground(table, image, part="valid"):
    """Mark the ground that the chips of one part of a split cover.

    Parameters
    ----------
    table : geopandas.GeoDataFrame
        A chip table of this image with the column split.
    image : xarray.DataArray
        Dims (band, y, x).
    part : {"train", "valid", "guard"}
        Which chips. No pixel is both "train" and "valid" ground after a split by blocks or corner.

    Returns
    -------
    xarray.DataArray
        Dims (y, x), bool.

    Raises
    ------
    ValueError
        A table of another image or without split, or a misspelt part.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from toolkit import chips
    >>> image = xr.DataArray(
    ...     np.ones((1, 80, 80), "float32"), dims=("band", "y", "x"),
    ...     coords={"band": ["lights"], "y": np.arange(80)[::-1], "x": np.arange(80)},
    ... ).rio.write_crs("EPSG:32735")
    >>> table = chips.split(chips.grid(image, size=8), by="corner", valid=0.25)
    >>> float(chips.ground(table, image, "valid").mean())
    0.25
    """
    choice(part, ("train", "valid", "guard"), "part")
    if "split" not in table:
        raise ValueError("the table has no column 'split'; make it with chips.split(table)")
    covered = np.zeros(image.shape[1:], bool)
    for r, c, s in windows(table, image)[(table["split"] == part).to_numpy()]:
        covered[r : r + s, c : c + s] = True
    return image.isel(band=0, drop=True).copy(data=covered).rename("ground").drop_attrs()


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
    shares = _class_shares(table)
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
    times = np.zeros(image.shape[1:])
    for row, col, size in training(table)[["row", "col", "size"]].to_numpy():
        times[row : row + size, col : col + size] += 1
    times[~has_data(image)] = 0
    seen = times > 0
    if not seen.any():
        raise ValueError("the training chips hold nothing but nodata: no statistics")
    weight = times[seen]
    records = []
    for position, name in enumerate(names(image)):
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


def _class_shares(table):
    shares = table.filter(regex="^share_")
    return pd.DataFrame(shares.rename(columns=lambda name: name.removeprefix("share_")))


def _centres(table):
    half = table["size"].to_numpy() / 2
    return table["row"].to_numpy() + half, table["col"].to_numpy() + half


def _corner(table, valid, corner):
    down, across = choice(
        corner, ("upper left", "upper right", "lower left", "lower right"), "corner"
    ).split()
    inward = []
    for at, far in zip(_centres(table), (down == "lower", across == "right"), strict=True):
        relative = (at - at.min()) / max(np.ptp(at), 1)
        inward.append(1 - relative if far else relative)
    # Distance from the corner in the shape of the scene: the part cut out looks like the whole.
    reach = np.maximum(*inward)
    return reach <= np.quantile(reach, valid, method="inverted_cdf") + 1e-9


def _cells(table):
    """Number the fishnet cell of each chip."""
    if "cell" not in table:
        raise ValueError("by='cells' needs a table with the column 'cell'; make it with fishnet")
    return np.unique(table["cell"], return_inverse=True)[1]


def _blocks(table, block):
    """Number the block of ground that holds each chip's centre."""
    row, col = _centres(table)
    if block is None:
        shorter = min(np.ptp(row), np.ptp(col)) + table["size"].max()
        block = max(3 * table["size"].max(), round(shorter / 8))
    if block < 1:
        raise ValueError(f"block={block}: give the edge of a block in pixels")
    first = table[["row", "col"]].min().to_numpy()
    cell = np.stack([(row - first[0]) // block, (col - first[1]) // block], axis=1)
    pieces = np.unique(cell, axis=0, return_inverse=True)[1].ravel()
    if not pieces.any():
        raise ValueError(
            f"all chips lie in one block of {block:.0f} pixels: use smaller blocks or by='corner'"
        )
    return pieces


def _draw(table, pieces, valid, rng, stratify):
    """Draw pieces of ground until their chips are the share asked for."""
    sizes = np.bincount(pieces)
    if len(sizes) < 2:
        raise ValueError("all chips lie in one fishnet cell: use more rows and cols, or another by")
    shares = _class_shares(table)
    if stratify and shares.empty:
        raise ValueError("stratify needs class shares: make the table with a label")
    pixels = shares.fillna(0).mul(table.get("labelled", 0), axis=0).to_numpy()
    best, score = None, np.inf
    for _ in range(200 if stratify else 1):
        order = rng.permutation(len(sizes))
        filled = np.cumsum(sizes[order])[:-1]
        number = np.argmin(np.abs(filled - valid * len(table))) + 1
        held = np.isin(pieces, order[:number])
        distance = abs(held.mean() - valid)
        if stratify:
            part, whole = pixels[held].sum(0), pixels.sum(0)
            distance += np.abs(part / max(part.sum(), 1e-12) - whole / whole.sum()).sum()
        if distance < score:
            best, score = held, distance
    return best


def _near(table, held, guard):
    """Say which chips share pixels with, or lie within `guard` pixels of, a held one."""
    row, col, size = table[["row", "col", "size"]].to_numpy().T
    # Windows are whole pixels: half a pixel less on each side, and touching is not sharing.
    low, high = np.stack([col, row]) + 0.5, np.stack([col, row]) + size - 0.5
    tree = shapely.STRtree(shapely.box(*low, *high)[held])
    pairs = tree.query(shapely.box(*(low - guard), *(high + guard)))
    near = np.zeros(len(table), bool)
    near[pairs[0]] = True
    return near
