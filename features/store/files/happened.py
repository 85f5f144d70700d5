"""What do files with many rows a lead tell? Answers, stage changes, deals or events."""

from __future__ import annotations

from collections.abc import Sequence

from features.sources import as_name
from features.store.files import naming
from features.store.files.drafting import Content, Draft
from features.store.files.naming import any_of, first_named, promise, words
from features.store.files.profiles import ColumnProfile, FileProfile
from features.store.files.relations import Child, outcome_column
from features.store.files.roles import endings

_MOST_KINDS = 100
_CLOSING_WORDS = {
    "won": frozenset({"won", "approved", "purchased", "purchase", "signed", "sold", "converted"}),
    "lost": frozenset({"lost", "declined", "cancelled", "canceled", "rejected"}),
}


def add_child(draft: Draft, child: Child) -> bool:
    """Add the source of a file that tells what happened to leads.

    Returns:
        Whether the file says how leads ended.
    """
    file = child.file
    at = _date(file)
    if at is None:
        draft.warnings.append(
            f"{file.path.name}: no column says when things happened; it is left out"
        )
        return False
    source: Content = {"file": file.path.name, "lead": child.column}
    draft.sources.append(source)
    free = [c for c in file.of_kind("category", "boolean") if c.name != child.column]
    times = {"at": at, **_recorded(file, at)}
    outcome = outcome_column(file)
    if outcome and draft_has_no_outcome(draft):
        source["outcome"] = {"column": outcome, **endings(file.columns[outcome]), **times}
        if amount := first_named([c.name for c in file.of_kind("number")], naming.AMOUNT):
            source["outcome"]["amount"] = amount
        return True
    if _add_answers(draft, source, free, times) or _add_stages(draft, source, free, times):
        return False
    return _add_events(draft, source, file, free, times)


def draft_has_no_outcome(draft: Draft) -> bool:
    """Whether no source says yet how leads ended."""
    return not any("outcome" in source for source in draft.sources)


def _date(file: FileProfile) -> str | None:
    dates = [c.name for c in file.of_kind("date") if not any_of(c.name, naming.RECORDED)]
    every = dates or [column.name for column in file.of_kind("date")]
    return first_named(every, naming.HAPPENED) or next(iter(every), None)


def _recorded(file: FileProfile, at: str) -> Content:
    dates = [column.name for column in file.of_kind("date") if column.name != at]
    found = first_named(dates, naming.RECORDED)
    ids = [c.name for c in file.columns.values() if c.is_key and any_of(c.name, naming.KEY)]
    return {**({"recorded_at": found} if found else {}), **({"id": ids[0]} if ids else {})}


def _add_answers(
    draft: Draft, source: Content, free: Sequence[ColumnProfile], times: Content
) -> bool:
    names = [column.name for column in free]
    question = first_named(names, naming.QUESTION)
    answer = first_named([name for name in names if name != question], naming.ANSWER)
    if question is None or answer is None:
        return False
    by_name = {column.name: column for column in free}
    levels = sorted(by_name[answer].levels, key=promise)
    for label in by_name[question].levels:
        name = draft.free_name(label)
        where = naming.dimension(label) or "need"
        both = {"sales": levels, "marketing": levels}
        draft.questions[name] = (where, {"name": name, "ask": label, "answers": both})
        draft.comments[name] = "TO BE AGREED: which answers belong to it, best first, for each side"
    source["answer_rows"] = {"question": question, "answer": answer, **times}
    draft.warnings.append(
        f"{source['file']}: every question lists all answers of the file; sort them out and rank them"
    )
    return True


def _add_stages(
    draft: Draft, source: Content, free: Sequence[ColumnProfile], times: Content
) -> bool:
    stage = first_named([column.name for column in free], naming.STAGE)
    if stage is None or first_named([column.name for column in free], naming.EVENT):
        return False
    levels = next(column.levels for column in free if column.name == stage)
    draft.stages += _new_names(levels, draft.stages)
    source["stages"] = {"stage": stage, **times}
    draft.warnings.append(f"{stage}: which stages are closed, and who is responsible in each?")
    return True


def _add_events(
    draft: Draft,
    source: Content,
    file: FileProfile,
    free: Sequence[ColumnProfile],
    times: Content,
) -> bool:
    names = [column.name for column in free if len(column.levels) <= _MOST_KINDS]
    channel = first_named(names, naming.CHANNEL)
    kind = first_named([n for n in names if n != channel], naming.EVENT, naming.NAME)
    kind = kind or next((name for name in names if name != channel), None)
    closing = _closing_kinds(file.columns[kind]) if kind and draft_has_no_outcome(draft) else {}
    if kind:
        ends = {text for texts in closing.values() for text in texts}
        labels = [level for level in file.columns[kind].counts if level not in ends]
        draft.kinds += _new_names(labels, draft.kinds)
    else:
        draft.kinds += _new_names([file.path.stem], draft.kinds)
    said: Content = {"kind": kind or {"value": as_name(file.path.stem)}, **times}
    if channel:
        said["channel"] = channel
        draft.channels += _new_names(list(file.columns[channel].counts), draft.channels)
    source["events"] = said
    if closing:
        source["outcome"] = {"column": kind, **closing, "at": times["at"]}
        draft.warnings.append(
            f"{kind}: events named {closing['won']} are taken to win a lead and {closing['lost']} to "
            "lose it; events that say so again must be ignored (events: ignore)"
        )
    return bool(closing)


def _new_names(labels: Sequence[str], known: Sequence[str]) -> list[str]:
    return [name for name in dict.fromkeys(map(as_name, labels)) if name not in known]


def _closing_kinds(column: ColumnProfile) -> dict[str, list[str]]:
    """Kinds of events that end a lead: of those that sound like it, the ones named like a winning one.

    `A_APPROVED` wins; then `A_DECLINED` loses and `O_DECLINED`, of another sort of thing, does not.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for label in column.levels:
        for ending, closing in _CLOSING_WORDS.items():
            own = words(label.lower())
            if hits := [word for word in own if word in closing]:
                stem = "_".join(word for word in own if word not in hits)
                found.setdefault(stem, {"won": [], "lost": []})[ending].append(label)
    complete = [kinds for kinds in found.values() if kinds["won"]]
    return max(complete, key=lambda kinds: len(kinds["lost"]), default={})
