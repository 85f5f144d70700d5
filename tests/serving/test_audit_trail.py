"""Is what people and machines do to the service in the audit log, and in its figures?"""

from __future__ import annotations

from agreed import DEFINITION_TEXT, NOW
from models_made import put_bundle
from on_record import decision
from served import PASSWORD, Served

from features.store.access import set_user
from features.store.audit import links, verify
from features.store.reconciliation import Reconciliation, note_run
from serving.app import _watch
from serving.once import HEADER


def noted(served: Served) -> list[tuple[str, str, str]]:
    """Who did what to what, in order; the chain is whole."""
    with served.store.read() as connection:
        assert verify(connection).problems == ()
        return [
            (link.entry.actor, link.entry.action, link.entry.object) for link in links(connection)
        ]


def test_signing_in_is_noted_and_failing_to_is_not(served: Served) -> None:
    with served.store.write() as connection:
        set_user(connection, "rep", "rep", PASSWORD, "anna", NOW)
    form = served.client.get("/sign-in")
    token = form.cookies["propensity_form"]
    for password in ("wrong password 1", PASSWORD):
        served.client.post(
            "/sign-in",
            data={"name": "rep", "password": password, "csrf": token},
            follow_redirects=False,
        )
    assert noted(served) == [("rep", "signed_in", "rep")]


def test_another_definition_in_force_is_noted_once(served_lite: Served) -> None:
    first = served_lite.service.live.agreed.hash
    watches = [_watch(served_lite.service) for _ in range(2)]  # two workers
    for look in watches * 2:
        look()
    edited = DEFINITION_TEXT.replace("horizon_days: 90", "horizon_days: 91")
    served_lite.workspace.definition_path.write_text(edited, encoding="utf-8")
    for look in watches * 2:
        look()
    second = served_lite.service.live.agreed.hash
    assert second != first
    assert noted(served_lite) == [
        ("service", "definition_changed", first),
        ("service", "definition_changed", second),
    ]


def test_a_decision_about_a_model_is_noted_with_its_digest(served_lite: Served) -> None:
    registry = served_lite.workspace.registry
    champion, newer = registry.champion_digest(), put_bundle(served_lite.workspace, 2)
    registry.decide(decision(newer, "keep", against=champion, decided_by="anna"))
    assert noted(served_lite) == [("anna", "model_keep", newer)]


def test_figures_count_replays_and_outcomes_that_only_a_comparison_found(served: Served) -> None:
    for _ in range(3):
        served.put("/v1/leads/N-1", json={"owner": "anna"}, headers={HEADER: "k"})
    with served.store.write() as connection:
        found = Reconciliation(same=1, missing=[], differing=[], unknown=[], added=4)
        note_run(connection, "crm", found, NOW)
        note_run(connection, "crm", found, NOW)
    lines = served.get("/metrics").text.splitlines()
    figures = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert float(figures["propensity_requests_replayed_total"]) == 2
    assert float(figures["propensity_outcomes_found_by_reconciliation_total"]) == 8
    assert float(figures["propensity_reconciled_timestamp_seconds"]) == NOW / 1e6
