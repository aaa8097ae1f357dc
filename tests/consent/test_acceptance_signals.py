"""Acceptance checks A 1 to 24 of research/consent.md section 3, one test per number, here or named.

Those that need a running server are in `tests/api/test_consent_signals.py`, by the same numbers.
"""

import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.defaults import CATALOGUE
from consent.signals import acceptance, gpp, makers, tcf, us_privacy, us_sections
from consent.signals.bits import Undecodable
from consent.signals.read import read
from consent.signals.stamp import UNIVERSAL, Rules, Stamp
from consent.signals.vendor import Declared, VendorList, denied
from tests.consent import strings
from tests.consent.build import DAY, base64url, number, tc
from tests.consent.strings import V1, V3

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
KNOWN = frozenset(p.key for p in CATALOGUE)
ADS = frozenset(UNIVERSAL)


PLAIN = Rules()


def stamp(
    own: object = None, *, answer: bool = False, rules: Rules = PLAIN, **beside: Any
) -> Stamp:
    """What an event says whose `context.consent` is `own`, and whose context has `beside` too."""
    return read(
        b"" if own is None else msgspec.json.encode(own),
        msgspec.json.encode(beside) if beside else b"",
        known=KNOWN,
        categories={},
        rules=rules,
        answer=answer,
        now=NOW,
    )


def reason(decode: Any, text: str) -> str:
    with pytest.raises(Undecodable) as error:
        decode(text)
    return error.value.reason


def why(text: str, **rules: Any) -> str | None:
    return acceptance.problem(tcf.decode(text), Rules(**rules), NOW)


def test_07_an_id_in_both_lists_of_rudderstack_is_denied_and_what_is_no_object_refuses() -> None:
    both = {"allowedConsentIds": ["analytics", "ads.share"], "deniedConsentIds": ["ads.share"]}
    found = stamp(consentManagement=both)
    assert found.given == {"analytics.audience"}
    assert found.refused == {"ads.share"}
    for malformed in ("yes", ["analytics"], {"allowedConsentIds": "analytics"},
                      {"deniedConsentIds": [1]}):  # fmt: skip
        found = stamp({"categoryPreferences": {"analytics": True}}, consentManagement=malformed)
        assert not found.readable
        assert not found.given
        assert found.problems == ("rudderstack:malformed",)


def test_08_the_specifications_own_string_decodes_and_is_too_old_a_policy() -> None:
    found = tcf.decode(V1)
    assert found.created == datetime(2025, 6, 3, tzinfo=UTC)
    assert (found.cmp_id, found.list_version, found.policy_version) == (880, 48, 2)
    assert list(found.vendors) == [1, 2, 3, 4]
    assert found.disclosed is not None
    assert list(found.disclosed) == [1, 2, 3, 4, 5, 100, 404]
    assert found.purposes == frozenset()
    assert why(V1, policy_floor=4) == "policy_too_old"
    early = datetime(2025, 7, 1, tzinfo=UTC)
    assert acceptance.problem(found, Rules(policy_floor=2), early) is None


def test_09_no_beginning_of_its_core_segment_grants_anything() -> None:
    core = V1.partition(".")[0]
    assert len(core) == 44
    whole = tcf.decode(core)
    for size in range(len(core)):
        try:
            found = tcf.decode(core[:size])
        except Undecodable:
            continue
        assert found == whole  # only padding was cut
    assert reason(tcf.decode, "CQSbk4AQSbk4ANwAAAENAwCg") == "truncated"


def test_10_a_string_of_march_2026_names_the_vendors_that_were_shown() -> None:
    march, january = datetime(2026, 3, 15, tzinfo=UTC), datetime(2026, 1, 15, tzinfo=UTC)
    assert why(tc(created=march, disclosed=None)) == "no_disclosed_vendors"
    assert why(tc(created=march, disclosed=[1])) is None
    assert why(tc(created=january, disclosed=None)) is None
    assert why(tc(created=datetime(2026, 2, 28, tzinfo=UTC), disclosed=None)) is None
    found = stamp({"tcf": tc(created=march, disclosed=None, publisher=[4])})
    assert not found.readable
    assert found.problems == ("tcf:no_disclosed_vendors",)


def test_11_legitimate_interest_for_purposes_of_consent_is_ignored_and_noted() -> None:
    text = tc(legitimate=[3, 4, 5, 6], publisher=[], legitimate_vendors=[7], disclosed=[7])
    found = stamp({"tcf": text}, rules=Rules(own_purposes="core"))
    assert found.readable
    assert not found.given
    assert found.notes == ("tcf:legitimate_interest_ignored",)
    # A vendor that claims it for purpose 4 in its list may not process on it either.
    listed = VendorList(51, {7: Declared(frozenset(), frozenset({4}))})
    assert denied(tcf.decode(text), 7, [4], listed) == "no_legitimate_interest"
    allowed = tc(legitimate=[7], legitimate_vendors=[7], disclosed=[7])
    listed = VendorList(51, {7: Declared(frozenset(), frozenset({7}))})
    assert denied(tcf.decode(allowed), 7, [7], listed) is None


def test_12_what_no_string_may_be_is_refused_quickly() -> None:
    assert why(tc(service_specific=False)) == "not_service_specific"
    assert why(tc(cmp_id=0)) == "unknown_cmp"
    assert why(strings.CMP_0) is not None
    assert reason(tcf.decode, tc(version=3)) == "unknown_version"
    for kind in (0, 4, 5, 6, 7):
        segment = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[kind * 8]
        assert reason(tcf.decode, tc(more=[segment + "AAAA"])) == "unknown_segment"
    assert reason(tcf.decode, tc(more=["IAAA"])) == "repeated_segment"
    assert why(tc(updated=DAY + timedelta(days=1))) == "dates_differ"
    assert why(tc(created=NOW - timedelta(days=395))) == "too_old"
    assert why(tc(created=NOW - timedelta(days=394, hours=23))) is None
    assert why(tc(created=NOW + timedelta(days=2))) == "dated_ahead"
    for letter in "A_":
        for head in ("", V1.partition(".")[0], tc() + "."):
            long = head + letter * (30_000 - len(head))
            before = time.process_time()
            assert reason(tcf.decode, long) == "too_long"
            assert reason(gpp.decode, "DBABMA~" + long) == "too_long"
            assert not stamp({"tcf": long}).readable
            assert time.process_time() - before < 0.05


def test_12_the_longest_strings_that_are_read_take_little_time_too() -> None:
    singles = "".join("0" + number(2 * n + 1, 16) for n in range(2_600))
    head = tc(disclosed=None, publisher=None)
    many = (
        head
        + "."
        + base64url(number(1, 3) + number(65_535, 16) + "1" + number(2_600, 12) + singles)
    )
    assert 7_000 < len(many) <= tcf.LONGEST
    took = []
    for _ in range(3):  # one may have Python's collector of garbage in it
        before = time.process_time()
        found = tcf.decode(many)
        took.append(time.process_time() - before)
        assert found.disclosed is not None
        assert 5_199 in found.disclosed
        assert 5_200 not in found.disclosed
    assert min(took) < 0.05


def test_13_a_restricted_vendor_may_not_process_though_the_person_agreed() -> None:
    found = tcf.decode(V3)
    assert 1 in found.purposes
    listed = VendorList(48, {10: Declared(frozenset({1}), frozenset())})
    assert denied(found, 10, [1], listed) == "vendor_restricted"
    listed = VendorList(51, listed.vendors)
    agreed = tc(purposes=[1], vendors=[10], disclosed=[10])
    assert denied(tcf.decode(agreed), 10, [1], listed) is None
    for kind, verdict in ((0, "vendor_restricted"), (1, None), (2, "vendor_restricted")):
        text = tc(purposes=[1], vendors=[10], disclosed=[10], restrictions=[(1, kind, 10)])
        assert denied(tcf.decode(text), 10, [1], listed) == verdict


@pytest.mark.parametrize(
    ("declared", "kind", "verdict"),
    [
        (Declared(frozenset({2}), frozenset(), frozenset({2})), 1, None),
        (Declared(frozenset({2}), frozenset(), frozenset({2})), 2, "no_legitimate_interest"),
        (Declared(frozenset(), frozenset({2}), frozenset({2})), 1, None),
        (Declared(frozenset(), frozenset({2}), frozenset()), 1, "vendor_restricted"),
        (Declared(frozenset(), frozenset({2}), frozenset()), None, "no_legitimate_interest"),
    ],
)
def test_13_a_flexible_vendor_takes_the_basis_that_the_publisher_demands(
    declared: Declared, kind: int | None, verdict: str | None
) -> None:
    restrictions = [] if kind is None else [(2, kind, 10)]
    text = tc(purposes=[2], vendors=[10], disclosed=[10], restrictions=restrictions)
    assert denied(tcf.decode(text), 10, [2], VendorList(51, {10: declared})) == verdict


def test_14_a_vendor_without_consent_and_one_that_was_not_shown_are_denied_differently() -> None:
    found = tcf.decode(V1)
    listed = VendorList(48, {v: Declared(frozenset({1}), frozenset()) for v in (5, 6)})
    assert denied(found, 5, [1], listed) == "no_vendor_consent"
    assert denied(found, 6, [1], listed) == "vendor_not_disclosed"
    assert denied(found, 9, [1], listed) == "vendor_not_listed"
    assert denied(found, 5, [1], VendorList(47, listed.vendors)) == "vendor_list_unknown"
    assert denied(found, 5, [1], None) == "vendor_list_unknown"


def test_15_only_the_sections_in_force_count_and_both_paddings_are_one_header() -> None:
    two = f"DBACNYA~{strings.V2}~1YYN"
    assert gpp.decode(two) == gpp.decode(two.replace("DBACNYA", "DBACNY"))
    assert gpp.decode(two).sections == {2, 6}
    # Section 2 is of a policy that is too old: in force, it refuses.
    assert stamp({"gpp": {"string": two, "gpp_sid": [6]}}).readable
    assert stamp({"gpp": two, "gpp_sid": "6"}).opt_out == ADS
    assert stamp(gpp=two, gpp_sid=[6]).opt_out == ADS
    for ids in ([2], "2_6", None):
        assert stamp({"gpp": two, "gpp_sid": ids}).problems == ("tcf:policy_too_old",)
    assert stamp({"gpp": two, "gpp_sid": [-1]}).opt_out == frozenset()
    assert stamp({"gpp": two, "gpp_sid": [7]}).problems == ("gpp:section_missing",)
    assert stamp({"gpp": two, "gpp_sid": "six"}).problems == ("gpp:malformed",)
    both = f"DBABMA~{tc(publisher=[4])}"
    assert "ads.personalised" in stamp({"gpp": both, "gpp_sid": [2]}).given


def test_16_a_string_without_sections_or_with_letters_that_mean_nothing_is_an_error() -> None:
    assert reason(gpp.decode, "DBABTA") == "sections_missing"
    assert reason(gpp.decode, "ZZZZ~1YNN") == "unknown_version"
    assert reason(gpp.decode, "DBABTA~1YQN") == "no_us_privacy_string"
    for text in ("DBABTA", "ZZZZ~1YNN", "DBABTA~1YQN", 7, ["DBABTA~1YNN"]):
        assert not stamp({"gpp": text}).readable


def test_17_global_privacy_control_in_a_section_opts_out_although_the_sale_is_not() -> None:
    values = (gpp.decode("DBABLA~BVQqAAAAAgA.YA").states or {})[7]
    assert values["SaleOptOut"] == 2
    assert us_sections.opted_out(values)
    assert stamp({"gpp": "DBABLA~BVQqAAAAAgA.YA", "gpp_sid": [7]}).opt_out == ADS
    assert stamp({"gpp": "DBABLA~BVQqAAAAAgA.QA", "gpp_sid": [7]}).opt_out == frozenset()


def test_18_one_character_short_is_an_error_and_no_shifted_values() -> None:
    assert reason(gpp.decode, "DBABLA~BVVVkkkkkpE") == "trailing_bits"
    assert reason(gpp.decode, "DBABLA~CVVVkkkkkpF") == "truncated"


def test_19_a_us_privacy_string_opts_out_does_not_apply_or_is_an_error() -> None:
    assert us_privacy.decode("1YYN").opted_out is True
    assert us_privacy.decode("1---").opted_out is None
    assert stamp(us_privacy="1YYN").opt_out == ADS
    assert stamp({"us_privacy": "1---"}).opt_out == frozenset()
    for text in ("1yyn", "2YYN", "1YY", "1YYNN", "1YYN\n", "", " 1YYN"):
        assert reason(us_privacy.decode, text) == "no_us_privacy_string"
    assert stamp({"us_privacy": "1yyn"}).problems == ("us_privacy:no_us_privacy_string",)


def test_23_google_is_told_of_each_person_by_themselves() -> None:
    said = stamp({"google": {"ad_user_data": "granted", "ad_personalization": "denied"}})
    assert said.given == {"ads.share"}
    assert said.refused == {"ads.personalised"}
    assert stamp({"google": {"ad_user_data": "yes"}}).problems == ("google:malformed",)


def test_24_signals_that_contradict_each_other_refuse_and_are_noted() -> None:
    own = {"tcf": tc(publisher=[4, 9]), "google": {"ad_personalization": "denied"}}
    found = stamp(own)
    assert found.conflicts == {"ads.personalised"}
    assert "ads.personalised" in found.refused
    assert found.given == {"analytics.audience"}
    # A browser's own refusal against what the page says of it.
    found = stamp({"categoryPreferences": {"ads.share": True}, "gpc": True})
    assert found.conflicts == {"ads.share"}
    assert found.opt_out == ADS
    assert not found.given


def test_bits_of_vendors_are_about_us_only_where_the_source_says_so() -> None:
    text = tc(purposes=[4, 9], features=[1], publisher=[9])
    assert stamp({"tcf": text}).given == {"analytics.audience"}
    core = stamp({"tcf": text}, rules=Rules(own_purposes="core"))
    assert core.given == {"ads.personalised", "analytics.audience", "geo.precise"}
    assert "device.fingerprint" in core.refused


def test_where_gdpr_does_not_apply_its_string_says_nothing() -> None:
    assert stamp({"tcf": {"string": tc(publisher=[4]), "gdprApplies": False}}) == stamp()
    assert stamp({"tcf": {"string": tc(publisher=[4]), "gdprApplies": True}}).given
    assert stamp({"tcf": {"string": None}}) == stamp()
    assert stamp({"tcf": 7}).problems == ("tcf:malformed",)


def test_adobes_choices_are_no_consent_unless_the_person_chose() -> None:
    def said(**consents: Any) -> Stamp:
        return stamp(consents=consents)

    found = said(
        collect={"val": "y"},
        share={"val": "n"},
        personalize={"content": {"val": "dy"}},
        marketing={"email": {"val": "y"}, "sms": {"val": "LI"}, "fax": {"val": "y"}},
        metadata={"time": "2026-11-01T00:00:00Z"},
    )
    assert found.given == {"analytics.audience", "marketing.email"}
    assert found.refused == {"ads.share"}
    for val in ("p", "u", "dy", "LI", "CT", "CP", "VI", "PI"):
        found = said(collect={"val": val})
        assert found.readable
        assert not found.given | found.refused
    assert said(collect={"val": "dn"}).refused == {"analytics.audience"}
    anything = {"marketing", "marketing.email", "marketing.sms"}  # and what is below `marketing`
    for val in ("n", "dn"):
        assert said(marketing={"any": {"val": val}, "email": {"val": "y"}}).refused == anything
    assert said(marketing={"any": {"val": "y"}}).given == anything - {"marketing"}
    unclear: list[dict[str, Any]] = [
        {"collect": "y"}, {"collect": {"val": "Y"}}, {"collect": {"val": ["y"]}}, {"marketing": []}
    ]  # fmt: skip
    for malformed in unclear:
        assert not said(**malformed).readable
    text = {"consentStandard": "IAB TCF", "consentStringValue": tc(publisher=[9])}
    assert stamp(consentStrings=[text]).given == {"analytics.audience"}
    assert not stamp(consentStrings=[{**text, "consentStandard": "XYZ"}]).readable


@pytest.mark.parametrize(
    ("data", "given", "refused", "whole"),
    [
        ({"eventType": "allow_selected", "consentScopes": ["analytics"]},
         {"analytics.audience"}, set(), True),
        ({"eventType": "deny_all"}, set(), set(), True),
        ({"eventType": "withdrawn", "consentScopes": ["ads.share"]}, set(), {"ads.share"}, False),
        ({"eventType": "expired"}, set(), set(), True),
    ],
)  # fmt: skip
def test_snowplows_event_is_an_answer(
    data: dict[str, Any], given: set[str], refused: set[str], whole: bool
) -> None:
    found = stamp(snowplow={"basisForProcessing": "consent", **data})
    assert found.answer
    assert found.given == given
    assert found.refused == refused
    assert found.whole == whole


@pytest.mark.parametrize("kind", ["pending", "implicit_consent"])
def test_what_snowplow_calls_implicit_is_no_answer(kind: str) -> None:
    assert stamp(snowplow={"eventType": kind, "consentScopes": ["analytics"]}) == stamp()
    other = {"eventType": "allow_all", "basisForProcessing": "contract", "consentScopes": ["x"]}
    assert stamp(snowplow=other) == stamp()
    assert not stamp(snowplow={"eventType": "allow_everything"}).readable
    assert makers.read_snowplow(7, None) is not None  # type: ignore[arg-type]  # looked at first


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
names = ("categoryPreferences", "tcf", "gpp", "gpp_sid", "us_privacy", "gpc", "google", "consents",
         "consentStrings", "consentManagement", "gdpr_consent", "snowplow")  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(st.sampled_from(names), json_values), st.booleans())
def test_the_reader_never_raises_and_never_gives_what_is_unreadable(
    members: dict[str, Any], answer: bool
) -> None:
    for found in (stamp(members, answer=answer), stamp(None, answer=answer, **members)):
        assert found.readable or not found.given
        assert found.readable or found.problems
        assert not found.given & (found.refused | found.opt_out)


@settings(max_examples=600, deadline=None)
@given(
    st.text(max_size=60)
    | st.text(strings.ALPHABET + ".~", max_size=400)
    | st.tuples(st.sampled_from([V1, V3, *strings.GPP]), st.integers(0, 200),
                st.text(strings.ALPHABET + ".~", max_size=8)).map(
        lambda cut: cut[0][: cut[1]] + cut[2] + cut[0][cut[1] + 3 :])
)  # fmt: skip
def test_decoders_raise_their_own_error_alone(text: str) -> None:
    for decode in (tcf.decode, gpp.decode, us_privacy.decode):
        with suppress(Undecodable):
            decode(text)
