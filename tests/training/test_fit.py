"""Trees are fitted the same way every time, held to their directions, and stopped by rows unseen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest
from scipy.special import expit

from features.catalog import FeatureSpec
from features.clock import DAY
from features.frames import Category, FeatureFrame
from models.encoder import EncodedColumn, Encoder
from models.trees import Trees
from training import fit as module
from training.config import TrainConfig
from training.fit import (
    Curve,
    Rows,
    calendar_columns,
    fit_trees,
    row_losses,
    telling_columns,
    watch_trees,
    weighted_log_loss,
)

NAMES = ("size", "colour", "noise")
ENCODER = Encoder(
    (EncodedColumn("size"), EncodedColumn("colour", ("a", "b", "c")), EncodedColumn("noise"))
)
CONFIG = TrainConfig(most_trees=60)


def spec(name: str, monotone: int = 0) -> FeatureSpec:
    assert monotone in (-1, 0, 1)
    return FeatureSpec(
        name=name,
        kind="number",
        fact=name,
        label=name,
        phrase="{value}",
        missing="",
        monotone=monotone,  # type: ignore[arg-type]
    )


SPECS = tuple(spec(name) for name in NAMES)


def rows(n: int, seed: int = 0, weight: float = 1.0) -> Rows:
    rng = np.random.default_rng(seed)
    size, colour = rng.normal(size=n), rng.integers(0, 3, n)
    size[rng.random(n) < 0.1] = np.nan
    y = rng.random(n) < expit(1.2 * np.nan_to_num(size) + (colour == 1) - 1)
    matrix = np.column_stack([size, colour, rng.normal(size=n)])
    return rows_of(matrix, y.astype(np.float64), np.full(n, weight))


def rows_of(matrix: np.ndarray, y: np.ndarray, weight: np.ndarray) -> Rows:
    """Rows of one lead each, at one instant."""
    return Rows(matrix, y, weight, np.arange(len(y)), np.zeros(len(y), dtype=np.int64))


def test_the_same_rows_give_the_same_bytes() -> None:
    texts = {fit_trees(rows(700), ENCODER, SPECS, 4, 30, CONFIG) for _ in range(3)}
    assert len(texts) == 1


def test_one_thread_and_two_give_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found so on LightGBM 4.7 with 3,000 and 60,000 rows, by the way without `deterministic` too."""
    parameters, texts = module._parameters, []
    for threads in (1, 2):

        def with_threads(*given: Any, threads: int = threads) -> dict[str, object]:
            return {**parameters(*given), "num_threads": threads}

        monkeypatch.setattr(module, "_parameters", with_threads)
        texts.append(fit_trees(rows(3_000), ENCODER, SPECS, 12, 40, CONFIG))
    assert texts[0] == texts[1]


def test_another_seed_gives_other_trees() -> None:
    one, other = (
        fit_trees(rows(700), ENCODER, SPECS, 4, 30, replace(CONFIG, seed=seed)) for seed in (0, 1)
    )
    assert one != other


def test_the_text_is_all_model_and_scores_like_the_whole_one() -> None:
    text = fit_trees(rows(700), ENCODER, SPECS, 4, 30, CONFIG)
    assert text.startswith("tree\n")
    assert "parameters" not in text
    assert "[num_threads" not in text
    assert Trees(text).columns == list(NAMES)
    booster = lgb.train(
        module._parameters(SPECS, 4, CONFIG, rows(700)), module._dataset(rows(700), ENCODER, ()), 30
    )
    matrix = rows(50, seed=1).matrix
    whole = booster.predict(matrix, raw_score=True)
    assert Trees(text).raw(matrix).tobytes() == whole.tobytes()


@pytest.mark.parametrize("direction", [-1, 1])
def test_a_direction_is_held_against_all_evidence(direction: int) -> None:
    held = (spec("size", direction), *SPECS[1:])
    text = fit_trees(rows(2_000), ENCODER, held, 12, 60, CONFIG)
    ladder = np.linspace(-4, 4, 200)
    for colour in (0.0, 1.0, np.nan):
        matrix = np.column_stack([ladder, np.full(200, colour), np.zeros(200)])
        assert (np.diff(Trees(text).raw(matrix)) * direction >= 0).all()
    gains = Trees(text).importance()
    share = gains["size"] / sum(gains.values())
    assert share > 0.5 if direction == 1 else share < 0.3, "it rises in these rows"


def test_without_a_split_that_helps_there_is_the_base_rate_by_weight() -> None:
    few = rows(30)
    few = replace(
        few, y=np.r_[np.ones(10), np.zeros(20)], weight=np.r_[np.full(10, 4.0), np.ones(20)]
    )
    text = fit_trees(few, ENCODER, SPECS, 4, 5, CONFIG)
    assert Trees(text).raw(few.matrix) == pytest.approx(np.log(40 / 20), abs=1e-9)
    curve = watch_trees(few, few, ENCODER, SPECS, 4, CONFIG)
    assert len(curve.held_out) >= 1
    assert curve.after(1) == pytest.approx(np.log(40 / 20), abs=1e-9)


def test_a_curve_is_what_the_booster_says_after_each_number_of_trees() -> None:
    held_out = rows(400, seed=5)
    curve = watch_trees(rows(700), held_out, ENCODER, SPECS, 4, CONFIG)
    booster = lgb.Booster(
        module._parameters(SPECS, 4, CONFIG, rows(700)), module._dataset(rows(700), ENCODER, ())
    )
    for _ in curve.held_out:
        booster.update()
    for trees in (1, 2, len(curve.held_out) // 2, len(curve.held_out)):
        expected = booster.predict(held_out.matrix, raw_score=True, num_iteration=trees)
        np.testing.assert_allclose(curve.after(trees), expected, rtol=0, atol=1e-12)


def test_boosting_stops_when_unseen_rows_have_not_gained_for_long() -> None:
    noise = replace(rows(400), y=np.random.default_rng(9).integers(0, 2, 400).astype(np.float64))
    impatient = replace(CONFIG, most_trees=400, patience=5)
    curve = watch_trees(noise, rows(400, seed=2), ENCODER, SPECS, 4, impatient)
    losses = [weighted_log_loss(raw, rows(400, seed=2)) for raw in curve.held_out]
    best = int(np.argmin(losses))
    assert len(losses) - 1 - best <= 5 < 400
    assert len(watch_trees(rows(400), rows(400, seed=2), ENCODER, SPECS, 4, CONFIG).held_out) <= 60


def test_a_curve_asked_beyond_its_end_gives_its_end() -> None:
    curve = Curve([np.array([1.0]), np.array([2.0])])
    assert [float(curve.after(n)[0]) for n in (1, 2, 3, 99)] == [1.0, 2.0, 2.0, 2.0]


def test_losses_are_those_of_the_definition_and_do_not_overflow() -> None:
    raw, y = np.array([-3.0, 0.0, 2.5]), np.array([1.0, 0.0, 1.0])
    by_hand = [-np.log(expit(-3.0)), -np.log(0.5), -np.log(expit(2.5))]
    np.testing.assert_allclose(row_losses(raw, y), by_hand)
    assert np.isfinite(row_losses(np.array([-800.0, 800.0]), np.array([1.0, 0.0]))).all()
    weighted = weighted_log_loss(raw, rows_of(raw[:, None], y, np.array([1.0, 0.0, 3.0])))
    assert weighted == pytest.approx((by_hand[0] + 3 * by_hand[2]) / 4)


# Which columns say something


def frame(as_of: np.ndarray | None = None, **columns: np.ndarray | Category) -> FeatureFrame:
    n = len(next(iter(columns.values())))
    instants = np.zeros(n, dtype=np.int64) if as_of is None else as_of
    return FeatureFrame(("",) * n, instants, columns)


def test_columns_that_say_nothing_or_what_an_earlier_one_says_are_left_out() -> None:
    size = np.array([1.0, 2.0, np.nan, 2.0])
    given = frame(
        size=size,
        again=size.copy(),
        constant=np.full(4, 7.0),
        empty=np.full(4, np.nan),
        known_or_not=np.array([3.0, np.nan, 3.0, 3.0]),
        zeros=np.array([0.0, 0.0, 0.0, 0.0]),
        colour=Category.of(["red", "red", None, "blue"]),
        one_colour=Category.of(["red"] * 4),
        no_colour=Category.of([None] * 4),
    )
    assert telling_columns(given) == ["size", "known_or_not", "colour"]


def test_a_column_that_only_time_moves_is_a_calendar() -> None:
    rng = np.random.default_rng(0)
    as_of = np.repeat(np.arange(8), 40) * 30 * DAY
    month = as_of // (30 * DAY)
    given = frame(
        as_of,
        index=10.0 + month,
        index_with_gaps=np.where(rng.random(320) < 0.5, np.nan, 3.0 * month),
        drifting=month + rng.normal(0, 4, 320),
        age=rng.normal(40, 9, 320),
        constant=np.full(320, 5.0),
        never=np.full(320, np.nan),
        colour=Category.of([f"{m}" for m in month]),
    )
    assert calendar_columns(given) == ["index", "index_with_gaps"]


def test_too_few_months_or_rows_show_no_calendar() -> None:
    two = np.repeat(np.arange(2), 400) * 30 * DAY
    assert calendar_columns(frame(two, index=two / DAY)) == []
    sparse = np.repeat(np.arange(8), 10) * 30 * DAY
    assert calendar_columns(frame(sparse, index=sparse / DAY)) == []
    once = np.zeros(400, dtype=np.int64)
    assert calendar_columns(frame(once, index=np.arange(400.0))) == []
