"""The journey of a customer, stage by stage, with the people who leave it at each of them."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

from api.demo.behaviour import CAMPAIGNS, PAGES, Tape, arrive, describe
from api.demo.shoppers import Device, Record, Shopper

MINUTE, HOUR, DAY = 1 / 1440, 1 / 24, 1.0


@dataclass(slots=True)
class Trip:
    """One journey under way: who, where, when, and what is in the basket."""

    tape: Tape
    rng: Random
    shopper: Shopper
    at: datetime
    device: Device | None
    login: Record | None = None
    basket: list[dict[str, Any]] = field(default_factory=list)
    order_id: str = ""
    in_person: bool = False

    def chance(self, share: float) -> bool:
        """Whether something that happens to this share of journeys happens to this one."""
        return self.rng.random() < share

    def wait(self, least: float, most: float) -> None:
        """Let time pass, in days."""
        self.at += timedelta(milliseconds=int(self.rng.uniform(least, most) * 86_400_000))

    def does(self, event: str, **properties: Any) -> None:
        """Do something on the device, and take a moment over it."""
        if self.device is None:
            return
        tape, shopper = self.tape, self.shopper
        tape.online(shopper, self.at, event, properties, device=self.device, login=self.login)
        self.wait(0.2 * MINUTE, 3 * MINUTE)

    def looks(self, name: str) -> None:
        """Open a page of the site, or a screen of the app."""
        if self.device is None:
            return
        self.tape.online(
            self.shopper,
            self.at,
            name,
            {"path": f"/{name.lower()}"},
            device=self.device,
            login=self.login,
            type="page" if self.device.source == "web" else "screen",
        )
        self.wait(0.2 * MINUTE, 2 * MINUTE)

    def logs_in(self) -> None:
        """Log in, unless it has been done or there is no account to log in to."""
        if self.device is None or self.login or self.shopper.account is None:
            return
        arrive(self.tape, self.rng, self.shopper, self.device, self.at)
        self.login = self.shopper.account
        self.wait(0.1 * MINUTE, MINUTE)

    def hears(self, event: str, **properties: Any) -> None:
        """Have something happen to the order in the warehouse, away from any device."""
        tape, shopper = self.tape, self.shopper
        device = None if self.login else self.device
        if not self.in_person and (device or self.login):
            tape.online(shopper, self.at, event, properties, device=device, login=self.login)
        else:
            self.meets(shopper.card or shopper.file, event, **properties)

    def meets(self, record: Record | None, event: str, **properties: Any) -> None:
        """Deal with a clerk, who finds or opens the record; nothing happens without one."""
        if record:
            self.tape.clerk(self.shopper, record, self.at, event, properties)
            self.wait(5 * MINUTE, 40 * MINUTE)


def travel(trip: Trip) -> None:
    """Go through the stages for as long as the person keeps going."""
    for stage in (discover, consider, buy, receive, support, loyal):
        if not stage(trip):
            return


def discover(trip: Trip) -> bool:
    """Come across the shop: an advertisement, some pages, the catalogue."""
    if trip.device is None:
        return True  # walks in or telephones
    if trip.chance(0.4):
        campaign, medium = trip.rng.choice(CAMPAIGNS)
        trip.does("Campaign Clicked", campaign=campaign, medium=medium)
    for _ in range(trip.rng.randint(1, 4)):
        trip.looks(trip.rng.choice(PAGES))
    if trip.chance(0.7):
        trip.does("Catalogue Viewed", category=describe(trip.rng)["category"])
    return trip.chance(0.72)


def consider(trip: Trip) -> bool:
    """Weigh it up: products, searches, advice on the telephone or in a shop."""
    for look in range(trip.rng.randint(2, 6)):
        trip.does("Product Viewed", **describe(trip.rng))
        if look == 0 and trip.chance(0.5):
            trip.does("Products Searched", query=describe(trip.rng)["name"].lower())
        if look == 1 and trip.chance(0.4):
            trip.logs_in()
    if trip.chance(0.12) or not (trip.device or trip.shopper.card):
        trip.wait(HOUR, 2 * DAY)
        _call(trip, "advice")
    if trip.chance(0.2) or trip.device is None:
        trip.wait(HOUR, 3 * DAY)
        trip.meets(trip.shopper.card, "Shop Visited", shop=trip.shopper.person.home.city)
    return trip.chance(0.52)


def buy(trip: Trip) -> bool:
    """Pay at the till, over the telephone, or at the end of the online checkout."""
    trip.wait(HOUR / 2, 3 * DAY)
    trip.basket = [describe(trip.rng) for _ in range(trip.rng.choices((1, 2, 3), (60, 28, 12))[0])]
    if trip.device is None or (trip.shopper.card and trip.chance(0.35)):
        return _buy_in_person(trip)
    for product in trip.basket:
        trip.does("Product Added", **product, quantity=1)
    if trip.chance(0.3):
        return False
    trip.logs_in()
    trip.does("Checkout Started", value=_value(trip), currency="EUR")
    if trip.chance(0.18):
        return False
    if trip.chance(0.1):
        trip.does("Payment Failed", reason=trip.rng.choice(("declined", "expired", "3ds")))
        if trip.chance(0.4):
            return False
    trip.does("Order Completed", **_order(trip, "web"))
    return True


def receive(trip: Trip) -> bool:
    """Wait for the parcel, or fetch the order from a shop."""
    if trip.in_person:
        return True
    order = {"order_id": trip.order_id}
    trip.wait(4 * HOUR, 2 * DAY)
    if trip.shopper.card and trip.chance(0.3):
        trip.meets(trip.shopper.card, "Order Picked Up", **order, channel="shop")
        return True
    trip.hears("Order Shipped", **order, carrier=trip.rng.choice(("Colissimo", "DPD", "UPS")))
    if trip.chance(0.14):
        trip.wait(5 * DAY, 9 * DAY)
        _call(trip, "late delivery")
    trip.wait(DAY, 4 * DAY)
    trip.hears("Order Delivered", **order)
    return True


def support(trip: Trip) -> bool:
    """Send something back, which half of the people do not forgive."""
    if not trip.chance(0.12):
        return True
    trip.wait(DAY, 10 * DAY)
    _call(trip, "return")
    refund = trip.rng.choice(trip.basket)["price"]
    trip.hears("Order Returned", order_id=trip.order_id, refund=refund, currency="EUR")
    return trip.chance(0.5)


def loyal(trip: Trip) -> bool:
    """Speak well of it, and come back for more."""
    trip.wait(3 * DAY, 15 * DAY)
    if trip.chance(0.25):
        stars = trip.rng.choices((1, 2, 3, 4, 5), (5, 6, 14, 35, 40))[0]
        trip.does("Review Submitted", product_id=trip.basket[0]["product_id"], rating=stars)
    if not trip.chance(0.3):
        return False
    trip.wait(10 * DAY, 60 * DAY)
    trip.basket = [describe(trip.rng)]
    if trip.device is None:
        return _buy_in_person(trip)
    trip.does("Product Viewed", **trip.basket[0])
    trip.does("Order Completed", **_order(trip, "web"))
    return True


def _buy_in_person(trip: Trip) -> bool:
    trip.in_person = True
    card, file = trip.shopper.card, trip.shopper.file
    if card:
        trip.meets(card, "Loyalty Card Used", points=int(_value(trip)))
        trip.meets(card, "Order Completed", **_order(trip, "shop"))
    else:
        trip.meets(file, "Order Completed", **_order(trip, "phone"))
    return True


def _call(trip: Trip, reason: str) -> None:
    file = trip.shopper.file
    waited = int(trip.rng.expovariate(1 / 180))
    trip.meets(file, "Call Started", reason=reason, channel="phone", wait_seconds=waited)
    if file and trip.chance(0.8):
        trip.wait(HOUR, 2 * DAY)
        score = trip.rng.choices((1, 2, 3, 4, 5), (12, 13, 20, 30, 25))[0]
        trip.meets(file, "Ticket Closed", reason=reason, satisfaction=score)


def _value(trip: Trip) -> float:
    return round(float(sum(product["price"] for product in trip.basket)), 2)


def _order(trip: Trip, channel: str) -> dict[str, Any]:
    trip.order_id = trip.tape.order_id()
    return {
        "order_id": trip.order_id,
        "revenue": _value(trip),
        "currency": "EUR",
        "channel": channel,
        "products": [product | {"quantity": 1} for product in trip.basket],
    }
