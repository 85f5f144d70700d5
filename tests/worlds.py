"""Worlds whose true probabilities are known: leads with four attributes, one row each, no time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from small_datasets import dataset_of, labels

from features.definition import Definition, parse_definition
from features.frames import Column, FeatureFrame
from models.propensity import PropensityModel
from training.config import TrainConfig
from training.dataset import Dataset
from training.learn import learn
from training.splits import grouped_lesson

DEFINITION = parse_definition(
    """
name: worlds
attributes:
  - {name: size, type: number}
  - {name: weight, type: number}
  - {name: colour, type: category}
  - {name: noise, type: number}
"""
)
COLOURS = {"red": 0.6, "blue": 0.2, "green": 0.0, "grey": -0.2, "mauve": -0.6}


@dataclass(frozen=True)
class World:
    """Rows and the true probability of each, shape (n,)."""

    dataset: Dataset
    truth: NDArray[np.float64]

    @property
    def frame(self) -> FeatureFrame:
        return self.dataset.frame


def world(n: int, seed: int, interaction: float = 0.0) -> World:
    """log-odds = size − 1 + colour's + interaction · size · weight; the noise says nothing."""
    rng = np.random.default_rng(seed)
    size, weight = rng.normal(size=n), rng.normal(size=n)
    colour = rng.choice(list(COLOURS), n)
    odds = 0.8 * size - 1.0 + np.array([COLOURS[c] for c in colour])
    truth = expit(odds + interaction * size * weight)
    columns: dict[str, Column] = {
        "attr_size": size,
        "attr_weight": weight,
        "attr_colour": labels(colour.tolist()),
        "attr_noise": rng.normal(size=n),
    }
    y = (rng.random(n) < truth).astype(np.int64)
    return World(dataset_of(range(n), [0] * n, y, columns), truth)


def learned_from(
    dataset: Dataset, config: TrainConfig, definition: Definition = DEFINITION
) -> PropensityModel:
    """The model that grouped folds lead to."""
    everyone = np.arange(len(dataset))
    return learn(dataset, grouped_lesson(everyone, everyone, config), definition, config).model
