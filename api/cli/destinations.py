"""`parcours destination …`: where people of segments are sent, and how that goes."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from sqlalchemy.orm import Session

from api.cli import json_file
from api.cli.options import AlwaysJson
from api.cli.session import AsJson, DataDir, opened, settings, show
from api.routes.destinations import DestinationIn
from app import work
from app.destinations import describe, kinds, registry, syncing
from app.destinations.tables import Destination

destination = typer.Typer(
    help="Destinations: what is sent where, dry runs, syncs, replays.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(help="Its name or id.")]
File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="JSON, as for HTTP.")]
COLUMNS = ("id", "name", "kind", "enabled", "waiting", "backlog_seconds", "failed", "held")


@destination.command("kinds")
def list_kinds(as_json: AlwaysJson = True) -> None:
    """Show the kinds there are: settings, secrets, fields and the mapping to begin with."""
    show([describe.kind(kind) for kind in kinds.KINDS.values()], True)


@destination.command("list")
def list_all(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List destinations with what waits, for how long, and what failed."""
    with opened(settings(data_dir)) as sessions, sessions() as session:
        rows = _rows(session, registry.list_all(session))
    show(rows, as_json, *COLUMNS)


@destination.command("add")
def add(file: File, data_dir: DataDir = None, as_json: AlwaysJson = True) -> None:
    """Register a destination; a webhook's `secret` is shown only this once."""
    wanted = json_file.model(DestinationIn, json_file.read(file))
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        made = registry.create(
            session,
            name=wanted.name,
            kind=wanted.kind,
            url=wanted.url,
            settings=wanted.settings,
            secrets=wanted.secrets,
            fields=wanted.mapping,
            rate=wanted.rate,
            purpose=wanted.purpose,
            segment_keys=wanted.segments,
            tcf_vendor=wanted.tcf_vendor,
            also_for=wanted.also_for,
            declared=wanted.declared.model_dump(exclude_none=True),
        )
        work.wake(session)
        secrets = {} if wanted.secrets else registry.made_secrets(made)
        answer = {"id": made.id, "name": made.name, "kind": made.kind, **secrets}
    show(answer, True)


@destination.command("enable")
def enable(name: Name, data_dir: DataDir = None) -> None:
    """Switch a destination on again; what has changed meanwhile is sent."""
    _switch(name, data_dir, True)


@destination.command("disable")
def disable(name: Name, data_dir: DataDir = None) -> None:
    """Switch a destination off; what waits stays and waits."""
    _switch(name, data_dir, False)


@destination.command("dry-run")
def dry_run(
    name: Name,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="Members to look at.")] = 10,
    data_dir: DataDir = None,
    as_json: AlwaysJson = True,
) -> None:
    """Show what would be sent, and of whom nothing would and why; sends nothing."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        found = asdict(syncing.preview(session, registry.named(session, name), limit=limit))
    show(found, True)


@destination.command("sync")
def sync(
    name: Name,
    full: Annotated[bool, typer.Option("--full", help="All, not only what differs.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Have the worker bring a receiver up to date: who is missing, who left, and what differs."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        found = registry.named(session, name)
        asked = syncing.request(session, found, "everything" if full else "changes")
        work.wake(session)
        answer = syncing.shown(asked, found)
    show({"sync": answer}, True)


@destination.command("replay")
def replay(
    name: Name,
    message: Annotated[
        list[UUID] | None, typer.Option("--message", help="Only this one; repeatable.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Send failed messages again, with the same ids."""
    now = datetime.now(UTC)
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        found = registry.named(session, name)
        queued = syncing.replay(session, found, messages=message or None, now=now)
        work.wake(session)
    show({"queued": queued}, True)


@destination.command("outcomes")
def outcomes(
    name: Name,
    state: Annotated[str, typer.Option(help="waiting, delivered, dropped or failed.")] = "failed",
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List what became of each message, with its reason."""
    with opened(settings(data_dir)) as sessions, sessions() as session:
        found = registry.named(session, name)
        listed = registry.deliveries(session, found.id, limit=limit, state=state)
        rows = [
            {
                "message_id": str(row.message_id),
                "profile_id": str(row.profile_id),
                "type": row.type,
                "attempts": row.attempts,
                "status": row.last_status,
                "reason": row.reason,
            }
            for row in listed
        ]
    show(rows, as_json, "message_id", "profile_id", "type", "attempts", "status", "reason")


@destination.command("remove")
def remove(name: Name, data_dir: DataDir = None) -> None:
    """Remove a destination, its secrets and what waits; what the receiver holds stays there."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        registry.remove(session, registry.named(session, name).id, now=datetime.now(UTC))


def _switch(name: str, data_dir: Path | None, on: bool) -> None:
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        found = registry.named(session, name)
        registry.change(session, found, enabled=on)
        if on:
            syncing.request(session, found)
            work.wake(session)


def _rows(session: Session, listed: list[Destination]) -> list[dict[str, Any]]:
    states, syncs = syncing.states(session, listed), syncing.syncs(session, listed)
    return [
        {
            "id": one.id,
            "name": one.name,
            "kind": one.kind,
            "url": one.url,
            "purpose": one.purpose,
            "segments": one.segments,
            "enabled": one.enabled,
            "why_disabled": one.why_disabled,
            **asdict(states[one.id]),
            "sync": syncing.shown(syncs[one.id], one) if one.id in syncs else None,
        }
        for one in listed
    ]
