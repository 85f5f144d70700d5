"""Which rows may be learned from, and which judge? Disjoint pieces, each later than the one before.

With time: the newest rows judge, the newest of the others calibrate, and a purge gap of one horizon
and the reporting lag lies between pieces, so that no outcome a piece learned from was still unknown
when the next began. Without
time: seeded folds, in which rows that say the same stay together.

Leads never straddle, nor do leads that are known to have become one. A lead whose rows fall into several
pieces is given to one of them by a seeded draw, and its rows there stand for those left out by weight
(Horvitz and Thompson 1952): dropping straddlers instead would leave a piece without its long-living
leads. Rows are not weighted to make a lead count once, because how many rows a lead has depends on how
it ended (docs/decisions/0005).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from features.clock import days, iso
from features.definition import Definition
from features.errors import NotEnoughEvidenceError
from features.facts import Ints
from features.frames import Category
from training.config import TrainConfig
from training.dataset import Dataset, draw
from training.delay import Watched, delayed

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of a dataset, with their weights, both of shape (n,)."""

    rows: Ints
    weight: Floats

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def plain(cls, rows: Ints) -> Piece:
        """Rows of equal weight."""
        return cls(rows, np.ones(len(rows)))


@dataclass(frozen=True, slots=True)
class Fold:
    """Rows to fit on, and disjoint rows on which the fit is stopped, chosen and calibrated."""

    fit: Piece
    calibrate: Piece


@dataclass(frozen=True, slots=True)
class Lesson:
    """What one model may learn from: its folds. After choosing, it is fitted on all their rows.

    Attributes:
        folds: rows to fit and to choose by.
        whole: the rows to fit on once all is chosen; None: those of the folds, each once.
    """

    folds: tuple[Fold, ...]
    whole: Piece | None = None

    @property
    def everything(self) -> Piece:
        """The rows that the model is fitted on once all is chosen."""
        if self.whole is not None:
            return self.whole
        pieces = [piece for fold in self.folds for piece in (fold.fit, fold.calibrate)]
        rows = np.concatenate([piece.rows for piece in pieces])
        weight = np.concatenate([piece.weight for piece in pieces])
        unique, position = np.unique(rows, return_index=True)
        return Piece(unique, weight[position])


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where the pieces begin: instants, the purge gap in microseconds, and the seed of the draw.

    A model keeps its bounds, so that later rows can be told from those it has learned from. `until` is
    the newest as-of there was: which piece a lead was given to was drawn from the rows up to it, and by
    the merges recorded before `known`; None: each lead was drawn by itself. With `immature`, rows of the
    gaps were learned from where `training.delay` allows it; `lag` is the part of the gap in which
    outcomes were still being recorded.
    """

    calibrate_from: int
    judge_from: int
    gap: int
    seed: int
    until: int | None = None
    immature: bool = False
    lag: int = 0
    known: int | None = None


@dataclass(frozen=True, slots=True)
class Split:
    """A lesson and the rows that judge what was learned; `bounds` None without time.

    `watched` says of the fit and the calibrate piece what came of learning from immature rows; it is
    empty where nobody asked for that.
    """

    lesson: Lesson
    judge: Piece
    bounds: Bounds | None
    watched: tuple[Watched, ...] = ()


def forward_split(
    dataset: Dataset, definition: Definition, config: TrainConfig, *, immature: bool = False
) -> Split:
    """Fit on the oldest rows, calibrate on later ones, judge on the newest.

    Args:
        dataset: matured rows only.
        definition: its horizon and reporting lag are the purge gap.
        config: shares and seed.
        immature: whether to learn from rows in the gaps as well: those decided by the time the next
            piece begins, weighted for the others (`training.delay`). The judging rows are matured.

    Raises:
        NotEnoughEvidenceError: the history is too short for three pieces and the gaps.
    """
    gap = definition.outcome_wait
    judge_from = _boundary(dataset.as_of, config.judge_share)
    before = dataset.as_of[_ended(dataset.as_of, gap, judge_from)]
    if len(before) == 0:
        raise _too_short(dataset, definition)
    calibrate_from, until = _boundary(before, config.calibrate_share), int(dataset.as_of.max())
    asked = immature and dataset.follow is not None and definition.horizon_days is not None
    lag = days(definition.reporting_lag_days)
    bounds = Bounds(
        calibrate_from, judge_from, gap, config.seed, until, asked, lag, known=dataset.cutoff
    )
    (fit, calibrate, judge), watched = _pieces(dataset, bounds)
    if any(one.refused is not None for one in watched):
        # Rows of the gaps would only take leads away from the pieces; what was refused stays told.
        bounds = replace(bounds, immature=False)
        fit, calibrate, judge = pieces(dataset, bounds)
    if min(len(fit), len(calibrate), len(judge)) == 0:
        raise _too_short(dataset, definition)
    return Split(Lesson((Fold(fit, calibrate),)), judge, bounds, watched)


def pieces(dataset: Dataset, bounds: Bounds) -> tuple[Piece, Piece, Piece]:
    """The rows that fit, that calibrate and that judge: disjoint, each lead in one of them.

    Later data move no lead: one that was learned from never judges, not even when it comes back, and
    one that has come since the bounds were set judges. Nor does one judge that is known by now to be
    the same person as one that was learned from.
    """
    return _pieces(dataset, bounds)[0]


def _pieces(
    dataset: Dataset, bounds: Bounds
) -> tuple[tuple[Piece, Piece, Piece], tuple[Watched, ...]]:
    """The three pieces, and what came of learning from immature rows."""
    piece = _piece_of(dataset.as_of, bounds)
    drawn_from = piece >= 0
    if bounds.until is not None:
        drawn_from &= dataset.as_of <= bounds.until
    lead, ends = _drawn_together(dataset, bounds.known)
    present = np.zeros((int(lead.max()) + 1, 3), dtype=bool)
    present[lead[drawn_from], piece[drawn_from]] = True
    present[~present.any(axis=1), 2] = True
    pieces_of = present.sum(axis=1)
    wanted = (_draws(dataset, lead, ends, bounds.seed) * pieces_of).astype(np.int64)
    rank = np.cumsum(present, axis=1) - 1
    chosen = np.argmax(present & (rank == wanted[:, None]), axis=1)
    found = []
    for which in range(3):
        rows = np.flatnonzero((piece == which) & (chosen[lead] == which))
        found.append(Piece(rows, pieces_of[lead[rows]].astype(np.float64)))
    fit, calibrate, judge = found
    if dataset.families:
        judge = _without(judge, dataset.lead, fit, calibrate)
    if not bounds.immature:
        return (fit, calibrate, judge), ()
    fit, fit_watched = _decided(dataset, fit, bounds, bounds.calibrate_from)
    calibrate, calibrate_watched = _decided(dataset, calibrate, bounds, bounds.judge_from)
    return (fit, calibrate, judge), (fit_watched, calibrate_watched)


def _decided(dataset: Dataset, piece: Piece, bounds: Bounds, by: int) -> tuple[Piece, Watched]:
    """The rows of a piece that were decided by an instant, standing for the others by weight."""
    assert dataset.follow is not None, "see forward_split"
    as_of, follow = dataset.as_of[piece.rows], dataset.follow.take(piece.rows)
    horizon = bounds.gap - bounds.lag
    found = delayed(as_of, follow, horizon, bounds.lag, by, immature=True, weight=piece.weight)
    used = np.flatnonzero(found.weight > 0)
    return Piece(piece.rows[used], found.weight[used]), found.watched


def _piece_of(as_of: Ints, bounds: Bounds) -> Ints:
    """Where each row lies in time: 0 fit, 1 calibrate, 2 judge, −1 in a gap."""
    gap = 0 if bounds.immature else bounds.gap
    return np.select(
        [
            as_of >= bounds.judge_from,
            (as_of >= bounds.calibrate_from) & _ended(as_of, gap, bounds.judge_from),
            _ended(as_of, gap, bounds.calibrate_from),
        ],
        [2, 1, 0],
        -1,
    )


def _ended(as_of: Ints, gap: int, by: int) -> NDArray[np.bool_]:
    """Which rows lie before an instant with all of their horizon."""
    return (as_of < by) & (as_of + gap <= by)


def _drawn_together(dataset: Dataset, known: int | None) -> tuple[Ints, Mapping[str, str]]:
    """A number per row, shape (n,), the same for leads drawn together, and by whose id they are."""
    if not dataset.families:
        return dataset.lead, {}
    ends = {} if known is None else dataset.families.last_survivors(known)
    names = [ends.get(lead, lead) for lead in dataset.frame.lead_ids]
    return np.unique(names, return_inverse=True)[1].astype(np.int64), ends


def _without(judge: Piece, lead: Ints, *learned: Piece) -> Piece:
    """A piece without rows of leads that are known by now to be one with a lead learned from."""
    seen = np.concatenate([lead[piece.rows] for piece in learned])
    kept = ~np.isin(lead[judge.rows], seen)
    return Piece(judge.rows[kept], judge.weight[kept])


def _draws(dataset: Dataset, lead: Ints, ends: Mapping[str, str], seed: int) -> Floats:
    """A number in [0, 1) per lead, shape (leads,), that belongs to its id: the same on any day."""
    drawn = np.zeros(int(lead.max()) + 1)
    leads, first = np.unique(lead, return_index=True)
    names = [dataset.frame.lead_ids[row] for row in first.tolist()]
    drawn[leads] = [draw(ends.get(name, name), seed, "piece") for name in names]
    return drawn


def grouped_splits(dataset: Dataset, config: TrainConfig) -> list[Split]:
    """One split a fold, seeded; every row judges once.

    Raises:
        NotEnoughEvidenceError: too few different rows for folds within folds.
    """
    group = row_groups(dataset)
    fold = _fold_of(group, config.folds, config.seed)
    splits = []
    for judged in range(config.folds):
        others = np.flatnonzero(fold != judged)
        lesson = grouped_lesson(group, others, config)
        splits.append(Split(lesson, Piece.plain(np.flatnonzero(fold == judged)), None))
    return splits


def grouped_lesson(group: Ints, rows: Ints, config: TrainConfig) -> Lesson:
    """A lesson over these rows, in folds that keep groups together; every row calibrates once."""
    fold = _fold_of(group[rows], config.folds, config.seed + 1)
    return Lesson(
        tuple(
            Fold(Piece.plain(rows[fold != held]), Piece.plain(rows[fold == held]))
            for held in range(config.folds)
        )
    )


def row_groups(dataset: Dataset) -> Ints:
    """A number per row, shape (n,): the same for rows that say the same and for rows of one lead.

    So it is for rows linked by others: A says what B says, and B is the lead of C.
    """
    columns = [
        column.codes.astype(np.float64) if isinstance(column, Category) else column
        for column in dataset.frame.columns.values()
    ]
    table = np.nan_to_num(np.column_stack(columns), nan=np.inf)
    content = np.unique(table, axis=0, return_inverse=True)[1].reshape(-1)
    lead = int(content.max()) + 1 + dataset.lead
    nodes = int(lead.max()) + 1
    links = coo_array((np.ones(len(lead)), (content, lead)), shape=(nodes, nodes))
    linked = connected_components(links, directed=False)[1]
    return np.unique(linked[content], return_inverse=True)[1].reshape(-1).astype(np.int64)


def _fold_of(group: Ints, folds: int, seed: int) -> Ints:
    """The fold of each row, shape (n,): whole groups, dealt out in a seeded order."""
    number, row = np.unique(group, return_inverse=True)
    if len(number) < folds:
        raise NotEnoughEvidenceError(
            f"only {len(number)} leads that differ from one another, too few for {folds} folds",
            hint="Import more leads, or map more attributes that tell them apart.",
        )
    dealt = np.random.default_rng(seed).permutation(len(number)) % folds
    return dealt[row.reshape(-1)]


def _boundary(as_of: Ints, share: float) -> int:
    """The instant from which on about `share` of the rows lie; an instant is never split."""
    ordered = np.sort(as_of)
    return int(ordered[min(int(np.ceil(len(ordered) * (1 - share))), len(ordered) - 1)])


def _too_short(dataset: Dataset, definition: Definition) -> NotEnoughEvidenceError:
    first, last = iso(int(dataset.as_of.min())), iso(int(dataset.as_of.max()))
    return NotEnoughEvidenceError(
        f"the matured history from {first} to {last} is too short to fit, calibrate and judge with a "
        f"gap of the horizon ({definition.horizon_days} days) and the reporting lag "
        f"({definition.reporting_lag_days:g} days) between them",
        hint="Import a longer history, agree on a shorter horizon, or wait for more cohorts.",
    )
