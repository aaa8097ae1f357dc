"""ISO/IEC TS 27560:2023 in the Data Privacy Vocabulary, as JSON-LD.

After the guide "Consent Records and Receipts as per ISO/IEC TS 27560:2023 using DPV" of W3C's
DPVCG.
"""

import re
from datetime import datetime
from typing import Any
from uuid import uuid5

from consent.receipts.facts import Facts

STATES = {
    "given": "dpv:ConsentGiven",
    "refused": "dpv:ConsentRefused",
    "withdrawn": "dpv:ConsentWithdrawn",
}
CONTEXT = {
    "dpv": "https://w3id.org/dpv#",
    "loc": "https://w3id.org/dpv/loc#",
    "eu-gdpr": "https://w3id.org/dpv/legal/eu/gdpr#",
    "dpv-27560": "https://w3id.org/dpv/schema/dpv-27560#",
    "dct": "http://purl.org/dc/terms/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "schema": "https://schema.org/",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}
COUNTRY = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,3})?")
#: The concept of a vocabulary that may stand for a purpose.
CONCEPT = re.compile(r"dpv:[A-Za-z]+")


def dpv(facts: Facts) -> dict[str, Any]:
    """Return a receipt with its record as ISO/IEC TS 27560 demands, in JSON-LD without a remote
    context: `dpv:ConsentReceipt`, profile `dpv-27560:receipt-eu-gdpr`.

    Raises ReceiptNotPossible and ReceiptIncomplete.
    """
    facts.demand_complete()
    controller, here = facts.controller, f"{facts.address}/v1/consents/{facts.record_id}"
    return {
        "@context": CONTEXT,
        "@id": f"{here}/receipt?format=dpv",
        "@type": "dpv:ConsentReceipt",
        "dct:conformsTo": _ref("dpv-27560:receipt-eu-gdpr"),
        "dct:identifier": str(uuid5(facts.record_id, "receipt")),
        "dct:publisher": _ref(_controller_id(facts)),
        "dpv:hasRecordOfActivity": {
            "@id": here,
            "@type": "dpv:ConsentRecord",
            "dct:conformsTo": _ref("dpv-27560:record-eu-gdpr"),
            "dct:identifier": str(facts.record_id),
            "dct:created": _time(facts.recorded_at),
            "dct:language": facts.language,
            "dpv:hasDataSubject": _ref(f"{here}#subject"),
            "dpv:hasDataController": _ref(_controller_id(facts)),
            "dpv:hasJurisdiction": _place(controller["jurisdiction"]),
            "dpv:hasNotice": _notices(facts),
            "dpv:hasProcess": _process(facts),
            "dpv:hasConsentStatus": _status(facts, here),
            "dpv:hasConsentControl": {
                "@type": "dpv:WithdrawConsent",
                "dpv:isExercisedAt": _ref(controller["withdrawal_url"]),
            },
            "dpv:hasRight": {
                "@type": "dpv:DataSubjectRight",
                "dpv:isExercisedAt": _ref(controller["rights_url"]),
            },
            "dpv:hasAuthority": _ref(f"{here}#authority"),
            "dpv:hasEntity": _entities(facts, here),
        },
    }


def _process(facts: Facts) -> dict[str, Any]:
    """Return the processing that the consent is of."""
    purpose, declared = facts.purpose, facts.declared
    explicit = purpose.explicit or bool(facts.special)
    concept = purpose.declared.get("mappings", {}).get("dpv", "")
    data = [{"@type": "dpv:PersonalData", "dct:title": n} for n in declared["data_classes"]]
    data += [{"@type": "dpv:SpecialCategoryPersonalData", "dct:title": n} for n in facts.special]
    found: dict[str, Any] = {
        "@type": "dpv:Process",
        "dpv:hasPurpose": {
            "@type": concept if CONCEPT.fullmatch(str(concept)) else "dpv:Purpose",
            "dct:identifier": f"{purpose.key}/{purpose.version}",
            "dct:title": facts.title,
        },
        "dpv:hasLegalBasis": [
            _ref("dpv:ExplicitlyExpressedConsent" if explicit else "dpv:ExpressedConsent"),
            _ref("eu-gdpr:A6-1-a"),
            # Beside article 6, never in its place; explicit consent is asked for elsewhere too.
            *([_ref("eu-gdpr:A9-2-a")] if facts.special else []),
        ],
        "dpv:hasPersonalData": data,
        "dpv:hasDataSource": {"@type": "dpv:DataSubjectDataSource", "dct:title": facts.method},
        "dpv:hasProcessing": [_ref("dpv:Collect"), _ref("dpv:Store"), _ref("dpv:Use")],
        "dpv:hasStorageCondition": [
            {
                "@type": "dpv:StorageLocation",
                "dpv:hasLocation": [_place(one) for one in declared["storage_locations"]],
            },
            {
                "@type": "dpv:StorageDuration",
                "dpv:hasDuration": _days(int(declared["retention_days"])),
            },
        ],
        "dpv:hasRecipient": [
            _ref(_controller_id(facts)),
            *(_ref(_recipient_id(facts, number)) for number, _ in enumerate(facts.recipients)),
        ],
    }
    found["dpv:hasProcessing"] += [  # the vocabulary has no relation of their own for these
        {
            "@type": "dpv:Transfer",
            "dpv:hasLocation": _place(one["country"]),
            "dct:title": one["tool"],
        }
        for one in declared.get("transfers") or ()
    ]
    if declared.get("dpia_ref"):
        found["dpv:hasAssessment"] = {"@type": "dpv:DPIA", "dct:title": declared["dpia_ref"]}
    return found


def _status(facts: Facts, here: str) -> dict[str, Any]:
    """Return the event: its state, time, duration, who expressed it and how."""
    if facts.valid_until is None:
        lasts: Any = {"@type": "dpv:UntilEventDuration", "rdf:value": "withdrawal of consent"}
    else:
        until = _time(facts.valid_until)
        lasts = {"@type": "dpv:UntilTimeDuration", "rdf:value": until}
    return {
        "@type": STATES[facts.state],
        "dpv:isIndicatedAtTime": _time(facts.effective_at),
        "dpv:hasDuration": lasts,
        "dpv:isIndicatedBy": _ref(f"{here}#{'subject' if facts.guardian is None else 'guardian'}"),
        "dpv:hasIndicationMethod": facts.told,
    }


def _notices(facts: Facts) -> list[dict[str, Any]]:
    """Return the notice that was shown, if the record names one, and the privacy policy."""
    found: list[dict[str, Any]] = []
    shown = facts.notice or {}
    if "key" in shown:
        found.append(
            {
                "@type": "dpv:ConsentNotice",
                "dct:identifier": f"{shown['key']}/{shown.get('version')}/{facts.language}",
                "dct:language": facts.language,
                "schema:sha256": shown.get("body_sha256", ""),
            }
        )
    policy = {"@type": "dpv:PrivacyNotice", "schema:url": facts.controller["policy_url"]}
    return [*found, {**policy, "dct:language": facts.language}]


def _entities(facts: Facts, here: str) -> list[dict[str, Any]]:
    """Return everybody who is named: the person by identifier alone, the others with contact."""
    controller, authority = facts.controller, facts.controller["authority"]
    found = [
        {
            "@id": _controller_id(facts),
            "@type": "dpv:DataController",
            "dpv:hasIdentifier": _controller_id(facts),
            "dpv:hasName": controller["name"],
            "dpv:hasAddress": {
                "@type": "schema:PostalAddress",
                **{f"schema:{k}": v for k, v in controller["address"].items() if v},
            },
            "dpv:hasContact": {
                "@type": "schema:ContactPoint",
                "schema:name": controller["contact"],
                "schema:email": controller["email"],
                "schema:telephone": controller["phone"],
            },
        },
        {
            "@id": f"{here}#subject",
            "@type": "dpv:DataSubject",
            "dpv:hasIdentifier": facts.subject,
        },
        {
            "@id": f"{here}#authority",
            "@type": "dpv:DataProtectionAuthority",
            "dpv:hasName": authority["name"],
            "schema:url": authority.get("url", ""),
        },
    ]
    if facts.guardian is not None:  # by their part alone: nobody is named who is not on record
        found.append({"@id": f"{here}#guardian", "@type": "dpv:GuardianOfDataSubject"})
    officer = controller.get("dpo")
    if officer:
        contact = {f"schema:{k}": v for k, v in officer.items() if v}
        found.append({"@id": f"{facts.address}/#dpo", "@type": "dpv:DataProtectionOfficer",
                      "dpv:hasContact": {"@type": "schema:ContactPoint", **contact}})  # fmt: skip
    found += [
        {"@id": _recipient_id(facts, number), "@type": "dpv:Recipient", "dpv:hasName": name}
        for number, name in enumerate(facts.recipients)
    ]
    return found


def _controller_id(facts: Facts) -> str:
    return f"{facts.address}/#controller"


def _recipient_id(facts: Facts, number: int) -> str:
    return f"{facts.address}/v1/consents/{facts.record_id}#recipient-{number + 1}"


def _ref(term: str) -> dict[str, str]:
    return {"@id": term}


def _place(name: str) -> dict[str, str] | str:
    return _ref(f"loc:{name}") if COUNTRY.fullmatch(name) else name


def _time(at: datetime) -> dict[str, str]:
    return {"@type": "xsd:dateTime", "@value": at.isoformat()}


def _days(days: int) -> dict[str, str]:
    return {"@type": "dpv:TemporalDuration", "rdf:value": f"P{days}D"}
