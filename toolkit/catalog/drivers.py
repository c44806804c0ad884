"""How do the bytes get here?

A driver is a function ``(driver, home, progress) -> Path``: `driver` holds the arguments checked by
`schema`, `home` is the folder of the catalogue (relative paths start there), `progress` is called
with the bytes that have arrived. It returns the file (or folder) with the entry's files. A driver
that fetches leaves a file in the cache only when its sha256 is right.

`stac` (pystac-client and odc-stac) is to come: it adds its arguments to `schema.Driver` and its
function to `DRIVERS`.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from . import cache

# pip asks an sdist's build backend for its metadata, which would run code of the archive and
# install further packages that nobody checked. A stand-in under the usual backends' names answers
# with the pinned name and version instead: nothing of the archive is run, nothing is built. (An
# archive that brings its own backend would still be asked itself, after its hash was checked; none
# in our catalogue does.)
_BACKENDS = (
    "flit_core.buildapi",
    "hatchling.build",
    "mesonpy",
    "pdm.backend",
    "poetry.core.masonry.api",
    "setuptools.build_meta",
)
_STAND_IN = """\
import os, pathlib, sys

__legacy__ = sys.modules[__name__]


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    name, version = os.environ["TOOLKIT_REQUIREMENT"].split("==")
    folder = pathlib.Path(metadata_directory, f"{name}-{version}.dist-info")
    folder.mkdir()
    text = f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n"
    (folder / "METADATA").write_text(text)
    return folder.name


def build_wheel(*args, **options):
    raise RuntimeError("only the archive is wanted: nothing is built")
"""


def place(driver):
    """Return where a driver's archive lies in the cache, and the key of its lock."""
    if driver.name == "scene":
        from toolkit import scene

        where = scene.path(driver.layer, make=False)
        return where, f"{where.parent.name}-{driver.layer}"
    key = f"{driver.sha256[:12]}-{driver.archive}"
    return cache.folder() / "archives" / key, key


def source(driver, home, progress=None):
    """Return the archive, file or folder of a driver, fetching it if it is not in the cache."""
    return DRIVERS[driver.name](driver, home, progress)


def from_file(driver, home, progress=None):
    """A file, an archive or a folder on this machine."""
    path = (Path(home) / driver.path).expanduser()
    if not path.exists():
        raise FileNotFoundError(
            f"there is no {path}: the path of a `file` entry is relative to the catalogue's folder"
        )
    if driver.sha256 and path.is_file() and cache.sha256(path) != driver.sha256:
        raise cache.wrong_checksum(str(path), driver.sha256, cache.sha256(path))
    return path


def from_scene(driver, home, progress=None):
    """A layer of the teaching scene with its default options, made if it is not in the cache."""
    from toolkit import scene

    return scene.path(driver.layer)


def from_url(driver, home, progress=None):
    """A download by pooch, with its checksum."""
    path, _ = place(driver)
    if path.is_file() and cache.sha256(path) == driver.sha256:
        return path
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")
    downloader = pooch.HTTPDownloader(timeout=60) if driver.url.startswith("http") else None
    if downloader is not None and progress is not None:
        downloader.progressbar = _Progress(progress)
    try:
        with cache.explained(path):
            pooch.retrieve(
                driver.url,
                known_hash=f"sha256:{driver.sha256}",
                fname=path.name,
                path=path.parent,
                downloader=downloader,
            )
    except requests.HTTPError as error:
        raise FileNotFoundError(
            f"{driver.url} cannot be had: {error}. Has the file moved? Correct the entry's url."
        ) from error
    except requests.RequestException as error:
        raise _no_network(driver.url, error) from error
    except ValueError as error:
        if "hash" not in str(error).lower():
            raise
        found = re.findall(r"[0-9a-f]{64}", str(error).replace(driver.sha256, ""))
        raise cache.wrong_checksum(driver.url, driver.sha256, *found[:1] or ["another"]) from error
    return path


class _Progress:
    """What pooch wants of a progress bar, passed on to one function."""

    def __init__(self, report):
        self.report, self.total, self.done = report, 0, 0

    def update(self, count):
        self.done += count
        self.report(self.done)

    def reset(self):
        self.done = 0

    def close(self):
        pass


def from_pypi(driver, home, progress=None):
    """An archive that pip downloads, pinned and hash-checked; none of its code is run."""
    path, _ = place(driver)
    if path.is_file() and cache.sha256(path) == driver.sha256:
        return path
    with cache.explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Beside its final place, so that the disk that runs full is the one that we name.
        with tempfile.TemporaryDirectory(prefix=".pip-", dir=path.parent) as scratch:
            found = _pip_download(driver, Path(scratch), progress)
            with found.open("rb") as file:
                cache.keep(file, path, driver.sha256, driver.archive)
    return path


def _pip_download(driver, scratch, progress):
    requirement = f"{driver.package}=={driver.version}"
    (scratch / "requirements.txt").write_text(f"{requirement} --hash=sha256:{driver.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes"]
    command += ["--ignore-requires-python", "--no-cache-dir", "--progress-bar", "off"]
    # Further attempts only hide for a minute that there is no network.
    command += ["--retries", "2", "-d", str(scratch / "got")]
    environment = os.environ | {
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "TOOLKIT_REQUIREMENT": requirement,
    }
    for variable in ("TMPDIR", "TEMP", "TMP"):
        environment[variable] = str(scratch)
    if driver.form == "sdist":
        _write_stand_in(scratch / "backends")
        environment["PYTHONPATH"] = str(scratch / "backends")
        command += ["--no-binary", ":all:", "--no-build-isolation", "--use-pep517"]
    else:
        command += ["--only-binary", ":all:"]
    command += ["-r", str(scratch / "requirements.txt")]
    log = scratch / "log.txt"
    with log.open("w") as output:
        pip = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=environment, cwd=scratch
        )
        try:
            while pip.poll() is None:
                time.sleep(0.05)
                if progress is not None:
                    progress(_arrived(scratch, driver.archive))
        finally:
            if pip.poll() is None:
                pip.kill()
                pip.wait()
    found = scratch / "got" / driver.archive
    if pip.returncode or not found.is_file():
        raise _pip_error(driver, log.read_text(errors="replace"))
    if progress is not None:
        progress(driver.bytes)
    return found


def _write_stand_in(folder):
    for name in _BACKENDS:
        *packages, module = name.split(".")
        inside = folder
        for package in packages:
            inside = inside / package
            inside.mkdir(parents=True, exist_ok=True)
            (inside / "__init__.py").touch()
        inside.mkdir(parents=True, exist_ok=True)
        (inside / f"{module}.py").write_text(_STAND_IN)


def _arrived(folder, archive):
    """Bytes of the archive that pip has written so far; its temporary folders come and go."""
    try:
        return max((path.stat().st_size for path in folder.rglob(archive)), default=0)
    except OSError:
        return 0


def _pip_error(driver, log):
    """Say what went wrong, and what to do, from what pip said."""
    what = f"{driver.package}=={driver.version}"
    low = log.lower()
    if "do not match the hashes" in low:
        found = re.findall(r"Got\s+([0-9a-f]{64})", log)
        return cache.wrong_checksum(driver.archive, driver.sha256, *found[:1] or ["another"])
    if "no space left" in low or "errno 28" in low or "disk quota" in low:
        return cache.full(cache.folder())
    if "invalid metadata" in low or "pip<24.1" in low:
        return RuntimeError(
            f"this pip refuses the metadata of {what}, which is older than today's rules. "
            f'Run `{Path(sys.executable).name} -m pip install "pip<24.1"` and fetch it again.'
        )
    if "backendunavailable" in low or "cannot import build backend" in low:
        missing = re.findall(r"No module named '([\w.]+)'", log)
        return RuntimeError(
            f"{what} names a build backend ({', '.join(missing[-1:])}) for which we have no "
            "stand-in: add its module to _BACKENDS in toolkit/catalog/drivers.py."
        )
    if "no module named pip" in low:
        return RuntimeError(
            f"{what} is fetched by pip, which {sys.executable} lacks: "
            "run `python -m ensurepip` and fetch it again."
        )
    signs = ("connection", "name resolution", "timed out", "proxyerror", "sslerror", "network is")
    if any(sign in low for sign in signs):
        return _no_network(what, log.strip().splitlines()[-1])
    if "no matching distribution" in low:
        return FileNotFoundError(
            f"pip finds no {driver.form} of {what}. Are the version and the form in the catalogue "
            "right, and does your pip use an index that has it (`pip config list`)?"
        )
    tail = "\n  ".join(log.strip().splitlines()[-12:])
    return RuntimeError(f"pip could not fetch {what}; it said:\n  {tail}")


def _no_network(what, reason):
    return ConnectionError(
        f"{what} could not be fetched: the network does not answer ({reason}). What is in the "
        "cache can be opened without it; `toolkit data` lists what is. Behind a proxy, set "
        "HTTPS_PROXY; then try again."
    )


DRIVERS = {"pypi": from_pypi, "url": from_url, "file": from_file, "scene": from_scene}
