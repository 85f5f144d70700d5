"""What do the lots in the queue tell? What the scoring brings and what neglect costs, as commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from rich.table import Table

from training import commands
from training.commands import Json

if TYPE_CHECKING:
    from training.loop.holdout import HoldoutReadout
    from training.loop.if_worked import BandIfWorked, IfWorked

app = typer.Typer()


@app.command()
def holdout(as_json: Json = False) -> None:
    """Compare leads placed by score with leads placed by lot: win rate and revenue, with intervals."""
    import json

    from training.loop.holdout import read_holdout

    workspace = commands._workspace()
    found = read_holdout(workspace.store, workspace.definition(), commands.now(workspace))
    if as_json:
        print(json.dumps(found.to_json(), allow_nan=False))  # noqa: T201 - machines read stdout
    else:
        commands.out.print(_words(found), highlight=False)


@app.command("if-worked")
def if_worked(as_json: Json = False) -> None:
    """Say what would become of leads that nobody works if reps worked them, band by band.

    Needs a share of the places that is explored (PROPENSITY_EXPLORE_SHARE). Takes as long as a training.
    """
    import json

    from training.loop.if_worked import if_worked as asked

    found = asked(commands._workspace())
    if as_json:
        print(json.dumps(found.to_json(), allow_nan=False))  # noqa: T201 - machines read stdout
    else:
        commands.out.print(_bands(found), highlight=False)


def _bands(found: IfWorked) -> Table:
    table = Table("said", "rows", "worked", "won, as usual", "if worked", "by those that were")
    for band in found.bands:
        said = f"{band.low:.0%} to {band.high:.0%}"
        counts = (f"{band.rows:,}", f"{band.worked:,}")
        table.add_row(
            said, *counts, f"{band.as_usual:.1%}", f"{band.if_worked:.1%}", _by_weight(band)
        )
    table.caption = (
        f"{found.shown + found.unlearned:,} of {found.rows:,} rows: {found.shown:,} by the score that "
        f"was shown, {found.unlearned:,} by the champion, which has not learned from them"
    )
    return table


def _by_weight(band: BandIfWorked) -> str:
    if not band.worked:
        return "nobody"
    rate = band.by_weight
    return f"{rate.estimate:.1%} ({max(rate.lower, 0.0):.1%} to {min(rate.upper, 1.0):.1%})"


def _words(found: HoldoutReadout) -> Table:
    table = Table("", "leads", "won", "win rate", "revenue a lead")
    for name, arm in (("by score", found.scored), ("by lot", found.held_out)):
        rate = f"{arm.rate.estimate:.1%} ({arm.rate.lower:.1%} to {arm.rate.upper:.1%})"
        table.add_row(name, f"{arm.leads:,}", f"{arm.won:,}", rate, f"{arm.revenue.estimate:,.2f}")
    gap, money = found.difference, found.revenue
    rate = f"{gap.estimate:+.1%} ({gap.lower:+.1%} to {gap.upper:+.1%})"
    table.add_row("the order brings", "", "", rate, f"{money.estimate:+,.2f}")
    if found.is_decisive:
        table.caption = "the difference shows"
    elif found.leads_missing is None:
        table.caption = "no difference is to be seen"
    else:
        table.caption = (
            f"undecided; about {found.leads_missing:,} more leads would show it, 8 times of 10"
        )
    return table
