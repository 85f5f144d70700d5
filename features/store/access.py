"""Who may come in? People who sign in, and their sessions; secrets only as hashes.

A session's token is random, so a fast hash is enough; a password is chosen by a person, so it is hashed
slowly (scrypt, RFC 7914). Neither can be read back. Who is removed is out with the next request.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Column, Connection, String, Table, func, select

from features.clock import HOUR, MINUTE
from features.errors import InputError, NotFoundError
from features.store.tables import Instant, metadata

Role = Literal["crm", "analyst", "rep", "admin"]
ROLES: tuple[Role, ...] = ("crm", "analyst", "rep", "admin")

SESSION_HOURS = 12
IDLE_MINUTES = 60
"""A session ends so long after it began, and so long after it was last used, whichever is first."""

SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 1_000

users = Table(
    "users",
    metadata,
    Column("name", String(300), primary_key=True),
    Column("role", String(16), nullable=False),
    Column("owner", String(300)),
    Column("password", String(300), nullable=False),
    Column("created_at", Instant, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("user", String(300), nullable=False),
    Column("csrf", String(64), nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("used_at", Instant),
)


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who was let in: a key or a person.

    `owner` is the name under which a person owns leads; None sees everybody's (where the role may).
    `since` tells a person from whoever had the name before: when this one was set up; None for keys.
    """

    name: str
    role: Role
    owner: str | None = None
    csrf: str | None = None
    since: int | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """A person who is signed in, and when the session was last noted to be in use."""

    caller: Caller
    used_at: int


@dataclass(frozen=True, slots=True)
class UserRecord:
    """A person as far as one can be shown: never the password's hash."""

    name: str
    role: Role
    owner: str | None
    created_at: int


def set_user(
    connection: Connection, name: str, role: Role, password: str, owner: str | None, now: int
) -> None:
    """Create a person who can sign in, or give that person a new role and password.

    Raises:
        InputError: the password is shorter than 12 characters, or absurdly long.
    """
    require_role(role)
    if len(password) < SHORTEST_PASSWORD:
        raise InputError("the password is shorter than 12 characters", hint="Use a longer one.")
    if len(password) > LONGEST_PASSWORD:
        raise InputError("the password is longer than 1000 characters", hint="Use a shorter one.")
    connection.execute(users.delete().where(users.c.name == name))
    connection.execute(sessions.delete().where(sessions.c.user == name))
    row = {
        "name": name,
        "role": role,
        "owner": owner,
        "password": _slow(password),
        "created_at": now,
    }
    connection.execute(users.insert(), [row])


def list_users(connection: Connection) -> list[UserRecord]:
    """Everybody who may sign in, by name."""
    query = select(users).order_by(users.c.name)
    return [
        UserRecord(row.name, row.role, row.owner, row.created_at)
        for row in connection.execute(query)
    ]


def remove_user(connection: Connection, name: str) -> None:
    """Let a person sign in no more; open sessions end at once.

    Raises:
        NotFoundError: there is no such person.
    """
    connection.execute(sessions.delete().where(sessions.c.user == name))
    if connection.execute(users.delete().where(users.c.name == name)).rowcount == 0:
        raise NotFoundError(f"there is nobody named {name!r}", hint="`propensity users list`.")


def prove(connection: Connection, name: str, password: str) -> str | None:
    """Proof for `open_session` that the password is right, else None; equally long either way.

    Hashing takes its time and a read is enough: no writer need wait for it.
    """
    row = connection.execute(select(users).where(users.c.name == name)).first()
    stored = row.password if row else _DUMMY
    return stored if _matches(password, stored) and row is not None else None


def open_session(
    connection: Connection, name: str, proof: str, now: int, *, instead_of: str | None = None
) -> str | None:
    """A new session's token; None when the password was changed since it was proved.

    Args:
        connection: a writing one.
        name: who signs in.
        proof: what `prove` gave.
        now: the present instant.
        instead_of: the token of a session that ends here, whoever's it was: nobody who planted or
            kept it shares in the new one.
    """
    query = select(users.c.name).where(users.c.name == name, users.c.password == proof)
    if connection.execute(query).first() is None:
        return None
    token = secrets.token_urlsafe(32)
    connection.execute(sessions.delete().where(sessions.c.expires_at <= now))
    if instead_of:
        sign_out(connection, instead_of)
    session = {
        "hash": fingerprint(token),
        "user": name,
        "csrf": secrets.token_urlsafe(32),
        "expires_at": now + SESSION_HOURS * HOUR,
        "used_at": now,
    }
    connection.execute(sessions.insert(), [session])
    return token


def find_session(
    connection: Connection, token: str, now: int, idle_minutes: float = IDLE_MINUTES
) -> Session | None:
    """The session with this token; None when there is none, or no longer, or its person left it."""
    joined = sessions.join(users, users.c.name == sessions.c.user)
    # Sessions of the first release did not note their use: they count from their beginning.
    last = func.coalesce(sessions.c.used_at, sessions.c.expires_at - SESSION_HOURS * HOUR)
    person = (users.c.name, users.c.role, users.c.owner, users.c.created_at)
    query = select(*person, sessions.c.csrf, last.label("used_at"))
    query = query.select_from(joined).where(
        sessions.c.hash == fingerprint(token),
        sessions.c.expires_at > now,
        last > now - round(idle_minutes * MINUTE),
    )
    row = connection.execute(query).first()
    if row is None:
        return None
    caller = Caller(row.name, row.role, row.owner, row.csrf, row.created_at)
    return Session(caller, row.used_at)


def note_session(connection: Connection, token: str, now: int) -> None:
    """Note that a session is in use, so that it does not end for idleness."""
    statement = sessions.update().where(sessions.c.hash == fingerprint(token))
    connection.execute(statement.values(used_at=now))


def sign_out(connection: Connection, token: str) -> None:
    """End a session."""
    connection.execute(sessions.delete().where(sessions.c.hash == fingerprint(token)))


def require_role(role: str) -> None:
    """Raise `InputError` for what is no role."""
    if role not in ROLES:
        raise InputError(f"{role!r} is no role", hint=f"Use one of {list(ROLES)}.")


def fingerprint(secret: str) -> str:
    """The hash of a secret that is random, and so needs no slow one."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _slow(password: str, salt: bytes | None = None) -> str:
    salt = salt or secrets.token_bytes(16)
    derived = hashlib.scrypt(
        password.encode("utf-8", "surrogatepass"), salt=salt, n=2**14, r=8, p=1
    )
    return f"scrypt${salt.hex()}${derived.hex()}"


def _matches(password: str, stored: str) -> bool:
    salt = bytes.fromhex(stored.split("$")[1])
    return hmac.compare_digest(_slow(password, salt), stored)


_DUMMY = _slow("nobody has this password", b"0" * 16)
