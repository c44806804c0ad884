"""The checks of ``land_cover_3m`` (Dong et al. 2020): matrices, networks, chips and hours."""

import numpy as np
import pandas as pd

from . import arithmetic as sums
from .findings import both, holds, numbers, same, unknown
from .networks import BYTES, MEGA, built, pruned
from .rounding import exactly, worst

CHINA = 9.6e6  # km2, land area, to two digits
HRNET = {"in_channels": 4, "classes": 10}  # what reproduces the printed count


def gains(tables):
    """Producer's accuracies that the text says are gained follow from the two matrices."""
    coarse, fine = (sums.matrix(tables(f"table_{n}").value).producers for n in (2, 3))
    printed = tables("section_4_1", slice(None), "gain")
    return same(printed, ((fine - coarse) * 100).loc[printed.value.index])


def water(tables):
    """Accuracies of water in the text follow from the two matrices."""
    rows = {
        name: sums.matrix(tables(table).value)
        for name, table in (("10 m", "table_2"), ("3 m", "table_3"))
    }
    found = pd.DataFrame(
        {name: {"PA": m.producers["Water"], "UA": m.users["Water"]} for name, m in rows.items()}
    ).T
    return same(tables("section_4_1_water", slice(None), ["PA", "UA"]), found * 100)


def overall_gain(tables):
    """Overall accuracies and their difference follow from the two matrices."""
    coarse, fine = (sums.matrix(tables(f"table_{n}").value).overall * 100 for n in (2, 3))
    found = pd.Series([coarse, fine, fine - coarse])
    return same(tables.number("overall_10m", "overall_3m", "overall_gain"), found)


def whole_hits(tables, model):
    """Accuracies of a row of Table 4 are whole numbers of sample units, and add up to its OA."""
    units = tables("table_1", slice(None), "samples").value
    row = tables("table_4", model)
    percent = row.map(lambda s: s[units.index])
    hits = pd.Series(sums.hits(percent.value, units), units.index)
    finding = both(
        same(percent, hits / units * 100),
        same(row.map(lambda s: s["OA"]), hits.sum() / units.sum() * 100),
    )
    text = f"{hits.sum():.0f} of {units.sum():.0f} hits: OA {hits.sum() / units.sum():.3%}"
    return finding._replace(published=numbers(row, 2), recomputed=text)


def leads(tables):
    """By how much HRNet leads in overall accuracy."""
    models = ["U-Net", "FC-DenseNet"]
    overall = tables("table_4", slice(None), "OA")
    found = worst(lambda s, t: s["HRNet (ours)"] - t[models], overall, overall)
    return same(tables("section_5_2", models, "lead"), found)


def a_whole_number(tables, row):
    """An overall accuracy in Table 5 is that of a whole number of sample units."""
    n = tables.number("test_samples").value
    printed = tables("table_5", row, "OA")
    near = float(sums.hits(printed.value, n))
    finding = same(printed, near / n * 100)
    beside = near + (1 if near / n * 100 < printed.value else -1)
    text = ", ".join(f"{k:.0f}/{n:.0f} = {k / n:.3%}" for k in sorted((near, beside)))
    return finding._replace(recomputed=text)


def difference(tables):
    """The pruned model loses almost nothing."""
    overall = tables("table_5", slice(None), "OA")
    lost = worst(lambda s, t: s.iloc[0] - t.iloc[1], overall, overall)
    text = f"{lost.value:.2f} points"
    return holds("almost no loss", lost.high < 1, text)


def parameters(tables, **options):
    """Parameters of HRNet, with two stem convolutions and ten classes unless told otherwise."""
    printed = tables("table_5", "Baseline model", "parameters")
    return same(printed, float(built("hrnet_w24", **{**HRNET, **options}).parameters))


def stem(tables):
    """One stem convolution, as the text has it, gives the printed count."""
    return parameters(tables, stem="one")


def seven_classes(tables):
    """Seven classes, as the text has them, give the printed count."""
    return parameters(tables, classes=int(tables.number("classes").value))


def pruned_parameters(tables):
    """What is left by the rule in the text; its details are not printed."""
    rate = tables.number("pruning_rate").value / 100
    printed = tables("table_5", "Pruned model", "parameters")
    found = pruned(rate)[0]
    text = f"{found:,}, {found - printed.value:+,.0f}, by the plainest reading of section 3.4"
    return unknown(numbers(printed, 0), "which layers are spared, how 40 % are rounded", text)


def kept(tables):
    """The pruned network has fewer parameters."""
    size = tables("table_5", slice(None), "parameters").value
    text = " of ".join(f"{n:,.0f}" for n in size.iloc[::-1])
    return holds(text, size.iloc[1] < size.iloc[0], f"{size.iloc[1] / size.iloc[0]:.1%} are kept")


def acceleration(tables):
    """Multiply-adds saved by the rule whose parameters are the printed ones but for 0.003 %."""
    saved = pruned(tables.number("pruning_rate").value / 100)[1] * 100
    return same(tables("table_5", "Pruned model", "acceleration"), saved)


def size(tables):
    """Megabytes of weights in single precision."""
    found = tables("table_5", slice(None), "parameters") * (BYTES / MEGA)
    return same(tables("table_5", slice(None), "size"), found)


def water_and_impervious(tables):
    """Original and supplementary units of water and impervious land are those of Table 1."""
    parts = tables.number("water_original", "impervious_original", "test_samples_supplement").value
    printed = tables("table_1", ["Water", "Impervious"], "samples")
    return same(printed.map(lambda s: s.sum()), float(parts.sum()))


def filtered(tables):
    """How many chips remain; how many of them the filter took is not said."""
    before, after = tables.number("chips_preliminary", "chips_train").value
    text = f"{1 - after / before:.0%} removed"
    return unknown(f"{after:,.0f} of {before:,.0f}", "how many fell below 20 %", text)


def _chip_area(tables):
    side, resolution = tables.number("chip_size", "resolution").value
    return (side * resolution / 1000) ** 2  # km2


def coverage(tables):
    """The chips cover no more than the part of China that they are from."""
    chips = tables.number("chips_preliminary", "chips_valid").value.sum()
    part = 1 / tables.number("covered_parts").value
    found = chips * _chip_area(tables) / CHINA
    return holds("one third of China", found <= part, f"{chips:,.0f} chips cover {found:.1%}")


def hours(tables):
    """China can be mapped in the printed time, overlaps included."""
    names = "seconds_two_chips", "chips_timed", "gpus", "hours_china"
    seconds, chips, gpus, printed = tables.number(*names).value
    found = CHINA / _chip_area(tables) * seconds / chips / gpus / 3600
    text = f"{found:.2f} without overlaps"
    return holds(f"{printed:.0f} hours", found <= printed, text)


def fields(tables):
    """Receptive fields of our networks; how the paper counts is not said."""
    printed = numbers(tables("section_5_2", slice(None), "receptive field"), 0)
    ours = {"U-Net": built("unet", in_channels=4, classes=7),
            "FC-DenseNet": built("fc_densenet64", in_channels=4, classes=7)}  # fmt: skip
    text = ", ".join(f"{name} {each.field}" for name, each in ours.items())
    return unknown(printed, "how it is counted", f"ours, all convolutions: {text}")


def dense_layers(tables):
    """Convolutions of the uniform FC-DenseNet of that depth; its source has no such variant."""
    found = built("fc_densenet64", in_channels=4, classes=7).convolutions
    text = f"{found} convolutions with blocks of equal length"
    return unknown(numbers(tables.number("dense_layers"), 0), "which variant", text)


def supplement(tables):
    """Original and supplementary sample units add up to all of them."""
    parts = tables.number("test_samples_original", "test_samples_supplement").value
    return same(tables.number("test_samples"), exactly(float(np.sum(parts))))
