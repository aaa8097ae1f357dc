"""Segment's consent object, read into purposes: what is unclear never becomes a grant."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.defaults import CATALOGUE
from consent.purposes import COMMON_CATEGORIES, LINK
from consent.signals import read as signals
from consent.signals.meanings import purposes_of
from consent.signals.stamp import ABSENT, UNREADABLE, Stamp

KNOWN = {p.key for p in CATALOGUE}


def read(
    context: Any, *, known: set[str], categories: dict[str, list[str]], snapshot: bool = False
) -> Stamp:
    said = context.get("consent") if isinstance(context, dict) else None
    words = b"" if said is None else msgspec.json.encode(said)
    return signals.read(
        words, known=known, categories=categories, answer=snapshot, now=datetime.now(UTC)
    )


def stamp(preferences: Any, *, snapshot: bool = False, **categories: list[str]) -> Stamp:
    context = {"consent": {"categoryPreferences": preferences}}
    return read(context, known=KNOWN, categories=categories, snapshot=snapshot)


@pytest.mark.parametrize("context", [{}, {"consent": None}, None, 3, {"consent": {}}])
def test_no_consent_object_says_nothing(context: Any) -> None:
    assert read(context, known=KNOWN, categories={}) == ABSENT


@pytest.mark.parametrize(
    "words",
    [
        b'{"categoryPreferences": {"ads": false, "ads": true}}',
        b'{"categoryPreferences": {"ads": false}, "categoryPreferences": {"ads": true}}',
        b'{"categoryPreferences": {"ads": true, "\\u0061ds": true}}',
    ],
)
@pytest.mark.parametrize("answer", [True, False])
def test_of_two_answers_the_last_is_not_the_answer(words: bytes, answer: bool) -> None:
    found = signals.read(words, known=KNOWN, categories={}, answer=answer, now=datetime.now(UTC))
    assert found == UNREADABLE


@pytest.mark.parametrize("context", [{}, {"consent": None}, {"consent": {}}, None])
def test_a_banner_event_without_an_answer_is_unreadable(context: Any) -> None:
    assert read(context, known=KNOWN, categories={}, snapshot=True) == UNREADABLE


@pytest.mark.parametrize(
    "consent",
    ["yes", 1, True, ["analytics"], {"categoryPreferences": "all"},
     {"categoryPreferences": ["analytics"]}, {"categoryPreferences": {"analytics": "true"}},
     {"categoryPreferences": {"analytics": 1}}, {"categoryPreferences": {"analytics": None}}],
)  # fmt: skip
def test_what_cannot_be_understood_is_no_grant(consent: Any) -> None:
    found = read({"consent": consent}, known=KNOWN, categories={})
    assert found == UNREADABLE
    assert not found.given


def test_a_category_means_its_purposes() -> None:
    found = stamp({"Advertising": True, "marketing.email": False, "device.storage": True})
    assert found.given == {"ads", "ads.share", "ads.personalised", "device.storage"}
    assert found.refused == {"marketing.email"}


def test_a_source_may_name_its_own_categories_and_cannot_invent_purposes() -> None:
    found = stamp({"C0004": True, "C0009": True}, C0004=["ads.share", "no.such"])
    assert found.given == {"ads.share"}
    assert not found.refused


def test_of_contradicting_categories_the_refusal_counts() -> None:
    found = stamp({"advertising": True, "ads.share": False})
    assert found.given == {"ads", "ads.personalised"}
    assert found.refused == {"ads.share"}


def test_no_category_of_a_banner_gives_identity_resolution_by_itself() -> None:
    assert all(LINK not in purposes for purposes in COMMON_CATEGORIES.values())
    assert purposes_of(LINK, KNOWN, {}) == {LINK}


def test_only_the_banner_event_is_the_whole_answer() -> None:
    assert stamp({"analytics": True}, snapshot=True).whole
    assert not stamp({"analytics": True}).whole


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["consent", "categoryPreferences", "analytics", "ads.share", "x"]),
            inner,
        )
    ),
    max_leaves=8,
)


@settings(max_examples=400, deadline=None)
@given(json_values, st.booleans())
def test_reading_never_fails_and_never_gives_what_was_not_said(
    context: Any, snapshot: bool
) -> None:
    found = read(context, known=KNOWN, categories={}, snapshot=snapshot)
    assert not found.given & found.refused
    if found.given:
        answers = context["consent"]["categoryPreferences"]
        assert all(any(p in purposes_of(c, KNOWN, {}) and a for c, a in answers.items())
                   for p in found.given)  # fmt: skip
