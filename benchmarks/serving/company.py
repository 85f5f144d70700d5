"""What is served? An installation with one promoted model of 300 trees x 31 leaves on 75 columns.

Made through our own public functions in a directory of its own: a definition, a bundle, a promotion, a
key. Leads and outcomes are drawn here, because speed depends on the model's shape and not on its truth.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.clock import DAY
from features.definition import Definition, parse_definition
from features.facts import LeadVersion, Queries, Value
from features.gather import FactsBuilder
from features.pipeline import build_catalog, compute_features
from features.store.ingest import ingest
from features.store.keys import create_key
from features.store.migrate import upgrade
from features.store.promotions import DecisionRecord, record_decision
from models.blend import Blend, Spread
from models.bundle import write_bundle
from models.calibrators import Platt
from models.encoder import Encoder
from models.propensity import PropensityModel
from models.trees import Trees
from models.workspace import Workspace
from training.config import TrainConfig
from training.fit import Rows, fit_trees
from training.fit_linear import Prior, fit_linear

Floats = NDArray[np.float64]

NUMBERS, CATEGORIES, LEVELS = 60, 15, 12
ROWS = 20_000
ASKED = 1_000
"""Leads that are asked about, in turn."""

_SEED = 20_260_501
_WEIGHT = 0.4


@dataclass(frozen=True)
class Company:
    """What the servers serve, and what they are asked.

    Attributes:
        home: the installation's data directory.
        key: of a machine that may score.
        attributes: of each lead asked about: 75 values by name.
        matrix: the same leads as peers read them, shape (leads, 75): codes, NaN for *not known*.
        names: of the matrix's columns.
        booster: LightGBM's text, the same for all.
    """

    home: Path
    key: str
    attributes: list[dict[str, Value]]
    matrix: Floats
    names: list[str]
    booster: str

    def stored_lead(self, i: int) -> str:
        """The id under which the i-th lead is in the store."""
        return f"S-{i}"


def make_company(
    home: Path, rows: int = ROWS, trees: int = 300, leaves: int = 31, *, reads_files: bool = False
) -> Company:
    """Set an installation up in an empty directory, also for files of leads: some 20 seconds."""
    text = _definition_text() + (_SOURCE if reads_files else "")
    (home / "definition.yaml").write_text(text, encoding="utf-8")
    workspace = Workspace.of({"PROPENSITY_DATA_DIR": str(home)})
    upgrade(workspace.store)
    definition, now = workspace.definition(), time.time_ns() // 1_000
    draw = np.random.default_rng(_SEED)
    leads = [as_attributes(draw) for _ in range(rows)]
    model, matrix = _model(definition, leads, now, draw, trees, leaves)
    _promote(workspace, model, leads, now)
    with workspace.store.write() as connection:
        key = create_key(connection, "benchmark", "crm", now)
        stored = [_version(f"S-{i}", one, now - DAY) for i, one in enumerate(leads[:ASKED])]
        assert not ingest(connection, stored, definition, now).problems
    workspace.store.close()
    trees_text = model.learner.trees.text if model.learner.trees else ""
    return Company(home, key, leads[:ASKED], matrix[:ASKED], model.encoder.names, trees_text)


def payload(company: Company, i: int) -> dict[str, Any]:
    """What our service is asked about the i-th lead, all facts sent along."""
    return {"lead": f"P-{i}", "attributes": company.attributes[i]}


def as_json(content: Any) -> bytes:
    """JSON as a client sends it."""
    return json.dumps(content, separators=(",", ":")).encode()


def _definition_text() -> str:
    numbers = [f"  - {{name: n{i:02d}, type: number}}" for i in range(NUMBERS)]
    categories = [f"  - {{name: c{i:02d}, type: category}}" for i in range(CATEGORIES)]
    head = ["name: benchmark", "horizon_days: 90", "attributes:"]
    return "\n".join([*head, *numbers, *categories, ""])


_SOURCE = "\n".join(
    [
        "sources:",
        "  - file: leads.parquet",
        "    lead: lead",
        "    attributes:",
        *(f"      n{i:02d}: n{i:02d}" for i in range(NUMBERS)),
        *(f"      c{i:02d}: c{i:02d}" for i in range(CATEGORIES)),
        "",
    ]
)


def as_attributes(draw: np.random.Generator) -> dict[str, Value]:
    """One lead: 60 numbers and 15 categories, a tenth of them not known."""
    numbers = np.round(draw.normal(50.0, 20.0, NUMBERS), 3)
    codes = draw.integers(0, LEVELS, CATEGORIES)
    known = draw.random(NUMBERS + CATEGORIES) < 0.9
    found: dict[str, Value] = {}
    for i, value in enumerate(numbers.tolist()):
        found[f"n{i:02d}"] = value if known[i] else None
    for i, code in enumerate(codes.tolist()):
        found[f"c{i:02d}"] = f"level {code}" if known[NUMBERS + i] else None
    return found


def _version(lead: str, attributes: dict[str, Value], at: int) -> LeadVersion:
    return LeadVersion(lead=lead, occurred_at=at, recorded_at=at, attributes=attributes)


def _model(
    definition: Definition,
    leads: list[dict[str, Value]],
    now: int,
    draw: np.random.Generator,
    trees: int,
    leaves: int,
) -> tuple[PropensityModel, Floats]:
    """A blend of an additive part and trees that read the 75 attributes; and the leads' matrix."""
    records = [_version(str(i), one, now - DAY) for i, one in enumerate(leads)]
    facts = FactsBuilder.of_records(definition, records).build()
    frame = compute_features(facts, Queries.at(np.arange(len(leads)), now), definition)
    specs = [spec for spec in build_catalog(definition) if spec.fact.startswith("attribute:")]
    encoder = Encoder.fit(frame, [spec.name for spec in specs])
    matrix = encoder.matrix(frame)
    rows = _rows(matrix, draw)
    config = TrainConfig()
    boosted = Trees(fit_trees(rows, encoder, specs, leaves, trees, config))
    linear = fit_linear(rows, encoder, specs, Prior(None, np.full(len(specs), 0.05)))
    blend = Blend(linear, boosted, _WEIGHT, spread=Spread(0.01, 0.5, 1.7, len(leads)))
    model = PropensityModel(definition, encoder, blend, Platt(slope=0.9, intercept=-0.1))
    return model, matrix


def _rows(matrix: Floats, draw: np.random.Generator) -> Rows:
    """Outcomes of 5 % that depend on many columns, so that the trees grow as they may."""
    n = len(matrix)
    told = np.nan_to_num((matrix - np.nanmean(matrix, axis=0)) / np.nanstd(matrix, axis=0))
    logits = told @ draw.normal(0.0, 0.25, matrix.shape[1]) + 0.3 * told[:, 0] * told[:, 1] - 3.3
    won = (draw.random(n) < 1.0 / (1.0 + np.exp(-logits))).astype(np.float64)
    return Rows(matrix, won, np.ones(n), np.arange(n), np.zeros(n, dtype=np.int64))


def _promote(
    workspace: Workspace, model: PropensityModel, leads: list[dict[str, Value]], now: int
) -> None:
    records = [_version(str(i), one, now - DAY) for i, one in enumerate(leads[:4])]
    facts = FactsBuilder.of_records(model.definition, records).build()
    golden = compute_features(facts, Queries.at(np.arange(4), now), model.definition)
    digest = write_bundle(
        model,
        workspace.bundles,
        created_at=now,
        origin="train",
        golden=golden,
        card="# Benchmark\n",
    )
    workspace.registry.add(digest, {})
    decision = DecisionRecord(
        decided_at=now,
        decision="promote",
        bundle=digest,
        against=None,
        decided_by="benchmark",
        reason="to be measured",
        evidence={},
    )
    with workspace.store.write() as connection:
        record_decision(connection, decision)


def read_definition_of(company: Company) -> Definition:
    """The company's lead definition."""
    return parse_definition((company.home / "definition.yaml").read_text(encoding="utf-8"))
