"""Every call is predicted from what was known when it was made, and the figures are of all of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.bank_calls import CALLS, CATEGORIES, RECENT, Calls, read_calls
from benchmarks.prequential import Schedule, followed, main, predictions, trusted
from models.calibrators import logit, sigmoid

WAYS = {
    "frozen",
    "retrain",
    "retrain_platt500",
    "average_platt500",
    "base_rate_1000",
    "ours_without_mix",
    "ours",
}


def made_up(calls: int, seed: int = 3) -> Calls:
    """Two columns that matter a little, and a level that jumps in the middle."""
    rng = np.random.default_rng(seed)
    columns = rng.normal(size=(calls, 4))
    level = np.where(np.arange(calls) < calls // 2, -1.5, 0.0)
    won = rng.random(calls) < sigmoid(level + 0.8 * columns[:, 0] - 0.5 * columns[:, 1])
    return Calls(columns, won.astype(float))


def write_bank(directory: Path, calls: int) -> Path:
    """A file with the bank's header; what is not to be used would give every outcome away."""
    rng = np.random.default_rng(8)
    names = [*CATEGORIES, "age", "campaign", "pdays", "previous", "duration", "euribor3m", "month"]
    lines = [";".join(f'"{name}"' for name in [*names, "y"])]
    for _ in range(calls):
        won = rng.random() < 0.3
        levels = [str(rng.choice(["a", "b", "c"])) for _ in CATEGORIES]
        numbers = [rng.integers(18, 80), rng.integers(1, 9), rng.choice([999, 3]), 1]
        tells = [int(won), int(won), "mar" if won else "may"]
        cells = [*levels, *numbers, *tells, "yes" if won else "no"]
        lines.append(";".join(str(cell) for cell in cells))
    path = directory / CALLS
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(lines) + "\n")
    return directory


@pytest.mark.parametrize(
    "schedule",
    [
        Schedule(start=300, block=100, delay=0, retrain=100),
        Schedule(start=300, block=50, delay=0, retrain=100),
        Schedule(start=300, block=100, delay=130, retrain=100),
    ],
)
def test_no_outcome_is_used_before_it_is_known(schedule: Schedule) -> None:
    calls = made_up(700)
    said = predictions(calls, schedule)
    look = 500
    unknown = schedule.known_at(700) > look
    assert unknown[look]
    assert unknown[499] == (schedule.delay > 0)
    turned = Calls(calls.columns, np.where(unknown, 1 - calls.y, calls.y))
    until = look + schedule.block - schedule.start
    assert set(said) == WAYS
    for name, p in predictions(turned, schedule).items():
        assert np.array_equal(p[:until], said[name][:until]), name


def test_what_became_known_is_used_at_the_next_block_by_all_but_the_frozen() -> None:
    calls, schedule = made_up(700), Schedule(start=300, block=100, retrain=100)
    known = np.arange(700) < 500
    turned = Calls(calls.columns, np.where(known & (np.arange(700) >= 400), 1 - calls.y, calls.y))
    here = slice(500 - schedule.start, 600 - schedule.start)
    said, after = (predictions(one, schedule) for one in (calls, turned))
    for name in WAYS - {"frozen"}:
        assert not np.array_equal(said[name][here], after[name][here]), name
    assert np.array_equal(said["frozen"], after["frozen"])


def test_an_outcome_is_known_at_the_end_of_its_block_or_the_delay_later() -> None:
    for delay in (0, 25):
        known_at = Schedule(start=20, block=10, delay=delay).known_at(45)
        expected = [
            20 + delay if call < 20 else (call // 10 + 1) * 10 + delay for call in range(45)
        ]
        assert known_at[10:].tolist() == expected[10:]
        assert known_at[0] <= 20 + delay


def test_the_mix_of_a_call_is_that_of_the_last_calls_and_of_itself() -> None:
    calls = made_up(130)
    mix = calls.with_mix().columns[:, 4:]
    for call in (0, 1, RECENT - 1, RECENT, 129):
        last = calls.columns[max(0, call + 1 - RECENT) : call + 1]
        assert mix[call] == pytest.approx(last.mean(axis=0), abs=1e-12)


def test_the_way_that_was_right_is_trusted() -> None:
    calls, schedule = made_up(2_000), Schedule(start=0, block=100)
    right = sigmoid(
        np.where(np.arange(2_000) < 1_000, -1.5, 0.0)
        + 0.8 * calls.columns[:, 0]
        - 0.5 * calls.columns[:, 1]
    )
    wrong = np.full(2_000, 0.5)
    both = trusted([wrong, right], calls.y, schedule)
    # Nothing is known at first: halfway. At the end the wrong way has lost 300 nats more.
    assert logit(both[:100]) == pytest.approx(logit(right[:100]) / 2, abs=1e-9)
    assert both[-100:] == pytest.approx(right[-100:], abs=1e-3)


def test_a_level_that_jumped_is_followed() -> None:
    calls, schedule = made_up(4_000), Schedule(start=1_000, block=100)
    raw = -1.5 + 0.8 * calls.columns[:, 0] - 0.5 * calls.columns[:, 1]
    said = followed(raw, calls.y, schedule)
    # 1,000 outcomes have a standard error of .015 in their rate; what is said has about the same.
    assert said[-1_000:].mean() == pytest.approx(calls.y[-1_000:].mean(), abs=0.06)
    assert sigmoid(raw)[-1_000:].mean() < calls.y[-1_000:].mean() - 0.2


def test_columns_that_tell_the_outcome_or_the_month_are_not_read(tmp_path: Path) -> None:
    calls = read_calls(write_bank(tmp_path, 400) / CALLS)
    assert calls.columns.shape == (400, 3 * len(CATEGORIES) + 12)
    for column in calls.columns.T:
        if np.ptp(column) > 0:
            assert abs(np.corrcoef(column, calls.y)[0, 1]) < 0.3  # 6 standard errors


def test_the_command_prints_every_way_with_its_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_bank(tmp_path, 500)
    arguments = ["--data", str(data), "--start", "300", "--block", "100", "--delay", "20", "--json"]
    assert main(arguments) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(found) >= WAYS
    for name in WAYS:
        assert {"log_loss", "ece", "auc"} <= set(found[name])
    assert set(found["ours"]["late"]) == {"mean_predicted", "observed"}
    assert (found["calls"], found["block"], found["delay"]) == (200, 100, 20)


def test_data_that_are_not_there_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data", str(tmp_path)]) == 2
    assert str(CALLS) in capsys.readouterr().err
