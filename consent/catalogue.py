"""The catalogue of purposes and notices: versioned, and immutable once written."""

import hashlib
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from consent.errors import (
    LawfulBasisFixed,
    NoticeExists,
    NoticeNotFound,
    PurposeExists,
    PurposeNotFound,
)
from consent.purposes import CATALOGUE, Purpose
from consent.tables import NoticeVersion, PurposeVersion


def seed(session: Session) -> None:
    """Write the default catalogue where it is missing; safe to repeat and to race."""
    for purpose in CATALOGUE:
        session.execute(insert(PurposeVersion).values(_columns(purpose)).on_conflict_do_nothing())


def _columns(purpose: Purpose) -> dict[str, Any]:
    return {
        "key": purpose.key,
        "version": purpose.version,
        "lawful_basis": purpose.lawful_basis,
        "mode": purpose.mode,
        "title": purpose.title,
        "description": purpose.description,
        "valid_days": purpose.valid_days,
    }


def _purpose(row: PurposeVersion) -> Purpose:
    return Purpose(
        key=row.key,
        version=row.version,
        lawful_basis=row.lawful_basis,  # type: ignore[arg-type]  # the table's CHECK says so
        mode=row.mode,  # type: ignore[arg-type]  # the table's CHECK says so
        title=dict(row.title),
        description=dict(row.description),
        valid_days=row.valid_days,
    )


def purposes(session: Session) -> dict[str, Purpose]:
    """Return the newest version of every purpose, by key."""
    rows = session.scalars(
        sa.select(PurposeVersion).order_by(PurposeVersion.key, PurposeVersion.version)
    )
    return {row.key: _purpose(row) for row in rows}


def purpose(session: Session, key: str) -> Purpose:
    """Return the newest version of one purpose; raises PurposeNotFound."""
    row = session.scalar(
        sa.select(PurposeVersion)
        .where(PurposeVersion.key == key)
        .order_by(PurposeVersion.version.desc())
        .limit(1)
    )
    if row is None:
        raise PurposeNotFound(key)
    return _purpose(row)


def add_purpose(session: Session, new: Purpose) -> Purpose:
    """Add a purpose, or a next version of one.

    Raises PurposeExists for a version that exists, and LawfulBasisFixed for a version on another
    basis: who refused must not be overruled by a change of basis (EDPB Guidelines 05/2020,
    121 to 123).
    """
    versions = session.scalars(sa.select(PurposeVersion).where(PurposeVersion.key == new.key)).all()
    if any(row.version == new.version for row in versions):
        raise PurposeExists(f"{new.key} version {new.version}")
    if any(row.lawful_basis != new.lawful_basis for row in versions):
        raise LawfulBasisFixed(f"{new.key} rests on {versions[0].lawful_basis}")
    session.execute(sa.insert(PurposeVersion).values(_columns(new)))
    return new


def add_notice(
    session: Session, *, key: str, version: int, language: str, purposes: list[str], body: str
) -> NoticeVersion:
    """Add a notice version; its SHA-256 is what a consent record points at.

    Raises NoticeExists, since a notice that somebody agreed to never changes.
    """
    if session.get(NoticeVersion, (key, version, language)) is not None:
        raise NoticeExists(f"{key} version {version} ({language})")
    notice = NoticeVersion(
        key=key,
        version=version,
        language=language,
        purposes=purposes,
        body=body,
        body_sha256=hashlib.sha256(body.encode()).hexdigest(),
    )
    session.add(notice)
    session.flush()
    return notice


def notice(session: Session, key: str, version: int, language: str) -> NoticeVersion:
    """Return a notice version; raises NoticeNotFound."""
    found = session.get(NoticeVersion, (key, version, language))
    if found is None:
        raise NoticeNotFound(f"{key} version {version} ({language})")
    return found


def notices(session: Session) -> list[NoticeVersion]:
    """Return all notice versions, by key."""
    order = (NoticeVersion.key, NoticeVersion.version, NoticeVersion.language)
    return list(session.scalars(sa.select(NoticeVersion).order_by(*order)))
