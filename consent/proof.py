"""How well the grants on record are proved (GDPR art. 7(1))."""

from functools import cache
from importlib.resources import files

import sqlalchemy as sa
from sqlalchemy.orm import Session


@cache
def _statement() -> sa.TextClause:
    return sa.text((files("consent") / "sql" / "proof.sql").read_text(encoding="utf-8"))


def proof(session: Session) -> dict[str, int]:
    """Count the grants on record by what proves them.

    `records` are all grants; `without_notice` name none; `notice_not_proven` name one that nobody
    proved to have been shown; `unproven` were collected by a partner without proof, and allow
    nothing; `conditional_on_service` were asked for on a notice that makes the service depend on
    them (GDPR art. 7(4)); `event_stamps` are what events carried along.
    """
    return dict(session.execute(_statement()).mappings().one())
