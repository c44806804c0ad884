import numpy as np
import pytest

from toolkit.scene import cities, materials, truth


@pytest.fixture(scope="module")
def town():
    return cities.make(seed=3, style="temperate_european", size=2400.0)


def test_materials_fill_the_square(town):
    codes = truth.materials_raster(town, 5)
    assert codes.shape == (480, 480) and codes.dtype == np.uint8
    assert int(codes.min()) > 0
    assert set(np.unique(codes)) <= set(materials.CODES.values())
    assert codes.rio.bounds() == pytest.approx(town.bounds)
    assert codes.attrs["simulated"] is True and codes.attrs["seed"] == 3


def test_window_is_a_part_of_the_whole(town):
    west, south, _, _ = town.bounds
    whole = truth.materials_raster(town, 5)
    part = truth.materials_raster(town, 5, (west + 600, south + 600, west + 1200, south + 1000))
    assert part.shape == (80, 120)
    same = whole.sel(x=part.x, y=part.y)
    assert (same == part).mean() > 0.999


def test_land_cover_agrees_with_shares(town):
    shares = truth.fractions(town, 20)
    cover = truth.land_cover(town, 20)
    np.testing.assert_allclose(shares.sum("class"), 1, atol=1e-5)
    assert (shares.to_numpy().argmax(0) + 1 == cover.to_numpy()).mean() > 0.99
    assert cover.rio.nodata == 255 and len(cover.attrs["classes"]) == 7


def test_buildings_agree_with_their_polygons(town):
    mask = truth.building_mask(town, 2)
    assert float(mask.sum()) * 4 == pytest.approx(town.buildings.area.sum(), rel=0.02)
    roofs = truth.roof_type(town, 2)
    assert ((roofs > 0) == (mask == 1)).all()
    tiles = town.buildings[town.buildings["roof"] == "sloped tile"].area.sum()
    assert float((roofs == truth.ROOFS.index("sloped tile")).sum()) * 4 == pytest.approx(
        tiles, rel=0.03
    )
    tall = truth.height(town, 2, trees=False)
    assert ((tall > 0) == (mask == 1)).all()
    assert float(tall.max()) <= town.buildings["height"].max() + 1e-3
    assert float(truth.height(town, 2).mean()) > float(tall.mean())


def test_settlement_holds_every_building_and_street(town):
    settled = truth.settlement(town)
    assert settled.shape == (120, 120)
    at = town.buildings[town.buildings.area > 60].representative_point()
    hit = [int(settled.sel(x=p.x, y=p.y, method="nearest")) for p in at]
    assert np.mean(hit) > 0.99
    mask = truth.building_mask(town, 20)
    assert float((settled == 1).mean()) > float((mask == 1).mean())


def test_population_is_that_of_the_districts(town):
    people = truth.population(town, 100)
    total = town.districts["population"].sum()
    assert float(people.sum()) == pytest.approx(total, rel=0.001)
    assert (people >= 0).all()


def test_bad_input_is_explained(town):
    with pytest.raises(ValueError, match="resolution"):
        truth.materials_raster(town, 0)
    with pytest.raises(ValueError, match="west, south, east, north"):
        truth.land_cover(town, 10, (5, 5, 1, 1))
