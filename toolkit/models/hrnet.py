"""HRNet-W24: four resolutions side by side, which exchange what they see again and again.

The land-cover paper (key ``land_cover_3m``), section 3.2 and Fig. 4, after Sun et al. (2019),
`High-resolution representations for labeling pixels and regions`. The paper's own change is
instance normalisation behind the first convolution: it takes brightness and contrast of the
single image out, so that a scene from another day or sensor looks the same inside.

The text and the table of the paper disagree. With ``stem="two"`` (two convolutions, as in the
public code), 4 bands and 10 classes, this network has exactly the published 16,812,946
parameters; the net that the text describes, one convolution and 7 classes, has 16,774,871. The
first convolution halves the size, the second keeps it (the text: "a 2-strided convolution at
first"), so the branches work at 1/2, 1/4, 1/8 and 1/16.

Any height and width will do. Strided convolutions round up and put cell i on cell 2i of the finer
map; upsampling (`toolkit.models.blocks.Upsample`) keeps it there, which equals the public code's
``align_corners=True`` for the paper's 513 pixels and makes tiles exact for all other sizes.
"""

import torch
from torch import nn

from toolkit.models.blocks import BatchNormReLU, Upsample, choice, fit, place, scaled
from toolkit.models.network import Network

MODULES = {2: 1, 3: 4, 4: 3}  # multi-resolution blocks per stage
UNITS = 4  # residual blocks per branch


def _conv(before, made, kernel=3, stride=1):
    return nn.Conv2d(before, made, kernel, stride, kernel // 2, bias=False)


class Residual(nn.Module):
    """What residual blocks share: a sum that can add some channels only.

    A pruned block computes fewer channels than it receives. Input and output keep all of them;
    the surviving ones are added at their old positions (He et al. 2019, `Filter pruning via
    geometric median`). The buffers `kept` and `kept_project` hold these positions, or are None
    where nothing was pruned.

    Parameters
    ----------
    width : int
        Channels of the output.
    keep : dict of str to int
        Number of filters that each convolution keeps; all where it is not named.
    """

    def __init__(self, width, keep):
        super().__init__()
        self.width, self.keep = width, keep

    def _count(self, layer, filters):
        """Return how many filters of a layer are kept."""
        kept = self.keep.get(layer, filters)
        if kept > filters:
            raise ValueError(f"keep: {layer} has {filters} filters, it cannot keep {kept}")
        return kept

    def _layer(self, index, before, made, kernel):
        """Register ``conv<index>`` and its normalisation; return its number of channels."""
        made = self._count(f"conv{index}", made)
        self.add_module(f"conv{index}", _conv(before, made, kernel))
        norm = nn.BatchNorm2d if index == self.last else BatchNormReLU
        self.add_module(f"bn{index}", norm(made))
        return made

    def _positions(self, name, made):
        whole = made == self.width
        self.register_buffer(name, None if whole else torch.arange(made))

    def _add(self, x, y, positions):
        return x + y if positions is None else x.index_add(1, positions, y)


class Basic(Residual):
    """conv1, bn1 (with ReLU), conv2, bn2, the sum with the input, relu."""

    last = 2

    def __init__(self, width, keep):
        super().__init__(width, keep)
        inner = self._layer(1, width, width, 3)
        self._positions("kept", self._layer(2, inner, width, 3))
        self.relu = nn.ReLU()

    def forward(self, x):
        """Add what two convolutions see."""
        return self.relu(self._add(x, self.bn2(self.conv2(self.bn1(self.conv1(x)))), self.kept))


class Bottleneck(Residual):
    """conv1 1x1, conv2 3x3, conv3 1x1 with their bn, the sum with the (projected) input, relu.

    project and bn_project exist where the number of channels changes.
    """

    last = 3

    def __init__(self, before, inner, width, keep):
        super().__init__(width, keep)
        made = self._layer(2, self._layer(1, before, inner, 1), inner, 3)
        self._positions("kept", self._layer(3, made, width, 1))
        self.project = None
        if before != width:
            made = self._count("project", width)
            self.project, self.bn_project = _conv(before, made, 1), nn.BatchNorm2d(made)
            self._positions("kept_project", made)
        self.relu = nn.ReLU()

    def forward(self, x):
        """Add what three convolutions see."""
        y = self.bn1(self.conv1(x))
        y = self.bn3(self.conv3(self.bn2(self.conv2(y))))
        if self.project is not None:
            x = self.bn_project(self.project(x))
            if self.kept_project is not None:
                whole = x.new_zeros(x.shape[0], self.width, x.shape[2], x.shape[3])
                x = whole.index_add(1, self.kept_project, x)
        return self.relu(self._add(x, y, self.kept))


class Fuse(nn.Module):
    """The sum of all branches, brought to the size and channels of one of them, then relu.

    from1 ... hold what brings each other branch here: 1x1 convolution, normalisation and
    upsampling from coarser ones, strided 3x3 convolutions from finer ones.
    """

    def __init__(self, to, widths):
        super().__init__()
        self.to, self.count = to, len(widths)
        for j, before in enumerate(widths):
            if j > to:
                layers = [
                    _conv(before, widths[to], 1),
                    nn.BatchNorm2d(widths[to]),
                    Upsample(2 ** (j - to)),
                ]
            else:
                layers = []
                for step in range(j + 1, to + 1):
                    made = widths[to] if step == to else before
                    norm = nn.BatchNorm2d if step == to else BatchNormReLU
                    layers += [_conv(before, made, stride=2), norm(made)]
            if j != to:
                self.add_module(f"from{j + 1}", nn.Sequential(*layers))
        self.relu = nn.ReLU()

    def forward(self, branches):
        """Add all branches."""
        total = branches[self.to]
        for j in range(self.count):
            if j != self.to:
                total = total + fit(self.get_submodule(f"from{j + 1}")(branches[j]), total)
        return self.relu(total)


class MultiResolution(nn.Module):
    """branch1 ... (residual blocks 0 to 3 each), then fuse1 ...: one output per resolution."""

    def __init__(self, widths, keep):
        super().__init__()
        self.count = len(widths)
        for i, width in enumerate(widths):
            blocks = [Basic(width, _below(keep, f"branch{i + 1}.{j}")) for j in range(UNITS)]
            self.add_module(f"branch{i + 1}", nn.Sequential(*blocks))
        for i in range(self.count):
            self.add_module(f"fuse{i + 1}", Fuse(i, widths))

    def forward(self, branches):
        """Run the branches, then exchange."""
        run = [self.get_submodule(f"branch{i + 1}")(x) for i, x in enumerate(branches)]
        return [self.get_submodule(f"fuse{i + 1}")(run) for i in range(self.count)]


def _below(keep, prefix):
    """Select the entries below `prefix`, without it."""
    return {k.removeprefix(f"{prefix}."): n for k, n in keep.items() if k.startswith(f"{prefix}.")}


class HRNet(Network):
    """HRNet-W24 for segmentation.

    Layers: conv1, norm1 (and conv2, bn2: the stem); stage1.0 ... stage1.3 (`Bottleneck`);
    transition1_1, transition1_2, transition2_3, transition3_4 (they open the branches);
    stage2.0, stage3.0 ... stage3.3, stage4.0 ... stage4.2 (`MultiResolution`, for example
    stage4.2.branch1.3.conv2 and stage4.2.fuse1.relu); head.conv, head.bn, score, upscore.
    Weights start as He's normal ones (fan out, as in the public code for classification; the
    paper is silent), the class scores as Glorot's; normalisation at 1 and 0, biases at 0. The last
    normalisation of a residual block starts at 0 instead, so that the block begins as the identity
    (Goyal et al. 2017, section 5.1): ours, not the paper's, for trainings of minutes.

    The receptive field is unbounded with instance normalisation, which uses means over the whole
    image; the convolutions alone reach ``convolutional_field`` pixels.

    Parameters
    ----------
    name : str
        ``"hrnet_w24"``.
    in_channels, classes : int
        Bands and classes: 4 and 10 give the published count.
    width : float
        Factor on every number of channels; 1 is the published width.
    stem : {"two", "one"}
        Convolutions before the first stage: as counted in the table, or as the text says.
    norm : {"instance", "batch"}
        Normalisation behind the first convolution.
    keep : dict of str to int, optional
        Filters that pruned convolutions keep, by name, of those that `prunable` lists. What was
        kept and where it belongs comes with the weights.
    """

    def __init__(
        self,
        name,
        in_channels=1,
        classes=2,
        width=1.0,
        stem="two",
        norm="instance",
        keep=None,
    ):
        channels = scaled(name, width)
        choice(name, "stem", stem, ("two", "one"))
        choice(name, "norm", norm, ("instance", "batch"))
        for layer, count in (keep or {}).items():
            if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                raise ValueError(
                    f"{name}: keep[{layer!r}] must be a positive whole number, got {count!r}"
                )
        options = {
            "in_channels": in_channels,
            "classes": classes,
            "width": width,
            "stem": stem,
            "norm": norm,
            "keep": dict(keep) if keep else None,
        }
        # Means over a single cell would turn every image into zeros: hence three pixels.
        super().__init__(name, options, total_stride=16, minimum=3 if norm == "instance" else 1)
        self.stem, keep = stem, dict(keep or {})
        front, deep = channels(64), channels(256)
        self.widths = [channels(24 * 2**i) for i in range(4)]
        self.conv1 = _conv(in_channels, front, stride=2)
        self.norm1 = (
            nn.InstanceNorm2d(front, affine=True) if norm == "instance" else nn.BatchNorm2d(front)
        )
        self.relu1 = nn.ReLU()
        if stem == "two":
            self.conv2, self.bn2 = _conv(front, front), BatchNormReLU(front)
        self.stage1 = nn.Sequential(
            *[
                Bottleneck(deep if i else front, front, deep, _below(keep, f"stage1.{i}"))
                for i in range(UNITS)
            ]
        )
        self._transition("transition1_1", deep, self.widths[0], 1)
        self._transition("transition1_2", deep, self.widths[1], 2)
        self._transition("transition2_3", *self.widths[1:3], 2)
        self._transition("transition3_4", *self.widths[2:4], 2)
        for stage, count in MODULES.items():
            blocks = [
                MultiResolution(self.widths[:stage], _below(keep, f"stage{stage}.{i}"))
                for i in range(count)
            ]
            self.add_module(f"stage{stage}", nn.Sequential(*blocks))
        for i in (1, 2, 3):
            self.add_module(f"upsample{i + 1}", Upsample(2**i))
        total = sum(self.widths)
        self.head = nn.Sequential()
        self.head.conv, self.head.bn = nn.Conv2d(total, total, 1), BatchNormReLU(total)
        self.score = nn.Conv2d(total, classes, 1)
        self.upscore = Upsample(2)
        self._check(keep)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            if isinstance(module, Residual):
                # Blocks that begin as the identity: a hundred of them learn in fewer steps.
                nn.init.zeros_(getattr(module, f"bn{module.last}").weight)
        nn.init.xavier_uniform_(self.score.weight)
        place(
            self,
            "instance normalisation uses means over the whole image" * (norm == "instance") or None,
        )

    def _transition(self, name, before, made, stride):
        self.add_module(
            name, nn.Sequential(_conv(before, made, stride=stride), BatchNormReLU(made))
        )

    def _check(self, keep):
        """Refuse names of `keep` that are no convolutions of a residual block."""
        allowed = self.prunable(fused=True)
        for name in keep:
            if name not in allowed:
                raise ValueError(
                    f"{self.name}: keep names {name!r}, which is no convolution of a residual "
                    f"block; such are {', '.join(allowed[:3])} ..."
                )

    def prunable(self, fused=False):
        """List the convolutions that pruning may thin out.

        Parameters
        ----------
        fused : bool
            Also those whose output goes into a fusion (conv2 of the last block of a branch),
            which the paper leaves whole (section 3.4).

        Returns
        -------
        list of str

        Examples
        --------
        >>> from toolkit import models
        >>> models.create("hrnet_w24", width=0.125).prunable()[:4]
        ['stage1.0.conv1', 'stage1.0.conv2', 'stage1.0.conv3', 'stage1.0.project']
        """
        found = []
        for name, module in self.named_modules():
            if isinstance(module, Residual):
                last = isinstance(module, Basic) and name.endswith(f".{UNITS - 1}") and not fused
                for layer in ("conv1", "conv2", "conv3", "project"):
                    if getattr(module, layer, None) is not None and not (last and layer == "conv2"):
                        found.append(f"{name}.{layer}")
        return found

    def positions(self, layer):
        """Name the buffer that says to which channels a thinned layer adds, None if to none."""
        block, _, own = layer.rpartition(".")
        last = f"conv{self.get_submodule(block).last}"
        ends = {last: "kept", "project": "kept_project"}
        return f"{block}.{ends[own]}" if own in ends else None

    def logits(self, x):
        """Map standardised images to class scores of the same height and width."""
        image = x
        x = self.relu1(self.norm1(self.conv1(x)))
        if self.stem == "two":
            x = self.bn2(self.conv2(x))
        x = self.stage1(x)
        branches = self.stage2([self.transition1_1(x), self.transition1_2(x)])
        branches = self.stage3([*branches, self.transition2_3(branches[-1])])
        branches = self.stage4([*branches, self.transition3_4(branches[-1])])
        whole = branches[:1]
        for i in (1, 2, 3):
            up = self.get_submodule(f"upsample{i + 1}")(branches[i])
            whole.append(fit(up, branches[0]))
        x = self.score(self.head(torch.cat(whole, 1)))
        return fit(self.upscore(x), image)


BUILDERS = {"hrnet_w24": HRNet}
