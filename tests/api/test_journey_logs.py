"""Journeys as event logs: what comes in again gives the same funnel, and of whom it is allowed."""

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from typer.testing import CliRunner

import consent
from api.cli.root import app as command_line
from app import pipeline
from app.access import sources
from app.db import Sessions
from app.imports import load
from app.imports.messages import journeys
from app.settings import Settings
from consent import Purpose

PURPOSE, MEASURE = "analytics.audience", "measure.only"
X = "{http://www.xes-standard.org/}"
SEEN, BOUGHT = 'Viewed "<b>"\n\t é 🎉', "Ordered"
JOURNEY = {
    "key": "shop", "name": "Shop",
    "stages": [{"id": "look", "order": 1}, {"id": "buy", "order": 2}],
    "channels": ["web"],
    "touchpoints": [
        {"id": "page", "stage": "look", "channel": "web", "match": {"event": SEEN}},
        {"id": "order", "stage": "buy", "channel": "web", "match": {"event": BOUGHT}},
    ],
}  # fmt: skip
STEPS = [{"event": SEEN}, {"event": BOUGHT}]
PAST = datetime.now(UTC).replace(microsecond=123_457) - timedelta(days=20)


@pytest.fixture
def header(server: TestClient, sessions: Sessions, token: Any, write_key: str) -> dict[str, str]:
    """Five visitors; at one time some see first and then buy, some the other way round."""
    with sessions.begin() as session:
        consent.catalogue.add_purpose(
            session, Purpose(MEASURE, lawful_basis="contract", linkable=False)
        )
    header: dict[str, str] = token(purposes=(PURPOSE, MEASURE))
    server.post("/v1/journeys", json=JOURNEY, headers=header).raise_for_status()
    ways = ([SEEN, BOUGHT], [BOUGHT, SEEN], [SEEN], [SEEN, "elsewhere", BOUGHT], [SEEN, BOUGHT])
    for n, names in enumerate(ways):
        says = {consent.LINK: True, PURPOSE: n != 4}
        for place, name in enumerate(names):
            event: dict[str, Any] = {
                "event": name, "userId": f"u-{n}", "writeKey": write_key, "sourceSeq": place,
                "timestamp": (PAST + timedelta(days=n)).isoformat(),
                "properties": {"email": "someone@example.org"},
                "context": {"consent": {"categoryPreferences": says}},
            }  # fmt: skip
            server.post("/v1/track", json=event).raise_for_status()
    follow(sessions)
    return header


def follow(sessions: Sessions) -> None:
    """Take in all that was sent."""
    idle = False
    while not idle:
        with sessions.begin() as session:
            idle = pipeline.step(session).idle


def funnel(server: TestClient, header: dict[str, str], source: str) -> list[int]:
    asked = {"steps": STEPS, "universe": {"source": source}}
    answer = server.post("/v1/analyses/funnel", json=asked, headers=header)
    assert answer.status_code == 200, answer.text
    return [step["n"] for step in answer.json()["result"]["steps"]]


def children(node: ElementTree.Element) -> list[str]:
    return [one.tag.removeprefix(X) for one in node]


def test_a_log_that_comes_in_again_gives_the_same_funnel(
    server: TestClient, header: dict[str, str], sessions: Sessions, tmp_path: Path
) -> None:
    answer = server.get("/v1/journeys/shop/log.xes", headers=header)
    assert answer.headers["content-type"] == "application/xml"
    assert answer.headers["content-disposition"] == 'attachment; filename="shop-1.xes"'
    # The order of the standard's schema (IEEE 1849-2016): extensions, globals, classifiers,
    # attributes, traces; in a trace, its attributes before its events.
    root = ElementTree.fromstring(answer.content)  # noqa: S314 - a text of our own
    assert (root.tag, root.get("xes.version")) == (f"{X}log", "1849-2016")
    assert children(root) == [
        *["extension"] * 3, *["global"] * 2, *["classifier"] * 2, "string", "string", "date",
        *["trace"] * 4,
    ]  # fmt: skip
    prefixes = {one.get("prefix") for one in root.iter(f"{X}extension")}
    for trace in root.iter(f"{X}trace"):
        assert children(trace)[0] == "string"
        assert set(children(trace)[1:]) == {"event"}
        for one in trace.iter(f"{X}event"):
            keys = [part.get("key", "") for part in one]
            assert len(keys) == len(set(keys)) == 7
            assert {key.split(":")[0] for key in keys if ":" in key} <= prefixes
    assert b"example.org" not in answer.content, "what events say beside is not in a log"
    assert b"elsewhere" not in answer.content, "nor what is at no touchpoint"
    file = tmp_path / "again.xes"
    file.write_bytes(answer.content)
    with sessions.begin() as session:
        source = sources.settings_of(sources.add(session, "again")[0])
    said = journeys(file, namespace="case_id")
    report = load.load(sessions, source, said, consents=[PURPOSE], evidence="it was exported")
    assert (report.accepted, sum(report.rejected.values())) == (7, 0)
    follow(sessions)
    assert funnel(server, header, "again") == funnel(server, header, "web") == [4, 2]
    with sessions() as session:
        times = "SELECT array_agg(occurred_at ORDER BY occurred_at) FROM app.event e JOIN app.source s ON s.id = e.source_id WHERE s.name = :name AND e.name <> 'elsewhere' AND occurred_at < :last"  # noqa: E501 - one question
        last = PAST + timedelta(days=3, hours=12)
        web, again = (session.scalar(sa.text(times), {"name": n, "last": last})
                      for n in ("web", "again"))  # fmt: skip
    assert web == again, "to the microsecond"


def test_cases_are_numbers_unless_profiles_may_be_read(
    server: TestClient, header: dict[str, str], token: Any
) -> None:
    url = "/v1/journeys/shop/log.xes.gz"
    counting = token("journeys:read", purposes=(PURPOSE,))

    def cases(answer: Any) -> list[str | None]:
        root = ElementTree.fromstring(gzip.decompress(answer.content))  # noqa: S314 - our own
        return [trace[0].get("value") for trace in root.iter(f"{X}trace")]

    assert cases(server.get(url, headers=counting)) == ["1", "2", "3", "4"]
    refused = server.get(f"{url}?cases=profiles", headers=counting)
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient-scope")
    named = cases(server.get(f"{url}?cases=profiles", headers=header))
    shown = [
        server.get(f"/v1/profiles/user_id:u-{n}?purpose={PURPOSE}", headers=header).json()
        for n in range(4)
    ]
    assert named == [one["profile_id"] for one in shown]
    # As of before the third came; for a purpose for which nobody may be named; for another's.
    then = (PAST + timedelta(days=1)).isoformat().replace("+00:00", "Z")
    before = cases(server.get(url, params={"as_of": then}, headers=counting))
    assert before == [], "nothing of it had come in then"
    measured = {"purpose": MEASURE}
    assert len(cases(server.get(url, params=measured, headers=header))) == 5
    assert cases(server.get(url, params={**measured, "cases": "profiles"}, headers=header)) == []
    assert server.get(url, params=measured, headers=counting).status_code == 403
    assert server.get("/v1/journeys/none/log.xes", headers=header).status_code == 404
    naive = server.get(url, params={"as_of": "2026-01-01T00:00:00"}, headers=header)
    assert naive.status_code == 422


def test_the_command_writes_the_same_log(
    server: TestClient, header: dict[str, str], settings: Settings, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("PARCOURS_DATABASE_URL", settings.database_url or "")
    for name in ("a.xes", "b.xes.gz"):
        out = tmp_path / name
        command = ["journey", "export", "shop", "--out", str(out), "--data-dir", str(tmp_path)]
        run = CliRunner().invoke(command_line, command)
        assert run.exit_code == 0, run.output
        written = out.read_bytes()
        text = gzip.decompress(written) if name.endswith(".gz") else written
        said = server.get("/v1/journeys/shop/log.xes", headers=header).content
        assert text.count(b"<event>") == said.count(b"<event>") == 7
        assert text[text.index(b"<trace>") :] == said[said.index(b"<trace>") :]
