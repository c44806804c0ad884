"""What is an experiment, and which parameter sets does a sweep ask of it?

An experiment is a notebook, or a Python function that returns numbers. Everything that can be wrong
with a name, a parameter or a sweep file is found here, before anything runs.
"""

import ast
import functools
import hashlib
import importlib
import inspect
import itertools
import json
import os
import sys
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from .. import fingerprint
from ..catalog.schema import UniqueKeys
from . import notebooks

# Libraries whose version can change what an experiment returns.
COMPUTING = ("python", "torch", "fastai", "numpy")
OWN = Path(__file__).parent


@dataclass(frozen=True)
class Experiment:
    """A notebook or a function, by its name, with what it takes and the code it depends on."""

    kind: str  # "function" or "notebook"
    target: str  # "package.module:function", or the path of a notebook
    name: str  # of the folder of its records
    data: tuple = ()  # names of the catalogue

    @functools.cached_property
    def code(self):
        """Fingerprint of the code, without what a reader alone sees: comments and docstrings."""
        if self.kind == "notebook":
            return notebooks.notebook_key(Path(self.target), {})
        load(self.target)
        return _code(sys.modules[self.target.partition(":")[0]].__file__)

    def complete(self, given):
        """Parameters with defaults filled in; what `given` names must exist."""
        if self.kind == "notebook":
            return notebooks.check(self.target, given)
        return _complete(self.target, given)

    def key(self, values, checksums):
        """Twelve digits that change with code, parameters, data and computing libraries."""
        if self.kind == "notebook":
            return notebooks.notebook_key(Path(self.target), values)
        versions = {name: fingerprint.versions()[name] for name in COMPUTING}
        text = json.dumps([self.target, self.code, values, checksums, versions], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def resolve(experiment, data=()):
    """Find an experiment.

    Parameters
    ----------
    experiment : str, Path or callable
        A notebook (number, name or path), ``"package.module:function"``, or a function that other
        processes can import.
    data : sequence of str
        Data sets of the catalogue that it reads, beside those in the function's attribute ``data``.

    Returns
    -------
    Experiment

    Raises
    ------
    ValueError
        No such module or function, or a function that other processes cannot import.
    FileNotFoundError
        No such notebook.

    Examples
    --------
    >>> resolve("json:loads").name
    'loads'
    """
    if callable(experiment):
        experiment = _name_of(experiment)
    text = str(experiment)
    if ":" not in text or text.endswith(".ipynb"):
        path = notebooks.find(experiment)
        return Experiment("notebook", str(path), path.stem, tuple(data))
    own = getattr(load(text), "data", ())
    if isinstance(own, str) or not all(isinstance(name, str) for name in own):
        raise ValueError(f"{text}: its attribute `data` must be a list of catalogue names: {own!r}")
    name = text.partition(":")[2]
    return Experiment("function", text, name, tuple(dict.fromkeys([*own, *data])))


def _name_of(function):
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    if module in (None, "__main__") or not name.isidentifier():
        raise ValueError(
            f"{function!r} cannot be run in other processes: they import it by name, so it must "
            "stand at the top of a module in a file, not in a notebook, a script or another "
            "function"
        )
    return f"{module}:{name}"


def load(target):
    """Import the function that ``"package.module:function"`` names."""
    module, _, name = target.partition(":")
    if str(fingerprint.ROOT) not in sys.path:
        sys.path.append(str(fingerprint.ROOT))
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and not f"{module}.".startswith(f"{error.name}."):
            raise  # the experiment was found, and something that it imports was not
        raise ValueError(
            f"experiment {target!r}: there is no module {error.name!r}. Write "
            "package.module:function; the module is looked for beside the sweep file, in "
            f"{fingerprint.ROOT.name}/ and where Python finds its packages"
        ) from None
    known = [n for n, v in vars(found).items() if inspect.isfunction(v) and v.__module__ == module]
    if not callable(getattr(found, name, None)):
        raise ValueError(
            f"experiment {target!r}: {module} has no function {name!r}: {_near(name, known)}"
            f"It has {', '.join(known) or 'none'}."
        )
    return getattr(found, name)


def _near(name, known):
    near = get_close_matches(str(name), list(known), 1)
    return f"did you mean {near[0]!r}? " if near else ""


def _complete(target, given):
    takes = inspect.signature(load(target)).parameters
    named = {n: p for n, p in takes.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    open_ended = any(p.kind is p.VAR_KEYWORD for p in takes.values())
    values = {n: p.default for n, p in named.items() if p.default is not p.empty}
    for name, value in given.items():
        if name not in named and not open_ended:
            raise ValueError(
                f"{target} has no parameter {name!r}: {_near(name, named)}"
                f"It has {', '.join(named) or 'none'}."
            )
        about = named.get(name)
        values[name] = _typed(name, value, about) if about else value
    missing = [name for name in named if name not in values]
    if missing:
        raise ValueError(f"{target} needs a value for {', '.join(map(repr, missing))}")
    return {name: jsonable(value, name) for name, value in values.items()}


def _typed(name, value, about):
    """Read a value as the type of the default: YAML takes 1e-4 for text and 1 for a whole number.

    Defaults of other types, and None, are left to the function.
    """
    kinds = {"int": 0, "float": 0.0, "bool": False}
    default = about.default
    if default is about.empty:
        hint = about.annotation if isinstance(about.annotation, str) else None
        hint = hint or getattr(about.annotation, "__name__", None)
        default = kinds.get(hint)
    if type(default) in (int, float, bool) and value is not None:
        return notebooks.convert(name, jsonable(value, name), default, "")
    return value


def jsonable(value, name="value"):
    """Turn a parameter into what JSON can hold, without rounding; say which one it cannot."""
    if hasattr(value, "tolist"):  # numpy
        value = value.tolist()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, list | tuple):
        return [jsonable(item, name) for item in value]
    if isinstance(value, dict):
        return {str(key): jsonable(item, name) for key, item in value.items()}
    raise ValueError(
        f"parameter {name!r} is a {type(value).__name__}: parameters are numbers, text, lists or "
        "dicts of them, so that they can be recorded"
    )


def _code(file):
    digest = hashlib.sha256()
    for path in sorted(_sources(Path(file))):
        content = path.read_bytes()
        if path.suffix == ".py":
            content = _without_words(content.decode("utf-8")).encode()
        digest.update(path.name.encode() + content)
    return digest.hexdigest()[:12]


def _sources(file):
    """The file of an experiment, modules beside it, and the parts of the package it imports.

    How a run is recorded changes no number, so this package itself is left out.
    """
    todo, files = [file], set()
    while todo:
        path = todo.pop()
        if path in files:
            continue
        files.add(path)
        text = path.read_text("utf-8")
        inside = ""
        if path.is_relative_to(fingerprint.ROOT):
            inside = ".".join(path.relative_to(fingerprint.ROOT).parts[:-1])
        files |= fingerprint.imported(text, inside)
        for node in ast.walk(ast.parse(text)):
            names = [alias.name for alias in getattr(node, "names", []) if hasattr(alias, "name")]
            names += [getattr(node, "module", None) or ""]
            for name in names:
                beside = path.parent / f"{name.split('.')[0]}.py"
                if name and beside.is_file():
                    todo.append(beside)
    return {path for path in files if OWN not in path.parents}


def _without_words(text):
    """Source without comments, layout and docstrings."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(
            node, ast.Module | ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef
        ) and (ast.get_docstring(node, clean=False) is not None):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def _several(value):
    if isinstance(value, list) and value:
        return value
    raise ValueError(f"expected a list of values, such as [{'1, 2' if value == [] else value}]")


class SweepFile(BaseModel):
    """What a sweep file may say."""

    model_config = ConfigDict(extra="forbid")

    experiment: str = Field(min_length=1)
    title: str = ""
    data: list[str] = []
    common: dict[str, Any] = {}
    grid: dict[str, Annotated[list[Any], BeforeValidator(_several)]] = {}
    entries: list[dict[str, Any]] = Field(default=[{}], alias="list", min_length=1)

    def sets(self):
        """Every parameter set: each entry of `list` with each cell of `grid`, over `common`."""
        return [self.common | each | cell for each in self.entries for cell in product(self.grid)]


def read(path):
    """Read and check a sweep file.

    Parameters
    ----------
    path : str or Path
        A YAML file with ``experiment:``, and ``common:``, ``grid:``, ``list:``, ``data:``,
        ``title:`` as needed.

    Returns
    -------
    SweepFile

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It is no YAML, or a field is wrong; the message names file and field.
    """
    path = Path(path)
    try:
        content = yaml.load(path.read_text("utf-8"), UniqueKeys)  # a SafeLoader: plain values only
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no sweep file {path}") from None
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected `experiment:` and `grid:` or `list:`")
    try:
        found = SweepFile.model_validate(content)
    except ValidationError as error:
        lines = [_explain(each) for each in error.errors()]
        raise ValueError("\n  ".join([f"{path} is no valid sweep:", *lines])) from None
    for each in found.entries:
        both = sorted(set(each) & set(found.grid))
        if both:
            raise ValueError(
                f"{path}: list, grid: {', '.join(both)} is given in both; every entry of the list "
                "runs with every cell of the grid, so a parameter belongs to one of them"
            )
    if str(path.resolve().parent) not in sys.path:
        sys.path.append(str(path.resolve().parent))  # an experiment may lie beside its sweep
    return found


def _explain(error):
    where, message = ".".join(map(str, error["loc"])), error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        known = [about.alias or name for name, about in SweepFile.model_fields.items()]
        message = f"there is no such field: {_near(where, known)}There are {', '.join(known)}."
    return f"{where}: {message}"


def product(grid):
    """Every combination of a dict of lists, the last name varying fastest."""
    return [dict(zip(grid, cell, strict=True)) for cell in itertools.product(*grid.values())]


def parameter_sets(grid):
    """Parameter sets from a dict of lists or a list of dicts.

    Examples
    --------
    >>> parameter_sets({"seed": [1, 2], "width": [0.5]})
    [{'seed': 1, 'width': 0.5}, {'seed': 2, 'width': 0.5}]
    """
    if isinstance(grid, dict):
        lists = {n: v.tolist() if hasattr(v, "tolist") else v for n, v in grid.items()}
        lists = {n: list(v) if isinstance(v, tuple | range) else v for n, v in lists.items()}
        for name, values in lists.items():
            if not isinstance(values, list) or not values:
                raise ValueError(f"grid: {name!r} needs a list of values, got {values!r}")
        return product(lists)
    if isinstance(grid, list | tuple) and grid and all(isinstance(each, dict) for each in grid):
        return [dict(each) for each in grid]
    raise ValueError(
        "grid is a dict of lists (every combination), a list of dicts (one run each), or the path "
        f"of a sweep file; got {grid!r}"
    )
