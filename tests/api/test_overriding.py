"""Who may lift what a browser opts out of everywhere: not whoever has the key of a page."""

from typing import Any

import pytest

from tests.api.site import Site
from tests.api.test_consent_signals import officer, site

__all__ = ["officer", "site"]
NOTICE = {"key": "gpc", "version": 1, "language": "en"}
OVER = {"purpose": "ads.share", "state": "given", "overrides_universal_opt_out": True}


@pytest.fixture
def opted_out(site: Site) -> Site:
    """A site whose visitor's browser sends Global Privacy Control."""
    made = {**NOTICE, "purposes": ["ads.share"], "body": "Your browser opts out. Allow us?"}
    assert site.server.post("/v1/notices", json=made, headers=site.officer).status_code == 201
    site.send(headers={"Sec-GPC": "1"})
    assert site.decide("ads.share")["reason"] == "refused"
    return site


def test_the_key_of_a_page_lifts_no_opt_out_of_a_name(opted_out: Site) -> None:
    answer = opted_out.say(decisions=[OVER], notice=NOTICE)
    assert answer.status_code == 403
    assert answer.json()["type"] == "/problems/write-key-not-enough"
    assert opted_out.decide("ads.share")["reason"] == "refused"
    told: Any = opted_out.decide("ads.share")["universal_opt_outs"]
    assert [one["kind"] for one in told] == ["opt_out"]


def test_the_key_of_a_page_lifts_the_opt_out_of_the_device_it_is_shown_on(opted_out: Site) -> None:
    device = {"namespace": "anonymous_id", "value": "device-of-a-visitor"}
    answer = opted_out.say(subject=device, decisions=[OVER], notice=NOTICE)
    assert answer.status_code == 200
