"""The batch benchmark compares like with like: the same rows, the same numbers, the same files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from benchmarks import batch


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model and a file of two groups."""
    place = tmp_path_factory.mktemp("batch")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch, "LESSON_ROWS", 3_000)
        batch.write_model(place / "model.txt", 0)
    batch.write_leads(place / "leads.parquet", 2_500, 0)
    return place


@pytest.mark.slow
def test_ours_and_lightgbms_files_hold_the_same_numbers(place: Path) -> None:
    tables = {}
    for key in batch.KEYS:
        says = batch.sayer(key, place / "model.txt")
        batch.score(place / "leads.parquet", place / f"{key}.parquet", 300, says)
        tables[key] = pq.read_table(place / f"{key}.parquet")
        assert len(tables[key]) == 300
    raw = {key: table["raw"].to_numpy() for key, table in tables.items()}
    assert raw["ours_predict"].tobytes() == raw["booster_predict"].tobytes()
    np.testing.assert_allclose(raw["ours_reasons"], raw["ours_predict"], atol=1e-9)
    for name in tables["pred_contrib"].column_names:
        ours, theirs = (tables[key][name].to_numpy() for key in ("ours_reasons", "pred_contrib"))
        np.testing.assert_allclose(ours, theirs, atol=1e-9)


def test_reasons_are_the_strongest_and_add_up() -> None:
    shares = np.random.default_rng(0).normal(size=(50, 9))
    told = batch.reasons(shares)
    adds = np.column_stack([told[f"adds_{i}"] for i in range(1, batch.SHOWN + 1)])
    for row, one in enumerate(shares[:, :-1]):
        assert adds[row].tolist() == sorted(one, key=abs, reverse=True)[: batch.SHOWN]
        assert one[told["reason_1"][row]] == adds[row, 0]
    total = adds.sum(axis=1) + told["others_add"] + told["base"]
    np.testing.assert_allclose(total, told["raw"], atol=1e-12)
    np.testing.assert_allclose(told["raw"], shares.sum(axis=1), atol=1e-12)


@pytest.mark.slow
def test_leads_are_read_as_they_were_made(place: Path) -> None:
    read = np.concatenate(list(batch.groups(place / "leads.parquet", 10**9)))
    made = batch.made(2_500, np.random.default_rng([0, 1]))
    np.testing.assert_array_equal(read, made)
    assert [len(part) for part in batch.groups(place / "leads.parquet", 700)] == [700]


@pytest.mark.slow
def test_a_key_is_measured_in_a_process_that_prints_its_figures_last(place: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.batch", "--measure", "ours_predict"]
    command += ["--place", str(place), "--rows", "2500"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["rows"] == 2_500
    assert figures["rows_per_s"] > 0
    assert 0 < figures["peak_mb"] < 1_000
