"""What have marketing and sales agreed? The lead definition: parsed, checked as a whole, hashed.

The file is YAML; `docs/definition.md` explains every key. A definition is immutable once read, and
its hash goes into every bundle trained with it: a model always scores with the agreement it learned.
How files map onto facts is said under `sources` and does not enter the hash, because where a fact
came from changes nothing about what it means.
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from features.clock import days
from features.errors import DefinitionError, Problem, shown
from features.sources import Source
from features.yaml_text import read_yaml, write_yaml

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=300)]
Level = Annotated[str, StringConstraints(min_length=1, max_length=300)]

DIMENSIONS = ("budget", "authority", "need", "timeline")
UNKNOWN = "unknown"
"""The level of an answer that was asked for and not got."""


class _Part(BaseModel):
    """A strict, immutable part of the definition: a misspelt key is an error, never ignored."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", str_strip_whitespace=True, allow_inf_nan=False
    )


class Attribute(_Part):
    """One thing known about the person, the company or where the lead came from."""

    name: Name
    type: Literal["category", "number", "boolean", "date"]
    group: Literal["demographic", "firmographic", "source", "history"] = "firmographic"
    label: Text | None = None
    unit: Text | None = None
    values: tuple[Level, ...] | None = None
    unanswered: tuple[Level, ...] = ()
    monotone: Literal[-1, 0, 1] = 0
    sensitive: bool = False
    known_late: bool = False

    @property
    def words(self) -> str:
        """How people call it."""
        return self.label or self.name.replace("_", " ")

    @property
    def is_feature(self) -> bool:
        """Whether the attribute may enter a model at all."""
        return not (self.sensitive or self.known_late)

    @model_validator(mode="after")
    def _values_belong_to_categories(self) -> Self:
        if self.values is not None and self.type != "category":
            raise ValueError(f"values are for categories; {self.name} is a {self.type}")
        if self.values is not None and len(set(self.values)) != len(self.values):
            raise ValueError(f"a value of {self.name} is listed twice in {list(self.values)}")
        if self.monotone and self.type in ("category", "boolean"):
            raise ValueError(f"monotone is for numbers and dates; {self.name} is a {self.type}")
        return self


class Ranking(_Part):
    """The answers to one question, best first, as each side ranks them."""

    sales: tuple[Level, ...] = Field(min_length=1)
    marketing: tuple[Level, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _same_answers(self) -> Self:
        for side in (self.sales, self.marketing):
            if len(set(side)) != len(side):
                raise ValueError(f"an answer is ranked twice in {list(side)}")
        if set(self.sales) != set(self.marketing):
            only = sorted(set(self.sales) ^ set(self.marketing))
            raise ValueError(f"sales and marketing must rank the same answers; differ in {only}")
        return self


class Question(_Part):
    """One BANT question: its answers ranked twice, and what counts as asked-and-unknown."""

    name: Name
    ask: Text | None = None
    answers: Ranking
    unknown: tuple[Level, ...] = ()
    unanswered: tuple[Level, ...] = ()
    monotone: bool = True

    @model_validator(mode="before")
    @classmethod
    def _one_ranking_for_both(cls, given: Any) -> Any:
        if isinstance(given, dict) and isinstance(given.get("answers"), list):
            both = given["answers"]
            return {**given, "answers": {"sales": both, "marketing": both}}
        return given

    @model_validator(mode="after")
    def _unknown_is_not_an_answer(self) -> Self:
        mixed = ({*self.unknown, UNKNOWN} | set(self.unanswered)) & set(self.answers.sales)
        if mixed:
            raise ValueError(
                f"{sorted(mixed)} cannot be an answer and unknown or unanswered at once"
            )
        return self

    @property
    def words(self) -> str:
        """The question as people ask it."""
        return self.ask or self.name.replace("_", " ")

    @property
    def levels(self) -> tuple[str, ...]:
        """Every level an answer can take: sales' ranking, best first, then asked-and-unknown."""
        return (*self.answers.sales, UNKNOWN)

    @property
    def agreed(self) -> bool:
        """Whether sales and marketing rank alike."""
        return self.answers.sales == self.answers.marketing


class Bant(_Part):
    """The questions of each dimension, in the order in which they are asked."""

    budget: tuple[Question, ...] = ()
    authority: tuple[Question, ...] = ()
    need: tuple[Question, ...] = ()
    timeline: tuple[Question, ...] = ()


class EventKind(_Part):
    """One kind of engagement."""

    name: Name
    label: Text | None = None

    @model_validator(mode="before")
    @classmethod
    def _a_name_is_enough(cls, given: Any) -> Any:
        return {"name": given} if isinstance(given, str) else given

    @property
    def words(self) -> str:
        """How people call it."""
        return self.label or self.name.replace("_", " ")


class Engagement(_Part):
    """Which events are counted, over which channels and windows."""

    kinds: tuple[EventKind, ...] = ()
    channels: tuple[Name, ...] = ()
    windows_days: tuple[Annotated[float, Field(gt=0, le=3650)], ...] = Field(
        default=(7.0, 30.0, 90.0), min_length=1
    )

    @model_validator(mode="after")
    def _windows_grow(self) -> Self:
        if list(self.windows_days) != sorted(set(self.windows_days)):
            raise ValueError(f"windows_days must grow, got {list(self.windows_days)}")
        return self


class Stage(_Part):
    """One stage of the buying cycle and who looks after it."""

    name: Name
    label: Text | None = None
    closed: bool = False
    responsible: Text | None = None
    backup: Text | None = None

    @property
    def words(self) -> str:
        """How people call it."""
        return self.label or self.name.replace("_", " ")


class Route(_Part):
    """Where a probability sends a lead, who answers for it and how fast."""

    name: Name
    label: Text | None = None
    at_least: Annotated[float, Field(ge=0, lt=1)] = 0.0
    responsible: Text | None = None
    respond_within_hours: Annotated[float, Field(gt=0)] | None = None
    if_not_accepted: Name | None = None

    @property
    def words(self) -> str:
        """How people call it."""
        return self.label or self.name.replace("_", " ")


class Cohorts(_Part):
    """When leads are scored for learning: every so many days, or once at an age."""

    every_days: Annotated[float, Field(gt=0)] | None = None
    after_opening_hours: Annotated[float, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if (self.every_days is None) == (self.after_opening_hours is None):
            raise ValueError("say either every_days or after_opening_hours")
        return self


class Abstention(_Part):
    """When too few leads were like this one for its probability to route it, and where it goes then."""

    fewer_than: Annotated[float, Field(gt=0)]
    route: Name


COMMON_STAGES = (
    Stage(name="won", closed=True),
    Stage(name="lost", closed=True),
    Stage(name="reopened"),
)
"""Stages that every company has: a deal that closes, or is annulled, moves its lead into one of them."""

DEFAULT_ROUTES = (
    Route(name="sales_ready", label="Sales-ready", at_least=0.30),
    Route(name="telequalify", label="Telequalify", at_least=0.12),
    Route(name="nurture", label="Nurture", at_least=0.04),
    Route(name="hand_back", label="Hand back", at_least=0.0),
)


class Definition(_Part):
    """The lead definition: everything marketing and sales agreed on.

    `expected_win_rate` is the share of open leads that both sides expect to buy within the horizon;
    with it leads are scored before any deal has closed. `segments` are attributes, such as region or
    product, whose levels borrow strength from each other. `abstention` None: every lead is routed by
    its probability.

    `horizon_days` None means *until the lead closes*: for histories in which every lead has its
    final outcome. `time` says what the times in the store mean: real dates, a mere order, or none.
    """

    name: Name
    horizon_days: Annotated[float, Field(gt=0, le=3650)] | None = 90.0
    reporting_lag_days: Annotated[float, Field(ge=0)] = 0.0
    time: Literal["dated", "ordered", "none"] = "dated"
    cohorts: Cohorts = Cohorts(every_days=30.0)
    expected_win_rate: Annotated[float, Field(gt=0, lt=1)] | None = None
    attributes: tuple[Attribute, ...] = ()
    segments: tuple[Name, ...] = ()
    bant: Bant = Bant()
    engagement: Engagement = Engagement()
    stages: tuple[Stage, ...] = ()
    routes: tuple[Route, ...] = DEFAULT_ROUTES
    abstention: Abstention | None = None
    sources: tuple[Source, ...] = ()

    @property
    def outcome_wait(self) -> int:
        """How long after an instant the outcome promised there counts, in microseconds.

        One horizon and the reporting lag. Without a horizon it counts as soon as the lead closes,
        however soon that is: 0.
        """
        if self.horizon_days is None:
            return 0
        return days(self.horizon_days) + days(self.reporting_lag_days)

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        problems = [*_repeated(self), *_routes_descend(self.routes), *_stages_close(self.stages)]
        problems += [*_segments_are_categories(self), *_abstention_leads_somewhere(self)]
        if self.time != "dated" and self.cohorts.after_opening_hours is None:
            problems.append(f"time: {self.time} needs cohorts: after_opening_hours: 0")
        if self.horizon_days is None and self.cohorts.after_opening_hours is None:
            problems.append("without horizon_days, cohorts must say after_opening_hours")
        for source in self.sources:
            problems += source.unmapped(self.attribute_by_name, self.question_by_name)
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @cached_property
    def questions(self) -> tuple[Question, ...]:
        """All BANT questions, budget first."""
        return tuple(q for name in DIMENSIONS for q in getattr(self.bant, name))

    @cached_property
    def dimension_of(self) -> dict[str, str]:
        """Question name -> its BANT dimension."""
        return {q.name: name for name in DIMENSIONS for q in getattr(self.bant, name)}

    @cached_property
    def attribute_by_name(self) -> dict[str, Attribute]:
        """Attribute name -> attribute."""
        return {a.name: a for a in self.attributes}

    @cached_property
    def question_by_name(self) -> dict[str, Question]:
        """Question name -> question."""
        return {q.name: q for q in self.questions}

    @cached_property
    def all_stages(self) -> tuple[Stage, ...]:
        """The stages agreed on and those that every company has; positions are their codes."""
        named = {s.name for s in self.stages}
        return (*self.stages, *(s for s in COMMON_STAGES if s.name not in named))

    @cached_property
    def hash(self) -> str:
        """SHA-256 (hex) of everything that gives a feature or a promise its meaning.

        What is left at its default does not enter: a key that a later version adds must not make
        another agreement of one that does not use it.
        """
        content = self.model_dump(mode="json", exclude={"sources"}, exclude_defaults=True)
        canonical = json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def route_for(self, probability: float, leads_like_this: float | None = None) -> Route:
        """Where a lead goes: to the first route whose threshold its probability reaches.

        Args:
            probability: in (0, 1).
            leads_like_this: how many leads' worth of evidence there is for it; None: not known.
                With fewer than agreed under `abstention`, the route agreed there.
        """
        few = self.abstention
        if few is not None and leads_like_this is not None and leads_like_this < few.fewer_than:
            return next(route for route in self.routes if route.name == few.route)
        for route in self.routes:
            if probability >= route.at_least:
                return route
        return self.routes[-1]

    def to_yaml(self) -> str:
        """The definition as the YAML text it can be read from again."""
        content = self.model_dump(mode="json", exclude_defaults=True, by_alias=True)
        content.setdefault("horizon_days", self.horizon_days)
        return write_yaml(content)


def _repeated(definition: Definition) -> list[str]:
    """Names used twice where they must be unique."""
    columns = [a.name for a in definition.attributes] + [q.name for q in definition.questions]
    kinds = [k.name for k in definition.engagement.kinds]
    listed = {
        "attributes and questions": columns,
        "engagement.kinds": kinds,
        "engagement.channels": list(definition.engagement.channels),
        "segments": list(definition.segments),
        "stages": [s.name for s in definition.stages],
        "routes": [r.name for r in definition.routes],
    }
    return [
        f"{where}: {name} is named twice"
        for where, names in listed.items()
        for name in sorted({n for n in names if names.count(n) > 1})
    ]


def _segments_are_categories(definition: Definition) -> list[str]:
    """Segments name attributes that may be features and have levels."""
    fit = {a.name for a in definition.attributes if a.type == "category" and a.is_feature}
    return [
        f"segments: {name} is no category that may be a feature; there are {sorted(fit)}"
        for name in definition.segments
        if name not in fit
    ]


def _abstention_leads_somewhere(definition: Definition) -> list[str]:
    """The route of an abstention exists."""
    few, names = definition.abstention, sorted(route.name for route in definition.routes)
    if few is None or few.route in names:
        return []
    return [f"abstention.route: {few.route} is no route; there are {names}"]


def _routes_descend(routes: tuple[Route, ...]) -> list[str]:
    """Routes go from the highest threshold to 0, and point at routes that exist."""
    if not routes:
        return ["routes: at least one is needed"]
    thresholds = [r.at_least for r in routes]
    problems = []
    if thresholds != sorted(set(thresholds), reverse=True) or thresholds[-1] != 0.0:
        problems.append(f"routes: thresholds must fall and end with 0, got {thresholds}")
    names = {r.name for r in routes}
    problems += [
        f"routes.{r.name}.if_not_accepted: {r.if_not_accepted} is no route; there are {sorted(names)}"
        for r in routes
        if r.if_not_accepted is not None and r.if_not_accepted not in names
    ]
    return problems


def _stages_close(stages: tuple[Stage, ...]) -> list[str]:
    """The stages into which deals move leads close or reopen them, however they are redescribed."""
    closed = {stage.name: stage.closed for stage in COMMON_STAGES}
    return [
        f"stages.{stage.name}.closed must be {str(closed[stage.name]).lower()}: deals rely on it"
        for stage in stages
        if closed.get(stage.name, stage.closed) != stage.closed
    ]


def parse_definition(text: str, where: str = "definition") -> Definition:
    """Read a definition from YAML text.

    Args:
        text: the YAML.
        where: how to call it in messages, usually the file's path.

    Raises:
        DefinitionError: not YAML, or any number of things wrong with it, all listed.
    """
    try:
        content = read_yaml(text)
    except ValueError as error:
        hint = "docs/definition.md shows how a definition is written."
        raise DefinitionError(
            f"{where} is not YAML that can be taken: {error}", hint=hint
        ) from error
    if not isinstance(content, dict):
        raise DefinitionError(f"{where} must be a mapping of keys, got {type(content).__name__}")
    try:
        return Definition.model_validate(content)
    except ValidationError as error:
        raise DefinitionError(
            f"{where} does not hold together ({error.error_count()} problems)",
            hint="docs/definition.md explains every key.",
            problems=_problems(error, where),
        ) from error


def read_definition(path: Path) -> Definition:
    """Read a definition file; see `parse_definition` for what is raised."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionError(
            f"the lead definition {path} cannot be read: {error}",
            hint="Write one from your own data with `propensity init FILE`.",
        ) from error
    return parse_definition(text, str(path))


def _problems(error: ValidationError, where: str) -> list[Problem]:
    return [
        Problem(
            where=where,
            field=".".join(str(part) for part in item["loc"]) or "(whole)",
            value=shown(item["input"]) if not isinstance(item["input"], dict | Definition) else "",
            message=item["msg"].removeprefix("Value error, "),
        )
        for item in error.errors()
    ]
