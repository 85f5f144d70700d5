"""A small company whose pages can be looked at: a model that scores, leads, people who sign in."""

from __future__ import annotations

import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import lightgbm as lgb
import numpy as np
from agreed import DEFINITION_TEXT, NOW, agreed
from on_record import decide

from features.clock import DAY, HOUR
from features.definition import Definition
from features.facts import Answer, Event, LeadVersion, Queries, Record, StageChange
from features.gather import FactsBuilder
from features.pipeline import compute_features
from features.store import access
from features.store.engine import Store
from features.store.ingest import ingest
from features.store.ledger import QueueEntry, ScoreEntry, record_scores
from models.blend import Blend
from models.bundle import write_bundle
from models.calibrators import Identity
from models.encoder import Encoder
from models.propensity import PropensityModel
from models.trees import Trees
from models.workspace import Workspace
from serving.app import create_app
from serving.queueing import refresh_queue
from serving.scoring import Scorer
from serving.server import server_of
from serving.settings import Settings

PASSWORD = "correct horse battery"
CARD = """# Office supplies: the probability to buy

When it says 20 %, **one in five** such leads should buy within 90 days.

## What it learned from

| What | How many |
| --- | --- |
| Leads | 60 |

- sensitive: `age`
<script>alert("card")</script>
"""


def workspace_at(
    directory: Path, empty_database: Path | None = None, url: str | None = None
) -> Workspace:
    """An installation with a definition and an empty database: a copy of a file, or at a URL."""
    (directory / "definition.yaml").write_text(DEFINITION_TEXT)
    if empty_database is not None:
        shutil.copy(empty_database, directory / "propensity.db")
    return Workspace.of({"PROPENSITY_DATA_DIR": str(directory), "PROPENSITY_DATABASE": url or ""})


def add_people(store: Store) -> None:
    """Two reps, an analyst, an admin, and a machine's account that has no business here."""
    people: tuple[tuple[str, access.Role, str | None], ...] = (
        ("anna", "rep", "Anna Berg"),
        ("ben", "rep", "Ben Ode"),
        ("ines", "analyst", None),
        ("root", "admin", None),
        ("crm", "crm", None),
    )
    with store.write() as connection:
        for name, role, owner in people:
            access.set_user(connection, name, role, PASSWORD, owner, NOW)


def lead_facts(
    lead: str,
    *,
    name: str | None = None,
    owner: str | None = "Anna Berg",
    strength: int = 3,
    **attributes: Any,
) -> list[Record]:
    """A lead with a version, a stage, two answers and as many events as it is strong."""
    opened = NOW - 40 * DAY
    at = {"lead": lead, "occurred_at": opened, "recorded_at": opened}
    known = {"industry": "Retail", "employees": 20.0 * strength, **attributes}
    return [
        LeadVersion(**at, attributes=known, owner=owner, name=name or f"Company {lead}"),
        StageChange(**at, stage="qualified" if strength > 4 else "new"),
        Answer(**at, question="budget_allocated", answer="Yes" if strength > 5 else "No"),
        Answer(**at, question="role", answer="unknown"),
        *(
            Event(
                lead=lead,
                kind="webinar" if i % 2 else "visit",
                channel="web",
                occurred_at=NOW - (i + 1) * 3 * HOUR - strength,
                recorded_at=NOW - (i + 1) * 3 * HOUR,
            )
            for i in range(strength)
        ),
    ]


def model_of(definition: Definition) -> PropensityModel:
    """A model that has learned: who is stronger buys more often."""
    rng = np.random.default_rng(7)
    strengths = rng.integers(0, 12, 400)
    records = [r for i, s in enumerate(strengths) for r in lead_facts(f"x{i}", strength=int(s))]
    facts = FactsBuilder.of_records(definition, records).build()
    frame = compute_features(facts, Queries.at(np.arange(len(facts.lead_ids)), NOW), definition)
    order = [int(lead.removeprefix("x")) for lead in facts.lead_ids]
    y = rng.random(len(order)) < 1 / (1 + np.exp(3.0 - 0.4 * strengths[order]))
    names = [
        "attr_industry",
        "attr_employees",
        "bant_budget_allocated_sales",
        "ev_any_7d",
        "ev_webinar_ever",
    ]
    encoder = Encoder.fit(frame, names)
    parameters = {
        "objective": "binary",
        "num_leaves": 6,
        "min_data_in_leaf": 10,
        "learning_rate": 0.1,
        "verbosity": -1,
        "num_threads": 1,
        "deterministic": True,
        "seed": 1,
    }
    table = lgb.Dataset(
        encoder.matrix(frame), y.astype(float), feature_name=names, free_raw_data=False
    )
    booster = lgb.train(parameters, table, num_boost_round=30)
    about = {
        "name": definition.name,
        "trained_at": "2026-04-01T00:00:00Z",
        "data": {"leads": len(order), "wins": int(y.sum())},
        "judged": {"figures": {"auc": {"estimate": 0.8123, "lower": 0.79, "upper": 0.83}}},
        "calibration": {"name": "identity"},
        "warnings": [],
    }
    return PropensityModel(
        definition, encoder, Blend.of_trees(Trees(booster.model_to_string())), Identity(), about
    )


def promote_model(workspace: Workspace, model: PropensityModel) -> str:
    """Write a model, make it known and let it score; its digest."""
    records = lead_facts("golden")
    facts = FactsBuilder.of_records(model.definition, records).build()
    golden = compute_features(facts, Queries.at([0], NOW), model.definition)
    made = NOW - 20 * DAY
    digest = write_bundle(
        model, workspace.bundles, created_at=made, origin="train", golden=golden, card=CARD
    )
    workspace.registry.add(digest, {})
    first = "there was no champion yet"
    decide(workspace.store, digest, decided_at=made, decided_by="ines", reason=first)
    return digest


def add_leads(store: Store, definition: Definition, records: Sequence[Record]) -> None:
    """Write facts; every one of them must be good."""
    with store.write() as connection:
        report = ingest(connection, records, definition, NOW)
    assert not report.problems, report.problems


def score_queue(workspace: Workspace, model: PropensityModel, now: int = NOW) -> None:
    """Score every open lead, as the service does."""
    refresh_queue(workspace.store, Scorer(model, model.definition, NOW - 20 * DAY), now)


def place(store: Store, lead: str, raw: float, **shown: Any) -> None:
    """Put one lead into the queue with a raw score of choice."""
    place_many(store, [(lead, raw, shown)])


def place_many(store: Store, leads: Sequence[tuple[str, float, dict[str, Any]]]) -> None:
    """Put leads into the queue with raw scores of choice: (lead, raw, what the queue shows)."""
    definition = agreed()
    versions = [
        LeadVersion(
            lead=lead,
            occurred_at=NOW - DAY,
            recorded_at=NOW - DAY,
            name=shown.get("name"),
            owner=shown.get("owner", "Anna Berg"),
            kind=shown.get("kind", "prospect"),
        )
        for lead, _, shown in leads
    ]
    entries, queue = [], []
    for lead, raw, shown in leads:
        probability = shown.get("probability", 1 / (1 + np.exp(-raw)))
        entries.append(
            ScoreEntry(
                lead=lead,
                as_of=NOW - HOUR,
                scored_at=NOW - HOUR,
                raw=raw,
                probability=probability,
                route=definition.route_for(probability).name,
                bundle="b" * 64,
                definition=definition.hash,
                inputs={},
                reasons=shown.get("reasons", REASONS),
                warnings=shown.get("warnings", ()),
                channel="queue",
            )
        )
        queue.append(
            QueueEntry(
                last_touch=shown.get("last_touch"),
                owner=shown.get("owner", "Anna Berg"),
                name=shown.get("name"),
                stage="new",
                kind=shown.get("kind", "prospect"),
                is_open=True,
            )
        )
    with store.write() as connection:
        ingest(connection, versions, definition, NOW)
        record_scores(connection, entries, queue)


REASONS = (
    {
        "fact": "event:webinar",
        "label": "Webinar",
        "words": "3 × webinar in 7 days",
        "log_odds": 0.6,
    },
    {"fact": "attribute:industry", "label": "Industry", "words": "Retail", "log_odds": -0.25},
    {
        "fact": "rest",
        "label": "Everything else",
        "words": "4 weaker reasons together",
        "log_odds": 0.1,
    },
)


def fill(workspace: Workspace) -> PropensityModel:
    """A model, people, 70 leads of Anna's, 6 of Ben's and 2 of nobody's, all scored."""
    definition = agreed()
    add_people(workspace.store)
    promote_model(workspace, model_of(definition))
    champion = workspace.registry.champion()
    records = [r for i in range(70) for r in lead_facts(f"A{i:02}", strength=i % 12)]
    records += [r for i in range(6) for r in lead_facts(f"B{i}", owner="Ben Ode", strength=2 * i)]
    records += [r for i in range(2) for r in lead_facts(f"N{i}", owner=None, strength=i)]
    add_leads(workspace.store, definition, records)
    score_queue(workspace, champion)
    return champion


@contextmanager
def serving(
    workspace: Workspace, now: int = NOW, *, send_buffer: int | None = None, **changes: Any
) -> Iterator[str]:
    """The service on a port of its own, perhaps with little room for unread answers; its address."""
    settings = Settings(
        **({"refresh_queue": False, "stranger_rate": 0.0, "person_rate": 0.0} | changes)
    )
    server = server_of(create_app(settings, workspace, clock=lambda: now), settings)
    server.config.port = 0
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started:
        assert thread.is_alive(), "the service did not start"
        assert time.monotonic() < deadline, "the service did not start in a minute"
        time.sleep(0.02)
    listening = server.servers[0].sockets[0]
    if send_buffer is not None:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)


class Visitor:
    """A person with a browser that runs no scripts."""

    def __init__(self, address: str) -> None:
        # Every answer ends its connection: nothing is left open when the visitor is forgotten.
        self.http = httpx.Client(
            base_url=address,
            headers={"accept": "text/html"},
            timeout=60,
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.http.get(path, headers=headers)

    def form_token(self) -> str:
        return token_in(self.get("/sign-in").text)

    def try_password(self, name: str, password: str, then: str = "/queue") -> httpx.Response:
        fields = {"name": name, "password": password, "csrf": self.form_token(), "then": then}
        return self.http.post("/sign-in", data=fields)

    def signed_in(self, name: str) -> Visitor:
        answer = self.try_password(name, PASSWORD)
        assert answer.status_code == 303, answer.text
        return self


def token_in(page: str) -> str:
    """The CSRF token of a page's form."""
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found, page
    return found[1]


def leads_in(page: str) -> list[str]:
    """The leads of a queue's page, in its order."""
    return [unquote(url) for url in re.findall(r'class="lead-name" href="/leads/([^"]+)"', page)]


class Outline(HTMLParser):
    """Tags with their attributes, and the text between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.text += " " if tag in ("dt", "dd", "td", "th", "p", "li", "div") else ""

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def words(page: str) -> str:
    """A page's text as it is read: one space between words."""
    return " ".join(Outline(page).text.split())
