"""Does the page of the model say what training recorded, and no more than that?"""

from __future__ import annotations

from typing import Any

import pytest

from serving.model_view import figures


def about(error: float | None) -> dict[str, Any]:
    return {"judged": {"figures": {"debiased_ece": {"root": error}}}}


@pytest.mark.parametrize(
    ("error", "value", "beyond"),
    [
        (0.0123, "1.2 points", ""),
        (0.0, "0.0 points", "none beyond chance"),
        (-0.003, "0.0 points", "none beyond chance"),
    ],
)
def test_an_error_below_what_chance_shows_is_none(error: float, value: str, beyond: str) -> None:
    (shown,) = figures(about(error))
    assert (shown.label, shown.value, shown.interval) == ("Calibration error", value, beyond)


def test_what_was_not_recorded_is_not_shown() -> None:
    assert figures({}) == figures(about(None)) == []
