"""Where facts, scores and decisions are kept: SQLite by default, PostgreSQL by URL."""
