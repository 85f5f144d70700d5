"""Do features give away what must not decide? A proxy audit, and how each group fares.

Sensitive attributes are stored, never features. This page reads them beside the rows only to say
which features predict them, how many of each group would be called, and whether the probabilities
hold in each group. Nothing it returns may enter a model. Silence about a group means that there was
too little to say, and the record says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from features.clock import iso
from features.definition import Attribute, Definition
from features.facts import Queries
from features.frames import Category, Column, FeatureFrame, concatenate, take
from features.store.engine import Store
from features.store.history import load_facts
from features.windows import last, see
from training.dataset import Dataset
from training.discrimination import auc_interval
from training.intervals import (
    Codes,
    Floats,
    Interval,
    clustered_error,
    effective_rows,
    plain,
    wilson_interval,
)
from training.reliability import equal_mass_bins, observed_over_expected

FALSE_DISCOVERIES = 0.05
"""Expected share of features among those named that predict nothing."""

WINS_FOR_CALIBRATION = 200
"""With fewer wins in a group nothing is claimed about its calibration."""

FEWEST_LEADS = 100
"""Smaller groups, and attributes known of fewer leads, are not looked at."""

MOST_LEADS = 5_000
"""Proxies are looked for among so many leads, a seeded draw: more make the answer no different."""

_PORTION = 10_000
_FOLDS = 5
_BINS = 10
_PRIOR_ROWS = 10.0


@dataclass(frozen=True)
class Proxy:
    """How well one feature, or all together, predict a sensitive attribute on unseen leads.

    Attributes:
        attribute: the sensitive one.
        group: the level that is told from all others; None for numbers and dates.
        feature: the column; None for all columns together.
        measure: `auc` (.5 tells nothing) or `r2` (0 tells nothing).
        strength: the measure and its 95 % interval, clustered by lead.
        p: one-sided probability of so much if the feature told nothing.
        found: whether it stands after Benjamini and Hochberg over all features of the audit.
    """

    attribute: str
    group: str | None
    feature: str | None
    measure: str
    strength: Interval
    p: float
    found: bool = False


@dataclass(frozen=True)
class Group:
    """How a group fares.

    Attributes:
        attribute: the sensitive one.
        group: the level, or a range of numbers in words.
        leads: how many leads.
        wins: rows that were won.
        selected: share of the rows whose probability reaches the threshold, with its interval.
        observed_over_expected: None with fewer than 200 wins: too few to claim anything.
    """

    attribute: str
    group: str
    leads: int
    wins: int
    selected: Interval
    observed_over_expected: Interval | None


@dataclass(frozen=True)
class Audit:
    """The proxies, strongest first; the groups; and what was not looked at, in words."""

    proxies: tuple[Proxy, ...]
    groups: tuple[Group, ...]
    left_out: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return dict(plain(self))

    def sentences(self) -> list[str]:
        """What the card says: for each attribute the strongest proxies, and groups that differ."""
        said = [text for name in self._attributes() for text in self._about(name)]
        return [*said, *self.left_out]

    def _attributes(self) -> list[str]:
        named = [one.attribute for one in self.proxies] + [one.attribute for one in self.groups]
        return list(dict.fromkeys(named))

    def _about(self, attribute: str) -> Iterator[str]:
        mine = [one for one in self.proxies if one.attribute == attribute]
        found = [one for one in mine if one.found and one.feature is not None]
        if found:
            listed = ", ".join(_in_words(one) for one in found[:5])
            more = f" and {len(found) - 5} more" if len(found) > 5 else ""
            yield f"{attribute} can be guessed from features: {listed}{more}."
        elif mine:
            yield f"No single feature predicts {attribute} beyond chance."
        for one in mine:
            if one.feature is None:
                verb = "predict" if one.strength.lower > _NOTHING[one.measure] else "do not predict"
                yield f"All features together {verb} {attribute}: {_in_words(one)}."
        yield from (_fares(group) for group in self.groups if group.attribute == attribute)


def sensitive_values(store: Store, definition: Definition, rows: Dataset) -> dict[str, Column]:
    """The sensitive attributes of rows as they were known at each as-of, by name; shape (n,).

    Read beside the rows and never joined to their features.
    """
    sensitive = [attribute for attribute in definition.attributes if attribute.sensitive]
    if not sensitive:
        return {}
    names, row_lead = np.unique(np.array(rows.frame.lead_ids), return_inverse=True)
    parts: list[tuple[Codes, dict[str, Column]]] = []
    before = int(rows.as_of.max()) + 1
    with store.read() as connection:
        for start in range(0, len(names), _PORTION):
            here = np.flatnonzero((row_lead >= start) & (row_lead < start + _PORTION))
            leads = [str(name) for name in names[start : start + _PORTION]]
            facts = load_facts(connection, definition, leads, before)
            version = last(see(facts.versions, Queries(row_lead[here] - start, rows.as_of[here])))
            found = {a.name: take(facts.attributes[a.name], version) for a in sensitive}
            parts.append((here, found))
    order = np.argsort(np.concatenate([here for here, _ in parts]), kind="stable")
    stacked = _stacked([found for _, found in parts])
    return {name: take(column, order) for name, column in stacked.items()}


def _stacked(parts: Sequence[Mapping[str, Column]]) -> dict[str, Column]:
    frames = [
        FeatureFrame(("",) * len(_first(part)), np.zeros(len(_first(part)), np.int64), part)
        for part in parts
    ]
    return dict(concatenate(frames).columns)


def _first(part: Mapping[str, Column]) -> Column:
    return next(iter(part.values()))


def audit_proxies(
    rows: Dataset,
    sensitive: Mapping[str, Column],
    definition: Definition,
    *,
    probability: ArrayLike | None = None,
    threshold: float | None = None,
    seed: int = 0,
) -> Audit:
    """Which features predict each sensitive attribute, and how each group fares.

    Source: Hardt, Price and Srebro (2016) on why leaving an attribute out is not enough; Benjamini and
    Hochberg (1995) for the features named; calibration within groups after Kleinberg et al. (2017).

    Args:
        rows: the rows a model is judged on, n of them.
        sensitive: by name, shape (n,), from `sensitive_values`.
        definition: says which attributes are what.
        probability: shape (n,), what was said of each row; without it nothing is said of groups.
        threshold: from which probability a lead is selected; None: the first route's.
        seed: which leads share a fold.

    Returns:
        The audit. A feature is tried on leads it was not looked up from.
    """
    cells = {name: _cells(column) for name, column in rows.frame.columns.items()}
    turn = _turns(rows.lead, seed)
    proxies: list[Proxy] = []
    groups: list[Group] = []
    left_out: list[str] = []
    for name, column in sensitive.items():
        attribute = definition.attribute_by_name[name]
        targets = list(_targets(attribute, column, rows.lead, turn))
        for target in targets:
            proxies += _proxies(name, target, cells, rows.lead[target.rows], turn[target.rows])
        if not targets:
            left_out.append(f"{name} is known of too few leads, or too alike, to look for proxies.")
        if probability is not None:
            p = np.asarray(probability, dtype=np.float64)
            at = definition.routes[0].at_least if threshold is None else threshold
            groups += _groups(attribute, column, rows, p, at)
    return Audit(tuple(_discovered(proxies)), tuple(groups), tuple(left_out))


@dataclass(frozen=True)
class _Target:
    """What is to be guessed on some rows: 1 for a group's rows and 0 for others', or numbers."""

    group: str | None
    rows: Codes
    values: Floats


def _turns(lead: Codes, seed: int) -> Codes:
    """The place of each row's lead in a seeded order, shape (n,)."""
    number, code = np.unique(lead, return_inverse=True)
    drawn = np.random.default_rng(seed).permutation(len(number))
    return np.asarray(drawn[code.reshape(-1)], dtype=np.int64)


def _cells(column: Column) -> Codes:
    """Each row's group of like values; 0 is *not known*; shape (n,)."""
    if isinstance(column, Category):
        return column.codes + 1
    cells, known = np.zeros(len(column), dtype=np.int64), np.isfinite(column)
    if known.any():
        cells[known] = 1 + equal_mass_bins(column[known], _BINS)
    return cells


def _as_category(attribute: Attribute, column: Column) -> Column:
    """Booleans as two groups; everything else as it is."""
    if attribute.type != "boolean" or isinstance(column, Category):
        return column
    return Category(np.where(np.isnan(column), -1, column > 0).astype(np.int64), ("no", "yes"))


def _targets(attribute: Attribute, column: Column, lead: Codes, turn: Codes) -> Iterator[_Target]:
    """What can be guessed about an attribute with at least 100 leads on either side."""
    column = _as_category(attribute, column)
    if not isinstance(column, Category):
        rows = np.flatnonzero(np.isfinite(column) & (turn < MOST_LEADS))
        if len(np.unique(lead[rows])) >= FEWEST_LEADS and np.ptp(column[rows]) > 0:
            yield _Target(None, rows, column[rows])
        return
    rows = np.flatnonzero((column.codes >= 0) & (turn < MOST_LEADS))
    codes = column.codes[rows]
    for code in range(len(column.levels)):
        here = codes == code
        sides = [len(np.unique(lead[rows[side]])) for side in (here, ~here)]
        if min(sides) >= FEWEST_LEADS:
            yield _Target(column.levels[code], rows, here.astype(np.float64))
            if len(np.unique(codes)) == 2:
                return  # the other group is the same question


def _proxies(
    attribute: str, target: _Target, cells: Mapping[str, Codes], lead: Codes, turn: Codes
) -> Iterator[Proxy]:
    """Each feature alone, and all together."""
    fold = turn % _FOLDS
    mine = {name: cell[target.rows] for name, cell in cells.items()}
    for name, cell in mine.items():
        if cell.min() < cell.max():
            guess = _looked_up(cell, target.values, fold)
            yield _proxy(attribute, target, name, guess, lead, fold)
    together = _together(np.column_stack(list(mine.values())), target, fold)
    yield _proxy(attribute, target, None, together, lead, fold)


def _looked_up(cell: Codes, values: Floats, fold: Codes) -> Floats:
    """The mean of like rows of other leads, drawn to the mean of all as ten rows would; shape (n,)."""
    guess = np.empty(len(values))
    for held in range(_FOLDS):
        seen, unseen = fold != held, fold == held
        centre = float(values[seen].mean()) if seen.any() else 0.0
        n = np.bincount(cell[seen], minlength=int(cell.max()) + 1)
        total = np.bincount(cell[seen], values[seen], minlength=len(n))
        guess[unseen] = ((total + _PRIOR_ROWS * centre) / (n + _PRIOR_ROWS))[cell[unseen]]
    return guess


def _together(table: Codes, target: _Target, fold: Codes) -> Floats:
    """What boosted trees on all columns guess about unseen leads, shape (n,)."""
    # Seconds to import, and only an audit needs it.
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    settings: dict[str, Any] = {"max_iter": 60, "max_leaf_nodes": 8, "early_stopping": False}
    guess = np.empty(len(target.values))
    for held in range(_FOLDS):
        seen, unseen = fold != held, fold == held
        if target.group is None:
            number = HistGradientBoostingRegressor(random_state=0, **settings)
            guess[unseen] = number.fit(table[seen], target.values[seen]).predict(table[unseen])
        else:
            level = HistGradientBoostingClassifier(random_state=0, **settings)
            fitted = level.fit(table[seen], target.values[seen])
            guess[unseen] = fitted.predict_proba(table[unseen])[:, 1]
    return guess


def _proxy(
    attribute: str, target: _Target, feature: str | None, guess: Floats, lead: Codes, fold: Codes
) -> Proxy:
    if target.group is None:
        strength, p = _r2(guess, target.values, lead, fold)
        return Proxy(attribute, None, feature, "r2", strength, p)
    strength = auc_interval(guess, target.values, groups=lead)
    return Proxy(attribute, target.group, feature, "auc", strength, _p_of_auc(strength))


def _p_of_auc(strength: Interval) -> float:
    """One-sided, on the log-odds scale on which the interval is symmetrical."""
    if strength.estimate <= 0.5 or strength.lower <= 0:
        return 1.0
    if strength.estimate >= 1:
        return 0.0
    centre, lower = (float(np.log(a / (1 - a))) for a in (strength.estimate, strength.lower))
    return float(ndtr(-centre * 1.96 / max(centre - lower, 1e-12)))


def _r2(guess: Floats, values: Floats, lead: Codes, fold: Codes) -> tuple[Interval, float]:
    """Share of the variance explained on unseen leads, with its clustered interval, and p."""
    centre = np.array([values[fold != held].mean() for held in range(_FOLDS)])[fold]
    without = (values - centre) ** 2
    saved = without - (values - guess) ** 2
    share = float(saved.sum() / without.sum())
    codes = np.unique(lead, return_inverse=True)[1].reshape(-1).astype(np.int64)
    error = clustered_error((saved - share * without) / without.sum(), codes)
    return Interval.around(share, error), float(ndtr(-share / max(error, 1e-12)))


def _discovered(proxies: Sequence[Proxy]) -> list[Proxy]:
    """Which single features stand (Benjamini and Hochberg 1995); strongest evidence first."""
    ordered = sorted(proxies, key=lambda one: (one.p, -one.strength.estimate))
    single = [one for one in ordered if one.feature is not None]
    stands = [
        i
        for i, one in enumerate(single, start=1)
        if one.p <= FALSE_DISCOVERIES * i / len(single)
        and one.strength.lower > _NOTHING[one.measure]
    ]
    found = {id(one) for one in single[: max(stands, default=0)]}
    return [replace(one, found=id(one) in found) for one in ordered]


_NOTHING = {"auc": 0.5, "r2": 0.0}


def _groups(
    attribute: Attribute, column: Column, rows: Dataset, p: Floats, threshold: float
) -> Iterator[Group]:
    """How each group of at least 100 leads fares; numbers in three ranges."""
    for name, here in _ranges(attribute, _as_category(attribute, column)):
        lead, y, said = rows.lead[here], rows.y[here].astype(np.float64), p[here]
        if len(np.unique(lead)) < FEWEST_LEADS:
            continue
        wins = int(y.sum())
        reached = (said >= threshold).astype(np.float64)
        codes = np.unique(lead, return_inverse=True)[1].reshape(-1).astype(np.int64)
        worth = effective_rows(reached, codes, np.ones(len(here)))
        enough = min(wins, len(y) - wins) >= WINS_FOR_CALIBRATION
        yield Group(
            attribute=attribute.name,
            group=name,
            leads=len(np.unique(lead)),
            wins=wins,
            selected=wilson_interval(float(reached.mean()) * worth, worth),
            observed_over_expected=(
                observed_over_expected(said, y, groups=lead) if enough else None
            ),
        )


def _ranges(attribute: Attribute, column: Column) -> Iterator[tuple[str, Codes]]:
    """Groups by name, with their rows."""
    if isinstance(column, Category):
        for code, level in enumerate(column.levels):
            yield level, np.flatnonzero(column.codes == code)
        return
    known = np.flatnonzero(np.isfinite(column))
    third = equal_mass_bins(column[known], 3) if len(known) else known
    for number, words in enumerate(("lowest third", "middle third", "highest third")):
        here = known[third == number]
        if len(here):
            yield f"{words} ({_span(attribute, column[here])})", here


def _span(attribute: Attribute, values: Floats) -> str:
    low, high = float(values.min()), float(values.max())
    if attribute.type == "date":
        return f"{iso(int(low))[:10]} to {iso(int(high))[:10]}"
    return f"{low:g} to {high:g}"


def _in_words(one: Proxy) -> str:
    named = [one.feature] if one.feature is not None else []
    named += [f"({one.group})"] if one.group is not None else []
    measure = "AUC" if one.measure == "auc" else "R²"
    ends = f"({one.strength.lower:.2f} to {one.strength.upper:.2f})"
    return " ".join([*named, measure, f"{one.strength.estimate:.2f}", ends])


def _fares(group: Group) -> str:
    seen = group.selected
    text = (
        f"{group.attribute}, {group.group}: {seen.estimate:.1%} ({seen.lower:.1%} to "
        f"{seen.upper:.1%}) reach the first route"
    )
    ratio = group.observed_over_expected
    if ratio is None:
        return f"{text}; {group.wins} wins are too few to say whether its probabilities hold."
    held = "hold" if ratio.contains(1.0) else "do not hold"
    return (
        f"{text}; its probabilities {held}: {ratio.estimate:.2f} ({ratio.lower:.2f} to "
        f"{ratio.upper:.2f}) times as many won as was said."
    )
