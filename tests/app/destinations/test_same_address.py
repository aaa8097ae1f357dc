"""Two people whom a receiver cannot tell apart: neither takes the other's record for ever."""

import httpx
import pytest

from app.destinations.deciding import TAKEN
from app.destinations.deliver import deliver
from tests.app.destinations.crm_server import serving
from tests.app.destinations.test_crms import APIS, FIELDS, PROS
from tests.app.destinations.world import World


@pytest.mark.parametrize("kind", ["hubspot", "brevo", "mautic"])
def test_a_record_that_two_people_share_is_held_for_one_of_them(people: World, kind: str) -> None:
    """Both tell the same address, as a trait: it is what the receiver knows them by."""
    with serving(APIS[kind]()) as crm, httpx.Client(timeout=5) as client:
        people.people("ada", "bob", plan="pro", desk="desk@shop.example")
        people.segment("pros", PROS)
        email, first, *_ = FIELDS[kind]
        number = people.destination(
            kind=kind, settings={"url": crm.url}, secrets=crm.secrets, segments=["pros"], rate=1000,
            mapping={email: {"trait": "desk"}, first: {"identifier": "user_id"}},
        )["id"]  # fmt: skip

        def sent() -> int:
            people.work()
            tried = 0
            while deliver(people.sessions, client):
                tried += 1
                assert tried < 20, "without end"
            return tried

        assert sent()
        [held] = [one["firstname"] if kind != "brevo" else one["FIRSTNAME"]
                  for one in crm.contacts.values()]  # fmt: skip
        other = {"ada": "bob", "bob": "ada"}[held]
        [failed] = people.outcomes(number, state="failed")
        assert failed[2] == TAKEN
        people.identify(held, plan="free")
        sent()
        [now] = crm.holds()
        assert now["firstname"] == other, "it is free for the other one, and nobody has to ask"
        people.identify(held, plan="pro", desk="own@shop.example")
        sent()
        assert sorted(one["firstname"] for one in crm.holds()) == ["ada", "bob"]
