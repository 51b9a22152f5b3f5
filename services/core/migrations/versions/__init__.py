"""Alembic's scripts, one a revision, each on top of the one before."""
