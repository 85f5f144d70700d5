"""What can go wrong, said in one shape: what, with which value, where, and what to do next.

    PropensityError            500  the base; nobody raises it directly
    ├── DefinitionError        400  the lead definition does not hold together (all problems at once)
    ├── InputError             422  facts, files or requests that break the rules (all problems at once)
    ├── NotFoundError          404  a lead, model or key that does not exist
    ├── ConflictError          409  the same external id with other content
    │   └── BusyError          409  a lease held by another: the same work is being done
    ├── NotEnoughEvidenceError 409  too few outcomes for what was asked
    ├── LeakageError           409  training stopped: a column knows the outcome
    ├── UnauthorisedError      401  no key, no session, or one that is not known
    ├── ForbiddenError         403  known, but the role does not allow it
    ├── BundleError            500  a model on disk is not what its digest promises
    ├── NoModelError           503  there is no champion to score with
    ├── SourceError            502  a CRM that outcomes are fetched from does not answer as it should
    └── StoreError             503  the database is missing, behind its migrations, locked or full

`serving.errors` renders them as problem+json, the command line as one line on stderr.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in an input: where, which field, which value, what would be allowed."""

    where: str
    field: str
    value: str
    message: str

    def __str__(self) -> str:
        shown = f" = {self.value}" if self.value else ""
        return f"{self.where}: {self.field}{shown}: {self.message}"

    def to_json(self) -> dict[str, str]:
        """The problem as a flat object."""
        return asdict(self)


def shown(value: object, limit: int = 60) -> str:
    """A value as it may be repeated in a message: quoted, printable and short."""
    text = ascii(value) if isinstance(value, str) else str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


class PropensityError(Exception):
    """The base of every error this project raises on purpose.

    Args:
        message: what was wrong, with which value and where.
        hint: what to do next.
        problems: all single problems, when there may be several.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"

    def __init__(self, message: str, *, hint: str = "", problems: Iterable[Problem] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.problems: Sequence[Problem] = tuple(problems)

    def __str__(self) -> str:
        lines = [self.message, *(f"  - {problem}" for problem in self.problems[:50])]
        if len(self.problems) > 50:
            lines.append(f"  … and {len(self.problems) - 50} more")
        if self.hint:
            lines.append(self.hint)
        return "\n".join(lines)


class DefinitionError(PropensityError):
    """The lead definition does not hold together."""

    status = 400
    code = "definition"


class InputError(PropensityError):
    """Facts, files or requests that break the rules."""

    status = 422
    code = "input"


class NotFoundError(PropensityError):
    """A lead, model or key that does not exist."""

    status = 404
    code = "not-found"


class ConflictError(PropensityError):
    """The same external id with other content, or work that somebody else is doing."""

    status = 409
    code = "conflict"


class BusyError(ConflictError):
    """A lease is held by somebody else: the same work is being done at this moment."""


class NotEnoughEvidenceError(PropensityError):
    """Too few outcomes for what was asked."""

    status = 409
    code = "not-enough-evidence"


class LeakageError(PropensityError):
    """Training stopped: a column knows the outcome."""

    status = 409
    code = "leakage"


class UnauthorisedError(PropensityError):
    """No key, no session, or one that is not known."""

    status = 401
    code = "unauthorised"


class ForbiddenError(PropensityError):
    """The caller is known, but the role does not allow it."""

    status = 403
    code = "forbidden"


class BundleError(PropensityError):
    """A model on disk is not what its digest promises."""

    status = 500
    code = "bundle"


class NoModelError(PropensityError):
    """There is no champion to score with."""

    status = 503
    code = "no-model"


class SourceError(PropensityError):
    """A system that outcomes are fetched from cannot be reached, or answers what it must not."""

    status = 502
    code = "source"


class StoreError(PropensityError):
    """The database is missing, behind its migrations, locked or full."""

    status = 503
    code = "store"
