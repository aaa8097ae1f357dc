"""Traits as the field writes them, and the canonical form they get."""

from typing import Any

import pyarrow
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from identity.attributes import FIELDS, from_traits, named
from identity.blocking import add, connect, prepare
from identity.waterfall import table_of

pa: Any = pyarrow  # ships no types
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)
NAMES = st.sampled_from(
    ["firstName", "name", "dob", "email", "phone", "address", "zip", "ssn", "street_number"]
)


def test_segment_traits_become_canonical_fields() -> None:
    assert from_traits(
        {
            "firstName": "Zoë",
            "lastName": "O'Brien-Smith",
            "birthday": "1978-05-12T00:00:00Z",
            "email": " Zoe@Example.COM ",
            "phone": "+44 (0)20 7946-0958",
            "address": {"street": "12 High Street", "city": "São Paulo", "postalCode": "ab1 2cd"},
        }
    ) == {
        "first_name": "zoe",
        "last_name": "obrien smith",
        "birth_date": "1978-05-12",
        "email": "zoe@example.com",
        "phone": "442079460958",
        "address": "12 high st",
        "city": "sao paulo",
        "postcode": "AB12CD",
    }


def test_febrl_columns_become_the_same_fields() -> None:
    row: dict[str, object] = {
        "given_name": "jinni",
        "surname": "dreyer",
        "street_number": 11.0,
        "suburb": "Byford",
    }
    row |= {"date_of_birth": 19420127.0, "soc_sec_id": 3787407, "address_1": "were street"}
    assert from_traits(row) == {
        "first_name": "jinni",
        "last_name": "dreyer",
        "birth_date": "1942-01-27",
        "address": "were st",
        "house_number": "11",
        "city": "byford",
        "national_id": "3787407",
    }


@pytest.mark.parametrize(
    "written",
    ["1963-05-14", "19630514", 19630514, 19630514.0, "19630514.0", "14/05/1963", "14.5.1963",
     "05/14/1963", "1963/5/14", "14-05-63", "14051963", 14051963, "14 May 1963", "May 14, 1963",
     "14-MAY-63", "1963-May-14", "Tue, 14 May 1963 00:00:00", "mardi 14 mai 1963", "14. Mai 1963",
     "14 de mayo de 1963", "14th of May 1963", "１９６３-05-14", "١٤/٠٥/١٩٦٣"],
)  # fmt: skip
def test_one_birth_date_in_many_spellings_is_one_date(written: object) -> None:
    assert from_traits({"dob": written}) == {"birth_date": "1963-05-14"}


@pytest.mark.parametrize(
    "traits",
    [
        {"by": "1949", "bm": 7, "bd": "22.0"},
        {"birth_year": 1949, "birth_month": "Jul", "birth_day": "22"},
        {"birth": {"year": 1949, "month": 7, "day": 22}},
        {"yearOfBirth": "1949", "monthOfBirth": "07", "birthday": 22},
    ],
)
def test_a_birth_date_in_three_parts_is_put_together(traits: dict[str, object]) -> None:
    assert from_traits(traits) == {"birth_date": "1949-07-22"}


def test_parts_make_no_whole_date_where_one_is_missing_or_it_is_stated() -> None:
    assert from_traits({"by": "1949", "bm": 7}) == {"birth_date": "1949"}
    assert from_traits({"bm": 7, "bd": 22}) == {}
    assert from_traits({"by": "admin", "bm": "x", "bd": "y"}) == {}
    whole = {"dob": "1963-05-14", "birth_year": 1949, "birth_month": 7, "birth_day": 22}
    assert from_traits(whole) == {"birth_date": "1963-05-14"}


@pytest.mark.parametrize(
    "written", ["1753-01-01", "01/01/1601", "0001-01-01", "May 1980", "mar", "99999999"]
)
def test_what_programs_write_for_no_date_and_parts_of_one_are_absent(written: str) -> None:
    assert from_traits({"dob": written}) == {}


def test_people_of_past_centuries_were_born() -> None:
    assert from_traits({"dob": "1630-08-01"}) == {"birth_date": "1630-08-01"}


def test_an_ambiguous_date_has_its_day_first() -> None:
    assert from_traits({"dob": "03/04/1990"}) == {"birth_date": "1990-04-03"}


@pytest.mark.parametrize("written", ["2063-05-14", "14/05/2063", "20630514"])
def test_nobody_is_born_in_the_future(written: str) -> None:
    assert from_traits({"dob": written}) == {"birth_date": "1963-05-14"}
    assert from_traits({"dob": "2024-05-14"}) == {"birth_date": "2024-05-14"}
    assert from_traits({"dob": "2163-05-14"}) == {}


def test_an_address_with_a_name_before_it_is_the_address() -> None:
    assert from_traits({"email": '"Jay Jones" <jjones@Example.com>'}) == {
        "email": "jjones@example.com"
    }
    assert from_traits({"email": "<jjones@example.com"}) == {"email": "jjones@example.com"}
    assert from_traits({"email": "Jay Jones <nobody>"}) == {}


@pytest.mark.parametrize(
    ("trait", "value"),
    [
        ("birthday", "1900-01-01"), ("birthday", "soon"), ("phone", "0000000000"),
        ("phone", "123456789"), ("email", "test@test.com"), ("email", "nobody"),
        ("firstName", "Unknown"), ("lastName", "n/a"), ("city", "-"), ("ssn", "999-99-9999"),
        ("zip", "00000"), ("name", "N/A"), ("firstName", True), ("firstName", ["a"]),
    ],
)  # fmt: skip
def test_placeholders_and_nonsense_are_absent(trait: str, value: object) -> None:
    assert from_traits({trait: value}) == {}


def test_a_full_name_is_split_unless_the_parts_are_stated() -> None:
    assert from_traits({"name": "Lovelace, Ada"}) == {"first_name": "ada", "last_name": "lovelace"}
    assert from_traits({"name": "Ada King Lovelace"})["last_name"] == "lovelace"
    assert from_traits({"name": "A. King", "firstName": "Ada"}) == {"first_name": "ada"}


def test_the_order_of_traits_does_not_matter() -> None:
    traits = {"mobile": "07700900123", "phone": "02079460958", "dob": "1990-01-02"}
    assert from_traits(traits) == from_traits(dict(reversed(traits.items())))


@given(st.dictionaries(NAMES | st.text(), JSON))
def test_no_json_value_raises_and_every_field_fits_arrow(traits: dict[str, object]) -> None:
    fields = from_traits(traits)
    assert set(fields) <= set(FIELDS)
    assert all(fields.values())
    pa.array(list(fields.values()), pa.string())


def test_a_number_too_long_to_print_is_absent() -> None:
    assert from_traits({"phone": 10**5000, "ssn": -(10**5000)}) == {}


@given(st.dictionaries(NAMES, st.text(min_size=1)))
@example({"address": "𝕬"})
def test_canonical_fields_stay_as_they_are(traits: dict[str, object]) -> None:
    once = from_traits(traits)
    assert from_traits({**once, "name": None}) == once


def test_digits_of_any_script_are_digits() -> None:
    assert from_traits({"phone": "٠٥٠١٢٣٧٥٦٤"}) == {"phone": "0501237564"}


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"email": "ada.lovelace@mail.net"}, ("ada", "lovelace")),
        ({"email": "ada_lovelace86+news@mail.net"}, ("ada", "lovelace")),
        ({"email": "ada.lovelace@mail.net", "first_name": "ada"}, ("ada", "lovelace")),
        ({"email": "ada.lovelace@mail.net", "last_name": "lovelace"}, ("ada", "lovelace")),
        ({"email": "ada.lovelace@mail.net", "first_name": "bob"}, ("bob", None)),
        ({"email": "sales.france@mail.net"}, (None, None)),
        ({"email": "alovelace@mail.net"}, (None, None)),
        ({"first_name": "ada"}, ("ada", None)),
    ],
)
def test_an_address_that_is_made_of_a_name_says_it_where_it_is_not_said(
    fields: dict[str, str], names: tuple[str | None, str | None]
) -> None:
    found = named(fields)
    assert (found.get("first_name"), found.get("last_name")) == names
    con = connect()
    add(con, table_of({1: fields, 2: {"email": "x@mail.net"}}))
    prepare(con)
    asked = "select first_name, last_name from people where record_id = 1"
    assert con.execute(asked).fetchall() == [names]
