"""The rules by which consent records answer "may we?": no database, no clock."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from consent.purposes import Purpose

Standing = Literal["given", "refused", "withdrawn", "expired", "unknown"]
#: Bases under which a use is lawful without the person's consent and against which the right to
#: object (GDPR art. 21) does not run. Under `legitimate_interests` an objection ends the use.
UNCONDITIONAL = frozenset({"contract", "legal_obligation", "vital_interests", "public_task"})


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

    @property
    def order_time(self) -> datetime:
        """When it counts from: a clock in the future cannot outrank a later withdrawal."""
        return min(self.effective_at, self.recorded_at)


@dataclass(frozen=True, slots=True)
class Voice:
    """What one identifier of the person says.

    `asserted` is true when it is joined to the identifier in question by deterministic links
    alone. A probable (matched) identifier can carry a refusal and never a grant.
    """

    namespace: str
    value: str
    standing: Standing
    record_id: str | None = None
    asserted: bool = True


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
    records: Iterable[Record], *, at: datetime, known_at: datetime | None
) -> tuple[Standing, str | None]:
    """Return what one identifier's records about one purpose amount to.

    `at` is the time of the use, `known_at` the time of our knowledge. A grant acts from its
    effective time until it lapses; a refusal acts from its order time. The latest wins; among
    equal times the restrictive one does, before the later receipt (research/consent.md 2.6:
    the other order let 945 late grants revive consent in 40,000 random histories).

    `known_at` None asks about now, `at` being the asker's clock: what was read is known, and a
    refusal acts at once. It cannot lie in the future; whoever wrote it has a clock that is ahead,
    and would be heard only when ours has caught up. The set form of this is `consent.current`.
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
        return "unknown", None
    last = max(acting, key=lambda r: (r.order_time, r.state != "given", r.recorded_at, r.seq))
    if last.state != "given":
        return last.state, last.record_id
    out = _opted_out(acting, at)
    if out is not None:
        return "refused", out.record_id
    lapsed = last.valid_until is not None and last.valid_until <= at
    return ("expired" if lapsed else "given"), last.record_id


def _opted_out(acting: Iterable[Record], at: datetime) -> Record | None:
    """Return the universal opt-out that stands, whatever was given since; None when none does.

    A signal that a browser sends to every site (`universal` is `opt_out`) is lifted only by a
    grant that is told to override it, until that one lapses or anything is refused at its time or
    later (research/consent.md 2.5, level 2). So no further refusal ever allows anything.
    """
    refusals = [record for record in acting if record.state != "given"]
    outs = [record for record in refusals if record.universal == "opt_out"]
    if not outs:
        return None
    newest = max(record.order_time for record in refusals)
    for record in acting:
        if (
            record.universal == "override"
            and record.order_time > newest
            and (record.valid_until is None or record.valid_until > at)
        ):
            return None
    return max(outs, key=lambda r: (r.order_time, r.recorded_at, r.seq))


def decide(purpose: Purpose, voices: Sequence[Voice], *, acting: Voice | None = None) -> Decision:
    """Say whether the data of the asserted identifiers may be used for the purpose, and why.

    Fails closed: without a grant there is no use on the basis of consent. `acting` is the
    identifier being used, which alone grants in the mode `per_identifier`; without it every
    asserted identifier must.

    The set form of this function is `app/consents/sql/permission.sql`; a property test holds
    the two equal.
    """

    def answer(allow: bool, reason: str, because: Sequence[Voice] = ()) -> Decision:
        ids = tuple(sorted({v.record_id for v in because if v.record_id}))
        said = {v.standing for v in voices if v.standing != "unknown"}
        return Decision(
            allow, reason, purpose.key, purpose.lawful_basis, ids, conflict=len(said) > 1
        )

    if purpose.lawful_basis in UNCONDITIONAL:
        return answer(True, f"lawful_basis:{purpose.lawful_basis}")
    asserted = [v for v in voices if v.asserted]
    speaking = [acting] if purpose.mode == "per_identifier" and acting else asserted
    for standing_ in ("withdrawn", "refused"):
        against = [v for v in speaking if v.standing == standing_]
        if against:
            return answer(False, standing_, against)
    if purpose.mode == "most_restrictive":
        doubtful = [v for v in voices if not v.asserted and v.standing in ("refused", "withdrawn")]
        if doubtful:
            return answer(False, "probable_link", doubtful)
    if purpose.lawful_basis == "legitimate_interests":
        return answer(True, "lawful_basis:legitimate_interests")
    lapsed = [v for v in speaking if v.standing == "expired"]
    if lapsed:
        return answer(False, "expired", lapsed)
    grants = [v for v in speaking if v.standing == "given"]
    if not grants:
        return answer(False, "unknown")
    return answer(True, "given", grants)
