"""How are many parameter sets run side by side, so that nothing finished is lost or repeated?

Each run has a folder of its own, ``build/sweeps/<experiment>/<key>/``, and a process of its own:
its memory is its own, and its crash takes nobody along. The key is a fingerprint of the
experiment's code, its parameters, its data and the computing libraries.
"""

import contextlib
import json
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from ..fingerprint import ROOT
from . import _launch, experiments
from .records import SWEEPS, tidy


def sweep(
    experiment,
    grid=None,
    folder=None,
    workers=None,
    retry=False,
    scheduler="local",
    progress=True,
    *,
    data=(),
    any_code=False,
):
    """Run an experiment with many parameter sets, several at once, and collate what they return.

    Finished runs are skipped. A run that failed is kept with its error and skipped too, until it is
    asked for again; an interrupted one starts anew. Two sweeps may share a folder: a run that
    another process is busy with is waited for, not repeated.

    Parameters
    ----------
    experiment : str, Path or callable
        A notebook (its `record` is the result); a function in a module, or its name
        ``"package.module:function"``, that returns a dict, a Series or a DataFrame of numbers (a
        row each, such as a curve over iterations); or a sweep file, see below.
    grid : dict of lists, list of dicts or Path, optional
        Every combination of the lists; or one run per dict; or a YAML file with ``experiment:``
        and, as needed, ``data:``, ``common:``, ``grid:`` and ``list:`` (each entry of the list
        runs with each cell of the grid). Sets that come to the same are run once.
    folder : Path, optional
        Where the runs are kept; ``build/sweeps`` by default.
    workers : int, optional
        Runs at once; half as many as there are cores by default. Each gets its share of the cores.
    retry : bool
        Run again what failed.
    scheduler : "local", str or dask.distributed.Client
        This machine, or a dask cluster (or its address). Its workers need this package and the
        experiment; results come back over the network.
    progress : bool
        Show a bar over the runs.
    data : sequence of str
        Data sets of the catalogue that the experiment reads. Their checksums are recorded, and a
        changed one makes a new run. A function may name them itself in an attribute ``data``.
    any_code : bool
        Take finished runs of the same parameters and data as they are, even if the code has
        changed since. Their records say which code it was.

    Returns
    -------
    pandas.DataFrame
        As `collate` makes it, in the order of the grid; numbers keep six digits. Failed runs are
        rows with ``status`` "failed" and the ``error``; the traceback is in their
        ``record.json``, everything that they printed in ``log.txt``.

    Raises
    ------
    ValueError
        Before anything runs: a parameter that the experiment does not have, one without a value, a
        function that other processes cannot import, a wrong field of the sweep file.
    ImportError
        A dask cluster without the package `distributed`.
    KeyboardInterrupt
        Finished runs are kept.

    Examples
    --------
    >>> sweep("01", {"seed": [1, 2, 3]}, workers=2)  # doctest: +SKIP
    >>> sweep("results/ifcn_ablation.yaml", retry=True)  # doctest: +SKIP
    """
    if workers is not None and workers < 1:
        raise ValueError(f"workers is {workers}: at least one run at a time")
    jobs = _jobs(experiment, grid, folder, data, any_code)
    todo = [job for job in jobs if job["state"] in ("new", "interrupted") or _again(job, retry)]
    if todo:
        with contextlib.ExitStack() as opened:
            slots, launch = _launch.launcher(scheduler, workers, len(todo), opened)
            _run_all(todo, slots, launch, progress, len(jobs))
        if _code_now(todo[0]) != todo[0]["record"]["code"]:
            warnings.warn(
                "the experiment's code, or a part of the package that it imports, was changed "
                "while the sweep ran: some runs may have used the new one. Sweep again",
                stacklevel=2,
            )
    table = _table(jobs)
    failed = [job for job in jobs if _launch.state(job["run"]) == "failed"]
    if failed:
        errors = sorted({_launch.read(job["run"])["error"] for job in failed})
        warnings.warn(
            f"{len(failed)} of {len(jobs)} runs failed ({'; '.join(errors[:3])}"
            f"{'; ...' if len(errors) > 3 else ''}). Tracebacks are in record.json, what they "
            f"printed in log.txt, below {failed[0]['run'].parent}; retry=True runs them again",
            stacklevel=2,
        )
    return table


def plan(experiment, grid=None, folder=None, *, data=(), any_code=False):
    """Say what a sweep would do, without running anything.

    Parameters
    ----------
    experiment, grid, folder, data, any_code
        As in `sweep`.

    Returns
    -------
    pandas.DataFrame
        One row a run, with its parameters, key and ``state``: "new", "done", "failed" or
        "interrupted".

    Examples
    --------
    >>> plan("01", {"seed": [1, 2]})["seed"].tolist()
    [1, 2]
    """
    import pandas as pd

    jobs = _jobs(experiment, grid, folder, data, any_code)
    rows = [
        job["record"]["parameters"] | {"state": job["state"], "key": job["key"]} for job in jobs
    ]
    return pd.DataFrame(rows)


def _again(job, retry):
    return retry and job["state"] == "failed"


def _code_now(job):
    return experiments.Experiment(job["kind"], job["target"], "").code


def _jobs(experiment, grid, folder, data, any_code):
    """One job per distinct parameter set, with the state that its folder is in."""
    where, again, title = "", None, ""
    if grid is None and _is_file(experiment):
        experiment, grid = None, experiment
    if _is_file(grid):
        found = experiments.read(grid)
        sets, data, experiment = found.sets(), [*found.data, *data], experiment or found.experiment
        where, title = f"{grid}: ", found.title
        again = f"toolkit sweep {_relative(grid)} --publish"
    else:
        sets = experiments.parameter_sets([{}] if grid is None else grid)
    try:
        about = experiments.resolve(experiment, data)
        complete = [about.complete(each) for each in sets]
    except (ValueError, FileNotFoundError) as error:
        raise type(error)(f"{where}{error}") from None
    again = again or _call(about, grid, sets)
    checksums = _checksums(about.data)
    old = _old_runs(folder, about, checksums) if any_code else {}
    jobs = {}
    for given, values in zip(sets, complete, strict=True):
        key = about.key(values, checksums)
        run = Path(folder or SWEEPS).resolve() / about.name / key
        if _launch.state(run) != "done":
            run = old.get(json.dumps(values, sort_keys=True), run)
        record = {
            "notebook" if about.kind == "notebook" else "experiment": _shown(about),
            "key": run.name,
            "code": about.code,
            "parameters": values,
            "seed": values.get("seed"),
            "data": checksums,
            "status": "running",
            "again": again,
            "run": {},
        }
        jobs[run] = {
            "run": run,
            "key": run.name,
            "kind": about.kind,
            "target": about.target,
            "given": {name: values[name] for name in given},
            "record": record,
            "state": _launch.state(run),
            "title": title,
        }
    return list(jobs.values())


def _is_file(given):
    return isinstance(given, str | Path) and str(given).endswith((".yaml", ".yml"))


def _shown(about):
    return about.target if about.kind == "function" else about.name


def _call(about, grid, sets):
    text = repr(experiments.jsonable(grid, "grid"))
    text = text if len(text) < 300 else f"<{len(sets)} parameter sets>"
    return f"runs.sweep({_shown(about)!r}, {text})"


def _relative(path):
    path = Path(path).resolve()
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name


def _checksums(names):
    if not names:
        return {}
    from .. import catalog

    return {name: catalog.checksum(name) for name in names}


def _old_runs(folder, about, checksums):
    """Finished runs by their parameters, whatever code made them; the newest wins."""
    found = []
    for path in (Path(folder or SWEEPS).resolve() / about.name).glob("*/record.json"):
        record = _launch.read(path.parent)
        same = all(record.get("data", {}).get(name) == sum for name, sum in checksums.items())
        if record.get("status") == "done" and same:
            text = json.dumps(record["parameters"], sort_keys=True)
            found.append((record["run"]["started"], text, path.parent))
    return {text: run for _, text, run in sorted(found)}


def _table(jobs):
    found = [(job["run"] / "record.json", _launch.read(job["run"])) for job in jobs]
    table = tidy([each for each in found if each[1]], jobs[0]["run"].parent)
    table.attrs |= {"again": jobs[0]["record"]["again"], "title": jobs[0]["title"]}
    return table


def _run_all(jobs, slots, launch, progress, total):
    from tqdm import tqdm

    stop, failed, waiting = threading.Event(), 0, list(jobs)
    bar = tqdm(total=total, initial=total - len(jobs), disable=not progress, unit="run")
    pool = ThreadPoolExecutor(slots)
    try:
        for patient in (False, True):  # at first, leave alone what another sweep is busy with
            futures = {pool.submit(_locked, job, launch, stop, patient): job for job in waiting}
            left, waiting = set(futures), []
            while left:
                # A time limit, because an endless wait could not be interrupted everywhere.
                done, left = wait(left, timeout=0.5, return_when="FIRST_COMPLETED")
                for future in done:
                    if not future.result():
                        waiting.append(futures[future])
                        continue
                    failed += _launch.state(futures[future]["run"]) == "failed"
                    bar.set_postfix(failed=failed, refresh=False)
                    bar.update()
    except BaseException:
        stop.set()
        pool.shutdown(cancel_futures=True)
        raise
    finally:
        bar.close()
    pool.shutdown()


def _locked(job, launch, stop, patient):
    """Do a job unless another process is at it; False if it is, and we do not wait for it."""
    from filelock import FileLock, Timeout

    job["run"].mkdir(parents=True, exist_ok=True)
    lock = FileLock(job["run"] / ".lock")
    while not stop.is_set():
        try:
            with lock.acquire(timeout=0.5 if patient else 0):
                now = _launch.state(job["run"])
                if now == "done" or (now == "failed" and (patient or job["state"] != "failed")):
                    return True  # another sweep did it meanwhile
                _launch.clear(job["run"])
                launch(job, stop)
                _launch.close(job, stop)
                return True
        except Timeout:
            if not patient:
                return False
    return True
