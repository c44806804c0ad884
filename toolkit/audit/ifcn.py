"""The checks of ``ifcn`` (Yin et al. 2022): from counts to scores, and what the text says."""

import numpy as np
import pandas as pd

from . import arithmetic as sums
from .checks import COUNTS
from .findings import both, holds, more, numbers, same, span, unknown
from .networks import built
from .rounding import Range, exactly, worst

OTHERS = ["U-Net", "Threshold", "IFCN"]


def urban_shares(tables):
    """Return the urban shares that each row of Table 1 allows.

    Parameters
    ----------
    tables : Tables
        Of ``ifcn``.

    Returns
    -------
    pandas.DataFrame
        By strategy: low and high, shares of 1, for OA and MeanIU as far as rounding lets them go.
    """
    rows = {}
    for name in tables("table_1").value.index:
        overall, mean_iou = (tables("table_1", name, c) * 0.01 for c in ("OA", "MeanIU"))
        ends = [
            sums.possible_shares(a, b)
            for a in (overall.low, overall.high)
            for b in (mean_iou.low, mean_iou.high)
        ]
        known = [each for each in ends if np.isfinite(each[0])] or [(np.nan, np.nan)]
        rows[name] = min(low for low, _ in known), max(high for _, high in known)
    return pd.DataFrame(rows, ["low", "high"]).T.rename_axis("strategy")


def pixel_totals(tables):
    """Return how many pixels in all give each method of Table 2 its printed kappa.

    Parameters
    ----------
    tables : Tables
        Of ``ifcn``.

    Returns
    -------
    pandas.DataFrame
        By method: low and high, in pixels; infinity where any larger number does.
    """
    rows = {}
    for name in tables("table_2").value.index:
        counts, printed = tables("table_2", name, COUNTS).value, tables("table_2", name, "kappa")
        rows[name] = [sums.pixels(*counts, each) for each in (printed.low, printed.high)]
    return pd.DataFrame(rows, ["low", "high"]).T.rename_axis("method")


def kappas(tables, methods):
    """Kappas follow from the counts and a number of pixels that U-Net, Threshold and IFCN share."""
    published = numbers(tables("table_2", methods, "kappa"), 2)
    totals = pixel_totals(tables).loc[OTHERS]
    low, high = totals["low"].max(), totals["high"].min()
    if low > high or np.isinf(high):
        return holds(published, False, "no number of pixels gives these three kappas")
    each = {name: tables("table_2", name, COUNTS).value for name in methods}
    ends = [
        pd.Series({name: sums.kappa(*row, n) for name, row in each.items()}) for n in (low, high)
    ]
    finding = same(tables("table_2", methods, "kappa"), Range(sum(ends) / 2, *ends))
    text = f"{finding.recomputed} with {span(low, high, 0)} pixels"
    return finding._replace(recomputed=text)


def modes(tables):
    """Modes 1 to 3 and IFCN score higher than FCN8s in Table 1, mode 4 lower with a higher loss."""
    table = tables("table_1").value
    gain = table.drop(index="FCN8s") - table.loc["FCN8s"]
    accuracies = gain[["OA", "MeanIU"]]
    up = (accuracies.drop(index="mode 4") > 0).all(axis=None)
    down = (accuracies.loc["mode 4"] < 0).all() and gain.loc["mode 4", "loss"] > 0
    text = ", ".join(f"{name} {value:+.2f}" for name, value in gain["MeanIU"].items())
    return holds("an order", up and down, f"MeanIU against FCN8s: {text}")


def one_pixel_set(tables):
    """Some urban share suits all rows of Table 1."""
    each = urban_shares(tables)
    text = ", ".join(f"{name} {span(*row, 2)}" for name, row in each.iterrows())
    truth = each["low"].max() <= each["high"].min()
    return holds("one set of pixels", truth, f"urban share: {text}")


def four_metrics(tables):
    """Some urban share gives MeanIU and fwavacc of section 3.3 from its other two accuracies."""
    measures = ["overall precision", "mean precision", "MeanIU", "fwavacc"]
    overall, average, *printed = (tables("section_3_3", row, "value") * 0.01 for row in measures)
    share = np.linspace(0.01, 0.49, 4801)
    found = worst(lambda a, b: np.stack(sums.mean_and_weighted_iou(a, b, share)), overall, average)
    middle, low, high = (
        np.array([[getattr(p, side)] for p in printed]) for side in ("value", "low", "high")
    )
    apart = np.maximum(found.low - high, low - found.high).max(axis=0).clip(0)
    # Of the shares that do (or come nearest), the one that fits best.
    off = np.where(apart <= apart.min(), np.abs(found.value - middle).max(axis=0), np.inf)
    at = int(off.argmin())
    finding = same(
        Range(*(pd.Series(side[:, 0] * 100) for side in (middle, low, high))),
        found.map(lambda each: pd.Series(each[:, at] * 100)),
    )
    text = f"{finding.recomputed} with an urban share of {share[at]:.3f}"
    return finding._replace(recomputed=text)


def _of_size(tables, size):
    sizes = tables.texts("table_3")["size"]
    return sizes.index[sizes == size]


def mean_discrepancy(tables, size, without=()):
    """Mean TED and SID of cities of a size, some of them left out."""
    cities = [name for name in _of_size(tables, size) if name not in without]
    found = worst(lambda table: table.mean(), tables("table_3", cities, ["TED", "SID"]))
    return same(tables("table_3_means", size, ["TED", "SID"]), found)


def extremes(tables):
    """Smallest and largest SID and TED of the medium-sized cities."""
    ends = [f"{name} {end}" for name in ("SID", "TED") for end in ("min", "max")]
    found = tables("table_3", _of_size(tables, "medium"), ["SID", "TED"]).map(
        lambda t: pd.Series(t.agg(["min", "max"]).to_numpy().ravel("F"), ends)
    )
    return same(tables("section_4_2", "medium", ends), found)


def longest_edges(tables):
    """The cities named for a high TED have the highest."""
    named = tables.texts("high_edge").index
    largest = tables("table_3", _of_size(tables, "medium"), "TED").value.nlargest(len(named)).index
    return holds(", ".join(named), set(named) == set(largest), ", ".join(largest))


def similarity(tables):
    """Similarity, 100 less the mean discrepancy, is above the limits for both sizes."""
    limits = tables.number("similarity_medium_shape", "similarity_medium_edge", "similarity_small")
    shape, edge, small = limits.value
    cases = {("medium", "SID"): shape, ("medium", "TED"): edge,
             ("small", "SID"): small, ("small", "TED"): small}  # fmt: skip
    found, checks = [], []
    for (size, column), limit in cases.items():
        mean = tables("table_3", _of_size(tables, size), column).map(lambda s: 100 - s.mean())
        found.append(f"{size} {column} {mean.value:.1f}")
        checks.append(more(mean, limit, f"> {limit:g}"))
    return both(*checks, recomputed=", ".join(found))


def generalisation(tables):
    """Precisions above 90 %, recall of Harbin below 80 %, misses outnumber false alarms."""
    table, counts = tables("table_4"), tables("table_4").value
    harbin = tables("table_4", "Harbin", "recall") * -1
    harbin = Range(harbin.value, harbin.high, harbin.low)
    ratio = counts["FN"] / counts["FP"]
    return both(
        more(table.map(lambda t: t["precision"]), tables.number("cities_precision").value, "> 90"),
        more(harbin, -tables.number("harbin_recall").value, "Harbin < 80"),
        holds("FN > FP", (ratio > 1).all()),
        recomputed=f"least precision {counts['precision'].min():.2f}, recall of Harbin "
        f"{-harbin.value:.2f}, FN/FP {ratio.min():.1f} to {ratio.max():.1f}",
    )


def other_methods(tables, limits):
    """Scores of all methods in Table 5 are above limits, {column: number of the text}."""
    checks = []
    for column, name in limits.items():
        limit = tables.number(name).value / 100
        checks.append(more(tables("table_5", slice(None), column), limit, f"{column} > {limit:g}"))
    return both(*checks)


def distinct_layers(tables):
    """The layers that feed skip connections are different ones."""
    layers = tables("skip_connections", slice(None), "pooling layer").value
    text = ", ".join(f"{each:.0f}" for each in layers)
    return holds(text, layers.is_unique, f"{layers.nunique()} different layers for {len(layers)}")


def split(tables):
    """The samples can be split in the printed ratio."""
    n, train, test = tables.number("samples", "train_parts", "test_parts").value
    exact = n * train / (train + test)
    finding = holds(f"{train:.0f}:{test:.0f} of {n:.0f}", True, f"{exact:.2f} for training")
    # A ratio of small numbers is itself a rounded statement.
    return finding if exact.is_integer() else finding._replace(verdict="rounding")


def samples_per_area(tables):
    """The number of samples lies between the fewest and the most that the areas can give."""
    names = "samples", "sampling_areas", "samples_per_area_min", "samples_per_area_max"
    n, areas, least, most = tables.number(*names).value
    text = f"{areas * least:.0f} to {areas * most:.0f}"
    return holds(f"{n:.0f}", areas * least <= n <= areas * most, text)


def clipped(tables):
    """What is clipped does not grow."""
    size, wanted = tables.number("sample_size", "network_input").value
    text = f"{size:.0f} pixels clipped to {wanted:.0f}"
    return holds(text, size >= wanted, f"enlarged {wanted / size:.2f} times")


def places(tables):
    """The list of places has as many provinces and municipalities as the text says."""
    kinds = tables.texts("study_area")["kind"].value_counts()
    found = pd.Series({kind: float(kinds.get(kind, 0)) for kind in ("province", "municipality")})
    return same(tables.number("provinces", "municipalities"), exactly(found))


def gain(tables):
    """By how much IFCN leads the best of the others in kappa and F1."""
    table = tables("table_2", slice(None), ["kappa", "F1"]) * 100
    lead = worst(lambda t, u: t.loc["IFCN"] - u.drop(index="IFCN").max(), table, table)
    return same(tables.number("kappa_gain", "f1_gain"), lead)


def recalls(tables):
    """Recalls in the text follow from the counts of Table 2."""
    printed = tables("section_4_1", slice(None), "recall")
    counts = tables("table_2", list(printed.value.index), COUNTS).value
    return same(printed, counts["TP"] / (counts["TP"] + counts["FN"]) * 100)


def monotone(tables):
    """MeanIU rises and the loss falls from row to row of section 5.2."""
    table = tables("section_5_2").value
    up, down = table["MeanIU"].is_monotonic_increasing, table["loss"].is_monotonic_decreasing
    text = f"MeanIU {'rises' if up else 'does not'}, loss {'falls' if down else 'does not'}"
    return holds("each better than the one before", up and down, text)


def positives(tables):
    """TP + FN, the reference, is the same in every row of Table 2."""
    found = tables("table_2", slice(None), ["TP", "FN"]).value.sum(axis=1)
    text = ", ".join(f"{n:,.0f}" for n in found.unique())
    return holds("one reference", found.nunique() == 1, f"TP + FN = {text}")


def minutes(tables):
    """A degree has sixty minutes."""
    west, east = tables.number("west_minutes", "east_minutes").value
    text = f"{west:.0f} and {east:.0f} arc minutes"
    return holds(text, max(west, east) < 60, "a degree has 60")


def f1_of_cities(tables):
    """F1 in the text of section 5.1 follows from the counts of Table 4."""
    counts = tables("table_4", slice(None), COUNTS).value
    found = {city: sums.scores(*row)["F1"] * 100 for city, row in counts.iterrows()}
    return same(tables("section_5_1", slice(None), "F1"), pd.Series(found))


def label_product(tables):
    """The resolution in the product's name is that of the work cited."""
    named, cited = tables.number("label_resolution", "label_resolution_cited").value
    return holds(f"FROM-GLC{named:.0f}", named == cited, f"the work cited is of {cited:.0f} m")


def unet_pools(tables):
    """Pooling layers of a U-Net; the paper does not say which U-Net it takes."""
    pools = sum("pool" in name for name in built("unet", in_channels=1).layers)
    text = numbers(tables.number("pooling_layers_unet"), 0)
    return unknown(text, "which U-Net", f"Ronneberger et al. have {pools}")
