"""Both parts are fitted to the same rows, trees only where they have a weight, and read by rates."""

from __future__ import annotations

import numpy as np
import pytest
from worlds import DEFINITION, world

from features.pipeline import build_catalog
from models.blend import by_rates
from models.encoder import Encoder
from training.config import TrainConfig
from training.fit import Rows
from training.parts import Parts

CONFIG = TrainConfig(most_trees=40)


def made(by_rate: tuple[str, ...] = ()) -> tuple[Parts, Rows]:
    dataset = world(600, 0).dataset
    names = [spec.name for spec in build_catalog(DEFINITION) if spec.name in dataset.frame.columns]
    encoder = Encoder.fit(dataset.frame, names)
    by_name = {spec.name: spec for spec in build_catalog(DEFINITION)}
    parts = Parts(encoder, [by_name[name] for name in names], by_rate, 0, None, CONFIG)
    matrix, y = encoder.matrix(dataset.frame), dataset.y.astype(np.float64)
    return parts, Rows(matrix, y, np.ones(600), dataset.lead, dataset.as_of)


@pytest.mark.parametrize("weight", [0.0, 0.25, 0.5])
@pytest.mark.parametrize("by_rate", [(), ("attr_colour",)])
def test_a_blend_is_the_sum_of_parts_fitted_alone(weight: float, by_rate: tuple[str, ...]) -> None:
    parts, rows = made(by_rate)
    prior = parts.prior(rows)
    blend = parts.blend(rows, prior, 2, 30, weight)
    linear = parts.linear(rows, prior).raw(rows.matrix)
    trees = parts.trees(rows, 2, 30).raw(rows.matrix)
    expected = weight * linear + (1 - weight) * trees
    assert blend.raw(rows.matrix) == pytest.approx(expected, abs=1e-12)
    assert set(blend.rates) == set(by_rate)
    assert blend.columns == parts.encoder.names


def test_with_all_the_weight_on_the_additive_part_there_are_no_trees() -> None:
    parts, rows = made()
    blend = parts.blend(rows, parts.prior(rows), 2, 30, 1.0)
    assert blend.trees is None


@pytest.mark.parametrize("by_rate", [(), ("attr_colour",)])
def test_what_was_watched_is_what_so_many_trees_say(by_rate: tuple[str, ...]) -> None:
    """The last point of the curve and a fit of as many trees agree on held-out rows."""
    parts, rows = made(by_rate)
    first, last = np.arange(400), np.arange(400, 600)
    fit, held = rows.take(first, np.ones(400)), rows.take(last, np.ones(200))
    curve = parts.watched(fit, held, 2)
    trees = parts.trees(fit, 2, 10)
    assert trees.trees is not None
    read = by_rates(held.matrix, parts.encoder.names, trees.rates)
    assert trees.trees.raw(read) == pytest.approx(curve.after(10), abs=1e-9)


def test_the_matrix_that_is_read_by_rates_is_not_written_to() -> None:
    parts, rows = made(("attr_colour",))
    before = rows.matrix.tobytes()
    parts.blend(rows, parts.prior(rows), 2, 5, 0.5)
    assert rows.matrix.tobytes() == before
