"""What do tile borders do to a network with instance normalisation, and what helps?"""

import numpy as np
import pandas as pd
import torch

from toolkit import chips, models
from toolkit.experiments.land_cover import scores


def pinned(model, image, window=1024):
    """Freeze the instance normalisation of an HRNet at the statistics of a whole scene.

    Instance normalisation takes mean and variance over the image that it is given. Cut into tiles,
    a scene has other means in every tile, and a field may change its class where two meet. Here
    the means are taken once, over the whole scene, and kept: what the network would do to the
    scene in one pass. From then on its receptive field is finite: tiles are exact with a halo that
    holds it, and nearly so with a smaller one (`unlike` measures it).

    Parameters
    ----------
    model : toolkit.models.Network
        HRNet with ``norm="instance"``.
    image : xarray.DataArray
        (band, y, x) the scene to be mapped. Another scene needs another pinned model: adapting to
        each scene is what instance normalisation is for.
    window : int
        Pixels that pass the first convolution at once.

    Returns
    -------
    toolkit.models.Network
        With ``norm="batch"``, whose running statistics are those of the scene.

    Raises
    ------
    ValueError
        The network has no instance normalisation behind its first convolution.
    """
    if getattr(model, "options", {}).get("norm") != "instance":
        raise ValueError("pinned: expected an HRNet with norm='instance'")
    if window % 2:
        raise ValueError(f"window={window}: give an even number, as the first stride is 2")
    device = next(model.parameters()).device
    total, square, count = 0.0, 0.0, 0
    rows, cols = image.shape[1:]
    for top in range(0, rows, window):
        for left in range(0, cols, window):
            # Two pixels more on the far sides and on the near ones, cut off again: no padding
            # inside the scene, except at its own border, where one pass has it too.
            t, b = max(0, top - 2), min(rows, top + window + 2)
            w, e = max(0, left - 2), min(cols, left + window + 2)
            part = torch.from_numpy(image.values[None, :, t:b, w:e].astype(np.float32)).to(device)
            with torch.inference_mode():
                first = model.conv1(model.standardise(part))
                near = (top - t) // 2, (left - w) // 2
                far = -(-min(window, rows - top) // 2), -(-min(window, cols - left) // 2)
                first = first[0, :, near[0] : near[0] + far[0], near[1] : near[1] + far[1]]
                first = first.double()
            total = total + first.sum((1, 2))
            square = square + (first**2).sum((1, 2))
            count += first[0].numel()
    mean = total / count
    variance = square / count - mean**2
    out = models.create(model.name, **(model.options | {"norm": "batch"}))
    state = model.state_dict() | {
        "norm1.running_mean": mean.float(),
        "norm1.running_var": variance.float(),
        "norm1.num_batches_tracked": torch.tensor(1),
    }
    out.load_state_dict(state)
    out.bands, out.class_names = model.bands, model.class_names
    return out.to(device).eval()


def unlike(model, place, tiles=(256, 512, 1024), halo=64):
    """Measure how much the choice of tiles changes a map.

    Parameters
    ----------
    model : toolkit.models.Network
        Trained.
    place : Ground
        Small enough for one pass over the whole: 2,000 x 2,000 pixels at most, about.
    tiles : sequence of int
        Sides of tiles in pixels.
    halo : int
        Pixels read around a tile.

    Returns
    -------
    pandas.DataFrame
        One row a tile size: changed (share of pixels of another class than in one pass), along
        the borders (share among pixels within 8 of a border between tiles), and overall accuracy.
    """
    whole = scores.class_map(scores.probability(model, place, tile=max(place.image.shape), halo=0))
    rows = [_row(place, "one pass", whole, whole, None)]
    for tile in tiles:
        found = scores.class_map(scores.probability(model, place, tile=tile, halo=halo))
        rows.append(_row(place, str(tile), whole, found, tile))
    return pd.DataFrame(rows).set_index("tile")


def _row(place, name, whole, found, tile):
    known = whole.values != chips.IGNORE
    other = (whole.values != found.values) & known
    border = np.zeros(known.shape, bool)
    if tile:
        for axis, size in enumerate(known.shape):
            at = np.arange(size)
            near = (at % tile < 8) | (at % tile >= tile - 8)
            near &= (at >= 8) & (at < size - 8)
            border |= np.expand_dims(near, 1 - axis)
    border &= known
    return {
        "tile": name,
        "changed": other.sum() / known.sum(),
        "along the borders": other[border].mean() if border.any() else np.nan,
        "overall": scores.agreement(place, found).overall,
    }
