"""Refusals that signals must not lose: of unknown names, on other bases, by strings that differ."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.signals.read import read
from consent.signals.stamp import Rules
from tests.consent.build import tc
from tests.consent.test_acceptance_signals import KNOWN, NOW, stamp
from tests.consent.test_resolve import many


def test_a_string_that_gives_the_publisher_nothing_revokes_what_no_other_signal_gives() -> None:
    text = tc(purposes=[4], publisher=None)
    alone = stamp({"tcf": text})
    assert not alone.given
    assert {"ads.personalised", "analytics.audience"} <= alone.refused
    assert alone.readable
    beside = stamp({"tcf": text, "categoryPreferences": {"analytics.audience": True}})
    assert beside.given == {"analytics.audience"}
    assert "ads.personalised" in beside.refused
    assert not beside.conflicts


def test_a_string_of_a_banner_that_is_not_the_sources_does_not_count() -> None:
    text = {"tcf": tc(cmp_id=300, publisher=[4])}
    assert stamp(text).given == {"ads.personalised"}
    assert stamp(text, rules=Rules(collectors=frozenset({300}))).given == {"ads.personalised"}
    other = stamp(text, rules=Rules(collectors=frozenset({28})))
    assert (other.problems, other.given) == (("tcf:unknown_cmp",), frozenset())
    gpp_ = {"gpp": f"DBABMA~{tc(cmp_id=300, publisher=[4])}", "gpp_sid": [2]}
    assert stamp(gpp_, rules=Rules(collectors=frozenset({28}))).problems == ("tcf:unknown_cmp",)


def test_of_two_strings_both_are_kept_and_of_an_event_that_cannot_be_read_none() -> None:
    one, two = tc(publisher=[4], vendors=[10]), tc(publisher=[4])
    assert stamp({"tcf": one}, gdpr_consent=two).tc == f"{one} {two}"
    assert stamp({"tcf": one}, gdpr_consent=one).tc == one
    assert stamp({"tcf": one, "us_privacy": "what"}).tc is None


@pytest.mark.parametrize(
    ("kind", "scopes", "refused", "whole"),
    [
        ("deny_all", [], set(), True),
        ("withdrawn", ["analytics"], {"analytics.audience"}, False),
        ("expired", [], set(), True),
    ],
)
@pytest.mark.parametrize("basis", ["legitimate_interests", "contract"])
def test_a_refusal_by_snowplow_counts_on_every_basis(
    kind: str, scopes: list[str], refused: set[str], whole: bool, basis: str
) -> None:
    data = {"eventType": kind, "basisForProcessing": basis, "consentScopes": scopes}
    found = stamp(snowplow=data)
    assert found.refused == refused
    assert (found.answer, found.whole) == (True, whole)
    gives = {"eventType": "allow_all", "basisForProcessing": basis, "consentScopes": ["analytics"]}
    assert stamp(snowplow=gives) == stamp()


def own(categories: dict[str, list[str]], own_: str = "{}", beside: str = "{}") -> Any:
    return read(
        own_.encode(), beside.encode(), known=KNOWN | {"marketing.push"}, categories=categories,
        now=NOW,
    )  # fmt: skip


def test_a_no_to_a_name_of_adobes_that_is_not_mapped_is_applied_or_told_of() -> None:
    push = '{"consents": {"marketing": {"push": {"val": "n"}, "preferred": "email"}}}'
    assert own({}, beside=push).refused == {"marketing.push"}, "the purpose of that name"
    mapped = own({"xdm:marketing.push": ["marketing.sms"]}, beside=push)
    assert mapped.refused == {"marketing.sms"}, "the source's own meaning"
    call = '{"consents": {"marketing": {"call": {"val": "dn"}}, "other": {"val": "n"}}}'
    unknown = own({}, beside=call)
    assert unknown.readable
    assert unknown.notes == ("xdm:refusal_of_unknown_name",)
    yes = '{"consents": {"marketing": {"call": {"val": "y"}}, "idSpecific": {"Email": {}}}}'
    found = own({}, beside=yes)
    assert not found.given | found.refused
    assert not found.notes


def test_google_types_that_a_source_gave_a_meaning_are_read_and_unknown_refusals_told_of() -> None:
    said = '{"google": {"ad_new_type": "denied", "wait_for_update": 500}}'
    assert own({"google:ad_new_type": ["ads.share"]}, said).refused == {"ads.share"}
    found = own({}, said)
    assert (found.readable, found.notes) == (True, ("google:refusal_of_unknown_name",))
    granted = '{"google": {"ad_new_type": "granted"}}'
    assert own({"google:ad_new_type": ["ads.share"]}, granted).given == {"ads.share"}


def test_refusals_of_unknown_categories_are_told_of() -> None:
    found = stamp({"categoryPreferences": {"no such": False, "analytics": True}})
    assert found.notes == ("segment:refusal_of_unknown_name",)
    assert stamp({"categoryPreferences": {"no such": True}}).notes == ()
    lists = {"allowedConsentIds": ["x"], "deniedConsentIds": ["no such"]}
    assert stamp(consentManagement=lists).notes == ("rudderstack:refusal_of_unknown_name",)


answers = st.dictionaries(
    st.sampled_from(["marketing.push", "marketing.call", "x", "collect", "share"]),
    st.sampled_from(["y", "n", "dn", "p", "LI"]),
    max_size=5,
)


@many
@given(answers, st.sampled_from(["x", "collect", "share", "marketing.push"]))
def test_one_more_no_of_adobes_never_gives_more(said: dict[str, str], name: str) -> None:
    def given_(answers_: dict[str, str]) -> Any:
        consents: dict[str, Any] = {"marketing": {}}
        for key, val in answers_.items():
            group, _, rest = key.partition(".")
            (consents[group] if rest else consents)[rest or key] = {"val": val}
        return stamp(consents=consents).given

    assert given_({**said, name: "n"}) <= given_(said)
