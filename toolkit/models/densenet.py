"""FC-DenseNet: every layer of a block sees all layers before it.

Jégou et al. (2017), `The one hundred layers Tiramisu`. The land-cover paper (key
``land_cover_3m``, section 5.2 and Table 4) compares with an "FC-DenseNet64", which that
publication does not have (it has 56, 67 and 103). Counting layers as it does, four blocks of six
layers on each side, a bottleneck of six, eight transitions and two convolutions make 64:
3,430,567 parameters with growth 16 and 2,031,583 with growth 12, for 4 bands and 7 classes.

Any height and width will do: pooling rounds up and upsampled maps are cut at the bottom and right.
"""

import torch
from torch import nn

from toolkit.models.blocks import BatchNormReLU, fit, place, scaled
from toolkit.models.network import Network


class Dense(nn.Module):
    """A dense block: layers bn0, conv0, drop0, bn1, ...; each adds `growth` maps.

    Returns the new maps alone; the caller concatenates them with the input where it wants both.
    """

    def __init__(self, before, growth, layers, dropout):
        super().__init__()
        self.layers, self.made = layers, layers * growth
        for i in range(layers):
            self.add_module(f"bn{i}", BatchNormReLU(before + i * growth))
            self.add_module(f"conv{i}", nn.Conv2d(before + i * growth, growth, 3, padding=1))
            self.add_module(f"drop{i}", nn.Dropout(dropout))

    def forward(self, x):
        """Add one layer after the other."""
        made = []
        for i in range(self.layers):
            y = self.get_submodule(f"conv{i}")(self.get_submodule(f"bn{i}")(x))
            made.append(self.get_submodule(f"drop{i}")(y))
            x = torch.cat([x, made[-1]], 1)
        return torch.cat(made, 1)


class FCDenseNet(Network):
    """FC-DenseNet, 64 layers unless told otherwise.

    Layers: conv1; dense1 (dense1.bn0, dense1.conv0 ...), bn_down1, down1 (1x1), drop_down1,
    pool1 ... pool4; bottleneck; up4 (transposed 3x3), dense_up4 ... up1, dense_up1; score.
    Weights start as He's uniform ones, as published.

    Parameters
    ----------
    name : str
        ``"fc_densenet64"``.
    in_channels, classes : int
        Bands and classes.
    width : float
        Factor on `growth` and on the 48 channels of the first convolution.
    growth : int
        Maps that each layer adds: 12 or 16 in the publication.
    dropout : float
        Dropout after every convolution.
    blocks : tuple of int
        Layers of each block on the way down; the way up mirrors them.
    bottleneck : int
        Layers of the deepest block.
    """

    def __init__(
        self,
        name,
        in_channels=1,
        classes=2,
        width=1.0,
        growth=16,
        dropout=0.2,
        *,
        blocks=(6, 6, 6, 6),
        bottleneck=6,
    ):
        channels = scaled(name, width)
        if isinstance(growth, bool) or not isinstance(growth, int) or growth < 1:
            raise ValueError(f"{name}: growth is a positive whole number, got {growth!r}")
        options = {
            "in_channels": in_channels,
            "classes": classes,
            "width": width,
            "growth": growth,
            "dropout": dropout,
        }
        super().__init__(name, options, total_stride=2 ** len(blocks))
        self.depth, added, before = len(blocks), channels(growth), channels(48)
        self.conv1 = nn.Conv2d(in_channels, before, 3, padding=1)
        skips = {}
        for i, layers in enumerate(blocks, 1):
            self.add_module(f"dense{i}", Dense(before, added, layers, dropout))
            before += layers * added
            skips[i] = before
            self.add_module(f"bn_down{i}", BatchNormReLU(before))
            self.add_module(f"down{i}", nn.Conv2d(before, before, 1))
            self.add_module(f"drop_down{i}", nn.Dropout(dropout))
            self.add_module(f"pool{i}", nn.MaxPool2d(2, 2, ceil_mode=True))
        self.bottleneck = Dense(before, added, bottleneck, dropout)
        made = self.bottleneck.made
        for i in range(len(blocks), 0, -1):
            # Only the newest maps go up, or their number would explode.
            self.add_module(f"up{i}", nn.ConvTranspose2d(made, made, 3, 2, 1, output_padding=1))
            before = made + skips[i]
            self.add_module(f"dense_up{i}", Dense(before, added, blocks[i - 1], dropout))
            made = blocks[i - 1] * added
        self.score = nn.Conv2d(before + made, classes, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)
        place(self)

    def logits(self, x):
        """Map standardised images to class scores of the same height and width."""
        x, skips = self.conv1(x), {}
        for i in range(1, self.depth + 1):
            x = torch.cat([x, self.get_submodule(f"dense{i}")(x)], 1)
            skips[i] = x
            x = self.get_submodule(f"down{i}")(self.get_submodule(f"bn_down{i}")(x))
            x = self.get_submodule(f"pool{i}")(self.get_submodule(f"drop_down{i}")(x))
        new = self.bottleneck(x)
        for i in range(self.depth, 0, -1):
            up = fit(self.get_submodule(f"up{i}")(new), skips[i])
            x = torch.cat([skips[i], up], 1)
            new = self.get_submodule(f"dense_up{i}")(x)
        return self.score(torch.cat([x, new], 1))


BUILDERS = {"fc_densenet64": FCDenseNet}
