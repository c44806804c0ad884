import hashlib

import numpy as np
import pytest
import shapely
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from toolkit.scene import builtup, highways, region, relief, settlements

VECTORS = ("rivers", "lakes", "settlements", "roads", "built", "flares", "greenhouses")
RASTERS = ("elevation", "built_share", "construction_land", "population")


@pytest.fixture(scope="module")
def land():
    return region.make(0)


def checksum(table):
    text = table.drop(columns="geometry").to_csv(index=False).encode()
    return hashlib.sha256(text + b"".join(shapely.to_wkb(table.geometry))).hexdigest()


def test_same_seed_same_place(land):
    again = region._make.__wrapped__(0)
    for name in VECTORS:
        assert checksum(getattr(land, name)) == checksum(getattr(again, name)), name
    for name in RASTERS:
        assert getattr(land, name).identical(getattr(again, name)), name


def test_second_seed_is_another_place(land):
    other = region.make(1)
    for name in VECTORS:
        assert checksum(getattr(land, name)) != checksum(getattr(other, name)), name
    assert len(set(land.settlements["name"]) & set(other.settlements["name"])) < 10
    assert other.settlements["role"].value_counts()[["city", "generalisation"]].tolist() == [1, 4]
    joined = land.construction_land.values & other.construction_land.values
    assert joined.sum() < 0.2 * land.construction_land.values.sum()


def test_coordinates_are_whole_centimetres(land):
    for name in VECTORS:
        xy = shapely.get_coordinates(getattr(land, name).geometry.to_numpy())
        assert np.abs(xy * 100 - np.round(xy * 100)).max() < 1e-4, name


def test_settlements(land):
    table = land.settlements
    count = table["size"].value_counts()
    assert len(table) >= 66 and count["medium"] >= 20 and count["small"] >= 20
    assert count["mega"] >= 1 and count["large"] >= 5
    assert table["form"].value_counts().min() >= 20 and set(table["form"]) == set(builtup.FORMS)
    assert table["name"].is_unique and table["name"].str.fullmatch("[A-Z][a-z]{4,14}").all()
    assert table["population"].is_monotonic_decreasing
    kept = table[table["role"] == "generalisation"]
    assert sorted(kept["size"]) == ["large", "medium", "mega", "small"]
    for place in kept.itertuples():
        gap = table.distance(place.geometry) - table["radius_m"] - place.radius_m
        assert gap.drop(place.Index).min() > settlements.APART
    city = table[table["role"] == "city"].geometry.iloc[0]
    assert (city.x % 600, city.y % 600, city.x % 500, city.y % 500) == (0, 0, 0, 0)
    assert not table.loc[table["role"] != "train", "dim"].any() and 5 < table["dim"].sum() < 80


def test_rank_size_law(land):
    people = land.settlements["population"].to_numpy()
    top = people[:40]
    slope = np.polyfit(np.log(np.arange(1, 41)), np.log(top), 1)[0]
    assert slope == pytest.approx(-settlements.EXPONENT, abs=0.05)


def test_no_settlement_overlaps_another(land):
    urban = land.built[land.built["kind"] == "urban"]
    left, right = urban.sindex.query(urban.geometry, predicate="intersects")
    assert (urban["settlement"].to_numpy()[left] == urban["settlement"].to_numpy()[right]).all()
    assert set(urban["settlement"]) == set(land.settlements["name"])
    assert urban.is_valid.all()


def test_area_follows_population(land):
    area = land.built[land.built["kind"] == "urban"].dissolve("settlement").area
    place = land.settlements.set_index("name")
    ratio = area / (np.pi * place["radius_m"] ** 2)
    assert ratio.median() == pytest.approx(1, abs=0.1) and ratio.between(0.5, 1.5).mean() > 0.95


def test_forms_differ(land):
    urban = land.built[land.built["kind"] == "urban"].dissolve("settlement")
    large = land.settlements[land.settlements["size"].isin(["large", "medium", "small"])]
    parts = urban.geometry.apply(
        lambda g: (
            (np.array([p.area for p in g.geoms]).max() / g.area)
            if g.geom_type == "MultiPolygon"
            else 1.0
        )
    )
    box = shapely.minimum_rotated_rectangle(urban.geometry.to_numpy())
    corner = shapely.get_coordinates(box).reshape(-1, 5, 2)
    side = np.linalg.norm(np.diff(corner, axis=1)[:, :2], axis=2)
    urban["slender"] = side.max(axis=1) / side.min(axis=1)
    urban["compact"] = parts
    mean = urban.join(large.set_index("name")[["form"]], how="inner").groupby("form")
    mean = mean[["slender", "compact"]].median()
    assert mean["slender"].idxmax() == "ribbon" and mean.loc["ribbon", "slender"] > 1.8
    assert mean["compact"].idxmin() == "clustered" and mean.loc["clustered", "compact"] < 0.8
    assert mean.loc["grid", "compact"] > 0.9


def test_roads_are_connected_and_avoid_heights(land):
    roads, table = land.roads, land.settlements
    number = {name: index for index, name in enumerate(table["name"])}
    ends = roads["start"].map(number), roads["end"].map(number)
    graph = coo_matrix((np.ones(len(roads)), ends), (len(table), len(table)))
    assert connected_components(graph, directed=False)[0] == 1
    first = shapely.get_point(roads.geometry.to_numpy(), 0)
    last = shapely.get_point(roads.geometry.to_numpy(), -1)
    point = table.geometry.to_numpy()
    assert max(first.shape) == len(roads)
    assert shapely.distance(first, point[ends[0]]).max() < 0.02
    assert shapely.distance(last, point[ends[1]]).max() < 0.02
    assert set(roads["kind"]) == {"motorway", "national", "provincial"}
    xy = shapely.get_coordinates(shapely.segmentize(roads.geometry.to_numpy(), 500))
    col, row = np.array(~land.transform * xy.T).astype(int)
    assert land.elevation.values[row, col].mean() < 0.6 * float(land.elevation.mean())


def test_rivers_run_downhill_into_one(land):
    rivers = land.rivers
    assert rivers["width"].iloc[0] > 400 and rivers["name"].is_unique
    xy = shapely.get_coordinates(rivers.geometry.to_numpy()[0])
    assert xy[0, 0] < land.bounds[0] + 60_000 and xy[-1, 0] > land.bounds[2] - 2_000
    for line in rivers.geometry[:60]:
        ends = shapely.get_coordinates(line)[[0, -1]]
        col, row = np.array(~land.transform * ends.T).astype(int).clip(0, 1199)
        start, end = land.elevation.values[row, col]
        assert end < start + 40
    # Inside the basin the tributaries end in another river.
    inner = [
        g
        for g in rivers.geometry
        if 3.2e6 < g.coords[-1][1] < 3.6e6 and g.coords[-1][0] < 6.8e5 and g.coords[-1][0] > 3.2e5
    ]
    others = rivers.geometry.union_all()
    assert len(inner) > 30
    assert (
        np.mean([others.difference(g).distance(shapely.Point(g.coords[-1])) < 800 for g in inner])
        > 0.95
    )


def test_rasters(land):
    for name in RASTERS:
        array = getattr(land, name)
        assert array.dims == ("y", "x") and array.shape == (1200, 1200)
        assert array.rio.crs.to_epsg() == 32648 and array.rio.bounds() == land.bounds
        assert array.attrs["simulated"] is True and array.attrs["seed"] == 0
        assert {"title", "long_name", "units", "scene_version"} <= set(array.attrs)
    built, share = land.construction_land, land.built_share
    assert built.dtype == np.uint8 and set(np.unique(built)) == {0, 1}
    assert np.array_equal(built.values == 1, share.values > 0.5)
    assert [c["value"] for c in built.attrs["classes"]] == [0, 1]
    assert 0.02 < float(built.mean()) < 0.04
    assert float(land.elevation.min()) > 100 and 4000 < float(land.elevation.max()) < 7500
    west, middle = land.elevation[:, :200].mean(), land.elevation[400:800, 500:900].mean()
    assert west > 3 * middle
    people = land.settlements["population"].sum() + builtup.RURAL
    assert float(land.population.sum()) == pytest.approx(people, rel=1e-3)
    assert float(land.population.min()) >= 0


def test_place_for_the_city(land):
    place = region.place(land)
    assert place["terrain"].rio.crs.to_epsg() == 32648 and place["terrain"].shape == (40, 40)
    assert 3e5 < place["population"] < 1e6 and place["radius_m"] < 6000
    centre = shapely.Point(place["x"], place["y"])
    assert place["river"].distance(centre) < 3000 and 40 < place["river_width"] < 900
    assert len(place["roads"]) >= 3
    square = centre.buffer(6000, cap_style="square")
    assert place["built"].intersection(square).area > 0.97 * place["built"].area
    name = land.settlements["name"].iloc[0]
    assert region.place(land, name)["name"] == name
    with pytest.raises(KeyError, match="neither a role"):
        region.place(land, "Atlantis")


def test_bad_seed():
    with pytest.raises(ValueError, match="whole number"):
        region.make(-3)


def test_gabriel_graph():
    xy = np.array([[0.0, 0], [2, 0.5], [4, 0], [2, 4]])
    assert [0, 2] not in highways.gabriel(xy).tolist()


def test_width_grows_with_the_root_of_the_catchment():
    assert relief.width(40_000) == pytest.approx(2 * relief.width(10_000))
    assert 500 < relief.width(500_000) < 900  # the upper Yangtze: 500 to 800 m
