"""A company whose scores and outcomes are made up, so that what the monitor must say is known.

Every week some new leads are scored once, by a model that shows the raw score's own probability; each
then wins with a chance that the test decides, and closes within the horizon.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np
from agreed import agreed
from on_record import decide
from page_company import model_of, promote_model, workspace_at

from features.clock import DAY, HOUR
from features.definition import Definition
from features.facts import LeadVersion
from features.store.ingest import ingest
from features.store.ledger import ScoreEntry, record_scores
from features.store.outcomes import Deal
from features.store.recording import record_deals
from models.log_odds import sigmoid
from models.propensity import PropensityModel
from models.workspace import Workspace
from training.loop.logged import WEEK

Floats = np.ndarray
Truth = Callable[[Floats, int, np.random.Generator], Floats]
"""From log-odds as shown and the week to the true chances."""

FIRST = 2_900
"""The number of the first week: in the summer of 2025."""
WAIT = 93 * DAY
"""Horizon and reporting lag of the agreed definition."""
INDUSTRIES = ("Retail", "Software", "No")


def truthful(raw: Floats, week: int, rng: np.random.Generator) -> Floats:
    """What is said is true."""
    return sigmoid(raw)


@cache
def model() -> PropensityModel:
    """A model with all that is said of a trained one; it has judged itself at AUC .73."""
    made = model_of(agreed())
    auc = {"estimate": 0.73, "lower": 0.70, "upper": 0.76, "level": 0.95}
    figures = {"auc": auc, "base_rate": 0.21, "n": 2_000, "wins": 420}
    about = {
        **made.about,
        "judged": {"figures": figures, "bounds": None, "how": "for tests"},
        "learner": {"kind": "blend", "importance": {"attr_industry": 0.4, "attr_employees": 0.2}},
        "data": {"rows": 5_000, "base_rate": 0.2, "from": None, "through": None},
    }
    return replace(made, about=about)


@dataclass
class Watched:
    """The company, and what was written of it.

    Attributes:
        workspace: with the model as its champion since the first week.
        digest: of the model.
        deals: what closed; written as the test pleases.
    """

    workspace: Workspace
    digest: str
    deals: list[Deal] = field(default_factory=list)

    def after(self, weeks: int) -> int:
        """The instant at which the outcomes of so many weeks are known."""
        return (FIRST + weeks) * WEEK + WAIT + HOUR

    def close(self, deals: list[Deal] | None = None) -> None:
        """Write deals, in the order given; by default all."""
        given = self.deals if deals is None else deals
        with self.workspace.store.write() as connection:
            report = record_deals(connection, given, agreed(), (FIRST + 500) * WEEK)
        assert not report.problems, report.problems


def watched(
    place: Path,
    empty_database: Path,
    truth: Truth = truthful,
    *,
    weeks: int = 30,
    per_week: int = 60,
    middle: Callable[[int], float] = lambda _: -1.4,
    seed: int = 0,
    close: bool = True,
) -> Watched:
    """The company: scores of so many weeks, and what came of them."""
    place.mkdir(parents=True, exist_ok=True)
    workspace = workspace_at(place, empty_database)
    digest = promoted(workspace)
    rng = np.random.default_rng(seed)
    found = Watched(workspace, digest)
    for week in range(weeks):
        raw = rng.normal(middle(week), 1.1, per_week)
        won = rng.random(per_week) < truth(raw, week, rng)
        at = (FIRST + week) * WEEK + (rng.random(per_week) * 6 * DAY).astype(np.int64) + HOUR
        names = [f"W{week:03d}-{i:03d}" for i in range(per_week)]
        show(workspace, names, at, raw, digest)
        ends = at + (rng.random(per_week) * 80 * DAY).astype(np.int64) + HOUR
        found.deals += [
            Deal(
                lead=name,
                ending="won" if win else "lost",
                occurred_at=end,
                recorded_at=end,
                external_id=f"D-{name}",
            )
            for name, win, end in zip(names, won.tolist(), ends.tolist(), strict=True)
        ]
    if close:
        found.close()
    return found


def promoted(workspace: Workspace) -> str:
    """The digest of the model, the champion from just before the first week on."""
    digest = promote_model(workspace, model())
    decide(workspace.store, digest, decided_at=FIRST * WEEK)
    return digest


def show(
    workspace: Workspace,
    names: list[str],
    at: np.ndarray,
    raw: Floats,
    digest: str,
    *,
    channel: str = "api",
) -> None:
    """Write leads and scores of them as shown at these instants."""
    definition: Definition = agreed()
    rows = [{"attr_industry": INDUSTRIES[i % 3]} for i in range(len(names))]
    versions = [
        LeadVersion(
            lead=name,
            occurred_at=int(instant) - DAY,
            recorded_at=int(instant) - DAY,
            attributes={"industry": row["attr_industry"]},
        )
        for name, instant, row in zip(names, at.tolist(), rows, strict=True)
    ]
    entries = [
        ScoreEntry(
            lead=name,
            as_of=int(instant),
            scored_at=int(instant),
            raw=float(score),
            probability=float(sigmoid(np.array([score]))[0]),
            route=definition.route_for(float(sigmoid(np.array([score]))[0])).name,
            bundle=digest,
            definition=definition.hash,
            inputs=row,
            reasons=[],
            channel=channel,
        )
        for name, instant, score, row in zip(names, at.tolist(), raw.tolist(), rows, strict=True)
    ]
    with workspace.store.write() as connection:
        ingest(connection, versions, definition, (FIRST + 500) * WEEK)
        record_scores(connection, entries, [None] * len(entries))
