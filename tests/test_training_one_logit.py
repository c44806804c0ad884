"""One logit, building or not: the loss by hand, no label no say, and a tiny network that learns."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader

from toolkit import mapping, models, training
from toolkit._fitting import BinaryDice, Score


def houses(count, size, seed):
    """Bright squares on a noisy ground, and where they are; the first rows have no label."""
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(count):
        label = np.zeros((size, size), "int64")
        for _ in range(3):
            row, col = rng.integers(2, size - 14, 2)
            label[row : row + 12, col : col + 12] = 1
        image = 100 + 60 * label + rng.normal(0, 8, (3, size, size))
        label[:3] = 255
        pairs.append((torch.tensor(image, dtype=torch.float32), torch.tensor(label)))
    return pairs


def loaders(size=64, classes=("other", "building")):
    first, second = houses(8, size, 0), houses(4, size, 1)
    dls = DataLoaders(
        DataLoader(first, bs=4, shuffle=True, num_workers=0),
        DataLoader(second, bs=4, num_workers=0),
    )
    dls.statistics = pd.DataFrame(
        {"band": ["blue", "green", "red"], "mean": [115.0] * 3, "std": [30.0] * 3}
    )
    dls.classes = list(classes)
    return dls


def network(classes=1, in_channels=3):
    torch.manual_seed(0)
    return models.create("dlinknet34", in_channels=in_channels, classes=classes, width=1 / 16)


def quick(dls, model, recipe):
    learn = training.learner(dls, model, recipe)
    learn.remove_cb(learn.progress) if hasattr(learn, "progress") else None
    learn.logger = lambda row: None
    return learn


def test_recipe_of_the_roofs():
    recipe = training.recipe("roof_greening")
    assert (recipe.loss, recipe.optimiser, recipe.lr) == ("bce_dice", "adam", 2e-4)
    assert (recipe.batch_size, recipe.iterations, recipe.monitor) == (4, 5000, "iou")


def test_loss_by_hand():
    # p = .8, .4, .5 for truths 1, 0, 1.
    p, y = [0.8, 0.4, 0.5], [1, 0, 1]
    logits = torch.tensor([math.log(v / (1 - v)) for v in p]).reshape(1, 1, 1, 3)
    truth = torch.tensor(y).reshape(1, 1, 3)
    entropy = -(math.log(0.8) + math.log(0.6) + math.log(0.5)) / 3
    dice = 1 - (2 * (0.8 + 0.5) + 1) / (1.7 + 2 + 1)
    assert float(BinaryDice()(logits, truth)) == pytest.approx(entropy + dice, rel=1e-5)


def test_ignored_pixels_do_not_count():
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 1, 4, 4, generator=rng, requires_grad=True)
    truth = torch.randint(0, 2, (2, 4, 4), generator=rng)
    cut = truth.clone()
    cut[:, 2:] = 255
    loss = BinaryDice()(logits, cut)
    upper = BinaryDice()(logits[:, :, :2], truth[:, :2])
    assert loss.item() == pytest.approx(upper.item())
    loss.backward()
    assert (logits.grad[:, :, 2:] == 0).all() and (logits.grad[:, :, :2] != 0).all()
    nothing = BinaryDice()(logits, torch.full((2, 4, 4), 255))
    assert nothing.item() == 0 and nothing.requires_grad


def test_no_building_asks_for_no_building():
    truth = torch.zeros(1, 8, 8, dtype=torch.long)
    right, wrong = (BinaryDice()(torch.full((1, 1, 8, 8), v), truth) for v in (-20.0, 2.0))
    assert float(right) == pytest.approx(0, abs=1e-5) and float(wrong) > 2


def test_loss_explains_what_does_not_fit():
    with pytest.raises(ValueError, match="one logit"):
        BinaryDice()(torch.rand(1, 2, 4, 4), torch.zeros(1, 4, 4, dtype=torch.long))
    with pytest.raises(ValueError, match="run from 0 to 2"):
        BinaryDice()(torch.rand(1, 1, 1, 2), torch.tensor([[[0, 2]]]))
    each = BinaryDice("none")(torch.rand(1, 1, 2, 2), torch.tensor([[[0, 255], [1, 1]]]))
    assert each.shape == (1, 2, 2) and each[0, 0, 1] == 0 and (each > 0).sum() == 3


@pytest.mark.parametrize(
    ("name", "wanted"), [("precision", 2 / 3), ("recall", 1 / 2), ("f1", 4 / 7), ("iou", 2 / 5)]
)
def test_scores_of_one_logit_by_hand(name, wanted):
    class Learn:
        # Found: 3, of which 2 are right; 4 are there; the last has no label.
        pred = torch.tensor([2.0, 1.0, 3.0, -1.0, -2.0, -1.0, 5.0]).reshape(1, 1, 1, 7)
        yb = (torch.tensor([1, 1, 0, 1, 1, 0, 255]).reshape(1, 1, 7),)

    score = Score(name, 1)
    score.accumulate(Learn)
    assert score.name == name and score.value == pytest.approx(wanted)


def test_a_tiny_network_learns_a_tiny_town_and_maps_it():
    dls = loaders()
    recipe = training.recipe("roof_greening").replace(epochs=40, lr=6e-3)
    learn = training.fit(quick(dls, network(), recipe))
    assert learn.best["iou"] > 0.7 and learn.best["precision"] > 0.7
    assert learn.history["train_loss"].iloc[-1] < 0.6 * learn.history["train_loss"].iloc[0]
    assert {"f1", "recall"} <= set(learn.history)
    assert "Dice" in training.curves(learn).axes[0].get_ylabel()
    assert learn.model.class_names == ["building"]
    picture, truth = houses(1, 75, 5)[0]  # no multiple of 32
    image = xr.DataArray(
        picture.numpy(),
        dims=("band", "y", "x"),
        coords={"band": ["blue", "green", "red"], "y": np.arange(75)[::-1], "x": np.arange(75)},
    ).rio.write_crs("EPSG:32648")
    probability = mapping.predict(learn.model, image)
    assert probability["class"].values.tolist() == ["building"] and probability.shape == (1, 75, 75)
    found = mapping.classes(probability).values[3:] == 1
    wanted = truth.numpy()[3:] == 1
    assert (found & wanted).sum() / (found | wanted).sum() > 0.7


def test_network_loss_and_data_must_fit():
    recipe = training.recipe("roof_greening")
    with pytest.raises(ValueError, match="classes=1"):
        training.learner(loaders(), network(classes=2), recipe)
    with pytest.raises(ValueError, match="bce_dice"):
        training.learner(loaders(), network(), recipe.replace(loss="cross_entropy"))
    with pytest.raises(ValueError, match="3 classes"):
        training.learner(loaders(classes=("a", "b", "c")), network(), recipe)
    with pytest.raises(ValueError, match="class weights"):
        training.learner(loaders(), network(), recipe.replace(class_weights=(1, 2)))
    with pytest.raises(ValueError, match="no metric"):
        recipe.replace(metrics=("recal",))
