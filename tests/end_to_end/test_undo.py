"""A wrong merge is undone: both profiles answer exactly as before it, byte for byte."""

import re
from time import monotonic
from typing import Any

import httpx
import pytest

from tests.end_to_end.conftest import Measure
from tests.end_to_end.product import (
    PURPOSES,
    Product,
    Sender,
    first_run_over,
    run_matching,
    wait_until,
)

PARTS = ("", "/traits", "/identifiers", "/events", "/segments", "/journeys")
Answers = dict[str, bytes]


@pytest.fixture(scope="module")
def client(product: Product) -> httpx.Client:
    return product.add_client()


@pytest.fixture(scope="module")
def sender(product: Product) -> Sender:
    return Sender(product, product.add_source())


@pytest.fixture(scope="module", autouse=True)
def _defined(client: httpx.Client, sender: Sender) -> None:
    """Segments that a merge changes in each direction, and journeys of two purposes."""
    first_run_over(client, sender)
    order = {"event": "Order Completed"}
    rules: dict[str, dict[str, Any]] = {
        "buyers": order,
        "bought-once": order | {"count": {"eq": 1}},
        "bought-twice": order | {"count": {"gte": 2}},
        "from-lyon": {"trait": "city", "value": "Lyon"},
        "never-returned": {"not": {"event": "Order Returned"}},
    }
    for purpose in ("marketing.email", "analytics.audience"):
        short = purpose.partition(".")[0]
        for key, rule in rules.items():
            answer = client.post(
                "/v1/segments",
                json={"key": f"{key}-{short}", "name": key, "purpose": purpose, "rule": rule},
            )
            assert answer.status_code == 201, answer.text
        stages = [{"id": "browse", "order": 1}, {"id": "buy", "order": 2}]
        journey = client.post(
            "/v1/journeys",
            json={
                "key": f"purchase-{short}",
                "name": "Purchase",
                "purpose": purpose,
                "stage_rule": "latest",
                "stages": stages,
                "channels": ["web"],
                "touchpoints": [
                    {"id": s["id"], "stage": s["id"], "channel": "web", "match": {"event": event}}
                    for s, event in zip(stages, ("Browsed", "Order Completed"), strict=True)
                ],
            },
        )
        assert journey.status_code == 201, journey.text


def shopper(sender: Sender, user: str, *, first_name: str, last_name: str, day: int) -> None:
    """A login with a device of its own, traits, an order, consents, and one refusal."""
    sender.consent(
        f"user_id:{user}",
        profile__link="given",
        marketing__email="given",
        analytics__audience="given",
        content__personalised="refused" if user.endswith("b") else "given",
    )
    common = {"userId": user, "timestamp": f"2026-01-{day:02}T10:00:00Z"}
    traits = {
        "firstName": first_name,
        "lastName": last_name,
        "birthday": "1984-11-05",
        "email": f"{user}@example.com",
        "phone": "+33 6 44 55 66 77",
        "city": "Lyon" if user.endswith("a") else "Lyons",
        "postalCode": "69003",
        "street": "12 rue Garibaldi",
        "plan": user,
    }
    sender.batch(
        {"type": "track", "anonymousId": f"{user}-device", "event": "Browsed", "properties": {}},
        {"type": "identify", **common, "anonymousId": f"{user}-device", "traits": traits},
        {"type": "track", **common, "event": "Order Completed", "properties": {"total": 0.1 + 0.2}},
    )
    if user.endswith("b"):
        sender.batch({"type": "track", **common, "event": "Browsed", "properties": {"é": "日"}})
    sender.settled()


COUNTED = re.compile(rb'"next_counted_at":(null|"[^"]*")')


def answers(client: httpx.Client, references: list[str]) -> Answers:
    """The raw bytes of every read of these people, for every purpose."""
    found: Answers = {}
    for reference in references:
        path = f"/v1/profiles/{reference}"
        wanted = [(f"{path}{part}", purpose) for part in PARTS for purpose in PURPOSES]
        wanted.append((f"{path}/consents", ""))
        for address, purpose in wanted:
            answer = client.get(address, params={"purpose": purpose} if purpose else {})
            assert answer.status_code == 200, answer.text
            # When everybody's next steps were counted last has to do with no merge.
            found[f"{address} for {purpose}"] = COUNTED.sub(b"", answer.content)
    return found


def segments(client: httpx.Client, reference: str, purpose: str) -> set[str]:
    answer = client.get(f"/v1/profiles/{reference}/segments", params={"purpose": purpose})
    return {row["segment"].rpartition("-")[0] for row in answer.json()["data"]}


def profile_of(client: httpx.Client, reference: str) -> str:
    answer = client.get(f"/v1/profiles/{reference}", params={"purpose": "service.operation"})
    return str(answer.json()["profile_id"])


def differing(before: Answers, after: Answers) -> dict[str, tuple[bytes, bytes]]:
    return {key: (before[key], after[key]) for key in before if before[key] != after[key]}


def references_of(client: httpx.Client, name: str) -> list[str]:
    """Every way to ask for the two: login, device, address, profile id."""
    return [
        reference
        for user in (f"{name}-a", f"{name}-b")
        for reference in (
            f"user_id:{user}",
            f"anonymous_id:{user}-device",
            f"email:{user}@example.com",
            profile_of(client, f"user_id:{user}"),
        )
    ]


def merge(client: httpx.Client, name: str, how: str) -> None:
    """Make the two one person, by somebody's decision or by a real matching run."""
    if how == "decision":
        answer = client.post(
            "/v1/identity/constraints",
            json={"kind": "must_link", "left": f"user_id:{name}-a", "right": f"user_id:{name}-b"},
        )
        # The phone that both had given is no longer shared: it joins the one person, too.
        assert (answer.status_code, answer.json()) == (201, {"merged": 2, "split": 0})
    else:
        result = run_matching(client)["result"]
        assert result["merged"] == 1, result


@pytest.mark.parametrize(
    ("how", "name", "last_name"),
    [
        ("decision", "odile", "Trémaux"),
        pytest.param("matching", "gaspard", "Vandenbroucke", marks=pytest.mark.long),
    ],
)
def test_undoing_a_wrong_merge_gives_both_profiles_back_byte_for_byte(
    client: httpx.Client, sender: Sender, measure: Measure, how: str, name: str, last_name: str
) -> None:
    one, other = f"user_id:{name}-a", f"user_id:{name}-b"
    second = name.title() if how == "matching" else "Jeanne"
    shopper(sender, f"{name}-a", first_name=name.title(), last_name=last_name, day=3)
    shopper(sender, f"{name}-b", first_name=second, last_name=last_name, day=4)
    references = references_of(client, name)
    wait_until(lambda: len(segments(client, other, "marketing.email")) == 3, 10)
    before = answers(client, references)
    for purpose in ("marketing.email", "analytics.audience"):
        assert segments(client, one, purpose) == {
            "buyers", "bought-once", "from-lyon", "never-returned",
        }  # fmt: skip
        assert segments(client, other, purpose) == {"buyers", "bought-once", "never-returned"}

    merge(client, name, how)
    assert len({profile_of(client, reference) for reference in references}) == 1
    merged = answers(client, references)
    joined = differing(before, merged)
    both = client.get(f"/v1/profiles/{one}", params={"purpose": "marketing.email"}).json()
    assert {row["value"] for row in both["identifiers"]} >= {f"{name}-a", f"{name}-b"}
    assert segments(client, one, "marketing.email") == {
        "buyers", "bought-twice", "never-returned",
    }  # fmt: skip

    [found] = client.get(f"/v1/profiles/{one}/merges").json()["data"][-1:]
    started = monotonic()
    undone = client.post(f"/v1/identity/merges/{found['id']}/undo")
    measure("undo s", round(monotonic() - started, 3))
    parts = 2 if how == "decision" else 1
    assert (undone.status_code, undone.json()) == (200, {"merged": 0, "split": parts})
    measure("answers compared", len(before))
    measure("answers that the merge had changed", len(joined))
    assert differing(before, answers(client, references)) == {}

    result = run_matching(client)["result"]
    assert result["merged"] == 0
    assert differing(before, answers(client, references)) == {}
    again = client.post(f"/v1/identity/merges/{found['id']}/undo")
    assert (again.status_code, again.json()["code"]) == (409, "merge-already-undone")
