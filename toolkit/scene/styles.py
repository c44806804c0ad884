"""What kinds of city are there? Form, materials, crops and sun of each style.

Shares and sizes are plain estimates from looking at many such cities from above, in line with
the local climate zones' ranges of built cover and height (Stewart and Oke 2012, Bull. Amer.
Meteor. Soc. 93, 1879-1900, table 3): compact low-rise 40-70 % roofs at 3-10 m, open mid-rise
20-40 % at 10-25 m, open low-rise 20-40 % at 3-10 m, lightweight low-rise 60-90 % at 2-4 m,
large low-rise 30-50 % at 3-10 m, compact high-rise 40-60 % above 25 m. No style copies one city.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

import numpy as np

DATES = {"spring": date(2017, 4, 15), "summer": date(2017, 8, 5), "autumn": date(2017, 10, 25)}
"""Acquisition dates of the default city."""


def sun(latitude, day, hour=10.5):
    """Azimuth and elevation of the sun.

    Parameters
    ----------
    latitude : float
        Degrees north.
    day : datetime.date
        Day of the year.
    hour : float
        Local solar time; 10.5 is close to the Sentinel-2 and Landsat 8 overpass.

    Returns
    -------
    tuple of float
        Azimuth clockwise from north and elevation, degrees. Declination after Cooper (1969),
        good to about half a degree.

    Examples
    --------
    >>> [round(v) for v in sun(30.7, date(2017, 8, 5))]
    [119, 65]
    """
    turn = 2 * np.pi * (284 + day.timetuple().tm_yday) / 365
    declination = np.radians(23.45) * np.sin(turn)
    phi, h = np.radians(latitude), np.radians(15 * (hour - 12))
    up = np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(h)
    east = -np.cos(declination) * np.sin(h)
    north = np.cos(phi) * np.sin(declination) - np.sin(phi) * np.cos(declination) * np.cos(h)
    return float(np.degrees(np.arctan2(east, north)) % 360), float(np.degrees(np.arcsin(up)))


@dataclass(frozen=True)
class Style:
    """One kind of city.

    Attributes
    ----------
    name, title : str
    crs : str
        UTM zone where a place of this style stands unless told otherwise.
    latitude : float
        Degrees north, for the sun and the crop calendar.
    form : {"radial", "grid"}
        Rings and radials, or a grid of main roads.
    rings, radials : int
        How many ring roads and radial roads.
    grid : float
        Spacing of the main roads of a grid, metres.
    wide : float
        Factor on street widths.
    bend, jitter, skew : float
        How far streets stray from the straight grid, see `shapes.divide`.
    block : float
        Usual area of a block, square metres.
    uses : tuple
        ``(use, lowest, highest, weight)``: which uses of land compete at which density, the
        density being 1 at the centre and 0 at the edge of the city.
    roofs : dict
        Roof materials by use, with weights.
    ground : dict
        Ground material by use.
    storeys : dict
        Lowest and highest number of storeys by use.
    lot : dict
        Lot area by use, square metres.
    tree, wood, street_tree : str
        Canopy materials of gardens and parks, of woodland, of streets.
    tree_share : float
        Density of planted trees, 1 for a green city.
    grass : str
        What lawns are made of.
    wild : str
        What grows on verges and between fields.
    bare : str
        Soil of yards, sites and tracks.
    crops : dict
        Shares of crops by parcel.
    field_area : float
        Usual area of a field, square metres.
    hedges, hamlets, villages, wooded, ponds, greenhouses, pools, belts : float
        Density of each, 1 for many; belts are rows of trees along country lanes.
    ridge : float
        Height of a wooded ridge along one side of the square, metres; 0 for none.
    lakes : int
        How many lakes beyond the edge of the city.
    river : str or None
        Material of the river's bed; None for a place without a river.
    population_floor : float
        Floor area per resident, square metres.
    """

    name: str
    title: str
    crs: str
    latitude: float
    form: str = "radial"
    rings: int = 3
    radials: int = 9
    grid: float = 1000.0
    wide: float = 1.0
    bend: float = 0.02
    jitter: float = 0.07
    skew: float = 0.04
    block: float = 22_000.0
    uses: tuple = ()
    roofs: dict = field(default_factory=dict)
    ground: dict = field(default_factory=dict)
    storeys: dict = field(default_factory=dict)
    lot: dict = field(default_factory=dict)
    tree: str = "tree_broadleaf"
    wood: str = "tree_broadleaf"
    street_tree: str = "tree_broadleaf"
    tree_share: float = 1.0
    grass: str = "grass_park"
    wild: str = "grass_wild"
    bare: str = "soil_bright"
    crops: dict = field(default_factory=dict)
    field_area: float = 3500.0
    hedges: float = 0.0
    hamlets: float = 0.0
    villages: float = 1.0
    wooded: float = 0.12
    ponds: float = 0.3
    greenhouses: float = 0.0
    pools: float = 0.0
    belts: float = 0.0
    ridge: float = 0.0
    lakes: int = 0
    river: str | None = "water_river"
    population_floor: float = 38.0

    def sun(self, season, hour=10.5):
        """Sun azimuth and elevation in degrees on the date of a season, see `sun`."""
        return sun(self.latitude, DATES[season], hour)


_METAL = {"roof_metal_blue": 0.42, "roof_metal_grey": 0.38, "roof_white": 0.12, "roof_rust": 0.08}
_TOWERS = {"roof_concrete": 0.62, "roof_glass": 0.26, "roof_metal_grey": 0.12}
_FLAT = {"roof_concrete": 0.9, "roof_metal_blue": 0.05, "roof_tile_red": 0.05}
_RED = {"roof_tile_red": 0.86, "roof_tile_grey": 0.09, "roof_concrete": 0.05}

_GROUND = {
    "old": "paving_stone", "commercial": "concrete_paving", "compound": "grass_park",
    "estate": "grass_park", "perimeter": "paving_stone", "terrace": "grass_park",
    "villas": "grass_park", "informal": "soil_dark", "courtyard": "soil_bright",
    "urban_village": "concrete_paving", "industrial": "concrete_paving",
    "school": "concrete_paving", "park": "grass_park", "construction": "construction_site",
    "vacant": "grass_wild", "stadium": "concrete_paving", "village": "concrete_paving",
    "mall": "asphalt",
}  # fmt: skip

_STOREYS = {
    "old": (1, 3), "commercial": (8, 45), "compound": (6, 30), "estate": (4, 9),
    "perimeter": (4, 6), "terrace": (2, 3), "villas": (1, 2), "informal": (1, 2),
    "courtyard": (1, 3), "urban_village": (3, 7), "industrial": (1, 2), "school": (3, 5),
    "village": (1, 3), "mall": (1, 3),
}  # fmt: skip

_LOT = {
    "old": 210.0, "urban_village": 210.0, "informal": 62.0, "courtyard": 260.0,
    "perimeter": 420.0, "terrace": 190.0, "villas": 720.0, "village": 300.0,
}  # fmt: skip


STYLES = {
    s.name: s
    for s in (
        Style(
            "east_asian", "dense East Asian", "EPSG:32648", 30.7,
            rings=3, radials=9, wide=1.06, bend=0.02, block=30_000.0,
            uses=(
                ("old", 0.80, 2.0, 2.2), ("commercial", 0.6, 2.0, 2.0),
                ("compound", 0.05, 0.97, 3.4), ("urban_village", 0.03, 0.7, 0.36),
                ("industrial", -0.12, 0.42, 1.3), ("school", 0.08, 0.95, 0.34),
                ("park", 0.0, 1.0, 0.45), ("construction", -0.1, 0.45, 1.2),
                ("vacant", -0.1, 0.40, 0.8), ("villas", -0.05, 0.3, 0.16),
            ),
            roofs={
                "old": {"roof_tile_grey": 0.68, "roof_concrete": 0.24, "roof_tile_red": 0.08},
                "commercial": _TOWERS, "compound": _FLAT, "industrial": _METAL,
                "urban_village": {"roof_concrete": 0.72, "roof_metal_blue": 0.12,
                                  "roof_tile_grey": 0.1, "roof_rust": 0.06},
                "school": {"roof_concrete": 0.75, "roof_tile_red": 0.15, "roof_metal_blue": 0.1},
                "villas": {"roof_tile_red": 0.7, "roof_tile_grey": 0.3},
                "village": {"roof_tile_grey": 0.55, "roof_concrete": 0.33, "roof_metal_blue": 0.07,
                            "roof_tile_red": 0.05},
            },
            crops={"cropland_rice": 0.46, "cropland_rape": 0.16, "cropland_wheat": 0.1,
                   "cropland_maize": 0.06, "vegetable": 0.13, "fallow": 0.04, "orchard": 0.05},
            field_area=2600.0, hamlets=1.0, villages=0.47, wooded=0.175, ponds=1.4,
            greenhouses=0.6, tree_share=1.0, belts=0.35, ridge=95.0, lakes=3,
            ground={"school": "paving_stone", "commercial": "paving_stone"},
        ),
        Style(
            "temperate_european", "temperate European", "EPSG:32631", 50.5,
            rings=2, radials=11, wide=0.85, bend=0.09, jitter=0.1, skew=0.13, block=15_000.0,
            uses=(
                ("old", 0.85, 2.0, 4.0), ("perimeter", 0.5, 0.95, 3.0),
                ("commercial", 0.55, 1.0, 0.3), ("terrace", 0.1, 0.62, 1.1),
                ("villas", -0.1, 0.45, 3.0), ("estate", 0.05, 0.55, 1.2),
                ("industrial", -0.05, 0.4, 1.0), ("mall", -0.05, 0.35, 0.16),
                ("school", 0.05, 0.9, 0.3), ("park", 0.0, 1.0, 0.65),
                ("construction", -0.05, 0.4, 0.1), ("vacant", -0.1, 0.3, 0.3),
            ),
            roofs={
                "old": {"roof_tile_red": 0.66, "roof_tile_grey": 0.3, "roof_concrete": 0.04},
                "perimeter": {"roof_tile_red": 0.55, "roof_tile_grey": 0.33, "roof_concrete": 0.12},
                "terrace": {"roof_tile_red": 0.6, "roof_tile_grey": 0.4},
                "villas": {"roof_tile_red": 0.55, "roof_tile_grey": 0.43, "roof_concrete": 0.02},
                "village": {"roof_tile_red": 0.6, "roof_tile_grey": 0.36, "roof_metal_grey": 0.04},
                "commercial": {"roof_concrete": 0.7, "roof_metal_grey": 0.2, "roof_glass": 0.1},
                "estate": {"roof_concrete": 0.85, "roof_tile_red": 0.15},
                "industrial": {"roof_metal_grey": 0.62, "roof_concrete": 0.2, "roof_white": 0.14,
                               "roof_rust": 0.04},
                "mall": {"roof_metal_grey": 0.6, "roof_white": 0.4},
                "school": {"roof_tile_red": 0.5, "roof_concrete": 0.5},
            },
            ground={"perimeter": "paving_stone", "industrial": "asphalt_old",
                    "urban_village": "paving_stone", "village": "grass_park"},
            storeys={"commercial": (6, 14), "old": (2, 4)},
            lot={"old": 210.0, "villas": 800.0, "perimeter": 620.0, "terrace": 245.0,
                 "village": 520.0},
            crops={"cropland_wheat": 0.4, "cropland_rape": 0.17, "cropland_maize": 0.17,
                   "grass_wild": 0.2, "fallow": 0.06},
            field_area=34_000.0, hedges=1.0, villages=0.7, wooded=0.2, ponds=0.25, tree_share=1.3,
            bare="soil_dark", population_floor=45.0,
        ),
        Style(
            "arid", "arid", "EPSG:32639", 29.5,
            form="grid", grid=1050.0, rings=1, wide=1.25, bend=0.0, jitter=0.04, skew=0.01,
            block=16_000.0,
            uses=(
                ("old", 0.88, 2.0, 3.5), ("commercial", 0.62, 1.0, 1.0),
                ("courtyard", 0.02, 0.95, 4.2), ("villas", 0.0, 0.5, 0.9),
                ("estate", 0.2, 0.7, 0.35), ("industrial", -0.1, 0.35, 1.2),
                ("school", 0.05, 0.9, 0.3), ("park", 0.1, 1.0, 0.16), ("mall", 0.1, 0.6, 0.15),
                ("construction", -0.1, 0.4, 0.5), ("vacant", -0.1, 0.7, 0.9),
            ),
            roofs={
                "old": {"roof_concrete": 0.8, "roof_white": 0.2},
                "courtyard": {"roof_concrete": 0.62, "roof_white": 0.38},
                "villas": {"roof_concrete": 0.45, "roof_white": 0.4, "roof_tile_red": 0.15},
                "commercial": {"roof_concrete": 0.5, "roof_glass": 0.25, "roof_white": 0.25},
                "industrial": {"roof_metal_grey": 0.5, "roof_white": 0.35, "roof_rust": 0.15},
                "estate": {"roof_concrete": 0.6, "roof_white": 0.4},
                "village": {"roof_concrete": 0.8, "roof_white": 0.2},
            },
            ground={"old": "soil_bright", "perimeter": "paving_stone", "villas": "paving_stone",
                    "compound": "soil_bright", "estate": "sand", "vacant": "sand",
                    "industrial": "soil_bright", "school": "sand", "terrace": "paving_stone",
                    "village": "soil_bright", "urban_village": "soil_bright"},
            storeys={"commercial": (5, 35), "old": (1, 2), "estate": (5, 12)},
            lot={"old": 210.0, "villas": 700.0, "courtyard": 740.0, "village": 420.0},
            tree="tree_palm", wood="shrub", street_tree="tree_palm", tree_share=0.35,
            grass="grass_park", wild="sand", bare="sand",
            crops={"sand": 0.0, "vegetable": 0.2, "cropland_wheat": 0.3, "orchard": 0.3,
                   "fallow": 0.2},
            field_area=5200.0, villages=0.3, wooded=0.05, ponds=0.05, greenhouses=0.3, pools=0.12,
            river="gravel", population_floor=42.0,
        ),
        Style(
            "tropical_informal", "tropical with informal quarters", "EPSG:32736", -3.4,
            rings=1, radials=6, wide=0.8, bend=0.12, jitter=0.1, skew=0.16, block=17_000.0,
            uses=(
                ("commercial", 0.78, 2.0, 2.2), ("old", 0.7, 1.0, 0.5),
                ("informal", 0.02, 0.92, 0.42), ("villas", 0.05, 0.85, 1.8),
                ("estate", 0.3, 0.8, 0.4), ("urban_village", -0.1, 0.7, 0.9),
                ("industrial", 0.0, 0.55, 0.8), ("school", 0.05, 0.9, 0.35),
                ("park", 0.0, 0.9, 0.4), ("construction", -0.1, 0.5, 0.2),
                ("vacant", -0.1, 0.7, 0.7),
            ),
            roofs={
                "informal": {"roof_rust": 0.7, "roof_metal_grey": 0.26, "roof_metal_blue": 0.04},
                "urban_village": {"roof_rust": 0.42, "roof_metal_grey": 0.4, "roof_tile_red": 0.08,
                                  "roof_metal_blue": 0.1},
                "village": {"roof_rust": 0.5, "roof_metal_grey": 0.5},
                "old": {"roof_rust": 0.4, "roof_concrete": 0.4, "roof_tile_red": 0.2},
                "villas": {"roof_tile_red": 0.45, "roof_metal_grey": 0.3, "roof_metal_blue": 0.1,
                           "roof_concrete": 0.15},
                "commercial": {"roof_concrete": 0.75, "roof_glass": 0.1, "roof_metal_grey": 0.15},
                "industrial": {"roof_metal_grey": 0.6, "roof_rust": 0.25, "roof_metal_blue": 0.15},
                "school": {"roof_metal_grey": 0.6, "roof_rust": 0.3, "roof_tile_red": 0.1},
            },
            ground={"old": "soil_dark", "urban_village": "soil_dark", "industrial": "soil_dark",
                    "school": "soil_dark", "village": "soil_dark", "vacant": "grass_wild",
                    "construction": "soil_dark"},
            storeys={"commercial": (3, 18), "urban_village": (1, 2), "old": (1, 3)},
            lot={"urban_village": 520.0, "villas": 1000.0, "village": 650.0, "informal": 210.0},
            tree_share=1.3, wild="grass_wild", bare="soil_dark",
            crops={"cropland_rice": 0.1, "cropland_maize": 0.35, "vegetable": 0.15, "fallow": 0.15,
                   "orchard": 0.15, "grass_wild": 0.1},
            field_area=3600.0, hamlets=0.9, villages=0.6, wooded=0.22, ponds=0.1,
            population_floor=9.0,
        ),
        Style(
            "suburban_grid", "suburban grid", "EPSG:32617", 35.8,
            form="grid", grid=1600.0, rings=1, wide=1.05, bend=0.05, jitter=0.05, skew=0.03,
            block=26_000.0,
            uses=(
                ("commercial", 0.84, 2.0, 5.0), ("perimeter", 0.75, 0.9, 0.6),
                ("villas", -0.1, 0.9, 5.5), ("estate", 0.2, 0.75, 0.6),
                ("mall", 0.0, 0.8, 0.75), ("industrial", 0.0, 0.75, 0.7),
                ("school", 0.05, 0.9, 0.28), ("park", 0.0, 1.0, 0.5),
                ("construction", -0.1, 0.3, 0.25), ("vacant", -0.1, 0.4, 0.5),
            ),
            roofs={
                "villas": {"roof_tile_grey": 0.86, "roof_tile_red": 0.1, "roof_concrete": 0.04},
                "village": {"roof_tile_grey": 0.8, "roof_metal_grey": 0.2},
                "commercial": {"roof_concrete": 0.5, "roof_white": 0.3, "roof_glass": 0.2},
                "perimeter": {"roof_concrete": 0.7, "roof_white": 0.3},
                "estate": {"roof_tile_grey": 0.8, "roof_concrete": 0.2},
                "mall": {"roof_white": 0.6, "roof_concrete": 0.4},
                "industrial": {"roof_white": 0.55, "roof_metal_grey": 0.35, "roof_concrete": 0.1},
                "school": {"roof_white": 0.5, "roof_concrete": 0.5},
            },
            ground={"industrial": "asphalt", "perimeter": "asphalt", "commercial": "asphalt_old",
                    "school": "grass_park", "village": "grass_park"},
            storeys={"commercial": (3, 32), "perimeter": (2, 4), "estate": (2, 4)},
            lot={"villas": 880.0, "perimeter": 900.0},
            crops={"cropland_maize": 0.3, "cropland_wheat": 0.15, "grass_wild": 0.4,
                   "fallow": 0.15},
            field_area=42_000.0, hedges=0.5, villages=0.25, wooded=0.4, ponds=0.35, tree_share=1.4,
            pools=0.3, bare="soil_bright", population_floor=62.0,
        ),
        Style(
            "mediterranean", "Mediterranean", "EPSG:32630", 38.2,
            rings=2, radials=8, wide=0.8, bend=0.06, jitter=0.09, skew=0.1, block=11_000.0,
            uses=(
                ("old", 0.75, 2.0, 4.5), ("perimeter", 0.3, 0.92, 3.4),
                ("commercial", 0.5, 0.9, 0.18), ("estate", 0.08, 0.6, 1.0),
                ("villas", -0.15, 0.4, 1.8), ("terrace", 0.1, 0.4, 0.5),
                ("industrial", -0.05, 0.35, 1.3), ("school", 0.05, 0.8, 0.3),
                ("park", 0.0, 0.9, 0.25), ("construction", -0.1, 0.4, 0.25),
                ("vacant", -0.1, 0.45, 0.6), ("mall", 0.0, 0.3, 0.12),
            ),
            roofs={
                "old": {"roof_tile_red": 0.84, "roof_white": 0.08, "roof_concrete": 0.08},
                "perimeter": {"roof_tile_red": 0.5, "roof_concrete": 0.35, "roof_white": 0.15},
                "villas": {"roof_tile_red": 0.8, "roof_white": 0.2}, "terrace": _RED,
                "village": {"roof_tile_red": 0.8, "roof_white": 0.2},
                "estate": {"roof_concrete": 0.6, "roof_tile_red": 0.3, "roof_white": 0.1},
                "industrial": {"roof_metal_grey": 0.5, "roof_white": 0.3, "roof_rust": 0.1,
                               "roof_tile_red": 0.1},
                "mall": {"roof_white": 1.0},
                "school": {"roof_tile_red": 0.4, "roof_concrete": 0.6},
            },
            ground={"compound": "paving_stone", "estate": "paving_stone", "villas": "grass_dry",
                    "vacant": "grass_dry", "industrial": "concrete_paving", "terrace": "grass_dry",
                    "village": "soil_bright", "school": "concrete_paving"},
            storeys={"old": (2, 4), "perimeter": (4, 8), "commercial": (5, 12)},
            lot={"old": 240.0, "perimeter": 780.0, "villas": 900.0, "village": 420.0},
            tree="tree_broadleaf", wood="tree_conifer", tree_share=0.8, grass="grass_dry",
            wild="grass_dry", bare="soil_bright",
            crops={"orchard": 0.42, "cropland_wheat": 0.22, "vegetable": 0.08, "fallow": 0.2,
                   "grass_dry": 0.08},
            field_area=11_000.0, villages=0.4, wooded=0.25, ponds=0.06, greenhouses=0.35, pools=0.4,
            population_floor=40.0,
        ),
    )
}  # fmt: skip
"""The styles by name."""


def get(name):
    """A style by name.

    Examples
    --------
    >>> get("arid").title
    'arid'
    """
    if name not in STYLES:
        raise KeyError(f"There is no style {name!r}; there are {', '.join(STYLES)}.")
    return STYLES[name]


def roofs(style, use):
    """Roof materials and weights of a use in a style."""
    return style.roofs.get(use, _FLAT if use != "industrial" else _METAL)


def ground(style, use):
    """Ground material of a use in a style."""
    return style.ground.get(use, _GROUND[use])


def storeys(style, use):
    """Lowest and highest number of storeys of a use in a style."""
    return style.storeys.get(use, _STOREYS.get(use, (1, 3)))


def lot(style, use):
    """Area of a lot, square metres."""
    return style.lot.get(use, _LOT[use])


def northing(latitude):
    """UTM northing of a latitude on the central meridian, to a kilometre.

    Examples
    --------
    >>> northing(0.0)
    0.0
    """
    # 111.13 km a degree, the mean over the meridian; the southern hemisphere counts from 10 000 km.
    metres = round(latitude * 111.13) * 1000.0
    return metres if latitude >= 0 else 1e7 + metres
