"""Where is the level now? A model beside the champion that also believes the wins of open horizons.

The booster's bytes and what rests on whole horizons stay as they are; beside it stands a level read from
the wins that have come early (`training.early`). It is read anew each time, from what rests on whole
horizons and never from an earlier reading, so no win counts twice. It is kept unless reading so has
cost log loss, forward in time (docs/decisions/0038).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.clock import iso
from features.errors import NotEnoughEvidenceError
from models.bundle import write_bundle
from models.calibrators import adjusted
from models.card import model_card
from models.propensity import PropensityModel
from models.workspace import Workspace
from training.about import summary
from training.comparison import PairedDifference
from training.dataset import Dataset, known_outcomes
from training.early import LEAST_MOVE, Level, Read, read_early, saved_early, times_of_winning
from training.forward import said_following, said_forward
from training.golden import golden_rows
from training.promote import carry_out
from training.run import catalogue
from training.unseen import (
    Unseen,
    after_boosters,
    all_rows,
    as_trained,
    comparable,
    raw_unseen,
    settled,
    wait_of,
)
from training.verdicts import Verdict

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Ahead:
    """A model with the level of now, and what was decided about it."""

    digest: str
    verdict: Verdict


def read_ahead(
    workspace: Workspace,
    *,
    now: int,
    by: str,
    seed: int = 0,
    alone: bool = True,
    warn: Callable[[str], None] = lambda _: None,
) -> Ahead | None:
    """Read the level from wins that have come early, and promote it where it has moved.

    Args:
        workspace: the installation.
        now: the present instant.
        by: who asks.
        seed: of the resampling.
        alone: nothing else changes now, so a move within what is not known of the level is left: people
            know the present model. If not, what scores is new anyway.
        warn: told when MLflow could not be reached.

    Returns:
        None where the level has not moved, or there is nothing to read it from.

    Raises:
        NoModelError: there is no champion.
        ConflictError: another model was promoted in the meantime.
    """
    champion = workspace.registry.champion()
    found, before = _found(workspace, champion), _level_of(champion)
    if found is None or (alone and not found.level.is_beyond(before)):
        return None
    read = Read(found.level, _saved(champion, found, seed))
    level = read.level.level if read.is_kept else 0.0
    if abs(level - before) < LEAST_MOVE:
        return None
    rows = found.unseen.dataset
    about = _about(champion, rows, read, now)
    model = champion.recalibrated(adjusted(settled(champion)[0], 1.0, level), about)
    digest = write_bundle(
        model,
        workspace.bundles,
        created_at=now,
        origin="recalibrate",
        golden=golden_rows(rows.frame),
        card=model_card(about),
        parent=champion.digest,
    )
    workspace.registry.add(digest, summary(about))
    catalogue(workspace, digest, model, None, "recalibrate", warn)
    verdict = Verdict("promote", read.sentence(), {"early": read.to_json()})
    carry_out(workspace, digest, verdict, champion.digest, now=now, by=by, on_warning=warn)
    return Ahead(digest, verdict)


@dataclass(frozen=True)
class _Found:
    """The level that is read, and what it is read from; `raw` and `unseen` are of n rows."""

    level: Level
    raw: Floats
    unseen: Unseen
    matured: Dataset


def _found(workspace: Workspace, champion: PropensityModel) -> _Found | None:
    """What the wins say that have come; None where they say nothing."""
    if wait_of(champion) == 0 or not comparable(champion):
        return None
    try:
        rows = all_rows(workspace, champion.definition)
        matured = known_outcomes(rows)
    except NotEnoughEvidenceError:
        return None
    unseen = after_boosters(rows, champion)
    if unseen is None:
        return None
    raw = raw_unseen(workspace, champion, unseen.dataset, rows)
    beside, since = settled(champion)
    times = times_of_winning(matured, rows.cutoff, wait_of(champion))
    level = read_early(rows.cutoff, raw, unseen, since, beside, times)
    return _Found(level, raw, unseen, matured) if level.leads else None


def _saved(champion: PropensityModel, found: _Found, seed: int) -> PairedDifference | None:
    """What reading early would have saved on the rows whose outcome is known by now."""
    known = np.flatnonzero(found.unseen.dataset.y >= 0)
    if len(known) == 0:
        return None
    rows, raw = found.unseen.take(known), found.raw[known]
    start, wait = as_trained(champion), wait_of(champion)
    walked = said_forward(raw, rows, start, wait, seed)
    if champion.about["calibration"].get("memory") and walked.waited:
        walked = said_following(raw, rows, start, wait, walked)
    return saved_early(raw, rows, walked, start, found.matured, wait, seed)


def _level_of(model: PropensityModel) -> float:
    """What the model says beside what rests on whole horizons, in log-odds."""
    early = model.about["calibration"].get("early")
    return 0.0 if early is None or not early["kept"] else float(early["level"])


def _about(champion: PropensityModel, rows: Dataset, read: Read, now: int) -> dict[str, Any]:
    """What is said of the champion, but for the level: its figures are those of whole horizons."""
    before = champion.about["calibration"]
    beside, since = settled(champion)
    reason = before["early"]["reason"] if "early" in before else before["reason"]
    early = {
        **read.to_json(),
        "at": iso(now),
        "beside": beside.to_json(),
        "beside_through_instant": since,
        "reason": reason,
    }
    calibration = {
        **before,
        "name": adjusted(beside, 1.0, read.level.level if read.is_kept else 0.0).kind,
        "reason": f"{reason} {read.sentence()}",
        "calibrated_at": iso(now),
        "through_instant": int(rows.as_of.max()),
        "as_trained": as_trained(champion).to_json(),
        "early": early,
    }
    return {**champion.about, "calibration": calibration}
