"""What keeps an installation small and safe? Backups, restores, and old scores that go."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from serving.telling import Json, tell
from serving.telling import now as present
from serving.telling import workspace as here

app = typer.Typer()


@app.command()
def backup(
    place: Annotated[Path, typer.Argument(help="The directory to be made.")],
    as_json: Json = False,
) -> None:
    """Copy database, models and definition into a directory, while the service runs (SQLite)."""
    from features.store.backup import back_up

    workspace = here()
    size = back_up(workspace.store, workspace.definition_path, place)
    tell({"place": str(place), "bytes": size}, escape(f"{size:,} bytes in {place}"), as_json)


@app.command()
def restore(
    place: Annotated[Path, typer.Argument(help="What `propensity backup` made.")],
    as_json: Json = False,
) -> None:
    """Bring a backup back into an empty data directory (SQLite)."""
    from features.errors import StoreError
    from features.store.backup import restore as run
    from features.store.engine import Store

    workspace = here()
    kind, _, path = workspace.database_url.partition(":///")
    if not kind.startswith("sqlite"):
        hint = "PostgreSQL: pg_restore; docs/operations.md says how."
        raise StoreError("only an SQLite file is restored by this command", hint=hint)
    run(place, Path(path), workspace.definition_path)
    Store(workspace.database_url).check()
    tell({"database": path}, escape(f"{path} is back; run `propensity doctor`"), as_json)


@app.command()
def prune(
    older_than: Annotated[
        float, typer.Option("--older-than", min=1, help="Days; younger scores stay.")
    ],
    answered: Annotated[
        bool, typer.Option(help="Also scores that somebody was given: API, batch, file.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; else only say what would go.")] = False,
    as_json: Json = False,
) -> None:
    """Remove old scores that prove nothing any more; without --yes says how many that are."""
    from features.store.prune import count_prunable, prunable
    from features.store.prune import prune as run

    workspace, now = here(), present()
    condition = prunable(workspace.definition(), now, older_than, answered=answered)
    with workspace.store.read() as connection:
        found = count_prunable(connection, condition)
    removed = run(workspace.store, condition) if yes else 0
    content = {"scores": found.scores, "prunable": found.removed, "removed": removed}
    words = f"{found.removed:,} of {found.scores:,} scores may go; --yes removes them"
    tell(content, f"{removed:,} scores removed" if yes else words, as_json)
