"""How does a long sweep become a small committed file, and does a live part still agree with it?

A published sweep is a pair below ``results/``: ``NAME.csv``, one tidy table, and ``NAME.json``,
where it comes from. Notebooks read it, say so, and compute a named part of it again.
"""

import contextlib
import hashlib
import json
import re
import warnings
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path

from ..fingerprint import ROOT
from .records import BOOKKEEPING, collate, name_of, read_all

RESULTS = ROOT / "results"
LARGE = 2**20  # bytes; a committed table should stay below
UNITS = (("hours", 3600), ("minutes", 60), ("seconds", 1))
NOT_METRICS = {"seed", "seconds", "peak_memory_mb"}


def publish(sweep, name, *, again=None, folder=None):
    """Write a sweep as one small pair of files that can be committed.

    Parameters
    ----------
    sweep : pandas.DataFrame or Path
        What `sweep` or `collate` returned, or a folder of runs. Rows and columns may have been
        left out; the column ``key`` must still be there, it leads to the records.
    name : str
        Name of the pair, such as ``"ifcn_ablation"``; ``"results/ifcn_ablation"`` is the same.
    again : str, optional
        How to run it again, if not as the sweep was.
    folder : Path, optional
        Where to write; ``results/`` at the root of the repository by default.

    Returns
    -------
    Path
        The table. Beside it lies the JSON file with date, devices, versions, parameters that
        varied and that did not, seeds, checksums of the data, fingerprint of the code, failed
        runs, and the checksum of the table.

    Raises
    ------
    ValueError
        A table that does not lead to its records, no finished run, or a name that is no plain
        file name.

    Examples
    --------
    >>> publish(sweep("results/ifcn_ablation.yaml"), "ifcn_ablation")  # doctest: +SKIP
    """
    table = collate(sweep) if not hasattr(sweep, "columns") else sweep
    stem = re.sub(r"^results/|\.csv$", "", str(name))
    if not re.fullmatch(r"[a-z0-9][a-z0-9_]*", stem):
        raise ValueError(f"name {name!r}: use lower case, digits and _, such as 'ifcn_ablation'")
    records = _records(table)
    done = table[table["status"] == "done"]
    if done.empty:
        raise ValueError(f"{stem}: none of the {len(records)} runs is finished, nothing to publish")
    good = [record for record in records if record["status"] == "done"]
    bad = [record for record in records if record["status"] != "done"]
    if bad:
        warnings.warn(
            f"{stem}: {len(bad)} of {len(records)} runs are not finished and only listed in "
            f"{stem}.json",
            stacklevel=2,
        )
    varied, fixed = _parameters(records)
    constant = [f"parameters.{n}" if f"parameters.{n}" in done else n for n in fixed]
    constant += ["experiment"] * ("experiment" in done and done["experiment"].nunique() == 1)
    flat = done.drop(columns=[*constant, "status", "error", "key"], errors="ignore")
    flat = flat.dropna(axis=1, how="all").convert_dtypes(convert_string=False)
    text = flat.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    about = {
        "name": stem,
        "title": table.attrs.get("title", ""),
        "experiment": sorted({name_of(record) for record in good}),
        "again": again or table.attrs.get("again") or good[-1].get("again"),
        "date": max(record["run"]["started"] for record in good)[:10],
        "published": datetime.now(UTC).date().isoformat(),
        "runs": len(good),
        "failed": [
            {"parameters": r["parameters"], "error": _clean(r.get("error", r["status"]))}
            for r in bad
        ],
        "seeds": sorted({r["seed"] for r in good if r.get("seed") is not None}),
        "parameters": {"varied": varied, "fixed": fixed},
        "data": {n: s for record in good for n, s in sorted(record.get("data", {}).items())},
        "device": sorted({str(record.get("device")) for record in good}),
        "versions": _versions(good),
        "code": sorted({str(record.get("code")) for record in good}),
        "seconds": round(sum(record["run"].get("seconds", 0) for record in good), 1),
        "peak_memory_mb": max(record["run"].get("peak_memory_mb", 0) for record in good),
        "rows": len(flat),
        "columns": {n: _kind(flat[n]) for n in flat},
        "checksum": _sha256(text),
    }
    if len(text) > LARGE:
        warnings.warn(
            f"{stem}.csv has {len(text) / 2**20:.1f} MB: too much to commit; leave out columns or "
            "thin the rows before you publish",
            stacklevel=2,
        )
    target = Path(folder or RESULTS) / f"{stem}.csv"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, "utf-8", newline="\n")
    described = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
    target.with_suffix(".json").write_text(described, "utf-8", newline="\n")
    return target


def _records(table):
    if "key" not in table or "folder" not in table.attrs:
        raise ValueError(
            "this table does not lead to its records: publish what runs.sweep or runs.collate "
            "returned, with its column `key` and its attrs (pandas drops them in a merge)"
        )
    keys = set(table["key"])
    found = read_all(Path(table.attrs["folder"]).rglob("record.json"))
    records = [record for _, record in found if record["key"] in keys]
    missing = keys - {record["key"] for record in records}
    if missing:
        raise ValueError(
            f"no record of {', '.join(sorted(missing)[:3])} in {table.attrs['folder']} any more: "
            "sweep again"
        )
    return sorted(records, key=lambda record: record["run"]["started"])


def _parameters(records):
    """Parameters that differ between the runs, with their values, and those that do not."""
    names = dict.fromkeys(name for record in records for name in record["parameters"])
    values = {}
    for name in names:
        texts = dict.fromkeys(json.dumps(r["parameters"].get(name)) for r in records)
        values[name] = [json.loads(text) for text in texts]
        with contextlib.suppress(TypeError):  # names among numbers have no order
            values[name].sort()
    varied = {name: each for name, each in values.items() if len(each) > 1}
    return varied, {name: each[0] for name, each in values.items() if len(each) == 1}


def _versions(records):
    """Version of each library; all of them where runs differ."""
    found = {}
    for record in records:
        for name, version in record.get("versions", {}).items():
            found.setdefault(name, {})[version] = None
    return {name: ", ".join(each) for name, each in found.items()}


def _kind(column):
    from pandas.api import types

    if types.is_bool_dtype(column.dtype):
        return "bool"
    if types.is_integer_dtype(column.dtype):
        return "int"
    return "float" if types.is_numeric_dtype(column.dtype) else "text"


def _clean(error):
    """First line of an error, without the folders of the machine that it happened on."""
    line = str(error).splitlines()[0] if str(error) else ""
    return line.replace(str(ROOT), ".").replace(str(Path.home()), "~")


def _sha256(text):
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def results(name, *, folder=None):
    """Read a published sweep.

    Parameters
    ----------
    name : str
        As given to `publish`.
    folder : Path, optional
        Where it lies; ``results/`` at the root of the repository by default.

    Returns
    -------
    pandas.DataFrame
        The tidy table. ``attrs`` say where it comes from: name, title, experiment, again (how to
        run it again), date, device, versions, parameters (``varied`` and ``fixed``), seeds, runs,
        failed, data (checksums), code, seconds, checksum.

    Raises
    ------
    FileNotFoundError
        There is no such pair; the message lists those there are.
    ValueError
        The table is not the one that was published.

    Examples
    --------
    >>> results("ifcn_ablation").attrs["date"]  # doctest: +SKIP
    """
    import io

    import pandas as pd

    stem = re.sub(r"^results/|\.csv$", "", str(name))
    place = Path(folder or RESULTS)
    table, beside = place / f"{stem}.csv", place / f"{stem}.json"
    for path in (table, beside):
        if not path.is_file():
            known = sorted(p.stem for p in place.glob("*.csv"))
            near = get_close_matches(stem, [n for n in known if n != stem], 1)
            raise FileNotFoundError(
                f"no {place.name}/{path.name}: {f'did you mean {near[0]!r}? ' if near else ''}"
                f"There are {', '.join(known) or 'none'}. Published sweeps come with the "
                f"repository; `toolkit sweep results/{stem}.yaml --publish` makes this one anew"
            )
    try:
        about = json.loads(beside.read_text("utf-8"))
        again, kinds, rows = about["again"], about["columns"], about["rows"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{place.name}/{beside.name} is damaged ({error!r}): restore it with "
            f"`git checkout -- results/{stem}.json`"
        ) from None
    text = table.read_text("utf-8")  # line ends as written, whatever git made of them
    if _sha256(text) != about["checksum"]:
        lines = max(0, text.count("\n") - 1)
        what = f"{lines} of {rows} rows" if lines != rows else "its content was changed"
        raise ValueError(
            f"{place.name}/{table.name} is not the table that was published ({what}): restore it "
            f"with `git checkout -- results/{stem}.csv`, or make it anew: {again}"
        )
    dtypes = {name: {"text": str, "int": "Int64"}.get(kind) for name, kind in kinds.items()}
    frame = pd.read_csv(
        io.StringIO(text),
        dtype={name: kind for name, kind in dtypes.items() if kind},
        keep_default_na=False,
        na_values=[""],
    )
    whole = [n for n, kind in kinds.items() if kind == "int" and frame[n].notna().all()]
    frame = frame.astype(dict.fromkeys(whole, "int64"))
    frame.attrs = about
    return frame


def provenance(table):
    """Say in a notebook where a published table comes from and how to run it again.

    Parameters
    ----------
    table : pandas.DataFrame
        As `results` returned it.

    Returns
    -------
    IPython.display.Markdown
        One paragraph: date, device, number of runs and seeds, versions, time, command.

    Raises
    ------
    ValueError
        The table has lost its ``attrs``.

    Examples
    --------
    >>> provenance(results("ifcn_ablation"))  # doctest: +SKIP
    """
    from IPython.display import Markdown

    about = table.attrs
    if "again" not in about or "device" not in about:
        raise ValueError(
            "this table says no longer where it comes from: give it as runs.results read it"
        )
    seeds = about["seeds"]
    libraries = ", ".join(
        f"{name} {about['versions'][name]}"
        for name in ("python", "torch", "fastai", "numpy")
        if name in about["versions"]
    )
    failed = f" {len(about['failed'])} more did not finish." if about["failed"] else ""
    unit, size = next((u, s) for u, s in UNITS if about["seconds"] >= s or s == 1)
    spent = f"{about['seconds'] / size:.3g} {unit}"
    return Markdown(
        f"*Recorded, not computed on this page:* `results/{about['name']}.csv`, {about['date']}, "
        f"on {' and '.join(about['device'])}; {about['runs']} runs"
        f"{f', {len(seeds)} seeds' if len(seeds) > 1 else ''}, {spent} of computing in all; "
        f"{libraries}.{failed} To run it again: `{about['again']}`"
    )


def drift(results, live, by=(), *, metrics=None, tolerance=0.0):
    """Say whether numbers computed now lie within the spread of published ones.

    The spread of a metric goes from its smallest to its largest published value (over the seeds,
    and whatever else is not in `by`), widened by the tolerance on both sides.

    Parameters
    ----------
    results : pandas.DataFrame
        As `results` read it.
    live : pandas.DataFrame, pandas.Series or dict
        The same metrics, computed now, with the columns `by`.
    by : sequence of str
        Columns that say what belongs together, such as ``["network", "iteration"]``.
    metrics : sequence of str, optional
        Columns to compare; by default all numbers that both have, without parameters, seed, time
        and memory.
    tolerance : float or dict of str to float
        In the units of the metric; a dict gives one per metric, 0 for those that it leaves out.

    Returns
    -------
    pandas.DataFrame
        One row per row of `live` and metric: `by`, metric, live, low, high (widened), values
        (how many published ones there are), outside (how far; 0 within), within. A metric that is
        not defined lies within only where published values are not defined either.

    Raises
    ------
    ValueError
        A column that is missing, no metric in common, or a live row without published ones.

    Examples
    --------
    >>> import pandas as pd
    >>> old = pd.DataFrame({"network": ["a", "a"], "seed": [1, 2], "iou": [0.50, 0.54]})
    >>> drift(old, {"network": "a", "iou": 0.57}, by=["network"], tolerance=0.02)["within"].tolist()
    [False]
    """
    import numpy as np
    import pandas as pd

    by = [by] if isinstance(by, str) else list(by)
    live = pd.DataFrame([live]) if isinstance(live, dict | pd.Series) else live
    fixed = results.attrs.get("parameters", {}).get("fixed", {})
    results = results.assign(**{n: fixed[n] for n in by if n in fixed and n not in results})
    for what, frame in (("results", results), ("live", live)):
        missing = [name for name in by if name not in frame]
        if missing:
            raise ValueError(f"drift: {what} has no column {', '.join(missing)} to compare by")
    metrics = _common(results, live, by) if metrics is None else list(metrics)
    missing = [name for name in metrics if name not in results or name not in live]
    if missing or not metrics:
        raise ValueError(
            f"drift: {', '.join(missing) or 'no metric'} is in both tables; results has "
            f"{', '.join(results)}; live has {', '.join(live)}"
        )
    rows = []
    for row in live.to_dict("records"):
        same = results
        for name in by:
            same = same[same[name].isna() if pd.isna(row[name]) else same[name] == row[name]]
        if same.empty:
            what = ", ".join(f"{name}={row[name]!r}" for name in by)
            raise ValueError(f"drift: nothing is published for {what or 'an empty table'}")
        for name in metrics:
            allowed = tolerance.get(name, 0.0) if isinstance(tolerance, dict) else tolerance
            known, value = same[name].dropna().astype(float), float(row[name])
            low = known.min() - allowed if len(known) else np.nan
            high = known.max() + allowed if len(known) else np.nan
            # Rounding to six digits, as published, is no drift.
            slack = 1e-5 * max(abs(low), abs(high)) if len(known) else 0.0
            outside = max(low - value, value - high, 0.0) if len(known) else np.nan
            undefined = np.isnan(value) and same[name].isna().any()
            within = bool(undefined or (not np.isnan(value) and outside <= slack))
            rows.append(
                {**{n: row[n] for n in by}, "metric": name, "live": value, "low": low, "high": high}
                | {"values": len(known), "outside": 0.0 if within else outside, "within": within}
            )
    return pd.DataFrame(rows)


def _common(results, live, by):
    """Numbers that both tables have and that are results, not parameters."""
    from pandas.api import types

    about = results.attrs.get("parameters", {"varied": {}, "fixed": {}})
    given = {*by, *about["varied"], *about["fixed"], *BOOKKEEPING, *NOT_METRICS}
    return [
        name
        for name in results
        if name in live
        and name not in given
        and not name.startswith("parameters.")  # as `collate` calls those of a result's name
        and types.is_numeric_dtype(results[name])
        and not types.is_bool_dtype(results[name])
    ]
