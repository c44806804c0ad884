"""One city, four papers: one grid, one question, and what each resolution loses."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib import pyplot as plt
from shapely.geometry import LineString, Point, box

from toolkit.experiments import comparisons as co
from toolkit.experiments.comparisons import figures, one_city, questions

WEST, SOUTH, EAST, NORTH = one_city.STRIP
MIDDLE = Point((WEST + EAST) / 2, (SOUTH + NORTH) / 2)
TOP = MIDDLE.y + 6000


def raster(built, step, bounds=(WEST, TOP - 12_000, EAST, TOP)):
    """A map from a function of metres east and north of the centre."""
    west, south, east, north = bounds
    x, y = np.arange(west + step / 2, east, step), np.arange(north - step / 2, south, -step)
    values = built(*np.meshgrid(x - MIDDLE.x, y - MIDDLE.y)).astype("uint8")
    out = xr.DataArray(values, {"y": y, "x": x}, ("y", "x")).rio.write_crs("EPSG:32648")
    return out.assign_attrs(classes=one_city.BUILT)


def disc(radius):
    return lambda x, y: np.hypot(x, y) < radius


@pytest.fixture(scope="module")
def place():
    """A round city of 3 km, a village of nine houses in the strip 4.5 km east, one road."""
    grid = raster(disc(3000), 20)
    truth = {
        "night lights": raster(disc(3000), 500),
        "settlement": grid,
        "land cover": raster(disc(3000), 4),
        "buildings": raster(disc(3000), 4, one_city.STRIP),
    }
    corners = [(MIDDLE.x + 4500 + 30 * i, MIDDLE.y + 30 * j) for i in range(3) for j in range(3)]
    houses = gpd.GeoDataFrame(
        {"use": ["village"] * 9 + ["compound"]},
        geometry=[*(box(x, y, x + 12, y + 12) for x, y in corners), box(*MIDDLE.buffer(40).bounds)],
        crs="EPSG:32648",
    )
    road = LineString([(WEST, MIDDLE.y + 200), (EAST, MIDDLE.y + 200)])
    roads = gpd.GeoDataFrame({"kind": ["lane"], "width": [8.0]}, geometry=[road], crs=houses.crs)
    districts = gpd.GeoDataFrame(
        {"name": ["west", "east"]},
        geometry=[box(WEST, TOP - 12_000, MIDDLE.x, TOP), box(MIDDLE.x, TOP - 12_000, EAST, TOP)],
        crs=houses.crs,
    )
    return co.City({}, truth, grid, MIDDLE, districts, roads, houses)


def test_maps_of_any_cell_come_to_one_grid(place):
    built = co.shares(place, place.truth)
    for name, share in built.items():
        assert share.shape == place.grid.shape, name
        assert 0 <= float(share.min()) <= float(share.max()) <= 1
    area = float(built["land cover"].sum()) * 4e-4
    assert area == pytest.approx(np.pi * 9, rel=0.01)
    assert float(built["settlement"].sum()) * 4e-4 == pytest.approx(area, rel=0.01)
    # The strip alone is known at 0.8 m, and there all of it.
    known = built["buildings"].notnull()
    assert (known == place.strip).all() and float(known.mean()) == pytest.approx(1600 / 12_000)


def test_what_a_map_does_not_know_stays_unknown(place):
    holed = place.truth["settlement"].copy()
    holed[:10] = 255
    share = co.shares(place, {"it": holed})["it"]
    assert share[:10].isnull().all() and share[10:].notnull().all()


def test_the_gradient_falls_where_the_city_ends(place):
    lines = co.gradient(place, co.shares(place, place.truth))
    assert lines.index.min() == 0.25 and lines.index.max() == 5.75
    assert (lines.loc[:2.5, "land cover"] > 0.99).all() and (
        lines.loc[3.5:, "land cover"] == 0
    ).all()
    assert co.half(lines)["land cover"] == pytest.approx(3.0, abs=0.01)
    never = pd.DataFrame({"flat": [1.0] * 12, "dark": [0.0] * 12}, index=lines.index)
    assert co.half(never).isna().all()


def test_the_edge_of_a_round_city_is_a_circle(place):
    built = co.shares(place, place.truth)
    own = co.edge(place, built["land cover"])
    assert own["km2"].iloc[0] == pytest.approx(np.pi * 9, rel=0.03)
    larger = co.edge(place, co.shares(place, {"it": raster(disc(3400), 20)})["it"])
    assert co.apart(own, own) == 0
    assert co.apart(own, larger) == pytest.approx(400, abs=15)
    # Half of the middle: a map that finds half of everything has the same edge.
    assert co.apart(own, co.edge(place, built["land cover"] / 2)) < 5
    dark = co.edge(place, built["land cover"] * 0)
    assert dark.empty and np.isnan(co.apart(own, dark))


def test_districts_share_the_city(place):
    table = co.by_district(place, co.shares(place, place.truth), place.strip)
    assert table.loc["west", "land cover"] == pytest.approx(table.loc["east", "land cover"])
    assert table.loc["west", "land cover"] == pytest.approx(0.5, abs=0.02)
    assert table["cells"].sum() == int(place.strip.sum())


def test_small_things_and_who_calls_them_built(place):
    masks, grid = co.things(place)
    assert all(mask.shape == grid.shape for mask in masks.values())
    assert not (masks["courts and yards"] & masks["open land"]).any()
    nothing = raster(lambda x, y: np.zeros_like(x), 20)
    seen = co.seen_as_built(place, {"truth": place.truth["settlement"], "nothing": nothing})
    assert seen.loc["apartment blocks", "truth"] == 1
    assert seen.loc["village houses", "truth"] == 0  # they stand outside the round city
    assert seen.loc["lanes and tracks", "truth"] == 1  # a lane counts where the ground is sealed
    assert (seen["nothing"].dropna() == 0).all()


def test_villages_are_found_by_half_of_their_roofs(place):
    east = {"yes": raster(lambda x, y: x > 4400, 4), "no": place.truth["settlement"],
            "part": raster(lambda x, y: x > 4550, 4)}  # fmt: skip
    found = co.villages(place, east)
    assert found.attrs["villages"] == 1
    assert found.to_dict() == {"yes": 1.0, "no": 0.0, "part": 0.0}


def test_check_points_correct_the_area_of_a_map(place):
    wide = {"settlement": raster(disc(3600), 20)}
    row = co.area(place, wide, spacing=250).loc["settlement"]
    assert row["mapped"] == pytest.approx(np.pi * 3.6**2, rel=0.01)
    assert row["holds"] and row["low"] < row["true"] < row["high"] < row["mapped"]
    none = {"settlement": raster(lambda x, y: np.zeros_like(x), 20)}
    empty = co.area(place, none).loc["settlement"]
    assert np.isnan(empty["estimate"]) and not empty["holds"]


def test_answers_have_a_column_for_every_question(place):
    found = dict(place.truth) | {"land cover": raster(disc(3300), 4)}
    table = co.answers(place, found)
    assert list(table.index) == list(co.METHODS)
    assert table.loc["settlement", "kappa"] == 1 and table.loc["land cover", "kappa"] < 1
    assert table.loc["land cover", "edge_m"] > table.loc["settlement", "edge_m"]
    assert np.isnan(table.loc["buildings", "edge_m"])  # no more than the strip is mapped
    assert table.loc["settlement", "own_gap"] == pytest.approx(0, abs=1e-6)
    assert table.loc["land cover", "sealed_gap"] > 0.04
    assert set(questions.things(place)[0]) <= set(table.columns)


def test_unknown_method_or_profile(place):
    with pytest.raises(ValueError, match=r"profile='quik' is not known.*Did you mean 'quick'"):
        co.trained(place, "quik")
    with pytest.raises(ValueError, match="method='roads' is not known"):
        co.trained(place, "smoke", methods=["roads"])


def test_fronts_and_ranks_are_drawn():
    rng = np.random.default_rng(0)
    names = [f"net {i}" for i in range(6)]
    table = pd.DataFrame([
        {"network": n, "task": t, "variant": v, "macs": 10.0 ** (2 + i), "kappa": rng.random(),
         "spread": 0.02}
        for t in co.TASKS for i, n in enumerate(names) for v in ("whole", "pruned")
    ])  # fmt: skip
    table["front"] = co.pareto(table)
    fig = figures.fronts(table)
    assert [ax.get_title() for ax in fig.axes] == list(co.TASKS)
    assert all(ax.get_xscale() == "log" for ax in fig.axes)
    ranked = co.ranks(table[table["variant"] == "whole"])
    drawn = figures.rank_diagram(ranked)
    said = " ".join(text.get_text() for text in drawn.axes[0].texts)
    assert all(name in said for name in names) and "critical difference" in said
    plt.close("all")
