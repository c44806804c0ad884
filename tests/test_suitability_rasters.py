"""Temperature and densities: what goes in comes out, units, and bad input."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
import xarray as xr

from toolkit import suitability
from toolkit.scene import landsat_metadata, thermal

CRS = "EPSG:32648"
CELL = 30.0


def image(bands, crs=CRS, **attrs):
    """An image of bands by name, 30 m."""
    values = np.stack([np.asarray(v, float) for v in bands.values()])
    rows, cols = values.shape[1:]
    coords = {
        "band": list(bands),
        "y": CELL * (rows - 0.5 - np.arange(rows)),
        "x": CELL * (np.arange(cols) + 0.5),
    }
    array = xr.DataArray(values, coords, ("band", "y", "x"), attrs=attrs)
    return array if crs is None else array.rio.write_crs(crs)


def seen(kelvin, emissivity, water):
    """Counts of Landsat's thermal bands through a summer's air of 303 K."""
    bands, mean = {}, 16.0110 + 0.92621 * 303
    for k, (band, slope, start) in enumerate(((10, -0.1146, 1.0286), (11, -0.1568, 1.0083))):
        passed = start + slope * water
        glow = float(thermal.planck(mean, band))
        air = thermal.Air(passed, (1 - passed) * glow, (1 - passed**1.66) * glow)
        radiance = thermal.forward(kelvin, emissivity[k], air, band)
        bands[f"B{band}"] = (radiance - 0.1) / 3.342e-4
    return bands


@pytest.fixture
def truth():
    """Surface of 295 to 320 K, with soil in the upper rows and plants in the lower."""
    kelvin = np.linspace(295, 320, 48).reshape(6, 8)
    plants = np.arange(6)[:, None] >= 3
    red, nir = np.where(plants, 7000, 12500), np.where(plants, 19500, 13500)
    red, nir = (np.broadcast_to(v, kelvin.shape) for v in (red, nir))
    values = [np.where(plants, p, s) for s, p in ((0.971, 0.987), (0.977, 0.989))]
    emissivity = [np.broadcast_to(v, kelvin.shape) for v in values]
    scene = image({"B4": red, "B5": nir, **seen(kelvin, emissivity, 2.0)})
    return kelvin, emissivity, scene


# Landsat


def test_brightness_temperature_closes():
    kelvin = np.array([[280.0, 300.0], [310.0, 325.0]])
    for band in (10, 11):
        counts = (thermal.planck(kelvin, band) - 0.1) / 3.342e-4
        found = suitability.brightness_temperature(image({f"B{band}": counts}), band, "standard")
        assert found.values == pytest.approx(kelvin, abs=1e-3) and found.attrs["units"] == "K"
        assert found.rio.crs == CRS and found.dtype == np.float32
    empty = suitability.brightness_temperature(image({"B10": [[0, 9000], [1, 2]]}), 10, "standard")
    assert np.isnan(empty.values[0, 0]) and np.isfinite(empty.values[0, 1])


def test_ndvi_and_emissivity():
    # reflectance 0.1 and 0.3: counts (r + 0.1) / 2e-5
    index = suitability.ndvi(image({"red": [[10000, 0]] * 2, "nir": [[20000, 9]] * 2}), "standard")
    assert index.values[0, 0] == pytest.approx(0.5) and np.isnan(index.values[0, 1])
    layers = xr.DataArray([[-0.2, 0.1, 0.35], [0.5, 0.9, np.nan]], dims=("y", "x"))
    found = suitability.emissivity(layers.rio.write_crs(CRS))
    ten = [[0.991, 0.971, 0.971 + 0.016 * 0.25], [0.987, 0.987, np.nan]]
    assert found.sel(band="B10").values == pytest.approx(np.array(ten), nan_ok=True)
    assert found.sel(band="B11").values[0, :2].tolist() == pytest.approx([0.986, 0.977])
    with pytest.raises(ValueError, match="below plants"):
        suitability.emissivity(layers.rio.write_crs(CRS), soil=0.6)
    with pytest.raises(ValueError, match="outside -1 to 1"):
        suitability.emissivity(layers.rio.write_crs(CRS) * 100)


def test_split_window_finds_the_temperature(truth):
    kelvin, emissivity, scene = truth
    found = suitability.land_surface_temperature(scene, 2.0, "standard")
    error = found.values - kelvin
    # the authors: typically below 1.5 K, with emissivity known
    assert abs(error.mean()) < 1 and np.sqrt((error**2).mean()) < 1.5
    assert found.attrs["units"] == "K" and "2014" in found.attrs["method"]
    # much nearer than what the satellite sees
    raw = suitability.brightness_temperature(scene, 10, "standard").values - kelvin
    assert abs(raw).mean() > 2.5 * abs(error).mean()
    given = xr.concat(
        [scene[0].copy(data=e) for e in emissivity], xr.Variable("band", ["B10", "B11"])
    )
    same = suitability.land_surface_temperature(
        scene.sel(band=["B10", "B11"]), 2.0, "standard", emissivity=given
    )
    assert same.values == pytest.approx(found.values, abs=0.01)
    celsius = suitability.land_surface_temperature(scene, 2.0, "standard", units="degC")
    assert celsius.values == pytest.approx(found.values - 273.15, abs=1e-3)
    assert celsius.attrs["units"] == "degC"


def test_split_window_equation_by_hand():
    # T10 = 300, T11 = 298, NDVI of bare soil: e = 0.974, gap -0.006, w = 2
    counts = {f"B{b}": [[(thermal.planck(t, b) - 0.1) / 3.342e-4] * 2] * 2
              for b, t in ((10, 300.0), (11, 298.0))}  # fmt: skip
    scene = image({"red": [[12500] * 2] * 2, "nir": [[13500] * 2] * 2, **counts})
    hand = 300 + 1.378 * 2 + 0.183 * 4 - 0.268
    hand += (54.3 - 2.238 * 2) * 0.026 + (-129.2 + 16.4 * 2) * -0.006
    found = suitability.land_surface_temperature(scene, 2.0, "standard")
    assert found.values == pytest.approx(hand, abs=2e-3)


def test_single_channel_needs_no_band_11(truth):
    kelvin, _, scene = truth
    found = suitability.land_surface_temperature(
        scene.drop_sel(band="B11"), 2.0, "standard", method="single_channel"
    )
    error = found.values - kelvin
    assert abs(error.mean()) < 2 and error.std() < 1
    stray = scene.copy()
    stray.loc[{"band": "B11"}] += 0.5 / 3.342e-4  # radiance, as before 2017
    bent = suitability.land_surface_temperature(stray, 2.0, "standard")
    assert abs(bent.values - kelvin).mean() > 3
    with pytest.raises(KeyError, match="single_channel"):
        suitability.land_surface_temperature(scene.drop_sel(band="B11"), 2.0, "standard")


def test_clouds_are_left_out(truth):
    _, _, scene = truth
    qa = scene[0].copy(data=np.full((6, 8), 2720.0))
    qa[0, 0], qa[1, 1] = 2720 | 1 << 4, 1
    clear = suitability.clear_sky(qa, 1)
    found = suitability.land_surface_temperature(scene, 2.0, "standard", clear=clear)
    assert np.isnan(found.values[[0, 1], [0, 1]]).all() and np.isnan(found.values).sum() == 2
    assert found.attrs["clear"] == pytest.approx(46 / 48)
    with pytest.raises(ValueError, match="whole scene is cloud"):
        suitability.land_surface_temperature(scene, 2.0, "standard", clear=clear & False)
    with pytest.raises(ValueError, match="clear has another shape"):
        suitability.land_surface_temperature(scene, 2.0, "standard", clear=clear[1:])
    with pytest.raises(ValueError, match="must be bool"):
        suitability.land_surface_temperature(scene, 2.0, "standard", clear=qa)


@pytest.mark.parametrize(
    ("collection", "clear", "cloudy"),
    [
        ("pre", [20480, 20512], [1, 53248, 28672, 36864, 61440]),
        (1, [2720, 2724], [1, 2800, 2976, 6816, 2720 | 1 << 6]),
        (2, [21824, 21952], [1, 22280, 23888, 55052, 21826]),
    ],
)
def test_quality_bits_of_each_collection(collection, clear, cloudy):
    values = np.array([clear + cloudy, cloudy + clear])
    qa = image({"qa": values})
    found = suitability.clear_sky(qa, collection).values[0].tolist()
    assert found == [True] * len(clear) + [False] * len(cloudy)


def test_quality_band_must_be_flags():
    with pytest.raises(ValueError, match="resampled"):
        suitability.clear_sky(image({"qa": [[20480.5, 1]] * 2}), "pre")
    with pytest.raises(KeyError, match="no band 'qa'"):
        suitability.clear_sky(image({"B4": [[1, 1]] * 2}), 1)
    with pytest.raises(ValueError, match="collection"):
        suitability.clear_sky(image({"qa": [[1, 1]] * 2}), 3)


def test_bad_thermal_input(truth):
    _, _, scene = truth
    with pytest.raises(ValueError, match=r"no metadata \(MTL\).*standard"):
        suitability.land_surface_temperature(scene, 2.0)
    with pytest.raises(ValueError, match="divide by 10"):
        suitability.land_surface_temperature(scene, 29, "standard")
    with pytest.raises(KeyError, match="no red and near-infrared"):
        suitability.land_surface_temperature(scene.sel(band=["B10", "B11"]), 2.0, "standard")
    with pytest.raises(KeyError, match="no K1_CONSTANT_BAND_10"):
        broken = {k: v for k, v in suitability.STANDARD_CONSTANTS.items() if "K1" not in k}
        suitability.land_surface_temperature(scene, 2.0, broken)
    with pytest.raises(ValueError, match="no pixel with counts"):
        suitability.land_surface_temperature(scene * 0, 2.0, "standard")
    with pytest.raises(KeyError, match="no band red or B4"):
        suitability.ndvi(scene.sel(band=["B10", "B11"]), "standard")
    with pytest.raises(ValueError, match="no CRS"):
        suitability.land_surface_temperature(image({"B10": [[1, 2]] * 2}, crs=None), 2.0)


# Metadata


@pytest.fixture
def mtl(truth):
    """The simulated scene's own metadata, printed as the agency prints them."""
    _, _, scene = truth
    table = {"ORIGIN": "Simulated", "SPACECRAFT_ID": "LANDSAT_8", "DATE_ACQUIRED": "2019-08-11"}
    table |= suitability.STANDARD_CONSTANTS | {"SUN_ELEVATION": 63.5}
    return landsat_metadata.mtl_text(scene.assign_attrs(mtl=table))


def test_metadata_are_read_from_a_file(mtl, truth, tmp_path):
    path = tmp_path / "LC08_MTL.txt"
    path.write_text(mtl)
    found = suitability.read_mtl(path)
    assert found == suitability.read_mtl(mtl)
    assert {k: found[k] for k in suitability.STANDARD_CONSTANTS} == suitability.STANDARD_CONSTANTS
    assert found["DATE_ACQUIRED"] == "2019-08-11" and found["SUN_ELEVATION"] == 63.5
    _, _, scene = truth
    standard = suitability.land_surface_temperature(scene, 2.0, "standard")
    for given in (found, path, str(path)):
        assert suitability.land_surface_temperature(scene, 2.0, given).equals(standard)
    carried = suitability.land_surface_temperature(scene.assign_attrs(mtl=found), 2.0)
    assert carried.equals(standard)


def test_level_1_constants_win_over_those_of_level_2():
    text = """GROUP = LANDSAT_METADATA_FILE
      GROUP = LEVEL1_RADIOMETRIC_RESCALING
        REFLECTANCE_MULT_BAND_4 = 2.0000E-05
      END_GROUP = LEVEL1_RADIOMETRIC_RESCALING
      GROUP = LEVEL2_SURFACE_REFLECTANCE_PARAMETERS
        REFLECTANCE_MULT_BAND_4 = 2.75e-05
      END_GROUP = LEVEL2_SURFACE_REFLECTANCE_PARAMETERS
      K1_CONSTANT_BAND_10 = 774.8853
    END"""
    assert suitability.read_mtl(text)["REFLECTANCE_MULT_BAND_4"] == 2e-5


def test_bad_metadata(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"_MTL\.txt"):
        suitability.read_mtl(tmp_path / "none.txt")
    with pytest.raises(ValueError, match="not an MTL file"):
        suitability.read_mtl("first\nsecond")
    with pytest.raises(ValueError, match="LANDSAT_7"):
        suitability.read_mtl('SPACECRAFT_ID = "LANDSAT_7"\nK1_CONSTANT_BAND_6_VCID_1 = 666.09\n')


# Densities


def place(*bounds):
    return gpd.GeoDataFrame(geometry=[shapely.box(*bounds)], crs=CRS)


@pytest.fixture
def grid():
    return suitability.grid(place(0, 0, 1200, 900))


def test_grid_is_snapped(grid):
    assert grid.shape == (30, 40) and grid.rio.bounds() == (0, 0, 1200, 900)
    assert suitability.grid(place(10, 10, 100, 50)).rio.bounds() == (0, 0, 120, 60)
    with pytest.raises(ValueError, match="degrees"):
        suitability.grid(place(0, 0, 900, 900).to_crs(4326))
    with pytest.raises(ValueError, match="above 0"):
        suitability.grid(place(0, 0, 900, 900), resolution=0)


@pytest.mark.parametrize("kernel", ["quartic", "epanechnikov", "uniform"])
def test_density_keeps_the_amount(grid, kernel):
    # across a corner of four cells, far from the edge
    house = place(590, 440, 640, 470)
    found = suitability.density(house, grid, 150, kernel=kernel)
    assert float(found.sum()) * 900 == pytest.approx(50 * 30, rel=1e-5)
    assert found.attrs["units"] == "1" and found.attrs["kernel"] == kernel
    count = suitability.density(house, grid, 150, "count", kernel)
    assert float(count.sum()) * 900 / 1e6 == pytest.approx(1, rel=1e-5)
    road = gpd.GeoDataFrame(geometry=[shapely.LineString([(500, 400), (700, 500)])], crs=CRS)
    length = suitability.density(road, grid, 150, kernel=kernel)
    assert float(length.sum()) * 900 / 1000 == pytest.approx(np.hypot(200, 100), rel=1e-5)
    assert length.attrs["units"] == "km km-2"
    # nothing beyond the radius and half a cell
    away = np.hypot(found.x - 615, found.y - 455) > 150 + 75
    assert float(found.where(away, 0).max()) == 0


def test_kernels_by_hand():
    # all in one cell of 30 m, radius 60: cells at 0, 30, 42.4 and 60 m
    house = place(300, 300, 330, 330)
    grid = suitability.grid(place(0, 0, 630, 630))
    quartic = suitability.density(house, grid, 60)
    centre, near, corner, far = (float(quartic.sel(x=315 + dx, y=315 + dy))
                                 for dx, dy in ((0, 0), (30, 0), (30, 30), (60, 0)))  # fmt: skip
    total = 1 + 4 * 0.75**2 + 4 * 0.5**2
    hand = (1 / total, 0.5625 / total, 0.25 / total, 0)
    assert (centre, near, corner, far) == pytest.approx(hand)
    uniform = suitability.density(house, grid, 60, kernel="uniform")
    assert np.unique(uniform.values[uniform.values > 0]) == pytest.approx(1 / 13)


def test_edges():
    # built over all the grid, and beyond
    grid = suitability.grid(place(0, 0, 600, 600))
    city = place(0, 0, 600, 600)
    assert suitability.density(city, grid, 150).values == pytest.approx(1, abs=1e-5)
    plain = suitability.density(city, grid, 150, edge="none").values
    assert plain[10, 10] == pytest.approx(1) and plain[0, 0] < 0.5
    wide = suitability.density(place(-300, -300, 900, 900), grid, 150, edge="none").values
    assert wide == pytest.approx(1, abs=1e-5)


def test_parts_of_lines_count(grid):
    lines = shapely.MultiLineString([[(400, 400), (500, 400)], [(600, 500), (600, 550)]])
    found = suitability.density(gpd.GeoDataFrame(geometry=[lines], crs=CRS), grid, 90)
    assert float(found.sum()) * 900 / 1000 == pytest.approx(150, rel=1e-5)


def test_bad_features(grid):
    house = place(0, 0, 30, 30)
    road = gpd.GeoDataFrame(geometry=[shapely.LineString([(0, 0), (9, 9)])], crs=CRS)
    both = gpd.GeoDataFrame(geometry=[*house.geometry, *road.geometry], crs=CRS)
    twice = gpd.GeoDataFrame(geometry=[*road.geometry, road.geometry[0].reverse()], crs=CRS)
    for bad, radius, options, message in [
        (house, 20, {}, "below the cell side"),
        (house, np.nan, {}, "below the cell side"),
        (house, 90, {"measure": "length"}, "measure"),
        (house, 90, {"kernel": "gauss"}, "kernel"),
        (both, 90, {}, "one by one"),
        (twice, 90, {}, "earlier row"),
        (house.set_crs(None, allow_override=True), 90, {}, "no CRS"),
        (house.to_crs(32647), 90, {}, "to_crs"),
        (house.set_geometry(house.centroid), 90, {}, "other than"),
    ]:
        with pytest.raises(ValueError, match=message):
            suitability.density(bad, grid, radius, **options)
    with pytest.raises(ValueError, match=r"grid: the CRS is .*degrees"):
        suitability.density(house, grid.rio.write_crs(4326), 90)
    with pytest.raises(ValueError, match="north up"):
        suitability.density(house, grid[::-1], 90)


def districts(**columns):
    shapes = [shapely.box(0, 0, 600, 900), shapely.box(600, 0, 900, 900)]
    return gpd.GeoDataFrame(columns, geometry=shapes, crs=CRS)


def test_population_is_spread_over_the_district(grid):
    found = suitability.population(districts(persons=[5400, 1350]), "persons", grid)
    assert found.values[:, :20] == pytest.approx(10000)
    assert found.values[:, 20:30] == pytest.approx(5000)
    assert np.isnan(found.values[:, 30:]).all() and found.attrs["units"] == "km-2"
    assert float(found.sum()) * 900 / 1e6 == pytest.approx(6750)
    given = suitability.population(districts(d=[7186, 7090]), "d", grid, per_km2=True)
    assert np.unique(given.values[np.isfinite(given.values)]).tolist() == [7090, 7186]


def test_bad_population(grid):
    with pytest.raises(KeyError, match=r"no column 'people'; it has \['persons'\]"):
        suitability.population(districts(persons=[1, 2]), "people", grid)
    for bad in ([1, -1], [1, np.nan], ["many", 1]):
        with pytest.raises(ValueError, match="missing, negative or no number"):
            suitability.population(districts(persons=bad), "persons", grid)
    double = gpd.GeoDataFrame(
        {"p": [1, 2]}, geometry=[shapely.box(0, 0, 60, 60), shapely.box(30, 0, 90, 60)], crs=CRS
    )
    with pytest.raises(ValueError, match=r"overlap by 0\.002 km2"):
        suitability.population(double, "p", grid)
    far = districts(p=[1, 2]).translate(1e5)
    with pytest.raises(ValueError, match="none of them lies on the grid"):
        suitability.population(districts(p=[1, 2]).set_geometry(far), "p", grid)


def test_to_grid(grid):
    coarse = suitability.grid(place(0, 0, 1200, 900), 150)
    coarse = coarse.copy(data=np.arange(48, dtype="float32").reshape(6, 8)).assign_attrs(units="K")
    fine = suitability.to_grid(coarse, grid, "nearest")
    assert fine.shape == grid.shape and fine.attrs["units"] == "K"
    assert np.array_equal(fine.values, np.kron(coarse.values, np.ones((5, 5))))
    back = suitability.to_grid(fine, coarse, "average")
    assert back.values == pytest.approx(coarse.values)
    # nodata stays out of the means
    holes = fine.copy(data=np.where(fine.values == 0, -1, fine.values)).rio.write_nodata(-1)
    again = suitability.to_grid(holes, coarse, "average")
    assert np.isnan(again.values[0, 0]) and again.values[0, 1] == 1
    layers = {"a": fine, "b": suitability.density(place(0, 0, 30, 30), grid, 90)}
    suitability.overlay(layers, {"a": 0.5, "b": 0.5})  # the very same grid
    with pytest.raises(ValueError, match="none of its data fall on the grid"):
        suitability.to_grid(coarse, suitability.grid(place(9e5, 9e5, 9e5 + 300, 9e5 + 300)))
    with pytest.raises(ValueError, match="Did you mean 'average'"):
        suitability.to_grid(coarse, grid, "averag")
