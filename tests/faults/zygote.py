"""Runs jobs of the project in forked children that die where they are told to.

A process of its own, because a child forked from one whose OpenMP has run may wait for its threads for
ever; and one process for all jobs, because importing everything takes longer than any of them.

Reads a JSON list of orders a line, performed at once: `job`, `home`, and optionally where to die: `call`
(a dotted name), `when` (before or after it), `nth`; or `seconds` after which it is killed from outside.
Answers with a list: `exit` (negative: the signal), `seconds` it took, and what the job said.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import signal
import sys
import time
import warnings
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

# A tracking server that is not there is asked once and not again: these jobs are many.
os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
os.environ["OMP_NUM_THREADS"] = "1"

import structlog
from once_asked import claimed

from features.clock import DAY
from features.facts import LeadVersion
from features.store.closings import Deal
from features.store.files.load import load
from features.store.idempotency import Answer, Claim, finish, keep
from features.store.ingest import ingest
from features.store.recording import record_deals
from features.store.remembered import restore_without_erased
from models.workspace import Workspace
from serving.scoring import Ask, Occasion, score_one
from serving.state import LiveModel
from training.config import TrainConfig
from training.loop.schedule import Line
from training.loop.steps import Crew
from training.loop.worker import run_step
from training.promote import promote, roll_back
from training.recalibrate import recalibrate
from training.run import train

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import training.tracking  # noqa: F401

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))

OPENED, CLOSED = 18_800 * DAY, 18_890 * DAY
QUICK = TrainConfig(leaves=(2,), most_trees=20)


def workspace_of(order: dict[str, Any]) -> Workspace:
    return Workspace.of(
        {"PROPENSITY_DATA_DIR": order["home"], "PROPENSITY_MLFLOW": order.get("mlflow", "")}
    )


def run_import(order: dict[str, Any]) -> str:
    workspace = workspace_of(order)
    home = Path(order["home"])
    report = load(
        workspace.store,
        workspace.definition(),
        now=order["now"],
        rejects=home / "rejects",
        directory=home,
        chunk_rows=40,
    )
    return json.dumps([file.added for file in report.files])


def run_train(order: dict[str, Any]) -> str:
    return train(workspace_of(order), QUICK, now=order["now"]).digest


def run_promote(order: dict[str, Any]) -> str:
    workspace = workspace_of(order)
    return promote(workspace, order["digest"], now=order["now"], by="t", force="a test").decision


def run_roll_back(order: dict[str, Any]) -> str:
    workspace = workspace_of(order)
    return roll_back(workspace, now=order["now"], by="t", reason="a", on_warning=lambda _: None)


def run_recalibrate(order: dict[str, Any]) -> str:
    return recalibrate(workspace_of(order), now=order["now"], by="t").digest


def run_score(order: dict[str, Any]) -> str:
    """Score leads one by one; what was answered is noted as soon as the answer is there."""
    workspace = workspace_of(order)
    live = LiveModel(workspace, lambda: order["now"], 180.0)
    live.look()
    occasion = Occasion(now=order["now"])
    for i in range(60):
        given = score_one(workspace.store, live.scorer(), Ask(f"L{i}", order["now"]), occasion)
        acknowledge(order, str(given.score_id))
    return "scored"


def run_tell(order: dict[str, Any]) -> str:
    """Send new leads in batches of twenty; each batch is noted as soon as it was taken."""
    workspace, now = workspace_of(order), order["now"]
    definition = workspace.definition()
    for batch in range(60):
        names = [f"N{batch}-{i}" for i in range(20)]
        facts = [LeadVersion(lead=n, occurred_at=now - 9, recorded_at=now - 9) for n in names]
        with workspace.store.write() as connection:
            assert not ingest(connection, facts, definition, now).problems
        acknowledge(order, str(batch))
    return "told"


def run_close(order: dict[str, Any]) -> str:
    """Send new leads with their deals in batches of twenty, as a CRM does at night."""
    workspace, now = workspace_of(order), order["now"]
    definition = workspace.definition()
    for batch in range(60):
        names = [f"C{batch}-{i}" for i in range(20)]
        facts = [LeadVersion(lead=n, occurred_at=OPENED, recorded_at=now) for n in names]
        won = {"ending": "won", "occurred_at": CLOSED, "recorded_at": now}
        closed = [Deal(lead=n, external_id=f"deal of {n}", **won) for n in names]
        with workspace.store.write() as connection:
            assert not ingest(connection, facts, definition, now).problems
            assert not record_deals(connection, closed, definition, now).problems
        acknowledge(order, str(batch))
    return "closed"


def run_tell_once(order: dict[str, Any]) -> str:
    """Send new leads in batches of twenty, each under an idempotency key, as `serving.once` does."""
    workspace, now = workspace_of(order), order["now"]
    definition = workspace.definition()
    for batch in range(60):
        found = claimed(workspace.store, batch, now)
        if isinstance(found, Claim):
            names = [f"K{batch}-{i}" for i in range(20)]
            facts = [LeadVersion(lead=n, occurred_at=OPENED, recorded_at=now) for n in names]
            answer = Answer(200, "text/plain", secrets.token_hex(8))
            with workspace.store.write() as connection:
                assert not ingest(connection, facts, definition, now).problems
                keep(connection, found, answer)
            with workspace.store.write() as connection:
                found = finish(connection, found, answer)
        assert isinstance(found, Answer), found
        acknowledge(order, f"{batch} {found.body}")
    return "told once"


def run_restore(order: dict[str, Any]) -> str:
    """Bring the backup back that lies beside, without whom was erased since."""
    home = Path(order["home"])
    again = restore_without_erased(
        home.parent / "safe" / "copy",
        home / "propensity.db",
        home / "definition.yaml",
        home / "backups",
        by="tests",
        now=order["now"],
    )
    return str(again)


def run_step_of(order: dict[str, Any]) -> str:
    """A step as a worker runs it, for the due time that `now` falls on."""
    workspace, now = workspace_of(order), int(order["now"])
    step = Crew(workspace, "tests", config=QUICK).steps()[order["step"]]
    ran = run_step(
        workspace.store,
        step,
        clock=lambda: now,
        holder=order["holder"],
        line=Line(step.name, DAY),
        lease_seconds=float(order["lease_seconds"]),
    )
    return "answered already" if ran is None else ran.outcome


def acknowledge(order: dict[str, Any], what: str) -> None:
    """Tell the outside world; the operating system keeps it when this process is killed."""
    with (Path(order["home"]) / "acknowledged").open("ab", buffering=0) as file:
        file.write(f"{what}\n".encode())


JOBS: dict[str, Callable[[dict[str, Any]], str]] = {
    "import": run_import,
    "score": run_score,
    "tell": run_tell,
    "close": run_close,
    "tell once": run_tell_once,
    "train": run_train,
    "promote": run_promote,
    "roll back": run_roll_back,
    "recalibrate": run_recalibrate,
    "restore": run_restore,
    "step": run_step_of,
}


def die_at(call: str, when: str, nth: int) -> None:
    """Make the nth call of a function the last thing this process does, or not even that."""
    module_name, _, name = call.rpartition(".")
    module = sys.modules[__name__] if module_name == "zygote" else import_module(module_name)
    function, calls = getattr(module, name), 0

    @wraps(function)
    def deadly(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == nth and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*arguments, **named)
        if calls == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(module, name, deadly)


def in_child(order: dict[str, Any], answer: int) -> None:
    code = 1
    try:
        if "call" in order:
            die_at(order["call"], order["when"], order.get("nth", 1))
        said = JOBS[order["job"]](order)
        code = 0
    except BaseException as error:
        said = f"{type(error).__name__}: {error}"
    os.write(answer, said.encode()[:4_000])
    os._exit(code)


def start(order: dict[str, Any]) -> tuple[int, int]:
    """The child that performs an order, and where its answer is read."""
    reading, writing = os.pipe()
    child = os.fork()
    # With whatever it starts, it is killed as a group: made by both, as nobody knows who comes first.
    os.setpgid(child, child)
    if child == 0:
        os.close(reading)
        in_child(order, writing)
    os.close(writing)
    return child, reading


def perform(orders: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All orders at once; the time to be killed after counts from the start."""
    started = time.monotonic()
    children = [start(order) for order in orders]
    for order, (child, _) in zip(orders, children, strict=True):
        if "seconds" in order:
            time.sleep(max(0.0, started + order["seconds"] - time.monotonic()))
            os.killpg(child, signal.SIGKILL)
    answers = []
    for child, reading in children:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        with os.fdopen(reading) as said:
            took = time.monotonic() - started
            answers.append({"exit": code, "said": said.read(), "seconds": took})
    return answers


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(perform(json.loads(line))), flush=True)
