"""Who is the lead? Columns from the version of the lead that was valid at the as-of.

Sensitive attributes and those filled in during the sale never become columns.
"""

from __future__ import annotations

import numpy as np

from features.catalog import FeatureSpec
from features.clock import in_days
from features.definition import Attribute, Definition
from features.facts import KINDS, Facts, Queries
from features.frames import Category, Column
from features.plans import planned
from features.windows import count, days_since, first, last, see


def specs(definition: Definition) -> list[FeatureSpec]:
    """The features this module makes."""
    return [
        FeatureSpec(
            name="lead_kind",
            kind="category",
            fact="lead:kind",
            label="Kind of lead",
            phrase="{value}",
            missing="kind not known",
            levels=KINDS,
        ),
        FeatureSpec(
            name="lead_age_days",
            kind="number",
            fact="lead:age",
            label="Age of the lead",
            phrase="known for {value} days",
            missing="not known yet",
            unit="days",
        ),
        FeatureSpec(
            name="lead_updates",
            kind="number",
            fact="lead:updates",
            label="Updates of the record",
            phrase="record updated {value} times",
            missing="no record",
        ),
        *(_spec(attribute) for attribute in definition.attributes if attribute.is_feature),
    ]


def compute(facts: Facts, queries: Queries, definition: Definition) -> dict[str, Column]:
    """The columns of `specs`, each of shape (n,)."""
    seen = see(facts.versions, queries)
    version = last(seen)
    kind = Category(facts.versions.code, KINDS).take(version)
    columns: dict[str, Column] = {
        "lead_kind": kind,
        "lead_age_days": days_since(seen, first(seen)),
        "lead_updates": np.maximum(count(seen) - 1.0, 0.0),
    }
    valid = facts.attributes.take(version).by_name
    for attribute, name, is_date in attribute_columns(definition):
        value = valid[attribute]
        columns[name] = _since(value, queries) if is_date else value
    return columns


@planned
def attribute_columns(definition: Definition) -> list[tuple[str, str, bool]]:
    """The attributes that become columns: name, the column's name, whether it is a date."""
    return [
        (attribute.name, _name(attribute), attribute.type == "date")
        for attribute in definition.attributes
        if attribute.is_feature
    ]


def _since(value: Column, queries: Queries) -> Column:
    """Dates as days before the as-of (negative: still to come)."""
    assert not isinstance(value, Category)
    instant = np.where(np.isnan(value), 0.0, value).astype(np.int64)
    return np.where(np.isnan(value), np.nan, in_days(queries.as_of - instant))


def _name(attribute: Attribute) -> str:
    return f"attr_{attribute.name}" + ("_days" if attribute.type == "date" else "")


def _spec(attribute: Attribute) -> FeatureSpec:
    phrases = {
        "category": "{value}",
        "boolean": "{value}",
        "number": "{value}" + (f" {attribute.unit}" if attribute.unit else ""),
        "date": "{value} days ago",
    }
    return FeatureSpec(
        name=_name(attribute),
        kind="category" if attribute.type == "category" else "number",
        fact=f"attribute:{attribute.name}",
        label=attribute.words,
        phrase=phrases[attribute.type],
        missing="not known",
        unit={"date": "days", "boolean": "yes/no"}.get(attribute.type, attribute.unit),
        monotone=attribute.monotone,
        levels=attribute.values,
    )
