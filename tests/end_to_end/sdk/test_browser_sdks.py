"""The published browser SDKs in a real Chromium, on a page of another origin."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa

from tests.end_to_end.product import Product, wait_until
from tests.end_to_end.sdk import browser
from tests.end_to_end.sdk.browser import Step, Visit
from tests.end_to_end.sdk.proxy import LIMITED, STORED_THEN_500, UNAVAILABLE, Proxy, faulty
from tests.end_to_end.sdk.rows import BROWSER, Page

#: How long what was cut off may take to come: SDKs wait up to 5 s before they try again.
COMES_WITHIN = 40.0
FAULTS = (UNAVAILABLE, LIMITED, STORED_THEN_500)
RETRYING = [page for page in BROWSER if page.retries]
GIVEN = {"functional": True, "analytics": True, "advertising": False}
REFUSED = {"functional": True, "analytics": False, "advertising": False}
NONE = dict.fromkeys(GIVEN, False)
CATEGORIES = {"analytics": ["analytics.audience"], "advertising": ["ads.share"]}
PREFERENCE = "Segment Consent Preference Updated"
Json = dict[str, Any]


@dataclass(slots=True)
class Visits:
    """All visits of this file; one browser makes them."""

    journeys: dict[str, Visit]
    faults: dict[str, tuple[Visit, Proxy]]
    wrapped: Visit
    starts: Visit
    stopped: Visit
    bare: Visit


def journey(visit: Visit, page: Page) -> list[Step]:
    """Anonymous, then known, a reload, three events while leaving, and another visit."""
    user = visit.person
    leaving = [["track", "Left", {"n": n}] for n in (5, 6, 7)]
    return [
        ["open"],
        ["page", "Landing"],
        ["track", "Anonymous", {"n": 1, "text": "Zoë 🛒"}],
        ["wait", 300],
        ["identify", user, {"name": "Zoë"}],
        *([] if page.identifies_at_once else [["wait", 300]]),
        ["track", "Known", {"n": 2}],
        *([["alias", user]] if page.alias else []),
        ["wait", 300],
        ["open"],
        ["track", "Reloaded", {"n": 3}],
        ["track", "Reloaded", {"n": 4}],
        ["wait", 300],
        ["leave", leaving],
        ["open"],
        ["track", "Back", {"n": 8}],
    ]


def choose(categories: dict[str, bool]) -> Step:
    """Return the step in which a person answers the consent banner anew."""
    return ["run", f"window.choose({str(categories).lower()})"]


@pytest.fixture(scope="module")
def visits(product: Product) -> Iterator[Visits]:
    """Let one browser make all the visits."""
    journeys = browser.prepare(product, [(p.name, p.script) for p in BROWSER], "visit")
    faults = browser.prepare(product, [(p.name, p.script) for p in RETRYING], "faults")
    [wrapped, starts] = browser.prepare(
        product, [("wrapped", "consent"), ("starts", "consent")], "consent", categories=CATEGORIES
    )
    [stopped] = browser.prepare(
        product,
        [("stopped", "consent")],
        "strict",
        categories=CATEGORIES,
        collection_purpose="analytics.audience",
    )
    [bare] = browser.prepare(product, [("bare", "nothing")], "bare")
    for visit, page in zip(journeys, BROWSER, strict=True):
        visit.steps = journey(visit, page)
    wrapped.steps = [
        ["open"], ["identify", wrapped.person], ["track", "Before", {"n": 1}], ["wait", 300],
        choose(REFUSED), ["track", "After", {"n": 2}],
    ]  # fmt: skip
    for visit in (starts, stopped):
        visit.before = f"window.categories = {str(NONE).lower()}"
        visit.steps = [["open"], ["track", "Seen", {"n": 1}], ["wait", 300]]
    bare.steps = [["open"], ["run", f"window.sdk({bare.person!r})"]]
    with ExitStack() as stack:
        proxies = [stack.enter_context(faulty(product.port, FAULTS)) for _ in faults]
        for visit, proxy in zip(faults, proxies, strict=True):
            visit.host = proxy.url
            visit.steps = [["open"], *(["track", "Seen", {"n": n}] for n in range(6))]
        stack.enter_context(browser.visited([*faults, *journeys, wrapped, starts, stopped, bare]))
        yield Visits(
            {page.name: visit for visit, page in zip(journeys, BROWSER, strict=True)},
            {p.name: (v, x) for p, v, x in zip(RETRYING, faults, proxies, strict=True)},
            wrapped,
            starts,
            stopped,
            bare,
        )  # fmt: skip


def numbers(rows: list[Json]) -> list[int]:
    return sorted(row["properties"]["n"] for row in rows if "n" in row["properties"])


def arrived(product: Product, visit: Visit, wanted: list[int]) -> list[Json]:
    """Return what is stored of a visit once all of it is; nothing may be there twice."""
    assert (visit.errors, visit.elsewhere) == ([], [])

    def found() -> list[Json] | None:
        rows = browser.stored(product, visit)
        return rows if set(wanted) <= set(numbers(rows)) else None

    rows = wait_until(found, COMES_WITHIN, what=f"{wanted} of {visit.name}")
    assert len(numbers(rows)) == len(set(numbers(rows))), "an event is there twice"
    assert len({row["message_id"] for row in rows}) == len(rows)
    return rows


@pytest.mark.parametrize("page", BROWSER, ids=str)
def test_a_browser_sdk_delivers_a_visit_once_and_nothing_to_anybody_else(
    product: Product, visits: Visits, page: Page
) -> None:
    visit = visits.journeys[page.name]
    wanted = [1, 2, 3, 4, 5, 6, 7, 8] if page.resumes else [1, 2, 3, 4, 8]
    rows = arrived(product, visit, wanted)
    by_number = {row["properties"]["n"]: row for row in rows if "n" in row["properties"]}
    device = by_number[1]["anonymous_id"]
    assert device
    assert by_number[1]["user_id"] is None
    assert by_number[1]["properties"]["text"] == "Zoë 🛒"
    assert {by_number[n]["user_id"] for n in wanted[1:]} == {visit.person}
    assert {row["anonymous_id"] for row in by_number.values()} == {device}
    times = [by_number[n]["occurred_at"] for n in wanted]
    assert times == sorted(times)
    kinds = [row["type"] for row in rows]
    assert (kinds.count("identify"), kinds.count("page")) == (1, 1)
    assert kinds.count("alias") == (1 if page.alias else 0)
    [told] = [row for row in rows if row["type"] == "identify"]
    assert told["properties"]["name"] == "Zoë"
    assert (told["user_id"], told["anonymous_id"]) == (visit.person, device)


@pytest.mark.parametrize("page", RETRYING, ids=str)
def test_a_browser_sdk_that_meets_503_429_and_500_after_storing_loses_and_doubles_nothing(
    product: Product, visits: Visits, page: Page
) -> None:
    visit, proxy = visits.faults[page.name]
    arrived(product, visit, list(range(6)))
    wait_until(lambda: not proxy.faults, COMES_WITHIN, what="all faults were met")
    arrived(product, visit, list(range(6)))
    if page.script == "segment":
        counted = [h for m, _, h in proxy.seen if m == "POST" and "x-retry-count" in lower(h)]
        assert counted, "no retry came through the preflight"


def lower(headers: dict[str, str]) -> set[str]:
    return {name.lower() for name in headers}


def test_what_a_consent_banner_says_is_on_every_event_and_is_recorded(
    product: Product, visits: Visits
) -> None:
    visit = visits.wrapped
    rows = arrived(product, visit, [1, 2])
    stamps = {
        row["properties"].get("n", row["name"]): row["context"]["consent"]["categoryPreferences"]
        for row in rows
        if row["type"] == "track"
    }
    assert stamps == {1: GIVEN, PREFERENCE: REFUSED, 2: REFUSED}
    client = product.add_client()
    decided = client.get(
        "/v1/consents/decision",
        params={"subject": f"user_id:{visit.person}", "purpose": "analytics.audience"},
    ).json()
    assert decided["allow"] is False
    states = sa.text(
        "SELECT state FROM consent.record WHERE namespace = 'user_id' AND value = :person"
        " AND purpose = 'analytics.audience' ORDER BY seq"
    )
    with product.tables() as session:
        assert session.scalars(states, {"person": visit.person}).all() == ["given", "withdrawn"]


def test_the_sdk_starts_without_any_consent_only_where_the_source_does_not_collect_by_it(
    product: Product, visits: Visits
) -> None:
    arrived(product, visits.starts, [1])
    assert (visits.stopped.errors, visits.stopped.elsewhere) == ([], [])
    assert browser.stored(product, visits.stopped) == []


def test_a_page_reads_every_answer_of_the_tracking_routes_and_none_of_the_others(
    product: Product, visits: Visits
) -> None:
    arrived(product, visits.bare, [1, 2, 3])
    assert visits.bare.said == [
        {
            "stored": [200, "", True],
            "no json": [400, "body-unreadable", True],
            "no key": [401, "unknown-write-key", True],
            "no such project": [404, "source-not-found", True],
            "no such path": [404, "not-found", True],
            "no such method": [405, "method-not-allowed", True],
            "too large": [413, "body-too-large", True],
            "profiles": "TypeError: Failed to fetch",
            "document": "TypeError: Failed to fetch",
            "beacon": True,
            "image": [1, 1],
        }
    ]
