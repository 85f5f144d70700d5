"""Killed with SIGKILL at 300 random points of ingest, score, train and promote.

Whatever the moment: the database is sound, the champion and its bytes are there, every write that was
acknowledged is there, no batch is half there, and the next run does what the killed one did not.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from shop import NOW, Shop, Zygote, champion_of, look_at_what_was_acknowledged

JOBS = ("tell", "score", "train", "promote")
POINTS = np.random.default_rng(4).random(300).round(4).tolist()
CASES = [pytest.param(JOBS[i % 4], share, id=f"{i}") for i, share in enumerate(POINTS)]


@pytest.fixture(scope="module")
def takes() -> dict[str, float]:
    """How long each job takes when it is left alone; measured on its first use."""
    return {}


@pytest.mark.slow
@pytest.mark.parametrize(("job", "share"), CASES)
def test_killed_at_a_random_point(
    zygote: Zygote,
    shop: Shop,
    copy: Path,
    takes: dict[str, float],
    tmp_path: Path,
    job: str,
    share: float,
) -> None:
    order = {"now": NOW + 2, "digest": shop.challenger}
    if job not in takes:
        takes[job] = _measured(zygote, shop, tmp_path / "measured", job)
    killed = zygote(job, copy, **order, seconds=share * takes[job])
    champion = champion_of(copy)
    look_at_what_was_acknowledged(copy, job)
    if job != "promote":
        assert champion == shop.champion
    elif killed["exit"] == 0:
        assert champion == shop.challenger, "what was said to be promoted is"
    again = zygote(job, copy, **{**order, "now": NOW + 9})
    assert again["exit"] == 0, again
    look_at_what_was_acknowledged(copy, job)
    assert champion_of(copy) == (shop.challenger if job == "promote" else shop.champion)


def _measured(zygote: Zygote, shop: Shop, place: Path, job: str) -> float:
    shutil.copytree(shop.home, place)
    done = zygote(job, place, now=NOW + 2, digest=shop.challenger)
    assert done["exit"] == 0, done
    return float(done["seconds"])
