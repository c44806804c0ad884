"""What does a planner need on one page?"""

import base64
import io
from html import escape
from string import Template

import numpy as np
import pandas as pd
from PIL import Image

from toolkit import __version__
from toolkit.suitability import _inputs
from toolkit.suitability.judgements import AHP
from toolkit.suitability.layers import grade_colors
from toolkit.suitability.picture import NO_COLOR, picture, shown
from toolkit.suitability.roofs import NO_GRADE, NOWHERE, by_district, by_grade

ROWS = {"districts": 9, "scores": 8, "weights": 6}  # what one page has room for
LETTERS = {"title": 90, "notes": 300}
DENSE = 24  # rows in all from which the letters are smaller


def summary(
    roofs,
    districts=None,
    title="Roofs by suitability",
    grade="grade",
    district="name",
    weights=None,
    scores=None,
    reason=None,
    sources=(),
    notes=(),
    date=None,
):
    """Lay out graded roofs on one page for a planner.

    Parameters
    ----------
    roofs : geopandas.GeoDataFrame
        As from `to_roofs`, in a projected CRS; roofs without a grade may be among them.
    districts : geopandas.GeoDataFrame, optional
        Polygons that do not overlap, in the CRS of the roofs.
    title : str
        At most 90 characters.
    grade, district : str
        Column of `roofs` with the grade; of `districts` with the name.
    weights : AHP, pandas.Series or dict, optional
        Weight by layer; of an `AHP` the page also gives the consistency ratio. By default those
        that `to_roofs` left in ``roofs.attrs``.
    scores : pandas.DataFrame, optional
        How reliable the links of the chain are: at most 8 rows, columns such as ``link``,
        ``measure``, ``value``, printed as they are. Without it the page says that nobody told.
    reason : str, optional
        Column of `roofs` that says why a roof has no grade.
    sources : sequence
        Rasters or tables that went into the score. Their ``attrs`` give title, date, licence and
        citation, as those of `roofs` and `districts` do.
    notes : str or sequence of str
        Remarks, together at most 300 characters.
    date : datetime-like, optional
        Day that the page bears; today by default.

    Returns
    -------
    str
        HTML that needs no other file and no network, and prints on one page of A4, also to PDF,
        unless citations or cells of `scores` run to several lines each.

    Raises
    ------
    KeyError, TypeError, ValueError
        What `by_grade` and `by_district` refuse; no roof with a grade, or in a district; weights
        that do not add up to 1; more than the page has room for.

    Notes
    -----
    Percentages are rounded so that those of a column add up to 100.0 (largest remainder); weights
    too. Of more than 9 districts, those with fewest roofs share a line. If anything that went in
    is simulated, the page says so at the top.

    Examples
    --------
    >>> import geopandas as gpd, shapely
    >>> boxes = [shapely.box(x, 0, x + 10, 10) for x in (0, 20, 40, 60)]
    >>> roofs = gpd.GeoDataFrame({"grade": ["high", "high", "low", "high"]}, geometry=boxes,
    ...                          crs="EPSG:32648")
    >>> "3 of 4 roofs (75.0 %) have the grade high" in summary(roofs, title="A street")
    True
    """
    _inputs.vectors(roofs, "roofs", columns=[grade] + ([reason] if reason else []))
    notes = [notes] if isinstance(notes, str) else list(notes)
    _room("title", len(title), LETTERS["title"], "characters")
    _room("notes", sum(map(len, notes)), LETTERS["notes"], "characters")
    grades = by_grade(roofs, grade)
    names = [name for name in grades.index if name != NO_GRADE]
    if not grades.loc[names, "roofs"].sum():
        raise ValueError(f"roofs: none has a grade in the column {grade!r}; is there any data?")
    colors = {**grade_colors(names), NO_GRADE: NO_COLOR}
    where = None
    if districts is not None:
        where = by_district(roofs, districts, district, grade)
        if not where["roofs"].drop(NOWHERE, errors="ignore").sum():
            raise ValueError("districts: no roof lies in any of them; are they of another place?")
    known = [roofs, *([] if districts is None else [districts]), *sources]
    simulated = any(data.attrs.get("simulated") for data in known)
    sentence = _sentence(roofs, grades, where, grade, reason)
    png = picture(roofs, districts, grade, district)
    wide, tall = Image.open(io.BytesIO(png)).size
    parts = {
        "title": escape(title),
        "sentence": escape(sentence),
        "banner": BANNER if simulated else "",
        "picture": base64.b64encode(png).decode(),
        "high": f"{117 * tall / wide:.0f}",  # the map is 117 mm wide on the page
        "alt": escape(_alt(grades, where)),
        "grades": _grades(grades, colors),
        "how": _how(roofs, weights, names),
        "districts": "" if where is None else _districts(where, colors),
        "scores": _scores(scores),
        "notes": "".join(f"<p>{escape(note)}</p>" for note in notes),
        "sources": "".join(f"<p>{escape(line)}</p>" for line in origins(known)),
        "made": f"{pd.Timestamp.now() if date is None else pd.Timestamp(date):%Y-%m-%d}",
        "version": escape(__version__),
    }
    rows = sum(part.count("<tr>") for part in parts.values())
    return PAGE.substitute(parts, dense=" dense" if rows > DENSE else "")


def _room(what, have, most, of):
    if have > most:
        raise ValueError(f"{what}: {have} {of}, one page has room for {most}; shorten it")


def percents(shares):
    """Round shares to percentages with one decimal that add up as the shares do.

    Parameters
    ----------
    shares : sequence of float
        Not negative.

    Returns
    -------
    numpy.ndarray

    Notes
    -----
    Largest remainder: all are rounded down, and what is missing goes to those that lost most.

    Examples
    --------
    >>> percents([1 / 3, 1 / 3, 1 / 3]).tolist()
    [33.4, 33.3, 33.3]
    """
    exact = np.asarray(shares, float) * 1000
    tenths = np.floor(exact + 1e-6)
    missing = round(exact.sum() - tenths.sum())
    tenths[np.argsort(tenths - exact, kind="stable")[:missing]] += 1
    return tenths / 10


def _sentence(roofs, grades, where, grade, reason):
    """The result, in words."""
    best, count = grades.index[0], grades["roofs"]
    percent = percents(grades["share"])[0]
    text = (
        f"{count[best]:,} of {count.sum():,} roofs ({percent:.1f} %) have the grade {best}, "
        f"{grades.loc[best, 'area'] / 1e4:,.1f} hectares of roof in all"
    )
    if where is not None and count[best]:
        inside = where[best].drop(NOWHERE, errors="ignore")
        if len(inside) > 1:
            text += f"; the district with most of them is {inside.idxmax()} ({inside.max():,})"
    text += "."
    if NO_GRADE in grades.index:
        text += f" {count[NO_GRADE]:,} {'has' if count[NO_GRADE] == 1 else 'have'} no grade"
        if reason:
            why = roofs.loc[roofs[grade].isna(), reason].astype(object)
            found = why.where(why.notna(), "no reason given").astype(str).value_counts()
            told = [f"{name}: {number:,}" for name, number in found.iloc[:3].items()]
            told += [f"other reasons: {found.iloc[3:].sum():,}"] if len(found) > 3 else []
            text += f" ({'; '.join(told)})"
        text += "."
    return text


def _alt(grades, where):
    shares = zip(grades.index, percents(grades["share"]), strict=True)
    told = ", ".join(f"{shown(name)} {percent:.1f} %" for name, percent in shares)
    text = f"Map of {grades['roofs'].sum():,} roofs, coloured by grade: {told}."
    if where is None:
        return text
    inside = where.drop(NOWHERE, errors="ignore")
    share = (inside.iloc[:, 4] / inside["roofs"].where(inside["roofs"] > 0)).dropna()
    if len(share) > 1:
        text += (
            f" The share of {grades.index[0]} is highest in {share.idxmax()} "
            f"({share.max():.0%}) and lowest in {share.idxmin()} ({share.min():.0%})."
        )
    return text


def _cell(value):
    """Text of a cell, and whether it is a number."""
    if isinstance(value, bool | np.bool_ | str) or value is None:
        return escape("" if value is None else str(value)), False
    if isinstance(value, int | np.integer):
        return f"{value:,}", True
    if isinstance(value, float | np.floating):
        if not np.isfinite(value):
            return "–", True
        return (f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"), True
    return escape(str(value)), False


def _table(columns, rows, kind, last=False):
    """HTML of a table; cells are values, or (html, is number)."""
    made = [[cell if isinstance(cell, tuple) else _cell(cell) for cell in row] for row in rows]
    right = [all(row[k][1] for row in made) for k in range(len(columns))]
    sides = [' class="n"' if number else "" for number in right]
    head = "".join(
        f'<th scope="col"{side}>{escape(str(column))}</th>'
        for column, side in zip(columns, sides, strict=True)
    )
    body = []
    for place, row in enumerate(made):
        cells = "".join(f"<td{s}>{text}</td>" for (text, _), s in zip(row, sides, strict=True))
        total = ' class="total"' if last and place == len(made) - 1 else ""
        body.append(f"<tr{total}>{cells}</tr>")
    return (
        f'<table class="{kind}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table>"
    )


def _grades(grades, colors):
    roofs, areas = percents(grades["share"]), percents(grades["area_share"])
    rows = [
        [
            (f'<i style="background:{colors[name]}"></i>{escape(shown(name))}', False),
            int(grades.loc[name, "roofs"]),
            (f"{roofs[k]:.1f}", True),
            (f"{grades.loc[name, 'area'] / 1e4:,.1f}", True),
            (f"{areas[k]:.1f}", True),
        ]
        for k, name in enumerate(grades.index)
    ]
    total = f"{grades['area'].sum() / 1e4:,.1f}"
    rows.append(
        ["all", int(grades["roofs"].sum()), ("100.0", True), (total, True), ("100.0", True)]
    )
    return _table(["grade", "roofs", "%", "ha", "%"], rows, "grades", last=True)


def _districts(where, colors):
    names = list(where.columns[4:])
    inside = where.drop(NOWHERE, errors="ignore")
    kept = inside
    if len(inside) > ROWS["districts"]:
        order = inside["roofs"].sort_values(ascending=False, kind="stable").index
        kept = inside[inside.index.isin(order[: ROWS["districts"] - 1])]
        rest = inside.drop(kept.index)
        kept = pd.concat([kept, rest.sum().to_frame(f"{len(rest)} other districts").T])
    kept = pd.concat([kept, where.loc[where.index == NOWHERE]])
    rows, shares = [], percents(kept["share"])
    for k, (name, row) in enumerate(kept.iterrows()):
        bar = "".join(
            f'<b style="width:{100 * row[g] / row["roofs"]:.2f}%;background:{colors[g]}"></b>'
            for g in names
            if row[g]
        )
        counts = [int(row[g]) for g in names]
        cells = [int(row["roofs"]), (f"{shares[k]:.1f}", True), *counts, (bar, False)]
        rows.append([str(name), *cells])
    total = [int(kept[g].sum()) for g in ["roofs", *names]]
    rows.append(["all", total[0], ("100.0", True), *total[1:], ("", False)])
    heads = ["district", "roofs", "%", *map(shown, names), "grades of its roofs"]
    return "<h2>By district</h2>" + _table(heads, rows, "districts", last=True)


def _how(roofs, weights, names):
    """Where the grade comes from: weights and limits, as far as they are known."""
    text = "<p>The score of a roof is the weighted sum of its layers, each put into classes from "
    text += "least to most suitable.</p>"
    ratio = None
    if isinstance(weights, AHP):
        ratio, weights = weights.cr, weights.weights
    if weights is None:
        weights = roofs.attrs.get("weights")
    table = ""
    if weights is not None:
        weights = pd.Series(weights, dtype=float).sort_values(ascending=False, kind="stable")
        _room("weights", len(weights), ROWS["weights"], "layers")
        if not (weights >= 0).all() or abs(weights.sum() - 1) > 1e-3:
            raise ValueError(f"weights must add up to 1; they are {weights.to_dict()}")
        shares = percents(weights / weights.sum())
        rows = [[str(n), (f"{p:.1f}", True)] for n, p in zip(weights.index, shares, strict=True)]
        table = _table(["layer", "weight in %"], rows, "weights")
    limits = roofs.attrs.get("breaks")
    if limits is not None and len(limits) == len(names) - 1:
        rising, told = names[::-1], [f"{limit:.2f}" for limit in limits]
        parts = [f"{n} to {limit}" for n, limit in zip(rising[:-1], told, strict=True)]
        parts.append(f"{rising[-1]} above {told[-1]}")
        text += f"<p>Grades by score: {escape(', '.join(parts))}.</p>"
    if ratio is not None:
        verdict = "they agree" if ratio < 0.1 else "they contradict each other"
        text += f"<p>Weights come from judgements in pairs; consistency ratio {ratio:.3f} "
        text += f"(limit 0.1): {verdict}.</p>"
    return table + text


def _scores(scores):
    if scores is None:
        return (
            "<p><strong>No measure of reliability came with this map.</strong> Look at a roof "
            "before deciding about it.</p>"
        )
    if not isinstance(scores, pd.DataFrame) or not len(scores):
        raise TypeError("scores: give a DataFrame with a row for each link, or leave it out")
    if any(level is not None for level in scores.index.names):
        scores = scores.reset_index()
    _room("scores", len(scores), ROWS["scores"], "rows")
    rows = scores.astype(object).where(scores.notna(), None).to_numpy().tolist()
    rows = [[_cell(value) for value in row] for row in rows]
    return _table(list(scores.columns), rows, "scores")


def origins(known):
    """One line for each licence and citation, with what is under it."""
    groups = {}
    for data in known:
        attrs = {k: str(data.attrs[k]) for k in ("licence", "citation") if data.attrs.get(k)}
        what = str(data.attrs.get("title") or data.attrs.get("long_name") or "")
        if data.attrs.get("date"):
            what = f"{what} ({data.attrs['date']})" if what else str(data.attrs["date"])
        groups.setdefault((attrs.get("licence"), attrs.get("citation")), {})[what] = None
    lines = []
    for (licence, citation), whats in groups.items():
        line = "Data: " + (", ".join(filter(None, whats)) or "not named") + ". "
        line += f"Licence: {licence or 'not stated'}."
        lines.append(line + (f" {citation}" if citation else ""))
    return lines


BANNER = (
    '<p class="banner" role="note"><strong>Simulated data.</strong> This place, or part of what is '
    "known about it, was made by a computer. Nothing here holds for a real city.</p>"
)
PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
@page { size: A4; margin: 11mm 12mm; }
* { box-sizing: border-box; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
body { margin: 0; background: #e8e8e8; color: #1a1a1a;
  font: 9pt/1.35 "Helvetica Neue", Arial, "DejaVu Sans", sans-serif; }
.page { width: 210mm; min-height: 297mm; height: 297mm; margin: 6mm auto; padding: 11mm 12mm;
  background: #fff; display: flex; flex-direction: column; }
h1 { font-size: 17pt; line-height: 1.15; margin: 0 0 1.5mm; }
h2 { font-size: 10pt; margin: 3mm 0 1mm; }
aside h2:first-child { margin-top: 0; }
p { margin: 0 0 1mm; overflow-wrap: anywhere; }
.result { font-size: 11pt; margin-bottom: 2.5mm; }
.banner { border: 0.5mm solid #d55e00; padding: 1.2mm 2mm; margin-bottom: 2.5mm; }
main { flex: 0 1 ${high}mm; display: flex; gap: 5mm; }
figure { flex: 1 1 0; min-height: 70mm; margin: 0; position: relative; }
figure img { position: absolute; width: 100%; height: 100%; object-fit: contain;
  object-position: left top; }
aside { flex: 0 0 64mm; font-size: 8.5pt; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; border-bottom: 0.3mm solid #444; padding: 0.3mm 1.2mm; }
td { border-bottom: 0.1mm solid #ccc; padding: 0.35mm 1.2mm; overflow-wrap: anywhere; }
th:first-child, td:first-child { padding-left: 0; }
.n { text-align: right; white-space: nowrap; }
.total td { font-weight: 600; border-bottom: 0; border-top: 0.3mm solid #444; }
.districts td:first-child { max-width: 40mm; overflow: hidden; white-space: nowrap;
  text-overflow: ellipsis; }
.districts th:last-child, .districts td:last-child { padding-left: 5mm; }
.districts td:last-child { width: 47mm; font-size: 0; white-space: nowrap; }
.districts b { display: inline-block; height: 2.6mm; }
.weights, .scores { margin-bottom: 1.5mm; }
i { display: inline-block; width: 3mm; height: 3mm; margin-right: 1.5mm; vertical-align: -0.4mm; }
footer { border-top: 0.3mm solid #444; margin-top: auto; padding-top: 1.5mm; font-size: 7.5pt; }
footer p { margin-bottom: 0.5mm; }
.dense { font-size: 7.8pt; line-height: 1.3; }
.dense aside { font-size: 7.5pt; }
.dense td { padding-top: 0.2mm; padding-bottom: 0.2mm; }
@media print { body { background: none; }
  .page { width: auto; min-height: 0; height: 274mm; margin: 0; padding: 0; } }
@media screen and (max-width: 800px) {
  .page { width: auto; height: auto; margin: 0; padding: 5mm; overflow-x: auto; }
  main { flex: none; flex-direction: column; } aside { flex: none; }
  figure img { position: static; height: auto; } }
</style>
</head>
<body>
<div class="page$dense">
<header>
<h1>$title</h1>
<p class="result">$sentence</p>
$banner
</header>
<main>
<figure><img src="data:image/png;base64,$picture" alt="$alt"></figure>
<aside>
<h2>By grade</h2>
$grades
<h2>How the grade came about</h2>
$how
</aside>
</main>
<section>
$districts
<h2>How far it can be trusted</h2>
$scores
$notes
</section>
<footer>
$sources
<p>Percentages are rounded so that each column adds up to 100.0. Made on $made with toolkit
$version of Reading Cities from Space.</p>
</footer>
</div>
</body>
</html>
""")
