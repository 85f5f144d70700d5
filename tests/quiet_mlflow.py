"""MLflow, imported with its own warnings unheard.

Warnings are errors here, and MLflow's store maps its tables at its first use: a deprecation that is
raised half-way leaves it broken for the whole process. So that happens once, before any test.
"""

from __future__ import annotations

import warnings
from importlib import import_module

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from training import tracking

    for kind in ("tracking", "model_registry"):
        import_module(f"mlflow.store.{kind}.sqlalchemy_store")

__all__ = ["tracking"]
