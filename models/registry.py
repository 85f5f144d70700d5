"""Which model scores, and where is it? Bundles on local disk, decisions in our database.

No MLflow here: the scorer starts and serves without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.errors import ConflictError, NoModelError, NotFoundError
from features.store.audit import Entry, note
from features.store.engine import Connection, Store
from features.store.promotions import (
    BundleRecord,
    DecisionRecord,
    champion,
    list_bundles,
    previous_champion,
    record_bundle,
    record_decision,
)
from models.bundle import read_bundle, read_manifest
from models.canary import try_bundle
from models.propensity import PropensityModel


@dataclass(frozen=True)
class Registry:
    """The models of one installation.

    Attributes:
        store: the database with the decisions.
        root: the directory of all bundles.
    """

    store: Store
    root: Path

    def champion_digest(self) -> str | None:
        """The digest of the model that scores now; None before the first promotion."""
        with self.store.read() as connection:
            return champion(connection)

    def champion(self) -> PropensityModel:
        """The model that scores now.

        Raises:
            NoModelError: nothing was promoted yet.
            BundleError: its bundle is missing or altered.
        """
        digest = self.champion_digest()
        if digest is None:
            raise NoModelError("there is no champion yet", hint="`propensity train` makes one.")
        return read_bundle(self.root, digest)

    def find(self, name: str) -> str:
        """The digest that a name means: `champion`, `previous`, `newest`, or the first digits.

        Raises:
            NotFoundError: none, or more than one.
        """
        with self.store.read() as connection:
            known = [bundle.digest for bundle in list_bundles(connection)]
            named = {
                "champion": champion(connection),
                "previous": previous_champion(connection),
                "newest": known[0] if known else None,
            }
        if name in named:
            found = [digest for digest in [named[name]] if digest is not None]
        else:
            found = [digest for digest in known if name and digest.startswith(name.lower())]
        if len(found) != 1:
            raise NotFoundError(
                f"{len(found)} models are called {name!r}",
                hint="Use champion, previous, newest, or the first digits `propensity models` shows.",
            )
        return found[0]

    def load(self, name: str) -> PropensityModel:
        """The model that a name means; see `find`."""
        return read_bundle(self.root, self.find(name))

    def add(self, digest: str, summary: dict[str, Any]) -> None:
        """Make a written bundle known to the database; doing it again changes nothing."""
        manifest = read_manifest(self.root, digest)
        record = BundleRecord(
            digest=digest,
            created_at=manifest["created_at"],
            origin=manifest["origin"],
            parent=manifest["parent"],
            definition=manifest["definition"],
            summary=summary,
        )
        with self.store.write() as connection:
            record_bundle(connection, record)

    def decide(self, decision: DecisionRecord) -> None:
        """Record a decision; a model that is to score is tried first, in another process.

        Raises:
            BundleError: the trial failed; nothing was recorded.
            ConflictError: the champion is no longer the one that it was decided against.
        """
        if decision.decision in ("promote", "roll_back"):
            try_bundle(self.root, decision.bundle)
        with self.store.write() as connection:
            if champion(connection) != decision.against:
                raise ConflictError(
                    "another model was promoted in the meantime; nothing was decided",
                    hint="Decide again, against the champion there is now.",
                )
            record_decision(connection, decision)
            _note(connection, decision)

    def previous(self) -> str:
        """The champion before this one.

        Raises:
            NotFoundError: there was none.
        """
        with self.store.read() as connection:
            digest = previous_champion(connection)
        if digest is None:
            raise NotFoundError("there is no earlier champion to roll back to")
        return digest


def _note(connection: Connection, decision: DecisionRecord) -> None:
    entry = Entry(
        at=decision.decided_at,
        actor=decision.decided_by,
        action=f"model_{decision.decision}",
        object=decision.bundle,
        detail={"against": decision.against},
    )
    note(connection, entry)
