import matplotlib
import numpy as np
import pandas as pd
import pytest
import rioxarray  # noqa: F401
import torch
import xarray as xr
from torch import nn

from toolkit import heatmaps, models

matplotlib.use("Agg")


def scene(height=96, width=112, bands=1, pixel=10.0, seed=0):
    values = np.random.default_rng(seed).normal(size=(bands, height, width)).astype("float32")
    return xr.DataArray(
        values,
        dims=("band", "y", "x"),
        coords={
            "band": [f"b{i}" for i in range(bands)],
            "y": 9_600_000 - pixel * (np.arange(height) + 0.5),
            "x": 700_000 + pixel * (np.arange(width) + 0.5),
        },
        attrs={"simulated": True, "licence": "CC0"},
    ).rio.write_crs("EPSG:32735")


class Blocks(nn.Module):
    """The mean of 4 x 4 pixels, its negative and zero; the class scores are these, repeated."""

    total_stride, receptive_field, output_scale = 4, 4, 1.0
    in_channels, classes, class_names = 1, 2, ["other", "town"]

    def __init__(self, inplace=False):
        super().__init__()
        self.pool = nn.AvgPool2d(4)
        self.mix = nn.Conv2d(1, 3, 1, bias=False)
        self.relu = nn.ReLU(inplace=inplace)
        self.score = nn.Conv2d(3, 2, 1, bias=False)
        with torch.no_grad():
            self.mix.weight[:, 0, 0, 0] = torch.tensor([1.0, -1.0, 0.0])
            self.score.weight[:, :, 0, 0] = torch.tensor([[0.0, 1.0, 0.0], [2.0, 0.0, 0.0]])

    def placement(self, layer):
        if layer not in ("pool", "mix", "relu", "score"):
            raise KeyError(layer)
        return 4, 0

    def forward(self, x):
        x = self.score(self.relu(self.mix(self.pool(torch.nan_to_num(x)))))
        return torch.repeat_interleave(torch.repeat_interleave(x, 4, 2), 4, 3)


@pytest.fixture(scope="module")
def ifcn():
    return models.create("ifcn", width=0.125, fc_width=128, fc_kernel=3)


def test_layers_are_those_with_a_place(ifcn):
    names = heatmaps.layers(ifcn)
    assert names[0] == "conv1_1"
    assert {"pool1", "pool5", "fc7", "score", "upscore"} <= set(names)


def test_features_are_the_layers_output():
    image = scene(8, 12)
    result = heatmaps.features(Blocks(), image, "pool")
    assert list(result) == ["pool"]
    expected = image.values[0].reshape(2, 4, 3, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(result["pool"][0], expected, rtol=1e-5)
    assert result["pool"].dims == ("channel", "y", "x")
    assert result["pool"].attrs["simulated"] is True
    assert result["pool"].attrs["stride"] == 4


def test_features_before_an_inplace_layer_are_not_changed_by_it():
    image = scene(8, 12)
    plain = heatmaps.features(Blocks(), image, "mix")["mix"]
    changed = heatmaps.features(Blocks(inplace=True), image, "mix")["mix"]
    assert plain.min() < 0
    np.testing.assert_array_equal(plain, changed)


def test_coarse_maps_cover_the_same_ground(ifcn):
    image = scene(96, 128)
    result = heatmaps.features(ifcn, image, ["pool1", "pool3", "pool5"])
    for stride, (name, array) in zip((2, 8, 32), result.items(), strict=True):
        assert array.shape[1:] == (96 // stride, 128 // stride), name
        assert array.rio.bounds() == pytest.approx(image.rio.bounds())
        assert array.rio.resolution() == pytest.approx((10 * stride, -10 * stride))
        assert array.rio.crs == image.rio.crs


def test_a_bright_spot_lights_up_where_it_is(ifcn):
    image = scene(128, 160).copy(data=np.zeros((1, 128, 160), "float32"))
    dark = heatmaps.features(ifcn, image, "pool3")["pool3"]
    image[0, 50, 101] = 100
    lit = heatmaps.features(ifcn, image, "pool3")["pool3"]
    change = abs(lit - dark).sum("channel")
    peak = change.where(change == change.max(), drop=True)
    assert abs(peak.y.item() - image.y[50].item()) <= 80
    assert abs(peak.x.item() - image.x[101].item()) <= 80


@pytest.mark.parametrize("layer", ["conv1_1", "pool2", "pool5", "fc7", "upscore"])
def test_padding_of_the_caffe_alignment_is_cut_off(layer):
    model = models.create("fcn8s", width=0.125, fc_width=64)
    image = scene(100, 117)
    result = heatmaps.features(model, image, layer)[layer]
    stride, _ = model.placement(layer)
    for low, high, inner_low, inner_high in zip(
        result.rio.bounds()[:2], result.rio.bounds()[2:], image.rio.bounds()[:2],
        image.rio.bounds()[2:], strict=True,
    ):  # fmt: skip
        assert inner_low - 10 * stride < low <= inner_low
        assert inner_high <= high < inner_high + 10 * stride


def test_nodata_has_no_activation():
    image = scene(8, 12)
    image[:, :4, :4] = np.nan
    image[:, 5, 5] = np.nan
    result = heatmaps.features(Blocks(), image, "pool")["pool"]
    assert np.isnan(result[0, 0, 0])
    assert np.isfinite(result).sum() == 5


def test_mode_and_hooks_are_left_as_they_were(ifcn):
    ifcn.train()
    ifcn.pool1.eval()
    heatmaps.features(ifcn, scene(), "pool1")
    heatmaps.gradcam(ifcn, scene(), 1, "pool5")
    assert ifcn.training and not ifcn.pool1.training and ifcn.drop6.training
    assert not any(module._forward_hooks for module in ifcn.modules())
    assert all(parameter.grad is None for parameter in ifcn.parameters())


def test_unknown_layer_gets_suggestions(ifcn):
    with pytest.raises(KeyError, match=r"Did you mean .*pool3"):
        heatmaps.features(ifcn, scene(), ["pol3"])
    assert not any(module._forward_hooks for module in ifcn.modules())


def test_bad_input_is_explained(ifcn):
    with pytest.raises(ValueError, match="Crop it first"):
        heatmaps.features(ifcn, scene(), "pool1", limit=100)
    with pytest.raises(ValueError, match="1 band"):
        heatmaps.features(ifcn, scene(bands=2), "pool1")
    with pytest.raises(ValueError, match="every pixel is NaN"):
        heatmaps.features(ifcn, scene() * np.nan, "pool1")
    with pytest.raises(TypeError, match="placement"):
        heatmaps.features(nn.Conv2d(1, 1, 1), scene(), "pool1")
    with pytest.raises(TypeError, match="DataArray"):
        heatmaps.features(ifcn, scene().values, "pool1")


def test_live_channels():
    result = heatmaps.live_channels(heatmaps.features(Blocks(), scene(8, 8), ["relu", "pool"]))
    assert isinstance(result, pd.Series)
    assert result["relu"] == pytest.approx(2 / 3)
    assert result["pool"] == 1


def test_gallery_draws_the_strongest_first(ifcn):
    maps = heatmaps.features(ifcn, scene(), ["pool1", "pool3"])
    figure = heatmaps.gallery(maps, n=6, layer="pool3")
    titles = [axis.get_title() for axis in figure.axes if axis.get_title()]
    spread = np.nanstd(maps["pool3"].values, axis=(1, 2))
    assert titles == [f"channel {i}" for i in np.argsort(-spread)[:6]]
    pictures = [axis.images[0] for axis in figure.axes if axis.images]
    assert len({picture.get_clim() for picture in pictures}) == 1
    assert any("activation" in axis.get_ylabel() for axis in figure.axes)


def test_gallery_of_layers_and_texts_that_do_not_overlap(ifcn):
    image = scene()
    image[:, :40, :40] = np.nan
    figure = heatmaps.gallery(heatmaps.features(ifcn, image, ["pool1", "pool3", "pool5"]), n=16)
    figure.canvas.draw()
    titles = [a.title for a in figure.axes if a.get_title()]
    assert len(titles) == 8 + 16 + 16
    assert [part._suptitle.get_text().split(":")[0] for part in figure.subfigs] == [
        "pool1", "pool3", "pool5",
    ]  # fmt: skip
    assert "simulated data" in figure.subfigs[0]._suptitle.get_text()
    boxes = [t.get_window_extent() for t in [*titles, *(p._suptitle for p in figure.subfigs)]]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_gallery_refuses(ifcn):
    maps = heatmaps.features(ifcn, scene(), "pool1")
    with pytest.raises(KeyError, match="pool1"):
        heatmaps.gallery(maps, layer="pool9")
    with pytest.raises(ValueError, match="at least one"):
        heatmaps.gallery(maps, n=0)
    with pytest.raises(ValueError, match="at least one"):
        heatmaps.gallery({})


def test_gradcam_is_the_published_formula():
    # The score of class 1 is 2 ReLU(block mean) in each of 16 pixels: the mean gradient is 32 on
    # channel 0 and zero on the others, so the map is 32 times the positive block means.
    image = scene(16, 24)
    heat = heatmaps.gradcam(Blocks(), image, "town", "relu")
    means = image.values[0].reshape(4, 4, 6, 4).mean(axis=(1, 3))
    # Corner pixels lie outside the outermost cell centres, so no bilinear mixing reaches them.
    for corner in [(0, 0), (0, -1), (-1, 0), (-1, -1)]:
        expected = 32 * max(0, means[corner]) / heat.attrs["peak"]
        assert heat.values[corner] == pytest.approx(expected, abs=1e-5)
    assert heat.values.max() == 1
    assert heat.attrs["target"] == "town" and heat.attrs["simulated"] is True
    assert heat.dtype == np.float32
    assert heat.rio.bounds() == image.rio.bounds()
    # The other class, the other channel: 1 ReLU(-block mean).
    other = heatmaps.gradcam(Blocks(), image, 0, "relu")
    expected = 16 * max(0, -means[0, -1]) / other.attrs["peak"]
    assert other.values[0, -1] == pytest.approx(expected, abs=1e-5)


def test_gradcam_interpolates_about_cell_centres():
    image = scene(8, 8).copy(data=np.zeros((1, 8, 8), "float32"))
    image[0, :, 4:] = 1.0
    heat = heatmaps.gradcam(Blocks(), image, 1, "relu").values
    expected = [0, 0, 1 / 8, 3 / 8, 5 / 8, 7 / 8, 1, 1]
    np.testing.assert_allclose(heat, np.tile(expected, (8, 1)), atol=1e-6)


def test_gradcam_mask_nodata_and_frozen_weights(ifcn):
    image = scene(96, 96)
    image[:, :32, :32] = np.nan
    model = Blocks().requires_grad_(False)
    heat = heatmaps.gradcam(model, image, 1, "relu")
    assert np.isnan(heat.values[:32, :32]).all() and np.isfinite(heat.values[32:]).all()
    assert float(heat.max()) <= 1 and float(heat.min()) >= 0
    mask = np.zeros((96, 96), bool)
    mask[60:64, 60:64] = True
    whole, part = (heatmaps.gradcam(ifcn, image, 0, "pool3", mask=m) for m in (None, mask))
    assert not np.allclose(whole.fillna(0), part.fillna(0))


def test_gradcam_with_coarser_output():
    class Half(Blocks):
        output_scale = 0.5

        def forward(self, x):
            return super().forward(x)[..., ::2, ::2]

    image = scene(17, 24)[:, :16]
    mask = np.zeros((16, 24), bool)
    mask[3, 5] = True
    heat = heatmaps.gradcam(Half(), image, 1, "pool", mask=mask)
    assert heat.shape == (16, 24)


def test_gradcam_refuses(ifcn):
    image = scene()
    with pytest.raises(KeyError, match="other, town"):
        heatmaps.gradcam(Blocks(), image, "road", "relu")
    with pytest.raises(KeyError, match="knows no names"):
        heatmaps.gradcam(ifcn, image, "road", "pool1")
    with pytest.raises(ValueError, match="0 to 1"):
        heatmaps.gradcam(ifcn, image, 2, "pool1")
    with pytest.raises(ValueError, match="expected the image's shape"):
        heatmaps.gradcam(ifcn, image, 1, "pool1", mask=np.ones((3, 3)))
    with pytest.raises(ValueError, match="selects no pixel"):
        heatmaps.gradcam(ifcn, image, 1, "pool1", mask=np.zeros(image.shape[1:]))
