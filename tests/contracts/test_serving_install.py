"""Does a scoring host work with what `requirements/serve.txt` installs, and nothing else?

Quickly: with everything that is not in it out of reach. Slowly: in an environment of its own, installed
from the locked file as the image does it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fenced import ROOT

ABSENT = ("pandas", "sklearn", "mlflow", "matplotlib", "pyarrow", "skops")
"""What only training needs; scipy comes with LightGBM."""

BLOCKED = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {ABSENT!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""

SCORE = """
from serving.app import create_app
from models_made import fill, promote, put_bundle, workspace_of
from agreed import NOW, agreed
from features.store.engine import Store
from features.store.migrate import upgrade
from serving.scoring import Ask, Occasion, Scorer, score_one
from pathlib import Path
import sys

home = Path(sys.argv[1])
store = Store(f"sqlite:///{home}/propensity.db")
upgrade(store)
fill(store, agreed())
workspace = workspace_of(store, home)
promote(workspace, put_bundle(workspace))
scorer = Scorer(workspace.registry.champion(), agreed())
print(score_one(store, scorer, Ask("L-0001", NOW), Occasion(now=NOW)).probability)
"""


def run(
    program: Path, *arguments: str, at: Path = ROOT, **more: str
) -> subprocess.CompletedProcess[str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("PROPENSITY_")}
    done = subprocess.run(
        [str(program), *arguments],
        cwd=at,
        env=inherited | {"OMP_NUM_THREADS": "1"} | more,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done


def locked(name: str) -> dict[str, str]:
    """Package -> version, as locked."""
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9._-]+)(?:\[[\w,]+\])?==([^ ;\\]+)", text, re.MULTILINE))


def test_what_is_scored_without_the_training_packages_is_the_same(tmp_path: Path) -> None:
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    said = []
    for name, preface in (("with", ""), ("without", BLOCKED)):
        (tmp_path / name).mkdir()
        code = preface + SCORE
        python = Path(sys.executable)
        done = run(python, "-c", code, str(tmp_path / name), at=tmp_path, PYTHONPATH=path)
        said.append(float(done.stdout))
    assert said[0] == said[1]


def test_help_of_every_kind_needs_no_training_package() -> None:
    code = (
        BLOCKED
        + "import sys; sys.argv = ['propensity', '--help']; import propensity as p; p.main()"
    )
    assert "serve" in run(Path(sys.executable), "-c", code).stdout


def test_the_scoring_host_gets_none_of_the_training_packages() -> None:
    serve = locked("serve.txt")
    assert not set(serve) & {
        "pandas",
        "scikit-learn",
        "mlflow",
        "mlflow-skinny",
        "matplotlib",
        "pyarrow",
    }


def test_the_three_locks_agree_on_every_version() -> None:
    serve, train, dev = (locked(f"{name}.txt") for name in ("serve", "train", "dev"))
    assert serve.items() <= train.items()
    assert train.items() <= dev.items()


def test_every_locked_package_has_its_hash() -> None:
    for name in ("serve", "train", "dev", "build", "bootstrap"):
        text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
        entries = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
        assert entries
        assert all("--hash=sha256:" in entry for entry in entries), name


@pytest.mark.slow
def test_an_environment_made_from_the_lock_alone_serves(tmp_path: Path) -> None:
    uv, venv = Path(sys.executable).parent / "uv", tmp_path / "venv"
    run(uv, "venv", "--quiet", "--python", sys.executable, str(venv))
    to = {"VIRTUAL_ENV": str(venv)}
    run(
        uv,
        "--system-certs",
        "pip",
        "sync",
        "--quiet",
        "--require-hashes",
        "requirements/serve.txt",
        **to,
    )
    made = Path(sys.executable).parent / "hatchling"
    run(made, "build", "--target", "wheel", "--directory", str(tmp_path / "dist"))
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    run(uv, "pip", "install", "--quiet", "--no-deps", str(wheel), **to)
    program = venv / "bin" / "propensity"
    assert "serve" in run(program, "--help", at=tmp_path).stdout
    run(program, "db", "upgrade", at=tmp_path)
    found = run(
        venv / "bin" / "python",
        "-c",
        "import serving.app, importlib.util as u; "
        f"print([n for n in {ABSENT!r} if u.find_spec(n)], serving.app.__file__)",
        at=tmp_path,
    ).stdout
    assert found.startswith("[] ")
    home = Path(found.split()[1]).parent
    assert venv in home.parents
    for part in ("templates/queue.html", "static/htmx.min.js", "static/htmx.NOTICE.txt"):
        assert (home / part).exists(), part
    assert (home.parent / "training/simulated/definition.yaml").exists()
