"""Which model scores, and where is it? Decisions and bytes in our database, bundles on local disk.

A bundle comes to a host's disk by being trained there, or from the database; either way it is tried in
another process before it may score, and read only when its digest is the one that was decided on.
No MLflow here: the scorer starts and serves without it.
"""

from __future__ import annotations

import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from features.errors import BundleError, ConflictError, NoModelError, NotFoundError, StoreError
from features.store.audit import Entry, note, wait_for_others
from features.store.engine import Connection, Store
from features.store.promotions import (
    BundleRecord,
    DecisionRecord,
    champion,
    keep_files,
    kept_file,
    list_bundles,
    list_decisions,
    newest,
    previous_champion,
    record_bundle,
    record_decision,
)
from models.bundle import (
    by_digest,
    gather_files,
    place_files,
    read_bundle,
    read_files,
    read_manifest,
)
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
        return self.read(digest)

    def find(self, name: str) -> str:
        """The digest that a name means: `champion`, `previous`, `newest`, or the first digits.

        A refit or a recalibration that nothing was decided about is found by its digits only.

        Raises:
            NotFoundError: none, or more than one.
        """
        with self.store.read() as connection:
            known = [bundle.digest for bundle in list_bundles(connection)]
            named = {
                "champion": champion(connection),
                "previous": previous_champion(connection),
                "newest": newest(connection),
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
        return self.read(self.find(name))

    def read(self, digest: str) -> PropensityModel:
        """The model of this digest, from this host's disk or, where it is not whole there, the database.

        Raises:
            BundleError: neither holds it, or it failed its trial on this host.
        """
        self.bring(digest)
        return read_bundle(self.root, digest)

    def bring(self, digest: str, *, may_fetch: bool = True) -> Literal["disk", "database"]:
        """Make sure that a bundle is whole on this host's disk; where it was found.

        Args:
            digest: of the bundle.
            may_fetch: whether the database may be asked for it, which takes a trial of seconds.

        Raises:
            BundleError: it is not whole on disk, and not in the database or may not be fetched.
        """
        try:
            read_files(self.root, digest)
        except BundleError:
            if not may_fetch or not self._fetch(digest):
                raise
            return "database"
        return "disk"

    def share(self, digest: str) -> None:
        """Keep the bytes of a bundle in the database, for hosts that do not have it."""
        files = by_digest(read_files(self.root, digest))
        with self.store.write() as connection:
            keep_files(connection, files)

    def share_all(self) -> int:
        """Share every known bundle that is whole here and not in the database yet; how many were."""
        with self.store.read() as connection:
            known = [bundle.digest for bundle in list_bundles(connection)]
        shared = 0
        for digest in known:
            with suppress(BundleError):
                if not self.is_kept(digest):
                    self.share(digest)
                    shared += 1
        return shared

    def is_kept(self, digest: str) -> bool:
        """Whether the database holds the bytes of a bundle."""
        with self.store.read() as connection:
            return kept_file(connection, digest) is not None

    def _fetch(self, digest: str) -> bool:
        """Put a bundle on this host's disk after its trial; False when the database does not have it."""
        if not self.is_kept(digest):
            return False
        with self.store.read() as connection:
            files = gather_files(digest, lambda sha256: kept_file(connection, sha256))
        self.root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=self.root) as beside:
            place_files(files, Path(beside), digest)
            try_bundle(Path(beside), digest)
        place_files(files, self.root, digest)
        return True

    def add(self, digest: str, summary: dict[str, Any]) -> None:
        """Make a written bundle and its bytes known to the database; again, it changes nothing."""
        manifest = read_manifest(self.root, digest)
        files = by_digest(read_files(self.root, digest))
        record = BundleRecord(
            digest=digest,
            created_at=manifest["created_at"],
            origin=manifest["origin"],
            parent=manifest["parent"],
            definition=manifest["definition"],
            summary=summary,
        )
        with self.store.write() as connection:
            keep_files(connection, files)
            record_bundle(connection, record)

    def decide(self, decision: DecisionRecord) -> None:
        """Record a decision; a model that is to score is tried first, in another process.

        Raises:
            BundleError: the trial failed; nothing was recorded.
            ConflictError: the champion is no longer the one that it was decided against.
        """
        if decision.decision in ("promote", "roll_back"):
            if self.bring(decision.bundle) == "disk":
                try_bundle(self.root, decision.bundle)
            self.share(decision.bundle)
        try:
            self._record(decision)
        except StoreError:
            # Rolled back once more for want of an answer, it would be rolled back twice.
            if not self._is_recorded(decision):
                raise

    def _record(self, decision: DecisionRecord) -> None:
        with self.store.write() as connection:
            if champion(connection) != decision.against:
                raise ConflictError(
                    "another model was promoted in the meantime; nothing was decided",
                    hint="Decide again, against the champion there is now.",
                )
            record_decision(connection, decision)
            _note(connection, decision)

    def _is_recorded(self, decision: DecisionRecord) -> bool:
        """Whether this is the last decision there is; one that is just being committed is waited for."""
        with self.store.write() as connection:
            wait_for_others(connection)
            made = list_decisions(connection)[-1:]
        return [(d.decided_at, d.decided_by, d.decision, d.bundle) for d in made] == [
            (decision.decided_at, decision.decided_by, decision.decision, decision.bundle)
        ]

    def previous(self) -> str:
        """The champion before this one.

        Raises:
            NotFoundError: there was none.
        """
        return self.step_back()[1]

    def step_back(self) -> tuple[str, str]:
        """The champion and the one before it, as they stood at one moment.

        Raises:
            NotFoundError: there is none before.
        """
        with self.store.read() as connection:
            present, earlier = champion(connection), previous_champion(connection)
        if present is None or earlier is None:
            raise NotFoundError("there is no earlier champion to roll back to")
        return present, earlier


def _note(connection: Connection, decision: DecisionRecord) -> None:
    entry = Entry(
        at=decision.decided_at,
        actor=decision.decided_by,
        action=f"model_{decision.decision}",
        object=decision.bundle,
        detail={"against": decision.against},
    )
    note(connection, entry)
