"""Keys may expire and tell when they were last used; sessions end when nobody uses them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("api_keys") as keys:
        keys.add_column(sa.Column("expires_at", sa.BigInteger(), nullable=True))
        keys.add_column(sa.Column("used_at", sa.BigInteger(), nullable=True))
    with op.batch_alter_table("sessions") as sessions:
        sessions.add_column(sa.Column("used_at", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("sessions") as sessions:
        sessions.drop_column("used_at")
    with op.batch_alter_table("api_keys") as keys:
        keys.drop_column("used_at")
        keys.drop_column("expires_at")
