"""What scores where no model was promoted, if that is wanted? What marketing and sales have agreed.

The same number that training starts from before there are outcomes: the expected win rate, moved by the
agreed score. It is labelled *agreed, not learned* in every answer, and refuses where nothing is agreed.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np

from features.bant import AGREED
from features.definition import Definition
from features.errors import NoModelError
from models.blend import Blend
from models.calibrators import Identity
from models.encoder import EncodedColumn, Encoder
from models.linear import Linear, Term
from models.propensity import PropensityModel

AGREED_SLOPE = 2.0
"""Log-odds between a lead of average answers and one of the best, before outcomes have a say."""

AGREED_WORDS = "agreed, not learned: no outcome has a say in this number"


def agreed_model(definition: Definition) -> PropensityModel:
    """The agreed scorecard as a model; its digest is of the definition and of what it says.

    Raises:
        NoModelError: the definition expects no win rate, or ranks no answers.
    """
    rate = definition.expected_win_rate
    if rate is None or not definition.questions:
        raise NoModelError(
            "there is no model, and nothing is agreed that could score instead",
            hint="State `expected_win_rate` and ranked questions in the lead definition, or train.",
        )
    term = Term(AGREED, (-1.0, 1.0), (-AGREED_SLOPE, AGREED_SLOPE), 0.0, (0.0, 0.0), 0.0)
    linear = Linear(float(np.log(rate / (1 - rate))), (term,))
    said = json.dumps([definition.hash, linear.to_json()], sort_keys=True)
    return PropensityModel(
        definition=definition,
        encoder=Encoder((EncodedColumn(AGREED),)),
        learner=Blend(linear, None, 1.0),
        calibrator=Identity(),
        about={"warnings": [AGREED_WORDS], "learner": {"kind": "agreed"}, "data": {"rows": 0}},
        digest=hashlib.sha256(said.encode()).hexdigest(),
    )
