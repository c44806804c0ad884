"""Which filters can leave a network, and how does it look without them?

A filter's map passes layers that treat every channel by itself (normalisation, ReLU, pooling,
upsampling, concatenation) until convolutions mix it with others. If it ends in convolutions only,
it can leave with its slice of each layer on the way: the rest computes what it did when the map
was zero. If it is added to another map or enters attention, it cannot leave alone.

HRNet has a way round sums (index-add, see `toolkit.models.hrnet`) and makes itself with fewer
filters; for all others `thin` cuts a new network down.
"""

from dataclasses import dataclass, field

import torch
from torch import fx, nn
from torch.nn.modules.batchnorm import _NormBase

from toolkit.models.blocks import Upsample, _Layers

CONVOLUTIONS = nn.Conv2d | nn.ConvTranspose2d
CHANNELWISE = (
    nn.ReLU, nn.Dropout, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Identity, Upsample,
)  # fmt: skip


@dataclass
class Paths:
    """Where the maps of every convolution go.

    Attributes
    ----------
    inputs : dict of str to list of (str or None, int)
        For each convolution and normalisation the maps that it receives, in order: how many, and
        of which convolution (None: maps that are sums, or the image's bands).
    norms : dict of str to list of (str, int)
        For each convolution the normalisations its maps pass, and at which channel they start.
    ends : dict of str to str
        For convolutions whose maps do not end in convolutions only: what they end in.
    """

    inputs: dict = field(default_factory=dict)
    norms: dict = field(default_factory=dict)
    ends: dict = field(default_factory=dict)


def paths(model):
    """Follow the maps of all convolutions through a network.

    Parameters
    ----------
    model : Network
        Any network of `toolkit.models`.

    Returns
    -------
    Paths

    Raises
    ------
    ValueError
        What the network does depends on the values it sees, so that nobody can follow it.
    """
    try:
        nodes = _Layers().trace(model).nodes
    except (fx.proxy.TraceError, TypeError) as error:
        raise ValueError(
            f"{model.name} cannot be followed layer by layer ({error}), so no filter can be taken "
            "out of it safely"
        ) from error
    modules, found, result = dict(model.named_modules()), {}, Paths()
    for node in nodes:
        given = [found[n] for n in node.all_input_nodes if found.get(n) is not None]
        found[node] = None
        if node.op == "placeholder":
            found[node] = [(None, model.in_channels)]
        elif node.op == "call_module":
            found[node] = _through(result, modules[node.target], node.target, given)
        elif node.op == "output":
            _end(result, given, "in the output")
        elif _names(node) == "getattr" or node.target == "size":
            continue
        elif _names(node) == "cat" and node.kwargs.get("dim", (*node.args, 0)[1]) == 1:
            found[node] = [segment for segments in given for segment in segments]
        elif _names(node) in ("add", "index_add"):
            _end(result, given, "in a sum")
            found[node] = [(None, sum(n for _, n in given[0]))] if given else None
        elif _names(node) in ("interpolate", "pad", "relu", "dropout") or _crops(node):
            found[node] = given[0] if given else None
        else:
            _end(result, given, f"in {_names(node)}")
    return result


def _names(node):
    return node.target if isinstance(node.target, str) else node.target.__name__


def _crops(node):
    """Tell whether this takes rows and columns out of a map, ``x[..., a:b, c:d]``."""
    if _names(node) != "getitem":
        return False
    index = node.args[1]
    return isinstance(index, tuple) and index[0] is Ellipsis and len(index) == 3


def _end(result, given, what):
    for segments in given:
        for source, _ in segments:
            if source is not None:
                result.ends.setdefault(source, what)


def _through(result, module, name, given):
    """Return the maps after a layer, and note what it receives."""
    if isinstance(module, CONVOLUTIONS):
        if module.groups != 1 or name in result.inputs:
            result.ends[name] = "in several places"
            _end(result, given, f"in {name}")
        result.inputs[name] = _received(result, given, module.in_channels, name)
        result.norms.setdefault(name, [])
        return [(name, module.out_channels)]
    if isinstance(module, _NormBase):
        received, start = _received(result, given, module.num_features, name), 0
        for source, count in received:
            if source is not None:
                result.norms[source].append((name, start))
            start += count
        result.inputs[name] = received
        return received
    if isinstance(module, CHANNELWISE):
        return given[0] if given else None
    _end(result, given, f"in {name}")
    return None


def _received(result, given, count, name):
    """Return the maps that enter a layer; unnamed ones where they could not be followed."""
    if len(given) == 1 and sum(n for _, n in given[0]) == count:
        return given[0]
    _end(result, given, f"in {name}")
    return [(None, count)]


def prunable(model, everything=False, followed=None):
    """List the convolutions that pruning may thin out.

    A network may have its own rule, as HRNet has (`toolkit.models.hrnet.HRNet.prunable`). Of all
    others, those trained convolutions whose maps end in convolutions only, except the scores.

    Parameters
    ----------
    model : Network
        Any network of `toolkit.models`.
    everything : bool
        Also convolutions that a network's own rule leaves whole though they could be thinned.
    followed : Paths, optional
        What `paths` returned for the model.

    Returns
    -------
    list of str

    Examples
    --------
    >>> from toolkit import models
    >>> prunable(models.create("sen2hse"))[-2:]
    ['conv4_1', 'conv4_2']
    """
    if hasattr(model, "prunable"):
        return model.prunable(fused=everything)
    followed = followed or paths(model)
    return [name for name in followed.norms if why_whole(model, name, followed) is None]


def why_whole(model, layer, followed=None):
    """Say why the filters of a layer must stay, or None where they need not.

    Parameters
    ----------
    model : Network
        Any network of `toolkit.models`.
    layer : str
        Name of a layer.
    followed : Paths, optional
        What `paths` returned for the model.

    Returns
    -------
    str or None
    """
    module = dict(model.named_modules()).get(layer)
    if not isinstance(module, CONVOLUTIONS):
        return "is no convolution" if module is not None else "does not exist"
    if "score" in layer.rsplit(".", 1)[-1]:
        return "makes scores of the classes"
    if not module.weight.requires_grad:
        return "is fixed, not trained"
    if hasattr(model, "prunable"):
        if layer not in model.prunable(fused=True):
            return "is no convolution of a residual block"
        return None
    end = (followed or paths(model)).ends.get(layer)
    return None if end is None else f"ends {end}, which needs all its channels"


def selected(model, kept, followed=None):
    """Return the weights of a network without the filters that leave.

    Parameters
    ----------
    model : Network
        The whole network.
    kept : dict of str to list of int
        For each thinned convolution the filters that stay, in rising order.
    followed : Paths, optional
        What `paths` returned for the model.

    Returns
    -------
    dict of str to torch.Tensor
        A state dict, with views and copies of the model's tensors.
    """
    followed = followed or paths(model)
    modules, state = dict(model.named_modules()), dict(model.state_dict())
    for name, segments in followed.inputs.items():
        module, positions, start = modules[name], [], 0
        for source, count in segments:
            positions += [start + i for i in kept.get(source, range(count))]
            start += count
        for key in [key for key in state if key.rpartition(".")[0] == name]:
            axis = int(isinstance(module, nn.ConvTranspose2d))
            if isinstance(module, _NormBase):
                state[key] = _take(state[key], 0, positions)
            elif state[key].ndim == 4:
                given = _take(state[key], 1 - axis, positions)
                state[key] = _take(given, axis, kept.get(name))
            else:
                state[key] = _take(state[key], 0, kept.get(name))
    return state


def _take(tensor, axis, positions):
    """Take some slices of a tensor; all of them of a count without slices."""
    if positions is None or tensor.ndim == 0 or len(positions) == tensor.shape[axis]:
        return tensor
    return tensor.index_select(axis, torch.tensor(positions, device=tensor.device))


def thin(model, keep):
    """Cut a network down, in place: layers keep their first filters.

    This makes the shapes into which the weights of a compacted network are loaded.

    Parameters
    ----------
    model : Network
        A network without its own rule.
    keep : dict of str to int
        How many filters a layer keeps.

    Returns
    -------
    Network
        The same.

    Raises
    ------
    ValueError
        A layer does not exist or must stay whole, or the number is impossible.
    """
    followed = paths(model)
    for layer, count in keep.items():
        reason = why_whole(model, layer, followed)
        if reason is not None:
            raise ValueError(f"{model.name}: keep names {layer!r}, which {reason}")
        filters = model.get_submodule(layer).out_channels
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= filters:
            raise ValueError(
                f"{model.name}: keep[{layer!r}] must be a whole number from 1 to {filters}, "
                f"got {count!r}"
            )
    kept = {layer: list(range(count)) for layer, count in keep.items()}
    for key, tensor in selected(model, kept, followed).items():
        name, _, own = key.rpartition(".")
        module = model.get_submodule(name)
        old = getattr(module, own)
        if old.shape == tensor.shape:
            continue
        tensor = tensor.detach().clone()
        if isinstance(old, nn.Parameter):
            tensor = nn.Parameter(tensor, old.requires_grad)
        setattr(module, own, tensor)
        if isinstance(module, _NormBase):
            module.num_features = len(tensor)
        elif own == "weight":
            axis = int(isinstance(module, nn.ConvTranspose2d))
            module.out_channels, module.in_channels = tensor.shape[axis], tensor.shape[1 - axis]
    model.options["keep"] = dict(keep)
    return model
