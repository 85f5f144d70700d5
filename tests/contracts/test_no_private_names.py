"""Could anybody have this repository? No file names one machine's paths or one company's addresses."""

from __future__ import annotations

import re

import pytest
from source_files import ROOT, tracked

# Written in pieces, so that this file does not name them either.
PRIVATE = {
    "a path of one machine": r"(?<![\w./-])/(?:wo{1}rk|roo{1}t|Use{1}rs|ho{1}me)/[\w.]",
    "a path of one machine's temporary files": r"/tm{1}p/(?:brief|pytest-of)",
    "a package index": r"pythonho{1}sted\.org|py{1}pi\.org/simple|\w\.\w+/(?:api/py{1}pi|simple)/",
    "an index option with an address": r"--(?:extra-)?index-ur{1}l[= ]+[\"']?https?:",
    "a key": r"-----BEGIN (?:[A-Z]+ )?PRIVA{1}TE KEY|AKI{1}A[0-9A-Z]{16}|gh{1}p_[A-Za-z0-9]{36}",
}


def _text(name: str) -> str:
    return (ROOT / name).read_bytes().decode("utf-8", "ignore")


@pytest.mark.parametrize(("what", "pattern"), PRIVATE.items(), ids=PRIVATE.keys())
def test_no_tracked_file_names_what_others_do_not_have(what: str, pattern: str) -> None:
    found = [
        f"{name}: {match.group()}"
        for name in tracked()
        for match in re.finditer(pattern, _text(name))
    ]
    assert found == [], what


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("a path of one machine", "open('/" + "work/main/x.csv')"),
        ("a path of one machine", "see /" + "home/ada/leads"),
        ("a path of one machine's temporary files", "/t" + "mp/brief/x"),
        ("a package index", "https://files.python" + "hosted.org/packages"),
        ("a package index", "https://repo.example.com/api/py" + "pi/all/simple"),
        ("an index option with an address", "--index-" + "url https://repo.example.com"),
        ("a key", "-----BEGIN RSA PRIV" + "ATE KEY-----"),
    ],
)
def test_such_a_name_is_seen(what: str, text: str) -> None:
    assert re.search(PRIVATE[what], text)


@pytest.mark.parametrize(
    "text",
    ["framework/x", "https://example.com/home/page", "../work/x", "var/root/", "a network/b"],
)
def test_an_ordinary_path_is_not(text: str) -> None:
    assert not any(re.search(pattern, text) for pattern in PRIVATE.values())


def test_the_lock_files_hold_hashes_and_no_addresses() -> None:
    locks = [name for name in tracked() if re.fullmatch(r"requirements/\w+\.txt", name)]
    assert locks
    for name in locks:
        assert "--hash=sha256:" in _text(name)
        assert "://" not in _text(name)
