"""A company whose leads fall short of what is said by more every month, scored and known in cohorts."""

from __future__ import annotations

import numpy as np

from features.clock import DAY
from features.frames import FeatureFrame
from models.calibrators import sigmoid
from training.dataset import Dataset
from training.reliability import observed_over_expected
from training.unseen import Unseen

HORIZON = 90 * DAY


def rows_of(as_of: np.ndarray, lead: np.ndarray, y: np.ndarray) -> Unseen:
    frame = FeatureFrame(tuple(f"L{one}" for one in lead.tolist()), as_of, {})
    dataset = Dataset(frame, lead, y, np.zeros(len(y), dtype=np.int64), 0)
    return Unseen(dataset, np.ones(len(y)))


def company(
    seed: int, months: int, a_month: int = 250, drift: float = 0.0
) -> tuple[np.ndarray, Unseen]:
    """Leads seen in one or two monthly cohorts; the log-odds fall short of what is said by drift."""
    rng = np.random.default_rng(seed)
    first = np.repeat(np.arange(months), a_month)
    raw = rng.normal(-1.7, 1.0, len(first))
    again = np.flatnonzero((first < months - 1) & (rng.random(len(first)) < 0.5))
    lead = np.concatenate([np.arange(len(first)), again])
    month = np.concatenate([first, first[again] + 1])
    won = rng.random(len(first)) < sigmoid(raw - drift * first)
    order = np.lexsort((lead, month))
    lead, month = lead[order], month[order]
    return raw[lead], rows_of(month * 30 * DAY, lead, won[lead].astype(np.int64))


def ratio(said: np.ndarray, rows: Unseen, here: np.ndarray) -> float:
    known = rows.dataset
    return observed_over_expected(said[here], known.y[here], groups=known.lead[here]).estimate
