"""How do layers of different units become one score, and the score three grades?"""

from itertools import pairwise

import matplotlib
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.colors import to_hex
from sklearn.cluster import KMeans

from toolkit import _checks
from toolkit.suitability import _inputs
from toolkit.suitability.judgements import AHP

NODATA = 255
GRADES = ("low", "medium", "high")
GRADE_COLORS = ("#cc79a7", "#f0e442", "#009e73")  # Okabe-Ito
MOST = 100_000  # values from which natural breaks are looked for


def reclassify(array, breaks="quantile", classes=5, rising=True):
    """Put a layer on the common scale of 1 (least suitable) to `classes` (most).

    Parameters
    ----------
    array : xarray.DataArray
        Dims (y, x), any unit; NaN or nodata stays without a class.
    breaks : {"quantile", "natural"} or sequence of float
        ``"quantile"``: every class has as many pixels, as far as equal values allow.
        ``"natural"``: classes as uniform within as possible (Jenks), found by k-means in one
        dimension. Numbers: the inner limits, in the layer's unit and rising; a value equal to a
        limit falls below it. The paper gives neither breaks nor number.
    classes : int
        2 to 20; with numbers one more than these, whatever is given here.
    rising : bool
        Whether a higher value is more suitable, as for temperature (roof_greening 2.4.2).

    Returns
    -------
    xarray.DataArray
        Dims (y, x), uint8, nodata 255. ``attrs``: ``breaks``, ``method``, ``rising``,
        ``valid_range`` and the legend in ``classes``.

    Raises
    ------
    ValueError
        No value at all, one value only, fewer different values than natural classes, breaks that
        do not rise.

    Notes
    -----
    Where many pixels share a value (no building within reach, six districts), quantiles coincide
    and some classes stay empty: equal values never get different classes. Natural breaks: Jenks
    (1967), International Yearbook of Cartography 7:186; Lloyd's algorithm of scikit-learn from
    ten starts and at most 100,000 values, the same at every run.

    Examples
    --------
    >>> layer = xr.DataArray([[20.0, 30.0, 40.0, np.nan]], dims=("y", "x"))
    >>> layer = layer.rio.write_crs("EPSG:32648")
    >>> reclassify(layer, breaks=[25, 30]).values.tolist()
    [[1, 2, 3, 255]]
    >>> reclassify(layer, breaks=[25, 30], rising=False).values.tolist()
    [[3, 2, 1, 255]]
    """
    array = _inputs.plain(array, "layer")
    values = _inputs.filled(array)
    known = np.isfinite(values)
    if not known.any():
        raise ValueError("layer: it has no value at all (only NaN or nodata)")
    limits, method = _breaks(values[known], breaks, classes)
    count = len(limits) + 1
    place = np.searchsorted(limits.astype(values.dtype), values) + 1
    place = np.where(known, place if rising else count + 1 - place, NODATA).astype(np.uint8)
    kept = {key: value for key, value in array.attrs.items() if key not in _OWN}
    result = array.drop_attrs(deep=False).copy(data=place)
    result.encoding = {}
    result = result.rio.write_crs(array.rio.crs).rio.write_nodata(NODATA)
    colours = _viridis(count)
    texts = _texts(limits, array.attrs.get("units", ""))
    legend = [
        {"value": k + 1, "name": f"{k + 1}: {text}", "color": colours[k]}
        for k, text in enumerate(texts if rising else texts[::-1])
    ]
    return result.assign_attrs(
        **kept,
        units="1",
        breaks=[float(v) for v in limits],
        method=method,
        rising=bool(rising),
        valid_range=[1, count],
        classes=legend,
    )


_OWN = ("_FillValue", "units", "breaks", "method", "rising", "valid_range", "classes")


def _breaks(values, breaks, classes):
    if not isinstance(breaks, str):
        limits = np.asarray(breaks, dtype=float).ravel()
        if not len(limits) or not np.isfinite(limits).all() or (np.diff(limits) <= 0).any():
            raise ValueError(
                f"breaks={list(breaks)}: give the limits between classes, one or more numbers, "
                "each higher than the one before"
            )
        return limits, "fixed"
    _checks.choice(breaks, ("quantile", "natural"), "breaks")
    if not (isinstance(classes, int | np.integer) and 2 <= classes <= 20):
        raise ValueError(f"classes={classes!r}: give a whole number from 2 to 20")
    different = len(np.unique(values))
    if different == 1:
        raise ValueError(
            f"layer: it has the value {values[0]:g} everywhere and tells no place from another. "
            "Leave it out of the overlay, or give breaks as numbers."
        )
    if breaks == "quantile":
        return np.quantile(values, np.arange(1, classes) / classes), "quantile"
    if different < classes:
        raise ValueError(
            f"layer: it has {different} different values, too few for {classes} natural classes. "
            f"Use classes={different} or fewer."
        )
    return natural_breaks(values, classes), "natural"


def _viridis(count):
    return [to_hex(colour) for colour in matplotlib.colormaps["viridis"](np.linspace(0, 1, count))]


def grade_colors(names):
    """Return the toolkit's colour of each grade.

    Parameters
    ----------
    names : sequence of str
        Grades, highest first.

    Returns
    -------
    dict of str to str
        Three grades have colours of their own, other numbers of them those of viridis.

    Examples
    --------
    >>> grade_colors(["high", "medium", "low"])
    {'high': '#009e73', 'medium': '#f0e442', 'low': '#cc79a7'}
    """
    rising = GRADE_COLORS if len(names) == len(GRADE_COLORS) else _viridis(len(names))
    return dict(zip(names, rising[::-1], strict=True))


def natural_breaks(values, classes):
    """Limits, halfway between neighbours of different class, of `classes` natural classes."""
    values = np.sort(np.asarray(values, float))
    if len(values) > MOST:
        values = values[np.linspace(0, len(values) - 1, MOST).astype(int)]
    # equal values weigh together, so that they cannot part
    points, weight = np.unique(values, return_counts=True)
    fitted = KMeans(classes, n_init=10, random_state=0).fit(points[:, None], sample_weight=weight)
    ends = np.flatnonzero(np.diff(fitted.labels_))
    return (points[ends] + points[ends + 1]) / 2


def _texts(limits, units):
    unit = f" {units}" if units and units != "1" else ""
    numbers = [f"{limit:.4g}" for limit in limits]
    middle = [f"{a} to {b}{unit}" for a, b in pairwise(numbers)]
    return [f"up to {numbers[0]}{unit}", *middle, f"above {numbers[-1]}{unit}"]


def overlay(layers, weights):
    """Weighted sum of layers.

    Parameters
    ----------
    layers : dict of str to xarray.DataArray
        Reclassified layers by name, dims (y, x), all on one grid.
    weights : AHP, pandas.Series or dict
        Weight by name, not negative, sum 1.

    Returns
    -------
    xarray.DataArray
        Score, dims (y, x), float32: from 1 to the number of classes. NaN wherever any layer has
        no data: a sum without one layer would not compare with its neighbours. ``attrs`` hold
        ``weights`` and ``valid_range``.

    Raises
    ------
    KeyError
        A layer without weight, or a weight without layer.
    ValueError
        Layers on different grids or without data, no place where all have data, weights that do
        not add up to 1, judgements with CR >= 0.1.

    Examples
    --------
    >>> layer = xr.DataArray([[1.0, 5.0]], dims=("y", "x")).rio.write_crs("EPSG:32648")
    >>> overlay({"a": layer, "b": layer * 0 + 5}, {"a": 0.25, "b": 0.75}).values.tolist()
    [[4.0, 5.0]]
    """
    checked = _inputs.layers(layers)
    weights = weights_for(checked, weights)
    score = sum(weights[name] * layer.values.astype(np.float64) for name, layer in checked.items())
    if not np.isfinite(score).any():
        raise ValueError(
            "there is no place where all layers have data: " + ", ".join(map(repr, checked))
        )
    first = next(iter(checked.values()))
    result = first.drop_attrs(deep=False).copy(data=score.astype(np.float32)).rename("suitability")
    result.encoding = {}
    result = result.rio.write_crs(first.rio.crs).rio.write_nodata(np.nan)
    attrs = {"long_name": "suitability score", "units": "1", "weights": weights.to_dict()}
    if any(layer.attrs.get("simulated") for layer in layers.values()):
        attrs["simulated"] = True
    scale = scale_of(layers, weights)
    return result.assign_attrs(attrs | ({"valid_range": list(scale)} if scale else {}))


def weights_for(layers, weights):
    """Return weights as a Series in the order of the layers, or say what does not match."""
    if isinstance(weights, AHP):
        if not weights.consistent:
            raise ValueError(f"these weights should not be used. {weights.advice}")
        weights = weights.weights
    weights = pd.Series(weights, dtype=float)
    names = list(layers)
    without = [name for name in names if name not in weights.index]
    unused = [name for name in weights.index if name not in layers]
    if without or unused:
        raise KeyError(
            f"layers and weights do not match: no weight for {without}, no layer for {unused}"
        )
    weights = weights[names]
    if not (weights >= 0).all() or abs(weights.sum() - 1) > 1e-3:
        raise ValueError(
            f"weights must not be negative and must add up to 1; they are {weights.to_dict()} "
            f"with the sum {weights.sum():g}"
        )
    return weights


def scale_of(layers, weights):
    """Lowest and highest score that layers can have, if they say their own range."""
    ranges = [layers[name].attrs.get("valid_range") for name in weights.index]
    if any(limits is None for limits in ranges):
        return None
    low, high = (weights.to_numpy() / weights.sum() @ np.array(ranges, float)).tolist()
    return round(low, 6), round(high, 6)


def grade(score, breaks="equal", names=GRADES):
    """Cut a score into grades.

    Parameters
    ----------
    score : xarray.DataArray or pandas.Series
        As from `overlay` or `to_roofs`.
    breaks : {"equal", "quantile", "natural"} or sequence of float
        ``"equal"``: equal parts of what the score can be (``attrs["valid_range"]``; 1 to 5 gives
        2.33 and 3.67), the same for every place and run. ``"quantile"`` and ``"natural"``: by
        the scores found, as in `reclassify`. Numbers: the limits; a score equal to a limit falls
        below it. The paper does not give its own.
    names : sequence of str
        From the lowest grade to the highest.

    Returns
    -------
    xarray.DataArray or pandas.Series
        Of a raster: uint8 from 0, nodata 255, legend in ``attrs["classes"]``. Of a Series: ordered
        categories, missing where the score is. ``attrs["breaks"]`` holds the limits.

    Raises
    ------
    ValueError
        A number of breaks that does not fit the names, a range that is not known, and what
        `reclassify` refuses.

    Examples
    --------
    >>> grade(pd.Series([1.2, 3.0, 4.8]), breaks=[2, 4]).tolist()
    ['low', 'medium', 'high']
    """
    names = [str(name) for name in names]
    if len(names) < 2 or len(set(names)) < len(names):
        raise ValueError(f"names={names}: give two or more different names, lowest first")
    scale = getattr(score, "attrs", {}).get("valid_range")
    if isinstance(score, xr.DataArray):
        raster = _inputs.plain(score, "score")
        values = _inputs.filled(raster).astype(np.float64)
    else:
        score = pd.Series(score)
        values = score.to_numpy(float)
    limits = grade_breaks(values, breaks, len(names), scale)
    place = np.where(np.isfinite(values), placed(values, limits), -1)
    if not isinstance(score, xr.DataArray):
        result = pd.Series(
            pd.Categorical.from_codes(place, names, ordered=True), score.index, name="grade"
        )
        result.attrs = {"breaks": limits.tolist()}
        return result
    result = raster.drop_attrs(deep=False).copy(
        data=np.where(place < 0, NODATA, place).astype(np.uint8)
    )
    result.encoding = {}
    result = result.rio.write_crs(raster.rio.crs).rio.write_nodata(NODATA).rename("grade")
    colours = grade_colors(names[::-1])
    legend = [{"value": k, "name": name, "color": colours[name]} for k, name in enumerate(names)]
    kept = {key: raster.attrs[key] for key in ("simulated", "weights") if key in raster.attrs}
    return result.assign_attrs(
        **kept, long_name="grade", units="1", breaks=limits.tolist(), classes=legend
    )


def placed(scores, limits):
    """Grade of every score, 0 the lowest; sums that differ in the last digits count as equal."""
    return np.searchsorted(np.round(limits, 5), np.round(scores, 5))


def grade_breaks(values, breaks, count, scale=None):
    """Limits between `count` grades of the scores in `values`."""
    known = np.asarray(values, float)
    known = known[np.isfinite(known)]
    if not len(known):
        raise ValueError("score: it has no value at all")
    if isinstance(breaks, str) and breaks == "equal":
        if scale is None:
            raise ValueError(
                'breaks="equal" needs to know the lowest and highest possible score: take layers '
                "from reclassify, or give the limits as numbers"
            )
        return np.linspace(*scale, count + 1)[1:-1]
    if isinstance(breaks, str):
        _checks.choice(breaks, ("equal", "quantile", "natural"), "breaks")
    limits, _ = _breaks(known, breaks, count)
    if len(limits) != count - 1:
        raise ValueError(f"breaks={list(breaks)}: {count} grades need {count - 1} limits")
    return limits
