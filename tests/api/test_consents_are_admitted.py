"""What a page's key may record by `POST /v1/consents`: as much as events, and short evidence.

The records stay for ever, and the evidence stands in each.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from app.db import Sessions
from tests.api.site import OFFICER, Site, Token

Make = Callable[..., Site]
THREE = [{"purpose": one, "state": "given"} for one in ("ads.share", "ads.basic", "geo.precise")]


@pytest.fixture
def make(server: TestClient, sessions: Sessions, token: Token) -> Make:
    return lambda **settings: Site(server, sessions, token(*OFFICER), **settings)


def evidence(size: int) -> dict[str, Any]:
    """Evidence that has this many bytes as JSON."""
    return {"note": "é" * ((size - 12) // 2) + "x" * ((size - 12) % 2)}


def written(site: Site) -> int:
    with site.sessions() as session:
        return session.scalar(sa.text("SELECT count(*) FROM consent.record")) or 0


def test_decisions_are_counted_as_events_are_by_the_same_door(make: Make) -> None:
    site = make(events_per_second=0.001, burst=3)
    assert site.say(decisions=THREE).status_code == 200
    refused = site.say(decisions=THREE[:1])
    assert (refused.status_code, refused.json()["type"].rpartition("/")[2]) == (429, "rate-limited")
    assert int(refused.headers["retry-after"]) > 100
    event = {"type": "track", "event": "Seen", "userId": "u-1", "writeKey": site.key}
    assert site.server.post("/v1/track", json=event).status_code == 429, "they share what is left"
    assert written(site) == 3


def test_a_body_is_no_larger_than_the_source_may_send(make: Make) -> None:
    site = make(max_batch_bytes=1_024)
    refused = site.say(decisions=THREE, evidence=evidence(1_000))
    assert refused.status_code == 413
    assert written(site) == 0
    assert site.say(decisions=THREE).status_code == 200


@pytest.mark.parametrize("where", ["evidence", "proof"])
def test_evidence_is_short_whoever_sends_it(make: Make, token: Token, where: str) -> None:
    site = make()
    client = token("consents:write")

    def say(size: int, by: dict[str, str] | None) -> Any:
        told = evidence(size)
        more = {"evidence": told} if where == "evidence" else {
            "partner": {"name": "Partner SA", "proof": told}}  # fmt: skip
        return site.say(by, decisions=THREE[:1], **more)

    if where == "proof":
        assert say(4_096, None).status_code == 403, "no partner speaks by the key of a page"
    for by in (None, client) if where == "evidence" else (client, client):
        refused = say(4_097, by)
        assert refused.status_code == 422, refused.text
        assert "4096 bytes" in refused.text
        assert say(4_096, by).status_code == 200
    assert written(site) == 2


def test_evidence_never_keeps_the_records_of_its_person_from_being_listed(make: Make) -> None:
    site = make()
    for levels, status in ((31, 200), (32, 422), (900, 422)):
        nested: Any = []
        for _ in range(levels - 1):
            nested = [nested]
        said = site.say(decisions=THREE[:1], evidence={"a": nested})
        assert said.status_code == status, said.text
        assert len(site.records()) == 1
        assert site.records()[0]["evidence"]["a"]


def test_an_unknown_key_is_told_so_before_anything_is_read(make: Make) -> None:
    site = make()
    site.key = "wk_unknown"
    assert site.say(decisions=[]).status_code == 401


@pytest.mark.parametrize(
    ("pointer", "misspelt"),
    [
        ("#/effectiveAt", {"effectiveAt": "2026-01-01T00:00:00Z"}),
        ("#/evidences", {"evidences": {}}),
        ("#/decisions/0/overrides_opt_out",
         {"decisions": [{**THREE[0], "overrides_opt_out": True}]}),
        ("#/subject/type", {"subject": {"namespace": "user_id", "value": "u", "type": "x"}}),
        ("#/notice/lang", {"notice": {"key": "n", "version": 1, "lang": "fr"}}),
        ("#/partner/proofs", {"partner": {"name": "Partner SA", "proofs": {}}}),
    ],
)  # fmt: skip
def test_a_member_that_nobody_knows_is_not_left_out_of_a_record(
    make: Make, token: Token, pointer: str, misspelt: dict[str, Any]
) -> None:
    site = make()
    refused = site.say(token("consents:write"), **{"decisions": THREE[:1], **misspelt})
    assert refused.status_code == 422, refused.text
    assert {one["pointer"] for one in refused.json()["errors"]} == {pointer}
    assert written(site) == 0
    assert site.say(decisions=THREE[:1], evidence={"anything": [1]}).status_code == 200


def test_many_at_once_wait_for_each_other_and_stop_nothing_else(make: Make) -> None:
    site = make()
    with ThreadPoolExecutor(90) as pool:
        said = [pool.submit(site.say, decisions=THREE[:1]) for _ in range(90)]
        ready = site.server.get("/readyz")
    assert ready.elapsed.total_seconds() < 10
    assert {one.result().status_code for one in said} == {200}
    assert max(one.result().elapsed.total_seconds() for one in said) < 20


def test_each_error_of_a_body_is_told_once(make: Make) -> None:
    refused = make().say(decisions=[{"purpose": "ads.share", "state": "perhaps"}], wrong=1)
    assert refused.status_code == 422
    pointers = [error["pointer"] for error in refused.json()["errors"]]
    assert sorted(pointers) == ["#/decisions/0/state", "#/wrong"]


def test_a_body_of_very_many_errors_is_refused_at_once(make: Make) -> None:
    """A page's key may send it: 300,000 members that nobody knows took half an hour."""
    site = make()
    unknown: dict[str, Any] = {f"unknown-{n}": 1 for n in range(50_000)}
    begun = time.monotonic()
    refused = site.say(decisions=THREE, **unknown)
    assert time.monotonic() - begun < 10
    assert refused.status_code == 422
    told = refused.json()
    assert len(told["errors"]) == 100
    assert told["detail"].endswith("; only 100 errors are told")
    pointers = [one["pointer"] for one in told["errors"]]
    assert len(set(pointers)) == 100
