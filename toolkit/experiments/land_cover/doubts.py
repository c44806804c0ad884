"""Which chips have bad labels: the paper's filter, what it removes, and a library's answer."""

import warnings

import numpy as np
import pandas as pd
import torch

from toolkit import chips
from toolkit.chips.grids import positions
from toolkit.experiments.land_cover.points import share

LEAST = 0.2
"""Chips with a smaller similarity are dropped (section 2.3)."""

METHODS = ("similarity", "loss", "issues")
"""Columns of `judge`: the paper's similarity, mean cross entropy, and confident learning."""


def judge(model, place, table, batch_size=8, step=4, methods=METHODS):
    """Compare what a preliminary model says with the labels, chip by chip.

    Parameters
    ----------
    model : toolkit.models.Network
        Trained on these labels, as in the paper; so it has seen what it judges.
    place : Ground
        From `places.ground`.
    table : geopandas.GeoDataFrame
        Chips.
    batch_size : int
        Chips that pass the network together.
    step : int
        Confident learning looks at every so many pixels along both axes.
    methods : sequence of str
        Of `METHODS`.

    Returns
    -------
    geopandas.GeoDataFrame
        The table with columns ``similarity`` (share of labelled pixels on which model and label
        agree), ``loss`` (mean cross entropy of the label), ``issues`` (share of pixels whose
        label confident learning doubts) and, where a truth is known, ``quality`` (share of
        labelled pixels that are right). NaN where a chip has no label.

    Notes
    -----
    Confident learning: Northcutt, Jiang and Chuang (2021), Journal of Artificial Intelligence
    Research 70:1373-1411, in the package cleanlab. It asks for predictions of a model that has
    not seen the labels; ours has, as the paper's has.
    """
    label, truth = (positions(a.values, place.classes) for a in (place.label, place.truth))
    rows = {name: [] for name in ("similarity", "loss", "quality")}
    seen, given = [], []
    device = next(model.parameters()).device
    model.eval()
    places = table[["row", "col", "size"]].to_numpy()
    for start in range(0, len(places), batch_size):
        windows = [np.s_[r : r + s, c : c + s] for r, c, s in places[start : start + batch_size]]
        pixels = np.stack([place.image.values[(slice(None), *w)] for w in windows])
        with torch.inference_mode():
            logits = model(torch.from_numpy(pixels.astype(np.float32)).to(device))
            odds = torch.log_softmax(logits, 1).cpu().numpy()
        for log, window in zip(odds, windows, strict=True):
            mine, right = label[window], truth[window]
            known = mine != chips.IGNORE
            picked = np.take_along_axis(log, np.where(known, mine, 0)[None].astype(int), 0)[0]
            checked = known & (right != chips.IGNORE)
            rows["similarity"].append(share((log.argmax(0) == mine)[known]))
            rows["loss"].append(share(-picked[known]))
            rows["quality"].append(share((mine == right)[checked]))
        seen += [np.exp(log[:, ::step, ::step]) for log in odds]
        given += [label[w][::step, ::step] for w in windows]
    out = table.assign(similarity=rows["similarity"], loss=rows["loss"])
    if place.scored:
        out["quality"] = rows["quality"]
    if "issues" in methods:
        out["issues"] = _issues(np.stack(seen), np.stack(given))
    out.attrs = table.attrs
    return out


def _issues(odds, given):
    """Share of pixels of each chip that confident learning doubts."""
    known = given != chips.IGNORE
    flags = np.zeros(given.shape)
    flags[known] = doubted(given[known], np.moveaxis(odds, 1, -1)[known])
    count = known.sum(axis=(1, 2))
    return np.where(count > 0, flags.sum(axis=(1, 2)) / np.maximum(count, 1), np.nan)


def doubted(given, odds):
    """Ask confident learning which labels it doubts.

    Parameters
    ----------
    given : numpy.ndarray
        (n,) positions of classes, 0 and up.
    odds : numpy.ndarray
        (n, class) probabilities of a network that has not learnt from these labels.

    Returns
    -------
    numpy.ndarray
        (n,), bool; all false where fewer than two classes occur.

    References
    ----------
    Northcutt, Jiang and Chuang (2021), Journal of Artificial Intelligence Research 70:1373-1411.
    """
    from cleanlab.filter import find_label_issues

    present = np.unique(given)
    if len(present) < 2:
        return np.zeros(len(given), bool)
    index = np.zeros(256, int)
    index[present] = np.arange(len(present))
    odds = odds[:, present]
    odds = odds / odds.sum(axis=1, keepdims=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about classes that no model predicts
        return find_label_issues(index[given], odds, n_jobs=1)


def drop(table, least=LEAST):
    """Take training chips whose similarity is too small out of the split.

    Parameters
    ----------
    table : geopandas.GeoDataFrame
        From `judge`.
    least : float
        Smallest similarity that is kept, 0.2 in the paper.

    Returns
    -------
    geopandas.GeoDataFrame
        Dropped chips have the split "dropped".

    Raises
    ------
    ValueError
        No similarity in the table, `least` outside 0 to 1, or no training chip is left.
    """
    if "similarity" not in table:
        raise ValueError("the table has no similarity; get it from judge(model, place, table)")
    if not 0 <= least <= 1:
        raise ValueError(f"least={least}: give a similarity from 0 to 1")
    bad = (table["split"] == "train") & ~(table["similarity"] >= least)
    out = table.assign(split=table["split"].where(~bad, "dropped"))
    if not (out["split"] == "train").any():
        raise ValueError(
            f"least={least:g} drops every training chip; the best has a similarity of "
            f"{table.loc[table['split'] == 'train', 'similarity'].max():.2f}"
        )
    out.attrs = table.attrs
    return out


def kept(table):
    """What a filter removed and kept: chips, their label quality and their class shares.

    Parameters
    ----------
    table : geopandas.GeoDataFrame
        From `drop`.

    Returns
    -------
    pandas.DataFrame
        Rows kept and dropped: chips, similarity and quality (means), share of each class.
    """
    part = table[table["split"].isin(["train", "dropped"])]
    names = [n for n in ("similarity", "quality") if n in part] + [
        n for n in part if n.startswith("share_")
    ]
    groups = part["split"].map({"train": "kept", "dropped": "dropped"})
    out = pd.DataFrame(part)[names].groupby(groups.to_numpy()).mean()
    out.insert(0, "chips", groups.value_counts())
    return out.rename(columns=lambda name: name.removeprefix("share_")).rename_axis("chips are")


def detection(table, bad, number=None, methods=METHODS):
    """Score each way of ranking chips as a detector of chips with bad labels.

    Parameters
    ----------
    table : geopandas.GeoDataFrame
        From `judge`.
    bad : array-like of bool
        Which chips are bad, for each row.
    number : int, optional
        How many chips each way calls bad; as many as are bad where left out.
    methods : sequence of str
        Of `METHODS`.

    Returns
    -------
    pandas.DataFrame
        One row a way: precision and recall of its worst `number` chips, auc (probability that a
        bad chip ranks below a good one), and correlation of the ranks with the true quality,
        where known. A last row "similarity below 0.2" is the paper's rule with its `dropped` chips.

    Raises
    ------
    ValueError
        No chip, or every chip, is bad.
    """
    from scipy.stats import spearmanr
    from sklearn.metrics import roc_auc_score

    known = table["similarity"].notna().to_numpy()
    bad = np.asarray(bad, bool)[known]
    table = table[known]
    if bad.all() or not bad.any():
        raise ValueError(f"{bad.sum()} of {len(bad)} chips are bad: there is nothing to detect")
    number = int(bad.sum()) if number is None else int(number)
    rows = {}
    for name in (m for m in methods if m in table):
        doubt = table[name].to_numpy() * (-1 if name == "similarity" else 1)
        called = np.zeros(len(bad), bool)
        called[np.argsort(-doubt, kind="stable")[:number]] = True
        rows[name] = _detected(bad, called) | {"auc": roc_auc_score(bad, doubt)}
        if "quality" in table:
            rows[name]["rank correlation"] = spearmanr(-doubt, table["quality"]).statistic
    rows[f"similarity below {LEAST:g}"] = _detected(bad, (table["similarity"] < LEAST).to_numpy())
    return pd.DataFrame(rows).T.rename_axis("method")


def _detected(bad, called):
    hit = (bad & called).sum()
    return {
        "dropped": int(called.sum()),
        "precision": hit / called.sum() if called.any() else np.nan,
        "recall": hit / bad.sum(),
    }
