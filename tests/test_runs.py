import json

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from toolkit import cli, runs
from toolkit.runs import notebooks

PARAMETERS = """epochs: int = 2  # passes over the training chips
rate: float = 0.5  # learning rate
source: str = "burundi"  # a data set
profile: str = "smoke"  # smoke, quick or paper
seed: int = 1  # of every random choice
"""


def _notebook(path, *code, text="# A story"):
    cells = [
        new_markdown_cell(text),
        new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}),
        *map(new_code_cell, code),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


@pytest.fixture
def notebook(tmp_path):
    return _notebook(
        tmp_path / "story.ipynb",
        "from toolkit import runs",
        "runs.record({'score': rate / 3}, epochs=epochs, undefined=float('nan'))",
    )


def _record(folder):
    return json.loads((folder / "record.json").read_text("utf-8"))


def test_parameters_are_read_from_the_tagged_cell(notebook):
    table = runs.parameters(notebook)
    assert table.loc["epochs"].tolist() == ["int", 2, "passes over the training chips"]
    assert table.loc["rate", "type"] == "float"


def test_values_are_read_as_the_parameter_type(notebook):
    values = runs.check(notebook, {"epochs": "3", "rate": "1", "source": "7"})
    assert (values["epochs"], values["rate"], values["source"]) == (3, 1.0, "7")
    assert type(values["rate"]) is float


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epoch": 3}, "no parameter 'epoch': did you mean 'epochs'"),
        ({"epochs": "many"}, "'epochs' must be of type int .*passes over the training chips"),
        ({"epochs": 2.5}, "'epochs' must be of type int"),
        ({"epochs": True}, "'epochs' must be of type int"),
        ({"profile": "fast"}, "choose one of smoke, quick, paper"),
    ],
)
def test_wrong_parameters_stop_before_a_kernel_starts(notebook, given, message, monkeypatch):
    monkeypatch.setattr("papermill.execute_notebook", lambda *a, **k: pytest.fail("started"))
    with pytest.raises(ValueError, match=message):
        runs.execute(notebook, given)


def test_notebook_without_parameters_cell_is_explained(tmp_path):
    path = tmp_path / "plain.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("1")]), path)
    with pytest.raises(ValueError, match="no cell is tagged 'parameters'"):
        runs.parameters(path)


def test_unknown_notebook_lists_those_there_are():
    with pytest.raises(FileNotFoundError, match="no notebook fits '99'"):
        runs.find("99")


def test_run_is_recorded_and_not_repeated(notebook, tmp_path):
    folder = runs.execute(notebook, {"rate": 0.3}, progress=False, folder=tmp_path / "runs")
    first = _record(folder)
    assert first["status"] == "done"
    assert first["metrics"] == {"score": 0.1, "epochs": 2, "undefined": None}
    assert first["parameters"]["rate"] == 0.3
    assert first["seed"] == 1
    assert first["run"]["seconds"] > 0
    assert first["run"]["peak_memory_mb"] > 10
    assert first["versions"]["torch"] == "2.13.0+cpu" or "torch" in first["versions"]

    stamp = (folder / "record.json").stat().st_mtime_ns
    assert runs.execute(notebook, {"rate": 0.3}, folder=tmp_path / "runs") == folder
    assert (folder / "record.json").stat().st_mtime_ns == stamp

    again = runs.execute(notebook, {"rate": 0.3}, reuse=False, folder=tmp_path / "runs")
    second = _record(again)
    first.pop("run"), second.pop("run")
    assert first == second  # same seed, same record


def test_new_text_is_taken_over_without_running(notebook, tmp_path):
    folder = runs.execute(notebook, progress=False, folder=tmp_path / "runs")
    source = nbformat.read(notebook, as_version=4)
    source.cells[0].source = "# Another title"
    nbformat.write(source, notebook)
    assert runs.execute(notebook, folder=tmp_path / "runs") == folder
    executed = nbformat.read(folder / "notebook.ipynb", as_version=4)
    assert executed.cells[0].source == "# Another title"
    assert any(cell.get("outputs") for cell in executed.cells)


def test_reuse_keeps_the_injected_parameters_and_the_file(notebook, tmp_path):
    folder = runs.execute(notebook, {"epochs": 9}, progress=False, folder=tmp_path / "runs")
    before = (folder / "notebook.ipynb").read_bytes()
    assert b"epochs = 9" in before
    runs.execute(notebook, {"epochs": 9}, folder=tmp_path / "runs")
    assert (folder / "notebook.ipynb").read_bytes() == before


def test_failed_cell_leaves_notebook_and_record(tmp_path):
    path = _notebook(
        tmp_path / "broken.ipynb",
        "from toolkit import runs\nruns.record(before=1)",
        "raise OSError('the disk is full')",
        "runs.record(after=2)",
    )
    with pytest.raises(RuntimeError, match=r"broken.ipynb failed in cell .*the disk is full"):
        runs.execute(path, progress=False, folder=tmp_path / "runs")
    (folder,) = (tmp_path / "runs" / "broken").iterdir()
    record = _record(folder)
    assert record["status"] == "failed"
    assert record["metrics"] == {"before": 1}
    assert record["error"] == "OSError: the disk is full"
    assert nbformat.read(folder / "notebook.ipynb", as_version=4).cells


def test_half_a_record_is_no_finished_run(notebook, tmp_path):
    folder = runs.execute(notebook, progress=False, folder=tmp_path / "runs")
    (folder / "record.json").write_text('{"status": "do')
    assert not notebooks._finished(folder)


def test_table_collates_and_skips_the_unreadable(tmp_path):
    for number, name in enumerate(["b", "a"]):
        (tmp_path / name).mkdir()
        record = {
            "notebook": name,
            "metrics": {"f1": number},
            "run": {"started": f"2026-01-0{number + 1}"},
        }
        (tmp_path / name / "record.json").write_text(json.dumps(record))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "record.json").write_text("{")
    with pytest.warns(UserWarning, match="left out .*broken"):
        table = runs.table(tmp_path)
    assert table["notebook"].tolist() == ["b", "a"]
    assert table["metrics.f1"].tolist() == [0, 1]


def test_record_takes_tables():
    frame = pd.DataFrame({"f1": [0.123456789, None]}, index=["ifcn", "svm"])
    assert runs.record(frame).metrics == {"ifcn": {"f1": 0.123457}, "svm": {"f1": None}}


def test_command_line_reads_both_forms_of_a_parameter(notebook, capsys):
    assert cli._parameters([["epochs=3"], ["source", "burundi"], ["note=a=b"]]) == {
        "epochs": "3",
        "source": "burundi",
        "note": "a=b",
    }
    assert cli.main(["run", str(notebook), "-p", "epoch=3"]) == 1
    assert "did you mean 'epochs'" in capsys.readouterr().err
    assert cli.main(["run", str(notebook), "-p", "a", "b", "c"]) == 1
    assert "NAME=VALUE" in capsys.readouterr().err


def test_command_line_lists_parameters(notebook, capsys):
    assert cli.main(["run", str(notebook), "--parameters"]) == 0
    assert "passes over the training chips" in capsys.readouterr().out
