"""Recording choices: what a person says about purposes, and whom it concerns."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

import consent
from app import work
from identity import graph


def record(
    session: Session,
    namespace: str,
    value: str,
    decisions: Mapping[str, str],
    *,
    collected_by: str,
    received_at: datetime,
    effective_at: datetime | None = None,
    notice: dict[str, Any] | None = None,
    evidence: dict[str, Any] | None = None,
) -> list[consent.Written]:
    """Record explicit decisions of one canonical identifier and set everything moving.

    Effective for every decision from the commit on; segments and destinations hear of it from
    the worker, which is notified by the same commit. A refusal that says no time of its own ends
    what is on record, whatever the clocks of two servers say. Raises PurposeNotFound and
    NoticeNotFound.
    """
    known = consent.catalogue.purposes(session)
    if notice is not None:
        found = consent.catalogue.notice(
            session, notice["key"], int(notice["version"]), notice["language"]
        )
        notice = {**notice, "body_sha256": found.body_sha256}
    after = max([received_at, *_order_times(session, namespace, value, decisions)])
    choices = [
        consent.Choice(
            namespace,
            value,
            purpose,
            state,
            effective_at or (received_at if state == "given" else after),
            collected_by,
            purpose_version=_known(known, purpose).version,
            valid_days=_known(known, purpose).valid_days,
            notice=notice,
            evidence=dict(evidence or {}),
        )
        for purpose, state in decisions.items()
    ]
    written = consent.record(session, choices, received_at=after)
    touch(session, written)
    return written


def _order_times(
    session: Session, namespace: str, value: str, purposes: Iterable[str]
) -> list[datetime]:
    wanted = set(purposes)
    records = consent.history(session, [(namespace, value)])
    return [row.order_time for row in records if row.purpose in wanted]


def _known(purposes: Mapping[str, consent.Purpose], key: str) -> consent.Purpose:
    if key not in purposes:
        from_catalogue = ", ".join(sorted(purposes))
        raise consent.PurposeNotFound(f"{key}; the catalogue has {from_catalogue}")
    return purposes[key]


def touch(
    session: Session,
    written: Iterable[consent.Written],
    ids: Mapping[tuple[str, str], int] | None = None,
) -> None:
    """Have the worker look again at everybody whose consent these records changed.

    `ids` are those of the identifiers, where the caller has them already.
    """
    by_identifier: dict[tuple[str, str], dict[str, str]] = {}
    for row in written:
        by_identifier.setdefault((row.namespace, row.value), {})[row.purpose] = row.state
    if not by_identifier:
        return
    if ids is None:
        ids = graph.identify(session, by_identifier)
    work.touch(
        session,
        ((ids[key], "consent", purposes) for key, purposes in sorted(by_identifier.items())),
    )
