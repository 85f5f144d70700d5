"""What keeps an installation small and safe? Backups, restores, and old scores that go."""

from __future__ import annotations

import getpass
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
    from features.store.remembered import remember

    workspace = here()
    size = back_up(workspace.store, workspace.definition_path, place)
    remember(workspace.store, workspace.backups)
    tell({"place": str(place), "bytes": size}, escape(f"{size:,} bytes in {place}"), as_json)


@app.command()
def restore(
    place: Annotated[Path, typer.Argument(help="What `propensity backup` made.")],
    as_json: Json = False,
) -> None:
    """Bring a backup back into an empty data directory (SQLite), without whom was erased since."""
    from features.errors import StoreError
    from features.store.engine import Store
    from features.store.one_clock import wall_clock
    from features.store.remembered import restore_without_erased

    workspace = here()
    kind, _, path = workspace.database_url.partition(":///")
    if not kind.startswith("sqlite"):
        hint = "PostgreSQL: pg_restore; docs/operations.md says how."
        raise StoreError("only an SQLite file is restored by this command", hint=hint)
    again = restore_without_erased(
        place,
        Path(path),
        workspace.definition_path,
        workspace.backups,
        by=getpass.getuser(),
        now=wall_clock(),
    )
    Store(workspace.database_url).check()
    words = escape(f"{path} is back; {_again_words(again)}; run `propensity doctor`")
    tell({"database": path, "erased_again": again}, words, as_json)


@app.command("erase-again")
def erase_again(
    file: Annotated[
        Path | None,
        typer.Argument(help="What is remembered; by default erased.json among the backups."),
    ] = None,
    as_json: Json = False,
) -> None:
    """After a restore by PostgreSQL's programs: erase again whoever was erased since the backup."""
    from features.errors import NotFoundError
    from features.store.erasure import flush
    from features.store.migrate import require_current
    from features.store.remembered import forget_again, remember
    from features.store.tombstone_file import FILE, read

    workspace = here()
    require_current(workspace.store)
    path = file or workspace.backups / FILE
    if not path.exists():
        raise NotFoundError(f"nothing is remembered of erasures in {path}", hint="Name the file.")
    now = present(workspace)
    with workspace.store.write() as connection:
        again = forget_again(connection, read(path), by=getpass.getuser(), now=now)
    flush(workspace.store)
    remember(workspace.store, workspace.backups)
    tell({"erased_again": again}, _again_words(again), as_json)


def _again_words(again: int) -> str:
    return f"{again:,} leads that were erased since the backup were erased again"


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

    workspace = here()
    now = present(workspace)
    condition = prunable(workspace.definition(), now, older_than, answered=answered)
    with workspace.store.read() as connection:
        found = count_prunable(connection, condition)
    removed = run(workspace.store, condition) if yes else 0
    content = {"scores": found.scores, "prunable": found.removed, "removed": removed}
    words = f"{found.removed:,} of {found.scores:,} scores may go; --yes removes them"
    tell(content, f"{removed:,} scores removed" if yes else words, as_json)
