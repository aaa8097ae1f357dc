"""HubSpot, Brevo, Salesforce and Mautic against servers that hold to their published APIs."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from app.privacy import requests as privacy_requests
from app.privacy import run
from app.settings import Settings
from identity import identifiers
from tests.app.destinations.crm_hubspot_brevo import BrevoApi, HubSpotApi
from tests.app.destinations.crm_salesforce_mautic import MauticApi, SalesforceApi
from tests.app.destinations.crm_server import LOST, Crm, serving
from tests.app.destinations.world import World

APIS: dict[str, type[Crm]] = {
    api.kind: api for api in (HubSpotApi, BrevoApi, SalesforceApi, MauticApi)
}
PROS = {"trait": "plan", "op": "eq", "value": "pro"}
FIELDS = {
    "hubspot": ("email", "firstname", "lastname", "pros"),
    "brevo": ("EMAIL", "FIRSTNAME", "LASTNAME", "PROS"),
    "salesforce": ("Email", "FirstName", "LastName", "Pros__c"),
    "mautic": ("email", "firstname", "lastname", "pros"),
}
#: How each is asked to opt out who withdraws, and to delete who leaves.
OPT_OUT: dict[str, dict[str, Any]] = {
    "hubspot": {"unsubscribe": True}, "brevo": {"blocklist": True},
    "salesforce": {"opt_out": "HasOptedOutOfEmail"}, "mautic": {"do_not_contact": True},
}  # fmt: skip
DELETE = {"hubspot": "archive", "brevo": "delete", "salesforce": "delete", "mautic": "delete"}


@pytest.fixture(params=APIS)
def crm(request: pytest.FixtureRequest) -> Iterator[Crm]:
    with serving(APIS[request.param]()) as served:
        yield served


def mapping(crm: Crm) -> dict[str, Any]:
    email, first, last, pros = FIELDS[crm.kind]
    return {
        email: {"identifier": "email"}, first: {"trait": "first_name"},
        last: {"trait": "last_name"}, pros: {"segment": "pros"},
    }  # fmt: skip


def register(people: World, crm: Crm, **settings: Any) -> int:
    people.segment("pros", PROS)
    if crm.kind == "brevo":
        settings["lists"] = {"pros": 7}
    made = people.destination(
        kind=crm.kind, settings={"url": crm.url, **settings}, secrets=crm.secrets,
        segments=["pros"], mapping=mapping(crm), rate=1000,
    )  # fmt: skip
    return int(made["id"])


def expected(people: World) -> list[tuple[str, ...]]:
    """Who is in the segment, as the product's own read of each profile shows them."""
    found = []
    for member in people.get("/v1/segments/pros/members")["data"]:
        read = people.get(f"/v1/profiles/{member['profile_id']}", purpose="marketing.email")
        email = next(i["value"] for i in read["identifiers"] if i["namespace"] == "email")
        traits = read["traits"]
        found.append((email, traits["first_name"], traits["last_name"], "true"))
    return sorted(found)


def held(crm: Crm) -> list[tuple[str, ...]]:
    names = ("email", "firstname", "lastname", "pros")
    return sorted(tuple(str(one.get(name)).replace("True", "true") for name in names)
                  for one in crm.holds())  # fmt: skip


def join(people: World, *users: str, **traits: Any) -> None:
    for user in users:
        people.people(user, plan="pro", first_name=user.title(), last_name="Smith", **traits)


def test_each_holds_exactly_who_is_in_through_changes_withdrawals_merges_and_undo(
    people: World, crm: Crm
) -> None:
    join(people, "ada", "bob", "eve")
    number = register(people, crm, **OPT_OUT[crm.kind])
    people.settle()
    assert held(crm) == expected(people)
    assert len(held(crm)) == 3

    crm.requests.clear()
    people.identify("ada", first_name="Augusta")
    people.identify("bob", colour="red")  # is not mapped
    people.settle()
    assert held(crm) == expected(people)
    said = json.dumps([body for _, _, body in crm.requests])
    assert ("Augusta" in said, "Bob" in said, "Eve" in said) == (True, False, False)

    people.identify("bob", plan="free")
    people.say("eve", "withdrawn", "marketing.email")
    people.settle()
    assert held(crm) == expected(people)
    assert len(held(crm)) == 1
    crm.holds()
    assert len(crm.opted_out) == 1, "eve, who withdrew; not bob, who left"

    people.say("eve", "given", "marketing.email")
    people.settle()
    assert held(crm) == expected(people)
    assert len(held(crm)) == 2
    crm.holds()
    assert len(crm.opted_out) == (1 if crm.kind == "hubspot" else 0)

    people.merge("eve", "dev-1", email="second@mail.net", first_name="Eva", last_name="Smith")
    people.settle()
    assert held(crm) == expected(people)
    merged = len(held(crm))
    people.undo()
    people.settle()
    people.now()
    people.deliver()
    assert held(crm) == expected(people)
    assert (merged, len(held(crm))) == (2, 3)
    assert {state for _, state, _ in people.outcomes(number)} <= {"delivered", "dropped"}


@pytest.mark.long
def test_who_is_erased_is_deleted_there_and_named_nowhere_here(
    people: World, crm: Crm, settings: Settings
) -> None:
    join(people, "ada", "bob")
    number = register(people, crm)
    people.settle()
    with people.sessions.begin() as session:
        made = privacy_requests.open_(
            session, settings, kind="erasure", identifiers=[identifiers.parse("user_id:ada")],
            by="test", now=datetime.now(UTC), attested="a test",
        )  # fmt: skip
        request = made.id
    run.at_once(people.sessions, settings, request)
    people.now()
    people.deliver()
    assert [one["email"] for one in crm.holds()] == ["bob@mail.net"]
    assert len(crm.contacts) == 1
    assert people.get(f"/v1/destinations/{number}")["held"] == 1


def test_a_field_that_is_not_there_any_more_keeps_nobody_from_being_emptied_and_opted_out(
    people: World, crm: Crm
) -> None:
    """Somebody deleted it at the receiver: the record cannot be emptied as it was filled."""
    join(people, "ada", "bob")
    number = register(people, crm, **OPT_OUT[crm.kind])
    people.settle()
    _, first, last, pros = FIELDS[crm.kind]
    before, crm.known = crm.known, frozenset(crm.known - {pros})
    people.say("ada", "withdrawn", "marketing.email")
    people.identify("bob", plan="free")
    people.settle()
    crm.holds()
    assert len(crm.opted_out) == 1
    for contact in crm.contacts.values():
        assert (contact[first] or "", contact[last] or "-") in (("", "-"), ("-", "-"))
    failed = people.outcomes(number, state="failed")
    assert len(failed) == 2, "somebody is told, of each record"
    assert all(str(reason).endswith(f"could not be emptied: {pros}") for *_, reason in failed)
    crm.known = before
    people.post(f"/v1/destinations/{number}/replay")
    people.settle()
    assert held(crm) == []
    assert people.outcomes(number, state="failed") == []


def test_hubspot_is_asked_to_empty_nothing_where_an_address_is_all_there_is(people: World) -> None:
    """It refuses an update of no property."""
    with serving(HubSpotApi()) as crm:
        join(people, "ada")
        people.segment("pros", PROS)
        number = people.destination(
            kind="hubspot", settings={"url": crm.url}, secrets=crm.secrets, segments=["pros"],
            mapping={"email": {"identifier": "email"}}, rate=1000,
        )["id"]  # fmt: skip
        people.settle()
        people.identify("ada", plan="free")
        people.settle()
        assert people.outcomes(number, state="failed") == []
        assert people.get(f"/v1/destinations/{number}")["held"] == 0


def test_a_value_that_salesforce_cannot_read_costs_only_its_own_record(people: World) -> None:
    """It reads none of a request in which one value is none of its field's type."""
    with serving(SalesforceApi()) as crm:
        for user, vip in (("ada", True), ("bob", "maybe"), ("eve", False)):
            join(people, user, vip=vip)
        people.segment("pros", PROS)
        fields = {**mapping(crm), "Pros__c": {"trait": "vip"}}
        number = people.destination(
            kind="salesforce", settings={"url": crm.url}, secrets=crm.secrets, segments=["pros"],
            mapping=fields,
        )["id"]  # fmt: skip
        people.settle()
        assert {one["FirstName"] for one in crm.contacts.values()} == {"Ada", "Eve"}
        [failed] = people.outcomes(number, state="failed")
        assert failed[2] == "HTTP 400: JSON_PARSER_ERROR"


def test_what_an_organisation_lets_nobody_empty_holds_up_neither_the_rest_nor_the_opt_out(
    people: World,
) -> None:
    """Salesforce refuses a record for one field; who withdraws must not stay whole for it."""
    with serving(SalesforceApi()) as crm:
        assert isinstance(crm, SalesforceApi)
        join(people, "ada")
        number = register(people, crm, **OPT_OUT["salesforce"])
        people.settle()
        crm.demanded, crm.fixed = frozenset({"Email"}), frozenset({"FirstName"})
        people.say("ada", "withdrawn", "marketing.email")
        people.settle()
        [record] = crm.contacts.values()
        assert record["HasOptedOutOfEmail"] is True
        assert (record["LastName"], record["Pros__c"]) == ("-", False)
        [failed] = people.outcomes(number, state="failed")
        assert failed[2] == "could not be emptied: Email, FirstName"
        crm.demanded, crm.fixed = frozenset({"FirstName"}), frozenset()
        people.post(f"/v1/destinations/{number}/replay")
        people.settle()
        assert (record := next(iter(crm.contacts.values())))["FirstName"] == "-"
        assert record["Email"] is None
        assert people.outcomes(number, state="failed") == []


def test_who_left_is_told_of_no_more_though_not_all_of_it_could_be_taken_back(
    people: World,
) -> None:
    with serving(SalesforceApi()) as crm:
        assert isinstance(crm, SalesforceApi)
        join(people, "ada")
        number = register(people, crm)
        people.settle()
        crm.demanded = frozenset({"Email"})
        people.identify("ada", plan="free")
        people.settle()
        people.identify("ada", first_name="Augusta")
        people.settle()
        assert len(people.outcomes(number, state="failed")) == 1
        assert "Augusta" not in str(crm.contacts)
        crm.demanded = frozenset()
        people.post(f"/v1/destinations/{number}/replay")
        people.settle()
        assert held(crm) == []


def test_a_rule_that_names_no_field_keeps_nobody_who_withdraws_from_being_opted_out(
    people: World,
) -> None:
    with serving(SalesforceApi()) as crm:
        assert isinstance(crm, SalesforceApi)
        join(people, "ada")
        number = register(people, crm, **OPT_OUT["salesforce"])
        people.settle()
        crm.fixed, crm.names_fields = frozenset({"FirstName"}), False
        people.say("ada", "withdrawn", "marketing.email")
        people.settle()
        [record] = crm.contacts.values()
        assert record["HasOptedOutOfEmail"] is True
        assert len(people.outcomes(number, state="failed")) == 1


def test_mautic_marks_whom_it_knows_by_an_address_alone_though_a_field_is_not_there_any_more(
    people: World,
) -> None:
    """The answer that told its id was lost: it is found by the address."""
    with serving(MauticApi()) as crm:
        join(people, "ada")
        number = register(people, crm, **OPT_OUT["mautic"])
        crm.lost = True
        people.deliver()
        crm.lost = False
        crm.known = frozenset(crm.known - {"pros"})
        people.say("ada", "withdrawn", "marketing.email")
        people.work()
        people.now()
        people.settle()
        assert crm.opted_out == set(crm.contacts)
        assert len(people.outcomes(number, state="failed")) == 1


@pytest.mark.parametrize("on_leave", ["clear", pytest.param("delete", marks=pytest.mark.long)])
def test_what_arrived_is_taken_back_though_the_answer_was_lost(
    people: World, crm: Crm, on_leave: str
) -> None:
    """The receiver never told its id of the record, and is away when it is asked for it first."""
    join(people, "ada")
    if on_leave == "delete":
        number = register(people, crm, on_leave=DELETE[crm.kind])
    else:
        number = register(people, crm, **OPT_OUT[crm.kind])
    crm.lost = True
    people.deliver()
    crm.lost = False
    assert len(held(crm)) == 1
    people.say("ada", "withdrawn", "marketing.email")
    people.work()
    people.now()
    crm.trouble = [LOST]
    people.settle()
    people.now()
    people.settle()
    assert held(crm) == []
    assert len(crm.contacts) == (0 if on_leave == "delete" else 1)
    assert people.outcomes(number, state="delivered")[-1][0] == "segment.exited"


def test_mautic_finds_what_is_like_an_address_and_only_that_contact_is_deleted(
    people: World,
) -> None:
    with serving(MauticApi()) as crm:
        crm.contacts["1"] = {"email": "adaXl@mail.net", "tags": set(), "firstname": "Other"}
        join(people, "ada_l")
        register(people, crm, on_leave="delete")
        crm.lost = True
        people.deliver()
        crm.lost = False
        assert len(crm.contacts) == 2
        people.say("ada_l", "withdrawn", "marketing.email")
        people.work()
        people.now()
        people.settle()
        assert [one["email"] for one in crm.contacts.values()] == ["adaXl@mail.net"]


@pytest.mark.long
def test_who_leaves_is_deleted_where_that_is_asked_for(people: World, crm: Crm) -> None:
    join(people, "ada", "bob")
    register(people, crm, on_leave=DELETE[crm.kind])
    people.settle()
    people.identify("bob", plan="free")
    people.settle()
    assert len(crm.contacts) == 1
    assert held(crm) == expected(people)
    people.identify("bob", plan="pro")
    people.settle()
    assert held(crm) == expected(people)


@pytest.mark.long
def test_one_record_that_is_refused_costs_no_other_and_says_why(people: World, crm: Crm) -> None:
    join(people, "ada", "bob")
    people.say("wrong")
    people.identify("wrong", plan="pro", email="a!b@mail.net", first_name="W", last_name="Smith")
    people.work()
    number = register(people, crm)
    people.deliver()
    assert len(crm.contacts) == 2
    failed = people.outcomes(number, state="failed")
    assert len(failed) == 1
    assert any(word in str(failed[0][2]) for word in ("VALIDATION", "invalid", "INVALID", "400"))
    assert "mail.net" not in str(failed)


def test_a_page_that_answers_in_place_of_the_api_has_taken_nobody(people: World, crm: Crm) -> None:
    """As of a proxy, or of maintenance: its status is 200."""
    join(people, "ada")
    number = register(people, crm)
    crm.trouble = [(200, {}, "<html>We are back soon</html>")]
    people.deliver()
    assert {state for _, state, _ in people.outcomes(number)} == {"waiting"}
    people.now()
    people.deliver()
    assert held(crm) == expected(people)
    assert len(held(crm)) == 1


@pytest.mark.long
def test_limits_and_credentials_are_waited_out_and_nothing_is_lost(people: World, crm: Crm) -> None:
    join(people, "ada", "bob")
    waits = {"x-sib-ratelimit-reset": "30"} if crm.kind == "brevo" else {"retry-after": "30"}
    crm.trouble = [(429, waits, {"status": "error", "category": "RATE_LIMITS"})] * 2
    number = register(people, crm)
    people.deliver()
    listed = people.get(f"/v1/destinations/{number}/deliveries")["data"]
    assert {row["state"] for row in listed} == {"waiting"}
    assert any(row["last_status"] == 429 and row["attempts"] == 0 for row in listed)
    requests = len(crm.requests)
    people.deliver()
    assert len(crm.requests) == requests, "it rests, all of it"
    crm.trouble = [(401, {}, {"category": "EXPIRED_AUTHENTICATION"})] * 2
    for _ in range(3):
        people.now()
        people.deliver()
    assert held(crm) == expected(people)
