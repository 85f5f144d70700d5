"""What is there to learn from? Rows with features and labels, and a fingerprint of them.

A row never sees a fact recorded at or after its as-of, because `compute_features` does not; the label
looks only forward from it. Leads marked `do_not_score` are not here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from features.definition import Definition
from features.errors import NotEnoughEvidenceError
from features.facts import Facts, Ints, Queries
from features.frames import Category, FeatureFrame, concatenate
from features.pipeline import compute_features
from features.store.engine import Store
from features.store.history import count_leads, iter_facts
from features.store.merges import NO_FAMILIES, Families, Numbering, known_families
from features.store.outcomes import load_outcomes, newest_deal
from training.cohorts import cohort_queries
from training.delay import FollowUp, follow_up
from training.labels import REASONS, label

Progress = Callable[[int, int], None]
"""Called with (leads done, leads in all)."""


@dataclass(frozen=True)
class Dataset:
    """Rows to learn from or to judge with.

    Attributes:
        frame: n rows of features.
        lead: shape (n,), a number per lead; rows of one lead share it, and rows of leads that have
            become one.
        y: shape (n,): 1 won, 0 not won, −1 unknown.
        reason: shape (n,): why, as positions in `labels.REASONS`.
        cutoff: nothing recorded at or after this instant was looked at.
        follow: how long after its as-of each row was decided, as far as is known; None where nobody
            looked. It does not enter the fingerprint: labels do.
        families: which leads have become one, and since when that is known.
    """

    frame: FeatureFrame
    lead: Ints
    y: NDArray[np.int64]
    reason: Ints
    cutoff: int
    follow: FollowUp | None = None
    families: Families = NO_FAMILIES

    def __len__(self) -> int:
        return len(self.y)

    @property
    def as_of(self) -> Ints:
        """The instants of the rows, shape (n,)."""
        return self.frame.as_of

    def take(self, rows: Ints) -> Dataset:
        """Only these rows."""
        follow = None if self.follow is None else self.follow.take(rows)
        return Dataset(
            self.frame.take(rows),
            self.lead[rows],
            self.y[rows],
            self.reason[rows],
            self.cutoff,
            follow,
            self.families,
        )

    def matured(self) -> Dataset:
        """Only the rows whose label is known."""
        return self.take(np.flatnonzero(self.y >= 0))

    def reasons(self) -> dict[str, int]:
        """How many rows have their label for which reason."""
        counts = np.bincount(self.reason, minlength=len(REASONS)).tolist()
        return {reason: n for reason, n in zip(REASONS, counts, strict=True) if n}

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of rows, values and labels; how levels are listed does not enter."""
        digest = hashlib.sha256()
        digest.update("\n".join(self.frame.lead_ids).encode())
        for array in (self.frame.as_of, self.y):
            digest.update(np.ascontiguousarray(array).tobytes())
        for name, column in self.frame.columns.items():
            digest.update(name.encode())
            if isinstance(column, Category):
                levels = sorted({label for label in column.labels() if label is not None})
                digest.update("\n".join(levels).encode())
                digest.update(column.recoded(levels).tobytes())
            else:
                digest.update(np.ascontiguousarray(column).tobytes())
        return digest.hexdigest()


def build_dataset(
    store: Store,
    definition: Definition,
    cutoff: int,
    *,
    most_leads: int,
    seed: int,
    progress: Progress | None = None,
) -> Dataset:
    """All rows that the store gives rise to, labelled as far as is known at `cutoff`.

    Args:
        store: facts and outcomes.
        definition: what counts, and which cohorts there are.
        cutoff: nothing recorded at or after this instant is looked at.
        most_leads: with more leads than this, a seeded sample of them is taken, so that memory
            stays bounded whatever the store holds.
        seed: of the sample.
        progress: called as leads are done.

    Raises:
        NotEnoughEvidenceError: no lead was ever open at a cohort's instant.
    """
    parts: list[tuple[FeatureFrame, Ints, Ints, Ints, FollowUp]] = []
    with store.read() as connection:
        total = count_leads(connection)
        share = min(1.0, most_leads / max(total, 1))
        families, done = known_families(connection, cutoff), 0
        numbering, survivor = Numbering(families), families.last_survivors()
        for facts in iter_facts(connection, definition, cutoff):
            number = numbering.of(facts.lead_ids)
            cohorts = cohort_queries(facts, definition, cutoff)
            queries = _sampled(cohorts, facts, share, seed, survivor)
            deals = load_outcomes(connection, facts.lead_ids, cutoff)
            labels = label(queries, deals, definition, cutoff)
            ended = follow_up(queries, deals, definition, cutoff)
            frame = compute_features(facts, queries, definition)
            parts.append((frame, number[queries.lead], labels.y, labels.reason, ended))
            done += len(facts.lead_ids)
            if progress is not None:
                progress(done, total)
    if not any(len(frame) for frame, *_ in parts):
        raise NotEnoughEvidenceError(
            "there is nothing to learn from: no lead was open at any cohort's instant",
            hint="Import facts with `propensity import`, and look at `cohorts` in the definition.",
        )
    frames, *columns, ends = zip(*parts, strict=True)
    lead, y, reason = (np.concatenate(column) for column in columns)
    follow = FollowUp(
        np.concatenate([end.ended for end in ends]), np.concatenate([end.won for end in ends])
    )
    return Dataset(concatenate(frames), lead, y, reason, cutoff, follow, families)


def newest_cutoff(store: Store) -> int:
    """The instant just after the newest deal was recorded: what closed later is not known.

    Not the wall clock, and not the newest fact of any sort: events that go on after the deals have
    stopped coming in would turn silence into losses.

    Raises:
        NotEnoughEvidenceError: the store holds no deals.
    """
    with store.read() as connection:
        newest = newest_deal(connection)
    if newest is None:
        raise NotEnoughEvidenceError(
            "the store holds no closed deals yet",
            hint="`propensity import` brings facts and deals in.",
        )
    return newest + 1


def known_outcomes(dataset: Dataset) -> Dataset:
    """Only the rows whose label is known.

    Raises:
        NotEnoughEvidenceError: there is none.
    """
    matured = dataset.matured()
    if len(matured) == 0:
        why = ", ".join(f"{n:,} × {reason}" for reason, n in dataset.reasons().items())
        raise NotEnoughEvidenceError(
            f"none of {len(dataset):,} rows has a known outcome yet: {why}",
            hint="Import closed deals, wait until horizons are over, or agree on a shorter one.",
        )
    return matured


def _sampled(
    queries: Queries, facts: Facts, share: float, seed: int, survivor: Mapping[str, str]
) -> Queries:
    """The rows of a share of the leads, drawn by lead id: the same leads whatever the portions.

    Leads that have become one are drawn together, by the last survivor's id.
    """
    if share >= 1.0:
        return queries
    drawn = np.array([draw(survivor.get(lead, lead), seed) < share for lead in facts.lead_ids])
    kept = drawn[queries.lead]
    return Queries(queries.lead[kept], queries.as_of[kept])


def draw(lead: str, seed: int, purpose: str = "sample") -> float:
    """A number in [0, 1) that belongs to the lead; those for two purposes know nothing of each other."""
    digest = hashlib.blake2b(f"{purpose}:{seed}:{lead}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
