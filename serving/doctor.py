"""Is this installation well? Every part looked at once, and what to do about what is not.

Nothing is changed, and nothing is waited for longer than a moment. *broken* keeps the service from doing
its work, *warning* does not. Without MLflow the service scores all the same.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from features.clock import SECOND
from features.errors import BundleError, PropensityError
from features.store.backup import left_by_restore
from features.store.migrate import revisions
from features.store.one_clock import ahead_of_database, wall_clock
from features.store.remembered import known
from features.store.tombstone_file import FILE, UnintelligibleError, read, set_aside
from models.bundle import read_bundle
from models.workspace import Workspace

PATIENCE_SECONDS = 2.0
LEAST_FREE_BYTES = 500 * 2**20
_CLOCKS_AGREE = 5 * SECOND

_PACKAGES = ("propensity", "fastapi", "lightgbm", "mlflow", "numpy", "pydantic", "sqlalchemy")


@dataclass(frozen=True, slots=True)
class Finding:
    """One part and how it is; `hint` says what to do when it is not well."""

    part: str
    state: Literal["well", "warning", "broken"]
    said: str
    hint: str = ""

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def examine(workspace: Workspace) -> list[Finding]:
    """Look at every part; a part that fails does not keep the others from being looked at."""
    return [finding for look in _LOOKS for finding in _guarded(look, workspace)]


def sqlite_loses_data(version: tuple[int, ...]) -> bool:
    """Whether this SQLite can corrupt a database in WAL mode when a checkpoint resets the log.

    Affected are 3.7.0 to 3.51.2; 3.44.6 and 3.50.7 carry the fix, as does everything from 3.51.3.

    >>> sqlite_loses_data((3, 40, 1)), sqlite_loses_data((3, 50, 7)), sqlite_loses_data((3, 51, 3))
    (True, False, False)
    """
    if version < (3, 7, 0) or version >= (3, 51, 3):
        return False
    backported = {(3, 44): 6, (3, 50): 7}
    fixed_in = backported.get((version[0], version[1]))
    return fixed_in is None or version[2] < fixed_in


def _guarded(look: Callable[[Workspace], Iterator[Finding]], workspace: Workspace) -> list[Finding]:
    part = look.__name__.strip("_")
    try:
        return list(look(workspace))
    except PropensityError as error:
        return [Finding(part, "broken", error.message, error.hint)]
    except OSError as error:
        return [Finding(part, "broken", str(error))]


def _versions(_: Workspace) -> Iterator[Finding]:
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    yield Finding("versions", "well", ", ".join(f"{k} {v}" for k, v in found.items()))


def _data_directory(workspace: Workspace) -> Iterator[Finding]:
    where = workspace.data_dir
    if not where.is_dir():
        hint = "`propensity db upgrade` makes it; PROPENSITY_DATA_DIR names another."
        yield Finding("data_directory", "broken", f"{where} is not there", hint)
        return
    free = shutil.disk_usage(where).free
    said = f"{where}, {free / 2**30:.1f} GiB free"
    if not os.access(where, os.W_OK):
        yield Finding("data_directory", "broken", f"{where} cannot be written to")
    elif free < LEAST_FREE_BYTES:
        yield Finding("data_directory", "warning", said, "Make room: a full disk loses writes.")
    else:
        yield Finding("data_directory", "well", said)


def _sqlite(workspace: Workspace) -> Iterator[Finding]:
    version = sqlite3.sqlite_version
    if workspace.database_url.startswith("sqlite") and sqlite_loses_data(
        sqlite3.sqlite_version_info
    ):
        said = f"SQLite {version} has the WAL-reset bug: rarely, a checkpoint corrupts the database"
        hint = "Use a Python linked with SQLite 3.51.3 or newer, or PostgreSQL, and keep backups."
        yield Finding("sqlite", "warning", said, hint)
    else:
        yield Finding("sqlite", "well", f"SQLite {version}")


def _store(workspace: Workspace) -> Iterator[Finding]:
    if not _is_there(workspace):
        said = f"there is no database {workspace.database_url.partition(':///')[2]}"
        yield Finding("store", "broken", said, "Run `propensity db upgrade`.")
        return
    workspace.store.check()
    present, newest = revisions(workspace.store)
    where = workspace.store.name
    if present == newest:
        yield Finding("store", "well", f"{where} at revision {present}")
    else:
        said = f"{where} is at revision {present}, this version needs {newest}"
        yield Finding("store", "broken", said, "Run `propensity db upgrade`.")


def _is_there(workspace: Workspace) -> bool:
    """Whether the database can be there; opening an SQLite file that is not would make it."""
    kind, _, path = workspace.database_url.partition(":///")
    return not kind.startswith("sqlite") or Path(path).exists()


def _erasures(workspace: Workspace) -> Iterator[Finding]:
    """Whether everybody who was erased is: a database restored by hand knows nothing of it."""
    if not _is_there(workspace) or len(set(revisions(workspace.store))) > 1:
        return
    yield from _set_aside(workspace)
    path = workspace.backups / FILE
    with workspace.store.read() as connection:
        here = known(connection)
    try:
        told = read(path)
    except UnintelligibleError as error:
        yield Finding("erasures", "broken", error.message, error.hint)
        return
    lacking = told.erased_at.keys() - here.erased_at.keys()
    if here.erased_at and not told.is_of(here):
        said = f"{path} is of another installation"
        yield Finding(
            "erasures", "warning", said, "The next erasure sets it aside. Bring ours back."
        )
    elif lacking:
        said = f"{len(lacking)} leads were erased of which the database does not know it"
        yield Finding("erasures", "broken", said, "Run `propensity erase-again`.")


def _set_aside(workspace: Workspace) -> Iterator[Finding]:
    """Files that were in the place of our own: perhaps somebody was erased of whom only they know."""
    for path in set_aside(workspace.backups):
        said = f"{path} lay where our {FILE} belongs, and is not of this installation or damaged"
        hint = (
            "Ours, from before a restore? Restore again, and `propensity erase-again` with it before "
            "anything else. Else move it away."
        )
        yield Finding("erasures", "warning", said, hint)


def _clock(workspace: Workspace) -> Iterator[Finding]:
    """Whether this host's clock is the database's, which everything goes by."""
    if not _is_there(workspace):
        return
    ahead = ahead_of_database(workspace.store, wall_clock)
    if ahead is not None and abs(ahead) > _CLOCKS_AGREE:
        said = f"this host's clock is {ahead / SECOND:+,.0f} s from the database's"
        hint = "The database's counts; log lines carry this host's. Set both by NTP."
        yield Finding("clock", "warning", said, hint)


def _restore(workspace: Workspace) -> Iterator[Finding]:
    """Whether a restore came to its end: what one that was killed leaves is a backup nobody knows of."""
    kind, _, path = workspace.database_url.partition(":///")
    left = left_by_restore(Path(path)) if kind.startswith("sqlite") and path else []
    if left:
        size = sum(one.stat().st_size for one in left)
        said = f"a restore is under way or was killed: {left[0]}, {size:,} bytes"
        hint = "Was it killed? Restore again, or delete that and what begins like it: it holds persons."
        yield Finding("restore", "warning", said, hint)


def _definition(workspace: Workspace) -> Iterator[Finding]:
    agreed = workspace.definition()
    said = f"{workspace.definition_path}: {agreed.name}, {agreed.hash[:12]}"
    yield Finding("definition", "well", said)


def _champion(workspace: Workspace) -> Iterator[Finding]:
    if not _is_there(workspace) or revisions(workspace.store)[0] is None:
        return
    digest = workspace.registry.champion_digest()
    if digest is None:
        yield Finding("champion", "warning", "there is none yet", "`propensity train` makes one.")
        return
    try:
        model = read_bundle(workspace.bundles, digest)
    except BundleError as error:
        if not workspace.registry.is_kept(digest):
            raise
        hint = "The service fetches it from the database by itself, and tries it first."
        yield Finding("champion", "warning", f"not whole on this host: {error.message}", hint)
        return
    columns = len(model.encoder.columns)
    said = f"{digest[:12]}, {columns} columns, calibration {model.calibrator.kind}"
    yield Finding("champion", "well", said)
    if model.definition.hash != workspace.definition().hash:
        said = "the champion learned with another lead definition than the one agreed on now"
        yield Finding("champion", "warning", said, "`propensity train` learns with the new one.")


def _mlflow(workspace: Workspace) -> Iterator[Finding]:
    uri = workspace.mlflow_uri
    trouble = _unreachable(uri)
    if trouble is None:
        yield Finding("mlflow", "well", urlsplit(uri)._replace(netloc=_host(uri)).geturl())
    else:
        hint = "Training is tracked there; scoring does not need it."
        yield Finding("mlflow", "warning", trouble, hint)


def _unreachable(uri: str) -> str | None:
    """Why a tracking location cannot be reached; None when it can."""
    parts = urlsplit(uri)
    if parts.scheme in ("http", "https"):
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            socket.create_connection((parts.hostname or "", port), PATIENCE_SECONDS).close()
        except OSError as error:
            return f"{_host(uri)} cannot be reached: {error}"
        return None
    path = Path(uri.removeprefix("sqlite:///").removeprefix("file://"))
    if parts.scheme in ("sqlite", "file", "") and not path.exists():
        return f"{path} is not there yet; the first training makes it"
    return None


def _host(uri: str) -> str:
    """Where an address points, without name and password."""
    return urlsplit(uri).netloc.rpartition("@")[2]


_LOOKS = (
    _versions,
    _data_directory,
    _sqlite,
    _store,
    _clock,
    _restore,
    _erasures,
    _definition,
    _champion,
    _mlflow,
)
