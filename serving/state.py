"""Which model answers right now? The champion and the agreement, swapped as one, never half.

A request takes one `Scorer` and keeps it: whatever is promoted meanwhile, its answer is of one model.
A champion that cannot be loaded changes nothing: the last good one goes on, and says so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import structlog

from features.definition import Definition
from features.errors import NoModelError, PropensityError
from models.bundle import read_bundle, read_manifest
from models.propensity import PropensityModel
from models.workspace import Workspace
from serving.scoring import Scorer

log = structlog.get_logger("propensity.state")


@dataclass(frozen=True, slots=True)
class Champion:
    """The model that scores, and where it comes from.

    Attributes:
        model: the model.
        created_at: when it was made; `loaded_at`: when this process began to use it.
        origin: `train` or `recalibrate`.
        parent: the digest of the model it was made from.
    """

    model: PropensityModel
    created_at: int
    loaded_at: int
    origin: str
    parent: str | None


@dataclass(frozen=True, slots=True)
class LiveState:
    """What is true at one moment; replaced as a whole.

    Attributes:
        agreed: the lead definition as it stands now.
        champion: None: nothing was promoted yet, or nothing could be loaded.
        model_trouble: why the promoted model is not the one that scores; None: it is.
        definition_trouble: why the definition's file is not the one that is used; None: it is.
    """

    agreed: Definition
    champion: Champion | None = None
    model_trouble: str | None = None
    definition_trouble: str | None = None


class LiveModel:
    """The champion as it is now.

    Args:
        workspace: where decisions, bundles and the definition are.
        clock: gives the present instant.
        stale_days: the age from which on a model counts as old.

    Raises:
        DefinitionError: there is no lead definition that holds together.
    """

    def __init__(self, workspace: Workspace, clock: Callable[[], int], stale_days: float) -> None:
        self._workspace = workspace
        self._clock = clock
        self._stale_days = stale_days
        self._looking = threading.Lock()
        self._file = _stamp(workspace)
        self._refused: str | None = None
        self._state = LiveState(workspace.definition())

    @property
    def state(self) -> LiveState:
        """What is true now."""
        return self._state

    @property
    def agreed(self) -> Definition:
        """The lead definition as it stands now."""
        return self._state.agreed

    def scorer(self) -> Scorer:
        """What scores now.

        Raises:
            NoModelError: nothing was promoted yet, or it could not be loaded.
        """
        state = self._state
        if state.champion is None:
            raise NoModelError(
                "there is no model to score with", hint="`propensity train` makes and promotes one."
            )
        champion = state.champion
        return Scorer(champion.model, state.agreed, champion.created_at, self._stale_days)

    def look(self) -> None:
        """See whether another model was promoted or the definition was edited, and use it."""
        with self._looking:
            self._look_at_definition()
            self._look_at_champion()

    def _look_at_champion(self) -> None:
        digest = self._workspace.registry.champion_digest()
        present = self._state.champion
        if digest is None or (present is not None and digest == present.model.digest):
            self._state = replace(self._state, model_trouble=None)
            return
        try:
            champion = self._load(digest)
        except (PropensityError, OSError) as error:
            self._keep_last_good(digest, error)
            return
        self._refused = None
        self._state = replace(self._state, champion=champion, model_trouble=None)
        log.info("model loaded", model=digest, calibration=champion.model.calibrator.kind)

    def _load(self, digest: str) -> Champion:
        root = self._workspace.bundles
        model = read_bundle(root, digest)
        manifest = read_manifest(root, digest)
        # The booster and the words are made on first use; that must not be a request's.
        _ = model.learner.raw(np.full((1, len(model.encoder.columns)), np.nan)), model.specs
        return Champion(
            model=model,
            created_at=manifest["created_at"],
            loaded_at=self._clock(),
            origin=manifest["origin"],
            parent=manifest["parent"],
        )

    def _keep_last_good(self, digest: str, error: Exception) -> None:
        trouble = f"model {digest[:12]} was promoted but cannot be loaded"
        if self._refused != digest:
            log.error("model not loaded", model=digest, reason=str(error))
        self._refused = digest
        self._state = replace(self._state, model_trouble=trouble)

    def _look_at_definition(self) -> None:
        stamp = _stamp(self._workspace)
        if stamp == self._file:
            return
        self._file = stamp
        try:
            agreed = self._workspace.definition()
        except PropensityError as error:
            log.error("definition not read", reason=error.message)
            trouble = "the lead definition was edited and does not hold together"
            self._state = replace(self._state, definition_trouble=trouble)
            return
        self._state = replace(self._state, agreed=agreed, definition_trouble=None)


class Repeating(threading.Thread):
    """Does something again and again until stopped; an error is logged, and the next turn comes.

    Args:
        name: how the thread is called in logs.
        seconds: between two turns.
        turn: what is done.
    """

    def __init__(self, name: str, seconds: float, turn: Callable[[], object]) -> None:
        super().__init__(name=name, daemon=True)
        self._seconds = seconds
        self._turn = turn
        self._stop_now = threading.Event()

    def run(self) -> None:
        """Take turns until stopped."""
        while not self._stop_now.wait(self._seconds):
            try:
                self._turn()
            except PropensityError as error:
                log.warning("turn failed", thread=self.name, reason=error.message)
            except Exception:
                log.exception("turn failed", thread=self.name)

    def stop(self, patience_seconds: float = 10.0) -> None:
        """Take no further turn, and wait for the present one to end."""
        self._stop_now.set()
        self.join(patience_seconds)


def _stamp(workspace: Workspace) -> tuple[int, int] | None:
    """Size and time of the definition's file; None when it is not there."""
    try:
        found = workspace.definition_path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
