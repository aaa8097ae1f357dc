"""The record of processing says what is declared, what flows, and what is missing (check 87)."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from pydantic import ValidationError
from sqlalchemy.orm import Session

import consent
from api.routes.destinations import DestinationDeclared
from app.access import clients, sources
from app.accountability.controller import Controller, set_controller
from app.accountability.markdown import page
from app.accountability.processing import EXPECTED, MEASURES, record_of_processing
from app.destinations import registry
from app.destinations.tables import Delivery
from app.retention import rules
from app.segments import members
from consent import Choice
from consent.errors import AssessmentMissing
from identity import graph

STORAGE_UNTOLD = "declared.storage_locations is missing"
NOW = datetime.now(UTC)
POST = "marketing.post"
CONTROLLER = Controller.model_validate(Controller.model_json_schema()["example"])
DECLARED = {
    "persons": ["customers"], "data_classes": ["contact"], "retention_days": 1095,
    "storage_locations": ["FR"], "recipients": ["Printer SARL"],
}  # fmt: skip


def activity(session: Session, key: str = POST) -> dict[str, Any]:
    record = record_of_processing(session, at=NOW)
    return next(one for one in record["activities"] if one["purpose"] == key)


@pytest.fixture
def used(session: Session) -> Session:
    """A purpose that is declared, collected for, made a segment of, and agreed to by two."""
    consent.catalogue.add_purpose(
        session,
        consent.Purpose(POST, title={"en": "Send | offers"}, valid_days=395, declared=DECLARED),
    )
    sources.add(session, "shop", collection_purpose=POST)
    rules.put(session, source="shop", type_=None, event=None, days=400)
    rules.put(session, source=None, type_=None, event=None, days=900)
    clients.add(session, "mailing room", scopes=["profiles:read"], purposes=[POST])
    ids = graph.identify(session, [("user_id", f"u-{n}") for n in range(5)])
    graph.settle(session, list(ids.values()))
    choices = [
        Choice("user_id", f"u-{n}", POST, state, NOW, "test")
        for n, state in enumerate(("given", "given", "refused"))
    ]
    consent.record(session, choices, received_at=NOW)
    rule = {"trait": "bought", "op": "exists"}
    members.create(session, key="buyers", name="Buyers", purpose=POST, rule=rule)
    return session


def test_each_purpose_is_on_record_with_what_is_declared_and_what_flows(used: Session) -> None:
    found = activity(used)
    assert (found["lawful_basis"], found["in_use"], found["gaps"]) == ("consent", True, [])
    assert found["categories_of_persons"] == ["customers"]
    assert found["categories_of_data"] == ["contact"]
    assert (found["sources"], found["read_by"]) == (["shop"], ["mailing room"])
    assert found["recipients"] == ["Printer SARL"]
    assert found["storage_locations"] == ["FR"]
    assert found["retention"]["declared_days"] == 1095
    assert [(r["source"], r["days"]) for r in found["retention"]["rules"]] == [
        ("shop", 400), (None, 900),
    ]  # fmt: skip
    assert [s["segment"] for s in found["segments"]] == ["buyers"]
    assert found["people"] == {
        "allowed": 2, "denied": 3, "by_reason": {"given": 2, "refused": 1, "unknown": 2},
    }  # fmt: skip
    record = record_of_processing(used, at=NOW, people=False)
    assert {one["purpose"] for one in record["activities"]} == set(consent.catalogue.purposes(used))
    assert all(one["people"] is None for one in record["activities"])


def test_it_changes_when_a_destination_is_added(used: Session) -> None:
    before = activity(used)
    assert (before["destinations"], before["transfers"]) == ([], [])
    made = registry.create(
        used, name="printer", url="https://print.test/", purpose=POST, segment_keys=["buyers"],
        declared={"recipient": "Print Inc.", "region": "US"},
    )  # fmt: skip
    after = activity(used)
    assert after["recipients"] == ["Printer SARL", "Print Inc."]
    assert after["transfers"] == [{"country": "US", "tool": None, "destination": "printer"}]
    assert after["gaps"] == [
        "destination printer: transfer_tool is missing",
        "destination printer: agreement is missing",
    ]
    assert [d["delivered"] for d in after["destinations"]] == [0]
    used.execute(
        sa.insert(Delivery).values(
            destination_id=made.id, message_id=sa.func.gen_random_uuid(), person_id=1,
            profile_id=sa.func.gen_random_uuid(), type="segment.entered",
            payload={"segment": "buyers"}, state="delivered", due_at=NOW, created_at=NOW,
            ended_at=NOW,
        )
    )  # fmt: skip
    [sent] = activity(used)["destinations"]
    assert (sent["delivered"], sent["people_told"], bool(sent["last_delivery"])) == (1, 1, True)
    registry.remove(used, made.id, now=NOW)
    removed = activity(used)
    # Data were disclosed to it, in a country outside (art. 30(1)(d), (e)).
    assert (removed["recipients"], removed["transfers"]) == (
        after["recipients"], after["transfers"]
    )  # fmt: skip
    assert removed["gaps"] == []
    assert [d["removed_at"] for d in removed["destinations"]] == [NOW.isoformat()]
    assert "Print Inc. (US; 1 people told; removed" in page(record_of_processing(used, at=NOW))


def test_what_was_removed_before_it_was_told_of_anybody_is_on_no_record(used: Session) -> None:
    before = activity(used)
    made = registry.create(
        used, name="printer", url="https://print.test/", purpose=POST, segment_keys=["buyers"]
    )
    registry.remove(used, made.id, now=NOW)
    assert activity(used) == before


def test_who_answers_beside_the_controller_is_on_record(used: Session) -> None:
    """GDPR art. 30(1)(a), where it applies."""
    beside = {
        "name": "Sister SA",
        "address": "2 rue de la Paix, Paris",
        "email": "p@sister.example",
    }
    set_controller(
        used,
        Controller.model_validate(
            {**CONTROLLER.model_dump(), "joint_controllers": [beside], "representative": beside}
        ),
    )
    record = record_of_processing(used, at=NOW)
    assert record["controller"]["representative"]["name"] == "Sister SA"
    for line in ("Joint controllers", "Representative"):
        assert f"| {line} | Sister SA, 2 rue de la Paix, Paris, p@sister.example |" in page(record)


def test_a_region_is_in_the_eea_by_its_whole_code_alone(used: Session) -> None:
    regions = ("FR", "FR-IDF", "ISRAEL", "DENVER", "Germany", "FR ", "US")
    for region in regions:
        registry.create(
            used, name=f"to {region}", url="https://print.test/", purpose=POST,
            segment_keys=["buyers"], declared={"region": region, "agreement": "here"},
        )  # fmt: skip
    found = activity(used)
    outside = regions[2:]
    assert [one["country"] for one in found["transfers"]] == list(outside)
    assert found["gaps"] == [f"destination to {r}: transfer_tool is missing" for r in outside]
    for region in ("ISRAEL", "Germany", "fr", "FR\n"):
        with pytest.raises(ValidationError):
            DestinationDeclared(region=region)
    assert DestinationDeclared(region="FR-IDF").region == "FR-IDF"


def test_what_nobody_told_is_a_gap_and_what_is_not_in_use_is_none(used: Session) -> None:
    sources.add(used, "app", collection_purpose="service.operation")
    found = activity(used, "service.operation")
    assert found["gaps"] == ["declared.retention_days is missing", STORAGE_UNTOLD]
    sources.add(used, "old", collection_purpose="of.old")
    consent.catalogue.add_purpose(used, consent.Purpose("of.old"))
    told_nothing = activity(used, "of.old")["gaps"]
    assert told_nothing == [*(f"declared.{name} is missing" for name in EXPECTED), STORAGE_UNTOLD]
    unused = activity(used, "geo.precise")
    assert (unused["in_use"], unused["gaps"], unused["people"]) == (False, [], None)
    assert "the controller is not set" in record_of_processing(used, at=NOW)["gaps"]
    set_controller(used, CONTROLLER)
    record = record_of_processing(used, at=NOW)
    assert record["controller"]["name"] == "Boutique SA"
    assert "the controller is not set" not in record["gaps"]
    assert record["measures"][: len(MEASURES)] == list(MEASURES)


def test_a_purpose_that_needs_an_assessment_and_names_none_is_not_taken(session: Session) -> None:
    needs = consent.Purpose("health.advice", declared={"dpia_required": True})
    with pytest.raises(AssessmentMissing):
        consent.catalogue.add_purpose(session, needs)


def test_as_a_page_it_cannot_be_broken_by_what_somebody_wrote(used: Session) -> None:
    set_controller(used, CONTROLLER)
    registry.create(
        used, name="<script>x</script>|\n# y", url="https://print.test/", purpose=POST,
        segment_keys=["buyers"], declared={"region": "US"},
    )  # fmt: skip
    text = page(record_of_processing(used, at=NOW))
    assert "<script" not in text
    assert "\n# y" not in text
    assert "## Send \\| offers" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert all(len(_bars(line)) == 3 for line in rows)
    assert "| People allowed | 2 |" in text
    empty = page(record_of_processing(used, at=NOW, people=False))
    assert "| People allowed | – |" in empty


def _bars(line: str) -> list[int]:
    return [n for n, sign in enumerate(line) if sign == "|" and line[n - 1 : n] != "\\"]


def test_over_http_it_is_read_with_the_scope_in_both_forms(
    server: TestClient, token: Callable[..., dict[str, str]]
) -> None:
    path, reader = "/v1/record-of-processing", token("privacy:read")
    assert server.get(path, headers=reader).json()["gaps"] == ["the controller is not set"]
    text = server.get(path, params={"format": "markdown", "people": False}, headers=reader)
    assert text.headers["content-type"].startswith("text/markdown")
    assert text.text.startswith("# Record of processing")
    assert server.get(path, headers=token("consents:read")).status_code == 403
    assert server.get(path, params={"format": "pdf"}, headers=reader).status_code == 422
