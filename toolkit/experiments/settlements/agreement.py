"""Where do three settlement maps agree, what does each disagreement mean, and where to look closer?

Figs 10, 11 and 14 to 17 of the settlement paper (key ``sen2hse``), and its Table 4.
"""

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
import xarray as xr

from toolkit import chips
from toolkit.accuracy.counting import _check_grid
from toolkit.experiments.settlements.points import codes, known_by_all

SIDE = 4000.0
"""Side of a subset in metres, in the paper."""

COLOURS = (
    "#f0f0f0", "#f0e442", "#009e73", "#0072b2", "#cc79a7", "#d55e00", "#56b4e9", "#404040",
)  # fmt: skip
"""Colour of code 0 (in no map) to 7 (in all): grey where the maps agree, a hue of Okabe and Ito's
where they do not. With ours, GUF and GHSL, in this order, they are near those that the paper names:
purple for ours alone, blue for both others, red without GUF, cyan without GHSL."""


def combine(maps, truth=None):
    """Lay three settlement maps over each other: which of them have which cell.

    Parameters
    ----------
    maps : dict of str to xarray.DataArray
        Three maps (y, x) on one grid, by name: 1 settlement, 0 other, 255 or NaN unknown. As in
        the paper's Figs 10, 14 and 16 {"ours": , "GUF": , "GHSL": }; or a truth and two maps.
    truth : str, optional
        Name of the one that is the truth, so that `explain` says what is wrong.

    Returns
    -------
    xarray.DataArray
        uint8 (y, x): 4 where the first map has the cell, plus 2 for the second, plus 1 for the
        third; 255 where any of them is unknown. ``attrs["classes"]`` names and colours all eight
        codes, for `maps.classes` and `maps.panels`.

    Raises
    ------
    ValueError
        Not three maps, other grids or codes, or no cell that all three know.

    Examples
    --------
    >>> both = combine({"ours": found, "GUF": guf, "GHSL": ghsl})  # doctest: +SKIP
    >>> maps.panels([maps.classes(both)])  # doctest: +SKIP
    """
    names = list(maps)
    if len(names) != 3:
        raise ValueError(f"combine takes three maps, this is {len(names)}: {names}")
    if truth is not None and truth not in names:
        raise ValueError(f"truth={truth!r} is none of the maps {names}")
    values, known = known_by_all(maps)
    first, second, third = (values[name] for name in names)
    grid = maps[names[0]]
    out = xr.DataArray(
        np.where(known, 4 * first + 2 * second + third, chips.IGNORE).astype(np.uint8),
        {"y": grid.y, "x": grid.x},
        ("y", "x"),
        "agreement",
        {
            "title": "Agreement of " + ", ".join(names),
            "long_name": "maps that have the cell",
            "simulated": any(each.attrs.get("simulated", False) for each in maps.values()),
            "maps": names,
            "classes": [
                {"value": code, "name": _name(code, names), "color": color}
                for code, color in enumerate(COLOURS)
            ],
        },
    )
    if truth is not None:
        out.attrs["truth"] = truth
    return out.rio.write_crs(grid.rio.crs).rio.write_nodata(chips.IGNORE)


def _has(code, position):
    return bool(code >> (2 - position) & 1)


def _name(code, names):
    have = [name for i, name in enumerate(names) if _has(code, i)]
    lack = [name for i, name in enumerate(names) if not _has(code, i)]
    if len(have) in (0, 3):
        return "none" if not have else "all three"
    return f"{have[0]} alone" if len(have) == 1 else f"{' and '.join(have)}, not {lack[0]}"


def explain(agreement, truth=None):
    """Say what the eight codes mean, and how much ground each has: Table 4, completed.

    Parameters
    ----------
    agreement : xarray.DataArray
        From `combine`; a part of it, too (`crop`).
    truth : xarray.DataArray, optional
        (y, x) settlement truth on the same grid, to say how often the cells of a code are settled.

    Returns
    -------
    pandas.DataFrame
        Index code, 0 to 7. Columns: name, color; one for each map (whether it has the cell);
        ``if settled`` and ``if not``, the outcome for each map either way (correct, FN, FP), or
        ``outcome`` where `combine` was told which map is the truth; cells; km2; share (of the
        cells that all three maps know); with `truth` also settled, the share of the code's cells
        that truly are.

    Raises
    ------
    ValueError
        A raster that is not from `combine`, in degrees, or a truth on another grid.

    Examples
    --------
    >>> explain(both, truth)[["name", "km2", "settled"]]  # doctest: +SKIP
    """
    names = agreement.attrs.get("maps")
    if not names:
        raise ValueError("explain: this raster is not from combine(); it names no maps")
    if agreement.rio.crs is None or agreement.rio.crs.is_geographic:
        raise ValueError("explain: areas need a grid in metres; bring the maps to UTM first")
    values = agreement.values
    cells = np.bincount(values.ravel(), minlength=256)[:8]
    known = agreement.attrs.get("truth")
    rows = []
    for item in agreement.attrs["classes"]:
        code = item["value"]
        has = {name: _has(code, i) for i, name in enumerate(names)}
        row = {"name": item["name"], "color": item["color"]} | has
        if known is None:
            row |= {"if settled": _outcomes(has, True), "if not": _outcomes(has, False)}
        else:
            settled = has[known]
            row["outcome"] = _outcomes({k: v for k, v in has.items() if k != known}, settled)
        rows.append(row)
    out = pd.DataFrame(rows, index=pd.RangeIndex(8, name="code"))
    out["cells"] = cells
    out["km2"] = cells * abs(np.prod(agreement.rio.resolution())) / 1e6
    out["share"] = cells / cells.sum() if cells.sum() else np.nan
    if truth is not None:
        try:
            _check_grid(truth, agreement)
        except ValueError as error:
            raise ValueError(f"explain (the agreement is predicted): {error}") from None
        true = codes(truth, "truth")
        known = true != chips.IGNORE
        shares = pd.Series(true[known] == 1).groupby(values[known]).mean()
        out["settled"] = shares.reindex(out.index)
    return out


def _outcomes(has, settled):
    """What each map does where the ground is settled or not: correct, FN or FP."""
    wrong = "FN" if settled else "FP"
    return ", ".join(f"{name} {'correct' if it == settled else wrong}" for name, it in has.items())


def alone(agreement, truth, side=800.0):
    """Find where the first map stands alone against two: most often rightly, most often wrongly.

    Parameters
    ----------
    agreement : xarray.DataArray
        From `combine`, without its option `truth`.
    truth : xarray.DataArray
        (y, x) settlement truth on the same grid.
    side : float
        Of the squares, metres; they lie side by side from the upper left corner.

    Returns
    -------
    geopandas.GeoDataFrame
        Index right, wrong; columns share (of the square's cells in which the first map alone is
        right, or wrong) and geometry. For Figs 14 and 16, which the paper chooses by hand.

    Raises
    ------
    ValueError
        Another grid, a square larger than the map, or a map that never stands alone.

    Examples
    --------
    >>> crop(image, alone(both, truth).geometry["right"])  # doctest: +SKIP
    """
    _check_grid(truth, agreement)
    width, height = (round(side / abs(step)) for step in agreement.rio.resolution())
    if min(width, height) < 1 or height > agreement.sizes["y"] or width > agreement.sizes["x"]:
        raise ValueError(f"alone: no square of {side:g} m fits into a map of {agreement.shape}")
    # 4: the first map alone has the cell; 3: both others have it, the first has not.
    true, has, lacks = codes(truth, "truth"), agreement == 4, agreement == 3
    sides = {
        "right": (has & (true == 1)) | (lacks & (true == 0)),
        "wrong": (has & (true == 0)) | (lacks & (true == 1)),
    }
    rows, squares = {}, []
    for name, cells in sides.items():
        means = cells.coarsen(y=height, x=width, boundary="trim").mean().values
        if not means.any():
            raise ValueError(f"alone: {agreement.attrs['maps'][0]} is never {name} by itself here")
        row, col = np.unravel_index(means.argmax(), means.shape)
        rows[name] = means[row, col]
        transform = agreement.rio.transform(recalc=True)
        left, top = transform * (col * width, row * height)
        right, bottom = transform * ((col + 1) * width, (row + 1) * height)
        squares.append(
            shapely.box(min(left, right), min(bottom, top), max(left, right), max(bottom, top))
        )
    return gpd.GeoDataFrame(
        {"share": pd.Series(rows).rename_axis("alone")}, geometry=squares, crs=agreement.rio.crs
    )


def subsets(truth, side=SIDE):
    """Choose three squares of a city for a closer view: its centre, its edge, the countryside.

    Parameters
    ----------
    truth : xarray.DataArray
        (y, x), the settlement truth. The choice looks at no map.
    side : float
        Metres, 4000 in the paper; a third of the city's side at most.

    Returns
    -------
    geopandas.GeoDataFrame
        Index centre, edge, countryside; columns settled (share of the square), geometry.

    Raises
    ------
    ValueError
        Three squares that do not overlap do not fit.

    Notes
    -----
    The paper fixes its squares by hand. Our rule, over squares on a grid of a quarter of their
    side that are known to nine tenths: centre, the most settled; countryside, the least settled
    with 1 % or more (with less there is nothing to find), apart from the centre; edge, the one
    apart from both whose settled share is nearest to the mean of theirs.

    Examples
    --------
    >>> squares = subsets(truth, side=2000)  # doctest: +SKIP
    """
    values = codes(truth, "truth")
    width, height = (round(side / abs(step)) for step in truth.rio.resolution())
    shape = values.shape
    trouble = (
        f"three squares of {side:g} m that do not overlap do not fit into the known ground of "
        f"{abs(truth.rio.resolution()[0]) * shape[1] / 1000:g} km x "
        f"{abs(truth.rio.resolution()[1]) * shape[0] / 1000:g} km: give side= of at most a third"
    )
    if min(width, height) < 1 or height > shape[0] or width > shape[1]:
        raise ValueError(trouble)
    rows = []
    for row in range(0, shape[0] - height + 1, max(height // 4, 1)):
        for col in range(0, shape[1] - width + 1, max(width // 4, 1)):
            inside = values[row : row + height, col : col + width]
            known = inside[inside != chips.IGNORE]
            if known.size >= 0.9 * inside.size:
                rows.append((row, col, known.mean()))
    table = pd.DataFrame(rows, columns=["row", "col", "settled"])

    def apart(from_, among):
        near = (among["row"] - from_["row"]).abs() < height
        return among[~(near & ((among["col"] - from_["col"]).abs() < width))]

    if table.empty:
        raise ValueError(trouble)
    centre = table.loc[table["settled"].idxmax()]
    rest = apart(centre, table)
    if rest.empty:
        raise ValueError(trouble)
    some = rest[rest["settled"] >= 0.01]
    countryside = rest.loc[(rest if some.empty else some)["settled"].idxmin()]
    rest = apart(countryside, rest)
    if rest.empty:
        raise ValueError(trouble)
    between = (centre["settled"] + countryside["settled"]) / 2
    edge = rest.loc[(rest["settled"] - between).abs().idxmin()]
    chosen = pd.DataFrame([centre, edge, countryside])
    transform = truth.rio.transform(recalc=True)
    row, col = (chosen[name].to_numpy() for name in ("row", "col"))
    (left, top), (right, bottom) = transform * (col, row), transform * (col + width, row + height)
    return gpd.GeoDataFrame(
        {"settled": chosen["settled"].to_numpy()},
        index=pd.Index(["centre", "edge", "countryside"], name="subset"),
        geometry=shapely.box(left, bottom, right, top),
        crs=truth.rio.crs,
    )


def crop(raster, square):
    """Cut a raster to a square of `subsets`: the pixels whose centres lie in it.

    Parameters
    ----------
    raster : xarray.DataArray
        (y, x) or (band, y, x), in the CRS of the square; of any resolution.
    square : shapely.Polygon
        Such as ``squares.geometry["edge"]``.

    Raises
    ------
    ValueError
        The square lies outside the raster.
    """
    west, south, east, north = square.bounds
    y = slice(north, south) if raster.y[0] > raster.y[-1] else slice(south, north)
    out = raster.sel(x=slice(west, east), y=y)
    if 0 in out.shape:
        raise ValueError(
            f"the square {tuple(round(v) for v in square.bounds)} lies outside the raster, which "
            f"covers {tuple(round(v) for v in raster.rio.bounds())} (left, bottom, right, top)"
        )
    return out
