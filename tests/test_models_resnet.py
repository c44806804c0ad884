"""PSPNet and FCN-8 on ResNet50: published counts, 20 m cells, geometry, learning, saving."""

import pytest
import torch
from network_checks import (
    check_gradients,
    check_half_resolution,
    check_odd_sizes_are_refused,
    check_receptive_field,
    check_save_and_load,
    check_tiles,
    check_tools,
    scene,
    small,
    unbuilt,
)

from toolkit import mapping, models
from toolkit.models.blocks import count_convolutions

NAMES = ("pspnet_resnet50", "fcn8_resnet50")


@pytest.mark.parametrize(
    ("name", "parameters", "layers"),
    [("pspnet_resnet50", 28_550_594, 58), ("fcn8_resnet50", 31_960_710, 60)],
)
def test_published_counts(name, parameters, layers):
    model = unbuilt(name, in_channels=10)
    assert models.count_parameters(model) == parameters
    assert count_convolutions(model) == layers


@pytest.mark.parametrize("name", NAMES)
def test_half_resolution(name):
    check_half_resolution(small(name))
    check_odd_sizes_are_refused(small(name))


def test_receptive_field_by_probing():
    check_receptive_field(small("fcn8_resnet50", width=1 / 64))


def test_tiles_equal_one_pass():
    check_tiles(small("fcn8_resnet50", width=1 / 64), tile=128, height=46, width=902)


def test_pyramid_is_unbounded():
    model = small("pspnet_resnet50")
    assert model.receptive_field is None and "whole image" in model.unbounded
    assert model.convolutional_field == 609
    with pytest.warns(UserWarning, match="unbounded"):
        mapping.predict(model, scene(1, 64, 200), tile=64)
    with pytest.raises(KeyError, match=r"no layer 'bin1\.conv'"):
        model.placement("bin1.conv")  # the cells of bins depend on the image


@pytest.mark.parametrize("name", NAMES)
def test_tools(name):
    check_tools(small(name), ["bn1", "stage3.3.relu", "stage5.2.conv3", "score"])


@pytest.mark.parametrize("name", NAMES)
def test_placement(name):
    model = small(name)
    assert [model.placement(f"stage{i}.0.relu")[0] for i in (2, 3, 4, 5)] == [4, 8, 16, 32]
    assert model.placement("upscore")[0] == 2


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("classes", [1, 2])
def test_every_parameter_learns(name, classes):
    check_gradients(small(name, classes=classes))


@pytest.mark.parametrize("name", NAMES)
def test_saved_network_comes_back(name, tmp_path):
    check_save_and_load(small(name), tmp_path)


def test_smallest_image():
    for name in NAMES:
        with torch.no_grad():
            assert small(name)(torch.rand(1, 1, 2, 2)).shape == (1, 2, 1, 1)
