"""What does a plain request ask? Read in one go, where nothing can be wrong with it.

Rule: what is read here is what `serving.limits.parse_json`, `serving.contracts` and `serving.records`
would have read; anything else, a mistake above all, is None here and theirs to read.
"""

from __future__ import annotations

from typing import Any

import orjson

from features.quality import NO_ADDRESS, is_plain
from serving.lead_score import Ask, Scorer
from serving.plain_leads import plain_leads

_KEYS = frozenset({"lead", "attributes", "kind"})
_KINDS = frozenset({"prospect", "client"})


def plain_ask(body: bytes, scorer: Scorer, most_keys: int, now: int) -> Ask | None:
    """What a body asks at the present instant; None where it takes a closer look.

    Args:
        body: as it came; with no more values and levels than a request may have.
        scorer: what will score.
        most_keys: of one object.
        now: the present instant.
    """
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if type(given) is not dict or not _KEYS.issuperset(given):
        return None
    lead = given.get("lead")
    if not lead or not is_plain(lead) or lead in NO_ADDRESS:
        return None
    attributes, kind = given.get("attributes"), given.get("kind")
    if attributes is None and kind is None:
        return Ask(lead, now) if _is_each_named_once(body, given) else None
    told = {} if attributes is None else attributes
    if (
        type(told) is not dict
        or len(told) > most_keys
        or not _is_each_named_once(body, given, told)
    ):
        return None
    return _described(lead, "prospect" if kind is None else kind, told, scorer, now)


def _described(
    lead: str, kind: object, attributes: dict[str, Any], scorer: Scorer, now: int
) -> Ask | None:
    """A lead that brings what is known of it."""
    definition = scorer.model.definition
    # Facts are checked by the definition that is agreed on now, features made with the model's.
    if type(kind) is not str or kind not in _KINDS or definition.hash != scorer.agreed.hash:
        return None
    plain = plain_leads(definition).read(kind, attributes)
    return None if plain is None else Ask(lead, now, plain=plain)


def _is_each_named_once(body: bytes, *objects: dict[str, Any]) -> bool:
    """Whether no key of these objects was given twice, of which a reader tells nothing; False: perhaps.

    Each key is followed by a colon, so where there are as many colons as keys were read, none was lost.
    """
    return body.count(b":") == sum(map(len, objects))
