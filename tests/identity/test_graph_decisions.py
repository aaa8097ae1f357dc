"""The graph in PostgreSQL: what people decided about it, and what several rules showed."""

import json

import pytest
import sqlalchemy as sa
from msgspec import structs
from sqlalchemy.orm import Session

from identity import erasure, graph, namespaces, people, queue, reviews, suspensions
from identity.errors import ReviewDecided
from identity.identifiers import Namespace
from identity.tables import Identifier
from tests.identity.test_graph import (
    DAY,
    NOW,
    give,
    held,
    make,
    match,
    observe,
    person,
    seen,
)


def test_a_review_is_decided_once_and_outlives_the_next_run(session: Session) -> None:
    ids = make(session, "crm_id:a", "crm_id:b", "crm_id:c")
    a, b, c = ids
    give(session, *ids)
    pair = {"weight": 3.0, "probability": 0.8, "evidence": {}, "run_id": 1}
    session.execute(
        graph.statement("queue_reviews"),
        {"rows": json.dumps([{"left_id": a, "right_id": x, **pair} for x in (b, c)])},
    )
    mine = {row.right_id: row for row in queue.waiting(session, now=NOW) if row.left_id == a}
    same, other = mine[b], mine[c]
    reviews.decide(session, same.id, match=True, by="ada", at=NOW)
    reviews.decide(session, other.id, match=False, by="ada", at=NOW)
    assert person(session, *ids) == [a, a, c]
    observe(session, match(a, c, 0.999), match(b, c, 0.999))
    assert person(session, *ids) == [a, a, c]
    with pytest.raises(ReviewDecided):
        reviews.decide(session, same.id, match=False, by="ada", at=NOW)


def test_who_refuses_to_be_linked_is_in_no_review_that_waits(session: Session) -> None:
    ids = make(session, "user_id:a", "user_id:b", "user_id:c")
    pair = {"left_id": ids[0], "weight": 3.0, "probability": 0.8, "evidence": {}, "run_id": 1}
    rows = json.dumps([{"right_id": other, **pair} for other in ids[1:]])
    session.execute(graph.statement("queue_reviews"), {"rows": rows})
    give(session, ids[2], state="refused")
    waiting = queue.waiting(session, now=NOW)
    assert [row.right_id for row in waiting if row.left_id == ids[0]] == [ids[1]]


def test_a_component_may_be_larger_than_a_statement_has_parameters(session: Session) -> None:
    """70 events of a public write key, `externalIds` in each, stopped the pipeline for ever."""
    many = range(10**12, 10**12 + 66_000)
    assert graph.followed(session, many) == set()
    assert people.profile_ids(session, many) == people.people_of(session, many) == {}
    assert people.identifiers(session, many) == []


def test_an_undo_gives_back_the_decisions_that_fell_for_the_merge(session: Session) -> None:
    ids = make(session, "crm_id:a", "crm_id:b", "anonymous_id:a1", "anonymous_id:b1")
    a, b, a1, b1 = ids
    observe(session, seen(a, a1), seen(b, b1))
    people.keep_apart(session, a1, b1, by="bob", reason="father and son")
    before = apart(session, ids)
    for _ in range(2):  # the second time it is a link that the first undo revoked
        people.must_link(session, a, b, by="ada", at=NOW)
        people.must_link(session, a, b, by="ada", at=NOW)
        assert apart(session, ids) == []
        [merge] = people.merges(session, person=a)[-1:]
        people.undo(session, merge.id, by="ada", at=NOW)
        assert before[0] in apart(session, ids)
        assert person(session, *ids) == [a, b, a, b]


def apart(session: Session, ids: list[int]) -> list[tuple[object, ...]]:
    query = "SELECT * FROM identity.cannot_link WHERE left_id = ANY(:ids) ORDER BY left_id"
    return [tuple(row) for row in session.execute(sa.text(query), {"ids": ids})]


def test_a_link_stands_until_the_last_rule_that_showed_it_is_taken_back(session: Session) -> None:
    ids = make(session, "crm_id:a", "anonymous_id:a1", "anonymous_id:a2")
    a, a1, a2 = ids
    observe(session, structs.replace(seen(a, a1), rule="alias"), seen(a, a1, 3))
    observe(session, structs.replace(seen(a, a2), rule="alias"))
    observe(session, seen(a, a2, 3))
    for gone, left in ((("alias",), [a, a, a]), (("alias", "identify"), [a, a1, a2])):
        for rule in gone:
            suspensions.suspend(session, rule=rule, by="ada")
        graph.reconsider(session, ids, at=NOW)
        assert person(session, *ids) == left
    suspensions.resume(session, rule="alias")
    graph.reconsider(session, ids, at=NOW)
    assert person(session, *ids) == [a, a, a]


def test_a_refusal_does_not_hide_who_was_seen_with_a_device_last(session: Session) -> None:
    """A refused link can be what lets another lapse: that it is seen again is news."""
    ids = make(session, "device_id:tablet", "user_id:a", "user_id:b")
    tablet, a, b = ids
    observe(session, seen(tablet, a), seen(tablet, b, 300 * DAY))
    give(session, b, state="refused")
    assert held(session, ids)[tablet, a, "event"] == "shared"
    observe(session, seen(tablet, b, 500 * DAY))
    assert held(session, ids)[tablet, a, "event"] == "lapsed"


def test_an_undo_looks_at_what_two_logins_share_by_links_that_are_too_many_to_count(
    session: Session,
) -> None:
    """The device of two logins stayed as if they were still decided to be one."""
    namespaces.put(
        session,
        namespaces.Setting(Namespace("user_id", 1, limit=1, unique=True, most_links=3)),
        by="ada",
    )
    a, b, tablet, *cookies = make(session, "user_id:a", "user_id:b", "device_id:tablet",
                                  *(f"anonymous_id:{n}" for n in range(6)))  # fmt: skip
    observe(session, *(seen(a if n < 3 else b, cookie) for n, cookie in enumerate(cookies)))
    observe(session, seen(a, tablet, DAY), seen(b, tablet, DAY))
    closed = sa.select(Identifier.closed).where(Identifier.id == tablet)
    assert session.scalar(closed) == "shared"
    people.must_link(session, a, b, by="ada", at=NOW)
    assert session.scalar(closed) is None
    [merge] = [m for m in people.merges(session, person=a) if m.absorbed_id == b]
    people.undo(session, merge.id, by="ada", at=NOW)
    assert session.scalar(closed) == "shared"


KIOSKS = {
    "a browser": ("anonymous_id:kiosk", "email:m{}@mail.net", None),
    "a device whose cookie each visitor renews": (
        "device_id:kiosk",
        "anonymous_id:c{}",
        "email:m{}@mail.net",
    ),
    "a switchboard": ("phone:33142685300", "crm_id:c{}", "email:m{}@mail.net"),
}


@pytest.mark.parametrize("kiosk", KIOSKS)
def test_where_more_people_left_an_address_than_one_has_nobody_is_joined(
    session: Session, kiosk: str
) -> None:
    """The first five who left an address in a shop became one person, with one consent."""
    shape = KIOSKS[kiosk]
    [hub] = make(session, shape[0])
    visitors = [make(session, *(r.format(n) for r in shape[1:] if r)) for n in range(6)]
    for n, (acts, *mail) in enumerate(visitors):
        observe(session, seen(acts, hub, after=n), *(seen(acts, m, after=n) for m in mail))
        if n == 4:
            assert set(person(session, *(visitor[0] for visitor in visitors[:5]))) == {hub}
    assert person(session, hub) == [hub]
    for visitor in visitors:
        assert person(session, *visitor) == [visitor[0]] * len(visitor)
    everybody = [hub, *(i for visitor in visitors for i in visitor)]
    assert "visitors" in held(session, everybody).values()
    assert graph.imagine(session, [visitors[0][0]]).people.closed == {hub: "visitors"}
    # Who did not allow to be linked meanwhile, and does again, is nobody's visitor less.
    give(session, visitors[0][0], state="refused")
    give(session, visitors[0][0])
    for visitor in visitors:
        assert person(session, *visitor) == [visitor[0]] * len(visitor)
    moved = [graph.reconsider(session, [i], at=NOW) for i in everybody]
    assert not any(m.merged or m.split for m in moved)
    # Somebody decides that one of them is who the kiosk belongs to.
    people.must_link(session, hub, visitors[0][0], by="ada", at=NOW)
    assert person(session, *visitors[0]) == [hub] * len(visitors[0])
    assert person(session, *visitors[1]) == [visitors[1][0]] * len(visitors[1])


@pytest.mark.parametrize("kiosk", KIOSKS)
def test_the_others_at_a_kiosk_are_not_joined_because_one_of_them_is_erased(
    session: Session, kiosk: str
) -> None:
    shape = KIOSKS[kiosk]
    [hub] = make(session, shape[0])
    visitors = [make(session, *(r.format(n) for r in shape[1:] if r)) for n in range(7)]
    for acts, *mail in visitors:
        observe(session, seen(acts, hub), *(seen(acts, m) for m in mail))
    for gone in (visitors.pop(), visitors.pop()):
        moved, count = erasure.forget(session, gone, at=NOW)
        assert (moved.merged, count) == ((), len(gone))
        assert person(session, hub) == [hub]
        for visitor in visitors:
            assert person(session, *visitor) == [visitor[0]] * len(visitor)


def test_the_many_addresses_of_one_person_are_not_those_of_visitors(session: Session) -> None:
    login, device, *mails = make(session, "user_id:u", "device_id:d",
                                 *(f"email:m{n}@mail.net" for n in range(8)))  # fmt: skip
    observe(session, seen(login, device), *(seen(login, m, after=n) for n, m in enumerate(mails)))
    assert person(session, login, device, *mails) == [login] * 7 + mails[5:]
    mail, *numbers = make(session, "email:n@mail.net", *(f"phone:4477009001{n}0" for n in range(7)))
    observe(session, *(seen(mail, number, after=n) for n, number in enumerate(numbers)))
    assert person(session, mail, *numbers) == [mail] * 6 + numbers[5:]


def test_the_merges_of_a_person_are_those_of_its_parts_too(session: Session) -> None:
    """Who looked a person up for the merge to undo did not find it, once they had been absorbed."""
    ids = make(session, "crm_id:a", "crm_id:b", "crm_id:c", "crm_id:d")
    a, b, c, d = ids
    give(session, *ids)
    observe(session, match(b, c))
    observe(session, match(a, b))
    [within, between] = people.merges(session, person=a)
    assert [(m.survivor_id, m.absorbed_id) for m in (within, between)] == [(b, c), (a, b)]
    assert people.merges(session, person=a, newest=True, limit=1) == [between]
    assert people.merges(session, person=d) == []
    people.undo(session, within.id, by="ada", at=NOW)
    assert person(session, *ids) == [a, a, c, d]
    assert people.merges(session, person=c) == [within]
    assert people.merges(session, person=a) == [within, between]
