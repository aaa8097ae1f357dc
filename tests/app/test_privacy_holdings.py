"""Whoever adds a table says what an erasure does there."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.privacy.holdings import HOLDINGS


def test_every_table_is_in_the_catalogue_of_what_an_erasure_does(session: Session) -> None:
    tables = set(
        session.scalars(
            sa.text(
                "SELECT format('%s.%s', n.nspname, c.relname) FROM pg_class c "
                "JOIN pg_namespace n ON n.oid = c.relnamespace "
                "WHERE n.nspname IN ('app', 'consent', 'identity') AND c.relkind IN ('r', 'p') "
                "AND NOT c.relispartition"
            )
        )
    )
    assert tables - HOLDINGS.keys() == set(), "say in app/privacy/holdings.py what becomes of them"
    assert HOLDINGS.keys() - tables == set()


def test_there_is_nothing_else_in_which_data_could_stand(session: Session) -> None:
    """No materialised view, foreign table, large object or other schema of ours."""
    kinds = session.scalars(
        sa.text(
            "SELECT DISTINCT CAST(c.relkind AS text) FROM pg_class c "
            "JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'"
        )
    ).all()
    assert set(kinds) <= {"r", "p", "i", "I", "S", "v", "t"}
    assert not session.scalar(sa.text("SELECT count(*) FROM pg_largeobject_metadata"))
    schemas = session.scalars(
        sa.text(
            "SELECT nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%' "
            "AND nspname <> 'information_schema'"
        )
    ).all()
    assert set(schemas) == {"app", "consent", "identity", "public"}
    public = session.scalars(
        sa.text("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace")
    ).all()
    assert set(public) == {"schema_version", "schema_version_pkc"}
