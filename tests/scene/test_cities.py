import numpy as np
import pytest
import shapely
from scipy import sparse
from shapely.geometry import LineString

from toolkit.scene import cities, materials, shapes, styles

SIZE = 3600.0


@pytest.fixture(scope="module")
def town():
    return cities.make(seed=5, style="east_asian", size=SIZE)


@pytest.fixture(scope="module")
def all_styles():
    return {name: cities.make(seed=2, style=name, size=2400.0) for name in styles.STYLES}


def checksum(table):
    return hash(tuple(shapely.to_wkb(table.geometry.values)))


def test_same_seed_same_city_and_another_seed_another(town):
    again = cities.make(seed=5, style="east_asian", size=SIZE)
    other = cities.make(seed=6, style="east_asian", size=SIZE)
    for layer in ("surfaces", "buildings", "roads", "districts", "trees"):
        assert checksum(getattr(town, layer)) == checksum(getattr(again, layer)), layer
        assert checksum(getattr(town, layer)) != checksum(getattr(other, layer)), layer
    assert (town.surfaces["material"].to_numpy() == again.surfaces["material"].to_numpy()).all()
    np.testing.assert_array_equal(town.elevation, again.elevation)


def test_tables_have_their_columns(town):
    assert {"material", "order", "parcel", "height"} <= set(town.surfaces)
    wanted = {"id", "height", "storeys", "roof", "regular", "year", "district", "use", "material"}
    assert wanted <= set(town.buildings)
    assert {"kind", "width", "name"} <= set(town.roads)
    assert {"radius", "height"} <= set(town.trees)
    assert town.surfaces["order"].is_monotonic_increasing
    assert set(town.surfaces["material"]) <= set(materials.CODES)
    assert town.buildings["id"].is_unique
    assert set(town.buildings["roof"]) <= {"flat concrete", "metal sheet", "sloped tile", "glass"}
    kinds = {"motorway", "ring", "arterial", "street", "lane", "track"}
    assert set(town.roads["kind"]) <= kinds
    assert set(town.roads.geom_type) == {"LineString"}


def test_layers_say_that_they_are_simulated(town):
    for layer in (town.surfaces, town.buildings, town.roads, town.trees, town.elevation):
        assert layer.attrs["simulated"] is True
        assert layer.attrs["seed"] == 5
        assert layer.attrs["scene_version"]


def test_surfaces_cover_the_square(town):
    base = town.surfaces.geometry.iloc[0]
    assert base.equals(shapely.box(*town.bounds))
    assert shapely.is_valid(town.surfaces.geometry.values).all()


def test_buildings_do_not_overlap(all_styles):
    for name, place in all_styles.items():
        geometry = place.buildings.geometry.values
        a, b = shapely.STRtree(geometry).query(geometry, predicate="intersects")
        pair = a < b
        overlap = shapely.area(shapely.intersection(geometry[a[pair]], geometry[b[pair]]))
        assert overlap.max(initial=0) < 0.1, name


def test_roads_are_connected(all_styles):
    for name, place in all_styles.items():
        line = place.roads.geometry.values
        a, b = shapely.STRtree(line).query(line, predicate="dwithin", distance=0.5)
        graph = sparse.coo_matrix((np.ones(len(a)), (a, b)), shape=(len(line),) * 2)
        assert sparse.csgraph.connected_components(graph)[0] == 1, name


def test_every_building_is_in_one_of_six_districts(all_styles):
    for name, place in all_styles.items():
        districts = place.districts
        assert len(districts) == 6 and districts["name"].is_unique, name
        assert districts.area.sum() == pytest.approx(2400.0**2, rel=1e-6)
        at = place.buildings.representative_point()
        pairs = shapely.STRtree(districts.geometry.values).query(at.values, predicate="intersects")
        found = districts["name"].to_numpy()[pairs[1]]
        assert len(found) == len(place.buildings), name
        own = place.buildings["district"].to_numpy()[pairs[0]]
        assert (found == own).all()


def test_heights_are_those_of_houses(all_styles):
    for name, place in all_styles.items():
        houses = place.buildings
        assert (houses["storeys"] >= 1).all(), name
        assert houses["height"].between(2.5, 220).all(), name
        assert houses["year"].between(1890, 2017).all()
        assert not ((houses["roof"] == "sloped tile") & (houses["storeys"] > 8)).any()


def test_years_spread(all_styles, town):
    for name, place in {**all_styles, "town": town}.items():
        year = place.buildings["year"]
        assert (year >= 2016).mean() < 0.12, name  # building sites, and little else
        assert year.quantile(0.9) - year.quantile(0.1) > 12, name
    at = shapely.get_coordinates(town.buildings.centroid.values)
    away = np.hypot(at[:, 0] - town.place["x"], at[:, 1] - town.place["y"])
    year = town.buildings["year"].to_numpy()
    assert year[away < 500].mean() + 3 < year[away > 1000].mean()


def test_woods_stand_on_the_ridge_and_lakes_off_the_roads():
    place = cities.make(seed=4, style="east_asian", size=6000.0)
    table = place.surfaces
    wood = table[table["material"].isin(["tree_broadleaf", "tree_conifer"]) & (table["order"] == 7)]
    at = shapely.get_coordinates(wood.representative_point().values)
    z = [float(place.elevation.sel(x=x, y=y, method="nearest")) for x, y in at]
    assert np.average(z, weights=wood.area) > float(place.elevation.mean()) + 10
    assert float(place.elevation.max() - place.elevation.min()) > 60
    lakes = table[table["material"] == "water_lake"].union_all()
    assert lakes.area > 10_000
    main = place.roads[place.roads["kind"].isin(["arterial", "ring", "motorway"])]
    assert not main.intersects(lakes).any()
    assert not place.buildings.intersects(lakes).any()


def test_the_middle_is_built_more_densely():
    place = cities.make(seed=1, style="mediterranean", size=6000.0)
    at = shapely.get_coordinates(place.buildings.centroid.values)
    away = np.hypot(at[:, 0] - place.place["x"], at[:, 1] - place.place["y"])
    roof = place.buildings.area.to_numpy()
    share = [
        roof[(away >= a) & (away < b)].sum() / (np.pi * (b**2 - a**2))
        for a, b in ((0, 800), (800, 1900), (2300, 2900))
    ]
    assert share[0] > share[1] > share[2]


def test_styles_differ_in_roofs(all_styles):
    def top(name):
        houses = all_styles[name].buildings
        return houses.area.groupby(houses["material"]).sum().idxmax()

    assert top("mediterranean") == "roof_tile_red"
    assert top("arid") in ("roof_concrete", "roof_white")
    assert top("tropical_informal") in ("roof_rust", "roof_metal_grey")
    assert len({styles.get(n).crs for n in styles.STYLES}) == 6


def test_a_place_of_the_region_is_kept():
    river = LineString([(400_000, 3_397_000), (404_000, 3_399_500), (410_000, 3_401_000)])
    place = {"name": "Test", "x": 404_000.0, "y": 3_399_000.0, "population": 250_000,
             "radius_m": 1200.0, "river": river, "crs": "EPSG:32648",
             "terrain": lambda x, y: 500 + 0.01 * (x - 404_000)}  # fmt: skip
    made = cities.make(seed=1, place=place, size=3600.0)
    assert made.crs == "EPSG:32648" and made.place["name"] == "Test"
    assert made.bounds[0] % 600 == 0 and made.bounds[2] - made.bounds[0] == 3600
    water = made.surfaces[made.surfaces["material"] == "water_river"].union_all()
    inside = shapely.intersection(river, shapely.box(*made.bounds))
    assert inside.difference(water.buffer(450)).length < 0.02 * inside.length
    assert made.districts["population"].sum() == pytest.approx(250_000, abs=6)
    assert float(made.elevation.max()) > float(made.elevation.min())


def test_bad_input_is_explained():
    with pytest.raises(KeyError, match="no style 'lunar'"):
        cities.make(style="lunar")
    with pytest.raises(ValueError, match="square"):
        cities.make(bounds=(0, 0, 5000, 4000))
    with pytest.raises(ValueError, match="seed"):
        cities.make(seed=-1)


def test_clip_matches_the_general_intersection():
    draw = np.random.default_rng(0)
    polygons = shapes.blobs(draw.uniform(0, 500, (300, 2)), 20.0, draw, rough=0.6)
    point = shapely.get_coordinates(shapely.centroid(polygons)) + draw.normal(0, 8, (300, 2))
    turn = draw.uniform(0, 7, 300)
    normal = np.stack([np.cos(turn), np.sin(turn)], -1)
    kept = shapes.clip(polygons, point, normal)
    rest = shapes.clip(polygons, point, -normal)
    np.testing.assert_allclose(
        shapely.area(kept) + shapely.area(rest), shapely.area(polygons), rtol=1e-6
    )
    assert shapely.is_valid(kept).all()


def test_divide_keeps_the_area_and_opens_streets():
    draw = np.random.default_rng(1)
    square = np.array([shapely.box(0, 0, 400, 300)])
    lots, root, _, _, _ = shapes.divide(square, 500.0, draw)
    assert shapely.area(lots).sum() == pytest.approx(120_000)
    assert (root == 0).all() and len(lots) > 80
    blocks, _, lines, gaps, cells = shapes.divide(
        square, 9000.0, draw, lambda area, centre: np.full(len(area), 10.0)
    )
    assert shapely.area(cells).sum() == pytest.approx(120_000)
    assert shapely.area(blocks).sum() < 118_000
    assert (gaps == 10).all() and len(lines) == len(blocks) - 1
    assert shapely.distance(shapely.union_all(lines), blocks).min() > 4.9
