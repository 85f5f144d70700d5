"""The command line: what there is to say to an installation. It may import anything; nobody imports it.

Commands live beside what they do (`training.commands`, `serving.commands`); here they are put
together, the demo tells their story once, and errors become one message on stderr and an exit code:
1 for what went wrong, 2 for a command that was not understood, 75 for work that another process is
doing at this moment: try again later (`EX_TEMPFAIL` of sysexits.h).
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

# Matrices here are small: threads of linear algebra would mostly wait for one another. NumPy reads this
# when it is imported, and nothing above has imported it.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from features.errors import BusyError, PropensityError
from serving import commands as serving
from serving import outcome_commands, upkeep_commands
from serving import record_commands as records
from training import commands as training
from training.loop import commands as loop
from training.loop import holdout_commands, worker_commands

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from features.store.engine import Connection
    from models.workspace import Workspace
    from training.loop.worker import Step

app = typer.Typer(
    name="propensity",
    help="From what is known about a lead to the probability that it buys within a horizon.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(serving.app)
app.add_typer(records.app)
app.add_typer(outcome_commands.app)
app.add_typer(upkeep_commands.app)
app.add_typer(training.app)
app.add_typer(holdout_commands.app)
app.add_typer(loop.app)


def _service_steps(workspace: Workspace) -> Mapping[str, Step]:
    """The steps that are the service's own work: training may not import it, so they are handed over."""
    from serving import logs
    from serving.queue_step import score_queue
    from serving.queueing import LEASE
    from training.loop.worker import Step

    # A command's result goes to stdout; only what is wrong is worth a log line.
    logs.configure("WARNING")

    def score(now: int, stop: Callable[[], bool]) -> Mapping[str, object] | None:
        return score_queue(workspace, now, stop=stop)

    return {"score": Step("score", LEASE, "score the queue, and shadows beside it", score)}


def _score_queue(workspace: Workspace, now: int) -> object:
    """The queue's step of a rehearsal."""
    from serving import logs
    from serving.queue_step import score_queue

    logs.configure("WARNING")
    return score_queue(workspace, now)


app.add_typer(worker_commands.commands_with(_service_steps, _score_queue))


@app.command()
def demo(
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Where to serve.")] = 8000,
    leads: Annotated[int, typer.Option(min=2_000, help="How many leads to simulate.")] = 10_000,
    serve: Annotated[bool, typer.Option(help="Stay and serve until stopped.")] = True,
) -> None:
    """Simulate a company, import it, train, and serve its queue. Safe to run again."""
    home = Path(os.environ.get("PROPENSITY_DATA_DIR") or "var") / "demo"
    os.environ["PROPENSITY_DATA_DIR"] = str(home.resolve())
    os.environ["PROPENSITY_DEFINITION"] = str((home / "company" / "definition.yaml").resolve())
    from models.workspace import Workspace
    from serving.settings import Settings

    workspace = Workspace.of(os.environ)
    if not _is_filled(workspace):
        _step("1 of 6", f"simulating a company of {leads:,} leads over two years")
        _simulate(workspace, leads)
        _step("2 of 6", "importing its files")
        history = _history(workspace)
        _step("3 of 6", "half a year ago: training on its closed deals, then scoring every week")
        serving.db_upgrade()
        _live_through(history, workspace)
        _step("4 of 6", "comparing what was said since with what came of it")
        loop.monitor()
        _step("5 of 6", "recalibrating on the newest outcomes")
        training.recalibrate()
    _step("6 of 6", "scoring every open lead")
    serving.queue_refresh()
    _say_how(workspace, port)
    if serve:
        serving.run(workspace, Settings(host="127.0.0.1", port=port))


def _is_filled(workspace: Workspace) -> bool:
    """Whether an earlier run got as far as a report, and so as far as a champion."""
    from features.store.reports import MONITOR, newest_summary

    if not workspace.definition_path.exists():
        return False
    try:
        with workspace.store.read() as connection:
            return newest_summary(connection, MONITOR) is not None
    except PropensityError:
        return False


def _simulate(workspace: Workspace, leads: int) -> None:
    """A company whose history ends last midnight, so that its queue is today's."""
    company = workspace.definition_path.parent
    if not (company / "simulation.json").exists():
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        start = today - timedelta(days=round(2.0 * 365.25) + 1)
        training.simulate(company, leads=leads, events=20 * leads, start=start)


def _history(workspace: Workspace) -> Workspace:
    """The company's files in a store of their own, from which the installation is told bit by bit."""
    from training.loop.stage import company

    files = workspace.definition_path.parent
    return company(files, workspace.data_dir / "history", now=training.now(workspace))


def _live_through(history: Workspace, workspace: Workspace) -> None:
    """Half a year in which the queue was scored, with the outcomes of its first half known by now."""
    from features.clock import DAY, iso
    from training.dataset import newest_cutoff
    from training.loop.lived import Past, live_through

    # Of the company and not of the clock: a demo that was killed yesterday goes on with its own weeks.
    end = -(-newest_cutoff(history.store) // DAY) * DAY
    past = Past(end - workspace.definition().outcome_wait - 12 * 7 * DAY, end, "demo")
    with training.watched() as watching:
        for at in live_through(history.store, workspace, _score_queue, past, watching):
            watching.step(f"{iso(at)[:10]}: scored")
    history.store.close()


def _say_how(workspace: Workspace, port: int) -> None:
    """Which page to open, how to sign in, and three requests that work."""
    people, key = _credentials(workspace)
    lead, url = _someone(workspace), f"http://127.0.0.1:{port}"
    lines = [
        "",
        f"Open   {url}",
        *(f"       sign in as {name:<8} password {word}" for name, word in people.items()),
        "",
        "Ask it, in another terminal:",
        f"  curl -s -H 'Authorization: Bearer {key}' {url}/v1/leads/{lead}/score",
        f"  curl -s -H 'Authorization: Bearer {key}' '{url}/v1/queue?limit=3'",
        f"  curl -s -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\",
        f'    -d \'{{"lead": "{lead}"}}\' {url}/v1/scores',
        "",
        f"MLflow: .venv/bin/mlflow ui --backend-store-uri {workspace.mlflow_uri}",
        "Ctrl-C stops it; everything is under " + str(workspace.data_dir),
        "",
    ]
    print("\n".join(lines), flush=True)  # noqa: T201 - the result of the command


def _credentials(workspace: Workspace) -> tuple[dict[str, str], str]:
    """The demo's people and key: made once, kept in a file that only its owner can read."""
    from features.store.access import set_user
    from features.store.keys import create_key

    path = workspace.data_dir / "credentials.json"
    if path.exists():
        kept = json.loads(path.read_text(encoding="utf-8"))
        return kept["people"], kept["key"]
    now = training.now(workspace)
    people = {"rep": secrets.token_urlsafe(12), "analyst": secrets.token_urlsafe(12)}
    with workspace.store.write() as connection:
        set_user(connection, "rep", "rep", people["rep"], _busiest_owner(connection), now)
        set_user(connection, "analyst", "analyst", people["analyst"], None, now)
        key = create_key(connection, f"demo-{now}", "admin", now)
    path.touch(mode=0o600)
    path.write_text(json.dumps({"people": people, "key": key}), encoding="utf-8")
    return people, key


def _busiest_owner(connection: Connection) -> str | None:
    from features.store.ledger import owners, read_queue

    names = owners(connection)
    return max(names, key=lambda name: read_queue(connection, owner=name).total, default=None)


def _someone(workspace: Workspace) -> str:
    """The first lead of the queue."""
    from features.store.ledger import read_queue

    with workspace.store.read() as connection:
        rows = read_queue(connection, limit=1).rows
    return str(rows[0]["lead_id"]) if rows else "L0000000"


def _step(number: str, words: str) -> None:
    print(f"[{number}] {words}", file=sys.stderr, flush=True)  # noqa: T201 - progress


BUSY = 75
"""The exit code of a command whose work somebody else is doing."""


def main() -> None:
    """Run the command line."""
    # Leads are people: what is written is for its owner alone.
    os.umask(0o077)
    try:
        app()
    except PropensityError as error:
        _tell(error)
        sys.exit(BUSY if isinstance(error, BusyError) else 1)
    except BrokenPipeError:
        # Whoever read our output has had enough: `propensity models | head`.
        sys.stderr.close()
        sys.exit(0)


def _tell(error: PropensityError) -> None:
    if "--json" in sys.argv:
        content = {
            "error": error.code,
            "message": error.message,
            "hint": error.hint,
            "problems": [problem.to_json() for problem in error.problems],
        }
        print(json.dumps(content))  # noqa: T201 - machines read stdout
    print(f"error: {error}", file=sys.stderr)  # noqa: T201 - people read stderr


if __name__ == "__main__":
    main()
