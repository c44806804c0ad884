"""Every chapter runs from the first cell to the last on the smallest profile."""

import json

import nbformat
import pytest

from toolkit import runs

NOTEBOOKS = sorted(runs.NOTEBOOKS.glob("*.ipynb"))


def _record(folder):
    return json.loads((folder / "record.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def smoke():
    return _record(runs.execute("01", {"profile": "smoke"}, progress=False))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_chapter_documents_the_common_parameters(path):
    table = runs.parameters(path)
    assert {"source", "profile", "seed"} <= set(table.index)
    assert table["help"].str.len().gt(10).all()


def test_the_start_runs_on_a_small_scene():
    record = _record(runs.execute("00", {"profile": "smoke"}, progress=False))
    assert record["status"] == "done"
    assert any(name.startswith("scene/") for name in record["data"])


def test_night_lights_runs_and_records(smoke):
    assert smoke["status"] == "done"
    assert set(smoke["data"]) >= {"burundi/lights", "burundi/population"}
    for method in ("IFCN", "FCN8s, aligned", "linear SVM", "threshold"):
        scores = smoke["metrics"][method]
        f1, iou = scores["F1"], scores["IoU"]
        assert 0 <= iou <= f1 <= 1
        assert iou == pytest.approx(f1 / (2 - f1), abs=1e-4)
    # Every method is scored on the same ground.
    positives = {
        m["true positives"] + m["false negatives"]
        for m in smoke["metrics"].values()
        if "true positives" in m
    }
    assert len(positives) == 1


def test_no_threshold_beats_the_one_that_knows_the_labels(smoke):
    best = smoke["metrics"]["best threshold"]["IoU"]
    assert smoke["metrics"]["threshold"]["IoU"] <= best + 1e-6
    # About 0.30 whatever the split: what the lights of Burundi allow (IoU over the whole country).
    assert best == pytest.approx(0.30, abs=0.03)


def test_same_seed_gives_the_same_record(smoke, tmp_path):
    again = _record(
        runs.execute("01", {"profile": "smoke"}, reuse=False, progress=False, folder=tmp_path)
    )
    assert again["metrics"] == smoke["metrics"]


def test_unknown_source_is_explained(tmp_path):
    with pytest.raises(RuntimeError, match=r"burund/lights.*burundi/lights"):
        runs.execute(
            "01", {"profile": "smoke", "source": "burund"}, progress=False, folder=tmp_path
        )
    (folder,) = (tmp_path / "01_night_lights").iterdir()
    assert nbformat.read(folder / "notebook.ipynb", as_version=4).cells
    assert _record(folder)["status"] == "failed"
