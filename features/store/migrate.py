"""Is the database as this version of the code expects it? Upgrade it, or say what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from features.errors import StoreError

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

    from features.store.engine import Store

_SCRIPTS = Path(__file__).parent / "migrations"


def upgrade(store: Store) -> None:
    """Create the tables and the key of hashes, or bring them to the newest revision; harmless after.

    Raises:
        StoreError: this version does not know the database's revision.
    """
    from alembic import command
    from alembic.util import CommandError

    from features.store.consent import make_key

    try:
        with store.write() as connection:
            command.upgrade(_config(connection), "head")
            make_key(connection)
    except CommandError as error:
        raise StoreError(
            f"the database {store.name} cannot be upgraded: {error}",
            hint="A newer version of this program made it: use that one.",
        ) from error


def revisions(store: Store) -> tuple[str | None, str]:
    """The database's revision (None: no tables yet) and the newest one there is."""
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    with store.read() as connection:
        config = _config(connection)
        present = MigrationContext.configure(connection).get_current_revision()
    newest = ScriptDirectory.from_config(config).get_current_head()
    assert newest is not None, "the package ships at least one revision"
    return present, newest


def require_current(store: Store) -> None:
    """Raise unless the database is at the newest revision.

    Raises:
        StoreError: it has no tables, is behind, or is ahead of this version of the code.
    """
    present, newest = revisions(store)
    if present != newest:
        state = "has no tables yet" if present is None else f"is at revision {present}"
        raise StoreError(
            f"the database {store.name} {state}; this version needs {newest}",
            hint="Run `propensity db upgrade`.",
        )


def _config(connection: Connection) -> Config:
    # Alembic is slow to import and only needed here.
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
