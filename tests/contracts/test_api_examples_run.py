"""Do the requests of docs/api.md work in their order, and do the answers look like those shown?

A real service with the simulated company's lead definition is asked by the very commands of the page. An
answer has the keys and kinds of values of the one shown; where that says `…`, there may be more.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import lightgbm as lgb
import numpy as np
import pytest
import uvicorn
from fenced import ROOT, Block, blocks
from models_made import blended
from on_record import decide

from features.clock import DAY, SECOND
from features.definition import Definition, read_definition
from features.facts import LeadVersion, Queries
from features.gather import FactsBuilder
from features.pipeline import compute_features
from features.store.engine import Store
from features.store.keys import create_key
from features.store.webhooks import add_sender
from models.bundle import write_bundle
from models.calibrators import Identity
from models.encoder import Encoder
from models.propensity import PropensityModel
from models.trees import Trees
from models.workspace import Workspace
from serving.app import create_app
from serving.settings import Settings
from training.loop.monitor import monitor
from training.loop.reports import keep

PAGE = ROOT / "docs" / "api.md"
COMPANY = ROOT / "training" / "simulated" / "definition.yaml"
NOW = 1_795_345_200_000_000
"""2026-11-22T11:00:00Z, an instant after all that the page tells the service."""
LEADS = 200


class Service(NamedTuple):
    """A running service, a key that may do everything, and the secret of the sender `crm`."""

    url: str
    key: str
    secret: str


def small_model(definition: Definition) -> tuple[PropensityModel, Any]:
    """A model of a few trees in which size and source count, and the rows it was fitted on."""
    draw = np.random.default_rng(5)
    sources = ("referral", "search", "trade fair")
    versions = [
        LeadVersion(
            lead=f"x{i}",
            occurred_at=NOW - 50 * DAY,
            recorded_at=NOW - 50 * DAY,
            attributes={
                "employees": float(draw.integers(1, 900)),
                "source": sources[int(draw.integers(3))],
            },
        )
        for i in range(LEADS)
    ]
    facts = FactsBuilder.of_records(definition, versions).build()
    frame = compute_features(facts, Queries.at(np.arange(LEADS), NOW), definition)
    encoder = Encoder.fit(frame, ["attr_employees", "attr_source"])
    won = [v.attributes["source"] == "referral" and draw.random() < 0.5 for v in versions]
    rows = lgb.Dataset(
        encoder.matrix(frame),
        np.array(won, dtype=np.float64),
        feature_name=encoder.names,
        categorical_feature=encoder.categorical,
    )
    parameters = {"objective": "binary", "num_leaves": 4, "verbosity": -1, "num_threads": 1}
    trees = Trees(lgb.train(parameters, rows, num_boost_round=10).model_to_string())
    about = {
        "warnings": ["0.70 times as many won as it said"],
        "answers": {"decision_role": {"decides alone": 0.4, "no say": 0.6}},
    }
    learner = blended(definition, trees, encoder, frame, np.array(won, dtype=np.float64))
    return PropensityModel(definition, encoder, learner, Identity(), about), frame


def installation(home: Path, store: Store) -> Workspace:
    """The simulated company's definition, a champion, and no leads."""
    definition = read_definition(COMPANY)
    workspace = Workspace(home, store.url.render_as_string(hide_password=False), COMPANY, "")
    model, frame = small_model(definition)
    digest = write_bundle(
        model,
        workspace.bundles,
        created_at=NOW - 9 * DAY,
        origin="train",
        golden=frame.take(np.arange(3)),
        card="# simulated_company: the probability to buy\n",
    )
    workspace.registry.add(digest, {})
    decide(store, digest)
    keep(workspace, monitor(workspace, now=NOW))
    return workspace


@pytest.fixture
def service(tmp_path: Path, sqlite_store: Store) -> Iterator[Service]:
    """The service, listening."""
    workspace = installation(tmp_path, sqlite_store)
    with sqlite_store.write() as connection:
        key = create_key(connection, "docs", "admin", NOW)
        secret = add_sender(connection, "crm", NOW)
    ticking = iter(range(NOW, NOW + 10**9))
    app = create_app(Settings(refresh_queue=False), workspace, lambda: next(ticking))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Service(f"http://127.0.0.1:{port}", key, secret)
    finally:
        server.should_exit = True
        thread.join(30)


def asked(block: Block, service: Service) -> str:
    """What the commands of a block print."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.text],
        env=os.environ
        | {"URL": service.url, "KEY": service.key, "SECRET": service.secret}
        | {"SENT": str(NOW // SECOND)},
        capture_output=True,
        text=True,
        check=False,
    )
    # `head` closes the pipe early; curl then complains although all is well.
    assert done.returncode in (0, 23), f"line {block.line}: {done.stderr}"
    return done.stdout


def difference(shown: Any, found: Any, at: str = "answer") -> str | None:
    """Where an answer does not look like the one shown; None where it does."""
    if at.endswith(FREE) or shown == "…" or (isinstance(shown, str) and isinstance(found, str)):
        return None
    if isinstance(shown, dict) and isinstance(found, dict):
        return _keys_differ(shown, found, at)
    if isinstance(shown, list) and isinstance(found, list):
        if shown and not found:
            return f"{at} is empty"
        pairs = zip(shown, found, strict=False)
        inner = (difference(s, f, f"{at}[{i}]") for i, (s, f) in enumerate(pairs))
        return next((wrong for wrong in inner if wrong), None)
    numbers = (int, float)
    if isinstance(shown, numbers) and isinstance(found, numbers):
        return None
    return None if shown == found else f"{at} is {found!r}, shown is {shown!r}"


def _keys_differ(shown: dict[str, Any], found: dict[str, Any], at: str) -> str | None:
    named = set(shown) - {"…"}
    if missing := named - set(found):
        return f"{at} lacks {sorted(missing)}"
    if "…" not in shown and (more := set(found) - named):
        return f"{at} also has {sorted(more)}"
    inner = (difference(shown[key], found[key], f"{at}.{key}") for key in sorted(named))
    return next((wrong for wrong in inner if wrong), None)


FREE = (".routes", ".attributes")
"""Objects whose keys are those of the definition."""


def test_the_requests_of_the_page_are_answered_as_shown(service: Service) -> None:
    told: str | None = None
    wrong = []
    answers = 0
    for block in blocks(PAGE, "sh", "json"):
        if block.language == "sh":
            told = asked(block, service)
            assert told, f"line {block.line}: nothing was answered"
        else:
            assert told is not None, f"line {block.line}: an answer without its request"
            answers += 1
            if problem := difference(json.loads(block.text), json.loads(told)):
                wrong.append(f"line {block.line}: {problem}")
            told = None
    assert wrong == []
    assert answers >= 15


@pytest.mark.parametrize(
    ("shown", "found"),
    [
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"a": 1, "…": "…"}, {"b": 2}),
        ({"a": [{"b": 1}]}, {"a": []}),
        ({"a": "x"}, {"a": 1}),
        ({"a": None}, {"a": "x"}),
    ],
)
def test_an_answer_that_differs_is_seen(shown: Any, found: Any) -> None:
    assert difference(shown, found) is not None
