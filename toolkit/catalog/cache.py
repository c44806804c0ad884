"""Where do files lie on this machine, and are they whole?

Archives and the members taken out of them are kept below one folder. A file is written beside its
final place and moved there when it is complete and its checksum is right, so that the cache never
holds half a file; a lock per archive keeps processes that want the same one from fetching it twice.
"""

import contextlib
import difflib
import errno
import hashlib
import os
import tarfile
import tempfile
import zipfile
from functools import lru_cache
from pathlib import Path


def folder():
    """Return the cache folder: the environment variable TOOLKIT_DATA, or the system's usual place.

    Returns
    -------
    Path
    """
    if os.environ.get("TOOLKIT_DATA"):
        return Path(os.environ["TOOLKIT_DATA"]).expanduser().absolute()
    import pooch

    return Path(pooch.os_cache("reading-cities-from-space"))


def sha256(path):
    """Return the sha256 of a file as hexadecimal digits; an unchanged file is hashed once."""
    status = os.stat(path)
    return _sha256(str(path), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=1024)
def _sha256(path, size, mtime):
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_whole(path, member):
    """Tell whether a cached file is there and is what the catalogue says, by size and checksum."""
    if not Path(path).is_file():
        return False
    if member.bytes is not None and os.path.getsize(path) != member.bytes:
        return False
    return member.sha256 is None or sha256(path) == member.sha256


@contextlib.contextmanager
def lock(key):
    """Hold the lock of one archive; other processes that want it wait."""
    import filelock

    where = folder() / "locks"
    with explained(where):
        where.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(where / f"{key}.lock"):
        yield


@contextlib.contextmanager
def explained(path):
    """Turn a full disk and a folder that may not be written to into errors with a remedy."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise full(path) from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise PermissionError(
                error.errno,
                f"the data cache cannot be written to ({error.strerror}). Set the environment "
                "variable TOOLKIT_DATA to a folder of your own",
                str(path),
            ) from error
        raise


def full(path):
    """Return the error for a full disk."""
    return OSError(
        errno.ENOSPC,
        "the disk is full: the file was not kept. Free some space, or set the environment "
        "variable TOOLKIT_DATA to a folder on a larger disk",
        str(path),
    )


@contextlib.contextmanager
def writing(path):
    """Write a file so that it appears at `path` complete or not at all.

    Yields an open binary file in the same folder, which takes its place when the block ends
    without an error and is removed otherwise.
    """
    path = Path(path)
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".part-", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def keep(source, path, expected, what):
    """Copy an open file into the cache if its sha256 is the one expected.

    Raises
    ------
    ValueError
        The checksum differs; nothing is kept.
    """
    digest = hashlib.sha256()
    with writing(path) as file:
        while block := source.read(1 << 20):
            digest.update(block)
            file.write(block)
        if expected is not None and digest.hexdigest() != expected:
            raise wrong_checksum(what, expected, digest.hexdigest())


def wrong_checksum(what, expected, found):
    """Return the error for a checksum that differs."""
    return ValueError(
        f"{what} has a wrong checksum and was not kept: the catalogue says sha256 {expected}, "
        f"it has {found}. Somebody changed the file, or the transfer broke: try again; if it "
        "stays wrong, do not use it, and correct the catalogue only if you know why it changed."
    )


def unpack(archive, members, target):
    """Take members out of an archive into a folder, each checked against its sha256.

    Parameters
    ----------
    archive : Path
        A zip file (a wheel is one) or a tar file.
    members : list of Member
        What to take; their paths are kept below `target`.
    target : Path
        The folder in the cache.

    Raises
    ------
    FileNotFoundError
        The archive lacks a member; the nearest names are given.
    ValueError
        The archive is broken, or a member's checksum is wrong.
    """
    wanted = {member.path: member for member in members}
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as box:
                names = box.namelist()
                for path in [path for path in wanted if path in names]:
                    with box.open(path) as source:
                        _keep_member(source, archive, wanted.pop(path), target)
        else:
            names = []
            with tarfile.open(archive) as box:  # one pass: going back decompresses again
                for info in box:
                    names.append(info.name)
                    if info.isfile() and info.name in wanted:
                        with box.extractfile(info) as source:
                            _keep_member(source, archive, wanted.pop(info.name), target)
                    if not wanted:
                        break
    except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise ValueError(
            f"{archive.name} cannot be unpacked ({error}): delete {archive} and fetch it again"
        ) from error
    for path in wanted:
        near = difflib.get_close_matches(path, names, n=3, cutoff=0.4)
        raise FileNotFoundError(
            f"{archive.name} has no member {path!r}"
            + (f"; the nearest are {', '.join(near)}" if near else "")
            + ". Correct the entry's `files` in the catalogue."
        )


def _keep_member(source, archive, member, target):
    keep(source, target / member.path, member.sha256, f"{member.path} in {archive.name}")
