"""How far would another sample of leads have moved a score? Measured by two learners that share none.

Two learners fitted to halves of the leads differ by twice the variance of either, and half the leads
give twice the variance of all: a quarter of the squared difference has the mean of the variance sought.
It is explained by what the additive part knows of each value's support, so that a lead with seldom
values gets a wider interval than a common one (half-sampling: McCarthy 1969).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from models.blend import Spread
from training.fit_linear import RATE_SPREAD

Floats = NDArray[np.float64]

_NINE_OF_TEN = 0.9
_NORMAL_REACH = 1.6448536269514722
"""Standard deviations that hold 90 % of a normal distribution."""

AGREED_SPREAD = Spread(RATE_SPREAD**2, 1.0, _NORMAL_REACH)
"""Of a model that few outcomes or none have tested: what its priors say, as if errors were normal."""


def measure_spread(one: Floats, other: Floats, terms: Floats) -> Spread:
    """The spread of a learner fitted to all leads, from two fitted to half of them each.

    Args:
        one: log-odds that the one says of rows that neither has seen, shape (n,).
        other: what the other says of them.
        terms: the sum of the terms' variances of the learner in question, shape (n,).
    """
    squared = (one - other) ** 2 / 4.0
    # Relative errors count alike: large variances must not decide alone.
    scale = 1.0 / np.maximum(terms, np.median(terms) + 1e-12)
    design = np.column_stack([np.ones(len(terms)), terms]) * scale[:, None]
    constant, factor = nnls(design, squared * scale)[0]
    variance = np.maximum(constant + factor * terms, 1e-12)
    reach = float(np.quantile(np.sqrt(squared / variance), _NINE_OF_TEN))
    return Spread(float(constant), float(factor), max(reach, _NORMAL_REACH))
