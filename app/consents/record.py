"""Recording choices: what a person says about purposes, and whom it concerns."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

import consent
from app import work
from app.consents import in_use
from app.consents.spellings import COPY
from app.suppression import gate
from consent import ages
from consent.errors import AgeNotStated, GuardianNeeded, NoticeDoesNotAsk
from identity import graph, namespaces

#: Members of a record's evidence that decide what it is worth; only who checked it writes them.
DECIDING = frozenset(
    ("expressed_by", "guardian", "event_stamp", "stated_by_importer", "unproven", "claimed",
     "server_side", "notice_not_proven", "partner",
     # Of which record it is a copy: what is one goes to no other spelling.
     COPY, "carried_from", "carried_by", "said_by")
)  # fmt: skip


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
    evidence: Mapping[str, Any] | None = None,
    partner: Mapping[str, Any] | None = None,
    guardian: Mapping[str, Any] | None = None,
    overriding: Collection[str] = (),
    server_side: bool = False,
) -> list[consent.Written]:
    """Record explicit decisions of one canonical identifier and set everything moving.

    A refusal of a purpose is one of those below it too. `partner` collected it in our place and
    holds a `proof`. That a notice was shown is proved by the `served_notice_id` of the evidence;
    without one the record is marked `notice_not_proven`. Grants of the purposes in `overriding`
    lift what a browser refuses by a signal. `server_side` says that a source whose write key is a
    secret collected it. What was agreed to are the purposes as they were then, and no later version
    of them than the notice can have told of. `guardian` is how a holder of parental responsibility,
    who says this for a child, was checked; their grants end when the child agrees for themselves.

    Effective for every decision from the commit on; segments and destinations hear of it from
    the worker, which is notified by the same commit. A refusal that says no time of its own ends
    what is on record, whatever the clocks of two servers say. Raises PurposeNotFound,
    NoticeNotFound, NoticeDoesNotAsk, GuardianNeeded, AgeNotStated and SubjectSuppressed.
    """
    gate.refuse(session, [(namespace, value)])
    known = consent.catalogue.purposes(session)
    for key in decisions:
        _known(known, key)
    # What a word is worth, evidence of others cannot say.
    evidence = {name: said for name, said in (evidence or {}).items() if name not in DECIDING}
    if server_side:
        evidence |= {"server_side": True}
    told: Mapping[str, int] = {}
    grants = "given" in decisions.values()
    ends = _childhood_ends(session, namespace, value, guardian, grants=grants, at=received_at)
    if guardian is not None:
        evidence |= {"expressed_by": "guardian", "guardian": dict(guardian)}
    if notice is not None:
        granted = [purpose for purpose, state in decisions.items() if state == "given"]
        notice, told = _proven(session, notice, namespace, known, granted)
        # A key that stands in every page proves no login: devices said what they said.
        claimed = collected_by.startswith("source:") and not server_side
        notice["account_wide"] = notice["account_wide"] and not claimed
        if not evidence.get("served_notice_id"):
            evidence["notice_not_proven"] = True
    decisions = _with_those_below(session, known, decisions)
    if any(state != "given" for state in decisions.values()):
        in_use.wait(session, graph.identify(session, [(namespace, value)]).values())
    after = max([received_at, *_order_times(session, namespace, value, decisions)])
    versions = consent.catalogue.history(session)
    choices = []
    for key, state in decisions.items():
        since = effective_at or (received_at if state == "given" else after)
        purpose = versions.at(key, min(since, received_at), last=told.get(key))
        choices.append(
            consent.Choice(
                namespace,
                value,
                key,
                state,
                since,
                collected_by,
                purpose_version=purpose.version,
                valid_days=_days(purpose, since, ends),
                notice=notice,
                evidence=evidence if partner is None else {**evidence, **_partner(partner)},
                universal="override" if state == "given" and key in overriding else None,
            )
        )
    written = consent.record(session, choices, received_at=after)
    touch(session, written)
    return written


def _childhood_ends(
    session: Session,
    namespace: str,
    value: str,
    guardian: Mapping[str, Any] | None,
    *,
    grants: bool,
    at: datetime,
) -> datetime | None:
    """Return until when a guardian's grant may hold; None where that does not limit it.

    A child agrees to nothing alone, and a guardian to nothing for who is none (GDPR art. 8).
    """
    child = ages.childhood(session, namespace, value, at=at) if grants else None
    if grants and child is not None and guardian is None:
        raise GuardianNeeded("a holder of parental responsibility has to agree")
    if grants and child is None and guardian is not None:
        raise AgeNotStated("state first that this is a child: PUT /v1/ages")
    return child.to_at if child is not None else None


def _days(purpose: consent.Purpose, begins: datetime, ends: datetime | None) -> int | None:
    """Return how many days a grant is valid: no longer than what its giver may agree to."""
    if ends is None:
        return purpose.valid_days
    left = max(0, (ends - begins).days)
    return left if purpose.valid_days is None else min(left, purpose.valid_days)


def _proven(
    session: Session,
    notice: Mapping[str, Any],
    namespace: str,
    known: Mapping[str, consent.Purpose],
    granted: Collection[str],
) -> tuple[dict[str, Any], dict[str, int]]:
    """Return the notice with what proves it, and the last versions that it can have told of.

    And whether this identifier answers for an account.

    An account is what a person has one of and logs in to: an identifier of a unique namespace. What
    is granted on a notice has to be what it asks for, or below it: consent is specific and informed
    (GDPR art. 4(11)). Raises NoticeDoesNotAsk.
    """
    found = consent.catalogue.notice(
        session, notice["key"], int(notice["version"]), notice["language"]
    )
    asked = set(found.purposes)
    for purpose in found.purposes:
        asked |= set(consent.purposes.below(known.values(), purpose))
    if beyond := sorted(set(granted) & known.keys() - asked):
        named = ", ".join(sorted(found.purposes)) or "nothing"
        raise NoticeDoesNotAsk(f"{found.key} asks for {named}, not for {', '.join(beyond)}")
    told = consent.catalogue.presented(session, found)
    if later := sorted(set(granted) - told.keys()):
        raise NoticeDoesNotAsk(f"{found.key} is older than {', '.join(later)}")
    account = found.scope == "account" and namespaces.get(session, namespace).rules.unique
    return {**notice, "body_sha256": found.body_sha256, "account_wide": account}, told


def _with_those_below(
    session: Session, known: Mapping[str, consent.Purpose], decisions: Mapping[str, str]
) -> dict[str, str]:
    """Return the decisions, a refusal also of every purpose below that nothing is said of.

    Below it now, or by a version that takes effect later.
    """
    wide = dict(decisions)
    refused = {purpose: state for purpose, state in decisions.items() if state != "given"}
    if refused:
        consent.catalogue.hold(session)  # one below that is added meanwhile would miss this
        for tree in (known, consent.catalogue.announced(session)):
            for purpose, state in refused.items():
                for key in consent.purposes.below(tree.values(), purpose):
                    wide.setdefault(key, state)
    return wide


def _partner(partner: Mapping[str, Any]) -> dict[str, Any]:
    """Return who collected it in our place; without proof a grant of theirs allows nothing.

    A clause in a contract is no proof of consent (CNIL deliberation 2020-092, on proof).
    """
    return {"partner": dict(partner), **({} if partner.get("proof") else {"unproven": True})}


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
