"""References of journeys are frozen, journeys are archived, and parts know their whole."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from api.routes.journeys import EXAMPLE
from app.db import Sessions
from app.errors import JourneyFrozen, JourneyNotFound
from app.journeys import catalogue, counting, due, following
from app.journeys.tables import JourneyDue
from app.settings import Settings
from tests.api.line import Line

Token = Callable[..., dict[str, str]]
KEY = str(EXAMPLE["key"])
FRAME: dict[str, Any] = {
    "objective": {"text": {"fr": "Plus de commandes"}, "kpi": "orders", "target": 0.2},
    "scope": {"use_case": "Orders"},
    "owner": "direction",
    "kpis": [{"id": "orders", "direction": "up"}],
}


@pytest.fixture
def editor(token: Token) -> dict[str, str]:
    """The header of a client that reads and writes journeys."""
    return token("journeys:read", "journeys:write", purposes=("analytics.audience",))


def saved(server: TestClient, editor: dict[str, str], **more: Any) -> Any:
    return server.post("/v1/journeys", json={**EXAMPLE, **more}, headers=editor)


def test_64_a_frozen_reference_refuses_changes_until_it_is_released(
    server: TestClient, editor: dict[str, str]
) -> None:
    assert saved(server, editor, **FRAME).status_code == 201
    url = f"/v1/journeys/{KEY}"
    frozen = server.put(f"{url}/reference", json={"version": 1, "by": "board"}, headers=editor)
    assert (frozen.status_code, frozen.json()["reference"]) == (200, 1)
    refused = saved(server, editor, **FRAME, name="another")
    assert (refused.status_code, refused.json()["code"]) == (409, "journey-frozen")
    assert "frozen by board" in refused.json()["detail"]
    # The same is no change; who is refused changed nothing.
    assert saved(server, editor, **FRAME).json()["version"] == 1
    assert server.get(f"{url}/versions", headers=editor).json()["data"][0]["version"] == 1
    assert server.delete(url, headers=editor).json()["code"] == "journey-frozen"
    assert server.get(f"{url}@reference", headers=editor).json()["version"] == 1
    [listed] = server.get("/v1/journeys", headers=editor).json()["data"]
    assert listed["reference"] == 1
    asked = {"journey": f"{KEY}@reference", "as_of": "2026-01-01T00:00:00Z"}
    named = server.post("/v1/analyses/matrix", json=asked, headers=editor)
    assert named.status_code == 200, named.text
    assert server.delete(f"{url}/reference", headers=editor).status_code == 204
    assert saved(server, editor, **FRAME, name="another").json()["version"] == 2
    assert server.get(f"{url}@reference", headers=editor).status_code == 404
    assert server.delete(f"{url}/reference", headers=editor).status_code == 404


@pytest.mark.parametrize("missing", list(FRAME))
def test_a_reference_has_what_frames_it(
    server: TestClient, editor: dict[str, str], missing: str
) -> None:
    frame = {name: value for name, value in FRAME.items() if name != missing}
    frame = {**frame, "objective": {"text": "More"}} if missing == "kpis" else frame
    saved(server, editor, **frame)
    body = {"version": 1, "by": "board"}
    answer = server.put(f"/v1/journeys/{KEY}/reference", json=body, headers=editor)
    assert (answer.status_code, answer.json()["code"]) == (422, "definition-invalid")
    assert missing in answer.json()["detail"]
    nowhere = {**body, "version": 9}
    answer = server.put(f"/v1/journeys/{KEY}/reference", json=nowhere, headers=editor)
    assert answer.status_code == 404


def test_an_archived_journey_is_not_listed_nor_followed_and_its_versions_stay(
    server: TestClient, editor: dict[str, str], sessions: Sessions, settings: Settings
) -> None:
    saved(server, editor)
    url, now = f"/v1/journeys/{KEY}", datetime.now(UTC)
    assert server.delete(url, headers=editor).status_code == 204
    assert server.delete(url, headers=editor).status_code == 404
    assert server.get(url, headers=editor).status_code == 404
    assert server.get("/v1/journeys", headers=editor).json()["data"] == []
    assert server.get(f"{url}@1", headers=editor).json()["version"] == 1
    asked = {"journey": f"{KEY}@1", "as_of": "2026-01-01T00:00:00Z"}
    assert server.post("/v1/analyses/matrix", json=asked, headers=editor).status_code == 200
    # Nobody is followed through it any more, and what waits ends without an error.
    assert counting.refresh(sessions, settings.lake_dir) == 0
    while following.advance(sessions, now=datetime.now(UTC)):
        pass
    with sessions.begin() as session:
        due.mark(session, [7], now=now)
        assert session.scalar(sa.select(sa.func.count()).select_from(JourneyDue)) == 0
    # The same map saved again takes it out, as the same version.
    assert saved(server, editor).json()["version"] == 1
    assert server.get(url, headers=editor).status_code == 200
    with sessions.begin() as session:
        assert catalogue.followed(session, KEY).target is not None
        due.mark(session, [7], now=now)
        assert session.scalar(sa.select(sa.func.count()).select_from(JourneyDue)) != 0


def test_a_part_names_a_whole_that_is_there_and_is_no_part_of_it(
    server: TestClient, editor: dict[str, str]
) -> None:
    def of(key: str, journey: str, stage: str | None = None) -> Any:
        parent = {"journey": journey, **({"stage": stage} if stage else {})}
        return saved(server, editor, key=key, parent=parent)

    lost = of("part", "macro")
    assert (lost.status_code, lost.json()["code"]) == (422, "definition-invalid")
    assert saved(server, editor, key="macro").status_code == 201
    assert of("part", "macro", "nowhere").status_code == 422
    assert of("part", "macro", "buy").status_code == 201
    assert of("grandchild", "part").status_code == 201
    assert of("macro", "grandchild").status_code == 422
    assert of("macro", "macro").status_code == 422


def test_a_whole_has_the_touchpoints_of_its_parts_at_its_own_stages(
    server: TestClient, editor: dict[str, str]
) -> None:
    def of(key: str, journey: str, stage: str, channel: str, place: str | None) -> Any:
        point = {"id": "seen", "stage": stage, "channel": channel, "match": {"event": key}}
        parent = {"journey": journey, **({"stage": place} if place else {})}
        return saved(server, editor, key=key, parent=parent, stages=[{"id": stage, "order": 1}],
                     channels=[channel], touchpoints=[point], target=None)  # fmt: skip

    saved(server, editor, key="macro")
    assert of("part", "macro", "basket", "kiosk", "buy").status_code == 201
    assert of("grandchild", "part", "basket", "web", None).status_code == 201
    url = "/v1/journeys/macro"
    plain, rolled = (server.get(url + at, headers=editor).json() for at in ("", "@whole"))
    assert plain["parts"] == rolled["parts"] == [{"journey": "part", "stage": "buy"}]
    own = [(one["id"], one["stage"], one["channel"]) for one in plain["touchpoints"]]
    found = [(one["id"], one["stage"], one["channel"]) for one in rolled["touchpoints"]]
    assert found == [*own, ("part.seen", "buy", "kiosk"), ("part.grandchild.seen", "buy", "web")]
    assert [one["id"] for one in rolled["channels"]] == ["web", "shop", "kiosk"]
    assert rolled["definition_hash"] != plain["definition_hash"]
    asked = {"journey": "macro@whole", "as_of": "2026-01-01T00:00:00Z"}
    answer = server.post("/v1/analyses/matrix", json=asked, headers=editor).json()
    cells = {(one["stage"], one["channel"]): one["planned"] for one in answer["result"]["cells"]}
    assert cells["buy", "kiosk"]
    # Parts that do not say where they are in the whole have to have its stages.
    assert of("lost", "macro", "elsewhere", "web", None).status_code == 201
    for refused in (
        server.get(url + "@whole", headers=editor),
        server.post("/v1/analyses/matrix", json=asked, headers=editor),
    ):
        assert (refused.status_code, refused.json()["code"]) == (422, "definition-invalid")
    assert server.delete("/v1/journeys/lost", headers=editor).status_code == 204
    assert server.get(url + "@whole", headers=editor).status_code == 200
    assert server.get("/v1/journeys/nobody@whole", headers=editor).status_code == 404


def test_a_journey_is_frozen_released_and_archived_by_command(
    server: TestClient, editor: dict[str, str], tmp_path: Path, database_url: str
) -> None:
    line = Line("journey", tmp_path, database_url)
    saved(server, editor, **FRAME)
    line("freeze", KEY, "1", "--by", "board")
    assert saved(server, editor, **FRAME, name="another").json()["code"] == "journey-frozen"
    with pytest.raises(JourneyFrozen):
        line("archive", KEY)
    line("release", KEY)
    with pytest.raises(JourneyNotFound):
        line("release", KEY)
    line("archive", KEY)
    assert server.get(f"/v1/journeys/{KEY}", headers=editor).status_code == 404
    with pytest.raises(JourneyNotFound):
        line("archive", KEY)
