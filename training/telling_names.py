"""Which column names tell that the column is written late in a lead's life?

Rule: a name convicts nobody; `training.leakage` only warns of a column for its name, and only with
evidence. English names; a company with other words adds them here.
"""

from __future__ import annotations

import re

OVERWRITTEN = re.compile(
    r"\b(last|latest|recent) (\w+ )?(activity|action|contact|contacted|event|touch|modified|update"
    r"|updated|call|note|status|stage|seen|interaction|engagement)\b"
    r"|\btags?\b"
    r"|^((lead|deal|opportunity|sales|pipeline|contact|call|crm) )?(status|stage|disposition)$"
    r"|\b(lost|loss|won|win|close|closed|closing|rejection|cancel|churn)( \w+)?"
    r" (reason|date|value|amount|at|on|time)\b"
    r"|\b(outcome|converted|conversion|invoice|invoiced|payment|paid|signed)\b"
)
"""Names of fields that are overwritten as a lead moves towards its end."""

EARLIER = re.compile(r"^(previous|prior|earlier|former|past)\b")
"""Names of what ended before this lead began, such as the outcome of an earlier campaign."""

GRADED = re.compile(
    r"\b(score|index|quality|grade|rating|likelihood|forecast|ranking)\b"
    r"|\b(lead|customer|buyer|contact) (profile|segment|class|rank)\b"
)
"""Names of judgements that somebody or something passed on a lead at an unknown time."""


def words_of(name: str) -> str:
    """Spell a column's name as lower-case words: `closeDate`, `CLOSE_DATE` -> `close date`."""
    apart = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name)
    return re.sub(r"[^a-z0-9]+", " ", apart.lower()).strip()
