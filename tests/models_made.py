"""A small real model for tests of whoever uses one: a made company, LightGBM, Platt, a bundle on disk.

Not a good model: its leads and outcomes are drawn here, so that it needs no training package.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import lightgbm as lgb
import numpy as np
from agreed import DEFINITION_TEXT, NOW, agreed
from on_record import decide

from features.clock import DAY
from features.definition import Definition
from features.facts import Answer, Event, LeadVersion, Queries, Record, StageChange, Value
from features.frames import FeatureFrame
from features.gather import FactsBuilder
from features.pipeline import build_catalog, compute_features
from features.store.engine import Store
from features.store.ingest import ingest
from features.store.promotions import Decision, bundle_files
from models.blend import Blend, Spread
from models.bundle import write_bundle
from models.calibrators import Platt
from models.encoder import Encoder
from models.propensity import PropensityModel
from models.trees import Trees
from models.workspace import Workspace
from training.fit import Rows
from training.fit_linear import Prior, fit_linear

OWNERS = ("anna", "ben", None)
LEADS = 240
CLOSED = frozenset(range(0, LEADS, 12))
"""Leads that were lost long ago."""
MADE_AT = NOW - 30 * DAY


def lead_id(i: int) -> str:
    """The id of the i-th lead of the company."""
    return f"L-{i:04d}"


@cache
def company() -> tuple[Record, ...]:
    """Everything known about the company's leads; the last fact is a day old."""
    draw = np.random.default_rng(20260501)
    definition = agreed()
    return tuple(fact for i in range(LEADS) for fact in _facts(i, definition, draw))


def _facts(i: int, definition: Definition, draw: np.random.Generator) -> list[Record]:
    lead, opened = lead_id(i), NOW - int(draw.integers(20, 300)) * DAY
    industry = [None, "Retail", "Software", "No", "Öffentlich"][int(draw.integers(5))]
    attributes: dict[str, Value] = {
        "industry": industry,
        "city": ["Bonn", "Köln", "Trier"][int(draw.integers(3))],
        "employees": float(draw.integers(1, 5_000)) if draw.random() < 0.8 else None,
        "growth": float(draw.normal()) if draw.random() < 0.7 else None,
        "newsletter": bool(draw.random() < 0.4),
        "founded": float(opened - int(draw.integers(300, 9_000)) * DAY),
        "age": float(draw.integers(18, 80)),
    }
    times = {"occurred_at": opened, "recorded_at": opened + int(draw.integers(1, DAY))}
    facts: list[Record] = [
        LeadVersion(
            lead=lead,
            attributes=attributes,
            kind="client" if draw.random() < 0.2 else "prospect",
            owner=OWNERS[i % len(OWNERS)],
            name=f"Company {i}",
            **times,
        )
    ]
    for question in definition.questions:
        if draw.random() < 0.6:
            at = opened + int(draw.integers(DAY, 10 * DAY))
            answer = question.levels[int(draw.integers(len(question.levels)))]
            facts.append(
                Answer(
                    lead=lead,
                    question=question.name,
                    answer=answer,
                    occurred_at=at,
                    recorded_at=at,
                )
            )
    kinds = [kind.name for kind in definition.engagement.kinds]
    for _ in range(int(draw.poisson(6))):
        at = opened + int(draw.integers(0, NOW - DAY - opened))
        late = at if draw.random() < 0.9 else min(at + int(draw.integers(DAY)), NOW - DAY)
        facts.append(
            Event(
                lead=lead,
                kind=kinds[int(draw.integers(len(kinds)))],
                channel=[None, "web", "email"][int(draw.integers(3))],
                occurred_at=at,
                recorded_at=late,
            )
        )
    if i in CLOSED:
        at = opened + 15 * DAY
        facts.append(StageChange(lead=lead, stage="lost", occurred_at=at, recorded_at=at))
    return facts


@dataclass(frozen=True)
class Made:
    """A fitted model and the rows it was fitted on."""

    model: PropensityModel
    frame: FeatureFrame


@cache
def made_model(seed: int = 1, trees: int = 20) -> Made:
    """A booster of few trees with a Platt calibrator; another seed gives another booster."""
    definition = agreed()
    facts = FactsBuilder.of_records(definition, company()).build()
    frame = compute_features(facts, Queries.at(np.arange(LEADS), NOW), definition)
    encoder = Encoder.fit(frame, [spec.name for spec in build_catalog(definition)])
    draw = np.random.default_rng(seed)
    activity = np.nan_to_num(np.asarray(frame.columns["ev_any_ever"], dtype=np.float64))
    budget = np.nan_to_num(np.asarray(frame.columns["bant_budget_allocated_sales"]))
    logits = 0.4 * (activity - activity.mean()) + 2.0 * budget - 1.0
    label = (draw.random(LEADS) < 1 / (1 + np.exp(-logits))).astype(float)
    training = lgb.Dataset(
        encoder.matrix(frame),
        label,
        feature_name=encoder.names,
        categorical_feature=encoder.categorical,
    )
    params = {
        "objective": "binary",
        "num_leaves": 6,
        "min_data_in_leaf": 10,
        "learning_rate": 0.2,
        "verbosity": -1,
        "num_threads": 1,
        "seed": seed,
        "deterministic": True,
    }
    booster = lgb.train(params, training, num_boost_round=trees)
    model = PropensityModel(
        definition=definition,
        encoder=encoder,
        learner=blended(definition, Trees(booster.model_to_string()), encoder, frame, label),
        calibrator=Platt(slope=1.1, intercept=-0.2),
        about={"rows": LEADS, "warnings": []},
    )
    return Made(model, frame)


def blended(
    definition: Definition,
    trees: Trees,
    encoder: Encoder,
    frame: FeatureFrame,
    label: np.ndarray,
) -> Blend:
    """The trees and an additive part of the same rows, unevenly weighted, with a spread."""
    n = len(label)
    rows = Rows(encoder.matrix(frame), label, np.ones(n), np.arange(n), np.zeros(n, dtype=np.int64))
    by_name = {spec.name: spec for spec in build_catalog(definition)}
    specs = [by_name[name] for name in encoder.names]
    prior = Prior(None, np.full(len(specs), 0.05))
    linear = fit_linear(rows, encoder, specs, prior)
    return Blend(linear, trees, 0.4, shift=0.1, spread=Spread(0.01, 0.5, 1.7))


def put_bundle(
    workspace: Workspace,
    seed: int = 1,
    created_at: int = MADE_AT,
    *,
    origin: str = "train",
    parent: str | None = None,
) -> str:
    """Write a model as a bundle and make it known; gives its digest."""
    made = made_model(seed)
    digest = write_bundle(
        made.model,
        workspace.bundles,
        created_at=created_at,
        origin=origin,
        golden=made.frame.take(np.arange(4)),
        card=f"# Model of seed {seed}\n\nMade for tests.\n",
        parent=parent,
    )
    workspace.registry.add(digest, {})
    return digest


def forget_bytes(workspace: Workspace) -> None:
    """Let the disk hold the only copy of every bundle, as before the database kept them."""
    with workspace.store.write() as connection:
        connection.execute(bundle_files.delete())


def promote(workspace: Workspace, digest: str, kind: Decision = "promote") -> None:
    """Let a model score from now on, or whatever else is decided about it."""
    decide(workspace.store, digest, kind)


def fill(store: Store, definition: Definition) -> None:
    """Put the company's facts into a store."""
    with store.write() as connection:
        report = ingest(connection, company(), definition, NOW)
    assert not report.problems, report.problems


def workspace_of(store: Store, home: Path) -> Workspace:
    """An installation around this store, with a lead definition and no model."""
    path = home / "definition.yaml"
    path.write_text(DEFINITION_TEXT, encoding="utf-8")
    return Workspace(
        data_dir=home,
        database_url=store.url.render_as_string(hide_password=False),
        definition_path=path,
        mlflow_uri="",
    )
