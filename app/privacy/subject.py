"""Whose request it is: the identifiers that are the person's, and how they are written."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.suppression import mentions
from identity import erasure, graph, identifiers

#: Values that are shorter could be anything else: they are looked for where identifiers stand, and
#: not in free text.
TELLING = 6
#: Namespaces whose values say by themselves whose they are.
ADDRESSES = ("email", "phone")


@dataclass(frozen=True, slots=True)
class Subject:
    """One person as a request means them; what it holds is personal data."""

    #: As (namespace, canonical value).
    identifiers: tuple[tuple[str, str], ...]
    ids: tuple[int, ...]
    #: How the identifiers were written when they were sent.
    spellings: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return it as it is stored with the request."""
        return {
            "identifiers": [list(i) for i in self.identifiers],
            "ids": list(self.ids),
            "spellings": list(self.spellings),
        }

    @classmethod
    def of_json(cls, stored: dict[str, Any]) -> "Subject":
        """Return it as it was stored."""
        return cls(
            tuple((namespace, value) for namespace, value in stored["identifiers"]),
            tuple(stored.get("ids", ())),
            tuple(stored.get("spellings", ())),
        )

    @property
    def patterns(self) -> list[str]:
        """What to look for in free text: spellings that say whose they are, also as in URLs."""
        told = {s for s in self.spellings if len(s) >= TELLING and not s.isdigit()}
        return sorted(told | {quote(s, safe="") for s in told})


def find(session: Session, asked: Collection[tuple[str, str]]) -> Subject:
    """Return the person of these identifiers, by what events showed; who is unknown has no ids."""
    own = erasure.own(session, asked)
    everything = dict.fromkeys([*asked, *((o.namespace, o.value) for o in own)])
    return Subject(tuple(everything), tuple(o.id for o in own))


def with_namesakes(session: Session, subject: Subject) -> Subject:
    """Return it with identifiers of other namespaces that are one of its addresses.

    A login or a device that is called like an address of the person would keep it here in clear.
    These alone: not who else was joined with them, which may be somebody else.
    """
    addresses = {v for n, v in subject.identifiers if n in ADDRESSES and len(v) >= TELLING}
    written = {
        s for s in subject.spellings
        if any((n, identifiers.normalise(n, s)) in subject.identifiers for n in ADDRESSES)
    }  # fmt: skip
    if not addresses:
        return subject
    found = erasure.called(session, addresses | written)
    names = dict.fromkeys([*subject.identifiers, *((o.namespace, o.value) for o in found)])
    ids = dict.fromkeys([*subject.ids, *(o.id for o in found)])
    spellings = {*subject.spellings, *(o.value for o in found)}
    return Subject(tuple(names), tuple(ids), tuple(sorted(spellings)))


def spelt(session: Session, subject: Subject) -> Subject:
    """Return it with every spelling in which its events and traits hold its identifiers."""
    wanted = set(subject.identifiers)
    namespaces = {namespace for namespace, _ in wanted}
    found = {value for _, value in wanted}
    for scalar in set(_scalars(session, subject.ids)):
        for namespace in namespaces:
            if (namespace, identifiers.normalise(namespace, scalar)) in wanted:
                found.add(scalar.strip())
    return Subject(subject.identifiers, subject.ids, tuple(sorted(found)))


def _scalars(session: Session, ids: Collection[int]) -> Iterator[str]:
    texts = sa.text(
        "SELECT CAST(properties AS text), CAST(context AS text), CAST(rest AS text) "
        "FROM app.event WHERE identifier_id = ANY(CAST(:ids AS bigint[])) UNION ALL "
        "SELECT CAST(value AS text), NULL, NULL FROM app.trait "
        "WHERE identifier_id = ANY(CAST(:ids AS bigint[]))"
    )
    rows = session.execute(texts, {"ids": graph.array(ids)}, execution_options={"yield_per": 1_000})
    for row in rows:
        for text in row:
            if text is not None:
                yield from mentions.scalars(text)
