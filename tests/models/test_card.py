"""The card says what was recorded, warnings first, and nothing that was not."""

from __future__ import annotations

import json
from typing import Any

from trained_company import trained_company

from models.bundle import read_card
from models.card import model_card


def about() -> dict[str, Any]:
    return dict(trained_company().model().about)


def test_the_card_in_the_bundle_is_the_one_that_its_about_gives() -> None:
    home = trained_company()
    assert read_card(home.read_only().bundles, home.digest) == model_card(about())


def test_the_promise_is_about_the_horizon() -> None:
    assert "one in five such leads should buy within 90 days." in model_card(about())
    assert "should buy by the time they close." in model_card({**about(), "horizon_days": None})


def test_warnings_come_before_every_figure_and_only_where_there_are_some() -> None:
    text = model_card({**about(), "warnings": ["Mind the gap.", "And the step."]})
    assert "- Mind the gap.\n- And the step." in text
    assert text.index("Mind the gap") < text.index("What it learned from")
    assert "Know this first" not in model_card({**about(), "warnings": []})


def test_every_figure_is_the_recorded_one_with_its_interval() -> None:
    figures = about()["judged"]["figures"]
    text = model_card(about())
    auc, ratio = figures["auc"], figures["observed_over_expected"]
    over = f"{ratio['estimate']:.2f} ({ratio['lower']:.2f} to {ratio['upper']:.2f})"
    for row in (
        f"| AUC | {auc['estimate']:.3f} ({auc['lower']:.3f} to {auc['upper']:.3f}) |",
        f"| Log loss | {figures['log_loss']:.4f} |",
        f"| … of always answering the base rate | {figures['base_rate_log_loss']:.4f} |",
        f"| Brier score | {figures['brier']:.4f} |",
        f"| Observed ÷ expected wins | {over} |",
        f"| Verdict | {figures['discrimination']['reason']} |",
    ):
        assert row in text
    for band in figures["bins"]:
        assert f"| {band['predicted']:.1%} | {band['observed']:.1%} (" in text


def test_the_data_behind_it_are_counted_and_identified() -> None:
    data, text = about()["data"], model_card(about())
    assert f"| Rows with a known outcome | {data['rows']:,} of {data['leads']:,} leads |" in text
    assert f"| Won | {data['wins']:,} ({data['base_rate']:.1%}) |" in text
    assert f"`{data['fingerprint'][:16]}`" in text
    assert data["from"] in text
    assert data["through"] in text
    for reason, n in data["labels"].items():
        assert f"| Label: {reason} | {n:,} |" in text


def test_what_it_may_not_see_is_named() -> None:
    text = model_card(about())
    assert "- sensitive: gender, birth_year" in text
    assert "- filled in during the sale: discount_granted" in text
    nothing = {why: [] for why in about()["left_out"]}
    assert "What it may not see" not in model_card({**about(), "left_out": nothing})


def test_the_card_does_not_depend_on_the_order_in_which_json_gives_things_back() -> None:
    text = json.dumps(about())
    turned = json.loads(text, object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    assert model_card(turned) == model_card(about())


def test_a_history_without_dates_says_so() -> None:
    undated = {**about(), "data": {**about()["data"], "from": None, "through": None}}
    assert "| From | no dates |" in model_card(undated)


def test_what_could_not_be_judged_is_not_given_figures() -> None:
    unjudged = {"how": "Judged in 5 folds:", "figures": None, "bounds": None}
    text = model_card({**about(), "judged": unjudged, "warnings": []})
    assert "Not known: Judged in 5 folds:" in text
    assert "| AUC" not in text


def test_the_limits_are_always_said() -> None:
    assert "It says who buys, not whom a call would persuade." in model_card(about())
