"""What do four maps of one city answer? Area, gradient, edge, districts, and what each loses."""

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
import xarray as xr
from rasterio.features import rasterize
from scipy import ndimage
from sklearn.neighbors import KDTree

from toolkit import accuracy, chips, labels
from toolkit.experiments.comparisons import one_city as places

FINE = 4.0
"""Metres of the cells on which small things are looked up."""

TIGHT, WIDE = 20.0, 100.0
"""Metres to the nearest house: open ground nearer than the first is a court or a yard, beyond the
second it is open land."""


def area(place, found, spacing=400, confidence=0.95, seed=0):
    """Estimate the built-up area from a map and check points, as its own definition has it.

    Parameters
    ----------
    place : City
        From `toolkit.experiments.comparisons.city`.
    found : dict of str to xarray.DataArray
        From `toolkit.experiments.comparisons.mapped`.
    spacing : float
        Metres between check points, whose reference is the truth; a systematic sample. At least a
        cell of the map, or one cell would count twice.
    confidence : float
        Of the intervals.
    seed : int
        Of where the grid of points starts.

    Returns
    -------
    pandas.DataFrame
        By method, km2: mapped, estimate, low, high (Olofsson et al. 2014, see
        `toolkit.accuracy.area_adjusted`), true, holds (whether the truth lies in the interval);
        and points. NaN estimates where a class has fewer than two points.
    """
    rows = {}
    for method, each in found.items():
        truth = place.truth[method]
        cell = abs(truth.rio.resolution()[0])
        points = accuracy.grid_points(each, max(spacing, cell), seed=seed)
        at = {"x": xr.DataArray(points.geometry.x), "y": xr.DataArray(points.geometry.y)}
        points["reference"] = truth.sel(at, method="nearest").to_numpy()
        known = points[points["reference"] != chips.IGNORE]
        matrix = accuracy.confusion(known["reference"], known["mapped"], places.BUILT)
        mapped = [float((each == code).sum()) * cell**2 / 1e6 for code in (0, 1)]
        row = {
            "mapped": mapped[1], "estimate": np.nan, "low": np.nan, "high": np.nan,
            "true": float((truth == 1).sum()) * cell**2 / 1e6, "points": len(known),
        }  # fmt: skip
        if (known["mapped"].value_counts().reindex([0, 1], fill_value=0) >= 2).all():
            built = accuracy.area_adjusted(matrix, mapped, confidence).table["area"].iloc[1]
            row |= {name: float(built[name]) for name in ("estimate", "low", "high")}
        rows[method] = row | {"holds": bool(row["low"] <= row["true"] <= row["high"])}
    return pd.DataFrame(rows).T.infer_objects().rename_axis("method")


def gradient(place, built, step=500, within=None):
    """Built-up share by distance from the centre.

    Parameters
    ----------
    place : City
        Gives grid and centre.
    built : dict of str to xarray.DataArray
        (y, x) shares on the grid, from `toolkit.experiments.comparisons.shares`.
    step : float
        Width of a ring, metres.
    within : xarray.DataArray, optional
        (y, x), bool: where to look; everywhere by default.

    Returns
    -------
    pandas.DataFrame
        By km (middle of the ring): a column for each map, share of 1; rings up to 6 km.
    """
    ring = (_away(place).values // step).astype(int)
    look = ring < 6000 // step
    if within is not None:
        look &= within.values
    km = (ring[look] + 0.5) * step / 1000
    data = {name: pd.Series(each.values[look]).groupby(km).mean() for name, each in built.items()}
    return pd.DataFrame(data).rename_axis("km")


def _away(place):
    """Distance of each cell of the grid from the centre, metres: (y, x)."""
    away = np.hypot(place.grid.x - place.centre.x, place.grid.y - place.centre.y)
    return away.transpose("y", "x")


def half(profile):
    """Where a gradient has fallen to half of what it is in the middle: km, for each column.

    The middle is the mean of the first kilometre. Between rings the line is straight; a map that
    never falls so far gets NaN, and so does one that sees nothing in the middle.
    """
    out = {}
    for name, line in profile.items():
        middle = line[line.index < 1].mean()
        below = line.index[(line < middle / 2) & (line.index > 1)]
        if not middle > 0 or below.empty:
            out[name] = np.nan
            continue
        after = line.index.get_loc(below[0])
        pair = line.iloc[after - 1 : after + 1]
        out[name] = float(np.interp(-middle / 2, -pair.to_numpy(), pair.index.to_numpy()))
    return pd.Series(out, name="half, km")


def edge(place, share, reach=500):
    """Draw the edge of the city: where the share around a point is half of that in the middle.

    Parameters
    ----------
    place : City
        Gives grid and centre.
    share : xarray.DataArray
        (y, x) built-up share on the grid, NaN where unknown.
    reach : float
        Side of the square that is averaged around each cell, metres.

    Returns
    -------
    geopandas.GeoDataFrame
        One polygon around the centre with km2; holes are filled. None at all where the map sees
        nothing in the middle.
    """
    step = abs(place.grid.rio.resolution()[0])
    known = share.notnull().values.astype(float)
    around, seen = (
        ndimage.uniform_filter(each, round(reach / step))
        for each in (share.fillna(0).values.astype(float), known)
    )
    around = around / np.maximum(seen, 1e-9)
    middle = float(share.where(_away(place) < 1000).mean())
    inside, _ = ndimage.label(around >= middle / 2)
    row = int((place.grid.y.values[0] - place.centre.y) / step)
    col = int((place.centre.x - place.grid.x.values[0]) / step)
    number = inside[row, col]
    if not middle > 0 or not number:
        return gpd.GeoDataFrame({"km2": []}, geometry=[], crs=place.grid.rio.crs)
    mask = ndimage.binary_fill_holes(inside == number)
    city = place.grid.copy(data=mask.astype(np.uint8))
    shape = labels.outlines(city, [1]).geometry.union_all()
    return gpd.GeoDataFrame({"km2": [mask.sum() * step**2 / 1e6]}, geometry=[shape],
                            crs=place.grid.rio.crs)  # fmt: skip


def apart(one, other, step=50.0):
    """How far two edges lie apart: median distance of points every `step` metres, both ways, m."""
    if one.empty or other.empty:
        return np.nan
    lines = [each.geometry.iloc[0].boundary for each in (one, other)]
    points = [
        shapely.get_coordinates(shapely.segmentize(line, step)) for line in lines
    ]  # fmt: skip
    both = [KDTree(a).query(b)[0].ravel() for a, b in (points, points[::-1])]
    return float(np.median(np.concatenate(both)))


def by_district(place, built, within=None):
    """Built-up share of each district.

    Parameters
    ----------
    place, built, within
        As in `gradient`.

    Returns
    -------
    pandas.DataFrame
        By name of the district: a column for each map, share of 1, and cells (that were looked
        at).
    """
    table = place.districts
    codes = rasterize(
        zip(table.geometry, range(1, len(table) + 1), strict=True),
        place.grid.shape,
        transform=place.grid.rio.transform(recalc=True),
    )
    look = codes > 0
    if within is not None:
        look &= within.values
    names = table["name"].to_numpy()[codes[look] - 1]
    data = {
        name: pd.Series(each.values[look]).groupby(names).mean() for name, each in built.items()
    }
    out = pd.DataFrame(data).rename_axis("district")
    return out.assign(cells=pd.Series(names).value_counts())


def things(place):
    """Where small things lie in the strip that all four methods have mapped.

    Parameters
    ----------
    place : City
        From `toolkit.experiments.comparisons.city`.

    Returns
    -------
    dict of str to numpy.ndarray
        Masks (y, x), bool, in cells of 4 m: kinds of roads, kinds of houses, and three kinds of
        ground that is not sealed ("courts and yards", "green between", "open land", by their
        distance to the nearest house).
    xarray.DataArray
        Their grid.
    """
    cover = _strip(place.truth["land cover"])
    shape, transform = cover.shape, cover.rio.transform(recalc=True)

    def drawn(shapes):
        return rasterize(shapes, shape, transform=transform).astype(bool)

    roads, houses = place.roads, place.houses
    wide = {
        "lanes and tracks": ["lane", "track"], "streets": ["street"],
        "arterials and rings": ["arterial", "ring", "motorway"],
    }  # fmt: skip
    kinds = {
        "village houses": ["village"], "houses of urban villages": ["urban_village", "old"],
        "apartment blocks": ["compound"], "industry and commerce": ["industrial", "commercial"],
    }  # fmt: skip
    roof = drawn(houses.geometry)
    rim = round(WIDE / FINE)  # houses just outside of the strip are near, too
    wider = transform @ transform.translation(-rim, -rim)
    near = rasterize(houses.geometry, [n + 2 * rim for n in shape], transform=wider)
    away = ndimage.distance_transform_edt(near == 0)[rim:-rim, rim:-rim] * FINE
    out = {}
    for name, of in wide.items():
        some = roads[roads["kind"].isin(of)]
        out[name] = drawn(some.geometry.buffer(some["width"] / 2)) & ~roof & (cover.values == 1)
    for name, of in kinds.items():
        out[name] = drawn(houses.geometry[houses["use"].isin(of)])
    green = cover.values == 0
    out["courts and yards"] = green & (away < TIGHT)
    out["green between"] = green & (away >= TIGHT) & (away < WIDE)
    out["open land"] = green & (away >= WIDE)
    return out, cover


def _strip(built):
    """A map in the strip, in cells of 4 m."""
    return looked_up(built, places.STRIP, FINE)


def looked_up(built, bounds, step=FINE):
    """Look a map up on a finer grid by nearest neighbour, so that maps of any cell can be compared.

    Parameters
    ----------
    built : xarray.DataArray
        (y, x), any cell, in metres.
    bounds : (left, bottom, right, top)
        In metres.
    step : float
        Metres of a cell.

    Returns
    -------
    xarray.DataArray
        (y, x), values and attrs of `built`; beyond its edge the nearest cell.
    """
    west, south, east, north = bounds
    x = np.arange(west + step / 2, east, step)
    y = np.arange(north - step / 2, south, -step)
    out = built.sel(x=x, y=y, method="nearest").assign_coords(x=x, y=y)
    out = out.rio.write_crs(built.rio.crs)
    return out.rio.write_transform(out.rio.transform(recalc=True))


def seen_as_built(place, found):
    """Which things does each map call built-up?

    Parameters
    ----------
    place : City
        From `toolkit.experiments.comparisons.city`.
    found : dict of str to xarray.DataArray
        Maps of any resolution, 1 built-up.

    Returns
    -------
    pandas.DataFrame
        A row for each thing of `things`, a column for each map: the share of its ground that is
        mapped as built-up; and km2. A share of 1 is right for houses (and for roads, if roads are
        asked for), 0 for the three kinds of green.
    """
    masks, _ = things(place)
    rows = {}
    for name, mask in masks.items():
        rows[name] = {"km2": mask.sum() * FINE**2 / 1e6}
        for method, each in found.items():
            values = pd.Series(_strip(each).values[mask])
            rows[name][method] = (values[values != chips.IGNORE] == 1).mean()
    return pd.DataFrame(rows).T.rename_axis("thing")


def villages(place, found, least=0.5, gap=30.0):
    """How many villages of the strip does each map find?

    Parameters
    ----------
    place : City
        From `toolkit.experiments.comparisons.city`.
    found : dict of str to xarray.DataArray
        Maps of any resolution, 1 built-up.
    least : float
        Share of the roofs of a village that must be mapped as built-up.
    gap : float
        Village houses nearer than this (metres) are one village; five make one.

    Returns
    -------
    pandas.Series
        By method: share of the villages that are found; ``attrs["villages"]`` is their number.

    Raises
    ------
    ValueError
        There is no village.
    """
    west, south, east, north = places.STRIP
    houses = place.houses[place.houses["use"] == "village"].cx[west:east, south:north]
    groups = houses.geometry.buffer(gap / 2).union_all()
    groups = gpd.GeoDataFrame(geometry=[groups], crs=houses.crs).explode(ignore_index=True)
    of = groups.sindex.query(houses.representative_point(), predicate="within")
    number = pd.Series(of[1], index=houses.index[of[0]])
    large = number.value_counts().loc[lambda n: n >= 5].index
    if large.empty:
        raise ValueError(f"no village of five houses or more lies in the strip {places.STRIP}")
    cover = _strip(place.truth["land cover"])
    kept = number[number.isin(large)]
    code = rasterize(
        zip(houses.geometry.loc[kept.index], kept.to_numpy() + 1, strict=True),
        cover.shape, transform=cover.rio.transform(recalc=True), dtype="int32",
    )  # fmt: skip
    out = {}
    for method, each in found.items():
        values = _strip(each).values
        look = (code > 0) & (values != chips.IGNORE)
        share = pd.Series(values[look] == 1).groupby(code[look]).mean()
        share = share.reindex(large + 1, fill_value=0.0)
        out[method] = float((share >= least).mean())
    result = pd.Series(out, name="villages found")
    result.attrs["villages"] = len(large)
    return result


def run_city(seed=0, profile="quick"):
    """Train the four models, map the city and answer every question, once.

    Parameters
    ----------
    seed : int
        Of training and check points.
    profile : {"smoke", "quick"}
        See `PROFILES` of `one_city`.

    Returns
    -------
    pandas.DataFrame
        A row for each method; see `answers`.
    """
    place = places.city()
    networks, effort = places.trained(place, profile, seed)
    found, cost = places.mapped(place, networks)
    return answers(place, found, seed).join(effort).join(cost).reset_index()


def answers(place, found, seed=0):
    """Put the answers of four maps into one table.

    Parameters
    ----------
    place : City
        From `toolkit.experiments.comparisons.city`.
    found : dict of str to xarray.DataArray
        From `toolkit.experiments.comparisons.mapped`.
    seed : int
        Of the check points.

    Returns
    -------
    pandas.DataFrame
        By method: scores against what it asks for (`own_scores`); low, high, holds (`area`);
        half_km (`half`, in the strip), edge_km2 and edge_m (of the edge, and how far it lies from
        that of the sealed ground, NaN where the map is no more than the strip), sealed_gap (mean
        absolute difference of a district's share from the sealed share, in the strip; sealed_bias
        has its sign), own_gap (from the share that it asks for), villages, and a column for each
        of `things`.
    """
    built, true = places.shares(place, found), places.shares(place, place.truth)
    sealed = true["land cover"]
    reference = edge(place, sealed)
    out = places.own_scores(place, found)
    out = out.join(area(place, found, seed=seed)[["low", "high", "holds"]])
    out["half_km"] = half(gradient(place, built, within=place.strip))
    whole = [name for name, each in built.items() if each.notnull().mean() > 0.9]
    edges = {name: edge(place, built[name]) for name in whole}
    out["edge_km2"] = pd.Series({k: v["km2"].sum() if len(v) else np.nan for k, v in edges.items()})
    out["edge_m"] = pd.Series({name: apart(each, reference) for name, each in edges.items()})
    district = by_district(place, built | {"sealed": sealed}, place.strip).drop(columns="cells")
    asked = by_district(place, true, place.strip)
    for name in found:
        gap = district[name] - district["sealed"]
        out.loc[name, ["sealed_gap", "sealed_bias"]] = gap.abs().mean(), gap.mean()
        out.loc[name, "own_gap"] = (district[name] - asked[name]).abs().mean()
    out["villages"] = villages(place, found)
    return out.join(seen_as_built(place, found).drop(columns="km2").T.rename_axis("method"))
