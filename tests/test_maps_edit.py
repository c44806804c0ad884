"""The editor of buildings without a browser: what its buttons, clicks and outlines record."""

import json
import sys
import time
import warnings
from types import SimpleNamespace

import geopandas as gpd
import numpy as np
import pytest
import shapely
import xarray as xr
from ipywidgets.embed import dependency_state
from shapely import LineString, Point, Polygon, box

from toolkit import buildings, maps
from toolkit.maps import editor as widget
from toolkit.maps import outlines

CRS = "EPSG:32648"
WEST, SOUTH = 500_000.123456789, 3_000_000.987654321


def house(x, y, width=20, depth=15):
    return box(WEST + x, SOUTH + y, WEST + x + width, SOUTH + y + depth)


@pytest.fixture
def given():
    """Six buildings; 1 and 2 share a wall, 3 and 4 stand 2 m apart, 5 has a yard."""
    yard = house(0, 100, 40, 40).difference(house(10, 110, 20, 20))
    shapes = [house(0, 0), house(60, 0), house(80, 0), house(0, 50), house(22, 50), yard]
    table = gpd.GeoDataFrame({"area": [s.area for s in shapes]}, geometry=shapes, crs=CRS)
    table["probability"] = np.linspace(0.9, 0.4, 6)
    return table.set_index(np.array([10, 11, 12, 13, 14, 15]))


@pytest.fixture
def editor(given, tmp_path):
    made = maps.edit(given, who="Ada", path=tmp_path / "corrections.gpkg")
    made._wake(None)  # as if a browser had shown the map
    return made


def said(editor):
    return editor._status.value.split("<b")[1].split("</b>")[0].split(">", 1)[1]


def rounded(feature):
    """As Leaflet sends it: six digits, and lists."""
    return json.loads(json.dumps(feature), parse_float=lambda text: round(float(text), 6))


def screen(geometry):
    """An outline as the browser sends it after drawing."""
    return rounded(outlines.to_screen(geometry, CRS, {}))


def click(editor, x, y, kind="click"):
    place = shapely.get_coordinates(outlines._project(Point(WEST + x, SOUTH + y), CRS))[0]
    editor._clicked(type=kind, coordinates=[place[1], place[0]])


def use(editor, tool):
    editor._tools.value = tool


def press(editor, name):
    editor._buttons[name].click()


def drag(editor, corner, east, north=0.0):
    """Move one corner of the building that is being reshaped, as the browser reports it."""
    data = rounded(editor._pen.data)
    ring = data[0]["geometry"]["coordinates"][0]
    there = outlines.from_screen(Point(ring[corner]), CRS)
    moved = outlines._project(
        shapely.transform(there, lambda xy: xy + np.array([east, north])), CRS
    )
    ring[corner] = [round(moved.x, 6), round(moved.y, 6)]
    if corner == 0:
        ring[-1] = ring[0]
    editor._pen.data = data


# --- what is drawn, moved, deleted, split and merged by hand --------------------------------------


def test_drawing_records_the_outline_with_who_when_what_and_time(editor, monkeypatch):
    now = time.monotonic()
    monkeypatch.setattr(widget, "time", SimpleNamespace(monotonic=lambda: now))
    use(editor, "draw")
    assert editor._pen.current_mode == "draw:Polygon"
    editor._note.value = "a new school"
    now += 7.25
    wanted = house(120, 0)
    editor._pen.data = [screen(wanted)]
    (edit,) = editor.edits.itertuples()
    assert (edit.operation, edit.who, edit.what, edit.seconds) == (
        "draw",
        "Ada",
        "a new school",
        7.2,
    )
    assert edit.before is None and edit.geometry.hausdorff_distance(wanted) < 0.12
    assert editor._note.value == "" and editor._pen.data == []
    assert said(editor) in ("Drew a building of 299 m².", "Drew a building of 300 m².")
    assert "1 edit: 1 drawn" in editor._status.value and "7 s" in editor._status.value
    assert len(editor.buildings) == 7 and editor.buildings["probability"].isna().sum() == 1
    now += 200  # a pause is nobody's work
    use(editor, "select")
    now += 2
    click(editor, 5, 5)
    press(editor, "delete")
    assert editor.edits["seconds"].tolist() == [7.2, 2.0]


def test_several_drawn_while_the_kernel_was_busy_are_recorded_once_each(editor):
    use(editor, "draw")
    first, second = screen(house(120, 0)), screen(house(120, 40))
    editor._pen.data = [first]
    # The browser had not heard of the first being taken; one that is wrong spoils no other.
    editor._pen.data = [first, screen(house(0, 50, 60)), second]
    assert editor.edits["operation"].tolist() == ["draw", "draw"]
    use(editor, "select")
    editor._pen.data = [screen(house(160, 0))]  # too late: the tool was put away
    assert len(editor.edits) == 2 and editor._pen.data == []


def test_untouched_corners_come_back_bit_for_bit(editor, given):
    use(editor, "reshape")
    click(editor, 5, 105)  # the one with a yard
    assert editor._pen.current_mode == "edit" and len(editor._pen.data) == 1
    editor._pen.data = rounded(editor._pen.data)  # what the browser sends if nothing is moved
    assert len(editor.edits) == 0
    drag(editor, 1, 3.0)
    drag(editor, 2, 0.0, 4.0)
    (edit,) = editor.edits.itertuples()  # one visit of a building is one edit
    assert edit.operation == "move" and edit.before == given.geometry[15]
    old, new = shapely.get_coordinates(edit.before), shapely.get_coordinates(edit.geometry)
    same = (old == new).all(axis=1)
    assert len(old) == len(new) and (~same).sum() == 2
    assert len(edit.geometry.interiors) == 1
    assert editor.buildings.geometry[15] == edit.geometry
    rest = given.drop(index=15)
    assert (editor.buildings.geometry.loc[rest.index].to_wkb() == rest.geometry.to_wkb()).all()
    use(editor, "select")
    assert editor._pen.data == [] and len(editor.edits) == 1


def test_a_corner_that_is_put_back_undoes_the_move(editor, given):
    use(editor, "reshape")
    click(editor, 5, 5)
    before = rounded(editor._pen.data)
    drag(editor, 1, 6.0)
    assert editor.edits["undone"].tolist() == [False]
    editor._pen.data = before
    assert editor.edits["undone"].tolist() == [True] and "as it was" in said(editor)
    assert editor.buildings.geometry[10] == given.geometry[10]
    drag(editor, 1, 6.0)
    assert editor.edits["undone"].tolist() == [True, False]


def test_a_new_corner_counts_once_it_is_moved(editor):
    use(editor, "reshape")
    click(editor, 5, 5)
    data = rounded(editor._pen.data)
    ring = data[0]["geometry"]["coordinates"][0]
    ring.insert(1, [round((a + b) / 2, 6) for a, b in zip(ring[0], ring[1], strict=True)])
    editor._pen.data = data
    assert len(editor.edits) == 0
    drag(editor, 1, 5.0)
    assert editor.edits["operation"].tolist() == ["move"]
    assert len(editor.edits.geometry[0].exterior.coords) == 6


def test_an_outline_that_crosses_itself_is_explained_and_not_recorded(editor):
    use(editor, "draw")
    x, y = WEST + 120, SOUTH
    editor._pen.data = [screen(Polygon([(x, y), (x + 20, y + 20), (x + 20, y), (x, y + 20)]))]
    assert "Not recorded" in said(editor) and "crosses" in said(editor)
    assert editor.edits.empty and editor._pen.data == []
    use(editor, "reshape")
    click(editor, 5, 5)
    before = rounded(editor._pen.data)
    drag(editor, 0, -60.0, 7.0)
    assert "crosses" in said(editor) and editor.edits.empty
    assert rounded(editor._pen.data) == before  # it goes back to where it was
    editor._pen.data = []  # all corners taken away
    assert "three corners" in said(editor) and rounded(editor._pen.data) == before


def test_clicks_select_and_buttons_delete(editor):
    assert all(editor._buttons[name].disabled for name in ("delete", "merge", "undo"))
    click(editor, 5, 5)
    click(editor, 5, 5, kind="mousemove")
    click(editor, 70, 5)
    assert editor.selected == [10, 11] and "2 buildings selected, 600 m²" in said(editor)
    click(editor, 70, 5)
    assert editor.selected == [10] and editor._buttons["merge"].disabled
    click(editor, 300, 300)
    assert editor.selected == [] and editor._buttons["delete"].disabled
    click(editor, 5, 5)
    click(editor, 70, 5)
    press(editor, "delete")
    assert editor.edits["operation"].tolist() == ["delete", "delete"]
    assert editor.buildings.index.tolist() == [12, 13, 14, 15]
    assert editor.selected == [] and "Deleted 2 buildings" in said(editor)
    press(editor, "undo")
    assert editor.buildings.index.tolist() == [11, 12, 13, 14, 15]
    assert editor.edits["undone"].tolist() == [False, True]
    press(editor, "undo")
    assert editor._buttons["undo"].disabled


def test_a_line_splits_what_it_crosses(editor, given):
    use(editor, "split")
    assert editor._pen.current_mode == "draw:Line"

    def cut(*points):
        line = LineString([(WEST + x, SOUTH + y) for x, y in points])
        editor._pen.data = [screen(line)]

    cut((5, -5), (5, 8))
    assert "cut the building in two" in said(editor) and editor.edits.empty
    cut((-5, 5), (110, 5))
    assert "crosses 3 buildings" in said(editor) and editor.edits.empty
    cut((200, 200), (210, 210))
    assert "crosses no buildings" in said(editor)
    cut((5, -5), (5, 20))
    (edit,) = editor.edits.itertuples()
    pieces = list(edit.geometry.geoms)
    assert edit.operation == "split" and [round(p.area) for p in pieces] == [225, 75]
    corners = {tuple(xy) for xy in shapely.get_coordinates(given.geometry[10])}
    assert corners <= {tuple(xy) for xy in shapely.get_coordinates(pieces)}
    editor.select(11)  # the selected one is meant, whatever else the line crosses
    cut((55, 5), (110, 5))
    assert len(editor.edits) == 2 and len(editor.buildings) == 8


def test_merging_joins_walls_bridges_gaps_and_refuses_streets(editor, given):
    click(editor, 70, 5)
    click(editor, 90, 5)
    press(editor, "merge")
    assert editor.edits["operation"].tolist() == ["merge"]
    assert editor.buildings.geometry[11].area == pytest.approx(600)
    editor.merge(13, 14)  # two metres apart
    joined = editor.buildings.geometry[13]
    assert joined.geom_type == "Polygon" and joined.area == pytest.approx(630, abs=0.01)
    with pytest.raises(ValueError, match="do not touch"):
        editor.merge(10, 11)
    with pytest.raises(ValueError, match="select 2 buildings"):
        editor.merge()


def test_two_buildings_on_one_ground_are_refused(editor):
    with pytest.raises(ValueError, match="on 2 other"):
        editor.draw(house(10, 50, 25, 10))
    editor.draw(house(0, 1))  # but over one building it is a better outline of it
    assert len(editor.buildings) == 6 and "in place of" in said(editor)
    with pytest.raises(ValueError, match="no building 99"):
        editor.delete(99)
    with pytest.raises(ValueError, match="no corner has moved"):
        editor.move(15, editor.buildings.geometry[15])


# --- files ---------------------------------------------------------------------------------------


def test_every_edit_is_in_the_file_at_once_and_work_goes_on_from_there(editor, given, tmp_path):
    path = tmp_path / "corrections.gpkg"
    editor.delete(10, what="a pond", seconds=3)
    editor.split(LineString([(WEST - 5, SOUTH + 120), (WEST + 60, SOUTH + 120)]), building=15)
    editor.undo()
    saved = buildings.read_edits(path)
    assert saved[["id", "undone", "what"]].equals(editor.edits[["id", "undone", "what"]])
    again = maps.edit(given, who="Bo", path=path)
    assert again.buildings.index.tolist() == [11, 12, 13, 14, 15]
    again.delete(11)
    again.undo()
    again.undo()
    assert "Undone: the last edit by Ada" in said(again)
    saved = buildings.read_edits(path)
    assert saved["who"].tolist() == ["Ada", "Ada", "Bo"] and saved["undone"].all()
    # What is given and what lies in the file are the same records only once.
    assert len(maps.edit(given, edits=saved, path=path).edits) == 3
    fresh = maps.edit(given, edits=saved.iloc[:1], path=path)
    assert fresh.edits["id"].tolist() == saved["id"].tolist()


def test_the_records_replay_to_what_the_editor_shows(editor, given):
    editor.delete(10)
    editor.merge(11, 12)
    editor.draw(house(120, 0))
    editor.move(15, house(0, 100, 40, 45))
    replayed = buildings.apply_edits(given, buildings.read_edits(editor.path))
    assert replayed.report["status"].eq("applied").all()
    assert replayed.buildings.geometry.geom_equals(editor.buildings.geometry).all()


def test_without_a_file_nothing_is_lost_and_a_full_disk_is_told(
    editor, given, tmp_path, monkeypatch
):
    loose = maps.edit(given, who="Ada")
    loose.delete(10)
    assert "not kept in a file" in loose._status.value
    with pytest.raises(ValueError, match="no file was named"):
        loose.save()
    assert len(buildings.read_edits(loose.save(tmp_path / "late.gpkg"))) == 1
    loose.delete(11)
    assert len(buildings.read_edits(tmp_path / "late.gpkg")) == 2

    def full(edits, path):
        raise OSError("no space left on device")

    monkeypatch.setattr(widget._buildings, "save_edits", full)
    with pytest.warns(UserWarning, match="NOT SAVED"):
        editor.delete(10)
    assert len(editor.edits) == 1 and "no space left" in editor._status.value


# --- what is seen --------------------------------------------------------------------------------


def test_map_shows_given_corrected_and_selected_apart(editor):
    def shown(layer):
        return len(layer.data["features"])

    assert shown(editor._there[0]) == 6 and shown(editor._corrected) == 0
    editor.move(10, house(0, 0, 25))
    editor.select(11)
    assert [shown(each) for each in (editor._there[0], editor._corrected, editor._chosen)] == [
        5,
        1,
        1,
    ]
    names = [layer.name for layer in editor.map.layers]
    assert names == ["Latitude and longitude", "Buildings", "Corrected", "Chosen"]


def test_every_control_has_words(editor):
    for button in editor._buttons.values():
        assert button.description and button.tooltip
    assert all(editor._tools.tooltips) and len(editor._tools.tooltips) == len(editor._tools.options)
    assert editor._who.description and editor._note.description
    assert "role='status'" in editor._status.value


def test_without_a_browser_the_buttons_say_what_they_need(given):
    image = xr.DataArray(
        np.random.default_rng(0).random((3, 30, 30), dtype="float32"),
        dims=("band", "y", "x"),
        coords={"band": ["red", "green", "blue"], "y": SOUTH + 150 - 6 * np.arange(30),
                "x": WEST - 20 + 6 * np.arange(30)},
    ).rio.write_crs(CRS)  # fmt: skip
    image.attrs.update(title="Scene", simulated=True)
    given.attrs.update(title="Footprints", simulated=True)
    editor = maps.edit(given, image=image, who="Ada")
    assert "running kernel" in said(editor) and editor._tools.disabled
    assert all(button.disabled for button in editor._buttons.values())
    state = dependency_state([editor])
    kinds = {model["model_name"] for model in state.values()}
    assert not kinds & {"LeafletGeomanDrawControlModel", "LeafletDrawControlModel"}
    text = json.dumps(state)
    assert len(text) < 100_000 and "Simulated data:" in text
    assert "http" not in text.replace("http://www.w3.org", "")


def test_thousands_of_buildings_travel_once(tmp_path):
    x, y = np.meshgrid(np.arange(60) * 40, np.arange(60) * 40)
    shapes = [house(*at) for at in zip(x.ravel(), y.ravel(), strict=True)]
    town = gpd.GeoDataFrame(geometry=shapes, crs=CRS)
    editor = maps.edit(town, who="Ada", path=tmp_path / "town.gpkg")
    sent = []
    for layer in editor._there:
        layer.observe(lambda change: sent.append(change), "data")
    start = time.perf_counter()
    editor.delete(1000)
    assert time.perf_counter() - start < 3
    assert len(sent) == 1 and len(json.dumps(sent[0]["new"])) < 100_000
    assert editor.map.prefer_canvas


# --- bad input -----------------------------------------------------------------------------------


def test_wrong_layers_are_named(given, tmp_path):
    with pytest.raises(ValueError, match="degrees"):
        maps.edit(given.to_crs(4326))
    with pytest.raises(ValueError, match="no CRS"):
        maps.edit(given.set_crs(None, allow_override=True))
    with pytest.raises(TypeError, match="GeoDataFrame"):
        maps.edit([box(0, 0, 1, 1)])
    tie = Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    for shapes in ([tie], [box(0, 0, 1, 1)] * 2, [None, tie]):
        with pytest.raises(ValueError, match=r"buildings\.clean"):
            maps.edit(gpd.GeoDataFrame(geometry=shapes, crs=CRS))
    with pytest.raises(ValueError, match="nothing to show"):
        maps.edit(given.iloc[:0])
    other = buildings.new_edits("EPSG:32649")
    with pytest.raises(ValueError, match="edits: in EPSG:32649"):
        maps.edit(given, edits=other)
    with pytest.raises(TypeError, match="new_edits"):
        maps.edit(given, edits=given)


def test_wrong_files_are_named_before_anything_is_drawn(given, tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder"):
        maps.edit(given, path=tmp_path / "nowhere" / "edits.gpkg")
    with pytest.raises(ValueError, match=r"name it \*\.gpkg"):
        maps.edit(given, path=tmp_path / "edits.shp")
    (tmp_path / "text.gpkg").write_text("not a database")
    with pytest.raises(ValueError, match="no GeoPackage"):
        maps.edit(given, path=tmp_path / "text.gpkg")
    away = buildings.record(buildings.new_edits("EPSG:32649"), "draw", after=box(0, 0, 9, 9))
    buildings.save_edits(away, tmp_path / "away.gpkg")
    with pytest.raises(ValueError, match=r"away\.gpkg: in EPSG:32649"):
        maps.edit(given, path=tmp_path / "away.gpkg")
    given.to_file(tmp_path / "layer.gpkg", layer="predicted")  # a file without edits gets them
    editor = maps.edit(given, path=tmp_path / "layer.gpkg")
    editor.delete(10)
    assert len(gpd.read_file(tmp_path / "layer.gpkg", layer="predicted")) == 6
    assert len(buildings.read_edits(tmp_path / "layer.gpkg")) == 1


def test_earlier_edits_of_other_buildings_are_told(given):
    log = buildings.record(buildings.new_edits(CRS), "delete", before=house(400, 400))
    editor = maps.edit(given, edits=log)
    editor._wake(None)
    assert "1 earlier edit found no building" in said(editor)


def test_too_many_buildings_are_warned_of(given, monkeypatch):
    monkeypatch.setattr(sys.modules["toolkit.maps.edit"], "MANY", 5)
    with pytest.warns(UserWarning, match="6 buildings make the browser slow"):
        maps.edit(given)


def test_a_layer_in_feet_and_no_building_at_all(given):
    feet = given.to_crs("EPSG:2264")
    editor = maps.edit(feet, who="Ada")
    editor.delete(10)
    assert "Deleted a building of 3" in said(editor) and "3,2" not in said(editor)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        image = xr.DataArray(
            np.ones((3, 4, 4), "float32"), dims=("band", "y", "x"),
            coords={"y": SOUTH - 9.0 * np.arange(4), "x": WEST + 9.0 * np.arange(4)},
        ).rio.write_crs(CRS)  # fmt: skip
        empty = maps.edit(given.iloc[:0], image=image)
        empty.draw(house(0, -20))
    assert len(empty.buildings) == 1
