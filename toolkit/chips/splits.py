"""Which chips train, and which validate?

Use it through `toolkit.chips`.
"""

import numpy as np
import pandas as pd
import shapely

from toolkit.chips.grids import choice
from toolkit.chips.windows import class_shares, columns, training, windows


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
    shares = class_shares(table)
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
