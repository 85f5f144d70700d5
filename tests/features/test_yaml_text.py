"""Is a YAML text refused, with its line, when it says more than a person reads?"""

from __future__ import annotations

import re

import pytest
import yaml
from agreed import DEFINITION_TEXT
from hypothesis import example, given
from hypothesis import strategies as st

from features.definition import parse_definition
from features.errors import DefinitionError
from features.yaml_text import read_yaml, write_yaml

LAUGHS = "a: &a [lol, lol]\n" + "".join(
    f"{name}: &{name} [*{before}, *{before}]\n"
    for before, name in zip("abcdefghijklmnopqrstuvwxy", "bcdefghijklmnopqrstuvwxyz", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said", "line"),
    [
        (LAUGHS, "aliases", 1),
        ("name: a\nb: &x 1", "aliases", 2),
        ("name: a\nb: *x", "aliases", 2),
        ("name: a\nbase: {x: 1}\nc:\n  <<: {y: 2}", "plain word", 4),
        ("name: a\nbant: {}\nname: b", "'name' is there twice", 3),
        ("a: {b: 1, c: 2, 'b': 3}", "'b' is there twice", 1),
        ("a:\n- {x: 1}\n- {x: 1,\n   x: 2}", "'x' is there twice", 4),
        ("? [a, b]\n: 1", "plain word", 1),
        ("a: !!python/object/apply:os.system [id]", "tags", 1),
        ("a: !!timestamp x", "tags", 1),
        ("a: 1\nb: !!binary x", "tags", 2),
        ("!!set {a}", "tags", 1),
        ("a:\n  " + "[" * 100 + "]" * 100, "deeper", 2),
        ("[" * 100_000, "deeper", 1),
        ("a: " + "9" * 5_000, "digits", 1),
        ("a: 1" + ":59" * 50_000, "digits", 1),
        ("a: 1" + ":59" * 50_000 + ".5", "digits", 1),
        ("a: {", "expected", 1),
        ("a: 'b", "found unexpected end of stream", 1),
        ("a: 1\n---\nb: 2", "another document", 2),
    ],
)
def test_what_is_not_plain_is_refused_with_its_line(text: str, said: str, line: int) -> None:
    with pytest.raises(ValueError, match=re.escape(said)) as refusal:
        read_yaml(text)
    assert f"line {line}" in str(refusal.value) or said in (
        "expected",
        "found unexpected end of stream",
    )
    with pytest.raises(DefinitionError, match=r"deal\.yaml is not YAML that can be taken"):
        parse_definition(text, "deal.yaml")


@pytest.mark.parametrize("text", ["a: \x00", "a: \x07", "\ud800", "a: 0x_", "a: 0b_", "{a: [}"])
def test_what_is_no_yaml_at_all_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read_yaml(text)


def test_plain_texts_are_read_as_ever() -> None:
    assert read_yaml("a: [1, 2.5, No, true, 2024-01-01, null]\n'1': x\n1: y") == {
        "a": [1, 2.5, "No", True, "2024-01-01", None],
        "1": "x",
        1: "y",
    }
    assert read_yaml("! quoted") == "quoted"
    assert read_yaml(DEFINITION_TEXT)["name"]


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(plain)
def test_what_is_written_is_read_again_the_same(content: object) -> None:
    shared = {"once": content, "again": content}
    assert read_yaml(write_yaml(shared)) == shared


@given(st.text(st.sampled_from("a0 ,:'\"\\\n\r\x0b\x1c\x85\u2028\u2029"), max_size=8))
@example("0\x850")
def test_a_text_with_any_sign_that_ends_a_line_stays_on_its_own_and_comes_back(text: str) -> None:
    written = write_yaml({text: [text]})
    assert read_yaml(written) == {text: [text]}
    assert written.splitlines() == written.split("\n")[:-1]


@given(st.text(st.sampled_from("ab:-[]{}&*!|>'\"#%@,? \n\t<01_.x\ufeff\x85\ud800"), max_size=40))
@example("a: &a [*a]")
@example("%YAML 9.9\n---\na")
def test_whatever_is_read_is_read_as_yaml_or_refused_by_one_error(text: str) -> None:
    try:
        found = read_yaml(text)
    except ValueError:
        return
    assert isinstance(found, str | int | float | dict | list | None)


def test_a_definition_of_any_text_is_read_or_refused_by_our_error() -> None:
    @given(st.text(max_size=60) | plain.map(lambda content: yaml.safe_dump(content)))
    def check(text: str) -> None:
        try:
            parse_definition(text)
        except DefinitionError:
            return

    check()
