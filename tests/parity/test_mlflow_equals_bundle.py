"""What MLflow's users load says the same of every lead as the bundle, to the last bit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from model_cases import simulated
from quiet_mlflow import tracking
from trained_company import trained_company

from features.frames import FeatureFrame
from models.workspace import Workspace


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    workspace: Workspace = trained_company().tracked_copy(tmp_path_factory.mktemp("mlflow"))
    yield tracking.load_from_mlflow(workspace.mlflow_uri, "challenger")
    workspace.store.close()


def table(frame: FeatureFrame) -> pd.DataFrame:
    return pd.DataFrame([frame.row(i) for i in range(len(frame))])


def bits(scored: pd.DataFrame) -> tuple[bytes, bytes]:
    return scored["raw"].to_numpy().tobytes(), scored["probability"].to_numpy().tobytes()


def test_all_leads_get_the_bundles_bits(loaded: Any) -> None:
    scores = simulated().model.score(simulated().frame)
    found = loaded.predict(table(simulated().frame))
    assert list(found.columns) == ["raw", "probability"]
    assert bits(found) == (scores.raw.tobytes(), scores.probability.tobytes())


def test_one_lead_gets_them_too(loaded: Any) -> None:
    scores = simulated().model.score(simulated().frame)
    for i in range(0, 60, 7):
        found = loaded.predict(table(simulated().frame.take(np.array([i]))))
        assert bits(found) == (
            scores.raw[i : i + 1].tobytes(),
            scores.probability[i : i + 1].tobytes(),
        )


def test_columns_in_another_order_and_rows_under_other_labels_change_nothing(loaded: Any) -> None:
    frame = table(simulated().frame)
    turned = frame[frame.columns[::-1]].set_axis([f"lead {i}" for i in range(len(frame))], axis=0)
    assert bits(loaded.predict(turned)) == bits(loaded.predict(frame))
    assert loaded.predict(turned).index[3] == "lead 3"


@pytest.mark.parametrize("dtype", ["object", "str", "category"])
def test_labels_may_be_of_any_dtype(loaded: Any, dtype: str) -> None:
    frame = table(simulated().frame)
    labels = [
        name for name in frame.columns if isinstance(frame[name].dropna().iloc[:1].squeeze(), str)
    ]
    assert "attr_industry" in labels
    changed = frame.astype(dict.fromkeys(labels, dtype))
    assert bits(loaded.predict(changed)) == bits(loaded.predict(frame))


def test_the_bundle_it_came_in_was_checked_and_is_the_registered_one(
    loaded: Any, tmp_path: Path
) -> None:
    model = loaded._model_impl.model
    assert model.digest == trained_company().digest
    assert model.about == simulated().model.about
