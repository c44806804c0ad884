"""The published tables: complete, as printed, and clear about where they stand."""

from importlib.resources import files

import pandas as pd
import pytest
import yaml

from toolkit import papers


@pytest.mark.parametrize("key", ["ifcn", "land_cover_3m", "roof_greening", "sen2hse"])
def test_every_table_says_what_it_is(key):
    tables = papers.published(key)
    assert len(tables) > 5
    for name, table in tables.items():
        assert isinstance(table, pd.DataFrame), name
        assert len(table), name
        assert table.index.is_unique or name == "table_5", name
        assert table.attrs["paper"] == key
        if name == "numbers":
            assert table[["value", "unit", "where"]].notna().all().all()
            continue
        assert table.attrs["title"] and table.attrs["where"], name
        unit = table.attrs["unit"]
        assert unit, name
        if isinstance(unit, dict):
            assert set(unit) == set(table.columns), name


@pytest.mark.parametrize("key", papers.keys())
def test_reference(key):
    entry = papers.reference(key)
    assert entry["doi"].startswith("10.")
    assert entry["doi"] in entry["citation"]
    assert entry["authors"][0] in entry["citation"]
    assert 2020 <= entry["year"] <= 2022


def test_unknown_paper_suggests_the_nearest():
    with pytest.raises(KeyError, match="land_cover_3m"):
        papers.published("landcover")
    with pytest.raises(KeyError, match="Did you mean 'sen2hse'"):
        papers.reference("sen2hs")
    with pytest.raises(KeyError, match="we hold ifcn"):
        papers.published("zzz")


def test_tables_belong_to_the_caller():
    table = papers.published("ifcn")["table_2"]
    table.loc["IFCN", "TP"] = 0
    table.attrs["where"] = "nowhere"
    papers.reference("ifcn")["authors"].clear()
    again = papers.published("ifcn")["table_2"]
    assert again.loc["IFCN", "TP"] == 12625
    assert again.attrs["where"] == "Table 2, Section 4.1"
    assert papers.reference("ifcn")["authors"]


def test_ifcn_reference_pixels_are_the_same_for_every_method():
    table = papers.published("ifcn")["table_2"]
    assert set(table.TP + table.FN) == {13237}


def test_ifcn_means_of_table_3_leave_lushui_out():
    tables = papers.published("ifcn")
    cities, printed = tables["table_3"], tables["table_3_means"]
    assert cities["size"].value_counts().to_dict() == {"medium": 20, "small": 20}
    means = cities.groupby("size")[["TED", "SID"]].mean()
    # Half a unit in the last digit; one whole unit where the print is truncated.
    assert abs(means.loc["medium"] - printed.loc["medium"]).max() <= 0.0051
    assert abs(means.loc["small"] - printed.loc["small"]).max() > 2
    rest = cities[cities["size"] == "small"].drop(index="Lushui")[["TED", "SID"]].mean()
    assert abs(rest - printed.loc["small"]).max() < 0.01


def test_ifcn_sampling_numbers():
    value = papers.published("ifcn")["numbers"].value
    assert value[["samples", "sub_regions", "sampling_areas"]].tolist() == [1017, 400, 228]
    assert (value.train_parts, value.test_parts, value.sample_size) == (21, 4, 36)
    assert value.samples_per_area_min <= value.samples / value.sampling_areas
    assert value.samples / value.sampling_areas <= value.samples_per_area_max


@pytest.mark.parametrize("name", ["table_2", "table_3"])
def test_land_cover_sums_are_the_printed_ones(name):
    tables = papers.published("land_cover_3m")
    matrix, printed = tables[name], tables[f"{name}_accuracy"]
    assert (matrix.index == matrix.columns).all()
    assert (matrix.index.name, matrix.columns.name) == ("map", "reference")
    assert (matrix.sum(axis=1) == printed["mapped"]).all()
    assert (matrix.sum(axis=0) == printed["reference"]).all()
    assert (printed["reference"] == tables["table_1"]["samples"]).all()
    assert matrix.to_numpy().sum() == 1940


def test_land_cover_table_4_repeats_the_accuracies():
    tables = papers.published("land_cover_3m")
    table = tables["table_4"].drop(columns="OA")
    assert (table.loc["10-m resolution map"] == tables["table_2_accuracy"]["PA"]).all()
    assert (table.loc["HRNet (ours)"] == tables["table_3_accuracy"]["PA"]).all()


def test_roof_greening_counts():
    tables = papers.published("roof_greening")
    total = tables["numbers"].value["suitable"]
    assert tables["suitability"]["roofs"].sum() == total
    assert tables["districts"]["roofs"].sum() == total
    assert tables["table_6"]["weight"].sum() == pytest.approx(1)
    share = tables["districts"]["roofs"] / total * 100
    assert abs(share - tables["districts"]["share"]).max() <= 0.0051
    # The printed shares of the grades follow from 2667, not from the printed 5337.
    counts = tables["suitability"]["roofs"].replace(5337, 2667)
    share = counts / counts.sum() * 100
    assert abs(share - tables["suitability"]["share"]).max() <= 0.0051


def test_sen2hse_means_are_those_of_the_cities():
    table = papers.published("sen2hse")["table_3"]
    mean = table.drop(columns="Mean").mean(axis=1)
    digit = table.index.get_level_values("score").map(
        lambda score: 0.01 if score in ("kappa", "F-Score") else 0.1
    )
    assert (abs(mean - table["Mean"]) <= 0.51 * digit).all()


def test_sen2hse_tables_agree_where_they_repeat():
    tables = papers.published("sen2hse")
    five = tables["table_5"].loc["Sen2HSE-Net"]
    six = tables["table_6"].loc[("Sen2HSE-Net", "spatial")]
    assert (five[six.index] == six).all()
    seven = tables["table_7"]
    assert seven.loc[(16, "2+2+2+2+1"), "parameters"] == five["parameters"]


def test_print_keeps_its_digits():
    texts, values = papers.printed("ifcn"), papers.published("ifcn")
    assert texts["table_2"].loc["SVM", ["TP", "recall", "kappa"]].tolist() == [
        "11933",
        "0.90",
        "0.48",
    ]
    assert list(texts) == list(values)
    for name, table in texts.items():
        assert table.index.equals(values[name].index), name
        assert (table.isna() == values[name].isna()).all(axis=None), name


def test_no_table_stands_twice():
    """YAML would keep the last of two entries with one name and say nothing."""

    class Strict(yaml.SafeLoader):
        def construct_mapping(self, node, deep=False):
            keys = [key.value for key, _ in node.value]
            assert len(keys) == len(set(keys)), [k for k in keys if keys.count(k) > 1]
            return super().construct_mapping(node, deep)

    Strict.add_constructor(
        yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG,
        lambda loader, n: loader.construct_mapping(n),
    )
    for name in ("papers.yaml", "audit/claims.yaml"):
        text = files("toolkit").joinpath(name).read_text(encoding="utf-8")
        assert yaml.load(text, Loader=Strict)
