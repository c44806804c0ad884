"""Sen2HSE-Net: all five published counts, 20 m cells, geometry, learning, tiles, saving."""

import pytest
import torch
from network_checks import (
    check_gradients,
    check_half_resolution,
    check_odd_sizes_are_refused,
    check_placement,
    check_receptive_field,
    check_save_and_load,
    check_tiles,
    check_tools,
    small,
    unbuilt,
)

from toolkit import models
from toolkit.models.blocks import count_convolutions

PUBLISHED = {
    (2, 16): (1_124_866, 9),
    (3, 16): (1_874_098, 13),
    (4, 16): (2_623_330, 17),
    (5, 16): (3_372_562, 21),
    (2, 32): (4_493_826, 9),
}


@pytest.mark.parametrize(("depth", "filters"), PUBLISHED)
def test_published_counts(depth, filters):
    model = unbuilt("sen2hse", in_channels=10, depth=depth, filters=filters)
    assert (models.count_parameters(model), count_convolutions(model)) == PUBLISHED[depth, filters]


def test_half_resolution():
    check_half_resolution(small("sen2hse", width=0.25, in_channels=3))
    check_odd_sizes_are_refused(small("sen2hse"))


def test_output_cell_covers_its_four_pixels():
    """Without 3x3 reach, a bright pixel lights the one cell that covers it."""
    model = small("sen2hse", width=0.25, dropout=0)
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            middle = module.kernel_size[0] // 2
            torch.nn.init.zeros_(module.weight)
            torch.nn.init.ones_(module.weight[:, :, middle, middle])
    for row, column in ((0, 0), (1, 1), (2, 3), (31, 30)):
        image = torch.zeros(1, 1, 32, 32)
        image[..., row, column] = 1
        with torch.no_grad():
            found = (model(image)[0, 0] > 0).nonzero().tolist()
        assert found == [[row // 2, column // 2]]


@pytest.mark.parametrize("depth", [2, 5])
def test_receptive_field_by_probing(depth):
    check_receptive_field(small("sen2hse", depth=depth, width=0.125))


def test_receptive_field_grows_by_twelve_pixels_a_convolution():
    fields = [unbuilt("sen2hse", depth=k).receptive_field for k in (2, 3, 4, 5)]
    assert fields == [27, 39, 51, 63]


@pytest.mark.parametrize("depth", [2, 5])
def test_tiles_equal_one_pass(depth):
    check_tiles(small("sen2hse", in_channels=3, depth=depth, width=0.25))


def test_tools():
    check_tools(small("sen2hse", width=0.125), ["conv1_1", "pool_max", "pool_mean", "conv4_2"])


def test_placement():
    model = small("sen2hse", width=0.125)
    assert model.placement("conv2_2") == (1, 0)
    assert model.placement("pool_max") == model.placement("score") == (2, 0)
    check_placement(model, ["conv1_1", "pool_max", "pool_mean"])


@pytest.mark.parametrize("classes", [1, 2])
def test_every_parameter_learns(classes):
    check_gradients(small("sen2hse", width=0.25, classes=classes))


def test_saved_network_comes_back(tmp_path):
    check_save_and_load(small("sen2hse", depth=3, filters=32), tmp_path)


def test_weights_start_as_in_keras():
    model = models.create("sen2hse", in_channels=10)
    weight = model.conv4_1.weight.detach()
    std = (2 / (9 * 128)) ** 0.5
    assert float(weight.std()) == pytest.approx(std, rel=0.01)
    assert float(weight.abs().max()) <= 2 * std / 0.8796
    assert float(model.score.weight.detach().abs().max()) <= (6 / (256 + 2)) ** 0.5
    assert not any(m.bias.any() for m in model.modules() if isinstance(m, torch.nn.Conv2d))


def test_bad_options():
    with pytest.raises(ValueError, match="depth is 2 or 3 or 4 or 5, got 6"):
        small("sen2hse", depth=6)
    with pytest.raises(ValueError, match="filters is 16 or 32, got 24"):
        small("sen2hse", filters=24)
