"""Changes of the main database's schema: Alembic's scripts, and what runs them at a start."""
