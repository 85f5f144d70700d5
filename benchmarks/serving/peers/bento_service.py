"""BentoML around the same booster; run by BentoML in its own environment, never imported here."""

import os

import bentoml
import lightgbm
import numpy as np


@bentoml.service(workers=1, traffic={"timeout": 60})
class Scorer:
    """Probabilities of encoded rows."""

    def __init__(self) -> None:
        self._booster = lightgbm.Booster(model_file=os.environ["BENCHMARK_BOOSTER"])

    @bentoml.api
    def predict(self, rows: np.ndarray) -> np.ndarray:
        """A row's 75 numbers in, its probability out."""
        return self._booster.predict(rows, num_threads=1)
