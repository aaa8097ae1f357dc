"""Which source a write key belongs to, remembered for a moment by each server process."""

import asyncio
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from starlette.concurrency import run_in_threadpool

import consent
from app.access import sources
from app.access.door import Door
from app.access.sources import Sender, SourceSettings
from app.access.write_keys import hash_key
from app.db import Sessions, unavailable
from app.errors import OverCapacity, UnknownWriteKey
from app.settings import Settings
from consent.resolve import UNCONDITIONAL

#: How long a key is remembered, in seconds: so long may a removed one go on working, and so long
#: does one that was tried before it existed go on being unknown.
REMEMBERED = 2.0
#: The least time between two look-ups. Keys that come meanwhile are looked up together, so that
#: whoever tries random keys costs at most this many statements, however many keys they are.
PAUSE = 0.02
#: Most keys remembered of each kind; when there are more, all of that kind are forgotten.
MOST_REMEMBERED = 10_000
#: So long, in seconds, does a key that was known go on being known while the database is away:
#: a browser SDK that finds no settings does not start, and its page's events are lost.
REMEMBERED_IN_AN_OUTAGE = 3_600.0
#: Ours have 35 characters.
LONGEST_KEY = 200


@dataclass(slots=True)
class Known:
    """A key, the door of its source, and until when (time.monotonic) this is taken for true.

    `asks` is whether its source collects by consent; `ends` is when the key itself does.
    """

    key_id: int
    door: Door
    asks: bool
    until: float
    ends: float

    @property
    def source(self) -> SourceSettings:
        """The source that sends with this key."""
        return self.door.source


class KnownSources:
    """Finds the source of a write key, and the door through which its requests pass."""

    def __init__(self, sessions: Sessions, settings: Settings) -> None:
        """Look keys up in this database."""
        self._sessions = sessions
        self._settings = settings
        self._known: dict[str, Known] = {}
        self._unknown: dict[str, float] = {}
        self._doors: dict[int, Door] = {}
        self._waiting: dict[str, asyncio.Future[Known | None]] = {}
        self._looking: asyncio.Task[None] | None = None

    async def find_first(self, keys: Iterable[str]) -> tuple[str, Known]:
        """Return the first of these keys that is one, and its source; raises UnknownWriteKey."""
        for key in keys:
            try:
                return key, await self.find(key)
            except UnknownWriteKey:
                continue
        raise UnknownWriteKey("the write key is missing or unknown")

    async def find(self, key: str) -> Known:
        """Return what is known of a key; raises UnknownWriteKey."""
        known = self._known.get(key)
        if known is None or known.until <= time.monotonic():
            known = await self._find_out(key)
        return known

    async def _find_out(self, key: str) -> Known:
        if len(key) > LONGEST_KEY or self._unknown.get(key, 0.0) > time.monotonic():
            raise UnknownWriteKey("the write key is missing or unknown")
        waiting = self._waiting.get(key)
        if waiting is None:
            waiting = self._waiting[key] = asyncio.get_running_loop().create_future()
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_up())
        known = await asyncio.shield(waiting)
        if known is None:
            raise UnknownWriteKey("the write key is missing or unknown")
        return known

    async def _look_up(self) -> None:
        """Look up what waits, and what comes meanwhile, until nothing does."""
        asked: dict[str, asyncio.Future[Known | None]] = {}
        try:
            while self._waiting:
                asked, self._waiting = self._waiting, {}
                try:
                    found = self._remember(asked, *await run_in_threadpool(self._read, asked))
                except Exception as error:
                    found = self._kept(asked) if unavailable(error) else {}
                    _fail((asked[key] for key in asked.keys() - found), error)
                    for key, known in found.items():
                        asked[key].set_result(known)
                else:
                    for key, waiting in asked.items():
                        waiting.set_result(found.get(key))
                await asyncio.sleep(PAUSE)
        finally:
            self._looking = None
            _fail([*asked.values(), *self._waiting.values()], OverCapacity("the server stops"))

    def _read(self, keys: Iterable[str]) -> tuple[dict[str, Sender], set[str]]:
        """Return the keys that are in use, and the purposes that need no consent."""
        hashes = {hash_key(key): key for key in keys}
        with self._sessions() as session:
            senders = sources.find_by_hashes(session, list(hashes))
            purposes = consent.catalogue.purposes(session) if senders else {}
            free = {k for k, p in purposes.items() if p.lawful_basis in UNCONDITIONAL}
        return {hashes[sender.key_hash]: sender for sender in senders}, free

    def _kept(self, keys: Iterable[str]) -> dict[str, Known]:
        """Return what is still remembered of keys that cannot be looked up now."""
        now = time.monotonic()
        kept = {}
        for key in keys:
            known = self._known.get(key)
            if known and known.ends > now and now < known.until + REMEMBERED_IN_AN_OUTAGE:
                kept[key] = known
        return kept

    def _remember(
        self, asked: Iterable[str], found: dict[str, Sender], free: Collection[str]
    ) -> dict[str, Known]:
        until = time.monotonic() + REMEMBERED
        known = {}
        for key, sender in found.items():
            ends = _end(sender.expires_at)
            asks = sender.source.collection_purpose not in free
            known[key] = Known(sender.key_id, self._door(sender), asks, min(until, ends), ends)
        for key in asked:
            self._known.pop(key, None)
            if key not in known:
                _room(self._unknown)
                self._unknown[key] = until
        _room(self._known)
        self._known.update(known)
        return known

    def _door(self, sender: Sender) -> Door:
        """Return the one door of a source; all its keys share its rate limit."""
        door = self._doors.get(sender.source.id)
        if door is None:
            _room(self._doors)
            door = self._doors[sender.source.id] = Door(sender.source, self._settings)
        elif door.source != sender.source:
            door.change(sender.source, self._settings)
        return door


def _end(expires_at: datetime | None) -> float:
    if expires_at is None:
        return float("inf")
    return time.monotonic() + (expires_at - datetime.now(UTC)) / timedelta(seconds=1)


def _fail(waiting: Iterable[asyncio.Future[Known | None]], error: Exception) -> None:
    for future in waiting:
        if not future.done():
            future.set_exception(error)
            future.exception()  # whoever waited may have left; the rest still hear of it


def _room(remembered: dict[str, Known] | dict[str, float] | dict[int, Door]) -> None:
    if len(remembered) >= MOST_REMEMBERED:
        remembered.clear()
