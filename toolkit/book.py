"""How do executed notebooks become the site?

:func:`assemble` puts the book's own pages, the executed notebooks, a page made from the data
catalogue and the scripts of the widgets into one folder; :func:`build` lets Sphinx turn that folder
into a site that needs no other host. Nothing is executed here.
"""

import hashlib
import json
import lzma
import os
import re
import shutil
import subprocess
import sys
from html import escape
from pathlib import Path

import nbformat
import pydata_sphinx_theme
import yaml

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "book"
PICTURES = ROOT / "notebooks" / "images"
TARGET = ROOT / "build" / "book"
JUPYTER_BOOK = "from jupyter_book.cli.main import main; main()"  # it has no python -m
# The html-manager has these inside.
BUILT_IN = {"@jupyter-widgets/base", "@jupyter-widgets/controls", "@jupyter-widgets/output"}
STATES = "application/vnd.jupyter.widget-state+json"
VIEW = "application/vnd.jupyter.widget-view+json"
REFERENCE = re.compile(r"IPY_MODEL_(\w+)")
FONTS = {
    "1551f4f60c37af51121f.woff2": "fa-solid-900.woff2",
    "7a3337626410ca2f4071.woff2": "fa-regular-400.woff2",
    "d878b0a6a1144760244f.woff2": "fa-brands-400.woff2",
}
ALT = re.compile(r"\balt=(\"[^\"]*\S[^\"]*\"|'[^']*\S[^']*')")
# Warnings that a reader would meet as a dead link, a missing picture or an empty reference.
SERIOUS = re.compile(
    r"\[(myst\.xref|myst\.iref|ref\.|toc\.|etoc\.|image\.|download\.|bibtex|mystnb)|undefined label"
    r"|unknown document|bibtex key|autodoc: failed|latex2mathml"
)


def assemble(executed, target=TARGET, sources=SOURCES):
    """Put together everything that the site is built from.

    Parameters
    ----------
    executed : dict of str to Path
        Page name and executed notebook, for each chapter.
    target : Path
        Folder to (re)make.
    sources : Path
        The book's own pages and configuration.

    Returns
    -------
    Path
        `target`.

    Raises
    ------
    FileNotFoundError
        A notebook, or the script of a widget package, is missing.
    ValueError
        A figure without alternative text, or a cell that failed.

    Examples
    --------
    >>> book.assemble({"01_night_lights": Path("build/runs/.../notebook.ipynb")})
    """
    target = Path(target)
    missing = [str(path) for path in executed.values() if not Path(path).is_file()]
    if missing:
        raise FileNotFoundError(f"book: no executed notebook at {', '.join(missing)}")
    notebooks = {name: nbformat.read(path, as_version=4) for name, path in sorted(executed.items())}
    for name, notebook in notebooks.items():
        _check_outputs(name, notebook)
        _prune_widgets(notebook)
    if target.exists():
        shutil.rmtree(target)
    shutil.copytree(sources, target, ignore=shutil.ignore_patterns("vendor", "__pycache__"))
    pages = target / "notebooks"
    pages.mkdir()
    if PICTURES.is_dir():
        shutil.copytree(PICTURES, pages / PICTURES.name)
    for name, notebook in notebooks.items():
        nbformat.write(notebook, pages / f"{name}.ipynb")
    toc = yaml.safe_load((target / "_toc.yml").read_text("utf-8"))
    for part in toc["parts"]:
        if part["caption"] == "Chapters":
            part["chapters"] = [{"file": f"notebooks/{name}"} for name in notebooks]
    toc["parts"] = [part for part in toc["parts"] if part["chapters"]]
    (target / "_toc.yml").write_text(yaml.safe_dump(toc, sort_keys=False), "utf-8")
    _launch_links(target / "_config.yml")
    (target / "catalogue.md").write_text(catalogue_page(), "utf-8")
    _widget_scripts(notebooks, target / "static" / "widgets", sources / "vendor")
    return target


def _launch_links(config):
    """Add launch buttons, which are plain links, where it is known what they would launch."""
    url = os.environ.get("TOOLKIT_REPOSITORY")  # https://host/owner/name; CI sets it
    if url:
        settings = yaml.safe_load(config.read_text("utf-8"))
        settings["repository"] = {"url": url, "branch": "main"}
        settings["launch_buttons"] = {"binderhub_url": "https://mybinder.org"}
        settings["html"]["use_repository_button"] = True
        config.write_text(yaml.safe_dump(settings, sort_keys=False), "utf-8")


def build(executed, target=TARGET, sources=SOURCES):
    """Assemble the book and build the site; an unchanged one is not built again.

    Parameters
    ----------
    executed : dict of str to Path
        Page name and executed notebook, for each chapter.
    target : Path
        Folder for the assembled book; the site goes to ``_build/html`` in it.
    sources : Path
        The book's own pages and configuration.

    Returns
    -------
    Path
        The folder that holds ``index.html``.

    Raises
    ------
    RuntimeError
        Sphinx failed, or warned of a broken link, a missing picture or an unknown reference.

    Examples
    --------
    >>> book.build({"01_night_lights": Path("build/runs/.../notebook.ipynb")}) / "index.html"
    """
    target = Path(target).resolve()
    stamp = target / "_build" / "stamp"
    state = _digest(executed, sources)
    html = target / "_build" / "html"
    if stamp.is_file() and stamp.read_text() == state and (html / "index.html").is_file():
        return html
    assemble(executed, target, sources)
    log = target / "_build" / "warnings.txt"
    log.parent.mkdir()
    for command in (
        ["-c", JUPYTER_BOOK, "config", "sphinx", str(target)],
        ["-m", "sphinx", "-q", "-b", "html", "-w", str(log), str(target), str(html)],
    ):
        done = subprocess.run(
            [sys.executable, *command],
            capture_output=True,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": f"{ROOT}{os.pathsep}{target / '_ext'}",
                "PYTHONWARNINGS": "ignore",
            },
        )
        if done.returncode:
            raise RuntimeError(f"book: {command[1]} failed\n{(done.stdout + done.stderr)[-4000:]}")
    warnings = [line for line in log.read_text("utf-8").splitlines() if "WARNING" in line.upper()]
    serious = [line for line in warnings if SERIOUS.search(line)]
    if serious:
        raise RuntimeError("book: a reader would stumble over\n" + "\n".join(serious))
    if warnings:
        print(f"book: {len(warnings)} minor warnings in {log}")
    stamp.write_text(state)
    return html


def catalogue_page(path=None):
    """Write the data catalogue as a page in Markdown.

    Parameters
    ----------
    path : Path, optional
        The YAML file; by default the catalogue in use.

    Returns
    -------
    str

    Examples
    --------
    >>> book.catalogue_page().splitlines()[0]
    '# The data catalogue'
    """
    from toolkit import catalog
    from toolkit.catalog import schema

    entries = schema.load(path or catalog.path())
    lines = [
        "# The data catalogue",
        "",
        "Made from `data_catalog.yaml`. `toolkit data` prints it with what is already on your "
        "computer, `toolkit data fetch NAME` gets a data set and checks its sums, and "
        "`catalog.open(NAME)` opens it, fetching it first if need be.",
        "",
        "| name | what | sensor | resolution |",
        "|---|---|---|---|",
    ]
    for name, entry in sorted(entries.items()):
        what = f"[{_cell(entry.title)}](#data-{_slug(name)})"
        lines.append(f"| `{name}` | {what} | {_cell(entry.sensor)} | {_cell(entry.resolution)} |")
    for name, entry in sorted(entries.items()):
        source = entry.driver
        origin = getattr(source, "url", None) or source.archive
        if source.name == "pypi":
            origin = f"{source.archive}, in the package {source.package} {source.version}"
        facts = {
            "name": f"`{name}`",
            "sensor": _cell(entry.sensor),
            "date": _cell(entry.date),
            "resolution": _cell(entry.resolution),
            "CRS": _cell(entry.crs),
            "bands": ", ".join(f"{_cell(b.long_name)} ({_cell(b.units)})" for b in entry.bands),
            "classes": ", ".join(_class(each) for each in entry.classes),
            "origin": _cell(origin),
            "sha256": f"`{source.sha256}`" if source.sha256 else "",
            "licence": _cell(entry.licence),
            "citation": _cell(entry.citation),
        }
        lines += ["", f"(data-{_slug(name)})=", f"## {_cell(entry.title)}", ""]
        if entry.simulated:
            lines += ["**Simulated data.**", ""]
        lines += [" ".join(entry.description.split()), "", "| | |", "|---|---|"]
        lines += [f"| {fact} | {text} |" for fact, text in facts.items() if text]
    return "\n".join(lines) + "\n"


def _slug(name):
    return re.sub(r"[^a-z0-9]+", "-", name.lower())


def _cell(text):
    """Text for a cell of a Markdown table."""
    return escape(" ".join(str(text).split()), quote=False).replace("|", "\\|")


def _class(each):
    patch = f"display:inline-block;width:0.8em;height:0.8em;background:{each.color}"
    return f'<span style="{patch};border:1px solid #888"></span> {each.value} {_cell(each.name)}'


def _check_outputs(name, notebook):
    """Refuse failed cells and figures that a blind reader would miss."""
    silent = []
    for number, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                raise ValueError(f"book: {name}, cell {number} failed: {output.ename}")
            data = output.get("data", {})
            picture = any(key.startswith("image/") for key in data)
            html = "".join(data.get("text/html", ""))
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt")
            bare = [tag for tag in re.findall(r"<img\b[^>]*>", html) if not re.search(ALT, tag)]
            if bare or (picture and not html and not alt):
                silent.append(number)
    if silent:
        raise ValueError(
            f"book: {name}: a figure without alt text in cell {silent}. End the cell with "
            "maps.figure(fig, alt='what the figure shows'), or set the cell's metadata "
            "{'mystnb': {'image': {'alt': '...'}}}."
        )


def _states(notebook):
    """Saved widgets of a notebook: model id to model."""
    return notebook.metadata.get("widgets", {}).get(STATES, {}).get("state", {})


def _prune_widgets(notebook):
    """Keep the widgets that a cell shows, with their parts and the links between them.

    papermill saves every widget that is alive, and importing leafmap makes some of its own: a
    page would load megabytes of scripts for widgets that nobody sees.
    """
    states = _states(notebook)
    shown = {
        output["data"][VIEW]["model_id"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if VIEW in output.get("data", {})
    }
    kept, news = set(), shown & states.keys()
    while news:
        kept |= news
        parts = {x for key in news for x in REFERENCE.findall(json.dumps(states[key]))}
        links = {
            key
            for key, model in states.items()
            if model["model_name"] in ("LinkModel", "DirectionalLinkModel")
            and set(REFERENCE.findall(json.dumps(model))) <= kept | parts
        }
        news = ((parts | links) & states.keys()) - kept
    for key in states.keys() - kept:
        del states[key]


def _widget_scripts(notebooks, folder, vendor):
    """Lay out the scripts that wake widgets, and tell require.js where each package lies."""
    folder.mkdir(parents=True)
    sums = re.findall(r"\| `(\S+?)` \|.*`([0-9a-f]{64})`", (vendor / "README.md").read_text())
    for name, expected in sums:
        content = (vendor / name).read_bytes()
        content = lzma.decompress(content) if name.endswith(".xz") else content
        if hashlib.sha256(content).hexdigest() != expected:
            raise ValueError(f"book: {vendor / name} is not the file that its README describes")
        (folder / name.removesuffix(".xz")).write_bytes(content)
    modules = {
        model["model_module"]
        for notebook in notebooks.values()
        for model in _states(notebook).values()
    }
    installed = Path(sys.prefix) / "share" / "jupyter" / "nbextensions"
    paths = {}
    for module in sorted(modules - BUILT_IN):
        if not (installed / module / "index.js").is_file():
            raise FileNotFoundError(
                f"book: a notebook shows a widget of {module!r}, but {installed} has no script "
                "for static pages. Show the result without that widget."
            )
        shutil.copytree(installed / module, folder / module, ignore=shutil.ignore_patterns("*.map"))
        paths[module] = f"{module}/index"
    # The html-manager looks for its icon font beside itself; the theme has the same font.
    paths["@jupyter-widgets"] = "html-manager"
    paths["@jupyter-widgets/html-manager/dist"] = "html-manager"
    (folder / "html-manager").mkdir()
    theme = Path(pydata_sphinx_theme.__file__).parent / "theme" / "pydata_sphinx_theme"
    for name, font in FONTS.items():
        source = theme / "static" / "vendor" / "fontawesome" / "webfonts" / font
        shutil.copy(source, folder / "html-manager" / name)
    (folder / "paths.js").write_text(
        "// Where require.js finds the widget packages: beside this file.\n"
        f"(function (paths) {{\n  const here = document.currentScript.src.replace(/[^/]*$/, '');\n"
        "  for (const name in paths) paths[name] = here + paths[name];\n"
        f"  require.config({{ paths: paths }});\n}})({json.dumps(paths)});\n"
    )


def _digest(executed, sources):
    """Sum over everything the site depends on, so that an unchanged one is not built again."""
    total = hashlib.sha256()
    files = [Path(path) for path in executed.values()]
    files += [*Path(sources).rglob("*"), *PICTURES.rglob("*")]
    files += list((ROOT / "toolkit").rglob("*.py"))
    files += [ROOT / "data_catalog.yaml", ROOT / "constraints.txt"]
    for path in sorted(files):
        if path.is_file() and "__pycache__" not in path.parts:
            total.update(path.name.encode() + path.read_bytes())
    total.update(json.dumps([sorted(executed), os.environ.get("TOOLKIT_REPOSITORY")]).encode())
    return total.hexdigest()
