"""What is the scene made of, and how does each material reflect and emit?

Reflectances are approximations, rounded to half a percent or so, of published spectra averaged
over Sentinel-2's bands; they are typical values, not measurements of one sample.

- roofs, paving: LUMA, the London Urban Micromet data Archive (Kotthaus, Smith, Wooster and
  Grimmond 2014, ISPRS J. Photogramm. Remote Sens. 94, 194-212) and the man-made chapter of the
  ECOSTRESS spectral library (Meerdink et al. 2019, Remote Sens. Environ. 230, 111196);
- soils, sand, rock, green and dry vegetation, water: USGS Spectral Library version 7 (Kokaly et
  al. 2017, USGS Data Series 1035) and ECOSTRESS; canopies rather than leaves, so near-infrared
  values of 0.25-0.45 instead of a stacked leaf's 0.5 (Asner 1998, Remote Sens. Environ. 64, 234);
- emissivities in Landsat 8's bands 10 and 11: the same libraries, and for painted metal and glass
  the broad values in Oke et al. 2017, Urban Climates, table A2.1.

Vegetation is a linear mixture of a green canopy, a flowering one, and what shows between the
plants (Smith et al. 1990, Remote Sens. Environ. 31, 1): the shares are a small crop calendar.

Simplified: no bidirectional effects, no moisture, one age of each material. Per-object variation
stands in for all three, with the relative standard deviations of `VARIATION`.
"""

import numpy as np
import pandas as pd

BANDS = ("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12")
WAVELENGTH = dict(zip(BANDS, (490, 560, 665, 705, 740, 783, 842, 865, 1610, 2190), strict=True))
"""Centres of Sentinel-2's bands, nm (ESA, Sentinel-2 User Handbook, 2015)."""

SEASONS = ("spring", "summer", "autumn")

CLASSES = (
    {"value": 1, "name": "Cropland", "color": "#e69f00"},
    {"value": 2, "name": "Woodland", "color": "#009e73"},
    {"value": 3, "name": "Grassland", "color": "#f0e442"},
    {"value": 4, "name": "Water", "color": "#0072b2"},
    {"value": 5, "name": "Impervious", "color": "#d55e00"},
    {"value": 6, "name": "Bare land", "color": "#cc79a7"},
    {"value": 7, "name": "Snow/Ice", "color": "#56b4e9"},
)
"""The seven classes of `land_cover_3m`, in Okabe-Ito colours."""

# name: code, land cover, emissivity in bands 10 and 11,
#       relative standard deviation between objects, and within one (fine texture)
_TABLE = {
    "roof_concrete": (1, 5, 0.945, 0.955, 0.22, 0.07),
    "roof_metal_blue": (2, 5, 0.900, 0.905, 0.15, 0.04),
    "roof_metal_grey": (3, 5, 0.880, 0.890, 0.20, 0.04),
    "roof_tile_red": (4, 5, 0.935, 0.945, 0.16, 0.09),
    "roof_tile_grey": (5, 5, 0.940, 0.950, 0.20, 0.09),
    "roof_glass": (6, 5, 0.895, 0.920, 0.25, 0.10),
    "roof_rust": (7, 5, 0.910, 0.920, 0.25, 0.12),
    "roof_white": (8, 5, 0.920, 0.930, 0.14, 0.04),
    "asphalt": (20, 5, 0.950, 0.960, 0.12, 0.05),
    "asphalt_old": (21, 5, 0.950, 0.960, 0.12, 0.07),
    "concrete_paving": (22, 5, 0.945, 0.955, 0.12, 0.07),
    "runway": (23, 5, 0.945, 0.955, 0.04, 0.05),
    "paving_stone": (24, 5, 0.940, 0.950, 0.15, 0.08),
    "sports_red": (25, 5, 0.940, 0.945, 0.08, 0.03),
    "soil_dark": (40, 6, 0.968, 0.974, 0.15, 0.08),
    "soil_bright": (41, 6, 0.962, 0.970, 0.12, 0.08),
    "sand": (42, 6, 0.950, 0.965, 0.08, 0.06),
    "gravel": (43, 6, 0.950, 0.960, 0.12, 0.08),
    "construction_site": (44, 6, 0.955, 0.965, 0.18, 0.16),
    "rock": (45, 6, 0.945, 0.955, 0.15, 0.12),
    "cropland_rice": (60, 1, 0.982, 0.984, 0.09, 0.04),
    "cropland_wheat": (61, 1, 0.980, 0.982, 0.09, 0.05),
    "cropland_rape": (62, 1, 0.980, 0.982, 0.09, 0.05),
    "cropland_maize": (63, 1, 0.980, 0.982, 0.09, 0.05),
    "vegetable": (64, 1, 0.978, 0.981, 0.15, 0.09),
    "plastic_greenhouse": (65, 1, 0.900, 0.910, 0.12, 0.07),
    "orchard": (66, 1, 0.980, 0.982, 0.09, 0.10),
    "fallow": (67, 1, 0.970, 0.975, 0.12, 0.08),
    "grass_park": (68, 3, 0.980, 0.982, 0.09, 0.05),
    "grass_wild": (69, 3, 0.978, 0.981, 0.10, 0.10),
    "grass_dry": (70, 3, 0.970, 0.976, 0.10, 0.09),
    "pitch_artificial": (71, 5, 0.955, 0.960, 0.06, 0.03),
    "tree_broadleaf": (72, 2, 0.984, 0.985, 0.11, 0.12),
    "tree_conifer": (73, 2, 0.985, 0.986, 0.08, 0.12),
    "tree_palm": (74, 2, 0.982, 0.984, 0.10, 0.14),
    "shrub": (75, 2, 0.980, 0.982, 0.12, 0.12),
    "hedge": (76, 2, 0.982, 0.984, 0.10, 0.09),
    "reed": (77, 3, 0.980, 0.982, 0.10, 0.08),
    "water_river": (90, 4, 0.991, 0.986, 0.03, 0.02),
    "water_pond": (91, 4, 0.991, 0.986, 0.18, 0.02),
    "water_lake": (92, 4, 0.991, 0.986, 0.06, 0.02),
    "water_pool": (93, 4, 0.990, 0.986, 0.06, 0.02),
    "snow": (100, 7, 0.990, 0.975, 0.04, 0.04),
}

NAMES = tuple(_TABLE)
"""The shared vocabulary of materials."""
CODES = {name: row[0] for name, row in _TABLE.items()}
"""Material -> code in rasters (uint8); 0 is nothing. Codes never change their meaning."""
COVER = {name: row[1] for name, row in _TABLE.items()}
"""Material -> class of `land_cover_3m` (see `CLASSES`); a greenhouse is Cropland."""
EMISSIVITY = {name: {10: row[2], 11: row[3]} for name, row in _TABLE.items()}
"""Material -> emissivity in Landsat 8's bands 10 and 11."""
VARIATION = {name: {"object": row[4], "texture": row[5]} for name, row in _TABLE.items()}
"""Material -> relative standard deviation of brightness between and within objects."""

# Percent, in the order of BANDS. Not in the vocabulary of surfaces: what shows between plants.
_SPECTRA = {
    "roof_concrete": (16, 19, 21.5, 22.5, 23, 23.5, 24, 24.5, 28, 26),
    "roof_metal_blue": (26, 21, 13, 14, 17, 21, 25, 26, 30, 24),
    "roof_metal_grey": (29, 31, 32, 32.5, 33, 33, 33, 33.5, 36, 36),
    "roof_tile_red": (7.5, 10.5, 19.5, 23, 26, 28, 29, 29.5, 36, 32),
    "roof_tile_grey": (9, 10, 10.5, 10.8, 11, 11.3, 11.5, 12, 14, 14),
    "roof_glass": (9.5, 9.5, 9, 9, 9, 9.5, 10, 10, 10, 8),
    "roof_rust": (7, 9, 14.5, 17.5, 20, 22, 23.5, 24, 30, 28),
    "roof_white": (43, 47, 49, 49, 49, 49, 48, 48, 40, 34),
    "asphalt": (7.4, 8.4, 9.2, 9.5, 9.8, 10.1, 10.5, 10.8, 13.5, 12.5),
    "asphalt_old": (10.5, 12, 13.5, 14, 14.5, 15, 15.5, 16, 19, 17.5),
    "concrete_paving": (16.5, 19.5, 22, 23, 24, 24.5, 25, 25.5, 30, 28),  # worn and stained
    "runway": (15, 17.5, 20, 20.5, 21, 21.5, 22, 22.5, 26, 25),
    "paving_stone": (14.5, 17, 20, 21, 22, 23, 24, 24.5, 28, 26),
    "sports_red": (6.5, 8, 22, 26, 29, 31, 32, 32.5, 36, 32),
    "soil_dark": (5, 7, 9, 10.5, 11.5, 12.5, 13.5, 14, 21, 18),
    "soil_bright": (10.5, 15, 20.5, 22.5, 24.5, 26, 27.5, 28.5, 37, 33),
    "sand": (17, 22, 27, 28.5, 30, 31, 32, 32.5, 38, 36),
    "gravel": (14, 16.5, 19, 20, 20.5, 21, 21.5, 22, 26, 25),
    "construction_site": (13, 17.5, 22.5, 24.5, 26, 27.5, 28.5, 29, 36, 32),
    "rock": (12, 14, 16, 17, 17.5, 18, 18.5, 19, 22, 20),
    "plastic_greenhouse": (21, 24, 25.5, 28, 32, 34.5, 35.5, 36, 33, 24),
    "pitch_artificial": (5, 9, 7.5, 8.5, 10.5, 12, 13, 13.5, 18, 14),
    "water_river": (5.5, 8, 7, 5.2, 3, 2.8, 2, 1.9, 0.8, 0.6),
    "water_pond": (3.8, 6.2, 4.4, 3.8, 2.4, 2.3, 2, 1.8, 0.8, 0.5),
    "water_lake": (3.2, 4, 2.4, 1.8, 1.2, 1.1, 0.9, 0.9, 0.5, 0.4),
    "water_pool": (24, 28, 12, 7, 3.2, 2.6, 2.2, 2, 0.8, 0.5),
    "snow": (93, 92, 91, 90, 89, 87, 85, 83, 9, 7),
    # canopies in full leaf
    "green crop": (3, 6.6, 3.4, 10.5, 31, 40, 42, 43, 19, 9.5),
    "green broadleaf": (2.5, 5.4, 2.7, 8.8, 26, 34, 36, 37, 17, 7.5),
    "green conifer": (2, 3.5, 2.3, 5.5, 15, 19, 20.5, 21, 9.5, 4.5),
    "green palm": (3, 5, 3.5, 8.5, 20, 25, 27, 28, 15, 8),
    "green shrub": (3, 5, 3.5, 8.5, 20, 25, 26.5, 27, 16, 8.5),
    "green grass": (3.7, 8, 4.7, 12.5, 29, 35, 37, 38, 22, 11.5),
    "rape in bloom": (4, 14, 13, 19, 32, 37, 38, 38, 18, 9),
    "autumn leaves": (3.5, 7.5, 9, 15, 23, 27, 29, 30, 21, 11),
    # what shows between
    "straw": (7.5, 11, 15.5, 17.5, 20, 22.5, 25, 26, 31, 23),
    "litter": (4.5, 6.5, 9, 11, 13.5, 15.5, 17.5, 18.5, 24, 17),
    "flooded field": (5.5, 8, 8.5, 8, 7.5, 7.5, 7, 6.8, 3.5, 2.5),
}

# Vegetation: canopy, then for spring (mid April), summer (early August), autumn (late October) the
# share of green canopy, of a second canopy, and what fills the rest.
_PLANTS = {
    "cropland_rice": ("green crop", None),
    "cropland_wheat": ("green crop", None),
    "cropland_rape": ("green crop", "rape in bloom"),
    "cropland_maize": ("green crop", None),
    "vegetable": ("green crop", None),
    "orchard": ("green broadleaf", None),
    "fallow": ("green grass", None),
    "grass_park": ("green grass", None),
    "grass_wild": ("green grass", None),
    "grass_dry": ("green grass", None),
    "tree_broadleaf": ("green broadleaf", "autumn leaves"),
    "tree_conifer": ("green conifer", None),
    "tree_palm": ("green palm", None),
    "shrub": ("green shrub", "autumn leaves"),
    "hedge": ("green shrub", "autumn leaves"),
    "reed": ("green grass", "straw"),
}

# Sichuan basin: rice-wheat and rice-rape rotations, two crops a year, so a wheat or rape field
# carries a summer crop in August (Frolking et al. 2002, Global Biogeochem. Cycles 16, 1091).
_CALENDAR = {
    "cropland_rice": ((0.14, 0, "flooded field"), (0.90, 0, "flooded field"), (0.16, 0, "straw")),
    "cropland_wheat": ((0.80, 0, "soil_dark"), (0.80, 0, "soil_dark"), (0.08, 0, "soil_dark")),
    "cropland_rape": ((0.45, 0.40, "soil_dark"), (0.84, 0, "soil_dark"), (0.38, 0, "soil_dark")),
    "cropland_maize": ((0.16, 0, "soil_bright"), (0.88, 0, "soil_dark"), (0.10, 0, "straw")),
    "vegetable": ((0.50, 0, "soil_dark"), (0.62, 0, "soil_dark"), (0.50, 0, "soil_dark")),
    "orchard": ((0.62, 0, "soil_bright"), (0.76, 0, "litter"), (0.62, 0, "litter")),
    "fallow": ((0.30, 0, "soil_bright"), (0.42, 0, "soil_bright"), (0.20, 0, "straw")),
    "grass_park": ((0.68, 0, "litter"), (0.82, 0, "litter"), (0.62, 0, "litter")),
    "grass_wild": ((0.52, 0, "litter"), (0.76, 0, "litter"), (0.42, 0, "straw")),
    "grass_dry": ((0.28, 0, "straw"), (0.34, 0, "straw"), (0.18, 0, "straw")),
    "tree_broadleaf": ((0.80, 0, "litter"), (0.95, 0, "litter"), (0.58, 0.25, "litter")),
    "tree_conifer": ((0.88, 0, "litter"), (0.92, 0, "litter"), (0.88, 0, "litter")),
    "tree_palm": ((0.80, 0, "litter"), (0.85, 0, "litter"), (0.80, 0, "litter")),
    "shrub": ((0.68, 0, "litter"), (0.85, 0, "litter"), (0.50, 0.20, "litter")),
    "hedge": ((0.80, 0, "litter"), (0.90, 0, "litter"), (0.66, 0.14, "litter")),
    "reed": ((0.42, 0.30, "flooded field"), (0.82, 0, "flooded field"), (0.25, 0.5, "litter")),
}

# Where the year runs differently: one crop in Europe, winter rain around the Mediterranean, little
# but irrigation in the desert, green all year in the humid tropics (Sacks et al. 2010, Global
# Ecology and Biogeography 19, 607: planting and harvest dates).
_STYLE_CALENDAR = {
    "temperate_european": {
        "cropland_rice": ((0.10, 0, "soil_dark"), (0.80, 0, "soil_dark"), (0.12, 0, "soil_dark")),
        "cropland_wheat": ((0.72, 0, "soil_dark"), (0.05, 0, "straw"), (0.25, 0, "soil_dark")),
        "cropland_rape": ((0.20, 0.72, "soil_dark"), (0.08, 0, "straw"), (0.62, 0, "soil_dark")),
        "cropland_maize": ((0.02, 0, "soil_dark"), (0.90, 0, "soil_dark"), (0.10, 0, "straw")),
        "tree_broadleaf": ((0.50, 0, "litter"), (0.95, 0, "litter"), (0.28, 0.50, "litter")),
        "grass_park": ((0.82, 0, "litter"), (0.68, 0, "straw"), (0.72, 0, "litter")),
        "grass_wild": ((0.70, 0, "litter"), (0.60, 0, "straw"), (0.55, 0, "litter")),
    },
    "suburban_grid": {
        "cropland_wheat": ((0.70, 0, "soil_dark"), (0.05, 0, "straw"), (0.20, 0, "soil_dark")),
        "cropland_maize": ((0.02, 0, "soil_dark"), (0.92, 0, "soil_dark"), (0.08, 0, "straw")),
        "cropland_rape": ((0.05, 0, "soil_dark"), (0.88, 0, "soil_dark"), (0.10, 0, "straw")),
        "tree_broadleaf": ((0.45, 0, "litter"), (0.95, 0, "litter"), (0.25, 0.52, "litter")),
        "grass_park": ((0.72, 0, "litter"), (0.68, 0, "straw"), (0.60, 0, "litter")),
    },
    "mediterranean": {
        "cropland_wheat": ((0.66, 0, "soil_bright"), (0.02, 0, "straw"), (0.06, 0, "soil_bright")),
        "cropland_rape": ((0.60, 0.1, "soil_bright"), (0.03, 0, "straw"), (0.05, 0, "soil_bright")),
        "fallow": ((0.35, 0, "soil_bright"), (0.06, 0, "straw"), (0.12, 0, "soil_bright")),
        "grass_park": ((0.66, 0, "litter"), (0.48, 0, "straw"), (0.50, 0, "straw")),
        "grass_wild": ((0.58, 0, "litter"), (0.10, 0, "straw"), (0.18, 0, "straw")),
        "grass_dry": ((0.40, 0, "straw"), (0.05, 0, "straw"), (0.08, 0, "straw")),
        "orchard": ((0.50, 0, "soil_bright"), (0.48, 0, "soil_bright"), (0.46, 0, "soil_bright")),
        "shrub": ((0.62, 0, "soil_bright"), (0.50, 0, "soil_bright"), (0.52, 0, "soil_bright")),
        "tree_broadleaf": ((0.82, 0, "litter"), (0.82, 0, "litter"), (0.72, 0.08, "litter")),
    },
    "arid": {
        "cropland_wheat": ((0.62, 0, "soil_bright"), (0.04, 0, "straw"), (0.05, 0, "soil_bright")),
        "cropland_rape": ((0.5, 0, "soil_bright"), (0.04, 0, "soil_bright"), (0.04, 0, "sand")),
        "fallow": ((0.10, 0, "soil_bright"), (0.04, 0, "sand"), (0.04, 0, "soil_bright")),
        "grass_park": ((0.62, 0, "soil_bright"), (0.60, 0, "soil_bright"), (0.60, 0, "sand")),
        "grass_wild": ((0.22, 0, "sand"), (0.08, 0, "sand"), (0.07, 0, "sand")),
        "grass_dry": ((0.14, 0, "sand"), (0.05, 0, "sand"), (0.05, 0, "sand")),
        "shrub": ((0.30, 0, "sand"), (0.26, 0, "sand"), (0.25, 0, "sand")),
        "orchard": ((0.50, 0, "sand"), (0.54, 0, "sand"), (0.50, 0, "sand")),
        "tree_broadleaf": ((0.70, 0, "soil_bright"), (0.72, 0, "sand"), (0.68, 0, "sand")),
        "tree_palm": ((0.62, 0, "sand"), (0.62, 0, "sand"), (0.62, 0, "sand")),
    },
    "tropical_informal": {
        "cropland_rice": (
            (0.60, 0, "flooded field"),
            (0.85, 0, "flooded field"),
            (0.5, 0, "straw"),
        ),
        "cropland_maize": ((0.45, 0, "soil_dark"), (0.85, 0, "soil_dark"), (0.60, 0, "soil_dark")),
        "cropland_wheat": ((0.45, 0, "soil_dark"), (0.70, 0, "soil_dark"), (0.55, 0, "soil_dark")),
        "cropland_rape": ((0.45, 0, "soil_dark"), (0.70, 0, "soil_dark"), (0.55, 0, "soil_dark")),
        "tree_broadleaf": ((0.92, 0, "litter"), (0.95, 0, "litter"), (0.93, 0, "litter")),
        "grass_wild": ((0.62, 0, "litter"), (0.80, 0, "litter"), (0.70, 0, "litter")),
        "shrub": ((0.76, 0, "litter"), (0.85, 0, "litter"), (0.80, 0, "litter")),
    },
}

STYLES = ("east_asian", *_STYLE_CALENDAR)

NDVI_RANGE = {
    "cropland_rice": ((0.0, 0.35), (0.65, 0.92), (0.15, 0.50)),
    "cropland_wheat": ((0.55, 0.90), (0.55, 0.90), (0.10, 0.40)),
    "cropland_rape": ((0.45, 0.80), (0.55, 0.90), (0.30, 0.75)),
    "cropland_maize": ((0.10, 0.40), (0.60, 0.92), (0.15, 0.45)),
    "vegetable": ((0.30, 0.80), (0.40, 0.85), (0.30, 0.80)),
    "orchard": ((0.40, 0.80), (0.50, 0.90), (0.40, 0.80)),
    "fallow": ((0.15, 0.55), (0.20, 0.60), (0.15, 0.50)),
    "grass_park": ((0.40, 0.80), (0.50, 0.90), (0.40, 0.80)),
    "grass_wild": ((0.35, 0.75), (0.50, 0.85), (0.25, 0.65)),
    "grass_dry": ((0.20, 0.55), (0.20, 0.55), (0.15, 0.50)),
    "tree_broadleaf": ((0.55, 0.90), (0.70, 0.95), (0.45, 0.85)),
    "tree_conifer": ((0.60, 0.90), (0.65, 0.92), (0.60, 0.90)),
    "tree_palm": ((0.50, 0.85), (0.50, 0.90), (0.50, 0.85)),
    "shrub": ((0.35, 0.80), (0.45, 0.90), (0.35, 0.75)),
    "hedge": ((0.45, 0.85), (0.50, 0.90), (0.40, 0.80)),
    "reed": ((0.20, 0.60), (0.55, 0.90), (0.20, 0.60)),
    "roof": ((-0.05, 0.35),) * 3,
    "sealed": ((-0.05, 0.30),) * 3,
    "bare": ((0.0, 0.25),) * 3,
    "water": ((-0.95, 0.0),) * 3,
}
"""Published NDVI of the surface per season, for the default style (mid April, early August, late
October): wheat, maize and stubble from Wardlow, Egbert and Kastens 2007 (Remote Sens. Environ. 108,
290); rice from Xiao et al. 2005 (Remote Sens. Environ. 95, 480); rape, lower while in bloom, from
d'Andrimont et al. 2020 (Remote Sens. Environ. 239, 111660); the others from the classes of the USGS
(NDVI, the Foundation for Remote Sensing Phenology: 0.6-0.9 dense, 0.2-0.5 sparse vegetation or
senescing crops, 0.1 or less for barren ground), widened where soil or red tile reach further.
Keys `roof`, `sealed`, `bare` and `water` hold for every material of that kind."""

KINDS = {
    name: "plant" if name in _PLANTS
    else "roof" if code < 20
    else "sealed" if code < 40 or name == "pitch_artificial"
    else "bare" if code < 60
    else "water" if 90 <= code < 100
    else "other"
    for name, code in CODES.items()
}  # fmt: skip
"""Material -> roof, sealed, bare, plant, water or other."""


def _key(material, season, style):
    style = getattr(style, "name", style)
    for value, known, what in (
        (material, NAMES, "material"),
        (season, SEASONS, "season"),
        (style, STYLES, "style"),
    ):
        if value not in known:
            raise KeyError(f"unknown {what} {value!r}; choose one of {', '.join(known)}")
    return style


def spectrum(material, season="summer", style="east_asian", leaf=1.0):
    """Reflectance of a material in Sentinel-2's ten bands.

    Parameters
    ----------
    material : str
        One of `NAMES`.
    season : {"spring", "summer", "autumn"}
        Matters for vegetation: mid April, early August, late October.
    style : str or Style
        Matters for vegetation: whose crop calendar.
    leaf : float or array of shape (n,)
        Multiplies the green share of vegetation, as one field is ahead of another.

    Returns
    -------
    numpy.ndarray
        Reflectance (0-1), shape (10,) or (n, 10), in the order of `BANDS`.

    Raises
    ------
    KeyError
        Unknown material, season or style.

    Examples
    --------
    >>> from toolkit.scene import materials
    >>> red, nir = materials.spectrum("tree_broadleaf", "summer")[[2, 6]]
    >>> bool((nir - red) / (nir + red) > 0.7)
    True
    """
    style = _key(material, season, style)
    leaf = np.asarray(leaf, float)[..., None]
    if material not in _PLANTS:
        return np.array(_SPECTRA[material]) / 100 * np.ones_like(leaf)
    calendar = {**_CALENDAR, **_STYLE_CALENDAR.get(style, {})}
    green, second, between = calendar[material][SEASONS.index(season)]
    first_plant, second_plant = _PLANTS[material]
    green = np.clip(green * leaf, 0, 1 - second)
    mixed = green * np.array(_SPECTRA[first_plant])
    mixed = mixed + (1 - green - second) * np.array(_SPECTRA[between])
    if second:
        mixed = mixed + second * np.array(_SPECTRA[second_plant])
    return mixed / 100


def table(season="summer", style="east_asian"):
    """Reflectance of every material, one row each.

    Parameters
    ----------
    season, style
        As in `spectrum`.

    Returns
    -------
    pandas.DataFrame
        Index material, columns `BANDS`, reflectance (0-1).

    Examples
    --------
    >>> from toolkit.scene import materials
    >>> materials.table("spring").shape
    (43, 10)
    """
    rows = {name: spectrum(name, season, style) for name in NAMES}
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(BANDS)).rename_axis("material")
