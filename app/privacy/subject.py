"""Whose request it is: the identifiers that are the person's, and how they are written."""

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.privacy import former
from app.privacy.own import own
from app.suppression import mentions
from identity import erasure, graph, identifiers

#: Values that are shorter could be anything else: they are looked for where identifiers stand, and
#: not in free text.
TELLING = 6
#: Namespaces whose values say by themselves whose they are.
ADDRESSES = ("email", "phone")
#: What is left to the officer of addresses that may be somebody else's.
CONTESTED = (
    "an address of theirs that was put right may be somebody else's, for something was told of it "
    "before they came with it: what is on record of it was neither shown nor erased; ask them for "
    "it, see whose it is, and if it was theirs name it beside what they have now in a new request"
)
#: What is left to the officer of identifiers that a page joined with those that were shown.
LEFT_OUT = (
    "identifiers that a page joined with what was shown may be somebody else's: nothing of them "
    "was shown, erased or refused; see which they are (/others of an open request), ask the person "
    "for those that are theirs, and name these beside what they have shown in a new request"
)
#: What addresses are hashed with before they are passed on.
DIGESTS = ("md5", "sha1", "sha256")


@dataclass(frozen=True, slots=True)
class Subject:
    """One person as a request means them; what it holds is personal data."""

    #: As (namespace, canonical value).
    identifiers: tuple[tuple[str, str], ...]
    ids: tuple[int, ...]
    #: How the identifiers were written when they were sent.
    spellings: tuple[str, ...] = ()
    #: The identifiers that were claimed, from which the others were found.
    asked: tuple[tuple[str, str], ...] = ()
    #: Those of `ids` that events showed to be theirs, and those of addresses that were put right;
    #: None where these are no concern.
    own: tuple[int, ...] = ()
    former: tuple[int, ...] | None = None
    #: Addresses that were put right and may be somebody else's: no part of what is theirs.
    contested: tuple[int, ...] = ()
    #: Those of `identifiers` of which only a page says that they are theirs (`sure`).
    unproved: tuple[tuple[str, str], ...] = ()
    #: How many identifiers events joined with these of which nobody has shown that they are theirs.
    left_out: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return it as it is stored with the request."""
        return {
            "identifiers": [list(i) for i in self.identifiers],
            "ids": list(self.ids),
            "spellings": list(self.spellings),
            "asked": [list(i) for i in self.asked],
            "own": list(self.own),
            "former": None if self.former is None else list(self.former),
            "contested": list(self.contested),
            "unproved": [list(i) for i in self.unproved],
            "left_out": self.left_out,
        }

    @classmethod
    def of_json(cls, stored: dict[str, Any]) -> "Subject":
        """Return it as it was stored."""
        return cls(
            tuple((namespace, value) for namespace, value in stored["identifiers"]),
            tuple(stored.get("ids", ())),
            tuple(stored.get("spellings", ())),
            tuple((namespace, value) for namespace, value in stored.get("asked", ())),
            tuple(stored.get("own", ())),
            None if stored.get("former") is None else tuple(stored["former"]),
            tuple(stored.get("contested", ())),
            tuple((namespace, value) for namespace, value in stored.get("unproved", ())),
            int(stored.get("left_out", 0)),
        )

    @property
    def shown(self) -> tuple[tuple[str, str], ...]:
        """What was shown to be theirs: the others are found from these, and from no other."""
        return self.asked or self.identifiers

    @property
    def sure(self) -> "Subject":
        """The person without addresses of which only a page says that they are theirs.

        By these nothing is looked for, opened, said or refused: whoever owns one would be hit.
        """
        if not self.unproved:
            return self
        sure = tuple(one for one in self.identifiers if one not in self.unproved)
        spellings = tuple(
            s for s in self.spellings
            if not any((n, identifiers.normalise(n, s)) in self.unproved for n in ADDRESSES)
        )  # fmt: skip
        return replace(self, identifiers=sure, spellings=spellings, unproved=())

    @property
    def doubts(self) -> dict[str, Any]:
        """What the officer is told to look into, in the result of a step; it names nobody."""
        told: dict[str, Any] = {}
        if self.left_out:
            told["left_out"] = self.left_out
        if self.contested:
            told["contested_addresses"] = len(self.contested)
        to_do = [LEFT_OUT] * bool(self.left_out) + [CONTESTED] * bool(self.contested)
        return {**told, "to_do": "; ".join(to_do)} if to_do else told

    @property
    def patterns(self) -> list[str]:
        """What to look for in free text: spellings that say whose they are, also as in URLs."""
        told = {s for s in self.spellings if len(s) >= TELLING and not s.isdigit()}
        return sorted(told | {quote(s, safe="") for s in told})

    @property
    def digests(self) -> set[str]:
        """The hashes under which advertisers pass addresses on (MD5, SHA-1, SHA-256; in hex).

        Of the canonical form and of each spelling, in lower case; of a number with and without its
        plus. Without a key, they are as good as the address.
        """
        texts = {value for namespace, value in self.identifiers if namespace in ADDRESSES}
        for said in self.spellings:
            if any((n, identifiers.normalise(n, said)) in self.identifiers for n in ADDRESSES):
                texts.add(said.strip().lower())
        texts |= {text.removeprefix("+") for text in texts}
        return {
            hashlib.new(name, text.encode(), usedforsecurity=False).hexdigest()
            for name in DIGESTS
            for text in texts
        }


def find(session: Session, asked: Collection[tuple[str, str]]) -> Subject:
    """Return the person of these identifiers, as far as they are theirs; the unknown has no ids."""
    found = own(session, asked)
    everything = dict.fromkeys([*asked, *((o.namespace, o.value) for o in found)])
    ids = tuple(o.id for o in found)
    unproved = tuple((o.namespace, o.value) for o in found if not o.proved)
    return Subject(
        tuple(everything), ids, asked=tuple(asked), own=ids, unproved=unproved,
        left_out=len(erasure.beside(session, ids)),
    )  # fmt: skip


def is_still(session: Session, subject: Subject) -> bool:
    """Say whether who was found is who would be found now; of who was not looked for, yes.

    People are merged and split while a request waits. Whoever acts where nothing can be taken back
    asks this under the lock of the graph.
    """
    if not subject.asked:
        return True
    found = own(session, subject.asked)
    unproved = {(one.namespace, one.value) for one in found if not one.proved}
    if {one.id for one in found} != set(subject.own) or unproved != set(subject.unproved):
        return False
    if subject.former is None:
        return True
    were = former.of(session, subject.ids, subject.asked)
    certain = {one.former_id for one in were if not one.contested}
    doubtful = {one.former_id for one in were if one.contested}
    return (certain, doubtful) == (set(subject.former), set(subject.contested))


def with_former(session: Session, subject: Subject) -> Subject:
    """Return it with the addresses that were the person's until they were put right.

    What is on record of these is theirs; they are to be erased, and shown. Of those that may be
    somebody else's it says only that they are. Raises SuppressionKeyUnusable.
    """
    every = former.of(session, subject.ids, subject.asked)
    were = [one for one in every if not one.contested]
    return replace(
        subject,
        identifiers=(*subject.identifiers, *(one.identifier for one in were)),
        ids=(*subject.ids, *(one.former_id for one in were)),
        former=tuple(one.former_id for one in were),
        contested=tuple(one.former_id for one in every if one.contested),
        spellings=tuple(sorted({*subject.spellings, *(s for one in were for s in _written(one))})),
    )


def _written(one: former.Former) -> set[str]:
    return {one.identifier[1], *one.spellings}


def with_namesakes(session: Session, subject: Subject) -> Subject:
    """Return it with identifiers of other namespaces that are one of its addresses.

    A login or a device that is called like an address of the person would keep it here in clear, or
    one that is called like a hash of it, to be guessed. These alone: not who else was joined with
    them, which may be somebody else.
    """
    sure = subject.sure
    addresses = {v for n, v in sure.identifiers if n in ADDRESSES and len(v) >= TELLING}
    written = {
        s for s in sure.spellings
        if any((n, identifiers.normalise(n, s)) in sure.identifiers for n in ADDRESSES)
    }  # fmt: skip
    if not addresses:
        return subject
    found = erasure.called(session, addresses | written | sure.digests)
    names = dict.fromkeys([*subject.identifiers, *((o.namespace, o.value) for o in found)])
    ids = dict.fromkeys([*subject.ids, *(o.id for o in found)])
    spellings = {*subject.spellings, *(o.value for o in found)}
    return replace(
        subject,
        identifiers=tuple(names),
        ids=tuple(ids),
        spellings=tuple(sorted(spellings)),
    )


def spelt(session: Session, subject: Subject) -> Subject:
    """Return it with every spelling in which its events and traits hold its identifiers."""
    wanted = set(subject.identifiers)
    namespaces = {namespace for namespace, _ in wanted}
    found = {value for _, value in wanted}
    for scalar in set(_scalars(session, subject.ids)):
        for namespace in namespaces:
            if (namespace, identifiers.normalise(namespace, scalar)) in wanted:
                found.add(scalar.strip())
    return replace(subject, spellings=tuple(sorted(found)))


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
