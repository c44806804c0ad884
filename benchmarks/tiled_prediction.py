"""Tiled prediction: what do the halos cost, and does memory grow with the scene?

Prints (1) the seconds of tiled and of untiled prediction of one scene in the same run, their
ratio and the largest difference, beside the ratio of pixels that pass the network; (2) the peak
memory of a process that predicts and writes a small and a 16 times larger scene. Random weights,
simulated pixels.

    python benchmarks/tiled_prediction.py
"""

import math
import resource
import subprocess
import sys
import tempfile
import time

import dask.array as da
import numpy as np
import torch
import xarray as xr

from toolkit import mapping, models

TILES = (256, 512, 1024)
SIDES = (1024, 4096)


def scene(side):
    """Return a lazy simulated image of one band."""
    at = np.arange(side) + 0.5
    values = da.random.default_rng(0).normal(size=(1, side, side), chunks=(1, 512, 512))
    return xr.DataArray(
        values.astype("float32"),
        dims=("band", "y", "x"),
        coords={"band": ["lights"], "y": -500.0 * at, "x": 500.0 * at},
    ).rio.write_crs("EPSG:32735")


def network():
    """Return a narrow IFCN."""
    return models.create("ifcn", width=0.0625, fc_width=1024, fc_kernel=3).eval()


def seconds(function):
    """Return the least of two timings of a call, and its result."""
    times = []
    for _ in range(2):
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
    return min(times), result


def ratios(side=1536):
    """Compare tiled with untiled prediction."""
    model, image = network(), scene(side).compute()
    pixels = torch.from_numpy(image.values[None])

    def whole():
        with torch.inference_mode():
            return torch.softmax(model(pixels), dim=1)[0].numpy()

    untiled, expected = seconds(whole)
    halo = math.ceil(model.receptive_field / 2 / model.total_stride) * model.total_stride
    print(f"IFCN at 1/16 width, {side} x {side} pixels, halo {halo}: untiled {untiled:.2f} s")
    for tile in TILES:
        lazy = mapping.predict(model, image, tile=tile)
        tiled, values = seconds(lambda lazy=lazy: lazy.values)
        windows = sum(
            min(side, start + tile + halo) - max(0, start - halo) for start in range(0, side, tile)
        )
        print(
            f"  tile {tile:4}: tiled {tiled:5.2f} s, tiled/untiled {tiled / untiled:.2f} "
            f"(pixels {(windows / side) ** 2:.2f}), "
            f"largest difference {np.abs(values - expected).max():.1e}"
        )


def memory(side):
    """Predict and write one scene in this process, print its peak memory in MB."""
    lazy = mapping.predict(network(), scene(side), tile=512, batch_size=1)
    with tempfile.TemporaryDirectory() as folder:
        mapping.write(mapping.classes(lazy), f"{folder}/classes.tif", progress=False)
    # Kilobytes on Linux, bytes on macOS.
    print(
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        / (2**20 if sys.platform == "darwin" else 1024)
    )


def main():
    """Run both parts."""
    ratios()
    peaks = []
    for side in SIDES:
        start = time.perf_counter()
        run = [sys.executable, __file__, "memory", str(side)]
        peaks.append(float(subprocess.run(run, capture_output=True, text=True, check=True).stdout))
        print(
            f"predict and write {side} x {side}: peak memory {peaks[-1]:.0f} MB, "
            f"{time.perf_counter() - start:.0f} s"
        )
    growth, pixels = peaks[1] / peaks[0], (SIDES[1] / SIDES[0]) ** 2
    print(f"{pixels:.0f} times the pixels, {growth:.2f} times the memory")


if __name__ == "__main__":
    memory(int(sys.argv[2])) if sys.argv[1:2] == ["memory"] else main()
