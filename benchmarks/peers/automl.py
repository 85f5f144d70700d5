"""How good is AutoGluon (`best_quality`) with the same rows and columns, and how long does it take?

It runs in another process and, because its versions of pandas and ours exclude each other, usually in
another environment: `--autogluon-python` names the Python that has it (docs/benchmarks.md).
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.peers.base_rate import base_rate
from benchmarks.peers.task import Answer, Peer, Task

SCRIPT = Path(__file__).with_name("autogluon_alone.py")
WON = "won"
_LOOK = "import importlib.util as u, sys; sys.exit(u.find_spec('autogluon') is None)"


def installed(python: str) -> bool:
    """Tell whether this Python can import AutoGluon."""
    return subprocess.run([python, "-c", _LOOK], check=False, capture_output=True).returncode == 0


def autogluon(python: str, seconds: float, script: Path = SCRIPT) -> Peer:
    """AutoGluon, optimising log loss, with so many seconds for each lesson (five in five folds).

    It gets no weights and makes its own folds; those of a set with repeated rows are not kept
    together there, which is its user's usual lot.

    Args:
        python: the interpreter that has it.
        seconds: its time limit.
        script: what is run there.
    """

    def answer(task: Task) -> Answer:
        if task.one_sided:
            return base_rate(task)
        with tempfile.TemporaryDirectory() as place:
            directory = Path(place)
            _write(task, directory)
            subprocess.run(
                # -P: names of our own rooms must not stand in for packages there.
                [python, "-P", str(script), place, str(seconds)],
                check=True,
                cwd=place,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            found = json.loads((directory / "answer.json").read_text())
        return Answer(np.array(found["probability"]), float(found["seconds"]))

    return answer


def _write(task: Task, directory: Path) -> None:
    lesson, asked = task.tables()
    kinds = {
        name: "str" if isinstance(column.dtype, pd.CategoricalDtype) else "float"
        for name, column in lesson.items()
    }
    (directory / "kinds.json").write_text(json.dumps(kinds))
    lesson.assign(**{WON: task.y}).to_csv(directory / "lesson.csv", index=False)
    asked.to_csv(directory / "asked.csv", index=False)
