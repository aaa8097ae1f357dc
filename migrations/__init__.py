"""Alembic migrations of the three schemas, forward and back."""
