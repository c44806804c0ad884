"""Sen2HSE-Net: a shallow network that finds human settlements in Sentinel-2 images.

The settlement paper (key ``sen2hse``), section 3.1 and Fig. 3, with the details of the authors'
public Keras definition. Images of 10 m give a map of 20 m: one pooling, nothing is upsampled.

========================  =======  =======  =======  =========
convolutions per block    2        3        4        5
parameters, 16 filters    1.12 M   1.87 M   2.62 M   3.37 M
parameters, 32 filters    4.49 M
========================  =======  =======  =======  =========
"""

import torch
from torch import nn

from toolkit.models.blocks import HalfResolution, choice, place, scaled
from toolkit.models.network import ConvReLU


class Sen2HSE(HalfResolution):
    """Sen2HSE-Net: any even height and width from 2 on, half the resolution.

    Layers: conv1_1 ... conv1_k (f filters), conv2_1 ... (2f), pool_max and pool_mean side by side
    (their maps are stacked: 4f), conv3_1 ... (8f), drop3, conv4_1 ... (16f), drop4, score. ReLU
    and biases everywhere, no batch normalisation. 3x3 weights start as He's normal ones, cut off
    at two standard deviations, the scores as Glorot's uniform ones, as in Keras.

    Parameters
    ----------
    name : str
        ``"sen2hse"``.
    in_channels, classes : int
        Bands (ten in the paper) and classes.
    width : float
        Factor on every number of channels; 1 is the published width.
    depth : int
        Convolutions per block, k: 2 to 5.
    filters : int
        Filters of the first block, f: 16 or 32.
    dropout : float
        Dropout after the third and fourth block.
    """

    def __init__(self, name, in_channels=1, classes=2, width=1.0, depth=2, filters=16, dropout=0.1):
        channels = scaled(name, width)
        choice(name, "depth", depth, (2, 3, 4, 5))
        choice(name, "filters", filters, (16, 32))
        options = {
            "in_channels": in_channels,
            "classes": classes,
            "width": width,
            "depth": depth,
            "filters": filters,
            "dropout": dropout,
        }
        super().__init__(name, options, total_stride=2, output_scale=0.5, minimum=2)
        self.depth, before = depth, in_channels
        for block, factor in enumerate((1, 2, 8, 16), 1):
            for i in range(1, depth + 1):
                made = channels(factor * filters)
                self.add_module(f"conv{block}_{i}", ConvReLU(before, made, 3, padding=1))
                before = made
            if block == 2:
                self.pool_max, self.pool_mean = nn.MaxPool2d(2, 2), nn.AvgPool2d(2, 2)
                before *= 2
            elif block > 2:
                self.add_module(f"drop{block}", nn.Dropout(dropout))
        self.score = nn.Conv2d(before, classes, 1)
        self.initialise()
        place(self)

    def initialise(self):
        """Draw the weights as Keras's he_normal and glorot_uniform do."""
        for name, module in self.named_children():
            if isinstance(module, nn.Conv2d):
                nn.init.zeros_(module.bias)
                if name == "score":
                    nn.init.xavier_uniform_(module.weight)
                else:
                    # Cutting at two sigma leaves 0.8796 of the spread: Keras makes up for it.
                    std = (2 / module.weight[0].numel()) ** 0.5 / 0.87962566103423978
                    nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)

    def _block(self, block, x):
        for i in range(1, self.depth + 1):
            x = self.get_submodule(f"conv{block}_{i}")(x)
        return x

    def logits(self, x):
        """Map standardised images to class scores of half their height and width."""
        x = self._block(2, self._block(1, x))
        x = torch.cat([self.pool_max(x), self.pool_mean(x)], 1)
        x = self.drop4(self._block(4, self.drop3(self._block(3, x))))
        return self.score(x)


BUILDERS = {"sen2hse": Sen2HSE}
