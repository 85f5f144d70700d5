"""Which figures does an expression of Prometheus ask for? The part of the language that our alarms use.

A grammar of its own, because Prometheus' `promtool` is not a Python package. What it does not know it
refuses, so an expression that is taken is one that Prometheus takes as well.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""\s*(?:(?P<number>\d+(?:\.\d+)?)(?![\w.])|(?P<name>[a-zA-Z_]\w*)|(?P<text>"[^"\\]*")
    |(?P<range>\[\d+[smhdw]\])|(?P<sign>==|!=|=~|!~|>=|<=|[-+*/<>=(){},]))""",
    re.VERBOSE,
)
_RATES = {"rate", "increase", "delta"}
_PLAIN = {"time": (0, 0), "hour": (0, 0), "absent": (1, 1), "histogram_quantile": (2, 2)}
_SUMS = {"sum", "max", "min", "count"}
_LEVELS = ({"or"}, {"and", "unless"}, {"==", "!=", ">", "<", ">=", "<="}, {"+", "-"}, {"*", "/"})


@dataclass(frozen=True)
class Asked:
    """A figure that is asked for: `matchers` are label, operator and value."""

    name: str
    matchers: tuple[tuple[str, str, str], ...]
    has_range: bool


class Expression:
    """An expression that was read.

    Attributes:
        asked: the figures it asks for.
        grouped: the labels that it groups or matches by.

    Raises:
        ValueError: it is not one.
    """

    def __init__(self, text: str) -> None:
        self._tokens, at = [], 0
        while at < len(text.rstrip()):
            found = _TOKEN.match(text, at)
            if found is None:
                raise ValueError(f"{text[at:]!r} cannot be read")
            self._tokens.append((found.lastgroup or "", found[found.lastgroup or 0]))
            at = found.end()
        self.asked: list[Asked] = []
        self.grouped: set[str] = set()
        self._binary(0)
        if self._tokens:
            raise ValueError(f"{self._tokens[0][1]!r} is too much")

    def _binary(self, level: int) -> None:
        if level == len(_LEVELS):
            self._operand()
            return
        self._binary(level + 1)
        while self._peek() in _LEVELS[level]:
            self._take()
            if self._peek() in ("on", "ignoring"):
                self._take()
                self._labels()
            self._binary(level + 1)

    def _operand(self) -> None:
        sort, word = self._take()
        if word == "(":
            self._binary(0)
            self._expect(")")
        elif sort == "name" and word in _SUMS:
            if self._peek() == "by":
                self._take()
                self._labels()
            self._arguments(1, 1)
        elif sort == "name" and word in _RATES:
            before = len(self.asked)
            self._arguments(1, 1)
            if not self.asked[before:] or not self.asked[before].has_range:
                raise ValueError(f"{word} needs a range")
        elif sort == "name" and self._peek() == "(":
            if word not in _PLAIN:
                raise ValueError(f"there is no function {word}")
            self._arguments(*_PLAIN[word])
        elif sort == "name":
            self._selector(word)
        elif sort != "number":
            raise ValueError(f"{word!r} is out of place")

    def _selector(self, name: str) -> None:
        matchers = []
        if self._peek() == "{":
            self._take()
            while self._peek() != "}":
                label, operator, value = (self._take()[1] for _ in range(3))
                if operator not in ("=", "!=", "=~", "!~") or not value.startswith('"'):
                    raise ValueError(f"{label} {operator} {value} is no matcher")
                matchers.append((label, operator, value.strip('"')))
                if self._peek() != "}":
                    self._expect(",")
            self._take()
        has_range = bool(self._tokens) and self._tokens[0][0] == "range"
        if has_range:
            self._take()
        self.asked.append(Asked(name, tuple(matchers), has_range))

    def _arguments(self, least: int, most: int) -> None:
        self._expect("(")
        n = 0
        while self._peek() != ")":
            if n:
                self._expect(",")
            self._binary(0)
            n += 1
        self._take()
        if not least <= n <= most:
            raise ValueError(f"{n} arguments, {least} to {most} are wanted")

    def _labels(self) -> None:
        self._expect("(")
        while self._peek() != ")":
            sort, word = self._take()
            if sort != "name":
                raise ValueError(f"{word!r} is no label")
            self.grouped.add(word)
            if self._peek() != ")":
                self._expect(",")
        self._take()

    def _peek(self) -> str:
        return self._tokens[0][1] if self._tokens else ""

    def _take(self) -> tuple[str, str]:
        if not self._tokens:
            raise ValueError("it ends too early")
        return self._tokens.pop(0)

    def _expect(self, word: str) -> None:
        if self._take()[1] != word:
            raise ValueError(f"{word!r} is missing")
