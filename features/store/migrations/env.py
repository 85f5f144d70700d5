"""Where does Alembic run? On the connection that `features.store.migrate` hands over."""

from __future__ import annotations

from alembic import context

from features.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
