"""Upscaling: how long does a country take, and does memory grow with it?

Streams a simulated mosaic (one simulated city, mirrored and repeated without end, ten bands at
10 m) through Sen2HSE-Net into a cloud-optimised GeoTIFF of classes at 20 m, twice: a sixteenth of
the size first, then the whole. Prints megapixels per second (pixels of 10 m) and the peak memory of
each, their ratio, and the time for Denmark and Henan at the rate of the larger, with the
arithmetic; in CPU hours too, which other work on the machine disturbs little. One process for each
size. Peak memory is the largest resident set, sampled. (Not ru_maxrss: it keeps the peak of the
process that started this one.)

The network is not trained: weights do not change the time. The mosaic is read from memory, so a
real one adds what reading it takes.

    python benchmarks/upscaling.py --megapixels 40        # some minutes
    python benchmarks/upscaling.py > results/upscaling.txt     # all of Denmark; chapter 4 shows it
    python benchmarks/upscaling.py --output denmark.tif        # goes on if stopped
"""

import argparse
import datetime
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import dask.array as da
import numpy as np
import psutil
import torch
import xarray as xr

from toolkit import catalog, mapping, models, papers

PIXEL = 10
"""Metres."""
PART = 16
"""The first of the two sizes is the second divided by this."""


def mosaic(megapixels, style, size, seed=0):
    """Return a lazy square mosaic: a simulated city, mirrored so that its edges fit, repeated."""
    city = catalog.open("scene/sentinel2", seed=seed, style=style, size=size)
    values = np.ascontiguousarray(city.values)
    tile = da.from_array(values, chunks=values.shape)
    tile = da.concatenate([tile, tile[:, :, ::-1]], axis=2)
    tile = da.concatenate([tile, tile[:, ::-1]], axis=1)
    side = 2 * round(math.sqrt(megapixels * 1e6) / 2)
    copies = [-(-side // n) for n in tile.shape[1:]]
    pixels = da.tile(tile, (1, *copies))[:, :side, :side]
    at = PIXEL * (np.arange(side) + 0.5)
    west, north = 400_000.0, 6_400_000.0
    coords = {"band": city.band.values, "y": north - at, "x": west + at}
    attrs = {"simulated": True, "title": "Mosaic of one simulated city, repeated"}
    return xr.DataArray(pixels, coords, ("band", "y", "x"), attrs=attrs).rio.write_crs(32632)


def one(options):
    """Map one mosaic in this process and print what it took as a line of JSON."""
    process, peak = psutil.Process(), [0]

    def watch():
        while True:
            peak[0] = max(peak[0], process.memory_info().rss)
            time.sleep(0.01)

    image = mosaic(options.megapixels, options.style, options.size)
    model = models.create("sen2hse", in_channels=10, classes=2, seed=0).eval()
    pixels = image.sizes["y"] * image.sizes["x"]
    before = process.memory_info().rss
    threading.Thread(target=watch, daemon=True).start()
    start, busy = time.perf_counter(), time.process_time()
    probability = mapping.predict(model, image, tile=options.tile, batch_size=1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(options.output or f"{folder}/settlement.tif")
        begun = path.exists() or path.with_name(f".{path.name}.parts").exists()
        mapping.write(mapping.classes(probability), path, progress=False)
        seconds, busy = time.perf_counter() - start, time.process_time() - busy
        found = mapping.read(path)
        told = {
            "pixels": pixels,
            "begun": begun,
            "seconds": seconds,
            "cpu": busy,
            "before": before,
            "peak": peak[0],
            "file": path.stat().st_size,
            "map": found.shape,
            "input": 10 * 4 * pixels,
        }
    print(json.dumps(told))


def measured(megapixels, options, output=None):
    """Run one size in a process of its own, print its line and return what it took."""
    command = [sys.executable, __file__, "--one", "--megapixels", str(megapixels)]
    command += ["--tile", str(options.tile), "--style", options.style, "--size", str(options.size)]
    command += ["--output", str(output)] if output else []
    told = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    told["rate"] = told["pixels"] / 1e6 / told["seconds"]
    rows, cols = told["map"]
    begun = "  (begun by an earlier run: no rate)" if told["begun"] else ""
    print(
        f"{told['pixels'] / 1e6:8.1f} Mpx  {told['seconds']:7.1f} s  {told['cpu']:7.1f} CPU s  "
        f"{told['rate']:6.3f} Mpx/s  peak {told['peak'] / 2**20:6.0f} MiB "
        f"({told['before'] / 2**20:.0f} before)  map {rows} x {cols}, "
        f"{told['file'] / 1e6:.1f} MB  "
        f"(input as one array: {told['input'] / 2**30:.1f} GiB){begun}",
        flush=True,
    )
    return told


def main():
    """Measure two sizes and extrapolate from the larger."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megapixels", type=float, default=429, help="of the larger of both")
    parser.add_argument("--tile", type=int, default=256, help="pixels, see mapping.predict")
    parser.add_argument("--style", default="east_asian", help="of the simulated city")
    parser.add_argument("--size", type=int, default=12_000, help="of its square, metres")
    parser.add_argument("--output", help="keep the larger map there, and go on with it if stopped")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one(options)
        return
    if options.megapixels < 1:
        parser.error(f"--megapixels {options.megapixels:g}: give 1 or more")
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu"
    # Made before the clock starts, and by one process.
    catalog.open("scene/sentinel2", style=options.style, size=options.size)
    print(
        f"{datetime.date.today()}, {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} cores, torch {torch.__version__}"
    )
    print(
        f"Sen2HSE-Net (2+2+2+2+1, 16 filters, not trained), tiles of {options.tile}, {device}, "
        f"{torch.get_num_threads()} threads"
    )
    small = measured(options.megapixels / PART, options)
    large = measured(options.megapixels, options, options.output)
    pixels, seconds, peak = (large[key] / small[key] for key in ("pixels", "seconds", "peak"))
    print(
        f"{pixels:.2f} times the pixels: {seconds:.2f} times the time, {peak:.2f} times the memory"
    )
    if large["peak"] > 1.25 * small["peak"]:
        print("Memory grows with the region: this would not scale.")
    timed = small if large["begun"] else large
    numbers = papers.published("sen2hse")["numbers"]["value"]
    for name in ("Denmark", "Henan"):
        area = int(numbers[f"{name.lower()}_area"])
        pixels = area * 1e6 / PIXEL**2
        seconds = pixels / 1e6 / timed["rate"]
        print(
            f"{name}: {area:,} km2 x 1e6 m2 / ({PIXEL} m)^2 = {pixels / 1e6:,.0f} Mpx; "
            f"/ {timed['rate']:.3f} Mpx/s = {seconds:,.0f} s = {seconds / 3600:.2f} h "
            f"({seconds * timed['cpu'] / timed['seconds'] / 3600:.2f} CPU h)"
        )


if __name__ == "__main__":
    main()
