"""Landscape metrics against hand-counted pixel sides, and shapes settlement by settlement."""

import geopandas as gpd
import numpy as np
import pytest
import rioxarray  # noqa: F401
import xarray as xr
from shapely.geometry import Point, box

from toolkit.accuracy import compare_shapes, landscape_metrics, settlement_zones

SIDE = 500.0


def raster(values, crs="EPSG:32648", left=0.0, top=0.0, dx=SIDE, dy=SIDE, **attrs):
    values = np.asarray(values)
    coords = {
        "y": top - dy * (np.arange(values.shape[0]) + 0.5),
        "x": left + dx * (np.arange(values.shape[1]) + 0.5),
    }
    array = xr.DataArray(values, coords, ("y", "x"), attrs=attrs)
    return array if crs is None else array.rio.write_crs(crs)


def drawn(*pixels, shape=(10, 10), dtype="uint8"):
    values = np.zeros(shape, dtype)
    for pixel in pixels:
        values[pixel] = 1
    return values


def places(*geometry, crs="EPSG:32648", **columns):
    return gpd.GeoDataFrame(columns, geometry=list(geometry), crs=crs)


# Definitions, counted by hand


@pytest.mark.parametrize(
    "pixels, patches, sides, index",
    [
        ([np.s_[2:5, 2:5]], 1, 12, 12 / 12),  # square: 4 n
        ([np.s_[2:4, 2:5]], 1, 10, 10 / 10),  # n (n + 1) pixels: 4 n + 2
        ([np.s_[2, 2:6]], 1, 10, 10 / 8),  # a row of four against a square of four
        ([np.s_[2:6, 2], np.s_[5, 3:6]], 1, 16, 16 / 12),  # L of 7 pixels: 4 n + 4
        ([np.s_[1, 1], np.s_[6, 6]], 2, 8, 8 / 6),  # two patches, one index
        ([np.s_[2:7, 2:7]], 1, 20, 1),
    ],
)
def test_metrics_are_the_hand_counted_ones(pixels, patches, sides, index):
    values = drawn(*pixels)
    row = landscape_metrics(raster(values), ["rural", "urban"]).loc["urban"]
    assert row.patches == patches
    assert row.total_edge == sides * SIDE
    assert row.shape_index == pytest.approx(index)
    assert row.pixels == values.sum()
    assert row.area_km2 == pytest.approx(values.sum() * 0.25)
    assert row.share == pytest.approx(values.mean())
    assert row.cut_edge == 0


def test_hole_adds_its_edge():
    values = drawn(np.s_[2:5, 2:5])
    values[3, 3] = 0
    row = landscape_metrics(raster(values)).loc[1]
    assert row.total_edge == 16 * SIDE
    assert row.shape_index == pytest.approx(16 / 12)  # 8 pixels: n = 2, above n (n + 1)


def test_index_is_relative_to_the_shortest_edge_of_pixels_not_to_a_square():
    row = landscape_metrics(raster(drawn(np.s_[2:4, 2], np.s_[3, 3]))).loc[1]
    assert row.total_edge == 8 * SIDE
    assert row.shape_index == 1  # three pixels cannot have less than 8 sides
    assert 0.25 * 8 / np.sqrt(3) > 1.15  # what the other formula would say


def test_corners_join_patches_with_eight_neighbours_only():
    image = raster(drawn(np.s_[1, 1], np.s_[2, 2]))
    assert landscape_metrics(image).patches[1] == 1
    assert landscape_metrics(image, neighbours=4).patches[1] == 2
    edges = [landscape_metrics(image, neighbours=k).total_edge[1] for k in (4, 8)]
    assert edges == [8 * SIDE] * 2
    with pytest.raises(ValueError, match=r"8 \(corners count\) or 4"):
        landscape_metrics(image, neighbours=6)


def test_rim_and_unknown_ground_are_edge_and_counted_as_cut():
    values = drawn(np.s_[0, 0:3])
    values[1, 1] = 255
    row = landscape_metrics(raster(values)).loc[1]
    assert row.total_edge == 8 * SIDE
    assert row.cut_edge == (3 + 1 + 1) * SIDE  # rim above, rim at the left, unknown below
    assert row.share == pytest.approx(3 / 99)


def test_nan_and_declared_nodata_are_unknown():
    values = drawn(np.s_[2:4, 2:4], dtype="float32")
    values[0] = np.nan
    assert landscape_metrics(raster(values)).share[1] == pytest.approx(4 / 90)
    values[0] = 7
    declared = raster(values).rio.write_nodata(7)
    assert landscape_metrics(declared).share[1] == pytest.approx(4 / 90)


def test_classes_come_from_attrs_and_an_absent_one_has_no_shape():
    classes = [{"value": i, "name": name} for i, name in enumerate(["rural", "town", "city"])]
    table = landscape_metrics(raster(drawn(np.s_[2:4, 2:4]), classes=classes))
    assert table.index.tolist() == ["rural", "town", "city"]
    assert table.loc["city", ["pixels", "patches", "total_edge"]].tolist() == [0, 0, 0]
    assert np.isnan(table.shape_index["city"])
    assert table.share.sum() == pytest.approx(1)
    assert table.total_edge["rural"] - table.cut_edge["rural"] == table.total_edge["town"]


def test_boolean_mask_and_one_class_only():
    table = landscape_metrics(raster(np.ones((3, 3), bool)))
    assert table.index.tolist() == [True]
    assert table.shape_index[True] == 1
    assert table.cut_edge[True] == table.total_edge[True] == 12 * SIDE


@pytest.mark.parametrize(
    "image, message",
    [
        (raster(drawn(), crs=None), "no CRS"),
        (raster(drawn(), crs="EPSG:4326", dx=0.004, dy=0.004), "degree.*rio.reproject"),
        (raster(drawn(), crs="EPSG:2263"), "US survey foot"),
        (raster(drawn(), dy=400.0), "500 m x 400 m"),
        (raster(np.full((4, 4), 255, "uint8")), "every pixel is nodata"),
        (raster(np.full((4, 4), np.nan, "float32")), "every pixel is nodata"),
        (raster(np.full((4, 4), 0.4, "float32")), "0.4, which is no class code"),
        (raster(np.zeros((0, 4), "uint8")), "empty"),
        (raster(np.full((4, 4), 3, "uint8"), classes=[{"value": 1, "name": "u"}]), "class .3."),
    ],
)
def test_metrics_refuse_bad_maps(image, message):
    with pytest.raises(ValueError, match=message):
        landscape_metrics(image)


def test_metrics_want_a_raster():
    with pytest.raises(TypeError, match=r"xarray\.DataArray"):
        landscape_metrics(drawn())


def test_threshold_of_an_image_is_a_mask_although_it_inherits_nan():
    lights = raster(np.full((6, 6), 3, "float32")).rio.write_nodata(np.nan)
    lights[2:4, 2:4] = 30
    lights.attrs["_FillValue"] = np.float32(np.nan)
    with xr.set_options(keep_attrs=True):
        for mask in (lights > 20, (lights > 20).astype("uint8")):
            assert landscape_metrics(mask).total_edge.iloc[1] == 8 * SIDE
            assert "_FillValue" in mask.attrs  # the caller's raster stays as it is


# Zones


def test_each_pixel_belongs_to_the_nearest_settlement_that_reaches_it():
    towns = places(Point(1250, -2750), Point(3250, -2750), far=[1600.0, 700.0])
    zones = settlement_zones(raster(drawn()), towns, "far").to_numpy()
    row = zones[5]  # pixel centres at x = 250, 750, ...
    assert row.tolist() == [0, 0, 0, 0, 0, 1, 1, 1, -1, -1]
    # x = 2250: 1000 m from both, beyond the reach of the second. x = 2750: 500 m from the second.
    assert (zones == 1).sum() == 5  # a cross
    wide = settlement_zones(raster(drawn()), towns, 1e6).to_numpy()
    assert (wide[:, :5] == 0).all() and (wide[:, 5:] == 1).all()


def test_zones_do_not_depend_on_the_crs_of_the_settlements():
    towns = places(Point(501260, 3097240), Point(504290, 3098770))
    grid = raster(drawn(), left=500000, top=3100000)
    here = settlement_zones(grid, towns, 1500)
    there = settlement_zones(grid, towns.to_crs(4326), 1500)
    assert set(np.unique(here)) == {-1, 0, 1}
    assert here.equals(there)
    assert here.rio.nodata == -1 and here.rio.crs == grid.rio.crs


def test_polygons_end_at_their_outline_and_may_be_buffered():
    town = places(box(1000, -3000, 2000, -2000))
    grid = raster(drawn())
    assert (settlement_zones(grid, town) == 0).sum() == 4
    assert (settlement_zones(grid, town, 300) == 0).sum() == 4 + 8  # no corner: 354 m away
    assert (settlement_zones(grid, town, [400]) == 0).sum() == 16
    bands = xr.concat([grid, grid], "band").transpose("band", "y", "x")
    assert settlement_zones(bands, town).dims == ("y", "x")


def test_zones_refuse_what_has_no_extent_or_place():
    grid, point = raster(drawn()), Point(1000, -1000)
    with pytest.raises(ValueError, match="points have no extent"):
        settlement_zones(grid, places(point))
    with pytest.raises(KeyError, match="no column 'reach'"):
        settlement_zones(grid, places(point), "reach")
    with pytest.raises(ValueError, match="0 m or more"):
        settlement_zones(grid, places(point, Point(5, 5)), [np.nan, -1])
    with pytest.raises(ValueError, match=r"2,\) values for 1 settlements"):
        settlement_zones(grid, places(point), [1, 2])
    with pytest.raises(ValueError, match=r"set_crs"):
        settlement_zones(grid, places(point, crs=None), 500)
    with pytest.raises(ValueError, match="no geometry in row"):
        settlement_zones(grid, places(point, None), 500)
    with pytest.raises(ValueError, match="empty"):
        settlement_zones(grid, places(point).iloc[:0], 500)
    with pytest.raises(TypeError, match="GeoDataFrame"):
        settlement_zones(grid, places(point).drop(columns="geometry").to_numpy(), 500)


# Shapes by settlement


@pytest.fixture
def towns():
    """Four towns of one map: one right, one too ragged, one missed, one off the map."""
    geometry = [Point(x, -2500) for x in (2500, 7500, 12500, 90000)]
    return places(*geometry, name=["right", "ragged", "missed", "away"], ground="old column")


@pytest.fixture
def maps():
    truth = drawn(np.s_[4:6, 4:6], np.s_[4:6, 14:16], np.s_[4:6, 24:26], shape=(10, 30))
    predicted = drawn(np.s_[4:6, 4:6], np.s_[4, 13:17], np.s_[6, 14], shape=(10, 30))
    return truth, predicted


def test_shapes_by_settlement_are_the_hand_counted_ones(towns, maps):
    table = compare_shapes(*map(raster, maps), towns, radius=2400).set_index("name")
    assert isinstance(table, gpd.GeoDataFrame)
    right, ragged = table.loc["right"], table.loc["ragged"]
    assert (right.SID, right.TED, right.undefined) == (0, 0, "")
    # Truth 2 x 2: 8 sides, SI 1. Prediction: a row of four and one apart: 14 sides; the least for
    # five pixels is 10.
    assert (ragged.TE_truth, ragged.TE_predicted) == (8 * SIDE, 14 * SIDE)
    assert (ragged.SI_truth, ragged.SI_predicted) == (1, 1.4)
    assert ragged[["TED", "TE_change"]].tolist() == pytest.approx([75, 75])
    assert ragged[["SID", "SI_change"]].tolist() == pytest.approx([40, 40])
    assert (ragged.truth_pixels, ragged.predicted_pixels) == (4, 5)
    assert ragged.cut_truth == ragged.cut_predicted == 0


def test_discrepancy_has_no_sign_but_the_change_has(towns, maps):
    truth, predicted = maps
    table = compare_shapes(raster(predicted), raster(truth), towns, radius=2400)
    assert table.TED[1] == pytest.approx(600 / 14) and table.TE_change[1] == -table.TED[1]


def test_settlement_without_a_predicted_pixel_is_undefined_and_counted(towns, maps):
    table = compare_shapes(*map(raster, maps), towns, radius=2400)
    assert table.undefined.tolist() == ["", "", "no predicted pixel", "no ground with data"]
    assert table.attrs["undefined"] == 2
    for name in ("SI_predicted", "TE_predicted", "SID", "TED", "SI_change", "TE_change"):
        assert table[name].isna().tolist() == [False, False, True, True]
    assert table.truth_pixels.tolist() == [4, 4, 4, 0]
    assert table.predicted_pixels.tolist() == [4, 5, 0, 0]
    assert table.TE_truth[2] == 8 * SIDE and np.isnan(table.TE_truth[3])
    assert table.ground[3] == 0 and table.ground[0] > 40  # the column of the input is replaced
    nothing = compare_shapes(raster(maps[0]), raster(np.zeros_like(maps[0])), towns, radius=2400)
    assert nothing.attrs["undefined"] == 4
    swapped = compare_shapes(raster(maps[1]), raster(maps[0]), towns, radius=2400)
    assert swapped.undefined[2] == "no true pixel"


def test_unknown_ground_leaves_both_maps(towns, maps):
    truth, predicted = maps[0].astype("float32"), maps[1]
    truth[4, 13:17] = np.nan
    predicted[5, 14:16] = 255
    table = compare_shapes(raster(truth), raster(predicted), towns, radius=2400)
    assert table.unknown.tolist() == [0, 6, 0, 0]
    assert table.undefined[1] == "no true pixel"
    assert table.predicted_pixels[1] == 1


def test_cut_says_where_the_zone_is_too_small(maps):
    truth = raster(np.ones((10, 10), "uint8"))
    table = compare_shapes(truth, truth, places(box(1000, -3000, 2000, -2000)))
    assert table.TE_truth[0] == table.cut_truth[0] == 8 * SIDE


def test_neighbouring_settlements_do_not_share_ground():
    truth = drawn(np.s_[4:6, 2:8])
    both = places(Point(1900, -2500), Point(3100, -2500))
    table = compare_shapes(raster(truth), raster(truth), both, radius=5000)
    assert table.truth_pixels.tolist() == [6, 6]
    assert table.cut_truth.tolist() == [2 * SIDE, 2 * SIDE]


def test_class_is_named_or_listed(towns, maps):
    classes = [{"value": 0, "name": "rural"}, {"value": 1, "name": "urban"}]
    truth, predicted = (raster(values, classes=classes, simulated=True) for values in maps)
    named = compare_shapes(truth, predicted, towns, 2400, positive="urban")
    assert named.TED[1] == pytest.approx(75) and named.attrs["simulated"] is True
    with pytest.raises(KeyError, match=r"no class 'city'.*rural"):
        compare_shapes(truth, predicted, towns, 2400, positive="city")
    every = compare_shapes(truth, predicted, towns, 2400, positive=[0, 1])
    assert every.TED[:3].tolist() == [0, 0, 0]
    masks = [raster(values == 1) for values in maps]
    assert compare_shapes(*masks, towns, 2400).TED[1] == pytest.approx(75)


def test_shapes_refuse_maps_that_do_not_belong_together(towns, maps):
    truth, predicted = map(raster, maps)
    with pytest.raises(ValueError, match="EPSG:32647"):
        compare_shapes(truth, raster(maps[1], crs="EPSG:32647"), towns, 2400)
    with pytest.raises(ValueError, match="other ground"):
        compare_shapes(truth, raster(maps[1], left=5000), towns, 2400)
    with pytest.raises(ValueError, match="shape"):
        compare_shapes(truth, predicted[:, :20], towns, 2400)
    with pytest.raises(ValueError, match="no CRS"):
        compare_shapes(raster(maps[0], crs=None), raster(maps[1], crs=None), towns, 2400)
    with pytest.raises(ValueError, match="nothing to compare"):
        compare_shapes(truth, raster(np.full_like(maps[0], 255)), towns, 2400)
    with pytest.raises(ValueError, match=r"truth has no pixel of class 2, only \[0, 1\]"):
        compare_shapes(truth, predicted, towns, 2400, positive=2)
