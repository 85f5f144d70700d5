"""Does what we say come true? Against the known probabilities of the simulated company.

A row's target is P(won within the horizon); rows closed as junk did not buy. The calibrator is judged
out of fold, on rows the booster has not learned from. Bounds are four
clustered standard errors of the outcomes it was fitted on, so a right calibration fails one of 16
checks in fewer than 1 of 1,000 worlds; the world is drawn once, with a fixed seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from features.clock import DAY, to_instant
from features.store.files.load import load
from features.store.migrate import upgrade
from models.workspace import Workspace
from training.config import TrainConfig
from training.dataset import Dataset, build_dataset
from training.forward import out_of_fold
from training.intervals import clustered_error
from training.learn import learn
from training.run import newest_cutoff, plan
from training.simulate import Truth, simulate
from training.splits import Piece

pytestmark = pytest.mark.slow

NOW = to_instant(datetime(2026, 6, 1, tzinfo=UTC))
ERRORS = 4.0


@dataclass
class World:
    matured: Dataset
    judge: Piece
    said: NDArray[np.float64]
    truth: NDArray[np.float64]

    @property
    def y(self) -> NDArray[np.float64]:
        return self.matured.y[self.judge.rows].astype(float)

    @property
    def lead(self) -> NDArray[np.int64]:
        return self.matured.lead[self.judge.rows]

    @property
    def as_of(self) -> NDArray[np.int64]:
        return self.matured.as_of[self.judge.rows]

    def gap(self, rows: NDArray[np.int64]) -> tuple[float, float]:
        """Mean of what was said minus mean truth on some rows, and the standard error of y − truth."""
        weight = self.judge.weight[rows] / self.judge.weight[rows].sum()
        noise = weight * (self.y[rows] - self.truth[rows])
        codes = np.unique(self.lead[rows], return_inverse=True)[1].reshape(-1)
        return float(weight @ (self.said[rows] - self.truth[rows])), clustered_error(noise, codes)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home = tmp_path_factory.mktemp("company")
    simulate(home, leads=12_000, events=240_000, seed=5)
    workspace = Workspace.of(
        {"PROPENSITY_DATA_DIR": str(home), "PROPENSITY_DEFINITION": str(home / "definition.yaml")}
    )
    upgrade(workspace.store)
    definition, config = workspace.definition(), TrainConfig()
    load(workspace.store, definition, now=NOW, rejects=home / "rejects", directory=home)
    cutoff = newest_cutoff(workspace.store)
    matured = build_dataset(
        workspace.store, definition, cutoff, most_leads=config.most_leads, seed=0
    ).matured()
    yield _judged(matured, home, plan(matured, definition, config)[0], definition, config)
    workspace.store.close()


def _judged(matured, home: Path, split, definition, config) -> World:
    model = learn(matured, split.lesson, definition, config).model
    rows = split.judge.rows
    frame = matured.frame.take(rows)
    raw = model.raw(frame)
    said = out_of_fold(raw, matured.y[rows], matured.lead[rows], split.judge.weight, seed=0)
    chances = Truth.of(home).probability(frame.lead_ids, frame.as_of, horizon_days=90)
    return World(matured, split.judge, said, np.nan_to_num(chances.won))


def test_the_average_is_right(world: World) -> None:
    gap, error = world.gap(np.arange(len(world.said)))
    assert abs(gap) < ERRORS * error


def test_every_band_is_right(world: World) -> None:
    for band in np.array_split(np.argsort(world.said, kind="stable"), 5):
        gap, error = world.gap(band)
        assert abs(gap) < ERRORS * error + 0.01


def test_prospects_and_clients_are_right(world: World) -> None:
    kind = world.matured.frame.columns["lead_kind"]
    for code in (0, 1):
        rows = np.flatnonzero(kind.codes[world.judge.rows] == code)
        gap, error = world.gap(rows)
        assert abs(gap) < ERRORS * error + 0.02


def test_every_month_is_near(world: World) -> None:
    """One calibration for a quarter year cannot follow the seasons: 2.5 points are allowed for them."""
    month = world.as_of // (30 * DAY)
    for one in np.unique(month):
        gap, error = world.gap(np.flatnonzero(month == one))
        assert abs(gap) < ERRORS * error + 0.025


def test_the_labels_are_unbiased_where_shortcuts_are_not(world: World) -> None:
    """Whole cohorts that matured read the truth; counting only leads that closed reads too much."""
    truth, y = world.truth, world.y
    everyone = np.arange(len(y))
    gap = float(np.average(y - truth, weights=world.judge.weight))
    _, error = world.gap(everyone)
    closed = world.matured.reason[world.judge.rows] <= 1
    assert abs(gap) < ERRORS * error
    assert y[closed].mean() > 1.5 * truth.mean()
