"""A score says how sure it is, and leads of whom too little is known go where that was agreed."""

from __future__ import annotations

import re

import pytest
from agreed import DEFINITION_TEXT, agreed
from models_made import LEADS, lead_id, made_model
from served import Served, TestClient, calm

from features.definition import Abstention, Definition
from serving.app import create_app
from serving.caveats import of_evidence


def abstaining(fewer_than: float) -> Definition:
    few = Abstention(fewer_than=fewer_than, route="nurture")
    return agreed().model_copy(update={"abstention": few})


def test_an_interval_holds_its_probability_and_the_evidence_has_two_digits(
    served_lite: Served,
) -> None:
    scores = made_model().model.score(made_model().frame)
    assert scores.lower is not None
    assert scores.upper is not None
    assert scores.leads_like_this is not None
    row = {lead: i for i, lead in enumerate(made_model().frame.lead_ids)}
    for i in range(1, LEADS, 29):
        said = served_lite.get(f"/v1/leads/{lead_id(i)}/score").json()
        lower, upper = said["interval"]
        assert 0 < lower < said["probability"] < upper < 1
        at = row[lead_id(i)]
        assert said["interval"] == [scores.lower[at], scores.upper[at]]
        like = float(scores.leads_like_this[at])
        assert said["leads_like_this"] == pytest.approx(like, rel=0.051)
        digits = re.sub(r"e.*|\.", "", f"{said['leads_like_this']:g}").strip("0")
        assert len(digits) <= 2


def test_leads_like_this_is_the_number_whose_rate_would_be_known_as_well() -> None:
    """1 / (n p (1 − p)) is the variance of the log-odds of a rate p seen in n leads.

    The model's Platt calibrator stretches raw by its slope, and so the standard deviation.
    """
    made = made_model()
    scores = made.model.score(made.frame)
    variance = made.model.learner.judged(made.model.encoder.matrix(made.frame))[1]
    assert variance is not None
    assert scores.leads_like_this is not None
    for i in (0, 50, 200):
        p, n = float(scores.probability[i]), float(scores.leads_like_this[i])
        stretched = made.model.calibrator.slope**2 * float(variance[i])
        assert 1 / (n * p * (1 - p)) == pytest.approx(stretched, rel=1e-6)


@pytest.mark.parametrize(
    ("fewer_than", "leads", "warned"),
    [(20, 19.9, True), (20, 20.0, False), (20, None, False), (20, 1e9, False), (0.5, 0.2, True)],
)
def test_a_caveat_is_told_where_the_abstention_routes(
    fewer_than: float, leads: float | None, warned: bool
) -> None:
    found = of_evidence(abstaining(fewer_than), leads)
    assert bool(found) is warned
    for caveat in found:
        assert caveat.code == "not_enough_like_this"
        assert f"fewer than {fewer_than:g}" in caveat.message
        assert "nurture" in caveat.message
    assert of_evidence(agreed(), leads) == []


def test_served_scores_follow_the_abstention_and_say_so(served_lite: Served) -> None:
    plain = served_lite.get("/v1/leads/L-0007/score").json()
    assert "not_enough_like_this" not in str(plain["warnings"])
    fewer_than = 2 * plain["leads_like_this"]
    text = f"abstention: {{fewer_than: {fewer_than}, route: hand_back}}\n"
    served_lite.workspace.definition_path.write_text(DEFINITION_TEXT + text, encoding="utf-8")
    settings, workspace, clock = calm(), served_lite.workspace, served_lite.clock
    with TestClient(create_app(settings, workspace, clock)) as client:
        again = Served(client, workspace, clock, served_lite.keys)
        answer = again.get("/v1/leads/L-0007/score").json()
    assert plain["route"] != answer["route"] == "hand_back"
    assert answer["probability"] == plain["probability"]
    assert "not_enough_like_this" in str(answer["warnings"])
