"""What is brought to the meeting of marketing and sales? The report as one file that asks nobody.

The same sections as on the service's page, with their pictures in the file; no script, no request.
"""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.loop.monitor import Monitoring
from training.loop.sections import made_on, sections
from training.plots import plot_line, plot_reliability
from training.reliability import ReliabilityBin
from training.report_page import document, table, text

JSON = Mapping[str, Any]

ACTIONS = {
    "nothing": "Nothing to do",
    "wait": "Not enough outcomes yet",
    "recalibrate": "Recalibrate",
    "retrain": "Retrain",
    "look_at_market": "Look at the market",
}
"""Verdicts as people call them."""


def page(found: Monitoring) -> str:
    """The report as a whole HTML document.

    Args:
        found: from `training.loop.reports.make_report`.
    """
    report = found.to_json()
    title = f"What came of what was promised, {report['now'][:10]}"
    with tempfile.TemporaryDirectory() as scratch:
        body = [_section(one, Path(scratch)) for one in sections(report)]
    return document(title, _head(title, found, report) + "".join(body))


def _head(title: str, found: Monitoring, report: JSON) -> str:
    model = report.get("model")
    about = f"Model <code>{text(model['digest'][:12])}</code>. " if model else ""
    verdict = found.verdict
    return (
        f"<h1>{text(title)}</h1>\n<p class=muted>{about}{text(made_on(report))}</p>\n"
        f"<div class=notice role=note><strong>{text(ACTIONS[verdict.action])}.</strong> "
        f"{text(verdict.reason)}</div>\n"
    )


def _section(told: JSON, scratch: Path) -> str:
    off = set(told["off"])
    sheet = ""
    if told["rows"]:
        sheet = table(
            told["head"],
            told["rows"],
            numbers=told["numbers"],
            off=[number in off for number in range(len(told["rows"]))],
            label=told["title"],
        )
    words = "".join(f"<p>{text(said)}</p>\n" for said in told["words"])
    return f"<h2>{text(told['title'])}</h2>\n{words}{_picture(told, scratch)}{sheet}"


def _picture(told: JSON, scratch: Path) -> str:
    picture = told["picture"]
    if picture is None:
        return ""
    path = scratch / f"{told['key']}.png"
    if picture["kind"] == "reliability":
        plot_reliability([_bin(band) for band in picture["bands"]], path)
    else:
        plot_line(
            [(x, y) for x, y, _ in picture["points"]],
            path,
            columns=picture["columns"],
            levels=picture["levels"],
            marks=picture["marks"],
        )
    content = base64.b64encode(path.read_bytes()).decode("ascii")
    shown = f'<img alt="{text(picture["words"])}" src="data:image/png;base64,{content}">'
    return f"<figure>{shown}</figure>\n"


def _bin(band: JSON) -> ReliabilityBin:
    return ReliabilityBin(
        raw_low=0.0,
        raw_high=0.0,
        n=band["n"],
        wins=0,
        predicted=band["predicted"],
        observed=band["observed"],
        lower=band["lower"],
        upper=band["upper"],
    )
