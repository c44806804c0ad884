"""How does fastai meet the chips: as batches it can train on, show and interpret?

Use it through `toolkit.chips`. Importing this module imports fastai.
"""

from toolkit import _torchvision  # noqa: F401, I001  (before anything that imports torchvision)

import random
import warnings

import matplotlib.colors
import numpy as np
import torch
from fastai.vision.all import (
    CategoryMap,
    Datasets,
    ItemTransform,
    TensorImage,
    TensorMask,
    Transform,
    show_image,
)

from toolkit.chips.grids import IGNORE, classes_of, display_bands, has_data, positions
from toolkit.chips.contents import statistics
from toolkit.chips.windows import names, on_grid, several, whole, windows


class ChipImage(TensorImage):
    """An image of any number of bands, (band, y, x), that knows how to show itself.

    Its attributes ``shown`` (positions of the bands), ``low`` and ``high`` (the stretch of each)
    are set when fastai decodes an item. Without them: the first bands over their own range.
    """

    def show(self, ctx=None, **kwargs):
        """Draw one band in grey or three as colours; fastai calls this."""
        values = self.as_subclass(torch.Tensor).float().cpu().numpy()
        values = values[getattr(self, "shown", [0, 1, 2] if len(values) > 2 else [0])]
        low = np.reshape(getattr(self, "low", values.min((1, 2))), (-1, 1, 1))
        high = np.reshape(getattr(self, "high", values.max((1, 2))), (-1, 1, 1))
        values = ((values - low) / np.where(high > low, high - low, 1)).clip(0, 1)
        return show_image(
            values.transpose(1, 2, 0), ctx=ctx, **{"cmap": "gray", "vmin": 0, "vmax": 1, **kwargs}
        )


class ChipMask(TensorMask):
    """Class indices (y, x), drawn in the colours of their classes; 255 stays transparent."""

    def show(self, ctx=None, alpha=None, cmap="tab10", **kwargs):
        """Draw half transparent over an image already in `ctx`, or opaque alone."""
        codes = self.as_subclass(torch.Tensor).long().cpu().numpy()
        colours = getattr(self, "colours", None)
        if colours is None:
            colours = matplotlib.colormaps[cmap].colors
        rgba = np.zeros((*codes.shape, 4))
        for code, colour in enumerate(colours):
            rgba[codes == code] = matplotlib.colors.to_rgba(colour)
        below = ctx.get_images() if ctx is not None else []
        rgba[..., 3] *= alpha if alpha is not None else (0.45 if below else 1)
        if below:  # a mask of half the resolution still covers its image
            kwargs["extent"] = below[0].get_extent()
        return show_image(rgba, ctx=ctx, interpolation="nearest", **kwargs)


class ReadImage(Transform):
    """Cut chip number i out of the images held in memory."""

    def __init__(self, values, places):
        """Keep the images (band, y, x) without NaN, and the windows: image, row, col, size."""
        self.values, self.places = [torch.from_numpy(each) for each in values], places

    def encodes(self, i: int):
        """Return the chip as float32."""
        which, row, col, size = self.places[i]
        return ChipImage(self.values[which][:, row : row + size, col : col + size].clone())


class ReadMask(Transform):
    """Cut the target of chip number i out of the labels held in memory."""

    def __init__(self, codes, places, classes, shrink):
        """Keep class indices (y, x), the windows, the classes and the block to shrink by."""
        self.codes, self.places = [torch.from_numpy(each) for each in codes], places
        self.shrink = shrink
        # fastai reads these two, for confusion matrices and for the number of outputs. The names
        # go in as a CategoryMap: of a list, ClassificationInterpretation keeps the last entry.
        self.vocab = CategoryMap([item["name"] for item in classes], sort=False)
        self.c = len(classes)

    def encodes(self, i: int):
        """Return the class indices as int64, 255 where there is nothing to learn."""
        which, row, col, size = self.places[i]
        codes = self.codes[which][row : row + size, col : col + size]
        return ChipMask(_majority(codes, self.shrink, self.c).long())


class Dress(Transform):
    """Tell decoded chips how to show themselves.

    It stands after the items are read: to show a batch, fastai decodes what read them only as far
    as a type that can show itself, which is not at all.
    """

    def __init__(self, shown, low, high, colours):
        """Keep the bands to show, their stretch, and the colours of the classes."""
        self.shown, self.low, self.high, self.colours = shown, low, high, colours

    def decodes(self, x: ChipImage):
        """Set the bands and their stretch."""
        x.shown, x.low, x.high = self.shown, self.low, self.high
        return x

    def decodes(self, x: ChipMask):  # noqa: F811  (dispatched by type)
        """Set the colours."""
        x.colours = self.colours
        return x


class Turn(ItemTransform):
    """Turn and mirror image and mask alike, into one of eight positions, in training only.

    Pixels move and keep their values. fastai's own Dihedral resamples bilinearly instead, and its
    DihedralItem leaves masks as they are.
    """

    split_idx = 0

    def __init__(self, seed):
        """Draw from a generator of its own, so that the seed decides."""
        self.rng = random.Random(seed)

    def encodes(self, pair):
        """Turn one (image, mask)."""
        # Copies of self.rng in worker processes would start every epoch alike; the global one
        # is seeded anew by fastai in each worker.
        rng = self.rng if torch.utils.data.get_worker_info() is None else random
        position = rng.randrange(8)
        return tuple(turned(tensor, position) for tensor in pair)


def turned(tensor, position):
    """Return one of the eight positions of a square (0 is as it is) in the last two axes."""
    if position & 1:
        tensor = tensor.flip(-1)
    if position & 2:
        tensor = tensor.flip(-2)
    return tensor.transpose(-1, -2) if position & 4 else tensor


def dataloaders(
    image,
    label,
    table,
    batch_size=8,
    augment=True,
    seed=0,
    target_scale=1,
    classes=None,
    display=None,
    drop_last=True,
    num_workers=0,
    device=None,
):
    """Make fastai DataLoaders of a chip table, or of the tables of several places together.

    Parameters
    ----------
    image : xarray.DataArray, or a list of them
        Dims (band, y, x), in physical units, NaN where there is no data. It is held in memory
        once; chips are cut from it as they are needed. Several places: lists of images, labels
        and tables, of equal length; CRS and shapes may differ, bands and classes may not.
    label : xarray.DataArray, or a list of them
        Class codes (y, x), 255 where unknown; brought to the image's grid where it has another.
    table : geopandas.GeoDataFrame, or a list of them
        A chip table of this image with the column split; "guard" chips are left out.
    batch_size : int
        Chips per batch; no more than there are training chips.
    augment : bool
        Turn and mirror training chips into one of eight positions. Values stay as they are.
    seed : int
        Order and positions of the training chips. With ``num_workers`` above 0, seed torch too
        (``fastai.torch_core.set_seed``, as `training.learner` does).
    target_scale : float
        Size of the target relative to the chip: 1, or 1/2, 1/4 ... for a network that maps at
        lower resolution. A target pixel takes the most frequent class of its block, in a tie
        that of the upper left pixel if it is among the winners.
    classes : list, optional
        Where ``label.attrs["classes"]`` does not hold them. The network's outputs follow this
        order; codes need not be 0, 1, 2, ...
    display : str or list of str, optional
        One band or three to show; red, green and blue by name, or the first ones, by default.
    drop_last : bool
        Leave out a last incomplete training batch. Batch normalisation fails on one of a single
        chip.
    num_workers : int
        Processes that cut chips. 0 is quickest for images in memory.
    device : torch.device or str, optional
        fastai's default device by default.

    Returns
    -------
    fastai.data.core.DataLoaders
        Batches of images (chip, band, y, x), float32 in physical units, and targets
        (chip, y, x), int64 class indices with 255 = ignore. Nothing is normalised: the networks
        standardise with ``dls.statistics`` (see `statistics`). Missing pixels hold the band's
        training mean and have target 255. Also ``dls.classes`` (names), ``dls.codes`` (their
        codes in the label), ``dls.bands`` and ``dls.seed``. ``show_batch``, a learner's
        ``show_results`` and an Interpretation's ``plot_top_losses`` work for any number of bands.

    Raises
    ------
    ValueError
        No split or no training chips, a table of another image, label codes without a class, no
        labelled pixel in the training chips, chips of several sizes; lists of unequal length, or
        of images with other bands.

    Warns
    -----
    UserWarning
        A class does not occur in the training chips, a band is constant there, or there are no
        validation chips.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from toolkit import chips
    >>> image = xr.DataArray(
    ...     np.random.default_rng(0).random((10, 64, 64), "float32"), dims=("band", "y", "x"),
    ...     coords={"y": np.arange(64)[::-1], "x": np.arange(64)},
    ... ).rio.write_crs("EPSG:32735")
    >>> label = (image[0] > 0.5).astype("uint8").assign_attrs(
    ...     classes=[{"value": 0, "name": "country"}, {"value": 1, "name": "town"}])
    >>> table = chips.split(chips.grid(image, label, size=16), by="corner")
    >>> dls = chips.dataloaders(image, label, table, batch_size=4)
    >>> x, y = dls.one_batch()
    >>> tuple(x.shape), tuple(y.shape), dls.classes
    ((4, 10, 16, 16), (4, 16, 16), ['country', 'town'])
    """
    given = several(image=image, label=label, table=table)
    places = [
        (which, *(int(v) for v in place))
        for which, (image, _, table) in enumerate(given)
        for place in windows(table, image)
    ]
    means = statistics(*([each[i] for each in given] for i in (0, 2)))
    batch_size = whole(batch_size, "batch_size")
    sizes = sorted({place[-1] for place in places})
    if len(sizes) > 1:
        raise ValueError(f"chips of sizes {sizes} cannot share a batch; make one table per size")
    shrink = _shrink(target_scale, sizes[0])
    labels = [on_grid(label, image) for image, label, _ in given]
    found = [classes_of(label, classes) for label in labels]
    if any(each != found[0] for each in found):
        raise ValueError(
            "the labels of the places have different classes: give them one list, classes=[...]"
        )
    classes = found[0]
    codes = [positions(label.values, classes) for label in labels]
    split = np.concatenate([table["split"].to_numpy() for *_, table in given])
    parts = [[int(i) for i in np.flatnonzero(split == p)] for p in ("train", "valid")]
    seen = np.zeros(256, bool)
    for which, row, col, size in (places[i] for i in parts[0]):
        seen[np.unique(codes[which][row : row + size, col : col + size])] = True
    if not seen[:IGNORE].any():
        raise ValueError("no pixel of the training chips has a label: there is nothing to learn")
    absent = [item["name"] for position, item in enumerate(classes) if not seen[position]]
    if absent:
        warnings.warn(
            f"no training chip holds {', '.join(map(repr, absent))}: the network cannot learn it. "
            "Another seed, stratify=True or more chips may help.",
            stacklevel=2,
        )
    if not parts[1]:
        warnings.warn(
            "the table has no validation chips: nothing tells of overfitting", stacklevel=2
        )
    images = [image for image, *_ in given]
    shown = display_bands(names(images[0]), display)
    stretch = [image.values[shown][:, has_data(image)] for image in images]
    stretch = np.concatenate([v[:, :: max(1, v.shape[1] // 200_000)] for v in stretch], axis=1)
    low, high = np.percentile(stretch.astype(np.float32), (2, 98), axis=1)
    fill = means["mean"].to_numpy(np.float32)[:, None, None]
    values = [np.asarray(image.values, np.float32) for image in images]
    values = [np.where(np.isfinite(each), each, fill) for each in values]
    dress = Dress(shown, low, high, [item["color"] for item in classes])
    data = Datasets(
        list(range(len(places))),
        [[ReadImage(values, places)], [ReadMask(codes, places, classes, shrink)]],
        splits=parts,
    )
    dls = data.dataloaders(
        bs=min(batch_size, len(parts[0])),
        drop_last=drop_last,
        num_workers=num_workers,
        device=device,
        after_item=[Turn(seed), dress] if augment else [dress],
    )
    dls.train.rng = random.Random(seed)  # fastai seeds it from the global generator
    dls.statistics, dls.seed = means, seed
    dls.classes, dls.codes = ([item[key] for item in classes] for key in ("name", "value"))
    dls.bands = names(images[0])
    return dls


def _shrink(target_scale, size):
    shrink = round(1 / target_scale) if target_scale > 0 else 0
    if shrink < 1 or abs(shrink * target_scale - 1) > 1e-6:
        raise ValueError(f"target_scale={target_scale}: give 1 or a fraction such as 1/2 or 1/4")
    if size % shrink:
        raise ValueError(f"chips of {size} pixels do not divide into blocks of {shrink} pixels")
    return shrink


def _majority(codes, shrink, classes):
    """Most frequent class of each block (y, x); 255 where the block has no label at all."""
    if shrink == 1:
        return codes
    height, width = codes.shape
    blocks = codes.reshape(height // shrink, shrink, width // shrink, shrink)
    blocks = blocks.permute(0, 2, 1, 3).flatten(2).long()
    counts = torch.stack([(blocks == code).sum(-1) for code in range(classes)])
    first = torch.stack([blocks[..., 0] == code for code in range(classes)])
    winner = (2 * counts + first).argmax(0)
    return torch.where(counts.sum(0) > 0, winner, IGNORE)
