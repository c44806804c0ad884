"""Optical: which object lies where, how bright it is, and how pixels mix."""

import numpy as np
import pytest
from scipy import ndimage

from toolkit.scene import light, materials, optical, truth

NAMES = ("B2", "B4", "B8")


def test_ground_agrees_with_the_truth(toy_city):
    fine = optical.ground(toy_city, 4)
    codes = toy_city.surfaces["material"].map(materials.CODES).to_numpy()[fine.objects]
    assert np.array_equal(codes, truth.materials_raster(toy_city, 4).values)
    assert fine.height.max() == 60
    assert fine.height[codes == materials.CODES["roof_concrete"]].min() == 60


def test_ground_of_a_part_is_the_part_of_the_ground(toy_city):
    west, south, _, _ = toy_city.bounds
    part = (west + 200, south + 200, west + 480, south + 400)
    whole = optical.ground(toy_city, 4).objects
    assert np.array_equal(optical.ground(toy_city, 4, part).objects, whole[80:130, 50:120])


def test_bounds_that_do_not_fit(toy_city):
    west, south, east, north = toy_city.bounds
    with pytest.raises(ValueError, match="beyond the city"):
        optical.ground(toy_city, 4, (west - 4, south, east, north))
    with pytest.raises(ValueError, match="whole number of pixels"):
        optical.ground(toy_city, 7)


def test_signatures_scatter_around_their_material(toy_city):
    spectra = optical.signatures(toy_city, "summer", NAMES)
    assert spectra.shape == (len(toy_city.surfaces), 3)
    assert spectra.dtype == np.float32
    assert spectra.min() > 0
    assert spectra.max() < 1
    rice = np.flatnonzero(toy_city.surfaces.material == "cropland_rice")
    assert np.ptp(spectra[rice, 2]) > 0.005
    expected = materials.spectrum("cropland_rice", "summer")[6]
    assert np.median(spectra[rice, 2]) == pytest.approx(expected, rel=0.25)


def test_dates_lie_between_seasons(toy_city):
    spring, summer = (optical.signatures(toy_city, s, NAMES) for s in ("spring", "2017-08-05"))
    between = optical.signatures(toy_city, "2017-06-10", NAMES)
    rice = (toy_city.surfaces.material == "cropland_rice").to_numpy()
    assert (spring[rice, 2] < between[rice, 2]).all()
    assert (between[rice, 2] < summer[rice, 2]).all()
    with pytest.raises(KeyError, match="neither a date"):
        optical.signatures(toy_city, "monsoon", NAMES)


def test_mixing_is_the_area_weighted_mean(toy_city):
    fine = optical.ground(toy_city, 2.5)
    spectra = optical.signatures(toy_city, "summer", NAMES)
    none = np.zeros(fine.objects.shape, bool)
    mixed = optical.mix(fine, none, spectra, 4, NAMES)
    seen = spectra[fine.objects] * fine.tone[..., None]
    blocks = seen.reshape(72, 4, 72, 4, 3).mean(axis=(1, 3))
    assert mixed == pytest.approx(np.moveaxis(blocks, -1, 0), abs=1e-6)
    dark = optical.mix(fine, ~none, spectra, 4, NAMES)
    for i, band in enumerate(NAMES):
        assert dark[i] == pytest.approx(mixed[i] * light.DIFFUSE[band], rel=1e-5)


def test_water_varies_within_its_body(toy_city):
    fine = optical.ground(toy_city, 2.5)
    codes = toy_city.surfaces["material"].map(materials.CODES).to_numpy()[fine.objects]
    pond = codes == materials.CODES["water_pond"]
    assert (fine.tone[~pond] == 1).all()
    assert fine.tone[pond].mean() == pytest.approx(1, abs=0.15)
    assert 0.05 < fine.tone[pond].std() < 0.3
    inner = ndimage.binary_erosion(pond, iterations=12)
    assert fine.tone[pond & ~ndimage.binary_erosion(pond, iterations=3)].mean() > (
        fine.tone[inner].mean() + 0.1
    )  # shallows
    again = optical.ground(toy_city, 2.5, objects=fine.objects)
    assert np.array_equal(again.tone, fine.tone)


def test_digital_numbers_leave_zero_for_nodata():
    assert optical.digital(np.array([-0.2, 0.0, 0.1234, 9.0])).tolist() == [1, 1, 1234, 65535]


def test_georeference(toy_city):
    array = np.ones((2, 72, 72), np.uint16)
    image = optical.georeference(array, ["a", "b"], toy_city.bounds, 10, toy_city, title="x")
    assert image.rio.crs.to_epsg() == 32648
    assert image.rio.bounds() == toy_city.bounds
    assert image.rio.nodata == 0
    assert image.attrs["simulated"] is True
    assert image.attrs["seed"] == 5
    assert image.attrs["scene_version"]
