"""Leases, the bytes of bundles, and an index by which the newest fact is found."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_FACTS = ("answers", "deals", "events", "lead_versions", "stages")


def upgrade() -> None:
    op.create_table(
        "bundle_files",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("sha256"),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("holder", sa.String(length=300), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("renewed_at", sa.BigInteger(), nullable=False),
        sa.Column("term", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    for table in _FACTS:
        op.create_index(f"ix_{table}_recorded", table, ["recorded_at"], unique=False)


def downgrade() -> None:
    for table in reversed(_FACTS):
        op.drop_index(f"ix_{table}_recorded", table)
    op.drop_table("leases")
    op.drop_table("bundle_files")
