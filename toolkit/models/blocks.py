"""What do the networks share? Small layers, and a tracer that finds where every layer's cells lie.

A network writes its ``logits`` plainly; `place` follows it with ``torch.fx``, layer by layer, and
notes for each the input pixels that its cells cover and depend on. So geometry is read off the
code that runs and cannot drift from it.
"""

from dataclasses import replace
from functools import reduce

import torch
from torch import fx, nn
from torch.nn import functional as F

from toolkit.models.network import Cells, Network


def scaled(name, width):
    """Return the function that scales a published number of channels by `width`."""
    if isinstance(width, bool) or not isinstance(width, int | float) or not 0 < width <= 4:
        raise ValueError(f"{name}: width must be in (0, 4], 1 as published, got {width!r}")
    return lambda published: max(1, round(published * width))


def choice(name, option, value, allowed):
    """Raise a ValueError that lists what is allowed, unless `value` is."""
    if value not in allowed or (isinstance(value, bool) and True not in allowed):
        raise ValueError(f"{name}: {option} is {' or '.join(map(repr, allowed))}, got {value!r}")


def fit(x, like):
    """Cut rows and columns off the bottom and right until `x` is as large as `like`.

    Strides round up (a last cell may lie half outside the image), so an upsampled map is as large
    as its skip or one cell larger. Cells (0, 0) stay together.
    """
    return x[..., : like.shape[-2], : like.shape[-1]]


class BatchNormReLU(nn.BatchNorm2d):
    """Batch normalisation and the ReLU after it as one layer."""

    def forward(self, x):
        """Normalise and rectify."""
        return torch.relu(super().forward(x))


class Upsample(nn.Module):
    """Repeat (nearest) or interpolate (bilinear) a map to `factor` times its size.

    Bilinear keeps cell i of the coarse map on cell ``factor * i`` of the fine one. That is where
    strided convolutions with an odd kernel put their cells, and what TensorFlow 1 and Keras do;
    torch's ``align_corners=True`` agrees for sizes such as 513 = 2**9 + 1 and would otherwise
    stretch the map by an amount that depends on the size of the image, so that tiles differ.
    Beyond the last coarse cell its value is repeated.
    """

    def __init__(self, factor, mode="bilinear"):
        super().__init__()
        self.factor, self.mode = factor, mode

    def extra_repr(self):
        """Describe the layer."""
        return f"factor={self.factor}, mode={self.mode!r}"

    def forward(self, x):
        """Upsample."""
        if self.mode == "nearest":
            return F.interpolate(x, scale_factor=self.factor, mode="nearest")
        size = [(n - 1) * self.factor + 1 for n in x.shape[-2:]]
        x = F.interpolate(x, size=size, mode="bilinear", align_corners=True)
        return F.pad(x, (0, self.factor - 1, 0, self.factor - 1), mode="replicate")

    def cells(self, given):
        """Return where the cells of the result lie."""
        if self.mode == "nearest":
            return given.deconv(self.factor, self.factor)
        return given.deconv(2 * self.factor - 1, self.factor, self.factor - 1)


class HalfResolution(Network):
    """A network whose output cell (i, j) covers the input pixels [2i, 2i + 2) x [2j, 2j + 2)."""

    def forward(self, x):
        """Map images of even height and width to class scores of half of each."""
        if x.ndim == 4 and (x.shape[-2] % 2 or x.shape[-1] % 2):
            even = [n - n % 2 for n in x.shape[-2:]]
            raise ValueError(
                f"{self.name} makes one output cell of 2 x 2 pixels, so height and width must be "
                f"even, got {x.shape[-2]} x {x.shape[-1]}. Crop the image, for example "
                f"image.isel(y=slice(0, {even[0]}), x=slice(0, {even[1]}))."
            )
        return super().forward(x)


class _Layers(fx.Tracer):
    """Follows ``logits`` and records every module without children as one step."""

    traced_func_name = "logits"

    def is_leaf_module(self, module, name):
        """Tell where to stop looking inside."""
        return not list(module.children())


def place(model, unbounded=None):
    """Work out the position of every layer's cells and the receptive field.

    Parameters
    ----------
    model : Network
        With all its layers; gets ``cells``, ``receptive_field``, ``convolutional_field`` (the
        field without what looks at the whole image) and ``unbounded``.
    unbounded : str, optional
        Why an output pixel depends on the whole image; the receptive field is None then.
    """
    modules, found = dict(model.named_modules()), {}
    for node in _Layers().trace(model).nodes:
        given = [found[n] for n in node.all_input_nodes if found[n] is not None]
        if node.op == "placeholder":
            found[node] = Cells.of_input(model.total_stride)
        elif not given or node.target is getattr or node.target == "size":
            found[node] = None  # a size or a weight; or a map whose cells depend on the image
        else:
            found[node] = reduce(_join, given)
            if node.op == "call_module":
                found[node] = _through(found[node], modules[node.target])
                if found[node] is not None:
                    model.cells[node.target] = found[node]
    result = found[node]
    cell = round(1 / model.output_scale)
    if result.stride != cell:
        raise ValueError(f"{model.name}: output cells of {result.stride} pixels, expected {cell}")
    # The labels say where an output cell lies; learned kernels bridge half a cell's difference.
    result = replace(result, start=Cells.of_input(cell).conv(cell, cell).start)
    model.convolutional_field = result.field
    model.receptive_field = None if unbounded else result.field
    model.unbounded = unbounded


def _join(one, other):
    """Return the cells of a sum or concatenation; the first map says where they lie.

    Transposed convolutions of odd (even) kernels put their cells half a cell beside a skip made
    by even (odd) ones; training sets that right. Anything more is a mistake in the network.
    """
    if one.stride != other.stride or abs(one.start - other.start) >= one.stride:
        raise ValueError(f"these maps do not share a grid: {one} and {other}")
    return one.join(replace(other, start=one.start))


def _through(cells, module):
    if isinstance(module, nn.AdaptiveAvgPool2d):
        return None
    if isinstance(module, Upsample):
        return module.cells(cells)
    return cells.through(module)


def count_convolutions(model):
    """Count the convolutions, transposed ones included, as the papers' tables do."""
    return sum(isinstance(m, nn.Conv2d | nn.ConvTranspose2d) for m in model.modules())
