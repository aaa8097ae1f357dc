"""What identifiers' events say about people: the attributes that matching compares."""

from collections.abc import Mapping

from sqlalchemy.orm import Session

from identity import graph


def keep(session: Session, records: Mapping[int, Mapping[str, str]]) -> set[int]:
    """Fold new attributes into what is known; return the identifiers that said something new."""
    rows = [
        {"identifier_id": i, "fields": dict(fields)}
        for i, fields in sorted(records.items())
        if fields
    ]
    if not rows:
        return set()
    changed = session.execute(graph.statement("keep_records"), {"rows": graph.rows_of(rows)})
    return {row.identifier_id for row in changed}
