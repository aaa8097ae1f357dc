"""Where packages are kept: files in the data directory, each for a stated time."""

import hashlib
from collections.abc import Collection
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA
from sqlalchemy.orm import Session

from app.errors import PackageNotFound
from app.privacy.tables import PrivacyPackage, PrivacyRequest
from app.settings import Settings

FOLDER = "packages"


def folder(settings: Settings) -> Path:
    """Return where packages are, readable by this account alone."""
    path = settings.home / FOLDER
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    return path


def keep(
    session: Session, settings: Settings, request_id: UUID, content: bytes, *, now: datetime
) -> PrivacyPackage:
    """Keep a package until its time is over; the file is complete before it is listed."""
    package_id = uuid4()
    path = folder(settings) / f"{package_id}.zip"
    scratch = path.with_suffix(".writing")
    scratch.touch(mode=0o600)
    scratch.write_bytes(content)
    scratch.rename(path)
    package = PrivacyPackage(
        id=package_id,
        request_id=request_id,
        file=path.name,
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        made_at=now,
        expires_at=now + timedelta(days=settings.package_days),
    )
    session.add(package)
    session.flush()
    return package


def of_request(session: Session, request_id: UUID) -> list[PrivacyPackage]:
    """Return the packages of a request, oldest first."""
    query = sa.select(PrivacyPackage).where(PrivacyPackage.request_id == request_id)
    return list(session.scalars(query.order_by(PrivacyPackage.made_at)))


def find(session: Session, package_id: UUID, *, now: datetime) -> PrivacyPackage:
    """Return a package that can still be fetched; raises PackageNotFound."""
    package = session.get(PrivacyPackage, package_id)
    if package is None or package.deleted_at is not None or package.expires_at <= now:
        raise PackageNotFound(str(package_id))
    return package


def path_of(settings: Settings, package: PrivacyPackage) -> Path:
    """Return the file of a package."""
    return folder(settings) / package.file


def remove(
    session: Session, settings: Settings, packages: Collection[PrivacyPackage], *, now: datetime
) -> int:
    """Delete the files of these packages, and return how many."""
    for package in packages:
        path_of(settings, package).unlink(missing_ok=True)
        package.deleted_at = now
    session.flush()
    return len(packages)


def expire(session: Session, settings: Settings, *, now: datetime) -> int:
    """Delete the packages whose time is over, and files of none; return how many."""
    if not (settings.home / FOLDER).exists():
        return 0
    over = session.scalars(
        sa.select(PrivacyPackage).where(
            PrivacyPackage.deleted_at.is_(None), PrivacyPackage.expires_at <= now
        )
    ).all()
    gone = remove(session, settings, over, now=now)
    listed = set(
        session.scalars(sa.select(PrivacyPackage.file).where(PrivacyPackage.deleted_at.is_(None)))
    )
    for path in folder(settings).iterdir():
        old = now.timestamp() - path.stat().st_mtime > timedelta(hours=1).total_seconds()
        if path.name not in listed and old:
            path.unlink(missing_ok=True)
    return gone


def of_person(session: Session, refs: Collection[bytes]) -> list[PrivacyPackage]:
    """Return the packages of all requests of a person that are still there."""
    query = (
        sa.select(PrivacyPackage)
        .join(PrivacyRequest, PrivacyRequest.id == PrivacyPackage.request_id)
        .where(
            PrivacyPackage.deleted_at.is_(None),
            PrivacyRequest.refs.overlap(sa.cast(list(refs), ARRAY(BYTEA))),
        )
    )
    return list(session.scalars(query))
