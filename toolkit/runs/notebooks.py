"""How is one notebook executed with parameters and recorded?

A run is a folder ``build/runs/<notebook>/<key>/`` with the executed ``notebook.ipynb`` and a
``record.json``. The key is a hash of everything the result depends on (`toolkit.fingerprint`). A
run whose key is unchanged is not executed again.
"""

import ast
import json
import re
import time
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path

from ..fingerprint import ROOT, key, versions
from .records import MIME, RUNS, PeakMemory, Record, device, plain, write_json

NOTEBOOKS = ROOT / "notebooks"
PROFILES = ("smoke", "quick", "paper")
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


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
        values[name] = convert(name, value, values[name], table.loc[name, "help"])
    if "profile" in values and values["profile"] not in PROFILES:
        raise ValueError(f"profile is {values['profile']!r}; choose one of {', '.join(PROFILES)}")
    return values


def convert(name, value, default, help):
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
    path = find(notebook)
    values = check(path, given or {})
    code = notebook_key(path, values)
    run = Path(folder or RUNS) / path.stem / code
    if reuse and _finished(run):
        _take_markdown(path, run / "notebook.ipynb")
        return run
    execute_into(run, path, values, given, progress=progress)
    return run


def notebook_key(path, values):
    """Key of a run: what its result depends on."""
    return key([cell.source for cell in _code(_read(path))], values)


def execute_into(run, path, values, given, *, progress=False, more=None):
    """Execute the notebook at `path` in the folder `run`, whatever is there already."""
    import papermill

    run.mkdir(parents=True, exist_ok=True)
    record = {
        "notebook": path.stem,
        "key": run.name,
        "parameters": values,
        "seed": values.get("seed"),
        "versions": versions(),
        "status": "running",
        "run": {"started": datetime.now(UTC).isoformat(timespec="seconds")},
    }
    more = more or {}
    record |= more | {"run": record["run"] | more.get("run", {})}
    write_json(run / "record.json", record)
    started, memory = time.perf_counter(), PeakMemory()
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
            "traceback": COLOURS.sub("", "\n".join(error.traceback or [])),
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
        found = _collect(run / "notebook.ipynb")
        found["data"] = record.get("data", {}) | found["data"]
        record |= found
        record["run"] |= {
            "seconds": round(time.perf_counter() - started, 1),
            "peak_memory_mb": memory.peak_mb,
        }
        write_json(run / "record.json", record)


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
    from .. import catalog

    values = plain(metrics if metrics is not None else {}) | plain(more)
    return Record(values, catalog.opened(), device())


def _collect(notebook):
    """Metrics, data and device that the outputs of an executed notebook carry."""
    found = {"metrics": {}, "data": {}, "device": device()}
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
