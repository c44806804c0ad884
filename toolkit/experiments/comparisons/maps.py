"""How do networks of any resolution come to one map, and how is it scored?"""

import warnings

import numpy as np
from scipy import ndimage

from toolkit import accuracy, chips, mapping

CONTEXT = 32
"""Pixels around a window that a network with a finite receptive field sees as well."""

SCORES = ("overall", "kappa", "f1", "iou")


def probability(model, place, windows, cell=None):
    """Predict some windows of a ground, brought to one grid whatever the network's own.

    A network that maps at half the resolution is interpolated bilinearly, one that maps finer than
    the cells is averaged. Networks that see the whole image at once (pooling over all of it,
    instance normalisation, attention) get tiles of twice the side of a chip and nothing around
    them, as their image should be about as large as in training.

    Parameters
    ----------
    model : toolkit.models.Network
        Trained.
    place : Ground
        From `ground`.
    windows : geopandas.GeoDataFrame
        With row, col and size, pixels of the image: chips, or blocks of test ground.
    cell : int, optional
        Pixels of the image along one side of a cell; that of the truth where left out.

    Returns
    -------
    numpy.ndarray
        (class, y, x), float32, on the whole ground; NaN outside the windows and without data.
    """
    cell = cell or place.cell
    rows, cols = (n // cell for n in place.image.shape[1:])
    out = np.full((model.classes, rows, cols), np.nan, np.float32)
    bounded = model.receptive_field is not None
    around = CONTEXT if bounded else 0
    for row, col, size in windows[["row", "col", "size"]].to_numpy():
        top, left = max(0, row - around), max(0, col - around)
        crop = place.image[:, top : row + size + around, left : col + size + around]
        tile = max(crop.shape[1:]) if bounded else 2 * place.about["chip"]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "halo=|the receptive field")
            found = mapping.predict(
                model, crop, tile=tile, batch_size=4, halo=0, classes=place.classes
            ).compute(scheduler="synchronous")
        found = _to_cells(np.nan_to_num(found.values), round(1 / model.output_scale), cell)
        r, c = (row - top) // cell, (col - left) // cell
        n = size // cell
        here = np.s_[:, row // cell : row // cell + n, col // cell : col // cell + n]
        out[here] = found[:, r : r + n, c : c + n]
    out[:, ~seen(place, cell)] = np.nan
    return out


def _to_cells(values, own, wanted):
    """Bring (class, y, x) from cells of `own` pixels to cells of `wanted` pixels."""
    if own > wanted:
        step = own // wanted
        return ndimage.zoom(values, (1, step, step), order=1, mode="nearest", grid_mode=True)
    step = wanted // own
    rows, cols = (n // step for n in values.shape[1:])
    values = values[:, : rows * step, : cols * step]
    return values.reshape(len(values), rows, step, cols, step).mean(axis=(2, 4))


def seen(place, cell):
    """Which cells the image has data in: (y, x), bool."""
    known = place.image.notnull().all("band").values
    rows, cols = (n // cell for n in known.shape)
    known = known[: rows * cell, : cols * cell].reshape(rows, cell, cols, cell)
    return known.any(axis=(1, 3))


def class_map(probability, place):
    """The most probable class of each cell, 255 where the probability is NaN: like the truth."""
    unknown = np.isnan(probability).any(axis=0)
    codes = np.array([item["value"] for item in place.classes], np.uint8)
    values = codes[np.where(unknown, 0, probability).argmax(axis=0)]
    return place.truth.copy(data=np.where(unknown, chips.IGNORE, values).astype(np.uint8))


def class_map_of(model, place, windows):
    """Predict some windows of a ground and take the most probable class; see `probability`."""
    return class_map(probability(model, place, windows), place)


def scored(found, reference, place):
    """Scores of a map against truth or labels.

    Parameters
    ----------
    found, reference : xarray.DataArray
        (y, x) class codes on one grid; 255 in either is left out.
    place : Ground
        Gives the classes.

    Returns
    -------
    dict of str to float
        overall, kappa, and f1 and iou of the second of two classes, or their means over the
        classes that occur. NaN where the reference and the map have no pixel in common.
    """
    if not ((found.values != chips.IGNORE) & (reference.values != chips.IGNORE)).any():
        return dict.fromkeys(SCORES, np.nan)
    matrix = accuracy.confusion(reference, found, place.classes)
    pick = (lambda s: s.iloc[1]) if len(place.classes) == 2 else (lambda s: s.mean())
    return {
        "overall": matrix.overall,
        "kappa": matrix.kappa,
        "f1": float(pick(matrix.f1)),
        "iou": float(pick(matrix.iou)),
    }
