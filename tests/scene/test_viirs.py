import numpy as np
import pytest
import shapely
from scipy import ndimage

from toolkit.scene import region, viirs


@pytest.fixture(scope="module")
def land():
    return region.make(0)


@pytest.fixture(scope="module")
def lights(land):
    return viirs.lights(land)


def total(lights, land, place):
    """Light above the surroundings within a settlement's own built-up land and 1 km around."""
    own = land.built[land.built["settlement"] == place.name].geometry.union_all().buffer(1000)
    west, south, east, north = own.bounds
    box = lights[0].sel(x=slice(west, east), y=slice(north, south))
    x, y = np.meshgrid(box.x, box.y)
    inside = shapely.contains_xy(own, x, y)
    return float((box.values[inside] - 0.3).sum())


def test_array(lights):
    assert lights.dims == ("band", "y", "x") and lights.shape == (1, 1200, 1200)
    assert lights.dtype == np.float32 and lights.band.values.tolist() == ["radiance"]
    assert lights.rio.crs.to_epsg() == 32648 and np.isnan(lights.rio.nodata)
    assert lights.attrs["simulated"] is True and lights.attrs["units"] == "nW/cm2/sr"
    assert np.isfinite(lights.values).all()


def test_range(lights, land):
    values = lights.values[0]
    assert -0.4 < values.min() < 0 and 60 < values.max() < 500
    mega = land.settlements.iloc[0]
    near = lights[0].sel(x=mega.geometry.x, y=mega.geometry.y, method="nearest")
    window = lights[0].sel(
        x=slice(float(near.x) - 3000, float(near.x) + 3000),
        y=slice(float(near.y) + 3000, float(near.y) - 3000),
    )
    assert 30 < float(window.mean()) < 120  # a large city's centre
    dark = ndimage.maximum_filter(land.built_share.values, 41) < 0.02
    assert 0.0 < np.median(values[dark]) < 0.3  # the country at night
    assert 0.01 < (values[dark] - ndimage.median_filter(values, 5)[dark]).std() < 0.12


def test_totals_grow_as_a_power_law(lights, land):
    table = land.settlements[~land.settlements["dim"]].head(110)
    light = [total(lights, land, place) for place in table.itertuples()]
    people = np.log(table["population"].to_numpy())
    slope, offset = np.polyfit(people, np.log(light), 1)
    # Kyba et al. (2015) find exponents on either side of 1.
    assert 0.85 < slope < 1.2
    assert np.std(np.log(light) - slope * people - offset) < 0.5


def test_dim_towns_are_dim(lights, land):
    table = land.settlements[land.settlements["size"] == "town"].head(120)
    per_head = np.array([total(lights, land, p) / p.population for p in table.itertuples()])
    assert np.median(per_head[table["dim"]]) < 0.6 * np.median(per_head[~table["dim"]])


def test_flares_shine_far_from_towns(lights, land):
    for flare in land.flares.itertuples():
        gap = land.settlements.distance(flare.geometry) - 1.8 * land.settlements["radius_m"]
        assert gap.min() > 8_000
        spot = lights[0].sel(x=flare.geometry.x, y=flare.geometry.y, method="nearest")
        assert float(spot) > 8
    assert len(land.flares) >= 4 and len(land.greenhouses) >= 30


def test_roads_can_be_seen(lights, land):
    values = lights.values[0]
    motorways = land.roads[land.roads["kind"] == "motorway"].geometry.to_numpy()
    xy = shapely.get_coordinates(shapely.segmentize(shapely.simplify(motorways, 200), 500))
    col, row = np.array(~land.transform * xy.T).astype(int).clip(12, 1187)
    rural = ndimage.maximum_filter(land.built_share.values, 9)[row, col] < 0.15
    row, col = row[rural], col[rural]
    beside = [values[row + a, col + b] for a, b in ((10, 0), (-10, 0), (0, 10), (0, -10))]
    assert np.median(values[row, col]) > 1.5 * np.median(beside)


def test_fog_and_water_spread_light(land):
    damp = viirs.moisture(land)
    assert damp.min() >= 0 and damp.max() <= 1
    lake = land.lakes.geometry.iloc[0].representative_point()
    col, row = (int(n) for n in ~land.transform * (lake.x, lake.y))
    assert damp[row, col] > 0.7 > damp[land.elevation.values > 3000].mean()


def test_point_sources_keep_their_light(land):
    light = np.zeros(land.shape)
    viirs.points(light, land.flares, land.transform)
    assert light.sum() == pytest.approx(land.flares["radiance"].sum())


def test_determinism_and_another_seed(lights, land):
    assert lights.identical(viirs.lights(land))
    assert not np.allclose(lights.values, viirs.lights(region.make(1)).values)
