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

1. *late*: more than 5 % of its values were last written after the lead had closed.
2. *presence*: whether it is filled in meets criterion 3 or 4.
3. *separates*: out of fold it explains more than a fifth of the uncertainty (lower end of the
   interval at least .22). Lead quality, the weakest such trap, has a lower end of .27; the best
   honest column, a macro-economic rate, .18.
4. *settles*: at least 5 % of the leads sit in groups where wins (or losses) are 20 times rarer than
   overall, confirmed on other leads. Call duration explains only 21 %, but nobody buys in ten
   seconds: that settles 12 % of the calls. No honest column settles any.
5. *named*: its name says that it is overwritten as a lead moves (last activity, tags, status, close
   date) and it has significant evidence; or that somebody graded the lead (score, index, quality)
   and that grade is evidence and is missing for some. English names only. A column made of dated
   facts is not accused for its name: its time is known and checked elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
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

_FOLDS = 5
_BINS = 20
_PRIOR_LEADS = 10.0

Kind = Literal["late", "presence", "separates", "settles", "named", "suspect"]
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
    message = f"{share:.0%} of its values were last written after the lead had closed."
    return Finding(column, "late", share, LATE_AT_LEAST, message)


def _strong(column: str, cells: Codes, leads: _Leads, of: str) -> Finding | None:
    """Criteria 3 and 4, for the values of a column or for its presence."""
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
    return None


def _presence(column: str, cells: Codes, leads: _Leads) -> Finding | None:
    known = (cells > 0).astype(np.int64)
    if known.min() == known.max():
        return None
    found = _strong(column, known, leads, "Whether it is filled in")
    if found is None:
        return None
    return Finding(column, "presence", found.statistic, found.threshold, found.message)


def _named(column: str, cells: Codes, leads: _Leads) -> Finding | None:
    name = words_of(column)
    overwritten, graded = OVERWRITTEN.search(name), GRADED.search(name)
    if EARLIER.search(name) or not (overwritten or graded):
        return None
    share, _ = _explained(cells, leads)
    evidence = share.lower > 0 and share.estimate >= EVIDENCE_AT_LEAST
    missing = float(leads.weights[cells == 0].sum() / leads.weights.sum())
    selected = bool(overwritten) or missing >= MISSING_AT_LEAST
    what = (
        "its name says that it is overwritten while the lead is worked"
        if overwritten
        else f"its name says that somebody graded the lead, and {missing:.0%} have no grade"
    )
    seen = f"it explains {share.estimate:.1%} of the outcome's uncertainty"
    kind: Kind = "named" if evidence and selected else "suspect"
    message = f"{what[0].upper()}{what[1:]}; {seen}."
    return Finding(column, kind, share.estimate, EVIDENCE_AT_LEAST, message)


def probe_leakage(
    columns: Mapping[str, ProbedColumn],
    y: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    filled_after_close_share: Mapping[str, float] | None = None,
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
        filled_after_close_share: per column the share of values last written after close, in
            [0, 1], where it is known.
        dated: columns made of facts with their own times; not accused for their names.
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
    findings = []
    for column, values in columns.items():
        cells = _cells(values)
        if cells.shape != leads.won.shape:
            raise ValueError(f"{column} has {len(cells)} values for {len(leads.won)} outcomes.")
        found = (
            _late(column, late.get(column, 0.0))
            or _presence(column, cells, leads)
            or _strong(column, cells, leads, "It")
            or (None if column in dated else _named(column, cells, leads))
        )
        if found:
            findings.append(_addressed(found, column in allow))
    return tuple(findings)


def _addressed(found: Finding, allowed: bool) -> Finding:
    end = "A person has overruled this." if allowed else _cure(found.column)
    message = f"{found.message} {end}"
    return Finding(found.column, found.kind, found.statistic, found.threshold, message, allowed)


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
