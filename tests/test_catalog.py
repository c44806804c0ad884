"""Tests of `toolkit.catalog`: the real catalogue through pip, and the ways in which it can fail."""

import contextlib
import errno
import functools
import hashlib
import http.server
import io
import json
import os
import re
import socket
import subprocess
import sys
import tarfile
import threading
import zipfile
from pathlib import Path

import geopandas
import numpy as np
import pandas
import pytest
import rich.console
import rioxarray
import shapely
import xarray as xr
import yaml
from rasterio.transform import from_origin

from toolkit import catalog
from toolkit.catalog import cache, drivers, schema

SHIPPED = Path(catalog.__file__).parents[2] / "data_catalog.yaml"
GRIDFINDER = "7ff0301c37f3a7aa013c7a205d3848dce2388250ccc72a74102c02ff40ee872f"


@pytest.fixture(scope="session")
def real_cache(tmp_path_factory):
    """A fresh cache that the tests of the real catalogue share: each archive comes once."""
    return tmp_path_factory.mktemp("real")


@pytest.fixture
def real(real_cache, monkeypatch):
    monkeypatch.setenv("TOOLKIT_DATA", str(real_cache))
    monkeypatch.delenv("TOOLKIT_CATALOG", raising=False)
    catalog.use()
    catalog.fetch("burundi/lights")
    return real_cache


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Write a catalogue of one's own; its cache is empty."""
    monkeypatch.setenv("TOOLKIT_DATA", str(tmp_path / "cache"))
    place = tmp_path / "data_catalog.yaml"
    monkeypatch.setenv("TOOLKIT_CATALOG", str(place))
    catalog.use()

    def write(**fields):
        place.write_text(yaml.safe_dump({"entries": {"here/it": fields}}))
        return tmp_path

    return write


@pytest.fixture
def server(tmp_path):
    """A web server on the loopback that counts its requests."""
    root = tmp_path / "served"
    root.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        requests = 0

        def do_GET(self):
            type(self).requests += 1
            super().do_GET()

        def log_message(self, *args):
            pass

    address = ("127.0.0.1", 0)
    handler = functools.partial(Handler, directory=str(root))
    with http.server.ThreadingHTTPServer(address, handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        running.root, running.handler = root, Handler
        running.url = f"http://127.0.0.1:{running.server_port}"
        yield running
        running.shutdown()


@pytest.fixture
def no_network(monkeypatch):
    """Point pip at a port where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{port}/simple")
    for variable in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.setenv(variable, "")
    return port


FIELDS = {
    "title": "A test",
    "description": "Made for the test.",
    "licence": "CC0",
    "citation": "Nobody",
    "sensor": "none",
    "date": "2020",
    "resolution": "10 m",
    "crs": "EPSG:32633",
}
BAND = [{"name": "red", "long_name": "red", "units": "1"}]


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def raster(path, values, size=10, left=500_000, top=5_000_000, crs="EPSG:32633", nodata=None):
    values = np.atleast_3d(np.asarray(values)) if np.ndim(values) == 3 else np.asarray(values)[None]
    array = xr.DataArray(values, dims=("band", "y", "x")).rio.write_crs(crs)
    array = array.rio.write_transform(from_origin(left, top, size, size))
    if nodata is not None:
        array = array.rio.write_nodata(nodata)
    array.rio.to_raster(path)
    return path


def url_entry(server, name="image.tif", **fields):
    path = server.root / name
    driver = {"name": "url", "url": f"{server.url}/{name}", "sha256": digest(path)}
    driver["bytes"] = path.stat().st_size
    return {**FIELDS, "kind": "image", "bands": BAND, "driver": driver, **fields}


def leftovers(folder):
    return [path for path in folder.rglob("*") if path.name.startswith((".part", ".pip", "tmp"))]


# ------------------------------------------------------------------ the catalogue that we ship


def test_every_entry_says_all_that_it_should():
    entries = schema.load(SHIPPED)
    assert len(entries) >= 20
    for name, entry in entries.items():
        assert len(entry.description) > 40, name
        if name.startswith("scene/"):
            assert entry.driver.name == "scene" and entry.simulated, name
            continue
        assert entry.driver.name == "pypi", name
        assert entry.simulated is False, name
        for member in entry.members:
            assert member.sha256 and member.bytes, name
        for each in entry.classes:
            assert each.color.startswith("#")
    lights = entries["burundi/lights"]
    assert lights.driver.form == "sdist" and lights.driver.sha256 == GRIDFINDER


def test_no_registry_is_named():
    """Packages come from whatever index pip is set up to use; only citations have addresses."""
    hosts = set(re.findall(r"\w+://([^/\s]+)", SHIPPED.read_text()))
    assert hosts == {"doi.org", "www.openstreetmap.org"}


def test_import_is_light():
    code = (
        "import sys, toolkit.catalog;"
        "print([m for m in ('torch', 'geopandas', 'rioxarray', 'pydantic', 'pooch', 'pandas')"
        " if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_lights(real):
    lights = catalog.open("burundi/lights")
    assert lights.dims == ("band", "y", "x") and lights.shape == (1, 520, 445)
    assert lights.dtype == "float32" and lights.band.values.tolist() == ["lights"]
    assert lights.rio.crs.to_epsg() == 4326 and np.isnan(lights.rio.nodata)
    inside = lights.values[np.isfinite(lights.values)]
    assert inside.size == 126_269
    assert (inside == 0).sum() == 3_459 and (inside < 0).sum() == 6_985
    assert inside.max() == pytest.approx(13.317, abs=1e-3)
    assert lights.attrs["units"] == "nW/cm2/sr"
    assert lights.attrs["source"] == "burundi/lights" and lights.attrs["simulated"] is False
    for field in ("title", "licence", "citation", "sensor", "date", "long_name"):
        assert lights.attrs[field]
    assert catalog.opened()["burundi/lights"] == catalog.checksum("burundi/lights")


def test_entries_of_one_archive_share_it_and_need_no_network(real, no_network):
    assert len(list((real / "archives").glob("*gridfinder*"))) == 1
    population = catalog.open("burundi/population")
    assert population.shape == (1, 1068, 740)
    assert population.rio.crs.to_string() == "ESRI:54009"
    assert float(population.sum()) == pytest.approx(11.13e6, abs=5e3)
    roads = catalog.open("burundi/roads")
    assert isinstance(roads, geopandas.GeoDataFrame) and len(roads) == 31_308
    assert list(roads.columns) == ["highway", "geometry"]
    assert roads.attrs["licence"] == "ODbL 1.0" and roads.crs.to_epsg() == 4326
    assert len(catalog.open("burundi/outline")) == 1


def test_raleigh_image_and_labels_lie_on_one_grid(real):
    image, labels = catalog.open("raleigh/image"), catalog.open("raleigh/land_cover")
    assert image.shape == (6, 443, 489) and labels.shape == (443, 489)
    assert image.rio.crs.to_epsg() == labels.rio.crs.to_epsg() == 32119
    assert image.rio.transform() == labels.rio.transform()
    assert image.band.values.tolist() == ["blue", "green", "red", "nir", "swir1", "swir2"]
    assert int(image.sel(band="red").notnull().sum()) == 183_418
    assert int(image.sel(band="swir2").notnull().sum()) < 183_418
    assert labels.dtype == "uint8" and labels.rio.nodata == 255
    names = {each["name"]: each["value"] for each in labels.attrs["classes"]}
    counts = {name: int((labels == value).sum()) for name, value in names.items()}
    assert counts == {
        "developed": 65_099,
        "agriculture": 1_433,
        "herbaceous": 23_502,
        "shrubland": 14_532,
        "forest": 107_643,
        "water": 4_223,
        "sediment": 194,
    }
    assert int((labels == 255).sum()) == 1


def test_bands_are_chosen_in_the_order_asked_for_and_lazily_if_wanted(real):
    image = catalog.open("raleigh/image", bands=["nir", "red"], chunks={"x": 128, "y": 128})
    assert image.band.values.tolist() == ["nir", "red"] and image.chunks is not None
    whole = catalog.open("raleigh/image")
    xr.testing.assert_equal(image.compute(), whole.sel(band=["nir", "red"]))
    with pytest.raises(ValueError, match="no band 'nri'; did you mean 'nir'"):
        catalog.open("raleigh/image", bands="nri")
    with pytest.raises(ValueError, match=r"chips\.zoom"):
        catalog.open("raleigh/image", resolution=10)


def test_samples_are_a_table(real):
    samples = catalog.open("surface_samples/landsat8")
    assert isinstance(samples, pandas.DataFrame) and samples.shape == (120, 9)
    assert samples["class"].value_counts().to_dict() == {"Vegetation": 46, "Urban": 37, "Water": 37}
    assert samples.attrs["source"] == "surface_samples/landsat8"


def test_a_geotiff_of_it_keeps_band_names_and_nodata(real, tmp_path):
    image = catalog.open("raleigh/image", bands=["red", "nir"])
    image.rio.to_raster(tmp_path / "out.tif")
    with rioxarray.open_rasterio(tmp_path / "out.tif", masked=True) as again:
        np.testing.assert_array_equal(again.values, image.values)


def test_table_of_the_catalogue(real, capsys):
    table = catalog.entries()
    assert table.index.name == "name" and table.loc["burundi/lights", "cached"]
    assert not table.loc["haiti/image", "cached"]
    assert table.loc["haiti/image", "download"] == 72_851_045
    catalog.print_table()
    assert "burundi/lights" in capsys.readouterr().out


# ----------------------------------------------------------------------------------- the errors


def test_unknown_name_suggests_the_nearest(real):
    with pytest.raises(KeyError) as caught:
        catalog.open("burundi/light")
    assert "did you mean burundi/lights" in str(caught.value)
    assert not str(caught.value).startswith('"')
    with pytest.raises(KeyError, match="raleigh/image"):
        catalog.open("raleigh")


def test_unknown_option(real):
    with pytest.raises(TypeError, match="unknown option 'band'; did you mean 'bands'"):
        catalog.open("burundi/lights", band="lights")
    with pytest.raises(TypeError, match="takes no options"):
        catalog.open("burundi/outline", bands=["x"])


def test_missing_catalogue(monkeypatch, tmp_path):
    monkeypatch.setenv("TOOLKIT_CATALOG", str(tmp_path / "nowhere.yaml"))
    with pytest.raises(FileNotFoundError, match="pip install -e"):
        catalog.entries()
    with pytest.raises(FileNotFoundError):
        catalog.use(tmp_path / "nowhere.yaml")


FILE = {"name": "file", "path": "a.tif"}
PYPI = {
    "name": "pypi",
    "package": "x",
    "version": "1",
    "form": "wheel",
    "archive": "x-1-py3-none-any.whl",
    "bytes": 10,
    "sha256": "0" * 64,
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"title": None}, r"here/it: title: .*valid string"),
        ({"sensro": "x"}, r"here/it: sensro: there is no such field"),
        ({"kind": "picture"}, r"here/it: kind: .*'image'"),
        ({"driver": {"name": "ftp"}}, r"here/it: driver: .*'pypi', 'url', 'file'"),
        ({"driver": {"name": "scene", "layer": "virs"}}, r"no layer 'virs'; did you mean 'viirs'"),
        ({"driver": {"path": "a.tif"}}, r"here/it: driver: it needs a `name`"),
        ({"driver": PYPI | {"version": 1.10}}, r"here/it: driver.version: .*string \(given: 1.1\)"),
        ({"driver": PYPI | {"sha256": "abc"}}, r"here/it: driver.sha256: "),
        ({"driver": PYPI, "files": [{"path": "a", "bands": ["red"]}]}, r"here/it: .*no sha256"),
        ({"driver": PYPI, "files": [{"path": "../a"}]}, r"here/it: files.0.path: .*stays inside"),
        ({"driver": PYPI}, r"here/it: files: name at least one member"),
        ({"bands": []}, r"here/it: bands: an image needs"),
        ({"kind": "classes"}, r"here/it: classes: a class map needs"),
        (
            {"classes": [{"value": 255, "name": "x", "color": "red"}]},
            r"classes.0.value: [\s\S]*classes.0.color: ",
        ),
    ],
)
def test_bad_entries_are_named(own, change, message):
    own(**({**FIELDS, "kind": "image", "bands": BAND, "driver": FILE} | change))
    with pytest.raises(ValueError, match=message):
        catalog.entries()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("entries: [", "not valid YAML"),
        ("things: {}", "expected a mapping `entries:`"),
        ("entries: {}\nmore: {}", "unknown sections"),
        ("entries:\n  a/b: {}\n  a/b: {}", "'a/b' is given twice"),
        ("entries:\n  Burundi Lights: {}", "a name reads place/thing"),
    ],
)
def test_bad_yaml_is_explained(tmp_path, text, message):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        schema.load(path)


def spyndex(**change):
    about = schema.load(SHIPPED)["surface_samples/landsat8"]
    fields = about.model_dump(mode="json", exclude_none=True)
    fields["driver"] |= change
    return fields


def test_pip_with_a_wrong_checksum(own):
    folder = own(**spyndex(sha256="1" * 64))
    with pytest.raises(ValueError, match=r"spyndex.*wrong checksum.*sha256 1{64}, it has 84bafdcb"):
        catalog.fetch("here/it")
    assert not list((folder / "cache").rglob("*.whl")) and not leftovers(folder / "cache")


def test_pip_without_network(own, no_network):
    folder = own(**spyndex())
    with pytest.raises(ConnectionError, match="network does not answer"):
        catalog.fetch("here/it")
    assert not leftovers(folder / "cache")


def test_pip_without_that_version(own, monkeypatch, tmp_path):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    own(**spyndex(version="99.0"))
    with pytest.raises(FileNotFoundError, match=r"no wheel of spyndex==99\.0"):
        catalog.fetch("here/it")


@pytest.mark.parametrize(
    ("log", "kind", "message"),
    [
        ("ERROR: [Errno 28] No space left on device", OSError, "TOOLKIT_DATA"),
        ("/usr/bin/python: No module named pip", RuntimeError, "ensurepip"),
        ("Please use pip<24.1 if you need to use this version", RuntimeError, "pip<24.1"),
        ("× Cannot import build backend 'odd.api'.\nNo module named 'odd'", RuntimeError, "(odd)"),
        ("something else", RuntimeError, "something else"),
    ],
)
def test_what_pip_says_becomes_a_remedy(log, kind, message):
    error = drivers._pip_error(schema.Pypi(**PYPI), log)
    assert isinstance(error, kind) and message in str(error)


def local_index(monkeypatch, folder):
    """Let pip see the archives of one folder only."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))


def test_no_code_of_a_source_archive_is_run(own, monkeypatch, tmp_path):
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    ran = tmp_path / "ran"
    members = {
        "harmless-1.0/setup.py": f"open({str(ran)!r}, 'w').close()\nimport nothing_like_it",
        "harmless-1.0/PKG-INFO": "Metadata-Version: 2.1\nName: harmless\nVersion: 1.0\n",
        "harmless-1.0/data/table.json": json.dumps({"a": [1, 2]}),
    }
    archive = wheels / "harmless-1.0.tar.gz"
    with tarfile.open(archive, "w:gz") as box:
        for name, text in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            box.addfile(info, io.BytesIO(text.encode()))
    local_index(monkeypatch, wheels)
    driver = PYPI | {"package": "harmless", "version": "1.0", "form": "sdist"}
    driver |= {"archive": archive.name, "bytes": archive.stat().st_size, "sha256": digest(archive)}
    table = members["harmless-1.0/data/table.json"].encode()
    files = [{"path": "harmless-1.0/data/table.json", "sha256": hashlib.sha256(table).hexdigest()}]
    own(**{**FIELDS, "kind": "table", "crs": "none", "driver": driver, "files": files})
    arrived = []
    catalog.fetch("here/it", progress=arrived.append)
    assert catalog.open("here/it")["a"].tolist() == [1, 2]
    assert not ran.exists()
    assert arrived[-1] == driver["bytes"]


def test_metadata_that_new_pips_refuse(own, monkeypatch, tmp_path):
    """The wheel's requirement is malformed, as older packages' are: pip >= 24.1 refuses it."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    archive = wheels / "old-1.0-py3-none-any.whl"
    text = "Metadata-Version: 2.1\nName: old\nVersion: 1.0\nRequires-Dist: torch (>=1.1.*)\n"
    with zipfile.ZipFile(archive, "w") as box:
        box.writestr("old-1.0.dist-info/METADATA", text)
        box.writestr("old-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        box.writestr("old-1.0.dist-info/RECORD", "")
        box.writestr("old/table.json", "{}")
    local_index(monkeypatch, wheels)
    driver = PYPI | {"package": "old", "version": "1.0", "archive": archive.name}
    driver |= {"bytes": archive.stat().st_size, "sha256": digest(archive)}
    files = [{"path": "old/table.json", "sha256": hashlib.sha256(b"{}").hexdigest()}]
    own(**{**FIELDS, "kind": "table", "crs": "none", "driver": driver, "files": files})
    asked = [sys.executable, "-m", "pip", "--version"]
    pip = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()[1]
    if tuple(int(part) for part in pip.split(".")[:2]) < (24, 1):
        assert catalog.fetch("here/it").is_file()
    else:
        with pytest.raises(RuntimeError, match=r'pip install "pip<24\.1"'):
            catalog.fetch("here/it")


def test_url_comes_once_and_is_checked(own, server):
    raster(server.root / "image.tif", np.arange(12.0).reshape(3, 4))
    own(**url_entry(server))
    arrived = []
    first = catalog.fetch("here/it", progress=arrived.append)
    assert first.suffix == ".tif" and arrived[-1] == first.stat().st_size
    assert catalog.open("here/it").shape == (1, 3, 4)
    assert server.handler.requests == 1
    assert catalog.checksum("here/it") == digest(first)


def test_url_with_a_wrong_checksum(own, server):
    raster(server.root / "image.tif", np.ones((3, 4)))
    entry = url_entry(server)
    entry["driver"]["sha256"] = "2" * 64
    folder = own(**entry)
    with pytest.raises(ValueError, match=r"wrong checksum.*sha256 2{64}, it has [0-9a-f]{64}\."):
        catalog.fetch("here/it")
    assert not [path for path in (folder / "cache").rglob("*") if path.suffix == ".tif"]


def test_url_that_is_gone_and_server_that_is_down(own, server):
    raster(server.root / "image.tif", np.ones((3, 4)))
    entry = url_entry(server)
    (server.root / "image.tif").unlink()
    own(**entry)
    with pytest.raises(FileNotFoundError, match="404"):
        catalog.fetch("here/it")
    server.shutdown()
    server.server_close()
    with pytest.raises(ConnectionError, match="network does not answer"):
        catalog.fetch("here/it")


def zipped(server, **members):
    archive = server.root / "set.zip"
    with zipfile.ZipFile(archive, "w") as box:
        for name, content in members.items():
            box.writestr(name.replace("__", "."), content)
    return archive


def zip_entry(server, path, content):
    files = [{"path": path, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}]
    return url_entry(server, "set.zip", kind="table", bands=[], files=files, crs="none")


def test_missing_member_names_the_nearest(own, server):
    zipped(server, table__json=b'{"a": [1]}')
    own(**zip_entry(server, "tabel.json", b'{"a": [1]}'))
    with pytest.raises(FileNotFoundError, match=r"no member 'tabel.json'; the nearest are table"):
        catalog.fetch("here/it")


def test_member_with_a_wrong_checksum(own, server):
    zipped(server, table__json=b'{"a": [1]}')
    folder = own(**zip_entry(server, "table.json", b'{"a": [2]}'))
    with pytest.raises(ValueError, match=r"table.json in .*set.zip has a wrong checksum"):
        catalog.fetch("here/it")
    assert not list((folder / "cache" / "files").rglob("*.json"))
    assert not leftovers(folder / "cache")


def test_truncated_member_is_taken_out_again(own, server):
    zipped(server, table__json=b'{"a": [1]}')
    own(**zip_entry(server, "table.json", b'{"a": [1]}'))
    path = catalog.fetch("here/it")
    path.write_bytes(b'{"a"')
    with pytest.warns(UserWarning, match="broken"):
        assert catalog.open("here/it")["a"].tolist() == [1]
    path.write_bytes(b'{"a": [9]}')  # the size is right, the content is not
    with pytest.warns(UserWarning, match="broken"):
        assert catalog.open("here/it")["a"].tolist() == [1]
    assert server.handler.requests == 1  # the archive in the cache was enough


def test_truncated_archive_is_fetched_again_or_says_why_not(own, server):
    zipped(server, table__json=b'{"a": [1]}')
    folder = own(**zip_entry(server, "table.json", b'{"a": [1]}'))
    path = catalog.fetch("here/it")
    (archive,) = (folder / "cache" / "archives").iterdir()
    for broken in (archive, path):
        broken.write_bytes(b"PK")
    with pytest.warns(UserWarning, match="broken"):
        assert catalog.open("here/it")["a"].tolist() == [1]
    assert server.handler.requests == 2
    for broken in (archive, path):
        broken.write_bytes(b"PK")
    server.shutdown()
    server.server_close()
    with pytest.warns(UserWarning, match="broken"), pytest.raises(ConnectionError):
        catalog.open("here/it")
    assert not path.exists()


def test_full_disk_leaves_nothing_behind(own, server, monkeypatch):
    zipped(server, table__json=b'{"a": [1]}')
    folder = own(**zip_entry(server, "table.json", b'{"a": [1]}'))

    @contextlib.contextmanager
    def full(handle, mode):
        class File(io.FileIO):
            def write(self, block):
                super().write(block[:2])
                raise OSError(errno.ENOSPC, "No space left on device")

        with File(handle, mode) as file:
            yield file

    monkeypatch.setattr(cache.os, "fdopen", full)
    with pytest.raises(OSError, match=r"the disk is full.*TOOLKIT_DATA") as caught:
        catalog.fetch("here/it")
    assert caught.value.errno == errno.ENOSPC
    assert not list((folder / "cache" / "files").rglob("*.json"))
    assert not leftovers(folder / "cache")
    monkeypatch.undo()
    monkeypatch.setenv("TOOLKIT_DATA", str(folder / "cache"))
    monkeypatch.setenv("TOOLKIT_CATALOG", str(folder / "data_catalog.yaml"))
    assert catalog.fetch("here/it").is_file()


def test_cache_that_may_not_be_written_to(own, server, tmp_path, monkeypatch):
    zipped(server, table__json=b"{}")
    own(**zip_entry(server, "table.json", b"{}"))

    def refuse(*args, **options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(cache.Path, "mkdir", refuse)
    with pytest.raises(PermissionError, match="TOOLKIT_DATA"):
        catalog.fetch("here/it")


def test_processes_that_want_the_same_archive_fetch_it_once(own, server):
    zipped(server, table__json=b'{"a": [1]}' + b" " * 300_000)
    own(**zip_entry(server, "table.json", b'{"a": [1]}' + b" " * 300_000))
    code = "from toolkit import catalog; print(catalog.fetch('here/it').stat().st_size)"
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert [each.communicate()[0].strip() for each in running] == ["300010"] * 4
    assert server.handler.requests == 1


def test_fetch_all_goes_on_and_reports_at_the_end(own, server, capsys):
    zipped(server, table__json=b"{}")
    own(**zip_entry(server, "table.json", b"{}"))
    assert catalog.fetch_all(["here/nothing", "here/it"]) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "failed here/nothing" in out and "here here/it" in out
    assert "there is no data set 'here/nothing'" in out and "1 of 2 could not" in out
    assert catalog.fetch_all([]) == 0


# --------------------------------------------------------------------- data of one's own (file)


def test_a_file_beside_the_catalogue(own):
    folder = own(**FIELDS, kind="image", bands=BAND, driver=FILE)
    with pytest.raises(FileNotFoundError, match="relative to the catalogue"):
        catalog.open("here/it")
    raster(folder / "a.tif", np.array([[1, 0], [3, 4]], "int16"), nodata=0)
    image = catalog.open("here/it")
    assert image.dtype == "float32" and np.isnan(image.values[0, 0, 1])
    assert catalog.checksum("here/it") == digest(folder / "a.tif")
    assert catalog.opened()["here/it"] == digest(folder / "a.tif")


def test_nodata_scale_and_crs_follow_the_entry(own):
    band = [BAND[0] | {"scale": 0.5, "offset": 1.0}]
    fields = {**FIELDS, "kind": "image", "bands": band, "driver": FILE}
    folder = own(**fields, nodata=4)
    raster(folder / "a.tif", np.array([[1, 0], [3, 4]], "int16"), nodata=0)
    np.testing.assert_array_equal(
        catalog.open("here/it").values[0], np.array([[1.5, 1.0], [2.5, np.nan]], "float32")
    )
    own(**fields, nodata=None)
    assert catalog.open("here/it").notnull().all()
    own(**(fields | {"crs": "EPSG:32634"}))
    with pytest.raises(ValueError, match="override_crs"):
        catalog.open("here/it")
    own(**(fields | {"crs": "EPSG:32634"}), override_crs=True)
    assert catalog.open("here/it").rio.crs.to_epsg() == 32634


def test_bands_of_two_resolutions_meet_by_coordinates(own):
    """The coarse grid starts 10 m further west, as Sentinel-2's does: by index it would shift."""
    red, nir = BAND[0], BAND[0] | {"name": "nir"}
    files = [{"path": "fine.tif", "bands": ["red"]}, {"path": "coarse.tif", "bands": ["nir"]}]
    driver = {"name": "file", "path": "folder"}
    folder = own(**FIELDS, kind="image", bands=[red, nir], driver=driver, files=files)
    (folder / "folder").mkdir()
    fine_x = 500_005.0 + 10 * np.arange(40)
    coarse_x = 500_000.0 + 20 * np.arange(21)
    raster(folder / "folder/fine.tif", np.tile(fine_x, (40, 1)))
    raster(folder / "folder/coarse.tif", np.tile(coarse_x, (20, 1)), size=20, left=499_990)
    image = catalog.open("here/it")
    assert image.shape == (2, 40, 40)
    inner = image.sel(band="nir").values[5:-5, 5:-5]
    np.testing.assert_allclose(inner, image.sel(band="red").values[5:-5, 5:-5], atol=0.1)
    coarse = catalog.open("here/it", resolution=20)
    assert coarse.shape == (2, 20, 21) and coarse.rio.bounds()[0] == 499_990
    np.testing.assert_allclose(
        coarse.sel(band="red").values[5:-5, 5:-5],
        coarse.sel(band="nir").values[5:-5, 5:-5],
        atol=0.1,
    )
    assert catalog.open("here/it", bands="nir").shape == (1, 20, 21)
    lazy = catalog.open("here/it", chunks={"x": 16, "y": 16})
    assert lazy.chunks is not None
    np.testing.assert_allclose(lazy.values, image.values, atol=0.1)
    with pytest.raises(ValueError, match="come at 10, 20"):
        catalog.open("here/it", resolution=15)


def test_class_map_knows_only_its_classes(own):
    classes = [{"value": 1, "name": "town", "color": "#d55e00"}]
    folder = own(**FIELDS, kind="classes", classes=classes, driver=FILE)
    raster(folder / "a.tif", np.array([[1, 2], [0, 1]], "uint8"))
    labels = catalog.open("here/it")
    assert labels.values.tolist() == [[1, 255], [255, 1]]
    assert labels.attrs["classes"] == classes
    with pytest.raises(TypeError, match="unknown option 'bands'"):
        catalog.open("here/it", bands=["x"])


def test_vectors_of_ones_own(own):
    driver = {"name": "file", "path": "a.gpkg"}
    folder = own(**FIELDS, kind="vector", driver=driver)
    shapes = geopandas.GeoDataFrame({"n": [1]}, geometry=[shapely.box(0, 0, 1, 1)], crs=32633)
    shapes.to_file(folder / "a.gpkg")
    table = catalog.open("here/it")
    assert table.crs.to_epsg() == 32633 and table.attrs["title"] == "A test"
    own(**(FIELDS | {"crs": "EPSG:4326"}), kind="vector", driver=driver)
    with pytest.raises(ValueError, match="the catalogue says EPSG:4326"):
        catalog.open("here/it")


def test_files_that_cannot_be_read_are_explained(own):
    folder = own(**FIELDS, kind="image", bands=BAND, driver=FILE)
    (folder / "a.tif").write_bytes(b"not a raster")
    with pytest.raises(ValueError, match="cannot be read as a raster"):
        catalog.open("here/it")
    raster(folder / "a.tif", np.ones((2, 3, 3)))
    with pytest.raises(ValueError, match="has 2 bands, the catalogue names 1"):
        catalog.open("here/it")


def test_use_switches_the_catalogue(own, tmp_path):
    own(**FIELDS, kind="image", bands=BAND, driver=FILE)
    other = tmp_path / "other.yaml"
    other.write_text("entries: {}")
    catalog.use(other)
    try:
        assert catalog.path() == other and len(catalog.entries()) == 0
    finally:
        catalog.use()
    assert list(catalog.entries().index) == ["here/it"]


# ------------------------------------------------------------------ the teaching scene


def test_scene_has_an_entry_for_every_layer():
    from toolkit import scene

    entries = schema.load(SHIPPED)
    layers = {entry.driver.layer: entry for entry in entries.values() if entry.simulated}
    assert set(layers) == set(scene.LAYERS)
    for name, entry in layers.items():
        assert entry.kind == scene.LAYERS[name].kind, name


SMALL = {"style": "arid", "size": 2400}


def test_scene_opens_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("TOOLKIT_DATA", str(tmp_path))
    image = catalog.open("scene/sentinel2", season="autumn", bands=["B4", "B8"], **SMALL)
    assert image.dims == ("band", "y", "x") and image.dtype == "float32"
    assert image.band.values.tolist() == ["B4", "B8"]
    assert 0 < float(image.median()) < 1 and np.isnan(image.rio.nodata)
    attrs = image.attrs
    assert attrs["source"] == "scene/sentinel2" and attrs["simulated"] is True
    assert attrs["season"] == "autumn" and attrs["date"] == "2017-10-25"
    for field in ("title", "licence", "citation", "sensor", "units", "seed", "scene_version"):
        assert field in attrs
    cover = catalog.open("scene/land_cover", resolution=30, **SMALL)
    assert cover.dtype == "uint8" and cover.rio.nodata == 255 and len(cover.attrs["classes"]) == 7
    assert cover.attrs["resolution"] == "30 m"
    houses = catalog.open("scene/buildings", **SMALL)
    assert houses.attrs["simulated"] is True and houses.crs is not None
    assert catalog.opened()["scene/buildings"] == catalog.checksum("scene/buildings")


def test_scene_is_listed_and_identified_without_being_made(tmp_path, monkeypatch):
    monkeypatch.setenv("TOOLKIT_DATA", str(tmp_path))
    table = catalog.entries()
    row = table.loc["scene/planet"]
    assert row["simulated"] and not row["cached"] and row["driver"] == "scene"
    console = rich.console.Console(width=200, record=True)
    catalog.print_table(console)
    assert "no, made here" in console.export_text()
    sums = [catalog.checksum("scene/planet", **o) for o in ({}, {"seed": 1}, {"style": "arid"})]
    assert len(set(sums)) == 3 and sums[0] == catalog.checksum("scene/planet")
    assert not list(tmp_path.rglob("*.tif"))
    with pytest.raises(TypeError, match="does not depend on seed"):
        catalog.checksum("burundi/lights", seed=1)


def test_scene_is_fetched(tmp_path, monkeypatch):
    monkeypatch.setenv("TOOLKIT_DATA", str(tmp_path))
    where = catalog.fetch("scene/settlements")
    assert where.is_file() and where.is_relative_to(tmp_path)
    assert catalog.entries().loc["scene/settlements", "cached"]
    assert catalog.entries().loc["scene/settlements", "size"] == where.stat().st_size
    assert catalog.fetch("scene/settlements") == where


@pytest.mark.parametrize(
    ("name", "options", "kind", "message"),
    [
        ("scene/sentinel", {}, KeyError, "did you mean scene/sentinel2"),
        ("scene/sentinel2", {"season": "sumer"}, ValueError, "did you mean 'summer'"),
        ("scene/sentinel2", {"style": "aird"}, ValueError, "did you mean 'arid'"),
        ("scene/sentinel2", {"saeson": "spring"}, TypeError, "did you mean 'season'"),
        ("scene/sentinel2", {"bands": "B44"} | SMALL, ValueError, "did you mean 'B4'"),
        ("scene/viirs", {"style": "arid"}, TypeError, "unknown option 'style'.*takes seed"),
        ("scene/viirs", {"seed": -1}, ValueError, "seed is -1"),
        ("scene/buildings", {"bands": "B4"}, TypeError, "takes no option 'bands'"),
        ("scene/buildings", {"size": 100} | {"style": "arid"}, ValueError, "at least 2000 m"),
    ],
)
def test_scene_explains_what_is_wrong(name, options, kind, message):
    with pytest.raises(kind, match=message):
        catalog.open(name, **options)
