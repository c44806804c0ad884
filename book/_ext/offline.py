"""Pages that need no other host: formulas as MathML, and no script that waits for a server."""

from docutils import nodes
from latex2mathml.converter import convert


def _inline(self, node):
    self.body.append(convert(node.astext()))
    raise nodes.SkipNode


def _block(self, node):
    number = f'<span class="eqno">({node["number"]})</span>' if node.get("number") else ""
    anchor = f' id="{node["ids"][0]}"' if node.get("ids") else ""
    formula = convert(node.astext(), display="block")
    self.body.append(f'<div class="formula"{anchor}>{number}{formula}</div>')
    raise nodes.SkipNode


def _without_thebe(app, pagename, templatename, context, doctree):
    """Jupyter Book puts thebe's set-up on every page, even when no page uses thebe."""
    context["script_files"] = [
        script
        for script in context["script_files"]
        if "thebe" not in f"{script.filename} {script.attributes.get('body')}".lower()
    ]
    context["css_files"] = [css for css in context["css_files"] if "thebe" not in str(css.filename)]


def setup(app):
    """Register both; ``html_math_renderer: mathml`` chooses the renderer."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    app.connect("html-page-context", _without_thebe, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
