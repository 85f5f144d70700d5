"""How do MLflow's users load a model? As a pyfunc around a bundle directory: no pickle in it.

MLflow calls `_load_pyfunc`; the frame's columns are those of the feature catalogue.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from features.catalog import column_kinds
from features.errors import InputError
from features.frames import FeatureFrame
from models.bundle import read_bundle
from models.propensity import PropensityModel


class BundlePyfunc:
    """What `mlflow.pyfunc.load_model` gives: `predict` on a frame of features."""

    def __init__(self, model: PropensityModel) -> None:
        self.model = model

    def predict(
        self, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Raw scores (log-odds) and probabilities, one row a row of the input."""
        del params  # MLflow hands it over; there is nothing to choose here.
        if missing := [name for name in self.model.encoder.names if name not in model_input]:
            raise InputError(
                f"the frame lacks {len(missing)} columns that the model reads: "
                f"{', '.join(missing[:5])}",
                hint="Columns are those of the feature catalogue; empty where nothing is known.",
            )
        rows = [
            {name: _cell(value) for name, value in record.items()}
            for record in model_input.to_dict("records")
        ]
        scores = self.model.score(FeatureFrame.of_rows(rows, column_kinds(self.model.catalog)))
        return pd.DataFrame(
            {"raw": scores.raw, "probability": scores.probability}, index=model_input.index
        )


def _load_pyfunc(path: str) -> BundlePyfunc:
    """The bundle under `path`, whose directory is named by its digest."""
    directory = Path(path)
    return BundlePyfunc(read_bundle(directory.parent, directory.name))


def _cell(value: Any) -> str | float | None:
    if value is None or (not isinstance(value, str) and pd.isna(value)):
        return None
    return value if isinstance(value, str) else float(value)
