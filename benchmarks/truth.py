"""Is what we say true? Against the known probabilities of the simulated company.

    python -m benchmarks.truth [--leads 75000] [--seed 0] [--json]

A model learns from four of five leads and all that is known half a year before the end. It is asked
twice. `same_months`: the fifth lead, in the months whose outcomes have calibrated it; what is wrong
there, the learner or its calibration got wrong. Forward in time: every month from then on it scores
the leads that are open, `as_trained` and `followed`, with a calibration that follows what has become
known since; what is wrong on top of that, the world did, whose level falls by a third.

What it says is compared with the true probability of each lead, by band, segment and month, so that
no luck of outcomes is in the error: `error` is the root of the mean squared difference of the means
of twenty bands, and `debiased_error` the same without what the luck of who is in a band adds to it
(Bröcker 2012; rows of one lead count as several leads, so a little is left). The last line is one JSON
object.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.clock import DAY, iso, to_instant
from features.definition import Definition
from features.facts import Queries
from features.frames import Category, FeatureFrame, concatenate
from features.lifecycle import is_open
from features.pipeline import compute_features
from features.store.engine import Store
from features.store.files.load import load
from features.store.history import iter_facts
from features.store.migrate import upgrade
from models.propensity import PropensityModel
from models.workspace import Workspace
from training.calibrate import fit_calibrator
from training.config import TrainConfig
from training.dataset import Dataset, build_dataset, newest_cutoff
from training.forward import followed
from training.learn import learn
from training.run import plan
from training.simulate import Truth, simulate
from training.unseen import Unseen, wait_of

Floats = NDArray[np.float64]

MONTHS = 6
HELD_OUT = 0.2
BANDS = 20


def measure(leads: int, seed: int, scratch: Path, months: int = MONTHS) -> dict[str, Any]:
    """Simulate, train half a year before the end, score every month, compare with the truth."""
    simulate(scratch, leads=leads, events=20 * leads, seed=seed)
    workspace = Workspace.of(
        {
            "PROPENSITY_DATA_DIR": str(scratch),
            "PROPENSITY_DEFINITION": str(scratch / "definition.yaml"),
        }
    )
    store, definition, config = workspace.store, workspace.definition(), TrainConfig(seed=seed)
    upgrade(store)
    now = to_instant(datetime.now(UTC))
    load(store, definition, now=now, rejects=scratch / "rejects", directory=scratch)
    end = newest_cutoff(store)
    starts = [end - 30 * DAY * month for month in range(months, 0, -1)]
    everyone = build_dataset(
        store, definition, starts[0], most_leads=config.most_leads, seed=seed
    ).matured()
    others = np.random.default_rng(seed).random(int(everyone.lead.max()) + 1) < HELD_OUT
    known = everyone.take(np.flatnonzero(~others[everyone.lead]))
    (split,) = plan(known, definition, config)
    model = learn(known, split.lesson, definition, config).model
    truth = _Truths(Truth.of(scratch), definition.horizon_days or 90.0)
    found: list[dict[str, Any]] = []
    for start in starts:
        frame = _open_leads(store, definition, start)
        won = truth.of(frame)
        said = {
            "as_trained": model.score(frame).probability,
            "followed": _followed(
                store, definition, config, model, split.judge.rows, known, start, frame
            ),
        }
        found.append({"at": start, "frame": frame, "truth": won, "said": said})
    store.close()
    return {
        "leads": leads,
        "matured_leads": len(np.unique(known.lead)),
        "months": months,
        "same_months": _figures(
            _same_months(everyone, others, known, split.judge.rows, model, truth),
            "recalibrated",
            definition,
        ),
        **{name: _figures(found, name, definition) for name in ("as_trained", "followed")},
    }


@dataclass(frozen=True)
class _Truths:
    """The true probability of each row of a frame."""

    company: Truth
    horizon_days: float

    def of(self, frame: FeatureFrame) -> Floats:
        """Shape (n,)."""
        found = self.company.probability(
            frame.lead_ids, frame.as_of, horizon_days=self.horizon_days
        )
        return np.nan_to_num(found.won)


def _same_months(
    everyone: Dataset,
    others: NDArray[np.bool_],
    known: Dataset,
    judge: NDArray[np.int64],
    model: PropensityModel,
    truth: _Truths,
) -> list[dict[str, Any]]:
    """Leads nobody has learned from, month by month, after a calibration on these months."""
    seen = known.take(judge)
    calibration = fit_calibrator(
        model.raw(seen.frame), seen.y, groups=seen.lead, seed=0, start=model.calibrator
    ).calibrator
    found = []
    for at in np.unique(seen.as_of):
        rows = np.flatnonzero((everyone.as_of == at) & others[everyone.lead])
        frame = everyone.frame.take(rows)
        said = {"recalibrated": calibration.apply(model.raw(frame))}
        found.append({"at": int(at), "frame": frame, "truth": truth.of(frame), "said": said})
    return found


def _open_leads(store: Store, definition: Definition, at: int) -> FeatureFrame:
    """The features of all leads that are open at an instant."""
    parts = []
    with store.read() as connection:
        for facts in iter_facts(connection, definition, at):
            queries = Queries.at(np.arange(len(facts.lead_ids)), at)
            here = is_open(facts, queries, definition)
            parts.append(
                compute_features(
                    facts, Queries(queries.lead[here], queries.as_of[here]), definition
                )
            )
    return concatenate(parts)


def _followed(
    store: Store,
    definition: Definition,
    config: TrainConfig,
    model: PropensityModel,
    judge: NDArray[np.int64],
    known: Dataset,
    at: int,
    frame: FeatureFrame,
) -> Floats:
    """What the model says with a calibration of all that has become known by then."""
    later = build_dataset(
        store, definition, at, most_leads=config.most_leads, seed=config.seed
    ).matured()
    fresh = later.take(np.flatnonzero(later.as_of >= int(known.as_of[judge].min())))
    rows = Unseen(fresh, np.ones(len(fresh)))
    raw, wait = model.raw(fresh.frame), wait_of(model)
    (found,) = followed(raw, rows, model.calibrator, wait, np.array([at]))
    return found.calibrator.apply(model.raw(frame))


def _figures(found: Sequence[dict[str, Any]], name: str, definition: Definition) -> dict[str, Any]:
    said = np.concatenate([part["said"][name] for part in found])
    truth = np.concatenate([part["truth"] for part in found])
    frame = concatenate([part["frame"] for part in found])
    bands = np.array_split(np.argsort(said, kind="stable"), BANDS)
    gaps = np.array([np.mean(said[band] - truth[band]) for band in bands])
    luck = np.array([np.var(said[band] - truth[band], ddof=1) / len(band) for band in bands])
    return {
        "rows": len(said),
        "mean_said": round(float(said.mean()), 4),
        "mean_true": round(float(truth.mean()), 4),
        "error": round(float(np.sqrt(np.mean(gaps**2))), 5),
        "debiased_error": round(float(np.sqrt(max(np.mean(gaps**2 - luck), 0.0))), 5),
        "bands": [
            [round(float(said[band].mean()), 4), round(float(truth[band].mean()), 4)]
            for band in bands
        ],
        "months": {
            iso(part["at"])[:10]: [
                round(float(part["said"][name].mean()), 4),
                round(float(part["truth"].mean()), 4),
            ]
            for part in found
        },
        "segments": {
            segment: _by_level(frame.columns[f"attr_{segment}"], said, truth)
            for segment in definition.segments
        },
    }


def _by_level(column: object, said: Floats, truth: Floats) -> dict[str, list[float]]:
    assert isinstance(column, Category), "segments are categories"
    found = {}
    for code, level in enumerate(column.levels):
        rows = column.codes == code
        if rows.any():
            found[level] = [round(float(said[rows].mean()), 4), round(float(truth[rows].mean()), 4)]
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--leads", type=int, default=75_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="nothing but the JSON object")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        found = measure(chosen.leads, chosen.seed, Path(scratch))
    if not chosen.json:
        for name in ("same_months", "as_trained", "followed"):
            part = found[name]
            print(
                f"{name}: said {part['mean_said']:.4f}, true {part['mean_true']:.4f}, "
                f"error {part['error']:.5f}, debiased {part['debiased_error']:.5f}, "
                f"over {part['rows']:,} rows",
                file=sys.stderr,
            )
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
