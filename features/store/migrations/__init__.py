"""How did the tables come about? Alembic revisions, shipped inside the package."""
