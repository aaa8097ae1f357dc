"""Journey definitions: stored in versions that never change."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session, aliased, defer

import consent
from app.errors import DefinitionInvalid, JourneyChanged, JourneyNotFound
from app.journeys import due, shelf
from app.journeys.definition import Journey, definition_hash
from app.journeys.difference import difference
from app.journeys.tables import JourneyStanding, JourneyVersion
from app.journeys.whole import whole

#: What a name ends with that is of a journey with all its parts.
WHOLE = "@whole"
#: Versions have fewer digits than this.
LONGEST_NUMBER = 10
#: So many places that changed are named in an error.
MOST_TOLD = 20
#: So many definitions are kept as they were read; those of a company are a few dozen.
MOST_KNOWN = 256
_known: dict[str, Journey] = {}
_LOCK = sa.text("SELECT pg_advisory_xact_lock(hashtext('journey'), hashtext(:key))")


def save(session: Session, journey: Journey, *, read: str | None = None) -> JourneyVersion:
    """Store a definition as the next version of its key; an equal one is returned as it is.

    `read` is the `definition_hash` of the version that was read and changed: when another one was
    saved since, nothing is done, and the error says what that changed. Two who save at once take
    turns. Raises PurposeNotFound, JourneyChanged, JourneyFrozen; DefinitionInvalid where the parent
    is not there, or is a part of this journey itself.
    """
    consent.catalogue.purpose(session, journey.purpose)
    digest = definition_hash(journey)
    hold(session, journey.key)
    last = _last(session, journey.key)
    if read is not None and (last is None or last.definition_hash != read):
        raise JourneyChanged(_since(session, journey.key, read, last))
    if last is not None and last.definition_hash == digest:
        shelf.take_out(session, journey.key)
        return last
    shelf.refuse_frozen(session, journey.key)
    _check_parent(session, journey)
    shelf.take_out(session, journey.key)
    version = JourneyVersion(
        key=journey.key,
        version=1 if last is None else last.version + 1,
        definition=journey.model_dump(mode="json", by_alias=True, exclude_none=True),
        definition_hash=digest,
    )
    session.add(version)
    session.flush()
    before = last.definition.get("target") if last is not None else None
    if version.definition.get("target") != before:
        due.anew(session, journey.key)
    return version


def hold(session: Session, key: str) -> None:
    """Let nobody else change a journey until the transaction ends."""
    session.execute(_LOCK, {"key": key})


def _check_parent(session: Session, journey: Journey) -> None:
    """Refuse a parent that is not there, lacks the stage, or is below the journey itself."""
    parent, seen = journey.parent, {journey.key}
    while parent is not None:
        last = _last(session, parent.journey)
        if last is None or parent.journey in seen:
            why = "there is no such journey" if last is None else "it is a part of this one"
            raise DefinitionInvalid(f"#/parent/journey: {parent.journey}: {why}")
        found = _read(last)
        if parent.stage is not None and parent.stage not in {stage.id for stage in found.stages}:
            raise DefinitionInvalid(f"#/parent/stage: {parent.journey} has no {parent.stage!r}")
        seen.add(parent.journey)
        parent = found.parent


def followed(session: Session, key: str) -> Journey:
    """Return the newest version of a journey as people are followed through it.

    One that is put away has no target any more.
    """
    last = _last(session, key)
    if last is None:
        raise JourneyNotFound(key)
    known, journey = shelf.standing(session, key), _read(last)
    away = known is not None and known.archived_at is not None
    return journey.model_copy(update={"target": None}) if away else journey


def find(session: Session, key: str) -> tuple[JourneyVersion, Journey]:
    """Return the newest version of a journey, or the one that `key@2` or `key@reference` names.

    Raises JourneyNotFound, also for one that is put away and asked for without a version.
    """
    name, at, number = key.partition("@")
    if not at:
        known = shelf.standing(session, key)
        away = known is not None and known.archived_at is not None
        found = None if away else _last(session, key)
    elif number == "reference":
        known = shelf.standing(session, name)
        version = None if known is None else known.reference
        found = None if version is None else session.get(JourneyVersion, (name, version))
    elif number.isascii() and number.isdigit() and len(number) < LONGEST_NUMBER:
        found = session.get(JourneyVersion, (name, int(number)))
    else:
        found = None
    if found is None:
        raise JourneyNotFound(key)
    return found, _read(found)


def named(session: Session, key: str) -> tuple[JourneyVersion, Journey]:
    """Return what `find` does, and for `key@whole` the newest version with its parts rolled up.

    That is stored nowhere, and has a hash of its own. Raises JourneyNotFound, and
    DefinitionInvalid where the parts do not fit the whole.
    """
    if not key.endswith(WHOLE):
        return find(session, key)
    version, journey = find(session, key.removesuffix(WHOLE))
    by_parent: dict[str, list[Journey]] = {}
    for _, one in list_all(session):
        if one.parent is not None:
            by_parent.setdefault(one.parent.journey, []).append(one)
    rolled = whole(journey, by_parent)
    shown = JourneyVersion(
        key=version.key,
        version=version.version,
        definition=rolled.model_dump(mode="json", by_alias=True, exclude_none=True),
        definition_hash=definition_hash(rolled),
        created_at=version.created_at,
    )
    return shown, rolled


def parts(session: Session, key: str) -> list[Journey]:
    """Return the newest version of the journeys that are parts of one, by key."""
    found = (journey for _, journey in list_all(session))
    return [one for one in found if one.parent is not None and one.parent.journey == key]


def versions(session: Session, key: str) -> list[JourneyVersion]:
    """Return all versions of a journey, the newest first; raises JourneyNotFound."""
    query = sa.select(JourneyVersion).where(JourneyVersion.key == key)
    found = list(session.scalars(query.order_by(JourneyVersion.version.desc())))
    if not found:
        raise JourneyNotFound(key)
    return found


def _since(session: Session, key: str, read: str, last: JourneyVersion | None) -> str:
    """Say what changed between the version that was read and the newest."""
    if last is None:
        return f"there is no journey {key!r}"
    there = sa.select(JourneyVersion).where(
        JourneyVersion.key == key, JourneyVersion.definition_hash == read
    )
    known = session.scalar(there.order_by(JourneyVersion.version.desc()).limit(1))
    if known is None:
        return f"version {last.version} is the newest, and the one that was read is unknown"
    changed = difference(known.definition, last.definition)
    paths = [change.path for change in changed]
    more = f" and {len(paths) - MOST_TOLD} more" if len(paths) > MOST_TOLD else ""
    return (
        f"version {last.version} was saved after the version {known.version} that was read;"
        f" they differ at {', '.join(paths[:MOST_TOLD])}{more}"
    )


def list_all(session: Session) -> list[tuple[JourneyVersion, Journey]]:
    """Return the newest version of every journey, by key."""
    return [(row, _read(row)) for row in session.scalars(_newest())]


def of_purpose(session: Session, purpose: str) -> list[tuple[JourneyVersion, Journey]]:
    """Return the newest version of the journeys that serve a purpose, by key."""
    return [(row, _read(row)) for row in session.scalars(_OF_PURPOSE, {"purpose": purpose})]


def _read(row: JourneyVersion) -> Journey:
    """Return the definition of a version: a map of 60 touchpoints takes milliseconds to read.

    One is read once by each process, for equal hashes are equal definitions.
    """
    found = _known.get(row.definition_hash)
    if found is None:
        found = Journey.model_validate(row.definition)
        if len(_known) >= MOST_KNOWN:
            _known.clear()
        _known[row.definition_hash] = found
    return found


def _newest() -> sa.Select[JourneyVersion]:
    away = sa.select(JourneyStanding.key).where(JourneyStanding.archived_at.is_not(None))
    return (
        sa.select(JourneyVersion)
        .where(JourneyVersion.key.not_in(away))
        .ext(distinct_on(JourneyVersion.key))
        .order_by(JourneyVersion.key, JourneyVersion.version.desc())
    )


def _of_purpose() -> sa.Select[JourneyVersion]:
    newest = aliased(JourneyVersion, _newest().subquery())
    return (
        sa.select(newest)
        .where(newest.definition["purpose"].astext == sa.bindparam("purpose"))
        .options(defer(newest.definition))
        .order_by(newest.key)
    )


#: Made once: every read of a profile asks.
_OF_PURPOSE = _of_purpose()


def _last(session: Session, key: str) -> JourneyVersion | None:
    return session.scalar(
        sa.select(JourneyVersion)
        .where(JourneyVersion.key == key)
        .order_by(JourneyVersion.version.desc())
        .limit(1)
    )


def pinned(session: Session, key: str | None) -> tuple[Journey | None, str | None]:
    """Return the journey that a question names and that name with its version, if it names one.

    Raises JourneyNotFound and DefinitionInvalid.
    """
    if not key:
        return None, None
    row, journey = named(session, key)
    return journey, key if key.endswith(WHOLE) else f"{row.key}@{row.version}"
