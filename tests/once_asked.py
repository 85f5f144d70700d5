"""What became of a batch that was sent under an idempotency key? Its sender asks, and who looks on."""

from __future__ import annotations

from features.store.engine import Store
from features.store.idempotency import Answer, Busy, Claim, Reused, claim


def claimed(store: Store, batch: int, now: int) -> Claim | Answer | Busy | Reused:
    """The right to send a batch, or what was answered when it was sent."""
    with store.write() as connection:
        return claim(connection, "key crm", f"batch {batch}", f"content {batch}", [], now)
