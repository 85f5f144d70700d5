"""Whose is a file that a command makes? As its directory's: the service must read what root has written.

A command is often run by another user of the operating system than the service is. What it leaves in a
directory belongs, as far as it may give it away, to whom the directory belongs, and is open to the group
only where the directory is the group's to write in. Nobody else may read it.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path


def make_directory(path: Path) -> None:
    """Make a directory, and those above it that are missing, each as the one above it.

    Raises:
        OSError: it cannot be made.
    """
    if path.is_dir():
        return
    make_directory(path.parent)
    path.mkdir(exist_ok=True)
    _give_to_owner_of(path.parent, path)
    if _is_of_group(path.parent, path):
        path.chmod(stat.S_IMODE(path.stat().st_mode) | 0o070)


def open_private(path: Path) -> int:
    """Make a file that its directory's owner may read and write, and its group where it shares it.

    Returns:
        Its descriptor, open for writing.

    Raises:
        OSError: it cannot be made, or is there.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    _give_to_owner_of(path.parent, path)
    if _is_of_group(path.parent, path):
        os.fchmod(handle, 0o660)
    return handle


def _give_to_owner_of(place: Path, path: Path) -> None:
    there = place.stat()
    # Only root may give away; a member may pass on to a group.
    for owner, group in ((-1, there.st_gid), (there.st_uid, -1)):
        with suppress(PermissionError):
            os.chown(path, owner, group)


def _is_of_group(place: Path, path: Path) -> bool:
    """Whether a directory is its group's to write in, and what is in it belongs to that group."""
    there = place.stat()
    return bool(there.st_mode & stat.S_IWGRP) and path.stat().st_gid == there.st_gid
