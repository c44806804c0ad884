"""Sliders for judgements in pairs: the page computes what Python computes, alone and offline."""

import json
import re
import warnings
from itertools import combinations

import browser
import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
import xarray as xr
from nbconvert import HTMLExporter
from nbformat.v4 import new_code_cell, new_notebook, new_output

from toolkit import maps, suitability

CRS = "EPSG:32648"
PAPER = [[1, 1, 2, 4], [1, 1, 2, 2], [1 / 2, 1 / 2, 1, 2], [1 / 4, 1 / 2, 1 / 2, 1]]
NAMES = ["population", "temperature", "buildings", "roads"]


def layer(values, classes=5, **attrs):
    rows, cols = np.shape(values)
    coords = {"y": 30.0 * (rows - 0.5 - np.arange(rows)), "x": 30.0 * (np.arange(cols) + 0.5)}
    array = xr.DataArray(np.asarray(values, "float32"), coords, ("y", "x"), attrs=attrs)
    found = suitability.reclassify(array.rio.write_crs(CRS), classes=classes)
    return found


def make(count=4, rows=30, cols=40, seed=0, **attrs):
    """Layers that differ in smoothness and have holes, the last with four classes only."""
    rng = np.random.default_rng(seed)
    result = {}
    for k in range(count):
        values = rng.normal(size=(rows, cols)).cumsum(axis=k % 2)
        values[rng.random((rows, cols)) < 0.02] = np.nan
        values[:3, :3] = np.nan
        name = NAMES[k] if k < 4 else f"criterion {k}"
        result[name] = layer(values, 4 if k and k == count - 1 else 5, **attrs)
    return result


def make_roofs(count=300, seed=1):
    """Roofs across cells, one where there is no data."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, 1150, count), rng.uniform(0, 850, count)
    wide, high = rng.uniform(8, 45, (2, count))
    shapes = [shapely.box(10, 860, 30, 880), *shapely.box(x, y, x + wide, y + high)]
    return gpd.GeoDataFrame(geometry=shapes, crs=CRS)


def expected(layers, roofs, matrix, method, names):
    """What the page has to say, from the functions of `suitability`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = suitability.ahp(matrix, method, names)
    score = suitability.overlay(layers, found.weights)
    graded = suitability.grade(score, "equal")
    table = suitability.to_roofs(layers, roofs, found.weights)
    return found, graded, table


# In Python


def test_page_is_complete_and_small():
    rng = np.random.default_rng(0)
    layers = {}
    for name in NAMES:
        rough = np.kron(rng.normal(size=(50, 50)), np.ones((8, 8)))
        layers[name] = layer(rough + rng.normal(size=(400, 400)) / 4, simulated=True)
    x, y = rng.uniform(0, 11900, (2, 15000))
    roofs = gpd.GeoDataFrame(geometry=shapely.box(x, y, x + 15, y + 12), crs=CRS)
    page = maps.judge(layers, PAPER, roofs).data
    assert len(page) < 400_000
    outside = [url for url in re.findall(r"https?://[^\"'\s<]+", page) if "w3.org" not in url]
    assert not outside and "{{" not in page
    assert "Simulated data: population, temperature, buildings, roads." in page
    # without scripts
    still = page.split('class="still">')[1].split("<script")[0]
    assert "0.3763" in still and "CR 0.023" in still and "trust the notebook" in still


def test_names_cannot_break_the_page():
    layers = make(2)
    evil = {"</script><b>": layers["population"], 'it\'s "x" & y': layers["temperature"]}
    page = maps.judge(evil, [[1, 3], [1 / 3, 1]]).data
    assert "</script><b>" not in page and page.count("</script>") == 2


def test_bad_input():
    layers = make(3)
    matrix = [[1, 2, 4], [1 / 2, 1, 2], [1 / 4, 1 / 2, 1]]
    names = list(layers)
    first = layers[names[0]]
    good = pd.DataFrame(matrix, names, names)
    assert maps.judge(layers, good).data
    raw = first.astype("float32").where(first != 255) + 0.5
    loose = first.copy()
    del loose.attrs["valid_range"]
    six = first.copy(data=np.where(first == 5, 6, first))
    empty = first.copy(data=np.full(first.shape, 255, "uint8"))
    west, east = (first.where(first.x < 600, 255), first.where(first.x > 600, 255))
    apart = {names[0]: west, names[1]: east, names[2]: first}
    apart = {name: a.astype("uint8").rio.write_nodata(255) for name, a in apart.items()}
    for bad, judgements, message in [
        (layers, [[1, 0, 4], [1, 1, 2], [1 / 4, 1 / 2, 1]], "a number above 0"),
        (layers, [[1, 2, 4], [2, 1, 2], [1 / 4, 1 / 2, 1]], "not reciprocal"),
        (layers, PAPER, "4 rows for 3 layers"),
        (layers | {names[0]: raw}, matrix, "Reclassify it first"),
        (layers | {names[0]: loose}, matrix, "Reclassify it first"),
        (layers | {names[0]: six}, matrix, "outside its classes 1 to 5"),
        (layers | {names[0]: empty}, matrix, "no value at all"),
        (layers | {names[1]: first[1:]}, matrix, "another shape"),
        (apart, matrix, "no place where all layers have data"),
        (make(1), [[1]], "need 2 to 6"),
        (make(7), np.ones((7, 7)), "need 2 to 6"),
    ]:
        with pytest.raises(ValueError, match=message):
            maps.judge(bad, judgements)
    with pytest.raises(KeyError, match="no weight for"):
        maps.judge(layers, good.rename(index={names[0]: "x"}, columns={names[0]: "x"}))
    with pytest.raises(TypeError, match="dict of rasters"):
        maps.judge(first, matrix)
    with pytest.raises(ValueError, match="Did you mean 'eigen'"):
        maps.judge(layers, matrix, method="eigne")
    with pytest.warns(UserWarning, match="contradict"):
        maps.judge(layers, [[1, 5, 1 / 5], [1 / 5, 1, 5], [5, 1 / 5, 1]])


def test_bad_roofs():
    layers, matrix = make(2), [[1, 2], [1 / 2, 1]]
    means = suitability.zonal(layers, make_roofs())
    assert maps.judge(layers, matrix, means).data
    with pytest.raises(ValueError, match="CRS"):
        maps.judge(layers, matrix, make_roofs().to_crs("EPSG:32647"))
    with pytest.raises(KeyError, match="temperature"):
        maps.judge(layers, matrix, means.drop(columns="temperature"))
    with pytest.raises(ValueError, match="outside the classes 1 to 5"):
        maps.judge(layers, matrix, means.assign(population=5000.0))
    with pytest.raises(ValueError, match="none of them has a value"):
        maps.judge(layers, matrix, means.assign(population=np.nan))
    with pytest.raises(TypeError, match="GeoDataFrame or the table"):
        maps.judge(layers, matrix, [1, 2])


# In the browser


@pytest.fixture(scope="module")
def visit(tmp_path_factory):
    if browser.find() is None:
        warnings.warn(browser.REMEDY, stacklevel=1)
        pytest.skip(browser.REMEDY)
    folder = tmp_path_factory.mktemp("pages")
    with browser.serve(folder) as home, browser.chromium(browser.find(), home) as new:

        def show(*bodies):
            guest = new()
            head = '<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">'
            (folder / "page.html").write_text(head + "".join(bodies), "utf-8")
            page = guest.open("page.html")
            page.locator("figure.judge[data-result]").first.wait_for()
            return guest, page.locator("figure.judge")

        yield show


def result(figure):
    return json.loads(figure.get_attribute("data-result"))


def move(figure, pairs, positions):
    """Move every slider to a position from 0 to 16, with keys alone."""
    for k, place in enumerate(positions):
        slider = figure.locator("input[type=range]").nth(k)
        slider.focus()
        slider.press("Home" if place < 8 else "End")
        for _ in range(place if place < 8 else 16 - place):
            slider.press("ArrowRight" if place < 8 else "ArrowLeft")
        assert slider.input_value() == str(place), pairs[k]


@pytest.mark.parametrize("count", [2, 3, 4, 6])
def test_page_computes_what_python_computes(visit, count):
    layers, roofs, rng = make(count), make_roofs(), np.random.default_rng(count)
    names, pairs = list(layers), list(combinations(range(count), 2))
    guest, figures = visit(maps.judge(layers, np.ones((count, count)), roofs).data)
    figure = figures.first
    start = expected(layers, roofs, np.ones((count, count)), "column", names)
    for round_ in range(2 if count == 6 else 3):
        # the second is nearly consistent, so that both verdicts are seen
        places = rng.integers(0, 17, len(pairs))
        if round_ == 1:
            places = [int(np.clip(8 + j - i, 0, 16)) for i, j in pairs]
            places[0] += 1
        move(figure, pairs, places)
        matrix = np.eye(count)
        for (i, j), place in zip(pairs, places, strict=True):
            matrix[i, j] = suitability.SAATY[16 - place]
            matrix[j, i] = 1 / matrix[i, j]
        for method in ("column", "eigen"):
            figure.get_by_label("Weights by").select_option(method)
            said = result(figure)
            found, graded, table = expected(layers, roofs, matrix, method, names)
            assert said["matrix"] == pytest.approx(found.matrix.to_numpy())
            for key in ("lambda_max", "ci", "ri", "cr"):
                assert said[key] == pytest.approx(getattr(found, key), abs=1e-6), key
            assert said["weights"] == pytest.approx(found.weights.tolist(), abs=1e-6)
            assert figure.get_by_role("status").inner_text() == found.advice.replace(
                "-0.000", "0.000"
            )
            assert said["limits"] == pytest.approx(table.attrs["breaks"], abs=1e-5)
            counts = [(graded.values == k).sum() for k in (0, 1, 2, 255)]
            assert said["cells"]["counts"] == counts
            codes = table["grade"].cat.codes.to_numpy()
            assert said["roofs"]["counts"] == [(codes == k).sum() for k in (0, 1, 2, -1)]
            old = start[2]["grade"].cat.codes.to_numpy()
            assert (said["roofs"]["up"], said["roofs"]["down"]) == (
                (codes > old).sum(),
                (codes < old).sum(),
            )
            shown = figure.inner_text()
            assert all(f"{weight:.4f}" in shown for weight in found.weights)
            assert f"{found.lambda_max:.3f} · CI {found.ci:.3f}" in shown
            assert ("do not use this map" in shown) is not found.consistent
            code = figure.locator("textarea").input_value()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                again = eval(code, {"suitability": suitability})
            assert again.weights.equals(found.weights) and again.method == method
    assert not guest.errors and not guest.outside


def test_map_shows_the_grades_and_shares_add_up(visit):
    layers, roofs = make(4), make_roofs()
    guest, figures = visit(maps.judge(layers, PAPER, roofs).data)
    figure = figures.first
    figure.get_by_role("button", name="Grades").click()
    move(figure, [None] * 3, [4, 6, 11])
    _, graded, table = expected(layers, roofs, result(figure)["matrix"], "column", NAMES)
    # the middle of every cell
    pixels = figure.locator("canvas").evaluate(
        """c => { const zoom = c.width / 40, all = c.getContext('2d').getImageData(
        0, 0, c.width, c.height).data; return Array.from({length: 1200}, (_, k) => { const at = 4 *
        (Math.floor((Math.floor(k / 40) + 0.5) * zoom) * c.width + Math.floor((k % 40 + 0.5) *
        zoom)); return [...all.slice(at, at + 4)]; }); }"""
    )
    pixels = np.array(pixels, "uint8").reshape(30, 40, 4)
    colours = np.zeros((256, 4), "uint8")
    for entry in graded.attrs["classes"]:
        colours[entry["value"]] = [*bytes.fromhex(entry["color"][1:]), 255]
    assert (pixels == colours[graded.values]).all()
    label = figure.locator("canvas").get_attribute("aria-label")
    assert label.startswith("Map of the grades, of the area: high ")
    shown = figure.inner_text()
    counts = suitability.by_grade(table)["roofs"]
    rows = [re.search(rf"{n}\s+([\d,]+) · ([\d.]+) %", shown) for n in counts.index]
    assert [int(row[1].replace(",", "")) for row in rows] == counts.tolist()
    assert "no data" in counts.index and counts.sum() == 301
    assert round(sum(float(row[2]) for row in rows), 9) == 100
    # every view, of cells and of roofs
    seen = set()
    for roofs_only in (False, True):
        figure.get_by_label("roofs only").set_checked(roofs_only)
        for view in ("Score", "Grades", "Changes"):
            button = figure.get_by_role("button", name=view)
            button.click()
            assert button.get_attribute("aria-pressed") == "true"
            seen.add(figure.locator("canvas").evaluate("c => c.toDataURL()"))
    assert len(seen) == 6
    box = figure.locator("canvas").bounding_box()
    guest.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert re.search(r"(high|medium|low): \d\.\d\d = population 0\.\d\d × \d", figure.inner_text())
    assert not guest.errors


def test_words_mending_and_the_way_back(visit):
    layers = make(4)
    matrix = np.array(PAPER)
    matrix[0, 3], matrix[3, 0] = 2.5, 0.4  # not on the scale
    guest, figures = visit(maps.judge(layers, matrix, method="eigen").data)
    figure = figures.first
    sliders = figure.locator("input[type=range]")
    # in JupyterLab the keys are the control's own, not the notebook's
    controls = figure.locator("input,select,button,textarea,summary")
    assert figure.locator("[data-lm-suppress-shortcuts]").count() == controls.count() > 10
    assert sliders.count() == 6 and sliders.nth(0).get_attribute("aria-label") == (
        "population or temperature"
    )
    words = [sliders.nth(k).get_attribute("aria-valuetext") for k in range(6)]
    assert words[0] == "population and temperature are equally important"
    assert words[1] == "population is 2 times as important as buildings"
    assert words[2] == "population is 2.5 times as important as roads"
    begin = result(figure)
    assert begin["matrix"] == matrix.tolist() and begin["roofs"] is None
    assert figure.get_by_label("roofs only").count() == 0
    move(figure, [None] * 3, [8, 6, 15])
    assert sliders.nth(2).get_attribute("aria-valuetext") == (
        "roads is 8 times as important as population"
    )
    bad = result(figure)
    assert bad["cr"] > 0.1 and "do not use this map" in figure.inner_text()
    assert figure.locator(".pair.worst").count() == 1
    figure.get_by_role("button", name="Say instead").click()
    assert result(figure)["cr"] == pytest.approx(bad["worst"]["cr"])
    figure.get_by_label("Weights by").select_option("column")
    figure.get_by_role("button", name="Back to the start").click()
    assert result(figure) == begin
    assert not guest.errors


def test_any_number_on_a_page_and_from_a_notebook(visit):
    page = maps.judge(make(3), np.ones((3, 3))).data
    output = new_output("display_data", {"text/html": page, "text/plain": "HTML"})
    cells = [new_code_cell("judge", outputs=[output]), new_code_cell("again", outputs=[output])]
    body, _ = HTMLExporter(template_name="basic").from_notebook_node(new_notebook(cells=cells))
    guest, figures = visit(body, page.replace("population", "people"))
    guest.page.wait_for_function(
        "document.querySelectorAll('figure.judge[data-result]').length === 3"
    )
    assert figures.count() == 3
    move(figures.nth(1), [None], [0])
    results = [result(figures.nth(k)) for k in range(3)]
    assert results[1]["matrix"][0][1] == 9
    assert results[0] == results[2] and results[0]["matrix"][0][1] == 1
    # narrow: nothing sticks out
    guest.page.set_viewport_size({"width": 360, "height": 800})
    guest.page.wait_for_timeout(200)
    assert guest.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert not guest.errors and not guest.outside
