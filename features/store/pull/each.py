"""What has every source to tell? One after another, each under a lease of its own.

Rule: a source that fails keeps none of the others from being read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from features.definition import Definition
from features.errors import BusyError, ConflictError, SourceError
from features.store.engine import Store
from features.store.leases import TERM_SECONDS, holding
from features.store.pull.config import SourceConfig
from features.store.pull.run import Pulled, open_source, pull_outcomes


@dataclass(frozen=True, slots=True)
class PulledEach:
    """What each source told, why it failed, or who is at it; by its name."""

    pulled: tuple[Pulled, ...]
    failed: Mapping[str, str]
    busy: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "pulled": [one.to_json() for one in self.pulled],
            "failed": [{"source": name, "message": why} for name, why in self.failed.items()],
            "busy": [{"source": name, "message": who} for name, who in self.busy.items()],
        }


def pull_each(
    store: Store,
    sources: Iterable[SourceConfig],
    environment: Mapping[str, str],
    *,
    definition: Definition,
    now: int,
    holder: str,
    lease_seconds: float = TERM_SECONDS,
    dry_run: bool = False,
) -> PulledEach:
    """Pull outcomes from every source.

    Args:
        store: where they go.
        sources: whom to ask.
        environment: holds the secrets that the sources name.
        definition: says which sources are known and how leads are named.
        now: the present instant.
        holder: who pulls, as others are told who find it at work.
        lease_seconds: how long the others wait for it when it dies in the middle.
        dry_run: fetch and read everything, write nothing.
    """
    pulled: list[Pulled] = []
    failed: dict[str, str] = {}
    busy: dict[str, str] = {}
    for config in sources:
        try:
            source = open_source(config, environment)
            lease = f"pull {config.name}"[:64]
            with holding(store, lease, holder, seconds=lease_seconds):
                pulled.append(
                    pull_outcomes(store, source, definition=definition, now=now, dry_run=dry_run)
                )
        except BusyError as error:
            busy[config.name] = error.message
        except (SourceError, ConflictError) as error:
            failed[config.name] = error.message
    return PulledEach(tuple(pulled), failed, busy)
