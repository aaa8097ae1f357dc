import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from typing import Any

import pytest

from api.demo.behaviour import GARBAGE_IDS, GARBAGE_TRAITS
from api.demo.generate import Call, Demo, generate
from api.demo.shoppers import PURPOSES

END = datetime(2026, 11, 22, 12, tzinfo=UTC)
CHANGE = "Segment Consent Preference Updated"


@pytest.fixture(scope="module")
def year() -> Demo:
    return generate(end=END)


def digest(demo: Demo) -> str:
    return sha256(repr((demo.calls, sorted(demo.truth.items()))).encode()).hexdigest()


def acting(call: Call) -> Iterator[tuple[str, str]]:
    if call.user_id is not None:
        yield "user_id", call.user_id
    if call.anonymous_id is not None:
        yield "anonymous_id", call.anonymous_id
    for one in call.context.get("externalIds", ()):
        yield one["type"], one["id"]


def described(call: Call) -> Iterator[tuple[str, str]]:
    if call.type == "identify":
        for name in ("email", "phone"):
            value = call.properties.get(name)
            if value and value != GARBAGE_TRAITS[name]:
                yield name, re.sub(r"\D", "", value)[-8:] if name == "phone" else value


def preferences(call: Call) -> dict[str, bool] | None:
    stamp: dict[str, Any] | None = call.context.get("consent")
    return stamp["categoryPreferences"] if stamp else None


def person_of(demo: Demo, call: Call) -> str | None:
    people = {demo.truth[one] for one in acting(call) if one in demo.truth}
    assert len(people) <= 1, f"{call} is attributed to {people}"
    return next(iter(people), None)


def logins_by_device(demo: Demo) -> dict[str, set[str]]:
    logins: dict[str, set[str]] = defaultdict(set)
    for call in demo.calls:
        if (
            call.user_id
            and call.anonymous_id
            and not set(GARBAGE_IDS)
            & {
                call.user_id,
                call.anonymous_id,
            }
        ):
            logins[call.anonymous_id].add(call.user_id)
    return logins


def pieces_of(demo: Demo, calls: list[Call]) -> list[set[tuple[str, str]]]:
    pieces: list[set[tuple[str, str]]] = []
    for call in calls:
        ids = {one for one in acting(call) if one in demo.truth} | set(described(call))
        touched = [piece for piece in pieces if piece & ids]
        pieces = [piece for piece in pieces if not piece & ids] + [ids.union(*touched)]
    return pieces


def test_the_same_seed_gives_the_same_calls_and_the_same_truth() -> None:
    assert digest(generate(people=200, end=END)) == digest(generate(people=200, end=END))


def test_the_time_zone_that_the_end_is_written_in_makes_no_difference() -> None:
    paris = END.astimezone(timezone(timedelta(hours=1)))
    assert digest(generate(people=50, end=paris)) == digest(generate(people=50, end=END))


def test_another_seed_gives_another_year() -> None:
    one, other = (generate(people=200, seed=seed, end=END) for seed in (7, 8))
    assert digest(one) != digest(other)
    assert not {c.message_id for c in one.calls} & {c.message_id for c in other.calls}


def test_an_end_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        generate(people=1, end=datetime(2026, 11, 22, 12))


@pytest.mark.parametrize("people", [0, 1, 2, 17])
def test_a_small_town_has_its_year_too(people: int) -> None:
    assert len(set(generate(people=people, end=END).truth.values())) == people


def test_five_thousand_people_make_a_hundred_thousand_calls(year: Demo) -> None:
    assert 100_000 <= len(year.calls) <= 130_000
    assert len(set(year.truth.values())) == 5000


def test_the_calls_are_in_order_of_time_and_within_the_year(year: Demo) -> None:
    times = [call.timestamp for call in year.calls]
    assert times == sorted(times)
    assert times[0] >= END - timedelta(days=365)
    assert times[-1] < END
    assert {time.tzinfo for time in times} == {UTC}


def test_message_ids_are_unique(year: Demo) -> None:
    assert len({call.message_id for call in year.calls}) == len(year.calls)


def test_every_call_has_a_user_or_an_anonymous_id_for_the_sdk(year: Demo) -> None:
    assert all(call.user_id or call.anonymous_id for call in year.calls)


def test_shops_and_the_call_centre_know_no_logins(year: Demo) -> None:
    for call in year.calls:
        if call.source in ("shop", "call_centre"):
            assert call.user_id is None
            assert call.anonymous_id
            assert call.anonymous_id.startswith(("pos-", "call-"))
            assert len(call.context["externalIds"]) == 1


def test_every_channel_and_every_stage_of_the_journey_is_there(year: Demo) -> None:
    assert {call.source for call in year.calls} == {"web", "app", "shop", "call_centre", "email"}
    events = Counter(call.event for call in year.calls if call.type == "track")
    funnel = ("Product Viewed", "Product Added", "Checkout Started", "Order Delivered")
    assert [name for name, _ in events.most_common() if name in funnel] == list(funnel)
    rare = ("Payment Failed", "Order Picked Up", "Order Returned", "Ticket Closed")
    assert all(events[name] > 50 for name in rare)
    reasons = {call.properties.get("reason") for call in year.calls if call.event == "Call Started"}
    assert reasons == {"advice", "late delivery", "return"}


def test_orders_are_numbered_once_and_worth_their_products(year: Demo) -> None:
    orders = [call.properties for call in year.calls if call.event == "Order Completed"]
    assert len({order["order_id"] for order in orders}) == len(orders)
    for order in orders:
        assert order["revenue"] == pytest.approx(sum(one["price"] for one in order["products"]))


def test_the_truth_covers_every_acting_identifier_that_is_not_shared(year: Demo) -> None:
    shared = {device for device, logins in logins_by_device(year).items() if len(logins) > 1}
    unknown = {one for call in year.calls for one in acting(call) if one not in year.truth}
    assert {value for _, value in unknown} == shared | set(GARBAGE_IDS)


def test_the_truth_names_nothing_that_does_not_act(year: Demo) -> None:
    assert set(year.truth) <= {one for call in year.calls for one in acting(call)}


def test_families_share_devices_and_dozens_share_a_kiosk(year: Demo) -> None:
    sizes = Counter(len(logins) for logins in logins_by_device(year).values())
    assert sum(sizes[size] for size in (2, 3, 4)) > 100
    assert sum(number for size, number in sizes.items() if size >= 24) == 5
    assert sizes.keys() - set(range(5)) == {size for size in sizes if size >= 24}


def test_devices_are_seen_before_anyone_logs_in_on_them(year: Demo) -> None:
    first: dict[str, Call] = {}
    for call in year.calls:
        first.setdefault(call.anonymous_id or "", call)
    logins = logins_by_device(year)
    assert sum(first[device].user_id is None for device in logins) > 0.8 * len(logins)


def test_families_share_mailboxes(year: Demo) -> None:
    people: dict[str, set[str]] = defaultdict(set)
    for call in year.calls:
        person = person_of(year, call)
        if call.type == "identify" and "email" in call.properties and person:
            people[call.properties["email"]].add(person)
    del people[GARBAGE_TRAITS["email"]]
    assert sum(len(owners) > 1 for owners in people.values()) > 50


def test_placeholders_stand_in_for_people_on_a_few_hundred_calls(year: Demo) -> None:
    ids = Counter(v for call in year.calls for _, v in acting(call) if v in GARBAGE_IDS)
    traits = Counter(
        name
        for call in year.calls
        for name, value in GARBAGE_TRAITS.items()
        if call.type == "identify" and call.properties.get(name) == value
    )
    assert set(ids) == set(GARBAGE_IDS)
    assert set(traits) == set(GARBAGE_TRAITS)
    assert 200 < ids.total() + traits.total() < 600


def test_an_eighth_of_the_people_can_only_be_joined_by_their_attributes(year: Demo) -> None:
    calls: dict[str, list[Call]] = defaultdict(list)
    for call in year.calls:
        person = person_of(year, call)
        if person:
            calls[person].append(call)
    records = Counter(
        sum(any(namespace != "anonymous_id" for namespace, _ in piece) for piece in pieces)
        for pieces in (pieces_of(year, own) for own in calls.values())
    )
    assert 0.10 * 5000 < records[2] < 0.14 * 5000
    assert records.keys() <= {0, 1, 2}


def test_consent_is_given_refused_withdrawn_and_left_unanswered(year: Demo) -> None:
    answers: dict[str, list[dict[str, bool]]] = defaultdict(list)
    for call in year.calls:
        person, choice = person_of(year, call), preferences(call)
        if person and choice is not None and choice not in answers[person][-1:]:
            assert set(choice) == set(PURPOSES)
            answers[person].append(choice)
    given = Counter(p for own in answers.values() if own for p in PURPOSES if own[0][p])
    assert 0.60 < given["analytics.audience"] / 5000 < 0.75
    assert 0.50 < given["profile.link"] / 5000 < 0.65
    assert 0.38 < given["marketing.email"] / 5000 < 0.50
    asked = [own for own in answers.values() if own]
    assert sum(not any(own[0].values()) for own in asked) > 200
    assert 5000 - len(asked) > 400
    changes = Counter(sum(own[-1].values()) < sum(own[0].values()) for own in asked if len(own) > 1)
    assert changes[True] > 0.04 * 5000


def test_a_change_of_mind_is_sent_once_and_holds_from_then_on(year: Demo) -> None:
    changed: dict[str, dict[str, bool]] = {}
    for call in year.calls:
        person, choice = person_of(year, call), preferences(call)
        if call.event == CHANGE:
            key = person or call.message_id
            assert key not in changed
            assert choice is not None
            changed[key] = choice
        elif person in changed and choice is not None:
            assert choice == changed[person]
    assert 0.06 * 5000 < len(changed) < 0.12 * 5000


def test_nobody_gets_a_newsletter_without_agreeing_to_it(year: Demo) -> None:
    sent = [preferences(call) for call in year.calls if call.event == "Email Delivered"]
    assert len(sent) > 5000
    assert all(choice and choice["marketing.email"] for choice in sent)
