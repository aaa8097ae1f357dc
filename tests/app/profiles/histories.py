"""Random people with random histories: events in any order, merges, undo, splits, refusals."""

import json
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.access import sources
from app.consents.permission import permissions
from app.events import stream
from consent import Choice
from identity import graph, people

PURPOSE = "content.personalised"
NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
VALUES: tuple[Any, ...] = (
    None, True, 0, 1, 2.5, -3, 10, "a", "Ab", "b", "é", "zebra", "10", ["a", "b"], ["b", 7],
    {"a": 1}, [], "😀", {"a": [3, "b"]}, [{"a": 2}, {"a": 2.5}],
)  # fmt: skip


@dataclass
class Event:
    id: int
    identifier_id: int
    source: str
    type: str
    name: str
    occurred_at: datetime
    received_at: datetime
    source_seq: int | None
    properties: dict[str, Any]
    refused: list[str]
    #: The account that a group call names.
    group: str | None = None

    @property
    def order(self) -> tuple[Any, ...]:
        place = 2**62 - 1 if self.source_seq is None else self.source_seq
        return min(self.occurred_at, self.received_at), place, self.received_at, self.id


@dataclass
class World:
    """What happened, in plain lists, beside the database in which it happened too."""

    session: Session
    dice: random.Random
    ids: list[int] = field(default_factory=list)
    names: dict[int, tuple[str, str]] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    sources: dict[str, int] = field(default_factory=dict)
    merges: list[int] = field(default_factory=list)

    def begin(self, number: int) -> None:
        for name in ("crm", "shop", "web"):
            self.sources[name] = sources.add(self.session, f"{name}-{self.dice.random()}")[0].id
        wanted = [("crm_id", f"w-{self.dice.random()}") for _ in range(number)]
        made = graph.identify(self.session, wanted)
        self.ids = sorted(made.values())
        self.names = {i: name for name, i in made.items()}
        graph.settle(self.session, self.ids)
        graph.set_link_consent(self.session, dict.fromkeys(self.ids, "given"))
        self.say(self.ids, "given", NOW - 40 * DAY)

    def say(self, ids: list[int], state: str, at: datetime) -> None:
        choices = [Choice(*self.names[i], PURPOSE, state, at, "test") for i in ids]
        consent.record(self.session, choices, received_at=at)

    def happen(self, number: int) -> list[Event]:
        """Something happens, at any time, and arrives in any order."""
        new = [self.event(len(self.events) + n) for n in range(number)]
        self.dice.shuffle(new)
        self.events += new
        part = self.session.scalar(sa.text("SELECT max(part) FROM app.event_partition"))
        self.session.execute(
            sa.text(
                "INSERT INTO app.event (id, source_id, message_id, type, name, identifier_id, "
                "identifier_ids, occurred_at, received_at, source_seq, refused, properties, "
                "context, rest, part, transaction) VALUES (:id, :source, :message, :type, :name, "
                ":who, ARRAY[CAST(:who AS bigint)], :at, :received, :seq, :refused, "
                "CAST(:properties AS json), '{}', CAST(:rest AS json), :part, "
                "CAST(CAST(:tx AS text) AS xid8))"
            ),
            [
                {"id": e.id, "source": self.sources[e.source], "message": f"m-{e.id}",
                 "type": e.type, "name": e.name, "who": e.identifier_id, "at": e.occurred_at,
                 "received": e.received_at, "seq": e.source_seq, "refused": e.refused,
                 "properties": json.dumps(e.properties),
                 "rest": json.dumps({"groupId": e.group} if e.group else {}), "part": part,
                 "tx": self.transaction()}
                for e in new
            ],
        )  # fmt: skip
        return new

    def transaction(self) -> str:
        """A transaction id that has ended, so that the stream may be read."""
        return str(3 + len(self.events))

    def event(self, number: int) -> Event:
        kind = self.dice.choice(("identify", "track", "track"))
        received = NOW - DAY + timedelta(seconds=number)
        ago = self.dice.choice((0, 1, 1, 2, 5, 8, 30)) * DAY
        return Event(
            10**9 + number,
            self.dice.choice(self.ids),
            self.dice.choice(sorted(self.sources)),
            kind,
            "" if kind == "identify" else self.dice.choice("AB"),
            received - ago + (60 * DAY if self.dice.random() < 0.15 else 0 * DAY),
            received,
            self.dice.choice((None, None, 1, 2)),
            {key: self.dice.choice(VALUES) for key in "xy" if self.dice.random() < 0.8},
            self.dice.choice(([], [], [], [PURPOSE], ["ads.share"], ["profile.link", PURPOSE])),
        )

    def move(self) -> graph.Moved:
        """Two people become one, one merge is undone, or two are kept apart for ever."""
        kind = self.dice.choice(("merge", "merge", "match", "undo"))
        if kind == "undo":
            open_ = [m for m in people.merges(self.session, limit=10_000) if m.undone_at is None]
            mine = [m for m in open_ if m.survivor_id in self.names]
            if mine:
                chosen = self.dice.choice(mine).id
                return people.undo(self.session, chosen, by="test", at=NOW)
        left, right = self.dice.sample(self.ids, 2)
        one = graph.Evidence(
            left, right, "match" if kind == "match" else "event", "test", NOW,
            probability=self.dice.choice((0.93, 0.96, 0.99)) if kind == "match" else None,
        )  # fmt: skip
        return graph.reconsider(self.session, graph.observe(self.session, [one]), at=NOW)

    def persons(self) -> dict[int, list[int]]:
        """Each person's identifiers that may be used for the purpose."""
        found: dict[int, list[int]] = {}
        for p in permissions(self.session, PURPOSE):
            if p.identifier_id in self.names:
                found.setdefault(p.person_id, [])
                if p.allowed:
                    found[p.person_id].append(p.identifier_id)
        return found

    def everybody(self) -> dict[int, list[int]]:
        """Each person's identifiers, whatever may be done with them."""
        found: dict[int, list[int]] = {}
        for identifier, person in people.people_of(self.session, self.ids).items():
            found.setdefault(person, []).append(identifier)
        return found

    def usable(self, identifiers: list[int]) -> list[Event]:
        return [
            e for e in self.events if e.identifier_id in identifiers and PURPOSE not in e.refused
        ]

    def outlines(self, events: list[Event]) -> list[stream.Outline]:
        return [
            stream.Outline(
                e.id, self.transaction(), self.sources[e.source], e.type, [e.identifier_id],
                e.occurred_at, e.received_at, e.source_seq, e.refused,
                f"m-{e.id}" if e.type == "identify" else None,
                json.dumps(e.properties) if e.type == "identify" else None,
            )
            for e in events
        ]  # fmt: skip
