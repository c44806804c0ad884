"""Materials: codes that stay, reflectances that can be, vegetation that follows its year."""

import numpy as np
import pytest

from toolkit.scene import materials


def test_every_material_has_everything():
    assert len(set(materials.CODES.values())) == len(materials.NAMES)
    assert all(0 < code < 255 for code in materials.CODES.values())
    covers = {c["value"] for c in materials.CLASSES}
    for name in materials.NAMES:
        assert materials.COVER[name] in covers
        assert set(materials.VARIATION[name]) == {"object", "texture"}
        assert all(0.85 < e < 1 for e in materials.EMISSIVITY[name].values())


def test_codes_do_not_change():
    # rasters on disk carry them
    expected = {
        "roof_concrete": 1,
        "asphalt": 20,
        "soil_dark": 40,
        "tree_broadleaf": 72,
        "snow": 100,
    }
    assert {k: materials.CODES[k] for k in expected} == expected


def test_land_cover_of_the_odd_ones():
    assert materials.COVER["plastic_greenhouse"] == 1
    assert materials.COVER["pitch_artificial"] == 5


@pytest.mark.parametrize("style", materials.STYLES)
@pytest.mark.parametrize("season", materials.SEASONS)
def test_reflectance_is_physical(style, season):
    table = materials.table(season, style)
    assert table.shape == (len(materials.NAMES), 10)
    assert ((table > 0) & (table < 1)).all(axis=None)


@pytest.mark.parametrize("season", materials.SEASONS)
def test_ndvi_lies_in_published_range(season):
    table = materials.table(season)
    ndvi = (table.B8 - table.B4) / (table.B8 + table.B4)
    checked = 0
    for name in materials.NAMES:
        ranges = materials.NDVI_RANGE.get(name, materials.NDVI_RANGE.get(materials.KINDS[name]))
        if ranges is None:
            continue
        low, high = ranges[materials.SEASONS.index(season)]
        assert low <= ndvi[name] <= high, (name, season, ndvi[name])
        checked += 1
    assert checked > 35


def test_the_year_shows():
    def ndvi(*args):
        red, nir = materials.spectrum(*args)[[2, 6]]
        return (nir - red) / (nir + red)

    assert ndvi("cropland_rice", "summer") > ndvi("cropland_rice", "spring") + 0.4
    assert ndvi("cropland_wheat", "spring") > ndvi("cropland_wheat", "autumn") + 0.3
    # no second crop in Europe, no green summer meadow around the Mediterranean
    assert ndvi("cropland_wheat", "summer", "temperate_european") < 0.35
    assert ndvi("grass_wild", "summer", "mediterranean") < 0.35


def test_urban_brightness_agrees_with_measured_landsat():
    # 37 urban samples of Landsat 8 that ship with spyndex (blue, green, red, SWIR 1, SWIR 2):
    # mean and standard deviation; a plain mixture of roofs and paving should not be far away
    mean = np.array([0.104, 0.141, 0.177, 0.286, 0.227])
    mixture = {"roof_concrete": 0.3, "roof_tile_grey": 0.1, "asphalt_old": 0.2, "asphalt": 0.1}
    mixture |= {"concrete_paving": 0.1, "tree_broadleaf": 0.2}
    ours = sum(share * materials.spectrum(name) for name, share in mixture.items())
    assert np.abs(ours[[0, 1, 2, 8, 9]] - mean).max() < 0.09


def test_leaf_factor_thins_the_canopy():
    full, half = materials.spectrum("cropland_rice", "summer", leaf=np.array([1.0, 0.5]))
    assert half[6] < full[6]
    assert half[2] > full[2]


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (("brick",), "material"),
        (("asphalt", "winter"), "season"),
        (("asphalt", "spring", "x"), "style"),
    ],
)
def test_unknown_names_are_explained(args, word):
    with pytest.raises(KeyError, match=f"unknown {word}"):
        materials.spectrum(*args)
