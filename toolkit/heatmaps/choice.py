"""Which layers and which channels are worth a look?"""

import re
from itertools import chain

import numpy as np
import pandas as pd

from toolkit import chips, maps
from toolkit.heatmaps.activations import alive, check_names, layers

# Pooling layers, upsampling steps and scores: where the paper's Figs. 3, 10 and 11 look.
SHOWN = re.compile(r"pool\d*|up\w*|score")
LABEL = "activation (unitless)"


def telling(features, label=None):
    """Name the most telling channel of each layer.

    Without a label it is the channel that varies most over the image (largest standard
    deviation); with one, the channel whose activation goes most closely with it, upwards or
    downwards (largest absolute Pearson correlation over the layer's cells). Layers of scores hold
    one channel for each class, and all vary alike: there it is the class that goes upwards with
    the label, or the last class without one.

    Parameters
    ----------
    features : dict of str to xarray.DataArray
        From :func:`features`.
    label : xarray.DataArray, optional
        Dims (y, x): a label of two classes (0, 1; 255 = nodata) or a quantity. Each cell gets the
        average of its ground. Of several classes take one, as numbers:
        ``(label == code).where(label != 255).astype("float32")``.

    Returns
    -------
    pandas.DataFrame
        Indexed by layer: ``channel``, its ``standard deviation``, its ``correlation`` with the
        label where there is one, the number of ``channels``, the share of ``live channels``.

    Raises
    ------
    ValueError
        No features, or a label that does not overlap or is the same everywhere.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> maps = xr.DataArray([[[0.0, 1.0]], [[0.0, 5.0]]], dims=("channel", "y", "x"))
    >>> int(telling({"pool1": maps}).channel["pool1"])
    1
    """
    if not features:
        raise ValueError("no features: ask for at least one layer")
    rows = {}
    for name, array in features.items():
        scores = spread(array) if label is None else correlation(array, label)
        if "class_names" in array.attrs:
            best = len(scores) - 1 if label is None else int(np.argmax(scores))
        else:
            # Of two that go with the label equally closely, the one that goes upwards.
            best = int(np.argmax(np.abs(scores) + 1e-6 * (scores > 0)))
        rows[name] = {"channel": best, "standard deviation": float(spread(array)[best])}
        if label is not None:
            rows[name]["correlation"] = float(scores[best])
        rows[name] |= {"channels": array.sizes["channel"], "live channels": alive(array)}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("layer")


def on_map(features, channel=None, label=None, cmap="magma"):
    """Turn feature maps into layers of a map, one channel of each.

    Colours run from the least value to the 99.5th percentile of each layer, as in
    :func:`gallery`. A map takes six layers: show the poolings and the upsampling steps on two.

    Parameters
    ----------
    features : dict of str to xarray.DataArray
        From :func:`features`.
    channel : None, int, "mean", or dict of layer to these
        Which channel: None takes the most telling one (:func:`telling`), "mean" the mean of all.
    label : xarray.DataArray, optional
        What the most telling channel goes with; see :func:`telling`.
    cmap : str
        A matplotlib colour map; magma, viridis and cividis are safe for colour-blind readers.

    Returns
    -------
    list of toolkit.maps.Layer
        For ``maps.show(*layers)``.

    Raises
    ------
    ValueError
        No features, or no such channel.

    Examples
    --------
    >>> pools = heatmaps.features(model, image, ["pool1", "pool3", "pool5"])  # doctest: +SKIP
    >>> maps.show(image, *heatmaps.on_map(pools, label=urban))                # doctest: +SKIP
    """
    if not features:
        raise ValueError("no features: ask for at least one layer")
    drawn = []
    for name, array in features.items():
        one, words = pick(array, of(channel, name, features), label)
        low, high = scale(one.values)
        drawn.append(maps.heatmap(one, f"{name}, {words}", cmap, low, high, LABEL))
    return drawn


def pick(array, channel=None, label=None):
    """Take one channel of a layer, or the mean of all; return it with its name in words."""
    name = array.name or "layer"
    if isinstance(channel, str) and channel == "mean":
        one, words = array.mean("channel", keep_attrs=True), "mean"
    else:
        if channel is None:
            channel = telling({name: array}, label)["channel"].iloc[0]
        count = array.sizes["channel"]
        whole = isinstance(channel, int | np.integer) and not isinstance(channel, bool)
        if not whole or not 0 <= channel < count:
            raise ValueError(
                f"channel={channel!r}: {name} has the channels 0 to {count - 1}; or take 'mean' "
                "for the mean of all, None for the most telling one"
            )
        one, words = array.isel(channel=int(channel), drop=True), called(array, channel)
    one.attrs = array.attrs | {"long_name": f"activation of {name}, {words}"}
    return one, words


def called(array, channel):
    """Return the name of a channel: its class in layers of scores, elsewhere its number."""
    names = array.attrs.get("class_names")
    return f"class {names[channel]}" if names else f"channel {channel}"


def of(channel, name, known):
    """Which channel is asked for in one layer?"""
    if isinstance(channel, dict):
        check_names(channel, list(known))
        return channel.get(name)
    return channel


def spread(array):
    """Return the standard deviation of each channel over the image."""
    return np.nan_to_num(np.nanstd(array.values, axis=(1, 2)))


def ranked(array):
    """Return the channels of a layer from the one that varies most to the one that varies least."""
    return np.argsort(-spread(array), kind="stable")


def correlation(array, label):
    """Pearson correlation of each channel with the label; 0 where a channel does not vary."""
    target = chips.align(label, array.rename(channel="band"), "average").values
    valid = np.isfinite(target) & np.isfinite(array.values[0])
    target = target[valid] - target[valid].mean()
    values = array.values[:, valid] - array.values[:, valid].mean(axis=1, keepdims=True)
    norm = np.linalg.norm(target)
    if norm == 0:
        raise ValueError(
            f"label: it is the same in every cell of {array.name}, so no channel can go with it. "
            "Take a larger image, or the channel that varies most (label=None)."
        )
    size = np.linalg.norm(values, axis=1)
    scores = np.divide(values @ target, size * norm, out=np.zeros(len(values)), where=size > 0)
    return scores.clip(-1, 1)


def scale(values):
    """Both ends of the colours: the least value and the 99.5th percentile."""
    low, high = float(np.nanmin(values)), float(np.nanpercentile(values, 99.5))
    if high <= low:  # nearly everywhere the same
        high = float(np.nanmax(values))
    return low, high if high > low else low + 1


def networks(models):
    """Return networks by name, be it one or several."""
    if not isinstance(models, dict):
        return {getattr(models, "name", type(models).__name__): models}
    if not models:
        raise ValueError("models: the dict is empty; give it at least one name and network")
    return {str(name): model for name, model in models.items()}


def wanted_layers(models, wanted=None):
    """Return the layers to show, of those that at least one of the networks has.

    By default the poolings, upsampling steps and scores of all networks; one that only some have
    comes after the layer that it follows there.
    """
    known = {}
    for name, model in models.items():
        if not hasattr(model, "placement"):
            raise TypeError(
                f"{name}: a {type(model).__name__} cannot tell where its layers lie (no method "
                "placement); use a network of toolkit.models"
            )
        known[name] = layers(model)
    if wanted is not None:
        wanted = [wanted] if isinstance(wanted, str) else list(dict.fromkeys(wanted))
        if not wanted:
            raise ValueError("layers: the list is empty; name at least one, or leave it out")
        check_names(wanted, list(dict.fromkeys(chain(*known.values()))))
        return wanted
    merged = []
    for names in sorted(known.values(), key=len, reverse=True):
        names = [name for name in names if SHOWN.fullmatch(name)] or names
        for at, name in enumerate(names):
            if name not in merged:
                merged.insert(merged.index(names[at - 1]) + 1 if at else 0, name)
    return merged


def present(model, shown):
    """Return those of these layers that a network has."""
    own = set(layers(model))
    return [name for name in shown if name in own]
