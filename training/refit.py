"""How does a model learn from the rows that judged it? It is fitted once more, on all there are.

A training keeps its newest quarter to judge by, and the horizons between the pieces. Where outcomes grow
quickly that is the better half of what is known. Rule: what was judged stays a model of its own, and
every question of evidence is asked of it – figures, comparisons, the past that a calibration is fitted
to (`training.unseen.raw_unseen`); the refit answers only for rows it has not learned from (docs/decisions/0036).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from features.clock import iso
from models.bundle import write_bundle
from models.card import model_card
from models.propensity import PropensityModel
from models.workspace import Workspace
from training.about import about_data, about_learner, summary
from training.dataset import Dataset
from training.golden import golden_rows
from training.learn import learn, to_level
from training.learning_curve import config_of
from training.probe import late_values
from training.run import Watching, catalogue, look_for_leakage
from training.splits import Bounds, Fold, Lesson, Piece, pieces
from training.unseen import bounds_of, matured_rows


def refit(
    workspace: Workspace, digest: str, *, now: int, watching: Watching | None = None
) -> str | None:
    """Fit a judged model once more on all matured rows; the digest, or None where nothing is left to learn.

    It keeps the calibrator it was trained with, and its level: what was said of the rows that judged it
    is, in the mean, what the refit says of them. So outcomes that have come since the training calibrate
    it like the model that was judged.

    Args:
        workspace: the installation.
        digest: of a trained model.
        now: the present instant, recorded as the bundle's creation.
        watching: told how it goes.

    Raises:
        NotEnoughEvidenceError: there are no rows any more.
        LeakageError: a column has come to know the outcome.
    """
    watching = watching or Watching()
    judged = workspace.registry.load(digest)
    bounds = bounds_of(judged)
    if bounds is None:
        return None
    watching.step("fitting once more on all rows")
    model, matured = _fitted(workspace, judged, bounds, now)
    made = write_bundle(
        model,
        workspace.bundles,
        created_at=now,
        origin="refit",
        golden=golden_rows(matured.frame),
        card=model_card(model.about),
        parent=digest,
    )
    workspace.registry.add(made, summary(dict(model.about)))
    catalogue(workspace, made, model, None, "refit", watching.warn)
    return made


def _fitted(
    workspace: Workspace, judged: PropensityModel, bounds: Bounds, now: int
) -> tuple[PropensityModel, Dataset]:
    definition, config = judged.definition, config_of(dict(judged.about["config"]))
    matured = matured_rows(workspace, definition)
    late = late_values(workspace.store, definition, matured.cutoff)
    look_for_leakage(matured, definition, config, late)
    fit, calibrate, held = pieces(matured, bounds)
    before = Lesson((Fold(fit, calibrate),)).everything
    whole = Piece.plain(np.arange(len(matured)))
    learned = learn(matured, Lesson((Fold(before, held),), whole), definition, config)
    frame = matured.frame.take(held.rows)
    shift = to_level(learned.model.raw(frame), judged.raw(frame), held.weight)
    learner = learned.model.learner
    through = int(matured.as_of.max())
    about = {
        **judged.about,
        "data": about_data(matured, definition),
        "learner": about_learner(learned, matured),
        "refit": {"judged": judged.digest, "at": iso(now), "through_instant": through},
    }
    return (
        replace(
            learned.model,
            learner=replace(learner, shift=learner.shift + shift),
            calibrator=judged.calibrator,
            about=about,
        ),
        matured,
    )
