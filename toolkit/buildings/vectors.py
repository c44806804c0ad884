"""How does a mask become footprints?"""

import warnings
from itertools import pairwise

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from pyproj import CRS
from rasterio.features import shapes
from scipy import ndimage

from toolkit import _checks
from toolkit.accuracy import IGNORE
from toolkit.buildings.layers import CARRIED, metres

_ALIKE = 0.75  # IoU below which a regularised outline is no longer the building that was found


def vectorise(
    probability_or_mask,
    threshold=0.5,
    minimum_area=10.0,
    simplify=None,
    regularise=True,
    minimum_hole=10.0,
    value=1,
    window=2048,
):
    """Turn the probability of "building", or a mask of buildings, into footprints.

    Pixels that touch by an edge belong to one building; by a corner, they do not. The raster is
    read window by window (a lazy one by its own chunks), and what a seam cuts is put together
    again: the result does not depend on the windows. Walls that two buildings share are not in a
    mask, so such buildings come out as one; splitting them is an edit.

    Parameters
    ----------
    probability_or_mask : xarray.DataArray
        Probabilities 0 to 1, dims (y, x), or (class, y, x) whose last class is "building"; or a
        class map (y, x) of integers or booleans. NaN, or 255 and the declared nodata of a class
        map, is no data and no building. May be dask-backed: it is never held as a whole.
    threshold : float
        Probability from which a pixel is building.
    minimum_area : float
        m2 of pixels below which a patch is dropped.
    simplify : float, optional
        Tolerance of the outline, m: what is removed lies closer than this to what stays
        (Douglas-Peucker). By default 1.25 pixels, which undoes the stairs of slanted walls; 0 keeps
        the stairs.
    regularise : bool
        Make corners right angles (or 45 degrees) in each building's main direction. Outlines that
        lose too much by it (IoU with the patch below 0.75) stay as they were.
    minimum_hole : float
        m2 below which a hole is filled.
    value : int
        Code of buildings in a class map.
    window : int
        Side of the windows in which a raster in memory is read, pixels.

    Returns
    -------
    geopandas.GeoDataFrame
        In the raster's CRS: geometry (Polygon, with holes), area (m2, of the polygon),
        probability (mean over the patch's pixels; NaN from a mask), regularised (bool). From west
        to east and south to north. ``attrs`` of the raster go along.

    Raises
    ------
    TypeError, ValueError
        No raster with a projected CRS; probabilities outside 0 to 1; no data anywhere; options out
        of range.

    Warns
    -----
    UserWarning
        There is no building: the table is empty.

    Notes
    -----
    Regularisation by the library ``buildingregulariser``, which turns every edge to the nearest
    allowed angle of the ring's main direction (a histogram of azimuths weighted by length) and
    joins neighbouring edges again. It treats one building at a time, so neighbours may overlap by
    less than the tolerance afterwards.

    Examples
    --------
    >>> import numpy as np, xarray as xr, rioxarray
    >>> mask = xr.DataArray(np.zeros((6, 8), "uint8"), dims=("y", "x"),
    ...                     coords={"y": np.arange(6)[::-1] + 0.5, "x": np.arange(8) + 0.5})
    >>> mask[1:5, 2:6] = 1
    >>> houses = vectorise(mask.rio.write_crs("EPSG:32648"))
    >>> houses.total_bounds.round(3).tolist(), float(houses["area"][0].round(3))
    ([2.0, 1.0, 6.0, 5.0], 16.0)
    """
    raster, is_mask = _band(probability_or_mask)
    unit = metres(CRS.from_user_input(raster.rio.crs), "probability_or_mask")
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold={threshold}: expected a probability above 0, up to 1")
    options = {"minimum_area": minimum_area, "minimum_hole": minimum_hole, "simplify": simplify}
    for name, number in options.items():
        if number is not None and not number >= 0:
            raise ValueError(f"{name}={number}: expected 0 or more")
    transform = raster.rio.transform(recalc=True)
    pixel = abs(transform.determinant) * unit**2
    decide = _mask_pixels(raster, value) if is_mask else _probable_pixels(threshold)
    patches, pixels, sums, seen = _patches(raster, decide, window, minimum_area / pixel)
    if not seen:
        raise ValueError(
            "probability_or_mask: no pixel holds data (all are NaN or nodata). In a class map 255 "
            "means no data; of a black and white image with 255 = building, pass image == 255."
        )
    table = _footprints(patches, transform, minimum_hole / unit**2)
    tolerance = (1.25 * np.sqrt(pixel) if simplify is None else simplify) / unit
    table = gpd.GeoDataFrame(geometry=shapely.simplify(table, tolerance), crs=raster.rio.crs)
    table["area"] = 0.0
    table["probability"] = np.nan if is_mask else sums / np.maximum(pixels, 1)
    table["regularised"] = False
    table.attrs = {k: raster.attrs[k] for k in CARRIED if k in raster.attrs}
    if table.empty:
        warnings.warn(
            f"no building: no patch of {minimum_area:g} m2 or more"
            + (f" has the value {value}" if is_mask else f" reaches a probability of {threshold}"),
            stacklevel=2,
        )
        return table
    if regularise:
        table = _regularised(table, tolerance or np.sqrt(pixel) / unit)
    table["area"] = table.area * unit**2
    return table


def _band(array):
    """The raster to read, dims (y, x), and whether it is a mask."""
    dims = getattr(array, "dims", ())
    if len(dims) == 3 and dims[0] in ("class", "band"):
        count = array.sizes[dims[0]]
        if count > 2 or (dims[0] == "band" and count > 1):
            raise ValueError(
                f"probability_or_mask: {count} layers along {dims[0]!r}; choose that of buildings, "
                f"for example .sel({{{dims[0]!r}: NAME}})"
            )
        array = array.isel({dims[0]: -1}, drop=True)
    _checks.raster(array, "probability_or_mask", ("y", "x"))
    return array, array.dtype.kind in "biu"


def _probable_pixels(threshold):
    def decide(values):
        known = ~np.isnan(values)
        low, high = (values[known].min(), values[known].max()) if known.any() else (0, 0)
        if low < 0 or high > 1:
            raise ValueError(
                f"probability_or_mask: values from {low:g} to {high:g} are no probabilities. "
                "Logits become ones in mapping.predict; of a map of numbers pass the condition, "
                "such as image > 20."
            )
        return values >= threshold, known, values

    return decide


def _mask_pixels(raster, value):
    nodata = {IGNORE, raster.rio.nodata} - {value, None}

    def decide(values):
        known = ~np.isin(values, list(nodata)) | (values.dtype.kind == "b")
        return values == value, known, np.ones(1)

    return decide


def _windows(raster, side):
    """Row and column edges of the windows in which the raster is read."""
    if raster.chunks is not None:
        return [np.cumsum([0, *chunks]) for chunks in raster.chunks]
    return [np.unique([*range(0, n, side), n]) for n in raster.shape]


def _patches(raster, decide, side, least):
    """Outlines in pixels of the patches of at least so many pixels, their counts and sums.

    Coordinates are whole numbers of pixels until all is joined, so that joining is exact.
    """
    rows, cols = _windows(raster, side)
    whole, cut, seen = [], [], 0
    for top, bottom in pairwise(rows):
        for left, right in pairwise(cols):
            values = raster.isel(y=slice(top, bottom), x=slice(left, right)).values
            inside, known, weight = decide(values)
            seen += int(known.sum())
            inside = inside & known
            if not inside.any():
                continue
            for patch in _outlines(inside, weight, top, left):
                x0, y0, x1, y1 = patch[0].bounds
                at_seam = (x0 == left > 0) or (y0 == top > 0)
                at_seam |= (x1 == right < cols[-1]) or (y1 == bottom < rows[-1])
                if at_seam:
                    cut.append(patch)
                elif patch[1] >= least:
                    whole.append(patch)
    whole += [patch for patch in _joined(cut) if patch[1] >= least]
    if not whole:
        return np.array([], dtype=object), np.array([]), np.array([]), seen
    geometry, pixels, sums = zip(*whole, strict=True)
    # One form for one shape, however it was cut: the first corner of a ring is its lowest left.
    geometry = shapely.simplify(shapely.normalize(np.array(geometry, dtype=object)), 0)
    geometry = shapely.normalize(geometry)
    order = np.lexsort(shapely.bounds(geometry)[:, ::-1].T)
    return geometry[order], np.array(pixels)[order], np.array(sums)[order], seen


def _outlines(inside, weight, top, left):
    """Polygon, pixels and sum of weights of each patch of one window."""
    labels, count = ndimage.label(inside)
    number = np.arange(count + 1)
    pixels = np.bincount(labels.ravel(), minlength=count + 1)
    weight = np.broadcast_to(weight, inside.shape)
    sums = ndimage.sum_labels(weight, labels, number)
    found = shapes(labels.astype("int32"), mask=inside, connectivity=4)
    for polygon, label in found:
        rings = [np.add(ring, (left, top)) for ring in polygon["coordinates"]]
        shape = shapely.Polygon(rings[0], rings[1:])
        if not shape.is_valid:  # a ring that meets itself in a corner
            shape = shapely.make_valid(shape, method="structure")
        yield shape, int(pixels[int(label)]), float(sums[int(label)])


def _joined(cut):
    """Put together the pieces that seams cut, where they share an edge."""
    if not cut:
        return []
    geometry, pixels, sums = zip(*cut, strict=True)
    parts = shapely.get_parts(shapely.union_all(np.array(geometry, dtype=object)))
    inner = shapely.point_on_surface(np.array(geometry, dtype=object))
    piece, part = shapely.STRtree(parts).query(inner, predicate="within")
    table = pd.DataFrame({"part": part, "n": np.array(pixels)[piece], "s": np.array(sums)[piece]})
    table = table.groupby("part").sum()
    return [(parts[i], int(row.n), float(row.s)) for i, row in table.iterrows()]


def _footprints(patches, transform, least_hole):
    """Bring outlines in pixels to the ground and fill small holes."""

    def place(xy):
        x, y = xy.T
        return np.column_stack(
            [
                transform.a * x + transform.b * y + transform.c,
                transform.d * x + transform.e * y + transform.f,
            ]
        )

    placed = shapely.transform(patches, place)
    for i in np.flatnonzero(shapely.get_num_interior_rings(placed)):
        holes = [r for r in placed[i].interiors if shapely.Polygon(r).area >= least_hole]
        placed[i] = shapely.Polygon(placed[i].exterior, holes)
    return placed


def _regularised(table, tolerance):
    """Right angles, where the outline stays that of the same building."""
    from buildingregulariser import regularize_geodataframe

    numbered = gpd.GeoDataFrame({"row": np.arange(len(table))}, geometry=table.geometry.to_numpy())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what fails keeps its outline, and the column says so
        made = regularize_geodataframe(
            numbered,
            parallel_threshold=2 * tolerance,
            simplify=False,
            simplify_tolerance=tolerance,
            allow_circles=False,
            num_cores=1,
        )
    made = made[made.geom_type == "Polygon"]
    made = made.iloc[np.argsort(-made.area.to_numpy(), kind="stable")].drop_duplicates("row")
    old = table.geometry.to_numpy()
    rows, new = made["row"].to_numpy(), shapely.make_valid(made.geometry.to_numpy())
    common = shapely.area(shapely.intersection(new, old[rows]))
    iou = common / (shapely.area(new) + shapely.area(old[rows]) - common)
    good = (iou >= _ALIKE) & (shapely.get_type_id(new) == 3)
    geometry = old.copy()
    geometry[rows[good]] = new[good]
    table = table.set_geometry(gpd.GeoSeries(geometry, index=table.index, crs=table.crs))
    table.loc[table.index[rows[good]], "regularised"] = True
    return table
