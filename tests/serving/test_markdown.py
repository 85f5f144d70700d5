"""Is a card read as it was written? Its words all come out, and never as anything but text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import characters

from models.card import model_card
from serving.markdown import Block, Span, parse, spans


def text_of(block: Block) -> str:
    """All words of a block in their order."""
    lines = [block.text, *block.items, *block.head, *(cell for row in block.rows for cell in row)]
    return " ".join("".join(span.text for span in line) for line in lines)


def test_each_block_of_a_card_is_understood() -> None:
    card = """# Title

A paragraph that
goes on, **strong** and `code`.

- one
- two
  and more
1. three

| Figure | Value |
| --- | ---: |
| AUC | 0.76 |

```
x = 1
```
"""
    kinds = [block.kind for block in parse(card)]
    assert kinds == ["heading", "paragraph", "list", "table", "code"]
    heading, paragraph, items, table, code = parse(card)
    assert (heading.level, text_of(heading)) == (1, "Title")
    assert paragraph.text[1:] == [
        Span("strong", "strong"),
        Span(" and "),
        Span("code", "code"),
        Span("."),
    ]
    assert [text_of(Block("paragraph", item)) for item in items.items] == [
        "one",
        "two and more",
        "three",
    ]
    assert [span.text for cell in table.head for span in cell] == ["Figure", "Value"]
    assert [[span.text for span in cell] for cell in table.rows[0]] == [
        [Span("AUC").text],
        ["0.76"],
    ]
    assert text_of(code) == "x = 1"


@given(st.text(alphabet=characters(exclude_categories=["Cs"]), max_size=300))
def test_any_text_at_all_is_read_without_an_error(text: str) -> None:
    for block in parse(text):
        text_of(block)


@given(st.text(alphabet="ab #*`|-<>&\n", max_size=200))
def test_no_letter_is_lost(text: str) -> None:
    def letters(of: str) -> str:
        return "".join(sign for sign in of if sign in "ab<>&")

    fences = text.count("```")
    if fences == 0:
        assert letters("".join(text_of(block) for block in parse(text))) == letters(text)


@given(st.text(alphabet="ab*`", max_size=60))
def test_marks_are_taken_off_in_pairs_only(text: str) -> None:
    rebuilt = "".join(
        {"strong": "**{}**", "code": "`{}`", "plain": "{}"}[span.look].format(span.text)
        for span in spans(text)
    )
    assert rebuilt == text


def test_the_cards_that_training_writes_are_understood_whole() -> None:
    about = {
        "name": "office", "horizon_days": 90.0, "warnings": ["few outcomes"],
        "data": {"rows": 10, "leads": 9, "wins": 2, "base_rate": 0.2, "from": None, "through": None,
                 "fingerprint": "f" * 64, "labels": {"won": 2}},
        "judged": {"figures": None, "how": "too little"},
        "learner": {"trees": 3, "leaves": 4, "columns": 5},
        "calibration": {"name": "none", "reason": "too few."},
        "left_out": {"sensitive": ["age"]},
    }  # fmt: skip
    blocks = parse(model_card(about))
    assert {block.kind for block in blocks} == {"heading", "paragraph", "list", "table"}
    assert not [block for block in blocks if block.kind == "paragraph" and "|" in text_of(block)]
