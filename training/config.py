"""How is a model trained? The choices that are not the lead definition's, with their defaults."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """The choices of one training run.

    Attributes:
        seed: of everything that is drawn.
        judge_share: share of the rows, the newest, that judges; never learned from.
        calibrate_share: share of the remaining rows, the newest, that calibrates and stops.
        folds: for histories without time, how many grouped folds judge.
        most_leads: with more leads than this, a seeded sample of them is learned from.
        least_wins: fewer won rows than this are nothing to learn from.
        rarest_level: levels of a category with fewer rows are read as *not known*.
        leaves: numbers of leaves per tree to try, simplest first.
        learning_rate: of the boosting.
        most_trees: at the most.
        patience: trees without progress on later rows after which boosting stops.
        half_lives: over which rows may lose half of their weight, as shares of the history.
        immature: whether rows may be learned from whose horizon is not over, by weight
            (`training.delay`).
        allow_leakage: columns that may pass the leakage probe although it named them.
    """

    seed: int = 0
    judge_share: float = 0.25
    calibrate_share: float = 0.2
    folds: int = 5
    most_leads: int = 100_000
    least_wins: int = 20
    rarest_level: int = 10
    leaves: tuple[int, ...] = (2, 4, 12)
    learning_rate: float = 0.05
    most_trees: int = 600
    patience: int = 50
    half_lives: tuple[float, ...] = (0.5,)
    immature: bool = False
    allow_leakage: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
