"""Where do reference labels come from?

Urban land has an agreed statistical definition, the Degree of Urbanisation, which needs nothing but
a population grid. It gives labels that the night lights had no part in.
"""

import numpy as np
import xarray as xr
from scipy import ndimage

from toolkit import _checks

CLASSES = [
    {"value": 0, "name": "rural", "color": "#f0e442"},
    {"value": 1, "name": "urban cluster", "color": "#e69f00"},
    {"value": 2, "name": "urban centre", "color": "#d55e00"},
]
NODATA = 255

_CITATION = (
    "European Commission, FAO, UN-Habitat, OECD & World Bank (2021). Applying the Degree of "
    "Urbanisation: a methodological manual to define cities, towns and rural areas for "
    "international comparisons. Publications Office of the European Union. "
    "https://doi.org/10.2785/706535"
)
# How PROJ names the methods that keep areas.
_EQUAL_AREA = (
    "equal area",
    "mollweide",
    "sinusoidal",
    "equal earth",
    "albers",
    "eckert iv",
    "goode",
)
_FOUR = ndimage.generate_binary_structure(2, 1)
_EIGHT = ndimage.generate_binary_structure(2, 2)


def kilometre_grid(population):
    """Sum a population grid to cells of 1 km, in blocks counted from the upper-left corner.

    Parameters
    ----------
    population : xarray.DataArray
        People per cell, dims (y, x) or (band, y, x) with one band, in an equal-area CRS in metres
        whose pixel size divides 1000 m (within 1 %: 249.9 m passes as 250 m). NaN is nodata.

    Returns
    -------
    xarray.DataArray
        People per cell of 1 km, dims (y, x), float64. A block counts the cells that hold data; it
        is NaN where none does. Blocks that the lower or right rim cuts are kept.

    Raises
    ------
    ValueError
        The CRS is not equal-area or not in metres, the pixel size does not divide 1000 m, or
        there are negative numbers of people.

    Examples
    --------
    >>> import numpy as np, xarray as xr, rioxarray
    >>> from rasterio.transform import from_origin
    >>> people = xr.DataArray(np.ones((8, 8)), dims=("y", "x"))
    >>> people = people.rio.write_crs("EPSG:3035").rio.write_transform(
    ...     from_origin(4_000_000, 3_000_000, 250, 250))
    >>> from toolkit import labels
    >>> labels.kilometre_grid(people).values
    array([[16., 16.],
           [16., 16.]])
    """
    if isinstance(population, xr.DataArray) and population.dims == ("band", "y", "x"):
        if population.sizes["band"] != 1:
            raise ValueError(
                f"population: expected one band, got {population.sizes['band']}; choose one with "
                ".sel(band=...)"
            )
        population = population.isel(band=0, drop=True)
    population = _checks.raster(population, "population", ("y", "x"))
    transform = population.rio.transform(recalc="x" in population.coords)
    factors = _factors(population.rio.crs, transform)
    if bool((population < 0).any()):
        raise ValueError(
            "population: there are negative numbers of people. Is a nodata value such as -200 "
            "still in the grid? Mask it first: population.where(population >= 0)"
        )
    rows, columns = factors
    blocks = population.astype("float64").coarsen(y=rows, x=columns, boundary="pad")
    # A block without any data is nodata, not a place where nobody lives.
    total = blocks.sum().where(blocks.count() > 0).drop_vars(["x", "y"], errors="ignore")
    coarse = transform @ transform.scale(columns, rows)
    total = total.assign_coords(
        y=coarse.f + coarse.e * (np.arange(total.sizes["y"]) + 0.5),
        x=coarse.c + coarse.a * (np.arange(total.sizes["x"]) + 0.5),
    )
    total.attrs = {**population.attrs, "long_name": "population", "units": "people per cell"}
    total.attrs.pop("_FillValue", None)
    total.encoding = {}
    return total.rio.write_crs(population.rio.crs).rio.write_transform(coarse)


def _factors(crs, transform):
    """Cells per kilometre in y and x, or an error that says what to change."""
    from pyproj import CRS

    projection = CRS.from_user_input(crs)
    method = projection.coordinate_operation.method_name if projection.is_projected else ""
    metres = projection.is_projected and all(
        axis.unit_conversion_factor == 1 for axis in projection.axis_info
    )
    if not metres or not any(name in method.lower() for name in _EQUAL_AREA):
        raise ValueError(
            f"population: the CRS is {projection.name}, but people per square kilometre need an "
            "equal-area CRS in metres (such as ESRI:54009 or EPSG:3035). Take the grid in one; if "
            "there is none, reproject with resampling by sum, which keeps the people: "
            "population.rio.reproject('ESRI:54009', resolution=250, "
            "resampling=rasterio.enums.Resampling.sum)"
        )
    if transform.b or transform.d:
        raise ValueError("population: the grid is rotated; warp it to a north-up grid first")
    factors = []
    for size in (abs(transform.e), abs(transform.a)):
        factor = max(round(1000 / size), 1)
        if abs(factor * size - 1000) > 10:
            raise ValueError(
                f"population: cells of {size:g} m do not divide 1000 m; the rule is one for cells "
                "of 1 km. Take a grid of 100, 250, 500 or 1000 m."
            )
        factors.append(factor)
    return factors


def degree_of_urbanisation(
    population,
    centre_density=1500,
    centre_people=50_000,
    cluster_density=300,
    cluster_people=5_000,
    smooth=False,
):
    """Turn a population grid into urban centres, urban clusters and rural cells.

    The Degree of Urbanisation (Eurostat; endorsed by the UN Statistical Commission in 2020), level
    1, on cells of 1 km. An urban centre is a group of cells of at least 1,500 people per km2,
    contiguous over their edges (4 neighbours), with at least 50,000 people together. An urban
    cluster is a group of cells of at least 300 people per km2, contiguous over edges and corners (8
    neighbours), with at least 5,000 people. Every centre lies in a cluster; it carries the higher
    class.

    Parameters
    ----------
    population : xarray.DataArray
        People per cell; see `kilometre_grid`, which sums it to 1 km.
    centre_density, cluster_density : float
        People per km2 that a cell needs.
    centre_people, cluster_people : float
        People that a group needs.
    smooth : bool
        The manual also generalises urban centres: gaps below 15 km2 are filled, and a cell of
        whose 8 neighbours at least 5 belong to one centre joins it, repeated until nothing
        changes. False (the default) leaves the plain rule, whose cells all have the density that
        defines them.

    Returns
    -------
    xarray.DataArray
        Classes 0 rural, 1 urban cluster (outside centres), 2 urban centre; dims (y, x), uint8,
        nodata 255 where the population is unknown, on the 1 km grid. Urban of either kind is
        ``classes >= 1`` where it is not 255. Bring it onto an image's grid with chips.align.

    Raises
    ------
    ValueError
        See `kilometre_grid`; also thresholds that make a cluster denser than a centre.

    References
    ----------
    European Commission et al. (2021), chapter 7. https://doi.org/10.2785/706535

    Examples
    --------
    >>> from toolkit import catalog, labels
    >>> classes = labels.degree_of_urbanisation(catalog.open("burundi/population"))
    >>> int((classes == 2).sum()), int(((classes >= 1) & (classes < 255)).sum())
    (366, 3178)
    """
    if not 0 < cluster_density <= centre_density:
        raise ValueError(
            f"the density of clusters ({cluster_density}) must be positive and at most that of "
            f"centres ({centre_density}): every centre lies in a cluster"
        )
    people = kilometre_grid(population)
    transform = people.rio.transform()
    counted = people.fillna(0).values
    density = counted / (abs(transform.a * transform.e) / 1e6)

    clusters = _groups(density >= cluster_density, counted, cluster_people, _EIGHT)
    centres = _groups(density >= centre_density, counted, centre_people, _FOUR)
    if smooth:
        cell = abs(transform.a * transform.e) / 1e6
        centres = _generalise(centres, people.notnull().values, largest_gap=15 / cell)

    classes = np.zeros(counted.shape, "uint8")
    classes[clusters > 0] = 1
    classes[centres > 0] = 2
    classes[people.isnull().values] = NODATA

    result = people.copy(data=classes)
    kept = ("date", "licence", "sensor", "source", "simulated")
    result.attrs = {
        **{name: population.attrs[name] for name in kept if name in population.attrs},
        "title": "Degree of urbanisation",
        "long_name": "degree of urbanisation",
        "units": "class",
        "classes": [dict(each) for each in CLASSES],
        "citation": "; ".join(filter(None, [_CITATION, population.attrs.get("citation")])),
        "rule": (
            f"urban centre: >= {centre_density} people/km2 and >= {centre_people} people; "
            f"urban cluster: >= {cluster_density} people/km2 and >= {cluster_people} people; "
            + ("centres filled and smoothed" if smooth else "no gap filling, no smoothing")
        ),
    }
    return result.rename("degree_of_urbanisation").rio.write_nodata(NODATA)


def outlines(label, values, corners=False):
    """Draw the outlines of connected patches of some classes.

    Parameters
    ----------
    label : xarray.DataArray
        Class codes, dims (y, x).
    values : sequence of int
        The codes that count as inside; pixels that touch by an edge belong together.
    corners : bool
        Pixels that touch by a corner belong together too, as in urban clusters.

    Returns
    -------
    geopandas.GeoDataFrame
        One polygon a patch, largest first: geometry, pixels, area_km2 (in a projected CRS).

    Raises
    ------
    ValueError
        No CRS, or no pixel of these classes.

    Examples
    --------
    >>> outlines(degree, [2]).head(3)  # doctest: +SKIP
    """
    import geopandas as gpd
    from rasterio.features import shapes
    from shapely.geometry import shape

    _checks.raster(label, "label", ("y", "x"))
    inside = np.isin(label.values, list(values))
    if not inside.any():
        raise ValueError(f"no pixel of the label has one of the codes {list(values)}")
    patches, _ = ndimage.label(inside, _EIGHT if corners else _FOUR)
    found = shapes(
        patches.astype("int32"),
        mask=inside,
        connectivity=8 if corners else 4,
        transform=label.rio.transform(),
    )
    geometry = [shape(polygon) for polygon, _ in found]
    table = gpd.GeoDataFrame(geometry=geometry, crs=label.rio.crs)
    table["pixels"] = np.round(table.area / abs(label.rio.transform().determinant)).astype(int)
    if table.crs.is_projected:
        table["area_km2"] = table.area * table.crs.axis_info[0].unit_conversion_factor ** 2 / 1e6
    carried = ("title", "source", "simulated", "citation")
    table.attrs = {name: label.attrs[name] for name in carried if name in label.attrs}
    return table.sort_values("pixels", ascending=False, ignore_index=True)


def _groups(dense, people, least, neighbours):
    """Number the contiguous groups of dense cells that have enough people; 0 elsewhere."""
    groups, count = ndimage.label(dense, neighbours)
    total = ndimage.sum_labels(people, groups, np.arange(count + 1))
    total[0] = -np.inf  # the background is no group, however many people live there
    return np.where((total >= least)[groups], groups, 0)


def _generalise(centres, known, largest_gap):
    """Fill gaps below `largest_gap` cells and smooth the edges, one centre at a time."""
    result = centres.copy()
    kernel = np.ones((3, 3), "uint8")
    kernel[1, 1] = 0
    for number in np.unique(centres[centres > 0]):
        one = result == number
        free = known & ((result == 0) | one)
        while True:
            neighbours = ndimage.convolve(one.astype("uint8"), kernel, mode="constant")
            grown = one | (free & (neighbours >= 5))
            holes, count = ndimage.label(ndimage.binary_fill_holes(grown) & ~grown, _FOUR)
            sizes = ndimage.sum_labels(np.ones_like(holes), holes, np.arange(count + 1))
            sizes[0] = np.inf
            grown |= free & (sizes < largest_gap)[holes]
            if (grown == one).all():
                break
            one = grown
        result[one] = number
    return result
