"""Values of special categories in events (research/consent.md section 3, 88; GDPR art. 9)."""

import json
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from app import pipeline
from app.db import Sessions
from app.plans import in_force, special, versions
from app.retention import expire
from consent import restrictions
from identity import sweeps
from identity.respelling import SPELLING

PURPOSE = "care.advice"
PLAN: dict[str, Any] = {
    "rules": [
        {"type": "track", "event": "Test Ordered", "properties": {"properties": {
            "diagnosis": {"type": "string", "x-special-category": "health"},
            "party": {"x-special-category": "none"}}}},
        {"type": "identify", "traits": {"properties": {
            "Blood-Type": {"x-special-category": "health"},
            "creed": {"x-special-category": "religion"}}}},
    ]
}  # fmt: skip
#: The words by which a value is found again, wherever it is.
MARKS = ("eczema", "AB-negative", "zoroastrian")


class Clinic:
    """A server with a plan and a purpose that covers health, and Ada, who agrees or not."""

    def __init__(
        self, server: TestClient, sessions: Sessions, key: str, header: dict[str, str]
    ) -> None:
        self.server, self.sessions, self.key, self.header = server, sessions, key, header

    def publish(self, **more: Any) -> None:
        with self.sessions.begin() as session:
            if versions.list_page(session):
                versions.edit(session, "clinic", title="Clinic", definition={**PLAN, **more})
            else:
                versions.create(session, key="clinic", title="Clinic", definition={**PLAN, **more})
            versions.publish(session, "clinic")
            versions.attach(session, "clinic", "web")

    def purpose(self, key: str, *, explicit: bool = True, covers: tuple[str, ...] = ()) -> None:
        body = {"key": key, "version": 1, "explicit": explicit,
                "declared": {"special_categories": list(covers)}}  # fmt: skip
        answer = self.server.post("/v1/purposes", json=body, headers=self.header)
        assert answer.status_code == 201, answer.text

    def say(self, state: str, purpose: str = PURPOSE) -> None:
        body = {"subject": {"namespace": "user_id", "value": "ada"},
                "decisions": [{"purpose": purpose, "state": state}]}  # fmt: skip
        self.server.post("/v1/consents", json=body, headers=self.header).raise_for_status()

    def send(self, *messages: dict[str, Any]) -> Any:
        answer = self.server.post("/v1/batch", json={"batch": messages, "writeKey": self.key})
        assert answer.status_code == 200, answer.text
        with self.sessions.begin() as session:
            while pipeline.step(session).more:
                pass
        return answer.json()

    def read(self, purpose: str = PURPOSE, part: str = "/special-categories") -> Any:
        where = f"/v1/profiles/user_id:ada{part}?purpose={purpose}"
        answer = self.server.get(where, headers=self.header)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def where(self) -> set[str]:
        """The tables in which one of the values stands."""
        found = set()
        with self.sessions() as session:
            tables = session.scalars(
                sa.text(
                    "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables "
                    "WHERE schemaname IN ('app', 'consent', 'identity')"
                )
            ).all()
            for table in tables:
                for row in session.scalars(sa.text(f"SELECT CAST(t AS text) FROM {table} t")):  # noqa: S608 -- names from the catalogue
                    if any(mark in row for mark in MARKS):
                        found.add(table.partition("_p")[0])
        return found

    def denied(self) -> dict[str, int]:
        answer = self.server.get("/v1/consents/denials", headers=self.header).json()
        return {
            d["purpose"]: d["denials"] for d in answer["data"] if d["reason"] == "special_category"
        }


IDENTIFY = {"type": "identify", "userId": "ada", "traits": {"city": "Lyon", "bloodType": MARKS[1]}}
TRACK: dict[str, Any] = {"type": "track", "event": "Test Ordered", "userId": "ada",
         "properties": {"price": 12,
                        "lab": {"DIAGNOSIS": MARKS[0], "n": [{"diagnosis": MARKS[0]}]}},
         "context": {"traits": {"blood_type": MARKS[1]}}, "diagnosis": MARKS[0],
         "specialCategories": {"health": {"/x": MARKS[0]}}}  # fmt: skip


@pytest.fixture
def clinic(
    server: TestClient,
    sessions: Sessions,
    write_key: str,
    token: Callable[..., dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> Clinic:
    monkeypatch.setattr(in_force, "SECONDS", 0.0)
    purposes = (PURPOSE, "care.survey", "service.operation", "analytics.audience")
    made = Clinic(server, sessions, write_key, token(purposes=purposes))
    made.publish()
    made.purpose(PURPOSE, covers=("health",))
    return made


def test_88_without_explicit_consent_a_value_of_a_special_category_is_stored_nowhere(
    clinic: Clinic,
) -> None:
    stamped = {"consent": {"categoryPreferences": {PURPOSE: True}}}  # a stamp is not explicit
    assert clinic.send(IDENTIFY, {**TRACK, "context": {**TRACK["context"], **stamped}})[
        "accepted"
    ] == 2  # fmt: skip
    assert clinic.where() == set()
    profile = clinic.read("service.operation", "")
    assert profile["traits"] == {"city": "Lyon"}
    [event, _] = clinic.read("service.operation", "/events")["data"]
    assert event["properties"] == {"price": 12, "lab": {"n": [{}]}}
    assert clinic.denied() == {PURPOSE: 2}
    clinic.say("given")
    assert clinic.read()["data"] == []  # what is gone does not come back


def test_88_what_a_person_agreed_to_explicitly_is_read_for_that_purpose_alone(
    clinic: Clinic,
) -> None:
    clinic.purpose("care.survey", explicit=False, covers=("health",))  # covers nothing: no consent
    clinic.say("given")
    clinic.say("given", "care.survey")
    clinic.send(IDENTIFY, {**TRACK, "messageId": "t" * 12})
    assert clinic.where() == {"app.event"}
    found = clinic.read()["data"]
    assert {(one["category"], one["pointer"], one["value"]) for one in found} == {
        ("health", "/properties/bloodType", MARKS[1]),
        ("health", "/properties/lab/DIAGNOSIS", MARKS[0]),
        ("health", "/properties/lab/n/0/diagnosis", MARKS[0]),
        ("health", "/context/traits/blood_type", MARKS[1]),
        ("health", "/rest/diagnosis", MARKS[0]),
        ("health", "/x", MARKS[0]),
    }
    for purpose in (PURPOSE, "care.survey", "service.operation", "analytics.audience"):
        for part in ("", "/traits", "/events") + (("/special-categories",) * (purpose != PURPOSE)):
            assert not any(mark in json.dumps(clinic.read(purpose, part)) for mark in MARKS)
    clinic.purpose("later.offers", explicit=False)  # a purpose that is added later
    with clinic.sessions() as session:
        rows = session.scalars(sa.text("SELECT CAST((properties, context) AS text) FROM app.event"))
        assert not any(mark in row for row in rows for mark in MARKS)
    clinic.say("withdrawn")
    assert clinic.read()["data"] == []
    assert clinic.read()["withheld"][0]["reason"] == "withdrawn"


def test_88_what_nobody_may_read_any_more_is_destroyed_within_an_hour_and_the_rest_stays(
    clinic: Clinic, sessions: Sessions, tmp_path: Path
) -> None:
    def destroyed(*, dry_run: bool = False) -> int:
        done = expire.run(sessions, tmp_path, rejected=timedelta(days=30), dry_run=dry_run,
                          by_purpose=False)  # fmt: skip
        assert done is not None
        return done.without_special_values

    def entries() -> list[dict[str, str]]:
        told = "SELECT public FROM consent.ledger_statement WHERE public ? 'act'"
        with sessions() as session:
            return list(session.scalars(sa.text(told)))

    clinic.say("given")
    clinic.send(IDENTIFY, TRACK)
    assert destroyed() == 0
    assert clinic.where() == {"app.event"}

    clinic.say("withdrawn")
    with sessions.begin() as session:  # whoever wants the data kept for a claim (art. 18(1)(c))
        restrictions.restrict(session, [("user_id", "ada")], "restriction", reason_ref="r",
                              at=datetime.now(UTC))  # fmt: skip
    assert destroyed() == 0
    assert clinic.where() == {"app.event"}
    with sessions.begin() as session:
        restrictions.lift(session, "r", at=datetime.now(UTC))

    assert destroyed(dry_run=True) == 2
    assert clinic.where() == {"app.event"}
    assert destroyed() == 2
    assert clinic.where() == set()
    assert destroyed() == 0
    assert entries() == [{"act": "special_categories_destroyed", "events": "2"}]
    [event, _] = clinic.read("service.operation", "/events")["data"]
    assert event["properties"] == {"price": 12, "lab": {"n": [{}]}}
    clinic.say("given")
    assert clinic.read()["data"] == []

    clinic.send(TRACK)  # what is told after that rests on the new consent
    clinic.purpose("care.nurse", covers=("religion",))
    assert destroyed() == 0
    assert clinic.where() == {"app.event"}
    body = {"key": PURPOSE, "version": 2, "explicit": True, "declared": {}}
    clinic.server.post("/v1/purposes", json=body, headers=clinic.header).raise_for_status()
    assert destroyed() == 1  # no purpose covers health any more
    assert clinic.where() == set()


def test_88_what_may_not_be_read_only_until_its_address_is_looked_at_is_not_destroyed(
    clinic: Clinic, sessions: Sessions, tmp_path: Path
) -> None:
    def destroyed() -> int:
        done = expire.run(sessions, tmp_path, rejected=timedelta(days=30), by_purpose=False)
        assert done is not None
        return done.without_special_values

    clinic.say("given")
    linked = {"consent": {"categoryPreferences": {"profile.link": True}}}
    clinic.send({"type": "identify", "userId": "ada", "traits": {"email": "ada@example.org"},
                 "context": linked}, TRACK)  # fmt: skip
    with sessions.begin() as session:
        sweeps.request(session, SPELLING)  # as the first start after an upgrade does
    assert clinic.read()["data"] == []
    assert destroyed() == 0
    with sessions.begin() as session:
        while sweeps.step(session):
            pass
    assert destroyed() == 0
    assert clinic.read()["data"] != []


def test_88_a_category_that_no_purpose_covers_is_never_kept(clinic: Clinic) -> None:
    clinic.say("given")
    clinic.send({"type": "identify", "userId": "ada", "traits": {"Creed": MARKS[2], "n": 1}})
    assert clinic.where() == set()
    assert clinic.denied() == {"*": 1}
    assert clinic.read("service.operation", "")["traits"] == {"n": 1}


def test_88_it_is_so_for_sources_without_a_plan_too(clinic: Clinic, sessions: Sessions) -> None:
    from_other = clinic.server.post(
        "/v1/sources", json={"name": "app"}, headers=clinic.header
    ).json()
    clinic.key = from_other["write_key"]
    clinic.send(TRACK)
    assert clinic.where() == set()


def test_88_what_another_server_kept_apart_is_kept_only_with_consent_too(
    server: TestClient, sessions: Sessions, write_key: str, token: Callable[..., dict[str, str]]
) -> None:
    """As it stands in the file that a person takes along; here no plan declares anything."""
    made = Clinic(server, sessions, write_key, token(purposes=(PURPOSE,)))
    made.purpose(PURPOSE, covers=("health",))
    taken = {"type": "track", "event": "Moved", "userId": "ada",
             "specialCategories": {"health": {"/properties/diagnosis": MARKS[0]}}}  # fmt: skip
    made.send(taken)
    assert made.where() == set()
    made.say("given")
    made.send(taken)
    assert [one["value"] for one in made.read()["data"]] == [MARKS[0]]


def test_88_in_strict_mode_an_undeclared_field_refuses_its_event_which_is_kept_without_it(
    clinic: Clinic,
) -> None:
    clinic.publish(special_categories="reject")
    for more in (
        {"event": "Seen", "properties": {"patientReligion": MARKS[2], "page": 1}},
        {"event": "Test Ordered", "properties": {"n": {"trade_union_member": MARKS[2]}}},
        {"event": "Seen", "context": {"traits": {"sexualOrientation": MARKS[2]}}},
    ):
        answer = clinic.send({"type": "track", "userId": "ada", **more})
        assert [one["code"] for one in answer["rejected"]] == ["plan_violation"], more
        assert "special_category" in answer["rejected"][0]["message"]
    assert clinic.send({"type": "track", "userId": "ada", "event": "Test Ordered",
                        "properties": {"party": "of eight"}})["accepted"] == 1  # fmt: skip
    assert clinic.where() == set()
    with clinic.sessions() as session:
        kept = session.scalars(sa.text("SELECT CAST(t AS text) FROM app.rejected_event t")).all()
    assert len(kept) == 3
    assert any("page" in row for row in kept)


def test_88_an_event_that_cannot_be_read_is_not_kept_with_a_special_value(clinic: Clinic) -> None:
    broken = {"type": "track", "properties": {"blood type": MARKS[1]}, "userId": "ada"}
    assert clinic.send(broken)["rejected"][0]["code"] == "event_missing"
    clinic.send({"type": "track", "properties": {"n": MARKS[1]}, "userId": "ada"})
    assert clinic.where() == {"app.rejected_event"}
    with clinic.sessions() as session:
        assert session.scalar(sa.text("SELECT count(*) FROM app.rejected_event")) == 1


def test_88_otherwise_a_suspicious_name_is_told_of_and_nothing_more(clinic: Clinic) -> None:
    event = {"type": "track", "event": "Seen", "userId": "ada",
             "properties": {"patient_religion": "x", "race_result": 4}}  # fmt: skip
    assert clinic.send(event)["accepted"] == 1
    told = clinic.server.get("/v1/tracking-plans/clinic/violations", headers=clinic.header).json()
    hints = {(d["pointer"], d["action"]) for d in told["data"]
             if d["keyword"] == special.UNDECLARED}  # fmt: skip
    assert hints == {("/properties/patient_religion", "observed")}


def test_names_that_sound_like_special_categories() -> None:
    yes = ("diagnosis", "bloodType", "BLOOD_GROUP", "isPregnant", "religious-belief",
           "race", "member_of_trade_union", "politicalParty", "HIV", "HIVStatus",
           "healthScore")  # fmt: skip
    no = ("union_price", "party_size", "race_result", "traceId", "type", "embrace", "faithful",
          "credit_union", "", "1", "géant", "due_date")  # fmt: skip
    assert [name for name in yes if not special.suspicious(name)] == []
    assert [name for name in no if special.suspicious(name)] == []


@pytest.mark.parametrize(
    "wanted",
    [
        {"x-special-category": "health"},
        {"properties": {"a": {"items": {"x-special-category": "health"}}}},
        {"properties": {"a": {"x-special-category": True}}},
        {"properties": {"a": {"x-special-category": "He alth"}}},
        {"properties": {"--": {"x-special-category": "health"}}},
    ],
)
def test_a_note_that_could_not_be_heeded_is_refused(wanted: dict[str, Any]) -> None:
    assert special.faults(wanted)


def test_names_without_end_are_not_remembered() -> None:
    """Any sender invents them, of 30 KB: 50,000 of them were 3 GB in a server that has a plan."""
    tracemalloc.start()
    try:
        for n in range(100):
            name = f"{n} " + "x" * 30_000
            assert not special.suspicious(name)
            assert special.normalised(name).startswith(f"{n}x")
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 500_000
