"""What is said to the loop on the command line? worker, run, steps; and rehearse.

The queue's step belongs to the service, which training may not import: whoever puts the command line
together hands it in (`commands_with`).
"""

from __future__ import annotations

import getpass
import json
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from models.workspace import Workspace
    from training.loop.worker import Ran, Step

    Others = Callable[[Workspace], Mapping[str, Step]]
    Score = Callable[[Workspace, int], object]

err = Console(stderr=True)
out = Console()

Json = Annotated[bool, typer.Option("--json", help="JSON lines instead of words.")]
Schedule = Annotated[
    Path | None,
    typer.Option(
        "--schedule",
        help="A YAML file of {step, every, after}; without it the usual schedule.",
    ),
]


def commands_with(others: Others, score: Score) -> typer.Typer:
    """The commands of the loop.

    Args:
        others: gives the steps of other rooms for an installation, such as the queue's.
        score: renews the queue of an installation at an instant; for rehearsals.
    """
    app = typer.Typer(no_args_is_help=True)

    @app.command()
    def worker(
        once: Annotated[bool, typer.Option("--once", help="Run all that is due, and end.")] = False,
        schedule: Schedule = None,
        as_json: Json = False,
    ) -> None:
        """Run the steps of the schedule when they are due, until stopped. Safe with several."""
        run_worker(_workspace(), others, schedule, once=once, as_json=as_json)

    @app.command()
    def run(
        step: Annotated[str, typer.Argument(help="Which; `propensity steps` lists them.")],
        as_json: Json = False,
    ) -> None:
        """Run one step now, under its lease. Exit code 75: somebody else is at it."""
        run_one(_workspace(), others, step, as_json=as_json)

    @app.command()
    def steps(schedule: Schedule = None, as_json: Json = False) -> None:
        """List the steps: what each does, when it is due, and what came of its last turn."""
        list_steps(_workspace(), others, schedule, as_json=as_json)

    @app.command()
    def rehearse(
        files: Annotated[
            Path | None,
            typer.Argument(help="Files with their definition; by default what is stored here."),
        ] = None,
        weeks: Annotated[int, typer.Option(min=2, help="How many weeks are played.")] = 52,
        html: Annotated[
            Path | None, typer.Option(help="Write the report to this file, pictures included.")
        ] = None,
        seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
        as_json: Json = False,
    ) -> None:
        """Replay a history week by week: the loop, beside a frozen model and monthly habits."""
        from features.store.one_clock import clock_of
        from training.loop.rehearsing import rehearse_here

        workspace = _workspace()
        rehearse_here(
            workspace,
            files,
            score,
            weeks=weeks,
            html=html,
            seed=seed,
            as_json=as_json,
            now=clock_of(workspace.store)(),
        )

    return app


def run_worker(
    workspace: Workspace,
    others: Others,
    schedule: Path | None,
    *,
    once: bool,
    as_json: bool,
) -> None:
    """Work until SIGTERM or SIGINT; the step under way is ended, or left where it can be left.

    Raises:
        StoreError: the database is not there, or not at this version's revision.
        InputError: the schedule does not hold together.
    """
    from features.store.migrate import require_current
    from features.store.one_clock import clock_of
    from training.loop.worker import Worker

    require_current(workspace.store)
    clock = clock_of(workspace.store)
    steps = _steps(workspace, others)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    found = Worker(
        workspace.store,
        steps,
        _schedule(schedule, steps),
        clock,
        holder_name(),
        look=clock.look,
        tell=lambda ran: _tell(ran, as_json),
        stop=stopping.is_set,
        wait=stopping.wait,
        lease_seconds=workspace.lease_seconds,
    )
    if not once:
        found.run()
        return
    ran = found.once()
    if any(one.outcome in ("failed", "unreachable") for one in ran):
        raise typer.Exit(1)


def run_one(
    workspace: Workspace,
    others: Others,
    name: str,
    *,
    as_json: bool,
) -> None:
    """Run one step by hand.

    Raises:
        NotFoundError: there is no such step.
        BusyError: somebody else is at it; says who, and since when.
    """
    from features.errors import NotFoundError
    from features.store.migrate import require_current
    from features.store.one_clock import clock_of
    from training.loop.worker import run_step

    require_current(workspace.store)
    steps = _steps(workspace, others)
    if name not in steps:
        raise NotFoundError(
            f"there is no step {name!r}", hint=f"There are {', '.join(sorted(steps))}."
        )
    ran = run_step(
        workspace.store,
        steps[name],
        clock=clock_of(workspace.store),
        holder=holder_name(),
        lease_seconds=workspace.lease_seconds,
    )
    assert ran is not None, "by hand, nobody else has answered"
    _tell(ran, as_json)
    if ran.outcome == "failed":
        raise typer.Exit(1)


def list_steps(
    workspace: Workspace,
    others: Others,
    schedule: Path | None,
    *,
    as_json: bool,
) -> None:
    """Every step with its last turn."""
    from features.store.one_clock import clock_of
    from training.loop.worker import overview

    steps = _steps(workspace, others)
    now = clock_of(workspace.store)()
    found = overview(workspace.store, steps, _schedule(schedule, steps), now)
    if as_json:
        print(json.dumps(found, allow_nan=False))  # noqa: T201 - machines read stdout
        return
    table = Table("step", "what", "due", "last", "came of it")
    for one in found:
        last = one["last"]
        told = ("", "") if last is None else (last["started_at"][:16], _words(last))
        table.add_row(one["step"], one["what"], (one["due"] or "by hand")[:16], *map(escape, told))
    out.print(table)


def holder_name() -> str:
    """How this process is called among all that share a database; another one each time."""
    return f"{socket.gethostname()[:60]}/{os.getpid()}/{secrets.token_hex(4)}"


def _workspace() -> Workspace:
    from models.workspace import Workspace

    return Workspace.of(os.environ)


def _steps(workspace: Workspace, others: Others) -> dict[str, Step]:
    from training.loop.steps import Crew

    crew = Crew(workspace, getpass.getuser(), warn=_warn)
    return crew.steps(others(workspace))


def _schedule(path: Path | None, steps: Mapping[str, Step]) -> Any:
    from features.errors import InputError
    from training.loop.schedule import read_schedule, usual

    if path is None:
        return usual()
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"the schedule {path} cannot be read: {error.strerror}") from error
    return read_schedule(text, set(steps))


def _tell(ran: Ran, as_json: bool) -> None:
    if as_json:
        print(json.dumps(ran.to_json(), allow_nan=False), flush=True)  # noqa: T201 - the result
        return
    out.print(escape(f"{ran.step}: {ran.outcome} {_words(ran.to_json())}"), highlight=False)
    sys.stdout.flush()


def _words(told: Mapping[str, Any]) -> str:
    said = told.get("said", told)
    shown = {k: v for k, v in said.items() if k not in ("step", "outcome") and v is not None}
    return "; ".join(f"{name} {value}" for name, value in shown.items())


def _warn(text: str) -> None:
    err.print(f"[yellow]warning[/]: {escape(text)}", highlight=False)
