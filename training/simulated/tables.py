"""How do simulated facts look in the CRM's export? Columns with the headers that the definition maps.

Everything is text or a plain number, times are ISO 8601 in UTC, and what is not known is empty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from training.simulated import words
from training.simulated.world import BLOCK, Flags, Floats, Ints

Columns = Mapping[str, NDArray[Any]]
Names = tuple[str, ...] | list[str]

DOUBLED = 0.003
"""The share of answers, events and deals that the export holds twice."""


def answers(block: int, ids: pa.Array, rows: Columns) -> pa.Table:
    """`answers.csv`."""
    given = [*(answer for levels in words.ANSWERS for answer in (*levels, words.UNKNOWN))]
    return pa.table(
        {
            "answer_id": ids,
            "lead_id": lead_ids(block, rows["lead"]),
            "question": named(rows["code"], words.QUESTIONS),
            "answer": named(rows["code"] * 5 + rows["level"], given),
            "answered_at": instants(rows["at"]),
            "recorded_at": instants(rows["recorded"]),
        }
    )


def events(block: int, ids: pa.Array, rows: Columns) -> pa.Table:
    """`events.csv`."""
    return pa.table(
        {
            "event_id": ids,
            "lead_id": lead_ids(block, rows["lead"]),
            "kind": named(rows["code"], words.KINDS),
            "channel": named(rows["channel"], words.CHANNELS),
            "at": instants(rows["at"]),
            "recorded_at": instants(rows["recorded"]),
        }
    )


def stages(block: int, ids: pa.Array, rows: Columns) -> pa.Table:
    """`stages.csv`."""
    return pa.table(
        {
            "change_id": ids,
            "lead_id": lead_ids(block, rows["lead"]),
            "stage": named(rows["code"], words.STAGES),
            "changed_at": instants(rows["at"]),
            "recorded_at": instants(rows["recorded"]),
        }
    )


def deals(block: int, ids: pa.Array, rows: Columns) -> pa.Table:
    """`deals.csv`."""
    return pa.table(
        {
            "deal_id": ids,
            "lead_id": lead_ids(block, rows["lead"]),
            "outcome": named(rows["code"], words.OUTCOMES),
            "amount": numbers(rows["amount"], ~np.isnan(rows["amount"])),
            "lost_reason": named(rows["reason"], words.LOST_REASONS, rows["reason"] >= 0),
            "closed_at": instants(rows["at"]),
            "recorded_at": instants(rows["recorded"]),
        }
    )


def truth(block: int, rows: Columns) -> pa.Table:
    """`truth.parquet`."""
    return pa.table(
        {
            "lead_id": lead_ids(block, rows["lead"]),
            "as_of": pa.array(rows["as_of"], pa.timestamp("us", "UTC")),
            "open": pa.array(rows["open"]),
            "seems_open": pa.array(rows["seems_open"]),
            "p_won": pa.array(rows["p_won"]),
            "p_off_merit": pa.array(rows["p_off_merit"]),
        }
    )


ROWS: Mapping[str, tuple[str, Callable[[int, pa.Array, Columns], pa.Table]]] = {
    "answers": ("A", answers),
    "events": ("E", events),
    "stages": ("S", stages),
    "deals": ("D", deals),
}
"""Files with an id a row: the letter that their ids begin with, and how they look."""


def doubled(rng: np.random.Generator, table: pa.Table) -> pa.Table:
    """The table with a few rows twice, id and all."""
    times = 1 + (rng.random(table.num_rows) < DOUBLED)
    return table.take(pa.array(np.repeat(np.arange(table.num_rows), times)))


def lead_ids(block: int, lead: Ints) -> pa.Array:
    """External ids of leads, given as positions in a block."""
    return numbered("L", lead + block * BLOCK, 7)


def numbered(letter: str, number: Ints, width: int) -> pa.Array:
    """Ids such as `L0000012`."""
    digits = pc.utf8_lpad(pa.array(number).cast(pa.string()), width, "0")
    return joined(pa.scalar(letter), digits, "")


def instants(second: Ints) -> pa.Array:
    """Seconds as text: `2024-05-01T09:30:00Z`."""
    text = pa.array(second, pa.timestamp("s", "UTC")).cast(pa.string())
    return pc.utf8_replace_slice(text, 10, 11, "T")


def dates(day: Ints, given: Flags) -> pa.Array:
    """Days since the epoch as text, null where not given."""
    return pa.array(day.astype(np.int32), pa.date32(), mask=~given).cast(pa.string())


def numbers(value: Floats, given: Flags) -> pa.Array:
    """Numbers as floats, null where not given."""
    return pa.array(value.astype(np.float64), mask=~given)


def named(code: Ints, names: Names, given: Flags | None = None) -> pa.Array:
    """Codes as words, null where not given."""
    codes = pa.array(code.astype(np.int32), mask=None if given is None else ~given)
    return pa.DictionaryArray.from_arrays(codes, pa.array(names)).cast(pa.string())


def joined(left: pa.Array, right: pa.Array, between: str) -> pa.Array:
    """Two columns of words as one."""
    return pc.binary_join_element_wise(left, right, between)
