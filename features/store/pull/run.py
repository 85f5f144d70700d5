"""What has become of our leads since we last asked? Pages are fetched and written, each as a whole.

Rules: a page and how far it brought us are one transaction, so that a pull that is killed goes on where
it stopped; every pull begins a little before its watermark (`overlap_minutes`), because clocks and
commits of others are late; rows that come again change nothing. One bad row spoils nothing: it is told.
A deal whose lead is not here yet waits for it; one of an erased lead is told, and kept nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from features.clock import MINUTE, iso
from features.definition import Definition
from features.errors import Problem, SourceError, shown
from features.store.consent import ERASED, erased, in_step
from features.store.engine import Connection, Store
from features.store.ingest import lead_keys
from features.store.outcomes import Deal, last_said, said_alike
from features.store.pull.config import SourceConfig, Sql
from features.store.pull.mapping import Reader, Told
from features.store.pull.rest import RestSource
from features.store.pull.source import OutcomeSource, Page
from features.store.pull.sql import SqlSource
from features.store.pull.watermarks import (
    Watermark,
    keep_waiting,
    set_watermark,
    stop_waiting,
    watermark,
    who_waits,
)
from features.store.recording import record_deals, record_merged

_MOST_TOLD = 1_000
"""Problems that are kept; the others are counted."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """What a pull did.

    Attributes:
        source: its name.
        pages: how many were read.
        rows: how many rows they held.
        added: deals, revisions and merges that were new.
        unchanged: rows that said what was known.
        waiting: deals whose leads are not here yet.
        rejected: rows with problems; `problems` tells of the first thousand.
        through: all that changed before this instant is here; None: nothing was read to the end yet.
    """

    source: str
    pages: int = 0
    rows: int = 0
    added: int = 0
    unchanged: int = 0
    waiting: int = 0
    rejected: int = 0
    problems: tuple[Problem, ...] = ()
    through: int | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain data; problems name rows by the id at the source."""
        return {
            **{name: getattr(self, name) for name in _COUNTS},
            "through": None if self.through is None else iso(self.through),
            "problems": [problem.to_json() for problem in self.problems],
        }


_COUNTS = ("source", "pages", "rows", "added", "unchanged", "waiting", "rejected")


@dataclass
class _Pull:
    """A pull that is under way."""

    definition: Definition
    config: SourceConfig
    now: int
    found: Pulled
    problems: list[Problem] = field(default_factory=list)

    def write(self, connection: Connection, told: Told) -> None:
        """Write what rows say, and what waited for leads that are here by now."""
        in_step(connection)  # or a lead could be erased between the question and the writing
        waited = who_waits(connection, self.config.name)
        keys = lead_keys(connection, {deal.lead for deal in (*told.deals, *waited)})
        gone = _without_erased(connection, [*told.deals, *waited], keys)
        late = [deal for deal in told.deals if deal.lead not in keys.keys() | gone]
        fresh = {(deal.source, deal.external_id) for deal in told.deals}
        ready = [d for d in waited if d.lead in keys and (d.source, d.external_id) not in fresh]
        here = [deal for deal in told.deals if deal.lead in keys]
        if done := [*ready, *here, *told.reopened]:
            stop_waiting(connection, done)
        keep_waiting(connection, late, self.now)
        known = last_said(connection, [*ready, *here, *told.reopened])
        new = [deal for deal in (*ready, *here) if not said_alike(deal, known)]
        new += [_annulled(deal, known, self.now) for deal in told.reopened if _stands(deal, known)]
        report = record_deals(connection, new, self.definition, self.now)
        merged = record_merged(connection, told.merges, self.definition, self.now)
        bad = [*told.problems, *(_of_erased(deal) for deal in told.deals if deal.lead in gone)]
        problems = [*bad, *_flat(report.problems), *_flat(merged.problems)]
        self.problems += problems[: _MOST_TOLD - len(self.problems)]
        added = report.added + merged.added
        wrong = len({p.where for p in bad}) + len(report.problems) + len(merged.problems)
        self.found = replace(
            self.found,
            added=self.found.added + added,
            unchanged=self.found.unchanged + len(done) + len(told.merges) - added
            - len(report.problems) - len(merged.problems),
            waiting=self.found.waiting + len(late),
            rejected=self.found.rejected + wrong,
            problems=tuple(self.problems),
        )  # fmt: skip


def open_source(config: SourceConfig, environment: Mapping[str, str]) -> OutcomeSource:
    """The source that a configuration describes.

    Raises:
        SourceError: a variable that it names is not set, or holds nothing that can be used.
    """
    if isinstance(config.how, Sql):
        return SqlSource(config, environment)
    return RestSource(config, environment)


def pull_outcomes(
    store: Store,
    source: OutcomeSource,
    *,
    definition: Definition,
    now: int,
    dry_run: bool = False,
) -> Pulled:
    """Fetch what changed since the last pull, and write it; doing it again changes nothing.

    Args:
        store: where deals are written and how far each source was read is kept.
        source: what is asked.
        definition: what is agreed on.
        now: the present instant, at which we learn of what is new.
        dry_run: whether to fetch and read everything and to write nothing, the watermark included.

    Returns:
        What came, and what became of it.

    Raises:
        SourceError: the source fails; the pages before that are written, and the next pull goes on.
    """
    name = source.config.name
    with store.read() as connection:
        mark = watermark(connection, name)
    pull = _Pull(definition, source.config, now, Pulled(name, through=mark.through))
    began = mark.began if mark.page is not None and mark.began is not None else now
    mark = replace(mark, began=began)
    for page in _pages(source, mark):
        told = Reader(source.config, now)(list(page.rows))
        pull.found = replace(
            pull.found, pages=pull.found.pages + 1, rows=pull.found.rows + len(page.rows)
        )
        mark = _further(mark, page)
        if dry_run:
            pull.found = _read_only(pull.found, told)
            continue
        with store.write() as connection:
            pull.write(connection, told)
            set_watermark(connection, name, mark)
    if not dry_run:
        # Even a pull that found nothing lets in what has waited for its lead.
        mark = Watermark(_end(source, mark), finished_at=now)
        with store.write() as connection:
            pull.write(connection, Told((), (), (), ()))
            set_watermark(connection, name, mark)
        pull.found = replace(pull.found, through=mark.through)
    return pull.found


def _pages(source: OutcomeSource, mark: Watermark) -> Any:
    """The pages from the watermark on; from the beginning where the place is no longer known."""
    overlap = round(source.config.how.overlap_minutes * MINUTE)
    since = None if mark.through is None else mark.through - overlap
    if mark.page is None:
        yield from source.pages(since)
        return
    first = source.pages(since, mark.page)
    try:
        page = next(first, None)
    except SourceError:
        yield from source.pages(since)
        return
    if page is not None:
        yield page
        yield from first


def _further(mark: Watermark, page: Page) -> Watermark:
    """How far we are after a page."""
    through = mark.through
    if page.through is not None:
        through = page.through if through is None else max(through, page.through)
    return replace(mark, through=through, page=page.next)


def _end(source: OutcomeSource, mark: Watermark) -> int | None:
    """How far a whole pull brought us: to its beginning, where pages do not say it themselves."""
    return mark.through if source.config.how.is_in_order else mark.began


def _read_only(found: Pulled, told: Told) -> Pulled:
    rejected = found.rejected + len({problem.where for problem in told.problems})
    problems = (*found.problems, *told.problems)[:_MOST_TOLD]
    return replace(found, rejected=rejected, problems=problems)


def _stands(deal: Deal, known: Mapping[tuple[str, str], Deal]) -> bool:
    """Whether a deal that is open at its source is one that ended, as far as we know."""
    here = known.get((deal.source, str(deal.external_id)))
    return here is not None and here.ending != "void"


def _annulled(deal: Deal, known: Mapping[tuple[str, str], Deal], now: int) -> Deal:
    """The revision by which a deal that ended has not."""
    here = known[deal.source, str(deal.external_id)]
    recorded = max(deal.recorded_at, here.recorded_at + 1)
    return replace(here, ending="void", recorded_at=min(recorded, now))


def _without_erased(
    connection: Connection, given: Sequence[Deal], keys: Mapping[str, int]
) -> set[str]:
    """Which leads of these deals were erased; nothing of them waits any more."""
    gone = erased(connection, {deal.lead for deal in given} - keys.keys())
    # Older versions let them wait; and what waits may be told anew as an erased lead's.
    stop_waiting(connection, [deal for deal in given if deal.lead in gone])
    return gone


def _of_erased(deal: Deal) -> Problem:
    """Why a deal of an erased lead is left out, without the lead's id."""
    return Problem(f"{deal.source} {shown(deal.external_id)}", "lead", "", ERASED)


def _flat(problems: Mapping[int, Sequence[Problem]]) -> list[Problem]:
    return [problem for i in sorted(problems) for problem in problems[i]]
