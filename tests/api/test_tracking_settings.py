"""What a browser SDK is told before it starts; wrong, it never starts or delivers elsewhere."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.main import create_app
from app.access import sources
from app.db import Sessions
from app.settings import Settings


def settings_of(server: TestClient, key: str, **request: Any) -> Any:
    answer = server.get(f"/v1/projects/{key}/settings", **request)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_settings_lead_the_sdk_to_this_server_and_to_no_other(
    server: TestClient, write_key: str
) -> None:
    answer = server.get(f"/v1/projects/{write_key}/settings", headers={"Origin": "https://a.test"})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cache-control"] == "public, max-age=300"
    told = answer.json()
    assert list(told["integrations"]) == ["Segment.io"]
    destination = told["integrations"]["Segment.io"]
    assert destination["apiHost"] == "parcours.test/v1"
    assert destination["protocol"] == "https"
    assert destination["apiKey"] == write_key
    assert told["metrics"] == {"sampleRate": 0}
    assert told["plan"]["track"]["__default"]["enabled"] is True
    assert told["remotePlugins"] == []
    assert "consentSettings" not in told


def test_an_unknown_key_is_not_found_and_the_answer_is_not_kept(server: TestClient) -> None:
    answer = server.get("/v1/projects/wk_wrong/settings", headers={"Origin": "https://a.test"})
    assert (answer.status_code, answer.json()["code"]) == (404, "source-not-found")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "cache-control" not in answer.headers
    assert "wk_wrong" not in answer.json()["message"]


@pytest.mark.parametrize(
    ("purpose", "starts"), [("service.operation", True), ("analytics.audience", False)]
)
def test_consent_categories_of_the_source_are_told_with_whether_the_sdk_starts_without_any(
    server: TestClient, sessions: Sessions, purpose: str, starts: bool
) -> None:
    with sessions.begin() as session:
        _, key = sources.add(
            session,
            "wrapped",
            collection_purpose=purpose,
            categories={"C0004": ["ads.share"], "C0002": ["analytics.audience"]},
        )
    assert settings_of(server, key)["consentSettings"] == {
        "allCategories": ["C0002", "C0004"],
        "hasUnmappedDestinations": starts,
    }


def test_a_server_whose_address_nobody_set_leads_to_the_one_that_was_asked_for(
    settings: Settings, sessions: Sessions, write_key: str
) -> None:
    unset = settings.model_copy(update={"public_url_from_host": True})
    with TestClient(
        create_app(unset, sessions), base_url="http://cdp.example:8443", client=("127.0.0.1", 1)
    ) as server:

        def told(**headers: str) -> tuple[str, str]:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            found = settings_of(server, write_key, headers=named)["integrations"]["Segment.io"]
            return found["protocol"], found["apiHost"]

        assert told() == ("http", "cdp.example:8443/v1")
        assert told(host="[::1]:8000") == ("http", "[::1]:8000/v1")
        assert told(host='evil"/x') == ("https", "parcours.test/v1")
        forwarded = {"X_Forwarded_Host": "www.example, inner", "X_Forwarded_Proto": "https"}
        assert told(**forwarded) == ("https", "www.example/v1")
    with TestClient(create_app(unset, sessions), client=("203.0.113.9", 1)) as server:
        assert told(**forwarded) == ("http", "testserver/v1")


def test_a_fixed_address_with_a_path_is_told_whatever_host_was_asked_for(
    settings: Settings, sessions: Sessions, write_key: str
) -> None:
    fixed = settings.model_copy(update={"public_url": "https://shop.example/cdp/"})
    with TestClient(create_app(fixed, sessions), base_url="http://evil.example") as server:
        destination = settings_of(server, write_key)["integrations"]["Segment.io"]
    assert destination["apiHost"] == "shop.example/cdp/v1"


def test_customer_io_finds_itself_under_its_own_name(server: TestClient, write_key: str) -> None:
    told = server.get(f"/customerio/v1/projects/{write_key}/settings").json()
    assert list(told["integrations"]) == ["Customer.io Data Pipelines"]
    assert told["integrations"]["Customer.io Data Pipelines"]["apiHost"] == "parcours.test/v1"


@pytest.mark.parametrize("path", ["/sourceConfig", "/sourceConfig/"])
def test_rudderstack_is_told_of_a_source_without_destinations(
    server: TestClient, write_key: str, path: str
) -> None:
    by_header = server.get(path, params={"p": "npm", "v": "3"}, auth=(write_key, ""))
    by_query = server.get(path, params={"writeKey": write_key}, headers={"Origin": "https://a"})
    for answer in (by_header, by_query):
        assert answer.status_code == 200
        source = answer.json()["source"]
        assert (source["writeKey"], source["enabled"]) == (write_key, True)
        assert source["destinations"] == []
        assert source["config"]["statsCollection"]["metrics"] == {"enabled": False}
    assert by_query.headers["access-control-allow-origin"] == "*"
    wrong = server.get(path, params={"writeKey": "wk_wrong"})
    assert (wrong.status_code, wrong.json()["code"]) == (401, "unknown-write-key")
