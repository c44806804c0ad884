"""D-LinkNet34: counts, one logit and two, geometry, every size, learning, tiles, saving."""

import numpy as np
import pytest
import torch
from network_checks import (
    check_gradients,
    check_receptive_field,
    check_save_and_load,
    check_sizes,
    check_tiles,
    check_tools,
    scene,
    small,
    unbuilt,
)

from toolkit import mapping, models


@pytest.mark.parametrize(
    ("bands", "own", "expected"),
    [
        (3, {}, 31_096_129),
        (4, {}, 31_099_265),
        (3, {"dilations": (1, 2, 4)}, 28_736_321),
    ],
)
def test_counts(bands, own, expected):
    model = unbuilt("dlinknet34", in_channels=bands, classes=1, **own)
    assert models.count_parameters(model) == expected


def test_encoder_is_torchvisions():
    from torchvision.models import resnet34

    with torch.device("meta"):
        theirs = resnet34()
    ours = unbuilt("dlinknet34", in_channels=3)
    shapes = {k: v.shape for k, v in theirs.state_dict().items() if not k.startswith("fc.")}
    assert shapes == {k: ours.state_dict()[k].shape for k in shapes}


def test_every_size_comes_back():
    check_sizes(small("dlinknet34"))


def test_receptive_field_by_probing():
    check_receptive_field(small("dlinknet34", width=1 / 64, dilations=(1, 2)))


def test_receptive_field():
    assert unbuilt("dlinknet34").receptive_field == 1_927


def test_tiles_equal_one_pass():
    check_tiles(small("dlinknet34", width=1 / 64), tile=256, height=45, width=2401)


def test_tools():
    check_tools(
        small("dlinknet34", classes=1),
        ["bn1", "pool", "layer2.3.relu", "centre.dilate4", "decoder2.bn3", "score"],
    )


def test_placement():
    model = small("dlinknet34")
    assert [model.placement(f"layer{i}.0.conv2")[0] for i in (1, 2, 3, 4)] == [4, 8, 16, 32]
    assert model.placement("decoder4.conv1")[0] == 32
    assert model.placement("score")[0] == 1


@pytest.mark.parametrize("classes", [1, 2])
def test_every_parameter_learns(classes):
    check_gradients(small("dlinknet34", classes=classes))


def test_one_logit_becomes_a_map():
    model, image = small("dlinknet34", classes=1), scene(1, 64, 80)
    probability = mapping.predict(model, image, classes=["building"])
    logit = mapping.predict(model, image, activation=None, classes=["building"])
    np.testing.assert_allclose(probability, 1 / (1 + np.exp(-logit)), rtol=1e-5)
    assert probability.shape == (1, 64, 80)
    assert 0 <= float(probability.min()) <= float(probability.max()) <= 1
    assert set(np.unique(mapping.classes(probability))) <= {0, 1}


def test_saved_network_comes_back(tmp_path):
    check_save_and_load(small("dlinknet34", dilations=(1, 2, 4)), tmp_path)


def test_bad_options():
    with pytest.raises(ValueError, match="dilations are positive whole numbers"):
        small("dlinknet34", dilations=())
