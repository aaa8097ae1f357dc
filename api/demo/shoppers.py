"""How the retailer knows its people: devices, records, and what each person agreed to."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Literal
from uuid import UUID

from api.demo.people import Person, as_given, as_stranger, as_typed

PURPOSES = ("analytics.audience", "profile.link", "marketing.email", "content.personalised")

# Of everyone: who never answers, who refuses everything, and, of the others, who agrees to what.
# With 82% of the people left, these come to about 70, 60, 45 and 50% of all people.
NEVER_ANSWERS, REFUSES_ALL = 0.10, 0.08
AGREES = {
    "analytics.audience": 0.854,
    "profile.link": 0.732,
    "marketing.email": 0.549,
    "content.personalised": 0.61,
}

# A mild season: the sales in January, a quiet summer, gifts before Christmas.
SEASON = {1: 1.1, 7: 0.85, 8: 0.8, 11: 1.3, 12: 1.45}

Preferences = dict[str, bool]
Namespace = Literal["user_id", "loyalty_id", "crm_id"]
NAMESPACES: tuple[Namespace, ...] = ("user_id", "loyalty_id", "crm_id")


@dataclass(frozen=True, slots=True)
class Consent:
    """What a person answered, and when, if ever, the answer changed."""

    first: Preferences | None
    changed_at: datetime | None = None
    then: Preferences | None = None

    def at(self, moment: datetime) -> Preferences | None:
        """The person's choice at a moment; None while they have not answered."""
        if self.changed_at is not None and moment >= self.changed_at:
            return self.then
        return self.first


@dataclass(frozen=True, slots=True)
class Record:
    """One customer record in one system, under the identifier that system knows it by.

    `stands_for` is the anonymous id that a record without a login sends its calls under.
    """

    namespace: Namespace
    value: str
    traits: dict[str, Any]
    stands_for: str | None = None


@dataclass(slots=True)
class Device:
    """A browser or a telephone; a shared one says nothing about who is using it."""

    anonymous_id: str
    source: Literal["web", "app"]
    shared: bool = False
    logins: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Shopper:
    """A person as the retailer meets them: through these devices and records, on these days."""

    person: Person
    consent: Consent
    trips: list[datetime]
    asked_by_clerk: bool
    devices: list[Device] = field(default_factory=list)
    account: Record | None = None
    card: Record | None = None
    file: Record | None = None
    card_on_account: bool = False
    double: Record | None = None
    introduced: set[str] = field(default_factory=set)


class Registers:
    """Deals out devices and records; numbers follow the order in which people come in."""

    def __init__(self, rng: Random, start: datetime) -> None:
        """Open empty registers for the year that begins at `start`."""
        self._rng = rng
        self._start = start
        self._issued = 0

    def admit(self, family: list[Person]) -> list[Shopper]:
        """Make shoppers of a family, some of them around one shared device."""
        shoppers = [self._shopper(person) for person in family]
        with_account = [shopper for shopper in shoppers if shopper.account]
        if len(with_account) > 1 and self._rng.random() < 0.4:
            device = self.device("web", shared=True)
            for shopper in with_account[: self._rng.randint(2, 4)]:
                shopper.devices.insert(0, device)
                del shopper.devices[3:]
        return shoppers

    def device(self, source: Literal["web", "app"], *, shared: bool = False) -> Device:
        """Switch on a device that nobody has used before."""
        anonymous_id = str(UUID(int=self._rng.getrandbits(128), version=4))
        return Device(anonymous_id, source, shared)

    def moment(self, days: int = 363) -> datetime:
        """Pick a moment in the first `days` of the year when people shop."""
        while True:
            day = self._start + timedelta(days=self._rng.randrange(1, days))
            if self._rng.random() * 1.5 < SEASON.get(day.month, 1.0):
                break
        hour = self._rng.triangular(6.5, 22.5, 17.5)
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
        return midnight + timedelta(milliseconds=int(hour * 3_600_000))

    def _shopper(self, person: Person) -> Shopper:
        rng = self._rng
        visits = min(8, 1 + int(rng.expovariate(1 / 1.7)))
        trips = sorted(self.moment() for _ in range(visits))
        kind = rng.choices(("account", "anonymous", "offline"), weights=(68, 14, 18))[0]
        consent = self._consent(trips[0], online=kind != "offline")
        shopper = Shopper(person, consent, trips, asked_by_clerk=rng.random() < 0.55)
        if kind == "account":
            shopper.account = self._record("user_id", as_given(person))
        if kind != "offline":
            shopper.devices = [
                self.device("app" if rng.random() < (0.6 if place else 0.15) else "web")
                for place in range(rng.choices((1, 2, 3), weights=(50, 35, 15))[0])
            ]
        if kind != "anonymous":
            self._meet(shopper)
        return shopper

    def _meet(self, shopper: Shopper) -> None:
        rng, person = self._rng, shopper.person
        if rng.random() < (0.3 if shopper.account else 0.8):
            shopper.card = self._record("loyalty_id", as_typed(rng, person))
            shopper.card_on_account = rng.random() < 0.6
        if rng.random() < 0.3 or not (shopper.account or shopper.card):
            shopper.file = self._record("crm_id", as_typed(rng, person))
        if rng.random() < 0.14:  # of those with a record: 12% of everyone
            namespace = rng.choices(NAMESPACES, weights=(40, 35, 25))[0]
            shopper.double = self._record(namespace, as_stranger(rng, person))

    def _record(self, namespace: Namespace, traits: dict[str, Any]) -> Record:
        self._issued += 1
        number = self._issued
        if namespace == "user_id":
            return Record(namespace, f"shop-{number}", traits)
        if namespace == "loyalty_id":
            return Record(namespace, f"FID{number:07}", traits, stands_for=f"pos-{number}")
        return Record(namespace, f"CRM-{number:06}", traits, stands_for=f"call-{number}")

    def _consent(self, first_visit: datetime, *, online: bool) -> Consent:
        rng = self._rng
        dice = rng.random()
        first: Preferences | None = None
        if dice >= NEVER_ANSWERS + REFUSES_ALL:
            first = {purpose: rng.random() < AGREES[purpose] for purpose in PURPOSES}
        elif dice >= NEVER_ANSWERS:
            first = dict.fromkeys(PURPOSES, False)
        if not online:
            return Consent(first)  # only the web site and the app have a page to change it on
        left = self._start + timedelta(days=365) - first_visit
        changed_at = first_visit + left * rng.uniform(0.2, 0.95)
        gave = first is not None and any(first.values())
        # These shares of the people who can do so make 6 and 3% of everyone.
        if first and gave and rng.random() < 0.09:
            return Consent(first, changed_at, self._withdrawal(first))
        if not gave and rng.random() < 0.19:
            later = {purpose: rng.random() < 0.8 for purpose in PURPOSES}
            return Consent(first, changed_at, later | {"analytics.audience": True})
        return Consent(first)

    def _withdrawal(self, given: Preferences) -> Preferences:
        if self._rng.random() < 0.5:
            return dict.fromkeys(PURPOSES, False)
        one = self._rng.choice([purpose for purpose in PURPOSES if given[purpose]])
        return given | {one: False}
