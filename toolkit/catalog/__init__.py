"""Give me this data set: the catalogue, from a name to data with their provenance.

``data_catalog.yaml`` says of every data set what it is, where it comes from, its licence, citation
and checksum. `open` fetches it if it is not here yet, checks it, and returns it with all that in
its attributes.

Two environment variables: ``TOOLKIT_DATA`` is the folder of the cache, ``TOOLKIT_CATALOG`` points
at another catalogue.

Examples
--------
>>> from toolkit import catalog
>>> lights = catalog.open("burundi/lights")
>>> lights.attrs["units"]
'nW/cm2/sr'
"""

import difflib
import hashlib
import os
import warnings
from pathlib import Path

__all__ = [
    "checksum",
    "entries",
    "entry",
    "fetch",
    "fetch_all",
    "open",
    "opened",
    "path",
    "print_table",
    "use",
]

_chosen = None
_opened = {}
_loaded = {}


class UnknownName(KeyError):
    """A name that the catalogue does not have."""

    def __str__(self):
        """Return the message as it was written; KeyError would show its repr."""
        return self.args[0]


def path():
    """Return the catalogue in use.

    That is the file given to `use`, else the environment variable TOOLKIT_CATALOG, else
    ``data_catalog.yaml`` at the root of the repository.

    Returns
    -------
    Path

    Examples
    --------
    >>> from toolkit import catalog
    >>> catalog.path().name
    'data_catalog.yaml'
    """
    if _chosen is not None:
        return _chosen
    if os.environ.get("TOOLKIT_CATALOG"):
        return Path(os.environ["TOOLKIT_CATALOG"]).expanduser().absolute()
    return Path(__file__).resolve().parents[2] / "data_catalog.yaml"


def use(path=None):
    """Use another catalogue from now on.

    Parameters
    ----------
    path : str or Path, optional
        A YAML file; None returns to the default.

    Raises
    ------
    FileNotFoundError, ValueError
        The file is missing, or an entry is wrong; the catalogue in use stays as it was.

    Examples
    --------
    >>> from toolkit import catalog
    >>> catalog.use("my_area.yaml")  # doctest: +SKIP
    >>> catalog.use()
    """
    global _chosen
    if path is None:
        _chosen = None
        return
    from . import schema

    path = Path(path).expanduser().absolute()
    schema.load(path)
    _chosen = path


def _entries():
    """Every entry, checked; read again only when the file has changed."""
    where = path()
    key = (where, where.stat().st_mtime_ns if where.exists() else None)
    if key not in _loaded:
        from . import schema

        _loaded[key] = schema.load(where)
    return _loaded[key]


def entry(name):
    """Return what the catalogue says of a data set.

    Parameters
    ----------
    name : str
        As listed by `entries`.

    Returns
    -------
    schema.Entry
        Its fields are attributes: title, description, licence, citation, sensor, bands, ...

    Raises
    ------
    UnknownName
        A KeyError; the nearest names are given.

    Examples
    --------
    >>> from toolkit import catalog
    >>> catalog.entry("burundi/lights").crs
    'EPSG:4326'
    """
    known = _entries()
    if name not in known:
        near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
        near = near or [other for other in known if str(name).lower() in other]
        raise UnknownName(
            f"there is no data set {name!r} in {path().name}"
            + (f"; did you mean {' or '.join(near)}?" if near else ".")
            + " catalog.entries() and `toolkit data` list all."
        )
    return known[name]


def _root(about):
    """The folder of the members and True, or the one file that is the data set and False."""
    from . import cache, drivers, schema

    if about.driver.name == "file":
        source = (path().parent / about.driver.path).expanduser().absolute()
        key = f"local-{hashlib.sha256(str(source).encode()).hexdigest()[:12]}"
        if source.is_dir():
            return source, True
    else:
        source, key = drivers.place(about.driver)
    if source.name.endswith(schema.ARCHIVES):
        return cache.folder() / "files" / key, True
    return source, False


def _where(about):
    """The place of each member, fetched or not: a dict of member path to Path."""
    root, holds = _root(about)
    return {member.path: root / member.path if holds else root for member in about.members}


def _obtain(name, progress=None):
    """Make sure that every member is here and whole; return the places."""
    from . import cache, drivers, schema

    about, home = entry(name), path().parent
    places = _where(about)
    if all(cache.is_whole(places[member.path], member) for member in about.members):
        return places
    local = about.driver.name == "file"
    with cache.lock(about.driver.archive if local else drivers.place(about.driver)[1]):
        _drop_broken(name, about, places)
        source = drivers.source(about.driver, home, progress)
        missing = [m for m in about.members if not cache.is_whole(places[m.path], m)]
        if missing and source.name.endswith(schema.ARCHIVES) and source.is_file():
            cache.unpack(source, missing, _root(about)[0])
        for member in about.members:
            where = places[member.path]
            if not where.is_file():
                raise FileNotFoundError(f"{name}: there is no {where}; correct the entry's `files`")
            if not cache.is_whole(where, member):
                raise cache.wrong_checksum(str(where), member.sha256, cache.sha256(where))
    return places


def _drop_broken(name, about, places):
    """Remove cached files that are not what the catalogue says, with a notice."""
    from . import cache, drivers

    if about.driver.name in ("file", "scene"):
        return  # the user's own, not ours to remove; or without a checksum, being made here
    archive, _ = drivers.place(about.driver)
    broken = [
        places[member.path]
        for member in about.members
        if places[member.path].exists() and not cache.is_whole(places[member.path], member)
    ]
    if archive.exists() and cache.sha256(archive) != about.driver.sha256:
        broken.append(archive)
    for where in dict.fromkeys(broken):
        warnings.warn(
            f"{name}: the cached file {where} is broken (its checksum is wrong); "
            "it is fetched again.",
            stacklevel=4,
        )
        with cache.explained(where):
            where.unlink()


def fetch(name, progress=None):
    """Fetch a data set into the cache, if it is not there, and check it.

    Parameters
    ----------
    name : str
        As listed by `entries`.
    progress : callable, optional
        Called with the number of bytes of the archive that have arrived.

    Returns
    -------
    Path
        The file; the folder of the files where an image consists of several.

    Raises
    ------
    UnknownName
        There is no such name; the nearest are given.
    ConnectionError
        The data are not in the cache and the network does not answer.
    OSError
        The disk is full, or the cache may not be written to.
    ValueError
        A checksum is wrong; nothing is kept.
    FileNotFoundError
        The archive lacks a member, or the source has no such file.

    Examples
    --------
    >>> from toolkit import catalog
    >>> catalog.fetch("burundi/lights").name
    'ntl.tif'
    """
    about = entry(name)
    places = _obtain(name, progress)
    first = places[about.files[0].path]
    return first.parent if about.kind == "image" and len(about.files) > 1 else first


def open(name, **options):
    """Open a data set, fetching it first if need be.

    Parameters
    ----------
    name : str
        As listed by `entries`.
    **options
        For images: `bands`, a name or a list of names (all by default); `resolution`, the pixel
        size in CRS units of one of the native grids, onto which the other bands are brought by
        coordinates (cubic to a finer grid, average to a coarser one; by default the entry's
        `grid` if a chosen band has it, else the finest); `chunks`, as for
        `rioxarray.open_rasterio`, for a lazy, dask-backed result. For class maps: `chunks`.
        For the teaching scene: `seed`, `style`, `season` and more, see `toolkit.scene.open`.

    Returns
    -------
    xarray.DataArray, geopandas.GeoDataFrame or pandas.DataFrame
        Images: (band, y, x), float32, band names, CRS, nodata as NaN. Class maps: (y, x), uint8,
        nodata 255, ``attrs["classes"]``. Both and the tables carry title, licence, citation,
        sensor, date, source and simulated in ``attrs``; images also units and long_name.

    Raises
    ------
    TypeError
        An option that the entry does not take.
    ValueError
        A band or a resolution that it does not have; also what `fetch` raises.

    Examples
    --------
    >>> from toolkit import catalog
    >>> catalog.open("raleigh/image", bands=["red", "nir"]).sizes["band"]
    2
    """
    from . import reading

    about = entry(name)
    if about.driver.name == "scene":
        data = reading.read_scene(name, about, options)
    else:
        data = reading.read(name, about, _obtain(name), options)
    _opened[name] = checksum(name)
    return data


def checksum(name, **options):
    """Return the sha256 that identifies the content of a data set.

    Parameters
    ----------
    name : str
        As listed by `entries`.
    **options
        For the teaching scene: those that it would be opened with, without `bands` and `chunks`.

    Returns
    -------
    str
        The sha256 of the file; of the list of the files' checksums where there are several; of
        version, code and options for the teaching scene.

    Raises
    ------
    TypeError
        Options for a data set that takes none here.

    Examples
    --------
    >>> from toolkit import catalog
    >>> catalog.checksum("burundi/lights")[:8]
    '0b805872'
    """
    about = entry(name)
    if about.driver.name == "scene":
        from toolkit import scene

        return scene.checksum(about.driver.layer, **options)
    if options:
        raise TypeError(f"{name}: the checksum of a file does not depend on {', '.join(options)}")
    sums = [member.sha256 for member in about.members]
    if None in sums:
        from . import cache

        places = _obtain(name)
        sums = [m.sha256 or cache.sha256(places[m.path]) for m in about.members]
    if len(sums) == 1:
        return sums[0]
    lines = "".join(f"{s}  {m.path}\n" for s, m in zip(sums, about.members, strict=True))
    return hashlib.sha256(lines.encode()).hexdigest()


def opened():
    """Return the data sets opened in this process, for the record of a run.

    Returns
    -------
    dict of str to str
        Name to checksum.

    Examples
    --------
    >>> from toolkit import catalog
    >>> _ = catalog.open("burundi/lights")
    >>> "burundi/lights" in catalog.opened()
    True
    """
    return dict(_opened)


def entries():
    """Return the catalogue as a table.

    Returns
    -------
    pandas.DataFrame
        One row per data set; index `name`; columns title, kind, driver, sensor, date, resolution,
        crs, bands, licence, size (bytes of its files), download (bytes of the archive, which
        several data sets may share), cached, simulated.

    Examples
    --------
    >>> from toolkit import catalog
    >>> "burundi/lights" in catalog.entries().index
    True
    """
    import pandas

    rows = {}
    for name, about in _entries().items():
        places = _where(about)
        rows[name] = {
            "title": about.title,
            "kind": about.kind,
            "driver": about.driver.name,
            "sensor": about.sensor,
            "date": about.date,
            "resolution": about.resolution,
            "crs": about.crs,
            "bands": ", ".join(band.name for band in about.bands),
            "licence": about.licence,
            "size": sum(_size(places[m.path], m.bytes) for m in about.members),
            "download": getattr(about.driver, "bytes", None) or 0,
            "cached": all(places[member.path].is_file() for member in about.members),
            "simulated": about.simulated,
        }
    return pandas.DataFrame.from_dict(rows, orient="index").rename_axis("name")


def _size(path, known):
    return known if known is not None else (path.stat().st_size if path.is_file() else 0)


def print_table(console=None):
    """Print the catalogue, and what of it is in the cache, as a table.

    Parameters
    ----------
    console : rich.console.Console, optional
        Where to print; the terminal by default.
    """
    from . import terminal

    terminal.print_table(console)


def fetch_all(names, console=None):
    """Fetch several data sets with a progress bar per archive; errors are reported at the end.

    Parameters
    ----------
    names : list of str
        Names as listed by `entries`; an empty list means all that are downloaded. Layers of the
        scene are made when they are first opened, or when they are named here.
    console : rich.console.Console, optional
        Where to print; the terminal by default.

    Returns
    -------
    int
        How many could not be fetched.
    """
    from . import terminal

    return terminal.fetch_all(names, console)
