"""On the tables of the real sets, as they come, the probe names the known traps and nothing else.

The traps are those that the data's own descriptions name.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.leakage import Finding, probe_leakage

pytestmark = pytest.mark.real_data


def blocked(findings: tuple[Finding, ...]) -> set[str]:
    return {finding.column for finding in findings if finding.blocking}


Table = tuple[dict[str, Any], np.ndarray, np.ndarray | None]


@pytest.fixture(scope="module")
def folder() -> Path:
    default = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    path = Path(os.environ.get("PROPENSITY_DATA", default))
    if not path.is_dir():
        pytest.skip(f"the real data sets are not at {path}; set PROPENSITY_DATA")
    return path


def column_of(series: Any) -> Any:
    import pandas as pd

    if series.dtype.kind in "biuf":
        return series.to_numpy(float)
    codes, levels = pd.factorize(series)
    return codes.astype(np.int64), tuple(map(str, levels))


def columns_of(table: Any, *without: str) -> dict[str, Any]:
    return {name: column_of(table[name]) for name in table.columns if name not in without}


def bank(folder: Path) -> Table:
    import pandas as pd

    table = pd.read_csv(folder / "bank_additional" / "bank-additional-full.csv", sep=";")
    return columns_of(table, "y"), (table["y"] == "yes").to_numpy(float), None


def x_education(folder: Path) -> Table:
    import pandas as pd

    table = pd.read_csv(folder / "x_education" / "Leads.csv").replace("Select", None)
    columns = columns_of(table, "Converted", "Prospect ID", "Lead Number")
    return columns, table["Converted"].to_numpy(float), None


def x_education_as_it_comes(folder: Path) -> Table:
    import pandas as pd

    table = pd.read_csv(folder / "x_education" / "Leads.csv")
    return columns_of(table, "Converted"), table["Converted"].to_numpy(float), None


def maven(folder: Path) -> Table:
    import pandas as pd

    deals = pd.read_csv(folder / "maven_crm" / "sales_pipeline.csv")
    deals = deals[deals["deal_stage"].isin(["Won", "Lost"])]
    deals = deals.merge(pd.read_csv(folder / "maven_crm" / "accounts.csv"), "left", "account")
    deals = deals.merge(
        pd.read_csv(folder / "maven_crm" / "sales_teams.csv"), "left", "sales_agent"
    )
    engaged = pd.to_datetime(deals["engage_date"])
    deals["engage_date"] = (engaged - engaged.min()).dt.days
    columns = columns_of(deals, "deal_stage", "close_date", "opportunity_id")
    return columns, (deals["deal_stage"] == "Won").to_numpy(float), None


def salvirt(folder: Path) -> Table:
    import pandas as pd

    table = pd.read_csv(folder / "salvirt_b2b" / "Salvirt_B2B_ML_dataset.csv", sep=";")
    duplicates = pd.factorize(table.apply(tuple, axis=1))[0]
    return columns_of(table, "Status"), (table["Status"] == "Won").to_numpy(float), duplicates


def bpi2012(folder: Path, hours: float) -> Table:
    """Counts of each event in the first hours of the cases still open then."""
    import pandas as pd

    cases = pd.read_parquet(folder / "bpi2012" / "cases.parquet")
    events = pd.read_parquet(folder / "bpi2012" / "events.parquet")
    cases["case"] = cases["concept:name"].astype(str)
    begun = pd.to_datetime(cases["REG_DATE"], utc=True).set_axis(cases["case"])
    events["case"] = events["case"].astype(str)
    events["age"] = (events["time:timestamp"] - events["case"].map(begun)).dt.total_seconds() / 3600
    ends = ["A_APPROVED", "A_DECLINED", "A_CANCELLED"]
    end = events[events["concept:name"].isin(ends)].sort_values("age").groupby("case").first()
    still_open = end[(end["age"] >= hours) | (hours == np.inf)]
    seen = events[(events["age"] < hours) & events["case"].isin(still_open.index)]
    counts = pd.crosstab(seen["case"], seen["concept:name"]).reindex(still_open.index, fill_value=0)
    columns = columns_of(counts)
    columns["amount"] = (
        cases.set_index("case")["AMOUNT_REQ"].reindex(still_open.index).to_numpy(float)
    )
    return columns, (still_open["concept:name"] == "A_APPROVED").to_numpy(float), None


X_EDUCATION = {"Tags", "Lead Quality"}
X_EDUCATION_SUSPECTS = {
    "Last Notable Activity",
    "Last Activity",
    "Lead Profile",
    "Asymmetrique Activity Index",
    "Asymmetrique Profile Index",
    "Asymmetrique Activity Score",
    "Asymmetrique Profile Score",
}


@pytest.mark.parametrize(
    ("read", "traps"),
    [
        (bank, {"duration"}),
        (x_education, X_EDUCATION),
        (x_education_as_it_comes, X_EDUCATION),
        (maven, {"close_value"}),
        (salvirt, set()),
        (lambda folder: bpi2012(folder, 1), set()),
        (lambda folder: bpi2012(folder, 24), set()),
        (lambda folder: bpi2012(folder, 72), set()),
    ],
    ids=["bank", "x_education", "x_education raw", "maven", "salvirt", "1 h", "24 h", "72 h"],
)
def test_real_traps_are_all_named_and_no_other_column_is(
    folder: Path, read: Callable[[Path], Table], traps: set[str]
) -> None:
    columns, y, groups = read(folder)
    findings = probe_leakage(columns, y, groups=groups)
    suspects = X_EDUCATION_SUSPECTS if traps == X_EDUCATION else set()
    assert {finding.column for finding in findings} == traps | suspects
    assert blocked(findings) == traps
    renamed = dict(zip((f"c{i}" for i in range(len(columns))), columns.values(), strict=True))
    anonymous = {
        list(columns)[int(name[1:])] for name in blocked(probe_leakage(renamed, y, groups=groups))
    }
    assert anonymous == traps, "names convict nobody"


@pytest.mark.parametrize("share", [2, 4])
@pytest.mark.parametrize(
    ("read", "traps"), [(bank, {"duration"}), (x_education, X_EDUCATION), (maven, {"close_value"})]
)
def test_a_half_and_a_quarter_of_the_leads_are_enough(
    folder: Path, read: Callable[[Path], Table], traps: set[str], share: int
) -> None:
    columns, y, _ = read(folder)
    for seed in range(3):
        some = np.random.default_rng(seed).permutation(len(y))[: len(y) // share]
        fewer = {
            name: (values[0][some], values[1]) if isinstance(values, tuple) else values[some]
            for name, values in columns.items()
        }
        assert blocked(probe_leakage(fewer, y[some], seed=seed)) == traps


def test_events_counted_over_the_whole_case_are_caught(folder: Path) -> None:
    columns, y, _ = bpi2012(folder, np.inf)
    found = blocked(probe_leakage(columns, y))
    assert {"A_APPROVED", "A_REGISTERED", "A_ACTIVATED", "O_ACCEPTED"} <= found


def test_dates_that_only_closed_deals_have_are_caught(folder: Path) -> None:
    # Open deals counted as lost: a close date is there for winners and for half of the others.
    import pandas as pd

    deals = pd.read_csv(folder / "maven_crm" / "sales_pipeline.csv")
    y = (deals["deal_stage"] == "Won").to_numpy(float)
    columns = columns_of(deals[["close_date", "close_value", "product"]])
    assert blocked(probe_leakage(columns, y)) == {"close_date", "close_value"}
