"""What does a model card say? A small part of Markdown as blocks that templates render, never as HTML.

Only text comes out of here: whatever a card holds is escaped like every other text. Links and images
are not followed but shown as they are written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of text of one look."""

    text: str
    look: Literal["plain", "strong", "code"] = "plain"


Text = Sequence[Span]


@dataclass(frozen=True, slots=True)
class Block:
    """A heading (level 1 to 4), a paragraph, a list of items, a table of rows, or code as it is."""

    kind: Literal["heading", "paragraph", "list", "table", "code"]
    text: Text = ()
    level: int = 0
    items: Sequence[Text] = ()
    head: Sequence[Text] = ()
    rows: Sequence[Sequence[Text]] = field(default=())


_SPANS = re.compile(r"\*\*(?P<strong>[^*\n]+)\*\*|`(?P<code>[^`\n]+)`")
_HEADING = re.compile(r"(#{1,6}) +(.*)")
_ITEM = re.compile(r"\s*(?:[-*]|\d+\.) +(.*)")
_RULE = re.compile(r"\|?[\s:|-]*-[\s:|-]*\|?$")


def parse(markdown: str) -> list[Block]:
    """The blocks of a text; what is not understood stays a paragraph."""
    return list(_blocks(markdown.splitlines()))


def spans(text: str) -> list[Span]:
    """Text with `**strong**` and `` `code` `` taken apart."""
    found: list[Span] = []
    end = 0
    for match in _SPANS.finditer(text):
        if match.start() > end:
            found.append(Span(text[end : match.start()]))
        look: Literal["strong", "code"] = "strong" if match["strong"] else "code"
        found.append(Span(match[look], look))
        end = match.end()
    if end < len(text):
        found.append(Span(text[end:]))
    return found


def _blocks(lines: Sequence[str]) -> Iterator[Block]:
    i = 0
    while i < len(lines):
        line = lines[i].strip()
        if not line:
            i += 1
        elif heading := _HEADING.fullmatch(line):
            yield Block("heading", spans(heading[2]), level=min(len(heading[1]), 4))
            i += 1
        elif line.startswith("```"):
            end = _until(lines, i + 1, lambda text: text.strip().startswith("```"))
            yield Block("code", [Span("\n".join(lines[i + 1 : end]))])
            i = end + 1
        elif line.startswith("|"):
            end = _until(lines, i, lambda text: not text.strip().startswith("|"))
            yield _table(lines[i:end])
            i = end
        elif _ITEM.fullmatch(line):
            end = _until(lines, i, lambda text: not text.strip() or _begins_block(text))
            yield Block("list", items=_items(lines[i:end]))
            i = end
        else:
            end = _until(lines, i + 1, lambda text: not text.strip() or _begins(text))
            yield Block("paragraph", spans(" ".join(part.strip() for part in lines[i:end])))
            i = end


def _until(lines: Sequence[str], start: int, stop: object) -> int:
    assert callable(stop)
    return next((i for i in range(start, len(lines)) if stop(lines[i])), len(lines))


def _begins_block(line: str) -> bool:
    text = line.strip()
    return text.startswith(("|", "```")) or _HEADING.fullmatch(text) is not None


def _begins(line: str) -> bool:
    return _begins_block(line) or _ITEM.fullmatch(line) is not None


def _items(lines: Sequence[str]) -> list[Text]:
    """The items of a list; a line that begins none continues the one before."""
    items: list[str] = []
    for line in lines:
        if match := _ITEM.fullmatch(line):
            items.append(match[1])
        else:
            items[-1] += f" {line.strip()}"
    return [spans(item) for item in items]


def _table(lines: Sequence[str]) -> Block:
    rows = [
        [spans(cell.strip()) for cell in line.strip().strip("|").split("|")]
        for line in lines
        if not _RULE.fullmatch(line.strip())
    ]
    has_head = len(lines) > 1 and _RULE.fullmatch(lines[1].strip()) is not None
    return Block("table", head=rows[0] if has_head and rows else (), rows=rows[has_head:])
