"""What systems and forms send for want of anything: it identifies nobody, wherever it comes in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.attributes import from_traits
from identity.garbage import WORDS
from identity.identifiers import NAMESPACES, normalise


@pytest.mark.parametrize(
    "garbage",
    [*sorted(WORDS), "  Undefined ", "000-000", "1111111", "NULL", "\t", "'null'", '""', "(none)",
     "(not set)", "<null>", "[object Object]", "[object Undefined]", "{{user.id}}", "${idfa}",
     "%%ADVERTISING_ID%%", "__IDFA__", "[IDFA]", "00:00:00:00:00:00",
     "00000000-0000-0000-0000-000000000000", "11111111-1111-1111-1111-111111111111",
     "DDDDDDDDDDDDDDDD", "000000000000000", "xxxxxxxx", "1234567890", "0123456789", "987654321"],
)  # fmt: skip
@pytest.mark.parametrize("name", sorted({*NAMESPACES, "crm_id"}))
def test_what_systems_send_when_they_know_nothing_identifies_nobody(
    name: str, garbage: str
) -> None:
    assert normalise(name, garbage) is None


@pytest.mark.parametrize(
    "address",
    ["noreply@acme.com", "No-Reply@shop.fr", "no_reply+17@shop.fr", "donotreply@acme.com",
     "ne-pas-repondre@acme.fr", "mailer-daemon@googlemail.com", "test@test.com", "test@test.fr",
     "test+1@gmail.com", "none@none.com", "null@null.fr", "undefined@undefined", "unknown@aol.com",
     "noemail@gmail.com", "pasdemail@free.fr", "a@a.com", "aaa@aaa.fr", "asdf@asdf.com",
     "qwerty@qwerty.com", "123@123.com", "na@na.com", "email@email.com", "name@example.com",
     "a@b.com"],
)  # fmt: skip
def test_an_address_that_nobody_reads_identifies_nobody(address: str) -> None:
    assert normalise("email", address) is None
    assert "email" not in from_traits({"email": address})


@pytest.mark.parametrize(
    "number",
    ["0000000000", "1234567890", "0123456789", "9876543210", "06 12 34 56 78", "06 00 00 00 00",
     "+33612345678", "+33123456789", "+33 6 00 00 00 00", "0033600000000", "+33611111111",
     "+15555555555", "+1 234 567 8901", "5555555555", "12345678"],
)  # fmt: skip
def test_a_number_that_counts_or_repeats_one_digit_identifies_nobody(number: str) -> None:
    assert normalise("phone", number) is None
    assert "phone" not in from_traits({"phone": number})


@pytest.mark.parametrize(
    ("name", "value"),
    [("user_id", "123456"), ("user_id", "1"), ("user_id", "nulla"), ("user_id", "none-of-these"),
     ("user_id", "{9A3F0C11-2B4D-4E6F-8A90-1B2C3D4E5F60}"), ("crm_id", "10000000"),
     ("crm_id", "A-0000"), ("device_id", "6D92078A-8246-4BA4-AE5B-76104861E7DC"),
     ("email", "tester@acme.com"), ("email", "info@acme.com"), ("email", "na@acme.com"),
     ("email", "orange@orange.fr"), ("email", "a@acme.com"), ("email", "noreply.ada@acme.com"),
     ("phone", "+33142685300"), ("phone", "+33612121212"), ("phone", "+12025550123"),
     ("phone", "+33612345687")],
)  # fmt: skip
def test_what_somebody_may_be_called_stays(name: str, value: str) -> None:
    assert normalise(name, value) is not None


@given(st.from_regex(r"\A[0-9a-z]{8,24}\Z"))
def test_random_ids_are_nobodys_only_where_they_repeat_or_count(value: str) -> None:
    plain = len(set(value)) > 2 and not value.isdigit() and value not in WORDS
    assert not plain or normalise("device_id", value) == value
