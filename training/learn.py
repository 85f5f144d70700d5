"""How does a model come about? Try, choose the simplest that is as good, fit, calibrate.

Every choice – leaves, trees, the weight of the additive part, how fast the past fades – is made on
rows that the fit has not seen, and that are later where there is time. Then both parts are fitted on
all rows of the lesson, and the calibrator on what was said of the held-out ones.

Below `least_wins` there is nothing to choose by: the additive part alone, with the agreed scorecard
as its prior, says what little is known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit

from features.bant import AGREED
from features.catalog import Catalog
from features.clock import days
from features.definition import UNKNOWN, Definition
from features.errors import NotEnoughEvidenceError
from features.facts import Ints
from features.pipeline import build_catalog
from models.blend import Blend, Spread
from models.calibrators import Identity
from models.encoder import Encoder
from models.propensity import PropensityModel
from training.calibrate import CalibrationFit, fit_calibrator
from training.choose import preferred
from training.config import TrainConfig
from training.dataset import Dataset
from training.fit import Curve, Rows, calendar_columns, telling_columns, weighted_log_loss
from training.fit_linear import Prior
from training.parts import Parts
from training.rates import many_leveled
from training.splits import Fold, Lesson, Piece
from training.uncertainty import AGREED_SPREAD, measure_spread

Floats = NDArray[np.float64]
Say = Callable[[str], None]

WEIGHTS = (0.5, 1.0, 0.0, 0.75, 0.25)
"""Of the additive part, the preferred first: an even average needs no choosing."""

FEW_WEIGHTS = (1.0, 0.75, 0.5, 0.25, 0.0)
"""The same where outcomes are few: trees that found no split would halve what the agreed ranks say."""

FEW = 60
"""Leads of the rarer outcome below which they are few."""

_FAR = 40.0
"""Log-odds between which a level is looked for; trees of one outcome alone say 34."""

TO_FORGET = 2.0
"""Standard errors by which a fading past must be better than one that counts as much as yesterday."""

TO_LEAVE_THE_AVERAGE = 4.0
"""Standard errors by which another weight must be better. Choosing weights by noise costs more than
the average does (the forecast combination puzzle, Smith and Wallis 2009), and the error counts leads
only: what is peculiar to the one stretch of time that they share is not in it."""


@dataclass(frozen=True)
class Trial:
    """One setting of the trees: its best number of them, and what it said of held-out rows."""

    leaves: int
    trees: int
    raw: Floats
    log_loss: float


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Attributes:
        weight: of the additive part.
        half_life: in which a row's weight halves, in microseconds; None: never.
        raw: log-odds of the held-out rows, shape (n,).
        losses: log loss on them by what was tried, such as `linear`, `trees`, `blend`.
    """

    weight: float
    half_life: int | None
    raw: Floats
    losses: dict[str, float]


@dataclass(frozen=True)
class Learned:
    """A model and how it was arrived at; `chosen` None where trees had too little to learn from."""

    model: PropensityModel
    trials: tuple[Trial, ...]
    chosen: Trial | None
    choice: Choice | None
    calibration: CalibrationFit


def learn(
    dataset: Dataset,
    lesson: Lesson,
    definition: Definition,
    config: TrainConfig,
    progress: Say | None = None,
    *,
    uncertain: bool = True,
) -> Learned:
    """Learn a model from the rows of a lesson, looking at no others.

    Args:
        dataset: where the rows are.
        lesson: which of them to fit, to choose and to calibrate by.
        definition: what the columns mean.
        config: the choices.
        progress: told how it goes.
        uncertain: whether to measure how uncertain the model is, for which it is fitted twice more; one
            that was not measured gives no intervals.

    Raises:
        NotEnoughEvidenceError: too few wins or losses and no agreed rate to start from, or no column
            says anything.
    """
    say = progress or (lambda _: None)
    everything = lesson.everything
    parts = _parts(dataset.take(everything.rows), definition, config)
    rows = _encoded(dataset, parts.encoder)
    oldest = min(_rarer(dataset, fold.fit) for fold in lesson.folds)
    if _rarer(dataset, everything) < config.least_wins or oldest < config.least_wins // 4:
        return _from_the_agreed(parts, rows.take(everything.rows, everything.weight), definition)
    held = _all_held(rows, lesson)
    trials = []
    for leaves in config.leaves:
        say(f"trying {leaves} leaves")
        curves = [_watched(parts, rows, fold, leaves, None) for fold in lesson.folds]
        trials.append(_best_length(curves, leaves, held))
    chosen = trials[preferred([trial.raw for trial in trials], held)]
    say("weighing the additive part against the trees")
    weights = FEW_WEIGHTS if _rarer(dataset, everything) < FEW else WEIGHTS
    choice = _choice(parts, rows, lesson, held, chosen, weights)
    calibration = fit_calibrator(
        choice.raw, held.y, groups=held.lead, weights=held.weight, seed=config.seed
    )
    say(f"fitting {chosen.trees} trees of {chosen.leaves} leaves")
    learner = _refitted(parts, rows, lesson, chosen, choice)
    if calibration.calibrator != Identity():
        learner = _at_level(learner, held, choice)
    if uncertain:
        say("measuring how uncertain it is")
        learner = replace(
            learner, spread=_spread(parts, rows, lesson, held, chosen, choice, learner)
        )
    model = PropensityModel(definition, parts.encoder, learner, calibration.calibrator)
    return Learned(model, tuple(trials), chosen, choice, calibration)


def _parts(dataset: Dataset, definition: Definition, config: TrainConfig) -> Parts:
    catalog = build_catalog(definition)
    encoder = _encoder(dataset, catalog, definition, config)
    by_name = {spec.name: spec for spec in catalog}
    horizon, lag = definition.horizon_days, definition.reporting_lag_days
    return Parts(
        encoder,
        tuple(by_name[name] for name in encoder.names),
        many_leveled(encoder, [f"attr_{name}" for name in definition.segments]),
        None if horizon is None else days(horizon + lag),
        definition.expected_win_rate,
        config,
    )


def _rarer(dataset: Dataset, piece: Piece) -> int:
    """How many leads there are with the rarer outcome: rows of one lead are one piece of evidence."""
    y, lead = dataset.y[piece.rows], dataset.lead[piece.rows]
    return min(len(np.unique(lead[y == won])) for won in (0, 1))


def _encoder(
    dataset: Dataset, catalog: Catalog, definition: Definition, config: TrainConfig
) -> Encoder:
    won, lost = (len(np.unique(dataset.lead[dataset.y == y])) for y in (1, 0))
    if min(won, lost) < config.least_wins and definition.expected_win_rate is None:
        raise NotEnoughEvidenceError(
            f"{won} won and {lost} not won leads to learn from; at least "
            f"{config.least_wins} of each are needed",
            hint="Import more closed deals, wait for more cohorts to mature, or agree on an "
            "expected_win_rate in the lead definition: with it the agreed ranks score until then.",
        )
    names = _columns(dataset)
    if not names:
        raise NotEnoughEvidenceError(
            "every column is the same for all leads; there is nothing to tell them apart by",
            hint="Map more attributes, answers or events in the lead definition.",
        )
    merged = told_by_rank(catalog)
    segments = [f"attr_{name}" for name in definition.segments]
    return Encoder.fit(dataset.frame, names, config.rarest_level, merged, keep=segments)


def _columns(dataset: Dataset) -> list[str]:
    """The columns to read; the agreed score among them even where nobody has answered yet."""
    if len(dataset) == 0:
        return [name for name in dataset.frame.columns if name == AGREED]
    calendar = set(calendar_columns(dataset.frame))
    return [name for name in telling_columns(dataset.frame) if name not in calendar]


def told_by_rank(catalog: Catalog) -> dict[str, tuple[str, ...]]:
    """For each category whose answers are ranked: the answers that its rank alone tells apart.

    The rank is monotone; with the answer as a category beside it, a better answer could still lower
    the score. What remains of the category is whether it was asked and whether there was an answer.
    """
    ranked = {spec.fact for spec in catalog if spec.monotone}
    return {
        spec.name: tuple(level for level in spec.levels if level != UNKNOWN)
        for spec in catalog
        if spec.kind == "category" and spec.fact in ranked and spec.levels is not None
    }


def _encoded(dataset: Dataset, encoder: Encoder) -> Rows:
    y = dataset.y.astype(np.float64)
    matrix = encoder.matrix(dataset.frame)
    return Rows(matrix, y, np.ones(len(y)), dataset.lead, dataset.as_of)


def _all_held(rows: Rows, lesson: Lesson) -> Rows:
    """The held-out rows of all folds, one fold after the other."""
    held = [fold.calibrate for fold in lesson.folds]
    weight = np.concatenate([piece.weight for piece in held])
    return rows.take(np.concatenate([piece.rows for piece in held]), weight)


def _faded(rows: Rows, half_life: int | None) -> Rows:
    """The rows with weights that halve every so many microseconds, of the same sum."""
    if half_life is None:
        return rows
    weight = rows.weight * 0.5 ** ((rows.as_of.max() - rows.as_of) / half_life)
    return replace(rows, weight=weight * (rows.weight.sum() / weight.sum()))


def _fit_rows(rows: Rows, piece: Piece, half_life: int | None) -> Rows:
    return _faded(rows.take(piece.rows, piece.weight), half_life)


def _watched(parts: Parts, rows: Rows, fold: Fold, leaves: int, half_life: int | None) -> Curve:
    held = rows.take(fold.calibrate.rows, fold.calibrate.weight)
    return parts.watched(_fit_rows(rows, fold.fit, half_life), held, leaves)


def _best_length(curves: Sequence[Curve], leaves: int, held: Rows) -> Trial:
    """The number of trees with the lowest held-out log loss over all folds together."""
    best: Trial | None = None
    for trees in range(1, max(len(curve.held_out) for curve in curves) + 1):
        raw = np.concatenate([curve.after(trees) for curve in curves])
        loss = weighted_log_loss(raw, held)
        if best is None or loss < best.log_loss:
            best = Trial(leaves, trees, raw, loss)
    assert best is not None, "a curve has at least one point"
    return best


def _choice(
    parts: Parts,
    rows: Rows,
    lesson: Lesson,
    held: Rows,
    chosen: Trial,
    weights: Sequence[float],
) -> Choice:
    """How fast the past fades, and then the weight of the additive part."""
    priors = [parts.prior(_fit_rows(rows, fold.fit, None)) for fold in lesson.folds]
    half_lives = _half_lives(parts.config, rows.as_of[lesson.everything.rows])
    said = [_said(parts, rows, lesson, priors, chosen, half_life) for half_life in half_lives]
    averages = [(linear + trees) / 2 for linear, trees in said]
    fading = preferred(averages, held, errors=TO_FORGET)
    linear, trees = said[fading]
    blends = [weight * linear + (1 - weight) * trees for weight in weights]
    which = preferred(blends, held, errors=TO_LEAVE_THE_AVERAGE)
    named = {"linear": linear, "trees": trees, "blend": blends[which]}
    losses = {name: weighted_log_loss(raw, held) for name, raw in named.items()}
    return Choice(weights[which], half_lives[fading], blends[which], losses)


def _said(
    parts: Parts,
    rows: Rows,
    lesson: Lesson,
    priors: Sequence[Prior],
    chosen: Trial,
    half_life: int | None,
) -> tuple[Floats, Floats]:
    """Log-odds of the held-out rows by each part alone."""
    linear, trees = [], []
    for fold, prior in zip(lesson.folds, priors, strict=True):
        fitted = parts.linear(_fit_rows(rows, fold.fit, half_life), prior)
        linear.append(fitted.raw(rows.matrix[fold.calibrate.rows]))
        if half_life is not None:
            trees.append(_watched(parts, rows, fold, chosen.leaves, half_life).after(chosen.trees))
    return np.concatenate(linear), np.concatenate(trees) if trees else chosen.raw


def _half_lives(config: TrainConfig, as_of: Ints) -> tuple[int | None, ...]:
    """Shares of the time in which nearly all rows lie: one row of long ago must not stretch it."""
    oldest, newest = np.quantile(as_of, (0.01, 0.99))
    if newest <= oldest:
        return (None,)
    return (None, *(round(share * (newest - oldest)) for share in config.half_lives))


def _refitted(parts: Parts, rows: Rows, lesson: Lesson, chosen: Trial, choice: Choice) -> Blend:
    """Both parts on all rows of the lesson."""
    whole = _fit_rows(rows, lesson.everything, choice.half_life)
    return parts.blend(whole, parts.prior(whole), chosen.leaves, chosen.trees, choice.weight)


def _at_level(learner: Blend, held: Rows, choice: Choice) -> Blend:
    """The refit, moved to the level that the held-out scores had.

    It has seen the held-out rows and taken in part of what the level did there. The calibrator, fitted
    to scores that had not, would correct for that once more.
    """
    if np.ptp(held.as_of) == 0:
        return learner
    return replace(learner, shift=to_level(learner.raw(held.matrix), choice.raw, held.weight))


def to_level(raw: Floats, like: Floats, weight: Floats) -> float:
    """By how many log-odds to move scores so that they say as many wins as others of the same rows.

    Args:
        raw: shape (n,), log-odds to be moved.
        like: shape (n,), log-odds whose mean probability is wanted.
        weight: how many rows each stands for.
    """
    level = np.average(expit(like), weights=weight)

    def off(shift: float) -> float:
        return float(np.average(expit(raw + shift), weights=weight) - level)

    return float(brentq(off, -_FAR, _FAR))


def _spread(
    parts: Parts,
    rows: Rows,
    lesson: Lesson,
    held: Rows,
    chosen: Trial,
    choice: Choice,
    learner: Blend,
) -> Spread:
    """How uncertain the learner is: by two others that share no lead, and by where its level is from."""
    fold = lesson.folds[0]
    fit = _fit_rows(rows, fold.fit, choice.half_life)
    half = np.random.default_rng(parts.config.seed).permutation(int(fit.lead.max()) + 1) % 2
    matrix = rows.matrix[fold.calibrate.rows]
    said = []
    for side in (0, 1):
        mine = np.flatnonzero(half[fit.lead] == side)
        some = fit.take(mine, fit.weight[mine])
        one = parts.blend(some, parts.prior(some), chosen.leaves, chosen.trees, choice.weight)
        said.append(one.raw(matrix))
    assert learner.linear is not None, "the additive part is always fitted"
    found = measure_spread(said[0], said[1], learner.linear.variance(matrix))
    rate = float(np.average(expit(choice.raw), weights=held.weight))
    level = 1.0 / (len(np.unique(held.lead)) * rate * (1.0 - rate))
    leads = len(np.unique(rows.lead[lesson.everything.rows]))
    return replace(found, constant=found.constant + level, leads=leads)


def learn_little(dataset: Dataset, definition: Definition, config: TrainConfig) -> Learned:
    """What the agreed scorecard says, moved by the few rows there are, or by none.

    Raises:
        NotEnoughEvidenceError: nothing is agreed to start from.
    """
    parts = _parts(dataset, definition, config)
    return _from_the_agreed(parts, _encoded(dataset, parts.encoder), definition)


def _from_the_agreed(parts: Parts, few: Rows, definition: Definition) -> Learned:
    """The additive part alone: nothing was tried."""
    learner = Blend(parts.linear(few, parts.prior(few)), None, 1.0, spread=AGREED_SPREAD)
    why = "Nothing was held out to calibrate by."
    calibration = CalibrationFit(Identity(), "identity", why, 0, 0, 0, 0, ())
    model = PropensityModel(definition, parts.encoder, learner, calibration.calibrator)
    return Learned(model, (), None, None, calibration)
