"""Pruning: how much of the saved work is saved time?

Prints, for networks of the land-cover chapter pruned at several rates, parameters, file size,
multiply-adds and measured seconds as shares of the whole network's. The networks take turns in one
process with one thread, so that a busy machine disturbs all alike. Random weights: which filters
go does not change the cost. Accuracy is measured in `results/land_cover_pruning.yaml`.

    python benchmarks/pruning.py
"""

import copy

import pandas as pd

from toolkit import models, pruning

NETWORKS = {
    "HRNet-W24": dict(name="hrnet_w24", in_channels=4, classes=10),
    "FC-DenseNet64": dict(name="fc_densenet64", in_channels=4, classes=7),
    "U-Net": dict(name="unet", in_channels=4, classes=7, width=0.5),
}
RATES = (0.2, 0.4, 0.6)
SHAPE = (257, 257)
RATIOS = ["parameters_ratio", "file_ratio", "macs_ratio", "seconds_ratio"]


def thinned(model, rate):
    """Return a compacted copy of a network."""
    other = copy.deepcopy(model)
    pruning.prune(other, rate)
    return pruning.compact(other)


def main():
    """Print one table."""
    tables = {}
    for title, about in NETWORKS.items():
        model = models.create(**about)
        smaller = {f"rate {rate:g}": thinned(model, rate) for rate in RATES}
        tables[title] = pruning.report(model, smaller, SHAPE, runs=3)[RATIOS]
    print(pd.concat(tables, names=["network"]).round(3).to_string())


if __name__ == "__main__":
    main()
