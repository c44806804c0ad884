"""A ResNet50 as Keras builds it, and the two heads the settlement paper compares with.

The settlement paper (key ``sen2hse``), Table 5, gives parameters and layers but no details. These
follow from the two published counts:

``pspnet_resnet50``
    28,550,594 parameters, 58 convolutions. Pyramid scene parsing (Zhao et al. 2017) with three
    pooled branches; their bins are not published. We take 1, 2 and 4, as the last map of the
    paper's 128 x 128 patches has 4 x 4 cells.
``fcn8_resnet50``
    31,960,710 parameters, 60 convolutions. FCN-8 (Long et al. 2015) without the 7x7 convolution:
    one 1x1 convolution to 4096 channels, scores of three stages, three transposed convolutions.

Both return half the resolution of their input, as the paper's labels of 20 m ask for. Even
heights and widths from 2 on will do: strides round up, upsampled maps are cut at the bottom and
right.
"""

import torch
from torch import nn
from torch.nn import functional as F

from toolkit.models.blocks import BatchNormReLU, HalfResolution, Upsample, fit, place, scaled
from toolkit.models.network import ConvReLU

BLOCKS = ((3, 64), (4, 128), (6, 256), (3, 512))
BINS = (1, 2, 4)


class Bottleneck(nn.Module):
    """The residual block of Keras's ResNet50: all convolutions have biases, the first strides."""

    def __init__(self, before, inner, made, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(before, inner, 1, stride), BatchNormReLU(inner)
        self.conv2, self.bn2 = nn.Conv2d(inner, inner, 3, 1, 1), BatchNormReLU(inner)
        self.conv3, self.bn3 = nn.Conv2d(inner, made, 1), nn.BatchNorm2d(made)
        self.project = None
        if stride > 1 or before != made:
            self.project = nn.Conv2d(before, made, 1, stride)
            self.bn_project = nn.BatchNorm2d(made)
        self.relu = nn.ReLU()

    def forward(self, x):
        """Add what three convolutions see."""
        y = self.bn2(self.conv2(self.bn1(self.conv1(x))))
        y = self.bn3(self.conv3(y))
        return self.relu(y + (x if self.project is None else self.bn_project(self.project(x))))


class ResNet(HalfResolution):
    """The encoder of both: conv1, bn1, pool, stage2.0 ... stage5.2 (1/4 to 1/32 of the size)."""

    def __init__(self, name, in_channels, classes, width, **own):
        channels = scaled(name, width)
        options = {"in_channels": in_channels, "classes": classes, "width": width, **own}
        super().__init__(name, options, total_stride=32, output_scale=0.5, minimum=2)
        before = channels(64)
        self.conv1, self.bn1 = nn.Conv2d(in_channels, before, 7, 2, 3), BatchNormReLU(before)
        self.pool = nn.MaxPool2d(3, 2, 1)
        for stage, (count, inner) in enumerate(BLOCKS, 2):
            made, blocks = channels(4 * inner), []
            for i in range(count):
                stride = 2 if stage > 2 and i == 0 else 1
                blocks.append(Bottleneck(before, channels(inner), made, stride))
                before = made
            self.add_module(f"stage{stage}", nn.Sequential(*blocks))

    def initialise(self):
        """Draw He's normal weights (He et al. 2015); biases start at zero."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def encode(self, x):
        """Return the maps of stages 3, 4 and 5."""
        x = self.stage2(self.pool(self.bn1(self.conv1(x))))
        third = self.stage3(x)
        fourth = self.stage4(third)
        return third, fourth, self.stage5(fourth)


class Bin(nn.Module):
    """Means over n x n parts of the whole map, a 1x1 convolution, and back to the map's size."""

    def __init__(self, n, before, made):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(n)
        self.conv, self.bn = nn.Conv2d(before, made, 1, bias=False), BatchNormReLU(made)

    def forward(self, x):
        """Pool, mix, and stretch."""
        y = self.bn(self.conv(self.pool(x)))
        return F.interpolate(y, size=x.shape[-2:], mode="bilinear", align_corners=False)


class PSPNet(ResNet):
    """ResNet50 with pyramid pooling. Its receptive field is unbounded: bins span the image.

    Layers: those of `ResNet`, bin1, bin2, bin4 (bin1.conv, bin1.bn ...), conv_merge, bn_merge,
    score (3x3), upscore. Training needs batches of two at least, as bin1 has a single cell.

    Parameters
    ----------
    name : str
        ``"pspnet_resnet50"``.
    in_channels, classes : int
        Bands (ten in the paper) and classes.
    width : float
        Factor on every number of channels; 1 is the published width.
    """

    def __init__(self, name, in_channels=1, classes=2, width=1.0):
        super().__init__(name, in_channels, classes, width)
        channels = scaled(name, width)
        before, made = channels(2048), channels(512)
        for n in BINS:
            self.add_module(f"bin{n}", Bin(n, before, made))
        self.conv_merge = nn.Conv2d(before + len(BINS) * made, made, 1, bias=False)
        self.bn_merge = BatchNormReLU(made)
        self.score = nn.Conv2d(made, classes, 3, padding=1)
        self.upscore = Upsample(16)
        self.initialise()
        place(self, "the pyramid pools over the whole image")

    def logits(self, x):
        """Map standardised images to class scores of half their height and width."""
        image = x
        *_, x = self.encode(x)
        x = torch.cat([x, *[self.get_submodule(f"bin{n}")(x) for n in BINS]], 1)
        x = self.upscore(self.score(self.bn_merge(self.conv_merge(x))))
        return x[..., : image.shape[-2] // 2, : image.shape[-1] // 2]


class FCN8(ResNet):
    """ResNet50 with the skips of FCN-8.

    Layers: those of `ResNet`, fc6 (1x1, with ReLU), drop6, score, upscore2, score_stage4,
    upscore_stage4, score_stage3, upscore (4x4, stride 4). The three transposed convolutions are
    trained and have no bias.

    Parameters
    ----------
    name : str
        ``"fcn8_resnet50"``.
    in_channels, classes : int
        Bands (ten in the paper) and classes.
    width : float
        Factor on every number of channels; 1 is the published width.
    dropout : float
        Dropout before the scores.
    """

    def __init__(self, name, in_channels=1, classes=2, width=1.0, dropout=0.5):
        super().__init__(name, in_channels, classes, width, dropout=dropout)
        channels = scaled(name, width)
        before, made = channels(2048), channels(4096)
        self.fc6, self.drop6 = ConvReLU(before, made, 1), nn.Dropout(dropout)
        self.score = nn.Conv2d(made, classes, 1)
        self.score_stage4 = nn.Conv2d(channels(1024), classes, 1)
        self.score_stage3 = nn.Conv2d(channels(512), classes, 1)
        self.upscore2 = nn.ConvTranspose2d(classes, classes, 4, 2, 1, bias=False)
        self.upscore_stage4 = nn.ConvTranspose2d(classes, classes, 4, 2, 1, bias=False)
        self.upscore = nn.ConvTranspose2d(classes, classes, 4, 4, bias=False)
        self.initialise()
        place(self)

    def logits(self, x):
        """Map standardised images to class scores of half their height and width."""
        image = x
        third, fourth, x = self.encode(x)
        third, fourth = self.score_stage3(third), self.score_stage4(fourth)
        x = self.score(self.drop6(self.fc6(x)))
        x = fourth + fit(self.upscore2(x), fourth)
        x = third + fit(self.upscore_stage4(x), third)
        return self.upscore(x)[..., : image.shape[-2] // 2, : image.shape[-1] // 2]


BUILDERS = {"pspnet_resnet50": PSPNet, "fcn8_resnet50": FCN8}
