"""Roofs: objects inside the mask, features by hand, a forest that never saw the test roofs."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from shapely import box

from toolkit import buildings

CRS = "EPSG:32648"
BANDS = ["blue", "green", "red", "nir"]


def picture(values, resolution=1.0, bands=BANDS, crs=CRS):
    values = np.asarray(values, "float32")
    height, width = values.shape[1:]
    coords = {
        "band": bands[: len(values)],
        "y": 1000 - resolution * (np.arange(height) + 0.5),
        "x": resolution * (np.arange(width) + 0.5),
    }
    array = xr.DataArray(values, dims=("band", "y", "x"), coords=coords)
    return array if crs is None else array.rio.write_crs(crs)


def house(row, col, height, width):
    return box(col, 1000 - row - height, col + width, 1000 - row)


def town(count=60, seed=0):
    """Roofs of three kinds that colour and facets tell apart, 14 m squares on a grid."""
    rng = np.random.default_rng(seed)
    side = int(np.ceil(np.sqrt(count))) * 20
    values = rng.normal(0.2, 0.01, (4, side, side))
    rows, kinds = [], []
    for k in range(count):
        row, col = 20 * (k // (side // 20)) + 3, 20 * (k % (side // 20)) + 3
        kind = buildings.KINDS[(0, 2, 3)[rng.choice(3, p=[0.6, 0.25, 0.15])]]
        level = {"suitable": 0.4, "material mismatch": 0.8, "sloping roof": 0.5}[kind]
        values[:, row : row + 14, col : col + 14] = rng.normal(level, 0.02, (4, 14, 14))
        if kind == "sloping roof":
            values[:, row : row + 7, col : col + 14] -= 0.2
        rows.append(house(row, col, 14, 14))
        kinds.append(kind)
    table = gpd.GeoDataFrame({"kind": kinds}, geometry=rows, crs=CRS)
    table.index = [f"b{k}" for k in range(count)]
    return picture(values), table


@pytest.fixture(scope="module")
def known():
    image, table = town()
    return buildings.roof_features(image, table), table["kind"]


def test_two_facets_become_two_objects():
    values = np.full((4, 30, 40), 0.1)
    values[:, 5:15, 5:25], values[:, 15:25, 5:25] = 0.3, 0.5
    values[3, 5:15, 5:25] = 0.9
    table = gpd.GeoDataFrame(geometry=[house(5, 5, 20, 20)], index=["a"], crs=CRS)
    found = buildings.roof_features(picture(values), table)
    assert len(found) == 2 and (found["building"] == "a").all() and found.crs == CRS
    upper = found.loc[found["mean_nir"].idxmax()]
    assert upper["pixels"] == 200 and upper["area"] == pytest.approx(200)
    assert upper["geometry"].equals(house(5, 5, 10, 20))
    assert upper["ndvi"] == pytest.approx(0.5, abs=1e-6)  # (.9 - .3) / (.9 + .3)
    assert upper["brightness"] == pytest.approx(0.45, abs=1e-6)
    assert upper["std_red"] == pytest.approx(0, abs=1e-6)
    assert upper["share"] == 0.5 and upper["objects"] == 2
    assert upper["facets"] == pytest.approx(0.05, abs=1e-6)
    assert upper["difference"] == pytest.approx(-0.025, abs=1e-6)
    assert upper["compactness"] == pytest.approx(np.pi / 4)
    whole = buildings.roof_features(picture(values), table, segmentation=None)
    assert len(whole) == 1 and whole["std_red"][0] == pytest.approx(0.1, abs=1e-6)
    parts = buildings.roof_features(picture(values), table, segmentation="slic", scale=100)
    assert parts["pixels"].sum() == 400 and 2 <= len(parts) <= 6
    assert found.attrs["left_out"] == 0 and "glcm_contrast" in found.attrs["features"]


def test_texture_of_a_chessboard_by_hand():
    values = np.zeros((1, 14, 14))
    rows, cols = np.mgrid[:14, :14]
    values[0] = (rows + cols) % 2
    table = gpd.GeoDataFrame(geometry=[house(2, 2, 10, 10)], crs=CRS)
    found = buildings.roof_features(picture(values), table, segmentation=None).iloc[0]
    # 90 pairs along rows and 90 along columns differ by 31 levels, 2 x 81 diagonal ones by none.
    assert found["glcm_contrast"] == pytest.approx(180 / 342 * 31**2)
    assert found["glcm_dissimilarity"] == pytest.approx(180 / 342 * 31)
    assert found["glcm_homogeneity"] == pytest.approx((162 + 180 / (1 + 31**2)) / 342)
    assert "ndvi" not in found
    flat = buildings.roof_features(picture(values * 0), table, segmentation=None).iloc[0]
    assert (flat["glcm_contrast"], flat["glcm_energy"]) == (0, 1)


def test_texture_sees_no_neighbour():
    rng = np.random.default_rng(0)
    values = np.full((1, 20, 20), 0.5)
    values[0, ::2] = rng.random((10, 20))
    values[0, 5:15, 5:15] = 0.5
    table = gpd.GeoDataFrame(geometry=[house(5, 5, 10, 10)], crs=CRS)
    found = buildings.roof_features(picture(values), table, segmentation=None)
    assert found["glcm_contrast"][0] == 0


def test_shapes_by_hand():
    ell = house(0, 0, 20, 20).difference(house(0, 10, 10, 10))
    table = gpd.GeoDataFrame(geometry=[ell, house(0, 50, 10, 40)], crs=CRS)
    shape = buildings.roof_shape(table)
    assert shape["compactness"].tolist() == pytest.approx(
        [4 * np.pi * 300 / 80**2, 4 * np.pi * 400 / 100**2]
    )
    assert shape["elongation"].tolist() == pytest.approx([1, 0.25])
    assert shape["rectangularity"].tolist() == pytest.approx([0.75, 1])
    assert shape["convexity"].tolist() == pytest.approx([300 / 350, 1])


def test_small_and_dark_roofs_are_counted_not_lost():
    values = np.full((4, 30, 40), 0.3)
    values[:, :, 20:] = np.nan
    table = gpd.GeoDataFrame(
        geometry=[house(5, 5, 10, 10), house(5, 25, 10, 10), house(20, 5, 2, 2)], crs=CRS
    )
    with pytest.warns(UserWarning, match="2 of 3 buildings"):
        found = buildings.roof_features(picture(values), table)
    assert found["building"].tolist() == [0] and found.attrs["left_out"] == 2


def test_bad_input_is_explained():
    image = picture(np.full((4, 20, 20), 0.3))
    table = gpd.GeoDataFrame(geometry=[house(5, 5, 10, 10)], crs=CRS)
    for bad, layer, reason in (
        (image, table.to_crs("EPSG:32649"), "to_crs"),
        (image, table.iloc[:0], "empty"),
        (picture(np.full((4, 20, 20), np.nan)), table, "no data under"),
        (image, table.translate(5000).to_frame("geometry"), "no data under"),
        (picture(np.zeros((4, 20, 20)), crs=None), table, "no CRS"),
        (image, pd.concat([table, table], ignore_index=True), "same polygon"),
    ):
        with pytest.raises(ValueError, match=reason):
            buildings.roof_features(bad, layer)
    with pytest.raises(ValueError, match="'felzenszwalb'"):
        buildings.roof_features(image, table, segmentation="felzenswalb")
    with pytest.raises(ValueError, match="swir"):
        buildings.roof_features(image, table, red="swir")


def test_forest_learns_kinds_and_holds_buildings_out(known):
    features, kinds = known
    result = buildings.classify_roofs(features, kinds, trees=60, samples=30, repeats=3)
    parts = result.objects.groupby("building")["part"].nunique()
    assert (parts == 1).all()  # no building on both sides
    train = result.objects[result.objects["part"] == "train"]
    assert 30 <= len(train) <= 33
    held = result.roofs[result.roofs["part"] == "test"]
    assert result.matrix.n == len(held) and len(result.roofs) == len(kinds)
    right = (held["kind"] == kinds[held.index]).mean()
    assert result.matrix.overall == pytest.approx(right) and right > 0.9
    assert result.object_matrix.n == (result.objects["part"] == "test").sum()
    assert result.matrix.classes == ["suitable", "material mismatch", "sloping roof"]
    # Half of each kind is never trained on, however rare.
    assert (held["truth"].value_counts() >= kinds.value_counts() // 2).all()
    low, estimate, high = result.scores.loc["kappa", ["low", "estimate", "high"]]
    assert low <= estimate <= high and estimate == pytest.approx(result.matrix.kappa)
    assert set(result.importance.index) == set(features.attrs["features"])
    assert result.importance["importance"].is_monotonic_decreasing
    # All roofs are alike in shape: shuffling it changes nothing.
    assert result.importance.loc["compactness", "importance"] == 0
    again = buildings.classify_roofs(features, kinds, trees=60, samples=30, repeats=3)
    pd.testing.assert_frame_equal(result.roofs, again.roofs)


def test_shuffled_labels_teach_nothing(known):
    features, kinds = known
    rng = np.random.default_rng(3)
    random = pd.Series(rng.permutation(kinds.to_numpy()), index=kinds.index)
    result = buildings.classify_roofs(features, random, trees=60, samples=40, repeats=1)
    assert abs(result.matrix.kappa) < 0.45


def test_unlabelled_roofs_are_mapped_and_not_scored(known):
    features, kinds = known
    some = kinds.iloc[:40]
    result = buildings.classify_roofs(features, some, trees=40, samples=20, repeats=1)
    parts = result.roofs["part"].value_counts()
    assert parts["unlabelled"] == 20 and result.matrix.n == parts["test"]
    assert result.roofs["kind"].notna().all()
    assert result.roofs.loc[kinds.index[40:], "truth"].isna().all()


def test_labels_that_cannot_be_used(known):
    features, kinds = known
    with pytest.raises(ValueError, match="'b0'"):
        buildings.classify_roofs(features, pd.Series(kinds.to_numpy()))
    with pytest.raises(ValueError, match="two kinds"):
        buildings.classify_roofs(features, kinds.map(lambda kind: "suitable"), samples=20)
    with pytest.raises(ValueError, match="twice"):
        buildings.classify_roofs(features, pd.concat([kinds, kinds]))
    with pytest.raises(KeyError, match="slope"):
        buildings.classify_roofs(features, kinds, features_used=["slope"])
    with pytest.raises(KeyError, match="roof_features"):
        buildings.classify_roofs(features.drop(columns="building"), kinds)
