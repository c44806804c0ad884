"""U-Net: an encoder, a decoder as deep, and a skip at every size.

Ronneberger, Fischer and Brox (2015), `U-Net: Convolutional networks for biomedical image
segmentation`. All four papers name it or compare with it, none says which variant. Ours pads
(maps keep their size), so nothing is cropped.

``unet``
    64 to 1024 channels, four poolings; the baseline of the night-lights paper (key ``ifcn``,
    section 4.1) has five. 31,032,711 parameters for 4 bands and 7 classes, 31,038,599 with batch
    normalisation; no paper gives a count for this one.
``unet_half``
    The U-Net of the settlement paper (key ``sen2hse``, Table 5), with its 31,036,872 parameters
    in 24 convolutions: ten bands, no batch normalisation, dropout after the two deepest encoder
    blocks, nearest upsampling and a 2x2 convolution instead of a transposed one. Its last
    decoder block joins pool1 instead of conv1_2, so the result has half the resolution of the
    image.

Any height and width will do: pooling rounds up (a last cell may lie half outside the image) and
upsampled maps are cut at the bottom and right. `unet_half` takes even sizes only.
"""

import torch
from torch import nn
from torch.nn import functional as F

from toolkit.models.blocks import (
    BatchNormReLU,
    HalfResolution,
    Upsample,
    choice,
    fit,
    place,
    scaled,
)
from toolkit.models.network import ConvReLU, Network


class UNet(Network):
    """The plain U-Net.

    Layers: conv1_1, conv1_2, pool1 ... to the deepest block; up4, dec4_1, dec4_2 ... up1, dec1_1,
    dec1_2 (numbered as the encoder block they meet); score. With `batch_norm`, every convolution
    is followed by bn1_1 ..., bn_dec4_1 ..., which hold the ReLU, and has no bias.

    Parameters
    ----------
    name : str
        ``"unet"``.
    in_channels, classes : int
        Bands and classes.
    width : float
        Factor on every number of channels; 1 is the published width.
    poolings : int
        Poolings, 1 to 6. Channels double after each, from 64.
    batch_norm : bool
        Batch normalisation after every 3x3 convolution.
    """

    def __init__(self, name, in_channels=1, classes=2, width=1.0, poolings=4, batch_norm=False):
        channels = scaled(name, width)
        choice(name, "poolings", poolings, (1, 2, 3, 4, 5, 6))
        choice(name, "batch_norm", batch_norm, (False, True))
        options = {
            "in_channels": in_channels,
            "classes": classes,
            "width": width,
            "poolings": poolings,
            "batch_norm": batch_norm,
        }
        super().__init__(name, options, total_stride=2**poolings)
        self.poolings, self.batch_norm = poolings, batch_norm
        widths = [channels(64 * 2**i) for i in range(poolings + 1)]
        before = in_channels
        for block, made in enumerate(widths, 1):
            self._double(f"conv{block}", f"bn{block}", before, made)
            before = made
            if block <= poolings:
                self.add_module(f"pool{block}", nn.MaxPool2d(2, 2, ceil_mode=True))
        for block in range(poolings, 0, -1):
            made = widths[block - 1]
            self.add_module(f"up{block}", nn.ConvTranspose2d(before, made, 2, 2))
            self._double(f"dec{block}", f"bn_dec{block}", 2 * made, made)
            before = made
        self.score = nn.Conv2d(before, classes, 1)
        initialise(self)
        place(self)

    def _double(self, conv, norm, before, made):
        """Register two 3x3 convolutions."""
        for i in (1, 2):
            if self.batch_norm:
                plain = nn.Conv2d(before, made, 3, padding=1, bias=False)
                self.add_module(f"{conv}_{i}", plain)
                self.add_module(f"{norm}_{i}", BatchNormReLU(made))
            else:
                self.add_module(f"{conv}_{i}", ConvReLU(before, made, 3, padding=1))
            before = made

    def _run(self, conv, norm, x):
        for i in (1, 2):
            x = self.get_submodule(f"{conv}_{i}")(x)
            if self.batch_norm:
                x = self.get_submodule(f"{norm}_{i}")(x)
        return x

    def logits(self, x):
        """Map standardised images to class scores of the same height and width."""
        skips = {}
        for block in range(1, self.poolings + 2):
            x = self._run(f"conv{block}", f"bn{block}", x)
            if block <= self.poolings:
                skips[block] = x
                x = self.get_submodule(f"pool{block}")(x)
        for block in range(self.poolings, 0, -1):
            x = fit(self.get_submodule(f"up{block}")(x), skips[block])
            x = self._run(f"dec{block}", f"bn_dec{block}", torch.cat([skips[block], x], 1))
        return self.score(x)


class Conv2x2ReLU(nn.Conv2d):
    """A 2x2 convolution that keeps the size, as Keras pads it (below and right), and its ReLU."""

    def __init__(self, before, made):
        super().__init__(before, made, 2)

    def forward(self, x):
        """Convolve and rectify."""
        return torch.relu(super().forward(F.pad(x, (0, 1, 0, 1))))


class UNetHalf(HalfResolution):
    """The settlement paper's U-Net: half the resolution of its input.

    Layers: conv1_1, conv1_2, pool1 ... conv5_2 (drop4, drop5 after blocks 4 and 5), upsample4,
    up4, dec4_1, dec4_2 ... up1, dec1_1, dec1_2, dec_score (3x3 to the classes, with ReLU as in
    the public code) and score.

    Parameters
    ----------
    name : str
        ``"unet_half"``.
    in_channels, classes : int
        Bands (ten in the paper) and classes.
    width : float
        Factor on every number of channels; 1 is the published width.
    dropout : float
        Dropout after blocks 4 and 5.
    """

    def __init__(self, name, in_channels=1, classes=2, width=1.0, dropout=0.5):
        channels = scaled(name, width)
        options = {
            "in_channels": in_channels,
            "classes": classes,
            "width": width,
            "dropout": dropout,
        }
        super().__init__(name, options, total_stride=16, output_scale=0.5, minimum=2)
        widths = [channels(64 * 2**i) for i in range(5)]
        before = in_channels
        for block, made in enumerate(widths, 1):
            for i in (1, 2):
                self.add_module(f"conv{block}_{i}", ConvReLU(before, made, 3, padding=1))
                before = made
            if block >= 4:
                self.add_module(f"drop{block}", nn.Dropout(dropout))
            if block <= 4:
                self.add_module(f"pool{block}", nn.MaxPool2d(2, 2, ceil_mode=True))
        for block in (4, 3, 2, 1):
            made = widths[block - 1]
            if block > 1:
                self.add_module(f"upsample{block}", Upsample(2, "nearest"))
            self.add_module(f"up{block}", Conv2x2ReLU(before, made))
            self.add_module(f"dec{block}_1", ConvReLU(2 * made, made, 3, padding=1))
            self.add_module(f"dec{block}_2", ConvReLU(made, made, 3, padding=1))
            before = made
        self.dec_score = ConvReLU(before, classes, 3, padding=1)
        self.score = nn.Conv2d(classes, classes, 1)
        initialise(self)
        # A class whose ReLU is silent everywhere at the start would never learn.
        nn.init.constant_(self.dec_score.bias, 0.1)
        place(self)

    def logits(self, x):
        """Map standardised images to class scores of half their height and width."""
        skips = {}
        for block in range(1, 6):
            x = self.get_submodule(f"conv{block}_2")(self.get_submodule(f"conv{block}_1")(x))
            if block >= 4:
                x = self.get_submodule(f"drop{block}")(x)
            skips[block] = x
            if block <= 4:
                x = self.get_submodule(f"pool{block}")(x)
            if block == 1:
                skips[1] = x  # pool1: this is where the resolution is halved
        for block in (4, 3, 2, 1):
            if block > 1:
                x = fit(self.get_submodule(f"upsample{block}")(x), skips[block])
            x = torch.cat([skips[block], self.get_submodule(f"up{block}")(x)], 1)
            x = self.get_submodule(f"dec{block}_2")(self.get_submodule(f"dec{block}_1")(x))
        return self.score(self.dec_score(x))


def initialise(model):
    """Draw He's normal weights (Ronneberger et al. 2015, section 3); biases start at zero."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            if name == "score":
                nn.init.xavier_uniform_(module.weight)
            else:
                # A transposed convolution of kernel 2 and stride 2 makes each pixel of one tap.
                fan = module.in_channels * (
                    1 if isinstance(module, nn.ConvTranspose2d) else module.weight[0, 0].numel()
                )
                nn.init.normal_(module.weight, std=(2 / fan) ** 0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


BUILDERS = {"unet": UNet, "unet_half": UNetHalf}
