"""The comparisons: tasks, budgets, maps of any resolution, stated label errors, remedies, ranks."""

from dataclasses import replace
from types import SimpleNamespace

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from scipy import stats
from shapely.geometry import Point, box

from toolkit import chips, models, pruning, runs
from toolkit.experiments import comparisons as co
from toolkit.experiments import land_cover
from toolkit.experiments.comparisons import faults, maps, networks, speed, tasks
from toolkit.runs import experiments

SIDE = 256
CLASSES = [
    {"value": 0, "name": "other", "color": "#999999"},
    {"value": 1, "name": "town", "color": "#d55e00"},
]
SMALL = dict(
    resolution=20, chip=32, stride=16, block=64, guard=8, batch_size=8,
    train=48, least=0.0, built=1, before=0,
)  # fmt: skip


def raster(values, step=10.0):
    """A raster with its upper left corner at (400000, 3400000)."""
    values = np.asarray(values)
    at = {
        "y": 3_400_000 - step * (np.arange(values.shape[-2]) + 0.5),
        "x": 400_000 + step * (np.arange(values.shape[-1]) + 0.5),
    }
    if values.ndim == 3:
        at["band"] = [f"B{i}" for i in range(len(values))]
    return xr.DataArray(values, at, ("band", "y", "x")[-values.ndim :]).rio.write_crs("EPSG:32648")


def codes(values, step):
    out = raster(np.asarray(values, np.uint8), step).rio.write_nodata(chips.IGNORE)
    return out.assign_attrs(classes=CLASSES)


@pytest.fixture(scope="module")
def place():
    """Bright towns on dark ground: two bands at 10 m, truth at 20 m, buildings with years."""
    draw = np.random.default_rng(3)
    town = np.kron(draw.random((16, 16)) < 0.4, np.ones((8, 8), bool))
    fine = np.kron(town, np.ones((2, 2)))
    image = np.stack([0.2 + 0.3 * fine, 0.5 - 0.2 * fine]) + draw.normal(0, 0.05, (2, SIDE, SIDE))
    truth = codes(town, 20.0)
    rows, cols = np.nonzero(town[::8, ::8])
    west, north = 400_000 + cols * 160.0, 3_400_000 - rows * 160.0
    houses = gpd.GeoDataFrame(
        {"year": 1900 + np.arange(len(rows))},
        geometry=[box(w, n - 160, w + 160, n) for w, n in zip(west, north, strict=True)],
        crs="EPSG:32648",
    )
    origin = SimpleNamespace(open=lambda layer: houses)
    image = raster(image.astype(np.float32))
    return co.Ground("settlement", image, truth, truth, truth, truth, origin)


@pytest.fixture(autouse=True)
def small(monkeypatch, place):
    """The task "settlement" is that ground, with small chips, and the U-Net is a small one."""
    monkeypatch.setitem(networks.NETWORKS, "U-Net", co.NETWORKS["U-Net"] | {"width": 1 / 16})
    monkeypatch.setitem(tasks.TASKS, "settlement", SMALL)
    monkeypatch.setitem(tasks._OPEN, "settlement", lambda: place)
    monkeypatch.setattr(tasks, "WATCHED", 12)


class Constant(torch.nn.Module):
    """Calls everything the second class, at any resolution."""

    def __init__(self, scale=1.0, field=1):
        super().__init__()
        self.in_channels, self.classes, self.total_stride = 2, 2, 2
        self.output_scale, self.receptive_field = scale, field

    def forward(self, x):
        size = [round(n * self.output_scale) for n in x.shape[-2:]]
        return torch.stack([torch.zeros(len(x), *size), torch.ones(len(x), *size)], 1)


class TestTasks:
    def test_chips_fit_the_strides_of_all_networks(self):
        for name, about in tasks.TASKS.items():
            assert about["chip"] % 32 == 0 and about["block"] % (2 * about["chip"]) == 0, name
            assert about["stride"] % 2 == 0 and about["stride"] < about["chip"]
            assert about["train"] % about["batch_size"] == 0

    def test_nobody_trains_on_the_test_ground_nor_near_it(self, place):
        table, test = co.samples(place, seed=1)
        assert table["split"].value_counts().to_dict() == {"train": 48, "valid": 12}
        assert len(test) == 4
        gap = table.geometry.distance(test.union_all())
        assert gap.min() >= SMALL["guard"] * 10

    def test_chips_to_train_on_hold_enough_of_what_is_built(self, place, monkeypatch):
        monkeypatch.setitem(tasks.TASKS, "settlement", SMALL | {"least": 0.4})
        table, _ = co.samples(place, seed=1)
        train = table["split"] == "train"
        assert table.loc[train, "share_town"].min() >= 0.4
        assert table.loc[~train, "share_town"].min() < 0.4  # validation chips are as they come

    def test_test_ground_and_chips_depend_on_the_seed_alone(self, place):
        table, test = co.samples(place, seed=1)
        worse = co.relabelled(place, codes(1 - place.label.values, 20.0))
        again, same = co.samples(worse, seed=1)
        assert table.equals(again) and test.equals(same)
        random, same = co.samples(place, "random", 1)
        assert test.equals(same) and not table.equals(random)
        assert not co.samples(place, seed=2)[1].equals(test)
        assert chips.leak(table).max() == 0 < chips.leak(random).mean()

    def test_bad_input(self, place, monkeypatch):
        with pytest.raises(ValueError, match="Did you mean 'buildings'"):
            co.ground("building")
        with pytest.raises(ValueError, match="split='cells'"):
            co.samples(place, "cells")
        monkeypatch.setitem(tasks.TASKS, "settlement", SMALL | {"batch_size": 400})
        with pytest.raises(ValueError, match="a batch has 400"):
            co.samples(place)


class TestMaps:
    @pytest.mark.parametrize("scale", [1.0, 0.5])
    @pytest.mark.parametrize("field", [1, None])
    def test_every_cell_of_the_windows_and_no_other_is_mapped(self, place, scale, field):
        _, test = co.samples(place)
        here = np.zeros(place.truth.shape, bool)
        for row, col, size in test[["row", "col", "size"]].to_numpy() // 2:
            here[row : row + size, col : col + size] = True
        found = co.probability(Constant(scale, field), place, test)
        assert found.shape == (2, 128, 128)
        assert (np.isfinite(found[0]) == here).all()
        assert np.allclose(found[1, here], 1 / (1 + np.exp(-1)))
        mapped = co.class_map(found, place)
        assert set(np.unique(mapped)) == {1, 255}

    def test_clouds_stay_unknown_for_all_resolutions_alike(self, place):
        image = place.image.copy()
        image[:, 40:61, 30:50] = np.nan
        cloudy = replace(place, image=image)
        whole = pd.DataFrame({"row": [0], "col": [0], "size": [SIDE]})
        found = [co.probability(Constant(scale), cloudy, whole) for scale in (1.0, 0.5)]
        assert (np.isnan(found[0]) == np.isnan(found[1])).all()
        assert np.isnan(found[0]).any(0).sum() == 100  # the last row is half seen

    def test_cells_are_averaged_and_interpolated(self):
        fine = np.arange(16.0).reshape(1, 4, 4)
        assert maps._to_cells(fine, 1, 2).tolist() == [[[2.5, 4.5], [10.5, 12.5]]]
        back = maps._to_cells(maps._to_cells(fine, 1, 2), 2, 1)
        assert back.shape == (1, 4, 4) and np.allclose(back[0, 1:3, 1:3], fine[0, 1:3, 1:3])

    def test_scores(self, place):
        assert co.scored(place.truth, place.truth, place) == dict.fromkeys(maps.SCORES, 1.0)
        inverse = codes(1 - place.truth.values, 20.0)
        assert co.scored(inverse, place.truth, place)["overall"] == 0
        nothing = codes(np.full((128, 128), 255), 20.0)
        assert np.isnan(co.scored(nothing, place.truth, place)["kappa"])


class TestNetworks:
    def test_all_networks_of_the_package_take_part(self):
        names = {about["name"] for about in co.NETWORKS.values()}
        # With exact alignment, as all have here, the first is FCN8s; the others are steps to IFCN.
        steps = {"fcn8s_crop", "fcn8s_front_lr", "fcn8s_bn", "fcn8s_pool2"}
        assert set(models.names()) - names == steps
        assert {about["home"] for about in co.NETWORKS.values()} <= set(co.TASKS)

    @pytest.mark.parametrize("network", co.NETWORKS)
    def test_every_network_fits_bands_and_classes_of_a_ground(self, place, network):
        model = co.network_of(network, place, seed=1, width=1 / 32).eval()
        with torch.inference_mode():
            out = model(torch.rand(1, 2, 64, 64))
        side = round(64 * model.output_scale)
        assert out.shape == (1, 2, side, side)

    def test_the_rate_is_the_one_with_the_lowest_validation_loss(self, place, monkeypatch):
        losses = {1e-3: 0.7, 3e-3: float("nan"), 1e-2: 0.4, 1.0: None}
        steps = []

        def train(model, place, table, seed, count, rate):
            steps.append(count)
            if losses[rate] is None:
                raise FloatingPointError("the loss became nan")
            return SimpleNamespace(best={"valid_loss": losses[rate]})

        monkeypatch.setattr(networks, "train", train)
        assert co.best_rate("Sen2HSE", place, None, 0, 100, 1 / 8, rates=losses) == 1e-2
        assert set(steps) == {20}
        with pytest.raises(FloatingPointError, match="diverges at every rate"):
            co.best_rate("Sen2HSE", place, None, 0, 100, 1 / 8, rates=[3e-3, 1.0])

    def test_run(self):
        rows = co.run_network("settlement", "U-Net", 1, 30, rate=1e-2, side=0)
        assert rows["variant"].tolist() == ["whole", "pruned"]
        whole, pruned = rows.to_dict("records")
        assert whole["kappa"] > 0.8  # bright towns are easily found
        assert whole["trained"] == 30 and pruned["trained"] == 30 + 2 * 6
        assert pruned["parameters"] < 0.6 * whole["parameters"]
        assert pruned["macs"] < 0.7 * whole["macs"]
        assert {"lr", "f1", "iou", "overall", "valid_kappa", "train_seconds"} <= set(rows)
        same = co.run_network("settlement", "U-Net", 1, 30, rate=1e-2, share=0, side=0)
        assert len(same) == 1 and same.loc[0, "kappa"] == whole["kappa"]

    def test_half_resolution_and_a_chosen_rate(self):
        rows = co.run_network("settlement", "Sen2HSE", 1, 60, 1 / 8, share=0, side=0)
        assert rows.loc[0, "lr"] in co.RATES and rows.loc[0, "kappa"] > 0.8

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"task": "roads"}, "task='roads'"),
            ({"network": "UNet"}, "Did you mean 'U-Net'"),
            ({"steps": 0}, "at least one step"),
            ({"share": 1.0}, "a share from 0"),
            ({"width": -1.0, "task": "settlement", "rate": 0.1}, "positive factor"),
        ],
    )
    def test_bad_input(self, wrong, message):
        with pytest.raises(ValueError, match=message):
            co.run_network(**wrong)


class TestSpeed:
    def test_without_the_engine_its_times_are_missing(self, place, monkeypatch):
        monkeypatch.setattr(speed, "ENGINE", "no_such_engine")
        model = co.network_of("Sen2HSE", place, width=1 / 8)
        small = co.network_of("Sen2HSE", place, width=1 / 8)
        pruning.prune(small, 0.4)
        table = co.measured({"whole": model, "pruned": pruning.compact(small)}, 64, 2)
        assert list(table.index) == ["whole", "pruned"] and (table["torch_seconds"] > 0).all()
        assert table[["fast_seconds", "fast_error"]].isna().all(axis=None)
        with pytest.raises(ValueError, match="at least one network"):
            co.measured({})

    def test_the_engine_computes_what_torch_does(self, place):
        pytest.importorskip("openvino")
        model = co.network_of("Sen2HSE", place, width=1 / 8)
        table = co.measured({"whole": model}, 64, 1)
        assert table.loc["whole", "fast_seconds"] > 0
        assert table.loc["whole", "fast_error"] < 1e-3


class TestFaults:
    @pytest.mark.parametrize("error", [*faults.PLACED, "date", "coarser"])
    def test_strength_is_one_minus_kappa(self, place, error):
        worse, about = co.disturbed(place, error, 0.4, seed=1)
        # Placed errors are exact; a date and a coarser grid go by years and by whole cells.
        assert about["reached"] == pytest.approx(0.4, abs=0.01 if error in faults.PLACED else 0.1)
        assert co.scored(worse.label, place.truth, place)["kappa"] == 1 - about["reached"]
        assert about["wrong"] == (worse.label.values != place.truth.values).mean()
        assert worse.truth is place.truth and worse.image is place.image

    def test_no_error(self, place):
        for worse, about in (co.disturbed(place), co.disturbed(place, "shift", 0.0)):
            assert about["reached"] == about["wrong"] == 0
            assert (worse.label.values == place.truth.values).all()
        drawn = replace(place, product=codes(np.zeros((128, 128)), 20.0))
        worse, about = co.disturbed(drawn, "product")
        assert about["reached"] == 1 and not worse.label.values.any()

    def test_shift_moves_the_whole_map_by_the_stated_metres(self, place):
        worse, about = co.disturbed(place, "shift", 0.4, seed=1)
        cells = round(about["setting"] / 20)
        moved, whole = worse.label.values, place.truth.values
        assert any(
            (moved[inner] == whole[outer]).all()
            for inner, outer in (
                (np.s_[cells:], np.s_[:-cells]),
                (np.s_[:-cells], np.s_[cells:]),
                (np.s_[:, cells:], np.s_[:, :-cells]),
                (np.s_[:, :-cells], np.s_[:, cells:]),
            )
        )
        assert (moved == 255).sum() == cells * 128

    def test_an_older_date_lacks_what_was_built_last(self, place):
        worse, about = co.disturbed(place, "date", 0.3)
        gone = (place.truth.values == 1) & (worse.label.values == 0)
        years = co.age(place)
        assert years[gone].min() > about["setting"]
        assert years[worse.label.values == 1].max() <= about["setting"]
        assert not ((place.truth.values == 0) & (worse.label.values == 1)).any()

    def test_coarser_labels_are_blocks(self, place):
        worse, about = co.disturbed(place, "coarser", 0.4)
        n = round(about["setting"] / 20)
        first = worse.label.values[:n, :n]
        assert n > 2 and (first == first[0, 0]).all()

    def test_towns_of_the_region_grow_outwards(self, place):
        towns = gpd.GeoDataFrame(
            {"radius_m": [500.0]}, geometry=[Point(400_010, 3_399_990)], crs="EPSG:32648"
        )
        region = replace(place, task="night lights", origin=SimpleNamespace(settlements=towns))
        rings = co.age(region)
        assert rings[0, 0] == 0 and rings[0, 50] == pytest.approx(2.0)

    def test_bad_input(self, place):
        with pytest.raises(ValueError, match="Did you mean 'patches'"):
            co.disturbed(place, "patch")
        with pytest.raises(ValueError, match="1 - kappa"):
            co.disturbed(place, "random", 1.2)
        houses = place.origin.open("buildings").assign(year=1900)
        origin = SimpleNamespace(open=lambda layer: houses)
        with pytest.raises(ValueError, match=r"reach a strength of 0\.00 at most"):
            co.disturbed(replace(place, origin=origin), "date", 0.5)


class TestLabels:
    @pytest.fixture(scope="class")
    def spoilt(self, place):
        """The labels of one part of the ground are the wrong way round."""
        values = place.truth.values.copy()
        values[:, :16] = 1 - values[:, :16]
        return co.relabelled(place, codes(values, 20.0))

    def test_the_filter_drops_chips_that_contradict_the_others(self, place, spoilt):
        table, _ = co.samples(place, seed=2)
        ground, kept, weights, steps = co.remedied(spoilt, table, "filter", steps=72, rate=1e-2)
        dropped = kept[kept["split"] == "dropped"]
        assert ground is spoilt and weights is None and steps == 24
        assert len(dropped) and (dropped["col"] == 0).all()
        assert not ((kept["split"] == "train") & (kept["col"] == 0)).any()

    def test_cleanlab_doubts_wrong_labels_rather_than_right_ones(self, place, monkeypatch):
        monkeypatch.setitem(tasks.TASKS, "settlement", SMALL | {"train": 80})
        worse, _ = co.disturbed(place, "random", 0.4, seed=2)
        table, _ = co.samples(place, seed=2)
        mended, kept, _, steps = co.remedied(worse, table, "cleanlab", steps=45, rate=1e-2)
        assert kept is table and 30 <= steps < 45  # whole passes over either half
        ignored = mended.label.values == 255
        wrong = np.kron(worse.label.values != place.truth.values, np.ones((2, 2), bool))
        assert ignored.mean() > 0.05 and wrong[ignored].mean() > 2 * wrong.mean()

    def test_weights_and_none(self, place):
        table, _ = co.samples(place)
        assert co.remedied(place, table, "weights")[2] == [1.0, 3.0]
        assert co.remedied(place, table) == (place, table, None, 0)

    def test_one_class_has_no_issues(self):
        assert not land_cover.doubted(np.zeros(5, int), np.full((5, 2), 0.5)).any()

    def test_run(self):
        row = co.run_labels("settlement", "random", 0.4, "none", "random", 1, "U-Net", 24, 1e-2)
        row = row.iloc[0]
        assert row["kappa"] > 0.6 > row["valid_kappa"]  # better than its labels, and nobody sees it
        assert row["flatters"] == row["valid_kappa"] - row["kappa"] < 0
        assert row["reached"] == pytest.approx(0.4, abs=0.02) and row["leak"] > 0
        assert row["chips"] == 48 and row["dropped"] == row["ignored"] == 0

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"kind": "noise"}, "kind='noise'"),
            ({"remedy": "filters"}, "Did you mean 'filter'"),
            ({"strength": -0.1, "kind": "random"}, "strength=-0.1"),
            ({"steps": 0}, "one step at least"),
            ({"remedy": "filter", "network": "Sen2HSE"}, "maps at half"),
        ],
    )
    def test_bad_input(self, wrong, message):
        with pytest.raises(ValueError, match=message):
            co.run_labels(**wrong)


class TestRanking:
    def test_front_is_what_nothing_beats(self):
        draw = np.random.default_rng(0)
        table = pd.DataFrame({"macs": draw.integers(1, 9, 40), "kappa": draw.integers(1, 9, 40)})
        table["task"] = np.repeat(["a", "b"], 20)
        found = co.pareto(table)
        for i, one in table.iterrows():
            rest = table[table["task"] == one["task"]]
            no_worse = (rest["macs"] <= one["macs"]) & (rest["kappa"] >= one["kappa"])
            other = (rest["macs"] != one["macs"]) | (rest["kappa"] != one["kappa"])
            assert found[i] == (not (no_worse & other).any())
        assert co.pareto(table, by=None).sum() <= found.sum()

    def test_front_leaves_out_what_is_not_known(self):
        table = pd.DataFrame({"macs": [1, 2, np.nan], "kappa": [np.nan, 0.5, 0.9]})
        assert co.pareto(table, by=None).tolist() == [False, True, False]
        with pytest.raises(KeyError, match="no column 'task'"):
            co.pareto(table)

    @pytest.fixture
    def scores(self):
        draw = np.random.default_rng(1)
        rows = [
            {"network": f"n{i}", "task": f"t{t}", "seed": s, "kappa": 1 - 0.1 * i + e}
            for i in range(5)
            for t in range(6)
            for s, e in enumerate(draw.normal(0, 0.05, 3))
        ]
        return pd.DataFrame(rows)

    def test_ranks_are_those_of_the_tests_they_are_named_after(self, scores):
        found = co.ranks(scores)
        wide = scores.groupby(["task", "network"])["kappa"].mean().unstack()
        test = stats.friedmanchisquare(*wide.to_numpy().T)
        assert found.attrs["p"] == pytest.approx(test.pvalue)
        # Demšar (2006), Table 5a: q at 0.05 for 5 classifiers is 2.728.
        assert found.attrs["cd"] == pytest.approx(2.728 * np.sqrt(5 * 6 / (6 * 6)), rel=1e-3)
        assert found.index[0] == "n0" and found["rank"].is_monotonic_increasing
        assert found["rank"].mean() == 3
        more = co.ranks(scores, blocks=("task", "seed"))
        assert more.attrs["blocks"] == 18 and more.attrs["cd"] < found.attrs["cd"]

    def test_groups_hold_methods_nearer_than_the_critical_difference(self, scores):
        found = co.ranks(scores)
        groups, cd = found.attrs["groups"], found.attrs["cd"]
        near = {
            (a, b)
            for a in found.index
            for b in found.index
            if a != b and abs(found.loc[a, "rank"] - found.loc[b, "rank"]) <= cd
        }
        assert {(a, b) for group in groups for a in group for b in group if a != b} == near
        assert not any(set(a) < set(b) for a in groups for b in groups)

    def test_bad_input(self, scores):
        with pytest.raises(ValueError, match="no kappa of n2 in t3"):
            co.ranks(scores[(scores["network"] != "n2") | (scores["task"] != "t3")])
        with pytest.raises(ValueError, match="2 methods in 6 blocks"):
            co.ranks(scores[scores["network"].isin(["n0", "n1"])])
        with pytest.raises(ValueError, match="alpha=5"):
            co.ranks(scores, alpha=5)
        with pytest.raises(KeyError, match="no column 'f1'"):
            co.ranks(scores, "f1")


@pytest.mark.parametrize("name", ["comparisons_city", "comparisons_networks", "comparisons_labels"])
def test_sweeps_name_what_exists(name):
    about = experiments.read(runs.RESULTS / f"{name}.yaml")
    takes = experiments.resolve(about.experiment, about.data)
    for each in about.sets():
        takes.complete(each)
        known = {"task": co.TASKS, "network": co.NETWORKS, "remedy": co.REMEDIES}
        known |= {"kind": co.ERRORS, "split": ("blocks", "random")}
        assert all(each[key] in known[key] for key in known if key in each)
    assert len(about.grid["seed"]) >= 3
    assert name == "comparisons_city" or len(about.grid["task"]) == 4
