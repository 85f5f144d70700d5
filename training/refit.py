"""How does a model learn from the rows that judged it? It is fitted once more, on all there are.

A training keeps its newest quarter to judge by, and the horizons between the pieces. Where outcomes grow
quickly that is the better half of what is known. Rule: what was judged stays a model of its own, and
answers for the rows that the refit has learned from (`training.unseen.raw_unseen`) – in figures,
comparisons and calibrations; the refit answers for no others than new ones (docs/decisions/0037).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from features.clock import iso
from models.bundle import write_bundle
from models.calibrators import Calibrator, adjusted
from models.card import model_card
from models.propensity import PropensityModel
from models.workspace import Workspace
from training.about import about_calibration, about_data, about_learner, summary
from training.dataset import Dataset
from training.golden import golden_rows
from training.learn import learn, to_level
from training.learning_curve import config_of
from training.probe import late_values
from training.run import Watching, catalogue, look_for_leakage
from training.splits import Bounds, Fold, Lesson, Piece, pieces
from training.unseen import as_trained, bounds_of, is_agreed, judged_as, matured_rows

Floats = NDArray[np.float64]


def refit(
    workspace: Workspace, digest: str, *, now: int, watching: Watching | None = None
) -> str | None:
    """Fit a judged model once more on all matured rows; its digest, or None where none was kept back.

    Leaves, trees, weights and calibration are chosen by the rows that judged; then all rows are fitted
    on, those between the pieces too. The judged model's scores of what it alone has not learned from are
    kept on the level of the refit, so that a later calibration does not correct a level that the refit
    has learned already.

    Args:
        workspace: the installation.
        digest: of a model; of a refit, the model that was judged is fitted once more.
        now: the present instant, recorded as the bundle's creation.
        watching: told how it goes.

    Raises:
        NotEnoughEvidenceError: there are no rows any more.
        LeakageError: a column has come to know the outcome.
    """
    watching = watching or Watching()
    judged = workspace.registry.load(judged_as(workspace.registry.load(digest)))
    bounds = bounds_of(judged)
    if bounds is None or is_agreed(judged):
        return None
    watching.step("fitting once more on all rows")
    fitted = _fitted(workspace, judged, bounds, now)
    if fitted is None:
        return None
    model, matured = fitted
    made = write_bundle(
        model,
        workspace.bundles,
        created_at=now,
        origin="refit",
        golden=golden_rows(matured.frame),
        card=model_card(model.about),
        parent=judged.digest,
    )
    workspace.registry.add(made, summary(dict(model.about)))
    catalogue(workspace, made, model, None, "refit", watching.warn)
    return made


def _fitted(
    workspace: Workspace, judged: PropensityModel, bounds: Bounds, now: int
) -> tuple[PropensityModel, Dataset] | None:
    """The model and its rows; None where none of those that judged is left to take the level from."""
    definition, config = judged.definition, config_of(dict(judged.about["config"]))
    matured = matured_rows(workspace, definition)
    late = late_values(workspace.store, definition, matured.cutoff)
    look_for_leakage(matured, definition, config, late)
    fit, calibrate, held = pieces(matured, bounds)
    if len(held.rows) == 0:
        return None
    before = Lesson((Fold(fit, calibrate),)).everything
    whole = Piece.plain(np.arange(len(matured)))
    learned = learn(matured, Lesson((Fold(before, held),), whole), definition, config)
    frame = matured.frame.take(held.rows)
    apart = judged.raw(frame)
    level = to_level(apart, learned.model.raw(frame), held.weight)
    start = _on_level(as_trained(judged), apart, level, held.weight)
    about = {
        **{name: said for name, said in judged.about.items() if name != "learned_from"},
        "data": about_data(matured, definition),
        "learner": about_learner(learned, matured),
        "calibration": about_calibration(learned, now)
        | {"through_instant": int(frame.as_of.max()), "as_trained": start.to_json()},
        "refit": {
            "judged": judged.digest,
            "at": iso(now),
            "through_instant": int(matured.as_of.max()),
            "level": level,
        },
    }
    return replace(learned.model, about=about), matured


def _on_level(calibrator: Calibrator, raw: Floats, level: float, weight: Floats) -> Calibrator:
    """What says of scores moved by `level`, in the mean, what the calibrator says of them unmoved."""
    before, after = (logit(calibrator.apply(one)) for one in (raw, raw + level))
    return adjusted(calibrator, 1.0, to_level(after, before, weight))
