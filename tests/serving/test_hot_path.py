"""What does a plain request for a score take? Nothing that could be made with the model, and no thread.

Compiled code's own memory is counted too: Numba takes it where Python does.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from agreed import NOW
from models_made import MADE_AT, made_model

from features.store.engine import Store
from models.blend import Rates
from models.bundle import write_bundle
from models.calibrators import Isotonic
from models.forest_engine import ENGINE
from models.propensity import PropensityModel
from serving.lead_score import LeadScore, Occasion, Scorer
from serving.plain_requests import plain_ask
from serving.scoring import computed

BODY = json.dumps(
    {"lead": "new", "attributes": {"industry": "Retail", "city": "Bonn", "employees": 12}}
).encode()


@pytest.fixture(autouse=True)
def _compiled() -> None:
    assert ENGINE.wait(), ENGINE.trouble


def model_of(trees: int, levels: int, knots: int) -> PropensityModel:
    """A model whose tables are so large, and which reads the same columns whatever they are."""
    model = made_model(1, trees).model
    rates = {"attr_city": Rates(tuple(np.linspace(-1.0, 1.0, levels).tolist()), 0.0)}
    places, chances = np.linspace(-4.0, 4.0, knots), np.linspace(0.1, 0.9, knots)
    calibrator = Isotonic(tuple(places.tolist()), tuple(chances.tolist()))
    return replace(model, learner=replace(model.learner, rates=rates), calibrator=calibrator)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A database without a table: whoever brings all that is known needs none."""
    return Store(f"sqlite:///{tmp_path / 'empty.db'}")


def asking(model: PropensityModel, store: Store) -> Callable[[], LeadScore]:
    """What answers a plain request, from its body to all that is said of the lead."""
    scorer, occasion = Scorer(model, model.definition, NOW), Occasion(now=NOW)

    def ask() -> LeadScore:
        asked = plain_ask(BODY, scorer, most_keys=100, now=NOW)
        assert asked is not None
        assert asked.plain is not None
        ((result,), _) = computed(store, scorer, [(asked, occasion)], writer_refuses=True)
        assert isinstance(result, LeadScore)
        return result

    for _ in range(10):
        ask()
    return ask


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def most_taken(ask: Callable[[], object]) -> int:
    """Bytes taken at the height of a call; of several the fewest, for others in the process take too."""
    found = []
    for _ in range(30):
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        ask()
        found.append(tracemalloc.get_traced_memory()[1] - before)
    return min(found)


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("larger", [(400, 5, 5), (20, 1_000, 5), (20, 5, 1_000)])
def test_what_a_request_takes_does_not_grow_with_the_model(
    larger: tuple[int, int, int], store: Store
) -> None:
    """A table of any of them, made anew for a request, would take three kilobytes at least."""
    small = most_taken(asking(model_of(20, 5, 5), store))
    assert most_taken(asking(model_of(*larger), store)) < small + 1_500


def test_what_a_request_took_is_given_back(store: Store) -> None:
    ask = asking(model_of(20, 5, 5), store)

    def blocks_after(requests: int) -> int:
        for _ in range(requests):
            ask()
        gc.collect()
        return sys.getallocatedblocks()

    # Were one number kept of each request, it would be a block of each.
    assert blocks_after(1_000) - blocks_after(200) < 100


_PREDICTING = """
import json, os, sys, threading, time
from pathlib import Path
from models.bundle import read_bundle, read_golden
from models.forest_engine import ENGINE

def threads():
    return len(os.listdir("/proc/self/task"))

def share_of_others(rows, times):
    others, mine = time.process_time() - time.thread_time(), time.thread_time()
    for _ in range(times):
        model.told_of(rows)
    mine = time.thread_time() - mine
    others = time.process_time() - time.thread_time() - others
    return others / (mine + others)

if sys.argv[3] == "compiled":
    assert ENGINE.wait(), ENGINE.trouble
    for other in set(threading.enumerate()) - {threading.current_thread()}:
        other.join()
root = Path(sys.argv[1])
model, (rows, _) = read_bundle(root, sys.argv[2]), read_golden(root, sys.argv[2])
model.told_of(rows[:1])
before = threads()
few = share_of_others(rows[:1], 300)
begun = threads() - before
print(json.dumps({"begun": begun, "few": few, "many": share_of_others([*rows] * 1_000, 3)}))
"""


@pytest.mark.parametrize("kernel", ["compiled", "lightgbm"])
def test_a_prediction_of_one_lead_takes_no_other_thread(kernel: str, tmp_path: Path) -> None:
    """Nor does it use those that LightGBM has begun with its model: four, which share many leads."""
    made = made_model()
    golden = made.frame.take(np.arange(4))
    digest = write_bundle(
        made.model, tmp_path, created_at=MADE_AT, origin="train", golden=golden, card="# Made\n"
    )
    command = [sys.executable, "-c", _PREDICTING, str(tmp_path), digest, kernel]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "4",
        "OMP_WAIT_POLICY": "PASSIVE",
        "OPENBLAS_NUM_THREADS": "1",
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["begun"] == 0
    assert found["few"] < 0.01
    assert (found["many"] > 0.1) == (kernel == "lightgbm")
