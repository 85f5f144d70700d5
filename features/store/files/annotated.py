"""How does a starter definition look to the people who are to agree on it? YAML with comments.

Comments never change what is read: the text parses to the definition it was written from.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence

from features.definition import Definition

_SECTION = re.compile(r"^([a-z_]+):")
_ENTRY = re.compile(r"^\s*- name: (\S+)$")
_COMMENTED = ("attributes", "bant")
_WIDTH = 98


def annotated(definition: Definition, head: Sequence[str], comments: Mapping[str, str]) -> str:
    """The definition as YAML.

    Args:
        definition: what is written.
        head: paragraphs that stand above it.
        comments: attribute or question -> what to say beside it.
    """
    lines = [line for paragraph in head for line in _wrapped(paragraph)]
    section = ""
    for line in definition.to_yaml().splitlines():
        if found := _SECTION.match(line):
            section = found[1]
        entry = _ENTRY.match(line)
        if entry and section in _COMMENTED and entry[1] in comments:
            line = f"{line}  # {_printable(comments[entry[1]])}"
        lines.append(line)
    return "\n".join(lines) + "\n"


def _wrapped(paragraph: str) -> list[str]:
    behind = "#   " if paragraph.startswith("- ") else "# "
    return textwrap.wrap(
        _printable(paragraph), _WIDTH, initial_indent="# ", subsequent_indent=behind
    )


def _printable(text: str) -> str:
    """Column names hold what they like; a comment must stay on its line."""
    return "".join(character if character.isprintable() else " " for character in text)
