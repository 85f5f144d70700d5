"""What was shown, trials of the ranking, merged leads, and how far each CRM has been asked."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "shown",
        sa.Column("id", _ID, nullable=False),
        sa.Column("lead", _ID, nullable=False),
        sa.Column("score", _ID, nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("list", sa.String(length=400), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("place", sa.String(length=16), nullable=False),
        sa.Column("chance", sa.Float(53), nullable=True),
        sa.ForeignKeyConstraint(["lead"], ["leads.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("score", "rank", "day", "list", "channel", name="uq_shown_key"),
    )
    op.create_index("ix_shown_lead", "shown", ["lead", "at"])
    op.create_table(
        "trials",
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("explore", sa.Float(53), nullable=False),
        sa.Column("holdout", sa.Float(53), nullable=False),
        sa.Column("top", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("since"),
    )
    op.create_table(
        "lead_merges",
        sa.Column("id", _ID, nullable=False),
        sa.Column("lead", _ID, nullable=False),
        sa.Column("survivor", _ID, nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["lead"], ["leads.id"]),
        sa.ForeignKeyConstraint(["survivor"], ["leads.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("lead", "survivor", "recorded_at", name="uq_lead_merges_key"),
    )
    op.create_table(
        "outcome_pulls",
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("watermark", sa.BigInteger(), nullable=True),
        sa.Column("began", sa.BigInteger(), nullable=True),
        sa.Column("page", sa.Text(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("source"),
    )
    op.create_table(
        "outcomes_waiting",
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("external_id", sa.String(length=300), nullable=False),
        sa.Column("lead_id", sa.String(length=300), nullable=False),
        sa.Column("deal", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("source", "external_id"),
    )
    op.create_index("ix_outcomes_waiting_lead_id", "outcomes_waiting", ["lead_id"])


def downgrade() -> None:
    for table in ("outcomes_waiting", "outcome_pulls", "lead_merges", "trials", "shown"):
        op.drop_table(table)
