"""What is a chip table, and does it belong to this image?

Use it through `toolkit.chips`.
"""

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from toolkit import _checks
from toolkit.chips.grids import IGNORE, align, as_label, classes_of, geobox, has_data


def make(image, label, rows, cols, size, max_nodata, classes):
    share(max_nodata, "max_nodata")
    valid = has_data(image)
    if not valid.any():
        raise ValueError("image: there is no pixel with data in every band")
    pick = [(slice(r, r + size), slice(c, c + size)) for r, c in zip(rows, cols, strict=True)]
    data = {"row": rows, "col": cols, "size": size, "nodata": [1 - valid[w].mean() for w in pick]}
    attrs = provenance(image)
    if label is not None:
        label = on_grid(label, image)
        known = classes_of(label, classes)
        counts = np.array([np.bincount(label.values[w].ravel(), minlength=256) for w in pick])
        labelled = counts[:, :IGNORE].sum(axis=1)
        data["labelled"] = labelled / size**2
        for item in known:
            with np.errstate(invalid="ignore"):
                data[f"share_{item['name']}"] = counts[:, item["value"]] / labelled
        attrs["classes"] = known
    table = gpd.GeoDataFrame(data, geometry=boxes(image, rows, cols, size, size), crs=image.rio.crs)
    table = table[table["nodata"] <= max_nodata].reset_index(drop=True)
    if table.empty:
        raise ValueError(
            f"every chip has more than {max_nodata:.0%} nodata (the best {min(data['nodata']):.0%})"
            ". Use smaller chips, or raise max_nodata."
        )
    table.attrs = attrs
    return table


def windows(table, image):
    """Check that a chip table belongs to an image; return its windows (row, col, size)."""
    _checks.raster(image, "image")
    columns(table)
    same_crs(table, image)
    row, col, size = out = table[["row", "col", "size"]].to_numpy().T
    height, width = image.shape[1:]
    beyond = (row < 0) | (col < 0) | (row + size > height) | (col + size > width)
    if beyond.any():
        first = int(np.flatnonzero(beyond)[0])
        raise ValueError(
            f"{beyond.sum()} chip windows reach beyond the image of {height} x {width} pixels, the "
            f"first at row {row[first]}, col {col[first]}, size {size[first]}. The table was made "
            "on another image; use chips.regrid(table, image) if this one is a zoom of it."
        )
    box = geobox(image)
    here = shapely.bounds(boxes(image, row, col, size, size))
    there = table.geometry.bounds.to_numpy()
    off = np.abs(here - there).max() / abs(box.affine.a)
    if off > 0.01:
        raise ValueError(
            f"the footprints of the table lie up to {off:.1f} pixels away from its windows on this "
            "image: it was made on another grid. Make it from this image, or use "
            "chips.regrid(table, image) if this image is a zoom of the table's."
        )
    return out.T


def several(**given):
    """Return the arguments place by place: one tuple, or one for each item of equally long lists.

    The first argument is the image: all places must have its bands, in one order.
    """
    long = {name: len(v) for name, v in given.items() if isinstance(v, list | tuple)}
    if not long:
        return [tuple(given.values())]
    if len(long) < len(given) or len(set(long.values())) > 1 or 0 in long.values():
        found = ", ".join(f"{name} {long.get(name, 'no list')}" for name in given)
        raise ValueError(f"several places need lists of equal length, one item each; got {found}")
    places = list(zip(*given.values(), strict=True))
    bands = [names(image) for image, *_ in places]
    other = [i for i, each in enumerate(bands) if each != bands[0]]
    if other:
        raise ValueError(
            f"image number {other[0]} has the bands {', '.join(bands[other[0]])}, the first one "
            f"{', '.join(bands[0])}: bring all to the same, image.sel(band=[...])"
        )
    return places


def training(table):
    """Return the training chips of a table, or explain why there are none."""
    if "split" not in table:
        raise ValueError("the table has no column 'split'; make it with chips.split(table)")
    train = table[table["split"] == "train"]
    if train.empty:
        found = table["split"].value_counts().to_dict()
        raise ValueError(f"the table has no training chips (split == 'train'); it has {found}")
    return train


def on_grid(label, image):
    """Class codes on the image's grid; untouched where `align` has been at work already."""
    return align(as_label(label), image)


def boxes(image, rows, cols, height, width):
    affine = geobox(image).affine
    x0, y0 = affine * (np.asarray(cols), np.asarray(rows))
    x1, y1 = affine * (np.asarray(cols) + width, np.asarray(rows) + height)
    return shapely.box(
        np.minimum(x0, x1), np.minimum(y0, y1), np.maximum(x0, x1), np.maximum(y0, y1)
    )


def columns(table):
    missing = {"row", "col", "size"} - set(table.columns)
    if missing or not isinstance(table, gpd.GeoDataFrame):
        raise ValueError(
            f"this is no chip table: it lacks {sorted(missing) or 'a geometry'}. "
            "Make one with chips.grid or chips.fishnet."
        )
    if table.empty:
        raise ValueError("the chip table is empty")


def same_crs(table, image):
    if table.crs != image.rio.crs:
        raise ValueError(
            f"the table is in {table.crs and table.crs.name} and the image in "
            f"{geobox(image).crs.proj.name}: chips belong to the image they were made on"
        )


def names(image):
    if "band" in image.coords:
        return [str(name) for name in image["band"].values]
    return [f"band {i + 1}" for i in range(image.sizes["band"])]


def provenance(image):
    keys = ("title", "sensor", "date", "source", "simulated")
    return {key: image.attrs[key] for key in keys if key in image.attrs}


def whole(value, what):
    if isinstance(value, bool) or int(value) != value or value < 1:
        raise ValueError(f"{what}={value}: give a whole number of at least 1")
    return int(value)


def share(value, what):
    if not 0 <= value <= 1:
        raise ValueError(f"{what}={value}: give a share between 0 and 1")
    return value


def class_shares(table):
    """Return the columns share_<class> of a chip table, named by class."""
    shares = table.filter(regex="^share_")
    return pd.DataFrame(shares.rename(columns=lambda name: name.removeprefix("share_")))
