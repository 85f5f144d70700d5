"""Is a rehearsal the real steps, one after the other, and blind to whatever comes later?"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import structlog
from sqlalchemy import func, select
from trained_company import CONFIG, trained_company

from features.errors import NotEnoughEvidenceError
from features.store.outcomes import deals
from features.store.replaying import copy_recorded
from features.store.shown import shown_in_queue
from features.store.tables import answers, events, lead_versions, stages
from models.workspace import Workspace
from serving.queue_step import score_queue
from training.loop.policy import Policy
from training.loop.rehearsal_page import rehearsal_page
from training.loop.rehearse import WEEK, Plan, Rehearsal, rehearse
from training.loop.rehearsed import NAMES, by_week, figures, judged
from training.loop.stage import first_week, loop_of, scratch
from training.promote import promote
from training.run import train

WEEKS = 4


@dataclass(frozen=True)
class Played:
    """A rehearsal of the last weeks of the trained company whose outcomes are known."""

    history: Workspace
    stage: Workspace
    plan: Plan
    rehearsal: Rehearsal


@pytest.fixture(autouse=True, scope="module")
def quiet() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    history = trained_company().read_only()
    stage = scratch(tmp_path_factory.mktemp("stage"), history.definition_path)
    first = first_week(history.store, history.definition(), WEEKS)
    plan = Plan(first, WEEKS, 0, CONFIG)
    loop = loop_of(stage, 0, Policy(), plan)
    done = rehearse(history.store, stage, loop, score_queue, plan)
    yield Played(history, stage, plan, done)
    history.store.close()
    stage.store.close()


@pytest.mark.slow
def test_a_rehearsal_says_what_the_steps_say_when_run_by_hand(
    played: Played, tmp_path: Path
) -> None:
    by_hand = scratch(tmp_path, played.history.definition_path)
    source, definition = played.history.store, played.history.definition()
    first = played.plan.first
    copy_recorded(source, by_hand.store, definition, since=0, until=first)
    digest = train(by_hand, CONFIG, now=first).digest
    promote(by_hand, digest, now=first, by="rehearsal", force="the rehearsal begins with it")
    loop = loop_of(by_hand, 0, Policy(), played.plan)
    for week, at in zip(played.rehearsal.weeks, played.plan.instants, strict=True):
        copy_recorded(source, by_hand.store, definition, since=max(first, at - WEEK), until=at)
        look = loop.look(at)
        score_queue(by_hand, at)
        with by_hand.store.read() as connection:
            shown = shown_in_queue(connection, at)
        assert week.look is not None
        assert (look.action, look.champion) == (week.look.action, week.look.champion)
        assert shown == dict(zip(week.leads, week.said["ours"].tolist(), strict=True))
    by_hand.store.close()


def test_nothing_recorded_at_or_after_the_clock_is_on_the_stage(played: Played) -> None:
    last = played.plan.instants[-1]
    for table in (lead_versions, answers, events, stages, deals):
        newest = select(func.max(table.c.recorded_at))
        with played.stage.store.read() as connection:
            assert connection.execute(newest).scalar_one() < last, table.name
        with played.history.store.read() as connection:
            assert connection.execute(newest).scalar_one() > last, table.name


def test_all_three_begin_with_the_same_model_and_are_asked_about_the_same_leads(
    played: Played,
) -> None:
    weeks = played.rehearsal.weeks
    assert [week.at for week in weeks] == played.plan.instants
    for week in weeks:
        assert set(week.said) == set(NAMES)
        assert all(len(said) == len(week.leads) > 100 for said in week.said.values())
    first = weeks[0].said
    assert np.allclose(first["frozen"], first["retrain_15d"])
    assert np.allclose(first["frozen"], first["ours"])
    assert played.rehearsal.changes["frozen"] == 0
    assert played.rehearsal.changes["retrain_15d"] == (WEEKS - 1) * 7 // 15


def test_figures_are_those_of_a_plain_loop_over_the_rows(played: Played) -> None:
    definition = played.history.definition()
    found = judged(played.history.store, definition, played.rehearsal)
    told = figures(found, played.rehearsal)
    here = found.known()
    assert len(here) == told["rows"] == sum(len(week.leads) for week in played.rehearsal.weeks)
    for name in NAMES:
        p, y = found.said[name][here], found.y[here]
        by_hand = -np.mean([np.log(q if won else 1 - q) for q, won in zip(p, y, strict=True)])
        assert told[name]["log_loss"] == pytest.approx(by_hand, abs=1e-5)
    assert json.loads(json.dumps(told, allow_nan=False)) == told


def test_the_page_fetches_nothing_and_shows_every_contestant(played: Played) -> None:
    found = judged(played.history.store, played.history.definition(), played.rehearsal)
    told = figures(found, played.rehearsal)
    page = rehearsal_page(told, by_week(found, played.rehearsal))
    assert page.count("<svg") == 2
    assert page.count("<polyline") == 7
    for word in ("the loop", "frozen", "retrained every 15 days"):
        assert word in page
    for fetched in ("http:", "https:", "src=", "<script", "@import"):
        assert fetched not in page


def test_a_history_that_is_too_short_is_refused_with_what_would_do(played: Played) -> None:
    with pytest.raises(NotEnoughEvidenceError, match="too short to rehearse 400 weeks") as raised:
        first_week(played.history.store, played.history.definition(), 400)
    assert "at most" in raised.value.hint
