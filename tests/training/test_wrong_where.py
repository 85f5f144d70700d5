"""Where a model is wrong is said of the parts that are, and – at the stated rate – of no others."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom, false_discovery_control

from features.frames import Category
from models.calibrators import logit, sigmoid
from training.reliability import observed_over_expected
from training.wrong_where import (
    NOT_KNOWN,
    SHARE_OF_FALSE_ALARMS,
    Where,
    false_discovery_rates,
    variance_between,
    where_wrong,
)

REGIONS, MONTHS = 12, 10


def world(seed: int, leads: int = 1_500, rows: int = 3, level: float = -2.0) -> dict[str, Any]:
    """Leads with a region and several rows in different months; a lead's rows win together.

    What was said of a row is the true chance of its lead: the model is right.
    """
    rng = np.random.default_rng(seed)
    lead = np.repeat(np.arange(leads), rows)
    p = sigmoid(rng.normal(level, 1.0, leads))
    y = (rng.random(leads) < p).astype(np.int64)
    region = rng.choice(REGIONS, leads, p=np.arange(1, REGIONS + 1) / 78)
    return {
        "probability": p[lead],
        "y": y[lead],
        "lead": lead,
        "region": region[lead],
        "month": (np.tile(np.arange(rows), leads) + np.repeat(rng.integers(0, 8, leads), rows)),
    }


def parts_of(made: dict[str, Any]) -> dict[str, Category]:
    names = tuple(f"region {i:02d}" for i in range(REGIONS))
    months = tuple(f"month {i:02d}" for i in range(MONTHS))
    return {"Month": Category(made["month"], months), "Region": Category(made["region"], names)}


def found(made: dict[str, Any], weights: Any = None) -> Where:
    return where_wrong(made["probability"], made["y"], made["lead"], parts_of(made), weights)


def most_alarms(worlds: int) -> int:
    """More pages than this with an alarm come of a right model once in a thousand such tests."""
    return int(binom.ppf(0.999, worlds, SHARE_OF_FALSE_ALARMS))


@pytest.mark.parametrize("level", [-4.0, -2.0, 0.0])
@pytest.mark.parametrize("rows", [1, 3])
def test_a_right_model_is_called_wrong_no_more_often_than_is_said(rows: int, level: float) -> None:
    worlds = 100
    alarms = sum(bool(found(world(seed, 1_500, rows, level)).named) for seed in range(worlds))
    assert alarms <= most_alarms(worlds)


def test_of_twenty_right_models_with_forty_segments_hardly_one_is_called_wrong() -> None:
    alarms = 0
    for seed in range(20):
        made = world(seed, leads=4_000)
        segment = np.random.default_rng(seed).integers(0, 40, 4_000)[made["lead"]]
        names = tuple(f"segment {i}" for i in range(40))
        where = where_wrong(
            made["probability"], made["y"], made["lead"], {"Segment": Category(segment, names)}
        )
        assert where.tested >= 35
        alarms += bool(where.named)
    assert alarms <= most_alarms(20)


def test_a_region_whose_outcomes_are_turned_round_is_named_first_and_every_time() -> None:
    others = 0
    for seed in range(20):
        made = world(seed)
        there = made["region"] == 7
        made["y"] = np.where(there, 1 - made["y"], made["y"])
        where = found(made)
        assert (where.named[0].dimension, where.named[0].name) == ("Region", "region 07")
        assert where.named[0].verdict == "more bought than it said"
        assert where.named[0].ratio.lower > 1
        others += sum(part.dimension == "Region" for part in where.named) - 1
    assert others <= 1, "the level as a whole is off by this region, and the others are not blamed"


def test_a_region_that_buys_a_third_as_often_is_named_and_its_neighbours_are_not() -> None:
    hits, false = 0, 0
    for seed in range(20):
        made = world(seed, leads=4_000)
        rng, leads = np.random.default_rng(1_000 + seed), np.arange(4_000)
        spared = rng.random(len(leads)) < 1 / 3
        lose = (made["region"] == 9) & ~spared[made["lead"]]
        made["y"] = np.where(lose, 0, made["y"])
        named = {part.name for part in found(made).named}
        hits += "region 09" in named
        false += bool(named - {"region 09"})
    assert hits >= 18
    assert false <= most_alarms(20)


def test_a_level_that_is_off_everywhere_names_no_part_and_is_said() -> None:
    alarms = 0
    for seed in range(40):
        made = world(seed, leads=3_000)
        made["probability"] = sigmoid(logit(made["probability"]) + 1.0)
        where = found(made)
        assert where.level.upper < 1
        assert where.against == where.level.estimate
        assert where.rule.startswith("The level as a whole is off: 0.")
        alarms += bool(where.named)
    assert alarms <= most_alarms(40)


def test_counts_rates_and_ratios_are_those_of_plain_loops() -> None:
    made = world(1)
    rng = np.random.default_rng(5)
    weights = rng.integers(1, 4, len(made["y"])).astype(float)
    made["region"] = np.where(rng.random(len(made["y"])) < 0.1, -1, made["region"])
    where = found(made, weights)
    seen = {part.name: part for part in where.parts if part.dimension == "Region"}
    assert set(seen) == {*(f"region {i:02d}" for i in range(REGIONS)), NOT_KNOWN}
    for name, part in seen.items():
        code = -1 if name == NOT_KNOWN else int(name[-2:])
        here = [i for i in range(len(made["y"])) if made["region"][i] == code]
        total = sum(weights[i] for i in here)
        assert part.rows == len(here)
        assert part.leads == len({made["lead"][i] for i in here})
        assert part.wins == sum(made["y"][i] for i in here)
        assert part.said == pytest.approx(
            sum(weights[i] * made["probability"][i] for i in here) / total
        )
        assert part.happened == pytest.approx(sum(weights[i] * made["y"][i] for i in here) / total)
        assert part.ratio == observed_over_expected(
            made["probability"][here],
            made["y"][here],
            groups=made["lead"][here],
            weights=weights[here],
        )


def test_the_order_of_the_rows_changes_nothing() -> None:
    made = world(2)
    turned = {name: values[::-1] for name, values in made.items()}
    for one, other in zip(found(made).parts, found(turned).parts, strict=True):
        assert (one.dimension, one.name, one.rows, one.wins) == (
            other.dimension,
            other.name,
            other.rows,
            other.wins,
        )
        assert one.shrunk == pytest.approx(other.shrunk)
        assert one.q == pytest.approx(other.q)


def test_rates_of_false_discovery_are_scipys() -> None:
    chances = np.random.default_rng(0).random(30) ** 3
    assert false_discovery_rates(chances.tolist()) == pytest.approx(
        false_discovery_control(chances).tolist()
    )
    assert false_discovery_rates([]) == []


def test_the_variance_between_parts_is_the_method_of_moments_by_hand() -> None:
    # Two ratios 0.5 and 1.5 with variance .1: Q = 5, one degree of freedom, c = 20 − 200 / 20 = 10.
    assert variance_between(np.array([0.5, 1.5]), np.array([0.1, 0.1])) == pytest.approx(0.4)
    assert variance_between(np.array([0.9, 1.1]), np.array([0.1, 0.1])) == 0.0


def test_parts_borrow_strength_the_more_the_less_they_hold() -> None:
    made = world(3, leads=6_000)
    rng = np.random.default_rng(3)
    # Regions differ in truth, so that there is something to believe of each.
    shift = rng.normal(0, 0.6, REGIONS)
    p = sigmoid(logit(made["probability"]) + shift[made["region"]])
    made["y"] = (rng.random(6_000)[made["lead"]] < p).astype(int)
    where = found(made)
    regions = [part for part in where.parts if part.dimension == "Region"]
    kept = []
    for part in regions:
        raw, shrunk = math.log(part.ratio.estimate / where.against), part.shrunk / where.against
        assert abs(math.log(shrunk)) <= abs(raw) + 0.03
        if abs(raw) > 0.2:
            kept.append((part.rows, math.log(shrunk) / raw))
    smallest, largest = min(kept), max(kept)
    assert smallest[1] < largest[1] <= 1.02


def test_a_part_with_few_expected_wins_is_shown_and_not_judged() -> None:
    made = world(4)
    names = ("all but a few", "a few")
    few = (made["lead"] < 10).astype(np.int64)
    dimensions = {"Size": Category(few, names)}
    where = where_wrong(made["probability"], made["y"], made["lead"], dimensions)
    large, small = where.parts
    assert small.verdict == "too few outcomes"
    assert (small.p, small.q) == (None, None)
    assert small not in where.named
    assert large.q is not None
    assert where.tested == 1


def test_a_dimension_of_one_part_says_nothing_and_is_left_out() -> None:
    made = world(5)
    alone = {"Country": Category(np.zeros(len(made["y"]), np.int64), ("here", "there"))}
    assert where_wrong(made["probability"], made["y"], made["lead"], alone).parts == ()
