"""Properties of the consent rules over random histories (research/consent.md §3 B and C).

A history is decoded from random bytes, four a record, on a grid of a few hours: equal times,
clocks ahead, late arrivals and expiries are then common instead of rare.
"""

import os
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent import Purpose, Voice, decide
from consent.resolve import LAPSES, UNCONDITIONAL, Record, Standing, standing

START = datetime(2026, 3, 1, tzinfo=UTC)
EVER = START + timedelta(days=3650)
STATES = ("given", "refused", "withdrawn")
STANDINGS: tuple[Standing, ...] = ("given", "refused", "withdrawn", "unknown", *LAPSES)
CONSENT = Purpose("ads.share")
EACH = Purpose("device.storage", mode="per_identifier")
OBJECTABLE = Purpose("security.fraud", lawful_basis="legitimate_interests")

LATEST = Purpose("content.personalised", mode="latest_explicit")
HEALTH = Purpose("health.advice", explicit=True)
RENEWED = Purpose("club.news", version=2, renewed=2)
#: `make test-long` asks for 10,000 random histories of each property.
many = settings(max_examples=int(os.environ.get("PARCOURS_HISTORIES", "850")), deadline=None)


def hour(n: float) -> datetime:
    return START + timedelta(hours=n)


def record(state: str, effective: float, recorded: float, seq: int = 0) -> Record:
    return Record(
        state,  # type: ignore[arg-type]  # one of STATES
        hour(effective),
        hour(recorded),
        seq,
        record_id=f"r{seq}",
    )


def decode(data: bytes) -> list[Record]:
    """Four bytes a record: its state, both times within 16 hours, how long a grant lasts.

    One in five is a universal opt-out, or a grant that overrides such. How well they are proved,
    and on which version they were given, differs.
    """
    records = []
    for seq in range(len(data) // 4):
        state, effective, recorded, lasts = data[4 * seq : 4 * seq + 4]
        made = record(STATES[state % 3], effective % 16, recorded % 16, seq)
        if made.state == "given" and lasts % 2:
            made = replace(made, valid_until=made.effective_at + timedelta(hours=lasts % 8))
        if lasts % 5 == 0:
            made = replace(made, universal="override" if made.state == "given" else "opt_out")
        records.append(replace(made, account_wide=lasts % 3 == 0, unproven=lasts % 16 == 5,
                               guardian=lasts % 4 == 0, purpose_version=1 + state % 2,
                               proof=state // 4 % 4))  # fmt: skip
    return records


def decode_voices(data: bytes) -> list[Voice]:
    return [
        Voice(
            "user_id",
            str(n),
            STANDINGS[byte % len(STANDINGS)],
            f"r{n}",
            hour(byte // 32),
            account_wide=byte % 3 == 0,
            asserted=byte % 2 == 0,
            guardian=byte % 5 == 0,
        )
        for n, byte in enumerate(data)
    ]


histories = st.binary(max_size=28).map(decode)
some_voices = st.binary(max_size=6).map(decode_voices)
hours = st.integers(0, 20).map(hour)
modes = st.sampled_from([CONSENT, EACH, LATEST, HEALTH, RENEWED])


@many
@given(histories, hours, hours, modes)
def test_without_a_record_that_is_known_nothing_is_allowed(
    history: list[Record], at: datetime, known_at: datetime, purpose: Purpose
) -> None:
    later = [r for r in history if r.recorded_at > known_at]
    said, record_id, *_ = standing(later, at=at, known_at=known_at)
    assert (said, record_id) == ("unknown", None)
    voice = Voice("user_id", "1", said, record_id)
    assert not decide(purpose, [voice], acting=voice).allow
    assert not decide(purpose, []).allow


@many
@given(st.lists(histories, min_size=1, max_size=3), st.binary(min_size=4, max_size=4), hours,
       hours, st.sampled_from([CONSENT, EACH, OBJECTABLE, LATEST, HEALTH, RENEWED]))  # fmt: skip
def test_one_more_refusal_never_turns_a_denial_into_permission(
    people: list[list[Record]], data: bytes, at: datetime, known_at: datetime, purpose: Purpose
) -> None:
    [more] = decode(data)
    more = replace(more, state="refused" if data[0] % 2 else "withdrawn", valid_until=None, seq=99)

    def allowed(histories: list[list[Record]]) -> bool:
        voices = [
            Voice.of(
                ("user_id", str(n)),
                standing(h, at=at, known_at=known_at, purpose=purpose),
                asserted=n < 2,
            )
            for n, h in enumerate(histories)
        ]
        return decide(purpose, voices, acting=voices[0]).allow

    whose = data[3] % len(people)
    after = [[*h, more] if n == whose else h for n, h in enumerate(people)]
    assert allowed(people) or not allowed(after)


@many
@given(histories, st.integers(0, 2**32), hours)
def test_the_order_of_arrival_does_not_change_the_answer(
    history: list[Record], seed: int, at: datetime
) -> None:
    """Everything is known in the end; who learned it in which order does not matter."""
    dice = random.Random(seed)  # noqa: S311 -- a shuffle, no secret

    def arrive(records: list[Record]) -> list[Record]:
        dice.shuffle(records)
        return [
            replace(
                r,
                seq=seq,
                recorded_at=hour(16 + dice.randrange(4)),
                valid_until=r.valid_until and r.effective_at + timedelta(hours=5),
            )
            for seq, r in enumerate(records)
        ]

    # Of equal grants the one received last counts: here they are all as well proven.
    lasting = [
        replace(r, valid_until=r.effective_at, unproven=False)
        for r in history
        if r.state == "given"
    ]
    rest = [r for r in history if r.state != "given"]
    first = standing(arrive([*lasting, *rest]), at=at, known_at=EVER)[0]
    second = standing(arrive([*lasting, *rest]), at=at, known_at=EVER)[0]
    assert first == second or {first, second} == {"refused", "withdrawn"}


@many
@given(histories, st.integers(0, 15), st.sampled_from(STATES[1:]), st.booleans())
def test_of_equal_times_the_restrictive_one_wins_whichever_came_last(
    history: list[Record], when: int, state: str, grant_last: bool
) -> None:
    before = [r for r in history if r.order_time < hour(when)]
    yes = record("given", when, 17 if grant_last else 16, 98)
    no = record(state, when, 16 if grant_last else 17, 97)
    assert standing([*before, yes, no], at=hour(18), known_at=EVER)[:2] == (state, "r97")


@many
@given(histories, histories, hours, hours)
def test_what_was_known_then_stays_the_answer_whatever_arrives_later(
    history: list[Record], later: list[Record], at: datetime, known_at: datetime
) -> None:
    arrived = [
        replace(r, recorded_at=known_at + timedelta(hours=1 + n)) for n, r in enumerate(later)
    ]
    assert standing(history, at=at, known_at=known_at) == standing(
        history + arrived, at=at, known_at=known_at
    )


@many
@given(histories, histories, hours)
def test_a_late_grant_dated_before_a_withdrawal_does_not_revive(
    history: list[Record], late: list[Record], at: datetime
) -> None:
    """One dated after the refusal that decides, if before a weaker one, may well lift it."""
    before, decides, *_ = standing(history, at=at, known_at=EVER)
    if before not in ("refused", "withdrawn"):
        return
    [refused_at] = {r.order_time for r in history if r.record_id == decides}
    grants = [
        replace(
            r,
            state="given",
            effective_at=min(r.effective_at, refused_at),
            recorded_at=hour(30 + n),
        )
        for n, r in enumerate(late)
    ]
    assert standing(history + grants, at=at, known_at=EVER)[0] == before


@many
@given(histories, st.binary(min_size=4, max_size=4), hours)
def test_a_future_grant_gives_nothing_until_then(
    history: list[Record], data: bytes, at: datetime
) -> None:
    [grant] = decode(data)
    future = replace(
        grant, state="given", effective_at=at + timedelta(microseconds=1), valid_until=None, seq=99
    )
    assert standing([*history, future], at=at, known_at=EVER) == standing(
        history, at=at, known_at=EVER
    )
    proven = replace(future, unproven=False)
    alone = standing([proven], at=future.effective_at, known_at=EVER)
    assert alone[:2] == ("given", future.record_id)


@many
@given(histories, st.binary(min_size=4, max_size=4), hours)
def test_asked_about_now_a_refusal_counts_at_once_whatever_clock_it_was_written_by(
    history: list[Record], data: bytes, now: datetime
) -> None:
    [more] = decode(data)
    last = max((r.order_time for r in history), default=START)
    ahead = last + timedelta(hours=data[3] % 4)
    refusal = replace(
        more,
        state="refused" if data[0] % 2 else "withdrawn",
        effective_at=max(more.effective_at, ahead),
        recorded_at=ahead,
        valid_until=None,
    )
    said, *_ = standing([*history, refusal], at=now, known_at=None)
    assert said in ("refused", "withdrawn")


@many
@given(histories, st.binary(min_size=4, max_size=4), hours)
def test_asked_about_now_a_grant_still_does_not_begin_before_its_time(
    history: list[Record], data: bytes, now: datetime
) -> None:
    [grant] = decode(data)
    later = now + timedelta(microseconds=1)
    future = replace(grant, state="given", effective_at=later, valid_until=None, seq=99)
    assert standing([*history, future], at=now, known_at=None) == standing(
        history, at=now, known_at=None
    )


@many
@given(histories, hours)
def test_where_all_clocks_agree_now_is_as_any_other_time(
    history: list[Record], now: datetime
) -> None:
    agreed = [replace(r, recorded_at=min(r.recorded_at, now)) for r in history]
    assert standing(agreed, at=now, known_at=None) == standing(agreed, at=now, known_at=now)


@many
@given(st.integers(1, 20), st.integers(0, 20), st.integers(0, 20), hours)
def test_a_clock_ahead_cannot_outrank_a_later_withdrawal(
    ahead: int, withdrawn: int, withdrawn_clock: int, at: datetime
) -> None:
    """The grant counts from its receipt (hour 0), however far ahead its clock was."""
    grant = record("given", ahead, 0, 1)
    withdrawal = record("withdrawn", withdrawn_clock, withdrawn, 2)
    said, *_ = standing([grant, withdrawal], at=at, known_at=EVER)
    if at >= withdrawal.order_time:
        assert said == "withdrawn"
    else:
        assert said == ("given" if at >= grant.effective_at else "unknown")


@many
@given(st.binary(min_size=1, max_size=6).map(decode_voices), st.sampled_from(sorted(UNCONDITIONAL)))
def test_a_contract_goes_on_after_every_withdrawal_and_names_its_basis(
    voices: list[Voice], basis: str
) -> None:
    purpose = Purpose("service.operation", lawful_basis=basis)  # type: ignore[arg-type]  # sampled
    decision = decide(purpose, voices)
    assert (decision.allow, decision.reason) == (True, f"lawful_basis:{basis}")
    assert decision.lawful_basis == basis


@many
@given(some_voices, st.sampled_from(["given", "refused", "withdrawn"]))
def test_a_probable_identifier_can_refuse_and_never_grant(
    voices: list[Voice], said: Standing
) -> None:
    before = decide(CONSENT, voices)
    after = decide(CONSENT, [*voices, Voice("user_id", "match", said, "m", asserted=False)])
    if said == "given":
        assert (after.allow, after.reason) == (before.allow, before.reason)
    else:
        assert not after.allow
        if before.allow:
            assert (after.reason, after.record_ids) == ("probable_link", ("m",))


@many
@given(some_voices, st.sampled_from(STANDINGS))
def test_an_address_answers_for_itself_alone(voices: list[Voice], said: Standing) -> None:
    mine = Voice("email", "a@example.org", said, "mine")
    decision = decide(EACH, [*voices, mine], acting=mine)
    assert decision.allow == (said == "given")
    assert decision.reason == said


@many
@given(some_voices)
def test_every_asserted_identifier_that_spoke_must_say_yes(voices: list[Voice]) -> None:
    decision = decide(CONSENT, voices)
    asserted = {v.standing for v in voices if v.asserted} - {"unknown"}
    doubts = {v.standing for v in voices if not v.asserted} & {"refused", "withdrawn"}
    # Nobody here is a child, for whom a guardian could say it.
    guarded = any(v.guardian for v in voices if v.asserted and v.standing == "given")
    assert decision.allow == (asserted == {"given"} and not doubts and not guarded)
    own = decide(CONSENT, [replace(v, guardian=False) for v in voices])
    assert own.conflict == (len({v.standing for v in voices} - {"unknown"}) > 1)


def test_a_consent_ends_with_the_first_moment_it_is_no_longer_valid() -> None:
    grant = replace(
        record("given", 0, 0), valid_until=datetime(2026, 6, 30, tzinfo=UTC), record_id="g"
    )

    def at(moment: datetime) -> Standing:
        return standing([grant], at=moment, known_at=EVER)[0]

    assert at(datetime(2026, 6, 29, 23, 59, 59, 999_999, tzinfo=UTC)) == "given"
    assert at(datetime(2026, 6, 30, tzinfo=UTC)) == "expired"
    lapsed = Voice("user_id", "1", "expired", "g")
    assert decide(CONSENT, [lapsed]).reason == "expired"
    assert not decide(CONSENT, [lapsed, Voice("user_id", "2", "given", "h")]).allow


def test_a_withdrawal_learned_late_changes_what_is_known_now_and_not_what_was_known_then() -> None:
    """Checks 31 and 32: withdrawn on the 10th, learned on the 12th, sent on the 11th."""
    day = timedelta(days=1)
    history = [
        record("given", 0, 0, 1),
        Record("withdrawn", START + 9 * day, START + 11 * day, 2, "w"),
    ]
    sent = START + 10 * day
    assert standing(history, at=sent, known_at=sent)[0] == "given"
    assert standing(history, at=sent, known_at=EVER)[0] == "withdrawn"
    assert standing(history, at=START + 4 * day, known_at=EVER)[0] == "given"


@pytest.mark.parametrize(
    ("said", "allow", "reason"),
    [
        ("unknown", True, "lawful_basis:legitimate_interests"),
        ("expired", True, "lawful_basis:legitimate_interests"),
        ("refused", False, "refused"),
        ("withdrawn", False, "withdrawn"),
    ],
)
def test_an_objection_ends_a_legitimate_interest(said: Standing, allow: bool, reason: str) -> None:
    decision = decide(OBJECTABLE, [Voice("user_id", "1", said, "r")])
    assert (decision.allow, decision.reason) == (allow, reason)
