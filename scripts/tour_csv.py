"""What could a small company's CRM export look like? Writes `examples/tour/leads.csv`, which is made up.

    python -m scripts.tour_csv

One row a lead, as most exports have it: what is known, how it ended. The same rows on every machine.
"""

from __future__ import annotations

import csv
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

PATH = Path(__file__).parent.parent / "examples" / "tour" / "leads.csv"
HEAD = (
    "Lead", "Created", "Company", "Industry", "Employees", "Country", "Source", "Job title",
    "Budget", "Timeline", "Owner", "Status", "Closed", "Amount",
)  # fmt: skip

_ROWS = 2_000
_FIRST = date(2024, 1, 1)
_DAYS = 720
_INDUSTRIES = {"software": 0.5, "manufacturing": 0.1, "retail": -0.5, "health care": 0.0}
_SOURCES = {"referral": 0.9, "webinar": 0.4, "search": 0.0, "bought list": -1.0}
_TITLES = {"Managing director": 0.6, "Head of IT": 0.3, "Engineer": -0.2, "Student": -1.5}
_BUDGETS = {"approved": 1.2, "planned": 0.4, "none": -0.9, "unknown": -0.8, "": -0.2}
_TIMELINES = {"this quarter": 0.8, "this year": 0.2, "later": -0.6, "": -0.1}
_COUNTRIES = ("Germany", "Austria", "Switzerland", "Netherlands")
_OWNERS = ("anna", "ben", "carla", "david")


def lines(seed: int = 7) -> list[tuple[str, ...]]:
    """The rows of the file, without its head, in the order in which the leads came in."""
    rng = np.random.default_rng(seed)
    days = np.sort(rng.integers(0, _DAYS, _ROWS))
    return [_line(rng, 10_001 + i, int(day)) for i, day in enumerate(days.tolist())]


def _line(rng: np.random.Generator, number: int, day: int) -> tuple[str, ...]:
    industry, source = _drawn(rng, _INDUSTRIES), _drawn(rng, _SOURCES)
    title, budget = _drawn(rng, _TITLES), _drawn(rng, _BUDGETS)
    timeline = _drawn(rng, _TIMELINES)
    employees = round(float(np.exp(rng.normal(4.5, 1.2)))) + 1
    log_odds = (
        _INDUSTRIES[industry] + _SOURCES[source] + _TITLES[title] + _BUDGETS[budget]
        + _TIMELINES[timeline] + 0.3 * (np.log(employees) - 4.5) + rng.normal(0, 0.6) - 1.6
    )  # fmt: skip
    won = rng.random() < 1 / (1 + np.exp(-log_odds))
    closed = day + round(float(rng.gamma(2.0, 14.0 if won else 20.0))) + 1
    status = ("Won" if won else "Lost") if closed < _DAYS else "Open"
    amount = round(float(np.exp(rng.normal(8.5, 0.7))), 2) if status == "Won" else None
    return (
        f"L-{number}",
        _day(day),
        f"Company {number}",
        industry,
        str(employees),
        str(rng.choice(_COUNTRIES)),
        source,
        title,
        budget,
        timeline,
        str(rng.choice(_OWNERS)),
        status,
        _day(closed) if status != "Open" else "",
        "" if amount is None else f"{amount:.2f}".replace(".", ","),
    )


def _drawn(rng: np.random.Generator, weights: dict[str, Any]) -> str:
    return str(rng.choice(list(weights)))


def _day(number: int) -> str:
    return (_FIRST + timedelta(days=number)).strftime("%d.%m.%Y")


def main() -> None:
    """Write the file."""
    PATH.parent.mkdir(parents=True, exist_ok=True)
    with PATH.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=";", lineterminator="\n")
        writer.writerow(HEAD)
        writer.writerows(lines())


if __name__ == "__main__":
    main()
