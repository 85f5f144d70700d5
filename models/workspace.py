"""Where is everything of one installation? Data directory, database, definition, models, MLflow.

    PROPENSITY_DATA_DIR    everything below, by default `var`
    PROPENSITY_DATABASE    an SQLAlchemy URL, by default SQLite in the data directory
    PROPENSITY_DEFINITION  the lead definition, by default `definition.yaml` in the data directory
    PROPENSITY_SOURCES     the file of outcome sources, by default `sources.yaml` beside the definition
    PROPENSITY_MLFLOW      MLflow's tracking URI, by default SQLite in the data directory; `off`: none

    PROPENSITY_LEASE_SECONDS    how long work waits for a process that died doing it, by default 60

Nothing is read from the environment at import: the command line does it once and hands it on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from features.definition import Definition, read_definition
from features.errors import InputError
from features.store.engine import Store
from features.store.leases import TERM_SECONDS
from models.registry import Registry

_SHORTEST_TERM = 3.0


@dataclass(frozen=True)
class Workspace:
    """One installation.

    Attributes:
        data_dir: absolute path of the data directory.
        database_url: SQLAlchemy URL of the store.
        definition_path: the lead definition's file.
        mlflow_uri: where training runs are tracked.
        sources_file: the file of outcome sources; None: `sources.yaml` beside the definition.
        lease_seconds: the term of leases: how long work waits for a process that died doing it.
    """

    data_dir: Path
    database_url: str = field(repr=False)
    definition_path: Path
    mlflow_uri: str = field(repr=False)
    sources_file: Path | None = None
    lease_seconds: float = TERM_SECONDS

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Workspace:
        """The installation that these environment variables describe.

        Raises:
            InputError: `PROPENSITY_LEASE_SECONDS` is no number of seconds, or too few.
        """
        data_dir = Path(environment.get("PROPENSITY_DATA_DIR") or "var").resolve()
        return cls(
            data_dir=data_dir,
            database_url=environment.get("PROPENSITY_DATABASE")
            or f"sqlite:///{data_dir / 'propensity.db'}",
            definition_path=Path(
                environment.get("PROPENSITY_DEFINITION") or data_dir / "definition.yaml"
            ),
            mlflow_uri=environment.get("PROPENSITY_MLFLOW")
            or f"sqlite:///{data_dir / 'mlflow.db'}",
            sources_file=Path(named) if (named := environment.get("PROPENSITY_SOURCES")) else None,
            lease_seconds=_lease_seconds(environment.get("PROPENSITY_LEASE_SECONDS") or ""),
        )

    @cached_property
    def store(self) -> Store:
        """The database of facts, scores and decisions."""
        return Store(self.database_url)

    @cached_property
    def registry(self) -> Registry:
        """The models."""
        return Registry(self.store, self.bundles)

    @property
    def is_catalogued(self) -> bool:
        """Whether trainings and decisions are told to MLflow as well."""
        return self.mlflow_uri != "off"

    @property
    def bundles(self) -> Path:
        """The directory of all bundles."""
        return self.data_dir / "bundles"

    @property
    def backups(self) -> Path:
        """The directory of the daily copies, and of what is remembered of erasures."""
        return self.data_dir / "backups"

    @property
    def sources_path(self) -> Path:
        """The file that says where outcomes are fetched from."""
        return self.sources_file or self.definition_path.with_name("sources.yaml")

    def definition(self) -> Definition:
        """The lead definition as it stands in its file now."""
        return read_definition(self.definition_path)


def _lease_seconds(given: str) -> float:
    """The term as it was given; below three seconds a slow disk would look like a dead holder."""
    try:
        seconds = float(given or TERM_SECONDS)
    except ValueError:
        seconds = math.nan
    if not _SHORTEST_TERM <= seconds < math.inf:
        raise InputError(
            f"PROPENSITY_LEASE_SECONDS is {given!r}",
            hint=f"It must be a number of seconds, {_SHORTEST_TERM:g} or more.",
        )
    return seconds
