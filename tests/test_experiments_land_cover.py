"""Chapter 2's experiments, on small synthetic ground."""

from dataclasses import replace

import geopandas as gpd
import numpy as np
import pytest
import rioxarray  # noqa: F401
import xarray as xr
from rasterio.transform import from_origin
from shapely.geometry import LineString

from toolkit import chips, pruning
from toolkit.experiments import land_cover as lc
from toolkit.experiments.land_cover import trials
from toolkit.scene import materials
from toolkit.scene.noise import fractal

N = 240
BANDS = ["blue", "green", "red", "nir"]
MEANS = np.float32([[5, 8, 6, 30], [3, 5, 4, 25], [6, 9, 8, 22], [6, 5, 3, 2], [15, 16, 17, 20]])


def raster(values, step=3.0, bands=None, left=600_000, top=3_300_000, crs="EPSG:32648"):
    values = np.asarray(values)
    y, x = values.shape[-2:]
    coords = {"y": top - (np.arange(y) + 0.5) * step, "x": left + (np.arange(x) + 0.5) * step}
    dims = ("y", "x")
    if bands is not None:
        coords, dims = coords | {"band": bands}, ("band", "y", "x")
    out = xr.DataArray(values, coords, dims).rio.write_crs(crs)
    return out.rio.write_transform(from_origin(left, top, step, step))


def named(values, step=3.0, **own):
    out = raster(np.asarray(values, np.uint8), step, **own).rio.write_nodata(255)
    return out.assign_attrs(classes=[dict(c) for c in materials.CLASSES])


@pytest.fixture(scope="module")
def world():
    """Image (4, 240, 240), product at 9 m and truth at 3 m: five classes, one road."""
    draw = np.random.default_rng(5)
    fields = np.stack([fractal((N, N), draw, 3, 60) for _ in range(5)])
    true = fields.argmax(0) + 1
    true[118:120] = 5  # a road, 6 m wide
    noise = draw.standard_normal((4, N, N)).astype(np.float32)
    image = np.moveaxis(MEANS[true - 1], -1, 0) / 100 + 0.01 * noise
    coarse = true[1::3, 1::3].copy()
    image = raster(image, bands=BANDS).assign_attrs(simulated=True, units="1")
    y = 3_300_000 - 119 * 3.0
    line = gpd.GeoDataFrame(
        {"width": [6.0]}, geometry=[LineString([(600_000, y), (600_720, y)])], crs="EPSG:32648"
    )
    return image, named(coarse, 9.0), named(true), line


@pytest.fixture(scope="module")
def place(world):
    image, product, truth, line = world
    return lc.assemble(image, lc.degrade(product, 0.85, seed=1), truth, line, "scene")


@pytest.fixture(scope="module")
def table(place):
    return lc.sample(place, chip=24, block=48, valid=0.3)


QUICK = dict(
    chip=24, crop=17, batch_size=8, epochs=3, first=2, rate=0.05, schedule="one_cycle",
    width=1 / 8, weight=3.0, guard=4,
)  # fmt: skip


@pytest.fixture(scope="module")
def learn(place, table):
    return lc.train("U-Net", place, table, **QUICK | {"epochs": 12, "rate": 0.1})


class TestPlaces:
    def test_one_grid_and_what_is_known(self, place):
        assert place.image.shape == (4, N, N) and place.label.shape == place.truth.shape == (N, N)
        assert place.names[4] == "Impervious" and len(place.names) == 7
        assert place.scored and place.simulated
        # nearest neighbour: every 3 x 3 block of labels is one pixel of the product
        assert (place.label.values[1::3, 1::3] == place.product.values).all()

    def test_without_a_truth_the_label_is_the_reference(self, world):
        image, product, *_ = world
        assert not lc.assemble(image, product).scored

    def test_labels_in_degrees_are_reprojected(self, world):
        image, product, truth, _ = world
        degrees = product.rio.reproject("EPSG:4326", resampling=0).assign_attrs(product.attrs)
        label = lc.assemble(image, degrees, truth).label
        inner = (slice(20, -20),) * 2
        same = label.values[inner] == chips.align(product, image).values[inner]
        assert label.shape == (N, N) and same.mean() > 0.8

    def test_codes_of_from_glc10(self):
        codes = raster(np.uint8([[10, 20, 40], [50, 70, 80], [0, 255, 100]]))
        assert lc.seven(codes).values.tolist() == [[1, 2, 2], [255, 255, 5], [255, 255, 7]]
        with pytest.raises(ValueError, match=r"codes \[11\] are none of FROM-GLC10"):
            lc.seven(raster(np.uint8([[10, 11]])))

    def test_unknown_codes(self, world):
        image, product, truth, _ = world
        odd = product.copy(deep=True)
        odd[0, 0] = 9
        with pytest.raises(ValueError, match=r"label: it holds the codes \[9\]"):
            lc.assemble(image, odd)
        with pytest.raises(ValueError, match=r"truth: it holds the codes \[9\]"):
            lc.assemble(image, product, truth.where(truth > 1, 9).astype("uint8").assign_attrs(
                truth.attrs))  # fmt: skip

    def test_no_overlap(self, world):
        image, product, *_ = world
        far = named(product.values, 9.0, left=700_000)
        with pytest.raises(ValueError, match="do not overlap"):
            lc.assemble(image, far)

    def test_a_band_is_missing(self, world):
        image, product, *_ = world
        with pytest.raises(ValueError, match="the band nir is missing; it has blue, green, red"):
            lc.assemble(image.sel(band=BANDS[:3]), product, source="scene")

    def test_saturated_and_missing_pixels_are_left_out(self, world):
        image, product, truth, _ = world
        bad = image.copy(deep=True)
        bad[0, :10], bad[1, 20:30], bad[2, 40] = 7.0, np.nan, np.inf
        place = lc.assemble(bad, product, truth, source="scene")
        assert place.image.attrs["saturated"] == round(10 / N, 5)
        assert np.isnan(place.image.values[:, :10]).all()  # all bands: its colour is wrong
        assert np.isnan(place.image.values[2, 40]).all()
        for rows in (slice(0, 10), slice(20, 30), slice(40, 41)):
            assert (place.label.values[rows] == 255).all()
            assert (place.truth.values[rows] == 255).all()
        with pytest.warns(UserWarning, match="saturated"):
            lc.assemble(image, product, ceiling=0.1)
        with pytest.raises(ValueError, match="no pixel has data in every band"):
            lc.assemble(image.where(image.band != "red"), product)

    def test_unknown_source(self):
        with pytest.raises(ValueError, match="raleigh"):
            lc.ground("ralleigh")

    def test_held_out_ground_keeps_away_from_training(self, place, table):
        where, near = lc.held_out(place, table, 4), lc.held_out(place, table, 0)
        train = chips.ground(table, place.image, "train").values
        rows, cols = np.nonzero(train)
        assert where.values.sum() < near.values.sum() and not (near.values & train).any()
        row, col = np.argwhere(where.values)[0]
        assert np.maximum(abs(rows - row), abs(cols - col)).min() > 4
        with pytest.raises(ValueError, match="guard=400"):
            lc.held_out(place, table, 400)

    def test_haze(self, place):
        day = lc.hazy(place)
        assert day.image.sel(band="blue").std() < place.image.sel(band="blue").std()
        assert day.image.mean() > place.image.mean() * 0.9
        with pytest.raises(ValueError, match="1 gains"):
            lc.hazy(place, gain=(1,))


class TestFaults:
    @pytest.mark.parametrize("kind", ["patches", "edges", "random", "blocks"])
    @pytest.mark.parametrize("quality", [1.0, 0.8, 0.6])
    def test_quality_is_reached(self, world, kind, quality):
        truth = world[2]
        found = lc.degrade(truth, quality, kind, seed=2, block=24)
        right = float((found == truth).mean())
        # Blocks end with the block that reaches it; a block is a hundredth of the map.
        assert right == pytest.approx(quality, abs=0.011 if kind == "blocks" else 1e-3)
        assert found.attrs["quality"] == pytest.approx(right, abs=1e-4)
        assert set(np.unique(found)) <= set(np.unique(truth))

    def test_the_seed_decides(self, world):
        maps = [lc.degrade(world[2], 0.8, seed=s).values for s in (1, 1, 2)]
        assert (maps[0] == maps[1]).all() and (maps[0] != maps[2]).any()

    def test_kinds_differ_in_how_errors_cluster(self, world):
        """Share of wrong pixels whose right neighbour is wrong as well."""
        truth, together = world[2], {}
        for kind in ("patches", "random"):
            wrong = lc.degrade(truth, 0.8, kind).values != truth.values
            together[kind] = wrong[:, 1:][wrong[:, :-1]].mean()
        assert together["random"] < 0.35 < 0.6 < together["patches"]

    def test_unknown_pixels_stay(self, world):
        truth = world[2].copy(deep=True)
        truth[:50] = 255
        found = lc.degrade(truth, 0.7)
        assert (found.values[:50] == 255).all() and (found.values[50:] != 255).all()

    def test_refusals(self, world):
        truth = world[2]
        with pytest.raises(ValueError, match="quality=0"):
            lc.degrade(truth, 0)
        with pytest.raises(ValueError, match=r"quality=0\.05: these classes allow"):
            lc.degrade(truth, 0.05)
        with pytest.raises(ValueError, match="patches"):
            lc.degrade(truth, 0.8, "patch")
        with pytest.raises(ValueError, match="one class only"):
            lc.degrade(truth.copy(data=np.ones((N, N), np.uint8)), 0.8)
        with pytest.raises(ValueError, match="smaller ones"):
            lc.degrade(truth, 0.8, "blocks", block=200)

    def test_spoilt_blocks_carry_labels_of_elsewhere(self, place):
        worse, where = lc.spoil(place, 0.2, block=24, seed=3)
        assert float(where.mean()) == pytest.approx(0.2)
        same = worse.label.values == place.label.values
        assert same[~where.values].all() and same[where.values].mean() < 0.6
        assert worse.truth is place.truth
        with pytest.raises(ValueError, match="share=2"):
            lc.spoil(place, 2)


class TestScores:
    def test_setting(self):
        chosen = lc.setting("paper", "scene")
        assert (chosen["chip"], chosen["crop"], chosen["width"]) == (640, 513, 1.0)
        assert (chosen["rate"], chosen["batch_size"], chosen["epochs"]) == (0.01, 32, 120)
        assert chosen["weight"] == 3 and lc.setting("quick", "raleigh")["weight"] == 1
        assert lc.setting(epochs=0) == lc.setting()
        with pytest.raises(TypeError, match="'epoch'"):
            lc.setting(epoch=3)
        with pytest.raises(ValueError, match="crop=300"):
            lc.setting(crop=300)

    def test_published_sizes(self, place):
        from toolkit import models

        full = lc.network_of("HRNet", place, width=1.0, stem="one")
        assert models.count_parameters(full) == 16_774_871  # as the text has it

    def test_crops_are_random_and_aligned(self, place, table):
        data = lc.loaders(place, table, batch_size=8, crop=17)
        x, y = data.train.one_batch()
        assert x.shape[-2:] == y.shape[-2:] == (17, 17)
        assert data.valid.one_batch()[0].shape[-1] == 24
        # red is high where the label says impervious: image and label were cut alike
        sealed = y == 4
        assert x[:, 2][sealed].mean() > x[:, 2][~sealed].mean() + 0.03
        again = data.train.one_batch()[0]
        assert x.shape != again.shape or (x != again).any()

    def test_training_learns_the_classes(self, place, table, learn):
        where = lc.held_out(place, table, 4)
        found = lc.class_map(lc.probability(learn.model, place, tile=240, halo=0))
        assert len(learn.history) == 12
        assert lc.agreement(place, found, where).overall > 0.6

    def test_forest(self, place, table):
        where = lc.held_out(place, table, 4)
        found = lc.forest(place, table, where, pixels=4000, trees=20, window=3)
        assert (found.values[~where.values] == 255).all()
        labels = lc.agreement(place, place.label, where).overall
        assert lc.agreement(place, found, where).overall > labels

    def test_a_chip_of_one_class(self, place, table):
        share = "share_Cropland"
        one = table.copy()
        one[[n for n in one if n.startswith("share_")]] = 0.0
        one[share] = 1.0
        with pytest.raises(ValueError, match="one class only, Cropland"):
            lc.train("U-Net", place, one, **QUICK)
        # Among others it is an ordinary chip.
        flat = replace(place, label=place.label.copy(deep=True))
        flat.label[:48, :48] = 1
        lc.train("U-Net", flat, table, **QUICK | {"epochs": 1})


class TestDoubts:
    @pytest.fixture(scope="class")
    def judged(self, place, table):
        worse, where = lc.spoil(place, 0.15, block=24, seed=1)
        model = lc.train("U-Net", worse, table, **QUICK | {"epochs": 6}).model
        return lc.judge(model, worse, table), trials._covered(where, table)

    def test_similarity_by_hand(self, learn, place, table):
        row = lc.judge(learn.model, place, table.iloc[:3], methods=("similarity",))
        first = table.iloc[0]
        window = {"y": slice(first.row, first.row + 24), "x": slice(first.col, first.col + 24)}
        cut = replace(
            place,
            image=place.image.isel(window),
            label=place.label.isel(window),
            truth=place.truth.isel(window),
        )
        found = lc.class_map(lc.probability(learn.model, cut, halo=0))
        assert row["similarity"].iloc[0] == pytest.approx(float((found == cut.label).mean()))
        assert row["quality"].iloc[0] == pytest.approx(float((cut.truth == cut.label).mean()))

    def test_spoilt_chips_look_worse(self, judged):
        table, bad = judged
        assert table["similarity"][bad].mean() < table["similarity"][~bad].mean() - 0.1
        scores = lc.detection(table, bad)
        assert (scores["auc"].dropna() > 0.75).all()
        assert {"similarity", "loss", "issues", "similarity below 0.2"} == set(scores.index)
        assert (scores.loc[["loss", "issues"], "dropped"] == bad.sum()).all()

    def test_drop(self, judged):
        table, _ = judged
        least = float(table["similarity"].median())
        out = lc.drop(table, least)
        assert set(out["split"]) == {"train", "valid", "dropped"}
        assert (out.loc[out["split"] == "dropped", "similarity"] < least).all()
        assert (out["split"] == "valid").sum() == (table["split"] == "valid").sum()
        summary = lc.kept(out)
        assert summary.loc["dropped", "similarity"] < summary.loc["kept", "similarity"]
        with pytest.raises(ValueError, match="drops every training chip"):
            lc.drop(table, 1.0)
        with pytest.raises(ValueError, match="least=20"):
            lc.drop(table, 20)
        with pytest.raises(ValueError, match="no similarity"):
            lc.drop(table.drop(columns="similarity"))

    def test_nothing_to_detect(self, judged):
        table, bad = judged
        with pytest.raises(ValueError, match="nothing to detect"):
            lc.detection(table, np.zeros_like(bad))


class TestPoints:
    @pytest.fixture(scope="class")
    def where(self, place, table):
        return lc.held_out(place, table, 0)

    @pytest.fixture(scope="class")
    def better(self, place):
        """A map with half of the errors of the labels."""
        wrong = (place.label != place.truth).values
        wrong &= np.random.default_rng(0).random((N, N)) < 0.5
        return place.truth.copy(data=np.where(wrong, place.label, place.truth))

    def test_check_points(self, place, where):
        points = lc.check_points(place, where, 300, 40, seed=1)
        assert points["part"].value_counts().to_dict() == {"random": 300, "extra": 40}
        assert not points.duplicated(["row", "col"]).any()
        assert set(points.loc[points["part"] == "extra", "reference"]) == {4, 5}
        at = place.truth.sel(
            x=xr.DataArray(points.geometry.x), y=xr.DataArray(points.geometry.y), method="nearest"
        )
        assert (at.values == points["reference"]).all()
        assert where.values[points["row"], points["col"]].all()
        with pytest.raises(ValueError, match="hold out more ground"):
            lc.check_points(place, where, 10**6)

    def test_tables_and_gain(self, place, where, better):
        points = lc.read(lc.check_points(place, where, 600, 40), labels=place.label, map=better)
        table, test = lc.compared(points)
        one, other = (lc.table(points, name) for name in ("labels", "map"))
        assert table.loc["overall", "PA labels"] == pytest.approx(one.overall * 100)
        gain = (other.overall - one.overall) * 100
        assert gain > 0 and table.loc["overall", "PA gain"] == pytest.approx(gain)
        assert test.test["difference"] * 100 == pytest.approx(gain) and test.test["p"] < 0.01
        assert table["points"].sum() == 2 * len(points)
        assert list(one.to_frame().columns[-2:]) == ["sum", "UA (%)"]

    def test_points_without_a_class_are_left_out_of_both(self, place, where, better):
        holes = better.copy(deep=True)
        holes[:, :120] = 255
        points = lc.check_points(place, where, 300, 0)
        assert len(lc.read(points, labels=place.label, map=holes)) == (points["col"] >= 120).sum()

    def test_areas(self, place, where, better):
        table, overall = lc.areas(place, better, where, points=400)
        assert "Snow/Ice" not in table.index
        total = float(where.sum()) * 9e-6
        for column in ("mapped", "estimate", "true"):
            assert table[column].sum() == pytest.approx(total)
        assert table["inside"].mean() >= 0.6 and overall["low"] < overall["high"]

    def test_roads(self, place):
        everywhere = place.truth.copy(data=np.ones((N, N), bool))
        cut = place.truth.copy(deep=True)
        cut[:, 100:110] = 1
        cut[:, 200:210] = 1
        table = lc.roads(place, everywhere, {"truth": place.truth, "cut": cut})
        name = "narrow, up to 6 m"
        assert table.loc[(name, "truth"), "recall"] == 1
        assert table.loc[(name, "truth"), "breaks per km"] == 0
        assert table.loc[(name, "cut"), "recall"] == pytest.approx(220 / 240)
        assert table.loc[(name, "cut"), "breaks per km"] == pytest.approx(2 / 0.72)
        assert table.loc[(name, "cut"), "unbroken m"] == pytest.approx(220)
        with pytest.raises(ValueError, match="no roads"):
            lc.roads(replace(place, roads=None), everywhere, {})

    def test_small_water(self, place):
        values = np.ones((N, N), np.uint8)
        values[20:80, 20:80] = 4
        values[150:152] = 4  # 6 m wide
        lake = replace(place, truth=place.truth.copy(data=values))
        found = values.copy()
        found[150:152] = 1
        everywhere = place.truth.copy(data=np.ones((N, N), bool))
        table = lc.small(lake, everywhere, {"map": place.truth.copy(data=found)})
        assert table.loc[("large", "map")].tolist() == [3600, 1.0]
        assert table.loc[("thin or small", "map")].tolist() == [480, 0.0]

    def test_who_is_right(self, place, better):
        found = lc.errors(place, place.label, better)
        assert set(np.unique(found)) <= {0, 1, 3}  # the better map is never wrong alone
        alone = ((better == place.truth) & (place.label != place.truth)).values
        assert ((found == 1).values == alone).all()


class TestBorders:
    @pytest.fixture(scope="class")
    def hrnet(self, place, table):
        return lc.train("HRNet", place, table, **QUICK | {"epochs": 1}).model

    def test_pinned_is_one_pass_and_exact_in_tiles(self, hrnet, place):
        frozen = lc.pinned(hrnet, place.image, window=64)
        whole = lc.probability(hrnet, place, tile=240, halo=0)
        same = lc.probability(frozen, place, tile=240, halo=0)
        assert float(abs(whole - same).max()) < 2e-3
        with pytest.raises(ValueError, match="instance"):
            lc.pinned(frozen, place.image)
        with pytest.raises(ValueError, match="even"):
            lc.pinned(hrnet, place.image, window=33)

    def test_tiles_change_an_instance_norm(self, hrnet, place):
        table = lc.unlike(hrnet, place, tiles=(48,), halo=16)
        assert table.loc["one pass", "changed"] == 0 < table.loc["48", "changed"]


def bare(values, nodata=None, **coords):
    """A raster without class names."""
    out = xr.DataArray(values, dims=("y", "x"), coords=coords).rio.write_crs("EPSG:32648")
    return out if nodata is None else out.rio.write_nodata(nodata)


class TestNodata:
    def test_codes(self):
        negative = lc.seven(bare(np.int16([[10, -9999], [80, 20]]), -9999))
        assert negative.values.tolist() == [[1, 255], [5, 2]]
        high = lc.seven(bare(np.uint16([[10, 65535]]), 65535))
        assert high.values.tolist() == [[1, 255]]
        gap = lc.seven(bare(np.float32([[10, np.nan]])))
        assert gap.values.tolist() == [[1, 255]]

    def test_pixels(self, place):
        image = place.image.fillna(-9999).rio.write_nodata(-9999)
        image[:, :5] = -9999
        found = lc.assemble(image, place.product, bands=list(image.band.values)).image
        assert np.isnan(found.values[:, :5]).all() and float(found.min()) > -9999

    def test_bands_of_one_name(self, place):
        twice = place.image.assign_coords(band=["red"] * place.image.sizes["band"])
        with pytest.raises(ValueError, match="same name"):
            lc.assemble(twice, place.product, bands=["red"])

    def test_negative_settings(self, place, table):
        with pytest.raises(ValueError, match="epochs=-2"):
            lc.setting("quick", epochs=-2)
        with pytest.raises(ValueError, match="norm"):
            lc.setting("quick", norm="layer")
        assert lc.setting("quick", guard=0)["guard"] == 0
        with pytest.raises(ValueError, match="guard=-3"):
            lc.held_out(place, table, -3)


@pytest.mark.parametrize("seed", range(5))
def test_the_paper_profile_can_be_split(seed):
    """Chips of the published size on ground as large as the scene's."""
    side = 4000
    grid = {"y": 3.0 * np.arange(side, 0, -1), "x": 3.0 * np.arange(side)}
    draw = np.random.default_rng(0).integers(1, 3, (10, 10), dtype="uint8")
    label = bare(np.kron(draw, np.ones((400, 400), "uint8")), 255, **grid)
    label.attrs["classes"] = [{"value": 1, "name": "a"}, {"value": 2, "name": "b"}]
    image = label.astype("float32").expand_dims(band=["red"])
    place = lc.Ground("scene", image, label, label, label)
    chosen = lc.setting("paper")
    table = lc.sample(place, chosen["chip"], chosen["stride"], block=chosen["block"], seed=seed)
    assert (table["split"] == "train").sum() >= 12
    assert lc.held_out(place, table, chosen["guard"]).any()


class TestDates:
    def test_four_dates_meet(self, place):
        dates = lc.dates(replace(place, source="scene"))
        assert dates.shape == place.label.shape
        assert set(np.unique(dates)) == {0, 1, 2, 3}
        assert dates.rio.nodata == 255
        assert [item["name"][:4] for item in dates.attrs["classes"]] == ["2017"] * 4

    def test_real_images_have_one(self, place):
        with pytest.raises(ValueError, match="only the scene's mosaic"):
            lc.dates(replace(place, source="raleigh"))


class TestTrials:
    @pytest.fixture(autouse=True)
    def here(self, monkeypatch, place, world):
        monkeypatch.setattr(trials, "ground", lambda *a, **k: place)
        monkeypatch.setattr(trials.catalog, "open", lambda *a, **k: world[1])
        drawn = trials.points.check_points
        monkeypatch.setattr(
            trials.points, "check_points", lambda p, w, seed: drawn(p, w, 200, 20, seed)
        )

    small = QUICK | {"block": 48, "epochs": 2, "first": 1}

    def test_run(self):
        out = trials.run("U-Net", filter=True, clahe=True, **self.small)
        assert out["map"].tolist() == ["labels", "map", "map, CLAHE"]
        assert np.isnan(out["gain"].iloc[0]) and out["gain"].iloc[1:].notna().all()
        assert {"PA Cropland", "UA Water", "road recall", "thin water recall"} <= set(out)

    def test_label_quality(self):
        out = trials.label_quality(0.7, **self.small)
        assert out["reached"].iloc[0] == pytest.approx(0.7, abs=1e-3)
        assert out["overall_all"].iloc[0] < 80

    def test_filters(self):
        out = trials.filters(0.1, **self.small).set_index("method")
        assert out.loc["oracle", ["precision", "recall"]].tolist() == [1, 1]
        assert out.loc["none", "dropped"] == 0

    def test_perfect_labels_of_a_real_place(self):
        with pytest.raises(ValueError, match="nobody knows"):
            trials.prepared("raleigh", "perfect", profile="smoke")

    def test_pruned(self):
        out = trials.pruned((0.4,), "U-Net", **self.small | {"epochs": 1, "extra": 1})
        names = ["trained", "trained on", "compact", "compact, one more epoch"]
        assert out["network"].tolist() == names
        trained, on, compact, again = out["parameters"]
        assert trained == on > compact == again

    def test_pruning_keeps_the_last_epoch(self, place, table):
        learn = lc.train(
            "U-Net", place, table, callbacks=[pruning.FPGM(0.4)], monitor="last", **self.small
        )
        assert learn.best["epoch"] == len(learn.history) == 2
        first = lc.train("U-Net", place, table, **self.small | {"epochs": 4})
        assert first.best["train_loss"] == first.history["train_loss"].min()

    def test_another_sensor_sees_the_same_pixels(self, monkeypatch, place, learn):
        window = {"y": slice(0, 64), "x": slice(0, 64)}
        core = replace(
            place,
            image=place.image.isel(window),
            label=place.label.isel(window),
            truth=place.truth.isel(window),
        )
        monkeypatch.setattr(trials, "gaofen", lambda place, seed: core)
        monkeypatch.setattr(trials, "hazy", lambda place: replace(place, image=place.image * 0))
        where = place.label != 255
        out = trials.elsewhere(learn.model, place, where)
        assert out["core"] == out["core, Gaofen-2"] != out["core, hazy"]
        with pytest.raises(ValueError, match="another seed"):
            trials.elsewhere(learn.model, place, where & False)
