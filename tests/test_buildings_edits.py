"""Edits: records, replay on another prediction, undo, GeoPackage, effort."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import shapely
from shapely import Polygon, box

from toolkit import buildings

CRS = "EPSG:32648"


def layer(*geometry, crs=CRS, **columns):
    return gpd.GeoDataFrame(columns, geometry=list(geometry), crs=crs)


def edited():
    """A layer, and one edit of every kind made on it."""
    start = layer(
        box(0, 0, 10, 10), box(20, 0, 30, 10), box(40, 0, 60, 10), box(80, 0, 90, 10),
        box(90, 0, 100, 10), box(200, 0, 210, 10),
        area=[100.0] * 6, probability=[0.9, 0.8, 0.7, 0.6, 0.5, 0.4],
    )  # fmt: skip
    log = buildings.new_edits(CRS)
    log = buildings.record(log, "move", start.geometry[0], box(0, 0, 10, 12), who="Ada", seconds=4)
    log = buildings.record(log, "delete", start.geometry[1], who="Ada", what="a pond", seconds=1)
    halves = [box(40, 0, 50, 10), box(50, 0, 60, 10)]
    log = buildings.record(log, "split", start.geometry[2], halves, who="Bo", seconds=3)
    log = buildings.record(log, "merge", list(start.geometry[3:5]), box(80, 0, 100, 10), who="Bo")
    log = buildings.record(log, "draw", after=box(120, 0, 130, 10), who="Bo", seconds=8)
    return start, log


def outlines(table):
    return sorted(tuple(np.round(each.bounds)) for each in table.geometry)


WANTED = sorted(
    box(*bounds).bounds
    for bounds in [
        (0, 0, 10, 12), (40, 0, 50, 10), (50, 0, 60, 10), (80, 0, 100, 10), (120, 0, 130, 10),
        (200, 0, 210, 10),
    ]
)  # fmt: skip


def test_every_operation_on_the_layer_it_was_made_on():
    start, log = edited()
    result = buildings.apply_edits(start, log)
    assert result.report["status"].tolist() == ["applied"] * 5
    assert result.report["iou"].tolist() == pytest.approx([1, 1, 1, 1, np.nan], nan_ok=True)
    table = result.buildings
    assert outlines(table) == WANTED and table.crs == CRS
    by = table.set_index(table.geometry.apply(lambda g: g.bounds[0]))
    assert by.loc[0, "area"] == pytest.approx(120) and by.loc[80, "area"] == pytest.approx(200)
    # A moved, split or merged building keeps its columns; a drawn one was never predicted.
    probability = by.sort_index()["probability"].tolist()
    assert probability == pytest.approx([0.9, 0.7, 0.7, 0.6, np.nan, 0.4], nan_ok=True)
    assert table.index.is_unique and 5 in table.index
    assert table.loc[5, "edit"] == "" and by.loc[120, "edit"] == log["id"].iloc[4]
    assert len(start) == 6 and "edit" not in start  # untouched


def test_replay_on_a_new_prediction_reports_what_it_cannot_do():
    _, log = edited()
    new = layer(
        box(0, 0, 10, 9),  # still there, other outline: IoU .9, the hand wins
        # the pond is gone
        box(40, 0, 50, 10), box(50, 0, 60, 9),  # split already
        box(80, 0, 99, 10),  # merged already
        box(124, 0, 144, 10),  # overlaps what was drawn, IoU .25
        probability=[0.9, 0.8, 0.7, 0.6, 0.5],
    )  # fmt: skip
    result = buildings.apply_edits(new, log)
    report = result.report.set_index("operation")
    assert report["status"].to_dict() == {
        "move": "applied", "delete": "stale", "split": "already", "merge": "already",
        "draw": "conflict",
    }  # fmt: skip
    assert report.loc["move", "iou"] == pytest.approx(0.9)
    assert report.loc["draw", "building"] == 4 and "1 other" in report.loc["draw", "reason"]
    # All as drawn by hand but the drawn one, which the prediction contradicts, and (200, 0).
    wanted = {*WANTED, box(124, 0, 144, 10).bounds}
    wanted -= {box(120, 0, 130, 10).bounds, box(200, 0, 210, 10).bounds}
    assert outlines(result.buildings) == sorted(wanted)
    drawn = buildings.apply_edits(layer(box(120, 0, 130, 9)), log[log["operation"] == "draw"])
    assert drawn.report["status"].tolist() == ["already"] and len(drawn.buildings) == 1
    assert drawn.buildings.geometry.iloc[0].equals(box(120, 0, 130, 10))


def test_a_building_that_grew_together_is_a_conflict():
    log = buildings.record(buildings.new_edits(CRS), "delete", box(0, 0, 10, 10))
    new = layer(box(0, 0, 30, 10))
    result = buildings.apply_edits(new, log)
    assert result.report["status"].tolist() == ["conflict"] and len(result.buildings) == 1
    assert "0.33" in result.report["reason"][0]
    loose = buildings.apply_edits(new, log, overlap=0.3)
    assert loose.report["status"].tolist() == ["applied"] and loose.buildings.empty


def test_edits_of_edits_and_undo():
    log = buildings.new_edits(layer(box(0, 0, 1, 1)))
    log = buildings.record(log, "draw", after=box(0, 0, 10, 10))
    log = buildings.record(log, "move", box(0, 0, 10, 10), box(0, 0, 20, 10))
    log = buildings.record(log, "delete", box(0, 0, 20, 10))
    empty = layer()
    assert buildings.apply_edits(empty, log).buildings.empty
    back = buildings.undo(log)
    assert outlines(buildings.apply_edits(empty, back).buildings) == [(0, 0, 20, 10)]
    back = buildings.undo(back)
    assert outlines(buildings.apply_edits(empty, back).buildings) == [(0, 0, 10, 10)]
    assert back["undone"].tolist() == [False, True, True] and not log["undone"].any()
    assert len(buildings.apply_edits(empty, back).report) == 1
    with pytest.raises(ValueError, match="there are 1 edits"):
        buildings.undo(back, 2)


def test_geopackage_keeps_earlier_edits_and_other_layers(tmp_path):
    start, log = edited()
    path = tmp_path / "city.gpkg"
    start.to_file(path, layer="buildings")
    buildings.save_edits(log.iloc[:2], path)
    buildings.save_edits(log.iloc[2:], path)  # another session, which knows nothing of the first
    read = buildings.read_edits(path)
    assert read["id"].tolist() == log["id"].tolist()
    for column in ("operation", "who", "what", "undone"):
        assert read[column].tolist() == log[column].tolist()
    assert (read["when"] - log["when"]).abs().max() <= pd.Timedelta("1ms")
    assert read["seconds"].tolist() == pytest.approx([4, 1, 3, np.nan, 8], nan_ok=True)
    again = buildings.apply_edits(start, read)
    assert outlines(again.buildings) == WANTED
    buildings.save_edits(buildings.undo(read), path)
    assert buildings.read_edits(path)["undone"].tolist() == [False] * 4 + [True]
    assert set(pyogrio.list_layers(path)[:, 0]) == {"buildings", "edits", "edits_before"}
    assert len(gpd.read_file(path, layer="buildings")) == 6
    assert [p.name for p in tmp_path.iterdir()] == ["city.gpkg"]


def test_an_empty_log_can_be_saved(tmp_path):
    path = buildings.save_edits(buildings.new_edits(CRS), tmp_path / "deep" / "log.gpkg")
    assert buildings.read_edits(path).empty
    _, log = edited()
    buildings.save_edits(log, path)
    assert len(buildings.read_edits(path)) == 5


def test_effort_by_hand():
    _, log = edited()
    reference = layer(*[box(i * 20, 0, i * 20 + 10, 10) for i in range(25)])
    table = buildings.effort(log, reference)
    # Corners: moved 2 of 4; split sets (50, 0) and (50, 10); drawn 4; none for delete and merge.
    assert table.loc["correcting"].tolist() == [5, 8, 16]
    # 8 s for the 4 corners of the drawn one: 2 s a corner, 25 x 4 corners.
    assert table.loc["from nothing"].tolist() == [25, 100, 200]
    assert table.loc["saved"].tolist() == pytest.approx([0.8, 0.92, 0.92])
    assert table.attrs["timed"] == 4
    assert buildings.effort(log, reference, 5).loc["from nothing", "seconds"] == 500
    unknown = buildings.effort(log.assign(seconds=np.nan), reference)
    assert unknown["seconds"].isna().all()
    # Undone work was work.
    assert buildings.effort(buildings.undo(log), reference).loc["correcting", "seconds"] == 16
    yard = Polygon(box(0, 0, 10, 10).exterior.coords, [box(2, 2, 4, 4).exterior.coords])
    both = shapely.MultiPolygon([yard, box(20, 0, 21, 1)])
    assert buildings.effort(log, layer(both)).loc["from nothing", "vertices"] == 12
    with pytest.raises(ValueError, match="empty"):
        buildings.effort(log, layer())


def test_bad_edits_are_explained(tmp_path):
    log = buildings.new_edits(CRS)
    square, tie = box(0, 0, 1, 1), Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    for arguments, reason in (
        (("drow", None, square), "Did you mean 'draw'"),
        (("draw", square, square), "1 polygon.* before"),
        (("delete", None), "0 polygon.* before"),
        (("split", square, square), "2 or more"),
        (("merge", square, square), "2 or more"),
        (("draw", None, tie), "Self-intersection"),
        (("draw", None, shapely.Point(0, 0)), "Point"),
    ):
        with pytest.raises(ValueError, match=reason):
            buildings.record(log, *arguments)
    log = buildings.record(log, "draw", after=square, id="one", when="2024-05-01 12:00")
    assert str(log["when"][0]) == "2024-05-01 12:00:00+00:00"
    with pytest.raises(ValueError, match="'one' already"):
        buildings.record(log, "draw", after=square, id="one")
    with pytest.raises(ValueError, match="degrees"):
        buildings.new_edits("EPSG:4326")
    with pytest.raises(ValueError, match="to_crs"):
        buildings.apply_edits(layer(square, crs="EPSG:32649"), log)
    with pytest.raises(ValueError, match="invalid"):
        buildings.apply_edits(layer(tie), log)
    with pytest.raises(FileNotFoundError):
        buildings.read_edits(tmp_path / "none.gpkg")
    layer(square).to_file(tmp_path / "other.gpkg", layer="buildings")
    with pytest.raises(ValueError, match="holds no edits"):
        buildings.read_edits(tmp_path / "other.gpkg")
    path = buildings.save_edits(log, tmp_path / "log.gpkg")
    with pytest.raises(ValueError, match="to_crs"):
        buildings.save_edits(buildings.new_edits("EPSG:32649"), path)
