"""How does compiled code work on eight numbers at once? With a type `Lanes` and operations on it.

Numba has no vectors of its own, and its compiler finds them in loops only where it can prove that
no array overlaps another; here it need not prove anything. Rule: nothing checks a row's number;
`models.forest` has.

Imported by compiled code only: importing Numba takes longer than scoring 10,000 leads.
"""

# ruff: noqa: ARG001 - Numba calls with what it has, used or not
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.datamodel import PrimitiveModel
from numba.extending import intrinsic, register_model

from models.forest import LANES


class Lanes(types.Type):
    """Eight float64 side by side."""

    def __init__(self) -> None:
        super().__init__(name="Lanes")


_LANES = Lanes()
_VECTOR = ir.VectorType(ir.DoubleType(), LANES)


@register_model(Lanes)
class _LanesModel(PrimitiveModel):  # type: ignore[misc]
    """Lanes are kept in a vector register."""

    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)


def _row(context: Any, builder: Any, kind: Any, table: Any, row: Any) -> Any:
    """Where a row of a flat table of lanes lies."""
    first = context.make_array(kind)(context, builder, table).data
    place = builder.gep(first, [builder.mul(row, ir.Constant(row.type, LANES))])
    return builder.bitcast(place, _VECTOR.as_pointer())


@intrinsic  # type: ignore[untyped-decorator]
def load(typing: Any, table: Any, row: Any) -> Any:
    """Lanes from a row of a flat table."""

    def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.load(_row(context, builder, signature.args[0], *given), align=8)

    return _LANES(table, types.uint64), emit


@intrinsic  # type: ignore[untyped-decorator]
def store(typing: Any, table: Any, row: Any, lanes: Any) -> Any:
    """Lanes into a row of a flat table."""

    def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        builder.store(given[2], _row(context, builder, signature.args[0], *given[:2]), align=8)
        return context.get_dummy_value()

    return types.void(table, types.uint64, _LANES), emit


@intrinsic  # type: ignore[untyped-decorator]
def spread(typing: Any, number: Any) -> Any:
    """The same number in every lane."""

    def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        nothing, index = ir.Constant(_VECTOR, ir.Undefined), ir.IntType(32)
        first = builder.insert_element(nothing, given[0], ir.Constant(index, 0))
        everywhere = ir.Constant(ir.VectorType(index, LANES), [0] * LANES)
        return builder.shuffle_vector(first, nothing, everywhere)

    return _LANES(types.float64), emit


def _lane_by_lane(operation: str) -> Callable[..., Any]:
    def of(typing: Any, one: Any, other: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            # Contracting a product and a sum into one step rounds once less.
            return getattr(builder, operation)(*given, flags=("contract",))

        return _LANES(_LANES, _LANES), emit

    made: Callable[..., Any] = intrinsic(of)
    return made


plus, minus, times = (_lane_by_lane(operation) for operation in ("fadd", "fsub", "fmul"))


@intrinsic  # type: ignore[untyped-decorator]
def total(typing: Any, lanes: Any) -> Any:
    """The sum of the lanes."""

    def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        numbers = [
            builder.extract_element(given[0], ir.Constant(ir.IntType(32), i)) for i in range(LANES)
        ]
        while len(numbers) > 1:
            pairs = zip(numbers[::2], numbers[1::2], strict=True)
            numbers = [builder.fadd(one, other) for one, other in pairs]
        return numbers[0]

    return types.float64(_LANES), emit


@intrinsic  # type: ignore[untyped-decorator]
def lowest_bit(typing: Any, word: Any) -> Any:
    """The place of the lowest bit that is set, 64 where none is."""

    def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.cttz(given[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), emit
