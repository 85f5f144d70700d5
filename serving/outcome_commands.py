"""What became of the leads? Fetch it from where deals are closed, and say how they became one.

Heavy imports are inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from serving.telling import Json, err, now, tell, workspace

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from features.store.pull.config import SourceConfig
    from features.store.pull.run import Pulled

app = typer.Typer(no_args_is_help=True)
outcomes = typer.Typer(no_args_is_help=True, help="Deals that are fetched from a CRM.")
app.add_typer(outcomes, name="outcomes")


@outcomes.command("pull")
def outcomes_pull(
    source: Annotated[
        str | None, typer.Argument(help="One source of the file; by default all of them.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Fetch and read everything, write nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Fetch what closed, reopened or merged since the last time.

    Exit code 1: a source failed. 75: somebody else is at one.
    """
    from features.store.migrate import require_current
    from features.store.pull.each import pull_each

    here = workspace()
    require_current(here.store)
    at = now(here)
    done = pull_each(
        here.store,
        _chosen(here.sources_path, source),
        os.environ,
        definition=here.definition(),
        now=at,
        holder=f"pid {os.getpid()} {at}",
        lease_seconds=here.lease_seconds,
        dry_run=dry_run,
    )
    for message in done.busy.values():
        err.print(f"[yellow]not fetched[/]: {escape(message)}", highlight=False)
    for message in done.failed.values():
        err.print(f"[red]not fetched[/]: {escape(message)}", highlight=False)
    for pulled in done.pulled:
        for problem in pulled.problems[:20]:
            err.print(f"[yellow]left out[/]: {escape(str(problem))}", highlight=False)
    tell({**done.to_json(), "dry_run": dry_run}, _words(done.pulled), as_json)
    if done.failed:
        raise typer.Exit(1)
    if done.busy:
        raise typer.Exit(75)


def _chosen(path: Path, name: str | None) -> list[SourceConfig]:
    from features.errors import NotFoundError
    from features.store.pull.config import read_sources

    known = read_sources(path)
    if name is None:
        return list(known.values())
    if name not in known:
        raise NotFoundError(
            f"{path.name} has no source {name!r}", hint=f"There are: {', '.join(sorted(known))}."
        )
    return [known[name]]


def _words(done: Sequence[Pulled]) -> Table:
    from features.clock import iso

    table = Table("source", "rows", "new", "known", "wait for a lead", "left out", "read through")
    for one in done:
        counts = (one.rows, one.added, one.unchanged, one.waiting, one.rejected)
        through = "" if one.through is None else iso(one.through)
        table.add_row(one.source, *(f"{n:,}" for n in counts), through)
    return table
