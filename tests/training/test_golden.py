"""Are the rows that a bundle carries nobody's, and still rows that the model can be tried on?"""

from __future__ import annotations

import numpy as np
from agreed import NOW, agreed
from models_made import LEADS, company, made_model

from features.facts import Queries
from features.gather import FactsBuilder
from features.pipeline import compute_features
from training.golden import GOLDEN_ROWS, golden_rows


def test_no_golden_row_is_a_row_of_a_lead_and_every_value_is_one_of_its_column() -> None:
    definition = agreed()
    facts = FactsBuilder.of_records(definition, company()).build()
    frame = compute_features(facts, Queries.at(np.arange(LEADS), NOW), definition)
    real = [frame.row(i) for i in range(LEADS)]
    golden = golden_rows(frame)
    assert len(golden) == GOLDEN_ROWS
    assert set(golden.lead_ids) == {""}
    for i in range(GOLDEN_ROWS):
        row = golden.row(i)
        assert list(row) == list(real[0])
        alike = max(sum(row[name] == lead[name] for name in row) for lead in real)
        assert alike < len(row)
        assert all(row[name] in [lead[name] for lead in real[:GOLDEN_ROWS]] for name in row)
    assert np.isfinite(made_model().model.raw(golden)).all()


def test_of_a_single_lead_no_row_is_made() -> None:
    frame = made_model().frame
    assert len(golden_rows(frame.take(np.arange(1)))) == 0
    assert len(golden_rows(frame.take(np.arange(0)))) == 0
    assert len(golden_rows(frame.take(np.arange(2)))) == 2
