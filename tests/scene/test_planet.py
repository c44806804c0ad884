"""Planet-like mosaic: four tiles that do not match, few clouds, a mask that finds them."""

import numpy as np
import pytest
import xarray as xr

from toolkit.scene import optical, planet


@pytest.fixture(scope="module")
def mosaic(toy_city):
    return planet.mosaic(toy_city)


def test_what_comes_out(mosaic, toy_city):
    image, mask = mosaic
    assert image.shape == (4, 240, 240)
    assert image.dtype == np.uint16
    assert list(image.band.values) == ["blue", "green", "red", "nir"]
    assert image.rio.bounds() == mask.rio.bounds() == toy_city.bounds
    assert image.to_numpy().min() >= 1
    assert image.to_numpy().max() < 10000
    assert set(np.unique(mask)) <= {0, 1, 2}
    assert mask.attrs["classes"][1]["name"] == "Cloud"
    assert image.attrs["simulated"] is mask.attrs["simulated"] is True


def test_under_fifteen_percent_cloud(mosaic):
    image, mask = mosaic
    assert image.attrs["cloudy"] == pytest.approx(float((mask > 0).mean()), abs=1e-3)
    assert (mask > 0).mean() < 0.15


def test_tiles_step_at_their_seams(mosaic, toy_city):
    image, mask = mosaic
    origin = planet.seams(toy_city, image.shape[1:])
    assert set(np.unique(origin)) == {0, 1, 2, 3}
    assert np.bincount(origin.ravel()).min() > 0.1 * origin.size
    fine = optical.ground(toy_city, 3.0)
    paving = (toy_city.surfaces.material == "concrete_paving").to_numpy()[fine.objects]
    clear = paving & (mask.to_numpy() == 0)
    steps = []
    for band in image.to_numpy().astype(float):
        parts = [clear & (origin == t) for t in range(4)]
        tone = [np.median(band[p]) for p in parts if p.sum() > 50]
        assert len(tone) >= 3
        steps.append(max(tone) / min(tone))
    # visible, but no patchwork
    assert 1.03 < max(steps) < 1.5


def test_reproducible(toy, mosaic):
    again = planet.mosaic(toy())
    for one, other in zip(mosaic, again, strict=True):
        xr.testing.assert_identical(one, other)
    assert not np.array_equal(planet.mosaic(toy(seed=4))[0], again[0])


def test_four_tiles(toy_city):
    with pytest.raises(ValueError, match="four tiles, got 2"):
        planet.mosaic(toy_city, planet.TILES[:2])
