"""Stating how old somebody is, with what follows from it."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from app import work
from app.consents import in_use
from app.suppression import gate
from consent import ages
from identity import graph


def state(
    session: Session,
    namespace: str,
    value: str,
    told: Sequence[ages.Span],
    *,
    stated_by: str,
    at: datetime,
) -> None:
    """Put on record how old the person of a canonical identifier is; in force from the commit on.

    Segments and destinations hear of it from the worker. Raises SubjectSuppressed.
    """
    gate.refuse(session, [(namespace, value)])
    ids = graph.identify(session, [(namespace, value)])
    in_use.wait(session, ids.values())
    ages.state(session, namespace, value, told, stated_by=stated_by, at=at)
    bands = {"all": told[0].band if told else "adult"}
    work.touch(session, [(one, "consent", bands) for one in ids.values()])
