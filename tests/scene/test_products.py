import numpy as np
import pytest
import shapely
from scipy import ndimage

from toolkit import accuracy, papers
from toolkit.scene import cities, confusion, materials, optical, products, truth

NAMES = [c["name"] for c in materials.CLASSES]


@pytest.fixture(scope="module")
def town():
    return cities.make(seed=5, size=3600)


@pytest.fixture(scope="module")
def ground(town):
    return optical.ground(town, 2.5)


@pytest.fixture(scope="module")
def cover(town):
    return truth.land_cover(town, 10).to_numpy()


@pytest.fixture(scope="module")
def settled(town):
    return truth.settlement(town, 20)


@pytest.fixture(scope="module")
def mapped(town, ground):
    return products.from_glc10(town, ground)


def matrix(mapped, true):
    counts = np.zeros((7, 7))
    np.add.at(counts, (mapped.ravel() - 1, true.ravel() - 1), 1)
    return accuracy.ConfusionMatrix(counts, NAMES)


def scores(mapped, true):
    both = (mapped & true).sum()
    return both / true.sum(), both / mapped.sum()


def gaps(shares):
    """Overall accuracy, and departures of producer's and user's accuracies from the paper's."""
    paper = accuracy.ConfusionMatrix(papers.published("land_cover_3m")["table_2"])
    table = confusion.expected_table(shares)
    assert table.sum(0) == pytest.approx(shares)
    own = accuracy.ConfusionMatrix(table, NAMES)
    common = np.asarray(shares) > 0.03
    producers = own.producers.to_numpy() - paper.producers.to_numpy()
    users = own.users.to_numpy() - paper.users.to_numpy()
    return own.overall - paper.overall, producers[common], users[common]


def test_table_follows_the_paper_where_shares_allow():
    # the paper's own shares: nothing to bend
    table = papers.published("land_cover_3m")["table_2"].to_numpy()
    overall, producers, users = gaps(table.sum(0) / table.sum())
    assert abs(overall) < 0.01 and np.abs([*producers, *users]).max() < 0.02
    for shares in (
        [0.30, 0.25, 0.12, 0.05, 0.13, 0.15, 0],  # a mixed landscape
        [0.363, 0.183, 0.082, 0.056, 0.276, 0.040, 0],  # the default city, seeds 0, 1 and 2
        [0.332, 0.180, 0.092, 0.044, 0.305, 0.047, 0],
        [0.346, 0.187, 0.085, 0.056, 0.285, 0.041, 0],
    ):
        overall, producers, users = gaps(shares)
        assert abs(overall) < 0.0085 and np.abs([*producers, *users]).max() < 0.049
        assert confusion.departures(confusion.expected_table(shares)) == []


def test_table_says_where_shares_do_not_allow():
    # fields and roofs alone: the overall accuracy holds, others cost more, and that is said
    shares = [0.40, 0.07, 0.10, 0.03, 0.37, 0.03, 0]
    overall, producers, users = gaps(shares)
    assert abs(overall) < 0.01 and 0.05 < np.abs([*producers, *users]).max() < 0.08
    said = confusion.departures(confusion.expected_table(shares))
    assert "producer's accuracy of Impervious 0.75, 0.69 in the paper" in said
    assert len(confusion.departures(np.eye(7))) > 6


def test_glc10_has_the_expected_matrix(mapped, cover):
    assert mapped.shape == cover.shape and mapped.dtype == np.uint8 and mapped.rio.nodata == 255
    own = matrix(mapped.to_numpy(), cover)
    assert own.array / own.n == pytest.approx(np.array(mapped.attrs["expected"]), abs=1e-3)
    assert own.overall == pytest.approx(0.8124, abs=0.01)
    said = confusion.departures(own.array)
    assert ("no," in mapped.attrs["departs_from_table_2"]) == (said == [])


def test_glc10_follows_table_2_in_a_city_with_its_country():
    # less of it is city than in the small square of the other tests
    place = {"name": "Test", "x": 404_000.0, "y": 3_399_000.0, "radius_m": 1500.0}
    here = cities.make(seed=3, place=place | {"crs": "EPSG:32648"}, size=5400.0)
    cover = truth.land_cover(here, 10).to_numpy()
    layer = products.from_glc10(here)
    assert layer.attrs["departs_from_table_2"].startswith("no,")
    whole = matrix(layer.to_numpy(), cover)
    assert confusion.departures(whole.array) == []
    at = np.random.default_rng(0).integers(0, cover.size, 20_000)
    points = matrix(layer.to_numpy().ravel()[at], cover.ravel()[at])
    assert points.overall == pytest.approx(0.8124, abs=0.012)
    paper = accuracy.ConfusionMatrix(papers.published("land_cover_3m")["table_2"])
    common = whole.array.sum(0) > 0.03 * whole.n
    for what in ("producers", "users"):
        gap = getattr(points, what).to_numpy() - getattr(paper, what).to_numpy()
        assert np.abs(gap[common]).max() < 0.07  # five points, and two standard errors


def test_glc10_by_columns_is_table_2_on_points_per_class(town, ground, cover):
    paper = papers.published("land_cover_3m")["table_2"]
    own = matrix(products.from_glc10(town, ground, match="columns").to_numpy(), cover)
    here = np.bincount(cover.ravel(), minlength=8)[1:] > 0
    expected = (paper.to_numpy() / paper.to_numpy().sum(0))[np.ix_(here, here)]
    expected /= expected.sum(0)
    found = own.array[np.ix_(here, here)] / own.array[:, here].sum(0)
    assert found == pytest.approx(expected, abs=2e-3)


def test_glc10_errors_are_no_salt_and_pepper(mapped, cover):
    wrong = mapped.to_numpy() != cover
    beside = (wrong[1:] & wrong[:-1]).sum() / wrong[1:].sum()
    # errors strewn at random lie beside each other as often as they are
    assert beside > 2 * wrong.mean()
    edge = ndimage.maximum_filter(cover, 3) != ndimage.minimum_filter(cover, 3)
    assert wrong[edge].mean() > 1.5 * wrong[~edge].mean()
    # thin things vanish: sealed pixels that an opening removes
    sealed = cover == 5
    thin = sealed & ~ndimage.binary_opening(sealed, np.ones((3, 3)))
    assert wrong[thin].mean() > 1.3 * wrong[sealed].mean()


def test_glc10_repeats_and_differs(town, ground, mapped):
    assert np.array_equal(mapped, products.from_glc10(town, ground))
    assert not np.array_equal(mapped, products.from_glc10(town, ground, seed=6))


def test_imperviousness(town, ground, settled):
    layer = products.imperviousness(town, ground=ground, settlement=settled)
    values, true = layer.to_numpy(), settled.to_numpy() == 1
    assert values.max() <= 100 and layer.attrs["units"] == "%" and layer.attrs["date"] == "2015"
    assert scores(values > 0, true) == pytest.approx((0.9, 0.9), abs=0.01)
    sealed = truth.fractions(town, 20).sel({"class": "Impervious"}).to_numpy()
    assert np.corrcoef(values.ravel(), sealed.ravel())[0, 1] > 0.7
    later = products.imperviousness(town, date=2035, ground=ground, settlement=settled).to_numpy()
    assert later.sum() > values.sum()  # then all that stands was there


def test_settlement_products_fail_as_their_models_do(town, ground, settled):
    true = settled.to_numpy() == 1
    layers = {f.__name__: f(town, ground) for f in (products.guf, products.ghsl, products.hmgul)}
    for layer in layers.values():
        assert layer.shape == settled.shape and layer.rio.crs == town.crs
        assert set(np.unique(layer)) == {0, 1}
    guf, ghsl, hmgul = (layer.to_numpy() == 1 for layer in layers.values())
    for layer, lowest in ((guf, 0.8), (ghsl, 0.75), (hmgul, 0.85)):
        producers, users = scores(layer, true)
        assert 0.2 < producers < 0.85 and users > lowest
    # GUF has houses and no roads: share found under roofs against share found elsewhere
    roofs = truth.building_mask(town, 5).to_numpy().reshape(*true.shape[:1], 4, -1, 4).mean((1, 3))
    assert guf[roofs > 0.3].mean() > 0.75
    assert guf[true & (roofs == 0)].mean() < 0.35
    # HMGUL has no small patches
    labels, count = ndimage.label(hmgul, np.ones((3, 3)))
    assert np.bincount(labels.ravel())[1:].min() > 50 if count else True
    # GHSL commits on banks and bare ground more than on fields
    cover = truth.land_cover(town, 20).to_numpy()
    bare = (cover == 6) & ~true
    assert ghsl[bare].mean() > 2 * ghsl[(cover == 1) & ~true].mean()


def test_osm_is_complete_in_the_centre_only(town):
    table = products.osm_buildings(town)
    houses = town.buildings
    assert table.crs == town.crs and table.attrs["simulated"] is True
    mapped = houses.index.isin(table.index)
    middle = shapely.Point(town.place["x"], town.place["y"])
    out = houses.centroid.distance(middle).to_numpy()
    near, far = out < np.quantile(out, 0.3), out > np.quantile(out, 0.7)
    assert mapped[near].mean() > 0.85 > 0.7 > mapped[far].mean() > 0.05
    shift = table.centroid.distance(houses.loc[table.index].centroid)
    assert 0.5 < shift.median() < 5 and shift.max() < 12
    assert table.area.to_numpy() == pytest.approx(houses.loc[table.index].area.to_numpy(), rel=0.02)


def test_glc30_misses_villages():
    from types import SimpleNamespace

    import geopandas as gpd
    import xarray as xr
    from affine import Affine

    share = np.zeros((240, 240), np.float32)
    share[90:150, 90:150] = 0.85
    share[8:230:10, 8:230:10] = 0.6  # lone villages
    x = 500.0 * np.arange(240) + 250
    like = xr.DataArray(
        (share > 0.5).astype("uint8"), dims=("y", "x"), coords={"y": -x, "x": x},
        attrs={"simulated": True},
    ).rio.write_crs("EPSG:32648")  # fmt: skip
    rivers = gpd.GeoDataFrame(
        {"width": [300.0]}, geometry=[shapely.LineString([(0, -9e3), (9e4, -9e3)])]
    )
    region = SimpleNamespace(
        seed=1, built_share=like.copy(data=share), construction_land=like, rivers=rivers,
        transform=Affine(500, 0, 0, 0, -500, 0),
    )  # fmt: skip
    found = products.from_glc30(region).to_numpy() == 1
    village = (share > 0.5) & (share < 0.7)
    assert found[share > 0.7].mean() > 0.8
    assert found[village & (np.arange(240) < 80)].mean() < 0.6
    assert 0 < found[share == 0].mean() < 0.05


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: confusion.expected_table(np.ones(7)), "sum to 1"),
        (lambda: confusion.expected_table(np.ones(3) / 3), "seven"),
        (lambda: confusion.expected_table(np.eye(7)[0], match="rows"), "columns"),
        (lambda: products.imperviousness(None, errors=0.7), "0.5"),
    ],
)
def test_bad_input(call, text):
    with pytest.raises(ValueError, match=text):
        call()


def test_ground_must_fit(town):
    with pytest.raises(ValueError, match="multiple"):
        products.ghsl(town, optical.ground(town, 8))


def test_likeness_names_materials():
    assert set(confusion.ALIKE) <= set(materials.NAMES)
    for material, likeness in confusion.ALIKE.items():
        assert materials.COVER[material] not in likeness
