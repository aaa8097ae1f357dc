"""Identifiers: one spelling each, and nobody is called `undefined`."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from identity.errors import IdentifierInvalid
from identity.identifiers import (
    LONGEST,
    NAMESPACE_NAME,
    NAMESPACES,
    canonical_namespace,
    namespace,
    normalise,
    parse,
    read_phones_of,
)

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers())
)


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(sorted(NAMESPACES)), scalars)
@example("user_id", 10**5000)
@example("user_id", float("nan"))
@example("user_id", float("inf"))
@example("email", "\ud800@example.org")
@example("email", "\u0390" * 500 + "@a")
@example("user_id", "a\x00b")
@example("email", "<mailto:<mailto:a%40b>>@c")
@example("email", "a@b.\u200b.")
@example("email", "\u0345\u1e9e@\u1e9e.\u2488.de")
def test_normalising_never_fails_and_is_done_once(name: str, value: Any) -> None:
    normal = normalise(name, value)
    if normal is not None:
        assert normal.strip() == normal != ""
        assert len(normal.encode()) <= LONGEST
        assert "\x00" not in normal
        assert normalise(name, normal) == normal


@pytest.mark.parametrize("value", ["NA", "0", "test", "1111111", "-"])
def test_a_case_of_a_log_may_be_called_so(value: str) -> None:
    assert normalise("case_id", f" {value}") == normalise("loan_case_id", value) == value
    assert normalise("crm_id", value) is None
    assert normalise("case_id", " ") is None


@pytest.mark.parametrize("value", [True, False, None, [], {}, ["u-1"], {"id": 1}])
def test_only_text_and_numbers_are_values(value: Any) -> None:
    assert normalise("user_id", value) is None


@pytest.mark.parametrize(
    ("name", "value", "normal"),
    [
        ("user_id", " u-42 ", "u-42"),
        ("user_id", 42, "42"),
        ("user_id", "U-42", "U-42"),
        ("email", " Ada@Example.ORG ", "ada@example.org"),
        ("email", "no at sign", None),
        ("email", "a@b@c", None),
        ("email", "Test@Test.com", None),
        ("email", "Ada.Lovelace+shop@googlemail.com", "adalovelace@gmail.com"),
        ("email", "ada.b+shop@example.org", "ada.b@example.org"),
        ("email", "+shop@example.org", "+shop@example.org"),
        ("email", "test+1@test.com", None),
        ("email", "mu\u0308ller@b\u00fccher.de", "m\u00fcller@xn--bcher-kva.de"),
        ("email", "m\u00fcller@BU\u0308CHER.DE", "m\u00fcller@xn--bcher-kva.de"),
        ("email", "M\u00fcller@XN--BCHER-KVA.de.", "m\u00fcller@xn--bcher-kva.de"),
        ("email", "ada@stra\u00dfe.de", "ada@xn--strae-oqa.de"),
        ("email", "ada@\U0001f600.ws", "ada@xn--e28h.ws"),
        ("email", "mailto:Ada+x@example.org?subject=Hi", "ada@example.org"),
        ("email", "MAILTO:ada%40example.org", "ada@example.org"),
        ("email", "Ada Lovelace <ada@example.org>", "ada@example.org"),
        ("email", '"Lovelace, Ada" < mailto:ada@example.org >', "ada@example.org"),
        ("email", "ada@example.org.", "ada@example.org"),
        ("email", "a\u200bd\u00ada@exam\u2060ple.org\ufeff", "ada@example.org"),
        ("email", "\uff41\uff44\uff41\uff20\uff45xample\u3002org", "ada@example.org"),
        ("email", "ada @ example.org", "ada@example.org"),
        ("email", "ada@exam ple.org", None),
        ("email", "ada@", None),
        ("email", "@example.org", None),
        ("email", "ada@...", None),
        ("phone", "+33 (1) 42-68-53-00", "+33142685300"),
        ("phone", "+33 (0)1 42 68 53 00 ext 12", "+33142685300"),
        ("phone", "0033142685300", "+33142685300"),
        ("phone", "33142685300", "+33142685300"),
        ("phone", "＋33 １４２ 68 53 00", "+33142685300"),
        ("phone", "+٩٦٦ ٥٠ ١٢٣ ٧٥٦٤", "+966501237564"),
        ("phone", "01 42 68 53 00", "0142685300"),
        ("phone", "+99 1234567", "+991234567"),
        ("phone", "12345", None),
        ("phone", "000-0000-0000", None),
        ("crm_id", "Ünï", "Ünï"),
    ],
)
def test_a_value_has_one_spelling(name: str, value: Any, normal: str | None) -> None:
    assert normalise(name, value) == normal


@pytest.fixture
def region() -> Iterator[Callable[[str | None], None]]:
    yield read_phones_of
    read_phones_of(None)


def test_a_number_without_a_country_is_one_of_the_country_that_was_set(
    region: Callable[[str | None], None],
) -> None:
    said = ["01 42 68 53 00", "+33142685300", "0033 1 42 68 53 00", "33142685300"]
    region("FR")
    assert {normalise("phone", number) for number in said} == {"+33142685300"}
    assert normalise("phone", "2025550123") == "2025550123"
    region("US")
    assert normalise("phone", "2025550123") == "+12025550123"
    assert normalise("phone", "01 42 68 53 00") == "0142685300"
    with pytest.raises(IdentifierInvalid):
        region("XX")


@settings(max_examples=300, deadline=None)
@given(st.text("0123456789+ -()x;", min_size=5, max_size=18), st.sampled_from(["FR", "IT", "US"]))
def test_a_number_is_read_once_whatever_the_country(number: str, country: str) -> None:
    try:
        read_phones_of(country)
        normal = normalise("phone", number)
        assert normal is None or normalise("phone", normal) == normal
    finally:
        read_phones_of(None)


def test_a_value_that_no_index_row_holds_is_refused() -> None:
    """A B-tree row ends at 2,704 bytes, and one event must not stop its neighbours."""
    assert normalise("user_id", "x" * LONGEST) == "x" * LONGEST
    assert normalise("user_id", "x" * (LONGEST + 1)) is None
    assert normalise("user_id", "語" * LONGEST) is None


@pytest.mark.parametrize(
    ("sent", "ours"),
    [("userId", "user_id"), ("CRM id", "crm_id"), ("ios.idfa", "ios_idfa"),
     ("ga-client", "ga_client"), ("  EMAIL ", "email"), ("", "")],
)  # fmt: skip
def test_a_namespace_has_one_spelling(sent: str, ours: str) -> None:
    assert canonical_namespace(sent) == ours


@given(st.text(max_size=30))
def test_the_spelling_of_a_namespace_is_final(sent: str) -> None:
    once = canonical_namespace(sent)
    assert canonical_namespace(once) == once
    assert NAMESPACE_NAME.match(once) or not once or not once[0].isalpha() or len(once) > 63


def test_a_reference_names_its_namespace_first() -> None:
    assert parse("email: Ada@Example.org") == ("email", "ada@example.org")
    assert parse("urn:isbn:1") == ("urn", "isbn:1")
    for wrong in ("ada", "", ":", "user_id:", "user_id:null", "1x:2", "user_id:" + "x" * 2000):
        with pytest.raises(IdentifierInvalid):
            parse(wrong)


def test_a_custom_namespace_stands_between_logins_and_addresses() -> None:
    custom = namespace("crm_id").priority
    assert namespace("user_id").priority < custom < namespace("email").priority
    assert namespace("crm_id").limit is None
