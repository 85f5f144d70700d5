"""From no outcome to ten thousand: what is learned is never worse than what was agreed, or than none.

Worlds of four agreed questions' worth of score, an attribute that tells and one that does not; 12 seeds
each. Log loss on 4,000 fresh leads is compared, seed by seed, with that of the scorecard (the expected
rate and the agreed score) and of the world's own base rate for all, which nobody knows beforehand. A
mean difference above 0 by less than two standard errors is noise: a learner that is exactly as good
fails one such comparison in 44.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy.special import expit, logit
from small_datasets import dataset_of

from features.bant import AGREED
from features.definition import parse_definition
from models.propensity import PropensityModel
from training.config import TrainConfig
from training.dataset import Dataset
from training.fit_linear import AGREED_SLOPE
from training.learn import learn, learn_little
from training.splits import grouped_lesson

RATE = 0.2
DEFINITION = parse_definition(
    f"""
name: first
expected_win_rate: {RATE}
attributes:
  - {{name: size, type: number}}
  - {{name: noise, type: number}}
bant:
  budget:
    - {{name: budget, answers: [Much, Some, Little, None]}}
"""
)
CONFIG = TrainConfig(leaves=(2, 4), most_trees=150, folds=3, learning_rate=0.1)
OUTCOMES = (0, 5, 10, 20, 50, 100, 300)
MANY = tuple(pytest.param(n, marks=pytest.mark.slow) for n in (1_000, 3_000, 10_000))
SEEDS = 12
WORLDS = {"right": 2.4, "wrong": -2.0}
"""What the agreed score is truly worth; in the wrong world the ranks are the wrong way round."""


def world(n: int, seed: int, slope: float) -> tuple[Dataset, np.ndarray]:
    """Leads and the true probability of each; the true rate is a little above the expected one."""
    rng = np.random.default_rng(seed)
    score = rng.choice([-1.0, -1 / 3, 1 / 3, 1.0], n)
    size = rng.normal(size=n)
    truth = expit(-1.2 + slope * score + 0.5 * size)
    y = (rng.random(n) < truth).astype(np.int64)
    columns = {AGREED: score, "attr_size": size, "attr_noise": rng.normal(size=n)}
    return dataset_of(range(n), [0] * n, y, columns), truth


def model_of(n: int, seed: int, slope: float) -> PropensityModel:
    dataset, _ = world(n, seed, slope)
    if n < 20:
        return learn_little(dataset, DEFINITION, CONFIG).model
    everyone = np.arange(n)
    return learn(dataset, grouped_lesson(everyone, everyone, CONFIG), DEFINITION, CONFIG).model


@cache
def losses(name: str, n: int) -> tuple[np.ndarray, ...]:
    """Expected log loss of the model, the scorecard, the base rate and the truth, seed by seed."""
    found = []
    for seed in range(SEEDS):
        model = model_of(n, seed, WORLDS[name])
        fresh, truth = world(4_000, 1_000 + seed, WORLDS[name])
        agreed = expit(logit(RATE) + AGREED_SLOPE * np.asarray(fresh.frame.columns[AGREED]))
        said = (model.score(fresh.frame).probability, agreed, np.full(4_000, truth.mean()), truth)
        found.append([float(-np.mean(_log_likelihood(p, truth))) for p in said])
    return tuple(np.array(found).T)


def _log_likelihood(said: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return truth * np.log(said) + (1 - truth) * np.log(1 - said)


def worse_beyond_noise(one: np.ndarray, other: np.ndarray) -> bool:
    worse = one - other
    return bool(worse.mean() > 1e-9 + 2 * worse.std(ddof=1) / np.sqrt(len(worse)))


@pytest.mark.parametrize("n", [*OUTCOMES, *MANY])
def test_where_the_scorecard_is_right_outcomes_never_make_it_worse(n: int) -> None:
    model, agreed, base, truth = losses("right", n)
    assert not worse_beyond_noise(model, agreed)
    assert not worse_beyond_noise(model, base)
    assert (model > truth).all()


@pytest.mark.parametrize("n", [100, 300, *MANY])
def test_where_the_scorecard_is_wrong_it_is_given_up(n: int) -> None:
    model, agreed, base, _ = losses("wrong", n)
    assert not worse_beyond_noise(model, agreed)
    assert not worse_beyond_noise(model, base)


def test_three_hundred_outcomes_are_better_than_the_scorecard_beyond_noise() -> None:
    model, agreed, base, _ = losses("right", 300)
    assert worse_beyond_noise(agreed, model)
    assert worse_beyond_noise(base, model)
    model, agreed, _, _ = losses("wrong", 300)
    assert worse_beyond_noise(agreed, model)


def test_a_scorecard_that_is_wrong_would_be_seen() -> None:
    """The comparisons above can fail: before outcomes the wrong scorecard is worse than none."""
    model, agreed, base, _ = losses("wrong", 0)
    assert worse_beyond_noise(agreed, base)
    assert model == pytest.approx(agreed, abs=1e-6)
