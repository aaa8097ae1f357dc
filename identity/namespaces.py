"""The rules of namespaces in force: the defaults, and what an operator put in their place."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from identity.errors import NamespaceRulesInvalid
from identity.identifiers import (
    NAMESPACE_NAME,
    NAMESPACES,
    Namespace,
    Rules,
    namespace,
    normalise,
)
from identity.lock import lock
from identity.tables import Identifier, Link, NamespaceRules

#: A pattern longer than this is no pattern but a list.
LONGEST_PATTERN = 200
MOST_PATTERNS = 30
BACK_REFERENCE = re.compile(r"\\[1-9]")


#: Columns and not objects of the session, which may be older than the table.
IN_FORCE = sa.select(*NamespaceRules.__table__.columns)


@dataclass(frozen=True, slots=True)
class Setting:
    """The rules of one namespace, the values it blocks, and whether an operator set them."""

    rules: Namespace
    blocked: tuple[str, ...] = ()
    blocked_patterns: tuple[str, ...] = ()
    changed_by: str | None = None


def in_force(session: Session) -> Rules:
    """Return the rules that an operator set, by namespace."""
    return {row.name: _rules(row) for row in session.execute(IN_FORCE).all()}


def list_all(session: Session) -> list[Setting]:
    """Return the rules of the known namespaces and of those that were set, the strongest first."""
    rows = {row.name: _setting(row) for row in session.scalars(sa.select(NamespaceRules))}
    found = {name: Setting(rules) for name, rules in NAMESPACES.items()} | rows
    return sorted(found.values(), key=lambda s: (s.rules.priority, s.rules.name))


def get(session: Session, name: str) -> Setting:
    """Return the rules of one namespace."""
    row = session.get(NamespaceRules, name)
    return _setting(row) if row else Setting(namespace(name))


def check(session: Session, setting: Setting) -> None:
    """Raise NamespaceRulesInvalid for rules that contradict each other or cannot be read."""
    rules = setting.rules
    if not NAMESPACE_NAME.match(rules.name):
        raise NamespaceRulesInvalid(f"{rules.name[:80]!r} is no name of a namespace")
    if rules.unique and rules.limit != 1:
        raise NamespaceRulesInvalid("of a unique namespace a person has one: the limit is 1")
    for pattern in setting.blocked_patterns:
        _demand_pattern(session, pattern)


def put(session: Session, setting: Setting, *, by: str) -> None:
    """Set the rules of a namespace; they hold from the next computation on.

    The caller has the people of `touched` looked at again. Raises NamespaceRulesInvalid.
    """
    check(session, setting)
    rules = setting.rules
    values = {
        "priority": rules.priority,
        "max_values": rules.limit,
        "is_unique": rules.unique,
        "most_links": rules.most_links,
        "owner_days": rules.owner_days,
        "last_owner": rules.last_owner,
        "blocked": sorted({blocked_form(rules.name, value) for value in setting.blocked}),
        "blocked_patterns": list(setting.blocked_patterns),
        "changed_at": sa.func.clock_timestamp(),
        "changed_by": by,
    }
    lock(session)  # a step under way knows the old rules, and its links are not seen here
    _demand_few(session, rules.name, setting.blocked_patterns)
    row = insert(NamespaceRules).values(name=rules.name, **values)
    session.execute(row.on_conflict_do_update(index_elements=["name"], set_=values))
    session.expire_all()


def reset(session: Session, name: str) -> bool:
    """Return to the default rules of a namespace; say whether there were others."""
    lock(session)
    row = session.get(NamespaceRules, name)
    if row is not None:
        session.delete(row)
        session.flush()
    return row is not None


def touched(
    session: Session, name: str, *, within: tuple[int, int] | None = None, portion: int = 10_000
) -> Iterator[list[int]]:
    """Yield, in portions, who must be looked at again when the rules of a namespace change.

    `within` are bounds of the namespace's identifiers that are looked through.

    These are its identifiers that have links and those they are linked with: whether a device is
    shared hangs on the rules of the logins it was seen with.
    """
    mine = sa.select(Identifier.id).where(Identifier.namespace == name)
    if within:
        mine = mine.where(Identifier.id > within[0], Identifier.id <= within[1])
    ends = sa.union(
        *(
            sa.select(end.label("id")).where(Link.revoked_at.is_(None), side.in_(mine))
            for side in (Link.left_id, Link.right_id)
            for end in (Link.left_id, Link.right_id)
        )
    )
    found = session.scalars(sa.select(ends.subquery().c.id).order_by(sa.text("id")))
    for part in found.partitions(portion):
        yield list(part)


def blocked_form(name: str, value: str) -> str:
    """Return a blocked value as identifiers of its namespace are compared with it."""
    return (normalise(name, value) or value.strip()).lower()


def _demand_few(session: Session, name: str, patterns: Sequence[str]) -> None:
    """PostgreSQL remembers 32 compiled expressions; with 50 each step took 4 s instead of .2."""
    others = sa.select(NamespaceRules.blocked_patterns).where(NamespaceRules.name != name)
    if len(patterns) + sum(map(len, session.scalars(others))) > MOST_PATTERNS:
        raise NamespaceRulesInvalid(
            f"all namespaces together have at most {MOST_PATTERNS} patterns"
        )


def _demand_pattern(session: Session, pattern: str) -> None:
    """PostgreSQL matches them, whose automaton needs no more time for a hostile value.

    That holds without references back to what a group matched.
    """
    if not pattern or len(pattern) > LONGEST_PATTERN:
        raise NamespaceRulesInvalid(f"a pattern has 1 to {LONGEST_PATTERN} characters")
    if BACK_REFERENCE.search(pattern):
        raise NamespaceRulesInvalid("a pattern must not refer back to a group, as in \\1")
    try:
        with session.begin_nested():
            session.execute(sa.text("SELECT '' ~ :pattern"), {"pattern": pattern})
    except sa.exc.DataError as error:
        raise NamespaceRulesInvalid("a pattern is no regular expression of PostgreSQL") from error


def _rules(row: NamespaceRules | sa.Row[Any]) -> Namespace:
    return Namespace(
        row.name, row.priority, row.max_values, row.is_unique,
        row.most_links, row.owner_days, row.last_owner,
    )  # fmt: skip


def _setting(row: NamespaceRules) -> Setting:
    return Setting(_rules(row), tuple(row.blocked), tuple(row.blocked_patterns), row.changed_by)
