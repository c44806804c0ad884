"""How does a reader of a static page look through the claims? By filters without script."""

from html import escape

MARKS = {"consistent": "✓", "rounding": "≈", "inconsistent": "✗", "not recomputable": "?"}
"""One for each verdict, so that nobody depends on colours."""
COLORS = {
    "consistent": "#0072B2", "rounding": "#56B4E9", "inconsistent": "#D55E00",
    "not recomputable": "#999999",
}  # fmt: skip
"""One for each verdict, of Okabe and Ito's palette."""
SHORT = {
    "ifcn": "Night lights", "land_cover_3m": "Land cover", "roof_greening": "Roof greening",
    "sen2hse": "Settlements",
}  # fmt: skip
HEAD = ("where", "statement", "published", "recomputed", "difference", "allowed", "verdict", "note")
STYLE = """
.audit table {border-collapse: collapse; font-size: 0.85em; width: 100%;}
.audit .scroll {max-height: 30em; overflow: auto; border: 1px solid #ccc;}
.audit td, .audit th {text-align: left; vertical-align: top; padding: 0.25em 0.5em;}
.audit tr {border-bottom: 1px solid #e5e5e5;}
.audit th {position: sticky; top: 0; background: #fff; color: #000;}
.audit label {margin-right: 1em; cursor: pointer;}
"""


def page(claims):
    """Show claims as a table that readers can filter by paper and by verdict.

    Parameters
    ----------
    claims : pandas.DataFrame
        As `claims` returned them.

    Returns
    -------
    IPython.display.HTML
        The filters are radio buttons and style rules: they work in JupyterLab and in a static
        page, and where styles are not allowed all rows are shown.

    Examples
    --------
    >>> "Roof greening" in page(claims("roof_greening")).data  # doctest: +SKIP
    True
    """
    from IPython.display import HTML

    papers = [SHORT[key] for key in dict.fromkeys(claims["paper"])]
    verdicts = [name for name in MARKS if name in set(claims["verdict"])]
    rows = []
    for _, row in claims.iterrows():
        paper, verdict = SHORT[row["paper"]], row["verdict"]
        cells = "".join(f"<td>{_cell(name, row[name])}</td>" for name in HEAD)
        kind = f"p{papers.index(paper) + 1} v{verdicts.index(verdict) + 1}"
        rows.append(f'<tr class="{kind}"><td>{paper}</td>{cells}</tr>')
    filters = [_filter("paper", "p", papers), _filter("verdict", "v", verdicts)]
    rules = " ".join(rule for _, each in filters for rule in each)
    head = "".join(f"<th>{name}</th>" for name in ("paper", *HEAD))
    return HTML(
        f"<style>{STYLE}{rules}</style><div class='audit'>{''.join(line for line, _ in filters)}"
        f"<div class='scroll'><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div></div>"
    )


def _filter(title, letter, names):
    """One line of buttons, and the rules that hide the rows of the others."""
    line, rules = f"<br>{title}: ", []
    for i, name in enumerate(["all", *names]):
        this, mark = f"audit-{letter}{i}", f"{MARKS[name]} " if name in MARKS else ""
        checked = "" if i else " checked"
        # Beside the table, not inside a box of their own: a rule reaches later siblings only.
        line += f'<input type="radio" name="audit-{letter}" id="{this}"{checked}>'
        line += f'<label for="{this}">{mark}{escape(name)}</label>'
        if i:
            rules.append(f"#{this}:checked ~ .scroll tbody tr:not(.{letter}{i}) {{display: none;}}")
    return line, rules


def _cell(name, value):
    if name == "verdict":
        color = COLORS[value]
        return f'<b style="color:{color};white-space:nowrap">{MARKS[value]} {escape(value)}</b>'
    if isinstance(value, float):
        return "" if value != value else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return escape(str(value))
