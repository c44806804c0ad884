"""How does a reader correct buildings by hand, on a map?"""

import getpass
import warnings
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pyogrio

from toolkit import buildings as _buildings
from toolkit.buildings.layers import footprints, same_crs
from toolkit.maps import pictures
from toolkit.maps.editor import Editor

MANY = 20_000  # buildings from which browsers get slow


def edit(
    buildings,
    image=None,
    edits=None,
    who=None,
    path=None,
    height="560px",
    max_pixels=pictures.MAX_PIXELS,
):
    """Correct buildings by hand in JupyterLab: draw, reshape, delete, split, merge, undo, save.

    What is done becomes records, as `toolkit.buildings.record` makes them, and nothing else: they
    replay on another prediction with `toolkit.buildings.apply_edits`.

    Parameters
    ----------
    buildings : geopandas.GeoDataFrame
        Footprints in a projected CRS, as `toolkit.buildings.vectorise` predicts them. It stays as
        it is. No row at all is fine if there is an image.
    image : Layer or xarray.DataArray, optional
        What to look at while correcting, as `show` takes it.
    edits : geopandas.GeoDataFrame, optional
        Earlier records to go on from.
    who : str, optional
        Whose name the records bear; by default that of the account. It can be changed on the map.
    path : str or Path, optional
        GeoPackage that every edit is written to at once. If it holds edits already they come
        first, and the work goes on from there.
    height : str
        Height of the map, in CSS units.
    max_pixels : int
        Longest side of the image on the map, as in `show`.

    Returns
    -------
    Editor

    Raises
    ------
    TypeError, ValueError
        A layer that `toolkit.buildings.clean` should see first, without CRS or in degrees; edits
        in another CRS; a file that is no GeoPackage; nothing to show.
    FileNotFoundError
        The folder of `path` does not exist.

    Warns
    -----
    UserWarning
        More than 20,000 buildings: the browser gets slow.

    Notes
    -----
    Corners that are set or moved are known to a millionth of a degree (11 cm), as the browser
    sends them; all others keep their coordinates bit for bit. Without a kernel, as in a page of
    the book, the map can be looked at and its buttons say what they need.

    Examples
    --------
    >>> editor = maps.edit(predicted, image=scene, who="Ada", path="corrections.gpkg")
    >>> editor                 # the last line of a cell shows it
    >>> editor.edits           # the records
    >>> editor.buildings       # the layer as corrected
    """
    footprints(buildings)
    if image is None and buildings.empty:
        raise ValueError("maps.edit: no building and no image, so there is nothing to show")
    if len(buildings) > MANY:
        warnings.warn(
            f"maps.edit: {len(buildings)} buildings make the browser slow; from {MANY} on, "
            "correct one part of the town after the other, such as buildings.cx[west:east, :]",
            stacklevel=2,
        )
    path = None if path is None else Path(path)
    edits = _start(buildings, edits, path)
    if who is None:
        try:
            who = getpass.getuser()
        except (OSError, KeyError):  # an account without a name
            who = ""
    return Editor(buildings, image, edits, who, path, height, max_pixels)


def _start(buildings, edits, path):
    """The records to begin with: those of the file, then those given."""
    if edits is not None:
        if not isinstance(edits, gpd.GeoDataFrame) or "operation" not in edits:
            raise TypeError(
                "edits: expected a table from buildings.new_edits, record or read_edits, got "
                f"{type(edits).__name__}"
            )
        same_crs(edits, buildings, "edits")
    else:
        edits = _buildings.new_edits(buildings.crs)
    if path is None or not _checked(path).exists():
        return edits
    try:
        known = pyogrio.list_layers(path)[:, 0]
    except pyogrio.errors.DataSourceError as error:
        raise ValueError(f"path={str(path)!r}: the file is no GeoPackage ({error})") from None
    if "edits" not in known:
        return edits
    earlier = _buildings.read_edits(path)
    same_crs(earlier, buildings, f"edits in {path.name}")
    earlier = earlier[~earlier["id"].isin(edits["id"])]
    if earlier.empty or edits.empty:
        return edits if earlier.empty else earlier.reset_index(drop=True)
    both = pd.concat([earlier, edits]).sort_values("when", kind="stable")
    return both.reset_index(drop=True)


def _checked(path):
    """Complain before anything is lost about a file that cannot be written."""
    if path.suffix.lower() != ".gpkg":
        raise ValueError(f"path={str(path)!r}: edits are kept in a GeoPackage, name it *.gpkg")
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"path={str(path)!r}: there is no folder {str(path.parent)!r}; make it first, or "
            "correct its name, so that no edit is lost later"
        )
    return path
