"""How is it kept outside the database whom an installation erased? One small file beside the copies.

What lies there and is not ours (of another installation, or not to be understood) is nobody's to
delete: it is set aside under another name, and said so. What is not ours to read is no reason to begin
anew: it is refused.
"""

from __future__ import annotations

import json
import logging
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from features.errors import ConflictError, StoreError
from features.store.sharing import directory, make_directory, open_private

log = logging.getLogger("propensity.erasures")

FILE = "erased.json"
"""The file's name, in the directory of the daily copies."""

_FORMAT = 1

_DAMAGED = "Bring it back from another copy; without it, restored persons stay."
_NOT_MINE = (
    "Another user of this machine wrote it. Give it to the service's user, and act as that one."
)


class UnintelligibleError(StoreError):
    """The file can be read, and says nothing certain."""


@dataclass(frozen=True, slots=True)
class Tombstones:
    """Whom an installation has erased: hash -> when, under its secret (None: it has none yet)."""

    secret: str | None = None
    erased_at: Mapping[str, int] = field(default_factory=dict)

    def is_of(self, others: Tombstones) -> bool:
        """Whether these can be of the same installation as others."""
        return None in (self.secret, others.secret) or self.secret == others.secret

    def with_others(self, others: Tombstones) -> Tombstones:
        """These and others of the same installation; what was erased twice, as it was at first.

        Raises:
            ConflictError: the others are of another installation.
        """
        if not self.is_of(others):
            raise ConflictError(
                "what is remembered of erasures is of another installation: its secret is another",
                hint=f"Move the {FILE} beside the backups away, if it has no business there.",
            )
        both = {**self.erased_at, **others.erased_at}
        both |= {h: min(at, both[h]) for h, at in self.erased_at.items()}
        return Tombstones(self.secret or others.secret, both)


def read(path: Path) -> Tombstones:
    """What a file remembers; nothing where there is none.

    Raises:
        UnintelligibleError: it says nothing certain.
        StoreError: it cannot be read.
    """
    try:
        told = json.loads(_text_of(path))
        if told["format"] != _FORMAT:
            raise ValueError(f"format {told['format']}")
        return Tombstones(
            str(told["secret"]), {str(h): int(at) for h, at in told["erased"].items()}
        )
    except FileNotFoundError:
        return Tombstones()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        kind = StoreError if isinstance(error, OSError) else UnintelligibleError
        raise kind(
            f"who was erased cannot be read from {path}: {error}",
            hint=_NOT_MINE if isinstance(error, PermissionError) else _DAMAGED,
        ) from error


def _text_of(path: Path) -> str:
    """What is written in a file, which is neither a link elsewhere nor a pipe that nobody writes to."""
    if not stat.S_ISREG(path.lstat().st_mode):
        raise ValueError("it is no file")
    # Another may have taken its place since.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("it is no file")
        return file.read().decode("utf-8")


def require_place(path: Path) -> None:
    """Raise where an erasure could not be remembered: to be asked before anything is erased.

    Raises:
        StoreError: the file cannot be read, or its directory cannot be written to.
    """
    with suppress(UnintelligibleError):  # it will be set aside
        read(path)
    place = next(place for place in path.parents if os.path.lexists(place))
    if not _can_write(place):
        raise StoreError(
            f"nothing was erased: a restore would bring the lead back, {path} cannot be written",
            hint=f"Run it as the user of the service, or let this one write to {place}.",
        )


def _can_write(place: Path) -> bool:
    try:
        with directory(place):
            return os.access(place, os.W_OK | os.X_OK, effective_ids=True)
    except OSError:
        return False


def keep(path: Path, told: Tombstones) -> Path | None:
    """Write tombstones beside those that are there; nobody else may be at it.

    Returns:
        Where what was there is now, when it was not ours; None: nothing was in the way.

    Raises:
        StoreError: it cannot be read or written.
    """
    try:
        make_directory(path.parent)
        with directory(path.parent) as place:
            return _keep_in(place, path, told)
    except OSError as error:
        raise StoreError(
            f"a restored backup would bring the lead back: {path} cannot be written: {error.strerror}",
            hint="The database has forgotten it. Allow writing there, and erase the lead again.",
        ) from error


def set_aside(home: Path) -> list[Path]:
    """What was found in the file's place and was not ours, oldest first."""
    stem, _, end = FILE.partition(".")
    found = home.glob(f"{stem}.aside-*.{end}")
    return sorted(found, key=lambda path: (len(path.name), path.name))


def _keep_in(place: int, path: Path, told: Tombstones) -> Path | None:
    aside = None
    try:
        there = read(path)
    except UnintelligibleError:
        aside = _set_aside(place, path)
    else:
        if told.is_of(there):
            told = told.with_others(there)
        else:
            aside = _set_aside(place, path)
    _write(place, path.name, told)
    return aside


def _set_aside(place: int, path: Path) -> Path:
    number = 1
    while os.path.lexists(aside := path.with_name(f"{path.stem}.aside-{number}{path.suffix}")):
        number += 1
    os.rename(path.name, aside.name, src_dir_fd=place, dst_dir_fd=place)
    log.warning("%s is not of this installation or damaged: it is %s now", path, aside.name)
    return aside


def _write(place: int, name: str, told: Tombstones) -> None:
    content = {
        "format": _FORMAT,
        "secret": told.secret,
        "erased": dict(sorted(told.erased_at.items())),
    }
    beside = Path(name).with_suffix(".part").name
    with suppress(FileNotFoundError):
        os.unlink(beside, dir_fd=place)
    with os.fdopen(open_private(beside, place), "w") as file:
        json.dump(content, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, name, src_dir_fd=place, dst_dir_fd=place)
