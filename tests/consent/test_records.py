"""Consent records in PostgreSQL: append-only, one per change of mind, in any order of arrival."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

import consent
from consent import Choice, Purpose
from consent.errors import (
    LawfulBasisFixed,
    NoticeExists,
    NoticeNotFound,
    PurposeExists,
    PurposeNotFound,
)

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
EVER = NOON + 3650 * DAY


def choice(
    state: str,
    effective_at: datetime = NOON,
    *,
    value: str = "ada",
    purpose: str = "ads.share",
    valid_days: int | None = None,
) -> Choice:
    return Choice(
        "user_id", value, purpose, state, effective_at, "test", valid_days=valid_days
    )  # fmt: skip


def stands(session: Session, at: datetime, value: str = "ada", purpose: str = "ads.share") -> str:
    history = consent.history(session, [("user_id", value)])
    found = consent.standings(history, at=at, known_at=at + 3650 * DAY, purposes={})
    return found.get(("user_id", value, purpose), ("unknown", None))[0]


def states(session: Session, value: str = "ada") -> list[str]:
    return [r.state for r in consent.history(session, [("user_id", value)])]


@pytest.mark.parametrize("hours", [-30, -1, 0, 1, 30, 900])
def test_the_bounds_of_who_was_new_are_those_of_what_was_written(
    session: Session, hours: int
) -> None:
    at = NOON + timedelta(hours=hours)
    choices = [
        choice("given", NOON - DAY, valid_days=2),
        choice("refused", NOON, purpose="analytics.audience"),
        choice("given", NOON + 9 * DAY, purpose="profile.link"),
        choice("given", value="bob", valid_days=30),
        choice("refused", value="eve"),
    ]
    written = consent.record(session, choices, received_at=NOON, repeat=False)
    asked = {("user_id", "ada"): at, ("user_id", "bob"): at, ("user_id", "nobody"): at}
    assert consent.bounds_of(written, asked) == consent.bounds(session, asked)
    assert consent.bounds_of(written, asked).keys() == {("user_id", "ada"), ("user_id", "bob")}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE consent.record SET state = 'given'",
        "DELETE FROM consent.record",
        "TRUNCATE consent.record",
        "UPDATE consent.purpose SET lawful_basis = 'contract'",
        "DELETE FROM consent.purpose",
        "UPDATE consent.notice SET body = 'else'",
        "DELETE FROM consent.notice",
    ],
)
def test_what_was_recorded_is_never_changed_nor_deleted(session: Session, statement: str) -> None:
    consent.record(session, [choice("refused")], received_at=NOON)
    consent.catalogue.add_notice(
        session, key="banner", version=1, language="en", purposes=["ads.share"], body="May we?"
    )
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), session.begin_nested():
        session.execute(sa.text(statement))
    assert stands(session, NOON) == "refused"


def test_a_version_of_a_purpose_or_a_notice_is_written_once(session: Session) -> None:
    new = Purpose("fraud.check", lawful_basis="legitimate_interests")
    consent.catalogue.add_purpose(session, new)
    with pytest.raises(PurposeExists):
        consent.catalogue.add_purpose(session, Purpose("fraud.check"))
    with pytest.raises(LawfulBasisFixed):
        consent.catalogue.add_purpose(session, Purpose("fraud.check", version=2))
    again = Purpose("fraud.check", version=2, lawful_basis="legitimate_interests")
    consent.catalogue.add_purpose(session, again)
    assert consent.catalogue.purpose(session, "fraud.check").version == 2
    with pytest.raises(PurposeNotFound):
        consent.catalogue.purpose(session, "no.such")
    notice = {"key": "n", "version": 1, "language": "fr", "purposes": ["ads.share"], "body": "?"}
    made = consent.catalogue.add_notice(session, **notice)  # type: ignore[arg-type]  # as JSON
    assert len(made.body_sha256) == 64
    with pytest.raises(NoticeExists):
        consent.catalogue.add_notice(session, **notice)  # type: ignore[arg-type]  # as JSON
    with pytest.raises(NoticeNotFound):
        consent.catalogue.notice(session, "n", 2, "fr")


def test_a_stamp_on_every_page_view_leaves_one_record_per_change_of_mind(session: Session) -> None:
    said = ["given", "given", "refused", "refused", "refused", "given", "given"]
    for n, state in enumerate(said):
        at = NOON + n * DAY
        consent.record(session, [stamp(state, at)], received_at=at, repeat=False)
    assert states(session) == ["given", "withdrawn", "given"]


def test_one_batch_leaves_the_same_records_as_many(session: Session) -> None:
    said = ["given", "given", "refused", "refused", "given", "refused"]
    choices = [stamp(state, NOON + n * DAY) for n, state in enumerate(said)]
    consent.record(session, choices[::-1], received_at=NOON + 9 * DAY, repeat=False)
    assert states(session) == ["given", "withdrawn", "given", "withdrawn"]


def test_a_refusal_after_a_grant_of_the_same_batch_counts_although_one_stood_before(
    session: Session,
) -> None:
    consent.record(session, [choice("refused", NOON - DAY)], received_at=NOON - DAY)
    both = [choice("given", NOON), choice("refused", NOON + timedelta(minutes=1))]
    consent.record(session, both, received_at=NOON + DAY, repeat=False)
    assert stands(session, NOON + DAY) == "withdrawn"


def test_a_refusal_that_is_repeated_in_one_batch_counts_after_a_grant_that_lies_between(
    session: Session,
) -> None:
    consent.record(session, [choice("given", NOON)], received_at=NOON)
    twice = [choice("refused", NOON - DAY), choice("refused", NOON + DAY)]
    consent.record(session, twice, received_at=NOON + 2 * DAY, repeat=False)
    assert stands(session, NOON + 2 * DAY) == "withdrawn"


def test_an_objection_after_a_consent_lapsed_is_recorded(session: Session) -> None:
    """An expired consent and a refusal both deny, but only a refusal ends other bases."""
    consent.record(session, [choice("given", NOON, valid_days=1)], received_at=NOON)
    later = NOON + 2 * DAY
    consent.record(session, [choice("refused", later)], received_at=later, repeat=False)
    assert stands(session, later) == "refused"


@pytest.mark.parametrize("at_once", [True, False], ids=["one_batch", "one_by_one"])
@pytest.mark.parametrize("guardian", [True, False], ids=["a_guardians", "their_own"])
def test_a_stamp_gives_no_lapsed_consent_anew_and_an_answer_does(
    session: Session, at_once: bool, guardian: bool
) -> None:
    """A browser goes on saying what its banner said once; what a guardian gave was never theirs."""
    first = replace(choice("given", valid_days=2), evidence={"expressed_by": "guardian"})
    first = first if guardian else replace(stamp("given", NOON), valid_days=2)
    consent.record(session, [first], received_at=NOON)
    given = [replace(stamp("given", NOON + n * DAY), valid_days=2) for n in range(1, 6)]
    for some in [given] if at_once else [[one] for one in given]:
        consent.record(session, some, received_at=NOON + 9 * DAY, repeat=False)
    assert stands(session, NOON + DAY) == "given"
    assert stands(session, NOON + 3 * DAY) == "expired"
    assert len(states(session)) == 1
    answer = choice("given", NOON + 6 * DAY, valid_days=2)
    consent.record(session, [answer], received_at=NOON + 9 * DAY, repeat=False)
    assert stands(session, NOON + 7 * DAY) == "given"


def test_stamps_of_one_batch_outlive_no_consent(session: Session) -> None:
    given = [replace(stamp("given", NOON + n * DAY), valid_days=2) for n in range(5)]
    consent.record(session, given, received_at=NOON + 9 * DAY, repeat=False)
    assert stands(session, NOON + DAY) == "given"
    assert stands(session, NOON + 4 * DAY) == "expired"
    assert len(states(session)) == 1


def test_a_stamp_that_refuses_what_has_lapsed_is_recorded(session: Session) -> None:
    consent.record(session, [choice("given", NOON, valid_days=1)], received_at=NOON)
    later = NOON + 2 * DAY
    consent.record(session, [stamp("refused", later)], received_at=later, repeat=False)
    assert stands(session, later) == "refused"


def test_a_grant_dated_in_the_future_does_not_hide_the_one_given_now(session: Session) -> None:
    for _ in range(2):
        consent.record(session, [choice("given", NOON + 900 * DAY)], received_at=NOON, repeat=False)
    assert stands(session, NOON + DAY) == "unknown"
    after = NOON + timedelta(minutes=5)
    consent.record(session, [choice("given", after)], received_at=after, repeat=False)
    assert stands(session, NOON + DAY) == "given"
    assert len(states(session)) == 2


def test_a_clock_at_the_end_of_time_is_recorded_like_any_other(session: Session) -> None:
    doomsday = datetime(9999, 12, 31, 23, 59, tzinfo=UTC)
    consent.record(session, [choice("given", doomsday, valid_days=395)], received_at=NOON)
    assert stands(session, NOON + DAY) == "unknown"


def test_an_explicit_decision_is_recorded_each_time_it_is_made(session: Session) -> None:
    for _ in range(3):
        consent.record(session, [choice("given")], received_at=NOON)
    assert states(session) == ["given"] * 3


def test_no_record_is_dated_later_than_by_the_databases_clock(session: Session) -> None:
    now = session.scalar(sa.select(sa.func.clock_timestamp()))
    assert now is not None
    ahead = now + timedelta(seconds=5)
    consent.record(session, [choice("given", ahead)], received_at=ahead)
    # Another server, whose clock is right, a moment later.
    later = session.scalar(sa.select(sa.func.clock_timestamp()))
    assert later is not None
    consent.record(session, [choice("refused", later)], received_at=later)
    rows = consent.history(session, [("user_id", "ada")])
    assert [row.effective_at for row in rows] == [ahead, later]
    assert rows[0].recorded_at == rows[0].order_time < later
    assert stands(session, ahead + DAY) in ("refused", "withdrawn")


def test_a_grant_from_before_the_clock_was_set_back_does_not_outlive_a_withdrawal(
    session: Session,
) -> None:
    now = session.scalar(sa.select(sa.func.clock_timestamp()))
    assert now is not None
    for value, effective in ("ada", now), ("bea", None):
        ahead = now + timedelta(hours=1)
        session.execute(sa.text(
            "INSERT INTO consent.record (namespace, value, purpose, purpose_version, state,"
            " effective_at, recorded_at, order_time, collected_by, evidence) VALUES"
            " ('user_id', :value, 'ads.share', 1, 'given', :at, :at, :at, 'test', '{}')"
        ), {"value": value, "at": ahead})  # fmt: skip
        no = choice("refused", effective or now - timedelta(minutes=1), value=value)
        consent.record(session, [no], received_at=now, repeat=value == "ada")
        rows = consent.history(session, [("user_id", value)])
        found = consent.standings(rows, at=ahead + DAY, known_at=None, purposes={})
        assert found["user_id", value, "ads.share"].standing == "refused"


def test_a_stamp_never_lifts_an_explicit_refusal(session: Session) -> None:
    """A browser goes on stamping what its banner said, after its person withdrew elsewhere."""
    consent.record(session, [choice("withdrawn", NOON)], received_at=NOON)
    for hours in (1, 2):
        late = NOON + timedelta(hours=hours)
        consent.record(session, [stamp("given", late)], received_at=late, repeat=False)
    assert stands(session, EVER) == "withdrawn"
    later = [stamp("given", NOON + DAY), choice("given", NOON + 2 * DAY)]
    consent.record(session, later, received_at=NOON + 3 * DAY, repeat=False)
    assert stands(session, EVER) == "given"


def test_a_stamp_lifts_what_a_stamp_refused_until_somebody_refuses_explicitly(
    session: Session,
) -> None:
    said = [stamp("refused"), stamp("given", NOON + DAY), stamp("refused", NOON + 2 * DAY)]
    consent.record(session, said[:2], received_at=NOON + DAY, repeat=False)
    assert stands(session, EVER) == "given"
    explicit = choice("refused", NOON + 3 * DAY)
    consent.record(session, [said[2], explicit], received_at=NOON + 4 * DAY, repeat=False)
    late = NOON + 5 * DAY
    consent.record(session, [stamp("given", late)], received_at=late, repeat=False)
    assert stands(session, EVER) == "refused"


def test_a_stamp_that_comes_late_lifts_no_refusal_that_may_have_been_said_again_since(
    session: Session,
) -> None:
    """The second no is left out as a repetition; the yes between them is not the last word."""
    hours = [NOON + timedelta(hours=n) for n in range(6)]
    consent.record(session, [stamp("refused", hours[0])], received_at=hours[0], repeat=False)
    consent.record(session, [stamp("refused", hours[2])], received_at=hours[2], repeat=False)
    consent.record(session, [stamp("given", hours[1])], received_at=hours[3], repeat=False)
    assert stands(session, EVER) == "refused"
    soon = hours[4] + timedelta(seconds=50)
    consent.record(session, [stamp("given", hours[4])], received_at=soon, repeat=False)
    assert stands(session, EVER) == "given", "what comes in time does"


def test_a_history_that_comes_in_order_later_is_heard_to_its_end(session: Session) -> None:
    for n, state in enumerate(["refused", "given", "refused", "given"]):
        at = NOON + timedelta(hours=n)
        consent.record(session, [stamp(state, at)], received_at=NOON + DAY, repeat=False)
    assert states(session) == ["refused", "given", "withdrawn", "given"]


def test_a_yes_from_before_that_comes_after_a_no_that_itself_came_late_lifts_nothing(
    session: Session,
) -> None:
    """The queue of a device that was away comes in parts; what is repeated in it is left out."""
    ten, noon = NOON - timedelta(hours=2), NOON
    consent.record(session, [stamp("refused", ten)], received_at=noon, repeat=False)
    late = noon + timedelta(minutes=10)
    between = stamp("given", ten + timedelta(hours=1))
    consent.record(session, [between], received_at=late, repeat=False)
    assert stands(session, EVER) == "refused"


def test_what_an_importer_states_lifts_no_refusal(session: Session) -> None:
    said = replace(
        choice("given", NOON + DAY),
        collected_by="import:crm",
        evidence={"stated_by_importer": "the contract"},
    )
    consent.record(session, [stamp("refused")], received_at=NOON, repeat=False)
    consent.record(session, [said], received_at=NOON + DAY, repeat=False)
    assert stands(session, EVER) == "refused"


def stamp(state: str, effective_at: datetime = NOON) -> Choice:
    return replace(choice(state, effective_at), evidence={"event_stamp": True})


def test_more_identifiers_are_asked_at_once_than_a_statement_has_parameters(
    session: Session,
) -> None:
    consent.record(session, [choice("given")], received_at=NOON)
    many = [("user_id", str(n)) for n in range(40_000)] + [("user_id", "ada")]
    assert [r.value for r in consent.history(session, many)] == ["ada"]


steps = st.lists(
    st.tuples(st.sampled_from(["given", "refused"]), st.integers(0, 12)),
    min_size=1,
    max_size=8,
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps, st.integers(1, 8))
def test_leaving_repetitions_out_never_changes_what_stands(
    session: Session, steps: list[tuple[str, int]], size: int
) -> None:
    """Compared, hour by hour, with recording everything; in batches of any size and order."""
    outer = session.begin_nested()
    times = sorted((NOON + timedelta(hours=at), state) for state, at in steps)
    for number, part in enumerate(_batches([stamp(state, at) for at, state in times], size)):
        received_at = NOON + timedelta(hours=20, seconds=number)
        consent.record(session, part[::-1], received_at=received_at, repeat=False)
        everything = [replace(c, value="bob") for c in part]
        consent.record(session, everything, received_at=received_at)
    history = consent.history(session, [("user_id", "ada"), ("user_id", "bob")])
    for hour in range(14):
        at = NOON + timedelta(hours=hour)
        standings = consent.standings(history, at=at, known_at=EVER, purposes={})
        found = {who: said.standing for (_, who, _), said in standings.items()}
        assert (found.get("ada") == "given") == (found.get("bob") == "given")
    outer.rollback()
    session.expunge_all()


def _batches(choices: list[Choice], size: int) -> Iterable[list[Choice]]:
    for start in range(0, len(choices), size):
        yield choices[start : start + size]


def test_denials_are_counted_by_day_use_purpose_and_reason(session: Session) -> None:
    before = {(d["use"], d["reason"]): d["denials"] for d in consent.denials(session)}
    for _ in range(2):
        consent.count_denials(
            session,
            use="read",
            denials=[("ads.share", "refused", 3), ("ads.share", "unknown", 0)],
            at=NOON,
        )
    after = {(d["use"], d["reason"]): d["denials"] for d in consent.denials(session)}
    assert after["read", "refused"] - before.get(("read", "refused"), 0) == 6
    assert ("read", "unknown") not in after
