"""Are the simulated company's probabilities true? Two proofs that share nothing with how they are made.

They are compared with a plain-loop reckoning of the daily rules forward in time, and with the
frequency of wins in `deals.csv`. Rows of one lead hang together, so standard errors add up each lead's
residuals first (Liang and Zeger 1986, Biometrika 73(1), the clustered sandwich).
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pandas as pd
import pytest
from simulated_company import END, START, Company, simulated_company, with_outcomes

from features.clock import DAY, HOUR, SECOND
from features.errors import InputError
from training.simulate import Truth, World
from training.simulated.courses import ADVANCE, DOWN, LOSE_RATE, OFF_RATE, UP, WIN_RATE
from training.simulated.drives import Drives
from training.simulated.world import BLOCK, Calendar


@pytest.fixture(scope="module")
def company() -> Company:
    return simulated_company()


@pytest.fixture(scope="module")
def matured(company: Company) -> pd.DataFrame:
    """Truly open rows of the truth whose horizon has passed, with what the files say came of them."""
    return with_outcomes(company, company.truth[company.truth["open"]])


def excess(rows: pd.DataFrame, outcome: str = "won") -> float:
    """By how many standard errors outcomes exceed their probabilities, leads as clusters."""
    residual = (rows[outcome] - rows[f"p_{outcome}"]).groupby(rows["lead_id"]).sum()
    return float(residual.sum() / np.sqrt((residual**2).sum()))


def all_within(rows: pd.DataFrame, by: pd.Series, outcome: str = "won") -> None:
    """No group with at least 30 expected outcomes deviates by more than 4 standard errors.

    A true world fails a group with probability 6e-5; all groups of this file together, fewer than
    100, with less than 1 %.
    """
    grouped = rows.groupby(by, observed=True)
    tested = {
        name: excess(group, outcome) for name, group in grouped if group[f"p_{outcome}"].sum() >= 30
    }
    assert len(tested) >= 2
    assert max(map(abs, tested.values())) < 4.0, tested


def test_as_many_win_as_the_true_probabilities_say(matured: pd.DataFrame) -> None:
    assert matured["won"].sum() > 1_000
    assert abs(excess(matured)) < 4.0
    assert abs(excess(matured, "off_merit")) < 4.0


def test_so_do_they_in_every_band_of_the_probability(matured: pd.DataFrame) -> None:
    edges = [0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1]
    all_within(matured, pd.cut(matured["p_won"], edges))
    all_within(matured, pd.cut(matured["p_off_merit"], [0, 0.005, 0.02, 0.08, 0.2, 1]), "off_merit")


def test_and_at_every_instant_of_scoring(matured: pd.DataFrame) -> None:
    all_within(matured, matured["as_of"])


@pytest.mark.parametrize("column", ["kind", "source", "industry", "region", "job_title", "owner"])
def test_and_in_every_segment(company: Company, matured: pd.DataFrame, column: str) -> None:
    first = company.files["leads"].drop_duplicates("lead_id").set_index("lead_id")[column]
    all_within(matured, matured["lead_id"].map(first))


def test_the_comparison_would_notice_probabilities_a_seventh_too_high(
    matured: pd.DataFrame,
) -> None:
    assert abs(excess(matured.assign(p_won=matured["p_won"] * 8 / 7))) > 4.0


def test_it_would_notice_probabilities_that_are_too_sure_of_themselves(
    matured: pd.DataFrame,
) -> None:
    odds = (matured["p_won"] / (1 - matured["p_won"])) ** 1.25
    sure = matured.assign(p_won=odds / (1 + odds))
    with pytest.raises(AssertionError):
        all_within(sure, pd.cut(sure["p_won"], [0, 0.02, 0.1, 0.3, 0.6, 1]))


def test_it_holds_at_any_time_of_day_and_for_another_horizon(company: Company) -> None:
    rng = np.random.default_rng(5)
    leads = rng.permutation(company.files["leads"]["lead_id"].unique())[:6_000]
    seconds = rng.integers(START.timestamp() + 9 * 3600, END.timestamp() - 120 * 86_400, len(leads))
    as_of = seconds // 86_400 * 86_400 + rng.integers(8 * 3600, 18 * 3600, len(leads))
    found = Truth.of(company.directory).probability(leads, as_of * SECOND)
    rows = pd.DataFrame(
        {
            "lead_id": leads,
            "as_of": pd.to_datetime(as_of, unit="s", utc=True),
            "p_won": found.won,
            "p_off_merit": found.off_merit,
        }
    )
    known = with_outcomes(company, rows.dropna())
    assert known["won"].sum() > 50
    assert abs(excess(known)) < 4.0
    assert abs(excess(known, "off_merit")) < 4.0


def test_it_equals_a_reckoning_forward_in_plain_loops(company: Company) -> None:
    truth = Truth.of(company.directory)
    start = truth.world.start_s * SECOND
    block = truth.block(1)
    checked = 0
    for day in (50, 390, 600):
        for lead in np.flatnonzero(block.course.state[day] >= 0)[:8].tolist():
            for hours, horizon_days in ((0, 90), (13, 30), (23, 1), (17.5, 2.25)):
                as_of = start + day * DAY + round(hours * HOUR)
                found = truth.probability(
                    [f"L{BLOCK + lead:07d}"], as_of, horizon_days=horizon_days
                )
                if np.isnan(found.won[0]) or found.won[0] == 0.0:
                    continue  # opened or closed on this very day
                expected = forward(truth, lead, day, hours * 3600, horizon_days)
                assert found.won[0] == pytest.approx(expected[0], abs=1e-12)
                assert found.off_merit[0] == pytest.approx(expected[1], abs=1e-12)
                checked += 1
    assert checked > 60


def test_a_lead_that_only_seems_open_cannot_win(company: Company) -> None:
    gone = company.truth[~company.truth["open"]]
    assert len(gone) > 50
    assert (gone["p_won"] == 0).all()
    assert not with_outcomes(company, gone)["won"].any()


def test_the_file_and_the_question_at_an_instant_agree(company: Company) -> None:
    rows = company.truth.sample(500, random_state=1)
    as_of = rows["as_of"].astype("datetime64[us, UTC]").astype("int64").to_numpy()
    found = Truth.of(company.directory).probability(rows["lead_id"].tolist(), as_of)
    # The last bit depends on how many rows the processor adds up at once.
    np.testing.assert_allclose(found.won, rows["p_won"], rtol=1e-12)
    np.testing.assert_allclose(found.off_merit, rows["p_off_merit"], rtol=1e-12)


def test_leads_that_are_not_there_yet_have_no_probability(company: Company) -> None:
    start = START.value // 1_000
    found = Truth.of(company.directory).probability(["L0000000", "L0000001"], start)
    assert np.isnan(found.won).all()


@pytest.mark.parametrize(
    ("lead", "as_of", "horizon_days", "message"),
    [
        ("L0008000", START, 90.0, "no lead"),
        ("Q0000001", START, 90.0, "no lead"),
        ("L0000001", END + pd.Timedelta(seconds=1), 90.0, "after the end"),
        ("L0000001", START, 0.0, "horizon_days"),
        ("L0000001", START, 366.0, "horizon_days"),
    ],
)
def test_a_question_it_cannot_answer_is_refused(
    company: Company, lead: str, as_of: pd.Timestamp, horizon_days: float, message: str
) -> None:
    instant = round(as_of.timestamp()) * SECOND
    with pytest.raises(InputError, match=message):
        Truth.of(company.directory).probability([lead], instant, horizon_days=horizon_days)


def forward(
    truth: Truth, lead: int, day: int, second: float, horizon_days: float
) -> tuple[float, float]:
    """P(won), P(off merit) of an open lead by pushing its state's distribution forward, day by day."""
    block, calendar, drives = truth.block(1), truth.calendar, Drives.of(truth.block(1).leads)
    spell = int((block.course.opened[lead] < truth.world.start_s + day * 86_400 + second).sum()) - 1
    opened = int(block.course.opened[lead, spell] - truth.world.start_s) // 86_400
    target = opened + block.leads.target_days[lead, spell]
    client = 1.6 if block.leads.client[lead] or spell > 0 else 1.0
    here = {int(block.course.state[day, lead]): 1.0}
    won = off = 0.0
    until = day * 86_400 + second + horizon_days * 86_400
    today, begun = day, office(second)
    while today * 86_400 < until:
        ended = office(until - today * 86_400)
        near = max(0.0, 1 - abs(today - target) / 75)
        tomorrow: dict[int, float] = defaultdict(float)
        for state, share in here.items():
            rate = drives.win[lead] * client * WIN_RATE[drives.authority[lead], state]
            rate *= calendar.win[today] * (0.4 + 1.2 * near) * (today > opened)
            win = rate / (1 + rate / 0.35)
            age = today - opened
            lose = drives.lose[lead] * LOSE_RATE[state] * calendar.lose[today] * min(age / 75, 1.8)
            junk = drives.off[lead] * OFF_RATE[state] * calendar.work[today]
            junk *= 0.0 if age == 0 else 1.0 if age < 30 else 0.3
            share /= 1 - (win + lose + junk) * begun
            won += share * win * (ended - begun)
            off += share * junk * (ended - begun)
            left = share * (1 - win - lose - junk)
            intent, stage = divmod(state, 5)
            goes = ADVANCE[intent, stage] * calendar.work[today]
            onward = stage + (2 if stage == 1 and not calendar.changed[today] else 1)
            up = UP[intent] * min(8.0, drives.heat[lead] * (0.5 + 1.7 * near))
            for step, chance in ((1, up), (-1, DOWN[intent]), (0, 1 - up - DOWN[intent])):
                if chance > 0:
                    if goes > 0:
                        tomorrow[(intent + step) * 5 + onward] += left * chance * goes
                    tomorrow[(intent + step) * 5 + stage] += left * chance * (1 - goes)
        here, today, begun = tomorrow, today + 1, 0.0
    return won, off


def office(second: float) -> float:
    """The share of the hours from 08:00 to 18:00 that have passed."""
    return min(max(second / 3600 - 8, 0.0), 10.0) / 10


def test_the_calendar_goes_on_past_the_end() -> None:
    world = World(leads=1, years=1.0)
    calendar = Calendar.of(world)
    assert len(calendar.win) > world.days + 365
    assert calendar.win[world.days :].min() > 0
