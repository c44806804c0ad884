"""Tests of `toolkit.labels`: the plain rule on hand-made grids, and the real country."""

import numpy as np
import pytest
import rioxarray  # noqa: F401
import xarray as xr
from rasterio.transform import from_origin

from toolkit import catalog, labels


def grid(values, size=1000, crs="EPSG:3035"):
    values = np.asarray(values, "float64")
    array = xr.DataArray(values, dims=("y", "x"), attrs={"units": "people per cell"})
    rows, columns = values.shape
    array = array.assign_coords(
        y=3_000_000 - size * (np.arange(rows) + 0.5),
        x=4_000_000 + size * (np.arange(columns) + 0.5),
    )
    array = array.rio.write_crs(crs)
    return array.rio.write_transform(from_origin(4_000_000, 3_000_000, size, size))


@pytest.fixture(scope="module")
def burundi():
    return catalog.open("burundi/population")


def test_burundi_gives_the_published_counts(burundi):
    classes = labels.degree_of_urbanisation(burundi)
    people = labels.kilometre_grid(burundi)
    urban = (classes >= 1) & (classes < 255)
    assert int((classes == 2).sum()) == 366
    assert int(urban.sum()) == 3178
    assert float(people.where(classes == 2).sum()) == pytest.approx(3.06e6, abs=5e3)
    assert float(people.where(urban).sum()) == pytest.approx(9.66e6, abs=5e3)
    assert float(people.sum()) == pytest.approx(float(burundi.sum()), rel=1e-6)


def test_burundi_on_the_grid_of_the_lights(burundi):
    """Nearest neighbour, counted where the lights hold data: pixel centres inside the outline."""
    lights = catalog.open("burundi/lights")
    classes = labels.degree_of_urbanisation(burundi).rio.reproject_match(lights)
    valid = lights.notnull().values[0]
    on_lights = classes.values[valid]
    assert valid.sum() == 126_269
    assert (on_lights == 2).sum() == 1686
    assert ((on_lights >= 1) & (on_lights < 255)).sum() == 14_494


def test_result_follows_the_convention(burundi):
    classes = labels.degree_of_urbanisation(burundi)
    assert classes.dims == ("y", "x") and classes.dtype == "uint8"
    assert classes.rio.nodata == 255
    assert classes.rio.crs == burundi.rio.crs
    assert set(np.unique(classes)) == {0, 1, 2, 255}
    assert [each["name"] for each in classes.attrs["classes"]] == [
        "rural",
        "urban cluster",
        "urban centre",
    ]
    assert classes.attrs["source"] == "burundi/population"
    assert classes.attrs["simulated"] is False
    assert "Freire" in classes.attrs["citation"]
    left, _, _, top = classes.rio.bounds()
    assert (left, top) == pytest.approx((burundi.rio.bounds()[0], burundi.rio.bounds()[3]))


def test_centres_join_over_edges_and_clusters_over_corners():
    # Two dense cells that touch at a corner: no centre (30,000 each), but one cluster.
    diagonal = labels.degree_of_urbanisation(grid([[30_000, 0, 0], [0, 30_000, 0], [0, 0, 0]]))
    assert (diagonal.values == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]).all()
    edge = labels.degree_of_urbanisation(grid([[30_000, 30_000, 0], [0, 0, 0]]))
    assert (edge.values == [[2, 2, 0], [0, 0, 0]]).all()


@pytest.mark.parametrize(
    ("people", "expected"),
    [(4_999, 0), (5_000, 1), (49_999, 1), (50_000, 2)],
)
def test_thresholds_are_inclusive(people, expected):
    assert int(labels.degree_of_urbanisation(grid([[people, 0], [0, 0]]))[0, 0]) == expected


def test_density_thresholds_are_inclusive():
    cells = np.full((20, 20), 299.0)
    assert (labels.degree_of_urbanisation(grid(cells)) == 0).all()
    assert (labels.degree_of_urbanisation(grid(cells + 1)) == 1).all()
    cells = np.full((20, 20), 1500.0)
    assert (labels.degree_of_urbanisation(grid(cells)) == 2).all()


def test_thresholds_can_be_chosen():
    people = grid([[900, 0], [0, 0]])
    assert int(labels.degree_of_urbanisation(people)[0, 0]) == 0
    chosen = labels.degree_of_urbanisation(people, cluster_people=800)
    assert int(chosen[0, 0]) == 1
    with pytest.raises(ValueError, match="at most that of centres"):
        labels.degree_of_urbanisation(people, cluster_density=2000)


def test_blocks_start_at_the_upper_left_and_keep_the_rim():
    fine = grid(np.ones((9, 10)), size=250)
    people = labels.kilometre_grid(fine)
    assert people.shape == (3, 3)
    assert float(people.sum()) == 90
    assert people.values[0, 0] == 16 and people.values[2, 2] == 2
    assert float(people.x[0]) == 4_000_500 and float(people.y[-1]) == 3_000_000 - 2_500
    assert people.rio.resolution() == (1000, -1000)


def test_unknown_is_nodata_only_where_a_whole_block_is():
    cells = np.ones((8, 8)) * 400
    cells[:4, :4] = np.nan
    cells[0, 4] = np.nan
    classes = labels.degree_of_urbanisation(grid(cells, size=250), cluster_people=1000)
    assert (classes.values == [[255, 1], [1, 1]]).all()


def test_one_band_is_accepted_and_two_are_not():
    people = grid(np.full((4, 4), 400.0)).expand_dims(band=["population"])
    assert labels.degree_of_urbanisation(people).dims == ("y", "x")
    with pytest.raises(ValueError, match="one band"):
        labels.degree_of_urbanisation(xr.concat([people, people], "band"))


def test_smoothing_fills_small_gaps_and_corners_but_no_large_gap():
    cells = np.full((14, 14), 2_000.0)
    cells[5, 5] = 0  # a gap of 1 km2
    plain = labels.degree_of_urbanisation(grid(cells))
    smooth = labels.degree_of_urbanisation(grid(cells), smooth=True)
    assert int(plain[5, 5]) == 0 and int(smooth[5, 5]) == 2
    cells[3:9, 3:9] = 0  # 36 km2: the middle stays open
    smooth = labels.degree_of_urbanisation(grid(cells), smooth=True)
    assert int(smooth[5, 5]) == 0
    cells[3:9, 3:9] = np.nan
    smooth = labels.degree_of_urbanisation(grid(cells), smooth=True)
    assert (smooth[3:9, 3:9] == 255).all()


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32635", "EPSG:3857"])
def test_a_crs_that_does_not_keep_areas_is_refused(crs):
    with pytest.raises(ValueError, match="equal-area"):
        labels.degree_of_urbanisation(grid(np.ones((4, 4)), crs=crs))


def test_bad_input_is_explained():
    with pytest.raises(ValueError, match="do not divide 1000 m"):
        labels.degree_of_urbanisation(grid(np.ones((4, 4)), size=300))
    with pytest.raises(ValueError, match="negative"):
        labels.degree_of_urbanisation(grid([[1, -200], [1, 1]]))
    with pytest.raises(ValueError, match="no CRS"):
        labels.degree_of_urbanisation(xr.DataArray(np.ones((2, 2)), dims=("y", "x")))
    with pytest.raises(TypeError, match="DataArray"):
        labels.degree_of_urbanisation(np.ones((2, 2)))


def test_outlines_separates_patches_that_touch_by_a_corner():
    values = np.array([[2, 2, 0, 0], [0, 0, 2, 0], [1, 0, 2, 2]], "uint8")
    label = xr.DataArray(
        values,
        dims=("y", "x"),
        coords={"y": [2500.0, 1500.0, 500.0], "x": [500.0, 1500.0, 2500.0, 3500.0]},
    ).rio.write_crs("ESRI:54009")
    found = labels.outlines(label, [2])
    assert found["pixels"].tolist() == [3, 2]
    assert found["area_km2"].tolist() == pytest.approx([3, 2])
    assert labels.outlines(label, [2], corners=True)["pixels"].tolist() == [5]
    with pytest.raises(ValueError, match="no pixel"):
        labels.outlines(label, [7])
