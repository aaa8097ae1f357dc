"""The rules by which consent records answer "may we?": no database, no clock."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, NamedTuple, Self

from consent.purposes import Purpose

Standing = Literal[
    "given",
    "refused",
    "withdrawn",
    "expired",
    "stale_notice",
    "unproven",
    "not_explicit",
    "unknown",
]
#: Bases under which a use is lawful without the person's consent and against which the right to
#: object (GDPR art. 21) does not run. Under the others a refusal, which is an objection there,
#: ends the use.
UNCONDITIONAL = frozenset({"contract", "legal_obligation", "vital_interests"})
#: Bases on which data whose processing is restricted may be used all the same (GDPR art. 18(2)).
UNRESTRICTED = frozenset({"legal_obligation", "vital_interests"})
#: What becomes of a grant that no longer, or not yet, counts; the first of these is the reason.
LAPSES: tuple[Standing, ...] = ("expired", "stale_notice", "unproven", "not_explicit")
#: What bars a use for the whole person, the strictest first: that processing is restricted or
#: objected to, that they are too young for the purpose, or for agreeing to it themselves.
Bar = Literal["restricted", "objected", "underage", "child"]
BARS: tuple[Bar, ...] = ("restricted", "objected", "underage", "child")
#: Those of them that no grant lifts, with the reason that is given.
STOPS = (("restricted", "restricted"), ("objected", "objection"), ("underage", "underage"))


#: The best that a record can be proved (`Record.proof`).
BEST = 3


@dataclass(frozen=True, slots=True)
class Record:
    """One recorded decision of one identifier about one purpose."""

    state: Literal["given", "refused", "withdrawn"]
    effective_at: datetime
    recorded_at: datetime
    seq: int
    record_id: str = ""
    valid_until: datetime | None = None
    universal: str | None = None
    purpose_version: int = 1
    #: It is what an event carried along, or was collected by somebody who holds no proof, or was
    #: said by an account on a notice that declared to hold for the whole account.
    stamp: bool = False
    unproven: bool = False
    account_wide: bool = False
    #: A holder of parental responsibility said it.
    guardian: bool = False
    #: How well it is proved whose word it is: 0 a grant that somebody collected who holds no proof;
    #: 1 what events carry along or an importer states; 2 what a write key that stands in every
    #: page says of a name; 3 what a device says of itself, or a client, a server or the person.
    proof: int = BEST
    #: Where it is another time than the earlier of the two: the clock was set back before it.
    counts_from: datetime | None = None

    @property
    def order_time(self) -> datetime:
        """When it counts from: a clock in the future cannot outrank a later withdrawal."""
        return self.counts_from or min(self.effective_at, self.recorded_at)


class Said(NamedTuple):
    """What one identifier's records about one purpose amount to, and since when."""

    standing: Standing
    record_id: str | None = None
    order_time: datetime | None = None
    account_wide: bool = False
    guardian: bool = False


UNKNOWN = Said("unknown")


@dataclass(frozen=True, slots=True)
class Voice:
    """What one identifier of the person says.

    `asserted` is true when it is joined to the identifier in question by deterministic links
    alone. A probable (matched) identifier can carry a refusal and never a grant. `bar` is a
    demand of the person that use stops, or their age, as far as it concerns the purpose (`bar`).
    """

    namespace: str
    value: str
    standing: Standing
    record_id: str | None = None
    order_time: datetime | None = None
    account_wide: bool = False
    asserted: bool = True
    bar: Bar | None = None
    guardian: bool = False

    @classmethod
    def of(
        cls, who: tuple[str, str], said: Said, *, asserted: bool = True, bar: Bar | None = None
    ) -> Self:
        """Return what an identifier says."""
        return cls(*who, said[0], said[1], said[2], said[3], asserted, bar, said[4])

    @property
    def against(self) -> bool:
        """Whether it says no."""
        return self.standing in ("refused", "withdrawn")


@dataclass(frozen=True, slots=True)
class Decision:
    """Allow or deny, why, and the records that decided."""

    allow: bool
    reason: str
    purpose: str
    lawful_basis: str
    record_ids: tuple[str, ...] = ()
    conflict: bool = False


def standing(
    records: Iterable[Record],
    *,
    at: datetime,
    known_at: datetime | None,
    purpose: Purpose | None = None,
) -> Said:
    """Return what one identifier's records about one purpose amount to.

    `at` is the time of the use, `known_at` the time of our knowledge. A grant acts from its
    effective time until it lapses; a refusal acts from its order time. The latest wins; among
    equal times the restrictive one does, before the later receipt (research/consent.md 2.6:
    the other order let 945 late grants revive consent in 40,000 random histories). A grant that is
    proved less well than a refusal before it does not lift that one.

    `known_at` None asks about now, `at` being the asker's clock: what was read is known, and a
    refusal acts at once. It cannot lie in the future; whoever wrote it has a clock that is ahead,
    and would be heard only when ours has caught up. `purpose` says which grants are stale or not
    explicit enough. The set form of this is `consent.current` and the first part of
    `permission.sql`.
    """
    acting = [
        record
        for record in records
        if (known_at is None or record.recorded_at <= known_at)
        and (
            record.effective_at <= at
            if record.state == "given"
            else known_at is None or record.order_time <= at
        )
    ]
    if not acting:
        return Said("unknown")
    last = max(acting, key=lambda r: (r.order_time, r.state != "given", r.recorded_at, r.seq))
    if last.state != "given":
        return Said(last.state, last.record_id, last.order_time)
    out = _held(acting, last) or _opted_out(acting, at)
    if out is not None:
        return Said("refused", out.record_id, last.order_time)
    worth = _worth(last, at, purpose)
    return Said(worth, last.record_id, last.order_time, last.account_wide, last.guardian)


def _worth(grant: Record, at: datetime, purpose: Purpose | None) -> Standing:
    """Say whether a grant still counts, and if not, why."""
    if grant.valid_until is not None and grant.valid_until <= at:
        return "expired"
    if purpose is not None and grant.purpose_version < purpose.renewed:
        return "stale_notice"
    if grant.unproven:
        return "unproven"
    if purpose is not None and purpose.explicit and grant.stamp:
        return "not_explicit"
    return "given"


def _held(acting: Iterable[Record], last: Record) -> Record | None:
    """Return the refusal that stands although a grant came last; None when none does.

    A refusal stands until a later grant that is proved as well as it is, whichever of them arrived
    first: what a browser goes on saying, or a stranger says in somebody's name, lifts no withdrawal
    of theirs.
    """
    if last.proof >= BEST:
        return None
    lifted: dict[int, datetime] = {}  # by proof, until when refusals of that proof are lifted
    for record in acting:
        if record.state == "given":
            for proof in range(record.proof + 1):
                lifted[proof] = max(record.order_time, lifted.get(proof, record.order_time))
    refusals = (
        no
        for no in acting
        if no.state != "given"
        and no.proof > last.proof
        and (no.proof not in lifted or lifted[no.proof] <= no.order_time)
    )
    return max(refusals, key=lambda r: (r.order_time, r.recorded_at, r.seq), default=None)


def _opted_out(acting: Iterable[Record], at: datetime) -> Record | None:
    """Return the universal opt-out that stands, whatever was given since; None when none does.

    A signal that a browser sends to every site (`universal` is `opt_out`) is lifted only by a
    grant that is told to override it, until that one lapses or anything is refused at its time or
    later (research/consent.md 2.5, level 2). So no further refusal ever allows anything. Nor does
    what a key that stands in every page says of a name: only what is proved best lifts it.
    """
    refusals = [record for record in acting if record.state != "given"]
    outs = [record for record in refusals if record.universal == "opt_out"]
    if not outs:
        return None
    newest = max(record.order_time for record in refusals)
    for record in acting:
        if (
            record.universal == "override"
            and record.proof == BEST
            and record.order_time > newest
            and (record.valid_until is None or record.valid_until > at)
        ):
            return None
    return max(outs, key=lambda r: (r.order_time, r.recorded_at, r.seq))


def bar(purpose: Purpose, kind: str, purpose_key: str | None) -> Bar | None:
    """Say what a demand of the person, or their age, means for a purpose; None: nothing.

    A restriction stops every use but what the law or somebody's life demands. An objection to
    direct marketing stops it at once and on every basis. Any other objection stops what rests on
    legitimate interests or a public task, and of the rest the purpose it names, unless a contract
    or the law demands that one (GDPR art. 18, 21). Who is under 18 is kept out of what is for
    adults; a child, who is under the age of digital consent, agrees to nothing alone (art. 8).
    """
    if kind in ("child", "teen"):
        if purpose.adults_only:
            return "underage"
        return "child" if kind == "child" and purpose.lawful_basis == "consent" else None
    if kind == "restriction":
        stopped = purpose.lawful_basis not in UNRESTRICTED and purpose_key in (None, purpose.key)
        return "restricted" if stopped else None
    if kind == "objection_marketing":
        return "objected" if purpose.direct_marketing else None
    objectable = purpose.lawful_basis in ("legitimate_interests", "public_task")
    if purpose_key is None:
        return "objected" if objectable else None
    named = purpose_key == purpose.key and purpose.lawful_basis not in UNCONDITIONAL
    return "objected" if named else None


def decide(purpose: Purpose, voices: Sequence[Voice], *, acting: Voice | None = None) -> Decision:
    """Say whether the data of the asserted identifiers may be used for the purpose, and why.

    Fails closed: without a grant there is no use on the basis of consent. `acting` is the
    identifier being used, which alone grants in the mode `per_identifier`; without it every
    asserted identifier must. In `latest_explicit` a refusal counts from any identifier, unless an
    account said otherwise later on a notice for the whole account; a grant counts from the acting
    identifier or of such a kind. What a guardian gave counts while the person is a child, and is
    `expired` after that, whenever childhood was said to end.

    The set form of this function is `app/consents/sql/permission.sql`; a property test holds
    the two equal.
    """

    if not any(v.bar == "child" for v in voices):
        voices = [_of_age(v) for v in voices]
        acting = acting and _of_age(acting)
    reason, because = _reason(purpose, voices, acting)
    ids = tuple(sorted({v.record_id for v in because if v.record_id}))
    said = {v.standing for v in voices if v.standing != "unknown"}
    allow = reason == "given" or reason.startswith("lawful_basis:")
    return Decision(allow, reason, purpose.key, purpose.lawful_basis, ids, conflict=len(said) > 1)


def _of_age(voice: Voice) -> Voice:
    """Return what is left of a voice when no guardian speaks for the person (any more)."""
    lapsed = voice.guardian and voice.standing == "given"
    return replace(voice, standing="expired") if lapsed else voice


def _reason(
    purpose: Purpose, voices: Sequence[Voice], acting: Voice | None
) -> tuple[str, Sequence[Voice]]:
    """Return what decides, and whose words."""
    bars = {v.bar for v in voices}
    for bar_, reason in STOPS:
        if bar_ in bars:
            return reason, ()
    on_its_basis = f"lawful_basis:{purpose.lawful_basis}"
    if purpose.lawful_basis in UNCONDITIONAL:
        return on_its_basis, ()
    asserted = [v for v in voices if v.asserted]
    speaking = [acting] if purpose.mode == "per_identifier" and acting else asserted
    against = _against(purpose, voices, speaking)
    if against is not None:
        return against
    if purpose.lawful_basis != "consent":
        return on_its_basis, ()
    return _granted(purpose, speaking, acting, child="child" in bars)


def _against(
    purpose: Purpose, voices: Sequence[Voice], speaking: Sequence[Voice]
) -> tuple[str, Sequence[Voice]] | None:
    """Return the refusals that stand, None when none does."""
    wide = _latest_of_account(speaking) if purpose.mode == "latest_explicit" else None
    for standing_ in ("withdrawn", "refused"):
        against = [v for v in speaking if v.standing == standing_ and not _outranked(v, wide)]
        if against:
            return standing_, against
    if purpose.mode != "per_identifier":
        doubtful = [v for v in voices if not v.asserted and v.against]
        if doubtful:
            return "probable_link", doubtful
    return None


def _granted(
    purpose: Purpose, speaking: Sequence[Voice], acting: Voice | None, *, child: bool
) -> tuple[str, Sequence[Voice]]:
    """Return the grants, or why there is none that counts; a child's need one of a guardian."""
    latest = purpose.mode == "latest_explicit"
    grants = [
        v
        for v in speaking
        if v.standing == "given" and (not latest or v.account_wide or v is acting)
    ]
    if child and not any(v.guardian for v in grants):
        return "guardian_needed", ()
    if not (latest and grants):
        for reason in LAPSES:
            lapsed = [v for v in speaking if v.standing == reason]
            if lapsed:
                return reason, lapsed
    return ("given", grants) if grants else ("unknown", ())


def _latest_of_account(asserted: Iterable[Voice]) -> datetime | None:
    """Return since when the latest grant stands that an account gave for all its devices."""
    return max(
        (
            v.order_time
            for v in asserted
            if v.standing == "given" and v.account_wide and v.order_time
        ),
        default=None,
    )


def _outranked(voice: Voice, wide: datetime | None) -> bool:
    """Say whether an account said otherwise later; of equal times the refusal counts."""
    return wide is not None and voice.order_time is not None and voice.order_time < wide
