"""Does an installation say where everything is, and refuse what cannot be meant?"""

from __future__ import annotations

from pathlib import Path

import pytest

from features.errors import InputError
from models.workspace import Workspace


def test_everything_is_below_the_data_directory_unless_it_is_named(tmp_path: Path) -> None:
    usual = Workspace.of({"PROPENSITY_DATA_DIR": str(tmp_path)})
    assert usual.definition_path == tmp_path / "definition.yaml"
    assert usual.sources_path == tmp_path / "sources.yaml"
    assert usual.lease_seconds == 60.0
    named = {"PROPENSITY_DEFINITION": "/agreed.yaml", "PROPENSITY_LEASE_SECONDS": "7.5"}
    other = Workspace.of({"PROPENSITY_DATA_DIR": str(tmp_path), **named})
    assert other.definition_path == Path("/agreed.yaml")
    assert other.sources_path == Path("/sources.yaml")
    assert other.lease_seconds == 7.5


@pytest.mark.parametrize("given", ["a minute", "2.9", "0", "-60", "nan", "inf"])
def test_a_term_that_no_holder_could_keep_is_refused(given: str) -> None:
    with pytest.raises(InputError, match="PROPENSITY_LEASE_SECONDS"):
        Workspace.of({"PROPENSITY_LEASE_SECONDS": given})
