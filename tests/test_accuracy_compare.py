"""McNemar's test against hand-computed cases, and the size classes of the printed table."""

import numpy as np
import pandas as pd
import pytest
import rioxarray  # noqa: F401
import xarray as xr
from scipy import stats

from toolkit import papers
from toolkit.accuracy import mcnemar, size_class_test, size_summary


def maps(both, only_a, only_b, neither):
    """Truth and two maps with these numbers of places right."""
    a = np.repeat([1, 1, 0, 0], [both, only_a, only_b, neither])
    b = np.repeat([1, 0, 1, 0], [both, only_a, only_b, neither])
    return np.ones_like(a), a, b


def raster(values, crs="EPSG:32648", left=0.0):
    rows, columns = np.shape(values)
    coords = {"y": -10.0 * np.arange(rows), "x": left + 10.0 * np.arange(columns)}
    array = xr.DataArray(np.asarray(values), coords, ("y", "x"))
    return array if crs is None else array.rio.write_crs(crs)


# Two maps


def test_few_discordant_places_are_tested_exactly():
    table, test = mcnemar(*maps(50, 8, 2, 40))
    assert table.to_numpy().tolist() == [[50, 8], [2, 40]]
    assert table.loc["a right", "b wrong"] == 8
    assert test["method"] == "exact binomial" and test["discordant"] == 10
    assert test["p"] == pytest.approx(2 * (45 + 10 + 1) / 1024)  # two tails of 10 coins
    assert (test["overall_a"], test["overall_b"]) == (0.58, 0.52)
    assert test["difference"] == pytest.approx(0.06)


def test_many_are_tested_by_corrected_chi_square():
    test = mcnemar(*maps(100, 40, 20, 40)).test
    assert test["method"].startswith("chi-square")
    assert test["statistic"] == pytest.approx(19**2 / 60)
    assert test["p"] == pytest.approx(stats.chi2.sf(361 / 60, 1))
    x, y, n = 41 / 202, 21 / 202, 202  # Bonett & Price: one more in each discordant cell
    half = 1.959964 * np.sqrt((x + y - (x - y) ** 2) / n)
    assert test["low"] == pytest.approx(x - y - half)
    assert test["high"] == pytest.approx(x - y + half)


def test_swapping_the_maps_turns_the_sign_only():
    truth, a, b = maps(100, 40, 20, 40)
    one, other = mcnemar(truth, a, b).test, mcnemar(truth, b, a).test
    assert one["p"] == other["p"] and one["difference"] == -other["difference"]
    assert one["low"] == pytest.approx(-other["high"])


def test_equal_maps_do_not_differ():
    test = mcnemar(*maps(30, 0, 0, 5)).test
    assert (test["p"], test["difference"], test["discordant"]) == (1, 0, 0)
    assert test["low"] < 0 < test["high"]
    assert mcnemar(*maps(30, 13, 13, 5)).test["statistic"] == 0  # the correction stops at 0


def test_one_class_only_and_several_classes():
    assert mcnemar([1, 1, 1], [1, 1, 1], [1, 1, 1]).test["overall_a"] == 1
    several = mcnemar([0, 1, 2, 3], [0, 1, 2, 0], [0, 2, 1, 3])
    assert several.table.to_numpy().tolist() == [[1, 2], [1, 0]]
    named = mcnemar(pd.Series(["u", "r"]), pd.Series(["u", "u"]), pd.Series(["u", "r"]))
    assert named.test["difference"] == -0.5


def test_places_unknown_in_any_of_the_three_are_left_out():
    truth = raster(np.array([[1, 1, 255, 0], [0, 1, 1, 0]], "uint8"))
    a = raster(np.array([[1, np.nan, 1, 0], [0, 1, 0, 0]], "float32"))
    b = raster(np.array([[0, 1, 1, 0], [0, 9, 1, 1]], "uint8")).rio.write_nodata(9)
    table, test = mcnemar(truth, a, b)
    assert test["n"] == 5
    assert table.to_numpy().tolist() == [[2, 2], [1, 0]]


def test_dask_and_memory_agree():
    rng = np.random.default_rng(0)
    three = [raster(rng.integers(0, 2, (40, 60)).astype("uint8")) for _ in range(3)]
    chunked = [each.chunk(y=16, x=30) for each in three]
    pd.testing.assert_series_equal(mcnemar(*three).test, mcnemar(*chunked).test)


def test_thresholds_of_an_image_are_maps_although_they_inherit_nan():
    lights = raster(np.arange(12, dtype="float32").reshape(3, 4))
    lights.attrs["_FillValue"] = np.float32(np.nan)
    with xr.set_options(keep_attrs=True):
        assert mcnemar(lights > 5, lights > 3, lights > 6).test["difference"] == -1 / 12


def test_maps_that_do_not_belong_together_are_named():
    truth = raster(np.ones((4, 4), "uint8"))
    with pytest.raises(ValueError, match=r"map b .*EPSG:32647"):
        mcnemar(truth, truth, raster(np.ones((4, 4), "uint8"), crs="EPSG:32647"))
    with pytest.raises(ValueError, match=r"map a .*other ground"):
        mcnemar(truth, raster(np.ones((4, 4), "uint8"), left=40.0), truth)
    with pytest.raises(ValueError, match=r"map b .*no CRS"):
        mcnemar(truth, truth, raster(np.ones((4, 4), "uint8"), crs=None))
    with pytest.raises(ValueError, match=r"map a .*predicted \(3,\)"):
        mcnemar([1, 0], [1, 0, 1], [1, 0])


@pytest.mark.parametrize(
    "three, message",
    [
        (([], [], []), "nothing to compare"),
        (([255, 255], [1, 0], [1, 0]), "nothing to compare"),
        (([np.nan, 1], [1, np.nan], [1, 0]), "nothing to compare"),
        (([0, 1], [0.2, 1], [0, 1]), "0.2, which is no class code"),
        (([0, 1], ["u", "r"], [0, 1]), "mix class names and codes"),
    ],
)
def test_nothing_to_compare_is_said(three, message):
    with pytest.raises(ValueError, match=message):
        mcnemar(*map(np.asarray, three))


def test_other_arguments_are_checked():
    with pytest.raises(ValueError, match="confidence"):
        mcnemar([1, 0], [1, 0], [1, 1], confidence=95)
    with pytest.raises(ValueError, match=r"class \[1\]"):
        mcnemar([1, 0], [1, 0], [1, 1], classes=["rural"])
    with pytest.raises(ValueError, match="1 block with data"):
        mcnemar([1, 0], [1, 0], [1, 1], blocks=[3, 3])
    with pytest.raises(ValueError, match="1 places have no block"):
        mcnemar([1, 0, 1], [1, 0, 1], [1, 1, 1], blocks=[3, 4, np.nan])


def test_blocks_of_one_place_are_a_paired_t_test():
    truth, a, b = maps(100, 40, 20, 40)
    test = mcnemar(truth, a, b, blocks=np.arange(truth.size)).test
    reference = stats.ttest_1samp((a == truth).astype(int) - (b == truth), 0)
    assert test["statistic"] == pytest.approx(reference.statistic)
    assert test["p"] == pytest.approx(reference.pvalue)
    interval = reference.confidence_interval()
    assert (test["low"], test["high"]) == pytest.approx((interval.low, interval.high))
    assert test["blocks"] == 200


def test_blocks_keep_their_level_where_pixels_are_too_sure():
    """Maps alike in truth, wrong in patches of 8 x 8: 5 % of tests may call them different."""
    rng = np.random.default_rng(7)
    truth = np.ones((64, 64), "uint8")
    pixels, blocks = 0, 0
    for _ in range(200):
        a, b = (np.kron(rng.random((8, 8)) < 0.8, np.ones((8, 8))).astype("uint8") for _ in "ab")
        pixels += mcnemar(truth, a, b).test["p"] < 0.05
        blocks += mcnemar(truth, a, b, blocks=8).test["p"] < 0.05
    assert pixels > 120
    assert 2 <= blocks <= 20


def test_same_difference_in_every_block():
    test = mcnemar([1] * 6, [1] * 6, [1, 0] * 3, blocks=[0, 0, 1, 1, 2, 2]).test
    assert test["p"] == 0 and test["difference"] == 0.5
    assert mcnemar([1] * 4, [1] * 4, [1] * 4, blocks=[0, 0, 1, 1]).test["p"] == 1


# Size classes


@pytest.fixture
def printed():
    return papers.published("ifcn")["table_3"]


def test_summary_gives_the_printed_means_without_lushui_only(printed):
    means = papers.published("ifcn")["table_3_means"]
    table = size_summary(printed)
    for measure in ("TED", "SID"):
        assert abs(table.loc[(measure, "medium"), "mean"] - means.loc["medium", measure]) < 0.0051
        small = table.loc[(measure, "small")]
        assert small["worst"] == "Lushui" and small["n"] == 20
        assert abs(small["mean_without_worst"] - means.loc["small", measure]) < 0.01  # truncated
        assert small["mean"] > means.loc["small", measure] + 2
    assert table.loc[("TED", "small"), "worst_value"] == 445.53
    assert table.loc[("TED", "small"), "mean"] == pytest.approx(39.905)


def test_summary_counts_the_undefined():
    table = pd.DataFrame(
        {
            "name": list("abcde"),
            "size": ["town"] * 4 + ["mega"],
            "SID": [1.0, np.nan, 9.0, 2.0, np.nan],
            "TED": [4.0, 3.0, 2.0, 1.0, 5.0],
        }
    )
    summary = size_summary(table)
    town = summary.loc[("SID", "town")]
    assert (town["n"], town["undefined"], town["mean"], town["median"]) == (3, 1, 4, 2)
    assert (town["mean_without_worst"], town["worst"]) == (1.5, "c")
    mega = summary.loc[("SID", "mega")]
    assert mega["n"] == 0 and np.isnan(mega["mean"]) and mega["worst"] == ""
    assert np.isnan(summary.loc[("TED", "mega"), "mean_without_worst"])
    assert size_summary(table, classes=["mega"]).index.tolist() == [
        ("SID", "mega"),
        ("TED", "mega"),
    ]


def test_two_classes_are_compared_by_rank_and_mean(printed):
    table = size_class_test(printed)
    row = table.loc[("TED", "medium - small")]
    medium, small = (printed.TED[printed["size"] == size] for size in ("medium", "small"))
    assert row["p"] == pytest.approx(stats.mannwhitneyu(medium, small).pvalue)
    delta = np.sign(np.subtract.outer(medium.to_numpy(), small.to_numpy())).mean()
    assert row["effect"] == pytest.approx(delta)
    assert row["difference"] == pytest.approx(13.735 - 39.905)
    assert row["low"] < row["difference"] < row["high"]
    assert row["n"] == "20, 20"
    # What the paper asserts holds for shape, and is not shown for the edge.
    assert table.loc[("SID", "medium - small"), "p"] < 0.05 < row["p"]
    pd.testing.assert_frame_equal(table, size_class_test(printed))


def test_three_classes_get_one_test_of_all():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"size": list("abc") * 12, "TED": rng.normal(10, 1, 36)})
    table.loc[table["size"] == "c", "TED"] += 5
    table.loc[0, "TED"] = np.nan
    result = size_class_test(table, measures=["TED"], n=499).loc["TED"]
    assert result.index.tolist() == ["all", "a - b", "a - c", "b - c"]
    groups = [each.dropna() for _, each in table.groupby("size").TED]
    h, p = stats.kruskal(*groups)
    assert result.loc["all", ["statistic", "p"]].tolist() == pytest.approx([h, p])
    assert result.loc["all", "effect"] == pytest.approx(h / 34)
    single = stats.mannwhitneyu(groups[0], groups[2]).pvalue
    assert result.p["a - c"] == pytest.approx(3 * single)
    assert result.n["a - c"] == "11, 12" and result.effect["a - c"] < -0.9
    assert result.p["a - b"] <= 1


def test_signs_do_not_cancel_and_undefined_are_counted():
    table = pd.DataFrame({"size": ["a"] * 4 + ["b"] * 4, "TE": [5, -5, 5, -5, 1, -1, np.nan, -1]})
    result = size_class_test(table, measures=["TE"], n=99)
    assert result.difference.tolist() == [4] and result.effect.tolist() == [1]
    assert result.attrs["undefined"] == 1
    assert np.isnan(result.low.iloc[0])  # nothing varies


def test_values_all_alike_do_not_differ():
    table = pd.DataFrame({"size": list("abc") * 3, "TED": 2.0})
    assert (size_class_test(table, measures=["TED"], n=99).p == 1).all()


def test_order_of_classes(printed):
    flipped = size_class_test(printed, classes=["small", "medium"], n=99)
    assert flipped.index[0] == ("SID", "small - medium") and flipped.effect.iloc[0] > 0
    ordered = printed.assign(
        size=pd.Categorical(printed["size"], ["town", "small", "medium"], ordered=True)
    )
    assert size_class_test(ordered, n=99).index[0] == ("SID", "small - medium")


def test_size_classes_refuse_what_cannot_be_compared(printed):
    with pytest.raises(KeyError, match=r"no column \['form'\]"):
        size_class_test(printed, by="form")
    with pytest.raises(KeyError, match="'IoU'"):
        size_summary(printed, measures=["IoU"])
    with pytest.raises(TypeError, match="list of columns"):
        size_summary(printed, measures="TED")
    with pytest.raises(ValueError, match="one size class only"):
        size_class_test(printed[printed["size"] == "small"])
    with pytest.raises(ValueError, match=r"size class \['mega'\]"):
        size_summary(printed, classes=["mega", "small"])
    with pytest.raises(ValueError, match="no row"):
        size_summary(printed.iloc[:0])
    lone = printed[(printed["size"] == "small") | (printed.index == "Yuxi")]
    with pytest.raises(ValueError, match="'medium' has 1 settlement with a SID"):
        size_class_test(lone)
