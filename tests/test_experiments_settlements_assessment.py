"""Chapter 4, the assessment: check points, products on one grid, agreement maps."""

import importlib.util
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rioxarray  # noqa: F401  (registers the .rio accessor)
import xarray as xr
from shapely.geometry import box
from skimage.color import deltaE_ciede2000, rgb2lab

from toolkit import accuracy, catalog, maps
from toolkit.experiments.settlements import agreement as ag
from toolkit.experiments.settlements import points as pt
from toolkit.experiments.settlements import products as pr

WEST, NORTH, CRS = 600_000.0, 4_000_000.0, "EPSG:32648"


def raster(values, step=20.0, left=WEST, top=NORTH, **attrs):
    values = np.asarray(values)
    y = top - step * (np.arange(values.shape[0]) + 0.5)
    x = left + step * (np.arange(values.shape[1]) + 0.5)
    out = xr.DataArray(values, {"y": y, "x": x}, ("y", "x"), attrs=attrs).rio.write_crs(CRS)
    return out.rio.write_nodata(255) if values.dtype == np.uint8 else out


@pytest.fixture(scope="module")
def truth():
    """A round town of 1.2 km in 4.8 km of country with a village in the south-east."""
    row, col = np.mgrid[:240, :240]
    town = (row - 100) ** 2 + (col - 100) ** 2 < 60**2
    village = (np.abs(row - 210) < 12) & (np.abs(col - 210) < 12)
    return raster((town | village).astype("u1"), simulated=True)


@pytest.fixture(scope="module")
def ours(truth):
    """The truth with a tenth of all cells wrong."""
    wrong = np.random.default_rng(0).random(truth.shape) < 0.1
    return truth.copy(data=np.where(wrong, 1 - truth, truth).astype("u1"))


class TestCheckPoints:
    def test_a_grid_of_cells(self, truth):
        points = pt.check_points(truth, spacing=400, error=0)
        assert len(points) == 12 * 12
        assert (points["reference"] == points["truth"]).all()
        assert np.allclose(points.area, 400)  # 20 m x 20 m
        # squares are pixels, and carry the code of the pixel that they are
        found = truth.sel(x=xr.DataArray(points["x"]), y=xr.DataArray(points["y"]))
        assert (found.values == points["truth"]).all() and points["truth"].nunique() == 2
        assert np.allclose(np.diff(np.unique(points["x"])), 400)
        assert points.attrs["simulated"]

    def test_the_papers_spacing(self, truth):
        assert len(pt.check_points(truth)) == 4

    def test_the_interpreter_errs_as_often_as_told(self, truth):
        points = pt.check_points(truth, spacing=60, error=0.05)
        wrong = points["reference"] != points["truth"]
        settled = points["truth"] == 1
        assert len(points) == 80**2
        assert wrong.mean() == pytest.approx(0.05, abs=0.01)
        assert wrong[settled].mean() == pytest.approx(wrong[~settled].mean(), abs=0.03)
        one_sided = pt.check_points(truth, spacing=60, error=(0.2, 0))
        wrong = one_sided["reference"] != one_sided["truth"]
        assert wrong[settled].mean() == pytest.approx(0.2, abs=0.05) and not wrong[~settled].any()

    def test_seed_changes_labels_and_start_the_grid(self, truth):
        one, other = (pt.check_points(truth, 100, seed=seed) for seed in (0, 1))
        assert one.geometry.equals(other.geometry)
        assert (one["reference"] != other["reference"]).any()
        assert one["reference"].equals(pt.check_points(truth, 100, seed=0)["reference"])
        assert not one.geometry.equals(pt.check_points(truth, 100, start=3).geometry)

    def test_area_and_unknown_ground(self, truth):
        centre = (WEST + 1000, NORTH - 3000, WEST + 3000, NORTH - 1000)
        points = pt.check_points(truth, 200, area=centre)
        assert len(points) == 100 and points.within(box(*centre)).all()
        half = truth.copy(deep=True)
        half[:, :120] = 255
        assert pt.check_points(half, 400)["x"].min() > WEST + 2400

    def test_refusals(self, truth):
        with pytest.raises(ValueError, match=r"spacing=10 is finer than the pixels.*20 m"):
            pt.check_points(truth, spacing=10)
        with pytest.raises(ValueError, match="spacing=nan"):
            pt.check_points(truth, spacing=np.nan)
        with pytest.raises(ValueError, match=r"error=0.7"):
            pt.check_points(truth, error=0.7)
        with pytest.raises(ValueError, match="no check point of a grid of 400 m falls"):
            pt.check_points(truth, 400, area=(0, 0, 1000, 1000))
        with pytest.raises(ValueError, match=r"truth holds the codes \[2\]"):
            pt.check_points(truth + np.uint8(1))


class TestScores:
    def test_five_scores_are_those_of_the_confusion_matrix(self, truth, ours):
        points = pt.read(pt.check_points(truth, 100), ours=ours)
        table = pt.city_scores({"a": points}, ["ours"], n=50)["estimate"]
        matrix = accuracy.confusion(points["reference"], points["ours"], ["other", "settled"])
        expected = {
            "kappa": matrix.kappa,
            "average": matrix.average,
            "commission": matrix.commission["settled"],
            "recall": matrix.producers["settled"],
            "f1": matrix.f1["settled"],
        }
        for score, value in expected.items():
            assert table[score, "ours", "a"] == pytest.approx(value)

    def test_cities_and_their_mean(self, truth, ours):
        bad = ours.copy(data=1 - ours.values)
        both = {
            name: pt.read(pt.check_points(truth, 200, seed=seed), ours=found)
            for seed, (name, found) in enumerate({"near": ours, "far": bad}.items())
        }
        table = pt.city_scores(both, ["truth", "ours"], n=200)
        assert list(table.index.get_level_values("city").unique()) == ["near", "far", "mean"]
        kappa = table.loc[("kappa", "ours")]
        assert kappa["estimate"]["mean"] == pytest.approx(
            (kappa["estimate"]["near"] + kappa["estimate"]["far"]) / 2
        )
        assert (kappa["low"] < kappa["estimate"]).all()
        assert (kappa["estimate"] < kappa["high"]).all()
        assert kappa["points"].tolist() == [576, 576, 1152]
        # a perfect map scores what the interpreter leaves
        perfect = table.loc[("average", "truth", "near"), "estimate"]
        assert 0.9 < perfect < 1 and perfect > table.loc[("average", "ours", "near"), "estimate"]

    def test_the_interval_narrows_with_the_points_and_covers(self, truth, ours):
        known = accuracy.confusion(truth, ours, ["other", "settled"]).kappa
        few, many, inside = [], [], []
        for start in range(10):
            for spacing, widths in ((400, few), (200, many)):
                points = pt.check_points(truth, spacing, error=0, start=start)
                table = pt.city_scores({"a": pt.read(points, ours=ours)}, ["ours"], n=200)
                row = table.loc[("kappa", "ours", "a")]
                widths.append(row["high"] - row["low"])
                inside.append(row["low"] <= known <= row["high"])
        assert np.mean(many) == pytest.approx(np.mean(few) / 2, rel=0.25)
        assert np.mean(inside) > 0.8

    def test_points_that_a_map_does_not_know_count_for_none(self, truth, ours):
        half = ours.copy(deep=True)
        half[:120] = 255
        points = pt.read(pt.check_points(truth, 400), ours=ours, half=half)
        assert len(points) == 72 and points["y"].max() < NORTH - 2400
        with pytest.raises(ValueError, match="no check point is known to all of ours, empty"):
            pt.read(pt.check_points(truth, 400), ours=ours, empty=ours.copy(data=half * 0 + 255))

    def test_refusals(self, truth, ours):
        points = pt.check_points(truth, 400)
        with pytest.raises(ValueError, match=r"pixels of coarse \(40 m\) are not those"):
            pt.read(points, coarse=raster(ours.values[::2, ::2], 40.0))
        with pytest.raises(ValueError, match="not those of the check points"):
            pt.read(points, shifted=raster(ours.values, left=WEST + 7))
        with pytest.raises(ValueError, match=r"p is no settlement map.*fractions"):
            pt.read(points, p=raster(ours.values * 0.4))
        with pytest.raises(KeyError, match=r"near has no column \['theirs'\]"):
            pt.city_scores({"near": points}, ["theirs"])
        with pytest.raises(ValueError, match="none of them called 'mean'"):
            pt.city_scores({"mean": points}, ["truth"])
        with pytest.raises(ValueError, match=r"near: 1 check point; .* a finer spacing"):
            pt.city_scores({"near": points.iloc[:1]}, ["truth"])

    def test_a_map_without_settlement_has_no_commission(self, truth, ours):
        points = pt.read(pt.check_points(truth, 400, error=0), empty=ours * np.uint8(0))
        table = pt.city_scores({"a": points}, ["empty"], n=20)["estimate"]
        assert np.isnan(table["commission", "empty", "a"]) and table["recall", "empty", "a"] == 0


class TestBuildings:
    @pytest.fixture(scope="class")
    def houses(self):
        """Two houses of a cell each, one of four cells, one outside the maps."""
        corners = [(10, 10, 1), (20, 20, 1), (30, 30, 2), (-50, 0, 1)]
        shapes = [
            box(WEST + 20 * c + 1, NORTH - 20 * (r + n) + 1, WEST + 20 * (c + n) - 1,
                NORTH - 20 * r - 1) for r, c, n in corners
        ]  # fmt: skip
        return gpd.GeoDataFrame(geometry=shapes, crs=CRS)

    def test_n1_over_n0(self, truth, houses):
        found = np.zeros(truth.shape, "u1")
        found[10, 10] = found[30:32, 30] = 1
        every = {"some": raster(found), "all": raster(np.ones(truth.shape, "u1"))}
        table = pt.building_recall(houses, every, block=200)
        assert table.loc["some", ["N0", "N1", "recall"]].tolist() == [6, 3, 0.5]
        assert table.loc["all", ["N0", "N1", "recall", "low"]].tolist() == [6, 6, 1, 1]
        assert table.loc["some", "low"] < 0.5 < table.loc["some", "high"]
        assert pt.building_recall(houses.to_crs(4326), every, block=200).N0.tolist() == [6, 6]

    def test_touched_or_covered(self, truth, houses):
        moved = houses.copy()
        moved["geometry"] = houses.translate(9.5, 0)  # off the centres of the small ones
        every = {"all": raster(np.ones(truth.shape, "u1"))}
        assert pt.building_recall(moved, every, touched=True, block=200)["N0"]["all"] == 10
        assert pt.building_recall(moved, every, touched=False, block=20)["N0"]["all"] == 2

    def test_cells_that_a_map_does_not_know(self, truth, houses):
        found = np.ones(truth.shape, "u1")
        found[:15] = 255
        every = {"part": raster(found), "all": raster(np.ones(truth.shape, "u1"))}
        assert pt.building_recall(houses, every, block=200)["N0"].tolist() == [5, 5]

    def test_refusals(self, ours, houses):
        with pytest.raises(ValueError, match="none of 1 buildings lies on ground"):
            pt.building_recall(houses.iloc[3:], {"ours": ours})
        with pytest.raises(ValueError, match="none of 0 buildings"):
            pt.building_recall(houses.iloc[:0], {"ours": ours})
        with pytest.raises(ValueError, match="the buildings have no CRS"):
            pt.building_recall(houses.set_crs(None, allow_override=True), {"ours": ours})
        with pytest.raises(ValueError, match=r"1 block with data.*smaller block"):
            pt.building_recall(houses, {"ours": ours}, block=4000)


COVER = [
    {"value": value, "name": name, "color": "#000000"}
    for value, name in enumerate(("Cropland", "Water", "Impervious"), 1)
]


class TestProducts:
    def test_binary_by_name_and_by_code(self):
        codes = raster(np.uint8([[1, 2, 3], [3, 255, 1]]), classes=COVER)
        for built in (["Impervious"], "impervious", [3], 3):
            assert pr.binary(codes, built).values.tolist() == [[0, 0, 1], [1, 255, 0]]
        epochs = raster(np.uint8([[0, 1, 2], [3, 6, 4]])).rio.write_nodata(0)
        assert pr.binary(epochs, [3, 4, 5, 6]).values.tolist() == [[255, 0, 0], [1, 1, 1]]
        # a product that writes 255 for built up
        assert pr.binary(raster(np.uint8([[0, 255]])), [255]).values.tolist() == [[0, 1]]
        floats = raster(np.float32([[1, np.nan, 3]]), classes=COVER)
        assert pr.binary(floats, ["Impervious"]).values.tolist() == [[0, 255, 1]]
        with pytest.raises(ValueError, match=r"GLC has no class 'Urban', but .*Impervious"):
            pr.binary(codes, ["Urban"], "GLC")

    def test_three_rules_from_10_m(self):
        fine = np.zeros((4, 8), "u1")
        fine[0, 0] = 1  # a quarter of the first cell
        fine[:2, 2] = 1  # half of the second
        fine[:2, 4:7] = 1  # all of the third, half of the fourth
        fine[2:, :2] = 255  # unknown; beside it half known, and that is settled
        fine[2, 2:4], fine[3, 2:4] = 1, 255
        truth = raster(np.zeros((2, 4), "u1"))
        found = {rule: pr.on_grid(raster(fine, 10.0), truth, rule).values for rule in pr.RULES}
        assert found["majority"].tolist() == [[0, 1, 1, 1], [255, 1, 0, 0]]
        assert found["any"].tolist() == [[1, 1, 1, 1], [255, 1, 0, 0]]
        assert set(np.unique(found["nearest"])) <= {0, 1, 255}

    @pytest.mark.parametrize("step", [12.0, 30.0, 38.0])
    def test_other_resolutions_keep_the_area(self, truth, step):
        n = int(4800 // step)
        at = (np.arange(n) + 0.5) * step / 20
        row = at.astype(int)
        product = raster(truth.values[np.ix_(row, row)], step)
        found = pr.on_grid(product, truth)
        known = found.values != 255
        assert found.shape == truth.shape and known.mean() > 0.95
        share, true = found.values[known].mean(), truth.values[known].mean()
        assert share == pytest.approx(true, rel=0.05)
        assert (found.values[known] == truth.values[known]).mean() > 0.97

    def test_a_product_in_degrees(self, truth, ours):
        degrees = ours.rio.reproject("EPSG:4326", resampling=0)
        found = pr.on_grid(degrees, truth, "nearest")
        known = found.values != 255
        assert (found.values[known] == ours.values[known]).mean() > 0.75

    def test_refusals(self, truth, ours):
        far = raster(ours.values, left=WEST + 50_000)
        with pytest.raises(ValueError, match=r"GUF .* do not overlap"):
            pr.on_grid(far, truth, what="GUF")
        with pytest.raises(ValueError, match="rule='mode' is not known"):
            pr.on_grid(ours, truth, "mode")
        with pytest.raises(ValueError, match=r"GUF holds the codes \[5\]"):
            pr.on_grid(raster(np.full((9, 9), 5, "u1")), truth, what="GUF")
        with pytest.raises(ValueError, match=r"product='GHS' is not known.*GHSL"):
            pr.reference_products(truth, ["GHS"])

    def test_one_table(self, truth, ours):
        empty = ours * np.uint8(0)
        table = pr.map_scores(truth, {"ours": ours, "perfect": truth, "empty": empty}, n=50)
        matrix = accuracy.confusion(truth, ours, ["other", "settled"])
        assert table.loc[("kappa", "ours"), "estimate"] == pytest.approx(matrix.kappa)
        assert table.loc[("f1", "ours"), "estimate"] == pytest.approx(matrix.f1["settled"])
        assert table.loc[("kappa", "perfect"), ["estimate", "low", "high"]].tolist() == [1, 1, 1]
        assert table.loc[("recall", "empty"), "estimate"] == 0
        row = table.loc[("kappa", "ours")]
        assert row["low"] < row["estimate"] < row["high"] and row["cells"] == 240**2

    def test_all_on_the_ground_that_all_know(self, truth, ours):
        upper, lower = ours.copy(deep=True), ours.copy(deep=True)
        upper[130:], lower[:100] = 255, 255
        table = pr.map_scores(truth, {"ours": ours, "GUF": upper, "GHSL": lower}, n=20)
        assert (table["cells"] == 30 * 240).all()
        lower[:130] = 255
        with pytest.raises(ValueError, match=r"GUF and GHSL do not overlap.*GUF 54%, GHSL 46%"):
            pr.map_scores(truth, {"ours": ours, "GUF": upper, "GHSL": lower})
        with pytest.raises(ValueError, match=r"truth .* and far .* other ground"):
            pr.map_scores(truth, {"far": raster(ours.values, left=WEST + 20)})

    def test_the_simulated_products(self):
        place = dict(seed=1, style="mediterranean", size=2400)
        truth = catalog.open("scene/settlement", **place)
        found = pr.reference_products(truth, **place)
        assert list(found) == ["GUF", "GHSL", "FROM-GLC10", "HMGUL"]
        for each in found.values():
            assert each.shape == truth.shape and set(np.unique(each.values)) <= {0, 1}
            assert each.attrs["simulated"]
        recall = pr.map_scores(truth, found, block=300, n=20)["estimate"]["recall"]
        assert recall.between(0.05, 0.95).all()
        wider = pr.reference_products(truth, ["FROM-GLC10"], "any", **place)["FROM-GLC10"]
        assert wider.values.sum() > found["FROM-GLC10"].values.sum()


EIGHT = [
    raster(np.uint8([[code >> bit & 1 for code in range(8)] + [255, 0]]).repeat(2, 0))
    for bit in (2, 1, 0)
]
"""All eight combinations, a cell that the maps do not know and one that none has."""


class TestAgreement:
    @pytest.fixture(scope="class")
    def both(self):
        named = dict(zip(("ours", "GUF", "GHSL"), EIGHT, strict=True))
        named["GHSL"] = named["GHSL"].astype("float32").where(named["GHSL"].x < WEST + 180)
        return ag.combine(named)

    def test_eight_codes(self, both):
        # the ninth is 255 in ours, the tenth NaN in the third
        assert both.values.tolist() == [[*range(8), 255, 255]] * 2
        assert both.dtype == np.uint8 and both.rio.nodata == 255
        names = [item["name"] for item in both.attrs["classes"]]
        assert names == [
            "none", "GHSL alone", "GUF alone", "GUF and GHSL, not ours", "ours alone",
            "ours and GHSL, not GUF", "ours and GUF, not GHSL", "all three",
        ]  # fmt: skip

    def test_the_table_explains_them(self, both):
        table = ag.explain(both)
        assert table["cells"].tolist() == [2] * 8 and table["share"].sum() == pytest.approx(1)
        assert table["km2"].tolist() == pytest.approx([0.0008] * 8)
        assert table.loc[5, ["ours", "GUF", "GHSL"]].tolist() == [True, False, True]
        assert table.loc[5, "if settled"] == "ours correct, GUF FN, GHSL correct"
        assert table.loc[5, "if not"] == "ours FP, GUF correct, GHSL FP"
        truth = raster(np.uint8([[1] * 10, [0] * 4 + [1] * 4 + [255] * 2]))
        assert ag.explain(both, truth)["settled"].tolist() == [0.5] * 4 + [1] * 4
        truth[:, 0] = 255
        assert np.isnan(ag.explain(both, truth)["settled"][0])

    def test_with_the_truth_among_them(self):
        named = dict(zip(("truth", "ours", "GUF"), EIGHT, strict=True))
        table = ag.explain(ag.combine(named, truth="truth"))
        assert table.loc[4, "outcome"] == "ours FN, GUF FN"
        assert table.loc[1, "outcome"] == "ours correct, GUF FP"
        assert "if settled" not in table

    def test_it_can_be_drawn(self, both):
        assert len(maps.classes(both).data.attrs["classes"]) == 8
        legend = maps.panels([both]).axes[0].get_legend()
        assert len(legend.get_texts()) == 8

    def test_colours_differ_for_every_eye(self):
        # Machado et al. (2009), severity 1: protan, deutan, tritan
        eyes = [
            np.eye(3),
            [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
            [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
            [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
        ]
        rgb = np.array([list(bytes.fromhex(each[1:])) for each in ag.COLOURS]) / 255
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        for eye in eyes:
            seen = np.clip(linear @ np.transpose(eye), 0, 1)
            seen = np.where(seen <= 0.00313, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055)
            lab = rgb2lab(seen[None])[0]
            far = deltaE_ciede2000(lab[:, None], lab[None]) + 99 * np.eye(8)
            assert far.min() > 10

    def test_refusals(self, both, truth, ours):
        with pytest.raises(ValueError, match="combine takes three maps, this is 2"):
            ag.combine({"truth": truth, "ours": ours})
        with pytest.raises(ValueError, match="truth='thruth' is none of the maps"):
            ag.combine(dict(zip("abc", EIGHT, strict=True)), truth="thruth")
        with pytest.raises(ValueError, match="p is no settlement map"):
            ag.combine({"truth": truth, "ours": ours, "p": ours * 0.3})
        with pytest.raises(ValueError, match=r"a .* and c .*shape"):
            ag.combine({"a": truth, "b": ours, "c": EIGHT[0]})
        with pytest.raises(ValueError, match="not from combine"):
            ag.explain(ours)
        with pytest.raises(ValueError, match=r"explain .*truth has shape"):
            ag.explain(both, truth)


class TestSubsets:
    def test_centre_edge_countryside(self, truth):
        squares = ag.subsets(truth, 800)
        assert list(squares.index) == ["centre", "edge", "countryside"]
        settled = squares["settled"]
        assert settled["centre"] == 1 and 0.01 <= settled["countryside"] < 0.1
        assert settled["countryside"] < settled["edge"] < settled["centre"]
        assert np.allclose(squares.area, 800**2) and squares.within(box(*truth.rio.bounds())).all()
        for one, other in (("centre", "edge"), ("centre", "countryside"), ("edge", "countryside")):
            assert squares.geometry[one].intersection(squares.geometry[other]).area == 0
        # the share is that of the square
        for name, square in squares.geometry.items():
            part = ag.crop(truth, square)
            assert part.shape == (40, 40)
            assert part.values.mean() == pytest.approx(settled[name])

    def test_images_of_another_resolution_are_cut_to_the_same_ground(self, truth):
        square = ag.subsets(truth, 800).geometry["edge"]
        fine = raster(np.zeros((480, 480), "float32"), 10.0).expand_dims(band=["red"])
        part = ag.crop(fine, square)
        assert part.shape == (1, 80, 80) and part.rio.bounds() == square.bounds

    def test_refusals(self, truth):
        with pytest.raises(ValueError, match=r"three squares of 4000 m.*4.8 km x 4.8 km"):
            ag.subsets(truth)
        with pytest.raises(ValueError, match="three squares of 9000 m"):
            ag.subsets(truth, 9000)
        with pytest.raises(ValueError, match="three squares of 800 m"):
            ag.subsets(truth.copy(data=np.full(truth.shape, 255, "u1")), 800)
        with pytest.raises(ValueError, match="lies outside the raster"):
            ag.crop(truth, box(0, 0, 100, 100))


class TestAlone:
    def made(self):
        """8 x 8 cells: ours alone rightly in the upper left, alone wrongly in the lower right."""
        truth, ours, other = (np.zeros((8, 8), "u1") for _ in range(3))
        truth[:4, :4] = ours[:4, :4] = 1
        truth[1, 5] = other[1, 5] = 1  # what both others have and ours has not: wrong, too
        ours[4:, 5:] = 1
        layers = {name: raster(v) for name, v in {"ours": ours, "a": other, "b": other}.items()}
        return raster(truth), layers

    def test_squares_where_it_is_right_and_where_it_is_wrong(self):
        truth, layers = self.made()
        found = ag.alone(ag.combine(layers), truth, side=80)
        assert found.index.tolist() == ["right", "wrong"] and found.crs == truth.rio.crs
        assert found["share"].tolist() == [1, 0.75]
        assert found.geometry["right"].equals(box(WEST, NORTH - 80, WEST + 80, NORTH))
        east, south = WEST + 80, NORTH - 160
        assert found.geometry["wrong"].equals(box(east, south, east + 80, south + 80))
        quarter = ag.crop(layers["ours"], found.geometry["wrong"])
        assert quarter.shape == (4, 4) and quarter.sum() == 12

    def test_refusals(self):
        truth, layers = self.made()
        with pytest.raises(ValueError, match="no square of 9000 m fits"):
            ag.alone(ag.combine(layers), truth, side=9000)
        with pytest.raises(ValueError, match="ours is never right by itself"):
            ag.alone(ag.combine(layers | {"a": layers["ours"]}), truth, side=80)
        with pytest.raises(ValueError, match="grid"):
            ag.alone(ag.combine(layers), truth[:-1], side=80)


class TestUpscaling:
    @pytest.fixture(scope="class")
    def benchmark(self):
        path = Path(__file__).parents[1] / "benchmarks" / "upscaling.py"
        spec = importlib.util.spec_from_file_location("upscaling", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def test_a_mosaic_without_seams_that_is_never_held(self, benchmark):
        image = benchmark.mosaic(429, "mediterranean", 2400, seed=1)
        assert image.sizes["y"] == image.sizes["x"] == 20_712
        assert image.chunks is not None and image.sizes["band"] == 10
        city = catalog.open("scene/sentinel2", seed=1, style="mediterranean", size=2400).values
        seam = image[:, 236:244, 20_000:20_008].values
        assert (seam[:, 4] == seam[:, 3]).all()  # mirrored: the same row on both sides
        assert (image[:, :240, :240].values == city).all()
        assert (image[:, 480:720, 480:720].values == city).all()
