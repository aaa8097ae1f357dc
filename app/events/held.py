"""Holds events that wait for their visitor's answer, and says what the answer means for them."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy.orm import Session

import consent
from app.errors import HoldKeyUnusable
from app.events import collection
from app.events.envelope import Envelope
from app.events.item import DUPLICATE, Item, Outcome
from app.pending.hold import Room, Waiting, hold
from app.pending.vault import Vault
from app.settings import Settings

log = logging.getLogger("parcours.pending")

HELD = Outcome("held")
FULL = Outcome("rejected", "hold_full", "too many events of this source wait for an answer")
UNAVAILABLE = Outcome("rejected", "hold_unavailable", "the server cannot hold events now")
OUTCOMES = {"held": HELD, "duplicate": DUPLICATE, "full": FULL}
#: What is decided of a held event, besides a reason to destroy it.
RELEASE, WAIT = "release", "wait"


class Content(msgspec.Struct, frozen=True):
    """What is sealed: the event, and the purpose for which its visitor is asked."""

    purpose: str
    envelope: Envelope


@dataclass(frozen=True, slots=True)
class Holding:
    """What holding needs: the keys, and how much may be held of a source."""

    vault: Vault
    room: Room

    @classmethod
    def of(cls, settings: Settings) -> "Holding":
        """Return it for this configuration; raises HoldKeyUnusable."""
        return cls(Vault(settings), Room(settings.max_held_events, settings.max_held_bytes))


def keep(
    session: Session, holding: Holding | None, items: Sequence[Item], unanswered: Collection[int]
) -> dict[int, Outcome]:
    """Hold those of the unanswered events whose sources wait, and return what became of each.

    Without a usable key nothing can be held, and the events are rejected: they may not be kept
    readable. Sources that do not wait cost nothing.
    """
    numbers = [n for n in sorted(unanswered) if items[n].source.pending_seconds > 0]
    if holding is None or not numbers:
        return {}
    try:
        keyring = holding.vault.keyring_for_holding()
    except HoldKeyUnusable as error:
        log.error("%d events cannot be held: %s", len(numbers), error)
        return dict.fromkeys(numbers, UNAVAILABLE)
    states = hold(session, keyring, holding.room, [_waiting(items[n]) for n in numbers])
    return {n: OUTCOMES[state] for n, state in zip(numbers, states, strict=True)}


def _waiting(item: Item) -> Waiting:
    content = Content(item.source.collection_purpose, item.envelope)
    return Waiting(
        item.source.id,
        item.envelope.message_id,
        item.envelope.identifiers,
        item.received_at,
        item.source.pending_seconds,
        msgspec.json.encode(content),
    )


def read(content: bytes) -> Content | None:
    """Read what was sealed; None where another version of this program wrote it otherwise."""
    try:
        return msgspec.json.decode(content, type=Content)
    except msgspec.DecodeError:
        return None


def verdict(decision: consent.Decision, voices: Collection[consent.Voice]) -> str:
    """Say what consent means for a held event: release, wait, or the reason to destroy it.

    It waits only as long as none of its identifiers has said anything.
    """
    if decision.allow:
        return RELEASE
    if collection.silent(voices):
        return WAIT
    return decision.reason
