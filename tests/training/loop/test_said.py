"""Is what was said of a row always said by somebody whom its outcome had not taught?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from on_record import scored
from trained_company import END, TrainedCompany, trained_company

from features.clock import DAY, HOUR
from features.store.ledger import SHADOW, record_scores
from models.workspace import Workspace
from training.dataset import Dataset
from training.loop.logged import WEEK
from training.loop.said import said_unlearned
from training.promote import promote
from training.splits import pieces
from training.unseen import bounds_of, matured_rows


@pytest.fixture(scope="module")
def company() -> TrainedCompany:
    return trained_company()


@pytest.fixture(scope="module")
def matured(company: TrainedCompany) -> Dataset:
    return matured_rows(company.read_only(), company.model().definition)


@pytest.fixture
def workspace(company: TrainedCompany, tmp_path: Path) -> Iterator[Workspace]:
    found = replace(company.copy(tmp_path / "home"), mlflow_uri="off")
    yield found
    found.store.close()


def show(workspace: Workspace, company: TrainedCompany, *given: dict[str, object]) -> None:
    """Write scores of the champion into the ledger, as it would have given them."""
    usual = MappingProxyType(
        {"bundle": company.digest, "definition": company.model().definition.hash}
    )
    entries = [scored(**{**usual, **one}) for one in given]
    with workspace.store.write() as connection:
        record_scores(connection, entries, [None] * len(entries))


def test_where_nothing_was_shown_only_rows_that_taught_nobody_are_said(
    company: TrainedCompany, matured: Dataset
) -> None:
    """Held against the pieces: those that fit and calibrate, the gaps, and their leads are left out."""
    model = company.model()
    found = said_unlearned(company.read_only(), model, matured)
    bounds = bounds_of(model)
    assert bounds is not None
    fit, calibrate, judge = pieces(matured, bounds)
    assert found.rows.tolist() == judge.rows.tolist()
    assert not set(found.rows.tolist()) & {*fit.rows.tolist(), *calibrate.rows.tolist()}
    assert not found.shown.any()
    own = model.score(matured.frame.take(judge.rows)).probability
    assert found.probability.tolist() == own.tolist()


def test_what_a_calibration_was_fitted_on_says_nothing_either(
    company: TrainedCompany, matured: Dataset
) -> None:
    model = company.model()
    judge = said_unlearned(company.read_only(), model, matured).rows
    through = int(np.median(matured.as_of[judge]))
    calibration = {**model.about["calibration"], "through_instant": through}
    again = model.recalibrated(model.calibrator, {**model.about, "calibration": calibration})
    found = said_unlearned(company.read_only(), again, matured)
    assert found.rows.tolist() == [row for row in judge.tolist() if matured.as_of[row] > through]
    assert 0 < len(found.rows) < len(judge)


def test_a_model_without_time_has_learned_from_every_row(
    company: TrainedCompany, matured: Dataset
) -> None:
    model = company.model()
    judged = {**model.about["judged"], "bounds": None}
    timeless = model.recalibrated(model.calibrator, {**model.about, "judged": judged})
    assert len(said_unlearned(company.read_only(), timeless, matured).rows) == 0


def test_of_a_row_that_was_shown_the_last_score_of_the_week_before_counts(
    workspace: Workspace, company: TrainedCompany, matured: Dataset
) -> None:
    """Also of rows that the champion has learned from; none that came later, or is another's."""
    promote(workspace, company.digest, now=END, by="tests", force="it is the champion here")
    bounds = bounds_of(company.model())
    assert bounds is not None
    row = int(pieces(matured, bounds)[0].rows[0])
    lead, at = matured.frame.lead_ids[row], int(matured.as_of[row])
    others = [i for i, name in enumerate(matured.frame.lead_ids) if name == lead and i != row]
    assert all(abs(int(matured.as_of[i]) - at) > 2 * WEEK for i in others)

    def said_of_it() -> float | None:
        found = said_unlearned(workspace, company.model(), matured)
        places = dict(zip(found.rows.tolist(), range(len(found.rows)), strict=True))
        assert found.shown.sum() == (row in places)
        return float(found.probability[places[row]]) if row in places else None

    show(
        workspace,
        company,
        {"lead": lead, "at": at - WEEK - 1, "probability": 0.11},
        {"lead": lead, "at": at + 1, "probability": 0.12},
        {"lead": lead, "at": at - HOUR, "probability": 0.13, "channel": SHADOW},
        {"lead": lead, "at": at - HOUR, "probability": 0.14, "channel": "payload"},
        {"lead": lead, "at": at - HOUR, "probability": 0.15, "bundle": "b" * 64},
    )
    assert said_of_it() is None
    show(workspace, company, {"lead": lead, "at": at - WEEK, "probability": 0.21})
    assert said_of_it() == 0.21
    show(
        workspace,
        company,
        {"lead": lead, "at": at - DAY, "probability": 0.22},
        {"lead": lead, "at": at - 2 * DAY, "probability": 0.23},
    )
    assert said_of_it() == 0.22
    found = said_unlearned(workspace, company.model(), matured).since(at + 1, matured)
    assert row not in found.rows.tolist()
    assert (matured.as_of[found.rows] > at).all()


def test_a_judging_row_that_was_shown_is_told_as_it_was_shown(
    workspace: Workspace, company: TrainedCompany, matured: Dataset
) -> None:
    """The company's other rows are told as before: held against a loop over all that was shown."""
    promote(workspace, company.digest, now=END, by="tests", force="it is the champion here")
    before = said_unlearned(workspace, company.model(), matured)
    draw = np.random.default_rng(0)
    some = draw.choice(len(matured), 300, replace=False).tolist()
    given = {
        (matured.frame.lead_ids[row], int(matured.as_of[row]) - int(draw.integers(0, 9 * DAY))): p
        for row, p in zip(some, draw.random(300).tolist(), strict=True)
    }
    show(
        workspace,
        company,
        *({"lead": lead, "at": at, "probability": p} for (lead, at), p in given.items()),
    )
    wanted = dict(zip(before.rows.tolist(), before.probability.tolist(), strict=True))
    shown = set()
    for row, (lead, at) in enumerate(
        zip(matured.frame.lead_ids, matured.as_of.tolist(), strict=True)
    ):
        fit = [
            (when, p) for (who, when), p in given.items() if who == lead and at - WEEK <= when <= at
        ]
        if fit:
            wanted[row] = max(fit)[1]
            shown.add(row)
    found = said_unlearned(workspace, company.model(), matured)
    assert dict(zip(found.rows.tolist(), found.probability.tolist(), strict=True)) == wanted
    assert set(found.rows[found.shown].tolist()) == shown
    assert 100 < len(shown) < len(wanted)
