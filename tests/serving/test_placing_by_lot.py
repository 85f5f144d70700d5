"""Are lots drawn as they are logged: as often as is said, the same all day, and of the list alone?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.store.trials import Rules
from serving.placing_by_lot import Placed, placed


def leads(n: int) -> list[tuple[int, str]]:
    return [(i, f"L{i}") for i in range(n)]


def drawn(salt: int) -> object:
    """Lots like the database's: for each text its own number, the same again."""

    def lots(texts: Sequence[str]) -> list[float]:
        found = (blake2b(f"{salt}:{text}".encode(), digest_size=8) for text in texts)
        return [int.from_bytes(one.digest(), "big") / 2.0**64 for one in found]

    return lots


def order(n: int, rules: Rules, salt: int = 0, day: int = 1) -> list[Placed]:
    return placed(leads(n), rules, "owner=anna", day, drawn(salt))  # type: ignore[arg-type]


@given(
    st.integers(0, 60),
    st.sampled_from([0.0, 0.05, 0.31, 0.5]),
    st.sampled_from([0.0, 0.1, 0.5]),
    st.integers(1, 70),
    st.integers(0, 5),
)
def test_every_lead_stands_in_one_place_and_the_others_keep_their_order(
    n: int, explore: float, holdout: float, top: int, salt: int
) -> None:
    found = order(n, Rules(explore, holdout, top), salt)
    assert sorted(one.key for one in found) == list(range(n))
    by_score = [one.key for one in found if one.place == "score"]
    assert all(a < b for a, b in pairwise(by_score))
    assert all(0 <= one.chance <= 1 for one in found)
    explored = [i for i, one in enumerate(found) if one.place == "explored"]
    assert all(i < top for i in explored)
    assert len(explored) <= explore * top + 1


def test_without_shares_the_list_is_the_scores_and_nothing_was_left_to_chance() -> None:
    found = order(9, Rules(0.0, 0.0, 4))
    assert [one.key for one in found] == list(range(9))
    assert [one.chance for one in found] == [1.0] * 4 + [0.0] * 5


@pytest.mark.parametrize("rules", [Rules(0.25, 0.0, 8), Rules(0.13, 0.0, 8)])
def test_a_lead_is_among_the_first_as_often_as_is_logged(rules: Rules) -> None:
    n, days = 16, 1_500
    lists = [order(n, rules, day=day) for day in range(days)]
    first = Counter(one.key for found in lists for one in found[: rules.top])
    for found in lists:
        assert sum(one.chance for one in found) == pytest.approx(rules.top)
        assert len({one.chance for one in found} - {1.0}) == 1, "what is not certain is one chance"
    chances = {
        key: np.mean([one.chance for found in lists for one in found if one.key == key])
        for key in range(n)
    }
    for key, chance in chances.items():
        error = 4.5 * np.sqrt(max(chance * (1 - chance), 1e-9) / days)
        assert first[key] / days == pytest.approx(chance, abs=error + 1e-12)


def test_a_held_out_lead_is_first_as_often_as_any_other_whatever_its_score() -> None:
    rules, n, worlds = Rules(0.0, 0.5, 5), 20, 1_500
    among: Counter[int] = Counter()
    held: Counter[int] = Counter()
    logged: dict[int, float] = dict.fromkeys(range(n), 0.0)
    for salt in range(worlds):
        for i, one in enumerate(order(n, rules, salt)):
            if one.place == "holdout":
                held[one.key] += 1
                among[one.key] += i < rules.top
                logged[one.key] += one.chance
    for key in range(n):
        rate, said = among[key] / held[key], logged[key] / held[key]
        assert rate == pytest.approx(said, abs=4.5 * np.sqrt(0.25 * 0.75 / held[key]))
        assert said == pytest.approx(0.25, abs=0.04)


def test_a_holdout_is_the_same_every_day_and_exploration_is_not() -> None:
    rules = Rules(0.3, 0.3, 20)
    days = [order(200, rules, day=day) for day in (1, 2)]
    assert days[0] == order(200, rules, day=1)
    held = [{one.key for one in day if one.place == "holdout"} for day in days]
    explored = [{one.key for one in day if one.place == "explored"} for day in days]
    assert held[0] == held[1]
    assert explored[0] != explored[1]
    assert 35 <= len(held[0]) <= 85
