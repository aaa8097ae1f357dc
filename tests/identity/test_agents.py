"""Agents: a login under which others are identified, in a call centre or a shop, joins nobody."""

import pytest
from sqlalchemy.orm import Session

from identity import erasure, graph, namespaces, people, rebuild
from identity.around import around
from identity.identifiers import Namespace
from tests.identity.test_graph import NOW, give, held, make, observe, person, seen
from tests.identity.test_visitors import Shown

#: How customers are known elsewhere than at the agent.
LIVES = {
    "a login of their own": "user_id:c{}",
    "a cookie of their own": "anonymous_id:c{}",
    "a record of a shop": "crm_id:c{}",
}
ADDRESSES = {"e-mail": "email:m{}@mail.net", "telephone": "phone:3361268340{}"}


def customers(session: Session, life: str, address: str, count: int) -> list[list[int]]:
    return [make(session, life.format(n), address.format(n)) for n in range(count)]


@pytest.mark.parametrize("first", ["agent", "customers"])
@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("life", LIVES)
def test_customers_keep_the_addresses_that_an_agent_identifies_under_their_own_login(
    session: Session, life: str, address: str, first: str
) -> None:
    """Each address was shared, so nobody's, or the customers of an agent were one person."""
    [agent] = make(session, "user_id:agent")
    theirs = customers(session, LIVES[life], ADDRESSES[address], 6)
    shown = [seen(agent, mail, after=n) for n, (_, mail) in enumerate(theirs)]
    own = [seen(c, mail, after=n) for n, (c, mail) in enumerate(theirs)]
    for item in [*shown, *own] if first == "agent" else [*own, *shown]:
        observe(session, item)
    assert person(session, agent) == [agent]
    for one in theirs:
        assert person(session, *one) == [one[0]] * 2
    everybody = [agent, *(i for one in theirs for i in one)]
    assert [held(session, everybody)[agent, mail, "event"] for _, mail in theirs] == ["agent"] * 6
    # Another of their own later is theirs too, and one that shows who calls again changes nothing.
    [cookie] = make(session, "anonymous_id:later")
    observe(session, seen(cookie, theirs[0][1], 9), seen(agent, theirs[0][1], 10**7))
    assert person(session, cookie) == [theirs[0][0]]
    assert rebuild.rebuild(session, check=True).links_differing == 0


def test_customers_who_call_and_are_known_nowhere_else_are_not_one_person(
    session: Session,
) -> None:
    [agent] = make(session, "user_id:agent")
    mails = make(session, *(f"email:m{n}@mail.net" for n in range(21)))
    observe(session, *(seen(agent, mail, after=n) for n, mail in enumerate(mails)))
    assert person(session, agent, *mails) == [agent, *mails]


def test_an_agent_of_more_customers_than_are_looked_at_takes_no_address(session: Session) -> None:
    [agent] = make(session, "user_id:agent")
    mails = make(session, *(f"email:m{n}@mail.net" for n in range(230)))
    observe(session, *(seen(agent, mail, after=n) for n, mail in enumerate(mails)))
    [login] = make(session, "user_id:customer")
    observe(session, seen(login, mails[-1], after=999))
    assert person(session, login, mails[-1]) == [mails[-1]] * 2
    observe(session, seen(agent, mails[-1], after=-1), seen(agent, mails[-1], after=10**7))
    assert person(session, login, mails[-1]) == [mails[-1]] * 2
    assert rebuild.rebuild(session, check=True).links_differing == 0


def test_what_an_agent_uses_joins_nobody(session: Session) -> None:
    """A call centre's browser, in which the agent forgot to log in three times."""
    agent, browser = make(session, "user_id:agent", "anonymous_id:browser")
    theirs = customers(session, "user_id:c{}", "email:m{}@mail.net", 9)
    observe(session, seen(agent, browser))
    for n, (login, mail) in enumerate(theirs):
        observe(session, seen(login, mail, after=n), seen(agent if n < 6 else browser, mail, n))
    assert person(session, agent, browser) == [agent, browser]
    for one in theirs:
        assert person(session, *one) == [one[0]] * 2


def test_a_card_that_the_cashier_swipes_for_whoever_has_none_is_nobodys(session: Session) -> None:
    [card] = make(session, "loyalty_id:0001")
    theirs = customers(session, "anonymous_id:c{}", "email:m{}@mail.net", 6)
    for n, (cookie, mail) in enumerate(theirs):
        observe(session, seen(card, mail, after=n), seen(cookie, mail, after=n))
    assert person(session, card) == [card]
    for one in theirs:
        assert person(session, *one) == [one[0]] * 2


def test_an_agent_of_fewer_customers_than_a_person_has_addresses_is_as_before(
    session: Session,
) -> None:
    """Whose five addresses are that two logins each show, nobody can tell."""
    [agent] = make(session, "user_id:agent")
    theirs = customers(session, "user_id:c{}", "email:m{}@mail.net", 6)
    for n, (login, mail) in enumerate(theirs[:5]):
        observe(session, seen(login, mail, after=n), seen(agent, mail, after=n))
    assert person(session, *(mail for _, mail in theirs)) == [mail for _, mail in theirs]
    login, mail = theirs[5]
    observe(session, seen(login, mail))
    assert person(session, *theirs[5]) == [theirs[5][0]] * 2
    observe(session, seen(agent, mail))
    for one in theirs:
        assert person(session, *one) == [one[0]] * 2


def test_who_has_many_addresses_and_a_second_login_is_no_agent() -> None:
    own = [f"user_id:u email:m{n}" for n in range(8)]
    again = [f"user_id:again email:m{n}" for n in range(8)]
    record = [f"crm_id:shop email:m{n}" for n in range(8)]
    cookies = [f"anonymous_id:c{n} email:m{n}" for n in range(8)]
    logged_in = [f"user_id:u anonymous_id:c{n}" for n in range(8)]
    for links in (own, own + again, own + record, own + cookies + logged_in):
        assert "agent" not in Shown(*links).people.closed.values()
    assert "agent" in Shown(*own, *cookies).people.closed.values()


def test_spellings_of_an_address_are_one_address_with_one_life() -> None:
    shown = [f"user_id:agent email:m{n}" for n in range(6)]
    news = [f"email:m{n} = email:new{n}" for n in range(6)]
    lives = [f"user_id:c{n} email:new{n}" for n in range(6)]
    found = Shown(*shown, *news, *lives)
    assert found.people.closed == {found.ids["user_id:agent"]: "agent"}
    both = [f"user_id:agent email:new{n}" for n in range(5)]
    found = Shown(*shown[:5], *news[:5], *both, *lives[:5])
    assert "agent" not in found.people.closed.values(), "five addresses, in two spellings each"


@pytest.mark.parametrize("life", LIVES)
def test_the_customers_of_an_agent_are_not_joined_because_one_of_them_is_erased(
    session: Session, life: str
) -> None:
    [agent] = make(session, "user_id:agent")
    theirs = customers(session, LIVES[life], "email:m{}@mail.net", 6)
    for n, (one, mail) in enumerate(theirs):
        observe(session, seen(one, mail, after=n), seen(agent, mail, after=n))
    erasure.forget(session, theirs.pop(), at=NOW)
    for pair in theirs:
        assert person(session, *pair) == [pair[0]] * 2
    assert person(session, agent) == [agent]
    assert rebuild.rebuild(session, check=True).identifiers_differing == 0


def test_who_shares_with_somebody_who_is_erased_is_computed_as_if_they_had_never_been(
    session: Session,
) -> None:
    """The tablet stayed nobody's until it was heard of again."""
    ids = make(session, "user_id:a", "user_id:b", "device_id:tablet")
    a, b, tablet = ids
    observe(session, seen(a, tablet), seen(b, tablet))
    erasure.forget(session, [a], at=NOW)
    assert rebuild.rebuild(session, check=True).identifiers_differing == 0
    assert person(session, b, tablet) == [b, b]


def test_a_decision_about_an_agent_counts_and_a_match_of_them_does_not(session: Session) -> None:
    [agent] = make(session, "user_id:agent")
    theirs = customers(session, "anonymous_id:c{}", "email:m{}@mail.net", 6)
    for n, (one, mail) in enumerate(theirs):
        observe(session, seen(one, mail, after=n), seen(agent, mail, after=n))
    give(session, agent, *(i for one in theirs for i in one))
    match = graph.Evidence(agent, theirs[0][0], "match", "splink", NOW, probability=0.999)
    observe(session, match)
    assert person(session, agent) == [agent]
    people.must_link(session, agent, theirs[0][0], by="ada", at=NOW)
    assert person(session, agent, *theirs[0]) == [agent] * 3
    assert person(session, *theirs[1]) == [theirs[1][0]] * 2


def test_an_undo_that_takes_a_life_from_an_address_is_told_to_who_shows_it(
    session: Session,
) -> None:
    """The agent of six is one of five, though nothing of it was in the merge."""
    agent, first = make(session, "user_id:agent", "crm_id:first")
    theirs = customers(session, "anonymous_id:c{}", "email:m{}@mail.net", 6)
    life, mail = theirs[0]
    people.must_link(session, first, mail, by="ada", at=NOW)
    for n, pair in enumerate(theirs):
        observe(session, seen(pair[0], pair[1], after=n))
        observe(session, seen(agent, pair[1], after=n))
    assert person(session, agent, first, mail, life) == [agent, first, first, first]
    [merge] = [m for m in people.merges(session, person=first) if m.absorbed_id == life]
    people.undo(session, merge.id, by="ada", at=NOW)
    assert person(session, first, life) == [agent, life]
    found = rebuild.rebuild(session, check=True)
    assert (found.identifiers_differing, found.links_differing) == (0, 0)


def test_a_record_becomes_an_agent_though_the_link_to_who_tells_it_is_held(
    session: Session,
) -> None:
    """Only logins were looked at again: customers of a shop's record stayed one person."""
    [record] = make(session, "crm_id:r")
    mails = make(session, *(f"email:m{n}@mail.net" for n in range(6)))
    observe(session, *(seen(record, mail, after=n) for n, mail in enumerate(mails)))
    give(session, mails[5], state="refused")
    for n, mail in enumerate(mails):
        [cookie] = make(session, f"anonymous_id:c{n}")
        observe(session, seen(cookie, mail, after=n))
    assert rebuild.rebuild(session, check=True).identifiers_differing == 0
    assert person(session, record, *mails[:5]) == [record, *mails[:5]]


def test_an_erasure_that_ends_an_agent_joins_nobody_by_the_agent_of_others(
    session: Session,
) -> None:
    """The first forgets an address that had no other life, by which the second was one."""
    one, other = make(session, "user_id:one", "user_id:other")
    theirs = customers(session, "anonymous_id:c{}", "email:m{}@mail.net", 10)
    [both] = make(session, "email:both@mail.net")
    for n, (cookie, mail) in enumerate(theirs):
        observe(session, seen(cookie, mail, n), seen(one if n < 5 else other, mail, n))
    observe(session, seen(one, both, 10), seen(other, both, 10))
    assert person(session, one, other, both) == [one, other, both]
    erasure.forget(session, theirs.pop(0), at=NOW)
    assert person(session, one, other, both) == [one, other, both]
    for pair in theirs:
        assert person(session, *pair) == [pair[0]] * 2
    found = rebuild.rebuild(session, check=True)
    assert (found.identifiers_differing, found.links_differing) == (0, 0)


def test_who_corrects_an_address_that_an_agent_shows_leaves_the_others_apart(
    session: Session,
) -> None:
    """The agent of six was one of five, and joined them."""
    [agent] = make(session, "user_id:agent")
    theirs = customers(session, "anonymous_id:c{}", "email:m{}@mail.net", 6)
    for n, (cookie, mail) in enumerate(theirs):
        observe(session, seen(cookie, mail, after=n), seen(agent, mail, after=n))
    cookie, mail = theirs.pop()
    graph.reconsider(session, erasure.part(session, [mail], [cookie]), at=NOW)
    assert person(session, agent, mail, cookie) == [agent, mail, cookie]
    for pair in theirs:
        assert person(session, *pair) == [pair[0]] * 2
    assert rebuild.rebuild(session, check=True).identifiers_differing == 0


def test_who_comes_to_a_crowd_or_erases_one_costs_nobody_there_a_look(session: Session) -> None:
    """All 201 were computed, and of a mailbox that many type, each of 66,000 three times."""
    [crowd] = make(session, "email:shared@mail.net")
    logins = make(session, *(f"user_id:u{n}" for n in range(202)))
    cookies = make(session, *(f"anonymous_id:c{n}" for n in range(202)))
    observe(session, *(seen(*pair) for pair in zip(logins, cookies, strict=True)))
    observe(session, *(seen(login, crowd) for login in logins[:201]))
    touched = graph.observe(session, [seen(logins[201], crowd)])
    assert around(session, touched).before.keys() == {crowd, logins[201], cookies[201]}
    graph.reconsider(session, touched, at=NOW)
    assert erasure._seen_with(session, [crowd]) == set()
    erasure.forget(session, [crowd], at=NOW)
    assert rebuild.rebuild(session, check=True).identifiers_differing == 0


def test_what_is_blocked_and_was_seen_with_an_erased_crowd_alone_is_computed_again(
    session: Session,
) -> None:
    crowd, login = make(session, "email:shared@mail.net", "user_id:test")
    cookies = make(session, *(f"anonymous_id:c{n}" for n in range(201)))
    observe(session, *(seen(i, crowd) for i in (login, *cookies)))
    rules = namespaces.Setting(Namespace("user_id", 1, limit=1, unique=True), ("test",), ())
    namespaces.put(session, rules, by="ada")
    graph.reconsider(session, [login, crowd], at=NOW)
    erasure.forget(session, [crowd], at=NOW)
    found = rebuild.rebuild(session, check=True)
    assert (found.identifiers_differing, found.links_differing) == (0, 0)
