"""An address changes to one that another contact of the receiver has: one record of a person."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from app.destinations.deciding import TAKEN
from app.destinations.moving import MOVED
from app.privacy import requests as privacy_requests
from app.privacy import run
from app.settings import Settings
from identity import identifiers
from tests.app.destinations.crm_server import Crm, serving
from tests.app.destinations.test_crms import APIS, DELETE, FIELDS, OPT_OUT, PROS
from tests.app.destinations.world import EMAIL, World

OLD, NEW = "old@mail.net", "new@mail.net"


@pytest.fixture(params=["hubspot", "brevo", "mautic"])
def crm(request: pytest.FixtureRequest) -> Iterator[Crm]:
    with serving(APIS[request.param]()) as served:
        yield served


def register(people: World, crm: Crm, **settings: Any) -> int:
    """A destination that is sent the address which people say at last, as a trait."""
    email, first, last, _ = FIELDS[crm.kind]
    people.segment("pros", PROS)
    if crm.kind == "brevo":
        settings["lists"] = {"pros": 7}
    made = people.destination(
        kind=crm.kind, settings={"url": crm.url, **settings}, secrets=crm.secrets,
        segments=["pros"], rate=1000,
        mapping={email: {"trait": "mail", "required": True}, first: {"trait": "first_name"},
                 last: {"trait": "last_name"}},
    )  # fmt: skip
    return int(made["id"])


def there(crm: Crm, address: str) -> str:
    """A contact that somebody else made at the receiver."""
    number = str(next(crm.ids))
    if crm.kind == "hubspot":
        crm.contacts[number] = {"email": address}
    elif crm.kind == "brevo":
        crm.contacts[number] = {"email": address, "lists": set()}
    else:
        crm.contacts[number] = {"email": address, "tags": set()}
    return number


def names(crm: Crm) -> dict[str, Any]:
    """The first name by address, of contacts of whom more than the address is there."""
    return {str(one["email"]): one.get("firstname") for one in crm.holds()}


def erase(people: World, settings: Settings, who: str) -> None:
    with people.sessions.begin() as session:
        made = privacy_requests.open_(
            session, settings, kind="erasure", identifiers=[identifiers.parse(who)],
            by="test", now=datetime.now(UTC), attested="a test",
        )  # fmt: skip
        request = made.id
    run.at_once(people.sessions, settings, request)


def moved(people: World, crm: Crm, **settings: Any) -> int:
    """Ada, whose address became that of a contact which was there before."""
    people.people("ada", plan="pro", first_name="Ada", last_name="Smith", mail=OLD)
    number = register(people, crm, **settings)
    people.settle()
    there(crm, NEW)
    people.identify("ada", mail=NEW)
    people.settle()
    return number


def test_the_record_that_has_the_address_is_hers_and_the_one_before_is_taken_back(
    people: World, crm: Crm
) -> None:
    number = moved(people, crm)
    assert names(crm) == {NEW: "Ada"}
    kind, state, reason = people.outcomes(number)[-1]
    assert (kind, state) == ("profile.updated", "delivered")
    assert reason == (None if crm.kind == "mautic" else MOVED), "Mautic makes one of the two"
    people.identify("ada", first_name="Augusta")
    people.settle()
    assert names(crm) == {NEW: "Augusta"}
    people.say("ada", "withdrawn", EMAIL)
    people.settle()
    assert names(crm) == {}


def test_who_withdraws_is_opted_out_by_each_address_that_was_theirs(
    people: World, crm: Crm
) -> None:
    moved(people, crm, **OPT_OUT[crm.kind])
    people.say("ada", "withdrawn", EMAIL)
    people.settle()
    crm.holds()
    assert len(crm.opted_out) == len(crm.contacts)


def test_an_erasure_deletes_also_the_record_of_the_address_before(
    people: World, crm: Crm, settings: Settings
) -> None:
    moved(people, crm)
    erase(people, settings, "user_id:ada")
    people.now()
    people.deliver()
    assert crm.contacts == {}


@pytest.mark.long
def test_the_record_before_is_deleted_where_who_leaves_is(people: World, crm: Crm) -> None:
    moved(people, crm, on_leave=DELETE[crm.kind])
    assert [one["email"] for one in crm.contacts.values()] == [NEW]
    people.identify("ada", mail=OLD)
    people.settle()
    assert names(crm) == {OLD: "Ada"}


def test_an_address_whose_answer_was_lost_is_taken_back_too(people: World, crm: Crm) -> None:
    """She withdraws before it is tried again: it may have arrived."""
    people.people("ada", plan="pro", first_name="Ada", last_name="Smith", mail=OLD)
    register(people, crm)
    people.settle()
    there(crm, NEW)
    people.identify("ada", mail=NEW)
    people.work()
    crm.lost = True
    people.deliver()
    crm.lost = False
    if crm.kind != "mautic":  # as if it had gone on, and been killed then
        taken = next(one for one in crm.contacts.values() if one["email"] == NEW)
        taken[FIELDS[crm.kind][1]] = "Ada"
    people.say("ada", "withdrawn", EMAIL)
    people.work()
    people.now()
    people.settle()
    assert names(crm) == {}


def test_an_address_that_never_was_answered_is_taken_back_when_it_changes(
    people: World, crm: Crm
) -> None:
    people.people("ada", plan="pro", first_name="Ada", last_name="Smith", mail=OLD)
    register(people, crm)
    people.work()
    crm.lost = True
    people.deliver()
    crm.lost = False
    assert names(crm) == {OLD: "Ada"}
    people.identify("ada", mail=NEW)
    people.work()
    people.now()
    people.settle()
    assert names(crm) == {NEW: "Ada"}


def test_an_address_of_somebody_else_of_ours_stays_theirs_until_it_is_free(
    people: World, crm: Crm
) -> None:
    people.people("ada", plan="pro", first_name="Ada", last_name="Smith", mail=OLD)
    people.people("bob", plan="pro", first_name="Bob", last_name="Smith", mail=NEW)
    number = register(people, crm)
    people.settle()
    people.identify("ada", mail=NEW)
    people.settle()
    assert names(crm) == {NEW: "Bob"}, "what Ada does not say of herself any more is gone"
    assert people.outcomes(number)[-1] == ("profile.updated", "failed", TAKEN)
    assert people.get(f"/v1/destinations/{number}")["held"] == 1
    people.identify("bob", plan="free")
    people.settle()
    people.settle()
    assert names(crm) == {NEW: "Ada"}, "nobody has to ask for it"


def test_very_many_of_one_address_are_decided_a_batch_at_a_time(people: World, crm: Crm) -> None:
    users = [f"u{n}" for n in range(30)]
    for user in users:
        people.say(user)
        people.identify(user, plan="pro", first_name=user, last_name="Smith", mail=OLD)
    people.work()
    number = register(people, crm)
    people.settle()
    crm.requests.clear()
    [(_, who)] = names(crm).items()
    failed = people.outcomes(number, state="failed", limit=100)
    assert [row[2] for row in failed] == [TAKEN] * 29
    people.identify(str(who), plan="free")
    people.settle()
    people.settle()
    [(_, then)] = names(crm).items()
    assert then != who
    assert len(crm.requests) <= 4


def test_who_lacks_what_is_required_is_sent_once_it_is_there(people: World, crm: Crm) -> None:
    people.say("ada")
    people.identify("ada", plan="pro", first_name="Ada", last_name="Smith")
    people.work()
    number = register(people, crm)
    people.settle()
    assert crm.contacts == {}
    assert people.get(f"/v1/destinations/{number}")["held"] == 0
    people.identify("ada", mail=OLD)
    people.settle()
    assert names(crm) == {OLD: "Ada"}
    people.identify("ada", mail=None)
    people.settle()
    assert names(crm) == {}
    people.identify("ada", mail=NEW)
    people.settle()
    assert names(crm) == {NEW: "Ada"}


def test_what_was_refused_is_not_taken_back_from_a_contact_of_somebody_else(
    people: World, crm: Crm
) -> None:
    """It has never been written there."""
    first = FIELDS[crm.kind][1]
    number = there(crm, OLD)
    crm.contacts[number][first] = "Sales"
    people.people("ada", plan="pro", first_name="Ada", last_name="Smith", mail=OLD)
    before, crm.known = crm.known, frozenset(crm.known - {FIELDS[crm.kind][2]})
    made = register(people, crm)
    people.settle()
    assert len(people.outcomes(made, state="failed")) == 1
    crm.known = before
    people.identify("ada", plan="free")
    people.settle()
    assert crm.contacts[number][first] == "Sales"


def test_a_sync_sends_who_was_let_go_of_by_a_version_before(people: World) -> None:
    """As for want of an address for a while: nothing looked at them again."""
    with serving(APIS["hubspot"]()) as crm:
        people.people("ada", plan="pro", first_name="Ada", last_name="Smith", mail=OLD)
        number = register(people, crm)
        people.settle()
        crm.contacts.clear()
        with people.sessions.begin() as session:
            session.execute(sa.text("UPDATE app.held_record SET segments = '{}'"))
        people.post(f"/v1/destinations/{number}/sync")
        people.settle()
        assert names(crm) == {OLD: "Ada"}
        requests = len(crm.requests)
        people.post(f"/v1/destinations/{number}/sync")
        people.settle()
        assert len(crm.requests) == requests


def test_who_unsubscribed_at_brevo_stays_so_under_another_address(people: World) -> None:
    """It takes off its blocklist whose address is updated."""
    with serving(APIS["brevo"]()) as crm:
        people.people("ada", plan="pro", first_name="Ada", last_name="Smith", mail=OLD)
        register(people, crm)
        people.settle()
        crm.opted_out.add(OLD)
        people.identify("ada", mail=NEW)
        people.settle()
        assert names(crm) == {NEW: "Ada"}
        assert crm.opted_out == {NEW}


def test_who_was_never_sent_leaves_nothing_behind(people: World, settings: Settings) -> None:
    """Of who is in without a record the receiver was never told: of no erasure of theirs either."""
    with serving(APIS["hubspot"]()) as crm:
        for user in ("ada", "bob", "eve"):
            people.say(user)
            people.identify(user, plan="pro", last_name="Smith")
        people.work()
        number = register(people, crm)
        people.settle()
        erase(people, settings, "user_id:ada")
        people.identify("bob", plan="free")
        people.now()
        people.settle()
        assert crm.requests == []
        types = [kind for kind, *_ in people.outcomes(number)]
        assert "profile.erased" not in types
        count = sa.text("SELECT count(*) FROM app.held_record")
        with people.sessions() as session:
            assert session.scalar(count) == 1, "eve waits"
        people.server.delete(f"/v1/destinations/{number}", headers=people.header)
        with people.sessions() as session:
            assert session.scalar(count) == 0
