"""Networks: exact counts, geometry, alignment, saving, and errors that help."""

import json
import subprocess
import sys

import pandas as pd
import pytest
import torch
from torch import nn

from toolkit import models
from toolkit.models.fcn import Bilinear
from toolkit.models.network import Cells

NAMES = (
    "fcn32s", "fcn16s", "fcn8s", "fcn8s_front_lr", "fcn8s_crop", "fcn8s_bn", "fcn8s_pool2", "ifcn",
)  # fmt: skip

# Trainable parameters of (fcn32s, fcn8s, ifcn) with 1 and with 3 bands.
COUNTS = {
    (4096, 7): ((134_267_586, 134_269_126, 134_269_768), (134_268_738, 134_270_278, 134_270_920)),
    (1024, 7): ((41_456_322, 41_457_862, 41_458_504), (41_457_474, 41_459_014, 41_459_656)),
    (1024, 3): ((20_484_802, 20_486_342, 20_486_984), (20_485_954, 20_487_494, 20_488_136)),
    (512, 3): ((17_337_026, 17_338_566, 17_339_208), (17_338_178, 17_339_718, 17_340_360)),
}


def small(name="ifcn", **own):
    """A network narrow enough to run in no time."""
    return models.create(name, **{"width": 1 / 32, "fc_kernel": 3, "fc_width": 512} | own).eval()


def unbuilt(name, **own):
    """A network of any size, with shapes but without memory."""
    with torch.device("meta"):
        return models.create(name, seed=None, **own)


def test_names():
    assert [name for name in models.names() if name in NAMES] == list(NAMES)


@pytest.mark.parametrize("fc", COUNTS)
@pytest.mark.parametrize("bands", [1, 3])
def test_parameter_counts(fc, bands):
    own = {"in_channels": bands, "fc_width": fc[0], "fc_kernel": fc[1]}
    counted = {name: models.count_parameters(unbuilt(name, **own)) for name in NAMES}
    fcn32s, fcn8s, ifcn = COUNTS[fc][bands > 1]
    assert (counted["fcn32s"], counted["fcn8s"], counted["ifcn"]) == (fcn32s, fcn8s, ifcn)
    assert counted["fcn16s"] == fcn32s + 1_026
    assert counted["fcn8s_front_lr"] == counted["fcn8s_crop"] == fcn8s
    assert counted["fcn8s_bn"] == fcn8s + 384
    assert counted["fcn8s_pool2"] == fcn8s + 258


@pytest.mark.parametrize(
    ("name", "fixed"), [("fcn32s", 16_384), ("fcn16s", 4_160), ("fcn8s", 1_152), ("ifcn", 448)]
)
def test_bilinear_weights_are_fixed(name, fixed):
    frozen = [p for p in unbuilt(name).parameters() if not p.requires_grad]
    assert sum(p.numel() for p in frozen) == fixed
    model = small(name)
    assert not any("upscore" in parameter for parameter in model.lr_multipliers())


def test_width_scales_every_channel():
    model = models.create("ifcn", width=0.125)
    widths = [model.get_submodule(f"conv{block}_1").out_channels for block in range(1, 6)]
    assert widths == [8, 16, 32, 64, 64]
    assert (model.fc6.out_channels, model.fc7.out_channels, model.bn2.num_features) == (
        512,
        512,
        16,
    )


@pytest.mark.parametrize(
    ("name", "offsets"),
    [
        ("fcn32s", [19]),
        ("fcn16s", [5, 27]),
        ("fcn8s", [5, 9, 31]),
        ("fcn8s_pool2", [5, 9, 17, 33]),
        ("ifcn", [5, 9, 17, 33]),
    ],
)
def test_crop_offsets_follow_from_pads_and_strides(name, offsets):
    assert list(small(name, fc_kernel=7, alignment="caffe").offsets.values()) == offsets
    assert set(small(name, alignment="same").offsets.values()) == {0}


def test_default_alignment():
    expected = dict.fromkeys(NAMES, "caffe") | {"fcn8s_crop": "same", "ifcn": "same"}
    assert {name: small(name).alignment for name in NAMES} == expected


@pytest.mark.parametrize("alignment", ["caffe", "same"])
@pytest.mark.parametrize("kernel", [3, 7])
@pytest.mark.parametrize("name", ["fcn32s", "fcn16s", "fcn8s", "ifcn"])
def test_every_size_comes_back(name, alignment, kernel):
    model = small(name, fc_kernel=kernel, alignment=alignment)
    for height, width in ((1, 1), (1, 70), (17, 33), (31, 32), (64, 47), (49, 96)):
        with torch.no_grad():
            assert model(torch.rand(2, 1, height, width)).shape == (2, 2, height, width)


def test_crops_fit_at_every_phase():
    model = unbuilt("fcn8s_pool2", width=1 / 64)
    for height in (*range(1, 66, 4), 224):
        assert model.logits(torch.empty(1, 1, height, 1, device="meta")).shape[-2] == height


@pytest.mark.parametrize("factor", [2, 4, 8, 32])
def test_same_upsampling_is_bilinear_interpolation(factor):
    maps = torch.randn(1, 3, 5, 4)
    wanted = nn.functional.interpolate(maps, scale_factor=factor, mode="bilinear")
    torch.testing.assert_close(Bilinear(3, factor, edge=1)(maps), wanted)


def test_same_alignment_commutes_with_mirroring():
    torch.manual_seed(1)
    model = small()
    for p in model.parameters():  # skips must take part
        p.data = torch.where(p == 0, torch.rand_like(p) * 0.1, p) if p.requires_grad else p
    image = torch.rand(1, 1, 96, 64)
    with torch.no_grad():
        plain = model(image)
        for module in model.modules():
            if type(module).__name__ == "ConvReLU":
                module.weight.data = module.weight.flip(-1, -2)
        mirrored = model(image.flip(-1, -2)).flip(-1, -2)
    assert plain.std() > 1e-3
    torch.testing.assert_close(mirrored, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("alignment", ["same", "caffe"])
def test_shift_by_the_total_stride_shifts_the_result(alignment):
    torch.manual_seed(2)
    model = small(alignment=alignment)
    reach = model.receptive_field // 2
    long = torch.rand(1, 1, 32, 2 * reach + 200)
    with torch.no_grad():
        first, second = model(long)[..., 32:], model(long[..., 32:])
    inner = slice(reach, reach + 96)
    torch.testing.assert_close(first[..., inner], second[..., inner], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kernel", [3, 7])
@pytest.mark.parametrize("alignment", ["caffe", "same"])
@pytest.mark.parametrize("name", ["fcn32s", "fcn16s", "fcn8s", "ifcn"])
def test_receptive_field_by_probing_gradients(name, alignment, kernel):
    model = small(name, width=1 / 64, fc_width=64, fc_kernel=kernel, alignment=alignment).double()
    for module_name, module in list(model.named_children()):
        if isinstance(module, nn.MaxPool2d):  # every pixel must count, not only the largest
            setattr(model, module_name, nn.AvgPool2d(2, 2, ceil_mode=True))
        elif isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
    size = 32 * (model.receptive_field // 32 + 3)
    middle = size // 2 // 32 * 32
    image = torch.ones(1, 1, 1, size, dtype=torch.double, requires_grad=True)
    row, reach = model(image)[0, 0, 0], 0
    for position in range(middle, middle + 32):
        (gradient,) = torch.autograd.grad(row[position], image, retain_graph=True)
        touched = gradient.flatten().nonzero().flatten()
        reach = max(reach, position - int(touched[0]), int(touched[-1]) - position)
    assert model.receptive_field == 2 * reach + 1


def test_receptive_field_does_not_depend_on_width():
    assert small("ifcn", fc_kernel=7).receptive_field == 495
    assert unbuilt("ifcn").receptive_field == 495


def test_placement():
    model = small("ifcn")
    assert model.placement("conv1_1") == (1, 0)
    assert [model.placement(f"pool{i}") for i in range(1, 6)] == [(2**i, 0) for i in range(1, 6)]
    assert model.placement("score") == (32, 0)
    assert model.placement("upscore_pool4") == (8, 0)
    assert model.placement("upscore") == (1, 0)
    caffe = small("fcn8s", fc_kernel=7)
    assert caffe.placement("conv1_1") == (1, -99)
    assert caffe.placement("upscore") == (1, -31)
    with pytest.raises(KeyError, match=r"no layer 'pool6'.*pool5"):
        model.placement("pool6")


def test_placement_finds_a_bright_pixel():
    # Positive weights without mixing: the brightest cell of pool2 must lie over the bright pixel.
    model = small("fcn8s", width=1 / 64)
    for module in model.modules():
        if type(module).__name__ == "ConvReLU":
            nn.init.zeros_(module.weight)
            nn.init.ones_(
                module.weight[:, :, module.kernel_size[0] // 2, module.kernel_size[1] // 2]
            )
    found = {}
    model.pool2.register_forward_hook(lambda module, given, made: found.update(map=made))
    image = torch.zeros(1, 1, 64, 64)
    image[0, 0, 41, 22] = 1
    with torch.no_grad():
        model(image)
    stride, offset = model.placement("pool2")
    row, column = (found["map"][0, 0] == found["map"].max()).nonzero()[0].tolist()
    assert offset + stride * row <= 41 < offset + stride * (row + 1)
    assert offset + stride * column <= 22 < offset + stride * (column + 1)


def test_cells_that_do_not_fit():
    image = Cells.of_input(4)
    with pytest.raises(ValueError, match="do not share a grid"):
        image.join(image.conv(2, 2))
    with pytest.raises(ValueError, match="crop one of them first"):
        image.join(image.conv(3))


def test_standardises_by_itself_and_fills_missing_values():
    model = small(in_channels=2)
    model.mean.copy_(torch.tensor([5.0, -3.0]))
    model.std.copy_(torch.tensor([2.0, 10.0]))
    image = torch.randn(1, 2, 32, 32)
    plain = small(in_channels=2)
    plain.load_state_dict(model.state_dict() | {"mean": torch.zeros(2), "std": torch.ones(2)})
    physical = image * model.std[:, None, None] + model.mean[:, None, None]
    with torch.no_grad():
        torch.testing.assert_close(model(physical), plain(image), rtol=1e-4, atol=1e-6)
        physical[0, 1, 4:9] = torch.nan
        image[0, 1, 4:9] = 0
        torch.testing.assert_close(model(physical), plain(image), rtol=1e-4, atol=1e-6)
    assert "mean" not in dict(model.named_parameters())


def test_multipliers_are_caffes():
    pairs = small("fcn8s").lr_multipliers()
    assert pairs["conv1_1.weight"] == pairs["score_pool3.weight"] == (1, 1)
    assert pairs["conv1_1.bias"] == (2, 0)
    for name in ("ifcn", "fcn8s_front_lr"):
        pairs = small(name).lr_multipliers()
        assert pairs["conv2_2.weight"] == (0.1, 1) and pairs["conv2_2.bias"] == (0.2, 0)
        assert pairs["conv3_1.weight"] == (1, 1) and pairs["conv3_1.bias"] == (2, 0)
    pairs = small("ifcn", front_lr=(0.5, 0.0)).lr_multipliers()
    assert pairs["conv1_2.weight"] == (0.5, 1) and pairs["conv1_2.bias"] == (0, 0)
    assert small("ifcn", front_lr=None).lr_multipliers()["conv1_2.weight"] == (1, 1)


def test_skips_start_at_zero_and_the_rest_as_xavier():
    model = models.create("ifcn", width=0.25)
    assert not any(model.get_submodule(f"score_pool{i}").weight.any() for i in (2, 3, 4))
    weight = model.conv3_2.weight
    bound = (6 / (9 * 64 + 9 * 64)) ** 0.5
    assert bound * 0.99 < weight.abs().max() <= bound
    assert not model.conv3_2.bias.any()


def test_seed_fixes_the_weights_and_leaves_the_random_state():
    state = torch.random.get_rng_state()
    first, again, other = small(seed=3), small(seed=3), small(seed=4)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(first.conv1_1.weight, again.conv1_1.weight)
    assert not torch.equal(first.conv1_1.weight, other.conv1_1.weight)


def test_macs_and_summary():
    model = small("fcn32s", width=1 / 64, fc_width=128, fc_kernel=1, alignment="same")
    table = models.summary(model, (64, 64)).set_index("layer")
    assert isinstance(table, pd.DataFrame)
    assert table.macs["conv1_1"] == 64 * 64 * 9
    assert table.macs["upscore"] == 2 * (2 * 2) * 2 * (64 * 64)  # channels, cells, channels, kernel
    assert table.macs.sum() == models.macs(model, (64, 64))
    assert table.parameters.sum() == models.count_parameters(model)
    assert table.fixed.sum() == 16_384
    assert table.stride["pool3"] == 8 and table.height["pool3"] == 8
    # FCN8s at full width, 422 pixels wide inside: counted without computing or holding it.
    assert models.macs(unbuilt("fcn8s"), (224, 224)) > 50e9


def test_counting_leaves_the_model_as_it_was():
    model = small().train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    models.macs(model, (32, 32))
    assert model.training
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_saved_model_comes_back(tmp_path):
    model = small("fcn8s_front_lr", in_channels=3, front_lr=(0.3, 0.6))
    model.mean.copy_(torch.tensor([1.0, 2.0, 3.0]))
    model.bands = ["red", "green", "blue"]
    file = models.save(model, tmp_path / "deep" / "v1.0", note="a test")
    assert file.name == "v1.0.safetensors"
    assert sorted(f.name for f in file.parent.iterdir()) == ["v1.0.json", "v1.0.safetensors"]
    for path in (tmp_path / "deep" / "v1.0", file, file.with_name("v1.0.json")):
        back = models.load(path)
        assert back.metadata == {"note": "a test"} and back.bands == ["red", "green", "blue"]
        assert back.front_lr == (0.3, 0.6) and not back.training
        image = torch.rand(1, 3, 40, 40)
        with torch.no_grad():
            assert torch.equal(back(image), model(image))


def test_damaged_files_are_refused(tmp_path):
    file = models.save(small(), tmp_path / "model")
    content = file.read_bytes()
    file.write_bytes(content[:-100])
    with pytest.raises(ValueError, match="truncated, damaged"):
        models.load(file)
    other = models.save(small(width=1 / 64), tmp_path / "other")
    file.write_bytes(other.read_bytes())
    with pytest.raises(ValueError, match=r"not the weights that model.json describes"):
        models.load(file)
    file.write_bytes(content)
    card = tmp_path / "model.json"
    text = card.read_text()
    options = json.loads(text)
    options["options"]["classes"] = 5
    card.write_text(json.dumps(options))
    with pytest.raises(ValueError, match=r"does not fit: size mismatch for score\.weight"):
        models.load(file)
    card.write_text(text[:50])
    with pytest.raises(ValueError, match="not the description"):
        models.load(file)
    card.unlink()
    with pytest.raises(FileNotFoundError, match=r"two files, model.safetensors and model.json"):
        models.load(file)


def test_bad_input_is_explained():
    with pytest.raises(KeyError, match=r"no network 'icfn'.*Did you mean 'ifcn'"):
        models.create("icfn")
    with pytest.raises(TypeError, match=r"no option 'fc_with'.*Did you mean 'fc_width'"):
        models.create("ifcn", fc_with=512)
    with pytest.raises(ValueError, match="'caffe' or 'same'"):
        small(alignment="half")
    with pytest.raises(ValueError, match="width must be"):
        small(width=0)
    with pytest.raises(ValueError, match=r"classes must be a positive whole number, got 2.5"):
        small(classes=2.5)
    with pytest.raises(ValueError, match="fc_kernel must be"):
        small(fc_kernel=4)
    model = small(in_channels=2)
    model.bands = ["lights", "population"]
    with pytest.raises(ValueError, match=r"2 bands \(lights, population\), got \(1, 3, 32, 32\)"):
        model(torch.rand(1, 3, 32, 32))
    with pytest.raises(ValueError, match="shape"):
        model(torch.rand(2, 32, 32))


def vgg16():
    """A state dict with VGG16's names and a few of its shapes (the wide ones cut short)."""
    torch.manual_seed(0)
    weights, before = {}, 3
    for i, n in zip(
        (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
        (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512),
        strict=True,
    ):
        weights[f"features.{i}.weight"] = torch.randn(n, before, 3, 3)
        weights[f"features.{i}.bias"] = torch.randn(n)
        before = n
    for i, shape in ((0, (64, 512)), (3, (64, 64)), (6, (10, 64))):
        weights[f"classifier.{i}.weight"] = torch.randn(*shape)
        weights[f"classifier.{i}.bias"] = torch.randn(shape[0])
    return weights


def test_pretrained_weights_reach_their_layers(monkeypatch):
    weights = vgg16()
    monkeypatch.setattr("toolkit.models.fcn._vgg16_weights", lambda: weights)
    own = {"width": 1, "fc_width": 64, "fc_kernel": 1, "pretrained": "imagenet"}
    three, one = models.create("ifcn", 3, **own), models.create("ifcn", 1, **own)
    assert torch.equal(three.conv1_1.weight, weights["features.0.weight"])
    assert torch.equal(one.conv5_3.bias, weights["features.28.bias"])
    assert torch.equal(one.fc6.weight[:, :, 0, 0], weights["classifier.0.weight"])
    grey = torch.rand(1, 1, 8, 8)
    torch.testing.assert_close(one.conv1_1(grey), three.conv1_1(grey.expand(1, 3, 8, 8)))
    assert "pretrained" not in one.options
    with pytest.raises(ValueError, match="width=1 and 1 or 3 bands"):
        models.create("ifcn", 2, **own)
    with pytest.raises(ValueError, match="None or 'imagenet'"):
        models.create("ifcn", pretrained="coco")


def test_pretrained_without_internet(monkeypatch, tmp_path):
    def offline(*args, **kwargs):
        raise OSError("name resolution failed")

    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    with pytest.raises(ConnectionError, match=r"put it into .*checkpoints, or create"):
        models.create("ifcn", fc_width=512, fc_kernel=3, pretrained="imagenet")


def test_models_do_not_import_fastai():
    code = "import sys, toolkit.models; print('fastai' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
