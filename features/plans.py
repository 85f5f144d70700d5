"""What follows from a lead definition alone, worked out once: names, codes, tables, the catalogue.

A definition is immutable, so whatever is made of nothing else is kept with it; a copy with something
changed works out its own. What is planned is shared by all who ask and must not be changed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar, cast

from features.definition import Definition

T = TypeVar("T")


def planned(make: Callable[[Definition], T]) -> Callable[[Definition], T]:
    """`make`, which looks at nothing but the definition, called once for each."""
    key = f"{make.__module__}.{make.__qualname__}"

    @wraps(make)
    def plan(definition: Definition) -> T:
        kept = definition.__dict__
        owner, found = kept.get(key, (None, None))
        # A copy starts with what was kept for the original, which may say something else.
        if owner != id(definition):
            found = make(definition)
            kept[key] = id(definition), found
        return cast("T", found)

    return plan
