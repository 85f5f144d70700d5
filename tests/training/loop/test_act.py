"""Which of its works does the loop do at a look, in which order, and when does it rest?

The works – training, calibrating, comparing, taking back – have tests of their own. Here each is
replaced by one that notes that it was asked for, and decides as the test says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from agreed import NOW, agreed
from models_made import fill, workspace_of
from on_record import decide

from features.clock import DAY
from features.errors import LeakageError, NotEnoughEvidenceError
from features.store.engine import Store
from features.store.outcomes import Deal
from features.store.promotions import BundleRecord, record_bundle
from features.store.recording import record_deals
from models.workspace import Workspace
from training.loop import act
from training.loop.act import Look, Loop
from training.verdicts import Verdict

CHAMPION = "c" * 64
OTHER = "d" * 64


@dataclass
class Works:
    """What was asked for, in turn; what each decides: None – there was nothing to decide."""

    asked: list[str] = field(default_factory=list)
    reported: list[tuple[str, str]] = field(default_factory=list)
    decisions: dict[str, str | None] = field(default_factory=dict)

    def decided(self, work: str) -> Any:
        self.asked.append(work)
        decision = self.decisions.get(work)
        if decision is None:
            return None
        if decision == "too few":
            raise NotEnoughEvidenceError("too few outcomes")
        verdict = Verdict(decision, f"{work} said so", {"leads": 7})  # type: ignore[arg-type]
        return SimpleNamespace(
            digest=OTHER, verdict=verdict, calibration=SimpleNamespace(name="platt")
        )


@pytest.fixture
def works(monkeypatch: pytest.MonkeyPatch) -> Works:
    found = Works(decisions={"recalibrate": "keep", "retrain": "keep"})

    def reconsider(*_: Any, **__: Any) -> list[Any]:
        one = found.decided("reconsider")
        return [] if one is None else [one]

    def roll_back(*_: Any, **__: Any) -> Any:
        one = found.decided("roll_back")
        return one and SimpleNamespace(verdict=one.verdict, champion=OTHER, gone=CHAMPION)

    def report(_: Workspace, digest: str, decision: str, *__: Any) -> None:
        found.reported.append((digest, decision))

    monkeypatch.setattr(act, "reconsider", reconsider)
    monkeypatch.setattr(act, "roll_back_if_worse", roll_back)
    monkeypatch.setattr(act, "retrain", lambda *_, **__: found.decided("retrain"))
    monkeypatch.setattr(act, "recalibrate", lambda *_, **__: found.decided("recalibrate"))
    monkeypatch.setattr(act, "report", report)
    return found


@pytest.fixture
def home(sqlite_store: Store, tmp_path: Any) -> Iterator[Workspace]:
    fill(sqlite_store, agreed())
    found = workspace_of(sqlite_store, tmp_path)
    yield found
    found.store.close()


def trained(home: Workspace, days_ago: float, digest: str = CHAMPION) -> None:
    """A model that was trained so long ago."""
    at = NOW - round(days_ago * DAY)
    with home.store.write() as connection:
        record_bundle(
            connection,
            BundleRecord(
                digest=digest,
                created_at=at,
                origin="train",
                parent=None,
                definition=agreed().hash,
                summary={},
            ),
        )


def champion(home: Workspace, days_ago: float) -> None:
    """A model that was trained and promoted so long ago."""
    trained(home, days_ago)
    decide(home.store, CHAMPION, decided_at=NOW - round(days_ago * DAY))


def closed(home: Workspace, n: int, days_ago: float) -> None:
    """So many deals that were recorded so long ago."""
    at = NOW - round(days_ago * DAY)
    with home.store.write() as connection:
        told = [
            Deal(
                lead=f"L-{i % 240:04d}",
                ending="lost",
                occurred_at=at - DAY,
                recorded_at=at,
                external_id=f"{days_ago}/{i}",
            )
            for i in range(n)
        ]
        assert not record_deals(connection, told, agreed(), NOW).problems


def look(home: Workspace, advice: str = "nothing", *, alarm: bool = False) -> Look:
    seen = SimpleNamespace(
        verdict=SimpleNamespace(action=advice, reason=f"advice: {advice}"),
        alarm=SimpleNamespace(is_raised=alarm),
    )
    return Loop(home, lambda _: seen, "the loop").look(NOW)  # type: ignore[arg-type,return-value]


def test_before_the_first_model_one_is_trained_and_too_few_outcomes_are_told(
    home: Workspace, works: Works
) -> None:
    found = look(home)
    assert (found.action, found.decision, works.asked) == ("retrain", "keep", ["retrain"])
    assert found.reason.startswith("there is no model yet")
    works.decisions["retrain"] = "too few"
    with pytest.raises(NotEnoughEvidenceError):
        look(home)


def test_a_first_model_that_was_no_better_than_none_is_asked_again_before_another_is_trained(
    home: Workspace, works: Works
) -> None:
    trained(home, 27.9)
    found = look(home)
    assert (found.action, works.asked) == ("nothing", ["reconsider"])
    assert found.reason == "no model is better than none yet"
    works.decisions["reconsider"] = "promote"
    assert look(home).action == "reconsider"


def test_a_first_model_that_stays_no_better_is_followed_by_another_after_four_weeks(
    home: Workspace, works: Works
) -> None:
    trained(home, 28)
    assert look(home).action == "retrain"
    assert works.asked == ["retrain"]


def test_an_alarm_takes_a_bad_promotion_back_even_while_the_loop_rests(
    home: Workspace, works: Works
) -> None:
    champion(home, 3)
    works.decisions["roll_back"] = "promote"
    found = look(home, "recalibrate", alarm=True)
    assert (found.action, found.champion, found.also) == ("roll_back", OTHER, {"gone": CHAMPION})
    assert works.asked == ["roll_back"]


def test_an_alarm_that_no_promotion_explains_is_followed_like_any_advice(
    home: Workspace, works: Works
) -> None:
    champion(home, 30)
    assert look(home, "recalibrate", alarm=True).action == "recalibrate"
    assert works.asked == ["roll_back", "reconsider", "recalibrate"]


@pytest.mark.parametrize(("days_ago", "asked"), [(20.9, []), (21, ["reconsider", "recalibrate"])])
def test_for_three_weeks_after_a_change_nothing_is_changed(
    home: Workspace, works: Works, days_ago: float, asked: list[str]
) -> None:
    champion(home, days_ago)
    found = look(home, "recalibrate")
    assert works.asked == asked
    assert ("at rest until" in found.reason) == (asked == [])


def test_a_challenger_that_has_become_better_is_promoted_and_follows_the_newest_outcomes(
    home: Workspace, works: Works
) -> None:
    champion(home, 100)
    works.decisions["reconsider"] = "promote"
    found = look(home, "retrain")
    assert (found.action, found.decision, found.also["recalibrated"]) == (
        "reconsider",
        "promote",
        "keep",
    )
    assert works.asked == ["reconsider", "recalibrate"], "nothing else comes into force"
    assert works.reported == [(OTHER, "promote"), (OTHER, "keep")]
    works.decisions["recalibrate"] = "too few"
    assert look(home).also["recalibrated"] == "waits: too few outcomes"


def test_a_challenger_that_stays_undecided_stands_in_the_way_of_nothing(
    home: Workspace, works: Works
) -> None:
    champion(home, 100)
    works.decisions["reconsider"] = "undecided"
    assert look(home, "nothing").action == "reconsider", "it is all there was to do"
    assert look(home, "retrain").action == "retrain"
    assert look(home, "recalibrate").action == "recalibrate"


@pytest.mark.parametrize(("days_ago", "action"), [(27.9, "nothing"), (28, "retrain")])
def test_lost_order_is_answered_by_a_training_at_most_every_four_weeks(
    home: Workspace, works: Works, days_ago: float, action: str
) -> None:
    champion(home, days_ago)
    works.decisions["retrain"] = "promote"
    found = look(home, "retrain")
    assert found.action == action
    if action == "retrain":
        assert found.reason == "advice: retrain: retrain said so"
        assert works.asked == ["reconsider", "retrain", "recalibrate"]


@pytest.mark.parametrize(("more", "action"), [(1, "nothing"), (2, "retrain")])
def test_a_twentieth_more_deals_are_reason_enough_for_a_training(
    home: Workspace, works: Works, more: int, action: str
) -> None:
    champion(home, 70)
    closed(home, 40, 80)
    closed(home, more, 10)
    found = look(home)
    assert found.action == action
    if action == "retrain":
        assert found.reason.startswith("5% more deals have closed")


@pytest.mark.parametrize(
    ("fresh", "tried", "action"),
    [(50, 55, "recalibrate"), (49, 55, "nothing"), (50, 6.9, "nothing")],
)
def test_fifty_fresh_deals_a_week_after_the_last_try_are_followed_without_any_advice(
    home: Workspace, works: Works, fresh: int, tried: float, action: str
) -> None:
    champion(home, 55)
    trained(home, tried, OTHER) if tried != 55 else None
    closed(home, 2_000, 58)
    closed(home, fresh, 5)
    found = look(home)
    assert found.action == action
    if action == "recalibrate":
        assert found.also == {"model": OTHER, "calibration": "platt"}
        assert works.reported == [(OTHER, "keep")]


def test_deals_without_another_matured_cohort_are_waited_with(
    home: Workspace, works: Works
) -> None:
    """Cohorts are thirty days apart: within the same one nothing new has matured."""
    definition = home.definition()
    every = 30 * DAY
    since_one_matured = (NOW - definition.outcome_wait) % every
    assert since_one_matured > 7.5 * DAY, "the present of the tests allows the example"
    champion(home, 45)
    trained(home, since_one_matured / DAY - 0.1, OTHER)
    closed(home, 60, 5)
    assert look(home).action == "nothing"
    assert "recalibrate" not in works.asked


def test_too_few_outcomes_for_a_calibration_are_a_reason_and_no_error(
    home: Workspace, works: Works
) -> None:
    champion(home, 30)
    works.decisions["recalibrate"] = "too few"
    found = look(home, "recalibrate")
    assert (found.action, found.reason, found.decision) == ("nothing", "too few outcomes", None)
    assert found.to_json()["advised"] == "recalibrate"


def test_while_a_column_leaks_the_level_is_followed_and_the_error_told(
    home: Workspace, works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leaks(*_: Any, **__: Any) -> Any:
        works.asked.append("retrain")
        raise LeakageError("close_reason knows the outcome")

    monkeypatch.setattr(act, "retrain", leaks)
    champion(home, 60)
    for advice, asked in (("retrain", []), ("recalibrate", ["recalibrate"])):
        works.asked.clear()
        closed(home, 30, 1)
        with pytest.raises(LeakageError, match="close_reason"):
            look(home, advice)
        assert works.asked == ["reconsider", "retrain", *asked]
