"""Is a score what the model says of the facts, and is it in the ledger with everything it needs?"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from agreed import NOW, agreed
from models_made import CLOSED, MADE_AT, company, fill, lead_id, made_model

from features.clock import DAY
from features.definition import Definition, parse_definition
from features.errors import ConflictError, InputError, NotFoundError
from features.facts import Event, LeadVersion, Queries, Record
from features.gather import FactsBuilder
from features.pipeline import compute_features
from features.store.engine import Store
from features.store.ingest import ingest, set_do_not_score
from features.store.ledger import read_queue, read_score, score_history
from models.bundle import read_bundle, write_bundle
from serving.scoring import (
    Ask,
    LeadScore,
    Occasion,
    Scorer,
    score,
    score_one,
    score_stored,
)

OCCASION = Occasion(now=NOW)


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    """What scores, read from a bundle as in the service."""
    root = tmp_path_factory.mktemp("bundles")
    made = made_model()
    golden = made.frame.take(np.arange(3))
    digest = write_bundle(
        made.model, root, created_at=MADE_AT, origin="train", golden=golden, card=""
    )
    return Scorer(read_bundle(root, digest), agreed(), MADE_AT)


@pytest.fixture
def filled(store: Store, definition: Definition) -> Store:
    fill(store, definition)
    return store


@pytest.fixture
def filled_lite(sqlite_store: Store, definition: Definition) -> Store:
    fill(sqlite_store, definition)
    return sqlite_store


def test_a_stored_lead_gets_what_the_model_says_of_its_features(
    filled: Store, scorer: Scorer
) -> None:
    facts = FactsBuilder.of_records(agreed(), company()).build()
    for lead in ("L-0001", "L-0100", "L-0239"):
        queries = Queries.at([facts.lead_ids.index(lead)], NOW)
        frame = compute_features(facts, queries, agreed())
        expected = scorer.model.score(frame)
        found = score_one(filled, scorer, Ask(lead, NOW), OCCASION)
        assert found.raw == expected.raw[0]
        assert found.probability == expected.probability[0]
        assert found.inputs == frame.row(0)


def test_base_and_reasons_add_up_to_the_raw_score(filled_lite: Store, scorer: Scorer) -> None:
    for n in (0, 1, 5, 100):
        for lead in ("L-0001", "L-0002", "L-0003"):
            found = score_one(filled_lite, scorer, Ask(lead, NOW), replace(OCCASION, reasons=n))
            total = found.base + sum(reason["log_odds"] for reason in found.reasons)
            assert math.isclose(total, found.raw, abs_tol=1e-9)
            assert len(found.reasons) <= n + 1


def test_the_route_is_the_first_whose_threshold_the_probability_reaches(
    filled_lite: Store, scorer: Scorer
) -> None:
    results = score_stored(filled_lite, scorer, [lead_id(i) for i in range(240)], OCCASION)
    seen = set()
    for found in results:
        assert isinstance(found, LeadScore)
        if found.probability >= 0.3:
            expected = "sales_ready"
        elif found.probability >= 0.05:
            expected = "nurture"
        else:
            expected = "hand_back"
        assert found.route == expected
        seen.add(expected)
    assert len(seen) == 3, "the company reaches every route"


def test_every_score_is_in_the_ledger_with_its_inputs_and_reasons(
    filled: Store, scorer: Scorer
) -> None:
    occasion = Occasion(now=NOW, channel="batch", request_id="r-1", reasons=2)
    found = score_one(filled, scorer, Ask("L-0007", NOW - DAY), occasion)
    assert found.score_id is not None
    with filled.read() as connection:
        kept = read_score(connection, found.score_id)
    assert kept is not None
    assert kept["lead_id"] == "L-0007"
    assert (kept["as_of"], kept["scored_at"]) == (NOW - DAY, NOW)
    assert (kept["raw"], kept["probability"]) == (found.raw, found.probability)
    assert (kept["bundle"], kept["definition"]) == (scorer.model.digest, agreed().hash)
    assert (kept["channel"], kept["request_id"]) == ("batch", "r-1")
    assert kept["inputs"] == found.inputs


@pytest.mark.parametrize("asked", [0, 2, 100])
def test_the_ledger_and_the_queue_keep_the_top_reasons_however_many_were_asked_for(
    filled_lite: Store, scorer: Scorer, asked: int
) -> None:
    usual = score_one(filled_lite, scorer, Ask("L-0007", NOW), OCCASION)
    occasion = Occasion(now=NOW, reasons=asked)
    found = score_one(filled_lite, scorer, Ask("L-0007", NOW), occasion)
    assert found.reasons != usual.reasons
    assert found.score_id is not None
    with filled_lite.read() as connection:
        kept = read_score(connection, found.score_id)
        (shown,) = [r for r in read_queue(connection, limit=999).rows if r["lead_id"] == "L-0007"]
    assert kept is not None
    assert kept["reasons"] == shown["reasons"] == list(usual.reasons)


def test_what_was_not_known_at_the_instant_changes_nothing(
    filled_lite: Store, scorer: Scorer
) -> None:
    then = NOW - 10 * DAY
    before = score_one(filled_lite, scorer, Ask("L-0010", then), OCCASION)
    late = [
        Event(lead="L-0010", kind="webinar", occurred_at=then - DAY, recorded_at=then),
        Event(lead="L-0010", kind="visit", occurred_at=then, recorded_at=then),
    ]
    with filled_lite.write() as connection:
        assert ingest(connection, late, agreed(), NOW).added == 2
    after = score_one(filled_lite, scorer, Ask("L-0010", then), OCCASION)
    assert (after.inputs, after.raw) == (before.inputs, before.raw)
    now = score_one(filled_lite, scorer, Ask("L-0010", NOW), OCCASION)
    assert now.inputs["ev_webinar_ever"] == (before.inputs["ev_webinar_ever"] or 0) + 1


def test_a_lead_sent_along_scores_as_if_it_were_stored(filled_lite: Store, scorer: Scorer) -> None:
    for lead in ("L-0002", "L-0013"):
        records = tuple(record for record in company() if record.lead == lead)
        renamed: tuple[Record, ...] = tuple(replace(r, lead="not-stored") for r in records)
        stored = score_one(filled_lite, scorer, Ask(lead, NOW), OCCASION)
        sent = score_one(filled_lite, scorer, Ask("not-stored", NOW, renamed), OCCASION)
        assert (sent.raw, sent.inputs) == (stored.raw, stored.inputs)


def test_two_descriptions_of_one_lead_in_a_batch_do_not_mix(
    filled_lite: Store, scorer: Scorer
) -> None:
    def described(industry: str) -> Ask:
        version = LeadVersion(
            lead="twin", occurred_at=NOW - DAY, recorded_at=NOW - DAY, attributes={"city": industry}
        )
        return Ask("twin", NOW, (version,))

    found = score(filled_lite, scorer, [described("Bonn"), described("Trier")], OCCASION)
    cities = [one.inputs["attr_city"] for one in found if isinstance(one, LeadScore)]
    assert cities == ["Bonn", "Trier"]
    assert [one.lead for one in found if isinstance(one, LeadScore)] == ["twin", "twin"]


def test_answers_come_in_the_order_asked_whatever_their_sort(
    filled_lite: Store, scorer: Scorer
) -> None:
    version = LeadVersion(lead="sent", occurred_at=NOW - DAY, recorded_at=NOW - DAY)
    asks = [
        Ask("L-0003", NOW),
        Ask("sent", NOW, (version,)),
        Ask("nobody", NOW),
        Ask("L-0001", NOW - DAY),
        Ask("L-0003", NOW - DAY),
        Ask("sent", NOW - 2 * DAY, (version,)),
    ]
    found = score(filled_lite, scorer, asks, OCCASION)
    named = [one.lead if isinstance(one, LeadScore) else type(one).__name__ for one in found]
    expected = ["L-0003", "sent", "NotFoundError", "L-0001", "L-0003", "InputError"]
    assert named == expected
    scores = [one for one in found if isinstance(one, LeadScore)]
    assert [one.as_of for one in scores] == [NOW, NOW, NOW - DAY, NOW - DAY]
    assert len({one.score_id for one in scores}) == len(scores)


def test_an_unknown_lead_is_not_found(filled_lite: Store, scorer: Scorer) -> None:
    with pytest.raises(NotFoundError):
        score_one(filled_lite, scorer, Ask("nobody", NOW), OCCASION)


def test_a_lead_is_not_scored_for_an_instant_at_which_it_was_not_known(
    filled_lite: Store, scorer: Scorer
) -> None:
    with pytest.raises(InputError, match="nothing was known"):
        score_one(filled_lite, scorer, Ask("L-0001", NOW - 3_000 * DAY), OCCASION)
    with filled_lite.read() as connection:
        assert score_history(connection, "L-0001") == []


def test_who_objected_is_scored_neither_from_the_store_nor_as_sent_along(
    filled_lite: Store, scorer: Scorer
) -> None:
    with filled_lite.write() as connection:
        set_do_not_score(connection, "L-0005", objected=True)
    records = tuple(record for record in company() if record.lead == "L-0005")
    for ask in (Ask("L-0005", NOW), Ask("L-0005", NOW, records)):
        with pytest.raises(ConflictError):
            score_one(filled_lite, scorer, ask, OCCASION)
    with filled_lite.read() as connection:
        assert score_history(connection, "L-0005") == []


def test_only_the_present_of_stored_leads_enters_the_queue(filled: Store, scorer: Scorer) -> None:
    def queued() -> list[str]:
        with filled.read() as connection:
            return [row["lead_id"] for row in read_queue(connection).rows]

    records = tuple(record for record in company() if record.lead == "L-0002")
    score_one(filled, scorer, Ask("L-0001", NOW - 1), OCCASION)
    score_one(filled, scorer, Ask("L-0002", NOW, records), OCCASION)
    assert queued() == []
    score_one(filled, scorer, Ask("L-0001", NOW), OCCASION)
    assert queued() == ["L-0001"]


def test_a_closed_lead_is_scored_with_a_warning_and_not_queued(
    filled_lite: Store, scorer: Scorer
) -> None:
    lead = lead_id(min(CLOSED))
    found = score_one(filled_lite, scorer, Ask(lead, NOW), OCCASION)
    assert [caveat.code for caveat in found.caveats] == ["closed_lead"]
    with filled_lite.read() as connection:
        assert read_queue(connection).total == 0


def test_a_value_the_model_has_not_learned_is_said(filled_lite: Store, scorer: Scorer) -> None:
    version = LeadVersion(
        lead="new", occurred_at=NOW - DAY, recorded_at=NOW - DAY, attributes={"city": "Aachen"}
    )
    found = score_one(filled_lite, scorer, Ask("new", NOW, (version,)), OCCASION)
    (caveat,) = found.caveats
    assert caveat.code == "unseen_category"
    assert "city" in caveat.message
    assert "Aachen" not in caveat.message


def test_a_lead_of_which_nothing_is_known_is_scored_and_said_so(
    filled_lite: Store, scorer: Scorer
) -> None:
    version = LeadVersion(lead="new", occurred_at=NOW - DAY, recorded_at=NOW - DAY)
    found = score_one(filled_lite, scorer, Ask("new", NOW, (version,)), OCCASION)
    assert [caveat.code for caveat in found.caveats] == ["no_facts"]


def test_an_old_model_a_changed_definition_and_the_models_own_warnings_are_said(
    filled_lite: Store, scorer: Scorer, definition_text: str
) -> None:
    changed = parse_definition(definition_text.replace("at_least: 0.3", "at_least: 0.4"))
    doubted = replace(
        scorer,
        agreed=changed,
        created_at=NOW - 181 * DAY,
        model=replace(scorer.model, about={"warnings": ["few wins"]}),
    )
    found = score_one(filled_lite, doubted, Ask("L-0001", NOW), OCCASION)
    codes = [caveat.code for caveat in found.caveats]
    assert codes == ["model", "definition_differs", "stale_model"]
    unknown = replace(scorer, created_at=None)
    found = score_one(filled_lite, unknown, Ask("L-0001", NOW), OCCASION)
    assert [caveat.code for caveat in found.caveats] == ["model_age_unknown"]


def test_features_are_the_models_definition_and_routes_the_agreed_one(
    filled_lite: Store, scorer: Scorer, definition_text: str, tmp_path: Path
) -> None:
    text = definition_text.replace("at_least: 0.3", "at_least: 0.99").replace(
        "kinds: [visit, {name: webinar, label: Webinar}, email_click]", "kinds: [fax]"
    )
    other = replace(scorer, agreed=parse_definition(text))
    as_before = score_one(filled_lite, scorer, Ask("L-0001", NOW), OCCASION)
    assert as_before.route == "sales_ready"
    found = score_one(filled_lite, other, Ask("L-0001", NOW), OCCASION)
    assert (found.raw, found.inputs) == (as_before.raw, as_before.inputs)
    assert found.route == "nurture"


def test_scoring_nothing_writes_nothing(filled_lite: Store, scorer: Scorer) -> None:
    assert score(filled_lite, scorer, [], OCCASION) == []
