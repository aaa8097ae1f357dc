"""What the people of the demo do, and the calls that their doing leaves behind."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any, Literal

from api.demo.shoppers import Device, Record, Shopper

Source = Literal["web", "app", "shop", "call_centre", "email"]
Kind = Literal["track", "identify", "page", "screen", "group", "alias"]

CATALOGUE = (
    ("SKU-101", "Garden chair", "garden", 59.9), ("SKU-102", "Parasol", "garden", 119.0),
    ("SKU-103", "Lawn mower", "garden", 289.0), ("SKU-104", "Plant pot", "garden", 14.5),
    ("SKU-201", "Desk lamp", "home", 39.0), ("SKU-202", "Wool rug", "home", 179.0),
    ("SKU-203", "Bookcase", "home", 149.0), ("SKU-204", "Bed linen", "home", 69.9),
    ("SKU-301", "Coffee machine", "kitchen", 249.0), ("SKU-302", "Frying pan", "kitchen", 34.9),
    ("SKU-303", "Dinner set", "kitchen", 89.0), ("SKU-304", "Kettle", "kitchen", 44.9),
    ("SKU-401", "Cordless drill", "tools", 129.0), ("SKU-402", "Tool box", "tools", 49.0),
    ("SKU-403", "Step ladder", "tools", 79.0), ("SKU-404", "Paint, 5 l", "tools", 38.5),
)  # fmt: skip

PAGES = ("Home", "Garden", "Living", "Kitchen", "Tools", "Offers", "Delivery", "Shops")
CAMPAIGNS = (("spring", "cpc"), ("sofa", "social"), ("brand", "display"), ("partners", "affiliate"))

# What broken integrations send in place of an identifier; they belong to nobody.
GARBAGE_IDS = ("null", "undefined", "0", "anonymous", "00000000-0000-0000-0000-000000000000")
GARBAGE_TRAITS = {"email": "test@test.com", "phone": "0000000000", "birthday": "1900-01-01"}


@dataclass(frozen=True, slots=True)
class Call:
    """One call to the collection API, as an SDK would make it; `properties` holds any traits."""

    source: Source
    type: Kind
    user_id: str | None
    anonymous_id: str | None
    event: str | None
    properties: dict[str, Any]
    context: dict[str, Any]
    timestamp: datetime
    message_id: str


class Tape:
    """Takes down the calls of the year and who truly stands behind each identifier."""

    def __init__(self, end: datetime, prefix: str) -> None:
        """Start an empty tape whose message ids begin with `prefix`; it runs out at `end`."""
        self.calls: list[Call] = []
        self.truth: dict[tuple[str, str], str] = {}
        self._end = end
        self._prefix = prefix
        self._orders = 0

    def order_id(self) -> str:
        """Number the next order."""
        self._orders += 1
        return f"ORD-{self._orders:06}"

    def online(
        self,
        shopper: Shopper,
        at: datetime,
        event: str | None,
        properties: dict[str, Any],
        *,
        device: Device | None = None,
        login: Record | None = None,
        type: Kind = "track",
        source: Source = "web",
    ) -> None:
        """Take down a call made through a device, under a login, or both."""
        context: dict[str, Any] = {}
        if device:
            source = device.source
            context["device"] = {"type": "browser" if source == "web" else "mobile"}
        own = login is not None and login is shopper.account
        if type == "identify" and own and shopper.card and shopper.card_on_account:
            context["externalIds"] = [_external_id(shopper.card)]
        # The SDK holds calls back until the banner has loaded an answer, so all carry a stamp.
        _stamp(context, shopper, at)
        anonymous_id = device.anonymous_id if device else None
        user_id = login.value if login else None
        known = None if device and device.shared else anonymous_id
        self._write(source, type, user_id, anonymous_id, event, properties, context, at)
        self._attribute(shopper, at, context, user_id, known)

    def clerk(
        self, shopper: Shopper, record: Record, at: datetime, event: str, properties: dict[str, Any]
    ) -> None:
        """Take down a call made by a shop or the call centre, which know no logins."""
        source: Source = "shop" if record.namespace == "loyalty_id" else "call_centre"
        first = record.value not in shopper.introduced
        shopper.introduced.add(record.value)
        calls: list[tuple[Kind, str | None, dict[str, Any]]] = [("track", event, properties)]
        if first:
            calls.insert(0, ("identify", None, dict(record.traits)))
        for type_, name, content in calls:
            context: dict[str, Any] = {"externalIds": [_external_id(record)]}
            if shopper.asked_by_clerk:
                _stamp(context, shopper, at)
            self._write(source, type_, None, record.stands_for, name, content, context, at)
            self._attribute(shopper, at, context, None, record.stands_for)

    def garbage(self, source: Source, at: datetime, bad: str, properties: dict[str, Any]) -> None:
        """Take down a call of nobody's, from an integration that lost the identifier."""
        self._write(source, "track", bad, bad, "Product Viewed", properties, {}, at)

    def _write(
        self,
        source: Source,
        type: Kind,
        user_id: str | None,
        anonymous_id: str | None,
        event: str | None,
        properties: dict[str, Any],
        context: dict[str, Any],
        at: datetime,
    ) -> None:
        if at >= self._end:
            return  # still to come: what is under way at the end of the year stays unfinished
        message_id = f"{self._prefix}-{len(self.calls):06}"
        self.calls.append(
            Call(source, type, user_id, anonymous_id, event, properties, context, at, message_id)
        )

    def _attribute(
        self,
        shopper: Shopper,
        at: datetime,
        context: dict[str, Any],
        user_id: str | None,
        anonymous_id: str | None,
    ) -> None:
        if at >= self._end:
            return
        acting = [("user_id", user_id), ("anonymous_id", anonymous_id)]
        acting += [(one["type"], one["id"]) for one in context.get("externalIds", ())]
        for namespace, value in acting:
            if value is not None and value not in GARBAGE_IDS:
                self.truth[namespace, value] = shopper.person.id


def _external_id(record: Record) -> dict[str, str]:
    return {
        "id": record.value,
        "type": record.namespace,
        "collection": "users",
        "encoding": "none",
    }


def _stamp(context: dict[str, Any], shopper: Shopper, at: datetime) -> None:
    preferences = shopper.consent.at(at)
    if preferences is not None:
        context["consent"] = {"categoryPreferences": dict(preferences)}


def describe(rng: Random) -> dict[str, Any]:
    """Pick a product from the catalogue, as the properties of an event."""
    sku, name, category, price = rng.choice(CATALOGUE)
    return {"product_id": sku, "name": name, "category": category, "price": price}


def arrive(tape: Tape, rng: Random, shopper: Shopper, device: Device, at: datetime) -> None:
    """Log in on a device: traits go along the first time, a bare event after that."""
    login = shopper.account
    if login is None:
        return
    if login.value in device.logins and rng.random() < 0.8:
        tape.online(shopper, at, "Signed In", {}, device=device, login=login)
        return
    device.logins.add(login.value)
    traits = dict(login.traits)
    tape.online(shopper, at, None, traits, device=device, login=login, type="identify")


def read_mail(tape: Tape, rng: Random, shopper: Shopper, sent: list[datetime]) -> None:
    """Deliver the newsletters that a person with an account agreed to, and see what they do."""
    login = shopper.account
    if login is None:
        return
    for number, at in enumerate(sent, start=1):
        preferences = shopper.consent.at(at)
        wanted = preferences is not None and preferences["marketing.email"]
        if not wanted or at < shopper.trips[0] or rng.random() < 0.1:
            continue
        mail = {"campaign": f"newsletter-{number:02}"}
        steps = (("Email Delivered", 1.0), ("Email Opened", 0.38), ("Email Link Clicked", 0.25))
        for event, chance in steps:
            if rng.random() > chance:
                break
            tape.online(shopper, at, event, dict(mail), login=login, source="email")
            at += timedelta(seconds=rng.randint(20, 40_000))


def change_mind(tape: Tape, rng: Random, shopper: Shopper) -> None:
    """Send the new choice at the moment a person withdraws consent or gives it late."""
    consent = shopper.consent
    if consent.changed_at is None or consent.then is None:
        return
    at = consent.changed_at
    had_mail = consent.first is not None and consent.first["marketing.email"]
    if shopper.account and had_mail and not consent.then["marketing.email"]:
        mail = {"campaign": "newsletter", "reason": rng.choice(("too many", "not relevant"))}
        tape.online(shopper, at, "Email Unsubscribed", mail, login=shopper.account, source="email")
    device = _usual_device(tape, shopper)
    known = shopper.account and shopper.account.value in device.logins
    login = shopper.account if known else None
    at += timedelta(seconds=rng.randint(1, 90))
    event = "Segment Consent Preference Updated"
    tape.online(shopper, at, event, {}, device=device, login=login)


def _usual_device(tape: Tape, shopper: Shopper) -> Device:
    # A choice made on a device never seen before would say nothing about what was seen.
    own = [one for one in shopper.devices if ("anonymous_id", one.anonymous_id) in tape.truth]
    login = shopper.account.value if shopper.account else None
    return max(own or shopper.devices, key=lambda one: login in one.logins)


def use_double(
    tape: Tape, rng: Random, shopper: Shopper, record: Record, device: Device, at: datetime
) -> None:
    """Live a little under the second record, on a device that the first was never seen on."""
    for visit in range(rng.randint(1, 3)):
        if record.namespace == "loyalty_id":
            tape.clerk(shopper, record, at, "Loyalty Card Used", {"points": rng.randint(5, 90)})
        elif record.namespace == "crm_id":
            call = {"reason": rng.choice(("advice", "return")), "channel": "phone"}
            tape.clerk(shopper, record, at, "Call Started", call)
        else:
            home = {"path": "/"}
            tape.online(shopper, at, "Home", home, device=device, type="page")
            at += timedelta(seconds=rng.randint(20, 400))
            if not visit:
                traits = dict(record.traits)
                tape.online(shopper, at, None, traits, device=device, login=record, type="identify")
            at += timedelta(seconds=rng.randint(20, 400))
            product = describe(rng)
            tape.online(shopper, at, "Product Viewed", product, device=device, login=record)
        at += timedelta(days=rng.uniform(1, 60))


def use_kiosk(tape: Tape, rng: Random, shopper: Shopper, kiosk: Device, at: datetime) -> None:
    """Look something up on the screen in a shop, where the last customer may be logged in."""
    tape.online(shopper, at, "Catalogue Viewed", {"category": "garden"}, device=kiosk)
    at += timedelta(seconds=rng.randint(15, 120))
    arrive(tape, rng, shopper, kiosk, at)
    at += timedelta(seconds=rng.randint(15, 120))
    login = shopper.account
    tape.online(shopper, at, "Product Viewed", describe(rng), device=kiosk, login=login)


def spoil(tape: Tape, rng: Random, shopper: Shopper, at: datetime) -> None:
    """Make a call the way broken integrations do: a placeholder where a person should be."""
    bad = rng.choice(GARBAGE_IDS)
    device, login = shopper.devices[-1], shopper.account
    dice = rng.random()
    if login and dice < 0.3:
        name = rng.choice(list(GARBAGE_TRAITS))
        traits = login.traits | {name: GARBAGE_TRAITS[name]}
        tape.online(shopper, at, None, traits, login=login, type="identify")
    elif login and dice < 0.55:
        broken = Device(bad, "web", shared=True)
        tape.online(shopper, at, "Product Viewed", describe(rng), device=broken, login=login)
    elif dice < 0.85:
        nobody = Record("user_id", bad, {})
        tape.online(shopper, at, "Product Viewed", describe(rng), device=device, login=nobody)
    elif shopper.card and dice < 0.95:
        # The till's default number, under which half the town collects points.
        till = replace(shopper.card, value="0")
        tape.clerk(shopper, till, at, "Loyalty Card Used", {"points": rng.randint(5, 90)})
    else:
        tape.garbage("web", at, bad, describe(rng))
