"""Which leads have become one? What is told of either is the survivor's, from when we learned of it.

Merges are append-only, and what they mean is worked out when facts are read, so that it depends on which
merges there are and not on the order in which they came. A fact of a merged lead is known of its
survivor from the later of its own `recorded_at` and the merge's: no feature of an earlier instant
changes. Of a lead that is said to be merged twice, the merge recorded first counts; one that would close
a ring is nothing.

A merge that was a mistake is taken back by a later fact: the lead stands by itself, as a row that names
it as its own survivor. From then on it is as if the two had never been one, also for instants between:
what was another person's is no history of a lead (docs/decisions/0032). It may be merged again later.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from sqlalchemy import (
    Column,
    Connection,
    ForeignKey,
    String,
    Table,
    UniqueConstraint,
    func,
    or_,
    select,
)

from features.clock import before
from features.errors import Problem, shown
from features.facts import Ints
from features.quality import LONGEST_SOURCE, instant_problem, text_problem
from features.store.consent import in_step
from features.store.ingest import (
    NO_SUCH_LEAD,
    IngestReport,
    chunks,
    insert_ignoring,
    lead_keys,
)
from features.store.tables import BigId, Instant, leads, metadata

merges = Table(
    "lead_merges",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("lead", BigId, ForeignKey("leads.id"), nullable=False),
    Column("survivor", BigId, ForeignKey("leads.id"), nullable=False),
    Column("recorded_at", Instant, nullable=False),
    Column("source", String(64), nullable=False),
    UniqueConstraint("lead", "survivor", "recorded_at", name="uq_lead_merges_key"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """`lead` has become part of `survivor`, as was recorded then; None: it stands by itself."""

    lead: str
    survivor: str | None
    recorded_at: int
    source: str = "api"


@dataclass(frozen=True)
class Merged:
    """The merges known at some instant, by our keys of leads: lead -> (survivor, recorded at).

    `apart` are the leads of which the last that was said is that they stand by themselves.
    """

    into: Mapping[int, tuple[int, int]]
    apart: frozenset[int] = frozenset()

    @cached_property
    def all(self) -> set[int]:
        """All leads that any merge is about."""
        return {*self.into, *(survivor for survivor, _ in self.into.values())}

    def holder(self, lead: int, recorded_at: int) -> int:
        """Whose a deal of this lead is that was recorded then: merges recorded later do not move it."""
        while (step := self.into.get(lead)) is not None and not before(recorded_at, step[1]):
            lead = step[0]
        return lead

    def ended(self, lead: int) -> int | None:
        """When this lead became part of another; None: it has not."""
        step = self.into.get(lead)
        return None if step is None else step[1]

    def survivors(self, lead: int) -> dict[int, int]:
        """The lead, and all that it has become part of, each with since when."""
        found, since = {lead: _EVER}, _EVER
        while (step := self.into.get(lead)) is not None:
            lead, since = step[0], max(since, step[1])
            found[lead] = since
        return found

    def one_since(self, lead: int, other: int) -> int | None:
        """Since when two leads are known to be one; None: they are not."""
        here, there = self.survivors(lead), self.survivors(other)
        common = [max(here[above], there[above]) for above in here.keys() & there.keys()]
        return min(common, default=None)

    def parts(self, survivors: Collection[int]) -> dict[int, list[tuple[int, int]]]:
        """By each lead that became part of one of these: which ones, and since when."""
        wanted = set(survivors)
        found = {}
        for lead in self.into:
            above = [(s, since) for s, since in self.survivors(lead).items() if s in wanted]
            if told := [(s, since) for s, since in above if s != lead]:
                found[lead] = told
        return found

    def family(self, of: Collection[int]) -> set[int]:
        """These leads, and all that are one with any of them."""
        ends = {list(self.survivors(lead))[-1] for lead in of}
        return {lead for lead in {*of, *self.all} if not ends.isdisjoint(self.survivors(lead))}


@dataclass(frozen=True)
class Families:
    """Leads that are one person's, by external id: rows of them are one piece of evidence.

    Attributes:
        told: recorded at, lead and survivor of each merge, by our keys.
        names: external ids of all leads among them.
    """

    told: Sequence[tuple[int, int, int]] = ()
    names: Mapping[int, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.told)

    def last_survivors(self, known: int | None = None) -> dict[str, str]:
        """Each lead that has become part of another -> the last of those; as known before an instant."""
        rows = [row for row in self.told if known is None or row[0] < known]
        merged = _without_rings(rows)
        return {
            self.names[lead]: self.names[list(merged.survivors(lead))[-1]] for lead in merged.into
        }


class Numbering:
    """Numbers of leads that come in portions: those of one family share one."""

    def __init__(self, families: Families) -> None:
        self._end = families.last_survivors()
        self._ends = set(self._end.values())
        self._number: dict[str, int] = {}
        self._given = 0

    def of(self, lead_ids: Sequence[str]) -> Ints:
        """A number for each of these leads, none of which was in an earlier portion."""
        found = np.arange(self._given, self._given + len(lead_ids), dtype=np.int64)
        self._given += len(lead_ids)
        if self._end:
            for i, lead in enumerate(lead_ids):
                if lead in self._end or lead in self._ends:
                    end = self._end.get(lead, lead)
                    found[i] = self._number.setdefault(end, int(found[i]))
        return found


_EVER = -(2**63)
NO_FAMILIES = Families()
NOTHING_MERGED = Merged({})


_LOCK = 7_205_002
"""The advisory lock's number on PostgreSQL, beside that of `features.store.consent`."""


def one_after_the_other(connection: Connection) -> None:
    """Let nobody else record merges until this is over: what is taken back must be there to be seen."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))


def record_merges(connection: Connection, given: Sequence[Merge], now: int) -> IngestReport:
    """Write merges of leads that are there, and what takes them back; again, it changes nothing.

    How deals close the leads follows with `features.store.recording.record_merged`.
    """
    in_step(connection)
    keys = lead_keys(connection, {name for one in given for name in named_in(one)})
    problems = {i: found for i, one in enumerate(given) if (found := _problems(one, i, keys, now))}
    known = known_merges(connection, None)
    rows = [
        {
            "lead": keys[one.lead],
            "survivor": keys[one.survivor or one.lead],
            "recorded_at": one.recorded_at,
            "source": one.source,
        }
        for i, one in enumerate(given)
        if i not in problems and not _is_said(known, keys, one, now)
    ]
    added = insert_ignoring(connection, merges, rows)
    return IngestReport(added, len(given) - len(problems) - added, problems)


def named_in(one: Merge) -> tuple[str, ...]:
    """The leads that a merge is about."""
    return (one.lead,) if one.survivor is None else (one.lead, one.survivor)


def known_merges(connection: Connection, until: int | None) -> Merged:
    """The merges recorded before an instant; all of them without one."""
    rows = _told(connection, until)
    return _without_rings(rows) if rows else NOTHING_MERGED


def known_families(connection: Connection, until: int | None) -> Families:
    """The same by external ids, and as it was known at any instant before."""
    rows = _told(connection, until)
    named = {key for _, lead, survivor in rows for key in (lead, survivor)}
    return Families(tuple(rows), names_of(connection, named)) if rows else NO_FAMILIES


def merges_told(connection: Connection, until: int) -> list[Merge]:
    """What was recorded before an instant, oldest first, of leads that may be scored."""
    rows = _told(connection, until)
    named = names_of(connection, {key for _, *pair in rows for key in pair}, scored=True)
    query = select(merges).where(merges.c.recorded_at < until)
    return [
        Merge(
            lead=named[row.lead],
            survivor=None if row.survivor == row.lead else named[row.survivor],
            recorded_at=row.recorded_at,
            source=row.source,
        )
        for row in connection.execute(query.order_by(merges.c.recorded_at, merges.c.id))
        if row.lead in named and row.survivor in named
    ]


def _told(connection: Connection, until: int | None) -> list[tuple[int, int, int]]:
    query = select(merges.c.recorded_at, merges.c.lead, merges.c.survivor)
    if until is not None:
        query = query.where(merges.c.recorded_at < until)
    return [(row.recorded_at, row.lead, row.survivor) for row in connection.execute(query)]


def _without_rings(rows: Iterable[tuple[int, int, int]]) -> Merged:
    """What merges mean together, first recorded first; of one instant, what takes them back last."""
    into: dict[int, tuple[int, int]] = {}
    apart: set[int] = set()
    for recorded_at, lead, survivor in sorted(
        rows, key=lambda row: (row[0], row[1] == row[2], row)
    ):
        if lead == survivor:
            into.pop(lead, None)
            apart.add(lead)
            continue
        end = survivor
        while end in into:
            end = into[end][0]
        if lead not in into and end != lead:
            into[lead] = survivor, recorded_at
            apart.discard(lead)
    return Merged(into, frozenset(apart))


def _is_said(known: Merged, keys: Mapping[str, int], one: Merge, now: int) -> bool:
    """Whether a merge recorded now says only what is known already."""
    step = known.into.get(keys[one.lead])
    if one.survivor is None:
        return one.recorded_at == now and step is None and keys[one.lead] in known.apart
    return one.recorded_at == now and step is not None and step[0] == keys[one.survivor]


def _problems(one: Merge, i: int, keys: Mapping[str, int], now: int) -> list[Problem]:
    wrong = {
        "lead": None if one.lead in keys else NO_SUCH_LEAD,
        "survivor": None if (one.survivor or one.lead) in keys else NO_SUCH_LEAD,
        "recorded_at": instant_problem(one.recorded_at, now),
        "source": text_problem(one.source, LONGEST_SOURCE),
    }
    if one.lead == one.survivor:
        wrong["survivor"] = "a lead cannot become part of itself; null takes a merge back"
    return [
        Problem(f"merge {i + 1}", field, shown(getattr(one, field)), message)
        for field, message in wrong.items()
        if message
    ]


def names_of(
    connection: Connection, keys: Collection[int], *, scored: bool = False
) -> dict[int, str]:
    """External ids of leads, by our keys; of those alone that may be scored, if that is asked for."""
    query = select(leads.c.id, leads.c.external_id)
    if scored:
        query = query.where(~leads.c.do_not_score)
    return {
        row.id: row.external_id
        for chunk in chunks(sorted(keys))
        for row in connection.execute(query.where(leads.c.id.in_(chunk)))
    }


def parts_of(connection: Connection, lead: int | None) -> list[str]:
    """External ids of the leads that became part of this one, by our key."""
    if lead is None:
        return []
    parts = known_merges(connection, None).parts([lead])
    return sorted(names_of(connection, parts).values())


def forget_merges(connection: Connection, lead: int | None) -> None:
    """Delete what says that a lead became part of another, or another of it."""
    of_lead = or_(merges.c.lead == lead, merges.c.survivor == lead)
    connection.execute(merges.delete().where(of_lead))
