"""The people of the demo: families, addresses, and the ways a name gets written down wrong."""

import unicodedata
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from random import Random
from typing import Any

FIRST_NAMES = """
Catherine Jean-Pierre Alexandre Benjamin Christophe Frédéric Nicolas Philippe Stéphanie Valérie
Isabelle Véronique Sébastien Emmanuel Dominique Mathieu Jean-Marc Marie-Claude Anne-Sophie Camille
Léa Manon Chloé Inès Jules Hugo Louis Gabriel Raphaël Arthur Zoé Élodie Aurélie Céline Nathalie
Sylvie Martine Brigitte Françoise Jacqueline André Bernard Gérard René Didier Thierry Laurent
Olivier Youssef Fatima Karim Amina Elizabeth William Robert Margaret Thomas Daniel Samuel Michael
James Edward Susan Deborah Patricia Victoria Joseph Richard Emily Charlotte Oliver Harry George
Alice Grace Lucy Henry Hannah Rachel Simon Helen
""".split()

LAST_NAMES = """
Martin Bernard Thomas Petit Robert Richard Durand Dubois Moreau Laurent Simon Michel Lefèvre Leroy
Roux David Bertrand Morel Fournier Girard Bonnet Dupont Lambert Fontaine Rousseau Vincent Muller
Faure Mercier Blanc Guérin Boyer Garnier Chevalier François Legrand Gauthier Garcia Perrin Robin
Clément Morin Nicolas Henry Roussel Mathieu Gautier Masson Marchand Duval Denis Dumont Lemaire
Noël Meyer Dufour Meunier Brun Blanchard Giraud Joly Rivière Lucas Brunet Benali Haddad Diallo
Nguyen Smith Jones Taylor Brown Williams Wilson Johnson Davies Patel Robinson Wright Thompson Evans
Walker White Roberts Green Hall Wood Harris Clarke Jackson Turner Hill Cooper Ward Hughes Moore
""".split()

NICKNAMES = {
    "Catherine": "Cathy", "Jean-Pierre": "JP", "Alexandre": "Alex", "Benjamin": "Ben",
    "Christophe": "Chris", "Frédéric": "Fred", "Nicolas": "Nico", "Philippe": "Phil",
    "Stéphanie": "Steph", "Valérie": "Val", "Isabelle": "Isa", "Véronique": "Véro",
    "Sébastien": "Seb", "Emmanuel": "Manu", "Dominique": "Dom", "Jean-Marc": "JM",
    "Marie-Claude": "MC", "Anne-Sophie": "Anne", "Elizabeth": "Liz", "William": "Bill",
    "Robert": "Bob", "Margaret": "Maggie", "Thomas": "Tom", "Daniel": "Dan", "Samuel": "Sam",
    "Michael": "Mike", "James": "Jim", "Edward": "Ted", "Susan": "Sue", "Deborah": "Debbie",
    "Patricia": "Pat", "Victoria": "Vicky", "Joseph": "Joe", "Richard": "Rick",
}  # fmt: skip

STREETS = {
    "FR": (
        "rue de la République", "rue Victor Hugo", "avenue Jean Jaurès", "rue Pasteur",
        "place de l'Église", "rue des Lilas", "boulevard Gambetta", "rue du Moulin",
        "avenue de la Gare", "impasse des Acacias", "rue Jules Ferry", "allée des Tilleuls",
        "chemin des Vignes", "rue Saint-Martin", "quai de la Fontaine", "rue de Verdun",
    ),
    "GB": (
        "High Street", "Station Road", "Church Lane", "Victoria Road", "Green Lane", "Mill Lane",
        "Park Avenue", "The Crescent", "Queens Road", "Kings Road", "Albert Street", "York Road",
    ),
}  # fmt: skip

CITIES = (
    ("Paris", "75011", "FR"), ("Paris", "75018", "FR"), ("Lyon", "69003", "FR"),
    ("Marseille", "13006", "FR"), ("Toulouse", "31000", "FR"), ("Nice", "06000", "FR"),
    ("Nantes", "44000", "FR"), ("Strasbourg", "67000", "FR"), ("Montpellier", "34000", "FR"),
    ("Bordeaux", "33000", "FR"), ("Lille", "59000", "FR"), ("Rennes", "35000", "FR"),
    ("Grenoble", "38000", "FR"), ("Dijon", "21000", "FR"), ("Angers", "49000", "FR"),
    ("Tours", "37000", "FR"), ("London", "SW11 1AA", "GB"), ("Manchester", "M1 1AE", "GB"),
    ("Bristol", "BS1 4DJ", "GB"), ("Leeds", "LS1 4AP", "GB"), ("Edinburgh", "EH1 1YZ", "GB"),
)  # fmt: skip

# Reserved by RFC 2606: nothing that a demo sends can reach a real mailbox.
MAIL_DOMAINS = ("example.com", "example.net", "example.org")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a family lives, or lived before it moved."""

    street: str
    city: str
    postcode: str
    country: str

    def as_trait(self) -> dict[str, str]:
        """The address under the names that Segment's specification gives its parts."""
        return {
            "street": self.street,
            "city": self.city,
            "postalCode": self.postcode,
            "country": self.country,
        }


@dataclass(frozen=True, slots=True)
class Person:
    """Someone who exists, as they would spell themselves out; records are copies of this."""

    id: str
    first_name: str
    last_name: str
    birthday: date
    email: str
    phone: str
    landline: str
    home: Address
    old_home: Address


def families(rng: Random, count: int, today: datetime) -> list[list[Person]]:
    """Bring up `count` people in families of one to five who share an address."""
    people: list[list[Person]] = []
    made = 0
    mailboxes: set[str] = set()
    while made < count:
        size = rng.choices((1, 2, 3, 4, 5), weights=(45, 20, 14, 15, 6))[0]
        size = min(size, count - made)
        people.append(_family(rng, size, made, today.date(), mailboxes))
        made += size
    return people


def as_given(person: Person) -> dict[str, Any]:
    """The traits that a person fills in on the web site: complete and right."""
    return {
        "firstName": person.first_name,
        "lastName": person.last_name,
        "email": person.email,
        "phone": person.phone,
        "birthday": person.birthday.isoformat(),
        "address": person.home.as_trait(),
    }


def as_typed(rng: Random, person: Person) -> dict[str, Any]:
    """The traits that a clerk types: untidy, but the telephone number is right."""
    traits = as_given(person)
    if rng.random() < 0.4:
        traits["lastName"] = traits["lastName"].upper()
    if rng.random() < 0.1:
        traits["firstName"] = typo(rng, traits["firstName"])
    if rng.random() < 0.5:
        traits["phone"] = _national(person.phone)
    for name, missing in (("email", 0.25), ("birthday", 0.2), ("address", 0.15)):
        if rng.random() < missing:
            del traits[name]
    return traits


def as_stranger(rng: Random, person: Person) -> dict[str, Any]:
    """The traits of a second record, which shares no e-mail or mobile number with the first.

    Names, birthday and address resemble the person's own, so only comparing them can tell.
    """
    first, last = _misspelt(rng, person)
    traits: dict[str, Any] = {"firstName": first, "lastName": last}
    birthday = _misread(rng, person.birthday)
    if birthday:
        traits["birthday"] = birthday.isoformat()
    traits["address"] = _out_of_date(rng, person)
    if rng.random() < 0.7:
        year = person.birthday.year % 100
        traits["email"] = (
            f"{_plain(first)[:3]}{_plain(last)}{year:02}.{rng.randrange(10**6)}@example.org"
        )
    dice = rng.random()
    if dice < 0.25:
        traits["phone"] = person.landline
    elif dice < 0.55:
        at = rng.randrange(5, len(person.phone))
        digit = (int(person.phone[at]) + rng.randint(1, 9)) % 10
        traits["phone"] = f"{person.phone[:at]}{digit}{person.phone[at + 1 :]}"
    return traits


def typo(rng: Random, text: str) -> str:
    """Slip once on the keyboard: swap, drop, double or replace one letter after the first."""
    if len(text) < 4:
        return text + text[-1]
    at = rng.randrange(1, len(text) - 1)
    before, letter, following, after = text[:at], text[at], text[at + 1], text[at + 2 :]
    slips = (
        f"{before}{following}{letter}{after}",
        f"{before}{following}{after}",
        f"{before}{letter}{letter}{following}{after}",
        f"{before}{rng.choice('aeiourstln')}{following}{after}",
    )
    return rng.choice(slips)


def _family(rng: Random, size: int, made: int, today: date, mailboxes: set[str]) -> list[Person]:
    home, old_home = _address(rng), _address(rng)
    landline = _phone(rng, home.country, mobile=False)
    last_name = rng.choice(LAST_NAMES)
    shares_mailbox = size > 1 and rng.random() < 0.15
    family_mail = _mailbox(rng, "famille", last_name, mailboxes) if shares_mailbox else None
    members: list[Person] = []
    for place, birthday in enumerate(_birthdays(rng, size, today)):
        first = _first_name(rng, [member.first_name for member in members])
        # One partner in five keeps their own name; children take the family's.
        own = place == 1 and rng.random() < 0.2
        last = rng.choice(LAST_NAMES) if own else last_name
        mail = family_mail if family_mail and rng.random() < 0.7 else None
        members.append(
            Person(
                id=f"person-{made + place + 1:05}",
                first_name=first,
                last_name=last,
                birthday=birthday,
                email=mail or _mailbox(rng, first, last, mailboxes),
                phone=_phone(rng, home.country, mobile=True),
                landline=landline,
                home=home,
                old_home=old_home,
            )
        )
    return members


def _first_name(rng: Random, taken: list[str]) -> str:
    # A child named after a parent is rare and the hardest case there is: same name, same house.
    if len(taken) >= 2 and rng.random() < 0.02:
        return taken[0]
    return rng.choice([name for name in FIRST_NAMES if name not in taken])


def _birthdays(rng: Random, size: int, today: date) -> list[date]:
    oldest = rng.randint(40, 60) if size > 2 else rng.randint(19, 84)
    ages = [oldest, max(18, oldest + rng.randint(-7, 4))]
    ages += [rng.randint(14, oldest - 22) for _ in range(size - 2)]
    days = [today - timedelta(days=int(age * 365.25) + rng.randrange(365)) for age in ages[:size]]
    if size > 3 and rng.random() < 0.06:
        days[3] = days[2]  # twins: the birthday alone must not join them
    return days


def _address(rng: Random) -> Address:
    city, postcode, country = rng.choice(CITIES)
    number = rng.randint(1, 180)
    return Address(f"{number} {rng.choice(STREETS[country])}", city, postcode, country)


def _phone(rng: Random, country: str, *, mobile: bool) -> str:
    if country == "GB":
        return f"+44{'77' if mobile else '20'}{rng.randrange(10**8):08}"
    return f"+33{'6' if mobile else '4'}{rng.randrange(10**8):08}"


def _national(phone: str) -> str:
    digits = "0" + phone[3:]
    return " ".join(digits[at : at + 2] for at in range(0, len(digits), 2))


def _plain(text: str) -> str:
    letters = unicodedata.normalize("NFKD", text.lower())
    return "".join(letter for letter in letters if letter.isascii() and letter.isalnum())


def _mailbox(rng: Random, first: str, last: str, taken: set[str]) -> str:
    one, two = _plain(first), _plain(last)
    local = rng.choice((f"{one}.{two}", f"{one[0]}{two}", f"{two}.{one}", f"{one}{two[0]}"))
    domain = rng.choice(MAIL_DOMAINS)
    address, number = f"{local}@{domain}", 1
    while address in taken:
        number += 1
        address = f"{local}{number}@{domain}"
    taken.add(address)
    return address


def _misspelt(rng: Random, person: Person) -> tuple[str, str]:
    first, last = person.first_name, person.last_name
    dice = rng.random()
    if dice < 0.4 and first in NICKNAMES:
        return NICKNAMES[first], last
    if dice < 0.5:
        return last, first
    if dice < 0.75:
        return first, typo(rng, last)
    if dice < 0.9:
        return typo(rng, first), last
    return _plain(first).capitalize(), _plain(last).upper()


def _misread(rng: Random, birthday: date) -> date | None:
    dice = rng.random()
    if dice < 0.08 and birthday.day <= 12:
        return birthday.replace(month=birthday.day, day=birthday.month)
    return birthday if dice < 0.9 else None


def _out_of_date(rng: Random, person: Person) -> dict[str, str]:
    moved = rng.random() < 0.35
    address = (person.old_home if moved else person.home).as_trait()
    if rng.random() < 0.3:
        address["street"] = typo(rng, address["street"])
    return address
