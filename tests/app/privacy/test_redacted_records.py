"""What an erased address put together, or a name that was wrong kept apart, is looked at again."""

from datetime import UTC, datetime

import sqlalchemy as sa

from app.privacy import redact
from app.privacy.subject import Subject
from identity import graph, matching, people, rebuild, records
from identity.known import ScoredPair
from tests.app.privacy.conftest import GIVEN, World

NOW = datetime(2026, 5, 1, tzinfo=UTC)
ERASED = Subject((("email", "adalovelace@gmail.com"),), (), ("adalovelace@gmail.com",))


def test_a_match_falls_with_all_that_its_record_said(world: World) -> None:
    """Who says nothing is compared with nobody, so no run would take it back."""
    names = [("crm_id", f"c-{n}") for n in range(4)]
    mail = {"email": "adalovelace@gmail.com"}
    with world.sessions.begin() as session:
        a, b, c, d = graph.identify(session, names).values()
        graph.settle(session, [a, b, c, d])
        touched = graph.set_link_consent(session, dict.fromkeys((a, b, c, d), "given"))
        records.keep(session, {a: mail, b: {**mail, "first_name": "bea"}, c: {"first_name": "bea"}})
        touched |= graph.observe(
            session,
            [graph.Evidence(*pair, "match", "splink", NOW, probability=0.97, weight=5.0)
             for pair in ((a, b), (b, c))],
        )  # fmt: skip
        graph.reconsider(session, touched, at=NOW)
        doubted = [{"left_id": i, "right_id": d, "weight": 1.6, "probability": 0.75,
                    "evidence": {}, "run_id": 1} for i in (a, b)]  # fmt: skip
        session.execute(graph.statement("queue_reviews"), {"rows": graph.rows_of(doubted)})
        assert people.people_of(session, [a, b, c, d]) == {a: a, b: a, c: a, d: d}
        session.execute(sa.text("UPDATE identity.record SET keys = '{}'"))
        before = session.scalars(sa.text("SELECT min(changed_at) FROM identity.record")).one()

    redact.others(world.sessions, ERASED)
    world.settle()

    with world.sessions() as session:
        assert people.people_of(session, [a, b, c, d]) == {a: a, b: b, c: b, d: d}
        waiting = session.execute(sa.text("SELECT left_id, right_id FROM identity.review"))
        assert waiting.all() == [(b, d)]
        found = rebuild.rebuild(session, check=True)
        assert (found.identifiers_differing, found.links_differing) == (0, 0)
        # A run that has read them before notes no keys of theirs.
        again = sa.text("SELECT identifier_id FROM identity.record"
                        " WHERE keys IS NULL AND changed_at > :before ORDER BY 1")  # fmt: skip
        assert session.scalars(again, {"before": before}).all() == [a, b]
    for auto in (0.95, 0.99):  # and it links and asks nothing of who says nothing any more
        with world.sessions.begin() as session:
            pair = ScoredPair(a, b, 6.0, 0.98, {})
            done = matching.apply(session, [pair], auto=auto, at=NOW, run_id=2)
            assert (done.linked, done.reviews) == (0, 0)
    with world.sessions.begin() as session:  # what it says later counts again
        records.keep(session, {a: {"first_name": "bea", "birth_date": "1990-01-01"}})
        matching.apply(session, [ScoredPair(a, b, 7.0, 0.99, {})], auto=0.95, at=NOW, run_id=3)
        assert people.people_of(session, [a, b]) == {a: a, b: a}


def test_a_name_that_is_put_right_is_heard_by_the_guards(world: World) -> None:
    crm = {"externalIds": [{"id": "c-1", "type": "crm_id", "collection": "users",
                            "encoding": "none"}]}  # fmt: skip
    mail = "bea@example.org"
    world.send(
        {"type": "identify", "userId": "u-1", "traits": {"firstName": "Zoe", "email": mail},
         "context": GIVEN},
        {"type": "identify", "traits": {"firstName": "Bea", "email": mail},
         "context": {**GIVEN, **crm}},
    )  # fmt: skip
    with world.sessions() as session:
        one, other = (people.find(session, *i) for i in (("user_id", "u-1"), ("crm_id", "c-1")))
        assert one != other
        assert people.held_counts(session) == {"conflict": 1}
    world.ask("rectification", "user_id:u-1", details={"trait": "firstName", "value": "Bea"})
    world.settle()
    with world.sessions() as session:
        assert people.find(session, "user_id", "u-1") == people.find(session, "crm_id", "c-1")
        found = rebuild.rebuild(session, check=True)
        assert (found.identifiers_differing, found.links_differing) == (0, 0)
