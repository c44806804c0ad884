"""What would a person correct? A simulated hand, so that the whole loop runs without one."""

import numpy as np
import pandas as pd
import shapely

from toolkit import buildings
from toolkit.experiments.roof_greening.places import inside

SECONDS = {"draw": 2.5, "move": 2.5, "split": 2.5, "merge": 4.0, "delete": 3.0}
"""Assumed, not measured: seconds for each corner that is set (draw, move, pieces of a split), or
for one operation."""

WOBBLE = 0.4
"""Standard deviation of a corner set by hand, m: half a pixel."""


def corrections(found, truth, within=None, good=0.7, who="simulated hand", seed=0, start=None):
    """Correct a layer of buildings as a careful person would who sees the image.

    The person is simulated: what the image shows is taken from the truth, corners are set with an
    error of half a pixel. Buildings that overlap the truth by an IoU of `good` are left alone.

    Parameters
    ----------
    found, truth : geopandas.GeoDataFrame
        Footprints of the same ground, in one projected CRS.
    within : shapely geometry, optional
        Where to correct: buildings whose middle lies in it.
    good : float
        IoU above which nobody touches an outline.
    who : str
        Written into every edit.
    seed : int
        Of the wobble.
    start : datetime-like, optional
        When the work begins; midnight of 1 January 2020 by default, so that a run can be repeated.

    Returns
    -------
    geopandas.GeoDataFrame
        Edits as `toolkit.buildings.record` writes them, with assumed seconds (`SECONDS`).

    Notes
    -----
    What covers several true buildings is split, what is one of several pieces of one is merged,
    what covers none is deleted; other outlines are moved, and what is missing is drawn.

    Examples
    --------
    >>> edits = corrections(found, truth)  # doctest: +SKIP
    >>> edits["operation"].value_counts()  # doctest: +SKIP
    """
    buildings.layers.footprints(truth, "truth")
    buildings.layers.footprints(found, "found", like=truth)
    draw = np.random.default_rng(seed)
    here = truth.geometry.reset_index(drop=True)
    there = found.geometry.reset_index(drop=True)
    if within is not None:
        here, there = inside(here, within), inside(there, within)
    none, rows, clock = buildings.new_edits(found.crs), [], pd.Timestamp(start or "2020-01-01")

    def note(operation, before=None, after=None, what=""):
        nonlocal clock
        corners = int(buildings.layers.vertices(after or []).sum())
        each = SECONDS[operation]
        seconds = each * corners if operation in ("draw", "move", "split") else each
        clock += pd.Timedelta(seconds=seconds)
        rows.append(buildings.record(
            none, operation, before, after, who=who, what=what, seconds=seconds, when=clock,
            id=f"{operation}-{len(rows):05d}",
        ))  # fmt: skip

    owner, parts = _overlaps(here, there)
    touched = set()
    for i, own in owner.groupby("found")["true"]:
        if len(own) > 1:
            pieces = _apart([_wobbly(here[j], draw) for j in own])
            if len(pieces) > 1:
                note("split", there[i], pieces, "several buildings in one")
                touched |= set(own)
    for j, own in parts.groupby("true")["found"]:
        if len(own) > 1 and j not in touched:
            note("merge", list(there[own]), [_wobbly(here[j], draw)], "pieces of one building")
            touched.add(j)
    left = pd.concat([owner, parts])
    left = left[~left["true"].isin(touched)].sort_values("iou", kind="stable")
    # A piece that lies on two buildings becomes the outline of one, and the other is drawn.
    best = left.drop_duplicates("true", keep="last").drop_duplicates("found", keep="last")
    for j, row in best.set_index("true").sort_index().iterrows():
        touched.add(j)
        if row["iou"] < good:
            note("move", there[row["found"]], [_wobbly(here[j], draw)], "outline")
    known = set(owner["found"]) | set(parts["found"])
    for i in there.index.difference(list(known)):
        note("delete", there[i], what="no building")
    for j in here.index.difference(list(touched)):
        note("draw", after=[_wobbly(here[j], draw)], what="was missing")
    return pd.concat(rows, ignore_index=True) if rows else none


def _overlaps(here, there):
    """Pairs of which one covers the other by half: of found ones over true ones, and back."""
    first, second = there.sindex.query(here.values, predicate="intersects")
    true, found = here.index[first], there.index[second]
    a, b = here.loc[true].values, there.loc[found].values
    common = shapely.area(shapely.intersection(a, b))
    iou = common / (shapely.area(a) + shapely.area(b) - common)
    pairs = pd.DataFrame({"true": true, "found": found, "iou": iou})
    inside = common >= 0.5 * shapely.area(a)
    pieces = common >= 0.5 * shapely.area(b)
    return pairs[inside], pairs[pieces]


def _wobbly(polygon, draw):
    """The same outline with corners a little off; as it was where that would make it invalid."""
    ring = np.asarray(polygon.exterior.coords)[:-1]
    moved = shapely.Polygon(ring + draw.normal(0, WOBBLE, ring.shape),
                            [hole.coords for hole in polygon.interiors])  # fmt: skip
    return moved if moved.is_valid else polygon


def _apart(polygons):
    """Cut off each polygon what an earlier one covers; neighbours share a wall."""
    tree, out = shapely.STRtree(polygons), []
    for i, polygon in enumerate(polygons):
        earlier = [polygons[j] for j in tree.query(polygon, predicate="intersects") if j < i]
        rest = polygon.difference(shapely.union_all(earlier)) if earlier else polygon
        parts = [p for p in getattr(rest, "geoms", [rest]) if p.geom_type == "Polygon"]
        if parts and (largest := max(parts, key=lambda p: p.area)).area >= 1:
            out.append(largest)
    return out
