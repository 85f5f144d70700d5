"""Can no file that we read run code? Nothing of ours reads or writes a pickle."""

from __future__ import annotations

import ast

import pytest
from source_files import PACKAGES, parsed, python_files, tracked

CODE = python_files(*PACKAGES, "benchmarks", "examples", "scripts", "propensity.py")
RUNS_CODE = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
CALLS = {"read_pickle", "to_pickle", "allow_pickle", "eval", "exec", "__reduce__", "unsafe_load"}


def _modules(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(str(node.module).split(".")[0])
    return found


def _calls(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            found.add(ast.unparse(node.func).split(".")[-1] if _is_method(node) else "")
            found |= {str(keyword.arg) for keyword in node.keywords if not _is_false(keyword.value)}
        elif isinstance(node, ast.FunctionDef):
            found.add(node.name)
    return found


def _is_method(call: ast.Call) -> bool:
    """`eval` by itself runs code; `booster.eval` does not."""
    name = ast.unparse(call.func)
    return "." not in name or name.split(".")[-1] not in ("eval", "exec")


def _is_false(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is False


@pytest.mark.parametrize("name", CODE)
def test_no_module_reads_or_writes_what_can_run_code(name: str) -> None:
    tree = parsed(name)
    assert not _modules(tree) & RUNS_CODE
    assert not _calls(tree) & CALLS


def test_the_package_of_models_holds_code_and_no_model() -> None:
    other = [
        n for n in tracked() if n.startswith("models/") and not n.endswith((".py", "/py.typed"))
    ]
    assert other == []


def test_no_tracked_file_is_a_pickle_by_its_name() -> None:
    endings = (".pkl", ".pickle", ".joblib", ".dill", ".npy", ".h5", ".pt")
    assert [name for name in tracked() if name.lower().endswith(endings)] == []


@pytest.mark.parametrize(
    "statement",
    ["import pickle", "from joblib import load", "import cloudpickle.cloudpickle as c"],
)
def test_an_import_that_can_run_code_is_seen(statement: str) -> None:
    assert _modules(ast.parse(statement)) & RUNS_CODE


@pytest.mark.parametrize(
    ("statement", "seen"),
    [
        ("numpy.load(path, allow_pickle=True)", True),
        ("numpy.load(path, allow_pickle=False)", False),
        ("pandas.read_pickle(path)", True),
        ("eval(text)", True),
        ("booster.eval(rows)", False),
    ],
)
def test_a_call_that_can_run_code_is_seen(statement: str, seen: bool) -> None:
    assert bool(_calls(ast.parse(statement)) & CALLS) == seen
