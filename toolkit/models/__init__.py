"""What are the networks? One file per family; here they are made, counted, saved and loaded.

Examples
--------
>>> from toolkit import models
>>> network = models.create("ifcn", width=0.125, fc_width=1024, fc_kernel=3)
>>> models.count_parameters(network)
321328
>>> network.receptive_field
367
"""

from toolkit import _torchvision  # noqa: F401, I001  (before anything that imports torchvision)

import contextlib
import difflib
import hashlib
import inspect
import json
import os
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

from toolkit.models import attention, densenet, dlinknet, fcn, hrnet, resnet, sen2hse, unet
from toolkit.models.drawing import diagram
from toolkit.models.network import Network
from toolkit.models.thinning import thin

# Every family brings its own dictionary: name -> builder(name, in_channels, classes, width, ...).
BUILDERS = {
    **fcn.BUILDERS,
    **hrnet.BUILDERS,
    **densenet.BUILDERS,
    **unet.BUILDERS,
    **dlinknet.BUILDERS,
    **sen2hse.BUILDERS,
    **resnet.BUILDERS,
    **attention.BUILDERS,
}

__all__ = [
    "Network",
    "count_parameters",
    "create",
    "diagram",
    "load",
    "macs",
    "names",
    "save",
    "summary",
]


def names():
    """Return the names of the networks that exist.

    Examples
    --------
    >>> from toolkit import models
    >>> "ifcn" in models.names()
    True
    """
    return list(BUILDERS)


def create(name, in_channels=1, classes=2, width=1.0, seed=0, **own):
    """Create a network with fresh weights.

    Parameters
    ----------
    name : str
        One of `names`.
    in_channels, classes : int
        Number of bands and of classes.
    width : float
        Factor on all channel numbers: 1 as published, 0.125 for a laptop.
    seed : int or None
        Seed of the initial weights, which leaves torch's own random state alone. None draws them
        from that state.
    **own
        Options of the network, which its class describes: ``fc_width``, ``fc_kernel``,
        ``dropout``, ``alignment``, ``front_lr`` and ``pretrained`` in `toolkit.models.fcn.FCN`,
        ``poolings`` and ``batch_norm`` in `toolkit.models.unet.UNet`, and so on. All have
        ``keep``, a dict of how many filters pruned layers keep (`toolkit.pruning.compact`).

    Returns
    -------
    Network

    Raises
    ------
    KeyError
        No network has this name.
    TypeError
        The network has no such option.
    ValueError
        An option has an impossible value.

    Examples
    --------
    >>> from toolkit import models
    >>> models.create("fcn8s", in_channels=3, width=0.125).total_stride
    32
    """
    if name not in BUILDERS:
        near = difflib.get_close_matches(str(name), BUILDERS, n=1, cutoff=0.4)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise KeyError(f"there is no network {name!r}.{hint} There are: {', '.join(BUILDERS)}")
    known = inspect.signature(getattr(BUILDERS[name], "func", BUILDERS[name])).parameters
    # What a name stands for (FCN8s has two skips) is keyword-only, and fixed: no option.
    known = [key for key, p in known.items() if p.kind is not p.KEYWORD_ONLY and key != "name"]
    for option in own:
        if option not in {*known, "keep"}:
            near = difflib.get_close_matches(option, [*known, "seed"], n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise TypeError(
                f"{name} has no option {option!r}.{hint} Its options: {', '.join(known)}, seed"
            )
    keep = None if "keep" in known else own.pop("keep", None)
    with torch.random.fork_rng(enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        model = BUILDERS[name](name, in_channels=in_channels, classes=classes, width=width, **own)
    return thin(model, keep) if keep else model


def count_parameters(model):
    """Count the trainable parameters of a model (fixed bilinear weights are not among them).

    Examples
    --------
    >>> from toolkit import models
    >>> models.count_parameters(models.create("fcn8s", width=0.125))
    2100446
    """
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _trace(model, shape):
    """Run the model on tensors without content; return (name, module, input, output) per layer."""
    height, width = shape[-2:]
    calls, hooks = [], []
    for name, module in model.named_modules():
        if name and not list(module.children()):
            hooks.append(
                module.register_forward_hook(
                    lambda m, args, out, name=name: calls.append(
                        (name, m, args[0].shape, out.shape)
                    )
                )
            )
    training = model.training
    tensors = {
        key: value.to("meta") for key, value in [*model.named_parameters(), *model.named_buffers()]
    }
    try:
        model.eval()
        image = torch.empty(1, model.in_channels, height, width, device="meta")
        with torch.no_grad():
            torch.func.functional_call(model, tensors, (image,))
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return calls


def _macs(module, shape_in, shape_out):
    """Multiply-adds of one layer for one image."""
    if isinstance(module, nn.ConvTranspose2d):
        return shape_in[1:].numel() * module.weight[0].numel()
    if isinstance(module, nn.Conv2d | nn.Linear):
        return shape_out[1:].numel() * module.weight[0].numel()
    return 0


def macs(model, shape):
    """Count the multiply-adds of convolutions, transposed convolutions and linear layers.

    Parameters
    ----------
    model : Network
        The network.
    shape : tuple of int
        Height and width of one image; leading dimensions are ignored.

    Returns
    -------
    int
        Multiply-adds for one image. Nothing is computed: the layers see tensors without content.
        The rim that `same` alignment replicates before upsampling is not counted, nor are the
        products of all pairs in `fcn_dual_attention`.

    Examples
    --------
    >>> from toolkit import models
    >>> round(models.macs(models.create("ifcn", width=0.125), (224, 224)) / 1e9, 2)
    0.33
    """
    return sum(_macs(module, given, made) for _, module, given, made in _trace(model, shape))


def summary(model, shape):
    """List the layers in the order in which an image passes them.

    Parameters
    ----------
    model : Network
        The network.
    shape : tuple of int
        Height and width of one image.

    Returns
    -------
    pandas.DataFrame
        layer, kind, channels, height, width, stride (input pixels per cell), parameters
        (trainable), fixed (weights that are not trained), macs.

    Examples
    --------
    >>> from toolkit import models
    >>> models.summary(models.create("fcn32s", width=0.125), (64, 64)).layer.iloc[-1]
    'upscore'
    """
    rows = []
    for name, module, given, made in _trace(model, shape):
        own = list(module.parameters())
        rows.append(
            {
                "layer": name,
                "kind": type(module).__name__,
                "channels": made[1],
                "height": made[-2],
                "width": made[-1],
                "stride": model.placement(name)[0] if name in model.cells else None,
                "parameters": sum(p.numel() for p in own if p.requires_grad),
                "fixed": sum(p.numel() for p in own if not p.requires_grad),
                "macs": _macs(module, given, made),
            }
        )
    return pd.DataFrame(rows)


def _files(path):
    path = Path(path)
    if path.suffix in (".safetensors", ".json"):
        path = path.with_suffix("")
    return path.with_name(path.name + ".safetensors"), path.with_name(path.name + ".json")


def save(model, path, **metadata):
    """Save a model as weights (safetensors) and a JSON that says what they are.

    Loading such files runs no code, unlike a pickled model.

    Parameters
    ----------
    model : Network
        The network.
    path : str or Path
        Where to; ``.safetensors`` and ``.json`` are appended. Both files replace older ones only
        when they are complete.
    **metadata
        Anything JSON can hold; `load` returns it as ``model.metadata``.

    Returns
    -------
    Path
        The file of weights.
    """
    weights, card = _files(path)
    weights.parent.mkdir(parents=True, exist_ok=True)
    content = save_tensors({k: v.detach().cpu() for k, v in model.state_dict().items()})
    description = {
        "name": model.name,
        "options": model.options,
        "bands": model.bands,
        "class_names": model.class_names,
        # Ties the two files together: weights of another run do not pass for these.
        "sha256": hashlib.sha256(content).hexdigest(),
        "metadata": metadata,
    }
    text = json.dumps(description, indent=2)
    for file, data in ((weights, content), (card, text.encode())):
        part = file.with_name(file.name + ".part")
        try:
            part.write_bytes(data)
            os.replace(part, file)
        finally:
            with contextlib.suppress(FileNotFoundError):
                part.unlink()
    return weights


def load(path):
    """Load a model that `save` wrote.

    Parameters
    ----------
    path : str or Path
        With or without the ending.

    Returns
    -------
    Network
        In evaluation mode, with ``.metadata``, ``.bands`` and ``.class_names``.

    Raises
    ------
    FileNotFoundError
        One of the two files is missing.
    ValueError
        The files are truncated, damaged, or do not belong together.
    """
    weights, card = _files(path)
    for file in (weights, card):
        if not file.is_file():
            raise FileNotFoundError(
                f"{file} does not exist. A saved model is two files, {weights.name} and "
                f"{card.name}: copy both, or train and save it again."
            )
    try:
        description = json.loads(card.read_text())
        name, options = description["name"], description["options"]
        metadata = description["metadata"]
        bands, class_names = description["bands"], description["class_names"]
        checksum = description["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{card} is not the description of a saved model: {error!r}") from error
    content = weights.read_bytes()
    if hashlib.sha256(content).hexdigest() != checksum:
        raise ValueError(
            f"{weights} ({len(content):,} bytes) is truncated, damaged, or not the weights that "
            f"{card.name} describes. Copy both files again, or train and save the model again."
        )
    try:
        model = create(name, **options)
        model.load_state_dict(load_tensors(content))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).split("\n\t")[:2][-1]  # torch lists every layer; the first will do
        raise ValueError(
            f"{card} asks for a {name} with {options}, and that does not fit: {reason}"
        ) from error
    model.metadata, model.bands, model.class_names = metadata, bands, class_names
    return model.eval()
