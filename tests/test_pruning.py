"""Pruning: filters by hand, masks that hold and let go, compaction that changes nothing."""

import functools
import math

import numpy as np
import pandas as pd
import pytest
import torch
from fastai.basics import Callback, Learner
from fastai.callback.schedule import SchedCos  # noqa: F401  (patches Learner with lr_find)
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from network_checks import calibrate, small, wake

from toolkit import mapping, models, pruning, training
from toolkit.models import thinning


def ready(name, **own):
    """A network in float64 with lively weights and statistics, and an image for it."""
    model = wake(small(name, **{"width": 1 / 16, "in_channels": 3} | own)).double()
    image = torch.rand(2, model.in_channels, 48, 48, dtype=torch.double)
    calibrate(model, image)
    return model, image


def blobs(count, seed, size=24):
    """Squares on noise, and where they are."""
    random, pairs = np.random.default_rng(seed), []
    for _ in range(count):
        label = np.zeros((size, size), "int64")
        row, column = random.integers(2, size - 12, 2)
        label[row : row + 10, column : column + 10] = 1
        image = 3 * label + random.normal(0, 1, label.shape)
        pairs.append((torch.tensor(image[None], dtype=torch.float32), torch.tensor(label)))
    return pairs


def loaders(pairs=None):
    train, valid = pairs or blobs(8, 0), blobs(4, 1)
    dls = DataLoaders(
        DataLoader(train, bs=4, shuffle=True, num_workers=0),
        DataLoader(valid, bs=4, num_workers=0),
    )
    dls.statistics = pd.DataFrame({"band": ["light"], "mean": [0.5], "std": [1.5]})
    dls.classes = ["rest", "square"]
    return dls


def plain():
    """A small network that trains fast."""
    return models.create("unet", width=1 / 16, poolings=2, batch_norm=True)


def learner(model=None, dls=None, **changes):
    model = plain() if model is None else model
    recipe = training.recipe("sen2hse").replace(
        **{"epochs": 3, "lr": 3e-3, "monitor": "overall", "patience": None} | changes
    )
    learn = training.learner(dls or loaders(), model, recipe)
    learn.remove_cb(learn.progress) if hasattr(learn, "progress") else None
    learn.logger = lambda row: None
    return learn


def zeroed(model):
    return dict(pruning.filters(model)[["layer", "zeroed"]].values)


def test_distances_by_hand():
    # (0, 0), (3, 4), (6, 8): 5 + 10, 5 + 5, 10 + 5.
    weight = torch.tensor([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]])[:, :, None, None]
    assert pruning.distances(weight).tolist() == [15, 10, 15]


def test_the_filters_nearest_to_the_others_go():
    model = small("sen2hse", width=1 / 4, in_channels=1)
    conv = model.conv1_1
    values = torch.tensor([0.0, 1.0, 2.0, 9.0])
    with torch.no_grad():
        conv.weight.copy_(values[:, None, None, None].expand_as(conv.weight))
        conv.bias.fill_(0.5)
    chosen = pruning.prune(model, 0.5, layers=["conv1_1"])
    assert chosen == {"conv1_1": [1, 2]}  # sums 12, 10, 10, 24 of the values
    assert conv.weight.flatten(1).any(1).tolist() == [False, False, False, True]
    assert conv.bias.tolist() == [0.5, 0, 0, 0.5]
    assert zeroed(model)["conv1_1"] == 2  # the first filter is zero, but its bias speaks


@pytest.mark.parametrize(("rate", "gone"), [(0.4, 6), (0.29, 4), (0.5, 8), (0.99, 15), (0.01, 0)])
def test_share_is_rounded_down(rate, gone):
    model = models.create("sen2hse")
    assert len(pruning.prune(model, rate)["conv1_1"]) == gone


def test_share_that_is_whole_but_not_in_floating_point():
    hundred = small("unet", width=100 / 64, poolings=1)
    assert len(pruning.prune(hundred, 0.29, ["conv1_1"])["conv1_1"]) == 29  # 0.29 * 100 < 29


def test_zeroed_filters_are_silent():
    model, image = ready("hrnet_w24")
    chosen = pruning.prune(model)
    maps = {}
    for layer in chosen:
        norm = layer.replace("conv", "bn").replace("project", "bn_project")
        model.get_submodule(norm).register_forward_hook(
            lambda module, given, made, layer=layer: maps.update({layer: made})
        )
    with torch.no_grad():
        model(image)
    assert set(maps) == set(chosen) == set(model.prunable())
    for layer, made in maps.items():
        assert not made[:, chosen[layer]].any()
        assert made.flatten(2).any(2).any(0).sum() > 0


@functools.cache
def published():
    """The network of the paper's table, 40 % of its filters zeroed, and what is left of it."""
    model = wake(models.create("hrnet_w24", in_channels=4, classes=10))
    image = torch.rand(1, 4, 64, 64)
    calibrate(model, torch.rand(2, 4, 64, 64))
    pruning.prune(model, 0.4)
    return model, pruning.compact(model), image


def test_published_count():
    whole, compacted, _ = published()
    assert models.count_parameters(whole) == 16_812_946
    assert models.count_parameters(compacted) == 9_720_914  # published: 9,720,660
    kept = {whole.get_submodule(k).out_channels: n for k, n in compacted.options["keep"].items()}
    assert kept == {24: 15, 48: 29, 96: 58, 192: 116, 64: 39, 256: 154}
    assert list(compacted.options["keep"]) == whole.prunable()


def test_published_network_computes_the_same():
    whole, compacted, image = published()
    with torch.no_grad():
        one, other = whole(image), compacted(image)
        assert one.std() > 0.5
        torch.testing.assert_close(one.softmax(1), other.softmax(1), atol=1e-5, rtol=0)
        assert (one - other).abs().max() <= 1e-5 * one.abs().max()


NETWORKS = [
    ("unet", {"batch_norm": True}),
    *[(name, {}) for name in models.names() if not name.startswith(("fcn8s_", "fcn16s"))],
    ("fcn8s_bn", {"alignment": "same"}),
]


@pytest.mark.parametrize(("name", "own"), NETWORKS)
def test_every_network_computes_the_same_without_its_zeros(name, own):
    model, image = ready(name, **own)
    chosen = pruning.prune(model, 0.4)
    compacted = pruning.compact(model)
    assert models.count_parameters(compacted) < models.count_parameters(model)
    for layer, gone in chosen.items():
        before = model.get_submodule(layer).out_channels
        assert compacted.get_submodule(layer).out_channels == before - len(gone)
    with torch.no_grad():
        one, other = model(image), compacted(image)
    assert one.std() > 1e-3
    assert (one - other).abs().max() <= 1e-10 * one.abs().max()


def test_other_filters_than_the_first_are_kept():
    # A compaction that kept the first filters would pass where these are the ones that stay.
    model, _ = ready("unet", batch_norm=True, poolings=1, width=1 / 4)
    gone = pruning.prune(model, 0.6, layers=["conv1_2", "up1"])
    assert gone["conv1_2"][-1] - gone["conv1_2"][0] >= len(gone["conv1_2"])
    compacted = pruning.compact(model)
    stay = [i for i in range(16) if i not in gone["conv1_2"]]
    assert torch.equal(compacted.conv1_2.weight, model.conv1_2.weight[stay])
    # dec1_1 receives the skip of conv1_2 first, then what comes up.
    given = stay + [16 + i for i in range(16) if i not in gone["up1"]]
    assert torch.equal(compacted.dec1_1.weight, model.dec1_1.weight[:, given])


@pytest.mark.parametrize("name", ["fc_densenet64", "ifcn"])
def test_compact_network_is_saved_and_loaded(tmp_path, name):
    model = wake(small(name))
    model.class_names, model.bands = ["rest", "town"], ["light"]
    pruning.prune(model)
    compacted = pruning.compact(model)
    back = models.load(models.save(compacted, tmp_path / "small"))
    assert back.options == compacted.options and back.class_names == ["rest", "town"]
    image = torch.rand(1, 1, 48, 48)
    with torch.no_grad():
        assert torch.equal(back(image), compacted(image))
    parts = models.summary(back, (48, 48))
    assert parts.parameters.sum() == models.count_parameters(back) and parts.macs.sum() > 0
    assert not back.training and back.receptive_field == model.receptive_field


def test_pruned_twice(tmp_path):
    model, image = ready("hrnet_w24", width=1 / 8)
    pruning.prune(model, 0.3)
    once = pruning.compact(model)
    pruning.prune(once, 0.3)
    twice = pruning.compact(once)
    assert models.count_parameters(twice) < models.count_parameters(once)
    with torch.no_grad():
        torch.testing.assert_close(twice(image), once(image), rtol=1e-9, atol=1e-9)
    back = models.load(models.save(twice.float(), tmp_path / "small"))
    with torch.no_grad():
        assert torch.equal(back(image.float()), twice(image.float()))
    assert back.options == twice.options


class Watch(Callback):
    """Notes what is zero when each epoch starts training, has trained, and is validated."""

    order = 50

    def __init__(self):
        self.started, self.validated, self.moved, self.states = [], [], [], []

    def before_batch(self):
        if self.training and self.iter == 0:
            self.started.append(sum(zeroed(self.model).values()))

    def before_validate(self):
        self.validated.append(sum(zeroed(self.model).values()))
        self.states.append({k: v.clone() for k, v in self.model.state_dict().items()})

    def after_step(self):
        if self.iter == self.n_iter - 1:  # before the callback prunes
            conv = self.model.conv3_1.weight.detach()
            gone = self.fpgm.zeroed.get("conv3_1")
            if gone:
                self.moved.append(bool(conv[gone].any()))


def test_fit_prunes_after_every_epoch_and_filters_may_recover():
    learn, watch, soft = learner(optimiser="sgd", lr=0.1), Watch(), pruning.FPGM(0.4)
    learn.fit(5, cbs=[soft, watch])
    n = sum(map(len, soft.zeroed.values()))
    assert n > 0 and watch.validated == [n] * 5
    # While an epoch trains nothing is silent, and zeroed filters grow again.
    assert watch.started == [0] * 5
    assert len(watch.moved) == 4 and all(watch.moved)
    assert soft.history.zeroed.tolist() == [n] * 5
    assert soft.history.recovered.iloc[0] == 0 and soft.history.recovered.sum() > 0
    # The kept epoch is masked: these are the weights that were validated in it.
    kept = watch.states[learn.best["epoch"] - 1]
    for key, value in learn.model.state_dict().items():
        assert torch.equal(value, kept[key]), key
    assert sum(zeroed(learn.model).values()) == n
    scores = dict(zip(learn.recorder.metric_names[2:], learn.validate(), strict=False))
    assert scores["overall"] == pytest.approx(learn.best["overall"])
    # And the compacted network has the same scores.
    compacted = learner(pruning.compact(learn.model))
    again = dict(zip(learn.recorder.metric_names[2:], compacted.validate(), strict=False))
    assert again["overall"] == pytest.approx(learn.best["overall"])


def test_best_epoch_is_masked_though_it_is_not_the_last():
    learn = learner(lr=0.02, monitor="train_loss")
    soft = pruning.FPGM(0.5)

    class Spoil(Callback):
        def after_pred(self):
            if self.training and self.epoch > 0:
                self.learn.pred = self.pred * -3

    learn.fit(3, cbs=[soft, Spoil()])
    assert learn.best["epoch"] == 1
    table = pruning.filters(learn.model)
    assert (table.zeroed == (table.filters * 0.5).astype(int)).all()


def test_second_fit_goes_on_and_ends_masked():
    learn, soft = learner(), pruning.FPGM(0.4)
    learn.add_cb(soft)
    learn.fit(1)
    first = sum(zeroed(learn.model).values())
    watch = Watch()
    learn.fit(1, cbs=watch)
    assert watch.started == [0] and watch.moved == [True]
    assert sum(zeroed(learn.model).values()) == first and len(soft.history) == 1


def test_plain_learner_of_fastai():
    learn = Learner(
        loaders(),
        models.create("unet", width=1 / 16, poolings=1),
        loss_func=torch.nn.CrossEntropyLoss(),
        cbs=pruning.FPGM(0.25),
    )
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
    table = pruning.filters(learn.model)
    assert (table.zeroed == table.filters // 4).all()
    pruning.compact(learn.model)


def test_broken_epoch_leaves_the_best_weights_alone():
    learn, soft = learner(), pruning.FPGM(0.4)

    class Break(Callback):
        order = -10

        def after_loss(self):
            if self.epoch == 1:
                self.learn.loss = self.loss * math.nan

    watch = Watch()
    with pytest.raises(FloatingPointError):
        learn.fit(3, cbs=[soft, watch, Break()])
    for key, value in learn.model.state_dict().items():
        assert torch.equal(value, watch.states[0][key]), key


def test_looking_for_a_rate_changes_nothing():
    learn = learner()
    learn.add_cb(pruning.FPGM(0.4))
    before = {k: v.clone() for k, v in learn.model.state_dict().items()}
    with learn.no_bar():
        learn.lr_find(num_it=4, show_plot=False)
    for key, value in learn.model.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_report():
    model = small("unet", width=1 / 8)
    several = {}
    for rate in (0.2, 0.4):
        copy = models.create("unet", width=1 / 8)
        pruning.prune(copy, rate)
        several[f"rate {rate}"] = pruning.compact(copy)
    threads = torch.get_num_threads()
    table = pruning.report(model, several, shape=(64, 48), runs=2)
    assert list(table.index) == ["before", "rate 0.2", "rate 0.4"]
    assert table.parameters.tolist() == [
        models.count_parameters(m) for m in (model, *several.values())
    ]
    assert table.macs["before"] == models.macs(model, (64, 48))
    assert table.file_mb["before"] == pytest.approx(4e-6 * table.parameters["before"], rel=0.1)
    assert (table.loc["before", [c for c in table if c.endswith("_ratio")]] == 1).all()
    for column in ("parameters_ratio", "file_ratio", "macs_ratio"):
        assert 1 > table[column].iloc[1] > table[column].iloc[2] > 0
    assert (table.seconds_per_megapixel > 0).all() and table.seconds_ratio.notna().all()
    assert table.attrs == {"shape": (64, 48), "runs": 2, "threads": 1, "device": "cpu"}
    assert torch.get_num_threads() == threads and not model.training
    single = pruning.report(model, several["rate 0.4"], shape=(32, 32), runs=1)
    assert list(single.index) == ["before", "after"]


def test_what_must_stay_whole_and_why():
    why = thinning.why_whole
    road = small("dlinknet34")
    assert "in a sum" in why(road, "layer1.0.conv2") and why(road, "layer1.0.conv1") is None
    dual = small("fcn_dual_attention")
    assert "ends in" in why(dual, "position.query") and why(dual, "conv5") is None
    assert "scores" in why(small("fcn8s"), "score_pool4")
    assert why(small("fcn8s"), "fc7") is None
    assert "no convolution" in why(small("fcn8s"), "pool1")
    assert "does not exist" in why(small("fcn8s"), "conv9")


def test_bad_input():
    model = models.create("sen2hse")
    for rate in (0, 1, -0.1, 1.5, math.nan, "0.4", True, None):
        with pytest.raises(ValueError, match="between 0 and 1"):
            pruning.FPGM(rate)
        with pytest.raises(ValueError, match="between 0 and 1"):
            pruning.prune(model, rate)
    with pytest.raises(ValueError, match=r"got 40\. Did you mean 0\.4\?"):
        pruning.FPGM(40)
    with pytest.raises(ValueError, match=r"no filter of this sen2hse is zero.*pruning\.FPGM"):
        pruning.compact(model)
    with pytest.raises(ValueError, match="'score' cannot be pruned, it makes scores"):
        pruning.prune(model, layers=["score"])
    with pytest.raises(ValueError, match="'conv9' cannot be pruned, it does not exist"):
        learner().fit(1, cbs=pruning.FPGM(layers=["conv9"]))
    with pytest.raises(TypeError, match=r"pass \['conv1_1'\]"):
        pruning.prune(model, layers="conv1_1")
    with pytest.raises(TypeError, match=r"got TrainLearner|got Learner; pass learn\.model"):
        pruning.compact(learner())
    with pytest.raises(TypeError, match=r"expected a network .* got Linear"):
        pruning.prune(torch.nn.Linear(1, 1))
    pruning.prune(model)
    compacted = pruning.compact(model)
    with pytest.raises(ValueError, match=r"is compact already \(408,469 parameters\)"):
        pruning.compact(compacted)
    with pytest.raises(ValueError, match="differ in bands or classes: 1 and 2 before, 1 and 3"):
        pruning.report(model, models.create("sen2hse", classes=3))
    with pytest.raises(ValueError, match="runs must be a whole number"):
        pruning.report(model, compacted, runs=0)
    with pytest.raises(ValueError, match=r"from 1 to 16, got 17"):
        models.create("sen2hse", keep={"conv1_1": 17})
    with pytest.raises(ValueError, match="keep names 'score', which makes scores"):
        models.create("sen2hse", keep={"score": 1})
    road = small("dlinknet34")
    with torch.no_grad():
        road.get_submodule("layer1.0.conv2").weight[0] = 0
    with pytest.raises(ValueError, match=r"none that can be taken out: layer1.* in a sum"):
        pruning.compact(road)


def test_a_layer_of_zeros_keeps_one_filter():
    model = small("sen2hse", in_channels=1)
    with torch.no_grad():
        model.conv3_1.weight.zero_()
        model.conv3_1.bias.zero_()
    compacted = pruning.compact(model)
    assert compacted.conv3_1.out_channels == 1
    with torch.no_grad():
        image = torch.rand(1, 1, 8, 8)
        torch.testing.assert_close(compacted(image), model(image))


def test_compact_network_predicts_a_scene():
    from network_checks import scene

    model = wake(small("unet", poolings=2))
    pruning.prune(model)
    compacted = pruning.compact(model)
    image = scene(1, 70, 90)
    one, other = (mapping.predict(m, image, tile=32).compute() for m in (model, compacted))
    np.testing.assert_allclose(one, other, atol=1e-5)
