"""Do the docs say what the code does? Writes the parts of `docs/` that follow from the code.

    python -m scripts.docs            write them anew
    python -m scripts.docs --check    exit code 1 when one is out of date; nothing is written

A part stands between `<!-- generated: NAME -->` and `<!-- end of NAME -->`; what stands around it is
written by hand and never touched.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from scripts import doc_parts

DOCS = Path(__file__).parent.parent / "docs"

PARTS: Mapping[str, Mapping[str, Callable[[str], str]]] = {
    "features.md": {"features": doc_parts.features},
    "settings.md": {"places": doc_parts.places, "settings": doc_parts.settings},
    "cli.md": {"cli": doc_parts.commands},
    "api.md": {"routes": doc_parts.routes, "errors": doc_parts.errors},
    "operations.md": {"metrics": doc_parts.metrics, "alarms": doc_parts.alarms},
}
"""Page -> part -> what makes it from the page's own text."""


def written(page: str, text: str) -> str:
    """The page with its generated parts as they should be.

    Raises:
        ValueError: the page lacks the place of a part.
    """
    for name, make in PARTS[page].items():
        begin, end = f"<!-- generated: {name} -->\n", f"<!-- end of {name} -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ValueError(f"docs/{page} must have one place for the part {name!r}")
        before, rest = text.split(begin)
        text = f"{before}{begin}{make(text).strip()}\n{end}{rest.split(end)[1]}"
    return text


def stale() -> dict[str, str]:
    """The pages that are out of date, and what they should say."""
    found = {}
    for page in PARTS:
        text = (DOCS / page).read_text(encoding="utf-8")
        if (wanted := written(page, text)) != text:
            found[page] = wanted
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pages, or only look."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only look; exit code 1 when stale")
    chosen = parser.parse_args(arguments)
    pages = stale()
    for page, text in pages.items():
        if chosen.check:
            said = f"docs/{page} is out of date; run `make docs`"
            print(said, file=sys.stderr)  # noqa: T201 - this is a command
        else:
            (DOCS / page).write_text(text, encoding="utf-8")
            print(f"docs/{page} written")  # noqa: T201 - this is a command
    return 1 if chosen.check and pages else 0


if __name__ == "__main__":
    sys.exit(main())
