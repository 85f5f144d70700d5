"""How often does the alarm cry wolf, and how soon does it find what is wrong?

    python -m benchmarks.alarms [--runs 200] [--seed 0] [--json]

Two years of weekly looks at the production code (`training.loop.alarms.e_detector`), outcomes in scoring
order. Truthful: every outcome is drawn with the probability that was said, 25 or 100 outcomes a week.
Beside it a z-test of each week's outcomes and one of all so far, both at 95 %, looked at as often.
Wrong: from week 53 on the true odds are 0.65 of what is said, or the true log-odds lie 0.6 times as far
from their middle. `weeks` counts the weeks of outcomes of wrong scores that it took: the horizon and the
reporting lag come on top. A run that alarms before week 53, or never, was not found and counts as
infinitely late in the median.

`simulated_company` says the true probabilities of simulated companies, each lead once at a time, and
feeds what then happened. `common_shock` shows what the promise does not cover: truthful scores whose
outcomes of a week move together, by a normal shock of this standard deviation in log-odds.
Truthful cases take five times `--runs`, companies a quarter. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.log_odds import sigmoid
from training.intervals import wilson_interval
from training.loop.alarms import THRESHOLD, TWO_YEARS, e_detector
from training.simulated.courses import WON
from training.simulated.truth import Truth, is_open
from training.simulated.world import BLOCK, DAY_S, World

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CHANGE = 52
"""The weeks that are truthful before something goes wrong."""

MIDDLE, SPREAD = -1.6, 1.0
"""Mean and standard deviation of what is said, in log-odds: about one in five wins."""

Z_95 = 1.96
HORIZON_DAYS = 90
COMPANY_LEADS = 5_000


@dataclass(frozen=True)
class Run:
    """Two years of scores: what was said, what happened, the week."""

    said: Floats
    won: Floats
    week: Ints


Draw = Callable[[np.random.Generator], Run]


def drawn(per_week: int, *, odds: float = 1.0, slope: float = 1.0, shock: float = 0.0) -> Draw:
    """A company with so many outcomes a week, wrong from week 53 on by these factors."""

    def draw(rng: np.random.Generator) -> Run:
        week = np.repeat(np.arange(TWO_YEARS), per_week)
        said = rng.normal(MIDDLE, SPREAD, len(week))
        wrong = np.where(week >= CHANGE, MIDDLE + slope * (said - MIDDLE) + math.log(odds), said)
        moved = wrong + shock * rng.normal(size=TWO_YEARS)[week]
        won = (rng.random(len(week)) < sigmoid(moved)).astype(np.float64)
        return Run(sigmoid(said), won, week)

    return draw


def company(rng: np.random.Generator) -> Run:
    """A simulated company whose true probabilities are said, of each lead once at a time."""
    years = (7 * (TWO_YEARS + 1) + HORIZON_DAYS) / 365.25
    world = World(leads=COMPANY_LEADS, events=0, years=years, seed=int(rng.integers(2**31)))
    truth, horizon = Truth(world), HORIZON_DAYS * DAY_S
    parts: list[Run] = []
    for block in range(world.blocks):
        course = truth.block(block).course
        everyone = np.arange(min(BLOCK, world.leads - block * BLOCK))
        free = np.zeros(len(everyone), dtype=np.int64)
        for week in range(TWO_YEARS):
            second = np.full(len(everyone), world.start_s + (week + 1) * 7 * DAY_S)
            here = np.flatnonzero(is_open(course, everyone, second) & (free <= second))
            free[here] = second[here] + horizon
            said = truth.in_block(block, here, second[here], horizon).won
            closed, outcome = course.closed[here], course.outcome[here]
            inside = (closed >= second[here, None]) & (closed < second[here, None] + horizon)
            won = (inside & (outcome == WON)).any(axis=1).astype(np.float64)
            parts.append(Run(said, won, np.full(len(here), week)))
    said, won, number = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("said", "won", "week")
    )
    return Run(said, won, number)


def first_alarms(draw: Draw, runs: int, seed: int) -> Floats:
    """The week that raised the alarm in each run, shape (runs,); infinite where none did."""
    found = np.full(runs, np.inf)
    for number in range(runs):
        run = draw(np.random.default_rng([seed, number]))
        raised = e_detector(run.said, run.won, run.week).raised_in
        found[number] = np.inf if raised is None else raised
    return found


def truthful(draw: Draw, runs: int, seed: int) -> dict[str, Any]:
    """The share of runs that raise an alarm, with its Monte-Carlo interval."""
    alarms = int(np.isfinite(first_alarms(draw, runs, seed)).sum())
    interval = wilson_interval(alarms, runs)
    return {
        "share": alarms / runs,
        "lower": round(interval.lower, 4),
        "upper": round(interval.upper, 4),
        "runs": runs,
    }


def wrong(draw: Draw, runs: int, seed: int) -> dict[str, Any]:
    """How soon and how often it is found, and the tenth and ninetieth percentile of the weeks."""
    first = first_alarms(draw, runs, seed)
    weeks = np.where(first >= CHANGE, first - CHANGE + 1, np.inf)
    low, median, high = (_weeks(weeks, share) for share in (0.1, 0.5, 0.9))
    found = float(np.isfinite(weeks).mean())
    ends = np.sort(weeks)[_ends_of_median(runs)]
    return {
        "median_weeks": median,
        "median_error": [x if np.isfinite(x) else None for x in ends.tolist()],
        "found_share": found,
        "found_error": round(math.sqrt(found * (1 - found) / runs), 4),
        "weeks_p10": low,
        "weeks_p90": high,
        "runs": runs,
    }


def _weeks(weeks: Floats, share: float) -> float | None:
    found = float(np.quantile(weeks, share, method="higher"))
    return found if math.isfinite(found) else None


def _ends_of_median(runs: int) -> Ints:
    """Positions of the order statistics between which the true median is, at 95 %."""
    reach = Z_95 * math.sqrt(runs) / 2
    ends = [math.floor(runs / 2 - reach), math.ceil(runs / 2 + reach)]
    return np.array([min(max(end, 0), runs - 1) for end in ends], dtype=np.int64)


def z_tests(draw: Draw, runs: int, seed: int) -> tuple[float, float]:
    """The shares of truthful runs in which a z-test fires: of each week alone, and of all so far."""
    alone = so_far = 0
    for number in range(runs):
        run = draw(np.random.default_rng([seed, number]))
        excess = np.bincount(run.week, weights=run.won - run.said)
        variance = np.bincount(run.week, weights=run.said * (1 - run.said))
        alone += bool((np.abs(excess) > Z_95 * np.sqrt(variance)).any())
        summed = np.abs(np.cumsum(excess)) / np.sqrt(np.cumsum(variance))
        so_far += bool((summed > Z_95).any())
    return alone / runs, so_far / runs


def measure(runs: int, seed: int) -> dict[str, Any]:
    """Everything, as the JSON says it."""
    many = 5 * runs
    calm = {n: truthful(drawn(n), many, seed) for n in (25, 100)}
    alone, so_far = z_tests(drawn(100), runs, seed)
    return {
        "false_alarm_share": calm[100]["share"],
        "false_alarms": {f"{n}_per_week": found for n, found in calm.items()},
        "shift_065_100_per_week": wrong(drawn(100, odds=0.65), runs, seed + 1),
        "shift_065_25_per_week": wrong(drawn(25, odds=0.65), runs, seed + 2),
        "slope_06_100_per_week": wrong(drawn(100, slope=0.6), runs, seed + 3),
        "slope_06_25_per_week": wrong(drawn(25, slope=0.6), runs, seed + 4),
        "weekly_z_false_alarm_share": alone,
        "cumulative_z_false_alarm_share": so_far,
        "simulated_company": truthful(company, max(runs // 4, 1), seed + 5),
        "common_shock": {
            str(size): truthful(drawn(100, shock=size), many, seed + 6) for size in (0.1, 0.2)
        },
        "threshold": THRESHOLD,
        "weeks": TWO_YEARS,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="nothing but the JSON object")
    chosen = parser.parse_args(arguments)
    found = measure(chosen.runs, chosen.seed)
    if not chosen.json:
        for name, figures in found.items():
            print(f"{name}: {figures}", file=sys.stderr)
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
