"""What is kept of the lake in order is what one would read anew, whatever changed."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.consents.everybody import Everybody, Mark
from app.lake import kept, ordered
from app.lake.basis import Basis
from app.lake.copy import SCHEMA
from app.lake.duckdb_engine import opened
from app.lake.ordered import Ordered

PURPOSE, START = "analytics.audience", datetime(2026, 1, 1, tzinfo=UTC)


class World:
    """Files of events, whose they are, and what is gone, all of which change at random."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.dice = random.Random(seed)  # noqa: S311 - reproducible, not a secret
        self.directory, self.far = directory, bool(seed % 2)
        self.events: dict[int, dict[str, Any]] = {}
        self.files: list[tuple[Path, list[int]]] = []
        self.removed: set[int] = set()
        self.apart = 10**9 if self.far else 1  # sparse ids are numbered in another way
        self.owner = {one: self.apart * (one - one % 2) for one in range(2, 82)}
        self.everybody = self._everybody()
        for _ in range(3):
            self.come()

    def come(self, events: int = 40) -> None:
        """Some events come, late ones among them, and several at one instant."""
        for _ in range(events):
            number = len(self.events)
            seq = self.dice.choice([None, 1, 2])
            at = START + timedelta(seconds=self.dice.randrange(40))
            if self.far and not self.dice.randrange(9):
                at = self.dice.choice(
                    [datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)]
                )
            self.events[number] = {
                "event_id": number, "identifier_id": self.dice.randrange(2, 82), "type": "track",
                "name": self.dice.choice(["A", "B", None]),
                "source": self.dice.choice(["web", "é", "shop", None]),
                "occurred_at": at, "received_at": at + timedelta(seconds=self.dice.randrange(3)),
                "source_seq": seq, "properties": "{}", "context": "{}",
                "refused": self.dice.choice([[], [], [], [PURPOSE], ["other"]]),
            }  # fmt: skip
        self._write(list(self.events)[-events:])

    def _write(self, ids: list[int]) -> None:
        path = self.directory / f"events-{len(list(self.directory.iterdir()))}.parquet"
        rows = [self.events[one] for one in ids]
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), path)
        self.files.append((path, ids))

    def merge(self) -> None:
        """Two people are found to be one."""
        one, two = self.dice.sample(sorted(set(self.owner.values())), 2)
        self.owner = {i: min(one, two) if p in (one, two) else p for i, p in self.owner.items()}
        self.everybody = self._everybody()

    def withdraw(self) -> None:
        """Somebody says no, and who did so before yes."""
        back = sorted(set(range(2, 82)) - set(self.owner))[:1]
        del self.owner[self.dice.choice(sorted(self.owner))]
        self.owner |= {one: self.apart * one for one in back}
        self.everybody = self._everybody()

    def remove(self) -> None:
        """Events are deleted, and still in their files."""
        self.removed |= set(self.dice.sample(sorted(self.events), 3))

    def together(self) -> None:
        """The files are put together, without what is gone."""
        ids = [one for _, listed in self.files for one in listed if one not in self.removed]
        self.files, self.removed = [], set()
        self._write(ids)

    def some_together(self) -> None:
        """Some of the files are put together, with what is gone."""
        some = self.dice.sample(self.files, min(2, len(self.files)))
        self.files = [one for one in self.files if one not in some]
        self._write([one for _, listed in some for one in listed])

    def rest(self) -> None:
        """Something was written that concerns nobody here."""
        self.everybody = self._everybody()

    def _everybody(self) -> Everybody:
        ids = self.dice.sample(sorted(self.owner), len(self.owner))
        people = [self.owner[one] for one in ids]
        return Everybody(np.array(ids), np.array(people), {}, Mark("0", "", None))

    @property
    def basis(self) -> Basis:
        files = tuple(path for path, _ in self.files)
        return Basis(self.everybody, tuple(sorted(self.removed)), files)

    def expected(self) -> list[tuple[Any, ...]]:
        """The events by hand: who, when, and in which order."""
        files = [one for _, listed in self.files for one in listed]
        seen = [
            self.events[one]
            for one in files
            if one not in self.removed
            and self.events[one]["identifier_id"] in self.owner
            and PURPOSE not in self.events[one]["refused"]
        ]

        def place(e: dict[str, Any]) -> tuple[Any, ...]:
            source, seq = e["source"], e["source_seq"]
            return (
                self.owner[e["identifier_id"]], e["occurred_at"], source is None,
                (source or "").encode(), seq is None, seq or 0, e["received_at"], e["event_id"],
            )  # fmt: skip

        return [
            (self.owner[e["identifier_id"]], e["event_id"], e["name"], e["source"])
            for e in sorted(seen, key=place)
        ]


def told(events: Ordered) -> list[tuple[Any, ...]]:
    kinds = [events.kinds[kind] for kind in events.kind.tolist()]
    people = events.people[events.who].tolist()
    return [
        (person, event, kind.name, kind.source)
        for person, event, kind in zip(people, events.event_id.tolist(), kinds, strict=True)
    ]


def columns(events: Ordered) -> list[list[Any]]:
    names = ("people", "who", "t", "received", "event_id", "mark")
    one = events.stamped
    stamped = zip(one.person, one.event_id, one.t, one.received, strict=True)
    return [*(getattr(events, name).tolist() for name in names), sorted(stamped)]


@pytest.fixture(autouse=True)
def _anew() -> Iterator[None]:
    kept._kept.clear()
    yield
    kept._kept.clear()


@pytest.mark.parametrize("seed", range(6))
def test_what_is_kept_is_what_one_would_read_anew(tmp_path: Path, seed: int) -> None:
    world = World(tmp_path, seed)
    changes = [
        world.come, world.merge, world.withdraw, world.remove, world.together,
        world.some_together, world.rest,
    ]  # fmt: skip
    for _ in range(30):
        if not world.dice.randrange(4):
            world.dice.choice(changes)()  # two between questions
        world.dice.choice(changes)()
        with opened(world.basis, PURPOSE) as lake:
            found, anew = lake.ordered, ordered.read(lake.connection, "stamped_event")
            assert told(found) == world.expected()
            assert columns(found) == columns(anew)


def test_only_whom_a_change_concerns_is_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = list[str]()

    def read(connection: Any, relation: str) -> Ordered:
        reads.append(relation)
        return ordered.read(connection, relation)

    monkeypatch.setattr(kept, "read", read)
    world = World(tmp_path, 7)
    world.come(400)

    def ask(purpose: str = PURPOSE) -> bool | None:
        """Say whether all was read anew; None for nothing."""
        before = len(reads)
        with opened(world.basis, purpose) as lake:
            assert lake.ordered is lake.ordered
        return None if len(reads) == before else reads[-1] == "stamped_event"

    assert ask() is True
    assert ask() is None
    world.rest()
    assert ask() is None
    world.merge()
    assert ask() is False
    world.withdraw()
    assert ask() is False
    world.come(2)
    assert ask() is False
    world.come(2)
    small, world.files = world.files[-2:], world.files[:-2]
    world._write([one for _, listed in small for one in listed])
    assert ask() is False  # of whom are in the files that were put together
    world.come(2)
    small, world.files = world.files[-2:], world.files[:-2]
    world._write([one for _, listed in small for one in listed])
    small[0][0].rename(tmp_path / "gone")
    assert ask() is True  # nobody can tell any more who they were
    world.remove()
    assert ask() is False
    world.come(400)
    assert ask() is True  # of most people
    assert ask("service.operation") is True  # whose stamps are others
    assert ask() is None
    monkeypatch.setattr(kept, "MOST_BYTES", 1)
    assert ask() is None  # the last time: it is too much to be kept
    assert ask() is True
