"""Expected win rate, segments and abstention: what they mean, and what of them is refused."""

from __future__ import annotations

import pytest
from agreed import DEFINITION_TEXT, agreed

from features.definition import Definition, parse_definition
from features.errors import DefinitionError


def with_keys(text: str) -> Definition:
    return parse_definition(DEFINITION_TEXT + text)


def refused(text: str) -> str:
    with pytest.raises(DefinitionError) as caught:
        with_keys(text)
    return " ".join(f"{problem.field} {problem.message}" for problem in caught.value.problems)


@pytest.mark.parametrize("rate", ["0", "1", "-0.1", "20", ".nan", ".inf", "[0.2]", "a fifth"])
def test_an_expected_win_rate_is_between_0_and_1(rate: str) -> None:
    assert "expected_win_rate" in refused(f"expected_win_rate: {rate}\n")


def test_keys_that_are_left_out_do_not_make_another_agreement() -> None:
    plain = agreed()
    assert plain.expected_win_rate is None
    assert plain.segments == ()
    assert plain.abstention is None
    assert with_keys("expected_win_rate: null\nsegments: []\n").hash == plain.hash


def test_each_of_them_makes_another_agreement() -> None:
    texts = (
        "",
        "expected_win_rate: 0.2\n",
        "expected_win_rate: 0.3\n",
        "segments: [industry]\n",
        "abstention: {fewer_than: 20, route: nurture}\n",
        "abstention: {fewer_than: 30, route: nurture}\n",
    )
    assert len({with_keys(text).hash for text in texts}) == len(texts)


def test_they_survive_being_written_and_read_again() -> None:
    text = (
        "expected_win_rate: 0.2\nsegments: [industry, city]\n"
        "abstention: {fewer_than: 12.5, route: hand_back}\n"
    )
    given = with_keys(text)
    again = parse_definition(given.to_yaml())
    assert again == given
    assert again.hash == given.hash
    assert (again.expected_win_rate, again.segments) == (0.2, ("industry", "city"))


@pytest.mark.parametrize("name", ["employees", "newsletter", "founded", "close_reason", "nobody"])
def test_a_segment_is_a_category_that_may_be_a_feature(name: str) -> None:
    assert f"segments: {name} is no category" in refused(f"segments: [{name}]\n")


def test_a_segment_is_named_once() -> None:
    assert "city is named twice" in refused("segments: [city, industry, city]\n")


def test_an_abstention_leads_to_a_route_there_is() -> None:
    said = refused("abstention: {fewer_than: 20, route: nowhere}\n")
    assert "abstention.route: nowhere is no route" in said
    assert "hand_back" in said


@pytest.mark.parametrize("given", ["{fewer_than: 0, route: nurture}", "{route: nurture}", "20"])
def test_an_abstention_says_fewer_than_what_and_where_to(given: str) -> None:
    assert "abstention" in refused(f"abstention: {given}\n")


@pytest.mark.parametrize(
    ("probability", "leads_like_this", "route"),
    [
        (0.5, None, "sales_ready"),  # not known is not few
        (0.5, 20.0, "sales_ready"),  # as many as agreed is not fewer
        (0.5, 19.999, "nurture"),
        (0.5, 0.0, "nurture"),
        (0.001, 3.0, "nurture"),  # whatever the probability
        (0.001, 300.0, "hand_back"),
        (0.1, float("inf"), "nurture"),
    ],
)
def test_too_few_leads_like_this_go_where_it_was_agreed(
    probability: float, leads_like_this: float | None, route: str
) -> None:
    definition = with_keys("abstention: {fewer_than: 20, route: nurture}\n")
    assert definition.route_for(probability, leads_like_this).name == route


def test_without_an_abstention_few_leads_do_not_matter() -> None:
    for like in (None, 0.0, 1.0, 1e9):
        assert agreed().route_for(0.5, like).name == "sales_ready"
        assert agreed().route_for(0.1, like).name == "nurture"
        assert agreed().route_for(0.0, like).name == "hand_back"
