"""Do the files that put the loop on a schedule hold together, and do the commands in them exist?"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from fenced import ROOT
from typer.main import get_command

import propensity
from models.workspace import Workspace
from training.loop.schedule import read_schedule, usual
from training.loop.steps import Crew

EXAMPLES = ROOT / "docs" / "examples"


def commands_of_cron() -> Iterator[list[str]]:
    """The commands of the crontab, those that are commented out too."""
    for line in (EXAMPLES / "crontab").read_text(encoding="utf-8").splitlines():
        found = re.fullmatch(r"(?:# )?((?:[\d*,/-]+ ){4}[\d*,/-]+)\s+(propensity .+)", line)
        if found:
            yield shlex.split(found[2])


def commands_of_systemd() -> Iterator[list[str]]:
    for path in EXAMPLES.glob("*.service"):
        for line in re.findall(r"^ExecStart(?:Pre)?=(.+)$", path.read_text(), re.MULTILINE):
            yield ["propensity", *shlex.split(line)[1:]]


def kubernetes() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((EXAMPLES / "kubernetes.yaml").read_text(encoding="utf-8")))


def pods() -> Iterator[dict[str, Any]]:
    for one in kubernetes():
        spec = one["spec"]
        yield (spec["jobTemplate"]["spec"] if one["kind"] == "CronJob" else spec)["template"][
            "spec"
        ]


def commands_of_kubernetes() -> Iterator[list[str]]:
    for pod in pods():
        for container in pod["containers"]:
            yield ["propensity", *container["args"]]


def commands_of_docs() -> Iterator[list[str]]:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        for line in block.splitlines():
            if line.startswith(("propensity worker", "propensity run", "propensity rehearse")):
                yield shlex.split(line.split("#")[0])


COMMANDS = [
    *commands_of_cron(),
    *commands_of_systemd(),
    *commands_of_kubernetes(),
    *commands_of_docs(),
]


def known_steps() -> set[str]:
    workspace = Workspace.of({"PROPENSITY_DATA_DIR": "nowhere"})
    return {*Crew(workspace, "tests").steps(propensity._service_steps(workspace))}


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_of_the_examples_is_understood(words: list[str]) -> None:
    """Parsed as the program would, without being run."""
    command: Any = get_command(propensity.app)
    rest = words[1:]
    context = command.make_context("propensity", rest, resilient_parsing=False)
    while hasattr(command, "commands"):
        _, command, rest = command.resolve_command(
            context, [*context._protected_args, *context.args]
        )
        context = command.make_context(command.name, list(rest), parent=context)
    if command.name == "run":
        assert context.params["step"] in known_steps()


def test_there_are_examples_of_each_way() -> None:
    ways = (commands_of_cron, commands_of_systemd, commands_of_kubernetes)
    assert all(len(list(way())) >= 3 for way in ways)


def test_the_schedule_that_ships_is_the_usual_one() -> None:
    text = (EXAMPLES / "schedule.yaml").read_text(encoding="utf-8")
    assert read_schedule(text, known_steps()) == usual()


def test_pods_mount_only_what_they_declare_and_share_one_database() -> None:
    for pod in pods():
        declared = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} == declared
            secrets = [s["secretRef"]["name"] for s in container["envFrom"] if "secretRef" in s]
            assert secrets == ["propensity-database"]


def test_a_timer_starts_a_service_that_is_there() -> None:
    timers = list(EXAMPLES.glob("*.timer"))
    assert timers
    for timer in timers:
        service = timer.with_suffix(".service")
        assert "Type=oneshot" in service.read_text(encoding="utf-8")


def test_a_unit_that_stays_gives_a_training_time_to_end() -> None:
    text = Path(EXAMPLES / "propensity-worker.service").read_text(encoding="utf-8")
    (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    grace = kubernetes()[0]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert int(seconds) == grace >= 600
