"""The region's settlements: where they lie, how many people, of which form, and their names.

Sizes follow the rank-size law; places are chosen one after the other, the largest
first, where the ground is flat, low and near a river, and not too near a larger one.
Names are invented; a likeness with a real place is chance.
"""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pandas as pd
from scipy import ndimage

from toolkit.scene import noise

LARGEST = 11e6
"""People in the largest settlement: a province's capital in the real basin has about as many."""
EXPONENT = 0.82
"""Rank-size exponent; Soo (2005, doi:10.1016/j.regsciurbeco.2004.04.004) found Pareto exponents
of 0.73 to 1.72 in 73 countries, that is 0.58 to 1.37 here."""
TAIL = 1.5
"""Exponent below 500,000 people: small places are fewer than the law would have them."""
CLASSES = {"mega": 5e6, "large": 1e6, "medium": 5e5, "small": 1.7e5, "town": 0}
"""Least population of each class. 5, 1 and 0.5 million are China's standard of 2014 (State Council
Notice 51), by which the night-light paper divides its cities; the paper's mega-city, Qingdao,
is of the 5 to 10 million class. Towns are split off the small cities at 170,000."""
TOWNS = 240
SPACING = {"mega": 130, "large": 46, "medium": 30, "small": 20, "town": 9}
"""Least distance to a settlement of the same or a larger class, in km, beyond their radii."""
APART = 34_000
"""Least distance from a settlement kept for generalisation to any other's edge, in metres:
almost two of the paper's 36-pixel samples."""
FORMS = ("grid", "radial", "clustered", "ribbon")

ONSETS = [
    "b",
    "br",
    "d",
    "dr",
    "f",
    "fl",
    "g",
    "gl",
    "h",
    "k",
    "kl",
    "l",
    "m",
    "n",
    "p",
    "pl",
    "r",
    "s",
    "sk",
    "st",
    "t",
    "tr",
    "v",
    "z",
]
VOWELS = ["a", "e", "i", "o", "u", "a", "e", "o", "ia", "ei"]
CODAS = ["n", "r", "l", "s", "m", "nd", "rt", "sk", "th", "v"]
ENDINGS = [
    "ova",
    "ensk",
    "arra",
    "umi",
    "eth",
    "ildo",
    "oven",
    "asti",
    "uro",
    "elin",
    "ostra",
    "ivar",
    "ump",
    "anza",
    "edda",
    "orin",
]


def names(seed, count):
    """Invented, pronounceable, unique names.

    Examples
    --------
    >>> len(set(names(0, 500)))
    500
    """
    draw = noise.rng(seed, "region names")
    found = {}
    while len(found) < count:
        word = draw.choice(ONSETS) + draw.choice(VOWELS)
        if draw.random() < 0.55:
            word += draw.choice(CODAS)
            word += draw.choice(list("bdgkmtv"))
        else:
            word += draw.choice([o for o in ONSETS if len(o) == 1])
        found[(word + draw.choice(ENDINGS)).capitalize()] = True
    return list(found)


def sizes(seed, towns=TOWNS):
    """Populations by the rank-size law, largest first, with 6 % scatter.

    Returns
    -------
    pandas.DataFrame
        population, size (class).
    """
    draw = noise.rng(seed, "region sizes")
    knee = (LARGEST / CLASSES["medium"]) ** (1 / EXPONENT)
    last = knee * (CLASSES["medium"] / CLASSES["small"]) ** (1 / TAIL)
    rank = np.arange(1, int(last) + towns + 1)
    law = np.where(
        rank <= knee,
        LARGEST * rank**-EXPONENT,
        CLASSES["medium"] * (rank / knee) ** -TAIL,
    )
    people = np.sort(law * np.exp(0.06 * draw.standard_normal(len(rank))))[::-1]
    people = np.round(people, -2).astype(int)
    edges = list(CLASSES.values())
    size = [next(c for c, e in zip(CLASSES, edges, strict=True) if p >= e) for p in people]
    return pd.DataFrame({"population": people, "size": size})


def radius(population):
    """Radius in metres of the disc that has as much built-up land as a settlement.

    About 100 m2 of construction land a head (China's planning norm GB 50137-2011: 65 to 115),
    less in large cities: area grows with the 0.9th power of population.
    """
    people = np.asarray(population, float)
    return np.sqrt(100 * 1e6 * (people / 1e6) ** 0.9 / np.pi)


def suitability(ground, slope, water_km):
    """How well each cell suits a settlement, 0 to 1: flat, low, near but not in water."""
    flat = np.exp(-slope / 0.018)
    low = np.exp(-np.maximum(ground - 300, 0) / 900)
    near = np.where(water_km > 0, 0.25 + 0.75 * np.exp(-water_km / 5), 0.3)
    return flat * low * near


def place(seed, ground, water_km, river_km, transform):
    """Choose sizes, sites, forms, roles and names of all settlements.

    Parameters
    ----------
    seed : int
        Seed of the scene.
    ground, water_km, river_km : numpy.ndarray
        Elevation (m), distance to any river or lake, and to a river at least 90 m wide (km).
    transform : affine.Affine
        Of those rasters.

    Returns
    -------
    geopandas.GeoDataFrame
        name, size, population, form, radius_m, role, elevation, geometry (points; no CRS yet).
    """
    draw = noise.rng(seed, "region settlements")
    table = sizes(seed)
    table["radius_m"] = radius(table["population"]).round(-1)
    table["role"] = "train"
    rows, cols = ground.shape
    cell = transform.a
    low = ndimage.gaussian_filter(ground, 1500 / cell)
    rough = np.hypot(*np.gradient(low, cell))
    fit = suitability(ground, rough, water_km)
    x = transform.c + (np.arange(cols) + 0.5) * cell
    y = transform.f - (np.arange(rows) + 0.5) * cell
    u, v = np.meshgrid((np.arange(cols) + 0.5) / cols, (np.arange(rows) + 0.5) / rows)
    margin = np.minimum.reduce([u, 1 - u, v, 1 - v]) * (cols * cell)
    xy = np.full((len(table), 2), np.nan)
    reach = table["radius_m"].to_numpy()
    size = table["size"].to_numpy()
    kept = np.zeros(len(table), bool)

    def forbid(allowed, other, own, spacing):
        """Keep sites of radius `own` away from a settlement that has its place."""
        apart = 1.5 * (own + reach[other]) + (APART if kept[other] else spacing)
        near, side = np.abs(y - xy[other, 1]) < apart, np.abs(x - xy[other, 0]) < apart
        box = np.ix_(near, side)
        far = np.hypot(y[near, None] - xy[other, 1], x[None, side] - xy[other, 0])
        allowed[box] &= far > apart

    def pick(members, weight, luck):
        """Give each of some settlements of one class the best site left, some luck added."""
        own, spacing = reach[members].max(), 1000 * SPACING[size[members[0]]]
        allowed = margin > 12_000 + 1.6 * own
        for other in np.flatnonzero(np.isfinite(xy[:, 0])):
            same = size[other] == size[members[0]]
            gap = APART if kept[members[0]] else spacing if same else 0.35 * spacing
            forbid(allowed, other, own, gap)
        score = np.log(weight + 1e-9) + luck * draw.gumbel(size=weight.shape)
        score[~allowed] = -np.inf
        for index in members:
            best = np.argmax(score)
            if not np.isfinite(score.flat[best]):
                return
            xy[index] = x[best % cols], y[best // cols]
            allowed = np.ones(score.shape, bool)
            forbid(allowed, index, own, spacing)
            score[~allowed] = -np.inf

    def around(east, south, spread):
        """Preference for a part of the region, given as shares of its width and height."""
        return np.exp(-((u - east) ** 2 + (v - south) ** 2) / (2 * spread**2))

    # First the city that is built in detail, then the four kept apart, then the rest by size.
    ranks = {name: np.flatnonzero(size == name) for name in CLASSES}
    city = ranks["medium"][-3]
    table.loc[city, "role"] = "city"
    by_river = np.exp(-(((river_km - 1.1) / 0.7) ** 2))
    # Its centre is a multiple of 3 km: whole pixels of the region, and of 600 m, around it.
    off = [np.abs(axis - np.round(axis / 3000) * 3000) <= cell / 2 for axis in (y, x)]
    pick([city], fit * by_river * around(0.5, 0.5, 0.03) * np.outer(*off), 0.1)
    xy[city] = np.round(xy[city] / 3000) * 3000
    corners = draw.permutation([(0.88, 0.12), (0.9, 0.86), (0.62, 0.9), (0.55, 0.1)])
    apart = [ranks["mega"][-1], ranks["large"][4], ranks["medium"][6], ranks["small"][9]]
    for index, (east, south) in zip(apart, corners, strict=True):
        table.loc[index, "role"] = "generalisation"
        kept[index] = True
        pick([index], fit * around(east, south, 0.05), 0.1)
    pick([0], fit * around(0.41, 0.42, 0.05), 0.05)
    for name, members in ranks.items():
        left = members[np.isnan(xy[members, 0])]
        if name == "town":
            upland = np.exp(-rough / 0.03) * np.exp(-water_km / 2) * (ground > 900)
            pick(left[4::8], upland * np.exp(-ground / 1500), 0.4)
            left = members[np.isnan(xy[members, 0])]
        if len(left):
            pick(left, fit ** (0.6 if name == "town" else 1.0), 0.35 if name == "large" else 0.6)
    table = table.assign(x=xy[:, 0], y=xy[:, 1]).dropna(subset="x").reset_index(drop=True)
    col, row = ~transform * table[["x", "y"]].to_numpy().T
    at = row.astype(int), col.astype(int)
    table["elevation"] = ground[at].round(0)
    table["form"] = forms(table, rough[at], river_km[at], draw)
    table["name"] = names(seed, len(table))
    points = gpd.points_from_xy(table.pop("x"), table.pop("y"))
    order = ["name", "size", "population", "form", "radius_m", "role", "elevation"]
    return gpd.GeoDataFrame(table[order], geometry=points)


def forms(table, rough, river_km, draw):
    """Urban form from the site: ribbons in narrow valleys, grids and stars on plains."""
    steep = np.argsort(np.argsort(rough)) / len(rough)
    river = np.exp(-river_km / 4)
    weight = np.column_stack(
        [
            1.3 * (1 - steep),
            1.1 * (1 - steep) + 0.5 * (table["population"] > 1e6),
            0.25 + 0.6 * steep + 0.4 * river,
            1.9 * steep**2 * np.where(table["population"] > 1.5e6, 0, 1) * (0.5 + river),
        ]
    )
    chance = np.cumsum(weight / weight.sum(axis=1, keepdims=True), axis=1)
    form = np.array(FORMS)[(draw.random((len(table), 1)) > chance).sum(axis=1).clip(max=3)]
    form[table["role"].to_numpy() == "city"] = "radial"
    form[0] = "radial"
    # Every form is met among those kept for generalisation.
    kept = np.flatnonzero(table["role"] == "generalisation")
    form[kept] = np.array(["radial", "grid", "clustered", "ribbon"])[: len(kept)]
    return form
