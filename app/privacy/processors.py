"""Destinations that speak OpenDSR 2.0: registering one, by what its discovery and certificate say.

github.com/opengdpr/OpenDSR, specification.md, 4 and 6. How a processor authenticates who asks is
left to it: `credentials` are sent as the header `Authorization`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.destinations import registry, seal
from app.destinations.exchange import parts
from app.errors import ProcessorNotFound, ProcessorUnusable
from app.privacy import signed
from app.privacy.tables import Processor

#: Longest answer that is read of a processor, in bytes.
LONGEST = 1_000_000


@dataclass(frozen=True, slots=True)
class Address:
    """Where a processor is and how it is spoken to; `url` ends before `/discovery`."""

    url: str
    credentials: str | None = None
    #: PEM of its certificate or of the authority that issued it, where that is no public one.
    registered: str | None = None

    @property
    def domain(self) -> str:
        """By this it says who signed."""
        return urlsplit(self.url).hostname or ""


@dataclass(frozen=True, slots=True)
class Said:
    """What an answer of a processor was, as it came."""

    status: int
    content: bytes
    domain: str
    signature: str


class _Identity(msgspec.Struct, frozen=True):
    identity_type: str
    identity_format: str


class _Discovery(msgspec.Struct, frozen=True):
    supported_identities: list[_Identity]
    supported_subject_request_types: list[str]
    processor_certificate: str


def read(url: str, credentials: str | None, registered: str | None) -> Address:
    """Return an address that requests can be sent to; raises ProcessorUnusable."""
    address = Address(url.rstrip("/"), credentials, registered)
    try:
        parts = urlsplit(url)
        plain = parts.scheme == "https" and not parts.query and not parts.fragment
    except ValueError as error:
        raise ProcessorUnusable("its address is none") from error
    if not plain or parts.username is not None or not address.domain:
        raise ProcessorUnusable("its address is one of https, without credentials or query")
    if credentials is not None and not (credentials.isascii() and credentials.isprintable()):
        raise ProcessorUnusable("credentials are one line of ASCII")
    return address


def discover(client: httpx.Client, address: Address) -> dict[str, Any]:
    """Ask a processor what it supports and for its certificate; raises ProcessorUnusable.

    No transaction is open meanwhile.
    """
    found = ask(client, address, "GET", "/discovery")
    try:
        told = msgspec.json.decode(found.content, type=_Discovery)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ProcessorUnusable(f"its discovery answers HTTP {found.status}, unreadable") from error
    where = Address(told.processor_certificate)  # a certificate is public
    if where.domain != address.domain or not where.url.startswith("https://"):
        raise ProcessorUnusable("its certificate is not offered by its own domain, over https")
    pem = ask(client, where, "GET", "").content.decode("ascii", "replace")
    return {
        "certificate": signed.believed(pem, address.domain, address.registered),
        "kinds": told.supported_subject_request_types,
        "identities": [[o.identity_type, o.identity_format] for o in told.supported_identities],
        "discovered_at": datetime.now(UTC),
    }


def ask(
    client: httpx.Client,
    address: Address,
    method: str,
    path: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Said:
    """Send to a processor and return the answer; raises ProcessorUnusable, which names nobody."""
    head = {"Accept": "application/json", **(headers or {})}
    if address.credentials is not None:
        head["Authorization"] = address.credentials
    try:
        with client.stream(method, address.url + path, content=body, headers=head) as answer:
            content = b""
            for part in parts(answer):
                content += part
                if len(content) > LONGEST:
                    raise ProcessorUnusable("its answer is too long")
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise ProcessorUnusable(f"it cannot be reached ({type(error).__name__})") from error
    if not answer.is_success:
        raise ProcessorUnusable(f"HTTP {answer.status_code}")
    return Said(
        answer.status_code,
        content,
        answer.headers.get("x-opendsr-processor-domain", ""),
        answer.headers.get("x-opendsr-signature", ""),
    )


def register(
    session: Session, destination_id: int, address: Address, found: Mapping[str, Any]
) -> Processor:
    """Keep a processor with what `discover` found.

    Raises DestinationNotFound, DestinationKeyUnusable.
    """
    registry.find(session, destination_id)
    row = session.get(Processor, destination_id) or Processor(destination_id=destination_id)
    row.url, row.domain = address.url, address.domain
    row.credentials = seal.seal(address.credentials) if address.credentials else None
    row.registered = address.registered
    session.add(row)
    renew(row, found)
    session.flush()
    return row


def renew(row: Processor, found: Mapping[str, Any]) -> None:
    """Keep what `discover` has found anew."""
    for name, value in found.items():
        setattr(row, name, value)


def address_of(row: Processor) -> Address:
    """Return where a registered processor is; raises DestinationKeyUnusable."""
    credentials = seal.open_(row.credentials) if row.credentials else None
    return Address(row.url, credentials, row.registered)


def find(session: Session, destination_id: int) -> Processor:
    """Return the processor that a destination is; raises ProcessorNotFound."""
    row = session.get(Processor, destination_id)
    if row is None:
        raise ProcessorNotFound(str(destination_id))
    return row


def signers(session: Session, domain: str) -> list[Processor]:
    """Return who may sign for a domain."""
    return list(session.scalars(sa.select(Processor).where(Processor.domain == domain.lower())))


def shown(row: Processor) -> dict[str, Any]:
    """Return a processor as it is shown: without its credentials."""
    own = signed.certificates(row.certificate)[0]
    return {
        "destination_id": row.destination_id,
        "url": row.url,
        "domain": row.domain,
        "has_credentials": row.credentials is not None,
        "certificate_registered": row.registered is not None,
        "certificate_valid_until": own.not_valid_after_utc.isoformat(),
        "kinds": row.kinds,
        "identities": row.identities,
        "discovered_at": row.discovered_at.isoformat(),
    }
