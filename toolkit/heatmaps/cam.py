"""Which places speak for a class?"""

import numpy as np
import scipy.ndimage
import torch
import xarray as xr

from toolkit.heatmaps.activations import LIMIT, carried, evaluating, hooked, prepared


def gradcam(model, image, target, layer, mask=None, limit=LIMIT):
    """Show which places speak for a class, by Grad-CAM for segmentation.

    The scores of the target class are summed over the pixels of `mask`; the gradient of this sum,
    averaged over the cells of each channel, weighs the channels; the positive part of the weighted
    sum of channels is the map:
    ``a_k = mean_ij(d sum_M(y^c) / d A_ij^k)``, ``L = ReLU(sum_k a_k A^k)``.

    Vinogradova, Dibrov and Myers (2020), `Towards Interpretable Semantic Segmentation via
    Gradient-weighted Class Activation Mapping`, AAAI 34, eqs. 1 and 2, after Selvaraju et al.
    (2017).

    Parameters
    ----------
    model : toolkit.models.Network
        The network; it is used in evaluation mode and left in the mode it was in.
    image : xarray.DataArray
        Dims (band, y, x), physical units, NaN = no data.
    target : int or str
        Position of the class, or its name where the model knows names (``class_names``).
    layer : str
        A name from :func:`layers`; late layers with wide view are the usual choice.
    mask : array_like of bool, optional
        Pixels (y, x) whose scores are explained; by default all with data.
    limit : int
        Most pixels of an image.

    Returns
    -------
    xarray.DataArray
        Dims (y, x), float32, 0 to 1 on the image's grid (bilinear between the layer's cells),
        divided by its maximum; all 0 where nothing speaks for the class. NaN = no data.

    Raises
    ------
    KeyError, ValueError
        Unknown layer or class, or a mask that is empty or does not fit the image.

    Examples
    --------
    >>> gradcam(model, image, target=1, layer="pool4").plot()  # doctest: +SKIP
    """
    x = prepared(model, image, [layer], limit)
    index, label = _target(model, target)
    valid = ~torch.isnan(x[0]).all(dim=0).cpu().numpy()
    caught = []

    def keep(_module, _inputs, output):
        if not output.requires_grad:  # a frozen network
            output = output.detach().requires_grad_()
        caught.append(output)
        return output

    with evaluating(model), hooked(model, {layer: keep}), torch.enable_grad():
        scores = model(x)[0, index]
        chosen = _pixels(mask, valid, scores.shape)
        (gradient,) = torch.autograd.grad(
            scores[torch.from_numpy(chosen).to(scores.device)].sum(), caught[-1], allow_unused=True
        )
    if gradient is None:
        raise ValueError(f"the scores do not depend on layer {layer!r}; choose one before them")
    activation = caught[-1].detach()[0]
    weights = gradient[0].mean(dim=(1, 2))
    cam = torch.relu((weights[:, None, None] * activation).sum(dim=0)).float().cpu().numpy()
    stride, offset = model.placement(layer)
    # Pixel p has its centre at (p + 0.5 - offset) / stride - 0.5, counted in cells.
    heat = scipy.ndimage.affine_transform(
        cam,
        [1 / stride] * 2,
        offset=(0.5 - offset) / stride - 0.5,
        output_shape=valid.shape,
        order=1,
        mode="nearest",
    )
    peak = heat[valid].max()
    heat = np.where(valid, heat / peak if peak > 0 else 0, np.nan).astype(np.float32)
    attrs = carried(image) | {
        "long_name": f"Grad-CAM of {label} at {layer}",
        "units": "1",
        "layer": layer,
        "target": label,
        "peak": float(peak),
    }
    coords = {"y": image.y.values, "x": image.x.values}
    array = xr.DataArray(heat, coords, ("y", "x"), "gradcam", attrs)
    return array.rio.write_crs(image.rio.crs)


def _target(model, target):
    """Return position and name of a class."""
    names = getattr(model, "class_names", None) or (getattr(model, "metadata", None) or {}).get(
        "classes", []
    )
    names = [entry["name"] if isinstance(entry, dict) else str(entry) for entry in names]
    if isinstance(target, str):
        if target not in names:
            known = ", ".join(names) if names else "the model knows no names, pass a position"
            raise KeyError(f"no class {target!r}: {known}")
        return names.index(target), target
    if not 0 <= target < model.classes:
        raise ValueError(f"target={target}: the model has the classes 0 to {model.classes - 1}")
    return int(target), names[target] if names else f"class {target}"


def _pixels(mask, valid, shape):
    """Return the cells of the output whose scores are summed."""
    chosen = valid
    if mask is not None:
        mask = np.asarray(mask).astype(bool)
        if mask.shape != valid.shape:
            raise ValueError(f"mask: expected the image's shape {valid.shape}, got {mask.shape}")
        chosen = mask & valid
        if not chosen.any():
            raise ValueError("mask: it selects no pixel that holds data")
    cell = valid.shape[0] // shape[0]
    chosen = chosen[: shape[0] * cell, : shape[1] * cell]
    return chosen.reshape(shape[0], cell, shape[1], cell).any(axis=(1, 3))
