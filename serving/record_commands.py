"""What can be said of what is recorded? Erase a person, find missed outcomes, let senders in.

Heavy imports are inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import getpass
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from serving.telling import Json, err, now, tell, workspace

if TYPE_CHECKING:
    from features.store.engine import Connection
    from features.store.reconciliation import Reconciliation
    from models.workspace import Workspace

app = typer.Typer(no_args_is_help=True)
webhooks = typer.Typer(no_args_is_help=True, help="Systems that send us signed messages.")
audit = typer.Typer(no_args_is_help=True, help="Who did what, when, to what.")
app.add_typer(webhooks, name="webhooks")
app.add_typer(audit, name="audit")

Sender = Annotated[str, typer.Argument(help="The sender's name, such as crm.")]
Given = Annotated[
    bool, typer.Option("--secret-stdin", help="Read a secret of the sender's own from stdin.")
]


def _current() -> Workspace:
    """The installation, whose database is at this version's revision."""
    from features.store.migrate import require_current

    found = workspace()
    require_current(found.store)
    return found


def audited(connection: Connection, at: int, action: str, name: str, **detail: Any) -> None:
    """Note in the audit log that whoever is logged in on this machine did something."""
    from features.store.audit import Entry, note

    entry = Entry(at=at, actor=getpass.getuser(), action=action, object=name, detail=detail)
    note(connection, entry)


@app.command()
def erase(
    lead: Annotated[str, typer.Argument(help="The lead's id.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    vacuum: Annotated[
        bool, typer.Option(help="Write an SQLite file anew; nobody can write meanwhile.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Forget a person: all facts, and whose the scores were. The lead is refused from then on."""
    from features.store.erasure import compact, flush, forget_in_files
    from features.store.erasure import erase as forget
    from features.store.remembered import copies_left, remember
    from features.store.tombstone_file import FILE, require_place

    workspace = _current()
    require_place(workspace.backups / FILE)
    if not yes:
        typer.confirm(f"Erase all of {lead}? It cannot be undone", abort=True, err=True)
    at = now(workspace)
    with workspace.store.write() as connection:
        done = forget(connection, lead, by=getpass.getuser(), now=at)
    (compact if vacuum else flush)(workspace.store)
    rows = forget_in_files(workspace.data_dir / "rejects", lead)
    aside = remember(workspace.store, workspace.backups)
    copies = copies_left(workspace.store, workspace.backups, lead, at)
    counts = {**done.to_json(), "rejected_rows": rows}
    figures = ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in counts.items() if n)
    for copy in copies:
        err.print(
            f"The backup of {copy.day} may still hold it; with one a day it goes on {copy.goes}.",
            highlight=False,
            soft_wrap=True,
        )
    if aside is not None:
        err.print(
            f"[yellow]set aside[/]: {escape(str(aside))} is not of this installation, or damaged; "
            "`propensity doctor` says what to do.",
            highlight=False,
            soft_wrap=True,
        )
    err.print(
        "Copies and exports that lie elsewhere hold what they held: see docs/operations.md.",
        highlight=False,
    )
    content = {
        **counts,
        "backups": [copy.to_json() for copy in copies],
        "set_aside": aside and aside.name,
    }
    tell(content, f"erased: {figures or 'nothing was left to erase'}", as_json)


@app.command()
def reconcile(
    file: Annotated[Path, typer.Argument(help="An export with all deals, CSV or Parquet.")],
    source: Annotated[
        str | None,
        typer.Option(help="Under which source they came, such as api or a webhook's sender."),
    ] = None,
    mapping: Annotated[
        str | None, typer.Option(help="The file as the lead definition calls it.")
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Write what was missed.")] = False,
    as_json: Json = False,
) -> None:
    """Find outcomes that were missed: an export of deals against those in the store."""
    from features.store.files.deals_told import deals_told
    from features.store.reconciliation import catch_up, note_run
    from features.store.reconciliation import reconcile as compare

    here = _current()
    at = now(here)
    definition = here.definition()
    told = deals_told(definition, file, at, mapping=mapping, source=source)
    with here.store.write() as connection:
        found = compare(connection, told.deals, told.source)
        if apply:
            found = catch_up(connection, found, definition, at)
        note_run(connection, told.source, found, at)
    for problem in [*told.problems, *found.problems][:20]:
        err.print(f"[red]not compared or written[/]: {escape(str(problem))}", highlight=False)
    content = {**found.to_json(), "rejected": len(told.problems), "applied": apply}
    tell(content, _found_words(found, apply), as_json)


def _found_words(found: Reconciliation, applied: bool) -> Table:
    table = Table("", "deals")
    for words, n in (
        ("alike here and there", found.same),
        ("missing here", len(found.missing)),
        ("told differently there", len(found.differing)),
        ("unknown to the export", len(found.unknown)),
        ("written now", found.added),
    ):
        table.add_row(words, f"{n:,}")
    if not applied and (found.missing or found.differing):
        table.caption = "nothing was written; --apply does"
    return table


@webhooks.command("add")
def webhooks_add(source: Sender, secret_stdin: Given = False, as_json: Json = False) -> None:
    """Let a sender in. Its secret is shown once."""
    from features.store.webhooks import add_sender

    here = _current()
    at = now(here)
    with here.store.write() as connection:
        secret = add_sender(connection, source, at, _secret(secret_stdin))
        audited(connection, at, "webhook_added", source)
    _show_secret(source, secret, as_json)


@webhooks.command("rotate")
def webhooks_rotate(
    source: Sender,
    overlap_hours: Annotated[
        float, typer.Option(min=0, max=720, help="How long the old secrets stay good.")
    ] = 24.0,
    secret_stdin: Given = False,
    as_json: Json = False,
) -> None:
    """Give a sender a new secret; the old ones stay good for a while."""
    from features.store.webhooks import rotate_secret

    here = _current()
    at = now(here)
    with here.store.write() as connection:
        secret = rotate_secret(
            connection,
            source,
            at,
            overlap_hours=overlap_hours,
            secret=_secret(secret_stdin),
        )
        audited(connection, at, "webhook_rotated", source, overlap_hours=overlap_hours)
    _show_secret(source, secret, as_json)


@webhooks.command("revoke")
def webhooks_revoke(source: Sender, as_json: Json = False) -> None:
    """Let a sender in no more; it holds with the next message."""
    from features.store.webhooks import revoke_sender

    here = _current()
    at = now(here)
    with here.store.write() as connection:
        revoke_sender(connection, source, at)
        audited(connection, at, "webhook_revoked", source)
    tell({"revoked": source}, f"{escape(source)} is let in no more", as_json)


@webhooks.command("list")
def webhooks_list(as_json: Json = False) -> None:
    """All senders, since when, and until when their secrets are good."""
    from features.clock import iso
    from features.store.webhooks import list_secrets

    with _current().store.read() as connection:
        found = list_secrets(connection)
    rows = [
        {
            "source": one.source,
            "created_at": iso(one.created_at),
            "ends_at": None if one.ends_at is None else iso(one.ends_at),
        }
        for one in found
    ]
    table = Table("sender", "secret made", "good until")
    for row in rows:
        table.add_row(*(escape(cell or "") for cell in row.values()))
    tell({"senders": rows}, table, as_json)


def _secret(from_stdin: bool) -> str | None:
    return typer.get_text_stream("stdin").readline().strip() if from_stdin else None


def _show_secret(source: str, secret: str, as_json: bool) -> None:
    words = f"{secret}\n[dim]the secret of {escape(source)}; it is not shown again[/]"
    tell({"source": source, "secret": secret}, words, as_json)


@audit.command("show")
def audit_show(
    after: Annotated[int, typer.Option(min=0, help="Only entries with a higher number.")] = 0,
    as_json: Json = False,
) -> None:
    """The audit log, oldest first. Leads are named by keyed hash."""
    from features.clock import iso
    from features.store.audit import links

    with _current().store.read() as connection:
        found = list(links(connection, after=after))
    rows = [
        {
            "number": link.number,
            "at": iso(link.entry.at),
            "actor": link.entry.actor,
            "action": link.entry.action,
            "object": link.entry.object,
            "detail": link.entry.detail,
            "hash": link.hash,
        }
        for link in found
    ]
    table = Table("", "when", "who", "what", "to what", "")
    for row in rows:
        cells = (row["number"], row["at"], row["actor"], row["action"], row["object"])
        detail = json.dumps(row["detail"]) if row["detail"] else ""
        table.add_row(*(escape(str(cell)) for cell in (*cells, detail)))
    tell({"entries": rows}, table, as_json)


@audit.command("verify")
def audit_verify(
    expect: Annotated[
        str | None, typer.Option(help="A hash noted earlier; it must still be in the chain.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Look whether the log is whole; exit code 1 when an entry was edited, dropped or moved."""
    from features.store.audit import BEGINNING, links, verify

    with _current().store.read() as connection:
        verdict = verify(connection)
        problems = list(verdict.problems)
        if expect and expect not in (BEGINNING, *(link.hash for link in links(connection))):
            problems.append("the hash noted earlier is not in the chain: it was written anew")
    content = {
        "whole": not problems,
        "entries": verdict.entries,
        "head": verdict.head,
        "problems": problems,
    }
    words = [f"{verdict.entries:,} entries, the last one {verdict.head}", *problems]
    tell(content, escape("\n".join(words)), as_json)
    if problems:
        raise typer.Exit(1)


@audit.command("scores")
def audit_scores(
    n: Annotated[int, typer.Option("--n", min=1, help="How many scores, at most.")] = 1_000,
    share: Annotated[
        float | None, typer.Option(min=0, max=1, help="Instead: this share of all scores.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Which ones; by default those of the day.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compute a sample of old scores anew; exit code 1 when one is wrong, missing or not ours."""
    from features.clock import DAY
    from features.store.ledger_sample import count_ids
    from models.recompute import audit_scores as recompute

    here = _current()
    at = now(here)
    if share is not None:
        with here.store.read() as connection:
            n = max(round(share * count_ids(connection).scores), 1)
    found = recompute(here, now=at, n=n, seed=at // DAY if seed is None else seed)
    content = found.to_json()
    lists = ("clean", "mismatched", "changed", "unreplayable")
    table = Table("", "scores")
    for name, count in content.items():
        if name not in lists:
            table.add_row(name.replace("_", " "), f"{count:,}")
    for reason, count in found.unreplayable.items():
        table.add_row(escape(f"not computed anew: {reason}"), f"{count:,}")
    tell(content, table, as_json)
    if not found.is_clean:
        raise typer.Exit(1)


@audit.command("replay")
def audit_replay(
    score: Annotated[int, typer.Argument(help="The score's id, as answers name it.")],
    as_json: Json = False,
) -> None:
    """Compute one old score anew and explain it; exit code 1 when it comes out otherwise."""
    from models.recompute import replay_score

    found = replay_score(_current(), score)
    content = found.to_json()
    lines = [
        f"score {score} of {content['lead'] or 'an erased person'} as of {content['as_of']}",
        f"given    {content['given']['probability']:.6f}  raw {content['given']['raw']:+.6f}",
        "anew     "
        + (
            f"not computed: {found.why_not}"
            if found.probability is None or found.raw is None
            else f"{found.probability:.6f}  raw {found.raw:+.6f}"
        ),
        *(f"{r['log_odds']:+7.3f}  {r['label']}: {r['words']}" for r in content["reasons"]),
    ]
    tell(content, escape("\n".join(lines)), as_json)
    if found.is_same is False:
        raise typer.Exit(1)
