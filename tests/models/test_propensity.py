"""Every model passes every check; a check that a broken model passes is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from model_cases import CASES, office, simulated
from model_checks import (
    CHECKS,
    Case,
    a_better_answer_never_lowers_the_score,
    columns_may_come_in_any_order,
)

from features.frames import FeatureFrame
from models.calibrators import Offset
from models.encoder import Encoder
from models.propensity import PropensityModel, Scores


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", CASES)
def test_every_model_passes(name: str, check: Callable[[Case], None]) -> None:
    check(CASES[name]())


class ByPosition(Encoder):
    """What an encoder must not be: one that trusts the order of the columns."""

    def matrix(self, frame: FeatureFrame) -> np.ndarray:
        names = [name for name in frame.columns if name in set(self.names)]
        renamed = {
            wanted: frame.columns[name] for wanted, name in zip(self.names, names, strict=True)
        }
        columns = {name: c for name, c in renamed.items() if not hasattr(c, "codes")}
        found = np.zeros((len(frame), len(self.names)))
        for i, name in enumerate(self.names):
            found[:, i] = columns.get(name, np.zeros(len(frame)))
        return found


def test_a_model_that_trusts_positions_fails_the_check() -> None:
    broken = replace(office().model, encoder=ByPosition(office().model.encoder.columns))
    with pytest.raises(AssertionError):
        columns_may_come_in_any_order(replace(office(), model=broken))


def test_a_model_that_reads_ranks_the_wrong_way_round_fails_the_check() -> None:
    class Reversed(PropensityModel):
        def raw(self, frame: FeatureFrame) -> np.ndarray:
            return -super().raw(frame)

        def score(self, frame: FeatureFrame) -> Scores:
            raw = self.raw(frame)
            return Scores(raw, self.calibrator.apply(raw))

    right = simulated().model
    parts = (right.definition, right.encoder, right.learner, right.calibrator)
    with pytest.raises(AssertionError, match="over"):
        a_better_answer_never_lowers_the_score(replace(simulated(), model=Reversed(*parts)))


def test_ranked_answers_do_move_the_score() -> None:
    """Without this the check on better answers could pass on a model that reads none of them."""
    read = set(simulated().model.encoder.names)
    ranks = [spec.name for spec in simulated().model.specs if spec.monotone]
    assert len(ranks) >= 5
    gains = simulated().model.about["learner"]["importance"]
    assert sum(gains[name] > 0 for name in ranks) >= 3, "the model uses several ranks"
    assert read == set(gains)


def test_recalibrating_changes_the_probability_and_nothing_else() -> None:
    before, frame = simulated().model, simulated().frame
    after = before.recalibrated(Offset(-1.0), {"said": "anew"})
    assert after.learner is before.learner
    assert after.encoder is before.encoder
    assert after.raw(frame).tobytes() == before.raw(frame).tobytes()
    assert (after.score(frame).probability < before.score(frame).probability).all()
    assert after.digest == "", "it has no bundle yet"
    assert after.about == {"said": "anew"}


def test_specs_are_the_read_columns_in_the_models_order() -> None:
    model = simulated().model
    assert [spec.name for spec in model.specs] == model.encoder.names == model.learner.columns
    assert set(model.encoder.names) < {spec.name for spec in model.catalog}


def test_sensitive_and_late_attributes_are_not_read() -> None:
    names = " ".join(simulated().model.encoder.names)
    for secret in ("gender", "birth_year", "discount_granted"):
        assert secret not in names


def test_the_horizon_is_the_definitions() -> None:
    assert simulated().model.horizon_days == 90.0
