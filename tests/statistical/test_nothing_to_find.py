"""Where there is nothing to find, nothing is found: outcomes dealt to leads by lot, learned and judged.

Twenty lots. The verdict needs both an AUC above one half beyond noise (2.5 % of lots by chance) and a
log loss better than the base rate's beyond noise (2.5 %, and rarer still for a model that has learned
noise), so more than one false finding in twenty has a probability below 9 % even if they were one.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from trained_company import END, trained_company

from training.config import TrainConfig
from training.dataset import Dataset, build_dataset
from training.judge import Judged, judge
from training.learn import learn
from training.splits import forward_split

QUICK = TrainConfig(leaves=(2,), most_trees=80)


def the_rows() -> Dataset:
    workspace = trained_company().read_only()
    dataset = build_dataset(workspace.store, workspace.definition(), END, most_leads=10**6, seed=0)
    workspace.store.close()
    return dataset.matured()


def by_lot(dataset: Dataset, seed: int) -> Dataset:
    """Each lead wins or loses by lot, all its rows alike; the base rate is what it was."""
    lot = np.random.default_rng(seed).random(int(dataset.lead.max()) + 1) < dataset.y.mean()
    return replace(dataset, y=lot[dataset.lead].astype(np.int64))


def judged(dataset: Dataset) -> Judged:
    definition = trained_company().model().definition
    split = forward_split(dataset, definition, QUICK)
    return judge(dataset, [split], [learn(dataset, split.lesson, definition, QUICK).model], 0)


@pytest.mark.slow
def test_no_discrimination_is_found_among_outcomes_dealt_by_lot() -> None:
    dataset, found, losses = the_rows(), 0, []
    for seed in range(20):
        figures = judged(by_lot(dataset, seed)).figures
        assert figures is not None
        found += figures.discrimination.found
        losses.append(figures.log_loss - figures.base_rate_log_loss)
    assert found <= 1
    assert np.mean(losses) < 0.02, "and having learned noise costs little"


@pytest.mark.slow
def test_a_column_that_says_something_is_found_by_the_same_rows() -> None:
    """The twenty verdicts above would be worth nothing from judges who never find anything."""
    dataset = by_lot(the_rows(), 0)
    rng = np.random.default_rng(1)
    telling = dataset.y + rng.normal(0, 1.0, len(dataset))
    columns = {**dataset.frame.columns, "attr_employees": telling}
    told = replace(dataset, frame=replace(dataset.frame, columns=columns))
    figures = judged(told).figures
    assert figures is not None
    assert figures.discrimination.found
