"""How is the service run? Every choice of the one who operates it, with its default and its reason.

Read from the environment (`PROPENSITY_…`) when an instance is made, never at import. Where data,
database and definition are is said by `models.workspace`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from features.store.trials import Rules

MIB = 2**20


class Settings(BaseSettings):
    """The settings of one running service."""

    model_config = SettingsConfigDict(env_prefix="PROPENSITY_", extra="ignore", frozen=True)

    host: str = Field(default="127.0.0.1", description="Address to listen on; 0.0.0.0 for all.")
    port: int = Field(default=8000, ge=1, le=65_535, description="Port to listen on.")
    max_body_bytes: int = Field(
        default=MIB, ge=1_024, description="Largest body of a request about one lead, in bytes."
    )
    max_bulk_bytes: int = Field(
        default=32 * MIB,
        ge=1_024,
        description="Largest body of a request about many leads, in bytes.",
    )
    body_seconds: float = Field(
        default=30.0,
        gt=0,
        description="Longest silence of a sender in the middle of a body, in seconds.",
    )
    body_deadline_seconds: float = Field(
        default=120.0, gt=0, description="Longest time for a whole body to come, in seconds."
    )
    header_seconds: float = Field(
        default=10.0,
        gt=0,
        description="Longest time for the headers of a request to come, in seconds.",
    )
    keep_alive_seconds: int = Field(
        default=75,
        ge=1,
        description="How long a connection may rest between two requests, in seconds. Longer than the "
        "load balancer keeps it, or requests meet a connection that is just being closed.",
    )
    answer_seconds: float = Field(
        default=60.0,
        gt=0,
        description="Longest time in which a reader takes nothing of an answer, in seconds.",
    )
    max_rows: int = Field(default=10_000, ge=1, description="Most rows of one request.")
    max_keys: int = Field(default=1_000, ge=10, description="Most keys of one JSON object.")
    max_values: int = Field(
        default=2_000_000,
        ge=100,
        description="Most values in one body; bounds the memory a body can take.",
    )
    max_depth: int = Field(default=20, ge=5, description="Deepest nesting of a JSON body.")
    secure_cookies: bool = Field(
        default=False,
        description="Send cookies over HTTPS only; switch on wherever HTTPS is spoken.",
    )
    champion_poll_seconds: float = Field(
        default=1.0, gt=0, description="How often to look whether another model was promoted."
    )
    without_model: Literal["refuse", "agreed"] = Field(
        default="refuse",
        description="What answers while no model can: nothing (503), or the agreed scorecard.",
    )
    queue_refresh_minutes: float = Field(
        default=720.0,
        gt=0,
        description="Oldest age of a score in the queue before all are scored anew.",
    )
    refresh_queue: bool = Field(
        default=True, description="Whether this process keeps the queue's scores fresh."
    )
    explore_share: float = Field(
        default=0.0,
        ge=0,
        le=0.5,
        description="Share of the first places of a list that goes to leads from further down, by a "
        "lot of the day, so that low bands go on being observed; 0.05 to 0.1 is usual.",
    )
    holdout_share: float = Field(
        default=0.0,
        ge=0,
        le=0.5,
        description="Share of the leads whose place does not follow their score, by a lot of their "
        "own, so that `propensity holdout` can tell what the scoring brings.",
    )
    first_places: int = Field(
        default=50,
        ge=1,
        le=1_000,
        description="How many places of a list are the first ones: about what a rep works in a day.",
    )
    ledger_durability: Literal["durable", "queued"] = Field(
        default="durable",
        description="`durable`: a score is answered once the ledger has it on disk; `queued`: at once, "
        "and up to `ledger_queue` scores are lost if the process is killed.",
    )
    ledger_queue: int = Field(
        default=10_000,
        ge=100,
        description="Scores that may wait to be written into the ledger; above, 503 is answered.",
    )
    stale_model_days: float = Field(
        default=180.0, gt=0, description="Age of a model above which every score carries a warning."
    )
    key_cache_seconds: float = Field(
        default=1.0, ge=0, le=1, description="How long a revoked key may still be accepted."
    )
    max_connections: int = Field(
        default=1_000,
        ge=1,
        description="Connections at once; above, the one idle for longest is closed, or 503 answered.",
    )
    max_in_flight: int = Field(
        default=256, ge=1, description="Requests at once; above, 503 is answered at once."
    )
    max_bulk_in_flight: int = Field(
        default=8, ge=1, description="Requests about many leads at once; others wait ten seconds."
    )
    key_rate: float = Field(
        default=2_000.0, ge=0, description="Requests a second of one key for ever; 0: no limit."
    )
    key_burst: int = Field(default=10_000, ge=1, description="Requests of one key at once.")
    person_rate: float = Field(
        default=20.0, ge=0, description="Requests a second of one person for ever; 0: no limit."
    )
    person_burst: int = Field(default=200, ge=1, description="Requests of one person at once.")
    stranger_rate: float = Field(
        default=10.0,
        ge=0,
        description="Requests a second of one address without a good key or session; 0: no limit.",
    )
    stranger_burst: int = Field(
        default=200,
        ge=1,
        description="Requests at once of one address without a good key or session.",
    )
    session_idle_minutes: float = Field(
        default=60.0,
        gt=0,
        le=720,
        description="Minutes without a request after which a session ends.",
    )
    trusted_proxies: str = Field(
        default="127.0.0.1",
        description="Addresses or networks, with commas, whose X-Forwarded-For and -Proto are believed.",
    )
    hosts: str = Field(
        default="",
        description="Names, with commas, by which the service may be addressed; empty: by any.",
    )
    hsts_seconds: int = Field(
        default=0,
        ge=0,
        description="How long browsers are to insist on HTTPS; 31536000 wherever HTTPS is spoken.",
    )
    log_level: str = Field(
        default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="Least severity to log."
    )

    @property
    def rules(self) -> Rules:
        """How lists are put in order."""
        return Rules(self.explore_share, self.holdout_share, self.first_places)
