"""What is a network here? A function from physical units to class scores that knows its geometry.

A network standardises its own input with the means and standard deviations it carries, so nobody
else normalises; it knows which input pixels each cell of each layer covers (`Network.placement`),
how far an output pixel looks (`receptive_field`), and what recreates it (`name`, `options`).
"""

import math
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import nn


@dataclass(frozen=True)
class Cells:
    """Where the cells of a feature map lie on the input image, along one axis.

    Pixel 0 has its centre at 0. This is the coordinate map of Caffe (``coord_map.py``), with the
    reach of every cell beside its centre. Reach depends on the phase of a cell within the total
    stride (an upsampled cell looks at one or two coarser cells), hence one entry per phase.

    Attributes
    ----------
    stride : fractions.Fraction
        Input pixels from one cell to the next.
    start : fractions.Fraction
        Centre of cell 0 in input pixels.
    first, last : tuple of int
        First and last input pixel that cell 0, 1, 2, ... depends on, for one period.
    period : int
        Input pixels after which the pattern repeats.

    Examples
    --------
    >>> pooled = Cells.of_input(2).conv(kernel=3, padding=1).conv(kernel=2, stride=2)
    >>> float(pooled.start), pooled.first, pooled.last
    (0.5, (-1,), (2,))
    """

    stride: Fraction
    start: Fraction
    first: tuple
    last: tuple
    period: int

    @classmethod
    def of_input(cls, period):
        """Return the cells of the image itself; `period` is the network's total stride."""
        return cls(Fraction(1), Fraction(0), tuple(range(period)), tuple(range(period)), period)

    def _reach(self, cells):
        """First and last input pixel on which any of these cells depends."""
        count = len(self.first)
        lowest, highest = cells[0], cells[-1]
        return (
            min(self.first[j % count] + j // count * self.period for j in (lowest, *cells)),
            max(self.last[j % count] + j // count * self.period for j in (highest, *cells)),
        )

    def _make(self, stride, start, sources):
        reach = [self._reach(cells) for cells in sources]
        first, last = zip(*reach, strict=True)
        return Cells(stride, start, first, last, self.period)

    def conv(self, kernel, stride=1, padding=0, dilation=1):
        """Return the cells after a convolution or a pooling."""
        reach = (kernel - 1) * dilation
        return self._make(
            self.stride * stride,
            self.start + self.stride * (Fraction(reach, 2) - padding),
            [
                range(stride * i - padding, stride * i - padding + reach + 1, dilation)
                for i in range(len(self.first) // stride)
            ],
        )

    def deconv(self, kernel, stride, padding=0):
        """Return the cells after a transposed convolution."""
        return self._make(
            self.stride / stride,
            self.start + self.stride * (padding - Fraction(kernel - 1, 2)) / stride,
            [
                range(-((kernel - 1 - padding - i) // stride), (i + padding) // stride + 1)
                for i in range(len(self.first) * stride)
            ],
        )

    def crop(self, offset):
        """Return the cells that are left after the first `offset` cells were cut off."""
        return self._make(
            self.stride,
            self.start + self.stride * offset,
            [range(i + offset, i + offset + 1) for i in range(len(self.first))],
        )

    def offset_to(self, other):
        """Return how many cells to cut off so that cell 0 lies where `other`'s cell 0 lies."""
        offset = (other.start - self.start) / self.stride
        if self.stride != other.stride or offset != int(offset):
            raise ValueError(f"these maps do not share a grid: {self} and {other}")
        return int(offset)

    def join(self, other):
        """Return the cells of the sum (or concatenation) of two maps on the same grid."""
        if self.offset_to(other):
            raise ValueError("these maps are shifted against each other: crop one of them first")
        return Cells(
            self.stride,
            self.start,
            tuple(map(min, self.first, other.first)),
            tuple(map(max, self.last, other.last)),
            self.period,
        )

    def through(self, module):
        """Return the cells after `module`; modules that keep the grid return the same cells."""
        if isinstance(module, nn.ConvTranspose2d):
            # `edge` cells were replicated around the map first: they are cut off again by padding.
            padding = module.padding[0] - getattr(module, "edge", 0) * module.stride[0]
            return self.deconv(module.kernel_size[0], module.stride[0], padding)
        if isinstance(module, nn.Conv2d):
            return self.conv(
                module.kernel_size[0], module.stride[0], module.padding[0], module.dilation[0]
            )
        if isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
            return self.conv(module.kernel_size, module.stride, module.padding)
        return self

    @property
    def field(self):
        """Pixels of the smallest window, centred on a cell, that holds all it can depend on.

        The window fits every phase, so half of it is a sufficient halo for tiled prediction.
        """
        reach = max(
            max(self.start + self.stride * i - first, last - self.start - self.stride * i)
            for i, (first, last) in enumerate(zip(self.first, self.last, strict=True))
        )
        return 2 * math.ceil(reach) + 1


class ConvReLU(nn.Conv2d):
    """A convolution and its ReLU as one layer, as Caffe's in-place ReLU makes them one blob."""

    def forward(self, x):
        """Convolve and rectify."""
        return torch.relu(super().forward(x))


class Network(nn.Module):
    """The base of all networks: (N, C, H, W) in physical units to (N, classes, H*s, W*s) logits.

    A subclass defines its layers with `add` (which works out where their cells lie) and the
    method ``logits(x)`` over standardised input.

    Parameters
    ----------
    name : str
        Name under which `toolkit.models.create` knows it.
    options : dict
        The options with which `create` makes it again.
    total_stride : int
        Input pixels per cell of the coarsest layer. Tiles must start on multiples of it.
    output_scale : float
        Output pixels per input pixel along an axis.
    minimum : int
        Smallest height and width the network accepts.

    Attributes
    ----------
    mean, std : torch.Tensor
        Per band, in the image's own units; buffers, saved with the weights and never trained.
        0 and 1 until `toolkit.training.learner` sets them.
    bands, class_names : list of str or None
        Names of the bands and classes it was trained with.
    cells : dict of str to Cells
        Position of every layer's cells.
    receptive_field : int or None
        See `Cells.field`; None where unbounded.
    """

    def __init__(self, name, options, total_stride, output_scale=1.0, minimum=1):
        super().__init__()
        for key in ("in_channels", "classes"):
            value = options[key]
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}: {key} must be a positive whole number, got {value!r}")
        self.name, self.options = name, dict(options)
        self.in_channels, self.classes = options["in_channels"], options["classes"]
        self.total_stride, self.output_scale, self.minimum = total_stride, output_scale, minimum
        self.receptive_field = None
        self.bands = self.class_names = None
        self.cells = {}
        self.register_buffer("mean", torch.zeros(self.in_channels))
        self.register_buffer("std", torch.ones(self.in_channels))

    def add(self, name, module, cells):
        """Register `module` as layer `name` after a layer with these cells; return its cells."""
        self.add_module(name, module)
        self.cells[name] = cells.through(module)
        return self.cells[name]

    def placement(self, layer):
        """Tell which input pixels the first cell of a layer's feature map covers.

        Parameters
        ----------
        layer : str
            Name of a layer, for example ``"pool3"``.

        Returns
        -------
        stride, offset : int or float
            Cell (0, 0) covers the input pixels from `offset` to `offset + stride` in both axes,
            counted from the image's outer edge; cell (i, j) lies ``stride * (i, j)`` further.

        Raises
        ------
        KeyError
            There is no such layer.

        Examples
        --------
        >>> from toolkit import models
        >>> models.create("ifcn", width=0.125).placement("pool3")
        (8, 0)
        """
        if layer not in self.cells:
            raise KeyError(f"{self.name} has no layer {layer!r}; it has {', '.join(self.cells)}")
        cells = self.cells[layer]
        offset = cells.start + Fraction(1, 2) - cells.stride / 2
        return tuple(int(v) if v == int(v) else float(v) for v in (cells.stride, offset))

    def lr_multipliers(self):
        """Return for every trainable parameter its (learning rate, weight decay) multipliers."""
        return {name: (1.0, 1.0) for name, p in self.named_parameters() if p.requires_grad}

    def standardise(self, x):
        """Bring each band to mean 0 and standard deviation 1; missing values get the mean."""
        x = (x - self.mean[:, None, None]) / self.std[:, None, None]
        return torch.where(torch.isnan(x), torch.zeros_like(x), x)

    def logits(self, x):
        """Map standardised input to class scores. Each network defines its own."""
        raise NotImplementedError(f"{type(self).__name__} must define logits(x)")

    def forward(self, x):
        """Map images to class scores.

        Parameters
        ----------
        x : torch.Tensor
            (N, in_channels, H, W) in the units of the data it was trained on; NaN = no data.

        Returns
        -------
        torch.Tensor
            Logits, (N, classes, H * output_scale, W * output_scale).
        """
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            bands = f" ({', '.join(map(str, self.bands))})" if self.bands else ""
            raise ValueError(
                f"{self.name} expects images of shape (N, {self.in_channels}, H, W), with "
                f"{self.in_channels} band{'s' * (self.in_channels > 1)}{bands}, got "
                f"{tuple(x.shape)}. Select the bands it was trained with, or create it with "
                "in_channels=<number of your bands> and train it."
            )
        if min(x.shape[-2:]) < self.minimum:
            raise ValueError(
                f"{self.name} needs at least {self.minimum} x {self.minimum} pixels, got "
                f"{x.shape[-2]} x {x.shape[-1]}"
            )
        return self.logits(self.standardise(x))
