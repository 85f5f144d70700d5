"""Which tables are there in all? Importing this module has defined every one of them.

Only migrations and tests need it: everybody else imports the module whose tables are used.
"""

from __future__ import annotations

from features.store import (
    access,
    audit,
    consent,
    idempotency,
    keys,
    leases,
    ledger,
    outcomes,
    promotions,
    reconciliation,
    reports,
    turns,
    webhooks,
)
from features.store.tables import metadata

__all__ = [
    "access",
    "audit",
    "consent",
    "idempotency",
    "keys",
    "leases",
    "ledger",
    "metadata",
    "outcomes",
    "promotions",
    "reconciliation",
    "reports",
    "turns",
    "webhooks",
]
