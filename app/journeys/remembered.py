"""Answers that are given again for as long as all that they rest on is as it was.

Held in the memory of the process, bounded, and never written down. An answer is kept with the basis
of the lake that it was computed over: everybody who may be analysed, and the files. Whoever
withdraws, is restricted, erased, merged or split, whatever lapses by time, and any event that
comes, is changed or deleted makes another basis, and the answer is gone (decision 0058).
"""

import sys
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

from pydantic import BaseModel
from sqlalchemy.orm import Session

from app.journeys.definition import definition_hash
from app.journeys.envelope import Seen
from app.lake.basis import Basis

#: Bytes of answers that one process keeps, as estimated from their JSON text; the oldest go first.
MOST_BYTES = 32 * 2**20
#: How old an answer may be that is given to who asked for none of a certain time; its
#: `as_of` says so.
FRESH = timedelta(seconds=30)
#: Seconds after which an answer is forgotten, asked for or not: its labels may be of somebody whom
#: an erasure has ended meanwhile.
LONGEST = 600.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer without its envelope, what it was computed over, and when it is true."""

    basis: Basis
    as_of: datetime
    seen: Seen
    result: BaseModel
    warnings: Sequence[str]


Key = tuple[str, str, str, str | None]


@dataclass(frozen=True, slots=True)
class _Held:
    """An answer, how many bytes it takes, and until when it is kept, by the monotonic clock."""

    answer: Answer
    size: int
    until: float


_Kept = OrderedDict[Key, _Held]
_kept: WeakKeyDictionary[Any, _Kept] = WeakKeyDictionary()
_lock = Lock()


def key(kind: str, request: BaseModel, purpose: str, as_of: datetime | None) -> Key:
    """Return what tells one question from another; `as_of` None asks for an answer of now."""
    return kind, definition_hash(request), purpose, as_of.isoformat() if as_of else None


def find(session: Session, asked: Key, basis: Basis, *, now: datetime) -> Answer | None:
    """Return the answer to a question that rests on this basis, if there is one.

    Answers for the purpose that rest on another basis are forgotten, and old ones of any.
    """
    purpose, of_now = asked[2], asked[3] is None
    with _lock:
        kept = _kept.get(session.get_bind().engine, OrderedDict())
        _forget_old(kept)
        for one in [one for one in kept if one[2] == purpose]:
            if not kept[one].answer.basis.same(basis):
                del kept[one]
        found = kept.get(asked)
        if found is None or (of_now and now - found.answer.as_of > FRESH):
            return None
        kept.move_to_end(asked)
        return found.answer


def keep(session: Session, asked: Key, answer: Answer) -> None:
    """Keep an answer, and forget the oldest beyond the bound."""
    # The objects take several times their text, and each answer a list of what was removed: 36
    # bytes a number.
    text = sys.getsizeof(answer.result.model_dump_json())
    size = text * 4 + 36 * len(answer.basis.removed)
    if size > MOST_BYTES // 4:
        return
    with _lock:
        kept = _kept.setdefault(session.get_bind().engine, OrderedDict())
        _forget_old(kept)
        kept.pop(asked, None)
        kept[asked] = _Held(answer, size, time.monotonic() + LONGEST)
        while sum(one.size for one in kept.values()) > MOST_BYTES:
            kept.popitem(last=False)


def _forget_old(kept: _Kept) -> None:
    now = time.monotonic()
    for one in [one for one, held in kept.items() if held.until < now]:
        del kept[one]
