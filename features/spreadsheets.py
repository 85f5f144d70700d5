"""Which texts would a spreadsheet run? Those that begin like a formula: they get a quote before them.

Whoever sends us a lead chooses its name, and somebody opens our CSV files in a spreadsheet, where a cell
that begins with `=`, `+`, `-`, `@`, a tab or a line break is run (OWASP, CSV injection). Numbers stay as
they are: nothing of them can be run, and a quoted number would be none to the next reader.
"""

from __future__ import annotations

import re

_TRIGGERS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_NUMBER = re.compile(r"[-+]?[0-9]+(?:[.,][0-9]+)*(?:[eE][-+]?[0-9]{1,4})?\s?%?", re.ASCII)


def guarded(text: str) -> str:
    """A cell's text that no spreadsheet takes for a formula.

    >>> guarded("=1+1"), guarded("@SUM(A1)"), guarded("-2.5"), guarded("Contoso")
    ("'=1+1", "'@SUM(A1)", '-2.5', 'Contoso')
    """
    return f"'{text}" if text.startswith(_TRIGGERS) and not _NUMBER.fullmatch(text) else text
