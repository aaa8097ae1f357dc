"""Analyses over HTTP and by command: who may ask, who may see names, what is drawn."""

import csv
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import openpyxl
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from typer.testing import CliRunner

import consent
from api.cli.root import app as command_line
from app import pipeline
from app.consents.permission import permissions
from app.db import Sessions
from app.journeys import analyses, pictures, vega
from app.journeys.kinds import KINDS
from app.settings import Settings
from consent import Purpose

PURPOSE, MEASURE = "analytics.audience", "measure.only"
JOURNEY = {
    "key": "shop", "name": "Shop",
    "stages": [{"id": "look", "order": 1}, {"id": "buy", "order": 2}],
    "channels": [{"id": "web"}, {"id": "till", "family": "face to face"}],
    "touchpoints": [
        {"id": "page", "stage": "look", "channel": "web", "match": {"event": "Viewed <b>"}},
        {"id": "order", "stage": "buy", "channel": "till", "match": {"event": "Ordered"}},
    ],
    "target": {"nodes": ["page", "order"],
               "edges": [{"from": "page", "to": "order", "max_delay": "PT0.000001S"}]},
}  # fmt: skip
LINKED = {consent.LINK: True}
TODAY = datetime.now(UTC).date()
MONDAY = TODAY - timedelta(days=TODAY.weekday())
ORDERED = {"event": "Ordered"}
FUNNEL: dict[str, Any] = {"steps": [{"event": "Viewed <b>"}, {"event": "Ordered"}]}
RATED = {"instrument": "nps", "match": {"event": "Rated"}}
COMPARE: dict[str, Any] = {
    "entry": {"event": "Viewed <b>"},
    "variants": [{"name": "all", "entry": {"type": "track"}}, {"name": "<none>", "rest": True}],
    "outcomes": [{"name": "ordered", "match": {"event": "Ordered"}}],
}


@pytest.fixture
def header(server: TestClient, sessions: Sessions, token: Any, write_key: str) -> dict[str, str]:
    """A client, and three visitors of whom one buys; one has refused."""
    with sessions.begin() as session:
        consent.catalogue.add_purpose(
            session, Purpose(MEASURE, lawful_basis="contract", linkable=False)
        )
    header: dict[str, str] = token(purposes=(PURPOSE, MEASURE))
    server.post("/v1/journeys", json=JOURNEY, headers=header).raise_for_status()
    for n, (says, names) in enumerate(
        [(True, ["Viewed <b>", "Ordered"]), (True, ["Viewed <b>"]), (False, ["Viewed <b>"])]
    ):
        for name in names:
            event: dict[str, Any] = {
                "event": name, "userId": f"u-{n}", "anonymousId": f"d-{n}", "writeKey": write_key,
                "context": {"consent": {"categoryPreferences": {**LINKED, PURPOSE: says}}},
            }  # fmt: skip
            server.post("/v1/track", json=event).raise_for_status()
    # An order of the second visitor that says it happens in three days.
    ahead = (datetime.now(UTC) + timedelta(days=3)).isoformat()
    event = {"event": "Ordered", "userId": "u-1", "timestamp": ahead, "writeKey": write_key}
    server.post("/v1/track", json=event).raise_for_status()
    follow(sessions)
    return header


def follow(sessions: Sessions) -> None:
    """Take in all that was sent."""
    idle = False
    while not idle:
        with sessions.begin() as session:
            idle = pipeline.step(session).idle


def test_every_answer_has_the_envelope_and_opens_to_its_people(
    server: TestClient, header: dict[str, str], token: Any
) -> None:
    journey = {"journey": "shop"}
    asked = {
        "funnel": (FUNNEL, "step:2", 1),
        "time-to-convert": (FUNNEL, "status:converted", 1),
        "paths": ({**journey, "label": "touchpoint"}, 'variant:["page"]', 1),
        "matrix": (journey, 'cell:["look","web"]', 2),
        "switches": (journey, 'move:["web","till"]', 1),
        "conformance": (journey, "state:open", 1),
        "retention": ({"start": ORDERED}, f"cohort:{MONDAY}", 1),
        "lifecycle": ({"activity": ORDERED, "unit": "week"}, f"new:{MONDAY}", 1),
        "stickiness": ({"activity": ORDERED}, "active:1", 1),
        "anomalies": ({"match": ORDERED}, f"at:{TODAY}", 1),
        "readiness": (journey, "known:any", 2),
        "findings": (journey, 'of:["matrix","cell:[\\"look\\",\\"web\\"]"]', 2),
        "drivers": (
            {
                "entry": {"event": "Viewed <b>"},
                "outcome": ORDERED,
                "observe": "PT0.000001S",
                "window": "P1D",
            },
            "fate:in_progress",
            2,
        ),
        "attribution": (
            {"conversion": {"event": "Ordered"}, "label": "event"},
            "paths:converted",
            1,
        ),
    }
    for kind, (body, bucket, n) in asked.items():
        answer = server.post(f"/v1/analyses/{kind}", json=body, headers=header)
        assert answer.status_code == 200, answer.text
        said = answer.json()
        assert said["kind"] == kind
        assert said["freshness"]["not_yet_copied"] == 0
        assert said["freshness"]["events_until"] <= said["as_of"]
        assert (said["n_profiles"], said["n_events"]) == (2, 3)
        assert said["excluded"] == {"consent:refused": 1, "events:in_the_future": 1}
        again = server.post(
            f"/v1/analyses/{kind}", json={**body, "as_of": said["as_of"]}, headers=header
        ).json()
        assert again == said
        url = f"/v1/analyses/{said['query_id']}/profiles"
        page = server.get(url, params={"bucket": bucket}, headers=header).json()
        assert (page["n_profiles"], len(page["data"]), page["withheld"]) == (n, n, {})
        wrong = server.get(url, params={"bucket": "nothing:here"}, headers=header)
        assert (wrong.status_code, wrong.json()["code"]) == (422, "bucket-invalid")
        counting = token("journeys:read", purposes=(PURPOSE,))
        assert server.get(url, params={"bucket": bucket}, headers=counting).status_code == 403
        stranger = token(purposes=(MEASURE,))
        assert server.get(url, params={"bucket": bucket}, headers=stranger).status_code == 403


def test_a_finding_quotes_a_request_that_gives_it_again_and_is_told_on_a_console(
    server: TestClient, header: dict[str, str], settings: Settings, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, sessions: Sessions, write_key: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("PARCOURS_DATABASE_URL", settings.database_url or "")
    # Of fewer events than 30 not even a fact is told.
    event = {
        "event": "Viewed <b>", "userId": "u-0", "anonymousId": "d-0", "writeKey": write_key,
        "context": {"consent": {"categoryPreferences": {**LINKED, PURPOSE: True}}},
    }  # fmt: skip
    for _ in range(30):
        server.post("/v1/track", json=event).raise_for_status()
    follow(sessions)
    waiting = {**JOURNEY, "stages": [*JOURNEY["stages"], {"id": "wait", "order": 3}]}
    server.post("/v1/journeys", json=waiting, headers=header).raise_for_status()
    said = server.post("/v1/analyses/findings", json={"journey": "shop"}, headers=header).json()
    [finding] = said["result"]["findings"]
    server.post("/v1/journeys", json=JOURNEY, headers=header).raise_for_status()
    evidence = finding["evidence"]
    assert evidence["request"]["journey"] == "shop@2"
    again = server.post(evidence["path"], json=evidence["request"], headers=header).json()
    assert again["definition_hash"] == evidence["definition_hash"]
    assert evidence["at"] == "/stages/2"
    assert again["result"]["stages"][2]["id"] == finding["about"]["stage"] == "wait"
    command = ["analyse", "findings", "--journey", "shop@2", "--data-dir", str(tmp_path)]
    for language, words in (("fr", "n’a aucun point de contact"), ("en", "has no touchpoint")):
        run = CliRunner().invoke(command_line, [*command, "--language", language])
        assert run.exit_code == 0, run.output
        assert words in run.stdout
        assert '"journey": "shop@2"' in run.stdout


def test_what_may_be_counted_and_not_named_is_withheld(
    server: TestClient, header: dict[str, str]
) -> None:
    answer = server.post(
        "/v1/analyses/funnel", json={**FUNNEL, "purpose": MEASURE}, headers=header
    ).json()
    assert answer["result"]["steps"][0]["n"] == 3
    url = f"/v1/analyses/{answer['query_id']}/profiles"
    page = server.get(url, params={"bucket": "step:1"}, headers=header).json()
    assert (page["data"], page["n_profiles"]) == ([], 3)
    assert page["withheld"] == {"not_linkable": 3}


REFUSED: list[tuple[str, Any, int, str | None]] = [
    ("paths", {"label": "touchpoint"}, 422, "definition-invalid"),
    ("paths", {"replace": [{"pattern": "(?=x)", "by": ""}]}, 422, "definition-invalid"),
    ("funnel", {**FUNNEL, "universe": {"not": {"event": "Orderedd"}}}, 422, "definition-invalid"),
    ("funnel", {**FUNNEL, "journey": "nowhere"}, 404, "journey-not-found"),
    ("matrix", {}, 422, None),
    ("paths", {"start": {"event": "\x00"}}, 422, None),
    ("time-to-convert", {"steps": []}, 422, None),
    ("friction", {"journey": "nowhere"}, 404, "journey-not-found"),
    ("friction", {"journey": "shop", "weights": {"nothing": 1}}, 422, None),
    ("drop-off", {"journey": "shop", "threshold": 2}, 422, None),
    ("voice", {"journey": "shop"}, 422, None),
    (
        "moments-of-truth",
        {"journey": "shop", "readings": [{"touchpoints": ["no"], "late_after": "P1D"}]},
        422,
        "definition-invalid",
    ),
    (
        "compare",
        {**COMPARE, "variants": [{"name": "a", "segment": "no"}, {"name": "b", "rest": True}]},
        404,
        "segment-not-found",
    ),
    ("compare", {**COMPARE, "outcomes": []}, 422, None),
    ("findings", {"entry": ORDERED}, 422, "definition-invalid"),
    ("findings", {"journey": "nowhere"}, 404, "journey-not-found"),
]


def test_a_question_that_cannot_be_answered_is_refused(
    server: TestClient, header: dict[str, str]
) -> None:
    for kind, body, status, code in REFUSED:
        answer = server.post(f"/v1/analyses/{kind}", json=body, headers=header)
        assert answer.status_code == status, answer.text
        assert code in (None, answer.json()["code"])
    unknown = server.get("/v1/analyses/q_no/profiles?bucket=step:1", headers=header)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "analysis-not-found")


def test_answers_are_drawn_and_what_people_wrote_stays_text(
    header: dict[str, str], settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARCOURS_DATABASE_URL", settings.database_url or "")
    question = tmp_path / "q.json"
    steps = [{"match": step, "name": "a<b"} for step in FUNNEL["steps"]]
    question.write_text(json.dumps({"steps": steps}))

    def written(body: dict[str, Any]) -> str:
        path = tmp_path / f"q-{len(list(tmp_path.iterdir()))}.json"
        path.write_text(json.dumps(body))
        return str(path)

    voice, moments, compare = (tmp_path / f"{name}_.json" for name in "vmc")
    voice.write_text(json.dumps({"journey": "shop", "surveys": [RATED]}))
    reading = {"late_after": "P1D"}
    moments.write_text(json.dumps({"journey": "shop", "readings": [reading]}))
    compare.write_text(json.dumps(COMPARE))
    here = ["--data-dir", str(tmp_path), "--out"]
    asked = {"funnel": [str(question)], "paths": [], "matrix": ["--journey", "shop"],
             "switches": ["--journey", "shop"], "conformance": ["--journey", "shop"],
             "attribution": [written({"conversion": ORDERED, "label": "event"})],
             "retention": [written({"start": ORDERED})],
             "anomalies": [written({"match": ORDERED})],
             "lifecycle": [written({"activity": ORDERED})],
             "stickiness": [written({"activity": ORDERED})]}  # fmt: skip
    for kind, options in asked.items():
        out = tmp_path / f"{kind}.svg"
        arguments = ["analyse", kind, *options, *here, str(out), "--json"]
        run = CliRunner().invoke(command_line, arguments)
        assert run.exit_code == 0, run.output
        answer = json.loads(run.stdout)
        assert out.read_text(encoding="utf-8") == pictures.draw(answer)
        root = ElementTree.fromstring(pictures.draw(answer))  # noqa: S314 - a text of our own
        assert root.tag.endswith("svg")
        assert ("a<b" in " ".join(root.itertext())) == (kind == "funnel")
        drawn = vega.specification(answer)
        assert bool(drawn["data"]["values"]) == (kind not in ("friction", "voice"))
    out = tmp_path / "funnel.json"
    run = CliRunner().invoke(command_line, ["analyse", "funnel", str(question), *here, str(out)])
    assert run.exit_code == 0, run.output
    drawn = json.loads(out.read_text(encoding="utf-8"))
    assert [row["n"] for row in drawn["data"]["values"]] == [2, 1]
    for ending, begins in ((".png", b"\x89PNG"), (".parquet", b"PAR1"), (".xlsx", b"PK")):
        named = [str(question), *here, str(out.with_suffix(ending)), "--table", "figures"]
        run = CliRunner().invoke(command_line, ["analyse", "funnel", *named])
        assert run.exit_code == 0, run.output
        assert out.with_suffix(ending).read_bytes().startswith(begins)
    named = [str(question), *here, str(tmp_path / "f.csv"), "--table", "nothing"]
    run = CliRunner().invoke(command_line, ["analyse", "funnel", *named])
    assert "there are table, figures, steps" in str(run.exception) + run.output
    for wrong in (["analyse", "nothing"], ["analyse", "funnel", "--out", "x.pdf"]):
        assert CliRunner().invoke(command_line, wrong).exit_code != 0


def test_an_answer_is_had_as_a_file_too(
    server: TestClient, header: dict[str, str], token: Any, sessions: Sessions, write_key: str
) -> None:
    steps = {"steps": [{"name": "=1+1", "match": {"event": "Viewed <b>"}}, {"event": "Ordered"}]}
    answer = server.post("/v1/analyses/funnel", json=steps, headers=header).json()
    url = f"/v1/analyses/{answer['query_id']}/answer"
    table = server.get(f"{url}.csv", headers=header)
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    name = f'attachment; filename="funnel-{answer["query_id"]}.csv"'
    assert table.headers["content-disposition"] == name
    [first, second] = csv.DictReader(StringIO(table.content.decode("utf-8-sig")))
    assert (first["name"], first["n"], second["n"]) == ("'=1+1", "2", "1")
    assert server.get(f"{url}.svg", headers=header).text == pictures.draw(answer)
    assert server.get(f"{url}.vl.json", headers=header).json() == vega.specification(answer)
    sheet = openpyxl.load_workbook(BytesIO(server.get(f"{url}.xlsx", headers=header).content))
    assert [row[1] for row in sheet["Table"].iter_rows(values_only=True)] == ["n", 2, 1]
    assert server.get(f"{url}.png", headers=header).content[:4] == b"\x89PNG"
    parquet = server.get(f"{url}.parquet?table=figures", headers=header)
    assert parquet.headers["content-disposition"].endswith('-figures.parquet"')
    figures = pq.read_table(BytesIO(parquet.content)).to_pydict()
    assert figures["value"][figures["name"].index("status.entered")] == 2
    unknown = server.get(f"{url}.csv?table=links", headers=header)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "answer-table-not-found")
    assert "table, figures, steps" in unknown.json()["detail"]
    # Another person comes after it: a file of that time has the same figures.
    late = {
        "event": "Viewed <b>", "userId": "u-9", "anonymousId": "d-9", "writeKey": write_key,
        "context": {"consent": {"categoryPreferences": {**LINKED, PURPOSE: True}}},
    }  # fmt: skip
    server.post("/v1/track", json=late).raise_for_status()
    follow(sessions)
    assert server.get(f"{url}.svg", headers=header).text == pictures.draw(answer)
    # Whoever withdraws is in no file that is made after it, and the workbook says why.
    no = {
        "subject": {"namespace": "user_id", "value": "u-0"},
        "decisions": [{"purpose": PURPOSE, "state": "withdrawn"}],
        "evidence": {"channel": "preference centre"},
    }
    server.post("/v1/consents", json=no, headers=header).raise_for_status()
    follow(sessions)
    sheet = openpyxl.load_workbook(BytesIO(server.get(f"{url}.xlsx", headers=header).content))
    assert [row[1] for row in sheet["Table"].iter_rows(values_only=True)] == ["n", 1, 0]
    said = {row[0]: row[1] for row in sheet["Answer"].iter_rows(values_only=True)}
    assert "have changed since" in str(said["warnings"])
    assert said["query_id"] != answer["query_id"]
    # Who may not, and what there is not.
    stranger = token(purposes=(MEASURE,))
    assert server.get(f"{url}.csv", headers=stranger).status_code == 403
    assert server.get(f"{url}.csv").status_code == 401
    assert server.get(f"{url}.pdf", headers=header).status_code == 422
    missing = server.get("/v1/analyses/q_nothing/answer.csv", headers=header)
    assert (missing.status_code, missing.json()["code"]) == (404, "analysis-not-found")
    readiness = server.post("/v1/analyses/readiness", json={"journey": "shop"}, headers=header)
    url = f"/v1/analyses/{readiness.json()['query_id']}/answer"
    undrawn = server.get(f"{url}.svg", headers=header)
    assert (undrawn.status_code, undrawn.json()["code"]) == (404, "answer-not-drawn")
    assert server.get(f"{url}.xlsx", headers=header).status_code == 200


def test_what_is_withheld_is_counted_after_all_that_is_computed(
    server: TestClient,
    header: dict[str, str],
    sessions: Sessions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A transaction that has written holds up whoever reads events in commit order."""
    answer = server.post("/v1/analyses/funnel", json=FUNNEL, headers=header).json()
    writing: list[int | None] = []

    def without_one(*arguments: Any, **named: Any) -> list[Any]:
        found = permissions(*arguments, **named)
        person = found[0].person_id
        return [
            replace(one, allowed=False, reason="refused") if one.person_id == person else one
            for one in found
        ]

    def about(*_: Any) -> dict[int, dict[str, Any]]:
        with sessions() as session:
            query = (
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND backend_xid IS NOT NULL"
            )
            writing.append(session.scalar(sa.text(query)))
        return {}

    monkeypatch.setattr(analyses, "permissions", without_one)
    monkeypatch.setitem(KINDS, "funnel", replace(KINDS["funnel"], about=about))
    url = f"/v1/analyses/{answer['query_id']}/profiles"
    page = server.get(url, params={"bucket": "step:1"}, headers=header).json()
    assert (page["n_profiles"], len(page["data"]), page["withheld"]) == (2, 1, {"refused": 1})
    assert writing == [0]
    with sessions() as session:
        query = "SELECT denials FROM consent.denial WHERE use = 'journey' AND reason = 'refused'"
        counted = session.scalars(sa.text(query)).all()
    assert sum(counted) == 2  # one left out of the answer, one not named


def test_events_that_came_only_after_the_time_asked_about_are_told(
    server: TestClient, header: dict[str, str], write_key: str
) -> None:
    """An imported log is received today: as of its own end an answer was empty, in silence."""
    old = {
        "event": "Ordered", "userId": "u-0", "timestamp": "2020-05-01T00:00:00Z",
        "writeKey": write_key,
    }  # fmt: skip
    server.post("/v1/track", json=old).raise_for_status()
    asked = {**FUNNEL, "as_of": "2020-06-01T00:00:00Z"}
    then = server.post("/v1/analyses/funnel", json=asked, headers=header).json()
    assert then["n_events"] == 0
    assert [one for one in then["warnings"] if one.startswith("1 events had happened by as_of")]
    now = server.post("/v1/analyses/funnel", json=FUNNEL, headers=header).json()
    assert not [one for one in now["warnings"] if "had happened" in one]
