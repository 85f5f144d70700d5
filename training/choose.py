"""Which of these settings? The first that is no worse than the best beyond its standard error.

Settings come with the preferred one first; what each says of rows that its fit has not seen is
compared in pairs, lead by lead (the one-standard-error rule of Breiman et al. 1984, section 3.4.3).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.fit import Rows, row_losses, weighted_log_loss
from training.intervals import clustered_error, group_codes

Floats = NDArray[np.float64]


def preferred(said: Sequence[Floats], held: Rows, errors: float = 1.0) -> int:
    """The position of the setting to take.

    Args:
        said: log-odds of each setting on the held-out rows, the preferred setting first.
        held: those rows.
        errors: how many standard errors it takes to leave a preferred setting.
    """
    losses = [weighted_log_loss(raw, held) for raw in said]
    best = int(np.argmin(losses))
    codes, share = group_codes(held.lead, len(held.y)), held.weight / held.weight.sum()
    for i, raw in enumerate(said):
        worse = row_losses(raw, held.y) - row_losses(said[best], held.y)
        mean = float((worse * share).sum())
        if mean <= errors * clustered_error((worse - mean) * share, codes):
            return i
    return best
