"""Which files are ours? What git tracks, read once for the tests that look at the source itself."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("features", "models", "training", "serving")


@cache
def tracked() -> tuple[str, ...]:
    """Every file that is in git or about to be, by its path from the root, in order."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return tuple(sorted(name for name in listed.split("\0") if name and (ROOT / name).is_file()))


def python_files(*folders: str) -> list[str]:
    """The Python files below these folders (or these files themselves)."""
    return [
        name
        for name in tracked()
        if name.endswith(".py") and name.startswith(tuple(f"{f}/" for f in folders) + folders)
    ]


@cache
def parsed(name: str) -> ast.Module:
    """A file's syntax tree."""
    return ast.parse((ROOT / name).read_text(encoding="utf-8"), filename=name)


def functions(name: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of a file, methods and inner ones too."""
    for node in ast.walk(parsed(name)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
