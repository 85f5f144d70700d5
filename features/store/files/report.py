"""What did an import do? One report a file: rows, facts, problems, and everything that was guessed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from features.errors import Problem

PROBLEMS_KEPT = 100
_DISTINCT_KEPT = 1_000

K = TypeVar("K")


@dataclass(slots=True)
class FileReport:
    """What became of one file's rows.

    `added` and `unchanged` count facts, the other figures rows: `rows` were read, of which `skipped`
    hold nothing and `rejected` are in the file `rejects`. `problems` are the first ones, `counts`
    all of them by column and message. `left_open` counts outcomes that close nothing.
    """

    file: str
    rows: int = 0
    added: int = 0
    unchanged: int = 0
    skipped: int = 0
    rejected: int = 0
    rejects: Path | None = None
    problems: list[Problem] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    left_open: Counter[str] = field(default_factory=Counter)
    guesses: Mapping[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def note(self, problems: Iterable[Problem]) -> None:
        """Problems of a row that is rejected."""
        for problem in problems:
            if len(self.problems) < PROBLEMS_KEPT:
                self.problems.append(problem)
            _count(self.counts, (problem.field, problem.message))

    def note_open(self, outcome: str) -> None:
        """An outcome that closes nothing."""
        _count(self.left_open, outcome)

    def to_json(self) -> dict[str, object]:
        """The report as plain values."""
        return {
            "file": self.file,
            "rows": self.rows,
            "added": self.added,
            "unchanged": self.unchanged,
            "skipped": self.skipped,
            "rejected": self.rejected,
            "rejects": None if self.rejects is None else str(self.rejects),
            "problems": [problem.to_json() for problem in self.problems],
            "problem_counts": [
                {"field": column, "message": message, "times": times}
                for (column, message), times in self.counts.most_common()
            ],
            "left_open": dict(self.left_open.most_common(20)),
            "guesses": dict(self.guesses),
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What an import did, file by file in the order of the definition's sources."""

    files: tuple[FileReport, ...]

    @property
    def added(self) -> int:
        """Facts that are new."""
        return sum(file.added for file in self.files)

    @property
    def unchanged(self) -> int:
        """Facts that were there already."""
        return sum(file.unchanged for file in self.files)

    @property
    def rejected(self) -> int:
        """Rows of which nothing was taken."""
        return sum(file.rejected for file in self.files)

    def to_json(self) -> dict[str, object]:
        """The report as plain values."""
        return {
            "added": self.added,
            "unchanged": self.unchanged,
            "rejected": self.rejected,
            "files": [file.to_json() for file in self.files],
        }


def _count(counts: Counter[K], key: K) -> None:
    """Count without remembering endlessly many different things."""
    if key in counts or len(counts) < _DISTINCT_KEPT:
        counts[key] += 1
