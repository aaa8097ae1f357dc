"""A device of two people who never log in, and of one person with two addresses."""

from itertools import permutations

import pytest
from sqlalchemy.orm import Session

from identity import erasure, graph, people, rebuild, records
from tests.identity.test_graph import NOW, give, held, make, match, observe, person, seen

ADA = {"first_name": "ada", "last_name": "lovelace"}
BOB = {"first_name": "bob", "last_name": "lovelace"}
PEOPLE = {
    "logins of their own": ("user_id:ada", "user_id:bob", {}, {}),
    "loyalty cards": ("loyalty_id:1", "loyalty_id:2", {}, {}),
    "records of other names": ("crm_id:1", "crm_id:2", ADA, BOB),
}


@pytest.mark.parametrize("kind", PEOPLE)
def test_a_cookie_at_which_two_people_left_an_address_is_nobodys(
    session: Session, kind: str
) -> None:
    """It was the first one's, with all that the other one did and agreed to on it."""
    one, other, first, second = PEOPLE[kind]
    for n, order in enumerate(permutations(range(4))):
        names = (f"{one}-{n}", f"{other}-{n}", f"email:a{n}@x.net", f"email:b{n}@x.net",
                 f"anonymous_id:c{n}")  # fmt: skip
        a, b, ada, bob, cookie = ids = make(session, *names)
        records.keep(session, {a: first, b: second})
        shown = seen(a, ada), seen(b, bob), seen(cookie, ada), seen(cookie, bob, after=1)
        for place in order:
            observe(session, shown[place])
        assert person(session, *ids) == [a, b, a, b, cookie]
        assert held(session, ids)[ada, cookie, "event"] == "visitors"
    assert rebuild.rebuild(session, check=True).identifiers_differing == 0


def test_who_has_two_addresses_on_a_cookie_and_says_nothing_else_is_one_person(
    session: Session,
) -> None:
    ids = make(session, "user_id:a", "crm_id:a", "email:a@x.net", "email:b@x.net", "anonymous_id:c")
    login, record, one, other, cookie = ids
    observe(session, seen(cookie, one), seen(cookie, other))
    assert person(session, one, other, cookie) == [one] * 3
    # A login shows one of them, a record of the same name the other.
    records.keep(session, {login: ADA, record: {**ADA, "first_name": "adah"}})
    observe(session, seen(login, one), seen(record, other))
    assert person(session, *ids) == [login] * 5


def test_a_cookie_is_its_logins_whatever_addresses_are_typed_there(session: Session) -> None:
    """A present for Bob is ordered by Ada, who is logged in."""
    ids = make(session, "user_id:a", "user_id:b", "email:a@x.net", "email:b@x.net",
               "anonymous_id:c")  # fmt: skip
    a, b, ada, bob, cookie = ids
    observe(session, seen(a, ada), seen(b, bob), seen(a, cookie), seen(cookie, ada),
            seen(cookie, bob))  # fmt: skip
    assert person(session, *ids) == [a, b, a, b, a]


@pytest.mark.parametrize("decided", [True, False])
def test_a_cookie_of_two_logins_of_one_person_is_theirs(session: Session, decided: bool) -> None:
    ids = make(session, "user_id:a", "user_id:b", "email:a@x.net", "email:b@x.net",
               "anonymous_id:c")  # fmt: skip
    a, b, ada, bob, cookie = ids
    observe(session, seen(a, ada), seen(b, bob), seen(cookie, ada), seen(cookie, bob))
    assert person(session, *ids) == [a, b, a, b, cookie]
    if decided:
        people.must_link(session, a, b, by="ada", at=NOW)
    else:
        give(session, *ids)
        observe(session, match(a, b, 0.995))
    assert person(session, *ids) == [a] * 5
    assert rebuild.rebuild(session, check=True).identifiers_differing == 0
    [merge] = [
        m for m in people.merges(session, person=a) if (m.survivor_id, m.absorbed_id) == (a, b)
    ]
    people.undo(session, merge.id, by="ada", at=NOW)
    assert person(session, *ids) == [a, b, a, b, cookie]
    assert rebuild.rebuild(session, check=True).identifiers_differing == 0


def test_a_cookie_of_two_does_not_become_the_others_when_one_is_erased(session: Session) -> None:
    a, b, ada, bob, cookie = make(session, "user_id:a", "user_id:b", "email:a@x.net",
                                  "email:b@x.net", "anonymous_id:c")  # fmt: skip
    observe(session, seen(a, ada), seen(b, bob), seen(cookie, ada), seen(cookie, bob))
    erasure.forget(session, [a, ada], at=NOW)
    assert person(session, b, bob, cookie) == [b, b, cookie]


def test_a_cookie_of_two_names_does_not_become_anybodys_when_the_names_are_forgotten(
    session: Session,
) -> None:
    """Retention forgets what told them apart: not that they are two."""
    a, b, ada, bob, cookie = make(session, "crm_id:a", "crm_id:b", "email:a@x.net",
                                  "email:b@x.net", "anonymous_id:c")  # fmt: skip
    records.keep(session, {a: ADA, b: BOB})
    observe(session, seen(a, ada), seen(b, bob), seen(cookie, ada), seen(cookie, bob))
    gone = records.forget(session, [a])
    graph.reconsider(session, gone, at=NOW)
    assert person(session, a, ada) == [a, a]
    assert person(session, b, bob) == [b, b]
    assert rebuild.rebuild(session, check=True).identifiers_differing == 0


@pytest.mark.parametrize("why", ["consent:not_given", "cannot_link"])
def test_a_match_that_joins_nobody_makes_a_couples_cookie_nobodys_still(
    session: Session, why: str
) -> None:
    """It became one's, with what the other one agreed to on it."""
    ids = make(session, "user_id:a", "user_id:b", "email:a@x.net", "email:b@x.net",
               "anonymous_id:c")  # fmt: skip
    a, b, ada, bob, cookie = ids
    observe(session, seen(a, ada), seen(b, bob), seen(cookie, ada), seen(cookie, bob))
    if why == "cannot_link":
        give(session, *ids)
        people.keep_apart(session, a, b, by="ada", reason="told so")
    else:
        give(session, b, bob)
    observe(session, match(a, b, 0.995))
    assert person(session, *ids) == [a, b, a, b, cookie]
    assert held(session, ids)[a, b, "match"] == why
    assert rebuild.rebuild(session, check=True).identifiers_differing == 0
