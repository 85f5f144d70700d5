"""What is a source of outcomes? Something that gives its rows page by page, from an instant on.

A source fetches and knows nothing of deals; `mapping` says what its rows mean and `run` writes them.
Pages come in an order of the source's own. Where that is the order of change, a page says how far it
has come (`through`), and a pull that was killed goes on from there; else it goes on at `at`, as long as
the source still knows what that meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from features.store.pull.config import SourceConfig

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows.

    Attributes:
        rows: as the source gives them: columns by name, or JSON objects.
        through: every row that changed before this instant has been given; None: not known yet.
        next: where the page after this one begins, to be given back; None: this is the last one.
    """

    rows: Sequence[Row]
    through: int | None = None
    next: str | None = None


class OutcomeSource(Protocol):
    """Where outcomes are fetched from."""

    @property
    def config(self) -> SourceConfig:
        """Its name, and what its rows mean."""

    def pages(self, since: int | None, at: str | None = None) -> Iterator[Page]:
        """All rows that changed at or after an instant, page by page.

        Args:
            since: the instant; None: all there are.
            at: where an unfinished pull from the same instant is to go on.

        Raises:
            SourceError: the source cannot be reached, or says what it must not.
        """
