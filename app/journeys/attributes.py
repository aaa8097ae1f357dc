# ruff: noqa: S608 - only SQL of our own becomes text; keys are bound
"""Brings into the lake what is known of people beside their events: traits, and their segments."""

import json
from collections.abc import Collection, Iterable, Mapping
from hashlib import blake2b
from typing import Any, Literal, NamedTuple

import pyarrow as pa
import sqlalchemy as sa
from pydantic import BaseModel
from sqlalchemy.orm import Session

import consent
from app.consents.permission import decision, parameters, unit
from app.errors import DefinitionInvalid
from app.journeys.match import Match, asks_traits
from app.lake.duckdb_engine import Lake
from app.profiles import trait_rules
from app.profiles.conditions_sql import Values
from app.profiles.survivorship import LATEST
from app.segments import members as segments
from app.segments.golden import values
from app.segments.tables import SegmentMember
from identity import namespaces


class Attribute(NamedTuple):
    """A trait, or whether somebody is in a segment, by its key; or how well people are covered.

    Of `coverage` there are rows of the kinds `allowed`, `known` (allowed, and by more than a
    device) and `left_out` (nothing of them is allowed; the label is why).
    """

    kind: Literal["trait", "segment", "coverage"]
    key: str


def bring(session: Session, lake: Lake, purpose: str, wanted: Collection[Attribute]) -> str:
    """Register `attribute(kind, key, person_id, label)` in the lake and return a mark of it.

    They are those of now, whatever the analysis is as of, read under the consent of now; another
    value gives another mark. `label` is the value as JSON text; who has no row has none, or is not
    in the segment. Raises DefinitionInvalid where the purpose must not know people, or a segment
    serves another purpose, and SegmentNotFound.
    """
    found = consent.catalogue.purpose(session, purpose)
    if any(one.kind != "coverage" for one in wanted):
        _may_know(found)
    rows = [row for one in set(wanted) for row in _rows(session, found, one)]
    rows.sort()
    columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
    names = (("kind", pa.string()), ("key", pa.string()), ("person_id", pa.int64()),
             ("label", pa.string()))  # fmt: skip
    table = {n: pa.array(c, t) for (n, t), c in zip(names, columns, strict=True)}
    lake.connection.register("attribute", pa.table(table))
    return blake2b(json.dumps(rows).encode(), digest_size=8).hexdigest()


def matched(question: object) -> set[str]:
    """Return the traits by whose values matches of a question select, as paths (`asks_traits`)."""
    found: set[str] = set()
    if isinstance(question, Match) and question.prop is not None and asks_traits(question):
        found.add(question.prop)
    if isinstance(question, BaseModel):
        parts: Iterable[object] = (getattr(question, name) for name in type(question).model_fields)
    elif isinstance(question, Mapping):
        parts = question.values()
    else:
        parts = question if isinstance(question, tuple | list) else ()
    return found.union(*map(matched, parts))


def check(session: Session, purpose: str, question: object) -> None:
    """Raise DefinitionInvalid where a question asks by traits that the purpose must not know."""
    if matched(question):
        _may_know(consent.catalogue.purpose(session, purpose))


def _may_know(purpose: consent.Purpose) -> None:
    if not purpose.linkable:
        raise DefinitionInvalid(
            f"{purpose.key} must not link, so it knows neither traits nor segments"
        )


def _rows(
    session: Session, purpose: consent.Purpose, one: Attribute
) -> Iterable[tuple[str, str, int, str]]:
    if one.kind == "coverage":
        return _coverage(session, purpose)
    said = (
        _trait(session, purpose, one.key)
        if one.kind == "trait"
        else _segment(session, purpose.key, one.key)
    )
    return ((one.kind, one.key, person, label) for person, label in said)


def _coverage(session: Session, purpose: consent.Purpose) -> Iterable[tuple[str, str, int, str]]:
    """Everybody, by whether the purpose may know them, and whether they are more than a device."""
    whose = unit(purpose) if purpose.linkable else "identifier_id"
    devices = [one.rules.name for one in namespaces.list_all(session) if one.rules.owner_days]
    rows = session.execute(
        sa.text(
            f"WITH permission AS ({decision(None).text})"
            f" SELECT p.{whose} AS person_id, bool_or(p.allowed) AS allowed,"
            " bool_or(p.allowed AND i.namespace <> ALL(CAST(:devices AS text[]))) AS known,"
            " min(p.reason) FILTER (WHERE NOT p.allowed) AS reason"
            " FROM permission p JOIN identity.identifier i ON i.id = p.identifier_id"
            f" GROUP BY p.{whose}"
        ),
        {**parameters(purpose, None, use="analyse"), "devices": devices},
    )
    for row in rows:
        if not row.allowed:
            yield ("left_out", "", row.person_id, row.reason)
            continue
        yield ("allowed", "", row.person_id, "true")
        if row.known:
            yield ("known", "", row.person_id, "true")


def _trait(session: Session, purpose: consent.Purpose, key: str) -> Iterable[tuple[int, str]]:
    bound = Values()
    golden = values(key, trait_rules.in_force(session).get(key, LATEST), bound.bind)
    rows = session.execute(
        sa.text(
            f"WITH permission AS ({decision(None).text}), allowed AS MATERIALIZED ("
            f" SELECT identifier_id, {unit(purpose)} AS person_id FROM permission WHERE allowed)"
            f" SELECT t.person_id, CAST(t.value AS text) AS value FROM ({golden}) t"
            " WHERE json_typeof(t.value) <> 'null'"
        ),
        {**parameters(purpose, None), **bound.values},
    )
    return [(row.person_id, label(json.loads(row.value))) for row in rows]


def _segment(session: Session, purpose: str, key: str) -> Iterable[tuple[int, str]]:
    segment = segments.find(session, key)
    if segment.purpose != purpose:
        raise DefinitionInvalid(f"segment {key} serves {segment.purpose}, not {purpose}")
    rows = session.scalars(
        sa.select(SegmentMember.person_id).where(
            SegmentMember.segment_id == segment.id, SegmentMember.left_at.is_(None)
        )
    )
    return [(person, "true") for person in rows]


def label(value: Any) -> str:
    """Return one spelling of a JSON value, so that equal ones are one row: 1.0 is 1."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
