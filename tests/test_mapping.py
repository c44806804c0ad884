import resource
import subprocess
import sys
import warnings
from pathlib import Path

import dask
import numpy as np
import pytest
import rasterio
import rioxarray
import torch
import xarray as xr
from torch import nn

from toolkit import mapping, models
from toolkit.models.fcn import BUILDERS as FCNS

CLASSES = [
    {"value": 0, "name": "other", "color": "#bbbbbb"},
    {"value": 1, "name": "town", "color": "#d55e00"},
]


def scene(height=100, width=130, bands=1, pixel=10.0, seed=0):
    values = np.random.default_rng(seed).normal(size=(bands, height, width)).astype("float32")
    return xr.DataArray(
        values,
        dims=("band", "y", "x"),
        coords={
            "band": [f"b{i}" for i in range(bands)],
            "y": 9_600_000 - pixel * (np.arange(height) + 0.5),
            "x": 700_000 + pixel * (np.arange(width) + 0.5),
        },
        attrs={"simulated": True, "licence": "CC0", "citation": 'A & B <2020> "x"'},
    ).rio.write_crs("EPSG:32735")


class StandIn(nn.Module):
    """Two logits from one band: 0 and a box mean of `field` pixels, in cells of 1 / scale."""

    in_channels, classes = 1, 2

    def __init__(self, field=31, cell=1, total_stride=4, value=None):
        super().__init__()
        self.total_stride, self.receptive_field, self.output_scale = total_stride, field, 1 / cell
        self.box = nn.Conv2d(1, 1, field, padding=field // 2, bias=False)
        nn.init.constant_(self.box.weight, 1 / field)
        self.pool = nn.AvgPool2d(cell)
        self.value = value
        self.drop = nn.Dropout(0.9)

    def forward(self, x):
        x = torch.nan_to_num(x)
        x = self.box(x) if self.value is None else torch.full_like(x, self.value)
        x = self.pool(self.drop(x))
        return torch.cat([torch.zeros_like(x), x], dim=1)


class Unbounded(StandIn):
    """Instance normalisation: every pixel sees all others."""

    def __init__(self):
        super().__init__(field=3)
        self.receptive_field = None

    def forward(self, x):
        return super().forward(nn.functional.instance_norm(torch.nan_to_num(x)))


def counted(model):
    """Return a list that grows with the number of tiles of every forward pass."""
    calls = []
    # The hook is shared by the copy that predict makes.
    model.register_forward_hook(lambda module, args, out: calls.append(len(args[0])))
    return calls


def untiled(model, image):
    with torch.inference_mode():
        return model.eval()(torch.from_numpy(image.values[None]))[0].numpy()


def fcn(name, alignment, **options):
    model = models.create(name, width=0.0625, fc_width=64, alignment=alignment, **options)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():  # fresh skips are zero, and fresh statistics of a normalisation too plain
        for key, value in model.state_dict().items():
            if key.startswith("score") and key.endswith("weight"):
                value.normal_(0, 0.3, generator=generator)
            if key.endswith("running_mean"):
                value.normal_(0, 0.1, generator=generator)
    return model


# ---- predict: exact ----


@pytest.mark.parametrize("alignment", ["caffe", "same"])
@pytest.mark.parametrize("name", list(FCNS))
def test_tiled_equals_untiled(name, alignment):
    model = fcn(name, alignment)
    # Neither side is a multiple of the stride; the last tile of a row is a sliver.
    image = scene(419, 299)
    whole = untiled(model, image)
    tiled = mapping.predict(model, image, tile=160, activation=None)
    assert tiled.data.npartitions > 1
    assert np.abs(tiled.values - whole).max() < 1e-5
    # The test can fail: a halo that is too small shows.
    with pytest.warns(UserWarning, match="less than half the receptive field"):
        narrow = mapping.predict(model, image, tile=160, activation=None, halo=32)
    assert np.abs(narrow.values - whole).max() > 1e-3


def test_the_halo_is_no_larger_than_needed():
    model, image = StandIn(field=31), scene(64, 64)
    whole = untiled(model, image)
    with pytest.warns(UserWarning, match="16 makes them equal"):
        narrow = mapping.predict(model, image, tile=16, activation=None, halo=12)
    assert np.abs(narrow.values - whole).max() > 0.1
    enough = mapping.predict(model, image, tile=16, activation=None, halo=13)  # rounded up to 16
    np.testing.assert_allclose(enough, whole, atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (64, 64), (65, 63), (127, 66)])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_tiled_equals_untiled_at_any_size(size, batch_size):
    model, image = StandIn(field=31), scene(*size)
    result = mapping.predict(model, image, tile=16, batch_size=batch_size, activation=None)
    np.testing.assert_allclose(result, untiled(model, image), atol=1e-6)


@pytest.mark.parametrize("size", [(64, 80), (65, 81), (33, 32), (66, 35)])
def test_half_resolution(size):
    model, image = StandIn(field=31, cell=2), scene(*size)
    result = mapping.predict(model, image, tile=16, activation=None)
    # An incomplete last row or column of cells is left out; the upper left corner stays.
    even = image[:, : size[0] // 2 * 2, : size[1] // 2 * 2]
    np.testing.assert_allclose(result, untiled(model, even), atol=1e-6)
    assert result.shape == (2, size[0] // 2, size[1] // 2)
    assert result.rio.resolution() == (20, -20)
    left, _, _, top = result.rio.bounds()
    assert (left, top) == (image.rio.bounds()[0], image.rio.bounds()[3])
    assert result.rio.transform() == result.rio.transform(recalc=True)


def test_constant_model_reaches_every_pixel():
    result = mapping.predict(StandIn(value=1.5), scene(70, 90), tile=16, activation=None)
    assert (result.sel({"class": "class 1"}).values == 1.5).all()


def test_softmax_and_sigmoid():
    image = scene(20, 20)
    soft = mapping.predict(StandIn(), image, tile=8)
    np.testing.assert_allclose(soft.sum("class"), 1, rtol=1e-6)
    logits = mapping.predict(StandIn(), image, tile=8, activation=None)
    sigmoid = mapping.predict(StandIn(), image, tile=8, activation="sigmoid")
    np.testing.assert_allclose(sigmoid, 1 / (1 + np.exp(-logits)), rtol=1e-5)
    assert (soft.name, logits.name) == ("probability", "logit")
    own = mapping.predict(StandIn(), image, tile=8, activation=torch.tanh)
    np.testing.assert_allclose(own, np.tanh(logits), rtol=1e-5)


def test_unbounded_field_warns_and_differs():
    image = scene(64, 64)
    image[:, :, 32:] += 3
    with pytest.warns(UserWarning, match="unbounded"):
        tiled = mapping.predict(Unbounded(), image, tile=32, activation=None)
    assert np.abs(tiled.values - untiled(Unbounded(), image)).max() > 0.1
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        mapping.predict(Unbounded(), image, tile=32, halo=8)
        one = mapping.predict(Unbounded(), image, tile=64, activation=None)
    np.testing.assert_allclose(one, untiled(Unbounded(), image), atol=1e-6)


def test_result_is_lazy_and_described():
    model = StandIn()
    calls = counted(model)
    result = mapping.predict(model, scene(), tile=32, classes=CLASSES)
    assert dask.is_dask_collection(result.data) and calls == []
    assert result.dims == ("class", "y", "x") and result.dtype == np.float32
    assert list(result["class"].values) == ["other", "town"]
    assert result.rio.crs.to_epsg() == 32735
    np.testing.assert_array_equal(result.x, scene().x)
    assert result.attrs["classes"] == CLASSES and result.attrs["simulated"] is True
    named = mapping.predict(model, scene(), classes=["a", "b"])
    assert list(named["class"].values) == ["a", "b"]


# ---- predict: nodata, batches, state ----


def test_nodata_passes_through_and_empty_tiles_are_skipped():
    image = scene(64, 64, bands=2)
    image[:, :, :32] = np.nan
    image[:, 3, 40] = np.nan
    image[0, 5, 50] = np.nan  # the other band is there: the model's affair

    class TwoBands(StandIn):
        in_channels = 2

        def forward(self, x):
            return super().forward(x[:, 1:])

    model = TwoBands(field=9)
    calls = counted(model)
    result = mapping.predict(model, image, tile=16, batch_size=4).compute()
    np.testing.assert_array_equal(np.isnan(result[0]), np.isnan(image).all("band"))
    assert sum(calls) == 8  # of 16 tiles
    calls.clear()
    assert np.isnan(mapping.predict(model, image * np.nan, tile=16).values).all()
    assert calls == []


def test_nodata_as_a_number():
    image = scene(16, 16).round().astype("int16")
    image[:, :4] = -999
    result = mapping.predict(StandIn(), image.rio.write_nodata(-999), tile=8)
    assert np.isnan(result.values[:, :4]).all() and np.isfinite(result.values[:, 4:]).all()


def test_nodata_in_coarser_cells():
    image = scene(8, 8)
    image[:, :2, :2] = np.nan
    image[:, 4, 4] = np.nan
    result = mapping.predict(StandIn(cell=2), image, tile=4)
    assert np.isnan(result.values).sum() == 2 and np.isnan(result.values[:, 0, 0]).all()


def test_tiles_are_batched():
    model = StandIn(field=9)
    calls = counted(model)
    mapping.predict(model, scene(16, 16 * 6), tile=16, batch_size=8).compute()
    assert sorted(calls) == [2, 4]  # the two ends have a halo on one side only
    calls.clear()
    mapping.predict(model, scene(16, 16 * 6), tile=16, batch_size=2).compute()
    assert sum(calls) == 6 and max(calls) == 2


@pytest.mark.parametrize("training", [True, False])
def test_model_stays_as_it_is_and_later_training_changes_nothing(training):
    model, image = StandIn().train(training), scene(40, 40)
    expected = untiled(StandIn(), image)
    lazy = mapping.predict(model, image, tile=16, activation=None)
    with torch.no_grad():
        model.box.weight.zero_()
    assert model.training is training
    np.testing.assert_allclose(lazy, expected, atol=1e-6)  # and no dropout
    assert torch.is_grad_enabled()


def test_dask_backed_and_file_backed_images(tmp_path):
    image = scene(70, 90)
    expected = mapping.predict(StandIn(), image, tile=16).values
    chunked = image.chunk({"y": 23, "x": 17})
    np.testing.assert_array_equal(mapping.predict(StandIn(), chunked, tile=16), expected)
    image.rio.to_raster(tmp_path / "image.tif")
    for chunks in (None, True, {"x": 30, "y": 30}):
        opened = rioxarray.open_rasterio(tmp_path / "image.tif", chunks=chunks)
        np.testing.assert_array_equal(mapping.predict(StandIn(), opened, tile=16), expected)


def test_any_scheduler():
    lazy = mapping.predict(StandIn(), scene(64, 64), tile=16)
    threads = lazy.compute(scheduler="threads", num_workers=4)
    np.testing.assert_array_equal(threads, lazy.compute(scheduler="synchronous"))
    distributed = pytest.importorskip("distributed")
    with distributed.Client(processes=False, n_workers=1, dashboard_address=None):
        np.testing.assert_array_equal(threads, lazy.compute())


def test_name_follows_weights_image_and_options():
    model, image = StandIn(), scene(32, 32)

    def name(**options):
        return mapping.predict(model, image, **{"tile": 16, **options}).data.name

    first = name()
    assert name() == first
    assert (
        len({first, name(tile=32), name(activation=None), name(halo=32), name(classes=["a", "b"])})
        == 5
    )
    image[0, 0, 0] += 1
    second = name()
    with torch.no_grad():
        model.box.weight[0, 0, 0, 0] += 1e-3
    assert len({first, second, name()}) == 3
    model.value = 3.0
    assert name() not in {first, second}


# ---- predict: refusals ----


def test_wrong_bands_are_explained():
    model = models.create("ifcn", in_channels=3, width=0.0625, fc_width=64)
    with pytest.raises(ValueError, match=r"takes 3 band.*the image has 2"):
        mapping.predict(model, scene(bands=2))
    model.bands = ["b0", "b2", "b1"]
    with pytest.raises(ValueError, match=r"b0, b2, b1, in this order.*image\.sel"):
        mapping.predict(model, scene(bands=3))
    mapping.predict(model, scene(bands=3).sel(band=model.bands))
    model.bands = ["red", "green", "blue"]
    with pytest.raises(ValueError, match="assign_coords"):
        mapping.predict(model, scene(bands=3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tile": 0}, "tile=0"),
        ({"batch_size": 1.5}, "batch_size"),
        ({"halo": -1}, "halo=-1"),
        ({"activation": "relu"}, "activation='relu'"),
        ({"classes": ["one"]}, "the model has 2"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        mapping.predict(StandIn(), scene(), **options)


def test_bad_models():
    class Learner:
        model = StandIn()

    with pytest.raises(TypeError, match=r"learn\.model"):
        mapping.predict(Learner(), scene())
    with pytest.raises(ValueError, match="total_stride"):
        mapping.predict(nn.Conv2d(1, 2, 3), scene())
    model = StandIn()
    model.output_scale = 0.7
    with pytest.raises(ValueError, match=r"output_scale=0\.7"):
        mapping.predict(model, scene())
    model.output_scale, model.total_stride = 1, 4
    model.classes = 3
    with pytest.raises(ValueError, match="returned 2 classes"):
        mapping.predict(model, scene()).compute()
    model = StandIn(cell=2)
    model.output_scale = 1.0
    with pytest.raises(ValueError, match="output_scale"):
        mapping.predict(model, scene()).compute()
    with pytest.raises(ValueError, match="no CRS"):
        mapping.predict(StandIn(), scene().drop_vars("spatial_ref"))


# ---- classes ----


def probability(*layers, names=None):
    names = names or [f"c{i}" for i in range(len(layers))]
    array = scene(*np.shape(layers[0])).isel(band=0, drop=True)
    return xr.concat([array.copy(data=np.float32(v)) for v in layers], dim="class").assign_coords(
        {"class": names}
    )


def test_classes_by_maximum():
    first, second, third = [[0.5, 0.1, np.nan]], [[0.3, 0.2, np.nan]], [[0.2, 0.7, np.nan]]
    result = mapping.classes(probability(first, second, third))
    assert result.values.tolist() == [[0, 2, 255]] and result.dtype == np.uint8
    assert result.rio.nodata == 255
    assert [entry["name"] for entry in result.attrs["classes"]] == ["c0", "c1", "c2"]


def test_classes_by_threshold_lazily_with_codes_and_colours():
    array = probability([[0.7, 0.2, np.nan]], [[0.3, 0.8, np.nan]], names=["other", "town"])
    array.attrs["classes"] = [CLASSES[0], {**CLASSES[1], "value": 7}]
    result = mapping.classes(array.chunk({"class": 1, "x": 2}), threshold=0.3)
    assert dask.is_dask_collection(result.data)
    assert result.values.tolist() == [[7, 7, 255]]
    assert mapping.classes(array).values.tolist() == [[0, 7, 255]]
    assert result.attrs["classes"] == array.attrs["classes"]
    assert result.rio.crs.to_epsg() == 32735 and result.attrs["simulated"] is True


def test_classes_of_a_single_probability():
    result = mapping.classes(probability([[0.4, 0.6, np.nan]], names=["roof"]))
    assert result.values.tolist() == [[0, 1, 255]]
    assert [entry["name"] for entry in result.attrs["classes"]] == ["other", "roof"]


def test_classes_refuses():
    three = probability([[0.1]], [[0.2]], [[0.7]])
    with pytest.raises(ValueError, match="for two classes, these are 3"):
        mapping.classes(three, threshold=0.5)
    with pytest.raises(ValueError, match="from 0 to 1"):
        mapping.classes(three[:2], threshold=40)
    with pytest.raises(ValueError, match="dims"):
        mapping.classes(scene())


# ---- write ----


def assert_cog(path):
    """Check what COG validators check: layout, tiles, overviews, order of directories and data."""
    with rasterio.open(path) as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.profile["tiled"] and file.block_shapes[0] == (512, 512)
        assert file.overviews(1) or max(file.shape) <= 512
        levels = [{}, *({"ovr": level} for level in range(len(file.overviews(1))))]
        ifds, data = (
            [int(file.get_tag_item(item, "TIFF", bidx=1, **level)) for level in levels]
            for item in ("IFD_OFFSET", "BLOCK_OFFSET_0_0")
        )
    assert ifds == sorted(ifds) and max(ifds) < min(data)
    assert data == sorted(data, reverse=True)


def test_written_probability_comes_back(tmp_path):
    lazy = mapping.predict(StandIn(), scene(600, 700), tile=128, classes=CLASSES)
    path = mapping.write(lazy, tmp_path / "deep" / "p.tif", progress=False)
    assert path == tmp_path / "deep" / "p.tif"
    assert [p.name for p in path.parent.iterdir()] == ["p.tif"]
    assert_cog(path)
    with rasterio.open(path) as file:
        assert file.descriptions == ("other", "town")
        assert file.crs.to_epsg() == 32735 and np.isnan(file.nodata)
        assert file.transform == lazy.rio.transform()
        assert file.tags()["citation"] == 'A & B <2020> "x"'
        assert file.overviews(1) == [2]
    back = mapping.read(path)
    xr.testing.assert_equal(back.drop_vars("spatial_ref"), lazy.drop_vars("spatial_ref").compute())
    assert back.attrs["classes"] == CLASSES and back.attrs["simulated"] is True


def test_written_classes_have_names_and_colours(tmp_path):
    image = scene(600, 520)
    image[:, :100] = np.nan
    lazy = mapping.classes(mapping.predict(StandIn(), image, tile=128, classes=CLASSES))
    path = mapping.write(lazy, tmp_path / "c.tif", progress=False)
    assert_cog(path)
    with rasterio.open(path) as file:
        assert file.nodata == 255 and file.dtypes == ("uint8",)
        assert file.colormap(1)[1] == (0xD5, 0x5E, 0, 255)
        np.testing.assert_array_equal(file.read(1), lazy)
        assert set(np.unique(file.read(1, out_shape=(300, 260)))) <= {0, 1, 255}
    assert "<Category>town</Category>" in (tmp_path / "c.tif.aux.xml").read_text()
    back = mapping.read(path)
    assert back.dims == ("y", "x") and back.attrs["classes"] == CLASSES and back.rio.nodata == 255


def test_arrays_in_memory_can_be_written(tmp_path):
    image = scene(30, 40, bands=3)
    back = mapping.read(mapping.write(image, tmp_path / "i.tif", progress=False))
    np.testing.assert_array_equal(back, image)
    assert list(back.band.values) == ["b0", "b1", "b2"]
    mask = image[0] > 0
    assert mapping.read(mapping.write(mask, tmp_path / "m.tif", progress=False)).dtype == np.uint8


class Breaks(StandIn):
    """Stops in the middle of a scene, as a power cut would."""

    limit, done = None, 0

    def forward(self, x):
        if Breaks.limit is not None and Breaks.done >= Breaks.limit:
            raise KeyboardInterrupt
        Breaks.done += 1
        return super().forward(x)


@pytest.fixture
def interrupted(tmp_path):
    """A write of 4 x 4 blocks that stopped after 6."""
    Breaks.limit, Breaks.done = 6, 0
    lazy = mapping.predict(Breaks(), scene(64, 64), tile=16, batch_size=1)
    path = tmp_path / "p.tif"
    with pytest.raises(KeyboardInterrupt):
        mapping.write(lazy, path, progress=False)
    assert not path.exists() and (tmp_path / ".p.tif.parts").is_dir()
    Breaks.limit, Breaks.done = None, 0
    return path


def test_interrupted_write_goes_on(interrupted):
    lazy = mapping.predict(Breaks(), scene(64, 64), tile=16, batch_size=1)
    mapping.write(lazy, interrupted, progress=False)
    assert Breaks.done == 10
    np.testing.assert_array_equal(mapping.read(interrupted), lazy)
    assert [p.name for p in interrupted.parent.iterdir()] == ["p.tif"]


def test_an_unfinished_block_is_not_a_block(interrupted):
    folder = interrupted.parent / ".p.tif.parts"
    (folder / "1-2.unfinished").write_bytes(b"half")
    lazy = mapping.predict(Breaks(), scene(64, 64), tile=16, batch_size=1)
    mapping.write(lazy, interrupted, progress=False)
    np.testing.assert_array_equal(mapping.read(interrupted), lazy)


@pytest.mark.parametrize("changed", ["weights", "image", "options"])
def test_parts_of_another_run_are_not_used(interrupted, changed):
    model, image = Breaks(), scene(64, 64)
    if changed == "weights":
        nn.init.constant_(model.box.weight, 0.5)
    if changed == "image":
        image = scene(64, 64, seed=1)
    halo = 32 if changed == "options" else None
    lazy = mapping.predict(model, image, tile=16, batch_size=1, halo=halo)
    with pytest.warns(UserWarning, match="belong to another model, image or option"):
        mapping.write(lazy, interrupted, progress=False)
    assert Breaks.done == 16
    np.testing.assert_array_equal(mapping.read(interrupted), lazy)


def test_resume_false_starts_anew(interrupted):
    lazy = mapping.predict(Breaks(), scene(64, 64), tile=16, batch_size=1)
    mapping.write(lazy, interrupted, resume=False, progress=False)
    assert Breaks.done == 16


def test_finished_files(tmp_path):
    model, image = StandIn(), scene(64, 64)
    calls = counted(model)
    path = mapping.write(mapping.predict(model, image, tile=16), tmp_path / "p.tif", progress=False)
    before, done = path.stat().st_mtime_ns, len(calls)
    mapping.write(mapping.predict(model, image, tile=16), path, progress=False)
    assert path.stat().st_mtime_ns == before and len(calls) == done
    other = mapping.predict(model, image, tile=32, activation="sigmoid")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        mapping.write(other, path, progress=False)
    mapping.write(other, path, overwrite=True, progress=False)
    np.testing.assert_array_equal(mapping.read(path), other)
    (tmp_path / "text.tif").write_text("no raster")
    with pytest.raises(FileExistsError, match=r"text\.tif exists"):
        mapping.write(other, tmp_path / "text.tif", progress=False)


def test_blocks_at_once(tmp_path):
    lazy = mapping.predict(StandIn(), scene(64, 64), tile=16, batch_size=1)
    path = mapping.write(lazy, tmp_path / "p.tif", at_once=3, progress=False)
    np.testing.assert_array_equal(mapping.read(path), lazy)


def test_progress(tmp_path, capsys):
    lazy = mapping.predict(StandIn(), scene(64, 64), tile=16, batch_size=4)
    mapping.write(lazy, tmp_path / "p.tif")
    assert "4/4" in capsys.readouterr().err
    mapping.write(lazy, tmp_path / "q.tif", progress=False)
    assert capsys.readouterr().err == ""


def test_write_refuses(tmp_path):
    with pytest.raises(ValueError, match=r"name it p\.tif"):
        mapping.write(scene(), tmp_path / "p.png")
    with pytest.raises(ValueError, match="dims"):
        mapping.write(scene().transpose("y", "x", "band"), tmp_path / "p.tif")
    with pytest.raises(TypeError, match="expected an xarray"):
        mapping.write(np.zeros((3, 3)), tmp_path / "p.tif")
    with pytest.raises(TypeError, match="cast it"):
        mapping.write(scene().astype("float16"), tmp_path / "p.tif")
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="could not be written"):
        mapping.write(scene(), tmp_path / "file" / "p.tif", progress=False)
    with pytest.raises(FileNotFoundError, match="no such file"):
        mapping.read(tmp_path / "none.tif")
    scene().rio.to_raster(tmp_path / "foreign.tif")
    with pytest.raises(ValueError, match="not written by"):
        mapping.read(tmp_path / "foreign.tif")


@pytest.mark.parametrize("limit", [200_000, 1_000_000])
def test_full_disk(tmp_path, limit):
    """A file-size limit stands in for the full disk: in the parts, then in the joined file."""
    image = scene(600, 600)
    path = tmp_path / "p.tif"
    lazy = image.chunk({"y": 256, "x": 256})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(OSError, match=r"could not be written.*blocks are finished"):
            mapping.write(lazy, path, progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not path.exists()
    mapping.write(lazy, path, progress=False)
    np.testing.assert_array_equal(mapping.read(path), image)


MEMORY = """
import sys, tempfile, threading, time
import dask.array as da, numpy as np, psutil, xarray as xr
sys.path.insert(0, sys.argv[1])
from test_mapping import StandIn
from toolkit import mapping
# Not ru_maxrss: on Linux a child starts with the peak of the process that started it.
process, peak = psutil.Process(), [0]
def watch():
    while True:
        peak[0] = max(peak[0], process.memory_info().rss)
        time.sleep(0.005)
threading.Thread(target=watch, daemon=True).start()
size = int(sys.argv[2])
at = 10 * (np.arange(size) + 0.5)
image = xr.DataArray(
    da.random.default_rng(0).random((1, size, size), chunks=(1, 512, 512), dtype="float32"),
    dims=("band", "y", "x"), coords={"band": ["b0"], "y": -at, "x": at},
).rio.write_crs("EPSG:32735")
lazy = mapping.classes(mapping.predict(StandIn(field=5), image, tile=512, batch_size=2))
if "whole" in sys.argv:
    lazy = lazy.compute()
with tempfile.TemporaryDirectory() as folder:
    mapping.write(lazy, folder + "/c.tif", progress=False)
print(peak[0] / 2**20)
"""


def test_memory_does_not_grow_with_the_scene():
    def peak(size):
        script = [sys.executable, "-c", MEMORY, str(Path(__file__).parent)]
        return float(subprocess.check_output([*script, str(size)], text=True))

    small, large = peak(2048), peak(7168)
    # 12 times the pixels. As whole arrays the large scene's input alone would take 200 MB, its
    # scores 400 MB, its classes 50 MB. What may grow is GDAL's cache while the parts are joined,
    # up to a fixed size. Computing the classes as a whole first grows by 200 MB and fails here.
    assert large - small < 130
