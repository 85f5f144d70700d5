"""What happened to a lead, and when did we learn of it? Facts in words, newest first, a page at a time.

Sensitive attributes are left out of what a new version changed, as they are left out of the page.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from features.clock import DAY
from features.definition import UNKNOWN, Definition
from serving import wording
from serving.lead_view import value_words
from serving.pages import Happening
from serving.queue_view import moment, stage_words

HAPPENINGS = 40
"""Entries of the timeline on one page."""

Fact = Mapping[str, Any]


def happenings(
    definition: Definition, facts: Sequence[Fact], page: int, now: int
) -> list[Happening]:
    """One page of the timeline, newest first."""
    first = (page - 1) * HAPPENINGS
    told = []
    for i in range(first, min(first + HAPPENINGS, len(facts))):
        title, detail = _told(definition, facts, i)
        fact = facts[i]
        of = "" if fact["of"] is None else f"told of {fact['of']}, which is one with this lead"
        delay = fact["recorded_at"] - fact["occurred_at"]
        told.append(
            Happening(
                sort=fact["sort"],
                title=title,
                detail="; ".join(filter(None, (detail, of))),
                moment=moment(fact["occurred_at"], now),
                late=f"recorded {wording.span(delay)} later" if delay >= DAY else "",
            )
        )
    return told


def timeline_span(page: int, total: int) -> str:
    """Which part of the timeline a page shows."""
    if total <= HAPPENINGS:
        return wording.counted(total, "entry", "entries")
    first = (page - 1) * HAPPENINGS
    return f"{first + 1:,}–{min(first + HAPPENINGS, total):,} of {total:,} entries, newest first"


def _told(definition: Definition, facts: Sequence[Fact], i: int) -> tuple[str, str]:
    """A fact's title and detail."""
    fact = facts[i]
    match fact["sort"]:
        case "answer":
            return _answer(definition, fact)
        case "event":
            kinds = {kind.name: kind.words for kind in definition.engagement.kinds}
            channel = str(fact["channel"] or "").replace("_", " ")
            return str(kinds.get(fact["kind"], fact["kind"])), f"by {channel}" if channel else ""
        case "stage":
            return f"Stage: {stage_words(definition, str(fact['stage']))}", ""
        case _:
            earlier = next((f for f in facts[i + 1 :] if f["sort"] == "version"), None)
            return _version(definition, fact, earlier)


def _answer(definition: Definition, fact: Fact) -> tuple[str, str]:
    question = definition.question_by_name.get(fact["question"])
    asked = question.words if question else fact["question"]
    vain = fact["answer"] == UNKNOWN or (question and fact["answer"] in question.unknown)
    return asked, "asked, no answer" if vain else str(fact["answer"])


def _version(definition: Definition, fact: Fact, earlier: Fact | None) -> tuple[str, str]:
    """What a version of the record changed against the one before."""
    if earlier is None:
        return f"Record created as {fact['kind']}", f"owner: {fact['owner']}" if fact[
            "owner"
        ] else ""
    changes = [
        f"{label}: {before or 'not known'} → {after or 'not known'}"
        for label, before, after in _compared(definition, earlier, fact)
        if before != after
    ]
    return "Record updated", "; ".join(changes) or "nothing that is shown here changed"


def _compared(definition: Definition, before: Fact, after: Fact) -> list[tuple[str, str, str]]:
    """Label, earlier and later value of everything a version says that may be shown."""
    pairs = [
        (name, str(before[name] or ""), str(after[name] or ""))
        for name in ("kind", "owner", "name")
    ]
    old, new = json.loads(before["attributes"]), json.loads(after["attributes"])
    return pairs + [
        (a.words, value_words(a, old.get(a.name)), value_words(a, new.get(a.name)))
        for a in definition.attributes
        if not a.sensitive
    ]
