"""An FCN with dual attention: every place, and every channel, weighs all others.

The settlement paper (key ``sen2hse``), Table 5, after Fu et al. (2019), `Dual attention network
for scene segmentation`: 14,405,056 parameters in 27 convolutions. Encoder, decoder and where
attention sits follow the authors' public definition; the widths inside the position attention
(an eighth for queries and keys) are inferred, and close the count. The count leaves no room for
the two learned factors that weigh attention against its input in Fu et al.: here both are 1.
"""

import torch
from torch import nn
from torch.nn import functional as F

from toolkit.models.blocks import BatchNormReLU, HalfResolution, fit, place, scaled

WIDTHS = (64, 128, 256, 512)


def _conv(before, made, kernel=3, mode="reflect"):
    return nn.Conv2d(before, made, kernel, padding=kernel // 2, bias=False, padding_mode=mode)


class Residual(nn.Module):
    """conv1, and on top of it bn2 (with ReLU), conv2, bn3, conv3; the sum; all pad by mirroring."""

    def __init__(self, before, made):
        super().__init__()
        self.conv1 = _conv(before, made)
        self.bn2, self.conv2 = BatchNormReLU(made), _conv(made, made)
        self.bn3, self.conv3 = BatchNormReLU(made), _conv(made, made)

    def forward(self, x):
        """Add what two more convolutions see."""
        x = self.conv1(x)
        return x + self.conv3(self.bn3(self.conv2(self.bn2(x))))


class PositionAttention(nn.Module):
    """Add to each place the values of all places, weighed by how alike they are."""

    def __init__(self, width):
        super().__init__()
        inner = max(1, width // 8)
        self.query, self.key = _conv(width, inner, 1, "zeros"), _conv(width, inner, 1, "zeros")
        self.value = _conv(width, width, 1, "zeros")
        self.width, self.inner = width, inner

    def forward(self, x):
        """Attend."""
        query, key = (self._rows(layer(x)) for layer in (self.query, self.key))
        # Zeros change no product. Contiguous and of equal width, all three are what torch's fused
        # attention takes, which never holds the weights of all pairs at once.
        more = (0, self.width - self.inner)
        seen = F.scaled_dot_product_attention(
            F.pad(query, more), F.pad(key, more), self._rows(self.value(x)), scale=1.0
        )
        return x + seen.transpose(-1, -2).reshape(x.shape)

    @staticmethod
    def _rows(x):
        """Turn (N, C, H, W) into (N, 1, H * W, C)."""
        return x.flatten(2).transpose(1, 2).contiguous().unsqueeze(1)


class ChannelAttention(nn.Module):
    """Add to each channel the others, weighed by how unlike they are (Fu et al., public code)."""

    def forward(self, x):
        """Attend."""
        rows = x.flatten(2)
        alike = rows @ rows.transpose(1, 2)
        weights = torch.softmax(alike.amax(-1, keepdim=True) - alike, dim=-1)
        return x + (weights @ rows).reshape(x.shape)


class DualAttention(HalfResolution):
    """FCN with dual attention: any even height and width from 10 on, half the resolution.

    Layers: block1 ... block4 (block1.conv1 ...), pool1 ... pool4; conv5, bn5, drop5, conv6, bn6,
    drop6, conv7, bn7; up3, up2, up1 (transposed 3x3, their ReLU relu3 ...) with skip3 ... skip1
    from the pools; position, conv_position, channel, conv_channel, with their bn and drop; score.
    Weights start as He's normal ones.

    The receptive field is unbounded, as attention spans the image. It compares all pairs of
    output cells: four times the sides cost up to 256 times the time. Predict large scenes in
    tiles of the size it was trained with (``mapping.predict(..., tile=128)``).

    Parameters
    ----------
    name : str
        ``"fcn_dual_attention"``.
    in_channels, classes : int
        Bands (ten in the paper) and classes.
    width : float
        Factor on every number of channels; 1 is the published width.
    dropout : float
        Dropout around the bottleneck; a fifth of it after each attention.
    """

    def __init__(self, name, in_channels=1, classes=2, width=1.0, dropout=0.5):
        channels = scaled(name, width)
        options = {
            "in_channels": in_channels,
            "classes": classes,
            "width": width,
            "dropout": dropout,
        }
        # Mirroring by one cell needs two cells, and block4 works at 1/8: more than 8 pixels.
        super().__init__(name, options, total_stride=16, output_scale=0.5, minimum=10)
        before, widths = in_channels, [channels(w) for w in WIDTHS]
        for i, made in enumerate(widths, 1):
            self.add_module(f"block{i}", Residual(before, made))
            self.add_module(f"pool{i}", nn.MaxPool2d(2, 2, ceil_mode=True))
            before = made
        deep, thin = channels(1024), widths[0]
        for i, (made, kernel) in enumerate(((deep, 3), (deep, 1), (thin, 3)), 5):
            self.add_module(f"conv{i}", _conv(before, made, kernel, "zeros"))
            self.add_module(f"bn{i}", BatchNormReLU(made))
            before = made
        self.drop5, self.drop6 = nn.Dropout(dropout), nn.Dropout(dropout)
        for i in (3, 2, 1):
            self.add_module(f"up{i}", nn.ConvTranspose2d(thin, thin, 3, 2, 1, output_padding=1))
            self.add_module(f"relu{i}", nn.ReLU())
            skip = nn.Sequential(_conv(widths[i - 1], thin, 1, "zeros"), BatchNormReLU(thin))
            self.add_module(f"skip{i}", skip)
        self.position, self.channel = PositionAttention(thin), ChannelAttention()
        for kind in ("position", "channel"):
            self.add_module(f"conv_{kind}", _conv(thin, thin, 3, "zeros"))
            self.add_module(f"bn_{kind}", BatchNormReLU(thin))
            self.add_module(f"drop_{kind}", nn.Dropout(dropout / 5))
        self.score = _conv(thin, classes, 1, "zeros")
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        place(self, "attention weighs all places of the image")

    def logits(self, x):
        """Map standardised images to class scores of half their height and width."""
        skips = {}
        for i in (1, 2, 3, 4):
            x = self.get_submodule(f"pool{i}")(self.get_submodule(f"block{i}")(x))
            skips[i] = x
        x = self.drop5(self.bn5(self.conv5(x)))
        x = self.drop6(self.bn6(self.conv6(x)))
        x = self.bn7(self.conv7(x))
        for i in (3, 2, 1):
            skip = self.get_submodule(f"skip{i}")(skips[i])
            x = self.get_submodule(f"relu{i}")(self.get_submodule(f"up{i}")(x))
            x = skip + fit(x, skip)
        place_wise = self.drop_position(self.bn_position(self.conv_position(self.position(x))))
        channel_wise = self.drop_channel(self.bn_channel(self.conv_channel(self.channel(x))))
        return self.score(place_wise + channel_wise)


BUILDERS = {"fcn_dual_attention": DualAttention}
