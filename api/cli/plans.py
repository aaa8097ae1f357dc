"""`parcours plan …`: what each source should send, and where it differed."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from msgspec import Raw

from api.cli import json_file
from api.cli.options import GREATEST, AlwaysJson
from api.cli.session import AsJson, DataDir, opened, settings, show
from app.errors import BodyUnreadable
from app.events import body, envelope, planned
from app.events.kept import UNREADABLE
from app.plans import arrivals, definition, versions, violations
from app.plans.check import Plan

plan = typer.Typer(help="Tracking plans: what each source should send.", no_args_is_help=True)

Days = Annotated[float, typer.Option(min=0, max=3650, help="How far back, in days.")]
PlanFile = Annotated[
    Path, typer.Argument(exists=True, dir_okay=False, help="A definition as JSON.")
]


@plan.command("list")
def list_plans(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the plans."""
    with opened(settings(data_dir)) as sessions, sessions() as session:
        seen = [versions.overview(session, row) for row in versions.list_page(session)]
        rows = [
            {
                "key": row.plan.key,
                "title": row.plan.title,
                "published": row.published.number if row.published else None,
                "draft": row.draft.number if row.draft else None,
                "sources": list(row.sources),
            }
            for row in seen
        ]
    show(rows, as_json, "key", "title", "published", "draft", "sources")


@plan.command("show")
def show_plan(
    key: str,
    version: Annotated[
        int | None,
        typer.Option(min=1, max=GREATEST, help="The newest one, drafts included, unless stated."),
    ] = None,
    data_dir: DataDir = None,
    as_json: AlwaysJson = True,
) -> None:
    """Print the definition of a plan, as a file that `plan update` takes."""
    with opened(settings(data_dir)) as sessions, sessions() as session:
        found = versions.find(session, key)
        row = versions.version(session, found, version) if version is not None else None
        show((row or versions.newest(session, found)).definition, as_json)


@plan.command("create")
def create_plan(
    key: str,
    file: PlanFile,
    title: Annotated[str, typer.Option(help="What people call it; the key unless stated.")] = "",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Create a plan with a draft from a file."""
    wanted = json_file.read(file)
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        versions.create(session, key=key, title=title or key, definition=wanted)
    _done(as_json, key=key, draft=1)


@plan.command("update")
def update_plan(
    key: str,
    file: PlanFile,
    title: Annotated[str, typer.Option(help="A new title.")] = "",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Write the draft of a plan from a file."""
    wanted = json_file.read(file)
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        old = versions.find(session, key).title
        made = versions.edit(session, key, title=title or old, definition=wanted)
        number = versions.newest(session, made).number
    _done(as_json, key=key, draft=number)


@plan.command("publish")
def publish_plan(key: str, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Put the draft in force for every source of the plan, within 2 seconds."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        number = versions.publish(session, key).number
    _done(as_json, key=key, published=number)


@plan.command("attach")
def attach_source(key: str, source: str, data_dir: DataDir = None) -> None:
    """Put the events of a source to this plan instead of the one it had."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        versions.attach(session, key, source)


@plan.command("detach")
def detach_source(key: str, source: str, data_dir: DataDir = None) -> None:
    """Stop putting the events of a source to this plan."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        versions.detach(session, key, source)


@plan.command("remove")
def remove_plan(key: str, data_dir: DataDir = None) -> None:
    """Delete a plan with its versions and violations; detach its sources first."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        versions.remove(session, key)


@plan.command("violations")
def list_violations(
    key: str,
    days: Days = 7,
    source: Annotated[str | None, typer.Option(help="Only those of this source.")] = None,
    event: Annotated[str | None, typer.Option(help="Only those of this event.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 1000,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List where events differed from the plan, the most frequent first; never their values."""
    now = datetime.now(UTC)
    wanted = violations.Wanted(
        since=now - timedelta(days=days),
        until=now + timedelta(hours=1),
        source=source,
        event=event,
    )
    with opened(settings(data_dir)) as sessions, sessions() as session:
        found, _ = violations.list_page(
            session, versions.find(session, key), wanted, after=None, limit=limit
        )
    rows = sorted((row._asdict() for row in found), key=lambda row: -row["events"])
    show(rows, as_json, "events", "source", "event", "pointer", "keyword", "action", "last_at")


@plan.command("infer")
def infer_plan(
    source: str,
    days: Days = 30,
    limit: Annotated[
        int, typer.Option(min=1, max=100_000, help="Events to look at, at most.")
    ] = 10_000,
    required_share: Annotated[
        float, typer.Option(min=0.01, max=1, help="Required is what is in this share of events.")
    ] = 0.98,
    data_dir: DataDir = None,
    as_json: AlwaysJson = True,
) -> None:
    """Print a definition proposed from what arrived, to be edited and created."""
    with opened(settings(data_dir)) as sessions, sessions() as session:
        proposal = arrivals.infer(
            session,
            source,
            since=datetime.now(UTC) - timedelta(days=days),
            limit=limit,
            required_share=required_share,
        )
    show(proposal.definition, as_json)


@plan.command("check")
def check_plan(
    file: PlanFile,
    events: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Events as NDJSON to put to it."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a definition, and what it would say of events; needs no database.

    The exit status is 1 when the definition is wrong, or an event is not as planned.
    """
    made = Plan(definition.parse(json_file.read(file)), key=file.stem, number=0, version_id=0)
    rows = _put_to(made, events) if events else []
    if as_json or rows:
        show(rows, as_json, "line", "outcome", "pointer", "keyword")
    if rows:
        raise typer.Exit(1)


def _put_to(made: Plan, events: Path) -> list[dict[str, Any]]:
    """Return what is wrong with each line, by its number."""
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(events.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            message = Raw(body.storable(line))
        except BodyUnreadable:
            rows.append({"line": number, "outcome": "rejected", "keyword": UNREADABLE})
            continue
        read: Any = envelope.read(message, received_at=datetime.now(UTC), largest=10_000_000)
        found: Any = ()
        if isinstance(read, envelope.Envelope):
            read, found = planned.put(made, read)
        if isinstance(read, envelope.Rejection) and not found:
            rows.append({"line": number, "outcome": "rejected", "keyword": read.code})
        rows += [
            {"line": number, "outcome": v.action, "pointer": v.pointer, "keyword": v.keyword}
            for v in found
        ]
    return rows


def _done(as_json: bool, **answer: Any) -> None:
    show(answer if as_json else [answer], as_json, *answer)
