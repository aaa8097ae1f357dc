"""The rules of the golden record that an operator has set, and which of them are in force."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.access.tables import Source
from app.errors import DefinitionInvalid, TraitRuleNotFound
from app.profiles.survivorship import COUNTED, Survivorship, checked
from app.profiles.tables import TraitRule, TraitValue

#: Each is asked for in every read and every step.
MOST_RULES = 500
#: Made once, for that.
_ALL = sa.select(TraitRule).order_by(TraitRule.key)


@dataclass(frozen=True, slots=True)
class RuleState:
    """A rule with its state: `computing` until every value ever said is known, up to `share`."""

    key: str
    rule: Survivorship
    state: str
    share: float
    set_at: datetime
    set_by: str


def put(session: Session, key: str, rule: str, sources: tuple[str, ...], *, by: str) -> RuleState:
    """Set the rule of a trait; it holds at once, or once the events have been looked through.

    From one rule that needs every value to another there is nothing to look through. Raises
    DefinitionInvalid.
    """
    wanted = checked(key, rule, sources)
    known = set(session.scalars(sa.select(Source.name).where(Source.name.in_(sources))))
    unknown = [name for name in sources if name not in known]
    if unknown:
        raise DefinitionInvalid(f"sources: no source is called {unknown[0]}")
    found = _locked(session, key)
    if found is None:
        session.execute(sa.text("LOCK TABLE app.trait_rule IN SHARE ROW EXCLUSIVE MODE"))
        found = _locked(session, key)
    if found is None:
        if (session.scalar(sa.select(sa.func.count()).select_from(TraitRule)) or 0) >= MOST_RULES:
            raise DefinitionInvalid(f"at most {MOST_RULES} traits have a rule")
        found = TraitRule(key=key, rule="latest", sources=[], position=0, set_by=by)
        session.add(found)
    if wanted.rule not in COUNTED:
        _forget(session, key)
        found.position, found.until = 0, None
    found.rule, found.sources, found.set_by = wanted.rule, list(wanted.sources), by
    found.set_at = session.scalar(sa.select(sa.func.now())) or found.set_at
    session.flush()
    return _state(found)


def remove(session: Session, key: str) -> None:
    """Let the latest value count again; raises TraitRuleNotFound."""
    found = _locked(session, key)
    if found is None:
        raise TraitRuleNotFound(key)
    _forget(session, key)
    session.delete(found)


def _locked(session: Session, key: str) -> TraitRule | None:
    """Read a rule as it is now; who looks through events for it locks it first of all, too."""
    return session.get(TraitRule, key, with_for_update=True, populate_existing=True)


def _forget(session: Session, key: str) -> None:
    gone = sa.delete(TraitValue).where(TraitValue.key == key)
    session.execute(gone, execution_options={"synchronize_session": False})


def find(session: Session, key: str) -> RuleState:
    """Return the rule of a trait; raises TraitRuleNotFound where the latest counts by default."""
    found = session.get(TraitRule, key)
    if found is None:
        raise TraitRuleNotFound(key)
    return _state(found)


def list_all(session: Session) -> list[RuleState]:
    """Return all rules, by trait."""
    return [_state(row) for row in session.scalars(_ALL)]


def in_force(session: Session) -> dict[str, Survivorship]:
    """Return the rules that hold now, by trait; of all other traits the latest value counts."""
    return {found.key: found.rule for found in list_all(session) if found.state == "in_force"}


def counted(session: Session) -> set[str]:
    """Return the traits of which every value is counted, or begins to be."""
    query = sa.select(TraitRule.key).where(TraitRule.rule.in_(sorted(COUNTED)))
    return set(session.scalars(query))


def describe(found: RuleState) -> dict[str, Any]:
    """Return a rule as the API and the command line show it."""
    return {
        "trait": found.key,
        "rule": found.rule.rule,
        "sources": list(found.rule.sources),
        "state": found.state,
        "share": round(found.share, 4),
        "set_at": found.set_at.isoformat(),
        "set_by": found.set_by,
    }


def _state(row: TraitRule) -> RuleState:
    share = 1.0
    if row.rule in COUNTED:
        share = 0.0
        if row.until is not None:
            share = 1.0 if row.position >= row.until else row.position / row.until
    return RuleState(
        row.key,
        Survivorship(row.rule, tuple(row.sources)),
        "in_force" if share == 1.0 else "computing",
        share,
        row.set_at,
        row.set_by,
    )
