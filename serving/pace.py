"""How often may one caller ask? Token buckets in memory: of keys, of people, of strangers' addresses.

A bucket holds `burst` requests and refills at `per_second`. It is kept as one number, the instant at
which it would be full again (the generic cell rate algorithm, ITU-T I.371), so a request costs one
look-up and two comparisons. Each worker counts apart: with n workers the limit is n times as high.
"""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass

from serving.errors import TooManyError
from serving.settings import Settings

_MOST_BUCKETS = 20_000
"""Callers remembered at once; bounds the memory that ever new addresses can take."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a caller has left.

    Attributes:
        remaining: requests that may be made at once.
        full_in: seconds until the whole burst may be made again.
        wait: seconds until the next request may be made; 0.0: it was let through.
    """

    remaining: int
    full_in: float
    wait: float = 0.0


class Buckets:
    """The token buckets of one sort of callers.

    Args:
        name: of the sort, as the headers call it.
        per_second: requests a second for ever; 0: no limit.
        burst: requests at once.
    """

    def __init__(self, name: str, per_second: float, burst: int) -> None:
        self._name = name
        self._interval = 1.0 / per_second if per_second else 0.0
        self._depth = burst * self._interval
        self._full_at: dict[str, float] = {}
        self.policy = f'"{name}";q={burst};w={max(1, math.ceil(self._depth))}'.encode()

    def take(self, who: str, now: float) -> Standing | None:
        """Take one request out of a bucket; None where there is no limit.

        Args:
            who: the caller.
            now: seconds of a clock that never goes back.
        """
        interval = self._interval
        if not interval:
            return None
        full_at = self._full_at.get(who, now)
        full_at = (max(now, full_at)) + interval
        left = self._depth - (full_at - now)
        # The sums of many intervals are off by their rounding.
        if left < -1e-9:
            return Standing(0, full_at - interval - now, -left)
        self._full_at[who] = full_at
        if len(self._full_at) > _MOST_BUCKETS:
            self._forget(now)
        return Standing(int(left / interval + 1e-6), full_at - now)

    def give_back(self, who: str) -> None:
        """Put one request back: it turned out not to count here."""
        if who in self._full_at:
            self._full_at[who] -= self._interval

    def describe(self, standing: Standing) -> bytes:
        """The value of the `RateLimit` header."""
        full_in = math.ceil(standing.full_in)
        return f'"{self._name}";r={standing.remaining};t={full_in}'.encode()

    def _forget(self, now: float) -> None:
        """Drop full buckets; if that is not enough, the fullest half."""
        waiting = {who: at for who, at in self._full_at.items() if at > now}
        excess = len(waiting) - _MOST_BUCKETS // 2
        if excess > 0:
            for who in sorted(waiting, key=waiting.__getitem__)[:excess]:
                del waiting[who]
        self._full_at = waiting


class Pace:
    """The buckets of one worker, and whose secrets turned out good when they were last looked up."""

    def __init__(self, settings: Settings) -> None:
        self.keys = Buckets("key", settings.key_rate, settings.key_burst)
        self.people = Buckets("person", settings.person_rate, settings.person_burst)
        self.strangers = Buckets("address", settings.stranger_rate, settings.stranger_burst)
        self._met: set[str] = set()

    def has_met(self, secret: str) -> bool:
        """Whether a key or a session was good when it was last looked up."""
        return secret in self._met

    def meet(self, secret: str) -> None:
        """A key or a session turned out good."""
        if len(self._met) >= _MOST_BUCKETS:
            self._met.clear()
        self._met.add(secret)

    def forget(self, secret: str) -> None:
        """A key or a session is none, or none any more."""
        self._met.discard(secret)


Told = tuple[tuple[bytes, bytes], tuple[bytes, bytes]]
"""The two headers that tell a caller of the limit (draft-ietf-httpapi-ratelimit-headers)."""


def admit(buckets: Buckets, who: str, now: float) -> Told | None:
    """Let a request through, and say what is left; None where there is no limit.

    Raises:
        TooManyError: the caller has to wait.
    """
    standing = buckets.take(who, now)
    if standing is None:
        return None
    told = (b"ratelimit-policy", buckets.policy), (b"ratelimit", buckets.describe(standing))
    if standing.wait:
        error = TooManyError(
            "more requests than one caller may make", hint="Wait as long as Retry-After says."
        )
        error.wait, error.told = standing.wait, told
        raise error
    return told


def neighbourhood(address: str) -> str:
    """An address as it is counted: an IPv6 network of /64, since one caller holds all of it.

    >>> neighbourhood("192.0.2.7"), neighbourhood("2001:db8:1:2:a:b:c:d"), neighbourhood("testclient")
    ('192.0.2.7', '2001:db8:1:2::', 'testclient')
    """
    if ":" not in address:
        return address
    try:
        number = int(ipaddress.IPv6Address(address.partition("%")[0]))
    except ValueError:
        return address
    return str(ipaddress.IPv6Address(number >> 64 << 64))
