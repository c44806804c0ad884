"""FCN with dual attention: published count, 20 m cells, what attention does, learning, saving."""

import pytest
import torch
from network_checks import (
    check_gradients,
    check_half_resolution,
    check_odd_sizes_are_refused,
    check_save_and_load,
    check_tools,
    small,
    unbuilt,
    wake,
)

from toolkit import models
from toolkit.models.attention import ChannelAttention, PositionAttention
from toolkit.models.blocks import count_convolutions

NAME = "fcn_dual_attention"


def test_published_count():
    model = unbuilt(NAME, in_channels=10)
    assert models.count_parameters(model) == 14_405_056
    assert count_convolutions(model) == 27
    assert models.count_parameters(model.position) == 5_120


def test_half_resolution():
    check_half_resolution(small(NAME))
    check_odd_sizes_are_refused(small(NAME))


def test_too_small_to_mirror():
    with pytest.raises(ValueError, match="at least 10 x 10 pixels, got 8 x 32"):
        small(NAME)(torch.rand(1, 1, 8, 32))


def test_unbounded():
    model = small(NAME)
    assert model.receptive_field is None and "all places" in model.unbounded
    assert model.convolutional_field == 217


def test_a_far_pixel_matters():
    model = wake(small(NAME, width=1 / 8))
    image = torch.rand(1, 1, 32, 512)
    other = image.clone()
    other[..., -8:] += 3
    with torch.no_grad():
        assert (model(image) - model(other))[..., 0].abs().max() > 1e-7


def test_position_attention_is_the_weighed_sum_of_all_places():
    torch.manual_seed(0)
    attention, x = PositionAttention(16), torch.randn(2, 16, 3, 5)
    with torch.no_grad():
        query, key, value = (
            layer(x).flatten(2) for layer in (attention.query, attention.key, attention.value)
        )
        weights = torch.softmax(query.transpose(1, 2) @ key, dim=-1)
        wanted = x + (value @ weights.transpose(1, 2)).view_as(x)
        torch.testing.assert_close(attention(x), wanted)


def test_channel_attention_of_equal_channels_is_their_mean():
    x = torch.randn(1, 1, 4, 4).expand(1, 3, 4, 4)
    torch.testing.assert_close(ChannelAttention()(x), 2 * x)


def test_tools():
    check_tools(small(NAME), ["block1.conv1", "pool3", "bn6", "position.value", "bn_channel"])


def test_placement():
    model = small(NAME)
    assert [model.placement(f"pool{i}") for i in range(1, 5)] == [(2**i, 0) for i in range(1, 5)]
    assert model.placement("score") == (2, 0)


@pytest.mark.parametrize("classes", [1, 2])
def test_every_parameter_learns(classes):
    check_gradients(small(NAME, width=1 / 8, classes=classes))


def test_saved_network_comes_back(tmp_path):
    check_save_and_load(small(NAME), tmp_path)
