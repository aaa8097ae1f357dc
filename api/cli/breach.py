"""`parcours privacy breach …`: whom a breach concerns, by when it is told, and a draft of that."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID

import typer

from api.cli import json_file
from api.cli.session import AsJson, DataDir, opened, settings, show
from app.accountability import breach as breaches
from app.accountability import breach_draft
from app.errors import DefinitionInvalid
from consent import party
from consent.errors import ControllerNotFound

breach = typer.Typer(help="Breaches of personal data.", no_args_is_help=True)

Breach = Annotated[UUID, typer.Argument(help="The id of a breach.")]
Time = Annotated[str, typer.Option(help="RFC 3339, with its offset.")]
Names = Annotated[list[str] | None, typer.Option(help="Repeat for more.")]
OPERATOR = "operator"
COLUMNS = ("id", "noticed_at", "authority_due_at", "hours_left", "authority_notified_at")


def _now() -> datetime:
    return datetime.now(UTC)


@breach.command("open")
def open_breach(
    nature: Annotated[str, typer.Option(help="What happened; name nobody.")],
    since: Time,
    until: Time,
    noticed_at: Annotated[str | None, typer.Option(help="When you became aware; now.")] = None,
    source: Names = None,
    client: Names = None,
    destination: Names = None,
    store: Annotated[
        list[str] | None, typer.Option(help="database, events, profiles or consents.")
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Put a breach on record, count whom it concerns, and start its 72 hours."""
    now = _now()
    scope = json_file.model(
        breaches.BreachScope,
        {"since": since, "until": until, "sources": source or [], "clients": client or [],
         "destinations": destination or [], "stores": store or []},
    )  # fmt: skip
    try:
        noticed = datetime.fromisoformat(noticed_at) if noticed_at else now
        if noticed.tzinfo is None:
            raise ValueError("a time needs its offset")
    except ValueError as error:
        raise DefinitionInvalid(str(error)) from error
    told = json_file.model(breaches.Told, {"nature": nature})
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        made = breaches.open_(session, scope, told, noticed_at=noticed, by=OPERATOR, now=now)
        shown = breaches.describe(session, made, now=now)
    show(shown if as_json else [shown], as_json, *COLUMNS)
    if not as_json:
        show(shown["assessment"], True)


@breach.command("list")
def list_breaches(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List breaches with their clocks, the newest first."""
    with opened(settings(data_dir)) as sessions, sessions() as session:
        rows = [breaches.describe(session, b, now=_now()) for b in breaches.list_all(session)]
    show(rows, as_json, *COLUMNS)


@breach.command("show")
def show_breach(breach_id: Breach, data_dir: DataDir = None) -> None:
    """Show a breach as JSON: its scope, numbers, clock and what was done about it."""
    with opened(settings(data_dir)) as sessions, sessions() as session:
        shown = breaches.describe(session, breaches.find(session, breach_id), now=_now())
    show(shown, True)


@breach.command("assess")
def assess_breach(
    breach_id: Breach,
    file: Annotated[
        Path | None, typer.Option(help="JSON with `scope` and `told`, where they changed.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Count anew whom a breach concerns; what was known before stays on record."""
    said = json_file.read(file) if file is not None else {}
    scope = json_file.model(breaches.BreachScope, said["scope"]) if "scope" in said else None
    told = json_file.model(breaches.Told, said["told"]) if "told" in said else None
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        found = breaches.assess_again(
            session, breach_id, scope=scope, told=told, by=OPERATOR, now=_now()
        )
        shown = breaches.describe(session, found, now=_now())
    show(shown, True)


@breach.command("draft")
def draft(
    breach_id: Breach,
    to: Annotated[
        Literal["authority", "people"], typer.Option(help="authority (art. 33) or people (34).")
    ] = "authority",
    data_dir: DataDir = None,
) -> None:
    """Print a draft of the notification as Markdown, with what is left to write marked."""
    with opened(settings(data_dir)) as sessions, sessions() as session:
        shown = breaches.describe(session, breaches.find(session, breach_id), now=_now())
        try:
            controller = party.controller(session)
        except ControllerNotFound:
            controller = {}
    write = breach_draft.authority if to == "authority" else breach_draft.people
    sys.stdout.write(write(shown, controller))


@breach.command("people")
def people(
    breach_id: Breach,
    purpose: Annotated[str, typer.Option(help="Why they are read, such as service.operation.")],
    data_dir: DataDir = None,
) -> None:
    """Print who is concerned and may be reached for a purpose, as JSON: personal data."""
    with opened(settings(data_dir)) as sessions, sessions() as session:
        found, withheld = breaches.concerned(session, breach_id, purpose)
    show({"purpose": purpose, "people": found, "withheld": withheld}, True)


@breach.command("note")
def note(
    breach_id: Breach,
    what: Annotated[breaches.Step, typer.Argument(help=", ".join(breaches.STEPS))],
    reason: Annotated[str, typer.Option(help="Why late, or why not at all; name nobody.")] = "",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Note that the authority or the people were notified, or why not, or close a breach."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        found = breaches.note(session, breach_id, what, by=OPERATOR, now=_now(), reason=reason)
        shown = breaches.describe(session, found, now=_now())
    show(shown if as_json else [shown], as_json, *COLUMNS)
