"""Proxies are found where they are planted and nowhere else; groups are counted, or too small."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import pytest
from agreed import DEFINITION_TEXT, NOW
from small_datasets import dataset_of

from features.clock import DAY
from features.definition import parse_definition
from features.facts import LeadVersion, Value
from features.frames import Category, Column
from features.store.engine import Store
from features.store.ingest import ingest
from training import proxies
from training.dataset import Dataset
from training.discrimination import auc_interval
from training.proxies import Audit, audit_proxies, sensitive_values

DEFINITION = parse_definition(
    DEFINITION_TEXT.replace(
        "  - {name: close_reason",
        "  - {name: gender, type: category, sensitive: true}\n"
        "  - {name: disabled, type: boolean, sensitive: true}\n"
        "  - {name: born, type: date, sensitive: true}\n"
        "  - {name: close_reason",
    )
)
LEADS = 1_200
RNG = np.random.default_rng(5)
GENDER = RNG.integers(0, 2, LEADS)


def rows(columns: Mapping[str, Column], y: np.ndarray | None = None, each: int = 2) -> Dataset:
    """Two rows a lead; columns are given by lead."""
    lead = np.repeat(np.arange(len(next(iter(columns.values())))), each)
    by_row = {
        name: column.take(lead) if isinstance(column, Category) else column[lead]
        for name, column in columns.items()
    }
    won = np.zeros(len(lead), dtype=np.int64) if y is None else y
    return dataset_of(lead.tolist(), (np.arange(len(lead)) * DAY).tolist(), won, by_row)


def features(seed: int = 0, n: int = LEADS) -> dict[str, Column]:
    rng = np.random.default_rng(seed)
    return {
        **{f"noise_{i}": rng.normal(0, 1, n) for i in range(20)},
        **{f"level_{i}": Category(rng.integers(-1, 4, n), tuple("abcd")) for i in range(10)},
    }


def gender(codes: np.ndarray = GENDER, each: int = 2) -> Column:
    return Category(np.repeat(codes, each), ("f", "m"))


def found(audit: Audit) -> set[str]:
    return {one.feature for one in audit.proxies if one.found and one.feature is not None}


def test_a_planted_proxy_is_found_by_name_and_noise_is_not() -> None:
    title = Category(np.where(RNG.random(LEADS) < 0.8, GENDER, 2), ("Ms", "Mr", "Dr"))
    height = 165 + 12.0 * GENDER + RNG.normal(0, 8, LEADS)
    audit = audit_proxies(
        rows({**features(), "title": title, "height": height}), {"gender": gender()}, DEFINITION
    )
    assert found(audit) == {"title", "height"}
    strongest = next(one for one in audit.proxies if one.feature == "title")
    # Only a pair of doctors is a tie, and a tie is half wrong: 1 − .2 × .2 / 2 = .98.
    assert strongest.strength.estimate == pytest.approx(0.98, abs=0.02)
    together = next(one for one in audit.proxies if one.feature is None)
    assert together.strength.lower > 0.97
    said = " ".join(audit.sentences())
    assert "gender can be guessed from features: title (f) AUC 0.98" in said
    assert "All features together predict gender: (f) AUC 0.9" in said
    json.dumps(audit.to_json(), allow_nan=False)


@pytest.mark.slow
def test_where_nothing_tells_the_audit_says_so_as_often_as_it_promises() -> None:
    """With nothing to find, any name is false: at most one audit in 20; 5 of 30 is p = .016."""
    false = 0
    for seed in range(30):
        audit = audit_proxies(
            rows(features(seed, 400)),
            {"gender": gender(np.random.default_rng(900 + seed).integers(0, 2, 400))},
            DEFINITION,
        )
        false += bool(found(audit))
        assert "No single feature predicts gender" in audit.sentences()[0] or found(audit)
        assert audit.proxies[0].attribute == "gender"
    assert false <= 4


def test_a_lead_recognised_by_its_own_rows_is_no_proxy() -> None:
    codes = Category(np.arange(LEADS), tuple(map(str, range(LEADS))))
    assert found(audit_proxies(rows({"account": codes}), {"gender": gender()}, DEFINITION)) == set()


def test_rows_of_a_lead_are_one_piece_of_evidence() -> None:
    weak = GENDER[:400] + np.random.default_rng(2).normal(0, 5, 400)
    intervals = []
    for each in (1, 10):
        columns, codes = {"x": weak}, gender(GENDER[:400], each)
        audit = audit_proxies(rows(columns, each=each), {"gender": codes}, DEFINITION)
        strength = next(one.strength for one in audit.proxies if one.feature == "x")
        intervals.append(strength.upper - strength.lower)
    assert intervals[1] == pytest.approx(intervals[0], rel=0.15)


def test_a_number_is_measured_by_the_variance_explained() -> None:
    age = np.random.default_rng(3).normal(50, 10, LEADS)
    seniority = age + np.random.default_rng(4).normal(0, 10, LEADS)
    audit = audit_proxies(
        rows({**features(), "seniority": seniority}), {"age": np.repeat(age, 2)}, DEFINITION
    )
    assert found(audit) == {"seniority"}
    one = next(one for one in audit.proxies if one.feature == "seniority")
    # Correlation √.5, so half of the variance, less what ten bins lose.
    assert (one.measure, one.group) == ("r2", None)
    assert one.strength.estimate == pytest.approx(0.5, abs=0.06)


def test_three_groups_are_asked_about_one_by_one_and_small_ones_not() -> None:
    codes = np.where(np.arange(LEADS) < 99, 3, np.arange(LEADS) % 3)
    column = Category(np.repeat(codes, 2), ("a", "b", "c", "few"))
    audit = audit_proxies(rows({"x": codes.astype(float)}), {"gender": column}, DEFINITION)
    assert {one.group for one in audit.proxies} == {"a", "b", "c"}


def test_an_attribute_known_of_too_few_leads_is_left_out_in_words() -> None:
    codes = np.where(np.arange(LEADS) < 99, 1, -1)
    audit = audit_proxies(rows(features()), {"gender": gender(codes)}, DEFINITION)
    assert audit.proxies == ()
    assert "gender is known of too few leads" in audit.sentences()[0]


def fared(share_won: float, said: float = 0.3) -> Audit:
    y = (np.random.default_rng(6).random(2 * LEADS) < share_won).astype(np.int64)
    p = np.where(np.repeat(GENDER, 2) == 1, said, 0.1)
    return audit_proxies(
        rows({"x": GENDER * 1.0}, y), {"gender": gender()}, DEFINITION, probability=p
    )


def test_selection_is_counted_by_group_at_the_first_routes_threshold() -> None:
    women, men = fared(0.3).groups
    assert (women.group, men.group) == ("f", "m")
    # The first route begins at 30 %.
    assert (women.selected.estimate, men.selected.estimate) == (0.0, 1.0)
    assert women.leads + men.leads == LEADS
    assert women.selected.upper < 0.01


def test_calibration_is_claimed_with_200_wins_and_not_with_fewer() -> None:
    for group in fared(0.3).groups:
        assert group.wins >= 200
        assert group.observed_over_expected is not None
    women, men = fared(0.3).groups
    assert men.observed_over_expected is not None
    assert men.observed_over_expected.contains(1.0)
    assert women.observed_over_expected is not None
    assert women.observed_over_expected.lower > 2.0
    few = fared(0.1)
    assert all(group.observed_over_expected is None for group in few.groups)
    assert "too few to say whether its probabilities hold" in " ".join(few.sentences())
    assert "do not hold" in " ".join(fared(0.3).sentences())


def test_numbers_fare_in_thirds_and_booleans_as_yes_and_no() -> None:
    age, disabled = np.repeat(np.arange(LEADS) * 1.0, 2), np.repeat(GENDER * 1.0, 2)
    audit = audit_proxies(
        rows({"x": GENDER * 1.0}),
        {"age": age, "disabled": disabled, "born": age * DAY},
        DEFINITION,
        probability=np.full(2 * LEADS, 0.5),
    )
    named = {group.group for group in audit.groups}
    assert {"no", "yes", "lowest third (0 to 399)", "highest third (800 to 1199)"} <= named
    assert "lowest third (1970-01-01 to 1971-02-04)" in named


def test_without_probabilities_nothing_is_said_of_groups() -> None:
    assert audit_proxies(rows(features()), {"gender": gender()}, DEFINITION).groups == ()


def test_sensitive_values_are_those_known_at_each_row_in_the_order_of_the_rows(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(lead: str, days_ago: int, **attributes: Value) -> LeadVersion:
        at = NOW - days_ago * DAY
        return LeadVersion(lead=lead, occurred_at=at, recorded_at=at, attributes=attributes)

    with store.write() as connection:
        ingest(
            connection,
            [
                version("L0", 100, gender="f", age=30.0),
                version("L0", 50, gender="m", age=31.0),
                version("L1", 90, disabled=True),
                version("L2", 80, gender="f"),
            ],
            DEFINITION,
            NOW,
        )
    as_of = [NOW - n * DAY for n in (10, 60, 100, 10, 70)]
    asked = dataset_of([0, 0, 0, 1, 2], as_of, [0] * 5)
    for portion in (2, 10_000):
        monkeypatch.setattr(proxies, "_PORTION", portion)
        values = sensitive_values(store, DEFINITION, asked)
        assert set(values) == {"age", "gender", "disabled", "born"}
        genders = values["gender"]
        assert isinstance(genders, Category)
        assert genders.labels() == ["m", "f", None, None, "f"]
        assert values["age"] == pytest.approx([31.0, 30.0, np.nan, np.nan, np.nan], nan_ok=True)
        assert values["disabled"] == pytest.approx([np.nan] * 3 + [1.0, np.nan], nan_ok=True)


def test_a_definition_without_sensitive_attributes_asks_the_store_nothing(store: Store) -> None:
    plain = parse_definition("{name: plain}")
    assert sensitive_values(store, plain, dataset_of([0], [NOW], [0])) == {}


def test_the_single_features_figure_is_the_auc_of_unseen_leads() -> None:
    """Against the plain definition: rates of the other folds, and the AUC of all."""
    x = Category(np.random.default_rng(8).integers(0, 3, LEADS), ("a", "b", "c"))
    data = rows({"x": x}, each=1)
    audit = audit_proxies(data, {"gender": gender(each=1)}, DEFINITION, seed=3)
    turn = np.random.default_rng(3).permutation(LEADS)
    guess = np.empty(LEADS)
    for i in range(LEADS):
        seen = [j for j in range(LEADS) if turn[j] % 5 != turn[i] % 5]
        like = [j for j in seen if x.codes[j] == x.codes[i]]
        centre = np.mean([GENDER[j] == 0 for j in seen])
        women = sum(GENDER[j] == 0 for j in like)
        guess[i] = (women + 10 * centre) / (len(like) + 10)
    expected = auc_interval(guess, (GENDER == 0).astype(float), groups=np.arange(LEADS))
    one = next(one for one in audit.proxies if one.feature == "x")
    assert one.strength.estimate == pytest.approx(expected.estimate)
    assert one.strength.lower == pytest.approx(expected.lower)
