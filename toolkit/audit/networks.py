"""What do the networks as we build them say to the printed counts?"""

from functools import lru_cache
from typing import NamedTuple

from .. import models, pruning
from ..models.blocks import count_convolutions

MEGA = 1e6
BYTES = 4  # of a parameter in single precision
SQUARE = (64, 64)  # pixels; ratios of multiply-adds hardly depend on it


class Built(NamedTuple):
    """Counts of a network: parameters, convolutions, layer names, field of view in pixels."""

    parameters: int
    convolutions: int
    layers: tuple
    field: int | None


@lru_cache
def built(name, **options):
    """Build a network without weights and count.

    Parameters
    ----------
    name : str
        As `models.names` lists it.
    **options
        For `models.create`.

    Returns
    -------
    Built

    Examples
    --------
    >>> built("sen2hse", in_channels=10).parameters
    1124866
    """
    import torch

    with torch.device("meta"):  # shapes only
        model = models.create(name, **options)
    layers = tuple(name for name, _ in model.named_modules())
    return Built(
        models.count_parameters(model), count_convolutions(model), layers, model.receptive_field
    )


@lru_cache
def pruned(rate):
    """Prune and compact the published HRNet, and count what is left.

    Parameters
    ----------
    rate : float
        Share of the filters that go, as ``land_cover_3m`` section 3.4 describes.

    Returns
    -------
    parameters : int
    saved : float
        Share of the multiply-adds that is saved.

    Examples
    --------
    >>> pruned(0.4)[0]
    9720914
    """
    whole = models.create("hrnet_w24", in_channels=4, classes=10)
    before = models.macs(whole, SQUARE)
    pruning.prune(whole, rate)
    small = pruning.compact(whole)
    return models.count_parameters(small), 1 - models.macs(small, SQUARE) / before
