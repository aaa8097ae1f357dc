"""Two decisions about everybody, beside each other: who moves, from which reason to which."""
# ruff: noqa: S608 - only SQL of our own becomes text; all values are bound

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.consents.permission import decision, parameters
from consent.signals.stamp import UNIVERSAL

#: A parameter as SQLAlchemy reads it: a colon and a name, and no cast.
PARAMETER = re.compile(r"(?<![:\w]):(\w+)(?!:)")
#: So many people of each move are looked at for examples.
NAMED = 200


@dataclass(frozen=True, slots=True)
class Verdict:
    """Allow or deny, and why. Where a person's identifiers differ, one that is allowed decides."""

    allow: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Move:
    """How many people one decision puts here and the other one there; some of them."""

    now: Verdict
    then: Verdict
    people: int
    some: tuple[int, ...] = ()

    @property
    def turns(self) -> bool:
        """Whether use begins or ends."""
        return self.now.allow is not self.then.allow


#: What is said of one purpose, and besides what stands refused of the one above that it comes to
#: have, and by universal signals that come to be about it (`consent/sql/refused_above.sql`,
#: `opted_out_before.sql`).
WITH_HEARD = """heard_{name} AS (
  SELECT namespace, value, purpose, state, order_time, recorded_at, seq, effective_at, valid_until,
         purpose_version, account_wide, stamp, unproven, guardian, proof
  FROM consent.record WHERE purpose = :{name}_purpose
  UNION ALL
  SELECT r.namespace, r.value, :{name}_purpose, r.state, r.order_time, statement_timestamp(), r.seq,
         r.effective_at, NULL, :{name}_renewed, false, r.proof = 1, false, false,
         CASE WHEN r.universal = 'opt_out' THEN 4 ELSE r.proof END
  FROM consent.refused r WHERE r.purpose = :{name}_above
     OR r.universal = 'opt_out' AND r.purpose = ANY(CAST(:{name}_signalled AS text[]))
), """


@dataclass(frozen=True, slots=True)
class Heard:
    """What a version of a purpose hears that was said before it.

    `above` is the purpose that it comes to have above it: what is refused there is refused here.
    `signalled`: universal opt-outs come to be about it.
    """

    above: str | None = None
    signalled: bool = False


NOTHING = Heard()
#: A purpose that is not in the catalogue allows nothing.
ABSENT = Verdict(False, "purpose_not_found")


def compare(
    session: Session,
    now: consent.Purpose | None,
    then: consent.Purpose,
    *,
    heard: Heard = NOTHING,
) -> list[Move]:
    """Decide about everybody by each of two versions, with the product's own statement.

    None: there is no such purpose now. `heard` is what the second version comes to hear.
    """
    second, values = _side("then", then, heard)
    if now is None:
        first = (
            f"side_now AS (SELECT person_id, false AS allowed, '{ABSENT.reason}' AS reason"
            " FROM side_then)"
        )
    else:
        first, more = _side("now", now)
        values |= more
    rows = session.execute(
        sa.text(
            f"WITH {second}, {first} "
            "SELECT n.allowed, n.reason, t.allowed AS then_allowed, t.reason AS then_reason,"
            f" count(*) AS people, (array_agg(person_id ORDER BY person_id))[1:{NAMED}] AS some"
            " FROM side_now n JOIN side_then t USING (person_id)"
            " GROUP BY 1, 2, 3, 4 ORDER BY people DESC, 1, 2, 3, 4"
        ),
        values,
    )
    return [
        Move(
            Verdict(row.allowed, row.reason),
            Verdict(row.then_allowed, row.then_reason),
            row.people,
            tuple(row.some),
        )
        for row in rows
    ]


def decided(session: Session, purpose: consent.Purpose) -> dict[str, Any]:
    """Return how many people a purpose allows and denies, by reason."""
    side, values = _side("now", purpose)
    rows = session.execute(
        sa.text(f"WITH {side} SELECT allowed, reason, count(*) AS n FROM side_now GROUP BY 1, 2"),
        values,
    )
    verdicts = [(Verdict(row.allowed, row.reason), row.n) for row in rows]
    return counted([Move(verdict, verdict, people) for verdict, people in verdicts], "now")


def _side(
    name: str, purpose: consent.Purpose, heard: Heard = NOTHING
) -> tuple[str, dict[str, Any]]:
    """Return a table `side_NAME` of what is decided of each person, and its values."""
    text, records, values = decision(None).text, "", parameters(purpose, None)
    if heard != NOTHING:
        text = text.replace("consent.record ", f"heard_{name} ")
        text = text.replace(
            "d.purpose_key = :purpose",
            "d.purpose_key = :purpose OR d.kind = 'objection' AND d.purpose_key = :above",
        )
        records = WITH_HEARD.format(name=name)
        values |= {"above": heard.above, "signalled": list(UNIVERSAL) if heard.signalled else []}
    decided = PARAMETER.sub(rf":{name}_\1", text)
    sql = (
        f"{records}side_{name} AS MATERIALIZED (SELECT person_id, bool_or(allowed) AS allowed,"
        " coalesce(min(reason) FILTER (WHERE allowed), min(reason)) AS reason"
        f" FROM ({decided}) AS decided GROUP BY person_id)"
    )
    return sql, {f"{name}_{key}": value for key, value in values.items()}


def fail_open(purpose: consent.Purpose) -> consent.Purpose:
    """Return how a purpose is decided where consent that is missing or unreadable means yes.

    As RudderStack's and Segment's routers do: nobody looks further than the identifier at hand,
    nothing lapses, and only what it refused stops it (research/consent.md 1d). That is to decide
    per identifier, as if on legitimate interests. Demands of art. 18 and 21 are taken to be
    honoured, so what is counted by this is the least.
    """
    return replace(
        purpose, lawful_basis="legitimate_interests", mode="per_identifier", linkable=True,
        explicit=False, direct_marketing=False, renewed=0,
    )  # fmt: skip


def counted(moves: Iterable[Move], side: str) -> dict[str, Any]:
    """Return how many people one of the two decisions allows and denies, by reason."""
    allowed: Counter[str] = Counter()
    denied: Counter[str] = Counter()
    for move in moves:
        verdict: Verdict = getattr(move, side)
        (allowed if verdict.allow else denied)[verdict.reason] += move.people
    return {
        "allowed": allowed.total(),
        "denied": denied.total(),
        "by_reason": dict(sorted((allowed + denied).items())),
    }


def leaked(session: Session, purpose: consent.Purpose) -> dict[str, Any]:
    """Return how many people are denied whom fail-open rules would have let through, and why."""
    moves = compare(session, purpose, fail_open(purpose))
    reasons = {m.now.reason: 0 for m in moves if m.then.allow and not m.now.allow}
    for move in moves:
        if move.then.allow and not move.now.allow:
            reasons[move.now.reason] += move.people
    return {"people": sum(reasons.values()), "by_reason": dict(sorted(reasons.items()))}
