"""What can compiled code do? Score and explain; what `models.forest_engine` loads when asked to."""

from __future__ import annotations

from models.forest_raw import write_raw
from models.forest_shapley import write_told
from models.term_kernel import write_terms

__all__ = ["write_raw", "write_terms", "write_told"]
