"""A year of an omnichannel retailer, invented from a seed, with the truth about who is who.

The truth lets anyone measure identity resolution on the demo: it names the person behind each
identifier that acts on events. E-mail addresses and telephone numbers are traits and describe a
person without acting; identifiers that several people share, and placeholders, belong to nobody.
"""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from api.demo.behaviour import (
    PAGES,
    Call,
    Tape,
    change_mind,
    read_mail,
    spoil,
    use_double,
    use_kiosk,
)
from api.demo.journey import Trip, travel
from api.demo.people import families
from api.demo.shoppers import Registers, Shopper

__all__ = ["Call", "Demo", "generate"]

YEAR = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Demo:
    """The calls of the year in order of time, and the person behind each acting identifier."""

    calls: list[Call]
    truth: dict[tuple[str, str], str]


def generate(*, people: int = 5000, seed: int = 7, end: datetime) -> Demo:
    """Invent the year before `end`: the same arguments give the same calls, ids included."""
    if end.tzinfo is None:
        raise ValueError("end needs a time zone, or the year would depend on the machine's")
    end = end.astimezone(UTC).replace(microsecond=0)
    rng = random.Random(seed)  # noqa: S311 - invented people, nothing to keep secret
    # Two different demos in one database must not pass for repeats of each other's calls.
    run = sha256(f"{people} {seed} {end.isoformat()}".encode()).hexdigest()[:8]
    tape = Tape(end, prefix=f"demo-{run}")
    registers = Registers(rng, end - YEAR)
    shoppers = [
        shopper for family in families(rng, people, end) for shopper in registers.admit(family)
    ]
    newsletters = [end - YEAR + timedelta(days=30 * month + 9, hours=8) for month in range(12)]
    for shopper in shoppers:
        _live(tape, rng, shopper)
        read_mail(tape, rng, shopper, newsletters)
        change_mind(tape, rng, shopper)
        if shopper.double:
            device = registers.device("web")
            use_double(tape, rng, shopper, shopper.double, device, registers.moment(300))
    _crowd(tape, rng, registers, shoppers)
    tape.calls.sort(key=lambda call: call.timestamp)  # stable: a login stays before what follows
    return Demo(tape.calls, tape.truth)


def _live(tape: Tape, rng: random.Random, shopper: Shopper) -> None:
    for number, at in enumerate(shopper.trips):
        # The first trip goes through the family's device, so each who shares it is seen there.
        device = shopper.devices[0] if shopper.devices and not number else None
        if shopper.devices and number:
            device = rng.choice(shopper.devices)
        trip = Trip(tape, rng, shopper, at, device)
        account = shopper.account
        if device and account and account.value in device.logins and not device.shared:
            trip.login = account if trip.chance(0.3) else None  # still logged in since last time
        if not number:
            # Looking round unknown, then opening the account: the past of the device joins it.
            for page in ("Home", *rng.sample(PAGES, k=rng.randint(1, 3))):
                trip.looks(page)
            trip.logs_in()
        travel(trip)


def _crowd(tape: Tape, rng: random.Random, registers: Registers, shoppers: list[Shopper]) -> None:
    online = [shopper for shopper in shoppers if shopper.devices]
    with_account = [shopper for shopper in shoppers if shopper.account]
    if not with_account:
        return  # a handful of people may leave the kiosks and the broken integrations idle
    for _ in range(max(1, len(shoppers) // 1000)):
        kiosk = registers.device("web", shared=True)
        for shopper in rng.sample(with_account, k=min(len(with_account), rng.randint(30, 80))):
            use_kiosk(tape, rng, shopper, kiosk, registers.moment())
    for shopper in rng.choices(online, k=len(shoppers) * 7 // 100):
        spoil(tape, rng, shopper, registers.moment())
