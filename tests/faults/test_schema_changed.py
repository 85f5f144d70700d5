"""Does a running service get over a schema that is changed under its prepared statements?"""

from __future__ import annotations

from collections.abc import Callable

from models_made import fill, lead_id
from served import Serve
from sqlalchemy import URL, text

from features.definition import Definition
from features.store.engine import Store


def test_a_changed_column_costs_a_refusal_and_never_an_error(
    serve: Serve, new_postgres_database: Callable[[], URL], definition: Definition
) -> None:
    url = new_postgres_database().render_as_string(hide_password=False)
    store, elsewhere = Store(url), Store(url)
    fill(store, definition)
    served = serve(store)
    calls = [
        lambda: served.post("/v1/scores", json={"lead": lead_id(1)}),
        lambda: served.post("/v1/scores", content=b'{"lead": "\\ud800"}'),
        lambda: served.get(f"/v1/leads/{lead_id(1)}/scores"),
        lambda: served.get("/v1/queue"),
        lambda: served.put(f"/v1/leads/{lead_id(2)}", json={"owner": "anna"}),
    ]
    usual = [200, 422, 200, 200, 200]
    for _ in range(8):
        assert [call().status_code for call in calls] == usual
    for to in ("text", "varchar(300)"):
        with elsewhere.write() as connection:
            for column in (
                "leads.external_id",
                "lead_versions.owner",
                "scores.route",
                "api_keys.name",
            ):
                table, name = column.split(".")
                connection.execute(text(f"ALTER TABLE {table} ALTER COLUMN {name} TYPE {to}"))
        for call, expected in zip(calls, usual, strict=True):
            while (answer := call()).status_code != expected:
                assert answer.status_code == 503
                assert answer.headers["retry-after"] == "1"
    for one in (store, elsewhere):
        one.close()
