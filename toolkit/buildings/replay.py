"""How do recorded edits change a layer of buildings, even one they were not made on?"""

from typing import NamedTuple

import geopandas as gpd
import numpy as np
import pandas as pd
import rioxarray  # noqa: F401  (registers the .rio accessor)
import shapely
import xarray as xr
from rasterio.features import rasterize

from toolkit import _checks
from toolkit.accuracy import IGNORE
from toolkit.buildings.edits import parts
from toolkit.buildings.layers import footprints, metres, same_crs

CLASSES = [
    {"value": 0, "name": "other", "color": "#999999"},
    {"value": 1, "name": "building", "color": "#d55e00"},
]
_TOUCH = 0.1  # share of the smaller footprint from which two buildings lie on the same ground


class Applied(NamedTuple):
    """What :func:`apply_edits` returns: `buildings`, and `report` with a row for each edit."""

    buildings: gpd.GeoDataFrame
    report: pd.DataFrame


def apply_edits(buildings, edits, overlap=0.5):
    """Replay edits on a layer of buildings, in the order in which they were made.

    The layer may be the one that was edited or a new prediction. A building is looked up by the
    ground that the edit found it on: the row whose IoU with the geometry before is highest, and at
    least `overlap`. Where the hand and the new prediction agree that something stands there, the
    hand's outline wins. What cannot be decided is left as predicted, and reported.

    Parameters
    ----------
    buildings : geopandas.GeoDataFrame
        Footprints in a projected CRS; any columns. It stays as it is.
    edits : geopandas.GeoDataFrame
        From `toolkit.buildings.record` or `read_edits`. Undone ones are skipped.
    overlap : float
        Least IoU at which a building is the one that was edited.

    Returns
    -------
    Applied
        ``buildings``: with the labels they had; new ones are counted on. The column ``edit`` holds
        the id of the last edit of a row, "" elsewhere; ``area`` is measured again where the layer
        has it. A moved, split or merged building keeps its other columns (a merged one those of
        its largest part); a drawn one has none (NaN), so that ``probability`` stays a
        prediction's.
        ``report``: a row for each edit that counts, ``id``, ``operation``, ``status``, ``iou``
        (with the building looked up), ``building`` (its label, or a tuple) and ``reason``. Status:
        "applied"; "already" (the layer already was as the edit wants it; the hand's outline was
        taken); "stale" (nothing stands there any more, nothing was done); "conflict" (something
        else stands there, nothing was done).

    Raises
    ------
    TypeError, ValueError
        Layers that `toolkit.buildings.clean` should see first, edits in another CRS, a share out
        of range.

    Examples
    --------
    >>> import geopandas as gpd
    >>> from shapely import box
    >>> from toolkit import buildings
    >>> edits = buildings.new_edits("EPSG:32648")
    >>> edits = buildings.record(edits, "delete", before=box(0, 0, 10, 10), what="a container")
    >>> new = gpd.GeoDataFrame(geometry=[box(0, 0, 10, 9), box(20, 0, 30, 9)], crs="EPSG:32648")
    >>> result = buildings.apply_edits(new, edits)
    >>> len(result.buildings), result.report["status"].tolist()
    (1, ['applied'])
    """
    footprints(buildings)
    same_crs(edits, buildings, "edits")
    if not 0 < overlap <= 1:
        raise ValueError(f"overlap={overlap}: expected a share above 0, up to 1")
    layer = _Layer(buildings)
    rows = []
    for edit in edits[~edits["undone"].astype(bool)].itertuples():
        before, after = parts(edit.before), parts(edit.geometry)
        status, iou, found, reason = _decide(layer, edit.operation, before, after, overlap)
        if status in ("applied", "already"):
            layer.replace(found, after, edit.id)
        labels = [layer.label(i) for i in found]
        rows.append(
            {
                "id": edit.id,
                "operation": edit.operation,
                "status": status,
                "iou": iou,
                "building": tuple(labels) if len(labels) > 1 else (labels or [None])[0],
                "reason": reason,
            }
        )
    columns = ["id", "operation", "status", "iou", "building", "reason"]
    return Applied(layer.table(), pd.DataFrame(rows, columns=columns))


def _decide(layer, operation, before, after, overlap):
    """Status, IoU, rows to replace, and why."""
    if operation == "draw":
        best, iou = layer.best(after[0])
        if iou >= overlap:
            return "already", iou, [best], "the layer has a building there; its outline is replaced"
        if others := layer.covered(after[0]):
            return "conflict", iou, others, f"it would lie on {len(others)} other building(s)"
        return "applied", np.nan, [], ""
    looked = [layer.best(each) for each in before]
    found, ious = [i for i, _ in looked], [iou for _, iou in looked]
    # Perhaps the new layer is already what the edit made of the old one: half of a building has
    # an IoU of 0.5 with the whole, so the better of the two answers counts.
    there = [layer.best(each) for each in after] if operation in ("split", "merge") else []
    rows, already = [i for i, _ in there], min((iou for _, iou in there), default=0)
    if already >= overlap and already > min(ious) and len(set(rows)) == len(rows):
        return "already", already, rows, f"it is {operation} already; the outlines are replaced"
    if min(ious) >= overlap and len(set(found)) == len(found):
        return "applied", min(ious), found, ""
    others = sorted({i for each in before for i in layer.covered(each)})
    if not others:
        return "stale", max(ious), [], "no building stands there any more"
    reason = f"{len(others)} building(s) there, but the best has an IoU of {min(ious):.2f} only"
    return "conflict", min(ious), others, reason


class _Layer:
    """The buildings during a replay: rows are added and taken away, positions stay."""

    def __init__(self, buildings):
        self.buildings = buildings
        self.geometry = list(buildings.geometry)
        self.alive = [True] * len(self.geometry)
        self.source = list(range(len(self.geometry)))  # row whose columns it keeps, or None
        self.edit = [""] * len(self.geometry)
        self._plant()
        numbers = pd.api.types.is_integer_dtype(buildings.index) and len(buildings)
        self.next = int(buildings.index.max()) + 1 if numbers else len(buildings)
        self.labels = list(buildings.index)

    def _plant(self):
        self.tree, self.planted = shapely.STRtree(self.geometry), len(self.geometry)

    def label(self, i):
        return self.labels[i]

    def near(self, polygon):
        """Positions of living buildings that meet a polygon, their areas in common with it."""
        # What is not in the tree is looked at one by one.
        if len(self.geometry) - self.planted > 200:
            self._plant()
        rows = [*self.tree.query(polygon).tolist(), *range(self.planted, len(self.geometry))]
        rows = [i for i in rows if self.alive[i]]
        geometry = np.array([self.geometry[i] for i in rows], dtype=object)
        common = shapely.area(shapely.intersection(geometry, polygon)) if rows else np.zeros(0)
        return rows, common

    def best(self, polygon):
        rows, common = self.near(polygon)
        if not rows:
            return None, 0.0
        area = shapely.area(np.array([self.geometry[i] for i in rows], dtype=object))
        iou = common / (area + polygon.area - common)
        k = int(np.argmax(iou))
        return (rows[k], float(iou[k])) if iou[k] > 0 else (None, 0.0)

    def covered(self, polygon):
        rows, common = self.near(polygon)
        return [
            i
            for i, shared in zip(rows, common, strict=True)
            if shared >= _TOUCH * min(self.geometry[i].area, polygon.area)
        ]

    def replace(self, rows, polygons, edit):
        """Put polygons where some rows were; they inherit label and columns, one to one if so."""
        largest = max(rows, key=lambda i: self.geometry[i].area, default=None)
        for i in rows:
            self.alive[i] = False
        # Positions that lie in the tree keep their geometry: a new one goes to the end.
        for k, polygon in enumerate(polygons):
            heir = rows[k] if len(rows) == len(polygons) else largest
            self.geometry.append(polygon)
            self.alive.append(True)
            self.source.append(None if heir is None else self.source[heir])
            self.edit.append(edit)
            if heir is not None and (k == 0 or len(rows) == len(polygons)):
                self.labels.append(self.labels[heir])
            else:
                self.labels.append(self.next)
                self.next += 1

    def table(self):
        """The living rows as a GeoDataFrame, in the order of their making."""
        alive = [i for i, here in enumerate(self.alive) if here]
        buildings, name = self.buildings, self.buildings.geometry.name
        source = np.array([-1 if self.source[i] is None else self.source[i] for i in alive], int)
        plain = pd.DataFrame(buildings.drop(columns=[name]))
        # take(-1) would be the last row: a drawn building takes nothing, hence reindex.
        plain = (
            plain.reset_index(drop=True)
            .reindex(source)
            .set_axis(pd.Index([self.labels[i] for i in alive], name=buildings.index.name), axis=0)
        )
        geometry = gpd.GeoSeries([self.geometry[i] for i in alive], index=plain.index)
        out = gpd.GeoDataFrame(plain, geometry=geometry.to_numpy(), crs=buildings.crs)
        out = out if name == "geometry" else out.rename_geometry(name)
        out["edit"] = pd.Series([self.edit[i] for i in alive], index=out.index, dtype="str")
        if "edit" in buildings:  # of an earlier replay
            earlier = plain["edit"].fillna("").astype("str")
            out["edit"] = out["edit"].where(out["edit"] != "", earlier)
        if "area" in buildings:
            out["area"] = out.geometry.area * metres(buildings.crs) ** 2
        out.attrs = dict(buildings.attrs)
        return out


def rasterise(buildings, like, all_touched=False):
    """Burn buildings into a mask on the grid of an image.

    Parameters
    ----------
    buildings : geopandas.GeoDataFrame
        Footprints in the CRS of the image. None at all gives a mask without a building.
    like : xarray.DataArray
        An image (band, y, x), a class map (y, x) or probabilities (class, y, x): its grid, and its
        nodata.
    all_touched : bool
        Every pixel that a footprint touches, instead of those whose centre lies in it.

    Returns
    -------
    xarray.DataArray
        Dims (y, x), uint8: 1 building, 0 other, 255 where `like` has no data in any layer. Holes
        stay empty.

    Raises
    ------
    TypeError, ValueError
        Layers that `toolkit.buildings.clean` should see first, another CRS.

    Examples
    --------
    >>> mask = rasterise(corrected, image)              # doctest: +SKIP
    >>> accuracy.confusion(truth, mask, ["other", "building"])  # doctest: +SKIP
    """
    dims = getattr(like, "dims", ("y", "x"))
    _checks.raster(like, "like", (dims[0], "y", "x") if len(dims) == 3 else ("y", "x"))
    footprints(buildings, like=like)
    values = like.values
    empty = np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, bool)
    nodata = like.rio.nodata
    if nodata is not None and not np.isnan(nodata):
        empty |= values == nodata
    if empty.ndim == 3:
        empty = empty.all(axis=0)
    mask = np.zeros(empty.shape, "uint8")
    if len(buildings):
        rasterize(
            list(buildings.geometry),
            out=mask,
            transform=like.rio.transform(recalc=True),
            all_touched=all_touched,
        )
    mask[empty] = IGNORE
    attrs = {
        **{k: buildings.attrs[k] for k in ("title", "source", "simulated") if k in buildings.attrs},
        "long_name": "building",
        "units": "class",
        "classes": [dict(each) for each in CLASSES],
    }
    coords = {"y": like["y"], "x": like["x"]}
    result = xr.DataArray(mask, coords, ("y", "x"), "buildings", attrs)
    result = result.rio.write_crs(like.rio.crs).rio.write_transform(like.rio.transform(recalc=True))
    return result.rio.write_nodata(IGNORE)
