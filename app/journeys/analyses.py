"""Answers a question over the lake: as of when, over whom, without whom; and who is behind it."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from sqlalchemy.orm import Session

import consent
from app.consents.permission import permissions
from app.db import Sessions
from app.journeys import attributes, envelope, questions, reach, remembered
from app.journeys.kinds import KINDS, Kind
from app.journeys.tables import Analysis
from app.lake import turns
from app.lake.basis import basis
from app.lake.copy import copy_new
from app.lake.duckdb_engine import Lake, open_lake, opened
from app.segments import lists
from identity import people

#: What is said where a question is asked again.
CHANGED = "the events or people behind this answer have changed since; ask again to compare"


def ask(
    sessions: Sessions,
    directory: Path,
    kind: str,
    request: BaseModel,
    *,
    purpose: str,
    as_of: datetime | None,
) -> dict[str, Any]:
    """Answer a question over the resolved people who allow the purpose, in the envelope.

    `as_of` in the future is now. An answer of now may be that of some seconds ago, which it says,
    while nothing it rests on has changed (`remembered`). Raises PurposeNotFound, and
    DefinitionInvalid for a mistyped name of an event below a `not`, and for traits of a purpose
    that must not know people; AnalysesBusy where too many compute already.
    """
    now = datetime.now(UTC)
    at = None if as_of is None or as_of >= now else as_of
    copy_new(sessions, directory)
    asked = _Asked(directory, kind, request, purpose, at, now)
    with turns.free() as mine:
        # What is remembered needs no turn. It is not looked for where one is free: to look what an
        # answer rests on is the larger part of giving it again.
        if mine or _known(sessions, asked):
            return _answer(sessions, asked)
    with turns.turn():  # who waits for one holds no session
        return _answer(sessions, asked)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question: over which lake, of what moment (None: now), and when it was asked."""

    directory: Path
    kind: str
    request: BaseModel
    purpose: str
    as_of: datetime | None
    now: datetime

    @property
    def key(self) -> remembered.Key:
        """What tells it from others."""
        return remembered.key(self.kind, self.request, self.purpose, self.as_of)

    @property
    def plain(self) -> bool:
        """Whether its answer rests on the lake alone; what traits say is not remembered."""
        return not KINDS[self.kind].attributes(self.request)


def _known(sessions: Sessions, asked: _Asked) -> bool:
    """Say whether the answer is remembered; raises as `ask` does."""
    with sessions() as session:
        attributes.check(session, asked.purpose, asked.request)
        shown = basis(session, asked.directory, asked.purpose)
        return asked.plain and bool(remembered.find(session, asked.key, shown, now=asked.now))


def _answer(sessions: Sessions, asked: _Asked) -> dict[str, Any]:
    """Answer in a transaction of its own, and keep the question."""
    purpose, request = asked.purpose, asked.request
    with sessions.begin() as session:
        attributes.check(session, purpose, request)
        found = _answered(session, asked)
        seen, moment = found.seen, found.as_of
        answer = envelope.wrap(
            session,
            found.basis.people.excluded,
            seen,
            asked.kind,
            found.result,
            purpose=purpose,
            as_of=moment,
            warnings=[*KINDS[asked.kind].caveats(request), *found.warnings],
        )
        questions.keep(
            session,
            query_id=answer["query_id"],
            kind=asked.kind,
            definition=request.model_dump(mode="json", by_alias=True, exclude_unset=True),
            purpose=purpose,
            as_of=moment,
            fingerprint=seen.fingerprint,
            now=asked.now,
        )
        return answer


def _answered(session: Session, asked: _Asked) -> remembered.Answer:
    """Return the answer that is remembered, or compute it."""
    analysis, request, purpose = KINDS[asked.kind], asked.request, asked.purpose
    shown = basis(session, asked.directory, purpose)
    known = remembered.find(session, asked.key, shown, now=asked.now) if asked.plain else None
    if known is not None:
        return known
    moment = asked.as_of or asked.now
    with opened(shown, purpose) as lake:
        seen = _look(session, lake, analysis, request, purpose, moment)
        warnings = envelope.check(lake, request, moment) if analysis.spelling else []
        warnings += reach.beyond(lake, request, moment)
        if asked.as_of is not None:
            warnings += envelope.late(lake, asked.as_of)
        result = analysis.compute(lake.connection, request, as_of=moment)
    answer = remembered.Answer(shown, moment, seen, result, warnings)
    if asked.plain:
        remembered.keep(session, asked.key, answer)
    return answer


def profiles(
    sessions: Sessions,
    directory: Path,
    query_id: str,
    number: str,
    *,
    after: int,
    limit: int,
) -> tuple[dict[str, Any], int | None]:
    """Return a page of the profiles behind a number, and where the next one begins.

    They are found by the question as of its time, among the people as they are resolved and as
    they consent now; who may be counted but not named is withheld, with the reason. Raises
    AnalysisNotFound and BucketInvalid.
    """
    with turns.turn(), sessions.begin() as session:
        body, named = _opened(session, directory, query_id, number)
        page = [person for person in named if person > after][: limit + 1]
        ids = people.profile_ids(session, page[:limit])
        said = _about(session, directory, query_id, page[:limit])
        data = [{"profile_id": str(ids[p]), **said.get(p, {})} for p in page[:limit]]
        _count_withheld(session, body)
        return {**body, "data": data}, page[limit - 1] if len(page) > limit else None


def _about(
    session: Session, directory: Path, query_id: str, named: list[int]
) -> dict[int, dict[str, Any]]:
    """Return what the analysis says of each of these people, where it says anything."""
    asked = questions.find(session, query_id)
    about = KINDS[asked.kind].about
    if about is None or not named:
        return {}
    request = question(asked)
    with open_lake(session, directory, asked.purpose) as lake:
        return about(lake.connection, request, asked.as_of, named)


def listed(
    session: Session, directory: Path, query_id: str, number: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Keep who is behind a number as a list; return it as a segment's rule, and what was opened.

    Who may not be named is not in it. Raises AnalysisNotFound and BucketInvalid.
    """
    with turns.turn():
        body, named = _opened(session, directory, query_id, number)
    rule = {
        "listed": lists.keep(session, named, body["purpose"]),
        **{part: body[part] for part in ("query_id", "bucket", "as_of")},
    }
    _count_withheld(session, body)
    return rule, body


def _opened(
    session: Session, directory: Path, query_id: str, number: str
) -> tuple[dict[str, Any], list[int]]:
    """Ask again who is behind a number; return what there is to say of it, and who may be named.

    Nothing is written: a transaction that has written and goes on to compute over the lake holds
    up all who read events in commit order.
    """
    asked = questions.find(session, query_id)
    analysis, request = KINDS[asked.kind], question(asked)
    with open_lake(session, directory, asked.purpose) as lake:
        seen = _look(session, lake, analysis, request, asked.purpose, asked.as_of)
        found = analysis.behind(lake.connection, request, as_of=asked.as_of, number=number)
    allowed, withheld = nameable(session, asked.purpose, found)
    warnings = []
    if seen.fingerprint != asked.fingerprint:
        warnings.append(CHANGED)
    body = {
        "query_id": query_id,
        "bucket": number,
        "purpose": asked.purpose,
        "as_of": asked.as_of.isoformat(),
        "identity_version": people.version(session),
        "fingerprint": seen.fingerprint,
        "n_profiles": len(found),
        "withheld": withheld,
        "warnings": warnings,
    }
    return body, [person for person in found if person in allowed]


def question(kept: Analysis) -> BaseModel:
    """Return a question that was kept, as `ask` takes it."""
    return KINDS[kept.kind].request.model_validate(kept.definition)


def traits(kind: str, request: BaseModel) -> list[str]:
    """Return the keys of the traits by whose values an answer would tell of people, sorted."""
    told = {one.key for one in KINDS[kind].attributes(request) if one.kind == "trait"}
    return sorted(told | attributes.matched(request))


def _look(
    session: Session, lake: Lake, analysis: Kind, request: BaseModel, purpose: str, as_of: datetime
) -> envelope.Seen:
    """Return what there is to be seen; what is known of people beside their events marks it too."""
    wanted = analysis.attributes(request)
    # First: DuckDB registers nothing while a result of the connection may have further rows.
    mark = attributes.bring(session, lake, purpose, wanted) if wanted else None
    seen = envelope.look(lake, as_of)
    return seen if mark is None else replace(seen, fingerprint=f"{seen.fingerprint}-{mark}")


def nameable(session: Session, purpose: str, found: list[int]) -> tuple[set[int], dict[str, int]]:
    """Return who of these may be named for the purpose, and how many may not, by reason."""
    reasons: dict[int, str] = {}
    allowed: set[int] = set()
    if found:
        # Of a purpose that must not link, people are identifiers, which are looked up by person.
        linkable = consent.catalogue.purpose(session, purpose).linkable
        asked = found if linkable else set(people.people_of(session, found).values())
        for one in permissions(session, purpose, asked, use="person"):
            if one.allowed:
                allowed.add(one.person_id)
            else:
                reasons[one.person_id] = one.reason
    withheld: dict[str, int] = {}
    for person in found:
        if person not in allowed:
            why = reasons.get(person, "unknown")
            withheld[why] = withheld.get(why, 0) + 1
    return allowed, withheld


def _count_withheld(session: Session, body: dict[str, Any]) -> None:
    """Count who was not named, last of all that is done for a number."""
    consent.count_denials(
        session,
        use="journey",
        denials=[(body["purpose"], why, n) for why, n in body["withheld"].items()],
        at=datetime.now(UTC),
    )
