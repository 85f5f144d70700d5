"""Is a caller stopped at just the rate that was set, and nobody else with it?"""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from served import Serve, Served, sign_in

from features.store.engine import Store
from serving.pace import _MOST_BUCKETS, Buckets
from serving.security import SESSION_COOKIE
from serving.settings import Settings


class Bucket:
    """The same as a bucket of tokens that is filled drop by drop: the definition, not the trick."""

    def __init__(self, per_second: float, burst: int) -> None:
        self.tokens, self.at = float(burst), 0.0
        self.per_second, self.burst = per_second, burst

    def take(self, now: float) -> bool:
        self.tokens = min(self.burst, self.tokens + (now - self.at) * self.per_second)
        self.at = now
        if self.tokens < 1 - 1e-6:
            return False
        self.tokens -= 1
        return True


@given(
    st.sampled_from([0.5, 1.0, 4.0, 64.0]),
    st.integers(1, 20),
    st.lists(st.integers(0, 96), min_size=1, max_size=80),
)
def test_a_bucket_lets_through_what_a_bucket_of_tokens_does(
    per_second: float, burst: int, steps: list[int]
) -> None:
    buckets, oracle, now = Buckets("x", per_second, burst), Bucket(per_second, burst), 0.0
    for step in steps:
        now += step / 32
        standing = buckets.take("crm", now)
        assert standing is not None
        assert (standing.wait == 0.0) == oracle.take(now)
        if standing.wait:
            assert standing.wait == pytest.approx((1 - oracle.tokens) / per_second, abs=1e-6)
        else:
            assert standing.remaining == int(oracle.tokens + 1e-6)
            assert standing.full_in == pytest.approx((burst - oracle.tokens) / per_second, abs=1e-6)


def test_no_caller_pays_for_another_and_what_is_given_back_counts_not() -> None:
    buckets = Buckets("x", 1.0, 2)
    waits = [standing.wait for who in "aaab" if (standing := buckets.take(who, 0.0))]
    assert waits == [0.0, 0.0, 1.0, 0.0]
    for _ in range(50):
        standing = buckets.take("c", 0.0)
        assert standing is not None
        assert standing.wait == 0.0
        buckets.give_back("c")
    buckets.give_back("nobody")


def test_ever_new_callers_take_bounded_memory_and_free_nobody_who_waits() -> None:
    buckets = Buckets("x", 0.001, 3)
    for _ in range(4):
        buckets.take("guesser", 0.0)
    for i in range(3 * _MOST_BUCKETS):
        buckets.take(f"address {i}", 0.0)
    assert len(buckets._full_at) <= _MOST_BUCKETS + 1
    standing = buckets.take("guesser", 0.0)
    assert standing is not None
    assert standing.wait > 0


def test_no_limit_is_no_limit() -> None:
    assert Buckets("x", 0.0, 1).take("crm", 0.0) is None


def test_five_hundred_requests_a_second_of_a_key_are_not_too_many_by_default() -> None:
    settings = Settings()
    buckets = Buckets("key", settings.key_rate, settings.key_burst)
    for i in range(20_000):
        standing = buckets.take("crm", i / 500)
        assert standing is not None
        assert standing.wait == 0.0


POLICY = re.compile(r'"(\w+)";q=(\d+);w=(\d+)')
LEFT = re.compile(r'"(\w+)";r=(\d+);t=(\d+)')


def test_a_key_is_told_what_is_left_and_then_to_wait(serve: Serve, company_store: Store) -> None:
    served = serve(company_store, key_rate=0.01, key_burst=3)
    for left in (2, 1, 0):
        answer = served.get("/v1/model", "crm")
        assert answer.status_code == 200
        assert POLICY.fullmatch(answer.headers["ratelimit-policy"])
        found = LEFT.fullmatch(answer.headers["ratelimit"])
        assert found is not None
        assert (found[1], found[2]) == ("key", str(left))
    refused = served.get("/v1/model", "crm")
    assert refused.status_code == 429
    assert refused.json()["type"] == "urn:propensity:problem:too-many"
    assert 95 <= int(refused.headers["retry-after"]) <= 100
    assert refused.headers.get_list("ratelimit-policy") == ['"key";q=3;w=300']
    # Another key, and probes, go on.
    assert served.get("/v1/model", "analyst").status_code == 200
    assert served.get("/health").status_code == 200


def test_who_may_not_do_a_thing_is_counted_all_the_same(serve: Serve, company_store: Store) -> None:
    served = serve(company_store, key_rate=0.01, key_burst=2)
    assert [served.post("/v1/scores", "rep", json={}).status_code for _ in range(3)] == [
        403,
        403,
        429,
    ]


def test_guessing_keys_is_stopped_and_the_good_callers_of_the_address_are_not(
    serve: Serve, company_store: Store
) -> None:
    served = serve(company_store, stranger_rate=0.01, stranger_burst=5, key_cache_seconds=0.0)
    token, _ = sign_in(served, "ines", "analyst")
    cookie = {"Cookie": f"{SESSION_COOKIE}={token}"}
    assert served.get("/v1/model", "crm").status_code == 200
    for _ in range(20):
        assert served.client.get("/queue", headers=cookie).status_code == 200
    served.keys["guess"] = "pk_" + "0" * 40
    assert [served.get("/v1/model", "guess").status_code for _ in range(7)] == [401] * 5 + [429] * 2
    assert served.get("/v1/model", "crm").status_code == 200
    assert served.client.get("/queue", headers=cookie).status_code == 200
    # Pages without a session are a stranger's too.
    assert served.get("/sign-in", "anonymous").status_code == 429
    for path in ("/health", "/v2/health/ready", "/static/app.css"):
        assert served.get(path, "anonymous").status_code == 200


def test_a_person_is_counted_apart_from_keys(serve: Serve, company_store: Store) -> None:
    served = serve(company_store, person_rate=0.01, person_burst=2)
    token, _ = sign_in(served, "crm", "analyst")
    cookie: dict[str, Any] = {"Cookie": f"{SESSION_COOKIE}={token}"}
    given = [served.client.get("/v1/model", headers=cookie).status_code for _ in range(3)]
    assert given == [200, 200, 429]
    assert served.get("/v1/model", "crm").status_code == 200
    # A person gets a page that says so.
    page = served.client.get("/queue", headers={**cookie, "Accept": "text/html"})
    assert page.status_code == 429
    assert "<html" in page.text
    assert page.headers["retry-after"]


def test_every_answer_that_was_counted_says_so_once(served_lite: Served) -> None:
    for path, role in (("/v1/model", "crm"), ("/v1/model", "revoked"), ("/v1/scores", "rep")):
        answer = served_lite.get(path, role)
        assert len(answer.headers.get_list("ratelimit")) <= 1
