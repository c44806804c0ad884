"""What does the result of a notebook depend on? A key that changes when, and only when, it may."""

import ast
import hashlib
import importlib.metadata
import json
import platform
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# The libraries whose version can change a number or a picture.
LIBRARIES = [
    *("torch", "fastai", "numpy", "pandas", "xarray", "rasterio", "rioxarray", "odc-geo"),
    *("geopandas", "shapely", "pyproj", "scipy", "scikit-learn", "dask"),
    *("matplotlib", "leafmap", "ipyleaflet"),
]


def versions():
    """Return the versions of Python and of the libraries that can change a result.

    Returns
    -------
    dict
        Library name to version.

    Examples
    --------
    >>> "torch" in versions()
    True
    """
    found = {name: importlib.metadata.version(name) for name in LIBRARIES}
    return {"python": platform.python_version(), **found}


def key(cells, values):
    """Hash the code of a notebook with everything it depends on.

    That is the parameters, the parts of the package that it imports, the versions of the libraries,
    the records of sweeps that it reads, and the data catalogue, which holds the checksum of every
    data set.

    Parameters
    ----------
    cells : list of str
        Source of the code cells.
    values : dict
        All parameters.

    Returns
    -------
    str
        Twelve hexadecimal digits.

    Examples
    --------
    >>> len(key(["from toolkit import accuracy"], {"seed": 1}))
    12
    """
    from IPython.core.inputtransformer2 import TransformerManager

    python = "\n".join(TransformerManager().transform_cell(cell) for cell in cells)
    digest = hashlib.sha256(json.dumps([cells, values, versions()], sort_keys=True).encode())
    for path in sorted(imported(python) | recorded(python)):
        digest.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    # What an entry says (nodata, classes, checksums) changes a result as code does.
    from toolkit import catalog

    digest.update(Path(catalog.path()).read_bytes())
    return digest.hexdigest()[:12]


def recorded(source):
    """Find the records of sweeps that some code reads with ``runs.results("name")``.

    Parameters
    ----------
    source : str
        Python code.

    Returns
    -------
    set of Path
        Those files that are there.
    """
    names = {
        node.args[0].value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and getattr(node.func, "attr", "") == "results"
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }
    files = (ROOT / "results" / f"{name}{end}" for name in names for end in (".csv", ".json"))
    return {path for path in files if path.is_file()}


def imported(source, package="toolkit"):
    """Find the files of the package that some code imports, directly or through one another.

    Parameters
    ----------
    source : str
        Python code.
    package : str
        The package that relative imports in `source` start from.

    Returns
    -------
    set of Path

    Examples
    --------
    >>> sorted(path.name for path in imported("from toolkit import runs"))[:2]
    ['__init__.py', 'catalog.py']
    """
    todo, files = [(source, package)], set()
    while todo:
        text, inside = todo.pop()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = inside.rsplit(".", node.level - 1)[0] if node.level else ""
                module = ".".join(part for part in (base, node.module) if part)
                names = [f"{module}.{alias.name}" for alias in node.names]
                names += [module] * (module != "toolkit")
            else:
                continue
            for name in names:
                for path in _files(name):
                    if path not in files:
                        files.add(path)
                        if path.suffix == ".py":
                            inside_of = ".".join(path.relative_to(ROOT).with_suffix("").parts[:-1])
                            todo.append((path.read_text("utf-8"), inside_of))
    return files


def _files(name):
    """Files of a module of the package; data files beside it belong to the one of their name."""
    parts = name.split(".")
    if parts[0] != "toolkit":
        return []
    if len(parts) == 1:  # ``import toolkit`` reaches every module by its attribute
        return [p for p in (ROOT / "toolkit").rglob("*") if p.is_file() and p.suffix != ".pyc"]
    path = ROOT.joinpath(*parts)
    if path.is_dir():
        return [p for p in path.glob("*") if p.is_file()]
    return [p for p in path.parent.glob(f"{path.name}.*") if p.is_file()]
