"""Which filters can go?

Filter pruning via geometric median (FPGM), as the land-cover paper (key ``land_cover_3m``, section
3.4 and Algorithm 1) uses it after He et al. (2019), `Filter pruning via geometric median for deep
convolutional neural networks acceleration`. A filter near all others of its layer can be replaced
by them: per layer, the filters with the smallest sums of distances to the others are set to zero
after every epoch, train on from there and may come back. In the end `compact` takes out what is
zero, and the smaller network computes what the zeroed one does.

Of every layer int(rate * n) filters go; in HRNet-W24 of all convolutions of stage 1 and the
branches except the last before a fusion: 9,720,914 parameters are left (published: 9,720,660).

Examples
--------
>>> from toolkit import pruning, training
>>> learn = training.learner(dls, model, "land_cover_3m")  # doctest: +SKIP
>>> learn.fit(20, cbs=pruning.FPGM(rate=0.4))              # doctest: +SKIP
>>> small = pruning.compact(learn.model)                   # doctest: +SKIP
>>> pruning.report(model, small, shape=(513, 513))         # doctest: +SKIP
"""

from toolkit import _torchvision  # noqa: F401, I001  (before anything that imports torchvision)

import tempfile
import time
from numbers import Real

import pandas as pd
import torch
from fastai.basics import Callback
from torch import nn

from toolkit import models
from toolkit.models import thinning

__all__ = ["FPGM", "compact", "distances", "filters", "prune", "report"]


def distances(weight):
    """Sum the distances of every filter of a layer to all others.

    Parameters
    ----------
    weight : torch.Tensor
        Of one convolution, (filters, ...).

    Returns
    -------
    torch.Tensor
        One sum of 2-norms per filter, float64. The smallest belongs to the filter nearest to the
        geometric median (land_cover_3m, equation 1).

    Examples
    --------
    >>> import torch
    >>> distances(torch.tensor([[0.0], [1.0], [5.0]])).tolist()
    [6.0, 5.0, 9.0]
    """
    # Float64 on the CPU: near-equal filters must not tie by rounding, and not every GPU has it.
    flat = weight.detach().double().cpu().flatten(1)
    return torch.cdist(flat, flat).sum(1)


def prune(model, rate=0.4, layers=None):
    """Zero the filters nearest to the others, once and in place.

    A zeroed filter is silent: its bias and what normalisation would make of its empty map are
    zeroed with it.

    Parameters
    ----------
    model : toolkit.models.Network
        The network. Nothing is taken out yet; `compact` does that.
    rate : float
        Share of the filters of each layer, in (0, 1): int(rate * n) of n are zeroed.
    layers : sequence of str, optional
        Names of convolutions. By default those of the network's own rule (HRNet: all except the
        last before a fusion), else all that `compact` can thin out.

    Returns
    -------
    dict of str to list of int
        The zeroed filters of every layer.

    Raises
    ------
    ValueError
        The rate is not in (0, 1), or a layer must stay whole.

    Examples
    --------
    >>> from toolkit import models
    >>> zeroed = prune(models.create("sen2hse"), rate=0.25)
    >>> len(zeroed["conv1_1"])
    4
    """
    _rate(rate)
    _network(model)
    followed = thinning.paths(model)
    return _prune(model, rate, _layers(model, layers, followed), followed)


def _rate(rate):
    if isinstance(rate, bool) or not isinstance(rate, Real) or not 0 < rate < 1:
        hint = f" Did you mean {rate / 100:g}?" if isinstance(rate, Real) and 1 < rate < 100 else ""
        raise ValueError(
            f"rate is the share of filters to zero in each layer, between 0 and 1 (both excluded; "
            f"0.4 in the paper), got {rate!r}.{hint}"
        )


def _network(model):
    if not isinstance(model, models.Network):
        hint = "; pass learn.model" if isinstance(getattr(model, "model", None), nn.Module) else ""
        raise TypeError(
            f"expected a network of toolkit.models, got {type(model).__name__}{hint}. Pruning must "
            "know where the maps of each filter go."
        )


def _layers(model, layers, followed):
    """Return the layers to prune; explain why one of them cannot be."""
    if layers is None:
        return thinning.prunable(model, followed=followed)
    if isinstance(layers, str):
        raise TypeError(f"layers: expected a list of names, got {layers!r}; pass [{layers!r}]")
    for layer in layers:
        reason = thinning.why_whole(model, layer, followed)
        if reason is not None:
            raise ValueError(
                f"{model.name}: {layer!r} cannot be pruned, it {reason}. Such are "
                f"{', '.join(thinning.prunable(model, True, followed)[:4])} ..."
            )
    return list(layers)


def _rows(module):
    """Return the weights of a convolution with its filters first."""
    return module.weight.transpose(0, int(isinstance(module, nn.ConvTranspose2d)))


def _followers(model, layer, followed):
    """List the vectors that act on a layer's maps one by one: (name, first entry, tensor)."""
    found = [(layer, "bias", 0)]
    for norm, start in followed.norms[layer]:
        found += [(norm, "weight", start), (norm, "bias", start)]
    for name, own, start in found:
        vector = getattr(model.get_submodule(name), own)
        if vector is not None:
            yield f"{name}.{own}", start, vector


@torch.no_grad()
def _prune(model, rate, layers, followed):
    zeroed = {}
    for layer in layers:
        weight = _rows(model.get_submodule(layer))
        count = int(rate * len(weight) + 1e-9)  # 0.29 * 100 is 28.999...
        order = torch.sort(distances(weight), stable=True).indices
        zeroed[layer] = sorted(order[:count].tolist())
    for layer, chosen in zeroed.items():
        _rows(model.get_submodule(layer))[chosen] = 0
        for _, start, vector in _followers(model, layer, followed):
            vector[[start + i for i in chosen]] = 0
    return zeroed


class FPGM(Callback):
    """A fastai callback that prunes after every epoch, softly (land_cover_3m, Algorithm 1).

    When an epoch's training ends, and before it is validated, `prune` zeroes its share of each
    layer: scores, and the best weights that are kept, are those of the pruned network. Before the
    next epoch trains, bias and normalisation of the zeroed filters get back what they were (a
    filter that is silent for good would never see a gradient), while the filters themselves start
    at zero. Those that grow apart from the others come back; others go instead. That asks for a
    learning rate that moves them far enough within an epoch, and without batch normalisation for
    a positive bias (`history` shows how many come back).

    Parameters
    ----------
    rate : float
        Share of the filters of each layer, in (0, 1). The paper's is 0.4.
    layers : sequence of str, optional
        As in `prune`.

    Attributes
    ----------
    history : pandas.DataFrame
        For every epoch: zeroed (filters), recovered (of those zeroed one epoch before).
    zeroed : dict of str to list of int
        The filters of every layer that were zeroed last.

    Raises
    ------
    ValueError
        The rate is not in (0, 1); at the start of a fit, a layer must stay whole.
    """

    def __init__(self, rate=0.4, layers=None):
        _rate(rate)
        self.rate, self.layers = rate, layers
        self.followed, self.awake, self.zeroed, self.rows = None, {}, {}, []

    @property
    def history(self):
        """What was zeroed and what came back."""
        return pd.DataFrame(self.rows, columns=["epoch", "zeroed", "recovered"])

    def before_train(self):
        """Let the zeroed filters take part again."""
        if hasattr(self.learn, "lr_finder"):
            return
        if self.epoch == 0 or self.followed is None:
            _network(self.model)
            self.followed = thinning.paths(self.model)
            self.chosen = _layers(self.model, self.layers, self.followed)
            self.rows = []
        with torch.no_grad():
            for layer in self.chosen:
                for key, _, vector in _followers(self.model, layer, self.followed):
                    if key in self.awake:
                        before = self.awake[key].to(vector)
                        vector.copy_(torch.where(vector == 0, before, vector))

    def after_train(self):
        """Prune what the epoch has trained; a broken epoch is left alone."""
        loss = getattr(self.learn, "loss", None)
        if hasattr(self.learn, "lr_finder") or loss is None or not bool(loss.isfinite().all()):
            return
        for layer in self.chosen:
            for key, _, vector in _followers(self.model, layer, self.followed):
                self.awake[key] = vector.detach().clone()
        before, self.zeroed = self.zeroed, _prune(self.model, self.rate, self.chosen, self.followed)
        back = sum(len(set(old) - set(self.zeroed.get(k, ()))) for k, old in before.items())
        count = sum(map(len, self.zeroed.values()))
        self.rows.append({"epoch": self.epoch + 1, "zeroed": count, "recovered": back})


@torch.no_grad()
def _silent(model, layer, followed):
    """Tell for each filter of a layer whether nothing ever comes of it."""
    silent = (_rows(model.get_submodule(layer)).flatten(1) == 0).all(1)
    for _, start, vector in _followers(model, layer, followed):
        silent = silent & (vector[start : start + len(silent)] == 0)
    return silent.cpu()


def filters(model):
    """List the layers that can be pruned, with their filters and how many of them are zero.

    Parameters
    ----------
    model : toolkit.models.Network
        The network.

    Returns
    -------
    pandas.DataFrame
        layer, filters, zeroed, share (zeroed of all).

    Examples
    --------
    >>> from toolkit import models
    >>> model = models.create("sen2hse")
    >>> _ = prune(model, 0.25)
    >>> filters(model).head(1).to_dict("records")
    [{'layer': 'conv1_1', 'filters': 16, 'zeroed': 4, 'share': 0.25}]
    """
    _network(model)
    followed, rows = thinning.paths(model), []
    for layer in thinning.prunable(model, True, followed):
        silent = _silent(model, layer, followed)
        zeroed = int(silent.sum())
        rows.append((layer, len(silent), zeroed, zeroed / len(silent)))
    return pd.DataFrame(rows, columns=["layer", "filters", "zeroed", "share"])


def compact(model):
    """Make a smaller network of the filters that are not zero.

    Its layers have the same names. Where a residual block of HRNet computes fewer channels than
    it receives, they are added at their old places, and sums stay as wide as they were. The
    result computes what the zeroed network does, up to rounding, and is saved and loaded like any
    other (`toolkit.models.save`); its option ``keep`` holds the number of filters per layer.

    Parameters
    ----------
    model : toolkit.models.Network
        A network some of whose filters are zero, by `FPGM` or `prune`. It stays as it is.

    Returns
    -------
    toolkit.models.Network

    Raises
    ------
    ValueError
        No filter is zero, the network is compact already, or the zero filters lie in layers that
        must keep all their channels.

    Examples
    --------
    >>> from toolkit import models
    >>> model = models.create("sen2hse")
    >>> _ = prune(model)
    >>> models.count_parameters(model), models.count_parameters(compact(model))
    (1123570, 408469)
    """
    _network(model)
    followed, kept = thinning.paths(model), {}
    for layer in thinning.prunable(model, True, followed):
        silent = _silent(model, layer, followed)
        if silent.any():
            # A layer cannot be empty: of silent filters only, one stays.
            stay = (~silent).nonzero().flatten().tolist() or [0]
            if len(stay) < len(silent):
                kept[layer] = stay
    if not kept:
        raise ValueError(_nothing(model, followed))
    counts = {layer: len(stay) for layer, stay in kept.items()}
    options = model.options | {"keep": (model.options.get("keep") or {}) | counts}
    small = models.create(model.name, **options)
    before, state = model.state_dict(), thinning.selected(model, kept, followed)
    for layer, stay in kept.items():
        place = model.positions(layer) if hasattr(model, "positions") else None
        if place is not None:
            places = torch.tensor(stay)
            state[place] = before[place].cpu()[places] if place in before else places
    small = small.to(model.mean.device, model.mean.dtype).train(model.training)
    small.load_state_dict(state)
    small.bands, small.class_names = model.bands, model.class_names
    if hasattr(model, "metadata"):
        small.metadata = model.metadata
    return small


def _nothing(model, followed):
    """Say why there is nothing to take out."""
    stuck = {}
    for layer in followed.norms:
        reason = thinning.why_whole(model, layer, followed)
        weight = _rows(model.get_submodule(layer)).detach()
        if reason is not None and (weight.flatten(1) == 0).all(1).any() and weight.any():
            stuck.setdefault(reason, layer)
    if stuck:
        reasons = "; ".join(f"{layer} {reason}" for reason, layer in stuck.items())
        return f"{model.name} has zero filters, but none that can be taken out: {reasons}."
    if model.options.get("keep"):
        return (
            f"this {model.name} is compact already ({models.count_parameters(model):,} "
            "parameters): none of its filters is zero."
        )
    return (
        f"no filter of this {model.name} is zero (with its bias and normalisation), so there is "
        "nothing to take out. Fit with pruning.FPGM(rate=0.4) among the callbacks, or zero filters "
        "once with pruning.prune(model, rate=0.4)."
    )


def report(before, after, shape=(512, 512), runs=5, threads=1):
    """Compare networks before and after pruning: size, work, and measured time.

    All are timed on the CPU in the same run, in turn, so that a busy machine disturbs all alike.

    Parameters
    ----------
    before : toolkit.models.Network
        What the others are compared with.
    after : toolkit.models.Network or dict of str to toolkit.models.Network
        The compacted network, or several by name (such as ``{"rate 0.4": small}``).
    shape : tuple of int
        Height and width of the image in pixels, for multiply-adds and time.
    runs : int
        Timed runs of each network after one that is not counted; the median is reported.
    threads : int
        Threads of the CPU that torch may use.

    Returns
    -------
    pandas.DataFrame
        One row per network: parameters, file_mb (weights as safetensors, 1 MB = 10**6 bytes),
        macs (multiply-adds for one image), seconds_per_megapixel, and each of the four as a share
        of the first row's (..._ratio). Join accuracy to it by index. ``attrs`` say how it was
        measured. The paper's "theoretical acceleration" (Table 5) is 1 - macs_ratio.

    Raises
    ------
    ValueError
        The networks take different images, or runs or threads are below 1.

    Examples
    --------
    >>> report(model, compact(model), shape=(513, 513)).join(scores)  # doctest: +SKIP
    """
    networks = {"before": before, **(after if isinstance(after, dict) else {"after": after})}
    for network in networks.values():
        _network(network)
        if (network.in_channels, network.classes) != (before.in_channels, before.classes):
            raise ValueError(
                f"the networks differ in bands or classes: {before.in_channels} and "
                f"{before.classes} before, {network.in_channels} and {network.classes} after"
            )
    for what, value in (("runs", runs), ("threads", threads)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{what} must be a whole number >= 1, got {value!r}")
    table = pd.DataFrame(
        {
            "parameters": {name: models.count_parameters(m) for name, m in networks.items()},
            "file_mb": {name: _megabytes(m) for name, m in networks.items()},
            "macs": {name: models.macs(m, shape) for name, m in networks.items()},
            "seconds_per_megapixel": _seconds(networks, shape, runs, threads),
        },
        index=pd.Index(networks, name="network"),
    )
    for column in list(table):
        short = "seconds" if column.startswith("seconds") else column.removesuffix("_mb")
        table[f"{short}_ratio"] = table[column] / table[column].iloc[0]
    table.attrs = {"shape": tuple(shape), "runs": runs, "threads": threads, "device": "cpu"}
    return table


def _megabytes(model):
    with tempfile.TemporaryDirectory() as folder:
        return models.save(model, f"{folder}/model").stat().st_size / 1e6


def _seconds(networks, shape, runs, threads):
    """Return the median time of each network for a million pixels."""
    first = next(iter(networks.values()))
    image = torch.rand(1, first.in_channels, *shape, generator=torch.Generator().manual_seed(0))
    state = {name: (m.mean.device, m.training) for name, m in networks.items()}
    times, used = {name: [] for name in networks}, torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        for run in range(runs + 1):
            for name, model in networks.items():
                model.to("cpu").eval()
                with torch.inference_mode():
                    start = time.perf_counter()
                    model(image)
                    if run:
                        times[name].append(time.perf_counter() - start)
    finally:
        torch.set_num_threads(used)
        for name, model in networks.items():
            model.to(state[name][0]).train(state[name][1])
    megapixels = shape[0] * shape[1] / 1e6
    return {
        name: float(pd.Series(seconds).median()) / megapixels for name, seconds in times.items()
    }
