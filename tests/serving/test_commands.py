"""Can an installation be set up, filled, looked at and used from the command line alone?"""

from __future__ import annotations

import csv
import json
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import structlog
from agreed import NOW
from models_made import CLOSED, LEADS, promote, put_bundle
from shell import Run, said, shell
from typer.testing import CliRunner

from features.errors import ConflictError, InputError, NoModelError, NotFoundError, StoreError
from features.store.access import prove
from features.store.engine import Store
from features.store.keys import caller_of_key
from features.store.ledger import read_queue
from models.workspace import Workspace
from serving.commands import app

HEAVY = (
    "lightgbm",
    "numba",
    "numpy",
    "sqlalchemy",
    "alembic",
    "fastapi",
    "uvicorn",
    "pandas",
    "mlflow",
)
MAPPING = """
sources:
  - file: leads.csv
    lead: id
    opened_at: opened
    owner: owner
    attributes: {industry: industry, city: city}
    answers: {pain: pain}
"""
LEADS_CSV = """\
id,opened,owner,industry,city,pain
A-1,2026-02-01,anna,Retail,Bonn,Severe
A-2,2026-02-02,ben,Mining,Bonn,Some
A-3,2026-02-03,anna,Software,Köln,
"""


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """Commands settle for a whole process how it logs; here other tests follow."""
    root, ours = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers, root.level
    yield
    structlog.configure(**ours)
    root.handlers, root.level = handlers, level


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A data directory with a definition and a file to import, and no database."""
    data = tmp_path / "var"
    data.mkdir()
    from agreed import DEFINITION_TEXT

    (data / "definition.yaml").write_text(DEFINITION_TEXT + MAPPING, encoding="utf-8")
    (data / "leads.csv").write_text(LEADS_CSV, encoding="utf-8")
    return data


@pytest.fixture
def run(home: Path) -> Run:
    """Runs a command in that installation."""
    return shell(app, home)


def workspace_of(home: Path) -> Workspace:
    return Workspace.of({"PROPENSITY_DATA_DIR": str(home)})


def test_help_answers_without_importing_anything_heavy() -> None:
    asked = f"import sys, serving.commands; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_command_explains_itself() -> None:
    for path in (
        [],
        ["db"],
        ["db", "upgrade"],
        ["doctor"],
        ["init"],
        ["import"],
        ["keys", "create"],
        ["keys", "list"],
        ["keys", "revoke"],
        ["users", "set"],
        ["score"],
        ["queue", "refresh"],
        ["serve"],
    ):
        result = CliRunner().invoke(app, [*path, "--help"])
        assert result.exit_code == 0
        assert "Usage" in result.output


def test_a_database_is_made_and_made_again(run: Run, home: Path) -> None:
    first, second = said(run("db", "upgrade", "--json")), said(run("db", "upgrade", "--json"))
    assert first == second
    assert (home / "propensity.db").exists()
    assert "revision" in run("db", "upgrade").stdout


def test_the_doctor_fails_for_what_is_broken_and_passes_for_what_is_not(
    run: Run, home: Path
) -> None:
    broken = run("doctor", "--json")
    assert broken.exit_code == 1
    assert json.loads(broken.stdout)["well"] is False
    run("db", "upgrade")
    assert said(run("doctor", "--json"))["well"] is True
    assert "champion" in run("doctor").stdout


def test_a_file_becomes_a_definition_and_its_facts(run: Run, home: Path, tmp_path: Path) -> None:
    def row(i: int) -> str:
        industry, ending = ["Retail", "Software"][i % 2], ["won", "lost"][i % 3 == 0]
        return f"X-{i},2026-0{1 + i % 4}-1{i % 9},{industry},{i},{ending}\n"

    data = tmp_path / "own.csv"
    data.write_text(
        "id,created,industry,size,outcome\n" + "".join(map(row, range(60))), encoding="utf-8"
    )
    with pytest.raises(ConflictError):
        run("init", str(data))
    written = home / "starter.yaml"
    content = said(run("init", str(data), "--output", str(written), "--json"))
    assert content["definition"] == str(written)
    written.replace(home / "definition.yaml")
    run("db", "upgrade")
    report = said(run("import", "--data", str(tmp_path), "--json"))
    assert report["added"] >= 60
    assert said(run("import", "--data", str(tmp_path), "--json"))["added"] == 0


def test_an_import_keeps_good_rows_names_bad_ones_and_can_be_repeated(run: Run, home: Path) -> None:
    with pytest.raises(StoreError):
        run("import")
    run("db", "upgrade")
    report = said(run("import", "--json"))
    assert (report["added"], report["rejected"]) == (3, 1)
    rejects = (home / "rejects" / "leads.csv.rejects.csv").read_text(encoding="utf-8-sig")
    assert [row["id"] for row in csv.DictReader(rejects.splitlines())] == ["A-2"]
    again = run("import")
    assert "rejects" in again.stderr
    assert said(run("import", "--json"))["added"] == 0


def test_a_key_works_from_its_making_to_its_revocation(run: Run, home: Path) -> None:
    run("db", "upgrade")
    made = said(run("keys", "create", "crm-1", "--role", "crm", "--json"))
    store = workspace_of(home).store
    with store.read() as connection:
        caller = caller_of_key(connection, made["key"], NOW)
    assert caller is not None
    assert (caller.name, caller.role) == ("crm-1", "crm")
    with pytest.raises(ConflictError):
        run("keys", "create", "crm-1")
    listed = run("keys", "list")
    assert "crm-1" in listed.stdout
    assert made["key"] not in listed.stdout
    said(run("keys", "revoke", "crm-1", "--json"))
    with store.read() as connection:
        assert caller_of_key(connection, made["key"], NOW) is None
    with pytest.raises(NotFoundError):
        run("keys", "revoke", "crm-1")
    (row,) = said(run("keys", "list", "--json"))["keys"]
    assert row["revoked_at"]
    assert run("keys", "create", "x", "--role", "king").exit_code == 2


def test_a_person_can_sign_in_with_the_password_that_was_set(run: Run, home: Path) -> None:
    run("db", "upgrade")
    word = "correct horse battery"
    given = said(run("users", "set", "anna", "--password-stdin", "--json", input=word + "\n"))
    assert (given["role"], given["owner"]) == ("rep", "anna")
    asked = run("users", "set", "boss", "--role", "admin", input=f"{word}2\n{word}2\n")
    assert asked.exit_code == 0
    assert word not in asked.output
    with workspace_of(home).store.read() as connection:
        assert prove(connection, "anna", word)
        assert prove(connection, "boss", word + "2")
        assert not prove(connection, "boss", word)
    with pytest.raises(InputError):
        run("users", "set", "anna", "--password-stdin", input="short\n")


def test_scoring_needs_a_model_and_says_so(run: Run, home: Path) -> None:
    run("db", "upgrade")
    with pytest.raises(NoModelError):
        run("score", str(home / "leads.csv"))
    with pytest.raises(NoModelError):
        run("queue", "refresh")
    assert not (home / "leads.scores.csv").exists()


def test_a_file_is_scored_beside_itself(run: Run, home: Path) -> None:
    run("db", "upgrade")
    workspace = workspace_of(home)
    promote(workspace, put_bundle(workspace))
    content = said(run("score", str(home / "leads.csv"), "--json"))
    assert (content["rows"], content["scored"]) == (3, 2)
    with Path(content["output"]).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["lead"] for row in rows] == ["A-1", "", "A-3"]
    again = run("score", str(home / "leads.csv"), "--output", str(home / "x.csv"), "--reasons", "1")
    assert "2 of 3 rows" in again.stdout
    assert "not scored" in again.stderr
    for as_of in ("tomorrow", "2026-05-01", "2999-01-01T00:00:00Z"):
        with pytest.raises(InputError):
            run("score", str(home / "leads.csv"), "--as-of", as_of)


def test_the_queue_is_scored_on_demand(company_store: Store) -> None:
    run = shell(app, Path(str(company_store.url.database)).parent)
    assert said(run("queue", "refresh", "--json"))["scored"] == LEADS - len(CLOSED)
    with company_store.read() as connection:
        assert read_queue(connection).total == LEADS - len(CLOSED)


def test_serving_says_beforehand_what_would_stop_it(run: Run, home: Path) -> None:
    with pytest.raises(StoreError):
        run("serve", "--port", "1")
    run("db", "upgrade")
    (home / "definition.yaml").unlink()
    from features.errors import DefinitionError

    with pytest.raises(DefinitionError):
        run("serve", "--port", "1")


def test_the_service_starts_logs_json_and_stops_when_told(run: Run, home: Path) -> None:
    import os
    import signal
    import socket

    run("db", "upgrade")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = "from serving.commands import app; app()"
    process = subprocess.Popen(
        [sys.executable, "-c", started, "serve", "--port", str(port)],
        env={**os.environ, "PROPENSITY_DATA_DIR": str(home)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                answer = httpx.get(f"http://127.0.0.1:{port}/health", timeout=10)
                break
            except httpx.TransportError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
        assert answer.json()["status"] == "ok"
    finally:
        process.send_signal(signal.SIGTERM)
        _, logged = process.communicate(timeout=60)
    lines = [json.loads(line) for line in logged.splitlines()]
    assert any(line["event"] == "request" and line["route"] == "/health" for line in lines)


def test_people_are_listed_without_passwords_and_can_be_removed(run: Run, home: Path) -> None:
    run("db", "upgrade")
    word = "a long enough password"
    run("users", "set", "anna", "--owner", "Anna Berg", "--password-stdin", input=word + "\n")
    listed = run("users", "list", "--json")
    (row,) = said(listed)["users"]
    assert (row["name"], row["role"], row["owner"]) == ("anna", "rep", "Anna Berg")
    assert "Anna Berg" in run("users", "list").stdout
    assert "scrypt" not in listed.stdout
    assert said(run("users", "remove", "anna", "--json")) == {"removed": "anna"}
    assert said(run("users", "list", "--json"))["users"] == []
    with pytest.raises(NotFoundError):
        run("users", "remove", "anna")


def test_a_key_that_expires_says_when(run: Run, home: Path) -> None:
    run("db", "upgrade")
    run("keys", "create", "month", "--days", "30")
    (row,) = said(run("keys", "list", "--json"))["keys"]
    assert row["created_at"] < row["expires_at"]
    assert row["used_at"] is None
    assert run("keys", "create", "x", "--days", "0").exit_code == 2
