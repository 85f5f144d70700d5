"""What could a definition for these files look like? A first one, to be read and agreed on by people.

Whatever is guessed can be imported straight away: the draft reads the files once with itself, and
what does not fit is taken back. Nothing is agreed by guessing: every doubt is a warning.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from features.definition import Definition
from features.errors import InputError
from features.quality import LONGEST_TEXT
from features.sources import as_name
from features.store.files.annotated import annotated
from features.store.files.drafting import Content, Draft, add_attribute, add_columns
from features.store.files.happened import add_child, draft_has_no_outcome
from features.store.files.profiles import FileProfile, profile_file
from features.store.files.rehearsal import Rehearsal, rehearse
from features.store.files.relations import Lookup, Relations, relate
from features.store.files.roles import find_roles

_REPAIRS = 5


@dataclass(frozen=True, slots=True)
class Guess:
    """A starter definition, what to look at in it, and its text with comments."""

    definition: Definition
    warnings: tuple[str, ...]
    text: str


def guess_definition(files: Sequence[Path]) -> Guess:
    """Write a first definition for one or several files that describe the same leads.

    Raises:
        InputError: a file cannot be read, or there is nothing in the files to describe a lead with.
    """
    profiles = [profile_file(path) for path in files]
    _check(profiles)
    relations = relate(profiles)
    draft = Draft(as_name(relations.leads.path.stem))
    _describe_leads(draft, relations)
    for child in relations.children:
        if draft.time == "dated":
            add_child(draft, child)
        else:
            draft.warnings.append(
                f"{child.file.path.name}: is left out, because {relations.leads.path.name} does not "
                "say when leads were opened"
            )
    draft.warnings += [
        f"{file.path.name}: belongs to no other file" for file in relations.unrelated
    ]
    if draft_has_no_outcome(draft):
        draft.warnings.insert(0, _NO_OUTCOME)
    rehearsal = _settle(draft, relations.leads, profiles)
    draft.timing = rehearsal.timing(has_events=bool(draft.kinds))
    definition = draft.definition()
    text = annotated(definition, _head(draft, profiles), draft.comments)
    return Guess(definition, tuple(draft.doubts()), text)


_NO_OUTCOME = (
    "NO OUTCOME was found: say which column tells how a lead ended, such as "
    "`outcome: {column: status, won: [Won], lost: [Lost], at: closed_on}` under its source; "
    "without it nothing can be learned"
)


def _check(profiles: Sequence[FileProfile]) -> None:
    if not profiles:
        raise InputError("no file was given", hint="propensity init leads.csv events.csv")
    for profile in profiles:
        if not profile.rows:
            raise InputError(f"{profile.path.name} has no row that fits its first line")
    names = Counter(profile.path.name for profile in profiles)
    if twice := [name for name, times in names.items() if times > 1]:
        raise InputError(
            f"two files are called {twice[0]}; a definition tells files by their names"
        )


def _describe_leads(draft: Draft, relations: Relations) -> None:
    file = relations.leads
    roles = find_roles(draft, file, relations.key)
    joined = {lookup.key for lookup in relations.lookups}
    columns = [column for column in file.columns.values() if column.name not in roles.taken]
    joins: list[Content] = []
    for lookup in relations.lookups:
        there = set(file.columns) | {c for join in joins for c in join["columns"]}
        added = [
            column
            for column in lookup.file.columns.values()
            if column.name not in there and column.name not in joined
        ]
        columns += added
        on = lookup.column if lookup.column == lookup.key else {lookup.column: lookup.key}
        joins.append({"file": lookup.file.path.name, "on": on, "columns": [c.name for c in added]})
        _respell(draft, roles.source, file, lookup)
    attributes, answers = add_columns(draft, columns)
    source = {**roles.source, "join": joins, "attributes": attributes, "answers": answers}
    if relations.key is None:
        draft.warnings.append(
            "no column names a lead: a lead is a row, by its number, so each import must be of this file"
        )
    draft.sources.append(source)
    _ensure_described(draft, file)


def _respell(draft: Draft, source: Content, file: FileProfile, lookup: Lookup) -> None:
    """Texts that differ from a key of the other file only in blanks and case are that key."""
    keys = lookup.file.columns[lookup.key].different or set()
    squeezed = {_squeezed(key): key for key in keys}
    missing = [text for text in file.columns[lookup.column].counts if text not in keys]
    meant = {text: squeezed[_squeezed(text)] for text in missing if _squeezed(text) in squeezed}
    strange = [text for text in missing if text not in meant]
    if meant:
        source.setdefault("replace", {})[lookup.column] = meant
        draft.warnings.append(f"{lookup.column}: taken to be the same: {meant}")
    if strange:
        draft.warnings.append(
            f"{lookup.column}: {len(strange)} texts, such as {strange[0]!r}, are not in "
            f"{lookup.file.path.name}"
        )


def _squeezed(text: str) -> str:
    return "".join(text.casefold().split())


def _ensure_described(draft: Draft, file: FileProfile) -> None:
    """Where no column is of use, take one all the same: without any, a row would not open a lead."""
    source = draft.sources[0]
    if any(source.get(part) for part in ("attributes", "answers", "opened_at", "name", "owner")):
        return
    ending = {said for said in source.get("outcome", {}).values() if isinstance(said, str)}
    for column in file.columns.values():
        fits = column.storable and len(column.name) <= LONGEST_TEXT
        if column.counts and fits and column.name not in ending:
            source["attributes"] = {add_attribute(draft, column, "category"): column.name}
            return
    raise InputError(
        f"{file.path.name} has no column that could describe a lead",
        hint="It needs columns with texts or numbers that repeat from row to row.",
    )


def _settle(draft: Draft, leads: FileProfile, profiles: Sequence[FileProfile]) -> Rehearsal:
    """Read the files with the draft, take back what does not fit, and read them again."""
    rehearsal = rehearse(draft.definition(), profiles)
    for _ in range(_REPAIRS):
        if not _take_back(draft, rehearsal):
            break
        _ensure_described(draft, leads)
        rehearsal = rehearse(draft.definition(), profiles)
    draft.warnings += rehearsal.warnings()
    return rehearsal


def _take_back(draft: Draft, rehearsal: Rehearsal) -> bool:
    """Give columns that do not fit a plainer role, or none; whether anything changed."""
    changed = False
    for source in draft.sources:
        for column in rehearsal.problems.get(source["file"], ()):
            changed |= _take_back_column(draft, source, column)
    return changed


def _take_back_column(draft: Draft, source: Content, column: str) -> bool:
    before = len(draft.left_out)
    for block in ("attributes", "answers"):
        mapped: Content = source.get(block, {})
        for name in [name for name, used in mapped.items() if used == column]:
            del mapped[name]
            draft.attributes.pop(name, None)
            draft.questions.pop(name, None)
            draft.left_out.append(f"{column} (holds texts that do not fit)")
    outcome: Content = source.get("outcome", {})
    for place, roles in ((source, ("owner", "name")), (outcome, ("amount", "reason", "at"))):
        for role in roles:
            needed = role == "at" and not source.get("attributes") and not source.get("opened_at")
            if place.get(role) == column and not needed:
                del place[role]
                draft.left_out.append(f"{column} (does not fit as {role})")
    return len(draft.left_out) > before


def _head(draft: Draft, profiles: Sequence[FileProfile]) -> list[str]:
    """What stands above the definition."""
    head = [_FOR_ITS_READERS]
    if doubts := draft.doubts():
        head.append("To be looked at:")
        head += [f"- {doubt}" for doubt in doubts]
    if draft.left_out:
        head.append(f"Columns left out: {', '.join(draft.left_out)}.")
    for profile in profiles:
        read_as = ", ".join(f"{what} {found}" for what, found in profile.table.guesses.items())
        if read_as:
            head.append(f"{profile.path.name} was read with {read_as}.")
    return head


_FOR_ITS_READERS = (
    "A first lead definition, guessed from files: read it together, marketing and sales, and change "
    "what is wrong. docs/definition.md explains every key."
)
