"""Every peer learns from the lesson only, copes with what is missing or new, and is timed."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers import PEERS, Task, task_of
from benchmarks.peers.automl import autogluon, installed
from benchmarks.sets import History
from features.frames import Category
from models.calibrators import FLOOR
from training.metrics import log_loss

LEARNERS = [name for name in PEERS if name != "base_rate"]


@pytest.fixture
def task(dated: History) -> Task:
    return task_of(dated.matured, dated.splits[0], 0)


def _asked_y(history: History) -> np.ndarray:
    return history.matured.y[history.splits[0].judge.rows]


def test_a_task_holds_the_lesson_and_the_judged_rows_and_nothing_that_is_known_late(
    dated: History, task: Task
) -> None:
    split = dated.splits[0]
    ids = dated.matured.frame.lead_ids
    assert set(task.lesson.lead_ids) == {ids[i] for i in split.lesson.everything.rows.tolist()}
    assert task.asked.lead_ids == tuple(ids[i] for i in split.judge.rows.tolist())
    assert set(task.lesson.columns) == {"attr_source", "attr_employees", "attr_newsletter"}
    assert task.forward


def test_folds_are_the_learners_own(undated: History) -> None:
    split = undated.splits[0]
    rows = split.lesson.everything.rows
    task = task_of(undated.matured, split, 0)
    for (fit, held), fold in zip(task.folds, split.lesson.folds, strict=True):
        assert rows[fit].tolist() == fold.fit.rows.tolist()
        assert rows[held].tolist() == fold.calibrate.rows.tolist()


@pytest.mark.parametrize("name", LEARNERS)
def test_a_peer_is_better_than_the_base_rate_where_there_is_something_to_learn(
    name: str, dated: History, task: Task
) -> None:
    """On 150 judged rows of a set with AUC about .75; the seed is fixed."""
    answer, y = PEERS[name](task), _asked_y(dated)
    assert log_loss(answer.probability, y) < log_loss(PEERS["base_rate"](task).probability, y)
    assert answer.training_seconds > 0


@pytest.mark.parametrize("name", PEERS)
def test_outcomes_of_the_judged_rows_are_not_looked_at(name: str, dated: History) -> None:
    split = dated.splits[0]
    other = dated.matured.y.copy()
    other[split.judge.rows] = 1 - other[split.judge.rows]
    turned = replace(dated.matured, y=other)
    before, after = (
        PEERS[name](task_of(rows, split, 0)).probability for rows in (dated.matured, turned)
    )
    assert before.tolist() == after.tolist()


@pytest.mark.parametrize("name", PEERS)
def test_labels_never_seen_and_cells_without_a_value_get_a_probability(
    name: str, task: Task
) -> None:
    rows = len(task.asked)
    new = Category.of([("never seen", None)[row % 2] for row in range(rows)])
    columns = {
        column: new if isinstance(values, Category) else np.full(rows, np.nan)
        for column, values in task.asked.columns.items()
    }
    asked = replace(task.asked, columns=columns)
    probability = PEERS[name](replace(task, asked=asked)).probability
    assert probability.shape == (rows,)
    assert probability.min() >= FLOOR
    assert probability.max() <= 1 - FLOOR


@pytest.mark.parametrize("name", [name for name in PEERS if not name.startswith("odoo")])
def test_from_wins_only_nobody_learns_more_than_the_base_rate(name: str, task: Task) -> None:
    won = replace(task, y=np.ones_like(task.y))
    expected = (len(task.y) + 0.5) / (len(task.y) + 1)
    assert PEERS[name](won).probability == pytest.approx(np.full(len(task.asked), expected))


@pytest.mark.parametrize("name", ["base_rate", "logistic_regression"])
def test_a_row_of_weight_three_is_three_rows(name: str, task: Task) -> None:
    twice = np.repeat(np.arange(len(task.y)), np.where(task.y == 1, 3, 1))
    heavier = replace(task, weight=np.where(task.y == 1, 3.0, 1.0))
    repeated = replace(
        task, lesson=task.lesson.take(twice), y=task.y[twice], weight=np.ones(len(twice))
    )
    # Medians and scales are of rows, whatever they weigh: close, not equal.
    weighed, copied = (PEERS[name](one).probability for one in (heavier, repeated))
    assert weighed == pytest.approx(copied, abs=0.02)


def test_isotonic_calibration_ties_what_lightgbm_told_apart(task: Task) -> None:
    plain, calibrated = (PEERS[n](task).probability for n in ("lightgbm", "lightgbm_isotonic"))
    assert len(np.unique(calibrated)) < len(np.unique(plain)) / 2


STAND_IN = """
import csv, json, sys
from pathlib import Path
place, seconds = Path(sys.argv[1]), float(sys.argv[2])
lesson = list(csv.DictReader((place / "lesson.csv").open()))
asked = list(csv.DictReader((place / "asked.csv").open()))
kinds = json.loads((place / "kinds.json").read_text())
assert kinds == {"attr_source": "str", "attr_employees": "float", "attr_newsletter": "float"}, kinds
rate = {}
for source in {row["attr_source"] for row in lesson}:
    own = [int(row["won"]) for row in lesson if row["attr_source"] == source]
    rate[source] = sum(own) / len(own)
answer = [rate[row["attr_source"]] for row in asked]
(place / "answer.json").write_text(json.dumps({"probability": answer, "seconds": seconds}))
"""


def test_autogluon_is_handed_the_tables_in_a_process_of_its_own(task: Task, tmp_path: Path) -> None:
    """A script of the same interface stands in, which answers each source's own win rate."""
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN)
    answer = autogluon(sys.executable, 12.5, script)(task)
    source = task.lesson.columns["attr_source"]
    asked = task.asked.columns["attr_source"]
    assert isinstance(source, Category)
    assert isinstance(asked, Category)
    known = np.array(source.labels(), dtype=object)
    expected = [task.y[known == label].mean() for label in asked.labels()]
    assert answer.probability == pytest.approx(expected)
    assert answer.training_seconds == 12.5


def test_whether_autogluon_is_there_is_asked_of_the_python_that_would_run_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    before = installed(sys.executable)
    (tmp_path / "autogluon").mkdir()
    (tmp_path / "autogluon" / "__init__.py").touch()
    assert not before
    assert installed(sys.executable)
