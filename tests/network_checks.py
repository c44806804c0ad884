"""Checks that every network has to pass, called by the test files of the families."""

import pickle

import matplotlib.pyplot as plt
import numpy as np
import pytest
import rioxarray  # noqa: F401
import torch
import xarray as xr
from torch import nn

from toolkit import heatmaps, mapping, models


def small(name, **own):
    """A network narrow enough to run in no time, ready to predict."""
    return models.create(name, **{"width": 1 / 32} | own).eval()


def unbuilt(name, **own):
    """A network of any size, with shapes but without memory."""
    with torch.device("meta"):
        return models.create(name, seed=None, **own)


def scene(bands, height, width):
    """An image of noise in Web-Mercator-like metres, 10 m pixels."""
    generator = np.random.default_rng(0)
    return xr.DataArray(
        generator.normal(size=(bands, height, width)).astype("float32"),
        dims=("band", "y", "x"),
        coords={
            "band": [f"band {i}" for i in range(bands)],
            "y": 5000.0 - 10 * np.arange(height) - 5,
            "x": 1000.0 + 10 * np.arange(width) + 5,
        },
    ).rio.write_crs("EPSG:32633")


def wake(model):
    """Draw all trained weights and running statistics anew, so that none is zero."""
    torch.manual_seed(0)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._NormBase):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.uniform_(module.bias, -0.2, 0.4)
                if module.running_mean is not None:
                    nn.init.uniform_(module.running_mean, -0.2, 0.2)
                    nn.init.uniform_(module.running_var, 0.5, 1.5)
        for parameter in model.parameters():
            if parameter.requires_grad and not parameter.any():
                nn.init.normal_(parameter, std=0.1)
    return model


def calibrate(model, image):
    """Set running statistics from an image, so that values stay near 1 however deep it is."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.reset_running_stats()
            module.momentum = None
    with torch.no_grad():
        model.train()(image)
    model.eval()


def check_sizes(model, sizes=((1, 1), (1, 20), (17, 33), (31, 32), (48, 47))):
    """Every size comes back, times the output scale."""
    model.eval()
    for height, width in sizes:
        with torch.no_grad():
            made = model(torch.rand(2, model.in_channels, height, width)).shape
        scale = model.output_scale
        assert made == (2, model.classes, int(height * scale), int(width * scale))


def check_half_resolution(model):
    """Even sizes come back halved, and an output cell lies over its two input pixels."""
    assert model.output_scale == 0.5
    least = model.minimum + model.minimum % 2
    check_sizes(model, [(least, least), (least, 70), (34, 50), (64, 46)])
    image = scene(model.in_channels, 64, 96)
    result = mapping.predict(model, image, tile=96)
    assert result.rio.resolution() == (20, -20)
    assert result.rio.bounds() == image.rio.bounds()
    odd = scene(model.in_channels, 65, 97)  # mapping leaves incomplete cells out
    assert mapping.predict(model, odd, tile=128).compute().shape == (model.classes, 32, 48)


def check_odd_sizes_are_refused(model):
    """An odd size is explained, with the crop that repairs it."""
    with pytest.raises(ValueError, match=r"must be even, got 65 x 64.*slice\(0, 64\)"):
        model(torch.rand(1, model.in_channels, 65, 64))


def check_receptive_field(model):
    """Nothing an output pixel depends on lies outside its field, and something lies on its rim."""
    model = wake(model).double().eval()
    for module in model.modules():
        if getattr(module, "bias", None) is not None:
            nn.init.constant_(module.bias, 0.1)
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.reset_running_stats()
        if isinstance(module, nn.MaxPool2d):  # every pixel must count, not only the largest
            module.forward = nn.AvgPool2d(
                module.kernel_size, module.stride, module.padding, ceil_mode=module.ceil_mode
            ).forward
        elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.weight.requires_grad:
            # Positive everywhere, so that no two ways cancel and no ReLU is silent.
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
    field, stride, cell = model.receptive_field, model.total_stride, round(1 / model.output_scale)
    size = stride * (field // stride + 3)
    middle = size // 2 // stride * stride
    height = max(model.minimum, cell)
    image = torch.ones(1, model.in_channels, height, size, dtype=torch.double, requires_grad=True)
    row, reach = model(image)[0, 0, 0], 0
    for position in range(middle // cell, (middle + stride) // cell):
        (gradient,) = torch.autograd.grad(row[position], image, retain_graph=True)
        touched = gradient.abs().sum((0, 1, 2)).nonzero().flatten()
        centre = position * cell + (cell - 1) / 2
        reach = max(reach, centre - int(touched[0]), int(touched[-1]) - centre)
    assert field == 2 * int(np.ceil(reach)) + 1


def check_tiles(model, tile=64, height=None, width=None):
    """Tiled prediction equals one pass over the scene, border and odd tiles included."""
    wake(model)
    cell = round(1 / model.output_scale)
    height = height or 3 * tile + 14
    width = width or 4 * tile + 30
    image = scene(model.in_channels, height, width)
    calibrate(model, torch.from_numpy(image.values)[None])
    tiled = mapping.predict(model, image, tile=tile, batch_size=4, activation=None).compute()
    with torch.no_grad():
        whole = model(torch.from_numpy(image.values)[None])[0].numpy()
    assert tiled.shape == (model.classes, height // cell, width // cell)
    assert tiled.values.std() > 1e-3
    difference = np.abs(tiled.values - whole).max()
    assert difference <= 1e-4 * max(1, np.abs(whole).max()), difference


def check_tools(model, layers, shape=(64, 96)):
    """Summary, diagram, counting and heatmaps read the network."""
    table = models.summary(model, shape).set_index("layer")
    # Layers that are used twice stand in it twice.
    unique = table[~table.index.duplicated()]
    assert unique.parameters.sum() == models.count_parameters(model)
    assert unique.stride.notna().mean() > 0.5
    assert table.macs.sum() == models.macs(model, shape) > 0
    figure = models.diagram(model, shape)
    assert f"{models.count_parameters(model):,}" in figure.axes[0].get_title()
    plt.close(figure)
    image = scene(model.in_channels, *shape)
    maps = heatmaps.features(model, image, layers)
    for name in layers:
        stride, offset = model.placement(name)
        array = maps[name]
        assert array.rio.resolution() == (10 * stride, -10 * stride)
        left, _, _, top = image.rio.bounds()
        assert array.rio.bounds()[0] == pytest.approx(left + 10 * offset)
        assert array.rio.bounds()[3] == pytest.approx(top - 10 * offset)
    assert heatmaps.gradcam(model, image, target=0, layer=layers[-1]).shape == shape


def check_placement(model, layers, at=(41, 22)):
    """A bright pixel is found in the cell that covers it, when kernels only look straight down."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            middle = [k // 2 for k in module.kernel_size]
            nn.init.zeros_(module.weight)
            nn.init.ones_(module.weight[:, :, middle[0], middle[1]])
    image = torch.zeros(1, model.in_channels, 64, 64)
    image[..., at[0], at[1]] = 1
    for name in layers:
        found = {}
        handle = model.get_submodule(name).register_forward_hook(
            lambda module, given, made, found=found: found.update(map=made)
        )
        with torch.no_grad():
            model(image)
        handle.remove()
        values, (stride, offset) = found["map"][0, 0], model.placement(name)
        row, column = (values == values.max()).nonzero()[0].tolist()
        assert offset + stride * row <= at[0] < offset + stride * (row + 1)
        assert offset + stride * column <= at[1] < offset + stride * (column + 1)


def check_gradients(model, size=64):
    """A step of training reaches every trainable parameter."""
    wake(model).train()
    torch.manual_seed(1)
    out = model(torch.randn(2, model.in_channels, size, size))
    (out * torch.randn_like(out)).sum().backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and parameter.grad.any(), name
            assert torch.isfinite(parameter.grad).all(), name


def check_save_and_load(model, folder, size=64):
    """A saved or pickled network comes back equal, options included."""
    wake(model).eval()
    model.mean.fill_(0.3)
    back = models.load(models.save(model, folder / "model"))
    assert back.options == model.options and back.receptive_field == model.receptive_field
    image = torch.rand(1, model.in_channels, size, size)
    sent = pickle.loads(pickle.dumps(model))  # as a cluster sends it to its workers
    with torch.no_grad():
        assert torch.equal(back(image), model(image))
        assert torch.equal(sent(image), model(image))
