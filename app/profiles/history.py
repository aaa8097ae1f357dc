"""Every value that identifiers' events ever set, for the traits whose rule needs to know them."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import Sessions, statement
from app.profiles.survivorship import COUNTED
from app.profiles.tables import TraitRule, TraitValue
from identity import graph

#: Identifiers looked through in one transaction, during which no event is taken: 0.1 s.
PORTION = 2_000


def count(session: Session, said: Iterable[Mapping[str, Any]]) -> set[int]:
    """Add what events say to what is known; return the identifiers concerned.

    Each event once. The same events in another order, or in other batches, end in the same rows.
    """
    rows = list(said)
    if not rows:
        return set()
    encoded = msgspec.json.encode(rows).decode()
    session.execute(statement("app.profiles", "count_values"), {"rows": encoded})
    return {row["identifier_id"] for row in rows}


def rebuild(session: Session, identifiers: Collection[int], keys: Collection[str]) -> None:
    """Count anew what these identifiers' events say of these traits, as far as they are projected.

    No step of the pipeline may be under way. A value whose event retention has deleted counts once,
    as long as its source has said nothing else since.
    """
    if not identifiers or not keys:
        return
    session.execute(
        sa.delete(TraitValue).where(
            graph.among(TraitValue.identifier_id, identifiers), TraitValue.key.in_(sorted(keys))
        ),
        execution_options={"synchronize_session": False},
    )
    said = session.execute(
        statement("app.profiles", "values_said"),
        {"identifiers": graph.array(identifiers), "keys": sorted(keys)},
    )
    count(
        session, ({**row, "value": msgspec.Raw(row["value"].encode())} for row in said.mappings())
    )


def wait_for_steps(session: Session) -> None:
    """Wait until no step of the pipeline is under way, and let none begin before this ends."""
    session.execute(sa.text("SELECT pg_advisory_xact_lock(hashtextextended('pipeline', 0))"))


def advance(sessions: Sessions, in_force: Callable[[Session, str], None] = lambda *_: None) -> bool:
    """Look through the next portion of identifiers for a rule that waits; say whether one did.

    In one transaction, with no step of the pipeline beside it: what the pipeline takes afterwards
    it counts itself, since it then sees the rule. `in_force` is told of the trait whose rule holds
    from now on.
    """
    with sessions.begin() as session:
        if not session.scalar(sa.select(_WAITING.exists())):
            return False
        wait_for_steps(session)
        first = _WAITING.order_by(TraitRule.position, TraitRule.key).limit(1).with_for_update()
        rule = session.scalar(first)
        if rule is None:
            return False
        if rule.until is None:
            rule.until = session.scalar(sa.text(_LAST)) or 0
        ids = session.scalars(
            sa.text(_NEXT), {"after": rule.position, "until": rule.until, "limit": PORTION}
        ).all()
        rebuild(session, ids, [rule.key])
        rule.position = ids[-1] if len(ids) == PORTION else rule.until
        if rule.position >= rule.until:
            in_force(session, rule.key)
        return True


_WAITING = sa.select(TraitRule).where(
    TraitRule.rule.in_(sorted(COUNTED)),
    sa.or_(TraitRule.until.is_(None), TraitRule.position < TraitRule.until),
)
_LAST = "SELECT max(identifier_id) FROM identity.current_person"
_NEXT = (
    "SELECT identifier_id FROM identity.current_person "
    "WHERE identifier_id > :after AND identifier_id <= :until ORDER BY identifier_id LIMIT :limit"
)
