"""Reasons add up to the score, one for each fact, and their words carry the figure."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_cases import office, simulated, unranked
from model_checks import Case

from features.catalog import FeatureSpec
from features.frames import FeatureFrame
from models.blend import Blend, by_rates
from models.encoder import Encoder
from models.explain import Explanation, Reason, explain, figure, in_words
from models.linear import Term
from models.propensity import PropensityModel
from models.trees import Trees

CASES = [simulated, office, unranked]


@pytest.mark.parametrize("case", CASES)
def test_base_and_reasons_add_up_to_the_raw_score(case: Callable[[], Case]) -> None:
    frame = case().frame
    raw = case().model.raw(frame)
    for said, score in zip(explain(case().model, frame), raw, strict=True):
        total = said.base + sum(reason.log_odds for reason in said.reasons)
        assert total == pytest.approx(score, abs=1e-9, rel=0)


@pytest.mark.parametrize("case", CASES)
def test_a_reason_is_the_sum_of_lightgbms_contributions_and_the_curves_over_its_fact(
    case: Callable[[], Case],
) -> None:
    model, frame = case().model, case().frame.take(np.arange(50))
    blend, matrix = model.learner, model.encoder.matrix(frame)
    booster = lgb.Booster(model_str=blend.trees.text)
    read = by_rates(matrix, blend.columns, blend.rates)
    shares = booster.predict(read, pred_contrib=True, num_threads=1)
    for row, said in enumerate(explain(model, frame)):
        expected: dict[str, float] = defaultdict(float)
        for i, spec in enumerate(model.specs):
            curve = _read_off(blend.linear.terms[i], matrix[row, i]) if blend.linear else 0.0
            expected[spec.fact] += blend.weight * curve + (1 - blend.weight) * shares[row, i]
        intercept = blend.linear.intercept if blend.linear else 0.0
        base = blend.shift + blend.weight * intercept + (1 - blend.weight) * shares[row, -1]
        assert said.base == pytest.approx(base, abs=1e-12)
        found = {reason.fact: reason.log_odds for reason in said.reasons}
        told = {fact: share for fact, share in expected.items() if share != 0.0}
        assert found == pytest.approx(told, abs=1e-12)


def _read_off(term: Term, value: float) -> float:
    """A term's value, read off by hand."""
    if np.isnan(value):
        return term.missing
    if term.knots is None:
        return term.values[int(value)]
    if value <= term.knots[0]:
        return term.values[0]
    for k in range(1, len(term.knots)):
        left, right = term.knots[k - 1], term.knots[k]
        if value <= right:
            share = (value - left) / (right - left)
            return term.values[k - 1] + share * (term.values[k] - term.values[k - 1])
    return term.values[-1]


@pytest.mark.parametrize("case", CASES)
def test_reasons_come_strongest_first_and_a_fact_once(case: Callable[[], Case]) -> None:
    for said in explain(case().model, case().frame.take(np.arange(60))):
        strength = [abs(reason.log_odds) for reason in said.reasons]
        assert strength == sorted(strength, reverse=True)
        assert len({reason.fact for reason in said.reasons}) == len(said.reasons)
        assert all(strength)


@pytest.mark.parametrize("n", [0, 1, 3, 5, 1000])
def test_the_top_and_the_rest_still_add_up(n: int) -> None:
    model, frame = simulated().model, simulated().frame.take(np.arange(30))
    for said, score in zip(explain(model, frame), model.raw(frame), strict=True):
        top = said.top(n)
        assert len(top) == min(n + 1, len(said.reasons)) or n >= len(said.reasons)
        total = said.base + sum(reason["log_odds"] for reason in top)
        assert total == pytest.approx(score, abs=1e-9, rel=0)
        hidden = len(said.reasons) - n
        if hidden > 0:
            assert top[-1]["fact"] == "rest"
            assert top[-1]["words"] == f"{hidden} weaker reasons together"
        json.dumps(top, allow_nan=False)


def test_a_lead_is_explained_alone_as_in_a_batch() -> None:
    model, frame = simulated().model, simulated().frame.take(np.arange(40))
    batch = explain(model, frame)
    assert [explain(model, frame.take(np.array([i])))[0] for i in range(40)] == batch


def test_nobody_has_no_reasons() -> None:
    assert explain(simulated().model, simulated().frame.take(np.arange(0))) == []


def test_reasons_speak_of_what_is_known_about_the_lead_and_not_of_what_is_coded() -> None:
    """The words are those of one of the fact's columns, filled with the row's own value."""
    model, frame = simulated().model, simulated().frame.take(np.arange(80))
    specs: dict[str, list[FeatureSpec]] = defaultdict(list)
    for spec in model.catalog:
        specs[spec.fact].append(spec)
    for row, said in enumerate(explain(model, frame)):
        values = frame.row(row)
        for reason in said.reasons:
            possible = {in_words(spec, values[spec.name]) for spec in specs[reason.fact]}
            assert reason.words in possible
            assert reason.label in {spec.label for spec in specs[reason.fact]}


def test_an_answer_is_told_in_its_own_words_and_not_by_its_rank() -> None:
    model, frame = simulated().model, simulated().frame
    told = {
        (reason.words, frame.row(row)["bant_purchase_timeline"])
        for row, said in enumerate(explain(model, frame.take(np.arange(200))))
        for reason in said.reasons
        if reason.fact == "bant:purchase_timeline" and "days ago" not in reason.words
    }
    assert ("timeline: within 3 months", "within 3 months") in told
    for words, answer in told:
        assert words == ("timeline: not asked" if answer is None else f"timeline: {answer}")


def handmade(*columns: str) -> tuple[PropensityModel, FeatureFrame]:
    """A model that reads these columns of the office, and thirty rows of it."""
    frame = office().frame
    encoder = Encoder.fit(frame, columns)
    y = (np.nan_to_num(np.asarray(frame.columns[columns[0]])) > 2).astype(float)
    rows = lgb.Dataset(encoder.matrix(frame), y, feature_name=list(columns))
    parameters = {"objective": "binary", "num_leaves": 3, "verbosity": -1, "num_threads": 1}
    text = lgb.train(parameters, rows, num_boost_round=5).model_to_string()
    model = replace(office().model, encoder=encoder, learner=Blend.of_trees(Trees(text)))
    return model, frame.take(np.arange(30))


def test_counts_are_told_with_their_figure_and_window() -> None:
    model, frame = handmade("ev_webinar_ever", "ev_webinar_7d")
    for row, said in enumerate(explain(model, frame)):
        assert len(said.reasons) <= 1, "both columns are one fact"
        for reason in said.reasons:
            ever = figure(float(frame.row(row)["ev_webinar_ever"] or 0))
            recent = figure(float(frame.row(row)["ev_webinar_7d"] or 0))
            assert reason.label == "Webinar"
            assert reason.words in {
                f"{ever} × webinar so far",
                f"{recent} × webinar in 7 days",
            }


SPEC = FeatureSpec(
    name="x", kind="number", fact="f", label="L", phrase="{value} × visits", missing="no visit"
)


@pytest.mark.parametrize(
    ("spec", "value", "words"),
    [
        (SPEC, 3.0, "3 × visits"),
        (SPEC, 0.0, "0 × visits"),
        (SPEC, None, "no visit"),
        (replace(SPEC, phrase="{value}", kind="category"), "Retail", "Retail"),
        (replace(SPEC, phrase="{value}", kind="category"), "{value}", "{value}"),
        (replace(SPEC, unit="yes/no", phrase="{value}"), 1.0, "yes"),
        (replace(SPEC, unit="yes/no", phrase="{value}"), 0.0, "no"),
        (replace(SPEC, unit="share", phrase="{value} answered"), 0.375, "38% answered"),
        (replace(SPEC, unit="days", phrase="{value} days ago"), 12.6, "13 days ago"),
        (replace(SPEC, unit="days", phrase="{value} days ago"), -30.0, "in 30 days"),
        (replace(SPEC, unit="people", phrase="{value} people"), 51234.5, "51,234 people"),
    ],
)
def test_a_value_in_words(spec: FeatureSpec, value: str | float | None, words: str) -> None:
    assert in_words(spec, value) == words


@given(st.floats(-1e300, 1e300))
def test_a_figure_is_short_and_within_its_last_place_of_the_number(value: float) -> None:
    text = figure(value)
    assert len(text) <= 20
    read = float(text.replace(",", ""))
    # Two digits, or whole from ten on: never more than 5 % away, never of the other sign.
    assert abs(read - value) <= 0.05 * abs(value)
    assert read * value >= 0


def test_the_words_speak_for_the_direction_of_the_whole_fact() -> None:
    """Two columns of one fact pull apart: the stronger side gives the words."""
    case = unranked()
    shares, _ = case.model.contributions(case.frame)
    specs, seen = case.model.specs, 0
    for row, said in enumerate(explain(case.model, case.frame)):
        values = case.frame.row(row)
        for reason in said.reasons:
            if not reason.fact.startswith("event:"):
                continue
            mine = [i for i, spec in enumerate(specs) if spec.fact == reason.fact]
            for_it = [i for i in mine if shares[row, i] * reason.log_odds > 0]
            seen += len(for_it) < sum(shares[row, i] != 0 for i in mine)
            strongest = max(for_it, key=lambda i: abs(shares[row, i]))
            assert reason.words == in_words(specs[strongest], values[specs[strongest].name])
    assert seen > 20, "there were facts whose columns pull apart"


def test_a_reason_is_plain_data() -> None:
    reason = Reason("event:webinar", "Webinar", "3 × webinar", 0.25)
    assert reason.to_json() == {
        "fact": "event:webinar",
        "label": "Webinar",
        "words": "3 × webinar",
        "log_odds": 0.25,
    }
    assert Explanation(0.0, (reason,)).top(1) == [reason.to_json()]
