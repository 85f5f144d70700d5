"""Is it said of each band what would come of it if it were worked, where work was drawn by lot?"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from trained_company import CONFIG, END, trained_company

from features.clock import DAY
from features.facts import Answer
from features.store.exposure import Place, Shown, record_shown
from features.store.ingest import ingest
from features.store.trials import Rules, note_rules
from models.workspace import Workspace
from training.loop.if_worked import if_worked
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
    assert sum(band["rows"] for band in content["bands"]) == found.rows
    drawn.store.close()
