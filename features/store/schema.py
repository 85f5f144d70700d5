"""Which tables are there in all? Importing this module has defined every one of them.

Only migrations and tests need it: everybody else imports the module whose tables are used.
"""

from __future__ import annotations

from features.store import (
    access,
    audit,
    consent,
    exposure,
    idempotency,
    keys,
    leases,
    ledger,
    merges,
    outcomes,
    promotions,
    reconciliation,
    reports,
    trials,
    turns,
    webhooks,
)
from features.store.pull import watermarks
from features.store.tables import metadata

__all__ = [
    "access",
    "audit",
    "consent",
    "exposure",
    "idempotency",
    "keys",
    "leases",
    "ledger",
    "merges",
    "metadata",
    "outcomes",
    "promotions",
    "reconciliation",
    "reports",
    "trials",
    "turns",
    "watermarks",
    "webhooks",
]
