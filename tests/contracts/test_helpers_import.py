"""Are the names there that helpers of tests import from us? Programs among them are never collected."""

from __future__ import annotations

import ast
import importlib
import importlib.util
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent.parent
OURS = {"features", "models", "serving", "training", "benchmarks", "scripts", "propensity"}
HELPERS = sorted(path for path in TESTS.rglob("*.py") if not path.name.startswith("test_"))


@pytest.mark.parametrize("path", HELPERS, ids=lambda path: path.relative_to(TESTS).as_posix())
def test_every_name_that_a_helper_imports_is_there(path: Path) -> None:
    missing = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in OURS:
            module = importlib.import_module(str(node.module))
            missing += [
                f"{node.module}.{name.name}"
                for name in node.names
                if not hasattr(module, name.name) and not _is_module(f"{node.module}.{name.name}")
            ]
    assert missing == []


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
