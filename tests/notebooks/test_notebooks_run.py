"""Do the notebooks run from top to bottom, define nothing, and carry no outputs?"""

from __future__ import annotations

import ast
import os
import warnings
from pathlib import Path

import nbformat
import pytest
from fenced import ROOT

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # about event loops of platforms this is not
    from nbclient import NotebookClient

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FIRST, *OTHERS = NOTEBOOKS
RUN = [FIRST, *(pytest.param(path, marks=pytest.mark.slow) for path in OTHERS)]
EACH = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
PATIENCE_SECONDS = 600
"""For one cell on a busy machine; a whole notebook takes about half a minute on an idle one."""


def code_of(notebook: nbformat.NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@pytest.mark.parametrize("path", RUN)
def test_a_notebook_runs_from_top_to_bottom(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    for name in [name for name in os.environ if name.startswith("PROPENSITY_")]:
        monkeypatch.delenv(name)
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook,
        timeout=PATIENCE_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    ).execute()
    pictures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if "image/png" in output.get("data", {})
    ]
    assert pictures


@EACH
def test_a_notebook_is_kept_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
    assert set(notebook.metadata) == {"kernelspec", "language_info"}


@EACH
def test_a_notebook_defines_nothing(path: Path) -> None:
    defined = [
        node
        for code in code_of(nbformat.read(path, as_version=4))
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    ]
    assert defined == []
