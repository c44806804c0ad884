"""What do existing settlement products say of a place, on one grid and in one table?"""

import numpy as np
import pandas as pd

from toolkit import catalog, chips
from toolkit._checks import choice
from toolkit.accuracy import estimate
from toolkit.experiments.settlements.places import CLASSES
from toolkit.experiments.settlements.points import (
    SCORES,
    codes,
    interval,
    known_by_all,
    ordered,
    resampled,
)

PRODUCTS = {
    "GUF": dict(
        layer="scene/guf", sensor="TerraSAR-X/TanDEM-X", year="2011-2014", gsd=12,
        label="built-up, with vertical component", built=("Settlement",),
    ),
    "GHSL": dict(
        layer="scene/ghsl", sensor="Landsat", year="1975-2014", gsd=38,
        label="built-up up to 2014", built=("Settlement",),
    ),
    "FROM-GLC10": dict(
        layer="scene/from_glc10", sensor="Sentinel-2", year="2017", gsd=10,
        label="impervious surface", built=("Impervious",),
    ),
    "HMGUL": dict(
        layer="scene/hmgul", sensor="Landsat", year="2015", gsd=30,
        label="urban", built=("Settlement",),
    ),
}  # fmt: skip
"""The products of the paper's Table 2 (sensor, year, label, gsd in metres), the catalogue's
simulated stand-in for each, and the classes of that which count as settlement."""

RULES = ("majority", "any", "nearest")


def binary(product, built, what="product"):
    """Make a settlement map of a class map.

    Parameters
    ----------
    product : xarray.DataArray
        (y, x) class codes.
    built : sequence of str or of int
        The classes that count as settlement, by name (as in ``attrs["classes"]``) or by code,
        such as (3, 4, 5, 6) for the real multi-epoch GHSL built-up grid up to 2014, or 80 for the
        real FROM-GLC10.
    what : str
        Name of the product, for messages.

    Returns
    -------
    xarray.DataArray
        uint8 (y, x): 1 settlement, 0 other, 255 unknown.

    Raises
    ------
    ValueError
        The product does not have such a class.

    Examples
    --------
    >>> settled = binary(catalog.open("scene/from_glc10"), ["Impervious"])  # doctest: +SKIP
    """
    listed = product.attrs.get("classes") or []
    wanted = []
    for each in [built] if isinstance(built, str | int) else built:
        if isinstance(each, str):
            names = {item["name"].lower(): item["value"] for item in listed}
            if each.lower() not in names:
                raise ValueError(
                    f"{what} has no class {each!r}, but {[item['name'] for item in listed]}: name "
                    "one of them, or give its code"
                )
            each = names[each.lower()]
        wanted.append(int(each))
    values = np.asarray(product.values)
    unknown = ~np.isfinite(values)
    nodata = product.rio.encoded_nodata
    nodata = product.rio.nodata if nodata is None else nodata
    # A class that is asked for by its code counts, even where it is 255.
    for empty in {chips.IGNORE if nodata is None else nodata} - {*wanted}:
        unknown |= values == empty
    found = np.where(unknown, chips.IGNORE, np.isin(values, wanted)).astype(np.uint8)
    out = product.copy(data=found)
    out.encoding = {}
    out.attrs = {k: v for k, v in product.attrs.items() if k not in ("_FillValue", "expected")}
    out.attrs |= {"classes": CLASSES, "long_name": "settlement"}
    return out.rio.write_nodata(chips.IGNORE)


def on_grid(product, truth, rule="majority", what="product"):
    """Bring a settlement map of any grid to that of the truth.

    Parameters
    ----------
    product : xarray.DataArray
        (y, x) 1, 0, 255, from `binary`; any CRS and resolution.
    truth : xarray.DataArray
        (y, x), whose grid (20 m) the result has.
    rule : {"majority", "any", "nearest"}
        A cell is settled where at least half of what is known of it is; where any of it is (the
        definition of the truth, which suits products finer than the cell); or as the pixel at its
        centre says. The paper only says that the products were resampled to 20 m.
    what : str
        Name of the product, for messages.

    Returns
    -------
    xarray.DataArray
        uint8 (y, x) on the truth's grid, 255 where the product does not reach.

    Raises
    ------
    ValueError
        The two do not overlap, or the product is no settlement map.

    Examples
    --------
    >>> coarse = on_grid(binary(product, ["Impervious"]), truth, "any")  # doctest: +SKIP
    """
    choice(rule, RULES, "rule")
    settled = product.copy(data=codes(product, what)).rio.write_nodata(chips.IGNORE)
    settled.attrs["classes"] = CLASSES
    grid = truth.expand_dims(band=["truth"])
    try:
        if rule == "nearest":
            return chips.align(settled, grid, "nearest")
        share = chips.align(settled, grid, "average")
    except ValueError as error:
        raise ValueError(
            f"{what} (label) cannot be brought to the grid of the truth (image): {error}"
        ) from None
    # The sum of shares of pixels is rounded: a half must not become less than a half.
    found = share.values >= 0.5 - 1e-4 if rule == "majority" else share.values > 1e-4
    found = np.where(np.isnan(share.values), chips.IGNORE, found).astype(np.uint8)
    out = share.copy(data=found)
    out.attrs |= {"classes": CLASSES, "long_name": "settlement", "units": ""}
    return out.rio.write_nodata(chips.IGNORE)


def reference_products(truth, names=tuple(PRODUCTS), rule="majority", **place):
    """Open the four products of a simulated city as settlement maps on the truth's grid.

    Parameters
    ----------
    truth : xarray.DataArray
        (y, x), ``catalog.open("scene/settlement", **place)``.
    names : sequence of str
        Keys of `PRODUCTS`.
    rule : str
        See `on_grid`. Only FROM-GLC10 is changed by it: the other three come at 20 m.
    **place
        Options of the scene that name the city: seed, style, size.

    Returns
    -------
    dict of str to xarray.DataArray
        uint8 (y, x) by name.

    Examples
    --------
    >>> truth = catalog.open("scene/settlement", seed=2, style="arid")  # doctest: +SKIP
    >>> products = reference_products(truth, seed=2, style="arid")  # doctest: +SKIP
    """
    out = {}
    for name in names:
        about = PRODUCTS[choice(name, tuple(PRODUCTS), "product")]
        opened = binary(catalog.open(about["layer"], **place), about["built"], name)
        out[name] = on_grid(opened, truth, rule, name)
    return out


def map_scores(truth, maps, block=500.0, n=500, seed=0, confidence=0.95):
    """Score our map and the products against the truth, cell by cell, in one table.

    Parameters
    ----------
    truth : xarray.DataArray
        (y, x) settlement truth.
    maps : dict of str to xarray.DataArray
        Settlement maps on its grid, ours among them.
    block : float
        Side of the blocks of ground that are resampled for the intervals, metres.
    n, seed : int
        Number of resamples, and their seed.
    confidence : float
        Level of the percentile intervals.

    Returns
    -------
    pandas.DataFrame
        Index score (see `points.SCORES`), map; columns estimate, low, high, cells. All maps are
        scored on the cells that all of them and the truth know.

    Raises
    ------
    ValueError
        Other grids or codes, or no common ground: two products do not overlap.

    Notes
    -----
    The paper has no such table: it has no wall-to-wall truth. The products map other things (GUF
    only what stands up, HMGUL urban land) and other years, so a low score is not a bad product.

    Examples
    --------
    >>> table = map_scores(truth, {"ours": found} | products)  # doctest: +SKIP
    >>> table["estimate"].unstack("score")  # doctest: +SKIP
    """
    values, known = known_by_all({"truth": truth} | maps)
    side = max(round(block / abs(truth.rio.resolution()[0])), 1)
    unit = estimate.block_of(known.shape, side)[known]
    mapped = [values[name][known] for name in maps]
    samples = resampled(mapped, values["truth"][known], unit, n, seed)
    low, high = interval(samples, confidence)
    table = {"estimate": samples[:, 0].T.ravel(), "low": low.T.ravel(), "high": high.T.ravel()}
    return pd.DataFrame(table | {"cells": known.sum()}, ordered(score=SCORES, map=maps))
