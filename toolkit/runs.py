"""How is a notebook executed with parameters, recorded and collated?

A run is a folder ``build/runs/<notebook>/<key>/`` with the executed ``notebook.ipynb`` and a
``record.json``. The key is a hash of everything the result depends on (`toolkit.fingerprint`). A
run whose key is unchanged is not executed again.
"""

import ast
import json
import math
import numbers
import os
import platform
import sys
import threading
import time
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path

from .fingerprint import ROOT, key, versions

RUNS = ROOT / "build" / "runs"
NOTEBOOKS = ROOT / "notebooks"
MIME = "application/vnd.toolkit.record+json"
PROFILES = ("smoke", "quick", "paper")


def find(notebook):
    """Find a notebook by path, name or number.

    Parameters
    ----------
    notebook : str or Path
        ``"01"``, ``"01_night_lights"`` or a path to a notebook.

    Returns
    -------
    Path

    Raises
    ------
    FileNotFoundError
        No notebook, or more than one, fits; the message lists those there are.

    Examples
    --------
    >>> find("01").name
    '01_night_lights.ipynb'
    """
    if Path(notebook).suffix == ".ipynb" and Path(notebook).is_file():
        return Path(notebook).resolve()
    stem = Path(notebook).stem
    known = sorted(NOTEBOOKS.glob("*.ipynb"))
    hits = [p for p in known if p.stem == stem] or [p for p in known if p.stem.startswith(stem)]
    if len(hits) != 1:
        what = "no notebook" if not hits else "more than one notebook"
        raise FileNotFoundError(
            f"{what} fits {str(notebook)!r}; there are {', '.join(p.stem for p in known)}"
        )
    return hits[0]


def parameters(notebook):
    """List the parameters of a notebook, from its cell tagged ``parameters``.

    Parameters
    ----------
    notebook : str or Path
        As in `find`.

    Returns
    -------
    pandas.DataFrame
        Indexed by name: ``type``, ``default`` and ``help`` (the comment behind the value).

    Raises
    ------
    ValueError
        The notebook has no such cell, or a default that is not a plain literal.

    Examples
    --------
    >>> parameters("01").loc["seed", "type"]
    'int'
    """
    import pandas as pd
    import papermill

    path = find(notebook)
    found = papermill.inspect_notebook(str(path))
    if not found:
        raise ValueError(f"{path.name}: no cell is tagged 'parameters', so it takes none")
    rows = {}
    for name, about in found.items():
        try:
            default = ast.literal_eval(about["default"])
        except (ValueError, SyntaxError):
            raise ValueError(
                f"{path.name}: the default of parameter {name!r} is {about['default']}, "
                "not a plain number, text, list or None"
            ) from None
        rows[name] = {"type": type(default).__name__, "default": default, "help": about["help"]}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["type", "default", "help"])


def check(notebook, given):
    """Check parameters against a notebook before any kernel starts.

    Parameters
    ----------
    notebook : str or Path
        As in `find`.
    given : dict
        Parameter values by name. Text is read as the parameter's type where it can be, so that
        values from a command line need no quoting; a whole number passes for a float.

    Returns
    -------
    dict
        Every parameter of the notebook, with defaults filled in.

    Raises
    ------
    ValueError
        An unknown name (the nearest is suggested), a value of another type, or an unknown profile.

    Examples
    --------
    >>> check("01", {"seed": "7"})["seed"]
    7
    """
    table = parameters(notebook)
    values = dict(zip(table.index, table["default"], strict=True))
    for name, value in given.items():
        if name not in values:
            near = get_close_matches(name, values, 1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(
                f"{find(notebook).name} has no parameter {name!r}: {hint}"
                f"It has {', '.join(values)}."
            )
        values[name] = _convert(name, value, values[name], table.loc[name, "help"])
    if "profile" in values and values["profile"] not in PROFILES:
        raise ValueError(f"profile is {values['profile']!r}; choose one of {', '.join(PROFILES)}")
    return values


def _convert(name, value, default, help):
    wanted = type(default)
    if isinstance(value, str) and wanted is not str:
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            value = {"true": True, "false": False}.get(value.lower(), value)
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if default is None or type(value) is wanted:
        return value
    raise ValueError(
        f"parameter {name!r} must be of type {wanted.__name__} (default {default!r}"
        f"{'; ' + help if help else ''}), got {value!r}"
    )


def execute(notebook, given=None, *, reuse=True, progress=True, folder=None):
    """Execute a notebook with parameters and keep what it made.

    Parameters
    ----------
    notebook : str or Path
        As in `find`.
    given : dict, optional
        Parameters that differ from the defaults.
    reuse : bool
        Return a finished run of the same key instead of executing again.
    progress : bool
        Show a progress bar over the cells.
    folder : Path, optional
        Where runs are kept; ``build/runs`` by default.

    Returns
    -------
    Path
        The run's folder, with ``notebook.ipynb`` and ``record.json``.

    Raises
    ------
    ValueError
        A parameter that the notebook does not have, or of another type.
    RuntimeError
        A cell failed. The executed notebook up to that cell and the record, with the error and
        all metrics recorded before it, are kept.

    Examples
    --------
    >>> folder = execute("01", {"profile": "smoke"})  # doctest: +SKIP
    """
    import papermill

    path = find(notebook)
    values = check(path, given or {})
    code = key([cell.source for cell in _code(_read(path))], values)
    run = Path(folder or RUNS) / path.stem / code
    if reuse and _finished(run):
        _take_markdown(path, run / "notebook.ipynb")
        return run
    run.mkdir(parents=True, exist_ok=True)
    record = {
        "notebook": path.stem,
        "key": code,
        "parameters": values,
        "seed": values.get("seed"),
        "versions": versions(),
        "status": "running",
        "run": {"started": datetime.now(UTC).isoformat(timespec="seconds")},
    }
    _write_json(run / "record.json", record)
    started, memory = time.perf_counter(), _PeakMemory()
    try:
        with memory:
            papermill.execute_notebook(
                str(path),
                str(run / "notebook.ipynb"),
                parameters=given and {name: values[name] for name in given},
                kernel_name="python3",
                start_timeout=180,
                progress_bar=progress,
                cwd=str(ROOT),
                log_output=False,
            )
        record["status"] = "done"
    except papermill.PapermillExecutionError as error:
        record |= {
            "status": "failed",
            "error": f"{error.ename}: {error.evalue}",
            "cell": error.cell_index,
        }
        raise RuntimeError(
            f"{path.name} failed in cell {error.cell_index}: {error.ename}: {error.evalue}\n"
            f"The notebook up to that cell is {run / 'notebook.ipynb'}"
        ) from error
    except BaseException as error:
        record |= {"status": "interrupted", "error": repr(error)}
        raise
    finally:
        record |= _collect(run / "notebook.ipynb")
        record["run"] |= {
            "seconds": round(time.perf_counter() - started, 1),
            "peak_memory_mb": memory.peak_mb,
        }
        _write_json(run / "record.json", record)
    return run


def record(metrics=None, **more):
    """Record results of a notebook, so that they can be read without opening it.

    Called in a notebook, it shows the values as a folded table. The executed notebook carries them,
    together with the checksums of the data opened so far and the device, and `execute` writes them
    into the run's record. Later calls add to earlier ones.

    Parameters
    ----------
    metrics : dict, pandas.DataFrame or pandas.Series, optional
        Values by name; tables keep rows and columns.
    **more
        Further values by name. Numbers are kept to six significant digits, not-a-number as None.

    Returns
    -------
    Record
        What the notebook shows.

    Examples
    --------
    >>> record(f1=0.5).metrics
    {'f1': 0.5}
    """
    from . import catalog

    values = _plain(metrics if metrics is not None else {}) | _plain(more)
    return Record(values, catalog.opened(), _device())


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


def _plain(value):
    """Turn tables, arrays' scalars and numbers into what JSON can hold."""
    if hasattr(value, "to_frame"):  # a Series
        return _plain(value.to_dict())
    if hasattr(value, "to_dict"):  # a DataFrame, by rows
        return _plain(value.to_dict(orient="index"))
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        return float(f"{float(value):.6g}") if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool) else str(value)


def _device():
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{platform.machine()} CPU, {os.cpu_count()} cores"


def _collect(notebook):
    """Metrics, data and device that the outputs of an executed notebook carry."""
    found = {"metrics": {}, "data": {}, "device": _device()}
    if notebook.exists():
        for cell in _code(_read(notebook)):
            for output in cell.outputs:
                bundle = output.get("data", {}).get(MIME)
                if bundle:
                    found["metrics"] |= bundle["metrics"]
                    found["data"] |= bundle["data"]
                    found["device"] = bundle["device"]
    return found


def _finished(run):
    """Whether a run is complete; its key says that it is the one asked for."""
    try:
        kept = json.loads((run / "record.json").read_text("utf-8"))
        _read(run / "notebook.ipynb")
        return kept["status"] == "done"
    except (OSError, ValueError, KeyError):
        return False


def _take_markdown(source, executed):
    """Give an executed notebook the text of its source as it is now; the code has not changed."""
    import nbformat

    new, old = _read(source), _read(executed)
    done = iter(_code(old))
    injected = [c for c in old.cells if "injected-parameters" in c.metadata.get("tags", [])]
    cells = []
    for cell in new.cells:
        cells.append(next(done) if cell.cell_type == "code" else cell)
        if "parameters" in cell.metadata.get("tags", []):
            cells += injected
    if [c.source for c in cells] != [c.source for c in old.cells]:
        old.cells = cells
        nbformat.write(old, executed)


def _read(path):
    import nbformat

    return nbformat.read(path, as_version=4)


def _code(notebook):
    """Code cells as the author wrote them, without the one that papermill injects."""
    return [
        cell
        for cell in notebook.cells
        if cell.cell_type == "code" and "injected-parameters" not in cell.metadata.get("tags", [])
    ]


def _write_json(path, content):
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")
    os.replace(part, path)


class _PeakMemory(threading.Thread):
    """Largest resident memory of this process's children (the kernel), sampled while it runs."""

    def __init__(self, seconds=0.5):
        super().__init__(daemon=True)
        self.peak_mb, self._seconds, self._stop_now = 0, seconds, threading.Event()

    def run(self):
        import psutil

        me = psutil.Process()
        while not self._stop_now.wait(self._seconds):
            total = 0
            for child in me.children(recursive=True):
                try:
                    total += child.memory_info().rss
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
        Where to look; ``build/runs`` and ``results`` by default.

    Returns
    -------
    pandas.DataFrame
        One row a run, oldest first: notebook, status, parameters (``parameters.seed``), metrics
        (``metrics.f1``), seconds, peak memory in MB, device. Unreadable records are left out with
        a warning.

    Examples
    --------
    >>> table().columns[:2].tolist()  # doctest: +SKIP
    ['notebook', 'key']
    """
    import warnings

    import pandas as pd

    rows = []
    for folder in folders or (RUNS, ROOT / "results"):
        for path in sorted(Path(folder).rglob("*record.json")):
            try:
                rows.append(json.loads(path.read_text("utf-8")))
            except (OSError, ValueError) as error:
                warnings.warn(f"left out {path}: {error}", stacklevel=2)
    if not rows:
        return pd.DataFrame(columns=["notebook", "key", "status"])
    return pd.json_normalize(rows).sort_values("run.started", ignore_index=True)
