"""How is one run of a sweep started, here or on a cluster, and in which state did it end?"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from ..fingerprint import ROOT
from .records import device, write_json

THREADS = ("OMP", "MKL", "OPENBLAS", "NUMEXPR")
KEPT = ("record.json", "table.csv", "log.txt", "notebook.ipynb")


def read(run):
    """The record of a run; empty where there is none, or only half of one."""
    try:
        return json.loads((run / "record.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def state(run):
    """new, done, failed, or interrupted: whatever was begun and came to no end."""
    if not (run / "record.json").exists():
        return "new"
    record = read(run)
    whole = "table" not in record or (run / "table.csv").is_file()
    if record.get("status") == "done" and whole:
        return "done"
    return "failed" if record.get("status") == "failed" else "interrupted"


def clear(run):
    """Remove what an earlier attempt left."""
    for name in KEPT:
        (run / name).unlink(missing_ok=True)


def launcher(scheduler, workers, runs, opened):
    """How many runs at once, and the function that does one."""
    from dask.system import CPU_COUNT

    if isinstance(scheduler, str) and scheduler == "local":
        slots = max(1, min(workers or CPU_COUNT // 2, runs))
        return slots, lambda job, stop: _start(job, max(1, CPU_COUNT // slots), stop)
    try:
        import distributed
    except ImportError:
        raise ImportError(
            "a sweep on a dask cluster needs the package `distributed`: pip install distributed, "
            'or leave scheduler="local" to use the cores of this machine'
        ) from None
    client = scheduler
    if isinstance(scheduler, str):
        client = opened.enter_context(distributed.Client(scheduler))
    at_once = client.nthreads()
    hosts = [address.rsplit(":", 1)[0] for address in at_once]
    per_host = max(
        (sum(n for a, n in at_once.items() if a.startswith(h)) for h in hosts), default=1
    )
    slots = max(1, min(workers or sum(at_once.values()), runs))

    def launch(job, stop):
        future = client.submit(_start_elsewhere, job, min(per_host, slots), pure=False)
        while not stop.is_set():
            try:
                content = future.result(timeout=0.5)
            except TimeoutError:
                continue
            except Exception as error:  # the worker is lost, or has no such package
                job["exit"] = repr(error)
                return
            for name, text in content.items():
                (job["run"] / name).write_text(text, "utf-8")
            return
        future.cancel()

    return slots, launch


def close(job, stop):
    """Give a run that ended without a word a record that says so."""
    record = read(job["run"])
    if record.get("status") in ("done", "failed"):
        return
    log = job["run"] / "log.txt"
    tail = log.read_text("utf-8", "replace")[-4000:] if log.exists() else ""
    record = job["record"] | record
    record["status"] = "interrupted" if stop.is_set() else "failed"
    record["error"] = (
        "interrupted" if stop.is_set() else f"the process ended with {job.get('exit')}{_why(job)}"
    )
    record |= {"traceback": tail, "device": device()}
    now = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
    record["run"] = {"started": now} | record["run"]
    write_json(job["run"] / "record.json", record)


def _why(job):
    return ": killed, perhaps for want of memory" if job.get("exit") == -9 else ""


def _start(job, threads, stop):
    """Do one job in a process of its own; stop it when the sweep stops."""
    paths = [path or os.getcwd() for path in sys.path]
    share = {f"{name}_NUM_THREADS": str(threads) for name in THREADS}
    record = job["record"] | {"run": {"threads": threads}}
    line = json.dumps(job | {"run": str(job["run"]), "record": record}) + "\n"
    with open(job["run"] / "log.txt", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "toolkit.runs._worker"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd=ROOT,
            env=os.environ | share | {"PYTHONPATH": os.pathsep.join([str(ROOT), *paths])},
            start_new_session=True,  # Ctrl-C reaches the sweep, which ends its runs in good order
        )
        try:
            process.stdin.write(line.encode())
            process.stdin.flush()
        except BrokenPipeError:
            pass  # it could not even start; its log says why
        while process.poll() is None:
            if stop.is_set():
                _end(process)
            else:
                try:
                    process.wait(0.2)
                except subprocess.TimeoutExpired:
                    continue
        process.stdin.close()
    job["exit"] = process.returncode


def _end(process):
    import psutil

    try:
        family = psutil.Process(process.pid)
        for each in [*family.children(recursive=True), family]:
            each.kill()
    except psutil.Error:
        pass
    process.wait()


def _start_elsewhere(job, at_once):
    """Do one job on a worker of a cluster, and bring back its files."""
    from dask.system import CPU_COUNT

    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        job = job | {"run": run}
        _start(job, max(1, CPU_COUNT // at_once), threading.Event())
        close(job, threading.Event())
        return {n: (run / n).read_text("utf-8") for n in KEPT if (run / n).exists()}
