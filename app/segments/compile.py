# ruff: noqa: S608 - only SQL of our own becomes text; what a rule says is bound
"""Compiles rules of segments into one statement: who meets which of them now, under consent."""

import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.consents.permission import decision, parameters, unit
from app.db import for_many
from app.profiles import accounts, computed_traits, trait_rules
from app.profiles.conditions_sql import Ago
from app.profiles.survivorship import Survivorship
from app.profiles.tables import ComputedTrait
from app.segments import uses
from app.segments.conditions import Compiler
from app.segments.definition import Rule

#: Of full joins those rows that are asked about; `IS NOT NULL` would make them outer joins again.
_ASKED = " WHERE coalesce(subject.person_id, 0) > 0"


@dataclass(frozen=True, slots=True)
class Known:
    """What rules of one purpose are made of, read once for all of them."""

    purpose: consent.Purpose
    survivorship: Mapping[str, Survivorship]
    computed: Mapping[str, ComputedTrait]
    segments: Mapping[str, Rule]
    consents: Mapping[str, consent.Purpose]
    #: Who told traits of groups that the people asked about are in: they are decided about too.
    tellers: frozenset[int]


def known(
    session: Session,
    rules: Sequence[Rule],
    purpose: consent.Purpose,
    people: Collection[int] | None,
) -> Known:
    """Read what these rules are made of, asked about these people."""
    everything = {t.key: t for t in computed_traits.list_all(session) if t.purpose == purpose.key}
    others = uses.rules_of(session, rules, purpose.key)
    consents = uses.consents_of(session, [*rules, *others.values()])
    tellers: set[int] = set()
    if people is not None:
        names = uses.group_traits([*rules, *others.values()])
        tellers = accounts.tellers(session, people, names, purpose.key)
    survivorship = trait_rules.in_force(session)
    return Known(purpose, survivorship, everything, others, consents, frozenset(tellers))


def _statement(
    rules: Sequence[Rule], of: Known, people: Collection[int] | None, now: datetime
) -> tuple[str, str, list[str], dict[str, Any]]:
    """Return the parts of a statement: what it begins with, FROM, the conditions, the values.

    Of a purpose that demands deterministic links the subjects are asserted groups, by their oldest
    identifier. Consent is inside: `allowed` holds only identifiers that may be used for the
    segments' purpose, and everything a rule asks is asked of these.
    """
    values: dict[str, Any] = {}
    about, asked = people, ""
    if people is not None and of.tellers:
        about, asked = {*people, *of.tellers}, " WHERE whole_id = ANY(CAST(:asked AS bigint[]))"
        values["asked"] = sorted(people)
    compiler = Compiler(
        of.survivorship, of.computed, of.segments, everybody=people is None, unit=unit(of.purpose)
    )
    for number, key in enumerate(sorted(of.consents)):
        text, bound = renamed(of.consents[key], about, f"k{number}_")
        compiler.decisions[key] = text
        values |= bound
    conditions = [compiler.condition(rule) for rule in rules]
    head = (
        f"WITH permission AS ({decision(people).text}), allowed AS MATERIALIZED ("
        f" SELECT identifier_id, {unit(of.purpose)} AS person_id, person_id AS whole_id"
        " FROM permission WHERE allowed"
        f"), subject AS (SELECT DISTINCT person_id FROM allowed{asked}"
        "), basis AS (SELECT person_id, array_agg(identifier_id ORDER BY identifier_id)"
        f" AS identifier_ids FROM allowed GROUP BY person_id){compiler.passes()}"
    )
    source = f" FROM subject{''.join(compiler.joins)}"
    values |= {
        name: now - timedelta(days=value.days) if isinstance(value, Ago) else value
        for name, value in compiler.values.items()
    }
    return head, source, conditions, {"now": now, **parameters(of.purpose, about), **values}


def renamed(
    purpose: consent.Purpose, people: Collection[int] | None, prefix: str
) -> tuple[str, dict[str, Any]]:
    """Return the decision for one purpose beside another's, its parameters renamed, with values."""
    bound = {k: v for k, v in parameters(purpose, people).items() if k != "people"}
    names = "|".join(sorted(bound, key=len, reverse=True))
    text = re.sub(rf"(?<![:\w]):({names})\b", rf":{prefix}\1", decision(people).text)
    return text, {f"{prefix}{name}": value for name, value in bound.items()}


def members_query(
    session: Session,
    rule: Rule,
    purpose: consent.Purpose,
    *,
    now: datetime,
    people: Collection[int] | None,
) -> tuple[str, dict[str, Any]]:
    """Return the statement that yields `person_id` of who meets one rule, and its values."""
    of = known(session, [rule], purpose, people)
    head, source, [condition], values = _statement([rule], of, people, now)
    met = f"SELECT subject.person_id, {condition} AS met{source}{_ASKED} OFFSET 0"
    return f"{head} SELECT person_id FROM ({met}) m WHERE met", values


def members(
    session: Session,
    rule: Rule,
    purpose: consent.Purpose,
    *,
    now: datetime,
    people: Collection[int] | None = None,
) -> set[int]:
    """Return who of these people (or of everybody) meets the rule now."""
    [found] = members_of_all(session, [rule], purpose, now=now, people=people)
    return found


def members_of_all(
    session: Session,
    rules: Sequence[Rule],
    purpose: consent.Purpose,
    *,
    now: datetime,
    people: Collection[int] | None = None,
) -> list[set[int]]:
    """Return of each rule who of these people (or of everybody) meets it now, in one statement."""
    of = known(session, rules, purpose, people)
    head, source, conditions, values = _statement(rules, of, people, now)
    each = f"unnest(ARRAY[{', '.join(conditions)}]) WITH ORDINALITY AS m(met, place)"
    asked = f"{source} CROSS JOIN LATERAL {each}{_ASKED} AND m.met"
    sql = f"{head} SELECT m.place, subject.person_id{asked}"
    found: list[set[int]] = [set() for _ in rules]
    with for_many(session) if people is None else nullcontext():
        for row in session.execute(sa.text(sql), values):
            found[row.place - 1].add(row.person_id)
    return found


def differing(
    session: Session,
    rules: Mapping[int, Rule],
    purpose: consent.Purpose,
    *,
    now: datetime,
) -> set[int]:
    """Return for whom the open stays in these segments (rules by id) are not what the rules say.

    Nobody else leaves the database: a refresh of everybody changes few. `person_id` is what
    members of the purpose are called after, or were.
    """
    met, values = met_query(session, rules, purpose, now=now)
    words = ", ".join(
        "coalesce(bit_or(CAST(1 AS bigint) << CAST(s.place - 1 AS int) % :word)"
        f" FILTER (WHERE (s.place - 1) / :word = {word}), 0)"
        for word in range(_words(len(rules)))
    )
    open_ = (
        f"SELECT m.person_id, ARRAY[{words}] AS words FROM app.segment_member m"
        " JOIN unnest(CAST(:segments AS bigint[])) WITH ORDINALITY s(id, place)"
        " ON s.id = m.segment_id WHERE m.left_at IS NULL GROUP BY m.person_id"
    )
    beside = (
        f"{met}, open AS ({open_}) SELECT person_id FROM met FULL JOIN open USING (person_id)"
        " WHERE coalesce(met.words, :none) <> coalesce(open.words, :none)"
    )
    bound = {**values, "none": [0] * _words(len(rules))}
    with for_many(session):
        return set(session.scalars(sa.text(beside), bound))


def met_query(
    session: Session, rules: Mapping[int, Rule], purpose: consent.Purpose, *, now: datetime
) -> tuple[str, dict[str, Any]]:
    """Return a WITH whose `met` says in `words` what each person meets, and its values.

    Bit n % 60 of word n / 60 is the nth of the value `segments`, the ids in order: arrays of ids,
    sorted for each person, took a fifth of a look through everybody.
    """
    keys = sorted(rules)
    asked = [rules[key] for key in keys]
    head, source, conditions, values = _statement(
        asked, known(session, asked, purpose, None), None, now
    )
    words = [
        " | ".join(
            f"CASE WHEN {condition} THEN CAST({1 << place} AS bigint) ELSE 0 END"
            for place, condition in enumerate(conditions[first : first + _WORD])
        )
        for first in range(0, len(conditions), _WORD)
    ]
    found = f"SELECT subject.person_id, ARRAY[{', '.join(words)}] AS words{source}{_ASKED}"
    return f"{head}, met AS ({found})", {**values, "segments": keys, "word": _WORD}


#: Segments whose answers are kept in one number.
_WORD = 60


def _words(segments: int) -> int:
    return -(-segments // _WORD)
