"""A city small enough for every test: fields, a wood, a pond, streets, houses and one tower."""

from types import SimpleNamespace

import geopandas as gpd
import numpy as np
import pytest
import shapely
import xarray as xr


def build(seed=5, slope=0.0):
    """A square of 720 m with known objects; x and y below are metres from its corner."""
    west, south, size = 400000.0, 3396000.0, 720.0
    rows = []

    def add(x, y, wide, high, material, order, height=0.0):
        rows.append((shapely.box(x, y, x + wide, y + high), material, order, len(rows), height))

    add(0, 0, 720, 720, "grass_wild", 0)
    crops = ("cropland_rice", "cropland_wheat", "cropland_rape", "cropland_maize")
    for i in range(24):
        add(120 * (i % 6), 480 + 60 * (i // 6), 118, 58, crops[i % 4], 1)
    add(0, 0, 160, 220, "tree_broadleaf", 1, 10.0)
    add(0, 240, 160, 220, "water_pond", 1)
    add(200, 0, 520, 460, "concrete_paving", 1)
    add(200, 220, 520, 20, "asphalt", 2)
    add(480, 60, 200, 100, "asphalt", 2)
    add(420, 300, 40, 40, "roof_concrete", 3, 60.0)
    for i in range(4):
        add(220 + 60 * i, 40, 40, 12, "roof_tile_red", 3, 7.0)
    add(560, 300, 100, 60, "roof_metal_blue", 3, 9.0)
    geometry, material, order, parcel, height = (list(c) for c in zip(*rows, strict=True))
    geometry = shapely.transform(geometry, lambda xy: xy + np.array([west, south]))
    surfaces = gpd.GeoDataFrame(
        {"material": material, "order": order, "parcel": parcel, "height": height},
        geometry=geometry,
        crs="EPSG:32648",
    )
    surfaces["material"] = surfaces["material"].astype("category")
    road = shapely.LineString([(west + 200, south + 230), (west + 720, south + 230)])
    roads = gpd.GeoDataFrame(
        {"kind": ["street"], "width": [14.0], "name": ["Kiln Road"]}, geometry=[road], crs=32648
    )
    tree = shapely.points(west + 400, south + 260)
    trees = gpd.GeoDataFrame({"radius": [3.0], "height": [8.0]}, geometry=[tree], crs=32648)
    y, x = south + size - 15 - 30 * np.arange(24), west + 15 + 30 * np.arange(24)
    land = xr.DataArray(
        500 + slope * (x - west) * np.ones((24, 1)), dims=("y", "x"), coords={"y": y, "x": x}
    )
    return SimpleNamespace(
        seed=seed,
        style=SimpleNamespace(name="east_asian"),
        crs="EPSG:32648",
        bounds=(west, south, west + size, south + size),
        place={"name": "Toy", "x": west + size / 2, "y": south + size / 2},
        surfaces=surfaces,
        roads=roads,
        trees=trees,
        elevation=land,
    )


@pytest.fixture
def toy():
    """The small city, or with `toy(seed=..., slope=...)` another one."""
    return build


@pytest.fixture(scope="session")
def toy_city():
    """The small city as it is by default."""
    return build()
