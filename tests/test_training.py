"""Training: the recipe reaches the optimiser, scores are exact, the best weights survive."""

import dataclasses
import math
import time

import numpy as np
import pandas as pd
import pytest
import torch
from fastai.callback.schedule import SchedCos  # noqa: F401  (patches Learner with lr_find)
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from matplotlib.figure import Figure

from toolkit import models, training
from toolkit._fitting import CrossEntropy, LossSum, Score
from toolkit.accuracy import confusion


def blobs(count, size, seed):
    """Bright blobs on a noisy ground and where they are; the first rows have no label."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    pairs = []
    for _ in range(count):
        light = np.zeros((size, size))
        for _ in range(random.integers(2, 6)):
            row, column, radius = *random.uniform(0, size, 2), random.uniform(4, 14)
            distance = (y - row) ** 2 + (x - column) ** 2
            light += np.exp(-distance / (2 * radius**2)) * random.uniform(0.6, 1.5)
        label = (light > 0.35).astype("int64")
        label[:3] = 255
        image = 20 * light + 5 + random.normal(0, 1.5, light.shape)
        pairs.append((torch.tensor(image[None], dtype=torch.float32), torch.tensor(label)))
    return pairs


def loaders(train=8, valid=4, size=32, batch_size=4, pairs=None):
    """DataLoaders as chips makes them, by hand."""
    first, second = pairs or (blobs(train, size, 0), blobs(valid, size, 1))
    dls = DataLoaders(
        DataLoader(first, bs=batch_size, shuffle=True, num_workers=0),
        DataLoader(second, bs=batch_size, num_workers=0),
    )
    values = torch.stack([image for image, _ in first])
    dls.statistics = pd.DataFrame(
        {"band": ["lights"], "mean": [float(values.mean())], "std": [float(values.std())]}
    )
    dls.classes = ["rest", "urban"]
    return dls


def network(name="ifcn", **own):
    return models.create(name, **{"width": 1 / 32, "fc_width": 512, "fc_kernel": 3} | own)


def quick(dls=None, model=None, metrics=None, **changes):
    recipe = training.recipe("ifcn").replace(**{"epochs": 2, "lr": 1e-3} | changes)
    learn = training.learner(dls or loaders(), model or network(), recipe, metrics)
    learn.remove_cb(learn.progress) if hasattr(learn, "progress") else None
    learn.logger = lambda row: None
    return learn


def test_recipes_say_what_the_papers_say():
    night = training.recipe("ifcn")
    assert (night.optimiser, night.lr, night.schedule) == ("adam", 1e-4, "constant")
    assert night.iterations == 20_000 and night.epochs is None
    cover = training.recipe("land_cover_3m")
    assert (cover.optimiser, cover.lr, cover.momentum, cover.epochs) == ("sgd", 0.01, 0.9, 120)
    assert cover.class_weights[4] == 3 and cover.batch_size == 32
    settlements = training.recipe("sen2hse")
    assert (settlements.optimiser, settlements.lr, settlements.batch_size) == ("nadam", 2e-4, 8)
    assert settlements.patience == 10 and settlements.stop_on == "valid_loss"


def test_recipe_is_frozen_and_replaceable():
    night = training.recipe("ifcn")
    with pytest.raises(dataclasses.FrozenInstanceError):
        night.lr = 1
    shorter = night.replace(epochs=3, class_weights=[1, 2])
    assert (shorter.epochs, shorter.iterations, shorter.class_weights) == (3, None, (1, 2))
    assert shorter.replace(iterations=9).epochs is None
    assert night.iterations == 20_000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimiser": "adamw"}, "optimiser is one of adam, nadam, sgd, got 'adamw'"),
        ({"schedule": "cosine"}, "schedule is one of"),
        ({"loss": "dice"}, "loss is one of"),
        ({"lr": -1}, "lr must be a positive number"),
        ({"epochs": 0}, "epochs must be a whole number"),
        ({"metrics": ("mean_iu",)}, "Did you mean 'mean_iou'"),
        ({"epochs": 3, "iterations": 3}, "give epochs or iterations"),
    ],
)
def test_impossible_recipes(changes, message):
    with pytest.raises(ValueError, match=message):
        training.recipe("ifcn").replace(**changes)


def test_unknown_recipe_and_value():
    with pytest.raises(KeyError, match=r"no recipe 'ifcm'.*Did you mean 'ifcn'"):
        training.recipe("ifcm")
    with pytest.raises(TypeError, match="Did you mean 'weight_decay'"):
        training.recipe("ifcn").replace(weightdecay=1)
    with pytest.raises(TypeError, match="expected a Recipe"):
        training.learner(loaders(), network(), {"lr": 1})


def rates(learn):
    """Learning rate and decay with which the optimiser steps each parameter."""
    names = {id(p): name for name, p in learn.model.named_parameters()}
    return {
        names[id(p)]: (group["lr"], group["weight_decay"])
        for group in learn.opt.opt.param_groups
        for p in group["params"]
    }


@pytest.mark.parametrize("how", ["fit", "fit lr", "one cycle", "poly"])
def test_layer_rates_survive_fastais_fit(how):
    learn = quick(weight_decay=0.01, schedule="poly" if how == "poly" else "constant")
    if how == "fit":
        learn.fit(1)
    elif how == "fit lr":
        learn.fit(1, lr=0.002)
    elif how == "one cycle":
        learn.fit_one_cycle(1, 0.002)
    else:
        training.fit(learn)
    found = rates(learn)
    base = found["conv3_1.weight"][0]
    if how.startswith("fit"):
        assert base == pytest.approx({"fit": 1e-3, "fit lr": 0.002}[how])
    assert set(found) == set(learn.model.lr_multipliers())
    for name, (lr, decay) in learn.model.lr_multipliers().items():
        assert found[name] == pytest.approx((lr * base, decay * 0.01)), name
    assert learn.recorder.lrs[-1] == pytest.approx(base, rel=0.7)
    assert isinstance(learn.opt.opt, torch.optim.Adam)


def test_list_of_rates_is_taken_as_it_is():
    learn = quick()
    learn.create_opt()
    given = [10.0**-i for i in range(len(learn.opt.hypers))]
    learn.opt.set_hyper("lr", given)
    assert [hyper["lr"] for hyper in learn.opt.hypers] == given


def test_decay_is_added_to_the_gradient_and_fixed_weights_stay():
    learn = quick(optimiser="sgd", lr=0.1, momentum=0.0, weight_decay=0.5)
    learn.create_opt()
    before = {name: p.detach().clone() for name, p in learn.model.named_parameters()}
    for p in learn.model.parameters():
        if p.requires_grad:
            p.grad = torch.ones_like(p)
    learn.opt.step()
    after = dict(learn.model.named_parameters())
    for name, lr, decay in (
        ("conv3_1.weight", 0.1, 0.5),
        ("conv3_1.bias", 0.2, 0.0),
        ("conv1_1.weight", 0.01, 0.5),
        ("conv2_2.bias", 0.02, 0.0),
    ):
        wanted = before[name] - lr * (1 + decay * before[name])
        torch.testing.assert_close(after[name].detach(), wanted)
    assert torch.equal(after["upscore.weight"], before["upscore.weight"])


def test_training_leaves_fixed_weights_even_when_unfrozen():
    learn = quick()
    before = learn.model.upscore.weight.clone()
    learn.unfreeze()
    learn.fit(1)
    assert torch.equal(learn.model.upscore.weight, before)


def test_statistics_and_bands_move_into_the_model():
    dls = loaders()
    learn = quick(dls)
    assert learn.model.mean.item() == pytest.approx(dls.statistics["mean"][0], rel=1e-6)
    assert learn.model.std.item() == pytest.approx(dls.statistics["std"][0], rel=1e-6)
    assert learn.model.bands == ["lights"]
    dls.statistics = dls.statistics.set_index("band")
    assert quick(dls).model.bands == ["lights"]


def test_data_and_network_must_agree():
    dls = loaders()
    with pytest.raises(ValueError, match=r"1 bands, the network expects 3: create it with in_cha"):
        quick(dls, network(in_channels=3))
    with pytest.raises(ValueError, match=r"2 classes \(rest, urban\), the network 3"):
        quick(dls, network(classes=3))
    with pytest.raises(ValueError, match="3 class weights for a network of 2"):
        quick(dls, class_weights=(1, 2, 3))
    with pytest.raises(ValueError, match="no metric 'acc'"):
        quick(dls, metrics=["acc"])
    with pytest.raises(ValueError, match=r"cannot monitor 'kappa': there are train_loss"):
        quick(dls, metrics=["f1"], monitor="kappa").fit(1)
    with pytest.raises(ValueError, match="cannot monitor 'last'"):
        quick(dls, patience=1, stop_on="last").fit(1)
    dls.statistics.loc[0, "std"] = np.nan
    with pytest.raises(ValueError, match="must be finite"):
        quick(dls)
    del dls.statistics
    with pytest.raises(ValueError, match="carry no band statistics"):
        quick(dls)


def test_loss_ignores_missing_labels_and_weights_classes():
    torch.manual_seed(0)
    logits, label = torch.randn(2, 3, 4, 5), torch.randint(0, 3, (2, 4, 5))
    label[0, :2] = 255
    known = label != 255
    log = torch.log_softmax(logits, 1).permute(0, 2, 3, 1)[known]
    single = -log[range(len(log)), label[known]]
    assert float(CrossEntropy()(logits, label)) == pytest.approx(float(single.mean()), rel=1e-5)
    weight = torch.tensor([1.0, 2.0, 5.0])
    weights = weight[label[known]]
    wanted = float((single * weights).sum() / weights.sum())
    assert float(CrossEntropy((1, 2, 5))(logits, label)) == pytest.approx(wanted, rel=1e-5)


def test_batch_without_labels_costs_nothing():
    logits = torch.randn(1, 2, 4, 4, requires_grad=True)
    loss = CrossEntropy()(logits, torch.full((1, 4, 4), 255))
    loss.backward()
    assert loss.item() == 0 and not logits.grad.any()


def test_loss_explains_wrong_labels():
    with pytest.raises(ValueError, match=r"output_scale 0\.5"):
        CrossEntropy()(torch.rand(1, 2, 4, 4), torch.zeros(1, 8, 8, dtype=torch.long))
    with pytest.raises(ValueError, match="labels run from 0 to 7, but the network has 2 classes"):
        CrossEntropy()(torch.rand(1, 2, 1, 2), torch.tensor([[[0, 7]]]))


class Step:
    """What a metric sees of a Learner."""

    def __init__(self, logits, label):
        self.pred, self.yb, self.loss = logits, (label,), CrossEntropy()(logits, label)


@pytest.mark.parametrize("classes", [2, 4])
def test_scores_are_of_all_pixels_not_means_of_batches(classes):
    torch.manual_seed(1)
    logits, label = torch.randn(5, classes, 6, 7), torch.randint(0, classes, (5, 6, 7))
    label[1] = 0
    label[:, 0] = 255
    whole = confusion(label.numpy(), logits.argmax(1).numpy(), classes=list(range(classes)))
    for name in ("overall", "mean_iou", "kappa", "average", "f1", "iou"):
        score = Score(name, classes)
        for rows in (slice(0, 1), slice(1, 2), slice(2, 5)):
            score.accumulate(Step(logits[rows], label[rows]))
        wanted = getattr(whole, name)
        if name in ("f1", "iou"):
            wanted = wanted.iloc[1] if classes == 2 else wanted.mean()
        assert score.value == pytest.approx(wanted), name
        score.reset()
        assert math.isnan(score.value)


def test_loss_sum_is_caffes_sum_over_a_chip():
    loss = LossSum()
    assert math.isnan(loss.value)
    logits, label = torch.zeros(2, 2, 224, 224), torch.ones(2, 224, 224, dtype=torch.long)
    loss.accumulate(Step(logits, label))
    loss.accumulate(Step(logits[:1, :, :2], torch.full((1, 2, 224), 255)))
    assert loss.value == pytest.approx(50_176 * math.log(2), rel=1e-6)


def test_same_seed_same_weights():
    weights = []
    for seed in (1, 1, 2):
        learn = quick(seed=seed, model=network(seed=0))
        learn.fit(2)
        weights.append(torch.cat([p.detach().flatten() for p in learn.model.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_best_weights_come_back(monkeypatch):
    learn = quick(monitor="f1")
    plan, seen = iter([0.2, 0.7, 0.7, 0.3]), []
    monkeypatch.setattr(
        Score, "value", property(lambda self: next(plan) if self.name == "f1" else 0.5)
    )
    losses = iter([0.9, 0.8, 0.7, 0.1])
    monkeypatch.setattr(type(learn.recorder.loss), "value", property(lambda self: next(losses)))
    keep = learn.keep_best
    after = keep.after_epoch

    def spy():
        seen.append(learn.model.conv3_1.weight.detach().clone())
        after()

    keep.after_epoch = spy
    learn.fit(4)
    # Of two epochs with the same score, the one with the lower validation loss.
    assert learn.best["epoch"] == 3 and learn.best["f1"] == 0.7
    assert torch.equal(learn.model.conv3_1.weight, seen[2])
    assert not torch.equal(learn.model.conv3_1.weight, seen[3])
    assert list(learn.history.f1) == [0.2, 0.7, 0.7, 0.3]


def test_stops_when_nothing_improves(monkeypatch, capsys):
    learn = quick(patience=2, stop_on="valid_loss")
    losses = iter([0.9, 0.5, 0.6, 0.7, 0.1])
    monkeypatch.setattr(type(learn.recorder.loss), "value", property(lambda self: next(losses)))
    learn.fit(5)
    assert list(learn.history.valid_loss) == [0.9, 0.5, 0.6, 0.7]
    assert "valid_loss has not improved for 2 epochs" in capsys.readouterr().out


def test_validation_and_lr_find_disturb_nothing(tmp_path):
    learn = quick()
    learn.path = tmp_path
    learn.lr_find(num_it=6, show_plot=False)
    assert learn.history is None
    learn.fit(2)
    history, weight = learn.history.copy(), learn.model.conv3_1.weight.clone()
    record = learn.validate()
    assert record[0] == pytest.approx(learn.best["valid_loss"])
    probability, _ = learn.get_preds()
    torch.testing.assert_close(probability.sum(1), torch.ones(4, 32, 32))
    pd.testing.assert_frame_equal(learn.history, history)
    assert torch.equal(learn.model.conv3_1.weight, weight)


def test_infinite_loss_stops_with_advice_and_good_weights():
    pairs = blobs(8, 32, 0), blobs(4, 32, 1)
    learn = quick(loaders(pairs=pairs))
    learn.fit(1)
    pairs[0][3][0][0, 5, 5] = torch.inf
    with pytest.raises(FloatingPointError, match=r"the loss became (nan|inf) in epoch .*lr_find"):
        learn.fit(1)
    assert all(p.isfinite().all() for p in learn.model.parameters())


def test_fit_turns_iterations_into_epochs():
    learn = training.fit(quick(iterations=5, epochs=None))  # two batches an epoch
    assert len(learn.history) == 3
    assert len(training.fit(learn, epochs=1).history) == 1
    with pytest.raises(ValueError, match="no batch"):
        learn.dls.train.drop_last, learn.dls.train.bs = True, 100
        training.fit(learn)


def test_curves():
    learn = quick()
    with pytest.raises(ValueError, match="fit first"):
        training.curves(learn)
    learn.fit(2)
    figure = training.curves(learn)
    assert isinstance(figure, Figure)
    left, right = figure.axes
    assert left.get_xlabel() == right.get_xlabel() == "epoch"
    assert "per pixel" in left.get_ylabel()
    assert {line.get_label() for line in left.lines} == {
        "training, smoothed",
        "validation",
        "epoch kept",
    }
    assert list(left.lines[1].get_ydata()) == list(learn.history.valid_loss)
    assert left.lines[2].get_xdata()[0] == learn.best["epoch"]
    assert "mean IoU" in {line.get_label() for line in right.lines}
    figure.canvas.draw()


def test_saved_training_comes_back(tmp_path):
    learn = quick(class_weights=(1.0, 2.0))
    learn.fit(1)
    path = training.save(learn, tmp_path / "night")
    model = training.load(path)
    image = torch.rand(1, 1, 40, 40) * 30
    with torch.no_grad():
        assert torch.equal(model(image), learn.model.eval()(image))
    card = model.metadata
    assert training.Recipe(**card["recipe"]) == learn.recipe
    assert card["classes"] == ["rest", "urban"] and card["statistics"][0]["band"] == "lights"
    assert card["metrics"]["epoch"] == 1 and len(card["history"]) == 1
    assert model.bands == ["lights"] and model.class_names == ["rest", "urban"]


def test_narrow_ifcn_learns():
    start = time.monotonic()
    model = models.create("ifcn", width=0.125, fc_width=1024, fc_kernel=3)
    learn = quick(loaders(32, 8, 96, 8), model, epochs=14, lr=3e-3)
    training.fit(learn)
    assert learn.best["mean_iou"] > 0.75, learn.history
    assert learn.best["valid_loss"] < 0.3
    assert time.monotonic() - start < 60
