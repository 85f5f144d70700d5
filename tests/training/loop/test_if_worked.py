"""Is it said of each band what would come of it if it were worked, where work was drawn by lot?"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from on_record import scored
from trained_company import CONFIG, END, trained_company

from features.clock import DAY
from features.facts import Answer
from features.store.exposure import Place, Shown, record_shown
from features.store.ingest import ingest
from features.store.ledger import record_scores
from features.store.trials import Rules, note_rules
from models.workspace import Workspace
from training.loop.if_worked import if_worked
from training.loop.said import Said, said_unlearned
from training.loop.selection import Taught
from training.promote import promote
from training.unseen import matured_rows

CHANCE = 0.25


@pytest.fixture
def drawn(tmp_path: Path) -> Workspace:
    """At each cohort's instant a quarter of the company's open leads is shown first, and worked."""
    company = trained_company()
    workspace = company.copy(tmp_path)
    definition = workspace.definition()
    promote(workspace, company.digest, now=END, by="tests", force="it is the champion here")
    rows = matured_rows(workspace, definition)
    lucky = np.random.default_rng(0).random(len(rows)) < CHANCE
    question = definition.questions[0]
    shown, work = [], []
    for row, among in enumerate(lucky.tolist()):
        lead, at = rows.frame.lead_ids[row], int(rows.as_of[row]) + 1
        place: Place = "explored" if among else "score"
        shown.append(
            Shown(
                lead=lead,
                score=row,
                at=at,
                list="everybody",
                rank=1 if among else 60,
                channel="page",
                place=place,
                chance=CHANCE,
            )
        )
        if among:
            answer = question.answers.sales[0]
            said = Answer(
                lead=lead, question=question.name, answer=answer, occurred_at=at, recorded_at=at
            )
            work.append(said)
    with workspace.store.write() as connection:
        note_rules(connection, Rules(0.05, 0.0, 50), int(rows.as_of.min()) - DAY)
        record_shown(connection, shown)
        assert not ingest(connection, work, definition, END).problems
    return workspace


@pytest.mark.slow
def test_where_work_changes_nothing_the_bands_are_what_they_are_as_usual(drawn: Workspace) -> None:
    found = if_worked(drawn, config=CONFIG)
    assert 0 < found.worked < found.rows
    assert found.neglect is not None
    assert found.error is not None
    assert abs(found.neglect) < 3 * found.error, "what bought was not asked when work was drawn"
    large = [band for band in found.bands if band.worked >= 100]
    assert large
    for band in large:
        wide = (band.by_weight.upper - band.by_weight.lower) / 2
        assert abs(band.by_weight.estimate - band.as_usual) < 2 * wide
        assert band.if_worked == pytest.approx(band.as_usual, abs=max(2 * wide, 0.04))
    content = found.to_json()
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    rows = matured_rows(drawn, drawn.definition())
    said = said_unlearned(drawn, drawn.registry.champion(), rows)
    assert (found.shown, found.unlearned) == (0, len(said.rows))
    assert sum(band.rows for band in found.bands) == found.shown + found.unlearned < found.rows
    drawn.store.close()


def test_bands_are_of_what_was_said_by_whom_their_outcomes_had_not_taught(
    drawn: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model that is taught is left out: here the champion itself speaks in its place."""
    champion = drawn.registry.champion()
    rows = matured_rows(drawn, champion.definition)
    before = said_unlearned(drawn, champion, rows)
    learned = sorted(set(range(len(rows))) - set(before.rows.tolist()))[:60]
    given = [
        scored(
            rows.frame.lead_ids[row],
            int(rows.as_of[row]),
            probability=0.25,
            bundle=champion.digest,
            definition=champion.definition.hash,
        )
        for row in learned
    ]
    with drawn.store.write() as connection:
        record_scores(connection, given, [None] * len(given))
    taught = Taught(champion, None, None)
    monkeypatch.setattr("training.loop.if_worked.learn_if_worked", lambda *_: taught)
    found = if_worked(drawn, config=CONFIG)
    assert (found.rows, found.shown, found.unlearned) == (len(rows), 60, len(before.rows))
    said = np.concatenate([before.probability, np.full(60, 0.25)])
    place = np.concatenate([before.rows, np.array(learned)])
    for band in found.bands:
        here = (said >= band.low) & (said < band.high)
        assert band.rows == here.sum()
        assert band.said == pytest.approx(said[here].mean())
        assert band.as_usual == pytest.approx(rows.y[place[here]].mean())
    assert sum(band.rows for band in found.bands) == len(said)
    none = np.zeros(0, dtype=np.int64)
    nothing = Said(none, none.astype(np.float64), none.astype(np.bool_))
    monkeypatch.setattr("training.loop.if_worked.said_unlearned", lambda *_: nothing)
    left = if_worked(drawn, config=CONFIG)
    assert (left.rows, left.shown, left.unlearned, left.bands) == (len(rows), 0, 0, ())
    drawn.store.close()
