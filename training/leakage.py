"""Does a column know the outcome? Asked of every column before anything is fitted.

Rule: a column that could only be known after, or because of, the outcome stops the training, by
name, until a person excludes it or overrules the probe for it. The probe accuses on evidence that
can be said in one sentence; what it lets pass is not thereby proven innocent.

How the criteria were found, honestly: on five public sets with eleven known traps (a campaign of
phone calls, an education company's CRM export, a fictitious pipeline, B2B opportunities, a loan
event log), so they are tuned to those and confirmed only by halves and quarters of the same sets.
Strength alone does not do. Of the outcome's uncertainty one trap explains 56 % but others 1-13 %,
while honest columns (time on the website, macro-economic rates in a drifting market) reach 20 %.
Nor does it help what a column adds to all others: the honest ones add as much. Hence:

1. *late*: more than 5 % of its values were first filled in when the lead had closed.
2. *presence*: whether it is filled in meets criterion 3, 4 or 5.
3. *separates*: out of fold it explains more than a fifth of the uncertainty (lower end of the
   interval at least .22). Lead quality, the weakest such trap, has a lower end of .27; the best
   honest column, a macro-economic rate, .18.
4. *settles*: at least 5 % of the leads sit in groups where wins (or losses) are 20 times rarer than
   overall, confirmed on other leads. Call duration explains only 21 %, but nobody buys in ten
   seconds: that settles 12 % of the calls. No honest column settles any.
5. *certain*: a value with which nobody ever lost, shared by so many leads that losses are surely 20
   times rarer among them than overall; fewer than 5 % of the leads may have it. (The best honest
   source has 142 leads and two losses; a quarter of it has none, so that a low floor would accuse
   it.) A value that never wins is not accused: leads from where nobody sells to never do. Columns
   made of dated facts are not asked: much engagement may well make sure.
6. *closes*: for half of the leads it is, within a day, the date of the close or the time until it.

Names convict nobody. A column whose name says that it is overwritten as a lead moves, or that somebody
graded the lead, is a *suspect* when it has significant evidence: a warning. Seven traps of one of
the five sets (last activity, profile scores) can be told from honest columns in no other way: they
explain 3-13 %, what people typed into a form 14 %. Whoever drafts a definition is shown them by name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from features.errors import LeakageError, Problem
from features.frames import Category
from training.decomposition import log_loss_rows
from training.discrimination import auc
from training.intervals import (
    Codes,
    Floats,
    Interval,
    checked_outcomes,
    clustered_error,
    group_codes,
    plain,
    wilson_interval,
)
from training.reliability import equal_mass_bins
from training.telling_names import EARLIER, GRADED, OVERWRITTEN, words_of

EXPLAINED_AT_LEAST = 0.22
"""Share of the outcome's uncertainty (log loss) that no honest column explains alone."""

SETTLED_AT_LEAST = 0.05
"""Share of leads whose outcome no honest column settles alone."""

RARER_BY = 20.0
"""An outcome counts as settled when the other one is this many times rarer than overall."""

SURELY_RARER_BY = 10.0
"""And this many times rarer at the upper end of a 99 % interval, on leads not looked at before."""

LATE_AT_LEAST = 0.05
"""Share of values written after close beyond which it is a habit and not a correction."""

EVIDENCE_AT_LEAST = 0.005
"""Share of uncertainty, beyond noise, from which a telling name is taken seriously."""

MISSING_AT_LEAST = 0.05
"""Share of leads without a grade from which on it was given to a selection."""

BY_CHANCE = 1e-3
"""How improbable it must be that leads who lose 20 times more rarely than all should all have won."""

FEWEST_LEADS = 30
"""With fewer leads whose close is known no column tells it."""

CLOSES_AT_LEAST = 0.5
"""Share of leads for which a column tells the day of the close, beyond what shuffled leads show."""

_FOLDS = 5
_BINS = 20
_PRIOR_LEADS = 10.0

Kind = Literal["late", "presence", "separates", "settles", "certain", "closes", "suspect"]
ProbedColumn = ArrayLike | Category | tuple[ArrayLike, Sequence[str]]


@dataclass(frozen=True)
class Finding:
    """One column under accusation.

    Attributes:
        column: its name.
        kind: which criterion it met; `suspect` is a warning and never stops anything.
        statistic: the figure that was compared.
        threshold: with what.
        message: one paragraph for people: what was seen, and how to exclude or overrule.
        allowed: whether a person has overruled the probe for this column.
    """

    column: str
    kind: Kind
    statistic: float
    threshold: float
    message: str
    allowed: bool = False

    @property
    def blocking(self) -> bool:
        """Whether training must stop."""
        return self.kind != "suspect" and not self.allowed

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return dict(plain(self))


@dataclass(frozen=True)
class _Leads:
    """The outcomes, with rows of a lead weighing one together."""

    won: Floats
    codes: Codes
    weights: Floats
    folds: Codes

    @property
    def base(self) -> float:
        return float(np.average(self.won, weights=self.weights))


def _leads(y: ArrayLike, groups: ArrayLike | None, seed: int) -> _Leads:
    won = checked_outcomes(y, both=True)
    codes = group_codes(groups, len(won))
    rows = np.bincount(codes)
    shuffled = np.random.default_rng(seed).permutation(len(rows)) % _FOLDS
    return _Leads(won, codes, 1.0 / rows[codes], np.asarray(shuffled[codes], dtype=np.int64))


def _cells(column: ProbedColumn) -> Codes:
    """Put each row into a group of like values; group 0 is *not known*; shape (n,)."""
    if isinstance(column, Category):
        return column.codes + 1
    if isinstance(column, tuple):
        return np.asarray(column[0], dtype=np.int64) + 1
    values = np.asarray(column, dtype=np.float64)
    cells, known = np.zeros(len(values), dtype=np.int64), np.isfinite(values)
    if known.any():
        # Bins by rank keep equal values together: a value that many leads share is its own bin.
        cells[known] = 1 + equal_mass_bins(values[known], _BINS)
    return cells


def _explained(cells: Codes, leads: _Leads) -> tuple[Interval, Floats]:
    """Share of uncertainty explained on unseen leads, with its interval, and the predictions."""
    p, base = np.empty(len(cells)), np.empty(len(cells))
    for fold in range(_FOLDS):
        seen, unseen = leads.folds != fold, leads.folds == fold
        mass = leads.weights[seen]
        rate = float(np.average(leads.won[seen], weights=mass)) if mass.size else 0.5
        n = np.bincount(cells[seen], mass, minlength=int(cells.max()) + 1)
        wins = np.bincount(cells[seen], mass * leads.won[seen], minlength=len(n))
        p[unseen] = ((wins + _PRIOR_LEADS * rate) / (n + _PRIOR_LEADS))[cells[unseen]]
        base[unseen] = rate
    ends = (1e-6, 1 - 1e-6)
    without = log_loss_rows(np.clip(base, *ends), leads.won)
    saved = without - log_loss_rows(np.clip(p, *ends), leads.won)
    uncertainty = leads.weights @ without
    share = float(leads.weights @ saved / uncertainty)
    # The ratio's error: what a lead saves beyond its due, over all uncertainty.
    rest = leads.weights * (saved - share * without) / uncertainty
    return Interval.around(share, clustered_error(rest, leads.codes)), p


def _settled(p: Floats, leads: _Leads) -> float:
    """Share of leads whose outcome was as good as settled, judged by leads like them."""
    base, settled = leads.base, 0.0
    for rate, won in ((base, leads.won), (1 - base, 1 - leads.won)):
        doubt = p if won is leads.won else 1 - p
        rare = doubt < rate / RARER_BY
        mass = float(leads.weights[rare].sum())
        seen = wilson_interval(float(leads.weights[rare] @ won[rare]), mass, level=0.99)
        # The groups were picked as rare among other leads; here they have to be so again.
        settled += mass if seen.upper < rate / SURELY_RARER_BY else 0.0
    return settled / float(leads.weights.sum())


def _cure(column: str) -> str:
    return (
        f"Exclude it in the lead definition (`known_late: true` at {column}); if it truly is known "
        f"in time, train with `--allow-leakage {column}`."
    )


def _late(column: str, share: float) -> Finding | None:
    if share < LATE_AT_LEAST:
        return None
    message = f"{share:.0%} of its values were first filled in when the lead had closed."
    return Finding(column, "late", share, LATE_AT_LEAST, message)


def _strong(
    column: str, cells: Codes, leads: _Leads, of: str, *, dated: bool = False
) -> Finding | None:
    """Criteria 3, 4 and 5, for the values of a column or for its presence."""
    share, p = _explained(cells, leads)
    if share.lower >= EXPLAINED_AT_LEAST:
        message = (
            f"{of} alone explains {share.estimate:.0%} of the outcome's uncertainty "
            f"(AUC {auc(p, leads.won, leads.weights):.2f}) on leads it was not looked up from."
        )
        return Finding(column, "separates", share.lower, EXPLAINED_AT_LEAST, message)
    settled = _settled(p, leads)
    if settled >= SETTLED_AT_LEAST:
        message = (
            f"{of} settles {settled:.0%} of the leads: one outcome is {RARER_BY:.0f} times rarer "
            "among them than overall."
        )
        return Finding(column, "settles", settled, SETTLED_AT_LEAST, message)
    return None if dated else _certain(column, cells, leads, of)


def _certain(column: str, cells: Codes, leads: _Leads, of: str) -> Finding | None:
    """A value with which nobody ever lost."""
    mass = np.bincount(cells, leads.weights)
    lost = np.bincount(cells, leads.weights * (1 - leads.won))
    enough = np.log(BY_CHANCE) / np.log1p(-(1 - leads.base) / RARER_BY)
    only_won = (lost == 0) & (mass >= enough)
    if not only_won.any():
        return None
    most = round(float(mass[only_won].max()))
    message = f"{of} has a value that {most} leads share, and every one of them won."
    return Finding(column, "certain", float(most), float(enough), message)


def _closes(
    column: str, values: ProbedColumn, ended: Floats | None, leads: _Leads
) -> Finding | None:
    """Criterion 6: a number of days that is the time from a row to the close of its lead."""
    if ended is None or isinstance(values, Category | tuple):
        return None
    told = np.abs(np.asarray(values, dtype=np.float64))
    both = np.flatnonzero(np.isfinite(told) & np.isfinite(ended))
    if leads.weights[both].sum() < FEWEST_LEADS:
        return None
    told, ends, weights = told[both], ended[both], leads.weights[both]
    # Where everything closes at once, shuffled leads agree as well: that is no knowledge of the close.
    shuffled = np.random.default_rng(0).permutation(len(both))
    seen = np.average(np.abs(told - ends) <= 1.0, weights=weights)
    chance = np.average(np.abs(told[shuffled] - ends) <= 1.0, weights=weights)
    share = float(seen - chance)
    if share < CLOSES_AT_LEAST:
        return None
    message = f"For {seen:.0%} of the leads it tells the day on which they closed."
    return Finding(column, "closes", share, CLOSES_AT_LEAST, message)


def _presence(column: str, cells: Codes, leads: _Leads, *, dated: bool) -> Finding | None:
    known = (cells > 0).astype(np.int64)
    if known.min() == known.max():
        return None
    found = _strong(column, known, leads, "Whether it is filled in", dated=dated)
    if found is None:
        return None
    return Finding(column, "presence", found.statistic, found.threshold, found.message)


def _suspect(column: str, cells: Codes, leads: _Leads) -> Finding | None:
    """A warning for a column with evidence that every honest column may have, and a telling name."""
    told = _told_by_name(column, float(leads.weights[cells == 0].sum() / leads.weights.sum()))
    if told is None:
        return None
    share, _ = _explained(cells, leads)
    if share.lower <= 0 or share.estimate < EVIDENCE_AT_LEAST:
        return None
    seen = f"it explains {share.estimate:.1%} of the outcome's uncertainty"
    message = f"{told[0].upper()}{told[1:]}; {seen}."
    return Finding(column, "suspect", share.estimate, EVIDENCE_AT_LEAST, message)


def _told_by_name(column: str, missing: float) -> str | None:
    name = words_of(column)
    if EARLIER.search(name):
        return None
    if OVERWRITTEN.search(name):
        return "its name says that it is overwritten while the lead is worked"
    if GRADED.search(name) and missing >= MISSING_AT_LEAST:
        return f"its name says that somebody graded the lead, and {missing:.0%} have no grade"
    return None


def probe_leakage(
    columns: Mapping[str, ProbedColumn],
    y: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    filled_after_close_share: Mapping[str, float] | None = None,
    ended_days: ArrayLike | None = None,
    dated: Collection[str] = (),
    allow: Collection[str] = (),
    seed: int = 0,
) -> tuple[Finding, ...]:
    """Look at each column alone and accuse those that know the outcome.

    Args:
        columns: by name; floats of shape (n,) with NaN for not known, a `Category`, or a pair of
            int codes of shape (n,) with -1 for not known and their levels.
        y: shape (n,), 1 = won, 0 = not won.
        groups: lead ids of shape (n,); a lead's rows weigh one together.
        filled_after_close_share: per column the share of values first filled in after close, in
            [0, 1], where it is known.
        ended_days: shape (n,), days from a row to the close of its lead, NaN where it is not known.
        dated: columns made of facts with their own times; not suspected for their names.
        allow: columns for which a person has overruled the probe.
        seed: which leads share a fold.

    Returns:
        At most one finding a column, in the order of the columns.

    Raises:
        OneClassError: only wins or only losses; then nothing can be known.
        ValueError: a column's length differs from that of the outcomes.
    """
    leads = _leads(y, groups, seed)
    late = filled_after_close_share or {}
    ended = None if ended_days is None else np.asarray(ended_days, dtype=np.float64)
    findings = []
    for column, values in columns.items():
        cells = _cells(values)
        if cells.shape != leads.won.shape:
            raise ValueError(f"{column} has {len(cells)} values for {len(leads.won)} outcomes.")
        found = (
            _late(column, late.get(column, 0.0))
            or _presence(column, cells, leads, dated=column in dated)
            or _strong(column, cells, leads, "It", dated=column in dated)
            or _closes(column, values, ended, leads)
            or (None if column in dated else _suspect(column, cells, leads))
        )
        if found:
            findings.append(_addressed(found, column in allow))
    return tuple(findings)


def _addressed(found: Finding, allowed: bool) -> Finding:
    if found.kind == "suspect":
        return replace(
            found, message=f"{found.message} If it is written late, mark it `known_late`."
        )
    end = "A person has overruled this." if allowed else _cure(found.column)
    return replace(found, message=f"{found.message} {end}", allowed=allowed)


def refuse_leakage(findings: Collection[Finding]) -> None:
    """Stop when any finding blocks, naming all of them at once.

    Raises:
        LeakageError: with one problem per blocking column.
    """
    blocking = [finding for finding in findings if finding.blocking]
    if blocking:
        raise LeakageError(
            f"Training stopped: {len(blocking)} of the columns know the outcome.",
            hint="Exclude them in the lead definition (`known_late: true`), or overrule one by one "
            "with `--allow-leakage COLUMN`.",
            problems=[Problem("columns", one.column, one.kind, one.message) for one in blocking],
        )
