"""What was corrected by hand, by whom, and what does it do to another prediction?

A correction is a record: what was done, the footprint before and after, who, when and why. The
records are a plain table. They can be saved, undone, and replayed on a new prediction, where the
building is looked up again by the ground it covers. No widget is needed; `toolkit.maps.edit` writes
these records.
"""

import os
import shutil
import tempfile
import uuid
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import shapely

from toolkit import _checks
from toolkit.buildings.layers import metres, vertices

# What an operation takes away and what it puts there: least and most polygons, before and after.
OPERATIONS = {
    "draw": ((0, 0), (1, 1)),
    "move": ((1, 1), (1, 1)),
    "delete": ((1, 1), (0, 0)),
    "split": ((1, 1), (2, None)),
    "merge": ((2, None), (1, 1)),
}
COLUMNS = ("id", "operation", "before", "geometry", "who", "when", "what", "seconds", "undone")


def new_edits(crs):
    """Start an empty table of edits.

    Parameters
    ----------
    crs : pyproj.CRS, str or GeoDataFrame
        Projected CRS of the buildings, or the buildings.

    Returns
    -------
    geopandas.GeoDataFrame
        No row yet. Columns: ``id`` (text, never twice), ``operation``, ``before`` and ``geometry``
        (what it was and what it is now: a polygon, a GeometryCollection of several, or None),
        ``who``, ``when`` (UTC), ``what`` (a note), ``seconds`` (time it took), ``undone`` (bool).

    Examples
    --------
    >>> len(new_edits("EPSG:32648"))
    0
    """
    crs = gpd.GeoSeries([], crs=getattr(crs, "crs", crs)).crs
    metres(crs, "edits")
    empty = {
        "id": pd.Series(dtype="str"),
        "operation": pd.Series(dtype="str"),
        "before": gpd.GeoSeries([], crs=crs),
        "geometry": gpd.GeoSeries([], crs=crs),
        "who": pd.Series(dtype="str"),
        "when": pd.Series(dtype="datetime64[ms, UTC]"),
        "what": pd.Series(dtype="str"),
        "seconds": pd.Series(dtype=float),
        "undone": pd.Series(dtype=bool),
    }
    return gpd.GeoDataFrame(empty, geometry="geometry", crs=crs)


def record(
    edits, operation, before=None, after=None, who="", what="", seconds=np.nan, when=None, id=None
):
    """Add one edit to the table.

    Parameters
    ----------
    edits : geopandas.GeoDataFrame
        From `new_edits`, `record` or `read_edits`; it stays as it is.
    operation : {"draw", "move", "delete", "split", "merge"}
        A new building; moved corners; none there; one into several; several into one.
    before, after : shapely polygon or sequence of polygons
        What it was (not for draw) and what it is now (not for delete), in the CRS of `edits`.
    who, what : str
        Who did it and, in a few words, what for.
    seconds : float
        Time it took; NaN where nobody measured.
    when : datetime-like, optional
        Now by default. Times without a zone are UTC.
    id : str, optional
        Its name; a random one by default.

    Returns
    -------
    geopandas.GeoDataFrame
        A table with one row more.

    Raises
    ------
    ValueError
        An unknown operation, too few or too many polygons for it, an invalid or empty polygon.

    Examples
    --------
    >>> from shapely import box
    >>> edits = record(new_edits("EPSG:32648"), "draw", after=box(0, 0, 9, 9), who="Ada", seconds=7)
    >>> edits = record(edits, "delete", before=box(50, 0, 60, 9), who="Ada", what="a greenhouse")
    >>> edits["operation"].tolist()
    ['draw', 'delete']
    """
    _checks.choice(operation, list(OPERATIONS), "operation")
    sides = []
    for what_for, given, (least, most) in zip(
        ("before", "after"), (before, after), OPERATIONS[operation], strict=True
    ):
        polygons = parts(given)
        if len(polygons) < least or (most is not None and len(polygons) > most):
            wanted = f"{least} or more" if most is None else str(least)
            raise ValueError(
                f"{operation}: {len(polygons)} polygon(s) {what_for}, it takes {wanted}"
            )
        for polygon in polygons:
            if polygon.geom_type not in ("Polygon", "MultiPolygon") or not polygon.is_valid:
                reason = shapely.is_valid_reason(polygon)
                raise ValueError(
                    f"{operation}: what is {what_for} must be valid polygons, got a "
                    f"{polygon.geom_type} ({reason})"
                )
        sides.append(_packed(polygons))
    when = pd.Timestamp.now("UTC") if when is None else pd.Timestamp(when)
    when = when.tz_localize("UTC") if when.tzinfo is None else when.tz_convert("UTC")
    row = {
        "id": [uuid.uuid4().hex if id is None else str(id)],
        "operation": [operation],
        "before": gpd.GeoSeries([sides[0]], crs=edits.crs),
        "geometry": gpd.GeoSeries([sides[1]], crs=edits.crs),
        "who": [str(who)],
        "when": pd.Series([when]).astype("datetime64[ms, UTC]"),
        "what": [str(what)],
        "seconds": [float(seconds)],
        "undone": [False],
    }
    if row["id"][0] in set(edits["id"]):
        raise ValueError(f"there is an edit with the id {row['id'][0]!r} already")
    row = gpd.GeoDataFrame(row, geometry="geometry", crs=edits.crs)
    return pd.concat([edits, row], ignore_index=True) if len(edits) else row


def parts(geometry):
    """Return the buildings of one side of an edit, as a list of polygons.

    Parameters
    ----------
    geometry : None, shapely geometry or sequence of them
        One side: nothing, a polygon, or several.

    Returns
    -------
    list of shapely geometries
    """
    if geometry is None:
        return []
    if not isinstance(geometry, shapely.Geometry):
        return [each for one in geometry for each in parts(one)]
    if geometry.geom_type == "GeometryCollection":
        return list(geometry.geoms)
    return [] if geometry.is_empty else [geometry]


def _packed(polygons):
    """One geometry for one or several buildings; several need not be valid together."""
    if len(polygons) > 1:
        return shapely.GeometryCollection(polygons)
    return polygons[0] if polygons else None


def undo(edits, n=1):
    """Mark the last edits that still count as undone; they stay in the table.

    Parameters
    ----------
    edits : geopandas.GeoDataFrame
        The table; it stays as it is.
    n : int
        How many.

    Returns
    -------
    geopandas.GeoDataFrame

    Raises
    ------
    ValueError
        There are not so many.

    Examples
    --------
    >>> from shapely import box
    >>> edits = record(new_edits("EPSG:32648"), "draw", after=box(0, 0, 9, 9))
    >>> undo(edits)["undone"].tolist()
    [True]
    """
    active = np.flatnonzero(~edits["undone"].to_numpy(bool))
    if n < 1 or n > len(active):
        raise ValueError(f"n={n}: there are {len(active)} edits that can be undone")
    edits = edits.copy()
    edits.loc[edits.index[active[-n:]], "undone"] = True
    return edits


def save_edits(edits, path):
    """Add edits to a GeoPackage, keeping those that lie there already.

    Parameters
    ----------
    edits : geopandas.GeoDataFrame
        From `record`. An edit that lies in the file under the same id is replaced, so that an undo
        is kept, too.
    path : str or Path
        The file; other layers in it stay as they are.

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        The file holds edits in another CRS.

    Notes
    -----
    A layer of a GeoPackage holds one geometry: ``edits`` has what is there after an edit, and
    ``edits_before``, with the same ``id``, what was there before. A new file is written beside the
    old one and takes its place when it is complete.

    Examples
    --------
    >>> save_edits(edits, "buildings.gpkg")  # doctest: +SKIP
    """
    path = Path(path)
    if path.exists() and "edits" in pyogrio.list_layers(path)[:, 0]:
        old = read_edits(path)
        if old.crs != edits.crs:
            raise ValueError(
                f"{path.name} holds edits in {old.crs.to_string()}, these are in "
                f"{edits.crs.to_string()}: bring them there with edits.to_crs(...)"
            )
        old = old[~old["id"].isin(edits["id"])]
        edits = pd.concat([old, edits], ignore_index=True) if len(old) else edits
    edits = edits.sort_values("when", kind="stable")
    after = edits.drop(columns="before")
    before = gpd.GeoDataFrame({"id": edits["id"]}, geometry=edits["before"], crs=edits.crs)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        new = Path(folder) / path.name
        if path.exists():
            shutil.copy2(path, new)
        for layer, table in (("edits", after), ("edits_before", before)):
            table.to_file(new, layer=layer, driver="GPKG", geometry_type="Unknown", index=False)
        os.replace(new, path)
    return path


def read_edits(path):
    """Read the edits that `save_edits` wrote.

    Parameters
    ----------
    path : str or Path
        The GeoPackage.

    Returns
    -------
    geopandas.GeoDataFrame
        As `new_edits` describes it, in the order in which they were made.

    Raises
    ------
    FileNotFoundError, ValueError
        There is no such file, or it holds no edits.

    Examples
    --------
    >>> edits = read_edits("buildings.gpkg")  # doctest: +SKIP
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file; buildings.save_edits writes one")
    layers = pyogrio.list_layers(path)[:, 0].tolist()
    if not {"edits", "edits_before"} <= set(layers):
        raise ValueError(f"{path} holds no edits; its layers are {layers}")
    after, before = (gpd.read_file(path, layer=layer) for layer in ("edits", "edits_before"))
    if after.empty:
        return new_edits(after.crs)
    known = before.set_index("id").geometry
    after["before"] = gpd.GeoSeries(
        known.reindex(after["id"]).to_numpy(), index=after.index, crs=after.crs
    )
    after["when"] = pd.to_datetime(after["when"], utc=True).astype("datetime64[ms, UTC]")
    after["seconds"] = after["seconds"].astype(float)
    after["undone"] = after["undone"].astype(bool)
    for column in ("who", "what"):
        after[column] = after[column].fillna("")
    return after[list(COLUMNS)]


def effort(edits, reference, seconds_per_vertex=None):
    """Compare the work of correcting with that of drawing every building from nothing.

    Parameters
    ----------
    edits : geopandas.GeoDataFrame
        What was done. Undone edits took time, too: they count as edits and in seconds.
    reference : geopandas.GeoDataFrame
        The layer that drawing from nothing would have to produce.
    seconds_per_vertex : float, optional
        Time to set one corner. By default that of the draw edits whose seconds were recorded
        (their seconds over their corners); NaN where there are none.

    Returns
    -------
    pandas.DataFrame
        Rows ``correcting``, ``from nothing`` and ``saved`` (share of the latter, 1 = all of it);
        columns ``edits``, ``vertices`` (corners set by hand), ``seconds``. Of corrections,
        ``vertices`` counts all corners of what was drawn, and of moved or split buildings the
        corners that were not there before; deleting and merging set none. ``seconds`` are those
        recorded, NaN if none was; ``attrs["timed"]`` counts the edits they come from.

    Raises
    ------
    ValueError
        No reference: there is nothing to compare with.

    Examples
    --------
    >>> import geopandas as gpd
    >>> from shapely import box
    >>> edits = record(new_edits("EPSG:32648"), "draw", after=box(0, 0, 9, 9), seconds=8)
    >>> truth = gpd.GeoDataFrame(geometry=[box(i, 0, i + 1, 1) for i in range(10)],
    ...                          crs="EPSG:32648")
    >>> effort(edits, truth).loc["from nothing"].tolist()
    [10.0, 40.0, 80.0]
    """
    if not len(reference):
        raise ValueError("reference: the layer is empty, so drawing it would take nothing")
    set_by_hand = np.array([_new_corners(row) for row in edits.itertuples()], dtype=float)
    seconds = edits["seconds"].to_numpy(float)
    timed = np.isfinite(seconds)
    if seconds_per_vertex is None:
        drawn = timed & (edits["operation"] == "draw").to_numpy()
        corners = set_by_hand[drawn].sum()
        seconds_per_vertex = seconds[drawn].sum() / corners if corners else np.nan
    total = float(vertices(reference.geometry.to_numpy()).sum())
    rows = {
        "correcting": [
            len(edits),
            set_by_hand.sum(),
            seconds[timed].sum() if timed.any() or not len(edits) else np.nan,
        ],
        "from nothing": [len(reference), total, total * seconds_per_vertex],
    }
    table = pd.DataFrame.from_dict(
        rows, orient="index", columns=["edits", "vertices", "seconds"], dtype=float
    )
    table.loc["saved"] = 1 - table.loc["correcting"] / table.loc["from nothing"]
    table.attrs["timed"] = int(timed.sum())
    return table


def _new_corners(row):
    """Corners of an edit that somebody had to set."""
    if row.operation in ("delete", "merge"):
        return 0
    after = parts(row.geometry)
    if row.operation == "draw":
        return int(vertices(after).sum())
    old = {tuple(xy) for xy in shapely.get_coordinates(parts(row.before)).round(3)}
    new = {tuple(xy) for xy in shapely.get_coordinates(after).round(3)}
    return len(new - old)
