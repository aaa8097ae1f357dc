"""What the columns of people files are taken for, and what they are not."""

import pytest

from identity.headings import guess_columns, guess_identifiers


def test_columns_of_people_files_are_recognised() -> None:
    columns = ["rec_id", "Given Name", "SURNAME", "street_number", "address_1", "address_2", "zip"]
    assert guess_columns([*columns, "Date of Birth", "favourite_colour"]) == {
        "Given Name": "first_name",
        "SURNAME": "last_name",
        "street_number": "house_number",
        "address_1": "address",
        "zip": "postcode",
        "Date of Birth": "birth_date",
    }


@pytest.mark.parametrize(
    "names",
    [
        ["Vorname", "Nachname", "Geburtsdatum", "Telefon", "Straße", "PLZ", "Wohnort", "E-Mail"],
        ["Prénom", "Nom", "Date de naissance", "Téléphone", "Adresse", "Code postal", "Ville",
         "Courriel"],
        ["Nombre", "Apellidos", "Fecha de nacimiento", "Teléfono", "Dirección", "Código postal",
         "Ciudad", "Correo electrónico"],
    ],
)  # fmt: skip
def test_columns_are_recognised_in_other_languages_with_their_accents(names: list[str]) -> None:
    assert list(guess_columns(names).values()) == [
        "first_name", "last_name", "birth_date", "email", "phone", "address", "city", "postcode",
    ]  # fmt: skip


def test_columns_of_a_date_in_parts_count_where_none_has_the_whole() -> None:
    parts = {"by": "birth_year", "bm": "birth_month", "bd": "birth_day"}
    assert guess_columns(["shoe", *parts]) == parts
    assert guess_columns(["dob", *parts]) == {"dob": "birth_date"}
    assert guess_columns(["birthday", "by"]) == {"birthday": "birth_date"}


def test_columns_of_identifiers_are_recognised_and_are_no_attributes() -> None:
    columns = ["unique_id", "User ID", "loyalty_number", "device_id", "email", "customer_id"]
    assert guess_identifiers(columns) == {
        "User ID": "user_id",
        "loyalty_number": "loyalty_id",
        "device_id": "device_id",
    }
    assert guess_columns(columns) == {"email": "email"}


def test_a_full_name_column_counts_only_without_name_parts() -> None:
    assert guess_columns(["name", "email"]) == {"name": "name", "email": "email"}
    assert guess_columns(["name", "surname"]) == {"surname": "last_name"}


#: Headings of published labelled sets and what they hold; None is what has no field.
PUBLISHED: dict[str, dict[str, str | None]] = {
    "Splink, historical_50k": {
        "unique_id": None, "cluster": None, "full_name": None, "first_and_surname": None,
        "first_name": "first_name", "surname": "last_name", "dob": "birth_date",
        "birth_place": "city", "postcode_fake": "postcode", "gender": None, "occupation": None,
    },
    "RLdata": {
        "fname_c1": "first_name", "fname_c2": None, "lname_c1": "last_name", "lname_c2": None,
        "by": "birth_year", "bm": "birth_month", "bd": "birth_day",
    },
    "Febrl's generator": {
        "rec_id": None, "culture": None, "sex": None, "age": None, "date_of_birth": "birth_date",
        "title": None, "given_name": "first_name", "surname": "last_name", "state": None,
        "suburb": "city", "postcode": "postcode", "street_number": "house_number",
        "address_1": "address", "address_2": None, "phone_number": "phone",
        "soc_sec_id": "national_id", "blocking_number": None, "family_role": None,
    },
    "voters of North Carolina": {
        "county_id": None, "county_desc": None, "voter_reg_num": None, "last_name": "last_name",
        "first_name": "first_name", "middle_name": None, "name_suffix_lbl": "suffix",
        "res_street_address": "address", "res_city_desc": "city", "state_cd": None,
        "zip_code": "postcode", "mail_addr1": None, "mail_city": None,
        "full_phone_number": "phone", "race_code": None, "birth_state": None,
        "birth_year": "birth_year", "age_at_year_end": None, "registr_dt": None, "ncid": None,
    },
    "Leipzig, voters of five sources": {
        "recid": None, "sourceid": None, "givenname": "first_name", "surname": "last_name",
        "suburb": "city", "postcode": "postcode",
    },
    "pseudopeople": {
        "simulant_id": None, "household_id": None, "first_name": "first_name",
        "middle_initial": None, "last_name": "last_name", "age": None,
        "date_of_birth": "birth_date", "street_number": "house_number", "street_name": "address",
        "unit_number": None, "city": "city", "state": None, "zipcode": "postcode",
        "mailing_address_street_name": None, "spouse_first_name": None, "employer_name": None,
        "employer_zipcode": None, "dependent_1_last_name": None, "ssn": "national_id",
    },
    "OAEI, persons": {
        "given_name": "first_name", "surname": "last_name", "street": "address",
        "house_number": "house_number", "phone_numer": "phone", "soc_sec_id": "national_id",
        "age": "age", "suburb": "city", "postcode": "postcode",
    },
    "voters of North Carolina, before 2012": {
        "last_name": "last_name", "first_name": "first_name", "midl_name": None, "age": "age",
        "age_group": None, "res_street_address": "address", "zip_code": "postcode",
    },
    "a census": {
        "forename": "first_name", "surname": "last_name", "age_at_last_birthday": "age",
        "birthplace": "city", "age_months": None,
    },
    "ESSnet": {
        "PERSON_ID": None, "SEX": None, "DOB_DAY": "birth_day", "DOB_MON": "birth_month",
        "DOB_YEAR": "birth_year", "HSE_NUM": "house_number", "STR_NAM": "address",
        "POST_CODE": "postcode",
    },
    "ESSnet, census": {
        "PERNAME1": "first_name", "PERNAME2": "last_name", "MSTAT": None, "COB": None, "HH": None,
        "DOB_DAY": "birth_day", "DOB_MON": "birth_month", "DOB_YEAR": "birth_year",
        "ENUMCAP": "address", "ENUMPC": "postcode",
    },
    "a mainframe": {
        "REC_NO": None, "FNAM": "first_name", "LNAM": "last_name", "MNAM": None,
        "BTH_DT": "birth_date", "ST_NO": "house_number", "ST_NM": "address", "CTY": "city",
        "ST": None, "ZIP5": "postcode", "SSN_NBR": "national_id", "CUST_TEL_NO": "phone",
    },
    "a French register": {
        "Civilité": None, "Prénom usuel": "first_name", "Nom de naissance": "last_name",
        "Né(e) le": "birth_date", "N° de voie": "house_number", "Libellé voie": "address",
        "Type de voie": None, "C.P.": "postcode", "Commune": "city", "NIR": "national_id",
        "Tél. portable": "phone", "Nom d'entreprise": None,
    },
    "a Spanish shop": {
        "Nombre": "first_name", "Apellido 1": "last_name", "Apellido 2": None, "DNI": "national_id",
        "Fecha nac.": "birth_date", "Población": "city", "Provincia": None, "Email id": "email",
    },
    "two names of one thing": {"Town/City": "city", "Country/State": None},
    "restaurants": {"name": "name", "addr": "address", "city": "city", "phone": "phone",
                    "type": None, "class": None},
    "a shop": {
        "Customer First Name": "first_name", "CustomerLastName": "last_name",
        "Billing City": "city", "Phone no. 1": "phone", "Phone no. 2": None,
        "housenum": "house_number",
        "E-Mail 1": "email", "Last contact": None, "Company name": None, "Address type": None,
        "email_verified": None, "phone_country": None, "city_soundex": None, "first_order": None,
        "maiden_name": None, "previous_address": None, "House Nbr": None,
    },
    "a full name alone": {"first_and_surname": "name", "dob_clean": "birth_date"},
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_headings_of_published_sets_are_read_by_rule(name: str) -> None:
    wanted = {column: field for column, field in PUBLISHED[name].items() if field}
    assert guess_columns(PUBLISHED[name]) == wanted


def test_a_heading_that_says_the_field_alone_goes_before_one_that_says_more() -> None:
    assert guess_columns(["city_home", "city"]) == {"city": "city"}
    assert guess_columns(["dob_raw", "birth_dt"]) == {"birth_dt": "birth_date"}
    assert guess_columns(["birth_place", "town_clean"]) == {"town_clean": "city"}


def test_a_heading_that_says_nothing_has_no_field() -> None:
    assert guess_columns(["", "1", "_", "c1", "fake", "name" * 99]) == {}
