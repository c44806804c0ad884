"""Exports: what was written reads back, QGIS's style fits the data, the page is one page."""

import re
import sqlite3
from io import BytesIO
from xml.etree import ElementTree

import browser
import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from PIL import Image

from toolkit import suitability
from toolkit.suitability.layers import grade_colors
from toolkit.suitability.picture import picture
from toolkit.suitability.summary import percents

CRS = "EPSG:32648"
HOSTILE = "<script>alert('x')</script> & \"Co\""


def boxes(*bounds, **columns):
    return gpd.GeoDataFrame(columns, geometry=[shapely.box(*b) for b in bounds], crs=CRS)


@pytest.fixture
def town():
    """Seven roofs, the last without a grade and outside all districts; three districts."""
    places = [(x, 10, x + 10, 20 + x / 10) for x in (10, 40, 70, 110, 140, 170, 500)]
    places = [(x + 5e5, a, y + 5e5, b) for x, a, y, b in places]
    names = ["low", "medium", "high"]
    grades = ["high", "high", "low", "medium", "high", "low", None]
    roofs = boxes(
        *places,
        id=range(7),
        height=[3.5, 4, np.nan, 6, 7, 8, 99],
        regular=[True, False] * 3 + [True],
        kind=["=1+1", "flat", None, "Übergröße", HOSTILE, "-", "flat"],
        score=[4.5, 4.25, 1.5, 3, 4, 2, np.nan],
        grade=pd.Categorical(grades, names, ordered=True),
        outcome=[*["rated"] * 6, "taller than 45 m"],
    )
    roofs.attrs = {
        "title": "Roofs",
        "licence": "CC0",
        "citation": "Ours & theirs",
        "simulated": True,
    }
    roofs.attrs |= {"breaks": [2.0, 3.5], "weights": {"heat": np.float64(0.6), "people": 0.4}}
    districts = boxes(
        (5e5, 0, 500100, 100), (500100, 0, 500200, 100), (500200, 0, 500300, 100),
        name=["West", "$" + HOSTILE, "Empty"],
    )  # fmt: skip
    return roofs, districts


# Files


def test_what_was_written_reads_back(town, tmp_path):
    roofs, districts = town
    paths = suitability.export(roofs, tmp_path / "a" / "b", districts)
    assert sorted(p.name for p in paths) == sorted(p.name for p in (tmp_path / "a/b").iterdir())
    plain = roofs.assign(grade=roofs["grade"].astype(object))
    back = gpd.read_file(paths["geopackage"], layer="roofs")
    assert back.crs == roofs.crs and set(back.columns) == set(roofs.columns)
    pd.testing.assert_frame_equal(
        back[roofs.columns].drop(columns="geometry"),
        plain.drop(columns="geometry"),
        check_dtype=False,
    )
    assert back.geom_equals(roofs.geometry).all() and back["regular"].dtype == bool
    pd.testing.assert_frame_equal(suitability.by_grade(back), suitability.by_grade(roofs))
    also = gpd.read_file(paths["geopackage"], layer="districts")
    assert also["name"].tolist() == districts["name"].tolist()
    whole = gpd.read_parquet(paths["geoparquet"])
    pd.testing.assert_frame_equal(
        whole.drop(columns="geometry"), roofs.drop(columns="geometry"), check_dtype=False
    )
    assert whole["grade"].cat.ordered and list(whole["grade"].cat.categories)[-1] == "high"
    assert whole.attrs == roofs.attrs


def test_csv_is_for_spreadsheets(town, tmp_path):
    roofs, _ = town
    path = suitability.export(roofs.rename_axis("key"), tmp_path)["csv"]
    assert path.read_bytes().startswith(b"\xef\xbb\xbf") and "Übergröße" in path.read_text("utf-8")
    found = pd.read_csv(path, encoding="utf-8-sig", keep_default_na=False)
    assert found["key"].tolist() == list(range(7)) and "geometry" not in found
    # what a spreadsheet would run is text, and numbers stay numbers
    assert found["kind"].tolist()[:2] == ["'=1+1", "flat"] and found["kind"][5] == "'-"
    assert found["area_m2"][0] == 110 and found["simulated"].all()
    centre = gpd.GeoSeries.from_xy(found["longitude"], found["latitude"], crs=4326).to_crs(CRS)
    assert centre.distance(roofs.centroid).max() < 0.1


def test_style_for_qgis(town, tmp_path):
    roofs, districts = town
    paths = suitability.export(roofs, tmp_path, districts, name="dächer")
    with sqlite3.connect(paths["geopackage"]) as base:
        styles = base.execute(
            "SELECT f_table_name, f_geometry_column, styleQML, useAsDefault FROM layer_styles "
            "WHERE f_table_catalog = '' AND f_table_schema = ''"
        ).fetchall()
        known = base.execute("SELECT table_name, data_type, description FROM gpkg_contents")
        known = {name: (kind, text) for name, kind, text in known}
        shapes = dict(base.execute("SELECT table_name, column_name FROM gpkg_geometry_columns"))
    base.close()
    assert known["layer_styles"][0] == "attributes" and "Simulated" in known["dächer"][1]
    assert {row[0]: row[1] for row in styles} == shapes and all(row[3] for row in styles)
    qml = {row[0]: row[2] for row in styles}
    assert paths["style"].read_text("utf-8") == qml["dächer"]
    root = ElementTree.fromstring(qml["dächer"].split("\n", 1)[1])
    renderer = root.find("renderer-v2")
    assert renderer.get("type") == "categorizedSymbol" and renderer.get("attr") == "grade"
    look = {}
    for category in renderer.iter("category"):
        symbol = renderer.find(f"symbols/symbol[@name='{category.get('symbol')}']")
        color = symbol.find(".//Option[@name='color']").get("value").split(",")[:3]
        look[category.get("value")] = "#" + "".join(f"{int(v):02x}" for v in color)
    assert look.pop("") == "#a6a6a6" and look == grade_colors(["high", "medium", "low"])
    root = ElementTree.fromstring(qml["districts"].split("\n", 1)[1])
    assert root.find(".//text-style").get("fieldName") == "name"


def test_awkward_columns_survive(town, tmp_path):
    roofs, _ = town
    roofs = roofs.rename_geometry("shape").assign(
        fid=list("abcdefg"), group=pd.Categorical([1, 2, None, 1, 1, 2, 2])
    )
    roofs.loc[0, "shape"] = shapely.MultiPolygon([roofs.loc[0, "shape"]])
    paths = suitability.export(roofs, tmp_path)
    back = gpd.read_file(paths["geopackage"], layer="roofs")
    assert back["fid"].tolist() == list("abcdefg") and back.geometry.name == "geometry"
    assert back["group"].sum() == 9 and back["group"].isna().sum() == 1
    assert back.area.sum() == pytest.approx(roofs.area.sum())


# Files that are there, or cannot be


def test_old_files_stay_unless_told(town, tmp_path, monkeypatch):
    roofs, districts = town
    paths = suitability.export(roofs, tmp_path, districts)
    old = {path: path.read_bytes() for path in paths}
    with pytest.raises(FileExistsError, match=r"roofs\.gpkg.*overwrite=True"):
        suitability.export(roofs[:3], tmp_path)
    # it breaks off half-way: nothing changes, nothing is left behind
    with monkeypatch.context() as patch:
        patch.setattr(gpd.GeoDataFrame, "to_parquet", lambda *a, **k: 1 / 0)
        for place in (tmp_path, tmp_path / "new" / "deep"):
            with pytest.raises(ZeroDivisionError):
                suitability.export(roofs[:3], place, overwrite=True)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == old
    suitability.export(roofs[:3], tmp_path, overwrite=True)
    assert len(gpd.read_file(paths["geopackage"], layer="roofs")) == 3
    (tmp_path / "roofs.gpkg-wal").touch()
    with pytest.raises(FileExistsError, match="QGIS"):
        suitability.export(roofs, tmp_path, overwrite=True)


def test_bad_places_and_columns(town, tmp_path):
    roofs, districts = town
    (tmp_path / "file").touch()
    for place in ("file", "file/below"):
        with pytest.raises(NotADirectoryError, match="this is a file"):
            suitability.export(roofs, tmp_path / place)
    points = roofs.assign(door=roofs.centroid)
    for bad, options, message in [
        (roofs.set_crs(None, allow_override=True), {}, "no CRS"),
        (roofs.to_crs(4326), {}, "degrees"),
        (roofs[:0], {}, "no rows"),
        (roofs.assign(grade=None), {}, "none has a grade"),
        (roofs, {"districts": districts.set_geometry(districts.translate(1e5))}, "another place"),
        (roofs, {"districts": districts.to_crs(32647)}, "to_crs"),
        (roofs, {"name": "../roofs"}, "start with a letter"),
        (roofs, {"name": "districts"}, "leave 'districts'"),
        (roofs.assign(latitude=1), {}, "there already"),
        (roofs.assign(Kind=1), {}, "capital letters"),
        (points, {}, r"\['door'\] hold geometries"),
        (roofs.assign(parts=[[1]] * 7), {}, r"\['parts'\] hold"),
        (roofs, {"title": "x" * 91}, "room for 90"),
        (roofs, {"notes": ["x" * 200] * 2}, "room for 300"),
        (roofs, {"weights": {"a": 0.5}}, "add up to 1"),
        (roofs, {"scores": pd.DataFrame({"v": range(9)})}, "9 rows, one page has room for 8"),
    ]:
        with pytest.raises(ValueError, match=message):
            suitability.export(bad, tmp_path / "out", **options)
    with pytest.raises(KeyError, match="no column 'grade'"):
        suitability.export(roofs.drop(columns="grade"), tmp_path / "out")
    with pytest.raises(KeyError, match="no column 'why_not'"):
        suitability.export(roofs, tmp_path / "out", reason="why_not")
    with pytest.raises(TypeError, match="DataFrame"):
        suitability.export(roofs, tmp_path / "out", scores={"a": 1})
    assert not (tmp_path / "out").exists()


# The page


def rows(html, kind):
    """Cells of a table of the page, as text."""
    body = re.search(rf'<table class="{kind}">.*?<tbody>(.*?)</tbody>', html, re.S).group(1)
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.S) for row in body.split("</tr>")[:-1]]
    return [[re.sub("<[^>]+>", "", cell) for cell in row] for row in cells]


def test_percentages_add_up():
    rng = np.random.default_rng(0)
    for count in (1, 3, 7, 60):
        shares = rng.dirichlet(np.ones(count))
        found = percents(shares)
        assert round(found.sum(), 6) == 100 and abs(found - 100 * shares).max() < 0.1
    assert percents([0.5, 0.25, 0.25, 0]).tolist() == [50, 25, 25, 0]


def test_page_says_what_the_tables_say(town):
    roofs, districts = town
    weights = suitability.ahp([[1, 2], [1 / 2, 1]], names=["heat", "people"])
    scores = pd.DataFrame({"link": ["roofs"], "measure": [HOSTILE], "value": [0.91234]})
    html = suitability.summary(
        roofs, districts, weights=weights, scores=scores, reason="outcome", date="2026-02-03"
    )
    assert "3 of 7 roofs (42.8 %) have the grade high" in html
    assert "most of them is West (2)" in html and "(taller than 45 m: 1)" in html
    grades = rows(html, "grades")
    assert [row[0] for row in grades] == ["high", "medium", "low", "no grade", "all"]
    assert [row[1] for row in grades] == ["3", "1", "2", "1", "7"]
    for column in (2, 4):
        assert sum(float(row[column]) for row in grades[:-1]) == pytest.approx(100)
    places = rows(html, "districts")
    assert places[2][:7] == ["Empty", "0", "0.0", "0", "0", "0", "0"]
    assert places[3][0] == "outside all districts" and places[3][6] == "1"
    assert sum(float(row[2]) for row in places[:-1]) == pytest.approx(100)
    assert rows(html, "weights") == [["heat", "66.7"], ["people", "33.3"]]
    assert rows(html, "scores")[0][2] == "0.912" and "consistency ratio 0.000" in html
    assert "low to 2.00, medium to 3.50, high above 3.50" in html
    assert "Made on 2026-02-03" in html and "Ours &amp; theirs" in html
    # nothing of the data becomes markup, and nothing comes from elsewhere
    assert "<script" not in html and "&lt;script&gt;" in html
    assert not re.findall(r'(?:src|href)="(?!data:)|url\(|https?:', html)


def test_simulated_data_say_so(town):
    roofs, districts = town
    assert "Simulated data." in suitability.summary(roofs)
    roofs.attrs = {}
    page = suitability.summary(roofs, districts)
    assert "Simulated data." not in page and "No measure of reliability" in page
    assert "Licence: not stated" in page
    heat = pd.DataFrame()
    heat.attrs = {"simulated": True, "long_name": "heat", "licence": "MIT"}
    page = suitability.summary(roofs, districts, sources=[heat])
    assert "Simulated data." in page and "Data: heat. Licence: MIT." in page


def test_map_shows_every_grade_in_its_colour():
    ring = shapely.box(0, 0, 60, 60).difference(shapely.box(20, 20, 40, 40))
    roofs = boxes((70, 0, 100, 60), (110, 0, 140, 60), grade=["low", None])
    roofs = pd.concat([roofs, gpd.GeoDataFrame({"grade": ["high"]}, geometry=[ring], crs=CRS)])
    roofs["grade"] = pd.Categorical(roofs["grade"], ["low", "medium", "high"], ordered=True)
    drawn = np.asarray(Image.open(BytesIO(picture(roofs))).convert("RGB")).reshape(-1, 3)
    count = {c: (drawn == [int(c[k : k + 2], 16) for k in (1, 3, 5)]).all(1).sum()
             for c in ("#009e73", "#cc79a7", "#a6a6a6")}  # fmt: skip
    # areas 3200 (the courtyard is open), 1800 and 1800; the legend adds a little
    assert count["#009e73"] / count["#cc79a7"] == pytest.approx(3200 / 1800, rel=0.05)
    assert count["#a6a6a6"] / count["#cc79a7"] == pytest.approx(1, rel=0.05)


def test_many_districts_share_a_line():
    spots = [(x, y) for x in range(0, 300, 10) for y in range(0, 20, 10)]
    roofs = boxes(*[(x + 1, y + 1, x + 8, y + 8) for x, y in spots], grade=["high", "low"] * 30)
    districts = boxes(*[(x, 0, x + 10, 20) for x in range(0, 300, 10)],
                      name=[f"District {k}" for k in range(30)])  # fmt: skip
    places = rows(suitability.summary(roofs, districts), "districts")
    assert len(places) == 10 and places[8][:2] == ["22 other districts", "44"]
    assert sum(float(row[2]) for row in places[:-1]) == pytest.approx(100)


def test_one_page_in_a_browser(town, tmp_path):
    program = browser.find()
    if program is None:
        pytest.skip(browser.REMEDY)
    roofs, districts = town
    strips = np.arange(5e5, 500300, 25)
    many = boxes(*[(x, 0, x + 25, 100) for x in strips],
                 name=[f"The district of many words, number {k}" for k in range(12)])  # fmt: skip
    full = {
        "title": "W" * 20 + " long words " * 5,
        "weights": dict.fromkeys((f"layer {k}" for k in range(6)), 1 / 6),
        "scores": pd.DataFrame({"link": [f"link {k}" for k in range(8)], "measure": "RMSE, m",
                                "value": 1.5}),
        "notes": ["What to remember about it. " * 11],
        "reason": "outcome",
    }  # fmt: skip
    suitability.export(roofs, tmp_path, districts, name="short")
    suitability.export(roofs, tmp_path, many, name="full", **full)
    with browser.serve(tmp_path) as home, browser.chromium(program, home, (900, 1200)) as new:
        for name in ("short", "full"):
            visit = new()
            page = visit.open(f"{name}.html")
            assert visit.outside == [] and visit.errors == []
            assert page.evaluate("document.images[0].naturalWidth") == 1500
            assert page.evaluate("document.images[0].alt").startswith("Map of 7 roofs")
            inside = """() => {
                const end = document.querySelector('.page').getBoundingClientRect().bottom;
                return [...document.querySelectorAll('.page *')].every(
                    (one) => one.getBoundingClientRect().bottom <= end);
            }"""
            assert page.evaluate(inside), f"{name}: something hangs over the end of the page"
            pdf = page.pdf(prefer_css_page_size=True)
            assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == 1, name
            box = re.search(rb"/MediaBox\s*\[0 0 ([\d.]+) ([\d.]+)\]", pdf)
            assert [float(v) for v in box.groups()] == pytest.approx([595, 842], abs=1)
            assert page.evaluate("document.querySelector('figure').clientHeight") > 250
