"""The decision for sets: whose identifiers may be used for a purpose, in one statement."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.db import for_many, statement
from consent.resolve import UNCONDITIONAL, UNRESTRICTED
from identity import people as identity

#: What is done with the data: counted without naming anybody, or anything else.
Use = Literal["analyse", "person"]
#: Of whom demands and ages are looked up, where some people are asked about (`said_by_some.sql`).
OF_SOME = "WHERE person_id = ANY(ARRAY(SELECT unnest(CAST(:people AS bigint[]))))"
#: Where the statement reads whose an identifier is, and the same where a match makes nobody one.
AS_MATCHED = ("group_id, person_id FROM identity", "i.group_id, i.person_id, r.state")
AS_ASSERTED = ("group_id, group_id AS person_id FROM identity",
               "i.group_id, i.group_id AS person_id, r.state")  # fmt: skip

#: Where it reads what refuses, and of which record; and what is told of opt-outs.
HEARD = (
    ("(r.state <> 'given' OR r.effective_at <= statement_timestamp())", "r"),
    ("AND n.state <> 'given' AND n.proof > said.proof", "n"),
)
OPTED_OUT = "AND o.purpose = :purpose"
# A grant that allows nothing takes the place of one that does as a refusal would. Of what the
# catalogue copied from above, who said it first counts; where that is not told, it may be a page.
_BY_A_PAGE = """({0}.state <> 'given' OR {0}.unproven OR {0}.purpose_version < :renewed
         OR :explicit AND {0}.stamp)
    AND starts_with(CASE WHEN {0}.collected_by <> 'catalogue' THEN {0}.collected_by
                         ELSE coalesce({0}.evidence ->> 'said_by', 'source:') END, 'source:')
    AND {0}.evidence ->> 'server_side' IS DISTINCT FROM 'true'
    AND {0}.recorded_at > statement_timestamp() - make_interval(days => CAST(:page_days AS int))"""
_NOT_BY_A_PAGE = f"\n    AND NOT ({_BY_A_PAGE})"
_NOT_ITS_OPT_OUT = f"""
    AND NOT EXISTS (SELECT FROM consent.record n
                    WHERE n.id = o.record_id AND {_BY_A_PAGE.format("n")})"""


@dataclass(frozen=True, slots=True)
class Permission:
    """What the decision says of one identifier."""

    identifier_id: int
    group_id: int
    person_id: int
    allowed: bool
    reason: str


def decision(people: Collection[int] | None) -> sa.TextClause:
    """Return the statement that decides for some people, or for everybody (None).

    One text with two ways of looking up: joined, two people of 200,000 take 1 s instead of .2 ms;
    one by one, all of them 6.6 s instead of 4.7. As two statements, and not as one that looks at
    whether `:people` is null, PostgreSQL plans the small one once and keeps the plan.
    """
    return _for_everybody() if people is None else _for_some()


@cache
def undisputed(*, matched: bool) -> sa.TextClause:
    """Return the statement that decides for some people without what anybody may have refused.

    For what cannot be undone (`app.retention`): refusals of the last `:page_days` that came by a
    key which stands in pages are not heard in it. It has the parameters of `decision` beside that.
    Without `matched`, it decides as if nobody had been: a match may be wrong, and then one person's
    refusal would destroy what is of another.
    """
    whole = _for_some().text
    for heard, alias in HEARD:
        whole = _put(whole, heard, heard + _NOT_BY_A_PAGE.format(alias))
    whole = _put(whole, OPTED_OUT, OPTED_OUT + _NOT_ITS_OPT_OUT)
    if not matched:
        for joined, alone in zip(AS_MATCHED, AS_ASSERTED, strict=True):
            whole = _put(whole, joined, alone)
    return sa.text(whole)


def _put(whole: str, old: str, new: str) -> str:
    if old not in whole:
        raise LookupError(f"the decision has no {old!r}")
    return whole.replace(old, new)


@cache
def _for_everybody() -> sa.TextClause:
    return statement("app.consents", "permission")


@cache
def _for_some() -> sa.TextClause:
    whole = _for_everybody().text
    whole = whole.replace("-- of some people", OF_SOME).replace("-- one by one", "OFFSET 0")
    head, _, rest = whole.partition("-- <everybody\n")
    _, _, tail = rest.partition("-- everybody>\n")
    return sa.text(head + statement("app.consents", "said_by_some").text + tail)


def parameters(
    purpose: consent.Purpose, people: Collection[int] | None, *, use: Use = "person"
) -> dict[str, Any]:
    """Return the parameters of `decision(people)`."""
    return {
        "purpose": purpose.key,
        "mode": purpose.mode,
        "renewed": purpose.renewed,
        "explicit": purpose.explicit,
        "lawful_basis": purpose.lawful_basis,
        "unconditional": purpose.lawful_basis in UNCONDITIONAL,
        "restrictable": purpose.lawful_basis not in UNRESTRICTED,
        "objectable": purpose.lawful_basis in ("legitimate_interests", "public_task"),
        "direct_marketing": purpose.direct_marketing,
        "adults_only": purpose.adults_only,
        "unlinkable": not purpose.linkable and use != "analyse",
        **({} if people is None else {"people": sorted(people)}),
    }


def permissions(
    session: Session,
    purpose: str | consent.Purpose,
    people: Collection[int] | None = None,
    *,
    use: Use = "person",
) -> list[Permission]:
    """Say of every identifier of these people whether it may be used for the purpose.

    The purpose by its key; or as the catalogue has it now, by who has just read it there.

    A purpose that demands deterministic links knows asserted groups, and no people: `people` are
    then groups, and each is a person of its own. Who is none of both allows nothing.

    A purpose that is not `linkable` allows only `analyse`, and its data stay with the identifier
    that brought them: there every identifier is a person of its own. Raises PurposeNotFound: a
    purpose that is not in the catalogue allows nothing.
    """
    if isinstance(purpose, str):
        purpose = consent.catalogue.purpose(session, purpose)
    asked = people
    if people is not None and purpose.link_confidence == "deterministic":
        asked = set(identity.people_of(session, people).values())
    rows = session.execute(decision(asked), parameters(purpose, asked, use=use))
    if not purpose.linkable:
        return [
            Permission(r.identifier_id, r.group_id, r.identifier_id, r.allowed, r.reason)
            for r in rows
        ]
    if purpose.link_confidence == "deterministic":
        wanted = None if people is None else frozenset(people)
        return [
            Permission(r.identifier_id, r.group_id, r.group_id, r.allowed, r.reason)
            for r in rows
            if wanted is None or r.group_id in wanted
        ]
    return [Permission(r.identifier_id, r.group_id, r.person_id, r.allowed, r.reason) for r in rows]


def usable(session: Session, purpose: str, identifiers: Collection[int]) -> dict[int, Permission]:
    """Say of each of these identifiers whether it may be used for a purpose, by its id.

    Whoever it is a person with for another purpose. Raises PurposeNotFound.
    """
    known = consent.catalogue.purpose(session, purpose)
    asked = set(identity.people_of(session, identifiers).values())
    rows = session.execute(decision(asked), parameters(known, asked)) if asked else ()
    wanted = frozenset(identifiers)
    return {
        r.identifier_id: Permission(r.identifier_id, r.group_id, r.person_id, r.allowed, r.reason)
        for r in rows
        if r.identifier_id in wanted
    }


def unit(purpose: consent.Purpose) -> str:
    """Return the column of `decision` that says whose data may be used together."""
    return "person_id" if purpose.link_confidence == "probable" else "group_id"


def kept_out(session: Session, purpose: consent.Purpose) -> dict[str, int]:
    """Count the people of whom nothing may be used for a linkable purpose, by reason.

    Who is denied for several reasons counts under the last of them by name. In PostgreSQL: a
    million people take seconds to read, and half a gigabyte.
    """
    each = (
        f"SELECT bool_or(allowed) AS allowed, max(reason) FILTER (WHERE NOT allowed) AS reason"  # noqa: S608 -- our own text
        f" FROM ({decision(None).text}) d GROUP BY {unit(purpose)}"
    )
    counted = f"SELECT reason, count(*) AS people FROM ({each}) p WHERE NOT allowed GROUP BY reason"  # noqa: S608 -- our own text
    with for_many(session):
        rows = session.execute(sa.text(f"{counted} ORDER BY reason"), parameters(purpose, None))
        return {row.reason: row.people for row in rows}
