"""FC-DenseNet: counts of the published depths, geometry, every size, learning, tiles, saving."""

import pytest
from network_checks import (
    check_gradients,
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
from toolkit.models.densenet import FCDenseNet


@pytest.mark.parametrize(("growth", "expected"), [(12, 2_031_583), (16, 3_430_567)])
def test_counts(growth, expected):
    model = unbuilt("fc_densenet64", in_channels=4, classes=7, growth=growth)
    assert models.count_parameters(model) == expected
    assert count_convolutions(model) == 64


@pytest.mark.parametrize(
    ("layers", "blocks", "bottleneck", "growth", "published"),
    [
        (56, (4,) * 5, 4, 12, 1.38e6),
        (67, (5,) * 5, 5, 16, 3.46e6),
        (103, (4, 5, 7, 10, 12), 15, 16, 9.32e6),
    ],
)
def test_counts_of_the_tiramisu_paper(layers, blocks, bottleneck, growth, published):
    model = FCDenseNet(
        "fc_densenet", 3, 11, 1 / 1, growth=growth, blocks=blocks, bottleneck=bottleneck
    )
    assert count_convolutions(model) == layers
    assert models.count_parameters(model) == pytest.approx(published, rel=0.004)


def test_every_size_comes_back():
    check_sizes(small("fc_densenet64", width=1 / 8))


def test_receptive_field_by_probing():
    check_receptive_field(small("fc_densenet64", width=1 / 16))


def test_tiles_equal_one_pass():
    check_tiles(small("fc_densenet64", width=1 / 8), tile=128, height=45, width=901)


def test_tools():
    check_tools(
        small("fc_densenet64", width=1 / 8), ["conv1", "dense2.conv0", "pool3", "bottleneck.conv5"]
    )


def test_placement():
    model = small("fc_densenet64")
    assert [model.placement(f"pool{i}") for i in range(1, 5)] == [(2**i, 0) for i in range(1, 5)]
    assert model.placement("score") == (1, 0)


@pytest.mark.parametrize("classes", [1, 3])
def test_every_parameter_learns(classes):
    check_gradients(small("fc_densenet64", width=1 / 8, classes=classes))


def test_saved_network_comes_back(tmp_path):
    check_save_and_load(small("fc_densenet64", growth=12), tmp_path)


def test_bad_options():
    with pytest.raises(ValueError, match="growth is a positive whole number, got 0"):
        small("fc_densenet64", growth=0)
    with pytest.raises(TypeError, match="has no option 'blocks'"):
        small("fc_densenet64", blocks=(4, 4))
