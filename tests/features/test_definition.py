"""Is a lead definition read as it was meant, refused as a whole, and recognised again?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from agreed import DEFINITION_TEXT, agreed
from hypothesis import given
from hypothesis import strategies as st

from features.clock import DAY
from features.definition import (
    DEFAULT_ROUTES,
    Cohorts,
    Definition,
    Ranking,
    parse_definition,
    read_definition,
)
from features.errors import DefinitionError

AGREED = agreed()


def _problems(text: str) -> list[str]:
    with pytest.raises(DefinitionError) as refusal:
        parse_definition(text, "deal.yaml")
    assert refusal.value.hint == "docs/definition.md explains every key."
    return [str(problem) for problem in refusal.value.problems]


def _with(**changes: Any) -> Definition:
    return Definition.model_validate({**AGREED.model_dump(), **changes})


# -- reading ------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["No", "Yes", "no", "on", "OFF", "y", "2024-05-01", "12:30:00"])
def test_words_that_yaml_takes_for_something_else_stay_answers(word: str) -> None:
    text = f"{{name: a, bant: {{need: [{{name: q, answers: [Maybe, {word}]}}]}}}}"
    if word == "12:30:00":
        assert "Input should be a valid string" in _problems(text)[0]  # a number in base 60
        text = text.replace(word, f'"{word}"')
    assert parse_definition(text).questions[0].answers.sales == ("Maybe", word)


@pytest.mark.parametrize("word", ["true", "True"])
def test_only_true_and_false_are_booleans(word: str) -> None:
    definition = parse_definition(f"{{name: a, stages: [{{name: gone, closed: {word}}}]}}")
    assert definition.stages[0].closed is True
    assert _problems("{name: a, attributes: [{name: b, type: number, sensitive: perhaps}]}")


def test_one_ranking_stands_for_both_sides() -> None:
    pain = AGREED.question_by_name["pain"]
    assert pain.agreed
    assert pain.answers == Ranking(
        sales=("Severe", "Some", "None at all"), marketing=("Severe", "Some", "None at all")
    )
    assert not AGREED.question_by_name["role"].agreed


def test_questions_come_in_the_order_in_which_they_are_asked() -> None:
    assert [(AGREED.dimension_of[q.name], q.name) for q in AGREED.questions] == [
        ("budget", "budget_allocated"),
        ("authority", "role"),
        ("need", "pain"),
        ("need", "replaces"),
        ("timeline", "buys_within"),
    ]


def test_a_name_is_enough_for_a_kind_of_event() -> None:
    assert [kind.name for kind in AGREED.engagement.kinds] == ["visit", "webinar", "email_click"]
    assert [kind.words for kind in AGREED.engagement.kinds] == ["visit", "Webinar", "email click"]


def test_every_company_has_the_stages_into_which_deals_move_leads() -> None:
    names = [(stage.name, stage.closed) for stage in AGREED.all_stages]
    assert names == [
        ("new", False),
        ("qualified", False),
        ("parked", True),
        ("won", True),
        ("lost", True),
        ("reopened", False),
    ]


def test_a_stage_that_every_company_has_can_be_redescribed_and_is_there_once() -> None:
    own = parse_definition("{name: a, stages: [{name: lost, label: Gone, closed: true}]}")
    assert [stage.words for stage in own.all_stages] == ["Gone", "won", "reopened"]


def test_sensitive_and_late_attributes_are_no_features() -> None:
    kept = {a.name for a in AGREED.attributes if a.is_feature}
    assert {a.name for a in AGREED.attributes} - kept == {"age", "close_reason"}


@pytest.mark.parametrize(
    ("probability", "route"),
    [
        (1.0, "sales_ready"),
        (0.3, "sales_ready"),
        (0.2999999, "nurture"),
        (0.05, "nurture"),
        (0.0499999, "hand_back"),
        (0.0, "hand_back"),
    ],
)
def test_a_probability_takes_the_first_route_whose_threshold_it_reaches(
    probability: float, route: str
) -> None:
    assert AGREED.route_for(probability).name == route


def test_a_definition_cannot_be_changed() -> None:
    with pytest.raises(Exception, match="frozen"):
        AGREED.name = "other"  # type: ignore[misc]


# -- refusing -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be a mapping of keys, got NoneType"),
        ("[a]", "must be a mapping of keys, got list"),
        ("{a: b", "is not YAML"),
        ("{a: !!python/object:os.system b}", "is not YAML"),
    ],
)
def test_what_is_no_definition_at_all_is_refused(text: str, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        parse_definition(text, "deal.yaml")


def _bant(question: str) -> str:
    return f"{{name: a, bant: {{need: [{question}]}}}}"


def _attribute(attribute: str) -> str:
    return f"{{name: a, attributes: [{attribute}]}}"


REFUSED = {
    "misspelt key": ("{name: a, horison_days: 5}", "horison_days = 5: Extra inputs"),
    "no name": ("{}", "name: Field required"),
    "a name with capitals": ("{name: Deal}", "name = 'Deal': String should match pattern"),
    "no horizon at all": (
        "{name: a, horizon_days: 0}",
        "horizon_days = 0: Input should be greater",
    ),
    "infinite horizon": ("{name: a, horizon_days: .inf}", "horizon_days = inf: Input should be"),
    "infinite lag": (
        "{name: a, reporting_lag_days: .inf}",
        "reporting_lag_days = inf: Input should",
    ),
    "not a number": ("{name: a, horizon_days: .nan}", "horizon_days = nan: Input should be"),
    "unknown type": (
        _attribute("{name: b, type: text}"),
        "attributes.0.type = 'text': Input should be",
    ),
    "values of a number": (
        _attribute("{name: b, type: number, values: [x]}"),
        "values are for categories; b is a number",
    ),
    "a value twice": (
        _attribute("{name: b, type: category, values: [x, x]}"),
        "a value of b is listed twice in ['x', 'x']",
    ),
    "monotone category": (
        _attribute("{name: b, type: category, monotone: 1}"),
        "monotone is for numbers and dates; b is a category",
    ),
    "a ranked twice": (
        _bant("{name: b, answers: [x, x]}"),
        "bant.need.0.answers: an answer is ranked twice in ['x', 'x']",
    ),
    "other answers": (
        _bant("{name: b, answers: {sales: [x, y], marketing: [x, z]}}"),
        "sales and marketing must rank the same answers; differ in ['y', 'z']",
    ),
    "no answers": (
        _bant("{name: b, answers: {sales: [], marketing: [x]}}"),
        "answers.sales = []: Tuple should have at least 1",
    ),
    "unknown as an answer": (
        _bant("{name: b, answers: [x, unknown]}"),
        "['unknown'] cannot be an answer and unknown or unanswered at once",
    ),
    "an answer that is unanswered": (
        _bant("{name: b, answers: [x, y], unanswered: [y]}"),
        "['y'] cannot be an answer and unknown or unanswered at once",
    ),
    "windows that shrink": (
        "{name: a, engagement: {windows_days: [7, 7]}}",
        "windows_days must grow, got [7.0, 7.0]",
    ),
    "no window": (
        "{name: a, engagement: {windows_days: []}}",
        "engagement.windows_days = []: Tuple should have at least 1",
    ),
    "two rules for cohorts": (
        "{name: a, cohorts: {every_days: 1, after_opening_hours: 1}}",
        "cohorts: say either every_days or after_opening_hours",
    ),
    "no rule for cohorts": (
        "{name: a, cohorts: {}}",
        "say either every_days or after_opening_hours",
    ),
    "an order without a clock": (
        "{name: a, time: ordered}",
        "time: ordered needs cohorts: after_opening_hours: 0",
    ),
    "no horizon with a cadence": (
        "{name: a, horizon_days: null}",
        "without horizon_days, cohorts must say after_opening_hours",
    ),
    "an attribute twice": (
        _attribute("{name: b, type: number}, {name: b, type: date}"),
        "attributes and questions: b is named twice",
    ),
    "a kind twice": (
        "{name: a, engagement: {kinds: [b, b]}}",
        "engagement.kinds: b is named twice",
    ),
    "a channel twice": (
        "{name: a, engagement: {channels: [b, b]}}",
        "engagement.channels: b is named",
    ),
    "a stage twice": ("{name: a, stages: [{name: b}, {name: b}]}", "stages: b is named twice"),
    "no route": ("{name: a, routes: []}", "routes: at least one is needed"),
    "routes that rise": (
        "{name: a, routes: [{name: b, at_least: 0.1}, {name: c, at_least: 0.2}, {name: d}]}",
        "routes: thresholds must fall and end with 0, got [0.1, 0.2, 0.0]",
    ),
    "routes that leave some out": (
        "{name: a, routes: [{name: b, at_least: 0.1}]}",
        "routes: thresholds must fall and end with 0, got [0.1]",
    ),
    "a route to nowhere": (
        "{name: a, routes: [{name: b, if_not_accepted: c}]}",
        "routes.b.if_not_accepted: c is no route; there are ['b']",
    ),
    "won, and yet open": ("{name: a, stages: [{name: won}]}", "stages.won.closed must be true"),
    "reopened, and yet closed": (
        "{name: a, stages: [{name: reopened, closed: true}]}",
        "stages.reopened.closed must be false",
    ),
    "an attribute that is not there": (
        "{name: a, sources: [{file: f.csv, attributes: {b: B}}]}",
        "sources.f.csv.attributes: b is not among the attributes",
    ),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_does_not_hold_together_is_refused_with_its_place_and_value(
    text: str, message: str
) -> None:
    problems = _problems(text)
    assert len(problems) == 1
    assert problems[0].startswith("deal.yaml: ")
    assert message in problems[0]


def test_all_problems_are_told_at_once() -> None:
    found = _problems(
        "{name: A, horizon_days: -1, colour: red, stages: [{name: B}],"
        " attributes: [{name: c, type: text}]}"
    )
    assert len(found) == 5
    found = _problems(
        "{name: a, routes: [], stages: [{name: won}], engagement: {kinds: [b, b], channels: [c, c]}}"
    )
    for part in ("routes: at least", "stages.won", "kinds: b", "channels: c"):
        assert part in found[0]


def test_a_refusal_never_repeats_a_long_value() -> None:
    assert len(_problems(f"{{name: {'x' * 10_000}}}")[0]) < 300


# -- files --------------------------------------------------------------------------------------


def test_a_file_is_read_and_named_in_messages(tmp_path: Path) -> None:
    path = tmp_path / "deal.yaml"
    path.write_text(DEFINITION_TEXT, encoding="utf-8")
    assert read_definition(path) == AGREED
    path.write_text("{name: A}")
    with pytest.raises(DefinitionError, match=r"deal\.yaml"):
        read_definition(path)


def test_a_file_that_cannot_be_read_says_how_to_make_one(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes("name: größe".encode("latin-1"))
    for name in ("absent.yaml", "latin.yaml"):
        with pytest.raises(DefinitionError, match=name) as refusal:
            read_definition(tmp_path / name)
        assert "propensity init" in refusal.value.hint


# -- writing ------------------------------------------------------------------------------------

_SOURCE = {
    "file": "leads.csv",
    "format": {"separator": ";", "decimal": ",", "timezone": "Europe/Berlin"},
    "join": [{"file": "accounts.csv", "on": {"account": "id"}, "columns": ["Size"]}],
    "lead": "Id",
    "opened_at": {"month": "Month", "first_year": 2008},
    "attributes": {"city": "City"},
    "events": {"kind": {"value": "visit"}, "at": "Time", "kinds": {"No": "visit"}},
    "outcome": {"column": "Result", "won": ["Yes"], "lost": ["No", "off"]},
}


@pytest.mark.parametrize(
    "definition",
    [
        AGREED,
        Definition(name="bare"),
        Definition(name="undated", time="none", cohorts=Cohorts(after_opening_hours=0)),
        Definition(name="open", horizon_days=None, cohorts=Cohorts(after_opening_hours=24)),
        _with(sources=[_SOURCE]),
    ],
    ids=lambda definition: definition.name,
)
def test_a_definition_can_be_read_again_from_the_yaml_it_writes(definition: Definition) -> None:
    again = parse_definition(definition.to_yaml())
    assert again == definition
    assert again.hash == definition.hash


def test_the_horizon_is_the_promise_and_always_written() -> None:
    assert "horizon_days: 90.0" in Definition(name="bare").to_yaml()


_WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8).filter(
    lambda word: word.strip() == word and word != "unknown"
)


@given(st.lists(_WORDS, min_size=1, max_size=4, unique=True), st.randoms(use_true_random=False))
def test_answers_of_any_wording_can_be_read_again(words: list[str], random: Any) -> None:
    ranking = {"sales": words, "marketing": random.sample(words, len(words))}
    definition = Definition.model_validate(
        {
            "name": "a",
            "bant": {"need": [{"name": "q", "answers": ranking}]},
            "attributes": [{"name": "b", "type": "category", "values": words}],
        }
    )
    assert parse_definition(definition.to_yaml()) == definition


# -- recognising --------------------------------------------------------------------------------


def test_the_hash_does_not_depend_on_where_facts_come_from_or_how_the_file_is_laid_out() -> None:
    assert _with(sources=[_SOURCE]).hash == AGREED.hash
    assert parse_definition(yaml.safe_dump(AGREED.model_dump(mode="json"))).hash == AGREED.hash
    assert parse_definition(DEFINITION_TEXT + "\n# a note\n").hash == AGREED.hash


CHANGES: dict[str, Any] = {
    "name": "other",
    "horizon_days": 91,
    "reporting_lag_days": 2,
    "time": "ordered",
    "cohorts": {"after_opening_hours": 0},
    "attributes": AGREED.attributes[1:],
    "bant": {**AGREED.bant.model_dump(), "budget": ()},
    "engagement": {**AGREED.engagement.model_dump(), "windows_days": (7,)},
    "stages": AGREED.stages[::-1],
    "routes": DEFAULT_ROUTES,
    "expected_win_rate": 0.1,
    "segments": ("industry",),
    "abstention": {"fewer_than": 10, "route": AGREED.routes[0].name},
}


@pytest.mark.parametrize("key", [key for key in Definition.model_fields if key != "sources"])
def test_the_hash_depends_on_everything_else(key: str) -> None:
    changes = {key: CHANGES[key]}
    if key == "time":
        changes["cohorts"] = {"after_opening_hours": 0}
        assert _with(**changes).hash != _with(cohorts=changes["cohorts"]).hash
    assert _with(**changes).hash != AGREED.hash


def test_the_hash_of_a_number_does_not_depend_on_how_it_is_written() -> None:
    written = [
        parse_definition(f"{{name: bare, horizon_days: {n}}}") for n in ("90", "90.0", "9e+1")
    ]
    assert {definition.hash for definition in written} == {Definition(name="bare").hash}


def test_an_outcome_counts_a_horizon_and_the_lag_later_and_without_a_horizon_at_once() -> None:
    dated = parse_definition("name: a\nhorizon_days: 60\nreporting_lag_days: 2.5\n")
    assert dated.outcome_wait == round(62.5 * DAY)
    text = (
        "name: a\nhorizon_days: null\nreporting_lag_days: 2.5\ncohorts: {after_opening_hours: 1}\n"
    )
    assert parse_definition(text).outcome_wait == 0
