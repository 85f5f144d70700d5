"""How is the part of the report about models, inputs and expectations read? Its sections, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.explain import figure as readable
from training.loop.section import JSON, MOST_ROWS, figure, section, share, shares


def segments_section(report: Mapping[str, Any]) -> JSON | None:
    """The alarms of single parts."""
    alarms = report["segment_alarms"]
    if not alarms:
        return None
    rows = [
        [
            one["dimension"],
            one["name"],
            f"raised, {one['since'][:10]}" if one["is_raised"] else "silent",
            readable(one["e_value"]),
            one["wrong"] if one["is_raised"] else "",
            f"{one['outcomes']:,}",
        ]
        for one in alarms
    ]
    return section(
        "segment-alarms",
        "Alarms of single parts",
        [
            (
                f"The {len(alarms)} parts with the most scores. Each needs "
                f"{alarms[0]['threshold']:,.0f}: all together they cry wolf in at most 1 of "
                "100 truthful models within two years."
            )
        ],
        ("By", "Part", "Alarm", "Stands at", "What was said is", "Outcomes"),
        rows,
        numbers=(3, 5),
        off=[i for i, one in enumerate(alarms) if one["is_raised"]],
    )


def estimated_section(report: Mapping[str, Any]) -> JSON | None:
    """What is to be expected, and what came."""
    found = report["estimated"]
    if not found["periods"]:
        return None
    rows = []
    for one in found["periods"]:
        came, told = one["realised"] or {}, one["expected"]
        rows.append(
            [
                one["period"],
                shares(told["win_rate"]),
                share(came.get("win_rate")),
                _within(told["log_loss"]),
                figure(came.get("log_loss")),
                _within(told.get("auc")),
                figure(came.get("auc")),
                f"{one['leads']:,}",
            ]
        )
    held = found["coverage"]["win_rate"]
    return section(
        "estimated",
        "Expected before the outcomes",
        [
            ("What follows from the probabilities alone, if they are true; it cannot find them wrong, "
            "and nothing is decided by it."),
            f"Of {held['periods']} periods whose outcomes are in, the band of the win rate held "
            f"{held['held']}."
            if held["periods"]
            else "",
        ],
        (
            "From", "Win rate expected", "… came", "Log loss expected", "… came", "AUC expected",
            "… came", "Leads",
        ),
        rows,
        numbers=(2, 4, 6, 7),
    )  # fmt: skip


def _within(interval: Mapping[str, Any] | None) -> str:
    if interval is None:
        return "–"
    return f"{interval['estimate']:.3f} ({interval['lower']:.3f} to {interval['upper']:.3f})"


def prior_section(report: Mapping[str, Any]) -> JSON | None:
    """The suggestion about the share of buyers."""
    shift = report["prior_shift"]
    if shift is None:
        return None
    title = "Has the share of buyers moved? A suggestion"
    return section("prior-shift", title, [shift["words"], f"From {shift['leads']:,} new leads."])


def drift_section(report: Mapping[str, Any]) -> JSON:
    """Columns now and when the model learned."""
    drift = report["drift"]
    newest = ", ".join(
        f"{name} {at[:16].replace('T', ' ')}" if at else f"{name} never"
        for name, at in report["newest_facts"].items()
    )
    title, fresh = "Do today's leads look like those it learned from?", f"Newest facts: {newest}."
    if drift["why_not"]:
        return section("drift", title, [f"Not compared: {drift['why_not']}.", fresh])
    rows = [
        [
            one["label"],
            one["name"],
            f"{one['distance']:.3f}",
            f"{one['without_change']:.3f}",
            share(one["missing_then"]),
            share(one["missing_now"]),
            share(one["unseen"]),
            figure(one["matters"]),
            "moved" if one["is_beyond_noise"] else "within noise",
        ]
        for one in drift["columns"][:MOST_ROWS]
    ]
    return section(
        "drift",
        title,
        [
            (f"{drift['columns_moved']} of {drift['columns_in_all']} columns moved beyond what "
            f"{drift['leads_then']:,} leads of then and {drift['leads_now']:,} of now show by chance "
            "(1 % for all columns at once). Those that matter most for the score come first. Drift asks "
            "for a look, never for a model."),
            fresh,
        ],
        (
            "Fact", "Column", "Distance", "… without change, at most", "Missing then", "Missing now",
            "Unseen labels", "Matters, log-odds", "Finding",
        ),
        rows,
        numbers=range(2, 8),
        off=[i for i, one in enumerate(drift["columns"][:MOST_ROWS]) if one["is_beyond_noise"]],
    )  # fmt: skip


def volumes_section(report: Mapping[str, Any]) -> JSON | None:
    """Leads scored by week."""
    volumes = report["drift"]["volumes"][-MOST_ROWS:]
    if not volumes:
        return None
    rows = [
        [
            one["week"],
            f"{one['scores']:,}",
            "–" if one["low"] is None else f"{one['low']:,.0f} to {one['high']:,.0f}",
            "unusual" if one["is_unusual"] else "",
        ]
        for one in volumes
    ]
    return section(
        "volumes",
        "Leads scored by week",
        ["Usual is what the half year before lets expect, 99 weeks of 100."],
        ("Week from", "Leads", "Usual", "Finding"),
        rows,
        numbers=(1, 2),
        off=[i for i, one in enumerate(volumes) if one["is_unusual"]],
    )


def models_section(report: Mapping[str, Any]) -> JSON | None:
    """Which model scored when."""
    scored = report["scored"]
    rows = [
        [
            one["bundle"][:8],
            one["origin"],
            one["from"],
            one["through"],
            ", ".join(f"{n:,} {channel}" for channel, n in sorted(one["channels"].items())),
        ]
        for one in scored
    ]
    head = ("Model", "Made by", "First scored", "Last scored", "Scores")
    return section("models", "Which model scored when", [], head, rows) if rows else None


def calibration_section(report: Mapping[str, Any]) -> JSON | None:
    """What raw scores mean in probability."""
    steps = report["calibration_map"]
    if not steps:
        return None
    rows = [
        [f"{one['raw']:+.2f}".replace("-", "−"), share(one["as_trained"]), share(one["now"])]
        for one in steps
    ]
    return section(
        "calibration",
        "What a raw score means, before and now",
        [
            "As the booster was trained, and as the calibration stands now; raw scores in twentieths."
        ],
        ("Raw score", "As trained", "Now"),
        rows,
        numbers=(0, 1, 2),
    )


def decisions_section(report: Mapping[str, Any]) -> JSON | None:
    """What was decided about models, and why."""
    rows = [
        [
            one["decided_at"][:10],
            one["decision"].replace("_", " "),
            one["bundle"][:8],
            (one["against"] or "–")[:8],
            one["by"],
            one["reason"],
        ]
        for one in report["decisions"]
    ]
    head = ("Day", "Decision", "Model", "Against", "By", "Why")
    return section("decisions", "Decisions", [], head, rows) if rows else None
