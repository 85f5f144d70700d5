"""Where are outcomes fetched from, and what do the rows there mean? One YAML file, read and checked.

Everything that is wrong in it is told at once. No secret stands in it: it names the environment
variable that holds one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import tzinfo
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from features.errors import DefinitionError, Problem, shown
from features.sources import Constant
from features.store.files.dates import time_zone
from features.yaml_text import read_yaml

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
Variable = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]{0,99}$")]
Path_ = Annotated[str, Field(min_length=1, max_length=300)]

OFF_MERIT = ("junk", "spam", "duplicate", "duplicated", "test", "unreachable", "merged")
"""Reasons of a loss that say nothing of the lead's merit, unless a source names its own."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Fields(_Part):
    """Which column, or which path in a JSON object (`properties.amount`), says what.

    `ending` may be the same for every row: `{value: lost}`. `recorded_at` is for histories: when the
    source learned of a close; without it that is when we fetch it. `merged_into` names the lead that a
    lead has become part of.
    """

    id: Path_
    lead: Path_
    ending: Path_ | Constant
    closed_at: Path_ | None = None
    amount: Path_ | None = None
    reason: Path_ | None = None
    recorded_at: Path_ | None = None
    merged_into: Path_ | None = None


class Endings(_Part):
    """Which values close a deal, and how; `open` values reopen one that was closed before."""

    won: tuple[str, ...] = Field(min_length=1)
    lost: tuple[str, ...] = ()
    off_merit: tuple[str, ...] = ()
    void: tuple[str, ...] = ()
    open: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _each_once(self) -> Endings:
        told = [value.casefold() for _, values in self for value in values]
        if twice := sorted({value for value in told if told.count(value) > 1}):
            raise ValueError(f"{twice} stand for two endings")
        return self


class _Source(_Part):
    is_in_order: ClassVar[bool] = False
    """Whether rows come in the order of their changes, so that the last one says how far we are."""

    fields: Fields
    endings: Endings = Endings(won=("won",), lost=("lost",), void=("void",), open=("open",))
    off_merit_reasons: tuple[str, ...] = OFF_MERIT
    timezone: str = "UTC"
    overlap_minutes: float = Field(default=60.0, ge=0, le=60 * 24 * 366)
    page_rows: int = Field(default=500, ge=1, le=10_000)

    @field_validator("timezone")
    @classmethod
    def _there_is(cls, name: str) -> str:
        try:
            time_zone(name, "timezone")
        except DefinitionError as error:
            raise ValueError(error.message) from None
        return name

    @property
    def zone(self) -> tzinfo:
        """The time zone of times that name none."""
        return time_zone(self.timezone, "timezone")


Written = Literal["timestamp", "timestamp_tz", "text", "seconds", "milliseconds", "microseconds"]


class Sql(_Source):
    """A query on any database that SQLAlchemy reaches; the driver has to be installed.

    `changed` is the column by which rows are followed, and `changed_as` how it is written: a timestamp
    with or without its zone, a text (`changed_format`), or a number since 1970.
    """

    is_in_order: ClassVar[bool] = True

    kind: Literal["sql"]
    url_env: Variable
    query: str = Field(min_length=8, max_length=100_000)
    changed: Path_
    changed_as: Written = "timestamp"
    changed_format: str = "%Y-%m-%d %H:%M:%S"
    timeout_seconds: float = Field(default=60.0, gt=0, le=3600)

    @field_validator("query")
    @classmethod
    def _one_select(cls, query: str) -> str:
        text = query.strip().rstrip(";").rstrip()
        if text.split(None, 1)[0].lower() not in ("select", "with"):
            raise ValueError("must begin with SELECT or WITH")
        if ";" in text:
            raise ValueError("must be one statement, without a semicolon")
        return text


class Auth(_Part):
    """Who we are: a token (`bearer`), `user:password` (`basic`), or a `header` of its own."""

    kind: Literal["bearer", "basic", "header"]
    env: Variable
    header: str = Field(default="X-Api-Key", pattern=r"^[A-Za-z][A-Za-z0-9-]{0,99}$")


class Paging(_Part):
    """How the next page is asked for.

    `page` counts pages from `start`, `offset` counts rows, `cursor` hands back what the answer holds at
    the path `cursor`, `link` follows the answer's Link header; a cursor that is an address of the same
    host is followed too. `size_param` names the parameter that takes the size of a page.
    """

    kind: Literal["none", "page", "offset", "cursor", "link"] = "none"
    param: str | None = None
    start: int = Field(default=1, ge=0)
    size_param: str | None = None
    cursor: Path_ | None = None

    @model_validator(mode="after")
    def _whole(self) -> Paging:
        if self.kind == "cursor" and self.cursor is None:
            raise ValueError("paging by cursor needs `cursor`: where the answer holds it")
        return self


class Rest(_Source):
    """A JSON list behind an address.

    `rows` is the path of the list in an answer, `error` a path that holds something when an answer of
    status 200 is none. `changed_param` takes the instant from which on changes are asked for. With
    `method: POST`, `body` is sent; in it `{since}`, `{page}`, `{offset}`, `{cursor}`, `{limit}` and
    `{secret}` are filled in.
    """

    kind: Literal["rest"]
    url: str
    method: Literal["GET", "POST"] = "GET"
    query: Mapping[str, str] = {}
    body: Mapping[str, Any] | None = None
    auth: Auth | None = None
    rows: str = ""
    error: str | None = None
    paging: Paging = Paging()
    changed_param: str | None = None
    changed_as: Literal["iso", "text", "seconds", "milliseconds"] = "iso"
    changed_format: str = "%Y-%m-%d %H:%M:%S"
    private: bool = False
    timeout_seconds: float = Field(default=30.0, gt=0, le=600)
    most_bytes: int = Field(default=32 * 2**20, ge=1_000, le=2**30)
    most_pages: int = Field(default=10_000, ge=1)
    attempts: int = Field(default=5, ge=1, le=20)

    @model_validator(mode="after")
    def _plain_address(self) -> Rest:
        parts = urlsplit(self.url)
        if parts.scheme not in ("https", "http") or not parts.hostname:
            raise ValueError("url: must begin with https:// and name a host")
        if parts.scheme == "http" and not self.private:
            raise ValueError("url: must be https; `private: true` allows http in one's own network")
        if parts.username or parts.password or parts.fragment:
            raise ValueError("url: must hold no user, password or fragment; see `auth`")
        return self


AnySource = Annotated[Sql | Rest, Field(discriminator="kind")]


class _File(_Part):
    format: Literal[1]
    sources: Mapping[Name, AnySource] = Field(min_length=1)


class SourceConfig(BaseModel):
    """One source by its name."""

    model_config = ConfigDict(frozen=True)

    name: str
    how: AnySource


def read_sources(path: Path) -> dict[str, SourceConfig]:
    """The sources that a file describes, by name.

    Raises:
        DefinitionError: it is not there, not YAML, or does not hold together (all problems at once).
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        hint = "docs/sources.md shows one; PROPENSITY_SOURCES says where it is."
        raise DefinitionError(f"{path.name} cannot be read: {error}", hint=hint) from None
    return parse_sources(text, path.name)


def parse_sources(text: str, name: str = "sources.yaml") -> dict[str, SourceConfig]:
    """The sources that a YAML text describes; see `read_sources`."""
    try:
        content = read_yaml(text)
    except ValueError as error:
        raise DefinitionError(f"{name} is not YAML: {error}") from None
    try:
        found = _File.model_validate(content)
    except ValidationError as error:
        problems = list(_problems(name, error))
        raise DefinitionError(f"{name} does not hold together", problems=problems) from None
    return {key: SourceConfig(name=key, how=how) for key, how in found.sources.items()}


def _problems(name: str, error: ValidationError) -> Iterator[Problem]:
    for one in error.errors():
        where = ".".join(str(part) for part in one["loc"] if part not in ("sql", "rest"))
        value = one["input"]
        said = shown(value) if isinstance(value, str | int | float) else ""
        message = one["msg"].removeprefix("Value error, ")
        yield Problem(name, where or "the file", said, message)
