"""Is a person's will done by every address: erased, or not scored?"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from agreed import NOW
from models_made import lead_id
from served import Served, sign_in
from sqlalchemy import select

from features.clock import DAY, SECOND, iso
from features.store.audit import links, verify
from features.store.backup import back_up
from features.store.ledger import scores
from features.store.remembered import restore_without_erased
from features.store.schema import metadata
from features.store.tombstone_file import FILE, read
from serving import scoring
from serving.doctor import examine
from serving.once import HEADER

LEAD = "Xaverine-Quxenbach"
NAME = "Zyprian Quxenbach"


def bring_in(served: Served) -> None:
    """A lead with everything that can be said of one, scored in every way, some under keys."""
    put = {"name": NAME, "owner": "anna", "attributes": {"city": NAME}}
    served.put(f"/v1/leads/{LEAD}", json=put, headers={HEADER: f"put {LEAD}"})
    at = iso(NOW - DAY)
    served.post("/v1/events", json=[{"lead": LEAD, "kind": "visit", "occurred_at": at}])
    deal = {"lead": LEAD, "ending": "lost", "occurred_at": at, "reason": NAME}
    served.post("/v1/deals", json=[deal])
    served.clock.now += SECOND
    served.get(f"/v1/leads/{LEAD}/score")
    served.post("/v1/scores", json={"lead": LEAD}, headers={HEADER: "score"})
    given = {"lead": LEAD, "attributes": {"city": NAME}}
    served.post("/v1/scores/batch", json={"leads": [given]}, headers={HEADER: "batch"})


def everything(served: Served) -> str:
    with served.store.read() as connection:
        return "\n".join(
            str(tuple(row))
            for table in metadata.sorted_tables
            for row in connection.execute(select(table))
        )


def test_an_erased_person_is_in_no_table_and_does_not_come_back(served: Served) -> None:
    bring_in(served)
    assert NAME in everything(served)
    done = served.call("DELETE", f"/v1/leads/{LEAD}")
    assert done.status_code == 200
    assert done.json()["scores"] >= 4
    assert done.json()["replies"] == 3
    assert "Quxenbach" not in everything(served)
    for answer in (
        served.put(f"/v1/leads/{LEAD}", json={"owner": "anna"}),
        served.post(
            "/v1/events", json=[{"lead": LEAD, "kind": "visit", "occurred_at": iso(NOW - DAY)}]
        ),
        served.post(
            "/v1/deals", json=[{"lead": LEAD, "ending": "won", "occurred_at": iso(NOW - DAY)}]
        ),
    ):
        assert answer.status_code == 422
        assert answer.json()["problems"][0]["message"].startswith("erased:")
    assert served.get(f"/v1/leads/{LEAD}").status_code == 404
    assert served.post("/v1/scores", json={"lead": LEAD}).status_code == 404
    given = {"lead": LEAD, "attributes": {"city": NAME}}
    assert served.post("/v1/scores", json=given).status_code == 409
    assert "Quxenbach" not in everything(served)
    assert not any(served.call("DELETE", f"/v1/leads/{LEAD}").json().values())
    assert served.call("DELETE", "/v1/leads/nobody").status_code == 404


def test_not_one_byte_of_the_name_is_left_under_the_data_directory(served_lite: Served) -> None:
    home = served_lite.workspace.data_dir
    rejects = home / "rejects" / "leads.csv.rejects.csv"
    rejects.parent.mkdir()
    rejects.write_text(f"line,problems,id,name\n2,bad,{LEAD},{NAME}\n", encoding="utf-8")
    bring_in(served_lite)
    done = served_lite.call("DELETE", f"/v1/leads/{LEAD}")
    assert done.json()["rejected_rows"] == 1
    found = [p for p in sorted(home.rglob("*")) if p.is_file() and b"Quxenbach" in p.read_bytes()]
    assert found == []
    assert Path(str(served_lite.store.url.database)).stat().st_size > 0


def test_the_answer_names_the_copies_that_may_still_hold_the_person(served_lite: Served) -> None:
    backups = served_lite.workspace.backups
    bring_in(served_lite)
    for day in ("2026-04-28", "2026-05-01"):
        back_up(served_lite.store, served_lite.workspace.definition_path, backups / day)
    done = served_lite.call("DELETE", f"/v1/leads/{LEAD}")
    assert done.json()["backups"] == [
        {"day": "2026-04-28", "goes": "2026-05-07"},
        {"day": "2026-05-01", "goes": "2026-05-08"},
    ]
    restore_without_erased(
        backups / "2026-05-01",
        backups.parent / "again.db",
        backups.parent / "definition.yaml",
        backups,
        by="admin",
        now=NOW,
    )
    assert b"Quxenbach" in (backups / "2026-05-01" / "propensity.db").read_bytes()
    assert b"Quxenbach" not in (backups.parent / "again.db").read_bytes()
    shutil.rmtree(backups / "2026-05-01")
    again = served_lite.call("DELETE", f"/v1/leads/{LEAD}")
    assert again.json()["backups"] == [{"day": "2026-04-28", "goes": "2026-05-07"}]


@pytest.mark.parametrize(
    "content", ['{"format": 1, "secret": "f", "erased": {"a": 1}}', "no JSON", "[" * 100_000]
)
def test_a_file_that_is_not_ours_keeps_no_erasure_from_being_done_and_answered_so(
    served: Served, content: str
) -> None:
    bring_in(served)
    backups = served.workspace.backups
    backups.mkdir()
    (backups / FILE).write_text(content, encoding="utf-8")
    done = served.call("DELETE", f"/v1/leads/{LEAD}")
    assert (done.status_code, done.json()["set_aside"]) == (200, "erased.aside-1.json")
    assert (backups / "erased.aside-1.json").read_text(encoding="utf-8") == content
    assert len(read(backups / FILE).erased_at) == 1
    told = {one.said: one.state for one in examine(served.workspace) if one.part == "erasures"}
    assert list(told.values()) == ["warning"]
    assert "erased.aside-1.json" in str(told)
    again = served.call("DELETE", f"/v1/leads/{LEAD}")
    assert (again.status_code, again.json()["set_aside"]) == (200, None)


def test_what_a_restore_needs_to_know_must_be_written_or_the_erasure_is_not_done(
    served_lite: Served,
) -> None:
    bring_in(served_lite)
    in_the_way = served_lite.workspace.backups
    in_the_way.write_text("no directory", encoding="utf-8")
    assert served_lite.call("DELETE", f"/v1/leads/{LEAD}").status_code == 503
    in_the_way.unlink()
    assert served_lite.call("DELETE", f"/v1/leads/{LEAD}").status_code == 200
    assert len(read(in_the_way / FILE).erased_at) == 1


def test_erasing_is_for_admins_and_is_in_the_audit_log_without_the_id(served_lite: Served) -> None:
    bring_in(served_lite)
    for role in ("crm", "analyst", "rep"):
        assert served_lite.call("DELETE", f"/v1/leads/{LEAD}", role).status_code == 403
    served_lite.call("DELETE", f"/v1/leads/{LEAD}")
    with served_lite.store.read() as connection:
        assert verify(connection).problems == ()
        last = list(links(connection))[-1].entry
    assert (last.actor, last.action) == ("admin", "lead_erased")


def object_to(served: Served, lead: str, objects: bool = True) -> None:
    answer = served.put(f"/v1/leads/{lead}/do-not-score", json={"do_not_score": objects})
    assert answer.status_code == 200


def test_an_objectors_scores_are_shown_to_an_admin_alone(served: Served) -> None:
    lead = lead_id(0)  # anna's, and so is the rep's key
    served.get(f"/v1/leads/{lead}/score")
    assert served.get(f"/v1/leads/{lead}/scores", "rep").status_code == 200
    object_to(served, lead)
    shown = {
        role: served.get(f"/v1/leads/{lead}/scores", role).status_code
        for role in ("crm", "analyst", "rep", "admin")
    }
    assert shown == {"crm": 409, "analyst": 409, "rep": 409, "admin": 200}
    for part in ("score", "questions", "changes"):
        assert served.get(f"/v1/leads/{lead}/{part}").status_code == 409, part
    assert served.post("/v1/scores", json={"lead": lead}).status_code == 409
    given = {"lead": lead, "attributes": {"city": "Bonn"}}
    assert served.post("/v1/scores", json=given).status_code == 409
    object_to(served, lead, objects=False)
    assert served.get(f"/v1/leads/{lead}/scores", "rep").status_code == 200


def test_a_score_given_before_an_objection_is_not_given_again(served: Served) -> None:
    lead, at = lead_id(0), iso(NOW - DAY)
    asked = {
        "one": ("/v1/scores", {"lead": lead}),
        "many": ("/v1/scores/batch", {"leads": [{"lead": lead}, {"lead": lead_id(1)}]}),
        "fact": ("/v1/events", [{"lead": lead, "kind": "visit", "occurred_at": at}]),
    }

    def again(name: str) -> Any:
        path, body = asked[name]
        return served.post(path, json=body, headers={HEADER: name})

    assert [again(name).status_code for name in asked] == [200, 200, 200]
    served.put(
        f"/v1/leads/{lead}/do-not-score", json={"do_not_score": True}, headers={HEADER: "object"}
    )
    assert again("one").status_code == 409
    many = again("many").json()
    assert (many["scored"], many["refused"]) == (1, 1)
    assert again("fact").json()["unchanged"] == 1


def test_an_objector_is_on_no_page_with_a_score_and_in_no_queue(served_lite: Served) -> None:
    lead = lead_id(0)
    probability = served_lite.get(f"/v1/leads/{lead}/score").json()["probability"]
    object_to(served_lite, lead)
    rows = served_lite.get("/v1/queue?limit=500").json()["rows"]
    assert lead not in {row["lead"] for row in rows}
    token, _ = sign_in(served_lite, "boss", "admin")
    page = served_lite.client.get(
        f"/leads/{lead}", headers={"cookie": f"propensity_session={token}"}
    )
    assert page.status_code == 200
    assert f"{probability:.0%}" not in page.text.replace("\u202f", "").replace("&nbsp;", "")


@pytest.mark.parametrize("erases", [False, True])
def test_a_score_under_way_is_neither_given_nor_kept_when_its_person_wants_none(
    served: Served, monkeypatch: pytest.MonkeyPatch, erases: bool
) -> None:
    """Between reading the facts and writing the ledger the person objects, or is erased."""
    lead, submit = lead_id(0), scoring.submit

    def meanwhile(*given: Any) -> Any:
        if erases:
            served.call("DELETE", f"/v1/leads/{lead}")
        else:
            object_to(served, lead)
        return submit(*given)

    monkeypatch.setattr(scoring, "submit", meanwhile)
    assert served.get(f"/v1/leads/{lead}/score").status_code == 409
    with served.store.read() as connection:
        query = select(scores).where(scores.c.lead_id == lead)
        assert connection.execute(query).all() == []


def test_an_objection_and_its_end_are_in_the_audit_log(served_lite: Served) -> None:
    object_to(served_lite, "L-0001")
    object_to(served_lite, "L-0001", objects=False)
    with served_lite.store.read() as connection:
        found = [link.entry for link in links(connection)]
    assert [entry.action for entry in found[-2:]] == ["objection_noted", "objection_withdrawn"]
    assert "L-0001" not in str(found)


def test_rejected_rows_that_cannot_be_rewritten_are_told_and_the_erasure_can_be_repeated(
    served_lite: Served,
) -> None:
    bring_in(served_lite)
    in_the_way = served_lite.workspace.data_dir / "rejects" / "leads.csv.rejects.csv"
    in_the_way.mkdir(parents=True)
    refused = served_lite.call("DELETE", f"/v1/leads/{LEAD}", headers={HEADER: "erase"})
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert "Quxenbach" not in everything(served_lite)
    in_the_way.rmdir()
    again = served_lite.call("DELETE", f"/v1/leads/{LEAD}", headers={HEADER: "erase"})
    assert again.status_code == 200
