"""The trained company's model, and what has happened since that judges it."""

from __future__ import annotations

import pytest
from trained_company import trained_company

from models.propensity import PropensityModel
from training.evidence import Evidence, evidence_today


@pytest.fixture(scope="module")
def model() -> PropensityModel:
    return trained_company().model()


@pytest.fixture(scope="module")
def evidence(model: PropensityModel) -> Evidence:
    workspace = trained_company().read_only()
    found = evidence_today(workspace, model)
    workspace.store.close()
    assert found is not None
    return found
