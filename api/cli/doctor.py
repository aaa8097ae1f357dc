"""`parcours doctor`: checks what an installation needs, and says what to do."""

import shutil
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import urlsplit

import sqlalchemy as sa
import typer
from sqlalchemy.orm import Session

from api.cli import holding
from api.cli.session import AsJson, DataDir, opened, settings, show
from app import work
from app.destinations import registry, seal, trouble
from app.errors import DestinationKeyUnusable, JournalUnusable, SuppressionKeyUnusable
from app.events import stream
from app.journeys import saved
from app.ledger import state
from app.ledger.anchor import Anchor
from app.ledger.keystore import Keystore
from app.privacy import journal, refusal_files
from app.segments import looking
from app.settings import Settings
from app.suppression import gate
from consent import erasure, refusals, suppression

T = TypeVar("T")

OLDEST_POSTGRESQL = 160_000
LEAST_FREE_BYTES = 1_000_000_000
LARGEST_SKEW_SECONDS = 2.0
#: What was refused is in the journal beside the database a second later.
REFUSALS_SECONDS = 120.0


def doctor(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Check configuration, database, disk, clock and queues; status 1 when something is wrong."""
    configuration = settings(data_dir)
    rows = [_check("configuration", _configuration, configuration)]
    with opened(configuration) as sessions, sessions() as session:
        rows += [
            _check(name, check, session)
            for name, check in (
                ("database", _database),
                ("clock", _clock),
                ("pipeline", _pipeline),
                ("jobs", _jobs),
                ("segments", _segments),
                ("destinations", _destinations),
                ("saved analyses", _saved_analyses),
            )
        ]
        rows.append(_check("held events", lambda s: _held(s, configuration), session))
        rows.append(_check("erasures", lambda s: _erasures(s, configuration), session))
        rows.append(_check("refusals", lambda s: _refusals(s, configuration), session))
        rows.append(_check("ledger", lambda s: _ledger(s, configuration), session))
    rows.append(_check("disk", _disk, configuration))
    show(rows, as_json, "check", "state", "detail")
    if any(row["state"] == "wrong" for row in rows):
        raise typer.Exit(1)


class _Wrong(Exception):
    """Something is wrong; the message says what to do."""


def _check(name: str, check: Callable[[T], str], subject: T) -> dict[str, str]:
    try:
        return {"check": name, "state": "ok", "detail": check(subject)}
    except _Wrong as error:
        return {"check": name, "state": "wrong", "detail": str(error)}


def _configuration(configuration: Settings) -> str:
    address = urlsplit(configuration.public_url)
    local = address.hostname in ("127.0.0.1", "localhost", "::1")
    if address.scheme != "https" and not local:
        raise _Wrong(
            f"PARCOURS_PUBLIC_URL is {configuration.public_url}: tokens need https; "
            "put a TLS proxy in front and set its address"
        )
    if configuration.review_threshold > configuration.auto_merge_threshold:
        raise _Wrong("PARCOURS_REVIEW_THRESHOLD is above PARCOURS_AUTO_MERGE_THRESHOLD")
    return "embedded PostgreSQL" if configuration.database_url is None else "own PostgreSQL"


def _database(session: Session) -> str:
    version = int(session.scalar(sa.text("SHOW server_version_num")) or 0)
    if version < OLDEST_POSTGRESQL:
        raise _Wrong(f"PostgreSQL {version // 10_000} is too old; 16 or later is needed")
    return f"PostgreSQL {version // 10_000}, schema up to date"


def _clock(session: Session) -> str:
    theirs = session.scalar(sa.select(sa.func.clock_timestamp())) or datetime.now(UTC)
    skew = abs((theirs - datetime.now(UTC)).total_seconds())
    if skew > LARGEST_SKEW_SECONDS:
        raise _Wrong(f"this machine and the database disagree by {skew:.1f} s; set the clocks")
    return f"{skew:.2f} s from the database's"


def _pipeline(session: Session) -> str:
    waiting = stream.backlog(session, "pipeline")
    age = (datetime.now(UTC) - waiting.oldest).total_seconds() if waiting.oldest else 0
    if age > 300:
        raise _Wrong(
            f"{waiting.events} events wait, the oldest for {age:.0f} s: is a worker running?"
        )
    return f"{waiting.events} events wait"


def _jobs(session: Session) -> str:
    failing = work.failing(session)
    if failing:
        raise _Wrong(f"failing: {', '.join(sorted(failing))}; the worker's log names the error")
    return "none fails"


def _segments(session: Session) -> str:
    stuck = looking.stuck(session)
    if stuck:
        told = "; ".join(f"{key}: {why} since {at:%Y-%m-%d %H:%M}" for key, (why, at) in
                         sorted(stuck.items()))  # fmt: skip
        raise _Wrong(f"stuck: {told}; change the rule, it is tried again each minute")
    return "none is stuck"


def _destinations(session: Session) -> str:
    listed = registry.list_all(session)
    try:
        for one in listed:
            seal.open_all(one.secret)
    except DestinationKeyUnusable as error:
        raise _Wrong(f"{error}: set PARCOURS_DESTINATION_KEY as where they were made") from error
    wrong = [f"{name} {what}" for name, what in trouble.of_all(session, latest=None)]
    off = [one.name for one in listed if not one.enabled and one.why_disabled is None]
    wrong += [f"{name} is switched off" for name in off]
    if wrong:
        raise _Wrong(f"{'; '.join(wrong)}: `parcours destination list` and `outcomes` say more")
    return "all enabled, none is late, nobody is held who left"


def _saved_analyses(session: Session) -> str:
    failed = saved.failing(session)
    if failed:
        told = "; ".join(
            f"{key}: {why} since {at:%Y-%m-%d %H:%M}" for key, (why, at) in failed.items()
        )
        raise _Wrong(
            f"{told}; the worker's log has more, `parcours saved-analysis run` tries one again"
        )
    return "none fails"


def _held(session: Session, configuration: Settings) -> str:
    found = holding.wrong(session, configuration)
    if found:
        raise _Wrong(found)
    return holding.told(session, configuration)


def _erasures(session: Session, configuration: Settings) -> str:
    """Who was erased stays out only with the key of the list, and out of backups by the journal."""
    listed = suppression.entries(session)
    try:
        known = gate.keys().ids if listed else frozenset()
        lines = journal.read(configuration.journal)
    except (SuppressionKeyUnusable, JournalUnusable) as error:
        raise _Wrong(
            f"{error}; restore it from its backup: without it nothing is accepted"
        ) from error
    lost = sum(entry.key_id not in known for entry in listed)
    if lost:
        raise _Wrong(
            f"{lost} of {len(listed)} entries of the suppression list are under a key that is not "
            "here: who was erased could come back; add the old key to PARCOURS_SUPPRESSION_KEY"
        )
    missing = erasure.done(session) - {line.id for line in lines}
    if missing:
        raise _Wrong(
            f"{len(missing)} erasures are not in {configuration.journal}: a restored backup would "
            "bring them back; restore the journal from its backup"
        )
    return f"{len(lines)} in the journal, {len(listed)} identifiers suppressed"


def _refusals(session: Session, configuration: Settings) -> str:
    """Withdrawals since a backup come back into it by their journal alone."""
    folder = configuration.refusals
    try:
        written = refusal_files.last(folder)
    except JournalUnusable as error:
        raise _Wrong(str(error)) from error
    known = refusals.head(session).number
    if written < known:
        raise _Wrong(
            f"{folder} has {written} portions of {known}: a restored backup would lose "
            "withdrawals; restore the newest copy, or move it away, and the worker tells all anew"
        )
    since = refusals.waiting_since(session)
    waited = (datetime.now(UTC) - since).total_seconds() if since else 0.0
    if waited > REFUSALS_SECONDS:
        raise _Wrong(
            f"what was refused {waited:.0f} s ago is in the database alone: is a worker running? "
            "`readyz` and the worker's log name what fails"
        )
    return f"{written} portions in the journal"


def _ledger(session: Session, configuration: Settings) -> str:
    with closing(Keystore(configuration)) as keystore:
        found = state.state(session, Anchor(configuration.anchor_dir), keystore)
    signed = max(found.anchored or 0, found.signed)
    if signed > found.size:
        raise _Wrong(
            f"{signed} entries were signed and {found.size} are here, so nothing more is "
            "signed: if an older backup of the database was restored and the rest is lost, run "
            "`parcours ledger rotate-key --new-log` once"
        )
    if found.anchored is None:
        raise _Wrong(
            f"checkpoints cannot be kept elsewhere: {found.why}; see PARCOURS_LEDGER_ANCHOR"
        )
    if found.waiting_seconds > 60 + 2 * configuration.ledger_seconds:
        raise _Wrong(
            f"records wait for {found.waiting_seconds:.0f} s to be sealed: is a worker running? "
            "`parcours ledger seal` says what is wrong"
        )
    if found.anchored != found.size:
        raise _Wrong(
            f"{found.size} entries are signed, and {found.anchored} are in the checkpoints under "
            f"{configuration.anchor_dir}: `parcours ledger verify` says more"
        )
    with closing(Keystore(configuration)) as keystore:
        old = keystore.old() if keystore.exists else 0
    wrapped = f"; {old} keys are still wrapped under an older key" if old else ""
    return f"{found.size} entries, all in checkpoints outside the database{wrapped}"


def _disk(configuration: Settings) -> str:
    free = shutil.disk_usage(configuration.home).free
    if free < LEAST_FREE_BYTES:
        raise _Wrong(f"{free / 1e9:.1f} GB free under {configuration.home}: make room")
    return f"{free / 1e9:.0f} GB free"
