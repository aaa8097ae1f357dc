"""Receipts hold what their standards demand, and are refused when they cannot (check 66)."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import jsonschema_rs
import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session
from typer.testing import CliRunner

import consent
from api.cli.root import app
from app.accountability.controller import Controller, set_controller
from app.accountability.receipt import receipt
from app.db import Sessions
from app.ledger.job import LedgerJob
from app.settings import Settings
from consent import Choice, receipts
from consent.errors import ReceiptIncomplete, ReceiptNotPossible
from consent.ledger import store
from consent.receipts.facts import DECLARED, NEEDED

NOW = datetime(2026, 11, 28, 9, 30, tzinfo=UTC)
CONTROLLER: dict[str, Any] = Controller.model_json_schema()["example"]
DECLARES = {"data_classes": ["contact", "behaviour"], "retention_days": 1095, "recipients": []}
TEXT, FLAG = {"type": "string"}, {"type": "boolean"}
TEXTS = {"type": "array", "items": TEXT}


def shape(required: str, **members: Any) -> dict[str, Any]:
    return {"type": "object", "properties": members, "required": required.split()}


#: The rules of Kantara's schema of v1.1.0 (draft 6, 2017-11-17): types, and what is required.
KANTARA = shape(
    "version jurisdiction consentTimestamp collectionMethod consentReceiptID piiPrincipalId "
    "piiControllers services policyUrl sensitive spiCat",
    **dict.fromkeys(
        ("version", "jurisdiction", "collectionMethod", "consentReceiptID", "publicKey",
         "language", "piiPrincipalId", "policyUrl"), TEXT,
    ),
    consentTimestamp={"type": "integer", "minimum": 0},
    sensitive=FLAG,
    spiCat=TEXTS,
    piiControllers={
        "type": "array",
        "items": shape(
            "piiController contact address email phone",
            **dict.fromkeys("piiController contact email phone piiControllerUrl".split(), TEXT),
            onBehalf=FLAG,
            address={"type": "object"},
        ),
    },
    services={
        "type": "array",
        "items": shape(
            "service purposes",
            service=TEXT,
            purposes={
                "type": "array",
                "items": {
                    **shape(
                        "consentType purposeCategory piiCategory termination thirdPartyDisclosure",
                        **dict.fromkeys(("purpose", "consentType", "termination"), TEXT),
                        purposeCategory=TEXTS,
                        piiCategory=TEXTS,
                        primaryPurpose=FLAG,
                    ),
                    "oneOf": [
                        shape("thirdPartyDisclosure", thirdPartyDisclosure={"enum": [False]}),
                        shape(
                            "thirdPartyDisclosure thirdPartyName",
                            thirdPartyDisclosure={"enum": [True]},
                            thirdPartyName=TEXT,
                        ),
                    ],
                },
            },
        ),
    },
)  # fmt: skip
#: What ISO/IEC TS 27560 makes mandatory, and where DPV's guide has it in the record.
RECORD = ("dct:conformsTo", "dct:identifier", "dpv:hasDataSubject", "dpv:hasNotice", "dct:language",
          "dpv:hasJurisdiction", "dpv:hasConsentControl", "dpv:hasEntity", "dpv:hasConsentStatus",
          "dpv:hasDataController")  # fmt: skip
PROCESS = ("dpv:hasPurpose", "dpv:hasPersonalData", "dpv:hasStorageCondition", "dpv:hasRecipient",
           "dpv:hasLegalBasis")  # fmt: skip
EVENT = ("@type", "dpv:isIndicatedAtTime", "dpv:hasDuration", "dpv:isIndicatedBy")
PARTY = ("dpv:hasIdentifier", "dpv:hasName", "dpv:hasAddress", "dpv:hasContact", "@type")


def facts(**more: Any) -> receipts.Facts:
    known: dict[str, Any] = {
        "record_id": uuid4(), "subject": "user_id:u-42", "state": "given", "effective_at": NOW,
        "recorded_at": NOW, "valid_until": NOW + timedelta(days=395), "notice": None,
        "method": "preference centre", "purpose": consent.Purpose("marketing.email"),
        "declared": {**DECLARES, "storage_locations": ["FR"]}, "recipients": (),
        "controller": CONTROLLER, "address": "https://cdp.example",
    }  # fmt: skip
    return receipts.Facts(**{**known, **more})


def validate(receipt: dict[str, Any]) -> None:
    jsonschema_rs.validator_for(
        {"$schema": "http://json-schema.org/draft-04/schema#", **KANTARA}
    ).validate(receipt)


@pytest.mark.parametrize("recipients", [(), ("Mailer SAS",)])
@pytest.mark.parametrize("special", [[], ["health", "union membership"]])
@pytest.mark.parametrize("until", [None, NOW + timedelta(days=1)])
def test_a_kantara_receipt_meets_the_schema_of_its_version(
    recipients: tuple[str, ...], special: list[str], until: datetime | None
) -> None:
    declared = {**DECLARES, "storage_locations": ["FR"], "special_categories": special}
    made = receipts.kantara(facts(recipients=recipients, declared=declared, valid_until=until))
    validate(made)
    [purpose] = made["services"][0]["purposes"]
    assert purpose["purposeCategory"] == ["6 - Marketing"]
    assert purpose["piiCategory"] == ["2 - Contact", "15 - Behavioral"]
    assert purpose["thirdPartyDisclosure"] is bool(recipients)
    assert made["consentTimestamp"] == int(NOW.timestamp())
    assert made["sensitive"] is bool(special)
    assert json.loads(json.dumps(made)) == made


@pytest.mark.parametrize(
    "damage",
    [
        lambda r: r.pop("policyUrl"),
        lambda r: r["piiControllers"][0].pop("phone"),
        lambda r: r["services"][0]["purposes"][0].pop("thirdPartyName"),
        lambda r: r["services"][0]["purposes"][0].update(thirdPartyDisclosure="yes"),
        lambda r: r.update(consentTimestamp=-1),
    ],
)
def test_the_schema_of_the_test_refuses_what_kantara_refuses(
    damage: Callable[[dict[str, Any]], None],
) -> None:
    made = receipts.kantara(facts(recipients=("Mailer SAS",)))
    damage(made)
    with pytest.raises(jsonschema_rs.ValidationError):
        validate(made)


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every node of a JSON-LD document."""
    if isinstance(value, dict):
        yield value
    for inner in (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    ):
        yield from nodes(inner)


@pytest.mark.parametrize("state", ["given", "refused", "withdrawn"])
@pytest.mark.parametrize("until", [None, NOW + timedelta(days=1)])
def test_a_dpv_receipt_is_json_ld_and_has_every_mandatory_field_of_27560(
    state: str, until: datetime | None
) -> None:
    notice = {"key": "banner", "version": 2, "language": "fr", "body_sha256": "9f86"}
    made = receipts.dpv(
        facts(state=state, valid_until=until, notice=notice, recipients=("Mailer SAS",))
    )
    assert made["@type"] == "dpv:ConsentReceipt"
    assert made["dct:identifier"] != made["dpv:hasRecordOfActivity"]["dct:identifier"]
    record = made["dpv:hasRecordOfActivity"]
    process, status = record["dpv:hasProcess"], record["dpv:hasConsentStatus"]
    for node, fields in ((record, RECORD), (process, PROCESS), (status, EVENT)):
        assert [field for field in fields if not node.get(field)] == []
    controller = next(e for e in record["dpv:hasEntity"] if e["@type"] == "dpv:DataController")
    assert [field for field in PARTY if not controller.get(field)] == []
    kinds = {condition["@type"] for condition in process["dpv:hasStorageCondition"]}
    assert kinds == {"dpv:StorageLocation", "dpv:StorageDuration"}
    assert status["@type"].lower().endswith(state)
    assert record["dct:language"] == "fr"
    # JSON-LD: terms are keywords or have a prefix that the context declares; nothing is remote.
    context = made["@context"]
    assert all(isinstance(iri, str) and iri[-1] in "#/" for iri in context.values())
    for node in nodes({k: v for k, v in made.items() if k != "@context"}):
        for term in node:
            assert term in ("@id", "@type", "@value") or term.partition(":")[0] in context, term
        kind = node.get("@type")
        assert kind is None or re.fullmatch(r"(dpv|schema|xsd):[A-Za-z]+", kind), kind
        if "@value" in node:
            assert node.keys() == {"@type", "@value"}
    # Whoever is referred to within the record is described in it.
    named = {entity["@id"] for entity in record["dpv:hasEntity"]}
    referred = [*process["dpv:hasRecipient"], record["dpv:hasDataController"],
                record["dpv:hasDataSubject"], record["dpv:hasAuthority"]]  # fmt: skip
    assert {one["@id"] for one in referred} <= named


def test_receipts_tell_of_a_guardian_who_agreed_for_a_child() -> None:
    given = facts(guardian="e-mail to the parent, confirmed")
    told = "preference centre; by a guardian, verified by e-mail to the parent, confirmed"
    assert receipts.kantara(given)["collectionMethod"] == told
    record = receipts.dpv(given)["dpv:hasRecordOfActivity"]
    said = record["dpv:hasConsentStatus"]
    assert said["dpv:hasIndicationMethod"] == told
    by = said["dpv:isIndicatedBy"]["@id"]
    [guardian] = [one for one in record["dpv:hasEntity"] if one["@id"] == by]
    assert guardian["@type"] == "dpv:GuardianOfDataSubject"
    own = receipts.dpv(facts())["dpv:hasRecordOfActivity"]
    assert own["dpv:hasConsentStatus"]["dpv:isIndicatedBy"]["@id"].endswith("#subject")


def test_a_guardians_grant_on_record_is_told_as_theirs(session: Session) -> None:
    evidence = {"expressed_by": "guardian", "guardian": {"verified_by": "a call"}}
    theirs = Choice("user_id", "kim", "marketing.email", "given", NOW, "client:crm",
                    evidence=evidence)  # fmt: skip
    [written] = consent.record(session, [theirs], received_at=NOW)
    set_controller(session, Controller.model_validate(CONTROLLER))
    made = receipt(session, UUID(written.record_id), "kantara", address="https://x")
    assert "by a guardian, verified by a call" in made["collectionMethod"]


def test_a_receipt_is_refused_that_lacks_something_and_all_of_it_is_named() -> None:
    for form in (receipts.kantara, receipts.dpv):
        with pytest.raises(ReceiptIncomplete) as refused:
            form(facts(controller={}, declared={}))
        assert all(name in str(refused.value) for name in (*NEEDED, *DECLARED))
        with pytest.raises(ReceiptNotPossible):
            form(facts(purpose=consent.Purpose("service", lawful_basis="contract")))
    with pytest.raises(ReceiptNotPossible):
        receipts.kantara(facts(state="withdrawn"))


@pytest.mark.parametrize("special", [[], ["health"]])
@pytest.mark.parametrize("explicit", [False, True])
def test_every_consent_is_of_article_6_and_of_article_9_only_with_special_categories(
    special: list[str], explicit: bool
) -> None:
    purpose = replace(consent.Purpose("geo.precise"), explicit=explicit)
    declared = {**DECLARES, "storage_locations": ["FR"], "special_categories": special}
    record = receipts.dpv(facts(purpose=purpose, declared=declared))["dpv:hasRecordOfActivity"]
    bases = [one["@id"] for one in record["dpv:hasProcess"]["dpv:hasLegalBasis"]]
    expressed = "ExplicitlyExpressedConsent" if special or explicit else "ExpressedConsent"
    article_9 = ["eu-gdpr:A9-2-a"] if special else []
    assert bases == [f"dpv:{expressed}", "eu-gdpr:A6-1-a", *article_9]


def test_a_transfer_is_told_as_the_vocabulary_knows_it() -> None:
    """As a processing: DPV 2 has no relation for transfers, and an expander drops what it lacks."""
    declared = {**DECLARES, "storage_locations": ["FR"],
                "transfers": [{"country": "US", "tool": "standard clauses"}]}  # fmt: skip
    made = receipts.dpv(facts(declared=declared))["dpv:hasRecordOfActivity"]["dpv:hasProcess"]
    assert made["dpv:hasProcessing"][-1] == {
        "@type": "dpv:Transfer", "dpv:hasLocation": {"@id": "loc:US"},
        "dct:title": "standard clauses",
    }  # fmt: skip
    assert not [term for node in nodes(made) for term in node if term == "dpv:hasDataTransfer"]


def test_what_a_later_version_added_is_in_no_receipt_of_an_earlier_one(session: Session) -> None:
    set_controller(session, Controller.model_validate(CONTROLLER))
    first = consent.Purpose("product.more", explicit=True, declared={"data_classes": ["contact"]})
    later = {
        **DECLARES, "special_categories": ["health"], "recipients": ["Later SA"],
        "art9_condition": "explicit consent", "transfers": [{"country": "US", "tool": "clauses"}],
    }  # fmt: skip
    consent.catalogue.add_purpose(session, first)
    choice = Choice("user_id", "u-1", "product.more", "given", NOW, "operator:desk")
    [written] = consent.record(session, [choice], received_at=NOW)
    at = datetime(2026, 2, 1, tzinfo=UTC)
    next_ = replace(first, version=2, declared=later, effective_from=at, renews=True)
    consent.catalogue.add_purpose(session, next_)
    made = receipt(session, UUID(str(written.record_id)), "dpv", address="https://cdp.example")
    process = made["dpv:hasRecordOfActivity"]["dpv:hasProcess"]
    assert process["dpv:hasPurpose"]["dct:identifier"] == "product.more/1"
    assert [one["dct:title"] for one in process["dpv:hasPersonalData"]] == ["contact"]
    assert "dpv:Transfer" not in json.dumps(process)
    text = json.dumps(made)
    assert "P1095D" in text  # the newest still says what the first did not, and had to
    assert not [name for name in ("Later SA", "health", "A9-2-a") if name in text]


def test_over_http_a_receipt_waits_for_the_controller_alone(
    server: TestClient, token: Callable[..., dict[str, str]], sessions: Sessions, settings: Settings
) -> None:
    reader, officer = token("consents:read"), token("consents:read", "privacy:process")
    choice = Choice("user_id", "u-42", "marketing.email", "given", NOW, "source:shop")
    with sessions.begin() as session:
        [written] = consent.record(session, [choice], received_at=NOW)
    path = f"/v1/consents/{written.record_id}/receipt"

    def get(status: int, **query: str) -> Any:
        answer = server.get(path, params=query, headers=reader)
        assert answer.status_code == status, answer.text
        return answer.json()

    assert server.get("/v1/controller", headers=reader).json()["code"] == "controller-not-found"
    assert "controller" in get(409)["message"]
    assert server.put("/v1/controller", json=CONTROLLER, headers=reader).status_code == 403
    wrong = {**CONTROLLER, "email": ""}
    assert server.put("/v1/controller", json=wrong, headers=officer).status_code == 422
    for _ in range(2):
        assert server.put("/v1/controller", json=CONTROLLER, headers=officer).status_code == 200
    assert server.get("/v1/controller", headers=reader).json()["name"] == "Boutique SA"
    made = get(200)  # the default catalogue declares what a receipt tells
    validate(made)
    assert made == get(200, format="kantara")
    assert made["piiPrincipalId"] == "user_id:u-42"
    assert get(200, format="dpv")["@type"] == "dpv:ConsentReceipt"
    get(422, format="pdf")
    missing = server.get(f"/v1/consents/{uuid4()}/receipt", headers=reader)
    assert missing.json()["code"] == "consent-record-not-found"
    other = token("segments:read")
    assert server.get(path, headers=other).status_code == 403

    job = LedgerJob(sessions, settings)
    job.round()
    with sessions() as session:
        entries = [store.said(row) for row in store.entries(session, start=0, limit=500)]
    stated = [entry for entry in entries if entry.get("what") == "controller"]
    assert len(stated) == 2
    assert "Boutique" not in json.dumps(entries)


def test_by_command_the_controller_is_set_and_a_receipt_printed(
    sessions: Sessions, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PARCOURS_DATABASE_URL", str(settings.database_url))
    monkeypatch.setenv("PARCOURS_DATA_DIR", str(settings.home))
    file = tmp_path / "controller.json"
    file.write_text(json.dumps(CONTROLLER), encoding="utf-8")
    run = CliRunner()
    assert json.loads(run.invoke(app, ["consent", "controller", str(file)]).output)["name"]
    choice = Choice("user_id", "u-1", "product.more", "given", NOW, "source:shop")
    with sessions.begin() as session:
        consent.catalogue.add_purpose(session, consent.Purpose("product.more", declared=DECLARES))
        [written] = consent.record(session, [choice], received_at=NOW)
    answer = run.invoke(app, ["consent", "receipt", written.record_id, "--format", "dpv"])
    assert json.loads(answer.output)["@type"] == "dpv:ConsentReceipt"
    file.write_text("{", encoding="utf-8")
    failed = run.invoke(app, ["consent", "controller", str(file)])
    assert type(failed.exception).__name__ == "DefinitionInvalid"
    file.write_text(json.dumps({"purpose": {"key": "product.more", "renews": True}}))
    simulated = run.invoke(app, ["consent", "simulate", str(file)])
    assert json.loads(simulated.output)["change"] == "purpose"
