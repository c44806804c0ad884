"""What a reader sees: pictures, legends, maps, swipes and figures, and the errors before them."""

import base64
import io
import json
import re

import geopandas as gpd
import ipyleaflet
import ipywidgets
import matplotlib

matplotlib.use("Agg")

import numpy as np
import pytest
import xarray as xr
from ipywidgets.embed import dependency_state
from ipywidgets.widgets.widget import _instances
from matplotlib import pyplot as plt
from PIL import Image
from shapely.geometry import Point, box

from toolkit import maps
from toolkit.maps import interactive, pictures

CLASSES = [
    {"value": 0, "name": "background", "color": "#ffffff"},
    {"value": 1, "name": "urban", "color": "#D55E00"},
    {"value": 2, "name": "water", "color": "#0072B2"},
]


def grid(values, dims=("y", "x"), west=500_000, north=4_000_000, size=30.0, crs="EPSG:32618"):
    values = np.asarray(values)
    rows, cols = values.shape[-2:]
    coords = {
        "y": north - size * (np.arange(rows) + 0.5),
        "x": west + size * (np.arange(cols) + 0.5),
    }
    array = xr.DataArray(values, dims=dims, coords=coords)
    return array.rio.write_crs(crs) if crs else array


@pytest.fixture
def heat():
    values = np.linspace(0, 1, 60 * 80, dtype="float32").reshape(60, 80)
    values[:10, :10] = np.nan
    array = grid(values)
    array.attrs.update(title="Heat", long_name="temperature", units="°C", simulated=True)
    return array


@pytest.fixture
def labels():
    values = np.zeros((60, 80), "uint8")
    values[20:40, 20:40] = 1
    values[50:] = 2
    values[:10, :10] = 255
    array = grid(values).rio.write_nodata(255)
    array.attrs.update(title="Cover", classes=CLASSES, source="made/up")
    return array


@pytest.fixture
def scene():
    values = np.random.default_rng(0).random((4, 60, 80), dtype="float32")
    array = grid(values, ("band", "y", "x")).assign_coords(band=["blue", "green", "red", "nir"])
    array.attrs["title"] = "Scene"
    return array


@pytest.fixture
def towns():
    points = [Point(500_600, 3_999_400), Point(501_200, 3_998_800)]
    return gpd.GeoDataFrame({"town": ["A <b>", "B"]}, geometry=points, crs="EPSG:32618")


def pixels(uri):
    data = base64.b64decode(uri.split(";base64,")[1])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))


def overlays(map_):
    return [layer for layer in map_.layers if isinstance(layer, interactive.Overlay)]


def panel(map_):
    return " ".join(w.value for w in map_.controls[-1].widget.children if hasattr(w, "value")
                    and isinstance(w.value, str))  # fmt: skip


# --- pictures ------------------------------------------------------------------------------------


def test_picture_lies_where_the_raster_lies():
    spot = grid(np.zeros((60, 80), "float32"), size=300.0)
    spot[12, 70] = 1
    seen = pictures.picture(maps.heatmap(spot, cmap="gray"))
    west, south, east, north = seen.bounds
    white = np.argwhere(pixels(seen.uri)[..., 0] > 200) + 0.5
    row, col = white.mean(axis=0) / np.array(seen.shape)

    def mercator(lat):
        return np.arctanh(np.sin(np.radians(lat)))

    y = mercator(north) - row * (mercator(north) - mercator(south))
    found = Point(west + col * (east - west), np.degrees(np.arctan(np.sinh(y))))
    truth = Point(float(spot.x[70]), float(spot.y[12]))
    found = gpd.GeoSeries([found], crs=4326).to_crs(spot.rio.crs).iloc[0]
    assert found.distance(truth) < 100  # a third of a pixel


def test_nodata_is_transparent_and_colours_are_those_of_the_map(heat):
    seen = pixels(pictures.picture(maps.heatmap(heat, cmap="magma", vmin=0, vmax=1)).uri)
    rows, cols = seen.shape[:2]
    assert seen[int(rows * 0.06), int(cols * 0.05), 3] == 0
    assert seen[rows // 2, cols // 2, 3] == 255
    expected = matplotlib.colormaps["magma"](0.5, bytes=True)[:3]
    assert np.abs(seen[rows // 2, cols // 2, :3].astype(int) - expected).max() < 12


def test_class_pixels_keep_their_colours_and_background_is_clear(labels):
    seen = pixels(pictures.picture(maps.classes(labels)).uri)
    shown = {tuple(c) for c in seen[seen[..., 3] > 0][:, :3]}
    assert shown == {(0xD5, 0x5E, 0x00), (0x00, 0x72, 0xB2)}
    rows, cols = seen.shape[:2]
    assert seen[rows // 4, cols // 2, 3] == 0  # background
    assert seen[int(rows * 0.06), int(cols * 0.05), 3] == 0  # nodata


def test_image_takes_red_green_blue_by_name(scene):
    flat = scene.copy(data=np.stack([np.full((60, 80), v, "float32") for v in (1, 2, 3, 4)]))
    flat[:, :30] = 0
    layer = maps.image(flat)
    assert list(layer.data.band.values) == ["red", "green", "blue"]
    assert list(maps.image(flat, bands=["nir"]).data.band.values) == ["nir"]
    seen = pixels(pictures.picture(layer).uri)
    assert seen[-60, 100, :3].tolist() == [255, 255, 255]


def test_pictures_are_capped(heat):
    big = grid(np.zeros((700, 2500), "float32") + np.arange(2500, dtype="float32"))
    seen = pictures.picture(maps.heatmap(big), max_pixels=300)
    assert max(seen.shape) <= 301
    assert pictures.picture(maps.heatmap(heat)).shape[1] >= 80  # and small ones are not shrunk


def test_shrinking_averages_quantities_but_never_classes():
    board = grid((np.indices((400, 400)).sum(axis=0) % 2).astype("float32"))
    layer = maps.heatmap(board)
    values = pictures.values_on(layer, pictures.web_grid(board, 50))
    assert np.nanstd(values[5:-5, 5:-5]) < 0.1
    board = board.astype("uint8")
    board.attrs["classes"] = CLASSES
    values = pictures.values_on(maps.classes(board), pictures.web_grid(board, 50))
    assert set(np.unique(values[np.isfinite(values)])) <= {0, 1}


def test_constant_raster_and_poles():
    seen = pixels(pictures.picture(maps.heatmap(grid(np.ones((5, 5), "float32")))).uri)
    assert seen[..., 3].max() == 255
    world = xr.DataArray(
        np.ones((18, 36), "float32"),
        dims=("y", "x"),
        coords={"y": np.arange(85, -90, -10.0), "x": np.arange(-175, 180, 10.0)},
    ).rio.write_crs("EPSG:4326")
    assert np.isfinite(pictures.picture(maps.heatmap(world)).bounds).all()


# --- legends -------------------------------------------------------------------------------------


def test_legend_names_units_classes_and_what_is_simulated(heat, labels, towns):
    map_ = maps.show(heat, labels, maps.vector(towns, "Towns"))
    text = panel(map_)
    for part in ("temperature (°C)", "urban", "water", "Towns", "Simulated data:", "made/up"):
        assert part in text
    assert "background" not in re.sub("<style>.*?</style>|<[^>]*>", "", text)
    assert "#d55e00" in text.lower()


def test_names_are_escaped(heat):
    assert "<script>" not in panel(maps.show(maps.heatmap(heat, "<script>alert(1)</script>")))


# --- show ----------------------------------------------------------------------------------------


def test_a_switch_shows_one_raster_at_a_time(heat, labels, towns):
    shown = maps.show(maps.heatmap(heat, "one"), maps.classes(labels, "two", hide=[]), towns,
                      switch=True)  # fmt: skip
    rasters = [layer for layer in shown.layers if isinstance(layer, interactive.Overlay)]
    assert [layer.name for layer in rasters] == ["one", "two"]
    assert all(layer.base and layer.opacity == 1 for layer in rasters)
    assert not any(layer.base for layer in shown.layers if layer not in rasters)
    (control,) = (c for c in shown.controls if isinstance(c, ipyleaflet.LayersControl))
    assert not control.collapsed
    (panel,) = (c.widget for c in shown.controls if isinstance(c, ipyleaflet.WidgetControl))
    assert not any(isinstance(child, ipywidgets.FloatSlider) for child in panel.children)


def test_show_infers_layers_and_keeps_their_order(heat, labels, scene, towns):
    map_ = maps.show(scene, heat, labels, towns)
    names = [layer.name for layer in map_.layers]
    assert names == ["Latitude and longitude", "Scene", "Heat", "Cover", "Layer"]
    assert all(layer.alt.strip() for layer in overlays(map_))
    assert all(layer.url.startswith("data:image/png;base64,") for layer in overlays(map_))
    assert type(map_).__module__.startswith("leafmap")


def test_every_raster_has_a_slider_that_needs_no_kernel(heat, labels):
    before = set(_instances)
    map_ = maps.show(heat, maps.classes(labels, opacity=0.4))
    links = [w for key, w in _instances.items() if key not in before and type(w).__name__ == "Link"]
    ends = {link.target[0].model_id: link.source[0] for link in links}
    for overlay in overlays(map_):
        assert ends[overlay.model_id].value == overlay.opacity
    assert overlays(map_)[1].opacity == 0.4


def test_map_asks_no_host_unless_told(heat):
    state = json.dumps(dependency_state([maps.show(heat)]))
    assert "http" not in re.sub(r"http://www\.w3\.org\S*", "", state)
    online = maps.show(heat, basemap="osm")
    assert online.layers[0].url.startswith("https://") and online.attribution_control


def test_map_is_small(heat, labels, towns):
    state = dependency_state([maps.show(heat, labels, towns)])
    assert len(json.dumps(state)) < 50_000
    kinds = {model["model_name"] for model in state.values()}
    assert not kinds & {"ToolbarModel", "LeafletDrawControlModel", "ButtonModel", "CheckboxModel"}


@pytest.mark.parametrize("height", ["480px", "300px", "60vh"])
def test_map_starts_at_its_subject(heat, towns, height):
    map_ = maps.show(heat, height=height)
    _, south, _, north = heat.rio.transform_bounds("EPSG:4326")
    assert south < map_.center[0] < north
    assert map_.zoom > 11
    assert maps.show(heat, towns, zoom_to=(-76, 35, -74, 37)).zoom < map_.zoom
    assert maps.show(heat, towns, zoom_to=towns).zoom >= map_.zoom


def test_popups_belong_to_their_features(towns):
    group = maps.show(maps.vector(towns, "Towns", popup=["town"])).layers[-1]
    assert group.name == "Towns"
    assert [layer.popup.value for layer in group.layers] == [
        "<b>town</b>: A &lt;b&gt;",
        "<b>town</b>: B",
    ]


def test_vectors_are_simplified_and_large_ones_warned_of():
    circle = gpd.GeoDataFrame(geometry=[Point(0, 0).buffer(1, 5000)], crs="EPSG:4326")
    layer = maps.show(maps.vector(circle)).layers[-1]
    assert len(json.dumps(layer.data)) < 10_000
    boxes = [box(x, y, x + 0.1, y + 0.1) for x in range(180) for y in range(-60, 60)]
    with pytest.warns(UserWarning, match="MB to the page"):
        maps.show(maps.vector(gpd.GeoDataFrame(geometry=boxes, crs="EPSG:4326"), "Boxes"))


# --- errors --------------------------------------------------------------------------------------


def test_errors_say_what_to_do(heat, labels, scene, towns):
    with pytest.raises(ValueError, match="CRS"):
        maps.show(heat.drop_vars("spatial_ref"))
    with pytest.raises(ValueError, match="no valid pixel"):
        maps.show(heat * np.nan)
    with pytest.raises(ValueError, match="at most 6"):
        maps.show(*[heat] * 7)
    with pytest.raises(ValueError, match="nothing to show"):
        maps.show()
    with pytest.raises(TypeError, match="ndarray"):
        maps.show(heat.values)
    with pytest.raises(ValueError, match="'osm'"):
        maps.show(heat, basemap="google")
    with pytest.raises(KeyError, match="not one of the layers"):
        maps.show(heat, zoom_to="Raleigh")
    with pytest.raises(ValueError, match="west, south, east, north"):
        maps.show(heat, zoom_to=(10, 20, 5, 30))
    with pytest.raises(ValueError, match="what its values mean"):
        maps.classes(labels.assign_attrs(classes=None))
    with pytest.raises(ValueError, match=r"does not name \[7"):
        maps.show(maps.classes((labels * 0 + 7).assign_attrs(classes=CLASSES)))
    with pytest.raises(ValueError, match="no band"):
        maps.image(scene, bands=["swir"])
    with pytest.raises(ValueError, match="one band or three"):
        maps.image(scene, bands=["red", "nir"])
    with pytest.raises(ValueError, match="colour map"):
        maps.heatmap(heat, cmap="rainbow2")
    with pytest.raises(KeyError, match="no column"):
        maps.vector(towns, popup=["people"])
    with pytest.raises(ValueError, match="popups"):
        maps.vector(gpd.GeoDataFrame({"n": range(201)}, geometry=[Point(0, 0)] * 201, crs=4326),
                    popup=["n"])  # fmt: skip
    with pytest.raises(ValueError, match="CRS"):
        maps.vector(towns.set_crs(None, allow_override=True))
    with pytest.raises(ValueError, match="no geometry"):
        maps.vector(towns.iloc[:0])
    probability = scene.rename(band="class")
    with pytest.raises(ValueError, match="choose one class"):
        maps.heatmap(probability)


# --- compare -------------------------------------------------------------------------------------


def test_compare_is_complete_in_itself(heat, labels):
    html = maps.compare(heat, labels, names=("Warm & cold", "Cover")).data
    assert "http" not in html and " id=" not in html
    alts = re.findall(r'<img alt="([^"]+)"', html)
    assert len(alts) == 2 and all(alts)
    assert "Warm &amp; cold" in html and "Simulated data:" in html
    assert 'type="range"' in html and "aria-label" in html


def test_compare_puts_both_on_one_grid(heat):
    fine = grid(np.random.default_rng(1).random((600, 800), dtype="float32"), size=3.0)
    html = maps.compare(heat, fine).data
    shapes = {pixels(uri).shape for uri in re.findall(r'src="([^"]+)"', html)}
    assert len(shapes) == 1
    assert max(shapes.pop()) > 500  # as fine as the finer one


def test_compare_refuses_what_cannot_be_compared(heat, towns):
    with pytest.raises(ValueError, match="vector"):
        maps.compare(heat, towns)
    with pytest.raises(ValueError, match="do not overlap"):
        maps.compare(heat, grid(np.ones((5, 5), "float32"), west=700_000))
    with pytest.raises(ValueError, match="two labels"):
        maps.compare(heat, heat, names=("one",))


# --- figures -------------------------------------------------------------------------------------


def test_panels_name_scale_and_mark(heat, labels, scene, towns):
    fig = maps.panels([heat, labels, [scene, maps.vector(towns, "Towns")]], ncols=2)
    titles = [ax.get_title(loc="left") for ax in fig.axes]
    assert "Heat (simulated)" in titles and "Cover" in titles
    first = fig.axes[0]
    assert "(km)" in first.get_xlabel()
    assert any(type(artist).__name__ == "AnchoredSizeBar" for artist in first.artists)
    plt.close(fig)


def test_compact_panels_share_legend_and_scale_bar(labels, towns, heat):
    stacks = [[labels, maps.vector(towns, "Towns")], labels, labels]
    share = maps.heatmap(heat, "Share", vmin=0, vmax=1)
    assert len(maps.panels([share, share], compact=True).axes) == 3  # one colour bar
    plt.close("all")
    fig = maps.panels(stacks, ncols=2, compact=True)
    drawn = [ax for ax in fig.axes if ax.get_visible()]
    assert not any(ax.axison for ax in drawn) and not any(ax.get_legend() for ax in drawn)
    names = [text.get_text() for text in fig.legends[0].get_texts()]
    assert len(names) == len(set(names)) and "Towns" in names
    bars = [any(type(each).__name__ == "AnchoredSizeBar" for each in ax.artists) for ax in drawn]
    assert bars == [True, False, True]  # the first of each row
    plt.close(fig)


def test_panels_in_degrees_and_errors(heat):
    world = heat.rio.reproject("EPSG:4326")
    world.attrs.update(heat.attrs)
    fig = maps.panels([world])
    assert "(°)" in fig.axes[0].get_xlabel()
    plt.close(fig)
    with pytest.raises(ValueError, match="nothing to show"):
        maps.panels([])


def test_figures_carry_their_alt_text():
    fig, ax = plt.subplots()
    ax.plot([1, 2])
    html = maps.figure(fig, alt='It "rises".', caption="By <one>.").data
    assert 'alt="It &quot;rises&quot;."' in html and "By &lt;one&gt;." in html
    assert not plt.fignum_exists(fig.number)
    with pytest.raises(ValueError, match="alt"):
        maps.figure(fig)
    with pytest.raises(ValueError, match="empty"):
        maps.figure(plt.figure(), alt="nothing")
    plt.close("all")
