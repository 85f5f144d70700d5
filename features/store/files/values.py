"""What does a cell say? Text into numbers and truth values, as its column writes them.

A cell that does not fit raises `ValueError` with a message for people. How a column writes decimals is
settled once per column (`features.store.files.styles`), never cell by cell: `1,234` alone cannot tell.
"""

from __future__ import annotations

import math
import re
from typing import Literal

Decimal = Literal[".", ","]

TRUE = frozenset(
    ["true", "t", "yes", "y", "1", "1.0", "on", "x", "ja", "j", "wahr", "oui", "si", "sí"]
)
"""Texts that mean yes, in lower case."""
FALSE = frozenset(["false", "f", "no", "n", "0", "0.0", "off", "nein", "falsch", "non"])
"""Texts that mean no, in lower case."""

LONGEST = 60
"""Characters of the longest number or date; patterns never see longer texts, which could stall them."""

_CURRENCY = r"(?:[€$£¥₹]|EUR|USD|CHF|GBP|US\$)"
_PLAIN = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)


def _grouped(decimal: str, group: str) -> re.Pattern[str]:
    """A number with an optional sign, currency, percent sign and thousands in threes."""
    return re.compile(
        rf"(?P<open>\()?\s*(?P<sign>[+\-−]?)\s*{_CURRENCY}?\s*(?P<sign2>[-−]?)"
        rf"(?P<whole>\d{{1,3}}(?:(?P<g>[{group} \u00a0\u202f'’])\d{{3}})(?:(?P=g)\d{{3}})*|\d*)"
        rf"(?:{re.escape(decimal)}(?P<part>\d*))?(?P<power>[eE][+-]?\d{{1,3}})?"
        rf"\s*(?:%|{_CURRENCY})?\s*(?P<close>\))?",
        re.ASCII,
    )


_WRITTEN = {".": _grouped(".", ","), ",": _grouped(",", ".")}


def number(text: str, decimal: Decimal = ".") -> float:
    """A number as people write it: `1 234,5`, `€ 1,000.50`, `12 %` (12), `(5)` (−5).

    Args:
        text: the cell, without surrounding blanks.
        decimal: the column's decimal sign; the other one, blanks and apostrophes group thousands.

    Raises:
        ValueError: it is no finite number.
    """
    value = float(text) if decimal == "." and _PLAIN.fullmatch(text) else _number(text, decimal)
    if not math.isfinite(value):
        raise ValueError("must be a finite number")
    return value


def _number(text: str, decimal: Decimal) -> float:
    found = _WRITTEN[decimal].fullmatch(text) if len(text) <= LONGEST else None
    if (
        not found
        or not (found["whole"] or found["part"])
        or bool(found["open"]) != bool(found["close"])
    ):
        raise ValueError(f"must be a number with {decimal!r} before the decimals")
    whole = re.sub(r"\D", "", found["whole"]) or "0"
    size = float(f"{whole}.{found['part'] or '0'}{found['power'] or ''}")
    negative = bool(found["open"]) or any(found[sign] in ("-", "−") for sign in ("sign", "sign2"))
    return -size if negative else size


def boolean(text: str) -> bool:
    """Yes or no, in the ways English, German and some other exports write it.

    Raises:
        ValueError: it is neither.
    """
    lower = text.lower()
    if lower in TRUE:
        return True
    if lower in FALSE:
        return False
    raise ValueError("must be yes or no (true/false, 1/0, y/n)")


def decimal_evidence(text: str) -> str:
    """What a cell tells about its column's decimal sign.

    Returns:
        `.` or `,` where only that sign can be meant; `?.` or `?,` where the sign that is there may
        also group thousands (`1.234`); empty where neither is there.
    """
    core = re.sub(r"[^\d.,]", "", text)
    signs = [sign for sign in core if sign in ".,"]
    if not signs:
        return ""
    last, other = signs[-1], "," if signs[-1] == "." else "."
    if len(set(signs)) == 2:
        return last
    if len(signs) > 1:
        return other
    whole, _, part = core.partition(last)
    return f"?{last}" if len(part) == 3 and 1 <= len(whole) <= 3 and whole[0] != "0" else last
