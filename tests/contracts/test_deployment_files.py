"""Do the files that deploy the service agree with it and with one another? No engine is needed to look.

Whether an image builds is only known where there is one; what it installs is tried in
`test_serving_install.py`.
"""

from __future__ import annotations

import ast
import re
import sys
from functools import cache
from pathlib import Path

import yaml
from fenced import ROOT
from typer.main import get_command

import propensity
from features.definition import read_definition
from serving.security import ACCESS


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def command_words() -> set[tuple[str, ...]]:
    """Every command and group, by its words."""
    found: set[tuple[str, ...]] = set()
    waiting = [((), get_command(propensity.app))]
    while waiting:
        words, command = waiting.pop()
        found.add(words)
        children = getattr(command, "commands", {})
        waiting += [((*words, name), child) for name, child in children.items()]
    return found


@cache
def dockerfile() -> str:
    return text_of(ROOT / "Dockerfile")


def test_images_copy_only_what_is_there_and_not_ignored() -> None:
    kept = {line[1:] for line in text_of(ROOT / ".dockerignore").splitlines() if line[:1] == "!"}
    for line in re.findall(r"^COPY (?!--from)(.+)$", dockerfile(), re.MULTILINE):
        *given, _ = line.split()
        for path in given:
            assert (ROOT / path).exists(), path
            assert path in kept or any(Path(path).match(pattern) for pattern in kept), path


def test_packages_of_the_wheel_are_all_copied_into_the_images() -> None:
    project = text_of(ROOT / "pyproject.toml")
    (listed,) = re.findall(r"^packages = (\[\"features.*\])$", project, re.MULTILINE)
    for package in ast.literal_eval(listed):
        assert f"COPY {package} {package}\n" in dockerfile()


def test_images_install_locked_requirements_and_run_without_rights() -> None:
    assert dockerfile().count("uv pip sync --require-hashes requirements/") == 2
    runtime = dockerfile().split("AS runtime")[1]
    assert "\nUSER propensity\n" in runtime
    assert "pip install" not in runtime


def test_the_health_check_of_the_image_asks_a_route_that_is_open() -> None:
    (path,) = re.findall(r"\+ '(/v2/[^']+)'", dockerfile())
    assert ACCESS[f"GET {path}"] == frozenset()


def test_compose_holds_together_and_opens_no_port_to_the_world() -> None:
    composed = yaml.safe_load(text_of(ROOT / "compose.yaml"))
    services = composed["services"]
    assert {name for name, one in services.items() if not one.get("profiles")} == {
        "upgrade",
        "serve",
    }
    assert services["postgres"]["profiles"] == ["postgres"]
    assert services["mlflow"]["profiles"] == ["mlflow"]
    for name, one in services.items():
        assert all(str(port).startswith("127.0.0.1:") for port in one.get("ports", [])), name
        assert set(one.get("depends_on", {})) <= set(services)
        for volume in one.get("volumes", []):
            source = volume.split(":")[0]
            assert source in composed["volumes"] or source.startswith(("$", ".")), volume
        target = one.get("build", {}).get("target")
        assert target is None or f" AS {target}\n" in dockerfile()


def test_whoever_breaks_into_mlflow_finds_no_lead_no_key_and_no_bundle() -> None:
    services = yaml.safe_load(text_of(ROOT / "compose.yaml"))["services"]
    (volume,) = services["mlflow"]["volumes"]
    others = [
        v for name, one in services.items() if name != "mlflow" for v in one.get("volumes", [])
    ]
    assert volume.split(":")[0] not in {other.split(":")[0] for other in others}
    assert "environment" not in services["mlflow"]


def test_our_containers_write_only_where_they_must_and_have_no_rights() -> None:
    services = yaml.safe_load(text_of(ROOT / "compose.yaml"))["services"]
    for name in ("upgrade", "serve", "train", "mlflow"):
        assert services[name]["read_only"] is True, name
        assert services[name]["cap_drop"] == ["ALL"], name
        assert services[name]["security_opt"] == ["no-new-privileges:true"], name


def test_commands_of_containers_are_commands() -> None:
    composed = yaml.safe_load(text_of(ROOT / "compose.yaml"))["services"]
    assert tuple(composed["upgrade"]["command"]) in command_words()
    for arguments in re.findall(r"^CMD (\[.+\])$", dockerfile(), re.MULTILINE):
        assert tuple(ast.literal_eval(arguments)) in command_words()


def test_hooks_run_programs_that_setup_installs() -> None:
    hooks = yaml.safe_load(text_of(ROOT / ".pre-commit-config.yaml"))["repos"][0]["hooks"]
    assert {hook["id"] for hook in hooks} >= {"ruff", "ruff-format", "mypy", "lint-imports"}
    beside = Path(sys.executable).parent
    for hook in hooks:
        program = Path(hook["entry"].split()[0])
        assert program.parent == Path(".venv/bin")
        assert (beside / program.name).exists(), program


def test_every_definition_that_ships_holds_together() -> None:
    found = sorted(
        [*ROOT.glob("examples/*/definition*.yaml"), ROOT / "training/simulated/definition.yaml"]
    )
    assert len(found) >= 6
    for path in found:
        assert read_definition(path).name, path
