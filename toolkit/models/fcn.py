"""Fully convolutional networks on VGG16: FCN32s, FCN16s, FCN8s, the four ablations, and IFCN.

FCN: Long, Shelhamer and Darrell (2015), `Fully convolutional networks for semantic segmentation`.
IFCN and the ablations ("modes"): the night-lights paper (key ``ifcn``), sections 3.1 and 3.2.2,
Fig. 4 and Table 1. IFCN differs from FCN8s by a third skip from pool2, four upsamplings
(2, 2, 2, 4 instead of 2, 2, 8), batch normalisation after pool1 and pool2, smaller learning rates
for the first four convolutions and a corrected alignment.

Two alignments answer the paper's "increased the crop layer, corrected the offset":

``caffe``
    The original: conv1_1 pads 100 pixels, fc6 pads none, and Crop layers cut the maps to fit.
    Their offsets follow from the pads and strides, as in Caffe's coordinate maps.
``same``
    Every convolution keeps its size, so cell i of a map with stride s covers exactly the pixels
    from i*s to (i+1)*s, and upsampling is bilinear interpolation about pixel centres. Sizes that
    are not multiples of 32 need no padding: pooling rounds up (a last cell may be half outside
    the image) and upsampled maps are cut at the bottom and right.
"""

from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from toolkit.models.blocks import fit
from toolkit.models.network import Cells, ConvReLU, Network

BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
FRONT = ("conv1_1", "conv1_2", "conv2_1", "conv2_2")


class Bilinear(nn.ConvTranspose2d):
    """Fixed bilinear upsampling as a transposed convolution with kernel 2s and stride s.

    Its weights are a full channels x channels bank with zeros off the diagonal, as Caffe's
    bilinear filler with learning rate 0 leaves them; they are never trained.

    Parameters
    ----------
    channels, factor : int
        Number of maps; how many times finer the result is (even).
    edge : int
        0: the map gains a rim that a Crop removes (`caffe`). 1: the outermost cells are
        replicated first and the result is exactly `factor` times as large (`same`); without
        this the scores would fade towards the border.
    """

    def __init__(self, channels, factor, edge=0):
        padding = edge * (factor + factor // 2)
        super().__init__(channels, channels, 2 * factor, factor, padding, bias=False)
        self.edge = edge
        ramp = 1 - (torch.arange(2 * factor) - (factor - 0.5)).abs() / factor
        with torch.no_grad():
            self.weight.zero_()
            self.weight[range(channels), range(channels)] = ramp[:, None] * ramp
        self.weight.requires_grad_(False)

    def forward(self, x):
        """Upsample."""
        if self.edge:
            x = F.pad(x, (self.edge,) * 4, mode="replicate")
        return super().forward(x)


def _vgg16_weights():
    """Fetch the state dict of torchvision's VGG16 through torch.hub, or say what is missing."""
    from torchvision.models import VGG16_Weights

    try:
        return VGG16_Weights.IMAGENET1K_V1.get_state_dict(progress=True, check_hash=True)
    except OSError as error:
        url = VGG16_Weights.IMAGENET1K_V1.url
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise ConnectionError(
            f"the pretrained VGG16 could not be downloaded ({error}). Without internet, fetch "
            f"{url} elsewhere and put it into {folder}, or create the network with pretrained=None."
        ) from error


class FCN(Network):
    """VGG16 made fully convolutional, with skips from pooling layers.

    Layers: conv1_1 ... conv5_3 and fc6, fc7 (with their ReLU), pool1 ... pool5, bn1 and bn2 where
    asked for, score, score_pool4 ..., upscore2, upscore_pool4 ... and upscore, the last.

    Parameters
    ----------
    name : str
        One of the names in `BUILDERS`.
    in_channels, classes : int
        Bands and classes.
    width : float
        Factor on every number of channels, fc6 and fc7 included; 1 is the published width.
    fc_width, fc_kernel : int
        Channels of fc6 and fc7 before `width`, and kernel of fc6 (odd). 4096 and 7 in VGG16.
    dropout : float
        Dropout after fc6 and fc7.
    alignment : {"caffe", "same"}
        See the module.
    skips : tuple of int
        Pooling layers that join, deepest first.
    batch_norm : bool
        Normalise the output of pool1 and pool2; the skip from pool2 takes the normalised map, as
        an in-place layer does in Caffe.
    front_lr : (float, float) or None
        Learning-rate multipliers of weights and biases of the first four convolutions; None
        leaves them at 1 and 2 like all others.
    pretrained : None or "imagenet"
        Start the convolutions (and fc6, fc7 where they have VGG16's shape) from torchvision's
        VGG16, at `width` 1 with 1 or 3 bands. The order of its bands is red, green, blue, each
        standardised; a single band stands in for all three, so its kernels are their sum.
    """

    def __init__(
        self,
        name,
        in_channels=1,
        classes=2,
        width=1.0,
        fc_width=4096,
        fc_kernel=7,
        dropout=0.5,
        alignment="caffe",
        front_lr=None,
        pretrained=None,
        *,
        skips=(4, 3),
        batch_norm=False,
    ):
        if alignment not in ("caffe", "same"):
            raise ValueError(f"{name}: alignment is 'caffe' or 'same', got {alignment!r}")
        if fc_kernel % 2 != 1 or fc_kernel > 7:
            raise ValueError(f"{name}: fc_kernel must be 1, 3, 5 or 7, got {fc_kernel!r}")
        if not 0 < width <= 4:
            raise ValueError(f"{name}: width must be in (0, 4], 1 as published, got {width!r}")
        front_lr = None if front_lr is None else tuple(front_lr)
        options = {
            "in_channels": in_channels,
            "classes": classes,
            "width": width,
            "fc_width": fc_width,
            "fc_kernel": fc_kernel,
            "dropout": dropout,
            "alignment": alignment,
            "front_lr": front_lr,
        }
        super().__init__(name, options, total_stride=32)
        self.alignment, self.skips, self.batch_norm = alignment, tuple(skips), batch_norm
        self.front_lr, self.offsets = front_lr, {}
        same = alignment == "same"

        def channels(published):
            return max(1, round(published * width))

        at, before, taps = Cells.of_input(32), in_channels, {}
        for block, (convolutions, published) in enumerate(BLOCKS, 1):
            for i in range(1, convolutions + 1):
                pad = 100 if (block, i, same) == (1, 1, False) else 1
                conv = ConvReLU(before, channels(published), 3, padding=pad)
                at, before = self.add(f"conv{block}_{i}", conv, at), channels(published)
            at = self.add(f"pool{block}", nn.MaxPool2d(2, 2, ceil_mode=True), at)
            if batch_norm and block <= 2:
                self.add(f"bn{block}", nn.BatchNorm2d(before), at)
            taps[block] = (before, at)
        fc = channels(fc_width)
        at = self.add("fc6", ConvReLU(before, fc, fc_kernel, padding=same * (fc_kernel // 2)), at)
        at = self.add("drop6", nn.Dropout(dropout), at)
        at = self.add("fc7", ConvReLU(fc, fc, 1), at)
        at = self.add("drop7", nn.Dropout(dropout), at)
        at = self.add("score", nn.Conv2d(fc, classes, 1), at)
        up = "upscore2"
        for pool in self.skips:
            at = self.add(up, Bilinear(classes, 2, edge=int(same)), at)
            skip, (before, tap) = f"score_pool{pool}", taps[pool]
            tap = self.add(skip, nn.Conv2d(before, classes, 1), tap)
            self.offsets[skip] = tap.offset_to(at)
            at = at.join(tap.crop(self.offsets[skip]))
            up = f"upscore_pool{pool}"
        at = self.add("upscore", Bilinear(classes, int(at.stride), edge=int(same)), at)
        self.offsets["upscore"] = at.offset_to(Cells.of_input(32))
        self.receptive_field = at.crop(self.offsets["upscore"]).field
        self.initialise()
        if pretrained is not None:
            self.load_vgg16(pretrained)

    def initialise(self):
        """Draw Xavier weights (equation 3); biases and the skips' scores start at zero."""
        for name, module in self.named_children():
            if isinstance(module, nn.Conv2d):
                if name.startswith("score_pool"):
                    # A skip joins in only as far as training finds it useful (Long et al. 2015).
                    nn.init.zeros_(module.weight)
                else:
                    nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def load_vgg16(self, pretrained):
        """Copy the weights of torchvision's VGG16 (classes of ImageNet) into the layers."""
        if pretrained != "imagenet":
            raise ValueError(f"{self.name}: pretrained is None or 'imagenet', got {pretrained!r}")
        if self.options["width"] != 1 or self.in_channels not in (1, 3):
            raise ValueError(
                f"{self.name}: pretrained weights exist for width=1 and 1 or 3 bands, not for "
                f"width={self.options['width']} and {self.in_channels} bands"
            )
        weights = _vgg16_weights()
        convolutions = [name for name, _ in self.named_children() if name.startswith("conv")]
        features = [k.removesuffix(".weight") for k in weights if "features" in k and "weight" in k]
        with torch.no_grad():
            for layer, key in zip(
                [*convolutions, "fc6", "fc7"],
                [*features, "classifier.0", "classifier.3"],
                strict=True,
            ):
                module, kernels = self.get_submodule(layer), weights[f"{key}.weight"]
                if layer == "conv1_1" and self.in_channels == 1:
                    kernels = kernels.sum(1, keepdim=True)
                if kernels.numel() == module.weight.numel():
                    module.weight.copy_(kernels.view_as(module.weight))
                    module.bias.copy_(weights[f"{key}.bias"])

    def lr_multipliers(self):
        """Return Caffe's multipliers: weights (1, 1), biases (2, 0), `front_lr` for the front."""
        pairs = {}
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                layer, kind = name.rsplit(".", 1)
                bias = kind == "bias"
                lr = self.front_lr if self.front_lr and layer in FRONT else (1.0, 2.0)
                pairs[name] = (lr[bias], 0.0 if bias else 1.0)
        return pairs

    def logits(self, x):
        """Map standardised images to class scores of the same height and width."""
        height, width = x.shape[-2:]
        taps = {}
        for block, (convolutions, _) in enumerate(BLOCKS, 1):
            for i in range(1, convolutions + 1):
                x = self.get_submodule(f"conv{block}_{i}")(x)
            x = self.get_submodule(f"pool{block}")(x)
            if self.batch_norm and block <= 2:
                x = self.get_submodule(f"bn{block}")(x)
            taps[block] = x
        x = self.drop6(self.fc6(x))
        x = self.score(self.drop7(self.fc7(x)))
        up = "upscore2"
        for pool in self.skips:
            x, skip = self.get_submodule(up)(x), f"score_pool{pool}"
            offset = self.offsets[skip]
            tap = self.get_submodule(skip)(taps[pool])[..., offset:, offset:]
            x = fit(x, tap) + fit(tap, x)  # whichever is larger is cut
            up = f"upscore_pool{pool}"
        offset = self.offsets["upscore"]
        return self.upscore(x)[..., offset : offset + height, offset : offset + width]


BUILDERS = {
    "fcn32s": partial(FCN, skips=()),
    "fcn16s": partial(FCN, skips=(4,)),
    "fcn8s": partial(FCN),
    "fcn8s_front_lr": partial(FCN, front_lr=(0.1, 0.2)),
    "fcn8s_crop": partial(FCN, alignment="same"),
    "fcn8s_bn": partial(FCN, batch_norm=True),
    "fcn8s_pool2": partial(FCN, skips=(4, 3, 2)),
    "ifcn": partial(FCN, skips=(4, 3, 2), batch_norm=True, alignment="same", front_lr=(0.1, 0.2)),
}
