"""The book, opened in a real browser that has no network."""

import json
import os
import re
import shutil
import warnings
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import browser
import nbformat
import papermill
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from toolkit import book

ROOT = Path(__file__).parents[1]
REAL = ROOT / "build" / "book" / "_build" / "html"

SETUP = """
import numpy as np, xarray as xr, geopandas as gpd
from matplotlib import pyplot as plt
from shapely.geometry import Point
from toolkit import maps

xy = {"y": 4 - 0.01 * np.arange(60), "x": 10 + 0.01 * np.arange(80)}
heat = xr.DataArray(np.hypot(*np.mgrid[-1:1:60j, -1:1:80j]), xy, ("y", "x"), "heat")
heat = heat.astype("float32").rio.write_crs(4326)
cover = (heat > 0.7).astype("uint8").rio.write_nodata(255)
cover.attrs["classes"] = [{"value": 0, "name": "background", "color": "#ffffff"},
                          {"value": 1, "name": "far", "color": "#D55E00"}]
cover.attrs["simulated"] = True
town = gpd.GeoDataFrame({"name": ["Town"]}, geometry=[Point(10.4, 3.7)], crs=4326)
"""
CELLS = [
    new_markdown_cell("# A small chapter\n\n$\\frac{a}{b}$ comes from {cite:p}`long2015`."),
    new_code_cell(SETUP),
    new_code_cell('maps.show(heat, maps.classes(cover, "Far"), maps.vector(town, popup=["name"]))'),
    new_code_cell('maps.show(heat, maps.classes(cover, "Far too", hide=[]), switch=True)'),
    new_code_cell('maps.compare(heat, maps.classes(cover, "Far"))'),
    new_code_cell('maps.compare(maps.classes(cover, "Far"), heat)'),
    new_code_cell('maps.figure(maps.panels([heat, cover]), alt="Two maps of circles.")'),
    new_code_cell("plt.plot([1, 2]);", metadata={"mystnb": {"image": {"alt": "A rising line."}}}),
]  # fmt: skip


def notebook(cells):
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """A chapter in miniature, run by papermill as the real ones are."""
    folder = tmp_path_factory.mktemp("executed")
    nbformat.write(notebook(CELLS), folder / "in.ipynb")
    papermill.execute_notebook(
        folder / "in.ipynb", folder / "out.ipynb", progress_bar=False, cwd=str(ROOT)
    )
    return folder / "out.ipynb"


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """The book's pages without the API page, which imports everything and takes half a minute."""
    folder = tmp_path_factory.mktemp("sources") / "book"
    shutil.copytree(book.SOURCES, folder)
    (folder / "api.md").write_text("# The functions behind the chapters\n")
    return folder


@pytest.fixture(scope="module")
def small(executed, sources, tmp_path_factory):
    return book.build({"small": executed}, tmp_path_factory.mktemp("site") / "book", sources)


@pytest.fixture(scope="module", params=["small", "real"])
def site(request):
    if request.param == "small":
        return request.getfixturevalue("small")
    if not (REAL / "index.html").is_file():
        pytest.skip("the book is not built: run `make book` to have its pages tested as well")
    return REAL


@pytest.fixture(scope="module")
def visit(site):
    program = browser.find()
    if program is None:
        warnings.warn(browser.REMEDY, stacklevel=1)
        pytest.skip(browser.REMEDY)
    with browser.serve(site) as home, browser.chromium(program, home) as new:
        yield new


def pages(site):
    return sorted(
        str(path.relative_to(site)).replace(os.sep, "/")
        for path in site.rglob("*.html")
        if path.relative_to(site).parts[0] != "_static"
    )


def chapters(site):
    return [page for page in pages(site) if page.startswith("notebooks/")]


# --- in the browser ------------------------------------------------------------------------------


def test_every_page_is_complete_without_network(site, visit):
    assert chapters(site)
    faults = {}
    for name in pages(site):
        guest = visit()
        page = guest.open(name)
        if name in chapters(site) and "widget-view+json" in (site / name).read_text("utf-8"):
            page.wait_for_selector(".leaflet-container", timeout=20_000)
            page.wait_for_timeout(300)
        silent = page.evaluate(
            "[...document.images].filter(i => !i.alt.trim()).map(i => i.outerHTML.slice(0, 150))"
        )
        broken = page.evaluate(
            "[...document.images].filter(i => i.complete && !i.naturalWidth)"
            ".map(i => i.outerHTML.slice(0, 150))"
        )
        found = {
            "errors on the console": guest.errors,
            "requests to other hosts": guest.outside,
            "images without alt text": silent,
            "broken images": broken,
        }
        found = {what: where for what, where in found.items() if where}
        if found:
            faults[name] = found
        page.close()
    assert not faults, json.dumps(faults, indent=1)


def with_maps(site):
    marked = {name: (site / name).read_text("utf-8") for name in chapters(site)}
    return [name for name, text in marked.items() if "LeafletImageOverlayModel" in text]


def maps_with(page, what):
    page.locator(".leaflet-container").first.wait_for(timeout=20_000)
    page.locator(what).first.wait_for(timeout=20_000, state="attached")
    return page.locator(".leaflet-container").filter(has=page.locator(what))


def test_maps_show_overlay_and_legend_and_obey_the_opacity_slider(site, visit):
    assert with_maps(site)
    for name in with_maps(site):
        page = visit().open(name)
        first = maps_with(page, ".noUi-handle").first
        first.scroll_into_view_if_needed()
        # The legend's sliders are in the order of the overlays.
        overlay = first.locator("img.leaflet-image-layer").first
        overlay.wait_for(timeout=10_000)
        assert overlay.evaluate("i => i.naturalWidth") > 1
        assert overlay.bounding_box()["width"] > 50
        assert first.locator(".widget-html-content").first.inner_text().strip()
        before = overlay.evaluate("i => Number(getComputedStyle(i).opacity)")
        handle = first.locator(".noUi-handle").first
        handle.focus()
        for _ in range(6):
            page.keyboard.press("ArrowLeft")
        page.wait_for_timeout(300)
        after = overlay.evaluate("i => Number(getComputedStyle(i).opacity)")
        assert after < before - 0.2, f"{name}: opacity stays at {before}"
        page.close()


def test_a_switch_leaves_one_raster_on_the_map(site, visit):
    switch = ".leaflet-control-layers-base input[type=radio]"
    found = [n for n in with_maps(site) if '"base":true' in (site / n).read_text("utf-8")
             .replace(" ", "")]  # fmt: skip
    assert found
    for name in found:
        page = visit().open(name)
        first = maps_with(page, switch).first
        first.scroll_into_view_if_needed()
        for number in range(first.locator(switch).count()):
            first.locator(switch).nth(number).check()
            page.wait_for_timeout(200)
            assert first.locator("img.leaflet-image-layer").count() == 1, f"{name}: {number}"
        page.close()


def test_a_slider_drag_moves_the_slider_and_not_the_map(small, visit, site):
    if site is not small:
        pytest.skip("looked at on the small site")
    page = visit().open("notebooks/small.html")
    map_ = page.locator(".leaflet-container").first
    map_.wait_for(timeout=20_000)
    map_.scroll_into_view_if_needed()
    overlay = map_.locator("img.leaflet-image-layer").first
    overlay.wait_for()
    place = overlay.bounding_box()
    handle = map_.locator(".noUi-handle").first.bounding_box()
    x, y = handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 50, y, steps=5)
    page.mouse.up()
    page.wait_for_timeout(300)
    assert overlay.evaluate("i => Number(getComputedStyle(i).opacity)") < 0.8
    assert overlay.bounding_box()["x"] == pytest.approx(place["x"], abs=1)
    page.close()


def test_swipes_react_one_by_one(site, visit):
    for name in chapters(site):
        page = visit().open(name)
        swipes = page.locator("figure.swipe")
        if swipes.count() == 0:
            page.close()
            continue
        clip = "f => getComputedStyle(f.querySelectorAll('img')[1]).clipPath"
        before = [swipes.nth(i).evaluate(clip) for i in range(swipes.count())]
        swipes.first.locator("input").focus()
        for _ in range(10):
            page.keyboard.press("ArrowRight")
        after = [swipes.nth(i).evaluate(clip) for i in range(swipes.count())]
        assert after[0] != before[0]
        assert after[1:] == before[1:]
        page.close()


def test_search_finds_a_page_offline(site, visit):
    guest = visit()
    page = guest.open("search.html?q=glossary")
    page.wait_for_selector("#search-results li", timeout=10_000)
    assert not guest.errors and not guest.outside
    page.close()


# --- links ---------------------------------------------------------------------------------------


class _Links(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.links, self.anchors = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.anchors |= {attrs[key] for key in ("id", "name") if attrs.get(key)}
        loads = tag in ("script", "img", "source", "iframe") or (
            tag == "link" and "stylesheet" in (attrs.get("rel") or "")
        )
        for key in ("href", "src"):
            if attrs.get(key):
                self.links.append((attrs[key], loads))


def test_no_internal_link_is_broken_and_nothing_is_loaded_from_elsewhere(site):
    parsed = {name: _Links((site / name).read_text("utf-8")) for name in pages(site)}
    broken = []
    for name, page in parsed.items():
        for link, loads in page.links:
            parts = urlsplit(link)
            if parts.scheme == "data":
                continue
            if parts.scheme or parts.netloc:
                if loads:
                    broken.append(f"{name} loads {link}")
                continue
            path, anchor = urldefrag(parts._replace(query="").geturl())
            target = (site / name).parent / unquote(path) if path else site / name
            if target.is_dir():
                target = target / "index.html"
            if not target.exists():
                broken.append(f"{name} -> {link}")
            elif anchor and target.suffix == ".html":
                key = str(target.resolve().relative_to(site.resolve())).replace(os.sep, "/")
                if key in parsed and unquote(anchor) not in parsed[key].anchors:
                    broken.append(f"{name} -> {link} (no such place on the page)")
    assert not broken, "\n".join(broken)


# --- putting it together -------------------------------------------------------------------------


def test_an_unchanged_book_is_not_built_again(small, executed, sources):
    before = (small / "index.html").stat().st_mtime_ns
    assert book.build({"small": executed}, small.parents[1], sources) == small
    assert (small / "index.html").stat().st_mtime_ns == before


def test_formulas_are_mathml(small):
    page = (small / "notebooks" / "small.html").read_text("utf-8")
    assert "<mfrac>" in page
    assert not re.search(r"<script[^>]*mathjax", page, re.I)


def test_small_page_is_small(small):
    assert (small / "notebooks" / "small.html").stat().st_size < 700_000


def test_pages_carry_only_the_widgets_that_are_shown(small, executed):
    saved = nbformat.read(executed, as_version=4).metadata.widgets[book.STATES]["state"]
    page = nbformat.read(small.parents[1] / "notebooks" / "small.ipynb", as_version=4)
    kept = page.metadata.widgets[book.STATES]["state"]
    assert {m["model_name"] for m in kept.values()} >= {"LeafletMapModel", "LinkModel"}
    assert len(kept) < len(saved)
    widgets = {path.name for path in (small / "_static" / "widgets").iterdir() if path.is_dir()}
    assert widgets == {"jupyter-leaflet", "html-manager"}


def test_a_broken_link_stops_the_build(executed, sources, tmp_path):
    copy = tmp_path / "sources"
    shutil.copytree(sources, copy)
    (copy / "intro.md").write_text("# Intro\n\n[gone](nowhere.md) {cite:p}`nobody1900`\n")
    with pytest.raises(RuntimeError, match="stumble") as error:
        book.build({"small": executed}, tmp_path / "book", copy)
    assert "nowhere.md" in str(error.value) and "nobody1900" in str(error.value)


def test_missing_notebook_silent_figure_failed_cell_and_unknown_widget(executed, sources, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.ipynb"):
        book.assemble({"x": tmp_path / "gone.ipynb"}, tmp_path / "book", sources)

    def with_output(output, **metadata):
        cell = new_code_cell("1", outputs=[output], metadata=metadata)
        path = tmp_path / "case.ipynb"
        nbformat.write(notebook([cell]), path)
        return {"case": path}

    picture = nbformat.v4.new_output("display_data", {"image/png": "aGk="})
    with pytest.raises(ValueError, match=r"alt text in cell \[0\]"):
        book.assemble(with_output(picture), tmp_path / "book", sources)
    html = nbformat.v4.new_output("display_data", {"text/html": "<img src='x'>"})
    with pytest.raises(ValueError, match="alt text"):
        book.assemble(with_output(html), tmp_path / "book", sources)
    error = nbformat.v4.new_output("error", ename="KeyError", evalue="x", traceback=[])
    with pytest.raises(ValueError, match="KeyError"):
        book.assemble(with_output(error), tmp_path / "book", sources)
    book.assemble(with_output(picture, mystnb={"image": {"alt": "hi"}}), tmp_path / "book", sources)

    strange = nbformat.read(executed, as_version=4)
    state = strange.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    next(m for m in state.values() if m["model_name"] == "LeafletMapModel").update(
        model_module="no-such-widget"
    )
    nbformat.write(strange, tmp_path / "strange.ipynb")
    with pytest.raises(FileNotFoundError, match="no-such-widget"):
        book.assemble({"s": tmp_path / "strange.ipynb"}, tmp_path / "book", sources)


def test_vendored_scripts_are_what_their_readme_says(executed, sources, tmp_path):
    copy = tmp_path / "sources"
    shutil.copytree(sources, copy)
    (copy / "vendor" / "require.js").write_text("alert(1)")
    with pytest.raises(ValueError, match=r"require\.js is not the file"):
        book.assemble({"small": executed}, tmp_path / "book", copy)
    assert all(path.stat().st_size < 1_400_000 for path in (book.SOURCES / "vendor").iterdir())


def test_every_module_has_a_section_on_the_api_page():
    import toolkit

    page = (book.SOURCES / "api.md").read_text("utf-8")
    assert [name for name in toolkit.__all__ if f"automodule:: toolkit.{name}\n" not in page] == []


def test_contents_name_pages_that_exist_and_papers_are_in_the_bibliography():
    toc = yaml.safe_load((book.SOURCES / "_toc.yml").read_text("utf-8"))
    files = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    made = {"catalogue"}
    assert [f for f in files if f not in made and not (book.SOURCES / f"{f}.md").is_file()] == []
    keys = re.findall(r"^@\w+\{(\w+),", (book.SOURCES / "references.bib").read_text("utf-8"), re.M)
    assert {"yin2022", "dong2020", "luo2022", "qiu2020", "long2015"} <= set(keys)


def test_launch_buttons_appear_where_the_repository_is_known(tmp_path, monkeypatch):
    config = tmp_path / "_config.yml"
    text = (book.SOURCES / "_config.yml").read_text("utf-8")
    config.write_text(text, "utf-8")
    monkeypatch.delenv("TOOLKIT_REPOSITORY", raising=False)
    book._launch_links(config)
    assert config.read_text("utf-8") == text
    monkeypatch.setenv("TOOLKIT_REPOSITORY", "https://example.org/city/notebooks")
    book._launch_links(config)
    settings = yaml.safe_load(config.read_text("utf-8"))
    assert settings["repository"]["url"] == "https://example.org/city/notebooks"
    assert settings["launch_buttons"]
