"""What does the model's page say? The champion's card, its key figures and all decisions.

Figures come from what training recorded; one that is not there is left out, never guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from features.store.promotions import DecisionRecord
from serving import charts, wording
from serving.charts import Reliability
from serving.pages import DecisionLine, Emptiness, Figure, ModelLine, Notice
from serving.queue_view import moment
from serving.state import Champion, LiveState

_DECISIONS = {
    "promote": "promoted",
    "keep": "not promoted",
    "undecided": "undecided",
    "roll_back": "rolled back",
}


_ORIGINS = {
    "recalibrate": "Recalibrated",
    "refit": "Fitted once more on all outcomes",
}


def model_line(champion: Champion | None, now: int) -> ModelLine | None:
    """The champion in a line; None when nothing scores."""
    if champion is None:
        return None
    return ModelLine(
        short=wording.short(champion.model.digest),
        digest=champion.model.digest,
        made=moment(champion.created_at, now),
        origin=_ORIGINS.get(champion.origin, "Trained and calibrated"),
    )


def no_model() -> Emptiness:
    """What to do as long as nothing scores."""
    return Emptiness(
        title="No model scores yet",
        text="A model is trained on closed deals, judged on later ones, and promoted when it earns it. "
        "Whoever runs this installation starts that with:",
        command="propensity train",
    )


def trouble(state: LiveState) -> list[Notice]:
    """What is wrong with the model or the definition in use."""
    scores = (
        "The last good model goes on scoring." if state.champion else "Nothing scores until then."
    )
    told = (
        (state.model_trouble, scores),
        (state.definition_trouble, "The last good definition goes on being used."),
    )
    return [
        Notice(kind="warning", title=sentence(text).removesuffix("."), text=consequence)
        for text, consequence in told
        if text is not None
    ]


def doubts(messages: Sequence[str]) -> list[Notice]:
    """What makes every score doubtful, in one notice."""
    text = " ".join(map(sentence, messages))
    return [Notice(kind="warning", title="Know this about the model", text=text)] if text else []


def sentence(text: str) -> str:
    """Words as a sentence: a capital first, a full stop last.

    >>> sentence("it is not known how old the model is")
    'It is not known how old the model is.'
    """
    whole = text[:1].upper() + text[1:]
    return whole if whole.endswith((".", "!", "?")) else f"{whole}."


def figures(about: Mapping[str, Any]) -> list[Figure]:
    """The key figures that training recorded, in words."""
    judged = _at(about, "judged", "figures") or {}
    auc, ratio = _at(judged, "auc"), _at(judged, "observed_over_expected")
    error = _at(judged, "debiased_ece", "root")
    wins, rate = _at(about, "data", "wins"), _at(about, "data", "base_rate")
    found = [
        Figure(label="Outcomes learned from", value=_count(_at(about, "data", "rows"))),
        Figure(
            label="Of them won", value=_count(wins), interval="" if rate is None else f"{rate:.1%}"
        ),
        Figure(label="Order (AUC)", value=_decimals(auc, 3), interval=_interval(auc, 3)),
        Figure(
            label="Observed ÷ expected", value=_decimals(ratio, 2), interval=_interval(ratio, 2)
        ),
        _calibration_error(error),
        Figure(
            label="Log loss",
            value=_decimals(_at(judged, "log_loss"), 4),
            interval=_against(_at(judged, "base_rate_log_loss")),
        ),
        Figure(label="Calibration", value=str(_at(about, "calibration", "name") or "")),
    ]
    return [figure for figure in found if figure.value]


def _calibration_error(error: float | None) -> Figure:
    """The debiased one; below 0 it is less than chance alone would show."""
    if error is None:
        return Figure(label="Calibration error", value="")
    beyond = "" if error > 0 else "none beyond chance"
    return Figure(
        label="Calibration error", value=f"{max(error, 0.0) * 100:.1f} points", interval=beyond
    )


def reliability(about: Mapping[str, Any]) -> Reliability | None:
    """What was said beside what happened, as training judged it."""
    bins = _at(about, "judged", "figures", "bins")
    return charts.reliability([charts.Band(**_band(each)) for each in bins]) if bins else None


def _band(recorded: Mapping[str, Any]) -> dict[str, Any]:
    return {name: recorded[name] for name in ("predicted", "observed", "lower", "upper", "n")}


def decision_lines(decisions: Sequence[DecisionRecord], now: int) -> list[DecisionLine]:
    """All decisions, newest first; `decisions` oldest first."""
    return [
        DecisionLine(
            decision=_DECISIONS[each.decision],
            moment=moment(each.decided_at, now),
            model=wording.short(each.bundle),
            against=None if each.against is None else wording.short(each.against),
            by=each.decided_by,
            reason=sentence(each.reason),
        )
        for each in reversed(decisions)
    ]


def _at(content: Any, *path: str) -> Any:
    """What is found along a path of keys; None when it ends early."""
    for key in path:
        content = content.get(key) if isinstance(content, Mapping) else None
    return content


def _count(number: Any) -> str:
    return f"{number:,}" if isinstance(number, int) else ""


def _decimals(figure: Any, digits: int) -> str:
    """A number, or the estimate of a figure with its interval; empty when there is none."""
    number = _at(figure, "estimate") if isinstance(figure, Mapping) else figure
    return f"{number:.{digits}f}" if isinstance(number, int | float) else ""


def _interval(figure: Any, digits: int) -> str:
    low, high = _at(figure, "lower"), _at(figure, "upper")
    return "" if low is None or high is None else f"{low:.{digits}f} to {high:.{digits}f}"


def _against(base: Any) -> str:
    return f"{base:.4f} by the base rate" if isinstance(base, float) else ""
