"""Chapter 1's experiments: places, samples, halves, cuts, and what they say of bad input."""

from dataclasses import replace

import geopandas as gpd
import numpy as np
import pytest
import xarray as xr

from toolkit import chips
from toolkit.experiments import night_lights


def raster(values, crs="EPSG:32648", cell=500.0, west=200_000.0, north=3_400_000.0):
    """A raster (y, x) from its upper left corner."""
    rows, cols = values.shape
    return xr.DataArray(
        values,
        dims=("y", "x"),
        coords={
            "y": north - cell * (np.arange(rows) + 0.5),
            "x": west + cell * (np.arange(cols) + 0.5),
        },
    ).rio.write_crs(crs)


@pytest.fixture(scope="module")
def lit():
    """Lights and labels of 240 x 240 pixels: nine round towns, bright inside, noise around."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:240, :240]
    towns = np.zeros((240, 240), bool)
    for row in (40, 120, 200):
        for col in (40, 120, 200):
            towns |= np.hypot(y - row, x - col) < 9
    light = np.where(towns, 20, 0.1) * rng.lognormal(0, 0.3, towns.shape) - 0.05
    return raster(light.astype("float32")), raster(towns.astype("uint8"))


@pytest.fixture(scope="module")
def place(lit):
    return night_lights.own(*lit)


@pytest.fixture(scope="module")
def table(place, small_net):
    return night_lights.sample(place)


@pytest.fixture(scope="module")
def small_net():
    """A net of 5 x 5 cells of 48 pixels: chips of 36 have room in them."""
    before = night_lights.SOURCES["scene"]
    night_lights.SOURCES["scene"] = before | {"rows": 5, "cols": 5}
    yield
    night_lights.SOURCES["scene"] = before


def test_noise_below_zero_is_darkness_and_missing_stays_missing(lit):
    lights = lit[0].copy()
    lights[0, 0], lights[0, 1] = np.nan, -0.3
    image = night_lights.image_of(lights)
    assert np.isnan(image[0, 0, 0])
    assert image[0, 0, 1] == pytest.approx(np.log10(0.02))


def test_fill_values_and_empty_lights_are_refused(lit):
    filled = lit[0].copy()
    filled[3, 3] = -999.3
    with pytest.raises(ValueError, match=r"-999\.3 nW/cm2/sr.*Mask the fill value"):
        night_lights.image_of(filled)
    with pytest.raises(ValueError, match="no pixel has data"):
        night_lights.image_of(lit[0].where(False))
    with pytest.raises(ValueError, match="no CRS"):
        night_lights.image_of(lit[0].drop_vars("spatial_ref"))


def test_labels_in_another_crs_and_extent_are_brought_to_the_lights(lit):
    lights, label = lit
    elsewhere = label[:120].rio.reproject("EPSG:4326")
    place = night_lights.own(lights, elsewhere)
    assert place.label.shape == label.shape
    assert (place.label[150:] == chips.IGNORE).all()  # the label does not reach there
    known = place.label[5:110, 5:235]
    assert (known == label[5:110, 5:235]).mean() > 0.98


def test_labels_of_other_ground_or_without_urban_land_are_refused(lit):
    lights, label = lit
    with pytest.raises(ValueError, match=r"overlap|in common"):
        night_lights.own(lights, label.assign_coords(x=label.x + 1e6))
    with pytest.raises(ValueError, match=r"no pixel has a code of urban=\[7\]; there are"):
        night_lights.own(lights, label, urban=[7])


def test_chips_keep_out_of_towns_set_apart(lit, small_net):
    town = gpd.GeoDataFrame(
        {"name": ["A"], "size": ["small"], "population": [1], "radius_m": [5000.0],
         "role": ["generalisation"]},
        geometry=gpd.points_from_xy([260_000.0], [3_340_000.0]), crs="EPSG:32648",
    )  # fmt: skip
    free = night_lights.sample(night_lights.own(*lit))
    apart = night_lights.sample(night_lights.own(*lit, settlements=town))
    assert 0 < len(apart) < len(free)
    assert apart.distance(town.geometry.iloc[0]).min() >= 7500
    free = night_lights.free(night_lights.own(*lit, settlements=town))
    assert not free.sel(x=260_000, y=3_340_000, method="nearest")
    assert free.mean() > 0.9
    assert night_lights.free(night_lights.own(*lit)).all()
    with pytest.raises(ValueError, match="column role is missing"):
        night_lights.own(*lit, settlements=town.drop(columns="role"))


def test_an_empty_cell_gives_no_chip_and_a_chip_may_hold_one_class(lit, small_net):
    lights, label = lit
    dark = lights.copy()
    dark[:48, :48] = np.nan  # one cell of the net
    place = night_lights.own(dark, label)
    table = night_lights.sample(place)
    assert 0 not in set(table["cell"])
    assert (table["share_urban"] == 0).any()  # one class only: kept, and said in the table
    _, where = night_lights.halves(place, table)
    assert (where[:48, :48] == "").all()


def test_halves_share_no_ground_and_each_is_mapped_by_the_other(place, table):
    parts, where = night_lights.halves(place, table)
    assert float(chips.leak(parts["A"]).max()) == 0
    for half, code in (("A", "train"), ("B", "valid")):
        ground = chips.ground(parts["A"], place.image, code)
        assert (where.values[ground.values] == half).all()
    # The score of half A is good, that of half B upside down: so half B is mapped well, A badly.
    lights = place.image.isel(band=0, drop=True)
    mapped = night_lights.held_out(place, where, {"A": lights, "B": -lights})
    right = (mapped == place.truth).values
    assert right[where.values == "B"].mean() > 0.97
    assert right[where.values == "A"].mean() < 0.5
    assert (mapped.values[where.values == ""] == chips.IGNORE).all()


def test_a_cut_is_chosen_on_the_given_ground_only(place):
    lights = place.image.isel(band=0, drop=True)
    left = xr.zeros_like(place.truth, dtype=bool)
    left[:, :120] = True
    mapped, cut = night_lights.threshold(place, lights, left)
    assert 0.1 < 10**cut < 20
    twisted = xr.where(left, place.label, 1 - place.label)  # wrong where it must not be looked at
    other = replace(place, label=twisted.astype("uint8").rio.write_crs(32648))
    assert night_lights.threshold(other, lights, left)[1] == cut
    assert (mapped == 1).mean() == pytest.approx(float((place.truth == 1).mean()), rel=0.1)


def test_svm_needs_both_classes_and_finds_the_towns(place):
    every = xr.ones_like(place.truth, dtype=bool)
    score = night_lights.svm(place, every)
    mapped, _ = night_lights.threshold(place, score, every)
    assert (mapped == place.truth).mean() > 0.97
    with pytest.raises(ValueError, match="one class only"):
        night_lights.svm(place, place.truth == 0)


def test_a_network_trains_and_maps_its_own_ground(place, table):
    parts, _ = night_lights.halves(place, table)
    chosen = night_lights.setting("smoke", alignment="same", epochs=20, batch_size=4)
    fine = night_lights.zoomed(place, chosen["zoom"])
    learn = night_lights.train("IFCN", fine, parts["A"], **chosen)
    score = night_lights.probability(learn.model, fine, place)
    assert score.shape == place.truth.shape
    inside, outside = (float(score.where(place.truth == k).mean()) for k in (1, 0))
    assert inside > outside + 0.2


def test_settings_are_checked():
    assert night_lights.setting("paper")["iterations"] == 20_000
    assert night_lights.setting("paper", epochs=3).get("iterations") is None
    assert night_lights.setting("quick", "burundi")["epochs"] == 32
    with pytest.raises(ValueError, match=r"Did you mean"):
        night_lights.setting("qick")
    with pytest.raises(TypeError, match="no value 'epoch'"):
        night_lights.setting(epoch=3)
    with pytest.raises(ValueError, match="source='secne'"):
        night_lights.ground("secne")
