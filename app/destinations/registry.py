"""Destinations: registering, finding, changing, enabling."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa
from pydantic import ValidationError
from sqlalchemy.orm import Session

import consent
from app.db import statement
from app.destinations import file_removal, held, kinds, mapping, seal, syncing
from app.destinations.file import FileSettings
from app.destinations.kind import Kind, Options
from app.destinations.tables import Delivery, Destination, Sync
from app.errors import (
    ComputedTraitInUse,
    ComputedTraitNotFound,
    DefinitionInvalid,
    DestinationExists,
    DestinationNotFound,
)
from app.profiles import computed_traits
from app.profiles.conditions import pointed
from app.segments import members as segments
from app.segments.tables import Segment
from consent.signals.vendor import purposes_of

#: Those that were not removed.
HERE = Destination.removed_at.is_(None)
#: Why nothing is sent to one that was.
REMOVED = "the destination was removed"


def create(
    session: Session,
    *,
    name: str,
    purpose: str,
    segment_keys: Sequence[str],
    kind: str = "webhook",
    url: str | None = None,
    settings: Mapping[str, Any] | None = None,
    secrets: Mapping[str, Any] | None = None,
    fields: Mapping[str, Any] | None = None,
    rate: float | None = None,
    tcf_vendor: int | None = None,
    also_for: Sequence[str] = (),
    declared: Mapping[str, Any] | None = None,
) -> Destination:
    """Register a destination.

    `url` is short for the setting of this name. Without `fields`, a kind begins with its own
    mapping; without `secrets`, with those that it makes itself.

    A destination cannot be without a purpose: what is sent is decided by it, and its segments
    are for the same one; each person must allow those in `also_for` too. Members that the segments
    have already are sent by the first sync (`syncing.request`), which is asked for here. `declared`
    is told of it and decides nothing.
    Raises DestinationExists, PurposeNotFound, SegmentNotFound, DefinitionInvalid,
    DestinationKeyUnusable.
    """
    made = kinds.of(kind)
    serving(session, purpose, segment_keys)
    _also_for(session, purpose, also_for)
    if tcf_vendor is not None and not purposes_of(purpose):
        raise DefinitionInvalid(f"#/tcf_vendor: {purpose} is no purpose of TCF")
    if session.scalar(sa.select(Destination.id).where(Destination.name == name, HERE)):
        raise DestinationExists(name)
    wanted = {**(settings or {}), **({"url": url} if url is not None else {})}
    checked = _settings(made, wanted, segment_keys)
    _alone(session, checked)
    opened = _options(made.secrets, secrets or made.new_secrets(), "secrets")
    chosen = made.template if fields is None else fields
    mapped = mapping.parse(chosen, made, checked, segment_keys)
    _computed(session, mapped, purpose)
    destination = Destination(
        name=name,
        kind=kind,
        url=_without_user(_address(made, checked)),
        secret=seal.seal_all(opened.model_dump(mode="json")),
        purpose=purpose,
        also_for=list(also_for),
        tcf_vendor=tcf_vendor,
        segments=list(segment_keys),
        declared=dict(declared or {}),
        settings=checked.model_dump(mode="json"),
        mapping=mapping.dumped(mapped),
        rate=rate,
        enabled=True,
    )
    session.add(destination)
    session.flush()
    syncing.request(session, destination)
    return destination


def change(
    session: Session,
    destination: Destination,
    *,
    settings: Mapping[str, Any] | None = None,
    secrets: Mapping[str, Any] | None = None,
    fields: Mapping[str, Any] | None = None,
    rate: float | None = None,
    enabled: bool | None = None,
) -> None:
    """Change what is given. Settings and the mapping are replaced whole, secrets one by one.

    For another address all secrets are given anew. Where records are (`Kind.places`) stays as long
    as any is held: they could not be taken back, and the ids of one receiver mean others at the
    next. Enabling forgets why it was disabled; it needs its purpose to be in the catalogue. Raises
    DefinitionInvalid, PurposeNotFound, DestinationKeyUnusable.
    """
    kind = kinds.of(destination.kind)
    before = destination.settings or {"url": destination.url}
    checked = _settings(kind, before if settings is None else settings, destination.segments)
    address = _address(kind, checked)
    if settings is not None:
        _without_user(address)
    moved = urlsplit(address)[:2] != urlsplit(destination.url)[:2]
    anew = moved and kind.secrets_are_sent
    if anew and secrets is None:
        raise DefinitionInvalid("#/secrets: another address is given its secrets anew")
    after = checked.model_dump(mode="json")
    # A setting that its kind had not when it was stored has not changed.
    elsewhere = sorted(n for n in kind.places & after.keys() if before.get(n, after[n]) != after[n])
    if elsewhere:
        _leave(session, destination, elsewhere[0])
        _alone(session, checked, beside=destination.id)
    destination.settings, destination.url = after, address
    if secrets is not None:  # of the address before, another one is sent none, so all are given
        both = {**({} if anew else seal.open_all(destination.secret)), **secrets}
        opened = _options(kind.secrets, both, "secrets")
        destination.secret = seal.seal_all(opened.model_dump(mode="json"))
    if fields is not None or settings is not None:
        # One from before a rule for mappings must not keep anybody from switching it off.
        mapped = destination.mapping if fields is None else fields
        found = mapping.parse(mapped, kind, checked, destination.segments)
        if fields is not None:
            _computed(session, found, destination.purpose)
            # One that nobody was ever sent, such as a misspelt one, is filled nowhere.
            sent = destination.mapping if held.any_of(session, destination.id) else ()
            destination.formerly = sorted({*destination.formerly, *sent} - found.keys())
        destination.mapping = mapping.dumped(found)
    if rate is not None:
        destination.rate = rate or None
    if enabled is not None:
        if enabled:
            consent.catalogue.purpose(session, destination.purpose)
            _also_for(session, destination.purpose, destination.also_for)
            destination.why_disabled = None
        destination.enabled = enabled
    session.flush()


def _alone(session: Session, settings: Options, *, beside: int | None = None) -> None:
    """Check that a directory of ours is no other destination's."""
    if isinstance(settings, FileSettings) and settings.directory:
        file_removal.is_alone(session, settings.directory, beside=beside)


def _leave(session: Session, destination: Destination, setting: str) -> None:
    """Check that nothing is left behind; after the batch that is being decided (`deliver`)."""
    session.refresh(destination, with_for_update=True)
    if held.any_of(session, destination.id):
        raise DefinitionInvalid(
            f"#/settings/{setting}: records are held there; another place is another destination"
        )


def made_secrets(destination: Destination) -> dict[str, str]:
    """Return the secrets that were made for a new destination: a webhook's is its `secret`."""
    made = kinds.of(destination.kind).new_secrets()
    opened = seal.open_all(destination.secret)
    return {"secret" if name == "signing_secret" else name: opened[name] for name in made}


def seal_plain(session: Session) -> int:
    """Seal secrets from before there was a key for them; return how many there were."""
    plain = sa.select(Destination).where(Destination.secret.not_like(f"{seal.MARK}%"), HERE)
    found = session.scalars(plain.with_for_update(skip_locked=True)).all()
    for destination in found:
        destination.secret = seal.seal_all(seal.open_all(destination.secret))
    return len(found)


def _also_for(session: Session, purpose: str, also: Sequence[str]) -> None:
    """Check the further purposes of a destination; raises PurposeNotFound, DefinitionInvalid."""
    for place, key in enumerate(also):
        if not consent.catalogue.purpose(session, key).linkable:
            raise DefinitionInvalid(f"#/also_for/{place}: nothing is sent for {key}")
        if key == purpose or key in also[:place]:
            raise DefinitionInvalid(f"#/also_for/{place}: {key} is named twice")


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


def _settings(kind: Kind, given: Mapping[str, Any], segment_keys: Sequence[str]) -> Any:
    checked = _options(kind.settings, given, "settings")
    try:
        kind.check(checked, segment_keys)
    except ValueError as error:
        raise DefinitionInvalid(f"#/settings: {error}") from error
    return checked


def _address(kind: Kind, settings: Any) -> str:
    """Return where it sends; raises DefinitionInvalid for what nobody could connect to."""
    address = kind.address(settings)
    try:
        parts = urlsplit(address)
        usable = parts.port != 0 and (parts.scheme not in ("http", "https") or bool(parts.hostname))
    except ValueError:
        usable = False
    if not usable or "\0" in address:
        raise DefinitionInvalid("#/settings: the address names no host")
    return address


def _without_user(address: str) -> str:
    """Return an address that everybody may be shown; raises DefinitionInvalid for one that is not.

    What stands before `@` is a password to who connects, and is in every answer and log.
    """
    if "@" in urlsplit(address).netloc:
        raise DefinitionInvalid("#/settings: an address is shown, and may hold no user or password")
    return address


def _computed(session: Session, mapped: mapping.Mapped, purpose: str) -> None:
    """Check that computed traits are there, and for this purpose: else their fields are emptied."""
    for name, source in mapped.items():
        if source.computed is None:
            continue
        try:
            its = computed_traits.find(session, source.computed).purpose
        except ComputedTraitNotFound as error:
            raise DefinitionInvalid(f"#/mapping/{name}/computed: {error}") from error
        if its != purpose:
            raise DefinitionInvalid(
                f"#/mapping/{name}/computed: {source.computed} is computed for {its}, not for"
                f" {purpose}"
            )


def free_trait(session: Session, key: str) -> None:
    """Raise ComputedTraitInUse where destinations map a computed trait."""
    using = [
        one.name
        for one in list_all(session)
        if any(source.get("computed") == key for source in one.mapping.values())
    ]
    if using:
        raise ComputedTraitInUse(", ".join(using))


def _options(model: type[Options], given: Mapping[str, Any], root: str) -> Options:
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        raise DefinitionInvalid(pointed(error, root)) from error


def find(session: Session, destination_id: int) -> Destination:
    """Return a destination; raises DestinationNotFound, also for one that was removed."""
    destination = session.get(Destination, destination_id)
    if destination is None or destination.removed_at is not None:
        raise DestinationNotFound(str(destination_id))
    return destination


def named(session: Session, name: str) -> Destination:
    """Return a destination by name or id; raises DestinationNotFound."""
    destination = session.scalar(sa.select(Destination).where(Destination.name == name, HERE))
    if destination is None and name.isdecimal() and len(name) < 19:
        destination = session.get(Destination, int(name))
    if destination is None or destination.removed_at is not None:
        raise DestinationNotFound(name)
    return destination


def receiving(session: Session, purpose: str) -> list[Destination]:
    """Return where data go for a purpose, also where it is one of several, and what was removed."""
    wanted = sa.or_(
        Destination.purpose == purpose, sa.literal(purpose) == sa.any_(Destination.also_for)
    )
    return list(session.scalars(sa.select(Destination).where(wanted).order_by(Destination.id)))


def list_all(session: Session) -> list[Destination]:
    """Return all destinations, by name."""
    return list(session.scalars(sa.select(Destination).where(HERE).order_by(Destination.name)))


def remove(session: Session, destination_id: int, *, now: datetime) -> None:
    """Send nothing there any more, and destroy its secrets; the name may be used again.

    Who it is and whom it was told of stays on record: people may ask, and who is erased later must
    be erased there too, which somebody has to tell it then (GDPR art. 15(1)(c), 19). Waits for the
    batch that is being decided (`deliver`).
    """
    destination = session.get(Destination, destination_id, with_for_update=True)
    if destination is None or destination.removed_at is not None:
        raise DestinationNotFound(str(destination_id))
    destination.removed_at, destination.enabled = now, False
    destination.why_disabled, destination.secret, destination.segments = REMOVED, "", []
    session.flush()
    session.execute(sa.delete(Sync).where(Sync.destination_id == destination_id))
    session.execute(
        statement("app.destinations", "remove"),
        {"destination": destination_id, "at": now, "reason": REMOVED},
    )


def deliveries(
    session: Session,
    destination_id: int,
    *,
    after: int = 0,
    limit: int = 100,
    state: str | None = None,
) -> list[Delivery]:
    """Return what was sent, is waiting or was dropped, in order, with the reason of each."""
    find(session, destination_id)
    query = sa.select(Delivery).where(
        Delivery.destination_id == destination_id, Delivery.id > after
    )
    if state is not None:
        query = query.where(Delivery.state == state)
    return list(session.scalars(query.order_by(Delivery.id).limit(limit)))
