"""The chapters that compare run from the first cell to the last on the smallest profile."""

import json

import pytest

from toolkit import runs
from toolkit.experiments import comparisons as co


def executed(number, folder=None, **given):
    given = {"profile": "smoke", **given}
    where = runs.execute(number, given, progress=False, **({"folder": folder} if folder else {}))
    return json.loads((where / "record.json").read_text("utf-8"))


def test_one_city_runs_and_records_every_method():
    record = executed("05")
    assert record["status"] == "done"
    assert {"scene/viirs", "scene/sentinel2", "scene/planet", "scene/gaofen2"} <= set(
        record["data"]
    )
    for method in co.METHODS:
        scores = record["metrics"][method]
        assert 0 <= scores["iou"] <= scores["f1"] <= 1 and -1 <= scores["kappa"] <= 1


def test_networks_run_on_a_task_and_record():
    record = executed("06", task="night lights", network="FCN8s")
    assert record["status"] == "done"
    assert 0 <= record["metrics"]["live"]["overall"] <= 1
    assert record["metrics"]["live"]["rate"] in co.RATES


def test_labels_are_disturbed_and_recorded():
    record = executed("07", task="land cover", error="shift", remedy="filter")
    assert record["status"] == "done"
    assert {"live, perfect", "live, shift", "live, shift, filter"} <= set(record["metrics"])


def test_an_unknown_task_is_explained(tmp_path):
    with pytest.raises(RuntimeError, match=r"task='roads' is not known"):
        executed("07", tmp_path, task="roads")
