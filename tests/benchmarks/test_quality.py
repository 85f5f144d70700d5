"""The benchmark of quality says the same of everybody: same rows, same figures, paired differences."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_sets import Tiny

from benchmarks.figures import Said, against, mean_and_error, shown, table
from benchmarks.peers import PEERS, Answer, Task
from benchmarks.peers.automl import autogluon
from benchmarks.quality import main, measure
from models.calibrators import logit
from training.config import TrainConfig

ALWAYS = {
    *("auc", "auc_interval", "log_loss", "base_rate_log_loss", "brier", "ece", "ece_debiased"),
    *("slope", "intercept", "o_e", "lift_10", "lift_20", "base_rate", "n_test"),
    "training_seconds",
}


@pytest.fixture(scope="module")
def found(tiny: Tiny) -> dict[str, Any]:
    """What the command prints of both sets."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        arguments = ["--data", str(tiny.data), "--peers", "--json", "--autogluon-python", "false"]
        assert main(arguments, tiny.sets) == 0
    (line,) = out.getvalue().splitlines()
    return {"json": json.loads(line), "table": err.getvalue()}


def test_every_peer_stands_beside_ours_with_every_figure(found: dict[str, Any]) -> None:
    assert set(found["json"]) == {"dated", "undated"}
    for figures in found["json"].values():
        assert set(figures) == ALWAYS | {"split", "warnings", "peers"}
        assert set(figures["peers"]) == {"ours", *PEERS}
        for who, theirs in figures["peers"].items():
            assert set(theirs) == ALWAYS | ({"ours_minus_this"} if who != "ours" else set())
        assert {name: figures[name] for name in ALWAYS - {"training_seconds"}} == {
            name: figures["peers"]["ours"][name] for name in ALWAYS - {"training_seconds"}
        }


def test_all_are_judged_on_the_same_rows_and_differences_are_those_of_the_figures(
    found: dict[str, Any],
) -> None:
    for figures in found["json"].values():
        for who, theirs in figures["peers"].items():
            assert theirs["n_test"] == figures["n_test"]
            assert theirs["base_rate"] == figures["base_rate"]
            if who != "ours":
                gap = theirs["ours_minus_this"]
                expected = figures["log_loss"] - theirs["log_loss"]
                assert gap["difference"] == pytest.approx(expected, abs=2e-4)
                assert gap["interval"][0] < gap["difference"] < gap["interval"][1]
                assert gap["leads"] == figures["n_test"]


def test_who_says_one_rate_of_all_has_no_order_and_no_slope(found: dict[str, Any]) -> None:
    for figures in found["json"].values():
        nobody = figures["peers"]["base_rate"]
        assert nobody["auc"] == 0.5
        assert nobody["slope"] is None
        assert nobody["lift_10"]["lift"] == 1.0
        assert nobody["lift_10"]["tied"] == figures["n_test"]


def test_people_are_shown_a_line_for_everybody(found: dict[str, Any]) -> None:
    for who in ("ours", *PEERS):
        assert sum(line.split()[:1] == [who] for line in found["table"].splitlines()) == 2
    assert "dated: forward, 150 judged" in found["table"]
    assert "without AutoGluon: false does not have it" in found["table"]
    assert f"undated: grouped, {found['json']['undated']['n_test']} judged" in found["table"]


def test_without_peers_only_ours_is_measured(tiny: Tiny, tmp_path: Path) -> None:
    figures = measure("dated", tiny.data, tmp_path, TrainConfig(), sets=tiny.sets)
    assert set(figures) == ALWAYS | {"split", "warnings"}
    assert figures["split"] == "forward"
    assert table("dated", figures).splitlines()[2].split()[0] == "ours"


def test_a_peer_that_falls_over_in_its_own_process_is_left_out_and_named(
    tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "broken.py"
    script.write_text("raise SystemExit('out of memory')")
    peers = {"autogluon": autogluon(sys.executable, 1.0, script), "base_rate": PEERS["base_rate"]}
    (tmp_path / "store").mkdir()
    figures = measure("dated", tiny.data, tmp_path / "store", TrainConfig(), peers, tiny.sets)
    assert set(figures["peers"]) == {"ours", "base_rate"}
    assert "autogluon failed: out of memory" in capsys.readouterr().err


def test_a_peer_that_knows_the_truth_wins_and_the_difference_says_so(
    tiny: Tiny, tmp_path: Path
) -> None:
    """The set's labels are handed to a peer by row, so that the sign of the difference is known."""
    history = tiny.history("dated", tmp_path / "read")
    y = dict(zip(history.matured.frame.lead_ids, history.matured.y.tolist(), strict=True))

    def knows(task: Task) -> Answer:
        return Answer(np.array([0.1 + 0.8 * y[lead] for lead in task.asked.lead_ids]), 0.0)

    (tmp_path / "store").mkdir()
    figures = measure(
        "dated", tiny.data, tmp_path / "store", TrainConfig(), {"knows": knows}, tiny.sets
    )
    theirs = figures["peers"]["knows"]
    assert theirs["auc"] == 1.0
    assert theirs["log_loss"] == pytest.approx(-np.log(0.9), abs=1e-4)
    assert theirs["ours_minus_this"]["interval"][0] > 0


def _said(p: list[float], y: list[int]) -> Said:
    probability = np.array(p)
    return Said(logit(probability), probability, np.array(y), np.arange(len(y)))


def test_figures_are_those_reckoned_by_hand() -> None:
    said = _said([0.2, 0.2, 0.4, 0.8, 0.6, 0.6, 0.4, 0.2, 0.8, 0.8], [0, 0, 1, 1, 0, 1, 0, 0, 1, 1])
    figures = shown(said)
    losses = [0.8, 0.8, 0.4, 0.8, 0.4, 0.6, 0.6, 0.8, 0.8, 0.8]
    assert figures["log_loss"] == pytest.approx(-np.mean(np.log(losses)), abs=1e-4)
    assert figures["brier"] == pytest.approx(np.mean((1 - np.array(losses)) ** 2), abs=1e-4)
    assert figures["o_e"] == 1.0
    # Three are tied at the top and all three were won, of ten of whom half were.
    assert figures["lift_10"] == {"lift": 2.0, "interval": [2.0, 2.0], "tied": 3}
    assert figures["lift_20"]["lift"] == 2.0


def test_lift_says_what_ties_at_the_cut_leave_open() -> None:
    said = _said([0.9] + [0.5] * 9, [1, 1, 0, 0, 0, 0, 0, 0, 0, 0])
    assert shown(said)["lift_20"] == {"lift": 2.7778, "interval": [2.5, 5.0], "tied": 9}


def test_a_difference_is_ours_minus_theirs() -> None:
    y = [1, 0] * 50
    better, worse = _said([0.8, 0.2] * 50, y), _said([0.6, 0.4] * 50, y)
    gap = against(better, worse, seed=0)
    assert gap["difference"] == pytest.approx(np.log(0.6) - np.log(0.8), abs=1e-5)


def test_the_error_of_a_mean_falls_with_the_root_of_the_draws() -> None:
    assert mean_and_error([1.0, 2.0, 3.0, 4.0]) == {
        "mean": 2.5,
        "standard_error": pytest.approx(np.sqrt(5 / 3) / 2, abs=1e-5),
    }
    assert mean_and_error([1.0]) == {"mean": 1.0, "standard_error": None}
