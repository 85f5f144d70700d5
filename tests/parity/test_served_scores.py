"""Is a score the same number whichever way it is asked for, to the last bit?

All at once, one by one, through HTTP, sent along instead of stored, by the queue, from a file, and
recomputed from what the ledger kept: from the row of features, and from the facts as they were known.
JSON carries a float as the shortest text that reads back as the same 64 bits, so HTTP is no excuse.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from agreed import NOW, agreed
from bits import row_bits
from models_made import LEADS, lead_id
from models_made import company as facts_of_company
from served import Served

from features.catalog import column_kinds
from features.clock import DAY, iso
from features.facts import Answer, Event, LeadVersion, Queries, Record
from features.frames import FeatureFrame
from features.gather import FactsBuilder
from features.pipeline import compute_features
from features.store.history import load_facts
from features.store.ledger import inputs_hash, read_score
from models.bundle import read_bundle
from models.explain import explain
from models.forest_engine import ENGINE
from serving.file_scoring import score_file
from serving.queueing import refresh_queue
from serving.score_sinks import CsvSink
from serving.scoring import LeadScore, Occasion, score_stored

EVERYBODY = [lead_id(i) for i in range(LEADS)]
SOME = EVERYBODY[::9]

Bits = Mapping[str, tuple[int, int]]


def bits(value: float) -> int:
    """The 64 bits of a number: 0.0 is not −0.0."""
    return int(np.array(value, dtype=np.float64).view(np.int64))


def of_json(said: Mapping[str, Any]) -> tuple[int, int]:
    return bits(said["raw"]), bits(said["probability"])


@pytest.fixture
def at_once(served: Served) -> Bits:
    """Everybody's raw score and probability, computed outside the service, all together."""
    digest = served.workspace.registry.champion_digest()
    assert digest is not None
    model = read_bundle(served.workspace.bundles, digest)
    facts = FactsBuilder.of_records(agreed(), facts_of_company()).build()
    frame = compute_features(facts, Queries.at(np.arange(LEADS), NOW), agreed())
    scores = model.score(frame)
    return {
        lead: (bits(scores.raw[i]), bits(scores.probability[i]))
        for i, lead in enumerate(frame.lead_ids)
    }


def test_one_by_one_through_http(served: Served, at_once: Bits) -> None:
    found = {lead: of_json(served.post("/v1/scores", json={"lead": lead}).json()) for lead in SOME}
    assert found == {lead: at_once[lead] for lead in SOME}


def test_in_batches_of_any_size_and_order(served: Served, at_once: Bits) -> None:
    draw = np.random.default_rng(3)
    for size in (2, 7, LEADS):
        leads = draw.permutation(EVERYBODY)[:size].tolist()
        body = {"leads": [{"lead": lead} for lead in leads]}
        results = served.post("/v1/scores/batch", json=body).json()["results"]
        found = {row["score"]["lead"]: of_json(row["score"]) for row in results}
        assert found == {lead: at_once[lead] for lead in leads}


def test_sent_along_instead_of_stored(served: Served, at_once: Bits) -> None:
    bodies = [_sent(lead) for lead in SOME]
    results = served.post("/v1/scores/batch", json={"leads": bodies}).json()["results"]
    found = {row["score"]["lead"].removeprefix("sent "): of_json(row["score"]) for row in results}
    assert found == {lead: at_once[lead] for lead in SOME}


def test_by_the_refresh_of_the_queue(served: Served, at_once: Bits) -> None:
    refresh_queue(served.store, served.service.live.scorer(), NOW)
    rows = served.get("/v1/queue?limit=1000").json()["rows"]
    assert len(rows) > LEADS / 2
    assert {row["lead"]: of_json(row) for row in rows} == {
        row["lead"]: at_once[row["lead"]] for row in rows
    }


def test_from_a_file_of_ids(served: Served, at_once: Bits, tmp_path: Path) -> None:
    path = tmp_path / "ids.csv"
    path.write_text("id\n" + "\n".join(SOME), encoding="utf-8")
    out = io.StringIO()
    scorer = served.service.live.scorer()
    score_file(served.store, scorer, path, CsvSink(out), Occasion(now=NOW), lead_column="id")
    rows = list(csv.DictReader(io.StringIO(out.getvalue())))
    found = {
        row["lead"]: (bits(float(row["raw"])), bits(float(row["probability"]))) for row in rows
    }
    assert found == {lead: at_once[lead] for lead in SOME}


def test_over_a_real_socket(served: Served, at_once: Bits) -> None:
    import socket
    import threading
    import time

    import uvicorn

    from serving.app import create_app

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        app = create_app(served.service.settings, served.workspace, served.clock)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [free]})
        thread.start()
        try:
            deadline = time.monotonic() + 60
            while not server.started:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            port = free.getsockname()[1]
            headers = served.headers("crm")
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers) as client:
                for lead in SOME[:5]:
                    said = client.get(f"/v1/leads/{lead}/score").json()
                    assert of_json(said) == at_once[lead]
                    assert of_json(json.loads(json.dumps(said))) == at_once[lead]
        finally:
            server.should_exit = True
            thread.join(60)


def test_recomputed_from_the_ledger(served: Served) -> None:
    """The kept row gives the kept score and reasons; the facts as of then give the kept row."""
    ENGINE.wait()  # LightGBM, which answers before, explains with other last digits
    for days, leads in ((0, SOME), (7, SOME[::2])):
        scorer = served.service.live.scorer()
        results = score_stored(
            served.store, scorer, leads, Occasion(now=NOW), as_of=NOW - days * DAY
        )
        kept = [one for one in results if isinstance(one, LeadScore)]
        assert len(kept) > len(leads) / 2
        for one in kept:
            assert one.score_id is not None
            with served.store.read() as connection:
                row = read_score(connection, one.score_id)
                assert row is not None
                model = read_bundle(served.workspace.bundles, row["bundle"])
                facts = load_facts(connection, model.definition, [row["lead_id"]], row["as_of"])
            again = FeatureFrame.of_rows([row["inputs"]], column_kinds(model.catalog))
            scores = model.score(again)
            assert bits(scores.raw[0]) == bits(row["raw"]) == bits(one.raw)
            assert bits(scores.probability[0]) == bits(row["probability"])
            assert explain(model, again)[0].top(5) == row["reasons"]
            frame = compute_features(facts, Queries.at([0], row["as_of"]), model.definition)
            assert row_bits(frame.row(0)) == row_bits(row["inputs"])
            assert inputs_hash(frame.row(0)) == row["inputs_hash"]


def _sent(lead: str) -> dict[str, Any]:
    """A lead of the company as a request that says all about it."""
    records = [record for record in facts_of_company() if record.lead == lead]
    (version,) = [record for record in records if isinstance(record, LeadVersion)]
    return {
        "lead": f"sent {lead}",
        "kind": version.kind,
        "attributes": {
            name: iso(int(value)) if name == "founded" and value is not None else value
            for name, value in version.attributes.items()
        },
        "opened_at": iso(version.occurred_at),
        "answers": [
            {"question": r.question, "answer": r.answer, **_times(r)}
            for r in records
            if isinstance(r, Answer)
        ],
        "events": [
            {"kind": r.kind, "channel": r.channel, **_times(r)}
            for r in records
            if isinstance(r, Event)
        ],
    }


def _times(record: Record) -> dict[str, str]:
    return {"occurred_at": iso(record.occurred_at), "recorded_at": iso(record.recorded_at)}
