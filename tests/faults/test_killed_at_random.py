"""Killed with SIGKILL at 300 random points of ingest, score, train and promote.

Whatever the moment: the database is sound, the champion and its bytes are there, every write that was
acknowledged is there, no batch is half there, a deal has its closing and a request its one answer, and
the next run does what the killed one did not. A job that ended before it was killed counts for nothing.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shop import NOW, Shop, Zygote, champion_of, look_at_what_was_acknowledged
from stores import copy_installation

from features.store.idempotency import HELD

JOBS = ("tell", "close", "tell once", "score", "train", "promote")
CASES = [pytest.param(JOBS[i % 6], i, id=f"{i}") for i in range(300)]
DRAWS = 50
LATER = NOW + 9 + HELD
"""When nobody waits any more for the answer to a request whose process died."""


@pytest.mark.slow
@pytest.mark.parametrize(("job", "number"), CASES)
def test_killed_at_a_random_point(
    zygote: Zygote, shop: Shop, tmp_path: Path, job: str, number: int
) -> None:
    copy = _killed(zygote, shop, tmp_path, job, np.random.default_rng([4, number]))
    champion = champion_of(copy)
    look_at_what_was_acknowledged(copy, job)
    assert champion in {shop.champion, shop.challenger if job == "promote" else shop.champion}
    again = zygote(job, copy, now=LATER, digest=shop.challenger)
    assert again["exit"] == 0, again
    look_at_what_was_acknowledged(copy, job)
    assert champion_of(copy) == (shop.challenger if job == "promote" else shop.champion)


def _killed(zygote: Zygote, shop: Shop, place: Path, job: str, draw: np.random.Generator) -> Path:
    """An installation in which the job was killed while it ran, at a point drawn from all its time.

    How long it takes is measured anew before each try: on a busy machine it changes.
    """
    for number in range(DRAWS):
        left_alone = _run(zygote, shop, place / f"alone-{number}", job)
        assert left_alone["exit"] == 0, left_alone
        shutil.rmtree(place / f"alone-{number}")
        home = place / f"killed-{number}"
        killed = _run(zygote, shop, home, job, seconds=draw.random() * left_alone["seconds"])
        if killed["exit"] != 0:
            assert killed["exit"] == -9, killed
            return home
    raise AssertionError(f"{job} was always done before it could be killed")


def _run(zygote: Zygote, shop: Shop, home: Path, job: str, **more: Any) -> dict[str, Any]:
    copy_installation(shop.home, home)
    return zygote(job, home, now=NOW + 2, digest=shop.challenger, **more)
