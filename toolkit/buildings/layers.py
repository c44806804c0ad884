"""Is this a layer of footprints that can be measured in metres?

Every function of the package asks that first, so that a wrong layer is named before it is used.
"""

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

_POLYGONS = (3, 6)  # shapely's type numbers of Polygon and MultiPolygon
CARRIED = ("title", "source", "simulated", "citation", "licence", "date", "sensor")


def metres(crs, what="buildings"):
    """Return the metres in one unit of a projected CRS.

    Parameters
    ----------
    crs : pyproj.CRS or None
        The CRS.
    what : str
        What the caller calls the layer; it appears in the message.

    Returns
    -------
    float
        1 for metres, 0.3048 for feet.

    Raises
    ------
    ValueError
        No CRS, or one in degrees.

    Examples
    --------
    >>> from pyproj import CRS
    >>> metres(CRS("EPSG:32648"))
    1.0
    """
    if crs is None:
        raise ValueError(
            f"{what}: there is no CRS. Set the one it was made in (.set_crs('EPSG:...') of a "
            "table, .rio.write_crs('EPSG:...') of a raster); guessing would misplace it."
        )
    if not crs.is_projected:
        raise ValueError(
            f"{what}: the CRS is {crs.name}, in degrees; areas and distances need metres. "
            "Reproject first: table.to_crs(table.estimate_utm_crs()), or image.rio.reproject(...)."
        )
    return float(crs.axis_info[0].unit_conversion_factor)


def footprints(table, what="buildings", like=None):
    """Return `table` if it is a layer of valid, different polygons in a projected CRS.

    Parameters
    ----------
    table : geopandas.GeoDataFrame
        The layer. No row at all is fine.
    what : str
        What the caller calls it; it appears in the message.
    like : pyproj.CRS, GeoDataFrame or raster, optional
        What must have the same CRS.

    Returns
    -------
    geopandas.GeoDataFrame
        The same object.

    Raises
    ------
    TypeError
        `table` is not a GeoDataFrame.
    ValueError
        No CRS, one in degrees or another one than `like`; rows without geometry, with something
        else than polygons, invalid or twice the same; labels of the index that occur twice.
    """
    if not isinstance(table, gpd.GeoDataFrame):
        raise TypeError(f"{what}: expected a GeoDataFrame, got {type(table).__name__}")
    metres(table.crs, what)
    if like is not None:
        same_crs(table, like, what)
    if not table.index.is_unique:
        raise ValueError(
            f"{what}: labels of the index occur twice, so a building has no name of its own; "
            "call .reset_index(drop=True) first"
        )
    geometry = table.geometry.to_numpy()
    repair = "buildings.clean(table) repairs and drops such rows and says how many."
    for wrong, problem in (
        (shapely.is_missing(geometry) | shapely.is_empty(geometry), "no geometry"),
        (~np.isin(shapely.get_type_id(geometry), _POLYGONS), "something else than a polygon"),
        (~shapely.is_valid(geometry), "an invalid polygon (such as one that crosses itself)"),
        (_twice(geometry), "the same polygon as an earlier row"),
    ):
        if wrong.any():
            first = table.index[int(np.flatnonzero(wrong)[0])]
            raise ValueError(
                f"{what}: {wrong.sum()} of {len(table)} rows hold {problem}, the first at "
                f"index {first}. {repair}"
            )
    return table


def same_crs(table, other, what="buildings"):
    """Explain if a layer and a raster, layer or CRS do not share their CRS."""
    crs = other.rio.crs if hasattr(other, "rio") else getattr(other, "crs", other)
    if crs is None:
        raise ValueError(
            f"{what}: the other layer has no CRS. Set the one it was made in: guessing would "
            "misplace it."
        )
    if table.crs != crs:
        raise ValueError(
            f"{what}: in {table.crs.to_string()}, but the other layer is in {crs.to_string()}. "
            f"Bring it there first: table.to_crs({crs.to_string()!r})."
        )


def _twice(geometry):
    """Rows that draw the same polygon as an earlier one, wherever its ring starts."""
    return pd.Series(shapely.to_wkb(shapely.normalize(geometry))).duplicated().to_numpy(bool)


def clean(buildings):
    """Repair invalid polygons, and drop rows without a polygon and repeated ones.

    Parameters
    ----------
    buildings : geopandas.GeoDataFrame
        Any table of geometries.

    Returns
    -------
    geopandas.GeoDataFrame
        Polygons and MultiPolygons, valid and different, with the labels they had (counted anew
        where labels occurred twice). ``attrs["cleaned"]`` counts ``repaired``, ``without
        polygon`` and ``repeated`` rows.

    Raises
    ------
    TypeError
        `buildings` is not a GeoDataFrame.

    Notes
    -----
    A polygon that crosses itself is rebuilt from its rings by GEOS (``make_valid``, structure
    method): a bow tie becomes two triangles. Lines and points that are left over are dropped.

    Examples
    --------
    >>> import geopandas as gpd
    >>> from shapely import Polygon, box
    >>> tie = Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    >>> table = gpd.GeoDataFrame(geometry=[box(5, 5, 6, 6), box(5, 5, 6, 6), tie, None],
    ...                          crs="EPSG:32648")
    >>> tidy = clean(table)
    >>> len(tidy), tidy.attrs["cleaned"]
    (2, {'repaired': 1, 'without polygon': 1, 'repeated': 1})
    """
    if not isinstance(buildings, gpd.GeoDataFrame):
        raise TypeError(f"buildings: expected a GeoDataFrame, got {type(buildings).__name__}")
    table = buildings.copy()
    if not table.index.is_unique:
        table = table.reset_index(drop=True)
    geometry = table.geometry.to_numpy().copy()
    wrong = ~shapely.is_valid(geometry) & ~shapely.is_missing(geometry)
    geometry[wrong] = shapely.make_valid(geometry[wrong], method="structure", keep_collapsed=False)
    geometry = np.array([_polygonal(each) for each in geometry], dtype=object)
    table = table.set_geometry(gpd.GeoSeries(geometry, index=table.index, crs=buildings.crs))
    without = shapely.is_missing(geometry)
    repeated = _twice(geometry) & ~without
    table = table[~without & ~repeated]
    table.attrs = buildings.attrs | {
        "cleaned": {
            "repaired": int((wrong & ~without).sum()),
            "without polygon": int(without.sum()),
            "repeated": int(repeated.sum()),
        }
    }
    return table


def _polygonal(geometry):
    """The polygons of a geometry, or None where there are none."""
    if geometry is None or geometry.is_empty:
        return None
    parts = [p for p in shapely.get_parts(geometry).tolist() if p.geom_type == "Polygon"]
    if geometry.geom_type == "GeometryCollection":
        parts = [p for part in shapely.get_parts(geometry) for p in shapely.get_parts(part)]
        parts = [p for p in parts if p.geom_type == "Polygon"]
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)


def vertices(geometry):
    """Count the corners of each polygon, its holes included, the closing point not.

    Parameters
    ----------
    geometry : array-like of shapely geometries
        Polygons, MultiPolygons, collections of them, or None (0 corners).

    Returns
    -------
    numpy.ndarray of int

    Examples
    --------
    >>> from shapely import box
    >>> vertices([box(0, 0, 1, 1), None])
    array([4, 0])
    """
    out = []
    for each in np.asarray(geometry, dtype=object).ravel():
        # get_rings passes over MultiPolygons, so take them apart first.
        rings = [] if each is None else shapely.get_rings(shapely.get_parts(each))
        out.append(sum(shapely.get_num_coordinates(ring) - 1 for ring in rings))
    return np.array(out, dtype=int)
