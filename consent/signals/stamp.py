"""What an event says about consent, whoever's form it is in."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

#: Sale, sharing and advertising across contexts: what a universal opt-out refuses.
UNIVERSAL = ("ads.share", "ads.personalised", "profile.ads")
#: A note: something was refused by a name that stands for no purpose.
UNKNOWN = "refusal_of_unknown_name"


@dataclass(frozen=True, slots=True)
class Rules:
    """How one source's signals are read.

    `collectors` are the ids of its consent banners (CMP) whose TC strings are records even where
    stamps are not. `policy_floor` is the lowest version of the TCF policy that counts.
    `own_purposes` says which bits of a TC string are about ourselves: those for the publisher, or
    those for vendors. `snapshot`: what a banner's answer does not name is refused.
    """

    collectors: frozenset[int] = frozenset()
    policy_floor: int = 4
    own_purposes: Literal["publisher", "core"] = "publisher"
    snapshot: bool = True


@dataclass(frozen=True, slots=True)
class Signal:
    """What one signal says, by purpose.

    `opt_out` are refused by what a browser sends to every site. `problem` says why it cannot be
    read, or may not count: then it grants nothing and refuses everything for its event. `notes`
    say what of it was ignored. `registered`: a collector that this source knows made it. `tc` is
    the TC string in it, `until` when it may have to be read otherwise. `silent` are purposes that
    it could have given and does not speak of: they are refused unless another signal gives them.
    `answered_at`: when the person last answered, where the signal says so.
    """

    kind: str
    given: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()
    opt_out: frozenset[str] = frozenset()
    silent: frozenset[str] = frozenset()
    problem: str | None = None
    notes: tuple[str, ...] = ()
    registered: bool = False
    tc: str | None = None
    until: datetime | None = None
    answered_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Stamp:
    """What one event says about consent, by all of its signals together.

    `readable` is false when one of them cannot be understood. Then every purpose counts as refused
    for that event, because the alternative is to guess in favour of the sender
    (research/consent.md 2.5). `opt_out` is refused by a universal signal, and not in `refused`.

    `answer` marks what a person has just told a consent banner; `whole`, that what it does not
    name and was given before is withdrawn, because a banner that lists only what is granted would
    otherwise never record a withdrawal.

    `conflicts` are purposes that one signal gives and another refuses, `problems` which signals
    could not be read or may not count, `notes` what of them was ignored. `registered` are the
    purposes of which a registered collector's string speaks. `kinds` names the signals, `raw` is
    their text beside Segment's own, `tc` the TC strings that count, with blanks between: one that
    contradicts another takes nothing of its no away. `until` is when they may have to be read
    otherwise. `dated` are purposes that a signal gives which says when it was answered, the oldest
    of them at `answered_at`.
    """

    given: frozenset[str]
    refused: frozenset[str]
    readable: bool = True
    whole: bool = False
    answer: bool = False
    opt_out: frozenset[str] = frozenset()
    conflicts: frozenset[str] = frozenset()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    registered: frozenset[str] = frozenset()
    kinds: tuple[str, ...] = ()
    raw: str | None = None
    tc: str | None = None
    until: datetime | None = None
    dated: frozenset[str] = frozenset()
    answered_at: datetime | None = None


ABSENT = Stamp(frozenset(), frozenset())
UNREADABLE = Stamp(
    frozenset(),
    frozenset(),
    readable=False,
    problems=("segment:malformed",),
    kinds=("segment",),
)


def combined(
    signals: Iterable[Signal], *, answer: bool = False, whole: bool = False, raw: str | None = None
) -> Stamp:
    """Return what signals say together: the most restrictive of each purpose."""
    every = tuple(signals)
    opt_out = frozenset[str]().union(*(s.opt_out for s in every))
    refused = frozenset[str]().union(*(s.refused for s in every)) - opt_out
    given = frozenset[str]().union(*(s.given for s in every))
    silent = frozenset[str]().union(*(s.silent for s in every)) - given - opt_out
    refused |= silent
    spoken = frozenset[str]().union(*(s.given | s.refused for s in every if s.registered))
    if any(s.silent and s.registered for s in every):
        spoken |= silent
    readable = all(s.problem is None for s in every)
    return Stamp(
        given - refused - opt_out if readable else frozenset(),
        refused,
        readable=readable,
        whole=whole and readable,
        answer=answer and readable,
        opt_out=opt_out,
        conflicts=given & (refused | opt_out),
        problems=tuple(f"{s.kind}:{s.problem}" for s in every if s.problem),
        notes=tuple(f"{s.kind}:{note}" for s in every for note in s.notes),
        registered=spoken,
        kinds=tuple(s.kind for s in every),
        raw=raw,
        tc=" ".join(dict.fromkeys(s.tc for s in every if s.tc)) or None if readable else None,
        until=min((s.until for s in every if s.until), default=None),
        dated=frozenset[str]().union(*(s.given for s in every if s.answered_at)),
        answered_at=min((s.answered_at for s in every if s.answered_at), default=None),
    )
