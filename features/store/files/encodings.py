"""Which bytes stand for which characters? A file's encoding, checked on all of it before a row is read.

An encoding that was said is used or refused, never replaced; one that was guessed is reported.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

from features.errors import InputError

_BLOCK = 1 << 20
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks; UTF-32 comes first, because its little-endian mark starts with that of UTF-16."""


def encoding_of(path: Path, given: str | None) -> tuple[str, str]:
    """The encoding of a text file.

    Args:
        path: the file; all of it is read, a block at a time.
        given: what the definition says, or None.

    Returns:
        The codec's name, and how it was found, in words.

    Raises:
        InputError: the file is not in the encoding that was said, or there is no such encoding.
    """
    with path.open("rb") as file:
        start = file.read(4096)
    if given is not None:
        return _as_said(path, given, start), "as said"
    for mark, name in _MARKS:
        if start.startswith(mark) and wrong_at(path, name) is None:
            return name, "by its byte order mark"
    if wide := _wide(start):
        return wide, "by the zero bytes in it"
    if wrong_at(path, "utf-8") is None:
        return "utf-8", "all of it is valid"
    if wrong_at(path, "cp1252") is None:
        return "cp1252", "because it is not UTF-8"
    return "latin-1", "because it is neither UTF-8 nor cp1252"


def _as_said(path: Path, given: str, start: bytes) -> str:
    try:
        name = codecs.lookup(given).name
    except LookupError as error:
        raise InputError(
            f"{path.name}: there is no encoding {given!r}", hint="Such as utf-8, utf-16 or cp1252."
        ) from error
    if name == "utf-8" and start.startswith(codecs.BOM_UTF8):
        name = "utf-8-sig"
    if (at := wrong_at(path, name)) is not None:
        raise InputError(
            f"{path.name} is not {given}: the byte at position {at} does not belong there",
            hint="Leave `format.encoding` out to have it guessed.",
        )
    return name


def _wide(start: bytes) -> str | None:
    """UTF-16 without its mark: in plain text every second byte is zero."""
    half = len(start) // 2
    if half < 4:
        return None
    if start[1::2].count(0) > 0.7 * half and start[0::2].count(0) < 0.1 * half:
        return "utf-16-le"
    if start[0::2].count(0) > 0.7 * half and start[1::2].count(0) < 0.1 * half:
        return "utf-16-be"
    return None


def wrong_at(path: Path, encoding: str) -> int | None:
    """The position of the first byte (about) that an encoding cannot read; None: it reads all."""
    decoder = codecs.getincrementaldecoder(encoding)()
    position = 0
    try:
        for block in _blocks(path):
            decoder.decode(block)
            position += len(block)
        decoder.decode(b"", final=True)
    except UnicodeError as error:
        return position + (error.start if isinstance(error, UnicodeDecodeError) else 0)
    return None


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block
