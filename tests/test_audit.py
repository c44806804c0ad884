"""The audit: verdicts follow from printed numbers, and change when a number does."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from toolkit import audit, papers, runs
from toolkit.audit import arithmetic, checks, findings, register
from toolkit.audit.rounding import exactly, half_unit

BY_HAND = yaml.safe_load(Path(__file__).with_name("audit_by_hand.yaml").read_text("utf-8"))
# Where the code comes to another verdict than the audit by hand, and why.
EXPLAINED = {
    # 18.5563 is printed as 18.55. By hand the nineteen inputs counted as exact; in the worst case
    # of their rounding the mean may be 18.5513, which rounds to 18.55.
    "ifcn-T3-small-ex-lushui": ("rounding", "consistent"),
}


@pytest.fixture(scope="module")
def claims():
    return audit.claims()


def test_verdicts_are_those_found_by_hand(claims):
    by_hand = {
        f"{paper}-{name}": verdict
        for paper, verdicts in BY_HAND.items()
        for verdict, names in verdicts.items()
        for name in names
    }
    assert set(by_hand) == set(claims.index)
    other = {
        name: (by_hand[name], verdict)
        for name, verdict in claims["verdict"].items()
        if by_hand[name] != verdict
    }
    assert other == EXPLAINED


def test_every_claim_is_complete(claims):
    assert claims.index.is_unique
    assert set(claims["paper"]) == set(papers.keys())
    assert claims["verdict"].isin(audit.VERDICTS).all()
    for column in ("where", "statement", "published", "recomputed"):
        empty = claims.index[claims[column].str.strip() == ""]
        assert set(empty) <= {"ifcn-init"} if column == "recomputed" else not len(empty), column
    # Who contradicts a paper says why.
    assert (claims.loc[claims["verdict"] == "inconsistent", "note"].str.len() > 10).all()


def test_every_check_reads_print():
    """No verdict is typed: each check that can judge asks for a printed table."""
    for paper in papers.keys():  # noqa: SIM118  (a function, not a dict)
        for entry in register.entries(paper):
            tables = audit.Tables(papers.printed(paper))
            found = register.finding(paper, entry, tables)
            assert tables.seen or found.verdict == "not recomputable", entry["id"]
            assert "verdict" not in entry


HELD, BROKEN = ("consistent", "inconsistent"), ("inconsistent", "consistent")  # before, after


@pytest.mark.parametrize(
    ("paper", "claim", "table", "row", "column", "value", "verdicts"),
    [
        ("ifcn", "T2-kappa-svm", "table_2", "SVM", "kappa", "0.61", BROKEN),
        ("ifcn", "T2-ifcn", "table_2", "IFCN", "F1", "0.85", HELD),
        ("ifcn", "5.1-f1-text", "section_5_1", "Lhasa", "F1", "88.08", BROKEN),
        ("land_cover_3m", "T3-OA", "table_3", "Water", "Water", "94", HELD),
        ("roof_greening", "levels-pct", "suitability", "low", "roofs", "2667", BROKEN),
        ("roof_greening", "ahp-matrix", "table_6", "B1", "weight", "0.3769", HELD),
        ("sen2hse", "T7-par-13", "table_7", (16, "3+3+3+3+1"), "parameters", "1874099", HELD),
        ("sen2hse", "T3-F1", "table_3", ("MLGCPs", "recall", "GUF"), "NYC", "93.6", HELD),
    ],
)
def test_a_changed_number_changes_the_verdict(paper, claim, table, row, column, value, verdicts):
    entry = next(e for e in register.entries(paper) if e["id"] == claim)
    texts = papers.printed(paper)
    before = register.finding(paper, entry, audit.Tables(texts)).verdict
    texts[table].loc[row, column] = value
    after = register.finding(paper, entry, audit.Tables(texts)).verdict
    assert (before, after) == verdicts


def test_claims_read_the_tables_given():
    texts = papers.printed("roof_greening")
    texts["suitability"].loc["low", "roofs"] = "2667"
    usual, changed = audit.claims("roof_greening"), audit.claims(
        "roof_greening", {"roof_greening": texts}
    )  # fmt: skip
    differ = usual.index[usual["verdict"] != changed["verdict"]]
    assert {"roof_greening-levels-pct", "roof_greening-levels-sum"} == set(differ)


def test_unknown_paper_is_explained():
    with pytest.raises(KeyError, match="Did you mean 'sen2hse'"):
        audit.claims("sen2hs")


# Rounding


@pytest.mark.parametrize(
    ("printed", "recomputed", "verdict"),
    [
        ("0.98", 0.9849, "consistent"),
        ("0.98", 0.985, "consistent"),  # on the border it may be rounded either way
        ("0.98", 0.9866, "rounding"),
        ("0.98", 0.9949, "rounding"),
        ("0.98", 0.9951, "inconsistent"),
        ("592", 592.4, "consistent"),
        ("0.48", 0.61, "inconsistent"),
    ],
)
def test_verdict_by_distance(printed, recomputed, verdict):
    assert audit.judge(audit.read(printed), exactly(recomputed))[0] == verdict


def test_counts_are_exact():
    assert audit.judge(audit.read("3", exact=True), exactly(4.0))[0] == "inconsistent"
    assert audit.judge(audit.read("3", exact=True), exactly(3.0)) == ("consistent", 0.0, 0.0)


def test_limits_that_only_touch_do_not_agree():
    # 97.59 and 97.58: both would have to be 97.585 exactly.
    assert audit.judge(audit.read("97.59"), audit.read("97.58"))[0] == "rounding"


def test_worst_case_holds_every_number_that_rounds_to_the_inputs():
    random = np.random.default_rng(0)
    recall, precision = audit.read("0.95"), audit.read("0.82")
    found = audit.worst(arithmetic.f1, precision, recall)
    inside = arithmetic.f1(random.uniform(0.815, 0.825, 999), random.uniform(0.945, 0.955, 999))
    assert found.low <= inside.min() and inside.max() <= found.high
    assert inside.max() - inside.min() > 0.9 * (found.high - found.low)


def test_digits_say_how_far():
    assert half_unit("0.90") == half_unit("0.95") == 0.005
    tables = audit.Tables(papers.printed("ifcn"))
    assert tables("table_2", "IFCN", "recall").low == pytest.approx(0.945)
    assert tables("table_2", "IFCN", "TP") == exactly(12625.0)
    assert tables.number("samples") == exactly(1017.0)
    assert tables.number("loss").high == 592.5


def test_judging_needs_numbers_on_both_sides():
    with pytest.raises(ValueError, match="2 published numbers and 1 recomputed"):
        audit.judge(exactly(pd.Series([1.0, 2.0])), exactly(1.0))
    with pytest.raises(ValueError, match="nothing to compare"):
        audit.judge(exactly(np.nan), exactly(1.0))


def test_more_than():
    limit = 0.87
    assert findings.more(audit.read("0.88"), limit, "").verdict == "consistent"
    assert findings.more(audit.read("0.87"), limit, "").verdict == "rounding"
    assert findings.more(audit.read("0.79"), limit, "").verdict == "inconsistent"


# Arithmetic


def test_pixels_invert_kappa():
    counts = 12625, 2744, 612
    kappa = arithmetic.kappa(*counts, 450_000)
    assert arithmetic.pixels(*counts, kappa) == pytest.approx(450_000)
    assert arithmetic.pixels(*counts, 0.95) == np.inf


def test_share_and_kappa_are_those_of_a_matrix():
    hits, false, missed, right = 300.0, 40, 60, 600
    recall, precision = hits / (hits + missed), hits / (hits + false)
    average = (recall + right / (right + false)) / 2
    share = arithmetic.implied_share(average, recall, precision)
    assert share == pytest.approx((hits + missed) / 1000)
    kappa = arithmetic.kappa(hits, false, missed, 1000)
    assert arithmetic.implied_kappa(average, recall, precision) == pytest.approx(kappa)
    assert arithmetic.precision_of(arithmetic.f1(precision, recall), recall) == pytest.approx(
        precision
    )


def test_two_scores_bound_the_share():
    matrix = arithmetic.matrix(np.array([[150.0, 30], [20, 800]]))
    low, high = arithmetic.possible_shares(matrix.overall, matrix.mean_iou)
    assert low <= 0.17 <= high
    assert np.isnan(arithmetic.possible_shares(0.9, 0.95)).all()
    found = arithmetic.mean_and_weighted_iou(matrix.overall, matrix.average, 0.17)
    assert found == pytest.approx((matrix.mean_iou, matrix.frequency_weighted_iou))


def test_judgements_come_back_from_their_weights():
    from toolkit import suitability

    given = [[1, 3, 1 / 2, 5], [1 / 3, 1, 1 / 4, 2], [2, 4, 1, 7], [1 / 5, 1 / 2, 1 / 7, 1]]
    weights = suitability.ahp(given).weights.round(5)
    found = arithmetic.judgements(tuple(weights), 0.00001)
    assert any(np.allclose(each, given) for each in found)
    assert len(arithmetic.judgements((0.97, 0.01, 0.01, 0.01), 0.00005)) == 0


def test_only_the_rotation_fits_table_3():
    tables = audit.Tables(papers.printed("sen2hse"))
    found = audit.fitting_orders(tables)
    assert len(found) == 2  # Beijing and Nairobi cannot be told apart
    order = audit.rotated(tables)
    assert [order[city] for city in ("Rio", "SF", "Santiago", "Sydney", "Tehran", "Jakarta")] == [
        "SF", "Santiago", "Sydney", "Tehran", "Jakarta", "Rio",
    ]  # fmt: skip
    assert order["Rome"] == "Rome"


def test_unknown_names_fail_where_they_stand():
    tables = audit.Tables(papers.printed("ifcn"))
    with pytest.raises(KeyError, match="nowhere"):
        checks.scores(tables, "table_2", "nowhere")


# Slips, page, ledger


def test_slips_change_one_digit_and_are_noticed_in_a_confusion_matrix():
    slips = audit.slips(40, "land_cover_3m", seed=3)
    assert len(slips) == 40
    for printed, changed in zip(slips["printed"], slips["changed"], strict=True):
        assert sum(a != b for a, b in zip(printed, changed, strict=True)) == 1
    inside = slips[slips["table"].isin(["table_2", "table_3"])]
    assert len(inside) and inside["noticed"].all()
    assert not (slips["noticed"] & ~slips["read"]).any()
    assert (slips["noticed"] == (slips["by"] != "")).all()


def test_page_can_filter_every_claim(claims):
    text = audit.page(claims).data
    assert text.count('<tr class="') == len(claims)
    assert text.count('name="audit-p"') == 1 + 4 and text.count('name="audit-v"') == 1 + 4
    kinds = Counter(part.split('"')[0].split()[0] for part in text.split('<tr class="')[1:])
    assert sorted(kinds.values()) == sorted(claims.groupby("paper").size())
    assert "<script" not in text


def test_ledger_reads_the_committed_records():
    ledger = audit.ledger("ifcn")
    record = runs.results("night_lights_methods").query("source == 'scene' and method == 'SVM'")
    row = ledger.query("measure == 'kappa' and what == 'SVM'").iloc[0]
    assert (row["published"], row["verdict"], row["runs"]) == (0.48, "higher here", len(record))
    assert row["obtained"] == pytest.approx(record["kappa"].mean())
    assert row["low"] == record["kappa"].min() and row["high"] == record["kappa"].max()
    assert ledger["why"].str.len().gt(10).all()


def test_ledger_covers_every_chapter_and_admits_what_is_missing(tmp_path):
    whole = audit.ledger()
    assert list(whole["chapter"].unique()) == [
        "01 Night lights", "02 Land cover", "03 Roof greening", "04 Settlements",
    ]  # fmt: skip
    none = audit.ledger(folder=tmp_path)
    assert len(none) == len(whole)
    assert (none["verdict"] == "no record").all() and none["obtained"].isna().all()
    assert (none["published"] == whole["published"]).all()
    assert audit.orders(none).empty


def test_orders_count_pairs():
    table = pd.DataFrame(
        {"chapter": "c", "where": "w", "measure": "m", "published": [1.0, 2, 3, 3],
         "obtained": [1.0, 3, 2, 4]}
    )  # fmt: skip
    (row,) = audit.orders(table).to_dict("records")
    assert (row["rows"], row["pairs"], row["same order"]) == (4, 5, 4)
