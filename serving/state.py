"""Which model answers right now? The champion and the agreement, swapped as one, never half.

A request takes one `Scorer` and keeps it: whatever is promoted meanwhile, its answer is of one model.
A champion that cannot be loaded changes nothing: the last good one goes on, and says so; a process that
has none yet goes back to the champion before. Without any there is no number, unless the agreed
scorecard is wanted instead.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import structlog

from features.clock import SECOND
from features.definition import Definition
from features.errors import NoModelError, PropensityError
from models.agreed import AGREED_WORDS, agreed_model
from models.bundle import read_bundle, read_card, read_golden, read_manifest
from models.canary import require_golden
from models.propensity import PropensityModel
from models.workspace import Workspace
from serving.scoring import Scorer

log = structlog.get_logger("propensity.state")

Source = Literal["disk", "database", "definition"]
WithoutModel = Literal["refuse", "agreed"]

FETCH_AGAIN = 30 * SECOND
"""How long after a model could not be fetched it is tried anew: a trial takes seconds of a core."""


@dataclass(frozen=True, slots=True)
class Champion:
    """The model that scores, and where it comes from.

    Attributes:
        model: the model.
        created_at: when it was made; `loaded_at`: when this process began to use it.
        origin: `train` or `recalibrate`; `agreed` for the agreed scorecard.
        parent: the digest of the model it was made from.
        source: where its bytes were found: this host's disk, the database, or the lead definition.
        card: the model card, Markdown.
    """

    model: PropensityModel
    created_at: int
    loaded_at: int
    origin: str
    parent: str | None
    source: Source
    card: str


@dataclass(frozen=True, slots=True)
class LiveState:
    """What is true at one moment; replaced as a whole.

    Attributes:
        agreed: the lead definition as it stands now.
        champion: None: nothing was promoted yet, or nothing could be loaded.
        model_trouble: why the promoted model is not the one that scores; None: it is.
        definition_trouble: why the definition's file is not the one that is used; None: it is.
        checked_at: when the database last said which model is the champion; None: never yet.
    """

    agreed: Definition
    champion: Champion | None = None
    model_trouble: str | None = None
    definition_trouble: str | None = None
    checked_at: int | None = None


class LiveModel:
    """The champion as it is now.

    Args:
        workspace: where decisions, bundles and the definition are.
        clock: gives the present instant.
        stale_days: the age from which on a model counts as old.
        without_model: whether the agreed scorecard scores while no model can.

    Raises:
        DefinitionError: there is no lead definition that holds together.
    """

    def __init__(
        self,
        workspace: Workspace,
        clock: Callable[[], int],
        stale_days: float,
        without_model: WithoutModel = "refuse",
    ) -> None:
        self._workspace = workspace
        self._clock = clock
        self._stale_days = stale_days
        self._without_model = without_model
        self._looking = threading.Lock()
        self._file = _stamp(workspace)
        self._refused: str | None = None
        self._fetch_at = 0
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
        return Scorer(
            champion.model,
            state.agreed,
            champion.created_at,
            self._stale_days,
            trouble=state.model_trouble,
        )

    def look(self) -> None:
        """See whether another model was promoted or the definition was edited, and use it."""
        with self._looking:
            self._look_at_definition()
            self._look_at_champion()

    def _look_at_champion(self) -> None:
        digest = self._workspace.registry.champion_digest()
        self._state = replace(self._state, checked_at=self._clock())
        present = self._state.champion
        if digest is None:
            self._use_the_agreed()
        elif present is not None and digest == present.model.digest:
            self._state = replace(self._state, model_trouble=None)
        else:
            self._swap_to(digest)

    def _swap_to(self, digest: str) -> None:
        try:
            champion = self._load(digest)
        except (PropensityError, OSError) as error:
            self._keep_last_good(digest, error)
            return
        self._refused = None
        self._state = replace(self._state, champion=champion, model_trouble=None)
        log.info("model loaded", model=digest, calibration=champion.model.calibrator.kind)

    def _load(self, digest: str) -> Champion:
        """A model with its digests checked, after it scored its golden rows as when it was made."""
        registry, root, now = self._workspace.registry, self._workspace.bundles, self._clock()
        may_fetch = digest != self._refused or now >= self._fetch_at
        if may_fetch:
            self._fetch_at = now + FETCH_AGAIN
        source = registry.bring(digest, may_fetch=may_fetch)
        model, manifest = read_bundle(root, digest), read_manifest(root, digest)
        # This also makes, now and not in a request, what is made on first use.
        require_golden(model, *read_golden(root, digest))
        _ = model.specs
        return Champion(
            model=model,
            created_at=manifest["created_at"],
            loaded_at=now,
            origin=manifest["origin"],
            parent=manifest["parent"],
            source=source,
            card=read_card(root, digest),
        )

    def _keep_last_good(self, digest: str, error: Exception) -> None:
        trouble = f"model {digest[:12]} was promoted but cannot be loaded"
        if self._refused != digest:
            log.error("model not loaded", model=digest, reason=str(error))
        is_new, self._refused = self._refused != digest, digest
        if self._state.champion is None and is_new:
            self._go_back()
        if self._state.champion is None:
            self._use_the_agreed()
        self._state = replace(self._state, model_trouble=trouble)

    def _go_back(self) -> None:
        """Use the champion before the one that cannot be loaded, if it can."""
        try:
            champion = self._load(self._workspace.registry.previous())
        except (PropensityError, OSError) as error:
            log.error("no earlier model either", reason=str(error))
            return
        self._state = replace(self._state, champion=champion)
        log.warning("earlier model loaded", model=champion.model.digest)

    def _use_the_agreed(self) -> None:
        """Let the agreed scorecard score, where that is wanted and no model does."""
        present, agreed = self._state.champion, self._state.agreed
        if self._without_model == "refuse" or (present and present.source != "definition"):
            return
        if present is not None and present.model.definition.hash == agreed.hash:
            return
        try:
            model = agreed_model(agreed)
        except NoModelError as error:
            self._state = replace(self._state, champion=None, model_trouble=error.message)
            return
        card = f"# {agreed.name}\n\n{AGREED_WORDS.capitalize()}.\n"
        now = self._clock()
        champion = Champion(model, now, now, "agreed", None, "definition", card)
        self._state = replace(self._state, champion=champion, model_trouble=None)
        log.warning("the agreed scorecard scores", definition=agreed.hash)

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
        self._said: str | None = None

    def run(self) -> None:
        """Take turns until stopped."""
        while not self._stop_now.wait(self._seconds):
            try:
                self._turn()
                self._said = None
            except PropensityError as error:
                self._warn(error.message)
            except Exception:
                log.exception("turn failed", thread=self.name)

    def _warn(self, reason: str) -> None:
        """Log a reason once, not every second while it lasts."""
        if reason != self._said:
            log.warning("turn failed", thread=self.name, reason=reason)
        self._said = reason

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
