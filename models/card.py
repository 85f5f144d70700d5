"""What should one know before trusting a model? The model card, written from what is recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

JSON = Mapping[str, Any]


def model_card(about: JSON) -> str:
    """The card as Markdown.

    Args:
        about: what `training.run` recorded: `name`, `horizon_days`, `data`, `judged`, `learner`,
            `calibration`, `left_out`, `warnings`.
    """
    parts = [
        f"# {about['name']}: the probability to buy",
        _promise(about),
        *_warnings(about["warnings"]),
        _data(about["data"], about.get("learned_from", {})),
        _figures("How good it is", about["judged"]),
        *_refit(about.get("refit")),
        *_earlier(about.get("judged_when_trained")),
        _how(about["learner"], about["calibration"]),
        _left_out(about["left_out"]),
        _proxies(about.get("proxies")),
        _limits(),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _promise(about: JSON) -> str:
    horizon = about["horizon_days"]
    until = "by the time they close" if horizon is None else f"within {horizon:g} days"
    return f"When it says 20 %, one in five such leads should buy {until}."


def _warnings(warnings: list[str]) -> list[str]:
    if not warnings:
        return []
    return ["## Know this first", "\n".join(f"- {warning}" for warning in warnings)]


def _data(data: JSON, learned_from: JSON) -> str:
    when = " when it was trained" if learned_from else ""
    rows = [
        *((f"The {what} was fitted on", _counted(counts)) for what, counts in learned_from.items()),
        (f"Rows with a known outcome{when}", f"{data['rows']:,} of {data['leads']:,} leads"),
        ("Won", f"{data['wins']:,}{_share(data['base_rate'])}"),
        ("From", data["from"] or "no dates"),
        ("Through", data["through"] or "no dates"),
        ("Fingerprint", f"`{data['fingerprint'][:16]}`"),
        *((f"Label: {why}", f"{n:,}") for why, n in _most_first(data["labels"])),
    ]
    return "## What it learned from\n\n" + _table(("", ""), rows)


def _share(rate: float | None) -> str:
    return "" if rate is None else f" ({rate:.1%})"


def _counted(counts: JSON) -> str:
    if not counts["rows"]:
        return "nothing"
    return (
        f"{counts['rows']:,} rows of {counts['leads']:,} leads, {counts['wins']:,} won, "
        f"{counts['from']} to {counts['through']}"
    )


def _most_first(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """In an order of its own: JSON gives mappings back in another one."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _earlier(judged: JSON | None) -> list[str]:
    """What was known of the booster with the calibration it was trained with."""
    return [] if judged is None else [_figures("How good it was as trained", judged)]


def _refit(refit: JSON | None) -> list[str]:
    """Whose figures these are, where the model was fitted once more on what had judged it."""
    if refit is None:
        return []
    return [
        (
            f"These figures are of the model `{refit['judged'][:12]}`, learned without the rows that "
            f"judged it. This one was then fitted once more, on {refit['at'][:10]}, on all rows with a "
            "known outcome; how it fares on outcomes since then is in the reports."
        )
    ]


def _figures(title: str, judged: JSON) -> str:
    figures = judged["figures"]
    if figures is None:
        return f"## {title}\n\nNot known: {judged['how']}"
    auc, ratio = figures["auc"], figures["observed_over_expected"]
    rows = [
        ("AUC", _interval(auc, 3)),
        ("Log loss", f"{figures['log_loss']:.4f}"),
        ("… of always answering the base rate", f"{figures['base_rate_log_loss']:.4f}"),
        ("Brier score", f"{figures['brier']:.4f}"),
        ("Calibration error, debiased", f"{figures['debiased_ece']['root']:.4f}"),
        ("Observed ÷ expected wins", _interval(ratio, 2)),
        ("Verdict", figures["discrimination"]["reason"]),
    ]
    bands = [
        (
            f"{band['predicted']:.1%}",
            f"{band['observed']:.1%} ({band['lower']:.1%}–{band['upper']:.1%})",
            f"{band['n']:,}",
        )
        for band in figures["bins"]
    ]
    return "\n\n".join(
        [
            f"## {title}\n\n{judged['how']} {figures['n']:,} rows, {figures['wins']:,} won.",
            _table(("Figure", "Value"), rows),
            *_cohorts(judged.get("cohorts", [])),
            _table(("Said", "Happened (95 % each)", "Rows"), bands),
            _each(len(bands)),
        ]
    )


def _each(bands: int) -> str:
    return (
        f"Each interval holds on its own: of a right model, one band in twenty lies outside by luck, "
        f"and all {bands} lie inside about {0.95**bands:.0%} of the time."
    )


def _cohorts(cohorts: Sequence[JSON]) -> list[str]:
    """The level over time: as recalibrated on the way, beside the calibration as trained."""
    if not cohorts:
        return []
    rows = [
        (
            cohort["from"][:10],
            f"{cohort['rows']:,}",
            f"{cohort['won']:,}",
            _interval(cohort["recalibrated"], 2),
            _interval(cohort["as_trained"], 2),
        )
        for cohort in cohorts
    ]
    head = ("From", "Rows", "Won", "Observed ÷ expected, recalibrated", "… as trained")
    return [_table(head, rows)]


def _interval(figure: JSON, digits: int) -> str:
    low, high = figure["lower"], figure["upper"]
    return f"{figure['estimate']:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _how(learner: JSON, calibration: JSON) -> str:
    weight = learner.get("weight", 0.0)
    additive = "an additive model of curves and levels, shrunk as far as the rows say"
    boosted = f"boosted trees (LightGBM, {learner['trees']} of {learner['leaves']} leaves)"
    if weight == 1.0:
        parts = f"{additive[0].upper()}{additive[1:]},"
    elif weight == 0.0:
        parts = f"{boosted[0].upper()}{boosted[1:]}"
    else:
        parts = f"In log-odds, {weight:.0%} {additive}, and {1 - weight:.0%} {boosted},"
    return (
        f"## How it works\n\n{parts} on {learner['columns']} columns. "
        f"Calibration: {calibration['name']}. {calibration['reason']}"
    )


def _left_out(left_out: JSON) -> str:
    lines = [f"- {why}: {', '.join(names)}" for why, names in sorted(left_out.items()) if names]
    return "## What it may not see\n\n" + "\n".join(lines) if lines else ""


def _proxies(audit: JSON | None) -> str:
    """Leaving an attribute out is not enough where others give it away."""
    sentences = audit["sentences"] if audit else []
    if not sentences:
        return ""
    return "## Who could be told by proxy\n\n" + "\n".join(f"- {said}" for said in sentences)


def _limits() -> str:
    return (
        "## Limits\n\n"
        "It speaks for leads like those it learned from, worked as those were. It says who buys, not "
        "whom a call would persuade. It supports a decision; a person takes it."
    )


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
