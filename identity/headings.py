"""What the columns of a people file mean, by rule where their headings say more than a field: PURE.

A trait of an SDK is one of the spellings in `columns`, or it is no attribute. Headings of files say
beside the field whose it is, which one and what was done to it: `fname_c1`, `postcode_fake`,
`res_city_desc`, `Customer phone no. 1`. Such words, and no others, are passed over at both ends:
`employer_name`, `city_soundex` and `address_2` are something else.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

from identity.columns import (
    DATE_PARTS,
    FULL_NAMES,
    IDENTIFIERS,
    LONGEST,
    SPELLINGS,
    SUFFIXES,
    spelling,
)
from identity.letters import words

# Whose it is, which one of several, and what was done to it.
_PASSED_OVER = frozenset(
    """
    customer cust client person people personal patient voter member applicant contact subscriber
    guest owner insured borrower primary principal main home private current residential
    residence resident res legal mailing postal billing shipping my your full permanent
    1 01 c1 x fake faked clean cleaned cleansed std standard standardised standardized norm
    normalised normalized lbl raw orig original txt text value val desc description anon anonymised
    anonymized masked synthetic synth noisy corrupted
    """.split()
)
# How words of headings are cut short.
_SHORT = {
    "no": "number", "num": "number", "nbr": "number", "nr": "number", "numer": "number",
    "nm": "name", "nam": "name", "addr": "address", "add": "address", "adr": "address",
    "dt": "date", "cd": "code", "tel": "phone", "ph": "phone", "telephone": "phone",
    "bth": "birth", "brth": "birth",
    "hse": "house", "str": "street", "bldg": "building", "yr": "year", "mon": "month",
    "mo": "month", "mth": "month", "pcode": "postcode", "pc": "postcode", "fore": "first",
    "fst": "first", "lst": "last", "sur": "last", "tn": "town",
}  # fmt: skip
# At the end of a heading without separators: `housenum`, `streetnm`.
_SHORT_END = re.compile(r"(?<=[a-z]{3})(num|nbr|nm|nam)$")
#: What only a file calls so, where no better column is there. A place of birth is no town where
#: somebody lives, but as one it tells people apart, and stays with them.
_FOR_WANT_OF_BETTER: Mapping[str, tuple[str, ...]] = {
    "first_name": (
        "fnam", "fnm", "fn", "gname", "1stname", "givname", "pername", "prenoms", "prenomusuel",
        "vornamen", "rufname", "nombres", "nomi", "nomes", "fornavn", "fornamn", "etunimi", "imie",
    ),
    "last_name": (
        "lnam", "lnm", "ln", "lastn", "pername2", "surnames", "nomusuel", "nomdusage", "nomusage",
        "nomdenaissance", "nomnaissance", "familienname", "zuname", "apellido1", "primerapellido",
        "apellidopaterno", "efternamn", "efternavn", "etternavn", "sukunimi", "nazwisko",
    ),
    "birth_date": (
        "datebirth", "birth", "bdate", "bthdate", "brthdate", "gebdat", "gebdatum", "geborenam",
        "naissance", "nele", "neele", "nacimiento", "fnac", "fechanac", "nascita", "nascimento",
        "datanascita", "datanascimento", "fodselsdato", "fodelsedatum",
    ),
    "email": ("emailid", "emailadd", "mailid", "mailadres", "emailadres"),
    "phone": (
        "telmobile", "telfixe", "telportable", "gsm", "numerotelephone", "numerodetelephone",
        "numerotel", "telmovil", "numerodetelefono", "numeroditelefono",
    ),
    "address": (
        "stname", "fulladdress", "enumcap", "voie", "nomvoie", "nomdevoie", "libellevoie",
        "adresseligne1", "rueetnumero", "strassehausnummer", "strassehausnr", "domicilio", "via",
        "adres", "ulica",
    ),
    "house_number": ("stnumber", "numerovoie", "numerodevoie", "nvoie", "ndevoie", "nodevoie"),
    "city": (
        "cityname", "cityortown", "citytown", "towncity", "cty", "municipality", "commune",
        "gemeinde", "localite", "poblacion", "localidad", "municipio", "comune", "localita",
        "miasto", "birthplace", "placeofbirth", "birthcity", "cityofbirth", "birthtown",
        "geburtsort", "lieudenaissance", "lieunaissance",
    ),
    "postcode": (
        "zip5", "zipcd", "postcd", "pstlcode", "enumpc", "cp", "cpostal", "cap", "cep",
        "postnumber", "postnummer", "kodpocztowy",
    ),
    "national_id": (
        "ssnnumber", "ssnid", "socsec", "socsecnumber", "nhsnumber", "nir",
        "numerosecuritesociale", "numerodesecuritesociale", "sozialversicherungsnummer",
        "sozialversicherungsnr", "codicefiscale", "dni", "nif", "nie", "pesel", "aadhaar",
        "personnummer", "burgerservicenummer", "bsn", "cpf", "curp",
    ),
    "name": ("firstandsurname", "firstandlastname", "firstlastname", "nomcomplet", "nomprenom"),
}  # fmt: skip
# How old somebody is says when they were born to a year, at whatever time the file was written.
_AGES: Mapping[str, tuple[str, ...]] = {
    "age": (
        "age", "agey", "ageyears", "ageinyears", "birthage", "ageatyearend", "ageatlastbirthday",
        "agelastbirthday", "currentage", "alter", "lebensalter", "edad", "eta", "idade", "leeftijd",
        "alder", "wiek",
    ),
}  # fmt: skip
# Whose work it is, where no month and day stand beside it.
_NO_YEAR_ALONE = frozenset({"by"})
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")


def guess_columns(names: Iterable[str]) -> dict[str, str]:
    """Return which columns of a people file hold which field: file column -> field name.

    A full-name column maps to the trait `name`, and only when no first or last name is there;
    columns of year, month and day map to `birth_year` and so on, when none has the whole date, and
    so does the year alone; one that says father or son maps to `suffix`. Where nothing says when
    somebody was born, one that says how old they are maps to `age`.
    One column a field: the most specific spelling wins, then the least that is passed over, then
    the first in the file.
    """
    columns = list(names)
    guessed = _guessed(columns, SPELLINGS)
    parts = _guessed(columns, DATE_PARTS)
    whole = {column for column, field in guessed.items() if field == "birth_date"}
    if len(parts) == len(DATE_PARTS):
        if whole <= parts.keys():
            guessed |= parts
    elif not whole:
        years = {c for c, part in parts.items() if part == "birth_year"}
        guessed |= {c: "birth_year" for c in years if spelling(c) not in _NO_YEAR_ALONE}
    if not {"birth_date", "birth_year"} & set(guessed.values()):
        guessed |= {c: "age" for c in _guessed(columns, _AGES) if c not in guessed}
    guessed |= _guessed(columns, {"suffix": SUFFIXES})
    if not {"first_name", "last_name"} & set(guessed.values()):
        guessed |= _guessed(columns, {"name": FULL_NAMES})
    return guessed


def guess_identifiers(names: Iterable[str]) -> dict[str, str]:
    """Return which columns of a people file hold identifiers: file column -> namespace.

    Logins, loyalty cards, devices and cookies, under no other headings than as traits: what is an
    identifier by mistake merges. E-mail and phone are attributes (`guess_columns`).
    """
    columns = _exact(names)
    found = {
        space: next((columns[s] for s in known if s in columns), None)
        for space, known in IDENTIFIERS.items()
    }
    return {column: space for space, column in found.items() if column is not None}


def _exact(names: Iterable[str]) -> dict[str, str]:
    """Return the columns by spelling, of one spelling the first."""
    columns: dict[str, str] = {}
    for name in names:
        columns.setdefault(spelling(name), name)
    return columns


def _guessed(columns: list[str], spellings: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Return the best column of each field, as column -> field."""
    exact = _exact(columns)
    said = [reading for name in columns if spelling(name) for reading in _readings(name)]
    loose: dict[str, str] = {}
    for _, reading, name in sorted(said, key=lambda one: one[0]):
        loose.setdefault(reading, name)
    found: dict[str, str] = {}
    for field, known in spellings.items():
        wanted = [(exact, known), (loose, known)]
        weak = _FOR_WANT_OF_BETTER.get(field, ())
        wanted += [(exact, weak), (loose, weak)]
        options = (at[s] for at, all_ in wanted for s in all_ if s in at)
        column = next((c for c in options if c not in found), None)
        if column is not None:
            found[column] = field
    return found


def _readings(name: str) -> Iterator[tuple[int, str, str]]:
    """Yield (words passed over, spelling, heading) for each way to read a heading."""
    told = words(_HUMP.sub(" ", str(name)[:LONGEST])).split()
    told = [part for word in told for part in _without_one(word)]
    for first in range(len(told)):
        for end in range(len(told), first, -1):
            if _PASSED_OVER.issuperset([*told[:first], *told[end:]]):
                kept = [_SHORT.get(word, word) for word in told[first:end]]
                passed = len(told) - len(kept)
                for read in ("".join(told[first:end]), "".join(kept)):
                    yield passed, _SHORT_END.sub(_long, read), name


def _long(short: re.Match[str]) -> str:
    return _SHORT[short[0]]


def _without_one(word: str) -> list[str]:
    """Return `fname` and `1` of `fname1`: the first of several. Other numbers stay with it."""
    return [word[:-1], "1"] if word[-1:] == "1" and word[:-1].isalpha() and word != "c1" else [word]
