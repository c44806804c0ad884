"""How do graded roofs become a picture?"""

import io
from textwrap import shorten

import numpy as np
import shapely
from matplotlib.figure import Figure
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path
from matplotlib.patheffects import withStroke
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar

from toolkit.suitability.layers import grade_colors
from toolkit.suitability.roofs import NO_GRADE, by_grade

NO_COLOR = "#a6a6a6"
LABELS = 12  # names that a map of this size has room for


def shown(name):
    """Return the grade as readers see it: one may be missing for other reasons than data."""
    return "no grade" if name == NO_GRADE else str(name)


def picture(roofs, districts=None, grade="grade", district="name"):
    """Draw roofs coloured by grade, with districts, scale bar, north arrow and legend.

    Parameters
    ----------
    roofs, districts, grade, district
        As in `summary`. Up to 12 districts bear their names, cut to 24 letters.

    Returns
    -------
    bytes
        PNG, 1500 pixels wide.

    Examples
    --------
    >>> import geopandas as gpd, shapely
    >>> roofs = gpd.GeoDataFrame({"grade": ["high"]}, geometry=[shapely.box(0, 0, 9, 9)],
    ...                          crs="EPSG:32648")
    >>> picture(roofs)[1:4]
    b'PNG'
    """
    found = by_grade(roofs, grade).index
    names = [name for name in found if name != NO_GRADE]
    colors = grade_colors(names) | ({NO_GRADE: NO_COLOR} if NO_GRADE in found else {})
    west, south, east, north = roofs.total_bounds
    if districts is not None:
        also = districts.total_bounds
        west, south = np.minimum((west, south), also[:2])
        east, north = np.maximum((east, north), also[2:])
    pad = 0.02 * max(east - west, north - south)
    width, height = east - west + 2 * pad, north - south + 2 * pad
    figure = Figure(figsize=(5, 5 * min(max(height / width, 0.4), 1.3) + 0.35), dpi=300)
    ax = figure.add_axes((0, 0.35 / figure.get_figheight(), 1, 1 - 0.35 / figure.get_figheight()))
    text = roofs[grade].astype(object).where(roofs[grade].notna(), NO_GRADE).astype(str)
    # those without a grade first, so that none covers a grade
    for name in [NO_GRADE, *names[::-1]]:
        chosen = roofs.geometry[text == name]
        if len(chosen):
            ax.add_artist(PathPatch(_outline(chosen), color=colors[name], linewidth=0.15))
    halo = [withStroke(linewidth=2.2, foreground="white")]
    if districts is not None:
        districts.boundary.plot(ax=ax, color="#333333", linewidth=0.7)
        if districts[district].nunique() <= LABELS:
            places = districts.dissolve(district).representative_point()
            for name, place in places.items():
                label = shorten(str(name), 24, placeholder="…")
                ax.text(
                    place.x, place.y, label, fontsize=8, ha="center", va="center",
                    path_effects=halo, parse_math=False, clip_on=True,
                )  # fmt: skip
    ax.set(xlim=(west - pad, east + pad), ylim=(south - pad, north + pad), aspect="equal")
    ax.set(xticks=[], yticks=[], xlabel="", ylabel="", facecolor="#f4f4f2")
    for spine in ax.spines.values():
        spine.set(color="#555555", linewidth=0.6)
    room = 0.25 * width
    size = 10.0 ** np.floor(np.log10(room))
    length = max(factor * size for factor in (1, 2, 5) if factor * size <= room)
    label = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    # below the map, where it covers no roof
    bar = AnchoredSizeBar(
        ax.transData, length, label, "upper right", frameon=False, pad=0.3, borderpad=0, sep=3,
        size_vertical=height / 300, fontproperties={"size": 8.5}, bbox_to_anchor=(1, 0),
        bbox_transform=ax.transAxes,
    )  # fmt: skip
    bar.set_clip_on(False)
    ax.add_artist(bar)
    ax.annotate(
        "N", (0.96, 0.985), (0.96, 0.9), "axes fraction", ha="center", va="top", fontsize=9,
        arrowprops={"arrowstyle": "-|>", "color": "black", "lw": 1}, path_effects=halo,
    )  # fmt: skip
    handles = [Patch(facecolor=color, label=shown(name)) for name, color in colors.items()]
    figure.legend(
        handles=handles, loc="lower left", ncols=len(handles), frameon=False, fontsize=8.5,
        borderaxespad=0.2, handlelength=1.2, columnspacing=1.2,
    )  # fmt: skip
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _outline(polygons):
    """One path of all rings, much faster than a patch for each polygon."""
    # exteriors turn one way and holes the other, so that holes stay open
    rings = shapely.get_rings(shapely.normalize(polygons.to_numpy()))
    counts = shapely.get_num_coordinates(rings)
    codes = np.full(counts.sum(), Path.LINETO, Path.code_type)
    codes[np.cumsum(counts) - counts] = Path.MOVETO
    return Path(shapely.get_coordinates(rings), codes)
