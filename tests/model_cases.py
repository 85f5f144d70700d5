"""Which models do the checks run over? Learned ones of two companies, with every kind of calibrator."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
from agreed import NOW, agreed
from model_checks import Case
from models_made import LEADS, company, made_model
from trained_company import END, trained_company

from features.clock import DAY
from features.facts import Queries
from features.gather import FactsBuilder
from features.pipeline import compute_features
from features.store.history import iter_open
from models.calibrators import Adjusted, Beta, Identity, Isotonic, Offset, Platt, VennAbers
from training.config import TrainConfig
from training.dataset import Dataset
from training.learn import learn
from training.splits import grouped_lesson

CONFIG = TrainConfig()
ISOTONIC = Isotonic((-3.0, -2.0, 0.0), (0.02, 0.1, 0.6))
CALIBRATORS = {
    "identity": Identity(),
    "offset": Offset(-0.4),
    "platt": Platt(0.7, -0.3),
    "flat platt": Platt(0.0, -2.0),
    "beta": Beta(0.8, 1.4, 0.2),
    "isotonic": ISOTONIC,
    "adjusted": Adjusted(ISOTONIC, 0.8, -0.3),
    "venn_abers": VennAbers((-3.0, -1.0, 0.0), (0.0, 0.1, 0.4), (0.1, 0.3, 0.9)),
}


@cache
def simulated() -> Case:
    """A model trained on the simulated company, about leads that are open half a year before its end."""
    home = trained_company()
    model, as_of = home.model(), END - 180 * DAY
    with home.read_only().store.read() as connection:
        facts, queries = next(iter_open(connection, model.definition, as_of))
    return Case(model, facts, Queries(queries.lead[:600], queries.as_of[:600]))


@cache
def office(config: TrainConfig = CONFIG) -> Case:
    """A model learned with everything that the agreed definition has, rising numbers among it."""
    facts = FactsBuilder.of_records(agreed(), company()).build()
    queries = Queries.at(np.arange(LEADS), NOW)
    frame = compute_features(facts, queries, agreed())
    budget = np.nan_to_num(np.asarray(frame.columns["bant_budget_allocated_sales"]))
    size = np.nan_to_num(np.log1p(np.asarray(frame.columns["attr_employees"])))
    odds = 2.5 * budget + 0.4 * size - 3.0
    y = (np.random.default_rng(3).random(LEADS) < 1 / (1 + np.exp(-odds))).astype(np.int64)
    dataset = Dataset(frame, np.arange(LEADS), y, np.where(y == 1, 0, 2), NOW)
    lesson = grouped_lesson(np.arange(LEADS), np.arange(LEADS), config)
    return Case(learn(dataset, lesson, agreed(), config).model, facts, queries)


@cache
def unranked() -> Case:
    """A booster that was fitted without regard for any ranking."""
    facts = FactsBuilder.of_records(agreed(), company()).build()
    return Case(made_model().model, facts, Queries.at(np.arange(LEADS), NOW), ranked=False)


CASES = {
    "simulated": simulated,
    "office": office,
    "unranked": unranked,
    **{
        f"office, {name}": (
            lambda calibrator=calibrator: replace(
                office(), model=replace(office().model, calibrator=calibrator)
            )
        )
        for name, calibrator in CALIBRATORS.items()
    },
}
