"""Calibrators keep the order, stay inside (0, 1), and give the same bits alone and in batch."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from models.calibrators import (
    FLOOR,
    KINDS,
    Adjusted,
    Beta,
    Calibrator,
    CalibratorError,
    Identity,
    Isotonic,
    Offset,
    Platt,
    VennAbers,
    adjusted,
    calibrator_from_json,
    logit,
    sigmoid,
)

numbers = st.floats(-20, 20)
weights = st.floats(0, 10)
raws = st.lists(st.floats(-700, 700) | st.sampled_from([math.inf, -math.inf]), min_size=1)


@st.composite
def isotonics(draw: st.DrawFn) -> Isotonic:
    knots = sorted(draw(st.sets(st.floats(-30, 30), min_size=1, max_size=12)))
    chances = draw(st.lists(st.floats(0, 1), min_size=len(knots), max_size=len(knots)))
    return Isotonic(tuple(knots), tuple(sorted(chances)))


@st.composite
def steps(draw: st.DrawFn) -> VennAbers:
    knots = sorted(draw(st.sets(st.floats(-30, 30), min_size=1, max_size=12)))
    tables = [
        sorted(draw(st.lists(st.floats(0, 1), min_size=len(knots), max_size=len(knots))))
        for _ in range(2)
    ]
    low, high = np.minimum(*tables), np.maximum(*tables)
    return VennAbers(tuple(knots), tuple(low.tolist()), tuple(high.tolist()))


tables = st.one_of(isotonics(), steps())
formulas = st.one_of(
    st.just(Identity()),
    st.builds(Offset, numbers),
    st.builds(Platt, weights, numbers),
    st.builds(Beta, weights, weights, numbers),
)
calibrators = st.one_of(formulas, tables, st.builds(Adjusted, tables, weights, numbers))


@given(calibrators, raws)
def test_no_lead_is_ever_shown_as_certain(calibrator: Calibrator, raw: list[float]) -> None:
    shown = calibrator.apply(raw)
    assert shown.shape == (len(raw),)
    assert np.all((shown >= FLOOR) & (shown <= 1 - FLOOR))


@given(calibrators, raws)
def test_a_higher_raw_score_never_gets_a_lower_probability(
    calibrator: Calibrator, raw: list[float]
) -> None:
    # Chains of exp and log1p are monotone up to their rounding; the knot table is so exactly.
    slack = 0.0 if isinstance(calibrator, Isotonic | VennAbers) else 1e-12
    assert np.all(np.diff(calibrator.apply(sorted(raw))) >= -slack)


@given(calibrators, raws)
def test_a_lead_alone_gets_the_same_bits_as_in_a_batch(
    calibrator: Calibrator, raw: list[float]
) -> None:
    batch = calibrator.apply(raw)
    alone = np.concatenate([calibrator.apply([value]) for value in raw])
    assert batch.tobytes() == alone.tobytes()


@pytest.mark.parametrize(
    "calibrator",
    [
        Identity(),
        Offset(0.3),
        Platt(0.7, -0.2),
        Beta(0.8, 1.3, 0.1),
        Isotonic((-1, 2), (0.1, 0.9)),
        VennAbers((-1, 0, 2), (0.1, 0.2, 0.7), (0.2, 0.4, 0.9)),
        Adjusted(Isotonic((-1, 2), (0.1, 0.9)), 0.9, -0.2),
    ],
    ids=lambda calibrator: calibrator.kind,
)
def test_strides_and_batch_length_do_not_change_a_bit(calibrator: Calibrator) -> None:
    raw = np.random.default_rng(1).normal(0, 3, 1003)
    whole = calibrator.apply(raw)
    assert calibrator.apply(np.repeat(raw, 3)[::3]).tobytes() == whole.tobytes()
    for length in (1, 2, 3, 5, 8, 13, 64, 517):
        assert calibrator.apply(raw[:length]).tobytes() == whole[:length].tobytes()


@given(calibrators, raws)
def test_json_brings_back_the_same_bits(calibrator: Calibrator, raw: list[float]) -> None:
    back = calibrator_from_json(json.loads(json.dumps(calibrator.to_json(), allow_nan=False)))
    assert back == calibrator
    assert back.apply(raw).tobytes() == calibrator.apply(raw).tobytes()


@given(st.lists(st.floats(allow_nan=False), min_size=1))
def test_sigmoid_agrees_with_scipy_at_any_float(log_odds: list[float]) -> None:
    np.testing.assert_allclose(sigmoid(log_odds), expit(log_odds), rtol=1e-14, atol=0)


@given(st.lists(st.floats(-30, 30), min_size=1))
def test_logit_undoes_sigmoid(log_odds: list[float]) -> None:
    # Near 1 a double has few digits left: exp(30) · 1.1e-16 ≈ 1e-3 in log-odds.
    np.testing.assert_allclose(logit(sigmoid(log_odds)), log_odds, rtol=0, atol=2e-3)


def test_neutral_numbers_change_nothing() -> None:
    raw = np.linspace(-8, 8, 101)
    for neutral in (Offset(0.0), Platt(1.0, 0.0), Beta(1.0, 1.0, 0.0)):
        np.testing.assert_allclose(neutral.apply(raw), Identity().apply(raw), rtol=1e-13)


def test_beta_is_the_published_formula() -> None:
    # Kull et al. (2017), equation 2: 1 / (1 + 1 / (exp(c) · s^a / (1 − s)^b)).
    share, a, b, c = 0.3, 0.7, 1.4, -0.2
    expected = 1 / (1 + 1 / (math.exp(c) * share**a / (1 - share) ** b))
    assert Beta(a, b, c).apply(logit([share]))[0] == pytest.approx(expected, rel=1e-13)


def test_isotonic_is_numpys_interpolation_between_its_knots() -> None:
    knots, chances = (-3.0, -1.0, 0.5, 0.75, 4.0), (0.05, 0.2, 0.2, 0.6, 0.95)
    raw = np.random.default_rng(0).normal(0, 3, 500)
    np.testing.assert_allclose(
        Isotonic(knots, chances).apply(raw), np.interp(raw, knots, chances), rtol=1e-12
    )


def test_isotonic_does_not_pass_its_next_knot_by_a_bit() -> None:
    # Plain linear interpolation gives 0.40700000000000003 just below the knot that says 0.407.
    table = Isotonic((-7.1, 3.69), (0.145, 0.407))
    assert table.apply([3.6899999999999995])[0] <= table.apply([3.69])[0] == 0.407


def test_a_flat_calibrator_answers_even_at_infinity() -> None:
    everywhere = [-math.inf, 0.0, math.inf]
    assert len(set(Platt(0.0, 0.4).apply(everywhere).tolist())) == 1
    assert len(set(Beta(0.0, 0.0, 0.4).apply(everywhere).tolist())) == 1


def test_a_score_that_is_not_a_number_is_refused_with_its_row() -> None:
    with pytest.raises(CalibratorError, match="Raw score 1 is not a number"):
        Identity().apply([0.0, math.nan])


def test_a_table_of_scores_is_refused() -> None:
    with pytest.raises(CalibratorError, match="shape"):
        Identity().apply([[0.0], [1.0]])


TABLE = {"kind": "isotonic", "knots_raw": [-2.0, 1.0], "knots_probability": [0.1, 0.4]}


def test_a_table_within_a_table_within_a_table_is_refused() -> None:
    once = {"kind": "adjusted", "base": TABLE, "slope": 1.0, "intercept": 0.1}
    assert isinstance(calibrator_from_json(once), Adjusted)
    with pytest.raises(CalibratorError, match="known are isotonic, venn_abers"):
        calibrator_from_json({**once, "base": once})
    with pytest.raises(CalibratorError, match="Only an isotonic or venn_abers table"):
        Adjusted(calibrator_from_json(once), 1.0, 0.1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("obj", "says"),
    [
        ([], "JSON object"),
        ({}, "Unknown calibrator kind None"),
        ({"kind": ["platt"]}, "Unknown calibrator kind"),
        ({"kind": "magic"}, "known are identity, offset, platt, beta, isotonic"),
        ({"kind": "identity", "shift": 0.0}, "not known ['shift']"),
        ({"kind": "platt", "slope": 1.0}, "missing ['intercept']"),
        ({"kind": "offset", "shift": math.nan}, "finite"),
        ({"kind": "offset", "shift": math.inf}, "finite"),
        ({"kind": "offset", "shift": True}, "finite number, got True"),
        ({"kind": "offset", "shift": "0.1"}, "finite number, got '0.1'"),
        ({"kind": "platt", "slope": -0.1, "intercept": 0.0}, "change places"),
        ({"kind": "beta", "a": 1.0, "b": -1.0, "c": 0.0}, "change places"),
        ({"kind": "isotonic", "knots_raw": "01", "knots_probability": [0.0, 1.0]}, "list"),
        ({"kind": "isotonic", "knots_raw": [], "knots_probability": []}, "at least one"),
        ({"kind": "isotonic", "knots_raw": [0.0, 1.0], "knots_probability": [0.5]}, "as many"),
        (
            {"kind": "isotonic", "knots_raw": [1.0, 1.0], "knots_probability": [0.1, 0.2]},
            "strictly",
        ),
        ({"kind": "isotonic", "knots_raw": [-1e308, 1e308], "knots_probability": [0, 1]}, "within"),
        (
            {"kind": "isotonic", "knots_raw": [0.0, 1.0], "knots_probability": [0.3, 0.2]},
            "decrease",
        ),
        ({"kind": "isotonic", "knots_raw": [0.0, 1.0], "knots_probability": [0.3, 1.2]}, "[0, 1]"),
        (
            {"kind": "venn_abers", "knots_raw": [0.0], "knots_low": [0.3], "knots_high": [0.2]},
            "nowhere lie above",
        ),
        (
            {
                "kind": "venn_abers",
                "knots_raw": [0, 1],
                "knots_low": [0, 0.1],
                "knots_high": [1, 0.5],
            },
            "knots_high must never decrease",
        ),
        (
            {"kind": "adjusted", "base": {"kind": "identity"}, "slope": 1.0, "intercept": 0.1},
            "known are isotonic, venn_abers",
        ),
        (
            {"kind": "adjusted", "base": TABLE, "slope": -1.0, "intercept": 0.1},
            "change places",
        ),
        (
            {"kind": "isotonic", "knots_raw": [0.0, None], "knots_probability": [0, 1]},
            "knots_raw[1]",
        ),
    ],
)
def test_json_that_is_not_a_calibrator_is_refused_with_the_reason(obj: object, says: str) -> None:
    with pytest.raises(CalibratorError) as refusal:
        calibrator_from_json(obj)
    assert says in str(refusal.value)


def test_every_kind_can_be_read_by_its_name() -> None:
    first = {"identity", "offset", "platt", "beta", "isotonic"}
    assert set(KINDS) == first | {"venn_abers", "adjusted"}
    assert all(name == kind.kind for name, kind in KINDS.items())


@pytest.mark.parametrize(
    ("written", "at", "said"),
    [
        # As the first version wrote them; the probabilities by hand.
        ({"kind": "identity"}, 0.0, 0.5),
        ({"kind": "offset", "shift": math.log(3)}, 0.0, 0.75),
        ({"kind": "platt", "slope": 2.0, "intercept": -math.log(4)}, math.log(2), 0.5),
        ({"kind": "beta", "a": 1.0, "b": 2.0, "c": 0.0}, 0.0, 2 / 3),
        (TABLE, -0.5, 0.25),
    ],
)
def test_what_was_written_before_is_still_read(written: object, at: float, said: float) -> None:
    assert calibrator_from_json(written).apply([at])[0] == pytest.approx(said, rel=1e-12)


@given(calibrators, st.floats(0, 3), st.floats(-3, 3), st.lists(st.floats(-6, 6), min_size=1))
def test_an_adjusted_calibrator_moves_the_log_odds_it_says(
    start: Calibrator, slope: float, intercept: float, raw: list[float]
) -> None:
    said = start.apply(raw)
    expected = expit(slope * np.log(said / (1 - said)) + intercept)
    # A formula is folded before the limits are applied: compare where they did not bind.
    free = (said > FLOOR) & (said < 1 - FLOOR) | (not isinstance(start, formula_kinds()))
    moved = adjusted(start, slope, intercept)
    np.testing.assert_allclose(
        moved.apply(raw)[free], np.clip(expected, FLOOR, 1 - FLOOR)[free], rtol=1e-9
    )


def formula_kinds() -> tuple[type, ...]:
    return Identity, Offset, Platt, Beta, Adjusted


def test_what_is_adjusted_twice_stays_one_deep() -> None:
    steps = VennAbers((-1.0, 1.0), (0.1, 0.4), (0.2, 0.6))
    twice = adjusted(adjusted(steps, 0.5, 0.1), 2.0, -0.3)
    assert twice == Adjusted(steps, 1.0, 0.2 - 0.3)
    assert adjusted(steps, 1.0, 0.0) is steps
    assert adjusted(Platt(0.5, 0.2), 2.0, 0.1) == Platt(1.0, 0.5)


def test_venn_abers_steps_hold_where_they_say() -> None:
    # By hand: p1 / (1 - p0 + p1), low from its knot on upwards, high from its knot on downwards.
    steps = VennAbers((0.0, 1.0), (0.1, 0.3), (0.2, 0.6))
    regions = {-5.0: (0, 0.2), 0.0: (0.1, 0.2), 0.5: (0.1, 0.6), 1.0: (0.3, 0.6), 7.0: (0.3, 1.0)}
    for raw, (low, high) in regions.items():
        assert steps.apply([raw])[0] == pytest.approx(high / (1 - low + high), rel=1e-12)
