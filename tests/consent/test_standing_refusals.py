"""Which refusals stand, and what is recorded of answers: by proof, in any order of arrival."""

import random
from dataclasses import replace
from datetime import timedelta

import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

import consent
from consent import Purpose
from tests.consent.test_records import DAY, EVER, NOON, choice, stamp, stands, states


def test_an_answer_is_recorded_each_time_and_what_came_twice_once(session: Session) -> None:
    """What arrives from between two answers would else change which of them was the last."""
    for state in ("given", "refused"):
        for at in (NOON, NOON, NOON + DAY):
            consent.record(
                session, [choice(state, at, value=state)], received_at=EVER, repeat=False
            )
        assert states(session, state) == [state] * 2
    both = [choice("refused", NOON, value="eve"), choice("refused", NOON, value="eve")]
    consent.record(session, both, received_at=EVER, repeat=False)
    assert states(session, "eve") == ["refused"]


def test_a_yes_from_between_two_refusals_that_arrives_last_gives_nothing(session: Session) -> None:
    for at in (NOON, NOON + 2 * DAY, NOON + DAY):
        state = "given" if at == NOON + DAY else "refused"
        consent.record(session, [choice(state, at)], received_at=EVER, repeat=False)
    assert stands(session, EVER) == "refused"
    assert stands(session, NOON + DAY) == "given"


def test_a_stamp_that_arrives_before_an_older_explicit_refusal_does_not_lift_it(
    session: Session,
) -> None:
    late = NOON + 2 * DAY
    consent.record(session, [stamp("given", NOON + DAY)], received_at=late, repeat=False)
    assert stands(session, EVER) == "given", "nothing else is known yet"
    consent.record(session, [choice("refused", NOON)], received_at=late + DAY, repeat=False)
    assert stands(session, EVER) == "refused"
    [row] = session.execute(
        sa.text("SELECT state, record_id FROM consent.current WHERE value = 'ada'")
    )
    refusal = consent.history(session, [("user_id", "ada")])[-1]
    assert (row.state, row.record_id) == ("refused", refusal.id)
    before = consent.standings(
        consent.history(session, [("user_id", "ada")]), at=late, known_at=late, purposes={}
    )
    assert before["user_id", "ada", "ads.share"].standing == "given", "what was known then"
    again = choice("given", NOON + 3 * DAY)
    consent.record(session, [again], received_at=late + 2 * DAY, repeat=False)
    assert stands(session, EVER) == "given"


def test_an_explicit_yes_after_a_stamp_is_recorded(session: Session) -> None:
    consent.record(session, [stamp("given")], received_at=NOON, repeat=False)
    consent.record(session, [choice("given", NOON + DAY)], received_at=EVER, repeat=False)
    assert states(session) == ["given", "given"]


def test_a_banners_renewed_yes_counts_on_a_version_that_renews_and_its_stamp_does_not(
    session: Session,
) -> None:
    old, new = Purpose("club.news"), Purpose("club.news", version=2, renews=True)
    for version in (old, new):
        consent.catalogue.add_purpose(session, version)
    first = replace(choice("given", purpose="club.news"), purpose_version=1)
    consent.record(session, [first], received_at=NOON, repeat=False)
    later = replace(first, purpose_version=2, effective_at=NOON + DAY)
    known = consent.catalogue.purposes(session)

    def said() -> str:
        history = consent.history(session, [("user_id", "ada")])
        found = consent.standings(history, at=EVER, known_at=EVER, purposes=known)
        return found["user_id", "ada", "club.news"].standing

    stamped = replace(later, evidence={"event_stamp": True})
    consent.record(session, [stamped], received_at=EVER, repeat=False)
    assert said() == "stale_notice", "a browser goes on saying what its banner said once"
    at_first = replace(stamped, answered_at=NOON)
    consent.record(session, [at_first], received_at=EVER, repeat=False)
    assert said() == "stale_notice", "not after the grant"
    since = replace(stamped, effective_at=NOON + 2 * DAY, answered_at=NOON + DAY)
    consent.record(session, [since, since], received_at=EVER, repeat=False)
    assert said() == "given", "the string says that they answered since"
    assert len(states(session)) == 2
    consent.record(session, [later], received_at=EVER, repeat=False)
    assert said() == "given"


def test_a_grown_childs_own_yes_counts_and_a_childs_takes_no_guardians_away(
    session: Session,
) -> None:
    session.execute(
        sa.text(
            "INSERT INTO consent.age_band (namespace, value, band, from_at, to_at, stated_by) "
            "VALUES ('user_id', 'ada', 'child', :begins, :ends, 'test')"
        ),
        {"begins": NOON - DAY, "ends": NOON + 5 * DAY},
    )
    theirs = replace(choice("given"), evidence={"expressed_by": "guardian"})
    consent.record(session, [theirs], received_at=NOON)
    consent.record(session, [choice("given", NOON + DAY)], received_at=EVER, repeat=False)
    assert len(states(session)) == 1
    consent.record(session, [choice("given", NOON + 6 * DAY)], received_at=EVER, repeat=False)
    history = consent.history(session, [("user_id", "ada")])
    found = consent.standings(history, at=EVER, known_at=EVER, purposes={})
    said = found["user_id", "ada", "ads.share"]
    assert (said.standing, said.guardian) == ("given", False)


def test_a_stamp_that_was_answered_since_renews_what_has_lapsed(session: Session) -> None:
    """Sites that send TC strings alone have no other answer; it counts from when it was given."""

    def say(day: int, answered: int | None, value: str = "ada") -> str:
        at = None if answered is None else NOON + answered * DAY
        said = replace(stamp("given", NOON + day * DAY), value=value, answered_at=at, valid_days=10)
        consent.record(session, [said], received_at=EVER, repeat=False)
        return stands(session, NOON + day * DAY, value)

    assert say(1, 0) == "given"
    assert stands(session, NOON + 10 * DAY) == "expired", "ten days after the answer"
    assert say(12, 0) == "expired"
    assert say(12, None) == "expired"
    assert say(12, 1) == "expired", "not after the grant"
    assert say(19, 9) == "expired", "that answer has lapsed as well"
    assert len(states(session)) == 1
    assert say(13, 9) == "given"
    assert stands(session, NOON + 19 * DAY) == "expired"
    assert say(30, 9) == "expired", "each answer renews once"
    theirs = replace(
        choice("given", value="eve"), evidence={"expressed_by": "guardian"}, valid_days=10
    )
    consent.record(session, [theirs], received_at=NOON)
    assert say(13, 9, "eve") == "expired"
    both = [
        replace(stamp("given", NOON + (40 + n) * DAY), answered_at=NOON + day * DAY, valid_days=10)
        for n, day in enumerate((9, 38))
    ]
    consent.record(session, both, received_at=EVER, repeat=False)
    assert stands(session, NOON + 41 * DAY) == "given", "in one batch with the answer before it"


PAGE, SERVER = "source:web", "client:crm"


def test_what_stands_in_every_page_lifts_no_withdrawal_that_is_proved_better(
    session: Session,
) -> None:
    """A stranger may send a grant in anybody's name: a write key is no secret."""
    page = replace(choice("given", NOON + DAY), collected_by=PAGE)
    no = replace(choice("refused"), collected_by=SERVER)
    consent.record(session, [no, page], received_at=EVER)
    assert stands(session, EVER) == "refused"
    secret = replace(page, effective_at=NOON + 2 * DAY, evidence={"server_side": True})
    consent.record(session, [secret], received_at=EVER)
    assert stands(session, EVER) == "given", "the source's key is a secret"
    own = [replace(c, namespace="anonymous_id") for c in (no, page)]
    consent.record(session, own, received_at=EVER)
    device = [("anonymous_id", "ada")]
    found = consent.standings(consent.history(session, device), at=EVER, known_at=EVER, purposes={})
    assert found["anonymous_id", "ada", "ads.share"].standing == "given", "it speaks for itself"
    eve = [replace(c, value="eve", collected_by=PAGE) for c in (no, page)]
    consent.record(session, eve, received_at=EVER)
    assert stands(session, EVER, "eve") == "given", "a page may take back what a page said"


def test_a_grant_without_proof_lifts_no_objection(session: Session) -> None:
    bought = replace(choice("given", NOON + DAY), evidence={"unproven": True})
    consent.record(session, [choice("refused"), bought], received_at=EVER)
    assert stands(session, EVER) == "refused"


words = st.lists(
    st.tuples(
        st.sampled_from(["given", "refused"]),
        st.integers(0, 12),
        st.sampled_from(["page", "client"]),
    ),
    min_size=1,
    max_size=8,
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(words, st.integers(0, 2**32))
def test_in_whatever_order_answers_arrive_the_same_stands(
    session: Session, words: list[tuple[str, int, str]], seed: int
) -> None:
    outer = session.begin_nested()
    said = [
        replace(choice(state, NOON + timedelta(hours=at)),
                collected_by=PAGE if who == "page" else SERVER)
        for state, at, who in words
    ]  # fmt: skip
    shuffled = said[:]
    random.Random(seed).shuffle(shuffled)  # noqa: S311 -- a shuffle, no secret
    for n, (one, other) in enumerate(zip(said, shuffled, strict=True)):
        at = NOON + timedelta(hours=20 + n)
        consent.record(session, [one], received_at=at, repeat=False)
        consent.record(session, [replace(other, value="bob")], received_at=at, repeat=False)
    for hour in range(14):
        then = NOON + timedelta(hours=hour)
        assert (stands(session, then) == "given") == (stands(session, then, "bob") == "given")
    outer.rollback()
    session.expunge_all()
