"""What does each feature mean? One row a feature: source, unit, direction, and words for reps.

`features.pipeline.build_catalog` makes the catalogue from the definition alone, so that a model, a
request and a document always speak of the same columns in the same order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSpec:
    """One feature.

    Attributes:
        name: the column's name, `[a-z0-9_]`.
        kind: `number` (float64, NaN: not known) or `category` (label, or not known).
        fact: what it is made of; features of one fact are one reason: `attribute:industry`,
            `bant:budget_allocated`, `event:webinar`, `lead:age`.
        label: how people call that fact.
        phrase: the value in words, with `{value}`; `{value}` alone for a category.
        missing: the words when the value is not known.
        unit: the unit of a number.
        monotone: 1 when more must never lower the probability, −1 when it must never raise it.
        window_days: the window a count is over; None where there is none.
        levels: the labels a category can take, when the definition lists them.
    """

    name: str
    kind: Literal["number", "category"]
    fact: str
    label: str
    phrase: str
    missing: str
    unit: str | None = None
    monotone: Literal[-1, 0, 1] = 0
    window_days: float | None = None
    levels: tuple[str, ...] | None = None


Catalog = tuple[FeatureSpec, ...]


def column_kinds(catalog: Catalog) -> dict[str, str]:
    """Column name -> `number` or `category`, in order."""
    return {spec.name: spec.kind for spec in catalog}
