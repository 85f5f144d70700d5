"""Is a swap atomic under load: one whole version an answer, its own number, no request dropped?

And is nothing left of who was swapped away?
"""

from __future__ import annotations

import gc
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
import pytest
from agreed import NOW
from models_made import LEADS, company, lead_id, promote, put_bundle
from served import Served, make_keys
from workers import Worker, working

from features.clock import DAY, iso
from features.facts import LeadVersion, Queries
from features.gather import FactsBuilder
from features.pipeline import compute_features
from features.store.engine import Store
from models.registry import Registry
from models.workspace import Workspace

SWAPS, CLIENTS = 200, 50
SENT = {
    f"sent-{i}": {"industry": ("Retail", "Software", None)[i % 3], "employees": 40.0 * i}
    for i in range(40)
}
"""Leads that only a request describes, which come to their score by another way."""


@dataclass
class Heard:
    """What all clients were told: answers by model, and whatever was wrong."""

    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, model: str, problem: str | None) -> None:
        with self.lock:
            self.answers[model] += 1
            if problem is not None:
                self.wrong.append(problem)


def offline(registry: Registry, digest: str) -> dict[str, tuple[float, float]]:
    """Raw score and probability of every lead by one version, computed without any service."""
    model = registry.load(digest)
    just_before = {"occurred_at": NOW - 1, "recorded_at": NOW - 1}
    sent = [LeadVersion(lead=lead, attributes=told, **just_before) for lead, told in SENT.items()]
    facts = FactsBuilder.of_records(model.definition, [*company(), *sent]).build()
    frame = compute_features(facts, Queries.at(np.arange(LEADS + len(SENT)), NOW), model.definition)
    scores = model.score(frame)
    pairs = zip(scores.raw.tolist(), scores.probability.tolist(), strict=True)
    return dict(zip(frame.lead_ids, pairs, strict=True))


@pytest.fixture
def worker(company_store: Store, tmp_path: object) -> Iterator[tuple[Worker, Workspace]]:
    workspace = Workspace.of({"PROPENSITY_DATA_DIR": str(tmp_path)})
    keys = make_keys(workspace.store)
    settings = {"PROPENSITY_CHAMPION_POLL_SECONDS": "0.02", "PROPENSITY_LOG_LEVEL": "WARNING"}
    with working(workspace, keys["crm"], settings) as found:
        yield found, workspace
    workspace.store.close()


def test_a_model_that_was_swapped_away_is_gone(served: Served) -> None:
    """Whatever was asked of it while it scored: nothing that answers keeps what it was told by."""
    other = put_bundle(served.workspace, seed=2)
    digests = [served.service.live.scorer().model.digest, other]
    parts: list[dict[str, weakref.ref[Any]]] = []
    for i in range(5):
        promote(served.workspace, digests[(i + 1) % 2])
        served.service.live.look()
        model = served.service.live.scorer().model
        assert model.digest == digests[(i + 1) % 2]
        watched = (model, model.learner, model.learner.trees, model.encoder, model.definition)
        parts.append({type(part).__name__: weakref.ref(part) for part in watched})
        del model, watched
        _ask_everything(served)
    gc.collect()
    kept = [[name for name, part in one.items() if part() is not None] for one in parts]
    assert kept == [[]] * 4 + [[*parts[-1]]]


def _ask_everything(served: Served) -> None:
    """A question of each kind that a model answers."""
    lead, sent = lead_id(1), {"lead": "sent", "attributes": SENT["sent-1"]}
    served.service.refresher.look()
    answers = [
        served.post("/v1/scores", json={"lead": lead}),
        served.post("/v1/scores", json=sent),
        served.post("/v1/scores/batch", json={"leads": [{"lead": lead}, sent, 7]}),
        served.post("/v1/events", json=[_visit()]),
        *(
            served.get(path)
            for path in (
                f"/v1/leads/{lead}/score",
                f"/v1/leads/{lead}/questions",
                f"/v1/leads/{lead}/scores",
                "/v1/queue",
                "/v1/model",
                "/metrics",
            )
        ),
    ]
    assert {answer.status_code for answer in answers} == {200}


def _visit() -> dict[str, str]:
    return {"lead": lead_id(1), "kind": "visit", "occurred_at": iso(NOW - DAY)}


@pytest.mark.slow
def test_two_hundred_swaps_under_fifty_clients(worker: tuple[Worker, Workspace]) -> None:
    served, workspace = worker
    first = workspace.registry.champion_digest()
    assert first is not None
    digests = [first, put_bundle(workspace, seed=2)]
    expected = {digest: offline(workspace.registry, digest) for digest in digests}
    assert expected[digests[0]] != expected[digests[1]]
    heard, over = Heard(), threading.Event()
    askers = [
        threading.Thread(target=_ask, args=(served, i, expected, heard, over))
        for i in range(CLIENTS)
    ]
    for asker in askers:
        asker.start()
    for i in range(SWAPS):
        promote(workspace, digest := digests[(i + 1) % 2])
        served.until(lambda w, d=digest: w.client.get("/v1/model").json()["model"] == d)
    over.set()
    for asker in askers:
        asker.join()
    assert heard.wrong == []
    assert set(heard.answers) == set(digests)
    assert min(heard.answers.values()) > SWAPS, "both versions answered, again and again"


def _ask(
    worker: Worker,
    number: int,
    expected: dict[str, dict[str, tuple[float, float]]],
    heard: Heard,
    over: threading.Event,
) -> None:
    client = worker.client
    with httpx.Client(base_url=client.base_url, headers=client.headers, timeout=60.0) as mine:
        turn = number
        while not over.is_set():
            lead, body = _question(turn)
            turn += CLIENTS + 1
            try:
                answer = mine.post("/v1/scores", json=body)
            except httpx.TransportError as error:
                heard.note("dropped", f"{lead}: {error!r}")
                continue
            heard.note(*_judged(answer, lead, expected))


def _question(turn: int) -> tuple[str, dict[str, Any]]:
    """A stored lead and one that is sent along, in turn."""
    if turn % 2:
        lead = lead_id(turn % LEADS)
        return lead, {"lead": lead, "as_of": iso(NOW)}
    lead = f"sent-{turn % len(SENT)}"
    return lead, {"lead": lead, "attributes": SENT[lead]}


def _judged(
    answer: httpx.Response, lead: str, expected: dict[str, dict[str, tuple[float, float]]]
) -> tuple[str, str | None]:
    if answer.status_code != 200:
        return "refused", f"{lead}: {answer.status_code}"
    said = answer.json()
    raw, probability = expected.get(said["model"], {}).get(lead, (np.nan, np.nan))
    close = abs(said["raw"] - raw) <= 1e-12 and abs(said["probability"] - probability) <= 1e-12
    parts = said["base"] + sum(reason["log_odds"] for reason in said["reasons"])
    if not close or abs(parts - said["raw"]) > 1e-9:
        return said["model"], f"{lead}: {said['raw']} of {said['model'][:8]}, offline {raw}"
    return said["model"], None
