"""Can every file be read in one sitting, and every function at one glance?

The bounds are the project's own (CONTRIBUTING.md): no file over 500 lines, nine functions of ten in
at most 30 lines, half of them in at most 8. Migrations are lists of columns and are left out.
"""

from __future__ import annotations

import ast

import numpy as np
import pytest
from source_files import PACKAGES, ROOT, functions, python_files

LONGEST_FILE = 500
NINE_OF_TEN = 30
HALF = 8

OURS = [name for name in python_files(*PACKAGES, "propensity.py") if "/migrations/" not in name]


def _lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function's body without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("name", [*OURS, *python_files("tests", "benchmarks", "scripts")])
def test_no_file_is_longer_than_can_be_read_in_one_sitting(name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8").count("\n") <= LONGEST_FILE


@pytest.mark.parametrize("package", PACKAGES)
def test_functions_are_short(package: str) -> None:
    lengths = [
        _lines(f) for name in OURS if name.startswith(f"{package}/") for f in functions(name)
    ]
    assert np.percentile(lengths, 90) <= NINE_OF_TEN
    assert np.median(lengths) <= HALF


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("def f():\n    '''Says.'''\n    a = 1\n    return a\n", 2),
        ("def f():\n    '''Says.'''\n", 0),
        ("def f():\n    return (\n        1\n    )\n", 3),
    ],
)
def test_a_docstring_is_not_counted(source: str, lines: int) -> None:
    (function,) = ast.parse(source).body
    assert isinstance(function, ast.FunctionDef)
    assert _lines(function) == lines


@pytest.mark.parametrize("name", [name for name in OURS if not name.endswith("__main__.py")])
def test_every_module_says_first_what_question_it_answers(name: str) -> None:
    first = (ROOT / name).read_text(encoding="utf-8").lstrip().splitlines()[0]
    assert first.startswith(('"""', 'r"""'))
    assert len(first) > 20
