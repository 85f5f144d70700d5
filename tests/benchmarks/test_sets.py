"""Sets are read as a user's files are, and what judges does not depend on what teaches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import learning_curve, negative_controls, quality
from benchmarks.sets import History, only_leads


def test_a_set_with_dates_is_judged_on_its_newest_quarter(dated: History) -> None:
    assert not dated.grouped
    assert dated.counted_once().tolist() == list(range(150))
    judged = dated.matured.as_of[dated.judged]
    assert len(judged) == 150
    assert judged.min() > np.delete(dated.matured.as_of, dated.judged).max()


def test_a_set_without_time_is_judged_on_every_row_once(undated: History) -> None:
    assert undated.grouped
    assert sorted(undated.judged.tolist()) == list(range(250))


def test_rows_that_say_the_same_and_ended_alike_count_once(undated: History) -> None:
    first = np.flatnonzero(undated.matured.y == 1)[0]
    rows = np.concatenate([np.arange(250), [first, first]])
    copied = undated.matured.take(rows)
    lead = np.arange(len(rows))
    copied = replace(copied, lead=lead)
    judge = replace(undated.splits[0].judge, rows=lead, weight=np.ones(len(rows)))
    history = replace(undated, matured=copied, splits=(replace(undated.splits[0], judge=judge),))
    assert len(history.counted_once()) == len(undated.counted_once())


def test_fewer_leads_teach_and_the_same_rows_judge(dated: History) -> None:
    split = dated.splits[0]
    leads = dated.matured.lead[split.lesson.everything.rows][::7]
    fewer = only_leads(split, dated.matured, leads)
    assert set(dated.matured.lead[fewer.lesson.everything.rows]) == set(leads)
    assert fewer.judge is split.judge


@pytest.mark.parametrize("main", [quality.main, learning_curve.main, negative_controls.main])
def test_absent_files_are_named_and_end_with_2(
    main: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(main)
    assert main(["--data", str(tmp_path / "nowhere"), "--json"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "nowhere is not there; name the data with --data DIR" in told.err
