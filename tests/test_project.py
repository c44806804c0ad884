"""The promises that the repository as a whole makes."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
DIRECT = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]


def _name(requirement):
    return re.split(r"[<>=\[;@ ]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def test_conda_environment_names_the_same_direct_dependencies():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    pip = environment["dependencies"][-1]["pip"]
    assert sorted(r for r in pip if not r.startswith("-")) == sorted(DIRECT)
    assert "python=3.11" in environment["dependencies"]


def test_constraints_pin_every_direct_dependency_exactly():
    pins = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pinned = {_name(line) for line in pins if "==" in line}
    assert {_name(r) for r in DIRECT} <= pinned
    assert not [line for line in pins if line.strip() and line[0] != "#" and "==" not in line]


def test_import_is_light():
    code = (
        "import sys, time; start = time.perf_counter(); import toolkit; "
        "print(time.perf_counter() - start); "
        "print([m for m in ('torch', 'leafmap', 'geopandas', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, heavy = done.stdout.splitlines()
    assert heavy == "[]"
    assert float(seconds) < 0.3


@pytest.mark.parametrize("module", ["models", "training", "heatmaps", "mapping"])
def test_fastai_vision_imports_after_what_uses_torch(module):
    code = f"from toolkit import {module}; import torchvision, fastai.vision.all; print('fine')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "fine", done.stderr


def test_unknown_module_is_named():
    import toolkit

    with pytest.raises(AttributeError, match=r"chip.*it has accuracy"):
        _ = toolkit.chip


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_is_clean(path):
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not [cell for cell in code if cell.outputs or cell.execution_count]
    assert [c for c in code if "parameters" in c.metadata.get("tags", [])]
    long = [c.source.splitlines()[0] for c in code if len(c.source.splitlines()) > 25]
    assert not long, "cells of more than 25 lines: what in them belongs in the package?"
    assert notebook.metadata.kernelspec.name == "python3"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_has_the_form_of_a_chapter(path):
    cells = json.loads(path.read_text("utf-8"))["cells"]
    text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    assert len(re.findall(r"^# ", text, re.M)) == 1
    found = re.findall(r"^## (.+)$", text, re.M)
    form = [
        "At a glance",
        "The paper in brief",
        "Set-up",
        "Data",
        "Samples",
        "Model and training",
        "Inside the network",
        "Result",
        "Experiments",
        "On real data",
        "Published and obtained",
        "Summary",
        "Questions",
        "Exercises",
        "What next",
        "References",
    ]
    assert found == [heading for heading in form if heading in found]
    assert {"At a glance", "Set-up", "Summary", "Questions", "Exercises"} <= set(found)


def test_readme_example_runs():
    readme = (ROOT / "README.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.S)
    code = code.replace("learn.fit(3, 3e-3)", "learn.fit(1, 3e-3)")
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["probability"].dims == ("class", "y", "x")
