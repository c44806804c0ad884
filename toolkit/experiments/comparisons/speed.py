"""How long does a network take for a megapixel: with torch, and with a faster engine for CPUs?"""

import importlib.util
import time
import warnings
from copy import deepcopy

import numpy as np
import pandas as pd
import torch

from toolkit import pruning

ENGINE = "openvino"
"""The faster engine. It is no dependency of the project: where it is not installed, its times are
missing. ``pip install openvino`` adds it."""


def measured(networks, side=256, runs=5):
    """Time networks on one core of this machine, in turn.

    Parameters
    ----------
    networks : dict of str to toolkit.models.Network
        By name, with the same bands and classes.
    side : int
        Of the square image, pixels.
    runs : int
        Timed runs after one that is not counted; the median is reported.

    Returns
    -------
    pandas.DataFrame
        By name: torch_seconds and fast_seconds per megapixel, by torch and by OpenVINO in the same
        precision (float32; by default OpenVINO computes in bfloat16 where the CPU can, which is
        faster still and moves logits by up to 1), fast_error (largest difference of the two in a
        logit). NaN where OpenVINO is not installed or cannot run the network.

    Raises
    ------
    ValueError
        No network.
    """
    if not networks:
        raise ValueError("give at least one network, as {name: network}")
    first = next(iter(networks))
    rest = {name: model for name, model in networks.items() if name != first}
    table = pruning.report(networks[first], rest, shape=(side, side), runs=runs, threads=1)
    out = pd.DataFrame({"torch_seconds": table["seconds_per_megapixel"].to_numpy()}, list(networks))
    for name, model in networks.items():
        out.loc[name, ["fast_seconds", "fast_error"]] = _fast(model, side, runs)
    return out


def _fast(model, side, runs):
    """Median seconds per megapixel, and largest difference to torch, of the other engine."""
    if importlib.util.find_spec(ENGINE) is None:
        return np.nan, np.nan
    import openvino

    image = torch.rand(1, model.in_channels, side, side, generator=torch.Generator().manual_seed(0))
    image = image * model.std.view(1, -1, 1, 1).cpu() + model.mean.view(1, -1, 1, 1).cpu()
    model = deepcopy(model).cpu().eval()
    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    with torch.inference_mode():
        wanted = model(image).numpy()
    try:
        with warnings.catch_warnings():
            # The checks of an image's shape have been passed above.
            warnings.simplefilter("ignore", torch.jit.TracerWarning)
            # Left to itself, OpenVINO has torch check its trace, which doubles the time.
            traced = torch.jit.trace(model, image, check_trace=False)
            converted = openvino.convert_model(traced, example_input=image, input=list(image.shape))
        run = openvino.Core().compile_model(converted, "CPU", settings)
    except (RuntimeError, ValueError) as error:
        print(f"{model.name}: {ENGINE} cannot run it ({str(error).splitlines()[0]})")
        return np.nan, np.nan
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        found = run(image.numpy())[0]
        times.append(time.perf_counter() - start)
    return float(np.median(times[1:])) / side**2 * 1e6, float(np.abs(found - wanted).max())
