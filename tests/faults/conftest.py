"""A running service on which faults are let loose, and a shop whose jobs are killed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from served import Served
from shop import NOW as SHOP_NOW
from shop import Shop, Zygote, write_files
from stores import copy_installation


@pytest.fixture
def served(served_lite: Served) -> Served:
    """Here a service is on SQLite unless a test says otherwise: most faults are of one database."""
    return served_lite


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    made = Zygote()
    yield made
    made.close()


@pytest.fixture(scope="module")
def shop(zygote: Zygote, migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    home = tmp_path_factory.mktemp("shop")
    write_files(home)
    shutil.copy(migrated_sqlite, home / "propensity.db")
    digests = []
    for job, order in (
        ("import", {}),
        ("train", {}),
        ("promote", {"digest": "newest"}),
        ("train", {"now": SHOP_NOW + 1}),
    ):
        done = zygote(job, home, **order)
        assert done["exit"] == 0, done
        digests.append(done["said"])
    return Shop(home, digests[1], digests[3])


@pytest.fixture
def copy(shop: Shop, tmp_path: Path) -> Path:
    copy_installation(shop.home, tmp_path / "home")
    return tmp_path / "home"
