"""Forms of signals that the field sends and nobody wrote a test for: none grants by accident."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from consent.defaults import CATALOGUE
from consent.signals import gpp
from consent.signals.read import read
from consent.signals.stamp import Rules, Stamp
from tests.consent.build import base64url, number, tc

NOW = datetime(2026, 11, 2, tzinfo=UTC)
KNOWN = {purpose.key for purpose in CATALOGUE}
#: Fibonacci coding of one, which is what is between the ids of sections that follow each other.
ONE = "011"


def stamp(consent: Any = None, **beside: Any) -> Stamp:
    words = b"" if consent is None else msgspec.json.encode(consent)
    return read(
        words, msgspec.json.encode(beside) if beside else b"", known=KNOWN, categories={},
        now=NOW, rules=Rules(own_purposes="core"),
    )  # fmt: skip


def header(*ids: int) -> str:
    """A GPP header of sections that follow each other from the first one on."""
    assert list(ids) == list(range(1, len(ids) + 1))
    return base64url(number(3, 6) + number(1, 6) + number(len(ids), 12) + ONE * len(ids))


@pytest.mark.parametrize("first", ["not/a string", "BOEFEAyOEFEAyAHABDENAI4AAAB9vABAASA"])
def test_the_string_that_is_kept_of_a_gpp_string_is_that_of_its_section(first: str) -> None:
    """Section 1, of a framework that ended in 2020, stands before it in old banners."""
    string = tc(purposes=[4], vendors=[10], disclosed=[10])
    whole = f"{header(1, 2)}~{first}~{string}"
    assert gpp.decode(whole).tc == string
    said = stamp(gpp=whole, gpp_sid=[2])
    assert (said.tc, said.given, said.readable) == (string, frozenset({"ads.personalised"}), True)
    assert not stamp(gpp=whole).readable  # with no word of what is in force, section 1 is too


@pytest.mark.parametrize(
    "said",
    [
        {"default": {"ad_user_data": "granted"}},
        {"default": {"ad_user_data": "denied"}, "update": {"ad_user_data": "granted"}},
        {"ad_user_data": "granted", "update": {"ad_user_data": "denied"}},
        {"ad_user_data": "granted", "region": ["US-CA"]},
        {"ad_user_data": "granted", "region": "ES"},
        {"ad_user_data": "GRANTED"},
        {"ad_user_data": True},
        {"ad_user_data": ["granted"]},
        "G111",
        ["granted"],
    ],
)
def test_commands_of_googles_consent_mode_are_no_state_of_it(said: Any) -> None:
    """Before an update comes, a default stands; what holds in one region, nobody knows here."""
    found = stamp({"google": said})
    assert (found.given, found.readable) == (frozenset(), False)


def test_what_a_command_of_googles_says_beside_the_types_is_passed_over() -> None:
    found = stamp({"google": {"ad_user_data": "granted", "wait_for_update": 500,
                              "url_passthrough": True, "region": []}})  # fmt: skip
    assert (found.given, found.readable) == (frozenset({"ads.share"}), True)
    assert stamp({"google": {"ad_user_data": "granted", "own_storage": "Denied "}}).problems


@pytest.mark.parametrize(
    ("said", "given"),
    [
        ({"val": "n"}, frozenset()),
        ({"val": "dn"}, frozenset()),
        ({"val": "y"}, frozenset({"ads.share"})),
    ],
)
def test_what_adobe_says_of_one_id_takes_away_and_gives_nothing(
    said: dict[str, str], given: frozenset[str]
) -> None:
    one = {"ECID": {"38400": {"share": said, "adID": {"val": "y"}, "metadata": {"time": "x"}}}}
    found = stamp(consents={"share": {"val": "y"}, "idSpecific": one})
    assert (found.given, found.readable) == (given, True)


@pytest.mark.parametrize("one", ["ECID", [], {"ECID": "n"}, {"ECID": {"38400": "n"}},
                                 {"ECID": {"38400": {"share": {"val": "no"}}}}])  # fmt: skip
def test_what_adobe_says_of_ids_in_no_form_of_its_own_refuses(one: Any) -> None:
    found = stamp(consents={"share": {"val": "y"}, "idSpecific": one})
    assert (found.given, found.readable) == (frozenset(), False)


@pytest.mark.parametrize("sections", ["DBABLA~BVQqAAAAAgA.YA.YA", "DBABLA~YA.BVQqAAAAAgA",
                                      "DBABLA~BVQqAAAAAgA.", "DBABLA~.YA", "DBABLA~",
                                      "DBABLA~BVQqAAAAAgA.YA~1YNN"])  # fmt: skip
def test_segments_of_a_state_in_another_order_or_number_refuse(sections: str) -> None:
    assert not stamp(gpp=sections).readable


@pytest.mark.parametrize("ids", ["7_8", [7, 8], "7,8", [8], 99])
def test_a_section_in_force_that_is_not_there_refuses(ids: Any) -> None:
    assert not stamp(gpp="DBABLA~BVQqAAAAAgA.YA", gpp_sid=ids).readable
    assert stamp(gpp="DBABLA~BVQqAAAAAgA.YA", gpp_sid=[7]).opt_out


@pytest.mark.parametrize(
    "said",
    [
        {"eventType": "allow_selected", "consentScopes": "ads.share"},
        {"eventType": "ALLOW_ALL", "consentScopes": ["ads.share"]},
        {"eventType": ["allow_all"], "consentScopes": ["ads.share"]},
        {"consentScopes": ["ads.share"]},
        [],
    ],
)
def test_snowplows_event_in_another_form_gives_nothing(said: Any) -> None:
    found = stamp(snowplow=said)
    assert (found.given, found.readable) == (frozenset(), False)
