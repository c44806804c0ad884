"""Which grade does each roof get, why, and how are grades spread over the districts?"""

import numpy as np
import pandas as pd
import xarray as xr

from toolkit.suitability import _inputs
from toolkit.suitability.densities import shares
from toolkit.suitability.layers import GRADES, grade, scale_of, weights_for

NO_GRADE = "no data"
NOWHERE = "outside all districts"


def zonal(layers, roofs):
    """Mean of every layer over every roof.

    Parameters
    ----------
    layers : dict of str to xarray.DataArray
        Dims (y, x), all on one grid.
    roofs : geopandas.GeoDataFrame
        Polygons in the CRS of the layers.

    Returns
    -------
    pandas.DataFrame
        A column for each layer, index of `roofs`; ``covered`` is the share of the roof over
        cells where all layers have data. NaN where that is 0.

    Raises
    ------
    TypeError, ValueError
        As `overlay` for layers; roofs without CRS, in another one, empty, invalid or repeated;
        no roof on the layers.

    Notes
    -----
    Cells count by the area that the roof has in them, cut exactly. So a roof much smaller than a
    cell of 30 m gets the value of its cell, or the mean of the few that it touches, and none goes
    without. Only cells where all layers have data count, so that the weighted sum of the means is
    the mean of the weighted sum.

    Examples
    --------
    >>> import geopandas as gpd, shapely
    >>> layer = xr.DataArray([[1.0, 5.0]] * 2, {"y": [45.0, 15], "x": [15.0, 45]}, ("y", "x"))
    >>> roofs = gpd.GeoDataFrame(geometry=[shapely.box(27, 10, 31, 20)], crs="EPSG:32648")
    >>> zonal({"heat": layer.rio.write_crs("EPSG:32648")}, roofs)["heat"].tolist()
    [2.0]
    """
    checked = _inputs.layers(layers)
    first = _inputs.template(next(iter(checked.values())), "layers")
    _inputs.vectors(roofs, "roofs", _inputs.AREAS, first.rio.crs)
    which, row, col, area = shares(roofs.geometry, first)
    stack = np.stack([layer.values[row, col] for layer in checked.values()]).astype(np.float64)
    known = np.isfinite(stack).all(axis=0)
    which, area, stack = which[known], area[known], stack[:, known]
    count = len(roofs)
    total = np.bincount(which, area, count)
    if not total.any():
        raise ValueError(
            "roofs: none of them lies where all layers have data. Do they cover the same place, "
            "and are the layers not masked away there?"
        )
    with np.errstate(invalid="ignore", divide="ignore"):
        means = {
            name: np.bincount(which, area * values, count) / total
            for name, values in zip(checked, stack, strict=True)
        }
    table = pd.DataFrame(means, roofs.index)
    table["covered"] = np.minimum(total / roofs.area.to_numpy(), 1)
    return table


def to_roofs(layers, roofs, weights=None, breaks="equal", names=GRADES):
    """Carry a score to the roofs: score, grade, and why.

    Parameters
    ----------
    layers : dict of str to xarray.DataArray, or xarray.DataArray
        Reclassified layers by name, with `weights`; or the score from `overlay`, which cannot say
        which layer made it.
    roofs : geopandas.GeoDataFrame
        Polygons in the CRS of the layers.
    weights : AHP, pandas.Series or dict, optional
        As in `overlay`; needed with a dict.
    breaks, names
        As in `grade`. ``"quantile"`` and ``"natural"`` look at the scores of these roofs.

    Returns
    -------
    geopandas.GeoDataFrame
        `roofs` with ``score``; ``grade`` (missing without data); ``covered`` (share of the roof
        with data); for a dict ``part_<layer>``, the contribution of each layer, weight x mean
        class, which add up to the score; and ``why``, a sentence. ``attrs`` hold ``breaks``,
        ``grades`` and ``weights``.

    Raises
    ------
    KeyError, TypeError, ValueError
        As `overlay`, `zonal` and `grade`; a column of these names that is there already.

    Examples
    --------
    >>> import geopandas as gpd, shapely
    >>> layer = xr.DataArray([[1.0, 5.0]] * 2, {"y": [45.0, 15], "x": [15.0, 45]}, ("y", "x"))
    >>> layer = layer.rio.write_crs("EPSG:32648").assign_attrs(valid_range=[1, 5])
    >>> roofs = gpd.GeoDataFrame(geometry=[shapely.box(32, 10, 40, 20)], crs="EPSG:32648")
    >>> to_roofs({"heat": layer, "people": layer}, roofs, {"heat": 0.6, "people": 0.4}).why[0]
    'high: 5.00 of 5 = heat 3.00 (class 5.0 of 5) + people 2.00 (class 5.0 of 5)'
    """
    single = isinstance(layers, xr.DataArray)
    if single and weights is not None:
        raise ValueError("weights go with layers by name, not with a score that is summed already")
    if not single and weights is None:
        raise ValueError("layers by name need weights: suitability.ahp makes them")
    layers = {"score": layers} if single else layers
    means = zonal(layers, roofs)
    weights = pd.Series({"score": 1.0}) if single else weights_for(layers, weights)
    own = ["score", "grade", "covered", "why"]
    own += [] if single else [f"part_{name}" for name in weights.index]
    taken = [name for name in own if name in roofs.columns]
    if taken:
        raise ValueError(f"roofs: the columns {taken} are there already; drop or rename them first")
    parts = means[weights.index] * weights
    score = parts.sum(axis=1, skipna=False).rename("score")
    scale = scale_of(layers, weights)
    score.attrs = {"valid_range": scale}
    graded = grade(score, breaks, names)
    result = roofs.assign(score=score, grade=graded, covered=means["covered"])
    if not single:
        result = result.assign(**{f"part_{name}": parts[name] for name in weights.index})
    result["why"] = _why(score, graded, means, parts, layers, scale, single)
    result.attrs = {
        **roofs.attrs,
        "breaks": graded.attrs["breaks"],
        "grades": [str(name) for name in names],
        "weights": None if single else weights.to_dict(),
    }
    if any(layer.attrs.get("simulated") for layer in layers.values()):
        result.attrs["simulated"] = True
    return result


def _why(score, graded, means, parts, layers, scale, single):
    """One sentence for each roof, the largest contribution first."""
    most = f" of {scale[1]:g}" if scale else ""
    head = graded.astype(str) + ": " + score.map("{:.2f}".format) + most
    if not single:
        texts = []
        for name in parts.columns:
            limits = layers[name].attrs.get("valid_range")
            top = f" of {limits[1]:g}" if limits else ""
            part, mean = parts[name].map("{:.2f}".format), means[name].map("{:.1f}".format)
            texts.append((f"{name} " + part + " (class " + mean + f"{top})").to_numpy(object))
        order = np.argsort(-parts.to_numpy(), axis=1, kind="stable")
        ranked = np.take_along_axis(np.stack(texts, axis=1), order, axis=1)
        head = head + " = " + pd.Series([" + ".join(row) for row in ranked], head.index)
    return head.where(score.notna(), f"{NO_GRADE}: a layer has no data under this roof")


def _graded(roofs, column):
    """Grade of each roof as text, and the grades from the highest to the lowest."""
    _inputs.vectors(roofs, "roofs", columns=[column])
    values = roofs[column]
    if isinstance(values.dtype, pd.CategoricalDtype):
        names = [str(name) for name in values.cat.categories]
    else:
        # read back from a file
        found = [str(name) for name in values.dropna().unique()]
        known = [str(name) for name in roofs.attrs.get("grades", GRADES)]
        names = [n for n in known if n in found or set(found) <= set(known)]
        names = sorted(set(found) - set(known)) + names
    text = values.astype(object).where(values.notna(), NO_GRADE).astype(str)
    return text, names[::-1] + ([NO_GRADE] if (text == NO_GRADE).any() else [])


def by_grade(roofs, column="grade"):
    """Count roofs by grade.

    Parameters
    ----------
    roofs : geopandas.GeoDataFrame
        As from `to_roofs`.
    column : str
        With the grade.

    Returns
    -------
    pandas.DataFrame
        Index ``grade``, highest first, grades without a roof included and ``no data`` last if any
        roof has none. Columns ``roofs``, ``share`` (adds up to 1), ``area`` (m2) and
        ``area_share`` (adds up to 1).

    Raises
    ------
    KeyError, TypeError, ValueError
        No such column; roofs without CRS, in degrees, empty, invalid or repeated.

    Examples
    --------
    >>> import geopandas as gpd, shapely
    >>> boxes = [shapely.box(x, 0, x + 10, 10) for x in (0, 20, 40, 60)]
    >>> roofs = gpd.GeoDataFrame({"grade": ["high", "high", "low", "high"]}, geometry=boxes,
    ...                          crs="EPSG:32648")
    >>> by_grade(roofs).share.to_dict()
    {'high': 0.75, 'medium': 0.0, 'low': 0.25}
    """
    text, order = _graded(roofs, column)
    groups = pd.DataFrame({"grade": text, "area": roofs.area}).groupby("grade")["area"]
    table = pd.DataFrame({"roofs": groups.size(), "area": groups.sum()}).reindex(order).fillna(0)
    return _shares(table, "grade")


def _shares(table, name):
    table = table.assign(
        roofs=table["roofs"].astype(int),
        share=table["roofs"] / table["roofs"].sum(),
        area_share=table["area"] / table["area"].sum(),
    )
    rest = [c for c in table.columns if c not in ("roofs", "share", "area", "area_share")]
    return table[["roofs", "share", "area", "area_share", *rest]].rename_axis(name)


def by_district(roofs, districts, name="name", column="grade"):
    """Count roofs by district and grade.

    Parameters
    ----------
    roofs : geopandas.GeoDataFrame
        As from `to_roofs`.
    districts : geopandas.GeoDataFrame
        Polygons that do not overlap, in the CRS of the roofs.
    name : str
        Column of `districts` with their names; parts of one name count together.
    column : str
        Column of `roofs` with the grade.

    Returns
    -------
    pandas.DataFrame
        Index ``district``, in the order given; a district without roofs has zeros. A roof belongs
        where a point inside it lies, so each counts once; ``outside all districts`` comes last if
        there are any. Columns ``roofs``, ``share`` (adds up to 1), ``area`` (m2), ``area_share``
        (adds up to 1), and the number of roofs of each grade, highest first.

    Raises
    ------
    KeyError, TypeError, ValueError
        As `by_grade`, for both tables; another CRS; districts that overlap or lack a name.

    Examples
    --------
    >>> import geopandas as gpd, shapely
    >>> roofs = gpd.GeoDataFrame({"grade": ["high"]}, geometry=[shapely.box(0, 0, 10, 10)],
    ...                          crs="EPSG:32648")
    >>> halves = gpd.GeoDataFrame({"name": ["west", "east"]}, crs="EPSG:32648",
    ...                           geometry=[shapely.box(0, 0, 50, 50), shapely.box(50, 0, 99, 50)])
    >>> by_district(roofs, halves).roofs.to_dict()
    {'west': 1, 'east': 0}
    """
    text, grades = _graded(roofs, column)
    _inputs.vectors(districts, "districts", _inputs.AREAS, roofs.crs, [name])
    if districts[name].isna().any():
        raise ValueError(f"districts: {name!r} is missing in some rows; every district needs one")
    _inputs.apart(districts, "districts")
    points = roofs[[roofs.geometry.name]].set_geometry(roofs.representative_point())
    points = points.reset_index(drop=True)
    where = points.sjoin(districts[[name, districts.geometry.name]].rename(columns={name: "at"}))
    # a point on a border meets two districts: the first has it
    at = where["at"].groupby(level=0).first().reindex(range(len(roofs))).astype(object)
    at = at.where(at.notna(), NOWHERE).to_numpy()
    order = list(dict.fromkeys(districts[name])) + ([NOWHERE] if (at == NOWHERE).any() else [])
    frame = pd.DataFrame({"at": at, "grade": text.to_numpy(), "area": roofs.area.to_numpy()})
    groups = frame.groupby("at")["area"]
    table = pd.DataFrame({"roofs": groups.size(), "area": groups.sum()}).reindex(order).fillna(0)
    counts = pd.crosstab(frame["at"], frame["grade"]).reindex(
        index=order, columns=grades, fill_value=0
    )
    return _shares(table.join(counts), "district")
