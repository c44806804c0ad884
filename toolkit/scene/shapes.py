"""Shapes the city is drawn with: cells cut in two again and again, outlines stamped, blobs.

Everything takes and returns arrays of geometries: a city is a few hundred vectorised calls.
"""

from __future__ import annotations

import numpy as np
import shapely
from scipy import ndimage

from toolkit.scene import noise

# Coordinates x y in hundredths of the box, corner by corner, counter-clockwise.
_CORNERS = {
    "slab": "-50 -50  50 -50  50 50  -50 50",
    # A slab with stair towers that step out of the facade, as housing estates have them.
    "stepped": "-50 -50  -20 -50  -20 -36  20 -36  20 -50  50 -50  50 36  30 36  30 50  -30 50"
    "  -30 36  -50 36",
    "angle": "-50 -50  50 -50  50 0  0 0  0 50  -50 50",
    "court": "-50 -50  50 -50  50 50  20 50  20 -10  -20 -10  -20 50  -50 50",
    "cross": "-50 -18  -18 -18  -18 -50  18 -50  18 -18  50 -18  50 18  18 18  18 50  -18 50"
    "  -18 18  -50 18",
    "bevelled": "-30 -50  30 -50  50 -30  50 30  30 50  -30 50  -50 30  -50 -30",
}
OUTLINES = {
    name: np.array(corners.split(), float).reshape(-1, 2) / 100
    for name, corners in _CORNERS.items()
}
"""Building outlines on the unit square, counter-clockwise; `stamp` gives them their size."""

RECTANGLE = OUTLINES["slab"]


def field(bounds, generator, scale, beta=2.4):
    """Smooth random field over a square, as a function of points.

    Parameters
    ----------
    bounds : tuple of float
        West, south, east, north, metres.
    generator : numpy.random.Generator
        Source of randomness.
    scale : float
        Size of the largest features, metres.
    beta : float
        Exponent of the power spectrum.

    Returns
    -------
    callable
        ``f(points)`` with points (n, 2) gives n values of mean 0 and standard deviation 1.
    """
    side = max(bounds[2] - bounds[0], bounds[3] - bounds[1])
    step = side / 256
    grid = noise.fractal((257, 257), generator, beta, max(scale / step, 2.0))

    def sample(points):
        points = np.asarray(points, float).reshape(-1, 2)
        where = [(points[:, 1] - bounds[1]) / step, (points[:, 0] - bounds[0]) / step]
        return ndimage.map_coordinates(grid, where, order=1, mode="nearest")

    return sample


def rotate(points, angle):
    """Rotate (..., 2) vectors by angles in radians that broadcast against the leading dims."""
    c, s = np.cos(angle), np.sin(angle)
    x, y = points[..., 0], points[..., 1]
    return np.stack([c * x - s * y, s * x + c * y], axis=-1)


def frame(polygons, angle=None):
    """Oriented bounding boxes.

    Parameters
    ----------
    polygons : array of Polygon
        What to work on.
    angle : array of float, optional
        Direction of the first axis, radians; that of the longer side where left out.

    Returns
    -------
    centre : numpy.ndarray (n, 2)
        Centre of each, metres.
    length, width, angle : numpy.ndarray (n,)
        Extent along the axis `angle` and across it.
    """
    polygons = np.asarray(polygons)
    if len(polygons) == 0:
        return np.zeros((0, 2)), np.zeros(0), np.zeros(0), np.zeros(0)
    if angle is None:
        box = shapely.get_coordinates(shapely.oriented_envelope(polygons)).reshape(-1, 5, 2)
        a, b = box[:, 1] - box[:, 0], box[:, 2] - box[:, 1]
        la, lb = np.hypot(*a.T), np.hypot(*b.T)
        along = np.where((la >= lb)[:, None], a, b)
        angle = np.arctan2(along[:, 1], along[:, 0])
        return box[:, :4].mean(1), np.maximum(la, lb), np.minimum(la, lb), angle
    angle = np.broadcast_to(np.asarray(angle, float), len(polygons))
    points, index = shapely.get_coordinates(polygons, return_index=True)
    points = rotate(points, -angle[index])
    start = np.searchsorted(index, np.arange(len(polygons)))
    low, high = np.minimum.reduceat(points, start), np.maximum.reduceat(points, start)
    size = high - low
    return rotate((low + high) / 2, angle), size[:, 0], size[:, 1], angle


def stamp(outline, centre, length, width, angle):
    """Polygons of one outline at many places.

    Parameters
    ----------
    outline : numpy.ndarray (m, 2)
        On the unit square, see `OUTLINES`.
    centre : numpy.ndarray (n, 2)
        Centre of each, metres.
    length, width, angle : array_like (n,)
        Size along and across the axis, metres; direction of the axis, radians.

    Returns
    -------
    numpy.ndarray of Polygon
    """
    centre = np.asarray(centre, float).reshape(-1, 2)
    n = len(centre)
    if n == 0:
        return np.empty(0, object)
    size = np.stack([np.broadcast_to(length, n), np.broadcast_to(width, n)], axis=-1)
    points = np.asarray(outline)[None] * size[:, None]
    return shapely.polygons(rotate(points, np.broadcast_to(angle, n)[:, None]) + centre[:, None])


def blobs(centre, radius, generator, vertices=20, rough=0.22, stretch=1.0):
    """Irregular rounded polygons: ponds, groves, canopies, quarries.

    Parameters
    ----------
    centre : numpy.ndarray (n, 2)
        Centre of each, metres.
    radius : array_like (n,)
        Mean radius, metres.
    generator : numpy.random.Generator
        Source of randomness.
    vertices : int
        Points of each outline.
    rough : float
        Standard deviation of the radius, as a share of it.
    stretch : array_like
        Length over width.
    """
    centre = np.asarray(centre, float).reshape(-1, 2)
    n = len(centre)
    if n == 0:
        return np.empty(0, object)
    turn = np.linspace(0, 2 * np.pi, vertices, endpoint=False)
    wave = np.zeros((n, vertices))
    for k in (2, 3, 4, 5):
        phase = generator.uniform(0, 2 * np.pi, (n, 1))
        wave += generator.normal(0, 1, (n, 1)) * np.cos(k * turn + phase) / k
    reach = np.clip(1 + rough * wave * 1.6, 0.35, 1.9) * np.broadcast_to(radius, n)[:, None]
    root = np.sqrt(np.broadcast_to(stretch, n))[:, None]
    points = np.stack([reach * np.cos(turn) * root, reach * np.sin(turn) / root], axis=-1)
    points = rotate(points, generator.uniform(0, 2 * np.pi, (n, 1)))
    # Seen from its centre a blob is always simple; rounded here as every outline is in the end.
    return shapely.polygons(np.round(points + centre[:, None], 2))


def parts(polygons, smallest=0.0):
    """Single polygons of at least `smallest` square metres, and which input each came from."""
    pieces, index = shapely.get_parts(np.asarray(polygons), return_index=True)
    good = (shapely.get_type_id(pieces) == 3) & (shapely.area(pieces) > smallest)
    return pieces[good], index[good]


def largest(polygons, smallest=0.0):
    """The largest part of each geometry, where it has one, and which input it came from."""
    pieces, index = parts(polygons, smallest)
    order = np.lexsort((shapely.area(pieces), index))
    last = np.r_[np.diff(index[order]) > 0, True] if len(order) else np.zeros(0, bool)
    return pieces[order][last], index[order][last]


def inset(polygons, distance, smallest=0.0):
    """Polygons moved in by `distance` with sharp corners, and which input each came from."""
    return parts(
        shapely.buffer(polygons, -np.asarray(distance), join_style="mitre", mitre_limit=3), smallest
    )


def scatter(polygons, count, generator):
    """Random points inside polygons.

    Parameters
    ----------
    polygons : array of Polygon
        What to work on.
    count : array_like of int
        How many to try for each; those that fall outside its polygon are dropped.
    generator : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    points : numpy.ndarray (n, 2)
    index : numpy.ndarray (n,)
        The polygon of each point.
    """
    polygons = np.asarray(polygons)
    if len(polygons) == 0:
        return np.zeros((0, 2)), np.zeros(0, int)
    index = np.repeat(np.arange(len(polygons)), count)
    box = shapely.bounds(polygons)[index]
    points = box[:, :2] + generator.random((len(index), 2)) * (box[:, 2:] - box[:, :2])
    shapely.prepare(polygons)
    good = shapely.contains_xy(polygons[index], points[:, 0], points[:, 1])
    return points[good], index[good]


def array_of(polygons, pitch, angle, generator, shift=0.0):
    """Points of a regular array in the frame of each polygon (rows of houses, orchard trees).

    Parameters
    ----------
    polygons : array of Polygon
        What to work on.
    pitch : tuple
        Spacing along and across the axis, metres; numbers or arrays (n,).
    angle : array of float
        Axis of each polygon, radians.
    generator : numpy.random.Generator
        Source of randomness.
    shift : float
        Standard deviation of the random shift, metres.

    Returns
    -------
    points : numpy.ndarray (m, 2)
    index : numpy.ndarray (m,)
        The polygon of each point; points may lie outside it.
    row : numpy.ndarray (m,)
    """
    centre, length, width, angle = frame(polygons, angle)
    n = len(centre)
    px, py = (np.broadcast_to(np.asarray(p, float), n) for p in pitch)
    nx = np.maximum(np.floor(length / px), 1).astype(int)
    ny = np.maximum(np.floor(width / py), 1).astype(int)
    index = np.repeat(np.arange(n), nx * ny)
    order = np.arange(len(index)) - np.repeat(np.cumsum(nx * ny) - nx * ny, nx * ny)
    i, j = order % nx[index], order // nx[index]
    local = np.stack(
        [(i - (nx[index] - 1) / 2) * px[index], (j - (ny[index] - 1) / 2) * py[index]], axis=-1
    )
    local += generator.normal(0, 1, local.shape) * shift
    return rotate(local, angle[index]) + centre[index], index, j


def clip(polygons, point, normal):
    """The part of each polygon on one side of a straight line.

    A ring that the line crosses twice is cut on coordinates, far faster; others by GEOS.

    Parameters
    ----------
    polygons : array of Polygon
        What to work on.
    point, normal : numpy.ndarray (n, 2)
        A point of each line, and the direction from it in which a polygon is kept.

    Returns
    -------
    numpy.ndarray
        Polygons or multipolygons, empty where nothing is left.
    """
    polygons = np.asarray(polygons, object)
    out = np.full(len(polygons), shapely.Polygon(), object)
    plain = (shapely.get_type_id(polygons) == 3) & (shapely.get_num_interior_rings(polygons) == 0)
    plain &= ~shapely.is_empty(polygons)
    at = np.flatnonzero(plain)
    xy, index = shapely.get_coordinates(polygons[at], return_index=True)
    side = ((xy - point[at][index]) * normal[at][index]).sum(1)
    edge = index[1:] == index[:-1]
    a = np.flatnonzero(edge)  # an edge starts at each coordinate but the last of its ring
    up = side[a] > 0
    cross = up != (side[a + 1] > 0)
    crossings = np.bincount(index[a][cross], minlength=len(at))
    keep = np.bincount(index[a][up], minlength=len(at))
    out[at[(crossings == 0) & (keep > 0)]] = polygons[at[(crossings == 0) & (keep > 0)]]
    two = crossings == 2
    use = two[index[a]]
    a, up, cross = a[use], up[use], cross[use]
    t = side[a] / np.where(cross, side[a] - side[a + 1], 1)
    hit = xy[a] + t[:, None] * (xy[a + 1] - xy[a])
    ring = np.stack([xy[a], hit], axis=1).reshape(-1, 2)
    chosen = np.stack([up, cross], axis=1).reshape(-1)
    owner = np.repeat(index[a], 2)[chosen]
    ring = ring[chosen]
    enough = np.bincount(owner, minlength=len(at)) >= 3
    ring, owner = ring[enough[owner]], owner[enough[owner]]
    if len(ring):
        names, group = np.unique(owner, return_inverse=True)
        out[at[names]] = shapely.polygons(shapely.linearrings(ring, indices=group))
    rest = np.concatenate([np.flatnonzero(~plain), at[crossings > 2]])
    if len(rest):
        n = len(rest)
        turn = np.arctan2(normal[rest, 1], normal[rest, 0])
        reach = 3e4
        far = point[rest] + normal[rest] * (reach / 2 / np.hypot(*normal[rest].T))[:, None]
        half = stamp(RECTANGLE, far, np.full(n, reach), np.full(n, 2 * reach), turn)
        out[rest] = shapely.intersection(polygons[rest], half)
    return out


def _halves(centre, length, width, angle, gap, bend, halves=True):
    """Two half planes either side of a (bent) line across each frame, and the line itself."""
    reach = 1.5 * (length + width)
    s = np.stack([-reach, -width / 2, -width / 4, 0 * width, width / 4, width / 2, reach], axis=1)
    bow = (bend * width)[:, None] * np.array([0, 0, 0.75, 1, 0.75, 0, 0])
    line = np.stack([bow, s], axis=-1)
    where = shapely.linestrings(rotate(line, angle[:, None]) + centre[:, None])
    if not halves:
        return None, None, where
    out = []
    for side in (-1, 1):
        near = line + np.stack([side * gap / 2, 0 * gap], axis=-1)[:, None]
        far = np.stack([np.stack([side * reach, sign * reach], -1) for sign in (1, -1)], axis=1)
        ring = np.concatenate([near, far], axis=1)
        out.append(shapely.polygons(rotate(ring, angle[:, None]) + centre[:, None]))
    return *out, where


def divide(cells, target, generator, street=None, blocks=None, jitter=0.07, skew=0.05, bend=0.0,
           angle=None, smallest=20.0, along=True):  # fmt: skip
    """Cut cells in two across their longer side until they are small enough.

    Recursive subdivision along oriented bounding boxes [1]_, with the place, direction and
    bow of each cut varied, and with streets laid along the cuts.

    Parameters
    ----------
    cells : array of Polygon
        What to cut.
    target : array_like
        Area below which a cell is left alone, square metres, for each cell.
    generator : numpy.random.Generator
        Source of randomness.
    street : callable, optional
        ``street(area, centre)`` gives the width of the gap that a cut through a cell of that
        area at that place opens in `blocks`.
    blocks : array of Polygon, optional
        What is left of each cell after the streets around it; the cell itself by default.
    jitter : float
        Standard deviation of the place of a cut, as a share of the length.
    skew : float
        Standard deviation of its direction, radians.
    bend : float or array_like
        Standard deviation of its bow, as a share of the width.
    angle : array of float, optional
        Direction of the cuts for each cell; NaN where the cell's own box decides.
    smallest : float
        Pieces below this area are dropped, square metres.
    along : bool
        Whether the centre lines of the cuts are wanted.

    Returns
    -------
    blocks : numpy.ndarray of Polygon
    root : numpy.ndarray of int
        The cell each came from.
    lines : numpy.ndarray of LineString
        Centre lines of the cuts, within the cell they cut.
    gaps : numpy.ndarray of float
        Width of the gap of each line.
    cells : numpy.ndarray of Polygon
        The cells without gaps, in the order of `blocks`.

    References
    ----------
    .. [1] Vanegas, C. A. et al. (2012). Procedural generation of parcels in urban modeling.
       Computer Graphics Forum 31, 681-690, section 4.2 (recursive OBB subdivision).
    """
    cells = np.asarray(cells, object)
    blocks = cells if blocks is None else np.asarray(blocks, object)
    root = np.arange(len(cells))
    target = np.broadcast_to(np.asarray(target, float), len(cells))
    bend = np.broadcast_to(np.asarray(bend, float), len(cells))
    angle = np.full(len(cells), np.nan) if angle is None else np.asarray(angle, float)
    done, lines, gaps = [], [np.empty(0, object)], [np.zeros(0)]
    for _ in range(24):
        area = shapely.area(cells)
        go = area > target[root] * generator.uniform(0.75, 1.7, len(root))
        done.append((blocks[~go], root[~go], cells[~go]))
        cells, blocks, root, area = cells[go], blocks[go], root[go], area[go]
        n = len(root)
        if n == 0:
            break
        centre, length, width, turn = frame(cells)
        fixed = ~np.isnan(angle[root])
        if fixed.any():
            c, ln, w, a = frame(cells[fixed], angle[root][fixed])
            swap = w > ln
            centre[fixed] = c
            length[fixed], width[fixed] = np.maximum(ln, w), np.minimum(ln, w)
            turn[fixed] = a + np.where(swap, np.pi / 2, 0)
        # Near-square cells may be cut either way; the box would always choose the same one.
        flip = (length < 1.25 * width) & (generator.random(n) < 0.5)
        length, width = np.where(flip, width, length), np.where(flip, length, width)
        turn = turn + np.where(flip, np.pi / 2, 0)
        shift = np.clip(generator.normal(0, jitter, n), -0.18, 0.18) * length
        centre = centre + np.stack([np.cos(turn), np.sin(turn)], -1) * shift[:, None]
        turn = turn + generator.normal(0, 1, n) * skew
        bow = generator.normal(0, 1, n) * bend[root]
        gap = np.zeros(n) if street is None else np.asarray(street(area, centre), float)
        straight = not bow.any()
        if not straight or (along and street is not None):
            left, right, line = _halves(centre, length, width, turn, 0 * gap, bow, not straight)
        if straight:
            normal = np.stack([np.cos(turn), np.sin(turn)], -1)
            pieces = [clip(cells, centre, -normal), clip(cells, centre, normal)]
        else:
            pieces = [shapely.intersection(cells, left), shapely.intersection(cells, right)]
        root2 = np.concatenate([root, root])
        if street is None:
            cells, origin = parts(np.concatenate(pieces), smallest)
            blocks, root = cells, root2[origin]
            continue
        if along:
            lines.append(shapely.intersection(line, cells))
            gaps.append(gap)
        if straight:
            step = normal * gap[:, None] / 2
            whole = [clip(blocks, centre - step, -normal), clip(blocks, centre + step, normal)]
        else:
            left, right, _ = _halves(centre, length, width, turn, gap, bow)
            whole = [shapely.intersection(blocks, left), shapely.intersection(blocks, right)]
        whole = np.concatenate(whole)
        cells, origin = parts(np.concatenate(pieces), smallest)
        # A cut can break a bent cell into more than two; each part keeps its own block.
        count = np.bincount(origin, minlength=len(whole))
        blocks = whole[origin]
        several = count[origin] > 1
        blocks[several] = shapely.intersection(blocks[several], cells[several])
        root = root2[origin]
    blocks = np.concatenate([d[0] for d in done])
    root, cells = np.concatenate([d[1] for d in done]), np.concatenate([d[2] for d in done])
    blocks, index = largest(blocks, smallest)
    line, gap = np.concatenate(lines), np.concatenate(gaps)
    line, index2 = shapely.get_parts(line, return_index=True)
    good = (shapely.get_type_id(line) == 1) & (shapely.length(line) > 1)
    return blocks, root[index], line[good], gap[index2][good], cells[index]
