"""Gaofen-2-like image: details that are there, shadows that fall right, a seed that holds."""

import numpy as np
import pytest
import xarray as xr

from toolkit.scene import details, gaofen2, light, optical, traffic


@pytest.fixture(scope="module")
def patch(toy_city):
    return gaofen2.image(toy_city, toy_city.bounds)


@pytest.fixture
def page(toy_city):
    ground = optical.ground(toy_city, 0.8)
    return details.canvas(toy_city, ground, light.Sun(130, 50))


def where(city, material):
    inside = (city.surfaces.material == material).to_numpy()
    return inside[optical.ground(city, 0.8).objects]


def test_what_comes_out(patch, toy_city):
    assert patch.shape == (4, 900, 900)
    assert patch.dtype == np.uint16
    assert patch.rio.bounds() == pytest.approx(toy_city.bounds)
    assert patch.rio.resolution() == pytest.approx((0.8, -0.8))
    assert patch.attrs["simulated"] is True
    assert patch.to_numpy().min() >= 50
    assert patch.to_numpy().max() < 9500


def test_vegetation_and_water(patch, toy_city):
    red, nir = (patch.sel(band=b).to_numpy().astype(float) for b in ("red", "nir"))
    ndvi = (nir - red) / (nir + red)
    assert np.median(ndvi[where(toy_city, "tree_broadleaf")]) > 0.5
    assert np.median(ndvi[where(toy_city, "water_pond")]) < 0
    assert abs(np.median(ndvi[where(toy_city, "concrete_paving")])) < 0.15


def test_shadow_of_the_tower_is_darker_than_the_paving(patch):
    nir = patch.sel(band="nir").to_numpy().astype(float)
    # the tower stands at rows 475-525 and columns 525-575, the sun in the south-east
    assert np.median(nir[455:470, 505:520]) < 0.6 * np.median(nir[535:550, 585:600])


def test_tile_roofs_have_a_bright_and_a_dark_side(toy_city, page):
    details.roofs(toy_city, page)
    # the first house: x 220-260, y 40-52, its ridge along x at y 46
    south = page.tone[int((720 - 43) / 0.8), 300]
    north = page.tone[int((720 - 49) / 0.8), 300]
    assert south > 1.1 > 0.95 > north
    assert page.height[int((720 - 46) / 0.8), 300] > 7 + 2


def test_flat_roofs_carry_equipment_and_parapets(toy_city, page):
    details.roofs(toy_city, page)
    roof = where(toy_city, "roof_concrete")
    assert page.height[roof].max() > 61.2
    assert (page.cover[roof] > 0.5).sum() > 10
    assert not page.cover[~where(toy_city, "roof_concrete")].any()


def test_crowns_face_the_sun(toy_city, page):
    details.crowns(toy_city, page)
    wood = where(toy_city, "tree_broadleaf")
    assert page.tone[wood].std() > 0.1
    assert (page.tone[~wood] == 1).all()
    assert page.height[wood].std() > 0.2


def test_cars_keep_to_sealed_ground(toy_city, page):
    traffic.roads(toy_city, page)
    on_road = (page.cover > 0.3) & where(toy_city, "asphalt")
    assert on_road.sum() > 30
    assert not (page.cover[where(toy_city, "water_pond")]).any()
    before = page.cover.sum()
    traffic.car_parks(toy_city, page)
    assert page.cover.sum() > before + 100


def test_fields_have_rows(toy_city, page):
    details.fields(toy_city, page)
    assert page.tone[where(toy_city, "cropland_maize")].std() > 0.01


def test_core_lies_inside(toy_city):
    west, south, east, north = gaofen2.core(toy_city, 320)
    assert (east - west, north - south) == (320, 320)
    assert toy_city.bounds[0] < west < east < toy_city.bounds[2]


def test_reproducible(toy):
    city = toy()
    west, south, _, _ = city.bounds
    part = (west + 200, south, west + 520, south + 320)
    first = gaofen2.image(city, part)
    xr.testing.assert_identical(first, gaofen2.image(toy(), part))
    assert not np.array_equal(first, gaofen2.image(toy(seed=8), part))


def test_bounds_have_to_fit(toy_city):
    west, south, _, _ = toy_city.bounds
    with pytest.raises(ValueError, match=r"multiple of 3\.2 m"):
        gaofen2.image(toy_city, (west, south, west + 100, south + 100))
