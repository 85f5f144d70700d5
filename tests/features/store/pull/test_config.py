"""Is a file of sources read as it is meant, and everything that is wrong with it told at once?"""

from __future__ import annotations

from pathlib import Path

import pytest
from agreed import NOW

from features.clock import iso
from features.errors import DefinitionError
from features.store.pull.config import parse_sources, read_sources
from features.store.pull.mapping import Reader

EXAMPLES = Path(__file__).parents[4] / "examples" / "sources"

WRONG = """
format: 1
sources:
  crm:
    kind: sql
    url_env: crm_url
    query: DELETE FROM deals; SELECT 1
    changed: updated
    timezone: Mars/Olympus
    overlap_minutes: -5
    fields: {id: id, lead: lead, ending: stage, colour: red}
    endings: {won: [x], lost: [X]}
  hub:
    kind: rest
    url: http://crm.example.com/deals
    paging: {kind: cursor}
    fields: {id: id, lead: lead}
  other:
    kind: soap
"""


def test_everything_that_is_wrong_is_told_with_its_value_and_its_place() -> None:
    with pytest.raises(DefinitionError) as failure:
        parse_sources(WRONG, "sources.yaml")
    said = {problem.field: (problem.value, problem.message) for problem in failure.value.problems}
    assert said["sources.crm.url_env"][0] == "'crm_url'"
    assert (
        "one statement" in said["sources.crm.query"][1] or "SELECT" in said["sources.crm.query"][1]
    )
    assert "no time zone" in said["sources.crm.timezone"][1]
    assert said["sources.crm.overlap_minutes"][0] == "-5"
    assert "sources.crm.fields.colour" in said
    assert "two endings" in said["sources.crm.endings"][1]
    assert "needs `cursor`" in said["sources.hub.paging"][1]
    assert "sources.hub.fields.ending" in said
    assert "sources.other" in said


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ftp://x/y", "must begin with https"),
        ("http://x/y", "must be https"),
        ("https://me:pw@x/y", "must hold no user"),
    ],
)
def test_an_address_is_https_and_holds_no_secret(address: str, said: str) -> None:
    text = f"""
format: 1
sources:
  hub: {{kind: rest, url: "{address}", fields: {{id: id, lead: lead, ending: stage}}}}
"""
    with pytest.raises(DefinitionError) as failure:
        parse_sources(text)
    assert said in failure.value.problems[0].message


def test_a_file_that_is_not_there_or_not_yaml_is_told(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="cannot be read"):
        read_sources(tmp_path / "none.yaml")
    with pytest.raises(DefinitionError, match="is not YAML"):
        parse_sources("a: &x 1\nb: *x")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_examples_hold_together(path: Path) -> None:
    assert read_sources(path)


ROWS = """
format: 1
sources:
  crm:
    kind: rest
    url: https://crm.example.com/deals
    timezone: Europe/Berlin
    fields:
      {id: id, lead: who.0, ending: stage, closed_at: closed, amount: amount, reason: why,
       merged_into: into}
    endings: {won: [Closed Won], lost: [Closed Lost], void: [Deleted], open: [Open]}
"""


def test_rows_are_read_as_the_file_says_and_a_bad_one_spoils_nothing() -> None:
    read = Reader(parse_sources(ROWS)["crm"], NOW)
    base = {"id": 7, "who": [12, "Ada"], "stage": "closed won", "closed": "2026-04-01 02:30"}
    told = read(
        [
            base | {"amount": "1,000.50"},
            base | {"id": 8.0, "stage": "Closed Lost", "why": "Duplicate"},
            base | {"id": "9", "stage": "Closed Lost", "why": "Price", "amount": 3},
            base | {"id": 10, "stage": "Open", "closed": False},
            base | {"id": 11, "stage": "Hm"},
            base | {"id": None},
            base | {"id": 12, "closed": "soon", "amount": "many"},
            base | {"id": 13, "closed": None},
            base | {"id": 14, "stage": "Open", "into": 99},
        ]
    )
    assert [(d.external_id, d.ending, d.amount) for d in told.deals] == [
        ("7", "won", 1000.5),
        ("8", "off_merit", None),
        ("9", "lost", 3.0),
    ]
    assert told.deals[0].lead == "12"
    assert iso(told.deals[0].occurred_at) == "2026-04-01T00:30:00Z"
    assert told.deals[0].recorded_at == NOW
    assert [d.external_id for d in told.reopened] == ["10", "14"]
    assert [(m.lead, m.survivor) for m in told.merges] == [("12", "99")]
    assert [(p.where, p.field) for p in told.problems] == [
        ("crm '11'", "ending"),
        ("crm", "id"),
        ("crm '12'", "closed"),
        ("crm '12'", "amount"),
        ("crm '13'", "closed_at"),
    ]
