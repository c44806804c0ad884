"""Sentinel-2: plausible, seasonal, reproducible."""

import numpy as np
import pytest
import xarray as xr

from toolkit.scene import materials, optical, sentinel2


@pytest.fixture(scope="module")
def seasons(toy_city):
    return {s: sentinel2.scene(toy_city, s) for s in materials.SEASONS}


def ndvi(image, where):
    red, nir = (image.sel(band=b).to_numpy().astype(float)[where] for b in ("B4", "B8"))
    return np.median((nir - red) / (nir + red))


def pure(city, names):
    """Pixels of 10 m in which everything is one of the materials."""
    fine = optical.ground(city, 2.5)
    inside = city.surfaces["material"].isin(names).to_numpy()[fine.objects]
    return inside.reshape(72, 4, 72, 4).all(axis=(1, 3))


def test_what_comes_out(seasons, toy_city):
    image = seasons["summer"]
    assert image.dims == ("band", "y", "x")
    assert tuple(image.band.values) == materials.BANDS
    assert image.shape == (10, 72, 72)
    assert image.dtype == np.uint16
    assert image.rio.bounds() == toy_city.bounds
    assert image.attrs["date"] == "2017-08-05"
    assert image.attrs["simulated"] is True
    assert image.attrs["sun_elevation"] > 60


def test_reflectance_is_in_range(seasons):
    for image in seasons.values():
        values = image.to_numpy()
        assert values.min() >= 10
        assert values.max() < 9000
        assert 500 < np.median(values[0]) < 2500


def test_vegetation_follows_the_year(seasons, toy_city):
    # seen through the air NDVI is lower than at the surface, by up to 0.25 over dense canopies
    for material in ("tree_broadleaf", "cropland_rice", "cropland_wheat"):
        where = pure(toy_city, [material])
        for i, season in enumerate(materials.SEASONS):
            low, high = materials.NDVI_RANGE[material][i]
            assert low - 0.25 < ndvi(seasons[season], where) < high
    rice = pure(toy_city, ["cropland_rice"])
    assert ndvi(seasons["summer"], rice) > ndvi(seasons["spring"], rice) + 0.3
    for image in seasons.values():
        water, sealed = pure(toy_city, ["water_pond"]), pure(toy_city, ["concrete_paving"])
        assert (
            ndvi(image, water)
            < ndvi(image, sealed)
            < ndvi(image, pure(toy_city, ["tree_broadleaf"]))
        )


def test_the_tower_darkens_the_ground_away_from_the_sun(seasons, toy_city):
    image = seasons["autumn"].sel(band="B8").to_numpy().astype(float)
    # the tower fills rows 38-41 and columns 42-45; at 10:30 the sun is in the south-east
    behind, before = image[34:37, 38:41].mean(), image[43:46, 47:50].mean()
    assert behind < 0.7 * before


def test_gain_differs_by_date(toy_city):
    # the same ground, paving, does not come out the same on two dates
    sealed = pure(toy_city, ["concrete_paving"])
    values = {s: np.median(sentinel2.scene(toy_city, s).sel(band="B11").to_numpy()[sealed])
              for s in ("spring", "summer")}  # fmt: skip
    assert abs(values["spring"] / values["summer"] - 1) > 0.002


def test_grids(toy_city, seasons):
    native = sentinel2.scene(toy_city, "summer", resolution="native")
    assert native[10].shape == (4, 72, 72)
    assert native[20].shape == (6, 36, 36)
    coarse = sentinel2.scene(toy_city, "summer", resolution=20)
    assert coarse.shape == (10, 36, 36)
    assert np.array_equal(coarse.sel(band="B11"), native[20].sel(band="B11"))
    assert np.array_equal(seasons["summer"].sel(band="B11")[::2, ::2], native[20].sel(band="B11"))
    assert native[20].rio.bounds() == toy_city.bounds


def test_same_seed_same_image_other_seed_another(toy, toy_city, seasons):
    again = sentinel2.scene(toy(), "spring", ground=optical.ground(toy(), 2.5))
    xr.testing.assert_identical(again, seasons["spring"])
    assert not np.array_equal(sentinel2.scene(toy_city, "spring", seed=9), again)


def test_bad_input(toy_city):
    with pytest.raises(KeyError, match="unknown season"):
        sentinel2.scene(toy_city, "winter")
    with pytest.raises(ValueError, match="resolution is 30"):
        sentinel2.scene(toy_city, resolution=30)
