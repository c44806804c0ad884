"""What did we obtain where the papers published a number? Both in one table, from the records.

Nothing is typed in: published numbers come from `papers`, ours from the records of long runs that
lie below ``results/``. None of the pairs is a comparison of scores on equal ground; `why` says in
what they differ.
"""

import numpy as np
import pandas as pd

from .. import papers, runs

CHAPTERS = {
    "ifcn": "01 Night lights", "land_cover_3m": "02 Land cover",
    "roof_greening": "03 Roof greening", "sen2hse": "04 Settlements",
}  # fmt: skip
LIGHTS = "simulated region, network an eighth as wide, hundreds of iterations instead of 200,000"
COVER = "simulated city and labels, narrow networks, a thousand updates"
ROOFS = "simulated city core, a hand that sees the truth, limits of grades of our own"
HSE = "simulated cities, network a quarter as wide, six passes, truth at every cell"


def ledger(paper="all", folder=None):
    """Set published numbers beside those of our records.

    Parameters
    ----------
    paper : str
        A key of `papers.keys`, or ``"all"``.
    folder : Path, optional
        Where the records lie; ``results/`` at the root of the repository by default.

    Returns
    -------
    pandas.DataFrame
        One row a number: chapter, where (in the paper), measure, what, published, obtained (mean
        over the runs), low, high, runs, unit ("1" or "%"), verdict, why, record. The verdict is
        "alike" where the published number lies between the lowest and the highest of our runs,
        widened by 0.03 (or three points) on both sides, else "higher here" or "lower here", and
        "no record" where the runs have not been made.

    Raises
    ------
    KeyError
        No such paper; the message names the nearest.

    Examples
    --------
    >>> ledger("ifcn").query("measure == 'kappa'")[["what", "published"]].values.tolist()[0]
    ['IFCN', 0.88]
    """
    keys = list(CHAPTERS) if paper == "all" else [paper]
    rows = []
    for key in keys:
        tables = papers.published(key)
        rows += [{"chapter": CHAPTERS[key], **row} for row in _ROWS[key](tables, folder)]
    table = pd.DataFrame(rows)
    return table[["chapter", "where", "measure", "what", "published", "obtained", "low", "high",
                  "runs", "unit", "verdict", "why", "record"]]  # fmt: skip


def orders(table):
    """Say for each group of the ledger whether our numbers come in the published order.

    Parameters
    ----------
    table : pandas.DataFrame
        As `ledger` returned it.

    Returns
    -------
    pandas.DataFrame
        By chapter, where and measure, for groups of three and more: rows, the pairs that differ in
        print, and how many of those come in the same order here.

    Examples
    --------
    >>> orders(ledger("sen2hse"))["same order"].le(10).all()
    np.True_
    """
    found = []
    for names, group in table.dropna(subset="obtained").groupby(
        ["chapter", "where", "measure"], sort=False
    ):
        published, obtained = (group[c].to_numpy() for c in ("published", "obtained"))
        first, second = np.triu_indices(len(group), 1)
        theirs = np.sign(published[first] - published[second])
        ours = np.sign(obtained[first] - obtained[second])
        if len(group) > 2:
            same = int(((theirs == ours) & (theirs != 0)).sum())
            found.append((*names, len(group), int((theirs != 0).sum()), same))
    columns = ["chapter", "where", "measure", "rows", "pairs", "same order"]
    return pd.DataFrame(found, columns=columns)


def _row(where, measure, what, published, values, record, why, unit="1"):
    """One line; `values` holds one number a run, None without a record."""
    near = 0.03 if unit == "1" else 3
    published = float(published)
    line = dict(where=where, measure=measure, what=what, published=published, unit=unit, why=why,
                record=record)  # fmt: skip
    if values is None or not len(values):
        nothing = dict.fromkeys(("obtained", "low", "high"), np.nan)
        return line | nothing | {"runs": 0, "verdict": "no record"}
    low, high, mean = float(values.min()), float(values.max()), float(values.mean())
    verdict = "alike"
    if not low - near <= published <= high + near:
        verdict = "higher here" if mean > published else "lower here"
    return line | dict(obtained=mean, low=low, high=high, runs=len(values), verdict=verdict)


def _record(name, folder):
    try:
        return runs.results(name, folder=folder)
    except FileNotFoundError:
        return None


def _of(record, column, **where):
    """The runs' numbers of one column; None without a record."""
    if record is None:
        return None
    for name, value in where.items():
        record = record[record[name] == value]
    return record.groupby("seed")[column].mean()


def _last(record):
    """The last iteration of each run."""
    if record is None:
        return None
    return record[
        record["iteration"] == record.groupby(["network", "seed"])["iteration"].transform("max")
    ]


def _lights(tables, folder):
    name = "night_lights_methods"
    record, printed = _record(name, folder), tables["table_2"]
    for measure in ("precision", "recall", "F1", "kappa"):
        for method in ("IFCN", "U-Net", "Threshold", "SVM"):
            values = _of(record, measure, source="scene", method=method)
            yield _row("Table 2", measure, method, printed.loc[method, measure], values, name,
                       f"{LIGHTS}; held-out ground")  # fmt: skip
    name = "night_lights_ablation"
    record = _last(_record(name, folder))
    for where, table, factor in (("Table 1", "table_1", 0.01), ("Section 5.2", "section_5_2", 1)):
        for network, value in tables[table]["MeanIU"].items():
            yield _row(where, "mean IU", network, value * factor,
                       _of(record, "mean_IU", network=network), name,
                       f"{LIGHTS}; held-out ground, theirs is training accuracy")  # fmt: skip
    name, printed = "night_lights_transfer", tables["table_4"]["F1"].mean() / 100
    here = {"train_on": "scene", "apply_to": "burundi", "method": "IFCN", "cut": "from home"}
    values = _of(_record(name, folder), "F1", **here)
    why = "theirs: mean of four cities; ours: Burundi, learnt from the simulated region"
    yield _row("Table 4", "F1, unseen ground", "IFCN", printed, values, name, why)


def _cover(tables, folder):
    name = "land_cover_networks"
    record, overall = _record(name, folder), tables["table_4"]["OA"]
    values = _of(record, "overall", map="labels", norm="instance", network="HRNet")
    yield _row("Table 2", "overall accuracy", "the labels", overall.iloc[0], values, name,
               "simulated labels", "%")  # fmt: skip
    for network, printed in (("HRNet", "HRNet (ours)"), ("FC-DenseNet",) * 2, ("U-Net",) * 2):
        values = _of(record, "gain", map="map", norm="instance", network=network)
        yield _row("Table 4", "gain over the labels", network, overall[printed] - overall.iloc[0],
                   values, name, COVER, "%")  # fmt: skip
    name, lost = "land_cover_pruning", tables["table_5"]["OA"]
    record = _record(name, folder)
    before, after = (_of(record, "overall_all", network=n, rate=r) for n, r in
                     (("trained on", 0.0), ("compact", 0.4)))  # fmt: skip
    values = None if record is None else before - after
    yield _row("Table 5", "accuracy lost by pruning", "40 % of the filters",
               lost.iloc[0] - lost.iloc[1], values, name,
               "a narrow U-Net, three passes; theirs is a wide HRNet, all passes", "%")  # fmt: skip


def _roofs(tables, folder):
    name, printed = "roof_greening_chain", tables["numbers"]["value"]
    record = _record(name, folder)
    for measure, value in (("overall", printed["overall"] / 100), ("kappa", printed["kappa"])):
        for layer, what in (("corrected", "corrected buildings"), ("network", "as predicted")):
            values = _of(record, "value", link="roofs", layer=layer, measure=measure)
            yield _row("Section 3", f"kinds of roofs, {measure}", what, value, values, name, ROOFS)
    high, graded = (_of(record, "value", link="grades", layer="whole chain, corrected", measure=m)
                    for m in ("high roofs", "graded roofs"))  # fmt: skip
    values = None if record is None else high / graded * 100
    shares = tables["suitability"]
    why = f"{ROOFS}; first the printed share, then that of the printed counts"
    for what, value in (
        ("printed share", shares.loc["high", "share"]),
        ("from printed counts", shares.loc["high", "roofs"] / shares["roofs"].sum() * 100),
    ):
        yield _row("Section 3", "roofs of the high grade", what, value, values, name, why, "%")


def _settlements(tables, folder):
    name, printed = "settlements_networks", tables["table_5"]
    record = _record(name, folder)
    for role, place in (("near", "europe"), ("far", "beyond")):
        for column, own in (("kappa", "kappa"), ("F1", "f1")):
            for network in printed.index:
                short = network.replace("Sen2HSE-Net", "Sen2HSE")
                value = printed.loc[network, f"{column}_{place}"]
                values = _of(record, own, network=short, city="mean", role=role)
                yield _row("Table 5", f"{column}, {role}", short, value, values, name, HSE)
    name, printed = "settlements_split", tables["table_6"]["kappa_beyond"]
    record = _record(name, folder)
    for network, short in (("Sen2HSE-Net", "Sen2HSE"), ("U-Net", "U-Net")):
        for split, own in (("spatial", "corner"), ("random", "random")):
            values = _of(record, "kappa", network=short, split=own, city="mean", role="far")
            yield _row("Table 6", "kappa, far", f"{short}, {split} split", printed[network, split],
                       values, name, HSE)  # fmt: skip
    name, printed = "settlements_depth", tables["table_7"]["kappa_beyond"]
    record = _record(name, folder)
    for filters, layers in printed.index:
        depth = int(layers.partition("+")[0])
        values = _of(record, "kappa", depth=depth, filters=filters, city="mean", role="far")
        yield _row("Table 7", "kappa, far", f"{4 * depth + 1} layers, {filters} filters",
                   printed[filters, layers], values, name, HSE)  # fmt: skip


_ROWS = {"ifcn": _lights, "land_cover_3m": _cover, "roof_greening": _roofs, "sen2hse": _settlements}
