"""Scores against published tables, hand-computed cases and scikit-learn."""

import dask.array as da
import geopandas as gpd
import matplotlib.figure
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from pyproj import Geod
from shapely.geometry import box
from sklearn import metrics

from toolkit import accuracy, papers
from toolkit.accuracy import ConfusionMatrix, confusion


def raster(values, x=500000.0, crs="EPSG:32736", step=10.0, **attrs):
    values = np.asarray(values)
    y = 9600000.0 - step * np.arange(values.shape[0])
    coords = {"y": y, "x": x + step * np.arange(values.shape[1])}
    array = xr.DataArray(values, dims=("y", "x"), coords=coords, attrs=attrs)
    return array.rio.write_crs(crs)


@pytest.fixture
def pair():
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 4, (50, 70)).astype("uint8")
    predicted = np.where(rng.random(truth.shape) < 0.7, truth, rng.integers(0, 4, truth.shape))
    return truth, predicted.astype("uint8")


# Published tables


@pytest.mark.parametrize("table, overall", [("table_2", 81.24), ("table_3", 86.34)])
def test_land_cover_scores_are_the_printed_ones(table, overall):
    tables = papers.published("land_cover_3m")
    matrix, printed = ConfusionMatrix(tables[table]), tables[f"{table}_accuracy"]
    assert round(matrix.overall * 100, 2) == overall
    assert (matrix.users * 100).round(2).tolist() == printed["UA"].tolist()
    assert (matrix.producers * 100).round(2).tolist() == printed["PA"].tolist()
    assert matrix.n == 1940


def test_ifcn_table_2_follows_from_its_counts():
    for name, row in papers.published("ifcn")["table_2"].iterrows():
        matrix = ConfusionMatrix.from_counts(row.TP, row.FP, row.FN)
        precision = float(matrix.users["positive"])
        if name == "U-Net":  # 0.9866, printed truncated
            assert round(precision, 4) == 0.9866
            assert np.floor(precision * 100) / 100 == row.precision
        else:
            assert round(precision, 2) == row.precision
        assert round(matrix.producers["positive"], 2) == row.recall
        assert round(matrix.f1["positive"], 2) == row.F1
        assert np.isnan(matrix.kappa) and np.isnan(matrix.overall)


def test_ifcn_table_4_follows_from_its_counts():
    for _, row in papers.published("ifcn")["table_4"].iterrows():
        matrix = ConfusionMatrix.from_counts(row.TP, row.FP, row.FN, classes=["urban", "rest"])
        assert round(matrix.users["urban"] * 100, 2) == row.precision
        assert round(matrix.producers["urban"] * 100, 2) == row.recall
        assert round(matrix.f1["urban"] * 100, 2) == row.F1


def test_ifcn_kappas_need_one_pixel_total_and_svm_does_not_fit():
    kappa = {}
    for name, row in papers.published("ifcn")["table_2"].iterrows():
        tn = 450_000 - row.TP - row.FP - row.FN
        kappa[name] = round(ConfusionMatrix.from_counts(row.TP, row.FP, row.FN, tn).kappa, 2)
    assert kappa == {"SVM": 0.61, "U-Net": 0.64, "Threshold": 0.83, "IFCN": 0.88}


# Scores


def test_hand_computed_scores():
    matrix = ConfusionMatrix([[50, 10], [5, 35]], ["urban", "rest"])
    assert matrix.n == 100
    assert matrix.overall == pytest.approx(0.85)
    chance = 0.6 * 0.55 + 0.4 * 0.45
    assert matrix.kappa == pytest.approx((0.85 - chance) / (1 - chance))
    assert matrix.users.tolist() == pytest.approx([50 / 60, 35 / 40])
    assert matrix.producers.tolist() == pytest.approx([50 / 55, 35 / 45])
    assert matrix.commission.tolist() == pytest.approx([10 / 60, 5 / 40])
    assert matrix.omission.tolist() == pytest.approx([5 / 55, 10 / 45])
    assert matrix.f1.tolist() == pytest.approx([100 / 115, 70 / 85])
    assert matrix.iou.tolist() == pytest.approx([50 / 65, 35 / 50])
    assert matrix.average == pytest.approx((50 / 55 + 35 / 45) / 2)
    assert matrix.mean_iou == pytest.approx((50 / 65 + 35 / 50) / 2)
    assert matrix.frequency_weighted_iou == pytest.approx(0.55 * 50 / 65 + 0.45 * 35 / 50)
    assert matrix.counts("urban").to_dict() == {"TP": 50, "FP": 10, "FN": 5, "TN": 35}


def test_scores_equal_scikit_learn(pair):
    truth, predicted = (a.ravel() for a in pair)
    matrix = confusion(*pair)
    assert (matrix.array == metrics.confusion_matrix(truth, predicted).T).all()
    assert matrix.overall == pytest.approx(metrics.accuracy_score(truth, predicted))
    assert matrix.kappa == pytest.approx(metrics.cohen_kappa_score(truth, predicted))
    assert matrix.average == pytest.approx(metrics.balanced_accuracy_score(truth, predicted))
    assert matrix.f1.tolist() == pytest.approx(
        list(metrics.f1_score(truth, predicted, average=None))
    )
    assert matrix.iou.tolist() == pytest.approx(
        list(metrics.jaccard_score(truth, predicted, average=None))
    )


def test_an_undefined_score_is_nan_and_left_out_of_means():
    matrix = ConfusionMatrix([[8, 2, 0], [0, 0, 0], [1, 0, 0]], ["a", "b", "c"])
    assert np.isnan(matrix.users["b"])  # never mapped
    assert matrix.producers["b"] == 0
    assert matrix.f1["b"] == 0
    assert np.isnan(matrix.producers["c"])  # not in the reference
    assert matrix.average == pytest.approx((8 / 9 + 0) / 2)
    assert np.isnan(ConfusionMatrix([[5, 0], [0, 0]]).kappa)  # one class: nothing but chance
    assert np.isnan(ConfusionMatrix([[0, 0], [0, 0]]).overall)


def test_unknown_true_negatives_stay_unknown():
    matrix = ConfusionMatrix.from_counts(8, 2, 4)
    assert matrix.f1["positive"] == pytest.approx(16 / 22)
    assert matrix.iou["positive"] == pytest.approx(8 / 14)
    for name in ("overall", "kappa", "average", "mean_iou", "frequency_weighted_iou", "n"):
        assert np.isnan(getattr(matrix, name)), name
    assert np.isnan(matrix.counts("positive")["TN"])
    assert ConfusionMatrix.from_counts(8, 2, 4, 6).overall == pytest.approx(0.7)


def test_addition():
    one = ConfusionMatrix([[1, 2], [3, 4]], ["a", "b"])
    assert (sum([one, one]).array == [[2, 4], [6, 8]]).all()
    with pytest.raises(ValueError, match="cannot add"):
        one + ConfusionMatrix([[1, 2], [3, 4]], ["a", "c"])


@pytest.mark.parametrize(
    "array, classes, message",
    [
        ([[1, 2, 3], [4, 5, 6]], None, "square"),
        ([[1, -2], [3, 4]], None, "not negative"),
        ([[1, np.nan], [3, 4]], None, "finite"),
        ([[1, 2], [3, np.inf]], None, "finite"),
        ([[1, 2], [3, 4]], ["a"], "different class names"),
        ([[1, 2], [3, 4]], ["a", "a"], "different class names"),
        (pd.DataFrame([[1, 2], [3, 4]], ["a", "b"], ["b", "a"]), None, "same classes"),
    ],
)
def test_bad_matrices(array, classes, message):
    with pytest.raises(ValueError, match=message):
        ConfusionMatrix(array, classes)


def test_unknown_positive_class():
    with pytest.raises(KeyError, match="town"):
        ConfusionMatrix([[1, 2], [3, 4]], ["urban", "rest"]).counts("town")


# Tables and figures


def test_to_frame_prints_like_the_paper():
    frame = ConfusionMatrix(papers.published("land_cover_3m")["table_3"]).to_frame()
    assert frame.loc["Water", "sum"] == 90
    assert frame.loc["sum", "Water"] == 97
    assert frame.loc["sum", "sum"] == 1940
    assert round(frame.loc["Water", "UA (%)"], 2) == 93.33
    assert round(frame.loc["PA (%)", "Water"], 2) == 86.60
    assert round(frame.loc["PA (%)", "UA (%)"], 2) == 86.34
    assert (frame.index.name, frame.columns.name) == ("map", "reference")


def test_table_has_a_row_a_class():
    matrix = ConfusionMatrix([[50, 10], [5, 35]], ["urban", "rest"])
    table = matrix.table()
    assert table.loc["urban", ["reference", "mapped"]].tolist() == [55, 60]
    assert table["iou"].tolist() == matrix.iou.tolist()


def test_html_and_text():
    matrix = ConfusionMatrix([[50, 10], [5, 1235]], ["urban", "<rest>"])
    html = matrix._repr_html_()
    assert "1,235" in html and "Rows map, columns reference" in html
    assert "<rest>" not in html
    text = repr(matrix)
    assert "kappa" in text and "1,235" in text and "nan" not in text
    assert "nan" not in ConfusionMatrix.from_counts(1, 2, 3)._repr_html_().split("</caption>")[1]


def test_figure_has_labels_and_counts():
    figure = ConfusionMatrix.from_counts(12625, 2744, 612).figure(title="Burundi")
    assert isinstance(figure, matplotlib.figure.Figure)
    ax = figure.axes[0]
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("reference", "map", "Burundi")
    texts = {text.get_text() for text in ax.texts}
    assert {"12,625", "95.4 %", "–"} <= texts
    whole = ConfusionMatrix([[50, 10], [5, 35]]).figure()
    assert "overall\n85.0 %" in {text.get_text() for text in whole.axes[0].texts}
    other = matplotlib.figure.Figure()
    assert ConfusionMatrix([[1, 0], [0, 1]]).figure(ax=other.subplots()) is other


# Rasters and points


def test_rows_are_the_map():
    matrix = confusion(np.array([1, 1, 0]), np.array([0, 0, 0]), classes=["rest", "urban"])
    assert matrix.to_frame().loc["rest", "urban"] == 2
    assert matrix.users["rest"] == pytest.approx(1 / 3)


def test_ignored_and_missing_places_are_left_out():
    truth = np.array([0, 1, 255, 1, 1, 0], "uint8")
    predicted = np.array([0, 1, 1, 255, np.nan, 1.0], "float32")
    assert confusion(truth, predicted).n == 3
    assert confusion(truth, predicted, ignore=0).array.tolist() == [[1, 1], [1, 0]]


def test_declared_nodata_is_left_out_unless_it_is_a_class():
    truth = raster(np.array([[0, 1], [1, 1]], "uint8")).rio.write_nodata(0)
    predicted = raster(np.array([[1, 1], [1, 1]], "uint8"))
    assert confusion(truth, predicted).n == 3
    assert confusion(truth, predicted, classes=["rest", "urban"]).n == 4


def test_classes_come_from_the_raster():
    legend = [{"value": 0, "name": "rest", "color": "#000000"}, {"value": 7, "name": "urban"}]
    truth = raster(np.array([[0, 7], [7, 7]], "uint8"), classes=legend)
    matrix = confusion(truth, raster(np.array([[0, 7], [0, 7]], "uint8")))
    assert matrix.classes == ["rest", "urban"]
    assert matrix.array.tolist() == [[1, 1], [0, 2]]
    assert confusion(truth, truth, classes={7: "city", 0: "land"}).classes == ["city", "land"]
    assert confusion(truth.to_numpy(), truth, classes=[0, 7, 9]).array.shape == (3, 3)


def test_a_file_read_as_one_band_is_a_map(pair):
    truth, predicted = (raster(a) for a in pair)
    assert (confusion(truth.expand_dims("band"), predicted).array == confusion(*pair).array).all()


@pytest.mark.parametrize("chunks", [(50, 70), (16, 25), (7, 70)])
def test_dask_equals_numpy(pair, chunks):
    truth, predicted = (raster(a) for a in pair)
    truth[:3] = 255
    expected = confusion(truth, predicted).array
    lazy = predicted.chunk({"y": chunks[0], "x": chunks[1]})
    assert (confusion(truth, lazy).array == expected).all()
    assert (confusion(truth.chunk({"y": 11}), lazy, classes=list("abcd")).array == expected).all()


def test_dask_blocks_are_computed_once_and_not_as_a_whole():
    seen = []

    def block(array):
        seen.append(array.shape)
        return array

    lazy = da.zeros((400, 300), chunks=100, dtype="uint8").map_blocks(block, meta=np.empty((0, 0)))
    seen.clear()
    assert confusion(np.zeros((400, 300), "uint8"), lazy).n == 120_000
    assert seen == [(100, 100)] * 12


def test_large_arrays_are_counted_in_pieces(pair, monkeypatch):
    expected = confusion(*pair).array
    monkeypatch.setattr(accuracy.counting, "_PIECE", 37)
    assert (confusion(*pair).array == expected).all()


def test_a_block_without_data_is_no_obstacle():
    truth = np.full((20, 20), 255, "uint8")
    truth[15:] = 1
    assert confusion(da.from_array(truth, chunks=5), truth).n == 100


def test_points_by_name_and_by_nullable_code():
    points = pd.DataFrame({"reference": ["urban", "rest", "urban", None], "mapped": ["urban"] * 4})
    matrix = confusion(points.reference, points.mapped)
    assert matrix.classes == ["rest", "urban"]
    assert matrix.array.tolist() == [[0, 0], [1, 2]]
    assert (
        confusion(points.reference, points.mapped, classes=["urban", "rest"]).counts("urban").FP
        == 1
    )
    codes = pd.Series([0, 1, None, 255], dtype="Int64")
    assert confusion(codes, codes).n == 2


def test_masks_are_classes():
    mask = np.array([True, False, True])
    assert confusion(mask, mask, classes=["rest", "urban"]).array.tolist() == [[1, 0], [0, 2]]


def test_different_grids_are_explained():
    a = raster(np.zeros((4, 5), "uint8"))
    with pytest.raises(ValueError, match=r"EPSG:32736.*EPSG:32735.*chips.align"):
        confusion(a, raster(np.zeros((4, 5), "uint8"), crs="EPSG:32735"))
    with pytest.raises(ValueError, match=r"\(4, 5\).*\(5, 4\).*chips.align"):
        confusion(a, raster(np.zeros((5, 4), "uint8")))
    with pytest.raises(ValueError, match="same shape, other ground"):
        confusion(a, raster(np.zeros((4, 5), "uint8"), x=500010.0))
    with pytest.raises(ValueError, match="same shape, other ground"):
        confusion(a, a.isel(y=slice(None, None, -1)))
    with pytest.raises(ValueError, match="dims"):
        confusion(a, a.transpose("x", "y"))
    with pytest.raises(ValueError, match="no CRS"):
        confusion(a, a.drop_vars("spatial_ref"))
    assert confusion(a, raster(np.zeros((4, 5), "uint8"), x=500000.001)).n == 20
    with pytest.raises(ValueError, match="shape"):
        confusion(a, np.zeros((2, 2)))
    with pytest.raises(ValueError, match="different points"):
        confusion(pd.Series([0, 1]), pd.Series([0, 1], index=[5, 6]))


@pytest.mark.parametrize("chunk", [False, True])
def test_values_that_are_no_class_codes(chunk):
    truth = raster(np.array([[0, 1], [1, 1]], "uint8"))
    soft = raster(np.array([[0.2, 0.9], [1, 1]], "float32"))
    soft = soft.chunk({"x": 1}) if chunk else soft
    with pytest.raises(ValueError, match=r"predicted holds 0.[29].*mapping.classes"):
        confusion(truth, soft)
    with pytest.raises(ValueError, match=r"class \[1\] occurs.*rest"):
        confusion(truth, truth.chunk() if chunk else truth, classes=["rest"])


def test_nothing_to_compare():
    with pytest.raises(ValueError, match="nothing to compare"):
        confusion(np.full(4, 255), np.zeros(4))
    with pytest.raises(ValueError, match="nothing to compare"):
        confusion(np.array([]), np.array([]))
    with pytest.raises(ValueError, match="mix class names and codes"):
        confusion(pd.Series(["urban", "rest"]), pd.Series([1, 0]))


# Area


OLOFSSON = ["deforestation", "forest gain", "stable forest", "stable non-forest"]
PIXELS = [200_000, 150_000, 3_200_000, 6_450_000]


def olofsson():
    sample = [[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]]
    return ConfusionMatrix(sample, OLOFSSON)


def test_area_adjusted_reproduces_olofsson_2014():
    estimate = accuracy.area_adjusted(olofsson(), PIXELS)
    table, half = estimate.table, {}
    for part in ("area", "users", "producers"):
        half[part] = table[part]["high"] - table[part]["estimate"]
        assert (table[part]["estimate"] - table[part]["low"]).to_numpy() == pytest.approx(
            half[part].to_numpy()
        )
    # Table 8 and page 54: 21,158 ha of deforestation, 6,158 ha either side; pixels of 30 m.
    assert table["area"]["estimate"].round().tolist() == [235086, 129846, 3175221, 6459846]
    assert half["area"]["deforestation"] == pytest.approx(68418, abs=2)
    hectares = accuracy.area_adjusted(olofsson(), np.array(PIXELS) * 0.09)
    area = hectares.table["area"]
    assert area["estimate"].round().tolist() == [21158, 11686, 285770, 581386]
    assert (area["high"] - area["estimate"]).round().tolist() == [6158, 3756, 15510, 16281]
    assert table["users"]["estimate"].round(2).tolist() == [0.88, 0.73, 0.93, 0.96]
    assert half["users"].round(2).tolist() == [0.07, 0.10, 0.04, 0.02]
    assert table["producers"]["estimate"].round(2).tolist() == [0.75, 0.85, 0.93, 0.96]
    assert half["producers"].round(2).tolist() == [0.21, 0.25, 0.03, 0.02]
    assert estimate.overall.estimate == pytest.approx(0.947, abs=5e-4)
    assert estimate.overall.high - estimate.overall.estimate == pytest.approx(0.018, abs=5e-4)
    assert estimate.proportions.to_numpy().sum() == pytest.approx(1)
    assert estimate.proportions.loc["stable forest", "stable non-forest"].round(4) == 0.0213


def test_area_adjusted_is_right_on_average():
    # A known population: the mean of many stratified samples must be its true area.
    rng = np.random.default_rng(0)
    within = np.array([[0.9, 0.1], [0.05, 0.95]])
    mapped = np.array([1000.0, 9000.0])
    truth = mapped @ within
    inside, estimates = 0, []
    for _ in range(400):
        sample = np.array([rng.multinomial(100, row) for row in within])
        area = accuracy.area_adjusted(ConfusionMatrix(sample), mapped).table["area"]
        estimates.append(area.loc[0, "estimate"])
        inside += area.loc[0, "low"] <= truth[0] <= area.loc[0, "high"]
    assert np.mean(estimates) == pytest.approx(truth[0], rel=0.03)
    assert 0.88 < inside / 400 < 0.99


def test_area_does_not_depend_on_the_order_of_a_series():
    area = pd.Series(PIXELS, index=OLOFSSON)
    one = accuracy.area_adjusted(olofsson(), area).table
    two = accuracy.area_adjusted(olofsson(), area[::-1], total=1e7).table
    pd.testing.assert_frame_equal(one, two)
    wide = accuracy.area_adjusted(olofsson(), area, confidence=0.99).table["area"]
    assert (wide["low"] < one["area"]["low"]).all()


@pytest.mark.parametrize(
    "areas, options, message",
    [
        (PIXELS[:3], {}, "one area for each"),
        ({"deforestation": 5}, {}, "one area for each class"),
        ([-1, 1, 1, 1], {}, "not negative"),
        ([np.nan, 1, 1, 1], {}, "finite"),
        ([0, 0, 0, 0], {}, "not all 0"),
        (PIXELS, {"total": 2e7}, "add up to"),
        ([0, 1, 1, 1], {}, "no mapped area"),
        (PIXELS, {"confidence": 95}, "between 0 and 1"),
    ],
)
def test_bad_areas(areas, options, message):
    with pytest.raises(ValueError, match=message):
        accuracy.area_adjusted(olofsson(), areas, **options)


def test_area_needs_samples_in_every_stratum_and_every_count():
    with pytest.raises(ValueError, match=r"'b' has 0 sample units"):
        accuracy.area_adjusted(ConfusionMatrix([[5, 1], [0, 0]], ["a", "b"]), [10, 20])
    with pytest.raises(ValueError, match=r"'b' has 1 sample units"):
        accuracy.area_adjusted(ConfusionMatrix([[5, 1], [0, 1]], ["a", "b"]), [10, 20])
    with pytest.raises(ValueError, match="unknown"):
        accuracy.area_adjusted(ConfusionMatrix.from_counts(5, 3, 2), [10, 20])


def test_a_class_that_the_map_lacks_still_has_an_area():
    estimate = accuracy.area_adjusted(ConfusionMatrix([[90, 10], [0, 0]], ["a", "b"]), [1000, 0])
    assert estimate.table["area"]["estimate"].tolist() == pytest.approx([900, 100])
    assert np.isnan(estimate.table["users"].loc["b", "estimate"])
    assert np.isnan(estimate.table["users"].loc["b", "se"])
    assert estimate.table["producers"].loc["b", "estimate"] == 0


# Bootstrap


def test_bootstrap_estimates_are_those_of_the_matrix(pair):
    scores = accuracy.bootstrap(*pair, blocks=10, n=100, classes=list("abcd"))
    matrix = confusion(*pair, classes=list("abcd"))
    assert scores.estimate["kappa"] == pytest.approx(matrix.kappa)
    assert scores.estimate["f1 c"] == pytest.approx(matrix.f1["c"])
    assert scores.estimate["iou a"] == pytest.approx(matrix.iou["a"])
    assert (scores.low <= scores.estimate).all() and (scores.estimate <= scores.high).all()
    assert scores.attrs["blocks"] == 35
    again = accuracy.bootstrap(*pair, blocks=10, n=100, classes=list("abcd"))
    pd.testing.assert_frame_equal(scores, again)
    other = accuracy.bootstrap(*pair, blocks=10, n=100, classes=list("abcd"), seed=1)
    assert not other.low.equals(scores.low)


def test_blocks_widen_the_interval_where_errors_cluster():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, (160, 160))
    wrong = np.kron(rng.random((10, 10)) < 0.2, np.ones((16, 16), bool))
    predicted = np.where(wrong, 1 - truth, truth)
    intervals = (accuracy.bootstrap(truth, predicted, blocks=b, n=200) for b in (1, 16))
    small, large = (scores.high["overall"] - scores.low["overall"] for scores in intervals)
    # One bad block of 256 pixels is one error, not 256: the interval is about 16 times as wide.
    assert 10 < large / small < 25


def test_bootstrap_takes_blocks_of_points_rasters_and_dask(pair):
    truth, predicted = (raster(a) for a in pair)
    rows, columns = np.indices(pair[0].shape) // 10
    expected = accuracy.bootstrap(*pair, blocks=10, n=50)
    given = accuracy.bootstrap(truth, predicted.chunk({"y": 20}), blocks=rows * 7 + columns, n=50)
    pd.testing.assert_frame_equal(given, expected)
    names = pd.Series(list("aabbcc"))
    points = pd.Series([0, 1, 0, 1, 1, 1])
    assert accuracy.bootstrap(points, points, names, n=20).estimate["overall"] == 1


def test_bootstrap_skips_blocks_without_data_and_refuses_too_few(pair):
    truth, predicted = pair
    truth[:40] = 255
    assert accuracy.bootstrap(truth, predicted, 10, n=20).attrs["blocks"] == 7
    with pytest.raises(ValueError, match="1 block"):
        accuracy.bootstrap(truth, predicted, 100)
    with pytest.raises(ValueError, match="side of square blocks"):
        accuracy.bootstrap(truth.ravel(), predicted.ravel(), 10)
    with pytest.raises(ValueError, match="side of square blocks"):
        accuracy.bootstrap(truth, predicted, 0)
    with pytest.raises(ValueError, match="blocks has shape"):
        accuracy.bootstrap(truth, predicted, np.zeros((3, 3)))


# Check points


def test_grid_points_of_bounds():
    points = accuracy.grid_points((0, 0, 4000, 6000), 2000, crs="EPSG:32736")
    assert points.geometry.x.tolist() == [1000, 3000] * 3
    assert points.geometry.y.tolist() == [5000, 5000, 3000, 3000, 1000, 1000]
    moved = accuracy.grid_points((0, 0, 4000, 6000), 2000, crs="EPSG:32736", seed=1)
    assert not moved.geometry.iloc[0].equals(points.geometry.iloc[0])
    assert len(accuracy.grid_points((0, 0, 10, 10), 2000, crs="EPSG:32736")) == 1


def test_grid_points_take_the_class_below_and_leave_nodata_out():
    values = np.zeros((40, 40), "uint8")
    values[:20] = 1
    values[:, :20] = 255
    points = accuracy.grid_points(raster(values).rio.write_nodata(255), 100)
    assert len(points) == 8 and points.crs.to_epsg() == 32736
    assert points["mapped"].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    assert confusion(points["mapped"], points["mapped"]).overall == 1


def test_grid_points_inside_outlines():
    outline = gpd.GeoDataFrame(geometry=[box(0, 0, 1000, 1000)], crs="EPSG:32736")
    outline.loc[1] = [box(3000, 3000, 4000, 4000)]
    points = accuracy.grid_points(outline, 500)
    assert len(points) == 8
    assert points.within(outline.union_all()).all()


def test_bad_grids():
    with pytest.raises(ValueError, match="no CRS"):
        accuracy.grid_points((0, 0, 1, 1), 1)
    with pytest.raises(ValueError, match="spacing must be positive"):
        accuracy.grid_points((0, 0, 1, 1), 0, crs="EPSG:4326")
    with pytest.raises(ValueError, match="left, bottom"):
        accuracy.grid_points((1, 0, 0, 1), 1, crs="EPSG:4326")
    with pytest.raises(ValueError, match="falls on data"):
        accuracy.grid_points(raster(np.full((5, 5), 255, "uint8")), 20)


def test_optimal_threshold_is_the_best_of_all_cuts():
    rng = np.random.default_rng(3)
    truth = (rng.random(500) < 0.1).astype(int)
    score = truth + rng.normal(0, 0.7, 500)
    score[0], truth[1] = np.nan, 255
    cut = accuracy.optimal_threshold(truth, score)
    known = np.isfinite(score) & (truth != 255)

    def f1(at):
        return accuracy.confusion(truth[known], (score >= at)[known].astype(int)).f1[1]

    assert f1(cut) == max(f1(at) for at in score[known])


def test_optimal_threshold_explains_bad_input():
    with pytest.raises(ValueError, match="no known pixel is 1"):
        accuracy.optimal_threshold(np.array([0, 255]), np.array([0.5, 0.5]))
    with pytest.raises(ValueError, match="shape"):
        accuracy.optimal_threshold(np.zeros(3), np.zeros(4))


def test_a_comparison_of_measured_values_is_a_map():
    lights = xr.DataArray(
        np.array([[1.0, 9.0], [8.0, 2.0]], "float32"),
        dims=("y", "x"),
        coords={"y": [1, 0], "x": [0, 1]},
    )
    lights = lights.rio.write_crs("EPSG:32648").rio.write_nodata(np.nan)
    truth = (lights > 5).astype("uint8")  # inherits the nodata NaN, which no integer can hold
    assert accuracy.confusion(truth, (lights > 3).astype("uint8")).overall == 1


def test_area_of_pixels_in_degrees_and_in_metres():
    def raster(y, x, crs):
        ones = np.ones((len(y), len(x)), "uint8")
        return xr.DataArray(ones, dims=("y", "x"), coords={"y": y, "x": x}).rio.write_crs(crs)

    rows = accuracy.pixel_area(raster([60.5, 59.5], [10.5, 11.5], 4326))
    # The same cells on the ellipsoid, their upper and lower edges bent along the parallels.
    along, back = np.linspace(11, 12, 200), np.linspace(12, 11, 200)
    exact = [
        abs(
            Geod(ellps="WGS84").polygon_area_perimeter(
                [*along, *back], [*np.full(200, north), *np.full(200, north - 1.0)]
            )[0]
        )
        / 1e6
        for north in (61, 60)
    ]
    np.testing.assert_allclose(rows, exact, rtol=1e-4)
    assert rows[0] < rows[1]
    metres = raster([3400500.0, 3400000.0], [500000.0, 500500.0], 32648)
    # The scale of UTM at its central meridian is 0.9996, so true areas are 0.08 % larger.
    np.testing.assert_allclose(accuracy.pixel_area(metres), 0.25 / 0.9996**2, rtol=1e-4)
