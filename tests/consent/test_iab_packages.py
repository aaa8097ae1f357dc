"""Our decoders of TC and GPP strings against IAB's own JavaScript packages.

What is granted is: purposes and special features with consent or legitimate interest, vendors with
either, disclosed and allowed ones, and the publisher's own purposes; in sections of US states and
in US Privacy strings, that a person did not opt out. Restrictions are the opposite: what is not
restricted is granted.
"""

from collections.abc import Callable, Iterable
from datetime import datetime

import pytest

from consent.signals import gpp, tcf
from consent.signals.acceptance import FIRST_CMP
from tests.consent import strings
from tests.consent.strings import Read, comparable, read_by_iab, read_by_us

EACH = 100
Measure = Callable[[str, object], None]


def test_both_read_the_same_out_of_more_than_two_hundred_strings(
    record_property: Measure,
) -> None:
    made = strings.written(EACH)
    assert len(made) >= 200
    assert len({text for _, text in made}) == len(made)
    for (kind, text), theirs in zip(made, read_by_iab(made), strict=True):
        assert theirs is not None, text
        assert read_by_us(kind, text) == comparable(kind, theirs), text
    record_property("strings read alike", len(made))


def test_both_read_the_same_of_purposes_out_of_the_section_of_canada() -> None:
    made = strings.canadian(EACH)
    for (_, text), theirs in zip(made, read_by_iab(made), strict=True):
        found = gpp.decode(text).canada
        assert found is not None
        assert found.publisher is not None
        assert theirs is not None
        assert [found.created, found.updated] == [
            datetime.fromisoformat(theirs[name]) for name in ("Created", "LastUpdated")
        ]
        assert (found.cmp_id, found.policy_version) == (theirs["CmpId"], theirs["TcfPolicyVersion"])
        for mine, name in (
            (found.purposes, "PurposesExpressConsent"),
            (found.special_features, "SpecialFeatureExpressConsent"),
            (found.publisher.purposes, "PubPurposesExpressConsent"),
        ):
            assert mine == {place for place, bit in enumerate(theirs[name], 1) if bit}, text


def test_a_walk_over_vendors_yields_those_that_are_in() -> None:
    for text in [text for kind, text in strings.written(EACH) if kind == "tcf"]:
        for found in filter(None, (tcf.decode(text).vendors, tcf.decode(text).legitimate_vendors)):
            last = max(found.size, *(last for _, last in found.ranges), 0)
            assert list(found) == [v for v in range(last + 2) if v in found], text


def test_no_beginning_of_a_string_grants_more_than_the_whole(record_property: Measure) -> None:
    tried = decoded = 0
    for kind, text in strings.written(EACH):
        whole = read_by_us(kind, text)
        assert whole is not None
        for part in strings.prefixes(text):
            tried += 1
            found = read_by_us(kind, part)
            if found is None:
                continue
            decoded += 1
            assert grants_no_more(found, whole, last=part.rpartition("~")[2]), part
    record_property("beginnings", tried)
    record_property("of these decoded", decoded)
    assert tried > 20_000


def test_one_changed_bit_makes_an_error_or_what_the_other_decoder_reads() -> None:
    made = strings.written(EACH)
    compare_flips(text for text in made[:: len(made) // 12] if len(text[1]) < 200)


@pytest.mark.long
@pytest.mark.exhaustive
def test_one_changed_bit_of_any_string_makes_an_error_or_what_the_other_decoder_reads(
    record_property: Measure,
) -> None:
    tried, decoded = compare_flips(strings.written(EACH))
    record_property("changed bits", tried)
    record_property("of these decoded", decoded)
    assert tried > 200_000


def compare_flips(made: Iterable[tuple[str, str]]) -> tuple[int, int]:
    """Change every bit of these; return how many, and how many of them we decode."""
    tried = decoded = 0
    for kind, text in made:
        changed = list(strings.flips(text))
        ours = {one: found for one in changed if (found := read_by_us(kind, one)) is not None}
        tried, decoded = tried + len(changed), decoded + len(ours)
        theirs = read_by_iab([(kind, one) for one in ours])
        for (one, found), other in zip(ours.items(), theirs, strict=True):
            unread = found.pop("unread", [])
            if other is None:
                # It rejects what is in Canada's section, which ours does not read, and a banner
                # without an id, which our rules of acceptance refuse.
                cmp_id = found.get("tcfeuv2", found).get("cmp_id", FIRST_CMP)
                assert unread == [5] or cmp_id < FIRST_CMP, one
            else:
                assert found == comparable(kind, other), one
    assert decoded
    return tried, decoded


def grants_no_more(part: Read, whole: Read, *, last: str) -> bool:
    """Say whether a string grants nothing that the whole does not.

    A section of a US state that ends before its second segment is a legal string that says less:
    nothing in it tells that Global Privacy Control was said, and no decoder can.
    """
    if "sections" in whole:
        return all(
            _tcf_grants_no_more(said, whole[name])
            if name == "tcfeuv2"
            else said == whole[name]
            or ("." not in last and _but_gpc(said) <= _but_gpc(whole[name]))
            for name, said in part.items()
            if name not in ("sections", "unread")
        )
    return _tcf_grants_no_more(part, whole)


def _but_gpc(fields: Read) -> set[tuple[str, str]]:
    return {(name, str(value)) for name, value in fields.items() if name != "Gpc"}


def _tcf_grants_no_more(part: Read, whole: Read) -> bool:
    ids = ("special_features", "purposes", "legitimate")
    vendors = ("vendors", "legitimate_vendors", "disclosed", "allowed")
    publishers = zip(part["publisher"], whole["publisher"], strict=True)
    return (
        all(set(part[name]) <= set(whole[name]) for name in ids)
        and all(_ids(part[name]) <= _ids(whole[name]) for name in vendors)
        and all(set(mine) <= set(all_) for mine, all_ in publishers)
        and _restricted(whole) <= _restricted(part)
    )


def _ids(ranges: list[list[int]]) -> set[int]:
    return {v for first, last in ranges for v in range(first, last + 1)}


def _restricted(found: Read) -> set[tuple[int, int, int]]:
    return {(p, kind, v) for p, kind, ranges in found["restrictions"] for v in _ids(ranges)}
