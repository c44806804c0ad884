"""Judgements, overlay and roofs: the published weights, hand-computed cases, and bad input."""

import warnings

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
import xarray as xr

from toolkit import papers, suitability
from toolkit.suitability.layers import grade_colors

PAPER = [[1, 1, 2, 4], [1, 1, 2, 2], [1 / 2, 1 / 2, 1, 2], [1 / 4, 1 / 2, 1 / 2, 1]]
CRS = "EPSG:32648"


def raster(values, crs=CRS, left=0.0, nodata=None):
    """Cells of 30 m, the lower left corner at (left, 0)."""
    values = np.asarray(values)
    rows, cols = values.shape
    coords = {
        "y": 30.0 * (rows - 0.5 - np.arange(rows)),
        "x": left + 30.0 * (np.arange(cols) + 0.5),
    }
    array = xr.DataArray(values, coords, ("y", "x"))
    array = array if crs is None else array.rio.write_crs(crs)
    return array if nodata is None else array.rio.write_nodata(nodata)


def boxes(*bounds, crs=CRS, **columns):
    return gpd.GeoDataFrame(columns, geometry=[shapely.box(*b) for b in bounds], crs=crs)


def ranked(values):
    return raster(np.array(values, float)).assign_attrs(valid_range=[1, 5])


# Judgements


def test_published_weights():
    found = suitability.ahp(PAPER, names=["B1", "A1", "B2", "B3"])
    table = papers.published("roof_greening")["table_6"]
    published = table.set_index(table.columns[0]) if "weight" not in table else table
    column = published.columns[0] if "weight" not in published else "weight"
    for name, weight in found.weights.items():
        assert round(weight, 4) == pytest.approx(published.loc[name, column])
    assert found.weights.round(4).tolist() == [0.3763, 0.3207, 0.1881, 0.1149]
    assert (round(found.lambda_max, 3), round(found.ci, 3)) == (4.061, 0.020)
    assert (found.ri, round(found.cr, 3)) == (0.89, 0.023)
    assert found.weights.sum() == pytest.approx(1) and found.consistent


def test_true_eigenvector():
    found = suitability.ahp(PAPER, method="eigen")
    assert found.weights.round(4).tolist() == [0.3769, 0.3207, 0.1884, 0.1140]
    assert found.lambda_max == pytest.approx(4.0606, abs=5e-5)
    matrix, weights = found.matrix.to_numpy(), found.weights.to_numpy()
    assert matrix @ weights == pytest.approx(found.lambda_max * weights)


@pytest.mark.parametrize("method", ["column", "eigen"])
@pytest.mark.parametrize("n", [1, 2, 3, 5, 10])
def test_consistent_judgements_give_back_their_weights(method, n):
    true = np.arange(1, n + 1) / np.arange(1, n + 1).sum()
    found = suitability.ahp(true[:, None] / true, method)
    assert found.weights.to_numpy() == pytest.approx(true)
    assert found.lambda_max == pytest.approx(n) and found.cr == pytest.approx(0, abs=1e-12)
    assert found.worst is None


@pytest.mark.parametrize("method", ["column", "eigen"])
def test_rounding_never_makes_the_ratio_negative(method):
    draw = np.random.default_rng(0)
    for true in draw.uniform(1, 3, (50, 4)):  # some of the eigenvalues are 4 less a last digit
        found = suitability.ahp(true[:, None] / true, method)
        assert found.cr >= 0 and found.ci >= 0
        assert found.advice == "The judgements agree: CR is 0.000, below 0.1."


def test_random_index_is_the_mean_of_random_matrices():
    # 8 to 10 are not the paper's: they have to continue its series
    rng = np.random.default_rng(0)
    from toolkit.suitability.judgements import RANDOM_INDEX, weigh

    assert [RANDOM_INDEX[n] for n in range(3, 8)] == [0.52, 0.89, 1.12, 1.26, 1.36]
    for n in (4, 8, 10):
        upper = np.triu(rng.choice(suitability.SAATY, (3000, n, n)), 1)
        full = upper + np.transpose(1 / np.where(upper > 0, upper, np.inf), (0, 2, 1)) + np.eye(n)
        _, lambda_max = weigh(full, "eigen")
        assert (lambda_max.mean() - n) / (n - 1) == pytest.approx(RANDOM_INDEX[n], abs=0.03)


def test_the_worst_judgement_is_named_with_what_would_fit():
    # 1, 1/2, 1/4, 1/8 in proportion, with a : d turned from 8 to 1/8
    true = np.array([8.0, 4, 2, 1])
    matrix = true[:, None] / true
    matrix[0, 3], matrix[3, 0] = 1 / 8, 8
    with pytest.warns(UserWarning, match=r"'a' against 'd': 1/8. With 8 CR would be 0.000"):
        found = suitability.ahp(matrix, names=list("abcd"))
    assert not found.consistent and found.worst["pair"] == ("a", "d")
    assert found.worst["fit"] == 8 and found.worst["cr"] == pytest.approx(0, abs=1e-9)
    layers = {name: ranked(np.ones((2, 2))) for name in "abcd"}
    with pytest.raises(ValueError, match="'a' against 'd'"):
        suitability.overlay(layers, found)
    with pytest.warns(UserWarning, match="Among three"):
        suitability.ahp([[1, 9, 1 / 9], [1 / 9, 1, 9], [9, 1 / 9, 1]])


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ([[1, 2, 3], [1 / 2, 1, 2]], r"shape \(2, 3\)"),
        ([[1, 0], [0, 1]], "'1' against '2' is 0.0: a judgement is a number above 0"),
        ([[1, -2], [-1 / 2, 1]], "above 0"),
        ([[1, np.nan], [1, 1]], "'1' against '2' is nan"),
        ([[1, 2], [2, 1]], "'1' against '2' is 2, but the reverse is 2 and should be 1/2"),
        ([[2, 1], [1, 1]], "'1' against itself is 2"),
        ([[1, "x"], [1, 1]], "not a number"),
        (np.ones((11, 11)), "up to 10"),
        (np.ones((0, 0)), "shape"),
    ],
)
def test_bad_matrices(matrix, message):
    with pytest.raises(ValueError, match=message):
        suitability.ahp(matrix)


def test_rounded_reciprocals_are_taken_exactly():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = suitability.ahp([[1, 3, 6], [0.33, 1, 2], [0.17, 0.5, 1]])
    assert found.matrix.iloc[1, 0] == pytest.approx(1 / 3) and found.cr == pytest.approx(
        0, abs=1e-9
    )
    with pytest.raises(ValueError, match="different names"):
        suitability.ahp(PAPER, names=["a", "a", "b", "c"])
    with pytest.raises(ValueError, match="choose one of"):
        suitability.ahp(PAPER, method="columns")


def test_matrix_from_judgements():
    pairs = {
        ("B1", "A1"): 1, ("B1", "B2"): 2, ("B3", "B1"): 1 / 4, ("A1", "B2"): 2, ("A1", "B3"): 2,
        ("B2", "B3"): 2,
    }  # fmt: skip
    matrix = suitability.from_judgements(pairs, ["B1", "A1", "B2", "B3"])
    assert matrix.to_numpy() == pytest.approx(np.array(PAPER))
    assert suitability.ahp(matrix).weights.index.tolist() == ["B1", "A1", "B2", "B3"]
    with pytest.raises(ValueError, match="no judgement of 'a' against 'c'"):
        suitability.from_judgements({("a", "b"): 2, ("b", "c"): 1})
    with pytest.raises(ValueError, match="judged twice"):
        suitability.from_judgements({("a", "b"): 2, ("b", "a"): 2})
    with pytest.raises(ValueError, match="'a' against 'b' is 0"):
        suitability.from_judgements({("a", "b"): 0})
    with pytest.raises(ValueError, match="itself"):
        suitability.from_judgements({("a", "a"): 1})
    with pytest.raises(ValueError, match="not among the names"):
        suitability.from_judgements({("a", "b"): 1}, ["a", "c"])


# Classes, overlay, grades


def test_quantile_natural_and_fixed_classes():
    values = raster(np.arange(100, dtype=float).reshape(10, 10))
    found = suitability.reclassify(values)
    assert np.unique(found, return_counts=True)[1].tolist() == [20] * 5
    assert found.dtype == np.uint8 and found.rio.nodata == 255
    assert found.attrs["valid_range"] == [1, 5]
    assert found.rio.crs == values.rio.crs
    groups = raster([[1.0, 1.1, 1.2, 8.0, 8.1], [20.0, 20.5, 8.2, 1.0, 20.1]])
    natural = suitability.reclassify(groups, "natural", classes=3)
    assert natural.values.tolist() == [[1, 1, 1, 2, 2], [3, 3, 2, 1, 3]]
    assert natural.attrs["breaks"] == pytest.approx([4.6, 14.1])
    fixed = suitability.reclassify(groups, [1.1, 8.1], rising=False)
    assert fixed.values.tolist() == [[3, 3, 2, 2, 2], [1, 1, 1, 3, 1]]
    assert suitability.reclassify(groups.astype("float32"), [1.1, 8.1], rising=False).equals(fixed)
    names = [c["name"] for c in fixed.attrs["classes"]]
    assert names == ["1: above 8.1", "2: 1.1 to 8.1", "3: up to 1.1"]


def test_equal_values_share_a_class_and_gaps_stay_gaps():
    values = np.array([[0, 0, 0, 0, 0, 0], [0, 1, 2, 3, np.nan, 4]], float)
    found = suitability.reclassify(raster(values))
    assert (found.values[values == 0] == 1).all() and found.values[1, 4] == 255
    assert found.values[1, 5] == 5 and (np.diff(found.values[1, 1:4].astype(int)) >= 0).all()
    coded = raster(np.where(np.isnan(values), -9999, values), nodata=-9999)
    assert np.array_equal(suitability.reclassify(coded), found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"breaks": [2, 1]}, "each higher"),
        ({"breaks": []}, "one or more"),
        ({"breaks": "jenks"}, "choose one of"),
        ({"classes": 1}, "2 to 20"),
        ({"breaks": "natural", "classes": 9}, "4 different values"),
    ],
)
def test_bad_breaks(options, message):
    with pytest.raises(ValueError, match=message):
        suitability.reclassify(raster([[1.0, 2], [3, 4]]), **options)


def test_layers_that_tell_nothing():
    with pytest.raises(ValueError, match="everywhere"):
        suitability.reclassify(raster([[3.0, 3], [3, np.nan]]))
    with pytest.raises(ValueError, match="no value at all"):
        suitability.reclassify(raster(np.full((2, 2), np.nan)))
    with pytest.raises(ValueError, match="no CRS"):
        suitability.reclassify(raster([[1.0, 2]], crs=None))


def test_overlay_is_the_weighted_sum():
    layers = {"a": ranked([[1, 5], [3, np.nan]]), "b": ranked([[5, 5], [1, 2]])}
    score = suitability.overlay(layers, {"b": 0.75, "a": 0.25})
    assert score.values[:1].tolist() == [[4.0, 5.0]] and score.values[1, 0] == 1.5
    assert np.isnan(score.values[1, 1])
    assert score.attrs["valid_range"] == [1, 5] and score.attrs["weights"] == {"a": 0.25, "b": 0.75}
    classes = suitability.reclassify(raster([[1.0, np.nan], [3, 4]]), [2, 3.5])
    assert np.isnan(suitability.overlay({"a": classes}, {"a": 1}).values[0, 1])  # 255 is no class


def test_overlay_refuses_what_does_not_match():
    one = ranked([[1, 2], [3, 4]])
    with pytest.raises(KeyError, match=r"no weight for \['b'\], no layer for \['c'\]"):
        suitability.overlay({"a": one, "b": one}, {"a": 0.5, "c": 0.5})
    with pytest.raises(ValueError, match="add up to 1"):
        suitability.overlay({"a": one}, {"a": 0.5})
    with pytest.raises(ValueError, match="not be negative"):
        suitability.overlay({"a": one, "b": one}, {"a": 1.5, "b": -0.5})
    for other, what in [
        (ranked(np.ones((2, 3))), "shape"),
        (raster(np.ones((2, 2)), left=10), "grid"),
        (raster(np.ones((2, 2)), crs="EPSG:32647"), "CRS"),
    ]:
        with pytest.raises(ValueError, match=rf"layer 'b' has another {what}.*to_grid"):
            suitability.overlay({"a": one, "b": other}, {"a": 0.5, "b": 0.5})
    with pytest.raises(ValueError, match="layer 'b' has no value at all"):
        suitability.overlay({"a": one, "b": one * np.nan}, {"a": 0.5, "b": 0.5})
    left, right = ranked([[1, np.nan], [1, np.nan]]), ranked([[np.nan, 1], [np.nan, 1]])
    with pytest.raises(ValueError, match="no place where all layers"):
        suitability.overlay({"a": left, "b": right}, {"a": 0.5, "b": 0.5})
    with pytest.raises(TypeError, match="dict of rasters"):
        suitability.overlay([one], {"a": 1})


def test_grades():
    score = ranked([[1, 7 / 3, 2.4], [11 / 3, 3.7, np.nan]])
    found = suitability.grade(score)
    assert found.values.tolist() == [[0, 0, 1], [1, 2, 255]]
    assert [c["name"] for c in found.attrs["classes"]] == ["low", "medium", "high"]
    numbers = pd.Series([3.0, np.nan, 1, 2], index=list("abcd"))
    by_third = suitability.grade(numbers, "quantile")
    assert by_third.to_dict() == {"a": "high", "b": np.nan, "c": "low", "d": "medium"}
    assert by_third.max() == "high"
    with pytest.raises(ValueError, match="lowest and highest possible"):
        suitability.grade(numbers)
    with pytest.raises(ValueError, match="3 grades need 2 limits"):
        suitability.grade(numbers, [2])
    with pytest.raises(ValueError, match="different names"):
        suitability.grade(numbers, [2], names=["a", "a"])


@pytest.mark.parametrize("names", [["low", "medium", "high"], ["no", "yes"], list("abcde")])
def test_a_grade_has_one_colour_in_rasters_and_pictures(names):
    score = ranked([np.linspace(1, 5, 6)])
    legend = suitability.grade(score, names=names).attrs["classes"]
    colors = grade_colors(names[::-1])
    assert {item["name"]: item["color"] for item in legend} == colors
    assert len(set(colors.values())) == len(names)


# Roofs


@pytest.fixture
def town():
    """Two layers of 2 x 4 cells, five roofs, three districts of which the last is empty."""
    layers = {
        "heat": ranked([[1, 5, 5, 1], [1, 5, 3, np.nan]]),
        "people": ranked([[1, 1, 5, 1], [1, 5, 3, 2]]),
    }
    roofs = boxes(
        (2, 32, 6, 36),  # far smaller than its cell
        (27, 40, 33, 50),  # half in the first cell, half in the second
        (61, 31, 89, 59),
        (65, 5, 75, 15),
        (95, 5, 105, 15),  # where one layer has no data
    )
    districts = boxes((0, 0, 60, 60), (60, 0, 120, 60), (120, 0, 180, 60), name=["W", "E", "far"])
    return layers, roofs, districts


WEIGHTS = {"heat": 0.6, "people": 0.4}


def test_roofs_get_the_score_by_area(town):
    layers, roofs, _ = town
    found = suitability.to_roofs(layers, roofs, WEIGHTS)
    assert found.score.tolist() == pytest.approx([1, 0.6 * 3 + 0.4, 5, 3, np.nan], nan_ok=True)
    assert found.grade.astype(object).tolist()[:4] == ["low", "low", "high", "medium"]
    assert found.grade.isna().tolist() == [False] * 4 + [True]
    parts = found[["part_heat", "part_people"]].sum(axis=1, skipna=False)
    assert parts.tolist() == pytest.approx(found.score.tolist(), nan_ok=True)
    assert found.covered.tolist() == [1, 1, 1, 1, 0]
    assert found.why[1].startswith("low: 2.20 of 5 = heat 1.80 (class 3.0 of 5) + people 0.40")
    assert "no data" in found.why[4]
    # the mean of the sum is the sum of the means
    score = suitability.overlay(layers, WEIGHTS)
    same = suitability.to_roofs(score, roofs)
    assert same.score.tolist() == pytest.approx(found.score.tolist(), nan_ok=True)
    assert same.why[2] == "high: 5.00 of 5"


def test_cover_is_cut_exactly():
    layer = ranked(np.arange(16).reshape(4, 4) % 5 + 1)
    roof = gpd.GeoDataFrame(
        geometry=[shapely.Polygon([(20, 20), (100, 35), (70, 110)])], crs=CRS, index=["t"]
    )
    fine = np.kron(layer.values, np.ones((300, 300)))  # 0.1 m
    x = (np.arange(1200) + 0.5) / 10
    gx, gy = np.meshgrid(x, x[::-1])
    inside = shapely.contains_xy(roof.geometry.iloc[0], gx, gy)
    found = suitability.zonal({"a": layer}, roof)
    assert found.loc["t", "a"] == pytest.approx(fine[inside].mean(), abs=2e-3)


def test_roofs_half_off_the_grid_and_without_any_data(town):
    layers, _, _ = town
    edge = boxes((-10, 40, 10, 50), (500, 500, 510, 510))
    found = suitability.to_roofs(layers, edge, WEIGHTS)
    assert found.covered.tolist() == [0.5, 0] and found.score[0] == 1 and np.isnan(found.score[1])
    with pytest.raises(ValueError, match="none of them lies where"):
        suitability.to_roofs(layers, edge.iloc[1:], WEIGHTS)


def test_roofs_that_cannot_be_measured(town):
    layers, roofs, _ = town
    bow = gpd.GeoDataFrame(geometry=[shapely.Polygon([(0, 0), (9, 9), (9, 0), (0, 9)])], crs=CRS)
    turned = [roofs.geometry[0], shapely.Polygon(roofs.geometry[0].exterior.coords[1:])]
    for bad, message in [
        (roofs.set_crs(None, allow_override=True), "no CRS"),
        (roofs.to_crs(4326), r"degrees.*to_crs\('EPSG:32648'\)"),
        (roofs.to_crs(32647), "EPSG:32647, but metres in EPSG:32648"),
        (bow, "1 of 1 rows have an invalid geometry.*make_valid"),
        (gpd.GeoDataFrame(geometry=turned, crs=CRS), r"geometry of an earlier row \(rows \[1\]\)"),
        (roofs.set_geometry(roofs.centroid), "other than Polygon"),
        (gpd.GeoDataFrame(geometry=[None, shapely.Polygon()], crs=CRS), "2 of 2 rows have no geo"),
        (roofs.iloc[:0], "no rows"),
        (roofs.assign(score=1), r"\['score'\] are there already"),
    ]:
        with pytest.raises(ValueError, match=message):
            suitability.to_roofs(layers, bad, WEIGHTS)
    with pytest.raises(TypeError, match="GeoDataFrame"):
        suitability.to_roofs(layers, roofs.geometry, WEIGHTS)
    with pytest.raises(ValueError, match="need weights"):
        suitability.to_roofs(layers, roofs)


def test_tables_add_up(town):
    layers, roofs, districts = town
    found = suitability.to_roofs(layers, roofs, WEIGHTS)
    grades = suitability.by_grade(found)
    assert grades.index.tolist() == ["high", "medium", "low", "no data"]
    assert grades.roofs.tolist() == [1, 1, 2, 1] and grades.share.sum() == pytest.approx(1)
    assert grades.area.tolist() == pytest.approx([784, 100, 76, 100])
    assert grades.area_share.sum() == pytest.approx(1)
    table = suitability.by_district(found, districts)
    assert table.roofs.to_dict() == {"W": 2, "E": 3, "far": 0}
    assert table.loc["far"].sum() == 0 and table.share.sum() == pytest.approx(1)
    assert table[["high", "medium", "low", "no data"]].sum(axis=1).tolist() == [2, 3, 0]
    assert table.loc["E", ["high", "medium", "low", "no data"]].tolist() == [1, 1, 0, 1]
    few = suitability.by_district(found, districts.iloc[:1])
    assert few.roofs.to_dict() == {"W": 2, "outside all districts": 3}


def test_tables_survive_a_file(town, tmp_path):
    layers, roofs, districts = town
    found = suitability.to_roofs(layers, roofs.iloc[:3], WEIGHTS)
    found.to_file(tmp_path / "roofs.gpkg")
    again = gpd.read_file(tmp_path / "roofs.gpkg")
    # a grade that no roof has is still a row
    assert suitability.by_grade(again).roofs.to_dict() == {"high": 1, "medium": 0, "low": 2}
    assert suitability.by_district(again, districts).equals(
        suitability.by_district(found, districts)
    )


def test_tables_refuse_bad_districts(town):
    layers, roofs, districts = town
    found = suitability.to_roofs(layers, roofs, WEIGHTS)
    with pytest.raises(KeyError, match=r"no column 'district'; it has \['name'\]"):
        suitability.by_district(found, districts, name="district")
    with pytest.raises(KeyError, match="no column 'class'"):
        suitability.by_grade(found, "class")
    with pytest.raises(ValueError, match="overlap"):
        suitability.by_district(found, boxes((0, 0, 60, 60), (30, 0, 90, 60), name=["a", "b"]))
    with pytest.raises(ValueError, match="to_crs"):
        suitability.by_district(found, districts.to_crs(4326))
    with pytest.raises(ValueError, match="needs one"):
        suitability.by_district(found, districts.assign(name=["a", None, "b"]))


# Sensitivity


def test_sensitivity_of_two_layers_by_hand():
    # two criteria, judged equal: a step up or down gives weights 1/2, 2/3, 1/3, one draw each
    layers = {"a": ranked([[5, 1], [5, 1]]), "b": ranked([[1, 1], [1, 1]])}
    roofs = boxes((1, 1, 5, 5), (31, 1, 35, 5), (1, 31, 5, 35))
    found = suitability.sensitivity(layers, [[1, 1], [1, 1]], roofs, draws=3)
    assert sorted(found.weights["a"].round(4)) == [0.3333, 0.5, 0.6667]
    # scores of the first roof: 3, 3.667 (on the limit: still medium), 2.333 (on the limit: low)
    assert found.table.loc[0, "keeps"] == pytest.approx(2 / 3)
    assert found.table.loc[0, ["low", "medium", "high"]].tolist() == pytest.approx(
        [1 / 3, 2 / 3, 0]
    )
    assert found.table.loc[1, "keeps"] == 1 and found.table.loc[1, "grade"] == "low"
    assert found.overall["ever_changed"] == 2 and found.overall["most"] == 2
    assert found.overall["mean_changed"] == pytest.approx(2 / 3)


def test_sensitivity_keeps_to_consistent_judgements_and_the_seed(town):
    layers, roofs, _ = town
    layers = {
        "B1": layers["heat"],
        "A1": layers["people"],
        "B2": layers["heat"],
        "B3": layers["people"],
    }
    one = suitability.sensitivity(layers, PAPER, roofs, draws=50, seed=3)
    two = suitability.sensitivity(layers, PAPER, roofs, draws=50, seed=3)
    pd.testing.assert_frame_equal(one.table, two.table)
    pd.testing.assert_frame_equal(one.weights, two.weights)
    assert len(one.weights) == 50 and (one.weights["cr"] < 0.1).all()
    assert one.weights[list(layers)].sum(axis=1).to_numpy() == pytest.approx(1)
    assert one.weights["B1"].nunique() > 10
    assert one.table["keeps"].isna().tolist() == [False] * 4 + [True] and one.overall["roofs"] == 4
    other = suitability.sensitivity(layers, PAPER, roofs, draws=50, seed=4)
    assert not other.weights.equals(one.weights)
    # a matrix with names may come in another order than the layers
    matrix = suitability.ahp(PAPER, names=list(layers)).matrix
    turned = matrix.loc[::-1, ::-1]
    full = suitability.sensitivity(layers, matrix, roofs, draws=729)
    again = suitability.sensitivity(layers, turned, roofs, draws=729)
    pd.testing.assert_frame_equal(full.table, again.table)


def test_sensitivity_refuses_inconsistent_judgements(town):
    layers, roofs, _ = town
    layers = {**layers, "roads": layers["heat"]}
    with (
        pytest.warns(UserWarning, match="contradict"),
        pytest.raises(ValueError, match="should not be used"),
    ):
        suitability.sensitivity(layers, [[1, 9, 1 / 9], [1 / 9, 1, 9], [9, 1 / 9, 1]], roofs)
    with pytest.raises(ValueError, match="4 criteria need 4"):
        suitability.sensitivity(layers, PAPER, roofs)
    with pytest.raises(ValueError, match="above 0"):
        suitability.sensitivity(layers, np.ones((3, 3)), roofs, draws=0)
