"""Whose is a file that a command makes? As its directory's: the service must read what root has written.

A command is often run by another user of the operating system than the service is. What it leaves in a
directory belongs, as far as it may give it away, to whom the directory belongs, and is open to the group
only where the directory is the group's to write in. Nobody else may read it. Whoever owns a directory
can lay a link to a stranger's file under any name in it, at any moment: what is given away is what a
descriptor holds, never what a name leads to.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@contextmanager
def directory(path: Path) -> Iterator[int]:
    """The descriptor of a directory; root is led there by no link.

    Raises:
        OSError: it is not there, is no directory, or may not be read.
    """
    # Only root has anything to lose; a service may keep its copies behind a link of its own.
    handle = os.open(path, _DIRECTORY | (0 if os.geteuid() else os.O_NOFOLLOW))
    try:
        yield handle
    finally:
        os.close(handle)


def make_directory(path: Path) -> None:
    """Make a directory, and those above it that are missing, each as the one above it.

    Raises:
        OSError: it cannot be made.
    """
    if path.is_dir():
        return
    make_directory(path.parent)
    with directory(path.parent) as place:
        try:
            os.mkdir(path.name, dir_fd=place)
        except FileExistsError:
            return  # somebody was quicker
        handle = os.open(path.name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=place)
        try:
            if os.fstat(handle).st_uid == os.geteuid():  # else another was put in its place
                _share(place, handle, 0o070)
        finally:
            os.close(handle)


def open_here(name: str, place: int) -> int:
    """Open what lies in a directory itself, for reading: no link is followed, no pipe waited at.

    Args:
        name: of the file, without a directory.
        place: the directory's descriptor.

    Raises:
        OSError: it is not there, is a link, or may not be read.
    """
    only = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    return os.open(name, only, dir_fd=place)


def open_private(name: str, place: int) -> int:
    """Make a file that its directory's owner may read and write, and its group where it shares it.

    Args:
        name: of the file, without a directory.
        place: the directory's descriptor.

    Returns:
        Its descriptor, open for writing.

    Raises:
        OSError: it cannot be made, or is there.
    """
    new = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(name, new, 0o600, dir_fd=place)
    try:
        _share(place, handle, 0o060)
    except OSError:
        os.close(handle)
        raise
    return handle


def _share(place: int, handle: int, rights: int) -> None:
    """Give what was just made to its directory's owner, and rights in it to the group that shares it."""
    there = os.fstat(place)
    # Only root may give away; a member may pass on to a group.
    for owner, group in ((-1, there.st_gid), (there.st_uid, -1)):
        with suppress(PermissionError):
            os.fchown(handle, owner, group)
    made = os.fstat(handle)
    if there.st_mode & stat.S_IWGRP and made.st_gid == there.st_gid:
        os.fchmod(handle, stat.S_IMODE(made.st_mode) | rights)
