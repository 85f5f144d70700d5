"""How is a rehearsal asked for? Over files with their definition, or over what is stored here already.

It takes place in a temporary directory, without MLflow, and leaves nothing behind; the history is only
read. With the simulated company, what is said is also held against the true probabilities.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from models.workspace import Workspace
from training.loop.policy import Policy
from training.loop.rehearsal_page import WORDS, rehearsal_page
from training.loop.rehearse import Plan, Score, rehearse
from training.loop.rehearsed import TrueChances, by_week, figures, judged
from training.loop.stage import company, first_week, loop_of, scratch
from training.simulate import Truth
from training.simulated.truth import SETTINGS


def rehearse_here(
    workspace: Workspace,
    files: Path | None,
    score: Score,
    *,
    weeks: int,
    html: Path | None,
    seed: int,
    as_json: bool,
    now: int,
) -> None:
    """Rehearse and tell what would have happened.

    Args:
        workspace: whose stored history is played where no files are given.
        files: a directory with a definition and the files that it names.
        score: renews the queue of an installation at an instant.
        weeks: how many are played, the last of those whose outcomes are known.
        html: where the page goes.
        seed: of everything that is drawn.
        as_json: one JSON object instead of words.
        now: the present instant.

    Raises:
        NotEnoughEvidenceError: the history is too short for so many weeks.
    """
    with tempfile.TemporaryDirectory(prefix="propensity-rehearsal-") as place:
        home = Path(place)
        history = workspace if files is None else company(files, home / "history", now=now)
        played = _played(history, home, score, weeks, seed, _truth(files, history))
    told, by = played
    if html is not None:
        html.write_text(rehearsal_page(told, by), encoding="utf-8")
    if as_json:
        print(json.dumps(told, allow_nan=False))  # noqa: T201 - machines read stdout
        return
    console = Console()
    console.print(_table(told))
    if html is not None:
        console.print(f"The whole report is in {html}", highlight=False, markup=False)


def _played(
    history: Workspace,
    home: Path,
    score: Score,
    weeks: int,
    seed: int,
    truth: TrueChances | None,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    definition = history.definition()
    plan = Plan(first_week(history.store, definition, weeks), weeks, seed)
    stage = scratch(home / "scratch", history.definition_path)
    loop = loop_of(stage, seed, Policy(), plan)
    done = rehearse(history.store, stage, loop, score, plan, _progress)
    found = judged(history.store, definition, done, truth)
    told = figures(found, done, seed), by_week(found, done)
    stage.store.close()
    return told


def _truth(files: Path | None, history: Workspace) -> TrueChances | None:
    """The true chances, where the files are those of the simulated company."""
    if files is None or not (files / SETTINGS).exists():
        return None
    truth, horizon = Truth.of(files), history.definition().horizon_days
    if horizon is None:
        return None

    def chances(names: Sequence[str], as_of: NDArray[np.int64]) -> NDArray[np.float64]:
        return truth.probability(names, as_of, horizon_days=horizon).won

    return chances


def _progress(words: str) -> None:
    print(words, file=sys.stderr, flush=True)  # noqa: T201 - progress


def _table(told: dict[str, Any]) -> Table:
    table = Table("", "log loss", "calibration error", "AUC", "said", "happened", "changes")
    for name, words in WORDS.items():
        one = told[name]
        table.add_row(
            words,
            f"{one['log_loss']:.4f}",
            f"{one['ece']:.4f}",
            "" if one["auc"] is None else f"{one['auc']:.3f}",
            f"{one['mean_said']:.1%}",
            f"{told['observed']:.1%}",
            str(one["model_changes"]),
        )
    return table
