"""How does an outline get to the screen and back, and get cut or joined on the way?

The screen works in degrees, and what it sends back is rounded to a millionth of one. So corners
that nobody moved are taken from the outline that was sent, bit for bit.
"""

import functools

import ipyleaflet
import numpy as np
import shapely
from pyproj import Transformer
from shapely.geometry import mapping, shape
from shapely.ops import split

PRECISION = 1e-6  # degrees; Leaflet rounds the corners it sends: 11 cm on the ground at most
_DIGITS = 7  # of an outline that is only looked at
_SLIVER = 1e-3  # share of a building below which a piece is no building


class Outlines(ipyleaflet.GeoJSON):
    """Outlines of one style, which the browser applies: ipyleaflet would copy it to each."""

    def _get_data(self):
        return self.data

    def put(self, features):
        """Send features to the browser, if they are others than before."""
        data = {"type": "FeatureCollection", "features": features}
        if self.data != data:
            self.data = data


@functools.lru_cache(maxsize=8)
def _transformer(crs, back):
    pair = ("EPSG:4326", crs) if back else (crs, "EPSG:4326")
    return Transformer.from_crs(*pair, always_xy=True)


def _project(geometry, crs, back=False):
    """Transform one geometry or an array of them; heights are dropped."""
    step = _transformer(crs, back).transform
    return shapely.transform(geometry, lambda xy: np.column_stack(step(*xy.T)) if len(xy) else xy)


def features(geometry, crs):
    """GeoJSON features to look at, rounded to a centimetre.

    Parameters
    ----------
    geometry : sequence of shapely geometries
        In `crs`.
    crs : pyproj.CRS
        Where they are.

    Returns
    -------
    list of dict
    """
    seen = _project(np.asarray(geometry, dtype=object), crs)
    seen = shapely.transform(seen, lambda xy: xy.round(_DIGITS))
    return [{"type": "Feature", "properties": {}, "geometry": mapping(each)} for each in seen]


def to_screen(geometry, crs, style):
    """GeoJSON feature of one outline that is going to be changed, with all its digits."""
    properties = {"type": "polygon", "style": style}
    seen = mapping(_project(geometry, crs))
    return {"type": "Feature", "properties": properties, "geometry": seen}


def from_screen(feature, crs, *known):
    """Take an outline from the screen back to the ground.

    Parameters
    ----------
    feature : dict or shapely geometry
        GeoJSON feature, or geometry, in degrees.
    crs : pyproj.CRS
        Where it shall lie.
    *known : shapely polygons
        What it was. Corners that came back where they were keep these coordinates, bit for bit.

    Returns
    -------
    shapely geometry
        The known one itself where nothing lies farther away than the screen's precision.
    """
    seen = shape(feature["geometry"]) if isinstance(feature, dict) else feature
    sent = [_project(each, crs) for each in known]
    for there, ground in zip(sent, known, strict=True):
        if not seen.is_empty and seen.hausdorff_distance(there) <= PRECISION:
            return ground
    tree = shapely.STRtree(shapely.points(shapely.get_coordinates(sent)))
    exact = shapely.get_coordinates(known)

    def corners(xy):
        new = np.column_stack(_transformer(crs, True).transform(*xy.T))
        # Rounding moves a corner by half a unit in each direction, never more.
        reach = shapely.box(*(xy - 0.6 * PRECISION).T, *(xy + 0.6 * PRECISION).T)
        for i, k in tree.query(reach, predicate="intersects").T[::-1]:  # the first one wins
            new[i] = exact[k]
        return new

    return shapely.transform(seen, corners)


def crossing(polygon):
    """Say in words why a polygon is no outline of a building, or "" if it is one."""
    if polygon.geom_type not in ("Polygon", "MultiPolygon") or polygon.is_empty:
        return "there is no outline; set at least three corners"
    if not polygon.is_valid:
        return "its outline crosses or touches itself; set the corners one after the other"
    return "" if polygon.area > 0 else "its corners lie on one line"


def cut(polygon, line):
    """Cut a building along a line.

    Parameters
    ----------
    polygon : shapely Polygon or MultiPolygon
        The building.
    line : shapely LineString
        It has to cross the building from side to side.

    Returns
    -------
    list of shapely Polygon
        Two or more, the largest first; corners that were there stay as they are.

    Raises
    ------
    ValueError
        The line leaves the building in one piece.

    Examples
    --------
    >>> from shapely import LineString, box
    >>> [piece.area for piece in cut(box(0, 0, 10, 10), LineString([(4, -1), (4, 11)]))]
    [60.0, 40.0]
    """
    pieces = [
        piece
        for part in shapely.get_parts(polygon)
        for piece in split(part, line).geoms
        if piece.area > _SLIVER * polygon.area
    ]
    if len(pieces) <= len(shapely.get_parts(polygon)):
        raise ValueError(
            "the line does not cut the building in two: start outside of it, cross it, and end "
            "outside again"
        )
    return sorted(pieces, key=lambda piece: -piece.area)


def joined(polygons, gap):
    """Join buildings into one; narrow gaps between them are filled.

    Parameters
    ----------
    polygons : sequence of shapely polygons
        Two or more buildings, in metres or feet.
    gap : float
        Widest gap to fill, in the same unit.

    Returns
    -------
    shapely Polygon or MultiPolygon
        Their corners stay as they are; a bridge is added where they do not touch. Bridges lie only
        between the buildings, and only where these are closer than `gap`.

    Raises
    ------
    ValueError
        They lie too far apart.

    Examples
    --------
    >>> from shapely import box
    >>> round(joined([box(0, 0, 10, 10), box(11, 0, 20, 10)], gap=2).area, 3)
    200.0
    """
    whole = shapely.union_all(polygons)
    together = len(shapely.get_parts(whole)) == 1
    if not together:
        half = gap / 2
        closed = whole.buffer(half, join_style="mitre").buffer(-half, join_style="mitre")
        # Buffering there and back leaves crumbs along the walls, which are no bridges.
        crumb = 1e-6 * gap
        bridges = [
            piece.buffer(crumb, join_style="mitre")
            for piece in shapely.get_parts(closed.difference(whole))
            if piece.area > crumb and sum(piece.distance(p) <= crumb for p in polygons) > 1
        ]
        # The overlap of a millionth left steps as small as itself.
        whole = shapely.union_all([whole, *bridges]).simplify(10 * crumb)
        together = len(shapely.get_parts(whole)) == 1
    if not together:
        raise ValueError(
            f"they do not touch, and a gap is wider than {gap:.3g}. Draw what lies between them "
            "first, or reshape one of them"
        )
    return whole
