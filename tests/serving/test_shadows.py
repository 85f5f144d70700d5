"""Is a shadow's score evidence, and never shown to anybody?"""

from __future__ import annotations

import pytest
from agreed import NOW
from models_made import lead_id, put_bundle
from on_record import decide, decision
from served import Served
from sqlalchemy import select

from features.clock import DAY
from features.store.ledger import SHADOW, current, scores
from features.store.promotions import BundleRecord, record_bundle, record_decision
from features.store.shadows import MOST, pairs, undecided
from serving.queue_step import score_queue


@pytest.fixture
def shadowed(served: Served) -> tuple[Served, str]:
    """A service whose champion has an undecided challenger beside it, and the challenger's digest."""
    workspace = served.workspace
    champion = workspace.registry.champion_digest()
    digest = put_bundle(workspace, seed=2)
    decide(
        served.store,
        digest,
        "undecided",
        decided_at=NOW - DAY,
        against=champion,
        reason="200 more leads would decide",
        evidence={"leads": 50},
    )
    return served, digest


def test_a_shadow_is_scored_beside_the_champion_and_shown_to_nobody(
    shadowed: tuple[Served, str],
) -> None:
    served, digest = shadowed
    done = score_queue(served.workspace, NOW)
    assert done is not None
    assert done["shadows"] == [digest]
    assert done["logged"] == done["scored"] > 200
    with served.store.read() as connection:
        logged = connection.execute(
            select(scores).where(scores.c.channel == SHADOW, scores.c.lead_id == lead_id(1))
        ).one()
        places = connection.execute(
            select(scores.c.bundle).join(current, current.c.score == scores.c.id).distinct()
        ).all()
    assert [row.bundle for row in places] == [done["model"]]
    for path in (
        f"/v1/leads/{lead_id(1)}/scores",
        f"/v1/leads/{lead_id(1)}/score",
        "/v1/queue?limit=200",
        "/v1/model",
    ):
        answer = served.get(path)
        assert answer.status_code == 200, (path, answer.text)
        assert digest not in answer.text, path
        assert digest[:12] not in answer.text, path
        assert f'"score_id":{logged.id},' not in answer.text.replace(" ", ""), path


def test_a_shadow_and_the_champion_speak_of_the_same_leads_and_moments(
    shadowed: tuple[Served, str],
) -> None:
    served, digest = shadowed
    for at in (NOW, NOW + DAY):
        score_queue(served.workspace, at)
    with served.store.read() as connection:
        champion = served.workspace.registry.champion_digest()
        assert champion is not None
        found = pairs(connection, digest, champion, NOW + 2 * DAY)
        earlier = pairs(connection, digest, champion, NOW + DAY)
        assert len(pairs(connection, digest, digest, NOW + 2 * DAY)) == 0, "it showed nothing"
        shown = {
            (row.lead_id, row.as_of): row.probability
            for row in connection.execute(select(scores).where(scores.c.channel == "queue"))
        }
    asked = list(zip(found.leads, found.as_of, strict=True))
    assert len(asked) == len(set(asked)) == len(shown) == 2 * len(earlier)
    assert dict(zip(asked, found.champion, strict=True)) == shown
    assert found.challenger != found.champion


def test_only_the_last_undecided_challengers_of_this_champion_are_shadows(
    served_lite: Served,
) -> None:
    served = served_lite
    champion = served.workspace.registry.champion_digest()
    decided = [("undecided", champion)] * 4 + [("keep", champion), ("undecided", None)]
    with served.store.write() as connection:
        for i, (kind, against) in enumerate(decided):
            digest = f"{i:064d}"
            record_bundle(
                connection,
                BundleRecord(
                    digest=digest,
                    created_at=NOW + i,
                    origin="recalibrate" if i == 3 else "train",
                    parent=None,
                    definition="d",
                    summary={},
                ),
            )
            at = {"decided_at": NOW + i, "against": against}
            record_decision(connection, decision(digest, kind, **at))
    with served.store.read() as connection:
        assert undecided(connection) == [f"{2:064d}", f"{1:064d}"]
        assert len(undecided(connection)) == MOST
