"""What do the blocks of a source share? Whom a row is about, and when what it tells happened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from features.sources import AnswerRows, EventRows, Outcome, StageRows
from features.store.files.cells import Columns, Mapped, Moment
from features.store.outcomes import Ending


@dataclass(slots=True)
class About:
    """Whom a row is about, and since when.

    `opened` is None where the row opens no lead or its date cannot be read; `ending` is how the row
    closes its lead, if it does.
    """

    lead: str
    source: str
    opened: int | None = None
    recorded: int | None = None
    ending: Ending | None = None


Block = Callable[[Mapped, About], None]


class Happened:
    """When something in a row happened and was recorded, and under which id.

    Args:
        columns: of the source.
        said: the block of the source.
        optional: whether a blank time means that it did not happen, as in a row that also opens a
            lead; elsewhere it is a problem.
    """

    def __init__(
        self, columns: Columns, said: AnswerRows | EventRows | StageRows | Outcome, optional: bool
    ) -> None:
        self.at = Moment(columns, said.at)
        self._recorded = Moment(columns, said.recorded_at)
        self._id = columns.key(said.id) if said.id else None
        self._optional = optional

    def times(self, into: Mapped, about: About) -> tuple[int, int] | None:
        """`occurred_at` and `recorded_at`, or None: it did not happen, or a problem was noted."""
        occurred = self.at.read(into) if self._optional else self.at.required(into)
        return None if occurred is None else (occurred, self.recorded(into, about, occurred))

    def recorded(self, into: Mapped, about: About, occurred: int) -> int:
        """When it was recorded: its own column, else the row's, else when it happened."""
        own = self._recorded.read(into)
        if own is not None:
            return own
        return occurred if about.recorded is None else about.recorded

    def external_id(self, into: Mapped) -> str | None:
        """The id that the row gives, if it does."""
        return self._id.text(into.row) if self._id else None
