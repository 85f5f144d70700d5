"""Pieces look only forward, share no lead, stand for the whole by weight, and do not move later."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from agreed import DEFINITION_TEXT
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from small_datasets import dataset_of, labels

from features.clock import DAY, days
from features.definition import Definition, parse_definition
from features.errors import NotEnoughEvidenceError
from features.store.merges import Families
from training.config import TrainConfig
from training.dataset import Dataset
from training.splits import (
    Bounds,
    Lesson,
    Piece,
    Split,
    forward_split,
    grouped_lesson,
    grouped_splits,
    pieces,
    row_groups,
)


def with_horizon(length: str) -> Definition:
    text = DEFINITION_TEXT.replace("horizon_days: 90", f"horizon_days: {length}")
    if length == "null":
        text = text.replace("{every_days: 30}", "{after_opening_hours: 0}")
    return parse_definition(text)


HORIZONS = {length: with_horizon(length) for length in ("7.5", "30", "90", "null")}


@st.composite
def histories(draw: st.DrawFn) -> Dataset:
    """Leads that are open for a while, some of them twice; rows every ten days, in any order."""
    rng = np.random.default_rng(draw(st.integers(0, 100_000)))
    rows = set()
    for number in range(draw(st.integers(3, 25))):
        for _ in range(rng.integers(1, 3)):
            first = int(rng.integers(0, 61))
            rows |= {(number, s * 10 * DAY) for s in range(first, first + int(rng.integers(1, 26)))}
    lead, as_of = zip(*(sorted(rows)[i] for i in rng.permutation(len(rows))), strict=True)
    return dataset_of(lead, as_of, rng.integers(0, 2, len(rows)))


horizons = st.sampled_from(sorted(HORIZONS))
configs = st.builds(
    TrainConfig,
    seed=st.integers(0, 9),
    judge_share=st.sampled_from([0.1, 0.25, 0.5]),
    calibrate_share=st.sampled_from([0.1, 0.2, 0.5]),
)


def split_or_skip(dataset: Dataset, definition: Definition, config: TrainConfig) -> Split:
    try:
        return forward_split(dataset, definition, config)
    except NotEnoughEvidenceError:
        assume(False)
        raise


def three(split: Split) -> tuple[Piece, Piece, Piece]:
    (fold,) = split.lesson.folds
    return fold.fit, fold.calibrate, split.judge


@settings(max_examples=50)
@given(histories(), horizons, configs)
def test_pieces_are_disjoint_and_share_no_lead(
    dataset: Dataset, horizon: str, config: TrainConfig
) -> None:
    found = three(split_or_skip(dataset, HORIZONS[horizon], config))
    leads = [set(dataset.lead[piece.rows].tolist()) for piece in found]
    rows = [set(piece.rows.tolist()) for piece in found]
    for one in range(3):
        assert len(rows[one]) == len(found[one].rows) > 0
        for other in range(one):
            assert not rows[one] & rows[other]
            assert not leads[one] & leads[other]


@settings(max_examples=50)
@given(histories(), horizons, configs)
def test_each_piece_lies_later_than_the_one_before_by_horizon_and_reporting_lag(
    dataset: Dataset, horizon: str, config: TrainConfig
) -> None:
    definition = HORIZONS[horizon]
    fit, calibrate, judge = (
        dataset.as_of[piece.rows] for piece in three(split_or_skip(dataset, definition, config))
    )
    # The definition's lag is 3 days: with rows every ten days, 7.5 days and the lag are one more.
    gap = 0 if definition.horizon_days is None else days(definition.horizon_days + 3)
    for earlier, later in ((fit, calibrate), (calibrate, judge)):
        assert earlier.max() < later.min(), "a date is never split"
        assert earlier.max() + gap <= later.min(), (
            "every outcome is known when the next piece begins"
        )


@settings(max_examples=50)
@given(histories(), horizons, configs)
def test_the_newest_share_judges_and_a_date_is_never_split(
    dataset: Dataset, horizon: str, config: TrainConfig
) -> None:
    split = split_or_skip(dataset, HORIZONS[horizon], config)
    assert split.bounds is not None
    newest = dataset.as_of >= split.bounds.judge_from
    assert newest.sum() >= math.floor(config.judge_share * len(dataset))
    without_first_date = dataset.as_of > split.bounds.judge_from
    assert without_first_date.sum() <= config.judge_share * len(dataset)


@settings(max_examples=50)
@given(histories(), horizons, configs)
def test_a_weight_is_the_number_of_pieces_that_the_lead_could_have_gone_to(
    dataset: Dataset, horizon: str, config: TrainConfig
) -> None:
    definition = HORIZONS[horizon]
    split = split_or_skip(dataset, definition, config)
    assert split.bounds is not None
    could: dict[int, set[str]] = defaultdict(set)
    for lead, as_of in zip(dataset.lead.tolist(), dataset.as_of.tolist(), strict=True):
        if as_of >= split.bounds.judge_from:
            could[lead].add("judge")
        elif (
            as_of >= split.bounds.calibrate_from
            and as_of + split.bounds.gap <= split.bounds.judge_from
        ):
            could[lead].add("calibrate")
        elif (
            as_of < split.bounds.calibrate_from
            and as_of + split.bounds.gap <= split.bounds.calibrate_from
        ):
            could[lead].add("fit")
    kept: set[int] = set()
    for piece in three(split):
        for row, weight in zip(piece.rows.tolist(), piece.weight.tolist(), strict=True):
            assert weight == len(could[int(dataset.lead[row])])
            kept.add(int(dataset.lead[row]))
    assert kept == set(could), "every lead with a row in a piece is in one"


@settings(max_examples=50)
@given(histories(), horizons, configs, st.data())
def test_later_data_move_nothing_that_was_drawn(
    dataset: Dataset, horizon: str, config: TrainConfig, data: st.DataObject
) -> None:
    split = split_or_skip(dataset, HORIZONS[horizon], config)
    assert split.bounds is not None
    fit, calibrate, judge = three(split)
    last = int(dataset.as_of.max())
    newcomers = data.draw(st.lists(st.integers(0, 40), min_size=1, max_size=30, unique=True))
    lead = [*dataset.lead.tolist(), *newcomers]
    later = dataset_of(
        lead,
        [*dataset.as_of.tolist(), *(last + 10 * DAY for _ in newcomers)],
        [0] * len(lead),
    )
    again = pieces(later, split.bounds)
    assert again[0].rows.tolist() == fit.rows.tolist()
    assert again[1].rows.tolist() == calibrate.rows.tolist()
    assert set(judge.rows.tolist()) == {row for row in again[2].rows.tolist() if row < len(dataset)}
    learned_from = set(dataset.lead[np.concatenate([fit.rows, calibrate.rows])].tolist())
    judged_now = {lead[row] for row in again[2].rows.tolist()}
    assert not judged_now & learned_from, "a lead that comes back never judges who learned from it"
    assert judged_now >= {n for n in newcomers if n not in set(dataset.lead.tolist())}


@settings(max_examples=50)
@given(histories(), horizons, configs)
def test_the_draw_belongs_to_the_leads_name_and_not_to_its_number_or_row(
    dataset: Dataset, horizon: str, config: TrainConfig
) -> None:
    first = three(split_or_skip(dataset, HORIZONS[horizon], config))
    order = np.random.default_rng(0).permutation(len(dataset))
    shuffled = replace(dataset.take(order), lead=100 - dataset.lead[order])
    second = three(forward_split(shuffled, HORIZONS[horizon], config))
    for one, other in zip(first, second, strict=True):
        assert set(one.rows.tolist()) == set(order[other.rows].tolist())


def test_bounds_of_a_model_without_a_last_instant_can_still_be_read() -> None:
    dataset = dataset_of([0, 1, 2], [0, 100 * DAY, 200 * DAY], [0, 1, 0])
    old = Bounds(calibrate_from=50 * DAY, judge_from=150 * DAY, gap=0, seed=0)
    assert [piece.rows.tolist() for piece in pieces(dataset, old)] == [[0], [1], [2]]


def test_weights_make_each_piece_stand_for_all_rows_of_its_time() -> None:
    # 400 seeds; a lead wins the more rarely the longer it lives, so leaving straddlers out or taking
    # them unweighted is biased. The mean over seeds is normal; 5 standard errors err once in 1.7e6.
    rng = np.random.default_rng(5)
    lead, as_of, y = [], [], []
    for number in range(300):
        length = int(rng.geometric(0.12))
        first = int(rng.integers(0, 80))
        for step in range(first, min(first + length, 80)):
            lead.append(number)
            as_of.append(step * 10 * DAY)
            y.append(int(rng.random() < 0.6 / length**0.5))
    dataset = dataset_of(lead, as_of, y)
    definition = HORIZONS["30"]
    bounds = forward_split(dataset, definition, TrainConfig()).bounds
    assert bounds is not None
    whole = [
        dataset.y[dataset.as_of >= bounds.judge_from],
        dataset.y[
            (dataset.as_of >= bounds.calibrate_from)
            & (dataset.as_of + bounds.gap <= bounds.judge_from)
        ],
        dataset.y[dataset.as_of + bounds.gap <= bounds.calibrate_from],
    ]
    wins, rows, plain = (np.zeros((400, 3)) for _ in range(3))
    for seed in range(400):
        drawn = pieces(dataset, replace(bounds, seed=seed))
        for i, piece in enumerate(reversed(drawn)):
            wins[seed, i] = piece.weight @ dataset.y[piece.rows]
            rows[seed, i] = piece.weight.sum()
            plain[seed, i] = dataset.y[piece.rows].mean()
    for i, everything in enumerate(whole):
        for total, drawn_totals in ((everything.sum(), wins[:, i]), (len(everything), rows[:, i])):
            error = drawn_totals.std(ddof=1) / math.sqrt(len(drawn_totals))
            assert abs(drawn_totals.mean() - total) < 5 * error
    error = plain[:, 0].std(ddof=1) / math.sqrt(400)
    assert plain[:, 0].mean() - whole[0].mean() > 5 * error, "without weights it would be biased"


@pytest.mark.parametrize(
    "as_of",
    [[0] * 40, [0] * 20 + [40 * DAY] * 20, [i * DAY for i in range(100)]],
    ids=["one instant", "two instants", "shorter than the gaps"],
)
def test_too_short_a_history_is_refused_and_says_how_long_it_is(as_of: list[int]) -> None:
    dataset = dataset_of(list(range(len(as_of))), as_of, [0, 1] * (len(as_of) // 2))
    with pytest.raises(NotEnoughEvidenceError) as caught:
        forward_split(dataset, HORIZONS["90"], TrainConfig())
    assert "1970-01-01T00:00:00Z" in caught.value.message
    assert "90.0 days" in caught.value.message
    assert caught.value.hint


# Without time


@st.composite
def tables(draw: st.DrawFn) -> Dataset:
    """Rows of which some say the same and some are of one lead."""
    n = draw(st.integers(10, 40))
    sizes = draw(st.lists(st.integers(0, 9) | st.just(math.nan), min_size=n, max_size=n))
    colours = draw(st.lists(st.sampled_from(["red", "blue", None]), min_size=n, max_size=n))
    lead = draw(st.lists(st.integers(0, n), min_size=n, max_size=n))
    columns = {"size": np.array(sizes, dtype=np.float64), "colour": labels(colours)}
    won = draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
    return dataset_of(lead, [0] * n, won, columns)


def groups_by_loops(dataset: Dataset) -> list[int]:
    """Rows joined as long as any two that say the same, or are of one lead, are apart."""
    rows = [(str(dataset.frame.row(i)), int(dataset.lead[i])) for i in range(len(dataset))]
    group = list(range(len(rows)))
    changed = True
    while changed:
        changed = False
        for i, one in enumerate(rows):
            for j, other in enumerate(rows):
                if (one[0] == other[0] or one[1] == other[1]) and group[i] != group[j]:
                    group[i] = group[j] = min(group[i], group[j])
                    changed = True
    return group


@settings(max_examples=60)
@given(tables())
def test_groups_are_those_that_plain_loops_join(dataset: Dataset) -> None:
    expected, found = groups_by_loops(dataset), row_groups(dataset).tolist()
    assert len(set(zip(expected, found, strict=True))) == len(set(expected)) == len(set(found))


def folded(dataset: Dataset, config: TrainConfig) -> list[Split]:
    try:
        return grouped_splits(dataset, config)
    except NotEnoughEvidenceError:
        assume(False)
        raise


@settings(max_examples=60)
@given(tables(), st.integers(0, 5))
def test_every_row_judges_once_and_never_beside_one_like_it(dataset: Dataset, seed: int) -> None:
    splits = folded(dataset, TrainConfig(seed=seed, folds=3))
    group = row_groups(dataset)
    judged = np.concatenate([split.judge.rows for split in splits])
    assert sorted(judged.tolist()) == list(range(len(dataset)))
    for split in splits:
        assert split.bounds is None
        learned = split.lesson.everything.rows
        assert not set(group[learned].tolist()) & set(group[split.judge.rows].tolist())
        assert sorted([*learned.tolist(), *split.judge.rows.tolist()]) == list(range(len(dataset)))


@settings(max_examples=60)
@given(tables(), st.integers(0, 5))
def test_every_row_of_a_lesson_calibrates_once_on_a_fit_that_has_not_seen_it(
    dataset: Dataset, seed: int
) -> None:
    for split in folded(dataset, TrainConfig(seed=seed, folds=3)):
        group = row_groups(dataset)
        calibrated = np.concatenate([fold.calibrate.rows for fold in split.lesson.folds])
        assert sorted(calibrated.tolist()) == split.lesson.everything.rows.tolist()
        for fold in split.lesson.folds:
            assert not set(group[fold.fit.rows].tolist()) & set(group[fold.calibrate.rows].tolist())


def test_another_seed_deals_other_folds_and_the_same_seed_the_same() -> None:
    dataset = dataset_of(list(range(60)), [0] * 60, [0, 1] * 30)
    dealt = [
        [split.judge.rows.tolist() for split in grouped_splits(dataset, TrainConfig(seed=seed))]
        for seed in (1, 1, 2)
    ]
    assert dealt[0] == dealt[1] != dealt[2]


def test_folds_are_even() -> None:
    dataset = dataset_of(list(range(62)), [0] * 62, [0, 1] * 31)
    sizes = [len(split.judge) for split in grouped_splits(dataset, TrainConfig())]
    assert sorted(sizes) == [12, 12, 12, 13, 13]


def test_rows_that_hardly_differ_are_refused() -> None:
    columns = {"size": np.array([1.0, 2.0] * 30)}
    dataset = dataset_of(list(range(60)), [0] * 60, [0, 1] * 30, columns)
    with pytest.raises(NotEnoughEvidenceError, match="only 2 leads that differ"):
        grouped_splits(dataset, TrainConfig())


def test_all_rows_of_a_lesson_come_once_with_their_weight() -> None:
    dataset = dataset_of(list(range(20)), [0] * 20, [0, 1] * 10)
    lesson: Lesson = grouped_lesson(row_groups(dataset), np.arange(5, 20), TrainConfig())
    assert lesson.everything.rows.tolist() == list(range(5, 20))
    assert lesson.everything.weight.tolist() == [1.0] * 15


def twinned(told: int, cutoff: int) -> Dataset:
    """Leads 2k and 2k + 1 have become one, as was recorded at `told`: half of each live on."""
    rng = np.random.default_rng(1)
    lead = np.repeat(np.arange(400), 6)
    as_of = rng.integers(0, 300, len(lead)) * DAY
    rows = [(told, 2 * k, 2 * k + 1) for k in range(200) if told < cutoff]
    families = Families(rows, {i: f"L{i}" for i in range(400)})
    number = lead // 2 if rows else lead
    made = dataset_of(lead.tolist(), as_of.tolist(), rng.integers(0, 2, len(lead)), cutoff=cutoff)
    return replace(made, lead=number, families=families)


def people(piece: Piece, dataset: Dataset) -> set[int]:
    return {int(dataset.frame.lead_ids[row][1:]) // 2 for row in piece.rows.tolist()}


@pytest.mark.parametrize("told", [50 * DAY, 500 * DAY])
def test_leads_that_became_one_are_on_the_same_side_whenever_that_was_learned(told: int) -> None:
    """Told after the bounds were set, a twin of a lead that was learned from judges no more."""
    bounds = Bounds(100 * DAY, 200 * DAY, 0, seed=3, until=300 * DAY, known=400 * DAY)
    dataset = twinned(told, cutoff=600 * DAY)
    fit, calibrate, judge = pieces(dataset, bounds)
    assert people(fit, dataset) | people(calibrate, dataset)
    assert people(judge, dataset)
    assert not people(judge, dataset) & (people(fit, dataset) | people(calibrate, dataset))
    if told < 400 * DAY:
        assert not people(fit, dataset) & people(calibrate, dataset)
    else:
        # What was learned from stays what it was when nobody knew.
        before = twinned(told, cutoff=400 * DAY)
        for now, then in zip((fit, calibrate), pieces(before, bounds), strict=False):
            assert now.rows.tolist() == then.rows.tolist()
