"""Do the words say how much what they tell rests on?"""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from training.intervals import Interval
from training.loop.holdout_commands import _bands
from training.loop.if_worked import BandIfWorked, IfWorked


def test_the_table_of_bands_says_of_how_many_rows_it_is_and_by_whom_they_were_said() -> None:
    rate = Interval(0.125, 0.1, 0.15)
    band = BandIfWorked(0.05, 0.1, 1_300, 40, 0.07, 0.05, 0.12, rate)
    found = IfWorked(0, 5_000, 90, 1_100, 200, -0.5, 0.1, (band,))
    console = Console(width=120, record=True, file=StringIO())
    console.print(_bands(found))
    said = " ".join(console.export_text().split())
    assert "1,300 of 5,000 rows: 1,100 by the score that was shown, 200 by the champion" in said
    assert "12.5% (10.0% to 15.0%)" in said
