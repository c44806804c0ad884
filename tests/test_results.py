"""The committed records of sweeps: whole, and made by the file beside them."""

import pytest
import yaml

from toolkit import runs

SWEEPS = sorted(runs.RESULTS.glob("*.yaml"))


@pytest.mark.parametrize("path", SWEEPS, ids=lambda p: p.stem)
def test_record_holds_every_run_of_its_sweep(path):
    about = yaml.safe_load(path.read_text("utf-8"))
    record = runs.results(path.stem)
    assert not record.attrs["failed"]
    assert record.attrs["experiment"] == [about["experiment"]]
    cells = list(about.get("list", [{}]))
    for name, values in about["grid"].items():
        cells = [cell | {name: value} for cell in cells for value in values]
    assert record.attrs["runs"] == len(cells)
    for cell in cells:
        rows = record
        for name, value in cell.items():
            rows = rows[rows[name] == value]
        assert len(rows), f"{path.name}: no row for {cell}"


@pytest.mark.parametrize("path", SWEEPS, ids=lambda p: p.stem)
def test_record_says_where_it_comes_from(path):
    record = runs.results(path.stem)
    assert {"torch", "fastai", "numpy"} <= set(record.attrs["versions"])
    assert record.attrs["device"]
    assert len(record.attrs["seeds"]) >= 3
    assert set(record.attrs["data"]) >= set(yaml.safe_load(path.read_text("utf-8"))["data"])
