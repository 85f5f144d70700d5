"""Is a connection that somebody still had when the store was closed closed too, once it is let go?"""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event, text

from features.store.engine import Store


@pytest.mark.parametrize("waits", [True, False])
def test_what_comes_back_after_the_end_is_closed(postgres_store: Store, waits: bool) -> None:
    made: list[Any] = []
    event.listen(postgres_store.engine, "connect", lambda connection, _: made.append(connection))
    with postgres_store.read() as connection:
        connection.execute(text("SELECT 1"))
        if waits:
            postgres_store.close()
    if not waits:
        postgres_store.close()
    assert [one.closed for one in made] == [True] * len(made)
    assert made
    postgres_store.check()  # whoever asks again is let in again
    assert not made[-1].closed
