"""The checks of ``sen2hse`` (Qiu et al. 2020): parameters, means, and the columns of Table 3."""

import pandas as pd

from . import arithmetic as sums
from .findings import both, holds, more, same, span, unknown
from .networks import built
from .rounding import Range, common, exactly, worst

MAPS = ["ours", "GUF", "GHSL"]
MOST = 0.9  # "almost all": nine of ten
NETWORKS = {
    "Sen2HSE-Net": "sen2hse", "U-Net": "unet_half", "ResNet-PSPNet": "pspnet_resnet50",
    "ResNet-FCN-8": "fcn8_resnet50", "FCN + dual attention": "fcn_dual_attention",
}  # fmt: skip
CONTINENT = {
    "Germany": "Europe", "Portugal": "Europe", "Spain": "Europe", "Italy": "Europe",
    "France": "Europe", "Netherlands": "Europe", "England": "Europe", "China": "Asia",
    "Kenya": "Africa", "Brazil": "South America", "USA": "North America", "Chile": "South America",
    "Australia": "Australia", "Iran": "Asia", "Indonesia": "Asia",
}  # fmt: skip
"""Of the countries of Table 1; the one thing here that the paper does not print."""


def points(tables, score):
    """Return a score of the three maps at the check points: a Range by map and city."""
    cities = [name for name in tables.texts("table_3") if name != "Mean"]
    return tables("table_3", ("MLGCPs", score), cities)


def _three(tables):
    """Average accuracy, recall and precision at the check points, in shares of 1."""
    average, recall = (points(tables, score) * 0.01 for score in ("AA", "recall"))
    commission = points(tables, "CME") * 0.01
    return average, recall, commission.map(lambda each: 1 - each)


def settlement_shares(tables):
    """Return the share of settlement among the check points that the scores of each map imply.

    Parameters
    ----------
    tables : Tables
        Of ``sen2hse``.

    Returns
    -------
    Range
        By map and city, shares of 1.
    """
    return worst(sums.implied_share, *_three(tables))


def fitting_orders(tables):
    """Return the orders of the paper's own columns in which all shares meet those of GUF and GHSL.

    Parameters
    ----------
    tables : Tables
        Of ``sen2hse``.

    Returns
    -------
    list of dict
        Printed city to the city whose shares it meets; of ten factorial, 3,628,800, orders.
    """
    each = settlement_shares(tables)
    own = each.map(lambda t: t.loc["ours"])
    others = Range(
        each.value.loc[["GUF", "GHSL"]].mean(),
        each.low.loc[["GUF", "GHSL"]].max(),
        each.high.loc[["GUF", "GHSL"]].min(),
    )
    return sums.orders(sums.pairs_meet(own, others))


def rotated(tables):
    """Return the order that moves the fewest columns, or None where none fits."""
    found = fitting_orders(tables)
    best = min(found, key=lambda order: sum(a != b for a, b in order.items()), default=None)
    cities = tables.texts("table_3").columns.drop("Mean")
    return best and {city: best[city] for city in cities}


def columns(tables):
    """The three maps of a column of Table 3 were scored at the same points."""
    each = settlement_shares(tables)
    met = each.low.max() <= each.high.min()
    apart = [city for city, fine in met.items() if not fine]
    text = f"shares of settlement do not meet in {', '.join(apart) or 'no city'}"
    return holds("ten columns", met.all(), text)


def columns_moved(tables):
    """In some order of the paper's own columns all shares of settlement meet."""
    found, order = fitting_orders(tables), rotated(tables)
    if order is None:
        return holds("an order that fits", False, "none")
    moved = ", ".join(f"{a} to {b}" for a, b in order.items() if a != b)
    text = f"{len(found)} of 3,628,800 orders fit; one moves {moved or 'none'}"
    return holds("an order that fits", True, text)


def f_scores(tables):
    """All F-scores of Table 3 follow from recall and commission."""
    _, recall, precision = _three(tables)
    return same(points(tables, "F-Score"), worst(sums.f1, precision, recall))


def kappas(tables):
    """All kappas of Table 3 follow from average accuracy, recall and commission."""
    return same(points(tables, "kappa"), worst(sums.implied_kappa, *_three(tables)))


def mean(tables, reference, score, source):
    """The mean of a row of Table 3 is that of its ten cities."""
    row = tables("table_3", (reference, score, source))
    found = worst(lambda s: s.mean(), row.map(lambda s: s.drop("Mean")))
    return same(row.map(lambda s: s["Mean"]), found)


def _wins(tables, score, by="own order"):
    """In how many cities the paper's own map leads."""
    table = points(tables, score).value
    own = table.loc["ours"]
    if by != "own order":
        own = own.rename(by)
    return int((own > table.loc[["GUF", "GHSL"]].max()[own.index]).sum())


def best_f(tables):
    """The paper's own map has the highest F-score in every city, by recall and commission."""
    _, recall, precision = _three(tables)
    table = worst(sums.f1, precision, recall)
    lead = table.value.loc["ours"] - table.value.loc[["GUF", "GHSL"]].max()
    finding = same(tables.number("best_f_cities"), float((lead > 0).sum()))
    text = f"{finding.recomputed}; least lead {lead.min():.4f}, {lead.idxmin()}"
    return finding._replace(recomputed=text)


def kappa_wins(tables):
    """In how many cities the paper's kappa is highest, which it does not claim."""
    order, table = rotated(tables), points(tables, "kappa").value
    text = f"{_wins(tables, 'kappa')} as printed"
    if order is not None:
        moved = table.loc["ours"].rename(order)
        wins = int((moved[table.columns] > table.loc[["GUF", "GHSL"]].max()).sum())
        text += f", {wins} with the columns moved"
    return unknown("not claimed", "a claim", text)


def best_means(tables):
    """Own means are highest in four scores; commission lies between GUF and GHSL."""
    scores = ["kappa", "AA", "recall", "F-Score"]
    table = tables("table_3", "MLGCPs", "Mean").value.unstack("source")
    lead = table.loc[scores, "ours"] - table.loc[scores, ["GUF", "GHSL"]].max(axis=1)
    commission = table.loc["CME", ["GUF", "ours", "GHSL"]]
    text = f"CME {', '.join(f'{name} {value}' for name, value in commission.items())}"
    truth = (lead > 0).all() and commission.is_monotonic_increasing
    return holds("four highest means, CME between", truth, text)


def osm(tables):
    """Mean recalls of OSM buildings in the text, and in how many cities the own map leads."""
    table = tables("table_3", ("OSM", "recall"))
    cities = table.value.drop(columns="Mean")
    found = worst(lambda t: t.drop(columns="Mean").mean(axis=1), table).map(lambda s: s[MAPS])
    wins = (cities.loc["ours"] > cities.loc[["GUF", "GHSL"]].max()).sum()
    text = same(tables.number("better_osm_cities"), float(wins))
    return both(same(tables("section_4_1_osm", MAPS, "recall"), found), text)


def ghsl_best(tables):
    """In how many cities GHSL has the highest recall, of points and of OSM buildings."""
    counts = []
    for reference in ("MLGCPs", "OSM"):
        table = tables("table_3", (reference, "recall")).value.drop(columns="Mean")
        counts.append(float((table.loc["GHSL"] > table.drop(index="GHSL").max()).sum()))
    return same(tables.number("ghsl_best_points", "ghsl_best_osm"), pd.Series(counts))


def nairobi(tables):
    """Nairobi's kappa is below the mean of all three maps."""
    table = tables("table_3", ("MLGCPs", "kappa")).value
    text = ", ".join(f"{name} {table.loc[name, 'Nairobi']:.2f} of {table.loc[name, 'Mean']:.2f}"
                     for name in MAPS)  # fmt: skip
    return holds("worse than the mean", (table["Nairobi"] < table["Mean"]).all(), text)


def beyond_europe(tables):
    """Scores of Sen2HSE-Net in Table 5 are the means over the cities of Table 3."""
    _, recall, precision = _three(tables)
    own = {score: points(tables, score).map(lambda t: t.loc["ours"]) for score in
           ("kappa", "AA", "recall")}  # fmt: skip
    own["F1"] = worst(sums.f1, precision, recall).map(lambda t: t.loc["ours"])
    means = {name: worst(lambda s: s.mean(), each) for name, each in own.items()}
    sides = ([getattr(m, side) for m in means.values()] for side in ("value", "low", "high"))
    printed = tables("table_5", "Sen2HSE-Net", [f"{name}_beyond" for name in means])
    return same(printed, Range(*(pd.Series(side) for side in sides)))


def unet_twice(tables):
    """U-Net with the spatial split is the same in Tables 5 and 6."""
    printed = tables("table_6", ("U-Net", "spatial"))
    return same(printed, tables("table_5", "U-Net").map(lambda s: s[printed.value.index]))


def better_than_unet(tables):
    """Sen2HSE-Net is better than U-Net in every score of Table 5."""
    scores = [name for name in tables.texts("table_5") if name.endswith(("beyond", "europe"))]
    own, other = (tables("table_5", name, scores) for name in ("Sen2HSE-Net", "U-Net"))
    finding = more(own, other, "better mapping accuracy")
    less = [name for name in scores if own.value[name] < other.value[name]]
    text = f"higher in {len(scores) - len(less)} of {len(scores)}, not in {', '.join(less)}"
    return finding._replace(recomputed=text if less else "higher in all")


def europe(tables):
    """All European scores fit one share of settlement, and their kappas follow."""
    rows = {(name, "spatial"): tables("table_5", name) for name in tables.texts("table_5").index}
    rows |= {
        (*key, "Table 6"): tables("table_6", key)
        for key in tables.texts("table_6").index
        if key != ("Sen2HSE-Net", "spatial")  # as in Table 5
    }
    shares, checks = [], []
    for row in rows.values():
        average, recall = (
            row.map(lambda s, n=n: s[f"{n}_europe"]) * 0.01 for n in ("AA", "recall")
        )
        f1 = row.map(lambda s: s["F1_europe"])
        shares.append(worst(
            lambda a, r, f: sums.implied_share(a, r, sums.precision_of(f, r)), average, recall, f1
        ))  # fmt: skip
        found = worst(
            lambda a, r, f: sums.implied_kappa(a, r, sums.precision_of(f, r)), average, recall, f1
        )
        checks.append(same(row.map(lambda s: s["kappa_europe"]), found))
    low, high = common(*shares)
    checks.append(holds("one share of settlement", low <= high))
    text = f"share {span(low, high, 3)}" if low <= high else "no common share"
    return both(*checks, published=f"{len(rows)} rows", recomputed=f"{text}; kappas follow")


def almost_all(tables):
    """The spatial split is better in almost all scores of Table 6."""
    table = tables("table_6").value
    gain = table.xs("spatial", level="split") - table.xs("random", level="split")
    better = int((gain > 0).sum().sum())
    return holds("almost all", better >= MOST * gain.size, f"{better} of {gain.size}")


def depth_and_width(tables):
    """No kappa is gained by width; some by one more layer per block, none by more."""
    kappa = tables("table_7", slice(None), "kappa_beyond").value
    deeper = kappa.loc[16]
    width = kappa.loc[32].iloc[0] <= deeper.iloc[0]
    depth = deeper.iloc[1] > deeper.iloc[0] and (deeper.iloc[2:] <= deeper.iloc[1]).all()
    text = ", ".join(f"{each:.2f}" for each in (*deeper, kappa.loc[32].iloc[0]))
    return holds("no gain from width, slight from depth", width and depth, f"kappa {text}")


def _depth(layers):
    return int(layers.partition("+")[0])


def parameters(tables, filters, layers):
    """Parameters of Sen2HSE-Net of a depth and a width."""
    network = built("sen2hse", in_channels=10, depth=_depth(layers), filters=filters)
    return same(tables("table_7", (filters, layers), "parameters"), float(network.parameters))


def steps(tables):
    """One more convolution per block of width w adds 9 w^2 + w parameters, in four blocks."""
    base = int(tables.number("filters").value)
    found = sum(9 * w * w + w for w in (base, 2 * base, 8 * base, 16 * base))
    counts = tables("table_7", base, "parameters").value
    return same(exactly(counts.diff().dropna()), pd.Series(found, counts.index[1:], dtype=float))


def network(tables, name):
    """Parameters and convolutions of a baseline."""
    each = built(NETWORKS[name], in_channels=10)
    found = pd.Series([each.parameters, each.convolutions], dtype=float)
    return same(tables("table_5", name, ["parameters", "layers"]), exactly(found))


def convolutions(tables):
    """Convolutions of the networks of four depths."""
    printed = tables("section_5_1_3", slice(None), "convolutions")
    found = {
        layers: float(built("sen2hse", in_channels=10, depth=_depth(layers)).convolutions)
        for layers in printed.value.index
    }
    return same(printed, pd.Series(found))


def beyond(tables):
    """The cities beyond Europe lie beyond Europe."""
    roles, countries = tables.texts("table_1")["role"], tables.texts("table_1")["country"]
    far = countries[roles == "test beyond Europe"].map(CONTINENT)
    inside = list(far.index[far == "Europe"])
    return holds("beyond Europe", not inside, f"in Europe: {', '.join(inside) or 'none'}")


def ecoregions(tables):
    """An ecoregion that names a continent names that of its city."""
    regions, countries = tables.texts("table_1")["ecoregion"], tables.texts("table_1")["country"]
    wrong = []
    for city, region in regions.items():
        named = [c for c in dict.fromkeys(CONTINENT.values()) if region.endswith(f"in {c}")]
        if named and named[0] != CONTINENT[countries[city]]:
            wrong.append(f"{city} in {named[0]}")
    return holds(f"{len(regions)} ecoregions", not wrong, ", ".join(wrong) or "all fit")


def continents(tables):
    """The cities lie on as many continents as the text says."""
    found = sorted(set(tables.texts("table_1")["country"].map(CONTINENT)))
    finding = same(tables.number("continents"), float(len(found)))
    return finding._replace(recomputed=f"{len(found)}: {', '.join(found)}")


def rounded(tables):
    """The first row of Table 7 is that of Table 5, rounded."""
    row = tables("table_7", (16, "2+2+2+2+1"))
    return same(row, tables("table_5", "Sen2HSE-Net").map(lambda s: s[row.value.index]))
