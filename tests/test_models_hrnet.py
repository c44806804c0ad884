"""HRNet-W24: the published count and the text's, geometry, pruned shapes, learning, tiles."""

import functools

import pytest
import torch
from network_checks import (
    check_gradients,
    check_receptive_field,
    check_save_and_load,
    check_sizes,
    check_tiles,
    check_tools,
    small,
    unbuilt,
    wake,
)

from toolkit import models
from toolkit.models.blocks import Upsample


@functools.cache
def published():
    """The network of the paper's table: shapes only, counted by several tests."""
    return unbuilt("hrnet_w24", in_channels=4, classes=10)


def parts(model, *names):
    return sum(models.count_parameters(model.get_submodule(name)) for name in names)


def thinned(model, rate=0.4):
    """What pruning keeps: each convolution loses int(rate * n) filters."""
    counts = {name: model.get_submodule(name).out_channels for name in model.prunable()}
    return {name: n - int(rate * n) for name, n in counts.items()}


def test_published_count_and_that_of_the_text():
    text = unbuilt("hrnet_w24", in_channels=4, classes=7, stem="one")
    assert models.count_parameters(published()) == 16_812_946
    assert models.count_parameters(text) == 16_774_871


def test_counts_of_the_parts():
    model = published()
    named = dict(model.named_modules())
    assert parts(model, *[n for n in named if n.split(".")[-1].startswith("branch")]) == 14_295_552
    assert parts(model, *[n for n in named if n.split(".")[-1].startswith("fuse")]) == 1_683_504
    assert parts(model, *[n for n, _ in model.named_children() if "transition" in n]) == 373_968
    assert parts(model, "stage1") == 286_208
    assert parts(model, "head", "score") == 134_290
    assert parts(model, "conv1", "norm1", "conv2", "bn2") == 39_424


def test_branches_work_at_half_to_a_sixteenth():
    model = small("hrnet_w24")
    assert [model.placement(f"stage4.2.fuse{i}.relu")[0] for i in (1, 2, 3, 4)] == [2, 4, 8, 16]
    assert model.placement("upscore") == (1, 0)
    # Strided 3x3 convolutions centre cell 0 on pixel 0.
    assert model.placement("conv1") == (2, -0.5)


@pytest.mark.parametrize("stem", ["one", "two"])
def test_every_size_comes_back(stem):
    check_sizes(small("hrnet_w24", stem=stem, norm="batch"))
    check_sizes(small("hrnet_w24", stem=stem), [(3, 3), (3, 40), (17, 33), (31, 32), (48, 47)])


def test_too_small_for_a_mean():
    with pytest.raises(ValueError, match="needs at least 3 x 3 pixels"):
        small("hrnet_w24")(torch.rand(1, 1, 2, 9))


@pytest.mark.parametrize("stem", ["one", "two"])
def test_receptive_field_by_probing(stem):
    check_receptive_field(small("hrnet_w24", width=1 / 64, norm="batch", stem=stem))


def test_instance_normalisation_is_unbounded():
    model = small("hrnet_w24")
    assert model.receptive_field is None and "whole image" in model.unbounded
    assert model.convolutional_field == small("hrnet_w24", norm="batch").receptive_field
    # The published 1439 excludes two strided convolutions, which would reach twice as far.
    assert 1_391 <= model.convolutional_field <= 1_439


def test_instance_normalisation_ignores_gain_and_offset():
    model = wake(small("hrnet_w24", in_channels=1))
    image = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        plain = model.norm1(model.conv1(image))[..., 1:-1, 1:-1]
        dim = model.norm1(model.conv1(0.5 * image))[..., 1:-1, 1:-1]
    torch.testing.assert_close(plain, dim, rtol=1e-2, atol=1e-2)


def test_upsampling_agrees_with_align_corners_for_the_papers_size():
    maps = torch.randn(1, 3, 33, 17)
    wanted = torch.nn.functional.interpolate(
        maps, size=(257, 129), mode="bilinear", align_corners=True
    )
    torch.testing.assert_close(Upsample(8)(maps)[..., :257, :129], wanted)
    # Beyond the last cell its value is repeated.
    assert torch.equal(Upsample(8)(maps)[..., -1, ::8], maps[..., -1, :])


def test_tiles_equal_one_pass():
    model = small("hrnet_w24", width=1 / 64, norm="batch")
    check_tiles(model, tile=256, height=45, width=1801)


def test_tools():
    check_tools(
        small("hrnet_w24"),
        ["norm1", "stage1.3.relu", "stage4.0.branch2.0.conv1", "stage4.2.fuse1.relu", "score"],
    )


@pytest.mark.parametrize("own", [{"classes": 1}, {"stem": "one", "norm": "batch"}])
def test_every_parameter_learns(own):
    check_gradients(small("hrnet_w24", width=1 / 16, **own))


def test_saved_network_comes_back(tmp_path):
    check_save_and_load(small("hrnet_w24", stem="one"), tmp_path)


def test_pruned_count_and_cost():
    whole = published()
    keep = thinned(whole)
    assert {whole.get_submodule(n).out_channels: k for n, k in keep.items()} == {
        24: 15, 48: 29, 96: 58, 192: 116, 64: 39, 256: 154
    }  # fmt: skip
    pruned = unbuilt("hrnet_w24", in_channels=4, classes=10, keep=keep)
    # Published: 9,720,660.
    assert models.count_parameters(pruned) == 9_720_914
    cost = models.macs(whole, (512, 512))
    assert cost / 1e9 == pytest.approx(112, abs=0.5)
    share = models.macs(pruned, (512, 512)) / cost
    assert share == pytest.approx(0.6032, abs=5e-4)


def test_prunable_leaves_what_enters_a_fusion():
    model = small("hrnet_w24")
    names = model.prunable()
    assert "stage3.0.branch2.2.conv2" in names and "stage3.0.branch2.3.conv1" in names
    assert "stage3.0.branch2.3.conv2" not in names
    assert set(model.prunable(fused=True)) - set(names) == {
        f"stage{s}.{m}.branch{b}.3.conv2"
        for s, count in ((2, 1), (3, 4), (4, 3))
        for m in range(count)
        for b in range(1, s + 1)
    }


def test_pruned_block_adds_to_the_old_channels(tmp_path):
    keep = {"stage1.0.conv3": 4, "stage1.0.project": 5, "stage2.0.branch1.0.conv2": 2}
    model = wake(small("hrnet_w24", width=1 / 8, keep=keep))
    block = model.get_submodule("stage2.0.branch1.0")
    block.kept.copy_(torch.tensor([0, 1]))
    x = torch.rand(1, block.width, 8, 8)
    with torch.no_grad():
        inner = block.bn2(block.conv2(block.bn1(block.conv1(x))))
        torch.testing.assert_close(block(x)[:, :2], torch.relu(x[:, :2] + inner))
        torch.testing.assert_close(block(x)[:, 2:], x[:, 2:])
    check_sizes(model, [(33, 40)])
    check_gradients(model)
    model.get_submodule("stage1.0").kept.copy_(torch.tensor([1, 3, 5, 8]))
    check_save_and_load(model, tmp_path)


def test_weights_start_as_he_says():
    model = models.create("hrnet_w24", width=0.25)
    weight = model.get_submodule("stage4.0.branch4.0.conv1").weight.detach()
    assert float(weight.std()) == pytest.approx((2 / (9 * 48)) ** 0.5, rel=0.02)


def test_bad_options():
    with pytest.raises(ValueError, match="stem is 'two' or 'one', got 'three'"):
        small("hrnet_w24", stem="three")
    with pytest.raises(ValueError, match="norm is 'instance' or 'batch'"):
        small("hrnet_w24", norm="layer")
    with pytest.raises(ValueError, match=r"no convolution of a residual block; such are stage1\.0"):
        small("hrnet_w24", keep={"head.conv": 3})
    with pytest.raises(ValueError, match="must be a positive whole number"):
        small("hrnet_w24", keep={"stage1.0.conv1": 0})
    with pytest.raises(ValueError, match="conv1 has 2 filters, it cannot keep 3"):
        small("hrnet_w24", keep={"stage1.0.conv1": 3})
    with pytest.raises(ValueError, match="no convolution of a residual block"):
        small("hrnet_w24", keep={"stage1.0.bn1": 1})
