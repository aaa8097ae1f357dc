"""A plan proposed from events: it fits them, and holds nothing of any single person."""

import json
from typing import Any

from app.plans.check import Plan
from app.plans.definition import parse
from app.plans.infer import Arrival, propose

NAMES = ["Ada", "Blaise", "Chloe", "Denis", "Emilie", "Fermat"]


def order(n: int, **more: Any) -> Arrival:
    values = {
        "order_id": f"o-{n}",
        "revenue": n if n % 2 else n + 0.5,
        "currency": ("EUR", "USD")[n % 2],
        "at": f"2026-01-01T00:00:{n % 60:02}Z",
        "page": f"https://shop.example/{n}",
        "first_name": NAMES[n % 6],
        "friend": NAMES[n % 6],
        "greeting": "for Ada Lovelace" if n == 7 else "none",
        "items": [{"sku": "a", "price": 1}, {"sku": "b"}],
        **more,
    }
    return Arrival("track", "Order", n % 20, values)


ORDERS = [order(n) for n in range(200)]


def rules(*arrivals: Arrival, **how: Any) -> dict[str, Any]:
    proposal = propose(arrivals, **how)
    parse(proposal.definition)
    return {f"{r['type']} {r['event']}": r for r in proposal.definition["rules"]}


def test_types_formats_and_what_is_always_there_are_found() -> None:
    half = [order(n, coupon="SPRING") for n in range(100)]
    schema = rules(*ORDERS, *half)["track Order"]["properties"]
    assert schema["properties"]["order_id"]["type"] == "string"
    assert schema["properties"]["revenue"] == {"type": "number", "x-seen": 300}
    assert schema["properties"]["at"]["format"] == "date-time"
    assert schema["properties"]["page"]["format"] == "uri"
    assert schema["properties"]["coupon"]["x-seen"] == 100
    item = schema["properties"]["items"]["items"]
    assert item["required"] == ["sku"]
    assert item["properties"]["price"] == {"type": "integer", "x-seen": 300}
    assert "coupon" not in schema["required"]
    assert "revenue" in schema["required"]
    assert (
        "coupon"
        in rules(*ORDERS, *half, required_share=0.3)["track Order"]["properties"]["required"]
    )


def test_the_proposal_fits_what_it_was_made_of() -> None:
    arrivals = [
        *ORDERS,
        *(Arrival("identify", "", n, {"plan": "free", "n": None}) for n in range(9)),
    ]
    plan = Plan(
        parse(propose(arrivals, required_share=1).definition), key="k", number=1, version_id=1
    )

    class Event:
        def __init__(self, arrival: Arrival) -> None:
            self.type, self.name = arrival.type, arrival.name
            self.properties, self.context = arrival.values, dict[str, Any]()

    assert [plan.check(Event(a)) for a in arrivals] == [None] * len(arrivals)


def test_values_are_listed_only_where_they_are_words_that_many_share() -> None:
    properties = rules(*ORDERS)["track Order"]["properties"]["properties"]
    assert properties["currency"]["enum"] == ["EUR", "USD"]
    for name in ("order_id", "page", "first_name", "greeting"):
        assert "enum" not in properties[name], name
    few = [order(n) for n in range(40)]
    assert "enum" not in rules(*few)["track Order"]["properties"]["properties"]["currency"]
    one_person = [a._replace(person=1) for a in ORDERS]
    assert "enum" not in rules(*one_person)["track Order"]["properties"]["properties"]["currency"]


def test_traits_are_never_listed_by_value() -> None:
    arrivals = [Arrival("identify", "", n % 20, {"tier": "gold"}) for n in range(200)]
    tier = rules(*arrivals)["identify *"]["traits"]["properties"]["tier"]
    assert tier == {"type": "string", "x-seen": 200}


def test_names_that_are_data_or_one_persons_are_left_out() -> None:
    arrivals = [
        *ORDERS,
        *(order(n, **{f"k{n}": 1, "ada@example.org": 1, "seen 20260101": 1}) for n in range(90)),
        order(1, ada_lovelace=True),
        Arrival("track", "Viewed ada@example.org", 1, {}),
    ]
    proposal = propose(arrivals)
    text = json.dumps(proposal.definition)
    assert proposal.left_out == 1
    for secret in ("ada", "Ada", "k1", "2026"):
        assert secret not in text, secret
    maps = [order(n, map={f"m{k}x": 1 for k in range(n)}) for n in range(200)]
    assert rules(*maps)["track Order"]["properties"]["properties"]["map"] == {
        "type": "object", "x-seen": 200
    }  # fmt: skip


def test_a_source_that_one_person_tries_out_gets_a_proposal_too() -> None:
    arrivals = [Arrival("track", "Signed Up", 1, {"plan": "free"}) for _ in range(3)]
    schema = rules(*arrivals)["track Signed Up"]["properties"]
    assert schema == {"type": "object", "properties": {"plan": {"type": "string", "x-seen": 3}}}
    assert rules() == {}
