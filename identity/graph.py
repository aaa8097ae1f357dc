"""The evidence graph: identifiers and links in, people out, by recomputing what was touched."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy.orm import Session

from identity.around import AS_IT_IS, Change, around
from identity.components import People
from identity.evidence import Evidence, Shown, shown
from identity.guards import Edge, Node
from identity.identifiers import Rules
from identity.lock import lock
from identity.statements import among, array, literal, rows_of, run, statement

__all__ = [
    "AS_IT_IS",
    "Change",
    "Evidence",
    "Imagined",
    "Moved",
    "Shown",
    "among",
    "array",
    "followed",
    "identify",
    "imagine",
    "known_before",
    "literal",
    "observe",
    "place",
    "reconsider",
    "rows_of",
    "set_link_consent",
    "settle",
    "shown",
    "statement",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Moved:
    """What a recomputation changed: people who are new, joined into another, or split off one.

    `merged` are (survivor, absorbed), `split` (old, new); `people` are all that were looked at.
    `grown` are people who were known and have an identifier of which nobody knew.
    """

    created: tuple[int, ...] = ()
    merged: tuple[tuple[int, int], ...] = ()
    split: tuple[tuple[int, int], ...] = ()
    people: frozenset[int] = frozenset()
    grown: tuple[int, ...] = ()


def identify(
    session: Session, identifiers: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], int]:
    """Return the id of each (namespace, value), made where it is new.

    Values must be canonical (`identifiers.normalise`). Ids never change, so a caller may keep
    them for ever. Written in one order, so that two writers cannot deadlock.
    """
    wanted: dict[str, list[str]] = {}
    for name, value in sorted(set(identifiers)):
        wanted.setdefault(name, []).append(value)
    found: dict[tuple[str, str], int] = {}
    while wanted:
        values = msgspec.json.encode(wanted).decode()
        for name, ids in run(session, "identify", {"values": values}).all():
            listed = zip(wanted[name], ids.split(","), strict=True)
            found.update({(name, value): int(i) for value, i in listed if i})
        # What is missing another transaction made meanwhile, and has committed: it is seen now.
        missing = {n: [v for v in wanted[n] if (n, v) not in found] for n in wanted}
        wanted = {name: values for name, values in missing.items() if values}
    return found


def known_before(
    session: Session, identifiers: Iterable[tuple[str, str]], at: datetime
) -> set[tuple[str, str]]:
    """Return which of these canonical identifiers were seen first before a time."""
    wanted = sorted(set(identifiers))
    if not wanted:
        return set()
    asked = {"namespaces": [n for n, _ in wanted], "values": [v for _, v in wanted], "at": at}
    return {(row.namespace, row.value) for row in run(session, "known_before", asked)}


def observe(session: Session, evidence: Iterable[Evidence]) -> set[int]:
    """Keep links and return the identifiers whose people must be computed again.

    As `shown` does, for who does not ask which links were known.
    """
    return shown(session, evidence).touched


def set_link_consent(session: Session, states: dict[int, str]) -> set[int]:
    """Mirror what identifiers say about `profile.link`; return those that changed their mind."""
    rows = [{"id": i, "state": states[i]} for i in sorted(states)]
    if not rows:
        return set()
    found = run(session, "set_link_consent", {"rows": rows_of(rows)})
    changed = {row.id for row in found}
    if changed:
        run(session, "compare_again", {"ids": array(changed)})
    return changed


def reconsider(session: Session, touched: Collection[int], *, at: datetime) -> Moved:
    """Compute again the people that these identifiers can reach, and write what changed.

    The reach is the component over the links that conduct, held ones included, so that a guard
    which no longer applies lets go. Takes a lock per graph change, because two computations over
    one component would each miss the other's links.
    """
    if not touched:
        return Moved()
    lock(session)
    found = around(session, touched)
    people = found.people()
    held = {i: why for i in found.held if found.held[i] != (why := people.held.get(i))}
    places = [
        (i, *new)
        for i, old in sorted(found.before.items())
        if old != (new := people.place(i)) or i in found.fresh
    ]
    before = {i: old[1] for i, old in found.before.items()}
    return place(session, people, held, places, before, found.fresh, at)


def followed(session: Session, touched: Collection[int]) -> set[int]:
    """Return which links would be followed if the reach of these were computed now."""
    found = around(session, touched)
    return found.edges.keys() - found.people().held.keys()


@dataclass(frozen=True, slots=True)
class Imagined:
    """Who some identifiers would be: what was looked at, their person before, and the people."""

    nodes: dict[int, Node]
    edges: dict[int, Edge]
    rules: Rules
    before: dict[int, int]
    people: People


def imagine(session: Session, touched: Collection[int], change: Change = AS_IT_IS) -> Imagined:
    """Return who these would be after a change; takes no lock and writes nothing."""
    found = around(session, touched, change)
    before = {i: was[1] for i, was in found.before.items()}
    nodes = {i: found.nodes[i] for i in before}
    return Imagined(nodes, found.edges, found.rules, before, found.people())


def place(
    session: Session,
    people: People,
    held: Mapping[int, str | None],
    places: Sequence[tuple[int, int, int, int, str | None]],
    before: Mapping[int, int],
    fresh: Collection[int],
    at: datetime,
) -> Moved:
    """Write who people are now: only what is otherwise than it was.

    `held` says why links are not followed, or that they are again; `places` are identifiers with
    their group, person, reach, and why nobody's. `before` are the people of all identifiers of
    those concerned, of whom nobody knows the `fresh`: who was joined or split is written down, and
    a brand-new identifier is neither.
    """
    moved, joins, parts = _moves(before, fresh, people)
    if held or places:
        names = ("ids", "groups", "people", "reaches", "closed")
        columns = map(literal, zip(*places, strict=True)) if places else ("{}",) * len(names)
        values = dict(zip(names, columns, strict=True))
        why = [{"id": i, "held": held[i]} for i in sorted(held)]
        rows = {"held": rows_of(why), "merged": rows_of(joins), "split": rows_of(parts)}
        run(session, "place", {**values, **rows, "at": at})
    return moved


def _moves(
    before: Mapping[int, int], fresh: Collection[int], people: People
) -> tuple[Moved, list[dict[str, Any]], list[dict[str, Any]]]:
    """Say which people were joined or split, and what of it is written down."""
    members: dict[int, dict[int, list[int]]] = {}
    for i, old in before.items():
        if i not in fresh:
            members.setdefault(old, {}).setdefault(people.person[i], []).append(i)
    merged, split, joins, parts = [], [], [], []
    for old, pieces in sorted(members.items()):
        for new, identifiers in sorted(pieces.items()):
            if new == old:
                continue
            told = sorted(identifiers)
            if new not in members and new not in fresh:
                split.append((old, new))
                parts.append({"person_id": old, "part_id": new, "identifiers": told})
            else:
                merged.append((new, old))
                joins.append({"survivor_id": new, "absorbed_id": old, "absorbed": told})
    touched = {p for i in before for p in (before[i], people.person[i])}
    known = {people.person[i] for i in before if i not in fresh}
    created = {people.person[i] for i in fresh} - known - members.keys()
    grown = {people.person[i] for i in fresh} - created
    moved = Moved(
        tuple(sorted(created)),
        tuple(merged),
        tuple(split),
        frozenset(touched),
        tuple(sorted(grown)),
    )
    return moved, joins, parts


def settle(session: Session, identifiers: Collection[int]) -> list[int]:
    """Note that these identifiers are people of whom somebody is told now; return the new ones."""
    if not identifiers:
        return []
    made = run(session, "settle", {"ids": array(identifiers)})
    return sorted(row.id for row in made)
