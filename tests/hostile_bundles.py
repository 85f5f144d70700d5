"""What could somebody who writes into the directory of bundles put there? A corpus, and its trial.

`python hostile_bundles.py ROOT DIGEST N` reads every Nth of them in this process, under an audit hook,
and prints one JSON object a line: the case, how it was refused (null: it was read), and what was run.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

JSON_FILES = ("learner.json", "columns.json", "calibrator.json", "about.json", "golden.json")
WRONG: tuple[Any, ...] = (None, True, -1, 1e308, "x", "__import__('os')", [], [[]], {}, {"x": 1})
RAW = {
    "empty": b"",
    "null": b"null",
    "a number": b"7",
    "not a number": b'{"x": NaN}',
    "infinite": b'{"x": 1e999}',
    "deep": b"[" * 100_000,
    "deep object": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "long number": b"9" * 10_000,
    "not UTF-8": b"\xff\xfe\x00",
    "zero bytes": b"\x00" * 64,
    "more behind it": b"{} {}",
    "a pickle": pickle.dumps(print),
}

Change = Callable[[Path], None]


class Bomb:
    """Runs when it is unpickled."""

    def __reduce__(self) -> Any:
        return eval, ("__import__('os').system('exit 7')",)


def cases(good: Path) -> Iterator[tuple[str, Change, bool]]:
    """Name, what is done to a copy of a good bundle, and whether its digests are made to agree."""
    yield from _planted(good)
    for name in JSON_FILES:
        for said, content in RAW.items():
            yield f"{name}: {said}", _writing(name, content), True
        text = (good / name).read_text()
        yield f"{name}: keys twice", _writing(name, _keys_twice(text)), True
        for said, content in _mutated(json.loads(text)):
            yield f"{name}: {said}", _writing(name, json.dumps(content).encode()), True
    for said, text in DEFINITIONS.items():
        yield f"definition.yaml: {said}", _writing("definition.yaml", text), True


DEFINITIONS = {
    "empty": b"",
    "an object": b"a: !!python/object/apply:os.system ['exit 7']",
    "laughs": b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]",
    "another": b"name: other\n",
    "a pickle": pickle.dumps(print),
}


def _planted(good: Path) -> Iterator[tuple[str, Change, bool]]:
    yield "one byte of the booster", _flip("booster.txt"), False
    yield "one byte of the manifest", _flip("manifest.json"), False
    yield "half a booster", _cut("booster.txt"), False
    yield "a missing file", lambda home: (home / "columns.json").unlink(), False
    yield "a link to a file", _linked("columns.json", Path("/etc/hostname")), False
    yield "a link to its own content", _linked("columns.json", good / "columns.json"), False
    yield "a link without an end", _linked("columns.json", Path("columns.json")), False
    yield "a directory for a file", _directory("columns.json"), False
    yield "a device for a file", _linked("columns.json", Path("/dev/zero")), False
    yield "a huge file", _huge("about.json"), False
    yield "names that lead out", _named("../../evil.json"), True
    yield "absolute names", _named("/etc/hostname"), True
    yield "a name too many", _named("extra.json"), True
    for value in (*WRONG, 0, 3, 10**20, "2"):
        yield f"format {value!r}", _said("format", value), True
    for key in ("files", "definition", "created_at", "parent", "booster"):
        for value in WRONG:
            yield f"manifest {key} {value!r}", _said(key, value), True


def _writing(name: str, content: bytes) -> Change:
    return lambda home: _put(home / name, content)


def _put(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _flip(name: str) -> Change:
    def change(home: Path) -> None:
        content = bytearray((home / name).read_bytes())
        content[len(content) // 2] ^= 1
        (home / name).write_bytes(content)

    return change


def _cut(name: str) -> Change:
    return lambda home: _put(home / name, (home / name).read_bytes()[: 10**3])


def _linked(name: str, to: Path) -> Change:
    def change(home: Path) -> None:
        (home / name).unlink()
        (home / name).symlink_to(to)

    return change


def _directory(name: str) -> Change:
    def change(home: Path) -> None:
        (home / name).unlink()
        (home / name).mkdir()

    return change


def _huge(name: str) -> Change:
    def change(home: Path) -> None:
        with (home / name).open("wb") as file:
            file.truncate(4 * 2**30)  # a hole: it takes no room

    return change


def _said(key: str, value: Any) -> Change:
    def change(home: Path) -> None:
        manifest = json.loads((home / "manifest.json").read_text())
        manifest[key] = value
        (home / "manifest.json").write_text(json.dumps(manifest))

    return change


def _named(name: str) -> Change:
    def change(home: Path) -> None:
        manifest = json.loads((home / "manifest.json").read_text())
        manifest["files"][name] = manifest["files"]["about.json"]
        (home / "manifest.json").write_text(json.dumps(manifest))

    return change


def _keys_twice(text: str) -> bytes:
    at = text.index("{")
    return (text[: at + 1] + '"name": 1, "name": 2, ' + text[at + 1 :]).encode()


def _mutated(content: Any) -> Iterator[tuple[str, Any]]:
    """The content with each wrong value at each of its places; lists are tried at their first entry."""
    for place in _places(content, ()):
        for wrong in WRONG:
            other = _with(deepcopy(content), place, wrong)
            yield f"{'.'.join(map(str, place)) or 'all'} = {wrong!r}", other
        if place:
            yield f"{'.'.join(map(str, place))} is missing", _without(deepcopy(content), place)


def _places(content: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(content, dict):
        for key in list(content)[:6]:
            yield from _places(content[key], (*path, key))
    elif isinstance(content, list) and content:
        yield from _places(content[0], (*path, 0))


def _with(content: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    content[place[0]] = _with(content[place[0]], place[1:], value)
    return content


def _without(content: Any, place: tuple[Any, ...]) -> Any:
    inner = content
    for step in place[:-1]:
        inner = inner[step]
    del inner[place[-1]]
    return content


def made(good: Path, change: Change, agrees: bool) -> str:
    """A copy of a bundle, changed; its digest, after its manifest was made to agree if it is to."""
    root = good.parent
    home = root / "changed"
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(good, home)
    (home / "model.pkl").write_bytes(pickle.dumps(Bomb()))
    (home / "sitecustomize.py").write_text("raise SystemExit(7)\n")
    change(home)
    if not agrees:
        digest = good.name
        shutil.rmtree(root / digest, ignore_errors=True)
    else:
        digest = _sealed(home)
    home.rename(root / digest)
    return digest


def _sealed(home: Path) -> str:
    manifest = json.loads((home / "manifest.json").read_text())
    if isinstance(manifest.get("files"), dict):
        for name in manifest["files"]:
            path = home / name
            if "/" not in name and path.is_file():
                manifest["files"][name] = hashlib.sha256(path.read_bytes()).hexdigest()
        definition = manifest["definition"]
        manifest["definition"] = definition
        (home / "manifest.json").write_text(json.dumps(manifest))
    return hashlib.sha256((home / "manifest.json").read_bytes()).hexdigest()


FORBIDDEN = (
    "exec",
    "compile",
    "os.",
    "subprocess.",
    "socket.",
    "pickle.",
    "marshal.",
    "ctypes.dlopen",
)
HARMLESS = ("os.listdir", "os.scandir", "os.walk")


def main() -> int:
    """Read every case, and say what happened."""
    from features.errors import BundleError
    from models.bundle import read_bundle
    from models.canary import check_golden

    root, digest, every = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    kept = root.parent / "kept" / digest
    shutil.copytree(root / digest, kept)
    check_golden(root, digest)  # whatever is imported on first use is there now
    ran: list[str] = []
    watching = False

    def heard(event: str, _: Any) -> None:
        if watching and event.startswith(FORBIDDEN) and not event.startswith(HARMLESS):
            ran.append(event)

    sys.addaudithook(heard)
    for number, (name, change, agrees) in enumerate(cases(kept)):
        if number % every and agrees:
            continue
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        shutil.copytree(kept, root / digest)
        other, ran[:] = made(root / digest, change, agrees), []
        watching, refused = True, None
        try:
            read_bundle(root, other)
            check_golden(root, other)
        except BundleError as error:
            refused = error.message
        except Exception as error:
            refused = f"!! {type(error).__name__}: {error}"
        watching = False
        print(json.dumps({"case": name, "refused": refused, "ran": ran}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
