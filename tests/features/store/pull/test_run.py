"""Does a pull write each outcome once, go on where it was killed, and let late leads catch up?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from agreed import NOW, agreed
from crm_server import Asked, Crm, Reply, crm
from sqlalchemy import create_engine, select, text
from stores import state

from features.clock import DAY, HOUR, iso, to_datetime
from features.errors import SourceError
from features.facts import LeadVersion
from features.store.audit import verify
from features.store.consent import ERASED
from features.store.engine import Store
from features.store.erasure import erase
from features.store.ingest import ingest
from features.store.outcomes import ENDINGS, Deal, load_outcomes
from features.store.pull.config import SourceConfig, parse_sources
from features.store.pull.http import Patience
from features.store.pull.rest import RestSource
from features.store.pull.run import Pulled, open_source, pull_outcomes
from features.store.pull.watermarks import keep_waiting, watermark, who_waits
from features.store.schema import metadata

AGREED = agreed()
LEADS = [f"L{i}" for i in range(8)]

SQL = """
format: 1
sources:
  crm:
    kind: sql
    url_env: CRM
    query: SELECT id, lead, stage, closed, amount, why, changed FROM crm_deals;
    changed: changed
    changed_as: {changed_as}
    timezone: Europe/Berlin
    page_rows: 3
    overlap_minutes: 60
    fields: {{id: id, lead: lead, ending: stage, closed_at: closed, amount: amount, reason: why}}
    endings: {{won: [Won], lost: [Lost], void: [Gone], open: [Open]}}
"""


def describe(store: Store, leads: list[str]) -> None:
    at = NOW - 60 * DAY
    versions = [LeadVersion(lead=lead, occurred_at=at, recorded_at=at) for lead in leads]
    with store.write() as connection:
        ingest(connection, versions, AGREED, NOW)


class Books:
    """A CRM's own database: a table of deals in SQLite or PostgreSQL, in Berlin's time."""

    def __init__(self, url: str, changed_as: str) -> None:
        self.config = parse_sources(SQL.format(changed_as=changed_as))["crm"]
        self.url, self.is_text = url, changed_as == "text"
        self.engine = create_engine(url)
        kind = "text" if self.is_text else "timestamp"
        with self.engine.begin() as connection:
            connection.execute(text("DROP TABLE IF EXISTS crm_deals"))
            connection.execute(
                text(
                    "CREATE TABLE crm_deals (id integer primary key, lead text, stage text, "
                    f"closed {kind}, amount float, why text, changed {kind})"
                )
            )

    def local(self, instant: int) -> object:
        zone = self.config.how.zone
        moment = to_datetime(instant).astimezone(zone).replace(tzinfo=None)
        return moment.strftime("%Y-%m-%d %H:%M:%S") if self.is_text else moment

    def put(self, id_: int, stage: str, changed: int, lead: str | None = None) -> None:
        row = {
            "id": id_,
            "lead": lead or f"L{id_}",
            "stage": stage,
            "closed": self.local(NOW - 9 * DAY),
            "amount": 10.0 * id_,
            "why": None,
            "changed": self.local(changed),
        }
        with self.engine.begin() as connection:
            connection.execute(text("DELETE FROM crm_deals WHERE id = :id"), row)
            connection.execute(
                text(
                    "INSERT INTO crm_deals VALUES (:id, :lead, :stage, :closed, :amount, :why, :changed)"
                ),
                row,
            )


@pytest.fixture(params=["sqlite", "postgresql"])
def books(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Books]:
    if request.param == "sqlite":
        made = Books(f"sqlite:///{tmp_path_factory.mktemp('crm') / 'crm.db'}", "text")
    else:
        url = request.getfixturevalue("postgres_database").render_as_string(hide_password=False)
        made = Books(url, "timestamp")
    yield made
    with made.engine.begin() as connection:
        connection.execute(text("DROP TABLE crm_deals"))
    made.engine.dispose()


def pull(store: Store, books: Books, now: int = NOW, **more: bool) -> Pulled:
    source = open_source(books.config, {"CRM": books.url})
    return pull_outcomes(store, source, definition=AGREED, now=now, **more)


def known(store: Store, before: int = NOW + DAY) -> dict[str, str]:
    with store.read() as connection:
        found = load_outcomes(connection, LEADS, before)
    return {
        LEADS[lead]: ENDINGS[ending]
        for lead, ending in zip(found.lead.tolist(), found.ending.tolist(), strict=True)
    }


def test_a_database_is_read_in_pages_once_and_then_only_what_changed(
    sqlite_store: Store, books: Books
) -> None:
    describe(sqlite_store, LEADS)
    for i in range(7):  # five of them at one instant, across the pages
        books.put(i, "Won" if i % 2 else "Lost", NOW - 5 * DAY if i < 5 else NOW - (7 - i) * DAY)
    first = pull(sqlite_store, books)
    assert (first.pages, first.rows, first.added, first.rejected) == (3, 7, 7, 0)
    assert first.through == NOW - DAY
    assert known(sqlite_store) == {f"L{i}": "won" if i % 2 else "lost" for i in range(7)}
    books.put(7, "Won", NOW - DAY - HOUR // 2)  # committed late: behind the watermark
    books.put(0, "Won", NOW - HOUR)
    again = pull(sqlite_store, books, NOW + HOUR)
    assert (again.rows, again.added, again.unchanged) == (3, 2, 1)
    third = pull(sqlite_store, books, NOW + 2 * HOUR)
    assert (third.added, third.through) == (0, NOW - HOUR)


def test_reopened_annulled_and_won_again_deals_end_as_they_were_last_told(
    store: Store, books: Books
) -> None:
    describe(store, LEADS)
    seen = []
    for turn, stage in enumerate(["Won", "Open", "Lost", "Gone", "Won"]):
        books.put(1, stage, NOW - DAY + turn * HOUR)
        done = pull(store, books, NOW - DAY + turn * HOUR)
        assert (done.added, done.rejected) == (1, 0)
        seen.append(known(store).get("L1"))
    assert seen == ["won", None, "lost", None, "won"]
    books.put(2, "Open", NOW)
    assert pull(store, books, NOW).added == 0


def test_one_bad_row_spoils_nothing_and_is_told(sqlite_store: Store, books: Books) -> None:
    describe(sqlite_store, LEADS)
    books.put(1, "Won", NOW - DAY)
    books.put(2, "Perhaps", NOW - DAY)
    books.put(3, "Lost", NOW - DAY)
    done = pull(sqlite_store, books)
    assert (done.added, done.rejected) == (2, 1)
    assert "must be one of" in str(done.problems[0])
    assert known(sqlite_store) == {"L1": "won", "L3": "lost"}


def test_a_deal_that_is_told_before_its_lead_waits_for_it(store: Store, books: Books) -> None:
    describe(store, LEADS[:1])
    books.put(5, "Won", NOW - DAY)
    assert pull(store, books).waiting == 1
    assert known(store) == {}
    describe(store, LEADS)
    done = pull(store, books, NOW + 9 * DAY)
    assert done.added == 1
    assert known(store, NOW + 10 * DAY) == {"L5": "won"}
    assert pull(store, books, NOW + 10 * DAY).added == 0


def test_a_dry_run_reads_everything_and_writes_nothing(sqlite_store: Store, books: Books) -> None:
    describe(sqlite_store, LEADS)
    books.put(1, "Won", NOW - DAY)
    books.put(2, "Perhaps", NOW - DAY)
    done = pull(sqlite_store, books, dry_run=True)
    assert (done.rows, done.added, done.rejected, done.through) == (2, 0, 1, None)
    assert known(sqlite_store) == {}
    with sqlite_store.read() as connection:
        assert watermark(connection, "crm").through is None


def test_the_crm_cannot_be_written_to_and_its_failure_tells_no_secret(
    sqlite_store: Store, books: Books
) -> None:
    how = books.config.how.model_copy(
        update={"query": "WITH x AS (SELECT 1) SELECT * FROM nowhere"}
    )
    source = open_source(books.config.model_copy(update={"how": how}), {"CRM": books.url})
    with pytest.raises(SourceError, match="crm: the database failed"):
        pull_outcomes(sqlite_store, source, definition=AGREED, now=NOW)
    with pytest.raises(SourceError, match="CRM is not set"):
        open_source(books.config, {})
    with pytest.raises(SourceError, match="cannot be used") as failure:
        open_source(books.config, {"CRM": "nothing://me:hunter2@x"})
    assert "hunter2" not in str(failure.value)


REST = """
format: 1
sources:
  hub:
    kind: rest
    url: {url}/deals
    private: true
    changed_param: since
    paging: {{kind: page}}
    fields: {{id: id, lead: lead, ending: stage, closed_at: closed}}
"""


def hub(server: Crm) -> SourceConfig:
    return parse_sources(REST.format(url=server.url))["hub"]


def two_a_page(asked: Asked) -> Reply:
    page = int(asked.query["page"]) - 1
    rows = [
        {"id": f"d{i}", "lead": f"L{i}", "stage": "won", "closed": iso(NOW - 3 * DAY)}
        for i in range(8)
    ]
    return Reply(rows[2 * page : 2 * page + 2])


def test_a_pull_that_was_killed_half_way_goes_on_and_ends_as_if_it_had_not_been(
    store: Store,
) -> None:
    describe(store, LEADS)
    with crm(two_a_page) as server:
        source = RestSource(hub(server), {}, Patience(1))
        server.replies = [two_a_page(Asked("", {"page": str(n)}, {}, None)) for n in (1, 2)]
        server.replies.append(Reply(status=500))
        with pytest.raises(SourceError, match="answers 500"):
            pull_outcomes(store, source, definition=AGREED, now=NOW)
        assert len(known(store)) == 4
        server.asked.clear()
        done = pull_outcomes(store, source, definition=AGREED, now=NOW + HOUR)
        assert server.asked[0].query["page"] == "3"
        assert (done.added, done.through) == (4, NOW)
        assert len(known(store)) == 8
        pull_outcomes(store, source, definition=AGREED, now=NOW + 2 * HOUR)
        assert server.asked[-1].query["since"] == iso(NOW - HOUR)


def test_a_place_that_the_source_has_forgotten_is_begun_anew(sqlite_store: Store) -> None:
    describe(sqlite_store, LEADS)
    with crm(two_a_page) as server:
        source = RestSource(hub(server), {}, Patience(1))
        server.replies = [two_a_page(Asked("", {"page": "1"}, {}, None)), Reply(status=500)]
        with pytest.raises(SourceError):
            pull_outcomes(sqlite_store, source, definition=AGREED, now=NOW)
        server.replies = [Reply(status=410)]
        done = pull_outcomes(sqlite_store, source, definition=AGREED, now=NOW + HOUR)
        assert (done.added, done.unchanged) == (6, 2)


def test_pulled_twice_from_the_beginning_nothing_is_there_twice(sqlite_store: Store) -> None:
    describe(sqlite_store, LEADS)
    with crm(two_a_page) as server:
        for at in (NOW, NOW + HOUR):
            source = RestSource(hub(server), {}, Patience(1))
            pull_outcomes(sqlite_store, source, definition=AGREED, now=at)
            with sqlite_store.read() as connection:
                kept = state(connection)["deals"]
            assert len(kept) == 8
    assert replace(Pulled("x"), rows=2).to_json()["rows"] == 2


PERSON = "Xaverine-Quxenbach"


def forget(store: Store, lead: str = PERSON) -> None:
    with store.write() as connection:
        erase(connection, lead, by="admin", now=NOW)


def everything(store: Store) -> str:
    """Every cell of every table."""
    with store.read() as connection:
        rows = [row for t in metadata.sorted_tables for row in connection.execute(select(t))]
    return "\n".join(str(tuple(row)) for row in rows)


def test_a_deal_of_an_erased_lead_is_told_and_written_nowhere(store: Store, books: Books) -> None:
    describe(store, [PERSON, "L1"])
    for id_, lead in ((4_711, PERSON), (1, "L1"), (2, "L2")):
        books.put(id_, "Won", NOW - DAY, lead=lead)
    forget(store)
    for _ in range(2):
        done = pull(store, books)
        assert (done.waiting, done.rejected) == (1, 1)
        (told,) = done.problems
        assert (told.field, told.value, told.message) == ("lead", "", ERASED)
        assert "4711" in told.where
        left = everything(store)
        assert PERSON not in left
        assert "4711" not in left
    assert known(store) == {"L1": "won"}


def test_what_older_versions_let_wait_of_an_erased_lead_goes_with_the_next_pull(
    store: Store, books: Books
) -> None:
    describe(store, [PERSON])
    forget(store)
    old = [
        Deal(
            lead=lead,
            ending="won",
            occurred_at=NOW - DAY,
            recorded_at=NOW - DAY,
            source="crm",
            external_id=f"d {lead}",
        )
        for lead in (PERSON, "L3")
    ]
    with store.write() as connection:
        keep_waiting(connection, old, NOW)
    assert PERSON in everything(store)
    pull(store, books)
    assert PERSON not in everything(store)
    with store.read() as connection:
        assert who_waits(connection, "crm") == old[1:]
        assert verify(connection).problems == ()
