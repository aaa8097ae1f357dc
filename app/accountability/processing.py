"""The record of processing activities (GDPR art. 30): what is declared, and what really flows.

Each purpose of the catalogue is an activity. What is declared comes from its version in effect, the
rest from what is set up now: sources that collect for it, segments, destinations, clients, and how
many people its consent allows. What is missing stands in `gaps`.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.access.tables import Client, Source
from app.accountability.compare import decided
from app.db import read_only, statement
from app.destinations import registry
from app.destinations.tables import Destination
from app.retention import rules
from app.segments.tables import Segment
from consent import party
from consent.errors import ControllerNotFound
from consent.ledger import store
from consent.receipts.dpv import COUNTRY

#: The European Economic Area: what goes elsewhere is a transfer (GDPR art. 44).
EEA = frozenset(
    ["AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IS",
     "IT", "LI", "LT", "LU", "LV", "MT", "NL", "NO", "PL", "PT", "RO", "SE", "SI", "SK"]
)  # fmt: skip
#: What this product does to keep the data (GDPR art. 32), wherever it runs.
MEASURES = (
    "Consent is decided at every use, in the database, and without a reason to allow denied",
    "Consent records are only added, and sealed in a ledger whose state is signed",
    "What the ledger holds of a person is encrypted under a key per identifier, kept apart",
    "Clients have scopes and purposes; a read states its purpose, and secrets are kept as hashes",
    "Messages to destinations are signed, and consent is decided again when they are sent",
    "Events held before the visitor's answer are encrypted",
    "Erasure is a plan with a result per store, journalled, and replayed after a restore",
)
#: What a purpose has to declare to be on record whole.
EXPECTED = ("persons", "data_classes", "retention_days")


def record_of_processing(session: Session, *, at: datetime, people: bool = True) -> dict[str, Any]:
    """Return the record, as it is at this moment; nothing is written.

    Without `people` nobody is counted, which takes as long as a decision about everybody for each
    purpose that is in use.
    """
    with read_only(session):
        controller = _controller(session)
        activities = [
            _activity(session, purpose, controller, at, people=people)
            for purpose in sorted(
                consent.catalogue.purposes(session, at=at).values(), key=lambda p: p.key
            )
        ]
        head = store.head(session)
        ledger = {"entries": head.size, "root": head.root.hex() if head.size else None}
    return {
        "generated_at": at.isoformat(),
        "controller": controller or None,
        "measures": [*MEASURES, *controller.get("measures", ())],
        "ledger": ledger,
        "activities": activities,
        "gaps": ([] if controller else ["the controller is not set"])
        + [f"{one['purpose']}: {gap}" for one in activities for gap in one["gaps"]],
    }


def _controller(session: Session) -> dict[str, Any]:
    try:
        return party.controller(session)
    except ControllerNotFound:
        return {}


def _activity(
    session: Session,
    purpose: consent.Purpose,
    controller: dict[str, Any],
    at: datetime,
    *,
    people: bool,
) -> dict[str, Any]:
    """Return what is on record of one purpose."""
    declared = purpose.declared
    sources = _sources(session, purpose.key)
    parts = [_segment(session, segment) for segment in _of(session, Segment, purpose.key)]
    destinations = [_destination(session, one) for one in registry.receiving(session, purpose.key)]
    # Whom something was disclosed to stays a recipient (art. 30(1)(d)).
    destinations = [d for d in destinations if d["removed_at"] is None or d["people_told"]]
    used = bool(sources or parts or destinations or _has_records(session, purpose.key))
    receiving = [one["recipient"] for one in destinations]
    storage = declared.get("storage_locations") or controller.get("storage_locations", [])
    found = {
        "purpose": purpose.key,
        "version": purpose.version,
        "title": purpose.title,
        "description": purpose.description,
        "in_use": used,
        "lawful_basis": purpose.lawful_basis,
        "regime": purpose.regime,
        "article_9_condition": declared.get("art9_condition"),
        "categories_of_persons": declared.get("persons", []),
        "categories_of_data": declared.get("data_classes", []),
        "special_categories": declared.get("special_categories", []),
        "sources": sources,
        "segments": parts,
        "destinations": destinations,
        "read_by": _clients(session, purpose.key),
        "recipients": [*dict.fromkeys([*declared.get("recipients", []), *receiving])],
        "transfers": [*declared.get("transfers", []), *_transfers(destinations)],
        "storage_locations": storage,
        "retention": {
            "declared_days": declared.get("retention_days"),
            "consent_lapses_after_days": purpose.valid_days,
            "rules": _rules(session, sources),
        },
        "impact_assessment": {
            "required": bool(declared.get("dpia_required")),
            "reference": declared.get("dpia_ref"),
        },
        "balancing_test": declared.get("lia_ref"),
        "people": decided(session, purpose) if people and used else None,
    }
    return {**found, "gaps": _gaps(purpose, found, destinations) if used else []}


def _of(session: Session, table: Any, purpose: str) -> Iterable[Any]:
    query = sa.select(table).where(table.purpose == purpose).order_by(table.id)
    return session.scalars(query).all()


def _sources(session: Session, purpose: str) -> list[str]:
    """Return the sources that collect for a purpose."""
    query = sa.select(Source.name).where(
        Source.removed_at.is_(None), Source.collection_purpose == purpose
    )
    return list(session.scalars(query.order_by(Source.name)))


def _clients(session: Session, purpose: str) -> list[str]:
    """Return the clients that may state a purpose and read for it."""
    query = sa.select(Client.name).where(
        Client.removed_at.is_(None), sa.literal(purpose) == sa.any_(Client.purposes)
    )
    return sorted(set(session.scalars(query)))


def _segment(session: Session, segment: Segment) -> dict[str, Any]:
    return {"segment": segment.key, "name": segment.name, "people": segment.members}


def _destination(session: Session, one: Destination) -> dict[str, Any]:
    """Return a destination, and how much it was really sent."""
    sent = session.execute(statement("app.accountability", "sent"), {"destination": one.id}).one()
    return {
        "destination": one.name,
        "recipient": one.declared.get("recipient") or one.name,
        "region": one.declared.get("region"),
        "transfer_tool": one.declared.get("transfer_tool"),
        "agreement": one.declared.get("agreement"),
        "also_for": list(one.also_for),
        "tcf_vendor": one.tcf_vendor,
        "enabled": one.enabled,
        "removed_at": one.removed_at.isoformat() if one.removed_at else None,
        "segments": list(one.segments),
        "delivered": sent.delivered,
        "people_told": sent.people,
        "last_delivery": sent.last.isoformat() if sent.last else None,
    }


def _transfers(destinations: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what goes out of the EEA by a destination."""
    return [
        {"country": d["region"], "tool": d["transfer_tool"], "destination": d["destination"]}
        for d in destinations
        if d["region"] and _outside(d["region"])
    ]


def _outside(region: str) -> bool:
    """Return whether a region is out of the EEA, as everything is that is no code of a country."""
    return not (COUNTRY.fullmatch(region) and region.partition("-")[0] in EEA)


def _rules(session: Session, sources: Iterable[str]) -> list[dict[str, Any]]:
    """Return the rules by which events of these sources are deleted."""
    wanted = {None, *sources}
    return [
        {"source": name, "type": rule.type, "event": rule.event, "days": rule.days}
        for rule, name in rules.list_all(session)
        if name in wanted
    ]


def _has_records(session: Session, purpose: str) -> bool:
    query = sa.select(sa.exists().where(consent.ConsentRecord.purpose == purpose))
    return bool(session.scalar(query))


def _gaps(
    purpose: consent.Purpose, found: dict[str, Any], destinations: Iterable[dict[str, Any]]
) -> list[str]:
    """Say what art. 30, 28, 35 and 44 ask for and nobody has told."""
    gaps = [f"declared.{name} is missing" for name in EXPECTED if not purpose.declared.get(name)]
    if not found["storage_locations"]:
        gaps.append("declared.storage_locations is missing")
    if purpose.lawful_basis == "legitimate_interests" and not found["balancing_test"]:
        gaps.append("declared.lia_ref is missing")
    if found["special_categories"] and not found["article_9_condition"]:
        gaps.append("declared.art9_condition is missing")
    for one in destinations:
        name = one["destination"]
        if one["removed_at"]:  # nobody can tell more of it
            continue
        if not one["region"]:
            gaps.append(f"destination {name}: region is missing")
        elif _outside(one["region"]) and not one["transfer_tool"]:
            gaps.append(f"destination {name}: transfer_tool is missing")
        if not one["agreement"]:
            gaps.append(f"destination {name}: agreement is missing")
    return gaps
