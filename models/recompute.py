"""Is what we once said still what we would say? Old scores computed anew, from what was kept.

Twice: from the feature row in the ledger, by the very bundle that gave the score, which shows that the
number follows from what stands beside it; and from the store as it stood at the score's as-of, which
shows that the row does. A fact that was written later with an earlier `recorded_at` (an import of
history) makes the second differ, and is told apart from a wrong number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from features.catalog import column_kinds
from features.clock import iso
from features.errors import BundleError, NoModelError, NotFoundError, PropensityError
from features.facts import Queries
from features.frames import FeatureFrame
from features.pipeline import compute_features
from features.store.engine import Connection
from features.store.history import load_facts
from features.store.ledger import inputs_hash, read_score
from features.store.ledger_sample import count_ids, sample_scores, shown_without_score
from models.agreed import agreed_model
from models.explain import explain
from models.propensity import PropensityModel
from models.workspace import Workspace

EXACT = 1e-12
"""How far a raw score computed anew may lie from the one that was given, in log-odds."""

_MOST_TOLD = 100


@dataclass(frozen=True, slots=True)
class Replay:
    """A score computed anew.

    Attributes:
        logged: the score as the ledger holds it.
        raw, probability: what the bundle says of the logged row now; None: see `why_not`.
        reasons: all reasons, strongest first.
        same_row: whether the store as it stood gives the logged row; None: it was not in the store.
        why_not: why it could not be computed anew.
    """

    logged: Mapping[str, Any]
    raw: float | None = None
    probability: float | None = None
    reasons: Sequence[Mapping[str, Any]] = ()
    same_row: bool | None = None
    why_not: str | None = None

    @property
    def is_same(self) -> bool | None:
        """Whether the number is the one that was given; None: it could not be computed anew."""
        if self.raw is None or self.probability is None:
            return None
        off = (self.raw - self.logged["raw"], self.probability - self.logged["probability"])
        return all(abs(one) <= EXACT for one in off)

    def to_json(self) -> dict[str, Any]:
        """As plain data: what was given, what comes out now, and why."""
        logged = self.logged
        given = ("raw", "probability", "route", "reasons", "warnings", "inputs")
        return {
            "score_id": logged["id"],
            "lead": logged["lead_id"] or None,
            "as_of": iso(logged["as_of"]),
            "scored_at": iso(logged["scored_at"]),
            "model": logged["bundle"],
            "definition": logged["definition"],
            "channel": logged["channel"],
            "given": {name: logged[name] for name in given},
            "anew": None
            if self.raw is None
            else {"raw": self.raw, "probability": self.probability},
            "same": self.is_same,
            "same_row": self.same_row,
            "why_not": self.why_not,
            "reasons": list(self.reasons),
        }


@dataclass(frozen=True, slots=True)
class Audited:
    """What an audit of a sample of scores found.

    Attributes:
        scores: how many were in the ledger; `sampled`: how many were computed anew.
        mismatched: ids of scores that come out otherwise than they were given.
        unreplayable: how many could not be computed anew, by reason.
        rows_alike: scores whose row the store still gives; `rows_changed`: whose row it gives no more,
            ids, because facts were written later under an earlier time.
        missing: scores that were shown and are not in the ledger.
        extra: scores in the ledger under an id that was never given out.
        unwritten: ids that were given out and are not there: never written, which is allowed
            (docs/decisions/0024), or pruned.
    """

    scores: int
    sampled: int
    mismatched: tuple[int, ...]
    unreplayable: Mapping[str, int]
    rows_alike: int
    rows_changed: tuple[int, ...]
    missing: int
    extra: int
    unwritten: int

    @property
    def is_clean(self) -> bool:
        """Whether every score is there, under an id of ours, and comes out as it was given."""
        return not (self.mismatched or self.missing or self.extra)

    def to_json(self) -> dict[str, Any]:
        """As plain data; of long lists of ids the first hundred."""
        return {
            "clean": self.is_clean,
            "scores": self.scores,
            "sampled": self.sampled,
            "mismatches": len(self.mismatched),
            "mismatched": list(self.mismatched[:_MOST_TOLD]),
            "unreplayable": dict(self.unreplayable),
            "rows_alike": self.rows_alike,
            "rows_changed": len(self.rows_changed),
            "changed": list(self.rows_changed[:_MOST_TOLD]),
            "missing": self.missing,
            "extra": self.extra,
            "unwritten": self.unwritten,
        }


@dataclass
class Replayer:
    """Computes scores anew; bundles are read once each.

    Args:
        workspace: where the ledger, the facts and the bundles are.
    """

    workspace: Workspace
    _models: dict[str, PropensityModel | str] = field(default_factory=dict)

    def replay(self, connection: Connection, logged: Mapping[str, Any]) -> Replay:
        """One score, as `features.store.ledger` reads it, computed anew."""
        if not logged["inputs"]:
            return Replay(logged, why_not="the person was erased")
        model = self._model(logged["bundle"])
        if isinstance(model, str):
            return Replay(logged, why_not=model)
        try:
            frame = FeatureFrame.of_rows([logged["inputs"]], column_kinds(model.catalog))
            scores = model.score(frame)
        except PropensityError as error:
            return Replay(logged, why_not=error.message)
        return Replay(
            logged,
            raw=float(scores.raw[0]),
            probability=float(scores.probability[0]),
            reasons=explain(model, frame)[0].top(100),
            same_row=self._same_row(connection, model, logged),
        )

    def _same_row(
        self, connection: Connection, model: PropensityModel, logged: Mapping[str, Any]
    ) -> bool | None:
        if logged["lead"] is None or logged["channel"] == "payload":
            return None
        as_of = int(logged["as_of"])
        facts = load_facts(connection, model.definition, [logged["lead_id"]], as_of)
        frame = compute_features(facts, Queries.at(np.zeros(1, np.int64), as_of), model.definition)
        return bool(inputs_hash(frame.rows()[0]) == logged["inputs_hash"])

    def _model(self, digest: str) -> PropensityModel | str:
        """The model of a bundle, or why there is none."""
        if digest not in self._models:
            self._models[digest] = self._loaded(digest)
        return self._models[digest]

    def _loaded(self, digest: str) -> PropensityModel | str:
        if self._agreed is not None and self._agreed.digest == digest:
            return self._agreed
        try:
            self.workspace.registry.bring(digest)
            return self.workspace.registry.read(digest)
        except (BundleError, NotFoundError, OSError):
            # An old score outlives its bundle only where somebody has deleted it.
            return f"bundle {digest[:12]} is not to be had"

    @cached_property
    def _agreed(self) -> PropensityModel | None:
        """The agreed scorecard, which may have scored while no model did."""
        try:
            return agreed_model(self.workspace.definition())
        except (PropensityError, NoModelError):
            return None


def replay_score(workspace: Workspace, score: int) -> Replay:
    """A score by its id, computed anew and explained.

    Raises:
        NotFoundError: the ledger holds no such score.
    """
    with workspace.store.read() as connection:
        logged = read_score(connection, score)
        if logged is None:
            raise NotFoundError(
                f"the ledger holds no score {score}",
                hint="An id that was answered before it was written may be missing after a kill.",
            )
        return Replayer(workspace).replay(connection, logged)


def audit_scores(workspace: Workspace, *, now: int, n: int = 1_000, seed: int = 0) -> Audited:
    """Compute a sample of the logged scores anew.

    Args:
        workspace: the installation.
        now: the present instant; scores given at or after it are left for the next time.
        n: how many scores, at most; drawn by the hash of their ids, so that each is as likely.
        seed: which ones; the number of the night, say.
    """
    replayer = Replayer(workspace)
    with workspace.store.read() as connection:
        ids = count_ids(connection)
        replays = [
            replayer.replay(connection, logged)
            for logged in sample_scores(connection, now, n, seed)
        ]
        missing = shown_without_score(connection)
    why = [one.why_not for one in replays if one.why_not is not None]
    return Audited(
        scores=ids.scores,
        sampled=len(replays),
        mismatched=tuple(one.logged["id"] for one in replays if one.is_same is False),
        unreplayable={reason: why.count(reason) for reason in sorted(set(why))},
        rows_alike=sum(one.same_row is True for one in replays),
        rows_changed=tuple(one.logged["id"] for one in replays if one.same_row is False),
        missing=missing,
        extra=ids.extra,
        unwritten=ids.unwritten,
    )
