import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import sweep_toys
from dask.system import CPU_COUNT
from test_runs import _notebook

from toolkit import catalog, cli, runs
from toolkit.runs import experiments, sweeps

HERE = Path(__file__).parent


@pytest.fixture
def sweep(tmp_path):
    def run(experiment, grid=None, **options):
        options = {"folder": tmp_path / "runs", "progress": False, "workers": 2} | options
        return runs.sweep(experiment, grid, **options)

    return run


@pytest.fixture
def yaml(tmp_path):
    def write(text, name="sweep.yaml"):
        path = tmp_path / name
        path.write_text(text, "utf-8")
        return path

    return write


def _records(folder):
    return [json.loads(path.read_text("utf-8")) for path in sorted(folder.rglob("record.json"))]


def test_every_combination_is_run_recorded_and_not_repeated(sweep, tmp_path):
    grid = {"slope": np.array([0.5, 2]), "seed": [1, 2]}
    table = sweep(sweep_toys.line, grid)
    assert table[["slope", "seed"]].to_numpy().tolist() == [[0.5, 1], [0.5, 2], [2, 1], [2, 2]]
    assert table["value"].tolist() == [1.16667, 2.16667, 1.66667, 2.66667]
    assert table["nested.deep"].tolist() == [0.5, 0.5, 2, 2]
    assert table["undefined"].isna().all() and table["undefined"].dtype == float
    assert set(table["status"]) == {"done"} and "error" not in table

    record = _records(tmp_path / "runs")[0]
    assert record["experiment"] == "sweep_toys:line"
    assert record["parameters"].keys() == {"slope", "seed", "label"}
    assert record["seed"] == record["parameters"]["seed"]
    assert {"python", "torch", "fastai", "numpy"} <= record["versions"].keys()
    assert record["data"] == {"burundi/lights": catalog.checksum("burundi/lights")}
    assert record["run"]["peak_memory_mb"] > 10 and record["run"]["seconds"] >= 0
    assert record["device"]
    assert len(record["code"]) == 12

    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "runs").rglob("record.json")}
    again = sweep("sweep_toys:line", grid)
    pd.testing.assert_frame_equal(again, table)
    assert {p: p.stat().st_mtime_ns for p in stamps} == stamps
    states = runs.plan("sweep_toys:line", grid | {"seed": [2, 3]}, tmp_path / "runs")["state"]
    assert states.tolist() == ["done", "new", "done", "new"]


def test_equal_sets_are_run_once(tmp_path):
    sets = [{"slope": 1}, {"slope": 1.0}, {"slope": "1", "seed": 0}, {}]
    assert len(runs.plan("sweep_toys:line", sets, tmp_path)) == 1


def test_tables_are_collated_with_their_parameters(sweep, tmp_path):
    table = sweep(sweep_toys.curve, {"rate": [0.3, 1], "steps": [2]})
    assert table["iteration"].tolist() == [0, 1, 0, 1]
    assert table["loss"].tolist() == [0.3, 0.15, 1, 0.5]
    assert set(table["seed"]) == {7}  # the result keeps its name, the parameter gets a longer one
    assert set(table["parameters.seed"]) == {0}
    threads = max(1, CPU_COUNT // 2)
    logs = [path.read_text("utf-8") for path in tmp_path.rglob("log.txt")]
    assert logs == [f"threads: {threads}\n"] * 2
    pd.testing.assert_frame_equal(
        runs.collate(tmp_path).sort_values(["rate", "iteration"], ignore_index=True), table
    )
    assert len(runs.table(tmp_path)) == 2


def test_a_result_is_not_lost_to_the_time_of_its_run(sweep):
    table = sweep(sweep_toys.timed)
    assert table["results.seconds"].tolist() == [0.25]
    assert table["seconds"].tolist() != [0.25]


def test_index_of_a_table_is_kept(sweep):
    assert sweep(sweep_toys.by_method)["index"].tolist() == ["svm", "ifcn"]


def test_failed_runs_are_kept_and_retried_on_demand(sweep, tmp_path):
    marker = tmp_path / "marker"
    grid = {"marker": [marker], "number": [0, 1]}
    with pytest.warns(UserWarning, match=r"1 of 2 runs failed \(OSError: the disk is full\)"):
        table = sweep("sweep_toys:fragile", grid)
    assert table["status"].tolist() == ["done", "failed"]
    assert table["error"].tolist()[1] == "OSError: the disk is full"
    (failed,) = [r for r in _records(tmp_path / "runs") if r["status"] == "failed"]
    assert "in fragile" in failed["traceback"]

    marker.touch()
    with pytest.warns(UserWarning, match="1 of 2 runs failed"):
        sweep("sweep_toys:fragile", grid)  # not asked for: not repeated
    table = sweep("sweep_toys:fragile", grid, retry=True)
    assert table["status"].tolist() == ["done", "done"]
    assert sorted((tmp_path / "marker.calls").read_text().split()) == ["0", "1", "1"]


@pytest.mark.parametrize(
    ("function", "message"),
    [("killed", "ended with -9: killed, perhaps for want of memory"), ("nothing", "NoneType")],
)
def test_a_run_that_ends_badly_takes_nobody_along(sweep, function, message):
    with pytest.warns(UserWarning, match="1 of 1 runs failed"):
        table = sweep(f"sweep_toys:{function}")
    assert message in table.loc[0, "error"]


def test_two_sweeps_share_a_folder(sweep, tmp_path):
    grid = {"calls": [str(tmp_path / "calls")], "number": [1, 2, 3, 4]}
    found = {}
    other = threading.Thread(
        target=lambda: found.update(other=sweep("sweep_toys:counted", grid, workers=1))
    )
    other.start()
    mine = sweep("sweep_toys:counted", grid, workers=1)
    other.join()
    assert mine["double"].tolist() == found["other"]["double"].tolist() == [2, 4, 6, 8]
    assert sorted((tmp_path / "calls").read_text().split()) == ["1", "2", "3", "4"]


def _start(tmp_path):
    grid = {"number": [0, 1], "started": [str(tmp_path / "pid")]}
    script = (
        # Whoever starts the tests in the background passes on that Ctrl-C is ignored.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"import sys; sys.path.insert(0, {str(HERE)!r})\n"
        "from toolkit import runs\n"
        f"runs.sweep('sweep_toys:slow', {grid!r}, {str(tmp_path / 'runs')!r}, 1, progress=False)"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE)
    _until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    return process, int((tmp_path / "pid").read_text())


def _until(fact, seconds=30):
    end = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def _gone(pid):
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_interrupted_sweep_leaves_finished_runs(tmp_path):
    process, worker = _start(tmp_path)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) != 0
    assert b"KeyboardInterrupt" in process.stderr.read()
    _until(lambda: _gone(worker))
    states = {r["parameters"]["number"]: r["status"] for r in _records(tmp_path / "runs")}
    assert states == {0: "done", 1: "interrupted"}
    grid = {"number": [0, 1], "started": [str(tmp_path / "pid")]}
    planned = runs.plan(sweep_toys.slow, grid, tmp_path / "runs")
    assert planned["state"].tolist() == ["done", "interrupted"]


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_runs_of_a_killed_sweep_stop(tmp_path):
    process, worker = _start(tmp_path)
    process.kill()
    process.wait(20)
    process.stderr.close()
    _until(lambda: _gone(worker))
    assert {r["status"] for r in _records(tmp_path / "runs")} == {"done", "running"}


def test_code_counts_and_words_about_it_do_not(tmp_path, monkeypatch, sweep):
    monkeypatch.syspath_prepend(tmp_path)
    helper, module = tmp_path / "own_helper.py", tmp_path / "own_experiment.py"
    helper.write_text("FACTOR = 2\n")
    module.write_text(
        "from own_helper import FACTOR\ndef run(x=1):\n    return {'y': FACTOR * x}\n"
    )

    def key():
        return runs.plan("own_experiment:run", None, tmp_path / "runs")["key"].item()

    before = key()
    assert sweep("own_experiment:run")["y"].item() == 2
    helper.write_text('"""What it is for."""\nFACTOR = 2  # twice\n')
    assert key() == before
    helper.write_text("FACTOR = 3\n")
    assert key() != before
    kept = sweep("own_experiment:run", any_code=True)
    assert kept["y"].item() == 2 and kept["key"].item() == before
    assert sweep("own_experiment:run")["y"].item() == 3
    assert runs.collate(tmp_path / "runs")["y"].tolist() == [3]
    assert sorted(runs.collate(tmp_path / "runs", latest=False)["y"]) == [2, 3]


def test_parts_of_the_package_count_but_not_how_runs_are_recorded():
    names = {path.name for path in experiments._sources(HERE / "test_runs_sweep.py")}
    assert {"sweep_toys.py", "test_runs.py", "schema.py"} <= names  # the last one of the catalogue
    assert "sweeps.py" not in names


@pytest.mark.parametrize(
    ("experiment", "grid", "message"),
    [
        ("sweep_toys:line", {"slop": [1]}, "no parameter 'slop': did you mean 'slope'"),
        ("sweep_toys:line", {"slope": ["steep"]}, "'slope' must be of type float"),
        ("sweep_toys:curve", {"steps": [1]}, "needs a value for 'rate'"),
        ("sweep_toys:curve", {"rate": ["fast"]}, "'rate' must be of type float"),
        ("sweep_toys:lin", {}, "no function 'lin': did you mean 'line'"),
        ("sweep_toy:line", {}, "no module 'sweep_toy'"),
        ("sweep_toys:line", {"slope": 1}, "'slope' needs a list of values"),
        ("sweep_toys:line", {"slope": []}, "'slope' needs a list of values"),
        ("sweep_toys:line", [], "list of dicts"),
        ("sweep_toys:line", {"label": [object()]}, "'label' is a object"),
        (lambda: {}, {}, "must stand at the top of a module"),
    ],
)
def test_mistakes_are_found_before_anything_runs(experiment, grid, message, monkeypatch, tmp_path):
    monkeypatch.setattr(sweeps, "_run_all", lambda *a: pytest.fail("started"))
    with pytest.raises(ValueError, match=message):
        runs.sweep(experiment, grid, folder=tmp_path)


def test_data_must_be_in_the_catalogue(tmp_path):
    with pytest.raises(KeyError, match="burundi/light"):
        runs.plan(sweep_toys.curve, {"rate": [1]}, tmp_path, data=["burundi/light"])


def test_sweep_file(yaml, tmp_path):
    path = yaml(
        "experiment: sweep_toys:line\n"
        "title: Lines\n"
        "common: {label: b, slope: 9}\n"
        "grid: {seed: [1, 2]}\n"
        "list:\n- slope: 1e-4\n- {}\n"  # YAML reads 1e-4 as text
    )
    table = runs.plan(path, folder=tmp_path)
    assert table["slope"].tolist() == [1e-4, 1e-4, 9, 9]
    assert table["seed"].tolist() == [1, 2, 1, 2]
    assert set(table["label"]) == {"b"}
    pd.testing.assert_frame_equal(runs.plan(None, path, tmp_path), table)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("experiment: [", "sweep.yaml is not valid YAML"),
        ("- 1", "sweep.yaml: expected `experiment:`"),
        ("grid: {seed: [1]}", "sweep.yaml is no valid sweep:\n  experiment: Field required"),
        (
            "experiment: a:b\ngrid: {seed: 1}",
            r"grid.seed: expected a list of values, such as \[1\]",
        ),
        ("experiment: a:b\ngrid: {seed: []}", r"grid.seed: expected a list .* \[1, 2\]"),
        ("experiment: a:b\ngrids: {}", "grids: there is no such field: did you mean 'grid'"),
        ("experiment: a:b\nlist: {seed: 1}", "list: Input should be a valid list"),
        ("experiment: a:b\ncommon: {seed: 1, seed: 2}", "'seed' is given twice"),
        ("experiment: a:b\ngrid: {s: [1]}\nlist: [{s: 1}]", "list, grid: s is given in both"),
        ("experiment: sweep_toys:line\ncommon: {sed: 1}", "sweep.yaml: .*did you mean 'seed'"),
        ("experiment: '99'", "sweep.yaml: no notebook fits '99'"),
    ],
)
def test_mistakes_in_a_sweep_file_name_file_and_field(yaml, text, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        runs.plan(yaml(text))


def test_missing_sweep_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no sweep file .*none.yaml"):
        runs.sweep(tmp_path / "none.yaml")


def test_notebooks_are_swept_too(sweep, tmp_path):
    path = _notebook(
        tmp_path / "story.ipynb",
        "if epochs > 8:\n    raise ValueError('too long')",
        "from toolkit import runs\nruns.record({'score': rate / 3}, epochs=epochs)",
    )
    with pytest.warns(UserWarning, match="1 of 2 runs failed"):
        table = sweep(path, {"epochs": [3, 9]})
    assert table["status"].tolist() == ["done", "failed"]
    assert table["score"].iloc[0] == 0.166667
    assert table["error"].iloc[1] == "ValueError: too long"
    kept = runs.collate(tmp_path / "runs")
    assert kept["epochs"].tolist() == [3, 9] or kept["epochs"].tolist() == [9, 3]
    # What a sweep ran, `execute` finds; both know the same key.
    assert runs.execute(path, {"epochs": 3}, folder=tmp_path / "runs").name == table["key"].iloc[0]
    failed = [r for r in _records(tmp_path / "runs") if r["status"] == "failed"]
    assert "raise ValueError" in failed[0]["traceback"] and "\x1b" not in failed[0]["traceback"]
    with pytest.raises(ValueError, match="did you mean 'epochs'"):
        sweep(path, {"epoch": [3]})


def test_dask_cluster(sweep, tmp_path):
    distributed = pytest.importorskip("distributed")
    grid = {"rate": [0.5, 1.5]}
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        table = sweep(sweep_toys.curve, grid, scheduler=client)
        assert sweep(sweep_toys.curve, grid, scheduler=cluster.scheduler_address).equals(table)
    assert table["loss"].tolist()[::3] == [0.5, 1.5]
    assert len(list(tmp_path.rglob("log.txt"))) == 2


def test_dask_is_optional(sweep, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match="pip install distributed"):
        sweep(sweep_toys.curve, {"rate": [1]}, scheduler="tcp://host:8786")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    grid = {"rate": [0.5, 1.0], "seed": [1, 2], "steps": [2]}
    return runs.sweep(sweep_toys.curve, grid, folder, workers=2, progress=False)


def test_published_sweep_comes_back(made, tmp_path):
    path = runs.publish(made, "results/curves", folder=tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["curves.csv", "curves.json"]
    table = runs.results("curves", folder=tmp_path)
    assert table["loss"].tolist() == made["loss"].tolist()
    assert "steps" not in table and "status" not in table  # the same in every run
    about = table.attrs
    assert about["parameters"] == {
        "varied": {"rate": [0.5, 1.0], "seed": [1, 2]},
        "fixed": {"steps": 2},
    }
    assert about["seeds"] == [1, 2] and about["runs"] == 4 and about["failed"] == []
    assert about["experiment"] == ["sweep_toys:curve"]
    assert "runs.sweep('sweep_toys:curve'" in about["again"]
    assert {"python", "torch", "fastai", "numpy"} <= about["versions"].keys()
    assert about["date"] and about["device"] and about["checksum"] and len(about["code"]) == 1
    text = runs.provenance(table).data
    assert "4 runs, 2 seeds" in text and "results/curves.csv" in text and about["date"] in text
    # git may change the ends of lines.
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    pd.testing.assert_frame_equal(runs.results("curves", folder=tmp_path), table)


def test_text_and_gaps_come_back(made, tmp_path):
    table = made.copy()
    table["network"] = ["None", "NA", "01", "fcn8s"] * 2
    table["epochs"] = pd.array([1, None] * 4, dtype="Int64")
    table["good"] = [True, False] * 4
    runs.publish(table, "mixed", folder=tmp_path)
    back = runs.results("mixed", folder=tmp_path)
    assert back["network"].tolist() == table["network"].tolist()
    assert back["epochs"].isna().sum() == 4 and back["epochs"].sum() == 4
    assert back["good"].tolist() == table["good"].tolist()


def test_what_cannot_be_published_is_explained(made, tmp_path):
    with pytest.raises(ValueError, match="lower case"):
        runs.publish(made, "../Curves", folder=tmp_path)
    with pytest.raises(ValueError, match="does not lead to its records"):
        runs.publish(made.drop(columns="key"), "curves", folder=tmp_path)
    with pytest.raises(ValueError, match="does not lead to its records"):
        runs.publish(pd.DataFrame({"key": ["a"]}), "curves", folder=tmp_path)


def test_unfinished_runs_are_listed_not_published(sweep, tmp_path):
    with pytest.warns(UserWarning, match="1 of 2 runs failed"):
        table = sweep("sweep_toys:fragile", {"marker": [tmp_path / "m"], "number": [0, 1]})
    with pytest.warns(UserWarning, match="1 of 2 runs are not finished"):
        runs.publish(table, "half", folder=tmp_path)
    back = runs.results("half", folder=tmp_path)
    assert back["number"].tolist() == [0]
    assert back.attrs["failed"][0]["parameters"]["number"] == 1
    assert back.attrs["failed"][0]["error"] == "OSError: the disk is full"
    (tmp_path / "runs" / "fragile" / table["key"].iloc[0] / "record.json").unlink()
    with pytest.raises(ValueError, match="no record of"):
        runs.publish(table, "half", folder=tmp_path)


def test_missing_or_broken_results_are_explained(made, tmp_path):
    path = runs.publish(made, "curves", folder=tmp_path)
    with pytest.raises(
        FileNotFoundError, match=r"no .*curve.csv: did you mean 'curves'.*--publish"
    ):
        runs.results("curve", folder=tmp_path)
    whole = path.read_text("utf-8")
    path.write_text("".join(whole.splitlines(keepends=True)[:4]), "utf-8")
    with pytest.raises(ValueError, match=r"\(3 of 8 rows\): restore it with `git checkout"):
        runs.results("curves", folder=tmp_path)
    path.write_text(whole.replace("0.5", "0.6", 1), "utf-8")
    with pytest.raises(ValueError, match="its content was changed"):
        runs.results("curves", folder=tmp_path)
    path.with_suffix(".json").write_text('{"again": ')
    with pytest.raises(ValueError, match=r"curves.json is damaged"):
        runs.results("curves", folder=tmp_path)


def test_drift():
    old = pd.DataFrame(
        {
            "network": ["a", "a", "b", "b"],
            "seed": [1, 2, 1, 2],
            "iou": [0.50, 0.54, 0.7, 0.7],
            "f1": [None, 0.6, None, None],
            "seconds": [1.0, 2, 3, 4],
        }
    )
    live = pd.DataFrame(
        {"network": ["a", "b"], "iou": [0.57, 0.71], "f1": [0.6, None], "seconds": [99, 99]}
    )
    table = runs.drift(old, live, by="network", tolerance={"iou": 0.02}).set_index(
        ["network", "metric"]
    )
    assert table["within"].to_dict() == {
        ("a", "iou"): False,
        ("a", "f1"): True,
        ("b", "iou"): True,
        ("b", "f1"): True,
    }
    row = table.loc[("a", "iou")]
    assert (row["low"], row["high"], row["values"]) == (pytest.approx(0.48), pytest.approx(0.56), 2)
    assert row["outside"] == pytest.approx(0.01)
    gone = runs.drift(old, {"network": "a", "iou": float("nan")}, by="network")
    assert gone["within"].tolist() == [False]
    assert runs.drift(old, {"iou": 0.6})["within"].tolist() == [True]


def test_drift_explains_what_does_not_fit():
    old = pd.DataFrame({"network": ["a"], "iou": [0.5]})
    with pytest.raises(ValueError, match="nothing is published for network='c'"):
        runs.drift(old, {"network": "c", "iou": 0.5}, by="network")
    with pytest.raises(ValueError, match="live has no column network"):
        runs.drift(old, {"iou": 0.5}, by=["network"])
    with pytest.raises(ValueError, match="no metric is in both"):
        runs.drift(old, {"network": "a", "kappa": 0.5}, by="network")
    with pytest.raises(ValueError, match="kappa is in both"):
        runs.drift(old, {"network": "a", "kappa": 0.5}, by="network", metrics=["kappa"])


def test_live_part_is_compared_by_fixed_parameters_too(made, tmp_path):
    runs.publish(made, "curves", folder=tmp_path)
    old = runs.results("curves", folder=tmp_path)
    live = made[(made["rate"] == 0.5) & (made["parameters.seed"] == 1)]
    table = runs.drift(old, live, by=["rate", "iteration", "steps"])
    assert table["metric"].tolist() == ["loss", "loss"] and table["within"].all()
    with pytest.raises(ValueError, match="steps=3"):
        runs.drift(old, live.assign(steps=3), by=["steps"])


def test_command_line(yaml, tmp_path, capsys, monkeypatch):
    path = yaml("experiment: sweep_toys:line\ngrid: {seed: [1, 2]}\n", "lines.yaml")
    monkeypatch.setattr("toolkit.runs.published.RESULTS", tmp_path / "results")
    options = [str(path), "--folder", str(tmp_path / "runs")]
    assert cli.main(["sweep", *options, "--dry-run"]) == 0
    assert "2 new" in capsys.readouterr().out
    assert cli.main(["sweep", *options, "--workers", "2", "--publish"]) == 0
    assert "2 done" in capsys.readouterr().out
    about = runs.results("lines", folder=tmp_path / "results").attrs
    assert about["again"] == "toolkit sweep lines.yaml --publish"
    assert cli.main(["sweep", *options, "--workers", "0"]) == 1
    assert "at least one" in capsys.readouterr().err
    path = yaml("experiment: sweep_toys:nothing\n", "bad.yaml")
    assert cli.main(["sweep", str(path), "--folder", str(tmp_path / "runs")]) == 1
    assert "1 of 1 runs failed (TypeError" in capsys.readouterr().err
    assert cli.main(["sweep", str(yaml("experiment: sweep_toys:lin\n"))]) == 1
    assert "did you mean 'line'" in capsys.readouterr().err


def test_help_of_the_command_line_is_a_manual(capsys):
    with pytest.raises(SystemExit):
        cli.main(["sweep", "--help"])
    text = capsys.readouterr().out
    assert all(word in text for word in ("grid:", "list:", "--retry", "interrupted", "exit status"))
