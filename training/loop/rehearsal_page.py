"""How is a rehearsal shown to people? One HTML file: figures, two pictures, decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

WORDS = {"ours": "the loop", "frozen": "frozen", "retrain_15d": "retrained every 15 days"}
_COLOURS = {"ours": "#0b6e4f", "frozen": "#8a8a8a", "retrain_15d": "#c2571a", "observed": "#111111"}
_WIDTH, _HEIGHT, _EDGE = 860, 260, 46
_SMOOTH = 8
"""Weeks over which a line is averaged: single weeks of a small company are noise."""


def rehearsal_page(figures: Mapping[str, Any], weeks: Sequence[Mapping[str, Any]]) -> str:
    """The page.

    Args:
        figures: from `rehearsed.figures`.
        weeks: from `rehearsed.by_week`.
    """
    said = {name: _column(weeks, name, "said") for name in WORDS}
    lost = {name: _column(weeks, name, "log_loss") for name in WORDS}
    observed = np.array([_number(week["observed"]) for week in weeks])
    judged = np.array([float(week["judged"]) for week in weeks])
    changes = [i for i, week in enumerate(weeks) if _changed(week)]
    level = {**said, "observed": observed}
    saved = {name: np.nancumsum((lost[name] - lost["frozen"]) * judged) for name in WORDS}
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Rehearsal</title><style>{_STYLE}"
        "</style><h1>What would have happened</h1>"
        f"<p>{len(weeks)} weeks from {escape(figures['from'][:10])} to "
        f"{escape(figures['through'][:10])}; {figures['rows']:,} scores of {figures['leads']:,} leads "
        f"with known outcomes, of which {figures['observed']:.1%} won. Each week knew only what had "
        "been recorded by then.</p>"
        f"{_table(figures)}"
        f"<h2>Said and happened, {_SMOOTH} weeks' average</h2>"
        f"{_chart({name: _smooth(line, judged) for name, line in level.items()}, changes, '{:.0%}')}"
        "<h2>Log loss against the frozen model, added up (lower is better)</h2>"
        f"{_chart(saved, changes, '{:,.0f}')}"
        "<p>Vertical lines: the loop changed what scores.</p>"
        f"<h2>What the loop decided</h2>{_decisions(weeks)}"
    )


def _column(weeks: Sequence[Mapping[str, Any]], name: str, key: str) -> Floats:
    return np.array([_number(week[name][key]) for week in weeks])


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)


def _changed(week: Mapping[str, Any]) -> bool:
    look = week["look"]
    return look is not None and look["decision"] in ("promote", "roll_back")


def _smooth(line: Floats, weight: Floats) -> Floats:
    """The average of the last weeks, by how many leads were judged in each."""
    found = np.full(len(line), np.nan)
    for i in range(len(line)):
        here = slice(max(0, i - _SMOOTH + 1), i + 1)
        known = np.isfinite(line[here]) & (weight[here] > 0)
        if known.any():
            found[i] = np.average(line[here][known], weights=weight[here][known])
    return found


def _table(figures: Mapping[str, Any]) -> str:
    head = ("", "log loss", "calibration error", "AUC", "said on average", "changes of model")
    rows = [
        (
            WORDS[name],
            f"{one['log_loss']:.4f}",
            f"{one['ece']:.4f}",
            "" if one["auc"] is None else f"{one['auc']:.3f}",
            f"{one['mean_said']:.1%}",
            f"{one['model_changes']}",
        )
        for name, one in ((name, figures[name]) for name in WORDS)
    ]
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}' for cell in row)}" for row in rows)
    return f"<table><tr>{''.join(f'<th>{name}' for name in head)}{body}</table>"


def _decisions(weeks: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        f"<tr><td>{escape(week['at'][:10])}<td>{escape(look['action'])}"
        f"<td>{escape(look['decision'])}<td>{escape(look['reason'])}"
        for week in weeks
        if (look := week["look"]) is not None and look["decision"] is not None
    ]
    if not rows:
        return "<p>Nothing: no evidence asked for a change.</p>"
    return f"<table><tr><th>day<th>did<th>decision<th>why{''.join(rows)}</table>"


def _chart(lines: Mapping[str, Floats], marks: Sequence[int], form: str) -> str:
    """Lines over the weeks as SVG, with a legend and the vertical lines of the changes."""
    finite = np.concatenate([line[np.isfinite(line)] for line in lines.values()] or [np.zeros(1)])
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    span = high - low or 1.0
    n = max(max((len(line) for line in lines.values()), default=1) - 1, 1)

    def x(i: float) -> float:
        return _EDGE + i / n * (_WIDTH - 2 * _EDGE)

    def y(value: float) -> float:
        return _HEIGHT - _EDGE / 2 - (value - low) / span * (_HEIGHT - _EDGE)

    parts = [
        f'<line class=mark x1="{x(i):.1f}" x2="{x(i):.1f}" y1="8" y2="{_HEIGHT - 20}" />'
        for i in marks
    ]
    for place, value in enumerate((low, (low + high) / 2, high)):
        anchor = "" if place else " class=low"
        parts.append(f'<text x="2" y="{y(value):.1f}"{anchor}>{form.format(value)}</text>')
    for place, (name, line) in enumerate(lines.items()):
        at = np.flatnonzero(np.isfinite(line))
        points = " ".join(f"{x(i):.1f},{y(line[i]):.1f}" for i in at.tolist())
        colour = _COLOURS[name]
        parts.append(f'<polyline points="{points}" stroke="{colour}" />')
        label = escape(WORDS.get(name, "happened"))
        left = _EDGE + place * 200
        parts.append(f'<text x="{left}" y="{_HEIGHT - 4}" fill="{colour}">{label}</text>')
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role=img>{"".join(parts)}</svg>'


_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse;font-size:14px}td,th{padding:.3em .8em;text-align:left;"
    "border-bottom:1px solid #ddd;vertical-align:top}svg{width:100%;font-size:12px}"
    "polyline{fill:none;stroke-width:2}.mark{stroke:#0b6e4f;stroke-opacity:.25}"
)
