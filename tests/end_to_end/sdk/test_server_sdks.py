"""The published Python and Node SDKs against a running server: what they send is stored once."""

import time
from contextlib import ExitStack
from functools import partial

import pytest

from tests.end_to_end.product import Product, wait_until
from tests.end_to_end.sdk import scenario
from tests.end_to_end.sdk.proxy import FAULTS, Proxy, faulty
from tests.end_to_end.sdk.rows import SERVER, Sdk
from tests.end_to_end.sdk.scenario import Driven, Run

# The browser's SDKs are among the everyday tests.
pytestmark = pytest.mark.long

RETRYING = [sdk for sdk in SERVER if sdk.retries]
SERVICE = {"purpose": "service.operation"}
#: Calls made while the server is dead.
MORE = 12


@pytest.fixture(scope="module")
def delivered(product: Product) -> dict[str, Run]:
    """One run of each SDK: every kind of call; then, of those that retry, more to a dead server.

    The server is killed when all has arrived, and each SDK sends to nobody until it is back.
    """
    runs = scenario.prepare(product, SERVER, "all")
    for run in runs:
        calls = scenario.everything(run)
        more = scenario.burst(run, MORE) if run.sdk.retries else []
        run.calls, run.hold = scenario.numbered([*calls, *more]), len(calls)
    for sdk in SERVER:
        scenario.installed(sdk)
    with Driven(runs) as driven:
        for run in runs:
            held = partial(_stored_all_until_hold, product, run)
            wait_until(held, 120, what=f"{run.sdk.name} has delivered; {run.error}")
        product.kill()
        driven.go_on()
        time.sleep(0.3)
        product.restart()
    return {run.sdk.name: run for run in runs}


def _stored_all_until_hold(product: Product, run: Run) -> bool:
    return len(scenario.stored(product, run)) >= run.hold


@pytest.fixture(scope="module")
def through_faults(product: Product) -> dict[str, tuple[Run, Proxy]]:
    """One run of each SDK that retries, through a proxy that fails four times."""
    runs = scenario.prepare(product, RETRYING, "faults")
    with ExitStack() as stack:
        proxies = [stack.enter_context(faulty(product.port)) for _ in runs]
        for run, proxy in zip(runs, proxies, strict=True):
            run.calls = scenario.numbered(scenario.burst(run, MORE))
            run.host = proxy.url
        with Driven(runs):
            pass
    return {run.sdk.name: (run, p) for run, p in zip(runs, proxies, strict=True)}


@pytest.mark.parametrize("sdk", SERVER, ids=str)
def test_an_sdk_delivers_every_kind_of_call_once_and_as_it_was_sent_even_to_a_server_killed_between(
    product: Product, delivered: dict[str, Run], sdk: Sdk
) -> None:
    run = delivered[sdk.name]
    scenario.assert_delivered(run, scenario.stored(product, run))


@pytest.mark.parametrize("sdk", RETRYING, ids=str)
def test_an_sdk_that_meets_503_429_500_after_storing_and_a_reset_loses_and_doubles_nothing(
    product: Product, through_faults: dict[str, tuple[Run, Proxy]], sdk: Sdk
) -> None:
    run, proxy = through_faults[sdk.name]
    assert proxy.met == list(FAULTS)
    scenario.assert_delivered(run, scenario.stored(product, run))


def test_a_person_and_their_device_are_one_whichever_sdk_told_it(
    product: Product, delivered: dict[str, Run]
) -> None:
    client = product.add_client()

    def profile(reference: str) -> str | None:
        answer = client.get(f"/v1/profiles/{reference}", params=SERVICE)
        return str(answer.json()["profile_id"]) if answer.status_code == 200 else None

    for run in delivered.values():
        user, device = f"user_id:{run.person}", f"anonymous_id:{run.device}"
        found = wait_until(partial(profile, user), 20, what=run.sdk.name)
        if not run.sdk.keeps_person:
            assert profile(device) == found, run.sdk.name
        events = client.get(f"/v1/profiles/{user}/events", params={**SERVICE, "limit": "1000"})
        assert len(events.json()["data"]) == len(run.calls), run.sdk.name
