"""Every chapter runs from the first cell to the last on the smallest profile."""

import json

import nbformat
import pytest

from toolkit import runs

NOTEBOOKS = sorted(runs.NOTEBOOKS.glob("*.ipynb"))


def _record(folder):
    return json.loads((folder / "record.json").read_text("utf-8"))


@pytest.fixture(scope="module", params=["scene", "burundi"])
def smoke(request):
    given = {"profile": "smoke", "source": request.param}
    return _record(runs.execute("01", given, progress=False))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_chapter_documents_the_common_parameters(path):
    table = runs.parameters(path)
    assert {"source", "profile", "seed"} <= set(table.index)
    assert table["help"].str.len().gt(10).all()


def test_the_start_runs_on_a_small_scene():
    record = _record(runs.execute("00", {"profile": "smoke"}, progress=False))
    assert record["status"] == "done"
    assert any(name.startswith("scene/") for name in record["data"])


def test_land_cover_runs_on_real_data():
    given = {"profile": "smoke", "source": "raleigh"}
    record = _record(runs.execute("02", given, progress=False))
    assert record["status"] == "done"
    assert set(record["data"]) >= {"raleigh/image", "raleigh/land_cover"}
    scores = {name.removeprefix("held out, "): row for name, row in record["metrics"].items()}
    # No truth is known there: the labels are not scored against themselves.
    assert {"map", "sharpened", "forest"} <= set(scores) and "labels" not in scores
    assert 60 < scores["forest"]["overall"] < 80
    assert 0 <= scores["map"]["overall"] < 100


def test_roof_greening_runs_and_records_every_link():
    record = _record(runs.execute("03", {"profile": "smoke"}, progress=False))
    assert record["status"] == "done"
    assert {"scene/gaofen2", "scene/buildings", "scene/landsat8"} <= set(record["data"])
    scores = record["metrics"]
    raw, corrected = scores["buildings, network"], scores["buildings, corrected"]
    assert 0 <= raw["building F1"] < corrected["building F1"] <= 1
    assert raw["pixel IoU"] < corrected["pixel IoU"]
    assert scores["heights, corrected"]["right where matched"] > 0.9
    assert 0 < scores["temperature, split window"]["RMSE K"] < 6
    # A link alone costs no more than a few outcomes; the chain as predicted costs most of them.
    alone = scores["grades, temperature from Landsat"]["same outcome"]
    whole = scores["grades, whole chain, corrected"]["same outcome"]
    assert 0.8 < alone <= 1
    assert scores["grades, whole chain, as predicted"]["same outcome"] < whole < 1


@pytest.mark.parametrize("source", ["scene", "accomack"])
def test_settlements_run_and_record(source):
    record = _record(runs.execute("04", {"profile": "smoke", "source": source}, progress=False))
    assert record["status"] == "done"
    # Accomack is mapped whatever the page draws large; labels come from the scene alone.
    assert {"accomack/sentinel2", "scene/imperviousness"} <= set(record["data"])
    assert "accomack/imperviousness" not in record["data"]
    metrics = record["metrics"]
    products = ("ours", "GUF", "GHSL", "FROM-GLC10", "HMGUL")
    rows = {f"points, mean {role}, {which}" for role in ("near", "far") for which in products}
    cities = {name for name in metrics if name.startswith("cells, ")}
    assert rows <= set(metrics) and len(cities) == 2
    for name in rows | cities:
        assert -1 <= metrics[name]["kappa"] <= 1
        assert 0 <= metrics[name]["f1"] <= 1
    # The products do not depend on the training: they are far better than one short epoch.
    assert all(metrics[f"points, mean {role}, HMGUL"]["kappa"] > 0.3 for role in ("near", "far"))
    assert 0 <= metrics["accomack, agreement with the rule"]["recall"] <= 1


def test_settlements_explain_an_unknown_source(tmp_path):
    with pytest.raises(RuntimeError, match="source is 'mars'; choose scene or accomack"):
        runs.execute("04", {"profile": "smoke", "source": "mars"}, progress=False, folder=tmp_path)


METHODS = ("IFCN", "U-Net", "SVM", "Threshold")


def test_night_lights_runs_and_records(smoke):
    assert smoke["status"] == "done"
    source = smoke["parameters"]["source"]
    assert {name.split("/")[0] for name in smoke["data"]} >= {source}
    for method in METHODS:
        scores = smoke["metrics"][method]
        f1, iou = scores["F1"], scores["IoU"]
        assert 0 <= iou <= f1 <= 1
        assert iou == pytest.approx(f1 / (2 - f1), abs=1e-4)
    # Every method is scored on the same ground.
    positives = {smoke["metrics"][name]["TP"] + smoke["metrics"][name]["FN"] for name in METHODS}
    assert len(positives) == 1


def test_no_cut_from_home_beats_the_best_one_there(smoke):
    for method in ("IFCN", "Threshold"):
        home = smoke["metrics"][f"abroad {method} from home"]["F1"]
        assert home <= smoke["metrics"][f"abroad {method} best there"]["F1"] + 1e-6
    # What a single threshold can do at all: about 0.47 in Burundi, 0.84 in the scene.
    best = smoke["metrics"]["abroad Threshold best there"]["F1"]
    expected = {"scene": 0.467, "burundi": 0.837}[smoke["parameters"]["source"]]
    assert best == pytest.approx(expected, abs=0.01)


def test_same_seed_gives_the_same_record(tmp_path):
    given = {"profile": "smoke", "source": "burundi"}
    first = _record(runs.execute("01", given, progress=False))
    again = _record(runs.execute("01", given, reuse=False, progress=False, folder=tmp_path))
    assert again["metrics"] == first["metrics"]


def test_unknown_source_is_explained(tmp_path):
    with pytest.raises(RuntimeError, match=r"source='burund' is not known.*Did you mean 'burundi'"):
        runs.execute(
            "01", {"profile": "smoke", "source": "burund"}, progress=False, folder=tmp_path
        )
    (folder,) = (tmp_path / "01_night_lights").iterdir()
    assert nbformat.read(folder / "notebook.ipynb", as_version=4).cells
    assert _record(folder)["status"] == "failed"


def test_published_numbers_run_and_record_every_verdict():
    record = _record(runs.execute("08", {"profile": "smoke"}, progress=False))
    assert record["status"] == "done"
    metrics = record["metrics"]
    verdicts = ("consistent", "rounding", "inconsistent", "not recomputable")
    assert sum(metrics[f"all, {verdict}"] for verdict in verdicts) == 150
    assert metrics["all, inconsistent"] == 28
    assert metrics["slips"] == 6 and 0 <= metrics["noticed"] <= 1
    assert sum(metrics["ledger"].values()) > 50


@pytest.mark.parametrize("paper", ["roof_greening", "land_cover_3m"])
def test_published_numbers_of_one_paper(paper, tmp_path):
    given = {"profile": "smoke", "paper": paper}
    record = _record(runs.execute("08", given, progress=False, folder=tmp_path))
    names = {name.split(",")[0] for name in record["metrics"] if "," in name}
    assert len(names) == 2 and "all" in names
