"""Which rows does a bundle carry to be tried on? Rows of nobody: real values, put together anew.

A bundle outlives the people it was learned from, and an erasure cannot reach into it: its digest would
change. So no row of it is a person's; each column is that of another lead.
"""

from __future__ import annotations

from features.frames import Category, FeatureFrame

GOLDEN_ROWS = 20


def golden_rows(frame: FeatureFrame) -> FeatureFrame:
    """At most `GOLDEN_ROWS` rows in which neighbouring columns come from different rows of the frame.

    Args:
        frame: n rows; with fewer than two there is nobody to mix a row with, and the result is empty.
    """
    n = min(GOLDEN_ROWS, len(frame))
    rows = [frame.row(i) for i in range(n if n > 1 else 0)]
    mixed = [
        {name: rows[(i + j) % n][name] for j, name in enumerate(frame.columns)}
        for i in range(len(rows))
    ]
    kinds = {
        name: "category" if isinstance(column, Category) else "number"
        for name, column in frame.columns.items()
    }
    return FeatureFrame.of_rows(mixed, kinds)
