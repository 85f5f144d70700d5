"""What may a page show? One dataclass a template, each field said what it is.

A template sees the fields of its dataclass and nothing else: a variable that is not here fails the
tests, an attribute that is not here fails the page. Everything in words is put in words before it gets
here: templates decide how things look, never what they say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from serving.charts import Bar, Chart, Reliability
from serving.markdown import Block
from serving.sheets import Section


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """What is around every page.

    Attributes:
        here: which entry of the navigation is current; empty for none.
        caller: who is signed in; None: nobody.
        role: the caller's role.
        csrf: the token every form must send back.
    """

    here: Literal["", "queue", "model", "reports"] = ""
    caller: str | None = None
    role: str | None = None
    csrf: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The base of all pages: `template` renders it, `title` names it in the browser."""

    template: ClassVar[str]
    title: str
    shell: Shell


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInPage(Page):
    """Who are you?

    Attributes:
        csrf: the form's token, equal to the cookie's.
        then: where to go after signing in, a path of ours.
        name: the name as typed before.
        problem: why the last attempt failed; None at first.
    """

    template: ClassVar[str] = "sign_in.html"
    csrf: str
    then: str
    name: str
    problem: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorPage(Page):
    """What went wrong, and what to do next; nothing that was sent is repeated.

    Attributes:
        status: the HTTP status.
        detail: what was wrong.
        hint: what to do next; may be empty.
        request_id: to be named when asking for help; may be empty.
    """

    template: ClassVar[str] = "error.html"
    status: int
    detail: str
    hint: str
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something to be known before the figures are used: `warning` or `note`."""

    kind: Literal["warning", "note"]
    title: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """An instant: relative words, the absolute time in words, and for machines."""

    ago: str
    at: str
    iso: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chance:
    """A probability: in whole percent, with decimals, and as 0 to 100 for bars."""

    percent: str
    exactly: str
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteWords:
    """A route as people call it.

    Attributes:
        name: its name in the definition.
        tone: 0 to 3, by its place among the routes: picks a colour; 3 is the quiet one.
        respond: the time to respond in; None when none was agreed.
        responsible: the role that answers for it; None when none was agreed.
        threshold: the probability it begins at, in words.
        otherwise: the label of the route for leads that are not accepted.
    """

    name: str
    label: str
    tone: int
    respond: str | None
    responsible: str | None
    threshold: str
    otherwise: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonWords:
    """A reason: whether it raises the chance, in words with their figure, and its factor of the odds."""

    raises: bool
    words: str
    odds: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRow:
    """One lead of the queue.

    Attributes:
        place: its place in the list as filtered, from 1.
        url: of its page.
        raw: the raw score in words, which orders the list.
        reasons: the strongest first.
        stage, kind, owner: in words; None when not known.
        touched: the last event; None when there was none.
        warnings: what the score does not know.
    """

    place: int
    lead_id: str
    name: str
    url: str
    chance: Chance
    raw: str
    route: RouteWords
    reasons: Sequence[ReasonWords]
    stage: str | None
    kind: str
    owner: str | None
    touched: Moment | None
    warnings: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteTab:
    """A route to choose in the filter, and how many open leads are on it (of the chosen owner)."""

    name: str
    label: str
    tone: int
    count: str
    about: str
    chosen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A choice in a list."""

    value: str
    label: str
    chosen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Emptiness:
    """Why a list is empty, and what to do about it: a link, when there is one."""

    title: str
    text: str
    command: str | None = None
    link: str | None = None
    link_label: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """A page of rows.

    Attributes:
        rows: in the queue's order.
        range: which rows of how many, in words.
        previous, next: addresses of the pages before and after; None at the ends.
        shows_owner: whether the rows belong to several people.
        emptiness: why there are no rows; None when there are some.
    """

    rows: Sequence[QueueRow]
    range: str
    previous: str | None
    next: str | None
    shows_owner: bool
    emptiness: Emptiness | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLine:
    """The model in a line: digest, origin in words, when it was made, and how it was calibrated."""

    short: str
    digest: str
    made: Moment
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePage(Page):
    """Whom shall I call next?

    Attributes:
        heading: whose queue it is.
        promise: how a probability is to be read.
        notices: what must be known before the figures are used.
        model: None when nothing scores yet.
        scored: when the newest score was given; None when there is none.
        newest_fact: when the newest fact was recorded; None in an empty store.
        search: the text searched for.
        kinds: prospect, client or both.
        owners: for those who see everybody's leads; empty for others.
        tabs: the routes.
        results: the rows.
    """

    template: ClassVar[str] = "queue.html"
    heading: str
    promise: str
    notices: Sequence[Notice]
    model: ModelLine | None
    scored: Moment | None
    newest_fact: Moment | None
    search: str
    kinds: Sequence[Option]
    owners: Sequence[Option]
    tabs: Sequence[RouteTab]
    results: Results


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRows:
    """The part of the queue's page that a changed filter replaces."""

    template: ClassVar[str] = "_results.html"
    tabs: Sequence[RouteTab]
    results: Results


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A row of the account of a score.

    Attributes:
        kind: `base`, `reason` or `sum`.
        label: how people call the fact.
        words: its figure in words.
        odds: what it does to the odds; empty for base and sum.
        log_odds: the same as log-odds, to be added up.
        bar: where the step lies between base and sum.
    """

    kind: Literal["base", "reason", "sum"]
    raises: bool
    label: str
    words: str
    odds: str
    log_odds: str
    bar: Bar


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadScore:
    """A lead's newest score: what it says, how it came about, what it was computed with.

    Attributes:
        sentence: the probability as so many of a hundred leads.
        steps: base, the strongest reasons, the sum of the others, raw score.
        weaker: those others one by one.
        model: the short digest of what computed it.
        warnings: what the score does not know.
        interval: how sure the probability is, in words; empty where that was not measured.
    """

    chance: Chance
    sentence: str
    interval: str
    route: RouteWords
    steps: Sequence[Step]
    weaker: Sequence[Step]
    as_of: Moment
    model: str
    warnings: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionCard:
    """One BANT question: what is known, and how it is ranked.

    Attributes:
        state: `answered`, `unknown` (asked in vain) or `open` (not asked).
        answer: the latest answer in words.
        answered: when; None when not asked.
        ranks: how sales and marketing rank the answer, in words; empty without an answer.
        worth: what asking may bring, in words; empty where it was answered.
        first: whether it is the one to ask next.
    """

    dimension: str
    ask: str
    state: Literal["answered", "unknown", "open"]
    answer: str
    answered: Moment | None
    ranks: Sequence[str]
    worth: str
    first: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeLine:
    """One attribute: label, value in words (empty: not known), and what is to be known about it."""

    label: str
    value: str
    remark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One entry of the timeline: what happened, in words, when, and how late it was recorded."""

    sort: Literal["version", "answer", "event", "stage"]
    title: str
    detail: str
    moment: Moment
    late: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PastScore:
    """One row of the score history."""

    moment: Moment
    percent: str
    change: str
    route: str
    model: str
    calibration: str
    channel: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadPage(Page):
    """What do we know about this lead, and why does it stand where it stands?

    Attributes:
        stage: with the roles that look after it.
        score: None when there is none; `unscored` then says why.
        hidden: how many sensitive attributes are on file and not shown.
        happenings: a page of the timeline, newest first; `span` says which part of how many.
        newer, older: addresses of the timeline's other pages; None at the ends.
        chart: None with fewer than two scores.
    """

    template: ClassVar[str] = "lead.html"
    lead_id: str
    name: str
    kind: str
    owner: str | None
    stage: str | None
    stage_roles: str
    notices: Sequence[Notice]
    score: LeadScore | None
    unscored: str
    questions: Sequence[QuestionCard]
    attributes: Sequence[AttributeLine]
    hidden: int
    happenings: Sequence[Happening]
    span: str
    newer: str | None
    older: str | None
    chart: Chart | None
    history: Sequence[PastScore]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A key figure: its name, its value and its 95 % interval in words (empty: none)."""

    label: str
    value: str
    interval: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionLine:
    """A decision about a model: what, about which, against which, by whom, why."""

    decision: str
    moment: Moment
    model: str
    against: str | None
    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPage(Page):
    """Which model scores, how good is it, and who decided so?

    Attributes:
        model: None when nothing scores yet; `emptiness` then says what to do.
        reliability: what was said beside what happened; None when nobody judged it.
        card: the model card's blocks.
        decisions: newest first.
    """

    template: ClassVar[str] = "model.html"
    promise: str
    model: ModelLine | None
    emptiness: Emptiness | None
    figures: Sequence[Figure]
    notices: Sequence[Notice]
    reliability: Reliability | None
    card: Sequence[Block]
    decisions: Sequence[DecisionLine]


@dataclass(frozen=True, slots=True, kw_only=True)
class PastReport:
    """A report in a line: when it was made, of which model, what it said to do and why."""

    made: Moment
    model: str
    action: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportPage(Page):
    """What came of what was promised, and what is to be done?

    Attributes:
        made: when the newest report was made; None without one: `emptiness` then says what to do.
        model: the short digest of the model it speaks of.
        decisions: all that were made about models, newest first.
        past: earlier reports, newest first.
    """

    template: ClassVar[str] = "reports.html"
    made: Moment | None
    model: str
    emptiness: Emptiness | None
    notices: Sequence[Notice]
    figures: Sequence[Figure]
    sections: Sequence[Section]
    decisions: Sequence[DecisionLine]
    past: Sequence[PastReport]


PAGES: tuple[type[Page | QueueRows], ...] = (
    SignInPage,
    ErrorPage,
    QueuePage,
    QueueRows,
    LeadPage,
    ModelPage,
    ReportPage,
)
