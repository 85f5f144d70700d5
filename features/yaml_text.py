"""What does a YAML text say? Plain content only, in which every key and word means what a person reads.

YAML can repeat a part by an alias (a kilobyte that unfolds into gigabytes), name a key twice (the last
one wins, unseen) and make objects by tags. None of these is needed here; each is refused, with its line.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

_DEEPEST = 30
"""Levels of nesting; a definition has eight."""
_LONGEST_NUMBER = 30
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


def read_yaml(text: str) -> Any:
    """The content of one YAML document.

    Raises:
        ValueError: it is not YAML, or more than plain content; says what and in which line.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a subclass of SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" (line {mark.line + 1})" if mark else ""
        raise ValueError(f"{error.problem or error.context}{where}") from error
    except yaml.YAMLError as error:
        raise ValueError(f"it holds signs that no text has: {error}".splitlines()[0]) from error
    except (ValueError, ArithmeticError) as error:
        raise ValueError(f"a number is none: {error}") from error
    except RecursionError as error:
        raise ValueError(f"it is nested deeper than {_DEEPEST} levels") from error


def write_yaml(content: Any) -> str:
    """Plain content as a YAML text that `read_yaml` reads again, keys in their order."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


class _Loader(yaml.SafeLoader):
    """YAML whose only booleans are true and false, and whose dates stay text: `No` is an answer."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """A node; none that repeats another, is told what it is, or lies too deep."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise _refused("anchors and aliases are not taken; write the part out", event)
        if event.tag is not None and event.tag != "!":
            raise _refused("tags are not taken", event)
        if self._depth == _DEEPEST:
            raise _refused(f"it is nested deeper than {_DEEPEST} levels", event)
        self._depth += 1
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping; none that names a key twice."""
        seen = set()
        for key, _ in node.value:
            name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else None
            if name is None or key.tag == "tag:yaml.org,2002:merge":
                raise _refused("a key must be a plain word", key)
            if name in seen:
                raise _refused(f"the key {key.value[:60]!r} is there twice", key)
            seen.add(name)
        return super().construct_mapping(node, deep)

    def construct_scalar(self, node: Any) -> Any:
        """A word or a number; none that takes long to work out."""
        if node.tag in _NUMBERS and len(node.value) > _LONGEST_NUMBER:
            raise _refused(f"a number has at most {_LONGEST_NUMBER} digits", node)
        return super().construct_scalar(node)


def _refused(why: str, at: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=why, problem_mark=at.start_mark)


class _Dumper(yaml.SafeDumper):
    """The writer that belongs to `_Loader`; quoting more than it must does no harm."""

    def ignore_aliases(self, _: Any) -> bool:
        """Write a part that is there twice out twice."""
        return True


def _quoted(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """A text on one line: an end of line, as Unicode knows several, would come back as another."""
    style = '"' if any(end in text for end in _ENDS) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_ENDS = ("\n", "\r", "\x85", "\u2028", "\u2029")
_Dumper.add_representer(str, _quoted)

_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag not in ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|false|True|False)$"), list("tTfF")
)
