"""What do files with many rows a lead tell? Answers, stage changes, deals or events."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from features.definition import UNKNOWN
from features.sources import as_name
from features.store.files import naming
from features.store.files.drafting import Content, Draft
from features.store.files.naming import any_of, first_named, promise, words
from features.store.files.profiles import BLANK, ROWS_READ, ColumnProfile, FileProfile
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
    times = {"at": at, **_recorded(file, at, child.column)}
    outcome = outcome_column(file)
    if outcome and draft_has_no_outcome(draft):
        source["outcome"] = {"column": outcome, **endings(file.columns[outcome]), **times}
        numbers, texts = file.of_kind("number"), file.of_kind("category", "text")
        for role, columns, wish in (
            ("amount", numbers, naming.AMOUNT),
            ("reason", texts, naming.REASON),
        ):
            if found := first_named([column.name for column in columns], wish):
                source["outcome"][role] = found
        return True
    if _add_answers(draft, source, file, free, times) or _add_stages(draft, source, free, times):
        return False
    return _add_events(draft, source, file, free, times)


def draft_has_no_outcome(draft: Draft) -> bool:
    """Whether no source says yet how leads ended."""
    return not any("outcome" in source for source in draft.sources)


def _date(file: FileProfile) -> str | None:
    dates = [c.name for c in file.of_kind("date") if not any_of(c.name, naming.RECORDED)]
    every = dates or [column.name for column in file.of_kind("date")]
    return first_named(every, naming.HAPPENED) or next(iter(every), None)


def _recorded(file: FileProfile, at: str, lead: str) -> Content:
    """The columns that say when a row was recorded and which id it has, where there are any."""
    dates = [column.name for column in file.of_kind("date") if column.name != at]
    ids = [c.name for c in file.columns.values() if c.is_nearly_key and c.name != lead]
    found = {
        "recorded_at": first_named(dates, naming.RECORDED),
        "id": first_named(ids, naming.KEY),
    }
    return {role: column for role, column in found.items() if column}


def _add_answers(
    draft: Draft, source: Content, file: FileProfile, free: Sequence[ColumnProfile], times: Content
) -> bool:
    names = [column.name for column in free]
    question = first_named(names, naming.QUESTION)
    answer = first_named([name for name in names if name != question], naming.ANSWER)
    if question is None or answer is None:
        return False
    for label, answers in _answers(file, question, answer).items():
        name = draft.free_name(label)
        known = [text for text in answers if text.casefold() not in naming.NOT_KNOWN]
        ranked = sorted(known, key=promise) or [answer]
        asked = {"name": name, "ask": label, "answers": {"sales": ranked, "marketing": ranked}}
        unknown = [text for text in answers if text not in known and text != UNKNOWN]
        draft.questions[name] = (
            naming.dimension(label) or "need",
            {**asked, "unknown": unknown},
        )
        draft.comments[name] = (
            "TO BE AGREED: the order is a guess; best answer first, for each side"
        )
        draft.asked.append(label)
    source["answer_rows"] = {"question": question, "answer": answer, **times}
    return True


def _answers(file: FileProfile, question: str, answer: str) -> dict[str, list[str]]:
    """Each question's answers, as spelt first."""
    names = list(file.table.columns)
    asked, answered = names.index(question), names.index(answer)
    found: dict[str, dict[str, str]] = {}
    rows = (row for chunk in file.table.chunks(10_000) for row in chunk.rows)
    for row in islice(rows, ROWS_READ):
        label, text = row.cells[asked].strip(), row.cells[answered].strip()
        if label not in BLANK and text not in BLANK:
            found.setdefault(label, {}).setdefault(text.casefold(), text)
    return {label: list(texts.values()) for label, texts in found.items()}


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
