"""Chips: grids, fishnet, splits without leaks, and batches that fastai can train on and show."""

import subprocess
import sys
import warnings

import matplotlib
import numpy as np
import pytest
import xarray as xr

from toolkit import chips

matplotlib.use("agg")
import matplotlib.pyplot as plt

CLASSES = [
    {"value": 0, "name": "country", "color": "#E69F00"},
    {"value": 1, "name": "town", "color": "#0072B2"},
]


def raster(values, step=10.0, x0=500_000.0, y0=9_600_000.0, crs="EPSG:32735", names=None, **attrs):
    """Make a raster with its upper left corner at (x0, y0) and pixels of `step`."""
    values = np.asarray(values)
    height, width = values.shape[-2:]
    coords = {
        "y": y0 - (np.arange(height) + 0.5) * step,
        "x": x0 + (np.arange(width) + 0.5) * step,
    }
    dims = ("band", "y", "x")[-values.ndim :]
    if values.ndim == 3:
        coords["band"] = names or [f"b{i}" for i in range(len(values))]
    array = xr.DataArray(values, dims=dims, coords=coords, attrs=attrs)
    return array.rio.write_crs(crs) if crs else array


def scene(bands=1, size=96, seed=0, nodata=True):
    """Make a town in the country, with a hole and a nodata corner, and its label."""
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[:size, :size]
    town = (np.hypot(yy - size / 2, xx - size / 3) < size / 4) | ((yy // 8 + xx // 16) % 5 == 0)
    values = rng.normal(size=(bands, size, size)) + 5 * town
    values = (values * np.geomspace(1, 1000, bands)[:, None, None]).astype("float32")
    if nodata:
        values[:, : size // 6, : size // 6] = np.nan
        values[0, size // 2, size // 2] = np.nan
    image = raster(values, title="a scene", simulated=True)
    label = raster(town.astype("uint8"), classes=CLASSES).rio.write_nodata(255)
    return image, label


def loaders(bands=1, size=96, chip=24, by="corner", **options):
    image, label = scene(bands, size)
    table = chips.split(chips.grid(image, label, chip), by=by, valid=0.25)
    return image, label, table, chips.dataloaders(image, label, table, **options)


# zoom and align


def test_zoom_makes_224_of_36_and_keeps_the_ground():
    image = scene(2, 36)[0]
    fine = chips.zoom(image, 224 / 36)
    assert fine.shape == (2, 224, 224) and fine.dims == ("band", "y", "x")
    assert fine.rio.crs == image.rio.crs and fine.attrs["title"] == "a scene"
    np.testing.assert_allclose(fine.rio.bounds(recalc=True), image.rio.bounds(recalc=True))
    assert list(fine.band.values) == ["b0", "b1"] and fine.dtype == np.float32


def test_zoom_of_a_constant_is_constant_beside_nodata():
    values = np.full((1, 12, 12), 7, "float32")
    values[0, 3:6, 4] = np.nan
    fine = chips.zoom(raster(values), 4).values[0]
    assert np.isfinite(fine).mean() == pytest.approx(1 - 3 / 144)
    np.testing.assert_allclose(fine[np.isfinite(fine)], 7, rtol=1e-6)


def test_zoom_is_linear_between_pixels():
    values = np.tile(np.arange(8, dtype="float32"), (1, 8, 1))
    fine = chips.zoom(raster(values), 2).values[0, 8]
    np.testing.assert_allclose(fine[1:-1], np.arange(0.25, 7, 0.5), atol=1e-5)


def test_zoom_of_a_label_repeats_its_codes():
    label = raster(np.uint8([[0, 1], [255, 3]]), classes=CLASSES).rio.write_nodata(255)
    fine = chips.zoom(label, 3)
    assert (fine.values == np.kron(label.values, np.ones((3, 3), "uint8"))).all()
    assert fine.rio.nodata == 255 and fine.attrs["classes"] == CLASSES and fine.dtype == np.uint8


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"factor": 2, "resampling": "bilinear"}, "mix class codes"),
        ({"factor": 0}, "positive"),
        ({"factor": 2, "resampling": "neerest"}, "Did you mean 'nearest'"),
    ],
)
def test_zoom_explains_bad_input(options, words):
    with pytest.raises(ValueError, match=words):
        chips.zoom(scene()[1], **options)


def test_align_on_the_same_grid_changes_nothing_but_nodata():
    image, label = scene()
    out = chips.align(label, image)
    hole = ~np.isfinite(image.values[0])
    assert (out.values[~hole] == label.values[~hole]).all() and (out.values[hole] == 255).all()
    assert out.rio.nodata == 255 and out.attrs["classes"] == CLASSES
    assert label.values.max() == 1  # the label given is left alone


def test_align_from_another_crs_and_resolution_finds_the_same_place():
    image, _ = scene(nodata=False)
    x, y = np.meshgrid(image.x, image.y)
    truth = (x > 500_400) & (y > 9_599_500)
    fine = raster(np.zeros((300, 300), "uint8"), 4, 499_900, 9_600_100)
    fine[:] = ((fine.x > 500_400) & (fine.y > 9_599_500)).transpose("y", "x").values
    foreign = fine.rio.write_nodata(255).rio.reproject("EPSG:4326", nodata=255)
    out = chips.align(foreign, image)
    assert out.shape == truth.shape and (out.x == image.x).all() and (out.y == image.y).all()
    assert (out.values == truth).mean() > 0.99


def test_align_average_is_the_share():
    image = raster(np.ones((1, 2, 2), "float32"), 20)
    label = raster(np.uint8([[1, 0, 1, 1], [0, 0, 1, 255], [1, 1, 0, 0], [1, 1, 0, 0]]), 10)
    share = chips.align(label.rio.write_nodata(255), image, "average")
    np.testing.assert_allclose(share.values, [[0.25, 1], [1, 0]])
    assert share.dtype == np.float32 and np.isnan(share.rio.nodata)


def test_align_sum_keeps_the_people():
    people = raster(np.random.default_rng(0).random((40, 40), "float32"), 10)
    image = raster(np.ones((1, 10, 10), "float32"), 40)
    assert float(chips.align(people, image, "sum").sum()) == pytest.approx(float(people.sum()))


def test_align_takes_the_label_s_own_nodata():
    image = raster(np.ones((1, 2, 2), "float32"))
    label = raster(np.float32([[0, 1], [2, np.nan]])).rio.write_nodata(0)
    assert chips.align(label, image).values.tolist() == [[255, 1], [2, 255]]


def test_align_without_overlap_gives_both_bounds():
    image, label = scene()
    with pytest.raises(ValueError, match=r"do not overlap.*501000.*500000"):
        chips.align(label.assign_coords(x=label.x + 1000), image)


def test_align_leaves_255_where_the_label_ends():
    image, label = scene(nodata=False)
    out = chips.align(label.isel(x=slice(0, 50), y=slice(10, None)), image)
    assert (out.values[:10] == 255).all() and (out.values[:, 50:] == 255).all()
    assert (out.values[10:, :50] == label.values[10:, :50]).all()


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (lambda a: a.astype(float) + 0.5, {}, "fractions"),
        (lambda a: a.astype(int) + 400, {}, "0 to 254"),
        (lambda a: a * 0 + 255, {}, "every pixel is nodata"),
        (lambda a: a.drop_vars("spatial_ref"), {}, "no CRS"),
        (lambda a: a.assign_attrs(classes=[*CLASSES, CLASSES[0]]), {"resampling": "average"}, "3"),
        (lambda a: a, {"resampling": "cubik"}, "resampling='cubik'"),
        (lambda a: a.assign_coords(x=a.x + (a.x - a.x[0]) ** 2 / 1000), {}, "evenly spaced"),
    ],
)
def test_align_explains_bad_input(change, options, words):
    image, label = scene()
    with pytest.raises(ValueError, match=words):
        chips.align(change(label), image, **options)


# grid


def test_grid_counts_and_windows():
    image = raster(np.ones((1, 50, 70), "float32"))
    table = chips.grid(image, size=16)
    assert len(table) == 3 * 4 and table["row"].max() == 32 and table["col"].max() == 48
    assert len(chips.grid(image, size=16, stride=8)) == 5 * 7
    covered = chips.grid(image, size=16, cover=True)
    assert len(covered) == 4 * 5 and covered["row"].max() == 34 and covered["col"].max() == 54


def test_grid_footprints_cut_the_same_pixels():
    image, label = scene()
    for chip in chips.grid(image, label, 20, 13).sample(5, random_state=0).itertuples():
        cut = image.rio.clip_box(*chip.geometry.buffer(-1).bounds)
        here = (slice(chip.row, chip.row + 20), slice(chip.col, chip.col + 20))
        np.testing.assert_array_equal(cut.values, image.values[(slice(None), *here)])


def test_grid_shares_are_those_of_the_labelled_pixels():
    image, label = scene()
    table = chips.grid(image, label, 16, max_nodata=0.99)
    for chip in table.itertuples():
        here = (slice(chip.row, chip.row + 16), slice(chip.col, chip.col + 16))
        valid = np.isfinite(image.values[0][here])
        assert chip.nodata == pytest.approx(1 - valid.mean())
        assert chip.labelled == pytest.approx(valid.mean())
        assert chip.share_town == pytest.approx(label.values[here][valid].mean())
    assert table.attrs["classes"] == CLASSES and table.attrs["simulated"]


def test_grid_takes_a_label_on_another_grid():
    image, label = scene(nodata=False)
    shared = chips.grid(image, chips.zoom(label, 2), 16)["share_town"]
    np.testing.assert_allclose(shared, chips.grid(image, label, 16)["share_town"])


def test_grid_drops_chips_of_nodata():
    image, _ = scene()
    assert len(chips.grid(image, size=16, max_nodata=1)) == 36
    assert len(chips.grid(image, size=16)) == 35


def test_grid_works_on_a_cut_image():
    image, label = scene()
    part = image.isel(y=slice(30, 90), x=slice(20, 80))
    table = chips.grid(part, label, 20)
    west, _, _, north = table.total_bounds
    assert (west, north) == (500_200, 9_599_700)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 200}, "larger than the image"),
        ({"size": 2.5}, "whole number"),
        ({"stride": 0}, "whole number"),
        ({"max_nodata": 2}, "between 0 and 1"),
        ({"classes": ["country"]}, r"codes \[1\]"),
    ],
)
def test_grid_explains_bad_input(options, words):
    with pytest.raises(ValueError, match=words):
        chips.grid(*scene(), **{"size": 16, **options})


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda a: a.drop_vars("spatial_ref"), ValueError, "no CRS"),
        (lambda a: a.isel(band=0), ValueError, "expand_dims"),
        (lambda a: a * np.nan, ValueError, "no pixel with data"),
        (lambda a: a.values, TypeError, "DataArray"),
    ],
)
def test_grid_explains_bad_images(change, error, words):
    with pytest.raises(error, match=words):
        chips.grid(change(scene()[0]), size=16)


# fishnet


def test_fishnet_cells_keep_what_has_data():
    values = np.ones((1, 200, 200), "float32")
    values[0, :10, :9] = np.nan  # cell 0 has 90 % nodata, cell 21 exactly 90 % image
    values[0, 10, 10:20] = np.nan
    cells = chips.fishnet_cells(raster(values))
    assert len(cells) == 400 and cells["kept"].sum() == 398
    assert not cells["kept"][0] and not cells["kept"][21]
    assert cells["samples"][0] == 0 and cells["samples"][1] == 2
    np.testing.assert_allclose(cells.union_all().bounds, cells.total_bounds)
    assert cells.area.sum() == pytest.approx(200 * 200 * 100)


def test_fishnet_gives_more_samples_where_the_form_is_richer():
    image, label = scene(size=160, nodata=False)
    label = label.copy(data=np.zeros_like(label.values))
    label[:40, :40] = np.indices((40, 40)).sum(0) % 2  # the richest form
    label[40:80, :20] = 1  # one straight edge
    label[80:84, :4] = 1  # a small town
    cells = chips.fishnet_cells(image, 4, 4, label)
    assert cells["samples"][0] == 8 and cells["samples"].min() == 2
    assert 2 < cells["samples"][8] < cells["samples"][4] < 8
    plain = chips.fishnet_cells(image, 4, 4, label, per_cell=(3, 3))
    assert (plain["samples"] == 3).all()


def test_fishnet_stays_in_its_cells_and_repeats():
    image, label = scene(size=200)
    cells = chips.fishnet_cells(image, 4, 4, label).set_index("cell")
    table = chips.fishnet(image, label, 4, 4, size=36, seed=3)
    assert (
        table.groupby("cell").size().equals(cells.loc[cells["kept"], "samples"].rename(None))
        or (table.groupby("cell").size() == cells.loc[cells["kept"], "samples"]).all()
    )
    outer = cells.loc[table["cell"]]
    assert (table["row"].to_numpy() >= outer["row"]).all()
    assert (table["row"].to_numpy() + 36 <= (outer["row"] + outer["height"])).all()
    assert (table["col"].to_numpy() + 36 <= (outer["col"] + outer["width"])).all()
    assert not table.duplicated(["row", "col"]).any()
    assert table.equals(chips.fishnet(image, label, 4, 4, size=36, seed=3))
    assert not table["row"].equals(chips.fishnet(image, label, 4, 4, size=36, seed=4)["row"])


def test_fishnet_in_cells_smaller_than_a_chip():
    image, label = scene(size=120)
    with pytest.raises(ValueError, match=r"smaller than a chip.*rows=3.*inside='centre'"):
        chips.fishnet(image, label, 10, 10)
    table = chips.fishnet(image, label, 10, 10, inside="centre")
    assert table[["row", "col"]].min().min() >= 0 and table[["row", "col"]].max().max() <= 84
    assert table["nodata"].max() <= 0.5
    inner = table[(table["row"] > 0) & (table["row"] < 84)]
    assert ((inner["row"] + 18) // 12 == inner["cell"] // 10).all()


def test_fishnet_skips_with_notice_or_explains():
    image, _ = scene(size=120, nodata=False)
    image[:, 40:80, 40:80] = np.where(np.indices((40, 40)).sum(0) % 13 == 0, np.nan, 1)
    with pytest.warns(UserWarning, match="1 of 9 kept cells"):
        table = chips.fishnet(image, rows=3, cols=3, max_nodata=0.01)
    assert 4 not in set(table["cell"])
    with pytest.raises(ValueError, match="no cell has more than 90%"):
        chips.fishnet(scene(size=40)[0].where(lambda a: a.x > 500_200), rows=1, cols=1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"per_cell": (4, 2)}, "fewest and the most"),
        ({"coverage": 90}, "between 0 and 1"),
        ({"rows": 500}, "finer than"),
        ({"inside": "center"}, "Did you mean 'centre'"),
    ],
)
def test_fishnet_explains_bad_input(options, words):
    with pytest.raises(ValueError, match=words):
        chips.fishnet(*scene(), **{"rows": 2, "cols": 2, **options})


def test_regrid_carries_36_over_to_224():
    image, label = scene(size=180)
    table = chips.split(chips.fishnet(image, label, 4, 4), by="corner", valid=0.2)
    fine, fine_label = chips.zoom(image, 224 / 36), chips.zoom(label, 224 / 36)
    moved = chips.regrid(table, fine)
    assert (moved["size"] == 224).all() and (moved["split"] == table["split"]).all()
    assert np.abs(moved.bounds - table.bounds).to_numpy().max() <= 10 * 36 / 224 / 2 + 1e-6
    assert chips.leak(moved).max() == 0
    dls = chips.dataloaders(fine, fine_label, moved, batch_size=2)
    assert dls.one_batch()[0].shape == (2, 1, 224, 224)
    with pytest.raises(ValueError, match=r"regrid"):
        chips.dataloaders(fine, fine_label, table)
    with pytest.raises(ValueError, match="stay whole"):
        chips.regrid(table, chips.zoom(image, 1.7))
    with pytest.raises(ValueError, match="does not cover"):
        chips.regrid(table, fine.isel(x=slice(500, None)))


# split


def apart(table):
    """Return the fewest pixels between a training and a validation chip, by brute force."""
    columns = ["row", "col", "size"]
    train = table.loc[table["split"] == "train", columns].to_numpy()[:, None]
    valid = table.loc[table["split"] == "valid", columns].to_numpy()[None]
    gaps = [
        np.maximum(valid[..., k] - train[..., k] - train[..., 2],
                   train[..., k] - valid[..., k] - valid[..., 2])
        for k in (0, 1)
    ]  # fmt: skip
    return np.maximum(*gaps).min()


@pytest.mark.parametrize("by", ["blocks", "corner"])
@pytest.mark.parametrize("guard", [0, 1, 7])
def test_no_training_pixel_lies_in_or_near_a_validation_chip(by, guard):
    for seed in range(6):
        image, label = scene(size=200, seed=seed)
        if seed % 2:
            table = chips.fishnet(image, label, 5, 5, size=20, seed=seed)
        else:
            table = chips.grid(image, label, 16, 5, cover=True)
        out = chips.split(table, by, valid=0.2, guard=guard, seed=seed)
        assert apart(out) >= guard
        assert chips.leak(out).max() == 0
        # No chip is given away that could have been used.
        for i in out.index[out["split"] == "guard"][:10]:
            freed = out.assign(split=out["split"].where(out.index != i, "train"))
            assert apart(freed) < guard


def test_chips_side_by_side_need_no_guard():
    image, label = scene()
    out = chips.split(chips.grid(image, label, 8, max_nodata=1), by="corner", valid=0.25)
    assert out["split"].value_counts().to_dict() == {"train": 108, "valid": 36}
    assert (out.loc[out["split"] == "valid", ["row", "col"]] < 48).all(axis=None)
    far = chips.split(chips.grid(image, size=8), by="corner", valid=0.25, corner="lower right")
    assert (far.loc[far["split"] == "valid", ["row", "col"]] >= 48).all(axis=None)


def test_random_split_has_the_published_ratio_and_leaks():
    image, _ = scene(size=200, nodata=False)
    table = chips.grid(image, size=20, stride=5).head(1017)
    out = chips.split(table, by="random", valid=4 / 25, seed=1)
    assert out["split"].value_counts().to_dict() == {"train": 854, "valid": 163}
    assert chips.leak(out).mean() > 0.9
    assert out.equals(chips.split(table, by="random", valid=4 / 25, seed=1))
    assert not out.equals(chips.split(table, by="random", valid=4 / 25, seed=2))


def test_leak_is_the_covered_share():
    image, _ = scene(nodata=False)
    table = chips.grid(image, size=24, stride=12).iloc[[0, 1, 2, 20]]
    table["split"] = ["train", "valid", "train", "valid"]
    assert chips.leak(table).tolist() == [1.0, 0.0]
    table["split"] = ["train", "valid", "guard", "valid"]
    assert chips.leak(table).tolist() == [0.5, 0.0]
    assert chips.leak(table).index.tolist() == table.index[[1, 3]].tolist()


def test_stratified_blocks_are_nearer_to_the_whole():
    image, label = scene(size=240)
    table = chips.grid(image, label, 12)
    whole = chips.balance(table).loc["all", "town"]

    def gap(stratify, seed):
        out = chips.split(table, seed=seed, stratify=stratify)
        return abs(chips.balance(out).loc["valid", "town"] - whole)

    plain, stratified = (np.mean([gap(s, seed) for seed in range(8)]) for s in (False, True))
    assert stratified < plain / 3


def test_balance_counts_pixels():
    image, label = scene()
    table = chips.split(chips.grid(image, label, 16), by="corner", valid=0.25)
    out = chips.balance(table)
    assert out["chips"].sum() == len(table)
    np.testing.assert_allclose(out[["country", "town"]].sum(axis=1), 1)
    codes = chips.align(label, image).values
    held = np.concatenate([
        codes[c.row : c.row + 16, c.col : c.col + 16].ravel()
        for c in table[table["split"] == "valid"].itertuples()
    ])  # fmt: skip
    assert out.loc["valid", "town"] == pytest.approx((held == 1).sum() / (held != 255).sum())
    with pytest.raises(ValueError, match="no class shares"):
        chips.balance(chips.grid(image, size=16))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"by": "block"}, "Did you mean 'blocks'"),
        ({"by": "corner", "corner": "upper lft"}, "Did you mean 'upper left'"),
        ({"valid": 20}, "share of chips"),
        ({"guard": -1}, "guard=-1"),
        ({"by": "random", "guard": 3}, "random split has no guard"),
        ({"guard": 500}, "leaves 0 training"),
        ({"block": 5000}, "all chips lie in one block"),
    ],
)
def test_split_explains_bad_input(options, words):
    table = chips.grid(*scene(), size=16)
    with pytest.raises(ValueError, match=words):
        chips.split(table, **options)


def test_split_explains_other_tables():
    table = chips.grid(scene()[0], size=16)
    with pytest.raises(ValueError, match="stratify needs class shares"):
        chips.split(table, block=16, stratify=True)
    with pytest.raises(ValueError, match="no chip table"):
        chips.split(table.drop(columns="row"))
    with pytest.raises(ValueError, match="empty"):
        chips.split(table.iloc[:0])


# statistics


def test_statistics_are_exact_and_of_training_chips_only():
    image, label = scene(3)
    table = chips.split(chips.grid(image, label, 24, 12), by="corner", valid=0.3)
    out = chips.statistics(image, table)
    chosen = table[table["split"] == "train"]
    stack = np.concatenate(
        [image.values[:, c.row : c.row + 24, c.col : c.col + 24].reshape(3, -1)
         for c in chosen.itertuples()], axis=1,
    ).astype(float)  # fmt: skip
    stack = stack[:, np.isfinite(stack).all(axis=0)]
    np.testing.assert_allclose(out["mean"], stack.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(out["std"], stack.std(axis=1), rtol=1e-12)
    assert out["band"].tolist() == ["b0", "b1", "b2"]
    changed = image.copy(deep=True)
    seen = np.zeros(image.shape[1:], bool)
    for c in chosen.itertuples():
        seen[c.row : c.row + 24, c.col : c.col + 24] = True
    changed.values[:, ~seen] = 1e9
    assert chips.statistics(changed, table).equals(out)


def test_statistics_of_large_values_with_a_small_spread():
    values = 1e5 + np.random.default_rng(0).normal(size=(1, 32, 32)).astype("float32")
    image = raster(values.astype("float32"))
    table = chips.grid(image, size=16).assign(split=["train", "train", "valid", "valid"])
    std = float(chips.statistics(image, table)["std"].iloc[0])
    assert std == pytest.approx(image.values[0, :16].astype(float).std(), rel=1e-9)


def test_a_constant_band_has_std_1_and_a_warning():
    image, _ = scene(2)
    image[1] = 0.1
    table = chips.split(chips.grid(image, size=16), by="corner")
    with pytest.warns(UserWarning, match="'b1' is constant"):
        out = chips.statistics(image, table)
    assert out["std"].tolist()[1] == 1


# dataloaders


@pytest.mark.parametrize("bands", [1, 4, 10])
def test_batches_hold_physical_units_and_long_targets(bands):
    image, label, table, dls = loaders(bands, batch_size=5, augment=False)
    x, y = dls.valid.one_batch()
    assert x.shape == (4, bands, 24, 24) and str(x.dtype) == "torch.float32"
    assert y.shape == (4, 24, 24) and str(y.dtype) == "torch.int64"
    mean = chips.statistics(image, table)["mean"].to_numpy(np.float32)[:, None, None]
    held = table[table["split"] == "valid"].reset_index()
    for i, chip in held.iterrows():
        here = (slice(chip.row, chip.row + 24), slice(chip.col, chip.col + 24))
        cut = image.values[(slice(None), *here)]
        np.testing.assert_array_equal(np.array(x[i]), np.where(np.isfinite(cut), cut, mean))
        target = np.where(np.isfinite(cut).all(axis=0), label.values[here], 255)
        np.testing.assert_array_equal(np.array(y[i]), target)
    assert dls.classes == ["country", "town"] and dls.c == 2 and dls.codes == [0, 1]
    assert dls.bands == [f"b{i}" for i in range(bands)] and dls.seed == 0
    assert dls.statistics.equals(chips.statistics(image, table))


def test_every_training_chip_is_met_once_and_guard_chips_never():
    image, label = scene()
    image[0] = np.arange(96 * 96).reshape(96, 96)
    table = chips.split(chips.grid(image, label, 16, 8), by="corner", valid=0.2)
    assert (table["split"] == "guard").any()
    dls = chips.dataloaders(image, label, table, batch_size=3, drop_last=False)
    met = sorted(int(x.min()) for batch in dls.train for x in batch[0])
    train = table[table["split"] == "train"]
    assert met == sorted((train["row"] * 96 + train["col"]).tolist())
    assert len(dls.valid_ds) == (table["split"] == "valid").sum()


def first(dls):
    x, y = dls.one_batch()
    return np.array(x), np.array(y)


def test_the_seed_decides_order_and_positions():
    import random

    image, label, table, dls = loaders(batch_size=4, seed=5)
    batch = first(dls)
    random.seed(99)
    for _ in range(2):
        again = first(chips.dataloaders(image, label, table, batch_size=4, seed=5))
        assert all((a == b).all() for a, b in zip(batch, again, strict=True))
    other = first(chips.dataloaders(image, label, table, batch_size=4, seed=6))
    assert not (batch[0] == other[0]).all()
    assert not (batch[0] == first(dls)[0]).all()  # the next epoch differs


def test_augmentation_moves_image_and_mask_alike_and_changes_no_value():
    image = raster(np.arange(64 * 64, dtype="float32").reshape(1, 64, 64))
    label = raster((np.arange(64 * 64).reshape(64, 64) % 250).astype("uint8"))
    label.attrs["classes"] = [{"value": i, "name": str(i)} for i in range(250)]
    table = chips.grid(image, size=16)
    table["split"] = ["train"] * 12 + ["valid"] * 4
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes that no training chip holds
        dls = chips.dataloaders(image, label, table, batch_size=12)
    positions = set()
    for _ in range(6):
        x, y = dls.one_batch()
        assert (np.array(x[:, 0]) % 250 == np.array(y)).all()
        for chip in np.array(x[:, 0]):
            start = chip.min()
            corner = (np.abs(chip[[0, 0, -1, -1], [0, -1, 0, -1]] - start)).tolist()
            positions.add(tuple(corner))
            there = np.sort(chip.ravel())
            row, col = divmod(int(start), 64)
            assert (there == np.sort(image.values[0, row : row + 16, col : col + 16].ravel())).all()
    assert len(positions) == 8
    x, _ = dls.valid.one_batch()
    assert (np.array(x[0, 0]) == image.values[0, 48:, :16]).all()


def test_codes_that_are_not_0_1_2_follow_the_order_of_the_classes():
    image, label = scene()
    coded = label.copy(data=np.where(label.values == 1, 2, 7).astype("uint8"))
    coded.attrs["classes"] = [{"value": 7, "name": "country"}, {"value": 2, "name": "town"}]
    table = chips.split(chips.grid(image, coded, 24), by="corner")
    dls = chips.dataloaders(image, coded, table, augment=False)
    same = chips.dataloaders(image, label, table, augment=False)
    assert (np.array(dls.valid.one_batch()[1]) == np.array(same.valid.one_batch()[1])).all()
    assert dls.codes == [7, 2] and dls.classes == ["country", "town"]


def test_half_resolution_targets_take_the_majority():
    values = np.ones((1, 8, 8), "float32")
    codes = np.zeros((8, 8), "uint8")
    codes[0, :2] = codes[1, 0] = 1  # three of four
    codes[2, 0] = codes[3, 1] = 1  # a tie that the upper left pixel wins
    codes[2, 3] = codes[3, 2] = 1  # a tie that the upper left pixel loses
    codes[4:6, 4:6] = 255
    codes[6, 6:] = codes[7, 6] = 255
    image, label = raster(values), raster(codes, classes=CLASSES).rio.write_nodata(255)
    image[0, 0, 7] = 3  # else constant
    table = chips.grid(image, label, 4).assign(split=["train", "valid", "valid", "valid"])
    table.loc[3, "split"] = "train"
    dls = chips.dataloaders(
        image.where(image > -1) * raster(np.random.default_rng(0).random((8, 8))),
        label, table, target_scale=0.5, augment=False,
    )  # fmt: skip
    assert np.array(dls.train_ds[0][1]).tolist() == [[1, 0], [1, 0]]
    assert np.array(dls.train_ds[1][1]).tolist() == [[255, 0], [0, 0]]
    for scale, words in ((0.3, "1/2 or 1/4"), (2, "1/2 or 1/4"), (0.125, "do not divide")):
        with pytest.raises(ValueError, match=words):
            chips.dataloaders(image, label, table, target_scale=scale)


def test_batch_size_and_last_batch():
    image, label, table, dls = loaders(batch_size=1000)
    train = int((table["split"] == "train").sum())
    assert len(dls.train) == 1 and len(dls.one_batch()[0]) == train
    left = train % 5
    assert left
    for drop_last, seen in ((True, train - left), (False, train)):
        dls = chips.dataloaders(image, label, table, batch_size=5, drop_last=drop_last)
        assert sum(len(x) for x, _ in dls.train) == seen


def test_a_class_without_training_chips_is_named():
    image, label = scene()
    classes = [*CLASSES, {"value": 2, "name": "lake"}]
    table = chips.split(chips.grid(image, label, 24), by="corner")
    with pytest.warns(UserWarning, match="'lake'"):
        chips.dataloaders(image, label, table, classes=classes)


def test_without_validation_chips_it_warns_and_trains():
    image, label = scene()
    table = chips.grid(image, label, 24).assign(split="train")
    with pytest.warns(UserWarning, match="no validation chips"):
        dls = chips.dataloaders(image, label, table, batch_size=4)
    assert len(dls.train) == 4 and len(dls.valid) == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda i, a, t: (i, a, t.drop(columns="split")), "chips.split"),
        (lambda i, a, t: (i, a, t.assign(split="valid")), "no training chips"),
        (lambda i, a, t: (i, a, t.to_crs("EPSG:4326")), "chips belong to the image"),
        (lambda i, a, t: (i.assign_coords(x=i.x + 40), a, t), "another grid"),
        (lambda i, a, t: (i, a, t.assign(row=t["row"] + 1)), "beyond the image"),
        (lambda i, a, t: (i, a, t.assign(size=[8] + [24] * (len(t) - 1))), "another grid"),
        (lambda i, a, t: (i * np.nan, a, t), "nothing but nodata"),
        (lambda i, a, t: (i, a.where(a < 1, 9), t), r"codes \[9\]"),
        (lambda i, a, t: (i, a.where(a.x > 500_800, 255), t), "no pixel of the training chips"),
        (lambda i, a, t: (i.isel(band=0), a, t), "dims"),
    ],
)
def test_dataloaders_explain_bad_input(change, words):
    image, label = scene()
    table = chips.split(chips.grid(image, label, 24), by="corner", corner="upper right")
    if "no pixel" in words:
        table = table.assign(split=np.where(table["col"] > 60, "valid", "train"))
    with pytest.raises(ValueError, match=words):
        chips.dataloaders(*change(image, label, table))


def test_display_bands_by_name():
    from toolkit.chips.grids import display_bands

    assert display_bands(["blue", "green", "red", "nir"]) == [2, 1, 0]
    assert display_bands(["B02", "B03", "B04", "B08"]) == [2, 1, 0]
    assert display_bands(["a", "b", "c", "d"]) == [0, 1, 2]
    assert display_bands(["vv", "vh"]) == [0]
    assert display_bands(["a", "b", "c", "d"], "d") == [3]
    with pytest.raises(ValueError, match="Did you mean 'nir'"):
        display_bands(["red", "nir"], "nire")


@pytest.mark.parametrize(("bands", "scale"), [(1, 1), (4, 0.5), (10, 1)])
def test_fastai_shows_results_and_top_losses(bands, scale):
    import torch
    from fastai.interpret import (
        ClassificationInterpretation,
        Interpretation,
        SegmentationInterpretation,
    )
    from fastai.learner import Learner
    from fastai.losses import CrossEntropyLossFlat

    *_, dls = loaders(bands, batch_size=4, target_scale=scale)
    network = torch.nn.Sequential(
        torch.nn.BatchNorm2d(bands), torch.nn.Conv2d(bands, 2, 3, padding=1),
        torch.nn.AvgPool2d(round(1 / scale)),
    )  # fmt: skip
    loss = CrossEntropyLossFlat(axis=1, ignore_index=chips.IGNORE)
    learn = Learner(dls, network, loss_func=loss, lr=1e-3)
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
        dls.show_batch(max_n=4)
        learn.show_results(max_n=3)
        for kind in (Interpretation, SegmentationInterpretation, ClassificationInterpretation):
            seen = kind.from_learner(learn)
            seen.plot_top_losses(2)
        axes = plt.gcf().axes
        assert [a.get_title() for a in axes[:2]] == ["input", "target"]
        rgba = axes[1].get_images()[0].get_array()
        assert {tuple(np.round(c * 255)) for c in rgba[rgba[..., 3] > 0][:, :3]} <= {
            (230, 159, 0), (0, 114, 178),
        }  # fmt: skip
        matrix = seen.confusion_matrix()
        labelled = sum(int((y != 255).sum()) for _, y in dls.valid)
        assert matrix.sum() == labelled and list(seen.vocab) == dls.classes
    plt.close("all")


# figure and imports


def test_plot_shows_each_part_with_names_and_units():
    image, label = scene()
    table = chips.split(chips.grid(image, label, 16, 8), by="corner", valid=0.2)
    figure = chips.plot(table, image)
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    counts = table["split"].value_counts()
    assert words == [
        f"training: {counts['train']}",
        f"validation: {counts['valid']}",
        f"guard (unused): {counts['guard']}",
    ]
    assert figure.axes[0].get_xlabel() == "easting (metre)"
    width, height = figure.get_size_inches()
    figure.draw_without_rendering()
    box = figure.axes[0].get_position()
    assert box.width * box.height > 0.65 and 0.8 < width / height < 1.2
    assert not plt.fignum_exists(figure.number)


def test_plot_of_cells_in_degrees():
    image = raster(np.ones((3, 60, 60), "float32"), 0.01, 29, -2, "EPSG:4326")
    figure = chips.plot(chips.fishnet_cells(image, 4, 4), image)
    assert figure.axes[0].get_xlabel() == "longitude (°)"
    assert figure.legends[0].get_texts()[0].get_text() == "kept cells: 16"
    with pytest.raises(ValueError, match="chips belong"):
        chips.plot(chips.grid(scene()[0]), image)


def test_chips_load_without_fastai():
    code = "import sys, toolkit.chips; assert not {'torch', 'fastai'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert "dataloaders" in dir(chips)
    with pytest.raises(AttributeError, match="it has"):
        chips.dataloader  # noqa: B018


def test_ground_of_the_parts_is_disjoint_and_in_place():
    image, _ = scene(nodata=False)
    table = chips.split(chips.grid(image, size=16, stride=8), by="blocks", valid=0.4, seed=2)
    train, valid = (chips.ground(table, image, part) for part in ("train", "valid"))
    assert train.any() and valid.any()
    assert not (train & valid).any()
    first = table[table["split"] == "valid"].iloc[0]
    assert valid[first.row : first.row + 16, first.col : first.col + 16].all()
    with pytest.raises(ValueError, match="part"):
        chips.ground(table, image, "test")


def test_split_by_cells_loses_no_chip_and_shares_no_ground():
    image, label = scene(nodata=False)
    table = chips.fishnet(image, label, rows=4, cols=4, size=16, seed=1)
    parts = chips.split(table, by="cells", valid=0.5, stratify=True, seed=2)
    assert set(parts["split"]) == {"train", "valid"}
    assert parts.groupby("cell")["split"].nunique().eq(1).all()
    assert chips.leak(parts).max() == 0
    swapped = parts.replace({"split": {"train": "valid", "valid": "train"}})
    assert chips.leak(swapped).max() == 0
    with pytest.raises(ValueError, match="column 'cell'"):
        chips.split(chips.grid(image, size=16), by="cells")


def test_chips_of_several_places_share_their_batches():
    """Two places in different zones, one with a hole: every chip comes from its own image."""
    rng = np.random.default_rng(0)
    images, labels, tables = [], [], []
    for code, (shape, crs) in enumerate((((16, 16), "EPSG:32735"), ((12, 20), "EPSG:32648"))):
        values = (rng.random((2, *shape)) + 10 * code).astype("float32")
        values[:, :1, : 3 * code] = np.nan
        images.append(raster(values, crs=crs))
        labels.append(raster(np.full(shape, code, "uint8"), crs=crs, classes=CLASSES))
        tables.append(chips.split(chips.grid(images[-1], size=4), by="corner", corner="lower left"))
    dls = chips.dataloaders(images, labels, tables, batch_size=4, drop_last=False, target_scale=0.5)
    train = [
        image.values[:, chips.ground(table, image, "train").values]
        for image, table in zip(images, tables, strict=True)
    ]
    both = np.concatenate(train, axis=1)
    assert dls.statistics["mean"].to_numpy() == pytest.approx(np.nanmean(both, axis=1), rel=1e-5)
    assert dls.statistics["std"].to_numpy() == pytest.approx(np.nanstd(both, axis=1), rel=1e-5)
    assert chips.statistics(images, tables).equals(dls.statistics)
    fill, seen = dls.statistics["mean"][0], 0
    for x, y in dls.train:
        assert y.shape[-2:] == (2, 2)
        values = x[:, 0, ::2, ::2]
        for value, code in zip(values.flatten().tolist(), y.flatten().tolist(), strict=True):
            assert value == pytest.approx(fill) if code == 255 else value // 10 == code
        seen += len(x)
    assert seen == len(dls.train_ds) == sum((table["split"] == "train").sum() for table in tables)


def test_several_places_that_do_not_fit():
    image, label = scene(2, nodata=False)
    table = chips.split(chips.grid(image, size=24), by="random")
    with pytest.raises(ValueError, match="image 2, label 1, table 2"):
        chips.dataloaders([image, image], [label], [table, table])
    with pytest.raises(ValueError, match="image 2, label no list, table 2"):
        chips.dataloaders([image, image], label, [table, table])
    with pytest.raises(ValueError, match="image number 1 has the bands b1, b0, the first one b0"):
        chips.statistics([image, image.sel(band=["b1", "b0"])], [table, table])
    other = label.assign_attrs(classes=["a", "b"])
    with pytest.raises(ValueError, match="different classes"):
        chips.dataloaders([image, image], [label, other], [table, table])
