"""One simulated company for all tests that look at one, and what came of its leads."""

from __future__ import annotations

import atexit
import tempfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from training.simulate import Summary, simulate

HORIZON = pd.Timedelta(days=90)
LAG = pd.Timedelta(days=20)
START, CHANGE, END = (
    pd.Timestamp(day, tz="UTC") for day in ("2024-01-01", "2025-02-06", "2026-01-01")
)
TIMES = {
    "leads": ("valid_from", "recorded_at"),
    "answers": ("answered_at", "recorded_at"),
    "events": ("at", "recorded_at"),
    "stages": ("changed_at", "recorded_at"),
    "deals": ("closed_at", "recorded_at"),
}
"""When a fact of each file happened and when it was recorded."""


class Company(NamedTuple):
    directory: Path
    summary: Summary
    files: dict[str, pd.DataFrame]
    truth: pd.DataFrame


def read(directory: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(
        directory / f"{name}.csv",
        parse_dates=list(TIMES[name]),
        keep_default_na=False,
        na_values=[""],
    )


@cache
def simulated_company() -> Company:
    """8,000 leads in two years; drawn once a test run, removed when it ends."""
    directory = tempfile.TemporaryDirectory()
    atexit.register(directory.cleanup)
    path = Path(directory.name)
    summary = simulate(path, leads=8_000, events=160_000, seed=11)
    truth = pd.read_parquet(path / "truth.parquet")
    return Company(path, summary, {name: read(path, name) for name in TIMES}, truth)


def with_outcomes(company: Company, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows whose horizon has passed, with what the deals in the files say came of them."""
    rows = rows[rows["as_of"] + HORIZON + LAG <= END].copy()
    deals = company.files["deals"].drop_duplicates()
    both = rows.reset_index().merge(deals, on="lead_id")
    within = (both["closed_at"] >= both["as_of"]) & (both["closed_at"] < both["as_of"] + HORIZON)
    # At most one deal lies within: a client rests 120 days, and nobody else comes back.
    for column, outcomes in (("won", ["won"]), ("off_merit", ["junk", "duplicate"])):
        hit = both.loc[within & both["outcome"].isin(outcomes), "index"]
        rows[column] = rows.index.isin(hit).astype(float)
    return rows
