"""Origins that may send: how they are written, and what they let in."""

import time

import pytest

from app.access import origins
from app.access.door import Door
from app.access.sources import SourceSettings
from app.errors import OriginNotAllowed
from app.settings import Settings


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("https://www.example.com", "https://www.example.com"),
        (" HTTPS://Www.Example.com ", "https://www.example.com"),
        ("https://example.com:443", "https://example.com"),
        ("http://example.com:80", "http://example.com"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("https://*.example.com", "https://*.example.com"),
        ("https://*.example.com:8443", "https://*.example.com:8443"),
        ("http://*.localhost:3000", "http://*.localhost:3000"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("null", "null"),
    ],
)
def test_an_origin_is_kept_as_browsers_send_it(written: str, sent: str) -> None:
    assert origins.normal(written) == sent


@pytest.mark.parametrize(
    "wrong",
    [
        "", "*", "example.com", "https://", "https://example.com/", "https://example.com/shop",
        "https://*", "https://*.com", "https://*.*.example.com", "https://www.*.com",
        "https://a*.example.com", "https://user@example.com", "https://example.com:0",
        "https://example.com:99999", "https://exämple.com", "https://example.com?x",
        "https://a..example.com", "https://" + "a" * 400,
    ],
)  # fmt: skip
def test_what_is_no_origin_is_refused_with_the_form_to_use(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"origin|top-level|port"):
        origins.normal(wrong)


def test_a_pattern_lets_in_what_it_names_and_nothing_else() -> None:
    allowed = origins.pattern(["https://shop.example", "https://*.example.com"])
    assert allowed is not None
    for good in ("https://shop.example", "https://a.example.com", "https://a.b-c.example.com"):
        assert allowed.fullmatch(good), good
    for bad in (
        "http://shop.example", "https://shop.example:8443", "https://shopxexample",
        "https://example.com", "https://.example.com", "https://evilexample.com",
        "https://a.example.com.evil.net", "https://evil.net/.example.com",
        "https://evil.net#.example.com", "https://a.example.com ", "null", "",
    ):  # fmt: skip
        assert not allowed.fullmatch(bad), bad


def test_without_any_named_origin_there_is_nothing_to_match() -> None:
    assert origins.pattern([]) is None


def test_an_origin_of_sixty_kilobytes_costs_nothing() -> None:
    allowed = tuple(f"https://*.a{number}.example" for number in range(200))
    door = Door(SourceSettings(1, "web", allowed_origins=allowed), Settings())
    door.admit_origin("https://" + "a." * 130 + "a199.example")
    started = time.thread_time()  # of the CPU: others may have it meanwhile
    with pytest.raises(OriginNotAllowed):
        door.admit_origin("https://" + "a." * 30_000)
    assert time.thread_time() - started < 0.01  # 0.3 s when it was put to each pattern
