"""The region's roads: motorways between the large cities, national and provincial roads below.

Each level joins its settlements by their Gabriel graph (two places are joined when no
third lies in the circle between them; Gabriel and Sokal 1969), roads that a higher level
makes superfluous are left out, and each road then finds its way over the ground as a
least-cost path, round mountains and lakes.

Simplified: no tunnels and bridges as such (steep ground and water only cost more), and
roads of different levels may run side by side.
"""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import shapely
from scipy import ndimage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra, minimum_spanning_tree
from scipy.spatial import Delaunay, cKDTree
from skimage import graph

from toolkit.scene.relief import smooth

LEVELS = (
    ("motorway", ("mega", "large"), 34.0, 1.3),
    ("national", ("mega", "large", "medium", "small"), 18.0, 1.5),
    ("provincial", ("mega", "large", "medium", "small", "town"), 10.0, 1.75),
)
"""Kind, the sizes it joins, width in metres, and the detour up to which no new road is built.
Widths: six lanes with shoulders and median, four lanes, two lanes (JTG B01-2014)."""


def gabriel(xy):
    """Pairs of points that are neighbours in the Gabriel graph; array (pairs, 2).

    Examples
    --------
    >>> gabriel(np.array([[0, 0], [2, 0.5], [4, 0], [2, 4]])).tolist()
    [[0, 1], [1, 2], [1, 3]]
    """
    triangles = Delaunay(xy).simplices
    pairs = np.unique(np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1), axis=0)
    middle = xy[pairs].mean(axis=1)
    half = np.linalg.norm(xy[pairs[:, 0]] - middle, axis=1)
    nearest, _ = cKDTree(xy).query(middle)
    return pairs[nearest >= half - 1e-6]


def edges(settlements):
    """Which settlements each kind of road joins.

    Returns
    -------
    list of (int, int, str, float)
        From, to (positions in the table), kind and width in metres.
    """
    xy = shapely.get_coordinates(settlements.geometry.to_numpy())
    count = len(xy)
    chosen = {}
    for kind, sizes, width, detour in LEVELS:
        members = np.flatnonzero(settlements["size"].isin(sizes))
        pairs = members[gabriel(xy[members])]
        length = np.linalg.norm(xy[pairs[:, 0]] - xy[pairs[:, 1]], axis=1)
        tree = minimum_spanning_tree(coo_matrix((length, pairs.T), (count, count))).tocoo()
        needed = set(zip(tree.row.tolist(), tree.col.tolist(), strict=True))
        for order in np.argsort(length, kind="stable"):
            pair = tuple(pairs[order].tolist())
            if pair in chosen:
                continue
            if chosen and pair not in needed:
                ends = np.array(list(chosen))
                built = [value[2] for value in chosen.values()]
                network = coo_matrix((built, ends.T), (count, count)).tocsr()
                limit = detour * length[order]
                way = dijkstra(network, directed=False, indices=pair[0], limit=limit)[pair[1]]
                if way <= limit:
                    continue
            chosen[pair] = (kind, width, length[order])
    return [(a, b, kind, width) for (a, b), (kind, width, _) in chosen.items()]


def route(settlements, ground, water, transform):
    """Lay the roads over the ground.

    Parameters
    ----------
    settlements : geopandas.GeoDataFrame
        As `settlements.place` gives it.
    ground : numpy.ndarray
        Elevation in metres.
    water : numpy.ndarray
        Share of lake or broad river in each cell, 0 to 1.
    transform : affine.Affine
        Of both.

    Returns
    -------
    geopandas.GeoDataFrame
        geometry, kind, width (m), start and end (names); ends are the settlements' points.
    """
    cell = transform.a
    slope = np.hypot(*np.gradient(ground, cell))
    # A grade of 5 % doubles the cost; high ground costs too, and a bridge as much as 4 km.
    cost = 1 + (slope / 0.05) ** 1.5 + np.maximum(ground - 1000, 0) / 1500 + 4 * water
    xy = shapely.get_coordinates(settlements.geometry.to_numpy())
    col, row = (np.floor(n).astype(int) for n in ~transform * xy.T)
    names = settlements["name"].to_numpy()
    records = []
    for a, b, kind, width in edges(settlements):
        ends = np.array([[row[a], col[a]], [row[b], col[b]]])
        margin = 8 + int(0.35 * np.abs(ends[0] - ends[1]).max())
        low = np.maximum(ends.min(axis=0) - margin, 0)
        high = np.minimum(ends.max(axis=0) + margin + 1, cost.shape)
        window = cost[low[0] : high[0], low[1] : high[1]]
        # Motorways are straighter: they dig and bridge.
        window = window ** (0.7 if kind == "motorway" else 1.0)
        path, _ = graph.route_through_array(window, ends[0] - low, ends[1] - low, geometric=True)
        path = np.array(path, float) + low + 0.5
        line = np.column_stack(transform * (path[:, 1], path[:, 0]))
        line[0], line[-1] = xy[a], xy[b]
        if kind == "motorway":
            line = np.vstack([xy[a], ndimage.gaussian_filter1d(line, 2.5, axis=0)[2:-2], xy[b]])
        line = smooth(line, 1.8)
        records.append((names[a], names[b], kind, width, line.simplify(25)))
    table = gpd.GeoDataFrame(
        records, columns=["start", "end", "kind", "width", "geometry"], geometry="geometry"
    )
    return table
