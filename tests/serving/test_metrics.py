"""Do the figures count what happened, and name nobody?"""

from __future__ import annotations

import re

from agreed import NOW
from models_made import MADE_AT
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from served import Served
from source_files import ROOT

from features.clock import DAY, SECOND, iso
from features.store.turns import Outcome, begin, end


def figures(served: Served) -> dict[str, float]:
    """Every sample but the times at which counters were made, by name and labels."""
    found = {}
    for line in served.get("/metrics", "analyst").text.splitlines():
        if not line.startswith("#") and "_created{" not in line:
            name, value = line.rsplit(" ", 1)
            found[name] = float(value)
    return found


def test_scores_refusals_and_warnings_are_counted(served_lite: Served) -> None:
    served_lite.post("/v1/scores", json={"lead": "L-0001"})
    served_lite.post("/v1/scores", json={"lead": "nobody"})
    rows = [{"lead": "L-0001"}, {"lead": "nobody"}, {"lead": "L-0000"}, 7]
    served_lite.post("/v1/scores/batch", json={"leads": rows})
    found = figures(served_lite)
    assert found['propensity_scores_total{channel="api",route="sales_ready"}'] == 1
    batch = sum(
        n for name, n in found.items() if name.startswith('propensity_scores_total{channel="b')
    )
    assert batch == 2
    assert found['propensity_score_refusals_total{reason="not-found"}'] == 2
    assert found['propensity_score_refusals_total{reason="input"}'] == 1
    assert found['propensity_score_warnings_total{code="closed_lead"}'] == 1


def test_words_that_the_model_has_not_learned_are_counted_on_both_ways_to_a_score(
    served_lite: Served,
) -> None:
    """An alarm hangs on how often they come."""
    unheard = {"city": "Atlantis"}
    served_lite.post("/v1/scores", json={"lead": "sent", "attributes": unheard})
    told = {"lead": "told", "attributes": unheard, "occurred_at": iso(NOW - DAY)}
    served_lite.put(
        "/v1/leads/told", json={key: told[key] for key in ("attributes", "occurred_at")}
    )
    served_lite.post("/v1/scores", json={"lead": "told"})
    served_lite.post("/v1/scores", json={"lead": "sent", "attributes": {"city": "Bonn"}})
    found = figures(served_lite)
    # Of the stored lead what is answered counts, not that it was scored when it was told.
    assert found['propensity_score_warnings_total{code="unseen_category"}'] == 2


def test_who_accepts_openmetrics_gets_it_and_every_name_is_documented(served_lite: Served) -> None:
    served_lite.post("/v1/scores", json={"lead": "L-0001"})
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    answer = served_lite.get("/metrics", headers=accept)
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    families = list(text_string_to_metric_families(answer.text))
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    for family in families:
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert f"`{name}`" in page
        assert family.documentation
    plain = served_lite.get("/metrics").headers["content-type"]
    assert plain.startswith("text/plain")


def test_facts_are_counted_by_what_became_of_them(served_lite: Served) -> None:
    row = {"lead": "L-0001", "kind": "visit", "occurred_at": iso(NOW - DAY)}
    for _ in range(2):
        served_lite.post("/v1/events", json=[row, {**row, "lead": "nobody"}])
    served_lite.put("/v1/leads/N-1", json={})
    found = figures(served_lite)
    for sort, fate, n in (
        ("events", "added", 1),
        ("events", "unchanged", 1),
        ("events", "rejected", 2),
        ("leads", "added", 1),
    ):
        assert found[f'propensity_facts_total{{fate="{fate}",sort="{sort}"}}'] == n


def test_requests_are_counted_by_the_template_of_their_route(served_lite: Served) -> None:
    for lead in ("L-0001", "L-0002", "nobody"):
        served_lite.get(f"/v1/leads/{lead}/score")
    served_lite.get("/v1/leads/a/b/c/d")
    served_lite.call("BREW", "/coffee")
    found = figures(served_lite)
    label = 'method="GET",route="/v1/leads/{lead}/score"'
    assert found[f'propensity_requests_total{{{label},status="200"}}'] == 2
    assert found[f'propensity_requests_total{{{label},status="404"}}'] == 1
    assert found[f"propensity_request_seconds_count{{{label}}}"] == 3
    assert found['propensity_requests_total{method="GET",route="none",status="404"}'] == 1
    assert found['propensity_requests_total{method="OTHER",route="none",status="404"}'] == 1


def test_the_model_and_its_age_are_there(served_lite: Served) -> None:
    found = figures(served_lite)
    digest = served_lite.service.live.scorer().model.digest
    assert found[f'propensity_model_info{{calibration="platt",model="{digest}"}}'] == 1
    assert found["propensity_model_created_timestamp_seconds"] == MADE_AT / SECOND


def test_no_label_names_a_lead_a_person_or_a_key(served_lite: Served) -> None:
    served_lite.put("/v1/leads/N-1", json={"owner": "anna", "name": "Erika Mustermann"})
    served_lite.get("/v1/queue?q=Mustermann&owner=anna")
    served_lite.post("/v1/scores", json={"lead": "N-1"})
    text = served_lite.get("/metrics").text
    for private in ("N-1", "anna", "Mustermann", "pk_"):
        assert private not in text
    labels = {
        name for names in re.findall(r"\{(.*?)\} ", text) for name in re.findall(r"(\w+)=", names)
    }
    assert labels == {
        "calibration", "channel", "code", "fate", "le", "method", "model", "of", "reason", "route",
        "sort", "source", "status",
    }  # fmt: skip


def turn(served: Served, step: str, at: int, outcome: Outcome | None, **said: str) -> None:
    """A turn of a step as a worker notes it; without an outcome it is still under way."""
    with served.store.write() as connection:
        begin(connection, step, due=at, now=at, holder="worker")
        if outcome is not None:
            end(connection, step, now=at + SECOND, outcome=outcome, said=said)


def test_what_came_of_a_workers_steps_is_told(served_lite: Served) -> None:
    assert not [name for name in figures(served_lite) if "step" in name]
    turn(served_lite, "loop", NOW, "failed", reason="the disk is full")
    turn(served_lite, "score", NOW, "waits")
    turn(served_lite, "audit", NOW, None)
    found = figures(served_lite)
    told = {name: value for name, value in found.items() if "step" in name}
    assert told == {
        'propensity_step_failed{step="loop"}': 1.0,
        'propensity_step_failed{step="score"}': 0.0,
        'propensity_step_finished_timestamp_seconds{step="loop"}': NOW / SECOND + 1,
        'propensity_step_finished_timestamp_seconds{step="score"}': NOW / SECOND + 1,
    }
    turn(served_lite, "loop", NOW + DAY, "done")
    assert figures(served_lite)['propensity_step_failed{step="loop"}'] == 0


def test_only_a_copy_that_was_made_counts_as_a_backup(served_lite: Served) -> None:
    def backed_up() -> float:
        return figures(served_lite)["propensity_backup_timestamp_seconds"]

    assert backed_up() == 0
    turn(served_lite, "backup", NOW, "done", skipped="PostgreSQL is backed up by its own programs")
    assert backed_up() == 0
    turn(served_lite, "backup", NOW + DAY, "done", place="/var/lib/propensity/backups/2026-05-02")
    assert backed_up() == (NOW + DAY + SECOND) / SECOND
    turn(served_lite, "backup", NOW + 2 * DAY, "failed", reason="the disk is full")
    turn(served_lite, "backup", NOW + 3 * DAY, None)
    assert backed_up() == (NOW + DAY + SECOND) / SECOND


def test_two_services_count_apart(served_lite: Served, serve: object) -> None:
    from serving.metrics import Metrics

    served_lite.get("/v1/model")
    fresh = Metrics().exposition(served_lite.service.live.state)[0].decode()
    assert "/v1/model" not in fresh


def test_figures_that_alarms_wait_for_are_there_before_anything_has_come(
    served_lite: Served,
) -> None:
    """A sum over nothing is nothing, and an alarm on it never rings."""
    found = figures(served_lite)
    for channel in ("api", "batch"):
        assert found[f'propensity_scores_total{{channel="{channel}",route="sales_ready"}}'] == 0
    assert found['propensity_score_warnings_total{code="unseen_category"}'] == 0
