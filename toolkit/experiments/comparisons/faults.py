"""Which labels? The truth of a task with errors of one kind, as many as are asked for."""

import numpy as np
from rasterio.features import rasterize
from scipy import ndimage

from toolkit import accuracy, catalog, chips
from toolkit._checks import choice
from toolkit.experiments.comparisons.tasks import relabelled
from toolkit.experiments.land_cover import degrade
from toolkit.scene.noise import rng

PLACED = ("random", "edges", "patches", "blocks")
"""Kinds of `toolkit.experiments.land_cover.degrade`."""

ERRORS = ("none", "product", *PLACED, "shift", "date", "coarser")

FACTORS = (2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64)
"""Cells of a label that become one, along one side."""


def disturbed(place, error="none", strength=0.3, seed=0):
    """Put errors of one kind into perfect labels, until they agree with the truth so well only.

    All kinds are measured alike: the strength is 1 - kappa of the labels against the truth. So 0
    is the truth, 1 is no better than chance, and labels of one strength tell equally much,
    whether they are wrong here and there or all shifted.

    Parameters
    ----------
    place : Ground
        From `toolkit.experiments.comparisons.ground`.
    error : str
        "none": the truth, on the grid of the labels. "product": labels as a map product has them,
        with a strength of their own. "random", "edges", "patches", "blocks": see
        `toolkit.experiments.land_cover.degrade`; blocks are as large as a chip. "shift": the whole
        map is displaced in one direction. "date": what was built last is not there yet. "coarser":
        blocks of cells carry their most frequent class.
    strength : float
        From 0 to below 1. The last three kinds come as near as whole cells or years allow.
    seed : int
        Of where the errors are, and of the direction of a shift.

    Returns
    -------
    Ground
        With other labels; truth and all else are untouched.
    dict
        reached (1 - kappa), wrong (share of the labels), setting (of the last three kinds: metres
        of the shift; year, or, for night lights, share of the radius of a town, up to which built
        land is there; metres of a cell; NaN for others).

    Raises
    ------
    ValueError
        An unknown kind, or a strength outside 0 to 1 or beyond what the kind can do.

    Examples
    --------
    >>> place, about = disturbed(ground("settlement"), "shift", 0.3)  # doctest: +SKIP
    >>> about["setting"]  # doctest: +SKIP
    40.0
    """
    choice(error, ERRORS, "error")
    if not 0 <= strength < 1:
        raise ValueError(f"strength={strength}: give 1 - kappa of the labels, 0 to below 1")
    truth, setting = place.perfect, np.nan
    if error == "product":
        label = place.product
    elif error == "none" or not strength:
        label = truth
    elif error in PLACED:
        label = _placed(place, error, strength, seed)
    else:
        ways = {"shift": _shifted, "date": _older, "coarser": _coarser}
        values, setting = _nearest(ways[error](place, seed), place, strength, error)
        label = truth.copy(data=values)
    reached = _unlike(place, label)
    known = (label.values != chips.IGNORE) & (truth.values != chips.IGNORE)
    wrong = float((label.values != truth.values)[known].mean())
    return relabelled(place, label), {"reached": reached, "wrong": wrong, "setting": setting}


def _unlike(place, label):
    return 1 - accuracy.confusion(place.perfect, label, place.classes).kappa


def _placed(place, error, strength, seed):
    """Errors at stated places; the areas of the classes give what chance alone would agree on."""
    truth = place.perfect.assign_attrs(place.perfect.attrs | {"classes": place.classes})
    known = truth.values[truth.values != chips.IGNORE]
    shares = np.bincount(known, minlength=256) / known.size
    wrong = strength * (1 - (shares**2).sum())
    block = max(2, round(place.about["chip"] * _metres(place.image) / _metres(truth)))
    for _ in range(4):  # several classes change their areas, and with them what chance agrees on
        label = degrade(truth, 1 - min(wrong, 1.0), error, seed, block)
        reached = _unlike(place, label)
        if abs(reached - strength) < 0.01:
            break
        wrong *= strength / max(reached, 1e-3)
    if abs(reached - strength) > 0.05:
        raise ValueError(
            f"{place.task}: labels with error={error!r} come no nearer to a strength of "
            f"{strength:g} than {reached:.2f}"
        )
    return label


def _metres(raster):
    return abs(raster.rio.resolution()[0])


def _nearest(steps, place, strength, error):
    """Of labels that get worse from step to step, those that come nearest to the strength."""
    best, gap, last = None, np.inf, 0.0
    for values, setting in steps:
        last = _unlike(place, place.perfect.copy(data=values))
        if abs(last - strength) < gap:
            best, gap = (values, setting), abs(last - strength)
        if last >= strength:
            break
    if last < 0.9 * strength:
        raise ValueError(
            f"{place.task}: labels with error={error!r} reach a strength of {last:.2f} at most, "
            f"{strength:g} was asked for"
        )
    return best


def _shifted(place, seed):
    """Labels displaced by one cell more at each step, up, down, left or right."""
    values = place.perfect.values
    way = np.array([(0, 1), (1, 0), (0, -1), (-1, 0)][rng(seed, "shift").integers(4)])
    for cells in range(1, min(values.shape) // 4):
        moved = ndimage.shift(values, way * cells, order=0, cval=chips.IGNORE)
        yield moved, cells * _metres(place.perfect)


def _coarser(place, seed):
    """Labels in which larger and larger blocks carry their most frequent class."""
    values = place.perfect.values
    codes = [item["value"] for item in place.classes]
    rows, cols = values.shape
    for factor in FACTORS:
        pad = [(0, -n % factor) for n in values.shape]
        wide = np.pad(values, pad, mode="edge")
        blocks = wide.reshape(wide.shape[0] // factor, factor, wide.shape[1] // factor, factor)
        counts = np.stack([(blocks == code).sum(axis=(1, 3)) for code in codes])
        most = np.array(codes, np.uint8)[counts.argmax(axis=0)]
        most[counts.sum(axis=0) == 0] = chips.IGNORE
        out = most.repeat(factor, axis=0).repeat(factor, axis=1)[:rows, :cols]
        yield out, factor * _metres(place.perfect)


def _older(place, seed):
    """Labels in which more and more of what was built last is still what it was before."""
    values, about = place.perfect.values, place.about
    built = values == about["built"]
    when = age(place)
    for cut in np.quantile(when[built], np.linspace(0.98, 0.02, 49), method="lower"):
        out = np.where(built & (when > cut), about["before"], values).astype(np.uint8)
        yield out, float(cut)


def age(place):
    """When the built-up land of a ground was built.

    Parameters
    ----------
    place : Ground
        From `toolkit.experiments.comparisons.ground`.

    Returns
    -------
    numpy.ndarray
        (y, x) on the grid of ``place.perfect``: the year of the nearest building, of several in
        a cell the oldest. The region has no years: there it is the distance from the nearest
        town's centre over that town's radius, as towns grow outwards.
    """
    grid = place.perfect
    if place.task == "night lights":
        return _rings(grid, place.origin.settlements)
    if place.task == "settlement":
        houses = place.origin.open("buildings")
    elif place.task == "buildings":
        houses = place.origin.truth
    else:
        houses = catalog.open("scene/buildings")
    houses = houses.sort_values("year", ascending=False)  # the oldest is drawn last
    years = rasterize(
        zip(houses.geometry, houses["year"].astype(int), strict=True),
        grid.shape,
        transform=grid.rio.transform(recalc=True),
        all_touched=True,
        dtype="int16",
    )
    where = ndimage.distance_transform_edt(years == 0, return_distances=False, return_indices=True)
    return years[tuple(where)]


def _rings(grid, towns):
    towns = towns.to_crs(grid.rio.crs)
    east, north = np.meshgrid(grid.x.values, grid.y.values)
    out = np.full(grid.shape, np.inf)
    for point, radius in zip(towns.geometry, towns["radius_m"], strict=True):
        np.minimum(out, np.hypot(east - point.x, north - point.y) / radius, out=out)
    return out
