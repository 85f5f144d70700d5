"""Can a person be erased, missed outcomes found, senders let in and the log checked from the shell?"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from agreed import DEFINITION_TEXT, NOW
from models_made import fill, promote, put_bundle
from shell import Run, said, shell
from sqlalchemy import select, update

from features.clock import SECOND
from features.errors import InputError, NotFoundError
from features.store.audit import log
from features.store.consent import ERASED
from features.store.engine import Store
from features.store.files.load import load
from features.store.ingest import set_do_not_score
from features.store.outcomes import deals
from features.store.webhooks import is_signed, secrets_of, signature
from models.workspace import Workspace
from propensity import app

MAPPING = """
sources:
  - {file: leads.csv, lead: id, opened_at: opened, name: name}
  - file: deals.csv
    lead: lead
    outcome: {column: status, won: [won], lost: [lost], at: closed, id: deal}
"""
LEADS_CSV = "id,opened,name\nA-1,2026-02-01,Zyprian Quxenbach\nA-2,2026-02-02,Bo\n"
DEALS_CSV = "deal,lead,status,closed\nd1,A-1,won,2026-03-01\nd2,A-2,won,2026-03-02\n"


@pytest.fixture
def home(tmp_path: Path, sqlite_store: Store) -> Path:
    """A data directory with a definition, two imported leads and one deal."""
    (tmp_path / "definition.yaml").write_text(DEFINITION_TEXT + MAPPING, encoding="utf-8")
    (tmp_path / "leads.csv").write_text(LEADS_CSV, encoding="utf-8")
    (tmp_path / "deals.csv").write_text("deal,lead,status,closed\n", encoding="utf-8")
    workspace = Workspace.of({"PROPENSITY_DATA_DIR": str(tmp_path)})
    load(
        sqlite_store,
        workspace.definition(),
        now=NOW,
        rejects=tmp_path / "rejects",
        directory=tmp_path,
    )
    (tmp_path / "deals.csv").write_text(DEALS_CSV, encoding="utf-8")
    return tmp_path


@pytest.fixture
def run(home: Path) -> Run:
    """Runs a command in that installation."""
    return shell(app, home)


def test_an_erased_person_is_in_no_file_of_the_installation_and_is_not_imported_again(
    run: Run, home: Path
) -> None:
    """Only the export itself still names the person: it is not ours."""
    (home / "leads.csv").rename(home.parent / "leads.csv")
    assert any(b"Quxenbach" in path.read_bytes() for path in home.glob("propensity.db*"))
    done = said(run("erase", "A-1", "--yes", "--json"))
    assert done["lead_versions"] == 1
    left = [p for p in home.rglob("*") if p.is_file() and b"Quxenbach" in p.read_bytes()]
    assert left == []
    (home.parent / "leads.csv").rename(home / "leads.csv")
    again = said(run("import", "--json"))
    counts = {one["file"]: (one["added"], one["rejected"]) for one in again["files"]}
    assert counts["leads.csv"] == (0, 1)
    causes = [cause["message"] for one in again["files"] for cause in one["problem_counts"]]
    assert set(causes) == {ERASED}
    # Refused rows go into files of rejects, but not those of an erased person.
    assert not list((home / "rejects").glob("leads*"))
    assert "nothing was left" in run("erase", "A-1", "--yes", "--no-vacuum").stdout
    with pytest.raises(NotFoundError):
        run("erase", "nobody", "--yes")


def test_a_person_does_not_come_back_with_a_backup(run: Run, home: Path) -> None:
    copy, database = home / "backups" / "2026-05-01", home / "propensity.db"
    run("backup", str(copy))
    erased = run("erase", "A-1", "--yes", "--json")
    (told,) = said(erased)["backups"]
    assert told["day"] == "2026-05-01"
    assert (
        f"The backup of 2026-05-01 may still hold it; with one a day it goes on {told['goes']}"
        in (erased.stderr)
    )
    _away(database)
    done = said(run("restore", str(copy), "--json"))
    assert done == {"database": str(database), "erased_again": 1}
    assert b"Quxenbach" in (copy / "propensity.db").read_bytes()
    assert b"Quxenbach" not in database.read_bytes()
    assert run("audit", "verify").exit_code == 0
    counts = {one["file"]: one["rejected"] for one in said(run("import", "--json"))["files"]}
    assert counts["leads.csv"] == 1


def test_after_a_restore_by_hand_the_doctor_says_who_must_be_erased_again(
    run: Run, home: Path
) -> None:
    database = home / "propensity.db"
    run("backup", str(home / "safe"))
    run("erase", "A-1", "--yes")
    assert "erasures" not in [one["part"] for one in _examined(run)]
    _away(database)
    shutil.copy(home / "safe" / "propensity.db", database)
    (found,) = [one for one in _examined(run) if one["part"] == "erasures"]
    assert (found["state"], found["hint"]) == ("broken", "Run `propensity erase-again`.")
    assert said(run("erase-again", "--json")) == {"erased_again": 1}
    assert "0 leads" in run("erase-again", str(home / "backups" / "erased.json")).stdout
    assert "erasures" not in [one["part"] for one in _examined(run)]
    assert b"Quxenbach" not in database.read_bytes()
    with pytest.raises(NotFoundError, match="nothing is remembered"):
        run("erase-again", str(home / "none.json"))


def _away(database: Path) -> None:
    for path in database.parent.glob(f"{database.name}*"):
        path.unlink()


def _examined(run: Run) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(run("doctor", "--json").stdout)["findings"]
    return found


def test_an_erasure_asks_first(run: Run, sqlite_store: Store) -> None:
    assert run("erase", "A-2", input="n\n").exit_code == 1
    assert "erased: " in run("erase", "A-2", input="y\n").stdout


def test_missed_outcomes_are_found_and_written_when_asked_to(
    run: Run, home: Path, sqlite_store: Store
) -> None:
    found = said(run("reconcile", str(home / "deals.csv"), "--json"))
    assert [one["external_id"] for one in found["missing"]] == ["d1", "d2"]
    assert (found["added"], found["applied"]) == (0, False)
    with sqlite_store.read() as connection:
        assert connection.execute(select(deals)).all() == []
    assert "--apply does" in run("reconcile", str(home / "deals.csv")).stdout
    done = said(run("reconcile", str(home / "deals.csv"), "--apply", "--json"))
    assert done["added"] == 2
    assert said(run("reconcile", str(home / "deals.csv"), "--json"))["same"] == 2
    # An import of the same file finds nothing new: both name deals alike.
    again = said(run("import", "--json"))
    assert [one["added"] for one in again["files"] if one["file"] == "deals.csv"] == [0]
    under = said(run("reconcile", str(home / "deals.csv"), "--source", "crm", "--json"))
    assert len(under["missing"]) == 2
    with pytest.raises(InputError, match="no source of outcomes"):
        run("reconcile", str(home / "leads.csv"))


def test_a_sender_is_let_in_given_a_new_secret_and_let_in_no_more(
    run: Run, sqlite_store: Store
) -> None:
    def good(secret: str) -> bool:
        import time

        now = time.time_ns() // 1_000
        sent = str(now // SECOND)
        with sqlite_store.read() as connection:
            known = secrets_of(connection, "crm", now)
        return is_signed(known, "m", sent, signature(secret, "m", sent, b""), b"", now)

    first = said(run("webhooks", "add", "crm", "--json"))["secret"]
    second = said(run("webhooks", "rotate", "crm", "--json"))["secret"]
    assert good(first)
    assert good(second)
    third = run("webhooks", "rotate", "crm", "--overlap-hours", "0").stdout.splitlines()[0]
    assert (good(first), good(second), good(third)) == (False, False, True)
    own = "whsec_" + "A" * 44
    said(run("webhooks", "rotate", "crm", "--secret-stdin", "--json", input=f"{own}\n"))
    assert good(own)
    listed = run("webhooks", "list").stdout
    assert "crm" in listed
    assert "whsec" not in listed
    assert len(said(run("webhooks", "list", "--json"))["senders"]) == 4
    assert run("webhooks", "revoke", "crm").exit_code == 0
    assert not good(own)


def test_what_is_done_on_the_shell_is_in_the_log_and_the_log_can_be_checked(
    run: Run, sqlite_store: Store
) -> None:
    run("keys", "create", "crm-1")
    run("keys", "revoke", "crm-1")
    run("users", "set", "anna", "--password-stdin", input="long enough a word\n")
    run("webhooks", "add", "crm")
    run("erase", "A-1", "--yes")
    shown = said(run("audit", "show", "--json"))["entries"]
    assert [one["action"] for one in shown] == [
        "key_created",
        "key_revoked",
        "user_set",
        "webhook_added",
        "lead_erased",
    ]
    assert "long enough" not in json.dumps(shown)
    assert "A-1" not in json.dumps(shown)
    assert len(said(run("audit", "show", "--after", "3", "--json"))["entries"]) == 2
    assert "webhook_added" in run("audit", "show").stdout
    whole = said(run("audit", "verify", "--json"))
    assert (whole["whole"], whole["entries"]) == (True, 5)
    noted = shown[2]["hash"]
    assert run("audit", "verify", "--expect", noted).exit_code == 0
    assert run("audit", "verify", "--expect", "f" * 64).exit_code == 1
    with sqlite_store.write() as connection:
        connection.execute(update(log).where(log.c.number == 2).values(actor="nobody"))
    broken = run("audit", "verify", "--json")
    assert broken.exit_code == 1
    assert json.loads(broken.stdout)["problems"] == ["entry 2: is not as it was written"]


def test_an_export_of_scores_leaves_out_objectors_and_is_in_the_log(
    run: Run, home: Path, sqlite_store: Store
) -> None:
    workspace = Workspace.of({"PROPENSITY_DATA_DIR": str(home)})
    fill(sqlite_store, workspace.definition())
    promote(workspace, put_bundle(workspace))
    with sqlite_store.write() as connection:
        set_do_not_score(connection, "L-0001", True)
    asked = home / "asked.csv"
    asked.write_text("lead\nL-0001\nL-0002\n", encoding="utf-8")
    done = said(run("score", str(asked), "--lead-column", "lead", "--json"))
    assert (done["rows"], done["scored"]) == (2, 1)
    assert list(done["refused"]) == ["this lead must not be scored: the person objected to it"]
    last = said(run("audit", "show", "--json"))["entries"][-1]
    assert (last["action"], last["detail"]) == ("scores_exported", {"rows": 2})
    workspace.store.close()
