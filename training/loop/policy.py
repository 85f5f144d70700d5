"""What does the loop do with what it sees? The choices, each with its reason.

Evidence decides: these say when it is worth looking for some, and keep one night's luck from being
acted on twice. None of them makes a model champion; `training.verdicts` does.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """When the loop looks for evidence, and how often it may change what scores.

    Attributes:
        rest_days: between two changes of the model, a roll-back excepted: people who work with the
            numbers have to know which ones.
        fresh_outcomes: deals recorded since the last calibration was tried before another is, even
            when nothing is alarming: a level that moves is followed before it alarms (decision 0033).
        try_days: between two tries, however many deals close: a look that finds nothing costs one, too.
        more_outcomes: a challenger is trained once the deals have grown by this share since the newest
            was (decision 0037): often in a young company, seldom in an old one.
        retrain_days: between two challengers, whatever is said: until the next cohorts mature, another
            one would learn from the same outcomes.
        look_again: an undecided challenger is looked at again once its evidence has grown by this
            share: the number of looks, and with it the chance of luck, stays small.
        probation_days: beyond the wait for outcomes, how long a promoted model is held against the one
            before it when an alarm is raised.
    """

    rest_days: float = 21.0
    fresh_outcomes: int = 50
    try_days: float = 7.0
    more_outcomes: float = 0.05
    retrain_days: float = 28.0
    look_again: float = 0.25
    probation_days: float = 90.0
