"""Beside whom is our learner shown? Peers that get the same rows and columns, by name."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.peers.base_rate import base_rate
from benchmarks.peers.boosting import lightgbm, lightgbm_isotonic
from benchmarks.peers.logistic import logistic_regression
from benchmarks.peers.odoo import odoo, odoo_tenths
from benchmarks.peers.task import Answer, Peer, Task, task_of

__all__ = ["PEERS", "Answer", "Peer", "Task", "task_of"]

PEERS: Mapping[str, Peer] = {
    "base_rate": base_rate,
    "logistic_regression": logistic_regression,
    "lightgbm": lightgbm,
    "lightgbm_isotonic": lightgbm_isotonic,
    "odoo": odoo,
    "odoo_tenths": odoo_tenths,
}
"""Those that need nothing but what training needs."""
