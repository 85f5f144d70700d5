"""What can the one who runs the service say on the command line? Set up, fill, look, score, serve.

Heavy imports are inside the commands, so that `--help` answers at once. Results go to stdout, progress
and remarks to stderr.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table

from serving import access_commands
from serving.record_commands import audited
from serving.telling import Json, err
from serving.telling import now as _now
from serving.telling import tell as _tell
from serving.telling import workspace as _workspace

if TYPE_CHECKING:
    from features.store.files.report import FileReport
    from models.workspace import Workspace
    from serving.scoring import Scorer

app = typer.Typer(no_args_is_help=True)
database = typer.Typer(no_args_is_help=True, help="The database.")
queue = typer.Typer(no_args_is_help=True, help="The queue of open leads.")
app.add_typer(database, name="db")
app.add_typer(access_commands.keys, name="keys")
app.add_typer(access_commands.users, name="users")
app.add_typer(queue, name="queue")


@contextmanager
def _bar(words: str, total: float) -> Iterator[Callable[[float], None]]:
    """A progress bar on stderr; told how far the work is."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task(words, total=total)
        yield lambda done: progress.update(task, completed=done)


@database.command("upgrade")
def db_upgrade(as_json: Json = False) -> None:
    """Create the tables, or bring them to this version; harmless when they are."""
    from features.store.migrate import revisions, upgrade

    workspace = _workspace()
    store = workspace.store
    upgrade(store)
    # Models of a release that kept them on one host's disk alone.
    workspace.registry.share_all()
    _, newest = revisions(store)
    words = f"{escape(store.name)} is at revision {newest}"
    _tell({"database": store.name, "revision": newest}, words, as_json)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Look at every part of the installation; exit code 1 when one is broken."""
    from serving.doctor import examine

    findings = examine(_workspace())
    is_broken = any(finding.state == "broken" for finding in findings)
    table = Table(show_header=False, box=None)
    colours = {"well": "green", "warning": "yellow", "broken": "red"}
    for finding in findings:
        state = f"[{colours[finding.state]}]{finding.state}[/]"
        said = f"{finding.said}\n{finding.hint}" if finding.hint else finding.said
        table.add_row(state, finding.part, escape(said))
    content = {"well": not is_broken, "findings": [finding.to_json() for finding in findings]}
    _tell(content, table, as_json)
    if is_broken:
        raise typer.Exit(1)


@app.command()
def init(
    files: Annotated[list[Path], typer.Argument(help="Your CSV or Parquet files.")],
    output: Annotated[
        Path | None, typer.Option(help="Where the definition goes; by default where it is read.")
    ] = None,
    force: Annotated[bool, typer.Option(help="Replace a definition that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Write a starter lead definition from your own files: a guess to be corrected."""
    from features.errors import ConflictError
    from features.store.files.guess import guess_definition

    path = output or _workspace().definition_path
    if path.exists() and not force:
        raise ConflictError(f"{path} is there already", hint="Use --force, or another --output.")
    guessed = guess_definition(files)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(guessed.text, encoding="utf-8")
    for warning in guessed.warnings:
        err.print(f"[yellow]check[/]: {escape(warning)}", highlight=False)
    words = f"{path} written: correct what was guessed wrong, then `propensity import`"
    _tell({"definition": str(path), "warnings": list(guessed.warnings)}, escape(words), as_json)


@app.command("import")
def import_files(
    data: Annotated[
        Path | None, typer.Option(help="Where the files lie; by default beside the definition.")
    ] = None,
    rejects: Annotated[
        Path | None, typer.Option(help="Where rows that are not taken go, one file a source.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Load the files that the definition names. Again is harmless: what is there stays as it is."""
    from features.store.files.load import load
    from features.store.migrate import require_current

    workspace = _workspace()
    definition = workspace.definition()
    require_current(workspace.store)
    with _bar("importing", 1.0) as show:
        report = load(
            workspace.store,
            definition,
            now=_now(workspace),
            directory=data or workspace.definition_path.parent,
            rejects=rejects or workspace.data_dir / "rejects",
            progress=lambda _file, _rows, share: show(share),
        )
    for one in report.files:
        _remark(one)
    table = Table("file", "rows", "facts added", "there already", "rejected")
    for one in report.files:
        figures = (one.rows, one.added, one.unchanged, one.rejected)
        table.add_row(escape(one.file), *(f"{figure:,}" for figure in figures))
    _tell(report.to_json(), table, as_json)


@app.command()
def score(
    file: Annotated[Path, typer.Argument(help="CSV or Parquet: leads as in an import, or ids.")],
    output: Annotated[
        Path | None, typer.Option(help="Where the scores go: CSV, or .parquet.")
    ] = None,
    lead_column: Annotated[
        str | None, typer.Option(help="The column with ids of stored leads; facts are the store's.")
    ] = None,
    as_of: Annotated[
        str | None, typer.Option(help="The instant to speak for, such as 2026-05-01T12:00:00Z.")
    ] = None,
    reasons: Annotated[int, typer.Option(min=0, max=100, help="Reasons per lead.")] = 3,
    as_json: Json = False,
) -> None:
    """Score a file of leads into another: probability, raw score, route, reasons. All in the ledger."""
    from serving.file_scoring import score_file
    from serving.score_sinks import open_sink
    from serving.scoring import Occasion

    workspace = _workspace()
    clock = _clock(workspace)
    scorer, now = _scorer(workspace, clock), clock()
    path = output or file.with_suffix(".scores.csv")
    with _bar("scoring", 1.0) as show, open_sink(path) as sink:
        done = score_file(
            workspace.store,
            scorer,
            file,
            sink,
            Occasion(now=now, channel="file", reasons=reasons),
            as_of=_instant(as_of, now),
            lead_column=lead_column,
            progress=show,
        )
    with workspace.store.write() as connection:
        audited(connection, clock(), "scores_exported", scorer.model.digest, rows=done.rows)
    content = {
        "output": str(path),
        "rows": done.rows,
        "scored": done.scored,
        "routes": dict(done.routes),
        "refused": dict(done.refused),
        "model": scorer.model.digest,
    }
    words = f"{done.scored:,} of {done.rows:,} rows scored into {path}"
    for reason, times in done.refused.items():
        err.print(f"[yellow]not scored[/]: {times:,} × {escape(reason)}", highlight=False)
    _tell(content, escape(words), as_json)


@queue.command("refresh")
def queue_refresh(as_json: Json = False) -> None:
    """Score every open lead now."""
    from features.store.history import count_leads
    from features.store.leases import holding
    from serving.deps import worker_name
    from serving.queueing import LEASE, refresh_queue

    workspace = _workspace()
    clock = _clock(workspace)
    scorer = _scorer(workspace, clock)
    with workspace.store.read() as connection:
        total = count_leads(connection)
    done = 0
    with _bar("scoring the queue", total) as show:

        def advance(n: int) -> None:
            nonlocal done
            done += n
            show(done)

        with holding(
            workspace.store, LEASE, worker_name(), seconds=workspace.lease_seconds
        ) as held:
            scored = refresh_queue(
                workspace.store, scorer, clock(), progress=advance, stop=lambda: held.is_lost
            )
    content = {"scored": scored, "model": scorer.model.digest}
    _tell(content, f"{scored:,} open leads scored", as_json)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address; by default PROPENSITY_HOST.")] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65_535, help="Port; by default PROPENSITY_PORT.")
    ] = None,
) -> None:
    """Serve the API and the pages until stopped; requests that are under way are finished first."""
    from serving.settings import Settings

    given: dict[str, Any] = {"host": host, "port": port}
    settings = Settings(**{name: value for name, value in given.items() if value is not None})
    run(_workspace(), settings)


def run(workspace: Workspace, settings: Any) -> None:
    """Serve until stopped.

    Raises:
        StoreError: the database is not there, or not at this version's revision.
        DefinitionError: there is no lead definition that holds together.
    """
    from features.store.migrate import require_current
    from serving import logs
    from serving.app import create_app
    from serving.server import server_of

    # What would fail at start is said before the server begins to speak.
    require_current(workspace.store)
    workspace.definition()
    logs.configure(settings.log_level)
    app = create_app(settings, workspace)
    app.envelope.lines = logs.request_lines(settings.log_level)
    server = server_of(app, settings)
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        raise SystemExit(3)


def _clock(workspace: Workspace) -> Callable[[], int]:
    from features.store.one_clock import clock_of

    return clock_of(workspace.store)


def _scorer(workspace: Workspace, clock: Callable[[], int]) -> Scorer:
    from features.store.migrate import require_current
    from serving import logs
    from serving.settings import Settings
    from serving.state import LiveModel

    # A command's result goes to stdout; only what is wrong is worth a log line.
    logs.configure("WARNING")
    require_current(workspace.store)
    live = LiveModel(workspace, clock, Settings().stale_model_days)
    live.look()
    return live.scorer()


def _instant(text: str | None, now: int) -> int | None:
    from features.clock import to_instant
    from features.errors import InputError

    if text is None:
        return None
    try:
        instant = to_instant(datetime.fromisoformat(text))
    except ValueError as error:
        hint = "Write it as 2026-05-01T12:00:00Z."
        raise InputError(f"{text!r} is no time", hint=hint) from error
    if instant > now:
        raise InputError("--as-of lies in the future, of which nothing is known")
    return instant


def _remark(report: FileReport) -> None:
    """What a person should know about one imported file."""
    for warning in report.warnings:
        err.print(f"[yellow]{escape(report.file)}[/]: {escape(warning)}", highlight=False)
    for (column, message), times in report.counts.most_common(10):
        said = f"{times:,} × {column}: {message}"
        err.print(f"[red]{escape(report.file)}[/]: {escape(said)}", highlight=False)
    if report.rejects is not None:
        said = f"{report.rejected:,} rows were not taken; they are in {report.rejects}"
        err.print(f"[red]{escape(report.file)}[/]: {escape(said)}", highlight=False)
