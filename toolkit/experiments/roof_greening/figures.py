"""What does the chapter draw that other chapters do not? Figs. 7, 9 and 10 of the paper."""

import matplotlib.pyplot as plt
import numpy as np
from rasterio.features import rasterize

from toolkit import suitability
from toolkit.experiments.roof_greening.chain import COLORS, OUTCOMES
from toolkit.experiments.roof_greening.places import CODES


def outcome_map(place, rated, resolution=2.0, column="outcome", names=OUTCOMES):
    """Burn what became of every roof into a class map, small enough for a page.

    Parameters
    ----------
    place : Ground
        See `places.ground`.
    rated : geopandas.GeoDataFrame
        From `chain.rate`.
    resolution : float
        Metres.
    column : str
        With one of `names` for each roof; others are left out.
    names : sequence of str
        Classes, in their order.

    Returns
    -------
    xarray.DataArray
        (y, x) uint8, 0 background, with ``attrs["classes"]``.
    """
    grid = suitability.grid(place.area, resolution)
    codes = {name: code for code, name in enumerate(names, 1)}
    known = rated[rated[column].isin(codes)]
    pairs = zip(known.geometry, known[column].map(codes).astype(int), strict=True)
    values = np.zeros(grid.shape, "uint8")
    if len(known):
        values = rasterize(pairs, grid.shape, transform=grid.rio.transform(), dtype="uint8")
    classes = [{"value": 0, "name": "background", "color": "#ffffff"}]
    classes += [{"value": code, "name": name, "color": COLORS[name]} for name, code in codes.items()
                if (values == code).any()]  # fmt: skip
    out = grid.copy(data=values).rio.write_nodata(255)
    simulated = bool(place.image.attrs.get("simulated"))
    return out.assign_attrs(title="Roofs", classes=classes, simulated=simulated, _FillValue=255)


def hierarchy(weights):
    """Draw the hierarchy of the judgements with the weights, after Fig. 7.

    Parameters
    ----------
    weights : AHP
        From `chain.weights`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    fig, ax = plt.subplots(figsize=(8, 3.2))
    ax.set(xlim=(0, 4), ylim=(-0.3, 2.4))
    ax.axis("off")
    box = dict(boxstyle="round,pad=0.4", fc="#f3f2ee", ec="#444444")
    ax.text(2, 2.1, "roofs to be greened", ha="center", bbox=box)
    for i, (name, weight) in enumerate(weights.weights.items()):
        x = 0.5 + i
        ax.plot([2, x], [1.9, 1.3], color="#999999", lw=6 * weight, zorder=0)
        ax.text(x, 1.1, f"{CODES[name]} {name}\n{weight:.4f}", ha="center", va="center", bbox=box)
        for j in range(3):
            ax.plot([x, 1 + j], [0.85, 0.25], color="#dddddd", lw=1, zorder=0)
    for j, name in enumerate(("high", "medium", "low")):
        ax.text(1 + j, 0.05, f"T{j + 1} {name}", ha="center", bbox=box | {"fc": COLORS[name]})
    return fig


def bars(table, grades=("high", "medium", "low")):
    """Draw roofs by district and grade, after Fig. 10.

    Parameters
    ----------
    table : pandas.DataFrame
        From `toolkit.suitability.by_district`.
    grades : sequence of str
        Columns to stack.

    Returns
    -------
    matplotlib.figure.Figure
    """
    fig, ax = plt.subplots(figsize=(7, 3.2))
    left = np.zeros(len(table))
    for name in grades:
        ax.barh(table.index, table[name], left=left, color=COLORS[name], label=name, ec="#444444",
                lw=0.4)  # fmt: skip
        left += table[name].to_numpy()
    ax.invert_yaxis()
    ax.set(xlabel="roofs", title="Roofs by district and grade")
    ax.legend(title="grade", frameon=False)
    return fig
