"""How does a network of many layers look? Its blocks from left to right, its resolutions in lanes.

`toolkit.models.diagram` draws this where single layers would be too many to read, as for HRNet,
whose branches run side by side.
"""

import math

import matplotlib.pyplot as plt
from matplotlib.patches import FancyBboxPatch


def lanes(layers, shape, colors):
    """Draw blocks of layers as boxes in lanes, one lane for each size of map.

    Parameters
    ----------
    layers : list of dict
        layer, kind (a key of `colors`, or None for layers that only count), channels, height,
        width, parameters, in the order in which an image passes them.
    shape : tuple of int
        Height and width of the image.
    colors : dict of str to str
        Colour of each kind.

    Returns
    -------
    matplotlib.figure.Figure, matplotlib.axes.Axes
    """
    boxes, sizes = {}, {}
    for row in layers:
        level = round(math.log2(shape[0] / row["height"]))
        box = boxes.setdefault(
            (_block(row["layer"]), level), {"kind": None, "channels": 0, "parameters": 0}
        )
        box["parameters"] += row["parameters"]
        box["channels"] = max(box["channels"], row["channels"])
        # Where a block does several things, its convolutions name its colour.
        if box["kind"] is None or row["kind"] == "convolution":
            box["kind"] = row["kind"]
        sizes.setdefault(level, f"{row['height']} × {row['width']}")
    boxes = {key: box for key, box in boxes.items() if box["kind"]}
    rows = {level: -i for i, level in enumerate(sorted({level for _, level in boxes}))}
    columns = {block: i for i, block in enumerate(dict.fromkeys(block for block, _ in boxes))}
    fig, ax = plt.subplots(figsize=(12, 1.9 + 0.6 * len(rows)), layout="constrained")
    plt.close(fig)
    for level, y in rows.items():
        own = [columns[block] for block, at in boxes if at == level]
        ax.plot([min(own), max(own)], [y, y], color="#bbbbbb", lw=1, zorder=0)
        ax.text(-0.7, y, sizes[level], ha="right", va="center", fontsize=8)
    for (block, level), box in boxes.items():
        x, y = columns[block], rows[level]
        style = "round,pad=0,rounding_size=0.08"
        color = colors[box["kind"]]
        ax.add_patch(FancyBboxPatch((x - 0.4, y - 0.3), 0.8, 0.6, boxstyle=style, color=color))
        count = f"\n{_short(box['parameters'])}" if box["parameters"] else ""
        ax.text(x, y, f"{box['channels']}{count}", ha="center", va="center", fontsize=6.5)
    bottom = min(rows.values())
    heads = [block.split(".")[0] for block in columns]
    for block, x in columns.items():
        head = block.split(".")[0]
        name = head if heads.count(head) == 1 else block
        ax.text(x, bottom - 0.45, name, rotation=60, ha="right", va="top", fontsize=7.5)
    ax.text(-0.4, 0.5, "in a box: channels (the most), trainable parameters", fontsize=7.5)
    ax.set(xlim=(-3, len(columns)), ylim=(bottom - 2, 0.9))
    ax.axis("off")
    return fig, ax


def _block(layer):
    """Return the block that a layer belongs to: stage3.1, head, ..."""
    parts = layer.split(".")
    return ".".join(parts[: 2 if len(parts) > 1 and parts[1].isdigit() else 1])


def _short(count):
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if count >= size:
            return f"{count / size:.3g}{unit}"
    return str(count)
