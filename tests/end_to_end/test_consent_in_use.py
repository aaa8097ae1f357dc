"""Consent decides at every use: matching, reading, linking."""

from time import monotonic
from typing import Any
from zlib import crc32

import httpx
import pytest
import sqlalchemy as sa

from tests.end_to_end.conftest import Measure
from tests.end_to_end.product import (
    Product,
    Sender,
    first_run_over,
    run_matching,
    wait_until,
)

SERVICE = {"purpose": "service.operation"}


@pytest.fixture(scope="module")
def client(product: Product) -> httpx.Client:
    return product.add_client()


@pytest.fixture(scope="module")
def sender(product: Product) -> Sender:
    return Sender(product, product.add_source())


def twins(
    sender: Sender, name: str, last_name: str, *, left: str | None, right: str | None
) -> None:
    """Two records of one person from two shops; each says so much of `profile.link`."""
    for place, said in (("left", left), ("right", right)):
        user = f"{name}-{place}"
        if said:
            sender.consent(f"user_id:{user}", profile__link=said)
        sender.batch(
            {
                "type": "identify",
                "userId": user,
                "traits": {
                    "firstName": name.title(),
                    "lastName": last_name,
                    "birthday": "1971-03-14",
                    "nationalId": f"FR-{crc32(name.encode()):012}",
                    "address": {
                        "street": f"{crc32(last_name.encode()) % 300} rue de la Paix",
                        "city": "Nantes",
                        "postalCode": "44000",
                    },
                },
            }
        )
        sender.settled()


def profile_of(client: httpx.Client, reference: str) -> str:
    answer = client.get(f"/v1/profiles/{reference}", params=SERVICE)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["profile_id"])


def rows_naming(product: Product, user: str) -> list[tuple[str, int]]:
    """Every row of the tables of identity that pairs this login with another identifier."""
    found: list[tuple[str, int]] = []
    with product.tables() as session:
        for table in ("link", "review", "cannot_link"):
            ids = session.scalars(
                sa.text(
                    f"SELECT l.left_id FROM identity.{table} l JOIN identity.identifier i "  # noqa: S608 - named above
                    "ON i.id IN (l.left_id, l.right_id) WHERE i.value = :user"
                ),
                {"user": user},
            )
            found += [(table, i) for i in ids]
        merges = session.scalars(
            sa.text(
                "SELECT m.id FROM identity.merge m JOIN identity.identifier i "
                "ON i.id IN (m.survivor_id, m.absorbed_id) WHERE i.value = :user"
            ),
            {"user": user},
        )
        found += [("merge", i) for i in merges]
    return found


def test_who_refuses_linking_is_never_a_candidate_in_matching(
    product: Product, client: httpx.Client, sender: Sender, measure: Measure
) -> None:
    first_run_over(client, sender)
    twins(sender, "maxime", "Verhaegen", left="given", right="given")
    twins(sender, "isolde", "Quemeneur", left="given", right="refused")
    twins(sender, "tanguy", "Abgrall", left="given", right=None)
    started = monotonic()
    run = run_matching(client)
    measure("matching run s", round(monotonic() - started, 2))
    # Both of maxime, one each of isolde and tanguy, and the bystander.
    assert run["result"]["records"] == 5
    assert run["result"]["linked"] == 1
    assert profile_of(client, "user_id:maxime-left") == profile_of(client, "user_id:maxime-right")
    assert rows_naming(product, "maxime-right")
    for user in ("isolde-left", "isolde-right", "tanguy-left", "tanguy-right"):
        assert rows_naming(product, user) == []
        assert client.get(f"/v1/identity/links?subject=user_id:{user}").json() == {"data": []}
    assert profile_of(client, "user_id:isolde-left") != profile_of(client, "user_id:isolde-right")
    assert profile_of(client, "user_id:tanguy-left") != profile_of(client, "user_id:tanguy-right")


def test_who_refuses_linking_after_a_match_is_parted_again_within_seconds(
    client: httpx.Client, sender: Sender, measure: Measure
) -> None:
    twins(sender, "bérénice", "Kerouédan", left="given", right="given")
    run_matching(client)
    references = ("user_id:bérénice-left", "user_id:bérénice-right")
    assert len({profile_of(client, r) for r in references}) == 1
    sender.consent(references[1], profile__link="withdrawn")
    started = monotonic()
    wait_until(lambda: len({profile_of(client, r) for r in references}) == 2, 5)
    measure("parted after s", round(monotonic() - started, 3))
    run_matching(client)
    assert len({profile_of(client, r) for r in references}) == 2
    [link] = client.get(f"/v1/identity/links?subject={references[0]}").json()["data"]
    assert (link["status"], link["held_because"]) == ("held", "consent:refused")


def test_who_refuses_linking_after_an_event_linked_them_is_parted_within_seconds(
    client: httpx.Client, sender: Sender, measure: Measure
) -> None:
    sender.batch(
        {"type": "track", "anonymousId": "a-nine", "event": "Browsed"},
        {"type": "identify", "userId": "u-nine", "anonymousId": "a-nine", "traits": {"age": 9}},
    )
    sender.settled()
    references = ("user_id:u-nine", "anonymous_id:a-nine")
    assert len({profile_of(client, r) for r in references}) == 1
    started = monotonic()
    sender.consent("user_id:u-nine", profile__link="refused")
    wait_until(lambda: len({profile_of(client, r) for r in references}) == 2, 5)
    measure("parted after s", round(monotonic() - started, 3))

    def names(reference: str) -> list[Any]:
        found = client.get(f"/v1/profiles/{reference}/events", params=SERVICE).json()["data"]
        return [event["name"] or event["type"] for event in found]

    assert names("user_id:u-nine") == ["identify"]
    assert names("anonymous_id:a-nine") == ["Browsed"]
    sender.batch({"type": "track", "userId": "u-nine", "anonymousId": "a-nine", "event": "Again"})
    sender.settled()
    assert len({profile_of(client, r) for r in references}) == 2


@pytest.mark.parametrize(
    ("said", "reason"), [("refused", "refused"), ("withdrawn", "withdrawn"), (None, "unknown")]
)
def test_a_purpose_that_is_not_allowed_withholds_everything_and_says_why(
    client: httpx.Client, sender: Sender, said: str | None, reason: str
) -> None:
    user = f"user_id:reader-{reason}"
    sender.batch(
        {"type": "identify", "userId": user[8:], "traits": {"email": f"r.{reason}@example.org"}},
        {"type": "track", "userId": user[8:], "event": "Order Completed"},
    )
    if said:
        sender.consent(user, content__personalised=said)
    sender.settled()
    withheld = [{"what": "everything", "reason": reason, "identifiers": 2}]
    stated = {"purpose": "content.personalised"}
    whole = client.get(f"/v1/profiles/{user}", params=stated)
    assert whole.status_code == 200
    assert whole.json() == {
        "profile_id": profile_of(client, user),
        "purpose": "content.personalised",
        "traits": {},
        "computed": {},
        "identifiers": [],
        "segments": [],
        "journeys": [],
        "withheld": withheld,
    }
    for part in ("traits", "computed", "identifiers", "events", "segments", "journeys"):
        by_header = client.get(
            f"/v1/profiles/{user}/{part}", headers={"Purpose": "content.personalised"}
        )
        assert by_header.status_code == 200
        assert by_header.json()["data"] == []
        assert by_header.json()["withheld"] == withheld
    decision = client.get(
        "/v1/consents/decision", params={"subject": user, "purpose": "content.personalised"}
    ).json()
    assert (decision["allow"], decision["reason"]) == (False, reason)
    listed = client.get("/v1/profiles", params=stated | {"limit": "1000"}).json()["data"]
    assert profile_of(client, user) not in {row["profile_id"] for row in listed}


def test_a_client_without_the_purpose_is_forbidden_and_one_without_any_must_state_it(
    product: Product, client: httpx.Client, sender: Sender
) -> None:
    sender.batch({"type": "identify", "userId": "seen", "traits": {"email": "seen@example.org"}})
    sender.consent("user_id:seen", marketing__email="given")
    sender.settled()
    crm = product.add_client(("profiles:read",), ("service.operation",), name="crm")
    parts = ("", "/traits", "/identifiers", "/events", "/segments", "/journeys")
    for path in ("/v1/profiles", *(f"/v1/profiles/user_id:seen{part}" for part in parts)):
        other = crm.get(path, params={"purpose": "marketing.email"})
        assert (other.status_code, other.json()["code"]) == (403, "purpose-not-allowed")
        assert "seen@example.org" not in other.text
        unstated = crm.get(path)
        assert (unstated.status_code, unstated.json()["code"]) == (400, "purpose-required")
        assert crm.get(path, params=SERVICE).status_code == 200
    for path in ("/v1/profiles/user_id:seen/consents", "/v1/profiles/user_id:seen/explain"):
        answer = crm.get(path)
        assert (answer.status_code, answer.json()["code"]) == (403, "insufficient-scope")
