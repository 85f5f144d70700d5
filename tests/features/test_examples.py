"""Do the examples in the documentation of the feature code still hold?"""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import features

MODULES = [
    module.name
    for module in pkgutil.walk_packages(features.__path__, "features.")
    if "migrations" not in module.name
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_hold(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_some_modules_have_examples() -> None:
    tried = [doctest.testmod(importlib.import_module(name)).attempted for name in MODULES]
    assert sum(tried) >= 5
