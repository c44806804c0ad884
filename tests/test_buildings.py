"""Buildings: polygons from masks, scores by building, heights. Figures worked out by hand."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
import xarray as xr
from rasterio.transform import from_origin
from scipy import ndimage
from shapely import Polygon, box

from toolkit import accuracy, buildings

CRS = "EPSG:32648"
PLAIN = {"minimum_area": 0, "simplify": 0, "regularise": False, "minimum_hole": 0}


def raster(values, resolution=1.0, crs=CRS, west=400_000.0, north=3_400_000.0):
    """A raster (y, x) or (class, y, x) with its upper left corner at west, north."""
    values = np.asarray(values)
    height, width = values.shape[-2:]
    dims = ("y", "x") if values.ndim == 2 else ("class", "y", "x")
    array = xr.DataArray(
        values,
        dims=dims,
        coords={
            "y": north - resolution * (np.arange(height) + 0.5),
            "x": west + resolution * (np.arange(width) + 0.5),
        },
    )
    return array if crs is None else array.rio.write_crs(crs)


def layer(*geometry, crs=CRS, **columns):
    return gpd.GeoDataFrame(columns, geometry=list(geometry), crs=crs)


def identical(one, other):
    assert len(one) == len(other)
    for a, b in zip(one.geometry, other.geometry, strict=True):
        assert a.equals_exact(b, 0)
    drop = one.drop(columns="geometry"), other.drop(columns="geometry")
    pd.testing.assert_frame_equal(*drop, check_exact=False, rtol=1e-12)


def test_a_courtyard_keeps_its_hole_and_its_numbers():
    p = np.zeros((12, 12), "float32")
    p[1:9, 2:10] = 0.8
    p[3:7, 4:8] = 0.1  # a courtyard of 16 m2
    p[8, 9] = 0.6
    found = buildings.vectorise(raster(p), regularise=False, simplify=0)
    assert len(found) == 1 and found.crs == CRS
    assert found["area"][0] == pytest.approx(48)
    assert found["probability"][0] == pytest.approx((47 * 0.8 + 0.6) / 48)
    assert len(found.geometry[0].interiors) == 1
    assert found.total_bounds == pytest.approx([400_002, 3_399_991, 400_010, 3_399_999])
    filled = buildings.vectorise(raster(p), regularise=False, simplify=0, minimum_hole=17)
    assert filled["area"][0] == pytest.approx(64) and not filled.geometry[0].interiors


def test_threshold_and_minimum_area_count_square_metres():
    p = np.zeros((8, 8), "float32")
    p[1:3, 1:3], p[5:7, 5:8] = 0.6, 0.4  # 4 and 6 pixels of 2 x 2 m: 16 and 24 m2
    image = raster(p, resolution=2.0)
    assert len(buildings.vectorise(image, threshold=0.3, **PLAIN)) == 2
    assert buildings.vectorise(image, **PLAIN)["area"].tolist() == pytest.approx([16])
    kept = buildings.vectorise(image, threshold=0.3, **PLAIN | {"minimum_area": 17})
    assert kept["area"].tolist() == pytest.approx([24])
    feet = raster(p, crs="EPSG:2264")  # 1 ft (US survey) pixels
    found = buildings.vectorise(feet, **PLAIN)
    assert found["area"][0] == pytest.approx(4 * (1200 / 3937) ** 2)


def test_pixels_that_touch_in_a_corner_are_two_buildings():
    mask = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]], "uint8")
    found = buildings.vectorise(raster(mask), **PLAIN)
    assert found["area"].tolist() == pytest.approx([4, 4]) and found["probability"].isna().all()


@pytest.mark.parametrize("seed", range(12))
def test_windows_do_not_change_the_result(seed):
    rng = np.random.default_rng(seed)
    shape = rng.integers(5, 26, 2)
    inside = rng.random(shape) < rng.choice([0.3, 0.5, 0.6, 0.8])
    p = np.where(inside, rng.uniform(0.5, 1, shape), rng.uniform(0, 0.49, shape))
    whole = raster(p.astype("float32"), resolution=0.8)
    chunks = dict(zip(("y", "x"), rng.integers(1, 9, 2).tolist(), strict=True))
    one = buildings.vectorise(whole, **PLAIN)
    assert len(one) == ndimage.label(inside)[1] and one.is_valid.all()
    assert one["area"].sum() == pytest.approx(inside.sum() * 0.64)
    identical(one, buildings.vectorise(whole.chunk(chunks), **PLAIN))
    regular = buildings.vectorise(whole, minimum_area=3)
    identical(regular, buildings.vectorise(whole, minimum_area=3, window=7))


def test_a_lazy_raster_is_read_chunk_by_chunk():
    shapes = []

    def made(block):
        shapes.append(block.shape)
        return block

    mask = np.zeros((40, 60), "uint8")
    mask[10:30, 10:50] = 1
    lazy = raster(mask).chunk({"y": 20, "x": 20})
    lazy = lazy.copy(data=lazy.data.map_blocks(made, dtype="uint8", meta=np.empty((0, 0), "uint8")))
    found = buildings.vectorise(lazy, **PLAIN)
    assert found["area"].tolist() == pytest.approx([800]) and set(shapes) == {(20, 20)}


def test_regularising_straightens_a_slanted_house():
    house = shapely.affinity.rotate(box(400_020, 3_399_960, 400_050, 3_399_980), 27)
    # The stairs of a slanted wall: 30 x 20 m at 0.8 m.
    like = raster(np.zeros((90, 90), "uint8"), resolution=0.8)
    mask = buildings.rasterise(layer(house), like)
    stairs = buildings.vectorise(mask, simplify=0, regularise=False)
    plain = buildings.vectorise(mask)
    assert plain["regularised"].tolist() == [True]
    corners = shapely.get_coordinates(plain.geometry[0])
    sides = np.diff(corners, axis=0)
    angle = np.degrees(np.arctan2(sides[:, 1], sides[:, 0])) % 45
    assert np.ptp(np.minimum(angle, 45 - angle)) < 0.5  # one direction, and what is square to it
    assert len(corners) < 10 < len(shapely.get_coordinates(stairs.geometry[0]))
    assert buildings.match(layer(house), plain)["iou"][0] > 0.93
    again = buildings.rasterise(plain, like)
    assert accuracy.confusion(mask, again).iou["building"] > 0.9


def test_nodata_is_no_building_and_class_maps_carry_their_value():
    codes = np.array([[2, 2, 255, 255], [2, 2, 0, 0], [0, 0, 2, 2]], "uint8")
    found = buildings.vectorise(raster(codes).rio.write_nodata(255), value=2, **PLAIN)
    assert found["area"].tolist() == pytest.approx([4, 2])
    flags = buildings.vectorise(raster(codes == 2), **PLAIN)
    assert flags["area"].tolist() == pytest.approx([4, 2])
    p = np.full((2, 3, 3), np.nan, "float32")
    p[:, :2] = [[[0.2]], [[0.8]]]
    pair = buildings.vectorise(raster(p), **PLAIN)
    assert pair["area"].tolist() == pytest.approx([6])
    assert pair["probability"].tolist() == pytest.approx([0.8])


def test_an_empty_mask_gives_an_empty_table_and_says_so():
    with pytest.warns(UserWarning, match="no building"):
        found = buildings.vectorise(raster(np.zeros((5, 5), "uint8")))
    assert found.empty and found.crs == CRS
    assert list(found.columns) == ["geometry", "area", "probability", "regularised"]


def test_vectorise_explains_bad_input():
    good = np.zeros((5, 5), "float32")
    with pytest.raises(ValueError, match="no pixel holds data"):
        buildings.vectorise(raster(good * np.nan))
    with pytest.raises(ValueError, match="image == 255"):
        buildings.vectorise(raster(np.full((5, 5), 255, "uint8")))
    with pytest.raises(ValueError, match="no CRS"):
        buildings.vectorise(raster(good, crs=None))
    with pytest.raises(ValueError, match="in degrees"):
        buildings.vectorise(raster(good, crs="EPSG:4326"))
    with pytest.raises(ValueError, match="no probabilities"):
        buildings.vectorise(raster(good + 7))
    with pytest.raises(ValueError, match="3 layers"):
        buildings.vectorise(raster(np.zeros((3, 5, 5))))
    with pytest.raises(ValueError, match="empty"):
        buildings.vectorise(raster(np.zeros((0, 5))))
    with pytest.raises(TypeError, match="DataArray"):
        buildings.vectorise(good)
    for wrong in ({"threshold": 0}, {"minimum_area": -1}, {"simplify": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            buildings.vectorise(raster(good), **wrong)


def test_match_is_one_to_one_and_takes_the_best():
    truth = layer(box(0, 0, 10, 10), box(10, 0, 20, 10), box(40, 0, 50, 10))
    truth.index = [7, 8, 9]
    found = layer(box(0, 0, 10, 9), box(0, 0, 10, 8), box(10, 0, 26, 10))
    pairs = buildings.match(truth, found)
    # 90 / 100 before 80 / 100 of the same building; 100 / 160.
    assert pairs[["reference", "found"]].to_numpy().tolist() == [[7, 0], [8, 2]]
    assert pairs["iou"].tolist() == pytest.approx([0.9, 0.625])
    assert pairs["found_area"].tolist() == pytest.approx([90, 160])
    assert len(buildings.match(truth, found, iou=0.7)) == 1
    assert len(buildings.match(truth, found, iou=0.625)) == 2  # at least, not more than


def test_polis_by_hand():
    # a's corners (0, 0) and (0, 4) lie 3 m from b's west wall, all others on the outline.
    a, b = box(0, 0, 10, 4), box(3, 0, 10, 4)
    assert buildings.polis([a], [b]) == pytest.approx([(3 + 3) / 4 / 2])
    assert buildings.polis([a, b], [a, b]) == pytest.approx([0, 0])
    # A courtyard that one lacks: its corners count, 2 m from the wall; the outer ones lie on it.
    yard = Polygon(a.exterior.coords, [[(4, 1), (6, 1), (6, 3), (4, 3)]])
    assert buildings.polis([yard], [a]) == pytest.approx([4 * 1 / 8 / 2])
    assert buildings.polis([], []).tolist() == []
    with pytest.raises(ValueError, match="by pairs"):
        buildings.polis([a], [])


def test_object_scores_by_hand_and_of_nothing():
    truth = layer(box(0, 0, 10, 10), box(20, 0, 30, 10), box(40, 0, 50, 10), box(60, 0, 70, 10))
    found = layer(box(0, 0, 10, 8), box(20, 0, 30, 10), box(80, 0, 90, 4))
    scores = buildings.object_scores(truth, found)
    wanted = {
        "reference": 4, "found": 3, "matched": 2, "precision": 2 / 3, "recall": 0.5, "f1": 4 / 7,
        "count_error": -0.25, "mean_iou": 0.9, "polis": 0.25, "polis_median": 0.25,
        "pair_area_error": 0.1, "area_error": 220 / 400 - 1,
    }  # fmt: skip
    assert scores.to_dict() == pytest.approx(wanted)
    none = layer()
    missed = buildings.object_scores(truth, none)
    assert missed[["recall", "f1"]].tolist() == [0, 0] and missed["area_error"] == -1
    assert missed[["precision", "mean_iou", "polis"]].isna().all()
    invented = buildings.object_scores(none, found)
    assert invented[["precision", "f1"]].tolist() == [0, 0] and np.isnan(invented["recall"])
    both = buildings.object_scores(none, none)
    assert both[["precision", "recall", "f1", "area_error"]].isna().all()


def test_layers_are_refused_with_a_reason_and_clean_repairs_them():
    good = layer(box(0, 0, 1, 1), box(5, 5, 6, 6))
    tie = Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    turned = Polygon([(1, 1), (0, 1), (0, 0), (1, 0)])  # the first one, drawn from elsewhere
    for bad, reason in (
        (layer(box(0, 0, 1, 1), crs=None), "no CRS"),
        (layer(box(0, 0, 1, 1), crs="EPSG:4326"), "in degrees"),
        (layer(box(0, 0, 1, 1), crs="EPSG:32649"), "to_crs"),
        (layer(box(0, 0, 1, 1), tie), "invalid polygon.*first at index 1"),
        (layer(box(0, 0, 1, 1), turned), "same polygon"),
        (layer(box(0, 0, 1, 1), None), "no geometry"),
        (layer(shapely.Point(0, 0)), "else than a polygon"),
        (pd.concat([good.iloc[:1], good.iloc[1:].set_axis([0])]), "twice"),
    ):
        with pytest.raises(ValueError, match=reason):
            buildings.match(good, bad)
    with pytest.raises(TypeError, match="GeoDataFrame"):
        buildings.match(good, pd.DataFrame())
    messy = layer(
        box(0, 0, 1, 1), turned, tie, None, shapely.Point(0, 0), Polygon(), name=list("abcdef")
    )
    tidy = buildings.clean(messy)
    assert tidy["name"].tolist() == ["a", "c"]
    assert tidy.attrs["cleaned"] == {"repaired": 1, "without polygon": 3, "repeated": 1}
    assert tidy.area.tolist() == pytest.approx([1, 2]) and len(messy) == 6
    assert buildings.match(tidy, tidy)["polis"].tolist() == [0, 0]  # a MultiPolygon, too


def test_heights_go_by_the_largest_overlap():
    houses = layer(box(0, 0, 10, 10), box(20, 0, 30, 10), box(40, 0, 50, 10), box(60, 0, 70, 10))
    known = layer(
        box(0, 0, 3, 10), box(3, 0, 10, 10), box(29.5, 0, 32, 10), box(40, 0, 50, 10),
        height=[50.0, 12.0, 8.0, np.nan], storeys=[15, 4, 3, 5],
    )  # fmt: skip
    with pytest.warns(UserWarning, match="2 of 4 buildings have no known height"):
        out = buildings.join_heights(houses, known)
    assert out["height"].tolist() == pytest.approx([12, np.nan, np.nan, np.nan], nan_ok=True)
    assert out["storeys"].tolist() == pytest.approx([4, np.nan, 5, np.nan], nan_ok=True)
    assert out["height_share"].tolist() == pytest.approx([0.7, 0.05, 1, 0])
    assert out["height_source"].tolist() == ["polygon", "unknown", "polygon", "unknown"]
    assert out.attrs["height_unknown"] == 2 and len(out) == 4 and "height" not in houses
    points = layer(*shapely.points([(1, 1), (2, 2), (3, 3), (25, 5)]), height=[5.0, 9.0, 30.0, 7.0])
    with pytest.warns(UserWarning, match="2 of 4"):
        out = buildings.join_heights(houses, points)
    assert out["height"].tolist()[:2] == [9, 7] and out["height_source"][0] == "point"


def test_heights_from_a_surface_and_its_ground():
    ground = np.tile(np.linspace(100, 110, 20), (20, 1))
    surface = ground.copy()
    surface[2:8, 2:8] += 12.5
    surface[2, 2] += 40  # a mast
    surface[12:18, 12:18] = -9999
    dsm = raster(surface).rio.write_nodata(-9999)
    w, n = 400_000, 3_400_000
    houses = layer(box(w + 2, n - 8, w + 8, n - 2), box(w + 12, n - 18, w + 18, n - 12))
    with pytest.warns(UserWarning, match="1 of 2"):
        out = buildings.join_heights(houses, dsm, raster(ground))
    assert out["height"].tolist() == pytest.approx([12.5, np.nan], nan_ok=True)
    assert out["height_share"].tolist() == [1, 0]
    with pytest.warns(UserWarning):
        mean = buildings.join_heights(houses, dsm, raster(ground), statistic="mean")
    assert mean["height"][0] == pytest.approx(12.5 + 40 / 36)
    with pytest.raises(ValueError, match="ground"):
        buildings.join_heights(houses, dsm, raster(ground, west=400_050.0))
    with pytest.raises(ValueError, match="32649"):
        buildings.join_heights(houses, raster(surface, crs="EPSG:32649"))
    with pytest.raises(ValueError, match="no pixel holds data"):
        buildings.join_heights(houses, raster(surface * np.nan))


def test_bad_heights_are_named():
    houses = layer(box(0, 0, 10, 10))
    with pytest.raises(KeyError, match="floors"):
        buildings.join_heights(houses, layer(box(0, 0, 9, 9), floors=[3]))
    with pytest.raises(ValueError, match="negative"):
        buildings.join_heights(houses, layer(box(0, 0, 9, 9), height=[-9999.0]))
    with pytest.raises(TypeError, match="raster"):
        buildings.join_heights(houses, [3])
    with pytest.raises(ValueError, match="no CRS"):
        buildings.join_heights(houses, layer(box(0, 0, 9, 9), height=[3.0], crs=None))


def test_low_enough_keeps_what_nobody_knows():
    table = pd.DataFrame(
        {"height": [45, 45.1, 15, np.nan, np.nan, 30], "storeys": [15, 3, np.nan, 16, np.nan, 16]}
    )
    low = buildings.low_enough(table)
    assert low.tolist() == [True, False, True, False, pd.NA, False] and low.dtype == "boolean"
    results = buildings.low_enough(table, metres=15, storeys=None)
    assert results.tolist() == [False, False, True, pd.NA, pd.NA, False]
    floors = buildings.low_enough(table, metres=None)
    assert floors.tolist() == [True, True, pd.NA, False, pd.NA, False]
    for options, reason in (
        ({"metres": None, "storeys": None}, "limit"),
        ({"metres": -1}, "limit"),
    ):
        with pytest.raises(ValueError, match=reason):
            buildings.low_enough(table, **options)
    with pytest.raises(ValueError, match="join_heights"):
        buildings.low_enough(table[[]])


def test_rasterise_goes_back_to_the_same_mask():
    rng = np.random.default_rng(4)
    inside = ndimage.binary_opening(rng.random((40, 50)) < 0.8, np.ones((3, 3)))
    mask = raster(inside.astype("uint8"), resolution=0.8)
    found = buildings.vectorise(mask, **PLAIN)
    back = buildings.rasterise(found, mask)
    np.testing.assert_array_equal(back.values, mask.values)
    assert back.rio.crs == mask.rio.crs and back.rio.nodata == 255
    assert back.rio.transform() == from_origin(400_000, 3_400_000, 0.8, 0.8) or np.allclose(
        back.rio.transform(), mask.rio.transform(recalc=True)
    )
    image = raster(np.zeros((2, 40, 50), "float32"), resolution=0.8).rename({"class": "band"})
    image[:, :3] = np.nan
    image[0, 5] = np.nan  # the other band knows
    held = buildings.rasterise(found, image)
    assert (held[:3] == 255).all() and not (held[3:] == 255).any()
    assert not buildings.rasterise(found.iloc[:0], mask).any()
    with pytest.raises(ValueError, match="to_crs"):
        buildings.rasterise(found.to_crs("EPSG:32649"), mask)
