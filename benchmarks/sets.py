"""Which histories are measured, and how do their files become rows that teach and rows that judge?

Every set goes the way a user's data goes: its definition, an import into an empty store, features,
the leakage probe, the splits that training makes. Nothing here knows what a set's columns mean.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from features.clock import to_instant
from features.definition import Definition
from features.store.files.load import load
from features.store.migrate import upgrade
from models.workspace import Workspace
from training.config import TrainConfig
from training.dataset import Dataset, build_dataset, newest_cutoff
from training.run import look_for_leakage, plan
from training.simulate import simulate
from training.splits import Piece, Split, row_groups

Ints = NDArray[np.int64]
Sets = Mapping[str, str]
"""Name -> path of its definition, below `EXAMPLES` or absolute. Its files lie in `DATA/<its folder>`."""

EXAMPLES = Path(__file__).parent.parent / "examples"
SETS: Sets = {
    "salvirt_b2b": "salvirt_b2b/definition.yaml",
    "x_education": "x_education/definition.yaml",
    "bank_additional": "bank_additional/definition.yaml",
    "bank_additional_without_macro": "bank_additional/definition_without_macro.yaml",
    "maven_crm": "maven_crm/definition.yaml",
    "bpi2012": "bpi2012/definition.yaml",
}


@dataclass(frozen=True)
class History:
    """A set that was read: its definition, the rows with known labels, and how they are split."""

    definition: Definition
    matured: Dataset
    splits: tuple[Split, ...]

    @property
    def grouped(self) -> bool:
        """Whether it is judged in folds, because it has no time."""
        return self.splits[0].bounds is None

    @property
    def judged(self) -> Ints:
        """The rows that judge, split after split."""
        return np.concatenate([split.judge.rows for split in self.splits])

    def counted_once(self) -> Ints:
        """Positions among `judged`; in folds, rows that say the same and ended alike count once."""
        rows = self.judged
        if not self.grouped:
            return np.arange(len(rows))
        alike = row_groups(self.matured)[rows] * 2 + self.matured.y[rows]
        return np.asarray(np.unique(alike, return_index=True)[1], dtype=np.int64)


def read_set(definition_path: Path, directory: Path, scratch: Path, config: TrainConfig) -> History:
    """Import the files of a directory into a store of their own and plan what teaches and judges.

    Args:
        definition_path: the lead definition.
        directory: where the files are that its sources name.
        scratch: an empty directory for the store and the rejected rows.
        config: shares, folds, seed, and the sample of leads.

    Raises:
        LeakageError: a column knows the outcome.
        NotEnoughEvidenceError: the history is too short or too small.
    """
    workspace = Workspace.of(
        {"PROPENSITY_DATA_DIR": str(scratch), "PROPENSITY_DEFINITION": str(definition_path)}
    )
    upgrade(workspace.store)
    definition, now = workspace.definition(), to_instant(datetime.now(UTC))
    load(workspace.store, definition, now=now, rejects=scratch / "rejects", directory=directory)
    matured = build_dataset(
        workspace.store,
        definition,
        newest_cutoff(workspace.store),
        most_leads=config.most_leads,
        seed=config.seed,
    ).matured()
    workspace.store.close()
    look_for_leakage(matured, definition, config)
    return History(definition, matured, tuple(plan(matured, definition, config)))


def read_named(
    name: str, data: Path, scratch: Path, config: TrainConfig, sets: Sets = SETS
) -> History:
    """The set of this name, its files in the folder of `data` that its definition's folder is called."""
    path = EXAMPLES / sets[name]
    return read_set(path, data / path.parent.name, scratch, config)


def simulated_set(
    scratch: Path, config: TrainConfig, *, leads: int, events: int, seed: int
) -> History:
    """A simulated company, read as any other; two directories are made in `scratch`."""
    files, store = scratch / "files", scratch / "store"
    store.mkdir(parents=True)
    simulate(files, leads=leads, events=events, seed=seed, truth_every_days=10_000)
    return read_set(files / "definition.yaml", files, store, config)


def only_leads(split: Split, matured: Dataset, leads: Ints) -> Split:
    """The split with a lesson of these leads' rows only; what judges stays as it is."""
    wanted = np.isin(matured.lead, leads)

    def kept(piece: Piece) -> Piece:
        here = wanted[piece.rows]
        return Piece(piece.rows[here], piece.weight[here])

    folds = tuple(
        replace(fold, fit=kept(fold.fit), calibrate=kept(fold.calibrate))
        for fold in split.lesson.folds
    )
    return replace(split, lesson=replace(split.lesson, folds=folds))


def data_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--data`, by default what PROPENSITY_DATA names."""
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("PROPENSITY_DATA", "../shared/data")),
        help="where the sets' folders are (PROPENSITY_DATA)",
    )


def absent(data: Path) -> bool:
    """Tell on stderr when the directory of the sets is not there."""
    if data.is_dir():
        return False
    print(f"error: {data} is not there; name the data with --data DIR", file=sys.stderr)
    return True
