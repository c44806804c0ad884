"""How do graded roofs leave the notebook: for a GIS, for a table, for a meeting?"""

import json
import os
import re
import tempfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pyogrio

from toolkit.suitability.layers import grade_colors
from toolkit.suitability.picture import NO_COLOR
from toolkit.suitability.roofs import NO_GRADE, by_grade
from toolkit.suitability.summary import origins, summary

DISTRICTS = "districts"
FILES = {
    "geopackage": ".gpkg",
    "geoparquet": ".parquet",
    "style": ".qml",
    "csv": ".csv",
    "summary": ".html",
}
FORMULA = re.compile(r"^(?=[=+\-@\t\r])")


def export(roofs, folder, districts=None, name="roofs", overwrite=False, **page):
    """Write graded roofs as GeoPackage, GeoParquet, CSV and a page for a planner.

    Parameters
    ----------
    roofs : geopandas.GeoDataFrame
        As from `to_roofs`, in a projected CRS; roofs without a grade may be among them.
    folder : str or Path
        Made if it is not there.
    districts : geopandas.GeoDataFrame, optional
        Polygons in the CRS of the roofs: a second layer of the GeoPackage, and a table and
        outlines on the page.
    name : str
        Of the files and of the layer: letters, digits, ``_`` and ``-``.
    overwrite : bool
        Replace files of these names. Otherwise nothing is written if one of them is there.
    page
        Further arguments of `summary` by name: ``title``, ``grade``, ``district``, ``weights``,
        ``scores``, ``reason``, ``sources``, ``notes``, ``date``.

    Returns
    -------
    pandas.Series
        Paths by what they are:

        ``geopackage`` has the layers `name` and ``districts``, each with the style that QGIS shows
        it in (table ``layer_styles``). ``geoparquet`` has the roofs, and ``style`` lies beside it,
        where QGIS looks for it; grades stay ordered categories there, and are text in a GeoPackage.
        ``csv`` has no geometry but ``longitude`` and ``latitude`` of the centroid (WGS 84,
        degrees), ``area_m2`` and, if they are, ``simulated``; numbers are rounded to four
        decimals. ``summary`` is the page of `summary`: any browser shows it and prints it, to PDF
        too.

    Raises
    ------
    FileExistsError
        Without `overwrite`: a file is there already. With it: another program has the
        GeoPackage open.
    NotADirectoryError
        `folder` is a file, or lies in one.
    KeyError, TypeError, ValueError
        What `summary` refuses; columns that these formats cannot hold.

    Notes
    -----
    All files are made in a hidden folder inside `folder` and moved to their places when all are
    complete, so that an error leaves the old ones as they were.

    In the CSV, text that starts with ``=``, ``+``, ``-`` or ``@`` gets an apostrophe before it, or
    spreadsheet programs would run it as a formula; a byte order mark tells them that it is UTF-8.

    The table ``layer_styles`` is a custom of QGIS (user manual, "Save in database") and no part of
    the GeoPackage standard, which allows such tables; other programs pass over it.

    Examples
    --------
    >>> paths = export(roofs, "out", districts, weights=weights)  # doctest: +SKIP
    >>> paths["geopackage"]                                       # doctest: +SKIP
    PosixPath('out/roofs.gpkg')
    """
    html = summary(roofs, districts, **page)
    grade = page.get("grade", "grade")
    _names(name, roofs, districts)
    folder = Path(folder)
    if not next(place for place in (folder, *folder.absolute().parents) if place.exists()).is_dir():
        raise NotADirectoryError(f"{folder}: this is a file, or lies in one; name a folder")
    paths = {kind: folder / f"{name}{ending}" for kind, ending in FILES.items()}
    there = [path.name for path in paths.values() if path.exists()]
    if there and not overwrite:
        raise FileExistsError(
            f"{folder} has {', '.join(there)} already; take another folder or name, or replace "
            "them with overwrite=True"
        )
    # a journal belongs to the file it was opened with; beside a new one it would spoil it
    journals = [f"{name}.gpkg{end}" for end in ("-wal", "-journal")]
    journals = [journal for journal in journals if (folder / journal).exists()]
    if journals:
        raise FileExistsError(
            f"{folder} has {', '.join(journals)}: another program (QGIS?) has {name}.gpkg open, or "
            "broke off. Close it there, or open and close it once, and export again."
        )
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=f".{name}-") as new:
            fresh = {kind: Path(new) / path.name for kind, path in paths.items()}
            style = grade_style(roofs, grade)
            _geopackage(fresh["geopackage"], roofs, districts, name, style, page)
            known = json.loads(json.dumps(roofs.attrs, default=str))
            whole = roofs.copy()
            whole.attrs = known  # a number type of numpy would not go into the file
            whole.to_parquet(fresh["geoparquet"])
            fresh["style"].write_text(style, encoding="utf-8")
            named = any(level is not None for level in roofs.index.names)
            table(roofs).to_csv(fresh["csv"], index=named, encoding="utf-8-sig")
            fresh["summary"].write_text(html, encoding="utf-8")
            for kind, path in paths.items():
                os.replace(fresh[kind], path)
    except BaseException:
        for place in made:
            if place.exists() and not any(place.iterdir()):
                place.rmdir()
        raise
    return pd.Series(paths, name="path")


def _names(name, roofs, districts):
    """Say what these formats cannot hold, before anything is written."""
    if not re.fullmatch(r"[^\W\d_][\w-]*", str(name)) or name in (DISTRICTS, "layer_styles"):
        raise ValueError(
            f"name={name!r}: files and a layer are called so; start with a letter, go on with "
            f"letters, digits, _ and -, and leave {DISTRICTS!r} to the districts"
        )
    taken = [c for c in ("longitude", "latitude", "area_m2", "simulated") if c in roofs.columns]
    if taken:
        raise ValueError(f"roofs: the columns {taken} are there already; drop or rename them first")
    for what, layer in (("roofs", roofs), ("districts", districts)):
        if layer is None:
            continue
        lower = pd.Series([str(column).lower() for column in layer.columns])
        if lower.duplicated().any():
            twice = [
                c for c, low in zip(layer.columns, lower, strict=True) if sum(lower == low) > 1
            ]
            raise ValueError(
                f"{what}: the columns {twice} differ in capital letters only or not at all, and a "
                "GeoPackage would take them for one; rename or drop some"
            )
        shapes = [c for c in layer.columns if layer[c].dtype == "geometry"]
        nested = [
            c
            for c in layer.columns.difference(shapes)
            if layer[c].dtype == object
            and layer[c].map(lambda value: isinstance(value, list | dict | set | np.ndarray)).any()
        ]
        bad = [c for c in shapes if c != layer.geometry.name] + nested
        if bad:
            raise ValueError(
                f"{what}: the columns {bad} hold geometries, lists or dicts, which a table of "
                "values cannot; drop them or turn them into text first"
            )


def _plain(layer):
    """The layer without categories, and without attrs."""
    layer = layer.copy()
    layer.attrs = {}
    for column in layer.columns:
        if isinstance(layer[column].dtype, pd.CategoricalDtype):
            layer[column] = pd.Series(layer[column].to_numpy(), layer.index)
    return layer


def table(roofs):
    """Return the table of the CSV: no geometry, but longitude, latitude and area.

    Parameters
    ----------
    roofs : geopandas.GeoDataFrame
        In a projected CRS.

    Returns
    -------
    pandas.DataFrame
        Columns of `roofs`, numbers with four decimals; ``longitude`` and ``latitude`` of the
        centroid (degrees, six decimals: 0.1 m), ``area_m2``, and ``simulated`` (True) if they are.

    Examples
    --------
    >>> import geopandas as gpd, shapely
    >>> roofs = gpd.GeoDataFrame({"kind": ["=1+1"]}, geometry=[shapely.box(5e5, 0, 500010, 10)],
    ...                          crs="EPSG:32648")
    >>> table(roofs).loc[0].to_dict()
    {'kind': "'=1+1", 'longitude': 105.000045, 'latitude': 4.5e-05, 'area_m2': 100.0}
    """
    points = roofs.centroid.to_crs("EPSG:4326")
    result = pd.DataFrame(_plain(roofs).drop(columns=roofs.geometry.name)).round(4)
    for column in result.columns:
        if pd.api.types.is_object_dtype(result[column]) or pd.api.types.is_string_dtype(
            result[column]
        ):
            result[column] = result[column].map(
                lambda value: FORMULA.sub("'", value) if isinstance(value, str) else value
            )
    result = result.assign(
        longitude=points.x.round(6), latitude=points.y.round(6), area_m2=roofs.area.round(1)
    )
    return result.assign(simulated=True) if roofs.attrs.get("simulated") else result


def _geopackage(path, roofs, districts, name, style, page):
    """Layers, their styles, and what is known about them."""
    layers = {name: (roofs, style, "Grades")}
    if districts is not None:
        outlines = outline_style(page.get("district", "name"))
        layers[DISTRICTS] = (districts, outlines, "Outlines")
    rows = []
    for layer, (data, qml, title) in layers.items():
        about = {key: str(value) for key, value in data.attrs.items() if _is_text(value)}
        # GDAL's own key is called fid; a column of this name would become the key and be lost
        taken = {str(column).lower() for column in [*data.columns, *data.index.names]}
        key = next(k for k in ("fid", "gpkg_fid", "gpkg_fid_2") if k not in taken)
        shape = data.geometry.name
        described = "Simulated data. " if data.attrs.get("simulated") else ""
        described += " ".join(origins([data]))
        _plain(data).to_file(
            path,
            layer=layer,
            driver="GPKG",
            geometry_type="MultiPolygon" if _mixed(data) else None,
            promote_to_multi=_mixed(data),
            layer_metadata=about or None,
            layer_options={"FID": key, "GEOMETRY_NAME": shape, "DESCRIPTION": described},
        )
        rows.append(
            {
                "f_table_catalog": "",
                "f_table_schema": "",
                "f_table_name": layer,
                "f_geometry_column": shape,
                "styleName": title,
                "styleQML": qml,
                "styleSLD": "",
                "useAsDefault": True,
                "description": f"{title} of the layer {layer}",
                "owner": "",
                "ui": None,
                "update_time": pd.Timestamp.now("UTC").floor("ms"),
            }
        )
    pyogrio.write_dataframe(
        pd.DataFrame(rows), path, layer="layer_styles", driver="GPKG", layer_options={"FID": "id"}
    )


def _mixed(layer):
    return layer.geom_type.nunique() > 1


def _is_text(value):
    return isinstance(value, str | bool | int | float | list | tuple | dict)


def grade_style(roofs, grade="grade"):
    """Return a QGIS style (QML) that colours roofs by grade.

    Parameters
    ----------
    roofs : geopandas.GeoDataFrame
        With the grades.
    grade : str
        Their column.

    Returns
    -------
    str
        One category for each grade, highest first, in the toolkit's colours, and a grey one for
        all other values, as roofs without a grade have.

    Examples
    --------
    >>> import geopandas as gpd, shapely
    >>> roofs = gpd.GeoDataFrame({"grade": ["high"]}, geometry=[shapely.box(0, 0, 9, 9)],
    ...                          crs="EPSG:32648")
    >>> 'label="medium"' in grade_style(roofs)
    True
    """
    names = [name for name in by_grade(roofs, grade).index if name != NO_GRADE]
    colors = grade_colors(names)
    root, renderer = _renderer("categorizedSymbol", attr=grade)
    categories = ElementTree.SubElement(renderer, "categories")
    symbols = ElementTree.SubElement(renderer, "symbols")
    for number, text in enumerate([*names, ""]):
        ElementTree.SubElement(
            categories,
            "category",
            symbol=str(number),
            value=text,
            label=text or "no grade",
            type="string" if text else "NULL",
            render="true",
        )
        color = colors.get(text, NO_COLOR)
        _fill(symbols, number, {"color": _rgba(color), "outline_color": _rgba(color)})
    return _text(root)


def outline_style(label):
    """Return a QGIS style (QML) of outlines with a label.

    Parameters
    ----------
    label : str
        Column with the label.

    Returns
    -------
    str

    Examples
    --------
    >>> 'fieldName="name"' in outline_style("name")
    True
    """
    root, renderer = _renderer("singleSymbol")
    symbols = ElementTree.SubElement(renderer, "symbols")
    look = {"style": "no", "outline_color": _rgba("#333333"), "outline_width": "0.4"}
    _fill(symbols, 0, look)
    root.set("labelsEnabled", "1")
    settings = ElementTree.SubElement(
        ElementTree.SubElement(root, "labeling", type="simple"), "settings"
    )
    style = ElementTree.SubElement(
        settings,
        "text-style",
        fieldName=label,
        isExpression="0",
        fontSize="9",
        fontSizeUnit="Point",
        textColor=_rgba("#222222"),
    )
    ElementTree.SubElement(
        style,
        "text-buffer",
        bufferDraw="1",
        bufferSize="0.8",
        bufferSizeUnits="MM",
        bufferColor=_rgba("#ffffff"),
    )
    return _text(root)


def _renderer(kind, **attributes):
    root = ElementTree.Element("qgis", version="3.22", styleCategories="Symbology|Labeling")
    attributes = {"type": kind, "symbollevels": "0", "enableorderby": "0", **attributes}
    return root, ElementTree.SubElement(root, "renderer-v2", attributes)


def _fill(symbols, number, look):
    """One filled symbol; widths in millimetres of the screen or paper."""
    symbol = ElementTree.SubElement(symbols, "symbol", type="fill", name=str(number), alpha="1")
    layer = ElementTree.SubElement(symbol, "layer", {"class": "SimpleFill", "enabled": "1"})
    options = ElementTree.SubElement(layer, "Option", type="Map")
    base = {"style": "solid", "outline_style": "solid", "outline_width": "0.1"}
    for key, value in {**base, "outline_width_unit": "MM", **look}.items():
        ElementTree.SubElement(options, "Option", name=key, type="QString", value=value)


def _rgba(color):
    return ",".join(str(int(color[k : k + 2], 16)) for k in (1, 3, 5)) + ",255"


def _text(root):
    ElementTree.indent(root)
    return "<!DOCTYPE qgis>\n" + ElementTree.tostring(root, encoding="unicode") + "\n"
