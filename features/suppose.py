"""What would be known of a lead if it had just answered? Its facts again, with one answer more each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from features.facts import Facts, Happenings, Ints, Queries


def suppose(
    facts: Facts, lead: int, as_of: int, answers: Sequence[tuple[int, int]]
) -> tuple[Facts, Queries]:
    """The lead as it is, and as it would be with each of the answers.

    Args:
        facts: what is known.
        lead: the lead's position in `facts`.
        as_of: the instant asked about; the answers come just before it.
        answers: n pairs (position of the question, position of the level) in the definition.

    Returns:
        Facts of n + 1 leads of the same name, the first as it is, and a query for each.
    """
    times = len(answers) + 1
    versions = np.flatnonzero(facts.versions.lead == lead)
    given = [(i + 1, as_of - 1, as_of - 1, *answer) for i, answer in enumerate(answers)]
    supposed = Facts(
        lead_ids=(facts.lead_ids[lead],) * times,
        versions=_again(facts.versions, versions, times),
        attributes=facts.attributes.take(np.tile(versions, times)),
        answers=_with(_again(facts.answers, _of(facts.answers, lead), times), Happenings.of(given)),
        events=_again(facts.events, _of(facts.events, lead), times),
        stages=_again(facts.stages, _of(facts.stages, lead), times),
    )
    return supposed, Queries.at(np.arange(times), as_of)


def _of(happenings: Happenings, lead: int) -> Ints:
    return np.flatnonzero(happenings.lead == lead)


def _again(happenings: Happenings, rows: Ints, times: int) -> Happenings:
    """These rows for each of so many leads."""
    tiled = np.tile(rows, times)
    return Happenings(
        np.repeat(np.arange(times), len(rows)),
        happenings.occurred_at[tiled],
        happenings.recorded_at[tiled],
        happenings.code[tiled],
        happenings.detail[tiled],
    )


def _with(one: Happenings, more: Happenings) -> Happenings:
    return Happenings(
        *(
            np.concatenate([getattr(one, name), getattr(more, name)])
            for name in ("lead", "occurred_at", "recorded_at", "code", "detail")
        )
    )
