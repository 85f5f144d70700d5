"""How is the report read? What came of what was promised, as sections; those of the model come after."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from models.explain import figure as readable
from training.loop import sections_model as of_model
from training.loop.section import JSON, MOST_ROWS, figure, ratio, section, share, shares


def sections(report: Mapping[str, Any]) -> list[JSON]:
    """The sections of a report, those that there is something to say in.

    Args:
        report: as `Monitoring.to_json` gives it.
    """
    if "bands" not in report:
        return []
    makers = (
        _bands,
        _gains,
        _parts,
        _periods,
        _alarm,
        of_model.segments_section,
        of_model.estimated_section,
        of_model.prior_section,
        of_model.drift_section,
        of_model.volumes_section,
        of_model.models_section,
        of_model.calibration_section,
        of_model.decisions_section,
    )
    found = [maker(report) for maker in makers]
    return [one for one in found if one is not None]


def _bands(report: Mapping[str, Any]) -> JSON:
    bands, counts = report["bands"], report["counts"]
    rows = [
        [
            f"{band['low']:.0%} to {band['high']:.0%}",
            share(band["said"]),
            shares(band["rate"]),
            f"{band['rows']:,}",
            f"{band['leads']:,}",
            f"{band['won']:,}",
            band["verdict"],
        ]
        for band in bands
    ]
    known = [band for band in bands if band["said"] is not None and band["rate"] is not None]
    picture = {
        "kind": "reliability",
        "words": "Said against happened by band; the table holds the figures.",
        "bands": [
            {"predicted": b["said"], "observed": b["rate"]["estimate"], "lower": b["rate"]["lower"],
             "upper": b["rate"]["upper"], "n": b["rows"]}
            for b in known
        ],
    }  # fmt: skip
    return section(
        "bands",
        "What was promised, and what came",
        [
            (
                f"{counts['scores']:,} scores of {counts['leads']:,} leads whose horizon is over, "
                f"{counts['won_leads']:,} of them won; of each lead and week the score shown first. "
                f"{counts['waiting']:,} scores still wait for their outcome."
            ),
            (
                "The edges of the bands never change, so months can be laid side by side. Intervals "
                "are 95 %, a lead's weeks taken as one piece of evidence: one band in twenty of a right "
                "model is outside."
            ),
        ],
        ("Band", "Said", "Won", "Scores", "Leads", "Won scores", "Finding"),
        rows,
        numbers=(3, 4, 5),
        off=[i for i, band in enumerate(bands) if band["verdict"].endswith("than promised")],
        picture=picture if known else None,
    )


def _gains(report: Mapping[str, Any]) -> JSON | None:
    gains, curve = report["gains"], report["gain_curve"]
    if not gains:
        return None
    rows = [[share(g["share"], 0), shares(g["captured"]), f"{g['lift']:.2f}"] for g in gains]
    points = [] if curve is None else list(zip(curve["share"], curve["captured"], strict=True))
    picture = {
        "kind": "line",
        "words": "Share of wins among the best-scored leads; the table holds the figures.",
        "points": [[x, y, f"the best {x:.0%} hold {y:.0%} of the wins"] for x, y in points],
        "levels": [[i / 4, f"{i * 25} %"] for i in range(5)],
        "columns": [[i / 4, f"{i * 25} %"] for i in range(5)],
        "marks": [],
    }
    return section(
        "gains",
        "What working in this order brings",
        [
            "The share of all wins that lies in the best-scored part, and how many times the average."
        ],
        ("Best-scored", "Share of wins", "Lift"),
        rows,
        numbers=(2,),
        picture=picture if points else None,
    )


def _parts(report: Mapping[str, Any]) -> JSON | None:
    where = report["where"]
    if where is None:
        return None
    parts = where["parts"]
    rows = [
        [
            part["dimension"],
            part["name"],
            ratio(part["ratio"]),
            figure(part["shrunk"], 2),
            share(part["said"]),
            share(part["happened"]),
            f"{part['leads']:,}",
            part["verdict"] or "within noise",
        ]
        for part in parts
    ]
    return section(
        "parts",
        "Observed ÷ expected by route, source and segment",
        [where["rule"]],
        ("By", "Part", "Won ÷ promised", "Shrunk", "Said", "Won", "Leads", "Finding"),
        rows,
        numbers=(3, 4, 5, 6),
        off=[i for i, p in enumerate(parts) if p["q"] is not None and p["verdict"]],
    )


def _periods(report: Mapping[str, Any]) -> JSON | None:
    periods = report["periods"]
    if not periods:
        return None
    rows = [
        [
            period["name"],
            ratio(period["ratio"]),
            figure(period["log_loss"]),
            figure(period["miscalibration"], 4),
            figure(period["if_truthful"], 4),
            _spread(period["discrimination"]),
            figure(period["uncertainty"]),
            f"{period['leads']:,}",
            f"{period['won']:,}",
            period["left_out"],
        ]
        for period in periods
    ]
    known = [p for p in periods if p["ratio"] is not None]
    top = max([p["ratio"]["estimate"] for p in known] + [1.0]) * 1.2
    return section(
        "periods",
        "Whose fault, period by period",
        [
            ("Log loss is miscalibration − discrimination + uncertainty. Miscalibration above what a "
            "truthful model would show at most asks for a new calibration, discrimination down for a "
            "new model; uncertainty is the leads' and the market's. Periods are four weeks of scores."),
        ],
        (
            "From", "Won ÷ promised", "Log loss", "Miscalibration", "… of a truthful model, at most",
            "Discrimination", "Uncertainty", "Leads", "Won leads", "Left out",
        ),
        rows,
        numbers=range(2, 9),
        off=[
            i
            for i, p in enumerate(periods)
            if p["miscalibration"] is not None
            and p["if_truthful"] is not None
            and p["miscalibration"] > p["if_truthful"]
        ],
        picture=_over_time(
            "Won over promised, period by period; the table holds the figures.",
            [(p["name"], p["ratio"]["estimate"], ratio(p["ratio"])) for p in known],
            [[i * top / 4, f"{i * top / 4:.2g}"] for i in range(5)],
            [[1.0, "as promised"]],
        ),
    )  # fmt: skip


def _spread(interval: Mapping[str, Any] | None) -> str:
    if interval is None:
        return "–"
    return f"{interval['estimate']:.4f} ({interval['lower']:.4f} to {interval['upper']:.4f})"


def _over_time(
    words: str,
    points: Sequence[tuple[str, float, str]],
    levels: Sequence[Sequence[Any]],
    marks: Sequence[Sequence[Any]],
) -> JSON | None:
    """A line over days; None with fewer than two."""
    if len(points) < 2:
        return None
    last = len(points) - 1
    some = sorted({0, last // 2, last})
    return {
        "kind": "line",
        "words": words,
        "points": [[i, y, f"{day}: {said}"] for i, (day, y, said) in enumerate(points)],
        "levels": [list(level) for level in levels],
        "columns": [[i, points[i][0]] for i in some],
        "marks": [list(mark) for mark in marks],
    }


def _alarm(report: Mapping[str, Any]) -> JSON | None:
    weeks, alarm = report["alarm_weeks"], report["alarm"]
    if not weeks["weeks"]:
        return None
    tens = [value / math.log(10) for value in weeks["log_e"]]
    limit = math.log10(alarm["threshold"])
    rows = [
        [week, f"{n:,}", readable(10 ** min(ten, 300))]
        for week, n, ten in zip(weeks["weeks"], weeks["outcomes"], tens, strict=True)
    ][-MOST_ROWS:]
    top = math.ceil(max([*tens, limit]))
    low = min(0, math.floor(min(tens)))
    step = max(1, (top - low) // 5)
    state = (
        f"Raised: the outcomes known on {alarm['since'][:10]} reached the threshold."
        if alarm["is_raised"]
        else f"Silent: it stands at {readable(alarm['e_value'])} of {alarm['threshold']:,.0f}."
    )
    return section(
        "alarm",
        "The alarm of the probabilities",
        [
            state,
            (
                "It may be looked at every week: at most 2 in 100 truthful models raise it within two "
                "years, however often anybody looks. Outcomes enter in the order in which their scores "
                "were shown, a week at a time and once the whole week has matured; a lead counts once "
                "at a time. It stays raised until the calibration changes."
            ),
        ],
        ("Scores of the week from", "Outcomes", "Stands at"),
        rows,
        numbers=(1, 2),
        picture=_over_time(
            "Where the alarm stood, in powers of ten; the table holds the figures.",
            [
                (week, ten, readable(10 ** min(ten, 300)))
                for week, ten in zip(weeks["weeks"], tens, strict=True)
            ],
            [[at, f"10^{at}"] for at in range(low, top + 1, step)],
            [[limit, "alarm"]],
        ),
    )


def made_on(report: Mapping[str, Any]) -> str:
    """When the report was made and through when outcomes were known, in a sentence."""
    through = report["through"]
    known = f"; outcomes known before {through[:10]}" if through else ""
    return f"As of {report['now'][:10]}{known}."
