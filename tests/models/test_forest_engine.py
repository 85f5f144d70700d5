"""Compiled code comes in the background; until then, and without it, LightGBM says the same."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from forest_cases import Lesson, learned, rows_like

from models import forest_engine, trees
from models.forest_engine import ENGINE, Engine
from models.trees import Trees

LESSON = Lesson(
    seed=3,
    rows=400,
    gaps=0.1,
    levels=6,
    parameters={"objective": "binary", "num_leaves": 12, "min_data_in_leaf": 5},
    rounds=20,
)


def test_nothing_heavy_is_imported_before_a_model_is_prepared() -> None:
    code = (
        "import sys, models.trees, models.bundle; "
        "print([n for n in ('numba', 'llvmlite', 'lightgbm') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_kernel_is_made_once_and_those_who_wait_get_it() -> None:
    engine = Engine()
    assert engine.kernel is None
    engine.begin()
    engine.begin()
    assert engine.wait()
    made = engine.kernel
    assert made is not None
    assert engine.wait()
    assert engine.kernel is made
    assert engine.trouble is None


def test_without_a_kernel_the_trouble_is_told_and_lightgbm_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing() -> None:
        raise ImportError("no compiler for this machine")

    booster = learned(LESSON)
    model, matrix = (
        Trees(booster.model_to_string()),
        rows_like(np.random.default_rng(1), 50, 0.1, 6),
    )
    ENGINE.wait()
    compiled = model.raw(matrix), model.contributions(matrix)
    with monkeypatch.context() as patch:
        patch.setattr(forest_engine, "_compiled", missing)
        broken = Engine()
        patch.setattr(trees, "ENGINE", broken)
        broken.begin()
        assert not broken.wait(60)
        assert broken.trouble == "ImportError: no compiler for this machine"
        answered = model.raw(matrix), model.contributions(matrix)
    assert answered[0].tobytes() == compiled[0].tobytes()
    np.testing.assert_allclose(answered[1], compiled[1], atol=1e-9, rtol=0)


def test_lightgbm_is_not_loaded_where_the_kernel_is_ready() -> None:
    """A scoring host that is warm never waits for it."""
    text = learned(LESSON).model_to_string()
    code = (
        "import sys, numpy as np; from models.trees import Trees; "
        "from models.forest_engine import ENGINE; assert ENGINE.wait(), ENGINE.trouble; "
        "model = Trees(sys.stdin.read()); "
        "rows = np.zeros((3, 6)); model.raw(rows); model.contributions(rows); "
        "print('lightgbm' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=text, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("kind", ["read-only", "by column", "of another type", "every other row"])
def test_any_matrix_is_read_as_what_it_holds(kind: str) -> None:
    assert ENGINE.wait()
    model = Trees(learned(LESSON).model_to_string())
    matrix = rows_like(np.random.default_rng(2), 60, 0.0, 6)
    expected, shares = model.raw(matrix), model.contributions(matrix)
    if kind == "read-only":
        other = matrix.copy()
        other.flags.writeable = False
    elif kind == "by column":
        other = np.asfortranarray(matrix)
    elif kind == "of another type":
        matrix = np.round(matrix)
        other = matrix.astype(np.float32)
        expected, shares = model.raw(matrix), model.contributions(matrix)
    else:
        other = np.repeat(matrix, 2, axis=0)[::2]
    assert model.raw(other).tobytes() == expected.tobytes()
    assert model.contributions(other).tobytes() == shares.tobytes()
