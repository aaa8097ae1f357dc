"""`parcours rejected …`: what was not accepted and why; correct it, replay it, give it up."""

import json
from collections import Counter
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from sqlalchemy.orm import Session

from api.cli import json_file
from api.cli.options import GREATEST, AlwaysJson
from api.cli.session import AsJson, DataDir, err, opened, settings, show
from app.access import sources
from app.db import Sessions
from app.errors import DefinitionInvalid
from app.events import rejected as verbs
from app.events.replay import Replayed, replay, replay_many
from app.settings import Settings

rejected = typer.Typer(
    help="Events that were not accepted: list, correct, replay.", no_args_is_help=True
)


class State(StrEnum):
    """The states to list."""

    open = "open"
    replayed = "replayed"
    discarded = "discarded"
    any = "any"


#: Who corrects and replays when it is the command line.
BY = "command line"
#: Events that are replayed in one transaction.
AT_ONCE = 200

SourceName = Annotated[str | None, typer.Option("--source", help="Only of this source.")]


def _reason(code: str | None) -> str | None:
    """Refuse an empty one: a shell variable that is not set must not stand for every reason."""
    if code == "":
        raise typer.BadParameter("it is empty; leave --code out for every reason")
    return code


Code = Annotated[
    str | None, typer.Option("--code", help="Only with this reason.", callback=_reason)
]
Since = Annotated[
    datetime | None,
    typer.Option(
        "--since", help="Received at or after, UTC.", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]
    ),
]
Id = Annotated[
    int,
    typer.Argument(metavar="ID", min=1, max=GREATEST, help="The number that `list` shows."),
]


def _wanted(
    session: Session,
    source: str | None,
    code: str | None,
    state: str | None,
    since: datetime | None,
) -> verbs.Wanted:
    source_id = sources.find(session, source).id if source is not None else None
    at = since.replace(tzinfo=UTC) if since else None
    return verbs.Wanted(source_id, code, state, at)


@rejected.command("list")
def list_rejected(
    source: SourceName = None,
    code: Code = None,
    since: Since = None,
    state: Annotated[State, typer.Option(help="In this state.")] = State.open,
    limit: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="At most so many, newest first.")
    ] = 50,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List rejected events, newest first, with their reasons and without what was sent."""
    with opened(settings(data_dir)) as sessions, sessions() as session:
        wanted = _wanted(session, source, code, None if state is State.any else state.value, since)
        rows, following = verbs.page(session, wanted, before=None, limit=limit)
        names = verbs.source_names(session, {row.source_id for row in rows})
        data = [verbs.describe(row, names.get(row.source_id, "")) for row in rows]
    show(data, as_json, "id", "source", "received_at", "code", "message", "name", "state")
    if following and not as_json:
        err.print(f"there are more: --limit is {limit}")


@rejected.command("counts")
def counts(source: SourceName = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Count rejected events by source, reason and state, those that were not kept too."""
    with opened(settings(data_dir)) as sessions, sessions() as session:
        source_id = sources.find(session, source).id if source is not None else None
        data = verbs.counts(session, source_id=source_id)
    show(data, as_json, "source", "code", "state", "events", "last_at")


@rejected.command("show")
def show_rejected(rejected_id: Id, data_dir: DataDir = None, as_json: AlwaysJson = True) -> None:
    """Print one rejected event with what was sent, as JSON."""
    with opened(settings(data_dir)) as sessions, sessions() as session:
        row = verbs.find(session, rejected_id)
        name = verbs.source_names(session, {row.source_id}).get(row.source_id, "")
        data = {**verbs.describe(row, name), "payload": _readable(row.payload)}
    show(data, as_json=as_json)


@rejected.command("replay")
def replay_rejected(
    rejected_id: Annotated[
        int | None,
        typer.Argument(
            metavar="[ID]", min=1, max=GREATEST, help="One event; else all that the options name."
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(help="The corrected event as JSON, for one ID.", exists=True, dir_okay=False),
    ] = None,
    source: SourceName = None,
    code: Code = None,
    since: Since = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Take rejected events the way of new ones, each exactly once, at their first times.

    Status 1 when one is rejected again or needs a correction.
    """
    many = source is not None or code is not None or since is not None
    if many is (rejected_id is not None):
        raise typer.BadParameter("name one ID, or --source, --code or --since")
    if file and rejected_id is None:
        raise typer.BadParameter("--file corrects one event: name its ID")
    try:
        event = json_file.read(file) if file else None
    except DefinitionInvalid as error:
        raise typer.BadParameter(str(error)) from error
    configuration = settings(data_dir)
    with opened(configuration) as sessions:
        if rejected_id is not None:
            with sessions.begin() as session:
                done = [
                    replay(
                        session,
                        rejected_id,
                        event=event,
                        largest=configuration.max_event_bytes,
                        by=BY,
                        now=datetime.now(UTC),
                    )
                ]
        else:
            done = _many(sessions, configuration, source, code, since)
    rows = [_row(one) for one in done]
    show(rows, as_json, "id", "state", "outcome", "message_id", "code", "message")
    said = Counter(one.outcome for one in done)
    if not as_json:
        err.print(", ".join(f"{n} {what}" for what, n in said.items()) or "there was none")
    if said["rejected"] or said["unfit"]:
        raise typer.Exit(1)


@rejected.command("discard")
def discard(rejected_id: Id, data_dir: DataDir = None) -> None:
    """Give a rejected event up; what was sent is deleted, that it was rejected stays."""
    with opened(settings(data_dir)) as sessions, sessions.begin() as session:
        verbs.discard(session, rejected_id, by=BY, now=datetime.now(UTC))


def _many(
    sessions: Sessions,
    configuration: Settings,
    source: str | None,
    code: str | None,
    since: datetime | None,
) -> list[Replayed]:
    """Replay what is open now, a few hundred to a transaction."""
    done: list[Replayed] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=err, disable=not err.is_terminal) as bar:
        with sessions() as session:
            total = verbs.number(session, _wanted(session, source, code, "open", since))
        task = bar.add_task("replay", total=total)
        after: int | None = 0
        while after is not None:
            with sessions.begin() as session:
                part, after = replay_many(
                    session,
                    _wanted(session, source, code, "open", since),
                    after=after,
                    limit=AT_ONCE,
                    largest=configuration.max_event_bytes,
                    by=BY,
                    now=datetime.now(UTC),
                )
            done += part
            bar.update(task, completed=len(done))
    return done


def _row(done: Replayed) -> dict[str, Any]:
    return {
        name: getattr(done, name)
        for name in ("id", "state", "outcome", "message_id", "code", "message")
    }


def _readable(text: str | None) -> Any:
    try:
        return json.loads(text) if text is not None else None
    except (ValueError, RecursionError):
        return text
