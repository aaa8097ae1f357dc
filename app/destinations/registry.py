"""Destinations: registering, finding, enabling."""

import base64
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.destinations.tables import Delivery, Destination
from app.errors import DefinitionInvalid, DestinationExists, DestinationNotFound
from app.segments import members as segments
from app.segments.tables import Segment
from consent.signals.vendor import purposes_of


def create(
    session: Session,
    *,
    name: str,
    url: str,
    purpose: str,
    segment_keys: Sequence[str],
    tcf_vendor: int | None = None,
    declared: Mapping[str, Any] | None = None,
) -> Destination:
    """Register a webhook; its signing secret (`whsec_…`) is shown only in this answer.

    A destination cannot be without a purpose: what is sent is decided by it, and its segments
    are for the same one. Members that the segments have already are sent as entered. `declared`
    is told of it and decides nothing. Raises DestinationExists, PurposeNotFound,
    SegmentNotFound, DefinitionInvalid.
    """
    if not url.startswith(("http://", "https://")) or len(url) > 2048:
        raise DefinitionInvalid("#/url: an http or https address is needed")
    serving(session, purpose, segment_keys)
    if tcf_vendor is not None and not purposes_of(purpose):
        raise DefinitionInvalid(f"#/tcf_vendor: {purpose} is no purpose of TCF")
    if session.scalar(sa.select(Destination.id).where(Destination.name == name)):
        raise DestinationExists(name)
    destination = Destination(
        name=name,
        kind="webhook",
        url=url,
        secret="whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(),
        purpose=purpose,
        tcf_vendor=tcf_vendor,
        segments=list(segment_keys),
        declared=dict(declared or {}),
        enabled=True,
    )
    session.add(destination)
    session.flush()
    return destination


def serving(session: Session, purpose: str, segment_keys: Sequence[str]) -> list[Segment]:
    """Return the segments, all of which a destination for this purpose may hear of.

    Raises PurposeNotFound, SegmentNotFound, DefinitionInvalid.
    """
    consent.catalogue.purpose(session, purpose)
    found = [segments.find(session, key) for key in segment_keys]
    for segment in found:
        if segment.purpose != purpose:  # who withdraws this one alone would never be taken back
            raise DefinitionInvalid(
                f"#/segments: {segment.key} serves {segment.purpose}, not {purpose}"
            )
    return found


def find(session: Session, destination_id: int) -> Destination:
    """Return a destination; raises DestinationNotFound."""
    destination = session.get(Destination, destination_id)
    if destination is None:
        raise DestinationNotFound(str(destination_id))
    return destination


def list_all(session: Session) -> list[Destination]:
    """Return all destinations, by name."""
    return list(session.scalars(sa.select(Destination).order_by(Destination.name)))


def waiting(session: Session, destination: Destination) -> int:
    """Return how many messages wait to be sent."""
    query = sa.select(sa.func.count()).where(
        Delivery.destination_id == destination.id, Delivery.state == "waiting"
    )
    return session.scalar(query) or 0


def remove(session: Session, destination_id: int) -> None:
    """Remove a destination and what waits for it."""
    session.delete(find(session, destination_id))


def deliveries(
    session: Session, destination_id: int, *, after: int = 0, limit: int = 100
) -> list[Delivery]:
    """Return what was sent, is waiting or was dropped, in order, with the reason of each."""
    find(session, destination_id)
    query = sa.select(Delivery).where(
        Delivery.destination_id == destination_id, Delivery.id > after
    )
    return list(session.scalars(query.order_by(Delivery.id).limit(limit)))
