"""D-LinkNet34: a ResNet34, a dilated centre and a light decoder, made for roads and buildings.

Zhou, Zhang and Wu (2018), `D-LinkNet: LinkNet with pretrained encoder and dilated convolution for
high resolution satellite imagery road extraction`. The roof-greening paper (key
``roof_greening``) finds buildings with it and gives no count, loss or rate. 31,096,129 parameters
for 3 bands and 1 class (the 31.1 million of the original), 31,099,265 for 4 bands; public copies
without the dilation of 8 have 28,736,321.

The original has one logit, for "building" against the rest: ``classes=1``. Its probability is the
sigmoid of the logit, as `toolkit.mapping.predict` gives it, and its loss a binary one.
``classes=2`` is the same question as two logits with softmax and cross entropy.

Any height and width will do: strides round up and upsampled maps are cut at the bottom and right,
which pads samples of 1000 pixels with zeros to the 1024 that divide by 32, and cuts them again.
"""

from torch import nn

from toolkit.models.blocks import BatchNormReLU, fit, place, scaled
from toolkit.models.network import ConvReLU, Network

BLOCKS = ((3, 64), (4, 128), (6, 256), (3, 512))


class Basic(nn.Module):
    """The residual block of ResNet34, named as torchvision names it."""

    def __init__(self, before, made, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(before, made, 3, stride, 1, bias=False)
        self.bn1 = BatchNormReLU(made)
        self.conv2 = nn.Conv2d(made, made, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(made)
        self.downsample = None
        if stride > 1 or before != made:
            self.downsample = nn.Sequential(
                nn.Conv2d(before, made, 1, stride, bias=False), nn.BatchNorm2d(made)
            )
        self.relu = nn.ReLU()

    def forward(self, x):
        """Add what two convolutions see."""
        y = self.bn2(self.conv2(self.bn1(self.conv1(x))))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class Centre(nn.Module):
    """3x3 convolutions of dilation 1, 2, 4, 8 in a row; all their results and the input add up."""

    def __init__(self, width, dilations):
        super().__init__()
        self.dilations = dilations
        for d in dilations:
            conv = ConvReLU(width, width, 3, padding=d, dilation=d)
            self.add_module(f"dilate{d}", conv)

    def forward(self, x):
        """Look further and further."""
        total = x
        for d in self.dilations:
            x = self.get_submodule(f"dilate{d}")(x)
            total = total + x
        return total


class Decoder(nn.Module):
    """1x1 to a quarter of the channels, transposed 3x3 to twice the size, 1x1 to the channels."""

    def __init__(self, before, made):
        super().__init__()
        inner = max(1, before // 4)
        self.conv1, self.bn1 = nn.Conv2d(before, inner, 1), BatchNormReLU(inner)
        self.deconv2 = nn.ConvTranspose2d(inner, inner, 3, 2, 1, output_padding=1)
        self.bn2 = BatchNormReLU(inner)
        self.conv3, self.bn3 = nn.Conv2d(inner, made, 1), BatchNormReLU(made)

    def forward(self, x):
        """Upsample."""
        return self.bn3(self.conv3(self.bn2(self.deconv2(self.bn1(self.conv1(x))))))


class DLinkNet(Network):
    """D-LinkNet on ResNet34.

    Layers: conv1, bn1, pool; layer1 ... layer4 (as in torchvision, layer1.0.conv1 ...); centre
    (centre.dilate1 ... centre.dilate8); decoder4 ... decoder1; up (transposed 4x4), conv2, score.
    Weights start as He's normal ones; the original starts its encoder from ImageNet.

    Parameters
    ----------
    name : str
        ``"dlinknet34"``.
    in_channels, classes : int
        Bands and classes; 3 and 1 in the original.
    width : float
        Factor on every number of channels; 1 is the published width.
    dilations : tuple of int
        Dilations of the centre. (1, 2, 4) is that of the public copies mentioned above.
    """

    def __init__(self, name, in_channels=1, classes=2, width=1.0, dilations=(1, 2, 4, 8)):
        channels = scaled(name, width)
        dilations = tuple(dilations)
        if not dilations or any(not isinstance(d, int) or d < 1 for d in dilations):
            raise ValueError(f"{name}: dilations are positive whole numbers, got {dilations!r}")
        options = {
            "in_channels": in_channels,
            "classes": classes,
            "width": width,
            "dilations": list(dilations),
        }
        super().__init__(name, options, total_stride=32)
        widths = [channels(made) for _, made in BLOCKS]
        before = widths[0]
        self.conv1 = nn.Conv2d(in_channels, before, 7, 2, 3, bias=False)
        self.bn1 = BatchNormReLU(before)
        self.pool = nn.MaxPool2d(3, 2, 1)
        for i, (count, _) in enumerate(BLOCKS):
            blocks = []
            for j in range(count):
                blocks.append(Basic(before, widths[i], 2 if i and not j else 1))
                before = widths[i]
            self.add_module(f"layer{i + 1}", nn.Sequential(*blocks))
        self.centre = Centre(before, dilations)
        for i in (4, 3, 2, 1):
            made = widths[max(i - 2, 0)]
            self.add_module(f"decoder{i}", Decoder(before, made))
            before = made
        half = max(1, before // 2)
        self.up, self.relu = nn.ConvTranspose2d(before, half, 4, 2, 1), nn.ReLU()
        self.conv2 = ConvReLU(half, half, 3, padding=1)
        self.score = nn.Conv2d(half, classes, 3, padding=1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        place(self)

    def logits(self, x):
        """Map standardised images to class scores of the same height and width."""
        image, skips = x, []
        x = self.pool(self.bn1(self.conv1(x)))
        for i in (1, 2, 3, 4):
            x = self.get_submodule(f"layer{i}")(x)
            skips.append(x)
        x = self.centre(x)
        for i in (4, 3, 2):
            x = skips[i - 2] + fit(self.get_submodule(f"decoder{i}")(x), skips[i - 2])
        x = self.relu(self.up(self.decoder1(x)))
        return self.score(self.conv2(fit(x, image)))


BUILDERS = {"dlinknet34": DLinkNet}
