"""What do the comparisons draw that other chapters do not? Fronts of cost, and ranks."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import LogLocator, NullFormatter

COLORS = {
    "night lights": "#0072b2", "settlement": "#d55e00", "land cover": "#009e73",
    "buildings": "#cc79a7",
}  # fmt: skip
"""Of the four tasks, in every figure of these chapters (Okabe and Ito)."""


def fronts(table, cost="macs", label="multiply-adds per pixel", score="kappa", hollow="pruned"):
    """Draw score against cost, a panel for each task, with the front of what nothing beats.

    Parameters
    ----------
    table : pandas.DataFrame
        One row a network, variant and task: network, variant, task, `cost`, `score`, spread
        (standard deviation over the seeds) and front (bool, from `pareto`).
    cost, score : str
        Columns; the cost is drawn on a logarithmic axis.
    label : str
        Of the cost, with its unit.
    hollow : str
        The variant that is drawn as a ring.

    Returns
    -------
    matplotlib.figure.Figure
    """
    tasks = list(dict.fromkeys(table["task"]))
    fig, axes = plt.subplots(2, -(-len(tasks) // 2), figsize=(9, 7.6), sharex=True)
    for ax, task in zip(np.ravel(axes), tasks, strict=False):
        some = table[table["task"] == task]
        for row in some.itertuples():
            x, y = getattr(row, cost), getattr(row, score)
            face = "white" if row.variant == hollow else COLORS[task]
            ax.errorbar(x, y, row.spread, fmt="none", ecolor="0.8", lw=1, zorder=1)
            ax.scatter(x, y, s=28, facecolor=face, edgecolor=COLORS[task], zorder=3)
        best = some[some["front"]].sort_values(cost)
        ax.step(best[cost], best[score], where="post", color="0.3", lw=1, zorder=2)
        for number, row in enumerate(best.tail(2).itertuples()):
            name = row.network + (f" ({hollow})" if row.variant == hollow else "")
            ax.annotate(
                name, (getattr(row, cost), getattr(row, score)), fontsize=7,
                xytext=(3, (-12, 5)[number]), textcoords="offset points",
            )  # fmt: skip
        ax.set(xscale="log", title=task, ylim=(-0.05, 1))
        plain_ticks(ax)
    for ax in np.atleast_2d(axes)[-1]:
        ax.set_xlabel(label)
    for ax in np.atleast_2d(axes)[:, 0]:
        ax.set_ylabel(score)
    return fig


def plain_ticks(ax):
    """Write plain numbers at 1, 2, 5 and their tens on a logarithmic x axis."""
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    ax.xaxis.set_minor_formatter(NullFormatter())


def rank_diagram(ranks):
    """Draw mean ranks on a line, with bars over methods that the test does not tell apart.

    Parameters
    ----------
    ranks : pandas.DataFrame
        From `ranks`, with its attrs.

    Returns
    -------
    matplotlib.figure.Figure

    References
    ----------
    Demšar (2006), Journal of Machine Learning Research 7:1-30, Fig. 1.
    """
    count, groups = len(ranks), ranks.attrs["groups"]
    left = -(-count // 2)
    bars = 0.28 * len(groups) + 0.4
    fig, ax = plt.subplots(figsize=(8.5, 0.9 + 0.11 * len(groups) + 0.2 * left))
    ax.hlines(0, 1, count, color="0.2")
    for tick in range(1, count + 1):
        ax.vlines(tick, 0, 0.15, color="0.2")
        ax.text(tick, 0.3, str(tick), ha="center", fontsize=8)
    for place, (name, rank) in enumerate(ranks["rank"].items()):
        first = place < left
        depth = -bars - 0.55 * (place if first else count - 1 - place)
        end = 0.6 if first else count + 0.4
        ax.plot([rank, rank, end], [0, depth, depth], color="0.6", lw=0.8)
        ax.text(end, depth, f"{name} ({rank:.1f})", ha="right" if first else "left",
                va="center", fontsize=8)  # fmt: skip
    for number, names in enumerate(groups):
        low, high = ranks.loc[names[0], "rank"], ranks.loc[names[-1], "rank"]
        ax.hlines(-0.3 - 0.28 * number, low - 0.05, high + 0.05, color="#d55e00", lw=3)
    cd = ranks.attrs["cd"]
    ax.hlines(1.1, 1, min(1 + cd, count), color="0.2", lw=2)
    ax.text(1, 1.25, f"critical difference {cd:.1f}", fontsize=8)
    ax.set(xlim=(-2.2, count + 3.4), ylim=(-bars - 0.55 * left, 1.9))
    ax.axis("off")
    return fig
