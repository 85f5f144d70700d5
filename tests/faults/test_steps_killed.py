"""Is a step of the schedule that was killed in the middle run again, with the champion untouched?"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from shop import NOW, Shop, Zygote, champion_of

from features.clock import DAY
from features.store.turns import last_turns
from models.workspace import Workspace

LEASE_SECONDS = 1.0
RETRAIN = [
    ("training.run.learn", "after", 1, 0, 0),
    pytest.param("training.run.write_bundle", "after", 1, 0, 0, marks=pytest.mark.slow),
    pytest.param("training.refit.learn", "before", 1, 1, 0, marks=pytest.mark.slow),
    ("training.promote.carry_out", "before", 1, 1, 1),
    pytest.param("training.loop.worker.end", "before", 1, 1, 1, marks=pytest.mark.slow),
]
"""Where it is killed, and how many models were trained by then, and fitted once more."""


def made(home: Path) -> dict[str, int]:
    """How many bundles are known, by how they came about."""
    with sqlite3.connect(home / "propensity.db") as database:
        return dict(database.execute("SELECT origin, COUNT(*) FROM bundles GROUP BY origin"))


def step(zygote: Zygote, home: Path, holder: str, **order: Any) -> dict[str, Any]:
    given = {"now": NOW + 5 * DAY, "lease_seconds": LEASE_SECONDS, "mlflow": "off", **order}
    return zygote("step", home, step="retrain", holder=holder, **given)


@pytest.mark.parametrize(("call", "when", "nth", "trained", "again"), RETRAIN)
def test_a_retraining_killed_at_a_step_is_taken_up_by_another_worker(
    zygote: Zygote,
    shop: Shop,
    copy: Path,
    call: str,
    when: str,
    nth: int,
    trained: int,
    again: int,
) -> None:
    before = made(copy)
    killed = step(zygote, copy, "host-1/17", call=call, when=when, nth=nth)
    assert killed["exit"] == -9, killed
    assert (champion_of(copy) == shop.champion) == (call != "training.loop.worker.end")
    assert made(copy) == _more(before, trained, again)
    workspace = Workspace.of({"PROPENSITY_DATA_DIR": str(copy)})
    with workspace.store.read() as connection:
        turn = last_turns(connection)["retrain"]
    workspace.store.close()
    assert (turn.outcome, turn.holder, turn.settled) == ("running", "host-1/17", None)
    time.sleep(LEASE_SECONDS)
    told = step(zygote, copy, "host-2/4")
    assert (told["exit"], told["said"]) == (0, "done"), told
    assert champion_of(copy) != shop.champion
    assert made(copy)["train"] == before["train"] + 1, (
        "what was trained is decided about, not trained twice"
    )
    assert step(zygote, copy, "host-2/4")["said"] == "answered already"


def _more(before: dict[str, int], trained: int, again: int) -> dict[str, int]:
    known = {**before, "train": before["train"] + trained}
    return {**known, "refit": again} if again else known


def test_while_one_is_at_it_the_other_is_told_who(zygote: Zygote, copy: Path) -> None:
    killed = step(
        zygote, copy, "host-1/17", call="training.run.learn", when="before", nth=1, lease_seconds=60
    )
    assert killed["exit"] == -9, killed
    other = step(zygote, copy, "host-2/4")
    assert other["exit"] != 0
    assert "models: host-1/17 is at it, since 20" in str(other["said"])
