"""What do roofs look like? Objects inside the building mask, and their features."""

import warnings

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from rasterio.features import rasterize, shapes
from scipy import ndimage
from skimage.feature import graycomatrix, graycoprops
from skimage.segmentation import felzenszwalb, slic

from toolkit import _checks
from toolkit.buildings.layers import CARRIED, footprints, metres

TEXTURES = ("contrast", "dissimilarity", "homogeneity", "energy", "correlation")
SEGMENTATIONS = ("felzenszwalb", "slic", None)
_NAMES = {"red": {"red", "r", "b4", "b04", "band 3"}, "nir": {"nir", "n", "b8", "b08", "nir1"}}
_LEVELS = 32  # grey levels of the co-occurrence matrix


def roof_features(
    image,
    buildings,
    segmentation="felzenszwalb",
    scale=95.0,
    minimum_pixels=20,
    red=None,
    nir=None,
):
    """Cut roofs into homogeneous objects, and measure their colour, texture and shape.

    Parameters
    ----------
    image : xarray.DataArray
        Dims (band, y, x), NaN where there is no data, in the CRS of the buildings.
    buildings : geopandas.GeoDataFrame
        Footprints: the mask, and what the shape is measured of.
    segmentation : {"felzenszwalb", "slic", None}
        How a roof is cut; None takes it as one object.
    scale : float
        Larger makes larger objects: felzenszwalb's ``scale`` on bands stretched to 0-1 (2nd to
        98th percentile inside the buildings), or the m2 of a slic superpixel. The paper's 90 to
        100 belongs to another program and another algorithm; the number is the same, no more.
    minimum_pixels : int
        Smaller objects join the largest of their building; buildings with fewer pixels of data are
        left out and counted.
    red, nir : str, optional
        Bands of the NDVI; found by their usual names where left out.

    Returns
    -------
    geopandas.GeoDataFrame
        A row for each object: geometry (its pixels), ``building`` (label of its building),
        ``pixels``, ``area`` (m2) and the features. Colour: ``mean_<band>`` and ``std_<band>``
        (units of the image), ``brightness`` (mean of the means), ``ndvi`` where red and infrared
        exist, ``difference`` (brightness less that of the building). Texture of the brightness:
        ``glcm_contrast``, ``_dissimilarity``, ``_homogeneity``, ``_energy``, ``_correlation``.
        Shape of the building: ``compactness`` (4 pi area / perimeter^2), ``rectangularity`` (area /
        area of the smallest rectangle), ``elongation`` (its short side / its long one),
        ``convexity`` (area / area of the hull), ``roof_area`` (m2). Object in its building:
        ``share`` of its area, ``objects`` in it, and ``facets`` (range of their brightness).
        ``attrs["features"]`` lists the features, ``attrs["left_out"]`` counts the buildings without
        an object.

    Raises
    ------
    TypeError, ValueError
        Another CRS, no data under the buildings, no buildings, options out of range.

    Warns
    -----
    UserWarning
        Some buildings have too few pixels with data.

    Notes
    -----
    Segmentation: Felzenszwalb & Huttenlocher (2004), IJCV 59:167-181, or SLIC, Achanta et al.
    (2012), IEEE TPAMI 34:2274-2282, both of scikit-image. Each roof is cut by itself, so its
    objects do not depend on what else is in the image.
    Texture: Haralick, Shanmugam & Dinstein (1973), IEEE SMC 3:610-621: co-occurrence of 32 grey
    levels at a distance of 1 pixel, mean of four directions, pairs within the object only.
    Shape: compactness Polsby & Popper (1991); rectangularity and elongation (Gil et al. 2012) as
    momepy has them.

    Examples
    --------
    >>> features = roof_features(image, footprints)        # doctest: +SKIP
    >>> features.groupby("building")["area"].sum()         # doctest: +SKIP
    """
    _checks.raster(image, "image")
    footprints(buildings, like=image)
    unit = metres(buildings.crs)
    _checks.choice(segmentation, SEGMENTATIONS, "segmentation")
    if buildings.empty:
        raise ValueError("buildings: the layer is empty, there is no roof to look at")
    if not scale > 0 or minimum_pixels < 1:
        raise ValueError(f"scale={scale}, minimum_pixels={minimum_pixels}: expected more than 0")
    bands = [str(b) for b in image["band"].values]
    pair = [_band(bands, name, given) for name, given in (("red", red), ("nir", nir))]
    values = np.asarray(image.values, np.float32)
    nodata = image.rio.nodata
    if nodata is not None and not np.isnan(nodata):
        values = np.where(values == nodata, np.nan, values)
    transform = image.rio.transform(recalc=True)
    number = np.zeros(values.shape[1:], "int32")
    order = zip(buildings.geometry, range(1, len(buildings) + 1), strict=True)
    rasterize(list(order), out=number, transform=transform)
    number[~np.isfinite(values).all(axis=0)] = 0
    if not number.any():
        raise ValueError(
            "image: it holds no data under the buildings. Do they lie elsewhere "
            f"(image {tuple(round(v) for v in image.rio.bounds())}, buildings "
            f"{tuple(round(v) for v in buildings.total_bounds)}), or are the bands all NaN there?"
        )
    inside = values[:, number > 0]
    low, high = np.percentile(inside, (2, 98), axis=1)[..., None, None]
    span = np.where(high > low, high - low, 1)
    pixel = abs(transform.determinant) * unit**2
    rows = []
    for k, where in enumerate(ndimage.find_objects(number, max_label=len(buildings))):
        if where is None:
            continue
        mine = number[where] == k + 1
        if mine.sum() < minimum_pixels:
            continue
        colours = values[(slice(None), *where)]
        stretched = np.nan_to_num(((colours - low) / span).clip(0, 1))
        labels = _segments(stretched, mine, segmentation, scale, pixel, minimum_pixels)
        found = _measured(colours, stretched.mean(axis=0), labels, bands, pair)
        shift = transform @ transform.translation(where[1].start, where[0].start)
        outlines = _polygons(labels, shift)
        for label, row in found.items():
            rows.append({"building": buildings.index[k], "geometry": outlines[label], **row})
    left_out = len(buildings) - len({row["building"] for row in rows})
    if not rows:
        raise ValueError(f"no building has {minimum_pixels} pixels of data; use a finer image")
    if left_out:
        warnings.warn(
            f"{left_out} of {len(buildings)} buildings have fewer than {minimum_pixels} pixels "
            "with data and get no object: their roof stays unknown",
            stacklevel=2,
        )
    table = gpd.GeoDataFrame(pd.DataFrame(rows), crs=buildings.crs)
    table["area"] = table["pixels"] * pixel
    table["share"] = table["pixels"] / table.groupby("building")["pixels"].transform("sum")
    table = table.join(roof_shape(buildings), on="building")
    table.attrs = {k: image.attrs[k] for k in CARRIED if k in image.attrs} | {
        "features": [c for c in table if c not in ("building", "geometry", "pixels")],
        "left_out": left_out,
    }
    return table


def roof_shape(buildings):
    """Measure the shape of footprints.

    Parameters
    ----------
    buildings : geopandas.GeoDataFrame
        Footprints in a projected CRS.

    Returns
    -------
    pandas.DataFrame
        ``compactness``, ``rectangularity``, ``elongation``, ``convexity`` (0 to 1) and
        ``roof_area`` (m2); see `roof_features`.

    Examples
    --------
    >>> from shapely import box
    >>> houses = gpd.GeoDataFrame(geometry=[box(0, 0, 20, 10)], crs="EPSG:32648")
    >>> roof_shape(houses).round(3).values.tolist()
    [[0.698, 1.0, 0.5, 1.0, 200.0]]
    """
    geometry = buildings.geometry.to_numpy()
    area = shapely.area(geometry)
    around = shapely.minimum_rotated_rectangle(geometry)
    corners = [shapely.get_coordinates(each)[:3] for each in around]
    sides = np.array([np.hypot(*np.diff(c, axis=0).T) for c in corners]).reshape(-1, 2)
    return pd.DataFrame(
        {
            "compactness": 4 * np.pi * area / shapely.length(geometry) ** 2,
            "rectangularity": area / shapely.area(around),
            "elongation": sides.min(axis=1) / sides.max(axis=1),
            "convexity": area / shapely.area(shapely.convex_hull(geometry)),
            "roof_area": area * metres(buildings.crs) ** 2,
        },
        index=buildings.index,
    )


def _band(bands, name, given):
    """Position of the red or infrared band; None where there is none."""
    if given is not None:
        if given not in bands:
            raise ValueError(f"{name}={given!r}: the image has the bands {', '.join(bands)}")
        return bands.index(given)
    return next((i for i, band in enumerate(bands) if band.lower() in _NAMES[name]), None)


def _segments(stretched, mine, segmentation, scale, pixel, minimum_pixels):
    """Label the objects of one building 1, 2, ...; 0 outside of it."""
    if segmentation is None:
        return mine.astype("int32")
    if segmentation == "felzenszwalb":
        # Beyond the walls the roof goes on, so that the street has no say. No smoothing: it would
        # make an object of its own of the mixed row between two facets.
        near = ndimage.distance_transform_edt(~mine, return_distances=False, return_indices=True)
        roof = stretched[:, *near].transpose(1, 2, 0)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Got image with third dimension")
            labels = felzenszwalb(roof, scale, sigma=0, min_size=minimum_pixels, channel_axis=-1)
    else:
        count = max(1, round(mine.sum() * pixel / scale))
        labels = slic(stretched, n_segments=count, mask=mine, channel_axis=0, start_label=1)
    labels = np.where(mine, labels + 1, 0)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    small = np.flatnonzero((sizes > 0) & (sizes < minimum_pixels))
    labels[np.isin(labels, small)] = sizes.argmax()
    found = np.unique(labels[labels > 0])
    return np.where(mine, np.searchsorted(found, labels) + 1, 0).astype("int32")


def _measured(colours, grey, labels, bands, pair):
    """``{label: features}`` of the objects of one building."""
    out = {}
    for label in range(1, labels.max() + 1):
        where = labels == label
        pixels = colours[:, where].astype(float)
        mean, std = pixels.mean(axis=1), pixels.std(axis=1)
        row = {"pixels": int(where.sum())}
        row |= {f"mean_{b}": m for b, m in zip(bands, mean, strict=True)}
        row |= {f"std_{b}": s for b, s in zip(bands, std, strict=True)}
        row["brightness"] = mean.mean()
        if None not in pair:
            red, nir = mean[pair]
            row["ndvi"] = (nir - red) / (nir + red) if nir + red else np.nan
        out[label] = row | _texture(grey, where)
    total = sum(row["pixels"] for row in out.values())
    whole = sum(row["pixels"] * row["brightness"] for row in out.values()) / total
    bright = [row["brightness"] for row in out.values()]
    for row in out.values():
        row["difference"] = row["brightness"] - whole
        row["objects"] = len(out)
        row["facets"] = max(bright) - min(bright)
    return out


def _texture(grey, where):
    """Haralick's features of the pixels of one object, from pairs that lie in it both."""
    rows, cols = np.flatnonzero(where.any(axis=1)), np.flatnonzero(where.any(axis=0))
    cut = slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1)
    level = np.where(where[cut], 1 + np.minimum(grey[cut] * _LEVELS, _LEVELS - 1).astype(int), 0)
    angles = [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]
    counts = graycomatrix(level.astype("uint8"), [1], angles, levels=_LEVELS + 1, symmetric=True)
    counts = counts[1:, 1:].astype(float)  # without pairs that reach out of the object
    # Directions weigh as many pairs as they have, so that a roof one pixel wide has a texture.
    counts = counts.sum(axis=3, keepdims=True)
    if not counts.any():
        return {f"glcm_{name}": np.nan for name in TEXTURES}
    return {f"glcm_{name}": float(graycoprops(counts, name)[0, 0]) for name in TEXTURES}


def _polygons(labels, transform):
    """``{label: polygon}`` of the objects of one building, in the CRS of the image."""
    pieces = {}
    for polygon, label in shapes(labels, mask=labels > 0, connectivity=4, transform=transform):
        rings = polygon["coordinates"]
        pieces.setdefault(int(label), []).append(shapely.Polygon(rings[0], rings[1:]))
    return {
        label: each[0] if len(each) == 1 else shapely.make_valid(shapely.MultiPolygon(each))
        for label, each in pieces.items()
    }
