"""The decision over several identifiers: modes, merges, demands, grants that lapse or are stale."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent import Purpose, Voice, decide
from consent.resolve import Record, Standing, bar, standing
from tests.consent.test_resolve import (
    CONSENT,
    EACH,
    EVER,
    HEALTH,
    LATEST,
    OBJECTABLE,
    hour,
    many,
    record,
    some_voices,
)


@many
@given(some_voices, st.integers(0, 2**32), st.sampled_from([CONSENT, LATEST, OBJECTABLE, HEALTH]))
def test_44_in_whatever_order_people_were_merged_the_answer_is_the_same(
    voices: list[Voice], seed: int, purpose: Purpose
) -> None:
    shuffled = list(voices)
    random.Random(seed).shuffle(shuffled)  # noqa: S311 -- a shuffle, no secret
    assert decide(purpose, voices) == decide(purpose, shuffled)


@many
@given(some_voices, st.sampled_from([CONSENT, LATEST, OBJECTABLE]), st.integers(0, 5))
def test_a_demand_that_use_stops_never_turns_a_denial_into_permission(
    voices: list[Voice], purpose: Purpose, whose: int
) -> None:
    demanding = [
        replace(v, bar="restricted") if n == whose % len(voices) else v
        for n, v in enumerate(voices)
    ]
    if voices:
        assert not decide(purpose, demanding).allow
        assert decide(purpose, demanding).reason == "restricted"


@many
@given(some_voices, st.sampled_from([CONSENT, EACH, LATEST, OBJECTABLE, HEALTH]), st.integers(0, 5))
def test_knowing_that_somebody_is_young_never_turns_a_denial_into_permission(
    voices: list[Voice], purpose: Purpose, whose: int
) -> None:
    if not voices:
        return
    own = [replace(v, guardian=False) for v in voices]  # what counts however old they are
    grown, whose = decide(purpose, own, acting=own[0]), whose % len(voices)
    young = [replace(v, bar="child") if n == whose else v for n, v in enumerate(voices)]
    decision = decide(purpose, young, acting=young[0])
    assert grown.allow or not decision.allow
    if purpose.lawful_basis == "consent" and decision.allow:
        assert any(v.guardian and v.standing == "given" and v.asserted for v in young)
    for_adults = [replace(v, bar="underage") if n == whose else v for n, v in enumerate(voices)]
    assert decide(purpose, for_adults, acting=for_adults[0]).reason == "underage"


@many
@given(some_voices, st.sampled_from([CONSENT, EACH, LATEST, OBJECTABLE, HEALTH]))
def test_what_a_guardian_gave_is_expired_for_who_is_no_child(
    voices: list[Voice], purpose: Purpose
) -> None:
    ended = [
        replace(v, standing="expired", guardian=False)
        if v.guardian and v.standing == "given"
        else v
        for v in voices
    ]
    for now, then in zip(voices, ended, strict=True):
        assert decide(purpose, voices, acting=now) == decide(purpose, ended, acting=then)


def test_88_a_child_agrees_to_nothing_alone_and_a_guardian_to_nothing_for_adults() -> None:
    child = Voice("user_id", "kim", "given", "r1", hour(0), bar="child")
    device = Voice("anonymous_id", "d1", "given", "r2", hour(1))
    for purpose in (CONSENT, LATEST):
        assert decide(purpose, [child, device], acting=device).reason == "guardian_needed"
        agreed = replace(device, guardian=True)
        assert decide(purpose, [child, agreed], acting=agreed).allow
        grown = replace(child, standing="unknown", bar=None)
        assert decide(purpose, [grown, agreed], acting=agreed).reason == "expired"
    assert decide(EACH, [child, replace(device, guardian=True)], acting=child).reason == (
        "guardian_needed"
    ), "a device's storage is that device's"
    assert bar(CONSENT, "child", None) == "child"
    assert bar(CONSENT, "teen", None) is None
    assert bar(OBJECTABLE, "child", None) is None
    adults = Purpose("profile.ads", adults_only=True)
    assert {bar(adults, band, None) for band in ("child", "teen")} == {"underage"}
    refused = replace(device, standing="refused", asserted=False)
    assert not decide(CONSENT, [replace(child, guardian=True), refused]).allow


def account(said: Standing, at: float, *, wide: bool) -> Voice:
    return Voice("user_id", "ada", said, "account", hour(at), account_wide=wide)


def device(said: Standing, at: float) -> Voice:
    return Voice("anonymous_id", "d1", said, "device", hour(at))


def test_37_what_an_account_gives_on_a_notice_for_the_account_outranks_what_a_device_said() -> None:
    monday, tuesday = device("refused", 0), account("given", 24, wide=True)
    for acting in (tuesday, monday):
        decision = decide(LATEST, [monday, tuesday], acting=acting)
        assert (decision.allow, decision.record_ids) == (True, ("account",))
        assert decision.conflict
    assert not decide(EACH, [monday, tuesday], acting=monday).allow, "storage asks the device"


def test_38_without_such_a_notice_it_does_not() -> None:
    monday, tuesday = device("refused", 0), account("given", 24, wide=False)
    for acting in (tuesday, monday):
        assert decide(LATEST, [monday, tuesday], acting=acting).reason == "refused"


def test_a_device_that_refuses_after_the_account_gave_is_heard() -> None:
    later = device("refused", 48)
    assert not decide(LATEST, [later, account("given", 24, wide=True)], acting=later).allow
    same = device("refused", 24)
    assert not decide(LATEST, [same, account("given", 24, wide=True)], acting=same).allow


def test_a_grant_of_one_device_is_not_one_of_another() -> None:
    other = Voice("anonymous_id", "d2", "unknown")
    given_ = device("given", 0)
    assert decide(LATEST, [given_, other], acting=given_).allow
    assert decide(LATEST, [given_, other], acting=other).reason == "unknown"


def test_34_grants_of_a_version_before_one_that_renews_are_stale_and_only_those() -> None:
    old = replace(record("given", 0, 0, 1), purpose_version=1)
    new = replace(record("given", 1, 1, 2), purpose_version=2)

    def said(history: list[Record], purpose: Purpose) -> Standing:
        return standing(history, at=hour(9), known_at=EVER, purpose=purpose).standing

    text_only, material = Purpose("ads.share", version=2), Purpose("ads.share", 2, renewed=2)
    assert said([old], text_only) == "given"
    assert said([old], material) == "stale_notice"
    assert said([old, new], material) == "given"
    stale = Voice.of(("user_id", "1"), standing([old], at=hour(9), known_at=EVER, purpose=material))
    assert decide(material, [stale]).reason == "stale_notice"


def test_62_what_somebody_collected_who_holds_no_proof_allows_nothing() -> None:
    bought = replace(record("given", 0, 0, 1), unproven=True)
    voice = Voice.of(("email", "a@b.example"), standing([bought], at=hour(9), known_at=EVER))
    assert decide(CONSENT, [voice]).reason == "unproven"
    refusal = replace(record("refused", 0, 0, 1), unproven=True)
    assert standing([refusal], at=hour(9), known_at=EVER).standing == "refused", "but a no is a no"


def test_what_events_carry_along_is_no_explicit_consent() -> None:
    stamp = replace(record("given", 0, 0, 1), stamp=True)
    assert standing([stamp], at=hour(9), known_at=EVER, purpose=HEALTH)[0] == "not_explicit"
    assert standing([stamp], at=hour(9), known_at=EVER, purpose=CONSENT)[0] == "given"


@pytest.mark.parametrize(
    ("basis", "marketing", "kind", "key", "expected"),
    [
        ("consent", False, "restriction", None, "restricted"),
        ("contract", False, "restriction", None, "restricted"),
        ("legal_obligation", False, "restriction", None, None),
        ("consent", False, "restriction", "another", None),
        ("legitimate_interests", True, "objection_marketing", None, "objected"),
        ("contract", True, "objection_marketing", None, "objected"),
        ("consent", False, "objection_marketing", None, None),
        ("legitimate_interests", False, "objection", None, "objected"),
        ("public_task", False, "objection", None, "objected"),
        ("consent", False, "objection", None, None),
        ("consent", False, "objection", "p", "objected"),
        ("contract", False, "objection", "p", None),
    ],
)
def test_52_and_53_what_a_demand_means_for_a_purpose(
    basis: str, marketing: bool, kind: str, key: str | None, expected: str | None
) -> None:
    purpose = Purpose("p", lawful_basis=basis, direct_marketing=marketing)  # type: ignore[arg-type]  # parametrised
    assert bar(purpose, kind, key) == expected
