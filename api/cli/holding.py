"""Whether what is held can be opened: what `doctor` and the start of a server say about it."""

import logging
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from app.access import sources
from app.db import Sessions
from app.errors import HoldKeyUnusable
from app.pending import state
from app.pending.vault import Vault
from app.settings import Settings

#: An event that outlived its time by so many seconds is one that no worker deletes.
LATE_SECONDS = 60.0


log = logging.getLogger("parcours")


def warn(sessions: Sessions, configuration: Settings) -> None:
    """Say at a start what keeps held events from being opened, or may do so."""
    with sessions() as session:
        for what in (wrong(session, configuration), shared(session, configuration)):
            if what:
                log.warning("%s", what)


def wrong(session: Session, configuration: Settings) -> str | None:
    """Return what is wrong with holding events and what to do, or None."""
    try:
        vault = Vault(configuration)
        keyring = vault.keyring()
    except HoldKeyUnusable as error:
        return f"{error}; until then events are rejected instead of held"
    held = state.by_key(session)
    strange = {key: n for key, n in held.items() if keyring is None or key not in keyring.ids}
    if strange:
        keys = ", ".join(sorted(key.hex() for key in strange))
        return (
            f"{sum(strange.values())} held events are sealed with a key that is not in "
            f"{vault.origin} (key {keys}): they stay held until their time is over. Give every "
            "process the same PARCOURS_HOLD_KEY, the old keys after the new one"
        )
    late = state.overdue(session, seconds=LATE_SECONDS)
    if late:
        return f"{late} held events are over their time and not deleted: is a worker running?"
    return None


def shared(session: Session, configuration: Settings) -> str | None:
    """Return what several processes with one database must know of the key, or None."""
    waits = any(source.pending_seconds for source in sources.list_all(session))
    if not waits or configuration.hold_key is not None or configuration.database_url is None:
        return None
    return (
        f"the key of held events is in {Vault(configuration).path}: processes with another data "
        "directory cannot open them. Set the same PARCOURS_HOLD_KEY for all of them"
    )


def told(session: Session, configuration: Settings) -> str:
    """Return what is held now, in figures, and where its key is."""
    ids = [source.id for source in sources.list_all(session) if source.pending_seconds]
    held = [one for one in state.by_source(session, ids).values() if one.events]
    if not ids:
        return "no source holds events"
    detail = f"{sum(one.events for one in held)} events held"
    if held:
        oldest = min(one.oldest for one in held if one.oldest)
        detail += f", the oldest for {(datetime.now(UTC) - oldest).total_seconds():.0f} s"
    advice = shared(session, configuration)
    return f"{detail}; {advice}" if advice else f"{detail}; key in {Vault(configuration).origin}"
