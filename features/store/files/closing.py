"""Which rows close a lead, how and when? The deal in a row, if there is one."""

from __future__ import annotations

from features.clock import DAY, iso
from features.sources import Outcome
from features.store.files.about import About, Happened
from features.store.files.cells import Columns, Mapped
from features.store.outcomes import Deal, Ending


class DealBlock:
    """A deal, where the row closes its lead.

    A row without a closing time closes its lead a day after it was opened.
    """

    def __init__(self, columns: Columns, said: Outcome, now: int) -> None:
        self._column = said.column
        self._at = said.at
        self._cell = columns.cell(said.column)
        self._endings = closing_values(said)
        self._happened = Happened(columns, said, optional=False)
        self._amount = columns.optional(said.amount)
        self._number = columns.number(said.amount) if said.amount else float
        self._reason = columns.optional(said.reason)
        self._now = now

    def ending(self, into: Mapped) -> Ending | None:
        """How the row closes its lead; None, noting the text, where it does not."""
        text = self._cell.text(into.row)
        ending = None if text is None else self._endings.get(text.casefold())
        if ending is None:
            into.left_open = text or "(blank)"
        return ending

    def __call__(self, into: Mapped, about: About) -> None:
        """Append the deal, if there is one."""
        if about.ending is None:
            return
        amount = self._amount.read(into, self._number) if self._amount else None
        times = self._closed(into, about)
        if times is None:
            return
        if times[0] >= self._now:
            into.wrong(self._at or self._column, iso(times[0]), "a deal cannot close in the future")
        into.deals.append(
            Deal(
                lead=about.lead,
                ending=about.ending,
                occurred_at=times[0],
                recorded_at=times[1],
                amount=amount,
                reason=self._reason.text(into.row) if self._reason else None,
                source=about.source,
                external_id=self._happened.external_id(into),
            )
        )

    def _closed(self, into: Mapped, about: About) -> tuple[int, int] | None:
        if self._at is not None:
            return self._happened.times(into, about)
        if about.opened is None:
            return None
        occurred = about.opened + DAY
        return occurred, self._happened.recorded(into, About(about.lead, about.source), occurred)


def closing_values(outcome: Outcome) -> dict[str, Ending]:
    """The texts that close a lead, in lower case, and how."""
    said: tuple[tuple[Ending, tuple[str, ...]], ...] = (
        ("won", outcome.won),
        ("lost", outcome.lost),
        ("off_merit", outcome.off_merit),
    )
    return {text.strip().casefold(): ending for ending, texts in said for text in texts}
