"""The leakage probe names every column that knows the outcome, and no honest one."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from features.errors import LeakageError
from features.frames import Category
from training.intervals import OneClassError
from training.leakage import Finding, probe_leakage, refuse_leakage
from training.telling_names import GRADED, OVERWRITTEN, words_of

N = 4000


def outcomes(seed: int = 0, rate: float = 0.3, n: int = N) -> np.ndarray:
    return (np.random.default_rng(seed).random(n) < rate).astype(float)


def kinds(findings: tuple[Finding, ...]) -> dict[str, str]:
    return {finding.column: finding.kind for finding in findings}


def blocked(findings: tuple[Finding, ...]) -> set[str]:
    return {finding.column for finding in findings if finding.blocking}


# What gives a column away


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_a_number_that_separates_almost_perfectly_is_named(noise: float) -> None:
    y = outcomes()
    amount = y + np.random.default_rng(1).normal(0, noise, N)
    assert kinds(probe_leakage({"amount": amount}, y)) == {"amount": "separates"}


def test_a_number_that_separates_by_its_middle_is_named() -> None:
    # No order would find it: winners are in the middle, losers at both ends.
    rng, y = np.random.default_rng(1), outcomes()
    spread = np.where(y == 1, rng.normal(0, 0.2, N), rng.choice([-2, 2], N) + rng.normal(0, 0.2, N))
    assert kinds(probe_leakage({"balance": spread}, y)) == {"balance": "separates"}


def test_a_category_that_separates_is_named_in_either_form() -> None:
    y = outcomes()
    codes = (2 * y + (np.random.default_rng(1).random(N) < 0.5)).astype(np.int64)
    levels = ("a", "b", "c", "d")
    pair, category = (codes, levels), Category(codes, levels)
    found = [probe_leakage({"how_it_went": column}, y) for column in (pair, category)]
    assert found[0] == found[1]
    assert kinds(found[0]) == {"how_it_went": "separates"}


def test_a_value_that_is_there_only_for_winners_is_named_for_its_presence() -> None:
    y = outcomes()
    value = np.where(y == 1, np.random.default_rng(1).lognormal(6, 1, N), np.nan)
    (found,) = probe_leakage({"amount": value}, y)
    assert (found.kind, found.blocking) == ("presence", True)
    assert "filled in" in found.message


def test_groups_of_leads_that_never_win_are_named_although_the_column_explains_little() -> None:
    # Like the length of a call: hopeless when short, undecided otherwise.
    rng = np.random.default_rng(2)
    seconds = rng.lognormal(5, 1, 20_000)
    y = (rng.random(20_000) < np.where(seconds < 60, 0.0, 0.14)).astype(float)
    (found,) = probe_leakage({"talk": seconds}, y)
    assert found.kind == "settles"
    # ln 60 is .9 standard deviations below the mean: 18 % of a normal distribution (tables).
    assert found.statistic == pytest.approx(0.18, abs=0.04)


def test_leads_that_never_lose_are_named_as_well() -> None:
    rng = np.random.default_rng(2)
    sure = rng.random(20_000) < 0.08
    y = (rng.random(20_000) < np.where(sure, 1.0, 0.5)).astype(float)
    assert kinds(probe_leakage({"step": (sure.astype(int), ("no", "yes"))}, y)) == {
        "step": "settles"
    }


def test_values_written_after_close_are_named_without_looking_at_outcomes() -> None:
    y, noise = outcomes(), np.random.default_rng(1).normal(0, 1, N)
    findings = probe_leakage(
        {"budget": noise, "size": noise}, y, filled_after_close_share={"budget": 0.4, "size": 0.01}
    )
    assert kinds(findings) == {"budget": "late"}
    assert "40%" in findings[0].message


# What does not


def test_a_strong_but_honest_column_is_not_accused() -> None:
    # Winners half again a standard deviation higher: AUC .72, a tenth of the uncertainty.
    y = outcomes()
    visits = np.random.default_rng(1).normal(0, 1, N) + 0.85 * y
    assert probe_leakage({"visits": visits}, y) == ()


def test_presence_that_merely_depends_on_the_outcome_is_not_accused() -> None:
    # As in real forms: 14 % of those win who left it empty, 49 % of those who did not.
    rng = np.random.default_rng(1)
    empty = rng.random(N) < 0.3
    y = (rng.random(N) < np.where(empty, 0.14, 0.49)).astype(float)
    assert probe_leakage({"occupation": np.where(empty, np.nan, 1.0)}, y) == ()


@pytest.mark.parametrize("n", [40, 400, 4000])
def test_noise_is_never_accused(n: int) -> None:
    rng = np.random.default_rng(3)
    columns: dict[str, Any] = {}
    for number in range(60):
        columns[f"number_{number}"] = rng.normal(0, 1, n)
        columns[f"code_{number}"] = (rng.integers(-1, rng.integers(1, n), n), ("x",) * n)
        columns[f"gap_{number}"] = np.where(rng.random(n) < rng.random(), np.nan, 1.0)
    assert probe_leakage(columns, outcomes(4, 0.2, n)) == ()


def test_a_lead_that_is_recognised_from_its_own_rows_is_not_leakage() -> None:
    # A code that differs by lead looks like a perfect predictor unless a lead stays in one fold.
    lead = np.repeat(np.arange(400), 10)
    y = outcomes(1, 0.3, 400)[lead]
    column = {"account": (lead, tuple(map(str, range(400))))}
    assert kinds(probe_leakage(column, y)) == {"account": "separates"}
    assert probe_leakage(column, y, groups=lead) == ()


def test_rows_of_a_lead_weigh_one_together() -> None:
    rng = np.random.default_rng(5)
    y = outcomes(1, 0.3, 300)
    column = y + rng.normal(0, 1.2, 300)
    rows = np.repeat(np.arange(300), rng.integers(1, 40, 300))
    once = probe_leakage({"last_activity": column}, y)[0]
    often = probe_leakage({"last_activity": column[rows]}, y[rows], groups=rows)[0]
    assert often.kind == once.kind == "suspect"
    # Bins hold equally many rows, not leads, so the figures are near and not the same.
    assert often.statistic == pytest.approx(once.statistic, abs=0.06)


# What only few leads give away, and dates


def test_a_value_that_only_winners_have_is_named_although_few_have_it() -> None:
    rng, y = np.random.default_rng(1), outcomes(n=20_000)
    sent = (y == 1) & (rng.random(20_000) < 0.05)
    levels = ("by post", "by mail", "sent back signed")
    column = (np.where(sent, 2, rng.integers(0, 2, 20_000)), levels)
    (found,) = probe_leakage({"contract": column}, y)
    assert (found.kind, found.blocking) == ("certain", True)
    assert f"{int(sent.sum())} leads share" in found.message


def test_a_few_winners_alike_are_chance_and_so_is_a_value_that_never_wins() -> None:
    rng, y = np.random.default_rng(1), outcomes()
    # (1 − .7 / 20)^n falls below .001 at n = 194.
    few = np.flatnonzero(y == 1)[:190]
    never = (y == 0) & (rng.random(N) < 0.03)
    code = np.zeros(N, dtype=np.int64)
    code[few], code[never] = 1, 2
    assert probe_leakage({"country": (code, ("here", "there", "nowhere"))}, y) == ()


def test_engagement_that_makes_sure_is_not_accused_for_it() -> None:
    y = outcomes()
    often = np.zeros(N)
    often[np.flatnonzero(y == 1)[:199]] = 1.0
    columns = {"visits": often}
    assert kinds(probe_leakage(columns, y)) == {"visits": "certain"}
    assert probe_leakage(columns, y, dated={"visits"}) == ()


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_date_that_is_the_close_date_is_named_although_it_says_nothing_of_winning(
    sign: int,
) -> None:
    rng, y = np.random.default_rng(1), outcomes()
    ended = rng.exponential(60, N)
    date = np.where(rng.random(N) < 0.9, sign * np.floor(ended), np.nan)
    contract = rng.normal(0, 60, N)
    columns = {"settled_on": date, "contract_ends": contract}
    assert probe_leakage(columns, y) == ()
    (found,) = probe_leakage(columns, y, ended_days=ended)
    assert (found.column, found.kind) == ("settled_on", "closes")


def test_where_everything_closes_at_once_no_number_tells_the_close() -> None:
    y, ended = outcomes(), np.full(N, 0.4)
    calls = np.random.default_rng(1).integers(0, 3, N).astype(float)
    assert probe_leakage({"calls": calls, "ones": np.ones(N)}, y, ended_days=ended) == ()


def test_without_known_closes_no_date_is_accused() -> None:
    y, nothing = outcomes(), np.full(N, np.nan)
    assert probe_leakage({"calls": np.ones(N)}, y, ended_days=nothing) == ()


# Names


def test_no_name_stops_the_training_and_no_name_lets_a_column_pass() -> None:
    rng, y = np.random.default_rng(1), outcomes()
    weak, strong = rng.normal(0, 1, N) + 0.4 * y, y + rng.normal(0, 0.2, N)
    for name in ("Last Activity", "close_date", "lead_score", "x7", "Größe", "状态"):
        assert blocked(probe_leakage({name: weak}, y)) == set()
        assert kinds(probe_leakage({name: strong}, y)) == {name: "separates"}


def test_a_telling_name_with_evidence_is_a_suspicion_and_without_it_nothing() -> None:
    rng, y = np.random.default_rng(1), outcomes()
    weak, none = rng.normal(0, 1, N) + 0.4 * y, rng.normal(0, 1, N)
    some = np.where(rng.random(N) < 0.4, np.nan, weak)
    columns = {"Last Activity": weak, "Close Date": none, "visits": weak}
    columns |= {"price_index": weak, "activity_score": some}
    findings = probe_leakage(columns, y)
    # An index that everybody has is no grade that was given to some.
    assert kinds(findings) == {"Last Activity": "suspect", "activity_score": "suspect"}
    assert blocked(findings) == set()


def test_a_telling_name_over_noise_is_seldom_suspected_even_with_few_leads() -> None:
    # One-sided 2.5 % each: more than 8 of 100 is beyond three standard errors.
    rng, y = np.random.default_rng(7), outcomes(8, 0.3, 120)
    columns = {f"last_activity_{i}": rng.integers(0, 4, 120).astype(float) for i in range(100)}
    assert len(probe_leakage(columns, y)) <= 8


def test_a_telling_name_with_a_trace_of_evidence_among_very_many_leads_is_not_suspected() -> None:
    # A tenth of a standard deviation: real, but worth a fifth of a percent of the uncertainty.
    y = outcomes(9, 0.3, 60_000)
    trace = np.random.default_rng(9).normal(0, 1, 60_000) + 0.1 * y
    assert probe_leakage({"last_activity": trace}, y) == ()


def test_a_column_made_of_dated_facts_is_not_suspected_for_its_name() -> None:
    y = outcomes()
    weak = np.random.default_rng(1).normal(0, 1, N) + 0.4 * y
    assert probe_leakage({"stage": weak}, y, dated={"stage"}) == ()
    assert kinds(probe_leakage({"stage": y}, y, dated={"stage"})) == {"stage": "separates"}


@pytest.mark.parametrize(
    "name",
    [
        "Last Activity",
        "last_notable_activity",
        "lastContactDate",
        "LATEST_CALL",
        "Tags",
        "Status",
        "lead status",
        "deal_stage",
        "Sales Stage",
        "close_date",
        "closeValue",
        "lost reason",
        "Closed At",
        "won_amount",
        "call_outcome",
        "converted",
        "invoice_number",
    ],
)
def test_names_of_overwritten_fields_are_recognised(name: str) -> None:
    assert OVERWRITTEN.search(words_of(name))


@pytest.mark.parametrize(
    "name", ["Lead Quality", "lead_score", "Asymmetrique Profile Index", "Lead Profile"]
)
def test_names_of_grades_are_recognised(name: str) -> None:
    assert GRADED.search(words_of(name))


@pytest.mark.parametrize(
    "name",
    [
        "marital_status",
        "employment_status",
        "funding_stage",
        "last_name",
        "poutcome",
        "cons.conf.idx",
        "day_of_week",
        "previous",
        "contact",
        "Deal_type",
        "Lead Source",
        "Receive More Updates About Our Courses",
        "What matters most to you in choosing a course",
        "closest_office",
        "stage_of_life",
        "window",
        "profile_photo",
        "vintage",
    ],
)
def test_names_that_only_sound_similar_are_not(name: str) -> None:
    assert not OVERWRITTEN.search(words_of(name))
    assert not GRADED.search(words_of(name))


# What happens then


def test_training_is_stopped_with_every_column_and_both_ways_out() -> None:
    y = outcomes()
    findings = probe_leakage({"a": y, "size": np.ones(N), "b": np.where(y == 1, 1, np.nan)}, y)
    with pytest.raises(LeakageError) as stop:
        refuse_leakage(findings)
    text = str(stop.value)
    assert [problem.field for problem in stop.value.problems] == ["a", "b"]
    for words in (
        "2 of the columns",
        "known_late: true",
        "--allow-leakage a",
        "--allow-leakage b",
    ):
        assert words in text


def test_a_person_can_overrule_one_column_and_it_stays_on_record() -> None:
    y = outcomes()
    findings = probe_leakage({"a": y, "b": y}, y, allow={"a"})
    assert blocked(findings) == {"b"}
    assert findings[0].allowed
    assert "overruled" in findings[0].message
    refuse_leakage([finding for finding in findings if finding.column == "a"])


def test_findings_are_plain_json() -> None:
    y = outcomes()
    (found,) = probe_leakage({"a": y}, y)
    text = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert (text["column"], text["kind"], text["threshold"]) == ("a", "separates", 0.22)


def test_without_two_classes_or_with_ragged_columns_the_probe_refuses() -> None:
    with pytest.raises(OneClassError):
        probe_leakage({"a": [1.0, 2.0]}, [0, 0])
    with pytest.raises(ValueError, match="size has 3 values for 2 outcomes"):
        probe_leakage({"size": [1.0, 2.0, 3.0]}, [0, 1])


@pytest.mark.parametrize(
    "column", [[np.nan] * 4, [np.inf, 1, 2, 3], ([-1] * 4, ()), ([0] * 4, ("x",))]
)
def test_empty_constant_and_infinite_columns_are_harmless(column: Any) -> None:
    assert probe_leakage({"size": column}, [0, 1, 0, 1]) == ()
