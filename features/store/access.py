"""Who may come in? API keys, people who sign in, and their sessions; secrets only as hashes.

A key is 160 random bits, so a fast hash is enough; a password is chosen by a person, so it is hashed
slowly (scrypt, RFC 7914). Neither can be read back.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Column, Connection, String, Table, select

from features.errors import ConflictError, InputError, NotFoundError
from features.store.tables import Instant, metadata

Role = Literal["crm", "analyst", "rep", "admin"]
ROLES: tuple[Role, ...] = ("crm", "analyst", "rep", "admin")

SESSION_HOURS = 12

keys = Table(
    "api_keys",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("prefix", String(16), nullable=False),
    Column("name", String(300), nullable=False, unique=True),
    Column("role", String(16), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("revoked_at", Instant),
)

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
)


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who was let in: a key or a person.

    `owner` is the name under which a person owns leads; None sees everybody's (where the role may).
    """

    name: str
    role: Role
    owner: str | None = None
    csrf: str | None = None


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key as it can be shown: never the key itself."""

    name: str
    role: Role
    prefix: str
    created_at: int
    revoked_at: int | None


def create_key(connection: Connection, name: str, role: Role, now: int) -> str:
    """A new API key, shown once; only its hash is kept.

    Raises:
        ConflictError: there is a key of that name.
    """
    _check_role(role)
    if connection.execute(select(keys.c.name).where(keys.c.name == name)).first():
        raise ConflictError(f"there is a key named {name!r} already", hint="Choose another name.")
    key = f"pk_{secrets.token_hex(20)}"
    row = {"hash": _fast(key), "prefix": key[:8], "name": name, "role": role, "created_at": now}
    connection.execute(keys.insert(), [row])
    return key


def list_keys(connection: Connection) -> list[KeyRecord]:
    """All keys, oldest first."""
    query = select(keys).order_by(keys.c.created_at, keys.c.name)
    return [
        KeyRecord(row.name, row.role, row.prefix, row.created_at, row.revoked_at)
        for row in connection.execute(query)
    ]


def revoke_key(connection: Connection, name: str, now: int) -> None:
    """Make a key worthless from now on.

    Raises:
        NotFoundError: there is no key of that name in use.
    """
    statement = keys.update().where(keys.c.name == name, keys.c.revoked_at.is_(None))
    if connection.execute(statement.values(revoked_at=now)).rowcount == 0:
        raise NotFoundError(
            f"there is no key named {name!r} in use", hint="`propensity keys list`."
        )


def caller_of_key(connection: Connection, key: str) -> Caller | None:
    """Whose key this is; None when it is not known or revoked."""
    query = select(keys).where(keys.c.hash == _fast(key), keys.c.revoked_at.is_(None))
    row = connection.execute(query).first()
    return Caller(row.name, row.role) if row else None


def set_user(
    connection: Connection, name: str, role: Role, password: str, owner: str | None, now: int
) -> None:
    """Create a person who can sign in, or give that person a new role and password.

    Raises:
        InputError: the password is shorter than 12 characters.
    """
    _check_role(role)
    if len(password) < 12:
        raise InputError("the password is shorter than 12 characters", hint="Use a longer one.")
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


def sign_in(connection: Connection, name: str, password: str, now: int) -> str | None:
    """A new session's token for the right password, else None; takes equally long either way."""
    proof = prove(connection, name, password)
    return None if proof is None else open_session(connection, name, proof, now)


def prove(connection: Connection, name: str, password: str) -> str | None:
    """Proof for `open_session` that the password is right, else None; equally long either way.

    Hashing takes its time and a read is enough: no writer need wait for it.
    """
    row = connection.execute(select(users).where(users.c.name == name)).first()
    stored = row.password if row else _DUMMY
    return stored if _matches(password, stored) and row is not None else None


def open_session(connection: Connection, name: str, proof: str, now: int) -> str | None:
    """A new session's token; None when the password was changed since it was proved."""
    query = select(users.c.name).where(users.c.name == name, users.c.password == proof)
    if connection.execute(query).first() is None:
        return None
    token = secrets.token_urlsafe(32)
    connection.execute(sessions.delete().where(sessions.c.expires_at <= now))
    session = {
        "hash": _fast(token),
        "user": name,
        "csrf": secrets.token_urlsafe(32),
        "expires_at": now + SESSION_HOURS * 3_600_000_000,
    }
    connection.execute(sessions.insert(), [session])
    return token


def caller_of_session(connection: Connection, token: str, now: int) -> Caller | None:
    """Who is signed in with this token; None when nobody is, or no longer."""
    joined = sessions.join(users, users.c.name == sessions.c.user)
    query = select(users.c.name, users.c.role, users.c.owner, sessions.c.csrf).select_from(joined)
    query = query.where(sessions.c.hash == _fast(token), sessions.c.expires_at > now)
    row = connection.execute(query).first()
    return Caller(row.name, row.role, row.owner, row.csrf) if row else None


def sign_out(connection: Connection, token: str) -> None:
    """End a session."""
    connection.execute(sessions.delete().where(sessions.c.hash == _fast(token)))


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise InputError(f"{role!r} is no role", hint=f"Use one of {list(ROLES)}.")


def _fast(secret: str) -> str:
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
