"""One run of a sweep, in a process of its own: ``python -m toolkit.runs._worker``.

The job comes as one line of JSON on standard input. The line stays open as long as the sweep lives:
when it closes, the sweep was killed, and a run that nobody waits for stops too.
"""

import json
import os
import sys
import threading
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path

from ..fingerprint import versions
from . import experiments, notebooks
from .records import PeakMemory, device, plain, write_json


def main():
    """Do the job; exit with 0 whether the experiment succeeded or failed: its record tells."""
    line = os.fdopen(os.dup(0), "rb", buffering=0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    job = json.loads(line.readline())
    threading.Thread(target=_stop_with, args=(line.fileno(),), daemon=True).start()
    run, record = Path(job["run"]), job["record"]
    if job["kind"] == "notebook":
        try:
            notebooks.execute_into(
                run, Path(job["target"]), record["parameters"], job["given"], more=record
            )
        except RuntimeError:
            traceback.print_exc()
        return
    _function(run, record, job["target"], job["given"])


def _stop_with(parent):
    os.read(parent, 1)
    os._exit(1)


def _function(run, record, target, given):
    record |= {"versions": versions(), "status": "running"}
    record["run"] |= {"started": datetime.now(UTC).isoformat(timespec="seconds")}
    write_json(run / "record.json", record)
    started, memory = time.perf_counter(), PeakMemory(own=True)
    try:
        with memory:
            record |= keep(run, experiments.load(target)(**given))
        record["status"] = "done"
    except Exception as error:
        record |= {
            "status": "failed",
            "error": f"{type(error).__name__}: {error}",
            "traceback": traceback.format_exc(),
        }
        traceback.print_exc()
    catalog = sys.modules.get("toolkit.catalog")
    record["data"] = record["data"] | (catalog.opened() if catalog else {})
    record["device"] = device()
    record["run"] |= {
        "seconds": round(time.perf_counter() - started, 1),
        "peak_memory_mb": memory.peak_mb,
    }
    write_json(run / "record.json", record)


def keep(run, result):
    """Keep what an experiment returned: numbers in the record, a table beside it."""
    if isinstance(result, dict) and result:
        return {"metrics": plain(result)}
    import pandas as pd

    if isinstance(result, list) and result and all(isinstance(row, dict) for row in result):
        result = pd.DataFrame(result)
    if isinstance(result, pd.DataFrame):
        if not len(result):
            raise ValueError("the experiment returned a table without rows")
        counted = isinstance(result.index, pd.RangeIndex) and result.index.name is None
        table = result.reset_index(drop=counted)
        table.columns = [str(name) for name in table.columns]
        part = run / "table.part"
        table.to_csv(part, index=False, float_format="%.6g", lineterminator="\n")
        os.replace(part, run / "table.csv")
        return {"metrics": {}, "table": {"rows": len(table), "columns": list(table.columns)}}
    if isinstance(result, pd.Series) and len(result):
        return {"metrics": plain(result)}
    raise TypeError(
        "an experiment returns a dict, a Series or a DataFrame of numbers; this one returned "
        f"{type(result).__name__}{'' if result is None or len(str(result)) > 60 else f' {result}'}"
    )


if __name__ == "__main__":
    main()
