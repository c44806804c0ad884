"""Tiled prediction: what do the halos cost, and does memory grow with the scene?

Prints (1) the cost of tiled over untiled prediction of one scene, beside the ratio of pixels that
pass the network, and the largest difference. The two take turns and the median over the rounds is
printed with its range: in CPU seconds, which other processes on the machine disturb little, and
in wall seconds, which they can change beyond recognition. (2) The peak memory of processes that
predict and write ever larger scenes, with a network so small that its own need hides nothing.
Random weights, simulated pixels.

    python benchmarks/tiled_prediction.py
"""

import math
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import dask.array as da
import numpy as np
import psutil
import torch
import xarray as xr

from toolkit import mapping, models

TILES = (256, 512, 1024)
SIDES = (2048, 4096, 8192)
ROUNDS = 3


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


class Smoothing(torch.nn.Module):
    """A 5 x 5 mean as the score of class 1: hardly any memory of its own."""

    in_channels, classes, total_stride, receptive_field, output_scale = 1, 2, 1, 5, 1.0

    def forward(self, x):
        """Return the scores."""
        mean = torch.nn.functional.avg_pool2d(x, 5, stride=1, padding=2)
        return torch.cat([torch.zeros_like(mean), mean], dim=1)


def timed(function):
    """Return CPU seconds, wall seconds and result of a call."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = function()
    return time.process_time() - cpu, time.perf_counter() - wall, result


def spread(values):
    """Write the median and the range."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def ratios(side=1536):
    """Compare tiled with untiled prediction."""
    model, image = network(), scene(side).compute()
    pixels = torch.from_numpy(image.values[None])

    def whole():
        with torch.inference_mode():
            return torch.softmax(model(pixels), dim=1)[0].numpy()

    lazy = {tile: mapping.predict(model, image, tile=tile) for tile in TILES}
    cpu, wall, difference = ({tile: [] for tile in TILES} for _ in range(3))
    base = []
    whole()  # the first pass sets up the threads
    for _ in range(ROUNDS):
        whole_cpu, whole_wall, expected = timed(whole)
        base.append(whole_cpu)
        for tile in TILES:
            tile_cpu, tile_wall, values = timed(lambda tile=tile: lazy[tile].values)
            cpu[tile].append(tile_cpu / whole_cpu)
            wall[tile].append(tile_wall / whole_wall)
            difference[tile].append(np.abs(values - expected).max())
    halo = math.ceil(model.receptive_field / 2 / model.total_stride) * model.total_stride
    print(f"IFCN at 1/16 width, {side} x {side} pixels, halo {halo}, {ROUNDS} rounds")
    print(f"  untiled: {spread(base)} CPU s")
    for tile in TILES:
        windows = sum(
            min(side, start + tile + halo) - max(0, start - halo) for start in range(0, side, tile)
        )
        print(
            f"  tile {tile}: tiled/untiled CPU {spread(cpu[tile])}, wall {spread(wall[tile])}, "
            f"pixels {(windows / side) ** 2:.2f}, largest difference {max(difference[tile]):.1e}"
        )


def memory(side):
    """Predict and write one scene in this process, print its peak memory in MB."""
    process, peak = psutil.Process(), [0]

    def watch():
        # Not ru_maxrss: on Linux a child starts with the peak of the process that started it.
        while True:
            peak[0] = max(peak[0], process.memory_info().rss)
            time.sleep(0.005)

    threading.Thread(target=watch, daemon=True).start()
    lazy = mapping.predict(Smoothing(), scene(side), tile=512, batch_size=2)
    with tempfile.TemporaryDirectory() as folder:
        mapping.write(mapping.classes(lazy), f"{folder}/classes.tif", progress=False)
    print(peak[0] / 2**20)


def main():
    """Run both parts."""
    ratios()
    print("predict and write, one process each:")
    for side in SIDES:
        run = [sys.executable, __file__, "memory", str(side)]
        result = subprocess.run(run, stdout=subprocess.PIPE, text=True, check=True)
        print(
            f"  {side} x {side}: peak memory {float(result.stdout):.0f} MB "
            f"(its input as one array: {side * side * 4 / 2**20:.0f} MB)"
        )


if __name__ == "__main__":
    memory(int(sys.argv[2])) if sys.argv[1:2] == ["memory"] else main()
