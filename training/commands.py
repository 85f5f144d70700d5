"""What can an analyst say on the command line? simulate, train, evaluate, promote, recalibrate, models.

Heavy imports are inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

if TYPE_CHECKING:
    from models.workspace import Workspace
    from training.run import Watching

app = typer.Typer(no_args_is_help=True)
models = typer.Typer(no_args_is_help=False, help="List, read, compare and roll back models.")
app.add_typer(models, name="models")

out = Console()
err = Console(stderr=True)

Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of words.")]


def _workspace() -> Workspace:
    from models.workspace import Workspace

    return Workspace.of(os.environ)


def now(here: Workspace) -> int:
    """The present instant as all hosts of the installation's database have it."""
    from features.store.one_clock import clock_of

    return clock_of(here.store)()


def _tell(content: dict[str, Any], words: str, as_json: bool) -> None:
    if as_json:
        print(json.dumps(content, allow_nan=False))  # noqa: T201 - machines read stdout
    else:
        out.print(words, highlight=False)


def _warn(text: str) -> None:
    err.print(f"[yellow]warning[/]: {text}", highlight=False)


@contextmanager
def watched() -> Iterator[Watching]:
    """Progress bars on stderr for a training run."""
    from training.run import Watching

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task("starting", total=None)

        def step(words: str) -> None:
            progress.update(task, description=words, total=None)

        def rows(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield Watching(step=step, rows=rows, warn=_warn)


@contextmanager
def alone(workspace: Workspace) -> Iterator[None]:
    """Hold the lease of whoever makes models, which the worker's steps hold too.

    Raises:
        BusyError: somebody else makes one; says who, and since when.
    """
    from features.store.leases import holding
    from training.loop.steps import MODELS
    from training.loop.worker_commands import holder_name

    with holding(workspace.store, MODELS, holder_name(), seconds=workspace.lease_seconds):
        yield


@app.command()
def simulate(
    directory: Annotated[Path, typer.Argument(help="Where the files go.")],
    leads: Annotated[int, typer.Option(min=1, help="How many leads.")] = 20_000,
    events: Annotated[int, typer.Option(min=0, help="About how many events.")] = 400_000,
    years: Annotated[float, typer.Option(min=0.25, max=20, help="How long a history.")] = 2.0,
    start: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The first day; midnight UTC.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same company.")] = 0,
    as_json: Json = False,
) -> None:
    """Make up a company: leads, answers, events, deals, and each lead's true probability."""
    from training.simulate import simulate as make_up
    from training.simulated.world import START

    first = START if start is None else start.replace(tzinfo=UTC)

    with Progress(console=err, transient=True) as progress:
        task = progress.add_task("simulating leads", total=leads)

        def done(so_far: int, total: int) -> None:
            progress.update(task, completed=so_far, total=total)

        made = make_up(
            directory,
            leads=leads,
            events=events,
            years=years,
            start=first,
            seed=seed,
            progress=done,
        )
    words = f"A simulated company is in {directory}; its lead definition is {directory}/definition.yaml."
    _tell(asdict(made), words, as_json)


@app.command()
def train(
    allow_leakage: Annotated[
        list[str] | None, typer.Option(help="A column that may pass the leakage probe.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
    judge_share: Annotated[float, typer.Option(min=0.05, max=0.6)] = 0.25,
    most_leads: Annotated[
        int, typer.Option(min=1, help="Learn from at most so many leads, drawn evenly.")
    ] = 100_000,
    immature: Annotated[
        bool,
        typer.Option(help="Learn from unfinished horizons too, by weight where that is sound."),
    ] = False,
    promote_first: Annotated[
        bool, typer.Option("--promote/--no-promote", help="Decide about the model at once.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Train a model on the matured outcomes, judge it forward in time, and decide about it."""
    from training.config import TrainConfig
    from training.promote import promote as decide
    from training.run import train as run

    config = TrainConfig(
        seed=seed,
        judge_share=judge_share,
        most_leads=most_leads,
        allow_leakage=tuple(allow_leakage or ()),
        immature=immature,
    )
    workspace = _workspace()
    verdict = None
    with alone(workspace):
        with watched() as watching:
            trained = run(workspace, config, now=now(workspace), watching=watching)
        if promote_first:
            verdict = decide(
                workspace,
                trained.digest,
                now=now(workspace),
                by=getpass.getuser(),
                on_warning=_warn,
            )
    about = dict(trained.model.about)
    content = {
        "digest": trained.digest,
        "mlflow_run": trained.mlflow_run,
        "decision": verdict.decision if verdict else None,
        "reason": verdict.reason if verdict else None,
        **{key: about[key] for key in ("data", "judged", "learner", "calibration", "warnings")},
    }
    _tell(content, _trained_words(trained.digest, about, verdict), as_json)


def _trained_words(digest: str, about: dict[str, Any], verdict: Any) -> str:
    figures = about["judged"]["figures"]
    lines = [f"Model [bold]{digest[:12]}[/]. {about['judged']['how']}"]
    if figures is not None:
        auc = figures["auc"]
        lines += [
            (
                f"  AUC {auc['estimate']:.3f} ({auc['lower']:.3f} to {auc['upper']:.3f}), log loss "
                f"{figures['log_loss']:.4f} (base rate {figures['base_rate_log_loss']:.4f})"
            ),
            (
                f"  said {figures['base_rate'] / figures['observed_over_expected']['estimate']:.1%}, "
                f"happened {figures['base_rate']:.1%} on {figures['n']:,} rows"
            ),
        ]
    lines += [f"  [yellow]{warning}[/]" for warning in about["warnings"]]
    if verdict is not None:
        lines.append(f"Decision: [bold]{verdict.decision}[/]: {verdict.reason}")
    return "\n".join(lines)


@app.command()
def evaluate(
    model: Annotated[
        str, typer.Argument(help="champion, previous, newest or a digest.")
    ] = "champion",
    html: Annotated[
        Path | None, typer.Option(help="Write the whole report to this file, pictures included.")
    ] = None,
    learning_curve: Annotated[
        bool,
        typer.Option(
            "--learning-curve",
            help="Learn from ever more of the leads: would more help? As long as ten trainings.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Hold what a model says against the outcomes it has not learned from, as known today."""
    from training.evaluate import evaluate as run
    from training.report_words import words

    workspace = _workspace()
    with watched() as watching:
        found = run(workspace, model, curve=learning_curve, progress=watching.step)
        if html is not None:
            watching.step("drawing")
            html.write_text(found.page(), encoding="utf-8")
    said = words(found.report)
    if html is not None:
        said += f"\nThe whole report is in {html}"
    if as_json:
        _tell(found.report.to_json(), said, as_json)
    else:
        # Names of regions and columns are other people's text, not markup.
        out.print(said, highlight=False, markup=False)


@app.command()
def promote(
    model: Annotated[
        str, typer.Argument(help="newest, or the first digits of a digest.")
    ] = "newest",
    force: Annotated[
        str | None, typer.Option(help="Promote whatever the evidence says, for this reason.")
    ] = None,
    refit: Annotated[
        bool,
        typer.Option(
            "--refit", help="Fit what is promoted once more, on the rows that judged it too."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Decide by paired evidence whether a model becomes the champion."""
    from training.promote import promote as decide

    workspace = _workspace()
    verdict = decide(
        workspace,
        model,
        now=now(workspace),
        by=getpass.getuser(),
        force=force,
        refitted=refit,
        on_warning=_warn,
    )
    content = {"decision": verdict.decision, "reason": verdict.reason, "evidence": verdict.evidence}
    _tell(content, f"[bold]{verdict.decision}[/]: {verdict.reason}", as_json)


@app.command()
def recalibrate(as_json: Json = False) -> None:
    """Fit a new calibration of the champion on newer outcomes, and decide about it."""
    from training.recalibrate import recalibrate as run

    workspace = _workspace()
    with alone(workspace):
        done = run(workspace, now=now(workspace), by=getpass.getuser(), warn=_warn)
    content = {
        "digest": done.digest,
        "decision": done.verdict.decision,
        "reason": done.verdict.reason,
        "calibration": done.calibration.to_json(),
    }
    words = (
        f"Calibration [bold]{done.calibration.name}[/]: {done.calibration.reason}\n"
        f"Decision: [bold]{done.verdict.decision}[/]: {done.verdict.reason}"
    )
    _tell(content, words, as_json)


@models.callback(invoke_without_command=True)
def list_models(context: typer.Context, as_json: Json = False) -> None:
    """List the models, newest first."""
    if context.invoked_subcommand is not None:
        return
    from features.store.promotions import champion, list_bundles, previous_champion

    workspace = _workspace()
    with workspace.store.read() as connection:
        known = list_bundles(connection)
        roles = {previous_champion(connection): "previous", champion(connection): "champion"}
    rows = [
        {"digest": b.digest, "role": roles.get(b.digest, ""), "origin": b.origin, **b.summary}
        for b in known
    ]
    if as_json:
        print(json.dumps(rows, allow_nan=False))  # noqa: T201 - machines read stdout
        return
    table = Table("model", "role", "made by", "trained", "AUC", "log loss", "calibration", "rows")
    for row in rows:
        table.add_row(
            row["digest"][:12],
            row["role"],
            row["origin"],
            row["trained_at"][:16],
            "" if row["auc"] is None else f"{row['auc']:.3f}",
            "" if row["log_loss"] is None else f"{row['log_loss']:.4f}",
            row["calibration"],
            f"{row['rows']:,}",
        )
    out.print(table if rows else "No models yet; `propensity train` makes one.")


@models.command()
def card(
    model: Annotated[
        str, typer.Argument(help="champion, previous, newest or a digest.")
    ] = "champion",
) -> None:
    """Print a model's card (Markdown)."""
    from models.bundle import read_card

    workspace = _workspace()
    print(read_card(workspace.bundles, workspace.registry.find(model)))  # noqa: T201 - the result


@models.command()
def compare(
    model: Annotated[str, typer.Argument(help="A model.")] = "newest",
    against: Annotated[str, typer.Argument(help="Another.")] = "champion",
    as_json: Json = False,
) -> None:
    """Compare two models on the matured leads that neither has learned from; decides nothing."""
    from training.promote import paired_verdict

    workspace = _workspace()
    registry = workspace.registry
    verdict = paired_verdict(workspace, registry.find(model), registry.find(against), seed=0)
    content = {"verdict": verdict.decision, "reason": verdict.reason, "evidence": verdict.evidence}
    _tell(content, f"{verdict.decision}: {verdict.reason}", as_json)


@models.command(name="roll-back")
def roll_back(
    reason: Annotated[
        str, typer.Option(help="Why; it is recorded.")
    ] = "asked for on the command line",
    bad: Annotated[
        str | None,
        typer.Option("--from", help="The model to be rid of: safe to repeat, it goes only once."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make the previous champion score again, on every server within a second."""
    from training.promote import roll_back as run

    by = getpass.getuser()
    workspace = _workspace()
    digest = run(workspace, now=now(workspace), by=by, reason=reason, on_warning=_warn, bad=bad)
    _tell({"champion": digest}, f"The champion is {digest[:12]}.", as_json)
