"""Kantara Consent Receipt 1.1; the form is that of its JSON schema, v1.1.0 draft 6."""

from typing import Any

from consent.errors import ReceiptNotPossible
from consent.purposes import Purpose
from consent.receipts.facts import Facts

#: Kantara's numbered categories (specification 1.1, appendix), by words that are used here.
PII = {
    "biographical": "1 - Biographical", "contact": "2 - Contact", "biometric": "3 - Biometric",
    "social": "4 - Communications/Social", "network": "5 - Network/Service",
    "identifiers": "5 - Network/Service", "health": "6 - Health", "financial": "7 - Financial",
    "official_id": "8 - Official ID", "membership": "14 - Membership",
    "behaviour": "15 - Behavioral", "behavior": "15 - Behavioral", "profile": "16 - Profiling",
}  # fmt: skip
#: Of a purpose, by the beginning of its key; the longest counts.
PURPOSES = {
    "service": "1 - Core Function", "content": "5 - Personalize Experience",
    "profile": "5 - Personalize Experience", "marketing": "6 - Marketing", "ads": "6 - Marketing",
    "ads.share": "9 - Sharing for Marketing", "analytics": "16 - Improve Performance",
    "measure": "16 - Improve Performance", "product": "16 - Improve Performance",
}  # fmt: skip


def kantara(facts: Facts) -> dict[str, Any]:
    """Return a Consent Receipt 1.1, of one consent that was given.

    Its form has no word for a refusal or a withdrawal. Raises ReceiptNotPossible and
    ReceiptIncomplete.
    """
    facts.demand_complete()
    if facts.state != "given":
        raise ReceiptNotPossible(
            f"a Kantara receipt tells of consent; this record is {facts.state}"
        )
    controller = facts.controller
    address = {k: v for k, v in controller["address"].items() if v}
    party = {
        "piiController": controller["name"],
        "contact": controller["contact"],
        "address": address,
        "email": controller["email"],
        "phone": controller["phone"],
    }
    if controller.get("url"):
        party["piiControllerUrl"] = controller["url"]
    return {
        "version": "KI-CR-v1.1.0",
        "jurisdiction": controller["jurisdiction"],
        "consentTimestamp": max(0, int(facts.effective_at.timestamp())),
        "collectionMethod": facts.told,
        "consentReceiptID": str(facts.record_id),
        "language": facts.language,
        "piiPrincipalId": facts.subject,
        "piiControllers": [party],
        "policyUrl": controller["policy_url"],
        "services": [{"service": controller["name"], "purposes": [_kantara_purpose(facts)]}],
        "sensitive": bool(facts.special),
        "spiCat": [_category(name) for name in facts.special],
    }


def _kantara_purpose(facts: Facts) -> dict[str, Any]:
    """Return the purpose; who is told by name must be named, so nobody is named for nothing."""
    ends = "until withdrawn"
    if facts.valid_until is not None:
        ends += f", at the latest {facts.valid_until.date().isoformat()}"
    found: dict[str, Any] = {
        "purpose": facts.title,
        "purposeCategory": [_purpose_category(facts.purpose)],
        "consentType": "EXPLICIT",
        "piiCategory": [_category(name) for name in facts.declared["data_classes"]],
        "primaryPurpose": True,
        "termination": f"{ends}; kept {facts.declared['retention_days']} days",
        "thirdPartyDisclosure": bool(facts.recipients),
    }
    if facts.recipients:
        found["thirdPartyName"] = ", ".join(facts.recipients)
    return found


def _category(name: str) -> str:
    return PII.get(name.lower(), name)


def _purpose_category(purpose: Purpose) -> str:
    named = purpose.declared.get("mappings", {}).get("kantara")
    if isinstance(named, str):
        return named
    words = purpose.key.split(".")
    starts = [".".join(words[:count]) for count in range(len(words), 0, -1)]
    return next((PURPOSES[start] for start in starts if start in PURPOSES), purpose.key)
