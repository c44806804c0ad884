"""U-Nets: published counts, geometry by probing, every size, learning, tiles, saving."""

import pytest
import torch
from network_checks import (
    check_gradients,
    check_half_resolution,
    check_odd_sizes_are_refused,
    check_placement,
    check_receptive_field,
    check_save_and_load,
    check_sizes,
    check_tiles,
    check_tools,
    small,
    unbuilt,
)

from toolkit import models
from toolkit.models.blocks import count_convolutions

NAMES = ("unet", "unet_half")


def test_published_counts():
    half = unbuilt("unet_half", in_channels=10)
    assert models.count_parameters(half) == 31_036_872
    assert count_convolutions(half) == 24


@pytest.mark.parametrize(("batch_norm", "expected"), [(False, 31_032_711), (True, 31_038_599)])
def test_counts_of_the_plain_one(batch_norm, expected):
    model = unbuilt("unet", in_channels=4, classes=7, batch_norm=batch_norm)
    assert models.count_parameters(model) == expected


def test_five_poolings_double_once_more():
    model = unbuilt("unet", poolings=5)
    assert model.conv6_2.out_channels == 2048 and model.total_stride == 32
    assert model.receptive_field > 2 * unbuilt("unet").receptive_field - 32


@pytest.mark.parametrize("poolings", [1, 4, 5])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_every_size_comes_back(poolings, batch_norm):
    check_sizes(small("unet", poolings=poolings, batch_norm=batch_norm))


def test_half_resolution():
    check_half_resolution(small("unet_half"))
    check_odd_sizes_are_refused(small("unet_half"))


@pytest.mark.parametrize(
    ("name", "own"), [("unet", {"poolings": 2}), ("unet", {}), ("unet_half", {})]
)
def test_receptive_field_by_probing(name, own):
    check_receptive_field(small(name, **own))


@pytest.mark.parametrize("name", NAMES)
def test_tiles_equal_one_pass(name):
    check_tiles(small(name, in_channels=2))


@pytest.mark.parametrize("name", NAMES)
def test_tools(name):
    check_tools(small(name), ["conv1_1", "pool2", "dec2_2"])


@pytest.mark.parametrize("name", NAMES)
def test_placement(name):
    model = small(name)
    assert [model.placement(f"pool{i}") for i in range(1, 5)] == [(2**i, 0) for i in range(1, 5)]
    assert model.placement("score") == ((1, 0) if name == "unet" else (2, 0))
    check_placement(model, ["pool1", "pool3"])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("classes", [1, 3])
def test_every_parameter_learns(name, classes):
    check_gradients(small(name, classes=classes))


def test_every_parameter_learns_with_batch_norm():
    check_gradients(small("unet", batch_norm=True))


@pytest.mark.parametrize(
    ("name", "own"), [("unet", {"poolings": 3, "batch_norm": True}), ("unet_half", {"dropout": 0})]
)
def test_saved_network_comes_back(name, own, tmp_path):
    check_save_and_load(small(name, **own), tmp_path)


def test_weights_start_as_he_says():
    model = models.create("unet", width=0.25)
    weight = model.conv4_2.weight
    assert float(weight.detach().std()) == pytest.approx((2 / (9 * 128)) ** 0.5, rel=0.02)
    assert not model.conv4_2.bias.any()


def test_bad_options():
    with pytest.raises(ValueError, match=r"poolings is 1 or 2 or .*, got 7"):
        small("unet", poolings=7)
    with pytest.raises(ValueError, match=r"width must be in \(0, 4\]"):
        small("unet_half", width=0)
    with pytest.raises(TypeError, match=r"has no option 'pooling'.*Did you mean 'poolings'"):
        small("unet", pooling=5)
    with pytest.raises(ValueError, match="at least 2 x 2 pixels"):
        small("unet_half")(torch.rand(1, 1, 0, 2))
