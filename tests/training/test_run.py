"""A training run says what it did, gives the same bytes again, moves no champion, and refuses traps."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trained_company import CONFIG, END, TrainedCompany, trained_company
from typer.testing import CliRunner

from features.clock import iso
from features.errors import LeakageError, NotEnoughEvidenceError
from features.facts import LeadVersion
from features.store.engine import Store
from features.store.ingest import ingest
from features.store.outcomes import Deal
from features.store.promotions import list_bundles
from features.store.recording import record_deals
from models.bundle import read_golden, read_manifest
from models.workspace import Workspace
from training.commands import app
from training.config import TrainConfig
from training.dataset import build_dataset
from training.promote import promote, unseen_rows
from training.run import Watching, look_for_leakage, newest_cutoff, train
from training.splits import Bounds


@pytest.fixture(scope="module")
def company() -> TrainedCompany:
    return trained_company()


def without_mlflow(workspace: Workspace) -> Workspace:
    """The installation with a tracking server that is not there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return replace(workspace, mlflow_uri=f"http://127.0.0.1:{taken.getsockname()[1]}")


@pytest.fixture
def workspace(company: TrainedCompany, tmp_path: Path) -> Iterator[Workspace]:
    found = without_mlflow(company.copy(tmp_path / "home"))
    yield found
    found.store.close()


def test_training_again_gives_the_same_bundle_and_survives_without_mlflow(
    workspace: Workspace, company: TrainedCompany
) -> None:
    for path in (workspace.bundles / company.digest).iterdir():
        path.unlink()
    (workspace.bundles / company.digest).rmdir()
    steps: list[str] = []
    told: list[str] = []
    leads: list[tuple[int, int]] = []
    watching = Watching(steps.append, lambda *done: leads.append(done), told.append)
    trained = train(workspace, CONFIG, now=END, watching=watching)
    assert trained.digest == trained.model.digest == company.digest, "every byte is the same"
    assert trained.mlflow_run is None
    assert len(told) == 1
    assert told[0].startswith("not catalogued in MLflow (")
    assert (
        workspace.registry.load(company.digest).learner.trees.text
        == company.model().learner.trees.text
    )
    assert workspace.registry.champion_digest() is None, "training promotes nothing"
    assert leads[-1][0] == leads[-1][1] > 1_900
    assert [step for step in steps if "leaves" not in step] == [
        "reading facts and outcomes",
        "looking for columns that know the outcome",
        "learning",
        "weighing the additive part against the trees",
        "measuring how uncertain it is",
        "judging on rows it has not seen",
        "writing the bundle",
        "cataloguing in MLflow",
    ]


def test_what_was_learned_from_is_accounted_for_row_by_row(company: TrainedCompany) -> None:
    workspace = company.read_only()
    about = company.model().about
    with workspace.store.read():
        dataset = build_dataset(
            workspace.store,
            workspace.definition(),
            newest_cutoff(workspace.store),
            most_leads=CONFIG.most_leads,
            seed=CONFIG.seed,
        )
    matured, said = dataset.matured(), about["data"]
    assert said["rows"] == len(matured)
    assert said["wins"] == int(matured.y.sum())
    assert said["leads"] == len(set(matured.frame.lead_ids))
    assert said["base_rate"] == pytest.approx(matured.y.mean())
    assert said["from"] == iso(int(matured.as_of.min()))
    assert said["through"] == iso(int(matured.as_of.max()))
    assert said["fingerprint"] == dataset.fingerprint
    assert said["labels"] == dataset.reasons()
    assert sum(said["labels"].values()) == len(dataset)
    workspace.store.close()


def test_how_it_was_made_is_recorded(company: TrainedCompany) -> None:
    about = company.model().about
    assert about["trained_at"] == iso(END)
    assert about["config"] == CONFIG.to_json()
    assert about["versions"] == {n: version(n) for n in ("lightgbm", "numpy", "scikit-learn")}
    assert about["left_out"]["sensitive"] == ["gender", "birth_year"]
    assert about["left_out"]["filled in during the sale"] == ["discount_granted"]
    assert about["learner"]["trees"] == company.model().learner.trees.text.count("Tree=")
    assert about["learner"]["columns"] == len(company.model().encoder.columns)
    assert [trial["leaves"] for trial in about["learner"]["trials"]] == list(CONFIG.leaves)
    bounds = Bounds(**about["judged"]["bounds"])
    assert bounds.calibrate_from + bounds.gap <= bounds.judge_from <= (bounds.until or 0) < END
    assert bounds.gap == (90 + 21) * 86_400_000_000, "the horizon and the reporting lag"
    json.dumps(dict(about), allow_nan=False)


def test_the_database_knows_the_bundle_with_the_figures_of_a_list(company: TrainedCompany) -> None:
    workspace = company.read_only()
    with workspace.store.read() as connection:
        (known,) = list_bundles(connection)
    figures = company.model().about["judged"]["figures"]
    assert (known.digest, known.created_at, known.origin) == (company.digest, END, "train")
    assert known.summary["auc"] == figures["auc"]["estimate"]
    assert known.summary["log_loss"] == figures["log_loss"]
    assert known.summary["warnings"] == company.model().about["warnings"]
    workspace.store.close()


def test_golden_rows_are_real_rows_and_more_than_a_few(company: TrainedCompany) -> None:
    rows, raw = read_golden(company.home / "bundles", company.digest)
    assert len(rows) == len(raw) == 20
    assert len(set(raw)) > 5
    assert read_manifest(company.home / "bundles", company.digest)["origin"] == "train"


# What there is too little, or too much, to learn from


@pytest.fixture
def bare(tmp_path: Path, migrated_sqlite: Path) -> Iterator[Workspace]:
    """An installation with tables and a small definition, and nothing in it."""
    (tmp_path / "propensity.db").write_bytes(migrated_sqlite.read_bytes())
    (tmp_path / "definition.yaml").write_text(UNDATED)
    found = without_mlflow(Workspace.of({"PROPENSITY_DATA_DIR": str(tmp_path)}))
    yield found
    found.store.close()


UNDATED = """
name: shop
time: none
horizon_days: null
cohorts: {after_opening_hours: 0}
attributes:
  - {name: size, type: number}
  - {name: colour, type: category}
  - {name: paid, type: number}
"""


def fill(store: Store, workspace: Workspace, n: int, knows: float = 0.0) -> None:
    """Leads of whom the larger buy; what they `paid` may know whether they did."""
    rng = np.random.default_rng(1)
    sizes = rng.normal(size=n)
    won = rng.random(n) < 1 / (1 + np.exp(-1.5 * sizes))
    paid = np.where(rng.random(n) < knows, won * 1.0, rng.random(n))
    versions = [
        LeadVersion(
            lead=f"L{i}",
            occurred_at=0,
            recorded_at=0,
            attributes={"size": float(sizes[i]), "colour": "rg"[i % 2], "paid": float(paid[i])},
        )
        for i in range(n)
    ]
    deals = [
        Deal(lead=f"L{i}", ending="won" if won[i] else "lost", occurred_at=9, recorded_at=9)
        for i in range(n)
    ]
    with store.write() as connection:
        assert not ingest(connection, versions, workspace.definition(), END).problems
        assert not record_deals(connection, deals, workspace.definition(), END).problems


QUICK = TrainConfig(leaves=(2,), most_trees=30, folds=3)


def test_an_empty_store_says_how_to_fill_it(bare: Workspace) -> None:
    with pytest.raises(NotEnoughEvidenceError, match="no closed deals") as caught:
        train(bare, QUICK, now=END)
    assert "propensity import" in caught.value.hint


def test_leads_of_whom_none_has_closed_are_too_few(bare: Workspace) -> None:
    with bare.store.write() as connection:
        lead = LeadVersion(lead="ada", occurred_at=0, recorded_at=0)
        later = LeadVersion(lead="bo", occurred_at=9, recorded_at=9)
        ingest(connection, [lead, later], bare.definition(), END)
    with pytest.raises(NotEnoughEvidenceError, match="no closed deals"):
        train(bare, QUICK, now=END)
    assert not bare.bundles.exists()


def test_a_column_that_knows_the_outcome_stops_the_training_by_name(bare: Workspace) -> None:
    fill(bare.store, bare, 300, knows=1.0)
    with pytest.raises(LeakageError, match="paid"):
        train(bare, QUICK, now=END)
    assert not bare.bundles.exists(), "nothing was written"


def test_a_column_may_pass_by_name_and_the_card_says_so(bare: Workspace) -> None:
    fill(bare.store, bare, 300, knows=1.0)
    about = train(bare, replace(QUICK, allow_leakage=("paid",)), now=END).model.about
    assert about["left_out"]["allowed although the leakage probe named it"] == ["paid"]
    assert about["judged"]["figures"]["auc"]["estimate"] > 0.99


def test_a_history_without_dates_is_judged_in_folds_and_says_what_that_is_worth(
    bare: Workspace,
) -> None:
    fill(bare.store, bare, 300)
    trained = train(bare, QUICK, now=END)
    about = trained.model.about
    assert about["judged"]["bounds"] is None
    assert about["judged"]["how"].startswith("Judged in 3 seeded folds")
    assert about["judged"]["figures"]["n"] == about["data"]["rows"] == 300, "each row judged once"
    assert about["data"]["from"] is None
    assert any(w.startswith("Forward validation was impossible") for w in about["warnings"])
    assert about["judged"]["figures"]["auc"]["estimate"] > 0.7
    assert unseen_rows(bare, trained.model) is None, "it has learned from all rows"


def test_the_probe_is_asked_about_every_column_by_the_users_name(company: TrainedCompany) -> None:
    workspace = company.read_only()
    definition = workspace.definition()
    matured = build_dataset(workspace.store, definition, END, most_leads=10**6, seed=0).matured()
    look_for_leakage(matured, definition, CONFIG)
    knows = {**matured.frame.columns, "attr_employees": matured.y.astype(np.float64)}
    leaky = replace(matured, frame=replace(matured.frame, columns=knows))
    with pytest.raises(LeakageError) as caught:
        look_for_leakage(leaky, definition, CONFIG)
    assert "employees" in str(caught.value)
    assert "attr_employees" not in str(caught.value)
    workspace.store.close()


# On the command line


def run(workspace: Workspace, *arguments: str) -> Any:
    environment = {
        "PROPENSITY_DATA_DIR": str(workspace.data_dir),
        "PROPENSITY_MLFLOW": workspace.mlflow_uri,
    }
    done = CliRunner().invoke(app, list(arguments), env=environment, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_evaluate_prints_what_is_known_today_as_json(
    workspace: Workspace, company: TrainedCompany
) -> None:
    said = run(workspace, "evaluate", "newest", "--json")
    judged = company.model().about["judged"]["figures"]
    assert said["model"] == company.digest
    assert said["rows"] == said["figures"]["n"] == judged["n"]
    assert said["figures"]["auc"] == judged["auc"], "the same rows as when it was trained"
    assert said["figures"]["log_loss"] == judged["log_loss"]


def test_models_are_listed_compared_and_shown(
    workspace: Workspace, company: TrainedCompany
) -> None:
    promote(workspace, company.digest, now=END, by="ines")
    (listed,) = run(workspace, "models", "--json")
    assert (listed["digest"], listed["role"], listed["origin"]) == (
        company.digest,
        "champion",
        "train",
    )
    compared = run(workspace, "models", "compare", "newest", "champion", "--json")
    assert compared["verdict"] == "undecided"
    environment = {"PROPENSITY_DATA_DIR": str(workspace.data_dir)}
    card = CliRunner().invoke(app, ["models", "card"], env=environment).stdout
    assert card.startswith("# simulated_company: the probability to buy")
