"""What are the answers, in a few words? The five questions for the terminal and the page's head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from training.report import Report

NOT_JUDGED = "not known"
_SAME = "for the same reason"
_OUT_OF_REACH = 50
"""Times as many leads as there are: nobody waits for that."""


@dataclass(frozen=True)
class Answer:
    """A question, its answer in a word (`yes`, `no`, `not enough outcomes`, …), and why."""

    question: str
    verdict: str
    why: str


def answers(report: Report) -> tuple[Answer, ...]:
    """The five questions an analyst asks, and one more where a learning curve was asked for."""
    found = [
        Answer("Is there signal?", *_signal(report)),
        Answer("Is it calibrated?", *_calibrated(report)),
        Answer("Where is it wrong?", *_where(report)),
        Answer("What drives it?", *_drives(report)),
        Answer("Would more outcomes settle it?", *_more(report)),
    ]
    if report.curve is not None:
        found.append(Answer("Would more deals to learn from help?", *_curve(report)))
    return tuple(found)


def words(report: Report) -> str:
    """The report in some twenty lines of plain text."""
    model = report.model
    rows = f" {report.rows:,} rows." if report.rows else ""
    lines = [f"Model {model['digest'][:12]}. {report.how}{rows}"]
    lines += [f"  ! {warning}" for warning in report.warnings]
    for answer in answers(report):
        lines += [f"{answer.question} {answer.verdict}", f"  {answer.why}"]
    if report.comparison is not None:
        said = report.comparison
        lines += [f"{said['against']}: {said['decision']}", f"  {said['reason']}"]
    if report.figures is not None:
        lines += ["  said    happened (95 % each) rows", *map(_band, report.figures["bins"])]
    return "\n".join(lines)


def _band(band: Mapping[str, Any]) -> str:
    seen = f"{band['observed']:.1%} ({band['lower']:.1%}–{band['upper']:.1%})"
    return f"  {band['predicted']:6.1%}  {seen:21} {band['n']:,}"


def interval(figure: Mapping[str, Any], digits: int) -> str:
    """Estimate and interval; what is not known as *not known*."""
    if figure["estimate"] is None:
        return NOT_JUDGED
    ends = [figure["lower"], figure["upper"]]
    low, high = ("no bound" if end is None else f"{end:.{digits}f}" for end in ends)
    return f"{figure['estimate']:.{digits}f} ({low} to {high})"


def _too_few(report: Report) -> str:
    have = report.enough
    return (
        f"{have.wins:,} won and {have.losses:,} other leads; "
        f"{have.more_to_judge:,} more {have.rarer} before this can be told"
    )


def _signal(report: Report) -> tuple[str, str]:
    figures = report.figures
    if figures is None:
        return NOT_JUDGED, _why_not(report)
    shown = (
        f"AUC {interval(figures['auc'], 3)}; log loss {figures['log_loss']:.4f}, of always answering "
        f"the base rate {figures['base_rate_log_loss']:.4f}"
    )
    if report.enough.more_to_judge:
        return "not enough outcomes", f"{_too_few(report)}. So far: {shown}"
    found = figures["discrimination"]["found"]
    reason = figures["discrimination"]["reason"].removeprefix("No discrimination: ")
    return ("yes", shown) if found else ("none found", reason)


def _why_not(report: Report) -> str:
    if report.source == "nothing":
        return (
            "nothing has judged it: it scores by what was agreed, and no outcome is known that it has "
            f"not used; {report.enough.more_to_judge:,} won and as many other leads would be a start"
        )
    return _too_few(report)


def _calibrated(report: Report) -> tuple[str, str]:
    figures = report.figures
    if figures is None:
        return NOT_JUDGED, _SAME
    ratio, slope = figures["observed_over_expected"], figures["calibration"]["slope"]
    shown = f"observed ÷ expected wins {interval(ratio, 2)}, slope {interval(slope, 2)}"
    off = off_the_mark(report)
    if report.enough.more_to_judge:
        return "not enough outcomes", f"{_too_few(report)}. So far: {shown}"
    if off:
        return (
            "no",
            f"{' and '.join(off)}: {shown}. What follows newer outcomes: propensity recalibrate",
        )
    if ratio["lower"] < 0.8 or ratio["upper"] > 1.25:
        return "not wrong as far as can be seen", f"but the level is known only roughly: {shown}"
    return "yes", shown


def off_the_mark(report: Report) -> list[str]:
    """What of the calibration is wrong beyond noise, in words."""
    figures = report.figures
    if figures is None:
        return []
    ratio, slope = figures["observed_over_expected"], figures["calibration"]["slope"]
    found = []
    if ratio["lower"] > 1:
        found.append("more bought than it said")
    if ratio["upper"] < 1:
        found.append("fewer bought than it said")
    if slope["estimate"] is not None and slope["upper"] < 1:
        found.append("it is too sure at both ends")
    if slope["estimate"] is not None and slope["lower"] > 1:
        found.append("it is too timid at both ends")
    if not found and bands_outside(report):
        found.append(f"{bands_outside(report)} of {len(report.together or ())} bands are off")
    return found


def bands_outside(report: Report) -> int:
    """How many bands' intervals, holding all at once, leave out what was said there."""
    bands = report.together or ()
    return sum(not band["lower"] <= band["predicted"] <= band["upper"] for band in bands)


def _where(report: Report) -> tuple[str, str]:
    where = report.where
    if where is None:
        if report.source == "training":
            return NOT_JUDGED, (
                "the rows that judged it are not at hand; the page in the MLflow run of its training "
                "has its months and segments"
            )
        return NOT_JUDGED, _SAME
    if not where.tested:
        return NOT_JUDGED, "no part has enough outcomes of its own yet"
    if not where.named:
        return "nowhere beyond noise", f"{where.tested} months, routes and segments were tested"
    shown = [
        f"{part.dimension} {part.name}: {part.verdict} (said {part.said:.1%}, happened "
        f"{part.happened:.1%})"
        for part in where.named
    ]
    more = f"; and {len(shown) - 5} more" if len(shown) > 5 else ""
    return f"{len(shown)} of {where.tested} parts", "; ".join(shown[:5]) + more


def _drives(report: Report) -> tuple[str, str]:
    facts = [fact for fact in report.drives.facts if fact.size > 0][:5]
    if not facts:
        return "nothing", "all leads get the same score"
    listed = "; ".join(f"{fact.label} ({fact.size:.2f})" for fact in facts)
    return facts[0].label, f"mean absolute contribution in log-odds: {listed}"


def _more(report: Report) -> tuple[str, str]:
    have = report.enough
    if have.more_to_judge:
        return "not enough outcomes", _too_few(report)
    said: list[tuple[int, str]] = []
    if have.more_to_trust:
        said.append(
            (have.more_to_trust, "{} more " + have.rarer + " leads make it an evaluation (100)")
        )
    unseen = report.figures is not None and not report.figures["discrimination"]["found"]
    if unseen and have.more_for_signal:
        said.append((have.more_for_signal, "about {} more leads show signal, if the gain stays"))
    elif unseen:
        said.append((0, "no number of outcomes is seen to show signal"))
    if have.more_for_level:
        said.append((have.more_for_level, "about {} more leads pin the level to within ±10 %"))
    wanted = (report.comparison or {}).get("evidence", {}).get("more_leads_needed")
    far = wanted is not None and wanted > _OUT_OF_REACH * (have.wins + have.losses)
    if far:
        said.append((0, "no number within reach decides between it and the other model"))
    elif wanted:
        said.append((wanted, "about {} more leads decide between it and the other model"))
    if have.more_for_level is None and not said:
        return NOT_JUDGED, "no win has come that could be measured against what was said"
    if not said:
        return "settled", "the level is known to within ±10 %"
    most = max(number for number, _ in said)
    return f"{most:,} more" if most else "no", "; ".join(
        text.format(f"{number:,}") for number, text in said
    )


def _curve(report: Report) -> tuple[str, str]:
    curve = report.curve
    assert curve is not None, "asked for by the caller"
    if curve.change is None:
        return NOT_JUDGED, curve.sentence
    return ("yes" if curve.change.upper < 0 else "not seen"), curve.sentence
