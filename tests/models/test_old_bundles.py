"""Bundles of every format that was ever written load for ever, and score as they did.

The bundle of a format is written once and never again: whoever changes the format adds another one
beside it. Only formats that nobody can have on disk may go.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from features.catalog import column_kinds
from features.frames import FeatureFrame
from models.bundle import FORMAT, read_bundle, read_card, read_golden, read_manifest
from models.canary import check_golden
from models.explain import explain

GOLDEN = Path(__file__).parent.parent / "golden"
WRITTEN = {
    1: "95aa2c92a4fe202b5d46b852ede7c29dc206c76d686a56d4e258a5aaf6226873",
    2: "85a0d14838709c1746ba9027e20d45a9feaf0062cd11cb5b3df77207f59b44ef",
}
SAID = {
    1: [
        0.5080109,
        0.68332205,
        0.73331098,
        0.69968901,
        0.72240518,
        0.55042189,
        0.65259012,
        0.725347,
    ],
    2: [
        0.22318752,
        0.39088742,
        0.51079679,
        0.22354701,
        0.28407544,
        0.2249544,
        0.24993994,
        0.56387625,
    ],
}
"""What the first rows were shown as when the bundle was written."""


def test_there_is_a_bundle_of_every_format() -> None:
    assert set(WRITTEN) == set(range(1, FORMAT + 1))
    assert sorted(path.name for path in GOLDEN.glob("bundle_v*")) == [
        f"bundle_v{n}" for n in WRITTEN
    ]


@pytest.mark.parametrize("number", WRITTEN)
def test_an_old_bundle_loads_and_scores_as_it_did(number: int) -> None:
    root, digest = GOLDEN / f"bundle_v{number}", WRITTEN[number]
    check_golden(root, digest)
    model = read_bundle(root, digest)
    rows, raw = read_golden(root, digest)
    scores = model.score(FeatureFrame.of_rows(rows, column_kinds(model.catalog)))
    np.testing.assert_allclose(scores.raw, raw, rtol=0, atol=1e-12)
    np.testing.assert_allclose(scores.probability[: len(SAID[number])], SAID[number], atol=1e-8)


@pytest.mark.parametrize("number", WRITTEN)
def test_an_old_bundle_still_gives_reasons_and_tells_about_itself(number: int) -> None:
    root, digest = GOLDEN / f"bundle_v{number}", WRITTEN[number]
    model = read_bundle(root, digest)
    rows, raw = read_golden(root, digest)
    said = explain(model, FeatureFrame.of_rows(rows, column_kinds(model.catalog)))
    for one, score in zip(said, raw, strict=True):
        assert one.base + sum(reason.log_odds for reason in one.reasons) == pytest.approx(score)
    assert read_manifest(root, digest)["format"] == number
    assert read_card(root, digest).startswith("# Office supplies")
    assert model.about["warnings"] == ["Made for tests."]
