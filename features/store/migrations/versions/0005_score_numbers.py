"""Ids of scores are taken before they are written, so that an answer need not wait to have one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "score_numbers",
        sa.Column("one", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("next", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("one"),
    )
    op.execute(
        "INSERT INTO score_numbers (one, next) SELECT 1, coalesce(max(id), 0) + 1 FROM scores"
    )


def downgrade() -> None:
    op.drop_table("score_numbers")
