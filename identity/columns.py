"""What traits, and most columns of people files (`headings`), are called: PURE."""

import re
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
#: Identifiers that are no attribute, but evidence of their own. `customer_id` is not here: in files
#: of people it mostly numbers the records.
IDENTIFIERS: dict[str, tuple[str, ...]] = {
    "user_id": ("userid", "login", "loginid", "username"),
    "loyalty_id": (
        "loyaltyid", "loyaltynumber", "loyaltycard", "loyaltycardnumber", "membershipid",
        "membershipnumber",
    ),
    "device_id": ("deviceid", "device", "idfa", "gaid", "advertisingid"),
    "anonymous_id": ("anonymousid", "cookieid", "cookie", "visitorid"),
}  # fmt: skip
#: A birth date in three columns; as traits the day may be called what elsewhere is the whole date.
DATE_PARTS: dict[str, tuple[str, ...]] = {
    "birth_year": (
        "birthyear", "yearofbirth", "yob", "dobyear", "dateofbirthyear", "birthdateyear",
        "geburtsjahr", "anneenaissance", "anneedenaissance", "anonacimiento", "anodenacimiento",
        "annonascita", "annodinascita", "anonascimento", "geboortejaar", "by",
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
#: A column or trait of its own for what says father or son (`suffixes`).
SUFFIXES = ("suffix", "namesuffix", "suffixname", "namesufx", "generationalsuffix")
FULL_NAMES = ("name", "fullname", "displayname", "customername")
FIELD_OF = {spelling: part for part, all_ in DATE_PARTS.items() for spelling in all_}
FIELD_OF |= {spelling: field for field, all_ in SPELLINGS.items() for spelling in all_}
FIELD_OF |= {spelling: "suffix" for spelling in SUFFIXES}
FIELD_OF |= {spelling: spelling for spelling in FULL_NAMES}


def spelling(name: str) -> str:
    """Return the name of a trait or column without case, accents or separators."""
    return _spelled(str(name)[:LONGEST])


@lru_cache(4096)  # the names of traits are few and come again with every event
def _spelled(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", words(name))
