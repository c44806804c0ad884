"""The teaching scene: how long does each layer take, how much memory, how much disk?

Makes every layer of the default scene in one process and an empty cache, in the order of
``scene.LAYERS``: what several layers share (region, city, its ground) counts for the first that
needs it. Then a further city: vectors, truth and Sentinel-2. Memory is the largest resident set
seen while a layer was made and opened, sampled every 10 ms. (Not ru_maxrss: it keeps the peak of
the process that started this one.)

    python benchmarks/scene.py [seed]
"""

import os
import sys
import tempfile
import threading
import time

import psutil

from toolkit import scene

FURTHER = ("buildings", "roads", "districts", "land_cover", "settlement", "sentinel2")


class Peak(threading.Thread):
    """Samples the memory of this process."""

    def __init__(self):
        super().__init__(daemon=True)
        self.process, self.bytes = psutil.Process(), 0

    def run(self):
        """Sample until the process ends."""
        while True:
            self.bytes = max(self.bytes, self.process.memory_info().rss)
            time.sleep(0.01)


def measure(layers, peak, **options):
    """Make and open layers, print a line for each, return seconds, CPU seconds, peak and size."""
    seconds = cpu = disk = most = 0
    for name in layers:
        peak.bytes = 0
        start, busy = time.perf_counter(), time.process_time()
        scene.open(name, **options)
        took, busy = time.perf_counter() - start, time.process_time() - busy
        size = scene.path(name, **options).stat().st_size
        print(f"{name:20} {took:7.1f} s {peak.bytes / 2**20:7.0f} MiB {size / 1e6:8.2f} MB")
        seconds, cpu, disk = seconds + took, cpu + busy, disk + size
        most = max(most, peak.bytes)
    print(
        f"{'all':20} {seconds:7.1f} s {most / 2**20:7.0f} MiB {disk / 1e6:8.2f} MB "
        f"({cpu:.1f} s of CPU)\n"
    )


def main():
    """Measure the default scene and one city of each other style."""
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    peak = Peak()
    peak.start()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TOOLKIT_DATA"] = folder
        print(f"The default scene, seed {seed}")
        measure(scene.LAYERS, peak, seed=seed)
        for style in scene.STYLES[1:]:
            print(f"A further city: {style}, seed {seed + 1}")
            measure(FURTHER, peak, seed=seed + 1, style=style)


if __name__ == "__main__":
    main()
