"""What is a valid entry of the catalogue?

The catalogue is a YAML file. Its ``entries`` map a name (``place/thing``) to the fields of
`Entry`; its ``archives`` only give YAML anchors a home, so that entries of one archive can share
the driver's arguments. Everything is checked when the file is read, and the error names the entry
and the field.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

ARCHIVES = (".whl", ".zip", ".tar.gz", ".tgz", ".tar", ".tar.bz2", ".tar.xz")


def _inside(path):
    """Members stay below the folder that they are unpacked into."""
    if path.startswith("/") or "\\" in path or ":" in path or ".." in path.split("/"):
        raise ValueError(
            "a member's path is relative, uses forward slashes and stays inside its archive"
        )
    return path


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, Field(min_length=1)]
# YAML reads an unquoted 2009-12-22 as a date and 2012 as a number; both are meant as text here.
Date = Annotated[str, BeforeValidator(str), Field(min_length=1)]
MemberPath = Annotated[str, Field(min_length=1), AfterValidator(_inside)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Pypi(_Model):
    """An archive on the Python package index, fetched by pip: pinned and hash-checked."""

    name: Literal["pypi"]
    package: Text
    version: Text
    form: Literal["wheel", "sdist"]
    archive: Text
    bytes: int = Field(gt=0)
    sha256: Sha256


class Url(_Model):
    """A file, or an archive of files, behind a URL, fetched by pooch."""

    name: Literal["url"]
    url: Annotated[str, Field(pattern=r"^(https?|ftp|sftp|doi):")]
    sha256: Sha256
    bytes: int | None = Field(default=None, gt=0)

    @property
    def archive(self):
        """File name of the download."""
        return self.url.split("?")[0].rstrip("/").split("/")[-1]


class File(_Model):
    """A file, an archive or a folder on this machine; the path is relative to the catalogue."""

    name: Literal["file"]
    path: Text
    sha256: Sha256 | None = None

    @property
    def archive(self):
        """File name."""
        return Path(self.path).name


class Scene(_Model):
    """A layer of the teaching scene, made here; see `toolkit.scene.LAYERS`."""

    name: Literal["scene"]
    layer: Text
    sha256: None = None

    @property
    def archive(self):
        """Name of the layer."""
        return f"scene/{self.layer}"


# A new driver (`stac` is to come) adds its arguments here and its function to drivers.DRIVERS
# under the same name.
Driver = Annotated[Pypi | Url | File | Scene, Field(discriminator="name")]


class Member(_Model):
    """A file of the archive, and which bands it holds, in order."""

    path: MemberPath
    sha256: Sha256 | None = None
    bytes: int | None = Field(default=None, ge=0)
    bands: list[Text] = []


class Band(_Model):
    """A band; `scale` and `offset` turn stored numbers into `units`."""

    name: Text
    long_name: Text
    units: Text
    scale: float = 1.0
    offset: float = 0.0
    resampling: Literal["nearest", "cubic"] = "cubic"


class Class(_Model):
    """A class of a map."""

    value: int = Field(ge=0, le=254)
    name: Text
    color: Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$")]


class Entry(_Model):
    """One data set: what it is, where it comes from and how it is read."""

    title: Text
    description: Text
    kind: Literal["image", "classes", "vector", "table"]
    driver: Driver
    licence: Text
    citation: Text
    sensor: Text
    date: Date
    resolution: Text
    crs: Text
    files: list[Member] = []
    bands: list[Band] = []
    classes: list[Class] = []
    # "file" believes the file's own tag; a number replaces it; null says that every value counts
    nodata: float | Literal["file"] | None = "file"
    # pixels whose centre lies outside this outline are nodata
    outline: Member | None = None
    # the CRS above replaces the file's own, which is wrong
    override_crs: bool = False
    # pixel size, in CRS units, of the grid opened by default where bands differ (else the finest)
    grid: float | None = Field(default=None, gt=0)
    layer: str | None = None
    where: str | None = None
    columns: list[Text] | None = None
    simulated: bool = False

    @model_validator(mode="before")
    @classmethod
    def _one_file(cls, entry: Any):
        """A source that is one plain file needs no list of files."""
        driver = entry.get("driver") if isinstance(entry, dict) else None
        if isinstance(driver, dict) and not entry.get("files"):
            if driver.get("name") == "scene":
                return entry | {"files": [{"path": str(driver.get("layer"))}]}
            source = str(driver.get("path") or driver.get("url") or "").split("?")[0]
            if source and not source.endswith(ARCHIVES):
                bands = [b.get("name") for b in entry.get("bands") or [] if isinstance(b, dict)]
                member = {"path": source.rstrip("/").split("/")[-1], "bands": bands}
                entry = entry | {"files": [member | {"sha256": driver.get("sha256")}]}
        return entry

    @model_validator(mode="after")
    def _consistent(self):
        if not self.files:
            raise ValueError("files: name at least one member of the archive")
        if self.driver.name == "pypi":
            for member in [*self.files, *([self.outline] if self.outline else [])]:
                if member.sha256 is None:
                    raise ValueError(f"files: {member.path} has no sha256")
        if self.driver.name == "scene":
            from toolkit import scene

            scene.path(self.driver.layer, make=False)  # a ValueError where there is none
            return self  # its layers bring their bands and classes with them
        if self.kind == "image":
            named = [band.name for band in self.bands]
            held = [band for member in self.files for band in member.bands]
            if not named or sorted(named) != sorted(held) or len(set(named)) != len(named):
                raise ValueError(
                    f"bands: an image needs each band once, and in one file; "
                    f"bands: {named}, in files: {held}"
                )
        if self.kind == "classes" and not self.classes:
            raise ValueError("classes: a class map needs its classes (value, name, color)")
        values = [each.value for each in self.classes]
        if len(set(values)) != len(values):
            raise ValueError(f"classes: a value appears twice in {values}")
        return self

    @property
    def members(self):
        """Every file that the entry needs."""
        return [*self.files, *([self.outline] if self.outline else [])]


class UniqueKeys(yaml.SafeLoader):
    """A safe loader that refuses a key given twice, which YAML would silently overwrite."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", node.start_mark
                )
        return super().construct_mapping(node, deep)


def load(path):
    """Read and check a catalogue.

    Parameters
    ----------
    path : str or Path
        The YAML file.

    Returns
    -------
    dict of str to Entry

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is no YAML, or entries are wrong; each with the field and the reason.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FileNotFoundError(
            f"no data catalogue at {path}. The default one, data_catalog.yaml, lies at the root of "
            "the repository: install the package from there with `pip install -e .`, or point "
            "the environment variable TOOLKIT_CATALOG (or catalog.use) at your own."
        ) from None
    try:
        content = yaml.load(text, UniqueKeys)  # a SafeLoader: it builds plain values only
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("entries"), dict):
        raise ValueError(f"{path}: expected a mapping `entries:` from names to data sets")
    unknown = sorted(set(content) - {"entries", "archives"})
    if unknown:
        raise ValueError(f"{path}: unknown sections {unknown}; there are `entries`, `archives`")
    entries, problems = {}, []
    for name, fields in content["entries"].items():
        if not re.fullmatch(r"[a-z0-9_]+/[a-z0-9_]+", str(name)):
            problems.append(f"{name}: a name reads place/thing, in lower case, digits and _")
        try:
            entries[name] = Entry.model_validate(fields)
        except ValidationError as error:
            problems += [f"{name}: {_explain(each)}" for each in error.errors()]
    if problems:
        raise ValueError("\n  ".join([f"{path} has wrong entries:", *problems]))
    return entries


def _explain(error):
    """One line for one pydantic error: the field, then the reason."""
    # A discriminated union puts the driver's name between the field and its argument.
    steps = [str(step) for step in error["loc"]]
    if steps[:1] == ["driver"] and steps[1:2] and steps[1] in {"pypi", "url", "file", "scene"}:
        del steps[1]
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        message = "there is no such field; check its spelling"
    if error["type"] == "union_tag_not_found":
        message = "it needs a `name`: pypi, url, file or scene"
    given = error.get("input")
    if steps and not isinstance(given, (dict, list)) and error["type"] != "missing":
        message += f" (given: {given!r})"
    return f"{'.'.join(steps)}: {message}" if steps else message
