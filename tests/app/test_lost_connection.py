"""A connection that is lost in the middle of an answer leaves nothing open behind it."""

import gc

import pytest
import sqlalchemy as sa

from app import db


def test_the_cursor_of_a_lost_connection_is_closed(database_url: str) -> None:
    """Warnings are errors here: psycopg's, of a cursor that was dropped open, would fail this."""
    engine = db.engine(database_url)
    lost = sa.text("SELECT pg_terminate_backend(pg_backend_pid())")
    for reading in ({"stream_results": True}, {}):
        with engine.connect() as connection, pytest.raises(sa.exc.OperationalError):
            connection.execute(lost, execution_options=reading).all()
        gc.collect()
    engine.dispose()
