"""What can be asked of the loop on the command line? `propensity monitor`.

Heavy imports are inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from training.commands import now, out, watched

app = typer.Typer(no_args_is_help=True)


@app.command()
def monitor(
    html: Annotated[
        Path | None, typer.Option(help="Write the report to this file, pictures included.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of samples and intervals.")] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object instead of words.")
    ] = False,
) -> None:
    """Hold the scores that were shown against what came of them, and say what to do.

    The report is kept in the database, where the page of reports shows it. The worker asks
    every week. Exits with 0 whatever it finds; the verdict is in `verdict.action` of the JSON.
    """
    from models.workspace import Workspace
    from training.loop.page import ACTIONS, page
    from training.loop.reports import keep, make_report

    workspace = Workspace.of(os.environ)
    with watched() as watching:
        watching.step("reading what was shown and what came")
        found = make_report(workspace, now=now(workspace), seed=seed)
        keep(workspace, found)
        if html is not None:
            watching.step("drawing")
            html.write_text(page(found), encoding="utf-8")
    if as_json:
        print(json.dumps(found.to_json(), allow_nan=False))  # noqa: T201 - machines read stdout
        return
    out.print(
        f"{ACTIONS[found.verdict.action]}. {found.verdict.reason}", highlight=False, markup=False
    )
    if html is not None:
        out.print(f"The whole report is in {html}", highlight=False, markup=False)
