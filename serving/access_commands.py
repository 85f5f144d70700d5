"""Who is let in, said on the command line: keys for machines, people who sign in.

A key and a password are never shown again: a key is printed when it is made, a password is typed.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from serving.record_commands import audited
from serving.telling import Json, now, tell, workspace

keys = typer.Typer(no_args_is_help=True, help="Keys for machines.")
users = typer.Typer(no_args_is_help=True, help="People who sign in.")


class RoleName(StrEnum):
    """What a key or a person may do."""

    crm = "crm"
    analyst = "analyst"
    rep = "rep"
    admin = "admin"


@keys.command("create")
def keys_create(
    name: Annotated[str, typer.Argument(help="Who will use it, such as crm-production.")],
    role: Annotated[RoleName, typer.Option(help="What it may do.")] = RoleName.crm,
    days: Annotated[
        int | None, typer.Option(min=1, max=3_650, help="It expires after so many; else never.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a key. It is shown once; only its hash is kept."""
    from features.store.keys import create_key

    here = workspace()
    at = now(here)
    with here.store.write() as connection:
        key = create_key(connection, name, role.value, at, days=days)
        audited(connection, at, "key_created", name, role=role.value)
    words = f"{key}\n[dim]the key of {escape(name)} ({role.value}); it is not shown again[/]"
    tell({"name": name, "role": role.value, "key": key}, words, as_json)


@keys.command("list")
def keys_list(as_json: Json = False) -> None:
    """All keys, as far as they can be shown."""
    from features.clock import iso
    from features.store.keys import list_keys

    with workspace().store.read() as connection:
        found = list_keys(connection)
    rows = [
        {
            "name": key.name,
            "role": key.role,
            "prefix": key.prefix,
            "created_at": iso(key.created_at),
            "expires_at": None if key.expires_at is None else iso(key.expires_at),
            "used_at": None if key.used_at is None else iso(key.used_at),
            "revoked_at": None if key.revoked_at is None else iso(key.revoked_at),
        }
        for key in found
    ]
    table = Table("name", "role", "begins with", "made", "expires", "last used", "revoked")
    for row in rows:
        table.add_row(*(escape(cell or "") for cell in row.values()))
    tell({"keys": rows}, table, as_json)


@keys.command("revoke")
def keys_revoke(name: str, as_json: Json = False) -> None:
    """Make a key worthless, within a second on every server."""
    from features.store.keys import revoke_key

    here = workspace()
    at = now(here)
    with here.store.write() as connection:
        revoke_key(connection, name, at)
        audited(connection, at, "key_revoked", name)
    tell({"revoked": name}, f"the key of {escape(name)} is revoked", as_json)


@users.command("set")
def users_set(
    name: Annotated[str, typer.Argument(help="The name to sign in with.")],
    role: Annotated[RoleName, typer.Option(help="What the person may do.")] = RoleName.rep,
    owner: Annotated[
        str | None, typer.Option(help="As whom the person owns leads; by default as NAME.")
    ] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from stdin.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Let a person sign in, or change role and password. Asks for the password."""
    from features.store.access import set_user

    if password_stdin:
        password = sys.stdin.readline().rstrip("\n")
    else:
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    owns = owner or (name if role is RoleName.rep else None)
    here = workspace()
    at = now(here)
    with here.store.write() as connection:
        set_user(connection, name, role.value, password, owns, at)
        audited(connection, at, "user_set", name, role=role.value, owner=owns)
    words = f"{escape(name)} ({role.value}) may sign in"
    tell({"name": name, "role": role.value, "owner": owns}, words, as_json)


@users.command("list")
def users_list(as_json: Json = False) -> None:
    """Everybody who may sign in."""
    from features.clock import iso
    from features.store.access import list_users

    with workspace().store.read() as connection:
        found = list_users(connection)
    rows = [
        {"name": one.name, "role": one.role, "owner": one.owner, "created_at": iso(one.created_at)}
        for one in found
    ]
    table = Table("name", "role", "owns leads as", "set")
    for row in rows:
        table.add_row(*(escape(cell or "") for cell in row.values()))
    tell({"users": rows}, table, as_json)


@users.command("remove")
def users_remove(name: str, as_json: Json = False) -> None:
    """Let a person sign in no more; open sessions end at once, on every server."""
    from features.store.access import remove_user

    here = workspace()
    at = now(here)
    with here.store.write() as connection:
        remove_user(connection, name)
        audited(connection, at, "user_removed", name)
    tell({"removed": name}, f"{escape(name)} may not sign in any more", as_json)
