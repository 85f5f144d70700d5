"""What does an analyst bring to a meeting? The report as one file of HTML that asks nobody for anything.

Everything in it – style, pictures – is in the file; it has no script, and its policy forbids requests.
Names of regions, columns and models are other people's text: `text` escapes all of it.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from training.pictures import Picture, shown_of
from training.report import Report
from training.report_words import Answer, answers, interval
from training.wrong_where import Part, Where

STYLE = """
:root{color-scheme:light}*{box-sizing:border-box}
body{margin:0;background:#fff;color:#111827;
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:74rem;margin:0 auto;padding:1.5rem 1.25rem 3rem}
h1{font-size:1.6rem;line-height:1.2;margin:0 0 .25rem;overflow-wrap:anywhere}
h2{font-size:1.2rem;margin:2.5rem 0 .5rem;padding-top:1rem;border-top:1px solid #d1d5db}
h3{font-size:1rem;margin:1.5rem 0 .25rem}
p{margin:.4rem 0;max-width:46rem}.muted{color:#4b5563;font-size:.9rem}
.notice{border-left:4px solid #b45309;background:#fffbeb;padding:.5rem .75rem;margin:1rem 0}
.notice ul{margin:.25rem 0;padding-left:1.2rem}
.answers{margin:1rem 0 0}.answers>div{display:grid;grid-template-columns:15rem 1fr;gap:.1rem 1rem;
padding:.6rem 0;border-top:1px solid #e5e7eb}
.answers dt{font-weight:600}.answers dd{margin:0}.verdict{font-weight:600}
.verdict.good{color:#0f5e57}.verdict.bad{color:#9a3412}.verdict.open{color:#374151}
.pictures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr));gap:1.25rem;
margin:1rem 0;align-items:start}
figure{margin:0}figure img{width:100%;max-width:34rem;height:auto;display:block}
.side{display:flex;flex-wrap:wrap;gap:.5rem 2rem;align-items:flex-start}
.side>.scroll{flex:0 1 auto;min-width:0}.side>.pictures{flex:1 1 18rem;max-width:34rem;margin:.5rem 0}
.scroll{overflow-x:auto;margin:.75rem 0}.scroll:focus-visible{outline:2px solid #0f766e}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.3rem .9rem .3rem 0;border-bottom:1px solid #e5e7eb;vertical-align:top}
th{font-weight:600}thead th{border-bottom:1px solid #6b7280}td.n,th.n{text-align:right}
tr.off td,tr.off th{background:#fff7ed;color:#7c2d12;font-weight:600}
tbody th{font-weight:400}.wide td,.wide th{white-space:nowrap;padding-right:.7rem}
@media (max-width:40rem){.answers>div{grid-template-columns:1fr}main{padding:1rem .9rem 2rem}
.scroll.wide{border-right:1px solid #e5e7eb}}
@media print{body{font-size:10.5pt}main{max-width:none;padding:0}h2,h3{break-after:avoid}
figure,tr,.answers>div{break-inside:avoid}.scroll{overflow:visible}a{color:inherit}}
"""

_GOOD = frozenset({"yes", "nowhere beyond noise", "settled"})
_BAD = frozenset({"no", "none found"})


def report_page(report: Report, pictures: Mapping[str, Picture]) -> str:
    """The page.

    Args:
        report: what is shown.
        pictures: from `pictures.draw_all`; read and put into the page.

    Returns:
        A whole HTML document.
    """
    title = f"Evaluation of {report.model['name']} {report.model['digest'][:12]}".strip()
    found = answers(report)
    body = [
        _head(report),
        _notice(report.warnings),
        _answers(found),
        _signal(report, pictures),
        _calibration(report, pictures),
        _wrong(report.where, pictures, found[2]),
        _drives(report, pictures),
        _enough(report, pictures),
        _limits(),
    ]
    return document(title, "".join(body))


def document(title: str, body: str) -> str:
    """A whole HTML document that asks nobody for anything and runs no script.

    Args:
        title: plain text.
        body: HTML whose text was escaped with `text`.
    """
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "img-src data:; style-src 'unsafe-inline'\">\n"
        f'<link rel="icon" href="data:,">\n<title>{text(title)}</title>\n<style>{STYLE}</style>\n'
        f"</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )


def text(value: object) -> str:
    """Anything as text that a page shows and never runs."""
    return html.escape(str(value), quote=True)


def _head(report: Report) -> str:
    model = report.model
    rows = f" {report.rows:,} rows." if report.rows else ""
    return (
        f"<h1>How good is {text(model['name'])}?</h1>\n"
        f"<p>{text(model['promise'])}</p>\n"
        f"<p class=muted>Model <code>{text(model['digest'][:12] or 'not stored')}</code>, trained "
        f"{text(model['trained_at'][:10])}, calibration: {text(model['calibration'])}. "
        f"{text(report.how)}{rows}</p>\n"
    )


def _notice(warnings: Sequence[str]) -> str:
    if not warnings:
        return ""
    items = "".join(f"<li>{text(warning)}</li>" for warning in warnings)
    return f"<div class=notice role=note><strong>Know this first</strong><ul>{items}</ul></div>\n"


def _answers(found: Iterable[Answer]) -> str:
    rows = "".join(
        f"<div><dt>{text(a.question)}</dt><dd><span class='verdict {_tone(a.verdict)}'>"
        f"{text(_upper(a.verdict))}</span> – {text(a.why)}.</dd></div>\n"
        for a in found
    ).replace("..</dd>", ".</dd>")
    return f"<h2>In short</h2>\n<dl class=answers>{rows}</dl>\n"


def _upper(words: str) -> str:
    return words[:1].upper() + words[1:]


def _tone(verdict: str) -> str:
    if verdict in _GOOD:
        return "good"
    return "bad" if verdict in _BAD or verdict.endswith(" parts") else "open"


def _signal(report: Report, pictures: Mapping[str, Picture]) -> str:
    figures = report.figures
    if figures is None:
        return ""
    parts, lifts = figures["log_loss_parts"], figures["lifts"]
    rows = [
        ("AUC: how often a buyer ranks above another lead", interval(figures["auc"], 3)),
        ("Log loss", _number(figures["log_loss"])),
        ("… of always answering the base rate", _number(figures["base_rate_log_loss"])),
        ("… lost by wrong probabilities (miscalibration)", _number(parts["miscalibration"])),
        ("… gained by telling leads apart (discrimination)", _number(parts["discrimination"])),
        ("… that the base rate leaves open (uncertainty)", _number(parts["uncertainty"])),
        ("Brier score", _number(figures["brier"])),
        *((f"Lift of the best {one['share']:.0%}", f"{one['lift']:.2f}") for one in lifts),
        ("Rows, leads, won rows", f"{figures['n']:,}, {figures['leads']:,}, {figures['wins']:,}"),
    ]
    return (
        "<h2>Is there signal?</h2>\n"
        f"<p>{text(figures['discrimination']['reason'])}</p>\n"
        + _side(table(("Figure", "Value"), rows), _pictures(pictures, "scores"))
        + _pictures(pictures, "lift")
        + "<p class=muted>Log loss is miscalibration − discrimination + uncertainty. Intervals take a "
        "lead's rows as one piece of evidence.</p>\n"
    )


def _number(value: float | None, digits: int = 4) -> str:
    return "not known" if value is None else f"{value:.{digits}f}"


def _calibration(report: Report, pictures: Mapping[str, Picture]) -> str:
    figures = report.figures
    if figures is None:
        return ""
    rows = [
        ("Observed ÷ expected wins (1 is right)", interval(figures["observed_over_expected"], 2)),
        ("Slope (1 is right; below: too sure)", interval(figures["calibration"]["slope"], 2)),
        ("Intercept, log-odds (0 is right)", interval(figures["calibration"]["intercept"], 2)),
        ("Calibration error, noise taken off", _number(figures["debiased_ece"]["root"])),
    ]
    together = report.together or (None,) * len(figures["bins"])
    bands = [_band(one, wide) for one, wide in zip(figures["bins"], together, strict=False)]
    head = ("Said", "Happened", "95 % each", "95 % all at once", "Rows", "Won")
    n = len(bands)
    return (
        "<h2>Is it calibrated?</h2>\n"
        + table(("Figure", "Value"), rows)
        + _side(table(head, bands, numbers=range(4, 6)), _pictures(pictures, "reliability"))
        + f"<p class=muted>Intervals of the third column hold each on its own: all {n} of a right model "
        f"hold {0.95**n:.0%} of the time. Those of the fourth hold all at once, 95 % of the time "
        "(Bonferroni).</p>\n"
    )


def _band(band: Mapping[str, Any], wide: Mapping[str, Any] | None) -> tuple[str, ...]:
    return (
        f"{band['predicted']:.1%}",
        f"{band['observed']:.1%}",
        f"{band['lower']:.1%} to {band['upper']:.1%}",
        "not known" if wide is None else f"{wide['lower']:.1%} to {wide['upper']:.1%}",
        f"{band['n']:,}",
        f"{band['wins']:,}",
    )


def _wrong(where: Where | None, pictures: Mapping[str, Picture], answer: Answer) -> str:
    if where is None:
        said = f"<p>{text(_upper(answer.verdict))}: {text(answer.why)}.</p>\n"
        return f"<h2>Where is it wrong?</h2>\n{said}"
    dimensions = list(dict.fromkeys(part.dimension for part in where.parts))
    blocks = [
        _dimension(where, dimension, pictures.get(f"where_{number}"))
        for number, dimension in enumerate(dimensions)
    ]
    return f"<h2>Where is it wrong?</h2>\n<p>{text(where.rule)}</p>\n{''.join(blocks)}"


def _dimension(where: Where, dimension: str, picture: Picture | None) -> str:
    parts = shown_of(where, dimension)
    everything = sum(part.dimension == dimension for part in where.parts)
    head = ("Part", "Observed ÷ expected", "Shrunk", "Finding", "Said", "Happened", "Rows", "Won")
    rows = [_part(part) for part in parts]
    off = [part.q is not None and bool(part.verdict) for part in parts]
    left = everything - len(parts)
    more = f"<p class=muted>{left} smaller parts are in the JSON.</p>\n" if left else ""
    shown = "" if picture is None else f"<div class=pictures>{_picture(picture)}</div>\n"
    sheet = table(
        head, rows, numbers=range(4, 8), off=off, label=f"Observed and expected by {dimension}"
    )
    return f"<h3>By {text(dimension)}</h3>\n{_side(sheet, shown)}{more}"


def _part(part: Part) -> tuple[str, ...]:
    ratio = part.ratio
    return (
        part.name,
        f"{ratio.estimate:.2f} ({ratio.lower:.2f} to {ratio.upper:.2f})",
        f"{part.shrunk:.2f}",
        part.verdict or "within noise",
        f"{part.said:.1%}",
        f"{part.happened:.1%}",
        f"{part.rows:,}",
        f"{part.wins:,}",
    )


def _drives(report: Report, pictures: Mapping[str, Picture]) -> str:
    facts = [fact for fact in report.drives.facts if fact.size > 0][:12]
    if not facts:
        return "<h2>What drives it?</h2>\n<p>Nothing: all leads get the same score.</p>\n"
    share = report.drives.weight
    return (
        "<h2>What drives it?</h2>\n"
        + table(
            ("Fact", "Mean absolute contribution, log-odds"),
            [(fact.label, f"{fact.size:.3f}") for fact in facts],
            numbers=(1,),
        )
        + _pictures(pictures, "swarm", "shapes")
        + f"<p class=muted>Contributions add up to the score exactly; {share:.0%} of it is the additive "
        "part, whose curves and levels are drawn with two standard deviations. What drives a score need "
        "not cause a purchase.</p>\n"
    )


def _enough(report: Report, pictures: Mapping[str, Picture]) -> str:
    have = report.enough
    rows = [("Leads that won, and that did not", f"{have.wins:,} and {have.losses:,}")]
    if have.more_to_judge:
        rows.append(("Missing before anything is judged", f"{have.more_to_judge:,} {have.rarer}"))
    rows.append(("Missing until there are 100 of each", f"{have.more_to_trust:,} {have.rarer}"))
    if have.for_level is not None:
        words = "Outcomes that pin observed ÷ expected to ±10 % at this base rate (Riley 2021)"
        rows.append((words, f"{have.for_level:,}"))
    if have.more_for_level is not None:
        rows.append(("More leads like these until then", f"about {have.more_for_level:,}"))
    if have.more_for_signal:
        words = "More leads until signal shows, if the gain stays as it is"
        rows.append((words, f"about {have.more_for_signal:,}"))
    return (
        "<h2>How many more outcomes?</h2>\n"
        + table(("What", "How many"), rows)
        + _comparison(report.comparison)
        + _curve(report, pictures)
    )


def _comparison(said: Mapping[str, Any] | None) -> str:
    if said is None:
        return ""
    return (
        f"<h3>{text(said['against'])}</h3>\n"
        f"<p><strong>{text(_upper(said['decision']))}</strong>: {text(said['reason'])}.</p>\n"
    )


def _curve(report: Report, pictures: Mapping[str, Picture]) -> str:
    curve = report.curve
    if curve is None:
        return ""
    rows = [
        (
            f"{point.share:.0%}",
            f"{point.leads:,}",
            f"{point.wins:,.0f}",
            " ".join(f"{loss:.4f}" for loss in point.losses) or "too few to learn from",
        )
        for point in curve.points
    ]
    return (
        f"<h3>Would more deals to learn from help?</h3>\n<p>{text(curve.sentence)}</p>\n"
        + _pictures(pictures, "learning_curve")
        + table(("Share", "Leads", "Won", "Log loss, each draw"), rows, numbers=(1, 2))
    )


def _limits() -> str:
    return (
        "<h2>What this page does not say</h2>\n<p>It speaks of leads like those that judged, worked as "
        "those were. It says who buys, not whom a call would persuade. A part that is not named is not "
        "proven right: it may have too few outcomes.</p>\n"
    )


def _side(sheet: str, pictures: str) -> str:
    """A table and its pictures beside one another, where there is room."""
    return f"<div class=side>{sheet}{pictures}</div>\n"


def _pictures(pictures: Mapping[str, Picture], *names: str) -> str:
    shown = "".join(_picture(pictures[name]) for name in names if name in pictures)
    return f"<div class=pictures>{shown}</div>\n" if shown else ""


def _picture(picture: Picture) -> str:
    content = base64.b64encode(picture.path.read_bytes()).decode("ascii")
    return (
        f'<figure><img alt="{text(picture.words)}" src="data:image/png;base64,{content}"></figure>'
    )


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    numbers: Iterable[int] = (),
    off: Sequence[bool] = (),
    label: str = "",
) -> str:
    """A table that scrolls by itself where it has no room.

    Args:
        head: of the columns.
        rows: cells as text; the first of a row names it.
        numbers: which columns hold figures.
        off: for each row whether it is to be looked at.
        label: what a screen reader calls it.
    """
    right = set(numbers)

    def cell(tag: str, i: int, value: str, scope: str = "") -> str:
        side = " class=n" if i in right else ""
        return f"<{tag}{scope}{side}>{text(value)}</{tag}>"

    top = "".join(cell("th", i, value, " scope=col") for i, value in enumerate(head))
    lines = []
    for number, row in enumerate(rows):
        mark = " class=off" if number < len(off) and off[number] else ""
        first = cell("th", 0, row[0], " scope=row")
        rest = "".join(cell("td", i + 1, value) for i, value in enumerate(row[1:]))
        lines.append(f"<tr{mark}>{first}{rest}</tr>\n")
    return (
        f'<div class="scroll{" wide" if len(head) > 4 else ""}" tabindex=0 role=region '
        f'aria-label="{text(label or ", ".join(head))}"><table><thead><tr>{top}</tr></thead>\n'
        f"<tbody>{''.join(lines)}</tbody></table></div>\n"
    )
