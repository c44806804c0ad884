import numpy as np
import pytest

from toolkit.scene import cities, materials, optical, thermal, truth


@pytest.fixture(scope="module")
def town():
    return cities.make(seed=5, size=3000)


@pytest.fixture(scope="module")
def ground(town):
    return optical.ground(town, 5)


@pytest.fixture(scope="module")
def kelvin(town, ground):
    return thermal.surface_temperature(town, ground=ground)


@pytest.fixture(scope="module")
def clean(town, ground):
    return thermal.landsat8(town, noise=0, footprint=0, ground=ground)


def temperatures(image, band):
    counts = image.sel(band=f"B{band}").to_numpy().astype(float)
    radiance = counts * thermal.RADIANCE[0] + thermal.RADIANCE[1]
    return radiance, thermal.brightness(radiance, band)


def test_temperature_is_plausible(town, kelvin):
    assert kelvin.shape == (100, 100) and kelvin.dtype == np.float32
    assert kelvin.rio.crs == town.crs and kelvin.attrs["simulated"] is True
    values = kelvin.to_numpy()
    assert values.min() > 297 and values.max() < 336
    assert 300 < np.quantile(values, 0.02) < np.quantile(values, 0.98) < 328
    shares = truth.fractions(town, 30)
    pure = {
        name: values[shares.sel({"class": name}).to_numpy() > 0.95]
        for name in shares["class"].values
    }
    water, crop, sealed = (np.median(pure[n]) for n in ("Water", "Cropland", "Impervious"))
    assert water < crop < sealed
    # surface heat islands of midsummer noon are 5 to 15 K
    assert 5 < sealed - crop < 16


def test_dry_ground_is_warm_and_plants_cool():
    args = (0.95, 0.3, 70.0, 0.0, 80.0, 800.0, 420.0, 303.0, 25.0)
    bare, half, full = (thermal.balance(0.15, c, *args) for c in (0.0, 0.5, 1.0))
    assert full < half < bare
    assert thermal.balance(0.5, 0.0, *args) < bare
    # the balance closes
    net = 0.85 * 800 + 0.95 * (420 - thermal.SIGMA * bare**4)
    assert 0.7 * net == pytest.approx(thermal.HEAT * (bare - 303) / 70, abs=0.01)


def test_planck_and_its_inverse():
    kelvin = np.array([280.0, 300.0, 325.0])
    for band in (10, 11):
        assert thermal.brightness(thermal.planck(kelvin, band), band) == pytest.approx(kelvin)
    # 300 K: 9.6 and 8.9 W m-2 sr-1 um-1 (planck's law at 10.9 and 12.0 um)
    assert thermal.planck(300.0, 10) == pytest.approx(9.6, abs=0.2)
    assert thermal.planck(300.0, 11) == pytest.approx(8.9, abs=0.2)


def test_retrieval_closes(town, ground, kelvin, clean):
    shine = thermal.emissivity(town, ground=ground)
    air = thermal.atmosphere(town)
    for band in (10, 11):
        radiance, _ = temperatures(clean, band)
        back = thermal.invert(radiance, shine.sel(band=f"B{band}").to_numpy(), air[band], band)
        step = thermal.RADIANCE[0] / air[band].transmittance
        per_kelvin = thermal.planck(300.5, band) - thermal.planck(299.5, band)
        # half a count, over the lowest emissivity
        assert np.abs(back - kelvin).max() < 0.55 * step / per_kelvin / 0.88


def test_published_split_window_is_within_its_error(town, ground, kelvin, clean):
    # Jimenez-Munoz et al. 2014 (IEEE Geosci. Remote Sens. Lett. 11, 1840): typically below 1.5 K
    shine = thermal.emissivity(town, ground=ground).to_numpy()
    mean, gap = shine.mean(0), shine[0] - shine[1]
    water = thermal.weather(town).water
    (_, ten), (_, eleven) = (temperatures(clean, b) for b in (10, 11))
    apart = ten - eleven
    retrieved = (
        ten + 1.378 * apart + 0.183 * apart**2 - 0.268
        + (54.300 - 2.238 * water) * (1 - mean) + (-129.200 + 16.400 * water) * gap
    )  # fmt: skip
    error = retrieved - kelvin.to_numpy()
    assert abs(error.mean()) < 1.5 and np.sqrt((error**2).mean()) < 1.5


def test_landsat_counts_and_metadata(town, ground, clean):
    image = thermal.landsat8(town, ground=ground)
    assert list(image["band"].values) == ["B4", "B5", "B10", "B11"]
    assert image.dtype == np.uint16 and image.rio.nodata == 0
    mtl = image.attrs["mtl"]
    height = np.sin(np.radians(mtl["SUN_ELEVATION"]))
    counts = image.sel(band=["B4", "B5"]).to_numpy()
    scaled = counts * mtl["REFLECTANCE_MULT_BAND_4"] + mtl["REFLECTANCE_ADD_BAND_4"]
    red, infrared = scaled / height
    assert red.min() > 0 and infrared.max() < 0.8
    ndvi = (infrared - red) / (infrared + red)
    cover = truth.land_cover(town, 30).to_numpy()
    assert np.median(ndvi[cover == 1]) > 0.5 > 0.25 > np.median(ndvi[cover == 5])
    # noise of 0.05 K, seen on what differs from the clean image once both are blurred alike
    blurred = thermal.landsat8(town, ground=ground, noise=0)
    (_, noisy), (_, smooth) = temperatures(image, 10), temperatures(blurred, 10)
    assert (noisy - smooth).std() == pytest.approx(0.05, abs=0.01)
    again = thermal.landsat8(town, ground=ground)
    assert np.array_equal(image, again) and not np.array_equal(image, clean)


def test_stray_light_warms_band_11_alone(town, ground, clean):
    bright = thermal.landsat8(town, noise=0, footprint=0, stray_light=0.5, ground=ground)
    assert np.array_equal(bright[:3], clean[:3])
    warmer = temperatures(bright, 11)[1] - temperatures(clean, 11)[1]
    assert warmer.mean() == pytest.approx(4.2, abs=0.5)


def test_metadata_text(clean):
    text = thermal.mtl_text(clean)
    lines = text.splitlines()
    assert lines[0] == "GROUP = L1_METADATA_FILE" and lines[-1] == "END"
    assert "    RADIANCE_MULT_BAND_10 = 3.3420E-04" in lines
    assert "    RADIANCE_ADD_BAND_11 = 0.10000" in lines
    assert "    K2_CONSTANT_BAND_11 = 1201.1442" in lines
    assert "    REFLECTANCE_MULT_BAND_4 = 2.0000E-05" in lines
    assert "    DATE_ACQUIRED = 2019-08-11" in lines
    written = {x.split(" = ")[0].strip() for x in lines}
    assert set(clean.attrs["mtl"]) < written
    assert "imulated" in text
    with pytest.raises(KeyError, match="mtl"):
        thermal.mtl_text(clean.drop_attrs())


def test_every_material_and_style_is_known():
    assert set(thermal._OWN) <= set(materials.NAMES)
    assert set(materials.KINDS.values()) <= set(thermal._KIND)
    assert set(thermal.CLIMATE) == set(materials.STYLES)


def test_bad_resolution(town, ground):
    with pytest.raises(ValueError, match="multiple"):
        thermal.surface_temperature(town, resolution=12, ground=ground)
