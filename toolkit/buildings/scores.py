"""How well were the buildings found, one by one?

Pixels hide what a planner counts: a mask may have every pixel of a row of houses and still hold one
building instead of ten. `toolkit.accuracy.confusion` scores pixels; here buildings are matched.
"""

import numpy as np
import pandas as pd
import shapely

from toolkit.buildings.layers import footprints, metres


def match(reference, found, iou=0.5):
    """Pair buildings of two layers, one to one, by how much of them is common.

    Parameters
    ----------
    reference, found : geopandas.GeoDataFrame
        Footprints in one projected CRS.
    iou : float
        Least intersection over union of a pair, above 0 and up to 1.

    Returns
    -------
    pandas.DataFrame
        A row for each pair, best first: ``reference`` and ``found`` (labels of the rows), ``iou``,
        ``reference_area`` and ``found_area`` (m2), ``polis`` (m, see `polis`).

    Raises
    ------
    TypeError, ValueError
        See `toolkit.buildings.clean` for layers that are refused; different CRS; a share out of
        range.

    Notes
    -----
    Greedy: the pair with the highest IoU first, then the next of buildings still free. In layers
    without overlaps more than one partner is possible only below an IoU of 0.5, so at 0.5 and above
    this is the best assignment (Everingham et al. 2010, section 4.2, use the same rule for boxes).

    Examples
    --------
    >>> import geopandas as gpd
    >>> from shapely import box
    >>> truth = gpd.GeoDataFrame(geometry=[box(0, 0, 10, 10), box(20, 0, 30, 10)],
    ...                          crs="EPSG:32648")
    >>> found = gpd.GeoDataFrame(geometry=[box(0, 0, 10, 8)], crs="EPSG:32648")
    >>> match(truth, found)[["reference", "found", "iou", "polis"]].values.tolist()
    [[0.0, 0.0, 0.8, 0.5]]
    """
    if not 0 < iou <= 1:
        raise ValueError(f"iou={iou}: expected a share above 0, up to 1")
    footprints(reference, "reference")
    footprints(found, "found", like=reference)
    unit = metres(reference.crs)
    a, b = reference.geometry.to_numpy(), found.geometry.to_numpy()
    area_a, area_b = shapely.area(a), shapely.area(b)
    j, i = shapely.STRtree(a).query(b, predicate="intersects")
    common = shapely.area(shapely.intersection(a[i], b[j]))
    share = common / (area_a[i] + area_b[j] - common)
    good = share >= iou
    i, j, share = i[good], j[good], share[good]
    kept, free_a, free_b = [], np.ones(len(a), bool), np.ones(len(b), bool)
    for k in np.lexsort((j, i, -share)):
        if free_a[i[k]] and free_b[j[k]]:
            free_a[i[k]] = free_b[j[k]] = False
            kept.append(k)
    i, j, share = i[kept], j[kept], share[kept]
    return pd.DataFrame(
        {
            "reference": reference.index[i],
            "found": found.index[j],
            "iou": share,
            "reference_area": area_a[i] * unit**2,
            "found_area": area_b[j] * unit**2,
            "polis": polis(a[i], b[j]) * unit,
        }
    )


def polis(a, b):
    """Distance between the outlines of polygons, pair by pair.

    Parameters
    ----------
    a, b : array-like of shapely polygons
        As many of one as of the other.

    Returns
    -------
    numpy.ndarray
        In units of the coordinates; 0 for equal outlines.

    Notes
    -----
    PoLiS of Avbelj, Mueller and Bamler (2015), A metric for polygon comparison and building
    extraction evaluation, IEEE Geoscience and Remote Sensing Letters 12:170-174, equation 1:

    ``p(A, B) = 1 / (2 q) sum_j min_b |a_j - b|  +  1 / (2 r) sum_k min_a |b_k - a|``

    with the q corners a_j of A, the r corners b_k of B, and a, b any point of the outlines.
    Corners and outlines of holes count with the others.

    Examples
    --------
    >>> from shapely import box
    >>> polis([box(0, 0, 10, 10)], [box(1, 0, 11, 10)])  # every corner lies 1 or 0 m away
    array([0.5])
    """
    a, b = (np.atleast_1d(np.asarray(each, dtype=object)) for each in (a, b))
    if len(a) != len(b):
        raise ValueError(f"{len(a)} polygons a and {len(b)} polygons b: they are compared by pairs")
    return (_corner_distance(a, b) + _corner_distance(b, a)) / 2


def _corner_distance(a, b):
    """Mean distance of the corners of each a from the outline of its b."""
    if not len(a):
        return np.zeros(0)
    polygons, part_of = shapely.get_parts(a, return_index=True)  # get_rings skips MultiPolygons
    rings, part = shapely.get_rings(polygons, return_index=True)
    owner = part_of[part]
    points, ring = shapely.get_coordinates(rings, return_index=True)
    first = np.r_[True, ring[1:] != ring[:-1]]  # the closing point of a ring is no second corner
    points, owner = points[~first], owner[ring[~first]]
    distance = shapely.distance(shapely.points(points), shapely.boundary(b)[owner])
    return np.bincount(owner, distance, len(a)) / np.bincount(owner, minlength=len(a))


def object_scores(reference, found, iou=0.5):
    """Score a layer of buildings by building.

    Parameters
    ----------
    reference, found : geopandas.GeoDataFrame
        Footprints in one projected CRS, of the same ground.
    iou : float
        Least IoU at which a building counts as found.

    Returns
    -------
    pandas.Series
        ``reference``, ``found``, ``matched`` (buildings); ``precision`` = matched / found,
        ``recall`` = matched / reference, ``f1`` = 2 matched / (found + reference);
        ``count_error`` = found / reference - 1; ``mean_iou``, ``polis`` (m, mean),
        ``polis_median`` (m) and ``pair_area_error`` (mean of abs(found - reference) / reference
        area) of the matched pairs; ``area_error`` = total area found / that of the reference - 1.
        A score that is not defined is NaN: precision where nothing was found, recall and errors
        where there is no reference, distances where nothing matched. ``f1`` is 0 where just one
        layer is empty and NaN where both are.

    Raises
    ------
    TypeError, ValueError
        As `match`.

    Notes
    -----
    Definitions as in the SpaceNet challenges (Van Etten et al. 2018, arXiv:1807.01232), where a
    building is found at an IoU of 0.5.

    Examples
    --------
    >>> import geopandas as gpd
    >>> from shapely import box
    >>> truth = gpd.GeoDataFrame(geometry=[box(0, 0, 10, 10), box(20, 0, 30, 10)],
    ...                          crs="EPSG:32648")
    >>> found = gpd.GeoDataFrame(geometry=[box(0, 0, 10, 8)], crs="EPSG:32648")
    >>> object_scores(truth, found)[["precision", "recall", "f1"]].round(3).tolist()
    [1.0, 0.5, 0.667]
    """
    pairs = match(reference, found, iou)
    unit = metres(reference.crs)
    n, m, hits = len(reference), len(found), len(pairs)

    def ratio(above, below):
        return above / below if below else np.nan

    area = reference.area.sum() * unit**2, found.area.sum() * unit**2
    pair_error = (pairs["found_area"] - pairs["reference_area"]).abs() / pairs["reference_area"]
    return pd.Series(
        {
            "reference": n,
            "found": m,
            "matched": hits,
            "precision": ratio(hits, m),
            "recall": ratio(hits, n),
            "f1": ratio(2 * hits, n + m),
            "count_error": ratio(m, n) - 1,
            "mean_iou": pairs["iou"].mean(),
            "polis": pairs["polis"].mean(),
            "polis_median": pairs["polis"].median(),
            "pair_area_error": pair_error.mean(),
            "area_error": ratio(area[1], area[0]) - 1,
        },
        name="buildings",
        dtype=float,
    )
