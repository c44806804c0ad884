"""How do the weights, their consistency and the map change when a judgement moves?"""

import base64
import json
import zlib
from html import escape
from importlib import resources

import geopandas as gpd
import matplotlib
import numpy as np
import pandas as pd
from IPython.display import HTML
from matplotlib.colors import to_hex

from toolkit import _checks, suitability
from toolkit.suitability import _inputs, judgements
from toolkit.suitability import layers as _suitability

MOST = 6  # criteria: 15 sliders, and nobody judges more pairs in one sitting
MAX_CELLS = 1_000_000
NODATA = 255
CANVAS = 720  # pixels that the longer side of the map has at least
STEPS = 0xFFFFFE  # of a roof's mean class, so that its error stays below 1e-6


def judge(layers, matrix, roofs=None, method="column"):
    """Sliders on Saaty's scale, one for each pair: weights, CR and map answer as one moves.

    It computes in the page what :func:`toolkit.suitability.ahp`, ``overlay`` and ``grade`` (with
    ``breaks="equal"``) compute here, and gives the same numbers. The map is drawn in the layers'
    own CRS.

    Parameters
    ----------
    layers : dict of str to xarray.DataArray
        Two to six layers from :func:`toolkit.suitability.reclassify` by name, dims (y, x), all on
        one grid.
    matrix : array-like (n, n) or pandas.DataFrame
        The judgements to start with, as in ``suitability.ahp``, in the order of the layers unless
        it is a DataFrame with their names.
    roofs : geopandas.GeoDataFrame or pandas.DataFrame, optional
        Polygons in the CRS of the layers, which can be drawn; or what ``suitability.zonal`` makes
        of them, a column for each layer. Then the roofs of each grade are counted, and those whose
        grade differs from the start.
    method : {"column", "eigen"}
        To start with, as in ``suitability.ahp``.

    Returns
    -------
    IPython.display.HTML
        Complete in itself: it works in JupyterLab, in a saved notebook and in a static page. A
        page without scripts shows the weights of the start.

    Raises
    ------
    KeyError
        A DataFrame of judgements, or a table of roofs, without one of the layers.
    ValueError
        A matrix that ``ahp`` refuses or of another size than the layers; layers that are not
        reclassified, lie on different grids, have no value, or more than a million cells; no place
        where all have data; fewer than two or more than six.

    Warns
    -----
    UserWarning
        The judgements given contradict each other (CR >= 0.1).

    Notes
    -----
    ``overlay`` refuses judgements with CR >= 0.1. The sliders pass through such places, so the map
    stays, pale and with a warning across.

    Examples
    --------
    >>> layers = {"heat": suitability.reclassify(temperature), ...}      # doctest: +SKIP
    >>> maps.judge(layers, [[1, 2, 4], [1 / 2, 1, 2], [1 / 4, 1 / 2, 1]], roofs)  # doctest: +SKIP
    """
    _checks.choice(method, ("column", "eigen"), "method")
    checked = _inputs.layers(layers)
    names = list(matrix.index) if isinstance(matrix, pd.DataFrame) else list(checked)
    if not 2 <= len(checked) <= MOST:
        raise ValueError(
            f"maps.judge: {len(checked)} layers; judgements in pairs need 2 to {MOST}. Judge more "
            "in groups."
        )
    if len(matrix) != len(names):
        raise ValueError(f"maps.judge: the matrix has {len(matrix)} rows for {len(names)} layers")
    found = suitability.ahp(matrix, method, names)
    # overlay's own checks, of the names and of the place where all layers have data
    suitability.overlay(checked, found.weights)
    ranges = [_range(checked[name], name) for name in names]
    stack = np.stack([checked[name].values for name in names])
    if stack[0].size > MAX_CELLS:
        raise ValueError(
            f"maps.judge: the layers have {stack[0].size:,} cells, too many for a page that "
            f"answers at once (at most {MAX_CELLS:,}). Reclassify on a coarser grid first."
        )
    means = _means(checked, roofs, names)
    first = checked[names[0]]
    zoom = max(1, -(-CANVAS // max(first.shape)))
    parts = [np.where(np.isfinite(stack), stack, NODATA).astype(np.uint8).tobytes()]
    drawn = isinstance(roofs, gpd.GeoDataFrame)
    count = 0 if means is None else len(means)
    if count:
        places = _places(roofs, first, zoom) if drawn else np.zeros(count, np.uint32)
        order = np.argsort(places, kind="stable")  # neighbours together: half the size
        parts += [
            _packed(column, limits)
            for column, limits in zip(means.to_numpy()[order].T, ranges, strict=True)
        ]
        parts += [_planes(np.diff(places[order], prepend=0), 4)] if drawn else []
    data = {
        "names": names,
        "matrix": found.matrix.to_numpy().tolist(),
        "method": method,
        "ri": found.ri,
        "saaty": judgements.SAATY,
        "limit": judgements.LIMIT,
        "ranges": ranges,
        "shape": first.shape,
        "zoom": zoom,
        "roofs": count,
        "drawn": drawn,
        "grades": _suitability.GRADES,
        "colours": _suitability.GRADE_COLORS,
        "ramp": [to_hex(c) for c in matplotlib.colormaps["viridis"](np.linspace(0, 1, 256))],
        "blob": base64.b64encode(zlib.compress(b"".join(parts), 9)).decode(),
        **_ground(first),
        "notes": _notes(layers, roofs),
    }
    page = resources.files("toolkit.maps").joinpath("judge.html").read_text("utf-8")
    fill = {
        "label": escape(f"Judgements in pairs of {', '.join(names)}, and the map they make"),
        "still": _still(found),
        # no end of the script within it, whatever the names
        "data": json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),
    }
    for key, text in fill.items():
        page = page.replace("{{" + key + "}}", text)
    return HTML(page)


def _range(layer, name):
    """Lowest and highest class of a reclassified layer."""
    values = layer.values[np.isfinite(layer.values)]
    limits = layer.attrs.get("valid_range")
    if limits is None or (values != np.round(values)).any():
        raise ValueError(
            f"maps.judge: layer {name!r} holds {values.min():g} to {values.max():g}, not classes. "
            f"Reclassify it first: suitability.reclassify(layers[{name!r}])"
        )
    low, high = (int(limit) for limit in limits)
    if not (0 <= low <= values.min() and values.max() <= high < NODATA and low < high):
        raise ValueError(
            f"maps.judge: layer {name!r} holds {values.min():g} to {values.max():g}, outside its "
            f"classes {low} to {high}. Was it changed after suitability.reclassify? Reclassify it "
            "again."
        )
    return low, high


def _means(layers, roofs, names):
    """Mean class of every layer over every roof, or None."""
    if roofs is None:
        return None
    if isinstance(roofs, gpd.GeoDataFrame):
        return suitability.zonal(layers, roofs)[names]
    if not isinstance(roofs, pd.DataFrame):
        raise TypeError(
            f"roofs: expected a GeoDataFrame or the table from suitability.zonal, got "
            f"{type(roofs).__name__}"
        )
    missing = [name for name in names if name not in roofs.columns]
    if missing:
        raise KeyError(
            f"roofs: there is no column {missing}; take the table from suitability.zonal"
        )
    means = roofs[names].astype(float)
    for name in names:
        low, high = layers[name].attrs["valid_range"]
        if not means[name].dropna().between(low - 1e-6, high + 1e-6).all():
            raise ValueError(
                f"roofs: the column {name!r} has values outside the classes {low} to {high}; take "
                "the table that suitability.zonal makes of the same layers"
            )
    if means.isna().any(axis=1).all():
        raise ValueError("roofs: none of them has a value of every layer")
    return means


def _packed(values, limits):
    """Mean classes as whole numbers of three bytes; the highest says that there is none."""
    low, high = limits
    steps = np.where(np.isfinite(values), (values - low) / (high - low), 0)
    steps = np.rint(np.clip(steps, 0, 1) * STEPS).astype(np.uint32)
    return _planes(np.where(np.isfinite(values), steps, STEPS + 1), 3)


def _planes(values, count):
    """The bytes of whole numbers, all highest first and all lowest last: they compress better."""
    return b"".join(
        (values >> 8 * k & 255).astype(np.uint8).tobytes() for k in reversed(range(count))
    )


def _places(roofs, grid, zoom):
    """Pixel of every roof on the canvas, numbered row by row."""
    points = roofs.geometry.representative_point()
    col, row = ~grid.rio.transform(recalc=True) * (points.x.to_numpy(), points.y.to_numpy())
    height, width = (side * zoom for side in grid.shape)
    col = np.clip(np.floor(col * zoom), 0, width - 1).astype(np.int64)
    row = np.clip(np.floor(row * zoom), 0, height - 1).astype(np.int64)
    return row * width + col


def _ground(grid):
    """Area of a cell and a scale bar, where the CRS is in metres."""
    if not grid.rio.crs.is_projected:
        return {"km2": None, "bar": None}
    cell = grid.rio.transform(recalc=True)
    width = abs(cell.a) * grid.shape[1]
    sizes = np.outer(10.0 ** np.arange(0, 7), [1, 2, 5]).ravel()
    length = max((size for size in sizes if size <= width / 4), default=sizes[0])
    text = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    return {
        "km2": abs(cell.a * cell.e) / 1e6,
        "bar": {"share": float(length / width), "text": text},
    }


def _notes(layers, roofs):
    """Say what is simulated."""
    fake = [name for name, layer in layers.items() if layer.attrs.get("simulated")]
    if roofs is not None and roofs.attrs.get("simulated"):
        fake.append("roofs")
    return f"Simulated data: {', '.join(fake)}." if fake else ""


def _still(found):
    """What a page without scripts shows: the start, in HTML."""
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{weight:.4f}</td></tr>"
        for name, weight in found.weights.items()
    )
    return (
        "<p>The sliders and the map need scripts; in JupyterLab, trust the notebook. The weights "
        f"at the start ({'means of columns' if found.method == 'column' else 'eigenvector'}):</p>"
        f"<table>{rows}</table><p>lambda_max {found.lambda_max:.3f}, CI {found.ci:.3f}, "
        f"RI {found.ri:g}, CR {found.cr:.3f}. {escape(found.advice)}</p>"
    )
