import html
import json
import re
import shutil
import warnings

import browser
import matplotlib
import nbformat
import numpy as np
import pandas as pd
import pytest
import rioxarray  # noqa: F401
import torch
import xarray as xr
from ipywidgets.embed import dependency_state
from matplotlib import pyplot as plt
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from torch import nn

from toolkit import book, heatmaps, maps, models

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


@pytest.fixture(scope="module")
def several():
    """Two thin networks, one without the steps between, with scores that skips change."""
    torch.manual_seed(0)
    nets = {name: models.create(name, width=1 / 16, fc_width=64) for name in ("fcn32s", "ifcn")}
    for name, weights in nets["ifcn"].named_parameters():
        if name.startswith("score_pool") and name.endswith("weight"):
            nn.init.xavier_uniform_(weights)
    return nets


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


def test_nodata_may_be_a_number():
    image = scene(8, 12).rio.write_nodata(-9999)
    image[:, :4, :4] = -9999
    result = heatmaps.features(Blocks(), image, "pool")["pool"]
    assert np.isnan(result[0, 0, 0]) and np.isfinite(result).sum() == 5
    with pytest.raises(ValueError, match="holds no data"):
        heatmaps.features(Blocks(), image.where(False, -9999).rio.write_nodata(-9999), "pool")


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


# --- which channel -------------------------------------------------------------------------------


def striped(height=32, width=32):
    """An image, and a label that is 1 where the image is above 0."""
    image = scene(height, width)
    image[0] = np.where(np.arange(width) // 8 % 2, 2.0, -1.0)
    label = (image[0] > 0).astype("uint8").rio.write_nodata(255)
    return image, label


def test_telling_is_the_channel_that_varies_most_or_goes_with_the_label():
    image, label = striped()
    maps_ = heatmaps.features(Blocks(), image, ["pool", "relu", "score"])
    table = heatmaps.telling(maps_)
    assert table.channel.to_dict() == {"pool": 0, "relu": 0, "score": 1}
    assert table["live channels"]["relu"] == pytest.approx(2 / 3)
    table = heatmaps.telling(maps_, label)
    assert table.correlation["relu"] == pytest.approx(1)
    # Class 0 scores where the label is 0: of scores only what goes upwards counts.
    assert table.channel["score"] == 1 and maps_["score"].attrs["class_names"] == ["other", "town"]
    assert heatmaps.telling(maps_, 1 - label.astype("float32")).channel["score"] == 0
    label[:, :8] = 255
    assert heatmaps.telling(maps_, label).correlation["relu"] == pytest.approx(1)


def test_telling_refuses():
    image, label = striped()
    maps_ = heatmaps.features(Blocks(), image, "pool")
    with pytest.raises(ValueError, match="same in every cell of pool"):
        heatmaps.telling(maps_, label * 0)
    with pytest.raises(ValueError, match="do not overlap"):
        heatmaps.telling(maps_, label.assign_coords(x=label.x + 1e5))
    with pytest.raises(ValueError, match="at least one layer"):
        heatmaps.telling({})


def test_on_map_gives_layers_of_a_map(several):
    image = scene(64, 80)
    image[:, :20, :20] = np.nan
    maps_ = heatmaps.features(several["ifcn"], image, ["pool1", "pool5", "upscore"])
    drawn = heatmaps.on_map(maps_)
    best = heatmaps.telling(maps_).channel
    assert [one.name for one in drawn] == [
        f"pool1, channel {best['pool1']}", f"pool5, channel {best['pool5']}", "upscore, class 1",
    ]  # fmt: skip
    np.testing.assert_array_equal(drawn[0].data, maps_["pool1"][best["pool1"]])
    assert drawn[0].data.attrs["simulated"] and "activation of pool1" in drawn[0].alt
    assert len(maps.show(*drawn).layers) == 4
    mean = heatmaps.on_map(maps_, channel={"pool1": "mean", "pool5": 0})
    np.testing.assert_allclose(mean[0].data, maps_["pool1"].mean("channel"))
    assert [one.name for one in mean][1:] == ["pool5, channel 0", "upscore, class 1"]


def test_on_map_of_a_single_cell():
    (layer,) = heatmaps.on_map(heatmaps.features(Blocks(), scene(4, 4), "pool"))
    assert maps.show(layer).layers[-1].url.startswith("data:image/png")


def test_on_map_refuses(several):
    maps_ = heatmaps.features(several["ifcn"], scene(64, 80), ["pool1", "pool2"])
    with pytest.raises(ValueError, match="pool1 has the channels 0 to 3"):
        heatmaps.on_map(maps_, channel=4)
    for wrong in (-1, 1.5, "strongest", True):
        with pytest.raises(ValueError, match="'mean'"):
            heatmaps.on_map(maps_, channel=wrong)
    with pytest.raises(KeyError, match=r"pol1.*Did you mean 'pool1'"):
        heatmaps.on_map(maps_, channel={"pol1": 2})
    with pytest.raises(ValueError, match="at least one layer"):
        heatmaps.on_map({})


# --- several networks ----------------------------------------------------------------------------


def test_compare_has_a_row_for_each_network_and_a_column_for_each_layer(several):
    figure = heatmaps.compare(several, scene(64, 80))
    names = [axis.get_title() for axis in figure.axes if axis.get_title()]
    assert names == [
        "pool1", "pool2", "pool3", "pool4", "pool5", "score", "upscore2", "upscore_pool4",
        "upscore_pool3", "upscore",
    ]  # fmt: skip
    assert [a.get_ylabel() for a in figure.axes if a.get_ylabel()] == ["fcn32s", "ifcn"]
    empty = [axis for axis in figure.axes if not axis.images]
    assert [axis.texts[0].get_text() for axis in empty] == ["no such\nlayer"] * 3
    assert "alive" in figure.axes[0].get_xlabel() and "class 1" in figure.axes[-1].get_xlabel()
    assert "simulated" in figure.get_supxlabel()
    assert not plt.get_fignums()


def test_compare_shows_the_same_ground_by_one_rule(several):
    image = scene(70, 90)
    figure = heatmaps.compare(several, image, ["pool2", "pool5"], channel="mean")
    left, bottom, right, top = image.rio.bounds()
    assert {axis.get_xlim() for axis in figure.axes} == {(left, right)}
    assert {axis.get_ylim() for axis in figure.axes} == {(bottom, top)}
    for axis, (name, layer) in zip(
        figure.axes, [(n, k) for n in several for k in ("pool2", "pool5")], strict=True
    ):
        mean = heatmaps.features(several[name], image, layer)[layer].mean("channel").values
        low, high = axis.images[0].get_clim()
        assert low == pytest.approx(mean.min())
        assert high == pytest.approx(np.percentile(mean, 99.5))
    figure.canvas.draw()
    boxes = [axis.get_tightbbox() for axis in figure.axes] + [figure._supxlabel.get_window_extent()]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert boxes[-1].x0 >= 0 and boxes[-1].x1 <= figure.bbox.width


def test_compare_takes_one_network_and_a_silent_channel():
    image = scene(16, 16)
    figure = heatmaps.compare(Blocks(), image, "relu", channel=2)
    assert figure.axes[0].images[0].get_clim() == (0, 1)
    assert "ch. 2, 67% alive" in figure.axes[0].get_xlabel()


@pytest.mark.parametrize("draw", [heatmaps.compare, heatmaps.explorer])
def test_several_networks_refuse_bad_input(several, draw):
    image = scene(64, 64)
    with pytest.raises(KeyError, match=r"pol3.*Did you mean 'pool3'"):
        draw(several, image, ["pool1", "pol3"])
    with pytest.raises(ValueError, match="every pixel is NaN"):
        draw(several, image * np.nan)
    with pytest.raises(ValueError, match="holds no data"):
        draw(several, xr.full_like(image, -9999).rio.write_nodata(-9999))
    with pytest.raises(ValueError, match="1 band"):
        draw(several, scene(64, 64, bands=2))
    with pytest.raises(ValueError, match="dict is empty"):
        draw({}, image)
    with pytest.raises(ValueError, match="list is empty"):
        draw(several, image, [])
    with pytest.raises(TypeError, match="thing: a Conv2d"):
        draw({"thing": nn.Conv2d(1, 1, 1)}, image)
    with pytest.raises(TypeError, match="DataArray"):
        draw(several, image.values)
    assert not plt.get_fignums()


# --- the widget ----------------------------------------------------------------------------------


def pictures_of(widget):
    """Alternative texts of all feature maps of an explorer, by its saved state."""
    saved = dependency_state([widget], drop_defaults=False)
    texts = [one["state"].get("value", "") for one in saved.values()]
    texts = [text for text in texts if isinstance(text, str) and "<img" in text]
    return [html.unescape(re.search("alt='(.*?)'", text)[1]) for text in texts], saved


def test_explorer_holds_every_picture_and_links_that_need_no_kernel(several):
    image = scene(64, 80)
    widget = heatmaps.explorer(several, image, ["pool1", "pool5", "upscore2"], channels=3)
    alts, saved = pictures_of(widget)
    assert len(alts) == 1 + 2 * (3 + 3) + 2
    assert sum("pool5 of ifcn" in alt for alt in alts) == 3
    kinds = [one["model_name"] for one in saved.values()]
    # Stacks: one of networks, two of layers, one for each layer that a network has.
    assert kinds.count("StackModel") == kinds.count("DirectionalLinkModel") == 1 + 2 + 5
    spread = heatmaps.features(several["ifcn"], image, "pool5")["pool5"].values.std(axis=(1, 2))
    order = [re.search(r"channel (\d+)", alt)[1] for alt in alts if "pool5 of ifcn" in alt]
    assert sorted(map(int, order)) == sorted(np.argsort(-spread)[:3])
    text = json.dumps(saved)
    assert "fcn32s has no layer upscore2" in text and "upscore2 has only 2 channels" in text
    assert "simulated data" in text and "activation (unitless)" in text and "alive" in text


def test_explorer_keeps_to_its_bytes(several):
    image = scene(256, 256)
    wide = heatmaps.explorer(several, image, channels=4)
    _, saved = pictures_of(wide)
    assert len(json.dumps(saved)) < wide.bytes < 1_500_000
    small = heatmaps.explorer(several, image, channels=4, max_bytes=400_000)
    _, saved = pictures_of(small)
    assert len(json.dumps(saved)) < small.bytes <= 400_000 < wide.bytes
    assert "drawn as means of" in json.dumps(saved)
    with pytest.raises(ValueError, match="Show fewer channels"):
        heatmaps.explorer(several, image, channels=4, max_bytes=50_000)


def test_explorer_of_one_network_escapes_names_and_refuses(several):
    image = scene(64, 64)
    widget = heatmaps.explorer({"<b>'&": several["ifcn"]}, image, "pool5", channels=1)
    alts, saved = pictures_of(widget)
    assert "<b>'&" in alts[0] + alts[1] and "<b>'&" not in json.dumps(saved)
    assert not [o for o in saved.values() if o["model_name"] == "ToggleButtonsModel"]
    for wrong in (0, 2.5, "all", True):
        with pytest.raises(ValueError, match="at least 1"):
            heatmaps.explorer(several, image, channels=wrong)
    with pytest.raises(ValueError, match="colour map"):
        heatmaps.explorer(several, image, cmap="rainbows")
    with pytest.raises(ValueError, match="Crop it first"):
        heatmaps.explorer(several, image, limit=100)


def test_blocks_of_cells_are_means_without_nodata():
    from toolkit.heatmaps import explore

    values = np.arange(12, dtype="float32").reshape(1, 3, 4)
    values[0, 0, 0] = np.nan
    values[0, 2, 2:] = np.nan
    expected = [[[(1 + 4 + 5) / 3, (2 + 3 + 6 + 7) / 4], [8.5, np.nan]]]
    np.testing.assert_allclose(explore._blocks(values, 2), expected)


@pytest.fixture(scope="module")
def page(several, tmp_path_factory):
    """A page of the book that shows an explorer."""
    if browser.find() is None:
        warnings.warn(browser.REMEDY, stacklevel=1)
        pytest.skip(browser.REMEDY)
    folder = tmp_path_factory.mktemp("page")
    image = scene(100, 120)
    image[:, :30, :30] = np.nan
    widget = heatmaps.explorer(several, image, ["pool1", "pool4", "upscore_pool3"], channels=4)
    view = {"model_id": widget.model_id, "version_major": 2, "version_minor": 0}
    output = new_output("display_data", {book.VIEW: view, "text/plain": "explorer"})
    cells = [new_markdown_cell("# A small chapter"), new_code_cell("explorer", outputs=[output])]
    notebook = new_notebook(cells=cells)
    state = dependency_state([widget], drop_defaults=False)
    saved = {"state": state, "version_major": 2, "version_minor": 0}
    notebook.metadata["widgets"] = {book.STATES: saved}
    nbformat.write(notebook, folder / "small.ipynb")
    shutil.copytree(book.SOURCES, folder / "sources")
    (folder / "sources" / "api.md").write_text("# The functions behind the chapters\n")
    return book.build({"small": folder / "small.ipynb"}, folder / "book", folder / "sources")


def test_explorer_leafs_through_pictures_in_a_page_without_kernel_and_network(page):
    with browser.serve(page) as home, browser.chromium(browser.find(), home) as new:
        guest = new()
        sheet = guest.open("notebooks/small.html")
        explorer = sheet.locator(".heatmap-explorer")
        explorer.wait_for(timeout=20_000)

        def seen():
            sheet.wait_for_timeout(300)
            shown = explorer.locator("img")
            assert shown.count() == 2  # the image, and one feature map
            assert shown.last.evaluate("i => i.naturalWidth") > 1
            window = explorer.locator(".ground").last.bounding_box()
            assert window["width"] > 200 and window["height"] > 150
            return shown.last.get_attribute("alt"), shown.last.get_attribute("src")

        first, picture = seen()
        assert "pool1 of fcn32s" in first and "Number 1 " in first
        explorer.get_by_role("button", name="pool4").click()
        second, other = seen()
        assert "pool4 of fcn32s" in second and other != picture
        explorer.locator(".noUi-handle").focus()
        sheet.keyboard.press("ArrowRight")
        third, _ = seen()
        assert "pool4 of fcn32s" in third and "Number 2 " in third
        explorer.get_by_role("button", name="ifcn").click()
        fourth, _ = seen()
        assert "pool4 of ifcn" in fourth and "Number 2 " in fourth
        explorer.get_by_role("button", name="upscore_pool3").click()
        assert "upscore_pool3 of ifcn" in seen()[0]
        explorer.get_by_role("button", name="fcn32s").click()
        sheet.wait_for_timeout(300)
        assert "fcn32s has no layer upscore_pool3" in explorer.inner_text()
        assert not guest.errors and not guest.outside
        sheet.close()
