"""Retention rules: set, listed and removed."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.access import sources
from app.access.tables import Source
from app.errors import RetentionRuleNotFound
from app.retention.tables import RetentionRule


def put(
    session: Session,
    *,
    source: str | None = None,
    type_: str | None = None,
    event: str | None = None,
    days: int | None,
) -> RetentionRule:
    """Set how long these events are kept; `days` None keeps them for ever.

    A rule for the same events is replaced. Raises SourceNotFound.
    """
    key = {
        "source_id": sources.find(session, source).id if source is not None else None,
        "type": type_,
        "event": event,
    }
    rule = session.scalar(
        sa.select(RetentionRule).where(
            *(getattr(RetentionRule, name).is_not_distinct_from(v) for name, v in key.items())
        )
    )
    if rule is None:
        rule = RetentionRule(**key)
        session.add(rule)
    rule.days = days
    session.flush()
    return rule


def list_all(session: Session) -> list[tuple[RetentionRule, str | None]]:
    """Return the rules with the names of their sources, the more specific first."""
    rows = session.execute(
        sa.select(RetentionRule, Source.name)
        .outerjoin(Source, Source.id == RetentionRule.source_id)
        .order_by(
            RetentionRule.source_id.is_(None),
            Source.name,
            RetentionRule.event.is_(None),
            RetentionRule.event,
            RetentionRule.type.is_(None),
            RetentionRule.type,
        )
    )
    return [(rule, name) for rule, name in rows]


def remove(session: Session, rule_id: int) -> None:
    """Remove a rule; its events follow the next less specific one. Raises RetentionRuleNotFound."""
    rule = session.get(RetentionRule, rule_id)
    if rule is None:
        raise RetentionRuleNotFound(str(rule_id))
    session.delete(rule)
