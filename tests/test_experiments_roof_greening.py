"""Chapter 3's experiments, on a small synthetic town, and one run in the scene."""

import warnings
from dataclasses import replace

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rioxarray  # noqa: F401
import shapely
import xarray as xr
from rasterio.transform import from_origin
from scipy.ndimage import uniform_filter
from shapely.geometry import LineString, Point, Polygon, box

from toolkit import accuracy, buildings, catalog, suitability
from toolkit.experiments import roof_greening as rg
from toolkit.experiments.roof_greening import places, trials
from toolkit.experiments.roof_greening.real import streets
from toolkit.scene import thermal

CRS = "EPSG:32648"
WEST, NORTH = 600_000.0, 3_300_000.0
SAMPLE = 150  # pixels instead of 1000: squares of 120 m, 4 x 4 of them
N = 4 * SAMPLE
BLUE_TO_NIR = {
    "suitable": (0.30, 0.31, 0.32, 0.33),
    "irregular shape": (0.30, 0.31, 0.32, 0.33),
    "material mismatch": (0.45, 0.35, 0.25, 0.20),
    "sloping roof": (0.12, 0.16, 0.45, 0.35),
}


def table(*shapes, crs=CRS, **columns):
    return gpd.GeoDataFrame(columns, geometry=list(shapes), crs=crs)


def at(x, y, width=26.0, height=20.0):
    """A box, metres east and south of the corner of the area."""
    return box(WEST + x, NORTH - y - height, WEST + x + width, NORTH - y)


def raster(values, step, bands=None):
    rows, cols = values.shape[-2:]
    coords = {
        "y": NORTH - (np.arange(rows) + 0.5) * step,
        "x": WEST + (np.arange(cols) + 0.5) * step,
    }
    dims = ("y", "x")
    if bands is not None:
        coords, dims = coords | {"band": bands}, ("band", "y", "x")
    out = xr.DataArray(values.astype("float32"), coords, dims).rio.write_crs(CRS)
    return out.rio.write_transform(from_origin(WEST, NORTH, step, step))


def houses():
    """Nine buildings in each square; every tenth too tall, without a height, or of 16 storeys."""
    draw = np.random.default_rng(1)
    kinds = draw.choice(list(BLUE_TO_NIR), 144, p=(0.4, 0.2, 0.15, 0.25))
    starts = [s + slot for s in range(0, 480, 120) for slot in (10, 47, 84)]
    spots = [(x, y) for y in starts for x in starts]
    shapes = [at(x, y) for x, y in spots]
    corners = [at(x + 13, y + 10, 13, 10) for x, y in spots]
    shapes = [a.difference(b) if kind == "irregular shape" else a
              for a, b, kind in zip(shapes, corners, kinds, strict=True)]  # fmt: skip
    turn = np.arange(144) % 10
    height = np.select([turn == 0, turn == 2], [60.0, 44.0], 20.0)
    storeys = np.select([turn == 0, turn == 2], [18, 16], 6)
    return table(*shapes, kind=kinds, height=height, storeys=storeys, turn=turn)


def counts(kelvin):
    """Landsat's bands over bare soil under the air of the scene's August."""
    bands, mean = [np.full(kelvin.shape, 12500), np.full(kelvin.shape, 13500)], 16.0110 + 280.64
    own = ((10, -0.1146, 1.0286, 0.971), (11, -0.1568, 1.0083, 0.977))
    for band, slope, start, emissivity in own:
        passed = start + slope * rg.WATER_VAPOUR
        glow = float(thermal.planck(mean, band))
        air = thermal.Air(passed, (1 - passed) * glow, (1 - passed**1.66) * glow)
        bands.append((thermal.forward(kelvin, emissivity, air, band) - 0.1) / 3.342e-4)
    image = raster(np.stack(bands), 30, ["B4", "B5", "B10", "B11"])
    return image.assign_attrs(mtl=suitability.STANDARD_CONSTANTS, simulated=True)


@pytest.fixture(scope="module")
def place():
    draw = np.random.default_rng(2)
    truth = houses()
    values = np.zeros((4, N, N)) + np.reshape((0.05, 0.08, 0.06, 0.40), (4, 1, 1))
    empty = raster(values, 0.8, ["blue", "green", "red", "nir"])
    for kind, colour in BLUE_TO_NIR.items():
        roof = buildings.rasterise(truth[truth["kind"] == kind], empty).values == 1
        values[:, roof] = np.reshape(colour, (4, 1))
        if kind == "sloping roof":  # the facet in the shade
            shade = roof & ((np.arange(N) % SAMPLE)[:, None] * 0.8 % 37 < 20)
            values[:, shade] *= 0.6
    image = raster(values + draw.normal(0, 0.01, values.shape), 0.8, list(empty["band"].values))
    known = truth[truth["turn"] != 1]
    points = known.set_geometry(known.representative_point())
    lines = [LineString([(WEST - 300, y), (WEST + 780, y)]) for y in NORTH - np.arange(0, 481, 120)]
    lines += [LineString([(WEST + x, NORTH - 480), (WEST + x, NORTH)]) for x in (120.0, 360.0)]
    districts = table(
        *[at(0, y, 480, 120) for y in range(0, 480, 120)], at(480, 0, 300, 480),
        name=["North", "Mill", "Port", "South", "Park"], population=[100, 200, 400, 800, 0],
    )  # fmt: skip
    kelvin = np.linspace(300, 315, 16)[:, None] + draw.normal(0, 0.5, (16, 16))
    return rg.Ground(
        image=image.assign_attrs(simulated=True),
        truth=truth.drop(columns="turn"),
        label=buildings.rasterise(truth, image),
        heights=points[["height", "storeys", "geometry"]],
        roads=table(*lines),
        districts=districts,
        landsat=counts(kelvin),
        temperature=raster(kelvin, 30),
    )


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(places, "SAMPLE", SAMPLE)


@pytest.fixture(scope="module")
def sketched(place):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(places, "SAMPLE", SAMPLE)
        return rg.samples(place, 4, 2, 75, seed=3)


@pytest.fixture(scope="module")
def within(sketched):
    return rg.scored(sketched)


@pytest.fixture(scope="module")
def found(place):
    """A prediction: a metre off, every eighth missing, some that are none, some grown together."""
    shapes = place.truth.translate(1, -1)[place.truth.index % 8 != 3].tolist()
    shapes += [at(x, y, 9, 9) for x in (0, 240) for y in (36, 156, 396)]
    joined = shapely.union_all([at(47, 130), at(84, 130), at(73, 135, 11, 5)])
    shapes = [shape for shape in shapes if not shape.intersects(joined)] + [joined]
    return table(*shapes)


@pytest.fixture(scope="module")
def chain(place, sketched, found):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*no known height")
        return trials.finished(place, sketched, found)


class TestPlaces:
    def test_kinds(self):
        tile, flat, metal, glass = "sloped tile", "flat concrete", "metal sheet", "glass"
        roofs = pd.DataFrame(
            {"roof": [tile, tile, metal, glass, glass, flat, flat],
             "regular": [True, False, True, False, True, False, True]}, index=list("abcdefg"),
        )  # fmt: skip
        kind = places.kind_of(roofs)
        assert kind.tolist() == (
            ["sloping roof"] * 2 + ["material mismatch"] * 3 + ["irregular shape", "suitable"]
        )
        assert kind.index.tolist() == list("abcdefg") and set(kind) == set(buildings.KINDS)

    def test_area_and_grid(self, place):
        assert place.area.total_bounds.tolist() == [WEST, NORTH - 480, WEST + 480, NORTH]
        assert place.grid.shape == (16, 16)
        assert place.grid.rio.bounds() == pytest.approx(place.image.rio.bounds())

    @pytest.fixture
    def city(self, monkeypatch, place):
        """The catalogue's scene, replaced by the town; what is asked of it is noted."""
        asked = {}
        roofs = place.truth.assign(roof="flat concrete", regular=True).drop(columns="kind")
        roofs.loc[len(roofs)] = roofs.loc[0]
        roofs.loc[len(roofs) - 1, "geometry"] = at(119, 150, 2, 4)  # 1 m reaches in, 4 m2
        layers = {
            "districts": place.districts.iloc[:4], "buildings": roofs, "gaofen2": place.image,
            "roads": place.roads, "landsat8": place.landsat,
            "surface_temperature": place.temperature.expand_dims(band=["temperature"]),
        }  # fmt: skip

        def fake(name, **options):
            asked[name] = options
            return layers[name.removeprefix("scene/")].copy()

        monkeypatch.setattr(places, "STEP", 120.0)
        monkeypatch.setattr(places.catalog, "open", fake)
        return asked

    def test_ground_is_the_middle_of_the_image(self, city, place):
        own = rg.ground(7, side=240)
        assert own.image.shape == (4, 300, 300)
        assert own.image.rio.bounds() == pytest.approx(
            (WEST + 118.4, NORTH - 358.4, WEST + 358.4, NORTH - 118.4)
        )
        assert all(options["seed"] == 7 for options in city.values()) and len(city) == 6
        assert set(own.truth.geom_type) == {"Polygon"} and own.truth.area.min() >= 10
        assert own.truth.within(own.area.geometry[0].buffer(1e-6)).all()
        assert set(own.truth["kind"]) == {"suitable"}
        assert len(own.truth) < len(own.heights) == 145  # heights and roads do not end at the edge
        xr.testing.assert_equal(own.label, buildings.rasterise(own.truth, own.image))

    @pytest.mark.parametrize("side", [0, 100, 250, 600, -240])
    def test_areas_that_are_none(self, city, side):
        with pytest.raises(ValueError, match=rf"side={side}: an area is 120 m wide.* 480 m"):
            rg.ground(side=side)

    def test_samples_are_whole_squares(self, place, sketched):
        assert sketched["split"].value_counts().to_dict() == {"test": 40, "train": 16, "valid": 8}
        square = sketched["row"] // SAMPLE * 4 + sketched["col"] // SAMPLE
        assert (sketched.groupby(square)["split"].nunique() == 1).all()
        assert (sketched["sample"].between(1, 4) == (sketched["split"] == "train")).all()
        assert sketched.loc[sketched["sample"] > 0, "sample"].value_counts().eq(4).all()
        drawn = shapely.union_all(sketched.geometry[sketched["split"] != "test"].values)
        assert rg.scored(sketched).area == pytest.approx(10 * 120**2)
        assert rg.scored(sketched).intersection(drawn).area == pytest.approx(0, abs=1e-6)

    def test_the_seed_draws_the_samples(self, place, sketched):
        pd.testing.assert_frame_equal(rg.samples(place, 4, 2, 75, seed=3), sketched)
        assert (rg.samples(place, 4, 2, 75, seed=4)["split"] != sketched["split"]).any()
        # The first of many are the first of few.
        more = rg.samples(place, 6, 2, 75, seed=3)["sample"]
        assert (more.where(more <= 4, 0) == sketched["sample"]).all()

    @pytest.mark.parametrize("chip", [70, 0, -75, 300])
    def test_chips_that_do_not_fit(self, place, chip):
        with pytest.raises(ValueError, match=f"chip={chip}: a sample of 150 pixels"):
            rg.samples(place, 4, 2, chip)

    @pytest.mark.parametrize(("number", "held_out"), [(0, 2), (4, 0), (14, 2), (-1, 5)])
    def test_squares_that_are_too_few(self, place, number, held_out):
        with pytest.raises(ValueError, match="of 16 squares: at least one of each"):
            rg.samples(place, number, held_out, 75)

    def test_nothing_predicted_lies_on_a_sketch(self, place, sketched, within):
        drawn = place.truth[~place.truth.representative_point().within(within)]
        free = place.truth[place.truth.representative_point().within(within)]
        edge = next(  # of a sketch beside ground that nobody sketched
            shape for shape in drawn.geometry if shape.buffer(40).intersects(within)
        )
        side = shapely.union_all([edge, edge.buffer(60).intersection(within)]).envelope
        own, other = free.geometry.iloc[:2]
        predicted = table(own, other, drawn.geometry.iloc[0].buffer(-2), side, sure=[1, 2, 3, 4])
        assert side.representative_point().within(within)
        predicted.attrs["simulated"] = True
        out = rg.with_sketches(place, sketched, predicted)
        assert out["sketched"].sum() == len(drawn) and out.attrs["simulated"]
        assert out.loc[~out["sketched"], "sure"].tolist() == [1, 2]
        sketches = out[out["sketched"]]
        assert sketches.geom_equals(drawn.geometry.reset_index(drop=True).set_axis(
            sketches.index)).all()  # fmt: skip
        assert not out[~out["sketched"]].intersects(sketches.union_all()).any()

    def test_no_building_counts_twice(self, place, sketched, found):
        out = rg.with_sketches(place, sketched, found)
        one, other = out.sindex.query(out.geometry.values, predicate="intersects")
        shapes = out.geometry.values
        common = shapes[one].intersection(shapes[other]).area[one != other]
        assert len(out) > 100 and (common <= 0.1 * out.area.min()).all()

    def test_sketches_alone_where_nothing_was_found(self, place, sketched, found):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            out = rg.with_sketches(place, sketched, found.iloc[:0])
        assert out["sketched"].all() and len(out) == 54

    def test_layers(self, place):
        layers = rg.layers(place, place.truth)
        assert list(layers) == list(rg.MEASURES) == list(rg.CODES)
        assert all(layer.shape == (16, 16) for layer in layers.values())
        people = layers["population"].values[::4, 0]
        assert people == pytest.approx(np.array([100, 200, 400, 800]) / 0.0576)
        gap = layers["temperature"] - rg.layers(place, place.truth, "truth")["temperature"]
        assert abs(float(gap.mean())) < 1 and float((gap**2).mean()) ** 0.5 < 1.5
        share = place.truth.area.sum() / 480**2
        assert float(layers["buildings"].mean()) == pytest.approx(share, rel=0.05)
        wide = rg.layers(place, place.truth, radius={"buildings": 500})["buildings"]
        assert wide.attrs["radius"] == 500 and wide.std() < layers["buildings"].std()

    def test_layers_refuse(self, place):
        with pytest.raises(ValueError, match="temperature"):
            rg.layers(place, place.truth, "landsat9")
        bare = replace(place, landsat=place.landsat.assign_attrs(mtl=None))
        with pytest.raises(ValueError, match=r"no metadata \(MTL\)"):
            rg.layers(bare, place.truth)
        with pytest.raises(ValueError, match="EPSG:32647"):
            rg.layers(place, place.truth.to_crs(32647))
        with pytest.raises(ValueError, match="earlier row"):
            rg.layers(place, pd.concat([place.truth, place.truth], ignore_index=True))


class TestChain:
    truth = table(at(0, 0), at(26, 0), at(100, 0), kind=["sloping roof", "suitable", "glass"],
                  height=[3.0, 9.0, 12.0])  # fmt: skip

    def test_interpreted_is_what_lies_under_most_of_it(self):
        footprints = table(at(2, 0), at(20, 0, 20), at(10, 0, 32), at(90, 0, 19), at(200, 0))
        footprints.index = list("abcde")
        kind = rg.interpreted(footprints, self.truth)
        # b: 6 and 14 of 20 m; c: half each; d: 9 of 19 m; e: none.
        assert kind.index.tolist() == list("abcde")
        assert kind[["a", "b"]].tolist() == ["sloping roof", "suitable"]
        assert kind["c"] in ("sloping roof", "suitable") and kind[["d", "e"]].isna().all()
        assert rg.interpreted(footprints, self.truth, least=0.4)["d"] == "glass"
        assert rg.interpreted(footprints, self.truth, "height")["b"] == 9
        assert len(rg.interpreted(footprints.iloc[:0], self.truth)) == 0

    def test_another_crs_is_no_empty_layer(self, place, sketched):
        far = place.truth.to_crs(32647)
        for call in (
            lambda: rg.interpreted(far, place.truth),
            lambda: rg.with_sketches(place, sketched, far),
            lambda: rg.corrections(far, place.truth),
            lambda: rg.low(place, far),
            lambda: rg.fates(place.truth, far.assign(outcome="low")),
        ):
            with pytest.raises(ValueError, match=r"EPSG:3264(7.*EPSG:32648|8.*EPSG:32647)"):
                call()

    def test_geometries_to_be_cleaned_first(self, place, sketched):
        tie = Polygon([(WEST, NORTH), (WEST + 9, NORTH - 9), (WEST + 9, NORTH), (WEST, NORTH - 9)])
        for bad, reason in ((tie, "invalid polygon"), (at(0, 0), "same polygon")):
            layer = table(at(0, 0), bad)
            for call in (
                lambda layer=layer: rg.interpreted(layer, place.truth),
                lambda layer=layer: rg.with_sketches(place, sketched, layer),
                lambda layer=layer: rg.corrections(layer, place.truth),
                lambda layer=layer: rg.low(place, layer),
            ):
                with pytest.raises(ValueError, match=f"{reason}.*clean"):
                    call()

    def test_low_by_metres_and_storeys(self, place):
        near = [Point(WEST + x, NORTH - 5) for x in (5, 45, 85, 125, 165, 166, 205)]
        points = table(*near, height=[45, 46, 30, np.nan, 20, 60, np.nan],
                       storeys=[15, 10, 16, 15, 6, 6, np.nan])  # fmt: skip
        footprints = table(*[at(x, 0) for x in range(0, 280, 40)])
        footprints = footprints.assign(height=99.0, low_enough=True)  # of an earlier join
        own = replace(place, heights=points)
        with pytest.warns(UserWarning, match="2 of 7 buildings have no known height"):
            out = rg.low(own, footprints)
        expected = [True, False, False, True, False, pd.NA, pd.NA]
        assert out["low_enough"].tolist() == expected and out["low_enough"].dtype == "boolean"
        assert out["height"][4] == 60  # the highest of several points
        with pytest.warns(UserWarning, match="no known height"):
            strict = rg.low(own, footprints, metres=15, storeys=None)
        assert strict["low_enough"].tolist()[:3] == [False] * 3
        assert strict["low_enough"].isna().tolist()[3:] == [True, False, True, True]

    def test_published_weights(self):
        found = rg.weights()
        assert found.weights.round(4).to_dict() == {
            "population": 0.3763, "temperature": 0.3207, "buildings": 0.1881, "roads": 0.1149,
        }  # fmt: skip
        assert (round(found.lambda_max, 3), round(found.ci, 3), round(found.cr, 3)) == (
            4.061, 0.020, 0.023,
        )  # fmt: skip
        assert found.weights.sort_values(ascending=False).index.map(rg.CODES).tolist() == [
            "B1", "A1", "B2", "B3",
        ]  # fmt: skip
        assert rg.weights(method="eigen").weights["roads"] == pytest.approx(0.1140, abs=5e-5)

    def test_judgements_with_zeros(self, place):
        zero = np.array(rg.JUDGEMENTS)
        zero[0, 1] = zero[1, 0] = 0
        with pytest.raises(ValueError, match="'population' against 'temperature' is 0"):
            rg.weights(zero)
        with pytest.warns(UserWarning, match="contradict"):
            bad = rg.weights([[1, 9, 1 / 9, 1], [1 / 9, 1, 9, 1], [9, 1 / 9, 1, 1], [1, 1, 1, 1]])
        scaled = rg.scale(rg.layers(place, place.truth, "truth"))
        with pytest.raises(ValueError, match="should not be used"):
            rg.rate(place.truth.assign(low_enough=True), scaled, bad)

    def test_scale(self, place):
        scaled = rg.scale(rg.layers(place, place.truth, "truth"))
        for layer in scaled.values():
            assert layer.attrs["valid_range"] == [1, 5] and layer.dtype == "uint8"
        assert scaled["temperature"].values[-1].min() > scaled["temperature"].values[0].max()

    def test_an_area_in_one_district(self, place):
        """People tell no place from another there: all get the class in the middle."""
        flat = replace(place, districts=table(at(-99, -99, 900, 900), population=[5000]))
        for classes in (3, 5):
            scaled = rg.scale(rg.layers(flat, place.truth, "truth"), classes=classes)
            assert (scaled["population"] == (classes + 1) / 2).all()
            assert scaled["roads"].values.max() == classes
        with pytest.raises(ValueError, match="no value at all"):
            rg.scale({"temperature": place.temperature * np.nan})

    @pytest.fixture
    def town(self):
        """A roof for each outcome, on layers of three columns: low, medium and high."""
        values = np.repeat([[1.0, 3.0, 5.0, np.nan]], 4, axis=0)
        scaled = {name: raster(values, 30).assign_attrs(valid_range=[1, 5]) for name in rg.CODES}
        kinds = ["suitable"] * 6 + list(buildings.KINDS[1:]) + [np.nan]
        yes = pd.array([True] * 3 + [False, pd.NA] + [True] * 5, "boolean")
        places = [(2, 2), (32, 2), (62, 2)] + [(2 + 30 * (k % 3), 32 + k) for k in range(7)]
        shapes = [at(x, y, 9, 9 + k / 10) for k, (x, y) in enumerate(places)]
        shapes[5] = at(95, 2, 9, 9)  # where no layer has data
        return table(*shapes, low_enough=yes, kind=kinds), scaled

    def test_every_outcome_is_reached_and_every_roof_has_one(self, town):
        roofs, scaled = town
        out = rg.rate(roofs, scaled, rg.weights())
        assert out["outcome"].tolist() == [
            "low", "medium", "high", "too tall", "height unknown", "no data",
            *buildings.KINDS[1:], "kind unknown",
        ]  # fmt: skip
        assert out.index.equals(roofs.index) and out.crs == roofs.crs
        assert out["score"].tolist()[:3] == pytest.approx([1, 3, 5])
        assert out["score"][3:].isna().all() and out["why"].notna().sum() == 4
        parts = out[[f"part_{name}" for name in rg.CODES]].sum(axis=1, skipna=False)
        assert parts[:3].tolist() == pytest.approx([1, 3, 5])
        assert out.attrs["grades"] == ["low", "medium", "high"]
        true = pd.concat([roofs, table(at(300, 300))], ignore_index=True)
        fates = rg.fates(true, out)
        assert set(fates) == set(rg.OUTCOMES) == set(rg.COLORS) and fates.notna().all()
        assert fates.tolist() == [*out["outcome"], "not found"]

    def test_rate_refuses(self, town):
        roofs, scaled = town
        weights = rg.weights()
        none = rg.rate(roofs.assign(kind="sloping roof"), scaled, weights)
        assert none["grade"].isna().all() and not none["outcome"].isin(["low", "high"]).any()
        with pytest.raises(ValueError, match="there already"):
            rg.rate(rg.rate(roofs, scaled, weights), scaled, weights)
        with pytest.raises(KeyError, match=r"no weight for \['roads'\]"):
            rg.rate(roofs, scaled, weights.weights.drop("roads"))

    def test_roofs_are_told_apart(self, place, within):
        with pytest.warns(UserWarning, match="15 of 144 buildings have no known height"):
            footprints = rg.low(place, place.truth)
        out = rg.roofs(place, footprints, within, trees=30, samples=40)
        low = footprints[footprints["low_enough"].fillna(False)]
        inside = low[low.representative_point().within(within)].index
        assert set(out.roofs.index) == set(inside)
        assert 40 <= (out.objects["part"] == "train").sum() < 45  # whole buildings
        assert out.matrix.overall > 0.8 and out.matrix.kappa > 0.7
        again = rg.roofs(place, footprints, within, trees=30, samples=40)
        pd.testing.assert_frame_equal(out.roofs, again.roofs)
        assert rg.roofs(place, footprints.assign(low_enough=False)) is None


class TestErrors:
    truth = table(*[at(40 * k, 0, 20, 10 + 10 * (k % 2)) for k in range(6)])

    def layer(self, *outcomes, shapes=None):
        shapes = self.truth.geometry if shapes is None else shapes
        layer = table(*shapes)
        return layer.assign(outcome=pd.Categorical(outcomes, rg.OUTCOMES))

    def test_fates(self):
        shapes = [at(2, 0, 20, 10), at(50, 0, 20, 20), at(80, 0, 20, 10)]
        found = self.layer("high", "low", "sloping roof", shapes=shapes).set_axis([7, 8, 9])
        fates = rg.fates(self.truth, found)
        # The first is a tenth off, the second half: an IoU of a third.
        assert fates.tolist() == ["high", "not found", "sloping roof"] + ["not found"] * 3
        assert rg.fates(self.truth, found, iou=0.3)[1] == "low"
        assert rg.fates(self.truth, found.iloc[:0]).eq("not found").all()

    def test_propagated_by_hand(self):
        reference = self.layer("high", "high", "medium", "low", "too tall", "high")
        shapes = [*self.truth.geometry[:5], at(200, 300, 50, 20)]  # the last is missed; one is none
        other = self.layer("high", "low", "high", "low", "medium", "high", shapes=shapes)
        everywhere = shapely.box(*self.truth.buffer(900).total_bounds)
        out = rg.propagated(self.truth, {"truth": reference, "network": other}, everywhere)
        assert out.loc["truth"].to_dict() == pytest.approx({
            "same outcome": 1, "same grade": 1, "graded roofs": 5, "high roofs": 3,
            "high area": (200 + 400 + 400) / 1e4, "missed": 0, "false": 0,
        })  # fmt: skip
        assert out.loc["network"].to_dict() == pytest.approx({
            "same outcome": 2 / 6,  # the first and the fourth
            "same grade": 2 / 4,
            "graded roofs": 6,
            "high roofs": 3,
            "high area": (200 + 200 + 1000) / 1e4,
            "missed": 2 / 3,
            "false": 2 / 3,
        })  # fmt: skip
        west = shapely.box(WEST - 50, NORTH - 500, WEST + 70, NORTH)
        part = rg.propagated(self.truth, {"truth": reference, "network": other}, west)
        assert part.loc["network", ["graded roofs", "high roofs", "missed"]].tolist() == [2, 1, 0.5]

    def test_nothing_high(self):
        flat = self.layer(*["low"] * 6)
        everywhere = shapely.box(*self.truth.buffer(9).total_bounds)
        out = rg.propagated(self.truth, {"truth": flat}, everywhere)
        assert out[["missed", "false"]].isna().all(axis=None) and out["same grade"].eq(1).all()

    def test_variants(self, chain, place, within):
        layers, _, rated, _ = chain
        assert list(rated) == list(rg.LINKS)
        for layer in rated.values():
            assert layer["outcome"].notna().all() and layer.representative_point().within(
                within).all()  # fmt: skip
        own = rated["truth"]
        kind = place.truth.loc[own.index, "kind"]
        tall, unknown = own["low_enough"].eq(False).fillna(False), own["low_enough"].isna()
        assert own["outcome"][tall].eq("too tall").all() and tall.any()
        assert own["outcome"][unknown].eq("height unknown").all() and unknown.any()
        graded = own["outcome"].isin(["low", "medium", "high"])
        assert (graded == (kind.eq("suitable") & ~tall & ~unknown)).all()
        one = {"truth": rg.LINKS["truth"]}
        again = rg.variants(place, layers, {}, rg.weights(), within, links=one, classes=5)
        assert list(again) == ["truth"] and (again["truth"]["outcome"] == own["outcome"]).all()

    def test_scorecard(self, chain):
        card = chain[-1]
        assert card.columns.tolist() == ["link", "layer", "measure", "value"]
        assert not card.duplicated(["link", "layer", "measure"]).any()
        links = ["buildings", "heights", "roofs", "temperature", "building density", "grades"]
        assert card["link"].unique().tolist() == links
        value = card.set_index(["link", "layer", "measure"])["value"].astype(float)
        assert value.notna().all() and value.loc["grades"].index.unique("layer").tolist() == list(
            rg.LINKS)[1:]  # fmt: skip
        shares = value[[m in ("pixel IoU", "building F1", "known", "same outcome", "missed")
                        for m in value.index.get_level_values("measure")]]  # fmt: skip
        assert shares.between(0, 1).all() and len(shares) == 4 + 2 + 2 * 6
        for measure in ("pixel IoU", "building F1", "building recall"):
            network, corrected = (value["buildings", name, measure]
                                  for name in ("network", "corrected"))  # fmt: skip
            assert network < corrected <= 1, measure
        end = value.loc["grades"]
        assert end["buildings, corrected", "same outcome"] > end[
            "buildings from the network", "same outcome"]  # fmt: skip
        assert value["temperature", "split window", "RMSE K"] < 2


class TestHand:
    #         left alone  moved       split in two         merged     drawn       not there
    truth = table(at(0, 0), at(60, 0), at(120, 0), at(146, 0), at(200, 0), at(260, 0))
    found = table(
        at(2, 0), at(65, 2), at(120, 0, 52), at(200, 0, 12), at(213, 0, 13), at(400, 0, 9, 9),
    )  # fmt: skip

    def test_each_operation(self):
        edits = rg.corrections(self.found, self.truth, who="Ada")
        assert edits["operation"].value_counts().to_dict() == dict.fromkeys(rg.SECONDS, 1)
        assert (edits["who"] == "Ada").all() and not edits["undone"].any()
        by = edits.set_index("operation")
        for name, k in (("move", 1), ("split", 2), ("delete", 5)):
            assert by.loc[name, "before"].equals(self.found.geometry[k])
        assert len(by.loc["merge", "before"].geoms) == len(by.loc["split", "geometry"].geoms) == 2
        assert by["seconds"].to_dict() == {
            "draw": 10, "move": 10, "split": 25, "merge": 4, "delete": 3,
        }  # fmt: skip
        assert edits["when"].is_monotonic_increasing
        start = pd.Timestamp("2020-01-01", tz="UTC")
        assert (edits["when"].iloc[-1] - start).total_seconds() == edits["seconds"].sum()

    def test_scores_rise(self):
        edits = rg.corrections(self.found, self.truth)
        after, report = buildings.apply_edits(self.found, edits)
        assert (report["status"] == "applied").all() and len(after) == len(self.truth)
        before, then = (buildings.object_scores(self.truth, one) for one in (self.found, after))
        assert before["f1"] < 0.7 and then["f1"] == 1
        assert then["polis"] < before["polis"] and then["mean_iou"] > 0.9
        # The wobble is half a pixel, not none.
        assert 0 < buildings.match(self.truth, after)["polis"].iloc[1:].median() < 1

    def test_what_is_good_is_left_alone(self):
        edits = rg.corrections(self.truth, self.truth)
        assert len(edits) == 0 and edits.columns.tolist() == list(buildings.new_edits(CRS).columns)
        assert len(buildings.apply_edits(self.truth, edits).buildings) == 6
        strict = rg.corrections(self.found.iloc[:1], self.truth.iloc[:1], good=0.99)
        assert strict["operation"].tolist() == ["move"]

    def test_the_seed_decides(self):
        one, same, other = (rg.corrections(self.found, self.truth, seed=s) for s in (1, 1, 2))
        assert one.geometry.geom_equals(same.geometry).drop(
            one.index[one["operation"] == "delete"]).all()  # fmt: skip
        pd.testing.assert_frame_equal(one.drop(columns=["before", "geometry"]),
                                      same.drop(columns=["before", "geometry"]))  # fmt: skip
        assert one["operation"].tolist() == other["operation"].tolist()
        assert not one.geometry.geom_equals(other.geometry).any()

    def test_within(self):
        west = shapely.box(WEST - 9, NORTH - 99, WEST + 110, NORTH + 9)
        edits = rg.corrections(self.found, self.truth, west)
        assert edits["operation"].tolist() == ["move"]

    def test_from_nothing_to_everything_and_back(self):
        drawn = rg.corrections(self.found.iloc[:0], self.truth)
        assert drawn["operation"].eq("draw").all() and len(drawn) == 6
        gone = rg.corrections(self.found, self.truth.iloc[:0])
        assert gone["operation"].eq("delete").all() and len(gone) == 6

    def test_a_small_piece_is_moved(self):
        """Less than half of the building, and nothing else: its outline is corrected."""
        edits = rg.corrections(table(at(3, 3, 12, 12)), self.truth.iloc[:1])
        assert edits["operation"].tolist() == ["move"]
        # One piece across the wall of two buildings, too little for either to count as covered.
        across = table(at(136, 2, 20, 8))
        edits = rg.corrections(across, self.truth.iloc[2:4])
        assert sorted(edits["operation"]) == ["draw", "move"]
        after = buildings.apply_edits(across, edits).buildings
        assert buildings.object_scores(self.truth.iloc[2:4], after)["f1"] == 1

    def test_courtyards_stay_open(self):
        ring = at(0, 0, 40, 40).difference(at(10, 10, 20, 20))
        edits = rg.corrections(self.found.iloc[:0], table(ring))
        assert len(edits.geometry[0].interiors) == 1 and edits["seconds"][0] == 2.5 * 8

    def test_effort_is_less_than_drawing(self, place, found, within):
        edits = rg.corrections(found, place.truth)
        after = buildings.apply_edits(found, edits).buildings
        scores = [buildings.object_scores(place.truth, one)["f1"] for one in (found, after)]
        assert scores[0] < 0.95 and scores[1] > 0.99
        assert edits["seconds"].sum() < rg.corrections(found.iloc[:0], place.truth)["seconds"].sum()


class TestScores:
    def test_setting(self):
        chosen = rg.setting("paper")
        assert (chosen["number"], chosen["chip"], chosen["batch_size"]) == (72, 1000, 4)
        assert rg.setting(epochs=0, width=None) == rg.setting("quick")
        for profile in rg.PROFILES.values():
            assert max(profile["rounds"]) <= profile["number"] and 1000 % profile["chip"] == 0
            assert profile["side"] % 800 == 0
            squares = (profile["side"] // 800) ** 2
            assert profile["number"] + profile["held_out"] < squares
        with pytest.raises(TypeError, match="no value 'epoch'"):
            rg.setting(epoch=3)
        with pytest.raises(ValueError, match="epochs=-1"):
            rg.setting(epochs=-1)
        with pytest.raises(ValueError, match="smoke"):
            rg.setting("smok")

    def test_pixels(self, place, within):
        perfect = rg.pixel_scores(place, place.truth)
        assert perfect.overall == 1 and perfect.array.sum() == N * N
        half = place.truth[place.truth.representative_point().x < WEST + 240]
        west = place.label.copy(data=np.broadcast_to(np.arange(N) < N // 2, (N, N)))
        assert rg.pixel_scores(place, half, west).iou["building"] == 1
        assert 0.4 < rg.pixel_scores(place, half).producers["building"] < 0.6

    def test_compared(self, place, within, found):
        out = rg.compared(place, within, the_truth=place.truth, network=found)
        assert out.index.tolist() == ["the truth", "network"]
        assert out.loc["the truth", "pixel"].eq(1).all()
        assert out.loc["the truth", ("building", "PoLiS (m)")] == 0
        own = found[found.representative_point().within(within)]
        assert out.loc["network", ("", "buildings")] == len(own)
        assert 0.5 < out.loc["network", ("building", "F1")] < 1


class TestTrials:
    def test_training_goes_round_by_round(self, place, monkeypatch):
        """Six squares, 50 steps: enough for roofs that are brighter than all else."""
        monkeypatch.setattr(trials.places, "ground", lambda seed, side: place)
        small = dict(number=5, held_out=2, chip=50, epochs=6, width=1 / 8, rounds=(2, 5), rate=2e-2,
                     batch_size=8)  # fmt: skip
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*no known height")
            card = trials.run(1, profile="smoke", **small)
        rounds = card[card["link"] == "samples"].pivot(
            index="layer", columns="measure", values="value"
        )
        assert rounds.index.tolist() == ["2", "5"]
        assert rounds.columns.tolist() == ["IoU", "precision", "recall"]
        assert rounds.loc["5", "IoU"] > 0.5
        value = card.set_index(["link", "layer", "measure"])["value"]
        assert value["buildings", "network", "building F1"] > 0.3
        assert set(card["link"]) >= {"heights", "roofs", "temperature", "grades"}

    def test_enough_precision_ends_the_rounds(self, place, sketched):
        own = rg.setting("smoke", rounds=(1, 4), chip=75, epochs=1, width=1 / 8)
        learn, rounds = rg.train(place, sketched, enough=0.0, **own)
        assert rounds["samples"].tolist() == [1] and rounds["chips"].tolist() == [4]
        found = rg.probability(learn.model, place.image)
        assert found.shape == (1, N, N) and float(found.min()) >= 0 and float(found.max()) <= 1

    def test_a_network_that_finds_nothing(self, place, monkeypatch):
        monkeypatch.setattr(trials.places, "ground", lambda seed, side: place)
        own = dict(number=4, held_out=2, rounds=(1,), chip=75, epochs=1, rate=1e-6)
        nothing = place.label.astype("float32").expand_dims("class") * 0
        monkeypatch.setattr(trials.scores, "probability", lambda *a: nothing)
        with (
            pytest.warns(UserWarning, match="no building"),
            pytest.raises(ValueError, match=r"finds no building .* train longer"),
        ):
            trials.run(profile="smoke", **own)

    def test_in_the_scene(self, monkeypatch):
        """All of a run, but for a network that has seen enough: its answer is a blurred truth."""
        if not catalog.entries().loc["scene/gaofen2", "cached"]:
            pytest.skip("the scene is not made: run `make book`, or open scene/gaofen2 once")
        monkeypatch.setattr(places, "SAMPLE", 1000)
        place = rg.ground(side=1600)
        # Every second building, and the roads around: half the time.
        half = place.truth.iloc[::2].reset_index(drop=True)
        west, south, east, north = place.area.buffer(500).total_bounds
        place = replace(place, truth=half, label=buildings.rasterise(half, place.image),
                        roads=place.roads.cx[west:east, south:north])  # fmt: skip
        seen = buildings.rasterise(half[half.index % 7 != 3], place.image)
        blurred = uniform_filter(np.roll(seen.values.astype("float32"), 1, axis=1), 5)
        answer = seen.astype("float32").copy(data=blurred).expand_dims("class")
        monkeypatch.setattr(trials.places, "ground", lambda seed, side: place)
        monkeypatch.setattr(trials.scores, "probability", lambda *a: answer)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*no known height")
            card = rg.run(profile="smoke", rounds=(1,), epochs=1, width=1 / 8)
        value = card.set_index(["link", "layer", "measure"])["value"].astype(float)
        network, corrected = (value["buildings", name, "building F1"]
                              for name in ("network", "corrected"))  # fmt: skip
        assert 0.2 < network < 0.9 < corrected <= 1
        assert 0.5 < value["roofs", "corrected", "overall"] <= 1
        assert value["temperature", "split window", "RMSE K"] < 4.5  # its pixels are 100 m
        assert value["heights", "corrected", "right where matched"] > 0.9
        ends = [value["grades", f"whole chain, {name}", "same outcome"]
                for name in ("as predicted", "corrected")]  # fmt: skip
        assert 0.1 < ends[0] < ends[1] < 1


class TestReal:
    def test_gothenburg(self):
        blocks = rg.gothenburg()
        assert len(blocks) > 20 and blocks.crs.is_projected
        assert 8 < blocks["height"].median() < 20 and blocks["height"].max() < 45
        assert blocks["45 m"].all() and 0.2 < blocks["15 m"].mean() < 0.8

    def test_helsinki(self):
        houses, found = rg.helsinki()
        known = houses["storeys"].notna()
        assert 0.2 < known.mean() < 0.6 and houses["storeys"].between(1, 30)[known].all()
        assert (houses["low_enough"].isna() == ~known).all()
        assert found["buildings"].shape == found["roads"].shape
        assert float(found["buildings"].min()) >= 0 and 0.4 < float(found["buildings"].max()) < 1
        assert 5 < float(found["roads"].mean()) < 30  # km per km2, of a city's centre

    def test_streets_are_for_cars_and_count_once(self):
        shapes = [LineString([(0, 0), (9, 9)]), LineString([(9, 9), (0, 0)])] * 2 + [Point(1, 1)]
        names = ["residential", "primary", "steps", "footway", "residential"]
        assert streets(table(*shapes, highway=names))["highway"].tolist() == ["residential"]

    def test_gulf_coast(self):
        image, found = rg.gulf_coast()
        for layer in found.values():
            assert layer.shape == image.shape[1:] and 0.5 < float(layer.notnull().mean()) < 0.8
            assert 280 < float(layer.median()) < 305 and layer.attrs["units"] == "K"
        methods = [layer.attrs["method"].split(",")[0] for layer in found.values()]
        assert methods == ["split_window", "single_channel"]
        drier = rg.gulf_coast(water_vapour=1.0)[1]
        change = {name: abs(float((found[name] - drier[name]).median())) for name in found}
        assert change["split_window"] < change["single_channel"]


def test_a_district_without_building(chain, place):
    rated = chain[2]["truth"]
    rated = rated[rated["outcome"].isin(["low", "medium", "high"])]
    rows = suitability.by_district(rated, place.districts)
    assert rows.loc["Park"].eq(0).all() and rows["share"].sum() == pytest.approx(1)
    assert rows["roofs"].sum() == len(rated)


def test_a_scene_under_clouds(place):
    clear = xr.zeros_like(place.landsat[0], dtype=bool)
    with pytest.raises(ValueError, match="whole scene is cloud"):
        suitability.land_surface_temperature(place.landsat, rg.WATER_VAPOUR, clear=clear)


def test_labels_of_the_town_are_what_the_scores_expect(place):
    assert set(np.unique(place.label)) == {0, 1} and accuracy.IGNORE == 255
    assert float(place.label.mean()) == pytest.approx(place.truth.area.sum() / 480**2, rel=0.02)
