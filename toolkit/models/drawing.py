"""How does a network look? A figure drawn from the network itself, with shapes and counts."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Patch

from toolkit.models.lanes import lanes

MANY = 40  # bars that are too many to read: blocks are drawn instead

# Okabe-Ito: one colour for what a layer does.
KINDS = {
    "convolution": "#56B4E9",
    "pooling": "#E69F00",
    "upsampling": "#009E73",
    "class scores": "#CC79A7",
}


def diagram(model, shape, title=None):
    """Draw the layers of a network in the order in which an image passes them.

    A bar is a layer: the higher, the more pixels its maps have; the wider, the more channels.
    Convolutions of equal shape that follow each other share a bar. Below stand the layers' names,
    inside channels and size, above the trainable parameters. Normalisation and dropout are left
    out, as they change no shape. Networks of very many layers (HRNet, ResNet50) are drawn as
    blocks in lanes, one lane for each size of map.

    Parameters
    ----------
    model : Network
        The network.
    shape : tuple of int
        Height and width of one image in pixels.
    title : str, optional
        By default the network's name, with its number of parameters and multiply-adds.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> from toolkit import models
    >>> len(diagram(models.create("fcn32s", width=0.125), (64, 64)).axes)
    1
    """
    from toolkit.models import count_parameters, macs, summary

    layers = [row | {"kind": _kind(row)} for row in summary(model, shape).to_dict("records")]
    bars = _bars(layers)
    fig, ax = lanes(layers, shape, KINDS) if len(bars) > MANY else _row(bars)
    fig.legend(
        handles=[Patch(color=color, label=kind) for kind, color in KINDS.items()],
        loc="outside lower center",
        ncols=len(KINDS),
        frameon=False,
    )
    total = (
        f"{count_parameters(model):,} parameters, {macs(model, shape) / 1e9:.3g} G multiply-adds"
    )
    ax.set_title(title or f"{model.name}: {total} for {shape[0]} × {shape[1]} pixels")
    return fig


def _row(bars):
    """Draw one bar a layer, side by side."""
    fig, ax = plt.subplots(figsize=(12, 4.2), layout="constrained")
    plt.close(fig)  # the notebook shows the returned figure, once
    left = 0.0
    for bar in bars:
        width = 0.35 + 0.12 * np.log2(bar["channels"])
        height = 1 + np.log2(max(bar["height"], 1))
        ax.bar(left + width / 2, height, width, -height / 2, color=KINDS[bar["kind"]], ec="white")
        middle = left + width / 2
        text = f"{bar['channels']} × {bar['height']} × {bar['width']}"
        ax.text(middle, 0, text, rotation=90, ha="center", va="center", fontsize=8)
        ax.text(middle, -5.0, bar["label"], rotation=60, ha="right", va="top", fontsize=8)
        if bar["parameters"]:
            count = f"{bar['parameters']:,}"
            ax.text(middle, height / 2 + 0.15, count, rotation=60, va="bottom", fontsize=7)
        left += width + 0.14
    ax.set(xlim=(-0.6, left + 0.5), ylim=(-7.6, 7.4))
    ax.axis("off")
    return fig, ax


def _bars(layers):
    """One entry a bar: layers that change a shape, runs of equal convolutions put together."""
    bars = []
    for row in layers:
        kind = row["kind"]
        if kind is None:
            continue
        last = bars[-1] if bars else None
        same = last and all(last[k] == row[k] for k in ("channels", "height", "width"))
        if same and kind == last["kind"] == "convolution":
            last["parameters"] += row["parameters"]
            last["label"] = f"{last['label'].split(' to ')[0]} to {row['layer']}"
        else:
            bars.append({**row, "label": row["layer"]})
    return bars


def _kind(row):
    name = row["kind"].lower()
    if "pool" in name:
        return "pooling"
    if "norm" in name or "dropout" in name:
        return None
    if "bilinear" in name or "transpose" in name or "upsample" in name:
        return "upsampling"
    if row["layer"].split(".")[-1].startswith("score"):
        return "class scores"
    return "convolution" if "conv" in name else None
