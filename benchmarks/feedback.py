"""What becomes of low bands when reps work what ranks high, and the model learns from that?

    python -m benchmarks.feedback [--rounds 8] [--leads 60000] [--seed 0] [--json]

Leads of the simulated company, with the features that the product makes of their facts and their true
probability of buying, come in rounds. A lead that is worked buys with that probability, one that is not
with a third of it. Before the first round, three leads in ten are worked by lot; from then on the three
tenths that the last model ranks highest, and the real learner (`training.learn`) is taught anew after
each round by all rounds so far:

- `naive`: from all outcomes as they came;
- `ours`: P(buys | worked) from those that were and those that were not (`training.loop.selection`),
  nothing explored;
- `ours_explore_05`, `ours_explore_10`: the same, and 5 or 10 % of the places are filled by lot.

After the last round each judges leads that nobody has seen: `low_band_ratio` is what is said over what
is true, P(buys | worked), of the half that it ranks lowest; `overall_ratio` the same of all;
`top30_win_rate` the true rate of the three tenths that it ranks highest. The last line is one JSON
object.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.clock import to_instant
from features.definition import Definition
from features.frames import FeatureFrame
from features.store.files.load import load
from features.store.migrate import upgrade
from models.propensity import PropensityModel
from models.workspace import Workspace
from training.config import TrainConfig
from training.dataset import Dataset, build_dataset, newest_cutoff
from training.learn import learn
from training.loop.selection import Attention, learn_if_worked
from training.simulate import Truth, simulate
from training.splits import grouped_lesson

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Rows = NDArray[np.int64]

CAPACITY = 0.3
"""The share of a round's leads that reps can work."""

NEGLECT = 1 / 3
"""What is left of the probability of a lead that nobody works."""

SCHOOLS = {"naive": None, "ours": 0.0, "ours_explore_05": 0.05, "ours_explore_10": 0.10}
"""Each way of learning by its share of places filled by lot; None: from all outcomes."""

BANDS = 5

EVENTS = 6
"""A lead, on average; fewer than of a real company, so that there is time for more leads."""

HISTORY = 3
"""Rounds' worth of leads from before anything scored."""

QUICK = {"leaves": (4,), "half_lives": (), "learning_rate": 0.1, "most_trees": 200}
"""The learner's choices that cost most time are made beforehand; its folds are those of any training,
because scores of held-out rows by models of half the rows would be of another scale than the model's."""


@dataclass(frozen=True)
class Company:
    """Leads with their features and true probabilities, one row each, in an order of no meaning."""

    definition: Definition
    dataset: Dataset
    truth: Floats

    def part(self, rows: Rows) -> FeatureFrame:
        """The features of some leads."""
        return self.dataset.frame.take(rows)


def company(leads: int, seed: int, scratch: Path) -> Company:
    """Simulate, import, and make the features of every lead at one instant drawn by lot."""
    simulate(scratch, leads=leads, events=EVENTS * leads, seed=seed)
    named = {
        "PROPENSITY_DATA_DIR": str(scratch),
        "PROPENSITY_DEFINITION": str(scratch / "definition.yaml"),
    }
    workspace = Workspace.of(named)
    store, definition = workspace.store, workspace.definition()
    upgrade(store)
    now = to_instant(datetime.now(UTC))
    load(store, definition, now=now, rejects=scratch / "rejects", directory=scratch)
    rows = build_dataset(store, definition, newest_cutoff(store), most_leads=10**9, seed=seed)
    store.close()
    horizon = definition.horizon_days or 90.0
    whole = Truth.of(scratch).probability(rows.frame.lead_ids, rows.as_of, horizon_days=horizon)
    lots = np.random.default_rng(seed).permutation(np.flatnonzero(np.isfinite(whole.won)))
    _, first = np.unique(rows.lead[lots], return_index=True)
    chosen = lots[np.sort(first)]
    return Company(definition, rows.take(chosen), whole.won[chosen])


def worked_round(
    rows: Rows, score: Floats | None, explored: float, rng: np.random.Generator
) -> Attention:
    """Whom the reps work in a round, and how probable that was: by lot where nothing scores yet."""
    n = len(rows)
    places = round(CAPACITY * n)
    by_lot = places if score is None else round(explored * places)
    order = rng.permutation(n) if score is None else np.argsort(-score, kind="stable")
    sure, rest = order[: places - by_lot], order[places - by_lot :]
    worked, chance = np.zeros(n, dtype=bool), np.zeros(n)
    worked[sure] = worked[rng.choice(rest, by_lot, replace=False)] = True
    chance[sure], chance[rest] = 1.0, by_lot / len(rest)
    return Attention(worked, chance)


@dataclass(frozen=True)
class School:
    """A way of learning, played through all rounds."""

    firm: Company
    config: TrainConfig
    explored: float | None

    def play(self, rounds: Sequence[Rows], rng: np.random.Generator) -> PropensityModel:
        """The model after the last round."""
        model: PropensityModel | None = None
        seen: list[Rows] = []
        told: list[tuple[Attention, Floats]] = []
        for rows in rounds:
            score = None if model is None else model.raw(self.firm.part(rows))
            attention = worked_round(rows, score, self.explored or 0.0, rng)
            chance = self.firm.truth[rows] * np.where(attention.worked, 1.0, NEGLECT)
            seen.append(rows)
            told.append((attention, (rng.random(len(rows)) < chance).astype(np.float64)))
            model = self._taught(seen, told)
        assert model is not None, "there is at least one round"
        return model

    def _taught(
        self, seen: Sequence[Rows], told: Sequence[tuple[Attention, Floats]]
    ) -> PropensityModel:
        """A model of all rounds so far."""
        known = self.firm.dataset.take(np.concatenate(seen))
        won = np.concatenate([y for _, y in told]).astype(np.int64)
        dataset = replace(known, y=won, lead=np.arange(len(won)), follow=None)
        lesson = grouped_lesson(dataset.lead, np.arange(len(won)), self.config)
        if self.explored is not None:
            attention = Attention(
                np.concatenate([one.worked for one, _ in told]),
                np.concatenate([one.chance for one, _ in told]),
            )
            return learn_if_worked(
                dataset, lesson, attention, self.firm.definition, self.config
            ).model
        return learn(dataset, lesson, self.firm.definition, self.config).model


def judged(model: PropensityModel, frame: FeatureFrame, truth: Floats) -> dict[str, Any]:
    """What a model says of leads nobody has seen, against the truth."""
    scores = model.score(frame)
    order = np.argsort(scores.raw, kind="stable")
    low, top = order[: len(order) // 2], order[-round(CAPACITY * len(order)) :]
    said = scores.probability
    return {
        "low_band_ratio": round(float(said[low].mean() / truth[low].mean()), 3),
        "overall_ratio": round(float(said.mean() / truth.mean()), 3),
        "top30_win_rate": round(float(truth[top].mean()), 4),
        "bands": [
            [round(float(said[band].mean()), 4), round(float(truth[band].mean()), 4)]
            for band in np.array_split(order, BANDS)
        ],
    }


def in_rounds(rows: Rows, rounds: int) -> list[Rows]:
    """The leads of the time before anything scored, and those of each round."""
    parts = np.array_split(rows, rounds + HISTORY)
    return [np.concatenate(parts[:HISTORY]), *parts[HISTORY:]]


def measure(
    rounds: int, leads: int, seed: int, schools: Sequence[str] = tuple(SCHOOLS)
) -> dict[str, Any]:
    """Play all schools on the same leads and the same rounds."""
    with tempfile.TemporaryDirectory() as scratch:
        firm = company(leads, seed, Path(scratch))
    judge, learnt = np.split(np.arange(len(firm.truth)), [len(firm.truth) // 5])
    parts = in_rounds(learnt, rounds)
    config = TrainConfig(seed=seed, **QUICK)
    found: dict[str, Any] = {"rounds": rounds, "leads": len(firm.truth), "seed": seed}
    for name in schools:
        school = School(firm, config, SCHOOLS[name])
        model = school.play(parts, np.random.default_rng(seed + 1))
        found[name] = judged(model, firm.part(judge), firm.truth[judge])
        print(name, {k: v for k, v in found[name].items() if k != "bands"}, file=sys.stderr)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--leads", type=int, default=60_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="nothing but the JSON object")
    chosen = parser.parse_args(arguments)
    print(json.dumps(measure(chosen.rounds, chosen.leads, chosen.seed)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
