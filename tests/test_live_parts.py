"""A part of each comparison, computed anew: does it still agree with the committed records?

The notebooks show the same tables of drift; here a disagreement fails.
"""

import pandas as pd
import pytest

from toolkit import runs
from toolkit.experiments import comparisons as co


def within(record, live, by, metrics, tolerance):
    """All live numbers lie within the spread of the records, and numbers far away would not."""
    drift = runs.drift(record, live, by=by, metrics=metrics, tolerance=tolerance)
    assert drift["within"].all(), drift[~drift["within"]].to_string()
    off = live.assign(**{name: live[name] - 0.5 for name in metrics})
    assert not runs.drift(record, off, by=by, metrics=metrics, tolerance=tolerance)["within"].any()


def test_networks_train_as_recorded():
    record = runs.results("comparisons_networks")
    live = co.run_network("settlement", "IFCN", seed=1, share=0, side=0)
    live = live.assign(task="settlement", network="IFCN")
    by = ["task", "network", "variant"]
    within(record, live, by, ["kappa", "f1", "valid_kappa"], 0.03)
    fixed = ["parameters", "macs", "lr", "trained"]
    same = record[(record[by] == live[by].iloc[0]).all(axis=1) & (record["seed"] == 1)]
    pd.testing.assert_frame_equal(
        same[fixed].reset_index(drop=True), live[fixed], check_dtype=False, rtol=1e-5
    )


def test_labels_are_disturbed_and_learnt_as_recorded():
    record = runs.results("comparisons_labels")
    given = {"task": "settlement", "kind": "patches", "strength": 0.4, "remedy": "none"}
    live = co.run_labels(**given, seed=1).assign(**given, split="blocks")
    by = [*given, "split"]
    within(record, live, by, ["kappa", "f1", "valid_kappa"], 0.03)
    same = record[(record[by] == live[by].iloc[0]).all(axis=1) & (record["seed"] == 1)]
    # The errors themselves do not depend on the machine.
    assert same["reached"].iloc[0] == pytest.approx(live["reached"].iloc[0], abs=1e-5)


def test_the_city_is_mapped_as_recorded():
    record = runs.results("comparisons_city")
    place = co.city()
    networks, _ = co.trained(place, "quick", seed=1, methods=["night lights"])
    found, _ = co.mapped(place, networks)
    live = co.own_scores(place, found).reset_index()
    within(record, live, ["method"], ["kappa", "iou"], 0.05)
    own = record[record["method"] == "night lights"]
    assert live["true_km2"].iloc[0] == pytest.approx(own["true_km2"].iloc[0])
