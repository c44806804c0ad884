"""Chapter 4's experiments: ten bands, 20 m cells, chips of several cities, networks, bad input."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from toolkit import chips, mapping, models
from toolkit.experiments import settlements
from toolkit.experiments.settlements import scores

BANDS = list(settlements.BANDS)
WEST, NORTH = 435_730.0, 4_179_460.0


def raster(values, step=10.0, west=WEST, north=NORTH, names=None, crs="EPSG:32618"):
    """A raster with its upper left corner at (west, north)."""
    values = np.asarray(values)
    at = {
        "y": north - step * (np.arange(values.shape[-2]) + 0.5),
        "x": west + step * (np.arange(values.shape[-1]) + 0.5),
    }
    dims = ("band", "y", "x")[-values.ndim :]
    if values.ndim == 3 and names is not False:
        at["band"] = names or BANDS
    return xr.DataArray(values, at, dims).rio.write_crs(crs)


def town(side=128, seed=0):
    """Image and imperviousness of bright, leafless squares on green ground."""
    rng = np.random.default_rng(seed)
    sealed = np.kron(rng.random((side // 16, side // 16)) < 0.4, np.ones((8, 8)))
    fine = np.kron(sealed, np.ones((2, 2)))
    green = np.array([5, 6, 4, 9, 25, 30, 32, 33, 18, 10])[:, None, None] / 100
    grey = np.array([13, 14, 15, 16, 18, 19, 20, 20, 24, 22])[:, None, None] / 100
    image = green + (grey - green) * fine + rng.normal(0, 0.005, (10, side, side))
    percent = (sealed * rng.integers(1, 101, sealed.shape)).astype("uint8")
    return raster(image.astype("float32")), raster(percent, 20.0).rio.write_nodata(255)


@pytest.fixture(scope="module")
def place():
    image, percent = town()
    return settlements.assemble(image, percent, (percent > 0).astype("uint8"))


@pytest.fixture(scope="module")
def model():
    """A small network, as it is made."""
    return settlements.network_of("Sen2HSE", width=1 / 8).eval()


@pytest.fixture(scope="module")
def city():
    return settlements.ground("sim arid 1", size=2400)


# Cities


def test_table_of_cities_tells_them_apart():
    table = settlements.cities()
    assert table["role"].value_counts().to_dict() == {"train": 5, "near": 3, "far": 10}
    assert table["city"].str.startswith("sim ").all() and table["city"].is_unique
    assert not table.duplicated(["style", "seed"]).any()
    styles = {role: set(part["style"]) for role, part in table.groupby("role")}
    assert styles["near"] == styles["train"] and not styles["far"] & styles["train"]
    assert set(table.loc[table["role"] != "train", "season"]) == set(settlements.SEASONS)


def test_a_simulated_city(city):
    assert city.simulated and city.role == "far" and city.image.shape == (10, 240, 240)
    assert city.label.shape == city.truth.shape == (120, 120)
    assert city.truth.odc.geobox == city.label.odc.geobox
    assert (city.label.values == (city.impervious.values > 0)).all()
    agreement = settlements.scored(city.label, city.truth)
    assert 0.85 < agreement["recall"] < 0.95  # an imperfect product
    assert city.open("guf").shape == (120, 120)
    row = settlements.cities([city]).iloc[0]
    assert row["area_km2"] == pytest.approx(5.76)
    assert row["settlement"] == pytest.approx(float(city.truth.mean()))
    covers = ["cropland", "woodland", "grassland", "water", "impervious", "bare land"]
    assert row[row.index.intersection(covers)].sum() == pytest.approx(1)


def test_seasons_and_unknown_cities(city):
    autumn = settlements.ground("sim arid 1", "autumn", 2400)
    assert autumn.truth.equals(city.truth) and not np.allclose(autumn.image, city.image)
    with pytest.raises(ValueError, match="Did you mean 'sim arid 1'"):
        settlements.ground("arid 1")
    with pytest.raises(ValueError, match="season='winter'"):
        settlements.ground("sim arid 1", "winter")


def test_twenty_metre_bands_are_resampled_and_not_repeated(city):
    coarse = city.open("sentinel2", season="spring", resolution=20, bands=["B11"])
    block = city.image.sel(band="B11").coarsen(y=2, x=2)
    assert float(block.std().mean()) > 1e-3  # repeated pixels would have none
    assert float(abs(block.mean() - coarse[0]).mean()) < 0.02 * float(coarse.mean())


def test_real_scene_by_coordinates():
    real = settlements.accomack()
    assert not real.simulated and real.label is None and real.image.shape == (10, 1946, 1932)
    red, edge = (real.image.sel(band=b).values[400:1500, 300:1200] for b in ("B4", "B5"))
    known = np.isfinite(red)

    def like(shift):
        return np.corrcoef(red[known], np.roll(edge, shift, axis=1)[known])[0, 1]

    assert like(0) > max(like(-1), like(1))  # by index, band 5 would lie one pixel off
    with pytest.raises(ValueError, match="no labels"):
        settlements.sample(real)
    with pytest.raises(ValueError, match="no simulated city"):
        real.open("guf")


# Bands and grids


def test_bands_meet_by_coordinates_whatever_their_corner():
    """A plane, coarse pixels one step further west and north: cubic resampling returns it."""
    y, x = np.mgrid[:40, :40]
    plane = 0.1 + 0.002 * x + 0.001 * y
    sharp = raster(np.repeat(plane[None], 4, 0), names=["B02", "B03", "B04", "B08"])
    y, x = np.mgrid[:24, :24] * 2 + 0.5
    coarse = 0.1 + 0.002 * (x - 3) + 0.001 * (y - 3)
    names = ["B05", "B06", "B07", "B8A", "B11", "B12"]
    broad = raster(np.repeat(coarse[None], 6, 0), 20.0, WEST - 30, NORTH + 30, names)
    image = settlements.compose(sharp, broad)
    assert image["band"].values.tolist() == BANDS
    inner = image.sel(band="B11").values[4:-4, 4:-4]
    assert np.abs(inner - plane[4:-4, 4:-4]).max() < 1e-4
    with pytest.raises(ValueError, match="no ground in common"):
        settlements.compose(sharp, broad.assign_coords(x=broad.x + 1e5))
    with pytest.raises(ValueError, match=r"expected B2, .*each once"):
        settlements.compose(sharp, broad[1:])
    with pytest.raises(ValueError, match="not of one scene"):
        settlements.compose(sharp, broad.rio.write_crs("EPSG:32617"))


def test_missing_permuted_and_unnamed_bands_are_refused(place):
    image = place.image
    with pytest.raises(ValueError, match="the band B11 is missing"):
        settlements.assemble(image.drop_sel(band="B11"))
    with pytest.raises(ValueError, match="in this order"):
        settlements.assemble(image.isel(band=[2, 1, 0, *range(3, 10)]))
    with pytest.raises(ValueError, match="no names"):
        settlements.assemble(image.drop_vars("band"))
    names = ["B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"]
    assert settlements.assemble(image.assign_coords(band=names)).image.equals(image)


def test_permuted_bands_are_not_mapped(place, model):
    taught = copy.deepcopy(model)
    taught.bands = BANDS
    wrong = replace(place, image=place.image.isel(band=slice(None, None, -1)))
    with pytest.raises(ValueError, match="Reorder them"):
        settlements.probability(taught, wrong)


def test_other_pixels_than_10_m_are_refused(place):
    values = place.image.values
    with pytest.raises(ValueError, match="pixels of 20 x 20 m; the networks read 10 m"):
        settlements.assemble(raster(values, 20.0))
    with pytest.raises(ValueError, match="degrees; the networks read 10 m"):
        settlements.assemble(raster(values, 1e-4, -75.0, 37.0, crs="EPSG:4326"))


def test_values_that_are_no_reflectance_are_refused(place):
    with pytest.raises(ValueError, match="divide by 10000"):
        settlements.assemble(place.image * 10_000)
    with pytest.raises(ValueError, match="twice"):
        settlements.assemble(place.image / 10_000)
    with pytest.raises(ValueError, match="no pixel has data"):
        settlements.assemble(place.image * np.nan)


def test_odd_sizes_lose_their_last_row_and_column(place, model):
    image = place.image[:, :101, :99]
    odd = settlements.assemble(image, place.impervious)
    assert odd.image.shape == (10, 100, 98) and odd.label.shape == (50, 49)
    assert mapping.predict(model, image).odc.geobox == odd.label.odc.geobox
    with pytest.raises(ValueError, match="no cell of 2 x 2"):
        settlements.assemble(place.image[:, :1])


def test_nodata_strips_stay_unknown(place, model):
    image = place.image.copy(deep=True)
    image[3, :, :20] = np.nan  # one band misses
    image[:, :10] = 0  # outside the swath
    holed = settlements.assemble(image, place.impervious)
    assert np.isnan(holed.image.values[:, :, :20]).all()
    assert np.isnan(holed.image.values[:, :10]).all()
    assert (holed.label.values[:, :10] == 255).all() and (holed.label.values[:5] == 255).all()
    found = settlements.class_map(settlements.probability(model, holed))
    assert (found.values == 255).sum() == 64 * 64 - 59 * 54
    table = settlements.sample(holed, 32, 24)
    data = settlements.loaders([holed], [table])
    assert np.isfinite(data.statistics["mean"]).all()
    x, y = data.one_batch()
    assert bool(x.isfinite().all()) and y.shape[-1] == 16


def test_labels_elsewhere_or_out_of_range(place):
    with pytest.raises(ValueError, match="imperviousness and image do not overlap"):
        settlements.assemble(place.image, place.impervious.assign_coords(x=place.label.x + 1e5))
    with pytest.raises(ValueError, match="0 to 100"):
        settlements.assemble(place.image, place.impervious.where(place.impervious < 50, 150))
    with pytest.raises(ValueError, match="truth: it holds"):
        settlements.assemble(place.image, truth=place.label * 3)


def test_any_sealed_share_is_settlement():
    percent = raster(np.array([[0, 1], [100, 255]], "uint8"), 20.0).rio.write_nodata(255)
    found = settlements.extent(percent)
    assert found.values.tolist() == [[0, 1], [1, 255]] and found.rio.nodata == 255


def test_rule_of_indices_sees_grey_on_green(place):
    found = settlements.indices(place)
    assert (found.values == place.truth.values).mean() > 0.99
    assert "no truth" in found.attrs["title"]
    pond = place.image.copy()
    pond.loc[dict(band=["B8", "B11"])] = 0.01
    pond = replace(place, image=pond)
    assert (settlements.indices(pond) == 0).all()
    assert (settlements.indices(pond, water=255) == 255).all()


# Maps


@pytest.mark.parametrize("network", settlements.NETWORKS)
def test_maps_lie_on_the_cells_of_the_labels(place, network):
    found = settlements.probability(settlements.network_of(network, width=1 / 16), place)
    assert found.odc.geobox == place.label.odc.geobox
    assert found.rio.transform() == place.label.rio.transform()
    assert abs(found.rio.resolution()[0]) == 20
    assert np.isfinite(found.values).all() and found["class"].values.tolist() == [
        "Other",
        "Settlement",
    ]


def test_a_strip_without_data_stays_unknown_in_every_way_to_map(place, model):
    image = place.image.copy(data=np.where(np.arange(128) < 20, np.nan, place.image))
    holed = settlements.assemble(image, place.impervious)
    for found in (
        settlements.probability(model, holed),
        settlements.shifted(model, holed, tile=64, shifts=(0, 16)),
    ):
        unknown = settlements.class_map(found).values == 255
        assert unknown[:, :10].all() and not unknown[:, 10:].any()


def test_four_shifts_are_the_mean_of_four_tilings(place, model):
    whole = settlements.probability(model, place)
    found = settlements.shifted(model, place, tile=64, shifts=(0, 16))
    assert found.odc.geobox == whole.odc.geobox
    plain = settlements.probability(model, place, 64, 0)
    once = settlements.shifted(model, place, tile=64, shifts=(0,))
    assert np.allclose(once, plain)
    # Cells deep inside a tile of both tilings see the same pixels as in one pass.
    assert np.allclose(found[:, 9:15, 9:15], whole[:, 9:15, 9:15], atol=1e-5)
    assert not np.allclose(found, plain)
    assert np.allclose(found.sum("class"), 1, atol=1e-5)
    for shifts in ((3,), (64,), (-2,)):
        with pytest.raises(ValueError, match="even numbers from 0 to below 64"):
            settlements.shifted(model, place, tile=64, shifts=shifts)


def test_scores_of_table_3():
    truth = raster(np.array([[1, 1, 1, 1], [0, 0, 0, 255]], "uint8"), 20.0)
    found = raster(np.array([[1, 1, 1, 0], [1, 0, 0, 0]], "uint8"), 20.0)
    got = settlements.scored(found, truth)
    assert got["recall"] == got["f1"] == 0.75
    assert got["commission"] == 0.25
    assert got["average"] == pytest.approx((3 / 4 + 2 / 3) / 2)


# Chips and training


def test_corner_validates_with_whole_chips(place):
    table = settlements.sample(place, 32, 24)
    held = table[table["split"] == "valid"]
    # 2 x 2 chips have 19 % of the ground, 3 x 3 would have 39 %.
    assert (held[["row", "col"]] + 32 <= 56).all(axis=None) and len(held) == 4
    assert chips.leak(table).max() == 0
    assert table["split"].value_counts().to_dict() == {"train": 16, "guard": 5, "valid": 4}
    wide = settlements.sample(place, 32, 24, valid=0.4)
    assert (wide["split"] == "valid").sum() == 9


def test_corner_of_a_ground_that_is_not_square(place):
    low = settlements.assemble(place.image[:, :64], place.impervious, place.truth)
    table = settlements.sample(low, 16, 16)
    held = table[table["split"] == "valid"]
    assert held["row"].max() == 16 and held["col"].max() == 48  # a quarter, of the same shape
    assert (table["split"] == "train").sum() == 24


def test_random_split_differs_in_nothing_else(place):
    corner = settlements.sample(place, 32, 24)
    drawn = settlements.sample(place, 32, 24, "random", seed=1)
    assert drawn["split"].value_counts().equals(corner["split"].value_counts())
    assert chips.leak(drawn).max() > 0.2
    assert drawn["split"].equals(settlements.sample(place, 32, 24, "random", seed=1)["split"])
    other = replace(place, options={"seed": 5})  # another city, another draw
    assert not drawn["split"].equals(settlements.sample(other, 32, 24, "random", seed=1)["split"])


def test_refused_splits(place):
    with pytest.raises(ValueError, match="must be even"):
        settlements.sample(place, 32, 15)
    with pytest.raises(ValueError, match="leaves 0 training"):
        settlements.sample(place, 96, 16)
    with pytest.raises(ValueError, match="too small to split: its 1 chips"):
        settlements.sample(place, 128, 96)
    with pytest.raises(ValueError, match="split='space'"):
        settlements.sample(place, split="space")


def test_targets_are_the_labels_of_the_chips(place):
    table = settlements.sample(place, 32, 24)
    data = settlements.loaders([place, place], [table, table], batch_size=2)
    assert len(data.train_ds) == 2 * (table["split"] == "train").sum()
    row, col = table[table["split"] == "valid"].iloc[1][["row", "col"]].astype(int)
    found = data.valid_ds[1][1].numpy()
    known = place.label.values[row // 2 : row // 2 + 16, col // 2 : col // 2 + 16]
    assert (found == known).all()
    shares = settlements.loaders([place], [table], "fractional")
    assert (shares.valid_ds[1][1].numpy() > 0).tolist() == (known > 0).tolist()
    assert shares.classes == ["Other", "Settlement"]
    with pytest.raises(ValueError, match="target='soft'"):
        settlements.loaders([place], [table], "soft")


def test_fractional_loss_is_binary_cross_entropy_of_the_share():
    logits = torch.randn(2, 2, 3, 3)
    percent = torch.randint(0, 101, (2, 3, 3))
    percent[0, 0, 0] = 255
    known = percent != 255
    wanted = torch.nn.functional.binary_cross_entropy(
        logits.softmax(1)[:, 1][known], percent[known] / 100
    )
    assert float(scores.Fraction()(logits, percent)) == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.parametrize("target", ["binary", "fractional"])
def test_a_network_learns_to_tell_grey_from_green(place, target):
    other = settlements.assemble(*town(seed=1))
    grounds = [place, other]
    tables = [settlements.sample(each, 32, 24) for each in grounds]
    chosen = settlements.setting("smoke", epochs=8, rate=1e-2, width=1 / 8)
    learn = settlements.train("Sen2HSE", grounds, tables, 1, target, **chosen)
    assert learn.model.bands == BANDS
    best = {
        "binary": learn.history["f1"].idxmax(),
        "fractional": learn.history["valid_loss"].idxmin(),
    }
    assert learn.best["epoch"] == best[target] + 1
    cut = settlements.best_cut(learn.model, grounds, tables)
    found = settlements.class_map(settlements.probability(learn.model, place), cut)
    assert settlements.scored(found, place.truth)["f1"] > 0.9
    rows = settlements.ways(learn.model, [place])
    assert (rows["f1"] > 0.8).all() and (rows["seconds_per_megapixel"] > 0).all()


def test_settings():
    paper = settlements.setting("paper", "U-Net")
    assert (paper["rate"], paper["epochs"], paper["patience"]) == (2e-4, 100, 10)
    assert (paper["chip"], paper["stride"], paper["batch_size"]) == (128, 96, 8)
    model = settlements.network_of("Sen2HSE", **settlements.setting("paper"))
    assert models.count_parameters(model) == 1_124_866
    with pytest.raises(TypeError, match="no value 'epoch'"):
        settlements.setting(epoch=3)
    with pytest.raises(ValueError, match="Did you mean 'U-Net'"):
        settlements.setting(network="UNet")
    with pytest.raises(ValueError, match="rate=-1"):
        settlements.setting(rate=-1)


def test_run_of_a_sweep():
    table = settlements.run(profile="smoke", train=1, width=1 / 8, depth=3, seed=1)
    assert table["city"].tolist() == ["sim temperate 3", "sim arid 1", "mean", "mean"]
    assert table["role"].tolist() == ["near", "far", "near", "far"]
    assert table["kappa"].between(-1, 1).all() and table["valid_f1"].between(0, 1).all()
    assert (table["epochs"] == 1).all() and (table["leak"] == 0).all()
    assert (table["macs"] > 0).all() and (table["seconds_per_megapixel"] > 0).all()
    assert table["kappa"].tolist()[2:] == table["kappa"].tolist()[:2]  # one city each: its mean
    assert (table["f1_labels"] != table["f1"]).all()
    assert table["mapped cropland"].between(0, 1).any() and table["mapped snow/ice"].isna().all()
    with pytest.raises(ValueError, match="target='share'"):
        settlements.run(target="share")
