"""What must hold for every model, whatever it was learned from: each check fails with what is wrong.

A check takes a `Case`: a model, and leads to ask about, with the facts that their features come from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from features.bant import preference
from features.clock import DAY
from features.definition import Question
from features.facts import Facts, Happenings, Queries
from features.frames import Category, Column, FeatureFrame, concatenate
from features.pipeline import compute_features
from models.calibrators import FLOOR
from models.propensity import PropensityModel


@dataclass(frozen=True)
class Case:
    """A model, and rows to score with it."""

    model: PropensityModel
    facts: Facts
    queries: Queries
    ranked: bool = True
    """Whether the model was learned with the ranking of answers held."""

    @cached_property
    def frame(self) -> FeatureFrame:
        return compute_features(self.facts, self.queries, self.model.definition)

    def bits(self, frame: FeatureFrame) -> tuple[bytes, bytes]:
        scores = self.model.score(frame)
        return scores.raw.tobytes(), scores.probability.tobytes()

    def with_columns(self, change: Callable[[str, Column], Column]) -> FeatureFrame:
        columns = {name: change(name, column) for name, column in self.frame.columns.items()}
        return replace(self.frame, columns=columns)


def columns_may_come_in_any_order(case: Case) -> None:
    turned = dict(reversed(list(case.frame.columns.items())))
    assert case.bits(replace(case.frame, columns=turned)) == case.bits(case.frame)


def columns_that_it_does_not_read_do_not_matter(case: Case) -> None:
    read = set(case.model.encoder.names)
    changed = case.with_columns(lambda name, column: column if name in read else _blank(column))
    assert case.bits(changed) == case.bits(case.frame)


def levels_may_be_listed_in_any_order(case: Case) -> None:
    def relisted(_: str, column: Column) -> Column:
        if not isinstance(column, Category):
            return column
        return Category.of(column.labels(), ["of no row", *reversed(column.levels)])

    assert case.bits(case.with_columns(relisted)) == case.bits(case.frame)


def rows_may_come_in_any_order(case: Case) -> None:
    order = np.random.default_rng(0).permutation(len(case.frame))
    scores, turned = case.model.score(case.frame), case.model.score(case.frame.take(order))
    assert scores.raw[order].tobytes() == turned.raw.tobytes()
    assert scores.probability[order].tobytes() == turned.probability.tobytes()


def rows_that_come_twice_get_the_same_score_twice(case: Case) -> None:
    doubled = case.model.score(concatenate([case.frame, case.frame]))
    n = len(case.frame)
    assert doubled.raw[:n].tobytes() == doubled.raw[n:].tobytes()
    assert (doubled.raw[:n].tobytes(), doubled.probability[:n].tobytes()) == case.bits(case.frame)


def a_lead_alone_gets_the_same_bits_as_in_a_batch(case: Case) -> None:
    scores = case.model.score(case.frame)
    for i in range(0, len(case.frame), max(1, len(case.frame) // 40)):
        alone = case.model.score(case.frame.take(np.array([i])))
        assert alone.raw.tobytes() == scores.raw[i : i + 1].tobytes()
        assert alone.probability.tobytes() == scores.probability[i : i + 1].tobytes()


def a_later_fact_changes_no_score(case: Case) -> None:
    last = int(case.queries.as_of.max())
    later = replace(
        case.facts,
        events=_one_more(case.facts.events, case.queries, last),
        answers=_one_more(case.facts.answers, case.queries, last),
        stages=_one_more(case.facts.stages, case.queries, last),
    )
    frame = compute_features(later, case.queries, case.model.definition)
    assert case.bits(frame) == case.bits(case.frame)


def nothing_known_is_scored_too(case: Case) -> None:
    blank = case.with_columns(lambda _, column: _blank(column))
    scores = case.model.score(blank)
    assert np.isfinite(scores.raw).all()
    assert np.unique(scores.raw).size == 1


def labels_never_seen_are_read_as_not_known(case: Case) -> None:
    def strange(_: str, column: Column) -> Column:
        if not isinstance(column, Category):
            return column
        return Category(np.zeros(len(column), dtype=np.int64), ("never seen anywhere",))

    def absent(_: str, column: Column) -> Column:
        return _blank(column) if isinstance(column, Category) else column

    assert case.bits(case.with_columns(strange)) == case.bits(case.with_columns(absent))


def nobody_is_certain(case: Case) -> None:
    probability = case.model.score(case.frame).probability
    assert ((probability >= FLOOR) & (probability <= 1 - FLOOR)).all()


def a_higher_raw_score_never_has_a_lower_probability(case: Case) -> None:
    scores = case.model.score(case.frame)
    order = np.argsort(scores.raw, kind="stable")
    # Chains of exp and log1p are monotone up to their rounding.
    assert (np.diff(scores.probability[order]) >= -1e-12).all()


def it_tells_some_leads_from_others(case: Case) -> None:
    assert np.unique(case.model.raw(case.frame)).size > 1


def contributions_add_up_to_the_raw_score(case: Case) -> None:
    shares, base = case.model.contributions(case.frame)
    raw = case.model.raw(case.frame)
    np.testing.assert_allclose(shares.sum(axis=1) + base, raw, rtol=0, atol=1e-9)


def a_better_answer_never_lowers_the_score(case: Case) -> None:
    """Better for sales and for marketing alike; where they disagree, nothing was agreed."""
    if not case.ranked:
        return
    for question in case.model.definition.questions:
        for better, worse in _agreed_pairs(question):
            high = case.model.score(_answered(case, question, better))
            low = case.model.score(_answered(case, question, worse))
            where = f"{question.name}: {better} over {worse}"
            assert (high.raw >= low.raw).all(), where
            assert (high.probability >= low.probability - 1e-12).all(), where


def more_of_a_monotone_number_never_lowers_the_score(case: Case) -> None:
    if not case.ranked:
        return
    rising = [spec for spec in case.model.specs if spec.monotone and spec.fact[:10] == "attribute:"]
    for spec in rising:
        ladder = [-1e6, -1.0, 0.0, 0.5, 3.0, 40.0, 500.0, 1e4, 1e7]
        raw = np.array([case.model.raw(_set_to(case, spec.name, value)) for value in ladder])
        assert (np.diff(raw, axis=0) * spec.monotone >= 0).all(), spec.name


CHECKS: tuple[Callable[[Case], None], ...] = (
    columns_may_come_in_any_order,
    columns_that_it_does_not_read_do_not_matter,
    levels_may_be_listed_in_any_order,
    rows_may_come_in_any_order,
    rows_that_come_twice_get_the_same_score_twice,
    a_lead_alone_gets_the_same_bits_as_in_a_batch,
    a_later_fact_changes_no_score,
    nothing_known_is_scored_too,
    labels_never_seen_are_read_as_not_known,
    nobody_is_certain,
    a_higher_raw_score_never_has_a_lower_probability,
    it_tells_some_leads_from_others,
    contributions_add_up_to_the_raw_score,
    a_better_answer_never_lowers_the_score,
    more_of_a_monotone_number_never_lowers_the_score,
)


def _blank(column: Column) -> Column:
    if isinstance(column, Category):
        return Category(np.full(len(column), -1), column.levels)
    return np.full(len(column), np.nan)


def _one_more(happenings: Happenings, queries: Queries, last: int) -> Happenings:
    """A fact for every lead that is asked about, at the last as-of and a day after it."""
    lead = np.repeat(np.unique(queries.lead), 2)
    when = np.tile([last, last + DAY], len(lead) // 2)
    zero = np.zeros(len(lead), dtype=np.int64)
    more = {"lead": lead, "occurred_at": when, "recorded_at": when, "code": zero, "detail": zero}
    return Happenings(**{k: np.concatenate([getattr(happenings, k), v]) for k, v in more.items()})


def _set_to(case: Case, column: str, value: float) -> FeatureFrame:
    return case.with_columns(
        lambda name, old: np.full(len(case.frame), value) if name == column else old
    )


def _agreed_pairs(question: Question) -> Iterator[tuple[str, str]]:
    sales, marketing = question.answers.sales, question.answers.marketing
    for i, better in enumerate(sales):
        for worse in sales[i + 1 :]:
            if question.monotone and marketing.index(better) < marketing.index(worse):
                yield better, worse


def _answered(case: Case, question: Question, answer: str) -> FeatureFrame:
    """Everybody gave this answer, on the day on which they were asked, or the day before."""
    n, stem = len(case.frame), f"bant_{question.name}"
    code = question.levels.index(answer)
    age: Any = case.frame.columns[f"{stem}_age_days"]
    changed: dict[str, Column] = {
        stem: Category(np.full(n, code), question.levels),
        f"{stem}_age_days": np.where(np.isnan(age), 1.0, age),
        f"{stem}_sales": np.full(n, preference(question, question.answers.sales)[code]),
        f"{stem}_marketing": np.full(n, preference(question, question.answers.marketing)[code]),
    }
    return case.with_columns(lambda name, column: changed.get(name, column))
