"""The newest outcomes are followed where the world moves, and all believed alike where it does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from falling_company import HORIZON, company, ratio, rows_of

from features.clock import DAY
from models.calibrators import Identity, Offset
from training.calibrate import fit_calibrator
from training.forward import followed, said_following, said_forward
from training.recalibrate import follow_verdict
from training.renew import Renewed, renew
from training.unseen import Unseen
from training.verdicts import Verdict

MONTH = 30 * DAY


def renewed(raw: np.ndarray, rows: Unseen, months: int, follow: bool = False) -> Renewed:
    """What the outcomes of the first so many months ask for, when the last of them is known."""
    past = np.flatnonzero(rows.dataset.as_of < months * MONTH)
    return renew(
        raw[past],
        rows.take(past),
        np.arange(len(past)),
        now=Identity(),
        as_trained=Identity(),
        wait=HORIZON,
        instant=months * MONTH + HORIZON,
        seed=0,
        follow=follow,
    )


@pytest.mark.slow
def test_a_level_that_keeps_falling_is_followed_nearer_than_by_all_outcomes_alike() -> None:
    """Log-odds fall by .1 a month; the month after is said nearer to what comes, six of six times."""
    for seed in range(6):
        raw, rows = company(seed, months=16, drift=0.1)
        past = rows.dataset.as_of < 12 * MONTH
        after = rows.dataset.as_of == 15 * MONTH
        found = renewed(raw, rows, 12)
        assert found.memory is not None
        assert 0 < found.memory["leads"] < 0.7 * found.calibration.leads
        assert found.memory["saved"]["estimate"] > 0
        assert found.verdict.decision == "promote"
        lead = rows.dataset.lead[past]
        alike = fit_calibrator(raw[past], rows.dataset.y[past], groups=lead, seed=0)
        nearer, further = (
            abs(np.log(ratio(calibration.calibrator.apply(raw), rows, after)))
            for calibration in (found.calibration, alike)
        )
        assert nearer < further


@pytest.mark.slow
def test_where_nothing_moves_the_champion_is_hardly_ever_replaced() -> None:
    """One decision errs in about 5 %; two of eight or more by chance once in 17 (binomial)."""
    decisions = [renewed(*company(200 + seed, months=12), 12).verdict.decision for seed in range(8)]
    assert decisions.count("promote") <= 2


def test_outcomes_that_were_not_known_yet_change_nothing_that_was_said() -> None:
    raw, rows = company(5, months=10, drift=0.1)
    walked = said_forward(raw, rows, Identity(), HORIZON, seed=0)
    known, instant = rows.dataset, 7 * MONTH
    unknown = known.as_of + HORIZON > instant
    other = rows_of(known.as_of, known.lead, np.where(unknown, 1 - known.y, known.y))
    before, after = (
        said_following(raw, some, Identity(), HORIZON, walked).said for some in (rows, other)
    )
    spoken = known.as_of <= instant
    np.testing.assert_array_equal(before[spoken], after[spoken])
    assert (before != after).any()


def test_before_any_outcome_is_known_the_training_s_calibration_speaks() -> None:
    raw, rows = company(6, months=4)
    early, late = followed(raw, rows, Offset(0.3), HORIZON, np.array([2 * MONTH, 5 * MONTH]))
    assert early.calibrator == Offset(0.3)
    assert late.outcomes == pytest.approx(
        len(np.unique(rows.dataset.lead)) * np.mean(rows.dataset.as_of <= 2 * MONTH)
    )


def test_a_history_too_short_to_wait_is_not_followed() -> None:
    raw, rows = company(7, months=3, drift=0.3)
    assert renewed(raw, rows, 3).memory is None


@pytest.mark.slow
def test_in_a_world_that_stands_still_the_loop_says_about_the_same_by_following_or_not() -> None:
    """Most such worlds find that following has cost; what is shipped stays near the truth in all."""
    shipped = [renewed(*company(200 + seed, months=12), 12, follow=True) for seed in range(3)]
    assert sum(one.memory is None for one in shipped) >= 1
    for one in shipped:
        said = one.calibration.calibrator.apply(np.array([-1.7]))
        assert abs(np.log(said / (1 - said)) + 1.7) < 0.2


@pytest.mark.parametrize(
    ("decision", "level", "follows", "promoted"),
    [
        ("promote", (0.5, 0.9), True, True),
        ("undecided", (0.9, 1.1), True, True),
        ("undecided", (0.9, 1.1), False, False),
        ("keep", (0.9, 1.1), True, False),  # nothing is wrong with what is said now
        ("keep", (2.5, 3.5), True, True),  # the last steps were late for a jump, the next is not
        ("keep", (2.5, 3.5), False, False),
    ],
)
def test_a_step_of_what_follows_needs_no_proof_of_its_own(
    decision: str, level: tuple[float, float], follows: bool, promoted: bool
) -> None:
    found = renewed(*company(1, months=12, drift=0.1), 12)
    evidence = {"level_lower": level[0], "level_upper": level[1]}
    verdict = Verdict(decision, "planted", evidence)  # type: ignore[arg-type]
    one = replace(found, verdict=verdict, memory=found.memory if follows else None)
    assert (follow_verdict(one).decision == "promote") == promoted


def test_too_few_outcomes_are_followed_by_nobody() -> None:
    found = renewed(*company(1, months=12, drift=0.1), 12)
    few = replace(found, verdict=Verdict("undecided", "few", {"more_wins_needed": 4}))
    assert follow_verdict(few).decision == "undecided"
