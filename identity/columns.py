"""What traits and columns of people files are called: PURE."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from identity.letters import words

#: A name of more characters is cut.
LONGEST = 200
#: Per field the spellings met in SDKs and people files, best first, without case, accents or
#: separators: `address.postalCode`, `address_postal_code` and `AddressPostalCode` are one spelling.
SPELLINGS: dict[str, tuple[str, ...]] = {
    "first_name": (
        "firstname", "givenname", "forename", "fname", "givennames", "forenames", "namefirst",
        "firstnames", "prenom", "vorname", "nombre", "nome", "voornaam", "customerfirstname",
    ),
    "last_name": (
        "lastname", "surname", "familyname", "lname", "sname", "namelast", "secondname", "nom",
        "nomdefamille", "nachname", "apellido", "apellidos", "cognome", "sobrenome", "achternaam",
        "customerlastname",
    ),
    "birth_date": (
        "birthdate", "dateofbirth", "dob", "birthday", "bday", "birthdt", "borndate", "born",
        "geburtsdatum", "geburtstag", "datenaissance", "datedenaissance", "fechadenacimiento",
        "fechanacimiento", "datadinascita", "datadenascimento", "geboortedatum", "customerdob",
    ),
    "email": (
        "email", "emailaddress", "mail", "contactemail", "primaryemail", "emailaddr", "courriel",
        "adressemail", "adresseemail", "emailadresse", "mailadresse", "correo", "correoelectronico",
        "customeremail",
    ),
    "phone": (
        "phone", "phonenumber", "mobile", "mobilephone", "mobilenumber", "telephone", "tel",
        "telephonenumber", "cell", "cellphone", "homephone", "phone1", "msisdn", "contactnumber",
        "primaryphone", "customerphone", "telefon", "telefonnummer", "handy", "handynummer",
        "mobil", "mobiltelefon", "mobilnummer", "rufnummer", "portable", "telephoneportable",
        "telefono", "telefone", "telefoon", "telefoonnummer", "movil", "celular", "cellulare",
    ),
    "address": (
        "addressstreet", "street", "streetaddress", "address1", "addressline1", "addressaddress1",
        "addressline", "streetname", "addressstreetname", "address", "addr", "addr1", "homeaddress",
        "adresse", "strasse", "rue", "anschrift", "direccion", "calle", "indirizzo", "endereco",
        "straat", "customeraddress",
    ),
    "house_number": (
        "housenumber", "streetnumber", "addresshousenumber", "addressstreetnumber", "houseno",
        "streetno", "buildingnumber", "addressnumber", "hausnummer", "hausnr", "huisnummer",
    ),
    "city": (
        "addresscity", "city", "town", "suburb", "locality", "addresslocality", "addresstown",
        "ville", "stadt", "ort", "wohnort", "ciudad", "citta", "cidade", "plaats", "woonplaats",
        "customercity",
    ),
    "postcode": (
        "addresspostalcode", "postalcode", "postcode", "addresspostcode", "zip", "zipcode",
        "addresszip", "addresszipcode", "codepostal", "plz", "postleitzahl", "codigopostal",
        "customerzip", "customerpostcode",
    ),
    "national_id": (
        "nationalid", "socsecid", "ssn", "socialsecuritynumber", "socialsecurity", "nino", "nin",
        "nationalinsurancenumber", "nationalidnumber", "taxid", "passportnumber", "personalnumber",
    ),
}  # fmt: skip
# Identifiers that are no attribute, but evidence of their own. `customer_id` is not here: in people
# files it mostly numbers the records.
_IDENTIFIERS: dict[str, tuple[str, ...]] = {
    "user_id": ("userid", "login", "loginid", "username"),
    "loyalty_id": (
        "loyaltyid", "loyaltynumber", "loyaltycard", "loyaltycardnumber", "membershipid",
        "membershipnumber",
    ),
    "device_id": ("deviceid", "device", "idfa", "gaid", "advertisingid"),
    "anonymous_id": ("anonymousid", "cookieid", "cookie", "visitorid"),
}  # fmt: skip
# A birth date in three columns; as traits the day may be called what elsewhere is the whole date.
DATE_PARTS: dict[str, tuple[str, ...]] = {
    "birth_year": (
        "birthyear", "yearofbirth", "yob", "dobyear", "dateofbirthyear", "birthdateyear",
        "geburtsjahr", "anneenaissance", "by",
    ),
    "birth_month": (
        "birthmonth", "monthofbirth", "mob", "dobmonth", "dateofbirthmonth", "birthdatemonth",
        "geburtsmonat", "moisnaissance", "bm",
    ),
    "birth_day": (
        "dayofbirth", "dobday", "dateofbirthday", "birthdateday", "journaissance", "bd", "birthday",
        "geburtstag",
    ),
}  # fmt: skip
FULL_NAMES = ("name", "fullname", "displayname", "customername")
FIELD_OF = {spelling: part for part, all_ in DATE_PARTS.items() for spelling in all_}
FIELD_OF |= {spelling: field for field, all_ in SPELLINGS.items() for spelling in all_}
FIELD_OF |= {spelling: spelling for spelling in FULL_NAMES}


def guess_columns(names: Iterable[str]) -> dict[str, str]:
    """Return which columns of a people file hold which field: file column -> field name.

    A full-name column maps to the trait `name`, and only when no first or last name is there;
    columns of year, month and day map to `birth_year` and so on, when none has the whole date.
    One column a field: the most specific spelling wins, then the first in the file.
    """
    columns = _columns(names)
    guessed = _guessed(columns, SPELLINGS)
    parts = _guessed(columns, DATE_PARTS)
    if len(parts) == len(DATE_PARTS):
        whole = {column for column, field in guessed.items() if field == "birth_date"}
        if whole <= parts.keys():
            guessed |= parts
    if not {"first_name", "last_name"} & set(guessed.values()):
        full = next((columns[s] for s in FULL_NAMES if s in columns), None)
        guessed |= {full: "name"} if full else {}
    return guessed


def guess_identifiers(names: Iterable[str]) -> dict[str, str]:
    """Return which columns of a people file hold identifiers: file column -> namespace.

    Logins, loyalty cards, devices and cookies; e-mail and phone are attributes (`guess_columns`).
    """
    return _guessed(_columns(names), _IDENTIFIERS)


def _columns(names: Iterable[str]) -> dict[str, str]:
    """Return the columns by spelling, of one spelling the first."""
    columns: dict[str, str] = {}
    for name in names:
        columns.setdefault(spelling(name), name)
    return columns


def _guessed(
    columns: Mapping[str, str], spellings: Mapping[str, tuple[str, ...]]
) -> dict[str, str]:
    found = {
        meaning: next((columns[s] for s in known if s in columns), None)
        for meaning, known in spellings.items()
    }
    return {column: meaning for meaning, column in found.items() if column is not None}


def spelling(name: str) -> str:
    """Return the name of a trait or column without case, accents or separators."""
    return _spelled(str(name)[:LONGEST])


@lru_cache(4096)  # the names of traits are few and come again with every event
def _spelled(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", words(name))
