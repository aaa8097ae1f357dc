"""Retention rules: set, listed and removed."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.access import sources
from app.access.tables import Source
from app.errors import DefinitionInvalid, RetentionRuleNotFound
from app.events.envelope import TYPES
from app.retention.tables import RetentionRule

#: A hundred years: what is to be kept longer is kept for ever.
MOST_DAYS = 36_500


def put(
    session: Session,
    *,
    source: str | None = None,
    type_: str | None = None,
    event: str | None = None,
    days: int | None,
) -> RetentionRule:
    """Set how long these events are kept; `days` None keeps them for ever.

    A rule for the same events is replaced, also by two at once. Raises SourceNotFound and
    DefinitionInvalid.
    """
    if days is not None and not 1 <= days <= MOST_DAYS:
        raise DefinitionInvalid(f"days: from 1 to {MOST_DAYS}")
    if type_ is not None and type_ not in TYPES:
        raise DefinitionInvalid(f"type: one of {', '.join(TYPES)}")
    made = insert(RetentionRule).values(
        source_id=sources.find(session, source).id if source is not None else None,
        type=type_,
        event=event,
        days=days,
    )
    rule_id = session.scalar(
        made.on_conflict_do_update(
            constraint="retention_rule_key", set_={"days": made.excluded.days}
        ).returning(RetentionRule.id)
    )
    return session.get_one(RetentionRule, rule_id, populate_existing=True)


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
