"""What is a record, and how do many become one table?"""

import json
import math
import numbers
import os
import platform
import sys
import threading
from pathlib import Path

from ..fingerprint import ROOT

RUNS = ROOT / "build" / "runs"
SWEEPS = ROOT / "build" / "sweeps"
BOOKKEEPING = ("seconds", "peak_memory_mb", "status", "error", "key")
MIME = "application/vnd.toolkit.record+json"


class Record:
    """Results on their way from a notebook to the record of its run; see `record`."""

    def __init__(self, metrics, data, device):
        self.metrics, self.data, self.device = metrics, data, device

    def _repr_mimebundle_(self, include=None, exclude=None):
        import pandas as pd

        flat = pd.json_normalize(self.metrics, sep=" · ").T.rename(columns={0: "recorded"})
        return {
            "text/plain": repr(flat),
            "text/html": f"<details><summary>{len(flat)} values recorded</summary>"
            f"{flat.to_html(na_rep='undefined')}</details>",
            MIME: vars(self),
        }


def plain(value):
    """Turn tables, arrays' scalars and numbers into what JSON can hold."""
    if hasattr(value, "to_frame"):  # a Series
        return plain(value.to_dict())
    if hasattr(value, "to_dict"):  # a DataFrame, by rows
        return plain(value.to_dict(orient="index"))
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        return float(f"{float(value):.6g}") if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool) else str(value)


def device():
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{platform.machine()} CPU, {os.cpu_count()} cores"


def write_json(path, content):
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")
    os.replace(part, path)


class PeakMemory(threading.Thread):
    """Largest resident memory of this process's children (the kernel), sampled while it runs.

    With `own`, this process counts too: a function has no kernel.
    """

    def __init__(self, seconds=0.5, own=False):
        super().__init__(daemon=True)
        self.peak_mb, self._seconds, self._own = 0, seconds, own
        self._stop_now = threading.Event()

    def run(self):
        import psutil

        me, stop = psutil.Process(), False
        while not stop:
            stop = self._stop_now.wait(self._seconds)
            total = 0
            for process in [*([me] if self._own else []), *me.children(recursive=True)]:
                try:
                    total += process.memory_info().rss
                except psutil.Error:
                    continue
            self.peak_mb = max(self.peak_mb, round(total / 2**20))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        self._stop_now.set()
        self.join()


def table(*folders):
    """Collate the records of all runs into one table.

    Parameters
    ----------
    *folders : Path
        Where to look; ``build/runs``, ``build/sweeps`` and ``results`` by default.

    Returns
    -------
    pandas.DataFrame
        One row a run, oldest first: notebook (or ``experiment`` for a function), status,
        parameters (``parameters.seed``), metrics (``metrics.f1``), seconds, peak memory in MB,
        device. Unreadable records are left out with a warning. `collate` makes a tidy table of the
        runs of a sweep.

    Examples
    --------
    >>> table().columns[:2].tolist()  # doctest: +SKIP
    ['notebook', 'key']
    """
    import pandas as pd

    places = folders or (RUNS, SWEEPS, ROOT / "results")
    rows = [r for place in places for _, r in read_all(Path(place).rglob("*record.json"))]
    if not rows:
        return pd.DataFrame(columns=["notebook", "key", "status"])
    return pd.json_normalize(rows).sort_values("run.started", ignore_index=True)


def collate(place=None, *, latest=True):
    """Collate the runs of sweeps into one tidy table.

    Parameters
    ----------
    place : Path, optional
        A folder of runs, or the ``record.json`` of one; ``build/sweeps`` by default.
    latest : bool
        Of several runs of the same parameters (by code that has changed since), take the newest.

    Returns
    -------
    pandas.DataFrame
        One row a run, or as many as the table that the experiment returned: experiment,
        parameters, results (nested names joined by a dot), seconds, peak_memory_mb, status, key,
        and error where a run failed. A parameter that shares its name with a result, or with one of
        these last five, becomes ``parameters.<name>``; a result called like one of the five becomes
        ``results.<name>``. Lists among the parameters are JSON text, so that rows can be
        grouped by them. ``attrs["folder"]`` is where the records lie.

    Raises
    ------
    FileNotFoundError
        Nothing was recorded there.

    Examples
    --------
    >>> collate().groupby("network")["iou"].agg(["min", "max"])  # doctest: +SKIP
    """
    place = Path(place or SWEEPS)
    paths = [place] if place.is_file() else place.rglob("record.json")
    found = {}
    begun = sorted(  # two runs may begin within one second
        read_all(paths),
        key=lambda item: (item[1]["run"].get("started", ""), item[0].stat().st_mtime_ns),
    )
    for path, record in begun:
        same = json.dumps([name_of(record), record["parameters"]], sort_keys=True)
        found[same if latest else path] = path, record
    if not found:
        raise FileNotFoundError(f"no run is recorded in {place}; `toolkit sweep` makes them")
    return tidy(found.values(), place.parent if place.is_file() else place)


def tidy(found, folder):
    """One tidy table of (path, record) pairs; see `collate`."""
    import pandas as pd

    frames = []
    for path, record in found:
        flat = pd.json_normalize(record.get("metrics") or {})
        flat = flat.astype({name: float for name in flat if flat[name].isna().all()})
        frame = flat if len(flat) else pd.DataFrame(index=[0])
        if "table" in record and record["status"] == "done":
            frame = pd.read_csv(path.with_name("table.csv"))
        frame = frame.rename(columns={n: f"results.{n}" for n in BOOKKEEPING if n in frame})
        parts = {"experiment": name_of(record)}
        for name, value in record["parameters"].items():
            value = json.dumps(value) if isinstance(value, list | dict) else value
            known = name in frame or name in BOOKKEEPING
            parts[f"parameters.{name}" if known else name] = value
        parts = {name: value for name, value in parts.items() if name not in frame}
        frame = pd.concat([pd.DataFrame(parts, index=frame.index), frame], axis=1)
        frame["seconds"] = record["run"].get("seconds")
        frame["peak_memory_mb"] = record["run"].get("peak_memory_mb")
        frame["status"], frame["key"] = record["status"], record["key"]
        if record["status"] != "done":
            frame["error"] = record.get("error", record["status"])
        frames.append(frame)
    table = pd.concat(frames, ignore_index=True)
    last = [name for name in BOOKKEEPING if name in table]
    table = table[[name for name in table if name not in last] + last]
    table.attrs["folder"] = str(folder)
    return table


def name_of(record):
    """What was run: the notebook's name, or ``package.module:function``."""
    return record.get("experiment") or record.get("notebook")


def read_all(paths):
    """(path, record) of each readable record; others are left out with a warning."""
    import warnings

    found = []
    for path in sorted(paths):
        try:
            found.append((path, json.loads(path.read_text("utf-8"))))
        except (OSError, ValueError) as error:
            warnings.warn(f"left out {path}: {error}", stacklevel=3)
    return found
