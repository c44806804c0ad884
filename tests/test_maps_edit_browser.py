"""The editor of buildings in JupyterLab, used with the mouse of a real browser without network."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import warnings

import browser
import nbformat
import numpy as np
import pytest
import shapely
from nbformat.v4 import new_code_cell, new_notebook

from toolkit import buildings
from toolkit.maps import editor as widget

TOKEN = "only-for-this-test"
# Three rows of buildings; the last two of the first row touch.
GIVEN = """
import geopandas as gpd
from shapely import box
given = gpd.GeoDataFrame({"area": [300.0] * 7}, crs="EPSG:32648", geometry=[
    box(500000 + x, 3000000 + y, 500020 + x, 3000015 + y) for x, y in
    [(0, 0), (60, 0), (80, 0), (0, 50), (60, 50.123456789), (0, 100), (60, 100)]])
"""
SHOWN = """
import numpy as np, xarray as xr
from toolkit import maps
values = np.random.default_rng(0).normal(0.3, 0.02, (3, 100, 100)).astype("float32")
ground = xr.DataArray(values, dims=("band", "y", "x"), coords={
    "band": ["red", "green", "blue"], "y": 3000139.0 - 2 * np.arange(100),
    "x": 499951.0 + 2 * np.arange(100)}).rio.write_crs("EPSG:32648")
ground.attrs.update(title="Ground", simulated=True)
editor = maps.edit(given, image=ground, who="Ada", path="corrections.gpkg", height="480px")
editor
"""


HIDDEN = {"jupyter": {"source_hidden": True}}  # so that the map has the window for itself
QUIET = {"fetchNews": "false", "checkForUpdates": False}


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def program():
    found = browser.find()
    if found is None:
        warnings.warn(browser.REMEDY, stacklevel=1)
        pytest.skip(browser.REMEDY)
    return found


@pytest.fixture(scope="module")
def lab(program, tmp_path_factory):
    """A JupyterLab of its own: nobody's settings, no extension manager, only this computer."""
    folder = tmp_path_factory.mktemp("lab")
    notebook = new_notebook(
        cells=[new_code_cell(each, metadata=HIDDEN) for each in (GIVEN, SHOWN)],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    nbformat.write(notebook, folder / "editor.ipynb")
    settings = folder / "jupyterlab_settings_dir" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(QUIET))
    port = free_port()
    home = f"http://127.0.0.1:{port}/"
    own = {
        name: str(folder / name.lower())
        for name in (
            "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "JUPYTERLAB_SETTINGS_DIR",
            "JUPYTERLAB_WORKSPACES_DIR",
        )
    }  # fmt: skip
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1",
        f"--port={port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder}",
        f"--IdentityProvider.token={TOKEN}", "--LabApp.news_url=None",
        "--LabApp.extension_manager=readonly",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]  # fmt: skip
    log = folder / "server.log"
    with log.open("w") as out:
        server = subprocess.Popen(command, stdout=out, stderr=out, env=os.environ | own, cwd=folder)
        try:
            for _ in range(300):
                try:
                    urllib.request.urlopen(home + "api", timeout=1).close()
                    break
                except (urllib.error.URLError, OSError):
                    assert server.poll() is None, log.read_text()
                    time.sleep(0.1)
            yield folder, home
        finally:
            server.terminate()
            server.wait(20)


class Hands:
    """Mouse and eyes: metres east and north of the layer's corner become pixels of the screen."""

    def __init__(self, page):
        self.page = page
        first, *_, last = self.outlines("predicted")  # their middles: (10, 7.5) and (70, 107.5)
        self.scale = (last[0] - first[0]) / 60
        self.corner = first[0] - 10 * self.scale, first[1] + 7.5 * self.scale

    def outlines(self, look):
        """Middles of what is drawn on the map in one of the editor's colours."""
        color = widget.LOOKS[look]["color"]
        drawn = self.page.locator(f'.leaflet-overlay-pane path[stroke="{color}"]')
        boxes = [each.bounding_box() for each in drawn.all()]
        return [(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2) for box in boxes]

    def at(self, x, y):
        return self.corner[0] + x * self.scale, self.corner[1] - y * self.scale

    def click(self, *places):
        for place in places:
            self.page.mouse.move(*self.at(*place))
            self.page.mouse.click(*self.at(*place))

    def drag(self, start, end):
        self.page.mouse.move(*self.at(*start))
        self.page.mouse.down()
        self.page.mouse.move(*self.at(*end), steps=5)
        self.page.mouse.up()

    def press(self, name):
        self.page.locator(".jp-OutputArea").get_by_role("button", name=name).click()

    def read(self, text):
        """Wait until the line below the map says something."""
        self.page.locator("[role=status]").filter(has_text=text).wait_for()


@pytest.fixture(scope="module")
def desk(program, lab):
    """The notebook, its cells run by the menu; yields the visit, the hands, and the folder."""
    folder, home = lab
    with browser.chromium(program, home, size=(1280, 1000)) as new:
        guest = new()
        page = guest.page
        page.set_default_timeout(90_000)
        page.goto(f"{home}lab/tree/editor.ipynb?token={TOKEN}")
        page.locator("#jp-main-statusbar").filter(has_text="| Idle").wait_for()  # any kernel's name
        page.locator(".lm-MenuBar-itemLabel", has_text="Run").click()
        page.get_by_text("Run All Cells", exact=True).click()
        page.locator(".leaflet-container").scroll_into_view_if_needed()
        page.locator("[role=status]").filter(has_text="Click buildings").wait_for()
        page.locator(f'path[stroke="{widget.PREDICTED}"]').nth(6).wait_for()
        yield guest, Hands(page), folder


def test_buildings_are_corrected_with_the_mouse(desk):
    guest, hands, folder = desk
    page, press, read = guest.page, hands.press, hands.read

    press("Draw")
    read("Click the corners")
    hands.click((30, 20), (50, 20), (50, 40), (30, 40), (30, 20))
    read("Drew a building of")
    hands.click((110, 20), (130, 40), (130, 20), (110, 40), (110, 20))
    read("Not recorded: its outline crosses")

    press("Reshape")
    read("Click a building")
    hands.click((70, 57))
    read("Drag the corners")
    page.locator(".marker-icon:not(.marker-icon-middle)").nth(3).wait_for()
    hands.drag((80, 65.1), (90, 70))
    read("Reshaped a building: 300")

    press("Split")
    read("where the cut starts")
    hands.click((12, 95), (12, 120), (12, 120))
    read("Split a building into 2")

    press("Select")
    read("Click buildings")
    hands.click((70, 7))
    read("1 building selected")
    hands.click((90, 7))
    read("2 buildings selected")
    press("Merge")
    read("Merged 2 buildings into one of 600")

    hands.click((10, 57))
    read("1 building selected")
    page.get_by_label("Note").fill("a greenhouse")
    press("Delete")
    read("Deleted a building of 300")
    hands.click((70, 107))
    read("1 building selected")
    press("Delete")
    read("2 deleted")
    undo = page.locator(".jp-OutputArea").get_by_role("button", name="Undo")
    undo.focus()
    page.keyboard.press("Enter")  # buttons need no mouse
    read("Undone: the last edit")
    press("Save")
    read("Saved 6 edits in corrections.gpkg")
    assert len(hands.outlines("predicted")) == 2 and len(hands.outlines("corrected")) == 5

    edits = buildings.read_edits(folder / "corrections.gpkg")
    done = ["draw", "move", "split", "merge", "delete", "delete"]
    assert edits["operation"].tolist() == done
    assert edits["undone"].tolist() == [False] * 5 + [True]
    assert edits["what"].tolist() == [""] * 4 + ["a greenhouse", ""]
    assert (edits["who"] == "Ada").all() and edits["seconds"].between(0, 120).all()
    assert edits["seconds"].sum() > 0 and edits["when"].is_monotonic_increasing

    drawn, moved, halves = edits.geometry[:3]
    pixel = 1 / hands.scale
    assert drawn.hausdorff_distance(shapely.box(500030, 3000020, 500050, 3000040)) < 2 * pixel
    old, new = (shapely.get_coordinates(each) for each in (edits["before"][1], moved))
    assert (old != new).any(axis=1).sum() == 1  # one corner moved, the others bit for bit
    assert [len(shapely.get_parts(halves)), round(edits.geometry[3].area)] == [2, 600]

    names = {}
    exec(GIVEN, names)  # the layer that the notebook corrected
    result = buildings.apply_edits(names["given"], edits)
    assert result.report["status"].tolist() == ["applied"] * 5
    assert len(result.buildings) == 7 and np.isclose(result.buildings["area"].min(), 120, atol=15)
    assert guest.errors == [] and guest.outside == []
